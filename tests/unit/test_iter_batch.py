"""Batches on threads that go item by item: the ends that only threads have."""

from __future__ import annotations

import contextvars
import gc
import os
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from typing import Any, Iterator, List, Tuple

import pytest

from requests_connection_manager import ConnectionManager
from requests_connection_manager.rest import Client
from requests_connection_manager.testing import FaultServer, reply


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", lambda received: reply(200, body=received.query))
        yield running


def calls(server: FaultServer, count: int) -> List[Tuple[str, str]]:
    return [("GET", server.url(f"/?{number}")) for number in range(count)]


def test_the_input_is_gone_through_by_the_thread_that_asks(server: FaultServer) -> None:
    threads = set()

    def items() -> Iterator[Any]:
        for item in calls(server, 30):
            threads.add(threading.current_thread())
            yield item

    with ConnectionManager(rate_limit_requests=None) as manager:
        assert len(list(manager.iter_batch(items(), max_workers=4))) == 30
    assert threads == {threading.current_thread()}


def test_leaving_the_loop_ends_the_threads(server: FaultServer) -> None:
    with ConnectionManager() as manager:
        for _ in manager.iter_batch(calls(server, 30), max_workers=4):
            break
        with closing(manager.iter_batch(calls(server, 30), max_workers=4)) as results:
            next(results)
        with pytest.raises(ZeroDivisionError):
            [1 / result.index for result in manager.iter_batch(calls(server, 30), ordered=True)]
        assert not [one for one in threading.enumerate() if one.name.startswith("batch-")]


def test_no_more_threads_than_there_is_work_for(server: FaultServer) -> None:
    seen = set()
    with ConnectionManager() as manager:
        manager.register_pre_request_hook(lambda context: seen.add(threading.current_thread()))
        assert len(list(manager.iter_batch(calls(server, 3), max_workers=50))) == 3
    assert len(seen) <= 3


def test_the_context_is_the_callers(server: FaultServer) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: List[str] = []
    with ConnectionManager() as manager:
        manager.register_pre_request_hook(lambda context: seen.append(variable.get()))
        variable.set("mine")
        results = manager.iter_batch(calls(server, 3))
        variable.set("another")
        assert len(list(results)) == 3
    assert seen == ["mine"] * 3


def test_streams_that_nobody_gets_give_their_connections_back(server: FaultServer) -> None:
    items = [(*item, {"stream": True}) for item in calls(server, 8)]
    responses: List[Any] = []
    with ConnectionManager(rate_limit_requests=None) as manager:
        manager.register_post_response_hook(lambda context: responses.append(context.response))
        results = manager.iter_batch(items, max_workers=4, buffer=4, ordered=True)
        first = next(results)
        results.close()
    assert len(responses) >= 1
    for response in responses:
        assert (response.raw.connection is None) == (response is not first.response)
    assert first.result().text == "0"


def test_streams_are_written_down_without_their_bodies(server: FaultServer, tmp_path: Any) -> None:
    items = [("GET", server.url("/?body"), {"stream": True})]
    with ConnectionManager() as manager:
        (result,) = manager.iter_batch(items, journal=tmp_path / "done.jsonl")
        assert result.result().text == "body"
        (result,) = manager.iter_batch(items, journal=tmp_path / "done.jsonl")
        assert result.recorded
        with pytest.raises(RuntimeError, match="consumed"):
            bytes(result.result().content)


def test_the_client_of_an_api_has_it(server: FaultServer) -> None:
    with Client(server.url("/")) as client:
        results = client.iter_batch([("GET", "/"), ("GET", "/missing")], ordered=True)
        first, second = results
    assert first.result().status_code == 200
    assert "404" in str(second.error)


def test_data_of_a_client_is_written_down_as_it_is(server: FaultServer, tmp_path: Any) -> None:
    server.route("/data", reply(200, json={"data": {"id": 7}}))
    items = [("GET", "/data", {"response_key": "data"})]
    with Client(server.url("/")) as client:
        for recorded in (False, True):
            (result,) = client.iter_batch(items, journal=tmp_path / "done.db")
            seen: Any = (result.recorded, result.response, result.saved)
            assert seen == (recorded, {"id": 7}, {"id": 7})


def test_secrets_are_not_shown() -> None:
    with ConnectionManager(max_retries=0) as manager:
        (result,) = manager.iter_batch([("GET", "nonsense://u:secret@api.test/?token=secret")])
    assert "secret" not in repr(result)
    assert "InvalidSchema" in repr(result)


INTERRUPTED = """
    import os, signal, sys, threading
    from requests_connection_manager import ConnectionManager
    from requests_connection_manager.testing import FaultServer, blackhole, reply

    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(received):
        os.kill(os.getpid(), signal.SIGINT)
        return reply(200)

    with FaultServer() as server, blackhole() as hole:
        server.route("/interrupt", interrupt)
        manager = ConnectionManager(timeout=None, rate_limit_requests=None)
        items = [*[("GET", hole)] * 5, ("GET", server.url("/interrupt"))] * 10
        try:
            for result in manager.iter_batch(items, max_workers=6):
                threading.Event().wait(30)
        except KeyboardInterrupt:
            print("interrupted")
        print([one.name for one in threading.enumerate() if one.name.startswith("batch-")])
        print(manager.get_stats()["circuit_breaker_failure_count"])
        print(manager.get(server.url("/other")).status_code)
"""

