from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from requests_connection_manager.policies.rate_limit import (
    FixedWindowRateLimiter,
    PauseOnlyRateLimiter,
    RateLimiter,
    Ticket,
    TokenBucketRateLimiter,
)


class FakeClock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return FakeClock()


def window(clock, requests=2, period=10):
    return FixedWindowRateLimiter(requests, period, clock)


def bucket(clock, rate=1.0, capacity=2):
    return TokenBucketRateLimiter(rate, capacity, clock)


LIMITERS = pytest.mark.parametrize("make", [window, bucket])


def drain(limiter):
    """Take all that is there now."""
    held = []
    while True:
        ticket, _ = limiter.reserve(0.0)
        if ticket is None:
            return held
        held.append(ticket)


def queue_up(limiter, count):
    return [limiter.reserve(math.inf).ticket for _ in range(count)]


def held(tickets):
    return [ticket.poll() == 0.0 for ticket in tickets]


class TestBothKinds:
    @LIMITERS
    def test_is_a_rate_limiter_that_hands_out_tickets(self, clock, make):
        limiter = make(clock)
        assert isinstance(limiter, RateLimiter)
        assert isinstance(limiter.reserve(0.0).ticket, Ticket)
        drain(limiter)
        assert isinstance(limiter.reserve(math.inf).ticket, Ticket)

    @LIMITERS
    def test_free_tokens_are_held_at_once(self, clock, make):
        ticket, wait = make(clock).reserve(0.0)
        assert wait == 0.0
        assert ticket.poll() == 0.0

    @LIMITERS
    def test_refusal_takes_nothing_and_says_when(self, clock, make):
        limiter = make(clock)
        assert len(drain(limiter)) == 2
        first, second = limiter.reserve(0.0), limiter.reserve(0.0)
        assert first == second
        assert first.ticket is None
        clock.advance(first.wait)
        assert limiter.reserve(0.0).ticket is not None

    @LIMITERS
    def test_negative_patience_is_none(self, clock, make):
        limiter = make(clock)
        assert limiter.reserve(-5.0).wait == 0.0
        drain(limiter)
        assert limiter.reserve(-5.0).ticket is None

    @LIMITERS
    def test_longer_than_max_wait_is_refused_at_once(self, clock, make):
        limiter = make(clock)
        drain(limiter)
        eta = limiter.reserve(0.0).wait
        assert limiter.reserve(eta * 0.99).ticket is None
        ticket, wait = limiter.reserve(eta)
        assert ticket is not None
        assert wait == pytest.approx(eta)

    @LIMITERS
    def test_queue_is_served_in_order_whoever_polls(self, clock, make):
        limiter = make(clock)
        drain(limiter)
        tickets = queue_up(limiter, 4)
        clock.advance(10)
        assert held(reversed(tickets)) == [False, False, True, True]
        assert held(tickets) == [True, True, False, False]

    @LIMITERS
    def test_newcomer_does_not_overtake(self, clock, make):
        limiter = make(clock)
        drain(limiter)
        waiting = queue_up(limiter, 2)
        clock.advance(10)
        assert limiter.reserve(0.0).ticket is None
        assert held(waiting) == [True, True]

    @LIMITERS
    def test_cancelled_waiter_makes_room(self, clock, make):
        limiter = make(clock)
        drain(limiter)
        first, second, third = queue_up(limiter, 3)
        first.cancel()
        first.cancel()
        clock.advance(10)
        assert held([second, third]) == [True, True]

    @LIMITERS
    def test_cancelled_ticket_cannot_be_polled(self, clock, make):
        limiter = make(clock)
        token = limiter.reserve(0.0).ticket
        drain(limiter)
        waiting = limiter.reserve(math.inf).ticket
        for ticket in (token, waiting):
            ticket.cancel()
            with pytest.raises(RuntimeError, match="cancelled"):
                ticket.poll()

    @LIMITERS
    def test_refund_goes_to_the_next_in_the_queue(self, clock, make):
        limiter = make(clock)
        token, _ = drain(limiter)
        first, second = queue_up(limiter, 2)
        token.cancel()
        token.cancel()
        assert held([second, first]) == [False, True]

    @LIMITERS
    def test_ticket_granted_in_absence_can_be_cancelled(self, clock, make):
        limiter = make(clock)
        drain(limiter)
        first, second, third = queue_up(limiter, 3)
        clock.advance(10)
        assert held([second, third]) == [True, False]
        first.cancel()
        assert held([third]) == [True]

    @LIMITERS
    def test_vanished_waiters_do_not_hold_up_the_queue(self, clock, make):
        limiter = make(clock)
        drain(limiter)
        tickets = queue_up(limiter, 5)
        last = tickets.pop()
        del tickets
        gc.collect()
        clock.advance(10)
        assert last.poll() == 0.0

    @LIMITERS
    def test_pause_stops_everybody_but_those_who_hold_a_token(self, clock, make):
        limiter = make(clock)
        token = limiter.reserve(0.0).ticket
        limiter.pause(30)
        assert token.poll() == 0.0
        assert limiter.reserve(29.9).ticket is None
        waiting, wait = limiter.reserve(math.inf)
        assert wait == pytest.approx(30)
        clock.advance(wait)
        assert waiting.poll() == 0.0

    @LIMITERS
    def test_pause_is_only_ever_extended(self, clock, make):
        limiter = make(clock)
        for seconds in (30, 5, 0, -7):
            limiter.pause(seconds)
        assert limiter.reserve(0.0).wait == pytest.approx(30)
        limiter.pause(40)
        assert limiter.reserve(0.0).wait == pytest.approx(40)

    @LIMITERS
    def test_ticket_granted_in_absence_waits_for_the_end_of_a_pause(self, clock, make):
        limiter = make(clock)
        token, _ = drain(limiter)
        first, second = queue_up(limiter, 2)
        token.cancel()
        assert second.poll() > 0.0  # first has its token now
        limiter.pause(3)
        assert first.poll() == pytest.approx(3)
        clock.advance(3)
        assert first.poll() == 0.0

    @LIMITERS
    def test_fill(self, clock, make):
        limiter = make(clock)
        assert limiter.fill() == 0.0
        token = limiter.reserve(0.0).ticket
        assert limiter.fill() == 0.5
        drain(limiter)
        assert limiter.fill() == 1.0
        token.cancel()
        assert limiter.fill() == 0.5
        clock.advance(10)
        assert limiter.fill() == 0.0

    @LIMITERS
    def test_copies_start_anew(self, make):
        limiter = make(time.monotonic, 3)
        for twin in (pickle.loads(pickle.dumps(limiter)), copy.deepcopy(limiter)):
            assert repr(twin) == repr(limiter)

    @LIMITERS
    def test_new_lock_for_a_forked_child(self, clock, make):
        limiter = make(clock)
        taken = threading.Event()
        finish = threading.Event()

        def hold_the_lock():
            with limiter._lock:
                taken.set()
                finish.wait()

        thread = threading.Thread(target=hold_the_lock)
        thread.start()
        taken.wait()
        limiter.renew_lock()
        assert len(drain(limiter)) == 2
        finish.set()
        thread.join()

    @pytest.mark.parametrize("now", [0.1, 12345.678, 4e6 + 1 / 3, 1.7e9 + 0.123])
    @pytest.mark.parametrize("seconds", [0.1, 1 / 3, 7.7, 60])
    def test_waiting_exactly_as_long_as_told_is_enough(self, now, seconds):
        for make in (
            lambda clock: FixedWindowRateLimiter(1, seconds, clock),
            lambda clock: TokenBucketRateLimiter(1 / seconds, 1, clock),
        ):
            clock = FakeClock(now)
            limiter = make(clock)
            drain(limiter)
            for fraction in (0.0, 0.1, 0.77):
                clock.advance(fraction * seconds)
                clock.advance(limiter.reserve(0.0).wait)
                assert limiter.reserve(0.0).ticket is not None
            ticket, wait = limiter.reserve(math.inf)
            limiter.pause(seconds * 2.3)
            clock.advance(ticket.poll())
            assert ticket.poll() == 0.0
            assert wait > 0.0


