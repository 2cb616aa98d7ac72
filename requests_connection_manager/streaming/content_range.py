"""Which part of a file a response brings, and how long the whole is.

Holds the parsers of ``Content-Range`` and ``Content-Length`` (RFC 9110 sections 14.4 and 8.6).
Pure: knows headers as a mapping that is looked up without regard to case, and no HTTP library.
"""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple, Optional

_NUMBER = r"([0-9]{1,19})"
_RANGE = re.compile(rf"bytes {_NUMBER}-{_NUMBER}/(?:{_NUMBER}|\*)", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(_NUMBER, re.ASCII)


class ContentRange(NamedTuple):
    """The bytes from ``first`` to ``last``, both included, of ``total``; ``None``: unknown."""

    first: int
    last: int
    total: Optional[int]

    @property
    def length(self) -> int:
        """How many bytes that are."""
        return self.last - self.first + 1


def parse_content_range(text: Optional[str]) -> Optional[ContentRange]:
    """Return what a ``Content-Range`` says; ``None``: there is none, or none that is valid.

    One whose last position lies before the first, or not within the total, is invalid; so is, as
    the range of a part, that of an unsatisfied request (``bytes */10``).

    >>> parse_content_range("bytes 5-9/10")
    ContentRange(first=5, last=9, total=10)
    >>> parse_content_range("bytes 5-9/*").total is None
    True
    >>> parse_content_range("bytes 5-10/10") is None
    True
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None:
        return None
    first, last = int(found.group(1)), int(found.group(2))
    total = None if found.group(3) is None else int(found.group(3))
    if last < first or (total is not None and total <= last):
        return None
    return ContentRange(first, last, total)


def is_encoded(headers: Mapping[str, str]) -> bool:
    """Tell whether the content comes compressed.

    >>> is_encoded({"Content-Encoding": "gzip"}), is_encoded({"Content-Encoding": "identity"})
    (True, False)
    """
    return _coding(headers) not in ("", "identity")


def is_gzip(headers: Mapping[str, str]) -> bool:
    """Tell whether the content comes in gzip, and in nothing else.

    >>> is_gzip({"Content-Encoding": "x-gzip"}), is_gzip({"Content-Encoding": "gzip, br"})
    (True, False)
    """
    return _coding(headers) in ("gzip", "x-gzip")


def _coding(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Encoding", "").strip().lower()


def content_length(headers: Mapping[str, str]) -> Optional[int]:
    """Return how many bytes a response promises; ``None``: it does not.

    With ``Transfer-Encoding`` it is the chunks that count (RFC 9112 section 6.3).

    >>> content_length({"Content-Length": "10"}), content_length({"Content-Length": "ten"})
    (10, None)
    """
    if "Transfer-Encoding" in headers:
        return None
    values = {value.strip() for value in headers.get("Content-Length", "").split(",")}
    found = _LENGTH.fullmatch(values.pop()) if len(values) == 1 else None
    return int(found.group(1)) if found else None


__all__ = ["ContentRange", "content_length", "is_encoded", "is_gzip", "parse_content_range"]
