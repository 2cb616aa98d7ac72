"""What belongs to one call stays with it: credentials, deadline, settings, history."""

from __future__ import annotations

from typing import Any, Generator, List

import anyio
import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager, DeadlineExceeded
from requests_connection_manager.testing import FaultServer, VirtualClock, redirect, reply

BACKENDS = ["asyncio", "trio"]


class TokenAuth(httpx.Auth):
    """Asks another server for a token first."""

    requires_response_body = True

    def __init__(self, url: str) -> None:
        self.url = url

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = yield httpx.Request("POST", self.url)
        request.headers["X-Vendor-Ticket"] = token.text
        yield request


@pytest.fixture
def other() -> Any:
    with FaultServer() as server:
        yield server


@pytest.mark.parametrize("backend", BACKENDS)
def test_credentials_go_to_the_api_and_not_to_its_token_server(
    backend: str, server: FaultServer, other: FaultServer
) -> None:
    server.route("/", reply(200))
    other.route("/token", reply(200, body=b"ticket"))

    async def main() -> None:
        auth = TokenAuth(other.url("/token"))
        async with AsyncConnectionManager(api_key="key", auth=auth) as manager:
            await manager.get(server.url("/"))

    anyio.run(main, backend=backend)
    assert "x-api-key" not in other.requests[0].headers
    assert server.requests[0].headers["x-api-key"] == "key"


def test_what_an_auth_flow_added_stays_with_its_origin(
    server: FaultServer, other: FaultServer
) -> None:
    other.route("/token", reply(200, body=b"ticket"))
    other.route("/", reply(200))
    server.route("/", redirect(other.url("/")))

    async def main() -> None:
        auth = TokenAuth(other.url("/token"))
        async with AsyncConnectionManager(follow_redirects=True) as manager:
            headers = {"X-Harmless": "yes"}
            await manager.get(server.url("/"), auth=auth, headers=headers)

    anyio.run(main)
    assert server.requests[0].headers["x-vendor-ticket"] == "ticket"
    arrived = other.requests[-1].headers
    assert arrived["x-harmless"] == "yes"
    assert "x-vendor-ticket" not in arrived


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_request_object_sent_twice_at_once_is_two_calls(
    backend: str, server: FaultServer
) -> None:
    server.route("/end", reply(200, delay=0.4))
    server.route("/", redirect(server.url("/end")))
    outcomes: List[Any] = []

    async def send(manager: AsyncConnectionManager, request: httpx.Request, **own: Any) -> None:
        try:
            response = await manager.send(request, follow_redirects=True, **own)
            outcomes.append(len(response.attempts))  # type: ignore[attr-defined]  # added by us
        except DeadlineExceeded:
            outcomes.append("late")

    async def main() -> None:
        async with AsyncConnectionManager() as manager:
            request = manager.build_request("GET", server.url("/"))
            before = dict(request.extensions)
            async with anyio.create_task_group() as group:
                group.start_soon(send, manager, request)
                group.start_soon(lambda: send(manager, request, total_timeout=0.2))
            assert request.extensions == before

    anyio.run(main, backend=backend)
    assert sorted(outcomes, key=str) == [2, "late"]


class Refreshing(AsyncConnectionManager):
    """Sends again when the first answer is a 401, as vendors' clients do."""

    async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:  # type: ignore[override]
        # Reason of the ignore: any keyword is passed on.
        response = await super().send(request, **kwargs)
        if response.status_code == 401:
            request.headers["Authorization"] = "fresh"
            response = await super().send(request, **kwargs)
        return response


def test_a_subclass_that_sends_twice_stays_within_the_call(server: FaultServer) -> None:
    server.route("/", reply(401), reply(503), reply(200))
    hooks: List[str] = []

    async def main() -> httpx.Response:
        async with Refreshing(clock=VirtualClock(), raise_on_status=False) as manager:
            manager.register_pre_request_hook(lambda context: hooks.append(context.url))
            return await manager.get(server.url("/"), max_retries=0)

    response = anyio.run(main)
    assert response.status_code == 503
    assert [one.status for one in response.attempts] == [401, 503]  # type: ignore[attr-defined]
    assert len(hooks) == 1
    assert server.requests[-1].headers["authorization"] == "fresh"


def test_a_full_pool_says_nothing_about_the_server(server: FaultServer) -> None:
    server.route("/slow", reply(200, delay=0.5))

    async def main() -> None:
        limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(5, pool=0.01)
        async with AsyncConnectionManager(
            limits=limits, timeout=timeout, max_retries=0, circuit_breaker_failure_threshold=1
        ) as manager:
            async with anyio.create_task_group() as group:
                group.start_soon(manager.get, server.url("/slow"))
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(httpx.PoolTimeout):
                    await manager.get(server.url("/slow"))
            assert manager.get_stats()["circuit_breaker_state"] == "closed"

    anyio.run(main)


def test_a_redirect_into_an_endpoint_gets_its_auth(server: FaultServer) -> None:
    server.route("/start", redirect("/private/end"))
    server.route("/private/end", reply(200))
    host = server.origin.split("//")[1]

    async def main() -> None:
        async with AsyncConnectionManager(
            follow_redirects=True,
            endpoint_configs={f"{host}/private": {"auth": ("user", "password")}},
        ) as manager:
            await manager.get(server.url("/start"))

    anyio.run(main)
    assert "authorization" not in server.requests[0].headers
    assert server.requests[1].headers["authorization"].startswith("Basic ")
