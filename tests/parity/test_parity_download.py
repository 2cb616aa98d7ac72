"""Downloads over the wire, in every world: whole or not at all, in one piece or in many."""

from __future__ import annotations

import asyncio
import gzip as gzip_module
import hashlib
import os
import tracemalloc
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import anyio
import pytest
import requests
from downloads import CONTENT, OTHER, Source, chunked, cut, left_in, part, raw
from drivers import DRIVERS, LIBRARY_DRIVERS, Driver, wait_until, within
from rest_drivers import RestDriver

from requests_connection_manager import (
    AsyncConnectionManager,
    CircuitBreakerOpen,
    ConnectionError,
    DeadlineExceeded,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitExceeded,
    RetryScheduled,
    ValidationError,
)
from requests_connection_manager.streaming import Download, Progress
from requests_connection_manager.testing import (
    Ending,
    FaultServer,
    VirtualClock,
    drip,
    echo,
    gzip,
    redirect,
    reply,
    sized,
)

WORLDS = [*DRIVERS, *(f"rest, {name}" for name in LIBRARY_DRIVERS)]


class World:
    """A client of some kind; ``download`` blocks in each of them."""

    def __init__(self, name, server, stack):
        kind, _, loop = name.rpartition(", ")
        self.loop = loop
        self.is_sync = loop == "sync"
        self._driver = RestDriver(loop, stack) if kind else Driver(loop, stack)
        self._server = server
        self.clock = VirtualClock()

    def client(self, **settings):
        settings = {"clock": self.clock, "backoff_factor": 1, **settings}
        if isinstance(self._driver, RestDriver):
            self.face = self._driver.client(self._server.origin, **settings)
        else:
            self.face = self._driver.manager(**settings)
        return self

    def download(self, url, path, **options):
        function = self.face.manager.download
        if self.is_sync:
            return function(url, path, **options)
        return self._driver.portal.call(partial(function, url, path, **options))

    def one_shot_body(self, *pieces):
        return Driver.one_shot_body(self, *pieces)

    def call(self, function, *args):
        """Run an async function on the loop of an async client."""
        return self._driver.portal.call(function, *args)


@pytest.fixture(params=WORLDS)
def world(request, server):
    with ExitStack() as stack:
        yield World(request.param, server, stack)


@pytest.fixture
def source(server):
    made = Source()
    server.route("/file", made)
    return made


@pytest.fixture
def url(server):
    return server.url("/file")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


# -- whole


def test_a_file_is_saved_as_it_is(world, source, url, path, server):
    done = world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == ["file.bin"]
    assert done == Download(path, len(CONTENT), 200, done.headers, '"v1"', 0, None)
    assert done.headers["content-length"] == str(len(CONTENT))
    (received,) = server.requests
    assert (received.method, received.headers["accept-encoding"]) == ("GET", "identity")
    assert source.asked == [(None, None)]


@pytest.mark.parametrize("size", [0, 1, 65536, 1_000_003])
def test_sizes(world, source, url, path, size):
    source.content = os.urandom(size)
    assert world.client().download(url, str(path), chunk_size=1000).size == size
    assert path.read_bytes() == source.content


@pytest.mark.parametrize(
    "answer", [chunked(200, {}, CONTENT), raw(200, {"Connection": "close"}, CONTENT, len(CONTENT))]
)
def test_without_a_length(world, source, url, path, answer):
    source.next(answer)
    assert world.client().download(url, path).size == len(CONTENT)
    assert path.read_bytes() == CONTENT


def test_the_result_shows_no_headers(world, source, url, path):
    source.validators = {"Set-Cookie": "session=hidden"}
    assert "hidden" not in repr(world.client().download(url, path))


def test_a_file_that_is_there_is_replaced_at_the_end_only(world, source, url, path):
    path.write_bytes(b"before")
    during = []
    world.client().download(url, path, progress=lambda _: during.append(path.read_bytes()))
    assert set(during) == {b"before"}
    assert path.read_bytes() == CONTENT


