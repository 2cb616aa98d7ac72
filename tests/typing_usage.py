"""Typed code of a user, which a strict type checker accepts; it is checked, not run."""

from __future__ import annotations

import logging
import re
import ssl
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Type, Union

import httpx
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.util.retry import Retry as UrllibRetry

from requests_connection_manager import (
    DEFAULT_API_KEY_HEADER,
    DEFAULT_BACKOFF_FACTOR,
    DEFAULT_TIMEOUT,
    AsyncBatchResults,
    AsyncConnectionManager,
    AttemptFinished,
    AttemptStarted,
    AuthenticationError,
    BatchResults,
    BreakerRefused,
    BreakerStateChanged,
    CallFailed,
    CallFinished,
    CallStarted,
    CircuitBreakerOpen,
    Clock,
    ConnectionError,
    ConnectionManager,
    ConnectionManagerError,
    ConnectionReplaced,
    DeadlineExceeded,
    EndpointConfig,
    ErrorContext,
    Event,
    FixedWindowRateLimiter,
    HookType,
    HTTPError,
    LimiterRefused,
    LimiterWaited,
    MaxRetriesExceeded,
    PipelineAdapter,
    PluginManager,
    RateLimiter,
    RateLimitError,
    RateLimitExceeded,
    RequestContext,
    RequestData,
    ResponseContext,
    Retry,
    RetryBudget,
    RetryScheduled,
    RetrySuppressed,
    SystemClock,
    TimeoutError,
    TokenBucketRateLimiter,
    ValidationError,
    is_sensitive_field,
    redact_sensitive_data,
    safe_log_error,
    safe_log_request,
    safe_log_response,
)
from requests_connection_manager.integrations.opentelemetry import OpenTelemetryListener
from requests_connection_manager.integrations.prometheus import PrometheusListener
from requests_connection_manager.streaming import Download, Progress
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    blackhole,
    dead_origin,
    redirect,
    reply,
)

# -- settings

endpoint: EndpointConfig = {"timeout": 5, "max_retries": 1, "rate_limit_mode": "wait"}
limiter: RateLimiter = TokenBucketRateLimiter(rate=5.0, capacity=10.0)
window: RateLimiter = FixedWindowRateLimiter(100, 60.0)
clock: Clock = SystemClock()
virtual: Clock = VirtualClock()
header: str = DEFAULT_API_KEY_HEADER
numbers: Tuple[float, int] = (DEFAULT_BACKOFF_FACTOR, DEFAULT_TIMEOUT)


def build() -> ConnectionManager:
    return ConnectionManager(
        pool_connections=20,
        pool_maxsize=20,
        max_retries=5,
        backoff_factor=0.5,
        rate_limit_requests=None,
        rate_limit_period=1.5,
        circuit_breaker_failure_threshold=None,
        circuit_breaker_recovery_timeout=30.0,
        timeout=(3.05, 27),
        endpoint_configs={"api.example.com": endpoint, "/v1": {}},
        api_key="key",
        api_key_header="X-Key",
        bearer_token="token",
        verify="/ca.pem",
        cert=("/client.crt", "/client.key"),
        connect_timeout=3.05,
        read_timeout=27,
        total_timeout=60,
        raise_on_status=False,
        status_forcelist=[503],
        allowed_methods=None,
        retry_budget=RetryBudget(capacity=100),
        rate_limit_mode="wait",
        rate_limiter=limiter,
        idempotency_key_header="Idempotency-Key",
        auth=HTTPBasicAuth("user", "password"),
        headers={"Accept": "application/json"},
        clock=clock,
    )


def build_with_a_retry() -> Tuple[ConnectionManager, AsyncConnectionManager]:
    retry: UrllibRetry = Retry(total=3, backoff_factor=1)
    return ConnectionManager(max_retries=retry), AsyncConnectionManager(max_retries=retry)


# -- calls


def call(manager: ConnectionManager) -> Dict[str, Any]:
    response: requests.Response = manager.get(
        "https://api.example.com/users", params={"page": "1"}, timeout=5
    )
    manager.post("https://api.example.com/users", json={"name": "Ada"}, max_retries=0)
    manager.request("PUT", "https://api.example.com/users/1", data=b"x", total_timeout=5)
    manager.delete("https://api.example.com/users/1")
    manager.head("https://api.example.com/users/1")
    manager.options("https://api.example.com/users/1")
    manager.patch("https://api.example.com/users/1", data={"a": "b"})
    prepared = manager.prepare_request(requests.Request("GET", "https://api.example.com/"))
    sent: requests.Response = manager.send(prepared, stream=True, rate_limit_mode="wait")
    sent.close()
    body: Dict[str, Any] = response.json()
    return body


def takes_a_session(session: requests.Session) -> None: ...


async def takes_a_client(client: httpx.AsyncClient) -> None: ...


