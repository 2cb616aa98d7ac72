"""The workers of a batch on threads, and the way to make them stop.

Holds :class:`Crew`, which the calls of a batch find in ``current_crew``. Knows no HTTP library.
"""

from __future__ import annotations

import contextvars
import threading
from typing import Any, Optional, Set

WAIT_SECONDS = 0.5
"""How long whoever owns a batch waits at a time. Python notices a Ctrl-C that comes right before an
endless wait begins only when that ends, and on Windows any that comes during it."""


class Crew:
    """The workers of a running batch, and the way to make them stop.

    A worker that sleeps wakes up, one that waits for its socket has it shut down under it.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._wires: Set[Any] = set()

    def enter(self, wire: Any) -> None:
        """Register a wire that is about to block."""
        with self._lock:
            self._wires.add(wire)
        # After it, or a dismissal in between would find no wire to end.
        self.check()

    def leave(self, wire: Any, response: Any) -> None:
        """Take a wire off again; what came over it is not to be trusted when it was ended.

        :param response: ``None``: there is none.
        :raises Dismissed: the batch was stopped; the response is closed then.
        """
        with self._lock:
            self._wires.discard(wire)
        if self.stopping.is_set():
            if response is not None:
                response.close()
            raise Dismissed

    def check(self) -> None:
        """Raise :class:`Dismissed` when the batch was stopped."""
        if self.stopping.is_set():
            raise Dismissed

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the batch is stopped."""
        self.stopping.wait(seconds)
        self.check()

    def dismiss(self) -> None:
        """Stop everybody."""
        self.stopping.set()
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            wire.end()


class Dismissed(BaseException):
    """A call of a batch that was interrupted. Not an ``Exception``: it is a cancellation."""


current_crew: contextvars.ContextVar[Optional[Crew]] = contextvars.ContextVar(
    "requests_connection_manager_crew", default=None
)

__all__ = ["WAIT_SECONDS", "Crew", "Dismissed", "current_crew"]
