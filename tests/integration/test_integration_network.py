"""Real sockets: bodies that are sent twice or must not be, crowds, interruptions, and TLS."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import socket
import ssl
import struct
import threading
import time

import anyio
import httpx
import pytest
import requests
from drivers import wait_until, within
from raw_server import RawServer

from requests_connection_manager import (
    AsyncConnectionManager,
    CircuitBreakerOpen,
    ConnectionManager,
    MaxRetriesExceeded,
    PipelineAdapter,
    RateLimitExceeded,
)
from requests_connection_manager.rest import Client
from requests_connection_manager.testing import (
    FaultServer,
    blackhole,
    dead_origin,
    dies_while_idle,
    disconnect,
    echo,
    redirect,
    reply,
    reset,
)

OK = reply(200, body="ok")
CHALLENGE = reply(
    401,
    headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'},
)


def digest(driver):
    kind = requests.auth.HTTPDigestAuth if driver.is_sync else httpx.DigestAuth
    return kind("user", "secret")


class TestSeekableBodies:
    """requests only: httpx takes no plain files on its async client but in multipart bodies."""

    @pytest.fixture
    def body(self):
        file = io.BytesIO(b"skipped payload")
        file.seek(8)
        return file

    @pytest.fixture
    def manager(self, clock):
        with ConnectionManager(clock=clock, backoff_jitter=0) as manager:
            yield manager

    @pytest.mark.parametrize("fault", [reply(503), reset(), disconnect(), reset(after=3)])
    def test_rewound_to_where_they_were(self, manager, server, body, fault):
        server.route("/", fault, fault, OK)
        assert manager.put(server.url(), data=body).text == "ok"
        assert [request.body for request in server.requests] == [b"payload"] * 3

    def test_on_a_stale_connection(self, manager, server, body):
        server.route("/", dies_while_idle(OK, when="next"), OK)
        manager.get(server.url())
        assert manager.put(server.url(), data=body).text == "ok"
        assert [request.body for request in server.requests] == [b"", b"payload", b"payload"]

    @pytest.mark.parametrize("status", [307, 308])
    def test_over_a_redirect(self, manager, server, body, status):
        server.route("/", redirect("/next", status))
        server.route("/next", reply(503), OK)
        assert manager.put(server.url(), data=body).text == "ok"
        assert [request.body for request in server.requests] == [b"payload"] * 3

    def test_over_the_legs_of_digest(self, manager, server, body):
        server.route("/", CHALLENGE, reply(503), OK)
        auth = requests.auth.HTTPDigestAuth("user", "secret")
        assert manager.put(server.url(), data=body, auth=auth).text == "ok"
        assert [request.body for request in server.requests] == [b"payload"] * 3

    def test_one_that_can_not_seek_after_all(self, manager, server):
        class Pipe(io.BytesIO):
            def seekable(self):
                return False

        server.route("/", reply(503), OK)
        with pytest.raises(MaxRetriesExceeded) as caught:
            manager.put(server.url(), data=Pipe(b"x"))
        assert caught.value.reason == "body_not_replayable"


def test_multipart_bodies_are_sent_again_whole(driver, server, clock):
    server.route("/", reply(503), OK)
    manager = driver.manager(clock=clock)
    manager.put(server.url(), files={"file": ("name", io.BytesIO(b"content"))})
    first, second = server.requests
    assert b"content" in first.body
    assert first.body == second.body


def test_digest_with_a_retry(driver, server, clock):
    server.route("/", CHALLENGE, reply(503), echo())
    response = driver.manager(clock=clock).get(server.url(), auth=digest(driver))
    assert response.json()["headers"]["authorization"].startswith("Digest ")
    assert [attempt.status for attempt in response.attempts] == [401, 503, 200]
    assert clock.sleeps == (0.3,)


def test_digest_with_a_body_that_can_be_read_once(driver, server, clock):
    server.route("/", CHALLENGE, OK)
    manager = driver.manager(clock=clock)
    with pytest.raises(driver.errors.consumed):
        manager.put(server.url(), body=driver.one_shot_body(b"x"), auth=digest(driver))
    assert [request.body for request in server.requests] == [b"x"]


@pytest.mark.parametrize("calls", [200])
def test_a_limit_is_exact_in_a_crowd(driver, server, calls):
    server.route("/", OK)
    manager = driver.manager(rate_limit_requests=50, rate_limit_period=600, pool_maxsize=50)
    results = manager.together([("GET", server.url(), {})] * calls)
    passed = [result for result in results if not isinstance(result, Exception)]
    refused = [result for result in results if isinstance(result, RateLimitExceeded)]
    assert (len(passed), len(refused), server.count()) == (50, 150, 50)
    stats = manager.get_stats()["scopes"][server.origin]
    assert (stats["attempts"], stats["refusals"]["limiter"]) == (50, 150)


def test_threads_while_settings_change(server):
    server.route("/", OK)
    with ConnectionManager(rate_limit_requests=None, pool_maxsize=32) as manager:
        stop = threading.Event()
        failed = []

        def call():
            for _ in range(10):
                try:
                    manager.get(server.url())
                except Exception as exc:
                    failed.append(exc)

        def change():
            number = 0
            while not stop.is_set():
                number += 1
                manager.set_bearer_token(f"t{number}")
                manager.add_endpoint_config(f"host{number % 5}.test", {"timeout": 5})
                manager.set_timeouts(read_timeout=5 + number % 3)

        changer = threading.Thread(target=change)
        changer.start()
        threads = [threading.Thread(target=call) for _ in range(32)]
        with within(30):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        stop.set()
        changer.join()
        assert failed == []
        assert server.count() == 320
        assert manager.get_stats()["scopes"][server.origin]["attempts"] == 320


# What the first loops left open is nobody's any more: the garbage collector's.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio", "asyncio")])
def test_several_event_loops_one_after_the_other(server, backends):
    server.route("/", OK)
    manager = AsyncConnectionManager(verify=False, rate_limit_requests=10)

    async def call(close):
        texts = [(await manager.get(server.url())).text for _ in range(2)]
        if close:
            await manager.aclose()
        return texts

    for number, backend in enumerate(backends, 1):
        assert anyio.run(call, number == len(backends), backend=backend) == ["ok", "ok"]
    stats = manager.get_stats()["scopes"][server.origin]
    assert stats["attempts"] == 2 * len(backends)
    gc.collect()


# -- interruptions


class Stop(BaseException):
    """Stands for Ctrl-C, SystemExit, a cancellation."""


class InterruptedAdapter(requests.adapters.BaseAdapter):
    def send(self, request, **kwargs):
        raise Stop

    def close(self):
        pass


def test_a_base_exception_releases_the_permit_and_books_nothing(server, clock):
    server.route("/", reply(503), OK)
    with ConnectionManager(
        clock=clock, max_retries=0, circuit_breaker_failure_threshold=1
    ) as manager:
        url = server.url()
        manager.get(url)
        clock.advance(60)
        normal = manager.get_adapter(url)
        manager.mount(url, PipelineAdapter(wraps=InterruptedAdapter()))
        for _ in range(2):  # the second would be refused if the first had kept its permit
            with pytest.raises(Stop):
                manager.get(url)
            assert manager.get_stats()["circuit_breaker_state"] == "half-open"
        manager.mount(url, normal)
        assert manager.get(url).text == "ok"
        assert manager.get_stats()["circuit_breaker_state"] == "closed"


def no_batch_threads():
    return not any(thread.name.startswith("batch") for thread in threading.enumerate())


@contextlib.contextmanager
def interrupted_after(seconds):
    """Send this process a SIGINT while it is in the block."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, before)


