"""Batches that are written down: what is kept, and how they go on from there, in all worlds."""

from __future__ import annotations

import base64
import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys

import httpx
import pytest
import requests
from batches import Steps, alive
from drivers import wait_until

from requests_connection_manager import (
    JournalEntry,
    JournalError,
    JsonLinesJournal,
    RecordedFailure,
    SqliteJournal,
)
from requests_connection_manager.testing import reply


@pytest.fixture
def face(driver):
    return driver.manager(max_retries=0, rate_limit_requests=None, timeout=30)


@pytest.fixture
def begin(driver, face):
    return lambda items, **options: Steps(driver, face, items, **options)


@pytest.fixture
def run(begin):
    return lambda items, **options: list(begin(items, **options))


@pytest.fixture(params=["done.jsonl", "done.sqlite"])
def path(request, tmp_path):
    return tmp_path / request.param


@pytest.fixture
def echo(server):
    server.route("/", lambda received: reply(200, body=received.query, headers=HEADERS))
    return server


driver_errors = (requests.HTTPError, httpx.HTTPStatusError)

HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "ETag": '"7"',
    "Set-Cookie": "session=secret-cookie",
    "X-Token": "secret-header",
}


def calls(server, count):
    return [("GET", server.url(f"/?{number}")) for number in range(count)]


def texts(results):
    return [result.response.text for result in results]


def entries(path):
    """Return what a journal holds, in the order in which it was written."""
    if path.suffix == ".jsonl":
        return [JournalEntry.from_json(line) for line in path.read_text().splitlines()]
    with sqlite3.connect(str(path)) as database:
        keys = [key for (key,) in database.execute("SELECT key FROM batch_results")]
    database.close()
    journal = SqliteJournal(path)
    journal.open()
    found = [journal.lookup(key) for key in keys]
    journal.close()
    return found


def test_what_is_done_is_not_done_again(run, echo, path):
    items = calls(echo, 6)
    first = run(items, journal=path, ordered=True)
    again = run(items, journal=path, ordered=True)
    assert echo.count() == 6
    assert [result.recorded for result in first + again] == [False] * 6 + [True] * 6
    assert texts(first) == texts(again) == list("012345")
    for result in again:
        assert result.response.status_code == 200
        assert result.response.headers["etag"] == '"7"'
        assert result.response.elapsed.total_seconds() > 0
        assert result.result() is result.response
        assert result.request[:2] == items[result.index]


def test_only_what_is_missing_is_done(begin, run, echo, path):
    steps = begin(calls(echo, 20), journal=path, max_workers=1, buffer=0, ordered=True)
    for _ in range(5):
        next(steps)
    steps.close()
    done = echo.count()
    assert 5 <= done <= 6
    results = run(calls(echo, 20), journal=path, ordered=True)
    assert texts(results) == [str(number) for number in range(20)]
    assert 5 <= sum(result.recorded for result in results) <= 6
    assert echo.count() - done == 20 - sum(result.recorded for result in results)


def test_what_is_done_can_be_left_out(run, echo, path):
    run(calls(echo, 3), journal=path)
    seen = []
    results = run(
        calls(echo, 5), journal=path, replay=False, progress=lambda *told: seen.append(told)
    )
    assert sorted(texts(results)) == ["3", "4"]
    assert seen[-1] == (5, 5)


def test_a_result_that_was_given_out_is_in_the_journal(begin, echo, tmp_path):
    path = tmp_path / "done.jsonl"
    for count, result in enumerate(begin(calls(echo, 10), journal=path), 1):
        keys = [entry.key for entry in entries(path)]
        assert str(result.index) in keys
        assert len(keys) >= count


def test_failures_are_done_again(run, echo, path):
    echo.route("/busy", reply(503))
    items = [("GET", "nonsense://api.test/?api_key=secret"), ("GET", echo.url("/busy"))]
    first = run(items, journal=path, ordered=True)
    assert first[0].error is not None
    again = run(items, journal=path, ordered=True)
    assert not again[0].recorded
    assert again[1].recorded  # a response of any status is one
    assert again[1].response.status_code == 503
    found = {entry.key: entry for entry in entries(path)}
    assert found["0"].error.startswith(type(first[0].error).__name__)
    assert "secret" not in path.read_text(errors="replace")


