"""What a fault server is sent, and what it answers: well, badly, late or not at all.

Holds ``Received`` and ``Reply`` with the functions that make replies. A reply is a script: bytes
that are sent, floats that are seconds of silence, and how the connection ends. It is played by
``FaultServer``; nothing here may know sockets, threads or an HTTP library.

Every function that returns a ``Reply`` returns an immutable value, safe to share between routes,
servers and threads. Names of replies follow what goes over the wire (RFC 9110, RFC 9112).
"""

from __future__ import annotations

import enum
import json as _json
import math
from dataclasses import dataclass, field, replace
from gzip import compress
from http import HTTPStatus
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)
from urllib.parse import parse_qs

__all__ = [
    "Action",
    "Answer",
    "Ending",
    "Headers",
    "Received",
    "Reply",
    "close_delimited",
    "dies_while_idle",
    "disconnect",
    "drip",
    "echo",
    "garbage",
    "gzip",
    "redirect",
    "reply",
    "reset",
    "sink",
    "sized",
    "slow_body",
    "truncate",
    "truncated_chunks",
]

Pairs = Tuple[Tuple[str, str], ...]
HeaderInput = Union[Mapping[str, str], Iterable[Tuple[str, str]], None]
Action = Union[bytes, float]
"""One step of a reply: bytes to send, or seconds to send nothing for."""

_LAST_CHUNK = b"0\r\n\r\n"


class Headers(Mapping[str, str]):
    """The header fields of a request: a read-only mapping whose names ignore case.

    Iteration gives lower-case names; repeated fields are joined with ``", "`` (RFC 9110, 5.3).
    ``raw`` keeps every field as it arrived. ``repr`` shows names only, since values may be secret.

    >>> headers = Headers([("Accept", "text/plain"), ("X-Id", "1"), ("X-Id", "2")])
    >>> headers["ACCEPT"], headers["x-id"], headers.raw[1]
    ('text/plain', '1, 2', ('X-Id', '1'))
    >>> headers
    <Headers accept, x-id>
    """

    __slots__ = ("_joined", "raw")

    raw: Pairs

    def __init__(self, raw: Iterable[Tuple[str, str]]) -> None:
        self.raw = tuple(raw)
        self._joined: Dict[str, str] = {}
        for name, value in self.raw:
            key = name.lower()
            known = self._joined.get(key)
            self._joined[key] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._joined)}>"


@dataclass(frozen=True, eq=False)
class Received:
    """One request as the server got it. Immutable; its ``repr`` shows no headers, query or body.

    >>> received = Received("GET", "/users", "page=2&tag=a&tag=b", Headers([("Accept", "*/*")]))
    >>> received.params, received.headers["accept"], received.text
    ({'page': ['2'], 'tag': ['a', 'b']}, '*/*', '')
    """

    method: str
    """As sent, such as ``"GET"``."""
    path: str
    """The path as sent, still percent-encoded, without the query."""
    query: str = field(default="", repr=False)
    """What came after ``?``, as sent; ``params`` is the same parsed."""
    headers: Headers = field(default_factory=lambda: Headers(()), repr=False)
    """The header fields; ``headers.raw`` is the list of them as they arrived."""
    body: bytes = field(default=b"", repr=False)
    """The decoded body; empty when it was larger than the server's ``body_limit``."""
    size: int = 0
    """Bytes of the body, also of one that was too large to be kept."""
    connection: int = 0
    """Which connection it came on: 1 for the first that the server accepted."""
    number: int = 0
    """Which request of that connection it was, from 1 on."""
    target: str = field(default="", repr=False)
    """The request target as sent: a whole URL when the server is used as a proxy."""
    version: str = "HTTP/1.1"
    """The protocol version of the request line."""

    @property
    def params(self) -> Dict[str, List[str]]:
        """The decoded query: name to list of values, in the order they were sent."""
        return parse_qs(self.query, keep_blank_values=True)

    @property
    def text(self) -> str:
        """The body as UTF-8 text; bytes that are not UTF-8 are shown as escapes."""
        return self.body.decode("utf-8", "backslashreplace")

    def json(self) -> Any:
        """Return the body read as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return _json.loads(self.body)


class Ending(enum.Enum):
    """What becomes of the connection once a reply is out."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    CLOSE_ON_NEXT = "close on the next request"
    RESET_ON_NEXT = "reset on the next request"


