"""The rate limit: refusing, waiting, giving back, and pausing when the server says so."""

from __future__ import annotations

import threading

import pybreaker
import pytest
from drivers import wait_until

from requests_connection_manager import (
    CircuitBreakerOpen,
    LimiterRefused,
    LimiterWaited,
    MaxRetriesExceeded,
    RateLimitError,
    RateLimitExceeded,
    TokenBucketRateLimiter,
)
from requests_connection_manager.policies.rate_limit import Reservation
from requests_connection_manager.testing import FaultServer, dead_origin, reply

OK = reply(200, body="ok")


@pytest.fixture(autouse=True)
def ok(server):
    server.route("/", OK)


def fill(manager, scope):
    return manager.get_stats()["scopes"][scope]["rate_limit_fill"]


def test_raise_mode_refuses_at_once(driver, server, clock):
    manager = driver.manager(clock=clock, rate_limit_requests=2, rate_limit_period=60)
    manager.get(server.url())
    clock.advance(10)
    manager.get(server.url())
    with pytest.raises(RateLimitExceeded) as caught:
        manager.get(server.url())
    assert caught.value.retry_after == pytest.approx(50)
    assert caught.value.attempts == ()
    assert caught.value.request.method == "GET"
    assert isinstance(caught.value, RateLimitError)
    assert isinstance(caught.value, driver.errors.base)
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert manager.events[-2:] == [("LimiterRefused", caught.value.retry_after), ("CallFailed",)]
    assert (server.count(), clock.sleeps) == (2, ())
    clock.advance(50)
    assert manager.get(server.url()).text == "ok"


def test_refusals_cost_nothing(driver, server, clock):
    manager = driver.manager(clock=clock, rate_limit_requests=1, rate_limit_period=10)
    manager.get(server.url())
    for _ in range(5):
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url())
    assert fill(manager, server.origin) == 1.0
    assert manager.state() == "closed"
    clock.advance(10)
    manager.get(server.url())


def test_wait_mode_queues(driver, server, clock):
    manager = driver.manager(
        clock=clock, rate_limit_requests=2, rate_limit_period=60, rate_limit_mode="wait"
    )
    responses = [manager.get(server.url()) for _ in range(5)]
    assert [response.attempts[0].waited for response in responses] == pytest.approx(
        [0, 0, 60, 0, 60]
    )
    assert clock.sleeps == pytest.approx((60, 60))
    assert manager.happened(LimiterWaited, LimiterRefused) == [
        ("LimiterWaited", pytest.approx(60)),
        ("LimiterWaited", pytest.approx(60)),
    ]


@pytest.mark.parametrize("mode", ["raise", "wait"])
def test_a_wait_beyond_the_deadline_fails_at_once_and_takes_no_token(driver, server, clock, mode):
    manager = driver.manager(
        clock=clock, rate_limit_requests=1, rate_limit_period=60, rate_limit_mode=mode
    )
    manager.get(server.url())
    with pytest.raises(RateLimitExceeded) as caught:
        manager.get(server.url(), total_timeout=20)
    assert caught.value.retry_after == pytest.approx(60)
    assert clock.sleeps == ()
    clock.advance(60)
    manager.get(server.url(), rate_limit_mode="raise")


def test_the_mode_can_be_given_per_call_and_per_endpoint(driver, server, clock):
    server.route("/patient", OK)
    manager = driver.manager(
        clock=clock,
        rate_limit_requests=1,
        rate_limit_period=30,
        endpoint_configs={"127.0.0.1/patient": {"rate_limit_mode": "wait"}},
    )
    manager.get(server.url())
    manager.get(server.url(), rate_limit_mode="wait")
    manager.get(server.url("/patient"))
    with pytest.raises(RateLimitExceeded):
        manager.get(server.url("/patient"), rate_limit_mode="raise")
    assert clock.sleeps == pytest.approx((30, 30))


def test_retries_count_and_wait_for_their_token_in_raise_mode(driver, server, clock):
    server.route("/", reply(503))
    manager = driver.manager(clock=clock, rate_limit_requests=2, rate_limit_period=60)
    with pytest.raises(MaxRetriesExceeded) as caught:
        manager.get(server.url())
    assert caught.value.reason == "max_retries"
    assert clock.sleeps == pytest.approx((0.3, 0.6, 59.1, 1.2))
    waits = [attempt.waited for attempt in caught.value.attempts]
    assert waits == pytest.approx([0, 0.3, 59.7, 1.2])


def test_a_retry_whose_token_comes_too_late(driver, server, clock):
    server.route("/", reply(503))
    manager = driver.manager(
        clock=clock, rate_limit_requests=1, rate_limit_period=60, total_timeout=20
    )
    with pytest.raises(MaxRetriesExceeded) as caught:
        manager.get(server.url())
    assert caught.value.reason == "rate_limit"
    assert caught.value.status_code == 503
    assert len(caught.value.attempts) == 1
    assert clock.sleeps == (0.3,)
    assert manager.happened(LimiterRefused) == [("LimiterRefused", pytest.approx(59.7))]


