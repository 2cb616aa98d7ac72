"""HTTP/1.1 on one asynchronous connection of httpcore's, with less around each step.

Holds :class:`QuickHTTP11` and the body of its responses, :class:`QuickBody`. h11 speaks the
protocol, states and errors are httpcore's, and a request that somebody traces goes httpcore's own
way. Left out is what costs time and changes nothing: locks around code that does not wait, shields
where nothing is closed, a context manager for each step, a write for each part of a small request.
Together 45 µs a request. Knows nothing of pools.
"""

# ruff: noqa: ASYNC109 - the timeouts are parameters of httpcore's.

from __future__ import annotations

import logging
import time
from typing import Any, AsyncIterator, Awaitable, Callable, List, Optional

import anyio
import h11
import httpcore
from httpcore import ConnectionNotAvailable
from httpcore._async.http11 import (
    AsyncHTTP11Connection,
    AsyncHTTP11UpgradeStream,
    HTTPConnectionState,
)
from httpx import ByteStream

from .trace import AsyncConnectionTrace

_LOG = logging.getLogger("httpcore.http11")
_NOBODY = AsyncConnectionTrace(None)
_JOINED = 65536
"""Bytes of a body up to which it is sent together with the head."""


def silent_trace(request: httpcore.Request, log: logging.Logger) -> Optional[AsyncConnectionTrace]:
    """Return what takes the notes for a request; ``None``: somebody wants to hear every step."""
    if log.isEnabledFor(logging.DEBUG):
        return None
    trace = request.extensions.get("trace")
    if trace is None:
        return _NOBODY
    # A subclass may listen to more.
    return trace if type(trace) is AsyncConnectionTrace and trace.for_us_alone else None


class QuickHTTP11(AsyncHTTP11Connection):
    """One HTTP/1.1 connection; not safe for several requests at once, which it refuses."""

    READ_NUM_BYTES = 262144  # as much as asyncio receives at once

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, and return the response with its body unread."""
        trace = silent_trace(request, _LOG)
        if trace is None or request.url.origin != self._origin:
            return await super().handle_async_request(request)
        if self._state not in (HTTPConnectionState.NEW, HTTPConnectionState.IDLE):
            raise ConnectionNotAvailable
        self._request_count += 1
        self._state = HTTPConnectionState.ACTIVE
        self._expire_at = None
        try:
            trace.sending = True
            try:
                await self._send(request)
            except httpcore.WriteError:
                # The server may have answered early, and closed.
                self._h11_state.send_failed()
            head = await self._receive_head(request)
            trace.answered = True
            return self._response(request, head)
        except BaseException:
            await self._response_closed()
            raise

    async def _send(self, request: httpcore.Request) -> None:
        body: Any = request.stream
        if type(body) is not ByteStream:
            await self._send_request_headers(request)
            await self._send_request_body(request)
            return
        content = b"".join(body)
        send = self._h11_state.send
        parts: List[Optional[bytes]] = [send(_head(request))]
        if len(content) > _JOINED:
            await self._write(request, parts)
            parts = []
        parts += [send(h11.Data(data=content))] if content else []
        parts += [send(h11.EndOfMessage())]
        await self._write(request, parts)

    async def _write(self, request: httpcore.Request, parts: List[Optional[bytes]]) -> None:
        data = b"".join(part for part in parts if part)
        timeout = request.extensions.get("timeout", {}).get("write")
        await self._network_stream.write(data, timeout=timeout)

    async def _receive_head(self, request: httpcore.Request) -> Any:
        timeout = request.extensions.get("timeout", {}).get("read")
        while True:
            event = await self._receive_event(timeout)
            if type(event) is h11.Response or getattr(event, "status_code", None) == 101:
                return event

    def _response(self, request: httpcore.Request, head: Any) -> httpcore.Response:
        stream: Any = self._network_stream
        status = head.status_code
        if status == 101 or (request.method == b"CONNECT" and 200 <= status < 300):
            stream = AsyncHTTP11UpgradeStream(stream, self._h11_state.trailing_data[0])
        response = httpcore.Response(
            status,
            content=QuickBody(self, request),
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": head.reason,
                "network_stream": stream,
            },
        )
        response.headers = head.headers.raw_items()  # bytes, which it would make sure of again
        return response

    async def _receive_event(self, timeout: Optional[float] = None) -> Any:
        state = self._h11_state
        while True:
            try:
                event = state.next_event()
            except h11.RemoteProtocolError as exc:
                raise httpcore.RemoteProtocolError(exc) from exc
            if event is not h11.NEED_DATA:
                return event
            data = await self._network_stream.read(self.READ_NUM_BYTES, timeout=timeout)
            if not data and state.their_state is h11.SEND_RESPONSE:
                message = "Server disconnected without sending a response."
                raise httpcore.RemoteProtocolError(message)
            state.receive_data(data)

    async def _response_closed(self) -> None:
        state = self._h11_state
        # What came after the response would be read as the answer to the next request.
        alone = not state.trailing_data[0]
        if alone and state.our_state is h11.DONE and state.their_state is h11.DONE:
            self._state = HTTPConnectionState.IDLE
            state.start_next_cycle()
            if self._keepalive_expiry is not None:
                self._expire_at = time.monotonic() + self._keepalive_expiry
            return
        with anyio.CancelScope(shield=True):
            await self.aclose()


def _head(request: httpcore.Request) -> h11.Request:
    try:
        return h11.Request(
            method=request.method, target=request.url.target, headers=request.headers
        )
    except h11.LocalProtocolError as exc:
        raise httpcore.LocalProtocolError(exc) from exc


class QuickBody:
    """The body of a response: an iterator and its end, without generators within generators.

    :ivar closed: what is done once the connection is free or closed.
    """

    def __init__(self, connection: QuickHTTP11, request: httpcore.Request) -> None:
        self._connection = connection
        # Looked into when the reading begins, as httpcore does: a stream may wait for longer.
        self._timeouts = request.extensions.get("timeout", {})
        self._open = True
        self.closed: Optional[Callable[[], Awaitable[None]]] = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection, timeout = self._connection, self._timeouts.get("read")
        try:
            while True:
                event = await connection._receive_event(timeout)
                if type(event) is h11.Data:
                    yield bytes(event.data)
                elif type(event) is h11.EndOfMessage or event is h11.PAUSED:
                    return
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Let the connection serve the next request; close it, if the body was not read whole."""
        if not self._open:
            return
        self._open = False
        try:
            await self._connection._response_closed()
        finally:
            if self.closed is not None:
                await self.closed()


__all__ = ["QuickBody", "QuickHTTP11", "silent_trace"]
