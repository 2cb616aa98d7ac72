"""No credential follows a redirect to another origin, however the redirect is followed."""

from __future__ import annotations

import pickle
import ssl
from base64 import b64encode
from typing import Any, Callable, Dict, Iterator, List, NamedTuple
from urllib.parse import quote

import pytest
import requests
from requests.auth import HTTPBasicAuth

from requests_connection_manager import ConnectionManager
from requests_connection_manager.testing import FaultServer, Received, Reply, redirect, reply

SECRET = "S3CRET"
# The tests' own TLS has no certificates, and urllib3 says so.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

TARGETS = ("other host", "other port", "http from https")


def anonymous_context(side: Any) -> ssl.SSLContext:
    """Return a context that needs no certificate, and checks none."""
    context = ssl.SSLContext(side)
    if side == ssl.PROTOCOL_TLS_CLIENT:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH:ADH:@SECLEVEL=0")
    return context


class Sites(NamedTuple):
    """Where a call begins, and the other origin that it is sent on to."""

    first: FaultServer
    start: str
    foreign: FaultServer
    end: str

    @property
    def arrived(self) -> List[Received]:
        return [one for one in self.foreign.requests if one.path == "/end"]


@pytest.fixture(params=TARGETS)
def sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    tls = anonymous_context(ssl.PROTOCOL_TLS_SERVER) if request.param == TARGETS[2] else None
    with FaultServer(ssl_context=tls) as first, FaultServer() as other:
        foreign = first if request.param == TARGETS[0] else other
        origin = foreign.origin
        if request.param == TARGETS[0]:
            origin = origin.replace("127.0.0.1", "localhost")
        end = f"{origin}/end"
        first.route("/start", redirect(end, 307))
        first.route("/middle", redirect(first.url("/start"), 307))
        foreign.route("/end", reply(200, body="arrived"))
        foreign.route("/onward", redirect(end, 307))
        yield Sites(first, first.url("/start"), foreign, end)


BASIC = b64encode(f"user:{SECRET}".encode()).decode()


def clean(received: Received) -> bool:
    seen = f"{received.headers.raw} {received.target}"
    return SECRET not in seen and BASIC not in seen


# Each way in which a credential gets onto a request.

Plant = Callable[[ConnectionManager, Sites], Dict[str, Any]]


