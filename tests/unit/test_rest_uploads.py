"""What is given as ``content``, ``data`` and ``files``, as it arrives at a server."""

from __future__ import annotations

import datetime
import decimal
import enum
import gc
import gzip
import io
import os
import tempfile
import threading
import types
import uuid
from pathlib import Path

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_connection_manager.exceptions import MaxRetriesExceeded, ValidationError
from requests_connection_manager.rest import _sources
from requests_connection_manager.rest.bodies import encode_body
from requests_connection_manager.rest.serialization import JsonSerializer
from requests_connection_manager.rest.uploads import Upload, UploadProgress
from requests_connection_manager.testing import echo, redirect, reply, reset, sink

BOUNDARY = "multipart/form-data; boundary=XYZ"


@pytest.fixture
def client(rest, server):
    server.route("/", echo())
    server.route("/sink", sink())
    server.route("/flaky", reply(503), reply(503), echo())
    return rest.client(server.url("/"), backoff_factor=0)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "report.txt"
    found.write_bytes(b"hello world")
    return found


@pytest.fixture
def opened(monkeypatch):
    """The files that uploads opened by themselves."""
    files = []

    def remember(*args, **kwargs):
        files.append(open(*args, **kwargs))  # noqa: SIM115  # who opened it is to close it
        return files[-1]

    monkeypatch.setattr(_sources, "open", remember, raising=False)
    return files


class Chunks:
    """An iterable that can be iterated again."""

    def __iter__(self):
        return iter([b"hello ", b"", bytearray(b"wor"), memoryview(b"ld")])


class Pipe(io.RawIOBase):
    """What can't seek, as a pipe or a socket."""

    def __init__(self, *pieces):
        self._pieces = list(pieces)
        self.threads = set()

    def readable(self):
        return True

    def read(self, size=-1):
        self.threads.add(threading.get_ident())
        return self._pieces.pop(0) if self._pieces else b""


class NoEnd(io.BytesIO):
    """A file that can seek, but not to its end."""

    def seek(self, offset, whence=0):
        if whence == 2:
            raise io.UnsupportedOperation("seek from the end")
        return super().seek(offset, whence)


class Minimal:
    """A file by hand, whose seek returns nothing."""

    def __init__(self, content):
        self._file = io.BytesIO(content)
        self.read, self.tell = self._file.read, self._file.tell

    def seek(self, offset, whence=0):
        self._file.seek(offset, whence)


def encoded(asynchronous=False, **given):
    return encode_body(serializer=JsonSerializer(), asynchronous=asynchronous, **given)


def at(position, content=b"..hello world"):
    file = io.BytesIO(content)
    file.seek(position)
    return file


# -- what arrives


@pytest.mark.parametrize(
    "make",
    [
        lambda path: b"hello world",
        lambda path: bytearray(b"hello world"),
        lambda path: "hello world",
        lambda path: path,
        lambda path: io.BytesIO(b"hello world"),
        lambda path: at(2),
        lambda path: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"hello world"))),
        lambda path: Minimal(b"hello world"),
    ],
    ids=["bytes", "bytearray", "str", "path", "file", "file-at-2", "gzip", "minimal"],
)
@pytest.mark.parametrize("name", ["content", "data"])
def test_bodies_of_a_known_length(client, path, make, name):
    seen = client.post("/", **{name: make(path)}).json()
    assert seen["body"] == "hello world"
    assert seen["headers"]["content-length"] == "11"
    assert "transfer-encoding" not in seen["headers"]
    assert "content-type" not in seen["headers"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: [b"hello ", b"world"],
        lambda: Chunks(),
        lambda: (piece for piece in Chunks()),
        lambda: Pipe(b"hello ", b"world"),
        lambda: NoEnd(b"hello world"),
    ],
    ids=["list", "iterable", "generator", "pipe", "file-without-end"],
)
def test_bodies_of_an_unknown_length(client, make):
    seen = client.post("/", content=make()).json()
    assert seen["body"] == "hello world"
    assert seen["headers"]["transfer-encoding"] == "chunked"
    assert "content-length" not in seen["headers"]


