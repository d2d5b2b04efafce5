"""What the tables of answers share. Source: Tallyfy API docs, "Form fields"; the vendor's MCP server and n8n node.

An answer comes as text and, by the type of its field, as what can be counted. Nothing, however it is spelt (null, ``""``,
``[]``, ``{}``, for choices and people 0 and false, too), is null.
"""

from __future__ import annotations

from typing import Annotated

import polars as pl

from tallyfy_frames.tables._of_runs import OfRun
from tallyfy_frames.tables._table import Rows, column


class Field(OfRun):
    """The field that is answered."""

    field_id: pl.String = column(
        "field_id", about="The field's id: the same in all runs of a template", reads="id", nullable=False
    )
    alias: pl.String = column("alias", about="The field's name in formulas: survives renaming")
    label: pl.String = column("label", about="The question; null for a field that was deleted after the launch")
    field_type: pl.String = column(
        "field_type", about="What may be answered; null for a field that was deleted after the launch",
        words=("text", "textarea", "radio", "dropdown", "multiselect", "date", "email", "file", "table", "assignees_form"),
    )  # fmt: skip
    position: pl.Int64 = column("position", about="Its place in the form, from 1", unit="place")
    required: pl.Boolean = column("required", about="Whether it must be answered")


class Answer(Rows):
    """What is answered."""

    value: pl.String = column(
        "value",
        about="The answer as text: chosen options, files' names or people's ids with commas between them",
        personal=True,
    )
    value_number: pl.Float64 = column(
        "number", about="The same as a number, where a short text is one", unit="as answered", personal=True
    )
    value_at: Annotated[pl.Datetime, "us", "UTC"] = column(
        "instant", about="The same as an instant, where a date is one that can be read; without a zone it is UTC", personal=True
    )
    items: pl.List = column(
        "items", about="Texts of the chosen options, files' names, people's ids, or cells of a table's only row", reads="texts",
        inner=pl.String(), personal=True,
    )  # fmt: skip
    option_ids: pl.List = column("options", about="Ids of the chosen options", reads="ids", inner=pl.String(), personal=True)
    users: pl.List = column(
        "users", about="User ids, where people are picked", reads="user_ids", inner=pl.Int64(), personal=True
    )
    guests: pl.List = column(
        "guests",
        about="Guests' addresses, where people are picked",
        reads="guests",
        inner=pl.String(),
        personal=True,
        refers="guests.email",
    )
    groups: pl.List = column(
        "groups",
        about="Ids of groups, where people are picked",
        reads="ids",
        inner=pl.String(),
        personal=True,
        refers="groups.id",
    )
    value_json: pl.String = column(
        "json", about="The answer as it came: JSON, secrets masked", reads="json_list", personal=True
    )
