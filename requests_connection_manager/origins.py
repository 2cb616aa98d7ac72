"""Where a URL leads: its origin, and its path in the one spelling.

Holds :class:`Origin` and the parsing of URLs, so that everybody compares the same things. A host
that two HTTP libraries could read differently (backslash, percent-encoding, a bad port) is nobody's
origin. Knows no HTTP library.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import List, NamedTuple, Optional, Tuple
from urllib.parse import quote

from ._lazy_regex import lazy_regex

DEFAULT_PORTS = {"http": 80, "https": 443}
# More than the ten thousand that one program may well call in turn: what does not fit in is worked
# out again for each request, which costs more than the request itself. Some 300 bytes each.
MAX_KNOWN_ORIGINS = 16_384
_URL = lazy_regex(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)")
HOST_PORT = lazy_regex(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_HOST = lazy_regex(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_ZONE = lazy_regex(r"[A-Za-z0-9._~-]+")

_PATH_SAFE = "!$&'()*+,;=:@/~%"
_PLAIN_PATH = lazy_regex(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]*)+")
_ESCAPE = lazy_regex(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Origin(NamedTuple):
    """Where a URL leads: ``scheme``, ``host`` and ``port``, comparable as they are.

    ``scheme`` and ``host`` are lower case, an international host is in its punycode form, an IPv6
    host stands in brackets, and one trailing dot of a host is dropped. ``port`` is the effective
    one (443 for https without a port) and 0 where none is known. A host that cannot be read safely
    becomes ``?`` and a digest: equal for equal text only, and without anything secret in it.
    """

    scheme: str
    host: str
    port: int


NOWHERE = Origin("", "", 0)
"""The origin of no URL: what belongs there goes nowhere."""


def origin_of(url: str) -> Origin:
    """Return the origin of ``url``; never raises for a ``str``.

    >>> origin_of("https://user:secret@API.example.com/v1?x=1")
    Origin(scheme='https', host='api.example.com', port=443)
    >>> origin_of("ftp://example.com/").port
    0
    """
    found = _URL.match(url)
    return _origin(found.group(1), found.group(2)) if found else Origin("", _opaque(url), 0)


def origin_text(origin: Origin) -> str:
    """Return an origin as text, without the scheme's default port.

    >>> origin_text(Origin("https", "api.test", 443))
    'https://api.test'
    """
    if (origin.scheme, origin.port) in (("https", 443), ("http", 80)):
        return f"{origin.scheme}://{origin.host}"
    return f"{origin.scheme}://{origin.host}:{origin.port}"


def split(url: str) -> Tuple[Origin, str]:
    """Return the origin of ``url`` and its path, normalised the way it is sent.

    Dot segments are removed (also percent-encoded ones), unreserved characters are decoded, what
    must be encoded is (RFC 3986, 6.2.2). An encoded slash stays encoded. Never raises for a
    ``str``.

    >>> split("https://example.com:8443/v1/../%61dmin?next=/v1")
    (Origin(scheme='https', host='example.com', port=8443), '/admin')
    """
    return origin_of(url), path_of(url)


def path_of(url: str) -> str:
    """Return the path of ``url``, normalised the way it is sent."""
    found = _URL.match(url)
    return normal_path(found.group(3)) if found else "/"


def _origin(scheme: str, authority: str) -> Origin:
    # urllib3 ends the host at a backslash, httpx does not: such a URL leads to neither for us.
    if "\\" in authority:
        return Origin(scheme.lower(), _opaque(authority), 0)
    return _origin_of_host(scheme.lower(), authority.rpartition("@")[2])


@lru_cache(maxsize=MAX_KNOWN_ORIGINS)
def _origin_of_host(scheme: str, host_port: str) -> Origin:
    found = HOST_PORT.fullmatch(host_port)
    host = normal_host(found.group(1)) if found else None
    port = port_number(found.group(2)) if found else None
    if host is None or port is None:
        return Origin(scheme, _opaque(host_port), 0)
    return Origin(scheme, host, port or DEFAULT_PORTS.get(scheme, 0))


def port_number(text: Optional[str]) -> Optional[int]:
    """Return a port, 0 for none, or ``None`` for what is no port."""
    digits = (text or "").lstrip("0") or "0"
    return int(digits) if len(digits) <= 5 and int(digits) <= 65535 else None


def _opaque(text: str) -> str:
    return "?" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normal_host(text: str) -> Optional[str]:
    """Return the one spelling of a host, or None for what is no host."""
    if text.startswith("["):
        return _normal_ipv6(text[1:-1])
    host = text.lower() if text.isascii() else _punycode(text)
    host = host[:-1] if host.endswith(".") else host
    return host if _HOST.fullmatch(host) else None


def _normal_ipv6(text: str) -> Optional[str]:
    # The zone is split off first: Python 3.8 knows no zones, and writes them as %, URLs as %25.
    address, percent, zone = text.partition("%")
    zone = zone[2:] if zone.startswith("25") and zone != "25" else zone
    if percent and not _ZONE.fullmatch(zone):
        return None
    try:
        return f"[{ipaddress.IPv6Address(address).compressed}{percent}{zone}]"
    except ValueError:
        return None


def _punycode(text: str) -> str:
    import idna  # a dependency of requests and httpx; needed for non-ASCII hosts only

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError:
        return ""


def normal_path(raw: str) -> str:
    """Return the one spelling of a path (RFC 3986, 6.2.2)."""
    if _PLAIN_PATH.fullmatch(raw):
        return raw
    text = quote(_ESCAPE.sub(_normal_escape, raw), safe=_PATH_SAFE, errors="surrogatepass")
    kept: List[str] = []
    for segment in text.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if text.endswith(("/.", "/..")):
        kept.append("")
    return "/" + "/".join(kept)


def _normal_escape(found: re.Match[str]) -> str:
    digits = found.group(1)
    if not digits:
        return "%25"
    char = chr(int(digits, 16))
    return char if char in _UNRESERVED else f"%{digits.upper()}"


__all__ = [
    "DEFAULT_PORTS",
    "HOST_PORT",
    "MAX_KNOWN_ORIGINS",
    "NOWHERE",
    "Origin",
    "normal_host",
    "normal_path",
    "origin_of",
    "path_of",
    "port_number",
    "split",
]
