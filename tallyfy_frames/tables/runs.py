"""Runs: processes, each launched from a template. Source: Tallyfy API docs, "List processes", and the vendor's SDK 3.1.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, ClassVar, Final

import polars as pl

from tallyfy_frames.errors import FilterError, warn
from tallyfy_frames.tables._filters import Filters, Listing, Value, one_of, parameter, user_ids, with_archived
from tallyfy_frames.tables._table import Rows, Table, column

STATUS_WORDS: Final = ("active", "complete", "problem", "issue", "improvement", "delayed", "starred")
# Wrong for runs, though other routes, the app or other clients use them.
WRONG_STATUS: Final = {
    "completed": "use 'complete' (tasks say completed, runs do not)",
    "in-progress": "use 'active'",
    "archived": "use the filter archived='only' (or 'include'); sources disagree on status=archived",
}
# A filter word is not the value: 'problem' also returns runs of status 'issue', 'delayed' may return several. These are the
# values that a word cannot return unless the API ignored it.
IMPOSSIBLE_STATUS: Final = {"active": ("complete",), "complete": ("active", "delayed", "problem", "issue")}
# The documentation of the API names two; the vendor's clients add document. So there may be more.
TYPE_WORDS: Final = ("procedure", "form", "document")


@dataclass(frozen=True, kw_only=True)
class RunFilters(Filters):
    """Which runs: the API's own parameters. Ids are text; lists take a list or comma-separated text."""

    aliases: ClassVar[Mapping[str, str]] = {"blueprint_id": "checklist_id", "sort_by": "sort"}
    snapshot_defaults: ClassVar[Mapping[str, str]] = {"archived": "include"}
    sorts: ClassVar[tuple[str, ...]] = ("created_at", "-created_at", "name", "-name")

    q: str | None = parameter("text to find in the name", personal=True)
    status: str | Sequence[str] | None = parameter(
        f"one or more of {', '.join(STATUS_WORDS)}; several are read one by one. Not the column's value: problem also returns "
        "runs of status issue, delayed maybe others"
    )
    owners: str | Sequence[str | int] | None = parameter("user ids: owner of the process, or assigned to one of its tasks")
    checklist_id: str | None = parameter("the template that the run was launched from")
    folder: str | None = parameter("a folder's id, as the API gives it")
    tag: str | None = parameter("one tag's id")
    tag_ids: str | Sequence[str] | None = parameter("tag ids; whether any or all must match is not documented")
    untagged: bool | None = parameter("only runs without a tag", switch=True)
    starred: bool | None = parameter("only runs that are starred, or that are not")
    type: str | None = parameter(", ".join(TYPE_WORDS))
    groups: str | Sequence[str] | None = parameter("ids of groups assigned to a task of the run")
    archived: str | None = parameter("'only' or 'include'; without it the API hides archived runs")
    task_status: str | None = parameter("all, in-progress or completed: runs with such a task", experimental=True)
    form_fields_values: bool | None = parameter("ask for answers with included form fields", experimental=True, switch=True)
    me: bool | None = parameter("only the token's user's runs", experimental=True, switch=True)
    sort: str | None = parameter("order of the result: created_at or name, each with a minus for descending")

    def __post_init__(self) -> None:
        """Refuse words that the API would not understand, with the right one."""
        if str(self.archived).lower() == "true":
            hint = "use 'include' for both, 'only' for archived runs"
            raise FilterError("sources disagree on what archived=true returns", hint=hint)
        super().__post_init__()
        for word in self.status or ():
            if word in WRONG_STATUS:
                raise FilterError(f"runs have no status filter {word!r}", hint=WRONG_STATUS[word])
            _known("status", word, STATUS_WORDS)
        _known("type", self.type, TYPE_WORDS)
        user_ids("owners", self.owners or ())
        one_of("archived", self.archived, ("only", "include"))
        one_of("task_status", self.task_status, ("all", "in-progress", "completed"))

    def listings(self) -> tuple[Listing, ...]:
        """One list per status word, for the default list and, if asked for, the archived one."""
        params: dict[str, Value] = {
            name: value for name, value in self.given().items() if name not in {"status", "archived", "sort"}
        }
        signs: dict[str, pl.Expr] = {
            name: pl.col(name).ne(params[name]) for name in ("checklist_id", "type", "starred") if name in params
        }  # a null shows nothing: such rows do not count
        lists = [Listing(params, signs)]
        if self.status is not None:
            lists = [Listing({**params, "status": word}, {**signs, "status": _impossible(word)}) for word in self.status]
        return tuple(chain.from_iterable(zip(*(with_archived(one, self.archived) for one in lists), strict=True)))


def _known(name: str, value: str | None, words: Sequence[str]) -> None:
    """Refuse a known word in the wrong case, and warn of one in no documentation: the API adds words."""
    if value is None or value in words:
        return
    if value.lower() in words:
        raise FilterError(f"no {name} filter {value!r}", hint=f"did you mean {value.lower()!r}?")
    warn(f"{name} {value!r} is in no documentation ({', '.join(words)} are); if the API ignores it, the read fails")


def _impossible(word: str) -> pl.Expr:
    """True where a row of the list for ``word`` shows that the API ignored it."""
    if word == "starred":
        return ~pl.col("starred")
    if word == "issue":  # since 2026: an older server may not know it
        return ~pl.col("status").is_in(["issue", "problem"]) & ~pl.col("has_open_issue").fill_null(value=False)
    if word in STATUS_WORDS:
        return pl.col("status").is_in(list(IMPOSSIBLE_STATUS.get(word, ())))
    return pl.col("status").ne_missing(word)


