"""The rows seen so far, packed: a load of a million runs must not need a gigabyte to know which it has."""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 1 << 16
KEY_BYTES: Final = 16


class Ids:
    """A set of 16-byte keys in about 24 bytes each; a Python set of them takes some 110."""

    def __init__(self) -> None:
        """None yet."""
        self._buckets: dict[int, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def add(self, key: bytes) -> bool:
        """Add a key; whether it is new."""
        bucket = self._buckets.setdefault(hash(key) % BUCKETS, bytearray())
        at = bucket.find(key)
        while at > 0 and at % KEY_BYTES:  # found across the border of two keys
            at = bucket.find(key, at + 1)
        if at >= 0:
            return False
        bucket += key
        self._count += 1
        return True
