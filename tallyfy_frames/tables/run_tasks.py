"""Tasks as runs include them. Source: Tallyfy API docs, "List processes" (with=tasks), "Get task"; the vendor's SDK 3.1.0.

Those that a rule hides (auto-skipped) are left out of the include, and no filter finds them: ``whole_progress`` of the run
counts them. The table ``tasks`` has them, and one-off tasks, from a route of its own. Whether the API cuts an include off after
so many is not documented: it is noticed by ``progress``, and told.
"""

from __future__ import annotations

import polars as pl

from tallyfy_frames.tables._of_runs import TASKS_STATED, OfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters
from tallyfy_frames.tables.tasks import TASKS, Tasks


class RunTasks(Tasks, OfRun):
    """One row per task of a run that is not hidden by a rule. Without the text of what is to be done: see tasks."""

    run_id: pl.String = column(about="The run it belongs to", reads="parent", nullable=False, refers="runs.id")


RUN_TASKS = Table(
    name="run_tasks",
    path="runs",
    model=RunTasks,
    filters=RunFilters,
    rank=("run_id", "position", "id"),
    part=Part(of="runs", keys=("tasks",), includes=("tasks",), stated=TASKS_STATED),
    glance=TASKS.glance,
)