def test_memory_stays_flat(world, server, path):
    size = 48 << 20
    server.route("/large", sized(size))
    client = world.client()
    client.download(server.url("/large"), path)
    tracemalloc.start()
    try:
        client.download(server.url("/large"), path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == size
    assert peak < size // 8


def test_two_at_once_to_one_path(world, source, url, path):
    def on_first(progress):
        if not others:
            others.append(True)
            # In another client: this one's event loop is busy here.
            with ExitStack() as stack:
                second = World("sync", None, stack).client()
                assert second.download(url, path).size == len(CONTENT)

    others = []
    assert world.client().download(url, path, progress=on_first).size == len(CONTENT)
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == ["file.bin"]


# -- resuming


def test_a_broken_connection_is_taken_up_where_it_was(world, source, url, path):
    source.next(cut(1000), cut(500))
    done = world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert source.asked == [(None, None), ("bytes=1000-", '"v1"'), ("bytes=1500-", '"v1"')]
    assert (done.resumed, done.status, done.size) == (2, 206, len(CONTENT))
    assert world.clock.sleeps == (1, 1)


def test_a_reset_is_taken_up(world, source, url, path):
    source.next(cut(1000, Ending.RESET), cut(0, Ending.RESET))
    assert world.client().download(url, path).size == len(CONTENT)
    assert path.read_bytes() == CONTENT
    assert source.asked[0] == (None, None)
    assert {asked for _, asked in source.asked[1:]} <= {'"v1"', None}


def test_progress_begins_the_count_anew(world, source, url, path):
    source.next(*[cut(100)] * 7)
    done = world.client(max_retries=1).download(url, path)
    assert path.read_bytes() == CONTENT
    assert done.resumed == 7
    assert world.clock.sleeps == (1,) * 7
    scheduled = world.face.happened(RetryScheduled)
    assert scheduled == [("RetryScheduled", 2, 1.0)] * 7


def test_attempts_without_progress_are_counted(world, source, url, path):
    source.next(cut(1000), *[cut(0)] * 9)
    with pytest.raises(MaxRetriesExceeded) as caught:
        world.client(max_retries=2).download(url, path)
    assert len(source.asked) == 3
    assert world.clock.sleeps == (1, 2)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert left_in(path.parent) == []


def test_no_retries_no_resuming(world, source, url, path):
    source.next(cut(1000))
    with pytest.raises(ConnectionError, match="broke off") as caught:
        world.client(max_retries=0).download(url, path)
    assert not isinstance(caught.value, MaxRetriesExceeded)
    assert caught.value.__cause__ is not None
    assert source.asked == [(None, None)]
    assert left_in(path.parent) == []


LONG_AGO = {
    "Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT",
    "Date": "Tue, 01 Jul 2025 10:01:00 GMT",
}
JUST_NOW = {
    "Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT",
    "Date": "Tue, 01 Jul 2025 10:00:59 GMT",
}


@pytest.mark.parametrize(
    ("validators", "asked"),
    [
        ({"ETag": '"v1"', **LONG_AGO}, ("bytes=1000-", '"v1"')),
        (LONG_AGO, ("bytes=1000-", LONG_AGO["Last-Modified"])),
        (JUST_NOW, (None, None)),
        ({"Last-Modified": LONG_AGO["Last-Modified"]}, (None, None)),
        ({"ETag": 'W/"v1"'}, (None, None)),
        ({"ETag": 'W/"v1"', **LONG_AGO}, (None, None)),
        ({"ETag": "v1"}, (None, None)),
        ({}, (None, None)),
        ({"ETag": '"v1"', "Accept-Ranges": "none"}, (None, None)),
    ],
)
def test_only_a_strong_validator_is_good_for_a_range(world, source, url, path, validators, asked):
    source.validators = validators
    source.next(cut(1000))
    done = world.client().download(url, path)
    assert source.asked == [(None, None), asked]
    assert path.read_bytes() == CONTENT
    assert done.resumed == (asked[0] is not None)


def test_what_can_not_be_resumed_is_no_progress(world, source, url, path):
    source.validators = {}
    source.next(*[cut(5000)] * 9)
    with pytest.raises(MaxRetriesExceeded):
        world.client(max_retries=2).download(url, path)
    assert len(source.asked) == 3
    assert left_in(path.parent) == []


def test_resuming_can_be_switched_off(world, source, url, path):
    source.next(cut(1000))
    done = world.client().download(url, path, resume=False)
    assert source.asked == [(None, None)] * 2
    assert (path.read_bytes(), done.resumed) == (CONTENT, 0)


def test_a_range_may_be_answered_in_smaller_parts(world, source, url, path):
    def at_most_4000(received, source):
        first = source.first_of(received)
        last = min(first + 3999, len(CONTENT) - 1)
        headers = {**source.validators, "Content-Length": str(last - first + 1)}
        headers["Content-Range"] = f"bytes {first}-{last}/{len(CONTENT)}"
        return raw(206, headers, CONTENT[first : last + 1])

    source.next(cut(1000), *[at_most_4000] * 3)
    done = world.client(max_retries=1).download(url, path)
    assert path.read_bytes() == CONTENT
    assert done.resumed == 3


def test_a_length_that_only_the_range_tells(world, source, url, path):
    source.next(
        raw(
            200,
            {"ETag": '"v1"', "Transfer-Encoding": "chunked"},
            b"3e8\r\n" + CONTENT[:1000] + b"\r\n",
            1007,
        )
    )
    seen = []
    world.client().download(url, path, progress=seen.append)
    assert path.read_bytes() == CONTENT
    assert source.asked[1] == ("bytes=1000-", '"v1"')
    assert (seen[0].total, seen[-1].total) == (None, len(CONTENT))


def test_statuses_between_two_parts_are_retried(world, source, url, path):
    source.next(cut(1000), reply(503, headers={"Retry-After": "7"}), reply(500))
    done = world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert [first for first, _ in source.asked] == [None, *["bytes=1000-"] * 3]
    assert done.resumed == 1
    assert world.clock.sleeps == (1, 7, 4)


def test_an_error_between_two_parts_ends_it(world, source, url, path):
    source.next(cut(1000), reply(403))
    with pytest.raises(HTTPError) as caught:
        world.client().download(url, path)
    assert caught.value.status_code == 403
    assert left_in(path.parent) == []


# -- another version


def test_a_server_that_ignores_ranges(world, source, url, path):
    source.ranges = False
    source.next(cut(1000))
    done = world.client().download(url, path)
    assert source.asked == [(None, None), ("bytes=1000-", '"v1"')]
    assert (path.read_bytes(), done.status, done.resumed) == (CONTENT, 200, 0)


def test_a_file_that_changed_is_fetched_anew(world, source, url, path):
    def changed(received, source):
        source.change()
        return source.answer(received)

    source.next(cut(1000), changed)
    done = world.client().download(url, path)
    assert (path.read_bytes(), done.etag, done.resumed) == (OTHER, '"v2"', 0)
    assert len(source.asked) == 2


SIZE = len(CONTENT)
WRONG = {
    "another tag": part(ETag='"v2"'),
    "a weak tag": part(ETag='W/"v1"'),
    "no range": part(Content_Range=None),
    "garbage": part(Content_Range="bytes 1000-"),
    "another unit": part(Content_Range=f"lines 1000-{SIZE - 1}/{SIZE}"),
    "another beginning": part(Content_Range=f"bytes 999-{SIZE - 2}/{SIZE}"),
    "the beginning": part(Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}"),
    "another total": part(Content_Range=f"bytes 1000-{SIZE - 1}/{SIZE + 1}"),
    "beyond the total": part(Content_Range=f"bytes 1000-{SIZE}/{SIZE}"),
    "another length": part(Content_Range=f"bytes 1000-{SIZE - 2}/{SIZE}"),
    "several parts": part(Content_Type="multipart/byteranges; boundary=x", Content_Range=None),
    "encoded": part(Content_Encoding="gzip"),
    "412": reply(412),
    "416": reply(416, headers={"Content-Range": f"bytes */{SIZE}"}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_never_added(world, source, url, path, wrong):
    source.next(cut(1000), WRONG[wrong])
    done = world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert source.asked == [(None, None), ("bytes=1000-", '"v1"'), (None, None)]
    assert (done.status, done.resumed) == (200, 0)
    assert world.clock.sleeps == (1,)
    assert left_in(path.parent) == ["file.bin"]


def test_a_date_that_changed(world, source, url, path):
    source.validators = LONG_AGO
    source.next(cut(1000), part(Last_Modified="Tue, 01 Jul 2025 10:00:01 GMT"))
    world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert source.asked[2] == (None, None)


def test_a_total_that_nobody_knows_is_not_trusted(world, source, url, path):
    chunks = raw(
        200,
        {"ETag": '"v1"', "Transfer-Encoding": "chunked"},
        b"3e8\r\n" + CONTENT[:1000] + b"\r\n",
        1007,
    )
    source.next(chunks, part(Content_Range=f"bytes 1000-{SIZE - 1}/*"))
    world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert source.asked[2] == (None, None)


def test_a_total_that_is_known_need_not_be_told_again(world, source, url, path):
    source.next(cut(1000), part(Content_Range=f"bytes 1000-{SIZE - 1}/*"))
    assert world.client().download(url, path).resumed == 1
    assert path.read_bytes() == CONTENT


def test_a_version_that_changes_with_every_request(world, source, url, path):
    def changing(received, source):
        source.change(os.urandom(SIZE), {"ETag": f'"{len(source.asked)}"'})
        return source.answer(received, 1000)

    source.next(*[changing] * 20)
    with pytest.raises(MaxRetriesExceeded):
        world.client(max_retries=3).download(url, path)
    # The first attempt brought something; those after it were never further than that.
    assert len(source.asked) == 4
    assert left_in(path.parent) == []


# -- lengths


def test_less_than_promised(world, source, url, path):
    source.next(*[raw(200, {"Content-Length": "20000"}, CONTENT, len(CONTENT))] * 3)
    with pytest.raises(MaxRetriesExceeded):
        world.client(max_retries=2).download(url, path)
    assert left_in(path.parent) == []


def test_less_than_promised_in_a_body_that_ends_well(world, source, url, path):
    short = chunked(206, {"Content-Range": f"bytes 1000-{SIZE - 1}/{SIZE}"}, CONTENT[1000:2000])
    source.next(cut(1000), short)
    done = world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert source.asked[2] == ("bytes=2000-", '"v1"')
    assert done.resumed == 2


def test_a_short_body_is_an_error_with_the_numbers(world, source, url, path):
    source.next(cut(1000), chunked(206, {"Content-Range": f"bytes 1000-{SIZE - 1}/{SIZE}"}, b""))
    with pytest.raises(MaxRetriesExceeded) as caught:
        world.client(max_retries=1).download(url, path)
    assert f"ended after 1000 of {SIZE} bytes" in str(caught.value.__cause__)


def test_more_than_promised(world, source, url, path):
    long = chunked(206, {"Content-Range": f"bytes 1000-{SIZE - 1}/{SIZE}"}, CONTENT[1000:] + b"x")
    source.next(cut(1000), long)
    with pytest.raises(ValidationError, match=f"{SIZE + 1} bytes came where {SIZE} were promised"):
        world.client().download(url, path)
    assert len(source.asked) == 2
    assert left_in(path.parent) == []


# -- encoded all the same


def test_what_comes_encoded_is_decoded(world, server, path):
    server.route("/file", gzip(CONTENT, headers={"ETag": '"v1"'}))
    digest = hashlib.sha256(CONTENT).hexdigest()
    seen = []
    client = world.client()
    done = client.download(
        server.url("/file"), path, checksum=f"sha256:{digest}", progress=seen.append
    )
    assert (path.read_bytes(), done.size) == (CONTENT, SIZE)
    assert {progress.total for progress in seen} == {None}


def test_what_comes_encoded_is_not_resumed(world, source, url, path):
    packed = gzip_module.compress(CONTENT)
    headers = {"ETag": '"v1"', "Content-Encoding": "gzip", "Content-Length": str(len(packed))}
    source.next(raw(200, headers, packed, 200))
    done = world.client().download(url, path)
    assert source.asked == [(None, None)] * 2
    assert (path.read_bytes(), done.resumed) == (CONTENT, 0)


PACKED = gzip_module.compress(CONTENT)
IN_GZIP = {"ETag": '"v1"', "Content-Encoding": "gzip"}


@pytest.mark.parametrize("size", [5, 200, len(PACKED) - 1])
@pytest.mark.parametrize("framing", ["length", "chunks", "none"])
def test_gzip_that_was_cut_short_is_no_file(world, source, url, path, framing, size):
    cut_short = PACKED[:size]
    answer = {
        "length": raw(200, {**IN_GZIP, "Content-Length": str(size)}, cut_short),
        "chunks": chunked(200, IN_GZIP, cut_short),
        "none": raw(200, IN_GZIP, cut_short, size),
    }[framing]
    source.next(*[answer] * 2)
    with pytest.raises(MaxRetriesExceeded) as caught:
        world.client(max_retries=1).download(url, path)
    assert "ended in the middle of its gzip" in str(caught.value.__cause__)
    assert left_in(path.parent) == []


def test_gzip_that_was_cut_short_is_fetched_again(world, source, url, path):
    source.next(chunked(200, IN_GZIP, PACKED[:200]))
    done = world.client().download(url, path)
    assert source.asked == [(None, None)] * 2
    assert (path.read_bytes(), done.size) == (CONTENT, SIZE)


@pytest.mark.parametrize("rest", [b"", b"\0" * 512, b"no gzip"])
def test_gzip_of_several_members(world, source, url, path, rest):
    body = PACKED + gzip_module.compress(b"") + gzip_module.compress(OTHER) + rest
    source.next(raw(200, {**IN_GZIP, "Content-Length": str(len(body))}, body))
    world.client().download(url, path)
    assert path.read_bytes() == CONTENT + OTHER


@pytest.mark.parametrize("body", [b"no gzip at all", PACKED[:-8] + b"12345678"])
def test_what_is_no_gzip_is_no_file(world, source, url, path, body):
    source.next(raw(200, {**IN_GZIP, "Content-Length": str(len(body))}, body))
    with pytest.raises(ValidationError, match=r"what came as gzip is none .*nothing was saved"):
        world.client().download(url, path)
    assert left_in(path.parent) == []


def test_an_empty_body_in_gzip(world, source, url, path):
    source.next(raw(200, {**IN_GZIP, "Content-Length": "0"}, b""))
    assert world.client().download(url, path).size == 0
    assert path.read_bytes() == b""


def test_gzip_that_unpacks_to_much_more(world, source, url, path):
    zeros = bytes(5 << 20)
    body = gzip_module.compress(zeros)
    source.next(raw(200, {**IN_GZIP, "Content-Length": str(len(body))}, body))
    world.client().download(url, path)
    assert path.read_bytes() == zeros


def test_an_encoding_of_the_callers(world, server, path):
    server.route("/file", gzip(CONTENT))
    headers = {"accept-encoding": "gzip"}
    world.client().download(server.url("/file"), path, headers=headers)
    assert server.requests[0].headers["accept-encoding"] == "gzip"
    assert path.read_bytes() == CONTENT


# -- checksums


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_checksums(world, source, url, path, algorithm):
    source.next(cut(1000))
    expected = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    done = world.client().download(url, path, checksum=expected.upper())
    assert done.checksum == expected
    assert done.resumed == 1


def test_the_checksum_is_that_of_the_version_that_was_saved(world, source, url, path):
    def changed(received, source):
        source.change()
        return source.answer(received)

    source.next(cut(1000), changed)
    digest = hashlib.sha256(OTHER).hexdigest()
    assert world.client().download(url, path, checksum=f"sha256:{digest}").checksum


def test_another_checksum_is_an_error(world, source, url, path):
    path.write_bytes(b"before")
    digest, came = hashlib.sha256(b"").hexdigest(), hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(ValidationError, match=f"{came}, not {digest}"):
        world.client().download(url, path, checksum=f"sha256:{digest}", resume="keep")
    assert path.read_bytes() == b"before"
    assert left_in(path.parent) == ["file.bin"]
    assert len(source.asked) == 1


# -- statuses


def test_an_error_status_leaves_nothing(world, url, path, server):
    path.write_bytes(b"before")
    with pytest.raises(HTTPError) as caught:
        world.client().download(server.url("/missing"), path)
    assert (caught.value.status_code, path.read_bytes()) == (404, b"before")
    assert left_in(path.parent) == ["file.bin"]
    assert server.count() == 1


def test_a_status_that_is_ok_for_the_client_is_no_file(world, path, server):
    with pytest.raises(HTTPError):
        world.client(ok_statuses={404}).download(server.url("/missing"), path)
    assert left_in(path.parent) == []


def test_statuses_worth_a_retry(world, source, url, path):
    source.next(reply(500), reply(503))
    world.client().download(url, path)
    assert path.read_bytes() == CONTENT
    assert world.clock.sleeps == (1, 2)


def test_retries_that_do_not_help(world, source, url, path):
    source.next(*[reply(503)] * 9)
    with pytest.raises(MaxRetriesExceeded) as caught:
        world.client(max_retries=2).download(url, path)
    assert caught.value.status_code == 503
    assert len(source.asked) == 3
    assert left_in(path.parent) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(204), "no content"),
        (reply(206, body="x", headers={"Content-Range": "bytes 0-0/9"}), "not asked for"),
        (reply(300, body="x"), "redirect"),
    ],
)
def test_answers_without_a_file(world, source, url, path, answer, said):
    source.next(answer)
    with pytest.raises(ValidationError, match=said):
        world.client().download(url, path)
    assert left_in(path.parent) == []


