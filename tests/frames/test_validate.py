"""Rows that break the contract: raised, nulled or set aside, and never shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.frames.validate import validate
from tallyfy_frames.tables._table import Table, quick

RUNS = tables.get("runs")
AT = datetime(2031, 4, 5, 6, 7, 8, tzinfo=UTC)


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
    return validate(table, RUNS, faults, on_invalid=on_invalid)


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


WRONG: list[Callable[[pl.DataFrame], pl.DataFrame]] = [
    lambda table: table.drop("name"),
    lambda table: table.with_columns(more=pl.lit(1)),
    lambda table: table.rename({"name": "title"}),
    lambda table: table.select(reversed(table.columns)),
    lambda table: table.with_columns(pl.col("late_tasks").cast(pl.Int32)),
    lambda table: table.with_columns(pl.col("created_at").dt.cast_time_unit("ms")),
    lambda table: table.with_columns(pl.col("created_at").dt.convert_time_zone("Europe/Vienna")),
    lambda table: table.with_columns(pl.col("users").cast(pl.List(pl.Int32))),
    lambda table: table.with_columns(pl.lit(None).alias("summary")),
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("height", [0, 2])
def test_wrong_columns_are_a_clear_error(wrong: Callable[[pl.DataFrame], pl.DataFrame], height: int) -> None:
    table = wrong(frame(id=["a", "b"]).head(height))
    assert not keeps(table, RUNS.quick_contract)
    with pytest.raises(tf.ContractError, match="does not have the contract's columns"):
        held(table, on_invalid="null")


def keeps(table: pl.DataFrame, contract: pa.DataFrameSchema) -> bool:
    try:
        contract.validate(table, lazy=True)
    except SchemaErrors:
        return False
    return True


def sound(spec: Table, height: int) -> pl.DataFrame:
    """Rows that keep the contract: a value in every cell."""
    some: dict[Any, Any] = {pl.Int64: 1, pl.Float64: 1.0, pl.String: "x", pl.Boolean: True, pl.Datetime: AT, pl.List: []}
    rows = {
        column.name: [
            (n + 1 if column.dtype == pl.Int64 else str(n)) if column.unique else some[column.dtype.base_type()]
            for n in range(height)
        ]
        for column in spec.columns
    }
    return pl.DataFrame(rows, schema=spec.schema)


def breaches() -> Iterator[tuple[str, str, list[Any], bool]]:
    """Every table, every column: three cells at an edge of what it may hold, and whether they keep to it."""
    for name in tables.TABLES:
        for column in tables.get(name).columns:
            good = sound(tables.get(name), 3)[column.name].to_list()
            yield name, column.name, [good[0], None, good[2]], column.nullable
            if column.unique:
                yield name, column.name, [good[0], good[0], good[1]], False
                yield name, column.name, [None, None, good[1]], False
            for bound, step in ((column.ge, -1), (column.le, 1)):
                if bound is not None:
                    cell = type(good[0])
                    yield name, column.name, [good[0], good[1], cell(bound)], True
                    yield name, column.name, [good[0], good[1], cell(bound + step)], False
            if column.dtype == pl.Float64:
                yield name, column.name, [good[0], math.nan, good[2]], column.le is None


@pytest.mark.parametrize(("name", "column", "cells", "kept"), [*breaches()])
def test_the_quick_contract_and_the_full_one_agree_at_every_edge(name: str, column: str, cells: list[Any], kept: bool) -> None:
    spec = tables.get(name)
    table = sound(spec, 3).with_columns(pl.Series(column, cells, dtype=spec.schema[column]))
    assert keeps(table, spec.contract) == kept
    assert keeps(table, spec.quick_contract) == kept


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_what_the_full_contract_refuses_the_quick_one_refuses(data: st.DataObject) -> None:
    spec = tables.get(data.draw(st.sampled_from([*tables.TABLES])))
    height = data.draw(st.integers(0, 4))
    table = sound(spec, height)
    cells = {
        pl.Int64: st.integers(-2, 3), pl.Float64: st.sampled_from([-0.5, 0.0, -0.0, 50.0, 100.0, 100.5, math.nan, math.inf]),
        pl.String: st.sampled_from(["", "0", "a"]), pl.Boolean: st.booleans(), pl.Datetime: st.just(AT), pl.List: st.just([]),
    }  # fmt: skip
    for column in data.draw(st.lists(st.sampled_from(spec.columns), max_size=2)):
        values = data.draw(st.lists(st.none() | cells[column.dtype.base_type()], min_size=height, max_size=height))
        table = table.with_columns(pl.Series(column.name, values, dtype=column.dtype))
    assert keeps(table, spec.quick_contract) == keeps(table, spec.contract)


def test_a_rule_that_cannot_be_asked_quickly_is_no_rule_that_is_skipped() -> None:
    contract = pa.DataFrameSchema({"a": pa.Column(pl.String, checks=pa.Check.str_length(max_value=3))})
    with pytest.raises(KeyError, match="str_length"):
        quick(contract)


def test_only_a_frame_that_breaks_something_is_asked_column_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("asked column by column")

    monkeypatch.setattr(RUNS.contract, "validate", fail)
    assert held(sound(RUNS, 3)).frame.height == 3
    with pytest.raises(pytest.fail.Exception):
        held(frame(id=["a", "a"]))
