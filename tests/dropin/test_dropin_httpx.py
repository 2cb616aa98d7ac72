"""``AsyncConnectionManager`` wherever an ``httpx.AsyncClient`` is taken."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from typing import Any, AsyncIterator, Iterator, List

import anyio
import httpx
import pytest

from requests_connection_manager import (
    AsyncConnectionManager,
    MaxRetriesExceeded,
)
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

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", echo())
        yield running


@pytest.fixture
async def manager() -> AsyncIterator[AsyncConnectionManager]:
    async with AsyncConnectionManager(clock=VirtualClock()) as running:
        yield running


def test_it_takes_every_argument_that_httpx_takes() -> None:
    theirs = set(inspect.signature(httpx.AsyncClient.__init__).parameters)
    ours = set(inspect.signature(AsyncConnectionManager.__init__).parameters)
    assert theirs - ours == set()


def test_it_is_the_httpx_that_was_looked_at() -> None:
    # The hop goes around a private method of httpx; another version has to be read first.
    assert httpx.__version__ == "0.28.1"
    assert inspect.iscoroutinefunction(httpx.AsyncClient._send_single_request)


async def test_it_is_a_client(manager: AsyncConnectionManager) -> None:
    async with httpx.AsyncClient() as client:
        assert isinstance(manager, httpx.AsyncClient)
        for name in dir(client):
            if not name.startswith("_"):
                assert hasattr(manager, name), name
        assert manager.headers == client.headers
        assert manager.follow_redirects is False


async def test_cookies_are_kept_and_sent(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    server.route("/set", reply(200, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    await manager.get(server.url("/set"))
    await manager.get(server.url("/"))
    assert sorted(server.requests[-1].headers["cookie"].split("; ")) == ["a=1", "b=2"]
    with pytest.warns(DeprecationWarning, match="cookies"):
        await manager.get(server.url("/"), cookies={"c": "3"})
    assert "c=3" in server.requests[-1].headers["cookie"]


async def test_a_stream_takes_cookies_without_a_warning(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with manager.stream("GET", server.url("/"), cookies={"c": "3"}) as response:
            await response.aread()
    assert server.requests[-1].headers["cookie"] == "c=3"


async def test_redirects_are_followed_when_asked_for(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    server.route("/a", redirect("/"))
    response = await manager.get(server.url("/a"))
    assert response.is_redirect
    response = await manager.get(server.url("/a"), follow_redirects=True)
    assert [one.status_code for one in response.history] == [302]
    manager.follow_redirects = True
    assert (await manager.get(server.url("/a"))).url == server.url("/")


async def test_a_body_can_be_streamed(server: FaultServer, manager: AsyncConnectionManager) -> None:
    server.route("/stream", slow_body([b"one\n", b"two\n"], 0))
    async with manager.stream("GET", server.url("/stream")) as response:
        assert [line async for line in response.aiter_lines()] == ["one", "two"]
    async with manager.stream("GET", server.url("/stream")) as response:
        assert b"".join([part async for part in response.aiter_bytes(3)]) == b"one\ntwo\n"
        assert response.is_stream_consumed
    request = manager.build_request("GET", server.url("/stream"))
    response = await manager.send(request, stream=True)
    assert not response.is_closed
    assert await response.aread() == b"one\ntwo\n"


async def test_a_stream_is_closed_when_its_block_raises(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    server.route("/stream", slow_body([b"one\n", b"two\n"], 0))
    with pytest.raises(ZeroDivisionError):
        async with manager.stream("GET", server.url("/stream")) as response:
            raise ZeroDivisionError
    assert response.is_closed


async def test_requests_are_built_and_sent(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    request = manager.build_request("POST", server.url("/"), params={"q": "1"}, json={"a": 1})
    answer = (await manager.send(request)).json()
    assert (answer["query"], answer["body"]) == ("q=1", '{"a":1}')
    foreign = httpx.Request("GET", server.url("/"), headers={"X-Own": "1"})
    for _ in range(2):
        assert (await manager.send(foreign)).json()["headers"]["x-own"] == "1"


async def test_bodies_of_every_kind(server: FaultServer, manager: AsyncConnectionManager) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    bodies: Any = [
        ({"content": b"raw"}, "raw"),
        ({"content": parts()}, "ab"),
        ({"data": {"a": "1"}}, "a=1"),
        ({"json": [1]}, "[1]"),
    ]
    for kwargs, wanted in bodies:
        assert (await manager.post(server.url("/"), **kwargs)).json()["body"] == wanted
    answer = (await manager.post(server.url("/"), files={"f": b"inside"})).json()
    assert "inside" in answer["body"]


# -- constructor arguments of httpx


async def test_base_url_params_headers_and_auth(server: FaultServer) -> None:
    async with AsyncConnectionManager(
        base_url=server.origin + "/v1",
        params={"p": "1"},
        headers={"X-Mine": "1"},
        auth=("u", "p"),
        cookies={"c": "1"},
    ) as manager:
        server.route("/v1/users", echo())
        answer = (await manager.get("/users", params={"q": "2"})).json()
    assert answer["query"] == "p=1&q=2"
    assert answer["headers"]["x-mine"] == "1"
    assert answer["headers"]["authorization"] == "Basic dTpw"
    assert answer["headers"]["cookie"] == "c=1"


async def test_properties_set_later(server: FaultServer, manager: AsyncConnectionManager) -> None:
    manager.base_url = httpx.URL(server.origin)
    manager.headers = httpx.Headers({"X-Later": "1"})
    manager.params = httpx.QueryParams({"p": "1"})
    manager.auth = ("u", "p")
    manager.timeout = httpx.Timeout(7.0)
    manager.cookies = httpx.Cookies({"c": "1"})
    answer = (await manager.get("/")).json()
    assert answer["query"] == "p=1"
    assert answer["headers"]["x-later"] == "1"
    assert answer["headers"]["cookie"] == "c=1"
    assert answer["headers"]["authorization"] == "Basic dTpw"
    assert (await manager.get("/")).request.extensions["timeout"]["read"] == 7.0


async def test_event_hooks_of_httpx_run(server: FaultServer) -> None:
    seen: List[str] = []

    async def before(request: httpx.Request) -> None:
        seen.append(request.method)
        request.headers["X-Hooked"] = "yes"

    async def after(response: httpx.Response) -> None:
        seen.append(str(response.status_code))

    server.route("/flaky", reply(503), reply(200))
    async with AsyncConnectionManager(
        event_hooks={"request": [before], "response": [after]}, clock=VirtualClock()
    ) as manager:
        await manager.get(server.url("/flaky"))
        manager.event_hooks = {"request": [], "response": []}
        await manager.get(server.url("/"))
    # Once for each hop, not for each attempt.
    assert seen == ["GET", "200"]
    assert all(one.headers["x-hooked"] == "yes" for one in server.requests[:2])


class Counting(httpx.AsyncBaseTransport):
    """A transport that answers by itself."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: List[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return httpx.Response(self.statuses.pop(0) if self.statuses else 200)


