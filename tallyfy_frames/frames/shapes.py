"""What rows look like as a whole: a type made of a table's columns, to which msgspec holds a page's rows in one look.

The documented shape comes first. Where a key holds anything else, it is let hold anything from then on, and is read value by
value; where a key comes that no column knows, it is expected from then on. What the API sends once it sends again: after a
page or two every page is seen at the first look. What is learned here decides how long reading takes, never what is read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import astuple

from tallyfy_frames.frames.sieves import HELD
from tallyfy_frames.frames.texts import Text
from tallyfy_frames.tables._table import Column, Reads

LAYOUTS_MAX: Final = 64  # remembered: there are as many as tables, but any columns will do
ASKED: Final = "organization_id"  # some rows say it, too; the column says which organization was asked
STRANGE_MAX: Final = 64  # unknown keys that are expected
PLACE: Final = " - at `$["  # where msgspec says what it could not read
STRANGER: Final = re.compile(r"Object contains unknown field `([A-Za-z_][A-Za-z0-9_]{0,63})` - at `\$\[\d+\]`")

# Two threads that use a new type for the first time at once make msgspec 0.22 crash: it describes the type to itself meanwhile.
_learning: Final = threading.Lock()

Row: TypeAlias = dict[str, Any]
Unknown: TypeAlias = dict[int, dict[str, Any]]  # by row, if it has keys that no column knows: those with their values


class Seen(NamedTuple):
    """What is in a page's rows."""

    found: dict[str, Sequence[Any]]  # by source or by key, one value per row
    held: frozenset[str]  # of those, the sources whose values their columns hold as they are
    unknown: Unknown


@dataclass(slots=True)
class Layout:
    """Where the values of columns are, and what was learned of them."""

    columns: Sequence[Column]
    sourced: Sequence[Column]
    extra: Sequence[Column]
    names: Sequence[str]  # of both
    top: Sequence[str]  # keys of a row that are known
    inner: Mapping[str, Sequence[str]]  # of those, the ones that hold an object → the keys of it that are known
    children: Mapping[str, Mapping[str, str]]  # the same → by such a key, the column
    readers: Mapping[str, Reads]  # by source
    instants: frozenset[str]  # sources of instants
    odd: frozenset[str]  # keys of a row that hold anything
    strange: frozenset[str] = frozenset()  # keys of a row that no column knows
    closed: bool = True  # whether there are no others
    shape: Shape | None = None

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Layout:
        """The layout for these very columns: they are not compared, which would take longer than reading a page."""
        layout = _layouts.get(id(columns))
        if layout is None or layout.columns is not columns:
            layout = cls._made(columns)
            if len(_layouts) >= LAYOUTS_MAX:
                _layouts.clear()
            _layouts[id(columns)] = layout
        return layout

    @classmethod
    def _made(cls, columns: Sequence[Column]) -> Layout:
        sourced = [column for column in columns if column.sources and column.reads != "stated"]
        extra = [column for column in columns if column.reads == "json" and not column.sources]
        top: dict[str, None] = dict.fromkeys([ASKED, *(column.name for column in columns if column.reads == "parent")])
        inner: dict[str, list[str]] = {}
        for parent, dot, key in dict.fromkeys(source.partition(".") for column in sourced for source in column.sources):
            top[parent] = None
            if dot:
                inner.setdefault(parent, []).append(key)
        children = {parent: {source.partition(".")[2]: column.name for column in sourced for source in column.sources
                             if source.startswith(f"{parent}.")} for parent in inner}  # fmt: skip
        readers = {source: column.reads for column in sourced for source in column.sources}
        odd = frozenset(source.partition(".")[0] for column in sourced for source in column.sources
                        if readers[source] != column.reads or source in inner)  # fmt: skip
        instants = frozenset(source for source, reads in readers.items() if reads == "instant")
        names = [column.name for column in (*sourced, *extra)]
        return cls(columns, sourced, extra, names, [*top], inner, children, readers, instants, odd)

    def learn(self, what: str, shape: Shape) -> bool:
        """Make sense of what msgspec said of ``shape``; whether there is another shape now."""
        stranger = STRANGER.fullmatch(what)
        place = what.rpartition(PLACE)[2].partition("].")[2]
        key = max((key for key in self.top if place.startswith(key)), key=len, default=None)
        if stranger is not None and len(self.strange) < STRANGE_MAX:
            self.strange |= {stranger[1]}
        elif key is not None:
            self.odd |= {key}
        else:  # a key that is no name, or too many of them
            self.closed = False
        return (self.odd, self.strange, self.closed) != (shape.odd, shape.strange, shape.closed)


_layouts: Final[dict[int, Layout]] = {}


