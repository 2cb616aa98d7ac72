"""Hooks: edits that take effect, failures that propagate, fallbacks that end the search."""

from __future__ import annotations

import asyncio
import threading

import pytest

from requests_connection_manager import (
    CallFailed,
    CircuitBreakerOpen,
    HookType,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.testing import FaultServer, dead_origin, echo, reply

OK = reply(200, body="ok")


class Surprise(Exception):
    """Raised by a hook."""


def raising(context):
    raise Surprise("from a hook")


@pytest.fixture(autouse=True)
def routes(server):
    server.route("/", echo())
    server.route("/busy", reply(503))


class TestPreRequestHooks:
    def test_edits_of_kwargs(self, driver, server):
        def edit(context):
            context.kwargs.setdefault("headers", {})["X-Hook"] = "yes"
            context.kwargs["params"] = {**context.kwargs.get("params", {}), "hook": "1"}

        manager = driver.manager()
        manager.register_pre_request_hook(edit)
        seen = manager.get(server.url(), params={"mine": "2"}, headers={"X-Mine": "x"}).json()
        assert seen["query"] == "mine=2&hook=1"
        assert (seen["headers"]["x-hook"], seen["headers"]["x-mine"]) == ("yes", "x")

    def test_edits_of_method_and_url(self, driver, server):
        server.route("/other", echo())

        def edit(context):
            context.method = "PUT"
            context.url = context.url.rstrip("/") + "/other?a=1"

        manager = driver.manager()
        manager.register_pre_request_hook(edit)
        seen = manager.get(server.url()).json()
        assert (seen["method"], seen["path"], seen["query"]) == ("PUT", "/other", "a=1")

    def test_another_url_has_its_own_settings(self, driver, server):
        def edit(context):
            context.url = server.url()

        manager = driver.manager(
            max_retries=0, endpoint_configs={"127.0.0.1": {"bearer_token": "for-this-host"}}
        )
        manager.register_pre_request_hook(edit)
        seen = manager.get("http://api.example.com/").json()
        assert seen["headers"]["authorization"] == "Bearer for-this-host"

    def test_settings_of_the_call(self, driver, server, clock):
        manager = driver.manager(clock=clock)
        manager.register_pre_request_hook(lambda context: context.kwargs.update(max_retries=0))
        assert manager.get(server.url("/busy")).status_code == 503

    def test_the_timeout(self, driver, server, clock):
        server.route("/slow", reply(200, delay=5))
        manager = driver.manager(clock=clock, max_retries=0)
        manager.register_pre_request_hook(lambda context: context.kwargs.update(timeout=0.05))
        with pytest.raises(driver.errors.read_timeout):
            manager.get(server.url("/slow"))

    def test_a_setting_that_nobody_knows(self, driver, server):
        manager = driver.manager()
        manager.register_pre_request_hook(lambda context: context.kwargs.update(timout=1))
        with pytest.raises(TypeError, match="did you mean 'timeout'"):
            manager.get(server.url())

    def test_they_see_what_was_given(self, driver, server):
        seen = []
        manager = driver.manager()
        manager.register_pre_request_hook(
            lambda context: seen.append((context.method, context.url, dict(context.kwargs)))
        )
        manager.get(server.url(), timeout=5, max_retries=1)
        assert seen == [("GET", server.url(), {"timeout": 5, "max_retries": 1})]

    def test_once_per_call_in_order(self, driver, server, clock):
        seen = []
        server.route("/flaky", reply(503), reply(302, headers={"Location": "/"}))
        manager = driver.manager(clock=clock)
        manager.register_pre_request_hook(lambda context: seen.append("first"))
        manager.register_pre_request_hook(lambda context: seen.append("second"))
        manager.register_post_response_hook(lambda context: seen.append("after"))
        manager.get(server.url("/flaky"))
        assert seen == ["first", "second", "after"]

    def test_one_that_raises_ends_the_call(self, driver, server):
        errors, later = [], []
        manager = driver.manager()
        manager.register_pre_request_hook(raising)
        manager.register_pre_request_hook(lambda context: later.append(1))
        manager.register_error_hook(lambda context: errors.append(context.exception))
        with pytest.raises(Surprise) as caught:
            manager.get(server.url())
        assert errors == [caught.value]
        assert (later, server.count()) == ([], 0)

    def test_direct_send_runs_them(self, driver, server):
        def edit(context):
            assert context.kwargs["headers"]["X-Mine"] == "x"
            context.kwargs["headers"]["X-Hook"] = "yes"
            del context.kwargs["headers"]["X-Mine"]
            context.url += "?hooked=1"

        manager = driver.manager()
        manager.register_pre_request_hook(edit)
        # The header mapping of httpx has lower-case names.
        name = "X-Mine" if driver.is_sync else "x-mine"
        if not driver.is_sync:
            manager.unregister_hook(HookType.PRE_REQUEST, edit)

            def edit_lower(context):
                context.kwargs["headers"]["X-Hook"] = "yes"
                del context.kwargs["headers"][name]
                context.url += "?hooked=1"

            manager.register_pre_request_hook(edit_lower)
        seen = manager.send_prepared("GET", server.url(), headers={"X-Mine": "x"}).json()
        assert seen["headers"]["x-hook"] == "yes"
        assert "x-mine" not in seen["headers"]
        assert seen["query"] == "hooked=1"
        assert seen["headers"]["host"] == server.origin.partition("//")[2]

    def test_their_time_belongs_to_the_call(self, driver, server, clock):
        manager = driver.manager(clock=clock, total_timeout=5)
        manager.register_pre_request_hook(lambda context: clock.advance(6))
        with pytest.raises(driver.errors.timeout):
            manager.get(server.url())
        assert server.count() == 0


class TestPostResponseHooks:
    def test_they_see_the_response_and_may_replace_it(self, driver, server):
        other = driver.response(418)
        seen = []

        def replace(context):
            seen.append((context.response.status_code, context.request_context.method))
            context.response = other

        manager = driver.manager()
        manager.register_post_response_hook(replace)
        manager.register_post_response_hook(
            lambda context: seen.append(context.response.status_code)
        )
        assert manager.get(server.url()) is other
        assert seen == [(200, "GET"), 418]

    def test_they_see_statuses_that_were_not_raised(self, driver, server, clock):
        seen = []
        manager = driver.manager(clock=clock, raise_on_status=False, max_retries=1)
        manager.register_post_response_hook(
            lambda context: seen.append(context.response.status_code)
        )
        manager.get(server.url("/busy"))
        assert seen == [503]

    def test_one_that_raises_goes_through_the_error_hooks(self, driver, server):
        errors = []
        manager = driver.manager()
        manager.register_post_response_hook(raising)
        manager.register_error_hook(lambda context: errors.append(context.exception))
        with pytest.raises(Surprise) as caught:
            manager.get(server.url())
        assert errors == [caught.value]
        assert manager.state() == "closed"

    def test_one_that_raises_may_be_caught_by_a_fallback(self, driver, server):
        fallback = driver.response(200, "instead")

        def handle(context):
            context.handled, context.fallback_response = True, fallback

        manager = driver.manager()
        manager.register_post_response_hook(raising)
        manager.register_error_hook(handle)
        assert manager.get(server.url()) is fallback

    def test_not_after_an_error(self, driver, clock):
        seen = []
        manager = driver.manager(clock=clock, max_retries=0)
        manager.register_post_response_hook(seen.append)
        with dead_origin() as origin, pytest.raises(driver.errors.connect):
            manager.get(origin)
        assert seen == []


class TestErrorHooks:
    def fallback(self, driver, status=200):
        response = driver.response(status, "fallback")

        def hook(context):
            context.handled = True
            context.fallback_response = response

        return response, hook

    def test_a_fallback_that_is_a_503(self, driver, server, clock):
        response, hook = self.fallback(driver, 503)
        manager = driver.manager(clock=clock)
        manager.register_error_hook(hook)
        assert manager.get(server.url("/busy")) is response
        assert manager.happened(CallFailed) == []

    @pytest.mark.parametrize("kind", [MaxRetriesExceeded, CircuitBreakerOpen, RateLimitExceeded])
    def test_for_each_error_of_ours(self, driver, server, clock, kind):
        response, hook = self.fallback(driver)
        errors = []
        manager = driver.manager(
            clock=clock,
            max_retries=1,
            circuit_breaker_failure_threshold=2,
            rate_limit_requests=100 if kind is not RateLimitExceeded else 2,
            endpoint_configs={},
        )
        if kind is not MaxRetriesExceeded:
            with pytest.raises(MaxRetriesExceeded):
                manager.get(server.url("/busy"))
        if kind is RateLimitExceeded:
            manager.register_pre_request_hook(
                lambda context: context.kwargs.update(circuit_breaker_failure_threshold=None)
            )
        manager.register_error_hook(lambda context: errors.append(context.exception))
        manager.register_error_hook(hook)
        assert manager.get(server.url("/busy")) is response
        assert isinstance(errors[0], kind)

    def test_they_see_the_call(self, driver, server, clock):
        seen = []
        manager = driver.manager(clock=clock)
        manager.register_error_hook(
            lambda context: seen.append(
                (
                    type(context.exception).__mro__[1],
                    context.request_context.method,
                    context.request_context.url,
                    context.handled,
                    context.fallback_response,
                )
            )
        )
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url("/busy"))
        url = server.url("/busy")
        assert seen == [(MaxRetriesExceeded, "GET", url, False, None)]

    def test_the_first_fallback_ends_the_search(self, driver, server, clock):
        order = []
        response, hook = self.fallback(driver)
        manager = driver.manager(clock=clock)
        manager.register_error_hook(lambda context: order.append("looks"))
        manager.register_error_hook(hook)
        manager.register_error_hook(lambda context: order.append("too late"))
        assert manager.get(server.url("/busy")) is response
        assert order == ["looks"]

    def test_handled_without_a_fallback_raises(self, driver, server, clock):
        order = []

        def handle(context):
            context.handled = True
            order.append(1)

        manager = driver.manager(clock=clock)
        manager.register_error_hook(handle)
        manager.register_error_hook(lambda context: order.append(2))
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url("/busy"))
        assert order == [1, 2]

    def test_a_fallback_that_is_not_handled_raises(self, driver, server, clock):
        def offer(context):
            context.fallback_response = driver.response(200)

        manager = driver.manager(clock=clock)
        manager.register_error_hook(offer)
        with pytest.raises(MaxRetriesExceeded):
            manager.get(server.url("/busy"))

    def test_one_that_raises(self, driver, server, clock):
        manager = driver.manager(clock=clock)
        manager.register_error_hook(raising)
        with pytest.raises(Surprise) as caught:
            manager.get(server.url("/busy"))
        assert isinstance(caught.value.__context__, MaxRetriesExceeded)