def test_an_open_file_stays_open(client, path):
    with path.open("rb") as file:
        file.seek(6)
        assert client.put("/", content=file).json()["body"] == "world"
        assert not file.closed
    with tempfile.SpooledTemporaryFile() as file:
        file.write(b"hello")
        file.seek(1)
        assert client.put("/", content=file).json()["body"] == "ello"


def test_empty_bodies(client, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for body in (empty, b"", io.BytesIO(), None):
        seen = client.post("/", content=body).json()
        assert (seen["size"], seen["headers"]["content-length"]) == (0, "0")
    assert client.post("/", content=iter([])).json()["size"] == 0
    assert client.post("/", data={}, files=[]).json()["headers"]["content-length"] == "0"


def test_a_large_file_is_read_in_pieces(client, rest, tmp_path):
    sizes, threads = [], set()

    class Watched(io.BytesIO):
        def read(self, size=-1):
            sizes.append(size)
            threads.add(threading.get_ident())
            return super().read(size)

    size = 3 * _sources.CHUNK + 1
    file = Watched(bytes(size))
    assert client.put("/sink", content=file).json() == {"size": size}
    assert set(sizes) == {_sources.CHUNK}
    here = threading.get_ident() if rest.is_sync else rest.portal.call(threading.get_ident)
    assert (here in threads) == rest.is_sync


def test_what_is_stored_visits_a_thread_once_for_several_pieces(
    client, rest, tmp_path, monkeypatch
):
    visits, run_sync = [], anyio.to_thread.run_sync

    def counted(function, *args, **kwargs):
        visits.append(function)
        return run_sync(function, *args, **kwargs)

    monkeypatch.setattr("anyio.to_thread.run_sync", counted)
    content = os.urandom(20 * _sources.CHUNK + 1)
    (tmp_path / "stored").write_bytes(content)
    client.put("/sink", content=tmp_path / "stored")
    assert len(visits) == (0 if rest.is_sync else 3)


class ReusedBuffer(io.BytesIO):
    """A file that gives the same buffer each time."""

    def read(self, size=-1):
        whole = memoryview(vars(self).setdefault("buffer", bytearray(size)))
        return whole[: self.readinto(whole)]


def test_a_file_that_gives_the_same_buffer_each_time_arrives_as_it_is(client, server):
    content = os.urandom(3 * _sources.CHUNK + 5)
    client.put("/sink", content=ReusedBuffer(content))
    assert server.requests[-1].body == content


def test_what_is_not_stored_is_not_read_ahead(client, rest):
    told, seen = [], []

    def generate():
        for number in range(4):
            seen.append((number, told[-1].sent))
            yield bytes([number])

    client.put("/sink", content=generate(), upload_progress=told.append)
    assert seen == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_a_large_upload_under_a_deadline_arrives_as_it_is(client, server, tmp_path):
    content = os.urandom(3 * _sources.CHUNK + 5)
    (tmp_path / "stored").write_bytes(content)
    client.put("/sink", content=tmp_path / "stored", total_timeout=60)
    assert server.requests[-1].body == content


def test_a_generator_and_a_pipe_are_read_on_threads_by_the_async_client(client, rest):
    threads = set()

    def generate():
        threads.add(threading.get_ident())
        yield b"a"

    pipe = Pipe(b"b")
    client.post("/", content=generate())
    client.post("/", content=pipe)
    client.post("/", files={"f": pipe})
    here = threading.get_ident() if rest.is_sync else rest.portal.call(threading.get_ident)
    assert (here in threads) == (here in pipe.threads) == rest.is_sync


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_by_its_path(client, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(b"hello",))
    writer.start()
    seen = client.post("/", content=fifo).json()
    writer.join()
    assert seen["body"] == "hello"
    assert seen["headers"]["transfer-encoding"] == "chunked"


# -- asynchronous bodies


async def words():
    yield b"hello "
    yield b"world"


class AsyncWords:
    def __aiter__(self):
        return words()


class AsyncReader:
    """A file whose reads are awaited."""

    def __init__(self):
        self.file = io.BytesIO(b"hello world")

    async def read(self, size=-1):
        return self.file.read(size)


class Areader:
    """The same by the name that httpx knows."""

    def __init__(self):
        self.aread = AsyncReader().read


@pytest.mark.parametrize("make", [words, AsyncWords, AsyncReader, Areader])
def test_asynchronous_bodies_are_for_the_async_client(client, rest, make):
    if rest.is_sync:
        with pytest.raises(TypeError, match="which only AsyncClient can send"):
            client.post("/", content=make())
    else:
        assert client.post("/", content=make()).json()["body"] == "hello world"


def test_a_file_of_anyio(client, rest, path):
    if rest.is_sync:
        return

    async def upload():
        async with await anyio.open_file(path, "rb") as file:
            return await client.client.post("/", content=file)

    assert client.await_(upload).json()["body"] == "hello world"


def test_an_asynchronous_iterable_can_be_sent_again(client, rest):
    if not rest.is_sync:
        assert client.put("/flaky", content=AsyncWords()).json()["body"] == "hello world"


# -- again


@pytest.mark.parametrize(
    "make",
    [
        lambda path: {"content": path},
        lambda path: {"content": at(2)},
        lambda path: {"content": Chunks()},
        lambda path: {"content": b"hello world"},
        lambda path: {"files": {"f": path}},
        lambda path: {"files": {"f": at(2, b"hello world")}},
    ],
    ids=["path", "file-at-2", "iterable", "bytes", "files-path", "files-file"],
)
def test_a_retry_sends_all_of_it_again(client, path, opened, make):
    seen = client.put("/flaky", **make(path)).json()
    assert "hello world" in seen["body"].replace("\r\n", "")
    assert all(file.closed for file in opened)
    assert len(opened) in (0, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"content": iter([b"hello"])},
        lambda: {"content": Pipe(b"hello")},
        lambda: {"files": {"f": Pipe(b"hello")}},
    ],
    ids=["iterator", "pipe", "files-pipe"],
)
def test_what_can_be_read_once_is_sent_once(client, server, make):
    with pytest.raises(MaxRetriesExceeded) as caught:
        client.put("/flaky", **make())
    assert caught.value.reason == "body_not_replayable"
    assert server.count("/flaky") == 1


