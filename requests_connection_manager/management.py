"""The part of a manager that is not about sending: settings, credentials, hooks, statistics.

Holds :class:`Management`, the documented methods that both managers share, written once. Knows
the core, no HTTP library.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type

from .checks import check_clock
from .core import Core
from .endpoints import Configuration, Pattern, check_endpoint, pattern_name
from .events import Event, Listener
from .plugins import Hook, HookType, PluginManager
from .policies.auth import AUTH_TYPES, AUTHORIZATION, DECLARED
from .policies.retry_budget import RetryBudget
from .redaction import redact_text
from .settings import (
    CALL,
    ENDPOINT,
    MANAGER,
    MANAGER_SETTINGS,
    SIBLING_SETTINGS,
    UNSET,
    Settings,
    check_settings,
    unknown_setting,
)
from .types import Clock

# auth_type -> the names of its parameters, and the settings that they become.
_AUTH_PARAMETERS: Dict[str, Tuple[Tuple[str, ...], Callable[..., Dict[str, Any]]]] = {
    "api_key": (
        ("api_key", "header_name"),
        lambda api_key, header_name=None: {
            "api_key": api_key,
            **({} if header_name is None else {"api_key_header": header_name}),
        },
    ),
    "bearer": (("token",), lambda token: {"bearer_token": token}),
    "oauth2": (("token",), lambda token: {"oauth2_token": token}),
    "basic": (
        ("username", "password"),
        lambda username, password: {"basic_auth": (username, password)},
    ),
}


def build_core(
    given: Mapping[str, Any],
    endpoints: Optional[Mapping[Pattern, Any]],
    plugins: PluginManager,
    clock: Optional[Clock],
    max_scopes: int,
) -> Core:
    """Return the core for what a manager's constructor was given, checked.

    :param given: the constructor's arguments; those that are no settings are left alone.

    :raises TypeError: for a value of the wrong type.
    :raises ValueError: for a value out of range, an unknown setting, or two credentials for one
        header.
    """
    wanted = {
        name: value
        for name, value in given.items()
        if name in MANAGER_SETTINGS and value is not UNSET
    }
    wanted.setdefault("retry_budget", RetryBudget())
    settings = check_settings(wanted, MANAGER, "manager")
    if endpoints is not None and not isinstance(endpoints, Mapping):
        raise TypeError(
            "endpoint_configs must be a mapping of pattern -> settings, not "
            + redact_text(repr(endpoints))
        )
    if isinstance(max_scopes, bool) or not isinstance(max_scopes, int) or max_scopes < 1:
        raise ValueError(f"max_scopes must be an int of at least 1, not {max_scopes!r}")
    check_clock(clock)
    credentials = {name: settings.pop(name) for name in DECLARED if name in settings}
    configuration = Configuration(
        Settings().merged(settings),
        {name: value for name, value in credentials.items() if value is not None},
        {pattern: check_endpoint(pattern, config) for pattern, config in (endpoints or {}).items()},
    )
    return Core(configuration, plugins, clock, max_scopes)


def check_sibling(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the settings in which a sibling is to differ, checked.

    :raises ValueError: for one that can't differ, because breakers and limiters are shared.
    """
    for name in given:
        if name not in SIBLING_SETTINGS:
            raise ValueError(unknown_setting(name, SIBLING_SETTINGS, "with_options"))
    timeout = {name: one for name, one in given.items() if name == "timeout"}
    others = {name: one for name, one in given.items() if name != "timeout"}
    return {
        **check_settings(others, CALL, "with_options"),
        **check_settings(timeout, MANAGER, "with_options"),
    }


