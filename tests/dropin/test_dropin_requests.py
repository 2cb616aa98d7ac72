"""``ConnectionManager`` wherever a ``requests.Session`` is taken."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
from typing import Any, Dict, Iterator, List, Optional

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from requests_connection_manager import (
    CircuitBreakerOpen,
    ConnectionManager,
    ErrorContext,
    MaxRetriesExceeded,
    PipelineAdapter,
)
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    echo,
    gzip,
    redirect,
    reply,
    slow_body,
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", echo())
        yield running


@pytest.fixture
def manager() -> Iterator[ConnectionManager]:
    with ConnectionManager(clock=VirtualClock()) as running:
        yield running


def test_it_is_a_session(manager: ConnectionManager) -> None:
    assert isinstance(manager, requests.Session)
    session = requests.Session()
    for name in vars(session):
        assert hasattr(manager, name), name
    assert dict(manager.headers) == dict(session.headers)
    assert list(manager.adapters) == list(session.adapters)


# -- cookies


def test_cookies_are_kept_and_sent(server: FaultServer, manager: ConnectionManager) -> None:
    server.route("/set", reply(200, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    manager.get(server.url("/set"))
    assert manager.cookies.get_dict() == {"a": "1", "b": "2"}
    manager.get(server.url("/"), cookies={"c": "3"})
    sent = server.requests[-1].headers["cookie"]
    assert sorted(sent.split("; ")) == ["a=1", "b=2", "c=3"]
    manager.cookies.clear()
    manager.get(server.url("/"))
    assert "cookie" not in server.requests[-1].headers


def test_a_cookie_of_a_redirect_and_of_a_retry_is_kept(
    server: FaultServer, manager: ConnectionManager
) -> None:
    server.route("/login", redirect("/", headers={"Set-Cookie": "sid=1"}))
    manager.get(server.url("/login"))
    assert server.requests[-1].headers["cookie"] == "sid=1"


# -- redirects


def test_redirects_are_followed_and_told_of(
    server: FaultServer, manager: ConnectionManager
) -> None:
    server.route("/a", redirect("/b", 301))
    server.route("/b", redirect("/", 302))
    response = manager.get(server.url("/a"))
    assert [one.status_code for one in response.history] == [301, 302]
    assert response.url == server.url("/")
    assert manager.head(server.url("/a")).status_code == 301
    assert manager.get(server.url("/a"), allow_redirects=False).is_redirect


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (303, "GET"), (307, "POST")])
def test_the_method_changes_as_requests_changes_it(
    server: FaultServer, manager: ConnectionManager, status: int, method: str
) -> None:
    server.route("/a", redirect("/", status))
    assert manager.post(server.url("/a"), data="x").json()["method"] == method


# -- streaming


def test_a_body_can_be_streamed(server: FaultServer, manager: ConnectionManager) -> None:
    server.route("/stream", slow_body([b"one\n", b"two\n"], 0))
    with manager.get(server.url("/stream"), stream=True) as response:
        assert list(response.iter_lines()) == [b"one", b"two"]
    with manager.get(server.url("/stream"), stream=True) as response:
        assert b"".join(response.iter_content(3)) == b"one\ntwo\n"
    response = manager.get(server.url("/stream"), stream=True)
    assert response.raw.read() == b"one\ntwo\n"
    response.close()
    server.route("/packed", gzip("text " * 100))
    assert manager.get(server.url("/packed")).text == "text " * 100


def test_the_session_default_for_stream_counts(
    server: FaultServer, manager: ConnectionManager
) -> None:
    manager.stream = True
    response = manager.get(server.url("/"))
    assert not response._content_consumed  # type: ignore[attr-defined]  # not in the stubs
    response.close()


# -- prepared requests


def test_prepared_requests_are_sent(server: FaultServer, manager: ConnectionManager) -> None:
    manager.headers["X-Session"] = "1"
    request = requests.Request("POST", server.url("/"), params={"q": "1"}, json={"a": 1})
    prepared = manager.prepare_request(request)
    for sent in (prepared, prepared.copy(), pickle.loads(pickle.dumps(prepared))):
        answer = manager.send(sent, timeout=5).json()
        assert (answer["body"], answer["query"]) == ('{"a": 1}', "q=1")
        assert answer["headers"]["x-session"] == "1"
    bare = requests.Request("GET", server.url("/")).prepare()
    assert "x-session" not in manager.send(bare).json()["headers"]


def test_a_request_that_is_not_prepared_is_refused_as_requests_does(
    manager: ConnectionManager,
) -> None:
    with pytest.raises(ValueError, match="You can only send PreparedRequests"):
        manager.send(requests.Request("GET", "http://api.test/"))  # type: ignore[arg-type]


def test_bytes_and_odd_urls_are_taken(server: FaultServer, manager: ConnectionManager) -> None:
    assert manager.get(server.url("/").encode()).ok
    assert manager.get("  " + server.url("/")).ok
    assert manager.get(server.url("/") + "?ü=é").json()["query"] == "%C3%BC=%C3%A9"


def test_files_and_forms_are_sent(server: FaultServer, manager: ConnectionManager) -> None:
    answer = manager.post(server.url("/"), data={"a": ["1", "2"]}).json()
    assert answer["body"] == "a=1&a=2"
    answer = manager.post(server.url("/"), files={"f": ("n.txt", io.BytesIO(b"inside"))}).json()
    assert "inside" in answer["body"]
    answer = manager.post(server.url("/"), data=iter([b"a", b"b"])).json()
    assert answer["body"] == "ab"


# -- adapters


class Vendor(HTTPAdapter):
    """An adapter of somebody's own."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: List[str] = []

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent.append(request.url)
        response = super().send(request, *args, **kwargs)
        response.headers["X-Vendor"] = "yes"
        return response


