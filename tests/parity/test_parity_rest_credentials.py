"""Credentials of a REST client: how they are sent, and that no other server ever gets them."""

from __future__ import annotations

import base64
import copy

import httpx
import pytest
from rest_drivers import Servers

from requests_connection_manager import HTTPError, MaxRetriesExceeded

BASE = "https://api.test/v1"
SECRET = "s3cret-value"
BASIC = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()


class KeyAuth(httpx.Auth):
    """An auth object of the user's own."""

    def auth_flow(self, request):
        request.headers["X-Signed-With"] = SECRET
        yield request


def as_callable(request):
    request.headers["X-Signed-With"] = SECRET
    return request


# How credentials can be given, and what of it a request to the API has.
WAYS = {
    "api_key": ({"api_key": SECRET}, ("X-API-Key", SECRET)),
    "api_key header": (
        {"api_key": SECRET, "api_key_header": "X-Acme"},
        ("X-Acme", SECRET),
    ),
    "api_key query": ({"api_key": SECRET, "api_key_query": "code"}, ("?code", SECRET)),
    "api_key query pair": ({"api_key_query": ("code", SECRET)}, ("?code", SECRET)),
    "bearer": ({"bearer_token": SECRET}, ("Authorization", f"Bearer {SECRET}")),
    "oauth2": ({"oauth2_token": SECRET}, ("Authorization", f"Bearer {SECRET}")),
    "basic": ({"basic_auth": ("user", SECRET)}, ("Authorization", BASIC)),
    "auth pair": ({"auth": ("user", SECRET)}, ("Authorization", BASIC)),
    "auth object": ({"auth": KeyAuth()}, ("X-Signed-With", SECRET)),
    "auth callable": ({"auth": as_callable}, ("X-Signed-With", SECRET)),
    "secret header": ({"headers": {"X-Secret-Token": SECRET}}, ("X-Secret-Token", SECRET)),
    "authorization header": (
        {"headers": {"Authorization": f"Token {SECRET}"}},
        ("Authorization", f"Token {SECRET}"),
    ),
    "proxy header": (
        {"headers": {"Proxy-Authorization": f"Token {SECRET}"}},
        ("Proxy-Authorization", f"Token {SECRET}"),
    ),
    "cookie header": ({"headers": {"Cookie": f"id={SECRET}"}}, ("Cookie", f"id={SECRET}")),
    "params": ({"params": {"code": SECRET}}, ("?code", SECRET)),
    "cookies": ({"cookies": {"id": SECRET}}, ("Cookie", f"id={SECRET}")),
    "userinfo": ({"base_url": f"https://user:{SECRET}@api.test/v1"}, ("Authorization", BASIC)),
}

ELSEWHERE = {
    "host": "https://evil.test/x",
    "port": "https://api.test:8443/v1/x",
    "scheme": "http://api.test/v1/x",
    "subdomain": "https://sub.api.test/v1/x",
    "suffix": "https://api.test.evil.test/v1/x",
    "userinfo": "https://api.test@evil.test/v1/x",
}


def but(*names):
    """Make a test of the ways but some of them."""
    kept = [name for name in WAYS if name not in names]
    assert len(kept) == len(WAYS) - len(names)
    return pytest.mark.parametrize("way", kept, indirect=True)


@pytest.fixture(params=WAYS)
def way(request):
    options, expected = WAYS[request.param]
    options = dict(options)
    return options.pop("base_url", BASE), options, expected


def has(request, expected):
    name, value = expected
    if name.startswith("?"):
        return request.url.params.get(name[1:]) == value
    return request.headers.get(name) == value


def assert_clean(request):
    everything = f"{request.url} {request.headers.raw}"
    for secret in (SECRET, BASIC):
        assert secret not in everything, everything


def redirecting(location, status=302):
    """Return an answer of the API that redirects, and of all others that does not."""

    def answer(request):
        if request.url.path == "/v1/redirect" and request.url.host == "api.test":
            return httpx.Response(status, headers={"Location": location})
        return httpx.Response(200, json={})

    return Servers(answer)


