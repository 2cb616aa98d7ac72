"""The tools that the other tests rely on, tested with nothing but sockets and http.client."""

from __future__ import annotations

import ast
import asyncio
import doctest
import gzip as gzip_module
import http.client
import importlib
import json
import math
import socket
import ssl
import struct
import threading
from contextlib import closing
from urllib.parse import urlsplit

import anyio
import pytest

from requests_connection_manager.testing import (
    Ending,
    FaultServer,
    Headers,
    Received,
    Reply,
    VirtualClock,
    blackhole,
    close_delimited,
    dead_origin,
    dies_while_idle,
    disconnect,
    drip,
    echo,
    garbage,
    gzip,
    redirect,
    reply,
    reset,
    sink,
    sized,
    slow_body,
    truncate,
    truncated_chunks,
)

SAFETY = 10.0  # seconds after which a hanging socket fails the test; never reached when it passes
MODULES = ("", ".clock", ".replies", ".server")


@pytest.fixture
def server():
    before = set(threading.enumerate())
    with FaultServer() as running:
        yield running
    assert set(threading.enumerate()) <= before


@pytest.fixture
def client(server):
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=SAFETY)) as client:
        yield client


def get(client, path="/", method="GET", **kwargs):
    client.request(method, path, **kwargs)
    response = client.getresponse()
    return response, response.read()


def raw(server):
    return socket.create_connection((server.host, server.port), timeout=SAFETY)


def read_all(sock):
    received = b""
    while True:
        data = sock.recv(65536)
        if not data:
            return received
        received += data


def ask(server, request):
    """Send raw bytes and return everything that comes until the server closes."""
    with raw(server) as sock:
        sock.sendall(request)
        return read_all(sock)


def get_closing(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


# -- documentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(
        importlib.import_module("requests_connection_manager.testing" + module)
    )
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_needs_nothing_but_the_standard_library_and_a_lazy_anyio(module):
    path = importlib.import_module("requests_connection_manager.testing" + module).__file__
    with open(path, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    at_import = {node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert (node.level, node.module) in [(1, "clock"), (1, "replies"), (1, "server")]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"requests", "urllib3", "httpx", "requests_connection_manager"}
            assert "anyio" not in roots or node not in at_import


# -- clock --------------------------------------------------------------------------------------


def test_clock_moves_only_when_waited_for():
    clock = VirtualClock(start=5, epoch=100)
    assert (clock.monotonic(), clock.time(), clock.sleeps) == (5.0, 100.0, ())
    clock.sleep(2)
    clock.advance(10)
    clock.sleep(0)
    assert (clock.monotonic(), clock.time(), clock.sleeps) == (17.0, 112.0, (2.0, 0.0))
    assert repr(clock) == "VirtualClock(monotonic=17.0, time=112.0)"


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, -math.inf])
def test_clock_refuses_impossible_waits(seconds):
    clock = VirtualClock()
    for wait in (clock.sleep, clock.advance, lambda s: asyncio.run(clock.asleep(s))):
        with pytest.raises(ValueError, match="seconds must be a finite number >= 0"):
            wait(seconds)
    assert clock.monotonic() == 0.0
    assert clock.sleeps == ()


def test_clock_refuses_impossible_starts():
    with pytest.raises(ValueError, match="start"):
        VirtualClock(start=math.nan)
    with pytest.raises(ValueError, match="epoch"):
        VirtualClock(epoch=math.inf)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asleep_works_on_both_event_loops(backend):
    clock = VirtualClock()

    async def main():
        await clock.asleep(3)

    anyio.run(main, backend=backend)
    assert clock.sleeps == (3.0,)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asleep_is_a_checkpoint_and_a_cancelled_wait_takes_no_time(backend):
    clock = VirtualClock()

    async def main():
        with anyio.CancelScope() as scope:
            scope.cancel()
            await clock.asleep(3)
        return scope.cancelled_caught

    assert anyio.run(main, backend=backend)
    assert clock.sleeps == ()
    assert clock.monotonic() == 0.0


