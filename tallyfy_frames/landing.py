"""Answers once they are here: rows as cells, what stands inside them, and where they came from. On their way into frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec

from tallyfy_frames.api.protocol import Stated
from tallyfy_frames.api.steps import Answer
from tallyfy_frames.frames.cells import Cells


class Inside(NamedTuple):
    """Rows that stand inside the rows of an answer, in their order, and how many are in each."""

    cells: Cells
    counts: Sequence[int]

    def taken(self, rows: Sequence[int]) -> Inside:
        """Those inside these rows only."""
        ends = [*accumulate(self.counts)]
        places = [place for row in rows for place in range(ends[row] - self.counts[row], ends[row])]
        return Inside(self.cells.taken(places), [self.counts[row] for row in rows])


@dataclass(frozen=True, slots=True)
class Landing:
    """An answer: its rows as cells, by table what stands inside them, and what the columns of provenance need."""

    stated: Stated
    received_at: datetime
    cells: Cells
    inside: Mapping[str, Inside] = field(default_factory=dict)
    held: Mapping[str, Sequence[int]] = field(default_factory=dict)  # by key: how many records each row includes under it

    def rows(self, part: str | None) -> Cells:
        """Those of the list itself, or those of a table that stand inside them."""
        return self.cells if part is None else self.inside[part].cells

    def taken(self, rows: Sequence[int]) -> Landing:
        """Only these rows, and what is inside them."""
        if len(rows) == self.cells.height:
            return self
        inside = {name: part.taken(rows) for name, part in self.inside.items()}
        held = {key: [counts[row] for row in rows] for key, counts in self.held.items()}
        return replace(self, cells=self.cells.taken(rows), inside=inside, held=held)

    def packed(self, answer: Answer) -> bytes:
        """Everything, as bytes. Secrets are masked in cells."""
        facts = (astuple(self.stated), self.received_at, answer.keys, answer.moments, answer.total, answer.per_page)
        inside = {name: (part.cells.packed(), part.counts) for name, part in self.inside.items()}
        return msgspec.msgpack.encode((facts, self.cells.packed(), inside, self.held))

    @classmethod
    def unpacked(cls, data: bytes) -> tuple[Answer, Landing]:
        """What :meth:`packed` packed."""
        facts, cells, parts, held = msgspec.msgpack.decode(data, type=_PACKED)
        stated, received_at, keys, moments, total, per_page = facts
        inside = {name: Inside(Cells.unpacked(packed), counts) for name, (packed, counts) in parts.items()}
        landing = cls(Stated(*stated), received_at, Cells.unpacked(cells), inside, held)
        return Answer(keys, moments, total, per_page), landing


_PACKED: Final = tuple[
    tuple[tuple[int | None, ...], datetime, list[bytes], list[float | None], int | None, int | None],
    bytes,
    dict[str, tuple[bytes, list[int]]],
    dict[str, list[int]],
]


@dataclass
class Batch:
    """Answers that wait to be shaped together."""

    landings: list[Landing] = field(default_factory=list)
    height: int = 0  # rows of the list
    all_rows: int = 0  # with those inside them

    def add(self, landing: Landing) -> None:
        """One more answer."""
        self.landings.append(landing)
        self.height += landing.cells.height
        self.all_rows += landing.cells.height + sum(part.cells.height for part in landing.inside.values())

    def cells(self, part: str | None) -> Cells:
        """The rows of the list, or those of a table that stand inside them."""
        return Cells.joined([landing.rows(part) for landing in self.landings])

    def provenance(self, part: str | None, org_id: str) -> list[tuple[dict[str, Any], int]]:
        """The columns that say where rows came from: the same for all rows of an answer, and how many those are."""
        return [
            (
                {f"pagination_{name}": getattr(landing.stated, name) for name in Stated.__slots__}
                | {"organization_id": org_id, "loaded_at": landing.received_at},
                landing.rows(part).height,
            )
            for landing in self.landings
        ]
