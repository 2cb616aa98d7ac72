"""The requests that our clients build are those that httpx builds."""

from __future__ import annotations

import json
import pickle
from typing import Any, Dict, Iterator, List, Tuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.httpx_client import PipelineClient

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
_TOKEN = st.sampled_from(
    [
        *("Accept", "accept", "X-One", "x-one", "User-Agent", "Host", "Content-Type"),
        *("Content-Length", "Transfer-Encoding", "Cookie", "X-\xdc"),
    ]
)
_VALUES = st.sampled_from(["", "1", "a b", "text/plain", "é", "gzip", "a=1"])
_PAIRS = st.lists(st.tuples(_TOKEN, _VALUES), max_size=4)
_RAW = _PAIRS.map(lambda pairs: [(name.encode("latin-1"), value.encode()) for name, value in pairs])
_HEADERS = st.one_of(
    *(st.none(), st.just({}), _PAIRS, _PAIRS.map(dict), _RAW, _RAW.map(httpx.Headers)),
)
_PARAMS = st.one_of(
    st.none(),
    st.just({}),
    st.just(""),
    st.just("a=1&b=%20"),
    st.dictionaries(_TEXT, st.one_of(_TEXT, st.integers(), st.none(), st.booleans()), max_size=3),
    st.lists(st.tuples(_TEXT, _TEXT), max_size=3),
)
_ODD_URLS = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "HTTPS", "Http", "ftp"]),
    st.sampled_from(["a.test", "A.test:80", "ü@a.test:443", "u:p%@xn--bcher-kva.test", "[::1]:0"]),
    st.text("aZ0-._~%/?#[]@!$&'()*+,;= ü\\^`{|}<>\"", max_size=12),
)
_KNOWN_URLS = st.sampled_from(
    [
        *(
            "http://api.test",
            "HTTP://API.test:80/a?b=1#c",
            "https://user:pä%3As@api.test/ä b?q=ü#f",
        ),
        *("http://[::1]:8080/x", "http://bücher.example/", "/relative?x=1", "relative", ""),
        *("http://api.test/?", "http://api.test/#", "?q=1", "//other.test/x", "http://1.2.3.4/%7e"),
        *("mailto:me@api.test", "http://", "https://api.test:443", "http://api.test/a/../b/./c"),
    ]
)
_URLS = st.one_of(_KNOWN_URLS, _ODD_URLS)
_METHODS = st.sampled_from(["GET", "get", "POST", "put", "PATCH", "DELETE", "HEAD", "OPTIONS", "x"])
_JSON = st.one_of(st.none(), st.just({}), st.just(0), st.lists(_TEXT, max_size=3))
_BODIES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"json": _JSON}),
    st.fixed_dictionaries({"content": st.one_of(st.binary(max_size=9), _TEXT)}),
    st.fixed_dictionaries({"data": st.one_of(st.just({}), st.just({"a": "1", "b": ["2", "ü"]}))}),
    st.just({"data": {"a": "1"}, "json": {"b": 2}}),
    st.just({"content": b"", "json": {"b": 2}}),
)
_TIMEOUTS = st.sampled_from([..., None, 3, 2.5, (1, 2), httpx.Timeout(4, connect=1)])
_EXTENSIONS = st.sampled_from([None, {}, {"sni_hostname": "x"}, {"timeout": {"read": 1}}])
_COOKIES = st.sampled_from([None, {}, {"a": "1"}, {"a": "2", "b": "3"}, [("c", "4")]])
_CLIENTS = st.fixed_dictionaries(
    {
        "headers": st.sampled_from([None, {"X-One": "mine", "accept": "x"}, {b"X-One": b"\xe9"}]),
        "params": st.sampled_from([None, {"own": "1"}]),
        "cookies": st.sampled_from([None, {"own": "c"}]),
        "base_url": st.sampled_from(["", "https://base.test/v1", "http://base.test/v1/?q=1"]),
        "timeout": st.sampled_from([5, 30.0]),
    }
)

_MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}

Seen = Tuple[Any, ...]


def seen(client: Any, kind: Any, method: str, url: str, options: Dict[str, Any]) -> Seen:
    """Return everything there is to a request, or the error that there is instead."""
    try:
        request = client.build_request(method, kind(url), **options)
    except Exception as exc:
        return type(exc), str(exc)
    return (
        type(request),
        request.method,
        type(request.url),
        str(request.url),
        request.url.raw_path,
        type(request.headers),
        request.headers.raw,
        request.headers.multi_items(),
        list(request.extensions.items()),
        request.content,
        type(request.stream),
        list(request.stream),
        sorted(vars(request)),
    )