def test_clock_loses_no_wait_of_many_threads():
    clock = VirtualClock()

    def wait():
        for _ in range(500):
            clock.sleep(1)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() == 4000.0
    assert len(clock.sleeps) == 4000


# -- plain service ------------------------------------------------------------------------------


def test_unrouted_path_is_404_in_json(server, client):
    response, body = get(client, "/nowhere")
    assert response.status == 404
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"error": "not found"}


def test_replies_are_served_in_turn_and_the_last_repeats(server, client):
    server.route("/", reply(503), reply(429), reply(200))
    assert [get(client)[0].status for _ in range(5)] == [503, 429, 200, 200, 200]
    assert server.count("/") == 5
    assert server.connections == 1


def test_routing_again_replaces_the_script(server, client):
    server.route("/", reply(500))
    server.route("/", reply(200))
    assert get(client)[0].status == 200


def test_records_what_arrived(server, client):
    get(client, "/a%20b?x=1&x=2", "POST", body=b'{"k": 1}', headers={"X-Id": "7"})
    get(client, "/second")
    first, second = server.requests
    assert (first.method, first.path, first.query) == ("POST", "/a%20b", "x=1&x=2")
    assert first.params == {"x": ["1", "2"]}
    assert first.headers["x-ID"] == "7"
    assert ("X-Id", "7") in first.headers.raw
    assert (first.body, first.size, first.json()) == (b'{"k": 1}', 8, {"k": 1})
    assert first.target == "/a%20b?x=1&x=2"
    assert (first.connection, first.number) == (1, 1)
    assert (second.connection, second.number) == (1, 2)
    assert server.count() == 2
    assert server.open_connections == 1


def test_received_is_frozen_and_its_repr_keeps_secrets():
    received = Received("GET", "/", "key=secret", Headers([("Authorization", "secret")]), b"secret")
    with pytest.raises(AttributeError):
        received.path = "/other"
    assert "secret" not in repr(received)
    assert "secret" not in repr(received.headers)
    assert "secret" not in repr(reply(200, body="secret", headers={"Set-Cookie": "secret"}))


def test_headers_are_a_mapping_that_ignores_case():
    headers = Headers([("Accept", "a"), ("ACCEPT", "b")])
    assert dict(headers) == {"accept": "a, b"}
    assert headers == {"accept": "a, b"}
    assert "aCCept" in headers
    assert headers.get("missing") is None
    assert len(headers) == 1


def test_clear_counts_anew_and_leaves_routes_where_they_are(server, client):
    server.route("/", reply(500), reply(200))
    get(client)
    server.clear()
    assert (server.requests, server.count(), server.count("/"), server.connections) == ((), 0, 0, 0)
    assert get(client)[0].status == 200


def test_only_the_latest_requests_are_kept_but_all_are_counted():
    with FaultServer(keep=2) as server:
        with closing(http.client.HTTPConnection(server.host, server.port)) as client:
            for path in ("/1", "/2", "/3"):
                get(client, path)
        assert [received.path for received in server.requests] == ["/2", "/3"]
        assert server.count() == 3


def test_callable_answers_from_the_request(server, client):
    server.route("/", lambda received: reply(200, body=received.query))
    assert get(client, "/?q=1")[1] == b"q=1"


def test_failing_callable_is_500_and_reported(server, client):
    server.route("/raises", lambda received: 1 / 0)
    server.route("/wrong", lambda received: "not a reply")
    assert get(client, "/raises")[0].status == 500
    assert get(client, "/wrong")[0].status == 500
    assert [type(error) for error in server.errors] == [ZeroDivisionError, TypeError]


def test_route_refuses_what_it_cannot_serve():
    server = FaultServer()
    with pytest.raises(ValueError, match="at least one"):
        server.route("/")
    with pytest.raises(TypeError, match="Reply or a callable"):
        server.route("/", 200)
    for path in ("users", "/users?page=1"):
        with pytest.raises(ValueError, match="path must"):
            server.route(path, reply())


@pytest.mark.parametrize("limits", [{"body_limit": -1}, {"keep": -1}, {"max_connections": 0}])
def test_impossible_limits_are_refused(limits):
    with pytest.raises(ValueError, match="must be >= 0"):
        FaultServer(**limits)


