"""What the REST clients take: when they are made, and with each request.

Holds :class:`ClientOptions` and :class:`RequestOptions`, for type checkers and for subclasses that
pass options on; and the few checks of options that no other module has. Sends nothing.
"""

from __future__ import annotations

import ssl
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    Optional,
    Tuple,
    TypedDict,
    Union,
)

from ..settings import CALL_SETTINGS, MANAGER_SETTINGS, unknown_setting

if TYPE_CHECKING:
    from ..policies.rate_limit import RateLimiter
    from ..policies.retry_budget import RetryBudget
    from ..types import Clock
    from .serialization import Serializer
    from .uploads import UploadCallback
    from .versions import Versioning


class CallOptions(TypedDict, total=False):
    """The settings that can be given to a single call, and to a client for all of its calls."""

    max_retries: Any
    backoff_factor: float
    backoff_max: float
    backoff_jitter: float
    status_forcelist: Iterable[int]
    allowed_methods: Optional[Iterable[str]]
    raise_on_status: bool
    raise_for_status: bool
    ok_statuses: Iterable[int]
    retry_after_max: float
    retry_budget: Optional[RetryBudget]
    idempotency_key_header: Optional[str]
    connect_timeout: Optional[float]
    read_timeout: Optional[float]
    total_timeout: Optional[float]
    rate_limit_requests: Optional[int]
    rate_limit_mode: str
    circuit_breaker_failure_threshold: Optional[int]


class RequestOptions(CallOptions, total=False):
    """What a single request takes, beside its URL and ``model``."""

    content: Any
    data: Any
    files: Any
    json: Any
    params: Any
    headers: Any
    cookies: Any
    auth: Any
    follow_redirects: bool
    timeout: Any
    extensions: Optional[Mapping[str, Any]]
    api_key: str
    bearer_token: str
    basic_auth: Tuple[str, str]
    api_version: Union[str, int, None]
    upload_progress: Optional[UploadCallback]


class SharedOptions(CallOptions, total=False):
    """What both a constructor and ``with_options`` take."""

    headers: Any
    params: Any
    auth: Any
    timeout: Any
    follow_redirects: bool
    user_agent: Optional[str]
    api_key: Optional[str]
    api_key_header: str
    api_key_query: Union[str, Tuple[str, str], None]
    bearer_token: Optional[str]
    oauth2_token: Optional[str]
    basic_auth: Optional[Tuple[str, str]]
    api_version: Union[str, int, None]
    serializer: Serializer


class SiblingOptions(SharedOptions, total=False):
    """What ``with_options`` takes."""

    base_url: Any


class ClientOptions(SharedOptions, total=False):
    """What the constructors take, beside ``base_url``."""

    versioning: Versioning
    api_versions: Iterable[Union[str, int]]
    pool_connections: int
    pool_maxsize: int
    limits: Any
    rate_limit_period: float
    rate_limiter: Optional[RateLimiter]
    follow_server_limits: bool
    circuit_breaker_recovery_timeout: float
    half_open_max_calls: int
    circuit_breaker: Any
    endpoint_configs: Mapping[Any, Dict[str, Any]]
    max_scopes: int
    clock: Clock
    verify: Union[bool, str, ssl.SSLContext]
    cert: Union[str, Tuple[str, str], None]
    ssl_context: Optional[ssl.SSLContext]
    cookies: Any
    http1: bool
    http2: bool
    proxy: Any
    mounts: Any
    max_redirects: int
    event_hooks: Mapping[str, List[Callable[..., Any]]]
    transport: Any
    trust_env: bool
    default_encoding: Union[str, Callable[[bytes], str]]
    http_backend: str


CREDENTIALS: FrozenSet[str] = frozenset(
    {"api_key", "api_key_header", "api_key_query", "bearer_token", "oauth2_token", "basic_auth"}
)

_LATER = frozenset(
    {"base_url", "headers", "params", "auth", "timeout", "follow_redirects", "user_agent"}
)

SIBLING_OPTIONS = _LATER | CREDENTIALS | CALL_SETTINGS | {"api_version", "serializer"}
"""The options in which a client and its sibling may differ."""

CLIENT_OPTIONS = (
    SIBLING_OPTIONS
    | MANAGER_SETTINGS
    | {"versioning", "api_versions", "pool_connections", "pool_maxsize", "limits", "max_scopes"}
    | {"endpoint_configs", "clock", "verify", "cert", "ssl_context", "cookies", "http1", "http2"}
    | {"proxy", "mounts", "max_redirects", "event_hooks", "transport", "trust_env"}
    | {"default_encoding", "http_backend"}
)
"""The options that a constructor takes, beside ``base_url``."""


def refuse_unknown(given: Mapping[str, Any], known: FrozenSet[str], where: str) -> None:
    """Refuse names that nobody knows.

    :raises TypeError: naming the nearest, and all that are known.
    """
    for name in given:
        if name not in known:
            raise TypeError(unknown_setting(name, known, where))


__all__ = [
    "CLIENT_OPTIONS",
    "CREDENTIALS",
    "SIBLING_OPTIONS",
    "CallOptions",
    "ClientOptions",
    "RequestOptions",
    "SharedOptions",
    "SiblingOptions",
    "refuse_unknown",
]
