"""Tags on runs. Source: the vendor's SDK 3.1.0 (``tag_management``), Tallyfy API docs, "List processes" (with=tags)."""

from __future__ import annotations

import polars as pl

from tallyfy_frames.tables._of_runs import ListedOfRun
from tallyfy_frames.tables._table import Part, Table, column
from tallyfy_frames.tables.runs import RunFilters


class RunTags(ListedOfRun):
    """One row per tag on a run: what the API lists is that the tag is there, under a number of its own."""

    tag_id: pl.String = column(
        "tag_id", "id", about="The tag; where the API lists the tags themselves, by their own id", reads="id", refers="tags.id"
    )
    association_id: pl.String = column("id", about="The number under which it is there: not the tag's", reads="id")
    title: pl.String = column("title", "name", about="What the tag says, where this is told")
    color: pl.String = column("color", about="Its color, #rrggbb")


RUN_TAGS = Table(
    name="run_tags",
    path="runs",
    model=RunTags,
    filters=RunFilters,
    key=("run_id", "position"),
    part=Part(of="runs", keys=("tags",), includes=("tags",)),
    glance=("run_id", "tag_id", "title", "color"),
)