def test_a_file_that_was_not_modified(world, source, url, path):
    path.write_bytes(b"before")
    source.next(reply(304, headers={"ETag": '"v1"'}))
    done = world.client().download(
        url, path, headers={"If-None-Match": '"v1"'}, checksum="md5:" + "0" * 32
    )
    assert (done.status, done.size, done.checksum, done.etag) == (304, 0, None, '"v1"')
    assert path.read_bytes() == b"before"
    assert left_in(path.parent) == ["file.bin"]


# -- what the client adds


def test_redirects_carry_no_credentials_elsewhere(world, source, path, server):
    with FaultServer() as elsewhere:
        elsewhere.route("/file", source)
        server.route("/old", redirect(elsewhere.url("/file")))
        source.next(cut(1000))
        client = world.client(bearer_token="hidden")
        client.download(server.url("/old"), path, headers={"X-Api-Key": "hidden"})
        assert path.read_bytes() == CONTENT
        assert [one.headers.get("authorization") for one in server.requests] == [
            "Bearer hidden"
        ] * 2
        assert all("hidden" not in str(one.headers.raw) for one in elsewhere.requests)
    assert source.asked == [(None, None), ("bytes=1000-", '"v1"')]


def test_a_limiter_is_waited_for_between_two_parts(world, source, url, path):
    source.next(cut(1000))
    client = world.client(rate_limit_requests=1, rate_limit_period=60, rate_limit_mode="raise")
    client.download(url, path)
    assert path.read_bytes() == CONTENT
    assert sum(world.clock.sleeps) >= 60
    with pytest.raises(RateLimitExceeded):
        client.download(url, path)


