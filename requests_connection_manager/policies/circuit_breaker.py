"""Whether a scope is well enough to be asked, and what is learnt from each answer.

``pybreaker`` holds the state, the failure counter, the listeners and the storage. Admission is
ours: permits, probes and the recovery time on the injected clock. Must not know HTTP; never sends,
sleeps, or runs an attempt inside ``pybreaker``, whose lock is held for as long as a call lasts.

Laws:

1. An *era* is the time between two changes of state. A permit belongs to the era in which it was
   given; its result is booked in that era or not at all.
2. While half-open, at most ``half_open_max_calls`` permits are out at any time.
3. No lock of ours is held while ``pybreaker``'s is waited for, or while code that is not ours (its
   listeners, its storage) runs. Hence a caller may use the same ``pybreaker.CircuitBreaker``
   directly, even around a request that goes through us.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from datetime import datetime, timedelta, timezone
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Optional,
    Protocol,
    Tuple,
    Union,
    cast,
)

from requests_connection_manager.policies._checks import check_callable, check_count, check_number

if TYPE_CHECKING:
    import pybreaker

_logger = logging.getLogger("requests_connection_manager")

CLOSED = "closed"
OPEN = "open"
HALF_OPEN = "half-open"

_TICK = 1e-6  # what is left by rounding when a caller has waited for exactly ``retry_after``
_CHANGES_KEPT = 64  # if nobody asks for them
_TRIES = 8  # to find the state unchanged between two looks


class Admission(Protocol):
    """Leave for one attempt, as the pipeline sees it; see :class:`Permit`."""

    def success(self) -> None:
        """Book that the attempt found its peer well."""

    def failure(self, exc: BaseException) -> None:
        """Book a failure."""

    def release(self) -> None:
        """Give the permit back unused."""


class Breaker(Protocol):
    """A circuit breaker, as the pipeline sees it; see :class:`CircuitBreaker`."""

    @property
    def shared(self) -> bool:
        """Whether its methods do I/O."""

    def check(self) -> Optional[float]:
        """Return None when an attempt may pass, else the seconds after which to try again."""

    def acquire(self) -> Union[Admission, float]:
        """Take a permit for one attempt, or return the seconds after which to try again."""

    def take_changes(self) -> Tuple[Tuple[str, str], ...]:
        """Return the changes of state since this was last asked."""


class _Era:
    """The time between two changes of state, in which ``opened_at`` (our clock) is constant.

    ``stamp`` is when a shared storage says that it was opened.
    """

    __slots__ = ("opened_at", "probes", "stamp", "state")

    def __init__(self, state: str, opened_at: float, stamp: Optional[datetime]) -> None:
        self.state = state
        self.opened_at = opened_at
        self.stamp = stamp
        # Known weakly: a probe that vanished without a result must not keep the circuit half-open.
        # There are probes in a half-open circuit only: of ten thousand breakers nearly all are
        # closed, and the set alone is 600 bytes.
        self.probes: Any = weakref.WeakSet() if state == HALF_OPEN else ()


class Permit:
    """Leave for one attempt; exactly one of its methods should be called when that is over.

    The first call counts, later ones do nothing, and so does a result that comes when the circuit
    has changed its state since the permit was given. Thread-safe. Exceptions raised by
    ``pybreaker`` listeners or by a shared storage are logged at ERROR: the attempt is over, and
    its result belongs to the caller.
    """

    __slots__ = ("__weakref__", "_breaker", "_era")

    def __init__(self, breaker: CircuitBreaker, era: _Era) -> None:
        self._breaker = breaker
        self._era: Optional[_Era] = era

    def success(self) -> None:
        """Book that the attempt found its peer well (a 4xx is such an answer too)."""
        self._breaker._book(self, None)

    def failure(self, exc: BaseException) -> None:
        """Book ``exc`` as a failure, unless the ``pybreaker`` breaker excludes its type.

        ``exc`` is not raised to the caller and keeps its traceback.
        """
        self._breaker._book(self, exc)

    def release(self) -> None:
        """Give the permit back unused: neither a success nor a failure."""
        self._breaker._release(self)


class CircuitBreaker:
    """Opens after ``failure_threshold`` failures in a row, and lets probes through after a while.

    Parameters: ``failure_threshold``, an int from 1; ``recovery_timeout``, the seconds (0 or more)
    that the circuit stays open; ``clock``, a callable that returns monotonic seconds (default
    ``time.monotonic``); ``half_open_max_calls``, how many probes may be under way at once (default
    1); ``breaker``, a ``pybreaker.CircuitBreaker`` to use instead of a new one, whose own
    ``fail_max``, ``reset_timeout``, ``success_threshold``, exclusions, listeners and storage then
    count; ``name``, what a new one is called. Raises ``TypeError`` or ``ValueError``.

    Safe to use from several threads and tasks. When ``shared`` is true, all methods do I/O.

    >>> breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=60, clock=lambda: 0.0)
    >>> permit = breaker.acquire()
    >>> permit.failure(OSError("connection refused"))
    >>> breaker.state, breaker.acquire()
    ('open', 60.0)
    """

    def __init__(
        self,
        failure_threshold: int,
        recovery_timeout: float,
        clock: Callable[[], float] = time.monotonic,
        half_open_max_calls: int = 1,
        breaker: Optional[pybreaker.CircuitBreaker] = None,
        name: str = "",
    ) -> None:
        _check(failure_threshold, recovery_timeout, half_open_max_calls)
        self._clock = check_callable(clock, "clock")
        self._half_open_max_calls = half_open_max_calls
        # The storage of a new breaker is known to no one else, so nobody can change it unseen.
        self._own = breaker is None
        self._numbers = failure_threshold, recovery_timeout
        self._name = name
        # A new one is built for its first failure. Until then it has nothing to say, and importing
        # pybreaker imports redis and tornado where they are installed: 80 ms of a first request.
        self._made: Optional[pybreaker.CircuitBreaker] = None
        self._shared = False
        # Made for the first change: an empty one takes as much as the rest of a breaker.
        self._changes: Optional[Deque[Tuple[str, str]]] = None
        # Re-entrant, for a signal handler may send a request while its thread is in here.
        self._lock = threading.RLock()
        if breaker is None:
            self._era = self._begin(CLOSED)
        else:
            self._attach(breaker)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} {self._era.state}>"

    # What callers ask.

    @property
    def state(self) -> str:
        """``"closed"``, ``"open"`` or ``"half-open"``.

        An open circuit becomes half-open with the first probe, not by the passing of time.
        """
        return self._look().state

    @property
    def last_state(self) -> str:
        """The state as this process last saw it: without the I/O that a shared storage needs."""
        return self._era.state

    @property
    def failure_count(self) -> int:
        """The failures in a row that are counted at present."""
        return 0 if self._made is None else self._made.fail_counter

    @property
    def shared(self) -> bool:
        """Whether the state is kept outside of this process, so that asking for it does I/O."""
        return self._shared

    def retry_after(self) -> float:
        """Return the seconds until a probe may pass; 0.0 unless the circuit is open."""
        return self._remaining(self._look())

    def check(self) -> Optional[float]:
        """Return None when an attempt may pass, else the seconds after which to try again.

        0.0 stands for a half-open circuit whose probes are all under way. Takes no permit.
        """
        era = self._look()
        if era.state == CLOSED:
            return None
        if era.state == OPEN:
            return self._remaining(era) or None
        return None if len(era.probes) < self._half_open_max_calls else 0.0

    def acquire(self) -> Union[Permit, float]:
        """Take a permit for one attempt, or return the ``retry_after`` seconds (see ``check``)."""
        era = self._era if self._own else self._look()
        if era.state == CLOSED:
            return Permit(self, era)
        return self._acquire_probe(era)

    def take_changes(self) -> Tuple[Tuple[str, str], ...]:
        """Return the ``(old, new)`` changes of state since this was last asked, oldest first."""
        changes = self._changes
        if not changes:
            return ()
        with self._lock:
            return tuple(changes.popleft() for _ in range(len(changes)))

    def reconfigure(
        self, failure_threshold: int, recovery_timeout: float, half_open_max_calls: int
    ) -> None:
        """Use other numbers from now on, keeping the state and the count of failures.

        They are also set on a ``pybreaker`` breaker that was handed in. Raises ``TypeError`` or
        ``ValueError``.
        """
        _check(failure_threshold, recovery_timeout, half_open_max_calls)
        self._half_open_max_calls = half_open_max_calls
        with self._lock:
            self._numbers = failure_threshold, recovery_timeout
            made = self._made
        if made is not None:
            made.fail_max, made.reset_timeout = failure_threshold, recovery_timeout

    def close(self) -> None:
        """Close the circuit and forget the failures; attempts under way are not booked."""
        self._breaker.close()

    def renew_lock(self) -> None:
        """Replace the locks: call this in a forked child, where their holder may not exist."""
        self._lock = threading.RLock()
        if self._made is not None:
            self._made._lock = threading.RLock()

    # Seeing what pybreaker does.

    @property
    def _breaker(self) -> pybreaker.CircuitBreaker:
        if self._made is None:
            import pybreaker

            with self._lock:
                if self._made is None:
                    made = pybreaker.CircuitBreaker(*self._numbers, name=self._name)
                    made.add_listener(cast("Any", _Listener(self)))
                    self._made = made
        return self._made

    def _attach(self, breaker: pybreaker.CircuitBreaker) -> None:
        """Use a breaker of the caller's, which others may use as well."""
        import pybreaker

        if not isinstance(breaker, pybreaker.CircuitBreaker):
            raise TypeError(f"breaker must be a pybreaker.CircuitBreaker, got {breaker!r}")
        self._made, self._name = breaker, breaker.name or ""
        # pybreaker offers no public way to its storage, nor to its lock.
        self._storage = breaker._state_storage
        self._shared = not isinstance(self._storage, pybreaker.CircuitMemoryStorage)
        with breaker._lock:
            for listener in breaker.listeners:
                if isinstance(listener, _Listener) and listener.target() is None:
                    breaker.remove_listener(listener)
            self._era = self._begin(breaker.state.name)
            breaker.add_listener(cast("Any", _Listener(self)))

    def _begin(self, state: str) -> _Era:
        """Return a new era that starts now; a shared storage may know that it started before."""
        now = self._clock()
        stamp = self._storage.opened_at if self._shared and state == OPEN else None
        return _Era(state, now - _age(stamp), stamp)

    def _note(self, old: str, new: str) -> None:
        """Follow a change of state; pybreaker calls this with its lock held, so takes none."""
        self._era = self._begin(new)
        if old != new:
            if self._changes is None:
                self._changes = deque(maxlen=_CHANGES_KEPT)
            self._changes.append((old, new))

    def _look(self) -> _Era:
        """Return the present era, having noticed what others did to the storage."""
        era = self._era
        if self._own or self._is_current(era):
            return era
        with self._breaker._lock:
            # Asking for the state makes pybreaker notice, and tell its listeners: us among them.
            if self._breaker.state.name == OPEN and self._era is era:
                self._era = self._begin(OPEN)  # still open, but opened anew elsewhere
            return self._era

    def _is_current(self, era: _Era) -> bool:
        if self._breaker.current_state != era.state:
            return False
        if era.state != OPEN or not self._shared:
            return True
        return self._storage.opened_at in (None, era.stamp)

    def _remaining(self, era: _Era) -> float:
        if era.state != OPEN:
            return 0.0
        left = era.opened_at + self._breaker.reset_timeout - self._clock()
        return left if left > _TICK else 0.0

    # Admission.

    def _acquire_probe(self, era: _Era) -> Union[Permit, float]:
        for _ in range(_TRIES):
            if era.state == CLOSED:
                return Permit(self, era)
            remaining = self._remaining(era)
            if remaining:
                return remaining
            answer = self._probe(self._half_open(era) if era.state == OPEN else era)
            if answer is not None:
                return answer
            era = self._look()
        return 0.0

    def _half_open(self, era: _Era) -> _Era:
        with self._breaker._lock:
            if self._look() is era:  # nobody was faster
                self._breaker.half_open()
            return self._era

    def _probe(self, era: _Era) -> Union[Permit, float, None]:
        """Return a permit, 0.0 when all probes are under way, or None when ``era`` is over."""
        with self._lock:
            # A booking ends the era before it frees its place: seen in the opposite order here,
            # a place that is free in an era that lasts is really free.
            full = len(era.probes) >= self._half_open_max_calls
            if era is not self._era or era.state != HALF_OPEN:
                return None
            if full:
                return 0.0
            permit = Permit(self, era)
            era.probes.add(permit)
            return permit

    # Results.

    def _finish(self, permit: Permit) -> Optional[_Era]:
        """Return the permit's era to whoever is first to ask, None to all others."""
        with self._lock:
            era, permit._era = permit._era, None
            return era

    def _release(self, permit: Permit) -> None:
        era = self._finish(permit)
        if era is not None and era.state == HALF_OPEN:
            with self._lock:
                era.probes.discard(permit)

    def _book(self, permit: Permit, exc: Optional[BaseException]) -> None:
        era = self._finish(permit)
        if era is None or (exc is None and self._made is None):
            return  # not the first to tell, or there is no failure that a success could end
        try:
            # With its lock held, nobody can end the era between our look and the booking.
            with self._breaker._lock:
                if self._look() is era:
                    self._call(exc)
        except Exception as error:
            # Without its text: it may quote the URL of a storage, or the request.
            _logger.error("%r could not book a result: %s", self, type(error).__name__)
        finally:
            if era.state == HALF_OPEN:
                with self._lock:
                    era.probes.discard(permit)

    def _call(self, exc: Optional[BaseException]) -> None:
        if exc is None:
            self._breaker.call(_succeed)
            return
        from pybreaker import CircuitBreakerError

        traceback, context = exc.__traceback__, exc.__context__
        try:
            self._breaker.call(_fail, exc)
        except CircuitBreakerError:
            pass  # pybreaker's way to say that it has just opened
        except BaseException as error:
            if error is not exc:
                raise
        finally:
            exc.__traceback__, exc.__context__ = traceback, context


