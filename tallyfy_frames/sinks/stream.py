"""A frame as CSV, NDJSON or Parquet bytes, for standard output and single files."""

from __future__ import annotations

import io
import json
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from tallyfy_frames.sinks.formats import Format
from tallyfy_frames.sinks.parquet import arrow_schema
from tallyfy_frames.tables._table import Table

# A spreadsheet runs a cell that begins with one of these (OWASP, "CSV injection"); tab and return count, too.
FORMULA_STARTS: Final = r"^[=+\-@\t\r]"


def render(frame: pl.DataFrame, form: Format, *, table: Table | None = None, raw_csv: bool = False) -> bytes:
    """``frame`` in one piece. In CSV lists are JSON text, instants are ISO 8601 in UTC, and null is an empty cell.

    Cells that a spreadsheet would run are prefixed with ``'`` unless ``raw_csv``. Parquet carries what ``table`` says of its
    columns.
    """
    buffer = io.BytesIO()
    match form:
        case Format.parquet if table is not None:
            schema = arrow_schema(table, frame.columns)
            pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema), buffer, compression="zstd")
        case Format.parquet:
            frame.write_parquet(buffer)
        case Format.csv:
            csv_ready(frame, raw=raw_csv).write_csv(buffer)
        case Format.ndjson:
            ndjson_ready(frame).write_ndjson(buffer)
    return buffer.getvalue()


def csv_ready(frame: pl.DataFrame, *, raw: bool) -> pl.DataFrame:
    """Every column as a type that CSV can hold."""
    changes = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.List):
            changes.append(column.map_elements(_json_list, return_dtype=pl.String).alias(name))
        elif isinstance(dtype, pl.Datetime):
            changes.append(_iso(column).alias(name))
        elif dtype == pl.String and not raw:
            risky = column.str.contains(FORMULA_STARTS)
            changes.append(pl.when(risky).then("'" + column).otherwise(column).alias(name))
    return frame.with_columns(changes)


def ndjson_ready(frame: pl.DataFrame) -> pl.DataFrame:
    """Instants as ISO 8601 text with their zone, as the contract says."""
    return frame.with_columns(_iso(pl.col(name)).alias(name) for name, dtype in frame.schema.items() if dtype == pl.Datetime)


def _iso(column: pl.Expr) -> pl.Expr:
    return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")


def _json_list(items: pl.Series) -> str:
    return json.dumps(items.to_list(), ensure_ascii=False, separators=(",", ":"))
