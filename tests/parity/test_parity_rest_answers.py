"""Bodies that a REST client sends, the errors it raises, and the values it returns."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Dict, List, Optional

import httpx
import pytest
from rest_drivers import Servers

from requests_connection_manager import (
    AuthenticationError,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitError,
    TooManyRequests,
    ValidationError,
    is_success,
)
from requests_connection_manager.testing import echo, gzip, reply, slow_body

BASE = "https://api.test/v1"


# -- bodies


def pieces():
    yield b"one,"
    yield b"two"


@pytest.mark.parametrize(
    ("given", "content_type", "body"),
    [
        (
            lambda: {"json": {"a": [1, None, "\u00e9"]}},
            "application/json",
            '{"a":[1,null,"\u00e9"]}',
        ),
        (lambda: {"json": []}, "application/json", "[]"),
        (lambda: {"json": False}, "application/json", "false"),
        (
            lambda: {"data": {"a": "1 2", "b": ["x", "y"]}},
            "application/x-www-form-urlencoded",
            "a=1+2&b=x&b=y",
        ),
        (lambda: {"content": b"raw"}, None, "raw"),
        (lambda: {"content": "text \u00e9"}, None, "text \u00e9"),
        (lambda: {"content": io.BytesIO(b"a file")}, None, "a file"),
        (lambda: {"content": pieces()}, None, "one,two"),
        (lambda: {"content": [b"one,", b"two"]}, None, "one,two"),
        (dict, None, ""),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body(rest, server, method, given, content_type, body):
    server.route("/v1/x", echo())
    client = rest.client(server.url("/v1"))
    seen = client.request(method, "/x", **given()).json()
    assert (seen["method"], seen["body"]) == (method, body)
    assert seen["headers"].get("content-type") == content_type


def test_a_generator_is_sent_in_chunks_and_a_file_with_its_length(rest, server):
    server.route("/x", echo())
    client = rest.client(server.origin)
    headers = client.post("/x", content=pieces()).json()["headers"]
    assert headers["transfer-encoding"] == "chunked"
    headers = client.post("/x", content=io.BytesIO(b"12345")).json()["headers"]
    assert headers["content-length"] == "5"
    assert "transfer-encoding" not in headers


def test_a_path_is_sent_as_a_file(rest, server, tmp_path):
    server.route("/x", echo())
    path = tmp_path / "report.csv"
    path.write_bytes(b"a,b\n")
    assert rest.client(server.origin).put("/x", content=path).json()["body"] == "a,b\n"


def test_a_multipart_form(rest, server):
    server.route("/x", echo())
    files = {"report": ("report.csv", io.BytesIO(b"a,b\n"), "text/csv")}
    client = rest.client(server.origin)
    seen = client.post("/x", data={"title": "Q1"}, files=files).json()
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="title"\r\n\r\nQ1\r\n' in seen["body"]
    assert 'name="report"; filename="report.csv"\r\nContent-Type: text/csv\r\n' in seen["body"]
    assert "a,b\n" in seen["body"]


def test_two_bodies_are_refused(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(ValueError, match="a request has one body"):
        client.post("/x", json={}, content=b"")
    assert servers.requests == []


def test_what_is_no_json_is_a_validation_error(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(ValidationError):
        client.post("/x", json={"a": object()})
    assert servers.requests == []


def test_a_default_content_type_of_the_client_does_not_contradict(rest, server):
    server.route("/x", echo())
    client = rest.client(server.origin, headers={"Content-Type": "text/plain"})
    assert client.post("/x", json={}).json()["headers"]["content-type"] == "application/json"
    assert client.post("/x", content=b"x").json()["headers"]["content-type"] == "text/plain"


def test_upload_progress_is_told(rest, server):
    server.route("/x", echo())
    seen = []
    client = rest.client(server.origin)
    client.post("/x", content=io.BytesIO(b"x" * 100), upload_progress=seen.append)
    assert (seen[-1].sent, seen[-1].total) == (100, 100)


def test_a_serializer_of_ones_own(rest, server):
    class Shouting:
        content_type = "application/shout+json"

        def dumps(self, value):
            return json.dumps(value).upper().encode()

        def loads(self, data):
            return json.loads(data.lower())

    server.route("/x", echo())
    client = rest.client(server.origin, serializer=Shouting())
    seen = client.post("/x", json={"a": "b"}).json()
    assert seen["body"] == '{"A": "B"}'
    assert seen["headers"]["content-type"] == "application/shout+json"
    plain = rest.client(server.origin).with_options(serializer=Shouting())
    assert plain.post("/x", json="a").json()["body"] == '"A"'


# -- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, HTTPError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, HTTPError),
        (409, HTTPError),
        (418, HTTPError),
        (422, HTTPError),
        (429, TooManyRequests),
        (500, HTTPError),
        (503, HTTPError),
    ],
)
def test_an_error_status_is_raised(rest, server, status, kind):
    headers = {"X-Request-ID": "req-7", "Retry-After": "3", "X-More": "1"}
    problem = {"type": "about:blank", "detail": "out of stock"}
    server.route("/x", reply(status, json=problem, headers=headers))
    client = rest.client(server.origin, max_retries=0)
    with pytest.raises(kind) as caught:
        client.get("/x?page=2")
    error = caught.value
    assert isinstance(error, HTTPError)
    assert isinstance(error, httpx.HTTPStatusError)
    assert isinstance(error, RateLimitError) == (status == 429)
    assert error.status_code == status
    assert error.headers["x-more"] == "1"
    assert json.loads(error.body) == problem
    assert error.detail == "out of stock"
    assert error.request_id == "req-7"
    assert error.retry_after == 3
    assert error.response.status_code == status
    assert error.response.json() == problem
    assert str(error.request.url) == server.url("/x?page=2")
    assert [attempt.status for attempt in error.attempts] == [status]
    for part in ("GET", "/x?page=2", str(status), "out of stock", "req-7"):
        assert part in str(error)
    assert not is_success(error.response)
    assert is_success(error.response, ok_statuses={status})


@pytest.mark.parametrize("status", [404, 503])
@pytest.mark.parametrize(
    ("of_client", "of_call", "raised"),
    [
        ({}, {}, True),
        ({"raise_for_status": False}, {}, False),
        ({}, {"raise_for_status": False}, False),
        ({"raise_for_status": False}, {"raise_for_status": True}, True),
        ({"ok_statuses": {404, 503}}, {}, False),
        ({}, {"ok_statuses": {404, 503}}, False),
        ({"ok_statuses": {404, 503}}, {"ok_statuses": {410}}, True),
        ({}, {"ok_statuses": {410}}, True),
    ],
)
@pytest.mark.parametrize("how", ["call", "stream", "sibling", "batch", "send"])
def test_errors_can_be_switched_off(rest, clock, status, of_client, of_call, raised, how):
    servers = Servers(httpx.Response(status, text="no"))
    client = rest.client(BASE, transport=servers.transport, clock=clock, **of_client)

    def run():
        if how == "call":
            return client.get("/x", **of_call)
        if how == "sibling":
            return client.with_options(**of_call).get("/x")
        if how == "batch":
            result = client.batch([("GET", "/x", of_call)])[0]
            if isinstance(result, Exception):
                raise result
            return result
        if how == "send":
            return client.send(client.build_request("GET", "/x"), **of_call)
        with client.stream("GET", "/x", **of_call) as (response, read):
            read()
        return response

    if raised:
        with pytest.raises(HTTPError) as caught:
            run()
        assert caught.value.status_code == status
        assert caught.value.body == "no"
    else:
        response = run()
        assert (response.status_code, response.text) == (status, "no")
    # An expected status is no reason for a retry either; without errors, retries go on.
    expected = {**of_client, **of_call}.get("ok_statuses", ())
    assert len(servers.requests) == (4 if status == 503 and status not in expected else 1)


def test_success_and_redirects_are_no_errors(rest):
    servers = Servers(httpx.Response(204), httpx.Response(304), httpx.Response(302))
    client = rest.client(BASE, transport=servers.transport, follow_redirects=False)
    assert [client.get("/x").status_code for _ in range(3)] == [204, 304, 302]


def test_redirects_are_followed_unless_told_otherwise(rest):
    moved = httpx.Response(302, headers={"Location": "/v1/new"})
    servers = Servers(moved, httpx.Response(200), moved, moved, httpx.Response(200))
    client = rest.client(BASE, transport=servers.transport)
    assert client.get("/old").status_code == 200
    assert client.get("/old", follow_redirects=False).status_code == 302
    sibling = client.with_options(follow_redirects=False)
    assert sibling.get("/old").status_code == 302


def test_too_many_redirects(rest):
    servers = Servers(httpx.Response(302, headers={"Location": "/v1/x"}))
    client = rest.client(BASE, transport=servers.transport, max_redirects=3)
    with pytest.raises(httpx.TooManyRedirects):
        client.get("/x")
    assert len(servers.requests) == 4


def test_a_long_body_is_cut_in_the_message_and_whole_in_the_error(rest, server):
    server.route("/x", reply(400, body="x" * 100_000))
    with pytest.raises(HTTPError) as caught:
        rest.client(server.origin).get("/x")
    assert len(str(caught.value)) < 2000
    assert len(caught.value.body) == 100_000


def test_secrets_are_kept_out_of_messages(rest):
    secret = "sk-1234567890"
    servers = Servers(httpx.Response(400, json={"detail": f"bad key {secret}"}))
    client = rest.client(BASE, transport=servers.transport, api_key=secret)
    with pytest.raises(HTTPError) as caught:
        client.get(f"/x?api_key={secret}&page=2")
    assert secret not in str(caught.value)
    assert secret not in str(caught.value.detail)
    assert "page=2" in str(caught.value)


# -- what comes back


def test_the_response_is_httpx_own(rest, server):
    server.route("/x", reply(200, json={"id": 7}, headers={"X-More": "1"}))
    response = rest.client(server.origin).get("/x")
    assert isinstance(response, httpx.Response)
    assert response.json() == {"id": 7}
    assert (response.status_code, response.headers["x-more"]) == (200, "1")
    assert response.content == b'{"id": 7}'
    assert len(response.attempts) == 1
    assert response.elapsed.total_seconds() >= 0


def test_a_compressed_body_is_unpacked(rest, server):
    server.route("/x", gzip("text " * 1000))
    assert rest.client(server.origin).get("/x").text == "text " * 1000


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("bytes", b"line 1\nline 2\n"),
        ("raw", b"line 1\nline 2\n"),
        ("read", b"line 1\nline 2\n"),
        ("text", "line 1\nline 2\n"),
        ("lines", ["line 1", "line 2"]),
    ],
)
def test_a_streamed_body(rest, server, how, wanted):
    server.route("/x", slow_body([b"line", b" 1\nli", b"ne 2\n"], 0))
    with rest.client(server.origin).stream("GET", "/x", how) as (response, read):
        assert response.status_code == 200
        assert read() == wanted
    assert response.is_closed


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.fixture
def user_model():
    pydantic = pytest.importorskip("pydantic")

    class User(pydantic.BaseModel):
        id: int
        name: str

    return User


def answering(rest, *answers, **options):
    servers = Servers(*answers)
    return rest.client(BASE, transport=servers.transport, **options)


def test_a_model(rest, user_model):
    client = answering(rest, httpx.Response(200, json={"id": "7", "name": "Ada"}))
    for user in (
        client.get("/x", model=user_model),
        client.post("/x", json={}, model=user_model),
        client.put("/x", json={}, model=user_model),
        client.patch("/x", json={}, model=user_model),
        client.delete("/x", model=user_model),
        client.request("GET", "/x", model=user_model),
    ):
        assert type(user) is user_model
        assert (user.id, user.name) == (7, "Ada")


def test_a_model_under_a_key(rest, user_model):
    body = {"data": [{"id": 1, "name": "Ada"}], "total": 1}
    client = answering(rest, httpx.Response(200, json=body))
    users = client.get("/x", model=List[user_model], response_key="data")
    assert users == [user_model(id=1, name="Ada")]
    assert client.get("/x", response_key="total") == 1
    assert client.get("/x", model=Dict[str, object]) == body


def test_other_kinds_of_models(rest):
    pytest.importorskip("pydantic")
    extensions = pytest.importorskip("typing_extensions")
    Row = extensions.TypedDict("Row", {"x": int})
    client = answering(rest, httpx.Response(200, json={"x": 1}))
    assert client.get("/x", model=Point) == Point(1)
    assert client.get("/x", model=Row) == {"x": 1}
    assert client.get("/x", model=Optional[Point]) == Point(1)
    points = answering(rest, httpx.Response(200, json=[{"x": 1}, {"x": 2, "y": 3}]))
    assert points.get("/x", model=List[Point]) == [Point(1), Point(2, 3)]


def test_none_is_a_model_too(rest):
    pytest.importorskip("pydantic")
    assert answering(rest, httpx.Response(204)).get("/x", model=Optional[Point]) is None
    with pytest.raises(ValidationError):
        answering(rest, httpx.Response(200, json=1)).get("/x", model=None)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("answer", "options", "text", "path"),
    [
        (httpx.Response(200, json={"x": "one"}), {"model": Point}, "x: Input should be", ("x",)),
        (httpx.Response(200, json=[{"x": 1}, {}]), {"model": List[Point]}, "[1].x", (1, "x")),
        (httpx.Response(204), {"model": Point}, "the response has no body", ()),
        (httpx.Response(200), {"model": Point}, "the response has no body", ()),
        (httpx.Response(204), {"response_key": "data"}, "the response has no body", ("data",)),
        (
            httpx.Response(200, headers=JSON, content=b"<html>oops"),
            {"model": Point},
            "<html>oops",
            (),
        ),
        (
            httpx.Response(200, headers=JSON, content=b'{"x": "\xff"}'),
            {"model": Point},
            "utf-8",
            (),
        ),
        (
            httpx.Response(200, json={"items": 1}),
            {"response_key": "data"},
            "has no key 'data', only 'items'",
            ("data",),
        ),
        (httpx.Response(200, json=[1]), {"response_key": "data"}, "no object with", ("data",)),
        (
            httpx.Response(200, json={"data": {"x": "one"}}),
            {"model": Point, "response_key": "data"},
            "x: Input",
            ("x",),
        ),
    ],
)
def test_an_answer_that_is_not_of_the_form(rest, answer, options, text, path):
    pytest.importorskip("pydantic")
    client = answering(rest, answer)
    with pytest.raises(ValidationError) as caught:
        client.get("/x?page=2", **options)
    error = caught.value
    assert text in str(error)
    assert str(error).startswith("GET https://api.test/v1/x?page=2, status ")
    assert error.path == path
    assert error.response.status_code == answer.status_code
    assert error.request.method == "GET"
    assert [attempt.status for attempt in error.attempts] == [answer.status_code]


def test_a_model_that_is_none_is_refused(rest):
    pytest.importorskip("pydantic")
    client = answering(rest, httpx.Response(200, json={}))
    with pytest.raises(TypeError, match="model must be a type"):
        client.get("/x", model=object())


def test_an_error_status_is_raised_before_any_model(rest):
    client = answering(rest, httpx.Response(404, json={"x": 1}))
    with pytest.raises(HTTPError):
        client.get("/x", model=Point)


def test_text_is_a_value_too(rest):
    client = answering(rest, httpx.Response(200, text="seven"))
    assert client.get("/x").text == "seven"
    pytest.importorskip("pydantic")
    assert client.get("/x", model=str) == "seven"


def test_a_fallback_is_returned_as_it_is(rest):
    client = answering(rest, httpx.Response(404))

    def fall_back(context):
        context.handled, context.fallback_response = True, "fallback"

    client.register_error_hook(fall_back)
    assert client.get("/x") == "fallback"
    assert client.get("/x", response_key="data") == "fallback"


# -- the end of retries


def test_the_end_of_retries_is_an_http_error_too(rest, clock):
    client = answering(rest, httpx.Response(503, json={"detail": "asleep"}), clock=clock)
    with pytest.raises(MaxRetriesExceeded) as caught:
        client.get("/x")
    error = caught.value
    assert isinstance(error, HTTPError)
    assert (error.status_code, error.detail, error.reason) == (503, "asleep", "max_retries")
    assert len(error.attempts) == 4
