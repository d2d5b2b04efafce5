"""``GET tasks``: those of runs and those that belong to none. ``summary`` is left out unless ``with`` asks for it.

Words of ``status`` and ``sort`` are those of the documentation's "List organization tasks"; ``newest`` is by creation.
``tag`` is a tag's name here, though it is an id on runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tallyfy_frames.sandbox.definitions import answered, key_of_answers, varied
from tallyfy_frames.sandbox.facts import NOW, OrgTask
from tallyfy_frames.sandbox.lists._list import List, Query, asked
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World

STATUS: Final[dict[str, Callable[[OrgTask], bool]]] = {
    "complete": lambda one: one.task.status == "completed",
    "completed": lambda one: one.task.status == "completed",
    "active": lambda one: one.task.status in {"active", "in-progress"},
    "incomplete": lambda one: one.open,
    "inprogress": lambda one: one.task.status == "in-progress",
    "overdue": lambda one: one.open and one.task.deadline is not None and one.task.deadline < NOW,
    "due_soon": lambda one: one.open and one.task.deadline is not None and NOW <= one.task.deadline < NOW + timedelta(days=2),
    "hasproblem": lambda one: one.problem,
}


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def _created(one: OrgTask, wanted: str) -> bool:
    first, _, last = wanted.partition(":")
    return first <= _day(one.created_at) <= (last or first)


def _meets(wanted: str, found: Sequence[object]) -> bool:
    return not {part.strip() for part in wanted.split(",")}.isdisjoint(map(str, found))


FILTERS: Final[dict[str, Callable[[OrgTask, str], bool]]] = {
    "q": lambda one, text: text.lower() in one.task.title.lower(),
    "status": lambda one, word: word not in STATUS or STATUS[word](one),  # an unknown word is ignored
    "owners": lambda one, ids: _meets(ids, one.task.users),
    "groups": lambda one, ids: _meets(ids, one.task.groups),
    "guests": lambda one, emails: _meets(emails, one.task.guests),
    "folder": lambda one, wanted: one.run is not None and one.run.folder is not None and one.run.folder.id == wanted,
    "tag": lambda one, name: one.run is not None and name in [tag.title for tag in one.run.tags],
    "unassigned": lambda one, word: word != "true" or not (one.task.users or one.task.groups or one.task.guests),
    "deadline_on": lambda one, day: _day(one.task.deadline) == day,
    "deadline_before": lambda one, day: one.task.deadline is not None and _day(one.task.deadline) < day,
    "deadline_after": lambda one, day: _day(one.task.deadline) > day,
    "deadline_start_range": lambda one, day: _day(one.task.deadline) >= day,
    "deadline_end_range": lambda one, day: one.task.deadline is not None and _day(one.task.deadline) <= day,
    "created": _created,
    "is_oneoff": lambda one, word: (one.run is None) is (word == "true"),
    "archived": lambda one, word: word != "only" or (one.run is not None and one.run.archived_at is not None),
}
DEADLINES: Final = ("deadline_before", "deadline_after", "deadline_start_range", "deadline_end_range")


def select(world: World, query: Query) -> Sequence[OrgTask]:
    """Of all tasks."""
    return chosen(world.tasks, query)


def chosen(tasks: Sequence[OrgTask], query: Query) -> Sequence[OrgTask]:
    """By every documented parameter; ``deadline_on`` beats the other deadlines. Without ``sort``: latest change first."""
    found = [one for one in tasks if query.get("archived") or one.run is None or one.run.archived_at is None]
    for name, matches in FILTERS.items():
        if query.get(name) and not (name in DEADLINES and query.get("deadline_on")):
            found = [one for one in found if matches(one, query[name])]
    sort = query.get("sort") or query.get("sort_by") or ""
    if sort.removeprefix("-") == "newest":
        return sorted(found, key=lambda one: (one.created_at, one.task.id), reverse=sort == "newest")
    if sort.removeprefix("-") == "deadline":
        return sorted(found, key=lambda one: (one.task.deadline or NOW, one.task.id), reverse=sort != "deadline")
    return sorted(found, key=lambda one: (one.last_updated, one.task.id), reverse=True)


def render(wire: Wire, draw: random.Random, one: OrgTask) -> dict[str, Any]:
    """As the documentation's list has it: owners' users are numbers or objects, answers ``[]`` where there are none."""
    task, run = one.task, one.run
    as_objects = not wire.plain and draw.random() < 0.3
    users = [{"id": user, "full_name": "somebody", "profile_pic": None} if as_objects else user for user in task.users]
    nobody = not (task.users or task.groups or task.guests)
    owners: object = {"users": users, "guests": list(task.guests), "groups": list(task.groups), "taskUrls": []}
    if nobody and not wire.plain:
        owners = draw.choice(([], None, owners))
    return {
        "id": task.id,
        "increment_id": wire.number(draw, one.increment_id),
        "title": task.title,
        "original_title": task.title,
        "run_id": None if run is None else run.id,
        "checklist_id": None if run is None else run.template.id,
        "step_id": one.step_id,
        "alias": one.alias,
        "status": task.status,
        "status_label": task.status.replace("-", " ").capitalize(),
        "task_type": one.task_type,
        "is_approved": wire.flag(draw, one.is_approved),
        "position": wire.number(draw, task.position),
        "owners": owners,
        "taskdata": wire.mapping(one.taskdata),
        "deadline": wire.instant(draw, task.deadline),
        "started_at": wire.instant(draw, one.started_at),
        "created_at": wire.instant(draw, one.created_at),
        "last_updated": wire.instant(draw, one.last_updated),
        "completed_at": wire.instant(draw, task.completed_at),
        "archived_at": wire.instant(draw, None if run is None else run.archived_at),
        "starter_id": wire.person(draw, one.starter_id),
        "completer_id": wire.person(draw, one.completer_id),
        "completer_guest" if wire.plain or draw.random() < 0.5 else "completer_guest_id": one.completer_guest,
        "is_oneoff_task": wire.flag(draw, run is None),
        "everyone_must_complete": wire.flag(draw, one.everyone_must_complete),
        "problem": wire.flag(draw, one.problem),
        "max_assignable": one.max_assignable,
        "webhook": "https://hooks.example.net/secret-hook",
    }


def with_includes(wire: Wire, one: OrgTask, query: Query) -> dict[str, Any]:
    """The text of a task comes only if it is asked for, and so do the fields of its form."""
    found: dict[str, Any] = {}
    if "summary" in asked(query):
        found["summary"] = one.summary
    if "form_fields" in asked(query):
        draw = random.Random(f"{one.task.id}/form_fields/wire")
        found |= wire.collection(draw, "form_fields", form_fields(wire, draw, one, key_of_answers(wire, draw)))
    return found


def form_fields(wire: Wire, draw: random.Random, one: OrgTask, key: str | None) -> list[dict[str, Any]]:
    """The fields that the task's step has now; with ``key``, what was answered, too."""
    if one.run is None or one.task.position > len(one.run.template.steps):
        return []
    answers = {answer.field.id: answer for answer in one.answers}
    return [
        varied(wire, draw, field, task_id=one.task.id) | answered(wire, draw, answers.get(field.id), key)
        for field in one.run.template.steps[one.task.position - 1].fields
    ]


LIST: Final = List("tasks", 10, 100, select, render, lambda one: one.task.id, include=with_includes, moves=True)
