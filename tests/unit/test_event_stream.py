"""Server-sent events: the cases of the standard, in every cut, and whatever bytes there are."""

from __future__ import annotations

import json
import pickle
import re
import tracemalloc
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from requests_connection_manager.event_stream import (
    EventStreamParser,
    ServerSentEvent,
    is_event_stream,
)
from requests_connection_manager.exceptions import ValidationError

CASES = json.loads((Path(__file__).parent / "data" / "event_stream_cases.json").read_bytes())
PIECES = (
    *(b"data", b"event", b"id", b"retry", b":", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"1", b"x"),
    *(b"\0", b"\xef", b"\xbb", b"\xbf", b"\xef\xbb\xbf", b"\xe2\x82\xac", b"\xff", b"\xe2\x82"),
    *(b"data: a\n", b"id: 7\r\n", b"event: e\r", b"retry: 20\n", b": c\n"),
)
streams = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=40).map(b"".join)


def parametrized(cases: List[Dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def body_of(case: Dict[str, Any]) -> bytes:
    return bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()


def parsed(parser: EventStreamParser, chunks: Iterable[bytes]) -> List[ServerSentEvent]:
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    parser.close()
    return events


def state(parser: EventStreamParser) -> Tuple[Any, ...]:
    return parser.last_event_id, parser.retry, parser.truncated


def cut(body: bytes, places: Iterable[int]) -> List[bytes]:
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)])]


# -- the cases


def check(case: Dict[str, Any], chunks: Iterable[bytes]) -> None:
    parser = EventStreamParser(last_event_id=case.get("start_id", ""))
    events = parsed(parser, chunks)
    expected = [{"event": "message", "id": "", **event} for event in case["events"]]
    assert len(events) == len(expected)
    for event, fields in zip(events, expected):
        assert {name: getattr(event, name) for name in fields} == fields
    assert parser.last_event_id == case.get("last_event_id", "")
    assert parser.retry == case.get("retry")
    assert parser.truncated is case.get("truncated", False)


