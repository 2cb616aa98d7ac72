"""What aiohttp's errors are to httpx.

Holds :func:`connect_error`, :func:`head_error` and :func:`body_error`, with the words that httpx
has for the same trouble. Imports aiohttp, so it is imported when a client needs it. Decides
nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Optional

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from ..transport import hx


def connect_error(error: Exception) -> hx.TransportError:
    """Return the error of a connection that could not be opened."""
    cause = root_of(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        converted: hx.TransportError = hx.ProxyError(f"{error.status} {error.message}")
    elif isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError)):
        converted = hx.ProxyError("The proxy ended the connection without opening the tunnel.")
    elif isinstance(error, (aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError)):
        converted = hx.ConnectError(str(cause))
    elif isinstance(error, aiohttp.ClientConnectorError) and not isinstance(cause, ssl.SSLError):
        converted = hx.ConnectError("All connection attempts failed")
    else:
        converted = hx.ConnectError(str(cause))
    return converted


def root_of(error: Exception) -> Exception:
    """Return the error of the system's or of ``ssl`` that one of aiohttp's stands for."""
    for name in ("certificate_error", "os_error"):
        inner = getattr(error, name, None)
        if isinstance(inner, Exception):
            return inner
    return error


def head_error(error: Exception) -> Exception:
    """Return the error of a request that no head of a response came for."""
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.EofStream)):
        converted: Exception = hx.RemoteProtocolError(
            "Server disconnected without sending a response."
        )
    elif isinstance(error, HttpProcessingError):
        converted = _illegal(error)
    elif isinstance(error, OSError):
        converted = hx.ReadError(str(error))
    else:
        return error
    return converted


def body_error(
    error: Exception, broken: Optional[OSError], received: int, length: Any
) -> Exception:
    """Return the error of a body that broke off.

    :param broken: what ended its connection, if it was not its proper end.
    :param received: how many bytes came.
    :param length: the ``Content-Length`` of the response, if it has one.
    """
    if broken is not None:
        converted: Exception = hx.ReadError(str(broken))
    elif isinstance(error, HttpProcessingError):
        converted = _illegal(error)
    elif isinstance(error, (aiohttp.ClientError, asyncio.IncompleteReadError)):
        how = "incomplete chunked read"
        if length is not None:
            how = f"received {received} bytes, expected {length}"
        converted = hx.RemoteProtocolError(
            f"peer closed connection without sending complete message body ({how})"
        )
    else:
        return error
    return converted


def _illegal(error: HttpProcessingError) -> hx.RemoteProtocolError:
    # What follows shows what the server sent.
    text = error.message.partition("\n")[0].partition(" when reading")[0].rstrip(":")
    return hx.RemoteProtocolError(text or "illegal response")


__all__ = ["body_error", "connect_error", "head_error", "root_of"]
