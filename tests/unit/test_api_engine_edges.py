"""The API engine where its parts meet: users' own limiters, breakers and clients that misbehave."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import weakref
from collections import OrderedDict
from typing import List

import anyio
import httpx
import pytest
import requests

from requests_connection_manager import (
    CallFailed,
    LimiterRefused,
    MaxRetriesExceeded,
    RateLimitExceeded,
    SystemClock,
    exceptions,
)
from requests_connection_manager.api_engine import (
    ApiCircuitOpenError,
    ApiClient,
    ApiError,
    ApiHttpError,
    ApiNetworkError,
    ApiRateLimitError,
    ApiTimeoutError,
    ApiValidationError,
    BaseCircuitBreaker,
    BaseHttpClient,
    BaseRateLimiter,
    BaseRequestHook,
    CircuitBreaker,
    HttpxHttpClient,
    RetryRequestStrategy,
    TokenBucketRateLimiter,
)
from requests_connection_manager.testing import VirtualClock

URL = "https://api.example.com/data"


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Run a coroutine function to its end, on either event loop."""

    def run(function, *args, **kwargs):
        async def main():
            return await function(*args, **kwargs)

        return anyio.run(main, backend=request.param)

    return run


@pytest.fixture
def clock():
    return VirtualClock()


class Scripted(BaseHttpClient):
    """Plays its script; the last line is repeated."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls = []

    async def request(self, method, url, **kwargs):
        self.calls.append({"method": method, "url": url, **kwargs})
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return step(self) if callable(step) else step


def status(code, headers=None, body="trouble", **details):
    return ApiHttpError(
        f"status {code}", status_code=code, headers=headers or {}, body=body, **details
    )


def client_for(clock, *script, **settings):
    http = Scripted(*script)
    return ApiClient(RetryRequestStrategy(http=http, clock=clock, **settings)), http


def caught_from(run, kind, function, *args, **kwargs):
    with pytest.raises(kind) as caught:
        run(function, *args, **kwargs)
    return caught.value


# -- what led to an error


class VendorError(ApiHttpError):
    """A client's own kind of error."""


def test_the_error_of_the_client_is_the_cause_of_exhausted_retries(run, clock):
    library = OSError("of the library")

    def fail(http):
        raise VendorError("no", status_code=503, headers={}, body="", code="E42") from library

    client, _ = client_for(clock, fail, max_retries=1)
    error = caught_from(run, MaxRetriesExceeded, client.call_api, URL)
    assert (type(error.__cause__), error.__cause__.code) == (VendorError, "E42")
    assert error.__cause__.__cause__ is library
    client, _ = client_for(clock, fail, max_retries=0)
    error = caught_from(run, VendorError, client.call_api, URL)
    assert error.__cause__ is library


def test_the_error_of_a_library_stays_in_the_chain(run, clock):
    response = requests.Response()
    response.status_code = 503
    library = requests.HTTPError("503", response=response)
    client, _ = client_for(clock, library, max_retries=1)
    error = caught_from(run, MaxRetriesExceeded, client.call_api, URL)
    assert isinstance(error.__cause__, ApiHttpError)
    assert error.__cause__.__cause__ is library


class OwnBreaker(BaseCircuitBreaker):
    """Opens after some failures, for ever or until it is told to let a probe through."""

    def __init__(self, max_failures=2):
        self.max_failures = max_failures
        self.failures = 0
        self.half_open = False

    def is_open(self):
        return self.failures >= self.max_failures and not self.half_open

    def record_failure(self):
        self.failures += 1

    def reset(self):
        self.failures = 0


class OwnLimiter(BaseRateLimiter):
    """Plays its script, like the client."""

    def __init__(self, *script):
        self.script = list(script)

    async def acquire(self):
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return step


def test_a_limiter_that_raises_before_a_retry_does_not_hide_the_failure(run, clock):
    first, down = status(503), RuntimeError("redis is down")
    client, _ = client_for(clock, first, limiter=OwnLimiter(True, down))
    assert caught_from(run, RuntimeError, client.call_api, URL) is down
    assert down.__context__ is first
    assert [attempt.status for attempt in down.attempts] == [503]
    # The same object once more: nothing piles up behind it.
    client, _ = client_for(clock, status(500), limiter=OwnLimiter(True, down))
    assert caught_from(run, RuntimeError, client.call_api, URL) is down
    assert (down.__context__, first.__context__) == (first, None)