@dataclass(frozen=True, slots=True)
class Shape:
    """A type that rows are held to, made of what a layout had learned."""

    odd: frozenset[str]
    strange: frozenset[str]
    closed: bool
    rows: Any
    written: Any  # the same for rows in a body, where what is included stays text
    texts: Sequence[str]  # the keys of that
    keys: Sequence[str]  # its fields, in order
    objects: Mapping[str, Sequence[str]]  # those that hold an object → the sources in it, in order
    held: frozenset[str]
    decoders: dict[Callable[[str], Any], msgspec.json.Decoder[Any]]

    def decoder(self, number: Callable[[str], Any]) -> msgspec.json.Decoder[Any]:
        """What decodes an answer that holds such rows."""
        decoder = self.decoders.get(number)
        if decoder is None:
            fields: list[tuple[str, Any, Any]] = [
                ("data", self.written, msgspec.NODEFAULT),
                ("meta", Any, None),
                ("error", Any, None),
            ]
            decoder = self.decoders[number] = msgspec.json.Decoder(msgspec.defstruct("Answer", fields), float_hook=number)
        return decoder

    @classmethod
    def of(cls, layout: Layout, row: Row) -> Shape:
        """Keys in the order of ``row``: rows in the same order are held to it faster."""
        odd, strange, closed = layout.odd, layout.strange, layout.closed
        order = {key: place for place, key in enumerate(row)}
        keys = sorted((*layout.top, *sorted(strange)), key=lambda key: order.get(key, len(row)))
        types: list[Any] = []
        objects: dict[str, Sequence[str]] = {}
        for key in keys:
            inner = layout.inner.get(key, ())
            if key in strange or key in odd:
                types.append(Any)
            elif inner:
                objects[key] = [f"{key}.{name}" for name in inner]
                kinds = [HELD.get(layout.readers[source], Any) for source in objects[key]]
                types.append(_struct(inner, kinds, closed=True) | None)
            else:
                types.append(HELD.get(layout.readers[key], Any) if key in layout.readers else Any)
        texts = [key for key in keys if layout.readers.get(key) == "included" and key not in odd]
        held = frozenset(source for source, reads in layout.readers.items()
                         if reads in HELD and source.partition(".")[0] not in odd)  # fmt: skip
        defaults = [msgspec.UNSET if key in strange else None for key in keys]
        rows: Any = list[_struct(keys, types, defaults, closed=closed)]  # type: ignore[misc]
        types = [msgspec.Raw if key in texts else kind for key, kind in zip(keys, types, strict=True)]
        written: Any = list[_struct(keys, types, defaults, closed=closed)] if texts else rows  # type: ignore[misc]
        return cls(odd, strange, closed, rows, written, texts, keys, objects, held, {})


def _struct(keys: Sequence[str], types: Sequence[Any], defaults: Sequence[Any] = (), *, closed: bool) -> Any:
    """An object with these keys, each of which may be missing, and with no others if it is ``closed``."""
    names = [f"f{n}" for n in range(len(keys))]
    fields = list(zip(names, types, defaults or [None] * len(keys), strict=True))
    return msgspec.defstruct(
        "Object", fields, rename=dict(zip(names, keys, strict=True)), forbid_unknown_fields=closed, gc=False
    )


def seen(rows: Sequence[Row], layout: Layout) -> Seen | None:
    """A page's rows, in one look or in as many as there is to learn; None if they cannot be looked at."""
    if not rows:
        return None
    with _learning:
        return _seen(rows, layout)


def _seen(rows: Sequence[Row], layout: Layout) -> Seen | None:
    if layout.shape is None:
        layout.shape = Shape.of(layout, rows[0])
    shape = layout.shape
    while True:
        try:
            records = msgspec.convert(rows, shape.rows)
        except msgspec.ValidationError as error:
            if not layout.learn(str(error), shape):
                return None
            layout.shape = shape = Shape.of(layout, rows[0])
        except RecursionError:
            return None
        else:
            return (
                _fields(records, shape)
                if shape.closed
                else _fields(records, shape)._replace(unknown=strangers(rows, layout.top))
            )


def seen_body(body: bytes, layout: Layout, number: Callable[[str], Any]) -> tuple[Seen, int, Any] | None:
    """The rows of an answer ``{"data": …, "meta": …}``, how many, and its ``meta``; None unless all is as known.

    It takes less than half the time of making objects of the rows first. ``number`` reads numbers with a fraction.
    """
    shape = layout.shape
    if shape is None or not shape.closed:
        return None
    with _learning:
        decoder = shape.decoder(number)
    try:
        answer = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if answer.error or not answer.data:
        return None
    seen = _fields(answer.data, shape)
    for key in shape.texts:
        seen.found[key] = [raw and Text(raw, number) for raw in seen.found[key]]
    return seen, len(answer.data), answer.meta


def _fields(records: Sequence[Any], shape: Shape) -> Seen:
    """The fields of records as columns."""
    found: dict[str, Sequence[Any]] = dict(zip(shape.keys, zip(*map(astuple, records), strict=True), strict=True))
    for key, sources in shape.objects.items():
        nothing = (None,) * len(sources)
        objects = [nothing if value is None else astuple(value) for value in found.pop(key)]
        found |= zip(sources, zip(*objects, strict=True), strict=True)
    unknown: Unknown = {}
    for key in shape.strange:
        for place, value in enumerate(found[key]):
            if value is not msgspec.UNSET:
                unknown.setdefault(place, {})[key] = value
    return Seen(found, shape.held, unknown)


def strangers(places: Sequence[Row], known: Iterable[str], prefix: str = "") -> Unknown:
    """By place, if it has keys that no column reads: those, by path, with their values."""
    strange = set[str]().union(*places).difference(known)
    found: Unknown = {}
    for position, place in enumerate(places if strange else ()):
        if not place.keys().isdisjoint(strange):
            found[position] = {f"{prefix}{key}": place[key] for key in place.keys() & strange}
    return found
