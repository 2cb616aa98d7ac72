"""Joining paths to a base URL: what is joined stays below it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_connection_manager.base_url import check_base_url, join


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://a.test", "users", "https://a.test/users"),
        ("https://a.test/", "/users", "https://a.test/users"),
        ("https://a.test/v1", "users/", "https://a.test/v1/users/"),
        ("https://a.test/v1/", "/users?page=2#x", "https://a.test/v1/users?page=2#x"),
        ("https://a.test/v1", "", "https://a.test/v1"),
        ("https://a.test/v1/", "?q=../x", "https://a.test/v1/?q=../x"),
        ("https://a.test/v1", "//b.test/x", "https://a.test/v1/b.test/x"),
        ("https://a.test/v1", "\\\\b.test/x", "https://a.test/v1/b.test/x"),
        ("https://a.test/v1", "a:b/c", "https://a.test/v1/a:b/c"),
        ("https://a.test/v1", "x?next=https://b.test/", "https://a.test/v1/x?next=https://b.test/"),
        ("https://a.test/v1", "https://b.test/x", "https://b.test/x"),
    ],
)
def test_joining(base, path, url):
    assert join(base, path) == url


@given(st.text(max_size=30))
def test_whatever_is_joined_stays_at_its_host_and_below_its_path(path):
    try:
        url = join("https://a.test/v1", path)
    except ValueError:
        return
    if "://" not in path:
        assert url.startswith("https://a.test/v1")
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("https", "a.test")


@pytest.mark.parametrize("path", ["..", "../x", "a/../b", "a/%2E%2e/b", "a\\..\\b", "%2e%2e%2fx"])
def test_a_path_that_leaves_is_refused(path):
    with pytest.raises(ValueError, match="must stay below base_url"):
        join("https://a.test/v1", path)


def test_a_wrong_base_shows_no_secret():
    with pytest.raises(ValueError, match="base_url") as caught:
        check_base_url("ftp://user:hunter2@a.test/")
    assert "hunter2" not in str(caught.value)
