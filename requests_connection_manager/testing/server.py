"""A real HTTP/1.1 server on a loopback port that answers as it is told to.

Holds ``FaultServer``, and the two origins that need no server: ``dead_origin`` and ``blackhole``.
It plays the replies of ``replies`` over raw sockets, one thread per connection, because no HTTP
library would agree to send what is wrong. Must not know what the replies mean, nor who is tested.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import Counter, deque
from contextlib import contextmanager, suppress
from itertools import chain, count
from typing import (
    TYPE_CHECKING,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Tuple,
    cast,
)
from urllib.parse import urlsplit

from .replies import Action, Answer, Ending, Headers, Received, Reply, reply

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Type

__all__ = ["FaultServer", "blackhole", "dead_origin"]

_HOST = "127.0.0.1"
_HEAD_LIMIT = 65536
_READ = 65536
_JOIN_SECONDS = 5.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOT_FOUND = reply(404, json={"error": "not found"})
_CLOSE = {"Connection": "close"}
_RESETS = (Ending.RESET, Ending.RESET_ON_NEXT)
_ON_NEXT = (Ending.CLOSE_ON_NEXT, Ending.RESET_ON_NEXT)
# SO_LINGER with zero seconds makes close() send RST; its struct has shorts on Windows.
_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class _Malformed(Exception):
    """The client sent what is not a request; carries the reply to that."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply(status, json={"error": reason}, headers=_CLOSE)


class _Stopped(Exception):
    """The server is being closed while a reply is under way."""


class _Body:
    """Takes in a body: counts all of it, keeps it only up to the limit."""

    __slots__ = ("limit", "pieces", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.pieces: List[bytes] = []

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= self.limit:
            self.pieces.append(piece)
        else:
            self.pieces.clear()


def _number(text: str, base: int) -> int:
    # int() would also take signs, blanks and underscores.
    digits = "0123456789abcdef"[:base]
    if not text or any(char not in digits for char in text.lower()):
        raise _Malformed(400, "a length is not a number")
    return int(text, base)


def _split_head(head: str) -> Tuple[str, str, str, Headers]:
    request_line, *lines = head.split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _Malformed(400, "the request line is not HTTP/1")
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise _Malformed(400, "a header field has no name")
        pairs.append((name, value.strip(" \t")))
    return words[0], words[1], words[2], Headers(pairs)


def _split_target(target: str) -> Tuple[str, str]:
    """Return path and query, of a whole URL (RFC 9112, 3.2.2) too."""
    if not target.startswith("/") and "://" in target:
        try:
            parts = urlsplit(target)
        except ValueError:
            raise _Malformed(400, "the request target is not a URL") from None
        return parts.path or "/", parts.query
    path, _, query = target.partition("?")
    return path, query


def _is_last(received: Received) -> bool:
    wish = received.headers.get("connection", "").lower()
    return "close" in wish or (received.version == "HTTP/1.0" and "keep-alive" not in wish)


class _Connection:
    """One accepted socket: reads requests and writes replies. Used by one thread."""

    def __init__(self, sock: socket.socket, number: int, body_limit: int, tls: bool) -> None:
        self._sock = sock
        self._number = number
        self._body_limit = body_limit
        self._tls = tls
        self._requests = 0
        self._buffer = b""

    def handshake(self) -> None:
        if self._tls:
            cast("ssl.SSLSocket", self._sock).do_handshake()

    def receive(self) -> Optional[Received]:
        """Return the next request, or None when the client has closed before its end."""
        try:
            head = self._read_until(b"\r\n\r\n", _HEAD_LIMIT)
            method, target, version, headers = _split_head(head.decode("latin-1").lstrip("\r\n"))
            body = self._read_body(headers)
        except EOFError:
            return None
        self._requests += 1
        path, query = _split_target(target)
        return Received(
            method=method,
            path=path,
            query=query,
            headers=headers,
            body=b"".join(body.pieces),
            size=body.size,
            connection=self._number,
            number=self._requests,
            target=target,
            version=version,
        )

    def play(self, actions: Iterable[Action], pause: Callable[[float], None]) -> None:
        """Send the bytes and make the pauses; bytes that follow each other go out as one."""
        pending: List[bytes] = []
        size = 0
        for action in actions:
            if isinstance(action, bytes):
                pending.append(action)
                size += len(action)
                if size < _READ:
                    continue
            self._sock.sendall(b"".join(pending))
            pending, size = [], 0
            if not isinstance(action, bytes):
                pause(action)
        if size:
            self._sock.sendall(b"".join(pending))

    def abort(self) -> None:
        """Wake the thread that reads or writes here; called from another one."""
        # Not SSLSocket's own shutdown: it would pull the TLS layer from under that thread.
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self, *, by_reset: bool) -> None:
        with suppress(OSError, ValueError):
            if by_reset:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            elif self._tls:
                # Says goodbye (close_notify) without waiting for the client to do the same.
                self._sock.settimeout(0)
                cast("ssl.SSLSocket", self._sock).unwrap()
        self._sock.close()

    def _read_body(self, headers: Headers) -> _Body:
        body = _Body(self._body_limit)
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        declared = headers.get("content-length")
        length = 0 if chunked or declared is None else _number(declared, 10)
        if not chunked and not length:
            return body
        if headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(_CONTINUE)
        if chunked:
            self._read_chunks(body)
        else:
            self._read_exactly(length, body)
        return body

    def _read_chunks(self, body: _Body) -> None:
        while True:
            line = self._read_until(b"\r\n", _HEAD_LIMIT).decode("latin-1")
            size = _number(line.partition(";")[0].strip(" \t"), 16)
            if not size:
                break
            self._read_exactly(size, body)
            if self._read_until(b"\r\n", _HEAD_LIMIT):
                raise _Malformed(400, "a chunk is longer than it says")
        while self._read_until(b"\r\n", _HEAD_LIMIT):
            pass  # trailer fields

    def _read_until(self, mark: bytes, limit: int) -> bytes:
        while True:
            found, _, rest = self._buffer.partition(mark)
            if len(found) < len(self._buffer):
                self._buffer = rest
                return found
            if len(self._buffer) > limit:
                raise _Malformed(431, "the head is too large")
            self._buffer += self._read(_READ)

    def _read_exactly(self, size: int, body: _Body) -> None:
        while size:
            if not self._buffer:
                self._buffer = self._read(min(size, _READ))
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            body.add(piece)

    def _read(self, size: int) -> bytes:
        data = self._sock.recv(size)
        if not data:
            raise EOFError
        return data


