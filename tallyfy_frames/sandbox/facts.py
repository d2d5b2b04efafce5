"""What an organization is made of, as plain facts: the sandbox's own words, before any of them is put on the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

NOW: Final = datetime(2031, 6, 1, 12, 0, tzinfo=UTC)
START: Final = NOW - timedelta(days=400)


def hex_id(*parts: object) -> str:
    """A stable 32-hex id, the form of the API's own."""
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Organization:
    """The organization itself. ``work_hours`` has an entry per day worked: from when, till when."""

    id: str
    name: str
    timezone: str
    work_hours: Mapping[str, tuple[str, str]]
    auto_archive: bool
    auto_archive_after: tuple[int, str] | None  # how many of which unit
    auto_complete_tasks: bool
    auto_complete_task_months: int
    webhook_date_field_format: str
    created_at: datetime
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A member of the organization."""

    id: int
    email: str
    username: str
    first_name: str | None
    last_name: str | None
    role: str
    status: str
    active: bool
    created_at: datetime
    last_updated: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None
    disabled_by: int | None
    invited_by: int | None
    job_title: str | None
    team: str | None
    timezone: str
    country_id: int | None

    @property
    def full_name(self) -> str:
        """First and last name."""
        return f"{self.first_name or ''} {self.last_name or ''}".strip()


@dataclass(frozen=True, slots=True)
class Tag:
    """A label; ``number`` is what some sources call its id. Those that the server makes by itself it hides."""

    id: str
    number: int
    title: str
    color: str
    auto_generated: bool
    created_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A place for runs, or for templates (``kind``: run, checklist); ``number`` is what some sources call its id."""

    id: str
    number: int
    title: str
    kind: str
    parent_id: str | None
    position: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Members and guests under one name."""

    id: str
    number: int
    title: str
    description: str | None
    members: tuple[int, ...]
    guests: tuple[str, ...]
    created_at: datetime
    last_updated: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody from outside, who works on tasks through a secret link."""

    id: int
    email: str
    first_name: str | None
    last_name: str | None
    code: str  # whoever has it is signed in
    status: str
    phone: str | None
    company: str | None
    timezone: str | None
    created_at: datetime
    last_accessed_at: datetime | None
    disabled_at: datetime | None
    disabled_by: int | None
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Option:
    """One of the choices of a field."""

    id: int
    text: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A question on a form: of a step, or (``step_id`` None) of the kick-off form. Its id is the same in every run."""

    id: str
    template_id: str
    step_id: str | None
    alias: str
    kind: str  # one of the ten field types
    label: str
    guidance: str | None
    position: int
    required: bool
    options: tuple[Option, ...]  # of radio, dropdown and multiselect
    columns: tuple[str, ...]  # of table
    validation: tuple[str, ...]
    created_at: datetime
    deleted_at: datetime | None = None  # runs launched before have answers to it; it is defined nowhere any more


@dataclass(frozen=True, slots=True)
class Answer:
    """What is stored for a field (``raw``, as whoever wrote it sent it), and what that means; nothing of it: no answer."""

    field: Field
    given: bool  # False: not even its key is there
    raw: Any = None
    text: str | None = None  # of text, textarea, radio and email; of a number or a boolean, as JSON spells it
    number: float | None = None  # of a text that is a JSON number
    instant: datetime | None = None  # of a date; of a day alone, when it begins in UTC
    chosen: tuple[Option, ...] = ()  # of radio, dropdown and multiselect
    users: tuple[int, ...] = ()  # of assignees_form
    guests: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    filenames: tuple[str, ...] = ()  # of file
    cells: tuple[tuple[object, ...], ...] = ()  # of table, by row

    @property
    def empty(self) -> bool:
        """Whether nobody answered: there is no value, or one that says nothing."""
        return self.text is None and self.instant is None and not (
            self.chosen or self.users or self.guests or self.groups or self.filenames or self.cells
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a step is due: ``value`` units ``option`` (from, prior_to) ``step``, a step's id or ``start_run``."""

    value: int
    unit: str
    option: str
    step: str | None


