"""The few words a table file is written in: ``column``, ``Rows``, ``Part``, ``Table``; its filters': `_filters.py`.

A table file states each column once: name, type, nullability, range, unit, description, class, and the path of its value in
the API's JSON. The wire reader, the pandera schema, Parquet metadata, ``schemas/*.json`` and the CLI follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias

import pandera.polars as pa
import polars as pl

from tallyfy_frames.tables._filters import Filters, Value

ColumnClass: TypeAlias = Literal["data", "volatile", "provenance"]
# How a JSON value is read; `frames/readers.py` has one reader for each.
Reads: TypeAlias = Literal[
    "text", "id", "int", "user_id", "float", "bool", "instant", "user_ids", "ids", "texts", "guest", "guests",
    "json", "json_list", "secret", "revealed",
    "only_text", "only_user_id", "class_name", "loose",  # in a list of one; a PHP class by its own name; text or else JSON
    "included",  # as it came, for `frames/parts.py`
    "stated", "parent", "place",  # not in the row itself: what its page says, the key of the row that holds it, its place there
]  # fmt: skip
USERS: Final = "users.id"  # where every user id is to be found

READS_BY_DTYPE: Final[Mapping[object, Reads]] = {
    pl.String: "text",
    pl.Int64: "int",
    pl.Float64: "float",
    pl.Boolean: "bool",
    pl.Datetime: "instant",
}


def column(  # noqa: PLR0913 - the facts of a column
    *sources: str,
    about: str,
    kind: ColumnClass = "data",
    reads: Reads | None = None,
    unit: str | None = None,
    nullable: bool = True,
    unique: bool = False,
    ge: float | None = None,
    le: float | None = None,
    words: Sequence[str] = (),
    inner: object | None = None,
    personal: bool = False,
    refers: str | None = None,
) -> Any:
    """A column: the JSON paths its value comes from (the first that is there counts), and what it means.

    ``words`` are the values seen so far; they are told, not enforced, because the API adds words: the report names those.
    ``inner`` is the type of a list's items. ``personal``: it may say who somebody is, or what they wrote; user ids alone do
    not. ``refers``: the ``table.column`` in which its values are to be found.
    """
    return pa.Field(
        nullable=nullable,
        unique=unique,
        ge=ge,
        le=le,
        description=about,
        dtype_kwargs=None if inner is None else {"inner": inner},
        metadata={
            "sources": sources,
            "kind": kind,
            "reads": reads,
            "unit": unit,
            "ge": ge,
            "le": le,
            "words": tuple(words),
            "personal": personal,
            "refers": refers,
        },
    )


@dataclass(frozen=True, slots=True)
class Column:
    """What a table says of one of its columns."""

    name: str
    dtype: pl.DataType
    sources: tuple[str, ...]
    reads: Reads
    kind: ColumnClass
    unit: str | None
    about: str
    nullable: bool
    unique: bool
    ge: float | None
    le: float | None
    words: tuple[str, ...]
    personal: bool = False
    refers: str | None = None

    @property
    def notes(self) -> str:
        """What it means, and all else there is to say of its values, for people."""
        bounds = [f"{sign} {bound:g}" for sign, bound in (("≥", self.ge), ("≤", self.le)) if bound is not None]
        seen = [f"seen: {', '.join(self.words)}"] if self.words else []
        place = [f"to be found in {self.refers}"] if self.refers else []
        return "; ".join([self.about, *bounds, *seen, *place, *(["personal"] if self.personal else [])])


class Rows(pa.DataFrameModel):
    """Base of every table's rows: exactly these columns, in this order."""


class Trailer(Rows):
    """The columns that end every table: what else came, and how the row came to us."""

    extra: pl.String = column(
        about="JSON object of keys that this table does not know, by path; null if there were none", reads="json", personal=True
    )
    pagination_total: pl.Int64 = column(
        "total", about="Rows in the whole list, as the page that held this row stated", kind="provenance", reads="stated", ge=0
    )
    pagination_count: pl.Int64 = column(
        "count", about="Rows on that page, as it stated", kind="provenance", reads="stated", ge=0
    )
    pagination_per_page: pl.Int64 = column(
        "per_page", about="Rows per page, as the page stated", kind="provenance", reads="stated", ge=0
    )
    pagination_current_page: pl.Int64 = column(
        "current_page", about="The page's number, from 1", kind="provenance", reads="stated", ge=1
    )
    pagination_total_pages: pl.Int64 = column(
        "total_pages", about="Pages in the whole list, as the page stated", kind="provenance", reads="stated", ge=0
    )
    organization_id: pl.String = column(
        about="The organization that was read", kind="provenance", reads="stated", nullable=False
    )
    loaded_at: Annotated[pl.Datetime, "us", "UTC"] = column(
        about="When the page that held this row arrived", kind="provenance", reads="stated", nullable=False
    )


# What breaks each check that a column may have; pandera, too, lets null pass.
BROKEN: Final[Mapping[str, Callable[[pl.Expr, Mapping[str, Any]], pl.Expr]]] = {
    "greater_than_or_equal_to": lambda cells, bound: cells < bound["min_value"],
    "less_than_or_equal_to": lambda cells, bound: cells > bound["max_value"],
}


