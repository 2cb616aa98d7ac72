"""The live parts of the pipeline, kept between requests and bounded in number.

Holds :class:`Scope` (the breaker, limiter and budget that one hop goes through) and
:class:`Registry`, which finds or builds them. Knows settings and policies, no HTTP library.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from .endpoints import (
    BREAKER_SETTINGS,
    BUDGET_SETTINGS,
    LIMITER_SETTINGS,
    Configuration,
    Policy,
    pattern_name,
)
from .origins import Origin
from .policies.circuit_breaker import CircuitBreaker
from .policies.rate_limit import FixedWindowRateLimiter, PauseOnlyRateLimiter, RateLimiter
from .policies.retry_budget import RetryBudget
from .settings import Settings

# A scope has three stages, so this leaves room for those whose scope was dropped.
_STAGES_PER_SCOPE = 4


class _StageKey(NamedTuple):
    """What a stage is found by; ``pattern`` is ``None`` for one that is kept per origin.

    What it was built from is part of the key: a call that began before a change of the settings
    finds its old limiter again instead of replacing the new one.
    """

    kind: str
    name: str
    pattern: Optional[str]
    made_of: Any


class _Stage:
    """A breaker, limiter or budget, and when it was last known to be in use.

    :ivar live: the object.
    """

    __slots__ = ("last_used", "live")

    def __init__(self, live: Any) -> None:
        self.live = live
        self.last_used = 0.0

    @property
    def evictable(self) -> Tuple[bool, float]:
        """Sort key: what holds no memory of trouble goes first, the least recent first."""
        return _is_troubled(self.live), self.last_used


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

    __slots__ = ("breaker", "budget", "last_used", "limiter", "name", "origin", "policy", "stages")

    def __init__(
        self, name: str, policy: Policy, origin: Origin, parts: Parts, stages: Tuple[_Stage, ...]
    ) -> None:
        self.name = name
        self.policy = policy
        self.origin = origin
        self.breaker, self.limiter, self.budget = parts
        self.stages = stages
        self.last_used = 0.0

    @property
    def evictable(self) -> Tuple[bool, float]:
        """Sort key: scopes that hold no memory of trouble go first, the least recent first."""
        return _is_troubled(self.breaker), self.last_used

    def touch_stages(self) -> None:
        """Tell the stages when they were last used; they outlive the scope."""
        for stage in self.stages:
            stage.last_used = max(stage.last_used, self.last_used)


def _is_troubled(stage: Any) -> bool:
    return isinstance(stage, CircuitBreaker) and stage.state != "closed"


class Registry:
    """Key -> live limiter, breaker and budget, for at most ``max_scopes`` scopes.

    Stages outlive their scopes, so that a change of settings closes no circuit, but they are
    bounded too: by a small multiple of ``max_scopes``. Reading takes no lock; building, replacing
    and evicting do. Thread-safe.

    :param clock: monotonic seconds, handed to breakers and limiters.
    :param max_scopes: how many origins (or patterns) are remembered.
    """

    def __init__(self, clock: Callable[[], float], max_scopes: int) -> None:
        self._clock = clock
        self._max = max_scopes
        self._lock = threading.Lock()
        self._newest: Optional[Configuration] = None
        self._scopes: Dict[Tuple[int, Origin], Scope] = {}
        self._stages: Dict[_StageKey, _Stage] = {}

    def scope(self, policy: Policy, origin: Origin) -> Scope:
        """Return the live scope of a policy at an origin, building it at first use."""
        scope = self._scopes.get((id(policy), origin))
        # id() is only a key: the scope holds its policy alive, and is compared below.
        if scope is None or scope.policy is not policy:
            scope = self._build(policy, origin)
        scope.last_used = self._clock()
        return scope

    def scopes(self) -> Tuple[Scope, ...]:
        """Return the scopes that are alive, for statistics."""
        return tuple(self._scopes.values())

    def breakers(self, configuration: Configuration) -> Tuple[CircuitBreaker, ...]:
        """Return the breakers that calls under ``configuration`` go through, for statistics."""
        wanted: Dict[Optional[str], Settings] = {None: configuration.default.settings}
        for pattern, policy in configuration.policies.items():
            if policy.own & BREAKER_SETTINGS:
                wanted[pattern_name(pattern)] = policy.settings

        def is_wanted(key: _StageKey) -> bool:
            own = wanted.get(key.pattern)
            if own is None or own.circuit_breaker_failure_threshold is None:
                return False
            return own.circuit_breaker is key.made_of

        return tuple(stage.live for key, stage in self._kept("breaker") if is_wanted(key))

    def parts(self) -> Dict[str, Parts]:
        """Return what is remembered by name, even where a change of settings dropped the scope."""
        found: Dict[str, Parts] = {}
        for kind in Parts._fields:
            for key, stage in self._kept(kind):
                found[key.name] = found.get(key.name, Parts())._replace(**{kind: stage.live})
        return found

    def _kept(self, kind: str) -> List[Tuple[_StageKey, _Stage]]:
        """Return the stages of a kind, the least recent first."""
        with self._lock:
            kept = [item for item in self._stages.items() if item[0].kind == kind]
        return sorted(kept, key=lambda item: item[1].last_used)

    def follow(self, configuration: Configuration) -> None:
        """Drop the scopes after a change of settings; breakers and limiters live on by key."""
        with self._lock:
            self._newest = configuration
            for scope in self._scopes.values():
                scope.touch_stages()
            self._scopes = {}

    def renew_locks(self) -> None:
        """Replace every lock; called in the child after a fork."""
        self._lock = threading.Lock()
        for stage in self._stages.values():
            renew = getattr(stage.live, "renew_lock", None)
            if renew is not None:
                renew()

    def _build(self, policy: Policy, origin: Origin) -> Scope:
        with self._lock:
            if len(self._scopes) >= self._max:
                self._evict()
            scope = self._assemble(policy, origin)
            self._scopes[id(policy), origin] = scope
            if len(self._stages) > self._max * _STAGES_PER_SCOPE:
                self._evict_stages()
            return scope

    def _assemble(self, policy: Policy, origin: Origin) -> Scope:
        builders = (self._breaker, self._limiter, self._budget)
        stages = [build(policy, origin) for build in builders]
        limiter = policy.settings.rate_limiter
        parts = Parts(*(None if stage is None else stage.live for stage in stages))
        return Scope(
            scope_name(policy, origin),
            policy,
            origin,
            parts if limiter is None else parts._replace(limiter=limiter),
            tuple(stage for stage in stages if stage is not None),
        )

    def _stage(
        self, kind: str, where: Tuple[str, Optional[str]], made_of: Any, build: Callable[[str], Any]
    ) -> _Stage:
        name, pattern = where
        key = _StageKey(kind, name, pattern, made_of)
        stage = self._stages.get(key)
        if stage is None:
            stage = self._stages[key] = _Stage(build(name))
        stage.last_used = self._clock()
        return stage

    def _breaker(self, policy: Policy, origin: Origin) -> Optional[_Stage]:
        own = policy.settings
        threshold, timeout = (
            own.circuit_breaker_failure_threshold,
            own.circuit_breaker_recovery_timeout,
        )
        if threshold is None:
            return None
        probes, given = own.half_open_max_calls, own.circuit_breaker
        stage = self._stage(
            "breaker",
            _kept_per(BREAKER_SETTINGS, policy, origin),
            given,
            lambda name: CircuitBreaker(threshold, timeout, self._clock, probes, given, name),
        )
        # A call that began before a change of the settings must not bring their numbers back.
        if given is None and self._newest is not None and self._newest.holds(policy):
            stage.live.reconfigure(threshold, timeout, probes)
        return stage

    def _limiter(self, policy: Policy, origin: Origin) -> Optional[_Stage]:
        own = policy.settings
        requests, period = own.rate_limit_requests, own.rate_limit_period
        if own.rate_limiter is not None:
            return None
        where = _kept_per(LIMITER_SETTINGS, policy, origin)
        if requests is not None:
            return self._stage(
                "limiter",
                where,
                (requests, period),
                lambda _: FixedWindowRateLimiter(requests, period, self._clock),
            )
        if not own.follow_server_limits:
            return None
        return self._stage("limiter", where, None, lambda _: PauseOnlyRateLimiter(self._clock))

    def _budget(self, policy: Policy, origin: Origin) -> Optional[_Stage]:
        budget = policy.settings.retry_budget
        if budget is None:
            return None
        where = _kept_per(BUDGET_SETTINGS, policy, origin)
        return self._stage("budget", where, budget, lambda _: budget.fresh())

    def _evict(self) -> None:
        """Drop an eighth, so that the cost of sorting is spread over many insertions."""
        ordered = sorted(self._scopes.items(), key=lambda item: item[1].evictable)
        for key, scope in ordered[: max(1, self._max // 8)]:
            scope.touch_stages()
            del self._scopes[key]

    def _evict_stages(self) -> None:
        """Drop stages that no scope refers to, an eighth of what is kept at least."""
        in_use = {id(stage) for scope in self._scopes.values() for stage in scope.stages}
        idle = [item for item in self._stages.items() if id(item[1]) not in in_use]
        idle.sort(key=lambda item: item[1].evictable)
        for key, _ in idle[: max(1, len(self._stages) // 8)]:
            del self._stages[key]


def _kept_per(names: FrozenSet[str], policy: Policy, origin: Origin) -> Tuple[str, Optional[str]]:
    """Return the name that a stage is kept by, and the pattern if it is one."""
    if policy.pattern and policy.own & names:
        return policy.pattern, policy.pattern
    return origin_text(origin), None


def scope_name(policy: Policy, origin: Origin) -> str:
    """Return what breaker and limiter of a policy at an origin are kept per."""
    return _kept_per(BREAKER_SETTINGS | LIMITER_SETTINGS, policy, origin)[0]


def origin_text(origin: Origin) -> str:
    """Return an origin as text, without the scheme's default port.

    >>> origin_text(Origin("https", "api.test", 443))
    'https://api.test'
    """
    if (origin.scheme, origin.port) in (("https", 443), ("http", 80)):
        return f"{origin.scheme}://{origin.host}"
    return f"{origin.scheme}://{origin.host}:{origin.port}"
