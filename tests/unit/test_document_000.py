"""The API reference, walked name by name: every signature, default, call shape and example."""

from __future__ import annotations

import asyncio
import inspect
import logging
from enum import Enum
from typing import Any, Callable, Dict, Iterator, List, Tuple, Union

import httpx
import pytest
import requests

import requests_connection_manager as package
from requests_connection_manager import (
    AsyncConnectionManager,
    CircuitBreakerOpen,
    ConnectionManager,
    ConnectionManagerError,
    ErrorContext,
    HookType,
    MaxRetriesExceeded,
    PluginManager,
    RateLimitExceeded,
    RequestContext,
    ResponseContext,
)
from requests_connection_manager.testing import FaultServer, VirtualClock, echo, reply

NOTHING = inspect.Parameter.empty

CONSTRUCTOR: Tuple[Tuple[str, Any], ...] = (
    ("pool_connections", 10),
    ("pool_maxsize", 10),
    ("max_retries", 3),
    ("backoff_factor", 0.3),
    ("rate_limit_requests", 100),
    ("rate_limit_period", 60),
    ("circuit_breaker_failure_threshold", 5),
    ("circuit_breaker_recovery_timeout", 60),
    ("timeout", 30),
    ("endpoint_configs", None),
    ("api_key", None),
    ("api_key_header", "X-API-Key"),
    ("bearer_token", None),
    ("oauth2_token", None),
    ("basic_auth", None),
    ("verify", True),
    ("cert", None),
    ("connect_timeout", None),
    ("read_timeout", None),
    ("ssl_context", None),
)

VERBS = ("get", "post", "put", "delete", "patch", "head", "options")

BATCH = (("requests_data", NOTHING), ("max_workers", 5), ("return_exceptions", True))

# Methods of both managers: name -> its parameters in order, with their defaults.
METHODS: Dict[str, Tuple[Tuple[str, Any], ...]] = {
    "request": (("method", NOTHING), ("url", NOTHING)),
    **dict.fromkeys(VERBS, (("url", NOTHING),)),
    "batch_request": BATCH,
    "add_endpoint_config": (("pattern", NOTHING), ("config", NOTHING)),
    "remove_endpoint_config": (("pattern", NOTHING),),
    "get_endpoint_configs": (),
    "set_api_key": (("api_key", NOTHING), ("header_name", "X-API-Key")),
    "set_bearer_token": (("token", NOTHING),),
    "set_oauth2_token": (("token", NOTHING),),
    "set_basic_auth": (("username", NOTHING), ("password", NOTHING)),
    "set_endpoint_auth": (("pattern", NOTHING), ("auth_type", NOTHING)),
    "clear_auth": (("pattern", None),),
    "set_ssl_verification": (("verify", NOTHING),),
    "set_client_certificate": (("cert", NOTHING),),
    "set_timeouts": (("connect_timeout", None), ("read_timeout", None)),
    "set_ssl_context": (("ssl_context", NOTHING),),
    "register_pre_request_hook": (("hook_func", NOTHING),),
    "register_post_response_hook": (("hook_func", NOTHING),),
    "register_error_hook": (("hook_func", NOTHING),),
    "unregister_hook": (("hook_type", NOTHING), ("hook_func", NOTHING)),
    "list_hooks": (),
    "get_stats": (),
    "close": (),
}

AWAITED = ("request", *VERBS, "batch_request", "close")

PLUGIN_MANAGER: Dict[str, Tuple[Tuple[str, Any], ...]] = {
    "register_hook": (("hook_type", NOTHING), ("hook_func", NOTHING)),
    "unregister_hook": (("hook_type", NOTHING), ("hook_func", NOTHING)),
    "execute_pre_request_hooks": (("context", NOTHING),),
    "execute_post_response_hooks": (("context", NOTHING),),
    "execute_error_hooks": (("context", NOTHING),),
    "list_hooks": (),
}