class _Listener:
    """What ``pybreaker`` tells us; it must not keep alive what nobody else uses."""

    __slots__ = ("target",)

    def __init__(self, target: CircuitBreaker) -> None:
        self.target = weakref.ref(target)

    def before_call(self, cb: object, func: object, *args: object, **kwargs: object) -> None:
        pass

    def success(self, cb: object) -> None:
        pass

    def failure(self, cb: object, exc: BaseException) -> None:
        pass

    def state_change(self, cb: object, old_state: Any, new_state: Any) -> None:
        target = self.target()
        if target is not None:
            target._note(old_state.name if old_state else CLOSED, new_state.name)


def _succeed() -> None:
    pass


def _fail(exc: BaseException) -> None:
    raise exc


def _age(stamp: Optional[datetime]) -> float:
    """Return the seconds since ``stamp``; pybreaker before 1.3 keeps UTC without saying so."""
    if stamp is None:
        return 0.0
    aware = stamp if stamp.tzinfo else stamp.replace(tzinfo=timezone.utc)
    age = (datetime.now(timezone.utc) - aware) / timedelta(seconds=1)
    # Redis holds whole seconds: less is noise. So is a stamp from the future (another's clock).
    return age if age >= 1.0 else 0.0


def _check(failure_threshold: int, recovery_timeout: float, half_open_max_calls: int) -> None:
    check_count(failure_threshold, "failure_threshold")
    check_number(recovery_timeout, "recovery_timeout", least=0)
    check_count(half_open_max_calls, "half_open_max_calls")