class TestCtrlC:
    def test_while_waiting_for_an_answer(self, clock):
        with blackhole() as origin, ConnectionManager(clock=clock) as manager:
            with within(8), pytest.raises(KeyboardInterrupt), interrupted_after(0.1):
                manager.get(origin)
            scope = manager.get_stats()["scopes"][origin]
            assert scope["circuit_breaker_failure_count"] == 0
            assert (scope["attempts"], scope["failures"]) == (1, 0)

    def test_while_waiting_for_a_retry(self, server):
        server.route("/", reply(503))
        with ConnectionManager(backoff_factor=30) as manager:
            with within(8), pytest.raises(KeyboardInterrupt), interrupted_after(0.2):
                manager.get(server.url())
            assert server.count() == 1

    def test_while_waiting_for_a_token(self, server):
        server.route("/", OK)
        with ConnectionManager(
            rate_limit_requests=1, rate_limit_period=30, rate_limit_mode="wait"
        ) as manager:
            manager.get(server.url())
            with within(8), pytest.raises(KeyboardInterrupt), interrupted_after(0.1):
                manager.get(server.url())
            limiter = manager.core.scope(manager.core.configuration, server.url()).limiter
            assert len(limiter._queue) == 0

    @pytest.mark.parametrize("where", ["answer", "retry"])
    def test_in_a_batch(self, server, where):
        server.route("/", reply(503))
        with blackhole() as origin, ConnectionManager(backoff_factor=30) as manager:
            url = origin if where == "answer" else server.url()
            with within(8), pytest.raises(KeyboardInterrupt), interrupted_after(0.3):
                manager.batch_request([("GET", url, {})] * 20, max_workers=4)
            wait_until(no_batch_threads)


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    return lambda function: anyio.run(function, backend=request.param)


