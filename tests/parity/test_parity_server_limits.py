"""``follow_server_limits``: the server's limits hold where there is no limiter of one's own."""

from __future__ import annotations

import pytest

from requests_connection_manager import LimiterRefused, LimiterWaited, RateLimitExceeded
from requests_connection_manager.testing import FaultServer, reply

OK = reply(200, body="ok")
BUSY = reply(429, headers={"Retry-After": "30"})
LAST = reply(200, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "45"})


def following(driver, clock, **settings):
    usual = {"rate_limit_requests": None, "follow_server_limits": True, "max_retries": 0}
    return driver.manager(**{**usual, "clock": clock, **settings})


@pytest.mark.parametrize(("told", "seconds"), [(BUSY, 30), (LAST, 45)], ids=["429", "quota"])
def test_calls_queue_until_the_reset(driver, server, clock, told, seconds):
    server.route("/", told, OK)
    manager = following(driver, clock, rate_limit_mode="wait")
    manager.get(server.url())
    clock.advance(10)
    assert manager.get(server.url()).text == "ok"
    assert clock.sleeps == (pytest.approx(seconds - 10),)
    assert manager.happened(LimiterWaited) == [("LimiterWaited", pytest.approx(seconds - 10))]


@pytest.mark.parametrize(("told", "seconds"), [(BUSY, 30), (LAST, 45)], ids=["429", "quota"])
def test_calls_are_refused_until_the_reset(driver, server, clock, told, seconds):
    server.route("/", told, OK)
    manager = following(driver, clock)
    manager.get(server.url())
    clock.advance(10)
    with pytest.raises(RateLimitExceeded) as caught:
        manager.get(server.url())
    assert caught.value.retry_after == pytest.approx(seconds - 10)
    assert (server.count(), len(manager.happened(LimiterRefused))) == (1, 1)
    clock.advance(seconds - 10)
    assert manager.get(server.url()).text == "ok"


def test_a_pause_is_at_most_retry_after_max(driver, server, clock):
    server.route("/", reply(429, headers={"Retry-After": "99999"}), OK)
    manager = following(driver, clock, retry_after_max=60, rate_limit_mode="wait")
    manager.get(server.url())
    manager.get(server.url())
    assert clock.sleeps == (pytest.approx(60),)


def test_without_a_pause_nobody_waits_and_nobody_is_refused(driver, server, clock):
    server.route("/", OK)
    manager = following(driver, clock)
    for _ in range(120):
        manager.get(server.url())
    assert clock.sleeps == ()
    assert manager.happened(LimiterRefused, LimiterWaited) == []


@pytest.mark.parametrize(
    "told", [reply(429), reply(503, headers={"Retry-After": "30"}), reply(500)], ids=str
)
def test_what_is_no_limit_of_the_server_pauses_nothing(driver, server, clock, told):
    server.route("/", told, OK)
    manager = following(driver, clock)
    manager.get(server.url())
    assert manager.get(server.url()).text == "ok"


def test_off_by_default(driver, server, clock):
    server.route("/", BUSY, OK)
    manager = following(driver, clock, follow_server_limits=False)
    manager.get(server.url())
    assert manager.get(server.url()).text == "ok"
    assert clock.sleeps == ()


def test_only_the_scope_pauses_that_was_told(driver, server, clock):
    server.route("/", BUSY)
    manager = following(driver, clock)
    manager.get(server.url())
    with FaultServer() as other:
        other.route("/", OK)
        assert manager.get(other.url()).text == "ok"


def test_a_limiter_of_ones_own_counts_and_pauses_as_ever(driver, server, clock):
    server.route("/", OK, BUSY, OK)
    manager = following(driver, clock, rate_limit_requests=2)
    manager.get(server.url())
    manager.get(server.url())
    with pytest.raises(RateLimitExceeded) as caught:
        manager.get(server.url())
    assert caught.value.retry_after == pytest.approx(60)


def test_one_endpoint_can_differ(driver, server, clock):
    server.route("/heeded", BUSY, OK)
    server.route("/other", BUSY, OK)
    endpoints = {"127.0.0.1/heeded": {"follow_server_limits": True}}
    manager = following(driver, clock, follow_server_limits=False, endpoint_configs=endpoints)
    for path in ("/heeded", "/other"):
        manager.get(server.url(path))
    assert manager.get(server.url("/other")).text == "ok"
    with pytest.raises(RateLimitExceeded, match=r"127\.0\.0\.1/heeded"):
        manager.get(server.url("/heeded"))


def test_a_call_can_choose_to_wait_but_not_to_pass(driver, server, clock):
    server.route("/", BUSY, OK)
    manager = following(driver, clock)
    manager.get(server.url())
    with pytest.raises(RateLimitExceeded):
        manager.get(server.url(), rate_limit_requests=None)
    assert manager.get(server.url(), rate_limit_mode="wait").text == "ok"
    with pytest.raises(TypeError, match="follow_server_limits"):
        manager.get(server.url(), follow_server_limits=False)


def test_a_retry_waits_for_the_server_once(driver, server, clock):
    server.route("/", BUSY, OK)
    manager = following(driver, clock, max_retries=1)
    assert manager.get(server.url()).text == "ok"
    assert clock.sleeps == (pytest.approx(30),)


def test_a_wait_beyond_the_deadline_is_refused_at_once(driver, server, clock):
    server.route("/", BUSY, OK)
    manager = following(driver, clock, rate_limit_mode="wait")
    manager.get(server.url())
    with pytest.raises(RateLimitExceeded):
        manager.get(server.url(), total_timeout=20)
    assert clock.sleeps == ()


def test_those_who_queued_are_all_served(driver, server, clock):
    server.route("/", BUSY, OK)
    manager = following(driver, clock, rate_limit_mode="wait")
    manager.get(server.url())
    results = manager.together([("GET", server.url(), {}) for _ in range(8)])
    assert [result.text for result in results] == ["ok"] * 8
    assert clock.monotonic() >= 30


def test_statistics_and_explanation_tell(driver, server, clock):
    server.route("/", BUSY)
    manager = following(driver, clock)
    manager.get(server.url())
    clock.advance(10)
    scope = manager.get_stats()["scopes"][server.origin]
    assert scope["rate_limit_paused_for"] == pytest.approx(20)
    assert scope["rate_limit_fill"] == 0.0
    clock.advance(20)
    assert manager.get_stats()["scopes"][server.origin]["rate_limit_paused_for"] == 0.0
    assert manager.explain("GET", server.url())["settings"]["follow_server_limits"] is True


def test_a_wrong_value_names_the_setting(driver):
    with pytest.raises(TypeError, match="follow_server_limits must be True or False, not 'yes'"):
        driver.manager(follow_server_limits="yes")