def quick(contract: pa.DataFrameSchema) -> pa.DataFrameSchema:
    """``contract`` as one check of the whole frame: it says that something is wrong, not what.

    Pandera takes half a millisecond for each column, however few the rows. Here it takes that once, and polars asks about
    every column in one go. All is derived from ``contract``; a rule that cannot be is a ``KeyError`` here.
    """
    schema = pl.Schema({name: spec.dtype.type for name, spec in contract.columns.items()})
    broken: list[pl.Expr] = []
    for name, spec in contract.columns.items():
        cells = pl.col(name)
        if not spec.nullable:
            broken.append(cells.is_null().any())
        if spec.unique:
            broken.append(cells.n_unique() < pl.len())
        broken += [BROKEN[check.name](cells, check.statistics).any() for check in spec.checks]

    def kept(data: pa.PolarsData) -> bool:
        frame = data.lazyframe.collect()
        return frame.schema == schema and not any(frame.select(expr.alias(str(n)) for n, expr in enumerate(broken)).row(0))

    return pa.DataFrameSchema(checks=pa.Check(kept, name="kept"), name=contract.name)


# How rows are made of what stands in a row of another table; `frames/parts.py` has one maker for each.
Made: TypeAlias = Literal["items", "json", "owners", "kickoff_answers", "task_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that stand inside the rows of another table (``of``), under ``keys`` of theirs, and come with them."""

    of: str
    keys: tuple[str, ...]
    made: Made = "items"
    includes: tuple[str, ...] = ()  # words of ``with`` that make them come
    params: Mapping[str, Value] = field(default_factory=dict)  # what must be asked for besides
    stated: Mapping[str, str] = field(default_factory=dict)  # by key: the column of that table which says how many there are


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: where the API lists it, what its rows are, and how it may be filtered."""

    name: str
    path: str  # below organizations/{org}/; {} stands for a key of ``each``
    model: type[Rows]
    filters: type[Filters]
    key: tuple[str, ...] = ("id",)
    part: Part | None = None  # None: the rows of the list itself
    each: str | None = None  # a table; there is one list for each of its rows
    order: str | None = None  # the column by which the API can list oldest first, and with a minus newest first
    sort_words: Mapping[str, str] = field(default_factory=dict)  # what the API calls an order, if not so
    rank: tuple[str, ...] = ()  # the columns that order its rows, where those are parts: the key, if none are named
    partition: str | None = None  # the column that snapshots are partitioned by
    glance: tuple[str, ...] = ()  # the columns that a terminal has room for

    @property
    def about(self) -> str:
        """One line on what a row is."""
        return (self.model.__doc__ or "").strip().splitlines()[0]

    @property
    def order_by(self) -> tuple[str, ...]:
        """The columns that order its rows: creation, where the API tells of it, then the key; parts stand as in their rows."""
        ranks = self.rank or self.key
        return (self.order, *ranks) if self.order is not None and self.part is None else ranks

    @cached_property
    def contract(self) -> pa.DataFrameSchema:
        """The pandera schema: exactly the table's columns and the trailer's, in order."""
        own, trailer = self.model.to_schema(), Trailer.to_schema()
        return pa.DataFrameSchema({**own.columns, **trailer.columns}, name=self.name, strict=True, ordered=True)

    @cached_property
    def quick_contract(self) -> pa.DataFrameSchema:
        """The contract as one question about a whole frame, which passes no frame that ``contract`` would not."""
        return quick(self.contract)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every column with what the table says of it."""
        found = []
        for name, spec in self.contract.columns.items():
            facts = dict(spec.metadata or {})
            dtype: pl.DataType = spec.dtype.type
            is_user = facts["reads"] in {"user_id", "user_ids"}
            found.append(
                Column(
                    name=name,
                    dtype=dtype,
                    sources=facts["sources"],
                    reads=facts["reads"] or READS_BY_DTYPE[dtype.base_type()],
                    kind=facts["kind"],
                    unit=facts["unit"],
                    about=spec.description or "",
                    nullable=spec.nullable,
                    unique=spec.unique,
                    ge=facts["ge"],
                    le=facts["le"],
                    words=facts["words"],
                    personal=facts["personal"],
                    refers=facts["refers"] or (USERS if is_user and (self.name, name) != ("users", "id") else None),
                )
            )
        return tuple(found)

    @cached_property
    def schema(self) -> pl.Schema:
        """Names and types, in order, whatever the data."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def must_find(self, column: Column, target: Table) -> bool:
        """Whether ``target`` has what ``column`` refers to, unless we lost it: both are of the same, or one of the other."""
        made_alike = self.part is not None and target.part is not None and self.part.keys == target.part.keys
        return column.reads == "parent" or (made_alike and not column.nullable)

    def names(self, kind: ColumnClass) -> list[str]:
        """The columns of one class."""
        return [column.name for column in self.columns if column.kind == kind]

    def personal(self, name: str) -> bool:
        """Whether a column holds personal data."""
        return any(column.personal for column in self.columns if column.name == name)