@parametrized(CASES["cases"])
def test_a_case_of_the_standard(case: Dict[str, Any]) -> None:
    body = body_of(case)
    check(case, [body])
    check(case, [body[place : place + 1] for place in range(len(body))])
    for place in range(0, len(body) + 1, 1 + len(body) // 500):
        check(case, [body[:place], b"", body[place:]])


def test_every_line_end_means_the_same() -> None:
    for case in CASES["cases"]:
        text = body_of(case)
        if b"\r" not in text:
            check(case, [text.replace(b"\n", b"\r")])
            check(case, [text.replace(b"\n", b"\r\n")])


@pytest.mark.parametrize("media", CASES["media_types"], ids=lambda media: str(media))
def test_a_media_type(media: Dict[str, Any]) -> None:
    assert is_event_stream(media["content_type"]) is media["is_event_stream"]


# -- any bytes, in any cut


class Literal:
    """The standard's algorithm, word for word: one character at a time, with its buffers."""

    def __init__(self, body: bytes) -> None:
        self.events: List[Tuple[str, str, str]] = []
        self.last_event_id = self.data = self.event_type = self.id = ""
        text = decoded(body)
        text = text[1:] if text.startswith("\ufeff") else text
        *lines, self.rest = re.split("\r\n|\r|\n", text)
        for line in lines:
            self.line(line)

    def line(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line[0] == ":":
            pass
        elif ":" in line:
            name, value = line[: line.index(":")], line[line.index(":") + 1 :]
            self.field(name, value[1:] if value[:1] == " " else value)
        else:
            self.field(line, "")

    def field(self, name: str, value: str) -> None:
        if name == "event":
            self.event_type = value
        elif name == "data":
            self.data += value + "\n"
        elif name == "id" and "\0" not in value:
            self.id = value

    def dispatch(self) -> None:
        self.last_event_id = self.id
        if self.data:
            self.events.append((self.event_type or "message", self.data[:-1], self.id))
        self.data = self.event_type = ""


def decoded(body: bytes) -> str:
    """Decode as the Encoding standard's UTF-8 decoder does, by its table of bounds."""
    out, place = [], 0
    while place < len(body):
        point, needed, lower, upper = first_byte(body[place])
        place += 1
        while needed > 0 and place < len(body) and lower <= body[place] <= upper:
            point, lower, upper = point << 6 | body[place] & 0x3F, 0x80, 0xBF
            place, needed = place + 1, needed - 1
        out.append("\ufffd" if needed else chr(point))
    return "".join(out)


def first_byte(byte: int) -> Tuple[int, int, int, int]:
    if byte < 0x80:
        return byte, 0, 0, 0
    if 0xC2 <= byte <= 0xDF:
        return byte & 0x1F, 1, 0x80, 0xBF
    if 0xE0 <= byte <= 0xEF:
        return byte & 0xF, 2, 0xA0 if byte == 0xE0 else 0x80, 0x9F if byte == 0xED else 0xBF
    if 0xF0 <= byte <= 0xF4:
        return byte & 7, 3, 0x90 if byte == 0xF0 else 0x80, 0x8F if byte == 0xF4 else 0xBF
    return 0, -1, 0, 0


@settings(deadline=None)
@given(body=streams, places=st.lists(st.integers(0, 1000), max_size=12))
@example(body=b"\xef\xbb\xbfdata: \xe2\x82\xac\r\n\r\n", places=[1, 2, 9, 10, 13, 15])
@example(body=b"data: 1\r\r\ndata: 2\r\n\r", places=[8, 9])
def test_any_cut_of_any_bytes_gives_the_events_of_the_standard(
    body: bytes, places: List[int]
) -> None:
    whole, in_pieces, literal = EventStreamParser(), EventStreamParser(), Literal(body)
    events = parsed(whole, [body])
    assert parsed(in_pieces, cut(body, places)) == events
    assert state(in_pieces) == state(whole)
    assert [(event.event, event.data, event.id) for event in events] == literal.events
    assert whole.last_event_id == literal.last_event_id


@settings(deadline=None)
@given(body=st.binary(max_size=300), size=st.integers(1, 30))
def test_no_bytes_are_an_error(body: bytes, size: int) -> None:
    chunks = [body[place : place + size] for place in range(0, len(body), size)]
    expected = [data for _, data, _ in Literal(body).events]
    assert [event.data for event in parsed(EventStreamParser(), chunks)] == expected


@settings(deadline=None)
@given(body=streams, places=st.lists(st.integers(0, 1000), max_size=12), limit=st.integers(1, 40))
def test_the_bound_is_the_same_in_every_cut(body: bytes, places: List[int], limit: int) -> None:
    assert bounded([body], limit) == bounded(cut(body, places), limit)


def bounded(chunks: Iterable[bytes], limit: int) -> Tuple[List[ServerSentEvent], str, bool]:
    parser, events = EventStreamParser(limit), []
    try:
        for chunk in chunks:
            events += parser.feed(chunk)
        parser.close()
    except ValidationError as error:
        return events, str(error), True
    return events, parser.last_event_id, parser.truncated


# -- when events come


def test_an_event_comes_with_the_first_byte_of_its_last_line_end() -> None:
    parser = EventStreamParser()
    assert parser.feed(b"data: 1\r\n") == []
    assert parser.feed(b"\r") == [ServerSentEvent(data="1")]
    assert parser.feed(b"") == []
    assert parser.feed(b"\ndata: 2\n") == []
    assert parser.feed(b"\n") == [ServerSentEvent(data="2")]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_is_like_bytes_is_taken(kind: Any) -> None:
    parser = EventStreamParser()
    buffer = bytearray(b"data: 1\n")
    assert parser.feed(kind(buffer)) == []
    buffer[:] = b"........"  # a buffer that its owner uses again
    assert parser.feed(kind(b"\n")) == [ServerSentEvent(data="1")]


@pytest.mark.parametrize("chunk", ["data: 1\n\n", 5, None, [100]])
def test_what_is_no_bytes_is_refused(chunk: Any) -> None:
    parser = EventStreamParser()
    with pytest.raises(TypeError, match=f"chunk must be bytes, not {type(chunk).__name__}"):
        parser.feed(chunk)
    assert parser.feed(b"data: 1\n\n") == [ServerSentEvent(data="1")]


# -- one stream after another


def test_a_parser_goes_on_with_the_next_stream() -> None:
    parser = EventStreamParser()
    parser.feed(b"\xef\xbb\xbfid: 1\nretry: 50\ndata: a\n\nid: 2\nevent: e\ndata: lost\r")
    parser.close()
    assert state(parser) == ("1", 0.05, True)
    # Neither the LF nor the block belongs to the stream before, and a mark is skipped anew.
    assert parser.feed(b"\n\xef\xbb\xbfdata: x\n\n") == []
    assert parser.truncated is False
    parser.close()
    assert parser.feed(b"\xef\xbb\xbfdata: b\n\n") == [ServerSentEvent(data="b", id="1")]
    parser.close()
    assert state(parser) == ("1", 0.05, False)


def test_closing_twice_changes_nothing_that_counts() -> None:
    parser = EventStreamParser(last_event_id="5")
    parser.close()
    parser.close()
    assert state(parser) == ("5", None, False)


@pytest.mark.parametrize("last_event_id", ["a\nb", "a\rb", "\0"])
def test_an_id_that_no_server_can_send_is_refused(last_event_id: str) -> None:
    with pytest.raises(ValueError, match="last_event_id must not hold a CR, LF or NUL"):
        EventStreamParser(last_event_id=last_event_id)


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="last_event_id must be a str, not int"):
        EventStreamParser(last_event_id=5)  # type: ignore[arg-type]  # the wrong type is the test


# -- the bound

TOO_LONG = "an event is longer than 20 bytes, which max_event_bytes allows"


def test_what_is_as_long_as_the_bound_passes() -> None:
    parser = EventStreamParser(20)
    assert parser.feed(b"data: " + b"x" * 14 + b"\n\n") == [ServerSentEvent(data="x" * 14)]
    assert len(parser.feed(b"data: 4567\r\ndata: 4567\r\n\r\n")) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"data: " + b"x" * 15,
        b"data: " + b"x" * 15 + b"\n\n",
        b": a comment that does not end",
        b"\n" * 100 + b"x" * 21,
        b"data: 4567\ndata: 4567\nd",
        b"data\n" * 6,
    ],
)
def test_a_server_that_never_ends_is_refused(body: bytes) -> None:
    parser = EventStreamParser(20)
    with pytest.raises(ValidationError) as raised:
        parser.feed(body)
    assert str(raised.value) == TOO_LONG
    parser.close()  # it has been told
    assert parser.truncated is True
    with pytest.raises(ValidationError):
        [parser.feed(body[place : place + 1]) for place in range(len(body))]


