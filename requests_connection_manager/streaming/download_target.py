"""Where a download is to go, looked at before anything is asked for.

Holds :class:`Target` and the checks of a path. Knows the file system, no HTTP; changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple, Optional


class Target(NamedTuple):
    """A path that a file can be put under.

    :ivar path: as it was given.
    :ivar file: the file that is written: what ``path`` leads to, if it is a symbolic link.
    :ivar overwrite: a file that is there may be replaced.
    :ivar mode: the permission bits of the file that is there, which the new one gets.
    """

    path: Path
    file: str
    overwrite: bool
    mode: Optional[int]

    @property
    def folder(self) -> str:
        """The folder of the file, in which parts of it wait."""
        return os.path.dirname(self.file)

    @property
    def name(self) -> str:
        """The name of the file."""
        return os.path.basename(self.file)


def check_path(path: Any) -> str:
    """Return a path as text.

    :raises TypeError: if it is not ``str`` or ``os.PathLike`` of ``str``.
    :raises ValueError: if it is empty or has a NUL.

    >>> check_path(Path("a/b")) == os.path.join("a", "b")
    True
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise TypeError(f"path must be a str or an os.PathLike of str, not {path!r}")
    if not text or "\0" in text:
        raise ValueError(f"path must name a file, not {path!r}")
    return text


def look_at(path: str, overwrite: bool) -> Target:
    """Return the target under ``path``.

    :raises OSError: what speaks against it: ``FileNotFoundError`` for a folder that is missing,
        ``NotADirectoryError``, ``IsADirectoryError``, ``FileExistsError`` without ``overwrite``,
        ``PermissionError`` for a file that may not be written.
    :raises ValueError: if something is there that is no file, such as a device.
    """
    if path.endswith((os.sep, os.altsep or os.sep)):
        raise _refusal(errno.EISDIR, path)
    file = os.path.realpath(path)
    folder = os.path.dirname(file)
    # Raises by itself what is wrong with a folder that is not there.
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise _refusal(errno.ENOTDIR, folder)
    return Target(Path(path), file, overwrite, _mode_of(path, file, overwrite))


def _mode_of(path: str, file: str, overwrite: bool) -> Optional[int]:
    try:
        there = os.stat(file)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(there.st_mode):
        raise _refusal(errno.EISDIR, path)
    if not stat.S_ISREG(there.st_mode):
        raise ValueError(f"path must name a file; {path!r} is a device, a pipe or a socket")
    if not overwrite:
        raise _refusal(errno.EEXIST, path)
    if not os.access(file, os.W_OK):
        raise _refusal(errno.EACCES, path)
    return stat.S_IMODE(there.st_mode)


def _refusal(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


__all__ = ["Target", "check_path", "look_at"]
