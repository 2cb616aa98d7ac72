"""A part of a file that waits for a later download to complete it.

Holds its name and its note: which resource and which version it is a part of. The note is the end
of the file itself, so that the two can never be those of different downloads. Knows files, no HTTP.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
from typing import NamedTuple, Optional

from .download_target import Target

_MARK = b"\nkept part 1\n"
_LENGTH = 4
_LONGEST_NAME = 200
_LONGEST_NOTE = 1 << 16


class Kept(NamedTuple):
    """What is known of a part.

    :ivar key: stands for the resource that it is a part of.
    :ivar validator: names the version, as ``If-Range`` does.
    :ivar size: how many bytes there are.
    :ivar total: how many there will be, if that is known.
    """

    key: str
    validator: str
    size: int
    total: Optional[int]


def key_of(method: str, url: str) -> str:
    """Return what stands for a resource; URLs can hold secrets, so it tells nothing of them.

    >>> len(key_of("GET", "https://api.test/file"))
    64
    """
    return hashlib.sha256(f"{method} {url}".encode("utf-8", "surrogatepass")).hexdigest()


def kept_path(target: Target) -> str:
    """Return where a part of the target is kept: beside it, hidden."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return os.path.join(target.folder, f".{name}.part")


def is_own(file: io.FileIO) -> bool:
    """Tell whether an open file is a regular one of this user's, without a second name.

    Whoever else made it could put anything into the download, and go on to write to it.
    """
    status = os.fstat(file.fileno())
    mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return mine and stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def write_note(file: io.FileIO, kept: Kept) -> None:
    """Append the note to a file that stands at its end."""
    note = json.dumps(kept._asdict()).encode()
    rest = memoryview(note + len(note).to_bytes(_LENGTH, "big") + _MARK)
    while rest:
        rest = rest[file.write(rest) :]


def read_note(file: io.FileIO) -> Optional[Kept]:
    """Return the note of a file; ``None``: it has none that fits it."""
    end = file.seek(0, os.SEEK_END)
    tail = _LENGTH + len(_MARK)
    if end < tail:
        return None
    file.seek(end - tail)
    last = file.read(tail)
    length = int.from_bytes(last[:_LENGTH], "big")
    if last[_LENGTH:] != _MARK or length > min(_LONGEST_NOTE, end - tail):
        return None
    file.seek(end - tail - length)
    return _checked(file.read(length), end - tail - length)


def _checked(note: bytes, size: int) -> Optional[Kept]:
    try:
        kept = Kept(**json.loads(note))
    except (TypeError, ValueError):
        return None
    if not isinstance(kept.key, str) or not isinstance(kept.validator, str):
        return None
    return kept if kept.size == size and size > 0 else None


__all__ = ["Kept", "is_own", "kept_path", "key_of", "read_note", "write_note"]
