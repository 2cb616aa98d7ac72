"""HTTP/1.1 on a urllib3 connection, in fewer steps where a message is plain.

Holds subclasses of urllib3's connections, and of the response of ``http.client`` below them, that
come to the same bytes and the same objects sooner. Whatever is not plain, and everything where a
test or a monitor has put something of its own in the library's place, takes the library's way.
Pools build stock connections, so that vcrpy sees them; :func:`quicken` changes those. Knows urllib3
and ``http.client``; decides nothing.
"""

from __future__ import annotations

import http.client as client
import io
from typing import Any, Dict, Optional

from urllib3 import connection as urllib3_connection
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse
from urllib3.util.request import SKIP_HEADER

from .._lazy_regex import lazy_regex
from .._originals import still_own

# Larger ones are not copied: what one system call less saves is lost again.
_SMALL_BODY = 64 * 1024

# Looked up at each use: a program may raise them.
_limits: Any = client

_STARTED = "Request-started"
_TOKEN = r"[!#-'*+\-.0-9A-Z^-z|~]+"
_NAME = lazy_regex(_TOKEN)
_VALUE = lazy_regex(r"[ -~\t]*")
_HEAD = lazy_regex(
    rf"HTTP/1\.1 ([2-9][0-9]{{2}})(?: ([ -~]*))?\r\n((?:{_TOKEN}:[ -~\t]*\r\n)*)\r\n".encode()
)

_urllib3_writes = still_own(
    urllib3_connection,
    *("HTTPConnection.request", "HTTPConnection.putheader"),
    *("HTTPSConnection.request", "HTTPSConnection.putheader"),
)
_client_writes = still_own(client, "HTTPConnection.putheader", "HTTPConnection._output")
_client_reads = still_own(
    client, "parse_headers", "_read_headers", "HTTPResponse.begin", "HTTPResponse._read_status"
)


class _Cookieless(client.HTTPMessage):
    """A head that sets no cookie; ``http.cookiejar`` asks four times, 1 µs each.

    :param count: of its fields; what is added later may be a cookie.
    """

    _headers: Any

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def get_all(self, name: str, failobj: Any = None) -> Any:
        """Return the values of a field."""
        if len(self._headers) == self._count and name in ("Set-Cookie", "Set-Cookie2"):
            return failobj
        return super().get_all(name, failobj)


class _QuickResponse(client.HTTPResponse):
    """A response that takes in a plain head at once.

    ``http.client`` reads it line by line and has it parsed as a mail, which makes a small GET
    take 30 µs more, of 250.

    :ivar complete: a body of known length has arrived with the head.
    """

    complete = False
    fp: Any
    headers: Any
    length: Any
    _method: Any
    _check_close: Any

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Read the head of the response."""
        if args or kwargs or self.headers is not None or not self._begin_at_once():
            super().begin(*args, **kwargs)

    def _begin_at_once(self) -> bool:
        """Take in the head if it is plain and has arrived in one piece; else leave all of it."""
        file: Any = self.fp
        if self.debuglevel or type(file) is not io.BufferedReader or not _client_reads():
            return False
        arrived = file.peek()
        found = _HEAD.match(arrived)
        if found is None or found.end() > _limits._MAXLINE:
            return False
        head = found[0].lower()
        lines = found[3].decode("ascii").split("\r\n")
        # The parser is one for mail: it looks for the parts of what is composite.
        if len(lines) > _limits._MAXHEADERS or b"multipart/" in head or b"message/" in head:
            return False
        file.read(found.end())
        cookieless = b"set-cookie" not in head
        message: Any = _Cookieless(len(lines) - 1) if cookieless else client.HTTPMessage()
        fields = (line.partition(":") for line in lines[:-1])
        message._headers = [(name, value.lstrip(" \t")) for name, _, value in fields]
        message._payload = ""
        self._take(int(found[1]), (found[2] or b"").decode("ascii").strip(), message)
        self.complete = bool(self.length) and len(arrived) - found.end() >= self.length
        return True

    def _take(self, status: int, reason: str, message: Any) -> None:
        self.code = self.status = status
        self.reason, self.version = reason, 11
        self.headers = self.msg = message
        self.chunked = (message.get("transfer-encoding") or "").lower() == "chunked"
        if self.chunked:
            self.chunk_left = None
        self.length = None if self.chunked else _length(message.get("content-length"))
        if status in (204, 304) or self._method == "HEAD":
            self.length = 0
        self.will_close = self._check_close() or (self.length is None and not self.chunked)


def _length(text: Optional[str]) -> Optional[int]:
    try:
        length = int(text or "")
    except ValueError:
        return None
    return length if length >= 0 else None


class _Quick(HTTPConnection):
    """What is quicker about a connection."""

    _plain = False
    _buffer: Any
    # What is held back until all of a request is there; ``None``: nothing is.
    _held: Optional[bytes] = None

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any
    ) -> None:
        """Send a request: a small body together with the head, which saves 14 µs."""
        self._plain = not self.debuglevel and _urllib3_writes() and _client_writes()
        theirs = type(self).response_class
        self.response_class = _QuickResponse if theirs is client.HTTPResponse else theirs
        if type(body) not in (bytes, str) or len(body) > _SMALL_BODY or not self._plain:
            super().request(method, url, body=body, headers=headers, **options)
            return
        self._held = b""
        try:
            super().request(method, url, body=body, headers=headers, **options)
            whole = self._held
        finally:
            self._held = None
        self.send(whole)

    def putheader(self, header: Any, *values: Any) -> None:
        """Write a header field, checked in one go: of three layers and five fields, 10 µs."""
        if (
            self._plain
            and len(values) == 1
            and type(header) is str
            and type(values[0]) is str
            and _NAME.fullmatch(header)
            and _VALUE.fullmatch(values[0])
            and values[0] != SKIP_HEADER
            and self._HTTPConnection__state == _STARTED  # type: ignore[attr-defined]
        ):
            self._buffer.append(f"{header}: {values[0]}".encode("ascii"))
        else:
            super().putheader(header, *values)

    def send(self, data: Any) -> None:
        """Send bytes, or hold them back."""
        if self._held is None:
            super().send(data)
        else:
            self._held += data


class _QuickHTTPConnection(_Quick):
    """A connection of a pool for ``http://``."""


class _QuickHTTPSConnection(_Quick, HTTPSConnection):
    """A connection of a pool for ``https://``."""


# Their names are part of error messages and of what repr() shows, which existing code may compare.
for _own, _theirs in (
    (_QuickHTTPConnection, HTTPConnection),
    (_QuickHTTPSConnection, HTTPSConnection),
    (_QuickResponse, client.HTTPResponse),
):
    _own.__name__, _own.__qualname__ = _theirs.__name__, _theirs.__qualname__
    _own.__module__ = _theirs.__module__

_QUICK: Dict[type, type] = {
    HTTPConnection: _QuickHTTPConnection,
    HTTPSConnection: _QuickHTTPSConnection,
}


def quicken(connection: Any) -> Any:
    """Make a stock connection that a pool has built a quick one; return it."""
    quick = _QUICK.get(type(connection))
    if quick is not None:
        connection.__class__ = quick
    return connection


def is_complete(response: Any) -> bool:
    """Tell whether the body of a response of urllib3's is known to be here, as it is."""
    if type(response) is not HTTPResponse:
        return False
    original: Any = response._original_response
    return (
        type(original) is _QuickResponse
        and original.complete
        and not response.chunked  # in more cases than it is for http.client
        and "content-encoding" not in response.headers
    )


__all__ = ["is_complete", "quicken"]
