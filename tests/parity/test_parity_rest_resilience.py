"""Retries, the server's limits, the breaker, deadlines and hooks of a REST client."""

from __future__ import annotations

from itertools import count

import httpx
import pytest
from rest_drivers import Servers

from requests_connection_manager import (
    AttemptFinished,
    BreakerStateChanged,
    CallFinished,
    CallStarted,
    CircuitBreakerOpen,
    ConnectionReplaced,
    DeadlineExceeded,
    HookType,
    HTTPError,
    LimiterWaited,
    MaxRetriesExceeded,
    RateLimitExceeded,
    TooManyRequests,
)
from requests_connection_manager import ConnectionError as OurConnectionError
from requests_connection_manager import TimeoutError as OurTimeoutError
from requests_connection_manager.testing import (
    dead_origin,
    dies_while_idle,
    disconnect,
    reply,
    reset,
    truncate,
)

BASE = "https://api.test/v1"
OK = reply(200, body="ok")


def statuses(attempts):
    return [attempt.status for attempt in attempts]


# -- retries


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_these_statuses_are_retried_by_default(rest, server, clock, status):
    server.route("/x", reply(status), reply(status), OK)
    client = rest.client(server.origin, clock=clock)
    response = client.get("/x")
    assert response.text == "ok"
    assert statuses(response.attempts) == [status, status, 200]
    assert clock.sleeps == (0.3, 0.6)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501, 505])
def test_these_are_not(rest, server, clock, status):
    server.route("/x", reply(status), OK)
    with pytest.raises(HTTPError) as caught:
        rest.client(server.origin, clock=clock).get("/x")
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert (server.count(), clock.sleeps) == (1, ())


def test_events_come_in_the_same_order_in_all_worlds(rest, server, clock):
    server.route("/x", reply(503), reply(500), OK)
    client = rest.client(server.origin, clock=clock)
    client.get("/x")
    assert client.events == [
        ("AttemptStarted", 1),
        ("AttemptFinished", 1, 503, True, 0.0),
        ("RetryScheduled", 2, 0.3),
        ("AttemptStarted", 2),
        ("AttemptFinished", 2, 500, True, 0.3),
        ("RetryScheduled", 3, 0.6),
        ("AttemptStarted", 3),
        ("AttemptFinished", 3, 200, False, 0.6),
    ]
    assert isinstance(client.seen[0], CallStarted)
    assert client.seen[0].url == server.url("/x")
    assert client.happened(CallFinished) == [("CallFinished", 200, 3)]


def test_a_failed_call_tells_its_end(rest, server, clock):
    server.route("/x", reply(503))
    client = rest.client(server.origin, clock=clock, max_retries=1)
    with pytest.raises(MaxRetriesExceeded):
        client.get("/x")
    assert client.events == [
        ("AttemptStarted", 1),
        ("AttemptFinished", 1, 503, True, 0.0),
        ("RetryScheduled", 2, 0.3),
        ("AttemptStarted", 2),
        ("AttemptFinished", 2, 503, True, 0.3),
        ("RetrySuppressed", 2, "max_retries"),
        ("CallFailed",),
    ]


def test_the_servers_hint_is_waited_for(rest, server, clock):
    server.route("/x", reply(503, headers={"Retry-After": "7"}), OK)
    rest.client(server.origin, clock=clock).get("/x")
    assert clock.sleeps == (7,)


def test_a_hint_beyond_patience_ends_it(rest, server, clock):
    server.route("/x", reply(503, headers={"Retry-After": "700"}), OK)
    with pytest.raises(MaxRetriesExceeded) as caught:
        rest.client(server.origin, clock=clock).get("/x")
    assert (caught.value.reason, caught.value.retry_after) == ("retry_after", 700)
    assert clock.sleeps == ()


def test_a_post_is_not_sent_twice_unless_it_has_a_key(rest, server, clock):
    server.route("/x", reply(503), OK)
    client = rest.client(server.origin, clock=clock)
    with pytest.raises(HTTPError) as caught:
        client.post("/x", json={})
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert server.count() == 1
    server.clear()
    server.route("/x", reply(503), OK)
    client.post("/x", json={"a": 1}, idempotency_key_header="Idempotency-Key")
    keys = {one.headers["Idempotency-Key"] for one in server.requests}
    assert (server.count(), len(keys)) == (2, 1)
    assert {one.body for one in server.requests} == {b'{"a":1}'}


