"""Tasks of the whole organization, one-off ones too. Source: Tallyfy API docs, "List organization tasks"; the SDK 3.1.0."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import polars as pl

from tallyfy_frames.errors import FilterError, warn
from tallyfy_frames.tables._filters import DAY, Filters, Listing, days, one_of, parameter, user_ids, with_archived
from tallyfy_frames.tables._table import Rows, Table, column

STATUS_WORDS: Final = ("active", "complete", "incomplete", "inprogress", "overdue", "due_soon", "hasproblem")
# Values that a word cannot return unless the API ignored it: it says nothing of late tasks that are done, nor of problems.
IMPOSSIBLE_STATUS: Final = {
    "complete": ["active", "in-progress", "not-started"], "active": ["completed"], "incomplete": ["completed"],
    "inprogress": ["completed", "not-started"],
}  # fmt: skip
DAYS: Final = ("deadline_on", "deadline_before", "deadline_after", "deadline_start_range", "deadline_end_range")


@dataclass(frozen=True, kw_only=True)
class TaskFilters(Filters):
    """Which tasks: the API's own parameters. Days are ``YYYY-MM-DD``."""

    snapshot_defaults: ClassVar[Mapping[str, str]] = {"archived": "include"}
    sorts: ClassVar[tuple[str, ...]] = ("created_at", "-created_at", "deadline", "-deadline")

    q: str | None = parameter("text to find in the title", personal=True)
    status: str | None = parameter(f"one of {', '.join(STATUS_WORDS)}. Not the column's value: overdue selects by deadline")
    owners: str | Sequence[str | int] | None = parameter("user ids of those it is assigned to")
    groups: str | Sequence[str] | None = parameter("ids of groups it is assigned to")
    guests: str | Sequence[str] | None = parameter("e-mail addresses of guests it is assigned to", personal=True)
    roles: str | None = parameter("ids of roles")
    folder: str | None = parameter("id of the folder that its run lies in")
    tag: str | None = parameter("a tag's name: not its id, which runs are filtered by")
    unassigned: bool | None = parameter("only tasks that are assigned to nobody", switch=True)
    deadline_on: str | None = parameter("due on this day; beats the other deadlines")
    deadline_before: str | None = parameter("due before this day")
    deadline_after: str | None = parameter("due after this day")
    deadline_start_range: str | None = parameter("due on this day or later")
    deadline_end_range: str | None = parameter("due on this day or earlier")
    created: str | None = parameter("made on this day, or, as FIRST:LAST, between two")
    is_oneoff: bool | None = parameter("only tasks that belong to no run, or only those that do")
    custom_field_key: str | None = parameter("a property of the organization's own; with custom_field_value")
    custom_field_value: str | None = parameter("its value", personal=True)
    archived: str | None = parameter("'only' or 'include'; without it the API hides archived tasks")
    sort: str | None = parameter("order of the result: created_at or deadline, each with a minus for descending")

    def __post_init__(self) -> None:
        """Refuse what the API would ignore."""
        super().__post_init__()
        if self.status is not None and self.status not in STATUS_WORDS:
            if self.status == "completed":
                raise FilterError("tasks have no status filter 'completed'", hint="use 'complete'; the column says completed")
            known = ", ".join(STATUS_WORDS)
            warn(f"status {self.status!r} is in no documentation ({known} are); if the API ignores it, the read fails")
        one_of("archived", self.archived, ("only", "include"))
        user_ids("owners", self.owners or ())
        days(self, DAYS)
        if not re.fullmatch(f"{DAY}(:{DAY})?", self.created or "2031-01-01"):
            raise FilterError(f"created must be a day or two, not {self.created!r}", hint="write YYYY-MM-DD or FIRST:LAST")
        if (self.custom_field_key is None) is not (self.custom_field_value is None):
            raise FilterError("custom_field_key and custom_field_value go together")

    def listings(self) -> tuple[Listing, ...]:
        """The default list, and, if asked for, that of the archived ones. Lists lack the summary unless it is included."""
        params = {name: value for name, value in self.given().items() if name not in {"archived", "sort"}}
        params["with"] = "summary"
        signs = {} if self.is_oneoff is None else {"is_oneoff": pl.col("is_oneoff_task").ne(self.is_oneoff)}
        if self.status in IMPOSSIBLE_STATUS:
            signs["status"] = pl.col("status").is_in(IMPOSSIBLE_STATUS[self.status])
        elif self.status is not None and self.status not in STATUS_WORDS:
            signs["status"] = pl.col("status").ne_missing(self.status)
        return with_archived(Listing(params, signs), self.archived)


# Who a task is assigned to: of tasks, and of what is to be done next.
OWNER_USERS: Final = column("owners.users", about="User ids it is assigned to", reads="user_ids", inner=pl.Int64())
OWNER_GROUPS: Final = column(
    "owners.groups", about="Ids of groups it is assigned to", reads="ids", inner=pl.String(), refers="groups.id"
)
OWNER_GUESTS: Final = column(
    "owners.guests", about="E-mail addresses of guests it is assigned to", reads="guests", inner=pl.String(), personal=True,
    refers="guests.email",
)  # fmt: skip
TASK_URLS: Final = column("owners.taskUrls", about="Masked: addresses that open it", reads="secret")


