"""``PipelineClient`` wherever an ``httpx.Client`` is taken."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, List
from unittest import mock

import httpx
import pytest

from requests_connection_manager import (
    AttemptFinished,
    AttemptStarted,
    CircuitBreakerOpen,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.httpx_client import PipelineClient
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    echo,
    redirect,
    reply,
    slow_body,
)

URL = "https://api.test/users"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", echo())
        yield running


@pytest.fixture
def client() -> Iterator[PipelineClient]:
    with PipelineClient(clock=VirtualClock()) as running:
        yield running


def statuses(response: Any) -> List[Any]:
    return [one.status for one in response.attempts]


def answering(*statuses: int, **options: Any) -> PipelineClient:
    """Return a client whose transport answers by itself."""
    left = list(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(left.pop(0) if left else 200, json={"url": str(request.url)})

    return PipelineClient(
        transport=httpx.MockTransport(answer), **{"clock": VirtualClock(), **options}
    )


# -- it is a client


def test_it_is_the_httpx_that_was_looked_at() -> None:
    # The hop goes around a private method of httpx; another version has to be read first.
    assert httpx.__version__ == "0.28.1"
    assert inspect.isfunction(httpx.Client._send_single_request)


def test_it_is_a_client(client: PipelineClient) -> None:
    with httpx.Client() as theirs:
        assert isinstance(client, httpx.Client)
        for name in dir(theirs):
            if not name.startswith("_"):
                assert hasattr(client, name), name
        assert client.headers == theirs.headers
        assert client.follow_redirects is False


def test_it_takes_every_argument_that_httpx_takes(server: FaultServer) -> None:
    theirs = inspect.signature(httpx.Client.__init__).parameters
    given: Dict[str, Any] = {
        name: one.default for name, one in theirs.items() if name not in ("self", "limits")
    }
    with PipelineClient(**given, limits=httpx.Limits()) as client:
        assert client.timeout == httpx.Timeout(5)
        assert client.get(server.url("/")).status_code == 200


def test_the_functions_of_httpx_work_with_it(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httpx._api.Client", PipelineClient)
    assert httpx.get(server.url("/"), params={"q": "1"}).json()["query"] == "q=1"
    assert httpx.post(server.url("/"), content=b"x").json()["body"] == "x"
    with httpx.stream("GET", server.url("/")) as response:
        assert response.read()


def test_it_is_opened_and_closed_as_ever(server: FaultServer) -> None:
    client = PipelineClient()
    assert not client.is_closed
    with client:
        client.get(server.url("/"))
    assert client.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        client.get(server.url("/"))
    with pytest.raises(RuntimeError), client:
        pass


# -- calls


def test_cookies_are_kept_and_sent(server: FaultServer, client: PipelineClient) -> None:
    server.route("/set", reply(200, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    client.get(server.url("/set"))
    client.get(server.url("/"))
    assert sorted(server.requests[-1].headers["cookie"].split("; ")) == ["a=1", "b=2"]
    with pytest.warns(DeprecationWarning, match="cookies"):
        client.get(server.url("/"), cookies={"c": "3"})
    assert "c=3" in server.requests[-1].headers["cookie"]
    assert dict(client.cookies) == {"a": "1", "b": "2"}


def test_a_stream_takes_cookies_without_a_warning(
    server: FaultServer, client: PipelineClient
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with httpx.Client() as theirs:
            for one in (theirs, client):
                with one.stream("GET", server.url("/"), cookies={"c": "3"}) as response:
                    response.read()
                assert server.requests[-1].headers["cookie"] == "c=3"


def test_redirects_are_followed_when_asked_for(server: FaultServer, client: PipelineClient) -> None:
    server.route("/a", redirect("/"))
    response = client.get(server.url("/a"))
    assert response.is_redirect
    assert response.next_request is not None
    assert client.send(response.next_request).url == server.url("/")
    response = client.get(server.url("/a"), follow_redirects=True)
    assert [one.status_code for one in response.history] == [302]
    client.follow_redirects = True
    assert client.get(server.url("/a")).url == server.url("/")
    assert client.get(server.url("/a"), follow_redirects=False).is_redirect


def test_the_default_of_the_client_can_be_named(server: FaultServer) -> None:
    server.route("/a", redirect("/"))
    default = httpx.USE_CLIENT_DEFAULT
    with PipelineClient(auth=("u", "p"), timeout=7, follow_redirects=True) as client:
        response = client.get(
            server.url("/a"), auth=default, timeout=default, follow_redirects=default
        )
        assert response.json()["headers"]["authorization"] == "Basic dTpw"
        assert response.request.extensions["timeout"]["read"] == 7
        request = client.build_request("GET", server.url("/a"), timeout=default)
        assert client.send(request, auth=default, follow_redirects=default).status_code == 200


def test_a_body_can_be_streamed(server: FaultServer, client: PipelineClient) -> None:
    server.route("/stream", slow_body([b"one\n", b"two\n"], 0))
    with client.stream("GET", server.url("/stream")) as response:
        assert list(response.iter_lines()) == ["one", "two"]
    with client.stream("GET", server.url("/stream"), total_timeout=20) as response:
        assert b"".join(response.iter_bytes(3)) == b"one\ntwo\n"
        assert response.is_stream_consumed
    with client.stream("GET", server.url("/stream")) as response:
        assert b"".join(response.iter_raw()) == b"one\ntwo\n"
    response = client.send(client.build_request("GET", server.url("/stream")), stream=True)
    assert not response.is_closed
    assert response.read() == b"one\ntwo\n"


def test_a_stream_is_closed_when_its_block_raises(
    server: FaultServer, client: PipelineClient
) -> None:
    server.route("/stream", slow_body([b"one\n", b"two\n"], 0))
    with pytest.raises(ZeroDivisionError), client.stream("GET", server.url("/stream")) as response:
        raise ZeroDivisionError
    assert response.is_closed


def test_requests_are_built_and_sent(server: FaultServer, client: PipelineClient) -> None:
    request = client.build_request("POST", server.url("/"), params={"q": "1"}, json={"a": 1})
    answer = client.send(request).json()
    assert (answer["query"], answer["body"]) == ("q=1", '{"a":1}')
    foreign = httpx.Request("GET", server.url("/"), headers={"X-Own": "1"})
    for _ in range(2):
        assert client.send(foreign).json()["headers"]["x-own"] == "1"


def test_bodies_of_every_kind(server: FaultServer, client: PipelineClient, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"file")
    with path.open("rb") as file:
        bodies: Any = [
            ({"content": b"raw"}, "raw"),
            ({"content": iter([b"a", b"b"])}, "ab"),
            ({"content": file}, "file"),
            ({"data": {"a": "1"}}, "a=1"),
            ({"json": [1]}, "[1]"),
        ]
        for kwargs, wanted in bodies:
            assert client.post(server.url("/"), **kwargs).json()["body"] == wanted
    assert "inside" in client.post(server.url("/"), files={"f": b"inside"}).json()["body"]


def test_methods_of_every_name(server: FaultServer, client: PipelineClient) -> None:
    for name in ("get", "options", "head", "post", "put", "patch", "delete"):
        assert getattr(client, name)(server.url("/")).request.method == name.upper()
        assert server.requests[-1].method == name.upper()


# -- constructor arguments of httpx


def test_base_url_params_headers_and_auth(server: FaultServer) -> None:
    server.route("/v1/users", echo())
    with PipelineClient(
        base_url=server.origin + "/v1",
        params={"p": "1"},
        headers={"X-Mine": "1"},
        auth=("u", "p"),
        cookies={"c": "1"},
    ) as client:
        answer = client.get("/users", params={"q": "2"}).json()
    assert answer["query"] == "p=1&q=2"
    assert answer["headers"]["x-mine"] == "1"
    assert answer["headers"]["authorization"] == "Basic dTpw"
    assert answer["headers"]["cookie"] == "c=1"


def test_properties_set_later(server: FaultServer, client: PipelineClient) -> None:
    client.base_url = httpx.URL(server.origin)
    client.headers = httpx.Headers({"X-Later": "1"})
    client.params = httpx.QueryParams({"p": "1"})
    client.auth = ("u", "p")
    client.timeout = httpx.Timeout(7.0)
    client.cookies = httpx.Cookies({"c": "1"})
    response = client.get("/")
    answer = response.json()
    assert answer["query"] == "p=1"
    assert answer["headers"]["x-later"] == "1"
    assert answer["headers"]["cookie"] == "c=1"
    assert answer["headers"]["authorization"] == "Basic dTpw"
    assert response.request.extensions["timeout"]["read"] == 7.0


def test_event_hooks_of_httpx_run(server: FaultServer) -> None:
    seen: List[str] = []

    def before(request: httpx.Request) -> None:
        seen.append(request.method)
        request.headers["X-Hooked"] = "yes"

    def after(response: httpx.Response) -> None:
        seen.append(str(response.status_code))

    server.route("/flaky", reply(503), reply(200))
    with PipelineClient(
        event_hooks={"request": [before], "response": [after]}, clock=VirtualClock()
    ) as client:
        client.get(server.url("/flaky"))
        client.event_hooks = {"request": [], "response": []}
        client.get(server.url("/"))
    # Once for each hop, not for each attempt.
    assert seen == ["GET", "200"]
    assert all(one.headers["x-hooked"] == "yes" for one in server.requests[:2])


def test_an_event_hook_that_raises_ends_the_call() -> None:
    def after(response: httpx.Response) -> None:
        response.raise_for_status()

    with answering(404, event_hooks={"response": [after]}) as client:
        with pytest.raises(httpx.HTTPStatusError) as caught:
            client.get(URL)
        assert caught.value.response.is_closed


class Counting(httpx.BaseTransport):
    """A transport that answers by itself."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: List[httpx.Request] = []
        self.closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return httpx.Response(self.statuses.pop(0) if self.statuses else 200)

    def close(self) -> None:
        self.closed = True


