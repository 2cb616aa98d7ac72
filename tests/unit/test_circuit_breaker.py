from __future__ import annotations

import contextlib
import gc
import threading
from datetime import datetime, timedelta, timezone

import pybreaker
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from requests_connection_manager.policies.circuit_breaker import CircuitBreaker, Permit

PATIENCE = 30  # seconds after which a thread that has not ended is in a deadlock


class FakeClock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Boom(Exception):
    pass


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(3, 60, clock)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.acquire().failure(Boom())


def succeed(breaker):
    breaker.acquire().success()


def probe(breaker, clock):
    """Return the permit of the first probe after the recovery time."""
    clock.advance(breaker.retry_after())
    return breaker.acquire()


def run_all(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


class TestClosed:
    def test_lets_pass(self, breaker):
        assert breaker.state == "closed"
        assert breaker.check() is None
        assert isinstance(breaker.acquire(), Permit)
        assert breaker.retry_after() == 0.0
        assert not breaker.shared

    def test_opens_after_failures_in_a_row(self, breaker):
        fail(breaker, 2)
        succeed(breaker)
        assert breaker.failure_count == 0
        fail(breaker, 2)
        assert breaker.state == "closed"
        assert breaker.failure_count == 2
        fail(breaker)
        assert breaker.state == "open"

    def test_each_permit_counts_once(self, breaker):
        permit = breaker.acquire()
        permit.failure(Boom())
        permit.failure(Boom())
        permit.success()
        permit.release()
        assert breaker.failure_count == 1

    def test_released_permit_books_nothing(self, breaker):
        fail(breaker, 2)
        permit = breaker.acquire()
        permit.release()
        permit.failure(Boom())
        assert breaker.failure_count == 2
        assert breaker.state == "closed"

    def test_booking_leaves_the_exception_as_it_was(self, breaker):
        context = KeyError("context")
        for _ in range(3):
            permit = breaker.acquire()
            try:
                try:
                    raise context
                except KeyError:
                    raise Boom from None
            except Boom as caught:
                exc, traceback = caught, caught.__traceback__
            try:
                raise ValueError("something else is being handled")
            except ValueError:
                permit.failure(exc)
            assert exc.__traceback__ is traceback
            assert exc.__context__ is context
        assert breaker.state == "open"

    def test_interrupts_may_be_booked_without_being_raised(self, breaker):
        breaker.acquire().failure(KeyboardInterrupt())
        assert breaker.failure_count == 1


class TestOpen:
    def test_refuses_until_the_recovery_time_is_over(self, breaker, clock):
        fail(breaker, 3)
        assert breaker.acquire() == breaker.check() == breaker.retry_after() == 60
        clock.advance(59)
        assert breaker.acquire() == pytest.approx(1)
        clock.advance(1)
        assert breaker.check() is None
        assert breaker.state == "open"
        assert isinstance(breaker.acquire(), Permit)
        assert breaker.state == "half-open"

    def test_late_results_change_nothing(self, breaker, clock):
        late = [breaker.acquire() for _ in range(4)]
        fail(breaker, 3)
        late[0].success()
        late[1].failure(Boom())
        assert breaker.state == "open"
        assert breaker.retry_after() == 60
        permit = probe(breaker, clock)
        late[2].success()
        late[3].failure(Boom())
        assert breaker.state == "half-open"
        permit.success()
        assert breaker.state == "closed"

    def test_recovery_time_of_zero(self, clock):
        breaker = CircuitBreaker(1, 0, clock)
        fail(breaker)
        assert breaker.state == "open"
        succeed(breaker)
        assert breaker.state == "closed"

    @pytest.mark.parametrize("now", [0.1, 4e6 + 1 / 3])
    def test_waiting_exactly_as_long_as_told_is_enough(self, now):
        clock = FakeClock(now)
        breaker = CircuitBreaker(1, 0.7, clock)
        fail(breaker)
        for part in (0.1, 0.3):
            clock.advance(part)
        clock.advance(breaker.acquire())
        assert breaker.check() is None
        assert isinstance(breaker.acquire(), Permit)


class TestHalfOpen:
    @pytest.fixture(autouse=True)
    def half_open(self, breaker, clock):
        fail(breaker, 3)
        self.permit = probe(breaker, clock)

    def test_success_closes(self, breaker):
        self.permit.success()
        assert breaker.state == "closed"
        assert breaker.failure_count == 0

    def test_failure_opens_for_the_whole_time_again(self, breaker, clock):
        clock.advance(5)
        self.permit.failure(Boom())
        assert breaker.state == "open"
        assert breaker.retry_after() == 60

    def test_admits_one_probe(self, breaker):
        assert breaker.acquire() == 0.0
        assert breaker.check() == 0.0
        assert breaker.retry_after() == 0.0

    def test_released_probe_neither_opens_nor_closes(self, breaker):
        self.permit.release()
        assert breaker.state == "half-open"
        assert breaker.check() is None
        again = breaker.acquire()
        self.permit.release()
        assert breaker.acquire() == 0.0
        again.success()
        assert breaker.state == "closed"

    def test_vanished_probe_frees_its_place(self, breaker):
        del self.permit
        gc.collect()
        assert isinstance(breaker.acquire(), Permit)

    def test_probe_of_an_earlier_era_frees_no_place(self, breaker, clock):
        breaker._breaker.open()
        current = probe(breaker, clock)
        self.permit.release()
        assert breaker.acquire() == 0.0
        current.success()

    def test_more_probes_when_allowed(self, breaker):
        breaker.reconfigure(3, 60, half_open_max_calls=3)
        permits = [breaker.acquire() for _ in range(2)]
        assert all(isinstance(permit, Permit) for permit in permits)
        assert breaker.acquire() == 0.0
        self.permit.failure(Boom())
        permits[0].success()
        assert breaker.state == "open"


@pytest.mark.parametrize("probes", [1, 3])
def test_half_open_does_not_admit_a_crowd(clock, probes):
    breaker = CircuitBreaker(1, 60, clock, half_open_max_calls=probes)
    fail(breaker)
    clock.advance(60)
    barrier = threading.Barrier(100)
    answers = []

    def ask():
        barrier.wait(PATIENCE)
        answers.append(breaker.acquire())

    run_all([threading.Thread(target=ask) for _ in range(100)])
    assert len(answers) == 100
    assert sum(isinstance(answer, Permit) for answer in answers) == probes
    assert breaker.take_changes() == (("closed", "open"), ("open", "half-open"))


def test_who_saw_it_half_open_just_before_it_opened_does_not_slip_in(clock):
    breaker = CircuitBreaker(1, 60, clock)
    fail(breaker)
    permit = probe(breaker, clock)
    seen = breaker._era
    permit.failure(Boom())
    assert breaker._probe(seen) is None


def test_failing_probes_never_run_side_by_side(clock):
    breaker = CircuitBreaker(1, 60, clock)
    fail(breaker)
    clock.advance(60)
    admitted = []

    def ask():
        for _ in range(50):
            answer = breaker.acquire()
            if isinstance(answer, Permit):
                admitted.append(answer)
                answer.failure(Boom())

    run_all([threading.Thread(target=ask) for _ in range(8)])
    assert len(admitted) == 1  # the clock stands still


class TestChanges:
    def test_each_change_is_told_once(self, breaker, clock):
        assert breaker.take_changes() == ()
        fail(breaker, 3)
        probe(breaker, clock).success()
        assert breaker.take_changes() == (
            ("closed", "open"),
            ("open", "half-open"),
            ("half-open", "closed"),
        )
        assert breaker.take_changes() == ()

    def test_bounded_when_nobody_asks(self, breaker, clock):
        for _ in range(100):
            fail(breaker, 3)
            probe(breaker, clock).success()
        assert len(breaker.take_changes()) <= 100


class TestReconfigure:
    def test_keeps_the_state_and_the_count(self, breaker):
        fail(breaker, 2)
        breaker.reconfigure(5, 10, 2)
        assert breaker.failure_count == 2
        fail(breaker, 2)
        assert breaker.state == "closed"
        fail(breaker)
        assert breaker.retry_after() == 10
        breaker.reconfigure(5, 90, 2)
        assert breaker.state == "open"
        assert breaker.retry_after() == 90

    def test_smaller_threshold_counts_from_the_next_failure(self, breaker):
        fail(breaker, 2)
        breaker.reconfigure(1, 60, 1)
        assert breaker.state == "closed"
        fail(breaker)
        assert breaker.state == "open"

    def test_nonsense_changes_nothing(self, breaker):
        with pytest.raises(ValueError, match=r"half_open_max_calls .*0"):
            breaker.reconfigure(1, 60, 0)
        fail(breaker, 2)
        assert breaker.state == "closed"


class TestArguments:
    @pytest.mark.parametrize("name", ["failure_threshold", "half_open_max_calls"])
    @pytest.mark.parametrize(
        ("value", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError), ("3", TypeError)]
    )
    def test_bad_counts(self, name, value, error):
        arguments = {"failure_threshold": 3, "recovery_timeout": 60, name: value}
        with pytest.raises(error, match=f"{name} .*{value!r}"):
            CircuitBreaker(**arguments)

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            (-1, ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            ("60", TypeError),
            (None, TypeError),
            (False, TypeError),
        ],
    )
    def test_bad_recovery_timeout(self, value, error):
        with pytest.raises(error, match=f"recovery_timeout .*{value!r}"):
            CircuitBreaker(3, value)

    def test_bad_clock(self):
        with pytest.raises(TypeError, match=r"clock .*12"):
            CircuitBreaker(3, 60, clock=12)

    def test_bad_breaker(self):
        with pytest.raises(TypeError, match=r"breaker .*'mine'"):
            CircuitBreaker(3, 60, breaker="mine")

    def test_repr(self, clock):
        breaker = CircuitBreaker(1, 60, clock, name="https://api.example.com")
        assert repr(breaker) == "<CircuitBreaker 'https://api.example.com' closed>"


