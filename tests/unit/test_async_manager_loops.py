"""One asynchronous manager and its event loops, threads, and what is set later."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
from typing import Any, Iterator, List

import anyio
import anyio.to_thread
import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.testing import FaultServer, echo, reply

# Sockets of a loop that is gone can't be closed any more; asyncio says so, as it does for httpx.
pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed.*:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", lambda received: reply(200, body=str(received.connection)))
        running.route("/echo", echo())
        yield running


@pytest.mark.parametrize("backends", [["asyncio"] * 4, ["trio"] * 3, ["asyncio", "trio"] * 2])
def test_several_loops_one_after_the_other(server: FaultServer, backends: List[str]) -> None:
    manager = AsyncConnectionManager()
    seen: List[str] = []

    async def main() -> None:
        for _ in range(3):
            response = await manager.get(server.url("/"))
            seen.append(response.text)

    for backend in backends:
        anyio.run(main, backend=backend)
    anyio.run(manager.aclose, backend=backends[-1])
    # Each loop keeps its connection alive, and leaves those of others alone.
    assert len(set(seen)) == len(backends)


def test_a_batch_on_each_of_several_loops(server: FaultServer) -> None:
    manager = AsyncConnectionManager()

    async def main() -> int:
        results: Any = await manager.batch_request([("GET", server.url("/"), {})] * 5)
        return sum(one.status_code == 200 for one in results)

    async def last() -> int:
        try:
            return await main()
        finally:
            await manager.close()

    assert [asyncio.run(main()), asyncio.run(main()), asyncio.run(last())] == [5, 5, 5]


def test_settings_survive_the_change_of_loops(server: FaultServer) -> None:
    manager = AsyncConnectionManager(
        api_key="k",
        headers={"X-Mine": "1"},
        base_url=server.origin,
        circuit_breaker_failure_threshold=2,
    )
    server.route("/down", reply(500))

    async def down() -> None:
        await manager.get("/down", max_retries=0)

    asyncio.run(down())
    asyncio.run(down())
    assert manager.get_stats()["circuit_breaker_state"] == "open"
    manager.add_endpoint_config(server.origin + "/echo", {"circuit_breaker_failure_threshold": 9})

    async def seen() -> Any:
        response = await manager.get("/echo")
        await manager.close()
        return response.json()["headers"]

    headers = asyncio.run(seen())
    assert (headers["x-api-key"], headers["x-mine"]) == ("k", "1")
    gc.collect()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_can_be_closed_without_a_request(backend: str) -> None:
    anyio.run(AsyncConnectionManager().aclose, backend=backend)

    async def twice() -> None:
        manager = AsyncConnectionManager()
        await manager.close()
        await manager.aclose()
        assert manager.is_closed

    anyio.run(twice, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_closed_manager_says_so(server: FaultServer, backend: str) -> None:
    async def main() -> None:
        manager = AsyncConnectionManager()
        await manager.close()
        with pytest.raises(RuntimeError, match="client has been closed"):
            await manager.get(server.url("/"))

    anyio.run(main, backend=backend)
    assert server.count() == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_tasks_share_one_manager(server: FaultServer, backend: str) -> None:
    async def main() -> None:
        async with AsyncConnectionManager(rate_limit_requests=None) as manager:
            done: List[int] = []

            async def one(number: int) -> None:
                if number % 10 == 0:
                    manager.set_timeouts(connect_timeout=5 + number)
                    manager.add_endpoint_config(f"host{number}.test", {"timeout": 5})
                response = await manager.get(server.url("/"))
                done.append(response.status_code)

            async with anyio.create_task_group() as group:
                for number in range(60):
                    group.start_soon(one, number)
            assert done == [200] * 60
            attempts = [one["attempts"] for one in manager.get_stats()["scopes"].values()]
            assert sum(attempts) == 60

    anyio.run(main, backend=backend)
    assert server.count() == 60


def test_tls_settings_can_change_while_requests_are_under_way(server: FaultServer) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(received: Any) -> Any:
        entered.set()
        release.wait(30)
        return reply(200, body="old connection")

    server.route("/slow", slow)

    async def main() -> None:
        async with AsyncConnectionManager(timeout=None) as manager:
            async with anyio.create_task_group() as group:
                texts: List[str] = []

                async def call() -> None:
                    texts.append((await manager.get(server.url("/slow"))).text)

                group.start_soon(call)
                assert await anyio.to_thread.run_sync(entered.wait, 30)
                manager.set_ssl_context(ssl.create_default_context())
                assert (await manager.get(server.url("/"))).status_code == 200
                release.set()
            assert texts == ["old connection"]
            assert (await manager.get(server.url("/"))).status_code == 200

    asyncio.run(main())


def test_it_is_an_httpx_client_to_type_checks() -> None:
    manager = AsyncConnectionManager()
    assert isinstance(manager, httpx.AsyncClient)
    assert not isinstance(manager, httpx.Client)


# -- transports that are not needed any more


class Closing:
    """Stands for a retired transport whose closing takes a while."""

    def __init__(self, until: anyio.Event) -> None:
        self.until = until
        self.closed = 0

    async def aclose(self) -> None:
        await self.until.wait()
        self.closed += 1


@pytest.mark.anyio
async def test_concurrent_requests_close_each_retired_transport_once() -> None:
    manager, until = AsyncConnectionManager(), anyio.Event()
    retired = [Closing(until) for _ in range(3)]
    manager._pools.retired.extend(retired)  # type: ignore[arg-type]  # what it does to them is close them
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(manager._close_retired, True)
        await anyio.wait_all_tasks_blocked()
        until.set()
    assert [one.closed for one in retired] == [1, 1, 1]
    assert manager._pools.retired == []
    await manager.aclose()


@pytest.mark.anyio
async def test_a_cancelled_request_leaves_no_transport_unclosed() -> None:
    manager, until = AsyncConnectionManager(), anyio.Event()
    retired = Closing(until)
    manager._pools.retired.append(retired)  # type: ignore[arg-type]  # as above
    with anyio.CancelScope() as scope:
        scope.cancel()
        await manager._close_retired(True)
    assert retired in manager._pools.retired
    until.set()
    await manager.aclose()
    assert retired.closed == 1
