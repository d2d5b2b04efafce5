"""What stands inside a row, as rows of its own: included records, who owns a task, answers to forms. Pure.

An include is a collection ``{"data": […]}`` or an item ``{"data": {…}}``, and the documentation prints both without the
wrapper; nothing is null, ``[]``, ``{}`` or a key that is missing (Fractal's conventions, as the vendor's SDK reads them).

Answers lie in a map by field id, without label or type; those are in the definitions beside it, or are lost where the field
was deleted since. What an answer looks like depends on the field's type ("Form fields", ten of them): a radio's is bare text, a
dropdown's an object, a checklist's a list in which entries may not be selected. They come as text, and in types to count with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from tallyfy_frames.frames.flatten import INSTANT
from tallyfy_frames.frames.masking import masked_texts
from tallyfy_frames.frames.readers import EXACT_FLOAT, FLAGS, items_of
from tallyfy_frames.frames.texts import as_row, listed, read
from tallyfy_frames.tables._table import Made, Part

Row: TypeAlias = dict[str, Any]
Maker: TypeAlias = Callable[..., Iterable[Row]]

NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
PLAIN_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}|[+-]?(?=[0-9.]{1,16}$)[0-9]+\.[0-9]+")  # what a double holds to the digit
OF_FIELD: Final = ("alias", "label", "field_type", "position", "required")


def make(part: Part, found: Mapping[str, Sequence[Any]]) -> tuple[Sequence[Row], list[int]]:
    """The rows inside the rows of a page, in order, and how many are in each. ``found`` holds the values of ``part.keys``."""
    maker = MAKERS[part.made]
    texts = listed(found[part.keys[0]]) if maker is _objects else None
    if texts is not None:
        return texts
    rows: list[Row] = []
    counts: list[int] = []
    for values in zip(*(found[key] for key in part.keys), strict=True):
        start = len(rows)
        rows += maker(*map(read, values))
        counts.append(len(rows) - start)
    return rows, counts


def count(values: Sequence[Any]) -> list[int]:
    """How many records each row includes."""
    texts = listed(values)
    return [len(_records(read(value))) for value in values] if texts is None else texts[1]


def _records(value: Any) -> list[Any]:
    """The records of an include, whatever they are wrapped in."""
    value = _inside(value)
    if value in NOTHING:
        return []
    if isinstance(value, dict):
        items = items_of(value)
        return [value] if items is None else items
    return value if isinstance(value, list) else [value]


def _inside(value: Any) -> Any:
    """What a wrapper holds."""
    return value.get("data") if isinstance(value, dict) and value.keys() <= {"data", "meta"} else value


def _objects(value: Any) -> list[Row]:
    """The same, where each should be an object: what is none is kept as a key that no column knows."""
    return [*map(as_row, _records(value))]


def _json(value: Any) -> Iterator[Row]:
    return ({"json": record} for record in _records(value))


def _owners(tasks: Any) -> Iterator[Row]:
    """Everyone that a task is assigned to: users by id or as objects, groups by id, guests by address."""
    for task in _objects(tasks):
        owners = _inside(task.get("owners"))
        for kind, key in (("user", "users"), ("guest", "guests"), ("group", "groups")):
            for one in _records(owners.get(key)) if isinstance(owners, dict) else ():
                if one not in (*NOTHING, 0, "0"):
                    yield {"task_id": task.get("id"), "kind": kind, kind: one}


def _kickoff_answers(prerun: Any, definitions: Any) -> Iterator[Row]:
    """Answers of the kick-off form, by field. An older API lists the fields themselves, with their values."""
    answers = prerun if isinstance(prerun, dict) else {}
    fields = {_key(field): field for field in (*_objects(definitions), *([] if answers else _objects(prerun)))}
    for key, field in fields.items():
        answer = answers.get(key)
        yield _answer(key, field, _own(field) if answer in NOTHING else answer)
    for key in answers.keys() - fields.keys():
        yield _answer(key, {}, answers[key])


def _task_answers(fields: Any, tasks: Any) -> Iterator[Row]:
    """Answers of the tasks' forms. A field holds its own, or its task does; of a deleted field the task alone knows."""
    found = _objects(tasks)
    answers = {
        (_key(task), key): (task, answer)
        for task in found
        if isinstance(task.get("taskdata"), dict)
        for key, answer in task["taskdata"].items()
    }
    # For a field that does not say which task it is in: the one that has its answer, or is made of its step.
    homes = {key: task_id for task_id, key in answers} | {_key(task, "step_id"): _key(task) for task in found}
    seen = set()
    for field in _objects(fields):
        key = _key(field)
        place = (_key(field, "task_id") or homes.get(key) or homes.get(_key(field, "step_id")), key)
        if place not in seen:
            seen.add(place)
            own = _own(field)
            given = answers[place][1] if own in NOTHING and place in answers else own
            yield {**_answer(key, field, given), "task_id": place[0], "step_id": field.get("step_id")}
    for place, (task, answer) in answers.items():
        if place not in seen:
            yield {**_answer(place[1], {}, answer), "task_id": place[0], "step_id": task.get("step_id")}


