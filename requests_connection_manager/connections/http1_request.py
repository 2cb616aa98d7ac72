"""The bytes of an HTTP/1.1 request: its head, and how its body is framed.

Holds :func:`write_head` and :class:`Framing`. They write and refuse what h11 does, with which httpx
sends, in its words: the host first, all else in the order, the case and the number in which it was
given. Pure; knows httpx through ``transport`` only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from ..transport import hx

Header = Tuple[bytes, bytes]

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+"
_VALUE = rb"(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?"
_is_token = re.compile(_TOKEN).fullmatch
_is_value = re.compile(_VALUE).fullmatch
_is_target = re.compile(rb"[\x21-\x7e]+").fullmatch
_is_length = re.compile(rb"[0-9]{1,20}").fullmatch
# All at once: 1 µs; one by one they cost 4 µs.
_are_lines = re.compile(rb"(?:%b: %b\r\n)*" % (_TOKEN, _VALUE)).fullmatch


class Head(NamedTuple):
    """The head of a request.

    :ivar data: its bytes.
    :ivar length: how long its body has to be; ``None``: the body goes in chunks.
    :ivar closes: whether it asks the server to close the connection.
    """

    data: bytes
    length: Optional[int]
    closes: bool


def write_head(method: str, target: bytes, headers: Sequence[Header]) -> Head:
    r"""Return the head of a request.

    :raises httpx.LocalProtocolError: for what HTTP/1.1 does not allow.

    >>> write_head("GET", b"/a?b=c", [(b"Accept", b"*/*"), (b"Host", b"a.test")]).data
    b'GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\n'
    """
    if not _is_target(target):
        raise hx.LocalProtocolError("illegal target characters")
    hosts: List[bytes] = []
    lines: List[bytes] = []
    framing: List[Header] = []
    closes = False
    for name, value in headers:
        line = b"%b: %b\r\n" % (name, value)
        lowered = name.lower()
        if lowered == b"host":
            hosts.append(line)
            continue
        lines.append(line)
        if lowered == b"connection":
            closes = b"close" in value.lower()
        elif lowered in (b"content-length", b"transfer-encoding"):
            framing.append((lowered, value))
    block = b"".join(hosts + lines)
    # Each is one line: a value with line breaks can look like several.
    if block.count(b"\n") != len(headers) or not _are_lines(block):
        _refuse(headers)
    if len(hosts) != 1:
        problem = "Found multiple Host: headers" if hosts else "Missing mandatory Host: header"
        raise hx.LocalProtocolError(problem)
    length = _length(framing) if framing else 0
    return Head(b"%b %b HTTP/1.1\r\n%b\r\n" % (_method(method), target, block), length, closes)


@lru_cache(maxsize=64)
def _method(method: str) -> bytes:
    written = method.encode("ascii")
    if not _is_token(written):
        raise hx.LocalProtocolError("illegal method characters")
    return written


def _refuse(headers: Sequence[Header]) -> NoReturn:
    for name, value in headers:
        if not _is_token(name):
            raise hx.LocalProtocolError(f"Illegal header name {name!r}")
        if not _is_value(value):
            # Not the value: it may be a secret.
            raise hx.LocalProtocolError(f"Illegal header value of {name!r}")
    raise AssertionError("headers that are right one by one are right together")


def _length(framing: Sequence[Header]) -> Optional[int]:
    codings = [value.lower() for name, value in framing if name == b"transfer-encoding"]
    if len(codings) > 1:
        raise hx.LocalProtocolError("multiple Transfer-Encoding headers")
    if codings not in ([], [b"chunked"]):
        raise hx.LocalProtocolError("Only Transfer-Encoding: chunked is supported")
    lengths = {
        part.strip()
        for name, value in framing
        if name == b"content-length"
        for part in value.split(b",")
    }
    if len(lengths) > 1:
        raise hx.LocalProtocolError("conflicting Content-Length headers")
    for length in lengths:
        if not _is_length(length):
            raise hx.LocalProtocolError("bad Content-Length")
    return None if codings else int(lengths.pop())


class Framing:
    """How the parts of a body are put on the connection.

    :param length: how long the body has to be; ``None``: it goes in chunks.
    """

    __slots__ = ("_left",)

    def __init__(self, length: Optional[int]) -> None:
        self._left = length

    def part(self, data: Any) -> bytes:
        """Return the bytes that stand for a part of the body.

        :raises httpx.LocalProtocolError: the body is longer than its head says.
        """
        if self._left is None:
            # An empty chunk would be the end.
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._left -= len(data)
        if self._left < 0:
            raise hx.LocalProtocolError("Too much data for declared Content-Length")
        return bytes(data)

    def end(self) -> bytes:
        """Return the bytes that end the body.

        :raises httpx.LocalProtocolError: the body is shorter than its head says.
        """
        if self._left is None:
            return b"0\r\n\r\n"
        if self._left:
            raise hx.LocalProtocolError("Too little data for declared Content-Length")
        return b""


__all__ = ["Framing", "Head", "Header", "write_head"]