def test_registration(driver, server):
    def first(context):
        pass

    manager = driver.manager()
    manager.register_pre_request_hook(first)
    manager.register_error_hook(raising)
    assert manager.list_hooks() == {
        "pre_request": ["first"],
        "post_response": [],
        "error_handler": ["raising"],
    }
    assert manager.get_stats()["registered_hooks"] == manager.list_hooks()
    manager.unregister_hook(HookType.PRE_REQUEST, first)
    with pytest.raises(ValueError, match="first"):
        manager.unregister_hook(HookType.PRE_REQUEST, first)
    with pytest.raises(TypeError):
        manager.register_pre_request_hook("first")
    assert manager.list_hooks()["pre_request"] == []


class TestCoroutineHooks:
    @pytest.fixture(params=["function", "object"])
    def hook(self, request):
        async def function(context):
            context.kwargs["headers"] = {"X-Hook": "awaited"}

        class Hook:
            async def __call__(self, context):
                await function(context)

        return function if request.param == "function" else Hook()

    def test_awaited_or_refused(self, driver, server, hook):
        manager = driver.manager()
        if driver.is_sync:
            with pytest.raises(TypeError, match="coroutine function"):
                manager.register_pre_request_hook(hook)
            return
        manager.register_pre_request_hook(hook)
        assert manager.get(server.url()).json()["headers"]["x-hook"] == "awaited"

    def test_after_and_on_error(self, driver, server, clock):
        if driver.is_sync:
            pytest.skip("the sync manager refuses them")
        seen = []
        response = driver.response(503)

        async def after(context):
            seen.append(context.response.status_code)

        async def on_error(context):
            context.handled, context.fallback_response = True, response

        manager = driver.manager(clock=clock)
        manager.register_post_response_hook(after)
        manager.register_error_hook(on_error)
        manager.get(server.url())
        assert manager.get(server.url("/busy")) is response
        assert seen == [200]

    def test_a_blocking_hook_runs_on_a_thread(self, driver, server):
        if driver.is_sync:
            pytest.skip("there is nothing to block")
        threads = []

        def hook(context):
            threads.append(threading.current_thread())
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()

        manager = driver.manager()
        manager.register_pre_request_hook(hook, blocking=True)
        manager.batch([("GET", server.url(), {})] * 3, max_workers=2)
        assert manager.list_hooks()["pre_request"] == ["hook"]
        loop = manager.await_(lambda: _current_thread())
        assert len(threads) == 3
        assert loop not in threads


async def _current_thread():
    return threading.current_thread()


def test_a_call_made_by_a_hook_is_its_own(driver, server):
    with FaultServer() as other:
        other.route("/token", echo())
        manager = driver.manager(bearer_token="secret", total_timeout=30)
        tokens = []

        def fetch(context):
            if context.url.endswith("/token"):
                return
            tokens.append(manager.manager.get(other.url("/token")))

        async def fetch_async(context):
            if not context.url.endswith("/token"):
                tokens.append(await manager.manager.get(other.url("/token")))

        manager.register_pre_request_hook(fetch if driver.is_sync else fetch_async)
        response = manager.get(server.url())
        assert response.json()["headers"]["authorization"] == "Bearer secret"
        assert tokens[0].json()["headers"]["authorization"] == "Bearer secret"
        assert len(response.attempts) == len(tokens[0].attempts) == 1
        manager.close()
