"""``GET guests``. ``link`` holds the code that signs a guest in. Names stand in ``details``, or at the top."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from tallyfy_frames.sandbox.facts import Guest
from tallyfy_frames.sandbox.lists._list import List, Query
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World


def select(world: World, query: Query) -> Sequence[Guest]:
    """Those whose name or address holds ``q``."""
    text = query.get("q", "").lower()
    return [guest for guest in world.guests if text in f"{guest.first_name} {guest.last_name} {guest.email}".lower()]


def render(wire: Wire, draw: random.Random, guest: Guest) -> dict[str, Any]:
    """``id`` is a number; the SDK has it as text, under another name."""
    names = {"first_name": guest.first_name, "last_name": guest.last_name}
    inside = not wire.plain and draw.random() < 0.5
    details = {
        "status": guest.status,
        "phone_1": guest.phone,
        "timezone": guest.timezone,
        "company_name": guest.company,
        "disabled_at": wire.instant(draw, guest.disabled_at),
        "disabled_by": wire.person(draw, guest.disabled_by),
        "image_url": "https://files.example.net/guest.png",
        **names,
    }
    return {
        "id": wire.number(draw, guest.id),
        "email": guest.email,
        **({} if inside else names),
        "link": f"https://go.example.net/guest/{guest.code}",
        "last_accessed_at": wire.instant(draw, guest.last_accessed_at),
        "created_at": wire.instant(draw, guest.created_at),
        "deleted_at": wire.instant(draw, guest.deleted_at),
        "details": details,
    }


LIST: Final = List("guests", 10, 999, select, render, lambda guest: guest.id, ("without_pagination", "true"))
