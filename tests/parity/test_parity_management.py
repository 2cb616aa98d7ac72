"""What is the same about batch, statistics, explanations and settings at run time."""

from __future__ import annotations

import json
import threading

import pytest

from requests_connection_manager import (
    AttemptFinished,
    BreakerStateChanged,
    CircuitBreakerOpen,
    LimiterRefused,
    MaxRetriesExceeded,
    RateLimitExceeded,
    RetryScheduled,
)
from requests_connection_manager.testing import dead_origin, echo, redirect, reply

OK = reply(200, body="ok")

STATS = {
    "circuit_breaker_state",
    "circuit_breaker_failure_count",
    "rate_limit_requests",
    "rate_limit_period",
    "timeout",
    "registered_hooks",
    "endpoint_configs",
    "scopes",
}
SCOPE = {
    "circuit_breaker_state",
    "circuit_breaker_failure_count",
    "rate_limit_fill",
    "rate_limit_paused_for",
    "retry_budget_available",
    "attempts",
    "failures",
    "retries",
    "refusals",
    "limiter_waited",
    "latency",
}
EXPLAINED = {
    "method",
    "url",
    "pattern",
    "origin",
    "scope",
    "credentials",
    "retried_after_sending",
    "settings",
}


class TestBatch:
    def test_results_are_in_input_order(self, driver, server):
        server.route("/slow", reply(200, json="slow", delay=0.1))
        server.route("/fast", reply(200, json="fast"))
        paths = ["/slow", "/fast", "/fast", "/slow", "/fast"]
        results = driver.manager().batch([("GET", server.url(path), {}) for path in paths])
        assert [result.json() for result in results] == [path[1:] for path in paths]

    def test_failures_are_items(self, driver, server, clock):
        server.route("/", OK)
        with dead_origin() as origin:
            results = driver.manager(clock=clock).batch(
                [
                    ("GET", server.url(), {}),
                    ("GET", origin, {}),
                    ("GET", server.url(), {"nonsense": 1}),
                    ("GET", server.url(), {}),
                ]
            )
        assert [type(result).__mro__[1] for result in results[1:2]] == [MaxRetriesExceeded]
        assert isinstance(results[2], TypeError)
        assert results[0].text == results[3].text == "ok"

    def test_the_first_failure_is_raised(self, driver, server, clock):
        server.route("/", OK)
        with dead_origin() as origin:
            items = [("GET", origin, {})] + [("GET", server.url(), {})] * 50
            with pytest.raises(MaxRetriesExceeded):
                driver.manager(clock=clock).batch(items, max_workers=1, return_exceptions=False)
        assert server.count() == 0

    def test_kwargs_reach_the_call(self, driver, server):
        server.route("/", echo())
        items = (
            ("POST", server.url(), {"json": {"n": n}, "headers": {"X-N": str(n)}}) for n in range(3)
        )
        results = driver.manager().batch(items)
        assert [json.loads(result.json()["body"]) for result in results] == [
            {"n": 0},
            {"n": 1},
            {"n": 2},
        ]
        assert [result.json()["headers"]["x-n"] for result in results] == ["0", "1", "2"]

    def test_no_kwargs_are_fine(self, driver, server):
        server.route("/", OK)
        items = [("GET", server.url()), ("GET", server.url(), None), ["GET", server.url(), {}]]
        assert [result.text for result in driver.manager().batch(items)] == ["ok"] * 3

    def test_nothing_to_do(self, driver):
        assert driver.manager().batch([]) == []

    @pytest.mark.parametrize(
        ("items", "error", "message"),
        [
            ([("GET", "http://a/", {}), ("GET",)], TypeError, r"requests_data\[1\]"),
            ([("GET", "http://a/", {}), "GET"], TypeError, r"requests_data\[1\]"),
            ([(1, "http://a/", {})], TypeError, r"requests_data\[0\].*method"),
            ([("GET", "http://a/", [])], TypeError, r"requests_data\[0\].*kwargs"),
            ([("GET", "http://a/", {1: 2})], TypeError, r"requests_data\[0\].*kwargs"),
            ("GET http://a/", TypeError, "iterable"),
            (None, TypeError, "iterable"),
        ],
    )
    def test_input_is_checked_first(self, driver, server, items, error, message):
        server.route("/", OK)
        with pytest.raises(error, match=message):
            driver.manager().batch(items)

    def test_nothing_is_sent_when_a_later_item_is_wrong(self, driver, server):
        server.route("/", OK)
        with pytest.raises(TypeError, match=r"requests_data\[2\]"):
            driver.manager().batch([("GET", server.url(), {})] * 2 + [()])
        assert server.count() == 0

    @pytest.mark.parametrize(
        ("workers", "error"), [(0, ValueError), (-1, ValueError), ("5", TypeError)]
    )
    def test_max_workers_is_checked(self, driver, workers, error):
        with pytest.raises(error, match="max_workers"):
            driver.manager().batch([], max_workers=workers)

    @pytest.mark.parametrize("workers", [1, 3])
    def test_so_many_at_a_time(self, driver, server, workers):
        lock, state = threading.Lock(), {"now": 0, "most": 0}

        def count(received):
            with lock:
                state["now"] += 1
                state["most"] = max(state["most"], state["now"])
            barrier.wait(0.02)
            with lock:
                state["now"] -= 1
            return OK

        barrier = threading.Event()
        server.route("/", count)
        driver.manager().batch([("GET", server.url(), {})] * 9, max_workers=workers)
        assert state["most"] == workers

    def test_one_limiter_for_all(self, driver, server, clock):
        server.route("/", OK)
        manager = driver.manager(clock=clock, rate_limit_requests=7)
        results = manager.batch([("GET", server.url(), {})] * 20, max_workers=10)
        refused = [result for result in results if isinstance(result, RateLimitExceeded)]
        assert (len(refused), server.count()) == (13, 7)