FUNCTIONS: Dict[str, Tuple[Tuple[str, Any], ...]] = {
    "safe_log_request": (
        ("method", NOTHING),
        ("url", NOTHING),
        ("headers", None),
        ("payload", None),
    ),
    "safe_log_response": (("response", NOTHING),),
    "safe_log_error": (
        ("exception", NOTHING),
        ("method", NOTHING),
        ("url", NOTHING),
        ("level", logging.ERROR),
    ),
}

CONSTANTS = {
    "DEFAULT_POOL_CONNECTIONS": 10,
    "DEFAULT_POOL_MAXSIZE": 10,
    "DEFAULT_MAX_RETRIES": 3,
    "DEFAULT_BACKOFF_FACTOR": 0.3,
    "DEFAULT_RATE_LIMIT_REQUESTS": 100,
    "DEFAULT_RATE_LIMIT_PERIOD": 60,
    "DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD": 5,
    "DEFAULT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": 60,
    "DEFAULT_TIMEOUT": 30,
    "DEFAULT_API_KEY_HEADER": "X-API-Key",
}

HOOK_TYPES = {
    "PRE_REQUEST": "pre_request",
    "POST_RESPONSE": "post_response",
    "ERROR_HANDLER": "error_handler",
}

STATS = (
    "circuit_breaker_state",
    "circuit_breaker_failure_count",
    "rate_limit_requests",
    "timeout",
    "registered_hooks",
    "endpoint_configs",
)

CLASSES = (
    "ConnectionManager",
    "AsyncConnectionManager",
    "ConnectionManagerError",
    "RateLimitExceeded",
    "CircuitBreakerOpen",
    "MaxRetriesExceeded",
    "RequestContext",
    "ResponseContext",
    "ErrorContext",
    "HookType",
    "PluginManager",
)

MANAGERS = (ConnectionManager, AsyncConnectionManager)


def parameters(function: Callable[..., Any], count: int) -> Tuple[Tuple[str, Any], ...]:
    """Return the first parameters that can be given by position, without ``self``."""
    found = [
        (one.name, one.default)
        for one in inspect.signature(function).parameters.values()
        if one.name != "self" and one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    return tuple(found[:count])


def required(function: Callable[..., Any]) -> List[str]:
    """Return the names of what must be given, without ``self``."""
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.name != "self" and one.default is NOTHING and one.kind not in variadic
    ]


def takes_keywords(function: Callable[..., Any]) -> bool:
    kinds = [one.kind for one in inspect.signature(function).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/data", echo())
        yield running


# -- names, signatures, defaults


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS, *CONSTANTS])
def test_the_package_exports_the_name(name: str) -> None:
    assert hasattr(package, name)
    assert name in package.__all__


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_constructor_has_the_documented_parameters_in_order(manager: Any) -> None:
    assert parameters(manager.__init__, len(CONSTRUCTOR)) == CONSTRUCTOR
    assert required(manager.__init__) == []
    # What comes beside them is by keyword only, so that the documented order can never shift.
    assert len(parameters(manager.__init__, 1000)) == len(CONSTRUCTOR)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("manager", MANAGERS)
def test_a_method_has_the_documented_parameters(manager: Any, name: str) -> None:
    method, wanted = getattr(manager, name), METHODS[name]
    assert parameters(method, len(wanted)) == wanted
    assert required(method) == [one for one, default in wanted if default is NOTHING]
    assert inspect.getdoc(method)


@pytest.mark.parametrize("name", ["request", *VERBS, "set_endpoint_auth"])
@pytest.mark.parametrize("manager", MANAGERS)
def test_the_open_ended_methods_take_further_keywords(manager: Any, name: str) -> None:
    assert takes_keywords(getattr(manager, name))


@pytest.mark.parametrize("name", METHODS)
def test_what_the_document_awaits_is_a_coroutine_function(name: str) -> None:
    asynchronous = inspect.iscoroutinefunction(getattr(AsyncConnectionManager, name))
    assert asynchronous is (name in AWAITED)
    assert not inspect.iscoroutinefunction(getattr(ConnectionManager, name))


