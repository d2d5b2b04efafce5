"""What templates are made of: their steps, forms and milestones."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tallyfy_frames.sandbox import forms
from tallyfy_frames.sandbox.facts import START, Deadline, Launch, Stage, Step, Template, hex_id

if TYPE_CHECKING:
    from tallyfy_frames.sandbox.world import World

TEMPLATES: Final = (
    ("Vendor check", "procedure"), ("Employee onboarding", "procedure"), ("Expense claim", "form"),
    ("Contract", "document"), ("Incident", "procedure"), ("Leave request", "form"),
)  # fmt: skip
LONGEST: Final = 23  # steps of the third: three pages
STEP_TITLES: Final = ("Sign {{contract}}", "Größe & Maße", "=SUM(A1)", "<b>Check</b> again", "🚀 Go", "Step")


def make_template(world: World, n: int, title: str, kind: str) -> Template:
    """The template of this number; the sixth is archived."""
    draw = random.Random(f"{world.seed}/template/{n}")
    template_id = hex_id(world.seed, "template", n)
    created = START - timedelta(days=draw.randint(1, 300))
    updated = created + timedelta(hours=draw.randint(0, 5000))
    fields = forms.kickoff_fields(world.seed, n, template_id)
    summary = draw.choice((None, "", "<p>how we do it</p>"))
    status = "archived" if n == 5 else draw.choice(("active", "draft"))
    owner_id = draw.choice((None, *(user.id for user in world.users)))
    created_by = draw.choice(world.users).id
    count = draw.choice((1, 3, 12, 14))
    return Template(
        number=n,
        id=template_id,
        title=title,
        type=kind,
        fields=fields,
        fields_gone=forms.gone_of(fields),
        steps=tuple(make_step(world, n, template_id, p + 1, created) for p in range(LONGEST if n == 2 else count)),
        stages=_stages(template_id),
        increment_id=400 + n,
        summary=summary,
        status=status,
        owner_id=owner_id,
        created_by=created_by,
        starred=draw.random() < 0.3,
        is_public=draw.random() < 0.3,
        users=tuple(sorted({draw.choice(world.users).id for _ in range(n % 3)})),
        groups=tuple(group.id for group in world.groups[: n % 3]),
        created_at=created,
        last_updated=updated,
        archived_at=updated if n == 5 else None,
    )


def make_step(world: World, n: int, template_id: str, position: int, created: datetime) -> Step:
    """The step at this position; tasks have its ``id`` and ``alias``, whatever it has been renamed to since."""
    step_id = hex_id(template_id, "step", position)
    draw = random.Random(f"{step_id}/facts")
    fields = forms.step_fields(n, template_id, step_id, position)
    kind = draw.choice(("task", "task", "task", "approval", "expiring", "email", "expiring_email"))
    return Step(
        id=step_id,
        template_id=template_id,
        title=f"Step {position}" if draw.random() < 0.7 else draw.choice(STEP_TITLES),
        alias=f"step-{position}-{template_id[:5]}",
        summary=draw.choice((None, "", "<p>how</p>")),
        step_type=kind,
        position=position,
        allow_guest_owners=draw.random() < 0.3,
        max_assignable=draw.choice((0, 1, 1, 5)),
        skip_start_process=draw.random() < 0.2,
        can_complete_only_assignees=draw.random() < 0.2,
        everyone_must_complete=draw.random() < 0.2,
        start_date=draw.choice((None, None, (2, "days"), (1, "weeks"), (0, "hours"))),
        is_soft_start_date=draw.random() < 0.2,
        deadline=_deadline(draw, template_id, position),
        bp_to_launch=_launch(draw, world, n),
        assignees=tuple(sorted({draw.choice(world.users).id for _ in range(draw.choice((0, 0, 1, 3)))})),
        guests=draw.choice(((), (), (), ("pat+1@example.net",))),
        groups=tuple(group.id for group in world.groups[: draw.choice((0, 0, 0, 2))]),
        roles=draw.choice(((), (), ("Manager",), ("Manager", "HR & legal"))),
        fields=fields,
        fields_gone=forms.gone_of(fields, every=3),
        prevent_guest_comment=draw.random() < 0.1,
        role_changes_every_time=draw.random() < 0.1,
        assign_run_starter=draw.choice((None, True, False)),
        top_secret=draw.random() < 0.1,
        send_chromeless=draw.random() < 0.1,
        created_at=created + timedelta(minutes=position),
        last_updated=created + timedelta(minutes=position, hours=draw.randint(0, 5000)),
        archived_at=None,
    )


def _deadline(draw: random.Random, template_id: str, position: int) -> Deadline | None:
    """Counted from the launch, from another step, or from something that is not said."""
    if draw.random() < 0.3:
        return None
    anchors = ("start_run", "start_run", None, *([hex_id(template_id, "step", position - 1)] if position > 1 else ()))
    return Deadline(
        draw.choice((0, 1, 5, 30)), draw.choice(("days", "hours", "weeks", "months")),
        draw.choice(("from", "from", "prior_to")), draw.choice(anchors),
    )  # fmt: skip


def _launch(draw: random.Random, world: World, n: int) -> Launch | None:
    if draw.random() < 0.85:
        return None
    other = hex_id(world.seed, "template", (n + 1) % len(TEMPLATES))
    return Launch(other, draw.choice((None, "", "{{title}} – part")), draw.random() < 0.5)


def _stages(template_id: str) -> tuple[Stage, ...]:
    count = random.Random(f"{template_id}/stages").choice((0, 2, 3))
    return tuple(Stage(hex_id(template_id, "stage", p), f"Milestone {p + 1}", p + 1) for p in range(count))
