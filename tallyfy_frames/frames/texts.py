"""What stands inside rows while it is JSON text still: an object is made of it only where somebody looks at it.

A page of runs with their tasks would be ten thousand objects. Most are wanted as cells only, and to make objects first takes
twice the time: they are read twice, and after every so many new ones Python searches all there are for cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias, overload

import msgspec

from tallyfy_frames.errors import DecodeError

Row: TypeAlias = dict[str, Any]
Number: TypeAlias = Callable[[str], Any]  # what reads numbers with a fraction

_UNREAD: Final = object()


@dataclass(slots=True)
class Text:
    """A value inside a row."""

    raw: msgspec.Raw
    number: Number
    value: Any = field(default=_UNREAD, repr=False)

    def read(self) -> Any:
        """The value; the same one each time."""
        if self.value is _UNREAD:
            self.value = _read(self.raw, self.number)
        return self.value


@dataclass(frozen=True, slots=True)
class Texts(Sequence[Row]):
    """Rows, each read when it is asked for."""

    raws: Sequence[msgspec.Raw]
    number: Number

    def __len__(self) -> int:
        """How many."""
        return len(self.raws)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        """A row, or some of them."""
        if isinstance(place, slice):
            return Texts(self.raws[place], self.number)
        return as_row(_read(self.raws[place], self.number))

    def __iter__(self) -> Iterator[Row]:
        """Each of them."""
        return (as_row(_read(raw, self.number)) for raw in self.raws)

    def body(self) -> bytes:
        """All of them, as an answer has them."""
        return b'{"data":[' + b",".join(self.raws) + b"]}"


class Collection(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An included collection in its wrapper."""

    data: list[msgspec.Raw]
    meta: msgspec.Raw = msgspec.Raw()


_listed: Final = msgspec.json.Decoder(Collection | list[msgspec.Raw] | None)


def listed(values: Sequence[Any]) -> tuple[Texts, list[int]] | None:
    """The rows of included collections, and how many are in each; None unless all are collections, and text still."""
    raws: list[msgspec.Raw] = []
    counts: list[int] = []
    number = None
    for value in values:
        rows: Sequence[msgspec.Raw] = ()
        if type(value) is Text:
            number = value.number
            try:
                found = _listed.decode(value.raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            rows = found.data if isinstance(found, Collection) else found or ()
        elif value is not None:
            return None
        raws += rows
        counts.append(len(rows))
    return None if number is None else (Texts(raws, number), counts)


def read(value: Any) -> Any:
    """A value inside a row, whether it is text still or not."""
    return value.read() if type(value) is Text else value


def as_row(record: Any) -> Row:
    """What should be an object; what is none is kept as a key that no column knows."""
    return record if isinstance(record, dict) else {"value": record}


@lru_cache(16)
def _reader(number: Number) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(float_hook=number)


def _read(raw: msgspec.Raw, number: Number) -> Any:
    try:
        return _reader(number).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # what is skipped is not looked at as closely
        hint = "the API or something before it misbehaves; try again later"
        raise DecodeError("what stands inside a row is not JSON", hint=hint) from None