def test_the_managers_are_context_managers() -> None:
    for name in ("__enter__", "__exit__"):
        assert callable(getattr(ConnectionManager, name))
    for name in ("__aenter__", "__aexit__"):
        assert inspect.iscoroutinefunction(getattr(AsyncConnectionManager, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_documented_parameters(name: str) -> None:
    assert parameters(getattr(package, name), 99) == FUNCTIONS[name]


@pytest.mark.parametrize("name", PLUGIN_MANAGER)
def test_the_plugin_manager_has_the_documented_methods(name: str) -> None:
    wanted = PLUGIN_MANAGER[name]
    assert parameters(getattr(PluginManager, name), len(wanted)) == wanted


@pytest.mark.parametrize(("name", "value"), list(CONSTANTS.items()))
def test_a_constant_has_the_documented_value(name: str, value: Any) -> None:
    assert getattr(package, name) == value
    assert type(getattr(package, name)) is type(value)


def test_the_defaults_of_the_constructor_are_the_constants() -> None:
    by_name = dict(CONSTRUCTOR)
    for name, value in CONSTANTS.items():
        assert by_name[name[len("DEFAULT_") :].lower()] == value


def test_the_hook_types() -> None:
    assert issubclass(HookType, Enum)
    assert {one.name: one.value for one in HookType} == HOOK_TYPES


def test_the_type_aliases() -> None:
    assert package.EndpointConfig == Dict[str, Any]
    assert package.RequestData == Tuple[str, str, Dict[str, Any]]
    assert package.BatchResults == List[Union[requests.Response, Exception]]


# -- exceptions and contexts


@pytest.mark.parametrize("error", [RateLimitExceeded, CircuitBreakerOpen, MaxRetriesExceeded])
def test_the_exceptions_form_the_documented_tree(error: Any) -> None:
    assert issubclass(ConnectionManagerError, Exception)
    assert issubclass(error, ConnectionManagerError)
    assert inspect.getdoc(error)
    assert str(error("said so")) == "said so"


def test_a_request_context_is_built_as_documented() -> None:
    context = RequestContext("GET", "https://api.example.com/", timeout=5, headers={"A": "b"})
    assert (context.method, context.url) == ("GET", "https://api.example.com/")
    assert context.kwargs == {"timeout": 5, "headers": {"A": "b"}}


def test_a_response_context_is_built_as_documented() -> None:
    request = RequestContext(method="GET", url="https://api.example.com/")
    response = requests.Response()
    context = ResponseContext(response=response, request_context=request)
    assert context.response is response
    assert context.request_context is request


def test_an_error_context_is_built_as_documented() -> None:
    request = RequestContext("GET", "https://api.example.com/")
    error = ValueError("x")
    context = ErrorContext(exception=error, request_context=request)
    assert (context.exception, context.request_context) == (error, request)
    assert context.handled is False
    assert context.fallback_response is None


def test_the_plugin_manager_runs_and_lists_hooks() -> None:
    plugins, seen = PluginManager(), []

    def note(context: Any) -> None:
        seen.append(type(context).__name__)

    for kind in HookType:
        plugins.register_hook(kind, note)
    request = RequestContext("GET", "https://api.example.com/")
    plugins.execute_pre_request_hooks(request)
    plugins.execute_post_response_hooks(ResponseContext(None, request))
    plugins.execute_error_hooks(ErrorContext(ValueError(), request))
    assert seen == ["RequestContext", "ResponseContext", "ErrorContext"]
    assert plugins.list_hooks() == {value: ["note"] for value in HOOK_TYPES.values()}
    plugins.unregister_hook(HookType.PRE_REQUEST, note)
    assert plugins.list_hooks()["pre_request"] == []


# -- call shapes


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_sends_its_method(server: FaultServer, verb: str) -> None:
    with ConnectionManager() as manager:
        response = getattr(manager, verb)(server.url("/data"))
        assert isinstance(response, requests.Response)
        assert response.status_code == 200
        getattr(manager, verb)(url=server.url("/data"), headers={"X-Shape": "keyword"})
        manager.request(verb.upper(), server.url("/data"))
        manager.request(method=verb, url=server.url("/data"), timeout=5)
    assert [one.method for one in server.requests] == [verb.upper()] * 4


@pytest.mark.parametrize("verb", VERBS)
def test_each_async_verb_sends_its_method(server: FaultServer, verb: str) -> None:
    async def main() -> None:
        async with AsyncConnectionManager() as manager:
            response = await getattr(manager, verb)(server.url("/data"))
            assert isinstance(response, httpx.Response)
            assert response.status_code == 200
            await getattr(manager, verb)(url=server.url("/data"), headers={"X-Shape": "keyword"})
            await manager.request(verb.upper(), server.url("/data"))
            await manager.request(method=verb.upper(), url=server.url("/data"), timeout=5)

    asyncio.run(main())
    assert [one.method for one in server.requests] == [verb.upper()] * 4


def test_the_positional_shapes_of_requests_are_taken(server: FaultServer) -> None:
    with ConnectionManager() as manager:
        manager.post(server.url("/data"), b"raw")
        manager.post(server.url("/data"), None, {"a": 1})
        manager.put(server.url("/data"), b"raw")
        manager.patch(server.url("/data"), b"raw")
        manager.request("GET", server.url("/data"), {"q": "1"}, None, {"X-Shape": "positional"})
    bodies = [one.body for one in server.requests]
    assert bodies == [b"raw", b'{"a": 1}', b"raw", b"raw", b""]
    assert server.requests[-1].query == "q=1"
    assert server.requests[-1].headers["x-shape"] == "positional"


def test_a_batch_keeps_the_order_and_returns_exceptions(server: FaultServer) -> None:
    server.route("/missing", reply(404))
    with ConnectionManager() as manager:
        results = manager.batch_request(
            [
                ("GET", server.url("/data"), {"params": {"n": "1"}}),
                ("POST", server.url("/data"), {"json": {"n": 2}}),
                ("GET", "nonsense://host/", {}),
                ("GET", server.url("/missing"), {}),
            ],
            max_workers=5,
            return_exceptions=True,
        )
        assert [type(one).__name__ for one in results] == [
            "Response",
            "Response",
            "InvalidSchema",
            "Response",
        ]
        assert [one.status_code for one in (results[0], results[1], results[3])] == [200, 200, 404]
        with pytest.raises(requests.exceptions.InvalidSchema):
            manager.batch_request([("GET", "nonsense://host/", {})], 1, False)


def test_an_async_batch_keeps_the_order_and_returns_exceptions(server: FaultServer) -> None:
    async def main() -> None:
        async with AsyncConnectionManager() as manager:
            results = await manager.batch_request(
                [
                    ("GET", server.url("/data"), {"params": {"n": "1"}}),
                    ("GET", "nonsense://host/", {}),
                ],
                max_workers=5,
                return_exceptions=True,
            )
            assert isinstance(results[0], httpx.Response)
            assert isinstance(results[1], httpx.UnsupportedProtocol)
            with pytest.raises(httpx.UnsupportedProtocol):
                await manager.batch_request([("GET", "nonsense://host/", {})], 1, False)

    asyncio.run(main())


@pytest.mark.parametrize("manager", MANAGERS)
def test_endpoint_configs_are_added_shown_and_removed(manager: Any) -> None:
    instance = manager(endpoint_configs={"api.example.com": {"timeout": 5}})
    instance.add_endpoint_config("slow.example.com", {"timeout": 90, "max_retries": 1})
    instance.add_endpoint_config(pattern="x.example.com", config={})
    assert instance.get_endpoint_configs() == {
        "api.example.com": {"timeout": 5},
        "slow.example.com": {"timeout": 90, "max_retries": 1},
        "x.example.com": {},
    }
    instance.remove_endpoint_config("slow.example.com")
    instance.remove_endpoint_config(pattern="x.example.com")
    assert list(instance.get_endpoint_configs()) == ["api.example.com"]


@pytest.mark.parametrize("name", [name for name, _ in CONSTRUCTOR[:11]])
def test_an_endpoint_may_have_each_setting_of_its_own(name: str) -> None:
    if name in ("pool_connections", "pool_maxsize", "endpoint_configs"):
        return  # these belong to the manager as a whole
    value = "key" if name == "api_key" else dict(CONSTRUCTOR)[name]
    manager = ConnectionManager()
    manager.add_endpoint_config("api.example.com", {name: value})
    assert manager.get_endpoint_configs()["api.example.com"] == {name: value}


# (what is called, the header that must arrive, its value)
AUTH_SHAPES: Tuple[Tuple[Callable[[Any, str], Any], str, str], ...] = (
    (lambda m, p: m.set_api_key("k1"), "x-api-key", "k1"),
    (lambda m, p: m.set_api_key("k1", "X-Other"), "x-other", "k1"),
    (lambda m, p: m.set_api_key(api_key="k1", header_name="X-Other"), "x-other", "k1"),
    (lambda m, p: m.set_bearer_token("t1"), "authorization", "Bearer t1"),
    (lambda m, p: m.set_oauth2_token(token="t1"), "authorization", "Bearer t1"),
    (lambda m, p: m.set_basic_auth("u", "p"), "authorization", "Basic dTpw"),
    (lambda m, p: m.set_endpoint_auth(p, "api_key", api_key="k2"), "x-api-key", "k2"),
    (
        lambda m, p: m.set_endpoint_auth(p, "api_key", api_key="k2", header_name="X-O"),
        "x-o",
        "k2",
    ),
    (lambda m, p: m.set_endpoint_auth(p, "bearer", token="t2"), "authorization", "Bearer t2"),
    (
        lambda m, p: m.set_endpoint_auth(pattern=p, auth_type="oauth2", token="t2"),
        "authorization",
        "Bearer t2",
    ),
    (
        lambda m, p: m.set_endpoint_auth(p, "basic", username="u", password="p"),
        "authorization",
        "Basic dTpw",
    ),
)


@pytest.mark.parametrize("shape", range(len(AUTH_SHAPES)))
def test_each_auth_setter_puts_its_header_on_the_request(server: FaultServer, shape: int) -> None:
    setter, name, value = AUTH_SHAPES[shape]
    pattern = server.origin
    with ConnectionManager() as manager:
        setter(manager, pattern)
        assert manager.get(server.url("/data")).json()["headers"][name] == value
        manager.clear_auth()
        if manager.get_endpoint_configs():
            manager.clear_auth(pattern)
        assert name not in manager.get(server.url("/data")).json()["headers"]

    async def main() -> None:
        async with AsyncConnectionManager() as manager:
            setter(manager, pattern)
            response = await manager.get(server.url("/data"))
            assert response.json()["headers"][name] == value
            manager.clear_auth()
            if manager.get_endpoint_configs():
                manager.clear_auth(pattern=pattern)
            response = await manager.get(server.url("/data"))
            assert name not in response.json()["headers"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"api_key": "k"}, "x-api-key", "k"),
        ({"api_key": "k", "api_key_header": "X-Mine"}, "x-mine", "k"),
        ({"bearer_token": "t"}, "authorization", "Bearer t"),
        ({"oauth2_token": "t"}, "authorization", "Bearer t"),
        ({"basic_auth": ("u", "p")}, "authorization", "Basic dTpw"),
    ],
)
def test_each_credential_of_the_constructor_arrives(
    server: FaultServer, given: Dict[str, Any], name: str, value: str
) -> None:
    with ConnectionManager(**given) as manager:
        assert manager.get(server.url("/data")).json()["headers"][name] == value

    async def main() -> None:
        async with AsyncConnectionManager(**given) as manager:
            response = await manager.get(server.url("/data"))
            assert response.json()["headers"][name] == value

    asyncio.run(main())


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_tls_and_timeout_setters_take_the_documented_shapes(manager: Any) -> None:
    import ssl

    instance = manager(timeout=30)
    instance.set_ssl_verification(False)
    instance.set_ssl_verification(verify=True)
    instance.set_timeouts(connect_timeout=3.5, read_timeout=10)
    instance.set_timeouts(5, 6)
    instance.set_timeouts(read_timeout=7)
    instance.set_timeouts()
    instance.set_ssl_context(ssl.create_default_context())
    instance.set_ssl_context(ssl_context=None)
    settings = instance.explain("GET", "https://api.example.com/")["settings"]
    assert (settings["connect_timeout"], settings["read_timeout"]) == (5, 7)


