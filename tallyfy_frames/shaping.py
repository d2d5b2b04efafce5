"""What becomes of an answer: its rows, and those inside them, as cells; then as frames that keep their contracts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, repeat
from typing import Any, Final

import polars as pl

from tallyfy_frames.api.protocol import Stated
from tallyfy_frames.errors import FilterError
from tallyfy_frames.frames.cells import Cells
from tallyfy_frames.frames.decode import decode
from tallyfy_frames.frames.flatten import flatten
from tallyfy_frames.frames.parts import count, make
from tallyfy_frames.frames.privacy import Privacy
from tallyfy_frames.frames.validate import Breach, Checked, OnInvalid, key_text, validate
from tallyfy_frames.landing import Batch, Inside, Landing
from tallyfy_frames.report import MORE, WORDS_MAX, LoadReport
from tallyfy_frames.tables._filters import Listing
from tallyfy_frames.tables._table import Column, Table

QUARANTINE_SCHEMA: Final = pl.Schema(
    [("table", pl.String()), ("id", pl.String()), ("reasons", pl.List(pl.String())), ("row", pl.String())]
)
WORD: Final = re.compile(r"[\w -]{1,30}")  # what may be told: no address, no link, and too short for a token


@dataclass
class Shaping:
    """Makes tables of the rows of one list: of themselves, or of what stands inside them. Counts what it meets."""

    spec: Table  # the list
    makes: Sequence[Table]
    org_id: str
    on_invalid: OnInvalid
    privacy: Privacy
    reveal: Collection[str]
    rows: int = 0  # of the list, so far
    coerced: Counter[str] = field(default_factory=Counter)
    nulled: Counter[str] = field(default_factory=Counter)
    shapes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unknown: Counter[str] = field(default_factory=Counter)
    words: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    set_aside: list[tuple[str, str | None, list[str], str]] = field(default_factory=list)
    cut_off: Counter[str] = field(default_factory=Counter)  # by key: rows that state more records than came under it

    def __post_init__(self) -> None:
        """Which columns each table has, and what of the list's rows the parts are made of."""
        self.parts = [table for table in self.makes if table.part is not None]
        keys = dict.fromkeys(key for table in self.parts if table.part for key in table.part.keys)
        self.included = [Column(f"with {key}", pl.Null(), (key,), "included", "provenance", None, "", nullable=True,
                                unique=False, ge=None, le=None, words=()) for key in keys]  # fmt: skip
        self.columns = {table.name: _shown(table.columns, self.reveal) for table in (self.spec, *self.parts)}
        self.wire = self.columns[self.spec.name]
        if self.included:
            self.wire = (*self.wire, *self.included)
        hashed = self.privacy.mode != "keep"  # or gone: what is personal holds no words any more
        self.worded = {table.name: [column for column in table.columns if column.words and not (column.personal and hashed)]
                       for table in self.makes}  # fmt: skip
        self.stated = {key: column for table in self.parts if table.part for key, column in table.part.stated.items()}

    def asked(self, listing: Listing) -> Listing:
        """The listing with all that the parts are made of."""
        parts = [table.part for table in self.parts if table.part]
        params = {name: value for part in parts for name, value in part.params.items()}
        return listing.including(params, chain.from_iterable(part.includes for part in parts))

    def landing(self, stated: Stated, received_at: datetime, cells: Cells) -> Landing:
        """An answer as it is kept: the rows inside its rows are rows of their own, and nothing is left that nobody may see."""
        found = {column.sources[0]: cells.columns.pop(column.name) for column in self.included}
        keys = cells.columns[self.spec.key[0]]
        inside: dict[str, Inside] = {}
        for table in self.parts:
            assert table.part is not None  # noqa: S101 - that is what makes it one
            rows, counts = make(table.part, found)
            own = decode(rows, self.columns[table.name])
            for column in table.columns:
                if column.reads == "parent":
                    own.columns[column.name] = [*chain.from_iterable(map(repeat, keys, counts))]
                elif column.reads == "place":
                    own.columns[column.name] = [place for size in counts for place in range(1, size + 1)]
            inside[table.name] = Inside(self.privacy.applied(own, table.columns), counts)
        held = {key: count(found[key]) for key in self.stated}
        return Landing(stated, received_at, self.privacy.applied(cells, self.spec.columns), inside, held)

    def shape(self, batch: Batch, listing: Listing) -> Iterator[tuple[str, pl.DataFrame]]:
        """Rows as they came → a valid frame of each table that has any; what belongs to a row set aside goes with it."""
        if not batch.height:
            return
        frame, cells, faults = self.flat(batch, self.spec)
        self.check_heeded(frame, listing)
        self.rows += frame.height
        for key, total in self.stated.items():
            held = [*chain.from_iterable(landing.held[key] for landing in batch.landings)]
            self.cut_off[key] += int((frame[total] > pl.Series(held, dtype=pl.Int64)).sum())
        flat = {table.name: (frame, cells, faults) if table is self.spec else self.flat(batch, table) for table in self.makes}
        checked = {table.name: self.checked(table, *flat[table.name]) for table in self.makes}
        apart = {name: flat[name][0][[*one.set_aside]] for name, one in checked.items() if one.set_aside}
        for table in self.makes:
            valid = checked[table.name].frame
            for column in table.columns if apart else ():
                home, _, key = (column.refers or "").partition(".")
                if home in apart and home != table.name and not column.nullable:
                    valid = valid.filter(~pl.col(column.name).is_in(apart[home][key].drop_nulls().to_list()))
            if valid.height:
                yield table.name, valid

    def checked(self, table: Table, frame: pl.DataFrame, cells: Cells, faults: list[Breach]) -> Checked:
        """A frame held to its contract; what that took is noted."""
        prefix = "" if table.name == self.makes[0].name else f"{table.name}."
        self.coerced.update({f"{prefix}{column}": values for column, values in cells.coerced.items()})
        for (column, shape), values in [*cells.shapes.items(), *(((column, reason), 1) for _, column, reason in faults)]:
            self.shapes[f"{prefix}{column}"][shape] += values
        self.unknown.update({f"{prefix}{path}": count for path, count in cells.unknown.items()})
        for one in self.worded[table.name]:
            new = _new_words(one, cells.columns[one.name])
            if new:
                self.tell(new, self.words[f"{prefix}{one.name}"], personal=one.personal)
        checked = validate(frame, table, faults, on_invalid=self.on_invalid)
        self.nulled.update(f"{prefix}{column}" for _, column, _ in checked.nulled)
        for row, reasons in checked.set_aside.items():
            words = [f"{column}: {reason}" for column, reason in reasons]
            self.set_aside.append((table.name, key_text(frame, table, row), words, cells.row_text(row)))
        return checked

    def tell(self, new: Counter[str], told: Counter[str], *, personal: bool) -> None:
        """Add words of one column to those told of it, as far as they may be told and there is room."""
        for word, rows in new.items():
            known = word in told or (not personal and WORD.fullmatch(word) and len(told) < WORDS_MAX)
            told[word if known else MORE] += rows

    def flat(self, batch: Batch, table: Table) -> tuple[pl.DataFrame, Cells, list[Breach]]:
        """Rows as they came → a flat frame, how they were read, and the cells that could not be."""
        part = None if table is self.spec else table.name
        cells = batch.cells(part)
        frame, unreadable = flatten(cells, table.columns, batch.provenance(part, self.org_id))
        faults = [(fault.row, fault.column, fault.reason) for fault in cells.faults]
        return frame, cells, faults + [(row, column, "text that is no instant") for row, column in unreadable]

    def check_heeded(self, frame: pl.DataFrame, listing: Listing) -> None:
        """Fail where rows show that the API ignored a filter: it would be a bigger table, silently."""
        for name, contradicts in listing.contradictions.items():
            found = frame.filter(contradicts)
            if found.height:
                raise FilterError(
                    f"the API ignored {name}={listing.params[name]!r}: rows came that cannot match it",
                    table=self.spec.name, row=str(found[self.spec.key[0]][0])[:64],
                    hint=f"{found.height} of the first {frame.height} rows; leave the filter out and filter the frame",
                )  # fmt: skip

    def note(self, report: LoadReport) -> None:
        """Say what was met so far."""
        report.values_coerced = dict(+self.coerced)
        report.values_nulled = dict(self.nulled)
        report.shapes_seen = {column: told for column, shapes in self.shapes.items() if (told := dict(+shapes))}
        report.unknown_keys = dict(self.unknown)
        report.unknown_words = {column: dict(words) for column, words in self.words.items()}
        report.rows_quarantined = len(self.set_aside)
        report.rows_cut_off = dict(+self.cut_off)

    def quarantined(self) -> pl.DataFrame:
        """The rows that were set aside."""
        return pl.DataFrame(self.set_aside, schema=QUARANTINE_SCHEMA, orient="row")


def _new_words(column: Column, values: Sequence[Any]) -> Counter[str]:
    """How many rows hold each word that a column does not list. Most hold none: a set of the words there are shows that."""
    lists = isinstance(column.dtype, pl.List)
    new = {*(chain.from_iterable(filter(None, values)) if lists else values)}.difference(column.words, (None, ""))
    if not new:
        return Counter()
    return Counter(
        chain.from_iterable(new.intersection(items or ()) for items in values) if lists else filter(new.__contains__, values)
    )


def _shown(columns: tuple[Column, ...], reveal: Collection[str]) -> tuple[Column, ...]:
    """The columns, those to be revealed as the text they are; the very same ones where there are none."""
    if not reveal:
        return columns
    return tuple(replace(one, reads="revealed") if one.name in reveal else one for one in columns)