class WatchedLock:
    """A re-entrant lock that tells when the watched thread is about to wait for it."""

    def __init__(self):
        self.lock = threading.RLock()
        self.wanted = threading.Event()
        self.suspect = None

    @contextlib.contextmanager
    def watched(self):
        self.suspect = threading.current_thread()
        yield

    def __enter__(self):
        if threading.current_thread() is self.suspect:
            self.wanted.set()
        return self.lock.__enter__()

    def __exit__(self, *exc_info):
        return self.lock.__exit__(*exc_info)


class Recorder(pybreaker.CircuitBreakerListener):
    def __init__(self):
        self.seen = []

    def success(self, cb):
        self.seen.append("success")

    def failure(self, cb, exc):
        self.seen.append(type(exc).__name__)

    def state_change(self, cb, old_state, new_state):
        self.seen.append(f"{old_state.name} -> {new_state.name}")


class TestUsersOwnBreaker:
    def test_its_numbers_count(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=7)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        fail(breaker)
        assert mine.current_state == "open"
        assert breaker.retry_after() == 7

    def test_exclusions_are_honoured(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=1, exclude=[Boom, lambda exc: exc.args == (4,)])
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        fail(breaker, 5)
        breaker.acquire().failure(OSError(4))
        assert breaker.state == "closed"
        breaker.acquire().failure(OSError(5))
        assert breaker.state == "open"

    def test_listeners_are_told(self, clock):
        recorder = Recorder()
        mine = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=60, listeners=[recorder])
        breaker = CircuitBreaker(2, 60, clock, breaker=mine)
        fail(breaker, 2)
        probe(breaker, clock).success()
        # Which comes first, the result or the change, is for pybreaker to say.
        results = ["Boom", "Boom", "success"]
        changes = ["closed -> open", "open -> half-open", "half-open -> closed"]
        assert [seen for seen in recorder.seen if seen in results] == results
        assert [seen for seen in recorder.seen if seen not in results] == changes

    def test_errors_of_listeners_are_logged_and_do_not_disturb(self, clock, caplog):
        class Broken(pybreaker.CircuitBreakerListener):
            def failure(self, cb, exc):
                raise LookupError("broken listener")

            success = failure

        mine = pybreaker.CircuitBreaker(listeners=[Broken()])
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        breaker.acquire().failure(Boom())
        breaker.acquire().success()
        assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
        assert "could not book a result: LookupError" in caplog.text

    @pytest.mark.parametrize("throw_new_error", [True, False])
    def test_what_it_throws_on_trip_stays_inside(self, clock, throw_new_error):
        mine = pybreaker.CircuitBreaker(fail_max=1, throw_new_error_on_trip=throw_new_error)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        fail(breaker)
        assert breaker.state == "open"

    def test_opened_and_closed_by_hand(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=60)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        permit = breaker.acquire()
        mine.open()
        assert breaker.acquire() == 60
        permit.success()
        assert breaker.state == "open"
        mine.close()
        assert breaker.state == "closed"
        assert breaker.check() is None
        assert breaker.take_changes() == (("closed", "open"), ("open", "closed"))

    def test_opened_again_by_hand_starts_the_recovery_time_anew(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=60)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        mine.open()
        clock.advance(50)
        mine.open()
        assert breaker.retry_after() == 60
        assert breaker.take_changes() == (("closed", "open"),)

    def test_half_opened_by_hand(self, clock):
        mine = pybreaker.CircuitBreaker()
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        mine.half_open()
        assert isinstance(breaker.acquire(), Permit)
        gc.collect()
        assert breaker.state == "half-open"

    def test_handed_in_open(self, clock):
        mine = pybreaker.CircuitBreaker(reset_timeout=60)
        mine.open()
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        assert breaker.state == "open"
        assert breaker.retry_after() == 60

    def test_used_directly_too(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=2)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        fail(breaker)
        with pytest.raises(pybreaker.CircuitBreakerError):
            mine.call(next, iter(()))
        assert breaker.state == "open"

    def test_two_of_ours_on_one_of_theirs(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=60)
        one, two = (CircuitBreaker(3, 60, clock, breaker=mine) for _ in range(2))
        fail(one)
        assert two.acquire() == 60
        clock.advance(60)
        probes = one.acquire(), two.acquire()
        probes[0].success()
        probes[1].failure(Boom())  # late by now
        assert one.state == two.state == "closed"

    def test_one_memory_storage_under_two_breakers(self, clock):
        storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        other = pybreaker.CircuitBreaker(state_storage=storage)
        mine = pybreaker.CircuitBreaker(state_storage=storage, reset_timeout=60)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        assert not breaker.shared
        other.open()
        assert breaker.acquire() == 60

    def test_outlives_ours(self, clock):
        mine = pybreaker.CircuitBreaker()
        for _ in range(5):
            CircuitBreaker(3, 60, clock, breaker=mine)
        gc.collect()
        mine.open()  # nobody listens, nobody minds
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        assert len(mine.listeners) == 1
        assert breaker.state == "open"

    @pytest.mark.skipif(
        not hasattr(pybreaker.CircuitBreaker, "success_threshold"),
        reason="this pybreaker closes after one success",
    )
    def test_success_threshold(self, clock):
        mine = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=60, success_threshold=3)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        fail(breaker)
        probe(breaker, clock).success()
        assert breaker.state == "half-open"
        second = breaker.acquire()
        assert breaker.acquire() == 0.0
        second.success()
        succeed(breaker)
        assert breaker.state == "closed"

    def test_no_deadlock_with_direct_use_around_ours(self):
        mine = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=0.0001)
        breaker = CircuitBreaker(3, 60, breaker=mine)

        def ours(turn):
            permit = breaker.acquire()
            if isinstance(permit, Permit):
                permit.failure(Boom()) if turn % 3 else permit.success()

        def through_ours():
            for turn in range(300):
                ours(turn)

        def directly():
            for turn in range(300):
                try:
                    mine.call(ours, turn)
                except pybreaker.CircuitBreakerError:
                    mine.close()

        targets = [through_ours, directly] * 3
        run_all([threading.Thread(target=target, daemon=True) for target in targets])

    @pytest.mark.parametrize("result", ["success", "failure", "probe"])
    def test_ours_inside_a_direct_call_while_another_thread_waits_to_book(self, clock, result):
        mine = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=60)
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        mine._lock = lock = WatchedLock()
        inside = threading.Event()
        permit = breaker.acquire()

        def other():
            inside.wait(PATIENCE)
            with lock.watched():
                if result == "failure":
                    permit.failure(Boom())
                else:
                    permit.success() if result == "success" else probe(breaker, clock)

        def ours():
            if result == "probe":
                mine.open()
            inside.set()
            assert lock.wanted.wait(PATIENCE)
            breaker.acquire().release()
            breaker.acquire().success()

        threads = [
            threading.Thread(target=other, daemon=True),
            threading.Thread(target=mine.call, args=(ours,), daemon=True),
        ]
        run_all(threads)
        # Who waited to begin a probe finds the circuit closed by now, and leaves it so.
        assert breaker.state == ("open" if result == "failure" else "closed")

    def test_admission_does_not_wait_for_a_direct_call(self, clock):
        mine = pybreaker.CircuitBreaker()
        breaker = CircuitBreaker(3, 60, clock, breaker=mine)
        inside, finish = threading.Event(), threading.Event()

        def slow():
            inside.set()
            finish.wait(PATIENCE)

        thread = threading.Thread(target=mine.call, args=(slow,), daemon=True)
        thread.start()
        inside.wait(PATIENCE)
        answers = []
        asker = threading.Thread(target=lambda: answers.append(breaker.acquire()), daemon=True)
        asker.start()
        asker.join(PATIENCE)
        finish.set()
        thread.join(PATIENCE)
        assert isinstance(answers[0], Permit)