def test_a_client_certificate_is_taken_as_path_or_pair() -> None:
    manager = ConnectionManager()
    manager.set_client_certificate("client.pem")
    assert manager.cert == "client.pem"
    manager.set_client_certificate(cert=("client.crt", "client.key"))
    assert manager.cert == ("client.crt", "client.key")


def register(manager: Any, hook: Callable[[Any], None]) -> None:
    manager.register_pre_request_hook(hook)
    manager.register_post_response_hook(hook_func=hook)
    manager.register_error_hook(hook)


@pytest.mark.parametrize("manager", MANAGERS)
def test_hooks_are_registered_listed_and_unregistered(manager: Any) -> None:
    def hook(context: Any) -> None: ...

    instance = manager()
    assert instance.list_hooks() == {value: [] for value in HOOK_TYPES.values()}
    register(instance, hook)
    assert instance.list_hooks() == {value: ["hook"] for value in HOOK_TYPES.values()}
    for kind in HookType:
        instance.unregister_hook(kind, hook)
    instance.register_error_hook(hook)
    instance.unregister_hook(hook_type=HookType.ERROR_HANDLER, hook_func=hook)
    assert instance.list_hooks() == {value: [] for value in HOOK_TYPES.values()}


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_statistics_have_the_documented_keys(manager: Any) -> None:
    stats = manager().get_stats()
    for key in STATS:
        assert key in stats
    assert stats["circuit_breaker_state"] == "closed"
    assert stats["circuit_breaker_failure_count"] == 0
    assert stats["rate_limit_requests"] == 100
    assert stats["timeout"] == 30
    assert stats["registered_hooks"] == {value: [] for value in HOOK_TYPES.values()}
    assert stats["endpoint_configs"] == {}


