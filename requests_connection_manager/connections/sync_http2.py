"""HTTP/2 for threads that share a client.

Holds :class:`ExclusiveConnection` and :func:`make_exclusive`. httpcore's synchronous HTTP/2
connection lets several threads use one state machine without a lock: they mix up their streams and
raise ``KeyError`` and the like, and a timeout of one breaks the requests of all. So here a
connection serves one request at a time, as with HTTP/1.1, and threads have one each. Opens and
reads nothing itself.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Iterator

import httpcore


class ExclusiveConnection(httpcore.ConnectionInterface):
    """A connection that is not available while a request is on it."""

    def __init__(self, connection: httpcore.ConnectionInterface) -> None:
        self._connection = connection
        self._busy = threading.Lock()

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; the connection is taken until the response is closed."""
        if not self._busy.acquire(blocking=False):
            # The pool then looks for another one.
            raise httpcore.ConnectionNotAvailable
        try:
            response = self._connection.handle_request(request)
        except BaseException:
            self._busy.release()
            raise
        response.stream = _Released(response.stream, self._busy.release)
        return response

    def is_available(self) -> bool:
        """Tell whether a request can be sent now."""
        return not self._busy.locked() and self._connection.is_available()

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        """Tell whether it leads to an origin."""
        return self._connection.can_handle_request(origin)

    def has_expired(self) -> bool:
        """Tell whether it was idle for too long."""
        return not self._busy.locked() and self._connection.has_expired()

    def is_idle(self) -> bool:
        """Tell whether it could be closed without harm."""
        return not self._busy.locked() and self._connection.is_idle()

    def is_closed(self) -> bool:
        """Tell whether it is of no more use."""
        return self._connection.is_closed()

    def info(self) -> str:
        """Return what is shown of it."""
        return self._connection.info()

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class _Released:
    """The body of a response, whose end makes its connection available."""

    def __init__(self, stream: Any, release: Callable[[], None]) -> None:
        self._stream = stream
        self._release = release
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            if self._open:
                self._open = False
                self._release()


def make_exclusive(pool: Any) -> None:
    """Let a pool, of a proxy or not, make such connections."""
    create = pool.create_connection
    pool.create_connection = lambda origin: ExclusiveConnection(create(origin))


__all__ = ["ExclusiveConnection", "make_exclusive"]
