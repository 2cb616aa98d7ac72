"""What happens to a response between the transport and the caller is what httpx does with it.

Each test runs on httpx's own client and on ours, synchronous and asynchronous.
"""

from __future__ import annotations

import gc
import gzip
import logging
import pickle
import weakref
from functools import partial
from http.cookiejar import CookieJar
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from unittest import mock

import anyio
import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.httpx_client import PipelineClient

URL = "http://api.test/users?id=1"
OUTSIDE = {"attempts"}
"""What our responses have and httpx's don't."""


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, which notes that it was closed."""

    def __init__(self, pieces: Tuple[bytes, ...], error: Optional[Exception] = None) -> None:
        self.pieces, self.error, self.closed = pieces, error, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class Wire(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers from memory, as a transport does: with streams."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: List[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


def ok(request: httpx.Request, status: int = 200, **options: Any) -> httpx.Response:
    options.setdefault("stream", Body((b'{"a"', b": 1}")))
    options.setdefault("headers", [(b"Content-Type", b"application/json")])
    return httpx.Response(status, **options)


class Blocking:
    """A client whose methods block, whatever it is."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.asynchronous = isinstance(client, httpx.AsyncClient)

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        if not self.asynchronous:
            return getattr(self.client, name)(*args, **options)
        return anyio.run(partial(getattr(self.client, name), *args, **options))


PAIRS = {
    "sync": (httpx.Client, partial(PipelineClient, max_retries=0)),
    "async": (httpx.AsyncClient, partial(AsyncConnectionManager, max_retries=0)),
}


@pytest.fixture(params=sorted(PAIRS))
def pair(request: pytest.FixtureRequest) -> Tuple[Any, Any]:
    """httpx's class of a client, and ours."""
    return PAIRS[request.param]


def on_both(pair: Tuple[Any, Any], run: Callable[[Any], Any]) -> Any:
    """Return what came out, which must be the same twice."""
    theirs, ours = (run(make) for make in pair)
    assert ours == theirs
    return ours


def facts(response: httpx.Response) -> Dict[str, Any]:
    """Return everything there is to a response that was read, but for its clock and its parts."""
    state = {name: value for name, value in vars(response).items() if name not in OUTSIDE}
    for name in ("stream", "_request", "_elapsed", "_decoder", "history", "next_request"):
        state.pop(name, None)
    state["headers"] = response.headers.raw
    return {
        **state,
        "elapsed": response.elapsed.total_seconds() >= 0,
        "history": [(one.status_code, str(one.url)) for one in response.history],
        "next": response.next_request and str(response.next_request.url),
        "url": str(response.url),
        "text": response.text,
        "stream": isinstance(response.stream, (httpx.SyncByteStream, httpx.AsyncByteStream)),
        "pickled": pickle.loads(pickle.dumps(response)).content,
        "downloaded": response.num_bytes_downloaded,
    }


