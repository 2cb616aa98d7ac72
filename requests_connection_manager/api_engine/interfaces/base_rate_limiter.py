"""What paces the requests of the engine.

Holds :class:`BaseRateLimiter`; knows nothing of ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class BaseRateLimiter(ABC):
    """Lets attempts through, one token each; retries need one too.

    >>> class Unlimited(BaseRateLimiter):
    ...     async def acquire(self) -> None:
    ...         pass
    """

    @abstractmethod
    async def acquire(self) -> Any:
        """Return when the next attempt may be sent; ``False`` means that it may not."""


__all__ = ["BaseRateLimiter"]