def test_an_allowed_post_is_sent_again_with_its_body(rest, server, clock):
    server.route("/x", reply(503), OK)
    client = rest.client(server.origin, clock=clock, allowed_methods={"POST"})
    client.post("/x", content=b"body")
    assert [one.body for one in server.requests] == [b"body", b"body"]


def test_a_generator_is_never_sent_twice(rest, server, clock):
    server.route("/x", reply(503), OK)
    client = rest.client(server.origin, clock=clock)
    with pytest.raises(MaxRetriesExceeded) as caught:
        client.put("/x", content=(piece for piece in (b"a", b"b")))
    assert caught.value.reason == "body_not_replayable"
    assert server.count() == 1


@pytest.mark.parametrize("fault", [disconnect(), reset(), truncate()], ids=str)
def test_a_broken_connection_is_a_connection_error(rest, server, clock, fault):
    server.route("/x", fault)
    client = rest.client(server.origin, clock=clock, max_retries=2)
    with pytest.raises(OurConnectionError) as caught:
        client.get("/x")
    assert isinstance(caught.value, (MaxRetriesExceeded, httpx.TransportError))
    assert (len(caught.value.attempts), server.count()) == (3, 3)


def test_no_connection_is_a_connection_error(rest, clock):
    with dead_origin() as origin:
        client = rest.client(origin, clock=clock, max_retries=1)
        with pytest.raises(OurConnectionError) as caught:
            client.get("/x")
        assert isinstance(caught.value, (MaxRetriesExceeded, httpx.ConnectError))


def test_a_slow_answer_is_a_timeout_error(rest, server, clock):
    server.route("/x", reply(200, delay=5))
    client = rest.client(server.origin, clock=clock, max_retries=1)
    with pytest.raises(OurTimeoutError) as caught:
        client.get("/x", timeout=0.05)
    assert isinstance(caught.value, (MaxRetriesExceeded, httpx.ReadTimeout))


def test_without_retries_it_is_httpx_own(rest):
    error = httpx.ConnectError("no")
    client = rest.client(BASE, transport=Servers(error).transport, max_retries=0)
    with pytest.raises(httpx.ConnectError) as caught:
        client.get("/x")
    assert caught.value is error
    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize("with_reset", [False, True])
def test_a_kept_connection_that_died_is_replaced_for_free(rest, server, clock, with_reset):
    server.route("/x", dies_while_idle(OK, when="next", with_reset=with_reset), OK)
    client = rest.client(server.origin, clock=clock)
    client.get("/x")
    response = client.get("/x")
    assert len(response.attempts) == 1
    assert client.happened(ConnectionReplaced) == [("ConnectionReplaced",)]
    assert clock.sleeps == ()
    assert server.connections == 2


def test_a_kept_connection_that_died_is_not_replaced_for_a_post(rest, server, clock):
    server.route("/x", dies_while_idle(OK, when="next"), OK)
    client = rest.client(server.origin, clock=clock)
    client.get("/x")
    with pytest.raises(httpx.TransportError):
        client.post("/x", json={})
    assert server.count() == 2


# -- limits of the server


def test_a_429_pauses_everyone_of_that_server_and_further_calls_queue(rest, server, clock):
    server.route("/busy", reply(429, headers={"Retry-After": "30"}))
    server.route("/x", OK)
    client = rest.client(server.origin, clock=clock, max_retries=0)
    with pytest.raises(TooManyRequests) as caught:
        client.get("/busy")
    assert caught.value.retry_after == 30
    clock.advance(10)
    assert client.get("/x").text == "ok"
    assert clock.sleeps == (20,)
    assert client.happened(LimiterWaited) == [("LimiterWaited", 20)]
    assert client.get("/x").text == "ok"
    assert clock.sleeps == (20,)


