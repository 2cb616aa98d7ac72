"""REST clients on real sockets: deadlines, TLS, threads, cancelled tasks, forks.

The deadlines take real time: only the socket of a real server can be dripped on.
"""

from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial

import anyio
import anyio.from_thread
import httpx
import pytest
from drivers import within

from requests_connection_manager import DeadlineExceeded, HTTPError, MaxRetriesExceeded
from requests_connection_manager import TimeoutError as OurTimeoutError
from requests_connection_manager.rest import AsyncClient
from requests_connection_manager.testing import (
    FaultServer,
    Reply,
    blackhole,
    close_delimited,
    drip,
    echo,
    redirect,
    reply,
    slow_body,
)
from requests_connection_manager.testing.replies import Ending

LIMIT = 0.3
SOON = 3.0  # how much later a call may end on a busy machine; left alone, a drip takes 10 s

PARTS = ("status", "header", "chunk", "body")


def close_delimited_drip():
    """A body without a length, a byte at a time: its truncation looks like its end."""
    body = tuple(item for _ in range(100) for item in (b"x", 0.1))
    return Reply("close-delimited", (b"HTTP/1.1 200 OK\r\n\r\n",), body, ending=Ending.CLOSE)


DRIPS = {
    **{part: drip(part) for part in PARTS},
    "chunks": slow_body([b"x"] * 100, 0.1),
    "close-delimited": close_delimited_drip(),
    "slow-head": reply(200, delay=10),
}
BODIES = ("chunk", "body", "chunks", "close-delimited")


@pytest.fixture(params=["plain", "tls"])
def dripping(request):
    """A server of drips, with and without TLS; and the options to reach it."""
    if request.param == "plain":
        context, options = None, {}
    else:
        tls = request.getfixturevalue("tls")
        context, options = tls.server_context(), {"verify": tls.client_context()}
    with FaultServer(ssl_context=context) as server:
        for name, one in DRIPS.items():
            server.route(f"/{name}", one)
        server.route("/ok", reply(200, body="ok"))
        yield server, options


def all_at_once(jobs):
    """Run functions in threads; return name -> what each returned or raised, and the time."""
    ended = {}

    def work(name, job):
        try:
            ended[name] = job()
        except Exception as exc:
            ended[name] = exc

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=item) for item in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended, time.monotonic() - began


def read_stream(client, path, how):
    with client.stream("GET", path, how) as (_, read):
        return read()


# -- deadlines


def test_nothing_outlives_its_deadline(rest, dripping):
    server, options = dripping
    client = rest.client(
        server.origin, total_timeout=LIMIT, circuit_breaker_failure_threshold=None, **options
    )
    jobs = {name: partial(client.get, f"/{name}") for name in DRIPS}
    for name in BODIES:
        for how in ("bytes", "text", "lines", "raw", "read"):
            jobs[name, how] = partial(read_stream, client, f"/{name}", how)
    outcomes, took = all_at_once(jobs)
    assert took < LIMIT + SOON
    for name, error in outcomes.items():
        assert isinstance(error, DeadlineExceeded), (name, error)
        assert isinstance(error, (OurTimeoutError, httpx.TimeoutException))
        assert f"total_timeout={LIMIT}" in str(error)
        assert error.request.method == "GET"


def test_nor_on_a_connection_that_was_used_before(rest, dripping):
    server, options = dripping
    client = rest.client(server.origin, total_timeout=LIMIT, **options)
    for name in PARTS:
        before = server.connections
        client.get("/ok", total_timeout=30)
        opened = server.connections - before
        with within(LIMIT + SOON), pytest.raises(DeadlineExceeded) as caught:
            client.get(f"/{name}")
        assert len(caught.value.attempts) == 1
        assert opened <= 1
        assert server.requests[-1].number == 2, "the connection was not reused"
    assert client.get("/ok", total_timeout=30).text == "ok"


def test_a_connection_is_good_again_after_a_call_with_a_deadline(rest, dripping):
    server, options = dripping
    client = rest.client(server.origin, **options)
    client.get("/ok", total_timeout=30)
    client.get("/ok")
    read_stream(client, "/ok", "bytes")
    assert server.connections == 1


def test_an_upload_that_nobody_takes(rest):
    with blackhole() as origin:
        client = rest.client(origin, total_timeout=LIMIT)
        with within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
            client.post("/x", content=b"x" * 1000)