def test_an_open_circuit_makes_no_file(world, server, path):
    server.route("/down", reply(500))
    client = world.client(circuit_breaker_failure_threshold=1, max_retries=0)
    for kind in (HTTPError, CircuitBreakerOpen):
        with pytest.raises(kind):
            client.download(server.url("/down"), path)
    assert left_in(path.parent) == []


def test_a_post_is_not_sent_twice(world, source, url, path):
    source.next(cut(1000))
    with pytest.raises(ConnectionError):
        world.client().download(url, path, method="POST", json={"report": 1})
    assert source.asked == [(None, None)]
    assert left_in(path.parent) == []


def test_a_post_with_a_key_is_sent_again_from_the_beginning(world, source, url, path, server):
    source.next(cut(1000))
    client = world.client(idempotency_key_header="Idempotency-Key")
    client.download(url, path, method="POST", json={"report": 1})
    assert path.read_bytes() == CONTENT
    assert source.asked == [(None, None)] * 2
    keys = {one.headers["idempotency-key"] for one in server.requests}
    assert len(keys) == 1


def test_a_body_that_is_spent_is_not_sent_again(world, source, url, path, server):
    source.next(cut(1000))
    client = world.client(idempotency_key_header="Idempotency-Key")
    name = "data" if isinstance(client.face.manager, requests.Session) else "content"
    with pytest.raises(ConnectionError):
        client.download(url, path, method="POST", **{name: world.one_shot_body(b"one")})
    assert server.count("/file") == 1


