"""Who there is: members, groups and guests."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from tallyfy_frames.sandbox.facts import NOW, START, Group, Guest, User, hex_id

if TYPE_CHECKING:
    from tallyfy_frames.sandbox.world import World


def make_user(draw: random.Random, n: int) -> User:
    """The member of this number; the first is an administrator."""
    created = START - timedelta(days=draw.randint(1, 900))
    status = "active" if n < 15 else draw.choice(("active", "invited", "disabled", "bot"))
    disabled = status == "disabled"
    first = draw.choice(("Acorn", "Birch", "Cedar", "Döner", "Ewa", "", None))
    return User(
        id=5120 + n if n != 7 else 2**53 + 11,
        email=f"member{n}+tag@example.net",
        username=f"member{n}",
        first_name=first,
        last_name=draw.choice(("One", "Two", "O'Three", None)),
        role="Admin" if n == 0 else draw.choice(("admin", "standard", "light")),
        status=status,
        active=status == "active",
        created_at=created,
        last_updated=created + timedelta(hours=draw.randint(0, 5000)),
        last_login_at=None if status == "invited" else NOW - timedelta(minutes=draw.randint(0, 90000)),
        disabled_at=NOW - timedelta(days=3) if disabled else None,
        disabled_by=5120 if disabled else None,
        invited_by=None if n == 0 else 5120,
        job_title=draw.choice(("Clerk", "=cmd|calc", None)),
        team=draw.choice(("Ops", "", None)),
        timezone=draw.choice(("Europe/Berlin", "America/Chicago", "UTC")),
        country_id=draw.choice((49, 1, None)),
    )


def make_group(world: World, n: int, title: str) -> Group:
    """Of some members and guests."""
    draw = random.Random(f"{world.seed}/group/{n}")
    created = START - timedelta(days=draw.randint(1, 300))
    return Group(
        id=hex_id(world.seed, "group", n),
        number=30 + n,
        title=title,
        description=draw.choice((None, "", "Who signs <contracts>")),
        members=tuple(sorted({draw.choice(world.users).id for _ in range(3 * n)})),
        guests=tuple(dict.fromkeys(draw.choice(world.guests).email for _ in range(n))),
        created_at=created,
        last_updated=created + timedelta(hours=draw.randint(0, 900)),
        deleted_at=None,
    )


def make_guest(world: World, n: int) -> Guest:
    """The guest of this number; one of them has tasks."""
    draw = random.Random(f"{world.seed}/guest/{n}")
    created = START - timedelta(days=draw.randint(1, 300))
    disabled = draw.random() < 0.1
    return Guest(
        id=8800 + n,
        email="pat+1@example.net" if n == 4 else f"guest{n}+x@example.org",  # the one with tasks
        first_name=draw.choice(("Pat", "Ingrid", "", None)),
        last_name=draw.choice(("Six", "D'Seven", None)),
        code=hex_id(world.seed, "guest", n, "code"),
        status="disabled" if disabled else draw.choice(("active", "invited")),
        phone=draw.choice(("+49 30 1234", None)),
        company=draw.choice(("Acorn Ltd", "=1+1", None)),
        timezone=draw.choice(("Europe/Berlin", None)),
        created_at=created,
        last_accessed_at=draw.choice((None, NOW - timedelta(minutes=draw.randint(0, 90000)))),
        disabled_at=NOW - timedelta(days=5) if disabled else None,
        disabled_by=5120 if disabled else None,
        deleted_at=NOW - timedelta(days=2) if n == 9 else None,
    )
