"""The document "Python REST client", its names and its examples as they are printed.

An example is text here; only the import path is ours, and the server is one that answers. What the
client does beyond the document is in ``tests/parity/test_parity_rest_*.py``.
"""

from __future__ import annotations

import inspect
import json
import ssl
from typing import Any, Dict, Iterator, List, Set

import anyio
import httpx
import pytest
from printed import run_printed

import requests_connection_manager
from requests_connection_manager import exceptions, rest
from requests_connection_manager.rest import AsyncClient, Client
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    echo,
    reply,
    sized,
)

# -- 17.1, 17.2, 17.3 and 3.3, as they are printed

SYNCHRONOUS = """
from mypackage import Client

client = Client(
    base_url="https://api.example.com",
    api_key="your-api-key"
)

# GET request
response = client.get("/users/123")
user = response.json()

# POST request
new_user = client.post("/users", json={"name": "John Doe"})
"""

ASYNCHRONOUS = """
from mypackage import AsyncClient

async with AsyncClient(base_url="https://api.example.com") as client:
    response = await client.get("/users/123")
    user = response.json()
"""

STREAMING = """
with client.stream("GET", "/large-file") as response:
    for chunk in response.iter_bytes(chunk_size=8192):
        process_chunk(chunk)
"""

CONTEXT_MANAGERS = """
# Synchronous
with Client(base_url="...") as client:
    response = client.get("/endpoint")
"""

ASYNC_CONTEXT_MANAGERS = """
# Asynchronous
async with AsyncClient(base_url="...") as client:
    response = await client.get("/endpoint")
"""


def created(received: Received) -> Reply:
    return reply(201, json={"id": 124, **json.loads(received.body)})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/users/123", reply(200, json={"id": 123, "name": "Jane Doe"}))
        running.route("/users", created)
        running.route("/large-file", sized(100_000))
        running.route("/endpoint", echo())
        yield running


def ours(code: str, server: FaultServer) -> str:
    code = code.replace("from mypackage import", "from requests_connection_manager.rest import")
    return code.replace("https://api.example.com", server.origin).replace(
        '"..."', f'"{server.origin}"'
    )


def run_asynchronously(code: str, backend: str, **given: Any) -> Dict[str, Any]:
    """Run code that awaits at its top level, as a notebook would."""
    imports = "".join(line for line in code.splitlines(True) if line.startswith("from "))
    lines = [line for line in code.splitlines(True) if not line.startswith("from ")]
    body = "".join(f"    {line}" for line in lines)
    printed = run_printed(f"{imports}\nasync def main():\n{body}\n    return locals()\n", **given)
    found: Dict[str, Any] = anyio.run(printed["main"], backend=backend)
    return found


def test_simple_synchronous_usage(server: FaultServer) -> None:
    found = run_printed(ours(SYNCHRONOUS, server))
    assert found["user"] == {"id": 123, "name": "Jane Doe"}
    assert found["new_user"].json() == {"id": 124, "name": "John Doe"}
    keys: List[Any] = [one.headers["X-API-Key"] for one in server.requests]
    assert keys == ["your-api-key"] * 2
    assert server.connections == 1
    found["client"].close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_usage(server: FaultServer, backend: str) -> None:
    found = run_asynchronously(ours(ASYNCHRONOUS, server), backend)
    assert found["user"] == {"id": 123, "name": "Jane Doe"}


def test_streaming_usage(server: FaultServer) -> None:
    chunks: List[bytes] = []
    with Client(base_url=server.origin) as client:
        run_printed(STREAMING, client=client, process_chunk=chunks.append)
    assert b"".join(chunks) == b"x" * 100_000
    assert {len(chunk) for chunk in chunks[:-1]} == {8192}


def test_context_managers(server: FaultServer) -> None:
    found = run_printed(ours(CONTEXT_MANAGERS, server), Client=Client)
    assert found["response"].json()["path"] == "/endpoint"
    assert found["client"].is_closed


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_context_managers(server: FaultServer, backend: str) -> None:
    code = ours(ASYNC_CONTEXT_MANAGERS, server)
    found = run_asynchronously(code, backend, AsyncClient=AsyncClient)
    assert found["response"].json()["path"] == "/endpoint"
    assert found["client"].is_closed