def test_a_redirect_sends_it_again_where_that_is_possible(client, server, path):
    server.route("/old", redirect("/", status=307))
    assert client.put("/old", content=path).json()["body"] == "hello world"
    with pytest.raises(httpx.StreamConsumed):
        client.put("/old", content=iter([b"a"]))


def test_files_are_closed_when_the_connection_breaks(client, server, opened, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(bytes(40 * _sources.CHUNK))
    server.route("/broken", reset())
    with pytest.raises(httpx.TransportError):
        client.put("/broken", content=large, max_retries=0)
    gc.collect()
    assert opened
    assert all(file.closed for file in opened)


# -- progress


def test_progress_is_told_after_each_piece(client, path):
    seen = []
    client.put("/", content=path, upload_progress=seen.append)
    assert seen == [UploadProgress(0, 11), UploadProgress(11, 11)]
    assert [one.fraction for one in seen] == [0, 1]
    del seen[:]
    client.put("/", content=iter([b"ab", b"c"]), upload_progress=seen.append)
    assert [one.sent for one in seen] == [0, 2, 3]
    assert seen[-1].fraction is None


@pytest.mark.parametrize("body", [{"content": b"abcde"}, {"json": 12345}, {"data": {"abc": 1}}])
def test_progress_of_what_is_in_memory(client, body):
    seen = []
    assert client.put("/", **body, upload_progress=seen.append).json()["size"] == 5
    assert seen == [UploadProgress(0, 5), UploadProgress(5, 5)]


def test_progress_begins_anew_with_each_attempt(client, path):
    seen = []
    client.put("/flaky", content=path, upload_progress=seen.append)
    assert [(one.attempt, one.sent) for one in seen] == [
        (attempt, sent) for attempt in (1, 2, 3) for sent in (0, 11)
    ]


def test_progress_of_a_form_counts_all_of_it(client, path):
    seen = []
    size = client.put("/sink", files={"f": path}, upload_progress=seen.append).json()["size"]
    assert (seen[0].sent, seen[-1].sent, seen[-1].total) == (0, size, size)


def test_an_error_of_the_callback_ends_the_upload(client, server, opened, path):
    def stop(progress):
        if progress.sent:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        client.put("/sink", content=path, upload_progress=stop)
    assert [file.closed for file in opened] == [True]


async def awaited(progress):
    """Be a callback that nobody would await."""


@pytest.mark.parametrize("callback", [awaited, 3, True])
def test_what_is_no_callback(client, server, callback):
    with pytest.raises(TypeError, match="upload_progress"):
        client.put("/", content=b"", upload_progress=callback)
    assert server.count() == 0


# -- lengths


class Shrinking(io.BytesIO):
    """A file that loses its end after it was measured."""

    def read(self, size=-1):
        return super().read(size)[:5] if self.tell() == 0 else b""


class Growing(io.BytesIO):
    """A file that gets longer after it was measured."""

    def read(self, size=-1):
        return super().read(size) or b"more"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (lambda: {"content": Shrinking(b"hello world")}, "ended 6 bytes earlier"),
        (lambda: {"content": Growing(b"hello world")}, "there is more"),
        (lambda: {"files": {"f": Shrinking(b"hello world")}}, "ended 6 bytes earlier"),
        (lambda: {"files": {"f": Growing(b"hello world")}}, "there is more"),
        (
            lambda: {"content": iter([b"abc"]), "headers": {"Content-Length": "4"}},
            "4 bytes were announced, but it ended 1 bytes earlier",
        ),
        (
            lambda: {"content": iter([b"abc", b"", b"de"]), "headers": {"Content-Length": "3"}},
            "3 bytes were announced, but there is more",
        ),
    ],
)
def test_a_body_of_another_length_than_announced(client, server, body, text):
    with pytest.raises(ValidationError, match=text):
        client.put("/sink", **body())
    # It never arrives whole.
    assert server.count("/sink") == 0


