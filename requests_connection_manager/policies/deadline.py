"""The time that a whole call has.

Pure arithmetic on an injected monotonic clock; how a blocked read is ended is the drivers' affair.
"""

from __future__ import annotations

import math
from typing import Callable, Optional


class Deadline:
    """The moment at which a call must be over. Immutable, safe to share.

    :param seconds: the total timeout.
    :param clock: monotonic seconds.
    :param began: when the time started to run, on that clock.

    >>> deadline = Deadline(5.0, lambda: 100.0, 100.0)
    >>> deadline.at, deadline.remaining(), deadline.expired()
    (105.0, 5.0, False)
    """

    __slots__ = ("at", "clock", "seconds")

    def __init__(self, seconds: float, clock: Callable[[], float], began: float) -> None:
        self.seconds = seconds
        self.clock = clock
        self.at = began + seconds

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self.at - self.clock())

    def expired(self) -> bool:
        """Tell whether the time is up."""
        return self.clock() >= self.at


def tighter(timeout: Optional[float], deadline: Optional[Deadline]) -> Optional[float]:
    """Return the smaller of a timeout (``None``: unbounded) and what the deadline leaves.

    >>> tighter(None, None) is None
    True
    """
    if deadline is None:
        return timeout
    return min(math.inf if timeout is None else timeout, deadline.remaining())