class TestBeforeTheFirstFailure:
    """The breaker of pybreaker is not there yet."""

    def test_what_was_set_holds_for_it(self, breaker, clock):
        breaker.reconfigure(2, 20, 1)
        breaker.renew_lock()
        breaker.close()
        succeed(breaker)
        assert (breaker.state, breaker.failure_count, breaker.take_changes()) == ("closed", 0, ())
        fail(breaker, 2)
        assert (breaker.state, breaker.retry_after()) == ("open", 20)
        assert breaker.take_changes() == (("closed", "open"),)

    def test_a_permit_of_that_time_counts(self, breaker):
        permits = [breaker.acquire() for _ in range(3)]
        fail(breaker, 2)
        permits[0].success()
        assert breaker.failure_count == 0
        permits[1].failure(Boom())
        assert breaker.failure_count == 1
        permits[2].release()

    def test_to_close_it_leaves_out_what_is_under_way(self, breaker):
        permits = [breaker.acquire() for _ in range(3)]
        breaker.close()
        for permit in permits:
            permit.failure(Boom())
        assert (breaker.state, breaker.failure_count) == ("closed", 0)

    def test_it_is_built_once(self):
        for _ in range(50):
            breaker = CircuitBreaker(1000, 60)
            start = threading.Barrier(4)

            def fail_together(breaker=breaker, start=start):
                start.wait(PATIENCE)
                fail(breaker, 3)

            run_all([threading.Thread(target=fail_together, daemon=True) for _ in range(4)])
            assert breaker.failure_count == 12


