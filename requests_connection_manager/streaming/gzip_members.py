"""A body in gzip (RFC 1952), unpacked so that one that was cut short is told from a whole one.

Holds :class:`Gunzip`. HTTP libraries take what there is for the whole, and some of them only the
first of several members. Knows zlib, and no HTTP.
"""

from __future__ import annotations

import zlib
from typing import Any, Iterator

_BLOCK = 1 << 20  # bytes that are unpacked at a time: what is sent may unpack to a thousand times
_WITH_HEADER = 16 + zlib.MAX_WBITS


class Gunzip:
    """Unpacks a body that is fed in any pieces, member by member.

    What follows the last member and is none is ignored, as the command ``gzip`` does.

    >>> import gzip
    >>> packed, gunzip = gzip.compress(b"abc") + gzip.compress(b"def"), Gunzip()
    >>> b"".join(gunzip.feed(packed[:-1])), gunzip.complete
    (b'abcdef', False)
    >>> b"".join(gunzip.feed(packed[-1:])), gunzip.complete
    (b'', True)
    """

    def __init__(self) -> None:
        self._member: Any = None
        self._is_first = True
        self._gave = False
        self._over = False

    @property
    def complete(self) -> bool:
        """Whether the body may end here; one without a byte may."""
        return self._member is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes unpack to, in pieces; to be iterated to its end.

        :raises zlib.error: if it is no gzip, or was damaged.
        """
        while data and not self._over:
            if self._member is None:
                self._member, self._gave = zlib.decompressobj(_WITH_HEADER), False
            try:
                for piece in _unpacked(self._member, data):
                    self._gave = True
                    yield piece
            except zlib.error:
                if self._is_first or self._gave:
                    raise
                self._over, self._member = True, None
                return
            data = self._after_member()

    def _after_member(self) -> bytes:
        """Return what comes after the member, if this was its end."""
        if not self._member.eof:
            return b""
        rest: bytes = self._member.unused_data
        self._member, self._is_first = None, False
        return rest


def _unpacked(member: Any, data: bytes) -> Iterator[bytes]:
    while True:
        piece = member.decompress(data, _BLOCK)
        if piece:
            yield piece
        data = member.unconsumed_tail
        if not data and len(piece) < _BLOCK:
            return


__all__ = ["Gunzip"]