@settings(max_examples=400, deadline=None)
@given(
    own=_CLIENTS,
    method=_METHODS,
    url=_URLS,
    kind=st.sampled_from([str, httpx.URL]),
    body=_BODIES,
    params=_PARAMS,
    headers=_HEADERS,
    cookies=_COOKIES,
    timeout=_TIMEOUTS,
    extensions=_EXTENSIONS,
)
def test_a_request_is_what_httpx_makes_of_the_same_arguments(
    own: Dict[str, Any],
    method: str,
    url: str,
    kind: Any,
    body: Dict[str, Any],
    params: Any,
    headers: Any,
    cookies: Any,
    timeout: Any,
    extensions: Any,
) -> None:
    options = {**body, "params": params, "headers": headers, "cookies": cookies}
    options["extensions"] = extensions
    if timeout is not ...:
        options["timeout"] = timeout
    own["transport"] = httpx.MockTransport(lambda request: httpx.Response(200))
    with httpx.Client(**own) as theirs, PipelineClient(**own) as ours:
        expected = seen(theirs, kind, method, url, options)
        # Twice: what is remembered of the first must not show in the second.
        assert seen(ours, kind, method, url, options) == expected
        assert seen(ours, kind, method, url, options) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"files": {"f": ("a.txt", b"text")}, "headers": _MULTIPART},
        {"files": {"f": b"1"}, "data": {"a": "1"}, "headers": _MULTIPART},
        {"data": {}, "files": {}},
    ],
    ids=["files", "files-and-data", "empty"],
)
def test_a_multipart_body_is_what_httpx_makes_of_it(options: Dict[str, Any]) -> None:
    with httpx.Client() as theirs, PipelineClient() as ours:
        expected = theirs.build_request("POST", "http://api.test/", **options)
        built = ours.build_request("POST", "http://api.test/", **options)
    assert built.headers.raw == expected.headers.raw
    assert built.read() == expected.read()


def test_a_body_that_is_an_iterator_is_streamed_as_httpx_does() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        yield b"b"

    with httpx.Client() as theirs, PipelineClient() as ours:
        expected = theirs.build_request("POST", "http://api.test/", content=chunks())
        built = ours.build_request("POST", "http://api.test/", content=chunks())
    assert built.headers.raw == expected.headers.raw
    assert type(built.stream) is type(expected.stream)
    assert not hasattr(built, "_content")
    assert built.read() == b"ab"


def test_a_header_that_is_no_ascii_can_be_set_on_a_request_that_was_just_built() -> None:
    with PipelineClient(cookies={"a": "1"}) as client:
        request = client.build_request("GET", "http://api.test/")
    request.headers["X-Name"] = "Jürgen"
    assert request.headers["X-Name"] == "Jürgen"


def test_requests_share_no_headers_and_no_extensions_with_each_other_or_the_client() -> None:
    given_extensions: Dict[str, Any] = {"timeout": {"read": 1}}
    with PipelineClient(headers={"X-One": "1"}) as client:
        first = client.build_request("GET", "http://api.test/", extensions=given_extensions)
        first.headers["X-One"] = "changed"
        first.headers["X-Two"] = "2"
        first.extensions["more"] = True
        second = client.build_request("GET", "http://api.test/", extensions=given_extensions)
        assert client.headers["X-One"] == "1"
    assert second.headers["X-One"] == "1"
    assert "X-Two" not in second.headers
    assert given_extensions == {"timeout": {"read": 1}}


def test_a_request_can_be_pickled() -> None:
    with PipelineClient() as client:
        request = client.build_request("POST", "http://api.test/a?b=1", json={"a": 1})
    copy = pickle.loads(pickle.dumps(request))
    assert (copy.method, copy.url, copy.headers) == (request.method, request.url, request.headers)
    assert json.loads(copy.content) == {"a": 1}


class _Mine(AsyncConnectionManager):
    """Overrides the steps of ``build_request``."""

    def _merge_url(self, url: Any) -> httpx.URL:
        return super()._merge_url(url).copy_add_param("url", "mine")

    def _merge_headers(self, headers: Any = None) -> Any:
        return {**dict(super()._merge_headers(headers)), "x-headers": "mine"}

    def _merge_queryparams(self, params: Any = None) -> Any:
        return {"params": "mine"}

    def _merge_cookies(self, cookies: Any = None) -> Any:
        return {"cookie": "mine"}


def test_a_subclass_may_override_each_step() -> None:
    request = _Mine().build_request("GET", "http://api.test/")
    assert request.headers["x-headers"] == "mine"
    assert request.headers["cookie"] == "cookie=mine"
    assert str(request.url) == "http://api.test/?params=mine"


class _Plain(PipelineClient):
    """Adds no headers of a call to its own, and knows one URL only."""

    def _merge_headers(self, headers: Any = None) -> Any:
        return self.headers

    def _merge_url(self, url: Any) -> Any:
        return "http://other.test/"


def test_what_a_subclass_returns_stays_its_own() -> None:
    with _Plain() as client:
        before = client.headers.raw
        request = client.build_request("POST", "http://api.test/", json={})
        assert client.headers.raw == before
    assert request.url == httpx.URL("http://other.test/")
    assert request.headers["Content-Type"] == "application/json"


def test_a_double_of_build_request_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[str] = []
    genuine = httpx.Client.build_request

    def double(self: Any, method: str, url: Any, **options: Any) -> httpx.Request:
        asked.append(f"{method} {url}")
        return genuine(self, method, url, **options)

    monkeypatch.setattr(httpx.Client, "build_request", double)
    with PipelineClient() as client:
        assert client.build_request("GET", "http://api.test/").method == "GET"
    assert asked == ["GET http://api.test/"]
