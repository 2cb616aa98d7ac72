"""Retries: what is tried again, when, how often, and what is raised in the end."""

from __future__ import annotations

import httpx
import pytest
import requests
from urllib3.util.retry import Retry as UrllibRetry

from requests_connection_manager import (
    AttemptFinished,
    ConnectionReplaced,
    DeadlineExceeded,
    HTTPError,
    MaxRetriesExceeded,
    PipelineAdapter,
    RateLimitError,
    RetryBudget,
    RetryScheduled,
    RetrySuppressed,
)
from requests_connection_manager.testing import (
    blackhole,
    dead_origin,
    dies_while_idle,
    disconnect,
    echo,
    reply,
    reset,
    truncate,
    truncated_chunks,
)

OK = reply(200, body="ok")
NO_BREAKER = {"circuit_breaker_failure_threshold": None}


def statuses(attempts):
    return [attempt.status for attempt in attempts]


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({}, (0.3, 0.6, 1.2)),
        ({"backoff_factor": 1}, (1, 2, 4)),
        ({"backoff_factor": 1, "max_retries": 5, **NO_BREAKER}, (1, 2, 4, 8, 16)),
        ({"backoff_factor": 2, "max_retries": 2}, (2, 4)),
        ({"backoff_factor": 100, "max_retries": 4}, (100, 120, 120, 120)),
        ({"backoff_factor": 10, "backoff_max": 15}, (10, 15, 15)),
        ({"backoff_factor": 0}, ()),
        ({"max_retries": 1}, (0.3,)),
        ({"max_retries": 0}, ()),
    ],
)
def test_backoff_doubles_up_to_its_cap(driver, server, clock, settings, waits):
    server.route("/", reply(503))
    manager = driver.manager(clock=clock, **settings)
    if settings.get("max_retries") == 0:
        assert manager.get(server.url()).status_code == 503
    else:
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url())
    assert clock.sleeps == pytest.approx(waits)
    assert server.count("/") == settings.get("max_retries", 3) + 1


def test_jitter_adds_a_share_and_never_takes_one_away(driver, server, clock):
    server.route("/", reply(503))
    manager = driver.manager(clock=clock, backoff_jitter=0.5, backoff_factor=1)
    with pytest.raises(MaxRetriesExceeded):
        manager.get(server.url())
    for wait, exact in zip(clock.sleeps, (1, 2, 4)):
        assert exact <= wait <= exact * 1.5


def test_a_retried_call_tells_its_history_and_its_events(driver, server, clock):
    server.route("/", reply(503), reply(500), OK)
    manager = driver.manager(clock=clock)
    response = manager.get(server.url())
    assert response.text == "ok"
    assert statuses(response.attempts) == [503, 500, 200]
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3]
    assert [attempt.waited for attempt in response.attempts] == pytest.approx([0, 0.3, 0.6])
    assert manager.events == [
        ("AttemptStarted", 1),
        ("AttemptFinished", 1, 503, True, 0.0),
        ("RetryScheduled", 2, 0.3),
        ("AttemptStarted", 2),
        ("AttemptFinished", 2, 500, True, 0.3),
        ("RetryScheduled", 3, 0.6),
        ("AttemptStarted", 3),
        ("AttemptFinished", 3, 200, False, 0.6),
    ]


def test_the_end_of_retries_on_a_status(driver, server, clock):
    server.route("/", reply(503, json={"error": "busy"}, headers={"Retry-After": "2"}))
    manager = driver.manager(clock=clock, max_retries=1)
    with pytest.raises(MaxRetriesExceeded) as caught:
        manager.get(server.url())
    error = caught.value
    assert (error.reason, error.status_code, error.retry_after) == ("max_retries", 503, 2)
    assert error.response.json() == {"error": "busy"}
    assert error.headers["Retry-After"] == "2"
    assert error.body == '{"error": "busy"}'
    assert error.request.method == "GET"
    assert str(error.request.url) == server.url()
    assert statuses(error.attempts) == statuses(error.response.attempts) == [503, 503]
    assert isinstance(error, HTTPError)
    assert isinstance(error, driver.errors.status)
    assert not isinstance(error, RateLimitError)
    assert manager.events[-3:] == [
        ("AttemptFinished", 2, 503, True, 2.0),
        ("RetrySuppressed", 2, "max_retries"),
        ("CallFailed",),
    ]


