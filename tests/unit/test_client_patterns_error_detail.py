"""``extract_error_detail``: every form in which services write errors, and none at all."""

from __future__ import annotations

import json
from typing import Any, Optional
from unittest.mock import MagicMock, PropertyMock

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from requests_connection_manager.client_patterns import extract_error_detail
from requests_connection_manager.testing import reply, truncate

httpx = pytest.importorskip("httpx")

PROBLEM = "application/problem+json"
JSON = "application/json"


def as_requests(body: bytes, status: int, kind: Optional[str]) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body
    if kind is not None:
        response.headers["Content-Type"] = kind
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    return response


def as_httpx(body: bytes, status: int, kind: Optional[str]) -> Any:
    headers = {} if kind is None else {"Content-Type": kind}
    return httpx.Response(status, headers=headers, content=body)


@pytest.fixture(params=[as_requests, as_httpx])
def detail(request):
    def of(body: Any, status: int = 400, kind: Optional[str] = JSON) -> str:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return extract_error_detail(request.param(content, status, kind))

    return of


@pytest.mark.parametrize(
    ("body", "text"),
    [
        # error.message, and its relatives
        ({"error": {"message": "no such order"}}, "no such order"),
        ({"error": {"code": 404, "message": "no such order"}, "message": "other"}, "no such order"),
        ({"error": {"detail": "no such order"}}, "no such order"),
        ({"error": [{"message": "a"}, {"message": "b"}]}, "a; b"),
        # error as a string
        ({"error": "invalid"}, "invalid"),
        ({"error": "invalid_grant", "error_description": "expired"}, "invalid_grant: expired"),
        # detail
        ({"detail": "Not found."}, "Not found."),
        ({"error": {}, "detail": "Not found."}, "Not found."),
        ({"error": None, "detail": "Not found."}, "Not found."),
        ({"detail": {"message": "deeper"}}, "deeper"),
        # FastAPI
        (
            {
                "detail": [
                    {"loc": ["body", "items", 0], "msg": "field required", "type": "missing"},
                    {"loc": ["query", "page"], "msg": "not an int", "type": "int"},
                ]
            },
            "body.items.0: field required; query.page: not an int",
        ),
        ({"detail": ["a", "b"]}, "a; b"),
        # message
        ({"message": "slow down"}, "slow down"),
        ({"message": {"error": "nested"}}, "nested"),
        ({"detail": "", "message": "slow down"}, "slow down"),
        # errors[]
        ({"errors": ["a", "b"]}, "a; b"),
        ({"errors": [{"message": "a"}, {"detail": "b"}, {"title": "c"}]}, "a; b; c"),
        ({"errors": {"name": ["too short", "too blue"], "age": "negative"}}, None),
        ({"errors": "only one"}, "only one"),
        # lists and bare values
        ([{"message": "a", "errorCode": "X"}], "a"),
        ("just a text", "just a text"),
        # nothing that is known
        ({"code": 17}, "{'code': 17}"),
        ({"error": True}, "{'error': True}"),
        ([1, 2], "[1, 2]"),
        (17, "17"),
    ],
)
def test_the_message_is_found(detail, body, text):
    text = "name: too short; too blue; age: negative" if text is None else text
    assert detail(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"title": "Out of credit", "detail": "30, but it costs 50"}, "30, but it costs 50"),
        ({"title": "Out of credit", "status": 403}, "Out of credit"),
        ({"detail": "this", "error": {"message": "not this"}}, "this"),
        ({"type": "about:blank", "error": {"message": "this"}}, "this"),
        ([], "HTTP 403"),
    ],
)
@pytest.mark.parametrize("kind", [PROBLEM, "Application/Problem+JSON; charset=utf-8"])
def test_problem_details(detail, body, text, kind):
    assert detail(body, 403, kind) == text


def test_the_title_counts_without_the_content_type_too(detail):
    assert detail({"type": "about:blank", "title": "Not Found", "status": 404}) == "Not Found"


@pytest.mark.parametrize("body", [b"", b"   \n", b"{}", b"[]", b'""', b'"  "', b"null"])
def test_an_empty_body_gives_the_status(detail, body):
    assert detail(body, 404) == "HTTP 404"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"Bad Gateway\n", "text/plain", "Bad Gateway"),
        (b"<h1>Bad Gateway</h1>", "text/html", "<h1>Bad Gateway</h1>"),
        (b"{not json", JSON, "{not json"),
        (b"plain", None, "plain"),
        ("grün".encode("latin-1"), "text/plain; charset=latin-1", "grün"),
        (b"odd", "text/plain; charset=no-such-charset", "odd"),
    ],
)
def test_a_body_that_is_not_json(detail, body, kind, text):
    assert detail(body, 502, kind) == text