def test_what_is_not_kept_does_not_add_up() -> None:
    parser = EventStreamParser(20)
    for _ in range(100):
        assert parser.feed(b": still alive\nid: 1\nevent: e\nunknown: x\nretry: 5\n") == []
    assert parser.feed(b"data: 1\n\n") == [ServerSentEvent("e", "1", "1", 5)]


def test_the_events_before_the_error_are_not_lost() -> None:
    parser = EventStreamParser(20)
    events = parser.feed(b"id: 1\ndata: 1\n\ndata: 2\n\nid: 3\n" + b"x" * 21)
    assert [event.data for event in events] == ["1", "2"]
    for _ in range(2):
        with pytest.raises(ValidationError, match="max_event_bytes"):
            parser.feed(b"\n\ndata: 3\n\n")
    parser.close()  # it has been told
    assert state(parser) == ("1", None, True)
    assert parser.feed(b"data: 3\n\n") == [ServerSentEvent(data="3", id="1")]


def test_an_error_that_was_not_told_is_told_at_the_end() -> None:
    parser = EventStreamParser(20)
    assert len(parser.feed(b"data: 1\n\n" + b"x" * 21)) == 1
    with pytest.raises(ValidationError, match="max_event_bytes"):
        parser.close()
    assert parser.truncated is True
    parser.close()
    assert parser.truncated is False


@pytest.mark.parametrize(("bound", "error"), [(0, ValueError), (True, TypeError), ("5", TypeError)])
def test_a_bound_that_is_none_is_refused(bound: Any, error: Any) -> None:
    with pytest.raises(error, match="max_event_bytes"):
        EventStreamParser(bound)


def test_the_bound_is_16_mib_by_default() -> None:
    parser = EventStreamParser()
    line = b"data:" + b"x" * (16 * 1024 * 1024 - 5)
    assert parser.feed(line) == []
    with pytest.raises(ValidationError, match="longer than 16777216 bytes"):
        parser.feed(b"x")


def test_a_long_line_byte_by_byte_takes_its_length_in_memory() -> None:
    # Keeping the pieces would take eight times as much, copying all for each byte 45 GB of copies.
    parser, size = EventStreamParser(), 300_000
    parser.feed(b"data: ")
    tracemalloc.start()
    try:
        for _ in range(size):
            parser.feed(b"x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size
    assert parser.feed(b"\n\n") == [ServerSentEvent(data="x" * size)]


# -- an event


def test_an_event_by_itself() -> None:
    event = ServerSentEvent()
    assert (event.event, event.data, event.id, event.retry) == ("message", "", "", None)
    assert event == ServerSentEvent("message") != ServerSentEvent(data="x")
    assert pickle.loads(pickle.dumps(ServerSentEvent("e", "d", "i", 5))) == ServerSentEvent(
        "e", "d", "i", 5
    )
    with pytest.raises(FrozenInstanceError):
        event.data = "x"  # type: ignore[misc]  # what is refused is the test


def test_the_data_of_an_event_as_json() -> None:
    assert ServerSentEvent(data='{"a":\n[1, 2.5, null]}').json() == {"a": [1, 2.5, None]}


@pytest.mark.parametrize("data", ["", "[DONE]", "{'a': 1}", "[1] 2", "[" * 100_000])
def test_data_that_is_no_json_is_an_error_that_says_so(data: str) -> None:
    with pytest.raises(ValidationError, match="the data of the event is no JSON") as raised:
        ServerSentEvent(data=data).json()
    assert len(str(raised.value)) < 400
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_no_secret_is_shown() -> None:
    event = ServerSentEvent(data='{"api_key": "hunter2secret", "x": ' + "y" * 1000)
    assert "hunter2secret" not in repr(event)
    assert len(repr(event)) < 400
    with pytest.raises(ValidationError) as raised:
        event.json()
    assert "hunter2secret" not in str(raised.value)
    assert len(str(raised.value)) < 400
