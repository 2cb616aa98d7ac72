"""Batches on threads: order, workers, failures, and the ways to stop one."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import threading
from typing import Any, Iterator, List, Type

import pytest
import requests

from requests_connection_manager import (
    ConnectionManager,
    ErrorContext,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.batch import Crew, Dismissed
from requests_connection_manager.connections.wire import Wire
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    dead_origin,
    reply,
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", lambda received: reply(200, body=received.query))
        yield running


def calls(server: FaultServer, count: int) -> List[Any]:
    return [("GET", server.url(f"/?{number}"), {}) for number in range(count)]


def test_results_come_in_input_order(server: FaultServer) -> None:
    with ConnectionManager(rate_limit_requests=None) as manager:
        results: Any = manager.batch_request(calls(server, 60), max_workers=8)
    assert [one.text for one in results] == [str(number) for number in range(60)]


@pytest.mark.parametrize("shape", [iter, tuple, list, lambda items: (item for item in items)])
def test_any_iterable_is_taken(server: FaultServer, shape: Any) -> None:
    with ConnectionManager() as manager:
        assert len(manager.batch_request(shape(calls(server, 3)))) == 3


def test_the_short_and_the_list_forms_of_an_item_are_taken(server: FaultServer) -> None:
    items: Any = [
        ("GET", server.url("/")),
        ["GET", server.url("/"), {}],
        ("GET", server.url("/"), None),
    ]
    with ConnectionManager() as manager:
        assert all(one.ok for one in manager.batch_request(items))


def test_an_empty_batch_is_an_empty_list() -> None:
    with ConnectionManager() as manager:
        assert manager.batch_request([]) == []
        assert manager.batch_request(iter(())) == []


def test_the_kwargs_given_are_not_changed(server: FaultServer) -> None:
    kwargs = {"params": {"a": "1"}, "headers": {"X": "y"}, "max_retries": 0}
    with ConnectionManager() as manager:
        manager.batch_request([("GET", server.url("/"), kwargs)])
    assert kwargs == {"params": {"a": "1"}, "headers": {"X": "y"}, "max_retries": 0}


@pytest.mark.parametrize("workers", [1, 4])
def test_so_many_are_under_way_and_no_more(server: FaultServer, workers: int) -> None:
    lock, most = threading.Lock(), [0, 0]
    meeting = threading.Barrier(workers)

    def watch(received: Received) -> Reply:
        with lock:
            most[0] += 1
            most[1] = max(most)
        meeting.wait(30)
        with lock:
            most[0] -= 1
        return reply(200)

    server.route("/watched", watch)
    with ConnectionManager(pool_maxsize=8) as manager:
        manager.batch_request([("GET", server.url("/watched"), {})] * (workers * 3), workers)
    assert most[1] <= workers


def test_failures_are_items_of_the_result(server: FaultServer) -> None:
    server.route("/busy", reply(503))
    with dead_origin() as dead, ConnectionManager(max_retries=1, clock=VirtualClock()) as manager:
        results = manager.batch_request(
            [
                ("GET", server.url("/"), {}),
                ("GET", server.url("/busy"), {}),
                ("GET", dead, {}),
                ("GET", server.url("/"), {"nonsense": 1}),
            ]
        )
    assert isinstance(results[0], requests.Response)
    assert isinstance(results[1], MaxRetriesExceeded)
    assert isinstance(results[2], requests.ConnectionError)
    assert isinstance(results[3], TypeError)


def test_hooks_and_fallbacks_work_for_each_item(server: FaultServer) -> None:
    fallback = requests.Response()
    fallback.status_code = 503

    def recover(context: ErrorContext) -> None:
        context.handled, context.fallback_response = True, fallback

    with dead_origin() as dead, ConnectionManager(max_retries=0) as manager:
        manager.register_error_hook(recover)
        results = manager.batch_request([("GET", dead, {}), ("GET", server.url("/"), {})])
    assert results[0] is fallback
    assert isinstance(results[1], requests.Response)


def test_the_first_failure_is_raised_and_the_rest_left_out(server: FaultServer) -> None:
    with ConnectionManager() as manager:
        items = [("GET", "nonsense://host/", {}), *calls(server, 50)]
        with pytest.raises(requests.exceptions.InvalidSchema):
            manager.batch_request(items, max_workers=1, return_exceptions=False)
    assert server.count() == 0


def test_a_limit_refuses_the_items_beyond_it(server: FaultServer) -> None:
    with ConnectionManager(rate_limit_requests=5, clock=VirtualClock()) as manager:
        results = manager.batch_request(calls(server, 12), max_workers=4)
    assert sum(isinstance(one, RateLimitExceeded) for one in results) == 7
    assert server.count() == 5


def test_a_batch_inside_a_hook_of_a_batch_works(server: FaultServer) -> None:
    inner: List[Any] = []

    def nested(context: Any) -> None:
        if context.kwargs.get("params"):
            inner.extend(manager.batch_request(calls(server, 3), 2))

    with ConnectionManager() as manager:
        manager.register_pre_request_hook(nested)
        manager.batch_request([("GET", server.url("/"), {"params": {"a": "1"}})], 2)
    assert [one.status_code for one in inner] == [200] * 3


def test_close_during_a_batch(server: FaultServer) -> None:
    manager = ConnectionManager(rate_limit_requests=None)

    def closing(received: Received) -> Reply:
        manager.close()
        return reply(200)

    server.route("/close", closing)
    items = [*calls(server, 20), ("GET", server.url("/close"), {}), *calls(server, 20)]
    results: Any = manager.batch_request(items, max_workers=4)
    assert [one.status_code for one in results] == [200] * 41
    manager.close()


def test_no_thread_is_left_behind(server: FaultServer) -> None:
    with ConnectionManager() as manager:
        manager.batch_request(calls(server, 10))
        names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("batch-")]


def test_a_crew_that_is_dismissed_wakes_sleepers_and_starts_nothing() -> None:
    crew = Crew()
    began = threading.Event()
    woken: List[BaseException] = []

    def sleeper() -> None:
        began.set()
        try:
            crew.sleep(600)
        except Dismissed as exc:
            woken.append(exc)

    thread = threading.Thread(target=sleeper, daemon=True)
    thread.start()
    assert began.wait(30)
    crew.dismiss()
    thread.join(30)
    assert len(woken) == 1
    with pytest.raises(Dismissed):
        crew.check()


def test_a_connection_that_is_being_made_is_ended_once_it_is_there() -> None:
    """Between two sockets: the pool was asked already, and nothing is connected yet."""
    crew, wire = Crew(), Wire()
    crew.enter(wire)
    crew.dismiss()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.sock = ours
        theirs.settimeout(30)
        assert theirs.recv(1) == b""


def test_who_enters_while_the_batch_is_stopped_is_turned_away() -> None:
    crew = Crew()

    class Contended:
        """A lock for which one waits while the batch is stopped."""

        def __enter__(self) -> None:
            crew.stopping.set()

        def __exit__(self, *error: object) -> None: ...

    crew._lock = Contended()  # type: ignore[assignment]  # all that is asked of a lock here
    with pytest.raises(Dismissed):
        crew.enter(Wire())


# -- Ctrl-C, in a process of its own


INTERRUPTED = """
    import os, signal, sys, threading, time
    from requests_connection_manager import ConnectionManager
    from requests_connection_manager.testing import FaultServer, blackhole, reply

    # A program that was started in the background ignores it otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(received=None):
        os.kill(os.getpid(), signal.SIGINT)
        return reply(200)

    with FaultServer() as server, blackhole() as hole:
        server.route("/interrupt", interrupt)
        server.route("/busy", reply(503, headers={"Retry-After": "100"}))
        manager = ConnectionManager(timeout=None, rate_limit_requests=None)
        others = %s
        items = [("GET", url, {}) for url in others] + [("GET", server.url("/interrupt"), {})]
        items += [("GET", server.url("/never"), {})] * 20
        try:
            manager.batch_request(items, max_workers=len(others) + 1)
        except KeyboardInterrupt:
            print("interrupted")
        before = server.count("/never")
        alive = [one for one in threading.enumerate() if one.name.startswith("batch-")]
        for one in alive:
            one.join(5)
        print([one.name for one in alive if one.is_alive()])
        print(server.count("/never") == before or server.count("/never") - before < 3)
        stats = manager.get_stats()
        print(stats["circuit_breaker_failure_count"], stats["circuit_breaker_state"])
        print(manager.get(server.url("/interrupted-not")).status_code)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    "others",
    ["[hole] * 3", '[server.url("/busy")] * 2', '[hole, server.url("/busy")]'],
    ids=["waiting for an answer", "waiting to try again", "both"],
)
def test_an_interrupt_ends_the_batch_and_its_sockets(others: str) -> None:
    lines = interrupted(textwrap.dedent(INTERRUPTED) % others)
    assert lines[:3] == ["interrupted", "[]", "True"]
    assert lines[4] == "404"
    failures = 0 if "busy" not in others else 1
    assert int(lines[3].split()[0]) <= 2 * failures
    assert lines[3].split()[1] == "closed"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_that_wakes_nobody_ends_the_batch() -> None:
    # As one that comes right before the owner of the batch begins to wait.
    kill = "os.kill(os.getpid(), signal.SIGINT)"
    assert kill in INTERRUPTED
    unseen = INTERRUPTED.replace(kill, "signal.pthread_kill(threading.get_ident(), signal.SIGINT)")
    lines = interrupted(textwrap.dedent(unseen) % "[hole] * 3")
    assert lines[:3] == ["interrupted", "[]", "True"]


def interrupted(program: str) -> List[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# -- what is no failure of a call


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("return_exceptions", [True, False])
def test_what_ends_a_worker_ends_the_batch(
    kind: Type[BaseException], return_exceptions: bool
) -> None:
    raised = kind("stop")
    started: List[str] = []

    def hook(context: Any) -> None:
        started.append(context.url)
        if context.url.endswith("?n=1"):
            raise raised

    with FaultServer() as server, ConnectionManager() as manager:
        server.route("/", reply(200))
        manager.register_pre_request_hook(hook)
        calls = [("GET", server.url(f"/?n={n}"), {}) for n in range(50)]
        with pytest.raises(kind) as caught:
            manager.batch_request(calls, max_workers=1, return_exceptions=return_exceptions)
        assert caught.value is raised
        assert len(started) == 2
        assert not any(one.name.startswith("batch-") for one in threading.enumerate())
