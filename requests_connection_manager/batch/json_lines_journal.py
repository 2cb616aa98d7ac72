"""A journal that is a file of JSON lines.

Holds :class:`JsonLinesJournal`. Knows nothing of calls and responses.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import BinaryIO, Optional, Sequence, Union

from ..exceptions import JournalError
from ._file_lock import lock, unlock
from ._key_index import KeyIndex
from .journal import JournalEntry

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
# How every entry begins; what begins otherwise is somebody else's, and not to be cut off.
_BEGIN = b'{"key":"'
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class JsonLinesJournal:
    """A file with one line of JSON for each result; can be read while it grows, as by ``tail``.

    A later line of a key stands for an earlier one. A line that was cut off by the end of the
    process is dropped at the next start. Takes about 30 bytes of memory for each entry that is
    there at the start, none for new ones. The file is readable by its owner only.

    :param path: of the file; made if it is not there, its folder is not.
    :param sync: ``False``: a result that was given out is in the file, and survives the end of
        the process; the disk has it when the batch is closed. ``True``: it is on the disk, and
        survives the end of the machine; results that come together are written together.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = JsonLinesJournal(pathlib.Path(folder) / "done.jsonl")
    ...     journal.open()
    ...     journal.write([JournalEntry("0", None, "GET", "https://api.test/", 200)])
    ...     journal.close()
    ...     journal.open(), journal.lookup("0").status, journal.lookup("1")
    ...     journal.close()
    False
    (True, 200, None)
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *, sync: bool = False) -> None:
        self.path = os.fspath(path)
        self._sync = sync
        self._descriptor = -1
        self._end = 0
        self._index = KeyIndex()
        self._reading: Optional[BinaryIO] = None

    def __repr__(self) -> str:
        return f"JsonLinesJournal({self.path!r})"

    def open(self) -> bool:
        """Open and lock the file, and read which keys it has; tell whether there are any.

        :raises JournalError: another batch uses it; it can't be opened; or it is no journal.
        """
        if self._descriptor >= 0:
            raise JournalError(f"the journal {self.path!r} is in use by another batch")
        try:
            descriptor = os.open(self.path, _FLAGS, 0o600)
        except OSError as error:
            raise JournalError(f"the journal can't be opened: {error}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise JournalError(f"the journal {self.path!r} is no file, but a device or a pipe")
            self._lock(descriptor)
            self._descriptor = descriptor
            self._reading = open(self.path, "rb")  # noqa: SIM115  # closed with the journal
            self._read_index(self._reading)
        except BaseException:
            self._let_go(descriptor)
            raise
        return len(self._index) > 0

    def _lock(self, descriptor: int) -> None:
        try:
            lock(descriptor)
        except OSError as error:
            if error.errno not in _BUSY:
                raise JournalError(f"the journal {self.path!r} can't be locked: {error}") from error
            raise JournalError(f"the journal {self.path!r} is in use by another batch") from error

    def _read_index(self, file: BinaryIO) -> None:
        self._index, offset = KeyIndex(), 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n") and (offset or _BEGIN.startswith(line[: len(_BEGIN)])):
                os.ftruncate(self._descriptor, offset)
                break
            try:
                self._index.put(_key_of(line), offset)
            except ValueError as error:
                raise JournalError(
                    f"line {number} of {self.path!r} is no entry of a journal: {error}; give a "
                    "file that a batch has written, or one that is not there yet"
                ) from error
            offset += len(line)
        self._end = offset

    def lookup(self, key: str) -> Optional[JournalEntry]:
        """Return the latest entry of a key that was there when it was opened, if any."""
        offset = self._index.find(key)
        if offset is None or self._reading is None:
            return None
        self._reading.seek(offset)
        entry = JournalEntry.from_json(self._reading.readline().decode("utf-8"))
        return entry if entry.key == key else None

    def write(self, entries: Sequence[JournalEntry]) -> None:
        """Append entries.

        :raises OSError: the disk is full, for instance; none of them is in the file then.
        """
        lines = "".join(f"{entry.to_json()}\n" for entry in entries).encode("utf-8", "replace")
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:] if written else lines)
            if self._sync:
                os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(lines)

    def close(self) -> None:
        """Have the disk take all of it, and let go of the file."""
        if self._descriptor < 0:
            return
        try:
            os.fsync(self._descriptor)
        finally:
            self._let_go(self._descriptor)

    def _let_go(self, descriptor: int) -> None:
        self._descriptor, self._index = -1, KeyIndex()
        if self._reading is not None:
            self._reading.close()
            self._reading = None
            unlock(descriptor)
        os.close(descriptor)


def _key_of(line: bytes) -> str:
    # A whole entry would take 3 µs more, with a million of them to be read.
    fields = json.loads(line)
    key = fields.get("key") if isinstance(fields, dict) else None
    if not isinstance(key, str) or "url" not in fields:
        raise ValueError("it has no key and URL")
    return key


__all__ = ["JsonLinesJournal"]
