"""``with_options``: managers that differ in some settings and share everything else."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import pytest

from requests_connection_manager import (
    AttemptFinished,
    CircuitBreakerOpen,
    ConnectionManager,
    HTTPError,
    PipelineAdapter,
    RateLimitExceeded,
)
from requests_connection_manager.testing import echo, redirect, reply


def settings_of(manager, url="https://a.test/"):
    return manager.explain("GET", url)["settings"]


def test_the_sibling_differs_and_the_original_does_not(server, clock):
    server.route("/", reply(503))
    manager = ConnectionManager(max_retries=0, clock=clock, backoff_jitter=0)
    patient = manager.with_options(max_retries=2, backoff_factor=1, raise_on_status=False)
    assert manager.get(server.url()).status_code == 503
    assert clock.sleeps == ()
    response = patient.get(server.url())
    assert (response.status_code, len(response.attempts)) == (503, 3)
    assert clock.sleeps == (1.0, 2.0)
    assert type(patient) is ConnectionManager


def test_connections_cookies_and_headers_are_shared(server):
    server.route("/", reply(200, headers={"Set-Cookie": "a=1"}))
    manager = ConnectionManager()
    sibling = manager.with_options(max_retries=1)
    manager.headers["X-One"] = "1"
    sibling.headers["X-Two"] = "2"
    manager.get(server.url())
    sibling.get(server.url())
    assert server.connections == 1
    sent = server.requests[-1].headers
    assert (sent["x-one"], sent["x-two"], sent["cookie"]) == ("1", "2", "a=1")


def test_what_either_changes_holds_for_both(server):
    server.route("/", echo())
    manager = ConnectionManager()
    sibling = manager.with_options(max_retries=1)
    manager.set_bearer_token("first")
    assert sibling.get(server.url()).json()["headers"]["authorization"] == "Bearer first"
    sibling.set_bearer_token("second")
    assert manager.get(server.url()).json()["headers"]["authorization"] == "Bearer second"
    sibling.add_endpoint_config("b.test", {"timeout": 1})
    assert settings_of(manager, "https://b.test/")["timeout"] == 1
    assert settings_of(sibling, "https://b.test/")["max_retries"] == 1
    manager.update_settings(max_retries=7, backoff_factor=7)
    assert settings_of(sibling)["max_retries"] == 1
    assert settings_of(sibling)["backoff_factor"] == 7


def test_an_endpoint_still_outranks_the_sibling():
    manager = ConnectionManager(endpoint_configs={"b.test": {"max_retries": 9}})
    sibling = manager.with_options(max_retries=1)
    assert settings_of(sibling, "https://b.test/")["max_retries"] == 9


def test_breaker_and_limiter_are_shared(server, clock):
    server.route("/", reply(503))
    manager = ConnectionManager(
        max_retries=0, circuit_breaker_failure_threshold=2, clock=clock, rate_limit_requests=3
    )
    sibling = manager.with_options(backoff_factor=1)
    manager.get(server.url())
    sibling.get(server.url())
    with pytest.raises(CircuitBreakerOpen):
        manager.get(server.url())
    with pytest.raises(CircuitBreakerOpen):
        sibling.get(server.url())
    clock.advance(60)
    server.route("/", reply(200))
    sibling.get(server.url())
    manager.get(server.url())
    sibling.get(server.url())
    with pytest.raises(RateLimitExceeded):
        manager.get(server.url())


def test_hooks_and_listeners_are_shared(server):
    server.route("/", reply(200))
    manager = ConnectionManager()
    sibling = manager.with_options(max_retries=1)
    calls, events = [], []
    manager.register_pre_request_hook(calls.append)
    sibling.add_listener(events.append, AttemptFinished)
    sibling.get(server.url())
    manager.get(server.url())
    assert (len(calls), len(events)) == (2, 2)


def test_redirects_and_credentials_keep_to_their_rules(server):
    server.route("/", redirect("/there"))
    server.route("/there", echo())
    sibling = ConnectionManager(bearer_token="t").with_options(max_retries=1)
    response = sibling.get(server.url())
    assert response.json()["headers"]["authorization"] == "Bearer t"
    assert len(response.attempts) == 2


def test_a_sibling_of_a_sibling(server):
    manager = ConnectionManager()
    first = manager.with_options(max_retries=1)
    second = first.with_options(backoff_factor=9)
    assert (settings_of(second)["max_retries"], settings_of(second)["backoff_factor"]) == (1, 9)
    second.update_settings(max_retries=5)
    assert [settings_of(one)["max_retries"] for one in (manager, first, second)] == [3, 1, 5]


def test_a_subclass_stays_one():
    class Vendor(ConnectionManager):
        def __init__(self, region):
            super().__init__()
            self.region = region

    sibling = Vendor("eu").with_options(max_retries=1)
    assert (type(sibling), sibling.region) == (Vendor, "eu")


@pytest.mark.parametrize("duplicate", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_become_managers_of_their_own(duplicate):
    manager = ConnectionManager()
    twin = duplicate(manager.with_options(max_retries=1))
    assert settings_of(twin)["max_retries"] == 1
    twin.set_bearer_token("t")
    twin.update_settings(rate_limit_requests=5)
    assert manager.explain("GET", "https://a.test/")["credentials"] == []


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"rate_limit_period": 5}, ValueError, "rate_limit_period"),
        ({"circuit_breaker_failure_threshold": 5}, ValueError, "can only be None"),
        ({"bearer_token": "t"}, ValueError, "bearer_token"),
        ({"max_retrys": 5}, ValueError, "did you mean 'max_retries'"),
        ({"max_retries": -1}, ValueError, "max_retries"),
        ({"timeout": (1, 2, 3, 4)}, ValueError, "timeout"),
    ],
    ids=str,
)
def test_what_cannot_differ_is_named(given, kind, text):
    manager = ConnectionManager()
    with pytest.raises(kind, match=text):
        manager.with_options(**given)
    with pytest.raises(kind, match=text):
        manager.with_options(max_retries=1).update_settings(**given)


def test_stages_can_be_left_out(server):
    server.route("/", reply(200))
    manager = ConnectionManager(rate_limit_requests=1)
    unlimited = manager.with_options(rate_limit_requests=None)
    for _ in range(3):
        unlimited.get(server.url())


def test_raising_for_statuses_can_differ(server):
    manager = ConnectionManager()
    strict = manager.with_options(raise_for_status=True)
    assert manager.get(server.url("/nowhere")).status_code == 404
    with pytest.raises(HTTPError):
        strict.get(server.url("/nowhere"))


def test_an_adapter_that_a_sibling_mounts_belongs_to_both(server):
    server.route("/", echo())
    manager = ConnectionManager(bearer_token="t")
    sibling = manager.with_options(max_retries=1)
    sibling.mount(server.origin, PipelineAdapter())
    for one in (manager, sibling):
        assert one.get(server.url()).json()["headers"]["authorization"] == "Bearer t"


def test_a_timeout_can_differ():
    manager = ConnectionManager()
    assert manager.with_options(timeout=(1, 2)).get_stats()["timeout"] == (1, 2)
    assert manager.get_stats()["timeout"] == 30


def test_siblings_that_are_gone_are_forgotten():
    manager = ConnectionManager()
    gone = weakref.ref(manager.with_options(max_retries=1))
    gc.collect()
    assert gone() is None
    assert len(manager.core._siblings) == 0


def test_secrets_of_a_shared_manager_stay_out_of_the_messages_of_its_sibling(server, caplog):
    server.route("/", reply(404))
    manager = ConnectionManager(api_key="hunter2", api_key_query="weird")
    sibling = manager.with_options(raise_for_status=True)
    with pytest.raises(HTTPError) as caught:
        sibling.get(server.url("/"))
    assert "hunter2" not in str(caught.value)


def test_siblings_made_and_changed_in_many_threads(server):
    server.route("/", reply(200))
    manager = ConnectionManager(rate_limit_requests=None)
    errors = []

    def work(number):
        try:
            for _ in range(10):
                sibling = manager.with_options(max_retries=number)
                sibling.update_settings(backoff_factor=number)
                manager.set_bearer_token(f"t{number}")
                assert settings_of(sibling)["max_retries"] == number
                sibling.get(server.url())
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