def test_they_are_sent_to_the_api(rest, servers, way):
    base_url, options, expected = way
    client = rest.client(base_url, transport=servers.transport, **options)
    client.get("/x")
    client.get("https://api.test/v2/x")
    client.get("HTTPS://API.test:443/x")
    with client.stream("GET", "/x"):
        pass
    client.with_options(max_retries=0).get("/x")
    # The userinfo of a URL is its own: an absolute one has none.
    mine = servers.requests if "@" not in base_url else [servers.requests[i] for i in (0, 3, 4)]
    assert all(has(one, expected) for one in mine)


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_no_other_origin_gets_them_by_an_absolute_url(rest, servers, way, elsewhere):
    base_url, options, _ = way
    client = rest.client(base_url, transport=servers.transport, **options)
    url = ELSEWHERE[elsewhere]
    client.get(url)
    client.post(url, json={})
    with client.stream("GET", url):
        pass
    client.batch([("GET", url, {})])
    client.send(client.build_request("GET", url))
    client.send(httpx.Request("GET", url))
    client.with_options(max_retries=0).get(url)
    assert len(servers.requests) == 7
    for one in servers.requests:
        assert_clean(one)


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("status", [302, 307])
def test_no_other_origin_gets_them_by_a_redirect(rest, way, elsewhere, status):
    base_url, options, expected = way
    servers = redirecting(ELSEWHERE[elsewhere], status)
    client = rest.client(base_url, transport=servers.transport, **options)
    client.get("/redirect")
    with client.stream("GET", "/redirect"):
        pass
    client.send(client.build_request("GET", "/redirect"))
    by_hand = client.get("/redirect", follow_redirects=False)
    client.send(by_hand.next_request)
    first, then = servers.requests[0::2], servers.requests[1::2]
    assert len(then) == 4
    assert all(has(one, expected) for one in first if one.url.path == "/v1/redirect")
    for one in then:
        assert_clean(one)


# Parameters belong to a URL, and a redirect names its own. httpx takes a Cookie header off every
# redirect, and puts the cookies on that it keeps.
@but("params", "cookie header")
def test_a_redirect_at_home_keeps_them(rest, way):
    base_url, options, expected = way
    servers = redirecting("/v1/target?page=2")
    rest.client(base_url, transport=servers.transport, **options).get("/redirect")
    assert [one.url.path for one in servers.requests] == ["/v1/redirect", "/v1/target"]
    assert all(has(one, expected) for one in servers.requests)


def test_a_hook_that_changes_the_url_does_not_take_them_along(rest, servers, way):
    base_url, options, _ = way
    client = rest.client(base_url, transport=servers.transport, **options)

    def elsewhere(context):
        context.url = "https://evil.test/x"

    client.register_pre_request_hook(elsewhere)
    client.get("/x")
    client.with_options(max_retries=0).get("/x")
    assert {one.url.host for one in servers.requests} == {"evil.test"}
    for one in servers.requests:
        assert_clean(one)


def test_a_retry_elsewhere_does_not_take_them_along(rest, clock, way):
    base_url, options, _ = way
    servers = Servers(httpx.Response(503), httpx.Response(200))
    client = rest.client(base_url, transport=servers.transport, clock=clock, **options)
    client.get("https://evil.test/x")
    assert len(servers.requests) == 2
    for one in servers.requests:
        assert_clean(one)


def test_a_sibling_for_another_origin_starts_without_them(rest, servers, way):
    base_url, options, expected = way
    client = rest.client(base_url, transport=servers.transport, **options)
    other = client.with_options(base_url="https://other.test/v1")
    other.get("/x")
    other.with_options(max_retries=0).get("/x")
    for one in servers.requests:
        assert one.url.host == "other.test"
        assert_clean(one)
    client.get("/x")
    assert has(servers.last, expected)