def test_the_end_of_retries_on_429_is_a_rate_limit_error(driver, server, clock):
    server.route("/", reply(429))
    with pytest.raises(RateLimitError) as caught:
        driver.manager(clock=clock).get(server.url())
    assert isinstance(caught.value, (MaxRetriesExceeded, HTTPError))
    assert caught.value.status_code == 429


def test_the_end_of_retries_on_an_error_is_that_error_too(driver, clock):
    with dead_origin() as origin, pytest.raises(MaxRetriesExceeded) as caught:
        driver.manager(clock=clock, max_retries=2).get(origin)
    error = caught.value
    assert isinstance(error, driver.errors.connect)
    assert isinstance(error.__cause__, driver.errors.connect)
    assert not isinstance(error.__cause__, MaxRetriesExceeded)
    assert (error.reason, error.response, error.retry_after) == ("max_retries", None, None)
    assert len(error.attempts) == 3
    assert all(attempt.failed and attempt.status is None for attempt in error.attempts)


def test_raise_on_status_false_returns_the_last_response(driver, server, clock):
    server.route("/", reply(503, body="first"), reply(503, body="last"))
    manager = driver.manager(clock=clock, raise_on_status=False, max_retries=1)
    response = manager.get(server.url())
    assert (response.status_code, response.text) == (503, "last")
    assert statuses(response.attempts) == [503, 503]
    assert manager.happened(RetrySuppressed) == [("RetrySuppressed", 2, "max_retries")]


def test_max_retries_0_is_plain(driver, server, clock):
    server.route("/busy", reply(503, headers={"Retry-After": "5"}))
    server.route("/broken", disconnect())
    manager = driver.manager(clock=clock, max_retries=0)
    assert manager.get(server.url("/busy")).status_code == 503
    with pytest.raises(driver.errors.broken) as caught:
        manager.get(server.url("/broken"))
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert len(caught.value.attempts) == 1
    assert manager.happened(RetryScheduled, RetrySuppressed) == []
    assert clock.sleeps == ()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501, 505])
def test_other_statuses_are_returned(driver, server, clock, status):
    server.route("/", reply(status))
    assert driver.manager(clock=clock).get(server.url()).status_code == status
    assert server.count() == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_the_default_statuses_are_retried(driver, server, clock, status):
    server.route("/", reply(status), OK)
    assert driver.manager(clock=clock).get(server.url()).text == "ok"
    assert clock.sleeps == (0.3,)


def test_status_forcelist_replaces_the_default(driver, server, clock):
    server.route("/missing", reply(404), OK)
    server.route("/busy", reply(503))
    manager = driver.manager(clock=clock, status_forcelist=[404])
    assert manager.get(server.url("/missing")).text == "ok"
    assert manager.get(server.url("/busy")).status_code == 503


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_status_of_an_unsafe_method_is_returned(driver, server, clock, method):
    server.route("/", reply(503))
    manager = driver.manager(clock=clock)
    assert manager.request(method, server.url(), body=b"x").status_code == 503
    assert server.count() == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_methods_are_sent_again(driver, server, clock, method):
    server.route("/", reply(503), OK)
    assert driver.manager(clock=clock).request(method, server.url()).status_code == 200
    assert server.count() == 2


def test_allowed_methods_replaces_the_default(driver, server, clock):
    server.route("/", reply(503), OK, reply(503))
    manager = driver.manager(clock=clock, allowed_methods=["POST"])
    assert manager.post(server.url(), body=b"x").text == "ok"
    assert manager.get(server.url()).status_code == 503


def test_allowed_methods_none_is_all(driver, server, clock):
    server.route("/", reply(503), OK)
    assert driver.manager(clock=clock, allowed_methods=None).post(server.url()).text == "ok"


