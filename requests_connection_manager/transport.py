"""What we use of httpx, and what we change below it.

Holds ``hx``, the one name through which all else reaches httpx, and the few parts of it that are
not public, each with the reason why it is needed. Decides nothing.
"""

from __future__ import annotations

import ssl
from typing import Any, Awaitable, Callable, Dict, List, Optional, Union

import httpx as hx
from httpx._client import USE_CLIENT_DEFAULT, BaseClient, UseClientDefault
from httpx._content import AsyncIteratorByteStream, IteratorByteStream
from httpx._multipart import FileField, MultipartStream

from .certificates import add_certificate, context_for

Trace = Callable[[str, Dict[str, Any]], Optional[Awaitable[None]]]


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

    def note(self, name: str) -> None:
        """Take note of a step."""
        if name.startswith("connection.connect"):
            self.connected = True
        elif name.endswith("send_request_headers.started"):
            self.sending = True
        elif name.endswith("receive_response_headers.complete"):
            self.answered = True

    @property
    def reused_in_vain(self) -> bool:
        """Whether the request went out on an old connection and nothing came back."""
        return self.sending and not self.connected and not self.answered


class AsyncConnectionTrace(ConnectionTrace):
    """The same as httpcore's asynchronous side calls it."""

    __slots__ = ()

    async def __call__(self, name: str, info: Dict[str, Any]) -> None:
        """Take note of a step, and pass it on to the user's own trace."""
        self.note(name)
        if self._users is not None:
            passed_on = self._users(name, info)
            assert passed_on is not None
            await passed_on


class SyncConnectionTrace(ConnectionTrace):
    """The same as httpcore's synchronous side calls it."""

    __slots__ = ()

    def __call__(self, name: str, info: Dict[str, Any]) -> None:
        """Take note of a step, and pass it on to the user's own trace."""
        self.note(name)
        if self._users is not None:
            self._users(name, info)


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


def bound(transport: hx.BaseTransport) -> hx.BaseTransport:
    """Make the sockets of a transport that httpx built end with the deadline of their call."""
    pool: Any = getattr(transport, "_pool", None)
    if type(transport) is hx.HTTPTransport and hasattr(pool, "_network_backend"):
        from ._sync_network import TimedBackend

        pool._network_backend = TimedBackend(pool._network_backend)
        if pool._http2:
            from ._sync_http2 import make_exclusive

            make_exclusive(pool)
    return transport


# By these names: a program may put a class of ours in the place of httpx's own.
LIBRARY_CLIENT, LIBRARY_ASYNC_CLIENT = hx.Client, hx.AsyncClient

_METHODS = ("get", "options", "head", "post", "put", "patch", "delete", "request")
_GENUINE: Dict[type, Dict[str, Any]] = {
    cls: {name: getattr(cls, name) for name in _METHODS}
    for cls in (LIBRARY_CLIENT, LIBRARY_ASYNC_CLIENT)
}


def is_replaced(client: type, name: str) -> bool:
    """Tell whether a test has put a double in the place of a method of httpx's.

    Ours override them, and would go to the network past ``mock.patch("httpx.Client.get")``.
    """
    return getattr(client, name) is not _GENUINE[client][name]


def copy_request(request: hx.Request) -> hx.Request:
    """Return a copy that shares URL and body; ``Request()`` would encode everything anew."""
    copied: hx.Request = hx.Request.__new__(type(request))
    copied.__dict__.update(request.__dict__)
    copied.headers = hx.Headers(request.headers)
    copied.extensions = dict(request.extensions)
    return copied


def is_replayable(stream: Any) -> bool:
    """Tell whether a request body can be sent once more from its start."""
    known = getattr(stream, "replayable", None)
    if isinstance(known, bool):
        return known
    if isinstance(stream, hx.ByteStream):
        return True
    if isinstance(stream, MultipartStream):
        # httpx rewinds the files of a multipart body itself, always to their start.
        return all(_rewinds(field.file) for field in stream.fields if isinstance(field, FileField))
    if isinstance(stream, (AsyncIteratorByteStream, IteratorByteStream)):
        source = stream._stream
        return not any(hasattr(source, name) for name in _ONCE)
    return False


# What an iterator or a file has, which httpx reads once.
_ONCE = ("__next__", "__anext__", "read", "aread")


def _rewinds(file: Any) -> bool:
    if isinstance(file, (str, bytes)):
        return True
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def idle_connections(transport: Any, url: hx.URL) -> List[Any]:
    """Return the idle connections to the origin of ``url``, to be closed."""
    pool = getattr(transport, "_pool", None)
    if not isinstance(transport, (hx.AsyncHTTPTransport, hx.HTTPTransport)) or pool is None:
        return []
    import httpcore

    origin = httpcore.Origin(
        url.raw_scheme, url.raw_host, url.port or {"https": 443}.get(url.scheme, 80)
    )
    return [
        connection
        for connection in pool.connections
        if connection.is_idle() and connection.can_handle_request(origin)
    ]


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
        add_certificate(context, cert)
    return context


__all__ = [
    "LIBRARY_ASYNC_CLIENT",
    "LIBRARY_CLIENT",
    "USE_CLIENT_DEFAULT",
    "AsyncConnectionTrace",
    "BaseClient",
    "ConnectionTrace",
    "SyncConnectionTrace",
    "UseClientDefault",
    "bound",
    "copy_request",
    "hx",
    "idle_connections",
    "is_replaced",
    "is_replayable",
    "is_unused",
    "quicken",
    "tls_context",
]
