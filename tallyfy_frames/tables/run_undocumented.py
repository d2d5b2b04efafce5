"""Includes of runs whose shape no source documents: kept as they come. Source: Tallyfy API docs, "List processes" (with)."""

from __future__ import annotations

import polars as pl

from tallyfy_frames.tables._of_runs import ListedOfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters


class Undocumented(ListedOfRun):
    """One row per record that a run includes, or for the one object that it does; none where there is nothing."""

    json: pl.String = column("json", about="The record as it came: JSON, secrets masked", reads="json_list", personal=True)


def _table(include: str) -> Table:
    return Table(
        name=f"run_{include}",
        path="runs",
        model=type(
            f"Run{include.title()}", (Undocumented,), {"__doc__": f"One row per record of a run's {include}, as it came."}
        ),
        filters=RunFilters,
        key=("run_id", "position"),
        part=Part(of="runs", keys=(include,), made="json", includes=(include,)),
        glance=("run_id", "position", "json"),
    )


RUN_STAGES, RUN_FOLDERS, RUN_ASSETS, RUN_PERMISSIONS, RUN_TASKS_META = map(
    _table, ("stages", "folders", "assets", "permissions", "tasks_meta")
)
