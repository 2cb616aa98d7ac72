"""The two events around a call, and the headers that listeners put on attempts."""

from __future__ import annotations

import contextvars
import itertools
import logging
import threading

import anyio
import pytest

from requests_connection_manager import (
    AttemptFinished,
    AttemptStarted,
    CallFailed,
    CallFinished,
    CallStarted,
    MaxRetriesExceeded,
)
from requests_connection_manager.testing import (
    blackhole,
    dead_origin,
    dies_while_idle,
    echo,
    redirect,
    reply,
)

OK = reply(200, body="ok")
DIGEST = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}


def finished(manager):
    """Return the end of the only call, after a look at its beginning."""
    calls = [one for one in manager.seen if isinstance(one, (CallStarted, CallFinished))]
    assert [type(one) for one in calls] == [CallStarted, CallFinished]
    assert calls[0].call == calls[1].call
    assert manager.seen[0] is calls[0]
    assert manager.seen[-1] is calls[1]
    return calls[1]


class TestTheEventsOfACall:
    def test_of_one_that_is_retried(self, driver, server, clock):
        server.route("/", reply(503), OK)
        manager = driver.manager(clock=clock)
        manager.get(server.url("/?token=hidden&page=2"))
        end = finished(manager)
        assert (end.status, end.error, end.attempts) == (200, None, 2)
        assert end.elapsed == pytest.approx(0.3)
        for event in (manager.seen[0], end):
            assert (event.scope, event.method) == (server.origin, "GET")
            assert event.url == server.url("/?token=[REDACTED]&page=2")

    def test_of_one_that_fails(self, driver, clock):
        manager = driver.manager(clock=clock, max_retries=2)
        with dead_origin() as origin, pytest.raises(MaxRetriesExceeded):
            manager.get(origin)
        end = finished(manager)
        assert (end.status, end.error, end.attempts) == (None, "MaxRetriesExceeded", 3)
        assert isinstance(manager.seen[-2], CallFailed)

    def test_of_one_that_is_not_sent(self, driver):
        manager = driver.manager()
        with pytest.raises((TypeError, ValueError)):
            manager.get("http://127.0.0.1/", max_retries="many")
        assert finished(manager).attempts == 0

    def test_of_one_whose_parameters_are_mixed_up(self, driver):
        manager = driver.manager()
        with pytest.raises(driver.errors.base):
            manager.request("https://api.test/?token=hidden", "GET")
        assert finished(manager).method.endswith("?TOKEN=[REDACTED]")
        of_the_call = (CallStarted, CallFinished, CallFailed)
        shown = repr([one for one in manager.seen if isinstance(one, of_the_call)])
        assert "hidden" not in shown.lower()

    @pytest.mark.parametrize("kind", ["pre_request", "post_response"])
    def test_of_one_that_a_hook_ends(self, driver, server, kind):
        server.route("/", OK)
        manager = driver.manager()

        def hook(context):
            raise LookupError("no such key")

        getattr(manager, f"register_{kind}_hook")(hook)
        with pytest.raises(LookupError):
            manager.get(server.url())
        end = finished(manager)
        assert (end.error, end.attempts) == ("LookupError", int(kind == "post_response"))

    def test_of_one_that_ends_with_a_fallback(self, driver, server, clock):
        server.route("/", reply(500))
        manager = driver.manager(clock=clock, max_retries=1)

        def hook(context):
            context.handled = True
            context.fallback_response = driver.response(404)

        manager.register_error_hook(hook)
        assert manager.get(server.url()).status_code == 404
        end = finished(manager)
        assert (end.status, end.error, end.attempts) == (404, None, 2)

    def test_of_one_whose_fallback_is_no_response(self, driver, server, clock):
        server.route("/", reply(500))
        manager = driver.manager(clock=clock, max_retries=0, raise_for_status=True)

        def hook(context):
            context.handled, context.fallback_response = True, "nothing"

        manager.register_error_hook(hook)
        assert manager.get(server.url()) == "nothing"
        end = finished(manager)
        assert (end.status, end.error) == (None, None)

    def test_of_one_that_is_redirected(self, driver, server):
        server.route("/old", redirect("/new"))
        server.route("/new", OK)
        manager = driver.manager()
        manager.get(server.url("/old"))
        end = finished(manager)
        assert (end.url, end.status, end.attempts) == (server.url("/old"), 200, 2)

    def test_of_one_that_answers_a_challenge(self, driver, server):
        server.route("/", reply(401, headers=DIGEST), OK)
        manager = driver.manager()
        manager.get(server.url(), auth=digest(driver))
        end = finished(manager)
        assert (end.status, end.attempts) == (200, 2)

    def test_of_a_request_that_is_sent_as_it_is(self, driver, server):
        server.route("/", OK)
        manager = driver.manager()
        manager.send_prepared("GET", server.url())
        end = finished(manager)
        assert (end.url, end.status, end.attempts) == (server.url(), 200, 1)

    def test_of_a_stream(self, driver, server):
        server.route("/", OK)
        manager = driver.manager()
        assert manager.read_stream(server.url()) == b"ok"
        assert finished(manager).status == 200

    def test_they_tell_what_the_hooks_made_of_it(self, driver, server):
        server.route("/other", OK)

        def edit(context):
            context.method, context.url = "PUT", server.url("/other")

        manager = driver.manager()
        manager.register_pre_request_hook(edit)
        manager.get(server.url("/first"))
        begin, end = manager.seen[0], finished(manager)
        assert (begin.method, begin.url) == ("GET", server.url("/first"))
        assert (end.method, end.url) == ("PUT", server.url("/other"))

    def test_of_each_item_of_a_batch(self, driver, server):
        server.route("/", OK)
        server.route("/bad", reply(404))
        manager = driver.manager(raise_for_status=True)
        manager.batch([("GET", server.url(path), {}) for path in ("/", "/bad", "/")])
        ends = manager.happened(CallFinished)
        assert sorted(ends, key=str) == [
            ("CallFinished", 200, 1),
            ("CallFinished", 200, 1),
            ("CallFinished", None, 1),
        ]
        begun = {one.call for one in manager.seen if isinstance(one, CallStarted)}
        assert begun == {one.call for one in manager.seen if isinstance(one, CallFinished)}
        assert len(begun) == 3

    def test_nobody_is_told_of_a_call_that_began_before(self, driver, server):
        server.route("/", OK)
        manager = driver.manager()
        manager.remove_listener(manager.seen.append)
        ends = []
        manager.register_pre_request_hook(
            lambda context: manager.add_listener(ends.append, CallFinished)
        )
        manager.get(server.url())
        assert ends == []

    def test_in_the_log(self, driver, server, caplog):
        server.route("/", OK)
        manager = driver.manager()
        with caplog.at_level(logging.DEBUG, "requests_connection_manager"):
            manager.get(server.url())
        said = [one.getMessage() for one in caplog.records if " call " in one.getMessage()]
        assert len(said) == 2
        assert said[0].endswith(" begins")
        assert "-> 200 after" in said[1]
        assert said[1].endswith("and 1 attempt")


