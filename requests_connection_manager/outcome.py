"""What an attempt came to.

Holds :class:`Outcome` (a status, or an error and how far the request had got) and the parser of
the hints with which servers ask for patience. Knows no HTTP library: the drivers translate their
library's errors into a :class:`Phase`.
"""

from __future__ import annotations

import enum
import math
import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, Mapping, Optional

from ._frozen_dataclass import dataclass
from ._lazy_regex import lazy_regex
from .exceptions import public_name


class Phase(enum.Enum):
    """How far a request had got when it failed."""

    NOT_SENT = "not sent"
    """DNS, connect, proxy: the server never saw it. Any method may be tried again."""

    SENT = "sent"
    """Read timeout, reset, truncated body: the server may have acted on it."""

    QUEUED = "queued"
    """Our own pool had no connection free. Worth a retry, and no word about the server."""

    UNTRUSTED = "untrusted"
    """TLS verification failed: trying again would change nothing."""

    LOCAL = "local"
    """Our side never got as far as the network: a bad header, an unknown scheme."""


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to: a response, or an error in a phase.

    :ivar status: the response's status, or ``None``.
    :ivar error: the library's exception, or ``None``.
    :ivar phase: how far an attempt that failed had got.
    :ivar headers: the response's headers, for hints.
    :ivar expected: the caller takes this status for an answer (``ok_statuses``).
    """

    status: Optional[int] = None
    error: Optional[Exception] = None
    phase: Optional[Phase] = None
    headers: Optional[Mapping[str, str]] = None
    expected: bool = False

    @property
    def failed(self) -> bool:
        """Whether it speaks against the server's health: no usable answer, or a 5xx.

        A 5xx that the caller expects does not.
        """
        if self.error is None:
            return self.status is not None and self.status >= 500 and not self.expected
        return self.phase not in (Phase.LOCAL, Phase.QUEUED)

    @property
    def throttled(self) -> bool:
        """Whether the server asked for less traffic."""
        return self.status == 429

    @property
    def cause(self) -> str:
        """A word for logs and events, without secrets: ``status 503``, ``ConnectTimeout``."""
        if self.error is not None:
            return public_name(self.error)
        return f"status {self.status}"


QUOTA_HEADERS = frozenset(
    {
        "ratelimit",
        "ratelimit-remaining",
        "x-ratelimit-remaining",
    }
)
"""Lower-case names of the headers that tell what is left of a quota."""


def retry_hint(headers: Mapping[str, str], wall_clock: Any, throttled: bool) -> Optional[float]:
    """Return the seconds that a server asks to wait, or ``None``.

    Reads ``retry-after-ms``, ``Retry-After`` (seconds or HTTP date, RFC 9110 section 10.2.3) and,
    when the quota is used up or the request was ``throttled``, the reset of ``RateLimit`` and
    ``X-RateLimit-*`` headers (draft-ietf-httpapi-ratelimit-headers; above 10⁹: epoch seconds).
    Garbage, negative and past values are ignored.

    :param headers: the response's headers, looked up without regard to case.
    :param wall_clock: returns seconds since the epoch; asked only when a date has to be compared.

    >>> retry_hint({"Retry-After": "7"}, None, False)
    7.0
    >>> retry_hint({"Retry-After": "soon"}, None, False) is None
    True
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    text = headers.get("Retry-After")
    if text is not None:
        seconds = _number(text)
        if seconds is None:
            seconds = _date_delta(text, wall_clock)
        if seconds is not None:
            return seconds
    if throttled or quota_exhausted(headers):
        return _quota_reset(headers, wall_clock)
    return None


def quota_exhausted(headers: Mapping[str, str]) -> bool:
    """Tell whether the server says that nothing is left of the quota.

    >>> quota_exhausted({"X-RateLimit-Remaining": "0"})
    True
    """
    for name in ("X-RateLimit-Remaining", "RateLimit-Remaining"):
        remaining = headers.get(name)
        if remaining is not None:
            return _number(remaining) == 0.0
    combined = headers.get("RateLimit")
    if combined is None:
        return False
    found = re.search(r"\b(?:remaining|r)\s*=\s*(\d+)", combined)
    return found is not None and int(found.group(1)) == 0


def _quota_reset(headers: Mapping[str, str], wall_clock: Any) -> Optional[float]:
    for name in ("X-RateLimit-Reset", "RateLimit-Reset"):
        value = _number(headers.get(name))
        if value is not None:
            if value <= 1e9:
                return value
            past = value - float(wall_clock())
            return past if past > 0 else None
    combined = headers.get("RateLimit")
    found = combined and re.search(r"\b(?:reset|t)\s*=\s*(\d+)", combined)
    return float(found.group(1)) if found else None


# ASCII digits only: float() also takes "nan", "1_0" and other scripts' digits.
_DECIMAL = lazy_regex(r"\s*[0-9]+(?:\.[0-9]+)?\s*\Z", re.ASCII)


def _number(text: Optional[str]) -> Optional[float]:
    if text is None or not _DECIMAL.match(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _date_delta(text: str, wall_clock: Any) -> Optional[float]:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    try:
        seconds = date.timestamp() - float(wall_clock())
    except (OverflowError, ValueError):
        return None
    return seconds if seconds > 0 else None
