"""The public API as a user writes it; checked by ``mypy --strict``, never run."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import httpx
import pydantic
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
from requests_connection_manager.api_engine import (
    AioHttpClient,
    ApiCircuitOpenError,
    ApiClient,
    ApiError,
    ApiHttpError,
    ApiNetworkError,
    ApiRateLimitError,
    ApiRequestModel,
    ApiTimeoutError,
    ApiValidationError,
    BaseCircuitBreaker,
    BaseHttpClient,
    BaseRateLimiter,
    BaseRequestHook,
    BaseRequestModel,
    BaseRequestStrategy,
    CircuitBreaker,
    ClientError,
    HttpxHttpClient,
    RetryRequestStrategy,
)
from requests_connection_manager.api_engine import TokenBucketRateLimiter as EngineLimiter
from requests_connection_manager.client_patterns import (
    RETRYABLE_STATUS_CODES,
    RateLimitedClient,
    ServiceError,
    ServiceTimeoutError,
    create_session,
    extract_error_detail,
    is_retryable,
    request_with_retry,
    retry_with_backoff,
)
from requests_connection_manager.connector import APIConnector
from requests_connection_manager.testing import VirtualClock
from requests_connection_manager.validation import pick, validate


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


# -- siblings, and settings that change


def vary(manager: ConnectionManager, later: AsyncConnectionManager) -> None:
    patient = manager.with_options(max_retries=8, timeout=120)
    assert_type(patient, ConnectionManager)
    patient.update_settings(backoff_factor=1, raise_for_status=True)
    later.update_settings(total_timeout=5)


# -- connectors


class Shop(APIConnector):
    base_url = "https://api.example.com/v1"
    max_retries = 3
    backoff_factor = 0.5
    status_forcelist = [500, 503]  # noqa: RUF012  # as users write it
    allowed_methods = ["GET"]  # noqa: RUF012  # as users write it
    raise_on_status = True

    def __init__(self, account: str = "main", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account = account

    def user(self, number: int) -> Dict[str, Any]:
        response = self.get(f"users/{number}", params={"account": self.account}, timeout=5)
        assert_type(response, requests.Response)
        found: Dict[str, Any] = response.json()
        return found


def connect(manager: ConnectionManager) -> None:
    with Shop("other", max_retries=1, timeout=10, bearer_token="t", clock=VirtualClock()) as shop:
        assert_type(shop, Shop)
        assert_type(shop.session, ConnectionManager)
        takes_a_session(shop.session)
        assert_type(shop.get_retry_settings(), Dict[str, Any])
        shop.set_retry_settings(max_retries=2, status_forcelist=[500])
        shop.max_retries = 5
        shop.backoff_factor = 0.25
        shop.status_forcelist.append(521)
        assert_type(shop.status_forcelist, List[int])
        assert_type(shop.allowed_methods, List[str])
        assert_type(shop.url("users/7"), str)
        assert_type(shop.user(7), Dict[str, Any])
        assert_type(shop.post("users", json={"name": "Ada"}), requests.Response)
        assert_type(shop.request("PUT", "users/7", data=b"x"), requests.Response)
    plain = APIConnector(session=manager, base_url=None, max_retries=1)
    assert_type(plain.max_retries, int)
    assert_type(plain.backoff_factor, float)
    assert_type(plain.raise_on_status, bool)
    assert_type(plain.base_url, Optional[str])


# -- the engine


class Item(pydantic.BaseModel):
    id: int
    name: str


class Token(BaseRequestHook):
    async def before(self, request: BaseRequestModel) -> None:
        request.headers = {**(request.headers or {}), "Authorization": "Bearer token"}

    async def after(self, request: BaseRequestModel, response: Any) -> None:
        print(request.url, type(response))


class Canned(BaseHttpClient):
    async def request(
        self,
        method: str,
        url: str,
        headers: Optional[Mapping[str, str]] = None,
        params: Optional[Mapping[str, Any]] = None,
        data: Any = None,
        json_payload: Any = None,
        timeout: Optional[float] = None,
    ) -> Dict[str, Any]:
        self.report(200, {"X-RateLimit-Remaining": "7"})
        return {"method": method, "url": url}


class Unlimited(BaseRateLimiter):
    async def acquire(self) -> None: ...


class Sturdy(BaseCircuitBreaker):
    def is_open(self) -> bool:
        return False

    def record_failure(self) -> None: ...

    def reset(self) -> None: ...


class Once(BaseRequestStrategy):
    async def execute(self, request: BaseRequestModel, **settings: Any) -> Any:
        return await Canned().request(request.method, request.url)


def strategies() -> List[BaseRequestStrategy]:
    return [
        Once(),
        RetryRequestStrategy(http=AioHttpClient()),
        RetryRequestStrategy(
            http=HttpxHttpClient(default_timeout=None, client=httpx.AsyncClient()),
            breaker=CircuitBreaker(max_failures=5, cooldown_time=60),
            limiter={"key": "example", "max_requests": 100, "period": 60},
            hooks=[Token()],
            max_retries=3,
            backoff=0.5,
            total_timeout=30,
            clock=VirtualClock(),
        ),
        RetryRequestStrategy(Canned(), Sturdy(), Unlimited(), [Token()], 3, 2),
        RetryRequestStrategy(Canned(), limiter=EngineLimiter("example", 100, 60)),
        RetryRequestStrategy(Canned(), limiter=TokenBucketRateLimiter(rate=5, capacity=10)),
    ]


async def engine(strategy: BaseRequestStrategy, url: str) -> None:
    async with ApiClient(strategy=strategy) as client:
        assert_type(client, ApiClient)
        assert_type(await client.call_api(url), Any)
        assert_type(await client.call_api(url, "POST", json_payload={"a": 1}, max_retries=0), Any)
        assert_type(await client.call_api(url, response_key="data", model=None), Any)
        assert_type(await client.call_api(url=url, model=Item), Item)
        positional = await client.call_api(url, "GET", None, None, None, None, None, None, Item)
        assert_type(positional, Item)
        assert_type(await client.call_api(url, response_key="data", model=List[Item]), List[Item])
        assert_type(await client.call_api(url, model=Dict[str, int]), Dict[str, int])
        assert_type(await client.call_api(url, model=int, total_timeout=5), int)
        found = await client.call_api(url, model=Item)
        print(found.name.upper())
    print(ApiRequestModel("GET", url, headers={"A": "b"}))


async def engine_errors(client: ApiClient, url: str) -> None:
    try:
        await client.call_api(url)
    except ApiHttpError as error:
        assert_type(error.status_code, Optional[int])
        assert_type(error.headers, Optional[Mapping[str, str]])
        assert_type(error.body, Optional[str])
    except (ApiRateLimitError, ApiCircuitOpenError) as error:
        assert_type(error.retry_after, Optional[float])
    except (ApiTimeoutError, ApiNetworkError) as error:
        assert_type(error.sent, Optional[bool])
    except ApiValidationError as error:
        assert_type(error.path, Tuple[Union[str, int], ...])
    except (ApiError, ClientError) as error:
        print(error.attempts)


def validated(data: Any) -> None:
    assert_type(validate(data, Item), Item)
    assert_type(validate(data, List[Item]), List[Item])
    assert_type(validate(data, Dict[str, int]), Dict[str, int])
    assert_type(pick(data, "data"), Any)


# -- the client patterns


def count() -> int:
    return 7


async def count_later() -> int:
    return 7


@retry_with_backoff(max_attempts=5, retryable_exceptions=(requests.RequestException,))
def load(path: str, limit: int = 10) -> List[str]:
    return [path] * limit


@retry_with_backoff()
async def load_later(path: str) -> List[str]:
    return [path]


async def patterns(session: requests.Session, url: str) -> None:
    assert_type(retry_with_backoff(count), int)
    assert_type(retry_with_backoff(count, 3, 1.0, 60.0, (ValueError, KeyError)), int)
    assert_type(retry_with_backoff(lambda: "text", retryable_exceptions=OSError), str)
    assert_type(await retry_with_backoff(count_later, clock=VirtualClock()), int)
    assert_type(load("/items", limit=3), List[str])
    assert_type(await load_later("/items"), List[str])
    response = request_with_retry(session, "GET", url, params={"a": "1"})
    assert_type(response, requests.Response)
    assert_type(is_retryable(response), bool)
    assert_type(response.status_code in RETRYABLE_STATUS_CODES, bool)
    assert_type(extract_error_detail(response), str)
    assert_type(create_session(timeout=5), ConnectionManager)
    try:
        with RateLimitedClient(url, requests_per_second=2.5, bearer_token="token") as client:
            assert_type(client, RateLimitedClient)
            assert_type(client.min_interval, float)
            print(client.get("/items"), client.last_request_time)
    except ServiceTimeoutError as error:
        assert_type(error.sent, Optional[bool])
    except ServiceError as error:
        print(error.attempts)
