"""CSV, NDJSON and Parquet on a stream."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import polars as pl
import pyarrow.parquet as pq
import pytest

from tallyfy_frames import tables
from tallyfy_frames.sinks.formats import Format
from tallyfy_frames.sinks.stream import render

FRAME = pl.DataFrame(
    {
        "name": ["=1+1", "+49", "-5", "@home", "\tx", "\rx", "plain", 'quote " , \n', "'=1", None, "", " =1"],
        "n": [-1, *range(11)],
        "at": [datetime(2031, 4, 5, 6, 7, 8, 250000, tzinfo=UTC)] * 12,
        "ids": [[1, 2], [], None, *[[3]] * 9],
        "words": [["a,b", 'q"'], [], None, *[["=x"]] * 9],
    },
    schema_overrides={"at": pl.Datetime("us", "UTC"), "ids": pl.List(pl.Int64)},
)


def rows(*, raw: bool = False) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(FRAME, Format.csv, raw_csv=raw).decode(), newline="")))


def test_cells_that_a_spreadsheet_would_run_are_prefixed() -> None:
    assert [row["name"] for row in rows()][:6] == ["'=1+1", "'+49", "'-5", "'@home", "'\tx", "'\rx"]
    assert [row["name"] for row in rows()][6:9] == ["plain", 'quote " , \n', "'=1"]
    assert rows()[0]["n"] == "-1", "numbers are no formulas"


def test_raw_csv_leaves_cells_alone() -> None:
    assert [row["name"] for row in rows(raw=True)][:4] == ["=1+1", "+49", "-5", "@home"]


def test_lists_are_json_and_instants_iso_8601() -> None:
    first = rows()[0]
    assert json.loads(first["ids"]) == [1, 2]
    assert json.loads(first["words"]) == ["a,b", 'q"']
    assert first["at"] == "2031-04-05T06:07:08.250000Z"
    assert rows()[1]["ids"] == "[]"
    assert rows()[2]["ids"] == ""


def test_ndjson_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in render(FRAME, Format.ndjson).decode().splitlines()]
    assert lines[0] == {"name": "=1+1", "n": -1, "at": "2031-04-05T06:07:08.250000Z", "ids": [1, 2], "words": ["a,b", 'q"']}
    assert len(lines) == 12


def test_parquet_comes_back_as_it_was() -> None:
    assert pl.read_parquet(io.BytesIO(render(FRAME, Format.parquet))).equals(FRAME)


def test_parquet_of_a_table_says_what_its_columns_are() -> None:
    users = tables.get("users")
    data = render(users.schema.to_frame(), Format.parquet, table=users)
    assert b"description" in pq.read_schema(io.BytesIO(data)).field("email").metadata


@pytest.mark.parametrize("form", Format)
def test_no_rows_are_still_a_table(form: Format) -> None:
    data = render(FRAME.head(0), form)
    if form is Format.csv:
        assert data.decode().strip() == "name,n,at,ids,words"
