"""Which credentials win on the asynchronous side, where httpx has an opinion of its own."""

from __future__ import annotations

from typing import Any, Dict, Optional

import anyio
import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager


def sent(call: Dict[str, Any], **settings: Any) -> Optional[str]:
    """Return the ``Authorization`` that arrives."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200)

    async def main() -> None:
        transport = httpx.MockTransport(answer)
        async with AsyncConnectionManager(transport=transport, **settings) as manager:
            await manager.get("http://api.test/", **call)

    anyio.run(main)
    found: Optional[str] = seen[0]
    return found


BASIC = httpx.BasicAuth("user", "password")


@pytest.mark.parametrize(
    ("call", "settings", "wanted"),
    [
        ({"headers": {"Authorization": "call"}}, {"auth": BASIC}, "call"),
        ({"headers": {"authorization": "call"}}, {"bearer_token": "manager"}, "call"),
        ({}, {"auth": BASIC, "bearer_token": "manager"}, BASIC._auth_header),
        ({"auth": None}, {"auth": BASIC}, None),
        ({"auth": None}, {"bearer_token": "manager"}, None),
        ({"auth": BASIC}, {"headers": {"Authorization": "client"}}, BASIC._auth_header),
    ],
)
def test_the_call_outranks_the_client_and_the_client_the_manager(
    call: Dict[str, Any], settings: Dict[str, Any], wanted: Optional[str]
) -> None:
    assert sent(call, **settings) == wanted