def test_a_transport_of_ones_own_gets_each_attempt() -> None:
    transport = Counting(503, 200)
    with PipelineClient(transport=transport, clock=VirtualClock()) as client:
        response = client.get(URL)
        assert client._transport is transport
    assert statuses(response) == [503, 200]
    assert len(transport.seen) == 2
    assert transport.closed


def test_a_mock_transport_works() -> None:
    with answering() as client:
        assert client.get(URL).json() == {"url": URL}


def test_a_wsgi_app_works() -> None:
    def app(environ: Any, start_response: Any) -> List[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"from the app"]

    transport = httpx.WSGITransport(app=app)
    with PipelineClient(transport=transport, base_url="http://app") as client:
        assert client.get("/").text == "from the app"


def test_mounts_go_before_the_transport(server: FaultServer) -> None:
    mounted = Counting(503)
    with PipelineClient(
        mounts={"https://mounted.test": mounted, "http://": None}, clock=VirtualClock()
    ) as client:
        assert client.get("https://mounted.test/").status_code == 200
        assert client.get(server.url("/")).status_code == 200
    assert len(mounted.seen) == 2
    assert mounted.closed


def test_http2_and_limits_are_handed_to_httpx() -> None:
    limits = httpx.Limits(max_connections=3, max_keepalive_connections=2)
    with PipelineClient(http2=True, limits=limits) as client:
        pool: Any = client._transport
        assert pool._pool._http2 is True
        assert (pool._pool._max_connections, pool._pool._max_keepalive_connections) == (3, 2)