class TestStatistics:
    def test_keys(self, driver, server):
        server.route("/", OK)
        manager = driver.manager()
        manager.get(server.url())
        stats = manager.get_stats()
        assert set(stats) == STATS
        assert set(stats["scopes"]) == {server.origin}
        assert set(stats["scopes"][server.origin]) == SCOPE

    def test_numbers(self, driver, server, clock):
        server.route("/", reply(503), OK, reply(503))
        manager = driver.manager(
            clock=clock, circuit_breaker_failure_threshold=2, rate_limit_requests=5, max_retries=1
        )
        manager.get(server.url())
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url())
        with pytest.raises(CircuitBreakerOpen):
            manager.get(server.url())
        plain = {"circuit_breaker_failure_threshold": None, "max_retries": 0}
        manager.get(server.url(), **plain)
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url(), **plain)
        stats = manager.get_stats()
        assert (stats["circuit_breaker_state"], stats["circuit_breaker_failure_count"]) == (
            "open",
            2,
        )
        scope = stats["scopes"][server.origin]
        assert (scope["attempts"], scope["failures"], scope["retries"]) == (5, 4, 2)
        assert scope["refusals"] == {"breaker": 1, "limiter": 1}
        assert scope["rate_limit_fill"] == 1.0
        # One retry paid back by its success; the other one was spent.
        assert scope["retry_budget_available"] == 500 - 14

    def test_they_hold_no_secrets(self, driver, server):
        server.route("/", OK)
        config = {"127.0.0.1": {"bearer_token": "hidden", "headers": {"X-Api-Key": "hidden"}}}
        manager = driver.manager(api_key="hidden", endpoint_configs=config)
        manager.get(server.url("/?api_key=hidden"))
        assert "hidden" not in repr(manager.get_stats())
        assert "hidden" not in repr(manager.seen)
        assert "hidden" not in repr(manager.explain("GET", server.url("/?api_key=hidden")))


class TestExplain:
    def test_keys(self, driver):
        assert set(driver.manager().explain("GET", "https://api.example.com/")) == EXPLAINED

    def test_what_would_apply(self, driver, server):
        manager = driver.manager(
            api_key="secret",
            max_retries=2,
            endpoint_configs={
                "api.example.com": {"timeout": 5},
                "api.example.com/v1": {"max_retries": 7, "rate_limit_requests": 3},
            },
        )
        told = manager.explain("post", "https://api.example.com/v1/users?token=secret")
        assert (told["method"], told["pattern"]) == ("POST", "api.example.com/v1")
        assert (told["scope"], told["origin"]) == ("api.example.com/v1", "https://api.example.com")
        assert told["settings"]["max_retries"] == 7
        assert told["credentials"] == ["X-API-Key"]
        assert told["retried_after_sending"] is False
        assert "secret" not in repr(told)
        told = manager.explain("GET", "https://other.example.com/")
        assert (told["pattern"], told["settings"]["max_retries"]) == (None, 2)
        assert told["retried_after_sending"] is True
        assert server.count() == 0


