"""Joining paths to a base URL.

Holds the one rule by which every face with a ``base_url`` builds its URLs: what is joined stays
below the base. Knows no HTTP library.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from .redaction import redact_text, redact_url

_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)


def check_base_url(url: Any) -> str:
    """Return a base URL, checked.

    :raises TypeError: when it is no ``str``.
    :raises ValueError: when it is not an absolute http(s) URL, or has a query or a fragment.

    >>> check_base_url("api.example.com")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: base_url must be an absolute URL such as ..., not 'api.example.com'
    """
    wanted = "base_url must be an absolute URL such as 'https://api.example.com/v1'"
    if not isinstance(url, str):
        raise TypeError(f"{wanted}, not {redact_text(repr(url))}")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises for one that is no number
    except ValueError as exc:
        raise ValueError(f"{wanted}, not {redact_url(url)!r}: {exc}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or url != url.strip():
        raise ValueError(f"{wanted}, not {redact_url(url)!r}")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError(f"base_url can't have a query or a fragment: {redact_url(url)!r}")
    return url


def join(base_url: str, path: str) -> str:
    """Return the URL of ``path`` below ``base_url``.

    An absolute URL stays as it is; everything else, ``//host/x`` too, is appended to the base.

    :raises ValueError: for a ``..`` segment, which would leave the base.

    >>> join("https://api.example.com/v1/", "/users")
    'https://api.example.com/v1/users'
    >>> join("https://api.example.com/v1", "//evil.test/users")
    'https://api.example.com/v1/evil.test/users'
    >>> join("https://api.example.com/v1", "?page=2")
    'https://api.example.com/v1?page=2'
    """
    if _ABSOLUTE.match(path):
        return path
    own = re.split(r"[?#]", path, maxsplit=1)[0]
    if ".." in re.split(r"[/\\]", unquote(own)):
        raise ValueError(
            f"path must stay below base_url, but has a '..' segment: {redact_url(path)!r}"
        )
    if not own:
        return base_url + path
    # A backslash is a slash to some parsers.
    return f"{base_url.rstrip('/')}/{path.lstrip('/' + chr(92))}"


__all__ = ["check_base_url", "join"]
