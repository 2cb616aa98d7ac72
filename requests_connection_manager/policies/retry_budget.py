"""How many retries a scope can afford before it only makes an outage worse.

Holds the retry budget: a token bucket after the standard retry mode of botocore
(``botocore.retries.standard.RetryQuotaChecker``). Must not know HTTP, delays or retry counts.
"""

from __future__ import annotations

import threading
from typing import Any, Tuple

from requests_connection_manager.policies._checks import check_count


class RetryBudget:
    """Tokens that retries take out and successes put back.

    While most calls succeed the budget is always full enough. When most fail, it runs dry after
    some dozens of retries, and further failures are raised at once instead of being multiplied.

    Parameters: ``capacity`` (default 500), the tokens of a full budget, which it starts as;
    ``transient_cost`` (14), what a retry after a connection error, a timeout or a 5xx costs;
    ``throttling_cost`` (5), what one after a 429 costs; ``refund`` (1), what a call that succeeds
    without a retry puts back. Raises ``TypeError`` or ``ValueError``. Thread-safe.

    >>> budget = RetryBudget(capacity=20)
    >>> budget.take(throttled=False)
    14
    >>> budget.take(throttled=False)
    0
    >>> budget.success(14)
    >>> budget.available
    20
    """

    def __init__(
        self,
        capacity: int = 500,
        transient_cost: int = 14,
        throttling_cost: int = 5,
        refund: int = 1,
    ) -> None:
        self._capacity = check_count(capacity, "capacity")
        # A cost of 0 would look like a refusal.
        self._transient_cost = check_count(transient_cost, "transient_cost")
        self._throttling_cost = check_count(throttling_cost, "throttling_cost")
        self._refund = check_count(refund, "refund", least=0)
        self._available = capacity
        self.renew_lock()

    def _numbers(self) -> Tuple[int, int, int, int]:
        return self._capacity, self._transient_cost, self._throttling_cost, self._refund

    def __repr__(self) -> str:
        numbers = "capacity={}, transient_cost={}, throttling_cost={}, refund={}"
        return f"{type(self).__name__}({numbers.format(*self._numbers())})"

    def __reduce__(self) -> Tuple[Any, ...]:
        """Pickle as configuration: the copy is full."""
        return type(self), self._numbers()

    @property
    def available(self) -> int:
        """The tokens that are left."""
        return self._available

    @property
    def is_full(self) -> bool:
        """Whether nothing is taken out at present."""
        return self._available >= self._capacity

    def fresh(self) -> RetryBudget:
        """Return a full budget with the same numbers, for another scope."""
        return type(self)(*self._numbers())

    def take(self, throttled: bool) -> int:
        """Pay for one retry.

        ``throttled`` says whether it follows a refusal for sending too much (429). Returns the
        cost, to be handed to ``success`` if the retry succeeds; 0: there is too little left, and
        nothing was taken.
        """
        cost = self._throttling_cost if throttled else self._transient_cost
        with self._lock:
            if cost > self._available:
                return 0
            self._available -= cost
            return cost

    def success(self, last_cost: int) -> None:
        """Put back what a success is worth.

        ``last_cost`` is what the call's last retry cost, 0 when it needed none. Never fills beyond
        the capacity.
        """
        gain = last_cost or self._refund
        # Nearly every call ends here, with a full budget: that costs no lock.
        if self._available < self._capacity:
            with self._lock:
                self._available = min(self._available + gain, self._capacity)

    def renew_lock(self) -> None:
        """Replace the lock: call this in a forked child, where its holder may not exist."""
        # Re-entrant, for a signal handler may send a request while its thread is in here.
        self._lock = threading.RLock()
