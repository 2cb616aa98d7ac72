"""``http_backend="aiohttp"``: what is sent and received is what httpx's own transport does."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from contextlib import closing

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpcore
import httpx
import pytest
from drivers import _CONTEXT, wait_until, within
from raw_server import OK, RawServer

from requests_connection_manager import AsyncConnectionManager, MaxRetriesExceeded
from requests_connection_manager.rest import AsyncClient, Client
from requests_connection_manager.testing import (
    FaultServer,
    blackhole,
    close_delimited,
    dies_while_idle,
    disconnect,
    drip,
    echo,
    gzip,
    redirect,
    reply,
    reset,
    sink,
    sized,
)

BACKENDS = ("httpx", "aiohttp")

# Not under test, and most would hide what is.
OFF = {
    "max_retries": 0,
    "rate_limit_requests": None,
    "circuit_breaker_failure_threshold": None,
    "trust_env": False,
}


def made(backend="aiohttp", **settings):
    if "ssl_context" not in settings:
        settings.setdefault("verify", _CONTEXT)
    return AsyncConnectionManager(http_backend=backend, **{**OFF, **settings})


def run(use, **settings):
    """Run a coroutine function with a manager on a new event loop."""

    async def main():
        async with made(**settings) as manager:
            return await use(manager)

    return asyncio.run(main())


@pytest.fixture
def raw():
    with closing(RawServer()) as running:
        yield running


@pytest.fixture
def connections(server):
    """A server that answers with the number of the connection."""
    server.route("/", lambda received: reply(200, body=str(received.connection)))
    return server


# -- the choice


def test_httpx_is_the_default():
    manager = AsyncConnectionManager()
    assert type(manager._transport) is httpx.AsyncHTTPTransport
    assert type(AsyncConnectionManager(http_backend="httpx")._transport) is type(manager._transport)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"http_backend": "curl"}, ValueError, "one of 'httpx', 'aiohttp', not 'curl'"),
        ({"http_backend": "aiohtp"}, ValueError, "did you mean 'aiohttp'"),
        ({"http_backend": None}, TypeError, "one of 'httpx', 'aiohttp', not None"),
        ({"http2": True}, ValueError, "http2=True: aiohttp speaks HTTP/1.1 only"),
        ({"http1": False}, ValueError, "http1=False"),
        ({"transport": httpx.MockTransport(OK)}, ValueError, "transport together with"),
        ({"proxy": "socks5://a.test"}, ValueError, "socks5://"),
        ({"proxy": "https://a.test"}, ValueError, "https://"),
    ],
    ids=["unknown", "misspelt", "none", "http2", "no http1", "transport", "socks", "tls proxy"],
)
@pytest.mark.parametrize("face", ["manager", "client"])
def test_what_can_not_be_is_refused_at_once(face, settings, error, message):
    settings = {"http_backend": "aiohttp", "verify": _CONTEXT, **settings}
    given = ("https://a.test",) if face == "client" else ()
    kind = AsyncClient if face == "client" else AsyncConnectionManager
    with pytest.raises(error, match=message):
        kind(*given, **settings)


def test_a_proxy_of_the_environment_that_can_not_be(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://a.test")
    with pytest.raises(ValueError, match="trust_env=False"):
        AsyncConnectionManager(http_backend="aiohttp", verify=_CONTEXT)
    made(trust_env=False)


def test_blocking_clients_have_no_such_backend():
    with pytest.raises(ValueError, match=r"rest\.AsyncClient"):
        Client("https://a.test", http_backend="aiohttp")
    assert Client("https://a.test", http_backend="httpx")


def test_without_aiohttp_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ImportError, match=r"requests-connection-manager\[aiohttp\]"):
        made()


def test_the_rest_client_takes_it(server):
    server.route("/v1/x", reply(200, json={"id": 1}))

    async def main():
        options = {"http_backend": "aiohttp", "verify": _CONTEXT}
        async with AsyncClient(server.url("/v1"), **options) as client:
            sibling = client.with_options(max_retries=1)
            return [(await one.get("/x")).json() for one in (client, sibling)]

    assert asyncio.run(main()) == [{"id": 1}] * 2
    assert server.connections == 1


def test_trio_is_refused_when_it_is_met(server):
    manager = made()

    async def main():
        with pytest.raises(RuntimeError, match='on trio use http_backend="httpx"'):
            await manager.get(server.url())

    anyio.run(main, backend="trio")


# -- the same on the wire


async def pieces():
    yield b"abc"
    yield b""
    yield b"de"


SENT = {
    "plain": ("GET", "/a%2Fb/../c?x=%20y&z=a+b", {}),
    "not ascii": ("GET", "/ü?ö=ä", {}),
    "headers": (
        "GET",
        "/",
        {"headers": [("X-One", "1"), ("x-TWO", "a"), ("X-Two", "b"), ("Host", "other.test")]},
    ),
    "no body": ("POST", "/", {}),
    "json": ("POST", "/", {"json": {"a": "ü"}}),
    "form": ("PUT", "/", {"data": {"a": ["1", "2"]}}),
    "large": ("POST", "/", {"content": b"x" * 200_000}),
    "chunks": ("POST", "/", {"content": pieces}),
    "length": ("POST", "/", {"content": pieces, "headers": {"Content-Length": "5"}}),
    "head": ("HEAD", "/", {}),
    "target": ("OPTIONS", "/", {"extensions": {"target": b"*"}}),
    "own method": ("PURGE", "/", {}),
    "cookies": ("GET", "/", {"headers": {"Cookie": "a=1; b=2"}}),
    "close": ("GET", "/", {"headers": {"Connection": "close"}}),
}


@pytest.mark.parametrize("what", SENT)
def test_the_same_bytes_are_sent(raw, what):
    method, path, options = SENT[what]

    async def use(manager):
        content = options.get("content")
        own = {"content": content()} if callable(content) else {}
        assert (await manager.request(method, raw.origin + path, **{**options, **own})).is_success

    raw.answer = (OK if method != "HEAD" else OK[:-2],)
    for backend in BACKENDS:
        run(use, backend=backend)
    theirs, ours = raw.received
    assert ours == theirs


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Bad": "a\r\nX-Smuggled: 1"}},
        {"headers": {"X-Bad": " a"}},
        {"headers": {"X Bad": "a"}},
        {"headers": {"Content-Length": "x"}},
        {"headers": {"Transfer-Encoding": "gzip"}},
        {"headers": [("Host", "a.test"), ("Host", "b.test")]},
        {"extensions": {"target": b"/a b"}},
        {"content": b"abc", "headers": {"Content-Length": "2"}},
        {"content": b"abc", "headers": {"Content-Length": "4"}},
    ],
    ids=[
        *("injected", "white space", "name", "no length", "coding", "hosts", "target"),
        *("too much", "too little"),
    ],
)
def test_what_http_does_not_allow_is_not_sent(raw, options):
    async def use(manager):
        with pytest.raises(httpx.LocalProtocolError):
            await manager.post(raw.origin, **options)
        # The connection, if there is one, is not left half used.
        assert (await manager.get(raw.origin)).is_success

    run(use)


def test_bad_header_values_are_not_shown(raw):
    async def use(manager):
        with pytest.raises(httpx.LocalProtocolError, match="Illegal header value of b'X-Key'") as e:
            await manager.get(raw.origin, headers={"X-Key": "sesame\n"})
        assert "sesame" not in str(e.value)

    run(use)


@pytest.mark.parametrize("url", ["ftp://a.test/", "://a.test", "http://"])
def test_urls_that_can_not_be_fetched(url):
    async def kind(manager):
        with pytest.raises(httpx.TransportError) as caught:
            await manager.get(url)
        return type(caught.value)

    assert run(kind) is run(kind, backend="httpx")


# -- the same from the wire

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

ANSWERS = {
    "plain": [HEAD + b"Content-Length: 2\r\n\r\nhi"],
    "late body": [HEAD + b"Content-Length: 4\r\n\r\n", b"hi", b"ho"],
    "too long": [HEAD + b"Content-Length: 2\r\n\r\nhi and more"],
    "too short": [HEAD + b"Content-Length: 20\r\n\r\nhi"],
    "no bytes of it": [HEAD + b"Content-Length: 20\r\n\r\n"],
    "chunks": [CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"],
    "chunks with trailers": [CHUNKED + b"2;ext=1\r\nhi\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"],
    "broken chunk": [CHUNKED + b"zz\r\nhi\r\n"],
    "broken chunk later": [CHUNKED + b"2\r\nhi\r\n", b"zz\r\n"],
    "chunks end early": [CHUNKED + b"5\r\nhi"],
    "no last chunk": [CHUNKED + b"2\r\nhi\r\n"],
    "garbage": [b"garbage\r\n\r\n"],
    "nothing": [],
    "half a status line": [b"HTTP/1.1 200 O"],
    "half a head": [HEAD + b"Content-"],
    "bad header name": [HEAD + b"Bad Name: 1\r\n\r\n"],
    "bad header value": [HEAD + b"X-Bad: a\x01b\r\n\r\n"],
    "http/1.0": [b"HTTP/1.0 200 OK\r\n\r\nto the end"],
    "to the end": [HEAD + b"\r\n", b"to ", b"the end"],
    "informational": [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\nhi",
    ],
    "informational at once": [b"HTTP/1.1 100 C\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi"],
    "204": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "204 with a body": [b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi"],
    "304": [b"HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\n\r\n"],
    "999": [b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nhi"],
    "no reason": [b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi"],
    "latin-1": [b"HTTP/1.1 200 d\xe9j\xe0\r\nX-E: \xe9\r\nContent-Length: 2\r\n\r\nhi"],
    "repeated": [HEAD + b"Set-Cookie: a=1\r\nset-COOKIE: b=2\r\nContent-Length: 0\r\n\r\n"],
    "white space": [HEAD + b"X-A: \t a b \t\r\nX-B:\r\nContent-Length: 0\r\n\r\n"],
    "large head": [HEAD + b"X-A: " + b"a" * 50_000 + b"\r\nContent-Length: 0\r\n\r\n"],
    "larger head": [HEAD + b"X-A: " + b"a" * 500_000 + b"\r\nContent-Length: 0\r\n\r\n"],
    "many headers": [HEAD + b"X-A: a\r\n" * 1000 + b"Content-Length: 2\r\n\r\nhi"],
    "two lengths": [HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi"],
    "no length": [HEAD + b"Content-Length: x\r\n\r\nhi"],
    "packed": [HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nhi"],
    "an upgrade nobody asked for": [b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\n\r\n"],
}


async def seen(manager, url, method="GET"):
    """Return all that a caller sees of an answer, up to its error."""
    found = []
    try:
        async with manager.stream(method, url) as response:
            found += [response.status_code, response.http_version, response.reason_phrase]
            found += [response.headers.raw, response.extensions["reason_phrase"], b""]
            async for part in response.aiter_raw():
                found[-1] += part
    except httpx.TransportError as exc:
        found.append(type(exc))
    return found


@pytest.mark.parametrize("what", ANSWERS)
def test_the_same_answers_are_seen(raw, what):
    raw.answer, raw.hang_up = ANSWERS[what], True

    async def use(manager):
        return await seen(manager, raw.origin)

    assert run(use) == run(use, backend="httpx")


ENDLESS = {
    "head": HEAD + b"X-A: a\r\n" * 100_000,
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 10_000,
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_comes_before_a_body_has_an_end(raw, what):
    """It takes memory, of which a server could have any amount."""
    raw.answer = [ENDLESS[what]]

    async def use(manager):
        with pytest.raises(httpx.RemoteProtocolError):
            await manager.get(raw.origin)

    run(use, timeout=5)


@pytest.mark.parametrize("what", ["plain", "204 with a body", "chunks", "http/1.0"])
def test_the_same_answers_to_head_are_seen(raw, what):
    raw.answer, raw.hang_up = ANSWERS[what], True

    async def use(manager):
        return await seen(manager, raw.origin, "HEAD")

    assert run(use) == run(use, backend="httpx")


@pytest.mark.parametrize(
    "fault",
    [reset(), reset(after=3), disconnect(), close_delimited("to the end"), sized(3_000_000)],
    ids=["reset", "reset in the body", "disconnect", "close", "large"],
)
def test_the_same_ends_are_seen(server, fault):
    server.route("/", fault)

    async def use(manager):
        return await seen(manager, server.url())

    assert run(use) == run(use, backend="httpx")


def test_a_reset_is_no_proper_end_of_a_body(server):
    """Without a length, aiohttp takes every end of the connection for that of the body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection = listener.accept()[0]
            connection.recv(65536)
            connection.sendall(HEAD + b"\r\npart of it")
            asked.wait(10)
            linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()

        asked = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()

        async def use(manager):
            async with manager.stream("GET", f"http://127.0.0.1:{port}/") as response:
                parts = response.aiter_raw()
                assert await parts.__anext__() == b"part of it"
                asked.set()
                with pytest.raises(httpx.ReadError):
                    await parts.__anext__()

        port = listener.getsockname()[1]
        run(use)
        thread.join()