def test_new_locks_for_a_forked_child(breaker):
    taken, finish = threading.Event(), threading.Event()

    def hold_the_locks():
        with breaker._lock, breaker._breaker._lock:
            taken.set()
            finish.wait(PATIENCE)

    holder = threading.Thread(target=hold_the_locks)
    holder.start()
    taken.wait(PATIENCE)
    breaker.renew_lock()
    child = threading.Thread(target=fail, args=(breaker, 3), daemon=True)
    run_all([child])
    assert breaker.state == "open"
    finish.set()
    holder.join(PATIENCE)


class SharedStorage(pybreaker.CircuitBreakerStorage):
    """What Redis is to pybreaker: one state for several processes. Counts its round trips."""

    def __init__(self):
        super().__init__("shared")
        self.cell = {"state": "closed", "counter": 0, "successes": 0, "opened_at": None}
        self.trips = 0
        self.read_only = False

    def _get(self, key):
        self.trips += 1
        return self.cell[key]

    def _set(self, key, value):
        self.trips += 1
        if not self.read_only:
            self.cell[key] = value

    state = property(lambda self: self._get("state"), lambda self, new: self._set("state", new))
    opened_at = property(
        lambda self: self._get("opened_at"), lambda self, new: self._set("opened_at", new)
    )
    counter = property(lambda self: self._get("counter"))
    success_counter = property(lambda self: self._get("successes"))

    def increment_counter(self):
        self._set("counter", self.cell["counter"] + 1)

    def reset_counter(self):
        self._set("counter", 0)

    def increment_success_counter(self):
        self._set("successes", self.cell["successes"] + 1)

    def reset_success_counter(self):
        self._set("successes", 0)