def test_failures_can_be_left_as_they_are(run, echo, path):
    with_failure = [("GET", "nonsense://api.test/"), *calls(echo, 1)]
    first = run(with_failure, journal=path, ordered=True)
    again = run(with_failure, journal=path, ordered=True, retry_failed=False)
    assert isinstance(again[0].error, RecordedFailure)
    assert type(first[0].error).__name__ in str(again[0].error)
    assert again[0].recorded
    with pytest.raises(RecordedFailure):
        run(with_failure, journal=path, retry_failed=False, return_exceptions=False)


def test_a_status_that_was_raised_is_a_failure(driver, echo, path):
    face = driver.manager(max_retries=0, raise_for_status=True)
    echo.route("/gone", reply(404))
    list(Steps(driver, face, [("GET", echo.url("/gone"))], journal=path))
    (entry,) = entries(path)
    assert (entry.status, entry.error.split(":")[0]) == (404, "HTTPError")
    (result,) = Steps(driver, face, [("GET", echo.url("/gone"))], journal=path, retry_failed=False)
    assert result.error.status_code == 404


def test_a_replayed_response_is_one_of_that_request(run, echo, path):
    echo.route("/gone", reply(404))
    items = [("GET", echo.url("/gone?a=1"), {"params": {"b": "c d"}})]
    (first,), (again,) = run(items, journal=path), run(items, journal=path)
    assert again.recorded
    assert str(again.response.url) == str(first.response.url)
    assert again.response.request.method == "GET"
    messages = []
    for result in (first, again):
        with pytest.raises(driver_errors) as caught:
            result.response.raise_for_status()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# -- what is kept


def test_no_secret_is_kept(driver, echo, path):
    face = driver.manager(bearer_token="secret-token", max_retries=0)
    url = echo.url("/?page=2&api_key=secret-key").replace("//", "//user:secret-pw@")
    body = {"password": "secret-json"}
    item = ("POST", url, {"headers": {"X-Api-Key": "secret-mine"}, "json": body})
    (result,) = Steps(driver, face, [item], journal=path, save=lambda response: None)
    assert result.error is None
    kept = b"".join(one.read_bytes() for one in path.parent.iterdir())
    assert b"page=2" in kept
    assert b"secret" not in kept


def test_the_file_is_its_owners(run, echo, path):
    run(calls(echo, 1), journal=path)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_body_of_any_bytes_is_kept(run, echo, path):
    body = bytes(range(256))
    echo.route("/bytes", reply(200, body=body, headers={"Content-Type": "image/png"}))
    run([("GET", echo.url("/bytes"))], journal=path)
    (result,) = run([("GET", echo.url("/bytes"))], journal=path)
    assert result.response.content == body
    if path.suffix == ".jsonl":
        assert base64.b64decode(json.loads(path.read_text())["body_base64"]) == body


def test_a_text_body_keeps_its_encoding(run, echo, path):
    body, kind = "café".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"}
    echo.route("/latin", reply(200, body=body, headers=kind))
    run([("GET", echo.url("/latin"))], journal=path)
    assert texts(run([("GET", echo.url("/latin"))], journal=path)) == ["café"]


def test_a_body_that_is_too_long_is_not_kept(run, echo, path):
    echo.route("/long", reply(200, body="x" * 101))
    echo.route("/fits", reply(200, body="x" * 100))
    items = [("GET", echo.url("/long")), ("GET", echo.url("/fits"))]
    run(items, journal=path, max_body_bytes=100)
    long, fits = run(items, journal=path, ordered=True)
    assert fits.response.text == "x" * 100
    assert long.response.status_code == 200
    with pytest.raises(RuntimeError):  # of requests and of httpx alike
        bytes(long.response.content)
    assert {entry.size for entry in entries(path)} == {100, 101}


def test_save_says_what_is_kept(run, echo, path):
    def save(response):
        return {"text": response.text}

    first = run(calls(echo, 3), journal=path, save=save, ordered=True)
    again = run(calls(echo, 3), journal=path, save=save, ordered=True)
    assert [result.saved for result in first] == [{"text": str(number)} for number in range(3)]
    assert [result.saved for result in again] == [result.saved for result in first]
    assert all(entry.body is None for entry in entries(path))