def test_a_sibling_for_another_path_keeps_them(rest, servers, way):
    base_url, options, expected = way
    client = rest.client(base_url, transport=servers.transport, **options)
    client.with_options(base_url=base_url.replace("/v1", "/v2")).get("/x")
    assert (servers.last.url.host, servers.last.url.path) == ("api.test", "/v2/x")
    assert has(servers.last, expected)


@but("userinfo", "cookies")
def test_a_sibling_for_another_origin_with_credentials_of_its_own(rest, servers, way):
    _, options, expected = way
    client = rest.client(BASE, transport=servers.transport)
    other = client.with_options(base_url="https://other.test/v1", **options)
    other.get("/x")
    assert has(servers.last, expected)
    other.get("https://api.test/v1/x")
    assert_clean(servers.last)
    client.get("/x")
    assert_clean(servers.last)


def test_what_is_given_with_a_call_is_the_calls_own(rest, servers):
    """The one exception: who names a server and a header in one call means it."""
    client = rest.client(BASE, transport=servers.transport, bearer_token="of the client")
    client.get("https://other.test/x", headers={"Authorization": "mine"})
    assert servers.last.headers["Authorization"] == "mine"
    client.get("https://other.test/x", bearer_token="for-them")
    assert servers.last.headers["Authorization"] == "Bearer for-them"
    client.get("https://other.test/x", params={"key": "k"})
    assert str(servers.last.url) == "https://other.test/x?key=k"


def test_what_is_given_with_a_call_does_not_follow_a_redirect(rest):
    servers = redirecting("https://evil.test/x")
    client = rest.client(BASE, transport=servers.transport, api_key_header="X-Acme")
    for own in (
        {"bearer_token": SECRET},
        {"basic_auth": ("user", SECRET)},
        {"api_key": SECRET},
        {"headers": {"X-Secret-Token": SECRET}},
        {"auth": ("user", SECRET)},
        {"auth": KeyAuth()},
        {"params": {"code": SECRET}},
    ):
        client.get("/redirect", **own)
        assert servers.last.url.host == "evil.test"
        assert_clean(servers.last)


def test_headers_that_are_no_secrets_go_everywhere(rest, servers):
    client = rest.client(BASE, headers={"X-Team": "a"}, transport=servers.transport)
    client.get("https://other.test/x")
    assert servers.last.headers["X-Team"] == "a"


# -- per call


@pytest.mark.parametrize(
    ("client_has", "call_has", "expected"),
    [
        ({"bearer_token": "a"}, {"bearer_token": "b"}, {"authorization": "Bearer b"}),
        ({"basic_auth": ("u", "p")}, {"bearer_token": "b"}, {"authorization": "Bearer b"}),
        ({"auth": ("u", "p")}, {"bearer_token": "b"}, {"authorization": "Bearer b"}),
        ({"bearer_token": "a"}, {"basic_auth": ("user", SECRET)}, {"authorization": BASIC}),
        ({"bearer_token": "a"}, {"auth": ("user", SECRET)}, {"authorization": BASIC}),
        ({"bearer_token": "a"}, {"headers": {"Authorization": "x"}}, {"authorization": "x"}),
        ({"api_key": "a"}, {"api_key": "b"}, {"x-api-key": "b"}),
        ({"api_key": "a", "api_key_header": "X-K"}, {"api_key": "b"}, {"x-k": "b"}),
        ({"api_key_header": "X-K"}, {"api_key": "b"}, {"x-k": "b"}),
        ({}, {"api_key": "b"}, {"x-api-key": "b"}),
        ({"api_key": "a"}, {"headers": {"x-api-key": "b"}}, {"x-api-key": "b"}),
        ({"api_key": "a"}, {"bearer_token": "b"}, {"x-api-key": "a", "authorization": "Bearer b"}),
    ],
)
def test_the_credentials_of_a_call_override_those_of_the_client(
    rest, servers, client_has, call_has, expected
):
    client = rest.client(BASE, transport=servers.transport, **client_has)
    client.get("/x", **call_has)
    names = ("authorization", "x-api-key", "x-k")
    sent = {name: servers.last.headers[name] for name in names if name in servers.last.headers}
    assert sent == expected


