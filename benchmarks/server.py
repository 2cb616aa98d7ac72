"""A small fast HTTP/1.1 server in another process, so that its work is in nobody's figures.

Holds the server (run as a script, it prints its port and ends with its standard input) and
:func:`serving`, which starts it. Knows nothing of the package. Paths::

    /json          70 bytes of JSON, keep-alive; whatever the method and the body
    /head?7        the head of the request, as it came; what follows "/head" is the caller's
    /sleep/50      the same as /json after 50 ms
    /stream/1000   1000 bytes
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from typing import Iterator, Optional

BODY = b'{"id": 12345, "name": "a small answer", "ok": true, "tags": ["a","b"]}'
assert len(BODY) == 70
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_ANSWER = _HEAD % len(BODY) + BODY
_CHUNK = bytes(256 * 1024)


class Server(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""
        self._head = b""
        self._path: Optional[bytes] = None
        self._body_left = 0
        self._left_to_stream = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._body_left > len(data):
            self._body_left -= len(data)  # an upload, which nobody keeps
            return
        self._received += data
        while True:
            if self._path is None:
                end = self._received.find(b"\r\n\r\n")
                if end < 0:
                    return
                head = self._head = self._received[:end]
                self._path, self._body_left = head.split(b" ", 2)[1], _content_length(head)
                self._received = self._received[end + 4 :]
            if len(self._received) < self._body_left:
                self._body_left -= len(self._received)
                self._received = b""
                return
            self._received = self._received[self._body_left :]
            path, self._path, self._body_left = self._path, None, 0
            self._answer(path)

    def _answer(self, path: bytes) -> None:
        if path.startswith(b"/sleep/"):
            seconds = int(path[7:]) / 1000
            asyncio.get_running_loop().call_later(seconds, self.transport.write, _ANSWER)
        elif path.startswith(b"/stream/"):
            self._left_to_stream = int(path[8:])
            self.transport.write(_HEAD % self._left_to_stream)
            self._stream()
        elif path.startswith(b"/head"):
            self.transport.write(_HEAD % len(self._head) + self._head)
        else:
            self.transport.write(_ANSWER)

    def _stream(self) -> None:
        while self._left_to_stream and not self._paused:
            chunk = _CHUNK[: self._left_to_stream]
            self._left_to_stream -= len(chunk)
            self.transport.write(chunk)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._stream()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._left_to_stream = 0


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return int(head[at + 17 :].split(b"\r\n", 1)[0])


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()

    def wait_for_parent() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_parent, daemon=True).start()
    await ended.wait()


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the server in another process; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
