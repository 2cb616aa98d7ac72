"""Preparing a request as requests does, without doing the same work again each time.

Holds :class:`PreparingSession`, a ``requests.Session`` whose steps between ``request`` and ``send``
give the same result for less: what the environment says is remembered (see ``environment``), and
so are the session's checked headers. Measured on a small GET, requests spends a third of its time
here. Knows requests only.
"""

from __future__ import annotations

from collections import OrderedDict
from http.cookiejar import CookieJar
from typing import Any, Optional, Set, Tuple

import requests
from requests.cookies import RequestsCookieJar, cookiejar_from_dict, merge_cookies
from requests.models import PreparedRequest
from requests.sessions import merge_hooks, merge_setting
from requests.structures import CaseInsensitiveDict

from ._lazy_regex import lazy_regex
from ._originals import still_own
from .environment import Environment
from .origins import MAX_KNOWN_ORIGINS

# A path and a query of characters that mean themselves everywhere, without empty segments and such
# that begin with a dot.
_PLAIN = lazy_regex(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?(?:\?[A-Za-z0-9._~=&-]+)?")
_requests_prepares = still_own(
    requests,
    "Session.prepare_request",
    *("PreparedRequest.prepare", "PreparedRequest.prepare_url"),
    *("PreparedRequest.prepare_headers", "PreparedRequest.prepare_cookies"),
    "PreparedRequest.prepare_auth",
)
_requests_merges = still_own(requests, "Session.merge_environment_settings")
# The origins that were found to be as requests writes them.
_normal_origins: Set[str] = set()


class PreparingSession(requests.Session):
    """A ``requests.Session`` that prepares requests faster."""

    _environment: Environment
    _known_headers: Tuple[Any, Optional[CaseInsensitiveDict[Any]]]

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request with the session's settings; the steps are those of requests."""
        if not _requests_prepares():
            return super().prepare_request(request)
        auth = request.auth
        from_netrc = False
        if self.trust_env and not auth and not self.auth:
            auth = self._environment.netrc_auth(str(request.url))
            from_netrc = auth is not None
        auth = _merged(auth, self.auth)
        prepared = requests.PreparedRequest()
        prepared.prepare_method((request.method or "").upper())
        url: Any = request.url
        self._prepare_url(prepared, url, _merged(request.params, self.params))
        self._prepare_headers(prepared, request.headers)
        self._prepare_cookies(prepared, request.cookies)
        body: Any = request.data
        prepared.prepare_body(body, request.files, request.json)
        if auth or "@" in (prepared.url or ""):
            prepared.prepare_auth(auth, url)
        prepared.prepare_hooks(merge_hooks(request.hooks, self.hooks))
        if from_netrc:
            prepared.__dict__["_auth_from_netrc"] = True
        return prepared

    def _prepare_url(self, prepared: requests.PreparedRequest, url: Any, params: Any) -> None:
        """Normalize the URL and add the parameters; to find that all is well takes 19 µs."""
        if not params and type(prepared) is PreparedRequest and _is_prepared(url):
            prepared.url = url
        else:
            # Empty text, not an empty dict, which is tried as every kind of parameters there is.
            prepared.prepare_url(url, params or "")

    def _prepare_headers(self, prepared: requests.PreparedRequest, own: Any) -> None:
        """Merge and check the headers; those of the session alone were checked before."""
        session = self.headers
        if own or type(own) is not dict or type(session) is not CaseInsensitiveDict:
            prepared.prepare_headers(_merged(own, session, CaseInsensitiveDict))
            return
        items = tuple(session._store.values())
        known, headers = self._known_headers
        if headers is None or items != known:
            prepared.prepare_headers(_merged(own, session, CaseInsensitiveDict))
            self._known_headers = items, copy_headers(prepared.headers)
        else:
            prepared.headers = copy_headers(headers)

    def _prepare_cookies(self, prepared: requests.PreparedRequest, own: Any) -> None:
        """Merge the cookies; without any, there is no header to look for."""
        session = self.cookies
        if not own and type(session) is RequestsCookieJar and next(iter(session), None) is None:
            prepared._cookies = RequestsCookieJar()
            return
        jar = own or {}
        if not isinstance(jar, CookieJar):
            jar = cookiejar_from_dict(jar)
        prepared.prepare_cookies(merge_cookies(merge_cookies(RequestsCookieJar(), session), jar))

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Merge proxies and CA bundle from the environment, as ``requests.Session`` does."""
        if not _requests_merges():
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        if self.trust_env:
            no_proxy = proxies.get("no_proxy") if proxies is not None else None
            found, bundle = self._environment.proxies_and_bundle(url, no_proxy)
            if proxies is not None:
                for name, proxy in found.items():
                    proxies.setdefault(name, proxy)
            if bundle and (verify is True or verify is None):
                verify = bundle
        return {
            "proxies": _merged(proxies, self.proxies),
            "stream": _merged(stream, self.stream),
            "verify": _merged(verify, self.verify),
            "cert": _merged(cert, self.cert),
        }


def _is_prepared(url: Any) -> bool:
    """Tell whether requests would leave a URL as it is."""
    if type(url) is not str:
        return False
    end = url.find("/", 8)
    return end > 0 and bool(_PLAIN.fullmatch(url, end)) and _is_normal(url[:end])


def _is_normal(origin: str) -> bool:
    """Tell whether an origin is written as requests writes it."""
    if origin in _normal_origins:
        return True
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(origin + "/", "")
    except requests.RequestException:
        return False  # the error is to quote the whole URL
    if prepared.url != origin + "/" or "@" in origin:
        return False
    if len(_normal_origins) >= MAX_KNOWN_ORIGINS:
        _normal_origins.clear()
    _normal_origins.add(origin)
    return True


def copy_headers(headers: CaseInsensitiveDict[Any]) -> CaseInsensitiveDict[Any]:
    """Return a copy; the type's own ``copy`` takes every item apart and together again."""
    copied: CaseInsensitiveDict[Any] = CaseInsensitiveDict.__new__(CaseInsensitiveDict)
    copied._store = headers._store.copy()
    return copied


def copy_request(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return a copy with headers of its own, to send with credentials; the rest is shared."""
    copied: requests.PreparedRequest = requests.PreparedRequest.__new__(type(request))
    copied.__dict__.update(request.__dict__)
    copied.headers = copy_headers(request.headers)
    return copied


def _merged(own: Any, session: Any, dict_class: Any = OrderedDict) -> Any:
    """Return what ``requests.sessions.merge_setting`` returns, sooner where that is plain.

    Its checks against typing protocols cost 30 µs a request; most settings are no mappings, and
    most mappings have nothing to merge.
    """
    if session is None or own is None or type(own) is bool or type(own) is str:
        return session if own is None else own
    plain = type(own) is dict
    if plain and not own and type(session) is dict_class and None not in session.values():
        return session.copy()
    if not session and plain and dict_class is OrderedDict:
        return OrderedDict((name, one) for name, one in own.items() if one is not None)
    return merge_setting(own, session, dict_class=dict_class)