@pytest.mark.parametrize(
    "fault",
    [disconnect(), reset(), reset(after=5), truncate(), truncated_chunks()],
    ids=lambda fault: fault.name,
)
class TestBrokenAnswers:
    def test_a_get_is_sent_again(self, driver, server, clock, fault):
        server.route("/", fault, OK)
        response = driver.manager(clock=clock).get(server.url())
        assert response.text == "ok"
        assert statuses(response.attempts) == [None, 200]

    def test_a_post_is_not(self, driver, server, clock, fault):
        server.route("/", fault, OK)
        with pytest.raises(driver.errors.base) as caught:
            driver.manager(clock=clock).post(server.url(), body=b"x")
        assert not isinstance(caught.value, MaxRetriesExceeded)
        assert len(caught.value.attempts) == 1
        assert server.count() == 1

    def test_a_post_with_a_key_is(self, driver, server, clock, fault):
        server.route("/", fault, OK)
        manager = driver.manager(clock=clock, idempotency_key_header="Idempotency-Key")
        assert manager.post(server.url(), body=b"x").text == "ok"
        assert server.count() == 2


def test_a_read_timeout_of_a_post_is_the_librarys_own(driver, clock):
    with blackhole() as origin, pytest.raises(driver.errors.read_timeout) as caught:
        driver.manager(clock=clock, timeout=0.05).post(origin, body=b"x")
    assert not isinstance(caught.value, MaxRetriesExceeded)


def test_a_read_timeout_of_a_get_is_retried(driver, clock):
    with blackhole() as origin, pytest.raises(MaxRetriesExceeded) as caught:
        driver.manager(clock=clock, timeout=0.05, max_retries=1).get(origin)
    assert isinstance(caught.value, driver.errors.read_timeout)
    assert len(caught.value.attempts) == 2


def test_a_post_that_was_never_sent_is_sent_again(driver, clock):
    with dead_origin() as origin, pytest.raises(MaxRetriesExceeded) as caught:
        driver.manager(clock=clock).post(origin, body=b"x")
    assert len(caught.value.attempts) == 4
    assert clock.sleeps == pytest.approx((0.3, 0.6, 1.2))


def test_one_idempotency_key_per_call(driver, server, clock):
    server.route("/", reply(503), reset(), OK)
    manager = driver.manager(clock=clock, idempotency_key_header="Idempotency-Key")
    manager.post(server.url(), body=b"x")
    manager.post(server.url(), body=b"x")
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_the_callers_own_idempotency_key_is_kept(driver, server, clock):
    server.route("/", reply(503), OK)
    manager = driver.manager(clock=clock, idempotency_key_header="Idempotency-Key")
    manager.post(server.url(), headers={"idempotency-key": "mine"})
    assert [request.headers["Idempotency-Key"] for request in server.requests] == ["mine"] * 2


def test_a_get_needs_no_key(driver, server, clock):
    server.route("/", OK)
    driver.manager(clock=clock, idempotency_key_header="Idempotency-Key").get(server.url())
    assert "Idempotency-Key" not in server.requests[0].headers


def test_bytes_are_sent_again_whole(driver, server, clock):
    server.route("/", reply(503), reset(), echo())
    response = driver.manager(clock=clock).put(server.url(), body=b"payload")
    assert response.json()["body"] == "payload"
    assert [request.body for request in server.requests] == [b"payload"] * 3


class TestBodiesThatCanBeReadOnce:
    def test_after_a_status(self, driver, server, clock):
        server.route("/", reply(503), OK)
        manager = driver.manager(clock=clock)
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.put(server.url(), body=driver.one_shot_body(b"pay", b"load"))
        assert caught.value.reason == "body_not_replayable"
        assert caught.value.response.status_code == 503
        assert [request.body for request in server.requests] == [b"payload"]

    def test_after_a_status_that_is_not_raised(self, driver, server, clock):
        server.route("/", reply(503), OK)
        manager = driver.manager(clock=clock, raise_on_status=False)
        response = manager.put(server.url(), body=driver.one_shot_body(b"x"))
        assert response.status_code == 503
        assert server.count() == 1

    def test_after_an_error(self, driver, server, clock):
        server.route("/", disconnect(), OK)
        manager = driver.manager(clock=clock)
        with pytest.raises(driver.errors.broken) as caught:
            manager.put(server.url(), body=driver.one_shot_body(b"x"))
        assert not isinstance(caught.value, MaxRetriesExceeded)
        assert "cannot be replayed" in caught.value.__notes__[0]
        assert server.count() == 1

    def test_when_nothing_was_sent(self, driver, clock):
        # A one-shot body may have been touched by the attempt that failed: nobody can tell.
        with dead_origin() as origin, pytest.raises(driver.errors.connect):
            driver.manager(clock=clock).put(origin, body=driver.one_shot_body(b"x"))

    @pytest.mark.parametrize("status", [307, 308])
    def test_a_redirect_that_keeps_the_method(self, driver, server, clock, status):
        server.route("/", reply(status, headers={"Location": "/next"}))
        server.route("/next", OK)
        with pytest.raises(driver.errors.consumed):
            driver.manager(clock=clock).put(server.url(), body=driver.one_shot_body(b"x"))
        assert server.count("/next") == 0


