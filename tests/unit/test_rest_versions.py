"""How a request says which version of the API it means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_connection_manager.rest import (
    HeaderVersion,
    MediaTypeVersion,
    PathVersion,
    QueryVersion,
    VersionChange,
)
from requests_connection_manager.rest.versions import ApiVersions

BASE = "https://api.test/shop"
VENDOR = MediaTypeVersion("application/vnd.acme.v{version}+json")
ALL = [HeaderVersion("X-API-Version"), QueryVersion("api-version"), PathVersion(), VENDOR]


@pytest.fixture
def client(rest, servers):
    def make(**options):
        return rest.client(BASE, transport=servers.transport, **options)

    return make


# -- what arrives


def test_by_header(client, servers):
    made = client(versioning=HeaderVersion("X-API-Version"), api_version="2024-01")
    made.get("/users")
    made.get("/users", api_version="2023-07")
    made.get("/users", api_version=None)
    made.get("/users", headers={"x-api-version": "mine"})
    sent = [request.headers.get("X-API-Version") for request in servers.requests]
    assert sent == ["2024-01", "2023-07", None, "mine"]
    assert set(servers.urls) == {BASE + "/users"}


def test_by_header_with_a_template(client, servers):
    client(versioning=HeaderVersion("Accept-Version", "~{version}"), api_version=2).get("/")
    assert servers.last.headers["Accept-Version"] == "~2"


def test_by_query(client, servers):
    made = client(versioning=QueryVersion("api-version"), api_version="2024-01", params={"k": "1"})
    made.get("/users")
    made.get("/users?page=2", api_version="a b&c")
    made.get("/users", api_version=None)
    made.get("/users?api-version=2020")
    made.get("/users", params={"api-version": "mine"})
    assert [dict(request.url.params) for request in servers.requests] == [
        {"k": "1", "api-version": "2024-01"},
        {"page": "2", "k": "1", "api-version": "a b&c"},
        {"k": "1"},
        {"api-version": "2020", "k": "1"},
        {"k": "1", "api-version": "mine"},
    ]


def test_by_path(client, servers):
    made = client(versioning=PathVersion("api/v{version}"), api_version=1)
    made.get("/users?page=2")
    made.get("users", api_version="2.1")
    made.get("/users", api_version=None)
    made.get(BASE + "/api/v9/users")
    assert servers.urls == [
        BASE + "/api/v1/users?page=2",
        BASE + "/api/v2.1/users",
        BASE + "/users",
        BASE + "/api/v9/users",
    ]


def test_by_media_type(client, servers):
    made = client(versioning=VENDOR, api_version="3")
    made.post("/users", json={"id": 7})
    made.post("/users", json={"id": 7}, api_version="4")
    made.post("/users", data={"id": 7})
    made.post("/users", json={"id": 7}, api_version=None)
    made.post("/users", json={"id": 7}, headers={"Content-Type": "application/json"})
    sent = [
        (request.headers["Accept"], request.headers["Content-Type"]) for request in servers.requests
    ]
    third, fourth = (f"application/vnd.acme.v{version}+json" for version in (3, 4))
    assert sent == [
        (third, third),
        (fourth, fourth),
        (third, "application/x-www-form-urlencoded"),
        ("*/*", "application/json"),
        (third, "application/json"),
    ]


@pytest.mark.parametrize(
    "versioning",
    [
        MediaTypeVersion("application/vnd.acme.v{version}+json", content_type=False),
        MediaTypeVersion("application/vnd.acme.v{version}+xml"),
    ],
)
def test_a_media_type_may_be_for_answers_only(client, servers, versioning):
    client(versioning=versioning, api_version="3").post("/users", json=1)
    assert servers.last.headers["Content-Type"] == "application/json"
    assert servers.last.headers["Accept"] == versioning.change("3").headers["Accept"]


def test_a_parameter_of_the_media_type(client, servers):
    versioning = MediaTypeVersion("application/json; version={version}")
    client(versioning=versioning, api_version="3").post("/users", json=1)
    assert servers.last.headers["Content-Type"] == "application/json; version=3"


@pytest.mark.parametrize("versioning", ALL)
def test_nothing_is_said_to_another_origin(client, servers, versioning):
    made = client(versioning=versioning, api_version="77")
    made.get("https://other.test/x")
    made.get("http://api.test/x")
    assert "77" not in f"{servers.urls} {[one.headers.raw for one in servers.requests]}"
    made.get("https://API.test:443/shop/x", api_version="88")
    assert "88" in f"{servers.last.url} {servers.last.headers.raw}" or (
        isinstance(versioning, PathVersion)
    )


class Dated:
    """A way of one's own."""

    def change(self, version):
        return VersionChange(path=f"as-of/{version}", headers={"X-As-Of": version})


def test_a_way_of_ones_own(client, servers):
    client(versioning=Dated(), api_version="2024").get("/users")
    assert servers.urls == [BASE + "/as-of/2024/users"]
    assert servers.last.headers["X-As-Of"] == "2024"


def test_versions_side_by_side(client, servers):
    first = client(versioning=PathVersion(), api_version="1", api_versions=["1", "2"])
    second = first.with_options(api_version="2")
    first.get("/a")
    second.get("/a")
    assert servers.urls == [BASE + "/v1/a", BASE + "/v2/a"]


# -- unknown versions


