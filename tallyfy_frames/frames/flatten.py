"""Cells → a flat frame with exactly a table's columns, in order; parses instants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any, Final, TypeAlias

import polars as pl
import pyarrow as pa

from tallyfy_frames.frames.cells import Cells
from tallyfy_frames.tables._table import Column

# Date, then optionally time, fraction and zone. Anything else is no instant, however a lenient parser might read it.
INSTANT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
PLAIN: Final = len("2031-04-05T06:07:08.000Z")
FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
LAST: Final = datetime.max.replace(tzinfo=UTC)


# For each page in turn: what it states of its rows, by column, and how many rows of it there are.
Runs: TypeAlias = Sequence[tuple[Mapping[str, Any], int]]


def flatten(cells: Cells, columns: Sequence[Column], provenance: Runs) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """The frame, and (row, column) of every text that is no instant; those cells are null."""
    given = cells.columns
    parsed, unreadable = _instants({column.name: given[column.name] for column in columns if column.reads == "instant"})
    stated = _stated([column for column in columns if column.reads == "stated"], provenance)
    series: list[pl.Series] = []
    for column in columns:
        if column.reads == "instant":
            series.append(parsed[column.name])
            continue
        if column.reads == "stated":
            series.append(stated[column.name])
        elif isinstance(column.dtype, pl.List):  # polars builds a series for each list; arrow does not
            series.append(pl.Series(column.name, pa.array(given[column.name], _arrow_type(column.dtype))))
        else:
            series.append(pl.Series(column.name, given[column.name], dtype=column.dtype, strict=True))
    return pl.DataFrame(series), unreadable


def _stated(columns: Sequence[Column], provenance: Runs) -> pl.DataFrame:
    """What pages state, for each of their rows: converted once for each page."""
    pages = pl.DataFrame(
        [pl.Series(column.name, [page.get(column.name) for page, _ in provenance], column.dtype) for column in columns]
    )
    places = chain.from_iterable(repeat(place, rows) for place, (_, rows) in enumerate(provenance))
    return pages[pl.Series([*places], dtype=pl.UInt32)]


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    return pl.Series(dtype=dtype).to_arrow().type


def _instants(columns: Mapping[str, Sequence[str | None]]) -> tuple[dict[str, pl.Series], list[tuple[int, str]]]:
    """Each column parsed, all of them strung together, and (row, column) of what is no instant."""
    texts = pl.Series("texts", [*chain.from_iterable(columns.values())], dtype=pl.String, strict=True)
    height = len(texts) // max(len(columns), 1)
    parsed = instants(texts)
    series = {name: parsed.slice(place * height, height).alias(name) for place, name in enumerate(columns)}
    if parsed.null_count() == texts.null_count():
        return series, []
    names = [*columns]
    places = (parsed.is_null() & texts.is_not_null()).arg_true()
    return series, [(place % height, names[place // height]) for place in places]


def instants(texts: pl.Series) -> pl.Series:
    """Instants in UTC, to the microsecond. Without a zone they are UTC; a date alone is its first moment."""
    text = pl.col(texts.name)
    plain = text.str.len_bytes().eq(PLAIN).all() & text.str.ends_with("Z").all()
    parsed = _from_iso(texts) if texts.to_frame().select(plain).item() else None  # of this length arrow knows only our form
    if parsed is None:
        parsed = _from_any(texts)
    known = parsed.is_between(FIRST, LAST)  # a zone can push an instant out of the calendar, and arrow knows a year 0
    return parsed if known.all() else parsed.set(~known, None)


def _from_any(texts: pl.Series) -> pl.Series:
    """Texts of every form parsed, each given the zone that it lacks; null for what is of no form."""
    text = pl.col(texts.name).str.strip_chars()
    zoned = text.str.ends_with("Z") | text.str.slice(len("2031-04-05")).str.contains("[+-]")
    zone = pl.when(text.str.len_bytes() == len("2031-04-05")).then(pl.lit("T00:00:00Z"))
    iso = text + zone.when(zoned).then(pl.lit("")).otherwise(pl.lit("Z"))
    ours = texts.to_frame().select(pl.when(text.str.contains(INSTANT)).then(iso)).to_series()
    parsed = _from_iso(ours)
    if parsed is not None:
        return parsed
    told = ours.str.replace(" ", "T", literal=True)  # a day or a zone that there is not, or digits beyond microseconds
    return told.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def _from_iso(texts: pl.Series) -> pl.Series | None:
    """All of them parsed by arrow, several times as fast as polars; None if it cannot parse one."""
    try:
        return pl.Series(texts.name, texts.to_arrow().cast(pa.timestamp("us", "UTC")))
    except pa.ArrowInvalid:
        return None
