"""What is made faster in httpcore's pool of connections.

Holds :class:`QuickPool`, whose bookkeeping is linear, and :class:`QuickBackend`, which wraps the
network backend that httpcore chose and remembers the socket of each stream. Both give the same
answers as httpcore, but for errors of TLS that it would let through. Opens nothing itself.
"""

# ruff: noqa: ASYNC109 - the timeouts are parameters of httpcore's.

from __future__ import annotations

import select
import ssl
import sys
from typing import Any, Iterable, List, Optional

import anyio
import httpcore

_HAS_POLL = sys.platform != "win32" and hasattr(select, "poll")


class QuickPool(httpcore.AsyncConnectionPool):
    """A pool that does its bookkeeping in one pass.

    httpcore 1.0 walks through all connections again for each idle one, at every start and end of a
    request: 40 % of the time of a client with 20 connections. The outcome here is the same.
    """

    def _assign_requests_to_connections(self) -> List[Any]:
        closing: List[Any] = []
        for connection in list(self._connections):
            surplus = len(self._connections) > self._max_keepalive_connections
            if connection.is_closed():
                self._connections.remove(connection)
            elif connection.has_expired() or (surplus and connection.is_idle()):
                self._connections.remove(connection)
                closing.append(connection)
        for request in self._requests:
            if request.is_queued():
                self._assign(request, closing)
        return closing

    def _assign(self, request: Any, closing: List[Any]) -> None:
        origin = request.request.url.origin
        for connection in self._connections:
            if connection.can_handle_request(origin) and connection.is_available():
                request.assign_to_connection(connection)
                return
        if len(self._connections) >= self._max_connections:
            idle = next((one for one in self._connections if one.is_idle()), None)
            if idle is None:
                return
            self._connections.remove(idle)
            closing.append(idle)
        connection = self.create_connection(origin)
        self._connections.append(connection)
        request.assign_to_connection(connection)


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
        return QuickStream(
            await self._backend.connect_tcp(
                host,
                port,
                timeout=timeout,
                local_address=local_address,
                socket_options=socket_options,
            )
        )

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
        if info == "is_readable" and self._socket is not None and _HAS_POLL:
            return _is_readable(self._socket.fileno())
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


def _is_readable(fileno: int) -> bool:
    """Tell whether a read would return at once; as httpcore does, a closed socket is readable."""
    if fileno < 0:
        return True
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))
