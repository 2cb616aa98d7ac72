"""Whether an attempt may be sent now.

Holds the first half of an attempt: breaker, limiter, permit, in that order, and what the caller
is told when one of them refuses. Knows policies and events, and no HTTP library.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Optional, Tuple, TypeVar

from .events import BreakerRefused, BreakerStateChanged, LimiterRefused, LimiterWaited
from .exceptions import (
    CircuitBreakerOpen,
    ConnectionManagerError,
    DeadlineExceeded,
    RateLimitExceeded,
)
from .hop import Hop
from .policies.circuit_breaker import Admission, Breaker
from .policies.rate_limit import RateLimiter, Ticket

R = TypeVar("R")
T = TypeVar("T")


class Refusal(Exception):
    """Breaker or limiter said no. Internal: the pipeline turns it into what the caller sees."""

    def __init__(self, reason: str, why: str, retry_after: Optional[float]) -> None:
        self.reason = reason
        self.why = why
        self.retry_after = retry_after


async def admit(hop: Hop[R], retrying: bool) -> Tuple[Optional[Admission], Optional[Ticket], float]:
    """Pass breaker and limiter; a breaker that is open costs no token."""
    deadline = hop.call.deadline
    if deadline is not None and deadline.expired():
        raise deadline_exceeded(hop)
    breaker = hop.breaker
    if breaker is not None:
        wait = await ask(hop, breaker, breaker.check) if breaker.shared else breaker.check()
        if wait is not None:
            raise _breaker_refusal(hop, wait)
    ticket: Optional[Ticket] = None
    queued = 0.0
    if hop.queues_elsewhere:
        queued = await _queue_elsewhere(hop)
    limiter = hop.limiter
    if limiter is not None:
        queue = retrying or hop.settings.rate_limit_mode == "wait"
        ticket, waited = await _take_token(hop, limiter, queue)
        queued += waited
    if breaker is None:
        return None, ticket, queued
    try:
        permit = await ask(hop, breaker, breaker.acquire)
        if not isinstance(permit, (float, int)):
            return permit, ticket, queued
    except BaseException:
        _give_back(ticket)
        raise
    _give_back(ticket)
    raise _breaker_refusal(hop, permit)


def _give_back(ticket: Optional[Ticket]) -> None:
    if ticket is not None:
        ticket.cancel()


async def ask(hop: Hop[R], breaker: Breaker, question: Callable[..., T], *args: Any) -> T:
    """Ask the breaker; one whose state is shared between processes does I/O."""
    if breaker.shared:
        answer = await hop.blocking(question, *args)
    else:
        answer = question(*args)
    for old, new in breaker.take_changes():
        hop.events.emit(BreakerStateChanged(hop.scope.name, hop.method, hop.url, old, new))
    return answer


def _breaker_refusal(hop: Hop[R], wait: float) -> Refusal:
    hop.events.emit(BreakerRefused(hop.scope.name, hop.method, hop.url, wait))
    why = f"the circuit breaker of {hop.scope.name} is open"
    # 0: its probes are under way, or it can't tell.
    if wait:
        why += f"; retry after {wait:.3g} s"
    return Refusal("circuit_open", why, wait)


async def _take_token(hop: Hop[R], limiter: RateLimiter, queue: bool) -> Tuple[Ticket, float]:
    """Return a token and the seconds waited for it, or refuse without taking one."""
    deadline = hop.call.deadline
    limit = 0.0 if not queue else math.inf if deadline is None else deadline.remaining()
    ticket, wait = limiter.reserve(limit)
    if ticket is None:
        raise _used_up(hop, wait)
    if wait <= 0:
        return ticket, 0.0
    began = hop.clock.monotonic()
    try:
        while wait > 0:
            if deadline is not None and wait >= deadline.remaining():
                raise _used_up(hop, wait)
            await hop.sleep(wait)
            wait = ticket.poll()
    except BaseException:
        ticket.cancel()
        raise
    queued = hop.clock.monotonic() - began
    hop.events.emit(LimiterWaited(hop.scope.name, hop.method, hop.url, queued))
    return ticket, queued


async def _queue_elsewhere(hop: Hop[R]) -> float:
    """Wait in the user's own queue, within the deadline; return the seconds that it took."""
    began = hop.clock.monotonic()
    await hop.queue_elsewhere()
    queued = hop.clock.monotonic() - began
    deadline = hop.call.deadline
    if deadline is not None and deadline.expired():
        raise deadline_exceeded(hop)
    if queued > 0:
        hop.events.emit(LimiterWaited(hop.scope.name, hop.method, hop.url, queued))
    return queued


def _used_up(hop: Hop[R], wait: float) -> Refusal:
    why = f"the rate limit of {hop.scope.name} is used up; a token is free in {wait:.3g} s"
    return limiter_refusal(hop, why, wait)


def limiter_refusal(hop: Hop[R], why: str, wait: Optional[float] = None) -> Refusal:
    """Return the refusal of a limiter.

    :param wait: the seconds until a token is free; ``None``: the limiter does not tell.
    """
    hop.events.emit(LimiterRefused(hop.scope.name, hop.method, hop.url, wait or 0.0))
    return Refusal("rate_limit", why, wait)


def refused(hop: Hop[R], refusal: Refusal) -> ConnectionManagerError:
    """Return the error for a first attempt that was refused."""
    kind = CircuitBreakerOpen if refusal.reason == "circuit_open" else RateLimitExceeded
    text = f"{hop.method} {hop.url}: {refusal.why}"
    return hop.error(kind, text, retry_after=refusal.retry_after)


def deadline_exceeded(hop: Hop[R]) -> ConnectionManagerError:
    """Return the error for a call whose time is up, and note on the call that it is."""
    hop.call.late = True
    seconds = 0.0 if hop.call.deadline is None else hop.call.deadline.seconds
    return hop.error(
        DeadlineExceeded,
        f"{hop.method} {hop.url}: not finished within total_timeout={seconds:g} s",
    )
