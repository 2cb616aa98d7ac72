"""API calls put together from a strategy, an HTTP client, a breaker, a limiter and hooks.

This module holds names only; each is loaded from its own module when it is first used, so that
neither aiohttp nor httpx is imported for programs that use the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy_names import lazy_names

if TYPE_CHECKING:
    from .aiohttp_client import AioHttpClient
    from .breaker import CircuitBreaker
    from .client import ApiClient
    from .exceptions import (
        ApiCircuitOpenError,
        ApiError,
        ApiHttpError,
        ApiNetworkError,
        ApiRateLimitError,
        ApiTimeoutError,
        ApiValidationError,
        ClientError,
    )
    from .httpx_client import HttpxHttpClient
    from .interfaces.base_circuit_breaker import BaseCircuitBreaker
    from .interfaces.base_http_client import BaseHttpClient
    from .interfaces.base_rate_limiter import BaseRateLimiter
    from .interfaces.base_request_hook import BaseRequestHook
    from .interfaces.base_request_model import BaseRequestModel
    from .interfaces.base_request_strategy import BaseRequestStrategy
    from .limiter import TokenBucketRateLimiter
    from .request_model import ApiRequestModel
    from .strategy import RetryRequestStrategy

_NAMES_OF = {
    "aiohttp_client": ("AioHttpClient",),
    "breaker": ("CircuitBreaker",),
    "client": ("ApiClient",),
    "exceptions": (
        "ApiCircuitOpenError",
        "ApiError",
        "ApiHttpError",
        "ApiNetworkError",
        "ApiRateLimitError",
        "ApiTimeoutError",
        "ApiValidationError",
        "ClientError",
    ),
    "httpx_client": ("HttpxHttpClient",),
    "interfaces.base_circuit_breaker": ("BaseCircuitBreaker",),
    "interfaces.base_http_client": ("BaseHttpClient",),
    "interfaces.base_rate_limiter": ("BaseRateLimiter",),
    "interfaces.base_request_hook": ("BaseRequestHook",),
    "interfaces.base_request_model": ("BaseRequestModel",),
    "interfaces.base_request_strategy": ("BaseRequestStrategy",),
    "limiter": ("TokenBucketRateLimiter",),
    "request_model": ("ApiRequestModel",),
    "strategy": ("RetryRequestStrategy",),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES_OF)

__all__ = [
    "AioHttpClient",
    "ApiCircuitOpenError",
    "ApiClient",
    "ApiError",
    "ApiHttpError",
    "ApiNetworkError",
    "ApiRateLimitError",
    "ApiRequestModel",
    "ApiTimeoutError",
    "ApiValidationError",
    "BaseCircuitBreaker",
    "BaseHttpClient",
    "BaseRateLimiter",
    "BaseRequestHook",
    "BaseRequestModel",
    "BaseRequestStrategy",
    "CircuitBreaker",
    "ClientError",
    "HttpxHttpClient",
    "RetryRequestStrategy",
    "TokenBucketRateLimiter",
]