@pytest.mark.parametrize(
    "save", [lambda response: object(), lambda response: 1 / 0], ids=["kind", "raises"]
)
def test_what_save_can_not_do_is_a_failure_of_the_item(run, echo, path, save):
    (result,) = run(calls(echo, 1), journal=path, save=save)
    assert isinstance(result.error, (TypeError, ZeroDivisionError))
    (result,) = run(calls(echo, 1), journal=path)
    assert (result.recorded, result.error) == (False, None)


# -- which item it is


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (lambda m, u, k: ("POST", u, k), True),
        (lambda m, u, k: (m, u + "x", k), True),
        (lambda m, u, k: (m, u, {"params": {"page": 2}}), True),
        (lambda m, u, k: (m, u, {**k, "headers": {"Authorization": "Bearer new"}}), False),
        (lambda m, u, k: (m.lower(), u, k), False),
    ],
    ids=["method", "URL", "params", "headers", "case"],
)
def test_another_item_in_its_place_is_noticed(begin, run, echo, path, change, noticed):
    items = [(*item, {"params": {"page": 1}}) for item in calls(echo, 3)]
    run(items, journal=path)
    changed = [items[0], change(*items[1]), items[2]]
    if not noticed:
        assert all(result.recorded for result in run(changed, journal=path))
        return
    steps = begin(changed, journal=path, ordered=True)
    assert next(steps).recorded
    with pytest.raises(JournalError, match=r"requests_data\[1\]"):
        next(steps)
    assert echo.count() == 3


def test_a_changed_body_is_noticed(begin, run, echo, path):
    run([("POST", echo.url("/"), {"json": {"n": 1}})], journal=path)
    with pytest.raises(JournalError, match=r"requests_data\[0\]"):
        run([("POST", echo.url("/"), {"json": {"n": 2}})], journal=path)


def test_keys_of_ones_own(run, echo, path):
    def key(item):
        return item[1].rpartition("?")[2]

    items = calls(echo, 5)
    run(items[:3], journal=path, key=key)
    results = run(items[::-1], journal=path, key=key, ordered=True)
    assert [(result.key, result.recorded) for result in results] == [
        *[("4", False), ("3", False), ("2", True), ("1", True), ("0", True)]
    ]
    assert texts(results) == list("43210")


@pytest.mark.parametrize("key", [2**70, -1, "", "a\nb\0c\u2028", "caf\udce9"], ids=ascii)
def test_keys_of_any_text(run, echo, path, key):
    for recorded in (False, True):
        (result,) = run(calls(echo, 1), journal=path, key=lambda item: key)
        assert (result.key, result.recorded) == (key, recorded)


def test_a_key_of_another_kind_is_a_failure_of_the_item(run, echo):
    (result,) = run(calls(echo, 1), key=lambda item: None)
    assert isinstance(result.error, TypeError)
    assert "requests_data[0]" in str(result.error)


# -- files


@pytest.mark.parametrize("tail", ['{"key":"2","metho', '{"key":"2"}', '"'])
def test_a_line_that_was_cut_off_is_dropped(run, echo, tmp_path, tail):
    path = tmp_path / "done.jsonl"
    run(calls(echo, 2), journal=path)
    with path.open("a") as file:
        file.write(tail)
    assert texts(run(calls(echo, 3), journal=path, ordered=True)) == ["0", "1", "2"]
    assert sorted(entry.key for entry in entries(path)) == ["0", "1", "2"]
    assert echo.count() == 3


@pytest.mark.parametrize(
    "content",
    [
        *("a,b\n1,2\n", '{"id": 1}\n', "[]\n", '{"key": 5}\n', '{"key": "a", "value": 1}\n'),
        *("one word", '{"id": 1}', "[]", "\0" * 9),
    ],
)
def test_a_file_of_something_else_is_left_alone(run, echo, tmp_path, content):
    path = tmp_path / "data.jsonl"
    path.write_text(content)
    with pytest.raises(JournalError, match=r"line 1 of .*data\.jsonl"):
        run(calls(echo, 1), journal=path)
    assert path.read_text() == content
    assert echo.count() == 0


def test_a_file_that_is_no_database(run, echo, tmp_path):
    path = tmp_path / "data.db"
    path.write_text("something else" * 100)
    with pytest.raises(JournalError, match=r"data\.db"):
        run(calls(echo, 1), journal=path)


def test_a_database_of_something_else_is_left_alone(run, echo, tmp_path):
    path = tmp_path / "app.db"
    database = sqlite3.connect(str(path))
    database.execute("CREATE TABLE users (name TEXT)")
    database.commit()
    database.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"app\.db.*'users'"):
        run(calls(echo, 1), journal=path)
    assert path.read_bytes() == before
    assert os.listdir(str(tmp_path)) == ["app.db"]
    assert echo.count() == 0