@dataclass(frozen=True, slots=True)
class Launch:
    """The template that a step launches."""

    template_id: str
    name_format: str | None
    tasks_within_process: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a template; tasks are made of it."""

    id: str
    template_id: str
    title: str
    alias: str
    summary: str | None
    step_type: str
    position: int  # from 1
    allow_guest_owners: bool
    max_assignable: int
    skip_start_process: bool
    can_complete_only_assignees: bool
    everyone_must_complete: bool
    start_date: tuple[int, str] | None  # how many of which unit after the launch
    is_soft_start_date: bool
    deadline: Deadline | None
    bp_to_launch: Launch | None
    assignees: tuple[int, ...]
    guests: tuple[str, ...]
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    fields: tuple[Field, ...]
    fields_gone: tuple[Field, ...]
    prevent_guest_comment: bool
    role_changes_every_time: bool
    assign_run_starter: bool | None
    top_secret: bool
    send_chromeless: bool
    created_at: datetime
    last_updated: datetime
    archived_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stage:
    """A milestone of a template."""

    id: str
    title: str
    position: int


@dataclass(frozen=True, slots=True)
class Template:
    """What runs are launched from."""

    number: int
    id: str
    title: str
    type: str
    fields: tuple[Field, ...]  # of the kick-off form
    fields_gone: tuple[Field, ...]
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    increment_id: int
    summary: str | None
    status: str
    owner_id: int | None
    created_by: int
    starred: bool
    is_public: bool
    users: tuple[int, ...]
    groups: tuple[str, ...]
    created_at: datetime
    last_updated: datetime
    archived_at: datetime | None

    @property
    def steps_count(self) -> int:
        """How many steps it has."""
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class Task:
    """A step of a run."""

    id: str
    title: str
    position: int
    status: str  # not-started, active, in-progress, completed, auto-skipped
    users: tuple[int, ...]
    groups: tuple[str, ...]
    guests: tuple[str, ...]
    deadline: datetime | None
    completed_at: datetime | None

    @property
    def hidden(self) -> bool:
        """Hidden by a rule: not in includes, yet in ``whole_progress``."""
        return self.status == "auto-skipped"


@dataclass(frozen=True, slots=True)
class Progress:
    """Tasks done, of how many; ``percent`` is 0 to 100."""

    complete: int
    total: int
    percent: float
    approved: int | None = None
    rejected: int | None = None


@dataclass(slots=True)
class Run:
    """A process. None means that the API has no value for it, or leaves the key out."""

    number: int
    id: str
    increment_id: int
    template: Template
    checklist_title: str
    name: str
    summary: str | None
    status: str | None
    type: str
    owner_id: int | None
    started_by: int | None
    parent_id: str | None
    progress: Progress | None
    whole_progress: Progress | None
    created_at: datetime
    started_at: datetime | None
    last_updated: datetime
    completed_at: datetime | None
    archived_at: datetime | None
    due_date: datetime | None
    max_task_deadline: datetime | None
    late_tasks: int | None
    form: Callable[[], tuple[Answer, ...]]  # draws them once somebody asks
    prerun_status: str | None
    prerun_completed_at: datetime | None
    prerun_completed_by: int | None
    prerun_length: int | None
    starred: bool
    is_public: bool
    can_add_oot: bool
    assign_someone_else: bool | None
    has_open_issue: bool | None
    has_improvement: bool
    collaborators: tuple[int, ...]
    users: tuple[int, ...]
    groups: tuple[str, ...]
    custom_fields: dict[str, Any] | None
    tags: tuple[Tag, ...]
    folder: Folder | None
    tasks: tuple[Task, ...]
    unknown: dict[str, Any] = field(default_factory=dict)  # keys that no source documents

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Of the kick-off form."""
        return self.form()

    @property
    def prerun(self) -> dict[str, Any]:
        """The kick-off answers as they are stored, by field."""
        return {answer.field.id: answer.raw for answer in self.answers if answer.given}


@dataclass(frozen=True, slots=True)
class OrgTask:
    """A task as the organization lists it: a step of ``run``, or one of its own, which has none."""

    task: Task
    run: Run | None
    increment_id: int
    step_id: str | None
    alias: str | None
    task_type: str
    summary: str | None
    is_approved: bool | None
    created_at: datetime
    started_at: datetime | None
    last_updated: datetime
    starter_id: int | None
    completer_id: int | None
    completer_guest: str | None
    everyone_must_complete: bool
    problem: bool
    max_assignable: int
    answers: tuple[Answer, ...]  # of the step's form

    @property
    def taskdata(self) -> dict[str, Any]:
        """The answers as they are stored, by field."""
        return {answer.field.id: answer.raw for answer in self.answers if answer.given}

    @property
    def open(self) -> bool:
        """Whether somebody still has to do it."""
        return self.task.status not in {"completed", "auto-skipped"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, as the activity feed has it: ``actor`` did ``verb`` to ``subject``, which lies in ``parent``."""

    id: int
    verb: str
    type: str  # process, task, template, guest, tag
    source: str
    actor_type: str  # user, guest, system
    actor_id: int | None
    actor_name: str | None
    actor_email: str | None
    description: str
    field: str | None  # what was changed,
    old_value: str | None  # and from what
    subject_class: str  # Run, Task, Checklist, Guest, Tag
    subject_id: str
    subject_title: str
    parent_class: str | None
    parent_id: str | None
    parent_title: str | None
    text: str | None  # of a comment
    undoable: bool
    created_at: datetime