@dataclass(frozen=True)
class Reply:
    """One scripted answer. Made by the functions of this module; its ``repr`` shows no content.

    >>> reply(503, headers={"Retry-After": "1"})
    Reply(name='503', ending=<Ending.KEEP: 'keep'>, delay=0.0)
    """

    name: str
    """What it is, for the ``repr``."""
    head: Tuple[Action, ...] = field(default=(), repr=False)
    """Status line and header fields; all that a HEAD request is answered with."""
    body: Iterable[Action] = field(default=(), repr=False)
    """What follows the head. It is iterated anew for every request."""
    ending: Ending = Ending.KEEP
    """What becomes of the connection afterwards."""
    delay: float = 0.0
    """Seconds from the end of the request to the first step."""

    def delayed(self, seconds: float) -> Reply:
        """Return the same reply, begun ``seconds`` after the request has arrived.

        Raises:
            ValueError: ``seconds`` is negative, infinite or not a number.

        >>> disconnect().delayed(0.25)
        Reply(name='disconnect', ending=<Ending.CLOSE: 'close'>, delay=0.25)
        """
        return replace(self, delay=_seconds("delay", seconds))


Answer = Union[Reply, Callable[[Received], Reply]]
"""What a route is given: a reply, or a function that makes one from the request."""


def _seconds(name: str, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number of seconds >= 0, not {value!r}")
    return float(value)


def _count(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} must be >= 0, not {value}")
    return value


def _pairs(headers: HeaderInput) -> Pairs:
    if headers is None:
        return ()
    return tuple(headers.items() if isinstance(headers, Mapping) else headers)


def _status_line(status: int) -> str:
    if _count("status", status) < 200 or status > 999:
        raise ValueError(f"status must be from 200 to 999, not {status}")
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    return f"HTTP/1.1 {status} {reason}"


def _field_lines(headers: HeaderInput, *defaults: Tuple[str, str]) -> Iterator[str]:
    """Yield the lines of ``headers``, then of those ``defaults`` whose names are not among them."""
    given = _pairs(headers)
    names = {name.lower() for name, _ in given}
    for name, value in given + tuple(pair for pair in defaults if pair[0].lower() not in names):
        line = f"{name}: {value}"
        if "\r" in line or "\n" in line:
            raise ValueError(f"the header field {name!r} has a line break; use garbage() for that")
        yield line


def _head(status: int, headers: HeaderInput, *defaults: Tuple[str, str]) -> Tuple[bytes]:
    lines = [_status_line(status), *_field_lines(headers, *defaults), "", ""]
    return ("\r\n".join(lines).encode("latin-1"),)


def _content(body: Union[str, bytes]) -> Tuple[bytes, Tuple[Tuple[str, str], ...]]:
    if isinstance(body, str):
        return body.encode(), (("Content-Type", "text/plain; charset=utf-8"),)
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"body must be str or bytes, not {type(body).__name__}")
    return bytes(body), ()


def _ending(headers: HeaderInput) -> Ending:
    closes = any(
        name.lower() == "connection" and "close" in value.lower() for name, value in _pairs(headers)
    )
    return Ending.CLOSE if closes else Ending.KEEP


_NO_JSON: Any = object()


