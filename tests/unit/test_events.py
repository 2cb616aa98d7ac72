"""The event stream, the statistics and logs that it feeds, and what listeners see of a call."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pickle
import threading
from typing import Any, Iterator, List

import pytest

from requests_connection_manager import (
    AsyncConnectionManager,
    AttemptFinished,
    AttemptStarted,
    BreakerRefused,
    BreakerStateChanged,
    CallFailed,
    CallFinished,
    CallStarted,
    ConnectionManager,
    ConnectionReplaced,
    LimiterRefused,
    LimiterWaited,
    MaxRetriesExceeded,
    RetryScheduled,
    RetrySuppressed,
)
from requests_connection_manager.events import EVENT_TYPES, Event, EventStream
from requests_connection_manager.stats import Statistics
from requests_connection_manager.testing import (
    FaultServer,
    VirtualClock,
    dies_while_idle,
    reply,
)

LOGGER = "requests_connection_manager"
BASE = ("https://api.test", "GET", "https://api.test/")
ONE_OF_EACH: List[Event] = [
    AttemptStarted(*BASE, 1),
    AttemptFinished(*BASE, 1, 200, None, False, 0.1, 0.0),
    RetryScheduled(*BASE, 2, 0.3, "status 503"),
    RetrySuppressed(*BASE, 2, "max_retries", "status 503"),
    ConnectionReplaced(*BASE),
    BreakerStateChanged(*BASE, "closed", "open"),
    BreakerRefused(*BASE, 30.0),
    LimiterWaited(*BASE, 2.0),
    LimiterRefused(*BASE, 3.0),
    CallFailed(*BASE, "ConnectTimeout", "timed out"),
    CallStarted(*BASE, 7),
    CallFinished(*BASE, 7, 200, None, 0.1, 1),
]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.route("/", reply(200, body="ok"))
        yield running


def test_this_test_knows_every_event() -> None:
    assert {type(one) for one in ONE_OF_EACH} == set(EVENT_TYPES)


@pytest.mark.parametrize("event", ONE_OF_EACH)
def test_events_are_frozen_values_that_pickle(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.url = "other"  # type: ignore[misc]  # what is tested
    assert hash(event) == hash(dataclasses.replace(event))


@pytest.mark.parametrize("event", ONE_OF_EACH)
def test_every_event_can_be_logged(event: Event, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER):
        EventStream().emit(event)
    assert caplog.records
    assert all("api.test" in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (ONE_OF_EACH[0], logging.DEBUG),
        (ONE_OF_EACH[1], logging.INFO),
        (ONE_OF_EACH[2], logging.WARNING),
        (ONE_OF_EACH[3], logging.WARNING),
        (ONE_OF_EACH[5], logging.WARNING),
        (ONE_OF_EACH[9], logging.ERROR),
        (ONE_OF_EACH[10], logging.DEBUG),
        (ONE_OF_EACH[11], logging.DEBUG),
    ],
)
def test_the_levels(event: Event, level: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(level, LOGGER):
        EventStream().emit(event)
    assert [one.levelno for one in caplog.records] == [level]
    caplog.clear()
    with caplog.at_level(level + 1, LOGGER):
        EventStream().emit(event)
    assert caplog.records == []


def test_listeners_get_what_they_asked_for_in_order() -> None:
    stream, seen = EventStream(), []
    stream.add(lambda event: seen.append(("all", type(event))))
    stream.add(lambda event: seen.append(("some", type(event))), LimiterWaited, BreakerRefused)
    for event in (ONE_OF_EACH[7], ONE_OF_EACH[1]):
        stream.emit(event)
    assert seen == [
        ("all", LimiterWaited),
        ("some", LimiterWaited),
        ("all", AttemptFinished),
    ]


def test_a_listener_can_be_removed_and_removing_a_stranger_is_an_error() -> None:
    stream, seen = EventStream(), []
    listener = seen.append
    stream.add(listener)
    stream.remove(listener)
    stream.emit(ONE_OF_EACH[0])
    assert seen == []
    with pytest.raises(ValueError, match="not registered"):
        stream.remove(listener)


@pytest.mark.parametrize("listener", [None, 7, "listener"])
def test_a_listener_must_be_callable(listener: Any) -> None:
    with pytest.raises(TypeError, match=f"listener must be callable, not {listener!r}"):
        EventStream().add(listener)


@pytest.mark.parametrize("manager", [ConnectionManager, AsyncConnectionManager])
def test_a_type_of_event_must_be_one(manager: Any) -> None:
    with pytest.raises(TypeError, match=r"must be .*event.*not 'AttemptFinished'"):
        manager().add_listener(print, "AttemptFinished")


def test_a_listener_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    stream, seen = EventStream(), []

    def broken(event: Event) -> None:
        raise ValueError("token=s3cret")

    stream.add(broken)
    stream.add(seen.append)
    stream.emit(ONE_OF_EACH[0])
    assert seen == [ONE_OF_EACH[0]]
    assert caplog.records[-1].levelno == logging.ERROR
    assert "ValueError" in caplog.text
    assert "s3cret" not in caplog.text


def test_building_an_event_nobody_wants_is_avoided() -> None:
    stream = EventStream()
    assert not stream.wants(AttemptStarted)
    assert stream.wants(RetryScheduled) is logging.getLogger(LOGGER).isEnabledFor(logging.WARNING)
    stream.add(print, AttemptStarted)
    assert stream.wants(AttemptStarted)


# -- statistics


def test_statistics_count_under_contention() -> None:
    statistics = Statistics(max_scopes=4)

    def count() -> None:
        for _ in range(500):
            statistics.on_event(ONE_OF_EACH[1])
            statistics.on_event(ONE_OF_EACH[2])

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scope = statistics.scope("https://api.test")
    assert (scope["attempts"], scope["retries"]) == (4000, 4000)


def test_statistics_are_bounded() -> None:
    statistics = Statistics(max_scopes=3)
    for number in range(10):
        statistics.on_event(LimiterRefused(f"https://{number}.test", "GET", "https://a.test/", 1.0))
    assert statistics.names() == ("https://7.test", "https://8.test", "https://9.test")
    assert statistics.scope("https://0.test")["refusals"] == {"breaker": 0, "limiter": 0}


def test_latency_and_waits() -> None:
    statistics = Statistics(max_scopes=3)
    for elapsed in (1.0, 3.0, 2.0):
        statistics.on_event(AttemptFinished(*BASE, 1, 500, None, True, elapsed, 0.0))
    statistics.on_event(LimiterWaited(*BASE, 2.5))
    scope = statistics.scope("https://api.test")
    assert scope["latency"] == {"mean": 2.0, "max": 3.0, "last": 2.0}
    assert (scope["failures"], scope["limiter_waited"]) == (3, 2.5)


# -- a call as its listeners see it


def names(events: List[Event]) -> List[str]:
    return [type(one).__name__ for one in events]


def test_a_retried_call_tells_its_story(server: FaultServer) -> None:
    server.route("/flaky", reply(503), reply(200))
    seen: List[Event] = []
    with ConnectionManager(clock=VirtualClock(), backoff_jitter=0) as manager:
        manager.add_listener(seen.append)
        response = manager.get(server.url("/flaky"))
    assert names(seen) == [
        "CallStarted",
        "AttemptStarted",
        "AttemptFinished",
        "RetryScheduled",
        "AttemptStarted",
        "AttemptFinished",
        "CallFinished",
    ]
    assert {one.scope for one in seen} == {server.origin}
    assert {one.url for one in seen} == {server.url("/flaky")}
    history: Any = response.attempts  # type: ignore[attr-defined]  # added by us
    assert [(one.number, one.status, one.waited) for one in history] == [
        (1, 503, 0.0),
        (2, 200, 0.3),
    ]
    assert list(history) == [one for one in seen if isinstance(one, AttemptFinished)]


def test_the_async_side_tells_the_same_story(server: FaultServer) -> None:
    server.route("/flaky", reply(503), reply(200))
    seen: List[Event] = []

    async def main() -> None:
        async with AsyncConnectionManager(clock=VirtualClock(), backoff_jitter=0) as manager:
            manager.add_listener(seen.append)
            response = await manager.get(server.url("/flaky"))
            history = response.attempts  # type: ignore[attr-defined]  # added by us
            assert [one.status for one in history] == [503, 200]

    asyncio.run(main())
    assert [one for one in names(seen) if not one.startswith("Call")] == [
        "AttemptStarted",
        "AttemptFinished",
        "RetryScheduled",
        "AttemptStarted",
        "AttemptFinished",
    ]


def test_a_failed_call_tells_its_story(server: FaultServer) -> None:
    server.route("/busy", reply(503))
    seen: List[Event] = []
    with ConnectionManager(max_retries=1, clock=VirtualClock()) as manager:
        manager.add_listener(seen.append, RetrySuppressed, CallFailed)
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.get(server.url("/busy"))
    assert names(seen) == ["RetrySuppressed", "CallFailed"]
    assert [one.status for one in caught.value.attempts] == [503, 503]
    assert caught.value.reason == "max_retries"


def test_a_dead_kept_connection_is_told_of(server: FaultServer) -> None:
    server.route("/dies", dies_while_idle(reply(200), when="next", with_reset=True), reply(200))
    seen: List[Event] = []
    with ConnectionManager(clock=VirtualClock()) as manager:
        manager.add_listener(seen.append, ConnectionReplaced, AttemptFinished)
        for _ in range(2):
            assert manager.get(server.url("/dies")).status_code == 200
    assert names(seen) == ["AttemptFinished", "ConnectionReplaced", "AttemptFinished"]


def test_breaker_and_limiter_are_told_of(server: FaultServer) -> None:
    server.route("/broken", reply(500))
    seen: List[Event] = []
    clock = VirtualClock()
    with ConnectionManager(
        max_retries=0, circuit_breaker_failure_threshold=1, rate_limit_requests=2, clock=clock
    ) as manager:
        manager.add_listener(
            seen.append, BreakerStateChanged, BreakerRefused, LimiterRefused, LimiterWaited
        )
        manager.get(server.url("/broken"))
        with pytest.raises(Exception, match="circuit breaker"):
            manager.get(server.url("/broken"))
        clock.advance(60)
        manager.get(server.url("/"))
        manager.get(server.url("/"))
        with pytest.raises(Exception, match="rate limit"):
            manager.get(server.url("/"))
        manager.get(server.url("/"), rate_limit_mode="wait")
        stats = manager.get_stats()["scopes"][server.origin]
    assert names(seen) == [
        "BreakerStateChanged",
        "BreakerRefused",
        "BreakerStateChanged",
        "BreakerStateChanged",
        "LimiterRefused",
        "LimiterWaited",
    ]
    assert [(one.old, one.new) for one in seen if isinstance(one, BreakerStateChanged)] == [
        ("closed", "open"),
        ("open", "half-open"),
        ("half-open", "closed"),
    ]
    assert stats["refusals"] == {"breaker": 1, "limiter": 1}
    assert stats["attempts"] == 4
    assert stats["limiter_waited"] > 0


def test_a_listener_may_call_the_manager_itself(server: FaultServer) -> None:
    seen = []

    def nested(event: AttemptFinished) -> None:
        if event.url.endswith("/outer"):
            seen.append(manager.get(server.url("/")).status_code)

    server.route("/outer", reply(200))
    with ConnectionManager() as manager:
        manager.add_listener(nested, AttemptFinished)
        response: Any = manager.get(server.url("/outer"))
    assert seen == [200]
    assert len(response.attempts) == 1


def test_what_no_file_takes_is_escaped_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stream = EventStream()
    with caplog.at_level(logging.DEBUG, logger="requests_connection_manager"):
        stream.emit(CallFailed("", "GET", "https://\ud800.test/ü", "ValueError", "no: '\udfff'"))
        stream.emit(
            AttemptFinished("", "GET", "https://\ud800.test/", 1, 200, None, False, 0.1, 0.0)
        )
    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == "GET https://\\ud800.test/ü: ValueError: no: '\\udfff'"
    assert all("\\ud800" in text and text.encode("utf-8") for text in texts)
