"""Which runs a query selects: the words of "List processes", each as the sandbox reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from tallyfy_frames.sandbox.facts import NOW, Run


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose token it is, and under which quirks words are read."""

    me: int
    quirks: Collection[str]


def selects(reader: Reader, run: Run, query: Mapping[str, str]) -> bool:
    """Whether every parameter that this route knows lets ``run`` through; it ignores all others."""
    if "archived-ignored" in reader.quirks:
        query = {name: value for name, value in query.items() if name != "archived"}
    return all(matches(reader, run, query[name]) for name, matches in FILTERS.items() if query.get(name)) and (
        bool(query.get("archived")) or query.get("status") == "archived" or run.archived_at is None
    )


def csv(text: str | None) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _some(reader: Reader, wanted: str, found: Collection[object]) -> bool:
    """Whether the listed ids meet ``found``: any of them, or (a quirk) all of them."""
    hits = [part in {str(value) for value in found} for part in csv(wanted)]
    return all(hits) if "lists-and" in reader.quirks else any(hits)


def _status(reader: Reader, run: Run, word: str) -> bool:
    open_run = run.completed_at is None
    late = any(task.deadline and task.deadline < NOW and task.completed_at is None for task in run.tasks)
    meanings: dict[str, bool] = {
        "active": open_run if "status-active-open" in reader.quirks else run.status == "active",
        "complete": run.status == "complete",
        "problem": run.status in {"problem", "issue"},
        "issue": run.status == "issue",
        "improvement": run.has_improvement,
        "delayed": run.status == "delayed" or (open_run and late and run.status == "paused"),
        "starred": run.starred,
        "archived": run.archived_at is not None or "status-archived-ignored" in reader.quirks,
    }
    if word == "paused":  # new on the server's side, in no documentation
        return run.status == word
    return meanings.get(word, "status-unknown-empty" not in reader.quirks)


def _folder(reader: Reader, run: Run, wanted: str) -> bool:
    if run.folder is None:
        return False
    return wanted == (str(run.folder.number) if "folder-numeric" in reader.quirks else run.folder.id)


def _tag(reader: Reader, run: Run, wanted: str) -> bool:
    ids = {tag.id for tag in run.tags}
    return bool(ids & set(csv(wanted))) if "tag-csv" in reader.quirks else wanted in ids


def _archived(reader: Reader, run: Run, wanted: str) -> bool:
    if wanted == "only" or (wanted == "true" and "archived-true-only" in reader.quirks):
        return run.archived_at is not None
    return wanted == "true" or run.archived_at is None


def _starred(reader: Reader, run: Run, wanted: str) -> bool:
    if wanted == "false" and "starred-false-ignored" in reader.quirks:
        return True
    return run.starred is (wanted == "true") if wanted in {"true", "false"} else True


def _untagged(reader: Reader, run: Run, wanted: str) -> bool:
    return not run.tags if wanted == "true" or "untagged-any" in reader.quirks else True


def _task_status(_reader: Reader, run: Run, wanted: str) -> bool:
    states = {"in-progress": {"active", "in-progress"}, "completed": {"completed"}}.get(wanted)
    return True if states is None else any(task.status in states for task in run.tasks)


def _me(reader: Reader, run: Run, wanted: str) -> bool:
    return wanted != "true" or reader.me in {run.owner_id, *(user for task in run.tasks for user in task.users)}


FILTERS: Final[dict[str, Callable[[Reader, Run, str], bool]]] = {
    "q": lambda _reader, run, text: text.lower() in run.name.lower(),
    "status": _status,
    "owners": lambda reader, run, ids: _some(reader, ids, {run.owner_id, *(u for t in run.tasks for u in t.users)}),
    "checklist_id": lambda _reader, run, wanted: run.template.id == wanted,
    "blueprint_id": lambda _reader, run, wanted: run.template.id == wanted,
    "folder": _folder,
    "tag": _tag,
    "tag_ids": lambda reader, run, ids: _some(reader, ids, {tag.id for tag in run.tags}),
    "untagged": _untagged,
    "starred": _starred,
    "type": lambda _reader, run, wanted: run.type == wanted,
    "groups": lambda reader, run, ids: _some(reader, ids, {g for task in run.tasks for g in task.groups}),
    "archived": _archived,
    "task_status": _task_status,
    "me": _me,
}
