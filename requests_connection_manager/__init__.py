"""One package in place of the glue around requests and httpx.

``ConnectionManager`` is a ``requests.Session`` and ``AsyncConnectionManager`` an
``httpx.AsyncClient``; both retry, limit, break circuits, keep deadlines and tell what happened.

This module holds names only. Those that need httpx, anyio or asyncio are loaded at first use, so
that importing the package costs little more than importing requests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

from .adapter import PipelineAdapter
from .core import SystemClock
from .defaults import (
    DEFAULT_API_KEY_HEADER,
    DEFAULT_BACKOFF_FACTOR,
    DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD,
    DEFAULT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT,
    DEFAULT_MAX_RETRIES,
    DEFAULT_POOL_CONNECTIONS,
    DEFAULT_POOL_MAXSIZE,
    DEFAULT_RATE_LIMIT_PERIOD,
    DEFAULT_RATE_LIMIT_REQUESTS,
    DEFAULT_TIMEOUT,
)
from .events import (
    AttemptFinished,
    AttemptStarted,
    BreakerRefused,
    BreakerStateChanged,
    CallFailed,
    ConnectionReplaced,
    Event,
    LimiterRefused,
    LimiterWaited,
    RetryScheduled,
    RetrySuppressed,
)
from .exceptions import (
    AuthenticationError,
    CircuitBreakerOpen,
    ConnectionError,
    ConnectionManagerError,
    DeadlineExceeded,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitError,
    RateLimitExceeded,
    TimeoutError,
    ValidationError,
)
from .manager import ConnectionManager
from .plugins import ErrorContext, HookType, PluginManager, RequestContext, ResponseContext
from .policies.rate_limit import FixedWindowRateLimiter, RateLimiter, TokenBucketRateLimiter
from .policies.retry import Retry
from .policies.retry_budget import RetryBudget
from .types import AsyncBatchResults, BatchResults, Clock, EndpointConfig, RequestData
from .utils import (
    is_sensitive_field,
    redact_sensitive_data,
    safe_log_error,
    safe_log_request,
    safe_log_response,
)

if TYPE_CHECKING:
    from .async_manager import AsyncConnectionManager

__version__ = "1.0.0"

_LATER = {"AsyncConnectionManager": "async_manager"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted([*globals(), *_LATER])


__all__ = [
    "AsyncBatchResults",
    "AsyncConnectionManager",
    "AttemptFinished",
    "AttemptStarted",
    "AuthenticationError",
    "BatchResults",
    "BreakerRefused",
    "BreakerStateChanged",
    "CallFailed",
    "CircuitBreakerOpen",
    "Clock",
    "ConnectionError",
    "ConnectionManager",
    "ConnectionManagerError",
    "ConnectionReplaced",
    "DEFAULT_API_KEY_HEADER",
    "DEFAULT_BACKOFF_FACTOR",
    "DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
    "DEFAULT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT",
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_POOL_CONNECTIONS",
    "DEFAULT_POOL_MAXSIZE",
    "DEFAULT_RATE_LIMIT_PERIOD",
    "DEFAULT_RATE_LIMIT_REQUESTS",
    "DEFAULT_TIMEOUT",
    "DeadlineExceeded",
    "EndpointConfig",
    "ErrorContext",
    "Event",
    "FixedWindowRateLimiter",
    "HTTPError",
    "HookType",
    "LimiterRefused",
    "LimiterWaited",
    "MaxRetriesExceeded",
    "PipelineAdapter",
    "PluginManager",
    "RateLimitError",
    "RateLimitExceeded",
    "RateLimiter",
    "RequestContext",
    "RequestData",
    "ResponseContext",
    "Retry",
    "RetryBudget",
    "RetryScheduled",
    "RetrySuppressed",
    "SystemClock",
    "TimeoutError",
    "TokenBucketRateLimiter",
    "ValidationError",
    "is_sensitive_field",
    "redact_sensitive_data",
    "safe_log_error",
    "safe_log_request",
    "safe_log_response",
]
