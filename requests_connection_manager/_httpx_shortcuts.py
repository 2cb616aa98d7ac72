"""What httpx's clients do around a transport, in fewer steps.

Holds :class:`Shortcuts`, which tells whether all the methods that a step would pass by are still
httpx's own (a double, a mixin or a subclass must be reached), and what such a step consists of for
both clients. Knows httpx through ``transport`` only, and nothing of calls and settings.
"""

from __future__ import annotations

import logging
from http.cookiejar import CookieJar
from operator import attrgetter, is_
from typing import Any, FrozenSet

from ._httpx_building import header_names
from .transport import BaseClient, ClientState, UseClientDefault, genuine, hx

_HANDLERS = ("_send_handling_auth", "_send_handling_redirects")
_READERS = ("aread", "aiter_bytes", "aiter_raw", "read", "iter_bytes", "iter_raw")
_readers = attrgetter(*_READERS)

_logger = logging.getLogger("httpx")

_BUILD_AUTH = genuine(BaseClient, "_build_request_auth")
_EXTRACT = genuine(hx.Cookies, "extract_cookies")
_EXTRACT_FROM_HEADERS = CookieJar.extract_cookies
_GENUINE_READERS = tuple(genuine(hx.Response, name) for name in _READERS)

_SET_COOKIES = frozenset({b"set-cookie", b"set-cookie2"})


class Shortcuts:
    """Tells for one of httpx's clients which of its steps may be taken together.

    :param library: httpx's client.
    """

    def __init__(self, library: type) -> None:
        self._send = genuine(library, "send")
        self._single = genuine(library, "_send_single_request")
        self._auth, self._redirects = (genuine(library, name) for name in _HANDLERS)

    def sends_once(self, client: Any, after: Any) -> bool:
        """Tell whether httpx's own is what ``super()._send_single_request`` is in ``after``."""
        return super(after, type(client))._send_single_request is self._single  # type: ignore[misc]  # any client

    def sends(self, client: Any, after: Any, request: hx.Request, auth: Any) -> bool:
        """Tell whether ``super().send`` would do no more than send, and follow redirects.

        Passing by its coroutines and generators saves 5 µs.
        """
        kind, own = type(client), client.__dict__
        return (
            super(after, kind).send is self._send  # type: ignore[misc]  # any client
            and kind._send_handling_auth is self._auth
            and kind._send_handling_redirects is self._redirects
            and kind._build_request_auth is _BUILD_AUTH
            and own.keys().isdisjoint(_HANDLERS)
            and client._state is ClientState.OPENED
            and client.max_redirects >= 0
            and "timeout" in request.extensions
            and (client._auth if isinstance(auth, UseClientDefault) else auth) is None
            and not request.url.userinfo
        )


def received(client: Any, request: hx.Request, response: hx.Response) -> None:
    """Do with a response what httpx's ``_send_single_request`` does with it."""
    response.request = request
    cookies = client.cookies
    # Without such a header, http.cookiejar needs 30 µs to find that out.
    if (
        not _SET_COOKIES.isdisjoint(header_names(response.headers))
        or type(cookies).extract_cookies is not _EXTRACT
        or type(cookies.jar).extract_cookies is not _EXTRACT_FROM_HEADERS
    ):
        cookies.extract_cookies(response)
    response.default_encoding = client._default_encoding
    if _logger.isEnabledFor(logging.INFO):
        _logger.info(
            'HTTP Request: %s %s "%s %d %s"',
            request.method,
            request.url,
            response.http_version,
            response.status_code,
            response.reason_phrase,
        )


def reads_plainly(response: hx.Response, names: FrozenSet[bytes], bound: type) -> bool:
    """Tell whether reading a response means no more than reading its stream.

    :param names: of its headers, in lower case.
    :param bound: httpx's class of streams that belong to a response.
    """
    return (
        type(response) is hx.Response
        and type(response.stream) is bound
        and not (response.is_closed or response.is_stream_consumed)
        and not hasattr(response, "_content")
        and b"content-encoding" not in names
        # Not by ``==``: what wrapt puts in their place says that it equals them.
        and all(map(is_, _readers(hx.Response), _GENUINE_READERS))
    )


__all__ = ["Shortcuts", "reads_plainly", "received"]