def test_default_encoding_and_max_redirects(server: FaultServer) -> None:
    server.route("/latin", reply(200, body="é".encode("latin-1")))
    server.route("/loop", redirect("/loop"))
    with PipelineClient(
        default_encoding="latin-1", max_redirects=2, follow_redirects=True
    ) as client:
        assert client.get(server.url("/latin")).text == "é"
        with pytest.raises(httpx.TooManyRedirects):
            client.get(server.url("/loop"))


# -- proxies


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Return a proxy that serves every site itself; the target is then a whole URL."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def answer(received: Received) -> Reply:
        return reply(200, body=f"proxied {received.target}")

    with FaultServer() as running:
        running.route("/", answer)
        yield running


def test_proxies_of_the_environment(
    proxy: FaultServer, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.origin)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PipelineClient() as client:
        assert client.get("http://api.test/").text == "proxied http://api.test/"
        assert "headers" in client.get(server.url("/")).json()
        client.set_ssl_verification(False)
        assert client.get("http://api.test/", total_timeout=20).text.startswith("proxied")
        assert set(client.get_stats()["scopes"]) == {"http://api.test", server.origin}
    with PipelineClient(trust_env=False) as client:
        assert "headers" in client.get(server.url("/")).json()


def test_a_proxy_that_is_given(proxy: FaultServer, server: FaultServer) -> None:
    with PipelineClient(trust_env=False, proxy=proxy.origin.replace("://", "://u:p@")) as client:
        assert client.get(server.url("/")).text == f"proxied {server.url('/')}"
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dTpw"
    assert "authorization" not in proxy.requests[0].headers