def test_a_file_that_was_empty_and_is_not_any_more(client):
    with pytest.raises(ValidationError, match="0 bytes were announced, but there is more"):
        client.put("/sink", content=Growing(b""))


def test_a_path_that_changed_between_two_attempts(client, server, path, opened):
    def grow(received):
        path.write_bytes(b"hello world, and more")
        return reply(503)

    server.route("/grow", grow)
    with pytest.raises(ValidationError, match="it had 11 bytes, and has 21 now"):
        client.put("/grow", content=path)
    assert server.count("/grow") == 1
    assert all(file.closed for file in opened)


def test_the_length_of_a_generator_can_be_given(client):
    seen = client.put("/", content=iter([b"abc"]), headers={"Content-Length": "3"}).json()
    assert (seen["body"], seen["headers"]["content-length"]) == ("abc", "3")
    assert "transfer-encoding" not in seen["headers"]


# -- what can't be sent


@pytest.mark.parametrize("name", ["content", "data"])
@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (lambda path: path.open(), TypeError, "text mode.*'rb'"),
        (lambda path: io.StringIO("a"), TypeError, "text mode"),
        (lambda path: tempfile.SpooledTemporaryFile(mode="w+"), TypeError, "text mode"),  # noqa: SIM115  # closed below
        (lambda path: path.open("ab"), ValueError, "not open for reading"),
        (lambda path: path.parent / "missing", FileNotFoundError, "missing"),
        (lambda path: path.parent, IsADirectoryError, "directory"),
        (lambda path: 3, TypeError, "not a int"),
        (lambda path: object(), TypeError, "bytes, str, a pathlib.Path"),
    ],
    ids=["text", "StringIO", "temporary", "writing", "missing", "directory", "int", "object"],
)
def test_bodies_that_cannot_be_sent(client, server, path, name, body, error, text):
    given = body(path)
    try:
        with pytest.raises(error, match=text):
            client.post("/", **{name: given})
    finally:
        getattr(given, "close", bool)()
    assert server.count() == 0


