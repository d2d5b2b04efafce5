"""Partitioned Parquet: every word comes back, columns say what they are, memory stays bounded."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sinks import parquet
from tallyfy_frames.sinks.parquet import NULL_FOLDER, ParquetSink, folder_name

RUNS = tables.get("runs")
WORDS = ["active", "", None, "a/b", "..", ".", "../../etc", "100%", "%2F", "🚀", "a=b", "a b", "null", "x:y", "a\\b", "line\nbreak", "Active", "*?"]  # fmt: skip


def frame(words: list[str | None], **columns: list[object]) -> pl.DataFrame:
    height = len(words)
    given: dict[str, list[object]] = {
        "id": [str(n) for n in range(height)], "status": list(words), "organization_id": ["0f"] * height,
        "loaded_at": [datetime(2031, 1, 1, tzinfo=UTC)] * height, **columns,
    }  # fmt: skip
    return pl.DataFrame({name: given.get(name, [None] * height) for name in RUNS.schema}, schema=RUNS.schema)


def write(folder: Path, *frames: pl.DataFrame) -> list[parquet.Written]:
    with ParquetSink(folder, RUNS, "f") as sink:
        for one in frames:
            sink.write(one)
        return sink.finish()


def back(folder: Path) -> pl.DataFrame:
    """Read as a stranger would: by a glob, with Hive's names."""
    scanned = pl.scan_parquet(folder / "**/*.parquet", hive_partitioning=True, hive_schema={"status": pl.String})
    return scanned.select(RUNS.schema.names()).collect().sort("id")


def test_every_status_word_comes_back_and_none_leaves_the_root(tmp_path: Path) -> None:
    table = frame(WORDS).sort("id")
    files = write(tmp_path / "in" / "runs", table)
    assert back(tmp_path / "in" / "runs").equals(table)
    inside = set(tmp_path.rglob("*.parquet"))
    assert inside == {tmp_path / "in" / "runs" / file.path for file in files}
    assert all(len(Path(file.path).parts) == 2 for file in files)


@given(st.none() | st.text(max_size=300))
def test_any_word_is_one_folder_name(word: str | None) -> None:
    name = folder_name("status", word)
    assert "/" not in name
    assert name.isascii()
    assert len(name) <= 255
    assert name.startswith("status=")


def test_words_that_readers_would_confuse_have_folders_of_their_own(tmp_path: Path) -> None:
    words = ["active", "Active", "ACTIVE", NULL_FOLDER, None]
    files = write(tmp_path, frame(words))
    folders = [Path(file.path).parent.name.casefold() for file in files]
    assert len(set(folders)) == len(words), "macOS does not tell case apart"
    assert {file.value for file in files} == set(words)
    others = back(tmp_path).filter(pl.col("status").is_in(["active", "Active", "ACTIVE"]))
    assert sorted(others["status"]) == ["ACTIVE", "Active", "active"]


def test_a_word_too_long_for_a_folder_is_whole_in_what_was_written(tmp_path: Path) -> None:
    words = ["\U0001f680" * 60, "\U0001f680" * 61]
    assert {file.value for file in write(tmp_path, frame(words))} == set(words)


def test_columns_carry_what_the_table_says_of_them(tmp_path: Path) -> None:
    (file,) = write(tmp_path, frame(["active"]))
    schema = pq.read_schema(tmp_path / file.path)
    assert schema.field("progress_percent").metadata == {
        b"description": b"Share of visible tasks done", b"class": b"data", b"unit": b"percent", b"source": b"progress.percent",
    }  # fmt: skip
    assert str(schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("collaborators").type).startswith("list<")
    assert not schema.field("id").nullable
    assert "status" not in schema.names


def test_far_dates_lists_and_nulls_come_back(tmp_path: Path) -> None:
    table = frame(
        ["a", "a", "b"],
        due_date=[datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), None],
        collaborators=[[1, 2**62], [], None],
        groups=[["x"], [], None],
        increment_id=[2**62, -(2**63) + 2**63, None],
        name=["", "NaN", None],
    )
    write(tmp_path, table)
    assert back(tmp_path).equals(table)


