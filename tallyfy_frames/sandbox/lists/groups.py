"""``GET groups``. Ids are hex text; older sources have numbers. Members are numbers, or text in the documentation's example."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from tallyfy_frames.sandbox.facts import Group
from tallyfy_frames.sandbox.lists._list import List, Query
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World


def select(world: World, query: Query) -> Sequence[Group]:
    """By ``q``; in the order of ``sort_by``: name, created_at or updated_at."""
    text = query.get("q", "").lower()
    found = [group for group in world.groups if text in group.title.lower()]
    keys = {"name": lambda group: group.title, "created_at": lambda group: group.created_at,
            "updated_at": lambda group: group.last_updated}  # fmt: skip
    return sorted(found, key=keys.get(query.get("sort_by", ""), keys["name"]))


def render(wire: Wire, draw: random.Random, group: Group) -> dict[str, Any]:
    """The last change is ``last_updated`` in the documentation and ``updated_at`` in the SDK."""
    as_text = not wire.plain and draw.random() < 0.3
    return {
        "id": group.id,
        "name": group.title,
        "description": group.description,
        "logo": None,
        "members": [str(member) if as_text else member for member in group.members],
        "guests": list(group.guests),
        "created_at": wire.instant(draw, group.created_at),
        "updated_at" if as_text else "last_updated": wire.instant(draw, group.last_updated),
        "deleted_at": wire.instant(draw, group.deleted_at),
    }


LIST: Final = List("groups", 10, 100, select, render, lambda group: group.id)
