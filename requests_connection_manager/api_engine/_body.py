"""What a request of the engine says: its query and its body, the same for every HTTP client.

Holds the encoding of parameters, forms and JSON. Knows no HTTP library.
"""

from __future__ import annotations

import json
import re
from typing import (
    Any,
    AsyncIterable,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from ._source import Source, is_file, is_replayable, position, rewind

# RFC 3986: what may stand in a path or query as it is, and the '%' of what is escaped already.
_URL_SAFE = "!$%&'()*+,/:;=?@~"
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


# -- the query -----------------------------------------------------------------------------------


def with_params(url: str, params: Any) -> str:
    """Return ``url`` with parameters added to its query, escaped where that is needed.

    Values that are ``None`` are left out, bools are ``true`` and ``false``, lists repeat the name.

    :param params: a mapping, pairs, a query as text, or ``None``.
    :raises TypeError: for anything else.

    >>> with_params("https://api.test/a b?x=1", {"tag": ["a", "b"], "all": True, "page": None})
    'https://api.test/a%20b?x=1&tag=a&tag=b&all=true'
    """
    scheme, host, path, query, fragment = urlsplit(url)
    added = params.lstrip("?") if isinstance(params, str) else urlencode(pairs(params, "params"))
    query = "&".join(part for part in (query, added) if part)
    return urlunsplit((scheme, host, escaped(path) or "/", escaped(query), escaped(fragment)))


def escaped(text: str) -> str:
    """Percent-encode what may not stand in a URL; what is encoded already stays as it is."""
    return quote(_LONE_PERCENT.sub("%25", text), safe=_URL_SAFE, errors="surrogateescape")


def pairs(given: Any, name: str) -> List[Tuple[str, Union[str, bytes]]]:
    """Return the pairs of a query or a form.

    :param name: the parameter that they were given as, for the message.
    :raises TypeError: when they are no mapping or pairs of plain values.

    >>> pairs({"a": [1, None, True], "b": None}, "data")
    [('a', '1'), ('a', 'true')]
    """
    if given is None:
        return []
    try:
        items = list(given.items() if isinstance(given, Mapping) else given)
        named = [(key, values) for key, values in items]
    except (TypeError, ValueError):
        wanted = "a mapping of names to values, or pairs of them"
        raise TypeError(f"{name} must be {wanted}, not a {type(given).__name__}") from None
    return [
        (_plain(key, name), _plain(value, f"{name}[{key!r}]"))
        for key, values in named
        for value in (values if isinstance(values, (list, tuple, set, frozenset)) else (values,))
        if value is not None
    ]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Mapping, bytearray, memoryview)) or hasattr(value, "read"):
        raise TypeError(f"{name} must be a plain value, not a {type(value).__name__}")
    return value if isinstance(value, (str, bytes)) else str(value)


# -- the body ------------------------------------------------------------------------------------


class Body(NamedTuple):
    """A body as it is sent.

    :ivar content: all of it, a :class:`Source` of it, ``None``, or an object of the library's.
    :ivar content_type: what to call it, unless the caller does.
    :ivar length: its bytes, where known.
    """

    content: Any = None
    content_type: Optional[str] = None
    length: Optional[int] = None

    @property
    def replayable(self) -> bool:
        """Whether it can be sent a second time."""
        if isinstance(self.content, Source):
            return self.content.replayable
        return self.content is None or isinstance(self.content, bytes)


def encode(data: Any, json_payload: Any) -> Body:
    """Return what the two parameters make as a body.

    :param data: bytes, text, a form as a mapping or pairs, a file, an iterable of bytes or text,
        synchronous or not.
    :param json_payload: anything that :func:`json.dumps` takes; ``None`` means none.
    :raises TypeError: for something else.
    :raises ValueError: when both are given, or a number is none that JSON has.

    >>> encode({"name": "x y", "ok": True}, None).content
    b'name=x+y&ok=true'
    """
    if data is not None and json_payload is not None:
        raise ValueError("give data or json_payload, not both: a request has one body")
    if json_payload is not None:
        return _whole(_json(json_payload), "application/json")
    if data is None:
        return Body()
    if isinstance(data, str):
        return _whole(data.encode("utf-8"), "text/plain; charset=utf-8")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return _whole(bytes(data), "application/octet-stream")
    if isinstance(data, (Mapping, list, tuple)):
        if not data:
            return Body()
        form = urlencode(pairs(data, "data")).encode("ascii")
        return _whole(form, "application/x-www-form-urlencoded")
    if not is_file(data) and not isinstance(data, (Iterable, AsyncIterable)):
        wanted = "bytes, str, a form, a file or an iterable of bytes"
        raise TypeError(f"data must be {wanted}, not a {type(data).__name__}")
    source = Source(data)
    return Body(source, "application/octet-stream", source.length)


def _whole(content: bytes, content_type: str) -> Body:
    return Body(content, content_type, len(content))


def _json(payload: Any) -> bytes:
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as exc:
        # The encoding of a lone surrogate quotes the text.
        shown = "a str of it is no text" if isinstance(exc, UnicodeError) else exc
        kind = TypeError if isinstance(exc, TypeError) else ValueError
        raise kind(f"json_payload must be what JSON can hold: {shown}") from None


__all__ = [
    "Body",
    "encode",
    "escaped",
    "is_replayable",
    "pairs",
    "position",
    "rewind",
    "with_params",
]
