"""Where the requests of a REST client go: base URLs, paths, parameters."""

from __future__ import annotations

import httpx
import pytest
from rest_drivers import Servers

BASE = "https://api.test/v1"


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("https://api.test", "/users", "https://api.test/users"),
        ("https://api.test", "users", "https://api.test/users"),
        ("https://api.test/", "/users", "https://api.test/users"),
        ("https://api.test/v1", "/users", "https://api.test/v1/users"),
        ("https://api.test/v1", "users", "https://api.test/v1/users"),
        ("https://api.test/v1/", "/users", "https://api.test/v1/users"),
        ("https://api.test/v1/", "users/", "https://api.test/v1/users/"),
        ("https://api.test/v1", "", "https://api.test/v1"),
        ("https://api.test/v1/", "", "https://api.test/v1/"),
        ("https://api.test/v1", "/", "https://api.test/v1/"),
        ("https://api.test/v1", "?page=2", "https://api.test/v1?page=2"),
        ("https://api.test/v1", "users?page=2&tag=a&tag=b", BASE + "/users?page=2&tag=a&tag=b"),
        ("https://api.test/v1", "//evil.test/users", "https://api.test/v1/evil.test/users"),
        ("https://api.test/v1", "\\\\evil.test/users", "https://api.test/v1/evil.test/users"),
        ("https://api.test/v1", "https://api.test/v2", "https://api.test/v2"),
        ("https://api.test/v1", "HTTPS://other.test/x", "https://other.test/x"),
        ("https://api.test:443/v1", "/users", "https://api.test/v1/users"),
        ("https://api.test:8443/v1", "/users", "https://api.test:8443/v1/users"),
        ("HTTPS://API.test/v1", "/users", "https://api.test/v1/users"),
        ("https://api.test/v1", "/a b", "https://api.test/v1/a%20b"),
        ("https://api.test/v1", "/caf\u00e9", "https://api.test/v1/caf%C3%A9"),
        ("https://api.test/caf\u00e9", "/x", "https://api.test/caf%C3%A9/x"),
        ("https://b\u00fccher.test/v1", "/x", "https://xn--bcher-kva.test/v1/x"),
        ("https://api.test/v1", "/a%2Fb", "https://api.test/v1/a%2Fb"),
        ("https://api.test/v1", "/time/10:30", "https://api.test/v1/time/10:30"),
        ("https://api.test/v1", "mailto:x", "https://api.test/v1/mailto:x"),
        ("http://[::1]:8000/v1", "/x", "http://[::1]:8000/v1/x"),
    ],
)
def test_a_path_is_appended_to_the_base_url(rest, servers, base_url, path, url):
    client = rest.client(base_url, transport=servers.transport)
    response = client.get(path)
    assert servers.urls == [url]
    assert str(response.request.url) == url
    assert str(client.build_request("GET", path).url) == url


def test_url_objects_are_urls(rest, servers):
    client = rest.client(httpx.URL(BASE), transport=servers.transport)
    client.get(httpx.URL("/users"))
    client.get(httpx.URL("https://other.test/users"))
    assert servers.urls == [BASE + "/users", "https://other.test/users"]


@pytest.mark.parametrize(
    "path", ["../admin", "/../admin", "/users/../../admin", "/%2e%2e/admin", "..\\admin", "/a/.."]
)
def test_a_path_that_leaves_the_base_is_refused(rest, servers, path):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(ValueError, match=r"must stay below base_url, but has a '\.\.' segment"):
        client.get(path)
    assert servers.requests == []


@pytest.mark.parametrize("path", ["/users?next=../x", "/users#..", "/a..b", "/..."])
def test_dots_elsewhere_are_dots(rest, servers, path):
    rest.client(BASE, transport=servers.transport).get(path)
    assert servers.urls[0].startswith(BASE + "/")


