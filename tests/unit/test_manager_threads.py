"""One manager and many threads: no lost counts, no deadlock, one consistent set of settings."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from typing import Any, Callable, Iterator, List, Tuple

import pytest
import requests
from requests.adapters import BaseAdapter

from requests_connection_manager import (
    AttemptFinished,
    ConnectionManager,
    PipelineAdapter,
    RateLimitExceeded,
)
from requests_connection_manager.testing import FaultServer, Received, Reply, VirtualClock, reply

THREADS = 32
CALLS = 10


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", reply(200, body="ok"))
        yield running


def crowd(work: Callable[[int], None], count: int = THREADS) -> List[BaseException]:
    """Run ``work`` on many threads at once and return what they raised."""
    failures: List[BaseException] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            gate.wait(30)
            work(number)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    return failures


def test_counts_are_not_lost_while_settings_change(server: FaultServer) -> None:
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def listener(event: AttemptFinished) -> None:
        with lock:
            seen[event.scope] += 1

    with ConnectionManager(rate_limit_requests=None, pool_maxsize=THREADS) as manager:
        manager.add_listener(listener, AttemptFinished)

        def work(number: int) -> None:
            for turn in range(CALLS):
                if number % 8 == 0:
                    change(manager, server, turn)
                assert manager.get(server.url("/")).text == "ok"

        assert crowd(work) == []
        attempts = sum(one["attempts"] for one in manager.get_stats()["scopes"].values())
    assert attempts == THREADS * CALLS == sum(seen.values()) == server.count()


def change(manager: ConnectionManager, server: FaultServer, turn: int) -> None:
    """Change something of every kind."""
    pattern = f"host{turn}.example.test"
    manager.add_endpoint_config(pattern, {"timeout": turn + 1})
    manager.set_bearer_token(f"token-{turn}")
    manager.set_timeouts(connect_timeout=5 + turn)
    manager.set_endpoint_auth(f"other{turn}.example.test", "bearer", token="t")
    manager.register_post_response_hook(passive)
    manager.get_stats()
    manager.explain("GET", server.url("/"))
    manager.add_listener(passive)
    manager.remove_listener(passive)
    manager.set_ssl_verification(True)
    manager.clear_auth()


def passive(context: Any) -> None: ...


def test_a_request_sees_one_consistent_set_of_credentials(server: FaultServer) -> None:
    def answer(received: Received) -> Reply:
        return reply(
            200,
            json=[received.headers.get("authorization"), received.headers.get("x-api-key")],
        )

    server.route("/who", answer)
    stop = threading.Event()
    with ConnectionManager(rate_limit_requests=None, pool_maxsize=8) as manager:
        manager.add_endpoint_config(server.origin, {"bearer_token": "0", "api_key": "0"})

        def keep_changing() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                manager.add_endpoint_config(
                    server.origin, {"bearer_token": str(number), "api_key": str(number)}
                )

        changer = threading.Thread(target=keep_changing, daemon=True)
        changer.start()
        pairs: List[Any] = []

        def work(number: int) -> None:
            pairs.extend(manager.get(server.url("/who")).json() for _ in range(CALLS))

        failures = crowd(work, 8)
        stop.set()
        changer.join(30)
    assert failures == []
    assert all(bearer == f"Bearer {key}" for bearer, key in pairs)


def test_the_limit_is_exact(server: FaultServer) -> None:
    done: List[str] = []
    with ConnectionManager(
        rate_limit_requests=50, clock=VirtualClock(), pool_maxsize=THREADS
    ) as manager:

        def work(number: int) -> None:
            for _ in range(4):
                try:
                    manager.get(server.url("/"))
                    done.append("sent")
                except RateLimitExceeded:
                    done.append("refused")

        assert crowd(work) == []
    assert Counter(done) == {"sent": 50, "refused": THREADS * 4 - 50}
    assert server.count() == 50


def test_a_half_open_circuit_admits_no_crowd(server: FaultServer) -> None:
    clock = VirtualClock()
    entered = threading.Event()
    leave = threading.Event()

    def probe(received: Received) -> Reply:
        entered.set()
        leave.wait(30)
        return reply(200)

    server.route("/down", reply(500), probe)
    with ConnectionManager(
        max_retries=0,
        circuit_breaker_failure_threshold=1,
        rate_limit_requests=None,
        clock=clock,
        timeout=None,
    ) as manager:
        manager.get(server.url("/down"))
        clock.advance(60)
        probing = threading.Thread(target=manager.get, args=(server.url("/down"),))
        probing.start()
        assert entered.wait(30)

        def refused(number: int) -> None:
            with pytest.raises(requests.ConnectionError, match="circuit breaker"):
                manager.get(server.url("/down"))

        assert crowd(refused) == []
        leave.set()
        probing.join(30)
        assert manager.get(server.url("/down")).status_code == 200
    assert server.count("/down") == 3


def test_requests_through_one_breaker_run_side_by_side(server: FaultServer) -> None:
    gate = threading.Barrier(20)

    def meet(received: Received) -> Reply:
        gate.wait(30)  # passes only when all of them are under way
        return reply(200, body="met")

    server.route("/meet", meet)
    with ConnectionManager(pool_maxsize=20, timeout=None) as manager:

        def work(number: int) -> None:
            assert manager.get(server.url("/meet")).text == "met"

        assert crowd(work, 20) == []


def test_close_during_requests_is_survived(server: FaultServer) -> None:
    manager = ConnectionManager(rate_limit_requests=None, pool_maxsize=8)

    def work(number: int) -> None:
        for _ in range(CALLS):
            if number == 0:
                manager.close()
            assert manager.get(server.url("/")).text == "ok"

    assert crowd(work, 8) == []
    manager.close()


def test_each_thread_has_its_own_call(server: FaultServer) -> None:
    server.route("/flaky", reply(503), reply(503), reply(200))
    with ConnectionManager(
        clock=VirtualClock(), rate_limit_requests=None, retry_budget=None, max_retries=5
    ) as manager:
        histories: List[Any] = []

        def work(number: int) -> None:
            response: Any = manager.get(server.url("/flaky" if number == 0 else "/"))
            histories.append((number, [one.status for one in response.attempts]))

        assert crowd(work, 8) == []
    for number, history in histories:
        assert history == ([503, 503, 200] if number == 0 else [200])


class Canned(BaseAdapter):
    """Answers from memory, so that what threads meet in is ours alone."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = itertools.count()

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        next(self.sent)
        response = requests.Response()
        response.status_code = 200
        response.url = request.url or ""
        response.request = request
        response._content = b"ok"
        return response

    def close(self) -> None:
        pass


