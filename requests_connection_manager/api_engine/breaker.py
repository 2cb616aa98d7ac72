"""Circuit breakers of the engine.

Holds :class:`CircuitBreaker`, the documented face of the package's one breaker, and
:func:`breaker_for`, which lets a breaker of the user's own stand in the pipeline.
"""

from __future__ import annotations

import inspect
import logging
import weakref
from typing import Any, Callable, Optional, Tuple

from .._forks import renew_after_fork
from ..checks import check_clock
from ..exceptions import ConnectionManagerError
from ..policies.circuit_breaker import Admission, Breaker, Permit
from ..policies.circuit_breaker import CircuitBreaker as CircuitBreakerPolicy
from ..types import Clock
from .interfaces.base_circuit_breaker import BaseCircuitBreaker

_logger = logging.getLogger("requests_connection_manager")


class CircuitBreaker(BaseCircuitBreaker):
    """Opens after ``max_failures`` failures in a row and lets a probe through after a while.

    :param max_failures: from 1; default 5.
    :param cooldown_time: seconds that the circuit stays open; default 60.
    :param clock: where time comes from; for tests.
    :raises TypeError: for a value of the wrong type.
    :raises ValueError: for a value out of range.

    Give one to each API: what goes through strategies with the same breaker fails together.
    Thread-safe.

    >>> breaker = CircuitBreaker(max_failures=1, cooldown_time=60)
    >>> breaker.record_failure()
    >>> breaker.is_open(), breaker.state
    (True, 'open')
    >>> breaker.reset()
    >>> breaker.is_open()
    False
    """

    def __init__(
        self,
        max_failures: int = 5,
        cooldown_time: float = 60,
        *,
        clock: Optional[Clock] = None,
    ) -> None:
        check_clock(clock)
        given = {} if clock is None else {"clock": clock.monotonic}
        self.policy = _named(CircuitBreakerPolicy, max_failures, cooldown_time, **given)
        renew_after_fork(self.policy)
        self.max_failures = max_failures
        self.cooldown_time = cooldown_time

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} max_failures={self.max_failures!r} "
            f"cooldown_time={self.cooldown_time!r} {self.state}>"
        )

    @property
    def state(self) -> str:
        """``"closed"``, ``"open"`` or ``"half-open"``."""
        return self.policy.state

    @property
    def failure_count(self) -> int:
        """The failures in a row that are counted at present."""
        return self.policy.failure_count

    def is_open(self) -> bool:
        """Tell whether attempts are refused now; after ``cooldown_time`` a probe may pass."""
        return self.policy.check() is not None

    def record_failure(self) -> None:
        """Count a failure; the one after a cooldown opens the circuit again."""
        permit = self.policy.acquire()
        if isinstance(permit, Permit):
            permit.failure(ConnectionManagerError("recorded by hand"))

    def reset(self) -> None:
        """Close the circuit and forget the failures."""
        self.policy.close()


def _named(
    build: Callable[..., CircuitBreakerPolicy], max_failures: Any, cooldown_time: Any, **given: Any
) -> CircuitBreakerPolicy:
    """Build the policy; what is wrong is told in the names that the user knows."""
    try:
        return build(max_failures, cooldown_time, **given)
    except (TypeError, ValueError) as exc:
        text = str(exc).replace("failure_threshold", "max_failures")
        raise type(exc)(text.replace("recovery_timeout", "cooldown_time")) from None


def breaker_for(breaker: Any) -> Optional[Breaker]:
    """Return what the pipeline asks for a breaker that a user gave.

    :raises TypeError: when it has not the methods of ``BaseCircuitBreaker``.
    """
    if breaker is None:
        return None
    if isinstance(breaker, CircuitBreaker):
        return breaker.policy
    for name in ("is_open", "record_failure", "reset"):
        method = getattr(breaker, name, None)
        if not callable(method) or inspect.iscoroutinefunction(method):
            raise TypeError(
                f"breaker must have the plain methods is_open, record_failure and reset; "
                f"{type(breaker).__name__}.{name} is none"
            )
    return _plugged.setdefault(id(breaker), PluggedBreaker(breaker))


class PluggedBreaker:
    """A breaker of the user's own, as the pipeline asks it.

    An *era* ends with a failure that opens the circuit. Attempts that were under way then and
    succeed late must not close it again: their success is told only in the era in which they began.

    :ivar era: an object for each.
    """

    shared = False

    def __init__(self, breaker: BaseCircuitBreaker) -> None:
        self._breaker = breaker
        self.era = object()

    def check(self) -> Optional[float]:
        """Return 0.0 while it is open: for how long, it can't tell."""
        return 0.0 if self._breaker.is_open() else None

    def acquire(self) -> Admission:
        """Return a permit: it has just been asked."""
        return _PluggedPermit(self)

    def take_changes(self) -> Tuple[Tuple[str, str], ...]:
        """Return nothing: it tells nobody of its changes."""
        return ()

    def succeeded(self, era: object) -> None:
        """Learn of the success of an attempt that began in ``era``."""
        if era is self.era:
            self._tell(self._breaker.reset)

    def failed(self, era: object) -> None:
        """Learn of the failure of an attempt that began in ``era``."""
        self._tell(self._breaker.record_failure)
        # Those that began before the circuit opened can't open it once more: a probe may be out.
        if era is self.era and self._tell(self._breaker.is_open):
            self.era = object()

    def _tell(self, method: Callable[[], object]) -> object:
        try:
            return method()
        except Exception as exc:
            # The attempt is over, and its result belongs to the caller.
            _logger.error(
                "%s could not book a result: %s", type(self._breaker).__name__, type(exc).__name__
            )
            return None


# By identity: all strategies with the same breaker share its eras. An entry lives as long as one
# of them, and keeps the breaker alive, so that its id can't be another's.
_plugged: weakref.WeakValueDictionary[int, PluggedBreaker] = weakref.WeakValueDictionary()


class _PluggedPermit:
    __slots__ = ("_breaker", "_era")

    def __init__(self, breaker: PluggedBreaker) -> None:
        self._breaker = breaker
        self._era = breaker.era

    def success(self) -> None:
        self._breaker.succeeded(self._era)

    def failure(self, exc: BaseException) -> None:
        self._breaker.failed(self._era)

    def release(self) -> None:
        pass


__all__ = ["CircuitBreaker", "PluggedBreaker", "breaker_for"]
