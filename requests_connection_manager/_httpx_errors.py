"""Our errors that are also httpx's errors.

Holds one named class for each pair that is raised, so that each can be caught by either name and
pickled, and :func:`flavour`, which picks it. Knows httpx and the exception tree only.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, Type

import httpx

from . import exceptions as ours
from .outcome import Outcome


class HttpxMaxRetries(ours.MaxRetriesExceeded, httpx.TransportError):
    """Retries ended by an error of no particular kind."""


class HttpxMaxRetriesConnect(ours.MaxRetriesExceeded, ours.ConnectionError, httpx.ConnectError):
    """Retries ended by a connect error."""


class HttpxMaxRetriesRead(ours.MaxRetriesExceeded, ours.ConnectionError, httpx.ReadError):
    """Retries ended by a read error."""


class HttpxMaxRetriesWrite(ours.MaxRetriesExceeded, ours.ConnectionError, httpx.WriteError):
    """Retries ended by a write error."""


class HttpxMaxRetriesNetwork(ours.MaxRetriesExceeded, ours.ConnectionError, httpx.NetworkError):
    """Retries ended by another network error."""


class HttpxMaxRetriesProxy(ours.MaxRetriesExceeded, ours.ConnectionError, httpx.ProxyError):
    """Retries ended by a proxy error."""


class HttpxMaxRetriesProtocol(
    ours.MaxRetriesExceeded, ours.ConnectionError, httpx.RemoteProtocolError
):
    """Retries ended by a broken or truncated response."""


class HttpxMaxRetriesConnectTimeout(
    ours.MaxRetriesExceeded, ours.ConnectionError, ours.TimeoutError, httpx.ConnectTimeout
):
    """Retries ended by a connect timeout."""


class HttpxMaxRetriesReadTimeout(ours.MaxRetriesExceeded, ours.TimeoutError, httpx.ReadTimeout):
    """Retries ended by a read timeout."""


class HttpxMaxRetriesWriteTimeout(ours.MaxRetriesExceeded, ours.TimeoutError, httpx.WriteTimeout):
    """Retries ended by a write timeout."""


class HttpxMaxRetriesPoolTimeout(ours.MaxRetriesExceeded, ours.TimeoutError, httpx.PoolTimeout):
    """Retries ended by waiting for a connection of the pool."""


class HttpxMaxRetriesStatus(ours.MaxRetriesExceeded, ours.HTTPError, httpx.HTTPStatusError):
    """Retries ended by an error status."""


class HttpxMaxRetriesThrottled(
    ours.MaxRetriesExceeded, ours.HTTPError, ours.RateLimitError, httpx.HTTPStatusError
):
    """Retries ended by a 429."""


class HttpxCircuitBreakerOpen(ours.CircuitBreakerOpen, ours.ConnectionError, httpx.ConnectError):
    """The circuit breaker refused."""


class HttpxRateLimitExceeded(ours.RateLimitExceeded, httpx.TransportError):
    """The limiter refused."""


class HttpxDeadlineExceeded(ours.DeadlineExceeded, httpx.TimeoutException):
    """The total timeout ran out."""


# The most specific first.
_BY_ERROR: Tuple[Tuple[Type[Exception], Type[ours.ConnectionManagerError]], ...] = (
    (httpx.ConnectTimeout, HttpxMaxRetriesConnectTimeout),
    (httpx.ReadTimeout, HttpxMaxRetriesReadTimeout),
    (httpx.WriteTimeout, HttpxMaxRetriesWriteTimeout),
    (httpx.PoolTimeout, HttpxMaxRetriesPoolTimeout),
    (httpx.ConnectError, HttpxMaxRetriesConnect),
    (httpx.ReadError, HttpxMaxRetriesRead),
    (httpx.WriteError, HttpxMaxRetriesWrite),
    (httpx.NetworkError, HttpxMaxRetriesNetwork),
    (httpx.ProxyError, HttpxMaxRetriesProxy),
    (httpx.RemoteProtocolError, HttpxMaxRetriesProtocol),
)

_REFUSALS: Dict[Type[ours.ConnectionManagerError], Type[ours.ConnectionManagerError]] = {
    ours.CircuitBreakerOpen: HttpxCircuitBreakerOpen,
    ours.RateLimitExceeded: HttpxRateLimitExceeded,
    ours.DeadlineExceeded: HttpxDeadlineExceeded,
}


def flavour(
    kind: Type[ours.ConnectionManagerError], outcome: Optional[Outcome]
) -> Type[ours.ConnectionManagerError]:
    """Return the class of ``kind`` that is also httpx's own for this outcome."""
    if kind in _REFUSALS:
        return _REFUSALS[kind]
    if outcome is None:
        return HttpxMaxRetries
    if outcome.error is None:
        return HttpxMaxRetriesThrottled if outcome.throttled else HttpxMaxRetriesStatus
    for library, both in _BY_ERROR:
        if isinstance(outcome.error, library):
            return both
    return HttpxMaxRetries


def build(
    kind: Type[ours.ConnectionManagerError], message: str, request: Any, **details: Any
) -> ours.ConnectionManagerError:
    """Return an error; httpx keeps the request in an attribute of its own."""
    return kind(message, request=request, _request=request, **details)
