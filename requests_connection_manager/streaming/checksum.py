"""The checksum that a file is expected to have.

Holds its parser. Knows hashlib, no files and no HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, NamedTuple, Optional

# The spelling of RFC 9530 is that of the registry for digest fields.
_ALGORITHMS = {
    "md5": "md5",
    "sha": "sha1",
    "sha1": "sha1",
    "sha-1": "sha1",
    "sha256": "sha256",
    "sha-256": "sha256",
    "sha384": "sha384",
    "sha-384": "sha384",
    "sha512": "sha512",
    "sha-512": "sha512",
}
_WANTED = (
    "'algorithm:hex', such as 'sha256:9f86d0…' (md5, sha1, sha256, sha384, sha512), or a digest "
    "as in the header Repr-Digest, 'sha-256=:base64:'"
)


class Checksum(NamedTuple):
    """A hash function of ``hashlib`` and the digest that it is to give."""

    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest.hex()}"

    def hasher(self) -> Any:
        """Return a new hash object."""
        return hashlib.new(self.algorithm)


def parse_checksum(text: Any) -> Optional[Checksum]:
    """Return the checksum that was given as text; ``None`` for ``None``.

    :raises TypeError: if it is no text.
    :raises ValueError: if it can't be understood, or the digest has the wrong length.

    >>> str(parse_checksum("MD5:D41D8CD98F00B204E9800998ECF8427E"))
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    >>> str(parse_checksum("md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"))
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"checksum must be {_WANTED}, not {text!r}")
    mark = "=" if "=:" in text else ":"
    name, _, rest = text.strip().partition(mark)
    algorithm = _ALGORITHMS.get(name.strip().lower())
    digest = _from_base64(rest) if mark == "=" else _from_hex(rest)
    if algorithm is None or digest is None:
        raise ValueError(f"checksum must be {_WANTED}, not {text!r}")
    size = hashlib.new(algorithm).digest_size
    if len(digest) != size:
        raise ValueError(f"checksum: a {algorithm} has {size} bytes, not {len(digest)}: {text!r}")
    return Checksum(algorithm, digest)


def _from_hex(text: str) -> Optional[bytes]:
    try:
        return binascii.unhexlify(text.strip())
    except ValueError:
        return None


def _from_base64(text: str) -> Optional[bytes]:
    inner = text.strip()
    if len(inner) < 2 or inner[0] != ":" or inner[-1] != ":":
        return None
    try:
        return base64.b64decode(inner[1:-1], validate=True)
    except ValueError:
        return None


__all__ = ["Checksum", "parse_checksum"]
