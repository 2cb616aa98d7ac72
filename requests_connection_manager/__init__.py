"""One package in place of the glue around requests and httpx.

``ConnectionManager`` is a ``requests.Session`` and ``AsyncConnectionManager`` an
``httpx.AsyncClient``; both retry, limit, break circuits, keep deadlines and tell what happened.

This module holds names only. Each is loaded from its own module when it is first used, so that a
program pays for the side that it uses: httpx, anyio and asyncio are not imported for threads.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from .adapter import PipelineAdapter
    from .async_manager import AsyncConnectionManager
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

__version__ = "1.0.0"

_NAMES_OF = {
    "adapter": ("PipelineAdapter",),
    "async_manager": ("AsyncConnectionManager",),
    "core": ("SystemClock",),
    "defaults": (
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
    ),
    "events": (
        "AttemptFinished",
        "AttemptStarted",
        "BreakerRefused",
        "BreakerStateChanged",
        "CallFailed",
        "ConnectionReplaced",
        "Event",
        "LimiterRefused",
        "LimiterWaited",
        "RetryScheduled",
        "RetrySuppressed",
    ),
    "exceptions": (
        "AuthenticationError",
        "CircuitBreakerOpen",
        "ConnectionError",
        "ConnectionManagerError",
        "DeadlineExceeded",
        "HTTPError",
        "MaxRetriesExceeded",
        "RateLimitError",
        "RateLimitExceeded",
        "TimeoutError",
        "ValidationError",
    ),
    "manager": ("ConnectionManager",),
    "plugins": (
        "ErrorContext",
        "HookType",
        "PluginManager",
        "RequestContext",
        "ResponseContext",
    ),
    "policies.rate_limit": (
        "FixedWindowRateLimiter",
        "RateLimiter",
        "TokenBucketRateLimiter",
    ),
    "policies.retry": ("Retry",),
    "policies.retry_budget": ("RetryBudget",),
    "types": (
        "AsyncBatchResults",
        "BatchResults",
        "Clock",
        "EndpointConfig",
        "RequestData",
    ),
    "utils": (
        "is_sensitive_field",
        "redact_sensitive_data",
        "safe_log_error",
        "safe_log_request",
        "safe_log_response",
    ),
}
_HOME = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *_HOME})


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
