"""The registry: a table's name and where it is described. Descriptions load when first used (pandera takes its time)."""

from __future__ import annotations

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
}


def get(name: str) -> Table:
    """The table of this name; ``UsageError`` lists the names there are."""
    if not isinstance(name, str) or name not in TABLES:
        raise UsageError(f"no table {name!r}", hint=f"the tables are {', '.join(TABLES)}")
    return cast("Table", vars(importlib.import_module(TABLES[name]))[name.upper()])
