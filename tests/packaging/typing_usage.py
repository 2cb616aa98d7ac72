"""The public API as a user writes it; checked by ``mypy --strict``, never run."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple, Union

import httpx
import requests
from typing_extensions import assert_type

from requests_connection_manager import (
    AsyncConnectionManager,
    AttemptFinished,
    CircuitBreakerOpen,
    Clock,
    ConnectionManager,
    EndpointConfig,
    ErrorContext,
    Event,
    MaxRetriesExceeded,
    RateLimitExceeded,
    RequestContext,
    RequestData,
    ResponseContext,
    RetryBudget,
    SystemClock,
    TokenBucketRateLimiter,
)
from requests_connection_manager.testing import VirtualClock


def takes_a_session(session: requests.Session) -> None: ...


def takes_a_client(client: httpx.AsyncClient) -> None: ...


def takes_a_clock(clock: Clock) -> None: ...


def configured() -> ConnectionManager:
    endpoint: EndpointConfig = {"timeout": 5, "rate_limit_requests": 10}
    return ConnectionManager(
        max_retries=3,
        timeout=(3.05, 30),
        endpoint_configs={"api.example.com": endpoint},
        basic_auth=("user", "pass"),
        total_timeout=20.0,
        rate_limit_requests=None,
        circuit_breaker_failure_threshold=None,
        rate_limiter=TokenBucketRateLimiter(rate=5, capacity=10, clock=SystemClock.monotonic),
        retry_budget=RetryBudget(),
        clock=VirtualClock(),
    )


def sync_calls() -> None:
    with configured() as manager:
        assert_type(manager, ConnectionManager)
        takes_a_session(manager)
        takes_a_clock(SystemClock())
        assert_type(manager.get("https://api.example.com/"), requests.Response)
        assert_type(manager.post("https://api.example.com/", json={"a": 1}), requests.Response)
        response = manager.request(
            "GET", "https://api.example.com/", max_retries=0, total_timeout=5, timeout=None
        )
        assert_type(response.status_code, int)
        calls: List[RequestData] = [("GET", "https://api.example.com/", {})]
        results = manager.batch_request(calls, max_workers=10, return_exceptions=True)
        assert_type(results, List[Union[requests.Response, Exception]])
        assert_type(manager.get_stats(), Dict[str, Any])
        assert_type(manager.explain("GET", "https://api.example.com/"), Dict[str, Any])
        assert_type(manager.list_hooks(), Dict[str, List[str]])


async def async_calls() -> None:
    async with AsyncConnectionManager(max_retries=3, http2=True) as manager:
        assert_type(manager, AsyncConnectionManager)
        takes_a_client(manager)
        assert_type(await manager.get("https://api.example.com/"), httpx.Response)
        async with manager.stream("GET", "https://api.example.com/") as response:
            assert_type(response, httpx.Response)
        results = await manager.batch_request([("GET", "https://api.example.com/", {})])
        assert_type(results, List[Union[httpx.Response, Exception]])


def hooks_and_listeners(manager: ConnectionManager) -> None:
    def before(context: RequestContext) -> None:
        context.kwargs["timeout"] = 5

    def after(context: ResponseContext) -> None:
        print(context.response.status_code)

    def on_error(context: ErrorContext) -> None:
        context.handled = True

    def listener(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            print(event.status, event.elapsed)

    manager.register_pre_request_hook(before)
    manager.register_post_response_hook(after)
    manager.register_error_hook(on_error)
    manager.add_listener(listener, AttemptFinished)


def errors(manager: ConnectionManager) -> None:
    try:
        manager.get("https://api.example.com/")
    except (CircuitBreakerOpen, RateLimitExceeded) as error:
        print(error.retry_after)
    except MaxRetriesExceeded as error:
        attempts: Tuple[AttemptFinished, ...] = error.attempts
        print(error.reason, attempts)
