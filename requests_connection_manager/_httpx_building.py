"""How a request of httpx's is made, with fewer copies.

Holds :func:`parsed` and :func:`text_of`, which remember URLs and their texts, and the steps of
``httpx.Client.build_request`` for the requests that most calls make. What comes out equals what
httpx makes of the same input; a test compares the two. Knows httpx through ``transport`` only, and
nothing of calls and settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Tuple, Union

from .transport import USE_CLIENT_DEFAULT, BaseClient, UseClientDefault, encode_request, genuine, hx

Header = Tuple[bytes, bytes, bytes]
"""A header as httpx keeps it: the name, the name in lower case, the value."""

_lower_name = itemgetter(1)

# The longest URL that is remembered, and how many are: the memory that this takes has a bound.
_LONGEST, _MOST = 1024, 1024

_BUILD = genuine(BaseClient, "build_request")
_CONSTRUCTOR = genuine(hx.Request, "__init__")

_WEB, _WEB_PORTS = ("http", "https"), (80, 443)

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@lru_cache(maxsize=_MOST)
def _parsed(url: str) -> hx.URL:
    return hx.URL(url)


def parsed(url: Union[hx.URL, str]) -> hx.URL:
    """Return the URL of a text; parsing one takes 8 µs, and nothing changes a ``httpx.URL``.

    :raises httpx.InvalidURL: as httpx.

    >>> parsed("http://API.test/") is parsed("http://API.test/")
    True
    """
    if type(url) is str and len(url) <= _LONGEST:
        return _parsed(url)
    return url if type(url) is hx.URL else hx.URL(url)


def with_params(url: hx.URL, params: Any) -> hx.URL:
    """Return ``httpx.URL(url, params=params)``, which parses all other parts anew: 11 µs.

    >>> str(with_params(hx.URL("http://api.test/users?all=1"), {"page": "2"}))
    'http://api.test/users?page=2'
    """
    parts = url._uri_reference
    query = str(hx.QueryParams(params)) if params else None
    rest = len(parts.userinfo) + len(parts.path) + len(parts.fragment or "")
    # httpx parses the rest anew: a default port may be dropped only then, and lengths are checked.
    unchanged = parts.host and parts.scheme in _WEB and parts.port not in _WEB_PORTS
    if not unchanged or max(rest, len(query or "")) > _LONGEST:
        return hx.URL(url, params=params)
    changed: hx.URL = hx.URL.__new__(hx.URL)
    changed._uri_reference = parts._replace(query=query)
    return changed


# What is remembered of a URL: its text, and the value of its Host header.
_texts: Dict[Any, Tuple[str, bytes]] = {}


def _learn(parts: Any) -> Tuple[str, bytes]:
    found = str(parts), parts.netloc.encode("ascii")
    if len(found[0]) <= _LONGEST:
        if len(_texts) >= _MOST:
            _texts.clear()
        _texts[parts] = found
    return found


def text_of(url: hx.URL) -> str:
    """Return ``str(url)``, which httpx puts together anew each time: 0.5 µs.

    >>> text_of(hx.URL("http://API.test"))
    'http://api.test'
    """
    if type(url) is not hx.URL:
        return str(url)
    parts = url._uri_reference
    return (_texts.get(parts) or _learn(parts))[0]


def _netloc_of(url: hx.URL) -> bytes:
    parts = url._uri_reference
    return (_texts.get(parts) or _learn(parts))[1]


def headers_from(items: List[Header]) -> hx.Headers:
    """Return headers that hold ``items``."""
    headers: hx.Headers = hx.Headers.__new__(hx.Headers)
    headers._list = items
    headers._encoding = None
    return headers


def copy_request(request: hx.Request) -> hx.Request:
    """Return a copy that shares URL and body; ``Request()`` would encode everything anew."""
    copied: hx.Request = hx.Request.__new__(type(request))
    copied.__dict__.update(request.__dict__)
    copied.headers = headers_from(list(request.headers._list))
    copied.extensions = dict(request.extensions)
    return copied


def names_of(headers: hx.Headers) -> FrozenSet[str]:
    """Return the names in lower case, as ``headers.keys()``, which looks for an encoding first."""
    try:
        # All at once: no part of it is Python's own bytecode.
        return frozenset(b"\n".join(map(_lower_name, headers._list)).decode("ascii").split("\n"))
    except UnicodeDecodeError:
        return frozenset(headers.keys())


def header_names(headers: Any) -> FrozenSet[bytes]:
    """Return the same as they are sent; of a double's headers too."""
    if type(headers) is hx.Headers:
        return frozenset(map(_lower_name, headers._list))
    return frozenset(name.lower().encode("utf-8") for name in headers)


def add_headers(
    headers: hx.Headers, added: Iterable[Tuple[str, str]], present: FrozenSet[str]
) -> None:
    """Set headers one after the other: of one name, the last that is added counts.

    :param present: what :func:`names_of` says of ``headers``; httpx goes through them anew.
    """
    items = headers._list
    for name, value in added:
        lower = name.lower()
        if lower in present:
            headers[name] = value
        else:
            items.append((name.encode(), lower.encode(), value.encode()))
            present = present | {lower}


