"""No credential follows a redirect to another origin on the asynchronous side either."""

from __future__ import annotations

import ssl
from base64 import b64encode
from typing import Any, Awaitable, Callable, Dict, Iterator, List, NamedTuple

import httpx
import pytest

from requests_connection_manager import AsyncConnectionManager
from requests_connection_manager.testing import FaultServer, Received, redirect, reply

pytestmark = pytest.mark.anyio

SECRET = "S3CRET"
BASIC = b64encode(f"user:{SECRET}".encode()).decode()
TARGETS = ("other host", "other port", "http from https")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ON_BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


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
        first.route("/start", redirect(f"{origin}/end", 307))
        first.route("/middle", redirect(first.url("/start"), 307))
        foreign.route("/end", reply(200, body="arrived"))
        yield Sites(first, first.url("/start"), foreign, f"{origin}/end")


def clean(received: Received) -> bool:
    seen = f"{received.headers.raw} {received.target}"
    return SECRET not in seen and BASIC not in seen


Plant = Callable[[AsyncConnectionManager, Sites], Dict[str, Any]]


def client_header(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.headers["X-API-Key"] = SECRET
    return {}


def client_auth(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.auth = ("user", SECRET)
    return {}


def client_authorization(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.headers["Authorization"] = f"Bearer {SECRET}"
    return {}


def call_header(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"headers": {"X-Auth-Token": SECRET, "X-Vendor-Secret": SECRET}}


def call_authorization(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {SECRET}"}}


def call_auth(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    return {"auth": ("user", SECRET)}


def hook_header(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    async def hook(context: Any) -> None:
        context.kwargs.setdefault("headers", {})["X-Session-Token"] = SECRET

    manager.register_pre_request_hook(hook)
    return {}


def manager_api_key(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_api_key(SECRET)
    return {}


def manager_odd_key(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_api_key(SECRET, "X-Odd-Name")
    return {"headers": {"X-Odd-Name": SECRET}}


def manager_bearer(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_bearer_token(SECRET)
    return {}


def manager_basic(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_basic_auth("user", SECRET)
    return {}


def endpoint_bearer(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_endpoint_auth(sites.first.origin, "bearer", token=SECRET)
    return {}


def endpoint_odd_key(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.set_endpoint_auth(sites.first.origin, "api_key", api_key=SECRET, header_name="X-Odd")
    return {}


def endpoint_headers(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.add_endpoint_config(sites.first.origin, {"headers": {"X-Some": SECRET}})
    return {}


def endpoint_auth(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.add_endpoint_config(sites.first.origin, {"auth": ("user", SECRET)})
    return {}


def endpoint_query(manager: AsyncConnectionManager, sites: Sites) -> Dict[str, Any]:
    manager.add_endpoint_config(sites.first.origin, {"api_key_query": ("key", SECRET)})
    return {}


PLANTS: List[Plant] = [
    client_header,
    client_auth,
    client_authorization,
    call_header,
    call_authorization,
    call_auth,
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

Follow = Callable[[AsyncConnectionManager, str, Dict[str, Any]], Awaitable[httpx.Response]]


async def followed(
    manager: AsyncConnectionManager, url: str, kwargs: Dict[str, Any]
) -> httpx.Response:
    return await manager.get(url, follow_redirects=True, **kwargs)


async def by_hand(
    manager: AsyncConnectionManager, url: str, kwargs: Dict[str, Any]
) -> httpx.Response:
    first = await manager.get(url, **kwargs)
    assert first.next_request is not None
    return await manager.send(first.next_request)


async def step_by_step(
    manager: AsyncConnectionManager, url: str, kwargs: Dict[str, Any]
) -> httpx.Response:
    response = await manager.get(url.replace("/start", "/middle"), **kwargs)
    while response.next_request is not None:
        response = await manager.send(response.next_request)
    return response


async def half_by_hand(
    manager: AsyncConnectionManager, url: str, kwargs: Dict[str, Any]
) -> httpx.Response:
    first = await manager.get(url.replace("/start", "/middle"), **kwargs)
    assert first.next_request is not None
    return await manager.send(first.next_request, follow_redirects=True)


async def built(
    manager: AsyncConnectionManager, url: str, kwargs: Dict[str, Any]
) -> httpx.Response:
    auth = {"auth": kwargs.pop("auth")} if "auth" in kwargs else {}
    request = manager.build_request("GET", url, **kwargs)
    return await manager.send(request, follow_redirects=True, **auth)


async def streamed(
    manager: AsyncConnectionManager, url: str, kwargs: Dict[str, Any]
) -> httpx.Response:
    async with manager.stream("GET", url, follow_redirects=True, **kwargs) as response:
        await response.aread()
        return response


FOLLOWS: List[Follow] = [followed, by_hand, step_by_step, half_by_hand, built, streamed]


def managed(**kwargs: Any) -> AsyncConnectionManager:
    context = anonymous_context(ssl.PROTOCOL_TLS_CLIENT)
    return AsyncConnectionManager(ssl_context=context, rate_limit_requests=None, **kwargs)


@pytest.mark.parametrize("follow", FOLLOWS)
async def test_nothing_secret_arrives_at_the_other_origin(sites: Sites, follow: Follow) -> None:
    for plant in PLANTS:
        sites.first.clear()
        sites.foreign.clear()
        async with managed() as manager:
            response = await follow(manager, sites.start, plant(manager, sites))
        assert response.text == "arrived"
        assert sites.arrived
        assert all(clean(one) for one in sites.arrived), plant.__name__
        # It did arrive where it belongs.
        begun = [one for one in sites.first.requests if one.path in ("/start", "/middle")]
        assert not clean(begun[0]), plant.__name__


@pytest.mark.parametrize("follow", FOLLOWS)
async def test_the_same_origin_keeps_it(follow: Follow) -> None:
    with FaultServer() as server:
        server.route("/start", redirect("/end", 307))
        server.route("/middle", redirect("/start", 307))
        server.route("/end", reply(200, body="arrived"))
        sites = Sites(server, server.url("/start"), server, server.url("/end"))
        for plant in PLANTS:
            server.clear()
            async with managed() as manager:
                response = await follow(manager, sites.start, plant(manager, sites))
            assert response.text == "arrived"
            assert not any(clean(one) for one in server.requests), plant.__name__


@ON_BOTH
async def test_the_way_back_brings_the_managers_credentials_again() -> None:
    with FaultServer() as first, FaultServer() as other:
        first.route("/start", redirect(other.url("/turn")))
        other.route("/turn", redirect(first.url("/end")))
        first.route("/end", reply(200))
        async with managed(bearer_token=SECRET, follow_redirects=True) as manager:
            manager.headers["X-API-Key"] = SECRET
            await manager.get(first.url("/start"))
        assert clean(other.requests[0])
        end = first.requests[-1]
        assert end.headers["authorization"] == f"Bearer {SECRET}"
        assert "x-api-key" not in end.headers


TARGET_AUTH: Any = [
    ({"bearer_token": "FOR-TARGET"}, "authorization", "Bearer FOR-TARGET"),
    ({"basic_auth": ("u", "p")}, "authorization", "Basic dTpw"),
    ({"api_key": "FOR-TARGET"}, "x-api-key", "FOR-TARGET"),
    ({"auth": ("u", "p")}, "authorization", "Basic dTpw"),
]


@pytest.mark.parametrize("follow", FOLLOWS)
async def test_credentials_of_the_targets_endpoint_do_arrive(sites: Sites, follow: Follow) -> None:
    for config, name, value in TARGET_AUTH:
        async with managed(bearer_token=SECRET, api_key=SECRET) as manager:
            manager.add_endpoint_config(sites.end, config)
            own = {"X-Api-Key": SECRET, "Authorization": SECRET}
            await follow(manager, sites.start, {"headers": own})
        assert sites.arrived[-1].headers.get(name) == value, config
        assert clean(sites.arrived[-1])


@pytest.mark.parametrize("follow", FOLLOWS)
async def test_what_is_no_secret_arrives(sites: Sites, follow: Follow) -> None:
    headers = {"X-Trace-Id": "7", "Accept": "text/plain", "Idempotency-Key": "one"}
    async with managed() as manager:
        await follow(manager, sites.start, {"headers": headers})
    for name, value in headers.items():
        assert sites.arrived[-1].headers[name] == value


@ON_BOTH
async def test_a_header_put_on_the_next_request_by_hand_arrives(sites: Sites) -> None:
    async with managed(bearer_token=SECRET) as manager:
        request = (await manager.get(sites.start)).next_request
        assert request is not None
        request.headers["X-API-Key"] = "meant for the target"
        await manager.send(request)
    assert sites.arrived[-1].headers["x-api-key"] == "meant for the target"
    assert clean(sites.arrived[-1])


async def test_auth_given_with_the_next_request_arrives(sites: Sites) -> None:
    async with managed(bearer_token=SECRET) as manager:
        request = (await manager.get(sites.start)).next_request
        assert request is not None
        await manager.send(request, auth=("u", "p"))
    assert sites.arrived[-1].headers["authorization"] == "Basic dTpw"


@ON_BOTH
async def test_each_hop_is_a_run_of_its_own(sites: Sites) -> None:
    async with managed(follow_redirects=True) as manager:
        response: Any = await manager.get(sites.start)
        scopes = manager.get_stats()["scopes"]
    assert [one.status for one in response.attempts] == [307, 200]
    assert [one.status_code for one in response.history] == [307]
    assert sorted(one["attempts"] for one in scopes.values()) == [1, 1]


@ON_BOTH
async def test_a_body_is_sent_again() -> None:
    with FaultServer() as server:
        server.route("/start", redirect("end", 308))
        server.route("/end", lambda received: reply(200, body=received.text))
        async with managed(follow_redirects=True) as manager:
            response = await manager.post(server.url("/start"), json={"a": 1})
    assert response.json() == {"a": 1}


async def test_too_many_redirects_are_httpx_own_error() -> None:
    with FaultServer() as server:
        server.route("/", redirect("/"))
        async with managed(follow_redirects=True, max_redirects=3) as manager:
            with pytest.raises(httpx.TooManyRedirects) as caught:
                await manager.get(server.url("/"))
    assert len(caught.value.attempts) == 4  # type: ignore[attr-defined]  # added by us