# -- auth


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def digest(received: Received) -> Reply:
    given = received.headers.get("authorization", "")
    if not given.startswith("Digest "):
        challenge = 'Digest realm="here", nonce="abc", qop="auth", algorithm=MD5'
        return reply(401, headers={"WWW-Authenticate": challenge})
    pairs = [part.strip().split("=", 1) for part in given[len("Digest ") :].split(", ")]
    fields = {name: value.strip('"') for name, value in pairs}
    first, second = md5("user:here:pw"), md5(f"{received.method}:{fields['uri']}")
    wanted = md5(f"{first}:abc:{fields['nc']}:{fields['cnonce']}:{fields['qop']}:{second}")
    return reply(200 if fields["response"] == wanted else 403, body=received.body)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_digest_auth(server: FaultServer, client: PipelineClient, method: str) -> None:
    server.route("/digest", digest)
    content = b"payload" if method == "POST" else None
    response = client.request(
        method, server.url("/digest"), content=content, auth=httpx.DigestAuth("user", "pw")
    )
    assert response.status_code == 200
    assert response.content == (content or b"")
    assert statuses(response) == [401, 200]


def test_digest_auth_of_the_client_and_of_an_endpoint(server: FaultServer) -> None:
    server.route("/digest", digest)
    with PipelineClient(auth=httpx.DigestAuth("user", "pw")) as client:
        assert client.get(server.url("/digest")).status_code == 200
        assert client.get(server.url("/digest")).status_code == 200
    with PipelineClient() as client:
        client.add_endpoint_config(server.origin, {"auth": httpx.DigestAuth("user", "pw")})
        assert client.get(server.url("/digest")).status_code == 200


def test_auth_of_every_form(server: FaultServer, client: PipelineClient, tmp_path: Path) -> None:
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["X-Signed"] = "yes"
        return request

    def sent(**kwargs: Any) -> Any:
        url = kwargs.pop("url", server.url("/"))
        return client.get(url, **kwargs).json()["headers"]

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    netrc.chmod(0o600)
    assert sent(auth=("u", "p"))["authorization"] == "Basic dTpw"
    assert sent(auth=sign)["x-signed"] == "yes"
    assert sent(auth=httpx.NetRCAuth(str(netrc)))["authorization"] == "Basic dTpw"
    in_url = server.url("/").replace("://", "://u:p@")
    assert sent(url=in_url)["authorization"] == "Basic dTpw"
    client.auth = ("u", "p")
    assert "authorization" not in sent(auth=None)


