"""Credentials: which source wins, and where none of them may ever arrive."""

from __future__ import annotations

import base64

import pytest
import requests
from drivers import SyncFace

from requests_connection_manager import ConnectionManager
from requests_connection_manager.testing import FaultServer, echo, redirect, reply


def basic(username, password):
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture(autouse=True)
def routes(server):
    server.route("/", echo())


HOST = "127.0.0.1"
MANAGER = {"bearer_token": "manager"}
SESSION = {"headers": {"Authorization": "session"}}
SESSION_AUTH = {"auth": ("session", "auth")}
ENDPOINT = {"endpoint_configs": {HOST: {"bearer_token": "endpoint"}}}
ENDPOINT_AUTH = {"endpoint_configs": {HOST: {"auth": ("endpoint", "auth")}}}
CALL = {"headers": {"Authorization": "call"}}
CALL_AUTH = {"auth": ("call", "auth")}


@pytest.mark.parametrize(
    ("settings", "call", "expected"),
    [
        ({}, {}, None),
        (MANAGER, {}, "Bearer manager"),
        ({"oauth2_token": "manager"}, {}, "Bearer manager"),
        ({"basic_auth": ("user", "pass")}, {}, basic("user", "pass")),
        ({**MANAGER, **SESSION}, {}, "session"),
        ({**MANAGER, **SESSION_AUTH}, {}, basic("session", "auth")),
        ({**SESSION, **SESSION_AUTH}, {}, basic("session", "auth")),
        ({**MANAGER, **ENDPOINT}, {}, "Bearer endpoint"),
        ({**MANAGER, **SESSION, **ENDPOINT}, {}, "Bearer endpoint"),
        ({**MANAGER, **SESSION_AUTH, **ENDPOINT}, {}, "Bearer endpoint"),
        ({**MANAGER, **SESSION, **ENDPOINT_AUTH}, {}, basic("endpoint", "auth")),
        ({**MANAGER, **SESSION_AUTH, **ENDPOINT_AUTH}, {}, basic("endpoint", "auth")),
        ({**MANAGER, **SESSION, **ENDPOINT}, CALL, "call"),
        ({**MANAGER, **ENDPOINT_AUTH}, CALL, "call"),
        ({**MANAGER, **SESSION, **ENDPOINT}, CALL_AUTH, basic("call", "auth")),
        ({**MANAGER, **SESSION_AUTH, **ENDPOINT_AUTH}, CALL_AUTH, basic("call", "auth")),
        (MANAGER, {"headers": {"authorization": "lower"}}, "lower"),
    ],
)
def test_precedence_of_authorization(driver, server, settings, call, expected):
    seen = driver.manager(**settings).get(server.url(), **call).json()["headers"]
    assert seen.get("authorization") == expected


KEY = {"api_key": "manager"}


@pytest.mark.parametrize(
    ("settings", "call", "expected"),
    [
        (KEY, {}, {"x-api-key": "manager"}),
        ({**KEY, "api_key_header": "X-Token"}, {}, {"x-token": "manager"}),
        ({**KEY, "headers": {"X-API-Key": "session"}}, {}, {"x-api-key": "session"}),
        ({**KEY, "endpoint_configs": {HOST: {"api_key": "e"}}}, {}, {"x-api-key": "e"}),
        (
            {"api_key_header": "X-Token", "endpoint_configs": {HOST: {"api_key": "e"}}},
            {},
            {"x-token": "e"},
        ),
        (
            {**KEY, "endpoint_configs": {HOST: {"headers": {"X-API-Key": "e"}}}},
            {},
            {"x-api-key": "e"},
        ),
        (
            {**KEY, "endpoint_configs": {HOST: {"api_key": "e"}}},
            {"headers": {"x-api-key": "call"}},
            {"x-api-key": "call"},
        ),
        ({**KEY, **MANAGER}, {}, {"x-api-key": "manager", "authorization": "Bearer manager"}),
        (
            {"headers": {"X-A": "s"}, "endpoint_configs": {HOST: {"headers": {"X-A": "e"}}}},
            {},
            {"x-a": "e"},
        ),
        (
            {"headers": {"X-A": "s"}, "endpoint_configs": {HOST: {"headers": {"X-A": "e"}}}},
            {"headers": {"X-A": "c"}},
            {"x-a": "c"},
        ),
    ],
)
def test_precedence_of_other_headers(driver, server, settings, call, expected):
    seen = driver.manager(**settings).get(server.url(), **call).json()["headers"]
    assert {name: seen.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("settings", "params", "query"),
    [
        ({"api_key_query": ("key", "manager")}, None, "key=manager"),
        ({"api_key_query": "key", "api_key": "k y&"}, None, "key=k+y%26"),
        ({"api_key_query": ("key", "manager")}, {"a": "1"}, "a=1&key=manager"),
        ({"api_key_query": ("key", "manager")}, {"key": "call"}, "key=call"),
        (
            {
                "api_key_query": ("key", "manager"),
                "endpoint_configs": {HOST: {"api_key_query": ("key", "endpoint")}},
            },
            None,
            "key=endpoint",
        ),
    ],
)
def test_a_key_in_the_query(driver, server, settings, params, query):
    manager = driver.manager(**settings)
    call = {} if params is None else {"params": params}
    seen = manager.get(server.url(), **call).json()
    assert seen["query"] == query
    assert "x-api-key" not in seen["headers"]


