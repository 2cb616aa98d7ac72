"""Locks after a fork.

Holds :func:`renew_after_fork` and :class:`RenewedLock`: in the child, the thread that held a lock
when the process forked does not exist, and would never release it. Knows nothing of ours.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol


class _Renewable(Protocol):
    def renew_lock(self) -> None:
        """Replace the lock."""


_known: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_after_fork(part: _Renewable) -> None:
    """Call ``part.renew_lock()`` in each forked child for as long as ``part`` lives."""
    _known.add(part)


class RenewedLock:
    """A re-entrant lock that is free in a forked child; for ``with``.

    >>> lock = RenewedLock()
    >>> with lock, lock:
    ...     pass
    """

    def __init__(self) -> None:
        self.renew_lock()
        renew_after_fork(self)

    def renew_lock(self) -> None:
        """Replace the lock."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _renew_all() -> None:
    for part in list(_known):
        part.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


__all__ = ["RenewedLock", "renew_after_fork"]
