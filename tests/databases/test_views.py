"""The SQL of the measures and their polars say the same of any runs, tasks and users."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from measured import Measured, same
from odd_frames import AS_OF, rows_of
from odd_frames import given as sources_of

from tallyfy_frames.databases.views import SOURCES, VIEWS, statement


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@given(runs=rows_of("runs"), tasks=rows_of("tasks"), users=rows_of("users"))
@settings(max_examples=40)
def test_a_view_is_what_polars_computes(view: object, runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame) -> None:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'Asia/Kolkata'")
        sources = {}
        for name, frame in sources_of(runs, tasks, users).items():
            connection.register(f"given_{name}", frame.to_arrow())
            sources[name] = f"select * from given_{name}"
        for made in VIEWS[: VIEWS.index(view) + 1]:
            connection.execute(f"create temp view {made.name} as {statement(made, sources)}")
        got = connection.sql(f"select * from {view.name}").pl()
    assert got.columns == list(view.columns)
    same(got, Measured(runs, tasks, users, AS_OF).view(view.name), view.name)


def test_a_source_is_named_by_every_view_that_is_made_of_it() -> None:
    for view in VIEWS:
        body = " ".join([*view.steps.values(), view.sql])
        assert set(view.sources) == {source for source in SOURCES if f"from {source}" in body or f"join {source}" in body}
