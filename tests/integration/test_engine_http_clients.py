"""What both HTTP clients of the engine do alike, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import ssl
import threading
from functools import partial
from http import HTTPStatus

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from drivers import wait_until, within

from requests_connection_manager import __version__
from requests_connection_manager.api_engine import AioHttpClient, HttpxHttpClient
from requests_connection_manager.exceptions import (
    AuthenticationError,
    ConnectionError,
    HTTPError,
    TimeoutError,
    TooManyRequests,
    ValidationError,
)
from requests_connection_manager.testing import (
    FaultServer,
    blackhole,
    close_delimited,
    dead_origin,
    dies_while_idle,
    disconnect,
    drip,
    echo,
    garbage,
    gzip,
    redirect,
    reply,
    reset,
    sink,
    truncate,
    truncated_chunks,
)

OK = reply(200, json={"ok": True})
# Loading the authorities takes longer than most tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# Generators of httpx's own are left to the garbage collector, which trio complains of.
HTTPX_ON_TRIO = pytest.mark.filterwarnings(
    "ignore:.*AsyncIteratorByteStream:pytest.PytestUnraisableExceptionWarning",
    "ignore:.*Response.aiter:pytest.PytestUnraisableExceptionWarning",
    "ignore:.*async generator:ResourceWarning",
)


class World:
    """A client's class and an event loop to run it on."""

    def __init__(self, kind, backend):
        self.kind, self.backend = kind, backend

    def client(self, **settings):
        return self.kind(**{"verify": NO_TLS, **settings})

    def run(self, function, *args):
        return anyio.run(function, *args, backend=self.backend)

    def call(self, method, url, *args, settings=None, **kwargs):
        """Make one request with a client of its own."""

        async def main():
            async with self.client(**(settings or {})) as client:
                return await client.request(method, url, *args, **kwargs)

        with within(10):
            return self.run(main)


WORLDS = {
    "aiohttp": (AioHttpClient, "asyncio"),
    "httpx": (HttpxHttpClient, "asyncio"),
    "httpx-trio": (HttpxHttpClient, "trio"),
}


@pytest.fixture(params=WORLDS)
def world(request):
    if request.param == "aiohttp":
        pytest.importorskip("aiohttp")
    return World(*WORLDS[request.param])


