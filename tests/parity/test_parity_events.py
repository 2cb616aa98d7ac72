"""Server-sent events over the wire, in every world: the rules, the endings, reconnecting."""

from __future__ import annotations

import gc
import json
import threading
from pathlib import Path

import anyio.lowlevel
import pytest
from drivers import AsyncFace, wait_until
from streams import EVENTS, WORLDS, cut, stepped, streamed, until_broken, world

from requests_connection_manager import (
    CircuitBreakerOpen,
    ConnectionError,
    ConnectionManager,
    DeadlineExceeded,
    HTTPError,
    MaxRetriesExceeded,
    RetryScheduled,
    RetrySuppressed,
    TimeoutError,
    ValidationError,
)
from requests_connection_manager.testing import Ending, gzip, redirect, reply, reset

DATA = Path(__file__).parents[1] / "unit" / "data" / "event_stream_cases.json"
CASES = json.loads(DATA.read_bytes())["cases"]
NONE_LEFT = reply(204)


@pytest.fixture(params=WORLDS)
def driver(request):
    with world(request.param) as running:
        yield running


def events_of(face, url, **options):
    return stepped(face, "events", url, **options)


def read(stream):
    """Return the data of all events."""
    with stream:
        return [event.data for event in stream]


def broken(stream, kind):
    """Return the data of the events before the stream fails, and the error."""
    values, error = until_broken(stream, kind)
    return [event.data for event in values], error


# -- the standard


def body_of(case):
    return bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()


def compared(event, wanted):
    shown = {"event": event.event, "data": event.data, "id": event.id}
    return {**shown, "retry": event.retry} if "retry" in wanted else shown


@pytest.mark.parametrize("size", [1, 7])
def test_the_cases_of_the_standard_over_the_wire(driver, server, size):
    manager = driver.manager(max_retries=0, circuit_breaker_failure_threshold=None)
    for case in CASES:
        body = body_of(case)
        if len(body) > 2000:
            continue
        server.route("/", streamed(*cut(body, size)))
        stream = events_of(manager, server.url(), last_event_id=case.get("start_id", ""))
        seen, truncated = [], False
        try:
            seen.extend(stream)
        except ConnectionError:
            truncated = True
        assert truncated is case.get("truncated", False), case["name"]
        wanted = [{"event": "message", "id": "", **event} for event in case["events"]]
        assert [compared(*pair) for pair in zip(seen, wanted)] == wanted, case["name"]
        assert len(seen) == len(wanted), case["name"]
        if "last_event_id" in case:
            assert stream.last_event_id == case["last_event_id"], case["name"]
    assert server.errors == ()


def test_the_request_says_what_is_wanted(driver, server):
    server.route("/", streamed(b"data: 1\n\n"))
    manager = driver.manager()
    read(events_of(manager, server.url(), headers={"X-Mine": "1"}))
    read(events_of(manager, server.url(), headers={"accept": "*/*"}, last_event_id="7 é"))
    first, second = (request.headers for request in server.requests)
    assert (first["accept"], first["cache-control"]) == ("text/event-stream", "no-store")
    assert first["x-mine"] == "1"
    assert "last-event-id" not in first
    assert (second["accept"], second["cache-control"]) == ("*/*", "no-store")
    assert second["last-event-id"].encode("latin-1") == "7 é".encode()


def test_any_method_with_a_body(driver, server):
    server.route("/", streamed(b"data: 1\n\n"))
    options = {"method": "POST", "json": {"stream": True}, "params": {"a": "b"}}
    assert read(events_of(driver.manager(), server.url(), **options)) == ["1"]
    received = server.requests[0]
    assert (received.method, received.json(), received.query) == ("POST", {"stream": True}, "a=b")


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_an_event_is_there_as_soon_as_it_has_come(driver, server, framing):
    gate = threading.Event()
    pieces = (b"data: 1\r\n\r", gate, b"\ndata: 2\n\n")
    server.route("/", streamed(*pieces, framing=framing))
    with events_of(driver.manager(), server.url()) as stream:
        assert next(stream).data == "1"
        gate.set()
        assert [event.data for event in stream] == ["2"]