class Runs(Rows):
    """One row per run (the app calls it a process)."""

    id: pl.String = column("id", about="The run's id", reads="id", nullable=False, unique=True)
    increment_id: pl.Int64 = column("increment_id", about="Running number, as the app shows it", ge=0)
    checklist_id: pl.String = column(
        "checklist_id", about="The template it was launched from", reads="id", refers="templates.id"
    )
    checklist_title: pl.String = column("checklist_title", about="The template's title when this was read")
    name: pl.String = column("name", about="The process's name; may hold HTML entities and line breaks", personal=True)
    summary: pl.String = column("summary", about="Description, maybe HTML; null and empty text both occur", personal=True)
    status: pl.String = column(
        "status",
        about="State when this was read; the API adds words, and its status filter is not this value",
        words=("active", "complete", "problem", "issue", "delayed", "archived"),
    )
    type: pl.String = column("type", about="What the template is", words=("procedure", "form", "document"))
    owner_id: pl.Int64 = column("owner_id", about="User id of the process's owner", reads="user_id", ge=1)
    started_by: pl.Int64 = column("started_by", about="User id of who launched it", reads="user_id", ge=1)
    parent_id: pl.String = column("parent_id", about="The run that launched this one", reads="id", refers="runs.id")

    progress_complete: pl.Int64 = column("progress.complete", about="Visible tasks done", unit="tasks", ge=0)
    progress_total: pl.Int64 = column("progress.total", about="Visible tasks", unit="tasks", ge=0)
    progress_percent: pl.Float64 = column("progress.percent", about="Share of visible tasks done", unit="percent", ge=0, le=100)
    progress_approved: pl.Int64 = column("progress.approved", about="Approval tasks approved", unit="tasks", ge=0)
    progress_rejected: pl.Int64 = column("progress.rejected", about="Approval tasks rejected", unit="tasks", ge=0)
    whole_progress_complete: pl.Int64 = column(
        "whole_progress.complete", about="Tasks done, likely with those hidden by rules", unit="tasks", ge=0
    )
    whole_progress_total: pl.Int64 = column(
        "whole_progress.total", about="Tasks, likely with those hidden by rules", unit="tasks", ge=0
    )
    whole_progress_percent: pl.Float64 = column(
        "whole_progress.percent", about="Share done of all those tasks", unit="percent", ge=0, le=100
    )
    whole_progress_approved: pl.Int64 = column(
        "whole_progress.approved", about="Approvals given, likely with hidden tasks", unit="tasks", ge=0
    )
    whole_progress_rejected: pl.Int64 = column(
        "whole_progress.rejected", about="Approvals refused, likely with hidden tasks", unit="tasks", ge=0
    )

    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When the run was created; never changes")
    started_at: Annotated[pl.Datetime, "us", "UTC"] = column("started_at", about="When it was started")
    last_updated: Annotated[pl.Datetime, "us", "UTC"] = column(
        "last_updated", about="Last change of any kind, archiving and tagging included"
    )
    completed_at: Annotated[pl.Datetime, "us", "UTC"] = column(
        "completed_at", about="When it was completed; null while open, and again once re-opened"
    )
    archived_at: Annotated[pl.Datetime, "us", "UTC"] = column("archived_at", about="When it was archived (soft delete)")
    due_date: Annotated[pl.Datetime, "us", "UTC"] = column("due_date", about="Deadline of the process")
    max_task_deadline: Annotated[pl.Datetime, "us", "UTC"] = column("max_task_deadline", about="Latest deadline of its tasks")
    due_date_passed: pl.Boolean = column("due_date_passed", about="Deadline passed, when this was read", kind="volatile")
    due_soon: pl.Boolean = column("due_soon", about="Deadline near, when this was read", kind="volatile")
    late_tasks: pl.Int64 = column(
        "late_tasks", about="Open tasks past their deadline, when this was read", kind="volatile", unit="tasks", ge=0
    )

    prerun: pl.String = column(
        "prerun", about="Kick-off answers: JSON object by field id, secrets masked", reads="json", personal=True
    )
    prerun_status: pl.String = column("prerun_status", about="State of the kick-off form", words=("complete",))
    prerun_completed_at: Annotated[pl.Datetime, "us", "UTC"] = column(
        "prerun_completed_at", about="When the kick-off form was filled in"
    )
    prerun_completed_by: pl.Int64 = column("prerun_completed_by", about="User id of who did that", reads="user_id", ge=1)
    prerun_length: pl.Int64 = column("prerun_length", about="Fields of the kick-off form", unit="fields", ge=0)
    starred: pl.Boolean = column("starred", about="Starred by the token's user")
    is_public: pl.Boolean = column("is_public", about="Whether there is a public tracking link")
    can_add_oot: pl.Boolean = column("can_add_oot", about="Whether one-off tasks may be added")
    assign_someone_else: pl.Boolean = column("assign_someone_else", about="As the vendor's SDK has it; undocumented")
    has_open_issue: pl.Boolean = column("has_open_issue", about="An open issue locks its tasks; null before 2026")
    collaborators: pl.List = column("collaborators", about="User ids of those involved", reads="user_ids", inner=pl.Int64())
    users: pl.List = column("users", about="User ids of members given access", reads="user_ids", inner=pl.Int64())
    groups: pl.List = column("groups", about="Ids of groups given access", reads="ids", inner=pl.String(), refers="groups.id")
    custom_fields: pl.String = column(
        "custom_fields",
        about="The organization's own properties: JSON object, secrets masked",
        reads="json",
        personal=True,
    )


RUNS = Table(
    name="runs",
    path="runs",
    model=Runs,
    filters=RunFilters,
    order="created_at",
    partition="status",
    glance=("name", "status", "checklist_title", "progress_percent", "owner_id", "created_at"),
)
