"""What keeps the engine from a server that is down.

Holds :class:`BaseCircuitBreaker`; knows nothing of ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class BaseCircuitBreaker(ABC):
    """Says whether attempts may be sent, and learns what they came to. Must not block.

    Connection errors, timeouts and 5xx are failures; 4xx, refusals and cancellation are not. An
    attempt that began before a failure opened the circuit, and succeeds after it, is not told.
    """

    @abstractmethod
    def is_open(self) -> bool:
        """Tell whether attempts must not be sent now; also asked after a failure."""

    @abstractmethod
    def record_failure(self) -> None:
        """Learn that an attempt failed."""

    @abstractmethod
    def reset(self) -> None:
        """Learn that all is well: an attempt succeeded."""


__all__ = ["BaseCircuitBreaker"]