@pytest.mark.parametrize("body", [b"\xff\xfe\xfd", b'{"message": "\xff"}', b"\x00" * 8])
def test_bytes_that_are_no_text_do_not_raise(detail, body):
    assert isinstance(detail(body, 500), str)


def test_a_byte_order_mark_is_no_obstacle():
    response = as_requests(b"\xef\xbb\xbf" + b'{"message": "here"}', 400, JSON)
    assert extract_error_detail(response) == "here"


def test_long_texts_are_cut(detail):
    for body in ({"message": "x" * 10_000}, b"x" * 10_000, {"code": ["x"] * 10_000}):
        shown = detail(body)
        assert len(shown) == 500
        assert shown.endswith("…")
    assert detail({"message": "x" * 500}) == "x" * 500


def test_huge_bodies_take_no_time(detail):
    assert len(detail(b"password=" * 1_000_000)) <= 500


def test_deep_and_long_structures_are_cut(detail):
    deep: Any = "bottom"
    for _ in range(200):
        deep = {"error": deep}
    assert len(detail(deep)) <= 500
    assert detail({"errors": [str(number) for number in range(100)]}).count(";") == 9


def test_json_that_is_too_deep_for_the_parser(detail):
    assert isinstance(detail(b"[" * 100_000, 500), str)


@pytest.mark.parametrize(
    "body",
    [
        {"message": "bad token=s3cret"},
        {"message": "see https://u:s3cret@api.test/?api_key=s3cret"},
        {"error": "Authorization: Bearer s3cret"},
        {"request": {"headers": {"X-Api-Key": "s3cret"}}, "password": "s3cret"},
        b"password=s3cret&x=1",
        {"errors": {"field": ["client_secret=s3cret"]}},
        {"message": "x" * 490 + " password=s3cret"},
    ],
)
def test_secrets_are_not_shown(detail, body):
    assert "s3cret" not in detail(body)


# -- responses that are none, and bodies that can't be read


def test_a_double_works():
    double = MagicMock(status_code=400)
    double.json.return_value = {"error": {"message": "no such order"}}
    assert extract_error_detail(double) == "no such order"


def test_a_double_that_says_nothing():
    assert extract_error_detail(MagicMock(status_code=404)) == "HTTP 404"
    assert extract_error_detail(MagicMock()) == "HTTP error"
    assert extract_error_detail(None) == "HTTP error"


def test_a_double_whose_body_is_no_json():
    double = MagicMock(status_code=500, text="Internal error")
    double.json.side_effect = ValueError
    assert extract_error_detail(double) == "Internal error"
    type(double).text = PropertyMock(side_effect=RuntimeError)
    assert extract_error_detail(double) == "HTTP 500"


def test_a_streamed_body_is_read(server):
    server.route("/", reply(400, json={"message": "no"}))
    with requests.Session() as session:
        response = session.get(server.url("/"), stream=True, timeout=5)
        assert extract_error_detail(response) == "no"


def test_a_broken_body_gives_the_status(server):
    server.route("/", truncate(100, 20, status=502))
    with requests.Session() as session:
        response = session.get(server.url("/"), stream=True, timeout=5)
        assert extract_error_detail(response) == "HTTP 502"


def test_a_streamed_response_of_httpx_that_was_not_read():
    response = httpx.Response(503, stream=httpx.ByteStream(b"text"))
    assert extract_error_detail(response) == "HTTP 503"


def test_interruptions_pass():
    double = MagicMock()
    double.json.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        extract_error_detail(double)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errors", "detail", "message", "title", "msg", "loc", "error_description"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_values, st.sampled_from([JSON, PROBLEM, None]))
def test_anything_gives_a_text(data, kind):
    shown = extract_error_detail(as_requests(json.dumps(data).encode(), 418, kind))
    assert isinstance(shown, str)
    assert 0 < len(shown) <= 500


@given(st.binary(max_size=60))
def test_any_bytes_give_a_text(body):
    assert 0 < len(extract_error_detail(as_requests(body, 418, JSON))) <= 500


def test_it_is_one_line_whatever_the_server_sends():
    text = "bad\n2026-01-01 ERROR forged\x1b[31m\u2028entry"
    assert extract_error_detail(httpx.Response(400, json={"message": text})) == (
        "bad 2026-01-01 ERROR forged [31m entry"
    )
