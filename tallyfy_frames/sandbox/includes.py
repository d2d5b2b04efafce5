"""What a run brings along when ``with=`` asks for it.

Documented is what the collections hold, not how they are wrapped; of ``permissions``, ``tasks_meta`` and ``stages`` nothing is,
and of ``folders`` and ``assets`` little: these have several shapes each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from tallyfy_frames.sandbox.definitions import answered, key_of_answers, varied
from tallyfy_frames.sandbox.facts import NOW, OrgTask, Run
from tallyfy_frames.sandbox.lists import LISTS, tasks
from tallyfy_frames.sandbox.wire import Wire

CAP: Final = 10  # tasks of a run, under a quirk
NEXT_TASK: Final = ("id", "increment_id", "title", "alias", "owners", "deadline")

Shown: TypeAlias = dict[str, object]
Include: TypeAlias = Callable[["Includes", random.Random, Run, bool], Shown]


class Includes:
    """Runs with includes. What was rendered of a run is kept until the run is another one: its pages are asked for again."""

    def __init__(self, wire: Wire) -> None:
        """Nothing is rendered yet."""
        self.wire = wire
        self.kept: dict[str, tuple[Run, dict[tuple[str, bool], Shown]]] = {}
        self.templates: dict[str, tuple[int, object]] = {}  # and as of which version of the world

    def run(self, run: Run, names: Iterable[str] = (), *, with_values: bool = False) -> dict[str, Any]:
        """A run with those of its includes that are named; ``with_values``: form fields have their answers."""
        body = self.wire.run(run)
        for name in names:
            if name in INCLUDES:
                body = body | self.include(run, name, with_values=with_values)
        return body

    def include(self, run: Run, name: str, *, with_values: bool) -> Shown:
        """The include under its name, or nothing at all."""
        if name in COUNTED:
            return RENDER[name](self, random.Random(f"{run.id}/{name}/wire"), run, with_values)
        if run.id not in self.kept or self.kept[run.id][0] is not run:
            self.kept[run.id] = run, {}
        kept = self.kept[run.id][1]
        if (name, with_values) not in kept:
            kept[name, with_values] = RENDER[name](self, random.Random(f"{run.id}/{name}/wire"), run, with_values)
        return kept[name, with_values]

    def form_fields(self, run: Run) -> Shown:
        """Both forms of a run with all answers, in bare lists, as its own route has them."""
        draw = random.Random(f"{run.id}/form-fields/wire")
        key = key_of_answers(self.wire, draw)
        return {
            "id": run.id,
            "name": run.name,
            "form_fields": self.fields_of_tasks(draw, run, key),
            "ko_form_fields": self.fields_of_kickoff(draw, run, key),
        }

    def fields_of_kickoff(self, draw: random.Random, run: Run, key: str | None) -> list[dict[str, Any]]:
        """The kick-off form as it is now; with ``key``, what was answered, too."""
        answers = {answer.field.id: answer for answer in run.answers}
        return [
            varied(self.wire, draw, field) | answered(self.wire, draw, answers.get(field.id), key)
            for field in run.template.fields
        ]

    def fields_of_tasks(self, draw: random.Random, run: Run, key: str | None) -> list[dict[str, Any]]:
        """The forms of all its tasks, hidden ones as well, in no order."""
        found = [field for one in self.wire.world.tasks_of(run) for field in tasks.form_fields(self.wire, draw, one, key)]
        if not self.wire.plain:
            draw.shuffle(found)
        return found

    def visible(self, run: Run) -> list[OrgTask]:
        """The tasks of a run that no rule hides."""
        return [one for one in self.wire.world.tasks_of(run) if not one.task.hidden]

    def undocumented(self, draw: random.Random, name: str, body: object, rows: list[Any]) -> Shown:
        """An include of which no source says whether it is an object or a list."""
        if self.wire.plain:
            return {name: {"data": body}}
        shape = draw.choice(("object", "list", "list", "nothing"))
        return self.wire.item(draw, name, body) if shape == "object" else self.wire.collection(
            draw, name, rows if shape == "list" else []
        )  # fmt: skip


def _checklist(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001 - as every include
    template, version = run.template, self.wire.world.version
    if self.templates.get(template.id, (None,))[0] != version:
        self.templates[template.id] = version, LISTS["checklists"].body(self.wire, template, {})
    return self.wire.item(draw, "checklist", self.templates[template.id][1])


def _tasks(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    rows = [tasks.LIST.body(self.wire, one, {}) for one in self.visible(run)]
    return self.wire.collection(draw, "tasks", rows[:CAP] if "include-tasks-10" in self.wire.quirks else rows)


def _tags(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    """Associations: ``id`` is a number of their own, ``tag_id`` is the tag. As on templates: the tag itself."""
    shape = "whole" if self.wire.plain else draw.choice(("whole", "whole", "short", "tag"))
    rows: list[dict[str, object]] = []
    for tag in run.tags:
        looks = {"title": tag.title, "color": tag.color}
        row: dict[str, object] = {"id": tag.number * 100_000 + run.number, "tag_id": tag.id}
        shapes: dict[str, dict[str, object]] = {"whole": row | looks, "short": row, "tag": {"id": tag.id, **looks}}
        rows.append(shapes[shape])
    return self.wire.collection(draw, "tags", rows)


def _next_task(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    """The open task with the earliest deadline, in a collection of at most one."""
    pending = [one for one in self.visible(run) if one.open]
    first = sorted(pending, key=lambda one: (one.task.deadline is None, one.task.deadline or NOW, one.task.position))[:1]
    bodies = [tasks.LIST.body(self.wire, one, {}) for one in first]
    return self.wire.collection(draw, "next_task", [{name: body[name] for name in NEXT_TASK} for body in bodies])


def _permissions(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    words = {"process_read": True, "process_update": run.number % 2 == 0}
    return self.undocumented(draw, "permissions", words, list(words))


def _tasks_meta(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    visible = self.visible(run)
    counts = {"total": len(visible), "completed": sum(not one.open for one in visible)}
    each = [{"state": state, "count": count} for state, count in counts.items()]
    return self.undocumented(draw, "tasks_meta", counts, each)


def _ko_form_fields(self: Includes, draw: random.Random, run: Run, with_values: bool) -> Shown:  # noqa: FBT001
    """With answers now and then even if nobody asks."""
    key = key_of_answers(self.wire, draw)
    told = self.wire.plain or draw.random() < 0.5 or with_values
    return self.wire.collection(draw, "ko_form_fields", self.fields_of_kickoff(draw, run, key if told else None))


def _form_fields(self: Includes, draw: random.Random, run: Run, with_values: bool) -> Shown:  # noqa: FBT001
    key = key_of_answers(self.wire, draw)
    return self.wire.collection(draw, "form_fields", self.fields_of_tasks(draw, run, key if with_values else None))


def _stages(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    title = draw.choice(("title", "name"))
    rows = [{"id": one.id, title: one.title, "position": one.position} for one in run.template.stages]
    if rows and not self.wire.plain and draw.random() < 0.2:
        return {"stages": {str(row["id"]): row for row in rows}}
    return self.wire.collection(draw, "stages", rows)


def _folders(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    """Folders, or rows that say which: those have a number of their own."""
    if run.folder is None:
        return self.wire.collection(draw, "folders", [])
    if self.wire.plain or draw.random() < 0.5:
        return self.wire.collection(draw, "folders", [LISTS["folders"].body(self.wire, run.folder, {})])
    row = {"id": run.folder.number * 100_000 + run.number, "folder_id": run.folder.id, "folderable_id": run.id}
    return self.wire.collection(draw, "folders", [row])


def _assets(self: Includes, draw: random.Random, run: Run, _: bool) -> Shown:  # noqa: FBT001
    """The files of both forms; without their addresses."""
    given = [answer for answer in run.answers if answer.filenames]
    given += [answer for one in self.visible(run) for answer in one.answers if answer.filenames]
    rows = [
        {name: value for name, value in file.items() if name not in {"url", "full_url"}}
        | {"system": "s3", "uploaded_to_s3": file["source"] == "local", "subject": {"id": run.id, "type": "Run"}}
        for answer in given
        for file in answer.raw
    ]
    return self.wire.collection(draw, "assets", rows)


RENDER: Final[Mapping[str, Include]] = {
    "checklist": _checklist, "tasks": _tasks, "tags": _tags, "next_task": _next_task, "permissions": _permissions,
    "tasks_meta": _tasks_meta, "ko_form_fields": _ko_form_fields, "form_fields": _form_fields, "stages": _stages,
    "folders": _folders, "assets": _assets,
}  # fmt: skip
INCLUDES: Final = tuple(RENDER)
COUNTED: Final = ("checklist", "folders")  # say how many runs there are, so they change with others
