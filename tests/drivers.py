"""One way to call both managers, so that one test can demand the same of both.

A ``Driver`` stands for a world (requests, httpx on asyncio, httpx on trio, httpx over aiohttp). It
makes a ``Face``, which has the calls of a manager as plain blocking methods; on the async side they
run on an event loop in a thread of its own.
"""

from __future__ import annotations

import importlib
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version

import anyio
import anyio.from_thread
import httpx
import requests

from requests_connection_manager import (
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
    RetryScheduled,
    RetrySuppressed,
)
from requests_connection_manager.async_manager import AsyncConnectionManager

# Before 4.6 anyio loses the socket when it is cancelled while it connects; so does bare httpx then.
ANYIO_LOSES_SOCKETS = tuple(map(int, version("anyio").split(".")[:2])) < (4, 6)

LIBRARY_DRIVERS = ("sync", "asyncio", "trio")
"""The worlds whose transports are those of requests and httpx."""

DRIVERS = (*LIBRARY_DRIVERS, "aiohttp")

BACKENDS = {"aiohttp": "asyncio"}
"""The event loop of a world that has another name."""

# Loading the CA bundle takes longer than most tests.
_CONTEXT = ssl.create_default_context()


class RequestsErrors:
    base = requests.RequestException
    connect = requests.ConnectionError
    connect_timeout = requests.ConnectTimeout
    read_timeout = requests.ReadTimeout
    timeout = requests.Timeout
    broken = requests.ConnectionError
    truncated = requests.exceptions.ChunkedEncodingError
    consumed = requests.exceptions.UnrewindableBodyError
    status = requests.HTTPError
    untrusted = requests.exceptions.SSLError


class HttpxErrors:
    base = httpx.HTTPError
    connect = httpx.ConnectError
    connect_timeout = httpx.ConnectTimeout
    read_timeout = httpx.ReadTimeout
    timeout = httpx.TimeoutException
    broken = (httpx.ReadError, httpx.RemoteProtocolError)
    truncated = httpx.RemoteProtocolError
    consumed = httpx.StreamConsumed
    status = httpx.HTTPStatusError
    untrusted = httpx.ConnectError


# What is compared of an event; the rest is its scope, its URL, or the library's own.
_SHOWN = {
    AttemptStarted: ("number",),
    AttemptFinished: ("number", "status", "failed", "waited"),
    RetryScheduled: ("number", "delay"),
    RetrySuppressed: ("number", "reason"),
    ConnectionReplaced: (),
    BreakerStateChanged: ("old", "new"),
    BreakerRefused: ("retry_after",),
    LimiterWaited: ("seconds",),
    LimiterRefused: ("retry_after",),
    CallFailed: (),
    CallStarted: (),
    CallFinished: ("status", "attempts"),
}


def shown(event):
    """Return what must be equal in all worlds of an event."""
    return (type(event).__name__, *(getattr(event, name) for name in _SHOWN[type(event)]))


class Face:
    """A manager of either kind, with blocking calls; anything else is the manager's own."""

    def __init__(self, manager):
        self.manager = manager
        self.seen = []
        manager.add_listener(self.seen.append)

    def __getattr__(self, name):
        return getattr(self.manager, name)

    @property
    def within(self):
        """All events that happened within calls."""
        return [one for one in self.seen if not isinstance(one, (CallStarted, CallFinished))]

    @property
    def events(self):
        return [shown(event) for event in self.within]

    def happened(self, *kinds):
        """Return the shown events of these kinds, in order."""
        return [shown(event) for event in self.seen if isinstance(event, kinds)]

    def get(self, url, **kwargs):
        return self.request("GET", url, **kwargs)

    def put(self, url, **kwargs):
        return self.request("PUT", url, **kwargs)

    def post(self, url, **kwargs):
        return self.request("POST", url, **kwargs)

    def state(self, scope=None):
        """Return the breaker's state, of one scope or of the worst."""
        stats = self.manager.get_stats()
        return (stats if scope is None else stats["scopes"][scope])["circuit_breaker_state"]


