"""Cells → a flat frame with exactly a table's columns, in order; parses instants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from tallyfy_frames.tables._table import Column

# Date, then optionally time, fraction and zone. Anything else is no instant, however a lenient parser might read it.
INSTANT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
ZONED: Final = r"(Z|:\d{2}(\.\d+)?[+-]\d{2}:?\d{2})$"


def flatten(
    cells: Mapping[str, Sequence[Any]], columns: Sequence[Column], provenance: Mapping[str, Sequence[Any]]
) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """The frame, and (row, column) of every text that is no instant; those cells are null.

    ``cells`` and ``provenance`` hold one value per row, by column name.
    """
    series: list[pl.Series] = []
    unreadable: list[tuple[int, str]] = []
    for column in columns:
        if column.reads == "stated":
            series.append(pl.Series(column.name, provenance[column.name], dtype=column.dtype, strict=True))
            continue
        values = cells[column.name]
        if column.reads != "instant":
            series.append(pl.Series(column.name, values, dtype=column.dtype, strict=True))
            continue
        texts = pl.Series(column.name, values, dtype=pl.String, strict=True)
        parsed = instants(texts)
        if parsed.null_count() > texts.null_count():
            unreadable += [(row, column.name) for row in (parsed.is_null() & texts.is_not_null()).arg_true()]
        series.append(parsed)
    return pl.DataFrame(series), unreadable


def instants(texts: pl.Series) -> pl.Series:
    """Instants in UTC, to the microsecond. Without a zone they are UTC; a date alone is its first moment."""
    text = pl.col(texts.name).str.strip_chars()
    zoned = text.str.replace(" ", "T", literal=True)
    zoned = pl.when(text.str.len_bytes() == len("2031-04-05")).then(zoned + "T00:00:00Z").otherwise(zoned)
    zoned = pl.when(zoned.str.contains(ZONED)).then(zoned).otherwise(zoned + "Z")
    parsed = zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    ours = text.str.contains(INSTANT) & parsed.dt.year().is_between(1, 9999)  # a zone can push an instant out of the calendar
    return texts.to_frame().select(pl.when(ours).then(parsed).alias(texts.name)).to_series()
