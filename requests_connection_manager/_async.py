"""Running the pipeline on httpx's asynchronous client.

Holds :class:`AsyncHttpxHop`, which sends, waits and reads on asyncio or trio. Knows anyio, and
httpx through ``transport`` only; decides nothing.
"""

from __future__ import annotations

from typing import Any, AsyncIterator, Callable, Optional, TypeVar

import anyio
import anyio.to_thread

from ._httpx_hop import HttpxHop
from .admission import deadline_exceeded
from .exceptions import ConnectionManagerError
from .transport import AsyncConnectionTrace, hx, idle_connections

T = TypeVar("T")


class AsyncHttpxHop(HttpxHop):
    """One hop over an ``httpx.AsyncClient``."""

    new_trace = AsyncConnectionTrace

    async def send(self) -> hx.Response:
        request = self._prepared()
        self.sent = True
        if self.call.deadline is None:
            return await self._send_and_read(request)
        response: Optional[hx.Response] = None
        try:
            with anyio.move_on_after(self.call.deadline.remaining()):
                response = await self._send_and_read(request)
        except Exception as exc:
            # httpx's own timeouts end at the same moment, and may be noticed first.
            if self.call.deadline.expired():
                raise deadline_exceeded(self) from exc
            raise
        if response is None:
            raise deadline_exceeded(self)
        if self.call.deadline.expired():
            await response.aclose()
            raise deadline_exceeded(self)
        if self.call.stream:
            response.stream = DeadlineStream(response.stream, self)
        return response

    async def _send_and_read(self, request: hx.Request) -> hx.Response:
        response: hx.Response = await self._client.send_once(request)
        if not self.call.stream:
            try:
                await response.aread()
            except BaseException:
                await close_shielded(response)
                raise
        return response

    async def sleep(self, seconds: float) -> None:
        await self.clock.asleep(seconds)

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(function, *args)

    async def settle(self, response: hx.Response) -> None:
        try:
            await response.aread()
        except (hx.HTTPError, hx.StreamError, ConnectionManagerError):
            await response.aclose()

    async def replace_connection(self) -> None:
        transport = self._client._transport_for_url(self.request.url)
        for connection in idle_connections(transport, self.request.url):
            await connection.aclose()


class DeadlineStream(hx.AsyncByteStream):
    """A streamed body whose reads end with the deadline of its call."""

    def __init__(self, stream: Any, hop: HttpxHop) -> None:
        self._stream = stream
        self._hop = hop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._stream.__aiter__()
        while True:
            chunk = await self._next(chunks)
            if chunk is None:
                return
            yield chunk

    async def _next(self, chunks: Any) -> Optional[bytes]:
        deadline = self._hop.call.deadline
        assert deadline is not None
        with anyio.move_on_after(deadline.remaining()) as scope:
            try:
                chunk: bytes = await chunks.__anext__()
            except StopAsyncIteration:
                return None
            except Exception as exc:
                if deadline.expired():
                    raise deadline_exceeded(self._hop) from exc
                raise
        if scope.cancelled_caught or deadline.expired():
            raise deadline_exceeded(self._hop)
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def close_shielded(response: hx.Response) -> None:
    """Close a response also when the task is being cancelled."""
    with anyio.CancelScope(shield=True):
        await response.aclose()


async def read_or_close(response: hx.Response) -> None:
    """Read a body; a broken one is given up, and its connection closed."""
    try:
        await response.aread()
    except (hx.HTTPError, hx.StreamError, OSError):
        await response.aclose()
    except BaseException:
        await close_shielded(response)
        raise


__all__ = ["AsyncHttpxHop", "close_shielded", "read_or_close"]
