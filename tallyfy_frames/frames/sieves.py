"""Which values already are what a column holds, found a column at a time; a reader is asked about the others.

`readers.py` alone says what a value means: a sieve may leave too much, and never lets pass what its reader would change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, compress, count, islice, repeat
from operator import itemgetter
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from tallyfy_frames.frames.cells import Cells, Fault
from tallyfy_frames.frames.masking import masked_texts
from tallyfy_frames.frames.readers import EXACT_FLOAT, READERS, Unreadable, shape
from tallyfy_frames.tables._table import Column, Reads

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

WORDS: Final = frozenset({str, int, float, bool})

_NONE: Final = type(None)


def read_column(column: Column, values: Sequence[Any], cells: Cells) -> None:
    """Fill one column: what its sieve leaves is read value by value."""
    done = _held(column.reads, values)
    if done is None:
        types, sift = SIEVES[column.reads]
        done, kinds = [*values], [*map(type, values)]
        odd = {*kinds} - types
        places = [place for place, kind in enumerate(kinds) if kind in odd] if odd else []
        for place in places:
            done[place] = None
        if sift is not None:
            rest = _held(column.reads, done) if places else None
            done, doubtful = sift(done) if rest is None else (rest, ())
            places = sorted([*places, *doubtful]) if doubtful else places
        _read(column, places, values, done, cells)
    cells.columns[column.name] = done


def _held(reads: Reads, values: Sequence[Any]) -> list[Any] | None:
    """The values of a column if all are what it holds: one look at them, by msgspec."""
    kind = HELD_LISTS.get(reads)
    if kind is None:
        return None
    try:
        done: list[Any] = msgspec.convert(values, kind)
    except msgspec.ValidationError:
        return None
    return None if reads == "instant" and not begin_plainly([done]) else done


def _read(column: Column, places: Iterable[int], values: Sequence[Any], done: list[Any], cells: Cells) -> None:
    """Some cells, by their reader. The same few words come again and again: each is read once."""
    read = READERS[column.reads]
    shapes: defaultdict[str, int] = defaultdict(int)
    known: dict[tuple[type, Any], tuple[Any, str]] = {}
    for place in places:
        value = values[place]
        word = (type(value), value) if type(value) in WORDS else None
        if word is not None and word in known:
            done[place], odd = known[word]
        else:
            try:
                done[place], coerced = read(value)
            except Unreadable as unreadable:
                cells.faults.append(Fault(place, column.name, str(unreadable)))
                done[place], odd = None, ""
            else:
                odd = shape(value, done[place]) if coerced else ""
                if word is not None:
                    known[word] = done[place], odd
        if odd:
            shapes[odd] += 1
    for odd, times in shapes.items():
        cells.shapes[column.name, odd] += times


def read_json(columns: Sequence[tuple[Column, Sequence[Any]]], cells: Cells) -> None:
    """Fill columns of JSON text, all at once: so they are written and searched for secrets together."""
    written: list[Any] = []  # what is as it should be
    parts: list[tuple[Column, Sequence[Any], frozenset[type], set[type]]] = []
    for column, values in columns:
        types, _ = SIEVES[column.reads]
        kinds = {*map(type, values)}
        parts.append((column, values, types, kinds - types))
        plain = kinds <= types and _NONE not in kinds
        written += values if plain else [value for value in values if value is not None and type(value) in types]
    try:
        texts = masked_texts(written)
    except RecursionError:  # one of them
        for column, values in columns:
            read_column(column, values, cells)
        return
    start = 0
    for column, values, types, odd in parts:
        if not odd and None not in values:
            done: list[Any] = texts[start : start + len(values)]
            start += len(values)
        else:
            rest = islice(texts, start, None)
            done = [next(rest) if value is not None and type(value) in types else None for value in values]
            start += len(done) - done.count(None)
        if odd:
            _read(column, compress(count(), map(odd.__contains__, map(type, values))), values, done, cells)
        cells.columns[column.name] = done


# A sieve: the types that a column holds as they are, and, unless that is all, a function of values of those types, the others
# taken out: the cells, and the places of those that a reader must see all the same.
Sift: TypeAlias = Callable[[list[Any]], tuple[list[Any], Collection[int]]]


def _ids(values: list[Any]) -> tuple[list[Any], Collection[int]]:
    return values, [place for place, value in enumerate(values) if value == ""]


def _whole(values: list[Any]) -> tuple[list[Any], Collection[int]]:
    return values, [place for place, value in enumerate(values) if value and not INT64_MIN <= value <= INT64_MAX]


def _users(values: list[Any]) -> tuple[list[Any], Collection[int]]:
    return values, [place for place, value in enumerate(values) if value is not None and not 1 <= value <= INT64_MAX]


def _numbers(values: list[Any]) -> tuple[list[Any], Collection[int]]:
    """JSON has one kind of number: an integer becomes a float, unless a double cannot hold it."""
    doubtful = [place for place, value in enumerate(values) if type(value) is int and abs(value) > EXACT_FLOAT]
    for place in doubtful:
        values[place] = None
    return [None if value is None else float(value) for value in values], doubtful


def _instants(values: list[Any]) -> tuple[list[Any], Collection[int]]:
    """Words for nothing begin with no digit, and zero dates sort before the year 1."""
    return values, [place for place, value in enumerate(values) if value is not None and not "0001" <= value < ":"]


def _listed(item: type, within: Callable[[Any], bool]) -> Sift:
    """Lists whose items all are what the column holds: seen at once, strung together."""

    def sift_lists(values: list[Any]) -> tuple[list[Any], Collection[int]]:
        lists = [value or () for value in values]
        owners = chain.from_iterable(map(repeat, count(), map(len, lists)))
        items = chain.from_iterable(lists)
        return values, {
            place for place, value in zip(owners, items, strict=True) if type(value) is not item or not within(value)
        }

    return sift_lists


def _written(values: list[Any]) -> tuple[list[Any], Collection[int]]:
    return values, [place for place, value in enumerate(values) if value is not None]


JSON_TYPES: Final[frozenset[type]] = frozenset({dict, str, int, float, bool, msgspec.Raw, _NONE})
SIEVES: Final[Mapping[Reads, tuple[frozenset[type], Sift | None]]] = {
    "text": (frozenset({str, _NONE}), None),
    "id": (frozenset({str, _NONE}), _ids),
    "int": (frozenset({int, _NONE}), _whole),
    "user_id": (frozenset({int, _NONE}), _users),
    "float": (frozenset({float, int, _NONE}), _numbers),
    "bool": (frozenset({bool, _NONE}), None),
    "instant": (frozenset({str, _NONE}), _instants),
    "user_ids": (frozenset({list, _NONE}), _listed(int, range(1, INT64_MAX + 1).__contains__)),
    "ids": (frozenset({list, _NONE}), _listed(str, bool)),
    "texts": (frozenset({list, _NONE}), _listed(str, lambda _: True)),
    "guest": (frozenset({str, _NONE}), _ids),
    "guests": (frozenset({list, _NONE}), _listed(str, bool)),
    "revealed": (frozenset({str, _NONE}), None),
    "json": (JSON_TYPES, _written),  # a list may be PHP's empty object
    "json_list": (JSON_TYPES | {list}, _written),
    "secret": (frozenset({_NONE}), None),
    "only_text": (frozenset({_NONE}), None),
    "only_user_id": (frozenset({_NONE}), None),
    "class_name": (frozenset({_NONE}), None),
    "loose": (frozenset({_NONE}), None),
}

# The same as types, for one look at whole rows: what is of such a type, its reader would not change. Narrower than a sieve;
# an instant must begin with a digit other than 0, too. JSON and secrets are never left as they are, and numbers with a
# fraction must not be read into a double before it is known that they fit.
_Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_User: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=INT64_MAX)]
HELD: Final[Mapping[Reads, Any]] = {
    "text": str | None,
    "id": _Id | None,
    "int": Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)] | None,
    "user_id": _User | None,
    "bool": bool | None,
    "instant": _Id | None,
    "user_ids": list[_User] | None,
    "ids": list[_Id] | None,
    "texts": list[str] | None,
    "guest": _Id | None,
    "guests": list[_Id] | None,
}
# And for one look at a column. Integers become floats before they are compared: the last one that fits is left to the sieve.
_Float: TypeAlias = Annotated[float, msgspec.Meta(gt=-EXACT_FLOAT, lt=EXACT_FLOAT)]
HELD_LISTS: Final[Mapping[Reads, Any]] = {
    reads: list[kind]  # type: ignore[valid-type] # msgspec reads it when it runs
    for reads, kind in {**HELD, "float": _Float | None}.items()
}
PLAIN_STARTS: Final = frozenset("123456789")


def begin_plainly(columns: Iterable[Sequence[str | None]]) -> bool:
    """Whether all these instants begin as an instant does, and as no zero date and no word for nothing does."""
    return {*map(itemgetter(0), filter(None, chain.from_iterable(columns)))} <= PLAIN_STARTS
