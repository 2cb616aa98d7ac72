"""Who is next: the queue in front of a limiter, and the tickets of those who stand in it.

Holds what all our rate limiters share: places, pauses, cancellation and locking. Must not know
where tokens come from, which is for the subclasses in ``rate_limit`` to say; never sleeps.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from typing import Callable, NamedTuple, Optional, Protocol, runtime_checkable

from requests_connection_manager.policies._checks import check_callable

TICK = 1e-6
"""Seconds below which two moments are the same: what is left by rounding when a caller has waited
for exactly as long as it was told."""

LOOK_AGAIN = 1.0
"""A ticket far down the queue looks at least this often (seconds), for those in front may leave.
It need not look at each token: waking many waiters for each would cost more than the requests."""

_CANCELLED = "this ticket was cancelled"


@runtime_checkable
class Ticket(Protocol):
    """A place in a limiter's queue, or a token."""

    def poll(self) -> float:
        """Return 0.0 when the token is held, else the seconds after which to ask again.

        Raises ``RuntimeError`` when the ticket was cancelled.
        """

    def cancel(self) -> None:
        """Leave the queue, or give the unused token back. Doing it twice changes nothing."""


class Reservation(NamedTuple):
    """What ``RateLimiter.reserve`` answers.

    ``ticket`` is None when the reservation was refused; ``wait`` (seconds) then says when a token
    could be had. With a ticket, ``wait`` is 0.0 when the token is held now, else the time after
    which to ``poll`` it.
    """

    ticket: Optional[Ticket]
    wait: float


class _Token:
    """The ticket of those who need not wait. ``era`` names the token's window; None: given back."""

    __slots__ = ("era", "limiter")

    def __init__(self, limiter: QueueingLimiter, era: float) -> None:
        self.limiter = limiter
        self.era: Optional[float] = era

    def poll(self) -> float:
        if self.era is None:
            raise RuntimeError(_CANCELLED)
        return 0.0

    def cancel(self) -> None:
        self.limiter._return(self)


class _QueueTicket:
    """The ticket of those who wait.

    ``era`` names the window of its token, None without one; ``held``: the owner knows of it;
    ``due`` is the moment at which it was promised when the ticket joined the queue.
    """

    __slots__ = ("__weakref__", "cancelled", "due", "era", "held", "limiter", "place")

    def __init__(self, limiter: QueueingLimiter, place: int, due: float) -> None:
        self.limiter = limiter
        self.place = place
        self.due = due
        self.era: Optional[float] = None
        self.held = False
        self.cancelled = False

    def poll(self) -> float:
        return self.limiter._poll(self)

    def cancel(self) -> None:
        self.limiter._cancel(self)


class QueueingLimiter:
    """The queue, the pause and the locking; subclasses say where tokens come from."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = check_callable(clock, "clock")
        # Known weakly: a ticket whose owner is gone without a word must not hold up the queue.
        self._queue: OrderedDict[int, weakref.ReferenceType[_QueueTicket]] = OrderedDict()
        # The same for those that have a token which their owner has not come for.
        self._granted: OrderedDict[int, weakref.ReferenceType[_QueueTicket]] = OrderedDict()
        self._next_place = 0
        self._paused_until = -math.inf
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock: call this in a forked child, where its holder may not exist."""
        # Re-entrant, for a signal handler may send a request while its thread is in here.
        self._lock = threading.RLock()

    # What subclasses know.

    def _take(self, now: float) -> Optional[float]:
        """Take a free token and return its era, or return None."""
        raise NotImplementedError

    def _give_back(self, era: float) -> None:
        raise NotImplementedError

    def _eta(self, now: float) -> float:
        """Return the seconds until someone who joins the queue now gets a token."""
        raise NotImplementedError

    def _next_look(self, now: float, due: float) -> float:
        """Return the seconds until a queued ticket, promised for ``due``, should look again."""
        raise NotImplementedError

    def _withdraw(self, now: float) -> None:
        """Put those back into the queue whose token has expired in their absence."""
        raise NotImplementedError

    # The protocol.

    def reserve(self, max_wait: float) -> Reservation:
        """Ask for a token that can be had within ``max_wait`` seconds (``RateLimiter.reserve``)."""
        with self._lock:
            now = self._clock()
            if self._queue or self._granted:
                self._serve(now)
            if not self._queue and now >= self._paused_until:
                era = self._take(now)
                if era is not None:
                    return self._hold(era)
            eta = self._eta(now)
            if eta > max_wait:
                return Reservation(None, eta)
            return self._enqueue(now, now + eta)

    def pause(self, seconds: float) -> None:
        """Give nobody a token for ``seconds`` from now. A pause is only ever extended.

        Tokens that are already held stay held. Zero and less change nothing.
        """
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds - TICK)

    def paused_for(self) -> float:
        """Return the seconds until the pause is over, 0.0 when there is none."""
        with self._lock:
            left = self._paused_until + TICK - self._clock()
        return left if left > TICK else 0.0

    # What tickets call.

    def _poll(self, ticket: _QueueTicket) -> float:
        with self._lock:
            if ticket.cancelled:
                raise RuntimeError(_CANCELLED)
            if ticket.held:
                return 0.0
            now = self._clock()
            self._serve(now)
            if ticket.era is None or now < self._paused_until:
                return self._wait(now, ticket)
            self._granted.pop(ticket.place, None)
            ticket.held = True
            return 0.0

    def _hold(self, era: float) -> Reservation:
        return Reservation(_Token(self, era), 0.0)

    def _return(self, token: _Token) -> None:
        with self._lock:
            if token.era is not None:
                self._give_back(token.era)
                token.era = None

    def _cancel(self, ticket: _QueueTicket) -> None:
        with self._lock:
            if ticket.cancelled:
                return
            ticket.cancelled = True
            self._queue.pop(ticket.place, None)
            self._granted.pop(ticket.place, None)
            if ticket.era is not None:
                self._give_back(ticket.era)

    # What needs the lock to be held.

    def _enqueue(self, now: float, due: float) -> Reservation:
        place = self._next_place
        self._next_place = place + 1
        ticket = _QueueTicket(self, place, due)
        self._queue[place] = weakref.ref(ticket)
        return Reservation(ticket, self._wait(now, ticket))

    def _serve(self, now: float) -> None:
        """Hand free tokens to the queue, in its order."""
        self._withdraw(now)
        while self._queue and now >= self._paused_until:
            place, reference = next(iter(self._queue.items()))
            ticket = reference()
            if ticket is not None:
                ticket.era = self._take(now)
                if ticket.era is None:
                    return
                self._granted[place] = reference
            del self._queue[place]

    def _wait(self, now: float, ticket: _QueueTicket) -> float:
        if now < self._paused_until:
            return self._paused_until - now + TICK
        return self._next_look(now, ticket.due)
