"""Batches that go item by item: laziness, order, failures and ends, in all worlds alike."""

from __future__ import annotations

import gc
import itertools
import threading

import pytest
from batches import Steps, alive
from drivers import wait_until, within
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from requests_connection_manager import BatchResult
from requests_connection_manager.testing import blackhole, dead_origin, reply


@pytest.fixture
def face(driver):
    return driver.manager(max_retries=0, rate_limit_requests=None, timeout=30)


@pytest.fixture
def run(driver, face):
    """Go through a batch to its end; return the results."""

    def run(items, **options):
        return list(Steps(driver, face, items, **options))

    return run


@pytest.fixture
def echo(server):
    server.route("/", lambda received: reply(200, body=received.query))
    return server


def calls(server, count):
    return [("GET", server.url(f"/?{number}")) for number in range(count)]


def texts(results):
    return [result.response.text for result in results]


# -- what comes out


def test_every_result_comes_and_says_whose_it_is(run, echo):
    items = [(*item, {"headers": {"X": "y"}}) for item in calls(echo, 30)]
    results = run(items, max_workers=4)
    assert sorted(result.index for result in results) == list(range(30))
    for result in results:
        assert result.response.text == str(result.index)
        assert result.result() is result.response
        assert (result.key, result.error, result.recorded) == (result.index, None, False)
        assert result.request == items[result.index]


def test_results_come_in_the_order_of_the_input(run, echo):
    assert texts(run(iter(calls(echo, 40)), max_workers=8, ordered=True)) == [
        str(number) for number in range(40)
    ]


def test_results_come_as_they_are_there(driver, face, echo):
    held = threading.Event()

    def slow(received):
        assert held.wait(30)
        return reply(200, body="slow")

    echo.route("/slow", slow)
    steps = Steps(driver, face, [("GET", echo.url("/slow")), *calls(echo, 3)], max_workers=2)
    assert sorted(texts(itertools.islice(steps, 3))) == ["0", "1", "2"]
    held.set()
    assert texts(steps) == ["slow"]


def test_a_slow_head_holds_back_the_window_and_no_more(driver, face, echo):
    held = threading.Event()

    def slow(received):
        assert held.wait(30)
        return reply(200, body="slow")

    echo.route("/slow", slow)
    taken = []

    def items():
        for item in [("GET", echo.url("/slow")), *calls(echo, 30)]:
            taken.append(item)
            yield item

    steps = Steps(driver, face, items(), max_workers=3, buffer=2, ordered=True)
    heads = []
    thread = threading.Thread(target=lambda: heads.append(next(steps)))
    thread.start()
    wait_until(lambda: echo.count("/") == 4)
    assert len(taken) == 5
    held.set()
    thread.join(30)
    assert texts(heads) == ["slow"]
    assert texts(steps) == [str(number) for number in range(30)]


def test_nothing_happens_before_the_first_is_asked_for(driver, face, echo):
    def items():
        raise AssertionError("nobody asked")
        yield

    Steps(driver, face, items()).close()
    assert echo.count() == 0


def test_an_empty_batch(run):
    assert run([]) == []
    assert run(iter(())) == []


def test_an_endless_input_is_taken_as_far_as_it_is_used(driver, face, echo):
    numbers = itertools.count()
    items = (("GET", echo.url(f"/?{number}")) for number in numbers)
    steps = Steps(driver, face, items, max_workers=3, buffer=4)
    for _ in range(20):
        next(steps)
    steps.close()
    assert 20 <= next(numbers) <= 20 + 3 + 4
    assert echo.count() <= 20 + 3 + 4


def test_the_work_rests_while_nobody_asks(driver, face, echo):
    steps = Steps(driver, face, calls(echo, 50), max_workers=2, buffer=3)
    next(steps)
    for _ in range(10):  # whoever is done with this has had the time for more
        face.get(echo.url("/other"))
    assert echo.count("/") <= 1 + 2 + 3
    assert len(list(steps)) == 49


