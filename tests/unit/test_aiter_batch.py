"""Batches on tasks that go item by item: the ends that only event loops have."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import textwrap
import threading
from typing import Any, AsyncIterator, Iterator, List, Tuple

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.rest import AsyncClient
from requests_connection_manager.testing import FaultServer, blackhole, reply

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", lambda received: reply(200, body=received.query))
        yield running


def calls(server: FaultServer, count: int) -> List[Tuple[str, str]]:
    return [("GET", server.url(f"/?{number}")) for number in range(count)]


async def test_an_asynchronous_input(server: FaultServer) -> None:
    ended: List[str] = []

    async def items() -> AsyncIterator[Any]:
        # The scope is entered and left by one task, or anyio would complain.
        with anyio.CancelScope():
            try:
                for item in calls(server, 20):
                    await anyio.lowlevel.checkpoint()
                    yield item
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
                ended.append("ended")

    async with AsyncConnectionManager() as manager:
        async with manager.aiter_batch(items(), ordered=True) as results:
            texts = [one.result().text async for one in results]
        assert texts == [str(number) for number in range(20)]
        async with manager.aiter_batch(items()) as results:
            await results.__anext__()
    assert ended == ["ended", "ended"]


async def test_results_come_while_the_input_waits(server: FaultServer) -> None:
    more = anyio.Event()

    async def items() -> AsyncIterator[Any]:
        yield "GET", server.url("/?first")
        await more.wait()
        yield "GET", server.url("/?second")

    async with AsyncConnectionManager() as manager, manager.aiter_batch(items()) as results:
        assert (await results.__anext__()).result().text == "first"
        more.set()
        assert [one.result().text async for one in results] == ["second"]


async def test_leaving_the_loop_ends_it_a_moment_later(server: FaultServer) -> None:
    closed = anyio.Event()

    async def items() -> AsyncIterator[Any]:
        try:
            yield "GET", server.url("/?0")
            while True:
                yield "GET", hole
        finally:
            closed.set()

    with blackhole() as hole, anyio.fail_after(15):
        async with AsyncConnectionManager(timeout=None) as manager:
            async for _ in manager.aiter_batch(items()):
                break
            gc.collect()
            await closed.wait()
            assert (await manager.get(server.url("/?1"))).text == "1"


async def test_a_cancelled_reader_ends_it(server: FaultServer) -> None:
    async with AsyncConnectionManager(timeout=None) as manager:
        with blackhole() as hole:
            results = manager.aiter_batch([("GET", hole)] * 10)
            with anyio.move_on_after(0.5) as scope:
                await results.__anext__()
            assert scope.cancelled_caught
            assert [one async for one in results] == []
        stats = manager.get_stats()
        assert stats["circuit_breaker_failure_count"] == 0
        assert (await manager.get(server.url("/?1"))).text == "1"


async def test_a_cancelled_block_ends_it(server: FaultServer) -> None:
    async with AsyncConnectionManager(timeout=None) as manager:
        with blackhole() as hole, anyio.move_on_after(0.5) as scope:
            items = [("GET", server.url("/?0")), *[("GET", hole)] * 10]
            async with manager.aiter_batch(items) as results:
                await results.__anext__()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (await manager.get(server.url("/?1"))).text == "1"


class WritesSlowly:
    """A journal that writes until somebody says that it is enough."""

    def __init__(self) -> None:
        self.writing, self.enough = threading.Event(), threading.Event()
        self.ended: List[bool] = []

    def open(self) -> bool:
        return True

    def lookup(self, key: str) -> None:
        return None

    def write(self, entries: Any) -> None:
        self.writing.set()
        self.ended.append(self.enough.wait(10))

    def close(self) -> None:
        pass


async def test_the_event_loop_goes_on_while_the_journal_writes(server: FaultServer) -> None:
    journal, taken = WritesSlowly(), anyio.Event()

    async def items() -> AsyncIterator[Any]:
        yield "GET", server.url("/?0")
        await anyio.to_thread.run_sync(journal.writing.wait)
        taken.set()
        yield "GET", server.url("/?1")

    async def say() -> None:
        await taken.wait()
        await anyio.wait_all_tasks_blocked()
        journal.enough.set()

    async with AsyncConnectionManager() as manager, anyio.create_task_group() as group:
        group.start_soon(say)
        assert len([one async for one in manager.aiter_batch(items(), journal=journal)]) == 2
    assert all(journal.ended)


async def test_two_readers_are_refused(server: FaultServer) -> None:
    with blackhole() as hole:
        async with AsyncConnectionManager(timeout=None) as manager:
            results = manager.aiter_batch([("GET", hole)])
            async with anyio.create_task_group() as group:
                group.start_soon(results.__anext__)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(RuntimeError, match="in another task"):
                    await results.__anext__()
                group.cancel_scope.cancel()


async def test_the_context_is_the_callers(server: FaultServer) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: List[str] = []
    async with AsyncConnectionManager() as manager:
        manager.register_pre_request_hook(lambda context: seen.append(variable.get()))
        variable.set("mine")
        results = manager.aiter_batch(calls(server, 3))
        variable.set("another")
        assert len([one async for one in results]) == 3
    assert seen == ["mine"] * 3


async def test_blocking_hooks_have_as_many_threads_as_there_are_workers(
    server: FaultServer,
) -> None:
    meeting = threading.Barrier(60)

    def slow(context: Any) -> None:
        meeting.wait(30)

    async with AsyncConnectionManager(timeout=None) as manager:
        manager.register_pre_request_hook(slow, blocking=True)
        results = manager.aiter_batch(calls(server, 60), max_workers=60)
        assert len([one async for one in results]) == 60


async def test_the_client_of_an_api_has_it(server: FaultServer) -> None:
    async with AsyncClient(server.url("/")) as client:
        results = client.aiter_batch([("GET", "/"), ("GET", "/missing")], ordered=True)
        first, second = [one async for one in results]
    assert first.result().status_code == 200
    assert "404" in str(second.error)


ABANDONED = """
    import gc, sys
    import anyio
    from requests_connection_manager import AsyncConnectionManager
    from requests_connection_manager.testing import FaultServer, blackhole, reply

    kept = []

    async def main(server, hole):
        manager = AsyncConnectionManager(timeout=None)
        items = [("GET", server.url("/")), *[("GET", hole)] * 20]
        results = manager.aiter_batch(items)
        await results.__anext__()
        if sys.argv[2] == "kept":
            kept.append((manager, results))
        elif sys.argv[2] == "cycle":
            results.itself = results

    with FaultServer() as server, blackhole() as hole:
        server.route("/", reply(200))
        anyio.run(main, server, hole, backend=sys.argv[1])
    gc.collect()
    print("ended")
