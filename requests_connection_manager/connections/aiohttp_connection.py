"""One connection of aiohttp's, and one exchange after the other on it.

Holds :class:`Connection`. Imports aiohttp, so it is imported when a client
needs it. Knows no pool: who may use a connection, and when, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from inspect import signature
from typing import Any, Dict, Optional, Tuple, Type

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter

from ..transport import hx
from .aiohttp_errors import body_error, head_error
from .aiohttp_opening import Opener, Origin
from .aiohttp_parser import LenientParser
from .network import is_readable

# What httpx lets a head grow to; aiohttp alone would stop at 8 KiB a line, and at no sum of them.
_LONGEST = 100 * 1024
_READ_BUFFER = 2**16
_LIMITS: Dict[str, int] = {"max_line_size": _LONGEST, "max_field_size": _LONGEST}
if "max_headers" in signature(ResponseHandler.set_response_params).parameters:  # since 3.14
    _LIMITS["max_headers"] = _LONGEST


class Connection:
    """A connection on which one request at a time is sent and answered.

    Its first methods are those that httpcore's connections have for their pool.

    :param keepalive: how many seconds it may be idle; ``None``: for ever.
    """

    def __init__(self, origin: Origin, keepalive: Optional[float]) -> None:
        self.origin = origin
        self._keepalive = keepalive
        self._protocol: Any = None
        self._parser: Any = None
        self._transport: Any = None
        self._loop: Any = None
        self._socket: Any = None
        self._idle = self._closed = False
        self._expires: Optional[float] = None
        self._timer: Optional[asyncio.TimerHandle] = None
        self._timed_out: Optional[hx.TimeoutException] = None
        self._without_body = False

    # -- as the pool sees it

    def is_available(self) -> bool:
        """Tell whether a request can be sent on it now."""
        return self._idle and not self.is_closed()

    def is_idle(self) -> bool:
        """Tell whether it waits for its next request."""
        return self._idle

    def is_closed(self) -> bool:
        """Tell whether it is of no use any more."""
        return self._closed or (self._idle and not self._protocol.is_connected())

    def has_expired(self) -> bool:
        """Tell whether it was idle for too long, or the server closed it."""
        if self._expires is not None and self._loop.time() > self._expires:
            return self._idle
        # The loop may not have looked yet: it can be the program that was asleep for an hour.
        return self._idle and self._socket is not None and is_readable(self._socket.fileno())

    async def aclose(self) -> None:
        """Close it; see :meth:`close`."""
        self.close()

    def close(self) -> None:
        """Close it at once, without a long goodbye of TLS; nothing is waited for."""
        self._closed, self._idle = True, False
        # After its end, asyncio's transport has no loop any more to end it on.
        if self._protocol is not None and self._protocol.transport is not None:
            self._transport.abort()

    # -- one exchange

    @property
    def fresh(self) -> bool:
        """Whether it has to be opened yet."""
        return self._protocol is None

    async def open(
        self, opener: Opener, seconds: Optional[float], server_name: Optional[str]
    ) -> None:
        """Connect; see :meth:`Opener.open`."""
        self._protocol = await opener.open(self.origin, seconds, server_name)
        self._transport = self._protocol.transport
        self._loop = asyncio.get_running_loop()
        if self._transport is None:  # closed in the meantime
            self._closed = True
            raise hx.ConnectError("The server closed the connection at once.")
        self._socket = self._transport.get_extra_info("socket")
        if self._closed:
            self._transport.abort()

    def begin(self, without_body: bool) -> None:
        """Make ready for a response.

        :param without_body: it has none, whatever its head says.
        """
        self._idle = False
        self._without_body = without_body
        self._parser = LenientParser(self._new_parser, _LONGEST, self._protocol.force_close)
        self._protocol._parser = self._parser

    def _new_parser(self) -> Any:
        self._protocol.set_response_params(
            skip_payload=self._without_body,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            **_LIMITS,
        )
        return self._protocol._parser

    def end(self, reusable: bool) -> None:
        """Take note that an exchange is over.

        :param reusable: as far as the caller can tell.
        """
        if self._closed or not reusable or self._protocol.should_close:
            self.close()
            return
        self._idle = True
        self._parser.finish()
        if self._keepalive is not None:
            self._expires = self._loop.time() + self._keepalive

    def write(self, data: bytes) -> bool:
        """Send bytes; return whether there is still somebody to send them to."""
        if not self._protocol.is_connected():
            return False
        self._transport.write(data)
        return True

    async def drain(self, seconds: Optional[float]) -> None:
        """Wait until most of what was sent has left.

        :raises httpx.WriteTimeout: the time is over.
        """
        self._watch(seconds, hx.WriteTimeout)
        try:
            await StreamWriter(self._protocol, self._loop).drain()
        except OSError:
            pass  # there may be an answer all the same
        finally:
            self._unwatch()
        if self._timed_out is not None:
            raise self._timed_out

    async def answer(self, seconds: Optional[float]) -> Tuple[Any, Any]:
        """Return the head of the response, and what its body is read from.

        :param seconds: for each head that comes; ``None``: for ever.
        :raises httpx.ReadTimeout: the time is over.
        :raises httpx.ReadError: the connection broke.
        :raises httpx.RemoteProtocolError: what came is no response.
        """
        while True:
            self._watch(seconds, hx.ReadTimeout)
            try:
                message, payload = await self._protocol.read()
            except Exception as exc:
                raise self._failure(head_error(exc)) from exc
            finally:
                self._unwatch()
            if message.code >= 200 or message.code == 101:
                return message, payload

    async def part(self, payload: Any, seconds: Optional[float], length: Any) -> bytes:
        """Return the next part of a body; the empty one at its end.

        :param length: the ``Content-Length`` of the response, if it has one.
        :raises httpx.ReadTimeout: nothing came in time.
        :raises httpx.ReadError: the connection broke.
        :raises httpx.RemoteProtocolError: the body is not complete, or no body.
        """
        self._watch(seconds, hx.ReadTimeout)
        try:
            data: bytes = await payload.readany()
        except Exception as exc:
            # What had come before is the reader's; aiohttp would keep it back.
            data = payload._read_nowait(-1)
            if data:
                return data
            converted = body_error(exc, self.broken(), payload.total_bytes, length)
            raise self._failure(converted) from exc
        finally:
            self._unwatch()
        return data

    def _failure(self, theirs: Exception) -> Exception:
        """Return the error of a wait; ``theirs``, unless it was we who closed the connection."""
        return self._timed_out or (hx.ReadError("") if self._closed else theirs)

    def broken(self) -> Optional[OSError]:
        """Return what ended the connection, if it was not its proper end."""
        error = self._protocol.exception()
        return error if isinstance(error, OSError) else None

    def extra(self, name: str) -> Any:
        """Return what asyncio knows of the connection."""
        return self._transport.get_extra_info(name)

    # A timer of the loop, without a task or a scope for each wait.

    def _watch(self, seconds: Optional[float], error: Type[hx.TimeoutException]) -> None:
        if seconds is not None:
            self._timer = self._loop.call_later(seconds, self._run_out, error)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_out(self, error: Type[hx.TimeoutException]) -> None:
        """Wake up whoever waits: the connection is of no use any more."""
        self._timed_out = error("")
        self.close()


__all__ = ["Connection"]
