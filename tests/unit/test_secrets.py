"""A secret is planted wherever one can be, and looked for wherever none may be."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from base64 import b64encode
from typing import Any, Callable, Dict, Iterator, List, Tuple
from urllib.parse import quote

import httpx
import pytest
import requests

from requests_connection_manager import (
    AsyncConnectionManager,
    CallFailed,
    ConnectionManager,
    ConnectionManagerError,
)
from requests_connection_manager.testing import (
    FaultServer,
    VirtualClock,
    blackhole,
    dead_origin,
    disconnect,
    redirect,
    reply,
    truncate,
)

SECRET = "hunter2SECRETvalue"
LOGGER = "requests_connection_manager"

# Each form that the secret may take on its way.
FORMS = (
    SECRET,
    b64encode(f"user:{SECRET}".encode()).decode(),
    quote(SECRET),
    SECRET.lower(),
)

LEAKY_REPLY: Dict[str, Any] = {
    "json": {"access_token": SECRET, "nested": {"password": SECRET}},
    "headers": {
        "Set-Cookie": f"session={SECRET}",
        "X-Api-Key": SECRET,
        "WWW-Authenticate": f"Bearer token={SECRET}",
        "Retry-After": "1",
    },
}

MANAGER: Dict[str, Any] = {
    "api_key": SECRET,
    "basic_auth": ("user", SECRET),
    "headers": {"X-Auth-Token": SECRET, "Cookie": f"sid={SECRET}", "X-Session-Token": SECRET},
}


def kwargs_of_a_call() -> Dict[str, Any]:
    return {
        "headers": {"Authorization": f"Bearer {SECRET}", "X-Custom-Secret": SECRET},
        "params": {"api_key": SECRET, "page": "1", "access_token": SECRET},
        "json": {"password": SECRET, "deep": [{"client_secret": SECRET}]},
    }


class Watcher:
    """Everything that a manager lets out: logs, events, statistics, texts, reprs, pickles."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self.seen: List[str] = []

    def note(self, *things: Any) -> None:
        for thing in things:
            self.seen += [repr(thing), str(thing)]

    def watch(self, manager: Any) -> None:
        manager.add_listener(self.note)

    def note_error(self, error: BaseException) -> None:
        if isinstance(error, ConnectionManagerError):
            self.note(error, *error.attempts, error.__dict__.get("attempts"))
            pickled = pickle.dumps(error)
            self.seen.append(pickled.decode("latin-1"))
            again = pickle.loads(pickled)
            self.note(again, again.__dict__, again.request)

    def note_manager(self, manager: Any, urls: Tuple[str, ...]) -> None:
        self.note(manager, manager.core, manager.get_stats())
        configuration = manager.core.configuration
        self.note(configuration, configuration.credentials, configuration.settings)
        for url in urls:
            self.note(manager.explain("GET", url), configuration.resolve(url))
        for scope in manager.core.registry.scopes():
            self.note(scope, scope.policy, scope.breaker, scope.limiter, scope.budget)

    def check(self) -> None:
        ours = [one for one in self.caplog.records if one.name.startswith(LOGGER)]
        assert ours, "nothing was logged, so nothing was tested"
        logged = [f"{one.getMessage()} {one.args!r} {one.exc_info!r}" for one in ours]
        for text in (*self.seen, *logged):
            for form in FORMS:
                assert form not in text, text


@pytest.fixture
def watcher(caplog: pytest.LogCaptureFixture) -> Watcher:
    caplog.set_level(logging.DEBUG, LOGGER)
    return Watcher(caplog)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running, FaultServer() as other:
        other.route("/there", reply(200, **LEAKY_REPLY))
        running.route("/ok", reply(200, **LEAKY_REPLY))
        running.route("/busy", reply(503, **LEAKY_REPLY))
        running.route("/throttled", reply(429, **LEAKY_REPLY))
        running.route("/missing", reply(404, **LEAKY_REPLY))
        running.route("/patience", reply(503, headers={"Retry-After": "99999"}))
        running.route("/cut", truncate())
        running.route("/gone", disconnect())
        running.route("/away", redirect(f"{other.origin}/there?token={SECRET}"))
        running.route("/nowhere", redirect(f"nonsense://user:{SECRET}@host/?token={SECRET}"))
        yield running


PATHS = (
    "/ok",
    "/busy",
    "/throttled",
    "/missing",
    "/patience",
    "/cut",
    "/gone",
    "/away",
    "/nowhere",
)


def leaky_url(origin: str, path: str) -> str:
    """Return a URL with secrets in its userinfo, query and fragment."""
    host = origin.split("://", 1)[1]
    return f"http://user:{SECRET}@{host}{path}?sig={SECRET}&q=1#access_token={SECRET}"


def hooks() -> Tuple[Callable[[Any], None], Callable[[Any], None]]:
    def failing(context: Any) -> None:
        raise ValueError(f"no access: password={SECRET} for https://user:{SECRET}@api.test/")

    def failing_listener(event: Any) -> None:
        raise ValueError(f"Authorization: Bearer {SECRET}")

    return failing, failing_listener


