"""The names under which clients of one service know the one exception tree.

Holds two aliases: they are the very classes that the managers raise, so one ``except`` does.
"""

from __future__ import annotations

from ..exceptions import ConnectionManagerError, TimeoutError

ServiceError = ConnectionManagerError
"""Base of every error of this package."""

ServiceTimeoutError = TimeoutError
"""Something took longer than it was given; a :class:`ServiceError` too."""

__all__ = ["ServiceError", "ServiceTimeoutError"]
