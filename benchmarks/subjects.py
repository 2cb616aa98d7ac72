"""What is measured: managers with everything on, adapters that answer from memory; checks.

What is fast and wrong must not win: :func:`answered` looks at every answer, within the time that is
taken of both sides; :func:`check_head` looks at what the server got.
"""

from __future__ import annotations

import io
from typing import Any, Dict, Optional

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from benchmarks.server import BODY
from requests_connection_manager import AsyncConnectionManager, ConnectionManager, PipelineAdapter
from requests_connection_manager._sync import RequestsHop, run_sync
from requests_connection_manager.core import Core
from requests_connection_manager.pipeline import run_pipeline

# Never reached: what is measured is the limiter, not the wait for it.
_HUGE = 10**9


def everything(origin: str, **more: Any) -> Dict[str, Any]:
    """Return settings that leave no stage off; ``origin`` gets an endpoint config."""
    return {
        "max_retries": 3,
        "rate_limit_requests": _HUGE,
        "rate_limit_period": 60,
        "circuit_breaker_failure_threshold": 5,
        "bearer_token": "a-token",
        "endpoint_configs": {origin: {"timeout": 20, "rate_limit_requests": _HUGE}},
        **more,
    }


def full_manager(origin: str, **more: Any) -> ConnectionManager:
    """Return a manager with everything on, and three hooks."""
    manager = ConnectionManager(**everything(origin, **more))
    _hook(manager)
    return manager


def full_async_manager(origin: str, **more: Any) -> AsyncConnectionManager:
    """Return an asynchronous manager with everything on, and three hooks."""
    manager = AsyncConnectionManager(**everything(origin, **more))
    _hook(manager)
    return manager


def _hook(manager: Any) -> None:
    def hook(context: Any) -> None:
        pass

    manager.register_pre_request_hook(hook)
    manager.register_post_response_hook(hook)
    manager.register_error_hook(hook)


def answered(response: Any) -> None:
    """Check an answer of ``/json``, of requests or httpx."""
    if response.status_code != 200 or response.content != BODY:
        raise AssertionError(f"not the answer: {response!r}")


def check_head(head: bytes, target: str, *more: bytes) -> None:
    """Check that a request came as it was meant: its target, and other parts of its head."""
    first, rest = head.split(b"\r\n", 1)
    if target.encode() not in first or not all(part in rest.lower() for part in more):
        raise AssertionError(f"not the request: {head!r}")


CREDENTIALS = b"authorization: bearer a-token"


class CannedAdapter(BaseAdapter):
    """Answers from memory, as ``HTTPAdapter`` would; the body is read already."""

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        response = requests.Response()
        response.status_code = 200
        response.headers["Content-Type"] = "application/json"
        response.headers["Content-Length"] = "70"
        response.raw = _RAW
        response.url = request.url or ""
        response.request = request
        response._content = BODY
        return response

    def close(self) -> None:
        pass


_RAW = HTTPResponse(io.BytesIO(b""), preload_content=False)


def canned_manager(origin: str, adapter: Optional[BaseAdapter] = None, **more: Any) -> Any:
    """Return a manager with everything on whose attempts are answered from memory."""
    manager = full_manager(origin, **more)
    manager.mount("http://", PipelineAdapter(wraps=adapter or CannedAdapter()))
    return manager


def canned_session() -> requests.Session:
    """Return a bare session whose requests are answered from memory."""
    session = requests.Session()
    session.mount("http://", CannedAdapter())
    return session


class AnsweredHop(RequestsHop):
    """A hop that has its answer: what is left of it is the pipeline."""

    def __init__(
        self, core: Core, adapter: PipelineAdapter, request: requests.PreparedRequest
    ) -> None:
        call = core.begin(request.url or "", {}, core.clock.monotonic())
        super().__init__(core, adapter, call, request, None, {})
        self._response = CannedAdapter().send(request)

    async def send(self) -> requests.Response:
        return self._response

    def run(self) -> requests.Response:
        """Run the pipeline once."""
        # A call has one hop or a few; this one has thousands.
        self.call.attempts.clear()
        return run_sync(run_pipeline(self))
