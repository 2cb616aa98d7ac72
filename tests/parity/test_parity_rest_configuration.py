"""The configuration of a REST client: what goes before what, that it can't be changed, siblings."""

from __future__ import annotations

import ssl

import httpx
import pytest
from rest_drivers import Servers

from requests_connection_manager import (
    CircuitBreakerOpen,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.rest import (
    HeaderVersion,
    JsonSerializer,
    MediaTypeVersion,
    PathVersion,
    QueryVersion,
)
from requests_connection_manager.testing import echo, reply

BASE = "https://api.test/v1"


# -- precedence (document 003, 7.2)


class World:
    """One client whose every request is seen, and how a setting shows in what it does."""

    def __init__(self, rest, clock):
        self.rest, self.clock = rest, clock
        self.servers = Servers(self.answer)
        self.status, self.headers = 200, {}

    def answer(self, request):
        return httpx.Response(self.status, headers=self.headers, text="body")

    def get(self, options, of_call, method="GET", **more):
        client = self.rest.client(
            BASE, transport=self.servers.transport, clock=self.clock, **options
        )
        self.servers.requests.clear()
        self.error = None
        try:
            return client.request(method, "/x", **of_call, **more)
        except Exception as exc:
            self.error = exc
            return None

    @property
    def sent(self):
        return len(self.servers.requests)


def retries(world, *given):
    world.status = 503
    world.get(*given)
    return world.sent - 1


def first_delay(world, *given):
    world.status = 503
    world.get(*given)
    return round(world.clock.sleeps[-3], 6)


def longest_delay(world, *given):
    world.status = 503
    world.get(*given)
    return max(world.clock.sleeps[-3:])


def jitter(world, *given):
    world.status = 503
    world.get(*given)
    return world.clock.sleeps[-3] > 0.3


def retried(status, method="GET"):
    def show(world, *given):
        world.status = status
        world.get(*given, method=method)
        return world.sent > 1

    return show


def raised(status):
    def show(world, *given):
        world.status = status
        world.get(*given)
        return type(world.error).__name__ if world.error else None

    return show


def waits_for(hint):
    def show(world, *given):
        world.status, world.headers = 503, {"Retry-After": str(hint)}
        world.get(*given)
        return world.sent > 1

    return show


def key_sent(world, *given):
    world.get(*given, method="POST")
    names = world.servers.last.headers
    return next((name for name in ("idempotency-key", "x-key") if name in names), None)


def timeout(part):
    def show(world, *given):
        world.get(*given)
        return world.servers.last.extensions["timeout"][part]

    return show


def sent(name):
    def show(world, *given):
        world.get(*given)
        return world.servers.last.headers.get(name)

    return show


def query(world, *given):
    world.get(*given)
    return world.servers.last.url.query.decode()


def follows(world, *given):
    world.status, world.headers = 302, {"Location": "/v1/x"}
    world.get(*given)
    return world.sent > 1


def breaker_on(world, *given):
    world.status = 500
    options, of_call = given
    client = world.rest.client(
        BASE, transport=world.servers.transport, clock=world.clock, max_retries=0, **options
    )
    for _ in range(10):
        with pytest.raises((HTTPError, CircuitBreakerOpen)):
            client.get("/x", **of_call)
    return world.sent < 10


def limit_waits(world, *given):
    options, of_call = given
    client = world.rest.client(
        BASE, transport=world.servers.transport, clock=world.clock, **options
    )
    before = len(world.clock.sleeps)
    for _ in range(2):
        try:
            client.get("/x", **of_call)
        except RateLimitExceeded:
            return "raised"
    return "waited" if len(world.clock.sleeps) > before else "sent"


USER_AGENT = "requests-connection-manager/"
VERSIONS = {"versioning": HeaderVersion("X-Version")}

# How it shows; library default; client has, and that; the call has, and that.
PRECEDENCE = {
    "max_retries": (retries, 3, {"max_retries": 1}, 1, {"max_retries": 2}, 2),
    "max_retries off": (retries, 3, {"max_retries": 2}, 2, {"max_retries": 0}, 0),
    "backoff_factor": (first_delay, 0.3, {"backoff_factor": 1}, 1, {"backoff_factor": 2}, 2),
    "backoff_max": (longest_delay, 1.2, {"backoff_max": 1}, 1, {"backoff_max": 0.5}, 0.5),
    "backoff_jitter": (jitter, False, {"backoff_jitter": 0}, False, {"backoff_jitter": 1}, True),
    "status_forcelist": (
        *(retried(501), False, {"status_forcelist": [501]}, True),
        *({"status_forcelist": [502]}, False),
    ),
    "allowed_methods": (
        *(retried(503, "POST"), False, {"allowed_methods": ["POST"]}, True),
        *({"allowed_methods": ["GET"]}, False),
    ),
    "raise_for_status": (
        *(raised(404), "HttpxStatus", {"raise_for_status": False}, None),
        *({"raise_for_status": True}, "HttpxStatus"),
    ),
    "raise_on_status": (
        *(raised(503), "HttpxMaxRetriesStatus", {"raise_on_status": False}, "HttpxStatus"),
        *({"raise_on_status": True}, "HttpxMaxRetriesStatus"),
    ),
    "ok_statuses": (
        *(raised(404), "HttpxStatus", {"ok_statuses": [404]}, None),
        *({"ok_statuses": []}, "HttpxStatus"),
    ),
    "retry_after_max": (
        *(waits_for(60), True, {"retry_after_max": 10}, False),
        *({"retry_after_max": 90}, True),
    ),
    "idempotency_key_header": (
        *(key_sent, None, {"idempotency_key_header": "Idempotency-Key"}, "idempotency-key"),
        *({"idempotency_key_header": "X-Key"}, "x-key"),
    ),
    "timeout": (timeout("read"), 30, {"timeout": 5}, 5, {"timeout": 7}, 7),
    "timeout none": (timeout("read"), 30, {"timeout": 5}, 5, {"timeout": None}, None),
    "connect_timeout": (
        *(timeout("connect"), 30, {"connect_timeout": 5}, 5),
        *({"connect_timeout": 7}, 7),
    ),
    "read_timeout": (timeout("read"), 30, {"read_timeout": 5}, 5, {"read_timeout": 7}, 7),
    "total_timeout": (timeout("read"), 30, {"total_timeout": 5}, 5, {"total_timeout": 7}, 7),
    "total_timeout none": (
        *(timeout("read"), 30, {"total_timeout": 5}, 5),
        *({"total_timeout": None}, 30),
    ),
    "circuit breaker": (
        *(breaker_on, True, {"circuit_breaker_failure_threshold": 2}, True),
        *({"circuit_breaker_failure_threshold": None}, False),
    ),
    "rate_limit_requests": (
        *(limit_waits, "sent", {"rate_limit_requests": 1}, "waited"),
        *({"rate_limit_requests": None}, "sent"),
    ),
    "rate_limit_mode": (
        limit_waits,
        "sent",
        {"rate_limit_requests": 1, "rate_limit_mode": "raise"},
        "raised",
        {"rate_limit_mode": "wait"},
        "waited",
    ),
    "follow_redirects": (
        *(follows, True, {"follow_redirects": False}, False),
        *({"follow_redirects": True}, True),
    ),
    "headers": (
        *(sent("X-Team"), None, {"headers": {"X-Team": "a"}}, "a"),
        *({"headers": {"X-Team": "b"}}, "b"),
    ),
    "accept": (
        *(sent("Accept"), "*/*", {"headers": {"Accept": "text/a"}}, "text/a"),
        *({"headers": {"Accept": "text/b"}}, "text/b"),
    ),
    "params": (
        *(query, "", {"params": {"lang": "en"}}, "lang=en"),
        *({"params": {"lang": "de"}}, "lang=de"),
    ),
    "bearer_token": (
        *(sent("Authorization"), None, {"bearer_token": "a"}, "Bearer a"),
        *({"bearer_token": "b"}, "Bearer b"),
    ),
    "basic_auth": (
        *(sent("Authorization"), None, {"basic_auth": ("a", "b")}, "Basic YTpi"),
        *({"basic_auth": ("c", "d")}, "Basic Yzpk"),
    ),
    "api_key": (sent("X-API-Key"), None, {"api_key": "a"}, "a", {"api_key": "b"}, "b"),
    "auth": (
        *(sent("Authorization"), None, {"auth": ("a", "b")}, "Basic YTpi"),
        *({"auth": ("c", "d")}, "Basic Yzpk"),
    ),
    "auth none": (
        *(sent("Authorization"), None, {"bearer_token": "a"}, "Bearer a"),
        *({"auth": None}, None),
    ),
    "api_version": (
        *(sent("X-Version"), None, {**VERSIONS, "api_version": "1"}, "1"),
        *({"api_version": "2"}, "2"),
    ),
    "api_version none": (
        *(sent("X-Version"), None, {**VERSIONS, "api_version": "1"}, "1"),
        *({"api_version": None}, None),
    ),
    "cookies": (
        *(sent("Cookie"), None, {"cookies": {"a": "1"}}, "a=1"),
        *({"headers": {"Cookie": "a=2"}}, "a=2"),
    ),
}


@pytest.mark.parametrize("option", PRECEDENCE)
def test_the_call_goes_before_the_client_and_that_before_the_library(rest, clock, option):
    show, default, of_client, with_client, of_call, with_call = PRECEDENCE[option]
    assert with_client != with_call or default != with_client, "the row shows nothing"
    assert show(World(rest, clock), {}, {}) == default
    assert show(World(rest, clock), of_client, {}) == with_client
    assert show(World(rest, clock), of_client, of_call) == with_call


def test_the_user_agent_of_the_library_the_client_and_the_call(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    client.get("/x")
    assert servers.last.headers["User-Agent"].startswith(USER_AGENT)
    sibling = client.with_options(user_agent="shop/1")
    sibling.get("/x")
    assert servers.last.headers["User-Agent"].startswith("shop/1 " + USER_AGENT)
    sibling.get("/x", headers={"User-Agent": "probe"})
    assert servers.last.headers["User-Agent"] == "probe"


def test_an_endpoint_goes_before_the_client_and_after_the_call(rest, clock):
    servers = Servers(httpx.Response(503))
    endpoints = {"api.test/v1/slow": {"max_retries": 2}}
    client = rest.client(
        BASE,
        transport=servers.transport,
        clock=clock,
        endpoint_configs=endpoints,
        circuit_breaker_failure_threshold=None,
        retry_budget=None,
    )
    for path, options, sent_ in (
        ("/x", {}, 4),
        ("/slow", {}, 3),
        ("/slow", {"max_retries": 1}, 2),
    ):
        servers.requests.clear()
        with pytest.raises(MaxRetriesExceeded):
            client.get(path, **options)
        assert len(servers.requests) == sent_


# -- immutability


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth", ("a", "b")),
        ("base_url", "https://other.test"),
        ("event_hooks", {}),
        ("follow_redirects", False),
        ("headers", {}),
        ("max_redirects", 3),
        ("params", {}),
        ("timeout", 3),
        ("trust_env", False),
        ("serializer", JsonSerializer()),
    ],
)
def test_no_attribute_can_be_set(rest, servers, name, value):
    client = rest.client(BASE, transport=servers.transport).client
    before = getattr(client, name)
    with pytest.raises(AttributeError, match=rf"can't set {name}: .*with_options"):
        setattr(client, name, value)
    with pytest.raises(AttributeError, match=rf"can't set {name}: .*with_options"):
        setattr(client.with_options(max_retries=1), name, value)
    assert getattr(client, name) == before


