"""What is published under a root, and how it is read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.errors import SinkError, UsageError
from tallyfy_frames.lake.manifest import READ_ANOTHER, Manifest
from tallyfy_frames.lake.place import MANIFEST, NAME, PENDING, RETIRED, SNAPSHOTS, Place, locate
from tallyfy_frames.tables._table import Table


def read_snapshot(root: str | Path, table: str = "runs", *, at: datetime | str | None = None) -> pl.LazyFrame:
    """A table of the current snapshot under ``root``, lazily, with the table's fixed columns; rows in no promised order.

    ``root`` is a folder, or a bucket's address (``s3://bucket/lake``; credentials from the environment). ``at`` is a snapshot's
    name, or an instant (a ``datetime``, or ISO text): the newest snapshot that is not younger. The snapshot is resolved once: a
    later one does not change what this frame reads, and retention leaves it alone for an hour. Raises ``SinkError`` if there is
    none.
    """
    return scan(tables.get(table), _sources(root, table, at))


def read_files(root: str | Path, table: str, *, at: datetime | str | None = None) -> Iterator[pl.LazyFrame]:
    """The same, one file after the other: polars opens all files of a frame at once, and reads ahead in each."""
    for source in _sources(root, table, at):
        yield scan(tables.get(table), [source])


def _sources(root: str | Path, table: str, at: datetime | str | None) -> list[tuple[str, str | None]]:
    """The files of a table, each with its value of the partition."""
    place = locate(root)
    manifest = manifest_in(place, at=at)
    if table not in manifest.tables:
        hint = f"it holds {', '.join(manifest.tables)}"
        raise SinkError(f"the snapshot has no table {table!r}", path=manifest.location, hint=hint)
    files = manifest.tables[table].files
    folder = f"{SNAPSHOTS}/{manifest.snapshot}/{table}"
    gone = {f"{folder}/{file.path}" for file in files} - {entry.path for entry in place.files(folder)}
    if gone:
        raise SinkError("a file of the snapshot is gone", path=place.source(min(gone)), hint="read another snapshot with at=")
    return [(place.source(f"{folder}/{file.path}"), file.value) for file in files]


def read_manifest(root: str | Path, *, at: datetime | str | None = None) -> Manifest:
    """The manifest of the current snapshot under ``root``, or of the one that ``at`` names as for :func:`read_snapshot`."""
    return manifest_in(locate(root), at=at)


def manifest_in(place: Place, *, at: datetime | str | None = None) -> Manifest:
    """The same for a place."""
    if at is None:
        pointer = place.pointer()
        if pointer is None:
            raise nothing(place)
        return _required(place, pointer.snapshot)
    if isinstance(at, str) and NAME.fullmatch(at):
        manifest = None if _marked(place, at, RETIRED) else manifest_of(place, at)
        if manifest is None or (_marked(place, at, PENDING) and at not in names(place)):
            what = f"there is no snapshot {at}, or none any more"
            raise UsageError(what, root=place.address, hint="leave out at= for the current one, or give an instant")
        return manifest
    moment, oldest = _moment(at), None
    for manifest in published(place, passing=True):
        if datetime.fromisoformat(manifest.created_at) <= moment:
            return manifest
        oldest = manifest.snapshot
    if oldest is None:
        raise nothing(place)
    hint = f"the oldest that is kept is {oldest}"
    raise SinkError(f"no snapshot is as old as {at}", path=place.address, hint=hint)


def nothing(place: Place) -> SinkError:
    """That nothing is published, and what to do about it."""
    left = unmarked(place)
    if left:
        what = "none of the snapshots here is published: current is gone"
        return SinkError(what, path=place.address, hint=place.leading_to(left[-1]))
    return SinkError("there is no snapshot here", path=place.address, hint=f"tallyfy-frames snapshot {place.address}")


def manifest_of(place: Place, name: str) -> Manifest | None:
    """The manifest of one snapshot, None if it has none; ``SinkError`` for one that this version does not understand."""
    folder = f"{SNAPSHOTS}/{name}"
    data = place.read(f"{folder}/{MANIFEST}")
    if data is None:
        return None
    manifest = Manifest.parse(data, place.source(folder))
    if manifest.snapshot != name:
        what = f"the manifest is that of {manifest.snapshot}"
        raise SinkError(what, path=place.source(f"{folder}/{MANIFEST}"), hint=READ_ANOTHER)
    return manifest


def published(place: Place, *, passing: bool = False) -> Iterator[Manifest]:
    """Every published snapshot that can be found, newest first: each names the one before.

    Where that is not there any more, it goes on with the next older one that is neither pending nor retired; and so it does,
    if ``passing``, where one cannot be read. Otherwise that raises ``SinkError``.
    """
    pointer = place.pointer()
    name = None if pointer is None else pointer.snapshot
    there: list[str] | None = None
    seen: set[str] = set()  # names follow the clock, which may go back
    while name is not None:
        seen.add(name)
        following: str | None = None
        try:
            manifest = manifest_of(place, name) if there is not None else _required(place, name)
        except SinkError:
            if not passing:
                raise
            manifest = None
        if manifest is not None:
            yield manifest
            following = manifest.previous
            if following is None or _marked(place, following, RETIRED):
                return
        there = place.snapshots() if there is None else there
        if manifest is None or following not in there or following in seen:
            before = (one for one in reversed(there) if one < name and one not in seen)
            older = (one for one in before if not _marked(place, one, RETIRED, PENDING))
            following = next(older, None)
        name = following


def names(place: Place) -> list[str]:
    """The names of these, as far as they can be read."""
    with suppress(SinkError):
        return [manifest.snapshot for manifest in published(place, passing=True)]
    return []


def unmarked(place: Place) -> list[str]:
    """Snapshots that are neither pending nor retired, found or not; oldest first."""
    return [name for name in place.snapshots() if not _marked(place, name, RETIRED, PENDING)]


def _required(place: Place, name: str) -> Manifest:
    """What ``current`` names must be there."""
    manifest = manifest_of(place, name)
    if manifest is None:
        path, hint = place.source(f"{SNAPSHOTS}/{name}"), f"{READ_ANOTHER}, or publish a new one (--allow-shrink)"
        raise SinkError("the snapshot has no manifest", path=path, hint=hint)
    return manifest


def _marked(place: Place, name: str, *marks: str) -> bool:
    return any(place.read(f"{SNAPSHOTS}/{name}/{mark}") is not None for mark in marks)


def _moment(at: datetime | str) -> datetime:
    """An instant in UTC."""
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        raise UsageError(f"at={at!r} is neither a snapshot here nor an instant") from None
    if not isinstance(moment, datetime):
        raise UsageError(f"at must be an instant, or a snapshot's name, not {type(at).__name__}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def scan(spec: Table, files: Iterable[tuple[str, str | None]]) -> pl.LazyFrame:
    """Files of one table, each with its value of the partition, as a lazy frame in the table's columns.

    The value comes from the manifest, not from the path: a root below ``env=prod/`` is no partition of ours. Columns that are
    newer than a file are null.
    """
    own = pl.Schema({name: dtype for name, dtype in spec.schema.items() if name != spec.partition})
    parts = []
    for source, value in files:
        part = pl.scan_parquet(
            source, glob=False, hive_partitioning=False, schema=own, missing_columns="insert", extra_columns="ignore"
        )
        if spec.partition is not None:
            part = part.with_columns(pl.lit(value, dtype=pl.String).alias(spec.partition))
        parts.append(part.select(spec.schema.names()))
    return pl.concat(parts) if parts else pl.LazyFrame(schema=spec.schema)
