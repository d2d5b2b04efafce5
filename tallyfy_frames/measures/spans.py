"""How long runs take, and how long open ones have been waiting."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from tallyfy_frames.measures._given import START, START_FROM, hours, instant, take
from tallyfy_frames.measures.calendar import Calendar


def cycle_time(runs: pl.DataFrame, *, calendar: Calendar | None = None) -> pl.DataFrame:
    """Hours from start to completion: one row per run, in the order of ``runs``.

    ``run_id, checklist_id, checklist_title, status, start_from, started_at, completed_at, elapsed_h``, and with a ``calendar``
    ``working_h``. ``started_at`` is the run's own where it has one, else its ``created_at``; ``start_from`` names which. Hours
    are null while the run is open, and where it was completed before it started.
    """
    given = take(
        runs, "runs", ("id", "checklist_id", "checklist_title", "status"), ("created_at", "started_at", "completed_at")
    )
    return given.select(
        pl.col("id").alias("run_id"),
        "checklist_id",
        "checklist_title",
        "status",
        START_FROM.alias("start_from"),
        START.alias("started_at"),
        "completed_at",
        *hours(START, pl.col("completed_at"), calendar, "elapsed_h", "working_h"),
    )


def ageing(runs: pl.DataFrame, *, now: datetime, calendar: Calendar | None = None) -> pl.DataFrame:
    """The runs that are open, neither completed nor archived: one row each, oldest first.

    ``run_id, name, checklist_id, checklist_title, status, owner_id, start_from, started_at, last_updated, due_date, age_h,
    idle_h, overdue_h``: hours until ``now`` since the start (as in :func:`cycle_time`), since the last change of any kind, and
    since the deadline. ``overdue_h`` is 0 before the deadline and null without one. With a ``calendar``, ``age_working_h``,
    ``idle_working_h`` and ``overdue_working_h``, too. ``now`` should be when ``runs`` was read: ages are null of runs that
    started after it. A ``now`` without a zone is UTC.
    """
    given = take(
        runs,
        "runs",
        ("id", "name", "checklist_id", "checklist_title", "status", "owner_id"),
        ("created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date"),
    )
    until = pl.lit(instant(now, "now"))
    due = pl.min_horizontal(pl.col("due_date"), pl.when(pl.col("due_date").is_not_null()).then(until))
    return (
        given.filter(pl.col("completed_at").is_null(), pl.col("archived_at").is_null())
        .select(
            pl.col("id").alias("run_id"),
            "name",
            "checklist_id",
            "checklist_title",
            "status",
            "owner_id",
            START_FROM.alias("start_from"),
            START.alias("started_at"),
            "last_updated",
            "due_date",
            *hours(START, until, calendar, "age_h", "age_working_h"),
            *hours(pl.col("last_updated"), until, calendar, "idle_h", "idle_working_h"),
            *hours(due, until, calendar, "overdue_h", "overdue_working_h"),
        )
        .sort("started_at", "run_id", nulls_last=True)
    )
