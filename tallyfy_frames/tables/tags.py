"""Tags: labels on runs, templates and tasks. Source: the vendor's SDK 3.1.0 and MCP server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import polars as pl

from tallyfy_frames.tables._filters import Filters, Listing, parameter
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class TagFilters(Filters):
    """Which tags. All, those that Tallyfy made by itself included, unless ``all`` is False."""

    q: str | None = parameter("text to find in the title", personal=True)
    all: bool | None = parameter("False leaves out the tags that Tallyfy made by itself (from:…, task:…, step:…)")
    auto_generated: bool | None = parameter("only those that Tallyfy made by itself, or only the others")
    status: str | None = parameter("a state; its words are not documented")

    def listings(self) -> Sequence[Listing]:  # type: ignore[override]
        """One list. The API hides what it made by itself unless it is asked for all, and takes no other spelling of true."""
        params = {name: value for name, value in self.given().items() if name != "all"}
        if self.all is not False:
            params["all"] = True
        signs = {} if self.auto_generated is None else {"auto_generated": pl.col("auto_generated").ne(self.auto_generated)}
        return (Listing(params, signs),)


class Tags(Rows):
    """One row per tag."""

    id: pl.String = column("id", about="The tag's id, as in every tag_id", reads="id", nullable=False, unique=True)
    title: pl.String = column("title", about="What it says")
    color: pl.String = column("color", about="Its color, #rrggbb")
    type: pl.String = column("type", about="Its kind; undocumented")
    auto_generated: pl.Boolean = column("auto_generated", about="Made by Tallyfy itself, and hidden in the app")
    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it was made")
    deleted_at: Annotated[pl.Datetime, "us", "UTC"] = column("deleted_at", about="When it was deleted")


TAGS = Table(name="tags", path="tags", model=Tags, filters=TagFilters, glance=("id", "title", "color", "auto_generated"))
