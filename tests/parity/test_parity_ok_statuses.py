"""Statuses that are answers: neither raised, nor retried, nor held against the server."""

from __future__ import annotations

import pytest
from urllib3.util.retry import Retry as UrllibRetry

from requests_connection_manager import (
    AttemptFinished,
    HTTPError,
    MaxRetriesExceeded,
    Retry,
    TooManyRequests,
    is_success,
)
from requests_connection_manager.testing import reply


def test_such_a_status_is_returned_and_all_others_are_raised(driver, server):
    server.route("/missing", reply(404, body="none"))
    server.route("/gone", reply(410))
    manager = driver.manager(raise_for_status=True, ok_statuses={404})
    response = manager.get(server.url("/missing"))
    assert (response.status_code, response.text) == (404, "none")
    assert not is_success(response)
    assert is_success(response, ok_statuses={404})
    with pytest.raises(HTTPError):
        manager.get(server.url("/gone"))


def test_the_nearest_of_call_endpoint_and_manager_counts_alone(driver, server):
    server.route("/", reply(404))
    server.route("/v1", reply(404))
    endpoints = {"127.0.0.1/v1": {"ok_statuses": [410]}}
    manager = driver.manager(raise_for_status=True, ok_statuses=[404], endpoint_configs=endpoints)
    assert manager.get(server.url()).status_code == 404
    with pytest.raises(HTTPError):
        manager.get(server.url(), ok_statuses=())
    with pytest.raises(HTTPError):
        manager.get(server.url("/v1"))
    assert manager.get(server.url("/v1"), ok_statuses=[404]).status_code == 404


def test_it_is_neither_retried_nor_the_end_of_retries(driver, server, clock):
    server.route("/", reply(503, body="asleep"))
    manager = driver.manager(max_retries=3, clock=clock)
    assert manager.get(server.url(), ok_statuses={503}).text == "asleep"
    assert (server.count(), clock.sleeps) == (1, ())
    with pytest.raises(MaxRetriesExceeded):
        manager.get(server.url())


def test_it_ends_retries_of_other_statuses_well(driver, server, clock):
    server.route("/", reply(503), reply(404))
    settings = {"max_retries": 3, "raise_for_status": True, "clock": clock}
    response = driver.manager(**settings).get(server.url(), ok_statuses={404})
    assert (response.status_code, len(response.attempts)) == (404, 2)


@pytest.mark.parametrize("policy", [UrllibRetry, Retry])
def test_a_retry_of_the_users_own(driver, server, clock, policy):
    """urllib3's decides about retries itself; ours does as the settings say. Nothing is raised."""
    server.route("/", reply(503))
    retries = policy(2, status_forcelist=[503], redirect=False)
    manager = driver.manager(max_retries=retries, raise_for_status=True, clock=clock)
    assert manager.get(server.url(), ok_statuses={503}).status_code == 503
    assert server.count() == (3 if policy is UrllibRetry else 1)


def test_it_is_no_failure_for_the_circuit_breaker(driver, server):
    server.route("/", reply(503))
    settings = {"max_retries": 0, "circuit_breaker_failure_threshold": 2}
    manager = driver.manager(ok_statuses={503}, **settings)
    for _ in range(5):
        manager.get(server.url())
    assert manager.state() == "closed"
    finished = [event for event in manager.seen if isinstance(event, AttemptFinished)]
    assert [event.failed for event in finished] == [False] * 5
    for _ in range(2):
        manager.get(server.url(), ok_statuses=())
    assert manager.state() == "open"


def test_a_429_of_this_kind_pauses_the_scope_all_the_same(driver, server, clock):
    server.route("/", reply(429, headers={"Retry-After": "30"}), reply(200))
    settings = {"raise_for_status": True, "rate_limit_mode": "wait", "clock": clock}
    manager = driver.manager(**settings)
    assert manager.get(server.url(), ok_statuses={429}).status_code == 429
    assert manager.get(server.url()).status_code == 200
    assert clock.sleeps == (pytest.approx(30),)
    server.route("/", reply(429))
    with pytest.raises(TooManyRequests):
        manager.get(server.url(), max_retries=0)


@pytest.mark.parametrize(
    ("given", "kind"), [("404", TypeError), (404, TypeError), ([99], ValueError)]
)
def test_a_wrong_value_names_the_setting(driver, server, given, kind):
    with pytest.raises(kind, match="ok_statuses"):
        driver.manager(ok_statuses=given)
    with pytest.raises(kind, match="ok_statuses"):
        driver.manager().get(server.url(), ok_statuses=given)
