"""The errors of the REST clients: the package's own, with the one base named ``ClientError``.

Holds names only, so that one ``except`` catches across all faces.

>>> from requests_connection_manager import ConnectionManagerError
>>> ClientError is ConnectionManagerError
True
"""

from __future__ import annotations

from ..exceptions import (
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
    TooManyRequests,
    ValidationError,
)

ClientError = ConnectionManagerError
"""Base of every error."""

__all__ = [
    "AuthenticationError",
    "CircuitBreakerOpen",
    "ClientError",
    "ConnectionError",
    "DeadlineExceeded",
    "HTTPError",
    "MaxRetriesExceeded",
    "RateLimitError",
    "RateLimitExceeded",
    "TimeoutError",
    "TooManyRequests",
    "ValidationError",
]