def test_a_closed_file(client):
    file = io.BytesIO()
    file.close()
    with pytest.raises(ValueError, match="content is a file that is closed already"):
        client.post("/", content=file)
    with pytest.raises(ValueError, match=r"files\['f'\] is a file that is closed"):
        client.post("/", files={"f": file})


def test_a_mapping_is_no_content(client):
    with pytest.raises(TypeError, match="that is json= or data="):
        client.post("/", content={"a": 1})


@pytest.mark.parametrize("pieces", [["text"], [b"a", 3], [None]])
def test_pieces_must_be_bytes(client, pieces):
    with pytest.raises(TypeError, match="must give bytes, not a"):
        client.put("/", content=pieces)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_file_may_give_bytes_of_any_kind(client, kind):
    pieces = [b"hel", b"lo"]

    class File:
        def read(self, size):
            return kind(pieces.pop(0) if pieces else b"")

    assert client.put("/", content=File()).json()["body"] == "hello"


def test_an_error_of_a_generator_is_raised_as_it_is(client):
    def generate():
        yield b"a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.put("/", content=generate())


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"content": b"a", "json": 1}, "content or json"),
        ({"content": b"a", "data": {"a": 1}}, "content or data"),
        ({"json": 1, "files": {"f": b""}}, "files or json"),
        ({"content": b"", "data": b"", "files": {"f": b""}, "json": 0}, "not 4 of them"),
    ],
)
def test_two_bodies_at_once(client, given, names):
    with pytest.raises(ValueError, match=names):
        client.post("/", **given)


@pytest.mark.parametrize(
    ("given", "header", "text"),
    [
        ({"json": 1}, "text/plain", "contradicts json="),
        ({"json": 1}, "application/x-www-form-urlencoded", "contradicts json="),
        ({"data": {"a": 1}}, "application/json", "contradicts data="),
        ({"data": {"a": 1}}, "multipart/form-data", "contradicts data="),
        ({"files": {"f": b""}}, "application/json", "contradicts files="),
        ({"files": {"f": b""}}, "multipart/form-data", "needs a boundary"),
        ({"files": {"f": b""}}, "multipart/form-data; boundary=", "needs a boundary"),
        ({"files": {"f": b""}}, 'multipart/form-data; boundary=""', "needs a boundary"),
        ({"files": {"f": b""}}, "multipart/form-data; xboundary=abc", "needs a boundary"),
    ],
)
def test_a_content_type_that_contradicts_the_body(client, server, given, header, text):
    with pytest.raises(ValueError, match=text):
        client.post("/", **given, headers={"content-type": header})
    assert server.count() == 0


@pytest.mark.parametrize("length", ["4", "-1", "3 ", "x", "٣"])
def test_a_content_length_that_contradicts_the_body(length):
    with pytest.raises(ValueError, match="Content-Length"):
        encoded(content=b"abc", headers=[("Content-Length", length.encode())])


