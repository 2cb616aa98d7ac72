"""What is made faster in the streams below httpcore.

Holds :class:`QuickBackend`, which wraps the network backend that httpcore chose. On asyncio it
takes over what that opened (``asyncio_stream``), elsewhere it remembers the socket of each stream.
It gives the same answers as httpcore, but for errors of TLS that it would let through.
"""

# ruff: noqa: ASYNC109 - the timeouts are parameters of httpcore's.

from __future__ import annotations

import select
import ssl
import sys
from typing import Any, Iterable, Optional

import anyio
import httpcore

_HAS_POLL = sys.platform != "win32" and hasattr(select, "poll")


class QuickBackend(httpcore.AsyncNetworkBackend):
    """Opens streams through another backend and makes them answer quickly."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Optional[float] = None,
        local_address: Optional[str] = None,
        socket_options: Optional[Iterable[Any]] = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host."""
        stream = await self._backend.connect_tcp(
            host,
            port,
            timeout=timeout,
            local_address=local_address,
            socket_options=socket_options,
        )
        if type(stream).__module__ == "httpcore._backends.anyio":
            from .asyncio_stream import taken_over  # not on trio

            return taken_over(stream._stream, is_readable) or QuickStream(stream)  # type: ignore[attr-defined]  # anyio's
        return QuickStream(stream)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: Optional[float] = None,
        socket_options: Optional[Iterable[Any]] = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a Unix socket."""
        return QuickStream(
            await self._backend.connect_unix_socket(
                path, timeout=timeout, socket_options=socket_options
            )
        )

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


class QuickStream(httpcore.AsyncNetworkStream):
    """A stream that knows its socket."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        # The stream's own methods: passing a read through costs a coroutine.
        self.read = stream.read  # type: ignore[method-assign]  # see above
        self.write = stream.write  # type: ignore[method-assign]  # see above
        self.aclose = stream.aclose  # type: ignore[method-assign]  # see above

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> httpcore.AsyncNetworkStream:
        """Upgrade to TLS."""
        try:
            return SecureStream(
                await self._stream.start_tls(
                    ssl_context, server_hostname=server_hostname, timeout=timeout
                )
            )
        except Exception:
            raise
        except BaseException:
            # Cancelled: httpcore closes the stream after its own errors only.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream tells; whether it is readable, without asking it."""
        if info == "is_readable" and self._socket is not None:
            return is_readable(self._socket.fileno())
        return self._stream.get_extra_info(info)


class SecureStream(QuickStream):
    """A stream of TLS whose alerts are errors of httpcore's, as on the synchronous side.

    With TLS 1.3 a server that refuses the client's certificate says so when the first answer is
    read. anyio lets that through as an ``ssl.SSLError``, which httpcore does not know there.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        super().__init__(stream)
        self.read = self._read  # type: ignore[method-assign]  # the base class puts its own there
        self.write = self._write  # type: ignore[method-assign]  # as above

    async def _read(self, max_bytes: int, timeout: Optional[float] = None) -> bytes:
        try:
            return await self._stream.read(max_bytes, timeout)
        except ssl.SSLError as exc:
            raise httpcore.ReadError(str(exc)) from exc

    async def _write(self, buffer: bytes, timeout: Optional[float] = None) -> None:
        try:
            await self._stream.write(buffer, timeout)
        except ssl.SSLError as exc:
            raise httpcore.WriteError(str(exc)) from exc


def is_readable(fileno: int) -> bool:
    """Tell whether a read would return at once; as httpcore does, a closed socket is readable."""
    if fileno < 0:
        return True
    if not _HAS_POLL:
        return bool(select.select([fileno], [], [], 0)[0])
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))