# As a signal that comes right before the owner of the batch begins to wait: it wakes nobody.
UNSEEN = """
    import signal, threading
    from requests_connection_manager import ConnectionManager
    from requests_connection_manager.testing import FaultServer, reply

    signal.signal(signal.SIGINT, signal.default_int_handler)
    over = threading.Event()

    def interrupt(received):
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        over.wait(100)
        return reply(200)

    with FaultServer() as server:
        server.route("/interrupt", interrupt)
        manager = ConnectionManager(timeout=None, rate_limit_requests=None)
        try:
            for result in manager.iter_batch([("GET", server.url("/interrupt"))]):
                print(result)
        except KeyboardInterrupt:
            print("interrupted")
        over.set()
"""

KILLED = """
    import os, signal, sys
    from requests_connection_manager import ConnectionManager

    with ConnectionManager(rate_limit_requests=None) as manager:
        items = [("GET", f"{sys.argv[1]}?{number}") for number in range(200)]
        for count, result in enumerate(manager.iter_batch(items, journal=sys.argv[2])):
            print(result.index, flush=True)
            if count == 50:
                os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_that_wakes_nobody_ends_the_batch() -> None:
    assert run(UNSEEN).stdout == "interrupted\n"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORKED = """
    import os, signal, sys, threading
    from requests_connection_manager import ConnectionManager
    from requests_connection_manager.testing import FaultServer, reply

    reaped = threading.Event()

    def held(received):
        reaped.wait(30)
        return reply(200, body="held")

    with FaultServer() as server:
        server.route("/", reply(200))
        server.route("/held", held)
        manager = ConnectionManager(max_retries=0)
        items = [("GET", server.url("/")), ("GET", server.url("/held"))]
        results = manager.iter_batch(items, journal=sys.argv[1])
        next(results)
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                next(results)
            except RuntimeError as error:
                print(error, flush=True)
            results.close()
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        reaped.set()
        print([result.result().text for result in results])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("name", ["done.jsonl", "done.sqlite"])
def test_a_forked_process_leaves_it_alone(tmp_path: Any, name: str) -> None:
    done = run(FORKED, str(tmp_path / name))
    said, *of_the_parent = done.stdout.splitlines()
    assert "forked process" in said, done.stderr
    assert of_the_parent == ["0", "['held']"]


class CollectsWhileItWrites:
    """A journal during whose writing the garbage is collected."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def open(self) -> bool:
        return False

    def lookup(self, key: str) -> None:
        return None

    def write(self, entries: Any) -> None:
        if any(entry.key == "1" for entry in entries):
            gc.collect()

    def close(self) -> None:
        self.closed.set()


def test_the_collector_may_end_it_in_a_worker(server: FaultServer) -> None:
    dropped, journal = threading.Event(), CollectsWhileItWrites()

    def held(received: Any) -> Any:
        dropped.wait(30)
        return reply(200)

    server.route("/held", held)
    with ConnectionManager() as manager:

        def begin() -> None:
            items = [("GET", server.url("/")), ("GET", server.url("/held"))]
            results = manager.iter_batch(items, max_workers=2, journal=journal)
            next(results)
            circle: List[Any] = [results]
            circle.append(circle)

        begin()
        dropped.set()
        assert journal.closed.wait(20)


def test_a_thread_that_can_not_be_started(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name == "batch-1":
            raise RuntimeError("can't start new thread")
        start(thread)

    with ConnectionManager() as manager, monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            list(manager.iter_batch(calls(server, 5)))
    assert not [one for one in threading.enumerate() if one.name.startswith("batch-")]


def test_nobody_counts_what_takes_long_to_count(server: FaultServer) -> None:
    class Query:
        def __iter__(self) -> Iterator[Any]:
            return iter(calls(server, 2))

        def __len__(self) -> int:
            raise AssertionError("that takes long")

    with ConnectionManager() as manager:
        assert len(list(manager.iter_batch(Query()))) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_ends_it() -> None:
    done = run(INTERRUPTED)
    assert done.stdout.splitlines() == ["interrupted", "[]", "0", "404"], done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["done.jsonl", "done.sqlite"])
def test_a_process_that_is_killed_has_lost_nothing(
    server: FaultServer, tmp_path: Any, name: str
) -> None:
    done = run(KILLED, server.url("/"), str(tmp_path / name))
    given = {int(line) for line in done.stdout.split()}
    assert len(given) == 51, done.stderr
    with ConnectionManager(rate_limit_requests=None) as manager:
        items = [("GET", server.url(f"/?{number}")) for number in range(200)]
        results = list(manager.iter_batch(items, journal=tmp_path / name, ordered=True))
    assert [one.result().text for one in results] == [str(number) for number in range(200)]
    assert given <= {one.index for one in results if one.recorded}
