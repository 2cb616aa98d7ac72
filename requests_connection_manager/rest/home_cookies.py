"""Cookies that stay with the API for which they were given.

Holds :class:`HomeCookies`, the cookies of a REST client. Cookies that a server sets go where the
rules for cookies say (RFC 6265), which know hosts and no ports; those that the user gives without a
domain are credentials of the client's, and go to one origin only. Knows httpx through ``transport``
only.
"""

from __future__ import annotations

import copy
from http.cookiejar import Cookie, CookieJar
from typing import Any, Iterator, List, Optional

from ..origins import Origin
from ..transport import hx

# Among the attributes of a cookie that the rules don't know, and that are not sent.
_MARK = "home"


class _Jar(CookieJar):
    """A jar that threads can look through while others fill it."""

    def __iter__(self) -> Iterator[Cookie]:
        with self._cookies_lock:  # type: ignore[attr-defined]  # typeshed leaves it out
            return iter(list(super().__iter__()))


class HomeCookies(hx.Cookies):
    """Cookies of which those without a domain belong to one origin. Thread-safe.

    :param home: that origin.
    :param cookies: the first ones, in any form that httpx takes; of a ``CookieJar`` the client
        keeps and fills the jar itself.

    >>> from requests_connection_manager.origins import origin_of
    >>> cookies = HomeCookies(origin_of("https://api.test/v1"), {"id": "7"})
    >>> cookies["id"], cookies.strange_to(origin_of("https://api.test:8443/"))
    ('7', True)
    """

    def __init__(self, home: Origin, cookies: Any = None) -> None:
        super().__init__()
        self._home = home
        self.jar = cookies if isinstance(cookies, CookieJar) else _Jar()
        if cookies is self.jar:
            cookies = [one for one in self.jar if not one.domain]
            for one in cookies:
                self.jar.clear("", one.path, one.name)
            self._add(cookies)
        else:
            self.update(cookies)

    def at(self, home: Origin) -> HomeCookies:
        """Return the same cookies for a client with another home."""
        return HomeCookies(home, self.jar)

    def set(self, name: str, value: str, domain: str = "", path: str = "/") -> None:
        """Set a cookie; without a domain it is for the home only."""
        made = hx.Cookies()
        made.set(name, value, domain, path)
        self._add(list(made.jar))

    def update(self, cookies: Any = None) -> None:  # type: ignore[override]  # as httpx has it
        """Add cookies; those without a domain are for the home only."""
        self._add(list(hx.Cookies(cookies).jar))

    def _add(self, cookies: List[Cookie]) -> None:
        for one in cookies:
            self.jar.set_cookie(one if one.domain else self._bound(one))

    def _bound(self, cookie: Cookie) -> Cookie:
        bound = copy.copy(cookie)
        host = self._home.host
        # As http.cookiejar names hosts without a dot.
        bound.domain = host if "." in host else f"{host}.local"
        bound._rest = {_MARK: self._home}  # type: ignore[attr-defined]  # no method sets it
        return bound

    def strange_to(self, origin: Origin) -> bool:
        """Tell whether there are cookies that must not reach an origin."""
        return any(_home_of(one) not in (None, origin) for one in self.jar)

    def for_origin(self, origin: Origin) -> hx.Cookies:
        """Return those cookies that may reach an origin, as far as their home has a say."""
        kept = hx.Cookies()
        for one in self.jar:
            if _home_of(one) in (None, origin):
                kept.jar.set_cookie(one)
        return kept


def _home_of(cookie: Cookie) -> Optional[Origin]:
    home: Optional[Origin] = cookie.get_nonstandard_attr(_MARK)  # type: ignore[assignment]  # ours
    return home


__all__ = ["HomeCookies"]
