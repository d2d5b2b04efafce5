"""Answers of tasks' forms. Source: Tallyfy API docs, "Get process" (form_fields, form_fields_values), "Form fields".

The documentation has ``form_fields_values`` for a single run; the vendor's SDK and MCP server send it for lists, too. Where the
API ignores it there, answers come from the tasks' ``taskdata``, which is why tasks are asked for as well.
"""

from __future__ import annotations

import polars as pl

from tallyfy_frames.tables._answers import Answer, Field
from tallyfy_frames.tables._of_runs import TASKS_STATED, OfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters


class _OfTask(OfRun):
    """The task that holds the field."""

    task_id: pl.String = column(
        "task_id", about="The task; null where the API does not tell", reads="id", refers="run_tasks.id"
    )
    step_id: pl.String = column("step_id", about="The template's step", reads="id", refers="template_steps.id")


class RunFormValues(Answer, Field, _OfTask):
    """One row per run and field of its tasks' forms, answered or not."""


RUN_FORM_VALUES = Table(
    name="run_form_values",
    path="runs",
    model=RunFormValues,
    filters=RunFilters,
    rank=("run_id", "task_id", "position", "field_id"),
    key=("run_id", "task_id", "field_id"),
    part=Part(
        of="runs",
        keys=("form_fields", "tasks"),
        made="task_answers",
        includes=("form_fields", "tasks"),
        params={"form_fields_values": True},
        stated=TASKS_STATED,
    ),
    glance=("run_id", "label", "field_type", "value"),
)
