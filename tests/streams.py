"""Streams of both worlds as plain iterators, and servers that send them as one wants.

``stepped`` gives the stream of a client as a blocking iterator and context manager; on the async
side each step runs on the event loop of the driver. ``streamed`` makes replies.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from functools import partial

from drivers import _CONTEXT, DRIVERS, AsyncFace, Driver, HttpxErrors, SyncFace

from requests_connection_manager.httpx_client import PipelineClient
from requests_connection_manager.testing import Ending, Reply

EVENTS = {"Content-Type": "text/event-stream"}


WORLDS = (*DRIVERS, "httpx sync")


class HttpxDriver(Driver):
    """Makes faces of a synchronous httpx client."""

    def __init__(self, stack):
        super().__init__("sync", stack)
        self.errors = HttpxErrors

    def manager(self, **settings):
        defaults = {"backoff_jitter": 0, "follow_redirects": True, "verify": _CONTEXT}
        face = SyncFace(PipelineClient(**{**defaults, **settings}))
        self._stack.callback(face.close)
        return face


@contextmanager
def world(name):
    with ExitStack() as stack:
        yield HttpxDriver(stack) if name == "httpx sync" else Driver(name, stack)


class Steps:
    """A stream as a blocking iterator and context manager; all else is the stream's own."""

    def __init__(self, stream, run):
        self.stream = stream
        self.run = run

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.run(self.stream.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self):
        self.run(self.stream.__aenter__)
        return self

    def __exit__(self, *error):
        self.run(self.stream.__aexit__, *error)

    def close(self):
        self.run(self.stream.aclose)


def stepped(face, kind, url, **options):
    """Return ``events(...)`` or ``json_lines(...)`` of a client as a blocking stream."""
    stream = getattr(face.manager, kind)(url, **options)
    if not isinstance(face, AsyncFace):
        return stream

    async def call(function, *args):
        try:
            return await function(*args)
        except StopAsyncIteration:
            return StopAsyncIteration

    def run(function, *args):
        result = face.portal.call(partial(call, function, *args))
        if result is StopAsyncIteration:
            raise StopAsyncIteration
        return result

    return Steps(stream, run)


def until_broken(stream, kind):
    """Return what comes before the stream fails, and the error; nothing comes after it."""
    seen = []
    try:
        with stream:
            for value in stream:
                seen.append(value)  # noqa: PERF402  # an error must leave those before it
    except kind as error:
        assert next(stream, None) is None, "it goes on after an error"
        return seen, error
    raise AssertionError(f"it did not fail, after {seen}")


def streamed(*pieces, framing="chunked", ending=Ending.KEEP, headers=EVENTS, length=None):
    """Return a reply that sends its body in these pieces; a float is a pause, an Event a gate.

    :param framing: ``"chunked"``, ``"close"`` (the body ends with the connection) or ``"length"``.
    :param ending: ``Ending.KEEP`` ends the body well; all others break it off after the pieces.
    :param length: the length that is promised.
    """
    fields = dict(headers)
    if framing == "chunked":
        fields["Transfer-Encoding"] = "chunked"
    elif framing == "length":
        sizes = [len(piece) for piece in pieces if isinstance(piece, bytes)]
        fields["Content-Length"] = str(sum(sizes) if length is None else length)
    else:
        fields["Connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    if framing == "close" and ending is Ending.KEEP:
        ending = Ending.CLOSE
    body = _Body(pieces, framing == "chunked", ending is Ending.KEEP)
    return Reply("stream", (f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(),), body, ending)


class _Body:
    def __init__(self, pieces, chunked, complete):
        self.pieces, self.chunked, self.complete = pieces, chunked, complete

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, threading.Event):
                yield 0.001  # what is to be sent goes out before a pause
                piece.wait(10)
            elif self.chunked and isinstance(piece, bytes):
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
            else:
                yield piece
        if self.chunked and self.complete:
            yield b"0\r\n\r\n"


def cut(body, size):
    """Return the body in pieces of this size."""
    return [body[at : at + size] for at in range(0, len(body), size)]
