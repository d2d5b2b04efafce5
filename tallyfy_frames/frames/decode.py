"""Rows as the API sends them → cells of one type per column. Repairs the shapes seen on the wire, and counts each repair.

Working column by column on plain values, not with a JSON-to-frame reader: those damage silently (1.5 becomes 1, text that is
no date becomes null). A column whose values all have its own type costs one pass; only others are read cell by cell.

Shapes with one obvious reading, all seen or documented:

* a number or flag as text (``"5120"``, ``"true"``, ``1``); an id as a number; a float that is whole (``5120.0``)
* ``[]`` for an empty object (PHP); an array with holes as an object (``{"0": 5120, "2": 5177}``)
* ``{"data": …}`` around an included value; ``{"id": 5120}``, ``{"user_id": 5120}`` for an id
* ``progress: 100`` for ``progress: {"percent": 100}``
* ``""``, ``"NaN"`` or a zero date for no value; 0 for nobody

Anything else is a :class:`Fault`: the cell becomes null here, and `validate.py` decides what happens to the row.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import msgspec

from tallyfy_frames.tables._table import Column, Reads

# A key with one of these words in it has a value that may let anyone in, wherever it stands: web hooks, guests' links and
# codes, addresses of files. Better one address of the organization's own masked than one of these written.
SECRET_WORDS: Final = frozenset({"webhook", "webhooks", "link", "links", "url", "urls", "uri", "href", "code"})
WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
MASK: Final = "***"
INT64: Final = range(-(2**63), 2**63)
EXACT_FLOAT: Final = 2**53  # integers up to here survive in a double
NO_VALUE: Final = frozenset({"", "nan"})  # words for "nothing" where a number, flag, id or instant is due
ZERO_DATE: Final = re.compile(r"(-0001|0000)-\d\d-\d\d.*")  # MySQL's zero date, and what PHP's Carbon makes of it
INTEGER: Final = re.compile(r"[+-]?\d{1,19}")
FLOAT: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
ARRAY_KEY: Final = re.compile(r"[0-9]{1,9}")
FLAGS: Final[Mapping[object, bool]] = {"1": True, "true": True, "0": False, "false": False}

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell that has no obvious reading: which row, which column, why. Never the value."""

    row: int
    column: str
    reason: str