async def test_a_transport_of_ones_own_gets_each_attempt() -> None:
    transport = Counting(503, 200)
    async with AsyncConnectionManager(transport=transport, clock=VirtualClock()) as manager:
        response = await manager.get("https://api.test/")
        assert manager._transport is transport
    assert response.status_code == 200
    assert len(transport.seen) == 2


async def test_a_mock_transport_works() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"url": str(request.url)})

    async with AsyncConnectionManager(transport=httpx.MockTransport(handler)) as manager:
        assert (await manager.get("https://api.test/x")).json() == {"url": "https://api.test/x"}


async def test_an_asgi_app_works() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from the app"})

    transport = httpx.ASGITransport(app=app)
    async with AsyncConnectionManager(transport=transport, base_url="http://app") as manager:
        assert (await manager.get("/")).text == "from the app"


async def test_mounts_go_before_the_transport(server: FaultServer) -> None:
    mounted = Counting(503)
    async with AsyncConnectionManager(
        mounts={"https://mounted.test": mounted, "http://": None}, clock=VirtualClock()
    ) as manager:
        assert (await manager.get("https://mounted.test/")).status_code == 200
        assert (await manager.get(server.url("/"))).status_code == 200
    assert len(mounted.seen) == 2


async def test_http2_is_handed_to_httpx() -> None:
    async with AsyncConnectionManager(http2=True) as manager:
        pool: Any = manager._transport
        assert pool._pool._http2 is True
    async with AsyncConnectionManager() as manager:
        pool = manager._transport
        assert pool._pool._http2 is False


async def test_limits_follow_the_pool_sizes_unless_given() -> None:
    async with AsyncConnectionManager(pool_connections=2, pool_maxsize=7) as manager:
        pool: Any = manager._transport
        assert pool._pool._max_keepalive_connections == 14
    limits = httpx.Limits(max_connections=3, max_keepalive_connections=2)
    async with AsyncConnectionManager(limits=limits) as manager:
        pool = manager._transport
        assert (pool._pool._max_connections, pool._pool._max_keepalive_connections) == (3, 2)


async def test_default_encoding_and_max_redirects(server: FaultServer) -> None:
    server.route("/latin", reply(200, body="é".encode("latin-1")))
    server.route("/loop", redirect("/loop"))
    async with AsyncConnectionManager(
        default_encoding="latin-1", max_redirects=2, follow_redirects=True
    ) as manager:
        assert (await manager.get(server.url("/latin"))).text == "é"
        with pytest.raises(httpx.TooManyRedirects):
            await manager.get(server.url("/loop"))


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
async def test_digest_auth(
    server: FaultServer, manager: AsyncConnectionManager, method: str
) -> None:
    server.route("/digest", digest)
    content = b"payload" if method == "POST" else None
    response: Any = await manager.request(
        method, server.url("/digest"), content=content, auth=httpx.DigestAuth("user", "pw")
    )
    assert response.status_code == 200
    assert response.content == (content or b"")
    assert [one.status for one in response.attempts] == [401, 200]