def test_a_compressed_stream_is_read(driver, server):
    server.route("/", gzip("data: 1\n\ndata: 2\n\n", headers=EVENTS))
    assert read(events_of(driver.manager(), server.url())) == ["1", "2"]


def test_the_state_of_a_stream(driver, server):
    server.route("/", streamed(b"id: 5\nretry: 20\ndata: 1\n\n", b"data: 2\n\n"))
    stream = events_of(driver.manager(), server.url())
    assert (stream.last_event_id, stream.retry, stream.response) == ("", 3.0, None)
    with stream:
        assert stream.response.status_code == 200
        assert next(stream).id == "5"
        assert (stream.last_event_id, stream.retry) == ("5", 0.02)


# -- opening


def test_redirects_are_followed(driver, server):
    server.route("/old", redirect("/new"))
    server.route("/new", streamed(b"data: 1\n\n"))
    assert read(events_of(driver.manager(), server.url("/old"))) == ["1"]


def test_opening_is_retried_as_any_request(driver, server, clock):
    server.route("/", reset(), reply(500), streamed(b"data: 1\n\n"))
    manager = driver.manager(clock=clock)
    assert read(events_of(manager, server.url())) == ["1"]
    assert clock.sleeps == (0.3, 0.6)


def test_the_credentials_of_the_client_are_sent(driver, server):
    server.route("/", streamed(b"data: 1\n\n"))
    read(events_of(driver.manager(bearer_token="s3cret"), server.url()))
    assert server.requests[0].headers["authorization"] == "Bearer s3cret"


def test_an_error_status_is_an_error(driver, server):
    server.route("/", reply(404, body="no such stream"))
    stream = events_of(driver.manager(), server.url(), reconnect=True)
    with pytest.raises(HTTPError) as caught:
        next(stream)
    assert isinstance(caught.value, driver.errors.status)
    assert (caught.value.status_code, caught.value.body) == (404, "no such stream")
    assert server.count() == 1


def test_what_is_no_event_stream_is_refused_with_an_excerpt(driver, server):
    body = {"error": "try later", "password": "hunter2", "more": "x" * 9000}
    server.route("/", reply(200, json=body))
    stream = events_of(driver.manager(api_key="k3y-of-mine"), server.url("/?token=t0ken"))
    _, error = broken(stream, ValidationError)
    text = str(error)
    assert "expected text/event-stream, got 'application/json' with status 200" in text
    assert "try later" in text
    assert "hunter2" not in text
    assert "t0ken" not in text
    assert len(text) < 500
    assert error.response.status_code == 200
    assert error.body.startswith('{"error": "try later"')


def test_a_body_of_another_kind_is_not_read_to_its_end(driver, server):
    endless = [b"x" * 5000, *[0.01, b"x"] * 1000]
    server.route("/", streamed(*endless, headers={"Content-Type": "text/plain"}))
    _, error = broken(events_of(driver.manager(), server.url()), ValidationError)
    assert len(error.body) <= 4096
    wait_until(lambda: server.open_connections == 0)


def test_an_answer_without_a_content_type_or_body_is_refused(driver, server):
    server.route("/", reply(200))
    _, error = broken(events_of(driver.manager(), server.url()), ValidationError)
    assert "got no content type with status 200" in str(error)
    assert "begins" not in str(error)


def test_no_content_is_the_end(driver, server):
    server.route("/", NONE_LEFT)
    for reconnect in (False, True):
        assert read(events_of(driver.manager(), server.url(), reconnect=reconnect)) == []
    assert server.count() == 2


def test_an_open_circuit_refuses(driver, server, clock):
    server.route("/", reply(500))
    settings = {"max_retries": 0, "circuit_breaker_failure_threshold": 1, "clock": clock}
    manager = driver.manager(**settings)
    for kind in (HTTPError, CircuitBreakerOpen):
        with pytest.raises(kind):
            next(events_of(manager, server.url()))
    assert server.count() == 1


