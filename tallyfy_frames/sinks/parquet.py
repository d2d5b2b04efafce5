"""Frames → Parquet files, partitioned by one column, in bounded memory.

Folders are named as Hive names them (``status=active``), so polars, DuckDB, pyarrow and Spark read the column back from the
path. Every column carries its description, unit, class and source as Parquet field metadata.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tallyfy_frames.atomic import refusals
from tallyfy_frames.tables._table import Table

NULL_FOLDER: Final = "__HIVE_DEFAULT_PARTITION__"  # Hive's name for null; every reader knows it
NAME_BYTES_MAX: Final = 255  # of one path segment, on the file systems in use
BUFFERED_ROWS_MAX: Final = 60_000  # over all partitions: bounds memory
ROW_GROUP_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A finished file: its place below the sink's folder, and what is in it."""

    path: str
    value: str | None  # of the partition column, for all its rows; None where the table has none, and for null
    rows: int
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class _Partition:
    """Rows of one value that wait to be written, and the file they go to."""

    place: Path
    value: str | None
    frames: list[pl.DataFrame] = field(default_factory=list)
    waiting: int = 0
    rows: int = 0
    writer: pq.ParquetWriter | None = None


class ParquetSink:
    """Writes a table's frames below ``folder``, one file a partition. A context manager; ``finish`` names the files."""

    def __init__(self, folder: Path, table: Table, file_stem: str) -> None:
        """``file_stem`` begins every file's name."""
        self.folder = folder
        self.table = table
        self.file_stem = file_stem
        columns = [name for name in table.schema.names() if name != table.partition]
        self.columns = columns
        self.schema = arrow_schema(table, columns)
        self.partitions: dict[str | None, _Partition] = {}

    def __enter__(self) -> Self:
        """The sink itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close what is open; after an error the files are worth nothing."""
        for partition in self.partitions.values():
            if partition.writer is not None:
                with contextlib.suppress(OSError):  # a full disk has been reported already
                    partition.writer.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Take a frame with exactly the table's columns."""
        for value, part in self._split(frame):
            partition = self.partitions.get(value)
            if partition is None:
                partition = self.partitions[value] = _Partition(self._place(value), value)
            partition.frames.append(part)
            partition.waiting += part.height
        while sum(partition.waiting for partition in self.partitions.values()) > BUFFERED_ROWS_MAX:
            self._flush(max(self.partitions.values(), key=lambda partition: partition.waiting))

    def finish(self) -> list[Written]:
        """Write what waits, close and sync every file, and say what they hold."""
        for partition in self.partitions.values():
            self._flush(partition)
        found = []
        for partition in self.partitions.values():
            with refusals(partition.place):
                if partition.writer is not None:
                    partition.writer.close()
                    partition.writer = None
                found.append(_written(partition.place, self.folder, partition.rows, partition.value))
        return found

    def _split(self, frame: pl.DataFrame) -> Iterator[tuple[str | None, pl.DataFrame]]:
        name = self.table.partition
        if name is None:
            yield None, frame
            return
        for part in frame.partition_by(name, maintain_order=True):
            yield part[name][0], part.drop(name)

    def _place(self, value: str | None) -> Path:
        """The file of one partition; its folder is made."""
        number = len(self.partitions)
        name = f"{self.file_stem}-{number}.parquet"
        folder = self.folder
        if self.table.partition is not None:
            folder = folder / folder_name(self.table.partition, value, {place.parent.name for place in self._places()})
        with refusals(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def _places(self) -> Iterator[Path]:
        return (partition.place for partition in self.partitions.values())

    def _flush(self, partition: _Partition) -> None:
        """One row group or more."""
        if not partition.frames:
            return
        rows = pl.concat(partition.frames).select(self.columns)
        with refusals(partition.place):
            if partition.writer is None:
                partition.writer = pq.ParquetWriter(partition.place, self.schema, compression="zstd")
            arrow = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self.schema)
            partition.writer.write_table(arrow, row_group_size=ROW_GROUP_ROWS)
        partition.rows += rows.height
        partition.frames, partition.waiting = [], 0


def folder_name(column: str, value: str | None, taken: Collection[str] = ()) -> str:
    """The folder of one value, as Hive names it: ``column=value``, percent-encoded so that no word leaves its folder.

    Readers decode it. A word that would collide with one in ``taken`` where case does not count (macOS), or with Hive's word
    for null, is encoded whole. One too long for a folder's name is cut and ends in a digest: only the manifest has it whole.
    """
    if value is None:
        return f"{column}={NULL_FOLDER}"
    name = f"{column}={quote(value, safe='')}"
    if value == NULL_FOLDER or name.casefold() in {other.casefold() for other in taken}:
        name = f"{column}=" + "".join(f"%{byte:02X}" for byte in value.encode())
    if len(name) > NAME_BYTES_MAX:
        digest = hashlib.sha256(value.encode()).hexdigest()[:16]
        name = f"{name[: NAME_BYTES_MAX - 20].rpartition('%')[0]}~{digest}"
    return name


def arrow_schema(table: Table, names: Sequence[str]) -> pa.Schema:
    """The Arrow schema of some of a table's columns, each with what the table says of it."""
    fields = []
    for column in table.columns:
        if column.name in names:
            facts = {"description": column.about, "class": column.kind, "unit": column.unit, "source": ",".join(column.sources)}
            metadata = {name: text for name, text in facts.items() if text}
            fields.append(pa.field(column.name, _arrow_type(column.dtype), nullable=column.nullable, metadata=metadata))
    return pa.schema(fields, metadata={"table": table.name, "description": table.about})


def _arrow_type(dtype: Any) -> pa.DataType:
    """Plain Arrow types (no views, no large offsets): every reader takes them."""
    if isinstance(dtype, pl.List):
        return pa.list_(_arrow_type(dtype.inner))
    plain: dict[object, Callable[[], pa.DataType]] = {
        pl.String: pa.string, pl.Int64: pa.int64, pl.Float64: pa.float64, pl.Boolean: pa.bool_,
        pl.Datetime: lambda: pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return plain[dtype.base_type()]()


def write_quarantine(frame: pl.DataFrame, place: Path, folder: Path) -> Written:
    """Rows that were set aside, in a file of their own."""
    with refusals(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), place, compression="zstd")
        return _written(place, folder, frame.height, None)


def _written(place: Path, folder: Path, rows: int, value: str | None) -> Written:
    """Sync a file and its folder, and take its measure."""
    with place.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Written(path=str(place.relative_to(folder)), value=value, rows=rows, size_bytes=place.stat().st_size, sha256=digest)
