"""What belongs to one hop and one call of the sync manager, and what must not leak out of them."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any, Iterator, List

import httpx
import pytest
import requests
from requests.auth import HTTPDigestAuth
from urllib3.util import Retry, Timeout

from requests_connection_manager import ConnectionManager, HTTPError, MaxRetriesExceeded
from requests_connection_manager.adapter import PipelineAdapter
from requests_connection_manager.testing import (
    FaultServer,
    VirtualClock,
    disconnect,
    echo,
    redirect,
    reply,
)

CHALLENGE = reply(401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
OFF = {"max_retries": 0, "rate_limit_requests": None, "circuit_breaker_failure_threshold": None}


@pytest.fixture
def other() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def scope_of(server: FaultServer) -> str:
    return f"127.0.0.1:{server.port}"


def digest_for(server: FaultServer) -> Any:
    return {scope_of(server): {"auth": HTTPDigestAuth("user", "password")}}


class TestEndpointAuthWithHooks:
    def test_a_refused_answer_ends_it(self, server: FaultServer) -> None:
        server.route("/a", CHALLENGE)
        manager = ConnectionManager(endpoint_configs=digest_for(server), **OFF)
        assert manager.get(server.url("/a")).status_code == 401
        assert server.count("/a") == 2
        assert server.requests[1].headers["Authorization"].startswith("Digest ")

    def test_an_accepted_answer_brings_the_response(self, server: FaultServer) -> None:
        server.route("/a", CHALLENGE, reply(200))
        manager = ConnectionManager(endpoint_configs=digest_for(server))
        response = manager.get(server.url("/a"))
        assert response.status_code == 200
        assert server.count("/a") == 2
        assert [one.status_code for one in response.history] == [401]
        assert [one.status for one in response.attempts] == [401, 200]  # type: ignore[attr-defined]

    def test_only_the_last_attempt_is_answered(self, server: FaultServer) -> None:
        server.route("/a", reply(503), CHALLENGE, reply(200))
        manager = ConnectionManager(endpoint_configs=digest_for(server), backoff_factor=0)
        assert manager.get(server.url("/a")).status_code == 200
        assert server.count("/a") == 3

    def test_a_foreign_origin_is_not_answered(
        self, server: FaultServer, other: FaultServer
    ) -> None:
        server.route("/a", redirect(other.url("/b")))
        other.route("/b", CHALLENGE)
        manager = ConnectionManager(endpoint_configs=digest_for(server), **OFF)
        assert manager.get(server.url("/a")).status_code == 401
        assert [one.headers.get("Authorization") for one in other.requests] == [None]

    def test_the_callers_request_is_left_alone(self, server: FaultServer) -> None:
        server.route("/a", reply(200))
        manager = ConnectionManager(endpoint_configs=digest_for(server))
        prepared = manager.prepare_request(requests.Request("GET", server.url("/a")))
        for _ in range(3):
            manager.send(prepared)
        assert prepared.hooks == {"response": []}

    def test_hooks_of_the_caller_run_once(self, server: FaultServer) -> None:
        server.route("/a", CHALLENGE, reply(200))
        seen: List[int] = []
        manager = ConnectionManager(endpoint_configs=digest_for(server))
        manager.get(
            server.url("/a"), hooks={"response": lambda one, **_: seen.append(one.status_code)}
        )
        assert seen == [200]

    def test_without_a_manager_around_it(self, server: FaultServer) -> None:
        server.route("/a", CHALLENGE)
        manager = ConnectionManager(endpoint_configs=digest_for(server), **OFF)
        session = requests.Session()
        session.mount("http://", PipelineAdapter(core=manager.core))
        assert session.get(server.url("/a")).status_code == 401
        assert server.count("/a") == 2


class Renewing(ConnectionManager):
    """Sends once more with a new token, as many vendors' sessions do."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **kwargs)
        if response.status_code == 401:
            request.headers["Authorization"] = "Bearer new"
            response = super().send(request, **kwargs)
        return response