def test_a_breaker_that_raises_after_a_failure_does_not_hide_it(run, clock):
    class Down(OwnBreaker):
        asked = 0

        def is_open(self):
            self.asked += 1
            if self.asked == 1:
                return False
            try:
                raise OSError("connection refused")
            except OSError as exc:
                raise RuntimeError("redis is down") from exc

    first = ApiNetworkError("reset", sent=True)
    client, _ = client_for(clock, first, breaker=Down())
    error = caught_from(run, RuntimeError, client.call_api, URL)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.__context__ is first


def test_what_fails_after_a_success_has_nothing_to_do_with_earlier_attempts(run, clock):
    class Failing(BaseRequestHook):
        async def after(self, request, response):
            raise KeyError("no field")

    client, _ = client_for(clock, status(503), {}, hooks=[Failing()])
    assert caught_from(run, KeyError, client.call_api, URL).__context__ is None


def test_a_cause_that_two_failures_share_makes_no_circle(run, clock):
    shared = OSError("network is down")

    def fail(http):
        raise ApiNetworkError("reset", sent=True) from shared

    class Down(OwnLimiter):
        async def acquire(self):
            if await super().acquire():
                return
            raise RuntimeError("no limiter") from shared

    client, _ = client_for(clock, fail, limiter=Down(True, False))
    assert caught_from(run, RuntimeError, client.call_api, URL).__cause__ is shared
    assert shared.__context__ is None


def test_a_call_that_failed_for_good_is_told(run, clock):
    seen = []
    client, _ = client_for(clock, status(404))
    client.strategy.add_listener(seen.append, CallFailed)
    caught_from(run, ApiHttpError, client.call_api, f"{URL}?token=secret", "post")
    assert [(event.error, event.text, event.scope) for event in seen] == [
        ("HTTPError", "status 404", "https://api.example.com")
    ]
    assert "secret" not in repr(seen)
    run(client_for(clock, {})[0].call_api, URL)
    assert len(seen) == 1


# -- a limiter of the user's own


def test_a_limiter_that_refuses_a_retry_ends_the_call_with_the_last_answer(run, clock):
    events = []
    client, http = client_for(
        clock,
        status(503, {"X-Id": "7", "Retry-After": "9"}, "down"),
        limiter=OwnLimiter(True, False),
    )
    client.strategy.add_listener(events.append, LimiterRefused)
    error = caught_from(run, MaxRetriesExceeded, client.call_api, URL)
    assert isinstance(error, ApiHttpError)
    assert (error.reason, error.retry_after, len(error.attempts)) == ("rate_limit", 9.0, 1)
    assert (error.status_code, error.headers["X-Id"], error.body) == (503, "7", "down")
    assert (len(http.calls), len(events)) == (1, 1)


def test_a_limiter_that_refuses_at_once_promises_no_time(run, clock, caplog):
    events = []
    client, http = client_for(clock, {}, limiter=OwnLimiter(False))
    client.strategy.add_listener(events.append, LimiterRefused)
    with caplog.at_level(logging.WARNING, "requests_connection_manager"):
        error = caught_from(run, RateLimitExceeded, client.call_api, URL)
    assert str(error) == f"GET {URL}: refused by OwnLimiter"
    assert (error.retry_after, error.attempts, http.calls) == (None, (), [])
    assert [event.retry_after for event in events] == [0.0]
    assert f"GET {URL}: rate limit of https://api.example.com, no token" in caplog.text
    assert "free in" not in caplog.text


def test_a_limiter_of_ours_that_refuses_tells_when(run, clock, caplog):
    limiter = TokenBucketRateLimiter("tells-when", 1, 60, clock=clock)
    client, _ = client_for(clock, {}, limiter=limiter, rate_limit_mode="raise")
    run(client.call_api, URL)
    with caplog.at_level(logging.WARNING, "requests_connection_manager"):
        error = caught_from(run, RateLimitExceeded, client.call_api, URL)
    assert error.retry_after == pytest.approx(60)
    assert "a token is free in 60 s" in str(error)
    assert "a token is free in 60 s" in caplog.text


# -- when to try again


