"""Answers of kick-off forms. Source: Tallyfy API docs, "List processes" (prerun, with=ko_form_fields), "Form fields"."""

from __future__ import annotations

from tallyfy_frames.tables._answers import Answer, Field
from tallyfy_frames.tables._table import Part, Table
from tallyfy_frames.tables.runs import RunFilters


class RunKickoffValues(Answer, Field):
    """One row per run and field of its kick-off form, answered or not."""


RUN_KICKOFF_VALUES = Table(
    name="run_kickoff_values",
    path="runs",
    model=RunKickoffValues,
    filters=RunFilters,
    rank=("run_id", "position", "field_id"),
    key=("run_id", "field_id"),
    part=Part(of="runs", keys=("prerun", "ko_form_fields"), made="kickoff_answers", includes=("ko_form_fields",)),
    glance=("run_id", "label", "field_type", "value"),
)