def canned(**settings: Any) -> Tuple[ConnectionManager, Canned]:
    manager, adapter = ConnectionManager(clock=VirtualClock(), **settings), Canned()
    manager.mount("http://", PipelineAdapter(wraps=adapter))
    return manager, adapter


def test_every_count_is_exact_after_many_calls_by_many_threads() -> None:
    manager, adapter = canned(rate_limit_requests=15_000)
    calls = 500

    def work(number: int) -> None:
        for _ in range(calls):
            with contextlib.suppress(RateLimitExceeded):
                manager.get("http://api.test/")

    assert crowd(work) == []
    assert next(adapter.sent) == 15_000
    stats = manager.get_stats()["scopes"]["http://api.test"]
    assert (stats["attempts"], stats["failures"]) == (15_000, 0)
    assert stats["refusals"] == {"breaker": 0, "limiter": THREADS * calls - 15_000}
    assert stats["rate_limit_fill"] == 1.0


def test_statistics_can_be_asked_for_while_threads_send() -> None:
    manager, _ = canned(rate_limit_requests=None, max_scopes=64)
    stop = threading.Event()
    sums: List[int] = []

    def work(number: int) -> None:
        if number == 0:
            while len(sums) < 30 or sums[-1] < 500:
                scopes = manager.get_stats()["scopes"].values()
                sums.append(sum(scope["attempts"] for scope in scopes))
            stop.set()
        turn = 0
        while not stop.is_set():
            turn += 1
            manager.get(f"http://host-{turn % 50}.test/")

    assert crowd(work, 8) == []
    assert sums == sorted(sums)


def test_registries_stay_bounded_under_many_origins() -> None:
    manager, adapter = canned(max_scopes=16, rate_limit_requests=None)

    def work(number: int) -> None:
        for turn in range(100):
            manager.get(f"http://host-{number}-{turn}.test/")
            manager.get("http://shared.test/")

    assert crowd(work, 8) == []
    assert next(adapter.sent) == 1600
    assert len(manager.core.registry.scopes()) == 16
    assert len(manager.core.registry._stages) <= 64
    stats = manager.get_stats()["scopes"]
    assert len(stats) <= 32
    assert stats["http://shared.test"]["attempts"] == 800