def reply(
    status: int = 200,
    *,
    json: Any = _NO_JSON,
    body: Union[str, bytes] = b"",
    headers: HeaderInput = None,
    delay: float = 0.0,
) -> Reply:
    """Answer properly: a status, header fields and a body with its Content-Length.

    Args:
        status: 200 to 999 (default 200); 204 and 304 are sent without a body.
        json: anything ``json.dumps`` takes, sent as ``application/json``.
        body: text (sent as UTF-8) or bytes, instead of ``json`` (default empty).
        headers: a mapping, or pairs where a name repeats; they replace the ones made here.
            ``Connection: close`` also closes the connection.
        delay: seconds to wait before answering (default 0).

    Raises:
        TypeError: both ``json`` and ``body`` are given, or one has a wrong type.
        ValueError: a status or delay out of range, or a line break in a header field.

    >>> reply(200, json={"id": 1}).body
    (b'{"id": 1}',)
    """
    pairs = _pairs(headers)
    if json is not _NO_JSON and body:
        raise TypeError("give either json or body, not both")
    content, kind = _content(body)
    if json is not _NO_JSON:
        content, kind = _json.dumps(json).encode(), (("Content-Type", "application/json"),)
    if status in (204, 304):
        if content:
            raise ValueError(f"a reply with status {status} has no body")
        head = _head(status, pairs)
    else:
        head = _head(status, pairs, *kind, ("Content-Length", str(len(content))))
    answer = Reply(str(status), head, (content,), _ending(pairs))
    return answer.delayed(delay) if delay else answer


def redirect(url: str, status: int = 302, *, headers: HeaderInput = None) -> Reply:
    r"""Answer with ``Location: url`` and an empty body.

    Args:
        url: absolute or relative, sent as it is.
        status: a 3xx status (default 302).
        headers: further header fields.

    Raises:
        ValueError: ``status`` is not 3xx.

    >>> redirect("/new", 308).head
    (b'HTTP/1.1 308 Permanent Redirect\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n',)
    """
    if not 300 <= status <= 399:
        raise ValueError(f"status must be from 300 to 399, not {status}")
    head = _head(status, headers, ("Location", url), ("Content-Length", "0"))
    return Reply(f"redirect {status}", head, (), _ending(headers))


def gzip(body: Union[str, bytes], *, status: int = 200, headers: HeaderInput = None) -> Reply:
    """Answer with ``body`` compressed, as ``Content-Encoding: gzip``.

    >>> gzip("text " * 1000).name
    'gzip'
    """
    content, kind = _content(body)
    packed = compress(content, mtime=0)
    length = ("Content-Length", str(len(packed)))
    head = _head(status, headers, ("Content-Encoding", "gzip"), *kind, length)
    return Reply("gzip", head, (packed,), _ending(headers))


def close_delimited(
    body: Union[str, bytes], *, status: int = 200, headers: HeaderInput = None
) -> Reply:
    """Answer without a length: the body ends where the connection does (RFC 9112, 6.3).

    >>> close_delimited("all of it").ending
    <Ending.CLOSE: 'close'>
    """
    content, kind = _content(body)
    head = _head(status, headers, *kind, ("Connection", "close"))
    return Reply("close_delimited", head, (content,), Ending.CLOSE)


def disconnect() -> Reply:
    """Close the connection (FIN) after the request, without a byte.

    >>> disconnect()
    Reply(name='disconnect', ending=<Ending.CLOSE: 'close'>, delay=0.0)
    """
    return Reply("disconnect", ending=Ending.CLOSE)


def reset(*, after: Optional[int] = None, status: int = 200) -> Reply:
    """Reset the connection (RST): without a byte, or after so many bytes of the body.

    Args:
        after: bytes of the body to send first, below a longer Content-Length; None (the default)
            sends nothing at all. On systems other than Linux, a client may lose bytes that it
            has not read when the reset arrives.
        status: the status sent before the body.

    >>> reset(after=10).body
    (b'xxxxxxxxxx',)
    """
    if after is None:
        return Reply("reset", ending=Ending.RESET)
    head = _head(status, None, ("Content-Length", str(_count("after", after) + 1024)))
    return Reply(f"reset after {after}", head, (b"x" * after,), Ending.RESET)


