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
from .policies.circuit_breaker import CircuitBreaker, Permit
from .policies.rate_limit import RateLimiter, Ticket

R = TypeVar("R")
T = TypeVar("T")


class Refusal(Exception):
    """Breaker or limiter said no. Internal: the pipeline turns it into what the caller sees."""

    def __init__(self, reason: str, retry_after: float) -> None:
        self.reason = reason
        self.retry_after = retry_after


async def admit(hop: Hop[R], retrying: bool) -> Tuple[Optional[Permit], Optional[Ticket], float]:
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
    limiter = hop.limiter
    if limiter is not None:
        queue = retrying or hop.settings.rate_limit_mode == "wait"
        ticket, queued = await _take_token(hop, limiter, queue)
    if breaker is None:
        return None, ticket, queued
    try:
        permit = await ask(hop, breaker, breaker.acquire)
        if isinstance(permit, Permit):
            return permit, ticket, queued
    except BaseException:
        _give_back(ticket)
        raise
    _give_back(ticket)
    raise _breaker_refusal(hop, permit)


def _give_back(ticket: Optional[Ticket]) -> None:
    if ticket is not None:
        ticket.cancel()


async def ask(hop: Hop[R], breaker: CircuitBreaker, question: Callable[..., T], *args: Any) -> T:
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
    return Refusal("circuit_open", wait)


async def _take_token(hop: Hop[R], limiter: RateLimiter, queue: bool) -> Tuple[Ticket, float]:
    """Return a token and the seconds waited for it, or refuse without taking one."""
    deadline = hop.call.deadline
    limit = 0.0 if not queue else math.inf if deadline is None else deadline.remaining()
    ticket, wait = limiter.reserve(limit)
    if ticket is None:
        raise _limiter_refusal(hop, wait)
    if wait <= 0:
        return ticket, 0.0
    began = hop.clock.monotonic()
    try:
        while wait > 0:
            if deadline is not None and wait >= deadline.remaining():
                raise _limiter_refusal(hop, wait)
            await hop.sleep(wait)
            wait = ticket.poll()
    except BaseException:
        ticket.cancel()
        raise
    queued = hop.clock.monotonic() - began
    hop.events.emit(LimiterWaited(hop.scope.name, hop.method, hop.url, queued))
    return ticket, queued


def _limiter_refusal(hop: Hop[R], wait: float) -> Refusal:
    hop.events.emit(LimiterRefused(hop.scope.name, hop.method, hop.url, wait))
    return Refusal("rate_limit", wait)


def refused(hop: Hop[R], refusal: Refusal) -> ConnectionManagerError:
    """Return the error for a first attempt that was refused."""
    if refusal.reason == "circuit_open":
        return hop.error(
            CircuitBreakerOpen,
            f"{hop.method} {hop.url}: the circuit breaker of {hop.scope.name} is open; "
            f"retry after {refusal.retry_after:.3g} s",
            retry_after=refusal.retry_after,
        )
    return hop.error(
        RateLimitExceeded,
        f"{hop.method} {hop.url}: the rate limit of {hop.scope.name} is used up; a token is "
        f"free in {refusal.retry_after:.3g} s",
        retry_after=refusal.retry_after,
    )


def deadline_exceeded(hop: Hop[R]) -> ConnectionManagerError:
    """Return the error for a call whose time is up."""
    seconds = 0.0 if hop.call.deadline is None else hop.call.deadline.seconds
    return hop.error(
        DeadlineExceeded,
        f"{hop.method} {hop.url}: not finished within total_timeout={seconds:g} s",
    )
