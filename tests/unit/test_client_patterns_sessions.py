"""``create_session`` and ``request_with_retry``, on requests' sessions and on managers."""

from __future__ import annotations

import io
import logging
from email.utils import formatdate
from typing import Any, Iterator, List
from unittest.mock import MagicMock

import pytest
import requests

from requests_connection_manager import (
    AsyncConnectionManager,
    ConnectionManager,
    MaxRetriesExceeded,
    RetrySuppressed,
)
from requests_connection_manager.client_patterns import (
    RETRYABLE_STATUS_CODES,
    create_session,
    is_retryable,
    request_with_retry,
)
from requests_connection_manager.testing import dead_origin, echo, reply, reset

LOGGER = "requests_connection_manager"


def refused(seconds: Any = None, status: int = 503) -> Any:
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return reply(status, headers=headers)


def response_of(status: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.fixture(params=["session", "manager"])
def send(request, clock) -> Iterator[Any]:
    """``request_with_retry`` on either kind of session, on the virtual clock."""
    if request.param == "manager":
        with ConnectionManager(clock=clock) as manager:
            yield lambda *args, **kwargs: request_with_retry(manager, *args, **kwargs)
    else:
        with requests.Session() as session:
            yield lambda *args, **kwargs: request_with_retry(session, *args, clock=clock, **kwargs)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


# -- which statuses


def test_the_retryable_statuses_are_the_documented_ones():
    assert set(RETRYABLE_STATUS_CODES) == {408, 429, 500, 502, 503, 504}


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 409, 425, 501, 505])
def test_other_statuses_are_not_retryable(status):
    assert is_retryable(response_of(status)) is False


@pytest.mark.parametrize("status", sorted(RETRYABLE_STATUS_CODES))
def test_the_retryable_ones_are(status):
    httpx = pytest.importorskip("httpx")
    assert is_retryable(response_of(status)) is True
    assert is_retryable(httpx.Response(status)) is True


# -- one request


def test_a_success_comes_back_at_once(send, server, clock):
    server.route("/", reply(200, body="here"))
    response = send("GET", server.url("/"))
    assert (response.status_code, response.text) == (200, "here")
    assert (server.count(), clock.sleeps) == (1, ())


@pytest.mark.parametrize("status", [400, 404, 501])
def test_what_is_not_worth_a_retry_comes_back_at_once(send, server, clock, status):
    server.route("/", reply(status))
    assert send("GET", server.url("/")).status_code == status
    assert (server.count(), clock.sleeps) == (1, ())


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_there_are_three_attempts_after_2_and_4_seconds(send, server, clock, method):
    server.route("/", refused())
    assert send(method, server.url("/"), json={"a": 1}).status_code == 503
    assert (server.count(), clock.sleeps) == (3, (2.0, 4.0))
    assert {one.json()["a"] for one in server.requests} == {1}


def test_it_stops_at_the_first_success(send, server, clock):
    server.route("/", refused(status=500), reply(200))
    assert send("GET", server.url("/")).status_code == 200
    assert (server.count(), clock.sleeps) == (2, (2.0,))


@pytest.mark.parametrize("status", sorted(RETRYABLE_STATUS_CODES))
def test_every_retryable_status_is_retried(send, server, status):
    server.route("/", reply(status), reply(200))
    assert send("GET", server.url("/")).status_code == 200


@pytest.mark.parametrize(
    ("hint", "delay"),
    [("7", 7.0), ("1", 1.0), ("0", None), ("soon", 2.0), ("-3", 2.0), ("1.5", 1.5)],
)
def test_a_hint_takes_the_place_of_the_delay(send, server, clock, hint, delay):
    server.route("/", refused(hint), reply(200))
    send("GET", server.url("/"))
    assert clock.sleeps == (() if delay is None else (delay,))


def test_a_hint_can_be_a_date(send, server, clock):
    server.route("/", refused(formatdate(clock.time() + 1, usegmt=True)), reply(200))
    send("GET", server.url("/"))
    assert clock.sleeps == (1.0,)