class Canned(BaseAdapter):
    """An adapter that opens no connection."""

    def __init__(self, error: Optional[Exception] = None) -> None:
        super().__init__()
        self.error = error
        self.count = 0

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        self.count += 1
        if self.error is not None:
            raise self.error
        response = requests.Response()
        response.status_code, response.request, response.url = 503, request, request.url
        response._content, response.raw = b"canned", io.BytesIO()
        return response

    def close(self) -> None: ...


def test_get_adapter_returns_the_object_that_was_mounted(manager: ConnectionManager) -> None:
    vendor, wrapped = Vendor(), PipelineAdapter(wraps=Vendor())
    manager.mount("https://vendor.test", vendor)
    manager.mount("https://wrapped.test", wrapped)
    assert manager.get_adapter("https://vendor.test/x") is vendor
    assert manager.get_adapter("https://wrapped.test/x") is wrapped
    assert manager.get_adapter("https://else.test/x") is manager.adapters["https://"]
    assert isinstance(manager.get_adapter("http://else.test/"), PipelineAdapter)


def test_a_users_adapter_replaces_the_pipeline_for_its_prefix(
    server: FaultServer, manager: ConnectionManager
) -> None:
    canned = Canned()
    manager.mount("http://canned.test", canned)
    seen: List[str] = []
    manager.register_pre_request_hook(lambda context: seen.append("before"))
    manager.register_post_response_hook(lambda context: seen.append("after"))
    assert manager.get("http://canned.test/").status_code == 503
    assert canned.count == 1  # no retries: its adapter decides
    assert seen == ["before", "after"]
    results: Any = manager.batch_request(
        [("GET", "http://canned.test/", {}), ("GET", server.url("/"), {})]
    )
    assert [one.status_code for one in results] == [503, 200]
    assert "http://canned.test" not in manager.get_stats()["scopes"]


def test_hooks_and_fallback_work_for_a_users_adapter(manager: ConnectionManager) -> None:
    manager.mount("http://canned.test", Canned(requests.ConnectionError("down")))
    fallback = requests.Response()
    fallback.status_code = 404

    def recover(context: ErrorContext) -> None:
        context.handled, context.fallback_response = True, fallback

    with pytest.raises(requests.ConnectionError, match="down"):
        manager.get("http://canned.test/")
    manager.register_error_hook(recover)
    assert manager.get("http://canned.test/") is fallback