# -- HTTP/1.1 -----------------------------------------------------------------------------------


def test_head_gets_the_head_only(server, client):
    server.route("/", reply(200, body="hello"))
    response, body = get(client, method="HEAD")
    assert (response.headers["Content-Length"], body) == ("5", b"")
    assert get(client)[1] == b"hello"
    assert server.connections == 1


def test_chunked_request_bodies_are_decoded(server, client):
    get(client, "/", "POST", body=iter([b"one", b"", b"two"]), encode_chunked=True)
    assert server.requests[0].body == b"onetwo"
    assert get(client)[0].status == 404


def test_chunk_extensions_and_trailers_are_skipped(server):
    ask(
        server,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3;a=b\r\none\r\n0\r\nX-Trailer: 1\r\n\r\n",
    )
    assert server.requests[0].body == b"one"


def test_expect_continue_is_answered_before_the_body_is_sent(server):
    with raw(server) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert read_all(sock).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert server.requests[0].body == b"ok"


def test_pipelined_and_split_requests(server):
    server.route("/1", reply(200, body="first"))
    server.route("/2", reply(200, body="second"))
    request = b"GET /1 HTTP/1.1\r\n\r\n" + get_closing("/2")
    with raw(server) as sock:
        for byte in request:
            sock.sendall(bytes([byte]))
        one_by_one = read_all(sock)
    assert ask(server, request) == one_by_one
    assert one_by_one.index(b"first") < one_by_one.index(b"second")


def test_http_1_0_closes_unless_asked_not_to(server):
    assert ask(server, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404")
    kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert ask(server, kept + b"GET / HTTP/1.0\r\n\r\n").count(b"HTTP/1.1 404") == 2


def test_connection_close_in_a_reply_closes(server):
    server.route("/", reply(200, headers={"Connection": "close"}))
    assert b"200 OK" in ask(server, b"GET / HTTP/1.1\r\n\r\n")


def test_absolute_target_as_sent_to_a_proxy(server):
    server.route("/x", reply(200, body="proxied"))
    shown = ask(server, get_closing("http://other.test/x?a=1"))
    assert shown.endswith(b"proxied")
    assert server.requests[0].target == "http://other.test/x?a=1"
    assert server.requests[0].query == "a=1"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\nok",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    ],
)
def test_malformed_requests_are_400_and_not_recorded(server, request_bytes):
    assert ask(server, request_bytes).startswith(b"HTTP/1.1 400 ")
    assert server.requests == ()


def test_endless_head_is_431(server):
    with raw(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 65536)
        assert sock.recv(100).startswith(b"HTTP/1.1 431 ")