def batch(manager: ConnectionManager) -> List[int]:
    items: List[RequestData] = [
        ("GET", "https://api.example.com/1", {}),
        ("POST", "https://api.example.com/2", {"json": {"a": 1}}),
    ]
    results: BatchResults = manager.batch_request(items, max_workers=5, return_exceptions=True)
    found = []
    for result in results:
        if isinstance(result, requests.Response):
            found.append(result.status_code)
        else:
            error: Exception = result
            logging.info("%s", error)
    return found


def manage(manager: Union[ConnectionManager, AsyncConnectionManager]) -> Dict[str, Any]:
    manager.add_endpoint_config("api.example.com", {"timeout": 5})
    manager.add_endpoint_config(re.compile(r"https://api\.example\.com/v\d+"), endpoint)
    manager.remove_endpoint_config("api.example.com")
    for pattern, own in manager.get_endpoint_configs().items():
        logging.info("%s %s", pattern, own["timeout"])
    manager.set_api_key("key")
    manager.set_api_key("key", header_name="X-Key")
    manager.set_bearer_token("token")
    manager.set_oauth2_token("token")
    manager.set_basic_auth("user", "password")
    manager.set_endpoint_auth("api.example.com", "bearer", token="token")
    manager.clear_auth("api.example.com")
    manager.clear_auth()
    manager.set_ssl_verification("/ca.pem")
    manager.set_client_certificate(("/client.crt", "/client.key"))
    manager.set_ssl_context(ssl.create_default_context())
    manager.set_timeouts(connect_timeout=3.05, read_timeout=None)
    explained: Dict[str, Any] = manager.explain("GET", "https://api.example.com/")
    stats: Dict[str, Any] = manager.get_stats()
    hooks: Dict[str, List[str]] = manager.list_hooks()
    return {"explained": explained, "stats": stats, "hooks": hooks}


# -- hooks and listeners


def before(context: RequestContext) -> None:
    context.kwargs.setdefault("headers", {})["X-Trace"] = "1"
    context.method = context.method.upper()


def after(context: ResponseContext) -> None:
    logging.info("%s %s", context.request_context.url, context.response.status_code)


def recover(context: ErrorContext) -> None:
    if isinstance(context.exception, CircuitBreakerOpen):
        context.handled = True
        context.fallback_response = requests.Response()


async def awaited(context: RequestContext) -> None: ...


def listen(event: Event) -> None:
    if isinstance(event, AttemptFinished):
        logging.info("%s %s %.3f", event.status, event.error, event.elapsed)
    elif isinstance(event, (RetryScheduled, LimiterWaited)):
        logging.info("%s", event)
    elif isinstance(event, BreakerStateChanged):
        logging.info("%s -> %s", event.old, event.new)
    elif isinstance(event, CallFinished):
        logging.info("%d %s %d", event.call, event.status, event.attempts)


def only_attempts(event: AttemptStarted) -> None:
    event.headers["X-Attempt"] = str(event.number)


def register(manager: ConnectionManager) -> None:
    manager.register_pre_request_hook(before)
    manager.register_post_response_hook(after)
    manager.register_error_hook(recover)
    manager.unregister_hook(HookType.ERROR_HANDLER, recover)
    manager.add_listener(listen)
    manager.add_listener(only_attempts, AttemptStarted)
    manager.add_listener(
        listen, BreakerRefused, CallFailed, ConnectionReplaced, LimiterRefused, RetrySuppressed
    )
    manager.add_listener(listen, CallStarted)
    manager.remove_listener(listen)
    manager.add_listener(OpenTelemetryListener(propagate=False))
    manager.add_listener(PrometheusListener(namespace="acme", status_codes=True))
    plugins = PluginManager()
    plugins.register_hook(HookType.PRE_REQUEST, before)
    plugins.execute_pre_request_hooks(RequestContext("GET", "https://api.example.com/"))


def register_async(manager: AsyncConnectionManager) -> None:
    manager.register_pre_request_hook(awaited)
    manager.register_post_response_hook(after, blocking=True)
    manager.register_error_hook(recover)


# -- exceptions


def careful(manager: ConnectionManager) -> Optional[requests.Response]:
    try:
        return manager.get("https://api.example.com/")
    except RateLimitExceeded as exc:
        wait: Optional[float] = exc.retry_after
        logging.info("%s", wait)
    except CircuitBreakerOpen as exc:
        logging.info("%s", exc.retry_after)
    except MaxRetriesExceeded as exc:
        reason: str = exc.reason
        logging.info("%s %s %d", reason, exc.response, len(exc.attempts))
    except DeadlineExceeded as exc:
        logging.info("%s", exc.request)
    except HTTPError as exc:
        status: Optional[int] = exc.status_code
        logging.info("%s", status)
    except (AuthenticationError, RateLimitError, ValidationError):
        raise
    except (ConnectionError, TimeoutError, ConnectionManagerError) as exc:
        logging.info("%s", exc.attempts)
    return None


