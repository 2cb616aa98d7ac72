"""OpenTelemetry: a span for each call and each attempt, metrics, and trace context for the server.

Holds :class:`OpenTelemetryListener`, after the semantic conventions for HTTP clients 1.27
(https://opentelemetry.io/docs/specs/semconv/http/). Needs the package ``opentelemetry-api`` (extra
``opentelemetry``), which is imported when a listener is made. Knows events, and no HTTP library.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, FrozenSet, Iterable, Mapping, Optional, Type, Union

from .. import __version__
from ..events import (
    AttemptFinished,
    AttemptStarted,
    BreakerRefused,
    BreakerStateChanged,
    CallFailed,
    CallFinished,
    CallStarted,
    ConnectionReplaced,
    Event,
    LimiterRefused,
    LimiterWaited,
    RetryScheduled,
    RetrySuppressed,
)
from ..extras import load
from ..origins import origin_of
from ._labels import KNOWN_METHODS, Address, Bounded, address_of, check_limit, check_methods
from ._otel_metrics import Instruments, Labels, result_of
from ._spans import Frame, Frames

_EXTRA = "opentelemetry"
_SCOPE = "requests_connection_manager"
_SCHEMA = "https://opentelemetry.io/schemas/1.27.0"
_KNOWN_METHODS_VARIABLE = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"


class OpenTelemetryListener:
    """Tells OpenTelemetry of the calls of a manager; ``manager.add_listener(listener)`` is all.

    Each call is an ``INTERNAL`` span, each attempt a ``CLIENT`` span below it, current while it
    lasts: spans of hooks, nested calls and log records find their place. Redirects, legs of an auth
    flow and retries are attempts with ``http.request.resend_count``. What happens in between
    (waits, refusals, retries) is an event of the call's span. The context of the attempt's span is
    put into its headers with the global propagator; another origin, to which a redirect leads, gets
    it without baggage. The span of a streamed call ends before its body is read. URLs are redacted.

    Beside ``http.client.request.duration`` there are metrics that begin with
    ``requests_connection_manager.``; see "Observability" in the documentation.

    One listener serves any number of managers, threads and tasks. What goes wrong in it is logged
    and never reaches a request.

    :param tracer_provider: ``None``: the global one.
    :param meter_provider: ``None``: the global one.
    :param propagate: whether trace context is sent to the servers.
    :param known_methods: methods that are told as they are, others are ``_OTHER``; ``None``: those
        of the environment variable ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS``, separated by
        commas, else those of RFC 9110 and ``PATCH``.
    :param max_hosts: how many different addresses, and endpoint patterns, are told in metrics; any
        further one is ``_OTHER``.
    :raises ImportError: when ``opentelemetry-api`` is not installed.
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: when ``max_hosts`` is below 1.

    >>> from requests_connection_manager import ConnectionManager
    >>> manager = ConnectionManager()
    >>> manager.add_listener(OpenTelemetryListener(max_hosts=20))
    """

    def __init__(
        self,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        *,
        propagate: bool = True,
        known_methods: Optional[Iterable[str]] = None,
        max_hosts: int = 100,
    ) -> None:
        methods = check_methods(known_methods)
        check_limit(max_hosts, "max_hosts")
        if not isinstance(propagate, bool):
            raise TypeError(f"propagate must be a bool, not {propagate!r}")
        self._trace = load("opentelemetry.trace", _EXTRA)
        self._context = load("opentelemetry.context", _EXTRA)
        self._baggage = load("opentelemetry.baggage", _EXTRA)
        self._propagation = load("opentelemetry.propagate", _EXTRA) if propagate else None
        self._tracer = self._trace.get_tracer(
            _SCOPE, __version__, tracer_provider, schema_url=_SCHEMA
        )
        metrics = load("opentelemetry.metrics", _EXTRA)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider, schema_url=_SCHEMA)
        self._metrics = Instruments(meter)
        self._methods = _methods_of_environment() if methods is None else methods
        self._addresses = Bounded(max_hosts, Address("_OTHER", 0))
        self._scopes = Bounded(max_hosts, "_OTHER")
        self._frames = Frames(self._context.attach)
        self._calls: Dict[int, Frame[Any]] = {}
        self._ends: Dict[Type[Event], Callable[[Any], None]] = {
            CallFinished: self._end_call,
            AttemptFinished: self._end_attempt,
        }
        self._others: Dict[Type[Event], Callable[[Any], None]] = {
            CallStarted: self._begin_call,
            AttemptStarted: self._begin_attempt,
            CallFailed: self._describe,
            RetryScheduled: self._note_retry,
            RetrySuppressed: self._note_no_retry,
            ConnectionReplaced: self._note_connection,
            BreakerStateChanged: self._note_state,
            BreakerRefused: self._note_breaker,
            LimiterWaited: self._note_wait,
            LimiterRefused: self._note_limiter,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __call__(self, event: Event) -> None:
        """Take an event; managers do this."""
        end = self._ends.get(type(event))
        if end is not None:
            end(event)
            return
        other = self._others.get(type(event))
        if other is not None and not self._suppressed():
            other(event)

    def _suppressed(self) -> bool:
        """Tell whether nothing is to be recorded here, as while telemetry itself is sent."""
        names = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
        keys = [getattr(self._context, name, None) for name in names]
        return any(key is not None and self._context.get_value(key) for key in keys)

    # -- spans

    def _begin_call(self, event: CallStarted) -> None:
        if event.call in self._calls:
            return  # added to the manager twice
        frame = self._enter(event, f"{self._span_name(event)} call", "INTERNAL", {})
        self._calls[event.call] = frame

    def _end_call(self, event: CallFinished) -> None:
        frame = self._calls.pop(event.call, None)
        if frame is None:
            return
        if frame.inner is not None:
            self._leave(frame.inner)
        span = frame.span
        if span.is_recording():
            if (event.method, event.url) != (frame.about.method, frame.about.url):
                span.set_attributes(self._of_request(event))  # a hook's doing
            span.set_attribute(f"{_SCOPE}.attempts", event.attempts)
            self._conclude(span, event)
        self._metrics.call_ended(event, self._labels(event))
        self._leave(frame)

    def _begin_attempt(self, event: AttemptStarted) -> None:
        call = self._frames.innermost(CallStarted)
        resent = event.number - 1 if call is None else call.sent
        more: Labels = {"http.request.resend_count": resent} if resent else {}
        frame = self._enter(event, self._span_name(event), "CLIENT", more)
        context = self._context.get_current()
        if call is not None:
            call.inner = frame
            call.sent += 1
            origin = origin_of(event.url)
            call.home = call.home or origin
            if origin != call.home:
                # Baggage may hold anything of the application's: a redirect elsewhere gets none.
                context = self._baggage.clear(context)
        if self._propagation is not None:
            self._propagation.inject(event.headers, context)

    def _end_attempt(self, event: AttemptFinished) -> None:
        if not self._suppressed():
            self._metrics.attempt_ended(event, self._labels(event))
        frame = self._frames.innermost(AttemptStarted)
        if frame is None or not _is_same(frame.about, event):
            return
        if frame.span.is_recording():
            self._conclude(frame.span, event)
        call = self._frames.innermost(CallStarted)
        if call is not None and call.inner is frame:
            call.inner = None
        self._leave(frame)

    def _enter(self, event: Event, name: str, kind: str, more: Labels) -> Frame[Any]:
        outer = self._context.get_current()
        span = self._tracer.start_span(
            name,
            context=outer,
            kind=self._trace.SpanKind[kind],
            attributes={**self._of_request(event), **more},
        )
        inner = self._trace.set_span_in_context(span, outer)
        return self._frames.enter(event, span, outer, inner)

    def _leave(self, frame: Frame[Any]) -> None:
        self._frames.leave(frame)
        frame.span.end()

    def _conclude(self, span: Any, event: Union[CallFinished, AttemptFinished]) -> None:
        """Say what something came to, as the conventions want it of clients."""
        result = result_of(event)
        span.set_attributes(result)
        if "error.type" in result:
            span.set_status(self._trace.StatusCode.ERROR)

    # -- what happens in between

    def _describe(self, event: CallFailed) -> None:
        frame = self._frames.innermost(CallStarted)
        if frame is not None:
            attributes = {"exception.type": event.error, "exception.message": event.text}
            frame.span.add_event("exception", attributes)

    def _note_retry(self, event: RetryScheduled) -> None:
        self._note("retry_scheduled", number=event.number, delay=event.delay, cause=event.cause)
        self._metrics.retries.add(1, self._labels(event))

    def _note_no_retry(self, event: RetrySuppressed) -> None:
        self._note("retry_suppressed", number=event.number, reason=event.reason, cause=event.cause)

    def _note_connection(self, event: ConnectionReplaced) -> None:
        self._note("connection_replaced")

    def _note_state(self, event: BreakerStateChanged) -> None:
        self._note("breaker_state_changed", scope=event.scope, old=event.old, new=event.new)
        labels = {"scope": self._scopes.of(event.scope), "state": event.new}
        self._metrics.transitions.add(1, {f"{_SCOPE}.{name}": one for name, one in labels.items()})

    def _note_breaker(self, event: BreakerRefused) -> None:
        self._note_refusal("breaker", event)

    def _note_limiter(self, event: LimiterRefused) -> None:
        self._note_refusal("limiter", event)

    def _note_refusal(self, by: str, event: Union[BreakerRefused, LimiterRefused]) -> None:
        self._note(f"{by}_refused", scope=event.scope, retry_after=event.retry_after)
        self._metrics.refusals.add(1, {**self._labels(event), f"{_SCOPE}.refused_by": by})

    def _note_wait(self, event: LimiterWaited) -> None:
        self._note("limiter_waited", scope=event.scope, seconds=event.seconds)
        self._metrics.waits.record(event.seconds, self._labels(event))

    def _note(self, what: str, **details: Any) -> None:
        frame = self._frames.innermost(CallStarted, AttemptStarted)
        if frame is not None:
            attributes = {f"{_SCOPE}.{name}": one for name, one in details.items()}
            frame.span.add_event(f"{_SCOPE}.{what}", attributes)

    # -- attributes

    def _span_name(self, event: Event) -> str:
        return event.method if event.method in self._methods else "HTTP"

    def _of_request(self, event: Event) -> Labels:
        attributes = self._of_method(event)
        if event.method not in self._methods:
            attributes["http.request.method_original"] = event.method
        attributes["url.full"] = event.url
        return {**attributes, **_of_address(address_of(event.url))}

    def _of_method(self, event: Event) -> Labels:
        known = event.method in self._methods
        return {"http.request.method": event.method if known else "_OTHER"}

    def _labels(self, event: Event) -> Labels:
        """Return the attributes of a measurement: of each a limited number of values."""
        address = self._addresses.of(address_of(event.url))
        return {**self._of_method(event), **_of_address(address)}


def _of_address(address: Address) -> Labels:
    attributes: Labels = {"server.address": address.host}
    if address.port:
        attributes["server.port"] = address.port
    return attributes


def _is_same(started: AttemptStarted, finished: AttemptFinished) -> bool:
    first = (started.method, started.url, started.number)
    return first == (finished.method, finished.url, finished.number)


def _methods_of_environment(environment: Mapping[str, str] = os.environ) -> FrozenSet[str]:
    given = environment.get(_KNOWN_METHODS_VARIABLE, "")
    return frozenset(name.strip() for name in given.split(",") if name.strip()) or KNOWN_METHODS


__all__ = ["OpenTelemetryListener"]
