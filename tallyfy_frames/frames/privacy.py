"""Personal data, taken out or replaced before it can reach a frame, a log, the spool or a file. Pure.

Which columns hold it, their tables say (``personal``). A keyed hash of the same text is the same in every table and every
snapshot made with that key, so that joins still work; whoever has the key can find out which text it was, by trying.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import polars as pl

from tallyfy_frames.frames.cells import Cells
from tallyfy_frames.tables._table import Column

Mode: TypeAlias = Literal["keep", "hash", "drop"]
MODES: Final = ("keep", "hash", "drop")  # from all that is kept to nothing
HASH_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class Privacy:
    """What becomes of personal data. ``hash`` replaces texts; what is no text is dropped there, too."""

    mode: Mode = "keep"
    key: bytes = field(default=b"", repr=False)

    def applied(self, cells: Cells, columns: Sequence[Column]) -> Cells:
        """The cells without what ``mode`` takes away; rows are not kept as they came, either."""
        if self.mode == "keep":
            return cells
        changed = {
            column.name: self._column(cells.columns[column.name], column)
            for column in columns
            if column.personal and column.name in cells.columns
        }
        return replace(cells, columns=cells.columns | changed, texts={})

    def _column(self, values: list[Any], column: Column) -> list[Any]:
        if self.mode == "hash" and column.dtype == pl.String:
            return [None if value is None else self.hashed(value) for value in values]
        if self.mode == "hash" and column.dtype == pl.List(pl.String):
            return [None if value is None else [self.hashed(item) for item in value] for value in values]
        return [None] * len(values)

    def hashed(self, text: str) -> str:
        """What stands for ``text``: 128 bits of HMAC-SHA256, in hex. No text is no person."""
        return text and hmac.digest(self.key, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:HASH_CHARS]

    def facts(self) -> dict[str, str]:
        """What a manifest says of it; ``key`` is the same where hashes can be joined, and does not tell the key."""
        return {"mode": self.mode} | ({"key": self.hashed("key")} if self.mode == "hash" else {})

    def shown(self, value: Any, *, personal: bool) -> Any:
        """A value as it may be written down."""
        if self.mode == "keep" or not personal or value is None:
            return value
        if isinstance(value, Collection) and not isinstance(value, str):
            return [self.shown(item, personal=True) for item in value]
        return self.hashed(str(value)) if self.mode == "hash" else "***"
