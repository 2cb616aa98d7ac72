"""Prometheus: counters and histograms of calls, attempts, retries, waits and circuit breakers.

Holds :class:`PrometheusListener`. Needs the package ``prometheus-client`` (extra ``prometheus``),
which is imported when a listener is made. Knows events, and no HTTP library.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Dict, Iterable, Optional, Tuple, Type, Union

from ..events import (
    AttemptFinished,
    BreakerRefused,
    BreakerStateChanged,
    CallFinished,
    Event,
    LimiterRefused,
    LimiterWaited,
    RetryScheduled,
)
from ..extras import load
from ._labels import (
    KNOWN_METHODS,
    check_limit,
    check_methods,
    host_label,
    method_label,
)
from ._prometheus_metrics import Metrics, Terms, metrics_of

_EXTRA = "prometheus"
_OTHER = "other"
_NAMESPACE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_STATES = {"closed": 0, "half-open": 1, "open": 2}


class PrometheusListener:
    """Counts the calls of a manager for Prometheus; ``manager.add_listener(listener)`` is all.

    For the metrics and their labels see "Observability" in the documentation. Listeners with the
    same registry and namespace share their metrics. One listener serves any number of managers,
    threads and tasks. What goes wrong in it is logged and never reaches a request.

    :param registry: a ``prometheus_client.CollectorRegistry``; ``None``: the global one.
    :param namespace: what the names of the metrics begin with.
    :param buckets: upper bounds of the histograms, in seconds, ascending.
    :param status_codes: label with the very status (``"404"``), not its class (``"4xx"``).
    :param known_methods: methods that become labels, others are ``other``; ``None``: those of
        RFC 9110, and ``PATCH``.
    :param max_hosts: how many different hosts become labels, any further one is ``other``; also
        how many circuit breakers have a gauge.
    :raises ImportError: when ``prometheus-client`` is not installed.
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value out of range; when the registry has other metrics of these
        names, or the same metrics with other ``buckets``, ``known_methods``, ``status_codes`` or
        ``max_hosts``.

    >>> from prometheus_client import CollectorRegistry
    >>> from requests_connection_manager import ConnectionManager
    >>> manager = ConnectionManager()
    >>> manager.add_listener(PrometheusListener(CollectorRegistry(), namespace="acme"))
    """

    def __init__(
        self,
        registry: Any = None,
        namespace: str = "requests_connection_manager",
        *,
        buckets: Iterable[float] = _BUCKETS,
        status_codes: bool = False,
        known_methods: Optional[Iterable[str]] = None,
        max_hosts: int = 100,
    ) -> None:
        if not isinstance(status_codes, bool):
            raise TypeError(f"status_codes must be a bool, not {status_codes!r}")
        methods = check_methods(known_methods)
        self._terms = Terms(
            _checked_buckets(buckets),
            status_codes,
            KNOWN_METHODS if methods is None else methods,
            check_limit(max_hosts, "max_hosts"),
        )
        namespace = _checked_namespace(namespace)
        client = load("prometheus_client", _EXTRA)
        registry = client.REGISTRY if registry is None else registry
        if not callable(getattr(registry, "register", None)):
            raise TypeError(f"registry must be a CollectorRegistry, not {registry!r}")
        self._metrics = metrics_of(client, registry, namespace, self._terms)
        self._on: Dict[Type[Event], Callable[[Metrics, Any], None]] = {
            CallFinished: self._count_call,
            AttemptFinished: self._count_attempt,
            RetryScheduled: self._count_retry,
            BreakerRefused: self._count_breaker_refusal,
            LimiterRefused: self._count_limiter_refusal,
            LimiterWaited: self._measure_wait,
            BreakerStateChanged: self._show_state,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __call__(self, event: Event) -> None:
        """Take an event; managers do this."""
        act = self._on.get(type(event))
        if act is not None:
            act(self._metrics, event)

    def _count_call(self, metrics: Metrics, event: CallFinished) -> None:
        where = self._where(event)
        metrics.calls.labels(*where, self._status(event), outcome_of(event)).inc()
        metrics.call_duration.labels(*where, outcome_of(event)).observe(event.elapsed)

    def _count_attempt(self, metrics: Metrics, event: AttemptFinished) -> None:
        where = self._where(event)
        metrics.attempts.labels(*where, self._status(event), outcome_of(event)).inc()
        metrics.attempt_duration.labels(*where, outcome_of(event)).observe(event.elapsed)

    def _count_retry(self, metrics: Metrics, event: RetryScheduled) -> None:
        metrics.retries.labels(*self._where(event)).inc()

    def _count_breaker_refusal(self, metrics: Metrics, event: BreakerRefused) -> None:
        metrics.refusals.labels(*self._where(event), "breaker").inc()

    def _count_limiter_refusal(self, metrics: Metrics, event: LimiterRefused) -> None:
        metrics.refusals.labels(*self._where(event), "limiter").inc()

    def _measure_wait(self, metrics: Metrics, event: LimiterWaited) -> None:
        metrics.limiter_wait.labels(*self._where(event)).observe(event.seconds)

    def _show_state(self, metrics: Metrics, event: BreakerStateChanged) -> None:
        scope = metrics.scopes.of(event.scope)
        metrics.transitions.labels(scope, event.new).inc()
        # The state of all others together would be that of whoever changed last.
        if scope is not _OTHER and event.new in _STATES:
            metrics.state.labels(scope).set(_STATES[event.new])

    # -- labels

    def _where(self, event: Event) -> Tuple[str, str]:
        method = method_label(event.method, self._terms.known_methods, _OTHER)
        return method, self._metrics.hosts.of(host_label(event.url))

    def _status(self, event: Union[CallFinished, AttemptFinished]) -> str:
        status = event.status
        if status is None or not 100 <= status <= 999:
            return "none"
        return str(status) if self._terms.status_codes else f"{status // 100}xx"


def outcome_of(event: Union[CallFinished, AttemptFinished]) -> str:
    """Return the label for what a call or an attempt came to.

    >>> url = "https://api.test/"
    >>> outcome_of(CallFinished("https://api.test", "GET", url, 1, 404, None, 0.1, 1))
    'error_status'
    """
    if event.error is not None:
        return "exception"
    return "error_status" if event.status is not None and event.status >= 400 else "success"


def _checked_buckets(given: Any) -> Tuple[float, ...]:
    wanted = "buckets must be ascending numbers of seconds above 0"
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"{wanted}, not {given!r}")
    buckets = tuple(given)
    for one in buckets:
        if isinstance(one, bool) or not isinstance(one, (int, float)):
            raise TypeError(f"{wanted}, not {buckets!r}")
    rising = all(low < high for low, high in zip(buckets, buckets[1:]))
    if not buckets or not rising or not buckets[0] > 0 or math.isinf(buckets[0]):
        raise ValueError(f"{wanted}, not {buckets!r}")
    return tuple(map(float, buckets))


def _checked_namespace(namespace: Any) -> str:
    wanted = "namespace must be a name of letters, digits and underscores"
    if not isinstance(namespace, str):
        raise TypeError(f"{wanted}, not {namespace!r}")
    if not _NAMESPACE.match(namespace):
        raise ValueError(f"{wanted}, not {namespace!r}")
    return namespace


__all__ = ["PrometheusListener"]