# -- what request() raises


def test_rate_limit_exceeded(server: FaultServer) -> None:
    with ConnectionManager(rate_limit_requests=1, clock=VirtualClock()) as manager:
        manager.get(server.url("/data"))
        with pytest.raises(RateLimitExceeded):
            manager.get(server.url("/data"))


def test_circuit_breaker_open(server: FaultServer) -> None:
    server.route("/broken", reply(500))
    clock = VirtualClock()
    with ConnectionManager(
        circuit_breaker_failure_threshold=2, max_retries=0, clock=clock
    ) as manager:
        for _ in range(2):
            assert manager.get(server.url("/broken")).status_code == 500
        with pytest.raises(CircuitBreakerOpen):
            manager.get(server.url("/broken"))
        stats = manager.get_stats()
        assert stats["circuit_breaker_state"] == "open"
        assert stats["circuit_breaker_failure_count"] == 2
    assert server.count() == 2


def test_max_retries_exceeded(server: FaultServer) -> None:
    server.route("/busy", reply(503))
    with ConnectionManager(clock=VirtualClock()) as manager, pytest.raises(MaxRetriesExceeded):
        manager.get(server.url("/busy"))
    assert server.count("/busy") == 1 + CONSTANTS["DEFAULT_MAX_RETRIES"]


