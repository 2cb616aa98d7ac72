"""Running the pipeline on httpx's asynchronous client.

Holds :class:`AsyncHttpxHop`, which sends, waits and reads on asyncio or trio. Knows anyio, and
httpx through ``transport`` only; decides nothing.
"""

from __future__ import annotations

import time
from typing import Any, AsyncIterator, Callable, Coroutine, FrozenSet, List, Optional, TypeVar

import anyio
import anyio.to_thread

from ._httpx_building import header_names
from ._httpx_hop import HttpxHop
from ._httpx_shortcuts import reads_plainly, received
from .admission import deadline_exceeded
from .exceptions import ConnectionManagerError
from .policies.deadline import Deadline
from .transport import AsyncConnectionTrace, BoundAsyncStream, hx, idle_connections

T = TypeVar("T")


class AsyncHttpxHop(HttpxHop):
    """One hop over an ``httpx.AsyncClient``."""

    new_trace = AsyncConnectionTrace

    def send(self) -> Coroutine[Any, Any, hx.Response]:
        request = self._prepared()
        self.sent = True
        deadline = self.call.deadline
        return (
            self._send_and_read(request) if deadline is None else self._in_time(request, deadline)
        )

    async def _in_time(self, request: hx.Request, deadline: Deadline) -> hx.Response:
        response: Optional[hx.Response] = None
        try:
            with anyio.move_on_after(deadline.remaining()):
                response = await self._send_and_read(request)
        except Exception as exc:
            # httpx's own timeouts end at the same moment, and may be noticed first.
            if deadline.expired():
                raise deadline_exceeded(self) from exc
            raise
        if response is None:
            raise deadline_exceeded(self)
        if deadline.expired():
            await response.aclose()
            raise deadline_exceeded(self)
        if self.call.stream:
            response.stream = DeadlineStream(response.stream, self)
        return response

    async def _send_and_read(self, request: hx.Request) -> hx.Response:
        response: hx.Response = await self._client.send_once(request)
        self.received_names = names = header_names(response.headers)
        if not self.call.stream:
            try:
                await read_whole(response, names)
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


async def send_once(client: Any, request: hx.Request) -> hx.Response:
    """Do the same as ``httpx.AsyncClient._send_single_request``."""
    transport = client._transport_for_url(request.url)
    start = time.perf_counter()
    if not isinstance(request.stream, hx.AsyncByteStream):
        raise RuntimeError("Attempted to send an sync request with an AsyncClient instance.")
    try:
        response: hx.Response = await transport.handle_async_request(request)
    except hx.RequestError as exc:
        exc.request = request
        raise
    assert isinstance(response.stream, hx.AsyncByteStream)
    response.stream = BoundAsyncStream(response.stream, response=response, start=start)
    received(client, request, response)
    return response


async def send_following(
    client: Any, request: hx.Request, stream: bool, follow_redirects: bool
) -> hx.Response:
    """Do the same as ``httpx.AsyncClient.send`` where there is no auth flow."""
    for hook in client._event_hooks["request"]:
        await hook(request)
    response: hx.Response = await client._send_single_request(request)
    try:
        for hook in client._event_hooks["response"]:
            await hook(response)
        response.history = []
        if response.has_redirect_location:
            following = client._build_redirect_request(request, response)
            if follow_redirects:
                await response.aread()
                history = [response]
                response = await client._send_handling_redirects(following, True, history)
            else:
                response.next_request = following
        if not stream:
            await response.aread()
        return response
    except BaseException:
        await response.aclose()
        raise


async def read_whole(response: hx.Response, names: FrozenSet[bytes]) -> None:
    """Do the same as ``response.aread()``, whose generators within generators take 20 µs more."""
    if not reads_plainly(response, names, BoundAsyncStream):
        await response.aread()
        return
    response.is_stream_consumed = True
    parts: List[bytes] = []
    stream: Any = response.stream
    try:
        async for part in stream._stream:
            response._num_bytes_downloaded += len(part)
            parts.append(part)
        response.is_closed = True
        await stream.aclose()
    except hx.RequestError as exc:
        exc.request = response.request
        raise
    response._content = b"".join(parts)
    response.stream = stream._stream  # the bound one holds the response, which holds it


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


__all__ = ["AsyncHttpxHop", "close_shielded", "read_or_close", "send_following", "send_once"]
