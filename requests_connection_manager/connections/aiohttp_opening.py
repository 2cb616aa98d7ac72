"""How connections of aiohttp's are opened: directly, or by a proxy.

Holds :class:`Opener` and :class:`Origin`. Imports aiohttp, so it is imported when a client needs
it. Knows nothing of what is done with a connection.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import aiohttp
import anyio
from yarl import URL

from ..transport import hx
from .aiohttp_errors import connect_error, root_of


class Origin(NamedTuple):
    """Where a connection goes; the host as it is sent."""

    scheme: str
    host: str
    port: int

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.scheme in ("https", "wss")


# The time is ours to measure, in the four ways that httpx does.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)


class Opener(aiohttp.TCPConnector):
    """Opens connections with aiohttp's ways of looking up names and trying addresses.

    It pools none: in aiohttp's own pool the idle ones count for no limit.

    :param context: for TLS.
    :param proxy: ``https`` goes through a tunnel of its, ``http`` is given to it.
    """

    def __init__(self, context: ssl.SSLContext, proxy: Optional[hx.Proxy]) -> None:
        # The system's names, as with httpx, also where aiodns is installed.
        super().__init__(limit=0, resolver=aiohttp.ThreadedResolver())
        self._context = context
        self._proxy = proxy

    async def open(
        self, origin: Origin, seconds: Optional[float], server_name: Optional[str]
    ) -> Any:
        """Return aiohttp's protocol of a new connection.

        :param seconds: for all of it; ``None``: for ever.
        :param server_name: for TLS, in place of the host.
        :raises httpx.ConnectTimeout: the time is over.
        :raises httpx.ConnectError: there is none to be had.
        :raises httpx.ProxyError: the proxy refuses.
        """
        protocol: Any = None
        try:
            with anyio.move_on_after(seconds):
                request = self._address(origin, server_name)
                protocol = await self._create_connection(request, [], _NO_TIMEOUT)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise connect_error(exc) from root_of(exc)
        if protocol is None:
            raise hx.ConnectTimeout("")
        return protocol

    def _address(self, origin: Origin, server_name: Optional[str]) -> aiohttp.ClientRequest:
        """Return what aiohttp takes as the address of a connection."""
        proxy, loop = self._proxy, asyncio.get_running_loop()
        if proxy is not None and not origin.secure:
            return aiohttp.ClientRequest("GET", _url(proxy.url), loop=loop)
        tunnel: Dict[str, Any] = {}
        if proxy is not None:
            encoding = proxy.headers.encoding
            told = [(name.decode(), value.decode(encoding)) for name, value in proxy_headers(proxy)]
            tunnel = {"proxy": _url(proxy.url), "proxy_headers": told}
        return aiohttp.ClientRequest(
            "GET",
            URL.build(
                scheme="https" if origin.secure else "http", host=origin.host, port=origin.port
            ),
            loop=loop,
            ssl=self._context,
            server_hostname=server_name,
            **tunnel,
        )


def _url(url: hx.URL) -> URL:
    return URL.build(scheme=url.scheme, host=url.host, port=url.port)


def proxy_headers(proxy: hx.Proxy) -> List[Tuple[bytes, bytes]]:
    """Return what is sent to a proxy itself, its credentials included."""
    headers = proxy.headers.raw
    if proxy.raw_auth is not None:
        credentials = b64encode(b":".join(proxy.raw_auth))
        headers.insert(0, (b"Proxy-Authorization", b"Basic " + credentials))
    return headers


__all__ = ["Opener", "Origin", "proxy_headers"]