@pytest.mark.parametrize("name", ["Range", "if-range"])
def test_the_callers_own_range_is_refused(world, source, url, path, name):
    with pytest.raises(ValueError, match=f"header {name} can't be given"):
        world.client().download(url, path, headers={name: "bytes=1-"})
    assert source.asked == []


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"method": "head"}, ValueError, "one whose answer has a body"),
        ({"path": b"x"}, TypeError, "path must be"),
        ({"path": 7}, TypeError, "path must be"),
        ({"path": ""}, ValueError, "path must name"),
        ({"path": "a\0b"}, ValueError, "path must name"),
        ({"resume": "yes"}, ValueError, "resume must be True, False or 'keep'"),
        ({"resume": None}, TypeError, "resume must be"),
        ({"overwrite": 1}, TypeError, "overwrite must be"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be"),
        ({"chunk_size": 1.5}, TypeError, "chunk_size must be"),
        ({"checksum": 7}, TypeError, "checksum must be"),
        ({"checksum": "crc32:00000000"}, ValueError, "checksum must be"),
        ({"checksum": "md5:00"}, ValueError, "a md5 has 16 bytes, not 1"),
        ({"progress": 7}, TypeError, "progress must be"),
        ({"progress": anyio.sleep}, TypeError, "coroutine function"),
        ({"method": 7}, TypeError, "method must be"),
        ({"raise_for_status": False}, ValueError, "raise_for_status can't be given"),
        ({"ok_statuses": {404}}, ValueError, "ok_statuses can't be given"),
        ({"stream": True}, ValueError, "stream can't be given"),
        ({"max_retries": -1}, ValueError, "max_retries must be"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_bad_input_is_refused(world, source, url, path, options, kind, said):
    options = {"path": path, **options}
    with pytest.raises(kind, match=said):
        world.client().download(url, **options)
    assert source.asked == []
    assert left_in(path.parent) == []


# -- time


def test_the_deadline_covers_the_body(world, server, path):
    server.route("/slow", drip("body", 0.05, size=1000))
    with within(10), pytest.raises(DeadlineExceeded):
        world.client(clock=None).download(server.url("/slow"), path, total_timeout=0.3)
    assert left_in(path.parent) == []


def test_the_deadline_covers_the_waits(world, source, url, path):
    source.next(cut(1000), cut(0), cut(0))
    with pytest.raises(MaxRetriesExceeded) as caught:
        world.client(backoff_factor=4).download(url, path, total_timeout=10)
    assert caught.value.reason == "deadline"
    assert world.clock.sleeps == (4,)
    assert left_in(path.parent) == []


def test_a_callback_may_use_up_the_time(world, source, url, path):
    source.next(cut(1000))
    with pytest.raises((DeadlineExceeded, MaxRetriesExceeded)):
        world.client().download(
            url, path, total_timeout=10, progress=lambda _: world.clock.advance(20)
        )
    assert left_in(path.parent) == []


# -- progress


def test_progress_is_told(world, source, url, path):
    source.next(cut(1000))
    seen = []
    world.client().download(url, path, progress=seen.append)
    assert seen == [
        Progress(0, SIZE),
        Progress(1000, SIZE),
        Progress(1000, SIZE, resumed=1, attempt=2),
        Progress(SIZE, SIZE, resumed=1, attempt=2),
    ]


def test_progress_goes_back_when_it_begins_anew(world, source, url, path):
    source.ranges = False
    source.next(cut(1000))
    seen = []
    world.client().download(url, path, progress=lambda progress: seen.append(progress.received))
    assert seen == [0, 1000, 0, SIZE]


@pytest.mark.parametrize(
    "error", [KeyError("mine"), ConnectionResetError("mine"), ConnectionError("mine")]
)
@pytest.mark.parametrize("attempt", [1, 2])
def test_what_a_callback_raises_ends_the_download(world, source, url, path, server, error, attempt):
    def callback(progress):
        if progress.attempt == attempt and progress.received:
            raise error

    source.next(cut(1000))
    with pytest.raises(type(error), match="mine") as caught:
        world.client().download(url, path, progress=callback)
    assert caught.value is error
    assert len(source.asked) == attempt
    assert left_in(path.parent) == []
    # Over aiohttp an answer that is there whole leaves its connection free, read or not.
    kept = 1 if world.loop == "aiohttp" and attempt == 2 else 0
    wait_until(lambda: server.open_connections <= kept)


def test_a_bar(world, source, url, path, capsys):
    pytest.importorskip("rich")
    world.client().download(url, path, progress=True)
    assert "file.bin" in capsys.readouterr().err
    assert path.read_bytes() == CONTENT


def test_a_bar_without_its_extra(world, source, url, path, monkeypatch):
    for name in ("rich", "rich.progress"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ImportError, match=r"requests-connection-manager\[progress\]"):
        world.client().download(url, path, progress=True)
    assert source.asked == []


# -- the file


def test_paths_that_can_not_be_are_refused_before_anything_is_sent(world, source, url, tmp_path):
    (tmp_path / "file").write_bytes(b"before")
    os.mkdir(tmp_path / "folder")
    client = world.client()
    for path, kind in (
        (tmp_path / "missing" / "file", FileNotFoundError),
        (tmp_path / "file" / "below", NotADirectoryError),
        (tmp_path / "folder", IsADirectoryError),
        (f"{tmp_path}/file/", IsADirectoryError),
        (f"{tmp_path}/new/", IsADirectoryError),
        (os.devnull, ValueError),
        ("/proc/file", OSError),
    ):
        with pytest.raises(kind):
            client.download(url, path)
    with pytest.raises(FileExistsError):
        client.download(url, tmp_path / "file", overwrite=False)
    assert source.asked == []
    assert left_in(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_what_may_not_be_written_is_refused(world, source, url, path):
    path.write_bytes(b"before")
    path.chmod(0o400)
    client = world.client()
    with pytest.raises(PermissionError):
        client.download(url, path)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            client.download(url, path.parent / "new")
    finally:
        path.parent.chmod(0o700)
    assert source.asked == []


def test_a_file_that_comes_there_meanwhile_is_not_overwritten(world, source, url, path):
    with pytest.raises(FileExistsError):
        world.client().download(
            url, path, overwrite=False, progress=lambda _: path.write_bytes(b"theirs")
        )
    assert path.read_bytes() == b"theirs"
    assert left_in(path.parent) == ["file.bin"]


def test_a_new_file_without_overwriting(world, source, url, path):
    world.client().download(url, path, overwrite=False)
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == ["file.bin"]


def test_a_full_disk_ends_it_at_once(world, server, path):
    resource = pytest.importorskip("resource")
    path.write_bytes(b"before")
    server.route("/large", sized(8 << 20, headers={"ETag": '"v1"'}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            world.client().download(server.url("/large"), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert server.count() == 1
    assert left_in(path.parent) == ["file.bin"]
    assert path.read_bytes() == b"before"


def test_a_disk_that_fills_up_between_two_parts(world, source, url, path):
    resource = pytest.importorskip("resource")
    source.content = os.urandom(4 << 20)
    source.next(cut(1 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress):
        if progress.attempt == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))

    try:
        with pytest.raises(OSError):
            world.client().download(url, path, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(source.asked) == 2
    assert left_in(path.parent) == []


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX's")
def test_permissions_are_those_that_open_would_give(world, source, url, tmp_path):
    client = world.client()
    before = os.umask(0o027)
    try:
        client.download(url, tmp_path / "new")
        (tmp_path / "private").write_bytes(b"")
        (tmp_path / "private").chmod(0o600)
        client.download(url, tmp_path / "private")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_link_is_followed(world, source, url, tmp_path):
    os.mkdir(tmp_path / "there")
    for name in ("file", "new"):
        os.symlink(os.path.join("there", name), tmp_path / name)
    (tmp_path / "there" / "file").write_bytes(b"before")
    client = world.client()
    for name in ("file", "new"):
        client.download(url, tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "there" / name).read_bytes() == CONTENT
    assert left_in(tmp_path / "there") == ["file", "new"]


# -- kept for a later call


def test_a_part_is_kept_and_completed(world, source, url, path):
    source.next(cut(1000))
    path.write_bytes(b"before")
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    client = world.client(max_retries=0)
    with pytest.raises(ConnectionError):
        client.download(url, path, resume="keep")
    assert left_in(path.parent) == [".file.bin.part", "file.bin"]
    assert path.read_bytes() == b"before"
    done = client.download(url, path, resume="keep", checksum=digest)
    assert source.asked == [(None, None), ("bytes=1000-", '"v1"')]
    assert (path.read_bytes(), done.resumed, done.checksum) == (CONTENT, 1, digest)
    assert left_in(path.parent) == ["file.bin"]


def test_a_part_grows_from_call_to_call(world, source, url, path):
    client = world.client(max_retries=0)
    for size in (1000, 2000, 3000):
        source.next(cut(1000))
        with pytest.raises(ConnectionError):
            client.download(url, path, resume="keep")
        assert left_in(path.parent) == [".file.bin.part"]
        assert source.asked[-1][0] == (f"bytes={size - 1000}-" if size > 1000 else None)
    client.download(url, path, resume="keep")
    assert path.read_bytes() == CONTENT


def test_a_part_outlives_a_call_that_never_connected(world, source, url, path, server):
    client = world.client(max_retries=0)
    source.next(cut(1000), reply(503))
    for _ in range(2):
        with pytest.raises((ConnectionError, HTTPError)):
            client.download(url, path, resume="keep")
        assert left_in(path.parent) == [".file.bin.part"]
    assert client.download(url, path, resume="keep").resumed == 1
    assert path.read_bytes() == CONTENT


def test_a_part_of_another_version_is_dropped(world, source, url, path):
    source.next(cut(1000))
    client = world.client(max_retries=0)
    with pytest.raises(ConnectionError):
        client.download(url, path, resume="keep")
    source.change()
    assert client.download(url, path, resume="keep").resumed == 0
    assert path.read_bytes() == OTHER


def test_a_part_of_something_else_is_not_taken_up(world, source, url, path, server):
    source.next(cut(1000))
    client = world.client(max_retries=0)
    with pytest.raises(ConnectionError):
        client.download(url, path, resume="keep")
    client.download(f"{url}?page=2", path, resume="keep")
    assert source.asked == [(None, None)] * 2
    assert left_in(path.parent) == ["file.bin"]


def test_a_part_of_a_file_that_is_gone_is_removed(world, source, url, path):
    source.next(cut(1000), reply(404))
    client = world.client(max_retries=0)
    for kind in (ConnectionError, HTTPError):
        with pytest.raises(kind):
            client.download(url, path, resume="keep")
    assert left_in(path.parent) == []


def test_without_a_validator_nothing_is_kept(world, source, url, path):
    source.validators = {}
    source.next(cut(1000))
    with pytest.raises(ConnectionError):
        world.client(max_retries=0).download(url, path, resume="keep")
    assert left_in(path.parent) == []


def test_a_call_without_keep_leaves_a_part_alone(world, source, url, path):
    source.next(cut(1000))
    client = world.client(max_retries=0)
    with pytest.raises(ConnectionError):
        client.download(url, path, resume="keep")
    client.download(url, path)
    assert source.asked == [(None, None)] * 2
    assert left_in(path.parent) == [".file.bin.part", "file.bin"]


def test_a_part_is_kept_when_a_callback_ends_it(world, source, url, path):
    def stop(progress):
        if progress.received:
            raise KeyError("enough")

    source.content = os.urandom(1 << 20)
    client = world.client()
    with pytest.raises(KeyError):
        client.download(url, path, resume="keep", progress=stop, chunk_size=1)
    assert client.download(url, path, resume="keep").resumed == 1
    assert path.read_bytes() == source.content


# -- interrupted


def test_ctrl_c(world, server, path):
    def interrupt(progress):
        raise KeyboardInterrupt

    if not world.is_sync:
        pytest.skip("it would end the event loop of the tests")
    server.route("/slow", drip("body", 0.01, size=10_000))
    with pytest.raises(KeyboardInterrupt):
        world.client().download(server.url("/slow"), path, progress=interrupt)
    assert left_in(path.parent) == []
    wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("resume", [True, "keep"])
def test_cancelled(world, source, url, server, path, resume):
    if world.is_sync:
        pytest.skip("only tasks are cancelled")
    source.content = bytes(20_000)
    source.next(_hanging)
    manager = world.client().face.manager

    async def main():
        with anyio.CancelScope() as scope:
            await manager.download(
                url,
                path,
                resume=resume,
                chunk_size=1,
                progress=lambda progress: progress.received and scope.cancel(),
            )
        assert scope.cancelled_caught

    world.call(main)
    assert left_in(path.parent) == ([".file.bin.part"] if resume == "keep" else [])
    wait_until(lambda: server.open_connections == 0)


def test_cancelled_natively(source, url, server, path):
    source.content = bytes(20_000)
    source.next(_hanging)

    async def main():
        begun = asyncio.Event()

        def tell(progress):
            if progress.received:
                begun.set()

        async with AsyncConnectionManager() as manager:
            task = asyncio.ensure_future(manager.download(url, path, chunk_size=1, progress=tell))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert left_in(path.parent) == []
    wait_until(lambda: server.open_connections == 0)


def _hanging(received, source):
    """Answer with a part of the body and then a byte at a time, until the client has gone."""
    rest = [action for byte in source.content[1000:] for action in (0.01, bytes([byte]))]
    return replace(source.answer(received), body=(source.content[:1000], *rest))


def test_a_path_relative_to_the_base(world, server, path):
    if not isinstance(world._driver, RestDriver):
        pytest.skip("managers have no base URL")
    server.route("/v1/who", echo())
    world.client().download("/v1/who", path)
    assert b"/v1/who" in path.read_bytes()
