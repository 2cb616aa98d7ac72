"""``RateLimitedClient``: the distance between requests, 429, errors, and what it hands on."""

from __future__ import annotations

import pickle
import threading
from email.utils import formatdate
from typing import Any, List
from unittest.mock import MagicMock, patch

import pytest
import requests
from urllib3.util.retry import Retry as UrllibRetry

from requests_connection_manager import HTTPError, MaxRetriesExceeded, RateLimitError
from requests_connection_manager.client_patterns import RateLimitedClient
from requests_connection_manager.exceptions import TooManyRequests
from requests_connection_manager.testing import FaultServer, dead_origin, echo, reply

HERE = reply(200, json={"ok": True})


def throttled(seconds: Any = None) -> Any:
    return reply(429, headers={} if seconds is None else {"Retry-After": str(seconds)})


@pytest.fixture
def client(server, clock):
    with RateLimitedClient(server.origin, requests_per_second=4, clock=clock) as client:
        yield client


def test_it_returns_the_json(client, server):
    server.route("/items/1", reply(200, json={"id": 1}))
    assert client.get("/items/1") == {"id": 1}


def test_it_has_the_documented_attributes(server, clock):
    client = RateLimitedClient(base_url=server.origin)
    assert (client.base_url, client.last_request_time) == (server.origin, 0.0)
    assert client.min_interval == pytest.approx(1 / 3)
    client.close()


def test_the_distance_between_two_requests_is_kept(client, server, clock):
    server.route("/", HERE)
    for _ in range(4):
        client.get("/")
    assert clock.sleeps == (0.25, 0.25, 0.25)


def test_time_that_has_passed_counts(client, server, clock):
    server.route("/", HERE)
    client.get("/")
    clock.advance(0.1)
    client.get("/")
    clock.advance(60)
    client.get("/")
    client.get("/")
    assert clock.sleeps == pytest.approx((0.15, 0.25))


def test_the_time_of_the_last_request_is_known(client, server, clock):
    server.route("/", HERE)
    began = clock.time()
    client.get("/")
    assert client.last_request_time == began
    client.get("/")
    assert client.last_request_time == began + 0.25


