"""``raise_for_status``, and settings that are changed while a manager lives."""

from __future__ import annotations

import pickle

import pytest

from requests_connection_manager import (
    AuthenticationError,
    CallFailed,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitError,
    TooManyRequests,
)
from requests_connection_manager.testing import redirect, reply, truncate


def failing(driver, url, **settings):
    manager = driver.manager(raise_for_status=True, **settings)
    with pytest.raises(HTTPError) as caught:
        manager.get(url)
    return manager, caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, HTTPError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, HTTPError),
        (429, TooManyRequests),
        (501, HTTPError),
        (599, HTTPError),
    ],
)
def test_an_unsuccessful_status_is_an_error_in_both_trees(driver, server, status, kind):
    server.route("/", reply(status, body="what went wrong", headers={"X-Id": "7"}))
    manager, error = failing(driver, server.url("/?token=hunter2"), max_retries=0)
    assert isinstance(error, kind)
    assert isinstance(error, driver.errors.status)
    assert not isinstance(error, MaxRetriesExceeded)
    assert (error.status_code, error.body, error.headers["x-id"]) == (
        status,
        "what went wrong",
        "7",
    )
    assert error.response.status_code == status
    assert error.request.method == "GET"
    assert [attempt.status for attempt in error.attempts] == [status]
    assert f"status {status}" in str(error)
    assert "hunter2" not in str(error)
    assert manager.events[-1] == ("CallFailed",)


def test_a_429_tells_when_to_come_back(driver, server):
    server.route("/", reply(429, headers={"Retry-After": "7"}))
    _, error = failing(driver, server.url(), max_retries=0)
    assert error.retry_after == 7.0
    assert isinstance(error, RateLimitError)


PROBLEM = reply(
    503,
    json={"title": "In maintenance", "detail": "for token=hunter2 until nine, k-1234567"},
    headers={"Content-Type": "application/problem+json", "X-Request-Id": "r-1 k-1234567"},
)
SAID = "for token=[REDACTED] until nine, [REDACTED]"


@pytest.mark.parametrize("max_retries", [0, 1])
def test_an_error_tells_what_the_server_says_and_calls_the_request(
    driver, server, clock, max_retries
):
    server.route("/", PROBLEM)
    settings = {"max_retries": max_retries, "clock": clock, "api_key": "k-1234567"}
    manager, error = failing(driver, server.url(), **settings)
    assert isinstance(error, MaxRetriesExceeded) == bool(max_retries)
    assert (error.detail, error.request_id) == (SAID, "r-1 [REDACTED]")
    end = f"status 503 Service Unavailable: {SAID} (request id r-1 [REDACTED])"
    assert str(error).endswith(end)
    assert "k-1234567" in error.body
    assert error.headers["x-request-id"] == "r-1 k-1234567"
    pickled = pickle.dumps(error)
    assert b"k-1234567" not in pickled
    assert b"hunter2" not in pickled
    copy = pickle.loads(pickled)
    assert (copy.detail, copy.request_id) == (SAID, "r-1 [REDACTED]")
    (failed,) = (event for event in manager.seen if isinstance(event, CallFailed))
    assert SAID in failed.text


def test_an_error_without_words_of_the_server(driver, server):
    server.route("/", reply(404, body="<h1>Not Found</h1>", headers={"Content-Type": "text/html"}))
    _, error = failing(driver, server.url())
    assert (error.detail, error.request_id, error.retry_after) == (None, None, None)
    assert str(error) == f"GET {server.url()}: status 404 Not Found"
    assert error.body == "<h1>Not Found</h1>"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_the_words_of_the_server_in_any_script(driver, server, content_type):
    body = '{"message": "Größe ungültig: 5 €"}'.encode()
    server.route("/", reply(400, body=body, headers={"Content-Type": content_type}))
    _, error = failing(driver, server.url())
    assert error.detail == "Größe ungültig: 5 €"
    assert error.body == body.decode()


def test_an_error_message_is_one_short_line(driver, server):
    server.route("/", reply(400, body="line\r\nERROR forged entry\n" * 10_000))
    _, error = failing(driver, server.url())
    assert len(str(error)) < 700
    assert len(str(error).splitlines()) == 1
    assert len(error.body) > 100_000


@pytest.mark.parametrize("status", [400, 429, 503])
def test_any_status_can_tell_when_to_come_back(driver, server, status):
    server.route("/", reply(status, headers={"Retry-After": "7"}))
    _, error = failing(driver, server.url(), max_retries=0)
    assert error.retry_after == 7.0


def test_retries_come_first(driver, server, clock):
    server.route("/", reply(503))
    _, error = failing(driver, server.url(), max_retries=1, clock=clock, backoff_jitter=0)
    assert isinstance(error, MaxRetriesExceeded)
    assert server.count() == 2


