"""Running the pipeline on httpx's synchronous client.

Holds :class:`SyncHttpxHop`, whose ``async def`` methods block and never suspend. Knows httpx
through ``transport`` only; decides nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional, TypeVar

from ._httpx_hop import HttpxHop
from ._sync_network import current_deadline
from ._wire import Wire, current_wire
from .admission import deadline_exceeded
from .core import SystemClock
from .exceptions import ConnectionManagerError
from .policies.deadline import Deadline
from .transport import SyncConnectionTrace, hx, idle_connections

T = TypeVar("T")


@contextmanager
def _until(deadline: Optional[Deadline]) -> Iterator[None]:
    """Bound what this thread reads and writes meanwhile."""
    token = current_deadline.set(deadline)
    try:
        yield
    finally:
        current_deadline.reset(token)


class SyncHttpxHop(HttpxHop):
    """One hop over an ``httpx.Client``."""

    new_trace = SyncConnectionTrace

    async def send(self) -> hx.Response:
        request = self._prepared()
        self.sent = True
        crew = self.call.crew
        if crew is None:
            return self._send_in_time(request)
        wire = Wire()
        crew.enter(wire)
        token = current_wire.set(wire)
        try:
            return self._send_in_time(request)
        finally:
            current_wire.reset(token)
            crew.leave(wire)
            crew.check()

    def _send_in_time(self, request: hx.Request) -> hx.Response:
        deadline = self.call.deadline
        if deadline is None and current_deadline.get() is None:
            return self._send_and_read(request)
        try:
            # None, too: the call that a body or a callback of another one makes has its own time.
            with _until(deadline):
                response = self._send_and_read(request)
        except Exception as exc:
            # httpx's own timeouts end at the same moment.
            if deadline is not None and deadline.expired():
                raise deadline_exceeded(self) from exc
            raise
        if deadline is None:
            return response
        if deadline.expired():
            response.close()
            raise deadline_exceeded(self)
        if self.call.stream:
            response.stream = DeadlineStream(response.stream, self, deadline)
        return response

    def _send_and_read(self, request: hx.Request) -> hx.Response:
        response: hx.Response = self._client.send_once(request)
        if not self.call.stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response

    async def sleep(self, seconds: float) -> None:
        crew = self.call.crew
        if crew is not None and isinstance(self.clock, SystemClock):
            crew.sleep(seconds)
        else:
            self.clock.sleep(seconds)

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    async def settle(self, response: hx.Response) -> None:
        try:
            response.read()
        except (hx.HTTPError, hx.StreamError, ConnectionManagerError):
            response.close()

    async def replace_connection(self) -> None:
        transport = self._client._transport_for_url(self.request.url)
        for connection in idle_connections(transport, self.request.url):
            connection.close()


class DeadlineStream(hx.SyncByteStream):
    """A streamed body whose reads end with the deadline of its call."""

    def __init__(self, stream: Any, hop: HttpxHop, deadline: Deadline) -> None:
        self._stream = stream
        self._hop = hop
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        while True:
            chunk = self._next(chunks)
            if chunk is None:
                return
            yield chunk

    def _next(self, chunks: Iterator[bytes]) -> Optional[bytes]:
        try:
            with _until(self._deadline):
                chunk = next(chunks, None)
        except Exception as exc:
            if self._deadline.expired():
                raise deadline_exceeded(self._hop) from exc
            raise
        if chunk is not None and self._deadline.expired():
            raise deadline_exceeded(self._hop)
        return chunk

    def close(self) -> None:
        self._stream.close()


async def read_or_close(response: hx.Response) -> None:
    """Read a body; a broken one is given up, and its connection closed."""
    try:
        response.read()
    except (hx.HTTPError, hx.StreamError, OSError):
        response.close()
    except BaseException:
        response.close()
        raise


__all__ = ["SyncHttpxHop", "read_or_close"]
