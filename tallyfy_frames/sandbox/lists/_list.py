"""What a list is made of."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World

Record = TypeVar("Record")
Query: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class List(Generic[Record]):
    """A route that lists records: how many on a page by default and at most, which of them, and each as JSON."""

    path: str
    default_size: int
    cap: int
    select: Callable[[World, Query], Sequence[Record]]
    render: Callable[[Wire, random.Random, Record], dict[str, Any]]  # the generator is the record's own
    id_of: Callable[[Record], object]
    unpaged: tuple[str, str] | None = None  # the parameter and value that make one page of all
    include: Callable[[Wire, Record, Query], dict[str, Any]] = lambda *_: {}  # what a query asks for besides
    moves: bool = False  # long, and changes with the runs alone: what was selected is remembered until then

    def body(self, wire: Wire, record: Record, query: Query) -> dict[str, Any]:
        """A record as JSON: the same each time."""
        found = self.render(wire, random.Random(f"{self.id_of(record)}/wire"), record)
        return found | self.include(wire, record, query)


AnyList: TypeAlias = List[Any]


def asked(query: Query) -> list[str]:
    """The includes that a query names."""
    return [name.strip() for name in query.get("with", "").split(",") if name.strip()]
