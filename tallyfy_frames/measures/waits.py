"""How long tasks wait until they are done, one by one and by step: where runs get stuck."""

from __future__ import annotations

from typing import Final

import polars as pl

from tallyfy_frames.measures._given import START, START_FROM, hours, take
from tallyfy_frames.measures.calendar import Calendar

SKIPPED: Final = "skipped"  # by a person
HIDDEN: Final = "auto-skipped"  # by a rule: nobody ever saw it
DONE: Final = ("completed", "complete")  # the documentation has both words


def waiting(tasks: pl.DataFrame, *, calendar: Calendar | None = None) -> pl.DataFrame:
    """How long each task waited: one row per task, in the order of ``tasks``, without those that a rule hid.

    ``task_id, run_id, checklist_id, step, title, position, status, start_from, could_begin_at, completed_at, archived_at,
    waited_h, since_previous_h``, and with a ``calendar`` ``waited_working_h`` and ``since_previous_working_h``. ``step`` is the
    task's alias (the same in all runs of a template), else its title before variables were filled in, else its title.

    ``waited_h``: hours from when the task could begin (``started_at``, by the API when it became visible; else ``created_at``,
    usually that of its run; ``start_from`` names which) to its completion. Tasks of a run are often all visible from its
    launch: then this includes the steps before. ``since_previous_h`` leaves those out: it counts from the last completion in
    the same run before its own, if that is later. Both are null for what was not completed (open, skipped), or was before it
    could begin.
    """
    given = take(
        tasks,
        "tasks",
        ("id", "run_id", "checklist_id", "alias", "original_title", "title", "position", "status"),
        ("created_at", "started_at", "completed_at", "archived_at"),
    )
    begun = pl.col("could_begin_at")
    done_at = pl.when(pl.col("status").ne_missing(SKIPPED)).then(pl.col("completed_at"))
    completed = pl.col("done_at")
    previous = pl.when(pl.col("run_id").is_not_null()).then(
        completed.shift(1).over("run_id", order_by=["done_at", "position", "task_id"])
    )
    return (
        given.filter(pl.col("status").ne_missing(HIDDEN))
        .select(
            pl.col("id").alias("task_id"),
            "run_id",
            "checklist_id",
            pl.coalesce("alias", "original_title", "title").alias("step"),
            "title",
            "position",
            "status",
            START_FROM.alias("start_from"),
            START.alias("could_begin_at"),
            "completed_at",
            "archived_at",
        )
        .with_columns(done_at.alias("done_at"))
        .with_columns(previous.alias("previous"))
        .with_columns(
            *hours(begun, completed, calendar, "waited_h", "waited_working_h"),
            *hours(
                pl.when(begun.is_not_null()).then(pl.max_horizontal(begun, "previous")),
                completed,
                calendar,
                "since_previous_h",
                "since_previous_working_h",
            ),
        )
        .drop("previous", "done_at")
    )


def waiting_per_step(tasks: pl.DataFrame, *, calendar: Calendar | None = None) -> pl.DataFrame:
    """How long each step of each template waits, over all its runs: one row per step, by template and position.

    ``checklist_id, step, title, position`` (as its newest task has them), ``done``, ``open``, then ``waited_median_h``,
    ``waited_p90_h``, ``since_previous_median_h``, ``since_previous_p90_h``; with a ``calendar`` the same in working hours:
    ``waited_working_median_h``, …. What is measured, and from when, is in :func:`waiting`; quantiles are of what was measured,
    interpolated, and null where nothing was. ``open`` tasks are neither completed, skipped nor archived: the longest waits may
    be theirs, and no quantile has them. Tasks that belong to no template are left out.
    """
    each = waiting(tasks, calendar=calendar)
    measured = [name.removesuffix("_h") for name in each.columns if name.endswith("_h")]
    status, ended = pl.col("status"), pl.col("completed_at").is_not_null()
    dropped = pl.col("archived_at").is_not_null() | status.is_in([*DONE, SKIPPED]).fill_null(value=False)
    return (
        each.filter(pl.col("checklist_id").is_not_null())
        .sort("could_begin_at", "task_id")
        .group_by("checklist_id", "step", maintain_order=True)
        .agg(
            pl.col("title", "position").last(),
            (ended & status.ne_missing(SKIPPED)).sum().cast(pl.Int64).alias("done"),
            (~ended & ~dropped).sum().cast(pl.Int64).alias("open"),
            *(
                pl.col(f"{name}_h").quantile(share, "linear").alias(f"{name}_{word}_h")
                for name in measured
                for word, share in (("median", 0.5), ("p90", 0.9))
            ),
        )
        .sort("checklist_id", "position", "step")
    )
