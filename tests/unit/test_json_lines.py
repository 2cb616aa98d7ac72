"""JSON lines: values in any cut, and an error that names the line."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Iterable, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requests_connection_manager.exceptions import ValidationError
from requests_connection_manager.json_lines import JsonLinesParser, read_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ends = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \t\r\n"])


def parsed(chunks: Iterable[bytes], limit: int = 10_000) -> Tuple[List[Any], str]:
    """Return the values, and the text of the error that ended them, if one did."""
    parser, found = JsonLinesParser(limit), []
    try:
        for chunk in chunks:
            found += parser.feed(chunk)
        found += parser.close()
    except ValidationError as error:
        return found, str(error)
    return found, ""


def cut(body: bytes, places: Iterable[int]) -> List[bytes]:
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)])]


def failure(body: bytes) -> str:
    with pytest.raises(ValidationError) as raised:
        JsonLinesParser().feed(body)
    error = raised.value
    assert error.__cause__ is error.__context__ is None or error.__suppress_context__
    assert error.body is None
    return str(error)


CASES = [
    ("nothing", b"", []),
    ("LF", b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
    ("CRLF", b'{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
    ("a last line without its end", b"1\n2", [1, 2]),
    ("a last line that ends in CR", b"1\n2\r", [1, 2]),
    ("blank lines", b"\n1\n\n \t \n\r\n2\n\n", [1, 2]),
    ("nothing but blank lines", b"\n \n\r\n  ", []),
    ("a byte order mark", b"\xef\xbb\xbf1\n2\n", [1, 2]),
    ("nothing but a byte order mark", b"\xef\xbb\xbf", []),
    ("a byte order mark and a line without its end", b"\xef\xbb\xbf[1]", [[1]]),
    ("a CR between the tokens is white space", b"[1,\r2]\n", [[1, 2]]),
    ("every kind of value", b'null\ntrue\n"x"\n-1.5\n[]\n{}\n', [None, True, "x", -1.5, [], {}]),
    ("characters of one to four bytes", '"aé€😀"\n'.encode(), ["aé€😀"]),
    ("line separators of Unicode are text", '"a\u2028b\u0085c"\n'.encode(), ["a\u2028b\u0085c"]),
    ("escapes", b'"\\u00e9\\n"\n', ["é\n"]),
]


@pytest.mark.parametrize(("name", "body", "expected"), CASES, ids=[case[0] for case in CASES])
def test_lines(name: str, body: bytes, expected: List[Any]) -> None:
    assert parsed([body]) == (expected, "")
    assert parsed(body[place : place + 1] for place in range(len(body))) == (expected, "")
    for place in range(len(body) + 1):
        assert parsed([body[:place], b"", body[place:]]) == (expected, "")


@settings(deadline=None)
@given(
    lines=st.lists(st.tuples(values, ends), max_size=8),
    places=st.lists(st.integers(0, 10_000), max_size=8),
    plain=st.booleans(),
)
def test_any_values_in_any_cut(
    lines: List[Tuple[Any, bytes]], places: List[int], plain: bool
) -> None:
    body = b"".join(
        json.dumps(one, ensure_ascii=plain).encode("utf-8", "surrogatepass") + end
        for one, end in lines
    )
    assert parsed(cut(body, places)) == ([one for one, _ in lines], "")


@settings(deadline=None)
@given(
    body=st.lists(
        st.sampled_from([b"1", b"[", b"]", b'"', b"\n", b"\r\n", b" ", b"\xef\xbb\xbf", b"\xe2"])
        | st.binary(max_size=3),
        max_size=30,
    ).map(b"".join),
    places=st.lists(st.integers(0, 1000), max_size=8),
    limit=st.integers(1, 20),
)
def test_any_bytes_in_any_cut_give_the_same_values_and_the_same_error(
    body: bytes, places: List[int], limit: int
) -> None:
    assert parsed(cut(body, places), limit) == parsed([body], limit)


def test_values_come_with_their_line_end() -> None:
    parser = JsonLinesParser()
    assert parser.feed(b"12") == []
    assert parser.feed(b"3\n4") == [123]
    assert parser.feed(b"") == []
    assert parser.close() == [4]
    assert parser.close() == []


def test_nan_counts_as_in_the_standard_library() -> None:
    (nan,) = JsonLinesParser().feed(b"NaN\n")
    assert math.isnan(nan)


# -- errors


def test_an_error_names_the_line() -> None:
    assert failure(b"\n\n{'a': 1}\n[2]\n") == (
        "line 3 is no JSON: Expecting property name enclosed in double quotes (char 1);"
        " it begins with \"{'a': 1}\""
    )


def test_bytes_that_are_no_utf_8_name_the_line_and_the_byte() -> None:
    assert failure(b'"\xe9"\n') == (
        "line 1 is no UTF-8: invalid continuation byte at byte 1; it begins with '\"\ufffd\"'"
    )


def test_two_values_on_a_line_are_no_json() -> None:
    assert "line 1 is no JSON: Extra data (char 4)" in failure(b"[1] [2]\n")


def test_what_is_nested_too_deeply_is_an_error_of_ours() -> None:
    assert "line 1 is no JSON: it is nested too deeply" in failure(b"[" * 100_000 + b"\n")


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="Python reads any number")
def test_a_number_that_is_too_long_is_an_error_of_ours() -> None:
    assert failure(b"9" * 5000 + b"\n").startswith("line 1 is no JSON: Exceeds the limit")


def test_a_line_that_is_cut_off_says_where() -> None:
    parser = JsonLinesParser()
    assert parser.feed(b'{"a": 1}\n{"a"') == [{"a": 1}]
    with pytest.raises(ValidationError) as raised:
        parser.close()
    assert str(raised.value) == (
        "the last line (2), which has no line end and may have been cut off, is no JSON: "
        "Expecting ':' delimiter (char 4); it begins with '{\"a\"'"
    )
    assert parser.close() == []


def test_no_secret_is_shown() -> None:
    for text in (b'{"api_key": "hunter2secret", ', b'{"api_key": "hunter2secret", \xff'):
        message = failure(text + b"y" * 100_000 + b"\n")
        assert "hunter2secret" not in message
        assert len(message) < 400


def test_the_values_before_an_error_are_not_lost() -> None:
    parser = JsonLinesParser()
    assert parser.feed(b"1\n2\noops\n4\n") == [1, 2]
    for chunk in (b"", b"5\n"):
        with pytest.raises(ValidationError, match="line 3 is no JSON"):
            parser.feed(chunk)
    assert parser.close() == []  # it has been told
    with pytest.raises(ValidationError, match="line 2 "):  # a new stream, a new count
        parser.feed(b"\noops\n")


def test_an_error_that_was_not_told_is_told_at_the_end() -> None:
    parser = JsonLinesParser()
    assert parser.feed(b"1\noops\n3") == [1]
    with pytest.raises(ValidationError, match="line 2 is no JSON"):
        parser.close()
    assert parser.close() == []


@pytest.mark.parametrize("chunk", ["1\n", 5, None])
def test_what_is_no_bytes_is_refused(chunk: Any) -> None:
    with pytest.raises(TypeError, match="chunk must be bytes, not"):
        JsonLinesParser().feed(chunk)


# -- the bound


def test_the_bound_is_one_of_lines() -> None:
    parser = JsonLinesParser(5)
    assert parser.feed(b"[123]\n" * 100) == [[123]] * 100
    assert parser.feed(b"12345") == []
    with pytest.raises(ValidationError) as raised:
        parser.feed(b"6")
    assert str(raised.value) == "line 101 is longer than 5 bytes, which max_line_bytes allows"


@pytest.mark.parametrize("body", [b"1234567", b"1234567\n", b"       \n", b"\xef\xbb\xbf123"])
def test_a_line_that_is_too_long_is_refused_whole_and_byte_by_byte(body: bytes) -> None:
    expected = [], "line 1 is longer than 5 bytes, which max_line_bytes allows"
    assert parsed([body], 5) == expected
    assert parsed((body[place : place + 1] for place in range(len(body))), 5) == expected


@pytest.mark.parametrize(("bound", "error"), [(0, ValueError), (True, TypeError), ("5", TypeError)])
def test_a_bound_that_is_none_is_refused(bound: Any, error: Any) -> None:
    with pytest.raises(error, match="max_line_bytes"):
        JsonLinesParser(bound)


def test_a_text_by_itself() -> None:
    assert read_json("[1]", "it") == [1]
    with pytest.raises(ValidationError, match=r"^it is no JSON: Expecting value"):
        read_json("", "it")