ANSWERS: Dict[str, Callable[..., httpx.Response]] = {
    "plain": ok,
    "empty": partial(ok, status=204, headers=[], stream=Body(())),
    "gzipped": partial(
        ok, headers=[(b"Content-Encoding", b"gzip")], stream=Body((gzip.compress(b"text"),))
    ),
    "identity": partial(ok, headers=[(b"content-encoding", b"identity")]),
    "latin": partial(ok, headers=[(b"X-Name", b"\xe9"), (b"content-type", b"text/x; charset=q")]),
    "status": partial(ok, status=404),
    "redirect": partial(ok, status=302, headers=[(b"Location", b"/elsewhere")]),
    "extensions": partial(ok, extensions={"http_version": b"HTTP/2", "reason_phrase": b"Fine"}),
    "read": lambda request: httpx.Response(200, stream=httpx.ByteStream(b"read")),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_response_is_what_httpx_makes_of_it(pair: Tuple[Any, Any], name: str) -> None:
    def run(make: Any) -> Any:
        client = make(transport=Wire(ANSWERS[name]), default_encoding="latin-1")
        response = Blocking(client).call("get", URL)
        assert response.request is client._transport.requests[-1]
        return facts(response)

    on_both(pair, run)


def test_a_body_is_closed_once(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        body = Body((b"a",))
        response = Blocking(make(transport=Wire(partial(ok, stream=body)))).call("get", URL)
        return body.closed, response.is_closed, response.is_stream_consumed

    assert on_both(pair, run) == (1, True, True)


def test_a_body_that_breaks_names_its_request(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        body = Body((b"a",), httpx.ReadError("broken"))
        client = make(transport=Wire(partial(ok, stream=body)))
        with pytest.raises(httpx.ReadError, match="broken") as caught:
            Blocking(client).call("get", URL)
        return str(caught.value.request.url), body.closed

    assert on_both(pair, run) == (URL, 1)


def test_a_transport_that_fails_names_its_request(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        def fail(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        with pytest.raises(httpx.ConnectError, match="refused") as caught:
            Blocking(make(transport=Wire(fail))).call("get", URL)
        return str(caught.value.request.url)

    assert on_both(pair, run) == URL


def test_a_body_of_the_other_world_is_refused(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        client = make(transport=Wire(ok))
        blocking = Blocking(client)
        content = iter([b"a"]) if blocking.asynchronous else _pieces()
        with pytest.raises(RuntimeError) as caught:
            blocking.call("post", URL, content=content)
        return str(caught.value)

    on_both(pair, run)


async def _pieces() -> Any:
    yield b"a"


def test_cookies_are_kept(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        wire = Wire(
            partial(ok, headers=[(b"set-cookie", b"a=1"), (b"SET-COOKIE", b"b=2; Path=/x")])
        )
        client = make(transport=wire)
        Blocking(client).call("get", URL)
        Blocking(client).call("get", URL)
        return dict(client.cookies), wire.requests[-1].headers.get("cookie")

    assert on_both(pair, run) == ({"a": "1", "b": "2"}, "a=1")


class CountingJar(CookieJar):
    asked = 0

    def extract_cookies(self, response: Any, request: Any) -> None:
        self.asked += 1
        super().extract_cookies(response, request)


def test_a_jar_of_ones_own_sees_every_response(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        jar = CountingJar()
        Blocking(make(transport=Wire(ok), cookies=jar)).call("get", URL)
        return jar.asked

    assert on_both(pair, run) == 1


def test_httpx_logs_each_request(pair: Tuple[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    def run(make: Any) -> Any:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="httpx"):
            Blocking(make(transport=Wire(ok))).call("get", URL)
        return [one.getMessage() for one in caplog.records if one.name == "httpx"]

    assert on_both(pair, run) == [f'HTTP Request: GET {URL} "HTTP/1.1 200 OK"']


def hops(request: httpx.Request) -> httpx.Response:
    """Redirect /1 to /2 and so on, up to /3."""
    number = int(request.url.path[1:])
    if number == 3:
        return ok(request)
    location = f"/{number + 1}".encode()
    return ok(request, status=302, headers=[(b"Location", location)])


@pytest.mark.parametrize("follow", [True, False])
def test_redirects(pair: Tuple[Any, Any], follow: bool) -> None:
    def run(make: Any) -> Any:
        client = make(transport=Wire(hops), follow_redirects=follow)
        response = Blocking(client).call("get", "http://api.test/1")
        return facts(response), [facts(one) for one in response.history]

    on_both(pair, run)


@pytest.mark.parametrize("limit", [0, 1, 2, -1])
def test_too_many_redirects(pair: Tuple[Any, Any], limit: int) -> None:
    def run(make: Any) -> Any:
        wire = Wire(hops)
        client = make(transport=wire, follow_redirects=True, max_redirects=limit)
        try:
            Blocking(client).call("get", "http://api.test/1")
        except httpx.TooManyRedirects as exc:
            return len(wire.requests), str(exc)
        return len(wire.requests)

    on_both(pair, run)


@pytest.mark.parametrize("failing", ["request", "response"])
def test_event_hooks_run_and_may_raise(pair: Tuple[Any, Any], failing: str) -> None:
    def run(make: Any) -> Any:
        seen: List[str] = []
        body = Body((b"a",))
        client = make(transport=Wire(partial(ok, stream=body)))

        def note(kind: str, item: Any) -> None:
            seen.append(f"{kind} {item.url}")
            if kind == failing:
                raise ValueError(kind)

        async def anote(kind: str, item: Any) -> None:
            note(kind, item)

        blocking = Blocking(client)
        hook = anote if blocking.asynchronous else note
        client.event_hooks = {kind: [partial(hook, kind)] for kind in ("request", "response")}
        with pytest.raises(ValueError, match=failing):
            blocking.call("get", URL)
        return seen, body.closed

    on_both(pair, run)


def test_a_closed_client_says_so(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        blocking = Blocking(make(transport=Wire(ok)))
        blocking.call("get", URL)
        blocking.call("aclose" if blocking.asynchronous else "close")
        with pytest.raises(RuntimeError) as caught:
            blocking.call("get", URL)
        return str(caught.value)

    on_both(pair, run)


def test_a_url_with_a_user_is_asked_with_basic_auth(pair: Tuple[Any, Any]) -> None:
    def run(make: Any) -> Any:
        wire = Wire(ok)
        Blocking(make(transport=wire)).call("get", "http://user:secret@api.test/")
        return wire.requests[-1].headers["Authorization"]

    assert on_both(pair, run).startswith("Basic ")


STEPS = [
    *("send", "_send_handling_auth", "_send_handling_redirects", "_send_single_request"),
    "_transport_for_url",
]
PLACES = ["class", "object", "mixin", "proxy"]


class Proxy:
    """Stands for a function, as the wrappers of monitors do: it has all that the function has."""

    def __init__(self, function: Any, note: Callable[[], None]) -> None:
        self.function, self.note = function, note

    def __get__(self, instance: Any, owner: Any) -> Any:
        return Proxy(self.function.__get__(instance, owner), self.note)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.note()
        return self.function(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("place", PLACES)
def test_a_step_that_is_replaced_is_reached(
    pair: Tuple[Any, Any], step: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: List[str] = []

    def run(make: Any) -> int:
        seen.clear()
        library = httpx.AsyncClient if make in PAIRS["async"] else httpx.Client
        own = make is library
        if own or place != "mixin":
            client = make(transport=Wire(ok))
        else:
            client = _mixed(make.func, library, step, seen)
        blocking = Blocking(client)
        blocking.call("get", URL)  # nothing that is remembered of it must stand in the way
        seen.clear()
        function = getattr(library, step)
        with monkeypatch.context() as patch:
            if place == "class":
                patch.setattr(library, step, _noting(function, seen))
            elif place == "proxy":
                patch.setattr(library, step, Proxy(function, lambda: seen.append(step)))
            elif place == "object":
                patch.setattr(client, step, _noting(getattr(client, step), seen))
            elif own:
                seen.append(step)
            blocking.call("get", URL)
        return len(seen)

    assert on_both(pair, run) == 1


def _noting(function: Any, seen: List[str]) -> Any:
    def double(*args: Any, **options: Any) -> Any:
        seen.append(function.__name__)
        return function(*args, **options)

    return double


def _mixed(ours: type, library: type, step: str, seen: List[str]) -> Any:
    """Return a client of ours with somebody's mixin behind it."""
    mixin = type("Mixin", (library,), {step: _noting(getattr(library, step), seen)})
    return type("Mixed", (ours, mixin), {})(transport=Wire(ok), max_retries=0)


@pytest.mark.parametrize("name", ["aread", "aiter_bytes", "aiter_raw", "read", "iter_raw"])
def test_a_reader_of_responses_that_is_replaced_is_reached(
    pair: Tuple[Any, Any], name: str
) -> None:
    def run(make: Any) -> bool:
        genuine = getattr(httpx.Response, name)
        with mock.patch.object(httpx.Response, name, autospec=True, side_effect=genuine) as double:
            Blocking(make(transport=Wire(ok))).call("get", URL)
        return bool(double.called)

    on_both(pair, run)


@pytest.mark.parametrize("path", ["/3", "/1"], ids=["plain", "redirect"])
def test_what_a_call_leaves_behind_needs_no_garbage_collection(
    pair: Tuple[Any, Any], path: str
) -> None:
    wire = Wire(hops)
    client = pair[1](transport=wire, bearer_token="a-token")
    built: List[Any] = []
    build = client.build_request

    def noting(*args: Any, **options: Any) -> httpx.Request:
        request: httpx.Request = build(*args, **options)
        built.append(weakref.ref(request))
        return request

    client.build_request = noting
    blocking = Blocking(client)
    gc.collect()
    gc.disable()
    try:
        response = blocking.call("get", f"http://api.test{path}")
        left = [*built, weakref.ref(response), weakref.ref(wire.requests.pop())]
        del response
        assert [one() for one in left] == [None, None, None]
    finally:
        gc.enable()