@pytest.fixture(scope="module", autouse=True)
def quick_collection():
    """Keep what is there already out of the many collections below."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_is_left_open(caplog):
    yield
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server():
    with FaultServer() as running:
        running.route("/", echo())
        yield running


class TestAnswers:
    def test_by_content_type(self, world, server):
        server.route("/json", reply(200, json=[1, {"a": None}]))
        server.route("/text", reply(200, body="Grüße"))
        server.route("/bytes", reply(200, body=b"\x00\xff", headers={"Content-Type": "image/png"}))
        server.route("/empty", reply(200))
        server.route("/204", reply(204))
        server.route("/end", close_delimited("all of it"))
        server.route("/gzip", gzip("text " * 1000))
        found = {
            path: world.call("GET", server.url(path))
            for path in ("/json", "/text", "/bytes", "/empty", "/204", "/end", "/gzip")
        }
        assert found == {
            "/json": [1, {"a": None}],
            "/text": "Grüße",
            "/bytes": b"\x00\xff",
            "/empty": None,
            "/204": None,
            "/end": "all of it",
            "/gzip": "text " * 1000,
        }

    def test_head_has_no_data(self, world, server):
        assert world.call("HEAD", server.url()) is None
        assert server.requests[0].method == "HEAD"

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, HTTPError),
            (401, AuthenticationError),
            (403, AuthenticationError),
            (404, HTTPError),
            (429, TooManyRequests),
            (500, HTTPError),
            (503, HTTPError),
        ],
    )
    def test_an_error_status(self, world, server, status, kind):
        headers = {"X-Trace-Id": "7", "Content-Type": "text/plain; charset=latin-1"}
        server.route("/", reply(status, body="caf\xe9".encode("latin-1"), headers=headers))
        with pytest.raises(kind) as caught:
            world.call("GET", server.url("/?token=secret&page=2"))
        error = caught.value
        assert type(error) is kind
        assert (error.status_code, error.body) == (status, "café")
        assert error.headers["x-trace-ID"] == "7"
        shown = f"GET {server.origin}/?token=[REDACTED]&page=2: status {status} "
        assert str(error) == f"{shown}{HTTPStatus(status).phrase}: café (request id 7)"
        assert (error.detail, error.request_id) == ("café", "7")

    def test_a_body_that_is_not_what_it_is_labelled(self, world, server):
        html = reply(200, body="<html>", headers={"Content-Type": "application/json"})
        server.route("/", html)
        with pytest.raises(ValidationError) as caught:
            world.call("GET", server.url())
        assert caught.value.body == "<html>"

    @HTTPX_ON_TRIO
    def test_a_body_that_is_not_compressed_as_it_is_labelled(self, world, server):
        server.route("/", reply(200, body="plain", headers={"Content-Encoding": "gzip"}))
        with pytest.raises(ValidationError, match="decompressed"):
            world.call("GET", server.url())

    def test_what_came_is_reported(self, world, server):
        server.route("/", reply(200, headers={"X-Quota": "7"}), reply(503))

        class Reporting(world.kind):
            def report(self, status_code, headers):
                seen.append((status_code, headers.get("x-quota")))

        seen = []
        world.kind = Reporting
        world.call("GET", server.url())
        with pytest.raises(HTTPError):
            world.call("GET", server.url())
        assert seen == [(200, "7"), (503, None)]


class TestRequests:
    def test_headers(self, world, server):
        settings = {"headers": {"X-Mine": "client", "X-Other": "client"}}
        seen = world.call("GET", server.url(), {"x-mine": "call"}, settings=settings)["headers"]
        assert (seen["x-mine"], seen["x-other"]) == ("call", "client")
        assert seen["user-agent"] == f"requests-connection-manager/{__version__}"
        assert "content-type" not in seen

    @pytest.mark.parametrize("where", ["client", "call"])
    def test_a_user_agent_of_ones_own(self, world, server, where):
        headers = {"user-agent": "mine/1"}
        settings = {"headers": headers} if where == "client" else {}
        given = headers if where == "call" else None
        seen = world.call("GET", server.url(), given, settings=settings)
        assert seen["headers"]["user-agent"] == "mine/1"

    def test_text_beyond_ascii_in_a_header(self, world, server):
        seen = world.call("GET", server.url(), {"X-Name": "Grüße"})["headers"]["x-name"]
        assert seen.encode("latin-1").decode("utf-8") == "Grüße"

    def test_params(self, world, server):
        url = server.url("/?x=1#part")
        params = {
            "tag": ["a b", "c&d"],
            "all": True,
            "none": None,
            "page": 2,
            "half": 0.5,
            "some": ("x", None, False),
        }
        query = world.call("GET", url, params=params)["query"]
        assert query == "x=1&tag=a+b&tag=c%26d&all=true&page=2&half=0.5&some=x&some=false"

    @pytest.mark.parametrize(
        ("params", "query"),
        [
            ({}, ""),
            ([("a", 1), ("a", 2)], "a=1&a=2"),
            ("a=1&b=x y", "a=1&b=x%20y"),
            ({"ü": "ß"}, "%C3%BC=%C3%9F"),
            ({"b": b"\xff"}, "b=%FF"),
        ],
    )
    def test_other_params(self, world, server, params, query):
        assert world.call("GET", server.url(), params=params)["query"] == query

    def test_a_url_is_sent_as_it_is(self, world, server):
        target = "/a%2Fb/%7Ec;v=1/(x)'!*@:?sig=a%3Ab%2Fc%2B&t=2020-01-01T00:00:00Z&u=/&p=a+b"
        server.route(target.partition("?")[0], OK)
        world.call("GET", server.url(target))
        assert server.requests[0].target == target

    def test_what_must_be_escaped_is(self, world, server):
        server.route("/gr%C3%BC%C3%9Fe%20%7B1%7D/100%25", OK)
        world.call("GET", server.url('/grüße {1}/100%?q="ü"&n=%zz'))
        assert server.requests[0].query == "q=%22%C3%BC%22&n=%25zz"

    def test_user_and_password_of_a_url(self, world, server):
        url = server.url().replace("//", "//us%40er:p%3Aw@")
        assert world.call("GET", url)["headers"]["authorization"] == "Basic dXNAZXI6cDp3"
        seen = world.call("GET", url, {"authorization": "Bearer t"})["headers"]
        assert seen["authorization"] == "Bearer t"

    def test_cookies_of_one_answer_are_not_in_the_next_request(self, world, server):
        server.route("/set", reply(200, json={}, headers={"Set-Cookie": "session=alice; Path=/"}))

        async def main():
            async with world.client() as client:
                await client.request("GET", server.url("/set"))
                return await client.request("GET", server.url(), {"Cookie": "mine=1"})

        assert world.run(main)["headers"]["cookie"] == "mine=1"

    def test_netrc_is_not_read(self, world, server, tmp_path, monkeypatch):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret")
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        assert "authorization" not in world.call("GET", server.url())["headers"]
        seen = world.call("GET", server.url(), {"Authorization": "Bearer t"})["headers"]
        assert seen["authorization"] == "Bearer t"

    @pytest.mark.parametrize("trust_env", [True, False])
    def test_a_proxy_of_the_environment(self, world, server, monkeypatch, trust_env):
        with FaultServer() as proxy:
            proxy.route("/", reply(200, json="by proxy"))
            monkeypatch.setenv("http_proxy", proxy.origin.replace("//", "//user:pw@"))
            settings = {"trust_env": trust_env}
            found = world.call("GET", server.url(), settings=settings)
            assert (found == "by proxy") is trust_env
            if trust_env:
                received = proxy.requests[0]
                assert received.headers["proxy-authorization"] == "Basic dXNlcjpwdw=="
                assert received.target == server.url()
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert world.call("GET", server.url(), settings=settings) != "by proxy"


class TestBadArguments:
    @pytest.mark.parametrize(
        ("error", "match", "kwargs"),
        [
            (TypeError, "method", {"method": 7}),
            (ValueError, "method", {"method": "GET /"}),
            (TypeError, "url", {"url": b"http://x"}),
            (ValueError, "url", {"url": "/relative"}),
            (ValueError, "url", {"url": "ftp://host/"}),
            (ValueError, "url", {"url": "http://"}),
            (ValueError, "url", {"url": "http://host:99999/"}),
            (ValueError, "url", {"url": "http://host:0/"}),
            (ValueError, "url", {"url": "http://[::1"}),
            (ValueError, "url", {"url": "http://\ud800.test/"}),
            (ValueError, "url", {"url": "http://a..b.test/"}),
            (TypeError, "headers", {"headers": [("a", "b")]}),
            (TypeError, "header 'a'", {"headers": {"a": 1}}),
            (ValueError, "header", {"headers": {"a b": "secret"}}),
            (ValueError, "header", {"headers": {"a": "secret\r\nx: y"}}),
            (ValueError, "header", {"headers": {"a": "secret\x00"}}),
            (ValueError, "header", {"headers": {"a": "secret\x1b"}}),
            (TypeError, "params", {"params": 7}),
            (TypeError, "params", {"params": ["a"]}),
            (TypeError, r"params\['a'\]", {"params": {"a": {"b": 1}}}),
            (TypeError, "data", {"data": 7}),
            (TypeError, r"data\['f'\]", {"data": {"f": io.BytesIO()}}),
            (TypeError, "data", {"data": [1]}),
            (TypeError, "json_payload", {"json_payload": {"a": object()}}),
            (ValueError, "json_payload", {"json_payload": [float("nan")]}),
            (ValueError, "json_payload", {"json_payload": "\ud800"}),
            (ValueError, "data or json_payload", {"data": b"x", "json_payload": 1}),
            (ValueError, "data or json_payload", {"data": {}, "json_payload": []}),
            (TypeError, "timeout", {"timeout": "5"}),
            (TypeError, "timeout", {"timeout": True}),
            (ValueError, "timeout", {"timeout": 0}),
            (ValueError, "timeout", {"timeout": float("nan")}),
        ],
    )
    def test_of_a_request(self, world, error, match, kwargs):
        given = {"method": "GET", "url": "http://host.test/", **kwargs}
        with pytest.raises(error, match=match) as caught:
            world.call(**given)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("error", "match", "settings"),
        [
            (TypeError, "default_timeout", {"default_timeout": "5"}),
            (ValueError, "default_timeout", {"default_timeout": 0}),
            (TypeError, "max_connections", {"max_connections": 1.5}),
            (ValueError, "max_connections", {"max_connections": 0}),
            (TypeError, "headers", {"headers": 7}),
            (ValueError, "headers", {"headers": {"a": "b\n"}}),
            (TypeError, "verify", {"verify": 7}),
            (FileNotFoundError, "No such file", {"verify": "/no/such/bundle.pem"}),
        ],
    )
    def test_of_a_client(self, world, error, match, settings):
        with pytest.raises(error, match=match):
            world.client(**settings)


class Unseekable(io.BytesIO):
    def seekable(self):
        return False


async def chunks_later():
    for chunk in (b"one ", "zwö ", b"", bytearray(b"three")):
        await anyio.lowlevel.checkpoint()
        yield chunk


class Again:
    """An iterable that begins anew each time."""

    def __iter__(self):
        return iter([b"one ", b"two"])


def received_with(server):
    received = server.requests[-1]
    return received.body, {
        name: received.headers.get(name)
        for name in ("content-type", "content-length", "transfer-encoding")
        if name in received.headers
    }


class TestBodies:
    @pytest.mark.parametrize(
        ("kwargs", "body", "content_type"),
        [
            ({"data": b"\x00"}, b"\x00", "application/octet-stream"),
            ({"data": bytearray(b"ab")}, b"ab", "application/octet-stream"),
            ({"data": "Grüße"}, "Grüße".encode(), "text/plain; charset=utf-8"),
            (
                {"data": {"a": [1, 2], "b": None, "c": True, "d": "x y"}},
                b"a=1&a=2&c=true&d=x+y",
                "application/x-www-form-urlencoded",
            ),
            ({"data": [("a", 1), ("a", 2)]}, b"a=1&a=2", "application/x-www-form-urlencoded"),
            (
                {"json_payload": {"a": "ü", "b": None}},
                '{"a":"ü","b":null}'.encode(),
                "application/json",
            ),
            ({"json_payload": []}, b"[]", "application/json"),
            ({"json_payload": 0}, b"0", "application/json"),
        ],
    )
    def test_whole(self, world, server, kwargs, body, content_type):
        world.call("POST", server.url(), **kwargs)
        headers = {"content-type": content_type, "content-length": str(len(body))}
        assert received_with(server) == (body, headers)

    @pytest.mark.parametrize("data", [None, {}, []])
    def test_none(self, world, server, data):
        world.call("POST", server.url(), data=data)
        assert received_with(server) == (b"", {"content-length": "0"})

    def test_a_content_type_of_ones_own(self, world, server):
        world.call("POST", server.url(), {"content-TYPE": "a/b"}, json_payload=1)
        assert server.requests[0].headers["content-type"] == "a/b"

    def test_a_file(self, world, server, tmp_path):
        path = tmp_path / "upload"
        path.write_bytes(b"skip" + b"x" * 200_000)
        with open(path, "rb") as file:
            file.seek(4)
            world.call("PUT", server.url(), data=file)
            assert not file.closed
        body, headers = received_with(server)
        assert body == b"x" * 200_000
        assert headers["content-length"] == "200000"

    def test_a_large_file(self, world, server):
        server.route("/", sink())
        file = io.BytesIO(bytes(20_000_000))
        assert world.call("PUT", server.url(), data=file) == {"size": 20_000_000}

    def test_a_text_file(self, world, server, tmp_path):
        path = tmp_path / "upload"
        path.write_text("Grüße", encoding="utf-16")
        with open(path, encoding="utf-16") as file:
            world.call("PUT", server.url(), data=file)
        body, headers = received_with(server)
        assert (body.decode(), headers["transfer-encoding"]) == ("Grüße", "chunked")

    @pytest.mark.parametrize(
        ("make", "body"),
        [
            (lambda: (chunk for chunk in [b"one ", "zwö ", b"", b"three"]), "one zwö three"),
            (lambda: iter([b"a", memoryview(b"b")]), "ab"),
            (Again, "one two"),
            (chunks_later, "one zwö three"),
            (lambda: Unseekable(b"from a pipe"), "from a pipe"),
        ],
    )
    def test_of_unknown_length(self, world, server, make, body):
        world.call("POST", server.url(), data=make())
        expected = {
            "content-type": "application/octet-stream",
            "transfer-encoding": "chunked",
        }
        assert received_with(server) == (body.encode(), expected)

    def test_an_asynchronous_file(self, world, server, tmp_path):
        path = tmp_path / "upload"
        path.write_bytes(b"content")

        async def main():
            async with world.client() as client, await anyio.open_file(path, "rb") as file:
                await client.request("POST", server.url(), data=file)

        world.run(main)
        assert server.requests[0].body == b"content"

    def test_is_read_on_a_worker_thread(self, world, server):
        threads = []

        class File(io.BytesIO):
            def read(self, *args):
                threads.append(threading.current_thread())
                return super().read(*args)

        def generate():
            threads.append(threading.current_thread())
            yield b"x"

        world.call("POST", server.url(), data=File(b"x"))
        world.call("POST", server.url(), data=generate())
        assert threads
        assert threading.current_thread() not in threads

    @pytest.mark.parametrize("kind", ["file", "generator", "later"])
    def test_what_it_raises_reaches_the_caller(self, world, server, kind):
        class Trouble(Exception):
            pass

        class File(io.BytesIO):
            def read(self, *args):
                raise Trouble

        def generate():
            yield b"x"
            raise Trouble

        async def later():
            yield b"x"
            raise Trouble

        data = {"file": File(b"xx"), "generator": generate(), "later": later()}[kind]
        with pytest.raises(Trouble):
            world.call("POST", server.url(), data=data)

    def test_an_os_error_of_it_is_no_network_error(self, world, server):
        class File(io.BytesIO):
            def read(self, *args):
                raise OSError(5, "Input/output error")

        with pytest.raises(OSError, match="Input/output"):
            world.call("POST", server.url(), data=File(b"xx"))

    def test_that_gives_nonsense(self, world, server):
        with pytest.raises(TypeError, match="data must give bytes or str, not a int"):
            world.call("POST", server.url(), data=iter([1]))

    def test_a_file_that_shrinks(self, world, server):
        class File(io.BytesIO):
            def read(self, *args):
                return b""

        with pytest.raises(ValueError, match="data ended 2 bytes too early"):
            world.call("POST", server.url(), data=File(b"xx"))

    def test_a_file_that_grows_is_sent_as_it_was(self, world, server):
        class File(io.BytesIO):
            def read(self, *args):
                return b"0123456789"

        world.call("POST", server.url(), data=File(b"xx"))
        assert server.requests[0].body == b"01"

    def test_one_that_never_comes(self, world, server):
        forever = threading.Event()

        def generate():
            forever.wait(10)
            yield b"x"

        async def later():
            try:
                await anyio.sleep_forever()
                yield b"x"
            finally:
                finished.append(True)

        finished = []
        try:
            for data in (generate(), later()):
                with pytest.raises(TimeoutError):
                    world.call("POST", server.url(), data=data, timeout=0.2)
        finally:
            forever.set()
        assert finished == [True]

    def test_one_that_is_cut_short_is_not_taken_for_whole(self, world, server):
        async def later():
            yield b"half"
            await anyio.sleep_forever()

        server.route("/", sink())
        with pytest.raises(TimeoutError):
            world.call("POST", server.url(), data=later(), timeout=0.1)
        wait_until(lambda: server.open_connections == 0)
        assert server.count() == 0

    def test_one_that_nobody_wants(self, world, server):
        """The answer comes at once; the rest of the body is not waited for."""

        async def later():
            yield b"x"
            await anyio.sleep(0.05)
            yield b"y"

        with FaultServer() as refusing:
            refusing.route("/", echo())
            world.call("POST", refusing.url(), data=later())


class TestRedirects:
    @pytest.mark.parametrize(
        ("status", "method", "then"),
        [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (302, "PUT", "GET"),
            (301, "PUT", "PUT"),
            (303, "PUT", "GET"),
            (303, "HEAD", "HEAD"),
            (307, "POST", "POST"),
            (308, "PATCH", "PATCH"),
        ],
    )
    def test_methods(self, world, server, status, method, then):
        server.route("/old/x", redirect("../?a=1", status))
        world.call(method, server.url("/old/x"), data=None if method == "HEAD" else b"body")
        last = server.requests[-1]
        assert (last.method, last.query) == (then, "a=1")
        assert last.body == (b"body" if then not in ("GET", "HEAD") else b"")
        assert ("content-length" in last.headers) == (then not in ("GET", "HEAD"))

    @pytest.mark.parametrize("make", [lambda: io.BytesIO(b"skip body"), Again])
    def test_a_body_is_sent_again_from_where_it_was(self, world, server, make):
        data = make()
        if isinstance(data, io.BytesIO):
            data.seek(5)
        server.route("/old", redirect("/", 307))
        world.call("POST", server.url("/old"), data=data)
        first, second = server.requests
        assert first.body == second.body != b""

    @pytest.mark.parametrize("make", [lambda: iter([b"x"]), chunks_later])
    def test_a_body_that_is_gone(self, world, server, make):
        server.route("/old", redirect("/", 307))
        with pytest.raises(HTTPError, match="can't be followed") as caught:
            world.call("POST", server.url("/old"), data=make())
        assert caught.value.status_code == 307
        assert caught.value.headers["location"] == "/"
        assert server.count("/") == 0

    def test_to_another_origin_nothing_secret_is_taken_along(self, world, server):
        headers = {
            "Authorization": "Bearer secret",
            "Cookie": "secret=1",
            "X-Api-Key": "secret",
            "X-Session-Token": "secret",
            "X-Harmless": "1",
            "Host": "fancy.test",
        }
        with FaultServer() as other:
            other.route("/", echo())
            server.route("/old", redirect(other.url()))
            seen = world.call("GET", server.url("/old"), headers)["headers"]
            assert seen["host"] == f"{other.host}:{other.port}"
        assert "secret" not in str(seen)
        assert seen["x-harmless"] == "1"
        first = server.requests[0].headers
        assert (first["x-api-key"], first["host"]) == ("secret", "fancy.test")

    def test_to_the_same_origin_credentials_stay(self, world, server):
        server.route("/old", redirect("/"))
        headers = {"Authorization": "Bearer secret", "X-Api-Key": "secret"}
        seen = world.call("GET", server.url("/old"), headers)["headers"]
        assert (seen["authorization"], seen["x-api-key"]) == ("Bearer secret", "secret")

    def test_credentials_of_a_location_are_used_there(self, world, server):
        target = server.url().replace("//", "//user:pw@")
        server.route("/old", redirect(target))
        assert world.call("GET", server.url("/old"))["path"] == "/"

    def test_without_end(self, world, server):
        server.route("/", redirect("/"))
        with pytest.raises(HTTPError) as caught:
            world.call("GET", server.url())
        assert caught.value.status_code == 302
        assert server.count() == 21

    @pytest.mark.parametrize("location", ["ftp://host/", "http://", "http://host:99999/", "//[::1"])
    def test_to_nowhere(self, world, server, location):
        server.route("/", redirect(location, 301))
        with pytest.raises(HTTPError, match="can't be followed") as caught:
            world.call("GET", server.url())
        assert caught.value.status_code == 301

    def test_that_are_not_wanted(self, world, server):
        server.route("/old", redirect("/"))
        settings = {"follow_redirects": False}
        assert world.call("GET", server.url("/old"), settings=settings) is None
        assert server.count() == 1

    def test_without_a_location(self, world, server):
        server.route("/", reply(302, json={"choose": []}))
        assert world.call("GET", server.url()) == {"choose": []}

    def test_a_hop_that_fails_does_not_unsend_the_first(self, world, server):
        with dead_origin() as origin:
            server.route("/", redirect(origin, 303))
            with pytest.raises(ConnectionError) as caught:
                world.call("POST", server.url(), data=b"order")
        assert caught.value.sent is True

    def test_a_signed_location_is_followed_as_it_is(self, world, server):
        server.route("/old", redirect("/?sig=a%3Ab%2Fc%7E&x=%20"))
        world.call("GET", server.url("/old"))
        assert server.requests[-1].query == "sig=a%3Ab%2Fc%7E&x=%20"


class TestTrouble:
    def test_nobody_listens(self, world):
        with dead_origin() as origin, pytest.raises(ConnectionError) as caught:
            world.call("POST", origin + "/?token=secret", data=b"x")
        assert caught.value.sent is False
        assert caught.value.__cause__ is not None
        assert "secret" not in str(caught.value)
        assert "[REDACTED]" in str(caught.value)

    def test_a_name_that_is_none(self, world):
        with pytest.raises(ConnectionError) as caught:
            world.call("GET", "http://no-such-host.invalid/")
        assert caught.value.sent is False

    @pytest.mark.parametrize(
        "fault",
        [
            reset(),
            disconnect(),
            reset(after=10),
            truncate(),
            truncated_chunks(),
            truncated_chunks(inside=True),
            garbage(),
        ],
        ids=lambda fault: fault.name,
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_the_connection_breaks(self, world, server, fault, method):
        server.route("/", fault)
        with pytest.raises(ConnectionError) as caught:
            world.call(method, server.url())
        assert caught.value.sent is True
        assert caught.value.stale is False
        assert caught.value.__cause__ is not None
        assert server.count() == 1  # no retry of the library's own

    @pytest.mark.parametrize("with_reset", [False, True])
    def test_a_kept_connection_that_dies_is_told_apart(self, world, server, with_reset):
        server.route("/", dies_while_idle(OK, when="next", with_reset=with_reset), OK)

        async def main():
            async with world.client() as client:
                await client.request("GET", server.url())
                with pytest.raises(ConnectionError) as caught:
                    await client.request("GET", server.url())
                assert (caught.value.sent, caught.value.stale) == (True, True)
                assert await client.request("GET", server.url()) == {"ok": True}

        world.run(main)
        assert server.count() == 3

    def test_nonsense_on_a_kept_connection_is_no_stale_one(self, world, server):
        server.route("/", OK, garbage())

        async def main():
            async with world.client() as client:
                await client.request("GET", server.url())
                with pytest.raises(ConnectionError) as caught:
                    await client.request("GET", server.url())
                assert caught.value.stale is False

        world.run(main)

    def test_connections_are_kept(self, world, server):
        async def main():
            async with world.client() as client:
                for _ in range(5):
                    await client.request("POST", server.url(), json_payload={"a": 1})

        world.run(main)
        assert server.connections == 1


class TestTimeouts:
    @pytest.mark.parametrize("part", ["status", "header", "chunk", "body"])
    def test_a_dripping_server(self, world, server, part):
        server.route("/", drip(part, 0.02, size=1000))
        # Long enough to connect on a busy machine: only what comes after is the server's doing.
        with within(10), pytest.raises(TimeoutError) as caught:
            world.call("GET", server.url(), timeout=0.5)
        assert caught.value.sent is True
        assert "0.5 s" in str(caught.value)

    def test_the_default(self, world):
        with blackhole() as origin, pytest.raises(TimeoutError) as caught:
            world.call("GET", origin, settings={"default_timeout": 0.5})
        assert caught.value.sent is True

    def test_none_at_all(self, world, server):
        assert world.call("GET", server.url(), settings={"default_timeout": None})

    def test_over_redirects(self, world, server):
        server.route("/", lambda received: redirect("/", 302).delayed(0.06))
        with within(8), pytest.raises(TimeoutError):
            world.call("GET", server.url(), timeout=0.2)

    def test_waiting_for_a_connection_of_the_pool(self, world):
        async def main():
            with blackhole() as origin:
                client = world.client(max_connections=1)
                async with client, anyio.create_task_group() as group:
                    group.start_soon(swallow, client, origin)
                    await anyio.sleep(0.1)
                    with pytest.raises(TimeoutError) as caught:
                        await client.request("GET", origin, timeout=0.1)
            assert caught.value.sent is False

        world.run(main)

    def test_while_the_handshake_hangs(self, world):
        with blackhole() as origin, pytest.raises(TimeoutError) as caught:
            world.call("GET", origin.replace("http:", "https:"), timeout=0.2)
        assert caught.value.sent is False

    def test_the_next_request_gets_a_clean_connection(self, world, server):
        server.route("/slow", drip("body", 0.02))

        async def main():
            async with world.client() as client:
                with pytest.raises(TimeoutError):
                    await client.request("GET", server.url("/slow"), timeout=0.1)
                return await client.request("GET", server.url())

        assert world.run(main)["connection"] == 2


async def swallow(client, url):
    with pytest.raises(TimeoutError):
        await client.request("GET", url, timeout=0.4)


class TestCancellation:
    @pytest.mark.parametrize("part", ["header", "body"])
    def test_passes_and_leaves_nothing(self, world, server, part):
        server.route("/slow", drip(part, 0.02, size=1000))

        async def main():
            async with world.client() as client:
                with anyio.move_on_after(0.1) as scope:
                    await client.request("GET", server.url("/slow"))
                assert scope.cancelled_caught
                await anyio.to_thread.run_sync(wait_until, lambda: server.open_connections == 0)
                assert (await client.request("GET", server.url()))["connection"] == 2

        with within(5):
            world.run(main)

    @HTTPX_ON_TRIO
    def test_while_a_body_is_sent(self, world):
        async def main():
            with blackhole() as origin:
                async with world.client() as client:
                    with anyio.move_on_after(0.1) as scope:
                        await client.request("PUT", origin, data=io.BytesIO(bytes(50_000_000)))
                    assert scope.cancelled_caught

        with within(5):
            world.run(main)


class TestTls:
    @pytest.fixture(autouse=True)
    def no_bundle_of_the_environment(self, monkeypatch):
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)

    @pytest.fixture
    def secure(self, tls):
        with FaultServer(ssl_context=tls.server_context()) as running:
            running.route("/", echo())
            yield running

    def test_an_unknown_authority(self, world, secure):
        with pytest.raises(ConnectionError) as caught:
            world.call("POST", secure.url(), data=b"x", settings={"verify": True})
        assert caught.value.sent is False
        chain, error = [], caught.value
        while error is not None and error not in chain:
            chain.append(error)
            error = error.__cause__ or error.__context__
        assert any(isinstance(one, ssl.CertificateError) for one in chain)
        assert secure.count() == 0

    def test_a_context(self, world, secure, tls):
        settings = {"verify": tls.client_context()}
        assert world.call("GET", secure.url(), settings=settings)["path"] == "/"

    def test_a_bundle(self, world, secure, tls, tmp_path):
        bundle = tmp_path / "ca.pem"
        tls._ca.cert_pem.write_to_path(str(bundle))
        settings = {"verify": str(bundle)}
        assert world.call("GET", secure.url(), settings=settings)["path"] == "/"

    def test_none(self, world, secure, caplog):
        assert world.call("GET", secure.url(), settings={"verify": False})["path"] == "/"
        assert "verify=False" in caplog.text

    def test_to_plain_http_nothing_secret_is_taken_along(self, world, secure, server, tls):
        secure.route("/old", redirect(server.url()))
        settings = {"verify": tls.client_context()}
        headers = {"Authorization": "Bearer s", "X-Api-Key": "s"}
        seen = world.call("GET", secure.url("/old"), headers, settings=settings)["headers"]
        assert {"authorization", "x-api-key"} & set(seen) == set()

    def test_a_timeout_leaves_no_transport(self, world, secure, tls):
        secure.route("/slow", drip("body", 0.02))
        with pytest.raises(TimeoutError):
            world.call(
                "GET",
                secure.url("/slow"),
                timeout=0.3,
                settings={"verify": tls.client_context()},
            )

    def test_a_tunnel_that_is_refused_has_sent_nothing(self, world, monkeypatch):
        with FaultServer() as proxy:
            monkeypatch.setenv("https_proxy", proxy.origin)
            with pytest.raises(ConnectionError) as caught:
                world.call("POST", "https://host.test/", data=b"x")
        assert caught.value.sent is False


class TestLives:
    """How clients and loops end; the fixture above looks for what is left open."""

    @pytest.fixture(params=[False, True], ids=["plain", "tls"])
    def served(self, request, tls):
        context = tls.server_context() if request.param else None
        with FaultServer(ssl_context=context) as running:
            running.route("/", echo())
            running.route("/slow", reply(200, delay=5))
            yield running

    @pytest.fixture
    def make(self, world, tls):
        return partial(world.kind, verify=tls.client_context())

    def test_the_run_ends_without_close(self, world, make, served):
        async def main():
            await make().request("GET", served.url())

        world.run(main)
        wait_until(lambda: served.open_connections == 0)

    def test_the_run_ends_while_the_client_lives_on(self, world, make, served):
        client = make()

        async def main():
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(client.request, "GET", served.url())

        for _ in range(2):
            world.run(main)
            wait_until(lambda: served.open_connections == 0)

    def test_the_run_ends_by_an_error(self, world, make, served):
        async def main():
            await make().request("GET", served.url())
            raise KeyError

        with pytest.raises(KeyError):
            world.run(main)

    def test_the_run_ends_with_a_request_under_way(self, world, make, served):
        async def main():
            async with anyio.create_task_group() as group:
                group.start_soon(make().request, "GET", served.url("/slow"))
                await anyio.sleep(0.2)
                group.cancel_scope.cancel()

        with within(8):
            world.run(main)

    def test_closed(self, world, make, served):
        async def main():
            client = make()
            await client.request("GET", served.url())
            await client.close()
            await client.close()
            with pytest.raises(RuntimeError, match="closed for good; make a new one"):
                await client.request("GET", served.url())
            await anyio.to_thread.run_sync(wait_until, lambda: served.open_connections == 0)

        world.run(main)

    def test_closed_before_it_was_used(self, world, make):
        async def main():
            async with make():
                pass

        world.run(main)

    def test_closed_by_two_at_once(self, world, make, served):
        async def main():
            client = make()
            await client.request("GET", served.url())
            async with anyio.create_task_group() as group:
                group.start_soon(client.close)
                group.start_soon(client.close)

        world.run(main)

    def test_dropped_while_the_loop_goes_on(self, world, make, served):
        async def main():
            client = make()
            await client.request("GET", served.url())
            del client
            gc.collect()
            if world.backend == "asyncio":  # trio closes it when the run ends
                await anyio.to_thread.run_sync(wait_until, lambda: served.open_connections == 0)

        world.run(main)

    def test_two_loops_at_once(self, world, make, served):
        client = make()
        meet = threading.Barrier(2)
        errors = []

        async def main():
            first = await client.request("GET", served.url())
            await anyio.to_thread.run_sync(meet.wait, 5)
            second = await client.request("GET", served.url())
            assert first["connection"] == second["connection"]

        def loop():
            try:
                world.run(main)
            except BaseException as exc:
                errors.append(exc)

        threads = [threading.Thread(target=loop) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert served.connections == 2

    def test_closed_from_another_loop(self, world, make, served):
        client = make()
        used, closed = threading.Event(), threading.Event()

        async def use():
            await client.request("GET", served.url())
            used.set()
            await anyio.to_thread.run_sync(closed.wait, 5)
            with pytest.raises(RuntimeError, match="closed"):
                await client.request("GET", served.url())
            if world.backend == "asyncio":
                await anyio.to_thread.run_sync(wait_until, lambda: served.open_connections == 0)

        thread = threading.Thread(target=world.run, args=(use,))
        thread.start()
        used.wait(5)
        world.run(client.close)
        closed.set()
        thread.join(5)
        assert not thread.is_alive()
        wait_until(lambda: served.open_connections == 0)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_fork(self, world, make, served):
        """The child opens its own connection, and the parent's goes on working."""

        async def main():
            client = make()
            before = await client.request("GET", served.url())
            pid = os.fork()
            if pid == 0:
                os._exit(_in_child(client))
            _, status = await anyio.to_thread.run_sync(os.waitpid, pid, 0)
            assert status == 0
            after = await client.request("GET", served.url())
            assert after["connection"] == before["connection"]

        def _in_child(client):
            try:
                # What a child does at its end: drop everything it has inherited.
                from requests_connection_manager.api_engine import _per_loop

                assert all(held.inherited for held in _per_loop._alive)
                _per_loop._forget_all()
                gc.collect()
                return 0
            except BaseException:
                return 1

        world.run(main)