def test_a_later_hint_can_be_a_date_too(send, server, clock):
    date = formatdate(clock.time() + 2 + 1, usegmt=True)
    server.route("/", refused(), refused(date), reply(200))
    send("GET", server.url("/"))
    assert clock.sleeps == (2.0, 1.0)


def test_a_date_that_is_over_is_ignored(send, server, clock):
    server.route("/", refused(formatdate(clock.time() - 60, usegmt=True)), reply(200))
    send("GET", server.url("/"))
    assert clock.sleeps == (2.0,)


def test_the_delays_go_on_growing_after_a_hint(send, server, clock):
    server.route("/", refused("1"), refused())
    send("GET", server.url("/"))
    assert clock.sleeps == (1.0, 4.0)


def test_a_hint_beyond_two_minutes_is_not_waited_for(send, server, clock):
    server.route("/", refused("121"))
    assert send("GET", server.url("/")).status_code == 503
    assert (server.count(), clock.sleeps) == (1, ())


def test_errors_pass_as_they_are(send, clock):
    with dead_origin() as origin, pytest.raises(requests.ConnectionError) as caught:
        send("GET", origin)
    assert clock.sleeps == ()
    assert not isinstance(caught.value, MaxRetriesExceeded)


def test_a_read_error_passes_as_it_is(send, server, clock):
    server.route("/", reset())
    with pytest.raises(requests.ConnectionError) as caught:
        send("GET", server.url("/"))
    assert (server.count(), clock.sleeps) == (1, ())
    assert not isinstance(caught.value, MaxRetriesExceeded)


# -- bodies


def test_a_generator_is_not_sent_twice(send, server, clock, caplog):
    server.route("/", refused())
    response = send("POST", server.url("/"), data=iter([b"a", b"b"]))
    assert (response.status_code, server.count(), clock.sleeps) == (503, 1, ())
    assert "body_not_replayable" in caplog.text


def test_a_file_is_rewound_to_where_it_was(send, server):
    server.route("/", refused(), echo())
    body = io.BytesIO(b"skipped, sent")
    body.seek(9)
    assert send("POST", server.url("/"), data=body).status_code == 200
    assert [one.body for one in server.requests] == [b"sent", b"sent"]


@pytest.mark.parametrize(
    "files",
    [
        lambda file: {"f": file},
        lambda file: {"f": ("name.txt", file, "text/plain")},
        lambda file: [("f", ("name.txt", file))],
    ],
)
def test_files_are_rewound(send, server, files):
    server.route("/", refused(), reply(200))
    send("POST", server.url("/"), files=files(io.BytesIO(b"content of the file")))
    assert [b"content of the file" in one.body for one in server.requests] == [True, True]


class Pipe(io.RawIOBase):
    """A file that can be read once."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self.content = self.content[: len(buffer)], self.content[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


class OldPipe:
    """A file that tells only when it is asked that it can't be rewound."""

    def __init__(self) -> None:
        self.content = b"x"

    def read(self, size: int = -1) -> bytes:
        content, self.content = self.content, b""
        return content

    def seek(self, position: int) -> int:
        raise OSError("not seekable")

    def tell(self) -> int:
        raise OSError("not seekable")

    def __iter__(self) -> Iterator[bytes]:
        return iter([self.read()])


