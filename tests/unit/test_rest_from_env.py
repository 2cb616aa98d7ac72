"""A client that is configured by environment variables."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from requests_connection_manager.rest import settings_from_env

BASE = {"ACME_BASE_URL": "https://api.test/v1"}
SECRET = "S3cr3t-V4lue"


def read(environ=None, given=None, prefix="ACME"):
    return settings_from_env(prefix, given=given, environ={**BASE, **(environ or {})})


@pytest.mark.parametrize(
    ("variables", "option", "value"),
    [
        ({}, "base_url", "https://api.test/v1"),
        ({"ACME_BASE_URL": " http://h:8000 "}, "base_url", "http://h:8000"),
        ({"ACME_API_KEY": "k"}, "api_key", "k"),
        ({"ACME_API_KEY": "k", "ACME_API_KEY_HEADER": "X-Key"}, "api_key_header", "X-Key"),
        ({"ACME_API_KEY": "k", "ACME_API_KEY_QUERY": "key"}, "api_key_query", "key"),
        ({"ACME_BEARER_TOKEN": "t"}, "bearer_token", "t"),
        ({"ACME_TOKEN": "t"}, "bearer_token", "t"),
        ({"ACME_TOKEN": "t", "ACME_BEARER_TOKEN": "t"}, "bearer_token", "t"),
        ({"ACME_USERNAME": "u", "ACME_PASSWORD": "p:w"}, "basic_auth", ("u", "p:w")),
        ({"ACME_TIMEOUT": "2.5"}, "timeout", 2.5),
        ({"ACME_TOTAL_TIMEOUT": "60"}, "total_timeout", 60.0),
        ({"ACME_MAX_RETRIES": "0"}, "max_retries", 0),
        ({"ACME_VERIFY": "Yes"}, "verify", True),
        ({"ACME_VERIFY": "off"}, "verify", False),
        ({"ACME_CA_BUNDLE": __file__}, "verify", __file__),
        ({"ACME_CA_BUNDLE": __file__, "ACME_VERIFY": "true"}, "verify", __file__),
        ({"ACME_API_VERSION": "2024-01"}, "api_version", "2024-01"),
        ({"ACME_PROXY": "http://u:p@proxy.test:8080"}, "proxy", "http://u:p@proxy.test:8080"),
    ],
)
def test_each_variable_is_an_option(variables, option, value):
    assert read(variables)[option] == value


def test_what_is_not_set_is_left_to_the_client():
    assert read() == {"base_url": "https://api.test/v1"}
    others = {"ACME_COLOUR": "red", "OTHER_TIMEOUT": "x", "acme_TIMEOUT": "x", "TIMEOUT": "x"}
    assert read(others) == read()
    assert settings_from_env("acme_2", environ={"acme_2_BASE_URL": "http://h"})["base_url"]


def test_a_client_from_the_environment(rest, servers, monkeypatch):
    monkeypatch.setenv("ACME_BASE_URL", "https://api.test/v1")
    monkeypatch.setenv("ACME_TOKEN", "abc")
    client = rest.face(rest.kind.from_env("ACME", transport=servers.transport))
    client.get("/users")
    assert servers.urls == ["https://api.test/v1/users"]
    assert servers.last.headers["Authorization"] == "Bearer abc"
    monkeypatch.delenv("ACME_BASE_URL")
    with pytest.raises(ValueError, match="ACME_BASE_URL is not set"):
        rest.kind.from_env("ACME")


# -- what the caller gives wins


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        ({"timeout": None}, {"ACME_TIMEOUT": "garbage"}),
        ({"max_retries": 1}, {"ACME_MAX_RETRIES": "-1"}),
        ({"base_url": "http://h"}, {"ACME_BASE_URL": ""}),
        ({"verify": True}, {"ACME_VERIFY": "off", "ACME_CA_BUNDLE": "/no/such"}),
        ({"ssl_context": object()}, {"ACME_VERIFY": "off"}),
        ({"bearer_token": "mine"}, {"ACME_API_KEY": "k", "ACME_USERNAME": "u"}),
        ({"auth": None}, {"ACME_TOKEN": "t"}),
        ({"basic_auth": ("a", "b")}, {"ACME_TOKEN": "t", "ACME_API_KEY_HEADER": "X"}),
    ],
)
def test_what_is_given_wins_and_is_not_read(given, variables):
    assert read(variables, given) == {**read(), **given}


def test_a_base_url_that_is_given_need_not_be_set():
    given = {"base_url": "http://h", "headers": {"A": "b"}}
    assert settings_from_env("ACME", given=given, environ={"ACME_TIMEOUT": "1"}) == {
        **given,
        "timeout": 1.0,
    }
    assert given == {"base_url": "http://h", "headers": {"A": "b"}}


# -- secrets in files


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("API_KEY", "api_key", SECRET),
        ("BEARER_TOKEN", "bearer_token", SECRET),
        ("TOKEN", "bearer_token", SECRET),
        ("PASSWORD", "basic_auth", ("user", SECRET)),
    ],
)
def test_a_secret_in_a_file(tmp_path, name, option, value):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    variables = {f"ACME_{name}_FILE": str(file)}
    if name == "PASSWORD":
        variables["ACME_USERNAME"] = "user"
    assert read(variables)[option] == value


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\r\n", encoding="utf-8-sig")
    assert read({"ACME_TOKEN_FILE": str(file)})["bearer_token"] == SECRET


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "can't be read"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (SECRET.encode() + b"\xff", "no text in UTF-8"),
        (SECRET.encode() + b"\n" + SECRET.encode(), "not printable"),
    ],
)
def test_a_file_without_a_secret(tmp_path, content, text):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    error = refused({"ACME_TOKEN_FILE": str(file)})
    assert "ACME_TOKEN_FILE" in str(error)
    assert text in str(error)


def refused(variables, **more):
    with pytest.raises(ValueError) as caught:
        read(variables, **more)
    assert SECRET not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"
    return caught.value


# -- errors


@pytest.mark.parametrize(
    ("variables", "names", "text"),
    [
        ({"ACME_BASE_URL": "api.test"}, ["ACME_BASE_URL"], "must be an absolute URL"),
        ({"ACME_BASE_URL": f"http://u:{SECRET}@h?x"}, ["ACME_BASE_URL"], "can't have a query"),
        ({"ACME_TIMEOUT": "fast"}, ["ACME_TIMEOUT"], "seconds above 0, not 'fast'"),
        ({"ACME_TIMEOUT": "0"}, ["ACME_TIMEOUT"], "seconds above 0"),
        ({"ACME_TIMEOUT": "nan"}, ["ACME_TIMEOUT"], "seconds above 0"),
        ({"ACME_TOTAL_TIMEOUT": "inf"}, ["ACME_TOTAL_TIMEOUT"], "seconds above 0"),
        ({"ACME_MAX_RETRIES": "2.5"}, ["ACME_MAX_RETRIES"], "a whole number from 0, not '2.5'"),
        ({"ACME_MAX_RETRIES": "-1"}, ["ACME_MAX_RETRIES"], "a whole number"),
        ({"ACME_MAX_RETRIES": "9" * 5000}, ["ACME_MAX_RETRIES"], "a whole number"),
        ({"ACME_MAX_RETRIES": "x" * 1000}, ["ACME_MAX_RETRIES"], "…"),
        ({"ACME_VERIFY": "maybe"}, ["ACME_VERIFY", "ACME_CA_BUNDLE"], "true or false"),
        ({"ACME_CA_BUNDLE": "/no/such"}, ["ACME_CA_BUNDLE"], "does not exist: /no/such"),
        (
            {"ACME_CA_BUNDLE": __file__, "ACME_VERIFY": "0"},
            ["ACME_CA_BUNDLE", "ACME_VERIFY"],
            "is off",
        ),
        ({"ACME_PROXY": f"user:{SECRET}@proxy"}, ["ACME_PROXY"], "one of the schemes"),
        ({"ACME_PROXY": f"ftp://{SECRET}@h"}, ["ACME_PROXY"], "one of the schemes"),
        ({"ACME_PROXY": f"http://[{SECRET}"}, ["ACME_PROXY"], "the URL of a proxy"),
        ({"ACME_USERNAME": SECRET}, ["ACME_USERNAME", "ACME_PASSWORD"], "needs both"),
        ({"ACME_PASSWORD": SECRET}, ["ACME_USERNAME", "ACME_PASSWORD"], "needs both"),
        (
            {"ACME_USERNAME": f"a:{SECRET}", "ACME_PASSWORD": "p"},
            ["ACME_USERNAME"],
            "must not hold a colon",
        ),
        (
            {"ACME_TOKEN": SECRET, "ACME_BEARER_TOKEN": SECRET + "2"},
            ["ACME_TOKEN", "ACME_BEARER_TOKEN"],
            "differ",
        ),
        (
            {"ACME_TOKEN": SECRET, "ACME_USERNAME": "u", "ACME_PASSWORD": SECRET},
            ["ACME_TOKEN", "ACME_USERNAME"],
            "both make the Authorization header",
        ),
        (
            {"ACME_API_KEY": SECRET, "ACME_API_KEY_HEADER": "authorization", "ACME_TOKEN": SECRET},
            ["ACME_API_KEY_HEADER"],
            "the Authorization header",
        ),
        ({"ACME_API_KEY_HEADER": "X-Key"}, ["ACME_API_KEY_HEADER", "ACME_API_KEY"], "is not set"),
        ({"ACME_API_KEY_QUERY": "key"}, ["ACME_API_KEY_QUERY", "ACME_API_KEY"], "is not set"),
        (
            {"ACME_API_KEY": SECRET, "ACME_API_KEY_HEADER": "X", "ACME_API_KEY_QUERY": "x"},
            ["ACME_API_KEY_HEADER", "ACME_API_KEY_QUERY"],
            "in one place",
        ),
        (
            {"ACME_API_KEY": SECRET, "ACME_API_KEY_HEADER": "X Key"},
            ["ACME_API_KEY_HEADER"],
            "the name of a header",
        ),
        ({"ACME_API_KEY": SECRET + "\n"}, ["ACME_API_KEY"], "not printable"),
        ({"ACME_TOKEN": SECRET, "ACME_TOKEN_FILE": "/x"}, ["ACME_TOKEN_FILE"], "both set"),
    ],
)
def test_what_is_wrong_names_the_variable(variables, names, text):
    error = refused(variables)
    assert text in str(error)
    for name in names:
        assert name in str(error)


NAMES = (
    *("BASE_URL", "API_KEY", "API_KEY_HEADER", "API_KEY_QUERY", "BEARER_TOKEN", "TOKEN"),
    *("USERNAME", "PASSWORD", "TIMEOUT", "TOTAL_TIMEOUT", "MAX_RETRIES", "VERIFY", "CA_BUNDLE"),
    *("API_VERSION", "PROXY", "API_KEY_FILE", "TOKEN_FILE", "BEARER_TOKEN_FILE", "USERNAME_FILE"),
    "PASSWORD_FILE",
)


@pytest.mark.parametrize(("name", "value"), list(itertools.product(NAMES, ["", "  "])))
def test_an_empty_variable_is_a_mistake(name, value):
    assert str(refused({f"ACME_{name}": value})).startswith(f"ACME_{name} is set, but empty")


@pytest.mark.parametrize("prefix", ["", "ACME_", "AC ME", "1ACME", "AC=ME", "É"])
def test_what_is_no_prefix(prefix):
    with pytest.raises(ValueError, match="prefix must be one such as 'ACME'"):
        read(prefix=prefix)


def test_a_prefix_is_a_str():
    with pytest.raises(TypeError, match="prefix must be a str such as 'ACME', not NoneType"):
        read(prefix=None)


@given_values(st.dictionaries(st.sampled_from(NAMES), st.just(SECRET) | st.text(max_size=8)))
def test_whatever_is_set_no_secret_is_shown(variables):
    hidden = {"TIMEOUT", "TOTAL_TIMEOUT", "MAX_RETRIES", "VERIFY", "CA_BUNDLE", "BASE_URL"}
    environ = {
        f"ACME_{name}": value
        for name, value in variables.items()
        if name not in hidden and not name.endswith(("_FILE", "_HEADER"))
    }
    message = "ACME_"
    try:
        read(environ)
    except ValueError as error:
        message = str(error)
    assert "ACME_" in message
    assert SECRET not in message