def test_siblings_share_the_pause(rest, server, clock):
    server.route("/busy", reply(429, headers={"Retry-After": "30"}))
    server.route("/x", OK)
    client = rest.client(server.origin, clock=clock, max_retries=0)
    with pytest.raises(TooManyRequests):
        client.with_options(total_timeout=20).get("/busy")
    with pytest.raises(RateLimitExceeded):
        client.with_options(rate_limit_mode="raise").get("/x")
    assert client.get("/x").text == "ok"
    assert clock.sleeps == (30,)


def test_calls_at_the_same_time_queue_too(rest, server, clock):
    server.route("/busy", reply(429, headers={"Retry-After": "30"}))
    server.route("/x", OK)
    client = rest.client(server.origin, clock=clock, max_retries=0)
    with pytest.raises(TooManyRequests):
        client.get("/busy")
    results = client.together([("GET", "/x", {})] * 8)
    assert [one.text for one in results] == ["ok"] * 8
    assert clock.monotonic() >= 30


def test_following_can_be_switched_off(rest, server, clock):
    server.route("/busy", reply(429, headers={"Retry-After": "30"}))
    server.route("/x", OK)
    client = rest.client(server.origin, clock=clock, max_retries=0, follow_server_limits=False)
    with pytest.raises(TooManyRequests):
        client.get("/busy")
    client.get("/x")
    assert clock.sleeps == ()


def test_there_is_no_limit_of_our_own_by_default(rest, servers, clock):
    client = rest.client(BASE, transport=servers.transport, clock=clock)
    for _ in range(150):
        client.get("/x")
    assert clock.sleeps == ()


def test_a_limit_of_our_own_queues(rest, servers, clock):
    client = rest.client(
        BASE,
        transport=servers.transport,
        clock=clock,
        rate_limit_requests=2,
        rate_limit_period=10,
    )
    for _ in range(5):
        client.get("/x")
    assert clock.sleeps == (10, 10)


# -- circuit breaker


def test_the_breaker_opens_and_closes(rest, clock):
    answers = [httpx.Response(500)] * 2 + [httpx.Response(200)]
    servers = Servers(*answers)
    client = rest.client(
        BASE,
        transport=servers.transport,
        clock=clock,
        max_retries=0,
        circuit_breaker_failure_threshold=2,
    )
    for _ in range(2):
        with pytest.raises(HTTPError):
            client.get("/x")
    with pytest.raises(CircuitBreakerOpen) as caught:
        client.get("/x")
    assert isinstance(caught.value, (OurConnectionError, httpx.ConnectError))
    assert caught.value.retry_after == 60
    assert len(servers.requests) == 2
    with pytest.raises(CircuitBreakerOpen):
        client.with_options(timeout=1).get("/x")
    clock.advance(60)
    assert client.get("/x").status_code == 200
    assert client.state() == "closed"
    changes = [event[1:] for event in client.happened(BreakerStateChanged)]
    assert changes == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]


def test_another_server_is_not_held_responsible(rest, clock):
    servers = Servers(lambda one: httpx.Response(500 if one.url.host == "api.test" else 200))
    client = rest.client(
        BASE,
        transport=servers.transport,
        clock=clock,
        max_retries=0,
        circuit_breaker_failure_threshold=1,
    )
    with pytest.raises(HTTPError):
        client.get("/x")
    assert client.get("https://other.test/x").status_code == 200
    with pytest.raises(CircuitBreakerOpen):
        client.get("/x")


# -- deadline, on the virtual clock


def test_a_deadline_ends_the_waiting(rest, server, clock):
    server.route("/x", reply(503))
    client = rest.client(server.origin, clock=clock, total_timeout=1)
    with pytest.raises(MaxRetriesExceeded) as caught:
        client.get("/x")
    assert caught.value.reason == "deadline"
    assert clock.sleeps == (0.3, 0.6)


def test_a_deadline_covers_the_hooks(rest, servers, clock):
    client = rest.client(BASE, transport=servers.transport, clock=clock, total_timeout=5)
    client.register_pre_request_hook(lambda context: clock.advance(6))
    with pytest.raises(DeadlineExceeded) as caught:
        client.get("/x")
    assert isinstance(caught.value, (OurTimeoutError, httpx.TimeoutException))


# -- hooks