def test_streamed_statuses_are_retried(driver, server, clock):
    server.route("/", reply(503, body="busy"), OK)
    assert driver.manager(clock=clock).read_stream(server.url()) == b"ok"
    assert clock.sleeps == (0.3,)


def test_streamed_bodies_that_break_are_the_callers_affair(driver, server, clock):
    server.route("/", truncate())
    manager = driver.manager(clock=clock)
    with pytest.raises(driver.errors.truncated):
        manager.read_stream(server.url())
    assert server.count() == 1


# 2023-11-14 22:13:20 UTC is when the virtual clock starts.
PAST = "Tue, 14 Nov 2023 22:13:10 GMT"
IN_A_MINUTE = "Tue, 14 Nov 2023 22:14:20 GMT"
IN_TWO_HOURS = "Wed, 15 Nov 2023 00:13:20 GMT"


class TestServerHints:
    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({"Retry-After": "7"}, 7),
            ({"Retry-After": " 7.5 "}, 7.5),
            ({"Retry-After": "120"}, 120),
            ({"Retry-After": "0"}, 0.3),
            ({"Retry-After": "0.1"}, 0.3),
            ({"Retry-After": IN_A_MINUTE}, 60),
            ({"Retry-After": PAST}, 0.3),
            ({"Retry-After": "-5"}, 0.3),
            ({"Retry-After": "nan"}, 0.3),
            ({"Retry-After": "inf"}, 0.3),
            ({"Retry-After": "1e3"}, 0.3),
            ({"Retry-After": "Fri, 31 Feb"}, 0.3),
            ({"Retry-After": "Fri, 31 Feb 2023 10:00:00 GMT"}, 0.3),
            ({"Retry-After": ""}, 0.3),
            ({"Retry-After": "soon"}, 0.3),
            ({"retry-after-ms": "1500"}, 1.5),
            ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
            ({"retry-after-ms": "x", "Retry-After": "9"}, 9),
        ],
    )
    @pytest.mark.parametrize("status", [429, 503])
    def test_waits(self, driver, server, clock, status, headers, wait):
        server.route("/", reply(status, headers=headers), OK)
        assert driver.manager(clock=clock).get(server.url()).text == "ok"
        assert clock.sleeps == pytest.approx((wait,), abs=1e-5)

    @pytest.mark.parametrize("value", ["99999999", "121", IN_TWO_HOURS])
    @pytest.mark.parametrize("status", [429, 503])
    def test_too_much_patience_is_not_had(self, driver, server, clock, status, value):
        server.route("/", reply(status, headers={"Retry-After": value}), OK)
        manager = driver.manager(clock=clock)
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(server.url())
        assert caught.value.reason == "retry_after"
        assert caught.value.retry_after > 120
        assert clock.sleeps == ()
        assert manager.happened(RetrySuppressed) == [("RetrySuppressed", 1, "retry_after")]

    def test_retry_after_max_is_a_setting(self, driver, server, clock):
        server.route("/", reply(503, headers={"Retry-After": "200"}), OK)
        assert driver.manager(clock=clock, retry_after_max=300).get(server.url()).text == "ok"
        assert clock.sleeps == (200,)

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"},
            {"X-RateLimit-Reset": "1700000020"},
            {"RateLimit-Remaining": "0", "RateLimit-Reset": "20"},
            {"RateLimit": "limit=100, remaining=0, reset=20"},
            {"RateLimit": '"default";r=0;t=20'},
        ],
    )
    def test_the_reset_of_a_quota(self, driver, server, clock, headers):
        server.route("/", reply(429, headers=headers), OK)
        assert driver.manager(clock=clock).get(server.url()).text == "ok"
        assert clock.sleeps == pytest.approx((20,), abs=1e-5)

    def test_a_quota_that_is_not_used_up_says_nothing_about_a_503(self, driver, server, clock):
        headers = {"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "20"}
        server.route("/", reply(503, headers=headers), OK)
        driver.manager(clock=clock).get(server.url())
        assert clock.sleeps == (0.3,)


class TestBudget:
    def test_exhaustion(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(
            clock=clock, max_retries=9, retry_budget=RetryBudget(capacity=30), **NO_BREAKER
        )
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(server.url())
        assert caught.value.reason == "retry_budget"
        assert len(caught.value.attempts) == 3
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(server.url())
        assert len(caught.value.attempts) == 1

    def test_throttling_is_cheaper(self, driver, server, clock):
        server.route("/", reply(429))
        manager = driver.manager(clock=clock, max_retries=9, retry_budget=RetryBudget(capacity=30))
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(server.url())
        assert caught.value.reason == "retry_budget"
        assert len(caught.value.attempts) == 7

    def test_successes_refill_it(self, driver, server, clock):
        server.route("/flaky", reply(503), OK)
        server.route("/ok", OK)
        manager = driver.manager(clock=clock, retry_budget=RetryBudget(capacity=20))
        manager.get(server.url("/flaky"))
        scope = manager.get_stats()["scopes"][server.origin]
        assert scope["retry_budget_available"] == 20

    def test_it_is_per_origin(self, driver, server, clock):
        server.route("/", reply(503), OK)
        manager = driver.manager(clock=clock, retry_budget=RetryBudget(capacity=14))
        with dead_origin() as origin, pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(origin)
        assert caught.value.reason == "retry_budget"
        assert manager.get(server.url()).text == "ok"

    def test_none_is_off(self, driver, server, clock):
        server.route("/", *[reply(503)] * 50, OK)
        manager = driver.manager(
            clock=clock, max_retries=60, retry_budget=None, backoff_factor=0, **NO_BREAKER
        )
        assert manager.get(server.url()).text == "ok"


class TestDeadline:
    def test_a_delay_beyond_it_stops_at_once(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(clock=clock, total_timeout=10, backoff_factor=4)
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(server.url())
        assert caught.value.reason == "deadline"
        assert clock.sleeps == (4,)
        assert manager.happened(RetrySuppressed) == [("RetrySuppressed", 2, "deadline")]

    def test_a_hint_beyond_it_stops_at_once(self, driver, server, clock):
        server.route("/", reply(503, headers={"Retry-After": "30"}))
        with pytest.raises(MaxRetriesExceeded) as caught:
            driver.manager(clock=clock, total_timeout=20).get(server.url())
        assert (caught.value.reason, caught.value.retry_after) == ("deadline", 30)
        assert clock.sleeps == ()

    def test_per_call(self, driver, server, clock):
        server.route("/", reply(503))
        with pytest.raises(MaxRetriesExceeded) as caught:
            driver.manager(clock=clock, backoff_factor=4).get(server.url(), total_timeout=3)
        assert caught.value.reason == "deadline"


class Remembering(UrllibRetry):
    """A ``Retry`` of a user's, with a state of its own."""

    def __init__(self, *args, label="", seen=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.label = label
        self.seen = tuple(seen)

    def new(self, **kwargs):
        return super().new(label=self.label, seen=self.seen, **kwargs)

    def increment(self, *args, **kwargs):
        following = super().increment(*args, **kwargs)
        response = kwargs.get("response")
        following.seen = (*self.seen, None if response is None else response.status)
        LOG.append((following.label, following.seen))
        return following

    def get_backoff_time(self):
        return float(len(self.seen))


LOG = []


class TestForeignRetry:
    def test_a_subclass_with_state(self, driver, server, clock):
        del LOG[:]
        server.route("/", reset(), reply(503), reply(418), OK)
        policy = Remembering(5, label="mine", status_forcelist=[418, 503])
        manager = driver.manager(clock=clock, max_retries=policy)
        assert manager.get(server.url()).text == "ok"
        assert LOG == [
            ("mine", (None,)),
            ("mine", (None, 503)),
            ("mine", (None, 503, 418)),
        ]
        assert clock.sleeps == (1, 2, 3)
        assert policy.seen == ()

    def test_it_decides_alone(self, driver, server, clock):
        # Its own backoff and hints; no cap, no budget of ours.
        server.route("/", reply(503, headers={"Retry-After": "300"}), reply(503), OK)
        policy = UrllibRetry(3, backoff_factor=1, status_forcelist=[503])
        manager = driver.manager(
            clock=clock, max_retries=policy, retry_budget=RetryBudget(capacity=1)
        )
        assert manager.get(server.url()).text == "ok"
        assert clock.sleeps == (300, 2)

    def test_it_is_exhausted(self, driver, server, clock):
        server.route("/", reply(503))
        policy = UrllibRetry(1, status_forcelist=[503])
        with pytest.raises(MaxRetriesExceeded) as caught:
            driver.manager(clock=clock, max_retries=policy).get(server.url())
        assert caught.value.reason == "max_retries"
        policy = UrllibRetry(1, status_forcelist=[503], raise_on_status=False)
        response = driver.manager(clock=clock, max_retries=policy).get(server.url())
        assert response.status_code == 503

    def test_what_it_never_retries_is_plain(self, driver, server, clock):
        server.route("/", disconnect())
        manager = driver.manager(clock=clock, max_retries=UrllibRetry(3, read=False))
        with pytest.raises(driver.errors.broken) as caught:
            manager.get(server.url())
        assert not isinstance(caught.value, MaxRetriesExceeded)

    def test_connect_0_means_no_retry_of_a_refused_connection(self, driver, clock):
        manager = driver.manager(clock=clock, max_retries=UrllibRetry(3, connect=0))
        with dead_origin() as origin, pytest.raises(driver.errors.connect) as caught:
            manager.get(origin)
        assert len(caught.value.attempts) == 1

    def test_a_post_is_not_sent_again(self, driver, server, clock):
        server.route("/", reset())
        manager = driver.manager(clock=clock, max_retries=UrllibRetry(3))
        with pytest.raises(driver.errors.broken):
            manager.post(server.url(), body=b"x")
        assert server.count() == 1


class TestPerCall:
    def test_max_retries(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(clock=clock)
        assert manager.get(server.url(), max_retries=0).status_code == 503
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url(), max_retries=1, backoff_factor=9)
        assert clock.sleeps == (9,)

    def test_the_others(self, driver, server, clock):
        server.route("/", reply(404), reply(503), OK)
        manager = driver.manager(clock=clock)
        response = manager.post(
            server.url(),
            status_forcelist={404, 503},
            allowed_methods=["POST"],
            backoff_factor=5,
            backoff_max=7,
        )
        assert response.text == "ok"
        assert clock.sleeps == (5, 7)

    def test_raise_on_status(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(clock=clock)
        assert manager.get(server.url(), raise_on_status=False).status_code == 503
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url())

    def test_an_endpoint_is_between_the_call_and_the_manager(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(
            clock=clock,
            max_retries=3,
            backoff_factor=1,
            endpoint_configs={"127.0.0.1": {"max_retries": 1, "raise_on_status": False}},
        )
        manager.get(server.url())
        assert clock.sleeps == (1,)
        manager.get(server.url(), max_retries=0)
        assert clock.sleeps == (1,)

    def test_send_takes_them_too(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(clock=clock)
        assert manager.send_prepared("GET", server.url(), max_retries=0).status_code == 503
        with pytest.raises(MaxRetriesExceeded):
            manager.send_prepared("GET", server.url())
        assert server.count() == 5

    @pytest.mark.parametrize(
        "settings",
        [{"max_retires": 1}, {"rate_limit_period": 5}, {"bearer_token": "t"}, {"nonsense": None}],
    )
    def test_what_is_no_setting_of_a_call(self, driver, server, settings):
        with pytest.raises(TypeError, match=next(iter(settings))):
            driver.manager().get(server.url(), **settings)
        assert server.count() == 0


class TestStaleConnections:
    """A kept-alive connection that dies before the answer is replaced once, for free."""

    @pytest.fixture(params=["closed", "reset"])
    def dying(self, request, server):
        first = dies_while_idle(OK, when="next", with_reset=request.param == "reset")
        server.route("/", first, OK)
        return server.url()

    def test_replaced(self, driver, server, clock, dying):
        manager = driver.manager(clock=clock)
        manager.get(dying)
        response = manager.get(dying)
        assert response.text == "ok"
        assert statuses(response.attempts) == [200]
        assert clock.sleeps == ()
        assert (server.count(), server.connections) == (3, 2)
        assert manager.happened(AttemptFinished, ConnectionReplaced) == [
            ("AttemptFinished", 1, 200, False, 0.0),
            ("ConnectionReplaced",),
            ("AttemptFinished", 1, 200, False, 0.0),
        ]
        scope = manager.get_stats()["scopes"][server.origin]
        assert scope["circuit_breaker_failure_count"] == 0
        assert scope["retry_budget_available"] == 500
        assert scope["rate_limit_fill"] == pytest.approx(0.02)

    def test_not_for_a_post(self, driver, server, clock, dying):
        manager = driver.manager(clock=clock)
        manager.get(dying)
        with pytest.raises(driver.errors.broken):
            manager.post(dying, body=b"x")
        assert server.count() == 2

    def test_for_a_post_with_a_key(self, driver, server, clock, dying):
        manager = driver.manager(clock=clock, idempotency_key_header="Idempotency-Key")
        manager.get(dying)
        assert manager.post(dying, body=b"x").text == "ok"
        first, second = server.requests[1:]
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
        assert clock.sleeps == ()

    def test_not_without_retries(self, driver, server, clock, dying):
        manager = driver.manager(clock=clock, max_retries=0)
        manager.get(dying)
        with pytest.raises(driver.errors.broken):
            manager.get(dying)
        assert server.count() == 2

    def test_not_with_a_body_that_can_be_read_once(self, driver, server, clock, dying):
        manager = driver.manager(clock=clock)
        manager.get(dying)
        with pytest.raises(driver.errors.broken):
            manager.put(dying, body=driver.one_shot_body(b"x"))
        assert server.count() == 2

    def test_only_once(self, driver, server, clock):
        server.route("/", dies_while_idle(OK, when="next"), disconnect(), OK)
        manager = driver.manager(clock=clock)
        manager.get(server.url())
        response = manager.get(server.url())
        assert statuses(response.attempts) == [None, 200]
        assert clock.sleeps == (0.3,)

    @pytest.mark.parametrize("fault", [reset(after=5), truncate()], ids=lambda fault: fault.name)
    def test_one_that_dies_in_its_answer_is_an_attempt(self, driver, server, clock, fault):
        server.route("/", OK, fault, OK)
        manager = driver.manager(clock=clock)
        manager.get(server.url())
        response = manager.get(server.url())
        assert statuses(response.attempts) == [None, 200]
        assert clock.sleeps == (0.3,)
        assert manager.happened(ConnectionReplaced) == []

    def test_a_fresh_one_that_dies_is_an_attempt(self, driver, server, clock):
        server.route("/", disconnect(), OK)
        manager = driver.manager(clock=clock)
        assert statuses(manager.get(server.url()).attempts) == [None, 200]
        assert manager.happened(ConnectionReplaced) == []


def test_an_error_after_the_deadline_is_the_deadlines(driver, clock):
    # A socket timeout that ends at the same moment may be noticed before the deadline itself.
    def late(kind):
        clock.advance(5)
        raise kind("timed out")

    class Adapter(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            late(requests.ReadTimeout)

        def close(self):
            pass

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            late(httpx.ReadTimeout)

    if driver.is_sync:
        manager = driver.manager(clock=clock, total_timeout=5)
        manager.mount("http://", PipelineAdapter(wraps=Adapter()))
    else:
        manager = driver.manager(clock=clock, total_timeout=5, transport=Transport())
    with pytest.raises(DeadlineExceeded) as caught:
        manager.get("http://api.test/")
    assert isinstance(caught.value.__cause__, driver.errors.read_timeout)
