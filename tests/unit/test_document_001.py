"""The document "API Engine", walked name by name, and its examples as they are printed.

An example is text here, so that nothing of it is lost: only the import path is ours, and the server
is one that answers. What the engine does beyond the document is in ``test_api_engine.py``.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from printed import run_printed

import requests_connection_manager.core
from requests_connection_manager import api_engine
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
    BaseRequestModel,
    BaseRequestStrategy,
    CircuitBreaker,
    RetryRequestStrategy,
    TokenBucketRateLimiter,
)
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    dead_origin,
    echo,
    reply,
)

NOTHING = inspect.Parameter.empty
PACKAGE = "requests_connection_manager.api_engine"

# Name -> the parameters that the document shows; those it shows a default for have it.
CALLABLES: Dict[str, Tuple[Tuple[str, Any], ...]] = {
    "ApiClient": (("strategy", NOTHING),),
    "ApiClient.call_api": (
        ("url", NOTHING),
        ("method", "GET"),
        ("headers", None),
        ("params", None),
        ("data", None),
        ("json_payload", None),
        ("timeout", None),
        ("response_key", None),
        ("model", None),
    ),
    "RetryRequestStrategy": (
        ("http", NOTHING),
        ("breaker", None),
        ("limiter", None),
        ("hooks", ()),
        ("max_retries", 3),
        ("backoff", 2),
    ),
    "AioHttpClient": (("default_timeout", 30),),
    "CircuitBreaker": (("max_failures", 5), ("cooldown_time", 60)),
    "TokenBucketRateLimiter": (("key", NOTHING), ("max_requests", NOTHING), ("period", NOTHING)),
    "BaseHttpClient.request": (
        ("method", NOTHING),
        ("url", NOTHING),
        ("headers", None),
        ("params", None),
        ("data", None),
        ("json_payload", None),
        ("timeout", None),
    ),
    "BaseRateLimiter.acquire": (),
    "BaseCircuitBreaker.is_open": (),
    "BaseCircuitBreaker.record_failure": (),
    "BaseCircuitBreaker.reset": (),
    "BaseRequestHook.before": (("request", NOTHING),),
    "BaseRequestHook.after": (("request", NOTHING), ("response", NOTHING)),
}

AWAITED = (
    "ApiClient.call_api",
    "BaseHttpClient.request",
    "BaseRateLimiter.acquire",
    "BaseRequestHook.before",
    "BaseRequestHook.after",
)

INTERFACES = {
    "base_request_hook": "BaseRequestHook",
    "base_request_model": "BaseRequestModel",
    "base_http_client": "BaseHttpClient",
    "base_rate_limiter": "BaseRateLimiter",
    "base_circuit_breaker": "BaseCircuitBreaker",
}

# As the arrows of the two diagrams go.
DERIVED = (
    (BaseRequestStrategy, RetryRequestStrategy),
    (BaseHttpClient, AioHttpClient),
    (BaseCircuitBreaker, CircuitBreaker),
    (BaseRateLimiter, TokenBucketRateLimiter),
    (BaseRequestModel, ApiRequestModel),
    (ApiError, ApiHttpError),
    (ApiError, ApiTimeoutError),
    (ApiError, ApiRateLimitError),
    (ApiError, ApiNetworkError),
    (ApiError, ApiCircuitOpenError),
    (ApiError, ApiValidationError),
)


def found(dotted: str) -> Any:
    one: Any = api_engine
    for name in dotted.split("."):
        one = getattr(one, name)
    return one


def positional(function: Callable[..., Any]) -> Tuple[Tuple[str, Any], ...]:
    return tuple(
        (one.name, one.default)
        for one in inspect.signature(function).parameters.values()
        if one.name != "self" and one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    )


# -- names


@pytest.mark.parametrize("name", CALLABLES)
def test_a_callable_has_the_documented_parameters(name: str) -> None:
    assert positional(found(name)) == CALLABLES[name]
    assert inspect.getdoc(found(name))


@pytest.mark.parametrize("name", CALLABLES)
def test_what_the_document_awaits_is_a_coroutine_function(name: str) -> None:
    if not inspect.isclass(found(name)):
        assert inspect.iscoroutinefunction(found(name)) is (name in AWAITED)


@pytest.mark.parametrize("module", INTERFACES)
def test_an_interface_is_in_the_module_of_the_document(module: str) -> None:
    home = importlib.import_module(f"{PACKAGE}.interfaces.{module}")
    name = INTERFACES[module]
    assert getattr(home, name) is getattr(api_engine, name)
    assert getattr(home, name).__module__ == home.__name__


@pytest.mark.parametrize(("base", "derived"), DERIVED)
def test_the_diagrams_are_the_class_tree(base: type, derived: type) -> None:
    assert issubclass(derived, base)


@pytest.mark.parametrize("kind", [derived for base, derived in DERIVED if base is ApiError])
def test_an_error_is_importable_from_both_places(kind: type) -> None:
    names = {name for name in api_engine.__all__ if getattr(api_engine, name) is kind}
    home = importlib.import_module(f"{PACKAGE}.exceptions")
    assert names
    assert all(getattr(home, name) is kind for name in names)


def test_a_request_model_has_the_fields_of_a_call() -> None:
    fields = tuple(name for name, _ in positional(ApiRequestModel))
    of_the_call = {name for name, _ in CALLABLES["ApiClient.call_api"]}
    assert set(fields) == of_the_call == set(BaseRequestModel.__annotations__)
    request = ApiRequestModel("GET", "https://api.example.com/data")
    assert [getattr(request, name) for name in fields[2:]] == [None] * len(fields[2:])


# -- the examples


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """A clock for code that names none, which is all code in the document."""
    clock = VirtualClock()
    monkeypatch.setattr(requests_connection_manager.core, "SystemClock", lambda: clock)
    return clock


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def run_example(code: str, server: FaultServer, **given: Any) -> Dict[str, Any]:
    code = code.replace("utils.api_engine", PACKAGE)
    return run_printed(code.replace("https://api.example.com", server.origin), **given)


SETUP = """
from utils.api_engine import (
    ApiClient, RetryRequestStrategy, AioHttpClient, CircuitBreaker
)

