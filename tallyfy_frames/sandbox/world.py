"""The sandbox's organization: plain facts, made from a seed. How they look on the wire is ``wire.py``'s business.

Every run is drawn from a generator of its own (``seed`` and its number), so the same seed gives the same organization, and
a larger one only adds runs (up to 8,000; beyond, they come faster). Hostile facts are here (emoji, blank and formula-like
names, far dates, status words nobody documented, ids above 2**53); hostile *shapes* are in ``wire.py``.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

NOW: Final = datetime(2031, 6, 1, 12, 0, tzinfo=UTC)
START: Final = NOW - timedelta(days=400)

NAMES: Final = (
    "Vendor check – Acorn", "Onboarding: Birch & Sons", "Invoice <b>4711</b>", "🚀 launch 🎉", "", "   ", "Nan", "null",
    "=1+1", "+49 30 1234", "@home", "-5 degrees", "<script>alert(1)</script>", "{{7*7}}", "right\u202eto-left", "tab\there",
    "line\nbreak", "quote \" and ' and ,", "\x1b[31mred", "Größe & Maße", "日本の手続き", "a+b c%20d", "[bold]markup[/bold]",
)  # fmt: skip
TEMPLATES: Final = (
    ("Vendor check", "procedure"), ("Employee onboarding", "procedure"), ("Expense claim", "form"),
    ("Contract", "document"), ("Incident", "procedure"), ("Leave request", "form"),
)  # fmt: skip
# Weighted; the last is in no documentation, as the next one will not be either.
STATUSES: Final = ("active",) * 9 + ("complete",) * 6 + ("delayed",) * 2 + ("problem", "issue", "paused")


def hex_id(*parts: object) -> str:
    """A stable 32-hex id, the form of the API's own."""
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


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
class Named:
    """A tag, folder or group: an id and a title, and the number some sources call the id."""

    id: str
    title: str
    number: int


@dataclass(frozen=True, slots=True)
class Template:
    """What runs are launched from."""

    id: str
    title: str
    type: str
    fields: tuple[tuple[str, str, str], ...]  # (id, field type, label) of the kick-off form


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
    tags: tuple[Named, ...]
    folder: Named | None
    tasks: tuple[Task, ...]
    unknown: dict[str, Any] = field(default_factory=dict)  # keys that no source documents


