"""Sockets of a synchronous httpx client, bounded by the deadline of the call that uses them.

Holds :class:`TimedBackend`, which wraps the network backend that httpcore chose. A timeout of
httpx's bounds one read; here each read, write and connect has what is left of the deadline at
most, so that a server that drips a byte at a time can't outlive it. Also tells the batch that a
call belongs to which socket it waits for. Opens and reads nothing itself.
"""

from __future__ import annotations

import contextvars
import ssl
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Optional, Type

import httpcore

from ..policies.deadline import Deadline
from .wire import current_wire

current_deadline: contextvars.ContextVar[Optional[Deadline]] = contextvars.ContextVar(
    "requests_connection_manager_deadline", default=None
)

# A receiver that takes a byte at a time must not make one write outlive the deadline.
_PIECE = 65_536

# Bytes that are read at once when httpcore's 65,536 were there: a quarter of the steps through its
# layers, which makes up for what the deadline costs in each. Small answers need no such buffer, and
# whoever reads another number (from a connection that was upgraded) gets no more than that.
_AT_ONCE = 262_144


def _left(timeout: Optional[float], late: Type[Exception]) -> Optional[float]:
    deadline = current_deadline.get()
    if deadline is None:
        return timeout
    left = deadline.at - deadline.clock()
    if left <= 0:
        raise late("the deadline of the call is over")
    return left if timeout is None or left < timeout else timeout


@contextmanager
def _told_of(sock: Any) -> Iterator[None]:
    """Tell the batch which socket waits for a TLS handshake."""
    wire = current_wire.get()
    if wire is None or sock is None:
        yield
        return
    # A plain one is an empty shell meanwhile; its duplicate is the same connection.
    own = None if isinstance(sock, ssl.SSLSocket) else sock.dup()
    wire.sock = own or sock
    try:
        yield
    finally:
        wire.sock = None
        if own is not None:
            own.close()


class TimedBackend(httpcore.NetworkBackend):
    """Opens streams through another backend, within the deadline."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Optional[float] = None,
        local_address: Optional[str] = None,
        socket_options: Optional[Iterable[Any]] = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host."""
        return TimedStream(
            self._backend.connect_tcp(
                host,
                port,
                timeout=_left(timeout, httpcore.ConnectTimeout),
                local_address=local_address,
                socket_options=socket_options,
            )
        )

    def connect_unix_socket(
        self,
        path: str,
        timeout: Optional[float] = None,
        socket_options: Optional[Iterable[Any]] = None,
    ) -> httpcore.NetworkStream:
        """Connect to a Unix socket."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return TimedStream(
            self._backend.connect_unix_socket(path, timeout=left, socket_options=socket_options)
        )

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._backend.sleep(seconds)


class TimedStream(httpcore.NetworkStream):
    """A stream whose operations end with the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        self._plenty = False  # whether the last read brought much
        self.close = stream.close  # type: ignore[method-assign]  # passed through as it is

    def read(self, max_bytes: int, timeout: Optional[float] = None) -> bytes:
        """Read what is there, at least one byte."""
        self._tell()
        size = _AT_ONCE if self._plenty and max_bytes == _PIECE else max_bytes
        data = self._stream.read(size, timeout=_left(timeout, httpcore.ReadTimeout))
        self._plenty = len(data) >= _PIECE
        return data

    def write(self, buffer: bytes, timeout: Optional[float] = None) -> None:
        """Write everything."""
        self._tell()
        if current_deadline.get() is None:
            self._stream.write(buffer, timeout=timeout)
            return
        view: Any = memoryview(buffer)  # a copy of each piece would cost a tenth of an upload
        for start in range(0, len(buffer), _PIECE):
            left = _left(timeout, httpcore.WriteTimeout)
            self._stream.write(view[start : start + _PIECE], timeout=left)

    def start_tls(
        self,
        ssl_context: Any,
        server_hostname: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> httpcore.NetworkStream:
        """Upgrade to TLS."""
        left = _left(timeout, httpcore.ConnectTimeout)
        with _told_of(self._socket):
            return TimedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream tells."""
        return self._stream.get_extra_info(info)

    def _tell(self) -> None:
        wire = current_wire.get()
        if wire is not None:
            wire.sock = self._socket


__all__ = ["TimedBackend", "TimedStream", "current_deadline"]