class SyncFace(Face):
    def request(self, method, url, body=None, **kwargs):
        if body is not None:
            kwargs["data"] = body
        return self.manager.request(method, url, **kwargs)

    def send_prepared(self, method, url, headers=None, **kwargs):
        prepared = self.manager.prepare_request(requests.Request(method, url, headers=headers))
        return self.manager.send(prepared, **kwargs)

    def read_stream(self, url, how="bytes", **kwargs):
        """Stream a body and return it whole."""
        with self.manager.get(url, stream=True, **kwargs) as response:
            if how == "lines":
                return b"\n".join(response.iter_lines(chunk_size=1))
            if how == "raw":
                return b"".join(iter(lambda: response.raw.read(4), b""))
            if how == "raw at once":
                return response.raw.read()
            if how == "content":
                return response.content
            return b"".join(response.iter_content(chunk_size=None if how == "chunks" else 4))

    def batch(self, items, **kwargs):
        return self.manager.batch_request(items, **kwargs)

    def together(self, calls):
        """Make calls concurrently; return responses and exceptions in order."""
        results = [None] * len(calls)

        def work(index, method, url, kwargs):
            try:
                results[index] = self.request(method, url, **kwargs)
            except Exception as exc:
                results[index] = exc

        threads = [
            threading.Thread(target=work, args=(index, *call)) for index, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def close(self):
        self.manager.close()


class AsyncFace(Face):
    def __init__(self, manager, portal):
        super().__init__(manager)
        self.portal = portal

    def await_(self, function, *args, **kwargs):
        return self.portal.call(partial(function, *args, **kwargs))

    def request(self, method, url, body=None, **kwargs):
        return self.await_(self._request, method, url, body, **kwargs)

    async def _request(self, method, url, body=None, allow_redirects=None, **kwargs):
        if body is not None:
            kwargs["content"] = body
        if allow_redirects is not None:
            kwargs["follow_redirects"] = allow_redirects
        return await self.manager.request(method, url, **kwargs)

    def send_prepared(self, method, url, headers=None, **kwargs):
        request = self.manager.build_request(method, url, headers=headers)
        return self.await_(self.manager.send, request, **kwargs)

    def read_stream(self, url, how="bytes", **kwargs):
        async def read():
            async with self.manager.stream("GET", url, **kwargs) as response:
                if how == "lines":
                    return "\n".join([line async for line in response.aiter_lines()]).encode()
                if how.startswith("raw"):
                    return b"".join([chunk async for chunk in response.aiter_raw()])
                if how == "content":
                    return await response.aread()
                return b"".join([chunk async for chunk in response.aiter_bytes()])

        return self.await_(read)

    def batch(self, items, **kwargs):
        return self.await_(self.manager.batch_request, items, **kwargs)

    def together(self, calls):
        results = [None] * len(calls)

        async def work(index, method, url, kwargs):
            try:
                results[index] = await self._request(method, url, **kwargs)
            except Exception as exc:
                results[index] = exc

        async def main():
            async with anyio.create_task_group() as group:
                for index, call in enumerate(calls):
                    group.start_soon(work, index, *call)

        self.await_(main)
        return results

    def close(self):
        self.await_(self.manager.aclose)


class Driver:
    """Makes faces, and closes them at the end."""

    def __init__(self, name, stack):
        self.name = name
        self.is_sync = name == "sync"
        self.errors = RequestsErrors if self.is_sync else HttpxErrors
        self._stack = stack
        self._portal = None
        if name == "aiohttp":
            # Now: loading it can take longer than a test has time for.
            importlib.import_module("requests_connection_manager.connections.aiohttp_transport")

    def __repr__(self):
        return f"<Driver {self.name}>"

    @property
    def portal(self):
        if self._portal is None:
            self._portal = self._stack.enter_context(
                anyio.from_thread.start_blocking_portal(BACKENDS.get(self.name, self.name))
            )
        return self._portal

    def manager(self, **settings):
        """Return the face of a new manager; jitter is off unless it is asked for."""
        settings.setdefault("backoff_jitter", 0)
        if self.is_sync:
            face = SyncFace(ConnectionManager(**settings))
        else:
            settings.setdefault("follow_redirects", True)
            if not settings.keys() & {"verify", "cert", "ssl_context"}:
                settings["verify"] = _CONTEXT
            if self.name == "aiohttp" and settings.get("transport") is None:
                settings["http_backend"] = "aiohttp"
            face = AsyncFace(AsyncConnectionManager(**settings), self.portal)
        self._stack.callback(face.close)
        return face

    def one_shot_body(self, *pieces):
        """Return a body that can be read once."""
        if self.is_sync:
            return iter(pieces)

        async def generate():
            for piece in pieces:
                yield piece

        return generate()

    def response(self, status, text=""):
        """Return a response of the library that came from nowhere, for fallbacks."""
        if not self.is_sync:
            return httpx.Response(status, text=text)
        response = requests.Response()
        response.status_code = status
        response._content = text.encode()
        return response


@contextmanager
def driver_for(name):
    with ExitStack() as stack:
        yield Driver(name, stack)


@contextmanager
def within(seconds):
    """Fail when the block takes longer: an upper bound of real time, generous on purpose."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.2f} s, not less than {seconds} s"


def wait_until(condition, seconds=5.0):
    """Wait for something that happens in another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