def test_hooks_run_once_per_call_in_order(rest, clock):
    servers = Servers(httpx.Response(503), httpx.Response(200, text="ok"))
    client = rest.client(BASE, transport=servers.transport, clock=clock)
    seen = []
    client.register_pre_request_hook(lambda context: seen.append(("before", context.url)))
    client.register_post_response_hook(
        lambda context: seen.append(("after", context.response.status_code))
    )
    client.register_error_hook(lambda context: seen.append(("error", context.exception)))
    client.get("/x")
    assert seen == [("before", "/x"), ("after", 200)]
    assert [len(names) for names in client.list_hooks().values()] == [1, 1, 1]


def test_a_hook_edits_the_request(rest, servers):
    client = rest.client(BASE, transport=servers.transport)

    def edit(context):
        context.method, context.url = "PUT", "/edited"
        context.kwargs["headers"] = {"X-Hook": "1"}
        context.kwargs["params"] = {"page": 2}
        context.kwargs["max_retries"] = 0

    client.register_pre_request_hook(edit)
    client.get("/x")
    assert (servers.last.method, str(servers.last.url)) == ("PUT", BASE + "/edited?page=2")
    assert servers.last.headers["X-Hook"] == "1"
    client.unregister_hook(HookType.PRE_REQUEST, edit)
    client.get("/x")
    assert str(servers.last.url) == BASE + "/x"


def test_a_hook_replaces_the_response(rest, servers):
    client = rest.client(BASE, transport=servers.transport)

    def replace(context):
        context.response = httpx.Response(200, json={"data": 7})

    client.register_post_response_hook(replace)
    assert client.get("/x").json() == {"data": 7}
    assert client.get("/x", response_key="data") == 7


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.ConnectError("no")], ids=str)
def test_an_error_hook_sees_the_error_and_can_answer(rest, clock, answer):
    client = rest.client(BASE, transport=Servers(answer).transport, clock=clock)
    seen = []
    client.register_error_hook(lambda context: seen.append(context.exception))
    with pytest.raises((HTTPError, MaxRetriesExceeded)) as caught:
        client.get("/x")
    assert seen == [caught.value]

    def fall_back(context):
        context.handled = True
        context.fallback_response = httpx.Response(503, text="cached")

    client.register_error_hook(fall_back)
    assert client.get("/x").text == "cached"
    assert client.with_options(max_retries=0).get("/x").text == "cached"


def test_a_hook_that_raises_raises(rest, servers):
    client = rest.client(BASE, transport=servers.transport)

    def refuse(context):
        raise LookupError("refused")

    client.register_pre_request_hook(refuse)
    with pytest.raises(LookupError, match="refused"):
        client.get("/x")
    assert servers.requests == []