# httpcore leaves httpx's generator of the body to the garbage collector, which trio mentions.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_upload_into_a_slow_receiver(rest):
    """The receiver accepts the connection and never reads: the buffers of the sockets fill."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = rest.client(f"http://127.0.0.1:{listener.getsockname()[1]}", total_timeout=LIMIT)
        with within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
            client.post("/x", content=b"x" * 50_000_000)


def test_all_hops_have_one_deadline(rest, server):
    server.route("/0", redirect("/1").delayed(0.3))
    server.route("/1", redirect("/2").delayed(0.3))
    server.route("/2", reply(200).delayed(10))
    client = rest.client(server.origin, total_timeout=2)
    with within(2 + SOON), pytest.raises(DeadlineExceeded) as caught:
        client.get("/0")
    assert [attempt.status for attempt in caught.value.attempts] == [302, 302, None]


def test_what_finishes_in_time_is_whole(rest, server):
    server.route("/x", slow_body([b"ab", b"cd", b"ef"], 0.01))
    server.route("/close", close_delimited("to the end"))
    client = rest.client(server.origin, total_timeout=30)
    for _ in range(2):
        assert client.get("/x").content == b"abcdef"
        assert client.get("/close").content == b"to the end"
        assert read_stream(client, "/x", "bytes") == b"abcdef"


# -- TLS


@pytest.fixture
def secure(tls):
    with FaultServer(ssl_context=tls.server_context()) as server:
        server.route("/x", echo())
        yield server


def test_a_bundle_of_ones_own(rest, secure, tls, tmp_path):
    bundle = tmp_path / "ca.pem"
    tls._ca.cert_pem.write_to_path(str(bundle))
    assert rest.client(secure.origin, verify=str(bundle)).get("/x").status_code == 200
    context = tls.client_context()
    assert rest.client(secure.origin, ssl_context=context).get("/x").status_code == 200


def test_an_unknown_authority_is_refused_and_not_tried_again(rest, secure, clock):
    with pytest.raises(httpx.ConnectError) as caught:
        rest.client(secure.origin, clock=clock).get("/x")
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert clock.sleeps == ()


def test_verification_can_be_switched_off_with_a_warning(rest, secure, caplog):
    client = rest.client(secure.origin, verify=False)
    assert client.get("/x").status_code == 200
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("verif" in text for text in warned), warned


def test_a_client_certificate(rest, tls, tmp_path):
    context = tls.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    tls._ca.configure_trust(context)
    issued = tls._ca.issue_cert("client@api.test")
    pem, bundle = tmp_path / "client.pem", tmp_path / "ca.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
    tls._ca.cert_pem.write_to_path(str(bundle))
    with FaultServer(ssl_context=context) as server:
        server.route("/x", reply(200, body="known"))
        with_it = rest.client(server.origin, verify=str(bundle), cert=str(pem))
        assert with_it.get("/x").text == "known"
        without = rest.client(server.origin, verify=str(bundle), max_retries=0)
        with pytest.raises(httpx.TransportError):
            without.get("/x")


def test_from_https_to_http_nothing_is_taken_along(rest, secure, server, tls):
    secure.route("/redirect", redirect(server.url("/x")))
    server.route("/x", echo())
    client = rest.client(
        secure.origin, verify=tls.client_context(), bearer_token="t", cookies={"id": "7"}
    )
    seen = client.get("/redirect").json()["headers"]
    assert not {"authorization", "cookie"} & set(seen)
    assert secure.requests[-1].headers["authorization"] == "Bearer t"
    assert secure.requests[-1].headers["cookie"] == "id=7"


class Http2Server:
    """A server of HTTP/2 over TLS that answers each request with its path."""

    def __init__(self, context):
        context.set_alpn_protocols(["h2"])
        self.context = context
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.events import RequestReceived

        with self.context.wrap_socket(raw, server_side=True) as sock:
            h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
            h2.initiate_connection()
            while True:
                sock.sendall(h2.data_to_send())
                data = sock.recv(65536)
                if not data:
                    return
                for event in h2.receive_data(data):
                    if isinstance(event, RequestReceived):
                        path = dict(event.headers)[":path"]
                        h2.send_headers(event.stream_id, [(":status", "200")])
                        if path != "/never":
                            h2.send_data(event.stream_id, path.encode(), end_stream=True)

    def close(self):
        self.listener.close()


def test_http2(rest, tls):
    pytest.importorskip("h2")
    server = Http2Server(tls.server_context())
    try:
        client = rest.client(server.origin, http2=True, verify=tls.client_context())
        response = client.get("/x")
        assert (response.text, response.http_version) == ("/x", "HTTP/2")
        assert client.get("/y", total_timeout=30).text == "/y"
        assert read_stream(client, "/z", "bytes") == b"/z"
        for _ in range(3):
            # httpcore's own connections mix up the streams of threads. One that is stuck, and ends
            # by its deadline, does no harm to the others.
            calls = [("GET", f"/{number}", {}) for number in range(20)]
            calls.insert(10, ("GET", "/never", {"total_timeout": LIMIT}))
            results = client.together(calls)
            assert isinstance(results.pop(10), DeadlineExceeded)
            assert [getattr(one, "text", one) for one in results] == [
                f"/{number}" for number in range(20)
            ]
        assert server.connections <= (25 if rest.is_sync else 3)
        assert client.get("/x").text == "/x"
    finally:
        server.close()


# -- many at once


def test_threads_and_tasks_share_one_client(rest, server):
    """Each response sets a cookie of its own: jars are filled while others look through them."""

    def answer(received):
        number = received.path.rpartition("/")[2]
        return reply(200, body=number, headers={"Set-Cookie": f"c{number}=1; Path=/"})

    paths = [f"/x/{number}" for number in range(160)]
    for path in paths:
        server.route(path, answer)
    client = rest.client(server.origin, params={"a": "1"}, bearer_token="t")
    for start in range(0, 160, 32):
        batch = paths[start : start + 32]
        results = client.together([("GET", path, {}) for path in batch])
        assert [getattr(one, "text", one) for one in results] == [
            path.rpartition("/")[2] for path in batch
        ]
    assert {one.query for one in server.requests} == {"a=1"}
    assert {one.headers["authorization"] for one in server.requests} == {"Bearer t"}
    assert len(client.client.cookies.jar) == 160


def test_32_threads_on_one_client_with_siblings(server):
    from requests_connection_manager.rest import Client

    server.route("/x", echo())
    client = Client(server.origin, headers={"X-Who": "root"})
    wrong = []

    def work(number):
        own = client.with_options(headers={"X-Who": str(number)}, timeout=number + 1)
        for _ in range(10):
            for one, who in ((own, str(number)), (client, "root")):
                seen = one.get("/x").json()["headers"]["x-who"]
                if seen != who:
                    wrong.append((seen, who))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert wrong == []
    assert server.count("/x") == 640


# -- cancelled in the middle


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    return partial(anyio.run, backend=request.param)


async def cancelled(call, reached):
    """Start a call, cancel it once it has reached a point, and wait for its end."""
    ended = []

    async def work():
        try:
            await call()
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise
        except BaseException as exc:
            ended.append(exc)
            raise

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while not reached():  # noqa: ASYNC110  # much of it happens in the server's threads
                await anyio.sleep(0.005)
            group.cancel_scope.cancel()
    assert ended == ["cancelled"]


@pytest.mark.parametrize(
    "where", ["connecting", "head", "body", "stream", "backoff", "limit", "hook", "upload", "batch"]
)
def test_a_call_can_be_cancelled_anywhere(run, server, where):
    server.route("/ok", reply(200, body="ok"))
    server.route("/head", reply(200, delay=10))
    server.route("/body", slow_body([b"x"] * 100, 0.1))
    server.route("/busy", reply(503, headers={"Retry-After": "60"}))
    server.route("/limit", reply(429, headers={"Retry-After": "60"}))
    seen = []

    async def main():
        with blackhole() as nowhere:
            origin = nowhere if where == "connecting" else server.origin
            client = AsyncClient(origin, verify=False, limits=httpx.Limits(max_connections=1))
            async with client:
                await act(client)
                pool = client._transport._pool
                assert not pool._requests, "the pool keeps a request that is gone"
                assert all(one.is_idle() or one.is_closed() for one in pool.connections)
                if where not in ("connecting", "limit"):
                    # Its one connection is free again, or was closed.
                    assert (await client.get("/ok", total_timeout=20)).text == "ok"
                assert client.get_stats()["circuit_breaker_state"] == "closed"

    async def act(client):
        async def stream():
            async with client.stream("GET", "/body") as response:
                async for chunk in response.aiter_raw():
                    seen.append(chunk)  # noqa: PERF401  # looked at meanwhile

        async def hook(context):
            seen.append("hook")
            await anyio.sleep(60)

        async def endless():
            while True:
                seen.append("piece")
                yield b"x" * 1000
                await anyio.sleep(0.01)

        async def limited():
            with pytest.raises(HTTPError):
                await client.get("/limit", max_retries=0)
            seen.append("paused")
            await client.get("/ok")

        def count(path):
            return lambda: server.count(path)

        if where == "hook":
            client.register_pre_request_hook(hook)
        calls = {
            "connecting": (lambda: client.get("/x"), lambda: seen.append(1) or len(seen) > 20),
            "head": (lambda: client.get("/head"), count("/head")),
            "body": (lambda: client.get("/body"), count("/body")),
            "stream": (stream, lambda: len(seen) > 2),
            "backoff": (lambda: client.get("/busy"), count("/busy")),
            "limit": (limited, lambda: seen),
            "hook": (lambda: client.get("/ok"), lambda: seen),
            "upload": (lambda: client.post("/ok", content=endless()), lambda: len(seen) > 5),
            "batch": (lambda: client.batch_request([("GET", "/head", {})] * 5), count("/head")),
        }
        await cancelled(*calls[where])
        if where == "hook":
            from requests_connection_manager import HookType

            client.unregister_hook(HookType.PRE_REQUEST, hook)

    run(main)


def test_a_cancelled_probe_lets_the_next_one_through(run, server, clock):
    server.route("/x", reply(500), reply(200, delay=10), reply(200, body="ok"))

    async def main():
        async with AsyncClient(
            server.origin,
            verify=False,
            max_retries=0,
            clock=clock,
            circuit_breaker_failure_threshold=1,
        ) as client:
            with pytest.raises(HTTPError):
                await client.get("/x")
            clock.advance(60)
            await cancelled(lambda: client.get("/x"), lambda: server.count("/x") == 2)
            assert (await client.get("/x")).text == "ok"
            assert client.get_stats()["circuit_breaker_state"] == "closed"

    run(main)


# What the first loops left open is nobody's any more: the garbage collector's.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_several_event_loops_one_after_the_other(server):
    server.route("/x", reply(200, body="ok"))
    client = AsyncClient(server.origin, verify=False)

    async def main():
        return (await client.get("/x")).text

    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(main, backend=backend) == "ok"
    anyio.run(client.aclose)
    gc.collect()


# -- forks

FORK = """
    import os, sys, threading, warnings
    # CPython 3.12 and later warn of threads at a fork, which is what is tested.
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
    from requests_connection_manager.rest import Client
    from requests_connection_manager.testing import FaultServer, reply

    server = FaultServer().start()
    server.route("/x", lambda received: reply(200, body=str(received.connection)))
    client = Client(server.origin, cookies={"id": "7"})
    sibling = client.with_options(total_timeout=20)
    first = client.get("/x").text
    assert sibling.get("/x").text == first

    locked, leave = threading.Event(), threading.Event()
    def hold():
        with client.core._lock, client.cookies.jar._cookies_lock:
            locked.set()
            leave.wait(20)
    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    locked.wait(20)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            other = client.get("/x").text
            assert other != first, "the child wrote to its parent's socket"
            assert sibling.get("/x").text == other
            client.batch_request([("GET", "/x", {})] * 3)
            client.close()
            print("child ok")
            code = 0
        except BaseException as exc:
            print("child:", type(exc).__name__, exc)
        sys.stdout.flush()
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    leave.set()
    holder.join()
    print(status, client.get("/x").text == first, sibling.get("/x").text == first)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_client_after_a_fork():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["child ok", "0 True True"]


# -- batches


def test_a_batch_ends_with_its_first_failure(rest, server):
    server.route("/bad", reply(400))
    server.route("/x", reply(200))
    client = rest.client(server.origin)
    items = [("GET", "/bad", {}), *[("GET", "/x", {})] * 50]
    with pytest.raises(HTTPError):
        client.batch(items, max_workers=1, return_exceptions=False)
    assert server.count("/x") < 50


def test_retries_of_a_batch_share_breaker_and_events(rest, server, clock):
    server.route("/x", reply(503))
    client = rest.client(server.origin, clock=clock, circuit_breaker_failure_threshold=3)
    results = client.batch([("GET", "/x", {})] * 4, max_workers=1)
    assert [type(one).__mro__[1] for one in results[:1]] == [MaxRetriesExceeded]
    assert client.state() == "open"
    assert server.count() == 3