class TestWhichCallASendBelongsTo:
    def test_a_second_send_of_the_same_request(self, server: FaultServer) -> None:
        server.route("/a", reply(401), reply(503))
        manager = Renewing(max_retries=3, backoff_factor=0)
        hooks: List[str] = []
        manager.register_pre_request_hook(lambda context: hooks.append(context.url))
        assert manager.get(server.url("/a"), max_retries=0).status_code == 503
        assert (server.count("/a"), len(hooks)) == (2, 1)

    def test_a_second_send_after_a_redirect(self, server: FaultServer) -> None:
        server.route("/a", redirect("/b"))
        server.route("/b", reply(401), reply(503))
        manager = Renewing(max_retries=3, backoff_factor=0)
        hooks: List[str] = []
        manager.register_pre_request_hook(lambda context: hooks.append(context.url))
        assert manager.get(server.url("/a"), max_retries=0).status_code == 503
        assert (server.count("/b"), len(hooks)) == (2, 1)

    def test_an_auth_that_sends_begins_a_call_of_its_own(
        self, server: FaultServer, other: FaultServer
    ) -> None:
        server.route("/a", reply(503))
        other.route("/token", reply(200))
        manager = ConnectionManager(api_key="key", max_retries=3, backoff_factor=0)
        hooks: List[str] = []
        manager.register_pre_request_hook(lambda context: hooks.append(context.url))

        def auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
            manager.send(manager.prepare_request(requests.Request("GET", other.url("/token"))))
            return request

        assert manager.get(server.url("/a"), auth=auth, max_retries=0).status_code == 503
        assert server.count() == 1
        assert hooks == [server.url("/a"), other.url("/token")]
        assert server.requests[0].headers["X-API-Key"] == "key"

    def test_a_prepare_request_that_copies_still_joins(self, server: FaultServer) -> None:
        class Copying(ConnectionManager):
            def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
                return super().prepare_request(request).copy()

        server.route("/a", reply(503))
        manager = Copying(max_retries=3, backoff_factor=0)
        assert manager.get(server.url("/a"), max_retries=0).status_code == 503
        assert server.count() == 1


class TestErrorsWhileCredentialsArePutOn:
    @pytest.mark.parametrize("error", [requests.ConnectionError, requests.ReadTimeout, OSError])
    def test_they_are_nobodys_failure(self, server: FaultServer, error: Any) -> None:
        calls: List[int] = []

        def auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
            calls.append(1)
            raise error("the identity provider is away")

        manager = ConnectionManager(
            endpoint_configs={scope_of(server): {"auth": auth}},
            backoff_factor=0,
            rate_limit_requests=1,
            rate_limit_period=1000,
            circuit_breaker_failure_threshold=1,
        )
        for _ in range(3):
            with pytest.raises(error, match="identity provider"):
                manager.get(server.url("/a"))
        assert len(calls) == 3
        assert server.count() == 0
        assert manager.get_stats()["circuit_breaker_state"] == "closed"

    def test_a_nested_calls_error_is_not_counted(
        self, server: FaultServer, other: FaultServer
    ) -> None:
        other.route("/token", disconnect())
        manager = ConnectionManager(backoff_factor=0, max_retries=1)

        def auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
            manager.get(other.url("/token"))
            return request

        manager.add_endpoint_config(scope_of(server), {"auth": auth})
        with pytest.raises(MaxRetriesExceeded) as raised:
            manager.get(server.url("/a"))
        assert raised.value.request.url == other.url("/token")
        assert other.count() == 2


class EverySecondRefused:
    """A limiter that grants the first attempt of each call, and refuses its retry."""

    def __init__(self) -> None:
        self.asked = 0

    def reserve(self, max_wait: float) -> Any:
        self.asked += 1
        return (None, 1e9) if self.asked % 2 == 0 else (self, 0.0)

    def poll(self) -> float:
        return 0.0

    def cancel(self) -> None:
        pass

    def pause(self, seconds: float) -> None:
        pass

    def fill(self) -> float:
        return 0.0


def test_a_retry_that_the_limiter_refuses_costs_nothing(server: FaultServer) -> None:
    server.route("/a", reply(503))
    manager = ConnectionManager(
        rate_limiter=EverySecondRefused(),
        backoff_factor=0,
        clock=VirtualClock(),
        circuit_breaker_failure_threshold=None,
    )
    for _ in range(40):
        with pytest.raises(MaxRetriesExceeded) as raised:
            manager.get(server.url("/a"))
        assert raised.value.reason == "rate_limit"
    (scope,) = manager.get_stats()["scopes"].values()
    assert scope["retry_budget_available"] == 500


class TestAdaptersOutsideTheirManager:
    def test_a_plain_session_gets_no_credentials_of_the_manager(
        self, server: FaultServer, other: FaultServer
    ) -> None:
        server.route("/a", redirect(other.url("/b")))
        other.route("/b", reply(200))
        manager = ConnectionManager(api_key="key", bearer_token="token")
        session = requests.Session()
        session.mount("http://", PipelineAdapter(core=manager.core))
        assert session.get(server.url("/a")).status_code == 200
        for one in (*server.requests, *other.requests):
            assert not {"X-API-Key", "Authorization"} & set(one.headers)

    def test_one_adapter_can_not_serve_two_managers(self) -> None:
        one, two = ConnectionManager(api_key="one"), ConnectionManager(api_key="two")
        shared = one.get_adapter("http://x/")
        with pytest.raises(ValueError, match="one PipelineAdapter per manager"):
            two.mount("http://", shared)
        assert two.get_adapter("http://x/") is not shared
        one.mount("http://y/", shared)

    def test_copies_are_free_again(self) -> None:
        one, two = ConnectionManager(), ConnectionManager()
        two.mount("http://", pickle.loads(pickle.dumps(one.get_adapter("http://x/"))))

    def test_without_a_core_it_retries_as_plain_requests(self, server: FaultServer) -> None:
        server.route("/a", reply(503), reply(503), reply(200))
        session = requests.Session()
        session.mount("http://", PipelineAdapter(max_retries=Retry(3, status_forcelist=[503])))
        response = session.get(server.url("/a"))
        assert (response.status_code, server.count()) == (200, 3)


