"""How a field of a form looks: its definition, and with it what was answered, under either of two names."""

from __future__ import annotations

import random
from typing import Any, Final

from tallyfy_frames.sandbox.facts import Answer, Field
from tallyfy_frames.sandbox.wire import Wire

# Keys that not every source has.
OPTIONAL: Final = ("guidance", "prefix", "suffix", "settings", "list", "collect_time", "default_value", "last_updated")


def definition(field: Field) -> dict[str, Any]:
    """As a template prints it, in the documentation's words; validation is a list, or a rule in one text."""
    stamp = field.created_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {
        "id": field.id,
        **({"checklist_id": field.template_id} if field.step_id is None else {"step_id": field.step_id}),
        "alias": field.alias,
        "field_type": field.kind,
        "label": field.label,
        "guidance": field.guidance,
        "position": field.position,
        "required": field.required,
        "options": [{"id": one.id, "text": one.text, "value": one.value, "required": False} for one in field.options],
        "columns": [{"id": n, "label": label} for n, label in enumerate(field.columns, start=1)],
        "default_value_enabled": False,
        "default_value": None,
        "field_validation": "|".join(field.validation) if len(field.validation) > 1 else list(field.validation),
        "collect_time": field.kind == "date",
        "use_wysiwyg_editor": field.kind == "textarea",
        "prefix": None,
        "suffix": None,
        "settings": None,
        "list": None,
        "unique_id": None,
        "created_at": stamp,
        "last_updated": stamp,
    }


def varied(wire: Wire, draw: random.Random, field: Field, **place: str) -> dict[str, Any]:
    """A definition on a run, in one of its shapes; ``place`` says whose it is."""
    body = {"id": field.id, **place, **definition(field)}
    if wire.plain:
        return body
    body["position"] = wire.number(draw, field.position)
    body["required"] = wire.flag(draw, field.required)
    body["created_at"] = wire.instant(draw, field.created_at)
    for name in ("options", "columns"):
        if not body[name]:
            body[name] = draw.choice(([], None, {}))
    if body["options"] and draw.random() < 0.2:
        body["options"] = [{**one, "id": str(one["id"])} for one in body["options"]]
    if draw.random() < 0.3:
        for name in OPTIONAL:
            del body[name]
    return body


def answered(wire: Wire, draw: random.Random, answer: Answer | None, key: str | None) -> dict[str, Any]:
    """The answer under ``key``, if there is one; of none, null or nothing at all."""
    if key is None:
        return {}
    if answer is not None and answer.given:
        return {key: answer.raw}
    return {key: None} if wire.plain or draw.random() < 0.6 else {}


def key_of_answers(wire: Wire, draw: random.Random) -> str:
    """``value`` in the documentation, ``field_value`` in what the vendor's MCP server was seen to receive."""
    return "value" if wire.plain else draw.choice(("value", "field_value", "field_value"))