# Create components
http_client = AioHttpClient(default_timeout=30)
circuit_breaker = CircuitBreaker(max_failures=5, cooldown_time=60)

# Create strategy with retry configuration
strategy = RetryRequestStrategy(
    http=http_client,
    breaker=circuit_breaker,
    max_retries=3,
    backoff=2
)

# Create API client
client = ApiClient(strategy=strategy)
"""

BASIC = """
from utils.api_engine import (
    ApiClient, RetryRequestStrategy, AioHttpClient, CircuitBreaker
)

async def get_data():
    # Create components
    http_client = AioHttpClient(default_timeout=30)
    circuit_breaker = CircuitBreaker(max_failures=5, cooldown_time=60)

    # Create strategy with retry configuration
    strategy = RetryRequestStrategy(
        http=http_client,
        breaker=circuit_breaker,
        max_retries=3,
        backoff=2
    )

    # Create API client
    client = ApiClient(strategy=strategy)

    # Make API call
    response = await client.call_api(
        url="https://api.example.com/data",
        method="GET",
        headers={"Authorization": "Bearer token"},
        params={"limit": 10},
    )

    return response
"""


def test_the_basic_usage(server: FaultServer) -> None:
    server.route("/data", reply(200, json={"items": [1]}))
    get_data = run_example(BASIC, server)["get_data"]
    # Nobody closes the client: that must not leave a session behind, nor a warning.
    assert asyncio.run(get_data()) == {"items": [1]}
    (received,) = server.requests
    assert (received.method, received.query) == ("GET", "limit=10")
    assert received.headers["authorization"] == "Bearer token"


def test_the_waits_of_the_sequence_diagram(server: FaultServer, clock: VirtualClock) -> None:
    server.route("/data", reply(500), reply(500), reply(200, json={"ok": True}))
    get_data = run_example(BASIC, server)["get_data"]
    assert asyncio.run(get_data()) == {"ok": True}
    assert clock.sleeps == (2.0, 4.0)
    assert server.count("/data") == 3


VALIDATED = """
from pydantic import BaseModel
from typing import List

class DataItem(BaseModel):
    id: int
    name: str
    active: bool

class DataResponse(BaseModel):
    items: List[DataItem]
    total: int

async def get_validated_data():
    # ... client setup as above ...

    # API call with model validation
    response = await client.call_api(
        url="https://api.example.com/data",
        method="GET",
        response_key="data",  # Extract the "data" key from response
        model=DataResponse,   # Validate against this model
    )

    # response is a DataResponse instance
    return response