def test_a_wrapped_adapter_keeps_its_behaviour_and_gets_the_pipeline(
    server: FaultServer, manager: ConnectionManager
) -> None:
    server.route("/flaky", reply(503), reply(200))
    vendor = Vendor()
    manager.mount(server.origin, PipelineAdapter(wraps=vendor))
    response: Any = manager.get(server.url("/flaky"))
    assert response.headers["X-Vendor"] == "yes"
    assert [one.status for one in response.attempts] == [503, 200]
    assert vendor.sent == [server.url("/flaky")] * 2


def test_a_wrapped_adapter_without_connections_works(manager: ConnectionManager) -> None:
    canned = Canned()
    manager.mount("http://canned.test", PipelineAdapter(wraps=canned))
    with pytest.raises(MaxRetriesExceeded):
        manager.get("http://canned.test/")
    assert canned.count == 4


def test_the_retry_policy_is_seen_and_may_be_replaced(
    server: FaultServer, manager: ConnectionManager
) -> None:
    from urllib3.util.retry import Retry

    adapter: Any = manager.get_adapter(server.url("/"))
    assert adapter.max_retries.total == 3
    server.route("/teapot", reply(418))
    adapter.max_retries = Retry(1, status_forcelist=[418])
    with pytest.raises(MaxRetriesExceeded):
        manager.get(server.url("/teapot"))
    assert server.count("/teapot") == 2


def test_an_adapter_used_by_a_plain_session_sends_once(server: FaultServer) -> None:
    server.route("/busy", reply(503))
    with requests.Session() as session:
        session.mount("http://", PipelineAdapter())
        assert session.get(server.url("/busy")).status_code == 503
    assert server.count("/busy") == 1


# -- auth


def digest_route(realm: str, password: str) -> Any:
    def answer(received: Received) -> Reply:
        given = received.headers.get("authorization", "")
        if not given.startswith("Digest "):
            challenge = f'Digest realm="{realm}", nonce="abc", qop="auth", algorithm=MD5'
            return reply(401, headers={"WWW-Authenticate": challenge})
        fields = dict(
            part.strip().split("=", 1) for part in given[len("Digest ") :].split(", ") if part
        )
        fields = {name: value.strip('"') for name, value in fields.items()}
        first = md5(f"user:{realm}:{password}")
        second = md5(f"{received.method}:{fields['uri']}")
        wanted = md5(f"{first}:abc:{fields['nc']}:{fields['cnonce']}:{fields['qop']}:{second}")
        return reply(200 if fields["response"] == wanted else 403, body=received.body)

    return answer


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_digest_auth(server: FaultServer, manager: ConnectionManager, method: str) -> None:
    server.route("/digest", digest_route("here", "pw"))
    body = b"payload" if method == "POST" else None
    response: Any = manager.request(
        method, server.url("/digest"), data=body, auth=HTTPDigestAuth("user", "pw")
    )
    assert response.status_code == 200
    assert response.content == (body or b"")
    assert [one.status for one in response.attempts] == [401, 200]
    assert [one.status_code for one in response.history] == [401]
    assert server.connections == 1


def test_digest_auth_of_the_session_and_of_an_endpoint(server: FaultServer) -> None:
    server.route("/digest", digest_route("here", "pw"))
    with ConnectionManager(auth=HTTPDigestAuth("user", "pw")) as manager:
        assert manager.get(server.url("/digest")).status_code == 200
        assert manager.get(server.url("/digest")).status_code == 200
    with ConnectionManager() as manager:
        manager.add_endpoint_config(server.origin, {"auth": HTTPDigestAuth("user", "pw")})
        assert manager.get(server.url("/digest")).status_code == 200


def test_auth_may_be_a_pair_an_object_or_a_callable(
    server: FaultServer, manager: ConnectionManager
) -> None:
    def sign(request: Any) -> Any:
        request.headers["X-Signed"] = "yes"
        return request

    headers = manager.get(server.url("/"), auth=("u", "p")).json()["headers"]
    assert headers["authorization"] == "Basic dTpw"
    headers = manager.get(server.url("/"), auth=HTTPBasicAuth("u", "p")).json()["headers"]
    assert headers["authorization"] == "Basic dTpw"
    assert manager.get(server.url("/"), auth=sign).json()["headers"]["x-signed"] == "yes"
    url = server.url("/").replace("http://", "http://u:p@")
    assert manager.get(url).json()["headers"]["authorization"] == "Basic dTpw"


# -- requests' own hooks


