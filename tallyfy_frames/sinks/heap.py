"""Rows that are too many to wait in memory: on disk in stretches, each in order by itself, and merged from there."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from tallyfy_frames.atomic import refusals

BATCH_ROWS: Final = 1_000  # what is read at once of a stretch


class Heap:
    """A file of Arrow batches, gone once it is read."""

    def __init__(self, place: Path, schema: pa.Schema, order_by: Sequence[str]) -> None:
        """``order_by`` tells any two rows apart, or nearly: rows that it does not come in one piece."""
        self.place = place
        self.order_by = list(order_by)
        self.schema = schema
        self.stretches: list[range] = []  # of rows
        with refusals(place):
            self.file = pa.OSFile(str(place), "wb")
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self.writer: pa.ipc.RecordBatchFileWriter | None = pa.ipc.new_file(self.file, schema, options=options)
        self.firsts: list[int] = []  # the number of each batch's first row

    def add(self, rows: pa.Table) -> None:
        """One more stretch."""
        assert self.writer is not None  # noqa: S101 - all is added before any is read
        first = self.stretches[-1].stop if self.stretches else 0
        self.stretches.append(range(first, first + rows.num_rows))
        with refusals(self.place):
            for batch in rows.combine_chunks().to_batches(max_chunksize=BATCH_ROWS):
                self.writer.write_batch(batch)
                self.firsts.append(first)
                first += batch.num_rows

    def close(self) -> None:
        """Nothing is written or read any more. Whoever holds an error that came meanwhile does not hold the file's room."""
        writer, self.writer = self.writer, None
        try:
            if writer is not None:
                writer.close()
        finally:
            self.file.close()

    def merged(self, piece_rows: int) -> Iterator[pl.DataFrame]:
        """All rows, in pieces of about so many that follow one another in order, each in none.

        What orders them is read first, to tell where each stretch is cut; then each piece is read, a bit of every stretch.
        """
        with refusals(self.place):
            self.close()
            cuts = self._cuts(piece_rows)
            self.file = pa.OSFile(str(self.place))
            reader = pa.ipc.open_file(self.file)
            for lows, highs in itertools.pairwise(cuts):
                parts = [self._read(reader, low, high) for low, high in zip(lows, highs, strict=True) if low < high]
                if parts:
                    yield pl.concat(parts)
            self.close()
            self.place.unlink()

    def _cuts(self, piece_rows: int) -> list[list[int]]:
        """The rows at which each stretch is cut, from its first row to its end."""
        fields = [self.schema.get_field_index(name) for name in self.order_by]
        with pa.OSFile(str(self.place)) as file:
            reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields))
            keys = pl.DataFrame(pl.from_arrow(reader.read_all())).select(self.order_by)
        places = keys.select(pl.arg_sort_by(self.order_by, nulls_last=True)).to_series()
        chosen = keys[places.gather([*range(piece_rows, keys.height, piece_rows)])].rows()
        starts, ends = ([getattr(stretch, end) for stretch in self.stretches] for end in ("start", "stop"))
        return [starts, *([self._before(row, keys, stretch) for stretch in self.stretches] for row in chosen), ends]

    def _before(self, row: tuple[Any, ...], keys: pl.DataFrame, stretch: range) -> int:
        """Where in a stretch ``row`` would stand: column by column, each among the rows that are like it so far."""
        low, high = stretch.start, stretch.stop
        for column, value in zip(self.order_by, row, strict=True):
            values = keys[column].slice(low, high - low)
            known = values.head(len(values) - values.null_count())  # nulls come last
            if value is None:
                low += len(known)
                continue
            low, high = (low + int(known.search_sorted(value, side=side)) for side in ("left", "right"))
        return low

    def _read(self, reader: Any, low: int, high: int) -> pl.DataFrame:
        """Rows of a stretch, by their numbers."""
        number = bisect.bisect_right(self.firsts, low) - 1
        batches = []
        first = self.firsts[number]
        while number < len(self.firsts) and self.firsts[number] < high:
            batches.append(reader.get_batch(number))
            number += 1
        return pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches).slice(low - first, high - low)))