"""


@pytest.mark.parametrize("how", ["kept", "dropped", "cycle"])
def test_an_event_loop_that_ends_before_it(anyio_backend: str, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(ABANDONED), anyio_backend, how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "ended\n"
    for warning in ("destroyed", "never", "Traceback"):
        assert warning not in done.stderr, done.stderr


async def test_a_task_that_is_cancelled_by_asyncio(server: FaultServer, anyio_backend: str) -> None:
    if anyio_backend != "asyncio":
        pytest.skip("tasks of asyncio")
    with blackhole() as hole:
        async with AsyncConnectionManager(timeout=None) as manager:

            async def read() -> None:
                async for _ in manager.aiter_batch([("GET", hole)] * 10):
                    pass

            before = asyncio.all_tasks()
            task = asyncio.ensure_future(read())
            await anyio.wait_all_tasks_blocked()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == before


INTERRUPTED = """
    import asyncio, os, signal, sys
    import anyio
    from requests_connection_manager import AsyncConnectionManager
    from requests_connection_manager.testing import FaultServer, blackhole, reply

    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(received):
        os.kill(os.getpid(), signal.SIGINT)
        return reply(200)

    async def main(server, hole):
        async with AsyncConnectionManager(timeout=None) as manager:
            items = [*[("GET", hole)] * 5, ("GET", server.url("/interrupt"))]
            async for result in manager.aiter_batch(items, max_workers=6, journal=sys.argv[2]):
                pass
            await anyio.sleep_forever()

    with FaultServer() as server, blackhole() as hole:
        server.route("/interrupt", interrupt)
        try:
            if sys.argv[1] == "asyncio":  # anyio raises CancelledError before Python 3.11
                asyncio.run(main(server, hole))
            else:
                anyio.run(main, server, hole, backend="trio")
        except KeyboardInterrupt:
            print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_ends_it(anyio_backend: str, tmp_path: Any) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", textwrap.dedent(INTERRUPTED)),
            *(anyio_backend, str(tmp_path / "journal.jsonl")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "interrupted\n", done.stderr
    # An interrupt may strike between a coroutine and its await, which is nobody's fault.
    assert "destroyed" not in done.stderr
    assert "never retrieved" not in done.stderr