def test_response_hooks_of_requests_run(server: FaultServer, manager: ConnectionManager) -> None:
    seen: List[str] = []

    def note(response: requests.Response, **kwargs: Any) -> None:
        seen.append(response.url)

    def replace(response: requests.Response, **kwargs: Any) -> requests.Response:
        response.headers["X-Replaced"] = "yes"
        return response

    manager.hooks["response"].append(note)
    manager.get(server.url("/"))
    assert seen == [server.url("/")]
    # Those of a call replace those of the session, as with requests.
    response = manager.get(server.url("/"), hooks={"response": [note, replace]})
    assert seen == [server.url("/")] * 2
    assert response.headers["X-Replaced"] == "yes"


def test_a_response_hook_sees_the_last_of_several_attempts_only(
    server: FaultServer, manager: ConnectionManager
) -> None:
    server.route("/flaky", reply(503), reply(200))
    seen: List[int] = []
    manager.hooks["response"].append(lambda response, **kwargs: seen.append(response.status_code))
    manager.get(server.url("/flaky"))
    assert seen == [200]


# -- pickling, copying, subclassing


def test_pickling_keeps_the_configuration(server: FaultServer) -> None:
    manager = ConnectionManager(
        max_retries=1,
        bearer_token="t",
        timeout=7,
        rate_limit_requests=5,
        endpoint_configs={"api.test": {"timeout": 1}},
        headers={"X-Mine": "1"},
    )
    manager.cookies.set("a", "1")
    manager.mount("https://vendor.test", PipelineAdapter(pool_maxsize=3))
    again: Any = pickle.loads(pickle.dumps(manager))
    assert type(again) is ConnectionManager
    assert again.get_endpoint_configs() == manager.get_endpoint_configs()
    assert again.get_stats()["rate_limit_requests"] == 5
    assert list(again.adapters) == list(manager.adapters)
    assert again.get_adapter("https://vendor.test/")._pool_maxsize == 3
    headers = again.get(server.url("/")).json()["headers"]
    assert (headers["authorization"], headers["x-mine"], headers["cookie"]) == (
        "Bearer t",
        "1",
        "a=1",
    )
    server.route("/busy", reply(503))
    with pytest.raises(MaxRetriesExceeded):
        again.get(server.url("/busy"), backoff_factor=0)
    assert server.count("/busy") == 2


def module_hook(context: Any) -> None:
    context.kwargs.setdefault("headers", {})["X-Hooked"] = "yes"


def test_pickling_keeps_hooks_that_can_be_pickled(server: FaultServer) -> None:
    manager = ConnectionManager()
    manager.register_pre_request_hook(module_hook)
    again: Any = pickle.loads(pickle.dumps(manager))
    assert again.list_hooks() == manager.list_hooks()
    assert again.get(server.url("/")).json()["headers"]["x-hooked"] == "yes"


def test_pickling_keeps_a_retry_of_the_users(server: FaultServer) -> None:
    from urllib3.util.retry import Retry

    manager = ConnectionManager(max_retries=Retry(2, status_forcelist=[418], backoff_factor=0))
    again: Any = pickle.loads(pickle.dumps(manager))
    server.route("/teapot", reply(418))
    with pytest.raises(MaxRetriesExceeded):
        again.get(server.url("/teapot"))
    assert server.count("/teapot") == 3


def test_a_copy_has_its_own_state(server: FaultServer) -> None:
    server.route("/down", reply(500))
    manager = ConnectionManager(circuit_breaker_failure_threshold=1, max_retries=0)
    for again in (copy.copy(manager), copy.deepcopy(manager)):
        again.get(server.url("/down"))
        with pytest.raises(CircuitBreakerOpen):
            again.get(server.url("/"))
        assert manager.get(server.url("/")).status_code == 200
        again.set_timeouts(connect_timeout=3)
    settings = manager.explain("GET", server.url("/"))["settings"]
    assert settings["connect_timeout"] is None


class Plain(ConnectionManager):
    """A subclass without a constructor."""

    kind = "plain"


