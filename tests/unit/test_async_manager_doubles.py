"""Doubles that patch httpx' own methods, and bodies that are cancelled, on the async manager."""

from __future__ import annotations

from unittest.mock import AsyncMock, MagicMock, patch

import anyio
import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager, HTTPError


@pytest.mark.parametrize(
    "double",
    [httpx.Response(200, json={}), MagicMock(), MagicMock(spec=httpx.Response)],
    ids=["response", "mock", "mock of the class"],
)
def test_what_a_patched_send_returns_comes_back(double):
    async def main():
        with patch("httpx.AsyncClient.send", new=AsyncMock(return_value=double)):
            async with AsyncConnectionManager(raise_for_status=True) as manager:
                assert await manager.get("https://a.test/") is double

    anyio.run(main)


def test_an_error_status_without_a_request_is_raised_all_the_same():
    async def main():
        with patch("httpx.AsyncClient.send", new=AsyncMock(return_value=httpx.Response(404))):
            async with AsyncConnectionManager(raise_for_status=True) as manager:
                with pytest.raises(HTTPError) as caught:
                    await manager.get("https://a.test/x")
                assert caught.value.status_code == 404
                assert str(caught.value.request.url) == "https://a.test/x"

    anyio.run(main)


class Endless(httpx.AsyncByteStream):
    def __init__(self, error=None):
        self.closed = False
        self.error = error

    async def __aiter__(self):
        yield b"x"
        if self.error is not None:
            raise self.error
        await anyio.sleep_forever()

    async def aclose(self):
        self.closed = True


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_error_body_that_is_cancelled_is_closed(backend):
    body = Endless()

    async def main():
        transport = httpx.MockTransport(lambda request: httpx.Response(404, stream=body))
        async with AsyncConnectionManager(transport=transport, raise_for_status=True) as manager:
            with anyio.move_on_after(0.01):
                async with manager.stream("GET", "https://a.test/"):
                    pass

    anyio.run(main, backend=backend)
    assert body.closed


def test_an_error_body_that_breaks_does_not_hide_the_status():
    body = Endless(OSError("reset"))

    async def main():
        transport = httpx.MockTransport(lambda request: httpx.Response(404, stream=body))
        async with AsyncConnectionManager(transport=transport, raise_for_status=True) as manager:
            with pytest.raises(HTTPError) as caught:
                async with manager.stream("GET", "https://a.test/"):
                    pass
            assert caught.value.status_code == 404

    anyio.run(main)
    assert body.closed


def test_timeouts_that_are_updated_keep_to_their_rules():
    async def main():
        async with AsyncConnectionManager(timeout=30, connect_timeout=1) as manager:
            manager.update_settings(timeout=10)
            assert manager.timeout == httpx.Timeout(10, connect=1)
            manager.update_settings(connect_timeout=None)
            assert manager.timeout == httpx.Timeout(10)
            manager.timeout = httpx.Timeout(7)
            manager.update_settings(read_timeout=2, rate_limit_requests=None)
            assert manager.timeout == httpx.Timeout(7, read=2)

    anyio.run(main)
