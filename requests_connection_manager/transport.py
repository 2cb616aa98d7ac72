"""What we use of httpx, and what we change below it.

Holds ``hx``, the one name through which the asynchronous side reaches httpx, and the few parts of
it that are not public, each with the reason why it is needed. Decides nothing.
"""

from __future__ import annotations

import ssl
from typing import Any, Awaitable, Callable, Dict, Optional, Union

import httpx as hx
from httpx._client import USE_CLIENT_DEFAULT, UseClientDefault
from httpx._content import AsyncIteratorByteStream
from httpx._multipart import FileField, MultipartStream

from .certificates import context_for

Trace = Callable[[str, Dict[str, Any]], Awaitable[None]]


class ConnectionTrace:
    """What httpcore tells about the connection of one attempt (its ``trace`` extension).

    :ivar connected: a new connection was opened for it.
    :ivar sending: the request was put on a connection.
    :ivar answered: the head of a response came back.
    """

    __slots__ = ("_users", "answered", "connected", "sending")

    def __init__(self, users: Optional[Trace]) -> None:
        self._users = users
        self.connected = self.sending = self.answered = False

    async def __call__(self, name: str, info: Dict[str, Any]) -> None:
        """Take note of a step, and pass it on to the user's own trace."""
        if name.startswith("connection.connect"):
            self.connected = True
        elif name.endswith("send_request_headers.started"):
            self.sending = True
        elif name.endswith("receive_response_headers.complete"):
            self.answered = True
        if self._users is not None:
            await self._users(name, info)

    @property
    def reused_in_vain(self) -> bool:
        """Whether the request went out on an old connection and nothing came back."""
        return self.sending and not self.connected and not self.answered


def quicken(transport: hx.AsyncBaseTransport) -> hx.AsyncBaseTransport:
    """Make the pool of a transport that httpx built spend less time on its idle connections.

    httpcore asks every idle connection, for every request, whether its socket is readable. anyio
    answers by collecting all attributes of the stream, the peer's address included: 40 µs each,
    the larger half of the time of a busy client. Here the socket is looked up once.
    """
    import httpcore

    pool: Any = getattr(transport, "_pool", None)
    if type(transport) is hx.AsyncHTTPTransport and hasattr(pool, "_network_backend"):
        from .network import QuickBackend, QuickPool

        pool._network_backend = QuickBackend(pool._network_backend)
        if type(pool) is httpcore.AsyncConnectionPool:
            pool.__class__ = QuickPool
    return transport


def copy_request(request: hx.Request) -> hx.Request:
    """Return a copy that shares URL and body; ``Request()`` would encode everything anew."""
    copied: hx.Request = hx.Request.__new__(type(request))
    copied.__dict__.update(request.__dict__)
    copied.headers = hx.Headers(request.headers)
    copied.extensions = dict(request.extensions)
    return copied


def is_replayable(stream: Any) -> bool:
    """Tell whether a request body can be sent once more from its start."""
    if isinstance(stream, hx.ByteStream):
        return True
    if isinstance(stream, MultipartStream):
        # httpx rewinds the files of a multipart body itself, always to their start.
        return all(_rewinds(field.file) for field in stream.fields if isinstance(field, FileField))
    if isinstance(stream, AsyncIteratorByteStream):
        source = stream._stream
        return not hasattr(source, "__anext__") and not hasattr(source, "aread")
    return False


def _rewinds(file: Any) -> bool:
    if isinstance(file, (str, bytes)):
        return True
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


async def close_idle_connections(transport: Any, url: hx.URL) -> None:
    """Close the idle connections to the origin of ``url``, so that the next one is new."""
    pool = getattr(transport, "_pool", None)
    if not isinstance(transport, hx.AsyncHTTPTransport) or pool is None:
        return
    import httpcore

    origin = httpcore.Origin(
        url.raw_scheme, url.raw_host, url.port or {"https": 443}.get(url.scheme, 80)
    )
    for connection in pool.connections:
        if connection.is_idle() and connection.can_handle_request(origin):
            await connection.aclose()


def is_unused(transport: Any) -> bool:
    """Tell whether a transport of httpx's own serves no request at the moment."""
    pool = getattr(transport, "_pool", None)
    return not getattr(pool, "_requests", None)


def tls_context(
    verify: Union[bool, str, ssl.SSLContext], cert: Any, trust_env: bool
) -> Union[bool, ssl.SSLContext]:
    """Return what httpx takes as ``verify``; it deprecates paths and certificates."""
    if isinstance(verify, ssl.SSLContext) or (isinstance(verify, bool) and cert is None):
        return verify
    if isinstance(verify, str):
        context = context_for(verify)
    else:
        context = hx.create_ssl_context(verify=verify, trust_env=trust_env)
    if cert is not None:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context


__all__ = [
    "USE_CLIENT_DEFAULT",
    "ConnectionTrace",
    "UseClientDefault",
    "close_idle_connections",
    "copy_request",
    "hx",
    "is_replayable",
    "is_unused",
    "quicken",
    "tls_context",
]
