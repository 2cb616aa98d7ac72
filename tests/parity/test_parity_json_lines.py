"""JSON lines over the wire, in every world: values, models, bad lines, endings."""

from __future__ import annotations

import gc
import re
import threading
from typing import Dict, List

import anyio
import pytest
from drivers import AsyncFace, wait_until
from streams import WORLDS, cut, stepped, streamed, until_broken, world

from requests_connection_manager import (
    ConnectionError,
    ConnectionManager,
    DeadlineExceeded,
    HTTPError,
    TimeoutError,
    ValidationError,
)
from requests_connection_manager.testing import Ending, gzip, redirect, reply

PLAIN = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(params=WORLDS)
def driver(request):
    with world(request.param) as running:
        yield running


def lines_of(face, url, **options):
    return stepped(face, "json_lines", url, **options)


def read(stream):
    with stream:
        return list(stream)


def ndjson(*pieces, **options):
    return streamed(*pieces, headers=PLAIN, **options)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_values_in_any_cut(driver, server, size, framing):
    body = '\ufeff{"id": 1}\r\n\n  [2, "é"]\n"three"\nnull\n4.5'.encode()
    server.route("/", ndjson(*cut(body, size), framing=framing))
    values = read(lines_of(driver.manager(), server.url()))
    assert values == [{"id": 1}, [2, "é"], "three", None, 4.5]


def test_a_value_is_there_as_soon_as_its_line_has_come(driver, server):
    gate = threading.Event()
    server.route("/", ndjson(b"1\n2", gate, b"3\n"))
    with lines_of(driver.manager(), server.url()) as stream:
        assert next(stream) == 1
        assert stream.response.status_code == 200
        gate.set()
        assert list(stream) == [23]


def test_what_is_asked_for(driver, server):
    server.route("/", ndjson(b"1\n"))
    read(lines_of(driver.manager(), server.url(), method="POST", json={"q": 1}))
    read(lines_of(driver.manager(), server.url(), headers={"ACCEPT": "*/*"}))
    first, second = server.requests
    assert (first.method, first.json()) == ("POST", {"q": 1})
    assert "application/x-ndjson" in first.headers["accept"]
    assert second.headers["accept"] == "*/*"


def test_a_compressed_body_and_an_empty_one(driver, server):
    server.route("/", gzip("1\n2\n"), reply(204))
    manager = driver.manager()
    assert [read(lines_of(manager, server.url())) for _ in range(2)] == [[1, 2], []]


def test_it_is_a_call_as_any_other(driver, server, clock):
    server.route("/old", redirect("/"))
    server.route("/", reply(500), ndjson(b"1\n"), reply(404, body="gone"))
    manager = driver.manager(clock=clock, bearer_token="s3cret")
    assert read(lines_of(manager, server.url("/old"))) == [1]
    assert clock.sleeps == (0.3,)
    assert server.requests[-1].headers["authorization"] == "Bearer s3cret"
    _, error = until_broken(lines_of(manager, server.url()), HTTPError)
    assert (error.status_code, error.body) == (404, "gone")


# -- models


def test_values_of_a_model(driver, server):
    pydantic = pytest.importorskip("pydantic")

    class User(pydantic.BaseModel):
        id: int

    server.route("/", ndjson(b'{"id": 1}\n{"id": "2"}\n'), ndjson(b"[1]\n[2, 3]\n"))
    manager = driver.manager()
    users = read(lines_of(manager, server.url(), model=User))
    assert users == [User(id=1), User(id=2)]
    assert read(lines_of(manager, server.url(), model=List[int])) == [[1], [2, 3]]


def test_a_line_that_is_not_of_the_model_has_its_number(driver, server):
    pytest.importorskip("pydantic")
    server.route("/", ndjson(b'\n{"a": 1}\n{"a": "secret-x"}\n{"a": 3}\n'))
    stream = lines_of(driver.manager(), server.url(), model=Dict[str, int])
    seen, error = until_broken(stream, ValidationError)
    assert seen == [{"a": 1}]
    assert str(error).startswith("line 3: the response is no ")
    assert "secret-x" not in str(error)
    assert (error.body, error.path) == ({"a": "secret-x"}, ("a",))