def endpoints(server: FaultServer) -> Dict[str, Dict[str, Any]]:
    return {
        f"{server.origin}/ok": {
            "bearer_token": SECRET,
            "headers": {"X-Vendor-Token": SECRET},
            "timeout": 5,
        },
        "basic.test": {"auth": ("user", SECRET), "headers": {"Cookie": SECRET}},
        "query.test": {"api_key_query": ("key", SECRET)},
    }


@pytest.mark.parametrize("path", PATHS)
def test_a_sync_call_lets_nothing_out(server: FaultServer, watcher: Watcher, path: str) -> None:
    url = leaky_url(server.origin, path)
    with ConnectionManager(
        **MANAGER,
        endpoint_configs=endpoints(server),
        clock=VirtualClock(),
        circuit_breaker_failure_threshold=3,
        rate_limit_requests=7,
        max_retries=2,
        idempotency_key_header="Idempotency-Key",
    ) as manager:
        watcher.watch(manager)
        for _ in range(4):
            try:
                manager.post(url, **kwargs_of_a_call())
            except (requests.RequestException, ConnectionManagerError) as exc:
                watcher.note_error(exc)
        watcher.note_manager(manager, (url, "https://basic.test/", "https://query.test/"))
    watcher.check()


@pytest.mark.parametrize("path", PATHS)
def test_an_async_call_lets_nothing_out(server: FaultServer, watcher: Watcher, path: str) -> None:
    url = leaky_url(server.origin, path)

    async def main() -> None:
        async with AsyncConnectionManager(
            **MANAGER,
            endpoint_configs=endpoints(server),
            clock=VirtualClock(),
            circuit_breaker_failure_threshold=3,
            rate_limit_requests=7,
            max_retries=2,
            follow_redirects=True,
            idempotency_key_header="Idempotency-Key",
        ) as manager:
            watcher.watch(manager)
            for _ in range(4):
                try:
                    await manager.post(url, **kwargs_of_a_call())
                except (httpx.HTTPError, httpx.InvalidURL, ConnectionManagerError) as exc:
                    watcher.note_error(exc)
            watcher.note_manager(manager, (url, "https://basic.test/", "https://query.test/"))

    asyncio.run(main())
    watcher.check()


def test_connections_that_fail_let_nothing_out(watcher: Watcher) -> None:
    with dead_origin() as origin, ConnectionManager(**MANAGER, clock=VirtualClock()) as manager:
        watcher.watch(manager)
        with pytest.raises(ConnectionManagerError) as caught:
            manager.get(leaky_url(origin, "/"), **kwargs_of_a_call())
        watcher.note_error(caught.value)
        with pytest.raises(requests.ConnectionError):
            manager.get(leaky_url(origin, "/"), max_retries=0, **kwargs_of_a_call())
        watcher.note_manager(manager, (origin,))
    watcher.check()


def test_a_deadline_lets_nothing_out(watcher: Watcher) -> None:
    with blackhole() as origin, ConnectionManager(**MANAGER) as manager:
        watcher.watch(manager)
        with pytest.raises(ConnectionManagerError) as caught:
            manager.get(leaky_url(origin, "/"), total_timeout=0.05, **kwargs_of_a_call())
        watcher.note_error(caught.value)
    watcher.check()


@pytest.mark.parametrize(
    "url",
    [
        f"nonsense://user:{SECRET}@host/?token={SECRET}",
        f"user:{SECRET}@host/?token={SECRET}",
        f"http://user:{SECRET}@:x/?token={SECRET}",
        f"http://user:{SECRET}@[::1/?token={SECRET}",
    ],
)
def test_a_url_that_is_none_lets_nothing_out(watcher: Watcher, url: str) -> None:
    with ConnectionManager() as manager:
        watcher.watch(manager)
        with pytest.raises(ValueError):
            manager.get(url)
        watcher.note_manager(manager, ())
    watcher.check()
    if "://" not in url:
        return  # httpx takes what is before the colon for a scheme, and the rest for a path

    async def main() -> None:
        async with AsyncConnectionManager() as asynchronous:
            watcher.watch(asynchronous)
            with pytest.raises((httpx.HTTPError, httpx.InvalidURL)):
                await asynchronous.get(url)
            watcher.note_manager(asynchronous, ())

    asyncio.run(main())
    watcher.check()


def test_hooks_and_listeners_that_raise_let_nothing_out(
    server: FaultServer, watcher: Watcher
) -> None:
    failing, failing_listener = hooks()
    with ConnectionManager() as manager:
        watcher.watch(manager)
        manager.add_listener(failing_listener)
        manager.register_pre_request_hook(failing)
        with pytest.raises(ValueError):
            manager.get(leaky_url(server.origin, "/ok"))
    watcher.check()


def test_setters_and_what_they_change_let_nothing_out(
    server: FaultServer, watcher: Watcher
) -> None:
    with ConnectionManager() as manager:
        watcher.watch(manager)
        manager.set_api_key(SECRET, "X-Mine")
        manager.set_bearer_token(SECRET)
        manager.set_oauth2_token(SECRET)
        manager.set_basic_auth("user", SECRET)
        host = server.origin
        manager.set_endpoint_auth(host, "api_key", api_key=SECRET, header_name="X-Odd")
        manager.set_endpoint_auth(host + "/ok", "basic", username="user", password=SECRET)
        manager.get(server.url("/ok"))
        watcher.note_manager(manager, (server.url("/ok"), server.origin))
    watcher.check()