@dataclass(slots=True)
class Cells:
    """Rows as columns of plain values. ``coerced`` counts, by column, values that were read from another shape."""

    height: int
    columns: dict[str, list[Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    coerced: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)  # keys that no column knows, by path


class _Unreadable(Exception):
    """A value with no obvious reading; the text says why."""


def decode(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Cells:
    """Cells for every column that has a source or reads ``extra``; one cell per row, in order."""
    cells = Cells(len(rows))
    sourced = [column for column in columns if column.sources and column.reads != "stated"]
    parents = {source.partition(".")[0] for column in sourced for source in column.sources if "." in source}
    inner = {parent: _objects(rows, parent, sourced, cells) for parent in parents}
    for column in sourced:
        _read_column(column, _take(rows, inner, column.sources), cells)
    for column in columns:
        if column.reads == "json" and not column.sources:
            cells.columns[column.name] = _extra(rows, inner, sourced, cells)
    return cells


def masked_json(row: Mapping[str, Any]) -> str:
    """A row as JSON text with its secrets masked."""
    try:
        return _json(masked(row))
    except RecursionError:
        return _json(
            {"id": row.get("id") if isinstance(row.get("id"), str | int) else None, "rest": "nested too deeply to keep"}
        )


@cache
def is_secret(key: str) -> bool:
    """Whether a value under this key may let anyone in."""
    words = {word.lower() for word in WORD.findall(key)}
    return not words.isdisjoint(SECRET_WORDS) and ("code" not in words or "guest" in words or len(words & SECRET_WORDS) > 1)


def masked(value: Any) -> Any:
    """``value`` with the values of secret keys replaced, at any depth."""
    if isinstance(value, dict):
        return {key: MASK if item and is_secret(key) else masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _take(rows: Sequence[Mapping[str, Any]], inner: Mapping[str, list[Any]], sources: Sequence[str]) -> list[Any]:
    """Each row's value at the first of ``sources`` that is there."""
    values: list[Any] | None = None
    for source in sources:
        parent, dot, key = source.partition(".")
        found = [place.get(key if dot else source) for place in (inner[parent] if dot else rows)]
        values = found if values is None else [new if old is None else old for old, new in zip(values, found, strict=True)]
    return values or []


def _objects(rows: Sequence[Mapping[str, Any]], parent: str, columns: Sequence[Column], cells: Cells) -> list[Any]:
    """The nested objects under one key, whatever they look like; ``{}`` where there is nothing."""
    children = {source.partition(".")[2]: column.name for column in columns for source in column.sources
                if source.startswith(f"{parent}.")}  # fmt: skip
    found: list[Any] = []
    first = next(iter(children.values()))
    for position, row in enumerate(rows):
        value = row.get(parent)
        if type(value) is dict and value and value.keys() <= {"data", "meta"}:
            value = value.get("data")
            cells.coerced[first] += bool(value)
        if type(value) is dict:
            found.append(value)
            continue
        found.append({})
        if value is None:
            continue
        if value == []:
            cells.coerced[first] += 1
        elif "percent" in children and isinstance(value, int | float | str | msgspec.Raw) and not isinstance(value, bool):
            found[-1] = {"percent": value}  # and its own reader decides
            cells.coerced[children["percent"]] += isinstance(value, int | float)
        else:
            cells.faults.append(Fault(position, first, f"{parent} is {_kind(value)}, not an object"))
    return found


def _read_column(column: Column, values: list[Any], cells: Cells) -> None:
    """Fill one column: at once if every value is of its own type, else cell by cell."""
    if _is_clean(column.reads, values):
        cells.columns[column.name] = values
        return
    read = READERS[column.reads]
    done: list[Any] = []
    for position, value in enumerate(values):
        if value is None:
            done.append(None)
            continue
        try:
            cell, coerced = read(value)
        except _Unreadable as unreadable:
            cells.faults.append(Fault(position, column.name, str(unreadable)))
            cell, coerced = None, False
        cells.coerced[column.name] += coerced
        done.append(cell)
    cells.columns[column.name] = done


def _is_clean(reads: Reads, values: list[Any]) -> bool:
    """Whether every value already is what the column holds, null included."""
    exact, test = CLEAN[reads]
    kinds = set(map(type, values))
    return kinds <= exact and (test is None or test(values))


def _no_empty_text(values: Iterable[Any]) -> bool:
    return "" not in values


def _fits_int64(values: Iterable[Any]) -> bool:
    return all(value is None or value in INT64 for value in values)


def _fits_user(values: Iterable[Any]) -> bool:
    return all(value is None or 0 < value < 2**63 for value in values)


def _plain_instants(values: Iterable[Any]) -> bool:
    return all(value is None or (len(value) > 9 and value[:4] not in {"0000", "-000"}) for value in values)


_NONE: Final = type(None)
CLEAN: Final[Mapping[Reads, tuple[frozenset[type], Callable[[list[Any]], bool] | None]]] = {
    "text": (frozenset({str, _NONE}), None),
    "id": (frozenset({str, _NONE}), _no_empty_text),
    "int": (frozenset({int, _NONE}), _fits_int64),
    "user_id": (frozenset({int, _NONE}), _fits_user),
    "float": (frozenset({float, _NONE}), None),
    "bool": (frozenset({bool, _NONE}), None),
    "instant": (frozenset({str, _NONE}), _plain_instants),
    "user_ids": (frozenset({_NONE}), None),
    "ids": (frozenset({_NONE}), None),
    "json": (frozenset({_NONE}), None),
    "secret": (frozenset({_NONE}), None),
}


def _kind(value: object) -> str:
    """A JSON value's type in words: enough to find the fault, and nothing of the value."""
    if isinstance(value, bool):
        return "a flag"
    names: Mapping[type, str] = {
        str: "text",
        int: "a whole number",
        float: "a number with a fraction",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "a number with more digits than fit")


def _text(value: Any) -> tuple[str | None, bool]:
    if isinstance(value, str):
        return value, False
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), True
    raise _Unreadable(f"{_kind(value)}, not text")


def _id(value: Any) -> tuple[str | None, bool]:
    value, wrapped = _unwrapped(value)
    if value is None or value == "":
        return None, True
    text, coerced = _text(value)
    return text, coerced or wrapped


def _unwrapped(value: Any) -> tuple[Any, bool]:
    """The id inside ``{"id": …}`` and its kin."""
    if isinstance(value, dict):
        for key in ("id", "user_id", "group_id"):
            if key in value:
                return value[key], True
    return value, False


def _int(value: Any) -> tuple[int | None, bool]:
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in NO_VALUE:
            return None, True
        if INTEGER.fullmatch(word) and int(word) in INT64:
            return int(word), True
        raise _Unreadable("text that is no whole number")
    if type(value) is int:
        if value in INT64:
            return value, False
        raise _Unreadable("a whole number beyond 64 bits")
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_FLOAT:
        return int(value), True
    raise _Unreadable(f"{_kind(value)}, not a whole number")


def _user_id(value: Any) -> tuple[int | None, bool]:
    value, wrapped = _unwrapped(value)
    if value is None:
        return None, wrapped
    number, coerced = _int(value)
    return (None, True) if number == 0 else (number, coerced or wrapped)


def _float(value: Any) -> tuple[float | None, bool]:
    if isinstance(value, float):
        return value, False
    if type(value) is int:
        if abs(value) <= EXACT_FLOAT:
            return float(value), False  # JSON has one kind of number
        raise _Unreadable("a whole number beyond a double's digits")
    if isinstance(value, msgspec.Raw):  # more digits than a double holds: the nearest one is the number meant
        return _finite(float(bytes(value))), True
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in NO_VALUE:
            return None, True
        if FLOAT.fullmatch(word):
            return _finite(float(word)), True
        raise _Unreadable("text that is no number")
    raise _Unreadable(f"{_kind(value)}, not a number")


def _finite(number: float) -> float:
    if math.isfinite(number):
        return number
    raise _Unreadable("a number beyond a double's range")


def _bool(value: Any) -> tuple[bool | None, bool]:
    if isinstance(value, bool):
        return value, False
    if isinstance(value, str) and value.strip() == "":
        return None, True
    word = str(value).strip().lower() if isinstance(value, int | str) else ""
    if word in FLAGS:
        return FLAGS[word], True
    raise _Unreadable(f"{_kind(value)}, not a flag")


def _instant(value: Any) -> tuple[str | None, bool]:
    """The text of an instant; `flatten.py` parses it."""
    if not isinstance(value, str):
        raise _Unreadable(f"{_kind(value)}, not an instant")
    if value.strip().lower() in NO_VALUE or ZERO_DATE.fullmatch(value):
        return None, True
    return value, False


def _items(value: Any) -> tuple[list[Any], bool]:
    """The items of a list, whatever it is wrapped in."""
    if isinstance(value, dict):
        if value.keys() <= {"data", "meta"}:
            return _items(value.get("data") or [])[0], True
        if value and all(ARRAY_KEY.fullmatch(key) for key in value):
            return [value[key] for key in sorted(value, key=int)], True
        if not value:
            return [], True
    if isinstance(value, list):
        return value, False
    raise _Unreadable(f"{_kind(value)}, not a list")


def _listed(read: Callable[[Any], tuple[Any, bool]]) -> Callable[[Any], tuple[list[Any], bool]]:
    def read_list(value: Any) -> tuple[list[Any], bool]:
        items, coerced = _items(value)
        pairs = [read(item) for item in items]
        return [cell for cell, _ in pairs if cell is not None], coerced or any(changed for _, changed in pairs)

    return read_list


def _json_text(value: Any) -> tuple[str, bool]:
    """Compact JSON text, secrets masked; ``[]`` is PHP's empty object."""
    try:
        return ("{}", True) if value == [] else (_json(masked(value)), False)
    except RecursionError:
        raise _Unreadable("nested too deeply") from None


def _mask(_: Any) -> tuple[str, bool]:
    return MASK, False


READERS: Final[Mapping[Reads, Callable[[Any], tuple[Any, bool]]]] = {
    "text": _text,
    "id": _id,
    "int": _int,
    "user_id": _user_id,
    "float": _float,
    "bool": _bool,
    "instant": _instant,
    "user_ids": _listed(_user_id),
    "ids": _listed(_id),
    "json": _json_text,
    "secret": _mask,
}


def _extra(
    rows: Sequence[Mapping[str, Any]], inner: Mapping[str, list[Any]], columns: Sequence[Column], cells: Cells
) -> list[str | None]:
    """Keys that no column reads, by path, as JSON text per row; null where there are none."""
    paths = {source for column in columns for source in column.sources}
    top = frozenset({path for path in paths if "." not in path} | set(inner))
    known = {parent: frozenset(path.partition(".")[2] for path in paths if path.startswith(f"{parent}.")) for parent in inner}
    texts: list[str | None] = []
    for position, row in enumerate(rows):
        found = {} if row.keys() <= top else {key: row[key] for key in row if key not in top}
        for parent, objects in inner.items():
            if not objects[position].keys() <= known[parent]:
                found |= {f"{parent}.{key}": item for key, item in objects[position].items() if key not in known[parent]}
        cells.unknown.update(found.keys())
        try:
            texts.append(
                _json({path: MASK if item and is_secret(path) else masked(item) for path, item in found.items()})
                if found
                else None
            )
        except RecursionError:
            cells.faults.append(Fault(position, "extra", "nested too deeply"))
            texts.append(None)
    return texts