def _key(record: Row, name: str = "id") -> str | None:
    """An id that can be looked up, whatever was sent for one."""
    value = record.get(name)
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str | None) else _written(value)


def _own(field: Row) -> Any:
    """The answer that a field holds: as ``field_value`` (the vendor's MCP server) or ``value`` (the documentation)."""
    value = field.get("field_value")
    return field.get("value") if value is None else value


def _answer(key: Any, field: Row, given: Any) -> Row:
    """An answer, as text and as what can be counted."""
    row = {name: field.get(name) for name in OF_FIELD}
    row["field_id"] = key
    if given in NOTHING and not isinstance(given, bool | int | float):
        return row
    row["json"] = given
    kind = str(field.get("field_type"))
    value = given.get("value", given) if kind == "email" and isinstance(given, dict) else given  # a bad write, once stored
    if kind in {"radio", "dropdown"} and type(value) is int and value:  # an option that is called 1
        value = str(value)
    if value in NOTHING and not isinstance(value, bool | int | float):
        return row
    if isinstance(value, msgspec.Raw):  # more digits than a double holds
        row["value"], row["number"] = bytes(value).decode(), _number(float(bytes(value)))
    elif isinstance(value, bool | int | float):
        if value or kind in {"text", "textarea", "None"}:  # elsewhere 0 and false are no answer
            row["value"] = str(value).lower() if isinstance(value, bool) else str(value)
            row["number"] = None if isinstance(value, bool) else _number(value)
    elif isinstance(value, str):
        row["value"] = value
        row["number"] = float(value) if kind in {"text", "None"} and PLAIN_NUMBER.fullmatch(value.strip()) else None
        row["instant"] = value if kind == "date" and _is_instant(value) else None
        if kind in {"radio", "dropdown"}:  # a radio's answer is the option's text alone
            row["items"] = [value]
            row["options"] = [one.get("id") for one in _objects(field.get("options")) if one.get("text") == value]
    elif kind == "table":
        row["value"] = _written(value)
        cells = items_of(value) if isinstance(value, dict) else value
        row["items"] = None if cells is None or any(isinstance(cell, list | dict) for cell in cells) else [*map(_plain, cells)]
    else:
        row |= _chosen(value, kind)
    return row


def _chosen(value: Any, kind: str) -> Row:
    """Of options those that are selected, of people their ids, of files their names."""
    if isinstance(value, dict) and value.keys() & {"users", "guests", "groups"}:
        people = {name: _records(value.get(name)) for name in ("users", "guests", "groups")}
        everyone = [_plain(one, "email" if name == "guests" else "id") for name, some in people.items() for one in some]
        return {**people, "items": everyone, "value": ", ".join(everyone) or None}
    entries = items_of(value) if isinstance(value, dict) and "text" not in value else value
    entries = [value] if entries is None or isinstance(entries, dict) else entries
    if any(isinstance(entry, list) for entry in entries):
        return {"value": _written(value)}
    if not all(isinstance(entry, dict) for entry in entries):
        texts = [_plain(entry) for entry in entries]
        return {"items": texts, "value": ", ".join(texts)}
    if kind == "file" or any("filename" in entry for entry in entries):
        names = [_plain(entry.get("filename")) for entry in entries]
        return {"items": names, "value": ", ".join(names)}
    if any("text" in entry for entry in entries):
        several = kind == "multiselect" or isinstance(value, list)
        chosen = [entry for entry in entries if not several or FLAGS.get(str(entry.get("selected")).lower(), False)]
        texts = [_plain(entry.get("text")) for entry in chosen]
        ids = [entry.get("id") for entry in chosen if entry.get("id") not in NOTHING]
        return {"options": ids, "items": texts, "value": ", ".join(texts) if texts else None}
    return {"value": _written(value)}


def _number(value: float) -> float | None:
    """A number that a double holds."""
    return value if math.isfinite(value) and (isinstance(value, float) or abs(value) <= EXACT_FLOAT) else None


def _written(value: Any) -> str | None:
    """Compact JSON; None for what is nested too deeply."""
    try:
        return masked_texts([value])[0]
    except RecursionError:
        return None


def _plain(value: Any, *keys: str) -> str:
    """One thing of a list as text: of an object what the first of these keys has, or any that tells it."""
    if isinstance(value, dict):
        value = next((value[key] for key in (*keys, "id", "text", "name", "email") if value.get(key) is not None), None)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _is_instant(text: str) -> bool:
    if not re.fullmatch(INSTANT, text):
        return False
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC).year > 1
    except (ValueError, OverflowError):  # a zone can push an instant out of the calendar
        return False


MAKERS: Final[Mapping[Made, Maker]] = {
    "items": _objects,
    "json": _json,
    "owners": _owners,
    "kickoff_answers": _kickoff_answers,
    "task_answers": _task_answers,
}
