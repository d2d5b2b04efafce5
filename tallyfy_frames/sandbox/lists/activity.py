"""``GET activity-feeds``: newest first, 20 a page; the one list with a window of days. ``sort`` has no documented values.

Values come wrapped in arrays of one; what something happened to is a PHP class and an id. ``entity_type`` and ``origin_type``
take the class, with or without its namespace. A run's own feed (``entity_id``) has what happened to its tasks, too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from tallyfy_frames.sandbox.facts import Entry
from tallyfy_frames.sandbox.lists._list import List, Query
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World

NAMESPACE: Final = "App\\Models\\"
NUMBERED: Final = ("Guest",)  # the other ids are 32-hex
FILTERS: Final[dict[str, Callable[[Entry, str], bool]]] = {
    "type": lambda one, word: one.type == word,
    "verb": lambda one, word: one.verb == word,
    "actor_type": lambda one, word: one.actor_type == word,
    "actor_id": lambda one, user: str(one.actor_id) == user,
    "actor_email": lambda one, email: one.actor_email == email,
    "source": lambda one, word: one.source == word,
    "field": lambda one, name: one.field == name,
    "created_after": lambda one, day: f"{one.created_at:%Y-%m-%d}" >= day,
    "created_before": lambda one, day: f"{one.created_at:%Y-%m-%d}" <= day,
    "search": lambda one, text: text.lower() in f"{one.description} {one.text}".lower(),
}


def select(world: World, query: Query) -> Sequence[Entry]:
    """By every documented parameter; both days of the window count."""
    found: Sequence[Entry] = world.activity
    for name, matches in FILTERS.items():
        if query.get(name):
            found = [one for one in found if matches(one, query[name])]
    for name in ("entity", "origin"):
        kind, key = query.get(f"{name}_type"), query.get(f"{name}_id")
        if kind or key:
            found = [one for one in found if any(_is(kind, key, *pair) for pair in _places(one, with_subject=name == "entity"))]
    return found


def _places(one: Entry, *, with_subject: bool) -> list[tuple[str | None, str | None]]:
    parent = (one.parent_class, one.parent_id)
    return [(one.subject_class, one.subject_id), parent] if with_subject else [parent]


def _is(kind: str | None, key: str | None, found_kind: str | None, found_key: str | None) -> bool:
    return (not key or key == found_key) and (
        not kind or kind.removeprefix(NAMESPACE).lower() == (found_kind or "").lower()
    )  # fmt: skip


def render(wire: Wire, draw: random.Random, one: Entry) -> dict[str, Any]:
    """As "Get process activity" of the documentation has it."""

    def many(value: object) -> object:
        scalar = "activity-scalars" in wire.quirks or (not wire.plain and draw.random() < 0.1)
        if value is None:
            return None if scalar or wire.plain else draw.choice((None, [], [None]))
        return value if scalar else [value]

    person = {"full_name": one.actor_name, "email": one.actor_email, "profile_pic": "https://files.example.net/pic.png"}
    parent_class = None if one.parent_class is None else NAMESPACE + one.parent_class
    return {
        "id": wire.number(draw, one.id),
        "organization_id": wire.world.org_id,
        "verb": many(one.verb),
        "source": many(one.source),
        "actor_type": many(one.actor_type),
        "actor_id": many(one.actor_id),
        "type": many(one.type),
        "description": many(one.description),
        "field": many(one.field),
        "old_value": many(one.old_value),
        "auditable_type": NAMESPACE + one.subject_class,
        "auditable_id": int(one.subject_id) if one.subject_class in NUMBERED else one.subject_id,
        "parentable_type": parent_class,
        "parentable_id": one.parent_id,
        "created_at": wire.instant(draw, one.created_at),
        "text": one.text,
        "references": None,
        "origin": None,
        "audit_state": None,
        "parent_state": None,
        "actor": [] if one.actor_email is None else [person],
        "audit": {"data": {"id": one.subject_id, "title": one.subject_title}},
        "parent": {"data": {"id": one.parent_id, "title": one.parent_title} if one.parent_id else None},
        "undoable": wire.flag(draw, one.undoable),
    }


LIST: Final = List("activity-feeds", 20, 100, select, render, lambda one: one.id, moves=True)