# -- the end


def test_the_connection_is_used_again_after_an_orderly_end(driver, server):
    server.route("/", streamed(b"data: 1\n\n"))
    manager = driver.manager()
    for _ in range(3):
        assert read(events_of(manager, server.url())) == ["1"]
    assert server.connections == 1


def test_an_end_within_an_event_says_so(driver, server):
    server.route("/", streamed(b"data: 1\n\nid: 9\ndata: 2\n"))
    stream = events_of(driver.manager(), server.url("/?token=t0ken"))
    seen, error = broken(stream, ConnectionError)
    assert seen == ["1"]
    assert isinstance(error, driver.errors.truncated)
    assert "the event stream ended in the middle of an event" in str(error)
    assert "t0ken" not in str(error)
    assert stream.last_event_id == ""
    assert [attempt.status for attempt in error.attempts] == [200]


@pytest.mark.parametrize(
    ("framing", "ending"),
    [("chunked", Ending.CLOSE), ("chunked", Ending.RESET), ("length", Ending.RESET)],
)
def test_a_stream_that_breaks_off_says_so(driver, server, framing, ending):
    pieces = (b"data: 1\n\n", 0.05, b"data: 2\n\ndata")
    server.route("/", streamed(*pieces, framing=framing, ending=ending, length=100))
    seen, error = broken(events_of(driver.manager(), server.url()), ConnectionError)
    # A reset may overtake what was sent before.
    assert seen in (["1"], ["1", "2"])
    assert isinstance(error, driver.errors.base)
    assert "the event stream broke off" in str(error)
    assert error.__cause__ is not None
    assert server.count() == 1


def test_events_before_one_that_is_too_long_are_not_lost(driver, server):
    gate = threading.Event()
    server.route("/", streamed(b"data: 1\n\ndata: 2\n\ndata: " + b"x" * 60, gate))
    stream = events_of(driver.manager(), server.url(), max_event_bytes=50)
    seen, error = broken(stream, ValidationError)  # without waiting for more to come
    gate.set()
    assert seen == ["1", "2"]
    assert "longer than 50 bytes" in str(error)


# -- reconnecting


def reconnecting(driver, server, clock, *answers, **settings):
    """Return a client and a stream that is opened anew when it ends."""
    server.route("/", *answers)
    options = {
        name: settings.pop(name)
        for name in ("method", "json", "last_event_id", "idle_timeout")
        if name in settings
    }
    manager = driver.manager(clock=clock, **settings)
    return manager, events_of(manager, server.url(), reconnect=True, **options)


def ids_sent(server):
    return [received.headers.get("last-event-id") for received in server.requests]


def test_it_goes_on_where_it_was(driver, server, clock):
    manager, stream = reconnecting(
        driver,
        server,
        clock,
        streamed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: cut"),
        streamed(b"retry: 50\nid: 3\ndata: c\n\n", ending=Ending.CLOSE),
        streamed(b"id\ndata: d\n\n"),
        streamed(b"data: e\n\n"),
        NONE_LEFT,
    )
    assert read(stream) == ["a", "b", "c", "d", "e"]
    assert ids_sent(server) == [None, "2", "3", None, None]
    assert clock.sleeps == (3.0, 0.3, 0.3, 0.3)  # the longer of retry and backoff
    assert len(manager.happened(RetryScheduled)) == 4


def test_where_an_earlier_stream_had_come_to(driver, server, clock):
    answers = (streamed(b": nothing\n\n"), NONE_LEFT)
    _, stream = reconnecting(driver, server, clock, *answers, last_event_id="41")
    assert read(stream) == []
    assert ids_sent(server) == ["41", "41"]
    assert stream.last_event_id == "41"


