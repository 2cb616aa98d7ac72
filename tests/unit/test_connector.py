"""``APIConnector``: its settings, its delays, and the ways in which people extend it."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from unittest.mock import MagicMock

import pytest
import requests
from urllib3.util.retry import Retry

from requests_connection_manager import (
    APIConnector,
    CircuitBreakerOpen,
    ConnectionManager,
    HTTPError,
    MaxRetriesExceeded,
    PipelineAdapter,
    RateLimitExceeded,
)
from requests_connection_manager.testing import FaultServer, VirtualClock, echo, reply

DOCUMENTED = {
    "max_retries": 0,
    "backoff_factor": 1,
    "status_forcelist": [408, 413, 429, 500, 502, 503, 504, 521, 522, 524],
    "allowed_methods": ["HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH"],
    "raise_on_status": False,
}


def live(connector):
    return connector.session.core.configuration.settings


# -- the documented settings


def test_the_defaults_are_printed_as_documented():
    assert repr(APIConnector().get_retry_settings()) == (
        "{'max_retries': 0, 'backoff_factor': 1, 'status_forcelist': [408, 413, 429, 500, 502, "
        "503, 504, 521, 522, 524], 'allowed_methods': ['HEAD', 'GET', 'PUT', 'DELETE', "
        "'OPTIONS', 'TRACE', 'POST', 'PATCH'], 'raise_on_status': False}"
    )


def test_the_attributes_are_the_settings():
    connector = APIConnector(max_retries=2)
    for name, value in {**DOCUMENTED, "max_retries": 2}.items():
        assert getattr(connector, name) == value
    assert isinstance(connector.status_forcelist, list)
    assert isinstance(connector.session, ConnectionManager)
    assert isinstance(connector.session, requests.Session)


def test_what_is_returned_is_a_copy():
    connector = APIConnector()
    connector.get_retry_settings()["status_forcelist"].append(418)
    assert connector.get_retry_settings() == DOCUMENTED
    assert APIConnector.status_forcelist == DOCUMENTED["status_forcelist"]


def test_settings_are_set_in_a_single_call():
    connector = APIConnector()
    new_settings = {
        "max_retries": 0,
        "backoff_factor": 1,
        "status_forcelist": [500],
        "allowed_methods": ["PUT"],
        "raise_on_status": False,
    }
    connector.set_retry_settings(**new_settings)
    assert connector.get_retry_settings() == new_settings
    connector.set_retry_settings(max_retries=4)
    assert connector.get_retry_settings() == {**new_settings, "max_retries": 4}
    assert live(connector).status_forcelist == {500}
    assert live(connector).allowed_methods == {"PUT"}


def test_sets_and_tuples_are_shown_as_lists():
    connector = APIConnector(status_forcelist={503, 500}, allowed_methods=("GET",))
    assert connector.status_forcelist == [500, 503]
    assert connector.allowed_methods == ["GET"]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": "3"}, TypeError),
        ({"backoff_factor": -1}, ValueError),
        ({"backoff_factor": None}, TypeError),
        ({"status_forcelist": "503"}, TypeError),
        ({"status_forcelist": [99]}, ValueError),
        ({"allowed_methods": "GET"}, TypeError),
        ({"allowed_methods": []}, ValueError),
        ({"raise_on_status": 1}, TypeError),
    ],
    ids=str,
)
def test_a_mistake_is_named_wherever_it_is_made(given, kind):
    (name, value), *_ = given.items()
    with pytest.raises(kind, match=name):
        APIConnector(**given)
    connector = APIConnector(max_retries=1)
    before = connector.get_retry_settings()
    with pytest.raises(kind, match=name):
        setattr(connector, name, value)
    with pytest.raises(kind, match=name):
        connector.set_retry_settings(**{"backoff_factor": 7, **given})
    with pytest.raises(kind, match=name):
        type("Vendor", (APIConnector,), given)()
    assert connector.get_retry_settings() == before
    assert live(connector).backoff_factor == 0.5


def test_an_unknown_setting_is_named():
    with pytest.raises(TypeError, match="max_retrys"):
        APIConnector(max_retrys=3)
    with pytest.raises(TypeError, match="max_retrys"):
        APIConnector().set_retry_settings(max_retrys=3)


# -- retries


@pytest.fixture
def fixed():
    """Return what builds a connector, its clock, and a server that is down."""
    clock = VirtualClock()
    with FaultServer() as server:
        server.route("/", reply(503))

        def build(**settings):
            return APIConnector(clock=clock, **settings)

        yield build, clock, server


@pytest.mark.parametrize("factor", [2, 1, 0.5])
def test_the_documented_delays(fixed, factor):
    build, clock, server = fixed
    connector = build(max_retries=5, backoff_factor=factor)
    response = connector.session.get(server.url())
    assert response.status_code == 503
    assert clock.sleeps == tuple(factor * 2.0 ** (number - 2) for number in range(1, 6))
    assert server.count() == 6


def test_the_documented_total_of_61_seconds(fixed):
    build, clock, server = fixed
    connector = build(max_retries=5, backoff_factor=2)

    class Slow(requests.adapters.BaseAdapter):
        """Answers after 5 s of the clock."""

        def send(self, request, **kwargs):
            clock.advance(5)
            response = requests.Response()
            response.status_code, response.request, response.url = 503, request, request.url
            response._content = b""
            return response

        def close(self):
            pass

    connector.session.mount(server.origin, PipelineAdapter(wraps=Slow()))
    began = clock.monotonic()
    assert connector.session.get(server.url()).status_code == 503
    assert clock.sleeps == (1.0, 2.0, 4.0, 8.0, 16.0)
    assert clock.monotonic() - began == 61.0


def test_post_is_retried_as_documented(fixed):
    build, _, server = fixed
    build(max_retries=1).session.post(server.url(), json={})
    assert server.count() == 2


def test_a_status_that_is_not_listed_is_not_retried(fixed):
    build, clock, server = fixed
    assert build(max_retries=3, status_forcelist=[500]).get(server.url()).status_code == 503
    assert clock.sleeps == ()


def test_raise_on_status_raises_for_unsuccessful_responses(fixed):
    build, _, server = fixed
    connector = build(raise_on_status=True)
    with pytest.raises(HTTPError) as caught:
        connector.session.get(server.url("/nowhere"))
    assert isinstance(caught.value, requests.HTTPError)
    assert caught.value.status_code == 404
    connector.max_retries = 1
    with pytest.raises(MaxRetriesExceeded) as exhausted:
        connector.session.get(server.url())
    assert isinstance(exhausted.value, HTTPError)
    connector.raise_on_status = False
    assert connector.session.get(server.url()).status_code == 503


def test_the_circuit_does_not_cut_a_call_short(fixed):
    build, _, server = fixed
    connector = build(max_retries=5, backoff_factor=2)
    for _ in range(2):
        assert len(connector.session.get(server.url()).attempts) == 6
    with pytest.raises(CircuitBreakerOpen):
        connector.session.get(server.url())


def test_a_threshold_that_is_given_stays(fixed):
    build, _, server = fixed
    connector = build(max_retries=5, circuit_breaker_failure_threshold=2)
    connector.max_retries = 8
    assert live(connector).circuit_breaker_failure_threshold == 2
    assert len(connector.session.get(server.url()).attempts) == 2


def test_a_urllib3_retry_decides_everything_itself():
    connector = APIConnector(max_retries=Retry(2))
    assert isinstance(connector.get_retry_settings()["max_retries"], Retry)


# -- changes take effect on the live session


def test_an_attribute_takes_effect_and_connections_and_cookies_stay(server, clock):
    server.route("/", reply(503, headers={"Set-Cookie": "a=1"}))
    connector = APIConnector(clock=clock)
    session = connector.session
    assert len(connector.get(server.url()).attempts) == 1
    connector.max_retries = 1
    assert len(connector.get(server.url()).attempts) == 2
    connector.set_retry_settings(max_retries=2, backoff_factor=4)
    assert len(connector.get(server.url()).attempts) == 3
    assert clock.sleeps == (0.5, 2.0, 4.0)
    assert connector.session is session
    assert session.cookies["a"] == "1"
    assert server.connections == 1


def test_lists_can_be_changed_in_place(server, clock):
    server.route("/", reply(418))
    connector = APIConnector(max_retries=1, clock=clock)
    assert len(connector.get(server.url()).attempts) == 1
    statuses = connector.status_forcelist
    statuses.append(418)
    assert len(connector.get(server.url()).attempts) == 2
    connector.status_forcelist += [419]
    assert {418, 419} <= live(connector).status_forcelist
    assert statuses is connector.status_forcelist
    assert statuses.pop() == 419
    statuses.remove(418)
    statuses[0] = 409
    del statuses[1]
    statuses.sort(reverse=True)
    assert live(connector).status_forcelist == set(statuses)
    assert len(connector.get(server.url()).attempts) == 1


def test_a_mistake_within_a_list_changes_nothing():
    connector = APIConnector()
    with pytest.raises(ValueError, match="status_forcelist"):
        connector.status_forcelist.append(1000)
    with pytest.raises(ValueError, match="allowed_methods"):
        connector.allowed_methods.clear()
    assert connector.get_retry_settings() == DOCUMENTED


def test_a_list_that_was_replaced_has_no_more_say():
    connector = APIConnector()
    former = connector.status_forcelist
    connector.status_forcelist = [500]
    former.append(418)
    assert connector.status_forcelist == [500]
    assert live(connector).status_forcelist == {500}


# -- subclassing, as people do it


class Vendor(APIConnector):
    base_url = "https://api.example.com/v1"
    max_retries = 3
    status_forcelist = [500]  # noqa: RUF012  # as users write it

    def __init__(self, token=None, **kwargs):
        super().__init__(**kwargs)
        if token is not None:
            self.session.set_bearer_token(token)

    def user(self, number):
        return self.get(f"users/{number}")


def test_the_documented_subclasses():
    class CustomConnector(APIConnector):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    assert CustomConnector().get_retry_settings() == DOCUMENTED
    assert CustomConnector(max_retries=5).max_retries == 5

    class WithDefaults(APIConnector):
        def __init__(self, **kwargs):
            retry_settings = {
                "max_retries": 3,
                "backoff_factor": 0.5,
                "status_forcelist": [500],
                "allowed_methods": ["GET"],
                "raise_on_status": True,
            }
            super().__init__(**retry_settings)

    assert WithDefaults().get_retry_settings() == {
        "max_retries": 3,
        "backoff_factor": 0.5,
        "status_forcelist": [500],
        "allowed_methods": ["GET"],
        "raise_on_status": True,
    }


def test_class_attributes_are_defaults():
    vendor = Vendor()
    assert (vendor.max_retries, vendor.status_forcelist) == (3, [500])
    assert Vendor(max_retries=1).max_retries == 1
    vendor.status_forcelist.append(503)
    assert Vendor.status_forcelist == [500]
    assert Vendor().status_forcelist == [500]


def test_a_mixin_and_an_attribute_before_init_are_defaults_too():
    class Patient:
        max_retries = 8

    class Mixed(Patient, APIConnector):
        def __init__(self, **kwargs):
            self.backoff_factor = 9
            super().__init__(**kwargs)

    mixed = Mixed()
    assert (mixed.max_retries, mixed.backoff_factor) == (8, 9)
    assert live(mixed).max_retries == 8


def test_manager_settings_pass_through(server):
    server.route("/", echo())
    with APIConnector(
        timeout=7, bearer_token="t", rate_limit_requests=1, base_url=server.origin
    ) as connector:
        assert connector.get("/").json()["headers"]["authorization"] == "Bearer t"
        assert connector.session.get_stats()["timeout"] == 7
        with pytest.raises(RateLimitExceeded):
            connector.get("/")


def test_paths_are_below_the_base_url(server):
    server.route("/v1/users/7", echo())
    vendor = Vendor(base_url=server.url("/v1"))
    for method in ("get", "put", "post", "patch", "delete", "options"):
        assert getattr(vendor, method)("/users/7").json()["method"] == method.upper()
    assert vendor.head("users/7").status_code == 200
    assert vendor.request("GET", "users/7").json()["method"] == "GET"
    assert vendor.post("users/7", json={"a": 1}).json()["body"] == '{"a": 1}'
    assert vendor.user(7).status_code == 200
    assert vendor.get(server.url("/elsewhere")).status_code == 404


def test_a_path_cannot_leave_the_base_url():
    vendor = Vendor()
    assert vendor.url("//evil.test/x") == "https://api.example.com/v1/evil.test/x"
    for path in ("../admin", "users/../../admin", "users/%2e%2e/admin", "..\\admin"):
        with pytest.raises(ValueError, match="must stay below base_url"):
            vendor.get(path)


def test_credentials_stay_at_the_origin_of_the_base_url(server):
    server.route("/", echo())
    with FaultServer() as stranger:
        stranger.route("/", echo())
        for vendor in (
            Vendor("secret", base_url=server.origin),
            Vendor(session=ConnectionManager(bearer_token="secret"), base_url=server.origin),
            pickle.loads(pickle.dumps(Vendor("secret", base_url=server.origin))),
        ):
            assert "authorization" in vendor.get("/").json()["headers"]
            for send in (vendor.get, vendor.session.get):
                assert "authorization" not in send(stranger.url("/")).json()["headers"]
            vendor.base_url = stranger.origin
            assert "authorization" in vendor.get("/").json()["headers"]
            assert "authorization" not in vendor.get(server.url("/")).json()["headers"]
            vendor.base_url = None
            assert "authorization" in vendor.get(server.url("/")).json()["headers"]


def test_a_manager_that_is_shared_keeps_its_own_rule(server):
    server.route("/", echo())
    manager = ConnectionManager(bearer_token="secret")
    connector = APIConnector(session=manager, base_url="https://api.example.com")
    assert "authorization" in manager.get(server.url("/")).json()["headers"]
    assert "authorization" not in connector.get(server.url("/")).json()["headers"]


def test_without_a_base_url_a_path_is_a_mistake():
    connector = APIConnector()
    assert connector.url("https://a.test/x") == "https://a.test/x"
    with pytest.raises(ValueError, match="APIConnector has no base_url"):
        connector.get("/users")


@pytest.mark.parametrize(
    "wrong",
    ["api.example.com", "/v1", "ftp://a.test", "https://", "https://a.test:x", "https://a.test/?q"],
)
def test_a_wrong_base_url_is_named(wrong):
    with pytest.raises(ValueError, match="base_url"):
        APIConnector(base_url=wrong)
    connector = APIConnector()
    with pytest.raises(ValueError, match="base_url"):
        connector.base_url = wrong
    with pytest.raises(TypeError, match="base_url"):
        APIConnector(base_url=7)


# -- one manager for several


def test_connectors_share_a_manager_and_not_their_retry_settings(server, clock):
    server.route("/", reply(503))
    manager = ConnectionManager(clock=clock, circuit_breaker_failure_threshold=None)
    one, other = APIConnector(session=manager, max_retries=2), APIConnector(session=manager)
    assert len(one.get(server.url()).attempts) == 3
    assert len(other.get(server.url()).attempts) == 1
    one.max_retries = 1
    other.status_forcelist = [500]
    assert len(one.get(server.url()).attempts) == 2
    assert manager.explain("GET", server.url())["settings"]["max_retries"] == 3
    assert server.connections == 1
    assert clock.sleeps == (0.5, 1.0, 0.5)


def test_a_shared_manager_keeps_its_credentials_and_breakers_for_all(server, clock):
    server.route("/", reply(503))
    manager = ConnectionManager(clock=clock, circuit_breaker_failure_threshold=2)
    one, other = APIConnector(session=manager), APIConnector(session=manager)
    manager.set_bearer_token("later")
    one.get(server.url())
    other.get(server.url())
    assert server.requests[-1].headers["authorization"] == "Bearer later"
    with pytest.raises(CircuitBreakerOpen):
        one.get(server.url())


def test_a_shared_session_is_not_closed():
    manager = MagicMock(spec=ConnectionManager)
    manager.with_options.return_value = manager
    with APIConnector(session=manager):
        pass
    manager.close.assert_not_called()


def test_what_cannot_be_shared_is_named():
    with pytest.raises(TypeError, match="session must be a ConnectionManager, not a Session"):
        APIConnector(session=requests.Session())
    with pytest.raises(TypeError, match="timeout can't be given beside session"):
        APIConnector(session=ConnectionManager(), timeout=5)


def test_a_session_can_be_exchanged():
    connector = APIConnector(max_retries=2)
    manager = ConnectionManager()
    connector.session = manager
    assert live(connector).max_retries == 2
    connector.max_retries = 4
    assert live(connector).max_retries == 4
    assert manager.core.configuration.settings.max_retries == 3


def test_a_double_can_stand_in_for_the_session():
    vendor = Vendor()
    vendor.session = MagicMock()
    vendor.user(7)
    vendor.session.request.assert_called_once_with("GET", "https://api.example.com/v1/users/7")
    vendor.session = requests.Session()
    with pytest.raises(TypeError, match="session is a Session, whose retries"):
        vendor.max_retries = 5


def test_a_session_that_is_exchanged_is_closed():
    connector = APIConnector()
    connector.session.close = closed = MagicMock()
    connector.session = ConnectionManager()
    closed.assert_called_once_with()


def test_the_verbs_go_through_request(server):
    class Logging(Vendor):
        def request(self, method, path, **kwargs):
            self.seen = method, path
            return super().request(method, path, **kwargs)

    vendor = Logging(base_url=server.origin)
    vendor.post("users", json={})
    assert vendor.seen == ("POST", "users")
    with pytest.raises(TypeError, match="path must be a str, not None"):
        vendor.get(None)


def test_a_threshold_that_was_set_later_stays():
    connector = APIConnector()
    connector.session.update_settings(circuit_breaker_failure_threshold=None)
    connector.max_retries = 3
    assert live(connector).circuit_breaker_failure_threshold is None


@pytest.mark.parametrize(
    ("settings", "prepare"),
    [
        ({"auth": ("u", "p")}, None),
        ({"headers": {"Authorization": "Bearer S"}}, None),
        ({"headers": {"X-API-Key": "S"}}, None),
        pytest.param({}, lambda session: session.params.update({"api_key": "S"}), id="params"),
        ({"api_key": "S", "api_key_query": "key"}, None),
    ],
    ids=str,
)
def test_whatever_is_secret_by_its_name_stays_at_home(server, settings, prepare):
    server.route("/", echo())
    with FaultServer() as stranger, APIConnector(base_url=server.origin, **settings) as connector:
        stranger.route("/", echo())
        if prepare is not None:
            prepare(connector.session)
        connector.session.headers["X-Trace"] = "1"
        # A sibling is no way around it.
        for session in (connector.session, connector.session.with_options(max_retries=1)):
            sent = session.get(stranger.url("/"), params={"page": 2}).json()
            assert sent["headers"]["x-trace"] == "1"
            assert not {"authorization", "x-api-key"} & set(sent["headers"])
            assert stranger.requests[-1].target == "/?page=2"
            session.get(server.url("/"))
            at_home = server.requests[-1]
            found = {"authorization", "x-api-key"} & set(at_home.headers)
            assert found or at_home.target.endswith("key=S")
        # What a call gives itself goes where the call goes.
        sent = connector.get(stranger.url("/"), headers={"Authorization": "mine"}).json()
        assert sent["headers"]["authorization"] == "mine"
        assert connector.get(stranger.url("/"), auth=("a", "b")).json()["headers"]["authorization"]


def test_what_is_explained_is_what_is_sent():
    connector = APIConnector(base_url="https://a.test", bearer_token="t")
    assert connector.session.explain("GET", "https://a.test/")["credentials"] == ["Authorization"]
    assert connector.session.explain("GET", "https://b.test/")["credentials"] == []
    other = ConnectionManager(bearer_token="t")
    connector.session = other
    assert connector.session.explain("GET", "https://b.test/")["credentials"] == []
    assert other.explain("GET", "https://b.test/")["credentials"] == ["Authorization"]


def test_a_list_is_changed_in_many_threads():
    connector = APIConnector(status_forcelist=[500])
    errors = []

    def work(number):
        try:
            for step in range(20):
                connector.status_forcelist.append(100 + number * 20 + step)
        except Exception as exc:
            errors.append(exc)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert len(connector.status_forcelist) == 121
    assert live(connector).status_forcelist == set(connector.status_forcelist)


# -- life


def test_a_connector_is_a_context_manager(server):
    server.route("/", reply(200))
    with Vendor(base_url=server.origin) as vendor:
        vendor.get("/")
    assert vendor.get("/").status_code == 200


def test_a_connector_pickles_as_its_configuration(server):
    server.route("/v1/users/1", reply(200))
    vendor = Vendor(base_url=server.url("/v1"), backoff_factor=4, timeout=9)
    vendor.status_forcelist.append(503)
    twin = pickle.loads(pickle.dumps(vendor))
    assert twin.get_retry_settings() == vendor.get_retry_settings()
    assert twin.user(1).status_code == 200
    twin.status_forcelist.append(504)
    twin.max_retries = 9
    assert live(twin).status_forcelist == {500, 503, 504}
    assert live(vendor).status_forcelist == {500, 503}
    assert live(vendor).max_retries == 3
    assert twin.session.get_stats()["timeout"] == 9


def test_a_connector_that_shares_pickles_on_its_own():
    twin = pickle.loads(pickle.dumps(APIConnector(session=ConnectionManager(), max_retries=2)))
    twin.max_retries = 3
    assert live(twin).max_retries == 3
    twin.session.close = closed = MagicMock()
    twin.close()
    closed.assert_called_once_with()


def test_a_list_of_settings_pickles_as_a_plain_one():
    statuses = pickle.loads(pickle.dumps(APIConnector().status_forcelist))
    assert type(statuses) is list
    assert statuses == DOCUMENTED["status_forcelist"]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_do_not_change_each_other(duplicate):
    connector = APIConnector(max_retries=1)
    twin = duplicate(connector)
    twin.max_retries = 5
    twin.status_forcelist.append(418)
    assert (connector.max_retries, live(connector).max_retries) == (1, 1)
    assert 418 not in connector.status_forcelist
    assert live(twin).max_retries == 5


def test_a_copy_leaves_the_connections_of_the_original_alone(server):
    server.route("/", reply(200))
    connector = APIConnector(base_url=server.origin)
    connector.get("/")
    twin = copy.copy(connector)
    connector.session = connector.session
    twin.close()
    connector.get("/")
    twin.get("/")
    assert server.connections == 1


def test_many_threads_use_and_change_one_connector(server):
    server.route("/", reply(200))
    connector = APIConnector(rate_limit_requests=None, base_url=server.origin)
    errors = []

    def work(number):
        try:
            for _ in range(20):
                connector.max_retries = number
                connector.status_forcelist = [500 + number]
                assert connector.get("/").status_code == 200
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_connector_that_is_gone_is_freed_at_once():
    connector = APIConnector()
    gone = weakref.ref(connector)
    gc.disable()
    try:
        del connector
        assert gone() is None
    finally:
        gc.enable()


def test_a_connector_shows_no_secret():
    connector = Vendor(base_url="https://user:hunter2@a.test/v1", bearer_token="hunter2")
    assert "hunter2" not in repr(connector)
    assert repr(Vendor()) == "<Vendor https://api.example.com/v1 max_retries=3>"


def test_another_servers_redirect_back_home_brings_no_credentials():
    with FaultServer() as home, FaultServer() as other:
        home.route("/", echo())
        other.route("/", reply(302, headers={"Location": home.url("/")}))
        with APIConnector(base_url=home.origin, api_key="s3cret") as connector:
            at_home = connector.get("/").json()["headers"]
            back = connector.get(other.url("/")).json()["headers"]
    assert "s3cret" in at_home.values()
    assert "s3cret" not in back.values()
