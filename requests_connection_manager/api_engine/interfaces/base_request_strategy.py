"""How a request is carried out: once, with retries, or as somebody else sees fit.

Holds :class:`BaseRequestStrategy`; knows the request model only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .base_request_model import BaseRequestModel


class BaseRequestStrategy(ABC):
    """Carries out the requests of an ``ApiClient``."""

    @abstractmethod
    async def execute(self, request: BaseRequestModel, **settings: Any) -> Any:
        """Return the data of the response: ``response_key`` taken, ``model`` validated.

        :param settings: what the strategy takes for a single call.
        """

    async def close(self) -> None:  # noqa: B027  # most hold nothing
        """Give back what the strategy holds; nothing by default."""


__all__ = ["BaseRequestStrategy"]