def test_an_error_hook_can_replace_the_error(server: FaultServer) -> None:
    fallback = requests.Response()
    fallback.status_code = 503

    def recover(context: ErrorContext) -> None:
        assert isinstance(context.exception, MaxRetriesExceeded)
        context.handled = True
        context.fallback_response = fallback

    server.route("/busy", reply(503))
    with ConnectionManager(max_retries=1, clock=VirtualClock()) as manager:
        manager.register_error_hook(recover)
        assert manager.get(server.url("/busy")) is fallback


# -- the examples, as they are printed, with another URL

EXAMPLES = {
    "basic": """
from requests_connection_manager import ConnectionManager

with ConnectionManager() as manager:
    response = manager.get('https://api.example.com/data')
    print(response.json())
""",
    "advanced": """
manager = ConnectionManager(
    pool_connections=20,
    max_retries=5,
    rate_limit_requests=200,
    bearer_token="your-token",
    timeout=45
)

with manager:
    response = manager.post(
        'https://api.example.com/data',
        json={'key': 'value'}
    )
""",
    "async": """
import asyncio
from requests_connection_manager import AsyncConnectionManager

async def main():
    async with AsyncConnectionManager() as manager:
        response = await manager.get('https://api.example.com/data')
        return response.json()

data = asyncio.run(main())
""",
    "plugin": """
def log_requests(request_context):
    print(f"Making {request_context.method} request to {request_context.url}")

manager = ConnectionManager()
manager.register_pre_request_hook(log_requests)

with manager:
    response = manager.get('https://api.example.com/data')
""",
    "context manager": """
with ConnectionManager() as manager:
    # Use manager
    pass
# Automatically cleaned up
""",
}