def test_a_final_429_says_when_to_try_again(run, clock):
    for settings in ({"max_retries": 0}, {"max_retries": 1}, {"raise_on_status": False}):
        client, _ = client_for(clock, status(429, {"retry-after": "7"}), **settings)
        error = caught_from(run, ApiRateLimitError, client.call_api, URL)
        assert error.retry_after == 7.0
    client, _ = client_for(clock, status(429, {"retry-after": "7"}))
    error = caught_from(run, ApiRateLimitError, client.call_api, URL, "POST")
    assert error.retry_after == 7.0


def test_other_statuses_say_it_too_and_the_clients_own_word_counts(run, clock):
    client, _ = client_for(clock, status(503, {"Retry-After": "7"}), max_retries=0)
    assert caught_from(run, ApiHttpError, client.call_api, URL).retry_after == 7.0
    client, _ = client_for(clock, status(429, {"Retry-After": "7"}, retry_after=5), max_retries=0)
    assert caught_from(run, ApiHttpError, client.call_api, URL).retry_after == 5
    client, _ = client_for(clock, status(429), max_retries=0)
    assert caught_from(run, ApiHttpError, client.call_api, URL).retry_after is None


# -- a status that is only reported


def reporting(code, data):
    def answer(http):
        http.report(code, {"X-Id": "1", "Content-Type": "text/plain; charset=latin-1"})
        return data

    return answer


@pytest.mark.parametrize(
    ("data", "body", "detail"),
    [
        ({"error": "é"}, '{"error": "é"}', "é"),
        ("text", "text", "text"),
        ("é".encode("latin-1"), "é", "é"),
        (None, "", None),
        ({("no", "JSON"): 1}, "", None),
    ],
    ids=repr,
)
def test_a_reported_error_status_is_an_error(run, clock, data, body, detail):
    client, http = client_for(clock, reporting(404, data))
    error = caught_from(run, ApiHttpError, client.call_api, URL)
    assert (error.status_code, error.headers["X-Id"], error.body) == (404, "1", body)
    assert (error.detail, error.request_id) == (detail, None)
    said = f": {detail}" if detail else ""
    assert str(error) == f"GET {URL}: status 404 Not Found{said}"
    assert (len(http.calls), len(error.attempts)) == (1, 1)


def test_a_reported_status_is_judged_like_any_other(run, clock):
    breaker = CircuitBreaker(5, 60, clock=clock)
    client, http = client_for(clock, reporting(503, {}), {"ok": 1}, breaker=breaker)
    assert run(client.call_api, URL) == {"ok": 1}
    assert (len(http.calls), clock.sleeps) == (2, (2.0,))
    client, _ = client_for(clock, reporting(503, {}), max_retries=1, breaker=breaker)
    error = caught_from(run, MaxRetriesExceeded, client.call_api, URL)
    assert (error.status_code, error.body, breaker.failure_count) == (503, "{}", 2)
    for code, kind in ((401, exceptions.AuthenticationError), (429, ApiRateLimitError)):
        client, _ = client_for(clock, reporting(code, None), max_retries=0)
        caught_from(run, kind, client.call_api, URL)
    client, _ = client_for(clock, reporting(399, {"ok": 1}))
    assert run(client.call_api, URL) == {"ok": 1}


def test_a_status_must_be_a_number(run, clock):
    client, _ = client_for(clock, reporting("503", {}))
    with pytest.raises(TypeError, match="status_code must be an int"):
        run(client.call_api, URL)


