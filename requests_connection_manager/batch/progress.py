"""How far a batch has come, told to a function or shown as a bar.

Knows neither items nor results.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any, Callable, Optional, Union

from ..streaming.progress import open_bar

# A bar is looked at by people; moving it takes 20 µs.
_SECONDS_BETWEEN_MOVES = 0.1

BatchProgressCallback = Callable[[int, Optional[int]], object]
"""What is called with the number of items that are done, and of all or ``None``."""


class BatchProgress:
    """Counts what is done.

    :param progress: a function, ``True`` for a bar, ``None`` for nothing; checked before.
    :param total: how many there will be, if that is known.

    >>> seen = []
    >>> progress = BatchProgress(lambda done, total: seen.append((done, total)), 2)
    >>> progress.open(), progress.step(), progress.step(), progress.close()
    (None, None, None, None)
    >>> seen
    [(1, 2), (2, 2)]
    """

    def __init__(
        self, progress: Union[BatchProgressCallback, bool, None], total: Optional[int]
    ) -> None:
        self._asked: Any = progress
        self._total = total
        self._done = 0
        self._move: Optional[Callable[[int, Optional[int]], object]] = None
        self._next = 0.0
        self._stack = ExitStack()

    def open(self) -> None:
        """Show the bar."""
        if self._asked is True:
            bar = open_bar("requests", "MofNCompleteColumn")
            self._move = self._stack.enter_context(bar)
            self._move(0, self._total)

    def step(self) -> None:
        """One more is done; what the function raises is raised."""
        self._done += 1
        if self._move is not None:
            now = time.monotonic()
            if now >= self._next:
                self._next = now + _SECONDS_BETWEEN_MOVES
                self._move(self._done, self._total)
        elif self._asked is not None:
            self._asked(self._done, self._total)

    def close(self) -> None:
        """Show how far it came, and leave the bar."""
        if self._move is not None:
            self._move(self._done, self._total)
            self._move = None
        self._stack.close()


__all__ = ["BatchProgress", "BatchProgressCallback"]
