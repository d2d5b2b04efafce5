"""Folders: of runs, and of templates. Source: the vendor's SDK 3.1.0 and MCP server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import polars as pl

from tallyfy_frames.tables._filters import Filters, Listing, one_of, parameter
from tallyfy_frames.tables._table import Rows, Table, column

KINDS: Final = ("checklist", "run")


@dataclass(frozen=True, kw_only=True)
class FolderFilters(Filters):
    """Which folders: of both kinds, unless one is named."""

    q: str | None = parameter("text to find in the name", personal=True)
    folder_type: str | None = parameter("'run', or 'checklist' for folders of templates; both are read without it")

    def __post_init__(self) -> None:
        """Refuse a kind that the API would take for ``checklist``."""
        super().__post_init__()
        one_of("folder_type", self.folder_type, KINDS)

    def listings(self) -> tuple[Listing, ...]:
        """A list for each kind: the API takes no word for both, and means ``checklist`` without one."""
        text = {} if self.q is None else {"q": self.q}
        kinds = KINDS if self.folder_type is None else (self.folder_type,)
        return tuple(Listing({**text, "folder_type": kind}, {"folder_type": pl.col("folder_type").ne(kind)}) for kind in kinds)


class Folders(Rows):
    """One row per folder, of runs or of templates."""

    id: pl.String = column("id", about="The folder's id", reads="id", nullable=False, unique=True)
    name: pl.String = column("name", about="Its name")
    folder_type: pl.String = column("folder_type", about="What lies in it", words=KINDS)
    parent_id: pl.String = column("parent_id", about="The folder it lies in", reads="id", refers="folders.id")
    position: pl.Int64 = column("position", about="Its place among its neighbours, from 1", unit="place")
    total: pl.Int64 = column("total", about="How much lies in it, when this was read", kind="volatile", unit="items", ge=0)
    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it was made")


FOLDERS = Table(
    name="folders",
    path="folders",
    model=Folders,
    filters=FolderFilters,
    glance=("id", "name", "folder_type", "parent_id", "total"),
)