class TestFixedWindow:
    def test_window_starts_with_its_first_token(self, clock):
        limiter = window(clock)
        clock.advance(9)
        drain(limiter)
        clock.advance(9)
        assert limiter.reserve(0.0) == (None, pytest.approx(1))
        clock.advance(1)
        assert len(drain(limiter)) == 2

    def test_refusals_are_not_counted(self, clock):
        limiter = window(clock)
        token, _ = drain(limiter)
        for _ in range(100):
            limiter.reserve(0.0)
        token.cancel()
        assert len(drain(limiter)) == 1

    def test_refund_only_within_the_window(self, clock):
        limiter = window(clock)
        old, _ = drain(limiter)
        clock.advance(10)
        drain(limiter)
        old.cancel()
        assert limiter.reserve(0.0).ticket is None

    def test_refund_of_a_queued_ticket_only_within_the_window(self, clock):
        limiter = window(clock)
        drain(limiter)
        (ticket,) = queue_up(limiter, 1)
        clock.advance(10)
        assert ticket.poll() == 0.0
        clock.advance(10)
        drain(limiter)
        ticket.cancel()
        assert limiter.reserve(0.0).ticket is None

    def test_token_not_fetched_in_its_window_is_not_sent_in_the_next(self, clock):
        limiter = window(clock, requests=1)
        (token,) = drain(limiter)
        late, _next = queue_up(limiter, 2)
        token.cancel()
        assert _next.poll() > 0.0  # late has a token of the first window, unaware
        clock.advance(10)
        assert _next.poll() > 0.0
        assert limiter.reserve(0.0).ticket is None
        assert late.poll() == 0.0
        assert _next.poll() == pytest.approx(10)

    def test_eta_counts_windows(self, clock):
        limiter = window(clock)
        drain(limiter)
        queue_up_kept = queue_up(limiter, 5)
        assert limiter.reserve(0.0).wait == pytest.approx(30)
        assert limiter.reserve(29.0).ticket is None
        assert limiter.reserve(30.0).ticket is not None
        assert len(queue_up_kept) == 5

    def test_wait_is_the_next_window_however_long_the_queue(self, clock):
        limiter = window(clock)
        drain(limiter)
        clock.advance(4)
        waits = [limiter.reserve(math.inf) for _ in range(7)]
        assert [wait for _, wait in waits] == pytest.approx([6] * 7)

    def test_tiny_windows_do_not_wake_the_whole_queue(self, clock):
        limiter = window(clock, requests=1, period=0.01)
        drain(limiter)
        reservations = [limiter.reserve(math.inf) for _ in range(300)]
        waits = [wait for _, wait in reservations]
        assert waits[:3] == pytest.approx([0.01, 0.02, 0.03])
        assert waits[-1] == 1.0

    def test_exact_under_200_threads(self):
        limiter = FixedWindowRateLimiter(50, 3600)
        barrier = threading.Barrier(200)
        answers = []

        def ask():
            barrier.wait()
            answers.append(limiter.reserve(0.0))

        threads = [threading.Thread(target=ask) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 200
        assert sum(answer.ticket is not None for answer in answers) == 50

    def test_exact_under_threads_that_cancel_and_wait(self):
        clock = FakeClock()
        limiter = window(clock, requests=50)
        barrier = threading.Barrier(40)
        kept = []

        def ask():
            barrier.wait()
            for turn in range(10):
                ticket = limiter.reserve(math.inf).ticket
                if ticket.poll() == 0.0 and turn % 2:
                    kept.append(ticket)
                else:
                    ticket.cancel()

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept += drain(limiter)
        assert len(kept) == 50

    @pytest.mark.parametrize("requests", [0, -1])
    def test_bad_requests(self, requests):
        with pytest.raises(ValueError, match=f"requests .*{requests}"):
            FixedWindowRateLimiter(requests, 60)

    @pytest.mark.parametrize("requests", [1.5, "10", True, None])
    def test_requests_of_a_wrong_type(self, requests):
        with pytest.raises(TypeError, match=f"requests .*{requests!r}"):
            FixedWindowRateLimiter(requests, 60)

    @pytest.mark.parametrize("period", [0, -1, math.inf, math.nan])
    def test_bad_period(self, period):
        with pytest.raises(ValueError, match=f"period .*{period!r}"):
            FixedWindowRateLimiter(1, period)

    @pytest.mark.parametrize("period", ["60", None, True])
    def test_period_of_a_wrong_type(self, period):
        with pytest.raises(TypeError, match=f"period .*{period!r}"):
            FixedWindowRateLimiter(1, period)

    def test_clock_must_be_callable(self):
        with pytest.raises(TypeError, match=r"clock .*12"):
            FixedWindowRateLimiter(1, 60, 12)


class TestTokenBucket:
    def test_burst_then_rate(self, clock):
        limiter = bucket(clock, rate=2, capacity=5)
        assert len(drain(limiter)) == 5
        clock.advance(1)
        assert len(drain(limiter)) == 2
        clock.advance(100)
        assert len(drain(limiter)) == 5

    def test_each_waiter_is_told_its_own_turn(self, clock):
        limiter = bucket(clock, rate=4, capacity=1)
        drain(limiter)
        reservations = [limiter.reserve(math.inf) for _ in range(6)]
        assert [wait for _, wait in reservations] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])

    def test_refund_never_fills_beyond_the_capacity(self, clock):
        limiter = bucket(clock)
        tickets = drain(limiter)
        clock.advance(100)
        for ticket in tickets:
            ticket.cancel()
        assert len(drain(limiter)) == 2

    def test_pause_ends_with_what_has_been_gained_meanwhile(self, clock):
        limiter = bucket(clock, rate=1, capacity=3)
        drain(limiter)
        limiter.pause(10)
        clock.advance(10)
        assert len(drain(limiter)) == 3

    @pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
    def test_bad_rate(self, rate):
        with pytest.raises(ValueError, match=f"rate .*{rate!r}"):
            TokenBucketRateLimiter(rate, 1)

    @pytest.mark.parametrize("capacity", [0, 0.5, -3])
    def test_bad_capacity(self, capacity):
        with pytest.raises(ValueError, match=f"capacity .*{capacity!r}"):
            TokenBucketRateLimiter(1, capacity)

    @pytest.mark.parametrize("capacity", ["5", None])
    def test_capacity_of_a_wrong_type(self, capacity):
        with pytest.raises(TypeError, match=f"capacity .*{capacity!r}"):
            TokenBucketRateLimiter(1, capacity)