def test_request_cut_short_is_not_recorded(server):
    with raw(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""
    assert server.requests == ()


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_counted_and_not_stored(chunked):
    with FaultServer(body_limit=1000) as server:
        server.route("/", sink())
        with closing(http.client.HTTPConnection(server.host, server.port)) as client:
            body = iter([b"x" * 100_000] * 30) if chunked else b"x" * 3_000_000
            _, shown = get(client, "/", "PUT", body=body, encode_chunked=chunked)
            assert json.loads(shown) == {"size": 3_000_000}
            get(client, "/", "PUT", body=b"x" * 1000)
        assert [len(received.body) for received in server.requests] == [0, 1000]
        assert server.requests[0].size == 3_000_000


def test_two_hundred_connections_at_once(server):
    together = threading.Barrier(200)

    def meet(received):
        together.wait(SAFETY)
        return reply(200, body=str(received.connection))

    server.route("/", meet)
    sockets = [raw(server) for _ in range(200)]
    for sock in sockets:
        sock.sendall(get_closing("/"))
    bodies = {read_all(sock).rpartition(b"\r\n")[2] for sock in sockets}
    for sock in sockets:
        sock.close()
    assert len(bodies) == 200
    assert server.connections == 200


def test_connections_beyond_the_limit_are_closed_at_once():
    with FaultServer(max_connections=1) as server, raw(server) as first:
        first.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 404")
        with raw(server) as second:
            assert second.recv(1) == b""
        assert server.connections == 2


# -- replies ------------------------------------------------------------------------------------


def test_reply_bodies_and_their_types(server, client):
    server.route("/", reply(201, json=None), reply(body="é"), reply(body=b"\x00"), reply(204))
    response, body = get(client)
    assert (response.status, response.reason, body) == (201, "Created", b"null")
    response, body = get(client)
    assert (response.headers["Content-Type"], body) == ("text/plain; charset=utf-8", "é".encode())
    response, body = get(client)
    assert (response.headers["Content-Type"], body) == (None, b"\x00")
    response, body = get(client)
    assert (response.status, response.headers["Content-Length"], body) == (204, None, b"")


def test_reply_headers_replace_and_repeat(server, client):
    pairs = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("content-type", "text/html")]
    server.route("/", reply(200, body="<p>", headers=pairs))
    response, _ = get(client)
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert response.headers.get_all("Content-Type") == ["text/html"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: reply(199), ValueError),
        (lambda: reply(1000), ValueError),
        (lambda: reply("200"), TypeError),
        (lambda: reply(True), TypeError),
        (lambda: reply(204, body="x"), ValueError),
        (lambda: reply(json={}, body="x"), TypeError),
        (lambda: reply(body=3), TypeError),
        (lambda: reply(headers={"X": "a\r\nY: b"}), ValueError),
        (lambda: reply(delay=-1), ValueError),
        (lambda: reply().delayed(math.nan), ValueError),
        (lambda: redirect("/", 200), ValueError),
        (lambda: reset(after=-1), ValueError),
        (lambda: truncate(5, 5), ValueError),
        (lambda: drip("tail"), ValueError),
        (lambda: drip(interval=-1), ValueError),
        (lambda: sized(1.5), TypeError),
        (lambda: slow_body([b"a"], interval=math.inf), ValueError),
        (lambda: dies_while_idle(when="later"), ValueError),
        (lambda: dies_while_idle(echo()), TypeError),
    ],
)
def test_replies_are_checked_when_they_are_made(make, error):
    with pytest.raises(error):
        make()


def test_delayed_replies_arrive(server, client):
    server.route("/", reply(200, body="late", delay=0.001), reply(200).delayed(0.001))
    assert get(client)[1] == b"late"
    assert get(client)[0].status == 200


def test_reset_before_any_byte(server, client):
    server.route("/", reset())
    with pytest.raises(ConnectionResetError):
        get(client)
    assert server.count("/") == 1


def test_reset_in_the_middle_of_the_body(server, client):
    server.route("/", reset(after=10))
    client.request("GET", "/")
    response = client.getresponse()
    assert response.read(10) == b"x" * 10
    with pytest.raises(ConnectionResetError):
        response.read(1)


def test_disconnect_closes_without_a_byte(server, client):
    server.route("/", disconnect())
    with pytest.raises(http.client.RemoteDisconnected):
        get(client)
    assert server.count("/") == 1


@pytest.mark.parametrize(
    ("part", "status_and_body"),
    [
        ("status", (200, b"")),
        ("header", (200, b"")),
        ("chunk", (200, b"x")),
        ("body", (200, b"xxx")),
    ],
)
def test_drip_comes_byte_by_byte_and_complete(server, client, part, status_and_body):
    answer = drip(part, 0.0001, size=3)
    dripped = [
        action for action in (*answer.head, *answer.body) if isinstance(action, bytes) and action
    ]
    assert sum(len(action) == 1 for action in dripped) >= 3
    server.route("/", answer)
    response, body = get(client)
    assert (response.status, body) == status_and_body
    assert get(client)[0].status == 200
    assert server.connections == 1


def test_truncated_body(server, client):
    server.route("/", truncate(declared=10, sent=4))
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(client)
    assert (caught.value.partial, caught.value.expected) == (b"xxxx", 6)


@pytest.mark.parametrize("inside", [False, True])
def test_truncated_chunks(server, client, inside):
    server.route("/", truncated_chunks([b"one", b"two"], inside=inside))
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(client)
    assert caught.value.partial.startswith(b"onetwo")