def test_without_raise_on_status_it_is_raised_all_the_same(driver, server, clock):
    server.route("/", reply(503, body="down"))
    settings = {"raise_on_status": False, "max_retries": 1, "clock": clock}
    _, error = failing(driver, server.url(), **settings)
    assert (error.status_code, error.body, len(error.attempts)) == (503, "down", 2)


def test_success_and_redirects_are_no_errors(driver, server):
    server.route("/", reply(204))
    server.route("/there", redirect("/"))
    manager = driver.manager(raise_for_status=True)
    assert manager.get(server.url()).status_code == 204
    assert manager.get(server.url("/there"), allow_redirects=False).status_code == 302
    assert manager.get(server.url("/there"), allow_redirects=True).status_code == 204


def test_one_call_or_one_endpoint_can_differ(driver, server):
    server.route("/", reply(404))
    manager = driver.manager(raise_for_status=True)
    assert manager.get(server.url(), raise_for_status=False).status_code == 404
    manager = driver.manager()
    assert manager.get(server.url()).status_code == 404
    with pytest.raises(HTTPError):
        manager.get(server.url(), raise_for_status=True)
    manager.add_endpoint_config("127.0.0.1/", {"raise_for_status": True})
    with pytest.raises(HTTPError):
        manager.get(server.url())


def test_error_hooks_can_provide_a_fallback(driver, server):
    server.route("/", reply(404))
    server.route("/fallback", reply(200, body="instead"))
    manager = driver.manager(raise_for_status=True)
    instead = manager.get(server.url("/fallback"))

    def fall_back(context):
        assert context.exception.status_code == 404
        context.handled, context.fallback_response = True, instead

    manager.register_error_hook(fall_back)
    assert manager.get(server.url()) is instead


def test_the_error_pickles_without_body_and_response(driver, server):
    server.route("/", reply(404, body="secret"))
    _, error = failing(driver, server.url())
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.status_code, copy.body, copy.response) == (404, None, None)


def test_a_stream_is_read_so_that_its_connection_is_free(driver, server):
    server.route("/", reply(404, body="x" * 100_000))
    manager = driver.manager(raise_for_status=True)
    for _ in range(3):
        with pytest.raises(HTTPError) as caught:
            manager.read_stream(server.url())
        assert caught.value.body == "x" * 100_000
    assert server.connections == 1


def test_a_broken_body_does_not_hide_the_status(driver, server):
    server.route("/", truncate(100, 10, status=404))
    manager = driver.manager(raise_for_status=True)
    for _ in range(2):
        with pytest.raises(HTTPError) as caught:
            manager.read_stream(server.url())
        assert (caught.value.status_code, caught.value.body) == (404, None)


def test_settings_change_while_a_manager_lives(driver, server, clock):
    server.route("/", reply(503))
    manager = driver.manager(clock=clock, max_retries=0, backoff_jitter=0)
    assert manager.get(server.url()).status_code == 503
    manager.update_settings(max_retries=2, backoff_factor=1, raise_on_status=False)
    assert manager.get(server.url()).status_code == 503
    assert clock.sleeps == (1.0, 2.0)
    assert server.connections == 1
    manager.update_settings(timeout=3)
    assert manager.get_stats()["timeout"] == 3


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"max_retries": -1}, ValueError, "max_retries"),
        ({"max_retries": "3"}, TypeError, "max_retries"),
        ({"max_retry": 3}, ValueError, "did you mean 'max_retries'"),
        ({"bearer_token": "t"}, ValueError, "bearer_token is a credential"),
        ({"timeout": "5"}, TypeError, "timeout"),
    ],
    ids=str,
)
def test_a_wrong_change_is_named_and_nothing_is_changed(driver, given, kind, text):
    manager = driver.manager(max_retries=1)
    with pytest.raises(kind, match=text):
        manager.update_settings(backoff_factor=9, **given)
    settings = manager.explain("GET", "https://a.test/")["settings"]
    assert (settings["max_retries"], settings["backoff_factor"]) == (1, 0.3)


@pytest.mark.parametrize(
    ("given", "secret"),
    [
        ({"headers": {"Authorization": "Bearer call-s3cret"}}, "call-s3cret"),
        ({"headers": {"X-Api-Key": "call-s3cret"}}, "call-s3cret"),
        ({"headers": {"Cookie": "a=1; session=call-s3cret"}}, "call-s3cret"),
        ({"auth": ("me", "pass-w0rd")}, "pass-w0rd"),
    ],
    ids=["bearer", "key", "cookie", "basic"],
)
@pytest.mark.parametrize("retries", [0, 1])
def test_what_a_server_echoes_of_a_calls_own_secrets_is_not_shown(
    driver, server, clock, given, secret, retries
):
    server.route("/", reply(503, json={"detail": f"no use for {secret} at 1"}))
    manager = driver.manager(clock=clock, raise_for_status=True, max_retries=retries)
    with pytest.raises(HTTPError) as caught:
        manager.get(server.url(), **given)
    assert caught.value.detail == "no use for [REDACTED] at 1"
    assert secret not in str(caught.value)