@dataclass
class World:
    """One organization: ``runs`` in the order they were created, and everything they point to."""

    seed: int = 1
    run_count: int = 250
    extra_statuses: Sequence[str | None] = ()  # further status words, mixed in
    org_id: str = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        """Derive the organization's id and token from the seed."""
        self.org_id = hex_id(self.seed, "organization")
        # As long as a real one: an error message that is cut must not show most of it.
        self.token = "sandbox-" + "".join(hex_id(self.seed, "token", part) for part in range(25))

    @cached_property
    def users(self) -> list[User]:
        """Members: active, invited, disabled and a bot; the first is the token's user, an administrator."""
        return [_user(random.Random(f"{self.seed}/user/{n}"), n) for n in range(23)]

    @property
    def me(self) -> User:
        """The token's user."""
        return self.users[0]

    @cached_property
    def templates(self) -> list[Template]:
        """Templates, with the fields of their kick-off forms."""
        kinds = ("text", "dropdown", "radio", "multiselect", "date", "file", "table", "assignees_form", "textarea", "email")
        return [
            Template(
                id=hex_id(self.seed, "template", n),
                title=title,
                type=kind,
                fields=tuple(
                    (hex_id(self.seed, "field", n, k), kinds[(n + k) % len(kinds)], f"Question {k + 1}") for k in range(n % 5)
                ),
            )
            for n, (title, kind) in enumerate(TEMPLATES)
        ]

    @cached_property
    def tags(self) -> list[Named]:
        """Tags on runs."""
        return [Named(hex_id(self.seed, "tag", n), t, 900 + n) for n, t in enumerate(("urgent", "vip", "q2", "R&D", "late ⚠"))]

    @cached_property
    def folders(self) -> list[Named]:
        """Folders that hold runs."""
        return [Named(hex_id(self.seed, "folder", n), t, 70 + n) for n, t in enumerate(("Finance", "HR", "2031/Q2"))]

    @cached_property
    def groups(self) -> list[Named]:
        """Groups of members."""
        return [Named(hex_id(self.seed, "group", n), t, 30 + n) for n, t in enumerate(("Legal", "Ops", "Night shift"))]

    @cached_property
    def runs(self) -> list[Run]:
        """Every run, oldest first; some share an instant with the one before."""
        runs: list[Run] = []
        pace_s = max(2, min(7200, 57_600_000 // max(1, self.run_count)))  # all of them before NOW
        for number in range(self.run_count):
            draw = random.Random(f"{self.seed}/run/{number}")
            step = timedelta(
                seconds=0 if draw.random() < 0.08 else draw.randint(1, pace_s), milliseconds=draw.choice((0, 0, 7, 250))
            )
            created = runs[-1].created_at + step if runs else START
            runs.append(make_run(self, draw, number, created, runs))
        return runs

    @cached_property
    def runs_by_id(self) -> dict[str, Run]:
        """Runs by their id."""
        return {run.id: run for run in self.runs}

    def put(self, run: Run) -> None:
        """Add a run, at its place by age."""
        insort(self.runs, run, key=_age)
        self.runs_by_id[run.id] = run

    def take(self, run: Run) -> None:
        """Remove a run."""
        del self.runs[bisect_left(self.runs, _age(run), key=_age)]
        del self.runs_by_id[run.id]

    def swap(self, before: Run, after: Run) -> None:
        """The same run with other facts; its age is the same."""
        self.runs[bisect_left(self.runs, _age(before), key=_age)] = after
        self.runs_by_id[after.id] = after


def _age(run: Run) -> tuple[datetime, int]:
    return run.created_at, run.number


def _user(draw: random.Random, n: int) -> User:
    created = START - timedelta(days=draw.randint(1, 900))
    status = "active" if n < 15 else draw.choice(("active", "invited", "disabled", "bot"))
    disabled = status == "disabled"
    first = draw.choice(("Acorn", "Birch", "Cedar", "Döner", "Ewa", "", None))
    return User(
        id=5120 + n if n != 7 else 2**53 + 11,
        email=f"member{n}+tag@example.net",
        username=f"member{n}",
        first_name=first,
        last_name=draw.choice(("One", "Two", "O'Three", None)),
        role="Admin" if n == 0 else draw.choice(("admin", "standard", "light")),
        status=status,
        active=status == "active",
        created_at=created,
        last_updated=created + timedelta(hours=draw.randint(0, 5000)),
        last_login_at=None if status == "invited" else NOW - timedelta(minutes=draw.randint(0, 90000)),
        disabled_at=NOW - timedelta(days=3) if disabled else None,
        disabled_by=5120 if disabled else None,
        invited_by=None if n == 0 else 5120,
        job_title=draw.choice(("Clerk", "=cmd|calc", None)),
        team=draw.choice(("Ops", "", None)),
        timezone=draw.choice(("Europe/Berlin", "America/Chicago", "UTC")),
        country_id=draw.choice((49, 1, None)),
    )


def _answer(draw: random.Random, world: World, kind: str, field_id: str) -> Any:
    """A kick-off answer in the shape its field type has on the wire."""
    shapes: dict[str, Any] = {
        "text": draw.choice(("Acorn Ltd", 42, True, "", "=HYPERLINK(1)", 12345678901234567890)),
        "textarea": "<p>long <b>text</b></p>",
        "radio": draw.choice(("Gold", "0")),
        "dropdown": {"id": 2, "text": "Gold", "value": None},
        "multiselect": [
            {"id": 1, "text": "A", "value": None, "required": False, "selected": True},
            {"id": 2, "text": "B", "value": None, "required": False, "selected": False},
        ],
        "date": "2031-04-05 06:07:08",
        "email": "a+b@example.net",
        "file": [{"id": hex_id(field_id, "file"), "filename": "a.pdf", "version": 1, "source": "local",
                  "url": f"organizations/{world.org_id}/file/{hex_id(field_id, 'secret-address')}/dl"}],
        "table": ["one", "two", None],
        "assignees_form": {"users": [5120], "guests": ["a@b.example"], "groups": [world.groups[0].id]},
    }  # fmt: skip
    return shapes[kind]


def _tasks(draw: random.Random, world: World, run_id: str, *, complete: bool, created: datetime) -> tuple[Task, ...]:
    tasks = []
    for position in range(1, draw.choice((0, 1, 3, 8, 12)) + 1):
        status = "completed" if complete else draw.choice(("completed", "active", "in-progress", "not-started", "auto-skipped"))
        done = status == "completed"
        tasks.append(
            Task(
                id=hex_id(run_id, "task", position),
                title=f"Step {position}",
                position=position,
                status=status,
                users=tuple(sorted({draw.choice(world.users).id for _ in range(draw.randint(0, 2))})),
                groups=tuple(draw.sample([g.id for g in world.groups], draw.choice((0, 0, 0, 1)))),
                guests=("pat+1@example.net",) if draw.random() < 0.1 else (),
                deadline=created + timedelta(days=draw.randint(1, 40)) if draw.random() < 0.7 else None,
                completed_at=created + timedelta(hours=position) if done else None,
            )
        )
    return tuple(tasks)


def _progress(draw: random.Random, tasks: Sequence[Task], *, complete: bool) -> Progress | None:
    if not tasks and draw.random() < 0.3:
        return None
    done = sum(task.status == "completed" for task in tasks)
    percent = round(100 * done / len(tasks), 2) if tasks else 100.0 * complete
    graded = draw.random() < 0.3
    return Progress(
        done, len(tasks), percent, approved=draw.randint(0, done) if graded else None, rejected=0 if graded else None
    )


def make_run(world: World, draw: random.Random, number: int, created: datetime, earlier: Sequence[Run]) -> Run:
    """The run of this number, as ``draw`` has it."""
    run_id = hex_id(world.seed, "run", number)
    template = draw.choice(world.templates)
    status = draw.choice((*STATUSES, *world.extra_statuses))
    complete = status == "complete"
    tasks = _tasks(draw, world, run_id, complete=complete, created=created)
    deadlines = [task.deadline for task in tasks if task.deadline]
    late = sum(task.deadline is not None and task.deadline < NOW and task.completed_at is None for task in tasks)
    answered = bool(template.fields) and draw.random() < 0.8
    archived = draw.random() < 0.15
    updated = min(created + timedelta(minutes=draw.randint(0, 50000)), NOW)
    return Run(
        number=number,
        id=run_id,
        increment_id=7300 + number if draw.random() < 0.99 else 2**40 + number,
        template=template,
        checklist_title=template.title,
        name=draw.choice(NAMES) if draw.random() < 0.5 else f"{template.title} {number}",
        summary=draw.choice((None, "", "<p>why</p>", "short")),
        status=status,
        type=template.type,
        owner_id=draw.choice((None, *(user.id for user in world.users))),
        started_by=draw.choice(world.users).id,
        parent_id=draw.choice(earlier).id if earlier and draw.random() < 0.05 else None,
        progress=_progress(draw, [task for task in tasks if not task.hidden], complete=complete),
        whole_progress=_progress(draw, tasks, complete=complete),
        created_at=created,
        started_at=created + timedelta(seconds=draw.randint(0, 60)) if draw.random() < 0.9 else None,
        last_updated=updated,
        completed_at=updated if complete else None,
        archived_at=updated if archived else None,
        due_date=draw.choice((None, created + timedelta(days=30), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))),
        max_task_deadline=max(deadlines, default=None),
        late_tasks=late if draw.random() < 0.9 else None,
        prerun={f: _answer(draw, world, kind, f) for f, kind, _label in template.fields} if answered else {},
        prerun_status=draw.choice((None, "complete")),
        prerun_completed_at=created if answered else None,
        prerun_completed_by=draw.choice(world.users).id if answered else None,
        prerun_length=len(template.fields) if draw.random() < 0.9 else None,
        starred=draw.random() < 0.1,
        is_public=draw.random() < 0.1,
        can_add_oot=draw.random() < 0.9,
        assign_someone_else=draw.choice((None, True, False)),
        has_open_issue=draw.choice((None, status == "issue")),
        has_improvement=draw.random() < 0.1,
        collaborators=tuple(sorted({draw.choice(world.users).id for _ in range(draw.randint(0, 3))})),
        users=tuple(sorted({draw.choice(world.users).id for _ in range(draw.choice((0, 0, 1)))})),
        groups=tuple(draw.sample([g.id for g in world.groups], draw.choice((0, 0, 1, 2)))),
        custom_fields=draw.choice((None, {}, {"cost_centre": "4711", "webhook": "https://hooks.example.net/secret-hook"})),
        tags=tuple(draw.sample(world.tags, draw.choice((0, 0, 1, 2)))),
        folder=draw.choice((None, *world.folders)),
        tasks=tasks,
        unknown=draw.choice(({}, {}, {}, {}, {"future_field": {"x": 1}}, {"guest_link": "https://go.example.net/secret-guest"})),
    )  # fmt: skip