# -- nothing of aiohttp's own


def test_cookies_are_kept_once(server):
    server.route("/set", reply(200, headers={"Set-Cookie": "a=1"}))
    server.route("/", echo())

    async def use(manager):
        await manager.get(server.url("/set"))
        sent = (await manager.get(server.url())).json()["headers"]["cookie"]
        manager.cookies.clear()
        return sent, "cookie" in (await manager.get(server.url())).json()["headers"]

    assert run(use) == ("a=1", False)


def test_bodies_are_unpacked_once(server):
    server.route("/", gzip("text"))

    async def use(manager):
        async with manager.stream("GET", server.url()) as response:
            packed = b"".join([part async for part in response.aiter_raw()])
        return packed[:2], (await manager.get(server.url())).text

    assert run(use) == (b"\x1f\x8b", "text")


def test_redirects_are_the_clients(server):
    server.route("/", redirect("/next"))
    server.route("/next", reply(200))

    async def use(manager):
        left = await manager.get(server.url())
        followed = await manager.get(server.url(), follow_redirects=True)
        return left.status_code, [one.status_code for one in followed.history]

    assert run(use) == (302, [302])


def test_nothing_is_sent_again(server):
    """aiohttp would send a GET twice when a kept connection ends without an answer."""
    server.route("/", reply(200), disconnect())

    async def use(manager):
        await manager.get(server.url())
        with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected"):
            await manager.get(server.url())

    run(use)
    assert server.count() == 2


