"""Running the pipeline on httpx's synchronous client.

Holds :class:`SyncHttpxHop`, whose ``async def`` methods block and never suspend. Knows httpx
through ``transport`` only; decides nothing.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any, Callable, FrozenSet, Iterator, List, Optional, TypeVar

from ._httpx_building import header_names
from ._httpx_hop import HttpxHop
from ._httpx_shortcuts import reads_plainly, received
from .admission import deadline_exceeded
from .connections.sync_network import current_deadline
from .connections.wire import Wire, current_wire
from .core import SystemClock
from .exceptions import ConnectionManagerError
from .policies.deadline import Deadline
from .transport import BoundSyncStream, SyncConnectionTrace, hx, idle_connections

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
        response = None
        try:
            response = self._send_in_time(request)
        finally:
            current_wire.reset(token)
            crew.leave(wire, response)
        return response

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
        self.received_names = names = header_names(response.headers)
        if not self.call.stream:
            try:
                read_whole(response, names)
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
        # Not _until(), which costs 2 µs for each piece.
        token = current_deadline.set(self._deadline)
        try:
            chunk = next(chunks, None)
        except Exception as exc:
            if self._deadline.expired():
                raise deadline_exceeded(self._hop) from exc
            raise
        finally:
            current_deadline.reset(token)
        if chunk is not None and self._deadline.expired():
            raise deadline_exceeded(self._hop)
        return chunk

    def close(self) -> None:
        self._stream.close()


def send_once(client: Any, request: hx.Request) -> hx.Response:
    """Do the same as ``httpx.Client._send_single_request``."""
    transport = client._transport_for_url(request.url)
    start = time.perf_counter()
    if not isinstance(request.stream, hx.SyncByteStream):
        raise RuntimeError("Attempted to send an async request with a sync Client instance.")
    try:
        response: hx.Response = transport.handle_request(request)
    except hx.RequestError as exc:
        exc.request = request
        raise
    assert isinstance(response.stream, hx.SyncByteStream)
    response.stream = BoundSyncStream(response.stream, response=response, start=start)
    received(client, request, response)
    return response


def send_following(
    client: Any, request: hx.Request, stream: bool, follow_redirects: bool
) -> hx.Response:
    """Do the same as ``httpx.Client.send`` where there is no auth flow."""
    for hook in client._event_hooks["request"]:
        hook(request)
    response: hx.Response = client._send_single_request(request)
    try:
        for hook in client._event_hooks["response"]:
            hook(response)
        response.history = []
        if response.has_redirect_location:
            following = client._build_redirect_request(request, response)
            if follow_redirects:
                response.read()
                history = [response]
                response = client._send_handling_redirects(following, True, history)
            else:
                response.next_request = following
        if not stream:
            response.read()
        return response
    except BaseException:
        response.close()
        raise


def read_whole(response: hx.Response, names: FrozenSet[bytes]) -> None:
    """Do the same as ``response.read()``, without its generators within generators."""
    if not reads_plainly(response, names, BoundSyncStream):
        response.read()
        return
    response.is_stream_consumed = True
    parts: List[bytes] = []
    stream: Any = response.stream
    try:
        for part in stream._stream:
            response._num_bytes_downloaded += len(part)
            parts.append(part)
        response.is_closed = True
        stream.close()
    except hx.RequestError as exc:
        exc.request = response.request
        raise
    response._content = b"".join(parts)
    response.stream = stream._stream  # the bound one holds the response, which holds it


async def read_or_close(response: hx.Response) -> None:
    """Read a body; a broken one is given up, and its connection closed."""
    try:
        response.read()
    except (hx.HTTPError, hx.StreamError, OSError):
        response.close()
    except BaseException:
        response.close()
        raise


__all__ = ["SyncHttpxHop", "read_or_close", "send_following", "send_once"]