class Renewing(httpx.Auth):
    """Fetches a token in the middle of a call, and reads the answer."""

    requires_response_body = True

    def __init__(self, token_url: str) -> None:
        self._url = token_url
        self._token = "old"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401:
            answer = yield httpx.Request("POST", self._url, content=b"grant")
            self._token = answer.json()["token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


def test_an_auth_that_asks_a_token_server(server: FaultServer, client: PipelineClient) -> None:
    def guarded(received: Received) -> Reply:
        return reply(200 if received.headers["authorization"] == "Bearer new" else 401)

    server.route("/guarded", guarded)
    server.route("/token", reply(200, json={"token": "new"}))
    auth = Renewing(server.url("/token"))
    assert client.get(server.url("/guarded"), auth=auth).status_code == 200
    assert [one.path for one in server.requests] == ["/guarded", "/token", "/guarded"]


# -- timeouts, extensions, subclasses


def test_timeouts_of_every_form(server: FaultServer, client: PipelineClient) -> None:
    forms: Any = (5, 5.5, (3, 4, 5, 6), (3, 4), httpx.Timeout(3), None)
    for timeout in forms:
        assert client.get(server.url("/"), timeout=timeout).status_code == 200
    response = client.get(server.url("/"), timeout=None)
    assert response.request.extensions["timeout"]["read"] is None


def test_extensions_and_traces_of_the_caller_are_kept(
    server: FaultServer, client: PipelineClient
) -> None:
    seen: List[str] = []
    response = client.get(
        server.url("/"),
        extensions={"trace": lambda name, info: seen.append(name), "mine": 1},
    )
    assert response.request.extensions["mine"] == 1
    assert "http11.send_request_headers.started" in seen
    assert response.extensions["http_version"] == b"HTTP/1.1"


class Vendor(PipelineClient):
    """A subclass with a constructor of its own, as SDKs have it."""

    def __init__(self, base: str) -> None:
        self.seen: List[str] = []
        super().__init__(base_url=base, max_retries=1, clock=VirtualClock())
        self.headers["X-Sdk"] = "1"

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        self.seen.append(request.method)
        return super().send(request, **kwargs)


def test_subclasses(server: FaultServer) -> None:
    with Vendor(server.origin) as client:
        assert client.get("/").json()["headers"]["x-sdk"] == "1"
        assert client.seen == ["GET"]
        server.route("/busy", reply(503))
        with pytest.raises(MaxRetriesExceeded):
            client.get("/busy")
    assert server.count("/busy") == 2


# -- errors


def test_raise_for_status_works_as_ever(server: FaultServer, client: PipelineClient) -> None:
    response = client.get(server.url("/missing"))
    with pytest.raises(httpx.HTTPStatusError):
        response.raise_for_status()
    assert response.elapsed.total_seconds() >= 0


def test_an_error_whose_causes_run_in_a_circle() -> None:
    origin = httpx.ConnectError("refused")
    origin.__cause__ = ValueError("caused by")
    origin.__cause__.__cause__ = origin

    def answer(request: httpx.Request) -> httpx.Response:
        raise origin

    with PipelineClient(transport=httpx.MockTransport(answer), max_retries=0) as client:
        with pytest.raises(httpx.ConnectError) as caught:
            client.get(URL)
        assert caught.value is origin


def failures() -> Iterator[Any]:
    with answering(*[503] * 4) as client:
        yield MaxRetriesExceeded, httpx.HTTPStatusError, client
    with answering(401, raise_for_status=True) as client:
        yield HTTPError, httpx.HTTPStatusError, client
    with answering(rate_limit_requests=1) as client:
        client.get(URL)
        yield RateLimitExceeded, httpx.TransportError, client
    with answering(500, max_retries=0, circuit_breaker_failure_threshold=1) as client:
        client.get(URL)
        yield CircuitBreakerOpen, httpx.ConnectError, client


def test_errors_are_those_of_httpx_and_can_be_pickled() -> None:
    for ours, theirs, client in failures():
        with pytest.raises(theirs) as caught:
            client.get(URL)
        error: Any = caught.value
        assert isinstance(error, ours)
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), str(error))
        if error.attempts:
            assert (copy.request.method, copy.request.url) == ("GET", URL)


def test_a_port_that_there_cannot_be_is_a_failure_to_connect(client: PipelineClient) -> None:
    with httpx.Client() as theirs, pytest.raises(httpx.ConnectError):
        theirs.get("http://127.0.0.1:123456/")
    with pytest.raises(httpx.ConnectError, match="Invalid port: 123456") as caught:
        client.get("http://127.0.0.1:123456/")
    assert isinstance(caught.value, httpx.InvalidURL)
    assert caught.value.request.url.port == 123456
    assert pickle.loads(pickle.dumps(caught.value)).request.method == "GET"
    # Nothing was sent, so nobody is to blame for it.
    assert client.get_stats()["scopes"] == {}


def test_a_url_in_the_place_of_the_method_is_redacted_in_events() -> None:
    with answering() as client:
        seen: List[Any] = []
        client.add_listener(seen.append)
        client.request("https://user:s3cret@api.test/?token=s3cret", URL)
    attempts = [one for one in seen if isinstance(one, (AttemptStarted, AttemptFinished))]
    assert len(attempts) == 2
    for event in seen:
        assert event.method == "HTTPS://[REDACTED]@API.TEST/?TOKEN=[REDACTED]"


# -- doubles


@pytest.mark.parametrize(
    "double",
    [httpx.Response(200, json={}), mock.MagicMock(), mock.MagicMock(spec=httpx.Response)],
    ids=["response", "mock", "mock of the class"],
)
@pytest.mark.parametrize("raising", [False, True])
def test_what_a_patched_send_returns_comes_back(double: Any, raising: bool) -> None:
    client = PipelineClient(raise_for_status=raising)
    with client, mock.patch("httpx.Client.send", return_value=double) as send:
        assert client.get(URL) is double
        assert client.send(httpx.Request("GET", URL)) is double
    assert [str(call.args[0].url) for call in send.call_args_list] == [URL] * 2


