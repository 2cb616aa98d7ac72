"""What a download is made of, piece by piece: the file, its place, versions, ranges, checksums."""

from __future__ import annotations

import errno
import hashlib
import os
import threading

import pytest

from requests_connection_manager.streaming import Progress
from requests_connection_manager.streaming.checksum import parse_checksum
from requests_connection_manager.streaming.content_range import (
    content_length,
    is_encoded,
    parse_content_range,
)
from requests_connection_manager.streaming.download_target import look_at
from requests_connection_manager.streaming.kept_part import kept_path, key_of
from requests_connection_manager.streaming.partial_file import PartialFile
from requests_connection_manager.streaming.validators import contradicts, strong_validator

KEY = key_of("GET", "https://api.test/file")
OTHER_KEY = key_of("GET", "https://api.test/other")


def listed(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def begun(path, content=b"", key=None, overwrite=True, hasher=None):
    """Return a file that has come in part, and what was known of it."""
    part = PartialFile(look_at(str(path), overwrite), hasher)
    kept = part.create(key)
    if content:
        part.write(content)
    return part, kept


def kept(path, content=b"one", key=KEY, validator='"v1"', total=6):
    part, _ = begun(path, content)
    part.keep(key, validator, total)
    return kept_path(look_at(str(path), True))


# -- the file


def test_nothing_has_the_name_until_the_end(path):
    part, _ = begun(path, b"one")
    part.write(b" two")
    assert not path.exists()
    (waiting,) = listed(path.parent)
    assert waiting.startswith(".")
    assert waiting.endswith(".part")
    part.commit()
    assert (path.read_bytes(), part.size, part.placed) == (b"one two", 7, True)
    assert listed(path.parent) == ["file"]


def test_discarding_may_be_repeated_and_never_takes_a_file_that_is_complete(path):
    part, _ = begun(path, b"one")
    part.discard()
    part.discard()
    assert listed(path.parent) == []
    part, _ = begun(path, b"two")
    part.commit()
    part.discard()
    part.keep(KEY, '"v1"', None)
    assert path.read_bytes() == b"two"
    assert listed(path.parent) == ["file"]


def test_what_is_over_takes_nothing_more(path):
    part, _ = begun(path, b"one")
    part.discard()
    for act in (part.create, part.restart, part.commit, lambda: part.write(b"x")):
        with pytest.raises(ValueError, match="over"):
            act()
    assert listed(path.parent) == []


def test_a_file_that_is_discarded_before_it_is_made_is_never_made(path):
    part = PartialFile(look_at(str(path), True))
    part.discard()
    with pytest.raises(ValueError, match="over"):
        part.create()
    assert listed(path.parent) == []


def test_beginning_anew(path):
    part, _ = begun(path, b"something long", hasher=hashlib.sha256)
    part.restart()
    assert part.size == 0
    part.write(b"short")
    assert part.digest() == hashlib.sha256(b"short").digest()
    part.commit()
    assert path.read_bytes() == b"short"


def test_the_end_waits_for_a_write_in_another_thread(path):
    begins, goes_on = threading.Event(), threading.Event()

    class SlowHash:
        def update(self, data):
            begins.set()
            assert goes_on.wait(10)

    part, _ = begun(path, hasher=SlowHash)
    writer = threading.Thread(target=part.write, args=(b"one",))
    ender = threading.Thread(target=part.discard)
    writer.start()
    assert begins.wait(10)
    ender.start()
    assert listed(path.parent) != []
    goes_on.set()
    writer.join()
    ender.join()
    assert listed(path.parent) == []


def test_a_folder_that_is_gone_meanwhile(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    target = look_at(str(folder / "file"), True)
    folder.rmdir()
    part = PartialFile(target)
    with pytest.raises(FileNotFoundError):
        part.create()
    part.discard()


def test_a_place_that_is_taken_meanwhile_by_a_folder(path):
    part, _ = begun(path, b"one")
    path.mkdir()
    with pytest.raises(OSError):
        part.commit()
    part.discard()
    assert listed(path.parent) == ["file"]


@pytest.mark.parametrize("links", [True, False])
def test_a_place_that_is_taken_meanwhile_by_a_file(path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", refused)
    part, _ = begun(path, b"ours", overwrite=False)
    path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError) as caught:
        part.commit()
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    part.discard()
    assert (path.read_bytes(), listed(path.parent)) == (b"theirs", ["file"])


def test_no_overwriting_on_a_file_system_without_links(path, monkeypatch):
    monkeypatch.setattr(os, "link", refused)
    part, _ = begun(path, b"ours", overwrite=False)
    part.commit()
    assert (path.read_bytes(), listed(path.parent)) == (b"ours", ["file"])


def refused(*args):
    raise OSError(errno.EPERM, "no links here")


def test_a_long_name(tmp_path):
    path = tmp_path / ("n" * 250)
    part, _ = begun(path, b"one")
    part.keep(KEY, '"v1"', None)
    part, found = begun(path, b" two", KEY)
    assert found.size == 3
    part.commit()
    assert path.read_bytes() == b"one two"
    assert listed(tmp_path) == [path.name]


# -- a part that is kept


def test_a_kept_part_is_taken_up_once(path):
    kept(path, b"one", total=6)
    part, found = begun(path, key=KEY, hasher=hashlib.md5)
    assert (found.validator, found.size, found.total, part.size) == ('"v1"', 3, 6, 3)
    other, second = begun(path, key=KEY)
    assert second is None
    other.discard()
    part.write(b"two")
    assert part.digest() == hashlib.md5(b"onetwo").digest()
    part.commit()
    assert path.read_bytes() == b"onetwo"


def test_a_kept_part_tells_no_secrets(path):
    secret = "https://user:hidden@api.test/?token=hidden"
    with open(kept(path, key=key_of("GET", secret)), "rb") as file:
        assert b"hidden" not in file.read()


def test_a_kept_part_is_for_its_resource_only(path):
    kept(path)
    part, found = begun(path, key=OTHER_KEY)
    assert (found, part.size) == (None, 0)
    part.discard()
    assert listed(path.parent) == []


def test_what_was_kept_before_is_replaced(path):
    kept(path, b"old content")
    kept(path, b"new", validator='"v2"')
    part, found = begun(path, key=KEY)
    part.discard()
    assert (found.validator, found.size) == ('"v2"', 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"x",
        lambda content: content[:-1],
        lambda content: content[1:],
        lambda content: content + b"\n",
        lambda content: b"x" + content,
        lambda content: content.replace(b'"size"', b'"siez"'),
        lambda content: content.replace(b'"size": 3', b'"size": 2'),
        lambda content: content.replace(b"{", b"["),
        lambda content: content.replace(b'"validator": "\\"v1\\""', b'"validator": 1       '),
        lambda content: content[:-17] + b"\xff\xff\xff\xff" + content[-13:],
    ],
)
def test_a_kept_part_that_was_damaged_is_dropped(path, damage):
    name = kept(path)
    with open(name, "rb") as file:
        content = file.read()
    assert damage(content) != content
    with open(name, "wb") as file:
        file.write(damage(content))
    part, found = begun(path, b"new", KEY)
    assert found is None
    part.commit()
    assert path.read_bytes() == b"new"
    assert listed(path.parent) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_in_place_of_a_kept_part_is_not_followed(path, tmp_path, link):
    precious = tmp_path / "precious"
    os.rename(kept(path), precious)
    before = precious.read_bytes()
    link(precious, tmp_path / ".file.part")
    part, found = begun(path, b"new", KEY)
    part.commit()
    assert found is None
    assert precious.read_bytes() == before
    assert listed(tmp_path) == ["file", "precious"]


def test_what_can_not_be_kept_is_removed(path, monkeypatch):
    part, _ = begun(path, b"one")
    monkeypatch.setattr(os, "fsync", refused)
    part.keep(KEY, '"v1"', None)
    assert listed(path.parent) == []


def test_what_found_its_place_taken_is_not_kept(path):
    part, _ = begun(path, b"ours", overwrite=False)
    path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        part.commit()
    part.keep(KEY, '"v1"', None)
    assert listed(path.parent) == ["file"]


def test_a_folder_in_place_of_a_kept_part_is_left_alone(path):
    precious = path.parent / ".file.part" / "precious"
    precious.parent.mkdir()
    precious.touch()
    part, found = begun(path, b"new", KEY)
    part.commit()
    assert found is None
    assert precious.exists()
    assert listed(path.parent) == [".file.part", "file"]


def test_a_kept_part_of_somebody_else_is_left_alone(path, monkeypatch):
    there = os.path.basename(kept(path))
    monkeypatch.setattr(os, "rename", refused)  # as in a folder such as /tmp
    part, found = begun(path, b"new", KEY)
    part.commit()
    assert found is None
    assert listed(path.parent) == [there, "file"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no such owners")
def test_a_part_that_somebody_else_has_put_there_is_dropped(path, monkeypatch):
    kept(path)
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
    part, found = begun(path, b"new", KEY)
    part.commit()
    assert found is None
    assert (path.read_bytes(), listed(path.parent)) == (b"new", ["file"])


@pytest.mark.skipif(os.name == "nt", reason="there are no such permissions")
def test_a_kept_part_gets_the_permissions_that_the_file_has_meanwhile(path):
    kept(path)
    path.touch()
    path.chmod(0o600)
    part, found = begun(path, b" two", KEY)
    part.commit()
    assert found is not None
    assert path.stat().st_mode & 0o777 == 0o600


def test_half_a_write_is_not_kept(path):
    resource = pytest.importorskip("resource")
    part, _ = begun(path, b"x" * 4096)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError):
            part.write(b"y" * (2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    part.keep(KEY, '"v1"', None)
    part, found = begun(path, key=KEY)
    assert found.size == 4096
    part.commit()
    assert path.read_bytes() == b"x" * 4096


# -- where it goes


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_that_leads_in_a_circle(tmp_path):
    os.symlink(tmp_path / "two", tmp_path / "one")
    os.symlink(tmp_path / "one", tmp_path / "two")
    with pytest.raises(OSError):
        look_at(str(tmp_path / "one"), True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="a device, a pipe or a socket"):
        look_at(str(tmp_path / "pipe"), True)


def test_a_path_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part, _ = begun("file", b"one")
    part.commit()
    assert (tmp_path / "file").read_bytes() == b"one"


# -- versions


DATE = "Tue, 01 Jul 2025 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"v1"'}, '"v1"'),
        ({"ETag": ' "v1" '}, '"v1"'),
        ({"ETag": '"!#~"'}, '"!#~"'),
        ({"ETag": 'W/"v1"'}, None),
        ({"ETag": 'w/"v1"'}, None),
        ({"ETag": '""'}, None),
        ({"ETag": '"a b"'}, None),
        ({"ETag": '"a"b"'}, None),
        ({"ETag": '"v1", "v2"'}, None),
        ({"ETag": '"é"'}, None),
        ({"ETag": ""}, None),
        ({"Last-Modified": DATE, "Date": "Tue, 01 Jul 2025 10:01:00 GMT"}, DATE),
        ({"Last-Modified": DATE, "Date": "Tue, 01 Jul 2025 10:00:59 GMT"}, None),
        ({"Last-Modified": DATE, "Date": "Tue, 01 Jul 2025 09:00:00 GMT"}, None),
        ({"Last-Modified": DATE, "Date": "now"}, None),
        ({"Last-Modified": "then", "Date": DATE}, None),
        ({"Last-Modified": DATE}, None),
        ({"Last-Modified": DATE, "Date": "Tue, 01 Jul 2025 10:01:00 -0000"}, DATE),
        ({"ETag": 'W/"1"', "Last-Modified": DATE, "Date": "Tue, 01 Jul 2025 11:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_strong_validators(headers, validator):
    assert strong_validator(headers) == validator


@pytest.mark.parametrize(
    ("headers", "validator", "expected"),
    [
        ({}, '"v1"', False),
        ({"ETag": '"v1"'}, '"v1"', False),
        ({"ETag": '"v2"'}, '"v1"', True),
        ({"ETag": 'W/"v1"'}, '"v1"', True),
        ({"Last-Modified": DATE}, '"v1"', False),
        ({"Last-Modified": DATE}, DATE, False),
        ({"Last-Modified": "Tue, 01 Jul 2025 10:00:01 GMT"}, DATE, True),
    ],
)
def test_contradictions(headers, validator, expected):
    assert contradicts(headers, validator) is expected


# -- ranges and lengths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-0/1", (0, 0, 1)),
        ("Bytes 5-9/10", (5, 9, 10)),
        (" bytes 5-9/* ", (5, 9, None)),
        ("bytes 5-9/9", None),
        ("bytes 9-5/10", None),
        ("bytes */10", None),
        ("bytes 5-/10", None),
        ("bytes -5/10", None),
        ("bytes=5-9/10", None),
        ("bytes 5-9", None),
        ("bytes 5-9/10, 11-12/20", None),
        ("bytes \u0665-\u0669/10", None),
        ("bytes 5-9/" + "9" * 5000, None),
        ("lines 5-9/10", None),
        ("", None),
        (None, None),
    ],
)
def test_content_ranges(text, expected):
    assert parse_content_range(text) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content-Length": "10"}, 10),
        ({"Content-Length": "0"}, 0),
        ({"Content-Length": "10, 10"}, 10),
        ({"Content-Length": "10, 11"}, None),
        ({"Content-Length": "-1"}, None),
        ({"Content-Length": "+1"}, None),
        ({"Content-Length": "1_0"}, None),
        ({"Content-Length": "10", "Transfer-Encoding": "chunked"}, None),
        ({}, None),
    ],
)
def test_content_lengths(headers, expected):
    assert content_length(headers) == expected


@pytest.mark.parametrize(
    ("encoding", "expected"), [("gzip", True), ("br, gzip", True), ("Identity", False), ("", False)]
)
def test_encodings(encoding, expected):
    assert is_encoded({"Content-Encoding": encoding}) is expected


# -- checksums and progress


@pytest.mark.parametrize(
    "text",
    [
        "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        " SHA-256:2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE ",
        "sha-256=:LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=:",
    ],
)
def test_checksums_in_all_their_forms(text):
    checksum = parse_checksum(text)
    assert checksum.digest == hashlib.sha256(b"foo").digest()
    assert checksum.hasher().name == "sha256"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:xyz",
        "sha256:2c26",
        "sha256 2c26",
        "crc32:00000000",
        "sha-256=:LCa0:",
        "sha-256=:LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=",
        "sha-256=:L?:",
        "sha-256=LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=",
        "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    ],
)
def test_checksums_that_are_none(text):
    with pytest.raises(ValueError, match="checksum"):
        parse_checksum(text)


@pytest.mark.parametrize(
    ("received", "total", "fraction"), [(0, 10, 0.0), (5, 10, 0.5), (0, 0, 1.0), (5, None, None)]
)
def test_the_share_that_is_there(received, total, fraction):
    assert Progress(received, total).fraction == fraction