def utc(seconds_ago, aware=True):
    stamp = datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)
    return stamp if aware else stamp.replace(tzinfo=None)


# The wall clock is read here, but only in whole seconds that a slow test run does not reach.
SLACK = 15


class TestSharedStorage:
    @pytest.fixture
    def storage(self):
        return SharedStorage()

    @pytest.fixture
    def make(self, storage, clock):
        def make():
            mine = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=600, state_storage=storage)
            return CircuitBreaker(2, 600, clock, breaker=mine)

        return make

    def test_is_said_to_be_shared(self, make):
        assert make().shared

    def test_asking_does_io_each_time(self, make, storage):
        breaker = make()
        for ask in (breaker.check, breaker.acquire, breaker.acquire().success):
            before = storage.trips
            ask()
            assert storage.trips > before

    @pytest.mark.parametrize("aware", [True, False])
    def test_opened_by_another_process(self, make, storage, aware):
        breaker = make()
        late = breaker.acquire()
        storage.cell.update(state="open", opened_at=utc(200, aware))
        assert breaker.state == "open"
        assert breaker.acquire() == pytest.approx(400, abs=SLACK)
        assert breaker.check() == pytest.approx(400, abs=SLACK)
        late.success()
        assert storage.cell["state"] == "open"
        assert breaker.take_changes() == (("closed", "open"),)

    def test_opened_by_another_process_while_an_attempt_ran(self, make, storage):
        breaker = make()
        late = breaker.acquire(), breaker.acquire()
        storage.cell.update(state="open", opened_at=utc(10_000), counter=2)
        late[0].success()
        late[1].failure(Boom())
        assert storage.cell["state"] == "open"

    def test_recovers_on_our_clock(self, make, storage, clock):
        breaker = make()
        storage.cell.update(state="open", opened_at=utc(200))
        clock.advance(breaker.retry_after())
        permit = breaker.acquire()
        assert storage.cell["state"] == "half-open"
        permit.success()
        assert storage.cell["state"] == "closed"

    def test_opened_anew_by_another_process(self, make, storage, clock):
        breaker = make()
        fail(breaker, 2)
        clock.advance(590)
        assert breaker.retry_after() == pytest.approx(10, abs=SLACK)
        storage.cell["opened_at"] = utc(100) + timedelta(days=1)
        assert breaker.retry_after() == 600  # another's clock may be wrong
        storage.cell["opened_at"] = utc(100)
        assert breaker.retry_after() == pytest.approx(500, abs=SLACK)

    def test_closed_by_another_process(self, make, storage):
        breaker = make()
        fail(breaker, 2)
        storage.cell["state"] = "closed"
        assert isinstance(breaker.acquire(), Permit)

    def test_two_processes(self, make, clock):
        one, two = make(), make()
        fail(one)
        fail(two)
        assert one.state == two.state == "open"
        clock.advance(600)
        permit = one.acquire()
        assert two.state == "half-open"
        permit.success()
        assert two.state == "closed"

    def test_opened_without_a_date(self, make, storage):
        breaker = make()
        storage.cell["state"] = "open"
        assert breaker.acquire() == 600
        assert breaker.acquire() == 600

    def test_storage_that_takes_no_change_is_not_asked_for_ever(self, make, storage, clock):
        breaker = make()
        storage.cell.update(state="open", opened_at=utc(10_000))
        storage.read_only = True
        assert isinstance(breaker.acquire(), (Permit, float))
        clock.advance(600)
        assert isinstance(breaker.acquire(), (Permit, float))


