"""Whether, and after how long, an attempt is made again.

Holds :class:`Retry`, the urllib3 ``Retry`` that carries our delays, and :func:`judge`, which
turns an outcome into a verdict. Pure: urllib3's ``Retry`` is used as a value and never sleeps
here; nothing is sent, and no HTTP client is imported.
"""

from __future__ import annotations

import random
from typing import Any, Mapping, Optional, Union

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
)
from urllib3.util.retry import Retry as UrllibRetry

from .._frozen_dataclass import dataclass
from ..outcome import Outcome, Phase


class Retry(UrllibRetry):
    """urllib3's ``Retry`` with this package's delays.

    The delay before retry *n* is ``backoff_factor * 2 ** (n - 1)`` seconds, at most
    ``backoff_max``, plus a random share of up to ``backoff_jitter`` (a fraction; 0 is exact).
    Everything else is urllib3's; it is an immutable value, safe to share.

    >>> retry = Retry(total=3, backoff_factor=0.5, backoff_jitter=0)
    >>> retry = retry.increment("GET", "/", error=OSError())
    >>> retry.get_backoff_time()
    0.5
    >>> retry.increment("GET", "/", error=OSError()).get_backoff_time()
    1.0
    """

    def get_backoff_time(self) -> float:
        """Return the seconds to wait before the next attempt."""
        failures = sum(1 for entry in self.history if entry.redirect_location is None)
        if not failures:
            return 0.0
        # min() before the power: 2.0 ** 1100 overflows.
        delay = min(float(self.backoff_max), self.backoff_factor * 2.0 ** min(failures - 1, 64))
        if self.backoff_jitter:
            delay += delay * self.backoff_jitter * random.random()
        return delay


@dataclass(frozen=True)
class Again:
    """Verdict: try again after ``delay`` seconds, with ``retry`` as the new state."""

    retry: UrllibRetry
    delay: float


@dataclass(frozen=True)
class Stop:
    """Verdict: worth a retry, but there is no further one; ``reason`` says why."""

    reason: str


Verdict = Union[Again, Stop, None]
"""``None`` means that the policy never retries such an outcome: it is the library's own."""


def is_off(retry: UrllibRetry) -> bool:
    """Tell whether ``retry`` allows no attempt but the first."""
    return retry.total is not None and (retry.total is False or retry.total <= 0)


def judge(
    retry: UrllibRetry,
    outcome: Outcome,
    method: str,
    url: str,
    keyed: bool,
    hint: Optional[float],
    hint_max: float,
) -> Verdict:
    """Return the verdict of ``retry`` on ``outcome``.

    :param keyed: the request carries an idempotency key, so that it may be sent twice.
    :param hint: the server's hint in seconds; it raises the delay.
    :param hint_max: a hint beyond this is not waited for.

    A ``Retry`` that is not ours decides everything by its own methods, hints included.
    """
    if not isinstance(retry, Retry):
        return _ask_foreign(retry, outcome, method, url)
    if not _worth_a_retry(retry, outcome, method, keyed):
        return None
    try:
        following = _increment(retry, outcome, method, url)
    except MaxRetryError:
        return Stop("max_retries")
    delay = following.get_backoff_time()
    if hint is not None and outcome.status is not None:
        if hint > hint_max:
            return Stop("retry_after")
        delay = max(delay, hint)
    return Again(following, delay)


def _worth_a_retry(retry: Retry, outcome: Outcome, method: str, keyed: bool) -> bool:
    if outcome.error is None:
        if outcome.expected or outcome.status not in retry.status_forcelist:
            return False
    elif outcome.phase in (Phase.NOT_SENT, Phase.QUEUED):
        # As in urllib3's own: False (not 0) leaves the error as it is.
        return retry.connect is not False
    elif outcome.phase is not Phase.SENT or retry.read is False:
        return False
    allowed = retry.allowed_methods
    return keyed or not isinstance(allowed, (frozenset, set, list, tuple)) or method in allowed


def _increment(retry: Retry, outcome: Outcome, method: str, url: str) -> UrllibRetry:
    # urllib3 re-raises read errors of methods outside allowed_methods. Ours has decided already,
    # so all that is left to do is to count.
    if outcome.error is None:
        return retry.increment(method, url, response=_as_response(outcome))
    return retry.increment(method, url, error=HTTPError(outcome.cause))


def _ask_foreign(retry: UrllibRetry, outcome: Outcome, method: str, url: str) -> Verdict:
    response = _as_response(outcome)
    if outcome.error is None:
        has_hint = "Retry-After" in (outcome.headers or {})
        if not retry.is_retry(method, outcome.status or 0, has_hint):
            return None
        error = None
    elif outcome.phase in (Phase.LOCAL, Phase.UNTRUSTED):
        return None
    else:
        error = _as_urllib3_error(outcome)
    try:
        following = retry.increment(
            method, url, response=None if error else response, error=error, _pool=None
        )
    except MaxRetryError:
        return Stop("max_retries")
    except Exception as exc:
        # increment() re-raises the very error that it will not retry.
        if exc is error:
            return None
        raise
    return Again(following, _foreign_delay(following, None if error else response))


def _foreign_delay(retry: UrllibRetry, response: Any) -> float:
    if response is not None and retry.respect_retry_after_header:
        try:
            hint = retry.get_retry_after(response)
        except HTTPError:
            hint = None
        if hint:
            return float(hint)
    return max(0.0, float(retry.get_backoff_time()))


@dataclass(frozen=True)
class _ResponseView:
    """As much of a response as urllib3's ``Retry`` looks at."""

    status: int
    headers: Mapping[str, str]

    def get_redirect_location(self) -> bool:
        return False


def _as_response(outcome: Outcome) -> Any:
    return _ResponseView(outcome.status or 0, outcome.headers or {})


def _as_urllib3_error(outcome: Outcome) -> Exception:
    """Return the error as ``Retry.increment`` tells errors apart."""
    found: Optional[BaseException] = outcome.error
    for _ in range(5):
        reason = getattr(found, "reason", None)
        if isinstance(found, MaxRetryError) and isinstance(reason, Exception):
            return reason
        if isinstance(found, HTTPError) and not isinstance(found, ResponseError):
            return found
        args = getattr(found, "args", ())
        found = args[0] if args and isinstance(args[0], BaseException) else None
    text = outcome.cause
    if outcome.phase in (Phase.NOT_SENT, Phase.QUEUED):
        return ConnectTimeoutError(text)
    if "Timeout" in text:
        return ReadTimeoutError(None, "", text)  # type: ignore[arg-type]  # no pool on httpx
    return ProtocolError(text)
