"""What a load must return, written from the sandbox's facts alone: no line of ours decodes, filters or flattens here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tallyfy_frames.sandbox.facts import Folder, Group, Guest, OrgTask, Run, Tag, Template, User
from tallyfy_frames.sandbox.world import NOW, World

# Columns whose text is JSON: compared as what it means.
JSON_COLUMNS = ("prerun", "custom_fields", "extra", "automated_actions", "taskdata")


def expected_run(run: Run) -> dict[str, Any]:
    """A run's data columns."""
    row: dict[str, Any] = {
        name: getattr(run, name)
        for name in (
            "id", "increment_id", "checklist_title", "name", "summary", "status", "type", "owner_id", "started_by", "parent_id",
            "created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date", "max_task_deadline",
            "prerun_status", "prerun_completed_at", "prerun_completed_by", "prerun_length", "starred", "is_public",
            "can_add_oot", "assign_someone_else", "has_open_issue",
        )
    }  # fmt: skip
    row["checklist_id"] = run.template.id
    for prefix, progress in (("progress", run.progress), ("whole_progress", run.whole_progress)):
        for part in ("complete", "total", "percent", "approved", "rejected"):
            row[f"{prefix}_{part}"] = None if progress is None else getattr(progress, part)
    for name in ("collaborators", "users", "groups"):
        row[name] = list(getattr(run, name))
    row["prerun"] = without_secrets(run.prerun)
    row["custom_fields"] = without_secrets(run.custom_fields)
    row["extra"] = without_secrets(run.unknown) or None
    return row


def expected_user(user: User) -> dict[str, Any]:
    """Those of a member's data columns that the sandbox has."""
    return {
        name: getattr(user, name)
        for name in (
            "id", "email", "username", "first_name", "last_name", "full_name", "role", "status", "active", "created_at",
            "last_updated", "last_login_at", "disabled_at", "disabled_by", "invited_by", "job_title", "team", "timezone",
        )
    } | {"country_id": None if user.country_id is None else str(user.country_id)}  # fmt: skip


def expected_template(template: Template) -> dict[str, Any]:
    """A template's data columns; JSON columns as what they mean."""
    row = _facts(
        template, "id", "increment_id", "title", "summary", "type", "status", "owner_id", "created_by", "steps_count", "starred",
        "is_public", "created_at", "last_updated", "archived_at",
    )  # fmt: skip
    fields = [
        {"id": key, "checklist_id": template.id, "field_type": kind, "label": label, "position": position, "required": False}
        for position, (key, kind, label) in enumerate(template.fields, start=1)
    ]
    return row | {
        "users": list(template.users), "groups": list(template.groups), "prerun": fields, "webhook": "***",
        "automated_actions": [], "custom_fields": {},
    }  # fmt: skip


def expected_task(one: OrgTask) -> dict[str, Any]:
    """A task's data columns."""
    task, run = one.task, one.run
    row = _facts(
        one, "increment_id", "step_id", "alias", "task_type", "summary", "is_approved", "created_at", "started_at", "last_updated",
        "starter_id", "completer_id", "completer_guest", "everyone_must_complete", "problem", "max_assignable",
    ) | _facts(task, "id", "title", "position", "status", "deadline", "completed_at")  # fmt: skip
    return row | {
        "run_id": None if run is None else run.id,
        "checklist_id": None if run is None else run.template.id,
        "archived_at": None if run is None else run.archived_at,
        "is_oneoff_task": run is None,
        "original_title": task.title,
        "status_label": task.status.replace("-", " ").capitalize(),
        "owner_users": list(task.users),
        "owner_groups": list(task.groups),
        "owner_guests": list(task.guests),
        "taskdata": one.answers,
        "webhook": "***",
    }


def expected_tag(tag: Tag) -> dict[str, Any]:
    """A tag's data columns."""
    return _facts(tag, "id", "title", "color", "auto_generated", "created_at", "deleted_at") | {"type": None}


