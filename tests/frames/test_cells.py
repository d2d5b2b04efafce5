"""Cells come out of the spool as they went in, and rows taken out of many pages are those rows."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallyfy_frames.frames.cells import Cells, Fault

NAMES = ("a", "b", "c")
cell = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=4)
    | st.lists(st.integers(-9, 9) | st.text(max_size=2), max_size=3)
)  # fmt: skip
counts = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9)).map(Counter)
shapes = st.dictionaries(st.tuples(st.sampled_from(NAMES), st.sampled_from(["text", "a list"])), st.integers(1, 9)).map(Counter)


@st.composite
def any_cells(draw: st.DrawFn) -> Cells:
    height = draw(st.integers(0, 6))
    columns = {name: draw(st.lists(cell, min_size=height, max_size=height)) for name in NAMES}
    rows = draw(st.lists(st.integers(0, height - 1), max_size=3)) if height else []
    faults = [Fault(row, draw(st.sampled_from(NAMES)), "no number") for row in rows]
    return Cells(height, columns, faults, draw(shapes), draw(counts), {row: json.dumps({"row": row}) for row in rows})


def as_rows(cells: Cells) -> list[tuple[Any, ...]]:
    """Each row with all that is known of it, so that 1, 1.0 and True differ."""
    faults: dict[int, list[tuple[str, str]]] = {}
    for fault in cells.faults:
        faults.setdefault(fault.row, []).append((fault.column, fault.reason))
    return [
        (repr([cells.columns[name][row] for name in NAMES]), faults.get(row), cells.texts.get(row))
        for row in range(cells.height)
    ]


@given(any_cells())
def test_what_is_packed_comes_out_the_same(cells: Cells) -> None:
    again = Cells.unpacked(cells.packed())
    assert as_rows(again) == as_rows(cells)
    assert again == cells
    assert isinstance(again.shapes, Counter)


@given(any_cells(), st.data())
def test_rows_that_are_taken_keep_all_that_is_known_of_them(cells: Cells, data: st.DataObject) -> None:
    rows = [row for row in range(cells.height) if data.draw(st.booleans())]
    taken = cells.taken(rows)
    assert taken.height == len(rows)
    assert as_rows(taken) == [as_rows(cells)[row] for row in rows]
    assert {*taken.columns} == {*NAMES}
    assert (taken.shapes, taken.unknown) == (cells.shapes, cells.unknown)


@given(st.lists(any_cells(), min_size=1, max_size=4))
def test_pages_are_joined_in_their_order(many: list[Cells]) -> None:
    whole = Cells.joined(many)
    assert as_rows(whole) == [row for cells in many for row in as_rows(cells)]
    assert whole.coerced == sum((cells.coerced for cells in many), Counter())
    assert whole.unknown == sum((cells.unknown for cells in many), Counter())


@given(any_cells(), any_cells())
def test_joining_changes_nothing_of_what_is_joined(one: Cells, other: Cells) -> None:
    before = one.packed(), other.packed()
    Cells.joined([one, other]).columns["a"].append("x")
    assert (one.packed(), other.packed()) == before


def test_nothing_joined_is_nothing() -> None:
    assert Cells.joined([]) == Cells(0)


def test_a_row_without_a_fault_is_told_by_its_cells() -> None:
    cells = Cells(2, {"id": ["a", "b"], "users": [[1], None]}, texts={1: '{"id":"b","new":2}'})
    assert json.loads(cells.row_text(0)) == {"id": "a", "users": [1]}
    assert cells.row_text(1) == '{"id":"b","new":2}'


DAMAGED: list[Any] = [
    b"", b"x", Cells(1, {"a": [1]}).packed()[:-1], Cells(2, {"a": [1]}).packed(), Cells(1, {"a": [1]}, [Fault(1, "a", "x")]).packed(),
    Cells(1, {"a": [1]}, texts={-1: "x"}).packed(), Cells(1, {"a": [{"x": 1}]}).packed(), msgspec.json.encode([1, {}]),
]  # fmt: skip


@pytest.mark.parametrize("data", DAMAGED)
def test_what_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec says what is wrong
        Cells.unpacked(data)
