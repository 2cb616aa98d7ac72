"""Proxies, no_proxy and netrc from the environment, at both managers, changed at run time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Iterator

import pytest

from requests_connection_manager import AsyncConnectionManager, ConnectionManager
from requests_connection_manager.testing import FaultServer, Received, Reply, echo, reply

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def answer(received: Received) -> Reply:
    """Answer as a proxy that serves every site itself; the target is then a whole URL."""
    return reply(200, body=f"proxied {received.target}")


@pytest.fixture
def proxy() -> Iterator[FaultServer]:
    with FaultServer() as running:
        for path in ("/", "/other"):
            running.route(path, answer)
        yield running


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", echo())
        yield running


def test_a_proxy_of_the_environment_is_used(
    proxy: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.origin)
    with ConnectionManager() as manager:
        assert manager.get("http://api.test/").text == "proxied http://api.test/"
        scopes = manager.get_stats()["scopes"]
    assert list(scopes) == ["http://api.test"]


def test_changes_at_run_time_take_effect_at_once(
    proxy: FaultServer, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectionManager() as manager:
        assert "headers" in manager.get(server.url("/")).json()
        monkeypatch.setenv("http_proxy", proxy.origin)
        assert manager.get(server.url("/")).text == f"proxied {server.url('/')}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert "headers" in manager.get(server.url("/")).json()
        assert manager.get("http://api.test/").text == "proxied http://api.test/"
        monkeypatch.delenv("no_proxy")
        monkeypatch.delenv("http_proxy")
        assert "headers" in manager.get(server.url("/")).json()


def test_a_session_that_does_not_trust_the_environment(
    proxy: FaultServer, server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", proxy.origin)
    netrc(tmp_path / ".netrc", "pw")
    with ConnectionManager() as manager:
        manager.trust_env = False
        assert "authorization" not in manager.get(server.url("/")).json()["headers"]
    assert proxy.count() == 0


def test_proxies_of_session_and_call(proxy: FaultServer, server: FaultServer) -> None:
    with ConnectionManager() as manager:
        found = manager.get("http://api.test/", proxies={"http": proxy.origin}).text
        assert found == "proxied http://api.test/"
        manager.proxies["http"] = proxy.origin
        assert manager.get("http://api.test/").text == "proxied http://api.test/"
        own = {"http": proxy.origin, "no_proxy": "127.0.0.1"}
        manager.proxies.clear()
        assert manager.get("http://api.test/other", proxies=own).text.startswith("proxied")


def test_userinfo_of_a_proxy_goes_to_the_proxy_only(proxy: FaultServer) -> None:
    with ConnectionManager() as manager:
        url = proxy.origin.replace("://", "://u:p@")
        manager.get("http://api.test/", proxies={"http": url})
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dTpw"
    assert "authorization" not in proxy.requests[0].headers


def test_a_proxy_that_is_down_is_an_error_of_the_connection(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    from requests_connection_manager.testing import VirtualClock, dead_origin

    with dead_origin() as dead, ConnectionManager(clock=VirtualClock()) as manager:
        monkeypatch.setenv("http_proxy", dead)
        # Nothing was sent, so a POST may be tried again, too.
        with pytest.raises(requests.exceptions.ProxyError) as caught:
            manager.post("http://api.test/")
    assert len(caught.value.attempts) == 4  # type: ignore[attr-defined]  # added by us


def test_the_async_side_reads_the_environment_when_it_is_built(
    proxy: FaultServer, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.origin)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def main() -> None:
        async with AsyncConnectionManager() as manager:
            assert (await manager.get("http://api.test/")).text == "proxied http://api.test/"
            assert "headers" in (await manager.get(server.url("/"))).json()
            manager.set_ssl_verification(False)
            assert (await manager.get("http://api.test/")).text == "proxied http://api.test/"
        async with AsyncConnectionManager(trust_env=False) as manager:
            assert "headers" in (await manager.get(server.url("/"))).json()
        async with AsyncConnectionManager(trust_env=False, proxy=proxy.origin) as manager:
            assert (await manager.get(server.url("/"))).text.startswith("proxied")

    asyncio.run(main())


# -- netrc


def netrc(path: Path, password: str) -> None:
    path.write_text(f"machine 127.0.0.1 login user password {password}\n")
    path.chmod(0o600)


BASIC = {"one": "Basic dXNlcjpvbmU=", "two": "Basic dXNlcjp0d28="}


def test_netrc_is_used_and_a_change_of_the_file_takes_effect(
    server: FaultServer, tmp_path: Path
) -> None:
    with ConnectionManager() as manager:

        def sent(**kwargs: Any) -> Any:
            return manager.get(server.url("/"), **kwargs).json()["headers"].get("authorization")

        assert sent() is None
        netrc(tmp_path / ".netrc", "one")
        assert sent() == BASIC["one"]
        (tmp_path / ".netrc").unlink()
        netrc(tmp_path / ".netrc", "two")
        assert sent() == BASIC["two"]
        assert sent(auth=("u", "p")) == "Basic dTpw"
        (tmp_path / ".netrc").unlink()
        assert sent() is None


def test_netrc_comes_last(server: FaultServer, tmp_path: Path) -> None:
    netrc(tmp_path / ".netrc", "one")
    with ConnectionManager() as manager:

        def sent() -> Any:
            return manager.get(server.url("/")).json()["headers"]["authorization"]

        assert sent() == BASIC["one"]
        manager.set_bearer_token("of the manager")
        assert sent() == "Bearer of the manager"
        manager.set_endpoint_auth(server.origin, "bearer", token="of the endpoint")
        assert sent() == "Bearer of the endpoint"


def test_netrc_is_for_its_host_only(server: FaultServer, tmp_path: Path) -> None:
    netrc(tmp_path / ".netrc", "one")
    with ConnectionManager() as manager:
        url = server.url("/").replace("127.0.0.1", "localhost")
        assert "authorization" not in manager.get(url).json()["headers"]
