"""A snapshot read back by others: the same rows, types and instants, whoever reads."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sandbox import Sandbox, World

NAMES = (
    "runs",
    "run_tasks",
    "task_owners",
    "run_tags",
    "run_form_values",
    "run_kickoff_values",
    "users",
    "guests",
    "templates",
    "tags",
    "activity",
)
ODD_WORDS = ("", "a/b", "..", "100%", "🚀", "a=b", "null", "line\nbreak")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("readers") / "lake"
    with Sandbox(World(3, 120, ODD_WORDS)) as sandbox:
        tf.write_snapshot(root, tables=NAMES, settings=settings_for(sandbox), progress=False)
    return root


def by_polars(folder: Path) -> pa.Table:
    return pl.read_parquet(folder, hive_partitioning=True, try_parse_hive_dates=False).to_arrow()


def by_pyarrow(folder: Path) -> pa.Table:
    partitioning = (
        ds.partitioning(pa.schema([("status", pa.string())]), flavor="hive") if list(folder.glob("status=*")) else None
    )
    return ds.dataset(folder, format="parquet", partitioning=partitioning).to_table()


def by_pandas(folder: Path) -> pa.Table:
    table = pa.Table.from_pandas(pd.read_parquet(folder, dtype_backend="pyarrow"), preserve_index=False)
    plain = [one.with_type(pa.string()) if pa.types.is_dictionary(one.type) else one for one in table.schema]
    return table.cast(pa.schema(plain))  # pandas makes categories of what stands in folders' names


def by_duckdb(folder: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        files = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
        return connection.sql(f"select * from {files}").to_arrow_table()


READERS = {"polars": by_polars, "pyarrow": by_pyarrow, "pandas": by_pandas, "DuckDB": by_duckdb}


@pytest.mark.parametrize("table", NAMES)
@pytest.mark.parametrize("reader", READERS)
def test_rows_types_and_instants_are_the_same(root: Path, reader: str, table: str) -> None:
    spec = tables.get(table)
    wanted = tf.read_snapshot(root, table).collect().sort(spec.order_by)
    read = READERS[reader](root / "current" / table)
    for one in read.schema:
        if isinstance(spec.schema[one.name], pl.Datetime):
            assert pa.types.is_timestamp(one.type)
            assert str(one.type.tz) in {"UTC", "Etc/UTC"}, "instants know their zone"
    got = pl.DataFrame(pl.from_arrow(read)).select(spec.schema.names())
    assert got.schema == spec.schema
    assert wanted.height > 0
    assert got.sort(spec.order_by).equals(wanted)


@pytest.mark.parametrize("table", ["runs", "run_tasks"])
@pytest.mark.parametrize("reader", READERS)
def test_a_table_without_rows_has_its_columns(tmp_path: Path, reader: str, table: str) -> None:
    with Sandbox(World(3, 0)) as sandbox:
        tf.write_snapshot(tmp_path, tables=("runs", "run_tasks"), settings=settings_for(sandbox), progress=False)
    read = READERS[reader](tmp_path / "current" / table)
    assert read.num_rows == 0
    assert set(read.column_names) == set(tables.get(table).schema)