def test_frames_become_few_row_groups_not_one_each(tmp_path: Path) -> None:
    (file,) = write(tmp_path, *(frame(["active"]).with_columns(id=pl.lit(str(n))) for n in range(50)))
    assert file.rows == 50
    assert pq.read_metadata(tmp_path / file.path).num_row_groups == 1


def test_what_waits_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BUFFERED_ROWS_MAX", 30)
    with ParquetSink(tmp_path, RUNS, "f") as sink:
        for n in range(40):
            sink.write(frame(["active", "complete"]).with_columns(id=pl.col("id") + f"-{n}"))
            assert sum(part.waiting for part in sink.partitions.values()) <= 30
        files = sink.finish()
    assert sum(file.rows for file in files) == 80
    assert back(tmp_path)["id"].n_unique() == 80


def test_no_rows_are_one_file_without_rows_that_has_the_schema(tmp_path: Path) -> None:
    (file,) = write(tmp_path, frame([]))
    assert (file.rows, file.value) == (0, "active"), (
        "a word: pandas cannot tell the type of a column of which only null is known"
    )
    assert back(tmp_path).equals(frame([]))


def shuffled(count: int) -> pl.DataFrame:
    """Rows of two partitions, created at instants in no order, some at none, some at the same."""
    random = Random(5)
    created = [
        None if n % 50 == 0 else datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=random.randrange(count))
        for n in range(count)
    ]
    return frame([random.choice(["active", "complete"]) for _ in range(count)], created_at=created)


@pytest.mark.parametrize("buffered", [40, 400, 5_000])
def test_rows_lie_in_the_tables_order_within_a_partition_though_they_came_in_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffered: int
) -> None:
    monkeypatch.setattr(parquet, "BUFFERED_ROWS_MAX", buffered)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 64)
    monkeypatch.setattr(parquet, "FILE_ROWS_MAX", 300)
    rows = shuffled(2_000)
    files = write(tmp_path, *rows.iter_slices(37))
    assert {place.suffix for place in tmp_path.rglob("*") if place.is_file()} == {".parquet"}, "no heap is left"
    for status in ("active", "complete"):
        own = [file for file in files if file.value == status]
        if buffered < rows.height:  # else it is one file, of the rows that waited
            assert len(own) > 3
            assert all(file.rows <= 320 for file in own), "five row groups"
        got = pl.concat(pl.read_parquet(tmp_path / file.path, hive_partitioning=False) for file in own)
        assert got.equals(rows.filter(status=status).drop("status").sort("created_at", "id", nulls_last=True))
        metadata = pq.read_metadata(tmp_path / own[0].path)
        order = [metadata.schema.column(one.column_index).name for one in metadata.row_group(0).sorting_columns]
        assert order == ["created_at", "id"]


def test_statistics_let_readers_skip_what_they_do_not_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BUFFERED_ROWS_MAX", 100)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 50)
    (file,) = write(tmp_path, *shuffled(1_000).with_columns(status=pl.lit("active")).iter_slices(37))
    metadata = pq.read_metadata(tmp_path / file.path)
    column = pq.read_schema(tmp_path / file.path).get_field_index("created_at")
    day = [datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)]
    known = [metadata.row_group(n).column(column).statistics for n in range(metadata.num_row_groups)]
    hit = [one for one in known if one.has_min_max and one.min < day[1] and one.max >= day[0]]
    assert metadata.num_row_groups >= 16
    assert 1 <= len(hit) <= 3


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells which files are open")
def test_whoever_holds_an_error_holds_no_file_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is removed but open keeps its room, and an error holds the frames that it came through."""
    monkeypatch.setattr(parquet, "BUFFERED_ROWS_MAX", 100)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 50)
    written, write_table = [], pq.ParquetWriter.write_table

    def full(*given: Any, **named: Any) -> None:
        written.append(given)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        write_table(*given, **named)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(tf.SinkError, match="No space left") as held:
        write(tmp_path, *shuffled(1_000).iter_slices(37))
    assert not [place for place in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(place)]
    assert held.value.where["path"]


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(tf.SinkError, match=r"No space left on device.*free some space"):
        write(tmp_path, frame(["active"]))
