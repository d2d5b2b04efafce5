"""``GET folders``: those of one ``folder_type`` at a time, of templates (``checklist``) unless it says ``run``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from tallyfy_frames.sandbox.facts import Folder
from tallyfy_frames.sandbox.lists._list import List, Query
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World


def select(world: World, query: Query) -> Sequence[Folder]:
    """By ``folder_type`` and ``q``, in the order of their positions."""
    folders = world.folders if query.get("folder_type") == "run" else world.template_folders
    text = query.get("q", "").lower()
    return [folder for folder in folders if text in folder.title.lower()]


def render(wire: Wire, draw: random.Random, folder: Folder) -> dict[str, Any]:
    """``total`` is how many runs, or templates, lie in it."""
    return {
        "id": folder.id,
        "name": folder.title,
        "parent_id": folder.parent_id,
        "total": wire.number(draw, wire.world.count_in(folder.id)),
        "position": folder.position,
        "folder_type": folder.kind,
        "created_at": wire.instant(draw, folder.created_at),
    }


LIST: Final = List("folders", 10, 100, select, render, lambda folder: folder.id, ("pagination", "false"))
