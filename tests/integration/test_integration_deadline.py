"""``total_timeout`` against servers that keep every socket timeout and never finish.

These tests take real time: only the socket of a real server can be dripped on.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from functools import partial
from types import SimpleNamespace

import pytest
from drivers import wait_until, within

from requests_connection_manager import (
    AttemptFinished,
    ConnectionManager,
    DeadlineExceeded,
    MaxRetriesExceeded,
)
from requests_connection_manager._deadline_body import _GuardedFile
from requests_connection_manager.connections.wire import watchdog
from requests_connection_manager.testing import (
    FaultServer,
    Reply,
    blackhole,
    close_delimited,
    drip,
    redirect,
    reply,
    slow_body,
)
from requests_connection_manager.testing.replies import Ending

LIMIT = 0.3
SOON = 3.0  # how much later a call may end on a busy machine; left alone, a drip takes 10 s

DRIPS = ("status", "header", "chunk", "body")


def close_delimited_drip(interval=0.1):
    """A body without a length, a byte at a time: its truncation looks like its end."""
    body = tuple(item for _ in range(100) for item in (b"x", interval))
    return Reply("close-delimited drip", (b"HTTP/1.1 200 OK\r\n\r\n",), body, ending=Ending.CLOSE)


def closing_drip():
    """A drip with a length, on a connection that is not kept."""
    return Reply(
        "closing drip",
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n",),
        tuple(item for _ in range(100) for item in (b"x", 0.1)),
    )


def chunks_drip():
    """Whole chunks of one byte."""
    return slow_body([b"x"] * 100, 0.1)


ALL = [*map(drip, DRIPS), close_delimited_drip(), closing_drip(), chunks_drip()]
BODIES = [drip("chunk"), drip("body"), close_delimited_drip(), closing_drip(), chunks_drip()]


def all_at_once(jobs):
    """Run jobs (name -> function) in threads; return name -> class of error, and the longest time.

    One after another they would take a minute of sleeping.
    """
    ended = {}

    def work(name, job):
        began = time.monotonic()
        try:
            ended[name] = job(), time.monotonic() - began
        except Exception as exc:
            ended[name] = exc, time.monotonic() - began

    threads = [threading.Thread(target=work, args=item) for item in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = {name: outcome for name, (outcome, _) in ended.items()}
    return outcomes, max(took for _, took in ended.values())


def routes(server, replies):
    """Give each reply a path of its own; return name -> URL."""
    for number, one in enumerate(replies):
        server.route(f"/{number}", one)
    return {one.name: server.url(f"/{number}") for number, one in enumerate(replies)}


def test_drips(driver, server):
    manager = driver.manager(total_timeout=1.0, circuit_breaker_failure_threshold=None)
    urls = routes(server, ALL)
    jobs = {name: partial(manager.get, url) for name, url in urls.items()}
    outcomes, longest = all_at_once(jobs)
    assert longest < 1.2 + SOON
    for name, error in outcomes.items():
        assert isinstance(error, DeadlineExceeded), (name, error)
        assert isinstance(error, driver.errors.timeout)
        assert "total_timeout=1" in str(error)
        assert error.request.method == "GET"
        assert len(error.attempts) == 1
    assert server.count() == len(ALL)


def test_streamed_drips(driver, server):
    manager = driver.manager(total_timeout=LIMIT, circuit_breaker_failure_threshold=None)
    urls = routes(server, [*BODIES, drip("header")])
    jobs = {
        (name, how): partial(manager.read_stream, url, how)
        for name, url in urls.items()
        for how in ("bytes", "chunks", "lines", "raw", "raw at once", "content")
    }
    outcomes, longest = all_at_once(jobs)
    assert longest < LIMIT + SOON
    wrong = {key: one for key, one in outcomes.items() if not isinstance(one, DeadlineExceeded)}
    assert wrong == {}


def test_a_drip_in_front_of_a_retry(driver, server):
    server.route("/", Reply("drip 503", *_slow_503()))
    with within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
        driver.manager(total_timeout=LIMIT).get(server.url())


def _slow_503():
    head = (b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n",)
    return head, tuple(item for _ in range(100) for item in (b"x", 0.1))


def test_a_streamed_503_that_drips(driver, server):
    server.route("/", Reply("drip 503", *_slow_503()), reply(200, body="ok"))
    with within(LIMIT + SOON), pytest.raises((DeadlineExceeded, MaxRetriesExceeded)):
        driver.manager(total_timeout=LIMIT).read_stream(server.url())


def test_the_body_of_a_redirect_drips(driver, server):
    head = (b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 100\r\n\r\n",)
    server.route("/", Reply("drip 302", head, _slow_503()[1]))
    server.route("/next", reply(200, body="ok"))
    with within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
        driver.manager(total_timeout=LIMIT).get(server.url())


def test_all_hops_have_one_deadline(driver, server):
    server.route("/0", redirect("/1").delayed(0.13))
    server.route("/1", redirect("/2").delayed(0.13))
    server.route("/2", reply(200, body="ok").delayed(0.13))
    with within(LIMIT + SOON), pytest.raises(DeadlineExceeded) as caught:
        driver.manager(total_timeout=LIMIT).get(server.url("/0"))
    assert [attempt.status for attempt in caught.value.attempts] == [302, 302, None]


def test_a_blackhole(driver):
    with blackhole() as origin, within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
        driver.manager(total_timeout=LIMIT).get(origin)


def test_a_blackhole_with_timeouts_of_its_own(driver):
    manager = driver.manager(total_timeout=LIMIT, timeout=0.1, backoff_factor=0.05)
    ends = pytest.raises((DeadlineExceeded, MaxRetriesExceeded))
    with blackhole() as origin, within(LIMIT + SOON), ends as caught:
        manager.get(origin)
    assert isinstance(caught.value, driver.errors.timeout)
    assert len(caught.value.attempts) >= 2


def test_it_counts_as_a_failure_for_the_breaker(driver):
    manager = driver.manager(total_timeout=0.1, circuit_breaker_failure_threshold=1)
    with blackhole() as origin, pytest.raises(DeadlineExceeded):
        manager.get(origin)
    assert manager.state() == "open"
    finished = manager.happened(AttemptFinished)
    assert finished == [("AttemptFinished", 1, None, True, 0.0)]


def test_per_call_and_per_endpoint(driver, server):
    server.route("/slow", drip("body"))
    manager = driver.manager(
        total_timeout=60, endpoint_configs={"127.0.0.1/slow": {"total_timeout": LIMIT}}
    )
    with within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
        manager.get(server.url("/slow"))
    with within(0.1 + SOON), pytest.raises(DeadlineExceeded):
        manager.get(server.url("/slow"), total_timeout=0.1)


def test_what_finishes_in_time_is_whole(driver, server):
    server.route("/", slow_body([b"ab", b"cd", b"ef"], 0.05))
    server.route("/close", close_delimited("to the end"))
    manager = driver.manager(total_timeout=5)
    for _ in range(2):
        assert manager.get(server.url()).content == b"abcdef"
        assert manager.get(server.url("/close")).content == b"to the end"
        assert manager.read_stream(server.url()) == b"abcdef"
        assert manager.read_stream(server.url("/close"), "raw") == b"to the end"


def test_a_connection_that_finished_in_time_is_not_shut_later(driver, server):
    server.route("/", reply(200, body="ok"))
    manager = driver.manager(total_timeout=0.1)
    manager.get(server.url())
    time.sleep(0.2)
    assert manager.get(server.url()).text == "ok"
    assert manager.read_stream(server.url()) == b"ok"
    time.sleep(0.2)
    assert manager.get(server.url()).text == "ok"
    assert server.connections == 1


def test_a_connection_after_a_deadline_is_not_used_again(driver, server):
    server.route("/", drip("body"))
    server.route("/ok", reply(200, body="ok"))
    manager = driver.manager(total_timeout=0.2)
    with pytest.raises(DeadlineExceeded):
        manager.get(server.url())
    assert manager.get(server.url("/ok")).text == "ok"
    assert server.connections == 2


def test_many_at_once(driver, server):
    server.route("/drip", drip("header"))
    server.route("/", reply(200, body="ok"))
    manager = driver.manager(total_timeout=LIMIT, circuit_breaker_failure_threshold=None)
    calls = [("GET", server.url("/drip" if n % 2 else "/"), {}) for n in range(20)]
    with within(LIMIT + 0.5):
        results = manager.together(calls)
    assert [type(result).__name__.endswith("DeadlineExceeded") for result in results] == [
        bool(n % 2) for n in range(20)
    ]


def test_queueing_counts(driver, server):
    server.route("/", reply(200))
    manager = driver.manager(
        rate_limit_requests=1, rate_limit_period=0.3, rate_limit_mode="wait", total_timeout=0.4
    )
    server.route("/drip", drip("body"))
    manager.get(server.url())
    with within(0.4 + SOON), pytest.raises(DeadlineExceeded) as caught:
        manager.get(server.url("/drip"))
    assert caught.value.attempts[0].waited > 0.2


def test_without_it_nothing_is_watched(driver, server):
    server.route("/", reply(200))
    before = {thread.name for thread in threading.enumerate()}
    driver.manager().get(server.url())
    after = {thread.name for thread in threading.enumerate()}
    assert "requests-connection-manager-deadlines" not in after - before


def test_watches_do_not_pile_up(server):
    server.route("/", reply(200))
    with ConnectionManager(total_timeout=5) as manager:
        for _ in range(300):
            manager.get(server.url(), rate_limit_requests=None)
    assert len(watchdog._queue) < 300


def test_a_stream_that_was_dropped_unread_is_forgotten(server):
    server.route("/", reply(200, body="x" * 100_000))
    with ConnectionManager() as manager:
        response = manager.get(server.url(), stream=True, total_timeout=0.1)
        wire = weakref.ref(next(entry[2].wire() for entry in watchdog._queue if entry[2].wire()))
        response.raw._connection.close()
        response.raw._fp.close()
        del response
        gc.collect()
        assert wire() is None


def test_a_tls_server_that_drips(driver, tls):
    with FaultServer(ssl_context=tls.server_context()) as server:
        server.route("/", drip("body"))
        server.route("/head", drip("header"))
        manager = driver.manager(ssl_context=tls.client_context(), total_timeout=LIMIT)
        jobs = {
            "body": partial(manager.get, server.url()),
            "head": partial(manager.get, server.url("/head")),
            "stream": partial(manager.read_stream, server.url()),
        }
        outcomes, longest = all_at_once(jobs)
        assert longest < LIMIT + SOON
        wrong = {key: one for key, one in outcomes.items() if not isinstance(one, DeadlineExceeded)}
        assert wrong == {}
        manager.close()


# httpcore leaves the socket of a handshake that is cancelled to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_tls_handshake_that_never_comes(driver):
    with blackhole() as origin:
        url = origin.replace("http:", "https:")
        with within(LIMIT + SOON), pytest.raises(DeadlineExceeded):
            driver.manager(total_timeout=LIMIT).get(url)
        gc.collect()


def test_an_abandoned_stream_is_closed_by_its_deadline(driver, server):
    if not driver.is_sync:
        pytest.skip("httpx has no stream outside of its context manager")
    server.route("/", drip("body"))
    response = driver.manager(total_timeout=0.2).manager.get(server.url(), stream=True)
    with pytest.raises(DeadlineExceeded):
        list(response.iter_content(1))
    response.close()
    wait_until(lambda: server.open_connections == 0)


class _Reset:
    """The file of a socket whose peer has reset it."""

    def read(self, *args):
        raise ConnectionResetError

    read1 = readinto = readline = read


@pytest.mark.parametrize("name", ["read", "read1", "readinto", "readline"])
@pytest.mark.parametrize(
    ("late", "kind"), [(True, DeadlineExceeded), (False, ConnectionResetError)]
)
def test_a_reset_of_the_socket_that_the_deadline_has_shut(name, late, kind):
    hop = SimpleNamespace(late=lambda: late)
    with pytest.raises(kind):
        getattr(_GuardedFile(_Reset(), hop), name)(1)
