"""The API engine on a scripted HTTP client: retries, stages, hooks, keys, models, bad input."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any, Dict, List, Optional

import anyio
import httpx
import pytest
import requests

from requests_connection_manager import (
    AttemptFinished,
    ConnectionManagerError,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitExceeded,
    RetryBudget,
    RetryScheduled,
    TokenBucketRateLimiter,
    exceptions,
)
from requests_connection_manager import api_engine as engine
from requests_connection_manager.api_engine import (
    ApiCircuitOpenError,
    ApiClient,
    ApiError,
    ApiHttpError,
    ApiNetworkError,
    ApiRateLimitError,
    ApiRequestModel,
    ApiTimeoutError,
    ApiValidationError,
    BaseCircuitBreaker,
    BaseHttpClient,
    BaseRateLimiter,
    BaseRequestHook,
    BaseRequestStrategy,
    CircuitBreaker,
    RetryRequestStrategy,
)
from requests_connection_manager.testing import VirtualClock

URL = "https://api.example.com/data"


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Run a coroutine function to its end, on either event loop."""

    def run(function, *args):
        return anyio.run(function, *args, backend=request.param)

    return run


@pytest.fixture
def clock():
    return VirtualClock()


class Scripted(BaseHttpClient):
    """Plays its script; the last line is repeated."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls: List[Dict[str, Any]] = []
        self.closed = 0

    async def request(
        self,
        method,
        url,
        headers=None,
        params=None,
        data=None,
        json_payload=None,
        timeout=None,  # noqa: ASYNC109  # as the interface has it
    ):
        self.calls.append({name: one for name, one in locals().items() if name != "self"})
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return step(self) if callable(step) else step

    async def close(self):
        self.closed += 1


def status(code, headers=None, body="trouble"):
    return ApiHttpError(f"status {code}", status_code=code, headers=headers or {}, body=body)


def client_for(clock, *script, **settings):
    http = Scripted(*script)
    client = ApiClient(strategy=RetryRequestStrategy(http=http, clock=clock, **settings))
    return client, http


# -- retries


def test_the_documented_waits_are_two_and_four_seconds(run, clock):
    client, http = client_for(clock, status(500), status(500), {"ok": 1}, backoff=2)
    assert run(client.call_api, URL) == {"ok": 1}
    assert clock.sleeps == (2.0, 4.0)
    assert len(http.calls) == 3


def test_what_is_given_reaches_the_http_client(run, clock):
    client, http = client_for(clock, [])

    async def main():
        await client.call_api(
            url=URL,
            method="post",
            headers={"Authorization": "Bearer token"},
            params={"limit": 10},
            json_payload={"a": 1},
            timeout=7,
        )

    run(main)
    assert http.calls == [
        {
            "method": "POST",
            "url": URL,
            "headers": {"Authorization": "Bearer token"},
            "params": {"limit": 10},
            "data": None,
            "json_payload": {"a": 1},
            "timeout": 7,
        }
    ]


def test_exhausted_retries_have_status_headers_and_body(run, clock):
    client, _http = client_for(clock, status(503, {"X-Id": "7"}, "down"))
    with pytest.raises(ApiHttpError) as caught:
        run(client.call_api, URL)
    error = caught.value
    assert isinstance(error, MaxRetriesExceeded)
    assert (error.status_code, error.headers["X-Id"], error.body) == (503, "7", "down")
    assert (error.reason, len(error.attempts)) == ("max_retries", 4)
    assert clock.sleeps == (2.0, 4.0, 8.0)
    assert error.request.url == URL


def test_the_errors_of_exhausted_retries_pickle(run, clock):
    for failure, kind in (
        (status(503), ApiHttpError),
        (status(429), ApiRateLimitError),
        (ApiTimeoutError("slow", sent=True), ApiTimeoutError),
        (ApiNetworkError("gone", sent=False), ApiNetworkError),
    ):
        client, _ = client_for(clock, failure, max_retries=1)
        with pytest.raises(kind) as caught:
            run(client.call_api, URL)
        copy = pickle.loads(pickle.dumps(caught.value))
        assert type(copy) is type(caught.value)
        assert copy.reason == "max_retries"
        assert isinstance(copy, MaxRetriesExceeded)


def test_without_raise_on_status_the_last_error_itself_comes(run, clock):
    client, _ = client_for(clock, status(503), max_retries=1, raise_on_status=False)
    with pytest.raises(ApiHttpError) as caught:
        run(client.call_api, URL)
    assert type(caught.value) is HTTPError
    assert len(caught.value.attempts) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, HTTPError),
        (401, exceptions.AuthenticationError),
        (403, exceptions.AuthenticationError),
        (404, HTTPError),
    ],
)
def test_other_statuses_are_not_retried(run, clock, code, kind):
    client, http = client_for(clock, status(code, body='{"error": "no"}'))
    with pytest.raises(ApiHttpError) as caught:
        run(client.call_api, URL)
    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.body) == (code, '{"error": "no"}')
    assert (len(http.calls), len(caught.value.attempts)) == (1, 1)


def test_an_http_error_always_has_status_headers_and_body(run, clock):
    def reported(http):
        http.report(404, {"X-Id": "1"})
        raise ApiHttpError("missing", status_code=404)

    for step, headers in (
        (reported, {"X-Id": "1"}),
        (ApiHttpError("missing", status_code=404), {}),
    ):
        client, _ = client_for(clock, step)
        with pytest.raises(ApiHttpError) as caught:
            run(client.call_api, URL)
        assert (caught.value.status_code, caught.value.headers, caught.value.body) == (
            404,
            headers,
            "",
        )


@pytest.mark.parametrize(
    ("method", "failure", "attempts"),
    [
        ("GET", status(500), 4),
        ("PUT", ApiTimeoutError("slow"), 4),
        ("POST", status(500), 1),
        ("POST", ApiTimeoutError("slow"), 1),
        ("POST", ApiNetworkError("reset", sent=True), 1),
        ("POST", ApiNetworkError("refused", sent=False), 4),
        ("POST", ApiTimeoutError("connect", sent=False), 4),
        ("POST", ConnectionRefusedError(), 4),
        ("POST", ConnectionResetError(), 1),
        ("GET", ConnectionResetError(), 4),
        ("GET", asyncio.TimeoutError(), 4),
        ("POST", httpx.ConnectError("no"), 4),
        ("POST", httpx.ReadTimeout("slow"), 1),
        ("GET", httpx.ReadError("reset"), 4),
        ("GET", requests.ConnectionError("reset"), 4),
        ("GET", KeyError("a bug"), 1),
        ("GET", ApiValidationError("not JSON"), 1),
    ],
    ids=repr,
)
def test_what_may_be_retried_depends_on_how_far_it_got(run, clock, method, failure, attempts):
    client, http = client_for(clock, failure)
    with pytest.raises(Exception) as caught:
        run(client.call_api, URL, method)
    assert len(http.calls) == attempts
    if attempts == 4:
        assert isinstance(caught.value, MaxRetriesExceeded)


def test_an_untrusted_certificate_is_never_retried(run, clock):
    import ssl

    def untrusted(http):
        try:
            raise ssl.SSLCertVerificationError("self-signed")
        except ssl.SSLError as exc:
            raise ApiNetworkError("untrusted", sent=False) from exc

    client, http = client_for(clock, untrusted)
    with pytest.raises(ApiNetworkError):
        run(client.call_api, URL)
    assert len(http.calls) == 1


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectError("no"), ApiNetworkError),
        (httpx.ReadTimeout("slow"), ApiTimeoutError),
        (requests.ConnectTimeout("slow"), ApiTimeoutError),
        (ConnectionResetError("reset"), ApiNetworkError),
        (asyncio.TimeoutError(), ApiTimeoutError),
    ],
    ids=repr,
)
def test_errors_of_libraries_come_in_the_documented_classes(run, clock, raised, kind):
    client, _ = client_for(clock, raised, max_retries=0)
    with pytest.raises(kind) as caught:
        run(client.call_api, URL)
    assert caught.value.__cause__ is raised
    assert len(caught.value.attempts) == 1


def test_the_status_in_an_error_of_a_library_counts(run, clock):
    request = httpx.Request("GET", URL)
    response = httpx.Response(503, text="down", headers={"X-Id": "1"}, request=request)
    raised = httpx.HTTPStatusError("503", request=request, response=response)
    client, _ = client_for(clock, raised, {"ok": 1})
    assert run(client.call_api, URL) == {"ok": 1}
    client, _http = client_for(clock, raised, max_retries=0)
    with pytest.raises(ApiHttpError) as caught:
        run(client.call_api, URL)
    error = caught.value
    assert (error.status_code, error.body, error.headers["X-Id"]) == (503, "down", "1")
    assert error.__cause__ is raised


def test_the_retries_of_a_pipeline_below_are_not_multiplied(run, clock):
    below = MaxRetriesExceeded("three attempts", reason="max_retries")
    client, http = client_for(clock, below)
    with pytest.raises(MaxRetriesExceeded) as caught:
        run(client.call_api, URL)
    assert caught.value is below
    assert len(http.calls) == 1


def test_a_retry_after_raises_the_delay(run, clock):
    client, _ = client_for(clock, status(503, {"retry-after": "9"}), {"ok": 1})
    run(client.call_api, URL)
    assert clock.sleeps == (9.0,)


def test_an_idempotency_key_lets_post_be_retried(run, clock):
    client, http = client_for(
        clock, status(500), {"ok": 1}, idempotency_key_header="Idempotency-Key"
    )
    run(client.call_api, URL, "POST")
    first, second = (call["headers"]["Idempotency-Key"] for call in http.calls)
    assert first == second


def test_settings_of_one_call(run, clock):
    client, http = client_for(clock, status(500))

    async def main():
        with pytest.raises(ApiHttpError):
            await client.call_api(URL, max_retries=0)

    run(main)
    assert len(http.calls) == 1


def test_a_dead_connection_is_replaced_at_no_cost(run, clock):
    dead = ApiNetworkError("reset", sent=True, stale=True)
    breaker = CircuitBreaker(1, 60, clock=clock)
    client, http = client_for(clock, dead, {"ok": 1}, breaker=breaker)
    assert run(client.call_api, URL) == {"ok": 1}
    assert (len(http.calls), clock.sleeps, breaker.state) == (2, (), "closed")
    client, http = client_for(clock, dead)
    with pytest.raises(ApiNetworkError):
        run(client.call_api, URL, "POST")
    assert len(http.calls) == 1


def test_a_spent_body_is_never_sent_twice(run, clock):
    client, http = client_for(clock, ApiNetworkError("reset", sent=True))

    async def main():
        with pytest.raises(ApiNetworkError) as caught:
            await client.call_api(URL, "PUT", data=iter([b"x"]))
        assert "consumed" in caught.value.__notes__[0]

    run(main)
    assert len(http.calls) == 1


def test_a_file_is_rewound_to_where_it_was(run, clock, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"0123456789")
    seen = []

    def reading(http):
        seen.append(http.calls[-1]["data"].read())
        if len(seen) == 1:
            raise ApiNetworkError("reset", sent=True)
        return {}

    client, _ = client_for(clock, reading)
    with path.open("rb") as file:
        file.seek(4)

        async def main():
            await client.call_api(URL, "PUT", data=file)

        run(main)
    assert seen == [b"456789", b"456789"]


def test_a_retry_budget_is_shared_by_the_calls_to_an_origin(run, clock):
    client, http = client_for(clock, status(500), retry_budget=RetryBudget(capacity=14))
    with pytest.raises(MaxRetriesExceeded) as caught:
        run(client.call_api, URL)
    assert caught.value.reason == "retry_budget"
    assert len(http.calls) == 2


# -- the deadline


def test_a_backoff_that_would_cross_the_deadline_is_not_begun(run, clock):
    client, _http = client_for(clock, status(500), total_timeout=5)
    with pytest.raises(MaxRetriesExceeded) as caught:
        run(client.call_api, URL)
    assert caught.value.reason == "deadline"
    assert clock.sleeps == (2.0,)


def test_the_deadline_ends_a_client_that_hangs(run):
    class Hanging(Scripted):
        async def request(self, *args, **kwargs):
            await anyio.sleep(60)

    client = ApiClient(RetryRequestStrategy(Hanging(), total_timeout=0.05))
    with pytest.raises(ApiTimeoutError) as caught:
        run(client.call_api, URL)
    assert isinstance(caught.value, exceptions.DeadlineExceeded)
    assert "total_timeout=0.05" in str(caught.value)


def test_the_time_for_an_attempt_is_what_the_deadline_leaves(run, clock):
    client, http = client_for(clock, {})

    async def main():
        await client.call_api(URL, timeout=30, total_timeout=5)

    run(main)
    assert http.calls[0]["timeout"] == 5


# -- the circuit breaker


def test_the_circuit_opens_and_nothing_is_sent(run, clock):
    breaker = CircuitBreaker(max_failures=2, cooldown_time=60, clock=clock)
    client, http = client_for(clock, status(500), {"ok": 1}, breaker=breaker, max_retries=0)
    http.script = [status(500), status(500), {"ok": 1}]
    for _ in range(2):
        with pytest.raises(ApiHttpError):
            run(client.call_api, URL)
    assert breaker.is_open()
    with pytest.raises(ApiCircuitOpenError) as caught:
        run(client.call_api, URL)
    assert caught.value.retry_after == pytest.approx(60)
    assert len(http.calls) == 2
    clock.advance(60)
    assert not breaker.is_open()
    assert run(client.call_api, URL) == {"ok": 1}
    assert breaker.state == "closed"


def test_an_open_circuit_ends_the_retries(run, clock):
    breaker = CircuitBreaker(max_failures=2, cooldown_time=60, clock=clock)
    client, http = client_for(clock, status(500), breaker=breaker)
    with pytest.raises(MaxRetriesExceeded) as caught:
        run(client.call_api, URL)
    assert caught.value.reason == "circuit_open"
    assert len(http.calls) == 2


def test_client_errors_and_cancellation_are_no_failures(run, clock):
    breaker = CircuitBreaker(max_failures=1, cooldown_time=60, clock=clock)
    client, _http = client_for(clock, status(404), breaker=breaker)
    with pytest.raises(ApiHttpError):
        run(client.call_api, URL)

    async def cancelled():
        class Hanging(Scripted):
            async def request(self, *args, **kwargs):
                await anyio.sleep_forever()

        hanging = ApiClient(RetryRequestStrategy(Hanging(), breaker, clock=clock))
        with anyio.move_on_after(0.01):
            await hanging.call_api(URL)

    run(cancelled)
    assert (breaker.failure_count, breaker.state) == (0, "closed")


def test_a_breaker_can_be_driven_by_hand():
    breaker = CircuitBreaker(max_failures=2, cooldown_time=60)
    breaker.record_failure()
    assert (breaker.is_open(), breaker.failure_count) == (False, 1)
    breaker.record_failure()
    assert breaker.is_open()
    breaker.record_failure()
    breaker.reset()
    assert (breaker.is_open(), breaker.failure_count, breaker.state) == (False, 0, "closed")
    assert repr(breaker) == "<CircuitBreaker max_failures=2 cooldown_time=60 closed>"


def test_a_failed_probe_opens_again(clock):
    breaker = CircuitBreaker(max_failures=1, cooldown_time=10, clock=clock)
    breaker.record_failure()
    clock.advance(10)
    breaker.record_failure()
    assert breaker.is_open()


class OwnBreaker(BaseCircuitBreaker):
    def __init__(self):
        self.open = False
        self.log = []

    def is_open(self):
        self.log.append("is_open")
        return self.open

    def record_failure(self):
        self.log.append("failure")

    def reset(self):
        self.log.append("reset")


def test_a_breaker_of_the_users_own_is_asked_and_told(run, clock):
    breaker = OwnBreaker()
    client, http = client_for(clock, status(500), {"ok": 1}, breaker=breaker)
    run(client.call_api, URL)
    assert [word for word in breaker.log if word != "is_open"] == ["failure", "reset"]
    breaker.open = True
    with pytest.raises(ApiCircuitOpenError):
        run(client.call_api, URL)
    assert len(http.calls) == 2


def test_a_breaker_that_raises_in_booking_does_not_lose_the_answer(run, clock, caplog):
    class Failing(OwnBreaker):
        def reset(self):
            raise OSError("redis://:secret@host is down")

    client, _ = client_for(clock, {"ok": 1}, breaker=Failing())
    with caplog.at_level(logging.ERROR, "requests_connection_manager"):
        assert run(client.call_api, URL) == {"ok": 1}
    assert "Failing could not book a result: OSError" in caplog.text
    assert "secret" not in caplog.text


def test_a_breaker_needs_plain_methods():
    class Wrong(OwnBreaker):
        async def is_open(self):
            return False

    with pytest.raises(TypeError, match=r"Wrong\.is_open"):
        RetryRequestStrategy(Scripted({}), Wrong())
    with pytest.raises(TypeError, match=r"object\.is_open"):
        RetryRequestStrategy(Scripted({}), object())


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"max_failures": 0}, ValueError, "max_failures"),
        ({"max_failures": "5"}, TypeError, "max_failures"),
        ({"cooldown_time": -1}, ValueError, "cooldown_time"),
    ],
)
def test_a_breaker_names_what_is_wrong_in_its_own_terms(given, kind, text):
    with pytest.raises(kind, match=text):
        CircuitBreaker(**given)


# -- rate limits


def limit(key, max_requests=1, period=60):
    return {"key": key, "max_requests": max_requests, "period": period}


def test_the_documented_limiter_makes_calls_wait(run, clock):
    client, _http = client_for(clock, {}, limiter=limit("a", 2, 60))
    for _ in range(3):
        run(client.call_api, URL)
    assert clock.sleeps == pytest.approx((30.0,))


def test_retries_take_tokens_too(run, clock):
    client, _http = client_for(clock, status(500), {}, limiter=limit("b", 1, 60))
    run(client.call_api, URL)
    assert sum(clock.sleeps) == pytest.approx(60)


def test_limiters_of_the_same_key_share_one_bucket(run, clock):
    one, _ = client_for(clock, {}, limiter=limit("shared"))
    other, _ = client_for(clock, {}, limiter=limit("shared"))
    third, _ = client_for(clock, {}, limiter=limit("third"))
    run(one.call_api, URL)
    run(third.call_api, URL)
    assert clock.sleeps == ()
    run(other.call_api, URL)
    assert sum(clock.sleeps) == pytest.approx(60)


def test_a_bucket_outlives_the_strategies_that_are_built_anew_for_each_call(run, clock):
    for _ in range(2):
        client, _ = client_for(clock, {}, limiter=limit("anew"))
        run(client.call_api, URL)
        del client
    assert sum(clock.sleeps) == pytest.approx(60)


def test_the_same_key_with_other_numbers_is_a_mistake(clock):
    first = engine.TokenBucketRateLimiter("numbers", 5, 60, clock=clock)
    with pytest.raises(ValueError, match="'numbers' is in use with max_requests=5 and period=60"):
        engine.TokenBucketRateLimiter("numbers", 6, 60, clock=clock)
    del first
    assert engine.TokenBucketRateLimiter("numbers", 6, 60, clock=clock).max_requests == 6


@pytest.mark.parametrize(
    ("limiter", "kind", "text"),
    [
        ({"key": "x", "max_requests": 1}, ValueError, "lacks period"),
        ({**limit("x"), "max_request": 1}, ValueError, "'max_request'; did you mean"),
        (limit(""), TypeError, "key"),
        (limit("x", 0), ValueError, "max_requests"),
        (limit("x", 1.5), TypeError, "max_requests"),
        (limit("x", 1, 0), ValueError, "period"),
        (limit("x", 1, "60"), TypeError, "period"),
        (42, TypeError, "limiter must be a mapping"),
    ],
)
def test_a_wrong_limiter_is_named(limiter, kind, text):
    with pytest.raises(kind, match=text):
        RetryRequestStrategy(Scripted({}), limiter=limiter)


def test_a_429_pauses_everyone_with_the_same_key(run, clock):
    first, _ = client_for(
        clock, status(429, {"Retry-After": "40"}), limiter=limit("pause", 10), max_retries=0
    )
    second, _ = client_for(clock, {}, limiter=limit("pause", 10))
    with pytest.raises(ApiRateLimitError) as caught:
        run(first.call_api, URL)
    assert isinstance(caught.value, ApiHttpError)
    run(second.call_api, URL)
    assert sum(clock.sleeps) == pytest.approx(40, abs=0.01)


def test_headers_that_a_client_reports_count(run, clock):
    def last_one(http):
        http.report(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "25"})
        return {}

    client, _ = client_for(clock, last_one, limiter=limit("reported", 10))
    run(client.call_api, URL)
    run(client.call_api, URL)
    assert sum(clock.sleeps) == pytest.approx(25, abs=0.01)


def test_raise_mode_refuses(run, clock):
    client, http = client_for(clock, {}, limiter=limit("raise"), rate_limit_mode="raise")
    run(client.call_api, URL)
    with pytest.raises(ApiRateLimitError) as caught:
        run(client.call_api, URL)
    assert type(caught.value) is RateLimitExceeded
    assert len(http.calls) == 1


def test_a_limiter_of_the_packages_protocol(run, clock):
    bucket = TokenBucketRateLimiter(rate=1, capacity=1, clock=clock.monotonic)
    client, _ = client_for(clock, {}, limiter=bucket)
    run(client.call_api, URL)
    run(client.call_api, URL)
    assert sum(clock.sleeps) == pytest.approx(1)


class OwnLimiter(BaseRateLimiter):
    def __init__(self, clock=None, seconds=0.0, answer=None):
        self.clock, self.seconds, self.answer = clock, seconds, answer
        self.acquired = 0

    async def acquire(self):
        self.acquired += 1
        if self.seconds:
            await self.clock.asleep(self.seconds)
        return self.answer


def test_a_limiter_of_the_users_own_is_waited_for_before_each_attempt(run, clock):
    limiter = OwnLimiter(clock, 3.0)
    client, _ = client_for(clock, status(500), {"ok": 1}, limiter=limiter)
    waits = []
    client.strategy.add_listener(lambda event: waits.append(event.waited), AttemptFinished)
    run(client.call_api, URL)
    assert limiter.acquired == 2
    assert clock.sleeps == (3.0, 2.0, 3.0)
    assert waits == [3.0, 5.0]


def test_a_limiter_of_the_users_own_can_refuse(run, clock):
    client, http = client_for(clock, {}, limiter=OwnLimiter(answer=False))
    with pytest.raises(RateLimitExceeded, match="refused by OwnLimiter"):
        run(client.call_api, URL)
    assert http.calls == []


def test_a_limiter_of_the_users_own_keeps_to_the_deadline(run, clock):
    client, http = client_for(clock, {}, limiter=OwnLimiter(clock, 10.0), total_timeout=5)
    with pytest.raises(exceptions.DeadlineExceeded):
        run(client.call_api, URL)
    assert http.calls == []


def test_an_open_circuit_costs_no_token(run, clock):
    breaker, limiter = CircuitBreaker(1, 60, clock=clock), OwnLimiter()
    breaker.record_failure()
    client, _ = client_for(clock, {}, breaker=breaker, limiter=limiter)
    with pytest.raises(ApiCircuitOpenError):
        run(client.call_api, URL)
    assert limiter.acquired == 0


def test_a_plain_acquire_is_an_error(run, clock):
    class Plain(OwnLimiter):
        def acquire(self):
            return None

    client, _ = client_for(clock, {}, limiter=Plain())
    with pytest.raises(TypeError, match=r"Plain\.acquire must be 'async def'"):
        run(client.call_api, URL)


def test_acquire_waits_first_come_first_served(run, clock):
    limiter = engine.TokenBucketRateLimiter("alone", 1, 10, clock=clock)

    async def main():
        await limiter.acquire()
        await limiter.acquire()

    run(main)
    assert sum(clock.sleeps) == pytest.approx(10)
    assert limiter.fill() == pytest.approx(1.0)


def test_a_cancelled_acquire_gives_its_place_away(request, run):
    limiter = engine.TokenBucketRateLimiter(request.node.name, 1, 3600)

    async def main():
        await limiter.acquire()
        with anyio.move_on_after(0.01):
            await limiter.acquire()
        assert not limiter.bucket._queue

    run(main)


# -- hooks


class Recording(BaseRequestHook):
    def __init__(self, log, name=""):
        self.log, self.name = log, name

    async def before(self, request):
        self.log.append(("before", self.name))
        if not request.headers:
            request.headers = {}
        request.headers["Authorization"] = "Bearer fresh"

    async def after(self, request, response):
        self.log.append(("after", self.name, response))


def test_hooks_run_once_per_call_in_their_order(run, clock):
    log = []
    client, http = client_for(
        clock, status(500), {"data": [1]}, hooks=[Recording(log, "a"), Recording(log, "b")]
    )
    given = {"X": "1"}

    async def main():
        return await client.call_api(URL, headers=given, response_key="data")

    assert run(main) == [1]
    assert log == [
        ("before", "a"),
        ("before", "b"),
        ("after", "a", {"data": [1]}),
        ("after", "b", {"data": [1]}),
    ]
    assert [call["headers"]["Authorization"] for call in http.calls] == ["Bearer fresh"] * 2
    assert given == {"X": "1"}


def test_what_a_hook_raises_reaches_the_caller(run, clock):
    class Failing(BaseRequestHook):
        def __init__(self, where):
            self.where = where

        async def before(self, request):
            if self.where == "before":
                raise KeyError("no token")

        async def after(self, request, response):
            if self.where == "after":
                raise KeyError("no field")

    for where, sent in (("before", 0), ("after", 1)):
        breaker = CircuitBreaker(1, clock=clock)
        client, http = client_for(clock, {}, hooks=[Failing(where)], breaker=breaker)
        with pytest.raises(KeyError, match="no"):
            run(client.call_api, URL)
        assert len(http.calls) == sent
        assert breaker.state == "closed"


def test_hooks_of_the_wrong_kind_are_named(run, clock):
    with pytest.raises(TypeError, match="hooks must have the methods"):
        RetryRequestStrategy(Scripted({}), hooks=[object()])
    with pytest.raises(TypeError, match="not the class Recording"):
        RetryRequestStrategy(Scripted({}), hooks=[Recording])
    with pytest.raises(TypeError, match="hooks must be a list"):
        RetryRequestStrategy(Scripted({}), hooks=Recording([]))

    class Plain(BaseRequestHook):
        def before(self, request):
            pass

    client, http = client_for(clock, {}, hooks=[Plain()])
    with pytest.raises(TypeError, match=r"Plain\.before must be 'async def'"):
        run(client.call_api, URL)
    assert http.calls == []


def test_a_hook_cannot_smuggle_in_what_cannot_be_sent(run, clock):
    class Broken(BaseRequestHook):
        async def before(self, request):
            request.headers = {"Authorization": "Bearer x\r\nX-Evil: 1"}

    client, http = client_for(clock, {}, hooks=[Broken()])
    with pytest.raises(ValueError, match="control characters"):
        run(client.call_api, URL)
    assert http.calls == []


# -- the response


def test_a_missing_key_shows_which_keys_there_were(run, clock):
    client, _ = client_for(clock, {"items": [], "total": 0})

    async def main():
        await client.call_api(URL, response_key="data")

    with pytest.raises(ApiValidationError, match=r"'data'.*'items'.*'total'"):
        run(main)


def test_a_model_is_validated(run, clock):
    pydantic = pytest.importorskip("pydantic")

    class DataItem(pydantic.BaseModel):
        id: int
        name: str

    class DataResponse(pydantic.BaseModel):
        items: List[DataItem]
        total: int

    DataResponse.model_rebuild(_types_namespace={"List": List, "DataItem": DataItem})
    item = {"id": 1, "name": "a"}
    client, _ = client_for(clock, {"data": {"items": [item], "total": 1}, "ids": [1, 2]})

    async def main():
        whole = await client.call_api(URL, response_key="data", model=DataResponse)
        assert whole == DataResponse(items=[DataItem(**item)], total=1)
        assert await client.call_api(URL, response_key="ids", model=List[int]) == [1, 2]
        assert await client.call_api(URL, model=Optional[Dict[str, Any]])
        with pytest.raises(ApiValidationError, match="items"):
            await client.call_api(URL, model=DataResponse)

    run(main)


def test_no_content_with_a_model_is_a_clear_error(run, clock):
    pytest.importorskip("pydantic")
    client, _ = client_for(clock, None)

    async def main():
        assert await client.call_api(URL) is None
        with pytest.raises(ApiValidationError, match="int"):
            await client.call_api(URL, model=int)
        with pytest.raises(ApiValidationError, match="'data'"):
            await client.call_api(URL, response_key="data")

    run(main)


def test_a_failed_validation_has_the_history(run, clock):
    client, _ = client_for(clock, {})

    async def main():
        await client.call_api(URL, response_key="data")

    with pytest.raises(ApiValidationError) as caught:
        run(main)
    assert [attempt.status for attempt in caught.value.attempts] == [200]


async def _forgotten():
    return {}


@pytest.mark.parametrize(
    ("nonsense", "text"),
    [
        (lambda http: _forgotten(), "returned a coroutine"),
        (lambda http: (one for one in ()), "not a builtins.generator"),
        (lambda http: httpx.Response(200), "not a httpx"),
        (lambda http: requests.Response(), "not a requests"),
    ],
)
def test_a_client_that_returns_nonsense_is_named(run, clock, nonsense, text):
    client, http = client_for(clock, nonsense)
    with pytest.raises(ApiValidationError, match=text) as caught:
        run(client.call_api, URL)
    assert "Scripted.request" in str(caught.value)
    assert len(http.calls) == 1


def test_a_client_with_a_plain_method_is_named(run, clock):
    class Plain:
        def request(self, *args, **kwargs):
            return {}

        async def close(self):
            pass

    client = ApiClient(RetryRequestStrategy(Plain()))
    with pytest.raises(TypeError, match=r"Plain\.request must be 'async def'"):
        run(client.call_api, URL)


# -- bad arguments


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"url": "/data"}, ValueError, "url must be an absolute"),
        ({"url": "ftp://host/x"}, ValueError, "url must be an absolute"),
        ({"url": None}, TypeError, "url must be an absolute"),
        ({"method": "GE T"}, ValueError, "method"),
        ({"method": None}, TypeError, "method"),
        ({"headers": ["X"]}, TypeError, "headers must be a mapping"),
        ({"headers": {"X": 1}}, TypeError, "header 'X'"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": "5"}, TypeError, "timeout"),
        ({"response_key": 5}, TypeError, "response_key"),
        ({"data": b"x", "json_payload": {}}, ValueError, "data or json_payload"),
        ({"max_retry": 1}, TypeError, "did you mean 'max_retries'"),
        ({"max_retries": -1}, ValueError, "max_retries"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named_before_anything_is_sent(run, clock, given, kind, text):
    client, http = client_for(clock, {})

    async def main():
        await client.call_api(**{"url": URL, **given})

    with pytest.raises(kind, match=text):
        run(main)
    assert http.calls == []


def test_wrong_parts_of_a_strategy_are_named():
    with pytest.raises(TypeError, match="http must be a BaseHttpClient"):
        RetryRequestStrategy(object())
    with pytest.raises(TypeError, match="did you mean 'total_timeout'"):
        RetryRequestStrategy(Scripted({}), total_timout=5)
    with pytest.raises(ValueError, match="max_retries"):
        RetryRequestStrategy(Scripted({}), max_retries=-1)
    with pytest.raises(TypeError, match="strategy must be an object"):
        ApiClient(RetryRequestStrategy)
    with pytest.raises(TypeError, match="strategy must be an object"):
        ApiClient(strategy=None)


def test_a_closed_client_says_so(run, clock):
    client, http = client_for(clock, {})

    async def main():
        async with client:
            await client.call_api(URL)
        await client.close()
        with pytest.raises(RuntimeError, match="closed; create a new one"):
            await client.call_api(URL)

    run(main)
    assert http.closed == 1
    assert repr(client) == "<ApiClient closed>"


# -- one tree, several vocabularies


def test_the_documented_errors_are_the_packages_own():
    assert ApiError is ConnectionManagerError
    assert engine.ClientError is ConnectionManagerError
    assert ApiHttpError is exceptions.HTTPError
    assert ApiTimeoutError is exceptions.TimeoutError
    assert ApiNetworkError is exceptions.ConnectionError
    assert ApiRateLimitError is exceptions.RateLimitError
    assert ApiCircuitOpenError is exceptions.CircuitBreakerOpen
    assert ApiValidationError is exceptions.ValidationError
    assert issubclass(RateLimitExceeded, ApiRateLimitError)
    for kind in (
        ApiHttpError,
        ApiTimeoutError,
        ApiRateLimitError,
        ApiNetworkError,
        ApiCircuitOpenError,
        ApiValidationError,
    ):
        assert issubclass(kind, ApiError)


def test_events_and_logs_tell_what_happened_and_no_secret(run, clock, caplog):
    client, _ = client_for(clock, status(500), max_retries=1)
    seen = []
    client.strategy.add_listener(seen.append, RetryScheduled, AttemptFinished)
    url = "https://user:hunter2@api.example.com/x?token=hunter2"

    async def main():
        await client.call_api(url, headers={"Authorization": "Bearer hunter2"})

    caplog.set_level(logging.DEBUG, "requests_connection_manager")
    with pytest.raises(ApiHttpError) as caught:
        run(main)
    assert [type(event).__name__ for event in seen] == [
        "AttemptFinished",
        "RetryScheduled",
        "AttemptFinished",
    ]
    shown = [caplog.text, repr(seen), str(caught.value), repr(caught.value.request), repr(client)]
    assert "hunter2" not in " ".join(shown)
    client.strategy.remove_listener(seen.append)


def test_a_request_shows_no_secret():
    request = ApiRequestModel("GET", "https://a.test/?api_key=k", headers={"X-API-Key": "k1"})
    assert "k1" not in repr(request)
    assert "api_key=k" not in repr(request)


def test_a_strategy_of_the_users_own(run):
    class Echo(BaseRequestStrategy):
        async def execute(self, request, **settings):
            return request.method, request.url

    assert run(ApiClient(Echo()).call_api, URL) == ("GET", URL)


def test_one_strategy_on_two_event_loops(clock):
    client, _http = client_for(clock, {}, limiter=limit("loops", 1, 10))
    asyncio.run(client.call_api(URL))
    asyncio.run(client.call_api(URL))
    assert sum(clock.sleeps) == pytest.approx(10)


def test_every_name_is_there():
    assert sorted(engine.__all__) == sorted(set(engine.__all__))
    for name in engine.__all__:
        assert getattr(engine, name).__name__
        assert name in dir(engine)
    with pytest.raises(AttributeError, match="Nonsense"):
        engine.Nonsense  # noqa: B018  # the access is what is tested
