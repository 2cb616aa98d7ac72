"""httpcore's pools of asynchronous connections, with books that do not grow slower.

Holds the pools that take the place of httpcore's own, and :func:`quick_pool`. They wait, open and
close as httpcore does; which connection serves which request is the books' (``books``), how a
request is sent is the connections'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AsyncIterator, List, Optional

import anyio
import httpcore
from httpcore import ConnectionNotAvailable
from httpcore._async.connection import AsyncHTTPConnection
from httpcore._async.connection_pool import AsyncPoolRequest
from httpcore._async.http_proxy import AsyncForwardHTTPConnection

from .async_connection import QuickConnection, is_genuine
from .async_http11 import QuickBody
from .books import PoolBooks

_SCHEMES = frozenset({b"http", b"https", b"ws", b"wss"})

if TYPE_CHECKING:
    _Pool = httpcore.AsyncConnectionPool
else:
    _Pool = object


class Quick(_Pool):
    """What is the same for the pool of direct connections and those of proxies."""

    _books: PoolBooks

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on a connection of the pool; wait for one, if there is none."""
        genuine = super().handle_async_request
        if not is_genuine(genuine) or request.url.scheme not in _SCHEMES:
            return await genuine(request)  # a double, or httpcore's error
        ticket = AsyncPoolRequest(request)
        timeout = request.extensions.get("timeout", {}).get("pool")
        try:
            closing = self._books.enter(ticket)
            while True:
                await self._close_connections(closing)
                connection = ticket.connection or await ticket.wait_for_connection(timeout)
                try:
                    response = await connection.handle_async_request(request)
                    break
                except ConnectionNotAvailable:
                    closing = self._books.turned_away(ticket)
            if self._http2:
                await self._close_connections(self._books.answered(ticket))
        except BaseException as exc:
            await self._end(ticket)
            # The chain of errors is httpcore's, which ends here.
            raise exc from None
        return self._returning(response, ticket)

    def _returning(self, response: httpcore.Response, ticket: Any) -> httpcore.Response:
        """Let the end of the body give the connection back."""
        body = response.stream
        if type(body) is QuickBody:
            body.closed = lambda: self._end(ticket)
        else:
            response.stream = PoolBody(body, self, ticket)
        return response

    async def _end(self, ticket: Any) -> None:
        await self._close_connections(self._books.leave(ticket))

    def create_connection(self, origin: httpcore.Origin) -> Any:
        """Return a connection, to be opened by its first request."""
        made: Any = super().create_connection(origin)
        to_server = made._connection if type(made) is AsyncForwardHTTPConnection else made
        if type(to_server) is AsyncHTTPConnection:
            to_server.__class__ = QuickConnection
        return made

    def _assign_requests_to_connections(self) -> List[Any]:
        # Asked by httpcore's own methods, which a double may have called.
        return self._books.reconcile()

    async def _close_connections(self, closing: List[Any]) -> None:
        """Close them all, also where one of them fails or the task is cancelled meanwhile."""
        if not closing:
            return  # the rule; a shield costs 5 µs
        failed: Optional[BaseException] = None
        with anyio.CancelScope(shield=True):
            for connection in closing:
                try:
                    await connection.aclose()
                except BaseException as exc:
                    failed = failed or exc
        if failed is not None:
            raise failed

    async def aclose(self) -> None:
        """Close all connections."""
        await self._close_connections(self._books.clear())


class QuickPool(Quick, httpcore.AsyncConnectionPool):
    """The pool of direct connections."""


class QuickHTTPProxy(Quick, httpcore.AsyncHTTPProxy):
    """The pool of connections over an HTTP proxy; its tunnels are httpcore's own."""


class QuickSOCKSProxy(Quick, httpcore.AsyncSOCKSProxy):
    """The pool of connections over a SOCKS proxy, which are httpcore's own."""


_QUICK = {
    httpcore.AsyncConnectionPool: QuickPool,
    httpcore.AsyncHTTPProxy: QuickHTTPProxy,
    httpcore.AsyncSOCKSProxy: QuickSOCKSProxy,
}


def make_quick(pool: Any) -> None:
    """Let a pool of httpcore's, not used yet, be one of ours; a subclass stays as it is."""
    quick = _QUICK.get(type(pool))
    if quick is None:
        return
    pool.__class__ = quick
    books = PoolBooks(
        pool._max_connections, pool._max_keepalive_connections, pool.create_connection
    )
    pool._books, pool._connections, pool._requests = books, books.connections, books.tickets


class PoolBody:
    """The body of a response on a connection of httpcore's own."""

    def __init__(self, body: Any, pool: Quick, ticket: Any) -> None:
        self._body = body
        self._pool = pool
        self._ticket = ticket
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except BaseException as exc:
            await self.aclose()
            raise exc from None

    async def aclose(self) -> None:
        """Give the connection back to the pool."""
        if not self._open:
            return
        self._open = False
        try:
            with anyio.CancelScope(shield=True):
                await self._body.aclose()
        finally:
            await self._pool._end(self._ticket)


__all__ = ["QuickHTTPProxy", "QuickPool", "QuickSOCKSProxy", "make_quick"]
