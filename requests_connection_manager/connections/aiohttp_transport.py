"""An httpx transport that sends through aiohttp.

Holds :class:`AioHttpTransport`: which settings can be honoured, which event loop a connection is
of, and the way back to httpx's own transport where a test double has taken its place. Knows no
pipeline. Imports aiohttp, so it is imported when a client asks for it.
"""

from __future__ import annotations

import asyncio
import ssl
from types import FunctionType
from typing import Any, List, Optional, Tuple, Union

import httpcore
from httpcore._async import connection_pool
from httpx._transports import default

from ..transport import hx
from .aiohttp_connection import Connection
from .aiohttp_exchange import Timeouts, Trace, exchange
from .aiohttp_opening import Opener, Origin, proxy_headers
from .aiohttp_pool import ConnectionPool
from .http1_request import Head, write_head

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# httpx's own.
_LIMITS = hx.Limits(max_connections=100, max_keepalive_connections=20)


class AioHttpTransport(hx.AsyncHTTPTransport):
    """Does what ``httpx.AsyncHTTPTransport`` does over HTTP/1.1, by means of aiohttp.

    Its errors, timeouts, limits and extensions are httpx's. It keeps no cookies, follows no
    redirects, unpacks no bodies, sends nothing again and adds no headers. For asyncio only; its
    connections belong to the event loop that uses it.

    It is one of httpx's transports, so that test doubles and instruments which take the place of
    ``httpx.AsyncHTTPTransport.handle_async_request`` or
    ``httpcore.AsyncConnectionPool.handle_async_request`` are reached: as long as one of them is
    there, requests go to httpx's own transport.

    :raises ValueError: for a proxy that aiohttp can't use, saying what to do instead.
    """

    def __init__(
        self,
        verify: Union[bool, str, ssl.SSLContext] = True,
        cert: Any = None,
        trust_env: bool = True,
        limits: hx.Limits = _LIMITS,
        proxy: Any = None,
    ) -> None:
        self._proxy = hx.Proxy(proxy) if isinstance(proxy, (str, hx.URL)) else proxy
        _check_proxy(self._proxy)
        self._context = hx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        # As httpcore does for each connection.
        self._context.set_alpn_protocols(["http/1.1"])
        self._limits = limits
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._connections: Optional[ConnectionPool] = None
        self._told_proxy: List[Tuple[bytes, bytes]] = []
        if self._proxy is not None:
            self._told_proxy = proxy_headers(self._proxy)

    async def __aenter__(self) -> AioHttpTransport:
        return self

    async def __aexit__(self, *args: Any) -> None:
        await self.aclose()

    async def handle_async_request(self, request: hx.Request) -> hx.Response:
        """Send a request once and return its response.

        :raises httpx.TransportError: as httpx's own transport.
        :raises RuntimeError: without a running loop of asyncio's.
        """
        if _is_doubled():
            self._build_library_pool()
            return await super().handle_async_request(request)
        pool = self._connections_of_this_loop()
        origin = _origin(request.url)
        head = self._head(request, origin)
        timeouts: Timeouts = request.extensions.get("timeout") or {}
        trace = Trace(request.extensions.get("trace"))
        ticket = pool.claim(origin)
        if ticket.connection is None:
            await pool.turn(ticket, timeouts.get("pool"))
        connection: Connection = ticket.connection

        def free() -> None:
            pool.give_back(ticket)

        try:
            if connection.fresh:
                await self._open(pool, connection, request, timeouts, trace)
            return await exchange(connection, request, head, timeouts, trace, free)
        except BaseException:
            connection.close()
            free()
            raise

    async def aclose(self) -> None:
        """Close all connections."""
        library: Any = self.__dict__.pop("_pool", None)
        if library is not None:
            await library.aclose()
        connections, self._connections = self._connections, None
        # A loop that is gone took its connections with it.
        if connections is not None and self._loop is asyncio.get_running_loop():
            await connections.aclose()

    def idle_connections(self, url: hx.URL) -> List[Connection]:
        """Return the idle connections to the origin of ``url``."""
        return [] if self._connections is None else self._connections.idle_at(_origin(url))

    def is_unused(self) -> bool:
        """Tell whether it serves no request at the moment."""
        return self._connections is None or self._connections.is_unused()

    async def _open(
        self,
        pool: ConnectionPool,
        connection: Connection,
        request: hx.Request,
        timeouts: Timeouts,
        trace: Trace,
    ) -> None:
        trace.notes.connected = True
        if trace.listener is not None:
            await trace.tell("connection.connect_tcp.started", request=request)
        server_name = request.extensions.get("sni_hostname")
        await pool.open(connection, timeouts.get("connect"), server_name)
        if trace.listener is not None:
            await trace.tell("connection.connect_tcp.complete", return_value=None)

    def _head(self, request: hx.Request, origin: Origin) -> Head:
        target = request.extensions.get("target", request.url.raw_path)
        if isinstance(target, str):
            target = target.encode("ascii")
        headers = request.headers.raw
        if self._proxy is not None and not origin.secure:
            own = {name.lower() for name, _ in headers}
            headers = [one for one in self._told_proxy if one[0].lower() not in own] + headers
            target = b"%b://%b%b" % (request.url.raw_scheme, request.url.netloc, target)
        return write_head(request.method, target, headers)

    def _connections_of_this_loop(self) -> ConnectionPool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                'http_backend="aiohttp" needs asyncio; on trio use http_backend="httpx"'
            ) from None
        if self._connections is None or self._loop is not loop:
            self._loop = loop
            self._connections = ConnectionPool(Opener(self._context, self._proxy), self._limits)
        return self._connections

    def _build_library_pool(self) -> None:
        """Give httpx's own method what it sends through."""
        if "_pool" not in self.__dict__:
            super().__init__(verify=self._context, limits=self._limits, proxy=self._proxy)


def _check_proxy(proxy: Optional[hx.Proxy]) -> None:
    if proxy is not None and proxy.url.scheme != "http":
        raise ValueError(
            f"a proxy of the kind {proxy.url.scheme}:// is not for aiohttp, which takes http:// "
            'only; leave out http_backend="aiohttp", or mount a transport of httpx for it, or do '
            "not take it from the environment: trust_env=False"
        )


def _origin(url: hx.URL) -> Origin:
    scheme = url.scheme
    if scheme not in _PORTS:
        if scheme:
            problem = f"Request URL has an unsupported protocol '{scheme}://'."
        else:
            problem = "Request URL is missing an 'http://' or 'https://' protocol."
        raise hx.UnsupportedProtocol(problem)
    return Origin(scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme])


def _is_doubled() -> bool:
    """Tell whether something has taken the place of what httpx itself sends through."""
    for method, module in (
        (hx.AsyncHTTPTransport.handle_async_request, default),
        (httpcore.AsyncConnectionPool.handle_async_request, connection_pool),
    ):
        # By the globals: a wrapper may bear the name and the module of what it wraps.
        if type(method) is not FunctionType or method.__globals__ is not vars(module):
            return True
    return False


__all__ = ["AioHttpTransport"]
