"""The settings: names, defaults, checks, and who may give them.

Holds the one table of all settings (:data:`SETTINGS`), the functions that check what users give,
and :class:`Settings`, the immutable result. Knows no URL patterns and no HTTP client library.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Collection, Dict, FrozenSet, Mapping, Optional, Tuple, Union

from urllib3.util.retry import Retry as UrllibRetry

from . import defaults
from ._frozen_dataclass import dataclass
from ._lazy_regex import lazy_regex
from .policies.retry import Retry
from .policies.retry_budget import RetryBudget
from .redaction import redact_text

Check = Callable[[str, Any], Any]

MANAGER, ENDPOINT, CALL = "manager", "endpoint", "call"

UNSET: Any = object()
"""What was not given, where ``None`` means something else."""

TOKEN = lazy_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
"""What the name of a header or a method is made of (RFC 9110 section 5.6.2)."""


def _fail(kind: type, name: str, value: Any, wanted: str, secret: bool = False) -> Exception:
    shown = f"a {type(value).__name__}" if secret else repr(value)
    error: Exception = kind(f"{name} must be {wanted}, not {shown}")
    return error


def _integer(minimum: int, optional: bool = False) -> Check:
    wanted = f"an int of at least {minimum}" + (" or None" if optional else "")

    def check(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _fail(TypeError, name, value, wanted)
        if value < minimum:
            raise _fail(ValueError, name, value, wanted)
        return value

    return check


def _seconds(optional: bool = False, zero: bool = False, unit: str = "number of seconds") -> Check:
    wanted = f"a {unit} " + ("of at least 0" if zero else "above 0")
    wanted += " or None" if optional else ""

    def check(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _fail(TypeError, name, value, wanted)
        if math.isnan(value) or math.isinf(value) or value < 0 or (value == 0 and not zero):
            raise _fail(ValueError, name, value, wanted)
        return value

    return check


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(TypeError, name, value, "True or False")
    return value


def _max_retries(name: str, value: Any) -> Any:
    if isinstance(value, UrllibRetry):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise _fail(TypeError, name, value, "an int of at least 0 or a urllib3 Retry")
    if value < 0:
        raise _fail(ValueError, name, value, "an int of at least 0 or a urllib3 Retry")
    return value


def _timeout(name: str, value: Any) -> Any:
    """Check a timeout in any form that requests or httpx take: number, tuple, object, None."""
    number = _seconds(optional=True)
    if isinstance(value, (tuple, list)):
        if len(value) not in (2, 4):
            raise _fail(
                ValueError, name, value, "seconds, (connect, read) or (connect, read, write, pool)"
            )
        return tuple(number(name, part) for part in value)
    if value is None or isinstance(value, (bool, int, float)):
        return number(name, value)
    if hasattr(value, "connect_timeout") or hasattr(value, "as_dict"):
        return value  # urllib3.Timeout, httpx.Timeout: checked by their own constructors
    raise _fail(TypeError, name, value, "a number of seconds, a (connect, read) tuple or None")


def _statuses(name: str, value: Any) -> FrozenSet[int]:
    wanted = "a collection of status codes from 100 to 599"
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise _fail(TypeError, name, value, wanted)
    for status in value:
        if isinstance(status, bool) or not isinstance(status, int):
            raise _fail(TypeError, name, value, wanted)
        if not 100 <= status <= 599:
            raise _fail(ValueError, name, value, wanted)
    return frozenset(int(status) for status in value)


def _methods(name: str, value: Any) -> Optional[FrozenSet[str]]:
    wanted = "a collection of method names, or None for any method"
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise _fail(TypeError, name, value, wanted)
    if not all(isinstance(method, str) for method in value):
        raise _fail(TypeError, name, value, wanted)
    if not value:
        raise ValueError(f"{name} must not be empty; to retry nothing, set max_retries=0")
    return frozenset(method.upper() for method in value)


def _choice(*choices: str) -> Check:
    wanted = " or ".join(map(repr, choices))

    def check(name: str, value: Any) -> Any:
        if value not in choices:
            raise _fail(ValueError if isinstance(value, str) else TypeError, name, value, wanted)
        return value

    return check


def _having(wanted: str, *methods: str) -> Check:
    wanted = f"{wanted} with the methods {', '.join(methods)}, or None"

    def check(name: str, value: Any) -> Any:
        if value is not None and not all(callable(getattr(value, one, None)) for one in methods):
            raise _fail(TypeError, name, value, wanted)
        return value

    return check


def _budget(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, RetryBudget):
        raise _fail(TypeError, name, value, "a RetryBudget or None")
    return value


def _header_name(optional: bool) -> Check:
    wanted = "a header name" + (" or None" if optional else "")

    def check(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if not isinstance(value, str):
            raise _fail(TypeError, name, value, wanted)
        if not TOKEN.match(value):
            raise _fail(ValueError, name, value, wanted)
        return value

    return check


def _secret(name: str, value: Any) -> Optional[str]:
    wanted = "a str without line breaks, or None"
    if value is None:
        return None
    if not isinstance(value, str):
        raise _fail(TypeError, name, value, wanted, secret=True)
    if not value or "\r" in value or "\n" in value or "\0" in value:
        raise _fail(ValueError, name, value, "a non-empty " + wanted[2:], secret=True)
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise _fail(
            ValueError, name, value, "a str that fits into a header (latin-1)", secret=True
        ) from None
    return value


def _pair(name: str, value: Any) -> Optional[Tuple[str, str]]:
    wanted = "a (username, password) tuple of two str, or None"
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise _fail(TypeError, name, value, wanted, secret=True)
    if not all(isinstance(part, str) for part in value):
        raise _fail(TypeError, name, value, wanted, secret=True)
    if ":" in value[0]:
        raise ValueError(f"{name}: a username for Basic authentication must not contain ':'")
    return value[0], value[1]


def _query_key(name: str, value: Any) -> Union[str, Tuple[str, str], None]:
    if value is None or (isinstance(value, str) and value):
        return value
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    if is_pair and all(isinstance(part, str) and part for part in value):
        return value[0], value[1]
    raise _fail(
        TypeError, name, value, "a parameter name, a (name, key) tuple or None", secret=True
    )


def _headers(name: str, value: Any) -> Any:
    if value is None:
        return None
    try:
        return tuple(dict(value).items())
    except (TypeError, ValueError):
        raise _fail(TypeError, name, value, "a mapping of header names to values", True) from None


def _anything(name: str, value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Setting:
    """One row of the table: the check of a setting, and who may give it."""

    check: Check
    levels: Tuple[str, ...] = (MANAGER, ENDPOINT, CALL)


_SHARED = (MANAGER, ENDPOINT)

SETTINGS: Dict[str, Setting] = {
    "max_retries": Setting(_max_retries),
    "backoff_factor": Setting(_seconds(zero=True, unit="factor")),
    "backoff_max": Setting(_seconds(zero=True)),
    "backoff_jitter": Setting(_seconds(zero=True, unit="share")),
    "status_forcelist": Setting(_statuses),
    "allowed_methods": Setting(_methods),
    "raise_on_status": Setting(_boolean),
    "raise_for_status": Setting(_boolean),
    "ok_statuses": Setting(_statuses),
    "retry_after_max": Setting(_seconds(zero=True)),
    "retry_budget": Setting(_budget),
    "idempotency_key_header": Setting(_header_name(optional=True)),
    "timeout": Setting(_timeout, _SHARED),
    "connect_timeout": Setting(_seconds(optional=True)),
    "read_timeout": Setting(_seconds(optional=True)),
    "total_timeout": Setting(_seconds(optional=True)),
    "rate_limit_requests": Setting(_integer(1, optional=True)),
    "rate_limit_period": Setting(_seconds(), _SHARED),
    "rate_limit_mode": Setting(_choice("raise", "wait")),
    "rate_limiter": Setting(_having("a RateLimiter", "reserve", "pause", "fill"), _SHARED),
    "follow_server_limits": Setting(_boolean, _SHARED),
    "circuit_breaker_failure_threshold": Setting(_integer(1, optional=True)),
    "circuit_breaker_recovery_timeout": Setting(_seconds(zero=True), _SHARED),
    "half_open_max_calls": Setting(_integer(1), _SHARED),
    "circuit_breaker": Setting(_having("a pybreaker.CircuitBreaker", "call"), _SHARED),
    "api_key": Setting(_secret, _SHARED),
    "api_key_header": Setting(_header_name(optional=False), _SHARED),
    "api_key_query": Setting(_query_key, _SHARED),
    "bearer_token": Setting(_secret, _SHARED),
    "oauth2_token": Setting(_secret, _SHARED),
    "basic_auth": Setting(_pair, _SHARED),
    "auth": Setting(_anything, (ENDPOINT,)),
    "headers": Setting(_headers, (ENDPOINT,)),
}
"""Every setting that the pipeline reads. What a face takes beside them is its own affair."""

MANAGER_SETTINGS = frozenset(name for name, row in SETTINGS.items() if MANAGER in row.levels)
"""The settings that a manager's constructor takes."""

