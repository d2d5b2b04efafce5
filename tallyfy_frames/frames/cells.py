"""Cells: rows as columns of plain values. What decode makes of a page, the spool keeps, and flatten turns into a frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell that has no obvious reading: which row, which column, why. Never the value."""

    row: int
    column: str
    reason: str


@dataclass(slots=True)
class Cells:
    """One plain value per row in each column: text, a number, a flag, None, or a list of numbers or texts. No secrets."""

    height: int
    columns: dict[str, list[Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    shapes: Counter[tuple[str, str]] = field(default_factory=Counter)  # values read from another shape, by column and shape
    unknown: Counter[str] = field(default_factory=Counter)  # keys that no column knows, by path
    texts: dict[int, str] = field(default_factory=dict)  # rows with a fault, as JSON text as they came, secrets masked

    @property
    def coerced(self) -> Counter[str]:
        """Values that were read from another shape, by column."""
        coerced = Counter[str]()
        for (column, _), values in self.shapes.items():
            coerced[column] += values
        return coerced

    def taken(self, rows: Sequence[int]) -> Cells:
        """Only these rows; positions rise. Faults and texts are renumbered; the counts stay those of the whole."""
        if len(rows) == self.height:
            return self
        columns = self.columns
        if not rows:
            columns = {name: [] for name in columns}
        elif rows[-1] - rows[0] == len(rows) - 1:
            stretch = slice(rows[0], rows[-1] + 1)
            columns = {name: values[stretch] for name, values in columns.items()}
        else:  # at least two
            pick = itemgetter(*rows)
            columns = {name: [*pick(values)] for name, values in columns.items()}
        faults, texts = self.faults, self.texts
        if faults or texts:
            places = {row: place for place, row in enumerate(rows)}
            faults = [Fault(places[fault.row], fault.column, fault.reason) for fault in faults if fault.row in places]
            texts = {places[row]: text for row, text in texts.items() if row in places}
        return Cells(len(rows), columns, faults, self.shapes, self.unknown, texts)

    @classmethod
    def joined(cls, many: Sequence[Cells]) -> Cells:
        """One after the other, with the counts of all. They are of one table."""
        whole = cls(0)
        if len(many) == 1:
            return many[0]
        whole.columns = {name: [] for cells in many[:1] for name in cells.columns}
        for name, values in whole.columns.items():
            for cells in many:
                values.extend(cells.columns[name])
        for cells in many:
            start = whole.height
            whole.height += cells.height
            whole.faults += [Fault(start + fault.row, fault.column, fault.reason) for fault in cells.faults]
            whole.texts |= {start + row: text for row, text in cells.texts.items()}
            whole.shapes.update(cells.shapes)
            whole.unknown.update(cells.unknown)
        return whole

    def packed(self) -> bytes:
        """Bytes that :meth:`unpacked` reads, value by value the same."""
        faults = [(fault.row, fault.column, fault.reason) for fault in self.faults]
        return _encode((self.height, self.columns, faults, self.shapes, self.unknown, self.texts))

    @classmethod
    def unpacked(cls, data: bytes) -> Cells:
        """What was packed; ``ValueError`` for anything else."""
        height, columns, faults, shapes, unknown, texts = _decoder.decode(data)  # its error is a ValueError
        rows = range(height)
        if any(len(values) != height for values in columns.values()):
            raise ValueError("columns of different heights")
        if any(row not in rows for row in chain(texts, map(itemgetter(0), faults))):
            raise ValueError("a row that there is not")
        return cls(height, columns, [Fault(*fault) for fault in faults], Counter(shapes), Counter(unknown), texts)

    def row_text(self, row: int) -> str:
        """A row as JSON text: as it came, or, since all of it could be read, its cells by column."""
        text = self.texts.get(row)
        if text is not None:
            return text
        return msgspec.json.encode({name: values[row] for name, values in self.columns.items()}).decode()


Cell: TypeAlias = str | int | float | bool | list[int | str] | None
Packed: TypeAlias = tuple[
    int, dict[str, list[Cell]], list[tuple[int, str, str]], Mapping[tuple[str, str], int], Mapping[str, int], dict[int, str]
]

_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Packed)