class _Route:
    """Serves its answers in turn; the last one repeats. Used under the server's lock."""

    __slots__ = ("_answers", "_next")

    def __init__(self, answers: Tuple[Answer, ...]) -> None:
        self._answers = answers
        self._next = 0

    def take(self) -> Answer:
        answer = self._answers[self._next]
        self._next = min(self._next + 1, len(self._answers) - 1)
        return answer


class FaultServer:
    """A loopback HTTP/1.1 server that follows a script per path and records what it is sent.

    It listens on a free port of 127.0.0.1 from ``start`` (or ``with``) to ``close``, which ends
    every connection and thread, replies under way included. A path without a route is answered
    with 404. Requests may come with Content-Length or chunked, keep-alive, pipelined, with
    ``Expect: 100-continue``, or with a whole URL as target, as a proxy is sent them.

    Args:
        ssl_context: a server-side ``ssl.SSLContext`` to speak TLS with (default None: plain).
        body_limit: bytes up to which a request body is kept (default 1 MiB); of a larger one
            only ``Received.size`` is.
        keep: how many of the latest requests ``requests`` holds (default 10,000).
        max_connections: connections open at a time (default 1,000); more are closed at once.

    Raises:
        ValueError: a limit is negative, or ``max_connections`` is 0.

    Safe to use from any number of threads.

    >>> import http.client
    >>> with FaultServer() as server:
    ...     server.route("/flaky", reply(503), reply(200, json={"id": 1}))
    ...     client = http.client.HTTPConnection(server.host, server.port)
    ...     for attempt in range(2):
    ...         client.request("GET", "/flaky")
    ...         response = client.getresponse()
    ...         print(response.status, response.read())
    ...     client.close()
    ...     server.count("/flaky"), server.connections
    503 b''
    200 b'{"id": 1}'
    (2, 1)
    """

    def __init__(
        self,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        body_limit: int = 1024 * 1024,
        keep: int = 10_000,
        max_connections: int = 1000,
    ) -> None:
        if body_limit < 0 or keep < 0 or max_connections < 1:
            raise ValueError("body_limit and keep must be >= 0, max_connections >= 1")
        self._ssl_context = ssl_context
        self._body_limit = body_limit
        self._max_connections = max_connections
        self._routes: Dict[str, _Route] = {}
        self._requests: Deque[Received] = deque(maxlen=keep)
        self._counts: Counter[str] = Counter()
        self._errors: List[BaseException] = []
        self._accepted = 0
        self._numbers = count(1)
        self._live: Dict[_Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener: Optional[socket.socket] = None
        self._acceptor: Optional[threading.Thread] = None

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> FaultServer:
        """Begin to listen and return the server itself.

        A closed server may be started again: on a new port, with its routes and records.

        Raises:
            RuntimeError: it is running.

        >>> server = FaultServer().start()
        >>> server.origin == f"http://127.0.0.1:{server.port}"
        True
        >>> server.close()
        """
        if self._listener is not None:
            raise RuntimeError("the server is running")
        self._closing.clear()
        self._listener = _bound_socket()
        self._listener.listen(1024)
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), name=f"{self!r} accept", daemon=True
        )
        self._acceptor.start()
        return self

    def close(self) -> None:
        """Stop listening, end all connections and wait for their threads. May be repeated.

        Raises:
            RuntimeError: a callable of a route has not returned within 5 seconds.
        """
        listener, acceptor = self._listener, self._acceptor
        if listener is None or acceptor is None:
            return
        self._closing.set()
        # Closing a socket does not wake the thread in accept(): shutdown does on Linux, where it
        # then refuses the connection that wakes it elsewhere.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            socket.create_connection((_HOST, self.port), timeout=1).close()
        acceptor.join(_JOIN_SECONDS)
        listener.close()
        self._listener = self._acceptor = None
        self._end_connections()

    def _end_connections(self) -> None:
        with self._lock:
            threads = list(self._live.values())
            for connection in self._live:
                connection.abort()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)
        stuck = sum(thread.is_alive() for thread in threads)
        if stuck and threading.current_thread() not in threads:
            raise RuntimeError(f"{stuck} connections are still held by a callable of a route")

    def __enter__(self) -> FaultServer:
        return self if self._listener is not None else self.start()

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<FaultServer {self.origin if self._listener is not None else 'not running'}>"

    # -- where it is ---------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The address it listens on, ``"127.0.0.1"``."""
        return _HOST

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            RuntimeError: it is not running.
        """
        if self._listener is None:
            raise RuntimeError("the server is not running: call start() or use it in a with")
        return cast(int, self._listener.getsockname()[1])

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as ``"http://127.0.0.1:40123"``."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{_HOST}:{self.port}"

    def url(self, path: str = "/") -> str:
        """Return the whole URL of ``path``, which may have a query.

        >>> with FaultServer() as server:
        ...     server.url("/a?b=1") == server.origin + "/a?b=1"
        True
        """
        return self.origin + (path if path.startswith("/") else f"/{path}")

    # -- what it answers -----------------------------------------------------------------------

    def route(self, path: str, *replies: Answer) -> None:
        """Answer requests for ``path``, of any method and query, with ``replies`` in turn.

        Args:
            path: as it is sent: percent-encoded, without a query.
            replies: replies, or functions from ``Received`` to a ``Reply``, run on the
                connection's thread. The last one repeats. They replace what the path had.

        Raises:
            TypeError: a reply is neither.
            ValueError: there is no reply, or ``path`` does not begin with ``/`` or has a query.

        >>> with FaultServer() as server:
        ...     server.route("/users", lambda received: reply(200, body=received.query))
        """
        if not path.startswith("/") or "?" in path:
            raise ValueError(f"path must begin with '/' and have no query: {path!r}")
        if not replies:
            raise ValueError("a route needs at least one reply")
        for answer in replies:
            if not isinstance(answer, Reply) and not callable(answer):
                raise TypeError(f"a reply must be a Reply or a callable, not {answer!r}")
        with self._lock:
            self._routes[path] = _Route(replies)

    # -- what it has seen ----------------------------------------------------------------------

    @property
    def requests(self) -> Tuple[Received, ...]:
        """The latest requests, oldest first: each that arrived complete, answered or not."""
        with self._lock:
            return tuple(self._requests)

    def count(self, path: Optional[str] = None) -> int:
        """Return how many requests ``path`` has had, or all paths together without one.

        >>> with FaultServer() as server:
        ...     server.count("/users"), server.count()
        (0, 0)
        """
        with self._lock:
            return sum(self._counts.values()) if path is None else self._counts[path]

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        with self._lock:
            return self._accepted

    @property
    def open_connections(self) -> int:
        """How many connections are open now, as far as the server has noticed."""
        with self._lock:
            return len(self._live)

    @property
    def errors(self) -> Tuple[BaseException, ...]:
        """What callables of routes raised; their requests were answered with 500."""
        with self._lock:
            return tuple(self._errors)

    def clear(self) -> None:
        """Forget what was seen and count from 0 again. Routes stay where they are."""
        with self._lock:
            self._requests.clear()
            self._counts.clear()
            self._errors.clear()
            self._accepted = 0

    # -- threads -------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                # Out of file descriptors, or reset before it was accepted: neither is the end.
                self._closing.wait(0.01)
                continue
            if self._closing.is_set():
                sock.close()
            else:
                self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        with self._lock:
            self._accepted += 1
            full = len(self._live) >= self._max_connections
        try:
            if full:
                raise ConnectionAbortedError
            # A default timeout set by the tests is not meant for the server.
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                sock = self._ssl_context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
        except OSError:
            sock.close()
            return
        self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        tls = self._ssl_context is not None
        connection = _Connection(sock, next(self._numbers), self._body_limit, tls)
        name = f"fault server connection {sock.fileno()}"
        thread = threading.Thread(target=self._serve, args=(connection,), name=name, daemon=True)
        with self._lock:
            self._live[connection] = thread
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            with self._lock:
                del self._live[connection]
            connection.close(by_reset=True)

    def _serve(self, connection: _Connection) -> None:
        ending = Ending.CLOSE
        try:
            connection.handshake()
            ending = self._converse(connection)
        except _Malformed as malformed:
            with suppress(OSError):
                connection.play((*malformed.reply.head, *malformed.reply.body), self._pause)
        except (OSError, _Stopped):
            pass  # the client has gone, or the server is closing
        finally:
            # Under the lock, so that close() never shuts down a number that was given out anew.
            with self._lock:
                connection.close(by_reset=ending in _RESETS)
                del self._live[connection]

    def _converse(self, connection: _Connection) -> Ending:
        """Answer requests until the connection has to end, and return how."""
        while True:
            received = connection.receive()
            if received is None:
                return Ending.CLOSE
            answer = self._answer(received)
            if answer.delay:
                self._pause(answer.delay)
            body = () if received.method == "HEAD" else answer.body
            connection.play(chain(answer.head, body), self._pause)
            if answer.ending in _ON_NEXT:
                return self._await_next(connection, answer.ending)
            if answer.ending is not Ending.KEEP:
                return answer.ending
            if _is_last(received):
                return Ending.CLOSE

    def _await_next(self, connection: _Connection, ending: Ending) -> Ending:
        received = connection.receive()
        if received is not None:
            with self._lock:
                self._record(received)
        return ending

    def _answer(self, received: Received) -> Reply:
        with self._lock:
            self._record(received)
            route = self._routes.get(received.path)
            answer = _NOT_FOUND if route is None else route.take()
        return answer if isinstance(answer, Reply) else self._ask(answer, received)

    def _ask(self, answer: Callable[[Received], Reply], received: Received) -> Reply:
        try:
            made = answer(received)
            if not isinstance(made, Reply):
                raise TypeError(f"a callable of a route returned {type(made).__name__}, no Reply")
        except BaseException as error:  # also what pytest.fail raises: a thread can't pass it on
            with self._lock:
                self._errors.append(error)
            return reply(500, json={"error": f"the route raised {type(error).__name__}"})
        return made

    def _record(self, received: Received) -> None:
        self._requests.append(received)
        self._counts[received.path] += 1

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise _Stopped


def _bound_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(None)
        sock.bind((_HOST, 0))
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def dead_origin() -> Iterator[str]:
    """Give an origin such as ``"http://127.0.0.1:40123"`` that refuses every connection.

    The port is held until the end of the ``with``, so nothing else can come to listen on it.

    >>> import http.client
    >>> with dead_origin() as origin:
    ...     try:
    ...         http.client.HTTPConnection(origin.partition("//")[2]).connect()
    ...     except ConnectionRefusedError:
    ...         print("refused")
    refused
    """
    with _bound_socket() as sock:
        yield f"http://{_HOST}:{sock.getsockname()[1]}"


@contextmanager
def blackhole() -> Iterator[str]:
    """Give an origin that accepts connections and bytes, and never answers one.

    The system accepts them into the queue of a listening socket that nobody reads from; about a
    hundred fit (more on most systems), beyond which connecting hangs too. They are reset at the
    end of the ``with``.

    >>> import socket
    >>> with blackhole() as origin:
    ...     port = int(origin.rpartition(":")[2])
    ...     socket.create_connection(("127.0.0.1", port)).close()
    """
    with _bound_socket() as sock:
        sock.listen(1024)
        yield f"http://{_HOST}:{sock.getsockname()[1]}"