class BreakerMachine(RuleBasedStateMachine):
    RECOVERY = 10

    @initialize(threshold=st.integers(1, 3), probes=st.integers(1, 2), own=st.booleans())
    def begin(self, threshold, probes, own):
        self.clock = FakeClock(0.0)
        mine = None if own else pybreaker.CircuitBreaker(threshold, self.RECOVERY)
        self.breaker = CircuitBreaker(threshold, self.RECOVERY, self.clock, probes, mine)
        self.threshold, self.probes = threshold, probes
        self.state, self.failures, self.opened_at = "closed", 0, 0.0
        self.era = 0
        self.permits = []  # (permit, era)
        self.changes = []

    def become(self, state):
        if state != self.state:
            self.changes.append((self.state, state))
        self.state, self.opened_at = state, self.clock.now
        self.era += 1
        if state == "closed":
            self.failures = 0

    def out(self):
        return sum(era == self.era for _, era in self.permits)

    def expect(self):
        """Return what ``check`` should answer."""
        left = self.opened_at + self.RECOVERY - self.clock.now
        if self.state == "open":
            return left if left > 0 else None
        if self.state == "half-open" and self.out() >= self.probes:
            return 0.0
        return None

    @rule()
    def acquire(self):
        expected = self.expect()
        assert self.breaker.check() == expected
        answer = self.breaker.acquire()
        if expected is None:
            if self.state == "open":
                self.become("half-open")
            self.permits.append((answer, self.era))
        else:
            assert answer == expected

    def draw(self, data):
        entry = data.draw(st.sampled_from(self.permits))
        self.permits.remove(entry)
        permit, era = entry
        return permit, era == self.era

    @rule(data=st.data())
    def success(self, data):
        if self.permits:
            permit, current = self.draw(data)
            permit.success()
            permit.failure(Boom())
            if current:
                self.failures = 0
            if current and self.state == "half-open":
                self.become("closed")

    @rule(data=st.data())
    def failure(self, data):
        if self.permits:
            permit, current = self.draw(data)
            permit.failure(Boom())
            permit.success()
            if current:
                self.failures += 1
                if self.state == "half-open" or self.failures >= self.threshold:
                    self.become("open")

    @rule(data=st.data())
    def release(self, data):
        if self.permits:
            permit, _ = self.draw(data)
            permit.release()
            permit.failure(Boom())

    @rule(seconds=st.integers(1, 12))
    def advance(self, seconds):
        self.clock.advance(seconds)

    @rule(state=st.sampled_from(["open", "closed"]))
    def by_hand(self, state):
        theirs = self.breaker._breaker
        theirs.open() if state == "open" else theirs.close()
        self.become(state)

    @rule()
    def ask_for_changes(self):
        assert self.breaker.take_changes() == tuple(self.changes)
        self.changes.clear()

    @invariant()
    def agrees(self):
        if hasattr(self, "breaker"):
            assert self.breaker.state == self.state
            assert self.breaker.failure_count == self.failures


BreakerMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, database=None
)
TestBreakerMachine = BreakerMachine.TestCase
