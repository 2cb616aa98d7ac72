"""A client for one service, in the style of the client patterns: synchronous and asynchronous.

``from api_client import APIClient``, or copy it. Timeouts, retries, the rate limit, the circuit
breaker, credentials and logging are the managers'; what is left is paths and JSON.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

import requests

from requests_connection_manager import AsyncConnectionManager, ConnectionManager
from requests_connection_manager.client_patterns import ServiceError, ServiceTimeoutError

REQUEST_TIMEOUT = 30  # seconds


class APIClient:
    """Client for external API. Everything that it raises is a ``ServiceError``."""

    def __init__(self, base_url: str, api_token: str, **settings: Any) -> None:
        self.base_url = base_url
        usual = {"bearer_token": api_token, "timeout": REQUEST_TIMEOUT, "raise_for_status": True}
        self._session = ConnectionManager(**{**usual, **settings})

    def get(self, path: str, params: Optional[Dict[str, Any]] = None) -> Any:
        """Make a GET request."""
        return self._request("GET", path, params=params)

    def post(self, path: str, json: Optional[Dict[str, Any]] = None) -> Any:
        """Make a POST request."""
        return self._request("POST", path, json=json)

    def _request(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            return self._session.request(method, f"{self.base_url}{path}", **kwargs).json()
        except ServiceError:
            raise  # statuses, retries, limits: the manager's own
        except requests.Timeout as e:
            raise ServiceTimeoutError(f"Request timed out: {method} {path}") from e
        except requests.RequestException as e:
            raise ServiceError(f"Request failed: {method} {path}: {type(e).__name__}") from e

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def __enter__(self) -> APIClient:
        return self

    def __exit__(self, *args: Any) -> None:
        self.close()


class AsyncAPIClient:
    """Async client for external API. A closed one opens again when it is used."""

    def __init__(
        self, base_url: str, api_token: str, timeout: float = REQUEST_TIMEOUT, **settings: Any
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self._settings = {"bearer_token": api_token, "raise_for_status": True, **settings}
        self._client: Optional[AsyncConnectionManager] = None

    def _get_client(self) -> AsyncConnectionManager:
        if self._client is None or self._client.is_closed:
            self._client = AsyncConnectionManager(timeout=self.timeout, **self._settings)
        return self._client

    async def get(self, path: str) -> Any:
        """Make an async GET request."""
        return (await self._get_client().get(f"{self.base_url}{path}")).json()

    async def post(self, path: str, json: Dict[str, Any]) -> Any:
        """Make an async POST request."""
        return (await self._get_client().post(f"{self.base_url}{path}", json=json)).json()

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> AsyncAPIClient:
        return self

    async def __aexit__(self, *args: Any) -> None:
        await self.close()
