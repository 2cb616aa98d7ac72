"""What the asynchronous manager does below httpx's transport, against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
import time
import types
from typing import Any, AsyncIterator, Awaitable, Callable, ClassVar, Dict, List

import anyio
import anyio.to_thread
import h2.config
import h2.connection
import h2.events
import httpcore
import httpx
import pytest
from drivers import ANYIO_LOSES_SOCKETS, wait_until

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.connections.async_pool import (
    QuickHTTPProxy,
    QuickPool,
    QuickSOCKSProxy,
)
from requests_connection_manager.connections.asyncio_stream import AsyncioStream
from requests_connection_manager.testing import (
    FaultServer,
    blackhole,
    dies_while_idle,
    disconnect,
    drip,
    echo,
    garbage,
    reply,
    reset,
    sized,
    truncate,
)

OK = reply(200, body="ok")
ONE = httpx.Limits(max_connections=1)
Main = Callable[[], Awaitable[Any]]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    return lambda main: anyio.run(main, backend=request.param)


def manager_with(**settings: Any) -> AsyncConnectionManager:
    return AsyncConnectionManager(**{"max_retries": 0, "timeout": 5, **settings})


def pool_of(manager: httpx.AsyncClient) -> Any:
    return manager._transport._pool  # type: ignore[attr-defined]  # httpx's own


def answering(*parts: bytes) -> Any:
    """Return a reply of these bytes, after which the connection stays open."""
    made = garbage(b"".join(parts))
    return type(made)(name="raw", head=(b"".join(parts),))


# What httpx's iterators leave to the garbage collector when they are given up, of which trio warns.
def with_leftovers(test: Any) -> Any:
    for warning in ("pytest.PytestUnraisableExceptionWarning", "ResourceWarning"):
        test = pytest.mark.filterwarnings(f"ignore::{warning}")(test)
    return test


# -- cancellation


@types.coroutine
def interrupted(body: Any, at: int, interrupt: Callable[[], Any]) -> Any:
    """Run a coroutine; at the n-th of its waits ask whether to cancel it there."""
    step: Any = body.send
    value: Any = None
    waits = 0
    while True:
        try:
            waited_for = step(value)
        except StopIteration as done:
            return done.value
        waits += 1
        if waits == at and interrupt():
            step, value = body.throw, asyncio.CancelledError()
            continue
        try:
            step, value = body.send, (yield waited_for)
        except BaseException as exc:
            step, value = body.throw, exc


async def cancelled_at(at: int, act: Main, backend: str) -> bool:
    """Run, and cancel at the n-th wait; tell whether there were so many."""
    if backend == "asyncio":
        try:
            await interrupted(act(), at, lambda: True)
        except asyncio.CancelledError:
            return True
        return False
    with anyio.CancelScope() as scope:
        await interrupted(act(), at, scope.cancel)  # returns None: trio raises it there itself
    return scope.cancel_called


async def check_cancellation(manager: Any, url: str, act: Main, backend: str) -> int:
    """Cancel at each wait in turn; after each the only connection is free for the next request."""
    pool = pool_of(manager)
    for at in range(1, 200):
        cancelled = await cancelled_at(at, act, backend)
        assert pool._requests == []
        assert all(one.is_idle() for one in pool.connections)
        assert len(pool.connections) <= 1
        with anyio.fail_after(8):
            assert (await manager.get(url)).text == "ok"
        if not cancelled:
            return at - 1
    raise AssertionError("it never ends")


@with_leftovers
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("body", ["none", "bytes", "generator"])
def test_cancelled_anywhere_on_a_new_connection(
    server: FaultServer, backend: str, body: str
) -> None:
    server.route("/", OK)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a" * 10
        yield b"b" * 10

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:

            async def act() -> None:
                await pool_of(manager).aclose()
                content: Any = {"none": None, "bytes": b"x" * 100000, "generator": pieces()}[body]
                await manager.put(server.url(), content=content)

            assert await check_cancellation(manager, server.url(), act, backend) >= 2

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_anywhere_on_an_old_connection(server: FaultServer, backend: str) -> None:
    server.route("/", OK)

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:

            async def act() -> None:
                await manager.get(server.url())

            await act()
            assert await check_cancellation(manager, server.url(), act, backend) >= 1

    anyio.run(main, backend=backend)


@with_leftovers
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_anywhere_in_a_body(server: FaultServer, backend: str) -> None:
    server.route("/", OK)
    server.route("/drip", drip(interval=0.03, size=6))

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:

            async def act() -> None:
                async with manager.stream("GET", server.url("/drip")) as response:
                    async for _ in response.aiter_raw():
                        pass

            assert await check_cancellation(manager, server.url(), act, backend) >= 2

    anyio.run(main, backend=backend)


@with_leftovers
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_anywhere_over_tls(backend: str, tls: Any) -> None:
    with FaultServer(ssl_context=tls.server_context()) as secure:
        secure.route("/", OK)

        async def main() -> None:
            context = tls.client_context()
            async with manager_with(limits=ONE, ssl_context=context) as manager:

                async def act() -> None:
                    await pool_of(manager).aclose()
                    await manager.get(secure.url())

                assert await check_cancellation(manager, secure.url(), act, backend) >= 3

        anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_while_waiting_for_a_connection(server: FaultServer, backend: str) -> None:
    server.route("/", OK)

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:
            pool = pool_of(manager)
            async with manager.stream("GET", server.url()):
                with anyio.move_on_after(0) as scope:
                    await manager.get(server.url())
                assert scope.cancelled_caught
                assert len(pool._requests) == 1
            assert (await manager.get(server.url())).text == "ok"
            assert server.connections == 2

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_as_its_turn_comes_the_next_is_served(server: FaultServer, backend: str) -> None:
    server.route("/", OK)

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:
            first = await manager.send(manager.build_request("GET", server.url()), stream=True)
            served: List[int] = []
            scope = anyio.CancelScope()

            async def one(number: int, within: anyio.CancelScope) -> None:
                with within:
                    await manager.get(server.url())
                    served.append(number)

            async with anyio.create_task_group() as group:
                group.start_soon(one, 1, scope)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(one, 2, anyio.CancelScope())
                await anyio.wait_all_tasks_blocked()
                await first.aread()  # the connection goes to the first, who does not run any more
                scope.cancel()
            assert served == [2]
            assert pool_of(manager)._requests == []

    anyio.run(main, backend=backend)


@with_leftovers
def test_a_crowd_of_which_many_are_cancelled_leaks_nothing(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", OK)
    server.route("/slow", reply(200, delay=0.02))
    server.route("/breaks", disconnect())
    server.route("/long", sized(600_000))
    chance = random.Random(7)
    paths = ["/", "/slow", "/breaks", "/long"]

    async def one(manager: Any, path: str, seconds: float, whole: bool) -> None:
        with contextlib.suppress(httpx.TransportError), anyio.move_on_after(seconds):
            async with manager.stream("GET", server.url(path)) as response:
                if whole:
                    await response.aread()

    async def main() -> None:
        limits = httpx.Limits(max_connections=5, max_keepalive_connections=3)
        async with manager_with(
            limits=limits,
            timeout=30,
            circuit_breaker_failure_threshold=None,
            rate_limit_requests=None,
        ) as manager:
            pool = pool_of(manager)
            async with anyio.create_task_group() as group:
                for _ in range(200):
                    seconds = chance.choice([0.0, 0.001, 0.01, 0.05, 30.0])
                    whole = chance.random() < 0.7
                    group.start_soon(one, manager, chance.choice(paths), seconds, whole)
                    assert len(pool.connections) <= 5
            assert pool._requests == []
            assert len(pool.connections) <= 3
            assert all(one.is_idle() for one in pool.connections)
            with anyio.fail_after(8):
                assert (await manager.get(server.url())).text == "ok"
            kept = len(pool.connections)
            if not ANYIO_LOSES_SOCKETS:
                await anyio.to_thread.run_sync(wait_until, lambda: server.open_connections <= kept)

    run(main)


# -- fairness


def test_whoever_came_first_is_served_first(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    with FaultServer() as other:
        for one in (server, other):
            one.route("/", OK)

        async def main() -> None:
            order: List[int] = []
            async with manager_with(limits=ONE) as manager:

                async def get(number: int) -> None:
                    await manager.get((server if number % 3 else other).url())
                    order.append(number)

                async with anyio.create_task_group() as group:
                    for number in range(12):
                        group.start_soon(get, number)
                        await anyio.wait_all_tasks_blocked()
            assert order == sorted(order)

        run(main)


@pytest.mark.parametrize("size", [1, 3])
def test_the_limit_of_connections_holds_over_a_proxy(run: Callable[[Main], Any], size: int) -> None:
    with FaultServer() as proxy:
        proxy.route("/", reply(200, body="proxied", delay=0.01))

        async def main() -> None:
            limits = httpx.Limits(max_connections=size)
            async with manager_with(proxy=proxy.origin, limits=limits, timeout=20) as manager:

                async def get() -> None:
                    response = await manager.get("http://api.test/")
                    assert response.text == "proxied"

                async with anyio.create_task_group() as group:
                    for _ in range(12):
                        group.start_soon(get)

        run(main)
        assert 1 <= proxy.connections <= size


# -- connections that are kept


def test_the_pools_of_all_transports_are_quick() -> None:
    for proxy, expected in (
        (None, QuickPool),
        ("http://proxy.test:1", QuickHTTPProxy),
        ("https://proxy.test:1", QuickHTTPProxy),
        ("socks5://proxy.test:1", QuickSOCKSProxy),
    ):
        manager = AsyncConnectionManager(proxy=proxy)
        transport: Any = manager._transport_for_url(httpx.URL("https://a.test"))
        assert type(transport._pool) is expected


def test_users_own_transports_are_left_alone() -> None:
    class Mine(httpx.AsyncHTTPTransport):
        pass

    mine: Any = Mine()
    AsyncConnectionManager(transport=mine)
    assert type(mine._pool) is httpcore.AsyncConnectionPool


def test_its_representation_and_connections_are_httpcores(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", OK)

    async def main() -> None:
        async with manager_with() as manager:
            pool = pool_of(manager)
            async with manager.stream("GET", server.url()) as response:
                assert "Requests: 1 active, 0 queued | Connections: 1 active, 0 idle" in repr(pool)
                await response.aread()
            assert "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle" in repr(pool)
            (connection,) = pool.connections
            assert "HTTP/1.1, IDLE, Request Count: 1" in repr(connection)

    run(main)


def test_idle_connections_expire(run: Callable[[Main], Any], server: FaultServer) -> None:
    server.route("/", OK)

    async def main() -> None:
        limits = httpx.Limits(keepalive_expiry=0.5)
        async with manager_with(limits=limits) as manager:
            for _ in range(2):
                await manager.get(server.url())
            assert server.connections == 1
            (connection,) = pool_of(manager).connections
            connection._connection._expire_at = time.monotonic() - 1
            await manager.get(server.url())
            assert server.connections == 2
            assert len(pool_of(manager).connections) == 1

    run(main)


def test_a_connection_that_the_server_closed_is_not_used(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", dies_while_idle(OK, when="now"), OK)

    async def main() -> None:
        async with manager_with() as manager:
            assert (await manager.post(server.url(), content=b"1")).text == "ok"
            # The loop does not run in between: only the socket can tell.
            wait_until(lambda: server.open_connections == 0)
            assert (await manager.post(server.url(), content=b"2")).text == "ok"
            assert server.connections == 2

    run(main)


@with_leftovers
def test_many_bodies_closed_half_read_leak_nothing(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", sized(5_000_000))
    server.route("/ok", OK)

    async def main() -> None:
        limits = httpx.Limits(max_connections=2)
        async with manager_with(limits=limits) as manager:
            for _ in range(5):
                async with manager.stream("GET", server.url()) as response:
                    async for _ in response.aiter_raw():
                        break
            assert pool_of(manager).connections == []
            assert (await manager.get(server.url("/ok"))).text == "ok"

    run(main)


# -- what goes over the wire


def test_large_bodies_pass_whole_both_ways(run: Callable[[Main], Any], server: FaultServer) -> None:
    server.route("/", echo())
    server.route("/big", sized(3_000_000))

    async def main() -> None:
        async with manager_with(timeout=30) as manager:
            sent = os.urandom(400_000).hex().encode()
            response = await manager.put(server.url(), content=sent)
            assert response.json()["body"].encode() == sent
            assert len((await manager.get(server.url("/big"))).content) == 3_000_000

    run(main)


def test_a_small_request_is_one_write(server: FaultServer, monkeypatch: Any) -> None:
    server.route("/", OK)
    writes: List[bytes] = []
    plain = AsyncioStream.write

    async def write(self: Any, buffer: bytes, **kwargs: Any) -> None:
        writes.append(buffer)
        await plain(self, buffer, **kwargs)

    monkeypatch.setattr(AsyncioStream, "write", write)

    async def main() -> None:
        async with manager_with() as manager:
            await manager.put(server.url(), content=b"hello")

    anyio.run(main)
    assert len(writes) == 1
    assert writes[0].endswith(b"\r\n\r\nhello")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        pytest.param(HEAD + b"\r\nok", b"HTTP/1.1", id="plain"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + HEAD + b"\r\nok",
            b"HTTP/1.1",
            id="early-hints",
        ),
        pytest.param(HEAD + b"Connection: close\r\n\r\nok", b"HTTP/1.1", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.0", id="http-1.0"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            b"HTTP/1.1",
            id="chunked",
        ),
    ],
)
def test_answers_of_all_kinds(
    run: Callable[[Main], Any], server: FaultServer, answer: bytes, version: bytes
) -> None:
    server.route("/", answering(answer))
    reused = version == b"HTTP/1.1" and b"close" not in answer

    async def main() -> None:
        async with manager_with() as manager:
            for _ in range(3):
                response = await manager.get(server.url())
                assert response.text == "ok"
                assert response.extensions["http_version"] == version
                assert response.extensions["reason_phrase"] == b"OK"
                assert response.http_version == version.decode()
            assert len(pool_of(manager).connections) == reused

    run(main)
    assert server.connections == (1 if reused else 3)


@pytest.mark.parametrize(
    "whole",
    [HEAD + b"\r\nok", b"HTTP/1.1 204 No Content\r\n\r\n"],
    ids=["length", "none"],
)
@pytest.mark.parametrize(
    "more", [HEAD + b"\r\nno", b"\r\n", b"junk"], ids=["answer", "end", "junk"]
)
def test_what_follows_an_answer_is_not_the_next_one(
    run: Callable[[Main], Any], server: FaultServer, whole: bytes, more: bytes
) -> None:
    server.route("/", answering(whole + more))

    async def main() -> None:
        async with manager_with() as manager:
            for _ in range(3):
                assert (await manager.get(server.url())).text in ("ok", "")

    run(main)
    assert server.connections == 3


def test_what_follows_an_answer_within_tls_is_not_the_next_one(tls: Any) -> None:
    """In a record of its own, which arrived together with the one before it."""

    class Server(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.arrived, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = tls.server_context()
            self.tls = context.wrap_bio(self.arrived, self.leaving, server_side=True)
            self.step: Callable[[], Any] = self.tls.do_handshake

        def data_received(self, data: bytes) -> None:
            self.arrived.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                self.step()
                self.step = lambda: self.tls.read(65536)
                self.step()
                self.tls.write(HEAD + b"\r\nok")
                self.tls.write(HEAD + b"\r\nno")
            self.transport.write(self.leaving.read())

    async def main() -> None:
        running = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        url = f"https://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
        async with manager_with(ssl_context=tls.client_context()) as manager:
            assert [(await manager.get(url)).text for _ in range(3)] == ["ok"] * 3
        running.close()

    asyncio.run(main())


def test_an_upgrade_gives_the_stream_with_what_came_after_the_head(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello"
    server.route("/", answering(head))

    async def main() -> None:
        async with manager_with() as manager:
            headers = {"Upgrade": "x", "Connection": "Upgrade"}
            async with manager.stream("GET", server.url(), headers=headers) as response:
                assert response.status_code == 101
                stream = response.extensions["network_stream"]
                assert await stream.read(100, timeout=5) == b"hello"
                await stream.write(b"bye", timeout=5)
                assert stream.get_extra_info("server_addr")[1] == server.port
            assert pool_of(manager).connections == []

    run(main)


def test_the_stream_tells_what_httpcores_tells(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", OK)

    async def main() -> None:
        async with manager_with() as manager:
            response = await manager.get(server.url())
            stream = response.extensions["network_stream"]
            socket_of = stream.get_extra_info("socket")
            assert stream.get_extra_info("server_addr") == socket_of.getpeername()
            assert stream.get_extra_info("client_addr") == socket_of.getsockname()
            assert stream.get_extra_info("ssl_object") is None
            assert stream.get_extra_info("is_readable") is False
            assert stream.get_extra_info("nonsense") is None

    run(main)


def test_tls_tells_its_object(run: Callable[[Main], Any], tls: Any) -> None:
    with FaultServer(ssl_context=tls.server_context()) as secure:
        secure.route("/", sized(300_000))

        async def main() -> None:
            async with manager_with(ssl_context=tls.client_context()) as manager:
                for _ in range(3):
                    response = await manager.get(secure.url())
                    assert len(response.content) == 300_000
                stream = response.extensions["network_stream"]
                assert stream.get_extra_info("ssl_object").version().startswith("TLSv1")
            assert secure.connections == 1

        run(main)


def test_the_target_and_the_trace_of_the_caller(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/other", OK)
    seen: List[str] = []

    async def trace(name: str, info: Dict[str, Any]) -> None:
        seen.append(name)

    async def main() -> None:
        async with manager_with() as manager:
            extensions = {"trace": trace, "target": b"/other"}
            response = await manager.get(server.url("/one"), extensions=extensions)
            assert response.text == "ok"

    run(main)
    assert seen == [
        f"{step}.{end}"
        for step in (
            "connection.connect_tcp",
            "http11.send_request_headers",
            "http11.send_request_body",
            "http11.receive_response_headers",
            "http11.receive_response_body",
            "http11.response_closed",
        )
        for end in ("started", "complete")
    ]


# -- errors are those of httpx alone

FAULTS = {
    "disconnect": disconnect(),
    "reset": reset(),
    "reset-in-the-body": reset(after=3),
    "truncated": truncate(),
    "garbage": garbage(),
    "silent": reply(200, delay=30),
    "slow-body": drip(interval=30, size=10),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_errors_are_the_same_as_without_us(
    run: Callable[[Main], Any], server: FaultServer, fault: str
) -> None:
    server.route("/", FAULTS[fault])
    timeout = httpx.Timeout(5, read=0.5)

    async def error_of(client: httpx.AsyncClient) -> Any:
        with pytest.raises(httpx.TransportError) as caught:
            await client.get(server.url())
        return type(caught.value), str(caught.value), type(caught.value.__cause__)

    async def main() -> None:
        async with httpx.AsyncClient(timeout=timeout) as bare, manager_with(timeout=timeout) as our:
            assert await error_of(our) == await error_of(bare)
            assert pool_of(our).connections == []

    run(main)


def test_a_connection_that_can_not_be_opened_is_no_more_in_the_pool(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", OK)

    async def main() -> None:
        with blackhole() as origin:
            async with manager_with(limits=ONE, timeout=0.5) as manager:
                with pytest.raises(httpx.ReadTimeout):
                    await manager.get(origin)
                with pytest.raises(httpx.ConnectError):
                    await manager.get("http://127.0.0.1:1/")
                assert pool_of(manager).connections == []
                assert (await manager.get(server.url(), timeout=5)).text == "ok"

    run(main)


def test_a_body_that_nobody_reads_ends_with_the_write_timeout(
    run: Callable[[Main], Any],
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    async def main() -> None:
        timeout = httpx.Timeout(5, write=0.5)
        async with manager_with(timeout=timeout) as manager:
            with pytest.raises(httpx.WriteTimeout):
                await manager.put(url, content=b"x" * 50_000_000)
            assert pool_of(manager).connections == []

    with listener:
        run(main)


def test_each_request_has_its_own_read_timeout_on_a_kept_connection(
    run: Callable[[Main], Any], server: FaultServer
) -> None:
    server.route("/", OK)
    server.route("/slow", reply(200, body="late", delay=1))
    server.route("/silent", reply(200, delay=30))
    short, long = httpx.Timeout(8, read=0.5), httpx.Timeout(8)

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:
            assert (
                await manager.get(server.url(), timeout=httpx.Timeout(8, read=0.9))
            ).text == "ok"
            # What the first was allowed ends while the second waits.
            assert (await manager.get(server.url("/slow"), timeout=long)).text == "late"
            assert (await manager.get(server.url("/slow"), timeout=None)).text == "late"
            with pytest.raises(httpx.ReadTimeout):
                await manager.get(server.url("/silent"), timeout=short)
            assert server.connections == 1

    run(main)


# -- doubles that httpcore's users put in its place


@pytest.mark.parametrize("late", [False, True])
def test_a_double_of_the_pools_method_is_reached(
    run: Callable[[Main], Any], server: FaultServer, monkeypatch: Any, late: bool
) -> None:
    server.route("/", OK)
    original = httpcore.AsyncConnectionPool.handle_async_request
    seen: List[Any] = []

    async def recording(self: Any, request: Any) -> Any:
        seen.append(request.url.target)
        return await original(self, request)

    async def main() -> None:
        async with manager_with(limits=ONE) as manager:
            if late:
                await manager.get(server.url())
            monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", recording)
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(manager.get, server.url())
            pool = pool_of(manager)
            assert (len(pool._requests), len(pool.connections)) == (0, 1)
            monkeypatch.undo()
            assert (await manager.get(server.url())).text == "ok"

    run(main)
    assert seen == [b"/"] * 5
    assert server.connections == 1


# -- HTTP/2


class Http2Server(asyncio.Protocol):
    """Answers when it has all the requests that it waits for, wherever they come in."""

    connections: ClassVar[List[Any]] = []
    waiting: ClassVar[List[Any]] = []
    wanted = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connections.append(self)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.initiate_connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                self.waiting.append((self, event.stream_id))
        self.transport.write(self.h2.data_to_send())
        if len(self.waiting) >= self.wanted:
            for server, stream in self.waiting:
                server.h2.send_headers(stream, [(":status", "200")])
                server.h2.send_data(stream, b"ok", end_stream=True)
                server.transport.write(server.h2.data_to_send())
            self.waiting.clear()


def test_http2_serves_all_on_one_connection() -> None:
    async def main() -> None:
        Http2Server.connections.clear()
        loop = asyncio.get_running_loop()
        running = await loop.create_server(Http2Server, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
        ids: List[int] = []

        async def get() -> None:
            response = await manager.get(url)
            assert (response.text, response.http_version) == ("ok", "HTTP/2")
            ids.append(response.extensions["stream_id"])

        async with manager_with(http1=False, http2=True, limits=ONE, timeout=20) as manager:
            for together in (20, 1, 20):
                Http2Server.wanted = together
                async with anyio.create_task_group() as group:
                    for _ in range(together):
                        group.start_soon(get)
            assert len(Http2Server.connections) == 1
            assert len(set(ids)) == 41
            assert [one.is_idle() for one in pool_of(manager).connections] == [True]
        running.close()

    asyncio.run(main())


def test_http2_falls_back_to_connections_of_their_own(run: Callable[[Main], Any], tls: Any) -> None:
    """The server speaks HTTP/1.1 only: those who waited for HTTP/2 go on without it."""
    with FaultServer(ssl_context=tls.server_context()) as secure:
        secure.route("/", reply(200, body="ok", delay=0.01))

        async def main() -> None:
            settings = {"ssl_context": tls.client_context(), "http2": True}
            limits = httpx.Limits(max_connections=3)
            async with manager_with(limits=limits, timeout=20, **settings) as manager:
                async with anyio.create_task_group() as group:
                    for _ in range(12):
                        group.start_soon(manager.get, secure.url())
                assert pool_of(manager)._requests == []

        run(main)
        assert secure.connections <= 3
        assert secure.count() == 12
