"""``GET checklists/{id}/steps``: ten a page, whatever is asked (vendor's SDK: a quarter of all templates have more)."""

from __future__ import annotations

import random
from typing import Any, Final

from tallyfy_frames.sandbox.definitions import definition
from tallyfy_frames.sandbox.facts import Deadline, Launch, Step
from tallyfy_frames.sandbox.wire import Wire

PAGE_SIZE: Final = 10
FLAGS: Final = (
    "allow_guest_owners", "skip_start_process", "can_complete_only_assignees", "everyone_must_complete", "is_soft_start_date",
    "prevent_guest_comment", "role_changes_every_time", "top_secret", "send_chromeless",
)  # fmt: skip


def body(wire: Wire, step: Step) -> dict[str, Any]:
    """As the SDK's class and the documentation have it; small objects that say nothing are null or ``[]``."""
    draw = random.Random(f"{step.id}/wire")
    start, due, launch = step.start_date, step.deadline, step.bp_to_launch
    found: dict[str, Any] = {
        "id": step.id,
        "checklist_id": step.template_id,
        "title": step.title,
        "alias": step.alias,
        "summary": step.summary,
        "step_type": step.step_type,
        "position": wire.number(draw, step.position),
        "max_assignable": wire.number(draw, step.max_assignable),
        "webhook": "https://hooks.example.net/secret-hook",
        "start_date": _nothing(wire, draw) if start is None else {"value": wire.number(draw, start[0]), "unit": start[1]},
        "deadline": _nothing(wire, draw) if due is None else _deadline(wire, draw, due),
        "bp_to_launch": _nothing(wire, draw) if launch is None else _launch(wire, draw, launch),
        "assignees": [wire.person(draw, user) for user in step.assignees],
        "guests": list(step.guests),
        "groups": wire.group_ids(draw, step.groups),
        "roles": list(step.roles),
        "captures": [definition(field) for field in step.fields],
        "assign_run_starter": wire.flag(draw, step.assign_run_starter),
        "custom_fields": wire.mapping({}),
        "created_at": wire.instant(draw, step.created_at),
        "last_updated": wire.instant(draw, step.last_updated),
        "archived_at": wire.instant(draw, step.archived_at),
        **{name: wire.flag(draw, getattr(step, name)) for name in FLAGS},
    }
    for name in ("summary", "assign_run_starter"):
        if found[name] is None and not wire.plain and draw.random() < 0.5:
            del found[name]
    return found


def _nothing(wire: Wire, draw: random.Random) -> object:
    return None if wire.plain else draw.choice((None, []))


def _deadline(wire: Wire, draw: random.Random, due: Deadline) -> dict[str, object]:
    """Without an anchor, ``step`` is null or not there."""
    found = {"value": wire.number(draw, due.value), "unit": due.unit, "option": due.option}
    return found if due.step is None and not wire.plain and draw.random() < 0.5 else found | {"step": due.step}


def _launch(wire: Wire, draw: random.Random, launch: Launch) -> dict[str, object]:
    within = wire.flag(draw, launch.tasks_within_process)
    return {"id": launch.template_id, "default_name_format": launch.name_format, "tasks_within_process": within}
