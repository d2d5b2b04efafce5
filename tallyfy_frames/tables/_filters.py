"""The words that a table's filters are written in: ``Filters``, ``parameter``, ``Listing``, and what they refuse.

The API ignores what it does not know, and then returns everything: so all that can be known to be wrong is refused here.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, ClassVar, Final, Self, TypeAlias

import polars as pl

from tallyfy_frames.errors import FilterError

Value: TypeAlias = str | int | bool | Sequence[str | int]


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


DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"


def days(filters: Filters, names: Iterable[str]) -> None:
    """``FilterError`` for what is no day of the calendar, written as the API reads it."""
    for name in names:
        given = getattr(filters, name)
        if given is not None and not (re.fullmatch(DAY, given) and _is_day(given)):
            raise FilterError(f"{name} must be a day, not {given!r}", hint="write YYYY-MM-DD")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


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