@pytest.mark.parametrize("manager", [ConnectionManager, AsyncConnectionManager])
def test_what_a_message_quotes_is_redacted(manager: Any, watcher: Watcher) -> None:
    logging.getLogger(LOGGER).debug("something, so that the check has what to look at")
    wrong: List[Callable[[Any], Any]] = [
        lambda m: m.add_endpoint_config("api.test", [("bearer_token", SECRET)]),
        lambda m: m.add_endpoint_config("api.test", f"bearer_token={SECRET}"),
        lambda m: m.add_endpoint_config(f"https://user:{SECRET}@api.test/?x=1", {"timeout": -1}),
        lambda m: m.remove_endpoint_config(f"https://user:{SECRET}@api.test/"),
        lambda m: m.set_api_key([SECRET]),
        lambda m: m.set_bearer_token(SECRET + "\n"),
        lambda m: m.set_basic_auth(SECRET + ":", SECRET),
        lambda m: m.set_endpoint_auth("api.test", "bearer", token=7, other=SECRET),
        lambda m: type(m)(endpoint_configs=[{"bearer_token": SECRET}]),
        lambda m: type(m)(headers=f"X-Api-Key: {SECRET}"),
    ]
    instance = manager()
    for change in wrong:
        with pytest.raises((TypeError, ValueError)) as caught:
            change(instance)
        watcher.note(caught.value)
    watcher.check()


@pytest.mark.parametrize(
    "item",
    [
        ("GET", f"http://user:{SECRET}@api.test/"),
        ("GET", f"http://api.test/?token={SECRET}", {"headers": {"X-Api-Key": SECRET}}, 1),
        {"method": "GET", "auth": SECRET},
    ],
)
def test_a_refused_batch_item_is_redacted(watcher: Watcher, item: Any) -> None:
    logging.getLogger(LOGGER).debug("something, so that the check has what to look at")
    if isinstance(item, tuple) and len(item) == 2:
        item = (7, item[1], {"json": {"password": SECRET}})
    with ConnectionManager() as manager, pytest.raises(TypeError) as caught:
        manager.batch_request([item])
    watcher.note(caught.value)
    watcher.check()


def test_statistics_can_be_written_as_json(server: FaultServer) -> None:
    with ConnectionManager(**MANAGER, endpoint_configs=endpoints(server)) as manager:
        manager.get(server.url("/ok"))
        text = json.dumps(manager.get_stats(), default=str)
    assert SECRET not in text


# -- a secret under a name that tells nothing


class Loud(Exception):
    pass


def _quoting(context: Any) -> None:
    raise Loud(f"failed: {context.response.url}")


def log_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.name == LOGGER)


@pytest.mark.parametrize("key", [SECRET, "a b/c+d&é", "abc"])
def test_a_key_under_any_parameter_name_is_not_logged(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: List[Any] = []
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    manager = ConnectionManager(api_key_query=("appid", key), max_retries=0)
    manager.add_listener(events.append)
    with manager, dead_origin() as dead, pytest.raises(requests.ConnectionError):
        manager.get(dead + "/a")
    (failed,) = [event for event in events if isinstance(event, CallFailed)]
    assert "appid=[REDACTED]" in failed.text
    assert key not in log_of(caplog)
    assert quote(key, safe="") not in log_of(caplog)
    assert key not in repr(events)


@pytest.mark.parametrize("name", ["manager", "endpoint"])
def test_a_key_in_the_text_of_a_hooks_error_is_not_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = {"api_key_query": "appid", "api_key": SECRET}
    with caplog.at_level(logging.DEBUG, logger=LOGGER), FaultServer() as server:
        server.route("/a", reply(401))
        with ConnectionManager(**(key if name == "manager" else {})) as manager:
            if name == "endpoint":
                manager.add_endpoint_config("127.0.0.1", key)
            manager.register_post_response_hook(_quoting)
            with pytest.raises(Loud):
                manager.get(server.url("/a"))

        async def call() -> None:
            async with AsyncConnectionManager(**key) as client:
                client.register_post_response_hook(_quoting)
                await client.get(server.url("/a"))

        with pytest.raises(Loud):
            asyncio.run(call())
    assert "appid=[REDACTED]" in log_of(caplog)
    assert SECRET not in log_of(caplog)


def test_a_key_that_was_exchanged_during_the_call_is_not_logged_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FaultServer() as server, ConnectionManager(api_key_query=("appid", SECRET)) as manager:
        server.route("/a", reply(401))

        def exchange(context: Any) -> None:
            manager.core.configure(lambda known: known.replaced(credentials={}))
            _quoting(context)

        manager.register_post_response_hook(exchange)
        with pytest.raises(Loud):
            manager.get(server.url("/a"))
    assert SECRET not in log_of(caplog)
