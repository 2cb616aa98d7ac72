"""The circuit breaker: what counts, when it opens, whom it lets through, and what is too late."""

from __future__ import annotations

import threading

import pybreaker
import pytest
from drivers import wait_until, within

from requests_connection_manager import (
    BreakerRefused,
    BreakerStateChanged,
    CircuitBreakerOpen,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.testing import (
    blackhole,
    dead_origin,
    disconnect,
    reply,
    reset,
    truncate,
)

OK = reply(200, body="ok")
CLOSED_TO_OPEN = ("BreakerStateChanged", "closed", "open")
OPEN_TO_HALF = ("BreakerStateChanged", "open", "half-open")
HALF_TO_OPEN = ("BreakerStateChanged", "half-open", "open")
HALF_TO_CLOSED = ("BreakerStateChanged", "half-open", "closed")


def fragile(driver, clock, threshold=2, **settings):
    settings.setdefault("max_retries", 0)
    return driver.manager(clock=clock, circuit_breaker_failure_threshold=threshold, **settings)


def failures(manager):
    return manager.get_stats()["circuit_breaker_failure_count"]


def test_open_half_open_recover(driver, server, clock):
    server.route("/", reply(503), reply(503), OK)
    manager = fragile(driver, clock)
    assert manager.get(server.url()).status_code == 503
    assert manager.state() == "closed"
    assert manager.get(server.url()).status_code == 503
    assert manager.state() == "open"
    with pytest.raises(CircuitBreakerOpen) as caught:
        manager.get(server.url())
    assert caught.value.retry_after == 60
    assert caught.value.attempts == ()
    assert isinstance(caught.value, driver.errors.connect)
    clock.advance(20)
    with pytest.raises(CircuitBreakerOpen) as again:
        manager.get(server.url())
    assert again.value.retry_after == pytest.approx(40)
    assert again.value is not caught.value
    assert server.count() == 2
    clock.advance(40)
    assert manager.get(server.url()).text == "ok"
    assert manager.state() == "closed"
    assert manager.happened(BreakerStateChanged, BreakerRefused) == [
        CLOSED_TO_OPEN,
        ("BreakerRefused", 60),
        ("BreakerRefused", pytest.approx(40)),
        OPEN_TO_HALF,
        HALF_TO_CLOSED,
    ]


def test_a_probe_that_fails_opens_it_again(driver, server, clock):
    server.route("/", reply(503))
    manager = fragile(driver, clock, threshold=1, circuit_breaker_recovery_timeout=10)
    manager.get(server.url())
    clock.advance(10)
    assert manager.get(server.url()).status_code == 503
    with pytest.raises(CircuitBreakerOpen) as caught:
        manager.get(server.url())
    assert caught.value.retry_after == 10
    assert manager.happened(BreakerStateChanged) == [CLOSED_TO_OPEN, OPEN_TO_HALF, HALF_TO_OPEN]


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
def test_5xx_count(driver, server, clock, status):
    server.route("/", reply(status))
    manager = fragile(driver, clock, threshold=1)
    manager.get(server.url())
    assert manager.state() == "open"


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 408, 409, 422, 429])
def test_others_do_not(driver, server, clock, status):
    server.route("/", reply(status))
    manager = fragile(driver, clock, threshold=1)
    for _ in range(3):
        manager.get(server.url())
    assert (manager.state(), failures(manager)) == ("closed", 0)


@pytest.mark.parametrize(
    "fault",
    [disconnect(), reset(), reset(after=5), truncate()],
    ids=lambda fault: fault.name,
)
def test_broken_answers_count(driver, server, clock, fault):
    server.route("/", fault)
    manager = fragile(driver, clock, threshold=1)
    with pytest.raises(driver.errors.base) as caught:
        manager.get(server.url())
    assert not isinstance(caught.value, CircuitBreakerOpen)
    assert manager.state() == "open"


def test_refused_connections_count(driver, clock):
    manager = fragile(driver, clock, threshold=1)
    with dead_origin() as origin, pytest.raises(driver.errors.connect) as caught:
        manager.get(origin)
    assert not isinstance(caught.value, CircuitBreakerOpen)
    assert manager.state() == "open"


