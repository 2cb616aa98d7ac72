"""A body by its content type: JSON, text or bytes, and a clear error for what is mislabelled."""

from __future__ import annotations

import json
import pickle
from encodings.aliases import aliases

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from requests_connection_manager.content import excerpt, parse, text_of
from requests_connection_manager.exceptions import ValidationError

_JSON_TYPES = """
    application/json text/json application/problem+json application/vnd.api+json APPLICATION/JSON
    application/vnd.github.v3.raw+json application/json;charset=utf-8 application/x-json
"""
_TEXT_TYPES = """
    text/plain text/html text/csv application/xml application/atom+xml image/svg+xml
    application/x-www-form-urlencoded application/javascript application/x-javascript
    text/javascript application/yaml application/openapi+yaml application/x-ndjson
"""
_BYTES_TYPES = """
    application/octet-stream image/png application/pdf application/zip multipart/form-data
    audio/mpeg application/jsonish application/vnd.ms-excel
"""
JSON_TYPES, TEXT_TYPES, BYTES_TYPES = map(str.split, (_JSON_TYPES, _TEXT_TYPES, _BYTES_TYPES))

# -- which type is what


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_json(content_type):
    assert parse(b'{"a": [1, 2.5, null, "\xc3\xa9"]}', content_type) == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize("content_type", TEXT_TYPES)
def test_text(content_type):
    assert parse("<a>é</a>".encode(), content_type) == "<a>é</a>"


@pytest.mark.parametrize("content_type", BYTES_TYPES)
def test_bytes(content_type):
    assert parse(b'{"a": 1}', content_type) == b'{"a": 1}'


@pytest.mark.parametrize("content_type", [None, "", "application/json", "text/plain", "image/png"])
def test_nothing(content_type):
    assert parse(b"", content_type) is None
    assert text_of(b"", content_type) == ""


@pytest.mark.parametrize("content_type", [None, "", " ", "json", ";charset=utf-8"])
@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b" [1] ", [1]),
        (b"null", None),
        (b"12", 12),
        ("[1]".encode("utf-16"), [1]),
        (b"caf\xc3\xa9", "café"),
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"[" * 100_000, "[" * 100_000),
        ("\ufeffé".encode(), "é"),
        ("\ufeffé".encode("utf-16-le"), "é"),
        (b"\x89PNG\xff\xfe", b"\x89PNG\xff\xfe"),
    ],
)
def test_without_a_type_it_is_what_it_can_be(content_type, body, value):
    assert parse(body, content_type) == value


def test_a_header_that_came_twice_counts_once():
    assert parse(b"[1]", "application/json, application/json") == [1]
    assert parse(b"[1]", "application/json; charset=utf-8, text/html") == [1]


# -- encodings


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
def test_json_tells_its_encoding_itself(encoding):
    body = json.dumps({"ключ": "значение"}, ensure_ascii=False).encode(encoding)
    for content_type in ("application/json", "application/json; charset=iso-8859-1"):
        assert parse(body, content_type) == {"ключ": "значение"}
        assert json.loads(text_of(body, content_type)) == {"ключ": "значение"}


def test_a_charset_of_json_counts_when_it_is_not_utf_8():
    assert parse(b'"\xe9"', "application/json; charset=latin-1") == "é"
    assert text_of(b'"\xe9"', "application/json; charset=latin-1") == '"é"'
    with pytest.raises(ValidationError):
        parse(b'"\xe9"', "application/json")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xe9", "text/plain; charset=iso-8859-1"),
        (b"\xe9", "text/plain;charset='latin1'"),
        (b"\xe9", 'text/plain; format=flowed; Charset = "ISO-8859-1"'),
        (b"\xe9", "text/plain; charset=windows-1252"),
        (b"\xc3\xa9", "text/plain"),
        (b"\xc3\xa9", "text/plain; charset="),
        (b"\xc3\xa9", "text/plain; charset=no-such-charset"),
        (b"\xc3\xa9", "text/plain; charset=base64"),
        (b"\xc3\xa9", "text/plain; charset=unicode_escape"),
        (b"\xc3\xa9", "text/plain; charset=raw-unicode-escape"),
        (b"\xc3\xa9", "text/plain; charset=undefined"),
        (b"\xc3\xa9", "text/plain; charset=punycode"),
        (b"\xc3\xa9", "text/plain; charset=\x00"),
        (b"\xc3\xa9", "text/plain; charset=\xff"),
        (b"\xef\xbb\xbf\xc3\xa9", "text/plain"),
        (b"\xef\xbb\xbf\xc3\xa9", "text/plain; charset=latin-1"),
        (b"\xff\xfe\xe9\x00", "text/plain"),
        (b"\xfe\xff\x00\xe9", "text/csv; charset=utf-8"),
        (b"\xff\xfe\x00\x00\xe9\x00\x00\x00", "text/plain"),
        (b"\xe9\x00", "text/plain; charset=utf-16-le"),
    ],
)
def test_text_is_decoded_by_mark_then_charset_then_as_utf_8(body, content_type):
    assert parse(body, content_type) == text_of(body, content_type) == "é"


