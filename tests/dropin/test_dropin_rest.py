"""The REST clients under test doubles, and where a client of httpx's is taken."""

from __future__ import annotations

import inspect
from typing import Any, List
from unittest import mock

import anyio
import httpx
import pytest

from requests_connection_manager import MaxRetriesExceeded
from requests_connection_manager.rest import AsyncClient, Client
from requests_connection_manager.testing import FaultServer, VirtualClock, reply

BASE = "https://api.test/v1"
URL = BASE + "/users"


def call_async(backend: str, **options: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        async with AsyncClient(BASE, clock=VirtualClock(), **options) as client:
            response: httpx.Response = await client.get("/users")
            return response

    return anyio.run(main, backend=backend)


def call(world: str, **options: Any) -> httpx.Response:
    if world != "sync":
        return call_async(world, **options)
    with Client(BASE, clock=VirtualClock(), **options) as client:
        response: httpx.Response = client.get("/users")
        return response


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest) -> Any:
    return request.param


def statuses(response: Any) -> List[Any]:
    return [one.status for one in response.attempts]


def test_they_are_httpx_clients_and_take_what_those_take() -> None:
    from requests_connection_manager.rest.options import CLIENT_OPTIONS

    for ours, theirs in ((Client, httpx.Client), (AsyncClient, httpx.AsyncClient)):
        assert issubclass(ours, theirs)
        wanted = set(inspect.signature(theirs.__init__).parameters) - {"self", "base_url"}
        assert wanted - CLIENT_OPTIONS == set()


def test_pytest_httpx_sees_each_attempt_once(world: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    httpx_mock: Any = request.getfixturevalue("httpx_mock")
    httpx_mock.add_response(url=URL, status_code=503)
    httpx_mock.add_exception(httpx.ReadTimeout("slow"))
    httpx_mock.add_response(url=URL, json={"id": 7})
    response = call(world, bearer_token="t")
    assert response.json() == {"id": 7}
    assert statuses(response) == [503, None, 200]
    seen = httpx_mock.get_requests()
    assert len(seen) == 3
    assert all(one.headers["Authorization"] == "Bearer t" for one in seen)


def test_respx_sees_each_attempt_once(world: str) -> None:
    respx = pytest.importorskip("respx")
    with respx.mock:
        route = respx.get(URL)
        route.side_effect = [
            httpx.Response(503),
            httpx.ConnectError,
            httpx.Response(200, json={"id": 7}),
        ]
        response = call(world)
    assert response.json() == {"id": 7}
    assert statuses(response) == [503, None, 200]
    assert route.call_count == 3


def test_respx_and_a_failure_for_good(world: str) -> None:
    respx = pytest.importorskip("respx")
    with respx.mock:
        route = respx.get(URL).mock(return_value=httpx.Response(503))
        with pytest.raises(MaxRetriesExceeded):
            call(world, max_retries=2)
    assert route.call_count == 3


def test_a_patched_send(world: str) -> None:
    owner = "httpx.Client.send" if world == "sync" else "httpx.AsyncClient.send"
    with mock.patch(owner) as send:
        send.return_value = httpx.Response(200, json={"id": 7})
        assert call(world).json() == {"id": 7}
    request = send.call_args[0][0]
    assert str(request.url) == URL


def test_a_patched_send_that_answers_an_error_is_raised(world: str) -> None:
    owner = "httpx.Client.send" if world == "sync" else "httpx.AsyncClient.send"
    answer = httpx.Response(404)
    with mock.patch(owner, return_value=answer), pytest.raises(httpx.HTTPStatusError):
        call(world)


def test_a_mock_in_place_of_a_response(world: str) -> None:
    owner = "httpx.Client.send" if world == "sync" else "httpx.AsyncClient.send"
    with mock.patch(owner) as send:
        send.return_value = mock.Mock(spec=httpx.Response, status_code=200)
        assert call(world).status_code == 200


def test_mounts_and_a_transport_of_the_users(world: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=request.url.host)

    transport = httpx.MockTransport(answer)
    assert call(world, transport=transport).text == "api.test"
    assert call(world, mounts={"https://api.test": transport}).text == "api.test"


def test_a_transport_is_entered_and_closed(world: str) -> None:
    happened = []

    class Transport(httpx.MockTransport):
        def close(self) -> None:
            happened.append("closed")

        async def aclose(self) -> None:
            happened.append("closed")

    assert call(world, transport=Transport(lambda one: httpx.Response(200))).status_code == 200
    assert happened == ["closed"]


def test_wsgi_and_asgi_applications(world: str) -> None:
    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    transport: Any = httpx.WSGITransport(wsgi) if world == "sync" else httpx.ASGITransport(asgi)
    assert call(world, transport=transport).text == "/v1/users"


def test_digest_auth() -> None:
    """Each leg of an auth flow is a hop: the second one has the answer to the challenge."""
    challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
    with FaultServer() as server:
        server.route("/x", reply(401, headers={"WWW-Authenticate": challenge}), reply(200))
        with Client(server.origin, auth=httpx.DigestAuth("user", "secret")) as client:
            response: Any = client.get("/x")
        assert [one.status for one in response.attempts] == [401, 200]
        assert server.requests[1].headers["authorization"].startswith("Digest username=")


def test_a_client_made_by_httpx_code_that_builds_and_sends(world: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))

    def sync(client: httpx.Client) -> str:
        request = client.build_request("GET", "/users", params={"page": 2})
        with client.stream("GET", "/users") as response:
            response.read()
        return client.send(request, stream=False).text

    async def main() -> str:
        async with AsyncClient(BASE, transport=transport) as client:
            request = client.build_request("GET", "/users", params={"page": 2})
            async with client.stream("GET", "/users") as response:
                await response.aread()
            text: str = (await client.send(request, stream=False)).text
            return text

    if world == "sync":
        with Client(BASE, transport=transport) as client:
            assert sync(client) == URL + "?page=2"
    else:
        assert anyio.run(main, backend=world) == URL + "?page=2"
