"""Small helpers for clients of one service, on the same pipeline as the managers.

This module holds names only; each is loaded from its own module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy_names import lazy_names

if TYPE_CHECKING:
    from .error_detail import extract_error_detail
    from .exceptions import ServiceError, ServiceTimeoutError
    from .rate_limited_client import RateLimitedClient
    from .retrying import retry_with_backoff
    from .sessions import create_session, request_with_retry
    from .status_retry import RETRYABLE_STATUS_CODES, is_retryable

_NAMES_OF = {
    "error_detail": ("extract_error_detail",),
    "exceptions": ("ServiceError", "ServiceTimeoutError"),
    "rate_limited_client": ("RateLimitedClient",),
    "retrying": ("retry_with_backoff",),
    "sessions": ("create_session", "request_with_retry"),
    "status_retry": ("RETRYABLE_STATUS_CODES", "is_retryable"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES_OF)

__all__ = [
    "RETRYABLE_STATUS_CODES",
    "RateLimitedClient",
    "ServiceError",
    "ServiceTimeoutError",
    "create_session",
    "extract_error_detail",
    "is_retryable",
    "request_with_retry",
    "retry_with_backoff",
]