# -- bad lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{'a': 1}", r"line 3 is no JSON: .*; it begins with"),
        (b"\xff", r"line 3 is no UTF-8: invalid start byte at byte 0"),
        (b"1" * 60, r"line 3 is longer than 50 bytes, which max_line_bytes allows"),
    ],
)
def test_a_bad_line_has_its_number_and_those_before_are_not_lost(driver, server, line, text):
    gate = threading.Event()
    server.route("/", ndjson(b"1\n\n" + line + b"\n4\n", gate))
    stream = lines_of(driver.manager(), server.url(), max_line_bytes=50)
    seen, error = until_broken(stream, ValidationError)
    gate.set()
    assert seen == [1]
    assert re.match(text, str(error))


def test_no_secret_in_the_message(driver, server):
    server.route("/", ndjson(b'{"password": "hunter2", }\n'))
    _, error = until_broken(lines_of(driver.manager(), server.url()), ValidationError)
    assert "hunter2" not in str(error)


# -- the end


def test_a_body_that_ends_within_a_line_says_so(driver, server):
    server.route("/", ndjson(b'1\n{"id"', framing="close"))
    seen, error = until_broken(lines_of(driver.manager(), server.url()), ValidationError)
    assert seen == [1]
    assert "the last line (2), which has no line end and may have been cut off," in str(error)


@pytest.mark.parametrize(
    ("framing", "ending"), [("chunked", Ending.CLOSE), ("length", Ending.CLOSE)]
)
def test_a_body_that_breaks_off_says_so(driver, server, framing, ending):
    server.route("/", ndjson(b"1\n2\n3", framing=framing, ending=ending, length=100))
    stream = lines_of(driver.manager(), server.url("/?token=t0ken"))
    seen, error = until_broken(stream, ConnectionError)
    assert seen == [1, 2]
    assert isinstance(error, driver.errors.truncated)
    assert "the body broke off after line 2" in str(error)
    assert "t0ken" not in str(error)
    assert server.count() == 1


def test_silence_that_is_too_long(driver, server):
    gate = threading.Event()
    server.route("/", ndjson(b"1\n", gate))
    for options in ({"read_timeout": 0.2}, {"idle_timeout": 0.2}):
        stream = lines_of(driver.manager(), server.url(), **options)
        seen, error = until_broken(stream, TimeoutError)
        assert seen == [1]
        assert isinstance(error, driver.errors.read_timeout)
    stream = lines_of(driver.manager(), server.url(), idle_timeout=None, total_timeout=0.3)
    _, error = until_broken(stream, DeadlineExceeded)
    gate.set()


def test_a_quiet_body_is_waited_for_when_asked(driver, server):
    server.route("/", ndjson(b"1\n", 0.5, b"2\n"))
    manager = driver.manager(read_timeout=0.2)
    assert read(lines_of(manager, server.url(), idle_timeout=None)) == [1, 2]


# -- nothing is left behind


@pytest.fixture
def endless(server):
    # The server notices that the client has gone when it sends.
    server.route("/", ndjson(b"1\n2\n", *[0.01, b"3\n"] * 1000))
    return server


def test_a_loop_that_is_broken_off(driver, endless):
    with lines_of(driver.manager(), endless.url()) as stream:
        for _ in stream:
            break
    wait_until(lambda: endless.open_connections == 0)
    assert list(stream) == []


def test_a_stream_that_is_dropped(endless):
    with ConnectionManager() as manager:
        for _ in manager.json_lines(endless.url()):
            break
        gc.collect()
        wait_until(lambda: endless.open_connections == 0)


def test_a_task_that_is_cancelled(driver, endless):
    manager = driver.manager()
    if not isinstance(manager, AsyncFace):
        pytest.skip("threads are not cancelled")
    seen = []

    async def main():
        async with anyio.create_task_group() as group:
            async for value in manager.manager.json_lines(endless.url()):
                seen.append(value)
                if value == 3:
                    group.cancel_scope.cancel()

    manager.await_(main)
    assert seen == [1, 2, 3]
    wait_until(lambda: endless.open_connections == 0)


def test_the_connection_is_used_again_after_an_orderly_end(driver, server):
    server.route("/", ndjson(b"1\n"))
    manager = driver.manager()
    for _ in range(3):
        assert read(lines_of(manager, server.url())) == [1]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"method": ""}, ValueError, "method must be the name of an HTTP method"),
        ({"idle_timeout": -1}, ValueError, "idle_timeout must be above 0"),
        ({"max_line_bytes": "1"}, TypeError, "max_line_bytes must be an int"),
        ({"model": object()}, TypeError, "model must be a type"),
    ],
)
def test_a_mistake_is_told_at_once(driver, options, kind, text):
    if "model" in options:
        pytest.importorskip("pydantic")
    with pytest.raises(kind, match=text):
        lines_of(driver.manager(), "http://127.0.0.1:9/", **options)
