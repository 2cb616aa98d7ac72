"""How many attempts may be sent in how much time, and who is next.

Holds the ``RateLimiter`` protocol, the fixed window (the default), the token bucket, and the one
that only keeps the server's pauses. All answer at once and never sleep: whoever has to wait is told
for how long, and asks again. Must not know HTTP, threads that wait, or event loops.

Laws:

1. No window (bucket) ever gives out more tokens than it has, however many threads ask.
2. Who came first is served first: nobody overtakes a queued ticket, whoever happens to poll.
3. A refused or cancelled reservation costs nothing; a token goes back only into its own window.
4. A token that its owner has not come for when its window ends belongs to that window. The owner
   keeps its place instead, at the front of the queue.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any, Callable, Optional, Protocol, Tuple, runtime_checkable

from requests_connection_manager.policies._checks import check_count, check_number
from requests_connection_manager.policies.ticket_queue import (
    LOOK_AGAIN,
    TICK,
    QueueingLimiter,
    Reservation,
    Ticket,
)

__all__ = [
    "FixedWindowRateLimiter",
    "PauseOnlyRateLimiter",
    "RateLimiter",
    "Reservation",
    "Ticket",
    "TokenBucketRateLimiter",
]


@runtime_checkable
class RateLimiter(Protocol):
    """What may be given as ``rate_limiter``. Implementations must be thread-safe and never block.

    >>> isinstance(TokenBucketRateLimiter(rate=10, capacity=20), RateLimiter)
    True
    """

    def reserve(self, max_wait: float) -> Reservation:
        """Ask for a token that can be had within ``max_wait`` seconds.

        0.0 (or less): now or not at all; ``math.inf``: however long it takes. A reservation that
        would take longer is refused at once and takes nothing.
        """

    def pause(self, seconds: float) -> None:
        """Give nobody a token for ``seconds`` from now. A pause is only ever extended."""

    def fill(self) -> float:
        """Return the share of the tokens that is used, from 0.0 to 1.0."""


class FixedWindowRateLimiter(QueueingLimiter):
    """At most ``requests`` tokens in each window of ``period`` seconds: the default limiter.

    A window starts with its first token. The window is the ``ratelimit`` package's; since that
    counts refusals too, it is asked only when a token is free.

    Parameters: ``requests``, an int from 1; ``period``, seconds above 0; ``clock``, a callable that
    returns monotonic seconds (default ``time.monotonic``). Raises ``TypeError`` or ``ValueError``.
    Safe to use from several threads and tasks.

    >>> limiter = FixedWindowRateLimiter(requests=1, period=60, clock=lambda: 0.0)
    >>> limiter.reserve(max_wait=0.0).wait
    0.0
    >>> limiter.reserve(max_wait=0.0)
    Reservation(ticket=None, wait=60.0)
    """

    def __init__(
        self, requests: int, period: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # The package ships no types.
        from ratelimit import RateLimitDecorator  # type: ignore[import-untyped]  # has no types

        self._requests = check_count(requests, "requests")
        self._period = check_number(period, "period")
        # The window reads the clock that we have read, so that both see the same moment. It must
        # not hold us: what is forgotten by the thousand is to go without the garbage collector.
        self._now = now = [-math.inf]
        self._window: Any = RateLimitDecorator(
            self._requests, self._period, clock=lambda: now[0], raise_on_limit=False
        )
        self._count: Callable[[], object] = self._window(_nothing)
        super().__init__(clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(requests={self._requests!r}, period={self._period!r})"

    def __reduce__(self) -> Tuple[Any, ...]:
        """Pickle as configuration: the copy starts with an empty window and an empty queue."""
        return type(self), (self._requests, self._period, self._clock)

    def renew_lock(self) -> None:
        """Replace the locks: call this in a forked child, where their holder may not exist."""
        super().renew_lock()
        self._window.lock = threading.RLock()

    def fill(self) -> float:
        """Return the share of the current window's tokens that is used, from 0.0 to 1.0."""
        with self._lock:
            if self._remaining(self._clock()) <= 0.0:
                return 0.0
            return float(self._window.num_calls / self._requests)

    def _remaining(self, now: float) -> float:
        """Return how long the window lasts; 0.0 or less: it is over, or there was none yet."""
        left: float = self._period - (now - self._window.last_reset)
        return left if left > TICK else 0.0

    def _take(self, now: float) -> Optional[float]:
        window = self._window
        if self._period - (now - window.last_reset) <= TICK:
            window.last_reset = -math.inf  # over, also if the last bits say otherwise
        elif window.num_calls >= self._requests:
            return None
        self._now[0] = now
        self._count()
        era: float = window.last_reset
        return era

    def _give_back(self, era: float) -> None:
        if era == self._window.last_reset:
            self._window.num_calls -= 1

    def _withdraw(self, now: float) -> None:
        if not self._granted or self._remaining(now) > 0.0:
            return
        for place, reference in reversed(self._granted.items()):
            ticket = reference()
            if ticket is not None:
                ticket.era = None
                self._queue[place] = reference
                self._queue.move_to_end(place, last=False)
        self._granted.clear()

    def _eta(self, now: float) -> float:
        paused = max(self._paused_until - now + TICK, 0.0)
        remaining = self._remaining(now)
        ahead = len(self._queue)
        if paused >= remaining:
            # All that is granted and not fetched will be back in the queue by then.
            return paused + (ahead + len(self._granted)) // self._requests * self._period
        beyond = ahead - (self._requests - self._window.num_calls)
        if beyond < 0:
            return paused
        return remaining + float(beyond // self._requests * self._period)

    def _next_look(self, now: float, due: float) -> float:
        remaining = self._remaining(now)
        if self._period >= LOOK_AGAIN:
            return remaining
        return max(remaining, min(due - now, LOOK_AGAIN))


class TokenBucketRateLimiter(QueueingLimiter):
    """``rate`` tokens per second, of which up to ``capacity`` can be saved for a burst.

    Parameters: ``rate``, above 0; ``capacity``, from 1 (the bucket starts full); ``clock``, a
    callable that returns monotonic seconds (default ``time.monotonic``). Raises ``TypeError`` or
    ``ValueError``. Safe to use from several threads and tasks. The bucket goes on filling while it
    is paused.

    >>> limiter = TokenBucketRateLimiter(rate=2, capacity=1, clock=lambda: 0.0)
    >>> limiter.reserve(max_wait=0.0).wait
    0.0
    >>> limiter.reserve(max_wait=0.0)
    Reservation(ticket=None, wait=0.5)
    """

    def __init__(
        self, rate: float, capacity: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = check_number(rate, "rate")
        self._capacity = check_number(capacity, "capacity", least=1)
        super().__init__(clock)
        self._tokens = float(capacity)
        self._filled_at = clock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rate={self._rate!r}, capacity={self._capacity!r})"

    def __reduce__(self) -> Tuple[Any, ...]:
        """Pickle as configuration: the copy starts with a full bucket and an empty queue."""
        return type(self), (self._rate, self._capacity, self._clock)

    def fill(self) -> float:
        """Return the share of the capacity that is used, from 0.0 to 1.0."""
        with self._lock:
            self._refill(self._clock())
            return min(max(1.0 - self._tokens / self._capacity, 0.0), 1.0)

    def _refill(self, now: float) -> None:
        gained = (now - self._filled_at) * self._rate
        self._tokens = min(self._tokens + gained, self._capacity)
        self._filled_at = now

    def _take(self, now: float) -> Optional[float]:
        self._refill(now)
        if self._tokens < 1.0 - min(TICK * self._rate, 0.5):
            return None
        self._tokens -= 1.0
        return 0.0

    def _give_back(self, era: float) -> None:
        self._tokens = min(self._tokens + 1.0, self._capacity)

    def _withdraw(self, now: float) -> None:
        self._granted.clear()  # what has left the bucket does not expire

    def _eta(self, now: float) -> float:
        self._refill(now)
        paused = max(self._paused_until - now + TICK, 0.0)
        tokens = min(self._tokens + paused * self._rate, self._capacity)
        return paused + max(len(self._queue) + 1 - tokens, 0.0) / self._rate

    def _next_look(self, now: float, due: float) -> float:
        return max((1.0 - self._tokens) / self._rate, min(due - now, LOOK_AGAIN))


class PauseOnlyRateLimiter(QueueingLimiter):
    """No count of its own: everybody passes at once, except during a pause.

    For those whose limit is known to the server alone: its answers set the pauses. After one, the
    queue is let go gradually, for how much the server will take is not known: one ticket at once,
    then two, four, eight, a quarter of a second apart. Whoever comes while somebody still queues
    stands behind them.

    Parameter: ``clock``, a callable that returns monotonic seconds (default ``time.monotonic``).
    Raises ``TypeError``. Safe to use from several threads and tasks.

    >>> limiter = PauseOnlyRateLimiter(clock=lambda: 0.0)
    >>> limiter.reserve(max_wait=0.0).wait
    0.0
    >>> limiter.pause(30)
    >>> limiter.reserve(max_wait=0.0)
    Reservation(ticket=None, wait=30.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._released = 0  # how many left the queue since the latest pause

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> Tuple[Any, ...]:
        """Pickle as configuration: the copy is not paused, and its queue is empty."""
        return type(self), (self._clock,)

    def reserve(self, max_wait: float) -> Reservation:
        """Ask for a token that can be had within ``max_wait`` seconds (``RateLimiter.reserve``)."""
        # Without the lock, for this is the way of nearly every call; to be paused a moment later
        # changes nothing for it.
        if not self._queue and self._clock() >= self._paused_until:
            return self._hold(0.0)
        return super().reserve(max_wait)

    def pause(self, seconds: float) -> None:
        """Give nobody a token for ``seconds`` from now. A pause is only ever extended.

        Zero and less change nothing.
        """
        if seconds <= 0:
            return
        with self._lock:
            before = self._paused_until
            super().pause(seconds)
            if self._paused_until > before:
                self._released = 0

    def fill(self) -> float:
        """Return 0.0: without a count, no share of it is used."""
        return 0.0

    def _take(self, now: float) -> Optional[float]:
        if self._queue:
            if now + TICK < self._release(self._released):
                return None
            self._released += 1
        return 0.0

    def _release(self, number: int) -> float:
        """Return the moment at which the queue's ticket of that number, from 0, is let go."""
        return self._paused_until + TICK + ((number + 1).bit_length() - 1) * _RELEASE_STEP

    def _give_back(self, era: float) -> None:
        """Do nothing: tokens are not counted."""

    def _withdraw(self, now: float) -> None:
        self._granted.clear()  # to have left the queue does not expire

    def _eta(self, now: float) -> float:
        return self._release(self._released + len(self._queue)) - now

    def _next_look(self, now: float, due: float) -> float:
        return max(self._release(self._released) - now, TICK)


_RELEASE_STEP = 0.25  # seconds; by the next step a server has usually said whether it has enough


def _nothing() -> None:
    """Stand in for the function whose calls a window counts."""