def test_redirect_names_its_target(server, client):
    server.route("/", redirect("http://other.test/x"), redirect("/y", 307))
    response, _ = get(client)
    assert (response.status, response.headers["Location"]) == (302, "http://other.test/x")
    response, _ = get(client)
    assert (response.status, response.headers["Location"]) == (307, "/y")


def test_echo_shows_what_arrived(server, client):
    server.route("/", echo(201))
    response, body = get(client, "/?a=1", "PUT", body="text", headers={"X-Id": "7"})
    shown = json.loads(body)
    assert response.status == 201
    assert shown["headers"]["x-id"] == "7"
    assert (shown["method"], shown["path"], shown["query"], shown["body"], shown["size"]) == (
        ("PUT", "/", "a=1", "text", 4)
    )


def test_close_delimited_ends_with_the_connection(server, client):
    server.route("/", close_delimited("until the end"))
    response, body = get(client)
    assert body == b"until the end"
    assert response.headers["Content-Length"] is None


@pytest.mark.parametrize("with_reset", [False, True])
def test_connection_that_dies_right_after_the_answer(server, with_reset):
    server.route("/", dies_while_idle(reply(200, body="ok"), with_reset=with_reset))
    with raw(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        if with_reset:
            with pytest.raises(ConnectionResetError):
                read_all(sock)
        else:
            assert read_all(sock).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    ("with_reset", "error"),
    [(False, http.client.RemoteDisconnected), (True, ConnectionResetError)],
)
def test_connection_that_dies_when_it_is_used_again(server, client, with_reset, error):
    server.route("/", dies_while_idle(when="next", with_reset=with_reset), reply(200, body="new"))
    response, _ = get(client)
    assert response.status == 200
    assert response.headers["Connection"] is None
    with pytest.raises(error):
        get(client, "/", "POST", body=b"again")
    client.close()
    assert get(client)[1] == b"new"
    # The request that died is on record, and took no reply from the script.
    assert [received.method for received in server.requests] == ["GET", "POST", "GET"]
    assert [received.connection for received in server.requests] == [1, 1, 2]


def test_gzip_is_compressed_once(server, client):
    server.route("/", gzip("text " * 1000))
    response, body = get(client)
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip_module.decompress(body) == b"text " * 1000
    assert len(body) < 1000
    assert gzip("a") == gzip("a")


def test_slow_body_is_complete(server, client):
    server.route("/", slow_body([b"one", b"", b"two"], interval=0.001))
    response, body = get(client)
    assert (response.headers["Transfer-Encoding"], body) == ("chunked", b"onetwo")


def test_garbage_is_sent_as_it_is(server, client):
    server.route("/", garbage(b"SSH-2.0\r\n"))
    assert ask(server, get_closing("/")) == b"SSH-2.0\r\n"
    with pytest.raises(http.client.BadStatusLine):
        get(client)


@pytest.mark.parametrize("size", [0, 1, 65536, 200_001])
def test_sized_sends_that_many_bytes(server, client, size):
    server.route("/", sized(size))
    assert len(get(client)[1]) == size
    assert get(client)[0].status == 200
    assert max((len(piece) for piece in sized(10**7).body), default=0) == 65536


def test_replies_can_be_played_on_many_connections(server):
    server.route("/", slow_body([b"a"] * 5, interval=0.0001))
    answers = {ask(server, get_closing("/")) for _ in range(3)}
    assert len(answers) == 1


# -- origins without a server -------------------------------------------------------------------


def test_dead_origin_refuses():
    with dead_origin() as origin:
        port = urlsplit(origin).port
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=SAFETY)


def test_blackhole_takes_a_request_and_says_nothing():
    with blackhole() as origin:
        sock = socket.create_connection(("127.0.0.1", urlsplit(origin).port), timeout=SAFETY)
        with closing(sock):
            sock.sendall(get_closing("/"))
            sock.settimeout(0.01)
            with pytest.raises(socket.timeout):
                sock.recv(1)