def test_timeouts_count(driver, clock):
    manager = fragile(driver, clock, threshold=1)
    with blackhole() as origin, pytest.raises(driver.errors.timeout):
        manager.get(origin, timeout=0.05)
    assert manager.state() == "open"


def test_refusals_of_our_own_do_not(driver, server, clock):
    server.route("/", OK)
    manager = fragile(driver, clock, threshold=1, rate_limit_requests=1)
    manager.get(server.url())
    for _ in range(3):
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url())
    assert (manager.state(), failures(manager)) == ("closed", 0)


def test_bad_urls_do_not(driver, clock):
    manager = fragile(driver, clock, threshold=1)
    for url in ("ftp://127.0.0.1/", "http://"):
        with pytest.raises((driver.errors.base, ValueError)):
            manager.get(url)
    assert (manager.state(), failures(manager)) == ("closed", 0)


def test_a_success_starts_the_count_anew(driver, server, clock):
    server.route("/", reply(503), OK, reply(503), reply(404), reply(503))
    manager = fragile(driver, clock)
    for _ in range(5):
        manager.get(server.url())
    assert (manager.state(), failures(manager)) == ("closed", 1)


class TestTheAttemptThatTrips:
    def test_raises_its_own_error(self, driver, clock):
        manager = fragile(driver, clock, threshold=1, max_retries=3)
        with dead_origin() as origin:
            with pytest.raises(driver.errors.connect) as caught:
                manager.get(origin)
            assert isinstance(caught.value, MaxRetriesExceeded)
            assert not isinstance(caught.value, CircuitBreakerOpen)
            assert caught.value.reason == "circuit_open"
            assert len(caught.value.attempts) == 1
            with pytest.raises(CircuitBreakerOpen):
                manager.get(origin)
        assert clock.sleeps == ()

    def test_raises_its_own_status(self, driver, server, clock):
        server.route("/", reply(503))
        manager = fragile(driver, clock, threshold=2, max_retries=3)
        with pytest.raises(HTTPError) as caught:
            manager.get(server.url())
        assert (caught.value.reason, caught.value.status_code) == ("circuit_open", 503)
        assert clock.sleeps == (0.3,)

    def test_returns_its_response(self, driver, server, clock):
        server.route("/", reply(503))
        manager = fragile(driver, clock, threshold=1, max_retries=3, raise_on_status=False)
        assert manager.get(server.url()).status_code == 503

    def test_is_retried_as_the_probe_when_the_delay_is_long_enough(self, driver, server, clock):
        server.route("/", reply(503), OK)
        manager = fragile(
            driver, clock, threshold=1, max_retries=1, circuit_breaker_recovery_timeout=0.3
        )
        assert manager.get(server.url()).text == "ok"
        assert manager.state() == "closed"


