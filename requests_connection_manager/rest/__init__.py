"""The REST client: :class:`Client` and :class:`AsyncClient` for one API with a base URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy_names import lazy_names

if TYPE_CHECKING:
    from .async_client import AsyncClient
    from .client import Client
    from .exceptions import (
        AuthenticationError,
        CircuitBreakerOpen,
        ClientError,
        ConnectionError,
        DeadlineExceeded,
        HTTPError,
        MaxRetriesExceeded,
        RateLimitError,
        RateLimitExceeded,
        TimeoutError,
        TooManyRequests,
        ValidationError,
    )
    from .from_env import settings_from_env
    from .options import ClientOptions, RequestOptions, SiblingOptions
    from .serialization import JsonSerializer, OrjsonSerializer, Serializer, default_serializer
    from .uploads import UploadProgress
    from .versions import (
        HeaderVersion,
        MediaTypeVersion,
        PathVersion,
        QueryVersion,
        VersionChange,
        Versioning,
    )

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "CircuitBreakerOpen",
    "Client",
    "ClientError",
    "ClientOptions",
    "ConnectionError",
    "DeadlineExceeded",
    "HTTPError",
    "HeaderVersion",
    "JsonSerializer",
    "MaxRetriesExceeded",
    "MediaTypeVersion",
    "OrjsonSerializer",
    "PathVersion",
    "QueryVersion",
    "RateLimitError",
    "RateLimitExceeded",
    "RequestOptions",
    "Serializer",
    "SiblingOptions",
    "TimeoutError",
    "TooManyRequests",
    "UploadProgress",
    "ValidationError",
    "VersionChange",
    "Versioning",
    "default_serializer",
    "settings_from_env",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "async_client": ("AsyncClient",),
        "client": ("Client",),
        "exceptions": (
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
        ),
        "from_env": ("settings_from_env",),
        "options": ("ClientOptions", "RequestOptions", "SiblingOptions"),
        "serialization": (
            "JsonSerializer",
            "OrjsonSerializer",
            "Serializer",
            "default_serializer",
        ),
        "uploads": ("UploadProgress",),
        "versions": (
            "HeaderVersion",
            "MediaTypeVersion",
            "PathVersion",
            "QueryVersion",
            "VersionChange",
            "Versioning",
        ),
    },
)
