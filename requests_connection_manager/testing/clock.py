"""A clock whose waits take no time.

Holds ``VirtualClock``, which satisfies the ``Clock`` protocol. Must not know what it is used to
test, nor read the real time.
"""

from __future__ import annotations

import math
import threading
from typing import List, Tuple

__all__ = ["VirtualClock"]


def _checked(seconds: float) -> float:
    # Infinity is refused as well: a clock that stands at infinity cannot measure anything.
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds must be a finite number >= 0, not {seconds!r}")
    return float(seconds)


class VirtualClock:
    """Time that passes only when somebody waits for it, or when ``advance`` is called.

    ``sleep`` and ``asleep`` return at once and move the clock on by what was asked for, so a
    test of minutes of backoff runs in microseconds and can tell exactly what was waited for.
    Every wait moves the one clock: two threads that wait 5 s each move it by 10 s.

    Args:
        start: what ``monotonic`` says at first, in seconds (default 0).
        epoch: what ``time`` says at first, in seconds since 1970 (default 1,700,000,000, which
            is 2023-11-14 22:13:20 UTC).

    Raises:
        ValueError: a start value is not finite.

    Safe to use from any number of threads and tasks.

    >>> clock = VirtualClock()
    >>> clock.sleep(1.5)
    >>> clock.advance(60)
    >>> clock.monotonic(), clock.time(), clock.sleeps
    (61.5, 1700000061.5, (1.5,))
    """

    def __init__(self, start: float = 0.0, epoch: float = 1_700_000_000.0) -> None:
        for name, value in (("start", start), ("epoch", epoch)):
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value!r}")
        self._start = float(start)
        self._epoch = float(epoch)
        # Both readings come from one sum, so that they can never drift apart.
        self._passed = 0.0
        self._sleeps: List[float] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Return the seconds on the clock; they never go backwards.

        >>> VirtualClock(start=100).monotonic()
        100.0
        """
        return self._start + self._passed

    def time(self) -> float:
        """Return the seconds since the epoch, which move together with ``monotonic``.

        >>> VirtualClock(epoch=1_000_000_000).time()
        1000000000.0
        """
        return self._epoch + self._passed

    def sleep(self, seconds: float) -> None:
        """Move the clock on by ``seconds`` and return at once.

        Raises:
            ValueError: ``seconds`` is negative, infinite or not a number.

        >>> clock = VirtualClock()
        >>> clock.sleep(-1)
        Traceback (most recent call last):
            ...
        ValueError: seconds must be a finite number >= 0, not -1
        """
        self._pass(_checked(seconds), waited=True)

    async def asleep(self, seconds: float) -> None:
        """Move the clock on by ``seconds``, giving other tasks one turn (asyncio or trio).

        It is a real checkpoint: a cancelled task, or one whose cancel scope has ended, is
        cancelled here, and a cancelled wait neither moves the clock nor shows in ``sleeps``.

        Raises:
            ValueError: ``seconds`` is negative, infinite or not a number.

        >>> import asyncio
        >>> clock = VirtualClock()
        >>> asyncio.run(clock.asleep(30))
        >>> clock.monotonic()
        30.0
        """
        seconds = _checked(seconds)
        # Loaded here because sync users of this module have no need of an event loop.
        import anyio.lowlevel

        await anyio.lowlevel.checkpoint()
        self._pass(seconds, waited=True)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass without anybody having waited for them.

        Raises:
            ValueError: ``seconds`` is negative, infinite or not a number.

        >>> clock = VirtualClock()
        >>> clock.advance(61)
        >>> clock.monotonic(), clock.sleeps
        (61.0, ())
        """
        self._pass(_checked(seconds), waited=False)

    @property
    def sleeps(self) -> Tuple[float, ...]:
        """The finished waits so far in seconds, oldest first (a copy).

        >>> clock = VirtualClock()
        >>> clock.sleep(1); clock.sleep(2)
        >>> clock.sleeps
        (1.0, 2.0)
        """
        with self._lock:
            return tuple(self._sleeps)

    def _pass(self, seconds: float, *, waited: bool) -> None:
        with self._lock:
            self._passed += seconds
            if waited:
                self._sleeps.append(seconds)

    def __repr__(self) -> str:
        return f"VirtualClock(monotonic={self.monotonic()}, time={self.time()})"
