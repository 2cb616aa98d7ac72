"""Which socket an attempt uses, and how to end it from outside.

Holds urllib3 pools that tell the attempt which connection it got, and the one timer thread that
shuts a socket down when its deadline comes. A socket timeout bounds one ``recv``; a server that
drips a byte at a time outlives it, and only closing the socket under the blocked reader ends that.
Knows urllib3, and of requests only its type of headers. Pools build stock connections, so that
vcrpy keeps seeing them.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import os
import socket
import threading
import time
import weakref
from typing import Any, List, Optional, Tuple

import urllib3
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .._lazy_names import lazy_function
from .._originals import still_own

# Classes of whose request() it is known what it does with the headers.
_STOCK = (HTTPConnection, HTTPSConnection)
_urllib3_opens = still_own(
    urllib3,
    *("HTTPConnectionPool.urlopen", "HTTPConnectionPool._make_request"),
    *("HTTPSConnectionPool.urlopen", "HTTPSConnectionPool._make_request"),
    *("connection.HTTPConnection.request", "connection.HTTPSConnection.request"),
)
_quicken = lazy_function(__package__, "http1", "quicken")

_ATTRIBUTE = "_wire_in_use"

# Held while a socket is shut down and while a connection goes back to its pool, so that a late
# abort never hits a connection that already serves somebody else.
_abort_lock = threading.Lock()


class Wire:
    """The connection of one attempt.

    :ivar reused: the connection had been used before.
    :ivar fired: :meth:`abort` was called; whatever was read since then is not to be trusted.
    :ivar fresh: ask the pool for a connection that was not used before.
    :ivar handshaking: the connection is being made, so nothing of the request was sent.
    :ivar sock: the socket that the body is read from. A connection that is not kept forgets its
        socket as soon as the head of the response is there.
    """

    # Known weakly to its watch: a response that was dropped unread needs no deadline any more.
    __slots__ = (
        "__weakref__",
        "connection",
        "fired",
        "fresh",
        "handshaking",
        "reused",
        "sock",
    )

    def __init__(self) -> None:
        self.connection: Any = None
        self.sock: Any = None
        self.reused = False
        self.fired = False
        self.fresh = False
        self.handshaking = False

    def abort(self) -> bool:
        """End the attempt from another thread; return whether there was a socket to shut."""
        with _abort_lock:
            self.fired = True
            sock = self.sock or getattr(self.connection, "sock", None)
            if sock is None:
                return False
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                # During a TLS handshake the plain socket is an empty shell: try again later.
                return False
            return True

    def end(self) -> None:
        """End the attempt: now, or as soon as the socket that is being made is there."""
        if not self.abort():
            watchdog.watch(self, 0.0)


current_wire: contextvars.ContextVar[Optional[Wire]] = contextvars.ContextVar(
    "requests_connection_manager_wire", default=None
)


class _LearningPool(HTTPConnectionPool):
    """A pool that tells the attempt of this thread which connection it got."""

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        headers = kwargs.get("headers")
        if (
            type(headers) is CaseInsensitiveDict
            and not self.proxy_headers
            and self.ConnectionCls in _STOCK
            and _urllib3_opens()
        ):
            # urllib3 copies the fields and goes through them twice: 5 µs less with a plain dict.
            kwargs["headers"] = dict(headers._store.values())
        return super().urlopen(*args, **kwargs)

    def _new_conn(self) -> Any:
        return _quicken(super()._new_conn())

    def _get_conn(self, timeout: Optional[float] = None) -> Any:
        connection = super()._get_conn(timeout)
        wire = current_wire.get()
        if wire is not None:
            sock = getattr(connection, "sock", None)
            if wire.fresh and sock is not None:
                connection.close()
                sock = None
            wire.reused = sock is not None
            wire.connection = connection
            setattr(connection, _ATTRIBUTE, wire)
            if wire.fired:
                connection.close()
        return connection

    def _validate_conn(self, conn: Any) -> None:
        # This is where TLS and tunnels are set up; plain connections are opened later.
        wire = current_wire.get()
        if wire is not None:
            wire.handshaking = True
        super()._validate_conn(conn)
        if wire is not None:
            wire.handshaking = False

    def _put_conn(self, conn: Any) -> None:
        wire = None if conn is None else conn.__dict__.pop(_ATTRIBUTE, None)
        if wire is not None:
            with _abort_lock:
                wire.connection = wire.sock = None
        super()._put_conn(conn)


class LearningHTTPConnectionPool(_LearningPool):
    """A pool for ``http://``."""


