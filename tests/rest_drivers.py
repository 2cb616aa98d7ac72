"""One way to call both REST clients, so that one test can demand the same of both.

A ``RestDriver`` stands for a world (httpx, httpx on asyncio, httpx on trio). It makes a
``RestFace``, which has the calls of a client as plain blocking methods; on the async side they run
on an event loop in a thread of its own. ``Servers`` is a transport that stands for all servers.
"""

from __future__ import annotations

import ssl
import threading
from contextlib import ExitStack, contextmanager
from functools import partial

import anyio
import anyio.from_thread
import httpx
from drivers import Face

from requests_connection_manager.rest import AsyncClient, Client

# Loading the CA bundle takes longer than most tests.
_CONTEXT = ssl.create_default_context()

_TLS = frozenset({"verify", "cert", "ssl_context", "transport"})


class Servers:
    """A transport that answers for every server, and remembers what each was sent.

    Answers are responses (the last one repeats) or functions of the request.
    """

    def __init__(self, *answers):
        self.requests = []
        self._answers = list(answers) or [lambda request: httpx.Response(200, json={"ok": True})]
        self._lock = threading.Lock()
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request):
        with self._lock:
            self.requests.append(request)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            return answer(request)
        if isinstance(answer, BaseException):
            raise answer
        # A response belongs to one request.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def last(self):
        return self.requests[-1]

    @property
    def urls(self):
        return [str(request.url) for request in self.requests]

    def sent_to(self, host):
        """Return all that the requests to a host had in their URLs and headers, as one text."""
        return "\n".join(
            f"{request.method} {request.url} {request.headers.raw}"
            for request in self.requests
            if request.url.host == host
        )


class RestFace(Face):
    """A REST client of either kind, with blocking calls; anything else is the client's own."""

    def __init__(self, client, driver):
        super().__init__(client)
        self.client = client
        self.driver = driver

    def request(self, method, url, **kwargs):
        return self.await_(self.client.request, method, url, **kwargs)

    def patch(self, url, **kwargs):
        return self.await_(self.client.patch, url, **kwargs)

    def delete(self, url, **kwargs):
        return self.await_(self.client.delete, url, **kwargs)

    def head(self, url, **kwargs):
        return self.await_(self.client.head, url, **kwargs)

    def options(self, url, **kwargs):
        return self.await_(self.client.options, url, **kwargs)

    def send(self, request, **kwargs):
        return self.await_(self.client.send, request, **kwargs)

    def batch(self, items, **kwargs):
        return self.await_(self.client.batch_request, items, **kwargs)

    def with_options(self, **options):
        return type(self)(self.client.with_options(**options), self.driver)


class SyncRestFace(RestFace):
    def await_(self, function, *args, **kwargs):
        return function(*args, **kwargs)

    @contextmanager
    def stream(self, method, url, how="bytes", **kwargs):
        """Open a stream; yield the response and a function that reads the body whole."""
        with self.client.stream(method, url, **kwargs) as response:
            iterate = {
                "bytes": lambda: b"".join(response.iter_bytes(4)),
                "text": lambda: "".join(response.iter_text(4)),
                "lines": lambda: list(response.iter_lines()),
                "raw": lambda: b"".join(response.iter_raw()),
                "read": response.read,
            }
            yield response, iterate[how]

    def together(self, calls):
        """Make calls concurrently; return responses and exceptions in order."""
        results = [None] * len(calls)

        def work(index, method, url, kwargs):
            try:
                results[index] = self.client.request(method, url, **kwargs)
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
        self.client.close()

    @contextmanager
    def entered(self):
        with self.client as client:
            assert client is self.client
            yield self


class AsyncRestFace(RestFace):
    def await_(self, function, *args, **kwargs):
        return self.driver.portal.call(partial(function, *args, **kwargs))

    @contextmanager
    def stream(self, method, url, how="bytes", **kwargs):
        wrapped = self.driver.portal.wrap_async_context_manager(
            self.client.stream(method, url, **kwargs)
        )
        with wrapped as response:

            async def read():
                if how == "read":
                    return await response.aread()
                if how == "bytes":
                    return b"".join([part async for part in response.aiter_bytes(4)])
                if how == "text":
                    return "".join([part async for part in response.aiter_text(4)])
                if how == "lines":
                    return [line async for line in response.aiter_lines()]
                return b"".join([part async for part in response.aiter_raw()])

            yield response, partial(self.driver.portal.call, read)

    def together(self, calls):
        results = [None] * len(calls)

        async def work(index, method, url, kwargs):
            try:
                results[index] = await self.client.request(method, url, **kwargs)
            except Exception as exc:
                results[index] = exc

        async def main():
            async with anyio.create_task_group() as group:
                for index, call in enumerate(calls):
                    group.start_soon(work, index, *call)

        self.await_(main)
        return results

    def close(self):
        self.await_(self.client.aclose)

    @contextmanager
    def entered(self):
        with self.driver.portal.wrap_async_context_manager(self.client) as client:
            assert client is self.client
            yield self


class RestDriver:
    """Makes faces, and closes them at the end."""

    def __init__(self, name, stack):
        self.name = name
        self.is_sync = name == "sync"
        self.kind = Client if self.is_sync else AsyncClient
        self._face = SyncRestFace if self.is_sync else AsyncRestFace
        self._stack = stack
        self._portal = None

    def __repr__(self):
        return f"<RestDriver {self.name}>"

    @property
    def portal(self):
        if self._portal is None:
            self._portal = self._stack.enter_context(
                anyio.from_thread.start_blocking_portal(self.name)
            )
        return self._portal

    def client(self, base_url, *, kind=None, **options):
        """Return the face of a new client; jitter is off unless it is asked for.

        :param kind: a subclass to use.
        """
        options.setdefault("backoff_jitter", 0)
        if not options.keys() & _TLS:
            options["verify"] = _CONTEXT
        return self.face((kind or self.kind)(base_url, **options))

    def face(self, client):
        """Return the face of a client that there is."""
        if not self.is_sync:
            _ = self.portal  # before what is closed on it
        face = self._face(client, self)
        self._stack.callback(face.close)
        return face

    def hook(self, function):
        """Return an httpx event hook, which the async client awaits."""
        if self.is_sync:
            return function

        async def awaited(value):
            return function(value)

        return awaited


@contextmanager
def rest_driver_for(name):
    with ExitStack() as stack:
        yield RestDriver(name, stack)