class ZeroArguments(ConnectionManager):
    """A subclass that is built without arguments, as SDKs do."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self.headers["X-Sdk"] = "1"
        self.base = "http://api.test"


class WithAttributes(ConnectionManager):
    """A subclass with a constructor of its own, and attributes set before super()."""

    def __init__(self, base: str, **kwargs: Any) -> None:
        self.base = base
        self.seen: List[str] = []
        super().__init__(**kwargs)

    def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        self.seen.append("request")
        return super().request(method, self.base + str(url), *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.seen.append("send")
        return super().send(request, **kwargs)


class OldSchool(ConnectionManager):
    """As code written for Session does it: mounts in its constructor, overrides rebuild_auth."""

    def __init__(self) -> None:
        super().__init__()
        self.mount("https://vendor.test", HTTPAdapter(max_retries=2))

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        prepared_request.headers["X-Rebuilt"] = "yes"


@pytest.mark.parametrize("cls", [Plain, ZeroArguments, OldSchool])
def test_subclasses_without_arguments(server: FaultServer, cls: Any) -> None:
    for instance in (cls(), pickle.loads(pickle.dumps(cls())), copy.copy(cls())):
        assert type(instance) is cls
        assert instance.get(server.url("/")).ok
        assert getattr(instance, "base", "http://api.test") == "http://api.test"


def test_subclasses_with_attributes(server: FaultServer) -> None:
    first = WithAttributes(server.origin, bearer_token="t")
    for instance in (first, pickle.loads(pickle.dumps(first))):
        instance.seen.clear()
        assert instance.get("/").json()["headers"]["authorization"] == "Bearer t"
        assert instance.seen == ["request", "send"]
    server.route("/a", redirect("/"))
    first.seen.clear()
    first.get("/a")
    assert first.seen == ["request", "send", "send"]  # as with a Session: once for each hop


def test_an_overridden_rebuild_auth_runs(server: FaultServer) -> None:
    server.route("/a", redirect("/"))
    with OldSchool() as manager:
        assert manager.get(server.url("/a")).json()["headers"]["x-rebuilt"] == "yes"


# -- properties set later


def test_properties_set_later_take_effect(server: FaultServer, manager: ConnectionManager) -> None:
    manager.headers.update({"X-Later": "1"})
    manager.params = {"p": "1"}
    manager.auth = ("u", "p")
    answer = manager.get(server.url("/")).json()
    assert answer["query"] == "p=1"
    assert answer["headers"]["x-later"] == "1"
    assert answer["headers"]["authorization"] == "Basic dTpw"
    manager.headers = requests.structures.CaseInsensitiveDict({"X-New": "2"})
    manager.auth = None
    manager.params = {}
    headers = manager.get(server.url("/")).json()["headers"]
    assert headers["x-new"] == "2"
    assert "x-later" not in headers
    assert "authorization" not in headers


def test_a_header_can_be_left_out_for_one_call(
    server: FaultServer, manager: ConnectionManager
) -> None:
    manager.headers["X-Session"] = "1"
    manager.set_api_key("k")
    headers: Dict[str, Any] = {"X-Session": None, "User-Agent": None, "X-API-Key": None}
    seen = manager.get(server.url("/"), headers=headers).json()["headers"]
    assert "x-session" not in seen
    assert "x-api-key" not in seen
    assert manager.get(server.url("/")).json()["headers"]["x-api-key"] == "k"


def test_timeouts_of_every_form_are_taken(server: FaultServer, manager: ConnectionManager) -> None:
    from urllib3.util import Timeout

    for timeout in (5, 5.5, (3, 4), (None, 4), None, Timeout(connect=3, read=4)):
        assert manager.get(server.url("/"), timeout=timeout).ok


def test_elapsed_is_that_of_the_last_attempt(server: FaultServer) -> None:
    server.route("/flaky", reply(503), reply(200))
    with ConnectionManager(clock=VirtualClock()) as manager:
        response: Any = manager.get(server.url("/flaky"))
        assert response.elapsed.total_seconds() == response.attempts[-1].elapsed


def test_a_session_can_go_through_the_functions_that_take_one(server: FaultServer) -> None:
    def sdk(session: requests.Session) -> Any:
        session.headers.setdefault("X-Sdk", "1")
        with session as opened:
            return opened.get(server.url("/"), timeout=3).json()

    assert sdk(ConnectionManager())["headers"]["x-sdk"] == "1"
