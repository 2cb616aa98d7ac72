"""A session with the usual settings, and one request with the usual patience.

Holds :func:`create_session` and :func:`request_with_retry`. Knows requests' sessions by their
``request`` method only, so that test doubles work; the loop is the pipeline's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional

from ..defaults import DEFAULT_TIMEOUT, RETRYABLE_STATUS_CODES
from ..manager import ConnectionManager
from ..outcome import Phase
from ..plugins import is_coroutine_hook
from ..redaction import redact_url
from ..settings import Settings
from ..types import Clock
from .function_hop import FunctionHop, Terms, run_function
from .request_body import RequestBody
from .status_retry import status_retry

if TYPE_CHECKING:
    import requests

_POLICY: Dict[str, Any] = {
    "total": 2,
    "backoff_factor": 2,
    "status_forcelist": RETRYABLE_STATUS_CODES,
    "allowed_methods": None,
    "raise_on_status": False,
}
_SETTINGS = Settings()


def create_session(**settings: Any) -> ConnectionManager:
    """Return a manager with a usual retry strategy and pools of 10.

    It retries 429, 500, 502, 503 and 504 up to 3 times, after 1, 2 and 4 s, for ``HEAD``, ``GET``,
    ``OPTIONS`` and ``POST``: use it with services where a ``POST`` may arrive twice.

    :param settings: any parameter of ``ConnectionManager``, instead of these or in addition; what
        is not given is as there: 100 attempts in 60 s for an origin, for example.
    :raises TypeError: for a value of the wrong type, or an unknown name.
    :raises ValueError: for a value out of range.

    >>> with create_session(timeout=5) as session:
    ...     session.get_adapter("https://").max_retries.total
    3
    """
    usual: Dict[str, Any] = {
        "max_retries": 3,
        "backoff_factor": 1,
        "backoff_jitter": 0,
        "status_forcelist": [429, 500, 502, 503, 504],
        "allowed_methods": ["HEAD", "GET", "OPTIONS", "POST"],
        "pool_connections": 10,
        "pool_maxsize": 10,
    }
    return ConnectionManager(**{**usual, **settings})


def request_with_retry(
    session: requests.Session,
    method: str,
    url: str,
    *,
    clock: Optional[Clock] = None,
    **kwargs: Any,
) -> requests.Response:
    """Send a request up to three times, as long as :func:`is_retryable` says so of the answer.

    Before the next attempt it waits as long as the server says (``Retry-After`` in seconds or as a
    date, RFC 9110 section 10.2.3), else 2 and 4 s. A hint beyond 120 s is not waited for: the
    response comes back. Any method is repeated, ``POST`` as well, so use it where that is harmless.

    A body that was consumed and can't be rewound is never sent twice: the response comes back, and
    a warning in the log says why. Seekable files are rewound to where they were.

    A ``ConnectionManager`` does all of this in its own pipeline, with this policy for this call,
    so that nothing is multiplied; its limits, breaker and ``retry_after_max`` hold.

    :param session: a ``requests.Session``, or what has its ``request`` method.
    :param clock: where time comes from, for tests; a manager has its own.
    :param kwargs: what ``session.request`` takes. Without a ``timeout`` it is 30 s; a manager's
        own where ``session`` is one.
    :returns: the last response, whatever its status.
    :raises requests.RequestException: requests' errors, at once.
    :raises TypeError: when ``session`` has no ``request``, or one that has to be awaited.
    :raises ValueError: for a ``clock`` together with a manager.

    As safe to use from several threads as the session is.

    >>> from requests_connection_manager.testing import FaultServer, VirtualClock, reply
    >>> with FaultServer() as server, create_session() as session:
    ...     server.route("/", reply(503, headers={"Retry-After": "0"}), reply(200))
    ...     request_with_retry(session, "GET", server.url("/")).status_code
    200
    """
    send = getattr(session, "request", None)
    if not callable(send) or is_coroutine_hook(send):
        raise TypeError(f"session must be a requests.Session, not {session!r}")
    if isinstance(session, ConnectionManager):
        if clock is not None:
            raise ValueError("clock can't be given together with a manager, which has its own")
        retry = status_retry(session.core.clock.time, **_POLICY)
        policy = {"max_retries": retry, "raise_for_status": False}
        return session.request(method, url, **{**policy, **kwargs})
    kwargs.setdefault("timeout", DEFAULT_TIMEOUT)
    hop = _SessionHop(lambda: send(method, url, **kwargs), method, url, RequestBody(kwargs), clock)
    return run_function(hop)


class _SessionHop(FunctionHop["requests.Response"]):
    """Requests of a session that is no manager; only their answers are looked at."""

    def __init__(
        self,
        send: Callable[[], requests.Response],
        method: str,
        url: str,
        body: RequestBody,
        clock: Optional[Clock],
    ) -> None:
        terms = Terms(status_retry(lambda: self.clock.time(), **_POLICY), lambda: (), 0.0, clock)
        super().__init__(send, redact_url(url), terms, str(method).upper(), _SETTINGS)
        self._body = body

    async def send(self) -> requests.Response:
        if self.call.attempts:
            self._body.rewind()
        return await super().send()

    async def settle(self, response: requests.Response) -> None:
        response.close()

    def status(self, response: requests.Response) -> int:
        status = response.status_code
        return status if isinstance(status, int) else 0

    def telling_headers(self, response: requests.Response) -> Optional[Mapping[str, str]]:
        headers = response.headers
        return headers if isinstance(headers, Mapping) else None

    def phase(self, error: Exception) -> Optional[Phase]:
        return None

    def replayable(self) -> bool:
        return self._body.replayable


__all__ = ["create_session", "request_with_retry"]
