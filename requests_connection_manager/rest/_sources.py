"""Where the bytes of a request body come from: memory, a file, a path or an iterable.

Holds one class for each, with the same three things: how long it is, whether it can be read again,
and its pieces. Reads files in blocking calls, on the thread that asks for the next piece. Knows no
HTTP library and no event loop.
"""

from __future__ import annotations

import errno
import os
import stat
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, AsyncIterable, AsyncIterator, Iterable, Iterator, List, Optional, Union

from ..exceptions import ValidationError
from ..rewinding import position_of

CHUNK = 131072
"""Bytes that are read at once."""

Pieces = Union[Iterator[Any], AsyncIterator[Any]]


class Source:
    """Where a body, or a part of one, comes from.

    :ivar length: its bytes, or ``None`` where only reading can tell.
    :ivar replayable: its pieces can be asked for again.
    :ivar blocking: to get the next piece may take a while.
    :ivar asynchronous: its pieces come from an asynchronous iterator.
    :ivar stored: its pieces are all there, so some may be fetched before they are wanted.
    """

    length: Optional[int] = None
    replayable: bool = True
    blocking: bool = True
    asynchronous: bool = False
    stored: bool = False

    def pieces(self) -> Pieces:
        """Return its bytes in pieces, from the start; nothing is opened before the first one."""
        raise NotImplementedError


class Memory(Source):
    """Bytes that are there.

    >>> list(Memory(b"abc").pieces())
    [b'abc']
    """

    blocking = False
    stored = True

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def pieces(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), CHUNK):
            yield self._content[start : start + CHUNK]


class StoredFile(Source):
    """A file by its path: opened for each reading, and closed at its end, whatever that is.

    :raises OSError: if there is no such file, or if it is a directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if stat.S_ISREG(found.st_mode):
            self.length = found.st_size
            self.stored = True
        else:  # a pipe or a device
            self.replayable = False

    def pieces(self) -> Iterator[bytes]:
        with open(self._path, "rb") as file:
            if self.length is not None:
                self._check_size(os.fstat(file.fileno()).st_size)
            yield from iter(lambda: file.read(CHUNK), b"")

    def _check_size(self, size: int) -> None:
        if size != self.length:
            raise ValidationError(
                f"the file to upload has changed: it had {self.length} bytes, and has {size} now"
            )


class OpenFile(Source):
    """A file, or what reads like one. It stays open.

    :param from_start: read it from its start, not from where it stands.
    """

    def __init__(self, file: Any, name: str, from_start: bool = False) -> None:
        check_file(file, name)
        self._file = file
        self._start = position_of(file)
        self.replayable = self._start is not None
        if from_start and self.replayable:
            self._start = 0
        self.length = None if self._start is None else _left_in(file, self._start)
        self.stored = self.length is not None

    def pieces(self) -> Iterator[Any]:
        if self._start is not None:
            self._file.seek(self._start)
        while True:
            piece = self._file.read(CHUNK)
            if _is_end(piece):
                return
            yield piece


def _left_in(file: Any, start: int) -> Optional[int]:
    """Return how many bytes come after ``start``; the file stands where it stood."""
    try:
        stood = file.tell()
        end = file.seek(0, os.SEEK_END)
        if end is None:  # of a file that is no io.IOBase
            end = file.tell()
        file.seek(stood)
    except (OSError, ValueError):  # such as gzip's, which has to read to know
        return None
    return max(0, end - start) if isinstance(end, int) else None


def check_file(file: Any, name: str) -> None:
    """Refuse what can't be read as bytes.

    :param name: of the parameter, for the message.
    :raises TypeError: for a file in text mode.
    :raises ValueError: for one that is closed, or open for writing only.
    """
    if getattr(file, "closed", False) is True:
        raise ValueError(f"{name} is a file that is closed already")
    if hasattr(file, "encoding"):
        raise TypeError(
            f"{name} is a file in text mode, of which neither the bytes nor their number are"
            " known; open it in binary mode: open(path, 'rb')"
        )
    readable = getattr(file, "readable", None)
    if callable(readable) and not iscoroutinefunction(readable) and not readable():
        raise ValueError(f"{name} is a file that is not open for reading")


class Iterated(Source):
    """An iterable of bytes."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self.replayable = not hasattr(iterable, "__next__")
        self.blocking = not isinstance(iterable, (list, tuple))

    def pieces(self) -> Iterator[Any]:
        return iter(self._iterable)


class AsyncIterated(Source):
    """An asynchronous iterable of bytes."""

    blocking = False
    asynchronous = True

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterable = iterable
        self.replayable = not hasattr(iterable, "__anext__")

    def pieces(self) -> AsyncIterator[Any]:
        return self._iterable.__aiter__()


class AsyncFile(Source):
    """A file whose ``read`` is a coroutine function, as anyio's and aiofiles' are."""

    blocking = False
    asynchronous = True
    replayable = False

    def __init__(self, file: Any, name: str) -> None:
        check_file(file, name)
        self._read = getattr(file, "aread", None) or file.read

    def pieces(self) -> AsyncIterator[Any]:
        return self

    def __aiter__(self) -> AsyncFile:
        return self

    async def __anext__(self) -> Any:
        piece = await self._read(CHUNK)
        if _is_end(piece):
            raise StopAsyncIteration
        return piece


class Joined(Source):
    """Several sources, one after the other.

    >>> joined = Joined([Memory(b"a"), Memory(b"bc")])
    >>> joined.length, list(joined.pieces())
    (3, [b'a', b'bc'])
    """

    def __init__(self, parts: List[Source]) -> None:
        self._parts = parts
        lengths = [part.length for part in parts]
        self.length = None if None in lengths else sum(filter(None, lengths))
        self.replayable = all(part.replayable for part in parts)
        self.blocking = any(part.blocking for part in parts)
        self.stored = all(part.stored for part in parts)

    def pieces(self) -> Iterator[Any]:
        for part in self._parts:
            yield from part.pieces()  # type: ignore[misc]  # asynchronous ones are not joined


def _is_end(piece: Any) -> bool:
    return isinstance(piece, (bytes, bytearray, memoryview)) and not piece


def is_file(value: Any) -> bool:
    """Tell whether something is read by its ``read``."""
    return callable(getattr(value, "read", None)) or callable(getattr(value, "aread", None))


def is_async_file(value: Any) -> bool:
    """Tell whether to read something has to be awaited."""
    return hasattr(value, "aread") or iscoroutinefunction(getattr(value, "read", None))


__all__ = [
    "CHUNK",
    "AsyncFile",
    "AsyncIterated",
    "Iterated",
    "Joined",
    "Memory",
    "OpenFile",
    "Source",
    "StoredFile",
    "check_file",
    "is_async_file",
    "is_file",
]