@contextlib.asynccontextmanager
async def async_manager(**settings):
    async with AsyncConnectionManager(verify=False, **settings) as manager:
        yield manager


class TestCancellation:
    def test_of_a_probe(self, run, server, clock):
        server.route("/", reply(503), reply(200, delay=30), OK)

        async def main():
            settings = {"max_retries": 0, "circuit_breaker_failure_threshold": 1}
            async with async_manager(clock=clock, **settings) as manager:
                await manager.get(server.url())
                clock.advance(60)
                with anyio.move_on_after(0.1) as scope:
                    await manager.get(server.url())
                assert scope.cancelled_caught
                assert manager.get_stats()["circuit_breaker_state"] == "half-open"
                assert (await manager.get(server.url())).text == "ok"
                assert manager.get_stats()["circuit_breaker_state"] == "closed"

        run(main)

    def test_opens_nothing(self, run, clock):
        async def main():
            with blackhole() as origin:
                async with async_manager(
                    clock=clock, circuit_breaker_failure_threshold=1
                ) as manager:
                    with anyio.move_on_after(0.05):
                        await manager.get(origin)
                    stats = manager.get_stats()
                    assert stats["circuit_breaker_state"] == "closed"
                    assert stats["scopes"][origin]["failures"] == 0

        run(main)

    def test_of_a_waiter_gives_its_place_back(self, run, server):
        server.route("/", OK)

        async def main():
            async with async_manager(
                rate_limit_requests=1, rate_limit_period=0.3, rate_limit_mode="wait"
            ) as manager:
                await manager.get(server.url())
                with anyio.move_on_after(0.05):
                    await manager.get(server.url())
                began = time.monotonic()
                await manager.get(server.url())
                assert time.monotonic() - began < 0.5

        run(main)

    def test_of_a_batch(self, run, clock):
        async def main():
            with blackhole() as origin:
                async with async_manager(clock=clock) as manager:
                    with anyio.move_on_after(0.1) as scope:
                        await manager.batch_request([("GET", origin, {})] * 10)
                    assert scope.cancelled_caught

        with within(8):
            run(main)

    def test_of_a_base_exception(self, run, server, clock):
        class Transport(httpx.AsyncBaseTransport):
            broken = True

            async def handle_async_request(self, request):
                if self.broken:
                    raise Stop
                return httpx.Response(200)

        async def main():
            transport = Transport()
            settings = {"max_retries": 0, "circuit_breaker_failure_threshold": 1}
            async with async_manager(clock=clock, transport=transport, **settings) as manager:
                with pytest.raises(Stop):
                    await manager.get("http://api.test/")
                assert manager.get_stats()["circuit_breaker_state"] == "closed"
                transport.broken = False
                assert (await manager.get("http://api.test/")).status_code == 200

        run(main)


# -- origins that are not there


def test_a_dead_origin_costs_no_time(driver, clock):
    with dead_origin() as origin, within(8):
        with pytest.raises(MaxRetriesExceeded):
            driver.manager(clock=clock).get(origin)
        with pytest.raises((MaxRetriesExceeded, CircuitBreakerOpen)):
            driver.manager(clock=clock).post(origin, body=b"x")


def test_a_blackhole_is_bounded_by_its_timeout(driver, clock):
    with blackhole() as origin, within(8), pytest.raises(MaxRetriesExceeded) as caught:
        driver.manager(clock=clock, timeout=0.1, max_retries=2).get(origin)
    assert len(caught.value.attempts) == 3


