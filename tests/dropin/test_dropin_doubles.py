"""Test doubles of others: each sees every attempt exactly once, and may make one fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Iterator, List
from unittest import mock

import httpx
import pytest
import requests

from requests_connection_manager import (
    AsyncConnectionManager,
    AttemptFinished,
    AuthenticationError,
    CircuitBreakerOpen,
    ConnectionManager,
    MaxRetriesExceeded,
    RateLimitExceeded,
)
from requests_connection_manager.testing import FaultServer, VirtualClock, reply

URL = "https://api.test/users"


@pytest.fixture
def manager() -> Iterator[ConnectionManager]:
    with ConnectionManager(clock=VirtualClock()) as running:
        yield running


def statuses(response: Any) -> List[Any]:
    return [one.status for one in response.attempts]


# -- responses


def test_responses_sees_each_attempt_once(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as doubles:
        doubles.get(URL, status=503)
        doubles.get(URL, body=requests.ConnectionError("reset"))
        doubles.get(URL, json={"id": 7})
        response = manager.get(URL)
        assert response.json() == {"id": 7}
        assert len(doubles.calls) == 3
    assert statuses(response) == [503, None, 200]


def test_responses_sees_credentials_and_the_final_headers(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    manager.set_bearer_token("t")
    with responses.RequestsMock() as doubles:
        doubles.get(
            URL,
            json={},
            match=[responses.matchers.header_matcher({"Authorization": "Bearer t"})],
        )
        assert manager.get(URL).ok


def test_responses_and_a_failure_for_good(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as doubles:
        doubles.get(URL, status=503)
        with pytest.raises(MaxRetriesExceeded):
            manager.get(URL)
        assert len(doubles.calls) == 4


def test_responses_that_knows_nothing_of_a_url(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock(), pytest.raises(requests.ConnectionError):
        manager.get(URL, max_retries=0)


def test_responses_and_a_redirect(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as doubles:
        doubles.get(URL, status=302, headers={"Location": "https://other.test/"})
        doubles.get("https://other.test/", body="there")
        response = manager.get(URL, headers={"X-API-Key": "secret"})
        assert response.text == "there"
        assert "X-API-Key" not in doubles.calls[1].request.headers
        assert len(doubles.calls) == 2


def test_responses_and_limiter_and_breaker() -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as doubles:
        doubles.get(URL, status=500)
        with ConnectionManager(
            max_retries=0, circuit_breaker_failure_threshold=2, clock=VirtualClock()
        ) as manager:
            for _ in range(2):
                manager.get(URL)
            with pytest.raises(CircuitBreakerOpen):
                manager.get(URL)
        with ConnectionManager(
            max_retries=0, rate_limit_requests=1, clock=VirtualClock()
        ) as manager:
            manager.get(URL)
            with pytest.raises(RateLimitExceeded):
                manager.get(URL)
        assert len(doubles.calls) == 3


def test_responses_in_a_batch(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as doubles:
        doubles.get(URL, json={})
        results: Any = manager.batch_request([("GET", URL, {})] * 6, max_workers=3)
        assert [one.status_code for one in results] == [200] * 6
        assert len(doubles.calls) == 6


def test_responses_with_a_deadline_and_a_stream(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as doubles:
        doubles.get(URL, body=b"x" * 1000)
        assert len(manager.get(URL, total_timeout=20).content) == 1000
        with manager.get(URL, stream=True, total_timeout=20) as response:
            assert sum(map(len, response.iter_content(100))) == 1000


# -- requests-mock: mounts an adapter, which replaces the pipeline


def test_requests_mock_by_its_mocker(manager: ConnectionManager) -> None:
    requests_mock = pytest.importorskip("requests_mock")
    with requests_mock.Mocker() as doubles:
        doubles.get(URL, json={"id": 7})
        assert manager.get(URL).json() == {"id": 7}
        assert doubles.call_count == 1


def test_requests_mock_for_one_session(manager: ConnectionManager) -> None:
    requests_mock = pytest.importorskip("requests_mock")
    with requests_mock.Mocker(session=manager) as doubles:
        doubles.get(URL, [{"status_code": 503}, {"status_code": 200}])
        assert manager.get(URL).status_code == 503
        assert doubles.call_count == 1


def test_requests_mock_as_an_adapter_and_with_the_pipeline(manager: ConnectionManager) -> None:
    requests_mock = pytest.importorskip("requests_mock")
    from requests_connection_manager import PipelineAdapter

    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", "mock://api.test/", [{"status_code": 503}, {"text": "ok"}])
    manager.mount("mock://", adapter)
    assert manager.get("mock://api.test/").status_code == 503
    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", URL, [{"status_code": 503}, {"text": "ok"}])
    manager.mount("https://api.test", PipelineAdapter(wraps=adapter))
    response = manager.get(URL)
    assert response.text == "ok"
    assert statuses(response) == [503, 200]
    assert adapter.call_count == 2


# -- respx


def test_respx_sees_each_attempt_once() -> None:
    respx = pytest.importorskip("respx")

    async def main() -> None:
        with respx.mock:
            route = respx.get(URL)
            route.side_effect = [
                httpx.Response(503),
                httpx.ConnectError("down"),
                httpx.Response(200, json={"id": 7}),
            ]
            async with AsyncConnectionManager(clock=VirtualClock(), api_key="k") as manager:
                response = await manager.get(URL)
            assert response.json() == {"id": 7}
            assert route.call_count == 3
            assert all(one.request.headers["X-API-Key"] == "k" for one in route.calls)
            assert statuses(response) == [503, None, 200]

    asyncio.run(main())


def test_respx_and_a_failure_for_good() -> None:
    respx = pytest.importorskip("respx")

    async def main() -> None:
        with respx.mock:
            route = respx.get(URL).mock(return_value=httpx.Response(503))
            async with AsyncConnectionManager(clock=VirtualClock(), max_retries=2) as manager:
                with pytest.raises(MaxRetriesExceeded):
                    await manager.get(URL)
            assert route.call_count == 3

    asyncio.run(main())


# -- vcrpy


def test_vcrpy_records_and_plays_back(tmp_path: Path) -> None:
    vcr = pytest.importorskip("vcr")
    cassette = str(tmp_path / "cassette.yaml")
    with FaultServer() as server:
        server.route("/flaky", reply(503), reply(200, json={"id": 7}))
        url = server.url("/flaky")
        recorded = vcr.use_cassette(cassette)
        with ConnectionManager(clock=VirtualClock()) as manager, recorded as tape:
            assert manager.get(url).json() == {"id": 7}
            assert len(tape) == 2
        assert server.count() == 2
        played = vcr.use_cassette(cassette, record_mode="none")
        with ConnectionManager(clock=VirtualClock()) as manager, played as tape:
            response = manager.get(url)
            assert response.json() == {"id": 7}
            assert tape.play_count == 2
        assert statuses(response) == [503, 200]
        assert server.count() == 2


def test_vcrpy_works_on_a_manager_that_is_in_use(tmp_path: Path) -> None:
    vcr = pytest.importorskip("vcr")
    with FaultServer() as server, ConnectionManager() as manager:
        server.route("/", reply(200, body="ok"))
        manager.get(server.url("/"))
        with vcr.use_cassette(str(tmp_path / "one.yaml")) as recorded:
            assert manager.get(server.url("/")).text == "ok"
            assert len(recorded) == 1
        assert manager.get(server.url("/")).text == "ok"
        with vcr.use_cassette(str(tmp_path / "one.yaml"), record_mode="none") as played:
            assert manager.get(server.url("/"), total_timeout=20).text == "ok"
            assert played.play_count == 1


def test_vcrpy_records_the_async_side(tmp_path: Path) -> None:
    vcr = pytest.importorskip("vcr")
    cassette = str(tmp_path / "cassette.yaml")

    async def main(url: str, **options: Any) -> Any:
        async with AsyncConnectionManager(clock=VirtualClock()) as manager:
            with vcr.use_cassette(cassette, **options) as tape:
                response = await manager.get(url)
                assert statuses(response) == [503, 200]
                return response.json(), len(tape)

    with FaultServer() as server:
        server.route("/flaky", reply(503), reply(200, json={"id": 7}))
        url = server.url("/flaky")
        assert asyncio.run(main(url)) == ({"id": 7}, 2)
        assert asyncio.run(main(url, record_mode="none")) == ({"id": 7}, 2)
        assert server.count() == 2


# -- what users patch by hand


def test_patching_httpadapter_send_works(
    manager: ConnectionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: List[Any] = []

    def send(self: Any, request: Any, **kwargs: Any) -> requests.Response:
        seen.append(request.url)
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        response._content = b"patched"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    assert manager.get(URL).text == "patched"
    assert seen == [URL]


def test_listeners_see_what_the_double_sees(manager: ConnectionManager) -> None:
    responses = pytest.importorskip("responses")
    seen: List[AttemptFinished] = []
    manager.add_listener(seen.append, AttemptFinished)
    with responses.RequestsMock() as doubles:
        doubles.get(URL, status=503)
        doubles.get(URL, status=200)
        manager.get(URL)
        assert len(doubles.calls) == len(seen) == 2


@pytest.mark.parametrize("raising", [False, True])
def test_a_mock_of_the_class_of_responses_comes_back(raising):
    double = mock.MagicMock(spec=requests.Response)
    session = ConnectionManager(raise_for_status=raising)
    session.send = mock.MagicMock(return_value=double)
    assert session.get("https://a.test/") is double
    double.status_code = 401
    if raising:
        double.headers = {}
        with pytest.raises(AuthenticationError, match=r"GET https://a\.test/: status 401"):
            session.get("https://a.test/")
    else:
        assert session.get("https://a.test/") is double
