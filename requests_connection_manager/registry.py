"""The live parts of the pipeline, kept between requests and bounded in number.

Holds :class:`Scope` (the breaker, limiter and budget that one hop goes through) and
:class:`Registry`, which finds or builds them. Knows settings and policies, no HTTP library.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Optional, Tuple, TypeVar

from .endpoints import BREAKER_SETTINGS, BUDGET_SETTINGS, LIMITER_SETTINGS, Policy
from .patterns import Origin
from .policies.circuit_breaker import CircuitBreaker
from .policies.rate_limit import FixedWindowRateLimiter, RateLimiter
from .policies.retry_budget import RetryBudget

T = TypeVar("T")


class Scope:
    """What one hop goes through: its policy, and the live objects for its URL.

    :ivar name: what breaker and limiter are kept per: the endpoint pattern that sets one of
        them, else the origin.
    """

    __slots__ = ("breaker", "budget", "last_used", "limiter", "name", "origin", "policy")

    def __init__(
        self,
        name: str,
        policy: Policy,
        origin: Origin,
        breaker: Optional[CircuitBreaker],
        limiter: Optional[RateLimiter],
        budget: Optional[RetryBudget],
    ) -> None:
        self.name = name
        self.policy = policy
        self.origin = origin
        self.breaker = breaker
        self.limiter = limiter
        self.budget = budget
        self.last_used = 0.0

    @property
    def evictable(self) -> Tuple[bool, float]:
        """Sort key: scopes that hold no memory of trouble go first, the least recent first."""
        troubled = self.breaker is not None and self.breaker.state != "closed"
        return troubled, self.last_used


class Registry:
    """Key -> live limiter, breaker and budget, at most ``max_scopes`` of them.

    Reading takes no lock; building, replacing and evicting do. Thread-safe.

    :param clock: monotonic seconds, handed to breakers and limiters.
    :param max_scopes: how many origins (or patterns) are remembered.
    """

    def __init__(self, clock: Callable[[], float], max_scopes: int) -> None:
        self._clock = clock
        self._max = max_scopes
        self._lock = threading.Lock()
        self._scopes: Dict[Tuple[int, Origin], Scope] = {}
        # kind, key and what it was built from -> the live object
        self._stages: Dict[Tuple[str, str, Any], Any] = {}

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

    def forget_policies(self) -> None:
        """Drop the scopes after a change of settings; breakers and limiters live on by key."""
        with self._lock:
            self._scopes = {}

    def renew_locks(self) -> None:
        """Replace every lock; called in the child after a fork."""
        self._lock = threading.Lock()
        for stage in self._stages.values():
            renew = getattr(stage, "renew_lock", None)
            if renew is not None:
                renew()

    def _build(self, policy: Policy, origin: Origin) -> Scope:
        with self._lock:
            if len(self._scopes) >= self._max:
                self._evict()
            scope = self._assemble(policy, origin)
            self._scopes[id(policy), origin] = scope
            return scope

    def _assemble(self, policy: Policy, origin: Origin) -> Scope:
        at = origin_text(origin)

        def key(names: Any) -> str:
            return policy.pattern if policy.pattern and policy.own & names else at

        name = key(BREAKER_SETTINGS | LIMITER_SETTINGS)
        return Scope(
            name,
            policy,
            origin,
            self._breaker(policy, key(BREAKER_SETTINGS)),
            self._limiter(policy, key(LIMITER_SETTINGS)),
            self._budget(policy, key(BUDGET_SETTINGS)),
        )

    def _stage(self, kind: str, key: str, made_of: Any, build: Callable[[], T]) -> T:
        # What it was built from is part of the key: a request that began before a change of the
        # settings finds its old limiter again instead of replacing the new one.
        stage: Optional[T] = self._stages.get((kind, key, made_of))
        if stage is None:
            stage = self._stages[kind, key, made_of] = build()
        return stage

    def _breaker(self, policy: Policy, key: str) -> Optional[CircuitBreaker]:
        own = policy.settings
        threshold = own.circuit_breaker_failure_threshold
        if threshold is None:
            return None
        numbers = (threshold, own.circuit_breaker_recovery_timeout, own.half_open_max_calls)
        breaker = self._stage(
            "breaker",
            key,
            own.circuit_breaker,
            lambda: CircuitBreaker(
                threshold,
                own.circuit_breaker_recovery_timeout,
                self._clock,
                own.half_open_max_calls,
                own.circuit_breaker,
                key,
            ),
        )
        if own.circuit_breaker is None:
            breaker.reconfigure(*numbers)
        return breaker

    def _limiter(self, policy: Policy, key: str) -> Optional[RateLimiter]:
        own = policy.settings
        if own.rate_limiter is not None:
            limiter: RateLimiter = own.rate_limiter
            return limiter
        requests = own.rate_limit_requests
        if requests is None:
            return None
        return self._stage(
            "limiter",
            key,
            (requests, own.rate_limit_period),
            lambda: FixedWindowRateLimiter(requests, own.rate_limit_period, self._clock),
        )

    def _budget(self, policy: Policy, key: str) -> Optional[RetryBudget]:
        budget = policy.settings.retry_budget
        if budget is None:
            return None
        return self._stage("budget", key, budget, budget.fresh)

    def _evict(self) -> None:
        """Drop an eighth, so that the cost of sorting is spread over many insertions."""
        ordered = sorted(self._scopes.items(), key=lambda item: item[1].evictable)
        for key, _ in ordered[: max(1, self._max // 8)]:
            del self._scopes[key]
        alive = {
            id(stage)
            for scope in self._scopes.values()
            for stage in (scope.breaker, scope.limiter, scope.budget)
        }
        self._stages = {key: stage for key, stage in self._stages.items() if id(stage) in alive}


def origin_text(origin: Origin) -> str:
    """Return an origin as text, without the scheme's default port.

    >>> origin_text(Origin("https", "api.test", 443))
    'https://api.test'
    """
    if (origin.scheme, origin.port) in (("https", 443), ("http", 80)):
        return f"{origin.scheme}://{origin.host}"
    return f"{origin.scheme}://{origin.host}:{origin.port}"
