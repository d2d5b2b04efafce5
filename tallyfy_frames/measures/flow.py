"""How many runs are open, and how many get done, as time goes by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from tallyfy_frames.errors import UsageError
from tallyfy_frames.measures._given import START, instant, take
from tallyfy_frames.measures.calendar import INSTANT

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def work_in_progress(runs: pl.DataFrame, *, until: datetime, every: str = "1d", by: str | None = None) -> pl.DataFrame:
    """Runs open at each instant, and how many had been opened and closed by then: one row per instant, for each ``by``.

    ``at, opened, closed, open``, after the column ``by`` if one is named. A row tells what happened *before* ``at``: ``opened``
    counts runs that started before it (``started_at``, else ``created_at``), ``closed`` those of them completed or archived
    before it, ``open`` is the difference. So what happens at midnight belongs to the day that begins. The instants are whole
    steps of ``every`` (polars' words: ``1h``, ``1d``, ``1w`` from Monday, ``1mo``; in UTC) from the last up to the first start
    and, in the end, ``until``: the same ones for each value of ``by``, of which null is one.

    A run that was closed before it started was never open, and counts as closed when it started. Runs that start at ``until``
    or later, or at no stated time, are left out. An ``until`` without a zone is UTC.
    """
    end = instant(until, "until")
    given = _grouped(runs, by, ("created_at", "started_at", "completed_at", "archived_at"), ("at", "opened", "closed", "open"))
    spans = (
        given.select("group", opened=START, closed=pl.min_horizontal("completed_at", "archived_at"))
        .filter(pl.col("opened") < end)
        .with_columns(pl.col("closed").clip(lower_bound=pl.col("opened")))
    )
    at = _steps(spans["opened"].min(), end, every)
    if not at.is_empty() and at[-1] != end:
        at = at.extend(pl.Series([end], dtype=INSTANT))
    rows = _rows(spans, at)
    for name in ("opened", "closed"):
        row = at.search_sorted(spans[name], side="right")  # the first instant after it
        rows = _counted(rows, spans.select("group", pl.col(name).alias("when"), row=row).drop_nulls("when"), name)
    flow = rows.with_columns(pl.col("opened", "closed").cum_sum().over("group", order_by="at"))
    return _named(flow.with_columns(open=pl.col("opened") - pl.col("closed")), by)


def throughput(runs: pl.DataFrame, *, every: str = "1w", by: str | None = None) -> pl.DataFrame:
    """Runs completed in each week, or other step of ``every``: one row per week, for each ``by``.

    ``begins_at, completed``, after the column ``by`` if one is named. Weeks begin on Monday, 00:00 UTC, and hold that instant
    but not the next Monday's; ``every`` takes polars' words (``1d``, ``1w``, ``1mo``). They run from the one of the first
    completion to that of the last, of all of ``runs``, with those in which nothing was completed, for each value of ``by`` that
    ``runs`` has, of which null is one. The last week may not be over. A run that is re-opened is taken out of its week.
    """
    given = _grouped(runs, by, ("completed_at",), ("begins_at", "completed"))
    done = given.drop_nulls("completed_at")
    at = _steps(done["completed_at"].min(), done["completed_at"].max(), every)
    row = at.search_sorted(done["completed_at"], side="right") - 1  # the last instant up to it
    rows = _rows(given, at)
    return _named(_counted(rows, done.select("group", row=row), "completed").rename({"at": "begins_at"}), by)


def _grouped(runs: pl.DataFrame, by: str | None, instants: tuple[str, ...], made: tuple[str, ...]) -> pl.DataFrame:
    """The needed instants beside a column ``group``: that of ``by``, or the same value everywhere."""
    if by in {*instants, *made}:
        raise UsageError(f"by={by!r} is a column that is counted, or made here", hint="rename it, or group by another")
    given = take(runs, "runs", [] if by is None else [by], instants)
    return given.select(instants, group=pl.lit(0) if by is None else pl.col(by))


def _steps(first: object, last: object, every: str) -> pl.Series:
    """The whole steps of ``every`` from the last that is not after ``first``, up to ``last``; none where there is no first."""
    try:
        whole = pl.lit(first or EPOCH, dtype=INSTANT).dt.truncate(every)
        steps = pl.select(pl.datetime_range(whole, pl.lit(last or EPOCH, dtype=INSTANT), every)).to_series()
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise UsageError(f"every={every!r} is no step of time", hint="write it as '1h', '1d', '1w' or '1mo'") from error
    return steps.head(0 if first is None else len(steps))


def _rows(spans: pl.DataFrame, at: pl.Series) -> pl.DataFrame:
    """Every group beside every instant, in order, with the instant's number."""
    groups = spans.select("group").unique().sort("group")
    return groups.join(pl.DataFrame({"at": at}).with_row_index("row"), how="cross", maintain_order="left_right")


def _counted(rows: pl.DataFrame, events: pl.DataFrame, name: str) -> pl.DataFrame:
    """``rows`` with a column ``name``: how many ``events`` each has, zero where none."""
    seen = events.group_by("group", pl.col("row").cast(pl.UInt32)).agg(pl.len().cast(pl.Int64).alias(name))
    counted = rows.join(seen, on=["group", "row"], how="left", nulls_equal=True, maintain_order="left")
    return counted.with_columns(pl.col(name).fill_null(0))


def _named(rows: pl.DataFrame, by: str | None) -> pl.DataFrame:
    """``rows`` with the group under its own name, if it has one, and without their numbers."""
    return rows.drop("row", "group") if by is None else rows.drop("row").rename({"group": by})
