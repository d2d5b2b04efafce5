"""The SQL of the measures and their polars say the same of any runs, tasks and users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from measured import Measured, same
from odd_frames import AS_OF, rows_of
from odd_frames import given as sources_of

from tallyfy_frames.databases.views import FLOW_YEARS, SOURCES, VIEWS, WORK_IN_PROGRESS, View, statement


def answered(view: View, runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """The rows of a view over these frames."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'Asia/Kolkata'")
        sources = {}
        for name, frame in sources_of(runs, tasks, users).items():
            connection.register(f"given_{name}", frame.to_arrow())
            sources[name] = f"select * from given_{name}"
        for made in VIEWS[: VIEWS.index(view) + 1]:
            connection.execute(f"create temp view {made.name} as {statement(made, sources)}")
        return connection.sql(f"select * from {view.name}").pl()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@given(runs=rows_of("runs"), tasks=rows_of("tasks"), users=rows_of("users"))
@settings(max_examples=40)
def test_a_view_is_what_polars_computes(view: View, runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame) -> None:
    got = answered(view, runs, tasks, users)
    assert got.columns == list(view.columns)
    same(got, Measured(runs, tasks, users, AS_OF).view(view.name), view.name)


def test_days_are_told_for_ten_years_and_whatever_was_before_is_in_the_first_of_them() -> None:
    started = [datetime(1, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), AS_OF - timedelta(days=3)]
    completed = [None, datetime(1999, 12, 31, tzinfo=UTC), None]
    cells = {
        "id": ["a", "b", "c"],
        "status": ["active", "complete", "active"],
        "started_at": started,
        "completed_at": completed,
    }
    runs = pl.DataFrame({name: cells.get(name, [None] * 3) for name in SOURCES["runs"]}, schema=SOURCES["runs"])
    tasks, users = (pl.DataFrame(schema=SOURCES[name]) for name in ("tasks", "users"))
    got = answered(WORK_IN_PROGRESS, runs, tasks, users)
    first = AS_OF.replace(year=AS_OF.year - FLOW_YEARS, hour=0)
    assert got["until"].min() == first.replace(tzinfo=None)
    wanted = Measured(runs, tasks, users, AS_OF).work_in_progress()
    same(got, wanted.filter(pl.col("until") >= first), "work_in_progress")


def test_a_source_is_named_by_every_view_that_is_made_of_it() -> None:
    for view in VIEWS:
        body = " ".join([*view.steps.values(), view.sql])
        assert set(view.sources) == {source for source in SOURCES if f"from {source}" in body or f"join {source}" in body}
