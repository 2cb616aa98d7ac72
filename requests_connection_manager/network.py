"""A network backend for httpcore that remembers the socket of each stream.

Holds :class:`QuickBackend`, which wraps the backend that httpcore chose, and its streams. Knows
httpcore's backend interface, which is public; opens and reads nothing itself.
"""

from __future__ import annotations

import select
import sys
from typing import Any, Iterable, Optional

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
        return QuickStream(
            await self._stream.start_tls(
                ssl_context, server_hostname=server_hostname, timeout=timeout
            )
        )

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream tells; whether it is readable, without asking it."""
        if info == "is_readable" and self._socket is not None and _HAS_POLL:
            return _is_readable(self._socket.fileno())
        return self._stream.get_extra_info(info)


def _is_readable(fileno: int) -> bool:
    """Tell whether a read would return at once; as httpcore does, a closed socket is readable."""
    if fileno < 0:
        return True
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))