"""


def test_the_validated_usage(server: FaultServer) -> None:
    pytest.importorskip("pydantic")
    item = {"id": 1, "name": "a", "active": True}
    server.route("/data", reply(200, json={"data": {"items": [item], "total": 1}}))
    names = run_example(SETUP + VALIDATED, server)
    response = asyncio.run(names["get_validated_data"]())
    assert isinstance(response, names["DataResponse"])
    assert isinstance(response.items[0], names["DataItem"])
    assert response.model_dump() == {"items": [item], "total": 1}


def test_plain_types_are_models_too(server: FaultServer) -> None:
    pytest.importorskip("pydantic")
    server.route("/data", reply(200, json={"ids": [1, "2"]}))
    client: ApiClient = run_example(SETUP, server)["client"]

    async def main() -> List[int]:
        return await client.call_api(server.url("/data"), response_key="ids", model=List[int])

    assert asyncio.run(main()) == [1, 2]


LIMITED = """
# Define rate limit configuration
rate_limit_config = {
    "key": "example_api",        # Unique identifier for this rate limit
    "max_requests": 100,         # Max 100 requests
    "period": 60                 # Per 60 seconds
}

# Create strategy with rate limiting
strategy = RetryRequestStrategy(
    http=http_client,
    breaker=circuit_breaker,
    limiter=rate_limit_config,
    max_retries=3,
    backoff=2
)
"""


def test_the_rate_limited_usage(server: FaultServer) -> None:
    server.route("/data", reply(200, json=[]))
    clock = VirtualClock()

    def with_clock(**given: Any) -> RetryRequestStrategy:
        return RetryRequestStrategy(**given, clock=clock)

    names = run_example(SETUP, server)
    names["RetryRequestStrategy"] = with_clock
    exec(LIMITED, names)
    client = ApiClient(names["strategy"])

    async def main() -> None:
        for _ in range(100):
            await client.call_api(server.url("/data"))
        assert clock.sleeps == ()
        await client.call_api(server.url("/data"))

    asyncio.run(main())
    assert sum(clock.sleeps) == pytest.approx(60 / 100)


HOOK = """
from utils.api_engine.interfaces.base_request_hook import BaseRequestHook
from utils.api_engine.interfaces.base_request_model import BaseRequestModel
from typing import Any

class AuthTokenHook(BaseRequestHook):
    def __init__(self, token_provider):
        self.token_provider = token_provider

    async def before(self, request: BaseRequestModel) -> None:
        # Add Authorization header before each request
        token = await self.token_provider.get_token()
        if not request.headers:
            request.headers = {}
        request.headers["Authorization"] = f"Bearer {token}"

    async def after(self, request: BaseRequestModel, response: Any) -> None:
        # Process response if needed
        pass

# Create strategy with hooks
strategy = RetryRequestStrategy(
    http=http_client,
    breaker=circuit_breaker,
    hooks=[AuthTokenHook(token_provider)]
)
"""


class TokenProvider:
    async def get_token(self) -> str:
        return "fresh"


def test_the_usage_with_hooks(server: FaultServer) -> None:
    server.route("/data", echo())
    names = run_example(SETUP + HOOK, server, token_provider=TokenProvider())
    client = ApiClient(names["strategy"])
    for headers in (None, {"Accept": "application/json"}):
        received = asyncio.run(client.call_api(server.url("/data"), headers=headers))
        assert received["headers"]["authorization"] == "Bearer fresh"


HANDLED = """
from utils.api_engine import (
    ApiHttpError, ApiTimeoutError, ApiNetworkError, ApiError
)

async def handled(*args, **kwargs):
    try:
        response = await client.call_api(*args, **kwargs)
    except ApiHttpError as e:
        print(f"HTTP error {e.status_code}: {e}")
    except ApiTimeoutError:
        print("Request timed out")
    except ApiNetworkError:
        print("Network connectivity issue")
    except ApiError as e:
        print(f"API error: {e}")
