"""The SQL of the measures and their polars say the same of any runs, tasks and users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import Measured, same

from tallyfy_frames.databases.views import SNAPSHOT, SOURCES, VIEWS, statement

ZERO = datetime(2031, 1, 6, tzinfo=UTC)  # a Monday
AS_OF = ZERO + timedelta(days=40, hours=7)
# Close together, so that they coincide, contradict one another, and fall on midnights and Mondays.
instants = st.one_of(
    st.none(),
    st.integers(-3, 45).map(lambda days: ZERO + timedelta(days=days)),
    st.integers(-100_000, 4_000_000).map(lambda seconds: ZERO + timedelta(seconds=seconds)),
    st.integers(-5, 5).map(lambda us: AS_OF + timedelta(microseconds=us)),
)
words = st.sampled_from([None, "a", "b", "ä", "", " ", "<b>", "it's", "A"])
numbers = st.sampled_from([None, 1, 2, 3])
task_words = st.sampled_from([None, "completed", "complete", "skipped", "auto-skipped", "active"])
VALUES = {pl.String: words, pl.Int64: numbers, pl.Boolean: st.sampled_from([None, True, False]), pl.Datetime: instants}
OWN = {"runs": {"status": st.sampled_from([None, "active", "problem", "issue"])}, "tasks": {"status": task_words}, "users": {}}


def rows_of(source: str) -> st.SearchStrategy[pl.DataFrame]:
    schema = pl.Schema(SOURCES[source])
    cells = {name: OWN[source].get(name, VALUES[dtype.base_type()]) for name, dtype in schema.items() if name != "id"}

    def framed(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
        ids = range(1, len(rows) + 1) if source == "users" else [f"{source}{n:03}" for n in range(len(rows))]
        return pl.DataFrame([{"id": name, **row} for name, row in zip(ids, rows, strict=True)], schema=schema)

    if source == "tasks":
        cells["run_id"] = st.sampled_from([None, "runs000", "runs001", "runs002", "gone"])
    return st.lists(st.fixed_dictionaries(cells), max_size=12).map(framed)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@given(runs=rows_of("runs"), tasks=rows_of("tasks"), users=rows_of("users"))
@settings(max_examples=40)
def test_a_view_is_what_polars_computes(view: object, runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame) -> None:
    frames = {"runs": runs, "tasks": tasks, "users": users, SNAPSHOT: pl.DataFrame({"as_of": [AS_OF]}, SOURCES[SNAPSHOT])}
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'Asia/Kolkata'")
        sources = {}
        for name, frame in frames.items():
            plain = frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None))
            connection.register(f"given_{name}", plain.to_arrow())
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
