"""The errors of the API engine: the package's own, under the engine's names.

Holds aliases only, so that one ``except`` catches across all faces.
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
    ValidationError,
)

ApiError = ConnectionManagerError
"""Base of every error."""

ClientError = ConnectionManagerError
"""Base of every error."""

ApiHttpError = HTTPError
"""The server answered with an error status: ``status_code``, ``headers``, ``body``."""

ApiTimeoutError = TimeoutError
"""Something took longer than it was given."""

ApiRateLimitError = RateLimitError
"""A rate limit was hit: the server's (429) or our own; ``retry_after`` in seconds."""

ApiNetworkError = ConnectionError
"""No connection, or one that broke."""

ApiCircuitOpenError = CircuitBreakerOpen
"""The circuit breaker is open; ``retry_after`` in seconds."""

ApiValidationError = ValidationError
"""The response is not of the promised form; ``body`` and ``path``."""

__all__ = [
    "ApiCircuitOpenError",
    "ApiError",
    "ApiHttpError",
    "ApiNetworkError",
    "ApiRateLimitError",
    "ApiTimeoutError",
    "ApiValidationError",
    "AuthenticationError",
    "ClientError",
    "DeadlineExceeded",
    "MaxRetriesExceeded",
    "RateLimitExceeded",
]
