"""The live parts of the pipeline, kept between requests and bounded in number.

Holds :class:`Scope` (the breaker, limiter and budget that one hop goes through) and
:class:`Registry`, which finds or builds them. Knows settings and policies, no HTTP library.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from .endpoints import (
    BREAKER_SETTINGS,
    BUDGET_SETTINGS,
    LIMITER_SETTINGS,
    Configuration,
    Policy,
    pattern_name,
)
from .origins import Origin, origin_text
from .policies.circuit_breaker import CircuitBreaker
from .policies.rate_limit import FixedWindowRateLimiter, PauseOnlyRateLimiter, RateLimiter
from .policies.retry_budget import RetryBudget
from .settings import Settings
from .stages import Stage, StageKey, Stages

_NAMING = BREAKER_SETTINGS | LIMITER_SETTINGS

# A scope has three stages, so this leaves room for those whose scope was dropped.
_STAGES_PER_SCOPE = 4


class Parts(NamedTuple):
    """What is alive under one name."""

    breaker: Optional[CircuitBreaker] = None
    limiter: Optional[RateLimiter] = None
    budget: Optional[RetryBudget] = None


class Scope:
    """What one hop goes through: its policy, and the live objects for its URL.

    :ivar name: what breaker and limiter are kept per: the endpoint pattern that sets one of
        them, else the origin.
    """

    __slots__ = ("breaker", "budget", "limiter", "name", "origin", "policy", "stages")

    def __init__(
        self, name: str, policy: Policy, origin: Origin, parts: Parts, stages: Tuple[Stage, ...]
    ) -> None:
        self.name = name
        self.policy = policy
        self.origin = origin
        self.breaker, self.limiter, self.budget = parts
        self.stages = stages


class _Wanted(NamedTuple):
    """A stage that a scope needs, and how to build it where there is none."""

    key: StageKey
    build: Callable[[], Any]


class Registry:
    """Key -> live limiter, breaker and budget, for at most ``max_scopes`` scopes.

    The scope that has been idle for longest goes first. Stages outlive their scopes, so that
    neither this nor a change of settings closes a circuit, but they are bounded too: by a small
    multiple of ``max_scopes`` (see ``stages``). Finding a scope takes no lock; nothing is built
    while the lock is held. Thread-safe.

    :param clock: monotonic seconds, handed to breakers and limiters.
    :param max_scopes: how many origins (or patterns) are remembered.
    """

    def __init__(self, clock: Callable[[], float], max_scopes: int) -> None:
        self._clock = clock
        self._max = max_scopes
        self._newest: Optional[Configuration] = None
        # The longest idle first.
        self._scopes: OrderedDict[Tuple[int, Origin], Scope] = OrderedDict()
        self._stages = Stages(max_scopes * _STAGES_PER_SCOPE)
        self.renew_locks()

    def scope(self, policy: Policy, origin: Origin) -> Scope:
        """Return the live scope of a policy at an origin, building it at first use."""
        # id() is only a key: the scope holds its policy alive.
        key = (id(policy), origin)
        scopes = self._scopes
        try:
            scope = scopes[key]
            scopes.move_to_end(key)
        except KeyError:  # there is none, or it was evicted this moment
            return self._build(policy, origin)
        return scope

    def scopes(self) -> Tuple[Scope, ...]:
        """Return the scopes that are alive, for statistics."""
        with self._lock:
            # As a plain dict, which heeds no changes of the order.
            return tuple(dict.values(self._scopes))

    def breakers(self, configuration: Configuration) -> Tuple[CircuitBreaker, ...]:
        """Return the breakers that calls under ``configuration`` go through, for statistics."""
        wanted: Dict[Optional[str], Settings] = {None: configuration.default.settings}
        for pattern, policy in configuration.policies.items():
            if policy.own & BREAKER_SETTINGS:
                wanted[pattern_name(pattern)] = policy.settings

        def is_wanted(key: StageKey) -> bool:
            own = wanted.get(key.pattern)
            if own is None or own.circuit_breaker_failure_threshold is None:
                return False
            return own.circuit_breaker is key.made_of

        return tuple(
            stage.live
            for stage in self._kept()
            if stage.key.kind == "breaker" and is_wanted(stage.key)
        )

    def parts(self) -> Dict[str, Parts]:
        """Return what is remembered by name, even where a change of settings dropped the scope."""
        found: Dict[str, Dict[str, Any]] = {}
        for stage in self._kept():
            found.setdefault(stage.key.name, {})[stage.key.kind] = stage.live
        return {name: Parts(**live) for name, live in found.items()}

    def _kept(self) -> List[Stage]:
        with self._lock:
            return self._stages.kept()

    def follow(self, configuration: Configuration) -> None:
        """Drop the scopes after a change of settings; breakers and limiters live on by key."""
        with self._lock:
            self._newest = configuration
            dropped, self._scopes = self._scopes, OrderedDict()
            for scope in dropped.values():
                self._leave(scope)

    def renew_locks(self) -> None:
        """Replace every lock; called in the child after a fork."""
        # Re-entrant, for a signal handler may send a request while its thread is in here.
        self._lock = threading.RLock()
        for stage in self._stages.alive():
            renew = getattr(stage.live, "renew_lock", None)
            if renew is not None:
                renew()

    def _build(self, policy: Policy, origin: Origin) -> Scope:
        """Build a scope of the stages that there are, and new ones where there are none."""
        wanted = self._wanted(policy, origin)
        with self._lock:
            known = [self._stages.find(one.key) for one in wanted]
        # Without the lock: to wrap a breaker of the user's may do I/O.
        made = [found or Stage(one.key, one.build()) for one, found in zip(wanted, known)]
        with self._lock:
            # Of two threads that came as far as this, the first has its stages used by both.
            stages = tuple(self._stages.find(stage.key) or stage for stage in made)
            scope = _scope_of(policy, origin, stages)
            self._renumber(policy, scope.breaker)
            self._keep(scope)
            return scope

    def _keep(self, scope: Scope) -> None:
        key = (id(scope.policy), scope.origin)
        for stage in scope.stages:
            self._stages.enter(stage)
        replaced = self._scopes.pop(key, None)
        if replaced is not None:
            self._leave(replaced)
        self._scopes[key] = scope
        while len(self._scopes) > self._max:
            self._leave(self._scopes.popitem(last=False)[1])
        self._stages.shrink()

    def _leave(self, scope: Scope) -> None:
        for stage in scope.stages:
            self._stages.leave(stage)

    def _renumber(self, policy: Policy, breaker: Optional[CircuitBreaker]) -> None:
        """Give a breaker the numbers of the present settings."""
        own = policy.settings
        threshold = own.circuit_breaker_failure_threshold
        if breaker is None or threshold is None or own.circuit_breaker is not None:
            return
        # A call that began before a change of the settings must not bring their numbers back.
        if self._newest is not None and self._newest.holds(policy):
            timeout, probes = own.circuit_breaker_recovery_timeout, own.half_open_max_calls
            breaker.reconfigure(threshold, timeout, probes)

    # -- what a scope is made of

    def _wanted(self, policy: Policy, origin: Origin) -> List[_Wanted]:
        text = origin_text(origin)
        builders = (self._breaker, self._limiter, self._budget)
        wanted = [build(policy, text) for build in builders]
        return [one for one in wanted if one is not None]

    def _breaker(self, policy: Policy, origin: str) -> Optional[_Wanted]:
        own = policy.settings
        threshold, timeout = (
            own.circuit_breaker_failure_threshold,
            own.circuit_breaker_recovery_timeout,
        )
        if threshold is None:
            return None
        probes, given = own.half_open_max_calls, own.circuit_breaker
        name, pattern = _kept_per(BREAKER_SETTINGS, policy, origin)
        return _Wanted(
            StageKey("breaker", name, pattern, given),
            lambda: CircuitBreaker(threshold, timeout, self._clock, probes, given, name),
        )

    def _limiter(self, policy: Policy, origin: str) -> Optional[_Wanted]:
        own = policy.settings
        requests, period = own.rate_limit_requests, own.rate_limit_period
        if own.rate_limiter is not None:
            return None
        where = _kept_per(LIMITER_SETTINGS, policy, origin)
        if requests is not None:
            return _Wanted(
                StageKey("limiter", *where, (requests, period)),
                lambda: FixedWindowRateLimiter(requests, period, self._clock),
            )
        if not own.follow_server_limits:
            return None
        return _Wanted(StageKey("limiter", *where, None), lambda: PauseOnlyRateLimiter(self._clock))

    def _budget(self, policy: Policy, origin: str) -> Optional[_Wanted]:
        budget = policy.settings.retry_budget
        if budget is None:
            return None
        return _Wanted(
            StageKey("budget", *_kept_per(BUDGET_SETTINGS, policy, origin), budget), budget.fresh
        )


def _scope_of(policy: Policy, origin: Origin, stages: Tuple[Stage, ...]) -> Scope:
    live = {stage.key.kind: stage.live for stage in stages}
    given = policy.settings.rate_limiter
    if given is not None:
        live["limiter"] = given
    return Scope(scope_name(policy, origin), policy, origin, Parts(**live), stages)


def _kept_per(names: FrozenSet[str], policy: Policy, origin: str) -> Tuple[str, Optional[str]]:
    """Return the name that a stage is kept by, and the pattern if it is one."""
    if policy.pattern and policy.own & names:
        return policy.pattern, policy.pattern
    return origin, None


def scope_name(policy: Policy, origin: Origin) -> str:
    """Return what breaker and limiter of a policy at an origin are kept per."""
    return _kept_per(_NAMING, policy, origin_text(origin))[0]
