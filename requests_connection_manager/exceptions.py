"""The one exception tree.

Holds every error class that the package raises, in the form that knows no HTTP library. What is
actually raised is a subclass that is *also* the error of the library underneath (see
``_requests_errors`` and ``_httpx_errors``), so both ``except MaxRetriesExceeded`` and
``except requests.ConnectTimeout`` work. Knows nothing of ours.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple, Type, Union

from ._frozen_dataclass import dataclass


@dataclass(frozen=True)
class RequestSummary:
    """What a pickled error keeps of its request: the method and the redacted URL."""

    method: str
    url: str


class ConnectionManagerError(Exception):
    """Base of every error of this package.

    :ivar request: the request that failed, a ``requests.PreparedRequest`` or ``httpx.Request``;
        ``None`` when it failed before one was built, a :class:`RequestSummary` after unpickling.
    :ivar attempts: what was tried, a tuple of
        :class:`~requests_connection_manager.events.AttemptFinished`.

    Errors pickle without their request, response and cause: these can hold credentials.

    >>> error = ConnectionManagerError("no luck")
    >>> error.attempts, error.request
    ((), None)
    """

    request: Any = None
    response: Any = None
    attempts: Tuple[Any, ...] = ()

    def __init__(self, *args: Any, **details: Any) -> None:
        # Not super(): the libraries' own __init__ differ in what they demand, and all that they
        # would set is set here.
        Exception.__init__(self, *args)
        for name, value in details.items():
            setattr(self, name, value)

    def __reduce__(self) -> Tuple[Any, ...]:
        return _rebuild, (type(self), self.args, _public_state(self))


def _public_state(error: ConnectionManagerError) -> Dict[str, Any]:
    state = {
        name: value
        for name, value in error.__dict__.items()
        if name not in ("request", "_request", "response", "headers", "body", "__notes__")
    }
    last = error.attempts[-1] if error.attempts else None
    if last is not None:
        state["request"] = RequestSummary(last.method, last.url)
    return state


def _rebuild(
    cls: Type[ConnectionManagerError], args: Tuple[Any, ...], state: Dict[str, Any]
) -> ConnectionManagerError:
    return cls(*args, **state)


def public_name(error: BaseException) -> str:
    """Return the documented name of an error's class, whatever library's error it is as well.

    >>> public_name(DeadlineExceeded()), public_name(KeyError())
    ('DeadlineExceeded', 'KeyError')
    """
    if not isinstance(error, ConnectionManagerError):
        return type(error).__name__
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == __name__)


class HTTPError(ConnectionManagerError):
    """The server answered with an error status.

    :ivar status_code: the status, e.g. ``503``.
    :ivar headers: the response's headers.
    :ivar body: the response's body as text, or ``None`` when it was not read.
    :ivar detail: what the body says, in one line of at most 500 characters without secrets: problem
        details (RFC 9457), ``error.message`` and other common forms, or plain text; ``None`` when
        that is nothing.
    :ivar request_id: the server's name for the request, for its support: ``X-Request-Id``,
        ``Request-Id``, ``X-Amzn-RequestId``, ``X-Amz-Request-Id``, ``X-Ms-Request-Id``,
        ``X-GitHub-Request-Id``, ``X-Correlation-Id``, ``X-Trace-Id`` or ``CF-Ray``, the first
        that is there; else ``None``.
    :ivar retry_after: seconds after which the server wants to be asked again, or ``None``.
    :ivar response: the library's response object.
    """

    status_code: Optional[int] = None
    headers: Optional[Mapping[str, str]] = None
    body: Optional[str] = None
    detail: Optional[str] = None
    request_id: Optional[str] = None
    retry_after: Optional[float] = None


class AuthenticationError(HTTPError):
    """The server refused the credentials (401 or 403)."""


class ConnectionError(ConnectionManagerError):
    """The network failed: no connection, or one that broke.

    :ivar sent: whether the request may have reached the server; ``None`` when unknown.
    :ivar stale: a kept-alive connection turned out to be dead before any answer came.
    """

    sent: Optional[bool] = None
    stale: bool = False


class TimeoutError(ConnectionManagerError):
    """Something took longer than it was given.

    :ivar sent: whether the request may have reached the server; ``None`` when unknown.
    """

    sent: Optional[bool] = None


class ValidationError(ConnectionManagerError):
    """A request or a response is not of the promised form.

    :ivar body: what was found instead, or ``None``.
    :ivar path: where in it: keys and indexes from the top.
    """

    body: Any = None
    path: Tuple[Union[str, int], ...] = ()


class RateLimitError(ConnectionManagerError):
    """A rate limit was hit: the server's (429) or our own.

    :ivar retry_after: seconds after which to try again, or ``None`` when unknown.
    """

    retry_after: Optional[float] = None


class TooManyRequests(HTTPError, RateLimitError):
    """The server answered 429: it asks for less traffic."""


class RateLimitExceeded(RateLimitError):
    """Our own limiter refused to send: nothing went out, no token was spent.

    :ivar retry_after: seconds until a token is free.
    """


class CircuitBreakerOpen(ConnectionManagerError):
    """The circuit breaker of this scope is open: nothing went out, no token was spent.

    :ivar retry_after: seconds until the breaker lets a probe through.
    """

    retry_after: Optional[float] = None


class MaxRetriesExceeded(ConnectionManagerError):
    """A failure that is worth a retry was not, or no longer, retried.

    It is also the underlying library's error for the last failure (``requests.ConnectTimeout``,
    ``httpx.ReadError``, …); after a status it is an :class:`HTTPError` too.

    :ivar reason: why no further attempt was made: ``"max_retries"``, ``"retry_budget"``,
        ``"retry_after"`` (the server asks for more patience than ``retry_after_max``),
        ``"deadline"``, ``"circuit_open"``, ``"rate_limit"`` or ``"body_not_replayable"``.
    :ivar response: the last response, already read, or ``None`` after a connection error.
    :ivar retry_after: the server's last hint in seconds, or ``None``.
    """

    reason: str = "max_retries"
    retry_after: Optional[float] = None


class DeadlineExceeded(TimeoutError):
    """``total_timeout`` ran out, whatever the call was doing at that moment."""


class JournalError(ConnectionManagerError):
    """The journal of a batch can't be used, or the batch is not the one that it holds."""


class RecordedFailure(ConnectionManagerError):
    """The journal of a batch says that an item failed, and it is not to be tried again.

    :ivar status_code: what the server had answered, or ``None``.
    """

    status_code: Optional[int] = None


def status_error_class(status: int) -> Type[HTTPError]:
    """Return the class of the error for an unsuccessful status.

    >>> status_error_class(403).__name__, status_error_class(404).__name__
    ('AuthenticationError', 'HTTPError')
    """
    if status in (401, 403):
        return AuthenticationError
    return TooManyRequests if status == 429 else HTTPError


__all__ = [
    "AuthenticationError",
    "CircuitBreakerOpen",
    "ConnectionError",
    "ConnectionManagerError",
    "DeadlineExceeded",
    "HTTPError",
    "JournalError",
    "MaxRetriesExceeded",
    "RateLimitError",
    "RateLimitExceeded",
    "RecordedFailure",
    "RequestSummary",
    "TimeoutError",
    "TooManyRequests",
    "ValidationError",
    "public_name",
    "status_error_class",
]
