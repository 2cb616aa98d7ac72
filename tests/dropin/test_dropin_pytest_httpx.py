"""pytest-httpx in a user's tests: it sees every attempt exactly once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager, MaxRetriesExceeded
from requests_connection_manager.testing import VirtualClock

pytest.importorskip("pytest_httpx")
pytestmark = pytest.mark.anyio

URL = "https://api.test/users"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_each_attempt_is_seen_once(httpx_mock: Any) -> None:
    httpx_mock.add_response(url=URL, status_code=503)
    httpx_mock.add_exception(httpx.ReadTimeout("slow"))
    httpx_mock.add_response(url=URL, json={"id": 7})
    async with AsyncConnectionManager(clock=VirtualClock(), bearer_token="t") as manager:
        response: Any = await manager.get(URL)
    assert response.json() == {"id": 7}
    assert [one.status for one in response.attempts] == [503, None, 200]
    seen = httpx_mock.get_requests()
    assert len(seen) == 3
    assert all(one.headers["Authorization"] == "Bearer t" for one in seen)


async def test_a_failure_for_good(httpx_mock: Any) -> None:
    for _ in range(3):
        httpx_mock.add_response(url=URL, status_code=503)
    async with AsyncConnectionManager(clock=VirtualClock(), max_retries=2) as manager:
        with pytest.raises(MaxRetriesExceeded):
            await manager.get(URL)
    assert len(httpx_mock.get_requests()) == 3


async def test_a_batch_and_a_stream(httpx_mock: Any) -> None:
    for _ in range(5):
        httpx_mock.add_response(url=URL, content=b"x" * 100)
    async with AsyncConnectionManager(clock=VirtualClock()) as manager:
        results: Any = await manager.batch_request([("GET", URL, {})] * 4, max_workers=2)
        async with manager.stream("GET", URL, total_timeout=20) as response:
            body = b"".join([part async for part in response.aiter_bytes(10)])
    assert [one.status_code for one in results] == [200] * 4
    assert len(body) == 100
