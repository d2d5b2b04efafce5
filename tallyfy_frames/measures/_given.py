"""What the measures are given, and the words they share: needed columns, instants, a span's hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import polars as pl

from tallyfy_frames.errors import UsageError
from tallyfy_frames.measures.calendar import INSTANT, US_PER_HOUR, Calendar

SOURCES: Final = {"runs": ("runs",), "tasks": ("tasks", "run_tasks")}  # what the measures are given → the tables that have it
# Some runs, and many tasks, have no start of their own; they could begin when they were made.
START: Final = pl.coalesce("started_at", "created_at")
START_FROM: Final = (
    pl.when(pl.col("started_at").is_not_null())
    .then(pl.lit("started_at"))
    .when(pl.col("created_at").is_not_null())
    .then(pl.lit("created_at"))
)


def take(frame: pl.DataFrame, what: str, keep: Sequence[str], instants: Sequence[str]) -> pl.DataFrame:
    """The columns ``keep`` and ``instants`` of ``frame``; ``UsageError`` where one is missing, or holds no instants."""
    if isinstance(frame, pl.LazyFrame):
        raise UsageError(f"{what} is a LazyFrame", hint="collect() it first")
    if not isinstance(frame, pl.DataFrame):
        raise UsageError(f"{what} must be a polars DataFrame, not {type(frame).__name__}")
    if missing := [name for name in (*keep, *instants) if name not in frame.columns]:
        sources = " or ".join(f"load({name!r})" for name in SOURCES[what])
        raise UsageError(f"{what} lacks {', '.join(missing)}", hint=f"give it what {sources} returns, or these columns of it")
    for name in instants:
        dtype = frame.schema[name]
        if dtype != pl.Null and not (isinstance(dtype, pl.Datetime) and dtype.time_zone):
            raise UsageError(f"{what}: {name} holds {dtype}, not instants with a time zone")
    # A frame that came page by page has as many chunks, and what is asked of a calendar is asked once for each.
    return frame.select(*keep, pl.col(instants).cast(INSTANT)).rechunk()


def instant(moment: datetime, name: str) -> datetime:
    """``moment`` in UTC, which is also what it is taken for where it has no zone."""
    if not isinstance(moment, datetime):
        raise UsageError(f"{name} must be a datetime, not {type(moment).__name__}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def hours(start: pl.Expr, end: pl.Expr, calendar: Calendar | None, *names: str) -> list[pl.Expr]:
    """Hours from ``start`` to ``end`` under the first of two ``names``; with a calendar, its hours under the second."""
    elapsed, working = names
    span = pl.when(end >= start).then((end - start).dt.total_microseconds() / US_PER_HOUR)
    return [span.alias(elapsed)] + ([] if calendar is None else [calendar.working_h(start, end).alias(working)])