class TestSettingsAtRunTime:
    def test_endpoint_configs(self, driver, server, clock):
        server.route("/", reply(503))
        manager = driver.manager(clock=clock)
        manager.add_endpoint_config("127.0.0.1", {"max_retries": 0})
        assert manager.get_endpoint_configs() == {"127.0.0.1": {"max_retries": 0}}
        assert manager.get(server.url()).status_code == 503
        manager.remove_endpoint_config("127.0.0.1")
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url())
        with pytest.raises(ValueError, match="no endpoint settings"):
            manager.remove_endpoint_config("127.0.0.1")

    def test_timeouts(self, driver, server, clock):
        server.route("/", reply(200, delay=5))
        manager = driver.manager(clock=clock, max_retries=0)
        manager.set_timeouts(read_timeout=0.05)
        with pytest.raises(driver.errors.read_timeout):
            manager.get(server.url())

    def test_a_call_sees_one_consistent_set(self, driver, server, clock):
        manager = driver.manager(clock=clock, bearer_token="old", max_retries=1)

        def change(received):
            manager.set_bearer_token("new")
            return reply(503)

        server.route("/", change, echo())
        assert manager.get(server.url()).json()["headers"]["authorization"] == "Bearer old"
        assert manager.get(server.url()).json()["headers"]["authorization"] == "Bearer new"

    def test_an_endpoints_timeout(self, driver, server, clock):
        server.route("/slow", reply(200, delay=0.2))
        config = {"127.0.0.1/slow": {"timeout": 0.05}}
        manager = driver.manager(clock=clock, max_retries=0, endpoint_configs=config)
        with pytest.raises(driver.errors.read_timeout):
            manager.get(server.url("/slow"))
        assert manager.get(server.url("/slow"), timeout=5).status_code == 200
        assert manager.get(server.url("/slow"), timeout=None).status_code == 200

    def test_a_redirect_has_the_timeout_of_its_own_url(self, driver, server, clock):
        server.route("/", redirect("/slow"))
        server.route("/slow", reply(200, delay=0.3))
        config = {"127.0.0.1/slow": {"read_timeout": 0.05}}
        manager = driver.manager(clock=clock, max_retries=0, endpoint_configs=config)
        with pytest.raises(driver.errors.read_timeout):
            manager.get(server.url())


class TestEvents:
    def test_only_the_types_that_were_asked_for(self, driver, server, clock):
        server.route("/", reply(503), OK)
        seen = []
        manager = driver.manager(clock=clock)
        manager.add_listener(seen.append, RetryScheduled, LimiterRefused)
        manager.get(server.url())
        assert [type(event) for event in seen] == [RetryScheduled]
        manager.remove_listener(seen.append)
        manager.get(server.url())
        assert len(seen) == 1
        with pytest.raises(ValueError, match="not registered"):
            manager.remove_listener(seen.append)

    def test_a_listener_that_raises_disturbs_nobody(self, driver, server, clock, caplog):
        def listener(event):
            raise RuntimeError("broken listener, token=abcdefgh")

        server.route("/", OK)
        manager = driver.manager(clock=clock)
        manager.add_listener(listener, AttemptFinished)
        assert manager.get(server.url()).text == "ok"
        assert "broken listener" in caplog.text
        assert "abcdefgh" not in caplog.text

    def test_scope_and_url(self, driver, server, clock):
        server.route("/", reply(503))
        config = {"127.0.0.1": {"circuit_breaker_failure_threshold": 1}}
        manager = driver.manager(clock=clock, max_retries=0, endpoint_configs=config)
        manager.get(server.url("/?token=hidden&page=2"))
        assert {event.scope for event in manager.within} == {"127.0.0.1"}
        assert manager.happened(BreakerStateChanged)
        for event in manager.seen:
            assert "hidden" not in event.url
            assert "page=2" in event.url
