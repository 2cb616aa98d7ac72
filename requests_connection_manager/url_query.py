"""Adding a parameter to the query of a URL. Knows URLs only."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit


def with_query(url: str, name: str, value: str) -> str:
    """Return ``url`` with one more query parameter, unless it has it already.

    >>> with_query("https://api.test/a?b=1#c", "key", "x y")
    'https://api.test/a?b=1&key=x+y#c'
    """
    parts = urlsplit(url)
    if any(pair.split("=", 1)[0] == name for pair in parts.query.split("&")):
        return url
    added = urlencode({name: value})
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))