def test_a_body_has_one_framing():
    headers = {"Content-Length": "3", "Transfer-Encoding": "chunked"}
    with pytest.raises(ValueError, match="exclude each other"):
        encoded(content=[b"abc"], headers=headers)


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"json": 1}, "application/vnd.acme.v2+json; charset=utf-8"),
        ({"json": 1}, "application/x-json"),
        ({"json": 1}, "text/JSON"),
        ({"data": {"a": 1}}, "application/x-www-form-urlencoded; charset=utf-8"),
        ({"content": b"{}"}, "application/json"),
        ({"content": b"<a/>"}, "application/xml"),
    ],
)
def test_a_content_type_that_goes_with_the_body_is_kept(client, given, header):
    seen = client.post("/", **given, headers={"Content-Type": header}).json()
    assert seen["headers"]["content-type"] == header


def test_the_type_of_a_body_goes_before_that_of_the_client(rest, server, path):
    server.route("/", echo())
    client = rest.client(server.url("/"), headers={"Content-Type": "application/json"})
    seen = client.post("/", files={"f": path}).json()["headers"]["content-type"]
    assert seen.startswith("multipart/form-data; boundary=")
    assert client.post("/", content=b"{}").json()["headers"]["content-type"] == "application/json"


# -- json


class Yaml:
    content_type = "application/yaml"

    def dumps(self, value):
        return f"value: {value}".encode()

    def loads(self, data):
        return data


class Wrong(Yaml):
    def dumps(self, value):
        return "text"


def test_json_is_for_the_serializer(rest, server):
    server.route("/", echo())
    client = rest.client(server.url("/"), serializer=Yaml())
    seen = client.post("/", json=7).json()
    assert seen["body"] == "value: 7"
    assert seen["headers"]["content-type"] == "application/yaml"
    with pytest.raises(TypeError, match=r"Wrong\.dumps must return bytes, not a str"):
        rest.client(server.url("/"), serializer=Wrong()).post("/", json=7)


def test_json_of_more_than_json_has(client):
    value = {"id": uuid.UUID(int=1), "price": decimal.Decimal("1.10"), "tags": {"a"}}
    seen = client.post("/", json=value).json()
    assert seen["headers"]["content-type"] == "application/json"
    assert (
        seen["body"] == '{"id":"00000000-0000-0000-0000-000000000001","price":"1.10","tags":["a"]}'
    )
    with pytest.raises(ValidationError, match=r"\$\.a\[0\] can't be sent"):
        client.post("/", json={"a": [b""]})


def test_json_none_is_no_body_and_false_is_one(client):
    assert client.post("/", json=None).json()["headers"].get("content-type") is None
    assert client.post("/", json=False).json()["body"] == "false"


# -- forms


class Color(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    A = "a"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({"a": "b c", "d": "ü&="}, "a=b+c&d=%C3%BC%26%3D"),
        ([("a", 1), ("b", 2), ("a", 3)], "a=1&b=2&a=3"),
        ({"a": [1, "x"], "b": ()}, "a=1&a=x"),
        ({"a": None, "b": True, "c": False, "d": 1.5}, "a=&b=true&c=false&d=1.5"),
        ({"a": b"\xff"}, "a=%FF"),
        ({"a": Color.RED, "b": Name.A}, "a=red&b=a"),
        ({"a": datetime.date(2024, 5, 1), "b": decimal.Decimal("1.10")}, "a=2024-05-01&b=1.10"),
        (types.MappingProxyType({"a": "b"}), "a=b"),
    ],
)
def test_forms(client, data, body):
    seen = client.post("/", data=data).json()
    assert seen["body"] == body
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"


PLAIN = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), PLAIN | st.lists(PLAIN), min_size=1))
def test_forms_are_those_of_httpx(data):
    theirs = httpx.Request("POST", "http://h", data=data)
    ours = encoded(data=data)
    assert ours.content == theirs.read()
    assert ours.headers["Content-Type"] == theirs.headers["Content-Type"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"a": {"b": "S3cr3t"}}, r"data\['a'\] must be a plain value"),
        ({"a": io.BytesIO(b"")}, "a file, which belongs into files"),
        ({"a": [[1]]}, "not a list"),
        ({1: "a"}, "names that are str, not a int"),
    ],
)
@pytest.mark.parametrize("files", [None, {"f": b""}])
def test_forms_that_cannot_be_sent(client, data, text, files):
    with pytest.raises(TypeError, match=text) as caught:
        client.post("/", data=data, files=files)
    assert "S3cr3t" not in str(caught.value)


