"""Groups: members and guests under one name. Source: Tallyfy API docs, "List groups", and the vendor's SDK 3.1.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import polars as pl

from tallyfy_frames.tables._filters import Filters, parameter
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class GroupFilters(Filters):
    """Which groups."""

    q: str | None = parameter("text to find in the name", personal=True)


class Groups(Rows):
    """One row per group."""

    id: pl.String = column("id", about="The group's id, as in every group column", reads="id", nullable=False, unique=True)
    name: pl.String = column("name", about="Its name")
    description: pl.String = column("description", about="What it is for")
    logo: pl.String = column("logo", about="Masked: there is a picture, and its address opens it", reads="secret")
    members: pl.List = column("members", about="User ids of its members", reads="user_ids", inner=pl.Int64())
    guests: pl.List = column(
        "guests",
        about="E-mail addresses of its guests",
        reads="guests",
        inner=pl.String(),
        personal=True,
        refers="guests.email",
    )
    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it was made")
    last_updated: Annotated[pl.Datetime, "us", "UTC"] = column("last_updated", "updated_at", about="Last change")
    deleted_at: Annotated[pl.Datetime, "us", "UTC"] = column("deleted_at", about="When it was deleted")


GROUPS = Table(name="groups", path="groups", model=Groups, filters=GroupFilters, glance=("id", "name", "members", "guests"))