class TestOfHttpx:
    """A client of the user's own."""

    @pytest.fixture(params=["asyncio", "trio"])
    def run(self, request):
        return lambda function: anyio.run(function, backend=request.param)

    def test_is_used_as_it_is_and_not_closed(self, run, server):
        import httpx

        async def main():
            own = {"User-Agent": "mine/1", "X-Mine": "1"}
            async with httpx.AsyncClient(headers=own, cookies={"c": "1"}) as inner:
                async with HttpxHttpClient(client=inner) as client:
                    seen = (await client.request("GET", server.url()))["headers"]
                assert not inner.is_closed
                assert (seen["user-agent"], seen["x-mine"], seen["cookie"]) == (
                    "mine/1",
                    "1",
                    "c=1",
                )
                with pytest.raises(RuntimeError, match="closed"):
                    await client.request("GET", server.url())

        run(main)

    def test_its_own_timeouts_count_too(self, run):
        import httpx

        async def main():
            with blackhole() as origin:
                async with httpx.AsyncClient(timeout=0.5) as inner:
                    with pytest.raises(TimeoutError) as caught:
                        await HttpxHttpClient(client=inner).request("GET", origin)
                    assert caught.value.sent is True

        with within(8):
            run(main)

    def test_a_manager_with_policies_of_its_own(self, run, server, clock):
        from requests_connection_manager import AsyncConnectionManager, MaxRetriesExceeded

        server.route("/", reset())

        async def main():
            async with AsyncConnectionManager(max_retries=2, clock=clock, verify=NO_TLS) as inner:
                client = HttpxHttpClient(client=inner)
                with pytest.raises(MaxRetriesExceeded):
                    await client.request("GET", server.url())
                with pytest.raises(ConnectionError):  # a generator is not sent twice
                    await client.request("PUT", server.url(), data=iter([b"x"]))

        run(main)
        assert server.count() == 4

    def test_a_transport_without_a_network(self, run):
        import httpx

        def answer(request):
            if request.url.path == "/loop":
                return httpx.Response(302, headers={"Location": "/loop"})
            raise httpx.ConnectError("down", request=request)

        async def main():
            transport = httpx.MockTransport(answer)
            async with httpx.AsyncClient(transport=transport) as inner:
                client = HttpxHttpClient(client=inner)
                with pytest.raises(HTTPError) as redirected:
                    await client.request("GET", "http://api.test/loop")
                assert redirected.value.status_code == 302
                with pytest.raises(ConnectionError) as refused:
                    await client.request("GET", "http://api.test/")
                assert refused.value.sent is False

        run(main)

    def test_something_else(self):
        with pytest.raises(TypeError, match=r"client must be an httpx\.AsyncClient, not a str"):
            HttpxHttpClient(client="http://host")


def test_a_notebook_whose_loop_never_ends(world, server):
    """What a loop leaves that is stopped and dropped is no error when the interpreter ends."""
    if world.backend == "trio":
        pytest.skip("a run of trio always ends")
    import subprocess
    import sys

    code = f"""
import asyncio
from requests_connection_manager.api_engine import {world.kind.__name__} as Client
client = Client()
loop = asyncio.new_event_loop()
print(loop.run_until_complete(client.request("GET", {server.url()!r}))["path"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("/\n", "")


def test_a_loop_that_was_closed_without_its_last_rites(world, server):
    if world.backend == "trio":
        pytest.skip("a run of trio always ends in order")
    client = world.client()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.request("GET", server.url()))
    loop.run_until_complete(client.close())
    loop.close()
    with pytest.raises(RuntimeError, match="closed for good"):
        world.run(client.request, "GET", server.url())
