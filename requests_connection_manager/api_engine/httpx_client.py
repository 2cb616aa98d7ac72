"""``HttpxHttpClient``: httpx under the engine, on asyncio and on trio.

Holds the face. Under it is a plain ``httpx.AsyncClient`` for each event loop, or the user's own.
"""

from __future__ import annotations

import ssl
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .._httpx_hop import phase_of
from ..checks import check_tls
from ..exceptions import ConnectionManagerError
from ..outcome import Phase
from ..policies._checks import check_count
from ..redaction import redact_text
from ..renewal import RenewableAsyncClient
from ..transport import USE_CLIENT_DEFAULT, AsyncConnectionTrace, hx, tls_context
from ._exchange import (
    Answer,
    Progress,
    broken,
    followed,
    in_time,
    raise_users_own,
    refuse_closed,
    result,
    too_slow,
    undecodable,
    unsendable,
)
from ._outgoing import (
    REDIRECTS,
    Outgoing,
    Pairs,
    check_timeout,
    checked_headers,
    default_headers,
    outgoing,
)
from ._per_loop import PerLoop
from ._source import BodyConsumed
from .interfaces.base_http_client import BaseHttpClient

_NOT_SENT = (Phase.NOT_SENT, Phase.UNTRUSTED, Phase.QUEUED, Phase.LOCAL)


class HttpxHttpClient(BaseHttpClient):
    """Sends the engine's requests with httpx, on asyncio and on trio.

    It does what ``AioHttpClient`` does, in the same way: pools for each event loop, closed with it
    at the latest, no cookies, no netrc.

    :param default_timeout: seconds for a whole request, redirects and the last byte of the body
        included, when it gives none itself; ``None``: for ever.
    :param client: an ``httpx.AsyncClient`` to use as it is, with its cookies, its credentials and
        its timeouts; it is not closed. The parameters below, except ``headers`` and
        ``follow_redirects``, are its own affair then.
    :param max_connections: for each event loop, to all hosts together.
    :param headers: sent with each request, unless it has the same itself. ``User-Agent`` is
        ``requests-connection-manager/`` and the version, but not over a ``client``.
    :param verify: ``True``: verify TLS certificates as httpx does; the path of a CA bundle; an
        ``ssl.SSLContext``; or ``False``.
    :param trust_env: heed the variables that httpx does, such as ``HTTPS_PROXY``, as they are when
        a loop's first request is sent.
    :param follow_redirects: as in ``AioHttpClient``; with a ``client``, its own rules hold on
        what to leave out for another origin.
    :param http2: offer HTTP/2 (extra ``http2``).
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value out of range, naming it.

    >>> import anyio
    >>> from requests_connection_manager.testing import FaultServer, reply
    >>> async def main(url: str) -> object:
    ...     async with HttpxHttpClient(default_timeout=5) as client:
    ...         return await client.request("GET", url, params={"limit": 10})
    >>> with FaultServer() as server:
    ...     server.route("/", reply(200, json={"items": []}))
    ...     anyio.run(main, server.url())
    {'items': []}
    """

    def __init__(
        self,
        default_timeout: Optional[float] = 30,
        *,
        client: Optional[hx.AsyncClient] = None,
        max_connections: int = 100,
        headers: Optional[Mapping[str, str]] = None,
        verify: Union[bool, str, ssl.SSLContext] = True,
        trust_env: bool = True,
        follow_redirects: bool = True,
        http2: bool = False,
    ) -> None:
        if client is not None and not isinstance(client, hx.AsyncClient):
            raise TypeError(f"client must be an httpx.AsyncClient, not a {type(client).__name__}")
        self.default_timeout = check_timeout(default_timeout)
        self.max_connections = check_count(max_connections, "max_connections")
        self._headers = default_headers(headers) if client is None else checked_headers(headers)
        self._follow = follow_redirects
        self._client = client
        context = None if client is not None else _context_of(verify, trust_env)
        self._clients = PerLoop(
            partial(_Client, context, max_connections, trust_env, http2),
            _Client.aclose,
            _forget,
        )

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

        Takes, returns and raises what ``AioHttpClient.request`` does, but for ``aiohttp.FormData``.
        What a ``client`` raises that is this package's own (``CircuitBreakerOpen``, …) passes.
        """
        refuse_closed(self, self._clients.closed)
        given = {
            "method": method,
            "url": url,
            "headers": headers,
            "params": params,
            "data": data,
            "json_payload": json_payload,
            "timeout": timeout,
        }
        request = outgoing(given, self.default_timeout, self._headers)
        client = await self._clients.get() if self._client is None else self._client
        progress = Progress()
        # What a client of the user's adds by itself, only that client can take off again.
        send = partial(self._send, client, progress)
        follow = self._follow and self._client is None
        answer = await in_time(request, progress, followed(request, send, follow))
        return result(self, request, answer)

    async def close(self) -> None:
        """Close the client for good, but not one that was given. May be repeated.

        The connections of the running loop are closed now, those of other loops in theirs.
        """
        await self._clients.close()

    async def _send(self, client: hx.AsyncClient, progress: Progress, request: Outgoing) -> Answer:
        trace = _Trace(progress)
        own = self._client is None
        try:
            response = await client.request(
                request.method,
                request.url,
                headers=_encoded(request.sent_headers()),
                content=_content(request),
                follow_redirects=self._follow and not own,
                timeout=None if own else USE_CLIENT_DEFAULT,
                extensions={"trace": trace},
            )
        except ConnectionManagerError:
            raise
        except Exception as exc:
            _raise_ours(request, exc, trace)
            raise
        return Answer(response.status_code, response.headers, response.content)


class _Trace(AsyncConnectionTrace):
    """What httpcore tells about a request, and those that a user's client is redirected to."""

    __slots__ = ("_answer", "progress")

    def __init__(self, progress: Progress) -> None:
        super().__init__(None)
        self.progress = progress
        self._answer: Any = None

    async def __call__(self, name: str, info: Dict[str, Any]) -> None:
        await super().__call__(name, info)
        if name.endswith("send_request_headers.started"):
            # What a proxy is told first is not yet the request.
            self.progress.sent |= info["request"].method != b"CONNECT"
        elif name.endswith("receive_response_headers.complete"):
            self._answer = info["return_value"]

    def redirect(self) -> Optional[Answer]:
        """Return the latest answer, if it was a redirect."""
        if self._answer is None:
            return None
        # HTTP/1.1 has the version before the status, and the reason and more after it.
        status = next(part for part in self._answer if isinstance(part, int))
        headers = next(part for part in self._answer if isinstance(part, list))
        return Answer(status, hx.Headers(headers), b"") if status in REDIRECTS else None