def test_a_cancelled_call_has_an_end(driver):
    if driver.is_sync:
        pytest.skip("nothing cancels a synchronous call")
    manager = driver.manager()

    async def cancelled(url):
        with anyio.move_on_after(0.05):
            await manager.manager.get(url)

    with blackhole() as origin:
        driver.portal.call(cancelled, origin)
    end = finished(manager)
    assert end.error in ("CancelledError", "Cancelled")
    assert end.attempts == 1
    assert manager.happened(CallFailed) == []


@pytest.mark.parametrize("kind", [CallStarted, AttemptStarted, AttemptFinished])
def test_ctrl_c_in_a_listener_leaves_no_call_without_its_end(server, kind):
    from drivers import driver_for

    def interrupt(event):
        raise KeyboardInterrupt

    server.route("/", OK)
    with driver_for("sync") as driver:
        manager = driver.manager(circuit_breaker_failure_threshold=1)
        manager.add_listener(interrupt, kind)
        with pytest.raises(KeyboardInterrupt):
            manager.get(server.url())
        assert finished(manager).error == "KeyboardInterrupt"
        assert len(manager.happened(AttemptStarted)) == len(manager.happened(AttemptFinished))
        assert manager.state() == "closed"


class TestListenersKeepWhatBelongsToACall:
    def test_in_a_context_variable(self, driver, server, clock):
        """Nested calls and concurrent ones find their own."""
        current = contextvars.ContextVar("current", default=())
        found = []

        def listen(event):
            if isinstance(event, CallStarted):
                current.set((*current.get(), event.url))
            elif isinstance(event, CallFinished):
                assert current.get()[-1] == event.url
                current.set(current.get()[:-1])
            elif isinstance(event, AttemptStarted):
                found.append((event.url, current.get()))

        server.route("/token", reply(503), OK)
        urls = [server.url(f"/{number}") for number in range(6)]
        for number in range(6):
            server.route(f"/{number}", reply(503), OK)
        manager = driver.manager(
            clock=clock,
            retry_budget=None,
            max_retries=3,
            circuit_breaker_failure_threshold=None,
        )
        manager.add_listener(listen)
        token = server.url("/token")
        fetch(driver, manager, token)
        manager.together([("GET", url, {}) for url in urls])
        assert {chain for url, chain in found if url != token} == {(url,) for url in urls}
        assert {chain for url, chain in found if url == token} == {(url, token) for url in urls}
        assert {url: [one for one, _ in found].count(url) for url in urls} == dict.fromkeys(urls, 2)

    def test_in_the_thread_of_the_call(self, server):
        from drivers import driver_for

        threads = []
        server.route("/", OK)
        with driver_for("sync") as driver:
            manager = driver.manager()
            manager.add_listener(lambda event: threads.append(threading.get_ident()))
            manager.get(server.url())
        assert set(threads) == {threading.get_ident()}