@pytest.mark.parametrize(("sent", "back"), [(b"\x1c1 ", b"\x1c1"), (b"a\tb", b"a\tb")])
def test_an_id_that_is_strange_is_sent_back_as_it_is(driver, server, clock, sent, back):
    answers = (streamed(b"id: " + sent + b"\ndata: a\n\n"), NONE_LEFT)
    _, stream = reconnecting(driver, server, clock, *answers)
    assert read(stream) == ["a"]
    assert ids_sent(server) == [None, back.decode()]


@pytest.mark.parametrize("identifier", [b"\x0c", b"a\x0bb"])
def test_an_id_that_is_no_value_of_a_header_is_told(driver, server, clock, identifier):
    answers = (streamed(b"id: " + identifier + b"\ndata: a\n\n"), NONE_LEFT)
    _, stream = reconnecting(driver, server, clock, *answers)
    values, error = broken(stream, ValidationError)
    assert values == ["a"]
    assert "can't be sent as Last-Event-ID" in str(error)
    assert len(server.requests) == 1


def test_attempts_without_an_event_are_bounded_and_each_waits_longer(driver, server, clock):
    manager, stream = reconnecting(
        driver, server, clock, streamed(b": no\n\n"), max_retries=3, backoff_factor=2
    )
    seen, error = broken(stream, MaxRetriesExceeded)
    assert seen == []
    assert isinstance(error, driver.errors.truncated)
    assert error.reason == "max_retries"
    assert clock.sleeps == (3.0, 4.0, 8.0)
    assert server.count() == 4
    assert len(error.attempts) == 4
    assert manager.happened(RetrySuppressed) == [("RetrySuppressed", 4, "max_retries")]


def test_an_event_begins_the_count_anew(driver, server, clock):
    nothing, one = streamed(b": no\n\n"), streamed(b"data: 1\n\n")
    answers = (one, nothing, nothing, one, nothing, nothing, one, NONE_LEFT)
    _, stream = reconnecting(driver, server, clock, *answers, max_retries=3)
    assert read(stream) == ["1", "1", "1"]


def test_opening_anew_does_not_multiply_retries(driver, server, clock):
    answers = (streamed(b"data: 1\n\n"), reset())
    _, stream = reconnecting(driver, server, clock, *answers, max_retries=2, retry_budget=None)
    seen, error = broken(stream, MaxRetriesExceeded)
    assert seen == ["1"]
    assert isinstance(error, driver.errors.broken)
    assert server.count() == 1 + 2
    assert clock.sleeps == (3.0, 3.0)


def test_a_busy_server_is_waited_for(driver, server, clock):
    answers = (
        streamed(b"data: 1\n\n"),
        reply(503, headers={"Retry-After": "7"}),
        streamed(b"data: 2\n\n"),
        NONE_LEFT,
    )
    _, stream = reconnecting(driver, server, clock, *answers)
    assert read(stream) == ["1", "2"]
    assert clock.sleeps == (3.0, 7.0, 3.0)


def test_a_status_that_stays_is_told(driver, server, clock):
    answers = (streamed(b"data: 1\n\n"), reply(503, body="down"))
    _, stream = reconnecting(driver, server, clock, *answers, max_retries=2)
    seen, error = broken(stream, MaxRetriesExceeded)
    assert seen == ["1"]
    assert isinstance(error, driver.errors.status)
    assert (error.status_code, error.body) == (503, "down")
    assert error.response.status_code == 503


def test_a_status_that_is_final_ends_it(driver, server, clock):
    answers = (streamed(b"data: 1\n\n"), reply(404))
    _, stream = reconnecting(driver, server, clock, *answers)
    seen, error = broken(stream, HTTPError)
    assert (seen, error.status_code, server.count()) == (["1"], 404, 2)
    assert not isinstance(error, MaxRetriesExceeded)


def test_what_is_no_event_stream_ends_it(driver, server, clock):
    answers = (streamed(b"data: 1\n\n"), reply(200, body="<html>"))
    _, stream = reconnecting(driver, server, clock, *answers)
    seen, _ = broken(stream, ValidationError)
    assert (seen, server.count()) == (["1"], 2)


