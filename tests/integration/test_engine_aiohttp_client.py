"""What only the aiohttp client of the engine has."""

from __future__ import annotations

import asyncio
import gc
import io
import ssl
import subprocess
import sys

import anyio
import pytest
from drivers import within

from requests_connection_manager.exceptions import ConnectionError
from requests_connection_manager.testing import FaultServer, blackhole, echo, redirect, reply

aiohttp = pytest.importorskip("aiohttp")

from requests_connection_manager.api_engine import AioHttpClient  # noqa: E402 - as above

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(autouse=True)
def nothing_is_left_open(caplog):
    yield
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture
def server():
    with FaultServer() as running:
        running.route("/", echo())
        yield running


def call(*args, **kwargs):
    async def main():
        async with AioHttpClient(verify=NO_TLS) as client:
            return await client.request(*args, **kwargs)

    with within(10):
        return asyncio.run(main())


def python(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.strip()


class TestLoading:
    def test_names_load_no_library(self):
        code = """
import sys
import requests_connection_manager.api_engine as engine
print({"aiohttp", "httpx"} & set(sys.modules), end=" ")
from requests_connection_manager.api_engine import AioHttpClient
print({"aiohttp", "httpx"} & set(sys.modules), end=" ")
AioHttpClient()
print({"aiohttp", "httpx"} & set(sys.modules))
"""
        assert python(code) == "set() set() {'aiohttp'}"

    def test_without_aiohttp(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        with pytest.raises(ImportError, match=r"requests-connection-manager\[aiohttp\]"):
            AioHttpClient()


def test_trio_is_told_where_to_go(server):
    client = AioHttpClient(verify=NO_TLS)

    async def main():
        async with client:
            await client.request("GET", server.url())

    with pytest.raises(RuntimeError, match="use HttpxHttpClient"):
        anyio.run(main, backend="trio")


class TestForms:
    def test_with_files(self, server):
        async def main():
            form = aiohttp.FormData({"name": "x"})
            form.add_field("file", io.BytesIO(b"content"), filename="a.txt")
            async with AioHttpClient(verify=NO_TLS) as client:
                return await client.request("POST", server.url(), data=form)

        seen = asyncio.run(main())
        assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
        assert "content" in seen["body"]

    def test_are_not_sent_twice(self, server):
        from requests_connection_manager.api_engine._body import is_replayable
        from requests_connection_manager.exceptions import HTTPError

        server.route("/old", redirect("/", 307))

        async def main():
            form = aiohttp.FormData({"name": "x"})
            assert not is_replayable(form)
            async with AioHttpClient(verify=NO_TLS) as client:
                await client.request("POST", server.url("/old"), data=form)

        with pytest.raises(HTTPError, match="can't be followed"):
            asyncio.run(main())


class TestClosing:
    def test_ends_what_is_under_way(self):
        async def main():
            with blackhole() as origin:
                client = AioHttpClient(verify=NO_TLS)
                request = asyncio.ensure_future(client.request("GET", origin))
                await asyncio.sleep(0.1)
                await client.close()
                with pytest.raises(ConnectionError):
                    await request

        with within(8):
            asyncio.run(main())

    def test_ends_what_waits_for_a_connection(self):
        async def main():
            with blackhole() as origin:
                client = AioHttpClient(max_connections=1, verify=NO_TLS)
                requests = [asyncio.ensure_future(client.request("GET", origin)) for _ in range(3)]
                await asyncio.sleep(0.1)
                await client.close()
                results = await asyncio.gather(*requests, return_exceptions=True)
            assert [type(one).__name__ for one in results] == ["ConnectionError"] * 3

        with within(8):
            asyncio.run(main())

    def test_a_cancelled_close_leaves_nothing(self, server):
        async def main():
            client = AioHttpClient(verify=NO_TLS)
            await client.request("GET", server.url())
            task = asyncio.ensure_future(client.close())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

        asyncio.run(main())


def test_an_international_host(monkeypatch):
    with FaultServer() as proxy:
        proxy.route("/%C3%BC", reply(200))
        monkeypatch.setenv("http_proxy", proxy.origin)
        call("GET", "http://bücher.test/ü?sig=a%3A")
        received = proxy.requests[0]
    assert received.target == "http://xn--bcher-kva.test/%C3%BC?sig=a%3A"
    assert received.headers["host"] == "xn--bcher-kva.test"


def test_the_private_names_that_are_used_exist():
    """These two are all; without them a loop that is gone would be complained of."""

    async def main():
        async with aiohttp.TCPConnector() as connector:
            assert connector._closed is False
            assert list(connector._conns.values()) == []

    asyncio.run(main())


def test_uvloop(server):
    uvloop = pytest.importorskip("uvloop")
    clients = []

    async def main():
        clients.append(AioHttpClient(verify=NO_TLS))
        await AioHttpClient(verify=NO_TLS).request("GET", server.url())
        await clients[-1].request("GET", server.url())

    for _ in range(2):
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
    assert server.count() == 4
