"""Wrong input is refused with a message that names it, before anything is sent or spent."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Callable, Dict, Iterator, List, Tuple

import httpx
import pytest
import requests

from requests_connection_manager import (
    AsyncConnectionManager,
    ConnectionManager,
    HookType,
    RetryBudget,
)
from requests_connection_manager.testing import FaultServer, VirtualClock, reply

MANAGERS = (ConnectionManager, AsyncConnectionManager)
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", reply(200, body="ok"))
        yield running


# -- the constructor: (what is given, error, what the message must hold)

REFUSED: List[Tuple[Dict[str, Any], Any, Tuple[str, ...]]] = [
    ({"timeout": -1}, ValueError, ("timeout", "-1")),
    ({"timeout": "30"}, TypeError, ("timeout", "'30'")),
    ({"timeout": True}, TypeError, ("timeout", "True")),
    ({"connect_timeout": 0}, ValueError, ("connect_timeout", "0")),
    ({"read_timeout": float("nan")}, ValueError, ("read_timeout", "nan")),
    ({"total_timeout": -5}, ValueError, ("total_timeout", "-5")),
    ({"rate_limit_requests": 0}, ValueError, ("rate_limit_requests", "0")),
    ({"rate_limit_requests": 1.5}, TypeError, ("rate_limit_requests", "1.5")),
    ({"rate_limit_period": 0}, ValueError, ("rate_limit_period", "0")),
    ({"rate_limit_mode": "queue"}, ValueError, ("rate_limit_mode", "'queue'", "'wait'")),
    ({"rate_limiter": 5}, TypeError, ("rate_limiter", "5")),
    ({"pool_maxsize": "10"}, TypeError, ("pool_maxsize", "'10'")),
    ({"pool_maxsize": 0}, ValueError, ("pool_maxsize", "0")),
    ({"pool_connections": True}, TypeError, ("pool_connections", "True")),
    ({"max_retries": -1}, ValueError, ("max_retries", "-1")),
    ({"max_retries": None}, TypeError, ("max_retries", "None")),
    ({"backoff_factor": -0.1}, ValueError, ("backoff_factor", "-0.1")),
    ({"status_forcelist": 503}, TypeError, ("status_forcelist", "503")),
    ({"status_forcelist": [42]}, ValueError, ("status_forcelist", "42")),
    ({"allowed_methods": "GET"}, TypeError, ("allowed_methods", "'GET'")),
    ({"retry_budget": 500}, TypeError, ("retry_budget", "500", "RetryBudget")),
    (
        {"circuit_breaker_failure_threshold": 0},
        ValueError,
        ("circuit_breaker_failure_threshold", "0"),
    ),
    (
        {"circuit_breaker_recovery_timeout": "60"},
        TypeError,
        ("circuit_breaker_recovery_timeout", "'60'"),
    ),
    ({"half_open_max_calls": 0}, ValueError, ("half_open_max_calls", "0")),
    ({"idempotency_key_header": "a b"}, ValueError, ("idempotency_key_header", "'a b'")),
    ({"max_scopes": 0}, ValueError, ("max_scopes", "0")),
    ({"api_key_header": "X Key", "api_key": "k"}, ValueError, ("api_key_header", "'X Key'")),
    ({"api_key": 7}, TypeError, ("api_key", "int")),
    ({"basic_auth": "user:pw"}, TypeError, ("basic_auth", "tuple")),
    (
        {"bearer_token": "s3cret", "basic_auth": ("u", "s3cret")},
        ValueError,
        ("bearer_token", "basic_auth", "Authorization"),
    ),
    (
        {"bearer_token": "s3cret", "oauth2_token": "s3cret"},
        ValueError,
        ("bearer_token", "oauth2_token", "Authorization"),
    ),
    (
        {"bearer_token": "s3cret", "api_key": "s3cret", "api_key_header": "authorization"},
        ValueError,
        ("bearer_token", "api_key"),
    ),
    ({"bearer_token": "s3cret\r\nX: y"}, ValueError, ("bearer_token", "line breaks")),
    ({"api_key_query": "key"}, ValueError, ("api_key_query", "api_key")),
    (
        {"endpoint_configs": {"api.test": {"timout": 5}}},
        ValueError,
        ("timout", "timeout", "api.test"),
    ),
    (
        {"endpoint_configs": {"api.test": {"timeout": -1}}},
        ValueError,
        ("timeout", "-1", "api.test"),
    ),
    ({"endpoint_configs": {"api.test": 5}}, TypeError, ("api.test", "5")),
    ({"endpoint_configs": ["api.test"]}, TypeError, ("endpoint_configs", "api.test")),
    ({"endpoint_configs": {7: {}}}, TypeError, ("pattern", "int")),
    ({"endpoint_configs": {"": {}}}, ValueError, ("pattern",)),
    (
        {"endpoint_configs": {"/v1": {"bearer_token": "s3cret"}}},
        ValueError,
        ("/v1", "host"),
    ),
    (
        {"endpoint_configs": {"a.test": {"bearer_token": "s3cret", "basic_auth": ("u", "p")}}},
        ValueError,
        ("bearer_token", "basic_auth", "a.test"),
    ),
    ({"verify": 5}, TypeError, ("verify", "5")),
    ({"verify": None}, TypeError, ("verify", "None")),
    ({"cert": 5}, TypeError, ("cert", "5")),
    ({"cert": ("a",)}, TypeError, ("cert", "('a',)")),
    ({"ssl_context": True}, TypeError, ("ssl_context", "True")),
    ({"ssl_context": CONTEXT, "verify": False}, ValueError, ("ssl_context", "verify")),
    ({"ssl_context": CONTEXT, "verify": "/ca.pem"}, ValueError, ("ssl_context", "verify")),
    ({"ssl_context": CONTEXT, "cert": "/c.pem"}, ValueError, ("ssl_context", "cert")),
    ({"clock": 5}, TypeError, ("clock", "5")),
    ({"timout": 5}, TypeError, ("timout",)),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
@pytest.mark.parametrize("manager", MANAGERS)
def test_the_constructor_refuses(manager: Any, case: int) -> None:
    given, error, parts = REFUSED[case]
    with pytest.raises(error) as caught:
        manager(**given)
    for part in parts:
        assert part in str(caught.value)
    assert "s3cret" not in str(caught.value)


# -- a call: nothing is sent, no token is spent, the breaker hears nothing

CALLS: List[Tuple[str, Dict[str, Any], Tuple[str, ...]]] = [
    ("", {}, ()),
    ("nonsense", {}, ("nonsense",)),
    ("ftp://host.test/file", {}, ("ftp://",)),
    ("nonsense://host.test/", {}, ("nonsense://",)),
    ("http://", {}, ()),
    ("http:///path", {}, ()),
    ("http://[::1", {}, ()),
    ("http://host.test:port/", {}, ("port",)),
    ("http://host.test:99999/", {}, ()),
    ("{}", {"timout": 5}, ("timout", "did you mean 'timeout'")),
    ("{}", {"max_retry": 5}, ("max_retry", "max_retries")),
    ("{}", {"nonsense": 5}, ("nonsense",)),
    ("{}", {"timeout": -1}, ("timeout", "-1")),
    ("{}", {"timeout": (-1, 5)}, ("timeout", "-1")),
    ("{}", {"timeout": "5"}, ("imeout", "5")),
    ("{}", {"total_timeout": -1}, ("total_timeout", "-1")),
    ("{}", {"total_timeout": "5"}, ("total_timeout", "'5'")),
    ("{}", {"max_retries": -1}, ("max_retries", "-1")),
    ("{}", {"rate_limit_mode": "never"}, ("rate_limit_mode", "'never'")),
    ("{}", {"rate_limit_requests": 5}, ("rate_limit_requests", "5")),
    ("{}", {"bearer_token": "s3cret"}, ("bearer_token",)),
    ("{}", {"headers": {"X-Bad": "a\r\nInjected: b"}}, ()),
]


def untouched(manager: Any, server: FaultServer, connections: int = 0) -> None:
    assert server.count() == 0
    assert server.connections <= connections
    stats = manager.get_stats()
    assert stats["circuit_breaker_failure_count"] == 0
    for scope in stats["scopes"].values():
        assert scope["rate_limit_fill"] == 0.0
        assert scope["retries"] == 0


LIMITED: Dict[str, Any] = {"rate_limit_requests": 1, "circuit_breaker_failure_threshold": 1}


@pytest.mark.parametrize("case", range(len(CALLS)))
def test_a_call_is_refused_before_anything_is_spent(server: FaultServer, case: int) -> None:
    url, kwargs, parts = CALLS[case]
    with ConnectionManager(**LIMITED, clock=VirtualClock()) as manager:
        with pytest.raises((TypeError, ValueError)) as caught:
            manager.get(url.format(server.url("/")), **kwargs)
        for part in parts:
            assert part in str(caught.value)
        assert "s3cret" not in str(caught.value)
        untouched(manager, server)
        assert manager.get(server.url("/")).text == "ok"


@pytest.mark.parametrize("case", range(len(CALLS)))
def test_an_async_call_is_refused_before_anything_is_spent(server: FaultServer, case: int) -> None:
    url, kwargs, parts = CALLS[case]
    library: Any = (TypeError, ValueError, httpx.HTTPError, httpx.InvalidURL)

    async def main() -> None:
        async with AsyncConnectionManager(
            **LIMITED, clock=VirtualClock(), ssl_context=CONTEXT
        ) as manager:
            with pytest.raises(library) as caught:
                await manager.get(url.format(server.url("/")), **kwargs)
            shown = str(caught.value)
            if not isinstance(caught.value, (httpx.HTTPError, httpx.InvalidURL)):
                for part in parts:
                    assert part in shown
            assert "s3cret" not in shown
            # httpx checks the values of headers once it has connected.
            untouched(manager, server, connections=1 if "headers" in kwargs else 0)
            response = await manager.get(server.url("/"))
            assert response.text == "ok"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nonsense", requests.exceptions.MissingSchema),
        ("ftp://host.test/", requests.exceptions.InvalidSchema),
        ("http://", requests.exceptions.InvalidURL),
    ],
)
def test_a_bad_url_is_requests_own_error(url: str, error: Any) -> None:
    with ConnectionManager() as manager, pytest.raises(error) as caught:
        manager.get(url)
    with requests.Session() as session, pytest.raises(error) as theirs:
        session.get(url)
    assert type(caught.value) is type(theirs.value)
    assert str(caught.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("method", "kwargs"),
    [("send", {"timout": 5}), ("send", {"total_timeout": -1}), ("send", {"verify_": True})],
)
def test_send_refuses_too(server: FaultServer, method: str, kwargs: Dict[str, Any]) -> None:
    with ConnectionManager(**LIMITED, clock=VirtualClock()) as manager:
        prepared = manager.prepare_request(requests.Request("GET", server.url("/")))
        with pytest.raises((TypeError, ValueError), match=next(iter(kwargs))):
            getattr(manager, method)(prepared, **kwargs)
        untouched(manager, server)
        assert manager.send(prepared).text == "ok"


@pytest.mark.parametrize("given", [{"verify": False}, {"cert": "/client.pem"}])
def test_a_call_with_tls_settings_beside_a_context_is_refused(
    server: FaultServer, given: Dict[str, Any]
) -> None:
    with ConnectionManager(ssl_context=CONTEXT) as manager:
        with pytest.raises(ValueError, match="ssl_context together with"):
            manager.get(server.url("/"), **given)
        untouched(manager, server)


# -- batches

ITEMS: List[Tuple[Any, str]] = [
    ([("GET", "{}"), ("GET",)], r"requests_data\[1\]"),
    ([("GET", "{}", {}), ("GET", "{}", {}, 1)], r"requests_data\[1\]"),
    ([("GET", "{}", {}), "GET"], r"requests_data\[1\].*'GET'"),
    ([("GET", "{}", {}), None], r"requests_data\[1\].*None"),
    ([("GET", "{}", {}), {"method": "GET"}], r"requests_data\[1\].*dict"),
    ([("GET", "{}", {}), (7, "{}", {})], r"requests_data\[1\].*method.*7"),
    ([("GET", "{}", {}), ("GET", "{}", 5)], r"requests_data\[1\].*kwargs"),
    ([("GET", "{}", {}), ("GET", "{}", {7: 5})], r"requests_data\[1\].*kwargs"),
    ([("GET", "{}", {}), ("GET", None, {})], r"requests_data\[1\].*url.*None"),
    ("GET", "requests_data"),
    (7, "requests_data.*7"),
    (None, "requests_data.*None"),
]


def filled(items: Any, server: FaultServer) -> Any:
    if not isinstance(items, list):
        return items
    url = server.url("/")
    return [
        tuple(url if part == "{}" else part for part in item) if type(item) is tuple else item
        for item in items
    ]


@pytest.mark.parametrize(("items", "message"), ITEMS)
def test_a_batch_is_checked_before_its_first_call(
    server: FaultServer, items: Any, message: str
) -> None:
    with ConnectionManager() as manager:
        with pytest.raises(TypeError, match=message):
            manager.batch_request(filled(items, server))
        untouched(manager, server)

    async def main() -> None:
        async with AsyncConnectionManager(ssl_context=CONTEXT) as asynchronous:
            with pytest.raises(TypeError, match=message):
                await asynchronous.batch_request(filled(items, server))
            untouched(asynchronous, server)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("workers", "error"), [(0, ValueError), (-1, ValueError), ("5", TypeError), (True, TypeError)]
)
def test_the_number_of_workers_is_checked(server: FaultServer, workers: Any, error: Any) -> None:
    with ConnectionManager() as manager:
        with pytest.raises(error, match=f"max_workers.*{workers!r}"):
            manager.batch_request([("GET", server.url("/"), {})], workers)
        untouched(manager, server)


# -- changes at run time: refused, and nothing has changed

CHANGES: List[Tuple[Callable[[Any], Any], Any, Tuple[str, ...]]] = [
    (lambda m: m.add_endpoint_config("api.test", {"timout": 5}), ValueError, ("timout",)),
    (lambda m: m.add_endpoint_config("api.test", {"timeout": -1}), ValueError, ("-1",)),
    (lambda m: m.add_endpoint_config("api.test", None), TypeError, ("api.test", "None")),
    (lambda m: m.add_endpoint_config(None, {}), TypeError, ("None",)),
    (lambda m: m.add_endpoint_config("/v1", {"api_key": "s3cret"}), ValueError, ("/v1", "host")),
    (lambda m: m.add_endpoint_config("[::1", {}), ValueError, ("[::1",)),
    (lambda m: m.remove_endpoint_config("api.test"), ValueError, ("api.test", "none")),
    (lambda m: m.clear_auth("api.test"), ValueError, ("api.test",)),
    (lambda m: m.set_api_key(None), TypeError, ("api_key",)),
    (lambda m: m.set_api_key("k", "a b"), ValueError, ("api_key_header", "'a b'")),
    (lambda m: m.set_bearer_token(7), TypeError, ("bearer_token",)),
    (lambda m: m.set_bearer_token("a\nb"), ValueError, ("bearer_token",)),
    (lambda m: m.set_oauth2_token(None), TypeError, ("oauth2_token",)),
    (lambda m: m.set_basic_auth("a:b", "s3cret"), ValueError, ("basic_auth",)),
    (lambda m: m.set_basic_auth("user", 7), TypeError, ("basic_auth",)),
    (
        lambda m: m.set_api_key("s3cret", "Authorization") or m.set_bearer_token("s3cret"),
        ValueError,
        ("api_key", "bearer_token"),
    ),
    (
        lambda m: m.set_endpoint_auth("a.test", "digest", username="u", password="s3cret"),
        ValueError,
        ("auth_type", "'digest'", "'bearer'"),
    ),
    (lambda m: m.set_endpoint_auth("a.test", None), ValueError, ("auth_type", "None")),
    (lambda m: m.set_endpoint_auth("a.test", "bearer"), TypeError, ("token",)),
    (
        lambda m: m.set_endpoint_auth("a.test", "bearer", tokn="s3cret"),
        TypeError,
        ("tokn", "token"),
    ),
    (lambda m: m.set_endpoint_auth("a.test", "basic", username="u"), TypeError, ("password",)),
    (lambda m: m.set_endpoint_auth("/v1", "bearer", token="s3cret"), ValueError, ("/v1", "host")),
    (lambda m: m.set_timeouts(connect_timeout=-1), ValueError, ("connect_timeout", "-1")),
    (lambda m: m.set_timeouts(read_timeout="5"), TypeError, ("read_timeout", "'5'")),
    (lambda m: m.set_ssl_verification(None), TypeError, ("verify", "None")),
    (lambda m: m.set_client_certificate(5), TypeError, ("cert", "5")),
    (lambda m: m.set_ssl_context("context"), TypeError, ("ssl_context", "'context'")),
    (lambda m: m.register_pre_request_hook(5), TypeError, ("hook_func", "5")),
    (lambda m: m.register_error_hook(None), TypeError, ("hook_func", "None")),
    (lambda m: m.unregister_hook(HookType.PRE_REQUEST, print), ValueError, ("print",)),
    (lambda m: m.unregister_hook("pre_request", print), TypeError, ("hook_type",)),
    (lambda m: m.add_listener("listener"), TypeError, ("listener",)),
    (lambda m: m.remove_listener(print), ValueError, ("listener",)),
]


@pytest.mark.parametrize("case", range(len(CHANGES)))
@pytest.mark.parametrize("manager", MANAGERS)
def test_a_change_is_refused_and_changes_nothing(manager: Any, case: int) -> None:
    change, error, parts = CHANGES[case]
    instance = manager(ssl_context=CONTEXT)
    before = instance.get_stats()
    with pytest.raises(error) as caught:
        change(instance)
    for part in parts:
        assert part in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert instance.get_stats() == before


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_context_and_other_tls_settings_exclude_each_other_at_run_time_too(manager: Any) -> None:
    instance = manager(ssl_context=CONTEXT)
    with pytest.raises(ValueError, match="ssl_context together with verify"):
        instance.set_ssl_verification(False)
    with pytest.raises(ValueError, match="ssl_context together with cert"):
        instance.set_client_certificate("/client.pem")
    instance.set_ssl_context(None)
    instance.set_ssl_verification(False)
    with pytest.raises(ValueError, match="ssl_context together with verify"):
        instance.set_ssl_context(CONTEXT)


def test_a_coroutine_hook_on_the_sync_manager_is_refused_at_registration() -> None:
    async def hook(context: Any) -> None: ...

    manager = ConnectionManager()
    for register in (
        manager.register_pre_request_hook,
        manager.register_post_response_hook,
        manager.register_error_hook,
    ):
        with pytest.raises(TypeError, match="'hook' is a coroutine function"):
            register(hook)
    assert manager.list_hooks()["pre_request"] == []


def test_a_missing_certificate_file_is_told_before_anything_is_sent(server: FaultServer) -> None:
    with pytest.raises(OSError):
        AsyncConnectionManager(verify="/does/not/exist.pem")
    asynchronous = AsyncConnectionManager(ssl_context=None)
    with pytest.raises(OSError):
        asynchronous.set_client_certificate("/does/not/exist.pem")


def test_verify_false_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    ConnectionManager(verify=False)
    assert "verify=False" in caplog.text
    assert caplog.records[0].levelname == "WARNING"


def test_everything_at_once_is_taken() -> None:
    given: Dict[str, Any] = {
        "timeout": (3.05, 27),
        "total_timeout": 60,
        "max_retries": 0,
        "rate_limit_requests": None,
        "circuit_breaker_failure_threshold": None,
        "retry_budget": None,
        "bearer_token": "t",
        "api_key": "k",
        "endpoint_configs": {"api.test": {"retry_budget": RetryBudget(), "timeout": None}},
        "allowed_methods": None,
        "status_forcelist": (),
        "backoff_jitter": 0,
    }
    assert ConnectionManager(**given).get_stats()["circuit_breaker_state"] == "disabled"