def truncate(declared: int = 100, sent: int = 50, *, status: int = 200) -> Reply:
    """Promise ``declared`` bytes by Content-Length, send ``sent`` of them and close.

    Raises:
        ValueError: ``sent`` is not less than ``declared``.

    >>> truncate(declared=10, sent=3).body
    (b'xxx',)
    """
    if _count("sent", sent) >= _count("declared", declared):
        raise ValueError(f"sent must be less than declared ({declared}), not {sent}")
    head = _head(status, None, ("Content-Length", str(declared)))
    return Reply(f"truncate {sent}/{declared}", head, (b"x" * sent,), Ending.CLOSE)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def truncated_chunks(
    chunks: Sequence[bytes] = (b"one", b"two"), *, inside: bool = False, status: int = 200
) -> Reply:
    r"""Send a chunked body and close before its last chunk.

    Args:
        chunks: the pieces to send.
        inside: also break off in the middle of a further chunk (default False: between two).
        status: the status sent before.

    >>> truncated_chunks([b"ab"], inside=True).body
    (b'2\r\nab\r\n', b'10\r\nxxxx')
    """
    body = tuple(_chunk(chunk) for chunk in chunks if chunk)
    if inside:
        body += (b"10\r\nxxxx",)
    head = _head(status, None, ("Transfer-Encoding", "chunked"))
    return Reply("truncated_chunks", head, body, Ending.CLOSE)


def _spaced(pieces: Iterable[bytes], interval: float) -> Tuple[Action, ...]:
    """Return the pieces with ``interval`` seconds of silence between them."""
    actions: List[Action] = []
    for piece in pieces:
        actions += (piece, interval)
    return tuple(actions[:-1])


def slow_body(
    chunks: Sequence[bytes],
    interval: float = 0.1,
    *,
    status: int = 200,
    headers: HeaderInput = None,
) -> Reply:
    r"""Send a complete chunked body, with ``interval`` seconds before each further chunk.

    >>> slow_body([b"a", b"b"], interval=0.5).body
    (b'1\r\na\r\n', 0.5, b'1\r\nb\r\n', b'0\r\n\r\n')
    """
    pieces = [_chunk(chunk) for chunk in chunks if chunk]
    body = (*_spaced(pieces, _seconds("interval", interval)), _LAST_CHUNK)
    head = _head(status, headers, ("Transfer-Encoding", "chunked"))
    return Reply("slow_body", head, body, _ending(headers))


def drip(part: str = "body", interval: float = 0.1, *, size: int = 100, status: int = 200) -> Reply:
    """Send one part of a correct reply a byte at a time.

    No single read of the client ever waits longer than ``interval``, which is how a reply can take
    for ever although every socket timeout is kept.

    Args:
        part: ``"status"`` (the status line), ``"header"`` (a header field), ``"chunk"`` (the size
            line of a chunk, by a chunk extension) or ``"body"``.
        interval: seconds between two bytes (default 0.1).
        size: how many bytes of filler that part has (default 100, so about 10 s).
        status: the status sent.

    Raises:
        ValueError: an unknown part, or a number out of range.

    >>> drip("body", 0.5, size=2).body
    (b'x', 0.5, b'x')
    """
    filler, line = "x" * _count("size", size), _status_line(status)
    # Each row: sent at once, dripped, sent at once.
    scripts: Dict[str, Tuple[str, str, str]] = {
        "status": ("", f"{line} {filler}\r\n", "Content-Length: 0\r\n\r\n"),
        "header": (f"{line}\r\n", f"X-Drip: {filler}\r\n", "Content-Length: 0\r\n\r\n"),
        "chunk": (
            f"{line}\r\nTransfer-Encoding: chunked\r\n\r\n",
            f"1;{filler}\r\n",
            "x\r\n0\r\n\r\n",
        ),
        "body": (f"{line}\r\nContent-Length: {size}\r\n\r\n", filler, ""),
    }
    if part not in scripts:
        raise ValueError(f"part must be one of {', '.join(scripts)}, not {part!r}")
    before, slow, after = (text.encode() for text in scripts[part])
    dripped = _spaced([bytes([byte]) for byte in slow], _seconds("interval", interval))
    if part in ("status", "header"):
        return Reply(f"drip {part}", (before, *dripped, after))
    return Reply(f"drip {part}", (before,), (*dripped, after) if after else dripped)


