from __future__ import annotations

import copy
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_connection_manager.policies.retry_budget import RetryBudget


def test_starts_full():
    assert RetryBudget().available == 500


def test_costs_and_refusal():
    budget = RetryBudget(capacity=20)
    assert budget.take(throttled=False) == 14
    assert budget.take(throttled=False) == 0
    assert budget.available == 6
    assert budget.take(throttled=True) == 5
    assert budget.available == 1


def test_runs_dry_after_35_transient_failures():
    budget = RetryBudget()
    costs = [budget.take(throttled=False) for _ in range(40)]
    assert costs.count(14) == 35
    assert costs[35:] == [0] * 5


def test_success_after_a_retry_gives_its_last_cost_back():
    budget = RetryBudget()
    budget.take(throttled=True)
    last = budget.take(throttled=False)
    budget.success(last)
    assert budget.available == 495


def test_clean_success_adds_the_refund():
    budget = RetryBudget(refund=2)
    budget.take(throttled=True)
    budget.success(0)
    assert budget.available == 497


def test_never_fuller_than_full():
    budget = RetryBudget()
    budget.take(throttled=True)
    budget.success(14)
    budget.success(0)
    assert budget.available == 500


def test_fresh_is_full_and_independent():
    budget = RetryBudget(100, 10, 3, 2)
    budget.take(throttled=False)
    fresh = budget.fresh()
    assert fresh.available == 100
    assert repr(fresh) == repr(budget)
    assert "capacity=100, transient_cost=10, throttling_cost=3, refund=2" in repr(fresh)
    assert budget.available == 90


def test_copies_are_full():
    budget = RetryBudget(100)
    budget.take(throttled=False)
    for twin in (pickle.loads(pickle.dumps(budget)), copy.deepcopy(budget)):
        assert twin.available == 100


@pytest.mark.parametrize("name", ["capacity", "transient_cost", "throttling_cost", "refund"])
@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_nonsense_is_named(name, value, error):
    with pytest.raises(error, match=f"{name} .*{value!r}"):
        RetryBudget(**{name: value})


def test_zero_is_a_refund_but_not_a_cost():
    assert RetryBudget(refund=0).available == 500
    with pytest.raises(ValueError, match=r"throttling_cost .*0"):
        RetryBudget(throttling_cost=0)


def test_exact_under_threads():
    budget = RetryBudget(capacity=50 * 14)
    barrier = threading.Barrier(100)
    costs = []

    def retry():
        barrier.wait()
        costs.append(budget.take(throttled=False))

    threads = [threading.Thread(target=retry) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(costs) == [0] * 50 + [14] * 50
    assert budget.available == 0


def test_new_lock_for_a_forked_child():
    budget = RetryBudget()
    taken, finish = threading.Event(), threading.Event()

    def hold_the_lock():
        with budget._lock:
            taken.set()
            finish.wait()

    thread = threading.Thread(target=hold_the_lock)
    thread.start()
    taken.wait()
    budget.renew_lock()
    assert budget.take(throttled=True) == 5
    finish.set()
    thread.join()


@given(st.lists(st.sampled_from(["transient", "throttled", "retried", "clean"]), max_size=60))
def test_never_below_zero_nor_above_capacity(steps):
    budget, last = RetryBudget(capacity=40), 0
    for step in steps:
        before = budget.available
        if step in ("transient", "throttled"):
            last = budget.take(throttled=step == "throttled")
            assert budget.available == before - last
        else:
            budget.success(last if step == "retried" else 0)
            assert budget.available >= before
        assert 0 <= budget.available <= 40
