"""The instruments of OpenTelemetry's metrics, and what is measured with them.

Holds :class:`Instruments`. Knows a meter when it gets one, and imports no telemetry library.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Union

from ..events import AttemptFinished, CallFinished

_PREFIX = "requests_connection_manager"

# What the conventions advise for http.client.request.duration, and room for waits and retries.
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_LONG_DURATIONS = (*_DURATIONS, 30, 60, 120, 300)

Labels = Dict[str, Union[str, int, float]]


class Instruments:
    """The instruments, made once with a meter.

    :ivar retries: counts retries that were scheduled.
    :ivar refusals: counts attempts that breaker or limiter refused.
    :ivar transitions: counts changes of a circuit breaker's state.
    :ivar waits: seconds that attempts waited for the limiter.
    """

    def __init__(self, meter: Any) -> None:
        self._attempts = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_DURATIONS,
        )
        self._calls = meter.create_histogram(
            f"{_PREFIX}.call.duration",
            unit="s",
            description="Duration of calls with their hooks, waits and retries.",
            explicit_bucket_boundaries_advisory=_LONG_DURATIONS,
        )
        self.waits = meter.create_histogram(
            f"{_PREFIX}.limiter.wait.duration",
            unit="s",
            description="Time that attempts waited for the rate limiter.",
            explicit_bucket_boundaries_advisory=_LONG_DURATIONS,
        )
        self.retries = meter.create_counter(
            f"{_PREFIX}.retries", unit="{retry}", description="Retries that were scheduled."
        )
        self.refusals = meter.create_counter(
            f"{_PREFIX}.refusals",
            unit="{refusal}",
            description="Attempts that the circuit breaker or the rate limiter refused.",
        )
        self.transitions = meter.create_counter(
            f"{_PREFIX}.breaker.transitions",
            unit="{transition}",
            description="Changes of the state of circuit breakers.",
        )

    def attempt_ended(self, event: AttemptFinished, labels: Labels) -> None:
        """Measure an attempt."""
        self._attempts.record(event.elapsed, {**labels, **result_of(event)})

    def call_ended(self, event: CallFinished, labels: Labels) -> None:
        """Measure a call."""
        self._calls.record(event.elapsed, {**labels, **result_of(event)})


def error_type(event: Union[CallFinished, AttemptFinished]) -> Optional[str]:
    """Return the ``error.type`` of the conventions; ``None``: it went well."""
    if event.error is not None:
        return event.error
    return str(event.status) if event.status is not None and event.status >= 400 else None


def result_of(event: Union[CallFinished, AttemptFinished]) -> Labels:
    """Return the attributes for what a call or an attempt came to."""
    result: Labels = {}
    if event.status is not None:
        result["http.response.status_code"] = event.status
    kind = error_type(event)
    if kind is not None:
        result["error.type"] = kind
    return result


__all__ = ["Instruments", "Labels", "result_of"]