def session_header(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.headers["X-API-Key"] = SECRET
    return {}


def session_auth(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.auth = ("user", SECRET)
    return {}


def session_authorization(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.headers["Authorization"] = f"Bearer {SECRET}"
    return {}


def call_header(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"headers": {"X-Auth-Token": SECRET, "X-Vendor-Secret": SECRET}}


def call_authorization(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {SECRET}"}}


def call_auth(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"auth": HTTPBasicAuth("user", SECRET)}


def call_cookie(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"headers": {"Cookie": f"session={SECRET}"}}


def hook_header(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    def hook(context: Any) -> None:
        context.kwargs.setdefault("headers", {})["X-Session-Token"] = SECRET

    manager.register_pre_request_hook(hook)
    return {}


def manager_api_key(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_api_key(SECRET)
    return {}


def manager_odd_key(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_api_key(SECRET, "X-Odd-Name")
    return {"headers": {"X-Odd-Name": SECRET}}


def manager_bearer(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_bearer_token(SECRET)
    return {}


def manager_basic(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_basic_auth("user", SECRET)
    return {}


def endpoint_bearer(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_endpoint_auth(sites.first.origin, "bearer", token=SECRET)
    return {}


def endpoint_odd_key(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_endpoint_auth(sites.first.origin, "api_key", api_key=SECRET, header_name="X-Odd")
    return {}


def endpoint_headers(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.add_endpoint_config(sites.first.origin, {"headers": {"X-Some": SECRET}})
    return {}


def endpoint_auth(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.add_endpoint_config(sites.first.origin, {"auth": ("user", SECRET)})
    return {}


def endpoint_query(manager: ConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.add_endpoint_config(sites.first.origin, {"api_key_query": ("key", SECRET)})
    return {}


PLANTS: List[Plant] = [
    session_header,
    session_auth,
    session_authorization,
    call_header,
    call_authorization,
    call_auth,
    call_cookie,
    hook_header,
    manager_api_key,
    manager_odd_key,
    manager_bearer,
    manager_basic,
    endpoint_bearer,
    endpoint_odd_key,
    endpoint_headers,
    endpoint_auth,
    endpoint_query,
]

# Each way in which a redirect is followed.

Follow = Callable[[ConnectionManager, str, Dict[str, Any]], requests.Response]


def followed(manager: ConnectionManager, url: str, kwargs: Dict[str, Any]) -> requests.Response:
    return manager.get(url, **kwargs)


def following(response: requests.Response) -> requests.PreparedRequest:
    assert response.next is not None
    return response.next


def by_hand(manager: ConnectionManager, url: str, kwargs: Dict[str, Any]) -> requests.Response:
    return manager.send(following(manager.get(url, allow_redirects=False, **kwargs)))


def by_hand_copied(
    manager: ConnectionManager, url: str, kwargs: Dict[str, Any]
) -> requests.Response:
    first = manager.get(url, allow_redirects=False, **kwargs)
    return manager.send(following(first).copy())


def step_by_step(manager: ConnectionManager, url: str, kwargs: Dict[str, Any]) -> requests.Response:
    response = manager.get(url.replace("/start", "/middle"), allow_redirects=False, **kwargs)
    while response.is_redirect:
        response = manager.send(following(response), allow_redirects=False)
    return response


def half_by_hand(manager: ConnectionManager, url: str, kwargs: Dict[str, Any]) -> requests.Response:
    first = manager.get(url.replace("/start", "/middle"), allow_redirects=False, **kwargs)
    return manager.send(following(first), allow_redirects=True)


def prepared(manager: ConnectionManager, url: str, kwargs: Dict[str, Any]) -> requests.Response:
    return manager.send(manager.prepare_request(requests.Request("GET", url, **kwargs)))


FOLLOWS: List[Follow] = [
    followed,
    by_hand,
    by_hand_copied,
    step_by_step,
    half_by_hand,
    prepared,
]


def managed(**kwargs: Any) -> ConnectionManager:
    context = anonymous_context(ssl.PROTOCOL_TLS_CLIENT)
    return ConnectionManager(ssl_context=context, rate_limit_requests=None, **kwargs)


@pytest.mark.parametrize("follow", FOLLOWS)
def test_nothing_secret_arrives_at_the_other_origin(sites: Sites, follow: Follow) -> None:
    for plant in PLANTS:
        sites.first.clear()
        sites.foreign.clear()
        with managed() as manager:
            response = follow(manager, sites.start, plant(manager, sites))
        assert response.text == "arrived"
        assert sites.arrived
        assert all(clean(one) for one in sites.arrived), plant.__name__
        # It did arrive where it belongs.
        begun = [one for one in sites.first.requests if one.path in ("/start", "/middle")]
        assert not clean(begun[0]), plant.__name__


@pytest.mark.parametrize("follow", FOLLOWS)
def test_the_same_origin_keeps_it(follow: Follow) -> None:
    with FaultServer() as server:
        server.route("/start", redirect("/end", 307))
        server.route("/middle", redirect("/start", 307))
        server.route("/end", reply(200, body="arrived"))
        sites = Sites(server, server.url("/start"), server, server.url("/end"))
        for plant in PLANTS:
            server.clear()
            with managed() as manager:
                response = follow(manager, sites.start, plant(manager, sites))
            assert response.text == "arrived"
            # requests itself drops a Cookie header from every redirect.
            if plant is not call_cookie:
                assert not any(clean(one) for one in server.requests), plant.__name__


def test_the_way_back_brings_the_managers_credentials_again() -> None:
    with FaultServer() as first, FaultServer() as other:
        first.route("/start", redirect(other.url("/turn")))
        other.route("/turn", redirect(first.url("/end")))
        first.route("/end", reply(200))
        with managed(bearer_token=SECRET) as manager:
            manager.headers["X-API-Key"] = SECRET
            manager.get(first.url("/start"))
        assert clean(other.requests[0])
        end = first.requests[-1]
        assert end.headers["authorization"] == f"Bearer {SECRET}"
        # What was taken off for the detour does not come back.
        assert "x-api-key" not in end.headers


TARGET_AUTH: Any = [
    (("bearer", {"token": "FOR-TARGET"}), "authorization", "Bearer FOR-TARGET"),
    (("basic", {"username": "u", "password": "p"}), "authorization", "Basic dTpw"),
    (("api_key", {"api_key": "FOR-TARGET"}), "x-api-key", "FOR-TARGET"),
]


@pytest.mark.parametrize("follow", FOLLOWS)
def test_credentials_of_the_targets_endpoint_do_arrive(sites: Sites, follow: Follow) -> None:
    for auth, name, value in TARGET_AUTH:
        with managed(bearer_token=SECRET, api_key=SECRET) as manager:
            manager.set_endpoint_auth(sites.end, auth[0], **auth[1])
            own = {"X-Api-Key": SECRET, "Authorization": SECRET}
            follow(manager, sites.start, {"headers": own})
        assert sites.arrived[-1].headers[name] == value
        assert clean(sites.arrived[-1])


@pytest.mark.parametrize("follow", FOLLOWS)
def test_what_is_no_secret_arrives(sites: Sites, follow: Follow) -> None:
    headers = {"X-Trace-Id": "7", "Accept": "text/plain", "Idempotency-Key": "one"}
    with managed() as manager:
        follow(manager, sites.start, {"headers": headers})
    for name, value in headers.items():
        assert sites.arrived[-1].headers[name] == value


def test_a_header_put_on_the_next_request_by_hand_arrives(sites: Sites) -> None:
    with managed(bearer_token=SECRET) as manager:
        request = following(manager.get(sites.start, allow_redirects=False))
        request.headers["X-API-Key"] = "meant for the target"
        manager.send(request)
    assert sites.arrived[-1].headers["x-api-key"] == "meant for the target"
    assert clean(sites.arrived[-1])


def test_the_next_request_remembers_through_a_pickle(sites: Sites) -> None:
    with managed(bearer_token=SECRET) as manager:
        request = following(manager.get(sites.start, allow_redirects=False))
        manager.send(pickle.loads(pickle.dumps(request)))
    assert clean(sites.arrived[-1])


PATTERNS = ["{host}", "{origin}", "{origin}/start", "https://{host}", "*.example.test"]


SUFFIXES = (
    "/?x={host}",
    "/?{host}",
    "/?u={origin}",
    "/?u={quoted}",
    "/#{origin}",
    "/{host}",
    "/{origin}",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_inside_a_query_or_path_matches_nothing(pattern: str) -> None:
    host = "api.example.test"
    names = {"host": host, "origin": f"http://{host}", "quoted": quote(f"http://{host}/", "")}
    with FaultServer() as evil, managed() as manager:
        manager.set_endpoint_auth(pattern.format(**names), "bearer", token=SECRET)
        for suffix in SUFFIXES:
            manager.get(evil.origin + suffix.format(**names))
        manager.get(evil.origin.replace("http://", f"http://{host}@") + "/")
        assert evil.count() == len(SUFFIXES) + 1
        assert all(SECRET not in str(one.headers.raw) for one in evil.requests)


def test_each_hop_is_a_run_of_its_own(sites: Sites) -> None:
    with managed() as manager:
        response: Any = manager.get(sites.start)
        scopes = manager.get_stats()["scopes"]
    assert [one.status for one in response.attempts] == [307, 200]
    assert len({one.scope for one in response.attempts}) == 2
    assert sorted(one["attempts"] for one in scopes.values()) == [1, 1]


def test_a_relative_location_stays_and_a_body_is_sent_again() -> None:
    def end(received: Received) -> Reply:
        return reply(200, json={"body": received.text, "key": received.headers.get("x-api-key")})

    with FaultServer() as server, managed(api_key=SECRET) as manager:
        server.route("/start", redirect("end", 308))
        server.route("/end", end)
        answer = manager.post(server.url("/start"), json={"a": 1}).json()
    assert answer == {"body": '{"a": 1}', "key": SECRET}


def test_too_many_redirects_are_requests_own_error() -> None:
    with FaultServer() as server, managed() as manager:
        server.route("/", redirect("/"))
        manager.max_redirects = 3
        with pytest.raises(requests.TooManyRedirects) as caught:
            manager.get(server.url("/"))
    assert len(caught.value.attempts) == 4  # type: ignore[attr-defined]  # added by us
