"""Breakers, limiters and budgets by what they are kept per, bounded in number.

Holds :class:`Stages`, which decides which of them is forgotten when there are too many. Knows
policies, no settings, no URLs and no HTTP library.

Laws:

1. What a scope goes through is never forgotten, and what a request in flight holds is found again.
2. Of the rest, what remembers nothing goes first, then running windows and budgets in use, and
   open circuits and pauses last; within each of these the one that has been idle for longest.
3. To forget one takes the same time, however many there are.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .policies.circuit_breaker import CLOSED, CircuitBreaker
from .policies.rate_limit import FixedWindowRateLimiter, PauseOnlyRateLimiter
from .policies.retry_budget import RetryBudget

_NOTHING, _NUMBERS, _TROUBLE = range(3)


class StageKey(NamedTuple):
    """What a stage is found by; ``pattern`` is ``None`` for one that is kept per origin.

    What it was built from is part of the key: a call that began before a change of the settings
    finds its old limiter again instead of replacing the new one.
    """

    kind: str
    name: str
    pattern: Optional[str]
    made_of: Any


class Stage:
    """A breaker, limiter or budget.

    :ivar live: the object.
    :ivar users: how many scopes go through it; 0: it is idle.
    """

    __slots__ = ("__weakref__", "key", "live", "users")

    def __init__(self, key: StageKey, live: Any) -> None:
        self.key = key
        self.live = live
        self.users = 0

    def memory(self) -> int:
        """Return what would be lost with it, by rank; does no I/O."""
        live = self.live
        if isinstance(live, CircuitBreaker):
            return _NOTHING if live.last_state == CLOSED else _TROUBLE
        if isinstance(live, (FixedWindowRateLimiter, PauseOnlyRateLimiter)):
            if live.paused_for():
                return _TROUBLE
            return _NUMBERS if live.fill() else _NOTHING
        if isinstance(live, RetryBudget):
            return _NOTHING if live.is_full else _NUMBERS
        return _NOTHING


class Stages:
    """At most ``most`` stages, unless more are in use. Whoever calls holds the registry's lock."""

    def __init__(self, most: int) -> None:
        self._most = most
        # In the order in which a scope last began to use them.
        self._kept: Dict[StageKey, Stage] = {}
        # By what they are known to remember, the longest idle first: they begin with nothing.
        self._idle: Tuple[OrderedDict[Stage, None], ...] = tuple(OrderedDict() for _ in range(3))
        # Forgotten, but perhaps still held by a request in flight, which will book its result.
        self._lent: weakref.WeakValueDictionary[StageKey, Stage] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def kept(self) -> List[Stage]:
        """Return the stages, those last that a scope began to use last."""
        return list(self._kept.values())

    def alive(self) -> List[Stage]:
        """Return the stages, and those that are forgotten but still held by a request."""
        return [*self._kept.values(), *self._lent.values()]

    def find(self, key: StageKey) -> Optional[Stage]:
        """Return the stage of that key, if there is one."""
        return self._kept.get(key) or self._lent.get(key)

    def enter(self, stage: Stage) -> None:
        """Note that one more scope goes through a stage."""
        stage.users += 1
        if self._kept.pop(stage.key, None) is not None and stage.users == 1:
            for queue in self._idle:
                queue.pop(stage, None)
        self._kept[stage.key] = stage

    def leave(self, stage: Stage) -> None:
        """Note that one scope less goes through a stage."""
        stage.users -= 1
        if not stage.users:
            self._idle[_NOTHING][stage] = None

    def shrink(self) -> None:
        """Forget what is idle until there are few enough."""
        while len(self._kept) > self._most and self._forget_one():
            pass

    def _forget_one(self) -> bool:
        for rank, queue in enumerate(self._idle):
            while queue:
                stage, _ = queue.popitem(last=False)
                memory = stage.memory()
                if memory > rank:
                    # It moves up once or twice for each time that it becomes idle, no more.
                    self._idle[memory][stage] = None
                    continue
                del self._kept[stage.key]
                self._lent[stage.key] = stage
                return True
        return False


__all__ = ["Stage", "StageKey", "Stages"]
