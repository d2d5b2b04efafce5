"""The sandbox's organization, made from a seed. What a fact is, ``facts.py`` says; how it looks, ``wire.py``.

Every run is drawn from a generator of its own (``seed`` and its number), so the same seed gives the same organization, and
a larger one only adds runs (up to 8,000; beyond, they come faster). Hostile facts are here (emoji, blank and formula-like
names, far dates, status words nobody documented, ids above 2**53); hostile *shapes* are in ``wire.py``.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from itertools import accumulate
from typing import Final

from tallyfy_frames.sandbox import feed, forms, library, people
from tallyfy_frames.sandbox.facts import (
    NOW,
    START,
    Answer,
    Entry,
    Folder,
    Group,
    Guest,
    Organization,
    OrgTask,
    Progress,
    Run,
    Tag,
    Task,
    Template,
    User,
    hex_id,
)

__all__ = ["NAMES", "NOW", "START", "STATUSES", "World", "hex_id", "make_run"]

NAMES: Final = (
    "Vendor check – Acorn", "Onboarding: Birch & Sons", "Invoice <b>4711</b>", "🚀 launch 🎉", "", "   ", "Nan", "null",
    "=1+1", "+49 30 1234", "@home", "-5 degrees", "<script>alert(1)</script>", "{{7*7}}", "right\u202eto-left", "tab\there",
    "line\nbreak", "quote \" and ' and ,", "\x1b[31mred", "Größe & Maße", "日本の手続き", "a+b c%20d", "[bold]markup[/bold]",
)  # fmt: skip
# Weighted; the last is in no documentation, as the next one will not be either.
STATUSES: Final = ("active",) * 9 + ("complete",) * 6 + ("delayed",) * 2 + ("problem", "issue", "paused")


@dataclass
class World:
    """One organization: ``runs`` in the order they were created, and everything they point to."""

    seed: int = 1
    run_count: int = 250
    extra_statuses: Sequence[str | None] = ()  # further status words, mixed in
    days: int | None = None  # runs are spread over so many days before NOW; None: from START on, one after the other
    org_id: str = field(init=False)
    token: str = field(init=False)
    version: int = field(default=0, init=False)  # how often its runs have changed

    def __post_init__(self) -> None:
        """Derive the organization's id and token from the seed."""
        self.org_id = hex_id(self.seed, "organization")
        # As long as a real one: an error message that is cut must not show most of it.
        self.token = "sandbox-" + "".join(hex_id(self.seed, "token", part) for part in range(25))
        self._tasks_of: dict[str, tuple[Run, tuple[OrgTask, ...]]] = {}
        self._activity: tuple[int, list[Entry]] | None = None
        self._counts: tuple[int, Counter[str]] | None = None

    @cached_property
    def organization(self) -> Organization:
        """The organization itself."""
        draw = random.Random(f"{self.seed}/organization")
        days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")[: draw.choice((4, 5, 5, 6))]
        return Organization(
            id=self.org_id,
            name="Sandbox & Sons",
            timezone=draw.choice(("Europe/Berlin", "America/Chicago", "UTC")),
            work_hours={day: ("09:00", "13:00" if day == "Friday" else "17:30") for day in days},
            auto_archive=draw.random() < 0.5,
            auto_archive_after=draw.choice(((52, "weeks"), (6, "months"), None)),
            auto_complete_tasks=True,
            auto_complete_task_months=18,
            webhook_date_field_format="yyyy-MM-ddTHH:mm:ssZ",
            created_at=START - timedelta(days=1000),
            last_updated=NOW - timedelta(days=7),
        )

    @cached_property
    def users(self) -> list[User]:
        """Members: active, invited, disabled and a bot; the first is the token's user, an administrator."""
        return [people.make_user(random.Random(f"{self.seed}/user/{n}"), n) for n in range(23)]

    @property
    def me(self) -> User:
        """The token's user."""
        return self.users[0]

    @cached_property
    def templates(self) -> list[Template]:
        """Templates, with their steps and forms."""
        return [library.make_template(self, n, title, kind) for n, (title, kind) in enumerate(library.TEMPLATES)]

    @cached_property
    def tags(self) -> list[Tag]:
        """Tags that people made: those on runs."""
        return [_tag(self, n, title, auto_generated=False) for n, title in enumerate(("urgent", "vip", "q2", "R&D", "late ⚠"))]

    @cached_property
    def auto_tags(self) -> list[Tag]:
        """Tags that the server made, and hides unless it is asked for all."""
        titles = ("from:Vendor check", "task:Step 1", "step:Step 1")
        return [_tag(self, n, title, auto_generated=True) for n, title in enumerate(titles, start=len(self.tags))]

    @cached_property
    def folders(self) -> list[Folder]:
        """Folders that hold runs."""
        return [_folder(self, n, title, "run", parent=0) for n, title in enumerate(("Finance", "HR", "2031/Q2"))]

    @cached_property
    def template_folders(self) -> list[Folder]:
        """Folders that hold templates."""
        return [_folder(self, n, f"Library {n}", "checklist", parent=3) for n in range(3, 17)]

    @cached_property
    def groups(self) -> list[Group]:
        """Groups of members and guests."""
        return [people.make_group(self, n, title) for n, title in enumerate(("Legal", "Ops", "Night shift"))]

    @cached_property
    def guests(self) -> list[Guest]:
        """People from outside."""
        return [people.make_guest(self, n) for n in range(31)]

    @cached_property
    def runs(self) -> list[Run]:
        """Every run, oldest first; some share an instant with the one before."""
        runs: list[Run] = []
        spread = self._spread()
        pace_s = max(2, min(7200, 57_600_000 // max(1, self.run_count)))  # all of them before NOW
        for number in range(self.run_count):
            draw = random.Random(f"{self.seed}/run/{number}")
            step = timedelta(
                seconds=0 if draw.random() < 0.08 else draw.randint(1, pace_s), milliseconds=draw.choice((0, 0, 7, 250))
            )
            created = spread[number] if spread else runs[-1].created_at + step if runs else START
            runs.append(make_run(self, draw, number, created, runs))
        return runs

    def _spread(self) -> list[datetime]:
        """When each run is created, where they are spread over ``days``."""
        if self.days is None:
            return []
        draw = random.Random(f"{self.seed}/spread")
        steps = [0.0 if draw.random() < 0.08 else draw.random() for _ in range(self.run_count)]
        share_s = (self.days * 86_400 - 3600) / (sum(steps) or 1)  # the last has begun, too
        first = NOW - timedelta(days=self.days)
        return [first + timedelta(seconds=int(share_s * passed)) for passed in accumulate(steps)]

    @cached_property
    def runs_by_id(self) -> dict[str, Run]:
        """Runs by their id."""
        return {run.id: run for run in self.runs}

    @cached_property
    def tasks_alone(self) -> list[OrgTask]:
        """Tasks that belong to no run."""
        return [_task_alone(self, n) for n in range(self.run_count // 5)]

    @cached_property
    def tasks(self) -> list[OrgTask]:
        """Every task: those of runs, and some that belong to none; oldest first."""
        of_runs = [task for run in self.runs for task in self.tasks_of(run)]
        return sorted([*of_runs, *self.tasks_alone], key=_task_age)

    def tasks_of(self, run: Run) -> tuple[OrgTask, ...]:
        """The tasks of a run as it is, by position."""
        known = self._tasks_of.get(run.id)
        if known is None or known[0] is not run:
            known = self._tasks_of[run.id] = run, tuple(_org_task(self, task, run) for task in run.tasks)
        return known[1]

    @property
    def activity(self) -> list[Entry]:
        """What happened to the runs, guests, tags and templates that there are; newest first."""
        if self._activity is None or self._activity[0] != self.version:
            self._activity = self.version, feed.entries(self)
        return self._activity[1]

    def count_in(self, place_id: str) -> int:
        """How many runs a template was launched as, or a folder holds."""
        if self._counts is None or self._counts[0] != self.version:
            places = [run.template.id for run in self.runs] + [run.folder.id for run in self.runs if run.folder]
            self._counts = self.version, Counter(places)
        return self._counts[1][place_id]

    def put(self, run: Run) -> None:
        """Add a run, at its place by age."""
        insort(self.runs, run, key=_age)
        self.runs_by_id[run.id] = run
        self._changed(None, run)

    def take(self, run: Run) -> None:
        """Remove a run."""
        del self.runs[bisect_left(self.runs, _age(run), key=_age)]
        del self.runs_by_id[run.id]
        self._changed(run, None)

    def swap(self, before: Run, after: Run) -> None:
        """The same run with other facts; its age is the same."""
        self.runs[bisect_left(self.runs, _age(before), key=_age)] = after
        self.runs_by_id[after.id] = after
        self._changed(before, after)

    def _changed(self, before: Run | None, after: Run | None) -> None:
        """Keep the list of tasks, if anybody has asked for it, in step with one run."""
        self.version += 1
        if "tasks" in self.__dict__:
            for task in self.tasks_of(before) if before else ():
                del self.tasks[bisect_left(self.tasks, _task_age(task), key=_task_age)]
            for task in self.tasks_of(after) if after else ():
                insort(self.tasks, task, key=_task_age)
        if before is not None and after is None:
            self._tasks_of.pop(before.id, None)


def _task_age(one: OrgTask) -> tuple[datetime, str]:
    return one.created_at, one.task.id


def _age(run: Run) -> tuple[datetime, int]:
    return run.created_at, run.number


def _org_task(world: World, task: Task, run: Run | None, created: datetime | None = None) -> OrgTask:
    draw = random.Random(f"{task.id}/facts")
    created = run.created_at if run is not None else created or START
    kind = draw.choice(("task", "task", "approval", "expiring", "email"))
    by_guest = task.completed_at is not None and bool(task.guests)
    return OrgTask(
        task=task,
        run=run,
        increment_id=90_000 + draw.randrange(2**40),
        step_id=None if run is None else hex_id(run.template.id, "step", task.position),
        alias=None if run is None else f"step-{task.position}-{run.template.id[:5]}",
        task_type=kind,
        summary=draw.choice((None, "", "<p>how</p>")),
        is_approved=draw.random() < 0.8 if kind == "approval" and task.completed_at else None,
        created_at=created,
        started_at=created + timedelta(minutes=task.position) if draw.random() < 0.8 else None,
        last_updated=max(created, task.completed_at or created),
        starter_id=draw.choice((None, draw.choice(world.users).id)),
        completer_id=draw.choice(world.users).id if task.completed_at and not by_guest else None,
        completer_guest=task.guests[0] if by_guest else None,
        everyone_must_complete=draw.random() < 0.2,
        problem=draw.random() < 0.1,
        max_assignable=draw.choice((0, 1)),
        answers=forms.unexplained(draw, world, task.id)
        if run is None
        else forms.task_answers(draw, world, run, task.position, task.status),
    )


def _task_alone(world: World, n: int) -> OrgTask:
    draw = random.Random(f"{world.seed}/task/{n}")
    created = START + timedelta(hours=9 * n + 1)
    done = draw.random() < 0.5
    task = Task(
        id=hex_id(world.seed, "task", n),
        title=draw.choice(NAMES),
        position=1,
        status="completed" if done else "active",
        users=(draw.choice(world.users).id,),
        groups=(),
        guests=(),
        deadline=created + timedelta(days=draw.randint(1, 400)) if draw.random() < 0.7 else None,
        completed_at=created + timedelta(hours=3) if done else None,
    )
    return _org_task(world, task, None, created)


def _tag(world: World, n: int, title: str, *, auto_generated: bool) -> Tag:
    draw = random.Random(f"{world.seed}/tag/{n}")
    return Tag(
        id=hex_id(world.seed, "tag", n),
        number=900 + n,
        title=title,
        color=f"#{draw.randrange(16**6):06x}",
        auto_generated=auto_generated,
        created_at=START - timedelta(days=draw.randint(0, 300), milliseconds=draw.choice((0, 40))),
        deleted_at=NOW - timedelta(days=1) if n == 2 else None,
    )


def _folder(world: World, n: int, title: str, kind: str, *, parent: int) -> Folder:
    """``parent`` is the number of the first of its kind, in which every third of them lies."""
    return Folder(
        id=hex_id(world.seed, "folder", n),
        number=70 + n,
        title=title,
        kind=kind,
        parent_id=hex_id(world.seed, "folder", parent) if n > parent and n % 3 == 0 else None,
        position=n - parent + 1,
        created_at=START - timedelta(days=random.Random(f"{world.seed}/folder/{n}").randint(0, 300)),
    )


def _lasts(world: World, number: int) -> timedelta | None:
    """How long a run takes, where the organization is at work; None leaves that to the run's own draws."""
    if world.days is None:
        return None
    return timedelta(minutes=random.Random(f"{world.seed}/run/{number}/lasts").randint(0, 50_000))


def _done_at(world: World, run_id: str, template: Template, created: datetime, position: int) -> datetime:
    """When a task is completed: an hour after the one before; where the organization is at work, its step is quick or slow."""
    if world.days is None:
        return created + timedelta(hours=position)
    hours = 0.0
    for step in range(1, position + 1):
        pace_h = random.Random(f"{template.id}/pace/{step}").uniform(1, 40)
        hours += random.Random(f"{run_id}/pace/{step}").expovariate(1 / pace_h)
    room_h = (NOW - created) / timedelta(hours=1)
    return created + timedelta(seconds=int(3600 * (hours if hours < room_h else room_h * position / 13)))  # of at most 12


def _tasks(  # noqa: PLR0913 - the circumstances of a launch
    draw: random.Random, world: World, run_id: str, template: Template, *, complete: bool, created: datetime
) -> tuple[Task, ...]:
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
                completed_at=_done_at(world, run_id, template, created, position) if done else None,
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


def _kickoff(  # noqa: PLR0913 - the circumstances of a launch
    draw: random.Random, world: World, run_id: str, template: Template, created: datetime, *, answered: bool
) -> Callable[[], tuple[Answer, ...]]:
    for _ in range(template.number % 5 if answered else 0):  # the draws of forms as they once were: what follows stays
        draw.randrange(6)
        draw.randrange(2)
    return cache(partial(forms.kickoff_answers, world, run_id, template, created, answered=answered))


def make_run(world: World, draw: random.Random, number: int, created: datetime, earlier: Sequence[Run]) -> Run:
    """The run of this number, as ``draw`` has it."""
    run_id = hex_id(world.seed, "run", number)
    template = draw.choice(world.templates)
    status = draw.choice((*STATUSES, *world.extra_statuses))
    lasts = _lasts(world, number)
    ended = lasts is None or created + lasts <= NOW
    complete = status == "complete" and ended
    status = "active" if status == "complete" and not ended else status
    tasks = _tasks(draw, world, run_id, template, complete=complete, created=created)
    deadlines = [task.deadline for task in tasks if task.deadline]
    late = sum(task.deadline is not None and task.deadline < NOW and task.completed_at is None for task in tasks)
    answered = bool(template.fields) and draw.random() < 0.8
    archived = draw.random() < 0.15 and ended
    lasted = timedelta(minutes=draw.randint(0, 50_000)) if lasts is None else lasts
    updated = min(created + lasted, NOW)
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
        form=_kickoff(draw, world, run_id, template, created, answered=answered),
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