def test_an_unknown_version_lists_those_that_there_are(client, servers):
    known = ("2023-07", "2024-01", 3)
    made = client(versioning=HeaderVersion("V"), api_versions=known, api_version=3)
    made.get("/", api_version="2023-07")
    with pytest.raises(ValueError, match=r"unknown api_version '2024-1'; did you mean '2024-01'\?"):
        made.get("/", api_version="2024-1")
    with pytest.raises(ValueError, match=r"Known: 2023-07, 2024-01, 3$"):
        made.get("/", api_version="x")
    assert len(servers.requests) == 1
    with pytest.raises(ValueError, match="unknown api_version '4'"):
        client(versioning=HeaderVersion("V"), api_versions=known, api_version=4)
    with pytest.raises(ValueError, match="unknown api_version '4'"):
        made.with_options(api_version="4")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"api_version": "1"}, ValueError, "give the client versioning=, such as HeaderVersion"),
        ({"versioning": "X-Version"}, TypeError, "versioning must be one such as HeaderVersion"),
        ({"versioning": PathVersion}, TypeError, "not the class PathVersion"),
        ({"versioning": ALL[0], "api_version": 1.1}, TypeError, "a str such as '2024-01' or an in"),
        ({"versioning": ALL[0], "api_version": True}, TypeError, "not True"),
        ({"versioning": ALL[0], "api_version": ""}, ValueError, "must not be empty"),
        ({"versioning": ALL[0], "api_versions": "12"}, TypeError, r"such as \('1', '2'\)"),
        ({"versioning": ALL[0], "api_versions": 3}, TypeError, "not 3"),
        ({"versioning": ALL[0], "api_versions": [None]}, TypeError, "api_versions must be a str"),
        ({"versioning": ALL[0], "api_versions": []}, ValueError, "at least one version"),
        ({"versioning": PathVersion(), "api_versions": ["1/2"]}, ValueError, "can't stand in a pa"),
    ],
)
def test_what_is_no_configuration(client, options, error, text):
    with pytest.raises(error, match=text):
        client(**options)


def test_a_call_cannot_name_a_version_that_nobody_can_say(client):
    with pytest.raises(ValueError, match="versioning="):
        client().get("/", api_version="1")
    client().get("/", api_version=None)


# -- nothing is injected


@pytest.mark.parametrize("versioning", ALL)
@pytest.mark.parametrize("version", ["1\r\nX-Evil: 1", "1\n", "\r1", "1\0", "1\u2028", "é", " 1"])
def test_no_version_breaks_out(client, servers, versioning, version):
    with pytest.raises(ValueError, match="can't stand in a"):
        client(versioning=versioning).get("/", api_version=version)
    assert servers.requests == []


@pytest.mark.parametrize(
    "version", ["../admin", "..", "1/..", "/", "1/2", "%2e%2e", "1?a=b", "1#", "\\", "1@evil.test"]
)
@pytest.mark.parametrize("template", ["{version}", "v{version}", "api/{version}/x"])
def test_no_version_leaves_its_place_in_the_path(template, version):
    change = ApiVersions(PathVersion(template)).change
    if template == "v{version}" and version == "..":
        assert change(BASE, "/users", version).join(BASE, "/users") == BASE + "/v../users"
    else:
        with pytest.raises(ValueError, match="can't stand in a path"):
            change(BASE, "/users", version)


@pytest.mark.parametrize("version", ["1;q=0", "1, text/html", "1/2", "1 2", '1"'])
def test_no_version_adds_to_the_media_type(version):
    with pytest.raises(ValueError, match="can't stand in a media type"):
        VENDOR.change(version)


def test_a_path_is_joined_below_the_base():
    with pytest.raises(ValueError, match=r"'\.\.' segment"):
        VersionChange("v1").join(BASE, "/../users")
    assert VersionChange("v1").join(BASE, "//evil.test/users") == BASE + "/v1/evil.test/users"


@given(st.text() | st.from_regex(re.compile(r"[0-9A-Za-z./%?#@:-]+"), fullmatch=True))
def test_the_path_of_any_version_is_one_segment(version):
    try:
        url = PathVersion("{version}").change(version).join(BASE, "/users")
    except ValueError:
        return
    assert url == f"{BASE}/{version}/users"
    assert not {"/", "?", "#", "@", ":", "\\", "%"} & set(version)
    assert version not in (".", "..")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: HeaderVersion("X Version"), ValueError),
        (lambda: HeaderVersion("X\r\n"), ValueError),
        (lambda: HeaderVersion(""), ValueError),
        (lambda: HeaderVersion(3), TypeError),
        (lambda: HeaderVersion("X", "v"), ValueError),
        (lambda: HeaderVersion("X", "{version}\n"), ValueError),
        (lambda: HeaderVersion("X", "{version}{version}"), ValueError),
        (lambda: HeaderVersion("X", None), TypeError),
        (lambda: QueryVersion(" "), ValueError),
        (lambda: QueryVersion(None), TypeError),
        (lambda: PathVersion("/v{version}"), ValueError),
        (lambda: PathVersion("v1"), ValueError),
        (lambda: PathVersion("v{version}?x=1"), ValueError),
        (lambda: MediaTypeVersion("json-{version}"), ValueError),
        (lambda: MediaTypeVersion("application/json"), ValueError),
        (lambda: MediaTypeVersion("application/json\n; v={version}"), ValueError),
        (lambda: MediaTypeVersion("a/b{version}", content_type=1), TypeError),
    ],
)
def test_what_is_no_way_to_say_it(make, error):
    with pytest.raises(error, match=r"(name|template|content_type) must be"):
        make()


def test_the_ways_are_values():
    assert PathVersion("v{version}") == PathVersion()
    assert len({HeaderVersion("A"), HeaderVersion("A"), HeaderVersion("B")}) == 2
    with pytest.raises(AttributeError):
        PathVersion().template = "x"
