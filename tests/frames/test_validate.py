"""Rows that break the contract: raised, nulled or set aside, and never shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.frames.validate import validate

RUNS = tables.get("runs")


def frame(**columns: list[Any]) -> pl.DataFrame:
    height = len(next(iter(columns.values())))
    given = {
        "id": [str(n) for n in range(height)],
        "organization_id": ["0f"] * height,
        "loaded_at": [datetime.now(UTC)] * height,
    }
    given |= columns
    return pl.DataFrame({name: given.get(name, [None] * height) for name in RUNS.schema}, schema=RUNS.schema)


def held(table: pl.DataFrame, faults: Any = (), on_invalid: Any = "raise") -> Any:
    return validate(table, RUNS.contract, faults, on_invalid=on_invalid, key="id", table="runs")


def test_a_frame_that_keeps_the_contract_passes_unchanged() -> None:
    table = frame(progress_percent=[0.0, 37.5, 100.0, None])
    checked = held(table)
    assert checked.frame.equals(table)
    assert not checked.set_aside


BROKEN = [
    ("id", [None, "b"], "missing"), ("id", ["a", "a"], "the same as another row's"), ("progress_percent", [100.5, None], "above its greatest value"),
    ("progress_total", [-1, None], "below its least value"), ("owner_id", [0, 1], "below its least value"),
    ("organization_id", ["0f", None], "missing"), ("pagination_current_page", [0, 1], "below its least value"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "reason"), BROKEN)
def test_every_kind_of_breach_is_found_and_named_without_its_value(name: str, values: list[Any], reason: str) -> None:
    with pytest.raises(tf.ContractError, match=reason) as caught:
        held(frame(**{name: values}))
    assert f".{name}" in str(caught.value)
    assert "100.5" not in str(caught.value)


def test_a_breach_becomes_null_where_null_is_allowed() -> None:
    checked = held(frame(progress_percent=[140.0, 20.0]), on_invalid="null")
    assert checked.frame["progress_percent"].to_list() == [None, 20.0]
    assert len(checked.nulled) == 1


def test_where_null_is_not_allowed_the_row_is_set_aside() -> None:
    checked = held(frame(id=[None, "b"], progress_percent=[140.0, 150.0]), on_invalid="null")
    assert checked.frame["id"].to_list() == ["b"]
    assert checked.frame["progress_percent"].to_list() == [None]
    assert list(checked.set_aside) == [0]
    assert [breach[0] for breach in checked.nulled] == [1]


def test_quarantine_sets_every_broken_row_aside_with_its_reasons() -> None:
    checked = held(
        frame(progress_percent=[140.0, 20.0, 30.0]),
        [(2, "increment_id", "text that is no whole number")],
        on_invalid="quarantine",
    )
    assert checked.frame["progress_percent"].to_list() == [20.0]
    assert checked.set_aside == {
        0: [("progress_percent", "above its greatest value")], 2: [("increment_id", "text that is no whole number")],
    }  # fmt: skip


def test_ten_cells_are_listed_and_the_others_counted() -> None:
    with pytest.raises(tf.ContractError) as caught:
        held(frame(progress_percent=[140.0] * 25))
    assert str(caught.value).count("progress_percent") == 10
    assert "and 15 more" in str(caught.value)


def test_wrong_columns_are_a_clear_error() -> None:
    for table in (
        frame(id=["a"]).drop("name"),
        frame(id=["a"]).with_columns(pl.col("late_tasks").cast(pl.Int32)),
        frame(id=["a"]).reverse(),
    ):
        if table.schema != RUNS.schema:
            with pytest.raises(tf.ContractError, match="does not have the contract's columns"):
                held(table, on_invalid="null")
