"""Our errors that are also requests' errors.

Holds one named class for each pair that is raised, so that each can be caught by either name and
pickled, and :func:`flavour`, which picks it. Knows requests and the exception tree only.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple, Type

import requests

from . import exceptions as ours
from .outcome import Outcome


class RequestsMaxRetries(ours.MaxRetriesExceeded, requests.RequestException):
    """Retries ended by an error of no particular kind."""


class RequestsMaxRetriesConnection(
    ours.MaxRetriesExceeded, ours.ConnectionError, requests.ConnectionError
):
    """Retries ended by a connection error."""


class RequestsMaxRetriesProxy(
    ours.MaxRetriesExceeded, ours.ConnectionError, requests.exceptions.ProxyError
):
    """Retries ended by a proxy error."""


class RequestsMaxRetriesSSL(
    ours.MaxRetriesExceeded, ours.ConnectionError, requests.exceptions.SSLError
):
    """Retries ended by a TLS error."""


class RequestsMaxRetriesConnectTimeout(
    ours.MaxRetriesExceeded, ours.ConnectionError, ours.TimeoutError, requests.ConnectTimeout
):
    """Retries ended by a connect timeout."""


class RequestsMaxRetriesReadTimeout(
    ours.MaxRetriesExceeded, ours.TimeoutError, requests.ReadTimeout
):
    """Retries ended by a read timeout."""


class RequestsMaxRetriesBody(
    ours.MaxRetriesExceeded, ours.ConnectionError, requests.exceptions.ChunkedEncodingError
):
    """Retries ended by a truncated body."""


class RequestsMaxRetriesStatus(
    ours.MaxRetriesExceeded, ours.HTTPError, requests.exceptions.RetryError, requests.HTTPError
):
    """Retries ended by an error status."""


class RequestsMaxRetriesThrottled(
    ours.MaxRetriesExceeded,
    ours.HTTPError,
    ours.RateLimitError,
    requests.exceptions.RetryError,
    requests.HTTPError,
):
    """Retries ended by a 429."""


class RequestsCircuitBreakerOpen(
    ours.CircuitBreakerOpen, ours.ConnectionError, requests.ConnectionError
):
    """The circuit breaker refused."""


class RequestsRateLimitExceeded(ours.RateLimitExceeded, requests.RequestException):
    """The limiter refused."""


class RequestsDeadlineExceeded(ours.DeadlineExceeded, requests.Timeout):
    """The total timeout ran out."""


# The most specific first: ConnectTimeout is a ConnectionError too.
_BY_ERROR: Tuple[Tuple[Type[Exception], Type[ours.ConnectionManagerError]], ...] = (
    (requests.ConnectTimeout, RequestsMaxRetriesConnectTimeout),
    (requests.exceptions.ProxyError, RequestsMaxRetriesProxy),
    (requests.exceptions.SSLError, RequestsMaxRetriesSSL),
    (requests.ReadTimeout, RequestsMaxRetriesReadTimeout),
    (requests.exceptions.ChunkedEncodingError, RequestsMaxRetriesBody),
    (requests.ConnectionError, RequestsMaxRetriesConnection),
)

_REFUSALS: Dict[Type[ours.ConnectionManagerError], Type[ours.ConnectionManagerError]] = {
    ours.CircuitBreakerOpen: RequestsCircuitBreakerOpen,
    ours.RateLimitExceeded: RequestsRateLimitExceeded,
    ours.DeadlineExceeded: RequestsDeadlineExceeded,
}


def flavour(
    kind: Type[ours.ConnectionManagerError], outcome: Optional[Outcome]
) -> Type[ours.ConnectionManagerError]:
    """Return the class of ``kind`` that is also requests' own for this outcome."""
    if kind in _REFUSALS:
        return _REFUSALS[kind]
    if outcome is None:
        return RequestsMaxRetries
    if outcome.error is None:
        return RequestsMaxRetriesThrottled if outcome.throttled else RequestsMaxRetriesStatus
    for library, both in _BY_ERROR:
        if isinstance(outcome.error, library):
            return both
    return RequestsMaxRetries