class Tasks(Rows):
    """One row per task: a step of a run, or a task of its own."""

    id: pl.String = column("id", about="The task's id", reads="id", nullable=False, unique=True)
    increment_id: pl.Int64 = column("increment_id", about="Running number, as the app shows it", ge=0)
    run_id: pl.String = column("run_id", about="The run it belongs to; null for a one-off task", reads="id", refers="runs.id")
    checklist_id: pl.String = column("checklist_id", about="The template of that run", reads="id", refers="templates.id")
    step_id: pl.String = column("step_id", about="The template's step", reads="id", refers="template_steps.id")
    linked_step_id: pl.String = column("linked_step_id", about="Another step that it is linked to", reads="id")
    stage_id: pl.String = column("stage_id", about="The milestone", reads="id")
    alias: pl.String = column("alias", about="The step's name in formulas: the same in all runs of a template")
    title: pl.String = column("title", about="Its title", personal=True)
    original_title: pl.String = column("original_title", about="The title before variables were filled in", personal=True)
    summary: pl.String = column("summary", about="What is to be done, maybe HTML", personal=True)
    original_summary: pl.String = column("original_summary", about="The same before variables were filled in", personal=True)
    status: pl.String = column(
        "status", about="State when this was read; auto-skipped ones are hidden by a rule",
        words=(
            "not-started", "active", "in-progress", "completed", "complete", "overdue", "hasproblem", "skipped", "auto-skipped",
        ),
    )  # fmt: skip
    status_label: pl.String = column("status_label", about="The word that the app shows for it")
    run_status: pl.String = column("run_status", about="State of its run, when this was read")
    task_type: pl.String = column(
        "task_type", about="What completing it means; the last two are legacy",
        words=("task", "approval", "expiring", "email", "expiring_email", "standard", "accept_decline"),
    )  # fmt: skip
    is_approved: pl.Boolean = column("is_approved", about="Approved or refused; null while undecided")
    position: pl.Int64 = column("position", about="Its place in the run, from 1", unit="place")
    blueprint_position: pl.Int64 = column("blueprint_position", about="The step's place in the template", unit="place")
    owner_users: pl.List = OWNER_USERS
    owner_groups: pl.List = OWNER_GROUPS
    owner_guests: pl.List = OWNER_GUESTS
    task_urls: pl.String = TASK_URLS
    taskdata: pl.String = column(
        "taskdata", about="Answers: JSON object by field id, secrets masked", reads="json", personal=True
    )
    custom_fields: pl.String = column(
        "custom_fields", about="The organization's own properties: JSON object", reads="json", personal=True
    )
    webhook: pl.String = column("webhook", about="Masked: an address that is called when it is completed", reads="secret")
    max_assignable: pl.Int64 = column("max_assignable", about="How many it may be assigned to; 0: any", unit="people", ge=0)
    completion_progress: pl.Float64 = column(
        "completion_progress", about="Share of those assigned who are done, where everyone must be", unit="as stated"
    )
    starter_id: pl.Int64 = column("starter_id", about="User id of who started it", reads="user_id", ge=1)
    completer_id: pl.Int64 = column("completer_id", about="User id of who completed it", reads="user_id", ge=1)
    completer_guest: pl.String = column(
        "completer_guest",
        "completer_guest_id",
        about="The guest who completed it, as the API names guests",
        reads="guest",
        personal=True,
    )

    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it was made")
    started_at: Annotated[pl.Datetime, "us", "UTC"] = column("started_at", about="When it was started")
    deadline: Annotated[pl.Datetime, "us", "UTC"] = column("deadline", about="When it is due")
    completed_at: Annotated[pl.Datetime, "us", "UTC"] = column("completed_at", about="When it was completed")
    last_updated: Annotated[pl.Datetime, "us", "UTC"] = column("last_updated", "updated_at", about="Last change")
    archived_at: Annotated[pl.Datetime, "us", "UTC"] = column("archived_at", about="When it was archived")

    is_oneoff_task: pl.Boolean = column("is_oneoff_task", about="Belongs to no run")
    is_completable: pl.Boolean = column("is_completable", about="Whether it may be completed now", kind="volatile")
    everyone_must_complete: pl.Boolean = column("everyone_must_complete", about="All it is assigned to must do it")
    can_complete_only_assignees: pl.Boolean = column("can_complete_only_assignees", about="Nobody else may complete it")
    allow_guest_owners: pl.Boolean = column("allow_guest_owners", about="May be assigned to guests")
    prevent_guest_comment: pl.Boolean = column("prevent_guest_comment", about="Guests may not comment")
    is_soft_start_date: pl.Boolean = column("is_soft_start_date", about="May be started before its start date")
    top_secret: pl.Boolean = column("top_secret", about="Shown only to those it is assigned to")
    send_chromeless: pl.Boolean = column("send_chromeless", about="Sent without the app's frame")
    has_deadline_dependent_child_tasks: pl.Boolean = column(
        "has_deadline_dependent_child_tasks", about="Other deadlines hang on it"
    )
    problem: pl.Boolean = column("problem", about="A problem was reported and is not resolved")


TASKS = Table(
    name="tasks",
    path="tasks",
    model=Tasks,
    filters=TaskFilters,
    order="created_at",
    sort_words={"created_at": "-newest", "-created_at": "newest"},
    glance=("title", "status", "owner_users", "deadline", "run_id", "created_at"),
)
