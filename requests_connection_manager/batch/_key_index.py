"""Where the entries of a file are, by key, in little memory.

Holds :class:`KeyIndex`; knows neither files nor what an entry is.
"""

from __future__ import annotations

from array import array
from typing import Optional

_MASK = (1 << 64) - 1


class KeyIndex:
    """Key -> offset, 24 to 32 bytes an entry where a ``dict`` takes about 200.

    Two arrays hold the entries, a third is the hash table, with open addressing, as in a ``dict``.
    Only a hash of the key is kept: two keys of one hash (one chance in 10⁷ among a million) share
    an entry, so who looks one up must compare the key there.

    >>> index = KeyIndex()
    >>> index.put("a", 0)
    >>> index.put("b", 40)
    >>> index.put("a", 90)
    >>> index.find("a"), index.find("b"), index.find("c"), len(index)
    (90, 40, None, 2)
    """

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._offsets = array("Q")
        self._slots = _empty(1 << 10)

    def __len__(self) -> int:
        return len(self._hashes)

    def put(self, key: str, offset: int) -> None:
        """Remember where the entry of a key is, in place of an earlier one."""
        hashed = hash(key) & _MASK
        slot = self._slot_of(hashed)
        number = self._slots[slot]
        if number:
            self._offsets[number - 1] = offset
            return
        self._hashes.append(hashed)
        self._offsets.append(offset)
        self._slots[slot] = len(self._hashes)
        if len(self._hashes) * 3 > len(self._slots) * 2:
            self._grow()

    def find(self, key: str) -> Optional[int]:
        """Return where the entry of a key is, if there is one."""
        number = self._slots[self._slot_of(hash(key) & _MASK)]
        return self._offsets[number - 1] if number else None

    def _slot_of(self, hashed: int) -> int:
        slots, hashes = self._slots, self._hashes
        slot = hashed % len(slots)
        while slots[slot] and hashes[slots[slot] - 1] != hashed:
            slot = (slot + 1) % len(slots)
        return slot

    def _grow(self) -> None:
        size = len(self._slots) * 2
        self._slots = array("I")  # the old one is gone before the new one is there
        self._slots = _empty(size)
        for number, hashed in enumerate(self._hashes, 1):
            self._slots[self._slot_of(hashed)] = number


def _empty(size: int) -> array[int]:
    return array("I", bytes(4)) * size


__all__ = ["KeyIndex"]
