"""A body that is read while it is sent: a file or an iterable, plain or asynchronous.

Holds :class:`Source`, and what can be sent twice. Reads on worker threads; knows anyio, no HTTP
library.
"""

from __future__ import annotations

import threading
from functools import partial
from inspect import iscoroutinefunction
from typing import (
    Any,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Optional,
)

import anyio
import anyio.lowlevel
import anyio.to_thread

from ..rewinding import position_of

_CHUNK = 65536
_END: Any = object()
_CONSUMED = "the request body was consumed and can't be sent again"


class BodyConsumed(Exception):
    """The body would have to be sent once more, and can't be."""


def is_file(data: Any) -> bool:
    return callable(getattr(data, "read", None))


def _is_async_file(data: Any) -> bool:
    return is_file(data) and iscoroutinefunction(data.read)


# -- sending it once more ------------------------------------------------------------------------


def is_replayable(data: Any) -> bool:
    """Tell whether ``data`` can be sent a second time.

    >>> is_replayable({"a": 1}), is_replayable(iter([b"x"]))
    (True, False)
    """
    if data is None or isinstance(data, (str, bytes, bytearray, memoryview, Mapping, list, tuple)):
        return True
    if is_file(data):
        return position(data) is not None
    if isinstance(data, AsyncIterable):
        return not hasattr(data, "__anext__")
    return isinstance(data, Iterable) and not hasattr(data, "__next__")


def position(data: Any) -> Optional[int]:
    """Return where a file stands, if it can be brought back there; else ``None``.

    >>> import io
    >>> position(io.BytesIO(b"abc")), position(b"abc")
    (0, None)
    """
    return position_of(data) if is_file(data) and not _is_async_file(data) else None


def rewind(data: Any, position: Optional[int]) -> None:
    """Bring a file back to where it stood; ``None``: there is nothing to do.

    >>> import io
    >>> file = io.BytesIO(b"abc")
    >>> file.read(), rewind(file, 1), file.read()
    (b'abc', None, b'bc')
    """
    if position is not None:
        data.seek(position)


def _remaining(file: Any, start: Optional[int]) -> Optional[int]:
    """Return how many bytes a file still has; ``None`` when only reading can tell."""
    if start is None or hasattr(file, "encoding"):
        return None  # the positions of text are no counts of bytes
    try:
        end = file.seek(0, 2)
        file.seek(start)
    except (OSError, ValueError):
        return None
    return max(0, end - start) if isinstance(end, int) else None


class Source:
    """A body in chunks. To iterate it once more sends it once more, where that is possible.

    Files and plain iterables are read on worker threads. A file stays open.

    :ivar length: the number of bytes, where known.
    :ivar replayable: it can be iterated again.
    :ivar error: what the user's own object raised while it was read.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._start = position(data)
        self._passes = 0
        self._lock = threading.Lock()
        self.is_file = is_file(data)
        self.length = _remaining(data, self._start) if self.is_file else None
        self.replayable = is_replayable(data)
        self.error: Optional[Exception] = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Chunks(self)

    async def open(self) -> Callable[[], Awaitable[Any]]:
        """Begin a pass and return what reads its next chunk; the pass before ends."""
        self._passes += 1
        if self._passes > 1 and not self.replayable:
            raise BodyConsumed(_CONSUMED)
        if self._passes > 1 and self.is_file:
            await self._on_thread(self._passes, rewind, self._data, self._start)
        return partial(self._read, self._passes, self._reader())

    def _reader(self) -> Callable[[], Awaitable[Any]]:
        data = self._data
        if _is_async_file(data):
            return partial(data.read, _CHUNK)
        if self.is_file:
            return partial(self._on_thread, self._passes, data.read, _CHUNK)
        if isinstance(data, AsyncIterable):
            return partial(_next_of, data.__aiter__())
        return partial(self._on_thread, self._passes, next, iter(data), _END)

    async def _read(self, number: int, read: Callable[[], Awaitable[Any]]) -> Any:
        piece = await read()
        if number != self._passes:
            # Not the end: that would make a whole body of a part.
            raise BodyConsumed("the request body is no longer wanted")
        return piece

    async def _on_thread(self, number: int, function: Callable[..., Any], *args: Any) -> Any:
        # A pipe may never give another byte: then its thread is left behind.
        return await anyio.to_thread.run_sync(
            self._locked, number, function, args, abandon_on_cancel=not self.replayable
        )

    def _locked(self, number: int, function: Callable[..., Any], args: Any) -> Any:
        with self._lock:
            # A cancelled pass may come late, when the file is read anew.
            return function(*args) if number == self._passes else _END

    async def aclose(self) -> None:
        """Leave the object alone: wait for a read under way, finish an asynchronous generator."""
        if not self._passes:
            return
        self._passes += 1
        with anyio.CancelScope(shield=True):
            if self.replayable and self._lock.locked():
                await anyio.to_thread.run_sync(self._locked, 0, bool, ())
            close = getattr(self._data, "aclose", None)
            if close is not None and not self.is_file:
                # Who iterated it has been cancelled, and needs a turn to notice.
                await anyio.lowlevel.checkpoint()
                await _finish(close)


async def _finish(close: Callable[[], Awaitable[Any]]) -> None:
    try:
        await close()
    except RuntimeError:
        pass  # it runs still, or refuses to end


async def _next_of(chunks: AsyncIterator[Any]) -> Any:
    try:
        return await chunks.__anext__()
    except StopAsyncIteration:
        return _END


class _Chunks:
    """One pass over a source. Not an asynchronous generator, which somebody would have to end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = source.length
        self._read: Optional[Callable[[], Awaitable[Any]]] = None
        self._ended = False

    def __aiter__(self) -> _Chunks:
        if self._read is not None:
            raise BodyConsumed(_CONSUMED)
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = b"" if self._ended else await self._next()
        except Exception as exc:
            self._source.error = exc
            raise
        if not chunk:
            self._ended = True
            raise StopAsyncIteration
        return chunk

    async def _next(self) -> bytes:
        if self._read is None:
            self._read = await self._source.open()
        while self._left != 0:
            piece = await self._read()
            # A file ends with an empty piece; in an iterable one means nothing.
            if piece is _END or (not piece and self._source.is_file):
                break
            if piece:
                return self._counted(_as_bytes(piece))
        if self._left:
            raise ValueError(f"data ended {self._left} bytes too early: the file has shrunk")
        return b""

    def _counted(self, chunk: bytes) -> bytes:
        if self._left is not None:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
        return chunk


def _as_bytes(chunk: Any) -> bytes:
    if isinstance(chunk, str):
        return chunk.encode("utf-8")
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"data must give bytes or str, not a {type(chunk).__name__}")


__all__ = ["BodyConsumed", "Source", "is_file", "is_replayable", "position", "rewind"]
