"""A request body while it is sent: in pieces, counted, and again if need be.

Holds :class:`Upload`, the body of httpx' two clients. The asynchronous one reads what blocks on
worker threads. Knows httpx through ``transport`` only; what the caller's arguments mean is known to
``bodies``.
"""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass
from inspect import isasyncgen, isgenerator
from itertools import islice
from typing import Any, AsyncIterator, Awaitable, Callable, Deque, Iterator, List, Optional

from .._sync import run_sync
from ..exceptions import ValidationError
from ..plugins import is_coroutine_hook
from ..transport import hx
from ._sources import Source

_END: Any = object()

_AT_ONCE = 8  # pieces of 128 KiB


@dataclass(frozen=True)
class UploadProgress:
    """How far an upload has come.

    :ivar sent: the bytes that were handed to the connection; 0 again when a retry or a redirect
        sends the body once more.
    :ivar total: how many there will be; ``None``: only reading can tell.
    :ivar attempt: which sending of the body is under way, from 1 on.

    >>> UploadProgress(sent=50, total=200).fraction
    0.25
    """

    sent: int
    total: Optional[int] = None
    attempt: int = 1

    @property
    def fraction(self) -> Optional[float]:
        """The share that was sent, from 0 to 1; ``None``: unknown."""
        if self.total is None:
            return None
        return self.sent / self.total if self.total else 1.0


UploadCallback = Callable[[UploadProgress], object]
"""What is called with each :class:`UploadProgress`; what it raises ends the upload."""


def check_upload_progress(callback: Any) -> Optional[UploadCallback]:
    """Return the callback, checked.

    :raises TypeError: if it is no plain function.

    >>> check_upload_progress(None), check_upload_progress(print)
    (None, <built-in function print>)
    """
    if callback is not None and not callable(callback):
        raise TypeError(f"upload_progress must be a function, not {callback!r}")
    if callback is not None and is_coroutine_hook(callback):
        raise TypeError(
            f"upload_progress: {callback!r} is a coroutine function, which nobody would await;"
            " give a plain function"
        )
    checked: Optional[UploadCallback] = callback
    return checked


class Upload(hx.SyncByteStream, hx.AsyncByteStream):
    """The body of a request, read while it is sent; never in memory as a whole.

    Each iteration sends it from its start, and ends the one before. It is for one request at a
    time.

    :param source: where its bytes come from.
    :param length: how many were announced; ``None``: not known.
    :param progress: called at the start and after each piece that was sent, in the thread or task
        that sends.
    :ivar replayable: whether it can be sent again.

    Raises, while it is iterated: ``httpx.StreamConsumed`` where it can't be sent again;
    :class:`~requests_connection_manager.exceptions.ValidationError` if there are more or fewer
    bytes than announced; ``TypeError`` for pieces that are no bytes; and what the source raises.
    """

    def __init__(
        self,
        source: Source,
        length: Optional[int] = None,
        progress: Optional[UploadCallback] = None,
    ) -> None:
        self.length = length
        self.replayable = source.replayable
        self.progress = progress
        self.passes = 0
        # What it opens is closed when whoever iterates it lets go: nothing else holds it.
        self._current: Callable[[], Optional[_Pass]] = _nothing
        self._source = source

    def __repr__(self) -> str:
        size = "unknown" if self.length is None else self.length
        return f"<Upload length={size} replayable={self.replayable}>"

    def __iter__(self) -> Iterator[bytes]:
        return self._begin(_here)

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._source.asynchronous:
            return self._begin(_awaited)
        if not self._source.blocking:
            return self._begin(_here)
        if self._source.stored:
            return self._begin(_ReadAhead())
        # A pipe may never give another byte: then its thread is left behind.
        return self._begin(_on_thread if self.replayable else _on_lost_thread)

    def _begin(self, fetch: Callable[[Any], Awaitable[Any]]) -> _Pass:
        if self.passes and not self.replayable:
            raise hx.StreamConsumed
        self.close()
        self.passes += 1
        begun = _Pass(self, self.passes, self._source.pieces(), fetch)
        self._current = weakref.ref(begun)
        return begun

    def is_current(self, one: _Pass) -> bool:
        """Tell whether this is the sending that is under way."""
        return self._current() is one

    def close(self) -> None:
        """End the sending that is under way, and close what was opened for it.

        Files that were given open stay open; a generator is closed.
        """
        ended, self._current = self._current(), _nothing
        if ended is not None:
            ended.close()

    async def aclose(self) -> None:
        """Do the same for the asynchronous client."""
        ended, self._current = self._current(), _nothing
        if ended is not None:
            await ended.aclose()