# -- life ---------------------------------------------------------------------------------------


def test_server_that_does_not_run_says_so():
    server = FaultServer()
    assert repr(server) == "<FaultServer not running>"
    with pytest.raises(RuntimeError, match="not running"):
        server.url("/")
    server.close()


def test_starting_twice_is_refused(server):
    with pytest.raises(RuntimeError, match="is running"):
        server.start()
    assert repr(server) == f"<FaultServer {server.origin}>"
    assert server.url("x") == server.url("/x") == f"http://127.0.0.1:{server.port}/x"


def test_closed_server_can_be_closed_and_started_again():
    server = FaultServer().start()
    server.route("/", reply(200, body="still here"))
    port = server.port
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=SAFETY)
    with server:
        assert ask(server, get_closing("/")).endswith(b"still here")


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, delay=600),
        drip(interval=600),
        slow_body([b"a", b"b"], interval=600),
        sized(10**12),
    ],
    ids=repr,
)
def test_close_ends_replies_under_way(answer):
    before = set(threading.enumerate())
    with FaultServer() as server:
        arrived = threading.Event()
        server.route("/", lambda received: arrived.set() or answer)
        sock = raw(server)
        sock.sendall(get_closing("/"))
        assert arrived.wait(SAFETY)
    sock.close()
    assert set(threading.enumerate()) <= before


def test_close_ends_idle_and_half_sent_connections():
    before = set(threading.enumerate())
    with FaultServer() as server:
        idle, half = raw(server), raw(server)
        for sock in (idle, half):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 404")
        half.sendall(b"GET / HT")
        assert server.open_connections == 2
    for sock in (idle, half):
        assert read_all(sock) == b""
        sock.close()
    assert set(threading.enumerate()) <= before


def test_callable_may_close_its_own_server():
    server = FaultServer().start()
    server.route("/", lambda received: server.close() or reply(200))
    with raw(server) as sock:
        sock.sendall(get_closing("/"))
        read_all(sock)
    assert server.errors == ()
    assert repr(server) == "<FaultServer not running>"


def test_client_that_resets_leaves_the_server_well(server, client):
    for _ in range(5):
        sock = raw(server)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(b"GET /")
        sock.close()
    assert get(client)[0].status == 404


# -- TLS ----------------------------------------------------------------------------------------


def anonymous_context(side):
    """TLS without a certificate, so that the tests need no key."""
    context = ssl.SSLContext(side)
    if side == ssl.PROTOCOL_TLS_CLIENT:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH:ADH:@SECLEVEL=0")
    return context


def test_serves_tls():
    with FaultServer(ssl_context=anonymous_context(ssl.PROTOCOL_TLS_SERVER)) as server:
        assert server.url("/x") == f"https://127.0.0.1:{server.port}/x"
        server.route("/", reply(200, body="safe"), close_delimited("and sound"), reset())
        context = anonymous_context(ssl.PROTOCOL_TLS_CLIENT)
        client = http.client.HTTPSConnection(
            server.host, server.port, context=context, timeout=SAFETY
        )
        with closing(client):
            assert get(client)[1] == b"safe"
            assert get(client)[1] == b"and sound"
            with pytest.raises(ConnectionResetError):
                get(client)


def test_failed_and_unfinished_handshakes_leave_the_server_well():
    context = anonymous_context(ssl.PROTOCOL_TLS_CLIENT)
    before = set(threading.enumerate())
    server = FaultServer(ssl_context=anonymous_context(ssl.PROTOCOL_TLS_SERVER)).start()
    with server, raw(server) as plain, raw(server) as silent:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client = http.client.HTTPSConnection(
            server.host, server.port, context=context, timeout=SAFETY
        )
        with closing(client):
            assert get(client)[0].status == 404
        server.close()
        assert silent.recv(1) == b""
    assert set(threading.enumerate()) <= before


def test_endings_and_replies_are_values():
    assert reply(200, body="a") == reply(200, body="a")
    assert reply(200, body="a") != reply(200, body="b")
    assert isinstance(disconnect(), Reply)
    assert disconnect().ending is Ending.CLOSE
