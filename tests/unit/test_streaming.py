"""Streams over test doubles, over other retry policies, and what they cost who has none."""

from __future__ import annotations

import gc
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import anyio
import httpx
import pytest
import requests
import responses
from urllib3.util.retry import Retry as UrllibRetry

from requests_connection_manager import (
    ConnectionManager,
    ErrorContext,
    MaxRetriesExceeded,
    ResponseContext,
)
from requests_connection_manager.async_manager import AsyncConnectionManager
from requests_connection_manager.httpx_client import PipelineClient
from requests_connection_manager.streaming.reader import with_headers
from requests_connection_manager.testing import FaultServer, VirtualClock
from requests_connection_manager.testing import gzip as packed

URL = "https://api.test/stream"
EVENTS = {"Content-Type": "text/event-stream"}


def test_events_of_a_double_of_requests() -> None:
    with responses.RequestsMock() as double, ConnectionManager() as manager:
        double.get(URL, body=b"data: 1\n\ndata: 2\n\n", content_type="text/event-stream")
        double.get(URL, body=b"1\n2\n")
        assert [event.data for event in manager.events(URL)] == ["1", "2"]
        assert list(manager.json_lines(URL)) == [1, 2]


def test_events_of_a_double_of_httpx() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=EVENTS, content=b"data: 1\n\ndata: 2\n\n")

    with PipelineClient(transport=httpx.MockTransport(answer)) as client:
        assert [event.data for event in client.events(URL)] == ["1", "2"]


PACKED = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("headers", "body"), [({}, b"whole"), (PACKED, gzip.compress(b"whole"))], ids=["plain", "gzip"]
)
def test_downloads_of_doubles(headers: Dict[str, str], body: bytes, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, content=body)

    async def download() -> None:
        async with AsyncConnectionManager(transport=httpx.MockTransport(answer)) as manager:
            await manager.download(URL, tmp_path / "async")

    with responses.RequestsMock() as double, ConnectionManager() as manager:
        double.get(URL, headers=headers, body=body)
        manager.download(URL, tmp_path / "requests")
    with PipelineClient(transport=httpx.MockTransport(answer)) as client:
        client.download(URL, tmp_path / "httpx")
    anyio.run(download)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"whole"] * 3


@pytest.mark.parametrize("kind", [ConnectionManager, PipelineClient])
def test_a_body_that_a_hook_has_read(kind: Any, tmp_path: Path) -> None:
    def read(context: ResponseContext) -> None:
        if isinstance(context.response, httpx.Response):
            context.response.read()
        assert context.response.content

    with FaultServer() as server, kind() as client:
        server.route("/file", packed(b"whole" * 9))
        client.register_post_response_hook(read)
        client.download(server.url("/file"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"whole" * 9


@pytest.mark.parametrize("fallback", ["none at all", {"cached": 1}])
@pytest.mark.parametrize("kind", [ConnectionManager, PipelineClient])
def test_a_fallback_without_a_body_is_refused(kind: Any, fallback: Any, tmp_path: Path) -> None:
    def give(context: ErrorContext) -> None:
        context.handled, context.fallback_response = True, fallback

    with kind(max_retries=0) as client:
        client.register_error_hook(give)
        with pytest.raises(TypeError, match=r"an error hook gave a .*fallback_response"):
            client.download("http://127.0.0.1:1/", tmp_path / "file")
        with pytest.raises(TypeError, match=r"an error hook gave a .*fallback_response"):
            next(client.events("http://127.0.0.1:1/"))
    assert list(tmp_path.iterdir()) == []


def test_a_fallback_that_was_never_requested(tmp_path: Path) -> None:
    def give(context: ErrorContext) -> None:
        context.handled, context.fallback_response = True, httpx.Response(200, content=b"[1]\n")

    async def use() -> None:
        async with AsyncConnectionManager(max_retries=0) as manager:
            manager.register_error_hook(give)
            await manager.download("http://127.0.0.1:1/", tmp_path / "file")
            lines = manager.json_lines("http://127.0.0.1:1/", idle_timeout=1)
            assert [line async for line in lines] == [[1]]

    with PipelineClient(max_retries=0) as client:
        client.register_error_hook(give)
        assert list(client.json_lines("http://127.0.0.1:1/")) == [[1]]
    anyio.run(use)
    assert (tmp_path / "file").read_bytes() == b"[1]\n"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_body_that_never_waits_nor_ends_is_broken_off(backend: str) -> None:
    ended = []

    async def endless():  # type: ignore[no-untyped-def]
        try:
            while True:
                yield b"data: 1\n\n"
        finally:
            ended.append(True)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=EVENTS, content=endless())

    async def main() -> None:
        transport = httpx.MockTransport(answer)
        async with AsyncConnectionManager(transport=transport) as manager:
            events = manager.events(URL)
            assert (await events.__anext__()).data == "1"
            await events.aclose()
        gc.collect()

    if backend == "trio":
        # It warns of generators within generators, which httpx leaves to the garbage collector.
        with pytest.warns(ResourceWarning):
            anyio.run(main, backend=backend)
    else:
        anyio.run(main, backend=backend)
    assert ended == [True]


def test_a_policy_of_the_callers_decides_itself() -> None:
    clock = VirtualClock()
    policy = UrllibRetry(2, backoff_factor=1)
    with responses.RequestsMock() as double, ConnectionManager(clock=clock) as manager:
        double.get(URL, body=b": none\n\n", content_type="text/event-stream")
        with pytest.raises(MaxRetriesExceeded) as caught:
            list(manager.events(URL, reconnect=True, max_retries=policy))
        assert len(double.calls) == 3
    assert isinstance(caught.value, requests.exceptions.ChunkedEncodingError)
    assert clock.sleeps == (2.0,)  # urllib3 does not wait before the first


def test_headers_in_every_form_that_the_libraries_take() -> None:
    defaults, fixed = {"Accept": "a", "X-New": "n"}, {"Last-Event-ID": "7"}
    for given in (
        {"accept": "mine", "LAST-EVENT-ID": "1"},
        httpx.Headers({"accept": "mine", "last-event-id": "1"}),
    ):
        found = with_headers({"headers": given, "json": 1}, defaults, fixed)
        assert found == {
            "headers": {"accept": "mine", "X-New": "n", "Last-Event-ID": "7"},
            "json": 1,
        }
    pairs = [(b"ACCEPT", b"mine"), ("X-Two", "1"), ("X-Two", "2")]
    assert with_headers({"headers": pairs}, defaults, {})["headers"] == [*pairs, ("X-New", "n")]
    assert with_headers({}, {}, {}) == {"headers": {}}


def test_who_reads_no_stream_loads_nothing_of_it() -> None:
    code = (
        "import sys\n"
        "from requests_connection_manager import ConnectionManager\n"
        "ConnectionManager()\n"
        "package = 'requests_connection_manager.streaming'\n"
        "print(sorted(name for name in sys.modules if name.startswith(package)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert eval(done.stdout) == [
        "requests_connection_manager.streaming",
        "requests_connection_manager.streaming.faces",
    ]
