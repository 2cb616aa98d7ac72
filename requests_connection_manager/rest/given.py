"""What callers give to a REST client, checked and brought into one form.

Holds functions from options to options, headers and parameters, and :class:`GivenSecrets`. Knows
httpx through ``transport`` only; keeps and sends nothing.
"""

from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, Mapping, Optional

from .. import __version__
from ..endpoints import secret_values
from ..policies.auth import AUTHORIZATION
from ..transport import hx

_DEFAULTS: Mapping[str, Any] = {
    "raise_for_status": True,
    "follow_redirects": True,
    "rate_limit_requests": None,
    "rate_limit_mode": "wait",
    "follow_server_limits": True,
}

_FIELD_VALUE = re.compile(rb"(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?")  # RFC 9110 section 5.5

_OWN_NAME = f"requests-connection-manager/{__version__}"


class GivenSecrets:
    """The credentials among some options, to be kept out of messages for as long as it lives."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def secrets(self) -> FrozenSet[str]:
        """Return what must not be shown."""
        return frozenset(filter(None, secret_values(self._given)))


def with_defaults(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the options of a new client with those in which it differs from a manager."""
    given = {**_DEFAULTS, **quiet(options)}
    own_limit = options.get("rate_limit_requests") or options.get("rate_limiter")
    if own_limit and "follow_server_limits" not in options:
        # A limiter of one's own follows the server too.
        del given["follow_server_limits"]
    configs = given.get("endpoint_configs")
    if isinstance(configs, Mapping):
        given["endpoint_configs"] = {
            pattern: quiet(own) if isinstance(own, Mapping) else own
            for pattern, own in configs.items()
        }
    return given


def quiet(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return options; errors for statuses, or none, are meant for the last retry as well."""
    raises = given.get("raise_for_status")
    return {"raise_on_status": raises, **given} if isinstance(raises, bool) else dict(given)


def check_plain(given: Mapping[str, Any]) -> None:
    """Refuse options of a wrong type that nobody else looks at before the first call.

    :raises TypeError: naming the option.
    """
    follow, user_agent = given.get("follow_redirects", True), given.get("user_agent")
    if not isinstance(follow, bool):
        raise TypeError(f"follow_redirects must be True or False, not {follow!r}")
    if user_agent is not None and not isinstance(user_agent, str):
        raise TypeError(f"user_agent must be a str such as 'shop/1.0', not {user_agent!r}")


def check_headers(headers: hx.Headers) -> hx.Headers:
    """Return headers, checked; the error of whoever sends them would quote the value.

    :raises ValueError: for a value that can't be sent, naming the header only.
    """
    for name, value in headers.raw:
        if not _FIELD_VALUE.fullmatch(value):
            shown = name.decode("ascii", "replace")
            raise ValueError(
                f"headers: the value of {shown} begins or ends with white space, or has a line"
                " break or another character that can't be in a header"
            )
    return headers


def check_url(url: Any) -> None:
    """Refuse what is no URL; its text would be taken for a path.

    :raises TypeError: naming what it is.
    """
    # Those of other libraries (yarl, furl) say it themselves.
    speaks: Any = type(url).__str__
    if isinstance(url, bytes) or speaks is object.__str__:
        kind = "None" if url is None else f"a {type(url).__name__}"
        raise TypeError(f"url must be a str or an httpx.URL, not {kind}")


def sets_authorization(given: Mapping[str, Any]) -> bool:
    """Tell whether options declare an ``Authorization`` of their own."""
    return any(given.get(name) is not None for name in AUTHORIZATION)


def params_from(params: Any) -> Any:
    """Return query parameters without those that are ``None``.

    :raises TypeError: for what httpx can make no query of.
    """
    if isinstance(params, Mapping) and not isinstance(params, hx.QueryParams):
        return {name: one for name, one in params.items() if one is not None}
    if params is not None and not isinstance(params, (hx.QueryParams, str, bytes, list, tuple)):
        kind = type(params).__name__
        raise TypeError(f"params must be a mapping, pairs or a query string, not a {kind}")
    return params


def with_user_agent(headers: Any, user_agent: Optional[str]) -> hx.Headers:
    """Return default headers, with a User-Agent of the caller's in front of ours."""
    merged = hx.Headers(headers)
    own = user_agent if user_agent is not None else merged.get("User-Agent")
    library = f"python-httpx/{hx.__version__}"
    merged["User-Agent"] = " ".join(part for part in (own, _OWN_NAME, library) if part)
    return check_headers(merged)


def changed_headers(headers: hx.Headers, given: Mapping[str, Any]) -> hx.Headers:
    """Return the default headers of a sibling, which is given some of its own."""
    changed, changes = hx.Headers(headers), hx.Headers(given.get("headers"))
    if "user_agent" in given or "User-Agent" in changes:
        changes = with_user_agent(changes, given.get("user_agent"))
    if sets_authorization(given) or given.get("auth") is not None:
        # Default headers go before declared credentials; the later of the two is meant.
        changed.pop("Authorization", None)
    changed.update(changes)
    return check_headers(changed)


__all__ = [
    "GivenSecrets",
    "changed_headers",
    "check_headers",
    "check_plain",
    "check_url",
    "params_from",
    "quiet",
    "sets_authorization",
    "with_defaults",
    "with_user_agent",
]