def test_an_open_circuit_is_waited_for(driver, server, clock):
    answers = (streamed(b"data: 1\n\n"), reply(500), streamed(b"data: 2\n\n"), NONE_LEFT)
    settings = {
        "circuit_breaker_failure_threshold": 1,
        "circuit_breaker_recovery_timeout": 30,
    }
    _, stream = reconnecting(driver, server, clock, *answers, **settings)
    assert read(stream) == ["1", "2"]
    assert clock.sleeps == (3.0, 3.0, 27.0, 3.0)


def test_the_time_that_the_server_demands_is_waited_for(driver, server, clock):
    answers = (streamed(b"retry: 600000\ndata: 1\n\n"), NONE_LEFT)
    _, stream = reconnecting(driver, server, clock, *answers, retry_after_max=10)
    assert read(stream) == ["1"]
    assert clock.sleeps == (600.0,)


def test_without_retries_there_is_no_reconnecting(driver, server, clock):
    server.route("/", streamed(b"data: 1\n\n"), NONE_LEFT)
    manager = driver.manager(max_retries=0, clock=clock)
    assert read(events_of(manager, server.url(), reconnect=True)) == ["1"]
    assert server.count() == 1


def test_the_total_timeout_is_for_all_of_it(driver, server, clock):
    answers = (streamed(b"data: 1\n\n"), streamed(b"data: 2\n\n"))
    _, stream = reconnecting(driver, server, clock, *answers, total_timeout=10)
    seen, error = broken(stream, MaxRetriesExceeded)
    assert (seen, error.reason) == (["1", "2", "2", "2"], "deadline")
    assert clock.sleeps == (3.0, 3.0, 3.0)


def test_the_total_timeout_ends_a_body(driver, server):
    gate = threading.Event()
    server.route("/", streamed(b"data: 1\n\n", gate))
    stream = events_of(driver.manager(), server.url(), reconnect=True, total_timeout=0.3)
    seen, error = broken(stream, DeadlineExceeded)
    gate.set()
    assert seen == ["1"]
    assert isinstance(error, driver.errors.timeout)
    assert server.count() == 1


def test_a_request_that_must_not_be_sent_twice_is_refused(driver, server):
    manager = driver.manager()
    with pytest.raises(ValueError, match="POST is not among allowed_methods"):
        events_of(manager, server.url(), method="POST", reconnect=True)
    with pytest.raises(ValueError, match="which data= can't be"):
        events_of(manager, server.url(), data=iter([b"x"]), reconnect=True)
    with pytest.raises(ValueError, match="which files= can't be"):
        events_of(manager, server.url(), files={"a": b"x"}, reconnect=True)
    assert server.count() == 0


def test_an_idempotency_key_is_the_same_each_time(driver, server, clock):
    _, stream = reconnecting(
        driver,
        server,
        clock,
        streamed(b"data: 1\n\n"),
        streamed(b"data: 2\n\n"),
        NONE_LEFT,
        method="POST",
        json={"q": 1},
        idempotency_key_header="Idempotency-Key",
    )
    assert read(stream) == ["1", "2"]
    assert len({received.headers["idempotency-key"] for received in server.requests}) == 1
    assert [received.json() for received in server.requests] == [{"q": 1}] * 3


# -- silence


def test_a_quiet_stream_is_waited_for(driver, server):
    server.route("/", streamed(b"data: 1\n\n", 0.6, b"data: 2\n\n"))
    assert read(events_of(driver.manager(read_timeout=0.2), server.url())) == ["1", "2"]


def test_the_head_of_the_answer_is_not_waited_for_for_ever(driver, server):
    server.route("/", streamed(b"data: 1\n\n").delayed(5))
    manager = driver.manager(read_timeout=0.1, max_retries=0)
    with pytest.raises(driver.errors.read_timeout):
        next(events_of(manager, server.url()))