@dataclass(frozen=True)
class _Filler:
    """``size`` bytes, handed out in pieces so that they are never in memory together."""

    size: int
    piece: bytes = field(default=b"x" * 65536, repr=False)

    def __iter__(self) -> Iterator[bytes]:
        whole, rest = divmod(self.size, len(self.piece))
        for _ in range(whole):
            yield self.piece
        yield self.piece[:rest]


def sized(n_bytes: int, *, status: int = 200, headers: HeaderInput = None) -> Reply:
    """Send a body of ``n_bytes`` bytes that is never held in memory as a whole.

    >>> sized(3_000_000_000).name
    'sized 3000000000'
    """
    head = _head(status, headers, ("Content-Length", str(_count("n_bytes", n_bytes))))
    return Reply(f"sized {n_bytes}", head, _Filler(n_bytes), _ending(headers))


def garbage(data: bytes = b"\x00\xff this is not HTTP\r\n\r\n") -> Reply:
    r"""Send ``data`` as it is, in place of a reply, and close.

    >>> garbage(b"SSH-2.0-server\r\n").head
    (b'SSH-2.0-server\r\n',)
    """
    return Reply("garbage", (bytes(data),), ending=Ending.CLOSE)


def dies_while_idle(
    answer: Optional[Reply] = None, *, when: str = "now", with_reset: bool = False
) -> Reply:
    """Answer properly, as if the connection stayed open, and let it die while it is idle.

    Args:
        answer: what is answered first (default ``reply()``).
        when: ``"now"`` ends the connection right after the answer, so that a pool may find out
            before it uses it again; ``"next"`` ends it when the next request has arrived on it,
            which is recorded but not answered, so that no pool can.
        with_reset: end it by RST instead of FIN (default False).

    Raises:
        TypeError: ``answer`` is not a ``Reply``.
        ValueError: ``when`` is neither ``"now"`` nor ``"next"``.

    >>> dies_while_idle(reply(200, body="ok"), when="next").ending
    <Ending.CLOSE_ON_NEXT: 'close on the next request'>
    """
    first = reply() if answer is None else answer
    if not isinstance(first, Reply):
        raise TypeError(f"answer must be a Reply, not {type(first).__name__}")
    endings = {
        ("now", False): Ending.CLOSE,
        ("now", True): Ending.RESET,
        ("next", False): Ending.CLOSE_ON_NEXT,
        ("next", True): Ending.RESET_ON_NEXT,
    }
    if (when, bool(with_reset)) not in endings:
        raise ValueError(f"when must be 'now' or 'next', not {when!r}")
    ending = endings[when, bool(with_reset)]
    return replace(first, name=f"{first.name}, dies on {when}", ending=ending)


def echo(status: int = 200) -> Callable[[Received], Reply]:
    """Answer each request with what it was, as JSON, to show which header fields arrived.

    The object has ``method``, ``path``, ``query``, ``headers`` (lower-case names), ``body``
    (as text), ``size`` and ``connection``.

    >>> _json.loads(echo()(Received("GET", "/who", "a=1")).body[0])["query"]
    'a=1'
    """
    _status_line(status)

    def answer(received: Received) -> Reply:
        seen = {
            "method": received.method,
            "path": received.path,
            "query": received.query,
            "headers": dict(received.headers),
            "body": received.text,
            "size": received.size,
            "connection": received.connection,
        }
        return reply(status, json=seen)

    return answer


def sink(status: int = 200) -> Callable[[Received], Reply]:
    """Answer each request with ``{"size": n}``: how many bytes its body had.

    A body larger than the server's ``body_limit`` is counted but not stored, so uploads of any
    size can be sent here.

    >>> sink()(Received("PUT", "/upload", size=3_000_000_000)).body
    (b'{"size": 3000000000}',)
    """
    _status_line(status)
    return lambda received: reply(status, json={"size": received.size})