@pytest.mark.parametrize(
    ("setter", "arguments"),
    [
        ("set_api_key", ("k",)),
        ("set_bearer_token", ("t",)),
        ("set_oauth2_token", ("t",)),
        ("set_basic_auth", ("u", "p")),
        ("set_endpoint_auth", ("api.test", "bearer")),
        ("clear_auth", ()),
        ("set_timeouts", (1, 2)),
        ("add_endpoint_config", ("api.test", {"timeout": 3})),
        ("remove_endpoint_config", ("api.test/v1",)),
        ("set_ssl_verification", (False,)),
        ("set_client_certificate", ("/no/such/file",)),
        ("set_ssl_context", (ssl.create_default_context(),)),
    ],
)
def test_no_setter_works(rest, servers, setter, arguments):
    endpoints = {"api.test/v1": {"timeout": 5}}
    client = rest.client(
        BASE, transport=servers.transport, bearer_token="t", endpoint_configs=endpoints
    )
    more = {"token": "t"} if setter == "set_endpoint_auth" else {}
    for one in (client.client, client.client.with_options(max_retries=1)):
        with pytest.raises(AttributeError, match="immutable"):
            getattr(one, setter)(*arguments, **more)
    client.get("/x")
    assert servers.last.headers["Authorization"] == "Bearer t"
    assert servers.last.extensions["timeout"]["read"] == 5
    assert client.get_endpoint_configs() == endpoints


