"""What sends and receives below an asynchronous client, by name.

Holds :func:`chosen_backend`, which checks the setting ``http_backend`` and returns how transports
are built. Knows no HTTP library but those that it names, and loads those when they are chosen.
"""

from __future__ import annotations

import difflib
from typing import Any, Callable, Mapping, NamedTuple, Optional

from . import defaults
from .extras import load

HTTP_BACKENDS = ("httpx", "aiohttp")

_INSTEAD = 'leave out http_backend="aiohttp"'


class Backend(NamedTuple):
    """How the transports of a client are built, in the place of httpx's own two methods.

    :ivar build: with the keywords of ``_init_transport``.
    :ivar build_for_proxy: with the proxy, and the keywords of ``_init_proxy_transport``.
    """

    build: Callable[..., Any]
    build_for_proxy: Callable[..., Any]


def chosen_backend(given: Mapping[str, Any], asynchronous: bool) -> Optional[Backend]:
    """Return the backend that the settings of a client choose; ``None``: httpx's own transports.

    :param given: the arguments of its constructor.
    :raises TypeError: if ``http_backend`` is no ``str``.
    :raises ValueError: if there is none of that name, or it can't do what else is asked for.
    :raises ImportError: if its library is not installed, naming the extra.

    >>> chosen_backend({"http_backend": "curl"}, asynchronous=True)
    Traceback (most recent call last):
    ...
    ValueError: http_backend must be one of 'httpx', 'aiohttp', not 'curl'
    """
    name = given.get("http_backend", defaults.DEFAULT_HTTP_BACKEND)
    known = ", ".join(map(repr, HTTP_BACKENDS))
    if not isinstance(name, str):
        raise TypeError(f"http_backend must be one of {known}, not {name!r}")
    if name not in HTTP_BACKENDS:
        close = difflib.get_close_matches(name, HTTP_BACKENDS, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"http_backend must be one of {known}, not {name!r}{hint}")
    if name == "httpx":
        return None
    _refuse_others_work(given, asynchronous)
    load("aiohttp", extra="aiohttp")
    return Backend(_over_aiohttp, _over_aiohttp_by_proxy)


def _refuse_others_work(given: Mapping[str, Any], asynchronous: bool) -> None:
    """Refuse what can't be done over aiohttp."""
    if not asynchronous:
        raise ValueError(
            'http_backend="aiohttp" is for asynchronous clients: use AsyncConnectionManager or '
            "rest.AsyncClient, or leave it out"
        )
    if given.get("transport") is not None:
        raise ValueError(
            'transport together with http_backend="aiohttp" is contradictory: each says what '
            "sends; leave out one of them"
        )
    if given.get("http2"):
        raise ValueError(f"http2=True: aiohttp speaks HTTP/1.1 only; {_INSTEAD}")
    if not given.get("http1", True):
        raise ValueError(f"http1=False: aiohttp speaks HTTP/1.1 only; {_INSTEAD}")


def _over_aiohttp(
    *, transport: None = None, http1: bool = True, http2: bool = False, **settings: Any
) -> Any:
    """Build a transport; what it can't do has been refused before."""
    from .connections.aiohttp_transport import AioHttpTransport

    return AioHttpTransport(**settings)


def _over_aiohttp_by_proxy(proxy: Any, **settings: Any) -> Any:
    return _over_aiohttp(proxy=proxy, **settings)


__all__ = ["HTTP_BACKENDS", "Backend", "chosen_backend"]