def _nothing() -> None:
    """Stand for a sending that is gone."""


class _Pass:
    """One sending of a body. It is no generator: of these, one is finished late that is dropped.

    :param fetch: gets the next piece.
    """

    def __init__(
        self, upload: Upload, number: int, pieces: Any, fetch: Callable[[Any], Awaitable[Any]]
    ) -> None:
        self._upload = upload
        self._number = number
        self._pieces = pieces
        self._fetch = fetch
        self._left = upload.length
        self._sent = 0

    def __iter__(self) -> _Pass:
        return self

    def __next__(self) -> bytes:
        piece = run_sync(self._advance())
        if not piece:
            raise StopIteration
        return piece

    def __aiter__(self) -> _Pass:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._advance()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _advance(self) -> bytes:
        """Return the next piece; an empty one is the end."""
        if not self._upload.is_current(self):
            # Not the end: that would make a whole body of a part.
            raise hx.StreamConsumed
        try:
            self._report()
            piece = await self._piece()
            await self._count(piece)
        except BaseException:
            self.close()
            raise
        self._sent += len(piece)
        return piece

    def _report(self) -> None:
        upload = self._upload
        if upload.progress is not None:
            upload.progress(UploadProgress(self._sent, upload.length, self._number))

    async def _piece(self) -> bytes:
        while True:
            piece = await self._fetch(self._pieces)
            if piece is _END:
                return b""
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise TypeError(f"a request body must give bytes, not a {type(piece).__name__}")
            if piece:
                return bytes(piece)

    async def _count(self, piece: bytes) -> None:
        """Hold the length against what was announced, before the last piece is sent."""
        if self._left is None:
            return
        self._left -= len(piece)
        if not piece and self._left > 0:
            raise self._differs(f"it ended {self._left} bytes earlier")
        if self._left < 0 or (piece and self._left == 0 and await self._piece()):
            raise self._differs("there is more")

    def _differs(self, how: str) -> ValidationError:
        announced = f"{self._upload.length} bytes were announced"
        return ValidationError(f"the request body is not as it was: {announced}, but {how}")

    def close(self) -> None:
        if isgenerator(self._pieces):
            try:
                self._pieces.close()
            except ValueError:
                pass  # a thread that was left behind is in it

    async def aclose(self) -> None:
        if isasyncgen(self._pieces):
            try:
                await self._pieces.aclose()
            except RuntimeError:
                pass  # whoever iterates it has not noticed yet that it was cancelled
        else:
            self.close()


async def _here(pieces: Any) -> Any:
    return next(pieces, _END)


async def _awaited(pieces: Any) -> Any:
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return _END


async def _on_thread(pieces: Any) -> Any:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(next, pieces, _END)


class _ReadAhead:
    """Gets several pieces at once: to visit a thread takes as long as to send one."""

    def __init__(self) -> None:
        self._there: Deque[Any] = deque()

    async def __call__(self, pieces: Any) -> Any:
        import anyio.to_thread

        if not self._there:
            self._there.extend(await anyio.to_thread.run_sync(_some, pieces))
        # The end is asked for twice: whether it comes where it was announced, and when it is there.
        return _END if self._there[0] is _END else self._there.popleft()


def _some(pieces: Iterator[Any]) -> List[Any]:
    some = [_kept(piece) for piece in islice(pieces, _AT_ONCE)]
    return some if len(some) == _AT_ONCE else [*some, _END]


def _kept(piece: Any) -> Any:
    """Copy what is not bytes: some files give the same buffer each time, with others in it."""
    return bytes(piece) if isinstance(piece, (bytearray, memoryview)) else piece


async def _on_lost_thread(pieces: Any) -> Any:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(next, pieces, _END, abandon_on_cancel=True)


__all__ = ["Upload", "UploadCallback", "UploadProgress", "check_upload_progress"]
