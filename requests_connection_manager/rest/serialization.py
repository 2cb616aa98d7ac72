"""Python values as JSON, and back: what ``json=`` sends.

Holds the :class:`Serializer` protocol and its two forms of JSON (RFC 8259), one on the standard
library and one on orjson, which write the same values. Knows no HTTP and none of the libraries
that make models: it goes by what their objects have.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Callable, Optional, Protocol

from .. import extras
from ..content import parse
from ..exceptions import ValidationError
from ._plain import one_level, plain

Default = Callable[[Any], Any]

# orjson makes a float of an integer that does not fit into 64 bits, which has 19 digits and more.
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: *;[ -~]*)?")


class Serializer(Protocol):
    """What turns a value into the bytes of a body, and bytes into a value.

    Any object with these three is one. Both methods may be called from any thread.

    :ivar content_type: what the bytes are called, such as ``"application/json"``.
    """

    content_type: str

    def dumps(self, value: Any, /) -> bytes:
        """Return a value as bytes."""

    def loads(self, data: bytes, /) -> Any:
        """Return the value that bytes stand for."""


class JsonSerializer:
    """JSON by the standard library.

    Beside what JSON has, it writes:

    - dataclasses, attrs classes, pydantic models (version 2; by alias) and msgspec structs, as
      objects; models of pydantic and msgspec by these libraries' own rules,
    - ``datetime``, ``date`` and ``time`` in ISO 8601, with ``Z`` for UTC (RFC 3339); one without
      a time zone stays without,
    - ``Decimal`` as a string: a number would be read as a binary fraction, and lose digits,
    - ``UUID`` and paths as strings, an ``Enum`` as its value,
    - tuples, named tuples, ``set`` and ``frozenset`` (sorted, if its members can be) and
      ``deque`` as arrays, any mapping as an object,
    - keys that are numbers, ``bool``, ``None`` or one of the above, as their text.

    It refuses bytes (JSON has none: choose base64 or an upload), NaN and Infinity, text with lone
    surrogates, iterators and generators (they could be read only once), values that hold
    themselves, and everything else.

    :param default: called with what none of this covers; returns something that is covered, or
        raises ``TypeError``.
    :raises TypeError: if ``default`` can't be called.

    Objects are immutable and may be shared by threads.

    >>> import datetime, decimal
    >>> JsonSerializer().dumps({"at": datetime.date(2024, 5, 1), "price": decimal.Decimal("9.90")})
    b'{"at":"2024-05-01","price":"9.90"}'
    >>> JsonSerializer().dumps({"orders": [{"price": 1.5}, {"price": b"raw"}]})
    Traceback (most recent call last):
    ...
    requests_connection_manager.exceptions.ValidationError: $.orders[1].price can't be sent as \
JSON: bytes are not text; decode them, or send them base64-encoded or as an upload
    """

    content_type = "application/json"

    def __init__(self, default: Optional[Default] = None) -> None:
        if default is not None and not callable(default):
            raise TypeError(f"default must be callable or None, not {default!r}")
        self._own = default

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def dumps(self, value: Any) -> bytes:
        """Return a value as JSON in UTF-8.

        :raises ValidationError: for what JSON can't hold. The text and ``path`` say where it
            is; no value is shown.
        """
        try:
            return self._fast(value)
        except Exception:  # raised by code of the values, too
            pass
        # Outside of the handler: the first error may quote values, and would be shown with ours.
        return self._thorough(value)

    def loads(self, data: bytes) -> Any:
        """Return what JSON says, as :func:`~requests_connection_manager.content.parse` does.

        Integers keep all their digits. No bytes at all are ``None``.

        :raises ValidationError: if it is no JSON; ``body`` is the text, or the bytes where these
            can't be decoded.
        """
        return parse(data, self.content_type)

    def _fast(self, value: Any) -> bytes:
        return _encoded(value, self._default)

    def _thorough(self, value: Any) -> bytes:
        """Do it step by step, which finds the place of what is wrong, and more kinds of keys."""
        try:
            return _encoded(plain(value, self._own), None)
        except RecursionError:
            why = "the value is nested too deeply"
        except ValueError:
            why = "an integer has too many digits"
        raise ValidationError(f"$ can't be sent as JSON: {why}")

    def _default(self, value: Any) -> Any:
        return one_level(value, self._own)


class OrjsonSerializer(JsonSerializer):
    """JSON by orjson (extra ``orjson``), which is several times as fast.

    It takes, refuses and writes what :class:`JsonSerializer` does: where orjson differs (integers
    beyond 64 bits, NaN, keys that are no text, deep nesting), the standard library steps in.

    :raises ImportError: if orjson is not installed.

    >>> OrjsonSerializer().dumps({"id": 2**64})
    b'{"id":18446744073709551616}'
    """

    def __init__(self, default: Optional[Default] = None) -> None:
        super().__init__(default)
        orjson = extras.load("orjson", extra="orjson")
        self._dumps = orjson.dumps
        self._loads = orjson.loads
        self._options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

    def loads(self, data: bytes) -> Any:
        """Return what JSON says; as :meth:`JsonSerializer.loads`."""
        if _MANY_DIGITS.search(data) is None:
            try:
                return self._loads(data)
            except ValueError:
                pass  # perhaps UTF-16; and if it is no JSON, all say so in the same words
        return super().loads(data)

    def _fast(self, value: Any) -> bytes:
        try:
            encoded: bytes = self._dumps(value, self._default, self._options)
        except Exception:  # raised by code of the values, too
            encoded = b"null"
        # orjson writes null for NaN. Looking at every number would take longer than this.
        return encoded if b"null" not in encoded else super()._fast(value)

    def __reduce__(self) -> Any:
        return type(self), (self._own,)


def _encoded(value: Any, default: Optional[Default]) -> bytes:
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default
    )
    return text.encode("utf-8")


@lru_cache(maxsize=1)
def default_serializer() -> Serializer:
    """Return what is used where no serializer is given: orjson's if installed, else the plain one.

    >>> default_serializer().content_type
    'application/json'
    """
    try:
        return OrjsonSerializer()
    except ImportError:
        return JsonSerializer()


def check_serializer(value: Any) -> Serializer:
    """Return a serializer, checked.

    :raises TypeError: if it lacks one of the three, or is a class.
    :raises ValueError: if its ``content_type`` is no media type.

    >>> check_serializer("json")
    Traceback (most recent call last):
    ...
    TypeError: serializer must have content_type, dumps(value) and loads(data), such as \
JsonSerializer(), not a str
    """
    if isinstance(value, type):
        raise TypeError(f"serializer must be an object, not the class: {value.__name__}()")
    content_type = getattr(value, "content_type", None)
    methods = [getattr(value, name, None) for name in ("dumps", "loads")]
    if not isinstance(content_type, str) or not all(map(callable, methods)):
        raise TypeError(
            "serializer must have content_type, dumps(value) and loads(data), such as"
            f" JsonSerializer(), not a {type(value).__name__}"
        )
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise ValueError(
            f"serializer.content_type must be a media type such as 'application/json', not"
            f" {content_type!r}"
        )
    checked: Serializer = value
    return checked


__all__ = [
    "JsonSerializer",
    "OrjsonSerializer",
    "Serializer",
    "check_serializer",
    "default_serializer",
]
