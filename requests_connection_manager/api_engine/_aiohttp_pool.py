"""A session of aiohttp's, and one request on it.

Holds :class:`AioHttpPool`, which belongs to one event loop. Imports aiohttp, so it is imported by
the client when it is first needed. Decides nothing about retries: aiohttp's own is kept from
happening.
"""

from __future__ import annotations

import asyncio
from ssl import SSLContext
from typing import Any, Dict, Optional, Union
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from ._exchange import (
    Answer,
    Progress,
    broken,
    raise_users_own,
    too_slow,
    undecodable,
    unsendable,
)
from ._outgoing import Outgoing

FOREIGN = (aiohttp.FormData, aiohttp.MultipartWriter, aiohttp.Payload)
"""Bodies that aiohttp itself knows how to send."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)


class _Unanswered(aiohttp.ClientConnectionError):
    """The connection ended before an answer began; the cause says how."""


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
            # These two aiohttp would answer by sending the request again: silently, at once, and
            # whether the connection was an old one or not.
            raise _Unanswered from exc
        except BaseException:
            _abort(connection.transport)
            raise

    async def read(self) -> bytes:
        transport = None if self.connection is None else self.connection.transport
        try:
            return await super().read()
        except BaseException:
            _abort(transport)
            raise


def _abort(transport: Any) -> None:
    """Drop a connection that is of no use any more, without a long goodbye of TLS."""
    if transport is not None:
        transport.abort()


class AioHttpPool:
    """The connections of one event loop.

    :param ssl: what aiohttp takes as ``ssl``.
    :param limit: how many connections there may be.
    :param trust_env: take proxies from the environment, as it is now.
    """

    def __init__(self, ssl: Union[bool, SSLContext], limit: int, trust_env: bool) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, ssl=ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=_Response,
            timeout=_NO_TIMEOUT,
            trace_configs=[_tracing()],
        )
        self._proxies: Dict[str, str] = getproxies() if trust_env else {}

    async def close(self) -> None:
        """Close all connections."""
        connector: Any = self.session.connector
        # Before aiohttp 3.12 an idle TLS connection waits for the server's goodbye, most often
        # longer than the loop runs.
        for idle in list(getattr(connector, "_conns", {}).values()):
            for protocol, _ in idle:
                if protocol.transport is not None:
                    protocol.transport.abort()
        await self.session.close()
        await asyncio.sleep(0)  # the transports' last turn

    def forget(self) -> None:
        """Make aiohttp forget the connections without touching them."""
        # Closing would do I/O on a loop that is gone, or take the sockets of the parent process
        # off the selector that it shares. aiohttp has no public way to only look away.
        connector: Any = self.session.connector
        if connector is not None:
            connector._closed = True

    async def send(self, request: Outgoing, progress: Progress) -> Answer:
        """Send a request once; redirects are answers.

        :raises ConnectionError: for trouble of the network.
        :raises ValidationError: for a body that is not compressed as it is labelled.
        :raises ValueError: for what can't be sent.
        """
        try:
            return await self._exchange(request, progress)
        except _Unanswered as exc:
            cause = exc.__cause__ or exc
            raise_users_own(request)
            raise broken(request, cause, progress.sent, stale=progress.reused) from cause
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as exc:
            raise unsendable(request, exc) from exc
        except aiohttp.ClientPayloadError as exc:
            if isinstance(exc.__cause__, aiohttp.http_exceptions.ContentEncodingError):
                raise undecodable(request, exc) from exc
            raise broken(request, exc, progress.sent) from exc
        except asyncio.CancelledError as exc:
            # Closing a session cancels the futures of those who wait for a connection.
            if self.session.closed and not _is_cancelled():
                raise broken(request, exc, progress.sent) from exc
            raise
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            raise_users_own(request)
            late = isinstance(exc, asyncio.TimeoutError)
            raise (too_slow if late else broken)(request, exc, progress.sent) from exc

    async def _exchange(self, request: Outgoing, progress: Progress) -> Answer:
        async with self.session.request(
            request.method,
            _exactly(request),
            headers=request.sent_headers(),
            # The body says itself what it is; an empty one is nothing.
            skip_auto_headers=() if isinstance(request.body.content, FOREIGN) else _NO_TYPE,
            data=request.body.content,
            allow_redirects=False,
            proxy=self._proxy_for(request.url),
            trace_request_ctx=progress,
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    def _proxy_for(self, url: str) -> Optional[str]:
        if not self._proxies:
            return None
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if not proxy or proxy_bypass(parts.netloc):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


_NO_TYPE = ("Content-Type",)


def _is_cancelled() -> bool:
    """Tell whether somebody cancels the running task; before Python 3.11 nobody knows."""
    task: Any = asyncio.current_task()
    return hasattr(task, "cancelling") and task.cancelling() > 0


def _exactly(request: Outgoing) -> URL:
    """Return the URL as it is: to decode and encode it anew would break signed ones."""
    url = request.url
    if not url.isascii():
        parts = urlsplit(url)  # escaped, but for the host
        try:
            host = URL(f"{parts.scheme}://{parts.netloc}").raw_authority
        except ValueError as exc:
            raise unsendable(request, exc) from exc
        url = parts._replace(netloc=host).geturl()
    return URL(url, encoded=True)


def _tracing() -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(_reused)
    tracing.on_connection_create_start.append(_connecting)
    tracing.on_request_headers_sent.append(_sent)
    return tracing


async def _reused(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.reused = True


async def _connecting(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.reused = False


async def _sent(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.sent = True


__all__ = ["FOREIGN", "AioHttpPool"]