def test_update_settings_does_not_work(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    for one in (client.client, client.client.with_options(timeout=1)):
        with pytest.raises(AttributeError, match="immutable"):
            one.update_settings(max_retries=5)


def test_the_headers_can_only_be_read(rest, servers):
    client = rest.client(BASE, headers={"X-Team": "a"}, transport=servers.transport)
    headers = client.client.headers
    for change in (
        lambda: headers.__setitem__("X-Team", "b"),
        lambda: headers.__delitem__("X-Team"),
        lambda: headers.update({"X-Team": "b"}),
        lambda: headers.setdefault("X-New", "b"),
        lambda: headers.pop("X-Team"),
        lambda: headers.popitem(),
        lambda: headers.clear(),
    ):
        with pytest.raises(TypeError, match="immutable"):
            change()
    assert headers["x-team"] == "a"
    assert "X-New" not in headers
    copy = headers.copy()
    copy["X-Team"] = "b"
    client.get("/x")
    assert servers.last.headers["X-Team"] == "a"


def test_the_parameters_can_only_be_read(rest, servers):
    client = rest.client(BASE, params={"a": "1"}, transport=servers.transport).client
    with pytest.raises(RuntimeError, match="immutable"):
        client.params["a"] = "2"
    assert str(client.params.set("a", "2")) == "a=2"
    assert str(client.params) == "a=1"


def test_the_event_hooks_can_only_be_read(rest, servers):
    seen = []
    hooks = {"request": [rest.hook(lambda request: seen.append(1))]}
    client = rest.client(BASE, transport=servers.transport, event_hooks=hooks)
    hooks["request"].append(rest.hook(lambda request: seen.append(2)))
    with pytest.raises(AttributeError):
        client.client.event_hooks["request"].append(print)
    with pytest.raises(TypeError):
        client.client.event_hooks["request"] = [print]
    client.get("/x")
    assert seen == [1]


def test_what_was_given_can_be_changed_without_effect(rest, servers):
    headers, params = {"X-Team": "a"}, {"lang": "en"}
    client = rest.client(BASE, headers=headers, params=params, transport=servers.transport)
    headers["X-Team"] = params["lang"] = "changed"
    client.get("/x")
    assert servers.last.headers["X-Team"] == "a"
    assert servers.last.url.query == b"lang=en"


def test_it_says_what_it_is(rest):
    client = rest.client("https://user:s3cret@api.test/v1").client
    assert repr(client).startswith(f"{type(client).__name__}(base_url='https://")
    assert "s3cret" not in repr(client)
    assert str(client.base_url).rstrip("/").endswith("api.test/v1")


# -- siblings


def test_a_sibling_differs_in_what_it_says_and_in_nothing_else(rest, servers):
    client = rest.client(
        BASE,
        transport=servers.transport,
        headers={"X-Team": "a", "X-Same": "s"},
        params={"lang": "en", "same": "s"},
        bearer_token="a",
        timeout=5,
    )
    sibling = client.with_options(
        headers={"x-team": "b"}, params={"lang": "de"}, bearer_token="b", timeout=7
    )
    seen = []
    for one in (sibling, client, sibling.with_options(headers={"X-Team": "c"})):
        one.get("/x")
        last = servers.last
        seen.append(
            (
                *(last.headers[name] for name in ("X-Team", "X-Same", "Authorization")),
                dict(last.url.params),
                last.extensions["timeout"]["read"],
            )
        )
    assert seen == [
        ("b", "s", "Bearer b", {"lang": "de", "same": "s"}, 7),
        ("a", "s", "Bearer a", {"lang": "en", "same": "s"}, 5),
        ("c", "s", "Bearer b", {"lang": "de", "same": "s"}, 7),
    ]
    assert type(sibling.client) is type(client.client)


@pytest.mark.parametrize(
    ("of_client", "of_sibling", "name", "value"),
    [
        ({"headers": {"Authorization": "a"}}, {"bearer_token": "b"}, "Authorization", "Bearer b"),
        ({"headers": {"Authorization": "a"}}, {"auth": ("a", "b")}, "Authorization", "Basic YTpi"),
        ({"bearer_token": "a"}, {"headers": {"Authorization": "b"}}, "Authorization", "b"),
        ({"bearer_token": "a"}, {"basic_auth": ("a", "b")}, "Authorization", "Basic YTpi"),
        ({"bearer_token": "a"}, {"auth": ("a", "b")}, "Authorization", "Basic YTpi"),
        ({"auth": ("c", "d")}, {"auth": ("a", "b")}, "Authorization", "Basic YTpi"),
        ({"auth": ("c", "d")}, {"auth": None}, "Authorization", None),
        ({"auth": ("c", "d")}, {"bearer_token": "b"}, "Authorization", "Bearer b"),
        ({"bearer_token": "a"}, {"bearer_token": None}, "Authorization", None),
        ({"api_key": "a"}, {"api_key": "b"}, "X-API-Key", "b"),
        ({"api_key": "a"}, {"api_key": None}, "X-API-Key", None),
        ({"api_key": "a"}, {"api_key_header": "X-K"}, "X-K", "a"),
        ({"api_key": "a"}, {"max_retries": 0}, "X-API-Key", "a"),
        ({"api_key": "a"}, {"bearer_token": "b"}, "X-API-Key", "a"),
    ],
)
def test_the_credentials_of_a_sibling(rest, servers, of_client, of_sibling, name, value):
    client = rest.client(BASE, transport=servers.transport, **of_client)
    client.get("/x")
    before = servers.last.headers.raw
    sibling = client.with_options(**of_sibling)
    for one in (sibling, sibling.with_options(timeout=3)):
        one.get("/x")
        assert servers.last.headers.get(name) == value
    client.get("/x")
    assert servers.last.headers.raw == before


def test_siblings_share_connections_and_statistics(rest, server):
    server.route("/x", reply(200))
    client = rest.client(server.origin)
    sibling = client.with_options(timeout=3)
    for one in (client, sibling, sibling.with_options(max_retries=0)):
        one.get("/x")
    assert server.connections == 1
    assert client.get_stats() == {**sibling.get_stats(), "timeout": 30}


def test_siblings_share_a_limiter(rest, servers, clock):
    client = rest.client(
        BASE,
        transport=servers.transport,
        clock=clock,
        rate_limit_requests=1,
        rate_limit_period=10,
    )
    client.get("/x")
    client.with_options(timeout=3).get("/x")
    assert clock.sleeps == (10,)


def test_siblings_share_cookies(rest, server):
    server.route("/x", reply(200, headers={"Set-Cookie": "id=7; Path=/"}))
    server.route("/y", echo())
    client = rest.client(server.origin)
    client.with_options(timeout=3).get("/x")
    assert client.get("/y").json()["headers"]["cookie"] == "id=7"


@pytest.mark.parametrize(
    "own",
    [{"bearer_token": "b"}, {"auth": ("b", "b")}, {"api_key": "b"}, {"basic_auth": ("b", "b")}],
    ids=lambda own: next(iter(own)),
)
def test_a_sibling_for_somebody_else_begins_without_cookies(rest, server, own):
    server.route("/v1/login", reply(200, headers={"Set-Cookie": "session=of-a; Path=/"}))
    server.route("/v1/me", reply(200))
    first = rest.client(server.url("/v1"), bearer_token="a", cookies={"given": "a"})
    first.get("/login")
    second = first.with_options(**own)
    second.get("/me")
    assert "Cookie" not in server.requests[-1].headers
    first.get("/me")
    assert "session=of-a" in server.requests[-1].headers["Cookie"]


@pytest.mark.parametrize("which", [0, 1])
def test_closing_one_closes_all(rest, server, which):
    server.route("/x", reply(200))
    client = rest.client(server.origin)
    family = client, client.with_options(timeout=3)
    family[which].get("/x")
    family[which].close()
    assert [one.client.is_closed for one in family] == [True, True]
    for one in family:
        with pytest.raises(RuntimeError, match="closed"):
            one.get("/x")


def test_a_setting_that_can_not_differ_is_refused(rest, servers):
    client = rest.client(BASE, transport=servers.transport).client
    for options in (
        {"verify": False},
        {"transport": servers.transport},
        {"rate_limit_period": 3},
        {"circuit_breaker_recovery_timeout": 3},
        {"cookies": {}},
        {"max_retires": 3},
    ):
        with pytest.raises(
            TypeError, match=f"with_options: unknown setting '{next(iter(options))}'"
        ):
            client.with_options(**options)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": "3"}, TypeError),
        ({"total_timeout": 0}, ValueError),
        ({"rate_limit_requests": 7}, ValueError),
        ({"bearer_token": 7}, TypeError),
        ({"basic_auth": "u:p"}, TypeError),
        ({"auth": 7}, TypeError),
        ({"serializer": 7}, TypeError),
        ({"api_version": "1"}, ValueError),
        ({"headers": 7}, TypeError),
        ({"params": 7}, TypeError),
        ({"follow_redirects": "yes"}, TypeError),
        ({"user_agent": 7}, TypeError),
    ],
)
def test_wrong_values_are_refused_at_once(rest, options, kind):
    client = rest.client(BASE).client
    with pytest.raises(kind):
        client.with_options(**options)
    if options != {"rate_limit_requests": 7}:
        with pytest.raises(kind):
            rest.kind(BASE, **options)