def test_a_client_that_takes_a_404_for_an_answer_may_do_so(run, clock):
    class Lenient(HttpxHttpClient):
        async def request(self, *args, **kwargs):
            try:
                return await super().request(*args, **kwargs)
            except ApiHttpError as exc:
                if exc.status_code != 404:
                    raise
                return None

    def missing(request):
        return httpx.Response(404, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9"})

    async def main():
        async with httpx.AsyncClient(transport=httpx.MockTransport(missing)) as inner:
            limiter = TokenBucketRateLimiter("lenient", 10, 60, clock=clock)
            http = Lenient(client=inner)
            client = ApiClient(RetryRequestStrategy(http, limiter=limiter, clock=clock))
            for _ in range(2):
                assert await client.call_api(URL) is None
            # Its headers count all the same.
            assert sum(clock.sleeps) == pytest.approx(9, abs=0.01)

    run(main)


# -- errors of sockets

SENT, NOT_SENT = 1, 4


@pytest.mark.parametrize(
    ("raised", "kind", "posts"),
    [
        (OSError(errno.EHOSTUNREACH, "no route to host"), ApiNetworkError, NOT_SENT),
        (OSError(errno.ENETUNREACH, "network is unreachable"), ApiNetworkError, NOT_SENT),
        (OSError(errno.ENETDOWN, "network is down"), ApiNetworkError, NOT_SENT),
        (OSError(errno.EADDRNOTAVAIL, "no address"), ApiNetworkError, NOT_SENT),
        (socket.herror(1, "unknown host"), ApiNetworkError, NOT_SENT),
        (ssl.SSLError(1, "record layer failure"), ApiNetworkError, SENT),
        (asyncio.IncompleteReadError(b"", 4), ApiNetworkError, SENT),
        (EOFError(), ApiNetworkError, SENT),
        (socket.timeout("timed out"), ApiTimeoutError, SENT),
    ],
    ids=repr,
)
def test_errors_of_sockets_are_understood(run, clock, raised, kind, posts):
    client, http = client_for(clock, raised)
    error = caught_from(run, kind, client.call_api, URL)
    assert isinstance(error, MaxRetriesExceeded)
    assert len(http.calls) == 4
    client, http = client_for(clock, raised)
    caught_from(run, kind, client.call_api, URL, "POST")
    assert len(http.calls) == posts


def test_other_errors_of_the_system_are_not_the_networks(run, clock):
    broken = FileNotFoundError(errno.ENOENT, "no such file")
    client, http = client_for(clock, broken)
    assert caught_from(run, OSError, client.call_api, URL) is broken
    assert len(http.calls) == 1


# -- the deadline


def test_the_deadline_of_a_call_within_is_not_our_own(run, clock):
    breaker = CircuitBreaker(1, 60, clock=clock)
    inner = exceptions.DeadlineExceeded("of another call")
    client, _ = client_for(clock, inner, breaker=breaker, total_timeout=60)
    assert caught_from(run, exceptions.DeadlineExceeded, client.call_api, URL) is inner
    assert (breaker.failure_count, breaker.state) == (0, "closed")


def test_what_a_client_raises_when_the_time_is_up_is_the_deadline(run, clock):
    slow = ApiTimeoutError("slow", sent=True)

    def too_late(http):
        clock.advance(6)
        raise slow

    breaker = CircuitBreaker(5, 60, clock=clock)
    client, http = client_for(clock, too_late, total_timeout=5, breaker=breaker)
    error = caught_from(run, exceptions.DeadlineExceeded, client.call_api, URL)
    assert error.__cause__ is slow
    assert (len(http.calls), breaker.failure_count) == (1, 1)
    assert "total_timeout=5" in str(error)


def test_a_timer_that_is_ahead_of_the_clock_ends_the_call_all_the_same(run, clock):
    class Hanging(Scripted):
        async def request(self, *args, **kwargs):
            self.calls.append(args)
            await anyio.sleep_forever()

    http, breaker = Hanging(), CircuitBreaker(5, 60, clock=clock)
    strategy = RetryRequestStrategy(http, breaker, clock=clock, total_timeout=0.02)
    error = caught_from(run, exceptions.DeadlineExceeded, ApiClient(strategy).call_api, URL)
    assert (clock.monotonic(), len(http.calls), len(error.attempts)) == (0.0, 1, 1)
    assert breaker.failure_count == 1


def test_the_time_begins_with_the_hooks_and_ends_with_the_response(run, clock):
    class Slow(BaseRequestHook):
        def __init__(self, before, after):
            self.waits = before, after

        async def before(self, request):
            await clock.asleep(self.waits[0])

        async def after(self, request, response):
            await clock.asleep(self.waits[1])

    client, http = client_for(clock, {"ok": 1}, hooks=[Slow(6, 0)], total_timeout=5)
    caught_from(run, exceptions.DeadlineExceeded, client.call_api, URL)
    assert http.calls == []
    client, _ = client_for(clock, {"ok": 1}, hooks=[Slow(0, 60)], total_timeout=5)
    assert run(client.call_api, URL) == {"ok": 1}


# -- after a fork

FORK = """
    import asyncio, os, sys, threading, warnings
    # CPython 3.12 and later warn of threads at a fork, which is what is tested.
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
    from requests_connection_manager import TokenBucketRateLimiter as Bucket
    from requests_connection_manager.api_engine import (
        ApiClient, BaseHttpClient, CircuitBreaker, RetryRequestStrategy, TokenBucketRateLimiter,
        limiter as limiters,
    )

    class Answering(BaseHttpClient):
        async def request(self, method, url, **kwargs):
            return {"ok": 1}

    breaker = CircuitBreaker()
    shared = TokenBucketRateLimiter("fork", 50, 60)
    bucket = Bucket(rate=50, capacity=50)
    clients = [
        ApiClient(RetryRequestStrategy(Answering(), breaker, limiter))
        for limiter in (shared, bucket)
    ]

    async def call():
        for client in clients:
            await client.call_api("https://api.example.com/")

    asyncio.run(call())
    locked, leave = threading.Event(), threading.Event()

    def hold():
        with HELD:
            locked.set()
            leave.wait(20)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    locked.wait(20)
    pid = os.fork()
    if pid == 0:
        threading.Timer(10, os._exit, [2]).start()
        code = 1
        try:
            breaker.record_failure()
            breaker.reset()
            TokenBucketRateLimiter("another", 1, 60)
            asyncio.run(call())
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if sys.version_info >= (3, 9)
          else os.waitpid(pid, 0)[1])
    leave.set()
    holder.join()
    asyncio.run(call())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "held",
    [
        "breaker.policy._lock, breaker.policy._breaker._lock",
        "shared.bucket._lock",
        "bucket._lock",
        "limiters._lock",
    ],
)
def test_a_lock_that_another_thread_held_does_not_stop_a_forked_child(held):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK).replace("HELD", held)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


# -- a breaker of the user's own


def waiting_for(gate):
    """Return a client whose calls to /slow wait, and those to /ailing fail."""

    class Waiting(BaseHttpClient):
        async def request(self, method, url, **kwargs):
            if "/slow" in url:
                await gate.wait()
            if "ailing" in url:
                raise status(500)
            return {"ok": 1}

    return Waiting()


async def failing(client, url):
    with pytest.raises(ApiError):
        await client.call_api(url)


@pytest.mark.parametrize("make", [OwnBreaker, lambda: CircuitBreaker(2, 60)], ids=["own", "ours"])
def test_a_late_success_does_not_close_what_has_opened_meanwhile(run, make):
    async def main():
        breaker, gate = make(), anyio.Event()
        # Two strategies with the same breaker are as one.
        one, other = (
            ApiClient(RetryRequestStrategy(waiting_for(gate), breaker, max_retries=0))
            for _ in range(2)
        )
        async with anyio.create_task_group() as group:
            group.start_soon(one.call_api, f"{URL}/slow")
            group.start_soon(other.call_api, f"{URL}/slow")
            await anyio.wait_all_tasks_blocked()
            await failing(one, f"{URL}/ailing")
            await failing(one, f"{URL}/ailing")
            assert breaker.is_open()
            gate.set()
        assert breaker.is_open()
        with pytest.raises(ApiCircuitOpenError):
            await other.call_api(URL)

    run(main)


def test_a_success_resets_the_count_of_failures_that_opened_nothing(run):
    async def main():
        breaker, gate = OwnBreaker(max_failures=5), anyio.Event()
        client = ApiClient(RetryRequestStrategy(waiting_for(gate), breaker, max_retries=0))
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_api, f"{URL}/slow")
            await anyio.wait_all_tasks_blocked()
            await failing(client, f"{URL}/ailing")
            assert breaker.failures == 1
            gate.set()
        assert breaker.failures == 0

    run(main)


def test_a_late_failure_does_not_make_a_probe_useless(run):
    async def main():
        breaker = OwnBreaker()
        late, probe = anyio.Event(), anyio.Event()
        first, second, quick = (
            ApiClient(RetryRequestStrategy(http, breaker, max_retries=0))
            for http in (waiting_for(late), waiting_for(probe), Scripted(status(500)))
        )
        async with anyio.create_task_group() as group:
            group.start_soon(failing, first, f"{URL}/slow/then-ailing")
            await anyio.wait_all_tasks_blocked()
            for _ in range(2):
                await failing(quick, URL)
            breaker.half_open = True
            group.start_soon(second.call_api, f"{URL}/slow")
            await anyio.wait_all_tasks_blocked()
            breaker.half_open = False
            late.set()
            await anyio.wait_all_tasks_blocked()
            assert breaker.failures == 3
            probe.set()
        assert breaker.failures == 0

    run(main)


# -- buckets and their clocks


class Ticking(SystemClock):
    """A clock of its own, whose methods do not refer to it."""


def test_a_new_clock_never_finds_the_bucket_of_one_that_is_gone(request):
    for _ in range(4):
        limiter = TokenBucketRateLimiter(request.node.name, 1, 60, clock=Ticking())
        assert limiter.fill() == 0.0
        limiter.bucket.reserve(0.0)
        del limiter
        gc.collect()


def test_the_clock_of_the_system_is_the_same_for_all(request):
    default = TokenBucketRateLimiter(request.node.name, 2, 60)
    explicit = TokenBucketRateLimiter(request.node.name, 2, 60, clock=SystemClock())
    assert default.bucket is explicit.bucket


def test_buckets_that_nobody_holds_are_forgotten_once_they_are_full_and_many(request):
    clocks = [VirtualClock() for _ in range(3)]
    name = request.node.name
    full, used, held = (TokenBucketRateLimiter(name, 1, 60, clock=one) for one in clocks)
    used.bucket.reserve(0.0)
    known: List[weakref.ref] = [weakref.ref(one) for one in clocks]
    clock, kept = clocks[1:]
    del clocks, full, used
    gc.collect()
    assert [one() is not None for one in known] == [True] * 3
    own = VirtualClock()
    for number in range(1100):
        TokenBucketRateLimiter(f"{name}-{number}", 1, 60, clock=own)
    gc.collect()
    assert [one() is not None for one in known] == [False, True, True]
    assert TokenBucketRateLimiter(name, 1, 60, clock=clock).fill() == pytest.approx(1.0)
    assert TokenBucketRateLimiter(name, 1, 60, clock=kept).bucket is held.bucket


# -- settings of a single call


def test_a_call_can_leave_the_breaker_out(run, clock):
    breaker = CircuitBreaker(1, 60, clock=clock)
    breaker.record_failure()
    client, http = client_for(clock, {"ok": 1}, status(500), breaker=breaker)
    assert run(client.call_api, URL, circuit_breaker_failure_threshold=None) == {"ok": 1}
    caught_from(run, ApiCircuitOpenError, client.call_api, URL)
    assert len(http.calls) == 1


@pytest.mark.parametrize(
    "make", [lambda clock: TokenBucketRateLimiter("left-out", 1, 60, clock=clock), None]
)
def test_a_call_can_leave_the_limiter_out(run, clock, make):
    limiter = OwnLimiter(False) if make is None else make(clock)
    client, http = client_for(clock, {}, limiter=limiter)
    for _ in range(2):
        run(client.call_api, URL, rate_limit_requests=None)
    assert (len(http.calls), clock.sleeps) == (2, ())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"connect_timeout": 1}, "call_api takes no connect_timeout: give timeout="),
        ({"read_timeout": 1}, "call_api takes no read_timeout: give timeout="),
        ({"raise_for_status": False}, "call_api takes no raise_for_status: an error status is"),
        ({"backof_max": 1}, "did you mean 'backoff_max'"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_here_are_refused(run, clock, given, text):
    client, http = client_for(clock, {})
    with pytest.raises(TypeError, match=text) as caught:
        run(client.call_api, URL, **given)
    assert "read_timeout" not in str(caught.value).partition("Known")[2]
    assert http.calls == []


def test_every_setting_of_a_call_is_in_its_documentation():
    client, _ = client_for(None, {})
    with pytest.raises(TypeError) as caught:
        asyncio.run(client.call_api(URL, nonsense=1))
    names = str(caught.value).partition("Known: ")[2].split(", ")
    assert len(names) > 10
    assert [name for name in names if f"``{name}" not in ApiClient.call_api.__doc__] == []


# -- what can't be sent


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/\r\nX-Evil: 1",
        " https://api.example.com/",
        "https://api.example.com/ ",
        "https://api .example.com/",
        "https://api.exa\nmple.com/",
        "https://api.example.com/\x00",
        "https://api.example.com/\x7f",
        "https://\ud800.example.com/",
        "https://api.example.com:abc/",
        "https://api.example.com:99999/",
        "https://api.example.com:0/",
        "https://[::1/",
        "https:///data",
    ],
    ids=ascii,
)
def test_a_url_that_cannot_be_sent_is_named(run, clock, url):
    client, http = client_for(clock, {})
    with pytest.raises(ValueError, match="url must be an absolute"):
        run(client.call_api, url)
    assert http.calls == []


def test_what_is_wrong_with_a_url_shows_no_password(run, clock):
    client, _ = client_for(clock, {})
    for url in ("https://me:p\u2100ss@host/", "https://me:p\u2100ss@host:x/", "https://me:p ss@h/"):
        with pytest.raises(ValueError, match="url must be") as caught:
            run(client.call_api, url)
        assert "ss@" not in str(caught.value)


def test_spaces_in_a_path_are_left_to_the_client(run, clock):
    client, http = client_for(clock, {})
    run(client.call_api, f"{URL}/a b?c=d e")
    assert http.calls[0]["url"] == f"{URL}/a b?c=d e"


def test_methods_are_tokens(run, clock):
    client, http = client_for(clock, {})
    run(client.call_api, URL, "M-SEARCH")
    assert http.calls[0]["method"] == "M-SEARCH"
    for method in ("G\xc9T", "GET\n", "G T", ""):
        with pytest.raises(ValueError, match="method must be"):
            run(client.call_api, URL, method)
    assert len(http.calls) == 1


@pytest.mark.parametrize("model", [object(), "NoSuchName"], ids=["object", "name"])
def test_a_model_that_cannot_be_used_is_found_before_anything_is_sent(run, clock, model):
    pytest.importorskip("pydantic")
    client, http = client_for(clock, {})
    with pytest.raises(TypeError, match="model must be a type"):
        run(client.call_api, URL, "POST", model=model)
    assert http.calls == []
    with pytest.raises(ApiValidationError):
        run(client.call_api, URL, "POST", model=List[int])
    assert len(http.calls) == 1


# -- parts that are not what they should be


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"http": Scripted}, "http must be an object, not the class Scripted; call it first"),
        ({"breaker": OwnBreaker}, "breaker must be an object, not the class OwnBreaker"),
        ({"breaker": CircuitBreaker}, "breaker must be an object, not the class CircuitBreaker"),
        ({"limiter": OwnLimiter}, "limiter must be an object, not the class OwnLimiter"),
        ({"limiter": TokenBucketRateLimiter}, "limiter must be an object, not the class Token"),
        ({"hooks": [BaseRequestHook]}, "hooks must be an object, not the class BaseRequestHook"),
    ],
    ids=str,
)
def test_a_class_in_the_place_of_an_object_is_named(given, name):
    with pytest.raises(TypeError, match=name):
        RetryRequestStrategy(**{"http": Scripted({}), **given})


def test_parts_without_close_have_nothing_to_close(run):
    class Sending:
        async def request(self, **kwargs):
            return {"ok": 1}

    class Executing:
        async def execute(self, request, **settings):
            return {"ok": 1}

    async def main():
        for strategy in (RetryRequestStrategy(Sending()), Executing()):
            async with ApiClient(strategy) as client:
                assert await client.call_api(URL) == {"ok": 1}

    run(main)


# -- what hooks may write into


@pytest.mark.parametrize(
    "params", [{"q": 1}, OrderedDict(q=1), [("q", 1)]], ids=lambda params: type(params).__name__
)
def test_hooks_write_into_copies_of_the_parameters(run, clock, params):
    class Adding(BaseRequestHook):
        async def before(self, request):
            if isinstance(request.params, list):
                request.params.append(("key", "secret"))
            else:
                request.params["key"] = "secret"

    before = json.dumps(params)
    client, http = client_for(clock, {}, hooks=[Adding()])
    run(client.call_api, URL, params=params)
    assert json.dumps(params) == before
    assert dict(http.calls[0]["params"]) == {"q": 1, "key": "secret"}
    assert type(http.calls[0]["params"]) is type(params)


def test_parameters_that_cannot_change_are_passed_on(run, clock):
    params = httpx.QueryParams([("q", "1"), ("q", "2")])
    client, http = client_for(clock, {})
    run(client.call_api, URL, params=params)
    assert http.calls[0]["params"] is params


@pytest.mark.parametrize(
    "build",
    [
        lambda clock: CircuitBreaker(clock=clock),
        lambda clock: TokenBucketRateLimiter("clock", 1, 1, clock=clock),
        lambda clock: RetryRequestStrategy(Scripted({}), clock=clock),
    ],
)
def test_a_clock_that_is_none_is_named(build):
    with pytest.raises(TypeError, match="clock must have the methods"):
        build(object())
