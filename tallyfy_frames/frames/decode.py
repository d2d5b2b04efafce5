"""Rows as the API sends them → cells of one type per column. Repairs the shapes seen on the wire, and counts each repair.

Rows are held to the documented shape first, whole pages in one look (`shapes.py`). Keys with anything else in them are read
a column at a time: a sieve passes over the values that already are what their column holds, and only what it leaves is read
value by value (`sieves.py`). `readers.py` alone says what a value means. No JSON-to-frame reader is let near: those damage
silently (1.5 becomes 1, text that is no date becomes null).

Two shapes are of whole objects and are read here: ``{"data": …}`` around an included object, and ``progress: 100`` for
``progress: {"percent": 100}``. What has no obvious reading is a :class:`Fault`: the cell becomes null here, and `validate.py`
decides what happens to the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, Final

import msgspec

from tallyfy_frames.frames.cells import Cells, Fault
from tallyfy_frames.frames.masking import masked_json
from tallyfy_frames.frames.readers import READERS, kind
from tallyfy_frames.frames.shapes import Layout, Row, Seen, seen, seen_body, strangers
from tallyfy_frames.frames.sieves import begin_plainly, read_column, read_json
from tallyfy_frames.frames.texts import Texts
from tallyfy_frames.tables._table import Column, Reads

__all__ = ["READERS", "Cells", "Fault", "decode", "decode_body"]

JSON_READS: Final[frozenset[Reads]] = frozenset({"json", "json_list"})
MISSES_MAX: Final = 16  # keys that some row lacks, before every key is looked up as if some row lacked it

_NONE: Final = type(None)


def decode(rows: Sequence[Row], columns: Sequence[Column]) -> Cells:
    """Cells for every column that has a source or reads ``extra``; one cell per row, in order. ``rows`` stay as they are."""
    if isinstance(rows, Texts):
        known = decode_body(rows.body(), columns, rows.number)
        if known is not None:
            return known[0]
        rows = [*rows]
    layout = Layout.of(columns)
    cells = _read(seen(rows, layout) or _sought(rows, layout), layout, len(rows))
    for row in {fault.row for fault in cells.faults}:
        cells.texts[row] = masked_json(rows[row])
    return cells


def decode_body(body: bytes, columns: Sequence[Column], number: Callable[[str], Any]) -> tuple[Cells, Any] | None:
    """The cells of an answer ``{"data": …, "meta": …}`` and its ``meta``, as :func:`decode` would read its rows; often None.

    None for an answer with an error, without rows or with a fault, for all that is no such answer, and for rows in which
    there is anything new: :func:`decode` learns that. ``number`` is what reads numbers with a fraction.
    """
    layout = Layout.of(columns)
    page = seen_body(body, layout, number)
    if page is None:
        return None
    found, height, meta = page
    cells = _read(found, layout, height)
    return None if cells.faults else (cells, meta)


def _read(page: Seen, layout: Layout, height: int) -> Cells:
    cells = Cells(height, {name: [] for name in layout.names})
    found, held, unknown = page.found, page.held, page.unknown
    for parent in [parent for parent in layout.inner if parent in found]:
        objects = _objects(found[parent], parent, layout, cells)
        found |= {f"{parent}.{key}": values for key, values in _spread(objects, layout.inner[parent]).items()}
        for place, more in strangers(objects, layout.inner[parent], f"{parent}.").items():
            unknown[place] = unknown.get(place, {}) | more
    instants = layout.instants & held
    if not begin_plainly(found[source] for source in instants):
        held = held - instants
    json: list[tuple[Column, Sequence[Any]]] = []
    for column in layout.sourced:
        values = found[column.sources[0]] if len(column.sources) == 1 else _take(found, column.sources)
        if column.reads == "included" or held.issuperset(column.sources):
            cells.columns[column.name] = [*values]
        elif column.reads in JSON_READS:
            json.append((column, values))
        else:
            read_column(column, values, cells)
    for column in layout.extra:
        cells.unknown.update(chain.from_iterable(unknown.values()))
        unknown = {place: dict(sorted(keys.items())) for place, keys in unknown.items()}
        json.append((column, [*map(unknown.get, range(height))]))
    read_json(json, cells)
    return cells


def _sought(rows: Sequence[Row], layout: Layout) -> Seen:
    """What is in the rows, looked up key by key: for rows that nobody can look at as a whole."""
    return Seen(_spread(rows, layout.top), frozenset(), strangers(rows, layout.top))


def _spread(places: Sequence[Row], keys: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Each key's values, one per place; None where there is no such key.

    Keys that every place has are fetched together, at a third of the price; which those are shows as they are fetched.
    """
    common = list(keys)
    columns: list[Sequence[Any]] = []
    while len(common) > 1 and len(keys) - len(common) <= MISSES_MAX:
        try:
            columns = list(zip(*map(itemgetter(*common), places), strict=True))
            break
        except KeyError as missing:
            common.remove(missing.args[0])
    found: dict[str, Sequence[Any]] = dict(zip(common, columns, strict=True)) if columns else {}
    return {key: found[key] if key in found else [*map(dict.get, places, repeat(key))] for key in keys}


def _take(found: Mapping[str, Sequence[Any]], sources: Sequence[str]) -> Sequence[Any]:
    """Each row's value at the first of ``sources`` that is there."""
    values = found[sources[0]]
    for source in sources[1:]:
        values = [new if old is None else old for old, new in zip(values, found[source], strict=True)]
    return values


def _objects(values: Sequence[Any], parent: str, layout: Layout, cells: Cells) -> list[Row]:
    """The nested objects under one key, whatever they look like; where there is nothing, one whose known keys hold null."""
    nothing: Row = dict.fromkeys(layout.inner[parent])
    children = layout.children[parent]
    first = next(iter(children.values()))
    empty = values.count([])
    if {*map(type, values)} <= ({dict, list, _NONE} if empty else {dict, _NONE}):
        plain = [value or nothing for value in values]
        if not (empty and list in {*map(type, plain)}) and set[str]().union(*plain).isdisjoint({"data", "meta"}):
            cells.shapes[first, kind([])] += empty
            return plain
    found: list[Row] = []
    for position, given in enumerate(values):
        value = given
        if type(value) is dict and value and value.keys() <= {"data", "meta"}:
            value = value.get("data")
            cells.shapes[first, "an object in 'data'"] += bool(value)
        if type(value) is dict:
            found.append(value)
            continue
        found.append(nothing)
        if value is None:
            continue
        if value == []:
            cells.shapes[first, kind(value)] += 1
        elif "percent" in children and isinstance(value, int | float | str | msgspec.Raw) and not isinstance(value, bool):
            found[-1] = {"percent": value}  # and its own reader decides
            cells.shapes[children["percent"], f"{kind(value)} in place of {parent}"] += isinstance(value, int | float)
        else:
            cells.faults.append(Fault(position, first, f"{parent} is {kind(value)}, not an object"))
    return found
