"""A JSON client that keeps its distance between two requests.

Holds :class:`RateLimitedClient`. Limiting, waiting and retrying are the manager's; this module
only chooses the settings.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Type, TypeVar

from .. import core
from ..base_url import check_base_url, join
from ..checks import check_clock
from ..events import AttemptStarted
from ..manager import ConnectionManager
from ..origins import origin_of
from ..policies._checks import check_number
from ..policies.rate_limit import TokenBucketRateLimiter
from ..settings import MANAGER, check_settings
from ..types import Clock
from .status_retry import status_retry

C = TypeVar("C", bound="RateLimitedClient")

_WITHOUT_HINT = 60.0
_RETRIES = 3

# What a Retry carries, and so can't be left to the manager.
_POLICY: Dict[str, Any] = {
    "max_retries": _RETRIES,
    "status_forcelist": (429,),
    "allowed_methods": None,
    "backoff_factor": _WITHOUT_HINT,
    "backoff_max": _WITHOUT_HINT,
    "backoff_jitter": 0.0,
    "raise_on_status": True,
}


class RateLimitedClient:
    """A client of one service that sends at most so many requests per second.

    Between two attempts there are at least :attr:`min_interval` seconds, whichever threads make
    them. After a 429 it waits as long as the server says, 60 s where it says nothing, and tries
    again, up to 3 times; a hint beyond ``retry_after_max`` (120 s) is an error at once. Any method
    is repeated then: a request that was throttled was not carried out.

    :param base_url: what paths are appended to; absolute, without query.
    :param requests_per_second: how many, above 0; 0.5 is one every two seconds.
    :param settings: any parameter of ``ConnectionManager``, instead of those above or in addition:
        ``timeout`` (30 s by default), ``bearer_token``, ``max_retries``, ``total_timeout``, ….
    :ivar base_url: as given.
    :ivar min_interval: seconds between two attempts.
    :ivar last_request_time: when the last attempt was sent, in seconds since the epoch; 0.0 before
        the first.
    :ivar session: the ``ConnectionManager`` below.
    :raises TypeError: for a parameter of the wrong type, naming it.
    :raises ValueError: for a parameter out of range, naming it.

    Thread-safe. A pickled one starts with connections and a limiter of its own.

    >>> from requests_connection_manager.testing import FaultServer, VirtualClock, reply
    >>> clock = VirtualClock()
    >>> with FaultServer() as server:
    ...     server.route("/items/1", reply(200, json={"id": 1}))
    ...     with RateLimitedClient(server.origin, requests_per_second=2, clock=clock) as client:
    ...         client.get("/items/1"), client.get("/items/1"), clock.sleeps
    ({'id': 1}, {'id': 1}, (0.5,))
    """

    def __init__(self, base_url: str, requests_per_second: float = 3.0, **settings: Any) -> None:
        self.base_url = check_base_url(base_url)
        rate = check_number(requests_per_second, "requests_per_second")
        self.min_interval = 1.0 / rate
        self.last_request_time = 0.0
        given = settings.pop("clock", None)
        check_clock(given)
        clock: Clock = core.SystemClock() if given is None else given
        usual: Dict[str, Any] = {
            "rate_limiter": TokenBucketRateLimiter(rate, capacity=1, clock=clock.monotonic),
            "rate_limit_mode": "wait",
            "raise_for_status": True,
            "clock": clock,
        }
        settings.update(max_retries=_retry(settings, clock))
        self.session = ConnectionManager(**{**usual, **settings})
        # An absolute URL may lead elsewhere, the credentials don't.
        self.session.core.home = origin_of(base_url)
        self.session.add_listener(self._note_attempt, AttemptStarted)

    def get(self, path: str, **kwargs: Any) -> Any:
        """Send a ``GET`` request; see :meth:`request`."""
        return self.request("GET", path, **kwargs)

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send a request when it is its turn and return the decoded JSON, ``None`` without a body.

        :param path: appended to :attr:`base_url`.
        :param kwargs: what ``ConnectionManager.request`` takes.
        :raises HTTPError: for a 4xx or 5xx; also a ``requests.HTTPError``. After a 429 it is a
            ``TooManyRequests``.
        :raises requests.JSONDecodeError: when the body is not JSON.
        :raises requests.RequestException: for other trouble, as ``ConnectionManager.request``.
        """
        response = self.session.request(method, join(self.base_url, path), **kwargs)
        return response.json() if response.content else None

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]] = None,
        error: Optional[BaseException] = None,
        traceback: Any = None,
    ) -> None:
        self.close()

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.session.add_listener(self._note_attempt, AttemptStarted)

    def _note_attempt(self, event: AttemptStarted) -> None:
        self.last_request_time = self.session.core.clock.time()


def _retry(settings: Dict[str, Any], clock: Clock) -> Any:
    """Take what a retry policy is made of out of the settings and return the policy."""
    given = {name: settings.pop(name) for name in _POLICY if name in settings}
    checked = check_settings({**_POLICY, **given}, MANAGER, "RateLimitedClient")
    total = checked.pop("max_retries")
    if not isinstance(total, int):
        return total  # a Retry of the caller's
    return status_retry(clock.time, total=total, **checked)


__all__ = ["RateLimitedClient"]