# -- failures


def test_failures_are_results(run, echo):
    with dead_origin() as dead:
        results = run(
            [*calls(echo, 1), ("GET", dead), ("GET", echo.url("/"), {"nonsense": 1})], ordered=True
        )
    assert results[0].error is None
    assert results[1].response is None
    assert isinstance(results[2].error, TypeError)
    for result in results[1:]:
        with pytest.raises(type(result.error)) as caught:
            result.result()
        assert caught.value is result.error


def test_the_first_failure_is_raised(driver, face, echo):
    with dead_origin() as dead:
        items = iter([*calls(echo, 1), ("GET", dead), *calls(echo, 50)])
        steps = Steps(
            driver, face, items, max_workers=1, buffer=0, return_exceptions=False, ordered=True
        )
        assert next(steps).response.text == "0"
        with pytest.raises(driver.errors.connect):
            next(steps)
    assert list(steps) == []
    assert len(list(items)) == 50
    assert face.get(echo.url("/?x")).text == "x"


@pytest.mark.parametrize(
    "item",
    [("GET",), "GET", {"method": "GET"}, (1, "http://api.test/"), ("GET", 1), ("GET", "/", 1)],
    ids=["short", "a text", "a dict", "method", "url", "kwargs"],
)
def test_an_item_of_another_form_is_a_failure_of_its_own(run, echo, item):
    results = run([*calls(echo, 1), item, *calls(echo, 1)], ordered=True)
    assert texts([results[0], results[2]]) == ["0", "0"]
    assert isinstance(results[1].error, TypeError)
    assert "requests_data[1]" in str(results[1].error)
    assert results[1].request is None
    with pytest.raises(TypeError, match=r"requests_data\[0\]"):
        run([item], return_exceptions=False)


def test_what_the_input_raises_comes_after_what_was_taken(driver, face, echo):
    def items():
        yield from calls(echo, 4)
        raise LookupError("no more rows")

    steps = Steps(driver, face, items(), ordered=True)
    assert texts(itertools.islice(steps, 4)) == ["0", "1", "2", "3"]
    with pytest.raises(LookupError, match="no more rows"):
        next(steps)


