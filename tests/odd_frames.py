"""Runs, tasks and users as nobody would expect them: whatever a view is made of them must be what polars computes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from tallyfy_frames.databases.views import SNAPSHOT, SOURCES

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


def given(runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The sources of views, with instants as plain ones in UTC."""
    frames = {"runs": runs, "tasks": tasks, "users": users, SNAPSHOT: pl.DataFrame({"as_of": [AS_OF]}, SOURCES[SNAPSHOT])}
    utc = pl.col(pl.Datetime("us", "UTC"))
    return {name: frame.with_columns(utc.dt.replace_time_zone(None)) for name, frame in frames.items()}
