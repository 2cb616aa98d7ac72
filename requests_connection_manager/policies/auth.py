"""Which credentials a request gets.

Holds :class:`Credentials` (declared, immutable, never shown) and the rule that decides between
the sources for one header. Pure: putting them on a request is the drivers' affair.
"""

from __future__ import annotations

import base64
from typing import Any, Container, Dict, FrozenSet, Mapping, Optional, Tuple

from .._frozen_dataclass import dataclass

AUTH_TYPES = ("api_key", "bearer", "oauth2", "basic")
"""The values of ``auth_type`` in ``set_endpoint_auth``."""

AUTH_FIELDS = ("api_key", "bearer_token", "oauth2_token", "basic_auth", "api_key_query")
"""The settings that declare credentials."""

AUTHORIZATION = ("bearer_token", "oauth2_token", "basic_auth")
"""Those of them that become an ``Authorization`` header."""

DECLARED = (*AUTH_FIELDS, "api_key_header")
"""Those, and how they are sent."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """Headers and a query parameter that authenticate a request.

    :ivar headers: pairs of header name and value.
    :ivar query: name and value of a query parameter, or ``None``.

    >>> Credentials((("X-API-Key", "k"),))
    Credentials(X-API-Key)
    """

    headers: Tuple[Tuple[str, str], ...] = ()
    query: Optional[Tuple[str, str]] = None

    def __repr__(self) -> str:
        names = [name for name, _ in self.headers]
        if self.query is not None:
            names.append(f"?{self.query[0]}")
        return f"Credentials({', '.join(names)})"


def credentials_from(settings: Mapping[str, Any], where: str) -> Optional[Credentials]:
    """Return the credentials that ``settings`` declare, or ``None`` when there are none.

    :param settings: may hold ``api_key`` with ``api_key_header`` or ``api_key_query``,
        ``bearer_token``, ``oauth2_token`` and ``basic_auth``.
    :param where: what the settings belong to, for the message.
    :raises ValueError: when two of them want the same header.
    """
    found: Dict[str, Tuple[str, str, str]] = {}
    for source, name, value in _declared_headers(settings):
        other = found.setdefault(name.lower(), (source, name, value))
        if other[0] != source:
            raise ValueError(
                f"{other[0]} and {source} both set the {name} header ({where}); give one of them"
            )
    query = _declared_query(settings, where)
    if not found and query is None:
        return None
    return Credentials(tuple((name, value) for _, name, value in found.values()), query)


def with_credentials(declared: Mapping[str, Any], changes: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what is declared after ``changes``; one kind of ``Authorization`` replaces another.

    :param changes: settings; those that declare no credentials are left out, ``None`` takes away.

    >>> with_credentials({"api_key": "k", "bearer_token": "old"}, {"basic_auth": ("u", "p")})
    {'api_key': 'k', 'basic_auth': ('u', 'p')}
    """
    given = {name: changes[name] for name in DECLARED if name in changes}
    replaced = AUTHORIZATION if any(given.get(name) for name in AUTHORIZATION) else ()
    merged = {**{name: one for name, one in declared.items() if name not in replaced}, **given}
    return {name: one for name, one in merged.items() if one is not None}


def _declared_headers(settings: Mapping[str, Any]) -> Any:
    for source in ("bearer_token", "oauth2_token"):
        token = settings.get(source)
        if token is not None:
            yield source, "Authorization", f"Bearer {token}"
    basic = settings.get("basic_auth")
    if basic is not None:
        yield "basic_auth", "Authorization", basic_header(*basic)
    if settings.get("api_key") is not None and settings.get("api_key_query") is None:
        yield "api_key", settings.get("api_key_header") or "X-API-Key", settings["api_key"]


def _declared_query(settings: Mapping[str, Any], where: str) -> Optional[Tuple[str, str]]:
    query = settings.get("api_key_query")
    if query is None or isinstance(query, tuple):
        return query
    if settings.get("api_key") is None:
        raise ValueError(
            f"api_key_query={query!r} names the parameter that carries api_key, but api_key is "
            f"not set ({where}); set it, or give api_key_query=(name, key)"
        )
    return query, settings["api_key"]


def basic_header(username: str, password: str) -> str:
    """Return the value of a Basic ``Authorization`` header (RFC 7617, UTF-8).

    >>> basic_header("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def choose(
    manager: Optional[Credentials],
    endpoint: Optional[Credentials],
    present: Container[str],
    explicit: FrozenSet[str],
    from_netrc: bool,
) -> Tuple[Tuple[Tuple[str, str], ...], Optional[Tuple[str, str]]]:
    """Return the headers and the query parameter to put on a request.

    The precedence, per header: the call's own > endpoint > session > manager > netrc.

    :param manager: the manager's credentials, ``None`` when this origin must not have them.
    :param endpoint: those of the matched endpoint pattern.
    :param present: lower-case names of the headers that the request has already.
    :param explicit: lower-case names of the headers that the call itself gave (or took away);
        names of query parameters have a ``?`` before them.
    :param from_netrc: the ``Authorization`` that is present comes from netrc.
    """
    chosen: Dict[str, Tuple[str, str]] = {}
    if manager is not None:
        for pair in manager.headers:
            key = pair[0].lower()
            if key not in present or (from_netrc and key == "authorization"):
                chosen[key] = pair
    if endpoint is not None:
        for pair in endpoint.headers:
            chosen[pair[0].lower()] = pair
    headers = tuple(pair for key, pair in chosen.items() if key not in explicit)
    query = None
    for level in (manager, endpoint):
        if level is not None and level.query is not None and f"?{level.query[0]}" not in explicit:
            query = level.query
    return headers, query
