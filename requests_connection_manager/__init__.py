"""One package in place of the glue around requests and httpx.

``ConnectionManager`` is a ``requests.Session`` and ``AsyncConnectionManager`` an
``httpx.AsyncClient``; both retry, limit, break circuits, keep deadlines and tell what happened.

This module holds names only. Each is loaded from its own module when it is first used, so that a
program pays for the side that it uses: httpx, anyio and asyncio are not imported for threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy_names import lazy_names

if TYPE_CHECKING:
    from .adapter import PipelineAdapter
    from .async_manager import AsyncConnectionManager
    from .batch.journal import Journal, JournalEntry
    from .batch.json_lines_journal import JsonLinesJournal
    from .batch.result import BatchResult
    from .batch.sqlite_journal import SqliteJournal
    from .client_patterns import (
        RETRYABLE_STATUS_CODES,
        RateLimitedClient,
        ServiceError,
        ServiceTimeoutError,
        create_session,
        extract_error_detail,
        is_retryable,
        request_with_retry,
        retry_with_backoff,
    )
    from .connector import APIConnector
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
    from .event_stream import EventStreamParser, ServerSentEvent
    from .events import (
        AttemptFinished,
        AttemptStarted,
        BreakerRefused,
        BreakerStateChanged,
        CallFailed,
        CallFinished,
        CallStarted,
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
        JournalError,
        MaxRetriesExceeded,
        RateLimitError,
        RateLimitExceeded,
        RecordedFailure,
        TimeoutError,
        TooManyRequests,
        ValidationError,
    )
    from .json_lines import JsonLinesParser
    from .manager import ConnectionManager
    from .plugins import ErrorContext, HookType, PluginManager, RequestContext, ResponseContext
    from .policies.rate_limit import FixedWindowRateLimiter, RateLimiter, TokenBucketRateLimiter
    from .policies.retry import Retry
    from .policies.retry_budget import RetryBudget
    from .success import is_success
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
    "batch.journal": ("Journal", "JournalEntry"),
    "batch.json_lines_journal": ("JsonLinesJournal",),
    "batch.result": ("BatchResult",),
    "batch.sqlite_journal": ("SqliteJournal",),
    "client_patterns": (
        "RETRYABLE_STATUS_CODES",
        "RateLimitedClient",
        "ServiceError",
        "ServiceTimeoutError",
        "create_session",
        "extract_error_detail",
        "is_retryable",
        "request_with_retry",
        "retry_with_backoff",
    ),
    "connector": ("APIConnector",),
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
    "event_stream": ("EventStreamParser", "ServerSentEvent"),
    "events": (
        "AttemptFinished",
        "AttemptStarted",
        "BreakerRefused",
        "BreakerStateChanged",
        "CallFailed",
        "CallFinished",
        "CallStarted",
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
        "JournalError",
        "MaxRetriesExceeded",
        "RateLimitError",
        "RateLimitExceeded",
        "RecordedFailure",
        "TimeoutError",
        "TooManyRequests",
        "ValidationError",
    ),
    "json_lines": ("JsonLinesParser",),
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
    "success": ("is_success",),
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
__getattr__, __dir__ = lazy_names(__name__, _NAMES_OF)

__all__ = [
    "APIConnector",
    "AsyncBatchResults",
    "AsyncConnectionManager",
    "AttemptFinished",
    "AttemptStarted",
    "AuthenticationError",
    "BatchResult",
    "BatchResults",
    "BreakerRefused",
    "BreakerStateChanged",
    "CallFailed",
    "CallFinished",
    "CallStarted",
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
    "EventStreamParser",
    "FixedWindowRateLimiter",
    "HTTPError",
    "HookType",
    "Journal",
    "JournalEntry",
    "JournalError",
    "JsonLinesJournal",
    "JsonLinesParser",
    "LimiterRefused",
    "LimiterWaited",
    "MaxRetriesExceeded",
    "PipelineAdapter",
    "PluginManager",
    "RETRYABLE_STATUS_CODES",
    "RateLimitError",
    "RateLimitExceeded",
    "RateLimitedClient",
    "RateLimiter",
    "RecordedFailure",
    "RequestContext",
    "RequestData",
    "ResponseContext",
    "Retry",
    "RetryBudget",
    "RetryScheduled",
    "RetrySuppressed",
    "ServerSentEvent",
    "ServiceError",
    "ServiceTimeoutError",
    "SqliteJournal",
    "SystemClock",
    "TimeoutError",
    "TokenBucketRateLimiter",
    "TooManyRequests",
    "ValidationError",
    "create_session",
    "extract_error_detail",
    "is_retryable",
    "is_sensitive_field",
    "is_success",
    "redact_sensitive_data",
    "request_with_retry",
    "retry_with_backoff",
    "safe_log_error",
    "safe_log_request",
    "safe_log_response",
]
