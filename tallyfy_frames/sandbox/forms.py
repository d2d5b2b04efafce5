"""What forms ask and what people answered: fields of all ten types, and answers with the traps that each type has.

An answer is stored as it was sent, so its shape is a fact and not a matter of rendering: integrations send numbers and
booleans as text, dropdowns as bare text, an e-mail address as an object; a checklist keeps what was not ticked.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tallyfy_frames.sandbox.facts import NOW, START, Answer, Field, Option, Run, Template, hex_id

if TYPE_CHECKING:
    from tallyfy_frames.sandbox.world import World

FIELD_TYPES: Final = (
    "text", "dropdown", "radio", "multiselect", "date", "file", "table", "assignees_form", "textarea", "email",
)  # fmt: skip
# Two fields of one form may have the same label.
LABELS: Final = ("Amount", "Größe & Maße", "Name", "=SUM(A1)", 'What, "exactly"?', "", "日付", "Name", "<b>Size</b>")
OPTIONS: Final = {
    "radio": (Option(1, "Gold"), Option(2, "Silver"), Option(3, "0")),
    "dropdown": (Option(1, "Red"), Option(2, "Gold"), Option(3, "Größe, XL", "xl")),
    "multiselect": (Option(1, "A"), Option(2, "B"), Option(3, "C, or D"), Option(4, "0")),
}
COLUMNS: Final = ("Item", "Amount", "Note")
TEXTS: Final = (
    "Acorn Ltd", "Acorn Ltd", "4711", "=HYPERLINK(1)", "  spaced  ", "null", "🚀", "a, b", "2031-04-05", "1.50",
    42, 1.5, 12345678901234567890, True, False, 0,
)  # fmt: skip
EMPTIES: Final[tuple[Any, ...]] = (None, "", [], {})
FIELDS_CHANGED: Final = START + timedelta(days=200)  # fields of today's templates that are gone were deleted then


def make_field(  # noqa: PLR0913 - what tells one field from another
    template_id: str, step_id: str | None, field_id: str, kind: str, position: int, label: str
) -> Field:
    """A field of this type."""
    draw = random.Random(f"{field_id}/field")
    return Field(
        id=field_id,
        template_id=template_id,
        step_id=step_id,
        alias=f"{kind}-{position}-{field_id[:5]}",
        kind=kind,
        label=label,
        guidance=draw.choice((None, "", "<p>as on the invoice</p>")),
        position=position,
        required=draw.random() < 0.4,
        options=OPTIONS.get(kind, ()),
        columns=COLUMNS if kind == "table" else (),
        validation=draw.choice(((), ("numeric",), ("required", "max:80"))) if kind == "text" else (),
        created_at=START - timedelta(days=draw.randint(1, 300)),
    )


def gone(field: Field) -> Field:
    """The same field, deleted since."""
    hours = random.Random(f"{field.id}/gone").randint(0, 99)
    return replace(field, id=hex_id(field.id, "gone"), label="Formerly", deleted_at=FIELDS_CHANGED + timedelta(hours=hours))


def kickoff_fields(seed: int, number: int, template_id: str) -> tuple[Field, ...]:
    """The kick-off form of a template: of the first and the last nothing, of the fifth every type there is."""
    kinds = [FIELD_TYPES[(number + k) % len(FIELD_TYPES)] for k in range((0, 3, 5, 7, 10, 0)[number])]
    kinds += ["text"] * (0 < number < 4)
    return tuple(
        make_field(template_id, None, hex_id(seed, "field", number, k), kind, k + 1, f"Question {k + 1}")
        for k, kind in enumerate(kinds)
    )


def step_fields(number: int, template_id: str, step_id: str, position: int) -> tuple[Field, ...]:
    """The form of a step: every other step has one."""
    draw = random.Random(f"{step_id}/form")
    return tuple(
        make_field(
            template_id, step_id, hex_id(step_id, "field", k), FIELD_TYPES[(number + 3 * position + k) % len(FIELD_TYPES)],
            9 * k + 1, draw.choice(LABELS),
        )
        for k in range(draw.choice((0, 0, 1, 2, 3, 4)))
    )  # fmt: skip


def gone_of(fields: Sequence[Field], *, every: int = 1) -> tuple[Field, ...]:
    """What the form once had besides: a field like its first, in one form of so many."""
    return tuple(gone(field) for field in fields[:1] if int(field.id[:4], 16) % every == 0)


def answers(  # noqa: PLR0913 - a form, and who had what time to answer it
    draw: random.Random, world: World, fields: Sequence[Field], fields_gone: Sequence[Field], asked_at: datetime, share: float
) -> tuple[Answer, ...]:
    """What was answered to a form as it was at ``asked_at``; ``share`` is how likely anything was."""
    if not fields and not fields_gone:
        return ()
    if draw.random() >= share:
        return tuple(Answer(field, given=False) for field in fields)
    then = [field for field in fields_gone if field.deleted_at is None or asked_at < field.deleted_at]
    return (*(_answer(draw, world, field) for field in fields), *(_given(draw, world, field) for field in then))


def kickoff_answers(world: World, run_id: str, template: Template, created: datetime, *, answered: bool) -> tuple[Answer, ...]:
    """The kick-off answers of a run."""
    if not answered:
        return tuple(Answer(field, given=False) for field in template.fields)
    return answers(random.Random(f"{run_id}/form"), world, template.fields, template.fields_gone, created, share=1)


def task_answers(draw: random.Random, world: World, run: Run, position: int, status: str) -> tuple[Answer, ...]:
    """The answers of a task; that of a step which its template no longer has may hold one that nobody can explain."""
    share = {"completed": 0.9, "active": 0.4, "in-progress": 0.5}.get(status, 0.1)
    if position <= len(run.template.steps):
        step = run.template.steps[position - 1]
        return answers(draw, world, step.fields, step.fields_gone, run.created_at, share)
    return unexplained(draw, world, hex_id(run.template.id, "step", position), run.template.id)


def unexplained(draw: random.Random, world: World, step_id: str, template_id: str = "") -> tuple[Answer, ...]:
    """Now and then an answer to a field that is defined nowhere."""
    if draw.random() >= 0.3:
        return ()
    kind = draw.choice(("text", "radio"))
    field = gone(make_field(template_id, step_id, hex_id(step_id, "answer"), kind, 1, "Formerly"))
    return (_given(draw, world, field),)


def _answer(draw: random.Random, world: World, field: Field) -> Answer:
    """An answer, or one of the ways to have none."""
    chance = draw.random()
    if chance < 0.06:
        return Answer(field, given=False)
    if chance < 0.18:
        return Answer(field, given=True, raw=draw.choice(EMPTIES))
    return _given(draw, world, field)


def _given(draw: random.Random, world: World, field: Field) -> Answer:
    return ANSWERS[field.kind](draw, world, field)


def _text(draw: random.Random, _: World, field: Field) -> Answer:
    raw = draw.choice(TEXTS)
    if isinstance(raw, str):
        return Answer(field, given=True, raw=raw, text=raw)
    if not raw:  # false and 0 are no answers
        return Answer(field, given=True, raw=raw)
    return Answer(field, given=True, raw=raw, text=json.dumps(raw), number=None if raw is True else raw)


def _textarea(draw: random.Random, _: World, field: Field) -> Answer:
    raw = draw.choice(
        ("<p>long <b>text</b></p>", "<p></p>", "two\nlines", "<a href='https://example.net/?a=1&amp;b=2'>there</a>")
    )
    return Answer(field, given=True, raw=raw, text=raw)


def _radio(draw: random.Random, _: World, field: Field) -> Answer:
    option = draw.choice(field.options)
    return Answer(field, given=True, raw=option.text, text=option.text, chosen=(option,))


def _dropdown(draw: random.Random, _: World, field: Field) -> Answer:
    option = draw.choice(field.options)
    bare = draw.random() < 0.15
    raw = option.text if bare else {"id": option.id, "text": option.text, "value": option.value}
    return Answer(field, given=True, raw=raw, chosen=(option,))


def _multiselect(draw: random.Random, _: World, field: Field) -> Answer:
    """All options with their marks, those ticked alone, or some without a mark: these are not ticked."""
    ticked = {option.id for option in field.options if draw.random() < 0.5}
    way = draw.choice(("all", "all", "ticked", "unmarked"))
    entries: list[dict[str, Any]] = []
    for option in field.options:
        entry = {"id": option.id, "text": option.text, "value": option.value, "required": False}
        if way == "unmarked" and option.id not in ticked:
            entries.append(entry)
        elif way != "ticked" or option.id in ticked:
            entries.append(entry | {"selected": option.id in ticked})
    return Answer(field, given=True, raw=entries, chosen=tuple(option for option in field.options if option.id in ticked))


def _date(draw: random.Random, _: World, field: Field) -> Answer:
    """In one of three forms; what has no zone is UTC."""
    moment = datetime(2031, 4, draw.randint(1, 30), draw.randint(0, 23), draw.randint(0, 59), 8, tzinfo=UTC)
    form = draw.choice(("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"))
    if form == "%Y-%m-%d":
        moment = moment.replace(hour=0, minute=0, second=0)
    return Answer(field, given=True, raw=moment.strftime(form), instant=moment)


def _email(draw: random.Random, _: World, field: Field) -> Answer:
    address = draw.choice(("a+b@example.net", "Pat@Example.org", "ö@example.net"))
    raw = {"value": address} if draw.random() < 0.1 else address
    return Answer(field, given=True, raw=raw, text=address)


def _file(draw: random.Random, world: World, field: Field) -> Answer:
    """One file or two, sent or linked. Whoever has the address has the file."""
    names = draw.choice((("a.pdf",), ("a.pdf",), ("Größe & Maße.xlsx", "a.pdf"), ("=1+1.csv",)))
    raw = []
    for n, name in enumerate(names):
        file_id = f"{draw.getrandbits(128):032x}"
        secret = f"organizations/{world.org_id}/file/{file_id}/dl"
        linked = draw.random() < 0.2
        entry: dict[str, Any] = {
            "id": file_id, "filename": name, "version": n + 1, "source": "url" if linked else "local",
            "url": f"https://files.example.net/{secret}" if linked else secret, "uploaded_from": draw.choice(("ko_form", None)),
            "uploaded_at": (NOW - timedelta(days=draw.randint(1, 99))).strftime("%Y-%m-%dT%H:%M:%SZ"), "step_id": field.step_id,
            "subject": {"id": field.template_id, "type": "Checklist"},
        }  # fmt: skip
        if draw.random() < 0.5:
            entry["full_url"] = f"https://go.example.net/{draw.choice(('', 'api/'))}{secret}"
        raw.append(entry)
    return Answer(field, given=True, raw=raw, filenames=names)


def _table(draw: random.Random, _: World, field: Field) -> Answer:
    """A flat list, one entry a column; of several rows, a list of lists."""
    rows = tuple(
        (draw.choice(("one", "=1+1", "Größe")), draw.choice(("2", 2, 2.5)), draw.choice(("x", "", None)))
        for _ in range(draw.choice((1, 1, 1, 2)))
    )
    raw = list(rows[0]) if len(rows) == 1 else [list(row) for row in rows]
    return Answer(field, given=True, raw=raw, cells=rows)


def _assignees(draw: random.Random, world: World, field: Field) -> Answer:
    users = tuple(sorted({draw.choice(world.users).id for _ in range(draw.choice((1, 1, 2)))}))
    guests = draw.choice(((), ("a@b.example",), ("a@b.example", "pat+1@example.net")))
    groups = tuple(group.id for group in world.groups[: draw.choice((0, 0, 1))])
    raw = {"users": list(users), "guests": list(guests), "groups": list(groups)}
    return Answer(field, given=True, raw=raw, users=users, guests=guests, groups=groups)


ANSWERS: Final[Mapping[str, Callable[[random.Random, World, Field], Answer]]] = {
    "text": _text, "textarea": _textarea, "radio": _radio, "dropdown": _dropdown, "multiselect": _multiselect, "date": _date,
    "email": _email, "file": _file, "table": _table, "assignees_form": _assignees,
}  # fmt: skip