def _raise_ours(request: Outgoing, error: Exception, trace: _Trace) -> None:
    """Raise our error for one of httpx's; return if it is none."""
    source = request.source
    spent = isinstance(source and source.error, BodyConsumed)
    if not spent:
        raise_users_own(request)
    if spent or isinstance(error, _OF_REDIRECTS) or _no_url(error):
        _refuse_redirect(request, error, trace)
    if isinstance(error, hx.DecodingError):
        raise undecodable(request, error) from error
    phase = phase_of(error)
    if phase is None:
        return
    sent = trace.progress.sent or phase not in _NOT_SENT
    if phase is Phase.LOCAL and not sent:
        raise unsendable(request, error) from error
    if isinstance(error, hx.TimeoutException):
        raise too_slow(request, error, sent) from error
    raise broken(request, error, sent, trace.reused_in_vain and _is_end(error)) from error


_OF_REDIRECTS = (hx.TooManyRedirects, hx.StreamConsumed, hx.UnsupportedProtocol, hx.InvalidURL)


def _refuse_redirect(request: Outgoing, error: Exception, trace: _Trace) -> None:
    """Say that a client of the user's can't follow a redirect, if the latest answer was one."""
    redirect = trace.redirect()
    if redirect is None and isinstance(error, hx.TooManyRedirects):
        redirect = Answer(302, {}, b"")  # a transport that has no trace
    if redirect is not None:
        text = redact_text(str(error) or type(error).__name__)
        raise request.unfollowed(redirect.status, redirect.headers, text) from error


def _no_url(error: Exception) -> bool:
    return isinstance(error, hx.RemoteProtocolError) and "location header" in str(error)


def _is_end(error: Exception) -> bool:
    """Tell whether the connection ended, rather than bring nonsense."""
    if isinstance(error, hx.RemoteProtocolError):
        return "disconnected" in str(error)
    return isinstance(error, (hx.ReadError, hx.WriteError))


def _encoded(headers: Pairs) -> List[Tuple[bytes, bytes]]:
    """Return headers as aiohttp would send them; httpx takes no other text than ASCII."""
    return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers]


def _content(request: Outgoing) -> Any:
    """Return the body as httpx takes it."""
    source = request.source
    if source is None or source.replayable:
        return request.body.content
    return source.__aiter__()  # an iterator: httpx and the manager know that it is spent by use


class _Client(RenewableAsyncClient):
    """An ``httpx.AsyncClient`` for one event loop, with the quicker pool of the package."""

    def __init__(
        self,
        context: Optional[ssl.SSLContext],
        max_connections: int,
        trust_env: bool,
        http2: bool,
    ) -> None:
        self._remember_tls(True, None, context)
        super().__init__(
            verify=True if context is None else context,
            trust_env=trust_env,
            http2=http2,
            limits=hx.Limits(
                max_connections=max_connections, max_keepalive_connections=max_connections
            ),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),  # takes none
        )


def _forget(client: _Client) -> None:
    """Do nothing: httpx does not complain."""


def _context_of(verify: Union[bool, str, ssl.SSLContext], trust_env: bool) -> ssl.SSLContext:
    """Return one TLS context for all loops; to load the authorities takes a while."""
    check_tls(verify, None, None)
    if isinstance(verify, str):
        verify = tls_context(verify, None, trust_env)
    return hx.create_ssl_context(verify=verify, trust_env=trust_env)


__all__ = ["HttpxHttpClient"]