def test_a_function_in_the_place_of_send_gets_the_client() -> None:
    seen = []

    def send(self: Any, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        seen.append((self, str(request.url)))
        return httpx.Response(200, request=request)

    with mock.patch("httpx.Client.send", send), PipelineClient() as client:
        assert client.get(URL).status_code == 200
    assert seen == [(client, URL)]


def test_an_error_status_without_a_request_is_raised_all_the_same() -> None:
    client = PipelineClient(raise_for_status=True)
    patched = mock.patch("httpx.Client.send", return_value=httpx.Response(404))
    with client, patched, pytest.raises(HTTPError) as caught:
        client.get(URL)
    error: Any = caught.value
    assert (error.status_code, str(error.request.url)) == (404, URL)


@pytest.mark.parametrize("raising", [False, True])
def test_a_mock_of_the_class_of_responses_is_judged_by_its_status(raising: bool) -> None:
    double = mock.MagicMock(spec=httpx.Response, status_code=401, headers={}, content=b"")
    client = PipelineClient(raise_for_status=raising)
    client.send = mock.MagicMock(return_value=double)  # type: ignore[method-assign]  # as users do
    assert client.get(URL) is double
    with mock.patch("httpx.Client.send", return_value=double), PipelineClient(
        raise_for_status=raising
    ) as other:
        if not raising:
            assert other.get(URL) is double
            return
        with pytest.raises(HTTPError, match=r"GET https://api\.test/users: status 401"):
            other.get(URL)


def test_a_patched_transport_sees_each_attempt() -> None:
    answers = [httpx.Response(503), httpx.ConnectError("down"), httpx.Response(200)]
    client = PipelineClient(clock=VirtualClock())
    with client, mock.patch("httpx.HTTPTransport.handle_request", side_effect=answers) as handle:
        assert statuses(client.get(URL)) == [503, None, 200]
    assert handle.call_count == 3


def test_a_response_is_equal_to_what_a_double_made() -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, extensions={}))
    with PipelineClient(transport=answer) as client:
        assert client.get(URL).extensions == {}


def test_respx_sees_each_attempt_once() -> None:
    respx = pytest.importorskip("respx")
    with respx.mock:
        route = respx.get(URL)
        route.side_effect = [
            httpx.Response(503),
            httpx.ConnectError("down"),
            httpx.Response(200, json={"id": 7}),
        ]
        with PipelineClient(clock=VirtualClock(), api_key="k") as client:
            response = client.get(URL, total_timeout=20)
        assert response.json() == {"id": 7}
        assert route.call_count == 3
        assert all(one.request.headers["X-API-Key"] == "k" for one in route.calls)
    assert statuses(response) == [503, None, 200]


def test_pytest_httpx_sees_each_attempt_once(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    httpx_mock.add_response(url=URL, status_code=503)
    httpx_mock.add_exception(httpx.ReadTimeout("slow"))
    httpx_mock.add_response(url=URL, json={"id": 7})
    with PipelineClient(clock=VirtualClock(), bearer_token="t") as client:
        response = client.get(URL)
    assert response.json() == {"id": 7}
    assert statuses(response) == [503, None, 200]
    seen = httpx_mock.get_requests()
    assert len(seen) == 3
    assert all(one.headers["Authorization"] == "Bearer t" for one in seen)


def test_pytest_httpx_with_a_batch_and_a_stream(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    for _ in range(5):
        httpx_mock.add_response(url=URL, content=b"x" * 100)
    with PipelineClient(clock=VirtualClock()) as client:
        results: Any = client.batch_request([("GET", URL, {})] * 4, max_workers=2)
        with client.stream("GET", URL, total_timeout=20) as response:
            body = b"".join(response.iter_bytes(10))
    assert [one.status_code for one in results] == [200] * 4
    assert len(body) == 100


def test_vcrpy_records_and_plays_back(server: FaultServer, tmp_path: Path) -> None:
    vcr = pytest.importorskip("vcr")
    cassette = str(tmp_path / "cassette.yaml")
    server.route("/flaky", reply(503), reply(200, json={"id": 7}))
    for mode in ("once", "none"):
        recorded = vcr.use_cassette(cassette, record_mode=mode)
        with PipelineClient(clock=VirtualClock()) as client, recorded as tape:
            response = client.get(server.url("/flaky"))
        assert response.json() == {"id": 7}
        assert statuses(response) == [503, 200]
        assert len(tape) == 2
    assert server.count("/flaky") == 2