@pytest.mark.parametrize(
    ("base_url", "kind", "message"),
    [
        (None, TypeError, "must be an absolute URL such as"),
        (7, TypeError, "must be an absolute URL such as"),
        ("", ValueError, "must be an absolute URL such as"),
        ("/v1", ValueError, "must be an absolute URL such as"),
        ("api.test/v1", ValueError, "must be an absolute URL such as"),
        ("//api.test/v1", ValueError, "must be an absolute URL such as"),
        ("ftp://api.test/v1", ValueError, "must be an absolute URL such as"),
        ("https://", ValueError, "must be an absolute URL such as"),
        (" https://api.test", ValueError, "must be an absolute URL such as"),
        ("https://api.test:x", ValueError, "must be an absolute URL such as"),
        ("https://api.test:99999", ValueError, "must be an absolute URL such as"),
        ("https://api.test/?key=secret-1", ValueError, "can't have a query"),
        ("https://api.test/?", ValueError, "can't have a query"),
        ("https://api.test/#top", ValueError, "can't have a query"),
    ],
)
def test_a_base_url_that_is_none_is_refused(rest, base_url, kind, message):
    with pytest.raises(kind, match=message) as caught:
        rest.kind(base_url)
    assert "secret-1" not in str(caught.value)
    client = rest.client(BASE)
    with pytest.raises(kind, match=message):
        client.with_options(base_url=base_url)


def test_a_missing_base_url_is_a_type_error(rest):
    with pytest.raises(TypeError, match="base_url"):
        rest.kind()


# -- parameters


@pytest.mark.parametrize(
    ("defaults", "path", "params", "query"),
    [
        (None, "/x", None, ""),
        ({"lang": "en"}, "/x", None, "lang=en"),
        ({"lang": "en"}, "/x", {"page": 2}, "lang=en&page=2"),
        ({"lang": "en"}, "/x", {"lang": "de"}, "lang=de"),
        ({"lang": "en"}, "/x?lang=fr", None, "lang=fr"),
        ({"lang": "en"}, "/x?page=1", None, "page=1&lang=en"),
        (None, "/x?page=1", {"tag": "a"}, "page=1&tag=a"),
        (None, "/x?page=1&a=b", {"page": 2}, "page=2&a=b"),
        ({"page": "0"}, "/x?page=1", {"page": 2}, "page=2"),
        (None, "/x", {"tag": ["a", "b"]}, "tag=a&tag=b"),
        (None, "/x", [("tag", "a"), ("tag", "b")], "tag=a&tag=b"),
        (None, "/x", "a=1&b=2", "a=1&b=2"),
        (None, "/x", {"q": "a b&c/\u00e9"}, "q=a+b%26c%2F%C3%A9"),
        (None, "/x", {"yes": True, "no": False, "n": 1.5}, "yes=true&no=false&n=1.5"),
        (None, "/x", {"given": "1", "left_out": None}, "given=1"),
        ({"given": "1", "left_out": None}, "/x", None, "given=1"),
        ([("tag", "a"), ("tag", "b")], "/x", None, "tag=a&tag=b"),
        (None, "/x?flag", None, "flag"),
        (None, "/x?a=%20b", None, "a=%20b"),
    ],
)
def test_parameters(rest, servers, defaults, path, params, query):
    client = rest.client(BASE, params=defaults, transport=servers.transport)
    client.get(path, params=params)
    assert servers.last.url.query.decode() == query


# -- headers


def test_default_headers_and_those_of_a_call(rest, servers):
    headers = {"X-Team": "a", "Accept": "text/plain"}
    client = rest.client(BASE, headers=headers, transport=servers.transport)
    client.get("/x", headers={"x-team": "b", "X-More": "c"})
    sent = servers.last.headers
    assert (sent["X-Team"], sent["Accept"], sent["X-More"]) == ("b", "text/plain", "c")
    client.get("/x")
    assert servers.last.headers["X-Team"] == "a"
    assert "X-More" not in servers.last.headers


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({}, ""),
        ({"user_agent": "shop/1.0"}, "shop/1.0 "),
        ({"headers": {"User-Agent": "shop/1.0"}}, "shop/1.0 "),
        ({"headers": {"User-Agent": "other"}, "user_agent": "shop/1.0"}, "shop/1.0 "),
    ],
)
def test_the_user_agent_names_the_caller_first_and_the_library_too(rest, servers, options, own):
    rest.client(BASE, transport=servers.transport, **options).get("/x")
    sent = servers.last.headers["User-Agent"]
    assert sent.startswith(own + "requests-connection-manager/")
    assert sent.endswith(f" python-httpx/{httpx.__version__}")


