"""Frames → Parquet files, partitioned by one column, in bounded memory.

Folders are named as Hive names them (``status=active``), so polars, DuckDB, pyarrow and Spark read the column back from the
path. Every column carries its description, unit, class and source as Parquet field metadata.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tallyfy_frames.atomic import refusals
from tallyfy_frames.sinks.heap import Heap
from tallyfy_frames.tables._table import Table

NULL_FOLDER: Final = "__HIVE_DEFAULT_PARTITION__"  # Hive's name for null; every reader knows it
NAME_BYTES_MAX: Final = 255  # of one path segment, on the file systems in use
BUFFERED_ROWS_MAX: Final = 40_000  # over all partitions: bounds memory
ROW_GROUP_ROWS: Final = 20_000  # of runs some 25 MB, unpacked
FILE_ROWS_MAX: Final = 1_000_000  # some hundred megabytes of runs: a task each for engines that split by file


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
    """Rows of one value that wait, and the heap that the others went to."""

    folder: Path
    value: str | None
    number: int
    frames: list[pl.DataFrame] = field(default_factory=list)
    waiting: int = 0
    heap: Heap | None = None


class ParquetSink:
    """Writes a table's frames below ``folder``, partition by partition, rows in the table's order.

    Rows come in any order, and need not fit into memory: those that do not go to a heap first, in stretches that are in order,
    and are merged from there. A context manager; ``finish`` names the files.
    """

    def __init__(self, folder: Path, table: Table, file_stem: str) -> None:
        """``file_stem`` begins every file's name."""
        self.folder = folder
        self.table = table
        self.file_stem = file_stem
        columns = [name for name in table.schema.names() if name != table.partition]
        self.columns = columns
        self.order_by = [name for name in table.order_by if name in columns]
        self.schema = arrow_schema(table, columns)
        self.partitions: dict[str | None, _Partition] = {}
        self.file: _File | None = None  # that is being written
        self.files = 0

    def __enter__(self) -> Self:
        """The sink itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close what is open; after an error the files are worth nothing."""
        heaps = [partition.heap for partition in self.partitions.values() if partition.heap is not None]
        for one in (self.file, *heaps):
            if one is not None:
                with contextlib.suppress(OSError):  # a full disk has been reported already
                    one.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Take a frame with exactly the table's columns."""
        for value, part in self._split(frame):
            partition = self.partitions.get(value)
            if partition is None:
                partition = self.partitions[value] = self._partition(value)
            partition.frames.append(part)
            partition.waiting += part.height
        while sum(partition.waiting for partition in self.partitions.values()) > BUFFERED_ROWS_MAX:
            self._put_aside(max(self.partitions.values(), key=lambda partition: partition.waiting))

    def finish(self) -> list[Written]:
        """Write every file in order, close and sync it, and say what they hold. A table without rows is one file without."""
        if not self.partitions:
            value = next((word for one in self.table.columns if one.name == self.table.partition for word in one.words), None)
            self.partitions[value] = self._partition(value)  # pandas cannot read a column of which only null is known
        return [written for partition in self.partitions.values() for written in self._files(partition)]

    def _split(self, frame: pl.DataFrame) -> Iterator[tuple[str | None, pl.DataFrame]]:
        name = self.table.partition
        if name is None:
            yield None, frame
            return
        for part in frame.partition_by(name, maintain_order=True):
            yield part[name][0], part.drop(name)

    def _partition(self, value: str | None) -> _Partition:
        """A new one; its folder is made."""
        folder = self.folder
        if self.table.partition is not None:
            taken = {partition.folder.name for partition in self.partitions.values()}
            folder = folder / folder_name(self.table.partition, value, taken)
        with refusals(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return _Partition(folder, value, len(self.partitions))

    def _put_aside(self, partition: _Partition) -> None:
        """What waits is too much to wait, and not all there is."""
        if partition.heap is None:
            place = self.folder / f".{self.file_stem}-{partition.number}.heap"
            partition.heap = Heap(place, self.schema, self.order_by)
        partition.heap.add(self._taken(partition))

    def _taken(self, partition: _Partition) -> pa.Table:
        """What waits, in order."""
        frames, partition.frames, partition.waiting = partition.frames, [], 0
        return self._in_order([pl.concat(frames) if frames else self.table.schema.to_frame()])

    def _in_order(self, held: list[pl.DataFrame]) -> pa.Table:
        """The frame in ``held``, which is taken, in order; a column at a time, so that it is never in memory twice."""
        rows = held.pop().select(self.columns)
        places = rows.select(pl.arg_sort_by(self.order_by, nulls_last=True)).to_series()
        columns = rows.get_columns()
        del rows
        arrays = []
        for one in self.schema:
            column = columns.pop(0).gather(places)
            arrays.append(column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(one.type))
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _files(self, partition: _Partition) -> Iterator[Written]:
        """The files of a partition, in order."""
        heap = partition.heap
        if heap is None:
            pieces: Iterable[pa.Table] = [self._taken(partition)]
        else:
            if partition.frames:
                heap.add(self._taken(partition))
            pieces = (self._in_order([piece]) for piece in heap.merged(ROW_GROUP_ROWS))
        rows = 0
        for piece in pieces:
            if self.file is not None and rows >= FILE_ROWS_MAX:
                yield self._closed(rows, partition.value)
                rows = 0
            if self.file is None:
                self.file = _File(partition.folder / f"{self.file_stem}-{self.files}.parquet", self.schema, self._sorting())
                self.files += 1
            with refusals(self.file.place):
                self.file.writer.write_table(piece, row_group_size=ROW_GROUP_ROWS)
            rows += piece.num_rows
        if self.file is not None:
            yield self._closed(rows, partition.value)

    def _closed(self, rows: int, value: str | None) -> Written:
        """A file that is done."""
        assert self.file is not None  # noqa: S101 - closed once it has rows
        place = self.file.place
        with refusals(place):
            self.file.close()
            self.file = None
            return _written(place, self.folder, rows, value)

    def _sorting(self) -> list[pq.SortingColumn]:
        """The order, for readers who ask."""
        return [pq.SortingColumn(self.columns.index(name), nulls_first=False) for name in self.order_by]


class _File:
    """A Parquet file that is being written."""

    def __init__(self, place: Path, schema: pa.Schema, sorting: Sequence[pq.SortingColumn]) -> None:
        """Begin it."""
        self.place = place
        with refusals(place):
            self.file = pa.OSFile(str(place), "wb")
            self.writer = pq.ParquetWriter(self.file, schema, compression="zstd", sorting_columns=sorting)

    def close(self) -> None:
        """Write what ends it. The file is closed also where there is no room for that: else it would keep its own."""
        try:
            self.writer.close()
        finally:
            self.file.close()


def folder_name(column: str, value: str | None, taken: Collection[str] = ()) -> str:
    """The folder of one value, as Hive names it: ``column=value``, percent-encoded so that no word leaves its folder.

    Readers decode it. A word that would collide with one in ``taken`` where case does not count (macOS), or with Hive's word
    for null, is encoded whole. One too long for a folder's name is cut and ends in a digest: only the manifest has it whole.
    """
    plain, whole = _folder_names(column, value)
    return whole if plain.casefold() in {other.casefold() for other in taken} else plain


def is_folder_of(name: str, column: str, value: str | None) -> bool:
    """Whether a folder is one that :func:`folder_name` may give a value."""
    return name in _folder_names(column, value)


def _folder_names(column: str, value: str | None) -> tuple[str, str]:
    """The usual name, and the one where that is taken."""
    if value is None:
        return (f"{column}={NULL_FOLDER}",) * 2
    whole = _cut(f"{column}=" + "".join(f"%{byte:02X}" for byte in value.encode()), value)
    return whole if value == NULL_FOLDER else _cut(f"{column}={quote(value, safe='')}", value), whole


def _cut(name: str, value: str) -> str:
    if len(name) <= NAME_BYTES_MAX:
        return name
    digest = hashlib.sha256(value.encode()).hexdigest()[:16]
    return f"{name[: NAME_BYTES_MAX - 20].rpartition('%')[0]}~{digest}"


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
