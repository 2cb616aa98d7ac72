"""Batches on tasks: order, workers, failures, cancellation; on asyncio and on trio."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Iterator, List, Type

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

from requests_connection_manager import (
    AsyncConnectionManager,
    ErrorContext,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.batch import arun_batch
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    blackhole,
    dead_origin,
    reply,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", lambda received: reply(200, body=received.query))
        yield running


def calls(server: FaultServer, count: int) -> List[Any]:
    return [("GET", server.url(f"/?{number}"), {}) for number in range(count)]


async def test_results_come_in_input_order(server: FaultServer) -> None:
    async with AsyncConnectionManager(rate_limit_requests=None) as manager:
        results: Any = await manager.batch_request(iter(calls(server, 40)), max_workers=8)
        assert await manager.batch_request([]) == []
    assert [one.text for one in results] == [str(number) for number in range(40)]


async def test_so_many_are_under_way_and_no_more(server: FaultServer) -> None:
    lock, now, most = threading.Lock(), [0], [0]
    meeting = threading.Barrier(4)

    def watch(received: Received) -> Reply:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        meeting.wait(30)
        with lock:
            now[0] -= 1
        return reply(200)

    server.route("/watched", watch)
    async with AsyncConnectionManager(timeout=None) as manager:
        await manager.batch_request([("GET", server.url("/watched"), {})] * 12, 4)
    assert most[0] <= 4


async def test_failures_are_items_of_the_result(server: FaultServer) -> None:
    server.route("/busy", reply(503))
    with dead_origin() as dead:
        async with AsyncConnectionManager(max_retries=1, clock=VirtualClock()) as manager:
            results = await manager.batch_request(
                [
                    ("GET", server.url("/"), {}),
                    ("GET", server.url("/busy"), {}),
                    ("GET", dead, {}),
                    ("GET", server.url("/"), {"nonsense": 1}),
                ]
            )
    assert isinstance(results[0], httpx.Response)
    assert isinstance(results[1], MaxRetriesExceeded)
    assert isinstance(results[2], httpx.ConnectError)
    assert isinstance(results[3], TypeError)


async def test_the_first_failure_is_raised_as_it_is(server: FaultServer) -> None:
    async with AsyncConnectionManager() as manager:
        items = [("GET", "nonsense://host/", {}), *calls(server, 50)]
        with pytest.raises(httpx.UnsupportedProtocol):
            await manager.batch_request(items, max_workers=1, return_exceptions=False)
        # Neither a group of exceptions nor a connection that hangs about.
        assert (await manager.get(server.url("/"))).status_code == 200
    assert server.count() == 1


async def test_a_limit_refuses_the_items_beyond_it(server: FaultServer) -> None:
    async with AsyncConnectionManager(rate_limit_requests=5, clock=VirtualClock()) as manager:
        results = await manager.batch_request(calls(server, 12), max_workers=4)
    assert sum(isinstance(one, RateLimitExceeded) for one in results) == 7
    assert server.count() == 5


async def test_hooks_and_fallbacks_work_for_each_item(server: FaultServer) -> None:
    fallback = httpx.Response(503)

    async def recover(context: ErrorContext) -> None:
        context.handled, context.fallback_response = True, fallback

    with dead_origin() as dead:
        async with AsyncConnectionManager(max_retries=0) as manager:
            manager.register_error_hook(recover)
            results = await manager.batch_request([("GET", dead, {}), ("GET", server.url("/"), {})])
    assert results[0] is fallback
    assert isinstance(results[1], httpx.Response)


async def test_blocking_hooks_run_on_threads_side_by_side(server: FaultServer) -> None:
    meeting = threading.Barrier(3)

    def slow(context: Any) -> None:
        meeting.wait(30)

    async with AsyncConnectionManager() as manager:
        manager.register_pre_request_hook(slow, blocking=True)
        results: Any = await manager.batch_request(calls(server, 3), max_workers=3)
    assert [one.status_code for one in results] == [200] * 3


async def test_a_cancelled_batch_leaves_nothing_behind(server: FaultServer) -> None:
    with blackhole() as hole:
        async with AsyncConnectionManager(timeout=None, rate_limit_requests=10) as manager:
            began = anyio.Event()

            async def begun(context: Any) -> None:
                began.set()

            manager.register_pre_request_hook(begun)
            async with anyio.create_task_group() as group:
                group.start_soon(manager.batch_request, [("GET", hole, {})] * 5, 5)
                await began.wait()
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            stats = manager.get_stats()
            assert stats["circuit_breaker_failure_count"] == 0
            assert stats["circuit_breaker_state"] == "closed"
            assert (await manager.get(server.url("/"))).status_code == 200


async def test_a_cancelled_probe_neither_opens_nor_closes_the_circuit() -> None:
    clock = VirtualClock()
    with FaultServer() as server:
        entered, hang = threading.Event(), threading.Event()

        def hanging(received: Received) -> Reply:
            entered.set()
            hang.wait(30)
            return reply(200)

        server.route("/", reply(500), hanging, reply(200))
        async with AsyncConnectionManager(
            max_retries=0, circuit_breaker_failure_threshold=1, clock=clock, timeout=None
        ) as manager:
            await manager.get(server.url("/"))
            clock.advance(60)
            async with anyio.create_task_group() as group:
                group.start_soon(manager.get, server.url("/"))
                assert await anyio.to_thread.run_sync(entered.wait, 30)
                assert manager.get_stats()["circuit_breaker_state"] == "half-open"
                group.cancel_scope.cancel()
            hang.set()
            assert manager.get_stats()["circuit_breaker_state"] == "half-open"
            assert (await manager.get(server.url("/"))).status_code == 200
            assert manager.get_stats()["circuit_breaker_state"] == "closed"


async def test_a_cancelled_waiter_gives_its_token_back(server: FaultServer) -> None:
    async with AsyncConnectionManager(rate_limit_requests=1, rate_limit_period=600) as manager:
        await manager.get(server.url("/"))
        waiting = anyio.Event()

        async with anyio.create_task_group() as group:

            async def wait() -> None:
                waiting.set()
                await manager.get(server.url("/"), rate_limit_mode="wait")

            group.start_soon(wait)
            await waiting.wait()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        with pytest.raises(RateLimitExceeded) as caught:
            await manager.get(server.url("/"))
    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= 600  # nobody is left in the queue before it


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("return_exceptions", [True, False])
async def test_what_ends_a_worker_ends_the_batch(
    kind: Type[BaseException], return_exceptions: bool
) -> None:
    async def perform(item: Any) -> int:
        await anyio.lowlevel.checkpoint()
        if item[1] == "1":
            raise kind("stop")
        if item[1] == "2":
            await anyio.sleep_forever()
        return 0

    items: List[Any] = [("GET", str(n), {}) for n in range(5)]
    with pytest.raises(kind, match="stop"):
        await arun_batch(perform, items, 3, return_exceptions)


async def test_a_batch_that_is_cancelled_from_outside_stays_cancelled() -> None:
    async def perform(item: Any) -> None:
        await anyio.sleep_forever()

    items: List[Any] = [("GET", "", {})] * 3
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(arun_batch, perform, items, 2, True)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
