"""The tests of ``examples/api_client.py``: with mocks as people write them, and with a server."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterator
from unittest.mock import MagicMock, patch

import anyio
import pytest
import requests

from requests_connection_manager import (
    AuthenticationError,
    ConnectionManager,
    HTTPError,
    MaxRetriesExceeded,
)
from requests_connection_manager.client_patterns import (
    ServiceError,
    ServiceTimeoutError,
    extract_error_detail,
)
from requests_connection_manager.testing import (
    FaultServer,
    VirtualClock,
    dead_origin,
    echo,
    reply,
    reset,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from api_client import APIClient, AsyncAPIClient  # found through the path above

httpx = pytest.importorskip("httpx")


class TestAPIClient(unittest.TestCase):
    """With mocks: the one place to patch is ``requests.Session.request``."""

    def setUp(self) -> None:
        self.client = APIClient(base_url="https://api.example.com", api_token="test")

    def tearDown(self) -> None:
        self.client.close()

    @patch("api_client.requests.Session.request")
    def test_get_returns_json(self, mock_request: MagicMock) -> None:
        mock_response = MagicMock()
        mock_response.json.return_value = {"id": "123"}
        mock_response.raise_for_status = MagicMock()
        mock_request.return_value = mock_response

        result = self.client.get("/items/123")

        self.assertEqual(result, {"id": "123"})  # noqa: PT009  # unittest's own style
        mock_request.assert_called_once()

    @patch("api_client.requests.Session.request")
    def test_timeout_raises_service_error(self, mock_request: MagicMock) -> None:
        mock_request.side_effect = requests.exceptions.Timeout()

        with self.assertRaises(ServiceTimeoutError):  # noqa: PT027  # unittest's own style
            self.client.get("/items/123")

    @patch("requests.Session.request")
    def test_other_trouble_raises_service_error(self, mock_request: MagicMock) -> None:
        mock_request.side_effect = requests.exceptions.TooManyRedirects()

        with pytest.raises(ServiceError) as caught:
            self.client.get("/items/123")
        assert not isinstance(caught.value, ServiceTimeoutError)
        assert caught.value.__cause__ is mock_request.side_effect


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


# -- the synchronous client against a server


@pytest.fixture
def client(server: FaultServer, clock: VirtualClock) -> Iterator[APIClient]:
    with APIClient(server.origin, "s3cret", clock=clock, backoff_jitter=0) as client:
        yield client


def test_it_gets_and_posts(client: APIClient, server: FaultServer) -> None:
    server.route("/items", echo())
    assert client.get("/items", params={"page": 2})["query"] == "page=2"
    client.post("/items", json={"name": "x"})
    assert server.requests[1].json() == {"name": "x"}
    assert {one.headers["authorization"] for one in server.requests} == {"Bearer s3cret"}


def test_it_retries(client: APIClient, server: FaultServer, clock: VirtualClock) -> None:
    server.route("/items/1", reset(), reply(503), reply(200, json={"id": 1}))
    assert client.get("/items/1") == {"id": 1}
    assert clock.sleeps == (0.3, 0.6)


def test_a_status_is_a_service_error(client: APIClient, server: FaultServer) -> None:
    server.route("/items/9", reply(404, json={"error": {"message": "no such item"}}))
    with pytest.raises(ServiceError) as caught:
        client.get("/items/9")
    assert isinstance(caught.value, HTTPError)
    assert caught.value.status_code == 404
    assert extract_error_detail(caught.value.response) == "no such item"


def test_refused_credentials_have_their_own_error(client: APIClient, server: FaultServer) -> None:
    server.route("/items", reply(401))
    with pytest.raises(AuthenticationError) as caught:
        client.get("/items")
    assert "s3cret" not in str(caught.value)


def test_failing_for_good_is_a_service_error(client: APIClient, server: FaultServer) -> None:
    server.route("/items", reply(503))
    with pytest.raises(MaxRetriesExceeded) as caught:
        client.get("/items")
    assert isinstance(caught.value, ServiceError)


def test_a_post_that_breaks_is_a_service_error(client: APIClient, server: FaultServer) -> None:
    server.route("/items", reset())
    with pytest.raises(ServiceError, match="Request failed: POST /items"):
        client.post("/items", json={})
    assert server.count() == 1


def test_what_is_no_json_is_a_service_error(client: APIClient, server: FaultServer) -> None:
    server.route("/items", reply(200, body="<html>"))
    with pytest.raises(ServiceError, match="JSONDecodeError"):
        client.get("/items")


def test_no_connection_is_a_service_error(clock: VirtualClock) -> None:
    with dead_origin() as origin, pytest.raises(ServiceError):
        APIClient(origin, "s3cret", clock=clock).get("/items")
    assert len(clock.sleeps) == 3


def test_it_takes_the_settings_of_a_manager(server: FaultServer, clock: VirtualClock) -> None:
    server.route("/", reply(503))
    with APIClient(server.origin, "s3cret", clock=clock, max_retries=0) as client:
        assert isinstance(client._session, ConnectionManager)
        with pytest.raises(HTTPError):
            client.get("/")
    assert server.count() == 1


# -- the asynchronous client


@pytest.fixture(params=["asyncio", "trio"])
def run(request: Any) -> Callable[..., Any]:
    if request.param == "trio":
        pytest.importorskip("trio")

    def run(function: Callable[[], Awaitable[Any]]) -> Any:
        return anyio.run(function, backend=request.param)

    return run


def test_it_gets_and_posts_asynchronously(run: Any, server: FaultServer) -> None:
    server.route("/items", echo())

    async def main() -> None:
        async with AsyncAPIClient(server.origin, "s3cret") as client:
            assert (await client.get("/items"))["method"] == "GET"
            await client.post("/items", json={"name": "x"})

    run(main)
    assert server.requests[1].json() == {"name": "x"}
    assert {one.headers["authorization"] for one in server.requests} == {"Bearer s3cret"}


def test_it_retries_asynchronously(run: Any, server: FaultServer, clock: VirtualClock) -> None:
    server.route("/items/1", reset(), reply(503), reply(200, json={"id": 1}))

    async def main() -> Any:
        async with AsyncAPIClient(server.origin, "s3cret", clock=clock, backoff_jitter=0) as client:
            return await client.get("/items/1")

    assert run(main) == {"id": 1}
    assert clock.sleeps == (0.3, 0.6)


def test_an_asynchronous_status_is_both_errors(run: Any, server: FaultServer) -> None:
    server.route("/items/9", reply(404, json={"detail": "no such item"}))

    async def main() -> None:
        async with AsyncAPIClient(server.origin, "s3cret") as client:
            await client.get("/items/9")

    with pytest.raises(ServiceError) as caught:
        run(main)
    assert isinstance(caught.value, httpx.HTTPStatusError)
    assert extract_error_detail(caught.value.response) == "no such item"


def test_a_closed_client_opens_again(run: Any, server: FaultServer) -> None:
    server.route("/", reply(200, json=[]))

    async def main() -> None:
        client = AsyncAPIClient(server.origin, "s3cret")
        await client.close()
        assert await client.get("/") == []
        await client.close()
        assert await client.get("/") == []
        await client.close()

    run(main)
    assert server.count() == 2
