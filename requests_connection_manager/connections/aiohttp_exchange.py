"""One request and its response, from httpx's objects onto a connection of aiohttp's and back.

Holds :func:`exchange` and what the body of a response is read from. Knows no pool and no settings:
what is to be done when the connection is free again is given to it.
"""

from __future__ import annotations

from typing import Any, AsyncIterator, Callable, Dict, Mapping, Optional

from aiohttp import EMPTY_PAYLOAD

from ..transport import hx
from .aiohttp_connection import Connection
from .http1_request import Framing, Head
from .trace import AsyncConnectionTrace

Timeouts = Mapping[str, Optional[float]]

_JOINED = 65536
"""Bytes of a body up to which it is sent together with the head."""

_VERSIONS = {(1, 1): b"HTTP/1.1", (1, 0): b"HTTP/1.0"}


class Trace:
    """Tells the trace of a request what happens, as httpcore does.

    :ivar notes: what is to be set; nobody looks at it where somebody listens.
    :ivar listener: who wants to hear every step; ``None``: nobody.
    """

    __slots__ = ("listener", "notes")

    def __init__(self, given: Any) -> None:
        silent = type(given) is AsyncConnectionTrace and given.for_us_alone
        self.listener: Any = None if silent else given
        self.notes = given if silent else AsyncConnectionTrace(None)

    async def tell(self, step: str, **info: Any) -> None:
        """Tell who listens."""
        await self.listener(step, info)


async def exchange(
    connection: Connection,
    request: hx.Request,
    head: Head,
    timeouts: Timeouts,
    trace: Trace,
    free: Callable[[], None],
) -> hx.Response:
    """Send a request and return its response; the body may still be on its way.

    :param free: called when the connection serves no one any more.
    """
    trace.notes.sending = True
    if trace.listener is not None:
        await trace.tell("http11.send_request_headers.started", request=request)
    connection.begin(request.method == "HEAD")
    whole = await _send(connection, request, head, timeouts.get("write"))
    if trace.listener is not None:
        await trace.tell("http11.send_request_headers.complete", return_value=None)
        await trace.tell("http11.receive_response_headers.started", request=request)
    message, payload = await connection.answer(timeouts.get("read"))
    trace.notes.answered = True
    version = _version(message)
    if trace.listener is not None:
        seen = (version, message.code, _reason(message), list(message.raw_headers))
        await trace.tell("http11.receive_response_headers.complete", return_value=seen)
    reusable = whole and not head.closes
    stream: hx.AsyncByteStream
    if message.code == 101:
        raise hx.RemoteProtocolError(
            'The server changes to another protocol: for that leave out http_backend="aiohttp"'
        )
    if payload is EMPTY_PAYLOAD or (payload.is_eof() and not _ends_with_connection(message)):
        stream = ReceivedBody(connection, payload.read_nowait(), reusable, free)
    else:
        stream = Body(connection, payload, timeouts, message, reusable, free)
    return hx.Response(
        message.code,
        headers=[(name, value.strip(b" \t")) for name, value in message.raw_headers],
        stream=stream,
        extensions={
            "http_version": version,
            "reason_phrase": _reason(message),
            "network_stream": NetworkStream(connection),
        },
    )


def _ends_with_connection(message: Any) -> bool:
    """Tell whether only the end of the connection is the end of a body, if there is one."""
    return not message.chunked and "Content-Length" not in message.headers


def _version(message: Any) -> bytes:
    return _VERSIONS.get(tuple(message.version)) or b"HTTP/%d.%d" % tuple(message.version)


def _reason(message: Any) -> bytes:
    reason: str = message.reason
    return reason.encode("utf-8", "surrogateescape")


async def _send(
    connection: Connection, request: hx.Request, head: Head, seconds: Optional[float]
) -> bool:
    """Send a request; return whether all of it could be sent."""
    framing = Framing(head.length)
    if type(request.stream) is hx.ByteStream:
        content = b"".join(request.stream)
        rest = framing.part(content) + framing.end()
        if len(rest) <= _JOINED:
            return connection.write(head.data + rest)
        if not (connection.write(head.data) and connection.write(rest)):
            return False
        await connection.drain(seconds)
        return True
    if not connection.write(head.data):
        return False
    stream: Any = request.stream
    async for part in stream:
        if not connection.write(framing.part(part)):
            return False  # there may be an answer all the same
        await connection.drain(seconds)
    return connection.write(framing.end())


class ReceivedBody(hx.ByteStream):
    """The body of a response that has arrived as a whole; its connection can be kept, read or not.

    It takes neither a generator nor a timer.
    """

    def __init__(
        self, connection: Connection, data: bytes, reusable: bool, free: Callable[[], None]
    ) -> None:
        super().__init__(data)
        self._connection = connection
        self._reusable = reusable
        self._free: Optional[Callable[[], None]] = free

    async def aclose(self) -> None:
        """Let the connection serve the next request."""
        free, self._free = self._free, None
        if free is not None:
            self._connection.end(self._reusable)
            free()


class Body(hx.AsyncByteStream):
    """The body of a response that has not arrived as a whole when its head is read."""

    def __init__(
        self,
        connection: Connection,
        payload: Any,
        timeouts: Timeouts,
        message: Any,
        reusable: bool,
        free: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._payload = payload
        self._timeouts = timeouts
        self._length = None if message.chunked else message.headers.get("Content-Length")
        self._open_ended = payload is not EMPTY_PAYLOAD and _ends_with_connection(message)
        self._reusable = reusable
        self._free: Optional[Callable[[], None]] = free

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # Now: httpcore asks when the body is begun, and who reads a stream may have changed it.
        payload, seconds = self._payload, self._timeouts.get("read")
        try:
            while not payload.at_eof():
                part = await self._connection.part(payload, seconds, self._length)
                if part:
                    yield part
            broken = self._connection.broken() if self._open_ended else None
            if broken is not None:
                # aiohttp takes every end for the proper one.
                raise hx.ReadError(str(broken)) from broken
            self._end(self._reusable)
        except BaseException:
            self._end(False)
            raise

    async def aclose(self) -> None:
        """Let the connection serve the next request; close it, if the body is not there whole."""
        self._end(self._reusable and self._payload.is_eof())

    def _end(self, reusable: bool) -> None:
        free, self._free = self._free, None
        if free is not None:
            self._connection.end(reusable and self._payload.exception() is None)
            free()


class NetworkStream:
    """What httpx's extension ``network_stream`` tells of the connection below."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        """Return what is known by one of httpcore's names, such as ``ssl_object``."""
        if info == "is_readable":
            return self._connection.has_expired()
        return self._connection.extra(_EXTRA.get(info, info))


_EXTRA: Dict[str, str] = {"client_addr": "sockname", "server_addr": "peername"}

__all__ = ["Body", "NetworkStream", "Timeouts", "Trace", "exchange"]
