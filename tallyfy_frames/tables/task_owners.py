"""Who runs' tasks are assigned to. Source: Tallyfy API docs, "Get task", "List organization tasks"; the vendor's SDK 3.1.0."""

from __future__ import annotations

import polars as pl

from tallyfy_frames.tables._of_runs import TASKS_STATED, ListedOfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters


class TaskOwners(ListedOfRun):
    """One row per task of a run and user, guest or group that it is assigned to."""

    task_id: pl.String = column("task_id", about="The task", reads="id", nullable=False, refers="run_tasks.id")
    kind: pl.String = column("kind", about="Which of the three columns after this one tells", words=("user", "guest", "group"))
    user_id: pl.Int64 = column("user", about="User id", reads="user_id", ge=1)
    guest: pl.String = column("guest", about="The guest's e-mail address", reads="guest", personal=True, refers="guests.email")
    group_id: pl.String = column("group", about="The group's id", reads="id", refers="groups.id")


TASK_OWNERS = Table(
    name="task_owners",
    path="runs",
    model=TaskOwners,
    filters=RunFilters,
    key=("run_id", "position"),
    part=Part(of="runs", keys=("tasks",), made="owners", includes=("tasks",), stated=TASKS_STATED),
    glance=("run_id", "task_id", "kind", "user_id", "guest", "group_id"),
)