@pytest.mark.parametrize("call_has", [{"api_key": "b"}, {"params": {"code": "b"}}])
@pytest.mark.parametrize(
    "client_has", [{"api_key": "a", "api_key_query": "code"}, {"api_key_query": ("code", "a")}]
)
def test_an_api_key_of_a_call_in_the_query(rest, servers, client_has, call_has):
    client = rest.client(BASE, transport=servers.transport, **client_has)
    client.get("/x?page=2", **call_has)
    assert sorted(servers.last.url.params.multi_items()) == [("code", "b"), ("page", "2")]


# Neither default parameters nor the cookies of a session are credentials in this sense.
@but("params", "cookies", "cookie header")
def test_auth_none_sends_no_credentials(rest, servers, way):
    base_url, options, expected = way
    client = rest.client(base_url, transport=servers.transport, **options)
    client.get("/x", auth=None)
    with client.stream("GET", "/x", auth=None):
        pass
    client.batch([("GET", "/x", {"auth": None})])
    client.with_options(max_retries=0).get("/x", auth=None)
    client.with_options(auth=None).get("/x", auth=None)
    for one in servers.requests:
        assert not has(one, expected)
        assert_clean(one)


def test_auth_none_leaves_what_the_call_gives(rest, servers):
    client = rest.client(BASE, transport=servers.transport, bearer_token="a", api_key="k")
    client.get("/x", auth=None, headers={"Authorization": "mine"})
    assert servers.last.headers["Authorization"] == "mine"
    assert "X-API-Key" not in servers.last.headers


def test_auth_none_holds_for_retries_and_redirects(rest, clock):
    answers = httpx.Response(503), httpx.Response(302, headers={"Location": "/v1/y"})
    servers = Servers(*answers, httpx.Response(200))
    client = rest.client(BASE, transport=servers.transport, bearer_token=SECRET, clock=clock)
    client.get("/x", auth=None)
    assert len(servers.requests) == 3
    for one in servers.requests:
        assert_clean(one)


@pytest.mark.parametrize(
    "given",
    [
        {"bearer_token": "b", "basic_auth": ("u", "p")},
        {"bearer_token": ""},
        {"bearer_token": "line\nbreak"},
        {"basic_auth": ("a:b", "p")},
        {"api_key": ""},
    ],
)
def test_credentials_of_a_call_are_checked(rest, servers, given):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(ValueError):
        client.get("/x", **given)
    with pytest.raises(ValueError):
        rest.kind(BASE, **given)
    assert servers.requests == []


@pytest.mark.parametrize("given", [{"bearer_token": 7}, {"api_key": b"k"}, {"basic_auth": "u:p"}])
def test_credentials_of_a_call_have_types(rest, servers, given):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(TypeError, match=next(iter(given))):
        client.get("/x", **given)
    assert servers.requests == []


# -- nowhere to be seen


def test_no_credential_is_shown(rest, clock, caplog, way):
    base_url, options, _ = way
    caplog.set_level("DEBUG")
    servers = Servers(lambda request: httpx.Response(500, text=f"{request.url} {SECRET}"))
    client = rest.client(base_url, transport=servers.transport, clock=clock, **options)
    with pytest.raises(MaxRetriesExceeded) as caught:
        client.get("/x")
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("requests_conn")]
    shown = [repr(client.client), str(caught.value), repr(caught.value), *ours]
    shown += [repr(event) for event in client.seen]
    shown.append(repr(client.get_stats()))
    known = not any(name in options for name in ("auth", "headers", "params", "cookies"))
    for text in shown:
        if known and "@" not in base_url:
            assert SECRET not in text
            assert BASIC not in text
        assert f"user:{SECRET}" not in text