def test_netrc_comes_last(server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login net password rc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    expectations = [
        ({}, {}, basic("net", "rc")),
        (MANAGER, {}, "Bearer manager"),
        (SESSION_AUTH, {}, basic("session", "auth")),
        (ENDPOINT, {}, "Bearer endpoint"),
        (ENDPOINT_AUTH, {}, basic("endpoint", "auth")),
        ({}, CALL_AUTH, basic("call", "auth")),
    ]
    for settings, call, expected in expectations:
        with ConnectionManager(**settings) as manager:
            seen = manager.get(server.url(), **call).json()["headers"]
            assert seen["authorization"] == expected


def test_every_attempt_carries_them(driver, server, clock):
    server.route("/", reply(503), reply(503), echo())
    manager = driver.manager(clock=clock, api_key="k", bearer_token="t", api_key_header="X-K")
    manager.get(server.url())
    for request in server.requests:
        assert request.headers["authorization"] == "Bearer t"
        assert request.headers["x-k"] == "k"


def test_they_are_put_on_a_copy(driver, server):
    manager = driver.manager(api_key="k", bearer_token="t", api_key_query=("key", "q"))
    if driver.is_sync:
        request = manager.prepare_request(requests.Request("GET", server.url()))
        response = manager.manager.send(request)
    else:
        request = manager.build_request("GET", server.url())
        response = manager.await_(manager.manager.send, request)
    assert response.json()["headers"]["authorization"] == "Bearer t"
    assert response.json()["query"] == "key=q"
    assert "authorization" not in request.headers
    assert "x-api-key" not in request.headers
    assert str(request.url) == server.url()


class TestSetters:
    def sent(self, manager, server):
        return manager.get(server.url()).json()["headers"]

    def test_authorization_replaces_authorization(self, driver, server):
        manager = driver.manager(basic_auth=("a", "b"))
        manager.set_bearer_token("t")
        assert self.sent(manager, server)["authorization"] == "Bearer t"
        manager.set_oauth2_token("o")
        assert self.sent(manager, server)["authorization"] == "Bearer o"
        manager.set_basic_auth("c", "d")
        assert self.sent(manager, server)["authorization"] == basic("c", "d")
        manager.clear_auth()
        assert "authorization" not in self.sent(manager, server)

    def test_api_key(self, driver, server):
        manager = driver.manager()
        manager.set_api_key("k1")
        assert self.sent(manager, server)["x-api-key"] == "k1"
        manager.set_api_key("k2", header_name="X-Key")
        assert self.sent(manager, server)["x-key"] == "k2"
        manager.clear_auth()
        assert "x-key" not in self.sent(manager, server)

    @pytest.mark.parametrize(
        ("auth_type", "given", "header", "value"),
        [
            ("api_key", {"api_key": "k"}, "x-api-key", "k"),
            ("api_key", {"api_key": "k", "header_name": "X-Own"}, "x-own", "k"),
            ("bearer", {"token": "t"}, "authorization", "Bearer t"),
            ("oauth2", {"token": "o"}, "authorization", "Bearer o"),
            ("basic", {"username": "u", "password": "p"}, "authorization", basic("u", "p")),
        ],
    )
    def test_of_an_endpoint(self, driver, server, auth_type, given, header, value):
        manager = driver.manager(bearer_token="manager", api_key="manager")
        manager.set_endpoint_auth(HOST, auth_type, **given)
        assert self.sent(manager, server)[header] == value
        manager.clear_auth(HOST)
        assert self.sent(manager, server)["authorization"] == "Bearer manager"

    def test_two_sources_for_one_header_are_refused(self, driver):
        with pytest.raises(ValueError, match="bearer_token and basic_auth"):
            driver.manager(bearer_token="t", basic_auth=("u", "p"))


SECRETS = ("x-api-key", "authorization", "x-session-token", "x-custom-secret", "cookie")


class TestOtherOrigins:
    """Another port on the same host is another origin: requests alone would send it everything."""

    @pytest.fixture
    def foreign(self):
        with FaultServer() as running:
            running.route("/", echo())
            yield running

    def manager(self, driver, foreign, **settings):
        manager = driver.manager(
            api_key="key", bearer_token="token", headers={"X-Session-Token": "s"}, **settings
        )
        manager.register_pre_request_hook(
            lambda context: context.kwargs.update(
                headers={**context.kwargs.get("headers", {}), "X-Custom-Secret": "hook"}
            )
        )
        return manager

    def test_a_redirect_takes_nothing_along(self, driver, server, foreign):
        server.route("/", redirect(foreign.url()))
        manager = self.manager(driver, foreign)
        seen = manager.get(server.url()).json()["headers"]
        manager.close()
        assert [name for name in SECRETS if name in seen] == []
        arrived = server.requests[0].headers
        assert [name for name in SECRETS if name in arrived] == list(SECRETS[:4])

    def test_followed_by_hand_neither(self, driver, server, foreign):
        server.route("/", redirect(foreign.url()))
        manager = self.manager(driver, foreign)
        response = manager.get(server.url(), allow_redirects=False)
        following = response.next if driver.is_sync else response.next_request
        if driver.is_sync:
            last = manager.manager.send(following)
        else:
            last = manager.await_(manager.manager.send, following)
        manager.close()
        seen = last.json()["headers"]
        assert [name for name in SECRETS if name in seen] == []

    def test_back_home_the_managers_own_are_sent_again(self, driver, server, foreign):
        server.route("/", redirect(foreign.url("/back")))
        server.route("/home", echo())
        foreign.route("/back", redirect(server.url("/home")))
        manager = self.manager(driver, foreign)
        seen = manager.get(server.url()).json()["headers"]
        manager.close()
        assert (seen["x-api-key"], seen["authorization"]) == ("key", "Bearer token")
        assert "x-custom-secret" not in seen
        arrived = foreign.requests[0].headers
        assert [name for name in SECRETS if name in arrived] == []

    def test_an_endpoints_credentials_go_where_its_pattern_says(self, driver, server, foreign):
        server.route("/", redirect(foreign.url()))
        pattern = foreign.origin.partition("//")[2]
        manager = driver.manager(
            bearer_token="manager", endpoint_configs={pattern: {"bearer_token": "endpoint"}}
        )
        seen = manager.get(server.url()).json()["headers"]
        manager.close()
        assert server.requests[0].headers["authorization"] == "Bearer manager"
        assert seen["authorization"] == "Bearer endpoint"

    def test_an_endpoints_auth_object_too(self, driver, server, foreign):
        server.route("/", redirect(foreign.url()))
        pattern = foreign.origin.partition("//")[2]
        manager = driver.manager(endpoint_configs={pattern: {"auth": ("end", "point")}})
        seen = manager.get(server.url()).json()["headers"]
        manager.close()
        assert "authorization" not in server.requests[0].headers
        assert seen["authorization"] == basic("end", "point")

    def test_an_endpoints_credentials_stay_behind(self, driver, server, foreign):
        server.route("/", redirect(foreign.url()))
        pattern = server.origin.partition("//")[2]
        config = {"bearer_token": "e", "api_key": "e", "headers": {"X-Custom-Secret": "e"}}
        manager = driver.manager(endpoint_configs={pattern: config})
        seen = manager.get(server.url()).json()["headers"]
        manager.close()
        assert [name for name in SECRETS if name in seen] == []
        assert server.requests[0].headers["x-custom-secret"] == "e"

    def test_a_key_in_the_query_stays_behind(self, driver, server, foreign):
        server.route("/", redirect(foreign.url()))
        manager = driver.manager(api_key_query=("key", "secret"))
        response = manager.get(server.url())
        manager.close()
        assert server.requests[0].query == "key=secret"
        assert response.json()["query"] == ""

    def test_a_pattern_in_the_query_matches_nothing(self, driver, server):
        config = {"api.example.com": {"bearer_token": "secret", "api_key": "secret"}}
        manager = driver.manager(endpoint_configs=config)
        for path in ("/?x=api.example.com", "/?https://api.example.com/"):
            seen = manager.get(server.url(path)).json()["headers"]
            assert "secret" not in str(seen)
        url = server.url().replace("//", "//api.example.com@")
        assert "Bearer secret" not in manager.get(url).json()["headers"].values()


def test_a_prepared_requests_headers_count_as_given(driver, server):
    manager = driver.manager(endpoint_configs={HOST: {"bearer_token": "endpoint"}})
    response = manager.send_prepared("GET", server.url(), headers={"Authorization": "mine"})
    assert response.json()["headers"]["authorization"] == "mine"
    response = manager.send_prepared("GET", server.url())
    assert response.json()["headers"]["authorization"] == "Bearer endpoint"


def test_a_netrc_host_that_is_redirected_to(server, tmp_path, monkeypatch):
    # requests itself looks netrc up anew for the host of each redirect.
    with FaultServer() as other:
        other.route("/", echo())
        server.route("/", redirect(other.url()))
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine {HOST} login net password rc\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        with requests.Session() as plain, ConnectionManager() as manager:
            expected = plain.get(server.url()).json()["headers"].get("authorization")
            actual = SyncFace(manager).get(server.url()).json()["headers"].get("authorization")
        assert actual == expected
