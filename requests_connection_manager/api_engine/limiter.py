"""Rate limiters of the engine.

Holds :class:`TokenBucketRateLimiter`, the documented face of the package's token bucket, the
buckets that limiters of the same key share, and :func:`limiter_for`, which understands what a
strategy may be given.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from .._forks import RenewedLock, renew_after_fork
from ..checks import check_clock
from ..core import SystemClock
from ..policies.rate_limit import RateLimiter
from ..policies.rate_limit import TokenBucketRateLimiter as TokenBucketPolicy
from ..policies.ticket_queue import QueueingLimiter
from ..settings import unknown_setting
from ..types import Clock
from .interfaces.base_rate_limiter import BaseRateLimiter

_MAX_IDLE = 1024
_FIELDS = ("key", "max_requests", "period")


class TokenBucketRateLimiter(BaseRateLimiter):
    """At most ``max_requests`` at once, refilled evenly over ``period``.

    :param key: all limiters of the process with this key share one bucket.
    :param max_requests: from 1: what the bucket holds.
    :param period: seconds in which an empty bucket fills.
    :param clock: where time comes from; for tests.
    :raises TypeError: for a value of the wrong type.
    :raises ValueError: for a value out of range, or numbers that differ from those of another
        limiter in use with the same key.

    Waiting is first come, first served; cancelled waiters give their place away. Safe to use from
    several threads, tasks and event loops.

    >>> limiter = TokenBucketRateLimiter(key="example", max_requests=100, period=60)
    >>> limiter.fill()
    0.0
    """

    def __init__(
        self, key: str, max_requests: int, period: float, *, clock: Optional[Clock] = None
    ) -> None:
        if not isinstance(key, str) or not key:
            raise TypeError(f"key must be a non-empty str, not {key!r}")
        if isinstance(max_requests, bool) or not isinstance(max_requests, int):
            raise TypeError(f"max_requests must be an int of at least 1, not {max_requests!r}")
        if max_requests < 1:
            raise ValueError(f"max_requests must be an int of at least 1, not {max_requests!r}")
        if isinstance(period, bool) or not isinstance(period, (int, float)):
            raise TypeError(f"period must be a number of seconds above 0, not {period!r}")
        if not 0 < period < math.inf:
            raise ValueError(f"period must be a number of seconds above 0, not {period!r}")
        self.key, self.max_requests, self.period = key, max_requests, period
        check_clock(clock)
        self._clock: Clock = SystemClock() if clock is None else clock
        self.bucket: TokenBucketPolicy = _shared_bucket(self, self._clock)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(key={self.key!r}, max_requests={self.max_requests!r}, "
            f"period={self.period!r})"
        )

    async def acquire(self) -> None:
        """Wait for a token and take it."""
        ticket, wait = self.bucket.reserve(math.inf)
        assert ticket is not None  # nothing is too long for an endless patience
        try:
            while wait > 0:
                await self._clock.asleep(wait)
                wait = ticket.poll()
        except BaseException:
            ticket.cancel()
            raise

    def fill(self) -> float:
        """Return the share of the bucket that is used, from 0.0 to 1.0."""
        return self.bucket.fill()


class _Shared:
    """A bucket, its numbers, its clock, and who uses it."""

    def __init__(self, numbers: Tuple[int, float], clock: Clock) -> None:
        self.numbers = numbers
        # Kept, so that its id, by which the bucket is found, can't be another's.
        self.clock = clock
        self.bucket = TokenBucketPolicy(numbers[0] / numbers[1], numbers[0], clock.monotonic)
        renew_after_fork(self.bucket)
        self.users: weakref.WeakSet[TokenBucketRateLimiter] = weakref.WeakSet()


# Kept although nobody holds the limiter any more: a program that builds its strategy anew for each
# call must not get a full bucket each time.
_buckets: Dict[Tuple[str, Optional[int]], _Shared] = {}
_lock = RenewedLock()


def _shared_bucket(limiter: TokenBucketRateLimiter, clock: Clock) -> TokenBucketPolicy:
    numbers = (limiter.max_requests, float(limiter.period))
    # A clock of its own makes a world of its own; the system's are all the same.
    place = limiter.key, None if type(clock) is SystemClock else id(clock)
    with _lock:
        shared = _buckets.get(place)
        if shared is not None and shared.numbers != numbers and not shared.users:
            shared = None
        if shared is None:
            _drop_idle()
            shared = _buckets[place] = _Shared(numbers, clock)
        if shared.numbers != numbers:
            raise ValueError(
                f"the rate limit {limiter.key!r} is in use with max_requests={shared.numbers[0]} "
                f"and period={shared.numbers[1]:g}, so it can't be {numbers[0]} and "
                f"{numbers[1]:g} here; use the same numbers or another key"
            )
        shared.users.add(limiter)
        return shared.bucket


def _drop_idle() -> None:
    """Forget, once there are many, those that are full again and that nobody holds."""
    if len(_buckets) >= _MAX_IDLE:
        for place, shared in list(_buckets.items()):
            if not shared.users and shared.bucket.fill() == 0.0:
                del _buckets[place]


def limiter_for(
    limiter: Any, clock: Optional[Clock]
) -> Tuple[Optional[RateLimiter], Optional[BaseRateLimiter]]:
    """Return a limiter that the pipeline knows, or one that can only be waited for.

    :param limiter: ``{"key": …, "max_requests": …, "period": …}``, a ``BaseRateLimiter``, a
        ``RateLimiter``, or ``None``.
    :raises TypeError: for anything else.
    :raises ValueError: for a mapping with other keys.
    """
    if limiter is None:
        return None, None
    if isinstance(limiter, Mapping):
        limiter = TokenBucketRateLimiter(**_checked(limiter), clock=clock)
    if isinstance(limiter, TokenBucketRateLimiter) and _acquires_as_ours(limiter):
        # The pipeline's own view of the bucket, kept alive with its user.
        return _Held(limiter), None
    if isinstance(limiter, RateLimiter):
        if isinstance(limiter, QueueingLimiter):
            renew_after_fork(limiter)
        return limiter, None
    if callable(getattr(limiter, "acquire", None)):
        return None, limiter
    raise TypeError(
        "limiter must be a mapping with key, max_requests and period, an object with "
        f"'async def acquire(self)', or None, not a {type(limiter).__name__}"
    )


def _acquires_as_ours(limiter: TokenBucketRateLimiter) -> bool:
    return type(limiter).acquire is TokenBucketRateLimiter.acquire


class _Held:
    """The bucket of a limiter, as the pipeline asks it."""

    def __init__(self, limiter: TokenBucketRateLimiter) -> None:
        self._limiter = limiter
        self.reserve = limiter.bucket.reserve
        self.pause = limiter.bucket.pause
        self.fill = limiter.bucket.fill


def _checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    for name in given:
        if name not in _FIELDS:
            raise ValueError(unknown_setting(name, _FIELDS, "limiter"))
    missing = [name for name in _FIELDS if name not in given]
    if missing:
        raise ValueError(f"limiter lacks {' and '.join(missing)}; it has {sorted(given)}")
    return dict(given)


Limiter = Union[Mapping[str, Any], BaseRateLimiter, RateLimiter, None]
"""What a strategy takes as its ``limiter``."""

__all__ = ["Limiter", "TokenBucketRateLimiter", "limiter_for"]