@pytest.mark.parametrize(
    "given", [{"bearer_token": SECRET}, {"api_key": SECRET}, {"basic_auth": ("user", SECRET)}]
)
def test_a_credential_of_a_call_is_not_shown_either(rest, given):
    servers = Servers(lambda request: httpx.Response(400, text=f"bad key {SECRET}"))
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(HTTPError) as caught:
        client.get("/x", **given)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.detail)


# -- cookies


def test_cookies_are_kept_and_go_back_to_where_they_came_from(rest):
    def answer(request):
        return httpx.Response(200, headers={"Set-Cookie": f"from={request.url.host}"})

    servers = Servers(answer)
    client = rest.client(BASE, transport=servers.transport)
    client.get("/x")
    client.get("https://other.test/x")
    client.get("/x")
    client.get("https://other.test/x")
    assert [one.headers.get("Cookie") for one in servers.requests] == [
        *(None, None),
        *("from=api.test", "from=other.test"),
    ]


def test_a_cookie_that_is_set_later_stays_at_home_too(rest, servers):
    client = rest.client(BASE, transport=servers.transport, cookies={"id": "old"})
    client.client.cookies.set("id", "new")
    client.client.cookies["more"] = "1"
    client.get("/x")
    client.get("https://evil.test/x")
    assert sorted(servers.requests[0].headers["Cookie"].split("; ")) == ["id=new", "more=1"]
    assert "Cookie" not in servers.last.headers
    assert client.client.cookies["id"] == "new"
    client.client.cookies = {"id": "replaced"}
    client.get("/x")
    assert servers.last.headers["Cookie"] == "id=replaced"
    client.get("https://evil.test/x")
    assert "Cookie" not in servers.last.headers


@pytest.mark.parametrize(
    "base_url",
    [
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://api.test",
        "https://api.test:8443",
        "http://api.test",
        "https://b\u00fccher.test",
    ],
)
def test_cookies_reach_every_kind_of_home(rest, servers, base_url):
    client = rest.client(base_url, transport=servers.transport, cookies={"id": "7"})
    client.get("/x")
    assert servers.last.headers["Cookie"] == "id=7"


def test_a_cookie_with_a_domain_goes_there(rest, servers):
    cookies = httpx.Cookies()
    cookies.set("id", "7", domain="other.test")
    client = rest.client(BASE, transport=servers.transport, cookies=cookies)
    client.get("/x")
    client.get("https://other.test/x")
    sent = [one.headers.get("Cookie") for one in servers.requests]
    assert sent == [None, "id=7"]
    assert copy.copy(cookies).get("id") == "7"


def test_the_cookies_that_were_given_stay_the_callers(rest, servers):
    cookies = httpx.Cookies({"id": "7"})
    rest.client(BASE, transport=servers.transport, cookies=cookies)
    assert [cookie.domain for cookie in cookies.jar] == [""]


@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
def test_cookies_of_a_call_are_its_own(rest, servers):
    client = rest.client(BASE, transport=servers.transport, cookies={"id": "7"})
    client.get("https://other.test/x", cookies={"mine": "1"})
    assert servers.last.headers["Cookie"] == "mine=1"
    client.get("/x", cookies={"mine": "1"})
    assert sorted(servers.last.headers["Cookie"].split("; ")) == ["id=7", "mine=1"]


def test_an_endpoint_of_another_server_has_credentials_of_its_own(rest, servers):
    endpoints = {"other.test": {"bearer_token": "theirs"}}
    client = rest.client(
        BASE, transport=servers.transport, bearer_token="mine", endpoint_configs=endpoints
    )
    for url in ("/x", "https://other.test/x", "https://third.test/x"):
        client.get(url)
    sent = [one.headers.get("Authorization") for one in servers.requests]
    assert sent == ["Bearer mine", "Bearer theirs", None]


def test_a_sibling_of_another_origin_can_be_given_by_a_url_object(rest, servers):
    client = rest.client(BASE, transport=servers.transport, bearer_token=SECRET)
    client.with_options(base_url=httpx.URL("https://other.test/v2")).get("/x")
    assert servers.urls == ["https://other.test/v2/x"]
    assert_clean(servers.last)