def test_the_user_agent_of_a_call_is_sent_as_it_is(rest, servers):
    client = rest.client(BASE, user_agent="shop/1.0", transport=servers.transport)
    client.get("/x", headers={"User-Agent": "probe"})
    assert servers.last.headers["User-Agent"] == "probe"


def test_a_sibling_keeps_the_user_agent_and_can_have_its_own(rest, servers):
    client = rest.client(BASE, user_agent="shop/1.0", transport=servers.transport)
    client.with_options(headers={"X-Team": "a"}).get("/x")
    assert servers.last.headers["User-Agent"] == client.headers["User-Agent"]
    assert servers.last.headers["X-Team"] == "a"
    client.with_options(user_agent="batch/2").get("/x")
    assert servers.last.headers["User-Agent"].startswith("batch/2 requests-connection-manager/")
    client.get("/x")
    assert servers.last.headers["User-Agent"].startswith("shop/1.0 ")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_every_method(rest, servers, method):
    client = rest.client(BASE, transport=servers.transport)
    getattr(client, method.lower())("/x")
    client.request(method, "/y")
    assert [(one.method, one.url.path) for one in servers.requests] == [
        (method, "/v1/x"),
        (method, "/v1/y"),
    ]


# -- timeouts

NONE = {"connect": None, "read": None, "write": None, "pool": None}


@pytest.mark.parametrize(
    ("given", "of_call", "timeout"),
    [
        ({}, {}, dict.fromkeys(NONE, 30)),
        ({"timeout": 5}, {}, dict.fromkeys(NONE, 5)),
        ({"timeout": None}, {}, NONE),
        ({"timeout": 5}, {"timeout": 2}, dict.fromkeys(NONE, 2)),
        ({"timeout": 5}, {"timeout": None}, NONE),
        ({"timeout": 5, "connect_timeout": 1}, {}, {**dict.fromkeys(NONE, 5), "connect": 1}),
        ({"timeout": 5, "read_timeout": 9}, {}, {**dict.fromkeys(NONE, 5), "read": 9}),
        ({"timeout": 5}, {"read_timeout": 9}, {**dict.fromkeys(NONE, 5), "read": 9}),
        ({}, {"timeout": httpx.Timeout(4, connect=1)}, {**dict.fromkeys(NONE, 4), "connect": 1}),
        ({"timeout": 50}, {"total_timeout": 3}, dict.fromkeys(NONE, 3)),
    ],
)
def test_the_timeout_of_a_client_and_of_a_call(rest, clock, given, of_call, timeout):
    servers = Servers()
    client = rest.client(BASE, transport=servers.transport, clock=clock, **given)
    client.get("/x", **of_call)
    assert servers.last.extensions["timeout"] == timeout


@pytest.mark.parametrize(("timeout", "kind"), [("soon", TypeError), (-1, ValueError)])
def test_a_timeout_that_is_none(rest, servers, timeout, kind):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(kind, match="timeout must be"):
        client.get("/x", timeout=timeout)
    with pytest.raises(kind, match="timeout must be"):
        client.with_options(timeout=timeout)
    with pytest.raises(kind, match="timeout must be"):
        rest.kind(BASE, timeout=timeout)


def test_an_unknown_option_names_the_nearest(rest, servers):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(TypeError, match="'timout'; did you mean 'timeout'"):
        rest.kind(BASE, timout=3)
    with pytest.raises(TypeError, match="'timout'; did you mean 'timeout'"):
        client.get("/x", timout=3)
    with pytest.raises(TypeError, match="'timout'; did you mean 'timeout'"):
        client.with_options(timout=3)
    with pytest.raises(TypeError, match="with_options: unknown setting 'transport'"):
        client.with_options(transport=servers.transport)
    assert servers.requests == []
