"""What an error keeps of a response: detail, request id, and the message made of them."""

from __future__ import annotations

import json
import pickle
from typing import Any, Dict, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from requests_connection_manager import ConnectionManager, HTTPError
from requests_connection_manager.error_detail import (
    REQUEST_ID_HEADERS,
    error_detail,
    request_id,
    response_details,
)
from requests_connection_manager.failure import status_details, status_message
from requests_connection_manager.testing import VirtualClock

PROBLEM = "application/problem+json; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "content_type", "detail"),
    [
        ('{"error": {"message": "no such order"}}', "application/json", "no such order"),
        (
            '{"error": "invalid_grant", "error_description": "expired"}',
            None,
            "invalid_grant: expired",
        ),
        ('{"detail": "not yours", "message": "no"}', "text/plain", "not yours"),
        ('{"title": "Out of credit", "detail": ""}', PROBLEM, "Out of credit"),
        ('{"detail": "balance is 30", "error": "x"}', PROBLEM, "balance is 30"),
        ('[{"loc": ["body", "id"], "msg": "missing"}]', "application/json", "body.id: missing"),
        ('\ufeff{"message": "with a mark"}', "application/json", "with a mark"),
        ('  "just a string"', "application/json", "just a string"),
        ('{"code": 7}', "application/json", "{'code': 7}"),
        ("{not JSON", "application/json", "{not JSON"),
        ("no\r\n such  order", "text/plain", "no such order"),
        ("plain words", None, "plain words"),
        ("{}", "application/json", None),
        ("[]", None, None),
        ("", None, None),
        (" \n", "text/plain", None),
        (None, "application/json", None),
        ("<!DOCTYPE html><title>502</title>", "text/html", None),
        ("  <h1>Bad Gateway</h1>", None, None),
        ("\x89PNG", "image/png", None),
        ("PK", "Application/Zip", None),
        ("[" * 100_000, "application/json", "[" * 499 + "…"),
    ],
)
def test_what_a_body_says(
    body: Optional[str], content_type: Optional[str], detail: Optional[str]
) -> None:
    assert error_detail(body, content_type) == detail


def test_a_huge_body_is_cut_and_not_decoded() -> None:
    detail = error_detail(json.dumps({"message": "x" * 2_000_000}), "application/json")
    assert detail is not None
    assert (len(detail), detail[:12], detail[-1]) == (500, '{"message": ', "…")


def test_secrets_are_not_in_it() -> None:
    body = '{"message": "key k-1234567 refused: https://u:pw@a.test/?token=hunter2"}'
    detail = error_detail(body, None, lambda text: text.replace("k-1234567", "[REDACTED]"))
    assert detail is not None
    assert "[REDACTED] refused" in detail
    assert "hunter2" not in detail
    assert "pw" not in detail


def test_known_secrets_are_hidden_before_blanks_are_joined() -> None:
    assert error_detail("no: a  b", None, lambda text: text.replace("a  b", "***")) == "no: ***"


@given(st.text(), st.one_of(st.none(), st.text(), st.sampled_from([PROBLEM, "text/html"])))
def test_it_never_raises_and_is_one_short_line(body: str, content_type: Optional[str]) -> None:
    detail = error_detail(body, content_type)
    assert detail is None or (0 < len(detail) <= 500 and len(detail.splitlines()) == 1)


KEYS = st.sampled_from(["error", "errors", "detail", "message", "loc", "title", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


@given(JSON)
def test_it_never_raises_on_json(data: Any) -> None:
    detail = error_detail(json.dumps(data), PROBLEM)
    assert detail is None or (0 < len(detail) <= 500 and len(detail.splitlines()) == 1)


@pytest.mark.parametrize("name", REQUEST_ID_HEADERS)
def test_each_header_names_a_request(name: str) -> None:
    assert request_id(CaseInsensitiveDict({name.upper(): " r-1 "})) == "r-1"


def test_the_first_of_the_headers_counts() -> None:
    headers = {name: str(place) for place, name in enumerate(REQUEST_ID_HEADERS)}
    for place, name in enumerate(REQUEST_ID_HEADERS):
        assert request_id(headers) == str(place)
        del headers[name]
    assert request_id(headers) is None


def test_an_empty_header_names_nothing() -> None:
    assert request_id({"X-Request-Id": " ", "CF-Ray": "8f"}) == "8f"


def test_a_request_id_is_short_and_without_secrets() -> None:
    assert len(request_id({"X-Request-Id": "x" * 10_000}) or "") == 200
    hidden = request_id({"X-Request-Id": "k-1234567"}, lambda text: text.replace("k-12", "***"))
    assert hidden == "***34567"


@pytest.mark.parametrize(
    ("status", "body", "headers", "message"),
    [
        (404, "no such order", {}, "status 404 Not Found: no such order"),
        (404, '{"detail": "not found"}', {}, "status 404 Not Found"),
        (404, None, {"CF-Ray": "8f"}, "status 404 Not Found (request id 8f)"),
        (503, "busy", {"Request-Id": "r"}, "status 503 Service Unavailable: busy (request id r)"),
        (599, "", {}, "status 599"),
        (599, "odd", {}, "status 599: odd"),
    ],
)
def test_the_message(status: int, body: Any, headers: Dict[str, str], message: str) -> None:
    known = {"status_code": status, **response_details(headers, body)}
    assert status_message(f"status {status}", known) == message


def test_the_known_secrets_of_a_manager_are_hidden_whatever_their_name() -> None:
    manager = ConnectionManager(api_key="k-1234567", clock=VirtualClock())
    headers = {"X-Request-Id": "for k-1234567", "Retry-After": "7"}
    known = status_details(manager.core, 503, headers, "the key k-1234567 is over its limit")
    assert known["detail"] == "the key [REDACTED] is over its limit"
    assert known["request_id"] == "for [REDACTED]"
    assert known["retry_after"] == 7.0
    error = HTTPError(status_message("status 503", known), **known)
    assert b"k-1234567" not in pickle.dumps(error)
    again = pickle.loads(pickle.dumps(error))
    for name in ("status_code", "detail", "request_id", "retry_after"):
        assert getattr(again, name) == getattr(error, name)
    assert (again.body, again.headers) == (None, None)