CALL_SETTINGS = frozenset(name for name, row in SETTINGS.items() if CALL in row.levels)
"""The settings that can be given to a single call."""

SIBLING_SETTINGS = CALL_SETTINGS | {"timeout"}
"""The settings in which a manager and its sibling may differ: those that keep no state."""

# A stage keeps its state between calls; one call can leave it out, not give it another size.
_OFF_ONLY = ("rate_limit_requests", "circuit_breaker_failure_threshold")


@dataclass(frozen=True)
class Settings:
    """One consistent set of everything the pipeline reads; immutable."""

    max_retries: Union[int, UrllibRetry] = defaults.DEFAULT_MAX_RETRIES
    backoff_factor: float = defaults.DEFAULT_BACKOFF_FACTOR
    backoff_max: float = defaults.DEFAULT_BACKOFF_MAX
    backoff_jitter: float = defaults.DEFAULT_BACKOFF_JITTER
    status_forcelist: FrozenSet[int] = defaults.RETRYABLE_STATUS_CODES
    allowed_methods: Optional[FrozenSet[str]] = defaults.IDEMPOTENT_METHODS
    raise_on_status: bool = True
    raise_for_status: bool = False
    ok_statuses: FrozenSet[int] = frozenset()
    retry_after_max: float = defaults.DEFAULT_RETRY_AFTER_MAX
    retry_budget: Optional[RetryBudget] = None
    idempotency_key_header: Optional[str] = None
    timeout: Any = defaults.DEFAULT_TIMEOUT
    connect_timeout: Optional[float] = None
    read_timeout: Optional[float] = None
    total_timeout: Optional[float] = None
    rate_limit_requests: Optional[int] = defaults.DEFAULT_RATE_LIMIT_REQUESTS
    rate_limit_period: float = defaults.DEFAULT_RATE_LIMIT_PERIOD
    rate_limit_mode: str = defaults.DEFAULT_RATE_LIMIT_MODE
    rate_limiter: Any = None
    follow_server_limits: bool = False
    circuit_breaker_failure_threshold: Optional[int] = (
        defaults.DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD
    )
    circuit_breaker_recovery_timeout: float = defaults.DEFAULT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT
    half_open_max_calls: int = defaults.DEFAULT_HALF_OPEN_MAX_CALLS
    circuit_breaker: Any = None

    def merged(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with the checked ``changes``; those that are credentials are left out."""
        known = {name: value for name, value in changes.items() if name in _FIELDS}
        return Settings(**{**vars(self), **known}) if known else self

    def retry(self) -> UrllibRetry:
        """Return the urllib3 ``Retry`` that carries this policy."""
        if isinstance(self.max_retries, UrllibRetry):
            return self.max_retries
        return Retry(
            total=self.max_retries,
            redirect=False,
            raise_on_redirect=False,
            status_forcelist=self.status_forcelist,
            allowed_methods=self.allowed_methods,
            backoff_factor=self.backoff_factor,
            backoff_max=self.backoff_max,
            backoff_jitter=self.backoff_jitter,
            raise_on_status=self.raise_on_status,
        )


_FIELDS = frozenset(Settings.__annotations__)


def check_settings(given: Mapping[str, Any], level: str, where: str) -> Dict[str, Any]:
    """Return ``given`` checked and normalised.

    :param level: ``"manager"``, ``"endpoint"`` or ``"call"``.
    :param where: what the settings belong to, for the message.
    :raises TypeError: for a value of the wrong type, or ``given`` not a mapping.
    :raises ValueError: for a value out of range, or an unknown key.
    """
    if not isinstance(given, Mapping):
        shown = redact_text(repr(given))
        raise TypeError(f"{where} must be a mapping of settings, not {shown}")
    return {name: _check_one(name, value, level, where) for name, value in given.items()}


def _check_one(name: str, value: Any, level: str, where: str) -> Any:
    row = SETTINGS.get(name)
    if row is None or level not in row.levels:
        raise ValueError(unknown_setting(name, known_settings(level), where))
    if level == CALL and name in _OFF_ONLY and value is not None:
        raise ValueError(
            f"{name} of a single call can only be None, which leaves the stage out, not "
            f"{value!r}; set it on the manager or on an endpoint pattern"
        )
    return row.check(f"{name} ({where})" if level == ENDPOINT else name, value)


def known_settings(level: str) -> Tuple[str, ...]:
    """Return the names that may be given at ``level``."""
    return tuple(name for name, row in SETTINGS.items() if level in row.levels)


def unknown_setting(name: Any, known: Collection[str], where: str) -> str:
    """Return a message about an unknown name: the nearest one, and all that are known.

    >>> unknown_setting("timout", ["timeout", "verify"], "request")
    "request: unknown setting 'timout'; did you mean 'timeout'? Known: timeout, verify"
    """
    import difflib

    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{where}: unknown setting {name!r}{hint} Known: {', '.join(sorted(known))}"
