"""What the arguments of a client and of a call mean to httpx.

Holds the names that httpx takes, and how our settings and what hooks changed become its timeouts,
limits and headers. Pure; knows httpx through ``transport`` only.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Mapping

from ._httpx_hop import refine_timeout
from .core import Core
from .plugins import RequestContext
from .transport import USE_CLIENT_DEFAULT, UseClientDefault, hx

_BUILD_NAMES = (
    "content",
    "data",
    "files",
    "json",
    "params",
    "headers",
    "cookies",
    "timeout",
    "extensions",
)
SEND_NAMES = ("auth", "follow_redirects", "stream")
REQUEST_NAMES = (*_BUILD_NAMES, "auth", "follow_redirects")

LIBRARY_NAMES = (
    "auth",
    "params",
    "headers",
    "cookies",
    "http1",
    "http2",
    "proxy",
    "mounts",
    "follow_redirects",
    "limits",
    "max_redirects",
    "event_hooks",
    "base_url",
    "transport",
    "trust_env",
    "default_encoding",
)

TLS_DEFAULTS = (("verify", True), ("cert", None), ("ssl_context", None))

TIMEOUT_SETTINGS = frozenset({"timeout", "connect_timeout", "read_timeout"})


def limits_of(pool_connections: int, pool_maxsize: int) -> hx.Limits:
    kept = pool_connections * pool_maxsize
    return hx.Limits(max_connections=max(100, kept), max_keepalive_connections=kept)


def timeout_of(core: Core) -> hx.Timeout:
    """Return the settings' timeouts as httpx has them."""
    settings = core.configuration.settings
    base = hx.Timeout(settings.timeout).as_dict()
    refine_timeout(base, settings.connect_timeout, settings.read_timeout)
    return hx.Timeout(**base)


def check_timeout(timeout: Any) -> None:
    """Refuse a timeout that is none; httpx would find out once the request is under way."""
    if isinstance(timeout, UseClientDefault):
        return
    parts = timeout if isinstance(timeout, tuple) else (timeout,)
    if isinstance(timeout, hx.Timeout):
        parts = tuple(timeout.as_dict().values())
    for part in parts:
        if part is None:
            continue
        if not hasattr(part, "__float__"):
            raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
        if not part >= 0:
            raise ValueError(f"timeout must be a number of seconds of at least 0, not {timeout!r}")


def take_auth(kwargs: Dict[str, Any]) -> Any:
    """Take the auth of a call; its own ``Authorization`` header outranks the client's auth."""
    auth = kwargs.pop("auth", USE_CLIENT_DEFAULT)
    headers = kwargs.get("headers")
    if headers and isinstance(auth, UseClientDefault) and "authorization" in hx.Headers(headers):
        return None
    return auth


def names_given(headers: Any, auth: Any) -> FrozenSet[str]:
    names = {name.lower() for name in hx.Headers(headers)} if headers else set()
    if not isinstance(auth, UseClientDefault):
        names.add("authorization")
    return frozenset(names)


def edit(request: hx.Request, context: RequestContext, headers: Mapping[str, str]) -> None:
    """Put what the hooks changed on the request."""
    if context.url != str(request.url):
        request.url = hx.URL(context.url)
        host = request.headers.get("host")
        if host is not None and hx.Headers(headers).get("host") == host:
            own = {name: value for name, value in headers.items() if name.lower() != "host"}
            headers = {"host": request.url.netloc.decode("ascii"), **own}
    request.method = context.method
    for name in set(request.headers) - set(hx.Headers(headers)):
        del request.headers[name]
    for name, value in dict(headers).items():
        if request.headers.get(name) != value:
            request.headers[name] = value
