"""A response body by its content type.

Holds the one rule for what is JSON, what is text and what stays bytes, and how each is decoded;
knows no HTTP library. Every function may be called from any thread.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, NamedTuple, NoReturn, Optional

from .exceptions import ValidationError
from .redaction import redact_text

_SHOWN = 200  # characters of a body in a message
_READ = 4000  # characters of it that are looked at for secrets

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';,]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._\-]+)[\"']")
_JSON = re.compile(r"[^/]+/(?:x-)?json|[^/]+/.+\+json")
_XML = re.compile(r"[^/]+/xml|[^/]+/.+\+xml|application/xml-dtd")
_TEXT = re.compile(
    r"text/.+|[^/]+/.+\+yaml"
    r"|application/(?:x-www-form-urlencoded|(?:x-)?javascript|ecmascript|(?:x-)?yaml|toml|graphql"
    r"|sql|rtf|(?:x-)?ndjson|x-jsonlines|jsonl|json-seq|jwt)"
)
# That of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python's own: no server means them, and some are slow or refuse to replace what they can't read.
_NO_CHARSETS = frozenset(
    ["idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"]
)


class _Label(NamedTuple):
    """A content type: the media type in lower case, and the encoding that is asked for."""

    media: str = ""
    encoding: Optional[str] = None


def parse(body: bytes, content_type: Optional[str]) -> Any:
    """Return what a body says, by its content type.

    JSON (``application/json``, ``…+json``; UTF-8, -16 or -32, with or without a byte order mark:
    RFC 8259 section 8.1 and the wider rule before it) gives its value. Text, XML, forms, YAML and
    scripts give a ``str``, by a byte order mark, the ``charset``, an XML declaration, or as UTF-8.
    Without a content type it is JSON if it can be, else UTF-8 text, else bytes. Every other
    type gives the bytes. As in :mod:`json`, ``NaN`` and ``Infinity`` count as JSON.

    :param body: the whole body, after content encodings such as gzip.
    :param content_type: the header's value, or ``None``. An unknown ``charset`` counts as UTF-8.

    :returns: The value; ``None`` for an empty body.
    :raises ValidationError: if what is labelled JSON is none, or if JSON or text can't be decoded.
        Its ``body`` is the text, or the bytes if these could not be decoded.

    >>> parse(b'{"id": 7}', "application/json")
    {'id': 7}
    >>> parse("Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1")
    'Grüße'
    >>> parse(b"<h1>Oops</h1>", "application/json")
    Traceback (most recent call last):
    ...
    requests_connection_manager.exceptions.ValidationError: the body is labelled application/json \
but is no JSON: Expecting value: line 1 column 1 (char 0); it begins with '<h1>Oops</h1>'
    """
    if not body:
        return None
    label = _label(content_type)
    if not label.media:
        return _guessed(body, label)
    if _JSON.fullmatch(label.media):
        return _json(body, label)
    if _is_text(label.media):
        return _decoded(body, _text_encoding(body, label), label)
    return body


def text_of(body: bytes, content_type: Optional[str]) -> str:
    r"""Return a body as text, for error bodies and messages.

    What can't be decoded becomes U+FFFD. Never raises. Secrets are still in it.

    :param content_type: the header's value, or ``None``.

    >>> text_of(b"caf\xe9", "text/plain; charset=latin-1")
    'café'
    >>> ascii(text_of(b"caf\xe9", None))
    "'caf\\ufffd'"
    """
    label = _label(content_type)
    if _JSON.fullmatch(label.media):
        encoding = _json_encoding(body, label)
    else:
        encoding = _text_encoding(body, label)
    return body.decode(encoding, "replace")


def excerpt(text: str) -> str:
    """Return the beginning of a text, quoted, without secrets, short enough for a message.

    >>> excerpt("token=abc&" + "x" * 1000)[:20]
    "'token=[REDACTED]&xx"
    """
    # More is looked at than shown: a secret may be told by what follows it.
    shown = redact_text(text[:_READ])
    if len(shown) <= _SHOWN and len(text) <= _READ:
        return repr(shown)
    return f"{shown[:_SHOWN]!r}…"


# -- labels --------------------------------------------------------------------------------------


def _label(content_type: Optional[str]) -> _Label:
    if not content_type:
        return _Label()
    # A comma: the header came twice.
    media = re.split("[;,]", content_type, maxsplit=1)[0].strip().lower()
    charset = _CHARSET.search(content_type)
    encoding = _known_encoding(charset.group(1)) if charset else None
    return _Label(media if "/" in media else "", encoding)


def _known_encoding(charset: str) -> Optional[str]:
    """Return Python's name of a character encoding, or None for what is none."""
    try:
        name = codecs.lookup(charset).name
        "a".encode(name)  # refused by codecs from bytes to bytes, such as base64
    except (LookupError, ValueError):
        return None
    return None if name.replace("_", "-") in _NO_CHARSETS else name


def _is_text(media: str) -> bool:
    return bool(_TEXT.fullmatch(media) or _XML.fullmatch(media))


# -- text ----------------------------------------------------------------------------------------


def _text_encoding(body: bytes, label: _Label) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return encoding
    return label.encoding or _declared_encoding(body, label) or "utf-8"


def _declared_encoding(body: bytes, label: _Label) -> Optional[str]:
    """Return the encoding that an XML document itself names (RFC 7303 section 3.2)."""
    if not _XML.fullmatch(label.media):
        return None
    found = _XML_ENCODING.match(body[:_SHOWN])
    return _known_encoding(found.group(1).decode("ascii")) if found else None


def _decoded(body: bytes, encoding: str, label: _Label) -> str:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"the body is labelled {label.media[:_SHOWN]} but can't be decoded as {encoding}:"
            f" {error.reason} at byte {error.start}",
            body=body,
        ) from None  # its text quotes the body


# -- JSON ----------------------------------------------------------------------------------------


def _json(body: bytes, label: _Label) -> Any:
    text = _decoded(body, _json_encoding(body, label), label)
    try:
        return json.loads(text)
    except ValueError as error:  # a number may also be too long to be read
        _refuse(text, label, str(error))
    except RecursionError:
        _refuse(text, label, "it is nested too deeply")


def _refuse(text: str, label: _Label, why: str) -> NoReturn:
    raise ValidationError(
        f"the body is labelled {label.media[:_SHOWN]} but is no JSON: {why};"
        f" it begins with {excerpt(text)}",
        body=text,
    ) from None  # the cause would hold the text, and adds nothing


def _json_encoding(body: bytes, label: _Label) -> str:
    """Return the encoding of JSON, which tells itself; a charset counts when it can't be true."""
    detected: str = json.detect_encoding(body)
    if label.encoding is None or detected != "utf-8" or label.encoding == "utf-8":
        return detected
    try:
        body.decode(detected)
    except UnicodeDecodeError:
        return label.encoding
    return detected


def _guessed(body: bytes, label: _Label) -> Any:
    try:
        return json.loads(body.decode(json.detect_encoding(body)), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode(_text_encoding(body, label))
    except UnicodeDecodeError:
        return body


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and its like: without a label these are words."""
    raise ValueError(name)


__all__ = ["excerpt", "parse", "text_of"]
