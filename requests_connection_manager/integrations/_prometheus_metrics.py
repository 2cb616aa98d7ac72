"""The metrics of Prometheus, made once for each registry and namespace.

Holds :class:`Metrics` and :func:`metrics_of`. Works with ``prometheus_client`` when it gets it, and
imports it not.
"""

from __future__ import annotations

import weakref
from typing import Any, Dict, FrozenSet, List, NamedTuple, Tuple

from .._forks import RenewedLock
from ._labels import Bounded

_CALL = ("method", "host")


class Terms(NamedTuple):
    """What listeners that share metrics have to agree on."""

    buckets: Tuple[float, ...]
    status_codes: bool
    known_methods: FrozenSet[str]
    max_hosts: int


class Metrics:
    """The metrics of one namespace in one registry, and the values of labels that they know.

    :param client: the module ``prometheus_client``.
    """

    def __init__(self, client: Any, namespace: str, terms: Terms) -> None:
        self.terms = terms
        self.hosts: Bounded[str] = Bounded(terms.max_hosts, "other")
        self.scopes: Bounded[str] = Bounded(terms.max_hosts, "other")
        self.collectors: List[Any] = []
        own = {"namespace": namespace, "registry": None}
        timed = {**own, "buckets": terms.buckets}

        def made(kind: Any, name: str, text: str, labels: Tuple[str, ...], **options: Any) -> Any:
            metric = kind(name, text, labels, **options)
            self.collectors.append(metric)
            return metric

        result = (*_CALL, "status", "outcome")
        counter, histogram = client.Counter, client.Histogram
        self.calls = made(counter, "calls", "Calls that ended.", result, **own)
        self.call_duration = made(
            histogram,
            "call_duration_seconds",
            "Duration of calls with their hooks, waits and retries.",
            (*_CALL, "outcome"),
            **timed,
        )
        self.attempts = made(counter, "attempts", "Attempts that ended.", result, **own)
        self.attempt_duration = made(
            histogram,
            "attempt_duration_seconds",
            "Duration of attempts.",
            (*_CALL, "outcome"),
            **timed,
        )
        self.retries = made(counter, "retries", "Retries that were scheduled.", _CALL, **own)
        self.refusals = made(
            counter,
            "refusals",
            "Attempts that the circuit breaker or the rate limiter refused.",
            (*_CALL, "refused_by"),
            **own,
        )
        self.limiter_wait = made(
            histogram,
            "limiter_wait_seconds",
            "Time that attempts waited for the rate limiter.",
            _CALL,
            **timed,
        )
        self.transitions = made(
            counter,
            "breaker_transitions",
            "Changes of the state of circuit breakers, by the new state.",
            ("scope", "state"),
            **own,
        )
        self.state = made(
            client.Gauge,
            "breaker_state",
            "State of circuit breakers since their first change: 0 closed, 1 half-open, 2 open.",
            ("scope",),
            # Of several processes the worst is shown.
            multiprocess_mode="livemax",
            **own,
        )


_known: weakref.WeakKeyDictionary[Any, Dict[str, Metrics]] = weakref.WeakKeyDictionary()
_lock = RenewedLock()


def metrics_of(client: Any, registry: Any, namespace: str, terms: Terms) -> Metrics:
    """Return the metrics of a namespace in a registry, those that are there already if they are.

    :raises ValueError: when others have the names, or ours were made on other terms.
    """
    with _lock:
        there = _known.setdefault(registry, {})
        metrics = there.get(namespace)
        if metrics is None:
            metrics = Metrics(client, namespace, terms)
            _register(registry, metrics.collectors, namespace)
            there[namespace] = metrics
    for name, ours, theirs in zip(Terms._fields, terms, metrics.terms):
        if ours != theirs:
            raise ValueError(
                f"a listener with other {name} has these metrics in the registry already: give "
                f"the same {name}, or another namespace than {namespace!r}"
            )
    return metrics


def _register(registry: Any, collectors: List[Any], namespace: str) -> None:
    done: List[Any] = []
    try:
        for collector in collectors:
            registry.register(collector)
            done.append(collector)
    except ValueError as exc:
        for collector in done:
            registry.unregister(collector)
        raise ValueError(
            f"the registry has other metrics whose names begin with {namespace!r}: give another "
            f"namespace ({exc})"
        ) from exc


__all__ = ["Metrics", "Terms", "metrics_of"]
