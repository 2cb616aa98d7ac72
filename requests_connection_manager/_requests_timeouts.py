"""Timeouts in the forms that requests takes.

Holds what resolves, tightens and checks them. Knows requests' and urllib3's forms; waits for
nothing.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

from urllib3.util import Timeout as UrllibTimeout

from .call import Call
from .policies.deadline import tighter
from .settings import UNSET


def resolve_timeout(settings: Any, overrides: Mapping[str, Any], given: Any) -> Any:
    """Return the timeout for requests: the call's own, or the settings' with its finer parts."""
    if given is not UNSET:
        timeout, connect, read = (
            given,
            overrides.get("connect_timeout"),
            overrides.get("read_timeout"),
        )
    else:
        timeout, connect, read = (
            settings.timeout,
            settings.connect_timeout,
            settings.read_timeout,
        )
    if connect is None and read is None:
        return timeout
    base = _pair(timeout)
    return (base[0] if connect is None else connect, base[1] if read is None else read)


def _pair(timeout: Any) -> Tuple[Any, Any]:
    if isinstance(timeout, UrllibTimeout):
        # Not its properties: with a total, they ask a clock that was not started.
        return _part(timeout, timeout._connect), _part(timeout, timeout._read)
    if isinstance(timeout, tuple):
        connect, read = timeout
        return connect, read
    return timeout, timeout


def _part(timeout: UrllibTimeout, own: Any) -> Optional[float]:
    parts = [UrllibTimeout.resolve_default_timeout(part) for part in (own, timeout.total)]
    return min((part for part in parts if part is not None), default=None)


def within_deadline(timeout: Any, call: Call) -> Tuple[Optional[float], Optional[float]]:
    """Return a timeout that ends with the deadline of the call at the latest."""
    connect, read = _pair(timeout)
    # urllib3 refuses 0; whoever is that late is caught right after.
    return (
        max(tighter(connect, call.deadline) or 0.0, 0.001),
        max(tighter(read, call.deadline) or 0.0, 0.001),
    )


def check_requests_timeout(timeout: Any, where: str) -> None:
    """Refuse a timeout that requests can't use.

    :raises ValueError: for a tuple that is not ``(connect, read)``.
    :raises TypeError: for the object of another library.
    """
    wanted = f"timeout must be seconds, (connect, read) or a urllib3 Timeout, not {timeout!r}"
    if isinstance(timeout, (tuple, list)) and len(timeout) != 2:
        raise ValueError(f"{wanted} ({where})")
    if hasattr(timeout, "as_dict") and not isinstance(timeout, UrllibTimeout):
        raise TypeError(f"{wanted} ({where})")


__all__ = ["check_requests_timeout", "resolve_timeout", "within_deadline"]