@pytest.mark.parametrize("total_timeout", [None, 60])
def test_errors_of_requests_do_not_carry_our_credentials(
    server: FaultServer, total_timeout: Any
) -> None:
    server.route("/a", disconnect())
    manager = ConnectionManager(bearer_token="SECRET", total_timeout=total_timeout)
    with pytest.raises(requests.ConnectionError) as raised:
        manager.post(server.url("/a"), data=b"x")
    assert "Authorization" not in raised.value.request.headers
    assert b"SECRET" not in pickle.dumps(raised.value)


class TestTimeouts:
    @pytest.mark.parametrize(
        ("timeout", "settings"),
        [
            (Timeout(total=50), {}),
            (Timeout(total=50), {"total_timeout": 30}),
            (Timeout(connect=20), {"total_timeout": 30}),
            (Timeout(total=50), {"read_timeout": 30}),
            (Timeout(total=50, read=9), {"connect_timeout": 30}),
        ],
    )
    def test_timeout_objects_of_urllib3(
        self, server: FaultServer, timeout: Timeout, settings: Any
    ) -> None:
        server.route("/a", reply(200))
        with ConnectionManager() as manager:
            assert manager.get(server.url("/a"), timeout=timeout, **settings).status_code == 200
        with ConnectionManager(timeout=timeout, **settings) as manager:
            assert manager.get(server.url("/a")).status_code == 200

    @pytest.mark.parametrize("timeout", [(1, 2, 3, 4), httpx.Timeout(3)])
    def test_what_requests_can_not_use_is_refused_at_once(self, timeout: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="timeout"):
            ConnectionManager(timeout=timeout)
        with pytest.raises((TypeError, ValueError), match="timeout"):
            ConnectionManager(endpoint_configs={"/a": {"timeout": timeout}})


class TestAsRequestsDoes:
    def test_a_path_that_begins_with_two_slashes(self, server: FaultServer) -> None:
        # What they send depends on their version.
        for session in (requests.Session(), ConnectionManager()):
            session.get(f"{server.origin}//x/y")
        theirs, ours = server.requests
        assert theirs.path == ours.path

    def test_headers_that_are_an_empty_list(self) -> None:
        sessions = requests.Session(), ConnectionManager()
        prepared = [
            session.prepare_request(requests.Request("GET", "http://x/", headers=empty))
            for session in sessions
            for empty in ([], {})
        ]
        assert [sorted(one.headers) for one in prepared[:2]] == [
            sorted(one.headers) for one in prepared[2:]
        ]

    def test_a_body_that_can_be_iterated_again_follows_a_redirect(
        self, server: FaultServer
    ) -> None:
        class Body:
            def __iter__(self) -> Iterator[bytes]:
                return iter([b"a", b"b"])

        server.route("/r", redirect("/e", 307))
        server.route("/e", echo())
        response = ConnectionManager().post(server.url("/r"), data=Body())  # type: ignore[arg-type]
        assert response.status_code == 200
        assert server.requests[-1].body == b"ab"

    def test_an_iterator_does_not(self, server: FaultServer) -> None:
        server.route("/r", redirect("/e", 307))
        with pytest.raises(requests.exceptions.UnrewindableBodyError):
            ConnectionManager().post(server.url("/r"), data=iter([b"a"]))


class Wrapper:
    """An iterable that looks as if it could be read again, such as a progress bar."""

    def __init__(self, chunks: Any) -> None:
        self.chunks = iter(chunks)

    def __iter__(self) -> Any:
        return self.chunks


def test_a_wrapped_stream_is_not_sent_twice(server: FaultServer) -> None:
    server.route("/", reply(503), reply(200))
    with ConnectionManager(clock=VirtualClock()) as manager:
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.put(server.url("/"), data=Wrapper([b"a", b"b"]))
        assert caught.value.reason == "body_not_replayable"
    assert [one.body for one in server.requests] == [b"ab"]


def test_an_adapter_that_tells_no_request_is_no_trouble_for_an_error():
    class Bare(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            response = requests.Response()
            response.status_code, response._content = 404, b"gone"
            return response

        def close(self):
            pass

    manager = ConnectionManager(raise_for_status=True)
    manager.mount("https://", Bare())
    with pytest.raises(HTTPError) as caught:
        manager.get("https://a.test/x")
    assert (caught.value.status_code, caught.value.body) == (404, "gone")
    assert caught.value.request.url == "https://a.test/x"


def test_a_file_is_read_in_large_pieces(server: FaultServer) -> None:
    sizes: List[int] = []

    class Watched(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            sizes.append(size)
            return super().read(size)

    server.route("/", reply(200))
    content = os.urandom(300_000)
    with ConnectionManager() as manager:
        manager.put(server.url("/"), data=Watched(content))
    assert server.requests[-1].body == content
    assert set(sizes) == {131_072}