def test_an_xml_declaration_counts_without_a_charset():
    document = "<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>"
    assert parse(document.encode("latin-1"), "application/xml") == document
    assert text_of(document.encode("latin-1"), "application/atom+xml") == document
    assert parse(document.encode(), "application/xml; charset=utf-8") == document
    unknown = "<?xml version='1.0' encoding='none'?><a>é</a>"
    assert parse(unknown.encode(), "application/xml") == unknown


# -- what is not what it is labelled


def test_what_is_no_json_is_refused_with_its_beginning():
    page = "<html><body>Bad gateway</body></html>"
    with pytest.raises(ValidationError) as caught:
        parse(page.encode(), "application/problem+json")
    assert "application/problem+json" in str(caught.value)
    assert "Expecting value: line 1 column 1" in str(caught.value)
    assert page in str(caught.value)
    assert caught.value.body == page
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b'{"a": 1} x',
        b"{'a': 1}",
        b'{"a": 1,}',
        b"\xef\xbb\xbf",
        b"[" * 100_000,
        b"callback([1])",
    ],
)
def test_broken_json_is_refused(body):
    with pytest.raises(ValidationError, match="no JSON") as caught:
        parse(body, "application/json")
    assert len(str(caught.value)) < 500


def test_a_number_that_python_refuses_to_read_is_refused():
    digits = b"9" * 5000
    try:
        expected = int(digits)
    except ValueError:
        with pytest.raises(ValidationError, match="no JSON"):
            parse(digits, "application/json")
    else:  # a Python without the limit
        assert parse(digits, "application/json") == expected


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "at"),
    [
        (b'{"a": "\xff"}', "application/json", "utf-8", 7),
        (b"abc\xe9", "text/plain", "utf-8", 3),
        (b"abc\xe9", "text/html; charset=ascii", "ascii", 3),
        (b"\xff\xfea", "text/plain", "utf-16", 2),
    ],
)
def test_what_cannot_be_decoded_is_refused_at_its_place(body, content_type, encoding, at):
    with pytest.raises(ValidationError) as caught:
        parse(body, content_type)
    assert f"can't be decoded as {encoding}" in str(caught.value)
    assert str(caught.value).endswith(f"at byte {at}")
    assert caught.value.body == body


def test_no_secret_and_no_long_text_in_a_message():
    body = b'{"user": "ada", "password": "hunter2", "note": "' + b"x" * 100_000
    with pytest.raises(ValidationError) as caught:
        parse(body, "application/json;" + "y" * 10_000)
    assert "hunter2" not in str(caught.value)
    assert "ada" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "hunter2" not in repr(caught.value)


def test_an_error_pickles_without_its_body():
    with pytest.raises(ValidationError) as caught:
        parse(b"<", "application/json")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.body is None


def test_excerpts():
    assert excerpt("short") == "'short'"
    assert excerpt("a" * 200) == repr("a" * 200)
    assert excerpt("a" * 201) == repr("a" * 200) + "…"
    assert excerpt("\x00\n") == r"'\x00\n'"
    # The end of what is shown hides a secret that ends behind it.
    assert "hunt" not in excerpt("a" * 180 + " https://ada:hunter2hunter2@example.com/")


# -- any bytes, any label

CHARSETS = sorted({*aliases, *aliases.values(), "idna", "punycode", "unicode_escape", "undefined"})
LABELS = st.one_of(
    st.none(),
    st.sampled_from([*JSON_TYPES, *TEXT_TYPES, *BYTES_TYPES]),
    st.text(),
    st.builds(
        "{}; charset={}".format,
        st.sampled_from(["text/plain", "application/json", "application/xml", "image/png"]),
        st.one_of(st.sampled_from(CHARSETS), st.text()),
    ),
)


def error_of(body, content_type):
    try:
        parse(body, content_type)
    except ValidationError as error:
        return error
    return None


@settings(max_examples=300)
@given(st.binary(), LABELS)
@example(b"\\x", "text/plain; charset=unicode_escape")
def test_any_body_has_a_text(body, content_type):
    assert isinstance(text_of(body, content_type), str)


@settings(max_examples=300)
@given(
    st.one_of(st.binary(), st.text().map(str.encode), st.text().map(json.dumps).map(str.encode)),
    LABELS,
)
def test_any_body_is_parsed_or_refused(body, content_type):
    error = error_of(body, content_type)
    assert error is None or content_type
    assert len(str(error)) < 2000
    assert error is None or error.body in (body, text_of(body, content_type))


@pytest.mark.parametrize("charset", CHARSETS)
def test_no_charset_does_harm(charset):
    for body in (b"abc", b"\xff\xfe\x00\x80 \\x", "é漢".encode()):
        assert isinstance(text_of(body, f"text/plain; charset={charset}"), str)
        error = error_of(body, f"text/plain; charset={charset}")
        assert error is None or error.body == body


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_json_comes_back(value, encoding):
    body = json.dumps(value).encode(encoding)
    assert parse(body, "application/json") == value
