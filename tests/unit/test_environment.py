"""What requests reads from the environment: remembered, and read again when it changed."""

from __future__ import annotations

import netrc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

import pytest
import requests.sessions
import requests.utils

from requests_connection_manager.environment import Environment
from requests_connection_manager.origins import MAX_KNOWN_ORIGINS

PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def proxies(environment: Environment, url: str, no_proxy: Optional[str] = None) -> Any:
    return environment.proxies_and_bundle(url, no_proxy)[0]


def bundle(environment: Environment) -> Optional[str]:
    return environment.proxies_and_bundle("https://api.test/", None)[1]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_proxies_are_what_requests_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment()
    assert proxies(environment, "http://api.test/") == {}
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "intern.test,10.0.0.0/8")
    for url in (
        "http://api.test/path?q=1",
        "http://intern.test/",
        "http://deep.intern.test:8080/",
        "http://10.1.2.3/",
        "https://api.test",
    ):
        wanted = requests.utils.get_environ_proxies(url)
        assert proxies(environment, url) == wanted
    assert proxies(environment, "http://api.test/", "api.test") == {}


def test_a_change_takes_effect_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment()
    for port in (1, 2, 3):
        monkeypatch.setenv("http_proxy", f"http://proxy.test:{port}")
        assert proxies(environment, "http://api.test/")["http"] == f"http://proxy.test:{port}"
    monkeypatch.delenv("http_proxy")
    assert proxies(environment, "http://api.test/") == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read anew elsewhere")
def test_nothing_is_read_again_while_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counting() -> Any:
        reads.append(1)
        return {"http": "http://proxy.test:3128"}

    monkeypatch.setattr(requests.utils, "getproxies", counting)
    environment = Environment()
    for path in ("/", "/a", "/a?b=1", "/#c"):
        assert proxies(environment, "http://api.test" + path) == counting()
    assert len(reads) == 1 + 4
    monkeypatch.setenv("UNRELATED", "1")
    assert proxies(environment, "http://api.test/") == counting()


def test_a_patched_function_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment()
    proxies(environment, "http://api.test/")
    monkeypatch.setattr(
        requests.sessions, "get_environ_proxies", lambda url, no_proxy=None: {"http": "patched"}
    )
    assert proxies(environment, "http://api.test/") == {"http": "patched"}


def test_the_ca_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment()
    assert bundle(environment) is None
    monkeypatch.setenv("CURL_CA_BUNDLE", "/curl.pem")
    assert bundle(environment) == "/curl.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert bundle(environment) == "/requests.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    assert bundle(environment) == "/curl.pem"


def write(path: Path, password: str) -> None:
    path.write_text(f"machine api.test login me password {password}\n")
    path.chmod(0o600)


def test_netrc_is_read_and_a_change_of_the_file_takes_effect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = Environment()
    assert environment.netrc_auth("http://api.test/") is None
    path = tmp_path / ".netrc"
    write(path, "one")
    assert environment.netrc_auth("http://api.test/") == ("me", "one")
    assert environment.netrc_auth("http://api.test:8080/x") == ("me", "one")
    assert environment.netrc_auth("http://other.test/") is None
    write(path, "other")
    assert environment.netrc_auth("http://api.test/") == ("me", "other")
    path.unlink()
    assert environment.netrc_auth("http://api.test/") is None
    named = tmp_path / "named"
    write(named, "named")
    monkeypatch.setenv("NETRC", str(named))
    assert environment.netrc_auth("http://api.test/") == ("me", "named")


