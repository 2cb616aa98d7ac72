"""From a URL to the policy that applies to it.

Holds :class:`Policy` (the resolved settings of a pattern, or of none) and :class:`Configuration`,
the immutable snapshot of all settings and patterns of a manager. Keeps no live state and knows no
HTTP client library.
"""

from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, Iterator, Mapping, Optional, Tuple, Union

from urllib3.util.retry import Retry as UrllibRetry

from ._frozen_dataclass import dataclass, field
from .patterns import PatternIndex, UrlPattern
from .policies.auth import AUTH_FIELDS, Credentials, basic_header, credentials_from
from .redaction import is_sensitive_field
from .settings import ENDPOINT, Settings, check_settings

Pattern = Union[str, "re.Pattern[str]"]

BREAKER_SETTINGS = frozenset(
    {
        "circuit_breaker",
        "circuit_breaker_failure_threshold",
        "circuit_breaker_recovery_timeout",
        "half_open_max_calls",
    }
)
LIMITER_SETTINGS = frozenset(
    {"rate_limit_requests", "rate_limit_period", "rate_limiter", "follow_server_limits"}
)
BUDGET_SETTINGS = frozenset({"retry_budget"})


@dataclass(frozen=True)
class Policy:
    """What applies to the URLs of one pattern; ``pattern`` is ``None`` for all other URLs.

    :ivar own: names of the settings that the pattern itself gives; a stage that it configures is
        kept per pattern, any other per origin.
    :ivar credentials: those of the pattern.
    :ivar auth: an auth object of the pattern, in the HTTP library's own form.
    :ivar headers: default headers of the pattern.
    """

    settings: Settings
    retry: UrllibRetry
    pattern: Optional[str] = None
    own: FrozenSet[str] = frozenset()
    credentials: Optional[Credentials] = None
    # Their values may be secrets, so they stay out of the repr.
    auth: Any = field(default=None, repr=False)
    headers: Tuple[Tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def adds(self) -> bool:
        """Whether the pattern puts something on its requests."""
        return self.credentials is not None or self.auth is not None or bool(self.headers)


class Configuration:
    """An immutable snapshot of a manager's settings, credentials and endpoint patterns.

    A request holds on to the snapshot with which it began, so it sees one consistent set.

    :param settings: the manager's settings.
    :param credentials: the manager-wide credentials, as settings (``{"bearer_token": …}``).
    :param endpoints: pattern -> checked settings.
    :param reuse: a snapshot with the same settings and credentials, whose policies still hold.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Mapping[str, Any],
        endpoints: Mapping[Pattern, Mapping[str, Any]],
        reuse: Optional[Configuration] = None,
    ) -> None:
        self.settings = settings
        self.declared = dict(credentials)
        self.credentials = credentials_from(self.declared, "manager")
        self.endpoints: Dict[Pattern, Mapping[str, Any]] = dict(endpoints)
        self.default = Policy(settings, settings.retry())
        known = {} if reuse is None else reuse.policies
        before = {} if reuse is None else reuse.endpoints
        self.policies: Dict[Pattern, Policy] = {
            pattern: known[pattern] if before.get(pattern) is own else self._policy(pattern, own)
            for pattern, own in self.endpoints.items()
        }
        self._index: Optional[PatternIndex[Policy]] = None
        self._held: Optional[FrozenSet[int]] = None
        self._secrets: Optional[FrozenSet[str]] = None
        self.raises_for_status = settings.raise_for_status or any(
            own.get("raise_for_status") for own in self.endpoints.values()
        )
        # Most managers set no total_timeout: then a call need not look for its policy first.
        self.limits_time = settings.total_timeout is not None or any(
            own.get("total_timeout") is not None for own in self.endpoints.values()
        )

    def _policy(self, pattern: Pattern, own: Mapping[str, Any]) -> Policy:
        where = f"endpoint {pattern_name(pattern)!r}"
        credentials = credentials_from({**_inherited(self.declared, own), **own}, where)
        secret = credentials or own.get("auth") is not None or _has_secret_header(own)
        if secret and not UrlPattern.compile(pattern).names_host:
            raise ValueError(
                f"{where} does not name a host, so its credentials could reach any server; "
                "write the pattern with its host, for example 'api.example.com/v1'"
            )
        settings = self.settings.merged(own)
        return Policy(
            settings,
            settings.retry(),
            pattern_name(pattern),
            frozenset(own),
            credentials,
            own.get("auth"),
            own.get("headers") or (),
        )

    def resolve(self, url: str) -> Policy:
        """Return the policy of the most specific pattern that matches ``url``."""
        index = self._index
        if index is None:
            # At first use: thousands of patterns may be added one by one before.
            index = self._index = PatternIndex(self.policies)
        found = index.find(url)
        return self.default if found is None else found[1]

    def holds(self, policy: Policy) -> bool:
        """Tell whether ``policy`` is one of this snapshot, and not of an earlier one."""
        held = self._held
        if held is None:
            held = self._held = frozenset(map(id, (self.default, *self.policies.values())))
        return id(policy) in held

    def secrets(self) -> FrozenSet[str]:
        """Return the values that must not be shown, whatever the name they are sent under."""
        if self._secrets is None:
            self._secrets = frozenset(
                value
                for given in (self.declared, *self.endpoints.values())
                for value in secret_values(given)
            )
        return self._secrets

    def replaced(
        self,
        settings: Optional[Settings] = None,
        credentials: Optional[Mapping[str, Any]] = None,
        endpoints: Optional[Mapping[Pattern, Mapping[str, Any]]] = None,
    ) -> Configuration:
        """Return a snapshot with some parts exchanged."""
        same = settings is None and credentials is None
        return Configuration(
            self.settings if settings is None else settings,
            self.declared if credentials is None else credentials,
            self.endpoints if endpoints is None else endpoints,
            self if same else None,
        )


def secret_values(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a text could quote of the credentials among settings."""
    for name in ("api_key", "bearer_token", "oauth2_token"):
        yield given.get(name) or ""
    query = given.get("api_key_query")
    yield query[1] if isinstance(query, tuple) else ""
    for pair in (given.get("basic_auth"), given.get("auth")):
        if isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(one, str) for one in pair):
            # Some servers take a key as the user name, with an empty password.
            yield pair[1] or pair[0]
            yield basic_header(*pair).split()[1]
    for name, value in given.get("headers") or ():
        if isinstance(value, str) and is_sensitive_field(name):
            yield value
            yield value.split(" ")[-1]  # without "Bearer"