# -- files


@pytest.mark.parametrize(
    ("data", "files"),
    [
        (None, {"f": b"abc"}),
        (None, {"f": "text"}),
        ({"a": 1, "b": ["x", "y"], "c": None}, {"f": b"abc", "g": b""}),
        ({"a": b"\xff"}, [("f", b"1"), ("f", b"2")]),
        (None, {"f": ('na"me.png', b"abc")}),
        (None, {"f": ("n.bin", b"abc", "text/x-own")}),
        (None, {"f": ("n.bin", b"abc", "text/x-own", {"X-More": "1"})}),
        (None, {"f": (None, b"abc")}),
    ],
)
def test_multipart_is_that_of_httpx(client, server, data, files):
    headers = {"Content-Type": BOUNDARY}
    theirs = httpx.Request("POST", "http://h", data=data, files=files, headers=headers)
    client.post("/", data=data, files=files, headers=headers)
    received = server.requests[-1]
    assert received.body == theirs.read()
    assert received.headers["content-type"] == BOUNDARY
    assert received.headers["content-length"] == theirs.headers["content-length"]


def test_files_by_path_and_open_files(client, path):
    with path.open("rb") as file:
        file.read(3)
        for form in (path, file, ("report.txt", path), ("report.txt", file, "text/plain")):
            seen = client.post("/", files={"f": form}).json()
            assert (
                'Content-Disposition: form-data; name="f"; filename="report.txt"\r\n'
                "Content-Type: text/plain\r\n\r\nhello world\r\n--" in seen["body"]
            )
            assert "content-length" in seen["headers"]
        assert not file.closed


def test_files_of_an_unknown_length(client):
    seen = client.post("/", files={"f": Pipe(b"hel", b"lo")}, data=[("a", 1)]).json()
    assert "\r\n\r\nhello\r\n--" in seen["body"]
    assert seen["headers"]["transfer-encoding"] == "chunked"


def test_headers_of_a_file_are_left_alone(client):
    headers = {"X-More": "1"}
    client.post("/", files={"f": ("n", b"", "text/plain", headers)})
    assert headers == {"X-More": "1"}


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"f": io.StringIO("a")}, r"files\['f'\] is a file in text mode"),
        ({"f": ("n", io.StringIO("a"))}, r"files\['f'\] is a file in text mode"),
        ({"f": 3}, r"files\['f'\] must be bytes, str, a pathlib.Path or a binary file, not a int"),
        ({"f": iter([b""])}, "not a list_iterator"),
        ({"f": ("n",)}, "not a tuple of 1"),
        ({"f": AsyncReader()}, "is an asynchronous file; give its path"),
        (b"abc", "files must be a mapping or pairs, not a bytes"),
        (io.BytesIO(b""), "files must be a mapping or pairs"),
    ],
)
def test_files_that_cannot_be_sent(client, files, text):
    with pytest.raises(TypeError, match=text):
        client.post("/", files=files)


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        (("text/plain\r\nX-More: 1",), ValueError, "Content-Type holds a line break"),
        (("text/plain\n\nwhole body",), ValueError, "Content-Type holds a line break"),
        ((None, {"X-A": "1\r\nX-More: 1"}), ValueError, "X-A holds a line break"),
        ((None, {"X-A: 1\r\nX-More": "1"}), ValueError, "is no name of a header"),
        ((3,), TypeError, "Content-Type must be a str, not a int"),
    ],
)
def test_the_head_of_a_file_can_not_be_added_to(client, more, error, text):
    with pytest.raises(error, match=rf"files\['f'\]: .*{text}"):
        client.post("/", files={"f": ("n", b"", *more)})


