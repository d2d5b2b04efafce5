"""What an organization is made of, as plain facts: the sandbox's own words, before any of them is put on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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
class Template:
    """What runs are launched from."""

    id: str
    title: str
    type: str
    fields: tuple[tuple[str, str, str], ...]  # (id, field type, label) of the kick-off form
    increment_id: int
    summary: str | None
    status: str
    owner_id: int | None
    created_by: int
    steps_count: int
    starred: bool
    is_public: bool
    users: tuple[int, ...]
    groups: tuple[str, ...]
    created_at: datetime
    last_updated: datetime
    archived_at: datetime | None


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
    prerun: dict[str, Any]
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
    answers: dict[str, Any]

    @property
    def open(self) -> bool:
        """Whether somebody still has to do it."""
        return self.task.status not in {"completed", "auto-skipped"}