def replaced(path: Path) -> None:
    """Put another file of the same length and age in its place."""
    before = path.stat()
    other = path.with_name("new")
    write(other, "two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)


def edited_in_place(path: Path) -> None:
    """Overwrite it, to the same length, and set its time back."""
    before = path.stat()
    with path.open("r+") as file:
        file.write("machine api.test login me password two\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def created_again(path: Path) -> None:
    path.unlink()
    write(path, "two")


def linked(path: Path) -> None:
    target = path.with_name("target")
    write(target, "two")
    path.unlink()
    path.symlink_to(target)


CHANGES = {one.__name__: one for one in (replaced, edited_in_place, created_again, linked)}


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "just written"])
@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_netrc_file_takes_effect(
    change: str, remembered: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if remembered:
        # As if the file had been written some time ago; its ctime can't be set.
        monkeypatch.setattr("requests_connection_manager.environment._TICK", -(10**9))
    environment = Environment()
    path = tmp_path / ".netrc"
    write(path, "one")
    assert environment.netrc_auth("http://api.test/") == ("me", "one")
    if remembered:
        time.sleep(0.02)  # a tick of the file system's clock, within which times are the same
    CHANGES[change](path)
    assert environment.netrc_auth("http://api.test/") == ("me", "two")
    path.unlink()
    assert environment.netrc_auth("http://api.test/") is None


def test_edits_within_a_tick_of_the_clock_take_effect(tmp_path: Path) -> None:
    environment = Environment()
    path = tmp_path / ".netrc"
    write(path, "one")
    with path.open("r+b", buffering=0) as file:
        for number in range(100, 300):
            file.seek(0)
            file.write(b"machine api.test login me password %d\n" % number)
            assert environment.netrc_auth("http://api.test/") == ("me", str(number))


def test_a_file_that_has_settled_is_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reads = []
    parse = netrc.netrc

    def counting(path: str) -> Any:
        reads.append(path)
        return parse(path)

    monkeypatch.setattr(netrc, "netrc", counting)
    monkeypatch.setattr("requests_connection_manager.environment._TICK", -(10**9))
    write(tmp_path / ".netrc", "one")
    environment = Environment()
    for _ in range(3):
        assert environment.netrc_auth("http://api.test/") == ("me", "one")
    assert len(reads) == 1


def test_home_and_netrc_variable_take_effect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = Environment()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / ".netrc", name)
        monkeypatch.setenv("HOME", str(tmp_path / name))
        assert environment.netrc_auth("http://api.test/") == ("me", name)
    monkeypatch.setenv("NETRC", str(tmp_path / "one" / ".netrc"))
    assert environment.netrc_auth("http://api.test/") == ("me", "one")
    monkeypatch.setenv("NETRC", str(tmp_path / "missing"))
    assert environment.netrc_auth("http://api.test/") is None
    monkeypatch.delenv("NETRC")
    assert environment.netrc_auth("http://api.test/") == ("me", "two")


def test_the_underscored_file_is_found_too(tmp_path: Path) -> None:
    write(tmp_path / "_netrc", "one")
    assert Environment().netrc_auth("http://api.test/") == ("me", "one")


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http://[::1", "//x", "http:///a"])
def test_a_url_without_sense_is_treated_as_requests_does(url: str, tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "one")
    environment = Environment()
    questions: Any = (
        (requests.utils.get_environ_proxies, lambda: proxies(environment, url)),
        (requests.utils.get_netrc_auth, lambda: environment.netrc_auth(url)),
    )
    for theirs, ours in questions:
        try:
            wanted = theirs(url)
        except ValueError:
            with pytest.raises(ValueError):
                ours()
        else:
            assert ours() == wanted


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / ".netrc", "one")
    environment = Environment()
    for number in range(MAX_KNOWN_ORIGINS + 100):
        proxies(environment, f"http://host{number}.test/")
    memory = environment._memory
    assert len(memory._proxies) <= MAX_KNOWN_ORIGINS


def test_threads_see_a_change_and_never_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    environment, wrong = Environment(), []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = proxies(environment, "http://api.test/")
            if found and not found["http"].startswith("http://proxy.test:"):
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for port in range(50):
        monkeypatch.setenv("http_proxy", f"http://proxy.test:{port}")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert proxies(environment, "http://api.test/")["http"] == "http://proxy.test:49"


def test_a_function_that_somebody_put_in_place_is_asked_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment, asked = Environment(), []

    def netrc(url: str) -> Any:
        asked.append(url)
        return "user", f"password {len(asked)}"

    monkeypatch.setattr("requests.sessions.get_netrc_auth", netrc)
    assert environment.netrc_auth("http://api.test/") == ("user", "password 1")
    assert environment.netrc_auth("http://api.test/") == ("user", "password 2")
    monkeypatch.setattr("requests.sessions.get_environ_proxies", lambda url, no_proxy: {"a": url})
    assert proxies(environment, "http://one.test/") == {"a": "http://one.test/"}
    assert proxies(environment, "http://one.test/two") == {"a": "http://one.test/two"}
