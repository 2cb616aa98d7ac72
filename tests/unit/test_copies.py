"""What a copy or a pickle of a manager takes with it."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pybreaker
import pytest

from requests_connection_manager import ConnectionManager
from requests_connection_manager.core import SystemClock
from requests_connection_manager.testing import VirtualClock


class PlainClock(SystemClock):
    """A clock that pickles."""


class LockedLimiter:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def reserve(self, max_wait: float) -> Any:
        return None, 1.0

    def pause(self, seconds: float) -> None: ...

    def fill(self) -> float:
        return 1.0


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_share_the_injected_clock(duplicate: Any) -> None:
    clock = VirtualClock()
    assert duplicate(ConnectionManager(clock=clock)).core.clock is clock


def test_a_pickle_has_the_clock_if_it_can_be_pickled() -> None:
    def again(clock: Any) -> Any:
        return pickle.loads(pickle.dumps(ConnectionManager(clock=clock))).core.clock

    assert type(again(PlainClock())) is PlainClock
    assert type(again(VirtualClock())) is SystemClock
    assert type(again(None)) is SystemClock


@pytest.mark.parametrize("level", ["manager", "endpoint"])
@pytest.mark.parametrize(
    ("name", "make"),
    [("circuit_breaker", pybreaker.CircuitBreaker), ("rate_limiter", LockedLimiter)],
)
def test_what_cannot_be_pickled_is_named(level: str, name: str, make: Any) -> None:
    given = {name: make()}
    if level == "manager":
        manager = ConnectionManager(**given)
    else:
        manager = ConnectionManager(endpoint_configs={"api.test": given})
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=f"{name}=.*{make.__name__}"):
            attempt(manager)
    twin = copy.copy(manager).core.configuration
    policy = twin.resolve("https://api.test/")
    assert getattr(policy.settings, name) is given[name]
