"""A tour: both managers against local servers that misbehave on purpose.

Run it with ``python examples/quickstart.py``. It uses the loopback interface only, takes a few
seconds, prints what happened, and ends with exit code 1 if something was not as it should be.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from requests_connection_manager import (
    AsyncConnectionManager,
    BreakerStateChanged,
    CircuitBreakerOpen,
    ConnectionManager,
    ConnectionManagerError,
    DeadlineExceeded,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.testing import (
    FaultServer,
    dead_origin,
    drip,
    echo,
    redirect,
    reply,
    reset,
)

CALLS, WORKERS, SECONDS_EACH, SAMPLE = 200, 20, 0.05, 5
RECOVERY = 0.2
SECRETS = ("authorization", "x-api-key", "x-session-token")


def settings_for_the_tour() -> Dict[str, Any]:
    """Return the settings that both managers get."""
    return {
        "pool_maxsize": WORKERS,
        "backoff_factor": 0.05,
        "backoff_jitter": 0,
        "rate_limit_requests": None,  # only the pattern below has a limit
        "api_key": "demo-api-key",
        "headers": {"X-Session-Token": "demo-session-token"},
        "endpoint_configs": {
            "/ailing": {
                "max_retries": 0,
                "circuit_breaker_failure_threshold": 3,
                "circuit_breaker_recovery_timeout": RECOVERY,
            },
            "/limited": {"rate_limit_requests": 5, "rate_limit_period": 0.5},
        },
    }


def start_servers(home: FaultServer, elsewhere: FaultServer) -> None:
    """Give the servers their scripts; done anew for each manager."""
    throttled = reply(429, headers={"Retry-After": "1"})
    home.route("/flaky", reset(), reply(503), throttled, reply(200, json={"order": 7}))
    home.route("/ailing", reply(503), reply(503), reply(503), reply(200))
    home.route("/limited", reply(200))
    home.route("/work", reply(200, delay=SECONDS_EACH))
    home.route("/slow", drip("body", 0.05, size=200))
    home.route("/whoami", echo())
    home.route("/moved", redirect(elsewhere.url("/whoami")))
    elsewhere.route("/whoami", echo())
    home.clear()


# -- what both managers do, once with requests and once with httpx


def tour_with_requests(home: FaultServer, dead: str) -> None:
    changes: List[str] = []
    with ConnectionManager(**settings_for_the_tour()) as manager:
        manager.add_listener(lambda event: changes.append(event.new), BreakerStateChanged)

        show_retries(manager.get(home.url("/flaky")))

        answers = [manager.get(home.url("/ailing")).status_code for _ in range(3)]
        refusal = error_of(lambda: manager.get(home.url("/ailing")))
        time.sleep(RECOVERY + 0.05)
        answers.append(manager.get(home.url("/ailing")).status_code)
        show_breaker(answers, refusal, changes, home.count("/ailing"))
        show_dead(error_of(lambda: manager.get(dead)))

        raised = [error_of(lambda: manager.get(home.url("/limited"))) for _ in range(8)]
        queued = manager.batch_request(limited_calls(home), max_workers=8)
        show_limiter(raised, queued)

        began = time.perf_counter()
        for _ in range(SAMPLE):
            manager.get(home.url("/work"))
        one_by_one = (time.perf_counter() - began) * CALLS / SAMPLE
        began = time.perf_counter()
        results = manager.batch_request(work_calls(home), max_workers=WORKERS)
        show_batch(results, time.perf_counter() - began, one_by_one)

        began = time.perf_counter()
        late = error_of(lambda: manager.get(home.url("/slow"), total_timeout=0.3))
        show_deadline(late, time.perf_counter() - began)

        own = manager.get(home.url("/whoami")).json()["headers"]
        foreign = manager.get(home.url("/moved")).json()["headers"]
        show_redirect(own, foreign)

        show_stats(manager.get_stats())


async def tour_with_httpx(home: FaultServer, dead: str) -> None:
    changes: List[str] = []
    async with AsyncConnectionManager(**settings_for_the_tour()) as manager:
        manager.add_listener(lambda event: changes.append(event.new), BreakerStateChanged)

        show_retries(await manager.get(home.url("/flaky")))

        answers = [(await manager.get(home.url("/ailing"))).status_code for _ in range(3)]
        refusal = await async_error_of(manager.get(home.url("/ailing")))
        await asyncio.sleep(RECOVERY + 0.05)
        answers.append((await manager.get(home.url("/ailing"))).status_code)
        show_breaker(answers, refusal, changes, home.count("/ailing"))
        show_dead(await async_error_of(manager.get(dead)))

        raised = [await async_error_of(manager.get(home.url("/limited"))) for _ in range(8)]
        queued = await manager.batch_request(limited_calls(home), max_workers=8)
        show_limiter(raised, queued)

        began = time.perf_counter()
        for _ in range(SAMPLE):
            await manager.get(home.url("/work"))
        one_by_one = (time.perf_counter() - began) * CALLS / SAMPLE
        began = time.perf_counter()
        results = await manager.batch_request(work_calls(home), max_workers=WORKERS)
        show_batch(results, time.perf_counter() - began, one_by_one)

        began = time.perf_counter()
        late = await async_error_of(manager.get(home.url("/slow"), total_timeout=0.3))
        show_deadline(late, time.perf_counter() - began)

        own = (await manager.get(home.url("/whoami"))).json()["headers"]
        moved = await manager.get(home.url("/moved"), follow_redirects=True)
        show_redirect(own, moved.json()["headers"])

        show_stats(manager.get_stats())


def limited_calls(home: FaultServer) -> List[Tuple[str, str, Dict[str, Any]]]:
    return [("GET", home.url("/limited"), {"rate_limit_mode": "wait"})] * 8


def work_calls(home: FaultServer) -> List[Tuple[str, str, Dict[str, Any]]]:
    return [("GET", home.url("/work"), {})] * CALLS


# -- what a person wants to see, and what has to be true of it


def show_retries(response: Any) -> None:
    title("a call that is retried")
    for attempt in response.attempts:
        answer = attempt.error or f"status {attempt.status}"
        print(f"  attempt {attempt.number}: {answer:<18} after waiting {attempt.waited:.2f} s")
    expect(response.json() == {"order": 7}, "the retried call to end with the right answer")
    expect(len(response.attempts) == 4, f"4 attempts, not {len(response.attempts)}")
    waits = [round(attempt.waited, 2) for attempt in response.attempts]
    expect(waits == [0.0, 0.05, 0.1, 1.0], f"backoff, then the server's Retry-After, not {waits}")


def show_breaker(answers: List[int], refusal: Any, changes: List[str], arrived: int) -> None:
    title("a circuit breaker that opens and recovers")
    print(f"  answers {answers[:3]}, then refused at once: retry after {refusal.retry_after:.2f} s")
    print(f"  after the recovery time: {answers[3]}; states: closed -> {' -> '.join(changes)}")
    expect(isinstance(refusal, CircuitBreakerOpen), f"CircuitBreakerOpen, not {refusal!r}")
    expect(answers == [503, 503, 503, 200], f"three 503 and a 200, not {answers}")
    expect(changes == ["open", "half-open", "closed"], f"the circuit to recover, not {changes}")
    expect(arrived == 4, f"4 requests at the server, not {arrived}: a refused one must not go out")


def show_dead(error: Any) -> None:
    title("a server that is down")
    print(f"  {type(error).__mro__[1].__name__} after {len(error.attempts)} attempts")
    print(f"  the cause: {type(error.__cause__).__module__}.{type(error.__cause__).__name__}")
    expect(isinstance(error, MaxRetriesExceeded), f"MaxRetriesExceeded, not {error!r}")
    expect(isinstance(error, type(error.__cause__)), "an error that is also the library's own")


def show_limiter(raised: Sequence[Any], queued: Iterable[Any]) -> None:
    refusals = [one for one in raised if one is not None]
    waits = [attempt.waited for response in queued for attempt in response.attempts]
    title("a rate limit of 5 calls per 0.5 s")
    print(
        f"  8 calls, mode 'raise': {8 - len(refusals)} answered, {len(refusals)} refused "
        f"(retry after {refusals[0].retry_after:.2f} s)"
    )
    print(f"  8 calls, mode 'wait':  {len(waits)} answered, the last after {max(waits):.2f} s")
    expect(len(refusals) == 3, f"3 refusals, not {len(refusals)}")
    expect(all(isinstance(one, RateLimitExceeded) for one in refusals), "RateLimitExceeded")
    expect(len(waits) == 8 and max(waits) > 0.5, "8 answers, the last from the second window")


def show_batch(results: List[Any], seconds: float, one_by_one: float) -> None:
    title(f"a batch: {CALLS} calls of {SECONDS_EACH * 1000:.0f} ms, {WORKERS} workers")
    print(f"  together:   {seconds:6.2f} s")
    print(f"  one by one: {one_by_one:6.2f} s ({SAMPLE} calls measured, times {CALLS // SAMPLE})")
    failed = [one for one in results if isinstance(one, Exception) or one.status_code != 200]
    expect(len(results) == CALLS and not failed, f"{CALLS} good answers; failed: {failed[:3]}")
    expect(seconds < one_by_one / 2, "the batch to take less than half of the time")


def show_deadline(error: Any, seconds: float) -> None:
    title("an endpoint that sends a byte every 50 ms, with total_timeout=0.3")
    print(f"  {type(error).__mro__[1].__name__} after {seconds:.2f} s")
    expect(isinstance(error, DeadlineExceeded), f"DeadlineExceeded, not {error!r}")
    expect(seconds < 2, f"the call to end near its deadline, not after {seconds:.2f} s")


def show_redirect(own: Dict[str, str], foreign: Dict[str, str]) -> None:
    title("a redirect to another origin")
    print(f"  credentials that arrived at the origin of the call: {named(own)}")
    print(f"  credentials that arrived at the other origin:       {named(foreign)}")
    expect(named(own) == "x-api-key, x-session-token", f"both at their own origin: {named(own)}")
    expect(named(foreign) == "none", f"no credential elsewhere, but it got {named(foreign)}")


def named(headers: Dict[str, str]) -> str:
    return ", ".join(name for name in SECRETS if name in headers) or "none"


def show_stats(stats: Dict[str, Any]) -> None:
    title("get_stats()")
    print(f"  {'scope':<26}{'circuit':<9}{'attempts':>9}{'retries':>9}{'refused':>9}{'mean':>9}")
    for name, scope in stats["scopes"].items():
        refused = sum(scope["refusals"].values())
        milliseconds = scope["latency"]["mean"] * 1000
        print(
            f"  {name:<26}{scope['circuit_breaker_state']:<9}{scope['attempts']:>9}"
            f"{scope['retries']:>9}{refused:>9}{milliseconds:>6.0f} ms"
        )
    ailing, limited = stats["scopes"]["/ailing"], stats["scopes"]["/limited"]
    expect(ailing["refusals"]["breaker"] == 1, f"one refusal by the breaker: {ailing}")
    expect(limited["refusals"]["limiter"] == 3, f"three refusals by the limiter: {limited}")
    expect("demo" not in repr(stats), "no secret in the statistics")


# -- helpers


def title(text: str) -> None:
    print(f"\n- {text}")


def expect(true: bool, what: str) -> None:
    """End the tour when something is not as it should be (also under ``python -O``)."""
    if not true:
        sys.exit(f"\nquickstart failed: expected {what}")


def error_of(call: Any) -> Any:
    """Return the error that the call raises, or ``None``."""
    try:
        call()
    except ConnectionManagerError as error:
        return error
    return None


async def async_error_of(call: Any) -> Any:
    try:
        await call
    except ConnectionManagerError as error:
        return error
    return None


def main() -> None:
    began = time.perf_counter()
    with FaultServer() as home, FaultServer() as elsewhere, dead_origin() as dead:
        print("ConnectionManager, a requests.Session")
        start_servers(home, elsewhere)
        tour_with_requests(home, dead)

        print("\n\nAsyncConnectionManager, an httpx.AsyncClient")
        start_servers(home, elsewhere)
        asyncio.run(tour_with_httpx(home, dead))
    print(f"\nEverything was as expected, in {time.perf_counter() - began:.1f} s.")


if __name__ == "__main__":
    main()
