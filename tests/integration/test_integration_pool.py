"""The pool below the asynchronous manager keeps httpcore's promises."""

from __future__ import annotations

from typing import Any, List

import anyio
import httpcore
import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.connections.async_pool import QuickPool
from requests_connection_manager.testing import FaultServer, reply

BACKENDS = ["asyncio", "trio"]


def test_it_is_the_httpcore_that_was_looked_at() -> None:
    # QuickPool says the same as one method of this version: look at it again when this changes.
    assert httpcore.__version__.startswith("1.0.")


async def gather(manager: httpx.AsyncClient, url: str, count: int) -> List[int]:
    statuses: List[int] = []

    async def one() -> None:
        statuses.append((await manager.get(url)).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return statuses


@pytest.mark.parametrize("backend", BACKENDS)
def test_max_connections_holds(backend: str, server: FaultServer) -> None:
    server.route("/slow", reply(200, delay=0.01))

    async def main() -> None:
        limits = httpx.Limits(max_connections=3, max_keepalive_connections=3)
        async with AsyncConnectionManager(limits=limits) as manager:
            assert await gather(manager, server.url("/slow"), 20) == [200] * 20

    anyio.run(main, backend=backend)
    assert server.connections == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_more_idle_connections_are_kept_than_allowed(backend: str, server: FaultServer) -> None:
    server.route("/slow", reply(200, delay=0.02))
    server.route("/", reply(200))

    async def main() -> None:
        limits = httpx.Limits(max_connections=8, max_keepalive_connections=2)
        async with AsyncConnectionManager(limits=limits) as manager:
            await gather(manager, server.url("/slow"), 8)
            pool: Any = manager._transport._pool  # type: ignore[attr-defined]  # httpx's own
            assert type(pool) is QuickPool
            await manager.get(server.url("/"))
            assert len(pool.connections) <= 2

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_full_pool_gives_up_an_idle_connection_for_another_origin(
    backend: str, server: FaultServer
) -> None:
    with FaultServer() as other:
        for one in (server, other):
            one.route("/", reply(200))

        async def main() -> None:
            limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
            async with AsyncConnectionManager(limits=limits) as manager:
                for url in (server.url("/"), other.url("/"), server.url("/")):
                    assert (await manager.get(url)).status_code == 200

        anyio.run(main, backend=backend)
    assert server.connections == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_waiting_for_a_connection_has_its_timeout(backend: str, server: FaultServer) -> None:
    server.route("/slow", reply(200, delay=0.3))
    server.route("/", reply(200))

    async def main() -> None:
        limits = httpx.Limits(max_connections=1)
        timeout = httpx.Timeout(5, pool=0.05)
        async with AsyncConnectionManager(limits=limits, timeout=timeout, max_retries=0) as manager:
            async with anyio.create_task_group() as group:
                group.start_soon(manager.get, server.url("/slow"))
                await anyio.sleep(0.05)
                with pytest.raises(httpx.PoolTimeout):
                    await manager.get(server.url("/"))
            assert (await manager.get(server.url("/"))).status_code == 200

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_request_leaves_no_connection_behind(backend: str, server: FaultServer) -> None:
    server.route("/slow", reply(200, delay=0.5))
    server.route("/", reply(200))

    async def main() -> None:
        async with AsyncConnectionManager(limits=httpx.Limits(max_connections=1)) as manager:
            with anyio.move_on_after(0.05):
                await manager.get(server.url("/slow"))
            pool: Any = manager._transport._pool  # type: ignore[attr-defined]  # httpx's own
            assert pool.connections == []
            assert (await manager.get(server.url("/"))).status_code == 200

    anyio.run(main, backend=backend)
