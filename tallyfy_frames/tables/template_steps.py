"""Steps of templates: each template lists its own. Source: Tallyfy API docs, "List steps"; the vendor's SDK 3.1.0.

The route pages by ten whatever it is asked for, so that a naive reader sees ten steps and no more (the vendor's SDK has seen
457). It answers 404 for an archived template, as for one that there is not: ``archived`` reads those that it does list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import polars as pl

from tallyfy_frames.errors import FilterError
from tallyfy_frames.tables._filters import Filters, Listing, one_of, parameter
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class TemplateStepFilters(Filters):
    """The steps of which templates: of all that are not archived, unless some are named."""

    disjoint: ClassVar[bool] = True  # a step belongs to one template

    checklist_id: str | Sequence[str] | None = parameter("ids of templates; each must have a list of steps")
    archived: str | None = parameter("templates: 'only' archived ones or 'include' them, as far as the API lists their steps")

    def __post_init__(self) -> None:
        """Refuse what would choose nothing."""
        super().__post_init__()
        one_of("archived", self.archived, ("only", "include"))
        if self.archived is not None and self.checklist_id is not None:
            raise FilterError("archived chooses among all templates, and checklist_id names some", hint="leave out one of them")

    def listings(self) -> tuple[Listing, ...]:
        """One list for each template; the route has no parameters of its own."""
        return (Listing({}),)

    def parents(self) -> Sequence[str] | Mapping[str, Any]:
        """The templates named, or the filter that chooses them."""
        return tuple(self.checklist_id) if self.checklist_id is not None else {"archived": self.archived}


class TemplateSteps(Rows):
    """One row per step of a template."""

    id: pl.String = column("id", about="The step's id: step_id elsewhere", reads="id", nullable=False, unique=True)
    checklist_id: pl.String = column("checklist_id", about="The template", reads="id", refers="templates.id")
    title: pl.String = column("title", about="Its title")
    alias: pl.String = column("alias", about="Its name in formulas: as in tasks")
    summary: pl.String = column("summary", about="What is to be done, maybe HTML")
    step_type: pl.String = column(
        "step_type", about="What completing it means", words=("task", "approval", "expiring", "email", "expiring_email")
    )
    position: pl.Int64 = column("position", about="Its place in the template, from 1", unit="place")
    stage_id: pl.String = column("stage_id", about="The milestone", reads="id")
    start_date_value: pl.Int64 = column("start_date.value", about="How long after the launch it begins", unit="start_date_unit")
    start_date_unit: pl.String = column("start_date.unit", about="… in which unit", words=("days", "hours", "weeks", "months"))
    deadline_value: pl.Int64 = column("deadline.value", about="How long it may take", unit="deadline_unit")
    deadline_unit: pl.String = column("deadline.unit", about="… in which unit", words=("days", "hours", "weeks", "months"))
    deadline_option: pl.String = column("deadline.option", about="… before or after what", words=("from", "prior_to"))
    deadline_step: pl.String = column(
        "deadline.step", about="… counted from which step, or from start_run, the launch", reads="id"
    )
    bp_to_launch_id: pl.String = column(
        "bp_to_launch.id", about="Another template that it launches", reads="id", refers="templates.id"
    )
    bp_to_launch_default_name_format: pl.String = column("bp_to_launch.default_name_format", about="How that run is named")
    bp_to_launch_tasks_within_process: pl.Boolean = column(
        "bp_to_launch.tasks_within_process", about="Whether that template's tasks join this run"
    )
    assignees: pl.List = column("assignees", about="User ids it is assigned to", reads="user_ids", inner=pl.Int64())
    guests: pl.List = column(
        "guests",
        about="E-mail addresses of guests it is assigned to",
        reads="guests",
        inner=pl.String(),
        personal=True,
        refers="guests.email",
    )
    groups: pl.List = column(
        "groups", about="Ids of groups it is assigned to", reads="ids", inner=pl.String(), refers="groups.id"
    )
    roles: pl.String = column("roles", about="Roles it is assigned to: JSON list", reads="json_list", personal=True)
    captures: pl.String = column("captures", about="Fields of its form: JSON list", reads="json_list", personal=True)
    custom_fields: pl.String = column(
        "custom_fields", about="The organization's own properties: JSON object", reads="json", personal=True
    )
    webhook: pl.String = column("webhook", about="Masked: an address that is called when it is completed", reads="secret")
    max_assignable: pl.Int64 = column("max_assignable", about="How many it may be assigned to; 0: any", unit="people", ge=0)
    allow_guest_owners: pl.Boolean = column("allow_guest_owners", about="May be assigned to guests")
    skip_start_process: pl.Boolean = column("skip_start_process", about="Not asked about at the launch")
    can_complete_only_assignees: pl.Boolean = column("can_complete_only_assignees", about="Nobody else may complete it")
    everyone_must_complete: pl.Boolean = column("everyone_must_complete", about="All it is assigned to must do it")
    is_soft_start_date: pl.Boolean = column("is_soft_start_date", about="May be started before its start date")
    prevent_guest_comment: pl.Boolean = column("prevent_guest_comment", about="Guests may not comment")
    role_changes_every_time: pl.Boolean = column("role_changes_every_time", about="Who has the role is chosen at each launch")
    assign_run_starter: pl.Boolean = column("assign_run_starter", about="Assigned to whoever launches the run")
    top_secret: pl.Boolean = column("top_secret", about="Shown only to those it is assigned to")
    send_chromeless: pl.Boolean = column("send_chromeless", about="Sent without the app's frame")

    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it was made")
    last_updated: Annotated[pl.Datetime, "us", "UTC"] = column("last_updated", "updated_at", about="Last change")
    archived_at: Annotated[pl.Datetime, "us", "UTC"] = column("archived_at", about="When it was archived")


TEMPLATE_STEPS = Table(
    name="template_steps",
    path="checklists/{}/steps",
    model=TemplateSteps,
    filters=TemplateStepFilters,
    each="templates",
    glance=("checklist_id", "position", "title", "step_type", "deadline_value", "deadline_unit"),
)