class Management:
    """Settings, credentials, hooks, events and statistics of a manager.

    Every method is thread-safe and takes effect for calls that begin after it: it swaps an
    immutable snapshot, and a call in flight keeps the one with which it began.
    """

    _core: Core
    auth: Any

    # -- endpoint patterns

    def add_endpoint_config(self, pattern: Pattern, config: Dict[str, Any]) -> None:
        """Give the URLs of ``pattern`` settings of their own.

        :param pattern: ``"api.example.com"``, ``"*.example.com"``, ``"api.example.com/v1"``,
            ``"https://api.example.com:8443/v1/*"``, ``"/v1/users"`` or a compiled regular
            expression over ``scheme://host[:port]/path``. The most specific match wins.
        :param config: settings, e.g. ``{"timeout": 5, "max_retries": 1}``; replaces those that
            the pattern had.
        :raises TypeError: for a value of the wrong type.
        :raises ValueError: for a pattern that can't be understood, a value out of range or an
            unknown setting.
        """
        checked = check_endpoint(pattern, config)
        self._core.configure(
            lambda known: known.replaced(endpoints={**known.endpoints, pattern: checked})
        )

    def remove_endpoint_config(self, pattern: Pattern) -> None:
        """Take the settings of ``pattern`` away.

        :raises ValueError: when there are none, naming the patterns that there are.
        """

        def remove(known: Configuration) -> Configuration:
            self._known_pattern(known, pattern)
            rest = {other: own for other, own in known.endpoints.items() if other != pattern}
            return known.replaced(endpoints=rest)

        self._core.configure(remove)

    def get_endpoint_configs(self) -> Dict[Pattern, Dict[str, Any]]:
        """Return a copy of all endpoint settings, credentials included."""
        return {
            pattern: _as_given(own) for pattern, own in self._core.configuration.endpoints.items()
        }

    @staticmethod
    def _known_pattern(known: Configuration, pattern: Pattern) -> Mapping[str, Any]:
        if pattern not in known.endpoints:
            names = ", ".join(repr(pattern_name(other)) for other in known.endpoints) or "none"
            raise ValueError(
                f"no endpoint settings for pattern {redact_text(repr(pattern))}; there are "
                f"settings for: {names}"
            )
        return known.endpoints[pattern]

    # -- credentials

    def set_api_key(self, api_key: str, header_name: str = "X-API-Key") -> None:
        """Send ``api_key`` in the header ``header_name``, to the origin of each call only."""
        self._set_credentials({"api_key": api_key, "api_key_header": header_name}, ())

    def set_bearer_token(self, token: str) -> None:
        """Send ``Authorization: Bearer …``; replaces another ``Authorization`` of the manager."""
        self._set_credentials({"bearer_token": token}, AUTHORIZATION)

    def set_oauth2_token(self, token: str) -> None:
        """Send an OAuth 2 access token (RFC 6750) as ``Authorization: Bearer …``."""
        self._set_credentials({"oauth2_token": token}, AUTHORIZATION)

    def set_basic_auth(self, username: str, password: str) -> None:
        """Send ``Authorization: Basic …`` (RFC 7617)."""
        self._set_credentials({"basic_auth": (username, password)}, AUTHORIZATION)

    def _set_credentials(self, given: Dict[str, Any], replaces: Tuple[str, ...]) -> None:
        for name, value in given.items():
            if value is None:
                raise TypeError(f"{name} must not be None; clear_auth() removes credentials")
        checked = check_settings(given, MANAGER, "manager")

        def change(known: Configuration) -> Configuration:
            kept = {name: one for name, one in known.declared.items() if name not in replaces}
            return known.replaced(credentials={**kept, **checked})

        self._core.configure(change)

    def set_endpoint_auth(self, pattern: Pattern, auth_type: str, **auth_kwargs: Any) -> None:
        """Give the URLs of ``pattern`` credentials of their own.

        :param pattern: must name a host: other servers never receive these credentials.
        :param auth_type: ``"api_key"`` (``api_key=``, optionally ``header_name=``), ``"bearer"``
            (``token=``), ``"oauth2"`` (``token=``) or ``"basic"`` (``username=``, ``password=``).
        :raises TypeError: for parameters that do not belong to the type.
        :raises ValueError: for an unknown type, or a pattern without a host.
        """
        given = _endpoint_credentials(auth_type, auth_kwargs)
        checked = check_settings(given, ENDPOINT, f"endpoint {pattern_name(pattern)!r}")
        replaced = ("api_key", "api_key_header") if auth_type == "api_key" else AUTHORIZATION

        def change(known: Configuration) -> Configuration:
            own = known.endpoints.get(pattern, check_endpoint(pattern, {}))
            kept = {name: one for name, one in own.items() if name not in replaced}
            return known.replaced(endpoints={**known.endpoints, pattern: {**kept, **checked}})

        self._core.configure(change)

    def clear_auth(self, pattern: Optional[Pattern] = None) -> None:
        """Take the credentials of ``pattern`` away, or the manager's own (``None``).

        :raises ValueError: when there are no settings for ``pattern``.
        """

        def change(known: Configuration) -> Configuration:
            if pattern is None:
                return known.replaced(credentials={})
            own = self._known_pattern(known, pattern)
            kept = {
                name: one for name, one in own.items() if name not in DECLARED and name != "auth"
            }
            return known.replaced(endpoints={**known.endpoints, pattern: kept})

        self._core.configure(change)
        if pattern is None:
            # The auth object of the session or client is a credential of the manager too.
            self.auth = None

    # -- timeouts

    def set_timeouts(
        self, connect_timeout: Optional[float] = None, read_timeout: Optional[float] = None
    ) -> None:
        """Set the time to connect and the time between two reads.

        :param connect_timeout: seconds; ``None`` leaves it as it is.
        :param read_timeout: seconds; ``None`` leaves it as it is.
        """
        given = {"connect_timeout": connect_timeout, "read_timeout": read_timeout}
        self._change_settings({name: one for name, one in given.items() if one is not None})

    # -- any setting

    def update_settings(self, **settings: Any) -> None:
        """Use other values for some settings from now on; connections and cookies stay.

        :param settings: what the constructor takes, such as ``max_retries=5``; not credentials,
            which have setters of their own.
        :raises TypeError: for a value of the wrong type.
        :raises ValueError: for a value out of range or an unknown setting; nothing is changed then.
        """
        for name in settings:
            if name in DECLARED:
                raise ValueError(f"{name} is a credential; use its setter, such as set_api_key()")
        self._change_settings(settings)

    def _change_settings(self, given: Dict[str, Any]) -> None:
        self._core.change_settings(self._check_change(given))

    def _check_change(self, given: Mapping[str, Any]) -> Dict[str, Any]:
        if self._core.root is self._core:
            return check_settings(given, MANAGER, "manager")
        return check_sibling(given)

    # -- hooks and events

    def register_pre_request_hook(self, hook_func: Hook) -> None:
        """Run ``hook_func(RequestContext)`` before each call; its edits take effect."""
        self._core.plugins.register_hook(HookType.PRE_REQUEST, hook_func)

    def register_post_response_hook(self, hook_func: Hook) -> None:
        """Run ``hook_func(ResponseContext)`` after each call that brought a response."""
        self._core.plugins.register_hook(HookType.POST_RESPONSE, hook_func)

    def register_error_hook(self, hook_func: Hook) -> None:
        """Run ``hook_func(ErrorContext)`` when a call fails; it may provide a fallback."""
        self._core.plugins.register_hook(HookType.ERROR_HANDLER, hook_func)

    def unregister_hook(self, hook_type: HookType, hook_func: Hook) -> None:
        """Run ``hook_func`` no more. Raises ``ValueError`` when it is not registered."""
        self._core.plugins.unregister_hook(hook_type, hook_func)

    def list_hooks(self) -> Dict[str, List[str]]:
        """Return the names of the hooks by kind."""
        return self._core.plugins.list_hooks()

    def add_listener(self, listener: Listener, *types: Type[Event]) -> None:
        """Call ``listener(event)`` for what happens from now on.

        :param types: the event classes to hear of; none: all.
        """
        self._core.events.add(listener, *types)

    def remove_listener(self, listener: Listener) -> None:
        """Call ``listener`` no more. Raises ``ValueError`` when it was never added."""
        self._core.events.remove(listener)

    # -- looking inside

    def get_stats(self) -> Dict[str, Any]:
        """Return the current statistics, without secrets.

        ``circuit_breaker_state`` and ``circuit_breaker_failure_count`` are those of the worst
        scope; ``scopes`` has, per endpoint pattern or origin: breaker state and failures, limiter
        fill (0 to 1), the seconds for which the server's limit pauses it, attempts, retries,
        refusals and latency in seconds.
        """
        from .inspection import statistics

        return statistics(self._core)

    def explain(self, method: str, url: str) -> Dict[str, Any]:
        """Tell what would apply to a request, without sending anything.

        :returns: the matched pattern (or ``None``), the scope, the names of the credential headers
            and the effective settings; no secret.
        """
        from .inspection import explanation

        return explanation(self._core, method, url)


def _as_given(own: Mapping[str, Any]) -> Dict[str, Any]:
    """Return settings in the form in which they were given; headers are kept as pairs."""
    given = dict(own)
    if given.get("headers") is not None:
        given["headers"] = dict(given["headers"])
    return given


def _endpoint_credentials(auth_type: Any, given: Dict[str, Any]) -> Dict[str, Any]:
    if auth_type not in _AUTH_PARAMETERS:
        raise ValueError(
            f"auth_type must be one of {', '.join(map(repr, AUTH_TYPES))}, not {auth_type!r}"
        )
    names, build = _AUTH_PARAMETERS[auth_type]
    for name in given:
        if name not in names:
            raise TypeError(unknown_setting(name, names, f"auth_type {auth_type!r}"))
    missing = [name for name in names if given.get(name) is None and name != "header_name"]
    if missing:
        raise TypeError(f"auth_type {auth_type!r} needs {' and '.join(missing)}")
    return build(**given)


__all__ = ["Management", "build_core"]