async def test_digest_auth_of_the_client_and_of_an_endpoint(server: FaultServer) -> None:
    server.route("/digest", digest)
    async with AsyncConnectionManager(auth=httpx.DigestAuth("user", "pw")) as manager:
        assert (await manager.get(server.url("/digest"))).status_code == 200
        assert (await manager.get(server.url("/digest"))).status_code == 200
    async with AsyncConnectionManager() as manager:
        manager.add_endpoint_config(server.origin, {"auth": httpx.DigestAuth("user", "pw")})
        assert (await manager.get(server.url("/digest"))).status_code == 200


async def test_auth_of_every_form(server: FaultServer, manager: AsyncConnectionManager) -> None:
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["X-Signed"] = "yes"
        return request

    url = server.url("/")
    headers = (await manager.get(url, auth=("u", "p"))).json()["headers"]
    assert headers["authorization"] == "Basic dTpw"
    assert (await manager.get(url, auth=sign)).json()["headers"]["x-signed"] == "yes"
    headers = (await manager.get(url.replace("://", "://u:p@"))).json()["headers"]
    assert headers["authorization"] == "Basic dTpw"
    manager.auth = ("u", "p")
    assert "authorization" not in (await manager.get(url, auth=None)).json()["headers"]


async def test_netrc_auth(
    server: FaultServer, manager: AsyncConnectionManager, tmp_path: Any
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login u password p\n")
    path.chmod(0o600)
    headers = (await manager.get(server.url("/"), auth=httpx.NetRCAuth(str(path)))).json()
    assert headers["headers"]["authorization"] == "Basic dTpw"


# -- timeouts, extensions, subclasses


async def test_timeouts_of_every_form(server: FaultServer, manager: AsyncConnectionManager) -> None:
    forms: Any = (5, 5.5, (3, 4, 5, 6), (3, 4), httpx.Timeout(3), None)
    for timeout in forms:
        assert (await manager.get(server.url("/"), timeout=timeout)).status_code == 200
    response = await manager.get(server.url("/"), timeout=None)
    assert response.request.extensions["timeout"]["read"] is None


async def test_extensions_and_traces_of_the_caller_are_kept(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    seen: List[str] = []

    async def trace(name: str, info: Any) -> None:
        seen.append(name)

    response = await manager.get(server.url("/"), extensions={"trace": trace, "mine": 1})
    assert response.request.extensions["mine"] == 1
    assert "http11.send_request_headers.started" in seen
    assert response.extensions["http_version"] == b"HTTP/1.1"


class Vendor(AsyncConnectionManager):
    """A subclass with a constructor of its own, as SDKs have it."""

    def __init__(self, base: str) -> None:
        self.seen: List[str] = []
        super().__init__(base_url=base, max_retries=1, clock=VirtualClock())
        self.headers["X-Sdk"] = "1"

    async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        self.seen.append(request.method)
        return await super().send(request, **kwargs)


async def test_subclasses(server: FaultServer) -> None:
    async with Vendor(server.origin) as manager:
        assert (await manager.get("/")).json()["headers"]["x-sdk"] == "1"
        assert manager.seen == ["GET"]
        server.route("/busy", reply(503))
        with pytest.raises(MaxRetriesExceeded):
            await manager.get("/busy")
    assert server.count("/busy") == 2


async def test_raise_for_status_works_as_ever(
    server: FaultServer, manager: AsyncConnectionManager
) -> None:
    response = await manager.get(server.url("/missing"))
    with pytest.raises(httpx.HTTPStatusError):
        response.raise_for_status()
    assert response.elapsed.total_seconds() >= 0


async def test_a_port_that_there_cannot_be_is_a_failure_to_connect(
    manager: AsyncConnectionManager,
) -> None:
    with pytest.raises(httpx.ConnectError, match="Invalid port: 123456") as caught:
        await manager.get("http://127.0.0.1:123456/")
    assert isinstance(caught.value, httpx.InvalidURL)
    assert caught.value.request.url.port == 123456


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_error_whose_causes_run_in_a_circle(backend: str) -> None:
    origin = httpx.ConnectError("refused")
    origin.__cause__ = ValueError("caused by")
    origin.__cause__.__cause__ = origin

    def answer(request: httpx.Request) -> httpx.Response:
        raise origin

    async def main() -> None:
        transport = httpx.MockTransport(answer)
        async with AsyncConnectionManager(transport=transport, max_retries=0) as manager:
            with pytest.raises(httpx.ConnectError) as caught:
                await manager.get("http://api.test/")
            assert caught.value is origin

    anyio.run(main, backend=backend)


def test_a_response_is_equal_to_what_a_double_made() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, extensions={})

    async def main() -> httpx.Response:
        async with AsyncConnectionManager(transport=httpx.MockTransport(answer)) as manager:
            return await manager.get("http://api.test/")

    assert anyio.run(main).extensions == {}