def test_threads_share_the_limit(client, server, clock):
    server.route("/", HERE)
    threads = [threading.Thread(target=client.get, args=("/",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.count() == 8
    assert clock.monotonic() >= 7 * 0.25 - 1e-3


@pytest.mark.parametrize(("hint", "delay"), [("7", 7.0), ("0.5", 0.5), (None, 60.0), ("x", 60.0)])
def test_a_429_is_waited_for(client, server, clock, hint, delay):
    server.route("/", throttled(hint), HERE)
    assert client.get("/") == {"ok": True}
    assert sum(clock.sleeps) == pytest.approx(delay, abs=1e-5)
    assert client.last_request_time == clock.time()


def test_a_429_with_a_date_is_waited_for(client, server, clock):
    server.route("/", throttled(formatdate(clock.time() + 20, usegmt=True)), HERE)
    client.get("/")
    assert sum(clock.sleeps) == pytest.approx(20, abs=1e-5)


def test_a_retry_keeps_the_distance_too(client, server, clock):
    server.route("/", throttled("0"), HERE)
    client.get("/")
    assert clock.sleeps == (0.25,)


def test_a_429_is_retried_a_bounded_number_of_times(client, server, clock):
    server.route("/", throttled())
    with pytest.raises(TooManyRequests) as caught:
        client.get("/")
    assert (server.count(), clock.sleeps) == (4, (60.0, 60.0, 60.0))
    for kind in (requests.HTTPError, HTTPError, RateLimitError, MaxRetriesExceeded):
        assert isinstance(caught.value, kind)
    assert caught.value.status_code == 429


@pytest.mark.parametrize("retries", [0, 1])
def test_the_number_can_be_set(server, clock, retries):
    server.route("/", throttled("1"))
    client = RateLimitedClient(server.origin, clock=clock, max_retries=retries)
    with client, pytest.raises(TooManyRequests):
        client.get("/")
    assert server.count() == retries + 1


def test_a_hint_beyond_the_longest_is_an_error_at_once(client, server, clock):
    server.route("/", throttled("3600"))
    with pytest.raises(TooManyRequests) as caught:
        client.get("/")
    assert (caught.value.retry_after, clock.sleeps) == (3600.0, ())


def test_a_longer_hint_can_be_allowed(server, clock):
    server.route("/", throttled("3600"), HERE)
    with RateLimitedClient(server.origin, clock=clock, retry_after_max=7200) as client:
        client.get("/")
    assert clock.monotonic() == pytest.approx(3600)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_other_errors_are_raised_at_once(client, server, clock, status):
    server.route("/", reply(status, body="no such thing"))
    with pytest.raises(requests.HTTPError) as caught:
        client.get("/")
    assert isinstance(caught.value, HTTPError)
    assert (caught.value.status_code, caught.value.body) == (status, "no such thing")
    assert (server.count(), clock.sleeps) == (1, ())


def test_errors_of_the_network_pass(clock):
    with dead_origin() as origin, pytest.raises(requests.ConnectionError) as caught:
        RateLimitedClient(origin, clock=clock).get("/")
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert clock.sleeps == ()


def test_any_request_can_be_sent(client, server):
    server.route("/items", throttled("1"), echo())
    sent = client.request("POST", "/items", json={"a": 1}, headers={"X-Mine": "1"})
    assert sent["method"] == "POST"
    assert server.requests[1].headers["X-Mine"] == "1"
    assert [one.json() for one in server.requests] == [{"a": 1}, {"a": 1}]


def test_parameters_are_handed_on(client, server):
    server.route("/", HERE)
    client.get("/", params={"page": 2})
    assert server.requests[0].query == "page=2"


def test_an_answer_without_a_body_is_none(client, server):
    server.route("/", reply(204))
    assert client.request("DELETE", "/") is None


def test_a_body_that_is_not_json_is_an_error(client, server):
    server.route("/", reply(200, body="<html>"))
    with pytest.raises(requests.exceptions.JSONDecodeError):
        client.get("/")


def test_a_base_with_a_path_and_paths_without_a_slash(server, clock):
    server.route("/v1/items", HERE)
    with RateLimitedClient(server.url("/v1/"), clock=clock) as client:
        assert client.get("items") == client.get("/items") == {"ok": True}


def test_settings_reach_the_manager(server, clock):
    server.route("/", HERE)
    with RateLimitedClient(server.origin, bearer_token="t", clock=clock, timeout=5) as client:
        client.get("/")
        assert client.session.explain("GET", server.url("/"))["settings"]["timeout"] == 5
    assert server.requests[0].headers["authorization"] == "Bearer t"


def test_the_policy_can_be_set(server, clock):
    server.route("/", reply(503), throttled(), HERE)
    settings = {"status_forcelist": [429, 503], "backoff_factor": 2, "clock": clock}
    with RateLimitedClient(server.origin, **settings) as client:
        assert client.get("/") == {"ok": True}
    assert clock.sleeps == (2.0, 4.0)


def test_a_retry_of_the_users_decides(server, clock):
    server.route("/", throttled("1"))
    retry = UrllibRetry(total=1, status_forcelist=[429], backoff_factor=0)
    client = RateLimitedClient(server.origin, clock=clock, max_retries=retry)
    with client, pytest.raises(TooManyRequests):
        client.get("/")
    assert server.count() == 2


def test_errors_can_be_left_out(server, clock):
    server.route("/", reply(404, json={"error": "no"}))
    with RateLimitedClient(server.origin, clock=clock, raise_for_status=False) as client:
        assert client.get("/") == {"error": "no"}


def test_without_a_clock_it_uses_the_systems(server):
    server.route("/", HERE)
    with RateLimitedClient(server.origin) as client:
        client.get("/")
        assert client.last_request_time > 1.7e9


def test_it_can_be_tested_with_a_patched_session():
    client = RateLimitedClient("https://api.example.com")
    answer = MagicMock()
    answer.json.return_value = {"id": "123"}
    with patch("requests.Session.request", return_value=answer) as request:
        assert client.get("/items/123") == {"id": "123"}
    request.assert_called_once()


@pytest.mark.parametrize(
    ("args", "kwargs", "kind", "text"),
    [
        (("api.test",), {}, ValueError, "base_url"),
        ((None,), {}, TypeError, "base_url"),
        (("https://api.test", 0), {}, ValueError, "requests_per_second must be above 0, got 0"),
        (("https://api.test", "3"), {}, TypeError, "requests_per_second must be a number"),
        (("https://api.test",), {"timout": 3}, TypeError, "did you mean 'timeout'"),
        (("https://api.test",), {"timeout": -3}, ValueError, "timeout"),
        (("https://api.test",), {"max_retries": -1}, ValueError, "max_retries"),
        (("https://api.test",), {"status_forcelist": "429"}, TypeError, "status_forcelist"),
    ],
)
def test_wrong_arguments_are_named(args, kwargs, kind, text):
    with pytest.raises(kind) as caught:
        RateLimitedClient(*args, **kwargs)
    assert text in str(caught.value)


def test_a_path_can_not_leave_the_base(client):
    with pytest.raises(ValueError, match="path must stay below base_url"):
        client.get("/../admin")


def test_a_closed_client_can_be_used_again(client, server):
    server.route("/", HERE)
    seen: List[Any] = [client.get("/")]
    client.close()
    seen.append(client.get("/"))
    assert seen == [{"ok": True}] * 2


def test_it_can_be_pickled(server):
    server.route("/", HERE)
    with RateLimitedClient(server.origin, requests_per_second=50) as client:
        other = pickle.loads(pickle.dumps(client))
    with other:
        assert other.get("/") == {"ok": True}
        assert (other.base_url, other.min_interval) == (server.origin, 0.02)
        assert other.last_request_time > client.last_request_time == 0.0
        assert other.session.get_adapter("https://").max_retries.total == 3


def test_the_credentials_stay_at_the_base_url(server):
    server.route("/", echo())
    with FaultServer() as stranger:
        stranger.route("/", echo())
        with RateLimitedClient(server.origin, 1000, bearer_token="secret") as client:
            assert client.get("/")["headers"]["authorization"] == "Bearer secret"
            assert "authorization" not in client.get(stranger.url("/"))["headers"]


def test_a_clock_that_is_none_is_named():
    with pytest.raises(TypeError, match="clock must have the methods"):
        RateLimitedClient("https://a.test", clock=object())
