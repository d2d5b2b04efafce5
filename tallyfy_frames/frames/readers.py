"""One value as the API sends it → one cell, and whether it had to be repaired; :class:`Unreadable` where nothing is obvious.

What a shape means is decided here and nowhere else: `decode.py` passes over the values that already are what their column
holds, and asks a reader about every other.

Shapes with one obvious reading, all seen or documented:

* a number or flag as text (``"5120"``, ``"true"``, ``1``); an id as a number; a float that is whole (``5120.0``)
* ``[]`` for an empty object (PHP); an array with holes as an object (``{"0": 5120, "2": 5177}``)
* ``{"data": …}`` around an included value; ``{"id": 5120}``, ``{"user_id": 5120}`` for an id
* ``""``, ``"NaN"`` or a zero date for no value; 0 for nobody
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from tallyfy_frames.frames.masking import MASK, masked_texts
from tallyfy_frames.tables._table import Reads

INT64: Final = range(-(2**63), 2**63)
EXACT_FLOAT: Final = 2**53  # integers up to here survive in a double
NO_VALUE: Final = frozenset({"", "nan"})  # words for "nothing" where a number, flag, id or instant is due
ZERO_DATE: Final = re.compile(r"(-0001|0000)-\d\d-\d\d.*")  # MySQL's zero date, and what PHP's Carbon makes of it
INTEGER: Final = re.compile(r"[+-]?\d{1,19}")
FLOAT: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
ADDRESS: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")  # what a text that is an address begins with
ARRAY_KEY: Final = re.compile(r"[0-9]{1,9}")
KINDS: Final[Mapping[type, str]] = {
    bool: "a flag",
    str: "text",
    int: "a whole number",
    float: "a number with a fraction",
    list: "a list",
    dict: "an object",
}
NOTHINGS: Final[Mapping[type, str]] = {one: f"{words} for nothing" for one, words in KINDS.items()}
RAW: Final = "a number with more digits than fit"
FLAGS: Final[Mapping[object, bool]] = {"1": True, "true": True, "0": False, "false": False}


class Unreadable(Exception):
    """A value with no obvious reading; the text says why, and never the value."""


def kind(value: object) -> str:
    """A JSON value's type in words: enough to find the fault, and nothing of the value."""
    return KINDS.get(type(value), RAW)


def shape(value: object, cell: object) -> str:
    """What came, where a reader had to make ``cell`` of it, in words: its type, and of a list those of its odd items."""
    if isinstance(value, list) and isinstance(cell, list):
        return _list_shape(frozenset(map(type, value)), frozenset(map(type, cell)))
    return (KINDS if cell is not None else NOTHINGS).get(type(value), RAW)


@cache
def _list_shape(came: frozenset[type], made: frozenset[type]) -> str:
    """That of a list, by the types of the items that came, and of those that they became; there are few of either."""
    odd = sorted(KINDS.get(one, RAW) for one in came - made - {type(None)})
    return f"a list with {' and '.join(odd) or 'words for nothing'}"


def _text(value: Any) -> tuple[str | None, bool]:
    if isinstance(value, str):
        return value, False
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), True
    raise Unreadable(f"{kind(value)}, not text")


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
        raise Unreadable("text that is no whole number")
    if type(value) is int:
        if value in INT64:
            return value, False
        raise Unreadable("a whole number beyond 64 bits")
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_FLOAT:
        return int(value), True
    raise Unreadable(f"{kind(value)}, not a whole number")


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
        raise Unreadable("a whole number beyond a double's digits")
    if isinstance(value, msgspec.Raw):  # more digits than a double holds: the nearest one is the number meant
        return _finite(float(bytes(value))), True
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in NO_VALUE:
            return None, True
        if FLOAT.fullmatch(word):
            return _finite(float(word)), True
        raise Unreadable("text that is no number")
    raise Unreadable(f"{kind(value)}, not a number")


def _finite(number: float) -> float:
    if math.isfinite(number):
        return number
    raise Unreadable("a number beyond a double's range")


