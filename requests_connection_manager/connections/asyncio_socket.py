"""A byte stream directly over asyncio's transport.

Holds :class:`AsyncioSocket`, which takes over the transport that anyio opened. anyio opens a cancel
scope for each step that has a timeout, switches reading on and off for each read, and lets the loop
run once after each write. Errors are anyio's. Knows neither TLS nor HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Callable, Deque, Mapping, Optional

import anyio
from anyio.abc import ByteStream

_MAX_BUFFERED = 262144
"""Bytes that are read ahead; as much as asyncio reads at once."""

_NEVER = float("inf")


class TimedOut(Exception):
    """A wait was too long; not an ``OSError``, which anyio's TLS would take for a broken stream."""


class Wait:
    """One wait for the other side, which ends after a timeout.

    The timer stays armed over the waits of many requests and is moved only when it strikes too
    early, for arming and cancelling it costs 3 µs each time.
    """

    __slots__ = ("_deadline", "_future", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: Optional[asyncio.Future[bool]] = None
        self._deadline = 0.0
        self._timer: Optional[asyncio.TimerHandle] = None

    async def run(self, deadline: float, doing: str) -> bool:
        """Wait until :meth:`end` is called, and tell whether that was in time."""
        if self._future is not None:
            raise anyio.BusyResourceError(doing)
        self._future = future = self._loop.create_future()
        self._deadline = deadline
        if deadline != _NEVER and (self._timer is None or self._timer.when() > deadline):
            self.disarm()
            self._timer = self._loop.call_at(deadline, self._strike)
        try:
            in_time: bool = await future
            return in_time
        finally:
            self._future = None

    def end(self, in_time: bool = True) -> None:
        """End the wait, if there is one."""
        if self._future is not None and not self._future.done():
            self._future.set_result(in_time)

    def disarm(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _strike(self) -> None:
        self._timer = None
        if self._future is None or self._deadline == _NEVER:
            return
        if self._loop.time() >= self._deadline:
            self.end(in_time=False)
        else:
            self._timer = self._loop.call_at(self._deadline, self._strike)


class AsyncioSocket(asyncio.Protocol, ByteStream):
    """A byte stream over an asyncio transport that anyio opened.

    It reads ahead, so that what was received while nobody waited costs no further turn of the loop.

    :param opened: anyio's stream, which must not be read from any more.
    """

    def __init__(self, opened: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._opened = opened
        self._loop = loop
        self._read_by = self._write_by = _NEVER
        self._transport: Any = opened._transport
        self._chunks: Deque[bytes] = deque()
        self._buffered = 0
        self._reading = Wait(loop)
        self._writing = Wait(loop)
        self._full = self._held = self._at_eof = self._lost = self._closed = False
        self._error: Optional[Exception] = None
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    # -- what asyncio tells

    def data_received(self, data: bytes) -> None:
        """Keep what was received, and stop reading when it is much."""
        self._chunks.append(bytes(data))  # Windows gives a bytearray
        self._buffered += len(data)
        if self._buffered >= _MAX_BUFFERED and not self._held:
            self._held = True
            self._transport.pause_reading()
        self._reading.end()

    def eof_received(self) -> bool:
        """Take note of the end; what is being sent is sent nevertheless."""
        self._at_eof = True
        self._reading.end()
        return True

    def connection_lost(self, exc: Optional[Exception]) -> None:
        """Take note of the end of both directions."""
        self._lost = True
        self._error = exc
        for wait in (self._reading, self._writing):
            wait.end()
            wait.disarm()

    def pause_writing(self) -> None:
        """Take note that not all could be sent."""
        self._full = True

    def resume_writing(self) -> None:
        """Take note that all was sent."""
        self._full = False
        self._writing.end()

    # -- what anyio's TLS and httpcore ask for

    def limit_reading(self, timeout: Optional[float]) -> None:
        """Let what is read from now on wait so long together, in seconds."""
        self._read_by = _NEVER if timeout is None else self._loop.time() + timeout

    def limit_writing(self, timeout: Optional[float]) -> None:
        """Let what is written from now on wait so long together, in seconds."""
        self._write_by = _NEVER if timeout is None else self._loop.time() + timeout

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what was received, or wait for it."""
        if not self._chunks:
            if not (self._at_eof or self._ended()):
                in_time = await self._reading.run(self._read_by, "reading from")
                if not (in_time or self._chunks):
                    raise TimedOut
            if not self._chunks:
                self._refuse()
                raise anyio.EndOfStream
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._buffered -= len(chunk)
        if self._held and not self._chunks:
            self._held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return chunk

    async def send(self, item: bytes) -> None:
        """Send, and wait until all is handed to the system."""
        self._refuse()
        if self._transport.is_closing():
            raise anyio.BrokenResourceError
        self._transport.write(item)
        if self._full:
            if not await self._writing.run(self._write_by, "writing to") and self._full:
                raise TimedOut
            self._refuse()

    async def send_eof(self) -> None:
        """End this direction."""
        await self._opened.send_eof()

    async def aclose(self) -> None:
        """Close at once; what was not sent yet is not."""
        self._closed = True
        self._reading.disarm()
        self._writing.disarm()
        self._transport.abort()
        await asyncio.sleep(0)  # the loop closes the socket

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """What anyio knows of the socket."""
        found: Mapping[Any, Callable[[], Any]] = self._opened.extra_attributes
        return found

    def would_read(self) -> bool:
        """Tell whether a read would not have to wait, as far as the loop knows."""
        return bool(self._chunks) or self._at_eof or self._ended()

    def _ended(self) -> bool:
        return self._lost or self._closed or bool(self._transport.is_closing())

    def _refuse(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._error is not None:
            raise anyio.BrokenResourceError from self._error


__all__ = ["AsyncioSocket", "TimedOut", "Wait"]
