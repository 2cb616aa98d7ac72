"""Tests of others that put a double in the place of a method of httpx's clients."""

from __future__ import annotations

from unittest import mock

import anyio
import httpcore
import httpx
import pytest
from proxies import Proxy

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.httpx_client import PipelineClient
from requests_connection_manager.rest import AsyncClient, Client
from requests_connection_manager.testing import FaultServer, reply

VERBS = ("get", "options", "head", "post", "put", "patch", "delete")


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("autospec", [True, None])
def test_a_method_of_the_sync_client(name, autospec):
    answer = httpx.Response(201)
    with mock.patch(f"httpx.Client.{name}", autospec=autospec, return_value=answer) as double:
        assert getattr(Client("http://api.test"), name)("/users", headers={"X-A": "1"}) is answer
    assert double.call_args[-1] == {"headers": {"X-A": "1"}}
    assert double.call_args[0][-1] == "/users"


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize(
    "make",
    [AsyncConnectionManager, lambda: AsyncClient("http://api.test")],
    ids=["manager", "rest"],
)
def test_a_method_of_the_async_client(name, make):
    answer = httpx.Response(201)

    async def main():
        with mock.patch(f"httpx.AsyncClient.{name}", return_value=answer) as double:
            assert await getattr(make(), name)("http://a.test/") is answer
        double.assert_awaited_once_with("http://a.test/")

    anyio.run(main)


def test_request_itself():
    answer = httpx.Response(201)
    with mock.patch("httpx.Client.request", return_value=answer) as double:
        assert Client("http://api.test").post("/users", json={"a": 1}) is answer
    double.assert_called_once_with("POST", "/users", json={"a": 1})

    async def main():
        with mock.patch("httpx.AsyncClient.request", return_value=answer) as double:
            assert await AsyncConnectionManager().get("http://a.test/") is answer
        double.assert_awaited_once_with("GET", "http://a.test/")

    anyio.run(main)


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_a_class_of_ours_in_the_place_of_httpx_own(name, monkeypatch):
    """As programs do that make all of their code use it."""

    class Ours({"Client": PipelineClient, "AsyncClient": AsyncConnectionManager}[name]):
        pass

    monkeypatch.setattr(httpx, name, Ours)
    transport = httpx.MockTransport(lambda request: httpx.Response(201))

    async def main():
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get("http://a.test/")

    if name == "Client":
        with httpx.Client(transport=transport) as client:
            response = client.get("http://a.test/")
    else:
        response = anyio.run(main)
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (httpcore.AsyncConnectionPool, "handle_async_request"),
        (httpcore.AsyncHTTPConnection, "handle_async_request"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
        (httpx.Response, "aiter_raw"),
        (httpx.AsyncClient, "_send_single_request"),
    ],
    ids=["pool", "connection", "transport", "reading", "hop"],
)
def test_a_proxy_as_monitors_put_it_in_place(owner, name, monkeypatch):
    original, seen = getattr(owner, name), []

    def double(*args, **kwargs):
        seen.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, Proxy(original, double))

    async def main():
        async with AsyncConnectionManager() as manager:
            assert (await manager.get(server.url("/"))).status_code == 200

    with FaultServer() as server:
        server.route("/", reply(200))
        anyio.run(main)
    assert seen
