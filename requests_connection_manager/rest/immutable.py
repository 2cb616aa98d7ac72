"""What makes the configuration of a REST client immutable.

Holds :class:`FrozenHeaders` and the list of the attributes that configure a client. Several
threads share a client: what one of them changes half-way would reach requests of the others.
Knows httpx through ``transport`` only.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..transport import hx

CONFIGURATION = frozenset(
    {
        *("auth", "base_url", "event_hooks", "follow_redirects", "headers", "max_redirects"),
        *("params", "serializer", "timeout", "trust_env"),
    }
)
"""The attributes that are the configuration of a client. Cookies are state, not that."""

IMMUTABLE = (
    "the configuration of this client is immutable, since threads and tasks share it; "
    "client.with_options(...) returns a sibling with other settings and the same connections"
)


class FrozenHeaders(hx.Headers):
    """Headers that can be read and copied only.

    >>> FrozenHeaders({"Accept": "text/plain"})["accept"]
    'text/plain'
    >>> FrozenHeaders({"Accept": "text/plain"}).copy()["accept"]
    'text/plain'
    """

    def __setitem__(self, key: str, value: str) -> NoReturn:
        raise TypeError(f"can't set {key!r}: {IMMUTABLE}")

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError(f"can't delete {key!r}: {IMMUTABLE}")

    def update(self, headers: Any = None) -> NoReturn:  # type: ignore[override]  # never returns
        """Raise: immutable."""
        raise TypeError(IMMUTABLE)


__all__ = ["CONFIGURATION", "IMMUTABLE", "FrozenHeaders"]