def _bool(value: Any) -> tuple[bool | None, bool]:
    if isinstance(value, bool):
        return value, False
    if isinstance(value, str) and value.strip() == "":
        return None, True
    word = str(value).strip().lower() if isinstance(value, int | str) else ""
    if word in FLAGS:
        return FLAGS[word], True
    raise Unreadable(f"{kind(value)}, not a flag")


def _instant(value: Any) -> tuple[str | None, bool]:
    """The text of an instant; `flatten.py` parses it."""
    if not isinstance(value, str):
        raise Unreadable(f"{kind(value)}, not an instant")
    if value.strip().lower() in NO_VALUE or ZERO_DATE.fullmatch(value):
        return None, True
    return value, False


def _items(value: Any) -> tuple[list[Any], bool]:
    """The items of a list, whatever it is wrapped in."""
    if isinstance(value, dict):
        if value.keys() <= {"data", "meta"}:
            return _items(value.get("data") or [])[0], True
        listed = items_of(value)
        if listed is not None:
            return listed, True
    if isinstance(value, list):
        return value, False
    raise Unreadable(f"{kind(value)}, not a list")


def items_of(value: Mapping[str, Any]) -> list[Any] | None:
    """The items of a PHP array with holes, or without items, which prints as an object; None for any other object."""
    if all(ARRAY_KEY.fullmatch(key) for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return None


def _listed(read: Callable[[Any], tuple[Any, bool]]) -> Callable[[Any], tuple[list[Any], bool]]:
    def read_list(value: Any) -> tuple[list[Any], bool]:
        items, coerced = _items(value)
        cells = []
        for item in items:
            cell, changed = read(item)
            coerced = coerced or changed
            if cell is not None:
                cells.append(cell)
        return cells, coerced

    return read_list


def _json(value: Any) -> tuple[str, bool]:
    """``[]`` is PHP's empty object."""
    return ("{}", True) if value == [] else _json_list(value)


def _json_list(value: Any) -> tuple[str, bool]:
    try:
        return masked_texts([value])[0], False
    except RecursionError:
        raise Unreadable("nested too deeply") from None


def _guest(value: Any) -> tuple[str | None, bool]:
    """The address of a guest, or of any person, who may be an object; its id where there is no address."""
    if isinstance(value, dict) and ("email" in value or not value.keys() & {"id", "user_id", "group_id"}):
        return value.get("email") or None, True
    return _id(value)


def _revealed(value: Any) -> tuple[str, bool]:
    """A secret that is wanted all the same: text, or JSON."""
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode()), False


def _several(_: Any) -> tuple[Any, bool]:
    raise Unreadable("a list of several, where one is due")


def _only(
    read: Callable[[Any], tuple[Any, bool]], several: Callable[[Any], tuple[Any, bool]] = _several
) -> Callable[[Any], tuple[Any, bool]]:
    """What a list of one holds. The activity feed wraps its scalars so: that is its form, and no repair.

    Normally there is one, says the documentation; a list of more is read by ``several``.
    """

    def read_only(value: Any) -> tuple[Any, bool]:
        if not isinstance(value, list):
            return read(value)
        items = [item for item in value if item is not None]
        if len(items) > 1:
            return several(items)
        return read(items[0]) if items else (None, False)

    return read_only


def _class_name(value: Any) -> tuple[str | None, bool]:
    r"""``App\Models\Task`` is ``Task``."""
    text, coerced = _text(value)
    return (text.rpartition("\\")[2] or None if text else None), coerced


def _loose(value: Any) -> tuple[str | None, bool]:
    """Text as it is, also in a list of one, unless it is an address, which may let anyone in; anything else as JSON."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    if isinstance(value, str):
        return (MASK if ADDRESS.match(value) else value), False
    return (None, False) if value is None else _json_list(value)


def _mask(value: Any) -> tuple[str | None, bool]:
    """No value is no secret."""
    return MASK if value else None, False


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
    "texts": _listed(_text),
    "guest": _guest,
    "guests": _listed(_guest),
    "json": _json,
    "json_list": _json_list,
    "secret": _mask,
    "only_text": _only(_text, _json_list),
    "only_user_id": _only(_user_id),
    "class_name": _only(_class_name),
    "loose": _loose,
    "revealed": _revealed,
}
