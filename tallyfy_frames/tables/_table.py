"""The few words a table file is written in: ``column``, ``parameter``, ``Rows``, ``Filters``, ``Table``.

A table file states each column once: name, type, nullability, range, unit, description, class, and the path of its value in
the API's JSON. The wire reader, the pandera schema, Parquet metadata, ``schemas/*.json`` and the CLI follow from it.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

import pandera.polars as pa
import polars as pl

from tallyfy_frames.errors import FilterError

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
Value: TypeAlias = str | int | bool | Sequence[str | int]

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

    ``words`` are the values seen so far; they are told, not enforced, because the API adds words. ``inner`` is the type
    of a list's items. ``personal``: it may say who somebody is, or what they wrote; user ids alone do not. ``refers``: the
    ``table.column`` in which its values are to be found.
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


def parameter(about: str, *, experimental: bool = False, switch: bool = False, personal: bool = False) -> Any:
    """A filter's field: the API's parameter of the same name.

    ``experimental``: only official clients know it. ``switch``: True or not set; no source says what False would do.
    ``personal``: its value may name somebody.
    """
    facts = {"about": about, "experimental": experimental, "switch": switch, "personal": personal}
    return field(default=None, metadata=facts)


@dataclass(frozen=True, slots=True)
class Listing:
    """One list to read: query parameters by name, and what in its rows would show that the API ignored them."""

    params: Mapping[str, Value]
    contradictions: Mapping[str, pl.Expr] = field(default_factory=dict)  # by parameter; true where a row contradicts it
    each: str | None = None  # of a table that is listed once for each row of another: that row's key

    def including(self, params: Mapping[str, Value], includes: Iterable[str]) -> Listing:
        """The same list with more in its rows."""
        known = str(self.params.get("with", "")).split(",")
        wanted = ",".join(dict.fromkeys(name for name in (*known, *includes) if name))
        return replace(self, params={**self.params, **params, **({"with": wanted} if wanted else {})})


def with_archived(shown: Listing, archived: str | None) -> tuple[Listing, ...]:
    """``shown``, the same of archived rows (``"only"``), or both (``"include"``): the API hides those in every other list."""
    hidden = Listing(
        {**shown.params, "archived": "only"}, {**shown.contradictions, "archived": pl.col("archived_at").is_null()}
    )
    return {None: (shown,), "only": (hidden,), "include": (shown, hidden)}[archived]


def one_of(name: str, value: str | None, words: Sequence[str]) -> None:
    """``FilterError`` for a word that this filter does not have; where that is not known, it is the API's to say."""
    if value is not None and value not in words:
        raise FilterError(f"{name}={value!r} is no value of this filter", hint=f"use {' or '.join(map(repr, words))}")


def user_ids(name: str, values: Iterable[object]) -> None:
    """``FilterError`` for what is no user id: the API would find nothing, or ignore it."""
    for value in values:
        if not (str(value).isascii() and str(value).isdecimal()):
            raise FilterError(f"{name} must be user ids, not {value!r}", hint="the table users has them: column id")


# Ours to set, never a caller's filter, and where to set it instead.
RESERVED: Final = {
    "page": "pages are walked for you; limit= takes the first rows",
    "per_page": "set settings.page_size",
    "with": "name the tables you want with include=",
    "without_pagination": "set settings.page_size; the API ignores this on some routes",
}
# What stands beside the filters in a call, and so is looked for among them.
ARGUMENTS: Final = frozenset({"limit", "settings", "on_invalid", "progress", "report", "allow_incomplete", "privacy", "reveal"})


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Base of a table's filters: fields are the API's own parameters; None means not set."""

    aliases: ClassVar[Mapping[str, str]] = {}  # other names the API takes for the same thing
    sorts: ClassVar[tuple[str, ...]] = ()
    snapshot_defaults: ClassVar[Mapping[str, Any]] = {}  # what a snapshot sets where the caller does not
    disjoint: ClassVar[bool] = False  # a row never moves from one of its listings to another

    @classmethod
    def parse(cls, given: Filters | Mapping[str, Any] | None) -> Self:
        """Filters from a mapping with the same keys; ``FilterError`` names the near ones, since the API ignores typos."""
        if given is None:
            return cls()
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            message = f"filters are a mapping or {cls.__name__}, not {type(given).__name__}"
            raise FilterError(message)
        known = [spec.name for spec in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise FilterError(f"no filter {name!r}", hint=cls._advice(name, known))
        return cls(**given)

    @classmethod
    def _advice(cls, name: str, known: Collection[str]) -> str:
        if name in RESERVED:
            return RESERVED[name]
        if name in ARGUMENTS:
            return f"{name}= is an argument of load, beside the filters"
        if name in cls.aliases:
            return f"the API takes it for {cls.aliases[name]}: use that"
        if str(name).endswith("_since"):
            return "the API ignores it; created_since= is an argument of load, and a frame can be filtered on last_updated"
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        return f"did you mean {' or '.join(near)}?" if near else f"the filters are {', '.join(known)}"

    def __post_init__(self) -> None:
        """Refuse values that the API would ignore: it would then return everything."""
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if value is None:
                continue
            if value is False and spec.metadata["switch"]:
                raise FilterError(f"{spec.name}=False: no source says what the API does with it", hint="leave it out")
            checked = _checked(spec.name, value, flag="bool" in str(spec.type), many="Sequence" in str(spec.type))
            object.__setattr__(self, spec.name, checked)
        sort = getattr(self, "sort", None)
        if sort is not None and sort not in self.sorts:
            raise FilterError(f"cannot sort by {sort!r}", hint=f"the API honours {', '.join(self.sorts)}")

    def given(self) -> dict[str, Any]:
        """What is set, by name."""
        values = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def listings(self) -> tuple[Listing, ...]:
        """The lists whose union, by key, is what these filters ask for."""
        return (Listing({name: value for name, value in self.given().items() if name != "sort"}),)

    def parents(self) -> Sequence[str] | Mapping[str, Any]:
        """Of a table with ``each``: the keys of the rows that are listed, or the filters that choose those."""
        return {}


def _checked(name: str, value: object, *, flag: bool, many: bool) -> Value:
    if flag:
        if isinstance(value, bool):
            return value
        raise FilterError(f"{name} must be True or False, not {value!r}")
    if many:
        parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
        if not isinstance(parts, Collection) or isinstance(parts, bytes | Mapping):
            raise FilterError(f"{name} must be a list or a comma-separated text, not {type(value).__name__}")
        items = tuple(dict.fromkeys(_item(name, part) for part in parts))
        if not items:
            raise FilterError(f"{name} is empty", hint="the API would ignore it and return everything; leave it out")
        return items
    return _item(name, value, inside_list=False)


def _item(name: str, value: object, *, inside_list: bool = True) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FilterError(f"{name} must be text, not {type(value).__name__}")
    text = str(value).strip() if name != "q" else str(value)
    if not text.strip():
        raise FilterError(f"{name} is empty", hint="the API would ignore it and return everything; leave it out")
    if name != "q" and "," in text:
        hint = "a comma separates items" if inside_list else "this parameter takes one value"
        raise FilterError(f"{name} holds a comma", hint=hint)
    return text


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

    def names(self, kind: ColumnClass) -> list[str]:
        """The columns of one class."""
        return [column.name for column in self.columns if column.kind == kind]

    def personal(self, name: str) -> bool:
        """Whether a column holds personal data."""
        return any(column.personal for column in self.columns if column.name == name)
