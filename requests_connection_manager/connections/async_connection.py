"""One asynchronous connection of httpcore's pool, from its opening on.

Holds :class:`QuickConnection`, which opens as httpcore's own does and then speaks HTTP/1.1 the
quick way or HTTP/2 httpcore's, and :func:`is_genuine`. Knows nothing of pools.
"""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

import httpcore
from httpcore import ConnectionNotAvailable
from httpcore._async import connection, connection_pool
from httpcore._async.connection import AsyncHTTPConnection

from .async_http11 import QuickHTTP11

_LIBRARY = (vars(connection), vars(connection_pool))


def is_genuine(method: Any) -> bool:
    """Tell whether a method is httpcore's own, and no double that a test has put in its place."""
    # By the globals of a plain function: a wrapper may bear the name and the module of what it
    # wraps, and a proxy (wrapt's) the globals too.
    function = method.__func__ if type(method) is MethodType else None
    return type(function) is FunctionType and any(function.__globals__ is one for one in _LIBRARY)


class QuickConnection(AsyncHTTPConnection):
    """A connection to an origin, opened by its first request."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; open the connection before, if it is not."""
        if not is_genuine(super().handle_async_request):
            return await super().handle_async_request(request)
        if not self.can_handle_request(request.url.origin):
            raise RuntimeError(
                f"Attempted to send request to {request.url.origin} on connection to {self._origin}"
            )
        if self._connection is None:
            async with self._request_lock:
                await self._open_once(request)
        assert self._connection is not None
        return await self._connection.handle_async_request(request)

    async def _open_once(self, request: httpcore.Request) -> None:
        if self._connect_failed:
            # Another request waited with this one; the pool has forgotten the connection.
            raise ConnectionNotAvailable
        if self._connection is None:
            try:
                self._connection = self._speaking(await self._connect(request))
            except BaseException:
                self._connect_failed = True
                raise

    def _speaking(self, stream: httpcore.AsyncNetworkStream) -> Any:
        tls = stream.get_extra_info("ssl_object")
        negotiated = tls is not None and tls.selected_alpn_protocol() == "h2"
        kind: Any = QuickHTTP11
        if negotiated or (self._http2 and not self._http1):
            from httpcore._async.http2 import AsyncHTTP2Connection

            kind = AsyncHTTP2Connection
        return kind(origin=self._origin, stream=stream, keepalive_expiry=self._keepalive_expiry)


__all__ = ["QuickConnection", "is_genuine"]