def test_the_names_of_a_file_are_escaped(client):
    seen = client.post("/", files={'f"\r\n': ('a"\r\nX: y', b"")}).json()
    assert 'name="f%22%0D%0A"; filename="a%22%0D%0AX: y"\r\n' in seen["body"]


def test_data_beside_files_is_a_form(client):
    with pytest.raises(TypeError, match="data must be a mapping or pairs beside files"):
        client.post("/", files={"f": b""}, data=b"raw")


# -- the stream itself


def test_a_new_sending_ends_the_one_before(path, opened):
    upload = encoded(content=path).content
    assert isinstance(upload, Upload)
    assert repr(upload) == "<Upload length=11 replayable=True>"
    first, second = iter(upload), iter(upload)
    with pytest.raises(httpx.StreamConsumed):
        next(first)
    assert b"".join(second) == b"hello world"
    third = iter(upload)
    next(third)
    upload.close()
    assert [file.closed for file in opened] == [True, True]
    with pytest.raises(httpx.StreamConsumed):
        next(third)


def test_closing_finishes_a_generator():
    ended = []

    def generate():
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append(1)

    upload = encoded(content=generate()).content
    upload.close()
    pieces = iter(upload)
    next(pieces)
    upload.close()
    assert ended == [1]
    with pytest.raises(httpx.StreamConsumed):
        iter(upload)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closing_finishes_an_asynchronous_generator(backend, path, opened):
    ended = []

    async def generate():
        try:
            yield b"a"
            yield b"b"
        finally:
            await anyio.lowlevel.checkpoint()
            ended.append(1)

    async def main():
        for body in (generate(), path):
            upload = encoded(asynchronous=True, content=body).content
            await upload.aclose()
            pieces = upload.__aiter__()
            await pieces.__anext__()
            await upload.aclose()

    anyio.run(main, backend=backend)
    assert ended == [1]
    assert [file.closed for file in opened] == [True]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_pipe_that_gives_nothing_does_not_hold_up_a_cancellation(backend):
    began, go_on = threading.Event(), threading.Event()

    class Stuck(Pipe):
        def read(self, size=-1):
            began.set()
            go_on.wait(30)
            return b""

    async def main():
        upload = encoded(asynchronous=True, content=Stuck()).content
        async with anyio.create_task_group() as group:
            group.start_soon(upload.__aiter__().__anext__)
            await anyio.to_thread.run_sync(began.wait, 30)
            group.cancel_scope.cancel()
        await upload.aclose()
        assert not go_on.is_set()
        go_on.set()

    anyio.run(main, backend=backend)


def test_httpx_itself_can_read_a_request(path):
    body = encoded(content=path)
    request = httpx.Request("PUT", "http://h", content=body.content, headers=body.headers)
    body.attach(request)
    assert request.stream is body.content
    assert request.read() == b"hello world"
    assert request.headers["Content-Length"] == "11"


@given(st.lists(st.binary(max_size=20)), st.sampled_from(["path", "file", "list", "iterator"]))
def test_all_bytes_arrive_in_order(tmp_path_factory, pieces, kind):
    whole = b"".join(pieces)
    if kind == "path":
        body = tmp_path_factory.getbasetemp() / "pieces"
        body.write_bytes(whole)
    else:
        body = {"file": io.BytesIO(whole), "list": pieces, "iterator": iter(pieces)}[kind]
    seen = []
    upload = encoded(content=body, progress=seen.append).content
    assert b"".join(upload) == whole
    assert upload.replayable == (kind != "iterator")
    sent = [one.sent for one in seen]
    assert sent == sorted(sent)
    assert (sent[0], sent[-1]) == (0, len(whole))


def test_the_home_of_a_file_is_a_path_object():
    # A str is text to send, never the name of a file.
    assert encoded(content=str(Path(__file__))).content == str(Path(__file__)).encode()
