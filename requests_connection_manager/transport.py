"""What we use of httpx, and what we change below it.

Holds ``hx``, the one name through which all else reaches httpx, and the few parts of it that are
not public, each with the reason why it is needed. Decides nothing.
"""

from __future__ import annotations

import ssl
from types import FunctionType
from typing import Any, Dict, List, Union

import httpx as hx
from httpx import _client, _models
from httpx._client import (
    USE_CLIENT_DEFAULT,
    BaseClient,
    BoundAsyncStream,
    BoundSyncStream,
    ClientState,
    UseClientDefault,
)
from httpx._content import AsyncIteratorByteStream, IteratorByteStream, encode_request
from httpx._multipart import FileField, MultipartStream

from .certificates import add_certificate, context_for
from .connections.trace import AsyncConnectionTrace, ConnectionTrace, SyncConnectionTrace


def quicken(transport: hx.AsyncBaseTransport) -> hx.AsyncBaseTransport:
    """Make a transport that httpx built spend less time on its pool, connections and streams.

    What httpx's client asks of a transport, and what it gets, is the same; the modules
    ``async_pool``, ``async_http11`` and ``network`` say what is different below.
    """
    pool: Any = getattr(transport, "_pool", None)
    if type(transport) is hx.AsyncHTTPTransport and hasattr(pool, "_network_backend"):
        from .connections.async_pool import make_quick
        from .connections.network import QuickBackend

        pool._network_backend = QuickBackend(pool._network_backend)
        make_quick(pool)
    return transport


def bound(transport: hx.BaseTransport) -> hx.BaseTransport:
    """Make the sockets of a transport that httpx built end with the deadline of their call."""
    pool: Any = getattr(transport, "_pool", None)
    if type(transport) is hx.HTTPTransport and hasattr(pool, "_network_backend"):
        from .connections.sync_network import TimedBackend

        pool._network_backend = TimedBackend(pool._network_backend)
        if pool._http2:
            from .connections.sync_http2 import make_exclusive

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


_LIBRARY = (vars(_client), vars(_models))


def genuine(owner: type, name: str) -> Any:
    """Return httpx's own method; where a double has taken its place already, what nothing is."""
    found = vars(owner).get(name)
    # By the globals: a wrapper may bear the name and the module of what it wraps.
    if type(found) is FunctionType and any(found.__globals__ is one for one in _LIBRARY):
        return found
    return object()


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
    if hasattr(transport, "idle_connections"):  # ours over aiohttp
        found: List[Any] = transport.idle_connections(url)
        return found
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
    """Tell whether a transport that was built for a client serves no request at the moment."""
    if hasattr(transport, "is_unused"):  # ours over aiohttp
        return bool(transport.is_unused())
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
    "BoundAsyncStream",
    "BoundSyncStream",
    "ClientState",
    "ConnectionTrace",
    "SyncConnectionTrace",
    "UseClientDefault",
    "bound",
    "encode_request",
    "genuine",
    "hx",
    "idle_connections",
    "is_replaced",
    "is_replayable",
    "is_unused",
    "quicken",
    "tls_context",
]