class TestPauseOnly:
    def test_everybody_passes_while_there_is_no_pause(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        assert isinstance(limiter, RateLimiter)
        for _ in range(1000):
            ticket, wait = limiter.reserve(0.0)
            assert (ticket.poll(), wait) == (0.0, 0.0)
        assert (limiter.fill(), limiter.paused_for()) == (0.0, 0.0)

    def test_a_pause_refuses_those_who_will_not_wait_and_says_how_long_it_lasts(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(30)
        assert limiter.reserve(0.0) == (None, pytest.approx(30))
        assert limiter.reserve(29.9).ticket is None
        assert limiter.paused_for() == pytest.approx(30)
        clock.advance(30)
        assert limiter.reserve(0.0).wait == 0.0
        assert limiter.paused_for() == 0.0

    @pytest.mark.parametrize("seconds", [0, 0.0, -5])
    def test_a_pause_of_nothing_is_none(self, clock, seconds):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(seconds)
        assert limiter.reserve(0.0).wait == 0.0

    def test_a_pause_is_only_ever_extended(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(30)
        limiter.pause(5)
        assert limiter.reserve(0.0).wait == pytest.approx(30)

    def test_the_queue_is_let_go_in_order_and_gradually(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(10)
        tickets = queue_up(limiter, 10)
        clock.advance(10)
        seen = []
        for _ in range(5):
            served = held(tickets)
            assert served == sorted(served, reverse=True)
            seen.append(served.count(True))
            clock.advance(0.25)
        assert seen == [1, 3, 7, 10, 10]

    def test_waiting_as_long_as_told_is_enough(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(10)
        asleep = [(clock.now + 10, ticket) for ticket in queue_up(limiter, 9)]
        assert limiter.reserve(0.0).wait == pytest.approx(10.75)
        looks = 0
        while asleep:
            asleep.sort(key=lambda sleeper: sleeper[0])
            clock.now, ticket = asleep.pop(0)
            wait = ticket.poll()
            looks += 1
            if wait > 0:
                asleep.append((clock.now + wait, ticket))
        assert clock.now == pytest.approx(1010.75)
        # One look at each step, not one for each ticket in front.
        assert looks == 9 + 8 + 6 + 2

    def test_a_pause_in_the_middle_of_it_begins_it_again(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(10)
        tickets = queue_up(limiter, 6)
        clock.advance(10.25)
        assert held(tickets).count(True) == 3
        limiter.pause(10)
        clock.advance(9)
        assert held(tickets).count(True) == 3
        clock.advance(1)
        assert held(tickets).count(True) == 4

    def test_newcomers_stand_behind_the_queue(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(10)
        tickets = queue_up(limiter, 3)
        clock.advance(10)
        assert limiter.reserve(0.0) == (None, pytest.approx(0.5))
        tickets[1].cancel()
        assert limiter.reserve(0.0) == (None, pytest.approx(0.25))
        clock.advance(0.25)
        assert limiter.reserve(0.0).wait == 0.0
        assert held([tickets[0], tickets[2]]) == [True, True]

    def test_a_cancelled_token_cannot_be_polled(self, clock):
        ticket = PauseOnlyRateLimiter(clock).reserve(0.0).ticket
        ticket.cancel()
        ticket.cancel()
        with pytest.raises(RuntimeError, match="cancelled"):
            ticket.poll()

    def test_who_leaves_without_a_word_does_not_hold_up_the_queue(self, clock):
        limiter = PauseOnlyRateLimiter(clock)
        limiter.pause(10)
        tickets = queue_up(limiter, 4)
        del tickets[:3]
        gc.collect()
        clock.advance(10)
        assert held(tickets) == [True]

    def test_it_pickles_as_configuration(self):
        limiter = PauseOnlyRateLimiter()
        limiter.pause(1000)
        assert pickle.loads(pickle.dumps(limiter)).reserve(0.0).wait == 0.0
        assert copy.copy(limiter).reserve(0.0).wait == 0.0
        assert repr(limiter) == "PauseOnlyRateLimiter()"

    def test_clock_must_be_callable(self):
        with pytest.raises(TypeError, match="clock"):
            PauseOnlyRateLimiter(7)


class WindowModel:
    """The fixed window without grants in absence: a rank in a list is as good as a token."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.start, self.used = -math.inf, 0
        self.queue = []
        self.paused_until = -math.inf

    def is_open(self, now):
        return now - self.start < self.period

    def roll(self, now):
        if self.queue and now >= self.paused_until and not self.is_open(now):
            self.start, self.used = now, 0

    def reserve(self, now):
        """Return 0 for a token, else the time until there is one."""
        self.roll(now)
        open_now = self.is_open(now)
        free = self.limit - self.used if open_now else self.limit
        if now >= self.paused_until and len(self.queue) < free:
            if not open_now:
                self.start, self.used = now, 0
            self.used += 1
            return 0
        return self.eta(now)

    def eta(self, now):
        moment, rank = max(now, self.paused_until), len(self.queue)
        end = self.start + self.period
        if moment < end and rank >= self.limit - self.used:
            moment, rank = end, rank - (self.limit - self.used)
        elif moment < end:
            return moment - now
        while rank >= self.limit:
            moment, rank = moment + self.period, rank - self.limit
        return moment - now

    def poll(self, now, ticket):
        self.roll(now)
        if now < self.paused_until:
            return self.paused_until - now
        if self.queue.index(ticket) < self.limit - self.used:
            self.queue.remove(ticket)
            self.used += 1
            return 0
        return self.start + self.period - now

    def refund(self, start):
        if start == self.start:
            self.used -= 1


class FixedWindowMachine(RuleBasedStateMachine):
    PERIOD = 10

    @initialize(limit=st.integers(1, 4))
    def begin(self, limit):
        self.clock = FakeClock(0.0)
        self.limiter = FixedWindowRateLimiter(limit, self.PERIOD, self.clock)
        self.model = WindowModel(limit, self.PERIOD)
        self.waiting, self.holding = [], []
        self.sent = []  # when tokens were had that have not been given back

    def hold(self, ticket):
        self.holding.append((ticket, self.model.start))
        self.sent.append(self.model.start)

    @rule(patience=st.sampled_from([0.0, 5.0, 10.0, 20.0, math.inf]))
    def reserve(self, patience):
        expected = self.model.reserve(self.clock.now)
        ticket, wait = self.limiter.reserve(patience)
        if expected == 0:
            assert wait == 0.0
            self.hold(ticket)
        elif ticket is None:
            assert wait > patience
            assert wait == pytest.approx(expected)
        else:
            assert expected - 1e-5 <= patience
            self.model.queue.append(ticket)
            self.waiting.append(ticket)
            assert 0 < wait <= expected + 1e-5

    @rule(data=st.data())
    def poll(self, data):
        if self.waiting:
            ticket = data.draw(st.sampled_from(self.waiting))
            expected = self.model.poll(self.clock.now, ticket)
            assert ticket.poll() == pytest.approx(expected)
            if expected == 0:
                self.waiting.remove(ticket)
                self.hold(ticket)

    @rule(data=st.data())
    def cancel_waiting(self, data):
        if self.waiting:
            ticket = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(ticket)
            self.model.queue.remove(ticket)
            ticket.cancel()

    @rule(data=st.data())
    def cancel_holding(self, data):
        if self.holding:
            ticket, start = entry = data.draw(st.sampled_from(self.holding))
            self.holding.remove(entry)
            self.model.refund(start)
            self.sent.remove(start)
            ticket.cancel()
            ticket.cancel()

    @rule(seconds=st.integers(1, 25))
    def pause(self, seconds):
        self.model.paused_until = max(self.model.paused_until, self.clock.now + seconds)
        self.limiter.pause(seconds)

    @rule(seconds=st.integers(1, 15))
    def advance(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def those_who_hold_a_token_keep_it(self):
        for ticket, _ in getattr(self, "holding", ()):
            assert ticket.poll() == 0.0

    @invariant()
    def no_window_is_overdrawn(self):
        for start in set(getattr(self, "sent", ())):
            assert self.sent.count(start) <= self.model.limit


FixedWindowMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, database=None
)
TestFixedWindowMachine = FixedWindowMachine.TestCase


class BucketMachine(RuleBasedStateMachine):
    """Whatever happens, no stretch of time sees more tokens than capacity plus what flowed in."""

    RATE, CAPACITY = 0.5, 3

    @initialize()
    def begin(self):
        self.clock = FakeClock(0.0)
        self.limiter = TokenBucketRateLimiter(self.RATE, self.CAPACITY, self.clock)
        self.waiting, self.taken = [], []

    @rule(patience=st.sampled_from([0.0, 3.0, math.inf]))
    def reserve(self, patience):
        ticket, wait = self.limiter.reserve(patience)
        if ticket is None:
            assert wait > patience
        elif wait == 0.0:
            assert not self.waiting
            self.taken.append(self.clock.now)
        else:
            self.waiting.append(ticket)

    @rule()
    def poll_all(self):
        answers = [ticket.poll() for ticket in self.waiting]
        served = answers.count(0.0)
        assert answers[:served] == [0.0] * served
        self.taken += [self.clock.now] * served
        del self.waiting[:served]

    @rule(data=st.data())
    def cancel(self, data):
        if self.waiting:
            ticket = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(ticket)
            ticket.cancel()

    @rule(seconds=st.integers(1, 6))
    def advance(self, seconds):
        self.clock.advance(seconds)
        self.poll_all()

    @rule(seconds=st.integers(1, 6))
    def pause(self, seconds):
        self.limiter.pause(seconds)

    @invariant()
    def never_more_than_what_flowed_in(self):
        taken = getattr(self, "taken", [])
        for index, since in enumerate(taken):
            gained = (self.clock.now - since) * self.RATE
            assert len(taken) - index <= self.CAPACITY + gained + 1e-6


BucketMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, database=None
)
TestBucketMachine = BucketMachine.TestCase


class PauseOnlyMachine(RuleBasedStateMachine):
    """Nothing passes during a pause; after it, one, two, four, eight of those who queued."""

    STEP = 0.25

    @initialize()
    def begin(self):
        self.clock = FakeClock(0.0)
        self.limiter = PauseOnlyRateLimiter(self.clock)
        self.paused_until = -1.0  # long ago
        self.waiting, self.released = [], 0

    @property
    def allowed(self):
        """How many of the queue may have left it by now since the pause."""
        since = self.clock.now - self.paused_until
        return 2 ** (int(since / self.STEP) + 1) - 1 if since >= 0 else 0

    @rule(patience=st.sampled_from([0.0, 0.25, 3.0, math.inf]))
    def reserve(self, patience):
        ticket, wait = self.limiter.reserve(patience)
        if ticket is None:
            assert wait > patience
            assert self.waiting or self.clock.now < self.paused_until
        elif wait == 0.0:
            assert not self.waiting
            assert self.clock.now >= self.paused_until
        else:
            self.waiting.append(ticket)

    @rule()
    def poll_all(self):
        answers = [ticket.poll() for ticket in self.waiting]
        served = answers.count(0.0)
        assert answers[:served] == [0.0] * served
        assert served == min(len(self.waiting), max(self.allowed - self.released, 0))
        self.released += served
        del self.waiting[:served]

    @rule(data=st.data())
    def cancel(self, data):
        if self.waiting:
            ticket = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(ticket)
            ticket.cancel()

    @rule(eighths=st.integers(1, 30))
    def advance(self, eighths):
        self.clock.advance(eighths / 8)
        self.poll_all()

    @rule(seconds=st.integers(-1, 6))
    def pause(self, seconds):
        self.limiter.pause(seconds)
        if seconds > 0 and self.clock.now + seconds > self.paused_until:
            self.paused_until, self.released = self.clock.now + seconds, 0

    @invariant()
    def the_pause_is_told(self):
        if hasattr(self, "limiter"):
            left = max(self.paused_until - self.clock.now, 0.0)
            assert self.limiter.paused_for() == pytest.approx(left)


PauseOnlyMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, database=None
)
TestPauseOnlyMachine = PauseOnlyMachine.TestCase
