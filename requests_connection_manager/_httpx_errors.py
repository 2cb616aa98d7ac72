"""Our errors that are also httpx's errors.

Holds one named class for each pair that is raised, so that each can be caught by either name and
pickled, and :data:`FLAVOURS`, the table to pick from. Knows httpx and the exception tree only.
"""

from __future__ import annotations

from typing import Any, Type

import httpx

from . import exceptions as ours
from .flavours import Flavours


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
    ours.MaxRetriesExceeded, ours.TooManyRequests, httpx.HTTPStatusError
):
    """Retries ended by a 429."""


class HttpxCircuitBreakerOpen(ours.CircuitBreakerOpen, ours.ConnectionError, httpx.ConnectError):
    """The circuit breaker refused."""


class HttpxRateLimitExceeded(ours.RateLimitExceeded, httpx.TransportError):
    """The limiter refused."""


class HttpxDeadlineExceeded(ours.DeadlineExceeded, httpx.TimeoutException):
    """The total timeout ran out."""


class HttpxStatus(ours.HTTPError, httpx.HTTPStatusError):
    """The server answered with an error status."""


class HttpxUnauthorized(ours.AuthenticationError, httpx.HTTPStatusError):
    """The server refused the credentials."""


class HttpxTooManyRequests(ours.TooManyRequests, httpx.HTTPStatusError):
    """The server answered 429."""


class HttpxBodyTimeout(ours.TimeoutError, httpx.ReadTimeout):
    """Nothing came of a body for too long."""


class HttpxBodyRead(ours.ConnectionError, httpx.ReadError):
    """A body broke off by a read error."""


class HttpxBodyNetwork(ours.ConnectionError, httpx.NetworkError):
    """A body broke off by another network error."""


class HttpxBodyTruncated(ours.ConnectionError, httpx.RemoteProtocolError):
    """A body ended too early."""


FLAVOURS = Flavours(
    refusals={
        ours.CircuitBreakerOpen: HttpxCircuitBreakerOpen,
        ours.RateLimitExceeded: HttpxRateLimitExceeded,
        ours.DeadlineExceeded: HttpxDeadlineExceeded,
    },
    # The most specific first: a connect timeout is a connection error too.
    by_error=(
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
    ),
    status=HttpxMaxRetriesStatus,
    throttled=HttpxMaxRetriesThrottled,
    other=HttpxMaxRetries,
    answers={
        ours.HTTPError: HttpxStatus,
        ours.AuthenticationError: HttpxUnauthorized,
        ours.TooManyRequests: HttpxTooManyRequests,
    },
    broken=(
        (httpx.TimeoutException, HttpxBodyTimeout),
        (httpx.ReadError, HttpxBodyRead),
        (httpx.NetworkError, HttpxBodyNetwork),
        (httpx.RemoteProtocolError, HttpxBodyTruncated),
    ),
)


def build(
    kind: Type[ours.ConnectionManagerError], message: str, request: Any, **details: Any
) -> ours.ConnectionManagerError:
    """Return an error; httpx keeps the request in an attribute of its own."""
    return kind(message, request=request, _request=request, **details)