def test_a_table_of_another_form(run, echo, tmp_path):
    path = tmp_path / "old.db"
    database = sqlite3.connect(str(path))
    database.execute("CREATE TABLE batch_results (key TEXT, answer TEXT)")
    database.commit()
    database.close()
    with pytest.raises(JournalError, match=r"old\.db"):
        run(calls(echo, 1), journal=path)
    assert echo.count() == 0


def test_an_entry_that_can_not_be_read(run, echo, tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_text('{"key":"0","method":"GET","url":"/","status":200,"body_base64":"a"}\n')
    with pytest.raises(JournalError, match="can't be read"):
        run(calls(echo, 1), journal=path)
    assert echo.count() == 0


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no devices here")
def test_a_device_is_no_journal(run, echo):
    with pytest.raises(JournalError, match="device"):
        run(calls(echo, 1), journal=JsonLinesJournal("/dev/zero"))
    assert echo.count() == 0


def test_a_folder_that_is_not_there(run, echo, path):
    with pytest.raises(JournalError, match="missing"):
        run(calls(echo, 1), journal=path.parent / "missing" / path.name)
    assert echo.count() == 0


def test_a_journal_in_use_is_refused(begin, run, echo, path):
    steps = begin(calls(echo, 9), journal=path, max_workers=1)
    next(steps)
    with pytest.raises(JournalError, match="in use by another batch"):
        run(calls(echo, 1), journal=path)
    assert len(list(steps)) == 8
    assert run(calls(echo, 1), journal=path)[0].recorded


HOLDS = """
import sys
from requests_connection_manager.batch.plan import journal_of
journal = journal_of(sys.argv[1])
journal.open()
print("open", flush=True)
sys.stdin.read()
"""


def test_a_journal_in_use_by_another_process_is_refused(run, echo, path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline().strip() == b"open"
        with pytest.raises(JournalError, match="in use by another batch"):
            run(calls(echo, 1), journal=path)
        other.kill()  # no time to let go of anything
    assert len(run(calls(echo, 1), journal=path)) == 1


class FullDisk:
    """A journal for which there is no more room after some entries."""

    def __init__(self, room):
        self.room = room
        self.closed = 0

    def open(self):
        return False

    def lookup(self, key):
        raise AssertionError("there is nothing to look up")

    def write(self, entries):
        self.room -= len(entries)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        self.closed += 1


def test_a_full_disk_ends_the_batch_but_loses_no_result(begin, echo, caplog):
    journal = FullDisk(room=3)
    seen = []
    steps = begin(calls(echo, 500), journal=journal, max_workers=2)
    with pytest.raises(JournalError, match=r"No space left.*not in it"):
        seen.extend(result.index for result in steps)
    assert len(seen) == echo.count() < 100
    assert journal.closed == 1
    wait_until(lambda: not alive())
    assert [record.levelname for record in caplog.records if "No space" in record.message] == [
        "ERROR"
    ]


def test_a_file_that_can_not_grow_stays_whole(tmp_path, monkeypatch):
    path = tmp_path / "done.jsonl"
    journal = JsonLinesJournal(path)
    journal.open()
    journal.write([JournalEntry("0", None, "GET", "/")])
    real = os.write

    def full(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:20])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        journal.write([JournalEntry("1", None, "GET", "/a/long/one")])
    monkeypatch.undo()
    journal.write([JournalEntry("2", None, "GET", "/")])
    journal.close()
    assert [entry.key for entry in entries(path)] == ["0", "2"]


@pytest.mark.parametrize("kind", [JsonLinesJournal, SqliteJournal])
def test_a_journal_that_the_disk_has_at_once(run, echo, tmp_path, kind):
    path = tmp_path / "done"
    assert len(run(calls(echo, 3), journal=kind(path, sync=True))) == 3
    assert all(result.recorded for result in run(calls(echo, 3), journal=kind(path, sync=True)))


def test_closing_early_writes_what_was_done(begin, run, echo, path):
    steps = begin(calls(echo, 30), journal=path, max_workers=3)
    given = {next(steps).index for _ in range(4)}
    steps.close()
    assert given <= {int(entry.key) for entry in entries(path)}