def fetch(driver, manager, url):
    """Let each call that is not for it fetch a token first."""
    if driver.is_sync:

        def hook(context):
            if context.url != url:
                manager.manager.get(url)

    else:

        async def hook(context):
            if context.url != url:
                await manager.manager.get(url)

    manager.register_pre_request_hook(hook)


def digest(driver):
    import httpx
    from requests.auth import HTTPDigestAuth

    return HTTPDigestAuth("me", "pw") if driver.is_sync else httpx.DigestAuth("me", "pw")


class TestHeadersOfListeners:
    def listening(self, driver, give, **settings):
        manager = driver.manager(**settings)
        manager.add_listener(lambda event: event.headers.update(give(event)), AttemptStarted)
        return manager

    def sent(self, server, name):
        return [received.headers.get(name) for received in server.requests]

    def test_each_attempt_has_its_own(self, driver, server, clock):
        server.route("/", reply(503), reply(503), OK)
        manager = self.listening(driver, lambda event: {"X-N": str(event.number)}, clock=clock)
        manager.get(server.url())
        assert self.sent(server, "X-N") == ["1", "2", "3"]

    def test_the_request_of_the_caller_stays_as_it_is(self, driver, server, clock):
        server.route("/", OK)
        manager = self.listening(driver, lambda event: {"X-N": "1"}, clock=clock)
        headers = {"X-Mine": "1"}
        response = manager.get(server.url(), headers=headers)
        assert headers == {"X-Mine": "1"}
        assert response.text == "ok"

    @pytest.mark.parametrize("name", ["X-Mine", "x-mine", "X-MINE"])
    def test_the_callers_win(self, driver, server, name):
        server.route("/", OK)
        manager = self.listening(driver, lambda event: {name: "listener"})
        manager.get(server.url(), headers={"X-Mine": "caller"})
        assert self.sent(server, "X-Mine") == ["caller"]

    def test_those_of_the_settings_win(self, driver, server):
        server.route("/", OK)
        manager = self.listening(
            driver,
            lambda event: {"x-endpoint": "listener", "idempotency-token": "listener"},
            endpoint_configs={"127.0.0.1": {"headers": {"X-Endpoint": "endpoint"}}},
            api_key="sesame",
            api_key_header="Idempotency-Token",
        )
        manager.get(server.url())
        assert self.sent(server, "X-Endpoint") == ["endpoint"]
        assert self.sent(server, "Idempotency-Token") == ["sesame"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Authorization", "Bearer s3cret"),
            ("Cookie", "a=s3cret"),
            ("X-Api-Key", "s3cret"),
            ("Host", "evil.test"),
            ("Content-Length", "7"),
            ("Transfer-Encoding", "chunked"),
            ("X-Break", "s3cret\r\nX-Injected: b"),
            ("X-Space ", "a"),
            ("X-Padded", " a"),
            ("X-Umlaut", "ä"),
            ("X-None", None),
            ("", "a"),
            (7, "a"),
        ],
    )
    def test_what_could_do_harm_is_not_sent(self, driver, server, caplog, name, value):
        server.route("/", echo())
        manager = self.listening(driver, lambda event: {name: value, "X-Good": "yes"})
        seen = manager.get(server.url()).json()["headers"]
        assert seen["x-good"] == "yes"
        assert not {"authorization", "cookie", "x-api-key", "x-injected", "x-none"} & set(seen)
        assert not [one for one in seen if one.startswith(("x-s", "x-p", "x-u", "x-b"))]
        assert seen["host"] == server.origin.split("//")[1]
        said = [one for one in caplog.records if "is not sent" in one.getMessage()]
        assert [one.levelno for one in said] == [logging.WARNING]
        assert "s3cret" not in caplog.text

    def test_a_redirect_and_a_challenge_have_their_own(self, driver, server):
        server.route("/old", redirect("/new"))
        server.route("/new", reply(401, headers=DIGEST), OK)
        number = map(str, itertools.count())
        manager = self.listening(driver, lambda event: {"X-N": next(number)})
        manager.get(server.url("/old"), auth=digest(driver))
        # httpx begins again at the old URL when it has answered the challenge.
        assert self.sent(server, "X-N") == ["0", "1", "2", "3"][: 3 if driver.is_sync else 4]

    def test_a_challenge_to_an_endpoints_auth_has_its_own(self, driver, server):
        server.route("/", reply(401, headers=DIGEST), OK)
        number = iter("123")
        config = {"127.0.0.1": {"auth": digest(driver)}}
        manager = self.listening(
            driver, lambda event: {"X-N": next(number)}, endpoint_configs=config
        )
        assert manager.get(server.url()).text == "ok"
        assert self.sent(server, "X-N") == ["1", "2"]

    def test_the_callers_win_in_a_challenge_too(self, driver, server):
        server.route("/", reply(401, headers=DIGEST), OK)
        manager = self.listening(driver, lambda event: {"X-N": "listener"})
        manager.get(server.url(), auth=digest(driver), headers={"X-N": "caller"})
        assert self.sent(server, "X-N") == ["caller", "caller"]

    def test_a_replaced_connection_sends_the_same(self, driver, server):
        dying = dies_while_idle(OK, when="next", with_reset=True)
        server.route("/", dying, OK)
        number = iter("123")
        manager = self.listening(driver, lambda event: {"X-N": next(number)})
        for _ in range(2):
            assert manager.get(server.url()).status_code == 200
        assert self.sent(server, "X-N")[-1] == "2"