"""


def test_the_usage_with_errors(
    server: FaultServer, clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    server.route("/missing", reply(404))
    server.route("/down", reply(503))
    server.route("/slow", reply(200, delay=60))
    server.route("/data", reply(200, json={}))
    handled = run_example(SETUP + HANDLED, server)["handled"]

    async def main(nowhere: str) -> None:
        await handled(server.url("/missing"))
        await handled(server.url("/down"))
        await handled(server.url("/data"), response_key="data")
        await handled(server.url("/slow"), timeout=0.05, max_retries=0)
        await handled(nowhere, max_retries=0)
        await handled(server.url("/data"))

    with dead_origin() as nowhere:
        asyncio.run(main(nowhere))
    starts = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert starts == [
        "HTTP error 404",
        "HTTP error 503",
        "API error",
        "Request timed out",
        "Network connectivity issue",
    ]


def test_a_listener_that_was_removed_hears_no_more(server: FaultServer) -> None:
    server.route("/data", reply(200, json=1))
    strategy: RetryRequestStrategy = run_example(SETUP, server)["strategy"]
    heard: List[Any] = []
    strategy.add_listener(heard.append)
    asyncio.run(ApiClient(strategy).call_api(server.url("/data")))
    before = len(heard)
    strategy.remove_listener(heard.append)
    asyncio.run(ApiClient(strategy).call_api(server.url("/data")))
    assert len(heard) == before > 0


# -- the interfaces, as they are printed


PARTS = """
from utils.api_engine.interfaces.base_http_client import BaseHttpClient

class CustomHttpClient(BaseHttpClient):
    async def request(self, method, url, headers=None, params=None, 
                     data=None, json_payload=None, timeout=None):
        # Custom implementation
        ...
        return response_data

from utils.api_engine.interfaces.base_rate_limiter import BaseRateLimiter

class CustomRateLimiter(BaseRateLimiter):
    async def acquire(self):
        # Custom rate limiting logic
        ...

from utils.api_engine.interfaces.base_circuit_breaker import BaseCircuitBreaker

class CustomCircuitBreaker(BaseCircuitBreaker):
    def is_open(self):
        # Custom implementation
        ...
    
    def record_failure(self):
        # Custom implementation
        ...
    
    def reset(self):
        # Custom implementation
        ...
"""  # noqa: W291, W293  # as it is printed


@pytest.mark.parametrize(
    "given",
    [
        ("CustomHttpClient",),
        ("CustomHttpClient", "CustomRateLimiter"),
        ("CustomHttpClient", "CustomCircuitBreaker"),
        ("CustomHttpClient", "CustomRateLimiter", "CustomCircuitBreaker"),
    ],
    ids="+".join,
)
def test_the_custom_parts_plug_in(server: FaultServer, given: Tuple[str, ...]) -> None:
    names = run_example(PARTS, server, response_data={"from": "custom"})
    places = {"CustomHttpClient": "http", "CustomRateLimiter": "limiter"}
    parts = {places.get(name, "breaker"): names[name]() for name in given}
    client = ApiClient(strategy=RetryRequestStrategy(**parts))
    assert asyncio.run(client.call_api("https://api.example.com/data")) == {"from": "custom"}


@pytest.mark.parametrize("base", [BaseHttpClient, BaseRateLimiter, BaseCircuitBreaker])
def test_an_interface_wants_its_methods(base: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        base()


# -- the state diagram, on the wire


def test_the_states_of_the_circuit(server: FaultServer) -> None:
    clock = VirtualClock()
    probed = []

    def probe(received: Received) -> Reply:
        probed.append(breaker.state)
        return reply(500 if len(probed) == 1 else 200, json={"ok": True})

    server.route("/data", reply(500), reply(500), probe)
    breaker = CircuitBreaker(max_failures=2, cooldown_time=60, clock=clock)
    strategy = RetryRequestStrategy(AioHttpClient(), breaker, max_retries=0, clock=clock)
    client = ApiClient(strategy)
    seen = []

    async def call() -> None:
        try:
            await client.call_api(server.url("/data"))
        except ApiError as error:
            seen.append((type(error), breaker.state))
        else:
            seen.append((None, breaker.state))

    async def main() -> None:
        for _ in range(3):
            await call()
        clock.advance(60)
        assert not breaker.is_open()
        await call()  # the probe fails
        clock.advance(60)
        await call()  # the next one succeeds

    asyncio.run(main())
    assert seen == [
        (ApiHttpError, "closed"),
        (ApiHttpError, "open"),
        (ApiCircuitOpenError, "open"),
        (ApiHttpError, "open"),
        (None, "closed"),
    ]
    assert probed == ["half-open", "half-open"]