def expected_group(group: Group) -> dict[str, Any]:
    """A group's data columns."""
    row = _facts(group, "id", "description", "created_at", "last_updated", "deleted_at")
    return row | {"name": group.title, "logo": None, "members": list(group.members), "guests": list(group.guests)}


def expected_folder(folder: Folder) -> dict[str, Any]:
    """A folder's data columns."""
    row = _facts(folder, "id", "parent_id", "position", "created_at")
    return row | {"name": folder.title, "folder_type": folder.kind}


def expected_guest(guest: Guest) -> dict[str, Any]:
    """A guest's data columns: what the sandbox has none of is null, and addresses that let someone in are masked."""
    row = _facts(
        guest, "email", "first_name", "last_name", "status", "timezone", "created_at", "last_accessed_at", "disabled_at",
        "disabled_by", "deleted_at",
    )  # fmt: skip
    return row | {
        "id": str(guest.id), "phone_1": guest.phone, "company_name": guest.company, "link": "***", "image_url": "***",
    }  # fmt: skip


def _facts(record: object, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        secret = {"webhook", "url", "guest_link"}
        return {key: "***" if key in secret else without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def actual(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Loaded rows with their JSON columns read."""
    return [
        {name: json.loads(cell) if name in JSON_COLUMNS and cell is not None else cell for name, cell in row.items()}
        for row in rows
    ]


def task_users(run: Run) -> set[int]:
    return {user for task in run.tasks for user in task.users}


def late(run: Run) -> bool:
    """Whether a task that is not done is past its deadline."""
    return any(task.completed_at is None and task.deadline is not None and task.deadline < NOW for task in run.tasks)


STATUS: Mapping[str, Callable[[Run], bool]] = {
    "active": lambda run: run.status == "active",
    "complete": lambda run: run.status == "complete",
    "problem": lambda run: run.status in {"problem", "issue"},
    "issue": lambda run: run.status == "issue",
    "delayed": lambda run: run.status == "delayed" or (run.status == "paused" and run.completed_at is None and late(run)),
    "improvement": lambda run: run.has_improvement,
    "starred": lambda run: run.starred,
    "paused": lambda run: run.status == "paused",
}

FILTERS: Mapping[str, Callable[[World, Run, Any], bool]] = {
    "q": lambda _, run, text: text.casefold() in run.name.casefold(),
    "status": lambda _, run, words: any(STATUS[word](run) for word in ([words] if isinstance(words, str) else words)),
    "owners": lambda _, run, ids: bool({int(i) for i in ids} & ({run.owner_id} | task_users(run))),
    "checklist_id": lambda _, run, wanted: run.template.id == wanted,
    "folder": lambda _, run, wanted: run.folder is not None and run.folder.id == wanted,
    "tag": lambda _, run, wanted: wanted in [tag.id for tag in run.tags],
    "tag_ids": lambda _, run, ids: any(tag.id in ids for tag in run.tags),
    "untagged": lambda _, run, wanted: wanted and run.tags == (),
    "starred": lambda _, run, wanted: run.starred == wanted,
    "type": lambda _, run, wanted: run.type == wanted,
    "groups": lambda _, run, ids: any(group in ids for task in run.tasks for group in task.groups),
    "archived": lambda _, run, word: word == "include" or run.archived_at is not None,
    "task_status": lambda _, run, word: (
        word == "all"
        or any(
            task.status == "completed" if word == "completed" else task.status in ("active", "in-progress")
            for task in run.tasks
        )
    ),
    "form_fields_values": lambda *_: True,
    "me": lambda world, run, _: world.users[0].id == run.owner_id or world.users[0].id in task_users(run),
    "sort": lambda *_: True,
}


def matches(world: World, filters: Mapping[str, Any], run: Run) -> bool:
    """Whether ``filters`` ask for this run, as it is now."""
    return ("archived" in filters or run.archived_at is None) and all(
        FILTERS[name](world, run, value) for name, value in filters.items()
    )


def matching(world: World, filters: Mapping[str, Any]) -> list[Run]:
    """The runs that ``filters`` ask for."""
    return [run for run in world.runs if matches(world, filters, run)]
