"""``GET tags``: those that the server made by itself are hidden without ``all=true``, spelt exactly so (vendor's MCP)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from tallyfy_frames.sandbox.facts import Tag
from tallyfy_frames.sandbox.lists._list import List, Query
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World


def select(world: World, query: Query) -> Sequence[Tag]:
    """By ``q``, ``all`` and ``auto_generated``; the server's own order is by title."""
    found = [*world.tags, *world.auto_tags] if query.get("all") == "true" else world.tags
    if query.get("auto_generated") in {"true", "false"}:
        found = [tag for tag in found if tag.auto_generated is (query["auto_generated"] == "true")]
    text = query.get("q", "").lower()
    return sorted((tag for tag in found if text in tag.title.lower()), key=lambda tag: (tag.title, tag.id))


def render(wire: Wire, draw: random.Random, tag: Tag) -> dict[str, Any]:
    """As the SDK's class has it; ``type`` and ``statistics`` are not always there."""
    body = {
        "id": tag.id,
        "title": tag.title,
        "color": tag.color,
        "auto_generated": wire.flag(draw, tag.auto_generated),
        "created_at": wire.instant(draw, tag.created_at),
        "deleted_at": wire.instant(draw, tag.deleted_at),
    }
    if wire.plain or draw.random() < 0.5:
        body["type"] = None
    return body


LIST: Final = List("tags", 10, 100, select, render, lambda tag: tag.id)