KINDS: Tuple[Type[ConnectionManagerError], ...] = (MaxRetriesExceeded, RateLimitExceeded)


# -- the asynchronous side


async def main() -> None:
    async with AsyncConnectionManager(
        base_url="https://api.example.com",
        params={"v": "1"},
        http2=True,
        follow_redirects=True,
        limits=httpx.Limits(max_connections=10),
        event_hooks={"request": [], "response": []},
        mounts={"https://other.example.com": httpx.AsyncHTTPTransport()},
        auth=httpx.DigestAuth("user", "password"),
        total_timeout=30,
    ) as manager:
        response: httpx.Response = await manager.get("/users", params={"page": "1"})
        await manager.post("/users", json={"name": "Ada"}, max_retries=0)
        await manager.request("PUT", "/users/1", content=b"x")
        async with manager.stream("GET", "/file") as streamed:
            async for part in streamed.aiter_bytes():
                logging.info("%d", len(part))
        items: List[RequestData] = [("GET", "/1", {}), ("GET", "/2", {})]
        results: AsyncBatchResults = await manager.batch_request(items, max_workers=5)
        good = [one for one in results if isinstance(one, httpx.Response)]
        request = manager.build_request("GET", "/")
        sent: httpx.Response = await manager.send(request, stream=True)
        await sent.aclose()
        await takes_a_client(manager)
        logging.info("%s %d", response.json(), len(good))
    await manager.close()
    await manager.aclose()


# -- adapters, helpers, tests


def mount(manager: ConnectionManager) -> None:
    manager.mount("https://api.example.com", PipelineAdapter(wraps=HTTPAdapter()))
    takes_a_session(manager)


def log(response: requests.Response) -> bool:
    safe_log_request("GET", "https://api.example.com/", headers={"A": "b"}, payload={"a": 1})
    safe_log_response(response)
    safe_log_error(ValueError("x"), "GET", "https://api.example.com/", level=logging.WARNING)
    redacted: Any = redact_sensitive_data({"password": "x"})
    return is_sensitive_field("password") and redacted is not None


def answer(received: Received) -> Reply:
    return reply(200, json={"path": received.path}, headers={"X-Seen": received.method})


def test() -> None:
    with FaultServer() as server, dead_origin() as dead, blackhole() as hole:
        server.route("/users", reply(503), reply(200), answer)
        server.route("/old", redirect("/users"))
        with ConnectionManager(clock=VirtualClock()) as manager:
            manager.get(server.url("/users"))
        count: int = server.count("/users")
        logging.info("%d %s %s", count, dead, hole)


class Row:
    id: int = 0


def streams(manager: ConnectionManager) -> Tuple[List[str], List[int], Any]:
    with manager.events("https://api.test/events", reconnect=True, total_timeout=60) as events:
        found: List[str] = [event.data for event in events]
    last: str = events.last_event_id
    wait: float = events.retry
    ids: List[int] = [row.id for row in manager.json_lines("https://api.test/", model=Row)]
    rows: Any = next(iter(manager.json_lines("https://api.test/", method="POST", json={})))
    return [*found, last, str(wait)], ids, rows


async def async_streams(manager: AsyncConnectionManager) -> List[int]:
    async with manager.events("https://api.test/events", last_event_id="7") as events:
        async for event in events:
            kind: str = event.event
            logging.info(kind)
    async with manager.json_lines("https://api.test/", model=Row) as rows:
        return [row.id async for row in rows]


def downloads(manager: ConnectionManager) -> Tuple[int, Optional[str], float]:
    def show(progress: Progress) -> None:
        logging.info("%d of %s", progress.received, progress.total)

    done: Download = manager.download("https://api.test/", Path("file"), progress=show)
    again = manager.download("https://api.test/", "file", resume="keep", checksum="md5:00")
    share: Optional[float] = Progress(1, 2).fraction
    return done.size + again.resumed, again.etag, share or 0.0


async def async_downloads(manager: AsyncConnectionManager) -> Path:
    done = await manager.download("https://api.test/", "file", progress=True, total_timeout=60)
    return done.path


def batches(manager: ConnectionManager) -> List[int]:
    calls = (("GET", f"https://api.test/{number}") for number in range(3))
    results = manager.iter_batch(calls, ordered=True, progress=lambda done, total: None)
    statuses = [result.result().status_code for result in results]
    for result in manager.iter_batch([("GET", "https://api.test/")], journal=Path("done.db")):
        if result.response is not None and result.error is None:
            logging.info("%d %s %s", result.index, result.key, result.response.ok)
    return statuses


async def async_batches(manager: AsyncConnectionManager) -> List[int]:
    async with manager.aiter_batch([("GET", "https://api.test/")], total=1) as results:
        return [result.result().status_code async for result in results]
