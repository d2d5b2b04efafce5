"""The activity feed: what happened to the runs, tasks, guests, tags and templates that there are.

It is made of them as they are: what is gone has left no trace, and what changes while it is read has its new facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tallyfy_frames.sandbox.facts import Entry, Run, User

if TYPE_CHECKING:
    from tallyfy_frames.sandbox.world import World

SOURCES: Final = ("webapp", "webapp", "api", "rules")
FIRST_OF_RUNS: Final = 10_000_000  # ids of entries: those below are of what belongs to no run
PER_RUN: Final = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """What something happened to, or where it lies."""

    kind: str
    id: str
    title: str


def entries(world: World) -> list[Entry]:
    """All of it, newest first."""
    found = [*_of_things(world), *(entry for run in world.runs for entry in _of_run(world, run))]
    return sorted(found, key=lambda entry: (entry.created_at, entry.id), reverse=True)


def _of_run(world: World, run: Run) -> Iterator[Entry]:
    draw = random.Random(f"{run.id}/feed")
    members = {user.id: user for user in world.users}
    template, whole = Subject("Checklist", run.template.id, run.template.title), Subject("Run", run.id, run.name)
    number = FIRST_OF_RUNS + run.number * PER_RUN
    starter = members.get(run.started_by or 0)
    yield _entry(draw, number, "created", "process", whole, run.created_at, by=starter, parent=template)
    for n, one in enumerate(world.tasks_of(run)):
        part, done, guest = Subject("Task", one.task.id, one.task.title), one.task.completed_at, one.completer_guest
        if done is not None:
            who = members.get(one.completer_id or 0)
            yield _entry(draw, number + 2 * n + 1, "completed", "task", part, done, by=who, guest=guest, parent=whole)
        if one.problem:
            verb, said = draw.choice(("issue-reported", "commented")), "<p>it does <strong>not</strong> work</p>"
            at = run.created_at + timedelta(hours=1)
            yield _entry(draw, number + 2 * n + 2, verb, "task", part, at, by=world.me, parent=whole, text=said)
    if draw.random() < 0.3:
        was = draw.choice(("Draft", "", "=1+1"))
        at = run.created_at + timedelta(minutes=draw.randint(1, 59))
        yield _entry(draw, number + 62, "updated", "process", whole, at, by=draw.choice(world.users), changed=("name", was))
    if run.archived_at is not None:
        yield _entry(draw, number + 63, "archived", "process", whole, run.archived_at)


def _of_things(world: World) -> Iterator[Entry]:
    numbers = iter(range(1, FIRST_OF_RUNS))
    things: list[tuple[str, str, Subject, datetime]] = [
        *(("invited", "guest", Subject("Guest", str(one.id), one.email), one.created_at) for one in world.guests),
        *(("created", "tag", Subject("Tag", one.id, one.title), one.created_at) for one in (*world.tags, *world.auto_tags)),
        *(("created", "template", Subject("Checklist", one.id, one.title), one.created_at) for one in world.templates),
    ]
    for verb, kind, subject, moment in things:
        draw = random.Random(f"{subject.id}/feed")
        yield _entry(draw, next(numbers), verb, kind, subject, moment, by=draw.choice((world.me, None, *world.users)))


def _entry(  # noqa: PLR0913 - what an entry is made of
    draw: random.Random, number: int, verb: str, kind: str, subject: Subject, moment: datetime, *, by: User | None = None,
    guest: str | None = None, parent: Subject | None = None, text: str | None = None, changed: tuple[str, str] | None = None,
) -> Entry:  # fmt: skip
    """By a member, a guest, or nobody: rules and the clock act, too."""
    return Entry(
        id=number,
        verb=verb,
        type=kind,
        source=draw.choice(SOURCES) if by or guest else "system",
        actor_type="guest" if guest else "user" if by else "system",
        actor_id=by.id if by else None,
        actor_name=by.full_name if by else None,
        actor_email=by.email if by else guest,
        description=f"{verb.replace('-', ' ')}: {subject.title}",
        subject_class=subject.kind,
        subject_id=subject.id,
        subject_title=subject.title,
        parent_class=parent.kind if parent else None,
        parent_id=parent.id if parent else None,
        parent_title=parent.title if parent else None,
        undoable=verb == "archived",
        created_at=moment,
        text=text,
        field=changed and changed[0],
        old_value=changed and changed[1],
    )
