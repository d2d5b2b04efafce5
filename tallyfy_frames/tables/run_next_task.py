"""What is to be done next in a run. Source: Tallyfy API docs, "Get process" (next_task)."""

from __future__ import annotations

from typing import Annotated

import polars as pl

from tallyfy_frames.tables._of_runs import ListedOfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters
from tallyfy_frames.tables.tasks import OWNER_GROUPS, OWNER_GUESTS, OWNER_USERS, TASK_URLS


class RunNextTask(ListedOfRun):
    """One row per run that has an open task: the one due first. The API lists at most one."""

    id: pl.String = column("id", about="The task's id", reads="id", nullable=False, refers="run_tasks.id")
    increment_id: pl.Int64 = column("increment_id", about="Running number, as the app shows it", ge=0)
    alias: pl.String = column("alias", about="The step's name in formulas: the same in all runs of a template")
    title: pl.String = column("title", about="Its title", personal=True)
    status: pl.String = column("status", about="State when this was read")
    owner_users: pl.List = OWNER_USERS
    owner_groups: pl.List = OWNER_GROUPS
    owner_guests: pl.List = OWNER_GUESTS
    task_urls: pl.String = TASK_URLS
    deadline: Annotated[pl.Datetime, "us", "UTC"] = column("deadline", about="When it is due")


RUN_NEXT_TASK = Table(
    name="run_next_task",
    path="runs",
    model=RunNextTask,
    filters=RunFilters,
    key=("run_id", "position"),
    part=Part(of="runs", keys=("next_task",), includes=("next_task",)),
    glance=("run_id", "title", "owner_users", "deadline"),
)