# -- versions


@pytest.mark.parametrize(
    ("versioning", "url", "headers"),
    [
        (HeaderVersion("X-Version"), "/v1/x?q=1", {"X-Version": "2"}),
        (QueryVersion("api-version"), "/v1/x?q=1&api-version=2", {}),
        (PathVersion(), "/v1/v2/x?q=1", {}),
        (
            MediaTypeVersion("application/vnd.acme.v{version}+json"),
            "/v1/x?q=1",
            {"Accept": "application/vnd.acme.v2+json"},
        ),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_ways_to_say_a_version(rest, servers, versioning, url, headers):
    client = rest.client(BASE, versioning=versioning, api_version=1, transport=servers.transport)
    for one in (
        lambda: client.get("/x?q=1", api_version="2"),
        lambda: client.with_options(api_version="2").get("/x?q=1"),
        lambda: client.with_options(api_version="3").get("/x?q=1", api_version=2),
    ):
        one()
        assert str(servers.last.url) == "https://api.test" + url
        for name, value in headers.items():
            assert servers.last.headers[name] == value
    client.get("/x?q=1", api_version=None)
    assert str(servers.last.url) == BASE + "/x?q=1"
    assert "X-Version" not in servers.last.headers


def test_several_versions_side_by_side(rest, servers):
    client = rest.client(BASE, versioning=PathVersion(), transport=servers.transport)
    first, second = client.with_options(api_version="1"), client.with_options(api_version="2")
    for one in (first, second, client, first):
        one.get("/x")
    assert [url.replace(BASE, "") for url in servers.urls] == ["/v1/x", "/v2/x", "/x", "/v1/x"]


def test_a_version_that_is_unknown(rest, servers):
    client = rest.client(
        BASE,
        versioning=HeaderVersion("X-Version"),
        api_versions=("2024-01", "2024-06"),
        transport=servers.transport,
    )
    for ask in (
        lambda: client.get("/x", api_version="2024-07"),
        lambda: client.with_options(api_version="2024-07"),
    ):
        with pytest.raises(ValueError, match="unknown api_version '2024-07'; did you mean"):
            ask()
    assert servers.requests == []
    client.get("/x", api_version="2024-06")
    assert servers.last.headers["X-Version"] == "2024-06"


def test_a_version_is_not_told_to_others(rest, servers):
    client = rest.client(
        BASE, versioning=QueryVersion("v"), api_version="1", transport=servers.transport
    )
    client.get("https://other.test/x")
    assert servers.urls == ["https://other.test/x"]


# -- life


def test_a_context_manager(rest, server):
    server.route("/x", reply(200))
    client = rest.client(server.origin)
    with client.entered():
        assert client.get("/x").status_code == 200
        assert not client.client.is_closed
    assert client.client.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        client.get("/x")
    client.close()


def test_a_closed_client_says_so_and_is_no_failure_of_the_server(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    client.close()
    for _ in range(7):
        with pytest.raises(RuntimeError, match="closed"):
            client.get("/x")
    assert client.state() == "closed"  # of the breaker
    assert servers.requests == []


def test_an_error_within_the_context_closes_too(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(LookupError), client.entered():
        raise LookupError
    assert client.client.is_closed


def test_a_subclass_with_a_constructor_of_its_own(rest, servers):
    class Users:
        def __init__(self, client):
            self._client = client

        def get(self, number):
            return self._client.get(f"/users/{number}")

    class Acme(rest.kind):
        def __init__(self, token, region="eu", **options):
            super().__init__(f"https://{region}.acme.test/v1", bearer_token=token, **options)
            self.region = region
            self.users = Users(self)

    acme = rest.face(Acme("t", region="us", transport=servers.transport))
    acme.await_(acme.client.users.get, 7)
    assert servers.urls == ["https://us.acme.test/v1/users/7"]
    assert servers.last.headers["Authorization"] == "Bearer t"
    sibling = acme.client.with_options(max_retries=0)
    assert isinstance(sibling, Acme)
    assert sibling.region == "us"
    acme.client.region = "eu"  # its own attributes are its own affair


def test_a_subclass_that_wraps_send_sees_every_call(rest, servers):
    seen = []

    class Sync(rest.kind):
        def send(self, request, **options):
            seen.append(request.url.path)
            return super().send(request, **options)

    class Async(rest.kind):
        async def send(self, request, **options):
            seen.append(request.url.path)
            return await super().send(request, **options)

    kind = Sync if rest.is_sync else Async
    client = rest.client(BASE, kind=kind, transport=servers.transport)
    client.get("/x")
    client.with_options(timeout=3).get("/y")
    assert seen == ["/v1/x", "/v1/y"]


def test_settings_from_the_environment(rest, monkeypatch, servers):
    pytest.importorskip("requests_connection_manager.rest.from_env")
    monkeypatch.setenv("ACME_BASE_URL", "https://acme.test/v1")
    monkeypatch.setenv("ACME_BEARER_TOKEN", "t")
    client = rest.face(rest.kind.from_env("ACME", transport=servers.transport))
    client.get("/x")
    assert servers.urls == ["https://acme.test/v1/x"]
    assert servers.last.headers["Authorization"] == "Bearer t"
    monkeypatch.delenv("ACME_BASE_URL")
    with pytest.raises(ValueError, match="ACME_BASE_URL"):
        rest.kind.from_env("ACME")


# -- streams and downloads are there


def test_a_download(rest, server, tmp_path):
    server.route("/file", reply(200, body="x" * 1000))
    client = rest.client(server.origin)
    client.await_(client.client.download, "/file", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x" * 1000


def test_events_and_json_lines(rest, server):
    kind = {"Content-Type": "text/event-stream"}
    server.route("/v1/events", reply(200, body="data: one\n\ndata: two\n\n", headers=kind))
    server.route("/v1/lines", reply(200, body='{"id": 1}\n{"id": 2}\n'))
    client = rest.client(server.url("/v1"))
    if rest.is_sync:
        seen = [event.data for event in client.client.events("/events")]
        lines = list(client.client.json_lines("/lines"))
    else:

        async def read():
            async with client.client.events("/events") as events:
                seen = [event.data async for event in events]
            async with client.client.json_lines("/lines") as values:
                return seen, [value async for value in values]

        seen, lines = client.await_(read)
    assert seen == ["one", "two"]
    assert lines == [{"id": 1}, {"id": 2}]


def test_the_version_of_a_call_goes_before_a_default_parameter(rest, servers):
    client = rest.client(
        BASE,
        versioning=QueryVersion("v"),
        params={"v": "default", "lang": "en"},
        transport=servers.transport,
    )
    client.get("/x", api_version="2")
    assert sorted(servers.last.url.params.multi_items()) == [("lang", "en"), ("v", "2")]
    client.get("/x?v=3", api_version="2")
    assert sorted(servers.last.url.params.multi_items()) == [("lang", "en"), ("v", "3")]
    client.get("/x", params={"v": "4"}, api_version="2")
    assert sorted(servers.last.url.params.multi_items()) == [("lang", "en"), ("v", "4")]


def test_a_stream_has_no_model(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(TypeError, match="unknown setting 'model'"), client.stream(
        "GET", "/x", model=int
    ):
        pass