@contextlib.contextmanager
def handshake_breaker(answer=b""):
    """An origin that answers the first byte of a handshake with this and a reset."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1)
                seen.append(1)
                connection.sendall(answer)
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_handshake_that_breaks_has_sent_nothing(driver, clock):
    with handshake_breaker() as (origin, seen), pytest.raises(MaxRetriesExceeded) as caught:
        driver.manager(clock=clock, max_retries=2).post(origin, body=b"x")
    assert len(caught.value.attempts) == len(seen) == 3


def test_an_answer_that_is_no_tls(driver, clock):
    plain = handshake_breaker(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with plain as (origin, _), pytest.raises(driver.errors.connect) as caught:
        driver.manager(clock=clock, max_retries=1).post(origin, body=b"x")
    assert not caught.value.__class__.__name__.endswith("Timeout")


class TestTls:
    @pytest.fixture(autouse=True)
    def no_bundle_of_the_environment(self, monkeypatch):
        # As in requests, it would win over the session's verify.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)

    @pytest.fixture
    def secure(self, tls):
        with FaultServer(ssl_context=tls.server_context()) as running:
            running.route("/", echo())
            yield running

    def test_an_unknown_authority_is_not_tried_again(self, driver, secure, clock):
        manager = driver.manager(clock=clock)
        for method in ("GET", "POST"):
            with pytest.raises(driver.errors.untrusted) as caught:
                manager.request(method, secure.url())
            assert not isinstance(caught.value, MaxRetriesExceeded)
            assert len(caught.value.attempts) == 1
        assert clock.sleeps == ()
        assert secure.count() == 0
        manager.close()

    def test_another_hosts_certificate_is_not_tried_again(self, driver, tls, clock):
        with FaultServer(ssl_context=tls.server_context("other.test")) as server:
            manager = driver.manager(clock=clock, ssl_context=tls.client_context())
            with pytest.raises(driver.errors.untrusted) as caught:
                manager.get(server.url())
            assert not isinstance(caught.value, MaxRetriesExceeded)
            assert clock.sleeps == ()
            manager.close()

    def test_a_context_of_the_users_is_left_untouched(self, driver, secure, tls):
        context = tls.client_context()
        before = (context.cert_store_stats(), context.verify_mode, context.check_hostname)
        manager = driver.manager(ssl_context=context)
        assert manager.get(secure.url()).status_code == 200
        after = (context.cert_store_stats(), context.verify_mode, context.check_hostname)
        assert after == before
        manager.close()

    def test_an_empty_context_stays_empty(self, driver, secure, tls):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        manager = driver.manager(ssl_context=context, max_retries=0)
        with pytest.raises(driver.errors.untrusted):
            manager.get(secure.url())
        assert context.cert_store_stats()["x509"] == 0
        manager.close()

    def test_a_context_at_run_time(self, driver, secure, tls):
        manager = driver.manager(max_retries=0, verify=True)
        with pytest.raises(driver.errors.untrusted):
            manager.get(secure.url())
        manager.set_ssl_context(tls.client_context())
        assert manager.get(secure.url()).status_code == 200
        manager.close()

    def test_a_bundle(self, driver, secure, tls, tmp_path):
        bundle = tmp_path / "ca.pem"
        tls._ca.cert_pem.write_to_path(str(bundle))
        manager = driver.manager(verify=str(bundle), max_retries=0)
        assert manager.get(secure.url()).status_code == 200
        manager.close()

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_verification_switched_off_at_run_time(self, driver, secure):
        manager = driver.manager(max_retries=0, verify=True)
        with pytest.raises(driver.errors.untrusted):
            manager.get(secure.url())
        manager.set_ssl_verification(False)
        assert manager.get(secure.url()).status_code == 200
        manager.close()

    def test_from_https_to_http_nothing_is_taken_along(self, driver, secure, server, tls):
        server.route("/", echo())
        secure.route("/", redirect(server.url()))
        manager = driver.manager(
            ssl_context=tls.client_context(),
            api_key="key",
            bearer_token="token",
            headers={"X-Session-Token": "s"},
        )
        seen = manager.get(secure.url()).json()["headers"]
        manager.close()
        assert {"x-api-key", "authorization", "x-session-token"} & set(seen) == set()
        assert secure.requests[0].headers["authorization"] == "Bearer token"

    def test_stale_connections_are_replaced(self, driver, secure, tls):
        secure.route("/", dies_while_idle(OK, when="next"), OK)
        manager = driver.manager(ssl_context=tls.client_context())
        manager.get(secure.url())
        response = manager.get(secure.url())
        assert (response.text, len(response.attempts)) == ("ok", 1)
        manager.close()


def test_whoever_speaks_another_protocol_reads_no_more_than_asked_for():
    server = RawServer()
    server.answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        bytes(8_000_000),
    )
    headers = {"Connection": "upgrade", "Upgrade": "x"}
    with contextlib.closing(server), Client(server.origin, timeout=20) as client, client.stream(
        "GET", "/", headers=headers
    ) as response:
        stream = response.extensions["network_stream"]
        while len(stream.read(65_536)) < 65_536:
            pass
        assert len(stream.read(10)) <= 10