class LearningHTTPSConnectionPool(_LearningPool, HTTPSConnectionPool):
    """A pool for ``https://``."""


# The class name is part of urllib3's error messages, which existing code may compare.
LearningHTTPConnectionPool.__name__ = HTTPConnectionPool.__name__
LearningHTTPSConnectionPool.__name__ = HTTPSConnectionPool.__name__

POOL_CLASSES = {"http": LearningHTTPConnectionPool, "https": LearningHTTPSConnectionPool}


def teach(manager: Any) -> Any:
    """Make a urllib3 ``PoolManager`` or ``ProxyManager`` build learning pools; return it.

    A manager with pools of its own kind (SOCKS) gets subclasses of these.
    """
    manager.pool_classes_by_scheme = {
        scheme: POOL_CLASSES[scheme]
        if pool in (HTTPConnectionPool, HTTPSConnectionPool)
        else type(pool.__name__, (_LearningPool, pool), {})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager


class Watchdog:
    """One daemon thread that aborts wires when their time comes.

    Thread-safe; started at first use, and again in the child after a fork.
    """

    _RETRY_SECONDS = 0.02
    _MANY = 256

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._queue: List[Tuple[float, int, Watch]] = []
        self._numbers = itertools.count()
        self._thread: Optional[threading.Thread] = None
        self._cancelled = 0
        self._pid = os.getpid()

    def watch(self, wire: Wire, seconds: float) -> Watch:
        """Abort ``wire`` in ``seconds``, unless the returned watch is cancelled before."""
        if self._pid != os.getpid():
            self._reset()
        watch = Watch(self, wire)
        with self._condition:
            self._sweep()
            heapq.heappush(self._queue, (time.monotonic() + seconds, next(self._numbers), watch))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="requests-connection-manager-deadlines", daemon=True
                )
                self._thread.start()
            elif self._queue[0][2] is watch:
                self._condition.notify()
        return watch

    def _sweep(self) -> None:
        """Forget cancelled watches once they are the most; most are cancelled long before."""
        if self._cancelled > self._MANY and self._cancelled * 2 > len(self._queue):
            self._queue = [entry for entry in self._queue if not entry[2].cancelled]
            heapq.heapify(self._queue)
            self._cancelled = 0

    def cancelled(self) -> None:
        """Count a cancelled watch."""
        self._cancelled += 1

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue or self._queue[0][0] > time.monotonic():
                    timeout = self._queue[0][0] - time.monotonic() if self._queue else 5.0
                    if not self._condition.wait(timeout) and not self._queue:
                        self._thread = None
                        return
                watch = heapq.heappop(self._queue)[2]
            if not watch.strike():
                with self._condition:
                    due = time.monotonic() + self._RETRY_SECONDS
                    heapq.heappush(self._queue, (due, next(self._numbers), watch))


class Watch:
    """An armed abort."""

    __slots__ = ("_dog", "cancelled", "wire")

    def __init__(self, dog: Watchdog, wire: Wire) -> None:
        self._dog = dog
        self.wire = weakref.ref(wire)
        self.cancelled = False

    def strike(self) -> bool:
        """Abort; return whether nothing is left to do."""
        wire = None if self.cancelled else self.wire()
        return wire is None or wire.abort()

    def cancel(self) -> None:
        """Disarm."""
        if not self.cancelled:
            self.cancelled = True
            self._dog.cancelled()


watchdog = Watchdog()


def _renew_abort_lock() -> None:
    global _abort_lock
    _abort_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Another thread may have held it when the process forked.
    os.register_at_fork(after_in_child=_renew_abort_lock)
