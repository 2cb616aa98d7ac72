"""Files on servers that break off, change or lie, and what a download left in a folder.

``Source`` answers as a file server does, by RFC 9110: whole, or in ranges if the version is the
one that was asked for. What goes wrong is queued.
"""

from __future__ import annotations

import os
import re
import threading

from requests_connection_manager.testing import Ending, Reply, reply

CONTENT = bytes(range(256)) * 40
OTHER = bytes(reversed(range(256))) * 40


class Source:
    """A file on a server; a route of a ``FaultServer``.

    :param validators: the headers that name its version.
    :param ranges: whether ranges are honoured.
    """

    def __init__(self, content=CONTENT, validators=None, ranges=True):
        self.content = content
        self.validators = {"ETag": '"v1"'} if validators is None else validators
        self.ranges = ranges
        self.queue = []
        self.asked = []
        self._lock = threading.Lock()

    def next(self, *answers):
        """Queue what is answered instead: a reply, or a function of the request and this file."""
        self.queue.extend(answers)
        return self

    def change(self, content=OTHER, validators=None):
        """Put another version in its place."""
        self.content = content
        self.validators = {"ETag": '"v2"'} if validators is None else validators

    def __call__(self, received):
        headers = received.headers
        with self._lock:
            self.asked.append((headers.get("range"), headers.get("if-range")))
            answer = self.queue.pop(0) if self.queue else None
        if answer is None:
            return self.answer(received)
        return answer if isinstance(answer, Reply) else answer(received, self)

    def first_of(self, received):
        """Return where the range begins that is to be answered; ``None``: the whole is."""
        wanted = received.headers.get("range")
        condition = received.headers.get("if-range")
        if not self.ranges or wanted is None:
            return None
        if condition is not None and condition not in self.validators.values():
            return None
        return int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1))

    def answer(self, received, sent=None, ending=Ending.CLOSE):
        """Answer as it should be; or send so many bytes only, and end the connection."""
        first = self.first_of(received)
        size = len(self.content)
        if first is not None and first >= size:
            return reply(416, headers={"Content-Range": f"bytes */{size}"})
        body = self.content[first or 0 :]
        headers = {**self.validators, "Content-Length": str(len(body))}
        if first is not None:
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        return raw(200 if first is None else 206, headers, body, sent, ending)


def raw(status, headers, body, sent=None, ending=Ending.CLOSE):
    """Return a reply with exactly these headers; ``sent``: so many bytes of the body only."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    whole = sent is None
    return Reply(
        f"{status}",
        (f"HTTP/1.1 {status} Some Reason\r\n{head}\r\n".encode(),),
        (body if whole else body[:sent],),
        Ending.KEEP if whole else ending,
    )


def chunked(status, headers, body):
    """Return a reply whose body comes in one chunk, whatever the headers promise."""
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return raw(status, {**headers, "Transfer-Encoding": "chunked"}, framed)


def cut(sent, ending=Ending.CLOSE):
    """Answer well, but end the connection after so many bytes."""
    return lambda received, source: source.answer(received, sent, ending)


def part(**changes):
    """Answer a range with other headers than it should; ``None`` leaves one out."""

    def answer(received, source):
        right = source.answer(received)
        first, size = source.first_of(received), len(source.content)
        assert first is not None, "there is no range to answer"
        headers = {
            **source.validators,
            "Content-Length": str(size - first),
            "Content-Range": f"bytes {first}-{size - 1}/{size}",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        kept = {name: value for name, value in headers.items() if value is not None}
        return raw(206, kept, next(iter(right.body)))

    return answer


def left_in(folder):
    """Return the names of all that is in a folder, hidden or not."""
    return sorted(os.listdir(folder))
