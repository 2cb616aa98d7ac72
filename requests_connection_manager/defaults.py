"""The documented default values, and those of the settings beyond them.

Plain constants; imports nothing.
"""

from __future__ import annotations

from typing import Final, FrozenSet

DEFAULT_POOL_CONNECTIONS: Final = 10
DEFAULT_POOL_MAXSIZE: Final = 10
DEFAULT_MAX_RETRIES: Final = 3
DEFAULT_BACKOFF_FACTOR: Final = 0.3
DEFAULT_RATE_LIMIT_REQUESTS: Final = 100
DEFAULT_RATE_LIMIT_PERIOD: Final = 60
DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD: Final = 5
DEFAULT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT: Final = 60
DEFAULT_TIMEOUT: Final = 30
DEFAULT_API_KEY_HEADER: Final = "X-API-Key"

DEFAULT_BACKOFF_MAX: Final = 120.0
DEFAULT_BACKOFF_JITTER: Final = 0.1
DEFAULT_RETRY_AFTER_MAX: Final = 120.0
DEFAULT_RATE_LIMIT_MODE: Final = "raise"
DEFAULT_HALF_OPEN_MAX_CALLS: Final = 1
DEFAULT_HTTP_BACKEND: Final = "httpx"
DEFAULT_MAX_SCOPES: Final = 1024
DEFAULT_MAX_BYTES: Final = 16 * 1024 * 1024
"""Of a line or an event of a stream."""

RETRYABLE_STATUS_CODES: Final[FrozenSet[int]] = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that are worth a retry."""

IDEMPOTENT_METHODS: Final[FrozenSet[str]] = frozenset(
    {"HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE"}
)
"""Methods that may be sent twice (RFC 9110, section 9.2.2; urllib3's set)."""