class TestServerPauses:
    @pytest.mark.parametrize(
        ("answer", "seconds"),
        [
            (reply(429, headers={"Retry-After": "30"}), 30),
            (reply(429, headers={"Retry-After": "99999999"}), 120),
            (reply(429, headers={"X-RateLimit-Reset": "45"}), 45),
            (
                reply(200, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "15"}),
                15,
            ),
            (reply(200, headers={"RateLimit": "limit=9, remaining=0, reset=15"}), 15),
        ],
    )
    def test_for_everyone_in_the_scope(self, driver, server, clock, answer, seconds):
        server.route("/", answer, OK)
        manager = driver.manager(clock=clock, max_retries=0)
        manager.get(server.url())
        with pytest.raises(RateLimitExceeded) as caught:
            manager.get(server.url())
        assert caught.value.retry_after == pytest.approx(seconds, abs=1e-3)
        assert server.count() == 1
        manager.get(server.url(), rate_limit_mode="wait")
        assert clock.sleeps == pytest.approx((seconds,), abs=1e-3)

    @pytest.mark.parametrize(
        "answer",
        [
            reply(429),
            reply(429, headers={"Retry-After": "nan"}),
            reply(503, headers={"Retry-After": "30"}),
            reply(200, headers={"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "15"}),
        ],
    )
    def test_not_for_less(self, driver, server, clock, answer):
        server.route("/", answer, OK)
        manager = driver.manager(clock=clock, max_retries=0)
        manager.get(server.url())
        assert manager.get(server.url()).text == "ok"

    def test_not_for_other_origins(self, driver, server, clock):
        server.route("/", reply(429, headers={"Retry-After": "30"}))
        manager = driver.manager(clock=clock, max_retries=0)
        manager.get(server.url())
        with FaultServer() as other:
            other.route("/", OK)
            assert manager.get(other.url()).text == "ok"
            manager.close()


class TestScopes:
    def test_an_endpoints_own_limiter_persists_between_requests(self, driver, server, clock):
        server.route("/limited", OK)
        manager = driver.manager(
            clock=clock, endpoint_configs={"127.0.0.1/limited": {"rate_limit_requests": 1}}
        )
        manager.get(server.url("/limited"))
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url("/limited?page=2"))
        assert manager.get(server.url()).text == "ok"
        assert fill(manager, "127.0.0.1/limited") == 1.0

    def test_origins_do_not_share(self, driver, server, clock):
        manager = driver.manager(clock=clock, rate_limit_requests=1)
        manager.get(server.url())
        with FaultServer() as other:
            other.route("/", OK)
            manager.get(other.url())
            with pytest.raises(RateLimitExceeded):
                manager.get(other.url())
            manager.close()

    def test_a_redirect_takes_a_token_for_each_hop(self, driver, server, clock):
        server.route("/old", reply(302, headers={"Location": "/"}))
        manager = driver.manager(clock=clock, rate_limit_requests=2)
        manager.get(server.url("/old"))
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url())

    def test_settings_changed_meanwhile_keep_the_limiter(self, driver, server, clock):
        manager = driver.manager(clock=clock, rate_limit_requests=1)
        manager.get(server.url())
        manager.add_endpoint_config("api.example.com", {"timeout": 5})
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url())

    def test_none_switches_it_off(self, driver, server, clock):
        manager = driver.manager(clock=clock, rate_limit_requests=None)
        for _ in range(150):
            manager.get(server.url())
        manager = driver.manager(clock=clock, rate_limit_requests=1)
        for _ in range(5):
            manager.get(server.url(), rate_limit_requests=None)
        manager.get(server.url())

    def test_a_limiter_of_the_users(self, driver, server, clock):
        limiter = TokenBucketRateLimiter(rate=2, capacity=1, clock=clock.monotonic)
        manager = driver.manager(
            clock=clock, rate_limiter=limiter, rate_limit_mode="wait", rate_limit_requests=None
        )
        for _ in range(3):
            manager.get(server.url())
        assert clock.sleeps == pytest.approx((0.5, 0.5))


class _Ticket:
    cancelled = 0

    def poll(self):
        return 0.0

    def cancel(self):
        self.cancelled += 1


class _Limiter:
    """A limiter that does something while it is asked."""

    def __init__(self, effect):
        self.ticket = _Ticket()
        self.effect = effect

    def reserve(self, max_wait):
        self.effect()
        return Reservation(self.ticket, 0.0)

    def pause(self, seconds):
        pass

    def fill(self):
        return 0.0


def test_the_token_goes_back_when_the_breaker_refuses_after_all(driver, server, clock):
    breaker = pybreaker.CircuitBreaker()
    limiter = _Limiter(breaker.open)
    manager = driver.manager(clock=clock, rate_limiter=limiter, circuit_breaker=breaker)
    with pytest.raises(CircuitBreakerOpen):
        manager.get(server.url())
    assert (limiter.ticket.cancelled, server.count()) == (1, 0)


def test_an_open_breaker_costs_no_token(driver, clock):
    asked = []
    manager = driver.manager(
        clock=clock,
        rate_limiter=_Limiter(lambda: asked.append(1)),
        circuit_breaker_failure_threshold=1,
        max_retries=0,
    )
    with dead_origin() as origin:
        with pytest.raises(driver.errors.connect):
            manager.get(origin)
        with pytest.raises(CircuitBreakerOpen):
            manager.get(origin)
    assert len(asked) == 1


def test_waiters_are_served_first_come_first_served(driver, server):
    # Real time: two threads that wait on one virtual clock would each move it.
    manager = driver.manager(
        rate_limit_requests=1, rate_limit_period=0.15, rate_limit_mode="wait", max_retries=0
    )
    manager.get(server.url())
    limiter = manager.core.scope(manager.core.configuration, server.url()).limiter
    threads = []
    for number in range(3):
        thread = threading.Thread(target=manager.get, args=(server.url(f"/?n={number}"),))
        thread.start()
        threads.append(thread)
        wait_until(lambda: len(limiter._queue) + server.count() > len(threads))
    for thread in threads:
        thread.join()
    assert [request.query for request in server.requests[1:]] == ["n=0", "n=1", "n=2"]