def test_silence_that_is_too_long_is_an_error(driver, server):
    gate = threading.Event()
    server.route("/", streamed(b"data: 1\n\n", gate))
    stream = events_of(driver.manager(), server.url(), idle_timeout=0.2)
    seen, error = broken(stream, TimeoutError)
    gate.set()
    assert seen == ["1"]
    assert isinstance(error, driver.errors.read_timeout)
    assert "the event stream broke off" in str(error)


def test_silence_that_is_too_long_is_a_reason_to_reconnect(driver, server, clock):
    gate = threading.Event()
    answers = (streamed(b"id: 1\ndata: 1\n\n", gate), streamed(b"data: 2\n\n"), NONE_LEFT)
    _, stream = reconnecting(driver, server, clock, *answers, idle_timeout=0.2)
    assert read(stream) == ["1", "2"]
    gate.set()
    assert ids_sent(server) == [None, "1", "1"]


# -- nothing is left behind


@pytest.fixture
def endless(server):
    # The server notices that the client has gone when it sends.
    server.route("/", streamed(*[b"data: x\n\n"] * 3, *[0.01, b":\n"] * 1000))
    server.route("/next", reply(200))
    return server


def test_a_loop_that_is_broken_off(driver, endless):
    manager = driver.manager()
    with events_of(manager, endless.url()) as stream:
        for _ in stream:
            break
    wait_until(lambda: endless.open_connections == 0)
    assert next(stream, None) is None
    stream.close()
    assert manager.get(endless.url("/next")).status_code == 200


def test_an_error_in_the_loop(driver, endless):
    def fail_within():
        with events_of(driver.manager(), endless.url()) as stream:
            for _ in stream:
                raise KeyError

    with pytest.raises(KeyError):
        fail_within()
    wait_until(lambda: endless.open_connections == 0)


def test_closing_before_the_beginning(driver, endless):
    stream = events_of(driver.manager(), endless.url())
    stream.close()
    assert list(stream) == []
    with stream:
        assert list(stream) == []
    assert endless.count() == 0


def test_a_stream_that_is_dropped(endless):
    with ConnectionManager() as manager:
        for _ in manager.events(endless.url()):
            break
        gc.collect()
        wait_until(lambda: endless.open_connections == 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_sync_stream_within_an_event_loop(endless, backend):
    async def main():
        with ConnectionManager() as manager:
            for _ in manager.events(endless.url()):
                break
            with manager.events(endless.url()) as stream:
                next(stream)
            del stream
            gc.collect()
            await anyio.lowlevel.checkpoint()
            wait_until(lambda: endless.open_connections == 0)

    anyio.run(main, backend=backend)


def test_a_task_that_is_cancelled(driver, endless):
    manager = driver.manager()
    if not isinstance(manager, AsyncFace):
        pytest.skip("threads are not cancelled")
    seen = []

    async def main():
        async with anyio.create_task_group() as group:
            async for event in manager.manager.events(endless.url()):
                seen.append(event.data)
                if len(seen) == 3:
                    group.cancel_scope.cancel()

    manager.await_(main)
    assert len(seen) == 3
    wait_until(lambda: endless.open_connections == 0)


# -- mistakes


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"method": 7}, TypeError, "method must be a str"),
        ({"method": "GE T"}, ValueError, "method must be the name of an HTTP method, not 'GE T'"),
        ({"reconnect": 1}, TypeError, "reconnect must be True or False, not 1"),
        ({"last_event_id": 7}, TypeError, "last_event_id must be a str"),
        ({"last_event_id": "a\nb"}, ValueError, "last_event_id must not hold"),
        ({"idle_timeout": "1"}, TypeError, "idle_timeout must be a number"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be above 0"),
        ({"max_event_bytes": 0}, ValueError, "max_event_bytes must be at least 1"),
    ],
)
def test_a_mistake_is_told_at_once(driver, options, kind, text):
    with pytest.raises(kind, match=text):
        events_of(driver.manager(), "http://127.0.0.1:9/", **options)


def test_an_unknown_option_is_told_when_it_begins(driver, server):
    with pytest.raises(TypeError, match="reconect"):
        next(events_of(driver.manager(), server.url(), reconect=True))
