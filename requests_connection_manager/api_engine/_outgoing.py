"""A request of the engine as it is sent, whichever library sends it.

Holds :class:`Outgoing` with the rules for redirects, and what makes one of the parameters of
``BaseHttpClient.request``. Knows no HTTP library.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any, FrozenSet, List, Mapping, Optional, Tuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from .. import __version__
from ..exceptions import HTTPError
from ..origins import origin_of
from ..policies._checks import check_number
from ..redaction import is_sensitive_field, redact_url
from ._body import Body, encode, with_params
from ._source import Source
from .request_model import ApiRequestModel, check_headers, check_request

USER_AGENT = f"requests-connection-manager/{__version__}"

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses that are followed, if there is a ``Location``."""

_OF_THE_ORIGIN = frozenset({"authorization", "cookie", "proxy-authorization", "host"})
_OF_THE_BODY = frozenset({"content-length", "content-type", "transfer-encoding"})
_FRAMING = ("content-length", "transfer-encoding")
_NOTHING: FrozenSet[str] = frozenset()

_MAX_LABEL = 63  # RFC 1035 section 2.3.4

_CONSUMED = "the request body was consumed and can't be sent again"

Pairs = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Outgoing:
    """A request as it is sent.

    :ivar url: with its parameters, without userinfo, escaped.
    :ivar timeout: seconds for all of it, or ``None``.
    """

    method: str
    url: str
    headers: Pairs
    body: Body
    timeout: Optional[float]

    def __repr__(self) -> str:
        return f"<{self.shown}>"

    @property
    def shown(self) -> str:
        """The method and the URL, for messages: without secrets."""
        return f"{self.method} {redact_url(self.url)}"

    @property
    def source(self) -> Optional[Source]:
        """The body, if it is read while it is sent."""
        content = self.body.content
        return content if isinstance(content, Source) else None

    def sent_headers(self) -> Pairs:
        """Return the headers with those of the body."""
        present = {name.lower() for name, _ in self.headers}
        own: List[Tuple[str, str]] = []
        if self.body.content_type is not None and "content-type" not in present:
            own.append(("Content-Type", self.body.content_type))
        if self.body.length is not None and present.isdisjoint(_FRAMING):
            own.append(("Content-Length", str(self.body.length)))
        return (*self.headers, *own)

    def redirected(self, status: int, headers: Mapping[str, str]) -> Optional[Outgoing]:
        """Return the request that an answer redirects to; ``None``: it redirects nowhere.

        :raises HTTPError: when it can't be followed.
        """
        location = headers.get("Location")
        if status not in REDIRECTS or not location:
            return None
        url = self._target(status, headers, location)
        method, body, dropped = self.method, self.body, _NOTHING
        # What RFC 9110 section 15.4 allows, as requests and httpx do it.
        if (status in (302, 303) and method != "HEAD") or (status == 301 and method == "POST"):
            method, body, dropped = "GET", Body(), _OF_THE_BODY
        elif not body.replayable:
            raise self.unfollowed(status, headers, _CONSUMED)
        if origin_of(url) != origin_of(self.url):
            dropped = dropped.union(filter(_is_of_the_origin, (name for name, _ in self.headers)))
        kept = tuple(
            pair for pair in self.headers if dropped.isdisjoint((pair[0], pair[0].lower()))
        )
        return replace(self, method=method, url=url, headers=kept, body=body)

    def _target(self, status: int, headers: Mapping[str, str], location: str) -> str:
        try:
            url = with_params(urljoin(self.url, location), None)
            if urlsplit(url).scheme in ("http", "https") and _has_address(url):
                return _without_userinfo(url)[0]
        except ValueError:
            pass
        raise self.unfollowed(status, headers, f"{redact_url(location)!r} is no URL to follow")

    def unfollowed(self, status: int, headers: Mapping[str, str], why: str) -> HTTPError:
        """Return the error for a redirect that is not followed."""
        return HTTPError(
            f"{self.shown} was redirected ({status}), which can't be followed: {why}",
            status_code=status,
            headers=headers,
            body="",
        )


def _is_of_the_origin(name: str) -> bool:
    return name.lower() in _OF_THE_ORIGIN or is_sensitive_field(name)


def default_headers(headers: Optional[Mapping[str, str]]) -> Pairs:
    """Return a client's headers, checked, with a ``User-Agent``."""
    own = checked_headers(headers)
    if any(name.lower() == "user-agent" for name, _ in own):
        return own
    return (("User-Agent", USER_AGENT), *own)


def check_timeout(default_timeout: Any) -> Optional[float]:
    """Return a client's timeout, checked."""
    return None if default_timeout is None else check_number(default_timeout, "default_timeout")


def outgoing(
    given: Mapping[str, Any],
    default_timeout: Optional[float],
    default_headers: Pairs,
    foreign: Tuple[type, ...] = (),
) -> Outgoing:
    """Return the request that the parameters of ``BaseHttpClient.request`` ask for.

    :param foreign: types of bodies that the library itself knows how to send.
    :raises TypeError: for a value of the wrong type, naming the parameter.
    :raises ValueError: for a value out of range, naming the parameter.
    """
    check_request(ApiRequestModel(**given))
    url, userinfo = _without_userinfo(with_params(given["url"], given["params"]))
    if not _has_address(url):
        raise ValueError(f"url must have a host and a port that exist, not {redact_url(url)!r}")
    own: Pairs = tuple((given["headers"] or {}).items())
    names = {name.lower() for name, _ in own}
    if userinfo is not None and "authorization" not in names:
        own = (*own, ("Authorization", userinfo))
        names.add("authorization")
    data, timeout = given["data"], given["timeout"]
    return Outgoing(
        given["method"].upper(),
        url,
        (*(pair for pair in default_headers if pair[0].lower() not in names), *own),
        Body(data) if isinstance(data, foreign) else encode(data, given["json_payload"]),
        default_timeout if timeout is None else float(timeout),
    )


def checked_headers(headers: Optional[Mapping[str, str]]) -> Pairs:
    """Return a client's own headers as pairs, checked."""
    if headers is None:
        return ()
    check_headers(headers)
    return tuple(headers.items())


def _has_address(url: str) -> bool:
    """Tell whether host and port can be any; libraries notice in as many ways as there are."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    labels = (host[:-1] if host.endswith(".") else host).split(".")
    return port != 0 and all(0 < len(label) <= _MAX_LABEL for label in labels)


def _without_userinfo(url: str) -> Tuple[str, Optional[str]]:
    """Return the URL without user and password, and these as a Basic credential."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, None
    userinfo, _, host = parts.netloc.rpartition("@")
    name, _, password = userinfo.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return urlunsplit(parts._replace(netloc=host)), f"Basic {b64encode(pair).decode('ascii')}"


__all__ = [
    "REDIRECTS",
    "Outgoing",
    "Pairs",
    "check_timeout",
    "checked_headers",
    "default_headers",
    "outgoing",
]
