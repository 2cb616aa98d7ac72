"""A server that keeps every byte it was sent and answers with given bytes.

``FaultServer`` parses what arrives; here the text itself is looked at.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import List, Sequence

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class RawServer:
    """Serves one connection after the other.

    :ivar received: the bytes of each request, head and body.
    :ivar answer: the pieces of an answer, each sent by itself.
    :ivar hang_up: close the connection after an answer.
    """

    def __init__(self) -> None:
        self.received: List[bytes] = []
        self.answer: Sequence[bytes] = (OK,)
        self.hang_up = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as file, suppress(OSError):
            while True:
                request = _read_request(file)
                if not request:
                    return
                self.received.append(request)
                for number, piece in enumerate(self.answer):
                    if number:
                        time.sleep(0.002)  # so that it most likely arrives by itself
                    connection.sendall(piece)
                if self.hang_up:
                    return


def _read_request(file) -> bytes:
    lines = []
    while not lines or lines[-1] not in (b"\r\n", b""):
        lines.append(file.readline())
    head = b"".join(lines)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + file.read(int(value))
        if name.lower() == b"transfer-encoding":
            return head + _read_chunks(file)
    return head


def _read_chunks(file) -> bytes:
    whole = b""
    while True:
        line = file.readline()
        whole += line + file.read(int(line, 16) + 2)
        if int(line, 16) == 0:
            return whole
