"""The template of each run, as the run includes it. Source: the vendor's SDK 3.1.0 (with=checklist); see ``templates.py``."""

from __future__ import annotations

import polars as pl

from tallyfy_frames.tables._of_runs import OfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters
from tallyfy_frames.tables.templates import TEMPLATES, Templates


class RunChecklist(Templates, OfRun):
    """One row per run: its template as it is now, again for each run. A run is a copy of the template at launch."""

    id: pl.String = column("id", about="The template's id", reads="id", refers="templates.id")


RUN_CHECKLIST = Table(
    name="run_checklist",
    path="runs",
    model=RunChecklist,
    filters=RunFilters,
    key=("run_id",),
    part=Part(of="runs", keys=("checklist",), includes=("checklist",)),
    glance=("run_id", *TEMPLATES.glance[:3]),
)
