"""Counting what happened, per scope.

Holds :class:`Statistics`, a listener on the event stream. Knows events only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Callable, Dict, Tuple, Type

from .events import (
    AttemptFinished,
    BreakerRefused,
    Event,
    LimiterRefused,
    LimiterWaited,
    RetryScheduled,
)


class _Counts:
    """The numbers of one scope."""

    __slots__ = (
        "attempts",
        "breaker_refusals",
        "failures",
        "latency_last",
        "latency_max",
        "latency_total",
        "limiter_refusals",
        "limiter_waited",
        "retries",
    )

    def __init__(self) -> None:
        self.attempts = self.failures = self.retries = 0
        self.breaker_refusals = self.limiter_refusals = 0
        self.latency_last = self.latency_max = self.latency_total = self.limiter_waited = 0.0

    def as_dict(self) -> Dict[str, Any]:
        return {
            "attempts": self.attempts,
            "failures": self.failures,
            "retries": self.retries,
            "refusals": {"breaker": self.breaker_refusals, "limiter": self.limiter_refusals},
            "limiter_waited": self.limiter_waited,
            "latency": {
                "mean": self.latency_total / self.attempts if self.attempts else 0.0,
                "max": self.latency_max,
                "last": self.latency_last,
            },
        }


class Statistics:
    """Counts attempts, failures, retries, refusals and latencies of each scope.

    Thread-safe; no count is lost. Bounded: beyond ``max_scopes`` the scope of which nothing was
    heard for longest is forgotten.

    >>> statistics = Statistics(max_scopes=10)
    >>> statistics.on_event(LimiterRefused("api.test", "GET", "https://api.test/", 3.0))
    >>> statistics.scope("api.test")["refusals"]
    {'breaker': 0, 'limiter': 1}
    """

    def __init__(self, max_scopes: int) -> None:
        self._max = max_scopes
        # The longest silent first.
        self._scopes: OrderedDict[str, _Counts] = OrderedDict()
        self.renew_lock()
        self._count: Dict[Type[Event], Callable[[_Counts, Any], None]] = {
            AttemptFinished: _count_attempt,
            RetryScheduled: _count_retry,
            BreakerRefused: _count_breaker_refusal,
            LimiterRefused: _count_limiter_refusal,
            LimiterWaited: _count_limiter_wait,
        }

    @property
    def event_types(self) -> Tuple[Type[Event], ...]:
        """The events that it wants to hear of."""
        return tuple(self._count)

    def on_event(self, event: Event) -> None:
        """Count one event."""
        name, count = event.scope, self._count[type(event)]
        with self._lock:
            counts = self._scopes.get(name)
            if counts is None:
                if len(self._scopes) >= self._max:
                    self._scopes.popitem(last=False)
                counts = self._scopes[name] = _Counts()
            else:
                self._scopes.move_to_end(name)
            count(counts, event)

    def scope(self, name: str) -> Dict[str, Any]:
        """Return the numbers of one scope; all zero when nothing was counted."""
        with self._lock:
            return self._scopes.get(name, _Counts()).as_dict()

    def names(self) -> Tuple[str, ...]:
        """Return the scopes that were counted."""
        with self._lock:
            return tuple(self._scopes)

    def renew_lock(self) -> None:
        """Replace the lock; called in the child after a fork."""
        # Re-entrant, for a signal handler may send a request while its thread is in here.
        self._lock = threading.RLock()


def _count_attempt(counts: _Counts, event: AttemptFinished) -> None:
    counts.attempts += 1
    if event.failed:
        counts.failures += 1
    counts.latency_last = event.elapsed
    counts.latency_total += event.elapsed
    if event.elapsed > counts.latency_max:
        counts.latency_max = event.elapsed


def _count_retry(counts: _Counts, event: RetryScheduled) -> None:
    counts.retries += 1


def _count_breaker_refusal(counts: _Counts, event: BreakerRefused) -> None:
    counts.breaker_refusals += 1


def _count_limiter_refusal(counts: _Counts, event: LimiterRefused) -> None:
    counts.limiter_refusals += 1


def _count_limiter_wait(counts: _Counts, event: LimiterWaited) -> None:
    counts.limiter_waited += event.seconds
