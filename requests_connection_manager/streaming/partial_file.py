"""A file while it is still coming in, beside the place where it will be.

Holds :class:`PartialFile`. The bytes go to a temporary file in the folder of the target, which
takes its final name in one step, when it is complete and on disk. Knows the file system, no HTTP.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import threading
from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterator, Optional, Union

from .download_target import Target
from .kept_part import Kept, is_own, kept_path, read_note, write_note

_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_BLOCK = 1 << 20


class PartialFile:
    """What has come of a file so far.

    Every method does its work under one lock: a task that is cancelled may go on to clean up while
    a thread still writes for it. Once the file is discarded, kept or in its place, the methods that
    add to it raise ``ValueError``.

    :param target: where it will be.
    :param hasher: returns a new hash object, if a digest of the content is wanted.
    :ivar size: how many bytes it has.
    :ivar placed: it is in its place, complete.
    """

    def __init__(self, target: Target, hasher: Optional[Callable[[], Any]] = None) -> None:
        self.target = target
        self.size = 0
        self.placed = False
        self._hasher = hasher
        self._hash = hasher() if hasher else None
        self._lock = threading.Lock()
        self._file: Optional[io.FileIO] = None
        self._done = False
        self._path = os.path.join(target.folder, f".{secrets.token_hex(8)}.part")

    # -- beginning

    def create(self, key: Optional[str] = None) -> Optional[Kept]:
        """Make the file, or take up the one that an earlier download has kept.

        :param key: what stands for the resource, to take up a part of nothing else; ``None``: take
            up nothing.
        :returns: what is known of the part that was taken up.
        :raises OSError: if the folder can't be written to.
        """
        with self._lock:
            if self._done:
                raise ValueError("the download is over")
            kept = None if key is None else self._take_up(key)
            if kept is None:
                with _named(self.target.folder):
                    self._file = self._opened(os.O_CREAT | os.O_EXCL)
            self._copy_mode()
            return kept

    def _opened(self, flags: int = 0) -> io.FileIO:
        def opener(path: str, _: int) -> int:
            # The umask is taken off, as open() does it.
            return os.open(path, _FLAGS | flags, 0o666)

        return io.FileIO(self._path, "r+", opener=opener)

    def _copy_mode(self) -> None:
        if self.target.mode is not None:
            # What only the owner may read must not be readable by all from now on.
            with suppress(OSError):
                os.chmod(self._path, self.target.mode)

    def _take_up(self, key: str) -> Optional[Kept]:
        try:
            if stat.S_ISDIR(os.lstat(kept_path(self.target)).st_mode):
                return None
            # Of two downloads that begin at once, one gets it.
            os.rename(kept_path(self.target), self._path)
        except OSError:
            return None  # there is none, or it is somebody else's
        try:
            self._file = self._opened()
            kept = read_note(self._file) if is_own(self._file) else None
            if kept is not None and kept.key == key:
                self._cut_to(kept.size)
                self._rehash()
                return kept
        except OSError:
            pass  # it is somebody else's, or no file: the download begins anew
        self._close()
        os.unlink(self._path)
        return None

    def _rehash(self) -> None:
        file = self._opened_file()
        if self._hash is not None:
            file.seek(0)
            for block in iter(lambda: file.read(_BLOCK), b""):
                self._hash.update(block)
        file.seek(self.size)

    # -- content

    def write(self, data: Union[bytes, bytearray]) -> None:
        """Append.

        :raises OSError: if the disk is full, for example.
        """
        with self._lock:
            file, rest = self._opened_file(), memoryview(data)
            with _named(self.target.file):
                while rest:
                    rest = rest[file.write(rest) :]
            if self._hash is not None:
                self._hash.update(data)
            self.size += len(data)

    def restart(self) -> None:
        """Forget what has come."""
        with self._lock:
            self._hash = self._hasher() if self._hasher else None
            self._cut_to(0)

    def digest(self) -> bytes:
        """Return the digest of the content."""
        with self._lock:
            return bytes(self._hash.digest()) if self._hash is not None else b""

    def _cut_to(self, size: int) -> None:
        file = self._opened_file()
        file.truncate(size)
        file.seek(size)
        self.size = size

    def _opened_file(self) -> io.FileIO:
        if self._file is None:
            raise ValueError("the download is over")
        return self._file

    # -- end

    def commit(self) -> None:
        """Put the file in its place: all of it, on disk, or not at all.

        :raises OSError: if it can't be put there; ``FileExistsError`` if a file has come there in
            the meantime and may not be replaced.
        """
        with self._lock:
            with _named(self.target.file):
                os.fsync(self._opened_file().fileno())
            self._close()
            with _named(self.target.file):
                self._place()
            self._done = self.placed = True
            _sync_folder(self.target.folder)

    def _place(self) -> None:
        if self.target.overwrite:
            os.replace(self._path, self.target.file)
            return
        try:
            # Fails if there is a file now, which a rename would not.
            os.link(self._path, self.target.file)
        except FileExistsError:
            raise
        except OSError:
            # A file system without links: the best that can be done.
            if os.path.lexists(self.target.file):
                raise FileExistsError(
                    errno.EEXIST, os.strerror(errno.EEXIST), self.target.file
                ) from None
            os.replace(self._path, self.target.file)
        else:
            os.unlink(self._path)

    def discard(self) -> None:
        """Remove the file, unless it is in its place; may be called at any time, and again."""
        with self._lock:
            if not self._done:
                self._done = True
                self._close()
                with suppress(OSError):
                    os.unlink(self._path)

    def keep(self, key: str, validator: str, total: Optional[int]) -> None:
        """Leave what has come to a later download, with a note of which version it is.

        What can't be kept is removed. Takes the place of what was kept before.
        """
        with self._lock:
            if self._file is not None:
                # What goes wrong is followed by discard().
                with suppress(OSError):
                    self._cut_to(self.size)
                    write_note(self._file, Kept(key, validator, self.size, total))
                    os.fsync(self._file.fileno())
                    self._close()
                    os.replace(self._path, kept_path(self.target))
                    self._done = True
        self.discard()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Name in an error what the caller knows, not a temporary file or nothing at all."""
    try:
        yield
    except OSError as exc:
        exc.filename = path
        del exc.filename2
        raise


def _sync_folder(folder: str) -> None:
    """Make a rename durable, where folders can be synchronised."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


__all__ = ["PartialFile"]
