"""``retry_with_backoff``: as a function and as a decorator, sync and async."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import subprocess
import sys
from email.utils import formatdate
from typing import Any, Callable, List, Optional

import anyio
import anyio.lowlevel
import pytest
import requests

from requests_connection_manager import CircuitBreakerOpen, ConnectionManager
from requests_connection_manager.client_patterns import retry_with_backoff
from requests_connection_manager.testing import FaultServer, VirtualClock, reply

LOGGER = "requests_connection_manager"


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr("requests_connection_manager.policies.retry.random.random", lambda: 0.0)


class Flaky:
    """Fails with each of ``errors`` in turn, then returns what it was called with."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return args, kwargs

    async def later(self, *args: Any, **kwargs: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return self(*args, **kwargs)


def lost(text: str = "lost") -> requests.ConnectionError:
    return requests.ConnectionError(text)


def answered(status: int, **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError("no", response=response)


# -- as a function


def test_it_returns_what_the_function_returns(clock):
    func = Flaky()
    assert retry_with_backoff(func, clock=clock) == ((), {})
    assert (func.calls, clock.sleeps) == (1, ())


def test_it_waits_twice_as_long_each_time(clock):
    func = Flaky(lost(), lost(), lost())
    retry_with_backoff(func, max_attempts=4, clock=clock)
    assert (func.calls, clock.sleeps) == (4, (1.0, 2.0, 4.0))


def test_the_delay_is_capped(clock):
    retry_with_backoff(Flaky(*[lost()] * 5), 6, 2, 5, clock=clock)
    assert clock.sleeps == (2.0, 4.0, 5.0, 5.0, 5.0)


def test_the_jitter_is_up_to_a_tenth_on_top(clock, monkeypatch):
    monkeypatch.setattr("requests_connection_manager.policies.retry.random.random", lambda: 0.5)
    retry_with_backoff(Flaky(lost(), lost()), base_delay=4, max_delay=4, clock=clock)
    assert clock.sleeps == pytest.approx((4.2, 4.2))


def test_no_delay_is_possible(clock):
    retry_with_backoff(Flaky(lost(), lost()), base_delay=0, clock=clock)
    assert clock.sleeps == ()


def test_without_a_clock_it_really_waits(monkeypatch):
    clock = VirtualClock()
    monkeypatch.setattr("requests_connection_manager.core.SystemClock", lambda: clock)
    retry_with_backoff(Flaky(lost()))
    assert clock.sleeps == (1.0,)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_the_last_error_is_raised_as_it_was(clock, attempts):
    errors = [lost(str(number)) for number in range(3)]
    func = Flaky(*errors)
    with pytest.raises(requests.ConnectionError) as caught:
        retry_with_backoff(func, max_attempts=attempts, clock=clock)
    assert caught.value is errors[attempts - 1]
    assert func.calls == attempts
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("attempts", [1, 2])
def test_cause_and_context_of_the_last_error_stay(clock, attempts):
    inner = OSError("below")

    def func():
        try:
            raise inner
        except OSError:
            raise lost()  # noqa: B904  # the implicit context is what is tested

    try:
        raise KeyError("what the caller is handling")
    except KeyError:
        with pytest.raises(requests.ConnectionError) as caught:
            retry_with_backoff(func, max_attempts=attempts, clock=clock)
    assert caught.value.__context__ is inner
    assert caught.value.__cause__ is None


def test_other_errors_pass_at_once(clock):
    error = KeyError("mine")
    func = Flaky(error)
    with pytest.raises(KeyError) as caught:
        retry_with_backoff(func, clock=clock)
    assert caught.value is error
    assert func.calls == 1
    assert caught.value.__context__ is None


def test_another_error_in_a_later_attempt_passes(clock):
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        retry_with_backoff(Flaky(lost(), error), clock=clock)
    assert caught.value is error
    assert caught.value.__context__ is None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_interruptions_pass_at_once(clock, kind):
    func = Flaky(kind())
    with pytest.raises(kind):
        retry_with_backoff(func, retryable_exceptions=(Exception,), clock=clock)
    assert func.calls == 1


def test_an_interrupt_during_the_wait_passes():
    class Interrupted(VirtualClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    func = Flaky(lost())
    with pytest.raises(KeyboardInterrupt):
        retry_with_backoff(func, clock=Interrupted())
    assert func.calls == 1


@pytest.mark.parametrize("classes", [(KeyError,), (OSError, KeyError), KeyError, (LookupError,)])
def test_the_classes_can_be_given(clock, classes):
    retry_with_backoff(Flaky(KeyError()), retryable_exceptions=classes, clock=clock)
    assert clock.sleeps == (1.0,)


@pytest.mark.parametrize("classes", [(), (OSError,)])
def test_classes_that_are_given_are_all(clock, classes):
    with pytest.raises(KeyError):
        retry_with_backoff(Flaky(KeyError()), retryable_exceptions=classes, clock=clock)
    assert clock.sleeps == ()


def test_errors_of_httpx_count_where_it_is_loaded(clock):
    httpx = pytest.importorskip("httpx")
    request = httpx.Request("GET", "https://api.test/")
    response = httpx.Response(503, headers={"Retry-After": "9"}, request=request)
    func = Flaky(
        httpx.ConnectTimeout("slow"),
        httpx.HTTPStatusError("no", request=request, response=response),
    )
    retry_with_backoff(func, clock=clock)
    assert clock.sleeps == (1.0, 9.0)


def test_errors_of_httpx_do_not_count_when_others_are_given(clock):
    httpx = pytest.importorskip("httpx")
    with pytest.raises(httpx.ConnectTimeout):
        retry_with_backoff(
            Flaky(httpx.ConnectTimeout("slow")),
            retryable_exceptions=(requests.RequestException,),
            clock=clock,
        )


def test_httpx_is_not_loaded_for_it():
    code = (
        "import sys, requests\n"
        "from requests_connection_manager.client_patterns import retry_with_backoff\n"
        "def fail(): raise requests.ConnectionError()\n"
        "try: retry_with_backoff(fail, base_delay=0)\n"
        "except requests.ConnectionError: pass\n"
        "print([name for name in ('httpx', 'anyio', 'asyncio') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


# -- what servers say


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (answered(503, Retry_After="7"), 7.0),
        (answered(429, Retry_After="0"), 1.0),
        (answered(503, Retry_After="soon"), 1.0),
        (answered(503, Retry_After="-5"), 1.0),
        (answered(503, Retry_After="86400"), 60.0),
        (answered(503, retry_after_ms="2500"), 2.5),
        (answered(429, X_RateLimit_Reset="12"), 12.0),
        (answered(503), 1.0),
    ],
)
def test_a_hint_raises_the_delay_up_to_the_longest(clock, error, delay):
    retry_with_backoff(Flaky(error), clock=clock)
    assert clock.sleeps == (delay,)


def test_a_hint_can_be_a_date(clock):
    error = answered(503, Retry_After=formatdate(clock.time() + 30, usegmt=True))
    retry_with_backoff(Flaky(error), clock=clock)
    assert clock.sleeps == (30.0,)


def test_the_delay_is_not_shortened_by_a_hint(clock):
    retry_with_backoff(Flaky(answered(503, Retry_After="1")), base_delay=5, clock=clock)
    assert clock.sleeps == (5.0,)


@pytest.mark.parametrize(
    ("value", "delay"),
    [(7, 7.0), (2.5, 2.5), (None, 1.0), (-3, 1.0), ("7", 1.0), (True, 1.0), (float("nan"), 1.0)],
)
def test_an_error_can_carry_the_seconds(clock, value, delay):
    error = lost()
    error.retry_after = value  # type: ignore[attr-defined]  # as errors of SDKs do
    retry_with_backoff(Flaky(error), clock=clock)
    assert clock.sleeps == (delay,)


def test_an_error_of_ours_carries_the_headers(clock):
    from requests_connection_manager import HTTPError

    error = HTTPError("no", status_code=503, headers={"Retry-After": "3"})
    retry_with_backoff(Flaky(error), retryable_exceptions=HTTPError, clock=clock)
    assert clock.sleeps == (3.0,)


def test_headers_that_are_none_are_ignored(clock):
    error = lost()
    error.response = object()  # type: ignore[assignment]
    retry_with_backoff(Flaky(error), clock=clock)
    assert clock.sleeps == (1.0,)


def test_an_open_circuit_is_waited_for(clock):
    with FaultServer() as server:
        server.route("/", reply(500), reply(200))
        manager = ConnectionManager(
            max_retries=0,
            circuit_breaker_failure_threshold=1,
            circuit_breaker_recovery_timeout=20,
            clock=clock,
        )
        with manager:
            manager.get(server.url("/"))
            with pytest.raises(CircuitBreakerOpen):
                manager.get(server.url("/"))
            response = retry_with_backoff(lambda: manager.get(server.url("/")), clock=clock)
    assert response.status_code == 200
    assert clock.sleeps == (20.0,)


def test_a_deadline_of_the_function_is_an_error_like_any_other(clock):
    calls: List[int] = []
    with FaultServer() as server, ConnectionManager(clock=clock, total_timeout=5) as manager:
        server.route("/", reply(200))

        def dawdle(context: Any) -> None:
            calls.append(1)
            clock.advance(6 if len(calls) == 1 else 1)

        manager.register_pre_request_hook(dawdle)
        response = retry_with_backoff(lambda: manager.get(server.url("/")), clock=clock)
    assert response.status_code == 200
    assert (len(calls), clock.sleeps) == (2, (1.0,))


# -- as a decorator


def test_it_is_a_decorator(clock):
    flaky = Flaky(lost())

    @retry_with_backoff(max_attempts=5, clock=clock)
    def load(name: str, *, deep: bool = False) -> Any:
        """Load it."""
        return flaky(name, deep=deep)

    assert load("x", deep=True) == (("x",), {"deep": True})
    assert clock.sleeps == (1.0,)
    assert (load.__name__, load.__doc__) == ("load", "Load it.")
    assert list(inspect.signature(load).parameters) == ["name", "deep"]
    assert not inspect.iscoroutinefunction(load)


def test_a_decorator_without_parameters_needs_parentheses(clock):
    @retry_with_backoff()
    def load() -> int:
        return 1

    assert load() == 1


def test_methods_can_be_decorated(clock):
    class Client:
        calls = 0

        @retry_with_backoff(clock=clock)
        def load(self, what: str) -> str:
            self.calls += 1
            if self.calls == 1:
                raise lost()
            return what

    client = Client()
    assert client.load("x") == "x"
    assert (client.calls, clock.sleeps) == (2, (1.0,))


def test_each_call_of_a_decorated_function_starts_anew(clock):
    flaky = Flaky(lost(), lost())
    load = retry_with_backoff(max_attempts=2, clock=clock)(flaky)
    with pytest.raises(requests.ConnectionError):
        load()
    assert load() == ((), {})
    assert clock.sleeps == (1.0,)


# -- async


def run(function: Callable[[], Any], backend: str) -> Any:
    return anyio.run(function, backend=backend)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request):
    if request.param == "trio":
        pytest.importorskip("trio")
    return request.param


class AsyncCallable:
    """An object whose ``__call__`` is a coroutine function."""

    def __init__(self, flaky: Flaky) -> None:
        self.flaky = flaky

    async def __call__(self, *args: Any) -> Any:
        return await self.flaky.later(*args)


FORMS = {
    "coroutine function": lambda flaky: flaky.later,
    "partial": lambda flaky: functools.partial(flaky.later),
    "async __call__": AsyncCallable,
    "lambda": lambda flaky: lambda: flaky.later(),
}


@pytest.mark.parametrize("form", FORMS)
def test_coroutines_are_retried(clock, backend, form):
    flaky = Flaky(lost(), lost())
    func = FORMS[form](flaky)

    async def main():
        return await retry_with_backoff(func, clock=clock)

    assert run(main, backend) == ((), {})
    assert (flaky.calls, clock.sleeps) == (3, (1.0, 2.0))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attempts", [1, 2])
def test_the_last_error_of_a_coroutine_is_raised_as_it_was(clock, form, attempts):
    errors = [lost("1"), lost("2")]
    func = FORMS[form](Flaky(*errors))

    async def main():
        await retry_with_backoff(func, max_attempts=attempts, clock=clock)

    with pytest.raises(requests.ConnectionError) as caught:
        run(main, "asyncio")
    assert caught.value is errors[attempts - 1]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("form", ["coroutine function", "partial", "async __call__"])
def test_coroutine_functions_can_be_decorated(clock, backend, form):
    flaky = Flaky(lost())
    load = retry_with_backoff(clock=clock)(FORMS[form](flaky))
    assert inspect.iscoroutinefunction(load)
    assert run(functools.partial(load, 1), backend) == ((1,), {})
    assert clock.sleeps == (1.0,)


def test_a_decorated_function_that_returns_a_coroutine(clock, backend):
    flaky = Flaky(lost())
    load = retry_with_backoff(clock=clock)(lambda *args: flaky.later(*args))

    async def main():
        return await load(1)

    assert run(main, backend) == ((1,), {})
    assert (flaky.calls, clock.sleeps) == (2, (1.0,))


def test_attempts_before_the_coroutine_count_too(clock):
    flaky, calls = Flaky(*[lost()] * 9), []

    def func():
        calls.append(1)
        if len(calls) == 1:
            raise lost("before there was a coroutine")
        return flaky.later()

    async def main():
        await retry_with_backoff(func, max_attempts=3, clock=clock)

    with pytest.raises(requests.ConnectionError):
        run(main, "asyncio")
    assert len(calls) == 3


def test_other_errors_of_a_coroutine_pass_at_once(clock):
    flaky = Flaky(KeyError())

    async def main():
        await retry_with_backoff(flaky.later, clock=clock)

    with pytest.raises(KeyError):
        run(main, "asyncio")
    assert flaky.calls == 1


def test_cancellation_ends_the_wait(backend):
    flaky = Flaky(*[lost()] * 9)

    async def main():
        with anyio.move_on_after(0) as scope:
            await retry_with_backoff(
                flaky.later, retryable_exceptions=(Exception,), clock=VirtualClock()
            )
        return scope.cancelled_caught if hasattr(scope, "cancelled_caught") else scope.cancel_called

    assert run(main, backend)
    assert flaky.calls <= 1


# -- wrong arguments


@pytest.mark.parametrize(
    ("kwargs", "kind", "text"),
    [
        ({"max_attempts": 0}, ValueError, "max_attempts must be at least 1, got 0"),
        ({"max_attempts": 2.0}, TypeError, "max_attempts must be an int, got 2.0"),
        ({"max_attempts": True}, TypeError, "max_attempts must be an int, got True"),
        ({"base_delay": -1}, ValueError, "base_delay must be at least 0.0, got -1"),
        ({"base_delay": "1"}, TypeError, "base_delay must be a number, got '1'"),
        ({"max_delay": float("inf")}, ValueError, "max_delay must be finite, got inf"),
        ({"max_delay": None}, TypeError, "max_delay must be a number, got None"),
        ({"retryable_exceptions": [OSError]}, TypeError, "retryable_exceptions must be a tuple"),
        ({"retryable_exceptions": ("x",)}, TypeError, "retryable_exceptions must be subclasses"),
        ({"retryable_exceptions": BaseException}, TypeError, "Ctrl-C are never retried"),
        ({"clock": 5}, TypeError, "clock must have the methods"),
    ],
)
@pytest.mark.parametrize("func", [None, lambda: 1])
def test_wrong_arguments_are_named(func, kwargs, kind, text):
    with pytest.raises(kind) as caught:
        retry_with_backoff(func, **kwargs)
    assert text in str(caught.value)


def test_what_can_not_be_called_is_refused():
    with pytest.raises(TypeError, match=r"func must be callable, not 5; .*max_attempts=5"):
        retry_with_backoff(5)
    with pytest.raises(TypeError, match="the decorated function must be callable, not 7"):
        retry_with_backoff()(7)


# -- what is logged


def logged(caplog, level: int) -> List[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == level]


def load_orders(error: Optional[Exception] = None) -> None:
    raise error or requests.ConnectTimeout("no route to https://u:pw@api.test/?api_key=k3y")


def test_retries_are_warnings_and_the_end_is_an_error(clock, caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    with pytest.raises(requests.ConnectTimeout):
        retry_with_backoff(load_orders, max_attempts=2, clock=clock)
    assert logged(caplog, logging.WARNING) == [
        "call load_orders: ConnectTimeout, attempt 2 in 1 s",
        "call load_orders: ConnectTimeout, not retried after attempt 2: max_retries",
    ]
    (end,) = logged(caplog, logging.ERROR)
    assert end.startswith("call load_orders: ConnectTimeout: no route to https://")
    assert "pw" not in end
    assert "k3y" not in end


@pytest.mark.parametrize("attempts", [1, 3])
def test_what_is_not_worth_a_retry_is_no_error_in_the_log(clock, caplog, attempts):
    with pytest.raises(KeyError):
        retry_with_backoff(
            functools.partial(load_orders, KeyError()), max_attempts=attempts, clock=clock
        )
    assert caplog.records == []


def test_a_single_attempt_that_fails_is_an_error_in_the_log(clock, caplog):
    with pytest.raises(requests.ConnectTimeout):
        retry_with_backoff(load_orders, max_attempts=1, clock=clock)
    assert [one.levelname for one in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (functools.partial(load_orders), "load_orders"),
        (Flaky(lost(), lost()), "Flaky"),
        (Flaky(lost(), lost()).__call__, "Flaky.__call__"),
    ],
)
def test_the_log_names_the_function(clock, caplog, func, name):
    with pytest.raises(requests.ConnectionError):
        retry_with_backoff(func, max_attempts=2, clock=clock)
    assert caplog.records[0].getMessage().startswith(f"call {name}: ")


def test_generators_can_not_be_retried():
    def numbers():
        yield 1

    async def later():
        yield 1

    for function in (numbers, later):
        with pytest.raises(TypeError, match="is a generator function"):
            retry_with_backoff(max_attempts=2)(function)