class Wrapped:
    """An iterable that may be used up."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])


@pytest.mark.parametrize(
    "body",
    [
        lambda: {"data": Pipe(b"x")},
        lambda: {"data": OldPipe()},
        lambda: {"data": Wrapped()},
        lambda: {"data": {"a": iter(["1", "2"])}},
        lambda: {"data": [("a", iter(["1"]))]},
        lambda: {"files": {"f": Pipe(b"x")}},
        lambda: {"files": [("f", ("name", Pipe(b"x")))]},
    ],
)
def test_what_is_used_up_is_not_sent_twice(session, server, clock, body):
    server.route("/", refused())
    response = request_with_retry(session, "POST", server.url("/"), clock=clock, **body())
    assert (response.status_code, server.count()) == (503, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"data": b"x"},
        {"data": "x"},
        {"data": {"a": "1", "b": ["2", "3"]}},
        {"data": [("a", "1")]},
        {"files": {"f": b"x"}},
        {"files": {"f": ("name", "x")}},
        {"json": [1]},
        {},
    ],
)
def test_what_stays_is_sent_again(session, server, clock, body):
    server.route("/", refused())
    request_with_retry(session, "POST", server.url("/"), clock=clock, **body)
    assert server.count() == 3


# -- connections


def test_responses_that_are_not_returned_free_their_connection(session, server, clock):
    server.route("/", reply(503, body="not yet"), reply(200, body="here"))
    seen: List[requests.Response] = []
    session.hooks["response"].append(lambda response, **kwargs: seen.append(response))
    response = request_with_retry(session, "GET", server.url("/"), clock=clock, stream=True)
    assert [one.raw.closed for one in seen] == [True, False]
    assert response.content == b"here"


def test_the_returned_response_can_be_read(send, server):
    server.route("/", reply(503, body="still no"))
    assert send("GET", server.url("/"), stream=True).text == "still no"


# -- timeouts and other arguments


@pytest.mark.parametrize(
    ("given", "used"), [({}, 30), ({"timeout": (3, 5)}, (3, 5)), ({"timeout": None}, None)]
)
def test_there_is_always_a_timeout(given, used):
    session = MagicMock(spec=requests.Session)
    session.request.return_value = response_of(200)
    request_with_retry(session, "GET", "https://api.test/", **given)
    session.request.assert_called_once_with("GET", "https://api.test/", timeout=used)


def test_a_manager_has_its_own_timeout(server, monkeypatch):
    seen: List[Any] = []
    send = requests.adapters.HTTPAdapter.send

    def spy(self: Any, request: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["timeout"])
        return send(self, request, **kwargs)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", spy)
    server.route("/", reply(200))
    with ConnectionManager(timeout=7) as manager:
        request_with_retry(manager, "GET", server.url("/"))
    assert seen == [7]


def test_doubles_of_sessions_and_responses_work(clock):
    session = MagicMock()
    failing, good = MagicMock(status_code=503, headers={"Retry-After": "3"}), MagicMock()
    session.request.side_effect = [failing, good]
    assert request_with_retry(session, "GET", "https://api.test/", clock=clock) is good
    assert clock.sleeps == (3.0,)
    failing.close.assert_called_once_with()
    good.close.assert_not_called()


class AsyncSession:
    async def request(self, method: str, url: str) -> None:
        pass


@pytest.mark.parametrize("session", [None, object(), AsyncSession()])
def test_what_is_no_session_is_refused(session):
    with pytest.raises(TypeError, match=r"session must be a requests\.Session"):
        request_with_retry(session, "GET", "https://api.test/")


def test_an_asynchronous_manager_is_refused():
    pytest.importorskip("httpx")
    with pytest.raises(TypeError, match=r"session must be a requests\.Session"):
        request_with_retry(AsyncConnectionManager(), "GET", "https://api.test/")


def test_a_clock_and_a_manager_contradict_each_other(clock):
    with ConnectionManager() as manager, pytest.raises(ValueError, match="clock"):
        request_with_retry(manager, "GET", "https://api.test/", clock=clock)


# -- managers


def test_the_retries_of_a_manager_are_not_multiplied(server, clock):
    server.route("/", refused())
    with ConnectionManager(max_retries=5, clock=clock) as manager:
        request_with_retry(manager, "GET", server.url("/"))
    assert server.count() == 3


def test_a_manager_that_raises_returns_the_response_here(server, clock):
    server.route("/", refused())
    with ConnectionManager(raise_for_status=True, clock=clock) as manager:
        assert request_with_retry(manager, "GET", server.url("/")).status_code == 503


def test_settings_of_the_call_reach_the_manager(server, clock):
    server.route("/", refused())
    with ConnectionManager(clock=clock) as manager:
        response = request_with_retry(manager, "GET", server.url("/"), total_timeout=3)
        assert (response.status_code, server.count()) == (503, 2)
        with pytest.raises(requests.HTTPError):
            request_with_retry(manager, "GET", server.url("/"), raise_for_status=True)


def test_the_breaker_of_a_manager_ends_the_attempts(server, clock):
    server.route("/", refused())
    with ConnectionManager(clock=clock, circuit_breaker_failure_threshold=2) as manager:
        suppressed: List[RetrySuppressed] = []
        manager.add_listener(suppressed.append, RetrySuppressed)
        assert request_with_retry(manager, "GET", server.url("/")).status_code == 503
    assert server.count() == 2
    assert [one.reason for one in suppressed] == ["circuit_open"]


# -- what is logged


def test_the_log_shows_no_secrets(session, server, clock, caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    server.route("/", refused())
    url = server.url("/?api_key=k3y").replace("://", "://user:pw@")
    request_with_retry(session, "get", url, clock=clock)
    ours = [one for one in caplog.records if one.name == LOGGER]
    warnings = [one.getMessage() for one in ours if one.levelno == logging.WARNING]
    assert [text.split(": ", 1)[1] for text in warnings] == [
        "status 503, attempt 2 in 2 s",
        "status 503, attempt 3 in 4 s",
        "status 503, not retried after attempt 3: max_retries",
    ]
    text = "\n".join(one.getMessage() for one in ours)
    assert text.startswith("GET http://")
    assert "k3y" not in text
    assert "pw" not in text


# -- sessions


def test_a_session_has_the_documented_strategy():
    with create_session() as session:
        assert isinstance(session, ConnectionManager)
        for prefix in ("https://", "http://"):
            adapter = session.get_adapter(prefix)
            retry = adapter.max_retries
            assert (retry.total, retry.backoff_factor) == (3, 1)
            assert set(retry.status_forcelist) == {429, 500, 502, 503, 504}
            assert set(retry.allowed_methods) == {"HEAD", "GET", "OPTIONS", "POST"}
            assert (adapter._pool_connections, adapter._pool_maxsize) == (10, 10)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_session_retries_as_its_strategy_says(server, clock, method):
    server.route("/", refused())
    with create_session(clock=clock) as session, pytest.raises(requests.exceptions.RetryError):
        session.request(method, server.url("/"))
    assert (server.count(), clock.sleeps) == (4, (1.0, 2.0, 4.0))


@pytest.mark.parametrize(("method", "status"), [("PUT", 503), ("GET", 408)])
def test_a_session_retries_nothing_else(server, clock, method, status):
    server.route("/", reply(status))
    with create_session(clock=clock) as session:
        assert session.request(method, server.url("/")).status_code == status
    assert server.count() == 1


def test_settings_of_a_session_can_be_others(server, clock):
    server.route("/", refused(), reply(200))
    session = create_session(
        max_retries=1, backoff_factor=5, pool_maxsize=2, bearer_token="t", clock=clock
    )
    with session:
        assert session.get(server.url("/")).status_code == 200
        assert session.get_adapter("https://")._pool_maxsize == 2
    assert clock.sleeps == (5.0,)
    assert server.requests[0].headers["authorization"] == "Bearer t"


def test_an_unknown_setting_of_a_session_is_named():
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        create_session(timout=5)


def test_a_body_is_not_rewound_before_it_was_sent(clock):
    class Counting(io.BytesIO):
        rewound = 0

        def seek(self, *position: int) -> int:
            self.rewound += 1
            return super().seek(*position)

    body, answers = Counting(b"x"), [503, 200]

    class Session:
        def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.raw = answers.pop(0), io.BytesIO()
            assert body.rewound == (0 if answers else 1)
            return response

    request_with_retry(Session(), "PUT", "https://a.test/", data=body, clock=clock)
    assert answers == []