def _has_secret_header(own: Mapping[str, Any]) -> bool:
    return any(is_sensitive_field(name) for name, _ in own.get("headers") or ())


def _inherited(manager: Mapping[str, Any], own: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the manager's header name for API keys, for a pattern that has a key of its own."""
    if "api_key" in own and "api_key_header" in manager:
        return {"api_key_header": manager["api_key_header"]}
    return {}


def pattern_name(pattern: Pattern) -> str:
    """Return a pattern as text, for statistics, events and messages.

    >>> pattern_name(re.compile("https://a"))
    '/https://a/'
    """
    return pattern if isinstance(pattern, str) else f"/{pattern.pattern}/"


def check_endpoint(pattern: Any, config: Any) -> Dict[str, Any]:
    """Return the checked settings of one endpoint pattern.

    :raises TypeError: when the pattern or a value has the wrong type.
    :raises ValueError: when the pattern can't be understood, a value is out of range, or a
        setting is unknown.
    """
    UrlPattern.compile(pattern)
    return check_settings(config, ENDPOINT, f"endpoint {pattern_name(pattern)!r}")


__all__ = [
    "AUTH_FIELDS",
    "BREAKER_SETTINGS",
    "BUDGET_SETTINGS",
    "LIMITER_SETTINGS",
    "Configuration",
    "Pattern",
    "Policy",
    "check_endpoint",
    "pattern_name",
    "secret_values",
]
