"""What runs before a request and after its response.

Holds :class:`BaseRequestHook`; knows the request model only.
"""

from __future__ import annotations

from typing import Any

from .base_request_model import BaseRequestModel


class BaseRequestHook:
    """Runs once per call: ``before`` it, however often it is retried, and ``after`` it succeeded.

    Override either or both. What a hook raises ends the call and reaches its caller as it is.

    >>> class Tracing(BaseRequestHook):
    ...     async def before(self, request: BaseRequestModel) -> None:
    ...         request.headers = {**(request.headers or {}), "X-Trace": "1"}
    """

    async def before(self, request: BaseRequestModel) -> None:
        """Look at, or change, the request."""

    async def after(self, request: BaseRequestModel, response: Any) -> None:
        """Look at the response: the parsed data, before ``response_key`` and ``model``."""


__all__ = ["BaseRequestHook"]