def test_an_input_that_can_not_be_gone_through(run):
    class Closed:
        def __iter__(self):
            raise LookupError("no such table")

    with pytest.raises(LookupError, match="no such table"):
        run(Closed())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_input_ends_the_batch(driver, face, echo, kind):
    def items():
        yield from calls(echo, 1)
        raise kind("stop")

    caught = []

    async def go_through(results):
        try:
            async for _ in results:
                pass
        except BaseException as error:
            caught.append(error)

    steps = Steps(driver, face, items(), max_workers=1)
    if driver.is_sync:
        with pytest.raises(kind):
            list(steps)
    else:
        face.await_(go_through, steps.given)
        assert [type(error) for error in caught] == [kind]
    wait_until(lambda: not alive())
    assert face.get(echo.url("/?x")).text == "x"


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        ({"items": "GET"}, TypeError, "requests_data"),
        ({"items": 5}, TypeError, "requests_data"),
        ({"max_workers": 0}, ValueError, "max_workers"),
        ({"max_workers": True}, TypeError, "max_workers"),
        ({"buffer": -1}, ValueError, "buffer"),
        ({"total": 1.5}, TypeError, "total"),
        ({"progress": 5}, TypeError, "progress"),
        ({"journal": 5}, TypeError, "journal"),
        ({"key": "id"}, TypeError, "key"),
        ({"save": 5}, TypeError, "save"),
        ({"save": str}, ValueError, "save needs a journal"),
        ({"max_body_bytes": -1}, ValueError, "max_body_bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_parameters_are_checked_at_once(driver, face, options, error, names):
    with pytest.raises(error, match=names):
        Steps(driver, face, **{"items": [], **options})


# -- ends


def test_closing_ends_what_is_under_way_and_the_input(driver, face, echo):
    closed = threading.Event()

    def items():
        try:
            yield from calls(echo, 1)
            yield from itertools.repeat(("GET", hole))
        finally:
            closed.set()

    with blackhole() as hole, within(15):
        steps = Steps(driver, face, items(), max_workers=4)
        assert next(steps).response.text == "0"
        steps.close()
        steps.close()
        assert closed.is_set()
        assert list(steps) == []
        wait_until(lambda: not alive())
    stats = face.get_stats()
    assert stats["circuit_breaker_failure_count"] == 0
    assert face.get(echo.url("/?x")).text == "x"


def test_dropping_it_ends_what_is_under_way(driver, face, echo):
    closed = threading.Event()

    def items():
        try:
            yield from calls(echo, 1)
            yield from itertools.repeat(("GET", hole))
        finally:
            closed.set()

    with blackhole() as hole, within(15):
        steps = Steps(driver, face, items(), max_workers=4)
        next(steps)
        del steps
        gc.collect()
        face.get(echo.url("/?x"))
        assert closed.wait(10)
        wait_until(lambda: not alive())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_worker_ends_the_batch(driver, face, echo, kind):
    def hook(context):
        if context.url.endswith("?1"):
            raise kind("stop")

    face.register_pre_request_hook(hook)
    caught = []

    def go():
        steps = Steps(driver, face, calls(echo, 50), max_workers=1, buffer=0)
        if driver.is_sync:
            return go_through(steps)
        return face.await_(ago_through, steps.given)

    def go_through(steps):
        try:
            list(steps)
        except BaseException as error:
            caught.append(error)

    async def ago_through(results):
        try:
            async for _ in results:
                pass
        except BaseException as error:
            caught.append(error)

    go()
    assert [type(error) for error in caught] == [kind]
    wait_until(lambda: not alive())
    assert echo.count() <= 2


# -- progress


def test_progress_is_told(run, echo):
    seen = []
    run(calls(echo, 3), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    del seen[:]
    run(iter(calls(echo, 2)), progress=lambda done, total: seen.append((done, total)))
    run(iter(calls(echo, 1)), total=7, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, None), (2, None), (1, 7)]


def test_what_progress_raises_ends_the_batch(run, echo):
    def progress(done, total):
        raise LookupError(done)

    with pytest.raises(LookupError):
        run(calls(echo, 30), progress=progress)
    wait_until(lambda: not alive())


def test_a_bar(run, echo, capsys):
    pytest.importorskip("rich")
    assert len(run(calls(echo, 3), progress=True)) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    assert "\x1b" not in shown.err


# -- hypothesis: whatever the numbers


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    count=st.integers(0, 30),
    workers=st.integers(1, 6),
    buffer=st.none() | st.integers(0, 5),
    ordered=st.booleans(),
    bad=st.sets(st.integers(0, 29), max_size=4),
    stop=st.none() | st.integers(0, 30),
)
def test_each_item_has_one_result_within_the_window(
    driver, face, echo, count, workers, buffer, ordered, bad, stop
):
    taken = []

    def items():
        for number, item in enumerate(calls(echo, count)):
            taken.append(number)
            yield None if number in bad else item

    window = workers + (workers if buffer is None else buffer)
    steps = Steps(driver, face, items(), max_workers=workers, buffer=buffer, ordered=ordered)
    indexes = []
    for result in steps if stop is None else itertools.islice(steps, stop):
        assert isinstance(result, BatchResult)
        assert len(taken) <= len(indexes) + 1 + window
        indexes.append(result.index)
        assert (result.error is not None) == (result.index in bad)
        if result.error is None:
            assert result.response.text == str(result.index)
    steps.close()
    assert len(set(indexes)) == len(indexes)
    assert len(indexes) == (count if stop is None else min(stop, count))
    if ordered:
        assert indexes == list(range(len(indexes)))
    assert not alive()
