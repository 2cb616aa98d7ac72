"""Lines out of chunks of bytes, however these are cut.

Holds :class:`LineParser`, which the parsers of streams made of lines share; knows neither what a
line means nor where the bytes come from.
"""

from __future__ import annotations

import codecs
from typing import Any, Generic, List, Optional, TypeVar

from .exceptions import ValidationError
from .policies._checks import check_count

T = TypeVar("T")


class LineParser(Generic[T]):
    """A parser of lines that end in LF, after one byte order mark (UTF-8) at most.

    Every byte is copied a fixed number of times, however small the chunks are. At most
    ``max_bytes`` are kept. What an error follows is not lost with it: the chunk that holds both
    gives what it found, and the error comes at the next call. After it the stream is over.

    :param max_bytes: of one line, together with what ``_held`` counts of those before it.
    :param name: of the parameter that this bound is given by.
    """

    def __init__(self, max_bytes: int, name: str) -> None:
        self._max_bytes = check_count(max_bytes, name)
        self._restart()

    def _line(self, line: bytes, found: List[T]) -> None:
        """Take in a line, without its end; append to ``found`` what it completes."""
        raise NotImplementedError

    def _too_long(self) -> str:
        """Return the message for what is longer than ``max_bytes``."""
        raise NotImplementedError

    def _restart(self) -> None:
        self._rest = bytearray()  # the beginning of a line whose end has not come
        self._held = 0
        self._at_start = True
        self._failure: Optional[str] = None
        self._untold = False

    def _take(self, chunk: bytes) -> List[T]:
        if self._failure is not None:
            self._untold = False
            raise ValidationError(self._failure)
        found: List[T] = []
        try:
            for line in self._lines(chunk):
                self._check_size(len(line))
                self._line(self._without_mark(line), found)
            self._check_size(len(self._rest))
        except ValidationError as error:
            self._fail(str(error), untold=bool(found))
            if not found:
                raise
        return found

    def _fail(self, message: str, *, untold: bool) -> None:
        self._restart()  # nothing is kept of a stream that is given up
        self._failure, self._untold = message, untold

    def _end(self) -> bytes:
        """End the stream; return the line that it ended in, which may be empty."""
        rest = self._without_mark(bytes(self._rest))
        failure = self._failure if self._untold else None
        self._restart()
        if failure is not None:
            raise ValidationError(failure)
        return rest

    def _lines(self, chunk: bytes) -> List[bytes]:
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._rest:
            lines[0] = bytes(self._rest + lines[0])
            self._rest.clear()
        self._rest += rest
        return lines

    def _check_size(self, size: int) -> None:
        if self._held + size > self._max_bytes:
            raise ValidationError(self._too_long())

    def _without_mark(self, line: bytes) -> bytes:
        at_start, self._at_start = self._at_start, False
        if at_start and line.startswith(codecs.BOM_UTF8):
            return line[len(codecs.BOM_UTF8) :]
        return line


def check_chunk(chunk: Any) -> bytes:
    """Return a chunk as bytes; raise ``TypeError`` for text and everything else.

    >>> check_chunk("data: 1")
    Traceback (most recent call last):
    TypeError: chunk must be bytes, not str
    """
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, (bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"chunk must be bytes, not {type(chunk).__name__}")


__all__ = ["LineParser", "check_chunk"]
