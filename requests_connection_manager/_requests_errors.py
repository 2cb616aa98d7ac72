"""Our errors that are also requests' errors.

Holds one named class for each pair that is raised, so that each can be caught by either name and
pickled, and :data:`FLAVOURS`, the table to pick from. Knows requests and the exception tree only.
"""

from __future__ import annotations

import requests

from . import exceptions as ours
from .flavours import Flavours


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
    ours.TooManyRequests,
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


class RequestsStatus(ours.HTTPError, requests.HTTPError):
    """The server answered with an error status."""


class RequestsUnauthorized(ours.AuthenticationError, requests.HTTPError):
    """The server refused the credentials."""


class RequestsTooManyRequests(ours.TooManyRequests, requests.HTTPError):
    """The server answered 429."""


class RequestsBodyTimeout(ours.TimeoutError, requests.ReadTimeout, requests.ConnectionError):
    """Nothing came of a body for too long."""


class RequestsBodySSL(ours.ConnectionError, requests.exceptions.SSLError):
    """A body broke off by a TLS error."""


class RequestsBodyConnection(ours.ConnectionError, requests.ConnectionError):
    """A body broke off by a connection error."""


class RequestsBodyTruncated(ours.ConnectionError, requests.exceptions.ChunkedEncodingError):
    """A body ended too early."""


FLAVOURS = Flavours(
    refusals={
        ours.CircuitBreakerOpen: RequestsCircuitBreakerOpen,
        ours.RateLimitExceeded: RequestsRateLimitExceeded,
        ours.DeadlineExceeded: RequestsDeadlineExceeded,
    },
    # The most specific first: a connect timeout is a connection error too.
    by_error=(
        (requests.ConnectTimeout, RequestsMaxRetriesConnectTimeout),
        (requests.exceptions.ProxyError, RequestsMaxRetriesProxy),
        (requests.exceptions.SSLError, RequestsMaxRetriesSSL),
        (requests.ReadTimeout, RequestsMaxRetriesReadTimeout),
        (requests.exceptions.ChunkedEncodingError, RequestsMaxRetriesBody),
        (requests.ConnectionError, RequestsMaxRetriesConnection),
    ),
    status=RequestsMaxRetriesStatus,
    throttled=RequestsMaxRetriesThrottled,
    other=RequestsMaxRetries,
    answers={
        ours.HTTPError: RequestsStatus,
        ours.AuthenticationError: RequestsUnauthorized,
        ours.TooManyRequests: RequestsTooManyRequests,
    },
    broken=(
        (requests.Timeout, RequestsBodyTimeout),
        (requests.exceptions.SSLError, RequestsBodySSL),
        (requests.ConnectionError, RequestsBodyConnection),
        (requests.exceptions.ChunkedEncodingError, RequestsBodyTruncated),
    ),
)