def test_a_proxy_for_http(server):
    server.route("/", lambda received: reply(200, body=received.target))

    async def use(manager):
        return (await manager.get("http://api.test/?a=b")).text

    proxy = server.origin.replace("://", "://u:p@")
    assert run(use, proxy=proxy) == "http://api.test/?a=b"
    received = server.requests[0]
    assert received.headers["host"] == "api.test"
    assert received.headers["proxy-authorization"] == "Basic dTpw"
    assert run(use, mounts={"http://": httpx.MockTransport(lambda _: httpx.Response(200))}) == ""


@pytest.mark.parametrize("own", [{}, {"Proxy-Authorization": "own"}], ids=["none", "own"])
def test_the_same_bytes_are_sent_to_a_proxy(raw, own):
    proxy = httpx.Proxy(raw.origin.replace("//", "//u:p@"), headers=[("X-P", "1"), ("x-P", "2")])

    async def use(manager):
        await manager.get("http://a.test:80/x?y=1", headers=own)

    for backend in BACKENDS:
        run(use, backend=backend, proxy=proxy)
    assert raw.received[0] == raw.received[1]


class Tunnel:
    """A proxy that knows ``CONNECT`` only."""

    def __init__(self, status):
        self.status = status
        self.heads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://u:p@127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            head = client.recv(65536)
            self.heads.append(head)
            client.sendall(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
            if not self.status.startswith(b"200"):
                client.close()
                continue
            port = int(head.split()[1].rpartition(b":")[2])
            server = socket.create_connection(("127.0.0.1", port))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass_on(source, target):
        with source, target:
            try:
                while True:
                    data = source.recv(65536)
                    if not data:
                        target.shutdown(socket.SHUT_RDWR)
                        return
                    target.sendall(data)
            except OSError:
                return


def test_a_proxy_for_https(tls):
    with FaultServer(ssl_context=tls.server_context()) as server, closing(
        Tunnel(b"200 Go on")
    ) as proxy:
        server.route("/", echo())

        async def use(manager):
            for _ in range(2):
                sent = (await manager.get(server.url())).json()["headers"]
            return "proxy-authorization" in sent

        settings = {"proxy": httpx.Proxy(proxy.origin, headers=[("X-P", "1"), ("X-P", "2")])}
        assert run(use, **settings, ssl_context=tls.client_context()) is False
    assert len(proxy.heads) == 1  # the tunnel is kept
    assert b"Proxy-Authorization: Basic dTpw\r\nX-P: 1\r\nX-P: 2\r\n" in proxy.heads[0]


def test_a_proxy_that_refuses(tls):
    with closing(Tunnel(b"407 Who are you")) as proxy:

        async def use(manager):
            with pytest.raises(httpx.ProxyError, match="407 Who are you"):
                await manager.get("https://api.test/")

        run(use, proxy=proxy.origin)


# -- time


class TestTimeouts:
    def test_connect(self):
        async def use(manager):
            with blackhole() as url, within(8), pytest.raises(httpx.ConnectTimeout):
                await manager.get(url.replace("http://", "https://"))  # no handshake of TLS

        run(use, timeout=httpx.Timeout(None, connect=0.5))

    @pytest.mark.parametrize("part", ["header", "body"])
    def test_total(self, server, part):
        server.route("/", drip(part, 0.05))

        async def use(manager):
            with within(8), pytest.raises(httpx.TimeoutException, match=r"total_timeout=0\.5"):
                await manager.get(server.url())

        run(use, total_timeout=0.5)
        wait_until(lambda: server.open_connections == 0)

    @pytest.mark.parametrize("part", ["header", "body"])
    def test_a_drip_is_no_silence(self, server, part):
        server.route("/", drip(part, 0.01, size=5))

        async def use(manager):
            return (await manager.get(server.url())).status_code

        assert run(use, read_timeout=5) == 200

    @pytest.mark.parametrize("part", ["header", "body"])
    def test_read(self, server, part):
        server.route("/", drip(part, 60))

        async def use(manager):
            with within(8), pytest.raises(httpx.ReadTimeout):
                await manager.get(server.url())

        run(use, read_timeout=0.5)

    def test_write(self):
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"

            async def endless():
                while True:
                    yield b"x" * 65536

            async def use(manager):
                for content in (b"x" * 50_000_000, endless()):
                    with within(8), pytest.raises(httpx.WriteTimeout):
                        await manager.post(url, content=content)

            run(use, timeout=httpx.Timeout(None, write=0.5))

    def test_pool(self, connections):
        async def use(manager):
            async with manager.stream("GET", connections.url()):
                with pytest.raises(httpx.PoolTimeout):
                    await manager.get(connections.url())
            return (await manager.get(connections.url())).text

        limits = httpx.Limits(max_connections=1)
        assert run(use, limits=limits, timeout=httpx.Timeout(None, pool=0.5)) == "1"

    def test_a_reader_may_take_its_time(self, server):
        """What arrives while nobody reads is no silence of the server's."""
        server.route("/", drip("body", 0.05, size=20))

        async def use(manager):
            async with manager.stream("GET", server.url()) as response:
                parts = response.aiter_raw()
                await parts.__anext__()
                await asyncio.sleep(2.5)
                return sum([len(part) async for part in parts])

        assert run(use, read_timeout=2) == 19


# -- connections


class TestPool:
    def test_a_connection_is_kept(self, connections):
        async def use(manager):
            return [(await manager.get(connections.url())).text for _ in range(3)]

        assert run(use) == ["1"] * 3
        wait_until(lambda: connections.open_connections == 0)

    def test_it_ends_when_it_was_idle_for_too_long(self, connections):
        async def use(manager):
            return [(await manager.get(connections.url())).text for _ in range(2)]

        assert run(use, limits=httpx.Limits(keepalive_expiry=0)) == ["1", "2"]

    def test_no_more_than_allowed_are_open(self, server):
        open_at_once = []

        def answer(received):
            open_at_once.append(server.open_connections)
            return reply(200)

        server.route("/", answer)

        async def use(manager):
            await asyncio.gather(*(manager.get(server.url()) for _ in range(40)))

        run(use, limits=httpx.Limits(max_connections=3))
        assert max(open_at_once) == 3
        assert server.connections == 3

    def test_idle_ones_to_others_count_too(self, connections):
        async def use(manager):
            with FaultServer() as other:
                other.route("/", reply(200))
                for url in (connections.url(), other.url(), connections.url()):
                    await manager.get(url)
                wait_until(lambda: other.open_connections == 0)

        run(use, limits=httpx.Limits(max_connections=1))
        assert connections.connections == 2

    def test_no_more_than_allowed_are_kept(self, connections):
        async def use(manager):
            await asyncio.gather(*(manager.get(connections.url()) for _ in range(5)))
            await anyio.to_thread.run_sync(wait_until, lambda: connections.open_connections == 2)

        run(use, limits=httpx.Limits(max_connections=5, max_keepalive_connections=2))

    def test_first_come_first_served(self, connections):
        served = []

        async def use(manager):
            async def ask(number):
                await manager.get(connections.url())
                served.append(number)

            async with manager.stream("GET", connections.url()):
                tasks = []
                for number in range(10):
                    tasks.append(asyncio.ensure_future(ask(number)))
                    await asyncio.sleep(0)
            await asyncio.gather(*tasks)

        run(use, limits=httpx.Limits(max_connections=1))
        assert served == list(range(10))

    @pytest.mark.parametrize("whole", [True, False])
    def test_a_body_that_is_not_read_ends_its_connection(self, server, whole):
        server.route("/", sized(10_000_000))

        async def use(manager):
            async with manager.stream("GET", server.url()) as response:
                async for _ in response.aiter_raw():
                    if not whole:
                        break
            await manager.get(server.url())

        run(use)
        assert server.connections == (1 if whole else 2)

    @pytest.mark.parametrize("how", ["response", "request"])
    def test_close_is_followed(self, connections, how):
        connections.route("/", reply(200, headers={"Connection": "close"} if how[2] == "s" else {}))

        async def use(manager):
            headers = {"Connection": "close"} if how == "request" else {}
            for _ in range(2):
                await manager.get(connections.url(), headers=headers)

        run(use)
        assert connections.connections == 2

    def test_one_that_died_while_the_program_slept(self, server):
        """The loop had no chance to see it; a POST must not go out on it."""
        server.route("/", dies_while_idle(reply(200)))

        async def use(manager):
            await manager.get(server.url())
            wait_until(lambda: server.open_connections == 0)  # blocks the loop
            return (await manager.post(server.url())).status_code

        assert run(use) == 200

    def test_garbage_while_idle(self, raw):
        async def use(manager):
            raw.answer = (OK, b"unasked")
            await manager.get(raw.origin)
            await asyncio.sleep(0.5)
            raw.answer = (OK,)
            return (await manager.post(raw.origin)).text

        assert run(use) == "{}"

    def test_closing_tells_those_who_wait(self, server):
        server.route("/", drip("body", 0.05))

        async def main():
            manager = made(limits=httpx.Limits(max_connections=1))
            async with manager.stream("GET", server.url()):
                waiting = asyncio.ensure_future(manager.get(server.url()))
                await asyncio.sleep(0.1)
                await manager.aclose()
                with pytest.raises(httpx.ConnectError):
                    await waiting

        asyncio.run(main())
        wait_until(lambda: server.open_connections == 0)

    def test_a_change_of_tls_leaves_streams_alone(self, server):
        server.route("/", sized(5_000_000))

        async def use(manager):
            async with manager.stream("GET", server.url()) as response:
                manager.set_ssl_context(ssl.create_default_context())
                await manager.get(server.url())
                return len(await response.aread())

        assert run(use, verify=True) == 5_000_000

    def test_one_loop_after_the_other(self, connections):
        manager = made()

        async def main():
            found = [(await manager.get(connections.url())).text for _ in range(2)]
            await manager.aclose() if found[0] == "3" else None
            manager._transport._connections and await manager._transport.aclose()
            return found

        assert [asyncio.run(main()) for _ in range(3)] == [["1"] * 2, ["2"] * 2, ["3"] * 2]


@pytest.mark.parametrize("steps", range(14))
def test_a_call_that_is_cancelled_leaves_nothing(server, steps):
    """Cancelled after so many turns of the loop: connecting, sending, reading, closing."""
    server.route("/", sized(300_000))

    async def use(manager):
        task = asyncio.ensure_future(manager.post(server.url(), content=pieces()))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        return (await manager.get(server.url())).status_code

    limits = httpx.Limits(max_connections=1)
    assert run(use, limits=limits, timeout=httpx.Timeout(None, pool=5)) == 200
    wait_until(lambda: server.open_connections == 0)


def test_those_who_wait_and_are_cancelled_leave_nothing(connections):
    async def use(manager):
        async with manager.stream("GET", connections.url()):
            waiting = [asyncio.ensure_future(manager.get(connections.url())) for _ in range(10)]
            await asyncio.sleep(0.05)
            for task in waiting[::2]:
                task.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        return [isinstance(one, asyncio.CancelledError) for one in done]

    assert run(use, limits=httpx.Limits(max_connections=1)) == [True, False] * 5
    assert connections.connections == 1


# -- bodies


class TestBodies:
    def test_a_large_upload(self, server):
        server.route("/", sink())

        async def large():
            for _ in range(100):
                yield b"x" * 100_000

        async def use(manager):
            await manager.post(server.url(), content=large())
            await manager.post(server.url(), files={"file": ("name", b"x" * 1_000_000)})

        run(use)
        assert server.requests[0].size == 10_000_000
        assert server.requests[1].size > 1_000_000

    def test_a_body_that_fails(self, server):
        server.route("/", reply(200))

        async def failing():
            yield b"part"
            raise KeyError("mine")

        async def use(manager):
            with pytest.raises(KeyError, match="mine"):
                await manager.post(server.url(), content=failing())
            return (await manager.get(server.url())).status_code

        assert run(use, limits=httpx.Limits(max_connections=1)) == 200
        assert server.count() == 1  # half a request is none

    def test_an_answer_before_the_end_of_the_body(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse():
                connection = listener.accept()[0]
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
                connection.close()

            async def endless():
                while True:
                    yield b"x" * 65536

            async def use(manager):
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
                response = await manager.post(url, content=endless())
                return response.status_code, response.text

            thread = threading.Thread(target=refuse)
            thread.start()
            assert run(use) == (413, "no")
            thread.join()

    def test_a_slow_reader_holds_the_server_up(self):
        sent = []

        def send(listener):
            connection = listener.accept()[0]
            connection.recv(65536)
            connection.settimeout(1)
            try:
                connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
                while len(sent) < 1000:
                    connection.sendall(b"x" * 1_000_000)
                    sent.append(1)
            except OSError:
                stuck.set()
            connection.close()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            stuck = threading.Event()
            thread = threading.Thread(target=send, args=(listener,))
            thread.start()

            async def use(manager):
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
                async with manager.stream("GET", url) as response:
                    parts = response.aiter_raw()
                    await parts.__anext__()
                    await anyio.to_thread.run_sync(stuck.wait, 10)

            run(use)
            thread.join()
        assert len(sent) < 100


# -- extensions


def test_what_is_told_of_the_connection(server, tls):
    with FaultServer(ssl_context=tls.server_context()) as secure:
        secure.route("/", reply(200))

        async def use(manager):
            response = await manager.get(secure.url())
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr") == (secure.host, secure.port)
            assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
            assert stream.get_extra_info("ssl_object").version().startswith("TLS")
            assert stream.get_extra_info("socket").fileno() > 0
            assert stream.get_extra_info("is_readable") is False

        run(use, ssl_context=tls.client_context())


def test_a_trace_hears_what_happens(server):
    server.route("/", reply(200))
    heard = []

    async def trace(name, info):
        heard.append(name)

    async def use(manager):
        for _ in range(2):
            await manager.get(server.url(), extensions={"trace": trace})

    run(use)
    exchange = [
        *("http11.send_request_headers.started", "http11.send_request_headers.complete"),
        *("http11.receive_response_headers.started", "http11.receive_response_headers.complete"),
    ]
    opening = ["connection.connect_tcp.started", "connection.connect_tcp.complete"]
    assert heard == opening + exchange + exchange


UNASKED = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "pieces", [[OK, UNASKED], [OK + UNASKED[:20], UNASKED[20:]]], ids=["later", "partly later"]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_comes_unasked_is_not_the_next_answer(raw, backend, pieces):
    """Servers that close idle connections say so before."""
    raw.answer = pieces

    async def use(manager):
        for _ in range(3):
            assert (await manager.get(raw.origin)).status_code == 200
            pool = getattr(manager._transport, "_connections", None)
            pool = manager._transport._pool if pool is None else pool._books
            with anyio.fail_after(8):
                while any(one.is_idle() and not one.has_expired() for one in pool.connections):  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(0.001)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()  # until the loop has read it too

    run(use, backend=backend, limits=httpx.Limits(keepalive_expiry=None))


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi"], ids=["head", "body"]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_the_client_ends_what_is_under_way(raw, backend, answer):
    raw.answer = [answer] if answer else []

    async def get(manager, begun):
        with pytest.raises(httpx.ReadError):  # noqa: PT012 - at either step
            async with manager.stream("GET", raw.origin) as response:
                async for _ in response.aiter_raw():
                    begun.set()

    async def use(manager):
        begun = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(get, manager, begun)
            if answer:
                await begun.wait()
            else:
                await anyio.to_thread.run_sync(wait_until, lambda: raw.received)
            await manager.aclose()

    run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_target_may_be_text(raw, backend):
    async def use(manager):
        await manager.options(raw.origin, extensions={"target": "*"})
        with pytest.raises(httpx.LocalProtocolError):
            await manager.get(raw.origin, extensions={"target": ""})

    run(use, backend=backend)
    assert [request.partition(b"\r\n")[0] for request in raw.received] == [b"OPTIONS * HTTP/1.1"]


def test_an_upgrade_is_refused(raw):
    raw.answer = [b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\n\r\nhello"]

    async def use(manager):
        headers = {"Connection": "Upgrade", "Upgrade": "echo"}
        with pytest.raises(httpx.RemoteProtocolError, match="another protocol"):
            await manager.get(raw.origin, headers=headers)

    run(use)


# -- errors


def test_retries_know_how_far_a_request_got(server, clock):
    """Never sent: any method is tried again; a certificate that is refused: none."""

    async def use(manager):
        with pytest.raises(MaxRetriesExceeded) as caught:
            await manager.post("http://127.0.0.1:1/")
        return len(caught.value.attempts), str(caught.value.__cause__)

    found = run(use, max_retries=2, clock=clock)
    assert found == (3, "All connection attempts failed")


def test_a_name_that_is_not_known():
    async def use(manager):
        with pytest.raises(httpx.ConnectError, match=r"Errno|not known") as caught:
            await manager.get("http://no-such-host.invalid/")
        assert isinstance(caught.value.__cause__, OSError)

    run(use)


def test_the_debug_mode_of_asyncio_finds_nothing(server):
    server.route("/", reply(200))

    async def main():
        async with made() as manager:
            await manager.get(server.url())

    asyncio.run(main(), debug=True)


# -- test doubles


@pytest.mark.parametrize("name", ["transport", "pool", "wrapped"])
def test_doubles_are_reached(monkeypatch, server, name):
    server.route("/", reply(200, body="real"))
    library = httpx.AsyncHTTPTransport.handle_async_request

    async def transport(self, request):
        return httpx.Response(200, text="double")

    async def pool(self, request):
        return httpcore.Response(200, content=b"double")

    async def wrapped(self, request):
        return await library(self, request)

    async def use(manager):
        found = [(await manager.get(server.url())).text]
        with monkeypatch.context() as patched:
            target = httpcore.AsyncConnectionPool if name == "pool" else httpx.AsyncHTTPTransport
            double = {"transport": transport, "pool": pool, "wrapped": wrapped}[name]
            patched.setattr(target, "handle_async_request", double)
            found.append((await manager.get(server.url())).text)
        return [*found, (await manager.get(server.url())).text]

    expected = "real" if name == "wrapped" else "double"
    assert run(use) == ["real", expected, "real"]
    wait_until(lambda: server.open_connections == 0)
