"""Which answers are worth another try, and when.

Holds :func:`is_retryable` and :class:`StatusRetry`, the policy that retries answers, not errors.
Knows no HTTP library.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Optional

from ..defaults import RETRYABLE_STATUS_CODES
from ..outcome import retry_hint
from ..policies.retry import Retry


def is_retryable(response: Any) -> bool:
    """Tell whether a response has one of :data:`RETRYABLE_STATUS_CODES`.

    :param response: a ``requests.Response``, an ``httpx.Response``, or anything with a
        ``status_code``.

    >>> import requests
    >>> response = requests.Response()
    >>> response.status_code = 503
    >>> is_retryable(response)
    True
    """
    return response.status_code in RETRYABLE_STATUS_CODES


class StatusRetry(Retry):
    """A ``Retry`` for statuses only, where a server's hint takes the place of the delay.

    Other policies are the more patient of the two: their delay, or the hint if that is longer.
    An immutable value, as every ``Retry``; :func:`status_retry` makes one.

    :ivar wall_clock: returns seconds since the epoch, for hints that are dates.
    :ivar hinted: the last response had a hint.
    """

    wall_clock: Callable[[], float] = staticmethod(time.time)
    hinted = False

    def new(self, **changes: Any) -> Any:
        """Return a copy with the ``changes``."""
        following = super().new(**changes)
        following.wall_clock = self.wall_clock
        return following

    def increment(
        self,
        method: Optional[str] = None,
        url: Optional[str] = None,
        response: Any = None,
        error: Optional[Exception] = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Any:
        """Return the policy after one more attempt; see urllib3."""
        following = super().increment(method, url, response, error, _pool, _stacktrace)
        following.hinted = response is not None and _has_hint(response, self.wall_clock)
        return following

    def get_backoff_time(self) -> float:
        """Return the seconds to wait before the next attempt if there is no hint."""
        return 0.0 if self.hinted else super().get_backoff_time()


def _has_hint(response: Any, wall_clock: Callable[[], float]) -> bool:
    return retry_hint(response.headers, wall_clock, response.status == 429) is not None


def status_retry(wall_clock: Callable[[], float], **policy: Any) -> StatusRetry:
    """Return a :class:`StatusRetry`; errors and redirects are none of its business.

    :param policy: parameters of urllib3's ``Retry``.

    >>> retry = status_retry(None, total=2, backoff_factor=2)
    >>> retry.increment("GET", "/").get_backoff_time()
    2.0
    """
    given = {"connect": False, "read": False, "redirect": False, "raise_on_redirect": False}
    retry = StatusRetry(**{"backoff_jitter": 0.0, **given, **policy})
    retry.wall_clock = wall_clock
    return retry


__all__ = ["RETRYABLE_STATUS_CODES", "StatusRetry", "is_retryable", "status_retry"]