class TestScopes:
    def test_one_dead_host_does_not_block_another(self, driver, server, clock):
        server.route("/", OK)
        manager = fragile(driver, clock, threshold=1)
        with dead_origin() as origin:
            with pytest.raises(driver.errors.connect):
                manager.get(origin)
            assert manager.get(server.url()).text == "ok"
            assert (manager.state(origin), manager.state(server.origin)) == ("open", "closed")
            assert manager.state() == "open"

    def test_an_endpoints_own_breaker(self, driver, server, clock):
        server.route("/", OK)
        server.route("/fragile", reply(503))
        config = {"127.0.0.1/fragile": {"circuit_breaker_failure_threshold": 1}}
        manager = driver.manager(clock=clock, max_retries=0, endpoint_configs=config)
        manager.get(server.url("/fragile"))
        with pytest.raises(CircuitBreakerOpen, match="circuit breaker of 127"):
            manager.get(server.url("/fragile"))
        assert manager.get(server.url()).text == "ok"

    def test_switched_off(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(clock=clock, max_retries=0, circuit_breaker_failure_threshold=None)
        for _ in range(10):
            manager.get(server.url())
        assert manager.state() == "disabled"

    def test_switched_off_for_one_call(self, driver, server, clock):
        server.route("/", reply(503))
        manager = fragile(driver, clock, threshold=1)
        for _ in range(3):
            manager.get(server.url(), circuit_breaker_failure_threshold=None)
        assert manager.state() == "closed"
        manager.get(server.url())
        response = manager.get(server.url(), circuit_breaker_failure_threshold=None)
        assert response.status_code == 503
        with pytest.raises(CircuitBreakerOpen):
            manager.get(server.url())

    def test_a_breaker_of_the_users(self, driver, server, clock):
        class Listener(pybreaker.CircuitBreakerListener):
            changes = ()

            def state_change(self, cb, old_state, new_state):
                self.changes += ((old_state.name, new_state.name),)

        server.route("/", reply(503), OK)
        listener = Listener()
        breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=30, listeners=[listener])
        manager = driver.manager(clock=clock, max_retries=0, circuit_breaker=breaker)
        manager.get(server.url())
        with pytest.raises(CircuitBreakerOpen) as caught:
            manager.get(server.url())
        assert caught.value.retry_after == 30
        assert listener.changes == (("closed", "open"),)
        breaker.close()
        assert manager.get(server.url()).text == "ok"
        breaker.open()
        with pytest.raises(CircuitBreakerOpen):
            manager.get(server.url())


class Gate:
    """A route that answers only when it is told to."""

    def __init__(self, answer):
        self.answer = answer
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, received):
        self.entered.release()
        assert self.opened.wait(10)
        return self.answer

    def call(self, manager, url):
        """Call in a thread, and return once the request has arrived."""
        thread = threading.Thread(target=manager.get, args=(url,))
        thread.start()
        assert self.entered.acquire(timeout=10)
        return thread

    def finish(self, thread):
        self.opened.set()
        thread.join()


class TestConcurrency:
    def test_calls_run_in_parallel(self, driver, server):
        server.route("/", reply(200, delay=0.05))
        manager = driver.manager(pool_maxsize=20, rate_limit_requests=1000)
        with within(0.6):  # one after another they would take 1 s
            results = manager.together([("GET", server.url(), {})] * 20)
        assert [result.status_code for result in results] == [200] * 20

    @pytest.mark.parametrize("probes", [1, 3])
    def test_half_open_admits_no_crowd(self, driver, server, clock, probes):
        gate = Gate(OK)
        server.route("/", reply(503), gate)
        manager = fragile(driver, clock, threshold=1, half_open_max_calls=probes)
        manager.get(server.url())
        clock.advance(60)
        threads = [gate.call(manager, server.url()) for _ in range(probes)]
        assert manager.state() == "half-open"
        for result in manager.together([("GET", server.url(), {})] * 5):
            assert isinstance(result, CircuitBreakerOpen)
            assert result.retry_after == 0.0
        assert server.count() == 1 + probes
        for thread in threads:
            gate.finish(thread)
        assert manager.state() == "closed"

    def test_a_late_success_does_not_close_it(self, driver, server, clock):
        gate = Gate(OK)
        server.route("/slow", gate)
        server.route("/", reply(503))
        manager = fragile(driver, clock)
        thread = gate.call(manager, server.url("/slow"))
        manager.get(server.url())
        manager.get(server.url())
        gate.finish(thread)
        assert manager.state() == "open"
        assert manager.happened(BreakerStateChanged) == [CLOSED_TO_OPEN]

    def test_a_late_failure_does_not_count(self, driver, server, clock):
        gate = Gate(reply(503))
        server.route("/slow", gate)
        server.route("/", reply(503), OK)
        manager = fragile(driver, clock, threshold=1)
        thread = gate.call(manager, server.url("/slow"))
        manager.get(server.url())
        clock.advance(60)
        manager.get(server.url())
        assert manager.state() == "closed"
        gate.finish(thread)
        assert (manager.state(), failures(manager)) == ("closed", 0)
        wait_until(lambda: len(manager.happened(BreakerStateChanged)) == 3)
