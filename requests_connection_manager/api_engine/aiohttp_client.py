"""``AioHttpClient``: aiohttp under the engine.

Holds the face. aiohttp is loaded when a client is made; the connections of an event loop are made
when they are first needed there.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import Any, Mapping, Optional, Union

import sniffio

from ..certificates import context_for
from ..checks import check_tls
from ..extras import load
from ..policies._checks import check_count
from ._exchange import Progress, followed, in_time, refuse_closed, result
from ._outgoing import check_timeout, default_headers, outgoing
from ._per_loop import PerLoop
from .interfaces.base_http_client import BaseHttpClient


class AioHttpClient(BaseHttpClient):
    """Sends the engine's requests with aiohttp (extra ``aiohttp``).

    The connections are pooled for each event loop and closed with it at the latest, also if
    :meth:`close` is never called. One client may serve any number of tasks, threads and loops of
    asyncio, uvloop's too; for trio there is ``HttpxHttpClient``. No cookies are kept: what one
    request is answered does not show in the next.

    :param default_timeout: seconds for a whole request, redirects and the last byte of the body
        included, when it gives none itself; ``None``: for ever.
    :param max_connections: for each event loop, to all hosts together.
    :param headers: sent with each request, unless it has the same itself. ``User-Agent`` is
        ``requests-connection-manager/`` and the version.
    :param verify: ``True``: verify TLS certificates against what the system trusts; the path of a
        CA bundle; an ``ssl.SSLContext``; or ``False``.
    :param trust_env: take proxies from ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and
        ``NO_PROXY``, as they are when a loop's first request is sent. Never reads netrc.
    :param follow_redirects: follow up to 20 redirects; to another origin go no ``Authorization``,
        no cookies and no other header whose name says that it is secret. ``False``: a redirect is
        an answer like another.
    :raises ImportError: without aiohttp, naming the extra.
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value out of range, naming it.

    >>> import asyncio
    >>> from requests_connection_manager.testing import FaultServer, reply
    >>> async def main(url: str) -> object:
    ...     client = AioHttpClient(default_timeout=5)
    ...     return await client.request("GET", url, params={"limit": 10})
    >>> with FaultServer() as server:
    ...     server.route("/", reply(200, json={"items": []}))
    ...     asyncio.run(main(server.url()))
    {'items': []}
    """

    def __init__(
        self,
        default_timeout: Optional[float] = 30,
        *,
        max_connections: int = 100,
        headers: Optional[Mapping[str, str]] = None,
        verify: Union[bool, str, ssl.SSLContext] = True,
        trust_env: bool = True,
        follow_redirects: bool = True,
    ) -> None:
        load("aiohttp", extra="aiohttp")
        from . import _aiohttp_pool as pools

        self.default_timeout = check_timeout(default_timeout)
        self.max_connections = check_count(max_connections, "max_connections")
        self._headers = default_headers(headers)
        self._follow = follow_redirects
        self._foreign = pools.FOREIGN
        build = partial(pools.AioHttpPool, _ssl_of(verify), max_connections, trust_env)
        self._pools = PerLoop(build, pools.AioHttpPool.close, pools.AioHttpPool.forget)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} default_timeout={self.default_timeout!r}>"

    async def request(
        self,
        method: str,
        url: str,
        headers: Optional[Mapping[str, str]] = None,
        params: Any = None,
        data: Any = None,
        json_payload: Any = None,
        timeout: Optional[float] = None,
    ) -> Any:
        """Send a request once and return the data of its response.

        :param url: absolute; user and password in it become ``Authorization``.
        :param headers: text to text; outrank those of the client.
        :param params: a mapping, pairs or text, added to the query. ``None`` values are left out,
            bools are ``true`` and ``false``, lists repeat the name.
        :param data: bytes, text, a form (a mapping or pairs), a file (read on a worker thread, and
            not closed), an iterable of bytes, plain or asynchronous; or an ``aiohttp.FormData``.
        :param json_payload: sent as JSON; not together with ``data``.
        :param timeout: seconds for the whole request; ``None``: the client's default.
        :returns: what the body says, by its content type: the value of JSON, a ``str``, ``bytes``;
            ``None`` for an empty one.
        :raises HTTPError: for 4xx and 5xx, with ``status_code``, ``headers`` and ``body``
            (``AuthenticationError`` for 401 and 403, ``RateLimitError`` for 429), and for redirects
            that can't be followed.
        :raises TimeoutError: the time is over; ``sent``: the server may have seen the request.
        :raises ConnectionError: trouble of the network; ``sent`` as above.
        :raises ValidationError: the body is not what it is labelled.
        :raises TypeError: for an argument of the wrong type, naming it.
        :raises ValueError: for an argument out of range, naming it.
        :raises RuntimeError: the client is closed, or this is trio.
        """
        refuse_closed(self, self._pools.closed)
        if sniffio.current_async_library() != "asyncio":
            raise RuntimeError("aiohttp needs asyncio; with trio, use HttpxHttpClient")
        given = {
            "method": method,
            "url": url,
            "headers": headers,
            "params": params,
            "data": data,
            "json_payload": json_payload,
            "timeout": timeout,
        }
        request = outgoing(given, self.default_timeout, self._headers, self._foreign)
        pool = await self._pools.get()
        progress = Progress()
        send = partial(pool.send, progress=progress)
        answer = await in_time(request, progress, followed(request, send, self._follow))
        return result(self, request, answer)

    async def close(self) -> None:
        """Close the client for good. May be repeated.

        The connections of the running loop are closed now, those of other loops in theirs.
        """
        await self._pools.close()


def _ssl_of(verify: Union[bool, str, ssl.SSLContext]) -> Union[bool, ssl.SSLContext]:
    check_tls(verify, None, None)
    return context_for(verify) if isinstance(verify, str) else verify


__all__ = ["AioHttpClient"]
