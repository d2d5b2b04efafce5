"""The registry: a table's name and where it is described. Descriptions load when first used (pandera takes its time)."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Final, cast

from tallyfy_frames.errors import UsageError

if TYPE_CHECKING:
    from tallyfy_frames.tables._table import Table

TABLES: Final = {
    "runs": "tallyfy_frames.tables.runs",
    "tasks": "tallyfy_frames.tables.tasks",
    "templates": "tallyfy_frames.tables.templates",
    "users": "tallyfy_frames.tables.users",
    "guests": "tallyfy_frames.tables.guests",
    "groups": "tallyfy_frames.tables.groups",
    "tags": "tallyfy_frames.tables.tags",
    "folders": "tallyfy_frames.tables.folders",
    "template_steps": "tallyfy_frames.tables.template_steps",
    "activity": "tallyfy_frames.tables.activity",
    "run_tasks": "tallyfy_frames.tables.run_tasks",
    "task_owners": "tallyfy_frames.tables.task_owners",
    "run_tags": "tallyfy_frames.tables.run_tags",
    "run_kickoff_values": "tallyfy_frames.tables.run_kickoff_values",
    "run_form_values": "tallyfy_frames.tables.run_form_values",
    "run_next_task": "tallyfy_frames.tables.run_next_task",
    "run_checklist": "tallyfy_frames.tables.run_checklist",
    "run_stages": "tallyfy_frames.tables.run_undocumented",
    "run_folders": "tallyfy_frames.tables.run_undocumented",
    "run_assets": "tallyfy_frames.tables.run_undocumented",
    "run_permissions": "tallyfy_frames.tables.run_undocumented",
    "run_tasks_meta": "tallyfy_frames.tables.run_undocumented",
}


def get(name: str) -> Table:
    """The table of this name; ``UsageError`` lists the names there are."""
    if not isinstance(name, str) or name not in TABLES:
        near = difflib.get_close_matches(str(name), TABLES, n=3, cutoff=0.6)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"no table {name!r}", hint=f"{meant}the tables are {', '.join(TABLES)}")
    return cast("Table", vars(importlib.import_module(TABLES[name]))[name.upper()])


def listed(table: Table) -> Table:
    """The table whose list is read for it: another one, where its rows stand inside rows of that."""
    return table if table.part is None else get(table.part.of)
