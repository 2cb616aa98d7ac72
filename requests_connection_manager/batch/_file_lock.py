"""One process at a time: the lock of an open file.

Knows nothing of what is in the file. The lock ends with the process, however it ends.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt
    import os

    # Windows keeps others from reading what is locked: far behind the end nobody reads.
    _FAR = 1 << 40

    def lock(descriptor: int) -> None:
        """Lock an open file.

        :raises OSError: somebody else has it.
        """
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def unlock(descriptor: int) -> None:
        """Let others have it."""
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(descriptor: int) -> None:
        """Lock an open file.

        :raises OSError: somebody else has it, be it in this process.
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(descriptor: int) -> None:
        """Let others have it."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


__all__ = ["lock", "unlock"]
