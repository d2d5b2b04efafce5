"""A flat frame → the same, held to the table's contract; decides what becomes of rows that break it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaError, SchemaErrors

from tallyfy_frames.errors import ContractError
from tallyfy_frames.tables._table import Table

OnInvalid: TypeAlias = Literal["raise", "null", "quarantine"]
ON_INVALID: Final = ("raise", "null", "quarantine")
SHOWN_MAX: Final = 10  # cells listed in an error
KEY_MAX: Final = 64  # characters of a row's key in it

Breach: TypeAlias = tuple[int, str, str]  # row, column, reason


@dataclass(frozen=True, slots=True)
class Checked:
    """Valid rows, and which of the rows given were set aside, with their reasons."""

    frame: pl.DataFrame
    set_aside: Mapping[int, Sequence[tuple[str, str]]]  # row → (column, reason) …
    nulled: Sequence[Breach]


def validate(frame: pl.DataFrame, spec: Table, faults: Iterable[Breach], *, on_invalid: OnInvalid) -> Checked:
    """Hold ``frame`` to its table's contract. ``faults`` are cells that could not be read, and are null in it already.

    ``raise``: ``ContractError`` names up to ten cells by row key and column, never the value. ``null``: such cells become
    null, and rows where the contract allows no null are set aside. ``quarantine``: every such row is set aside.
    """
    breaches = [*faults]
    known = {(row, column) for row, column, _ in breaches}
    breaches += [breach for breach in _breaches(frame, spec) if breach[:2] not in known]
    if not breaches:
        return Checked(frame, {}, ())
    if on_invalid == "raise":
        raise _error(frame, breaches, spec)
    apart: dict[int, list[tuple[str, str]]] = {}
    nulled: list[Breach] = []
    for row, column, reason in breaches:
        if on_invalid == "quarantine" or not spec.contract.columns[column].nullable:
            apart.setdefault(row, []).append((column, reason))
        else:
            nulled.append((row, column, reason))
    nulled = [breach for breach in nulled if breach[0] not in apart]
    for column in {column for _, column, _ in nulled}:
        rows = [row for row, name, _ in nulled if name == column]
        frame = frame.with_columns(pl.when(pl.int_range(pl.len()).is_in(rows).not_()).then(pl.col(column)).alias(column))
    kept = frame.filter(pl.int_range(pl.len()).is_in(list(apart)).not_()) if apart else frame
    leftover = _breaches(kept, spec)
    if leftover:
        raise _error(kept, leftover, spec)
    return Checked(kept, apart, nulled)


def _breaches(frame: pl.DataFrame, spec: Table) -> list[Breach]:
    """Every cell that breaks the contract, by row number. Types that are not the column's are a bug here, and raise."""
    if _keeps(frame, spec.quick_contract):
        return []
    try:
        spec.contract.validate(frame, lazy=True)
    except SchemaErrors as errors:
        found: list[Breach] = []
        for case in errors.failure_cases.select("column", "check", "index").iter_rows(named=True):
            if case["index"] is None:  # a column that is missing, misplaced or of the wrong type
                what = f"the frame does not have the contract's columns: {case['column']} fails {case['check']}"
                raise ContractError(what, table=spec.name) from None
            found.append((case["index"], case["column"], _reason(case["check"])))
        return sorted(set(found))
    return []


def _keeps(frame: pl.DataFrame, quick_contract: pa.DataFrameSchema) -> bool:
    """Whether a frame keeps its contract, cheaply: most do, and only then is each column asked what is wrong with it."""
    try:
        quick_contract.validate(frame)
    except SchemaError:
        return False
    return True


def _reason(check: str) -> str:
    words = {"not_nullable": "missing", "field_uniqueness": "the same as another row's"}
    if check.startswith("greater_than_or_equal_to"):
        return "below its least value"
    if check.startswith("less_than_or_equal_to"):
        return "above its greatest value"
    return words.get(check, check)


def _error(frame: pl.DataFrame, breaches: Sequence[Breach], spec: Table) -> ContractError:
    cells = [f"{key_text(frame, spec, row) or f'row {row + 1}'}.{column}: {reason}"
             for row, column, reason in breaches[:SHOWN_MAX]]  # fmt: skip
    more = len(breaches) - len(cells)
    return ContractError(
        f"{len(breaches)} {'value breaks' if len(breaches) == 1 else 'values break'} the contract of {spec.name}",
        cells="; ".join(cells) + (f"; and {more} more" if more else ""),
        hint="on_invalid='null' or 'quarantine' reads the rest",
    )


def key_text(frame: pl.DataFrame, spec: Table, row: int) -> str | None:
    """A row's key for people, cut to a bounded length; None if it has none."""
    parts = frame.select(spec.key).row(row)
    return None if None in parts else "/".join(map(str, parts))[:KEY_MAX]
