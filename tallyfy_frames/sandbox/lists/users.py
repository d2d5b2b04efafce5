"""``GET users``: members in every state, on one huge page by default. ``q`` is its only filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallyfy_frames.sandbox.facts import User
from tallyfy_frames.sandbox.lists._list import List, Query
from tallyfy_frames.sandbox.world import World


def select(world: World, query: Query) -> Sequence[User]:
    """Those whose name or address holds ``q``."""
    text = query.get("q", "").lower()
    return [user for user in world.users if text in f"{user.full_name} {user.email}".lower()]


LIST: Final = List(
    "users", 9999, 9999, select, lambda wire, _, user: wire.user(user), lambda user: user.id, ("without_pagination", "true")
)
