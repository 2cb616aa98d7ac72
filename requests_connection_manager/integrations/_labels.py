"""What of an event may become a label of a metric.

Holds the bounds: every label has a limited number of values, whatever is called. Knows URLs, and no
telemetry library.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Generic, NamedTuple, Optional, TypeVar

from ..origins import DEFAULT_PORTS, origin_of

T = TypeVar("T")

KNOWN_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
"""The methods of RFC 9110, and PATCH (RFC 5789)."""

UNKNOWN_HOST = "unknown"
"""Stands for what is no host, so that nothing a caller made up becomes a label."""


class Address(NamedTuple):
    """Where a request goes.

    :ivar host: without brackets, also of IPv6.
    :ivar port: 0 when it is not known.
    """

    host: str
    port: int


def address_of(url: str) -> Address:
    """Return the address in a URL.

    >>> address_of("https://[REDACTED]@api.test/v1"), address_of("http://[::1]:8080/").host
    (Address(host='api.test', port=443), '::1')
    >>> address_of("/v1")
    Address(host='unknown', port=0)
    """
    origin = origin_of(url)
    if origin.host.startswith("?"):
        return Address(UNKNOWN_HOST, 0)
    return Address(origin.host.strip("[]"), origin.port)


def host_label(url: str) -> str:
    """Return the host of a URL, with its port where that is not the scheme's own.

    >>> host_label("https://api.test/v1"), host_label("http://api.test:8080/")
    ('api.test', 'api.test:8080')
    """
    origin = origin_of(url)
    if origin.host.startswith("?"):
        return UNKNOWN_HOST
    if origin.port == DEFAULT_PORTS.get(origin.scheme):
        return origin.host
    return f"{origin.host}:{origin.port}"


def method_label(method: str, known: FrozenSet[str], other: str) -> str:
    """Return a method, or ``other`` for one that is not ``known``.

    >>> method_label("GET", KNOWN_METHODS, "_OTHER"), method_label("BREW", KNOWN_METHODS, "_OTHER")
    ('GET', '_OTHER')
    """
    return method if method in known else other


class Bounded(Generic[T]):
    """Lets the first ``limit`` different values through, and gives ``other`` for any further one.

    Thread-safe; threads that bring new values at the same moment may exceed the limit by their
    number.

    >>> bounded = Bounded(1, "other")
    >>> bounded.of("a"), bounded.of("b"), bounded.of("a")
    ('a', 'other', 'a')
    """

    def __init__(self, limit: int, other: T) -> None:
        self._limit = limit
        self._other = other
        self._known: Dict[T, None] = {}

    def of(self, value: T) -> T:
        """Return the value, or what stands for the others."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return self._other
        self._known[value] = None
        return value


def check_limit(value: Any, name: str) -> int:
    """Return a limit, checked.

    :raises TypeError: when it is no ``int``.
    :raises ValueError: when it is below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int of at least 1, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be an int of at least 1, not {value!r}")
    return value


def check_methods(methods: Any) -> Optional[FrozenSet[str]]:
    """Return the names of methods, checked; ``None``: none were given.

    :raises TypeError: when they are no iterable of ``str``.
    """
    if methods is None:
        return None
    wanted = "known_methods must be an iterable of names such as 'GET'"
    if isinstance(methods, (str, bytes)) or not hasattr(methods, "__iter__"):
        raise TypeError(f"{wanted}, not {methods!r}")
    names = frozenset(methods)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{wanted}, not one with {name!r}")
    return names


__all__ = [
    "KNOWN_METHODS",
    "UNKNOWN_HOST",
    "Address",
    "Bounded",
    "address_of",
    "check_limit",
    "check_methods",
    "host_label",
    "method_label",
]