def merged(defaults: hx.Headers, given: hx.Headers) -> Optional[hx.Headers]:
    """Return what ``update`` makes of a copy of ``defaults``; ``None``: only httpx can tell.

    httpx decodes and encodes every name for each that is given: 3 µs each.
    """
    names = set(map(_lower_name, given._list))
    if not b"".join(names).isascii():
        return None
    kept = [item for item in defaults._list if item[1] not in names]
    return headers_from(kept + given._list)


def is_plain(data: Any, files: Any) -> bool:
    """Tell whether :func:`built` can make a request with a body of this kind."""
    unchanged = hx.Request.__init__ is _CONSTRUCTOR
    return unchanged and not files and (data is None or isinstance(data, Mapping))


def built(
    method: str,
    url: hx.URL,
    headers: hx.Headers,
    cookies: Any,
    content: Any,
    data: Any,
    json: Any,
    extensions: Dict[str, Any],
) -> hx.Request:
    """Return ``httpx.Request(…)``, which takes 11 µs to copy its headers three times.

    :param headers: the request's own from now on.
    :param extensions: likewise.
    """
    request: hx.Request = hx.Request.__new__(hx.Request)
    request.method = method = method.upper()
    request.url = url
    request.headers = headers
    request.extensions = extensions
    if cookies:
        hx.Cookies(cookies).set_cookie_header(request)
    stream: Any
    of_body: Dict[str, str] = {}
    if content is data is json is None:
        stream = hx.ByteStream(b"")
    else:
        of_body, stream = encode_request(content=content, data=data, json=json)
    _complete(headers._list, method, url, of_body)
    headers._encoding = None  # as in new ones; it was looked for if there are cookies
    request.stream = stream
    if isinstance(stream, hx.ByteStream):
        request._content = stream._stream
    return request


def _complete(items: List[Header], method: str, url: hx.URL, of_body: Mapping[str, str]) -> None:
    """Add those headers that follow from the URL and the body, where httpx puts them."""
    names = set(map(_lower_name, items))
    for name, value in of_body.items():
        lower = name.lower().encode()
        if lower == b"transfer-encoding" and b"content-length" in names:
            continue
        if lower not in names:
            items.append((name.encode(), lower, value.encode()))
            names.add(lower)
    first: List[Header] = []
    if b"host" not in names and url.raw_host:
        first.append((b"Host", b"host", _netloc_of(url)))
    if method in _WITH_BODY and names.isdisjoint((b"content-length", b"transfer-encoding")):
        first.append((b"Content-Length", b"content-length", b"0"))
    items[:0] = first


class RequestBuilding(BaseClient):
    """A client of httpx's that builds its requests in this way."""

    def build_request(
        self,
        method: str,
        url: Union[hx.URL, str],
        *,
        content: Any = None,
        data: Any = None,
        files: Any = None,
        json: Any = None,
        params: Any = None,
        headers: Any = None,
        cookies: Any = None,
        timeout: Any = USE_CLIENT_DEFAULT,
        extensions: Any = None,
    ) -> hx.Request:
        """Return a request as this client would send it; see ``httpx.Client.build_request``."""
        if not (is_plain(data, files) and self._builds_as_httpx()):
            return super().build_request(
                method,
                url,
                content=content,
                data=data,
                files=files,
                json=json,
                params=params,
                headers=headers,
                cookies=cookies,
                timeout=timeout,
                extensions=extensions,
            )
        # What subclasses return may be of another type, or somebody else's.
        target = parsed(self._merge_url(url))
        own_headers = hx.Headers(self._merge_headers(headers))
        own_cookies = self._merge_cookies(cookies)
        own_params = self._merge_queryparams(params)
        extensions = {} if extensions is None else dict(extensions)
        if "timeout" not in extensions:
            given = not isinstance(timeout, UseClientDefault)
            extensions["timeout"] = (hx.Timeout(timeout) if given else self.timeout).as_dict()
        if own_params is not None:
            target = with_params(target, own_params)
        return built(method, target, own_headers, own_cookies, content, data, json, extensions)

    def _merge_url(self, url: Union[hx.URL, str]) -> hx.URL:
        target = parsed(url)
        return super()._merge_url(target) if target.is_relative_url else target

    def _merge_headers(self, headers: Any = None) -> Any:
        if headers is None:
            return headers_from(list(self.headers._list))
        given = hx.Headers(headers)
        both = merged(self.headers, given)
        return super()._merge_headers(given) if both is None else both

    def _builds_as_httpx(self) -> bool:
        """Tell whether nobody has put a double, or a mixin, in the place of httpx's method."""
        return super(RequestBuilding, type(self)).build_request is _BUILD


__all__ = [
    "RequestBuilding",
    "add_headers",
    "built",
    "copy_request",
    "header_names",
    "headers_from",
    "is_plain",
    "merged",
    "names_of",
    "parsed",
    "text_of",
    "with_params",
]
