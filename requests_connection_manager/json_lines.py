"""JSON lines, fed in any chunks, as values.

Holds :class:`JsonLinesParser` and :func:`read_json`; does no I/O and knows no HTTP library, so sync
and async clients feed it alike.
"""

from __future__ import annotations

import json
from typing import Any, List

from ._line_parser import LineParser, check_chunk
from .content import excerpt
from .defaults import DEFAULT_MAX_BYTES
from .exceptions import ValidationError

_JSON_SPACE = b" \t\r"


class JsonLinesParser(LineParser[Any]):
    r"""Parses JSON lines (JSONL, NDJSON): one JSON text per line, in UTF-8.

    Source: https://jsonlines.org and the NDJSON specification 1.0. Lines end in LF; a CR before it
    is white space, and so are blank lines. One leading byte order mark is skipped. As in
    :mod:`json`, ``NaN`` and ``Infinity`` count as JSON.

    Feed it what comes, in any cut, and :meth:`close` it when the stream has ended without an
    error. A ``with`` is not needed: it holds nothing but memory. One parser is for one stream and
    for one thread or task at a time.

    :param max_line_bytes: the longest line, in bytes without its LF; 16 MiB by default. It bounds
        the memory that a server can take by never ending a line.

    :raises TypeError: if it is no ``int``.
    :raises ValueError: if it is below 1.

    >>> parser = JsonLinesParser()
    >>> parser.feed(b'{"id": 1}\n{"i')
    [{'id': 1}]
    >>> parser.feed(b'd": 2}\n\n{"id": 3}')
    [{'id': 2}]
    >>> parser.close()
    [{'id': 3}]
    """

    def __init__(self, max_line_bytes: int = DEFAULT_MAX_BYTES) -> None:
        super().__init__(max_line_bytes, "max_line_bytes")

    def feed(self, chunk: bytes) -> List[Any]:
        r"""Return the values of the lines that end in this chunk.

        :param chunk: the next bytes, after content encodings such as gzip; may be empty.

        :raises ValidationError: if a line is no JSON, no UTF-8 or too long, with its number (from
            1, blank lines count) and at most an excerpt without secrets. Values before it are
            not lost: then this call returns them and the next one raises (``feed(b"")`` will
            do). Once raised, it is raised by every further ``feed``.
        :raises TypeError: if ``chunk`` is no bytes.

        >>> parser = JsonLinesParser()
        >>> parser.feed(b"[1]\n\nno\n")
        [[1]]
        >>> parser.feed(b"")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        requests...ValidationError: line 3 is no JSON: Expecting value (char 0); it begins with 'no'
        """
        return self._take(check_chunk(chunk))

    def close(self) -> List[Any]:
        """End the stream, and return the value of a last line that has no line end.

        Such a line may also be one that was cut off: where the cut leaves JSON, as in a number,
        nothing tells. After that the parser is as new.

        :returns: A list of one value, or of none.
        :raises ValidationError: if this line is no JSON, or if an error was still to be raised.
        """
        number = self._number + 1
        line, found = self._end(), []
        if line.strip(_JSON_SPACE):
            where = f"the last line ({number}), which has no line end and may have been cut off,"
            found.append(_value(line, where))
        return found

    def _restart(self) -> None:
        super()._restart()
        self._number = 0

    def _line(self, line: bytes, found: List[Any]) -> None:
        self._number += 1
        if line.strip(_JSON_SPACE):
            found.append(_value(line, f"line {self._number}"))

    def _too_long(self) -> str:
        number, limit = self._number + 1, self._max_bytes
        return f"line {number} is longer than {limit} bytes, which max_line_bytes allows"


def read_json(text: str, what: str) -> Any:
    """Return what a JSON text says.

    :param what: what it is, for the message.

    :raises ValidationError: if it is no JSON; its message holds an excerpt without secrets.

    >>> read_json("[1, 2]", "line 1")
    [1, 2]
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        why = f"{error.msg} (char {error.pos})"
    except ValueError as error:  # a number may be too long to be read
        why = str(error)
    except RecursionError:
        why = "it is nested too deeply"
    # Outside of the handlers: the cause would hold the text.
    raise ValidationError(f"{what} is no JSON: {why}; it begins with {excerpt(text)}")


def _value(line: bytes, what: str) -> Any:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start}"
        shown = excerpt(line.decode("utf-8", "replace"))
        raise ValidationError(f"{what} is no UTF-8: {why}; it begins with {shown}") from None
    return read_json(text, what)


__all__ = ["JsonLinesParser", "read_json"]
