"""What is published under a root, and how it is read back.

ROOT/snapshots/<UTC>-<id>/manifest.json
ROOT/snapshots/<UTC>-<id>/runs/status=active/<id>-0.parquet
ROOT/current → snapshots/<UTC>-<id>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.errors import SinkError, UsageError
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.sinks.parquet import Written
from tallyfy_frames.tables._table import Table

SNAPSHOTS: Final = "snapshots"
CURRENT: Final = "current"


def read_snapshot(root: str | Path, table: str = "runs", *, at: datetime | str | None = None) -> pl.LazyFrame:
    """A table of the current snapshot under ``root``, lazily, with the table's fixed columns; rows in no promised order.

    ``at`` is a snapshot's name, or an instant (a ``datetime``, or ISO text): the newest snapshot that is not younger. The
    snapshot is resolved once: a later one does not change what this frame reads. Raises ``SinkError`` if there is none.
    """
    manifest = read_manifest(root, at=at)
    spec = tables.get(table)
    if table not in manifest.tables:
        hint = f"it holds {', '.join(manifest.tables)}"
        raise SinkError(f"the snapshot has no table {table!r}", path=manifest.folder, hint=hint)
    entry = manifest.tables[table]
    if not entry.files:
        return pl.LazyFrame(schema=spec.schema)
    return scan(spec, manifest.folder / table, entry.files)


def read_manifest(root: str | Path, *, at: datetime | str | None = None) -> Manifest:
    """The manifest of the current snapshot under ``root``, or of the one that ``at`` names as for :func:`read_snapshot`."""
    root = Path(root)
    if at is None:
        folder = current_of(root)
        if folder is None:
            raise SinkError("there is no snapshot here", path=root, hint=f"tallyfy-frames snapshot {root}")
        return Manifest.read(folder)
    moment = None if at in {entry.snapshot for entry in published(root)} else _moment(at)
    found = [entry for entry in published(root) if entry.snapshot == at or (moment and entry.created_at <= moment.isoformat())]
    if not found:
        names = [entry.snapshot for entry in published(root)]
        hint = f"the oldest that was published is {names[-1]}" if names else f"tallyfy-frames snapshot {root}"
        raise SinkError(f"no snapshot is as old as {at}", path=root, hint=hint)
    return found[0]


def published(root: Path) -> Iterator[Manifest]:
    """Every published snapshot that is still there, newest first: each names the one before.

    A folder outside this chain was never published: its job died between renaming it and switching ``current``.
    """
    folder = current_of(root)
    while folder is not None and folder.is_dir():
        manifest = Manifest.read(folder)
        yield manifest
        folder = None if manifest.previous is None else root / SNAPSHOTS / manifest.previous


def _moment(at: datetime | str) -> datetime:
    """An instant in UTC."""
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        raise UsageError(f"at={at!r} is neither a snapshot here nor an instant") from None
    if not isinstance(moment, datetime):
        raise UsageError(f"at must be an instant, or a snapshot's name, not {type(at).__name__}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def scan(spec: Table, folder: Path, files: Sequence[Written]) -> pl.LazyFrame:
    """Files of one table as a lazy frame in the table's order.

    The partition's value comes from the manifest, not from the path: a root below ``env=prod/`` is no partition of ours.
    """
    own = pl.Schema({name: dtype for name, dtype in spec.schema.items() if name != spec.partition})
    parts = []
    for file in files:
        place = folder / file.path
        if not place.exists():
            raise SinkError("a file of the snapshot is gone", path=place, hint="read another snapshot with at=")
        part = pl.scan_parquet(
            place, glob=False, hive_partitioning=False, schema=own, missing_columns="insert", extra_columns="ignore"
        )
        if spec.partition is not None:
            part = part.with_columns(pl.lit(file.value, dtype=pl.String).alias(spec.partition))
        parts.append(part.select(spec.schema.names()))
    return pl.concat(parts)


def current_of(root: Path) -> Path | None:
    """The published snapshot, resolved now; None if there is none."""
    try:
        return root / (root / CURRENT).readlink()
    except OSError:
        return None
