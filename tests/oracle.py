"""What a load must return, written from the sandbox's facts alone: no line of ours decodes, filters or flattens here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tallyfy_frames.sandbox.facts import (
    Answer,
    Entry,
    Field,
    Folder,
    Group,
    Guest,
    OrgTask,
    Run,
    Step,
    Tag,
    Task,
    Template,
    User,
)
from tallyfy_frames.sandbox.world import NOW, World

# Columns whose text is JSON: compared as what it means.
JSON_COLUMNS = ("prerun", "custom_fields", "extra", "automated_actions", "taskdata", "captures", "roles", "actor")


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
    return row | {
        "users": list(template.users), "groups": list(template.groups), "prerun": [expected_field(field) for field in template.fields], "webhook": "***",
        "automated_actions": [], "custom_fields": {},
    }  # fmt: skip


def expected_field(field: Field) -> dict[str, Any]:
    """A field of a form as a template defines it, in JSON."""
    stamp = f"{field.created_at:%Y-%m-%dT%H:%M:%S}.000Z"
    return _facts(field, "id", "alias", "label", "guidance", "position", "required") | {
        "checklist_id" if field.step_id is None else "step_id": field.step_id or field.template_id,
        "field_type": field.kind,
        "options": [{"id": one.id, "text": one.text, "value": one.value, "required": False} for one in field.options],
        "columns": [{"id": number, "label": label} for number, label in enumerate(field.columns, start=1)],
        "field_validation": "|".join(field.validation) if len(field.validation) > 1 else [*field.validation],
        "collect_time": field.kind == "date", "use_wysiwyg_editor": field.kind == "textarea", "default_value_enabled": False,
        "default_value": None, "prefix": None, "suffix": None, "settings": None, "list": None, "unique_id": None,
        "created_at": stamp, "last_updated": stamp,
    }  # fmt: skip


def expected_step(step: Step) -> dict[str, Any]:
    """What is known of a step, under the API's names; those of a small object are joined: ``deadline_value``."""
    row = _facts(
        step, "id", "title", "alias", "summary", "step_type", "position", "allow_guest_owners", "max_assignable",
        "skip_start_process", "can_complete_only_assignees", "everyone_must_complete", "is_soft_start_date",
        "prevent_guest_comment", "role_changes_every_time", "assign_run_starter", "top_secret", "send_chromeless", "created_at",
        "last_updated", "archived_at",
    )  # fmt: skip
    start, due, launch = step.start_date, step.deadline, step.bp_to_launch
    return row | {
        "checklist_id": step.template_id,
        "webhook": "***",
        "start_date_value": start and start[0],
        "start_date_unit": start and start[1],
        "deadline_value": due and due.value,
        "deadline_unit": due and due.unit,
        "deadline_option": due and due.option,
        "deadline_step": due and due.step,
        "bp_to_launch_id": launch and launch.template_id,
        "bp_to_launch_default_name_format": launch and launch.name_format,
        "bp_to_launch_tasks_within_process": launch and launch.tasks_within_process,
        "assignees": list(step.assignees),
        "guests": list(step.guests),
        "groups": list(step.groups),
        "roles": list(step.roles),
        "captures": [expected_field(field) for field in step.fields],
        "custom_fields": {},
    }


def expected_activity(entry: Entry, org_id: str) -> dict[str, Any]:
    """What is known of an entry of the activity feed, under the API's names; nothing is in a list."""
    parent = entry.parent_class
    return _facts(
        entry, "id", "verb", "type", "source", "actor_type", "actor_id", "description", "field", "old_value", "text", "undoable",
        "created_at",
    ) | {
        "organization_id": org_id,
        "auditable_type": f"App\\Models\\{entry.subject_class}",
        "auditable_id": entry.subject_id,
        "parentable_type": None if parent is None else f"App\\Models\\{parent}",
        "parentable_id": entry.parent_id,
        "actor_full_name": entry.actor_name,
        "actor_email": entry.actor_email,
    }  # fmt: skip


def visible_tasks(run: Run) -> list[Task]:
    """Those that no rule hides, by position: what ``with=tasks`` brings."""
    return [task for task in run.tasks if task.status != "auto-skipped"]


def next_task_of(run: Run) -> Task | None:
    """The visible task that is not done and due first; without a deadline last, then by position."""
    pending = [task for task in visible_tasks(run) if task.status != "completed"]
    dated = sorted((task for task in pending if task.deadline is not None), key=lambda task: (task.deadline, task.position))
    return next(iter(dated or pending), None)


def answers_of_run(world: World, run: Run) -> list[dict[str, Any]]:
    """Every field of both forms of a run, and answers to fields that are gone: what they mean, and ``raw``, as it is stored.

    ``task_id`` is null on the kick-off form; ``hidden``: a rule hides the task; ``defined``: the template still has the field;
    ``given``: its key is in ``prerun`` or ``taskdata``; ``empty``: whatever is stored says nothing.
    """
    rows = [_answer(run, answer, None) for answer in run.answers]
    return rows + [_answer(run, answer, one.task) for one in world.tasks_of(run) for answer in one.answers]


def _answer(run: Run, answer: Answer, task: Task | None) -> dict[str, Any]:
    field = answer.field
    return _facts(answer, "given", "empty", "raw", "text", "number", "instant") | {
        "run_id": run.id, "task_id": None if task is None else task.id, "step_id": field.step_id,
        "hidden": task is not None and task.status == "auto-skipped", "defined": field.deleted_at is None,
        "field_id": field.id, "alias": field.alias, "label": field.label, "field_type": field.kind, "position": field.position,
        "required": field.required, "options": [option.text for option in answer.chosen],
        "option_ids": [option.id for option in answer.chosen], "users": list(answer.users), "guests": list(answer.guests),
        "groups": list(answer.groups), "filenames": list(answer.filenames), "cells": [list(row) for row in answer.cells],
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
        "taskdata": without_secrets(one.taskdata),
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
        secret = {"webhook", "url", "full_url", "guest_link"}
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