def run_example(name: str, server: FaultServer) -> Dict[str, Any]:
    source = EXAMPLES[name].replace("https://api.example.com", server.origin)
    names: Dict[str, Any] = {"ConnectionManager": ConnectionManager}
    exec(compile(source, f"<example {name}>", "exec"), names)
    return names


def test_the_basic_example(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("basic", server)
    assert "'path': '/data'" in capsys.readouterr().out


def test_the_advanced_example(server: FaultServer) -> None:
    names = run_example("advanced", server)
    assert names["response"].json()["body"] == '{"key": "value"}'
    assert server.requests[0].headers["authorization"] == "Bearer your-token"


def test_the_async_example(server: FaultServer) -> None:
    assert run_example("async", server)["data"]["path"] == "/data"


def test_the_plugin_example(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("plugin", server)
    assert capsys.readouterr().out == f"Making GET request to {server.url('/data')}\n"


def test_the_context_manager_example(server: FaultServer) -> None:
    run_example("context manager", server)


def test_close_may_be_called_by_hand_and_twice(server: FaultServer) -> None:
    manager = ConnectionManager()
    manager.get(server.url("/data"))
    manager.close()
    manager.close()

    async def main() -> None:
        asynchronous = AsyncConnectionManager()
        await asynchronous.get(server.url("/data"))
        await asynchronous.close()
        await asynchronous.close()

    asyncio.run(main())


def test_the_logging_helpers_take_the_documented_shapes(caplog: pytest.LogCaptureFixture) -> None:
    response = requests.Response()
    response.status_code, response.url = 200, "https://api.example.com/?token=s3cret"
    with caplog.at_level(logging.DEBUG, "requests_connection_manager"):
        package.safe_log_request("GET", "https://api.example.com/?token=s3cret")
        package.safe_log_request(
            "POST",
            "https://api.example.com/",
            headers={"Authorization": "Bearer s3cret"},
            payload={"password": "s3cret"},
        )
        package.safe_log_response(response)
        package.safe_log_error(ValueError("token=s3cret"), "GET", "https://api.example.com/")
        package.safe_log_error(ValueError("x"), "GET", "https://a.test/", level=logging.WARNING)
    assert "s3cret" not in caplog.text
    assert caplog.records[-2].levelno == logging.ERROR
    assert caplog.records[-1].levelno == logging.WARNING
    assert "api.example.com" in caplog.text