# -- 2.1: the methods, 3.1: both interfaces have all of them


@pytest.mark.parametrize("name", ["get", "post", "put", "patch", "delete", "head", "options"])
def test_a_method_is_there_twice_and_documented(name: str) -> None:
    for kind in (Client, AsyncClient):
        method = getattr(kind, name)
        assert inspect.getdoc(method)
        assert inspect.iscoroutinefunction(method) == (kind is AsyncClient)


def test_the_two_interfaces_are_the_same() -> None:
    def public(kind: type) -> Set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    only = {Client: {"iter_batch"}, AsyncClient: {"aiter_batch", "aclose"}}
    assert public(Client) - public(AsyncClient) == only[Client]
    assert public(AsyncClient) - public(Client) == only[AsyncClient]
    names = {name: name for name in public(Client) & public(AsyncClient)}
    for name, its_twin in {**names, "iter_batch": "aiter_batch"}.items():
        # Blocking hooks have no meaning where all of them block.
        if name.startswith("register_"):
            continue
        one, other = getattr(Client, name), getattr(AsyncClient, its_twin)
        if inspect.isfunction(one) and inspect.isfunction(other):
            assert list(inspect.signature(one).parameters) == list(
                inspect.signature(other).parameters
            ), name


# -- 6.1: the exceptions

TREE = {
    "ClientError": None,
    "HTTPError": "ClientError",
    "ConnectionError": "ClientError",
    "TimeoutError": "ClientError",
    "AuthenticationError": "HTTPError",
    "RateLimitError": "ClientError",
    "ValidationError": "ClientError",
}


@pytest.mark.parametrize("name", TREE)
def test_an_exception_has_its_name_and_place(name: str) -> None:
    kind = getattr(rest, name)
    assert inspect.getdoc(kind)
    above = TREE[name]
    assert issubclass(kind, Exception if above is None else getattr(rest, above))
    assert kind is getattr(exceptions, "ConnectionManagerError" if above is None else name)


# -- 6.3, 6.4, 5.3, 8.1: the defaults


def test_the_default_retry_statuses() -> None:
    clock = VirtualClock()
    seen = []
    for status in range(400, 600):
        answers: List[int] = []

        def answer(request: httpx.Request, status: int = status) -> httpx.Response:
            answers.append(status)  # noqa: B023  # used within the turn
            return httpx.Response(status)

        transport = httpx.MockTransport(answer)
        with Client("https://api.test", transport=transport, clock=clock, max_retries=1) as client:
            client.get("/", raise_for_status=False)
        if len(answers) > 1:
            seen.append(status)
    assert seen == [408, 429, 500, 502, 503, 504]


def test_certificates_are_verified_by_default() -> None:
    with Client("https://api.test") as client:
        context = client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_pool_limits() -> None:
    with Client("https://api.test", pool_connections=2, pool_maxsize=3) as client:
        pool = client._transport._pool  # type: ignore[attr-defined]
    assert pool._max_keepalive_connections == 6


def test_nothing_is_kept_outside_of_clients(server: FaultServer) -> None:
    with Client(server.origin, bearer_token="a", cookies={"id": "7"}) as first:
        first.get("/endpoint")
        with Client(server.origin) as second:
            headers = second.get("/endpoint").json()["headers"]
    assert not {"authorization", "cookie"} & set(headers)
    assert second.get_stats()["scopes"][server.origin]["attempts"] == 1


def test_logs_of_the_documented_levels(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.route("/flaky", reply(503), reply(200))
    caplog.set_level("DEBUG", "requests_connection_manager")
    with Client(server.origin, clock=VirtualClock()) as client:
        client.get("/flaky")
        with pytest.raises(requests_connection_manager.HTTPError):
            client.get("/missing")
    levels: Dict[str, List[str]] = {}
    for one in caplog.records:
        if one.name == "requests_connection_manager":
            levels.setdefault(one.levelname, []).append(one.getMessage())
    assert any("/flaky" in text and "200" in text for text in levels["INFO"])
    assert any("503" in text for text in levels["WARNING"])
    assert any("404" in text for text in levels["ERROR"])