def test_hooks_and_listeners_are_shared_with_siblings(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    sibling = client.with_options(max_retries=0)
    seen = []
    sibling.register_pre_request_hook(lambda context: seen.append(context.url))
    client.get("/x")
    sibling.get("/y")
    assert seen == ["/x", "/y"]
    finished = [event for event in client.seen if isinstance(event, AttemptFinished)]
    assert len(finished) == 2


def test_httpx_event_hooks(rest, servers):
    seen = []
    hooks = {
        "request": [rest.hook(lambda request: seen.append(request.method))],
        "response": [rest.hook(lambda response: seen.append(response.status_code))],
    }
    client = rest.client(BASE, transport=servers.transport, event_hooks=hooks)
    client.get("/x")
    assert seen == ["GET", 200]


# -- batch


def test_a_batch(rest, clock):
    def answer(request):
        number = int(request.url.path.rpartition("/")[2])
        return httpx.Response(404 if number == 3 else 200, text=str(number))

    client = rest.client(BASE, transport=Servers(answer).transport, clock=clock)
    results = client.batch([("GET", f"/{number}", {}) for number in range(6)], max_workers=3)
    assert isinstance(results[3], HTTPError)
    assert [one.text for one in results[:3] + results[4:]] == ["0", "1", "2", "4", "5"]
    with pytest.raises(HTTPError):
        client.batch([("GET", "/3", {})], return_exceptions=False)


def test_a_batch_of_models(rest):
    pytest.importorskip("pydantic")
    numbers = count(1)
    servers = Servers(lambda request: httpx.Response(200, json=next(numbers)))
    client = rest.client(BASE, transport=servers.transport)
    results = client.batch([("GET", "/x", {"model": int}), ("POST", "/x", {"json": 1})])
    assert (results[0], results[1].status_code) in ((1, 200), (2, 200))


def test_a_batch_is_checked_first(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(TypeError, match="1"):
        client.batch([("GET", "/x", {}), ("GET",)])
    assert servers.requests == []


# -- calls within calls


def test_a_hook_may_call_with_the_same_client(rest, clock):
    """The call that a hook makes has a history, a deadline and credentials of its own."""
    servers = Servers(
        lambda request: httpx.Response(200, json={"token": "t", "path": request.url.path})
    )
    client = rest.client(BASE, transport=servers.transport, clock=clock, api_key="k")

    def nested(context):
        if context.url == "/x":
            answer = client.client.get("/token", total_timeout=5)
            context.kwargs["bearer_token"] = answer.json()["token"]

    async def nested_async(context):
        if context.url == "/x":
            answer = await client.client.get("/token", total_timeout=5)
            context.kwargs["bearer_token"] = answer.json()["token"]

    client.register_pre_request_hook(nested if rest.is_sync else nested_async)
    response = client.get("/x")
    assert [one.url.path for one in servers.requests] == ["/v1/token", "/v1/x"]
    assert [one.headers.get("Authorization") for one in servers.requests] == [None, "Bearer t"]
    assert len(response.attempts) == 1
    assert [event[2] for event in client.happened(CallFinished)] == [1, 1]


def test_a_fallback_may_call_with_the_same_client(rest, clock):
    servers = Servers(lambda one: httpx.Response(200 if one.url.path == "/v1/backup" else 404))
    client = rest.client(BASE, transport=servers.transport, clock=clock)

    def fall_back(context):
        context.handled, context.fallback_response = True, client.client.get("/backup")

    async def fall_back_async(context):
        context.handled, context.fallback_response = True, await client.client.get("/backup")

    client.register_error_hook(fall_back if rest.is_sync else fall_back_async)
    assert client.get("/x").status_code == 200
    assert [one.url.path for one in servers.requests] == ["/v1/x", "/v1/backup"]


def test_an_auth_flow_that_asks_a_token_server(rest, clock):
    """Its legs are hops of the call; the token server gets nothing of the client's."""

    class TokenAuth(httpx.Auth):
        requires_response_body = True

        def auth_flow(self, request):
            answer = yield httpx.Request("POST", "https://login.test/token", data={"code": "c"})
            request.headers["Authorization"] = f"Bearer {answer.json()['token']}"
            yield request

    servers = Servers(
        httpx.Response(503),
        httpx.Response(200, json={"token": "t"}),
        httpx.Response(200),
    )
    options = {"auth": TokenAuth(), "api_key": "k", "allowed_methods": None, "clock": clock}
    client = rest.client(BASE, transport=servers.transport, **options)
    response = client.get("/x")
    assert servers.urls == [*["https://login.test/token"] * 2, BASE + "/x"]
    assert [one.headers.get("X-API-Key") for one in servers.requests] == [None, None, "k"]
    assert servers.last.headers["Authorization"] == "Bearer t"
    assert statuses(response.attempts) == [503, 200, 200]


def test_a_base_exception_releases_the_probe_and_closes_the_response():
    """Ctrl-C, on the synchronous side; a cancelled task is the other one's."""
    from requests_connection_manager.rest import Client
    from requests_connection_manager.testing import VirtualClock

    clock = VirtualClock()
    servers = Servers(httpx.Response(500), KeyboardInterrupt(), httpx.Response(200))
    client = Client(
        BASE,
        transport=servers.transport,
        clock=clock,
        max_retries=0,
        circuit_breaker_failure_threshold=1,
    )
    with pytest.raises(HTTPError):
        client.get("/x")
    clock.advance(60)
    with pytest.raises(KeyboardInterrupt):
        client.get("/x")
    assert client.get("/x").status_code == 200
    assert client.get_stats()["circuit_breaker_state"] == "closed"
