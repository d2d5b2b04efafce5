"""``GET checklists``: templates. Archived ones are hidden unless ``archived`` says otherwise, as with runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from tallyfy_frames.sandbox.definitions import definition
from tallyfy_frames.sandbox.facts import Template
from tallyfy_frames.sandbox.lists import steps
from tallyfy_frames.sandbox.lists._list import List, Query, asked
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World


def select(world: World, query: Query) -> Sequence[Template]:
    """By ``q``, ``type``, ``starred``, ``owner_id`` and ``archived``; newest change first."""
    wanted: dict[str, Callable[[Template, str], bool]] = {
        "q": lambda one, text: text.lower() in one.title.lower(),
        "type": lambda one, word: one.type == word,
        "starred": lambda one, word: one.starred is (word == "true"),
        "owner_id": lambda one, user: str(one.owner_id) == user,
        "archived": lambda one, word: word != "only" or one.archived_at is not None,
    }
    found = [one for one in world.templates if query.get("archived") or one.archived_at is None]
    for name, matches in wanted.items():
        if query.get(name):
            found = [one for one in found if matches(one, query[name])]
    return sorted(found, key=lambda one: (one.last_updated, one.id), reverse=True)


def render(wire: Wire, draw: random.Random, template: Template) -> dict[str, Any]:
    """As the documentation prints it; ``prerun`` is a list here, and a map on runs."""
    body: dict[str, Any] = {
        "id": template.id,
        "increment_id": wire.number(draw, template.increment_id),
        "title": template.title,
        "summary": template.summary,
        "type": template.type,
        "status": template.status,
        "owner_id": wire.person(draw, template.owner_id),
        "created_by": wire.person(draw, template.created_by),
        "webhook": "https://hooks.example.net/secret-hook",
        "steps_count": template.steps_count,
        "started_processes": wire.world.count_in(template.id),
        "prerun": [definition(field) for field in template.fields],
        "automated_actions": [],
        "starred": wire.flag(draw, template.starred),
        "is_public": wire.flag(draw, template.is_public),
        "users": wire.people(draw, template.users),
        "groups": wire.group_ids(draw, template.groups),
        "custom_fields": wire.mapping({}),
        "created_at": wire.instant(draw, template.created_at),
        "last_updated": wire.instant(draw, template.last_updated),
        "archived_at": wire.instant(draw, template.archived_at),
    }
    if template.summary is None and not wire.plain:
        del body["summary"]
    return body


def with_includes(wire: Wire, template: Template, query: Query) -> dict[str, Any]:
    """All steps at once, of an archived template, too."""
    if "steps" not in asked(query):
        return {}
    draw = random.Random(f"{template.id}/steps/wire")
    return wire.collection(draw, "steps", [steps.body(wire, step) for step in template.steps])


LIST: Final = List("checklists", 10, 100, select, render, lambda template: template.id, include=with_includes)
