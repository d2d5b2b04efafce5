"""Whether what lies under a root is what was published: every byte, every count, every key, and nothing besides.

Manifests hold digests of themselves and of their files; rows are held to their table's contract and to one another. Digests
have no key: they show accidents, not forgery. The checks of rows do not rely on them.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tallyfy_frames import tables
from tallyfy_frames.contracts import CONTRACT_VERSION
from tallyfy_frames.errors import SinkError, UsageError
from tallyfy_frames.lake import bucket, folder
from tallyfy_frames.lake.manifest import Manifest, TableEntry
from tallyfy_frames.lake.place import MANIFEST, NAME, PENDING, RETIRED, SNAPSHOTS, Place, locate
from tallyfy_frames.lake.published import manifest_in, manifest_of, names, nothing, published, unmarked
from tallyfy_frames.sinks.parquet import Written, arrow_schema, is_folder_of
from tallyfy_frames.tables._table import Column, Table

COPY: Final = "put it back from a copy, or publish a new snapshot and read others with at="
NEWER: Final = "use the version that wrote it, or a newer one"
BAD: Final = "put it back from a copy, or remove the snapshot's folder: the others do not need it"
STRANGER: Final = "look at it, and remove it if nobody needs it"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, where, and what to do."""

    place: str
    what: str
    advice: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.place}: {self.what}; {self.advice}"


@dataclass
class Verification:
    """What :func:`verify` looked at, and what it found."""

    snapshots: int = 0
    files: int = 0
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        """One line."""
        seen = f"{_counted(self.snapshots, 'snapshot')}, {_counted(self.files, 'file')}, {self.size_bytes} bytes"
        if not self.findings:
            return f"{seen}: nothing is wrong"
        return f"{seen}: {_counted(len(self.findings), 'finding')}, the first: {self.findings[0]}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def verify(root: str | Path, *, at: datetime | str | None = None) -> Verification:
    """Look at every published snapshot under ``root`` and at what else lies there; or, with ``at``, at one snapshot.

    Reads every byte. What is on its way is left out: retired snapshots, and what a job has not finished. Raises ``SinkError``
    where there is no snapshot, or the disk or the store refuses.
    """
    place, looked = locate(root), Verification()
    if at is not None:
        _Look(place, manifest_in(place, at=at), looked).all()
        return looked
    there = place.snapshots()  # before: a job may publish meanwhile
    try:
        pointer = place.pointer()
        if pointer is None:
            raise nothing(place)
        chain = [*published(place, passing=True)]
        if pointer.snapshot not in there and pointer == place.pointer():
            where, what = place.source(f"{SNAPSHOTS}/{pointer.snapshot}"), "current leads to a snapshot that is not there"
            looked.findings.append(Finding(where, what, place.leading_to(max(there, default="NAME"))))
            chain = [*_readable(place)]
    except SinkError as error:
        if not there:
            raise
        looked.findings.append(Finding(str(error.where.get("path", place.address)), error.what, error.hint or COPY))
        chain = [*_readable(place)]
    for manifest in chain:
        before = len(looked.findings)
        _Look(place, manifest, looked).all()
        if before < len(looked.findings) and _is_going(place, manifest.snapshot):
            del looked.findings[before:]  # it was retired meanwhile
    looked.findings += [*_breaks(place, chain), *_strangers(place, there, chain)]
    return looked


def _readable(place: Place) -> Iterator[Manifest]:
    """Where current leads to none: all that may be good, newest first."""
    for name in reversed(unmarked(place)):
        with suppress(SinkError):
            manifest = manifest_of(place, name)
            if manifest is not None:
                yield manifest


def _is_going(place: Place, name: str) -> bool:
    """Whether it is retired, or removed since."""
    return place.read(f"{SNAPSHOTS}/{name}/{RETIRED}") is not None or name not in place.snapshots()


def _breaks(place: Place, chain: list[Manifest]) -> Iterator[Finding]:
    """Where one snapshot does not follow the other."""
    for newer, older in itertools.pairwise(chain):
        where = place.source(f"{SNAPSHOTS}/{newer.snapshot}/{MANIFEST}")
        if newer.created_at < older.created_at:
            yield Finding(where, f"it is older than {older.snapshot}, which it follows", COPY)
        if newer.organization_id != older.organization_id:
            yield Finding(where, f"it is of another organization than {older.snapshot}", "keep each in a root of its own")


def _strangers(place: Place, there: Sequence[str], chain: list[Manifest]) -> Iterator[Finding]:
    """What lies under the root and is no part of a snapshot that can be found, nor on its way."""
    known = {manifest.snapshot for manifest in chain}
    odd = {*there} & {*unmarked(place)} - known
    for name in sorted(odd - set(names(place) if odd else ())):  # it may have been published since
        where = place.source(f"{SNAPSHOTS}/{name}")
        try:
            manifest = manifest_of(place, name)
        except SinkError as error:
            yield Finding(str(error.where["path"]), error.what, BAD)
            continue
        if manifest is None:
            yield Finding(f"{where}/{MANIFEST}", "the manifest is gone", BAD)
        else:
            what = "a snapshot that only its name finds: current, or one that followed it, was led elsewhere"
            yield Finding(where, what, f"read it with at={name}, or remove it if nobody needs it")
    for entry in place.files(""):
        top, _, below = entry.path.partition("/")
        inside = below.partition("/")[0]
        of_snapshots = top == SNAPSHOTS and (NAME.fullmatch(inside) or inside.startswith("."))
        if not of_snapshots and not top.startswith(".") and top not in {folder.CURRENT, bucket.CURRENT, "lost+found"}:
            yield Finding(place.source(entry.path), "a file that belongs to no snapshot", STRANGER)


class _Look:
    """A look at one snapshot."""

    def __init__(self, place: Place, manifest: Manifest, looked: Verification) -> None:
        self.place = place
        self.manifest = manifest
        self.looked = looked
        self.folder = f"{SNAPSHOTS}/{manifest.snapshot}"
        self.unread: set[str] = set()  # tables that could not be read whole
        self.told: dict[str, dict[str, list[pl.DataFrame]]] = {}  # of each table, the columns that others refer to, or that do

    def all(self) -> None:
        """Everything."""
        self.looked.snapshots += 1
        at = self.manifest.created_at.replace("-", "").replace(":", "")
        if self.manifest.snapshot[:15] != at[:15]:
            self.tell(MANIFEST, "it was made at another time than its name says")
        there = {entry.path: entry.size_bytes for entry in self.place.files(self.folder)}
        wanted = {MANIFEST, PENDING, RETIRED}  # the latter two come and go
        for name, entry in self.manifest.tables.items():
            wanted |= {f"{name}/{file.path}" for file in entry.files} | {file.path for file in entry.quarantined}
            self.table(name, entry, there)
        for path in sorted(there.keys() - {f"{self.folder}/{one}" for one in wanted}):
            self.looked.findings.append(Finding(self.place.source(path), "the manifest does not name this file", STRANGER))
        self.references()

    def tell(self, path: str, what: str, advice: str = COPY) -> None:
        """One more finding."""
        self.looked.findings.append(Finding(self.place.source(f"{self.folder}/{path}"), what, advice))

    def table(self, name: str, entry: TableEntry, there: Mapping[str, int]) -> None:
        """One table: its files, and what they hold together."""
        for file in entry.quarantined:
            self.parquet(file.path, file, there)
        files = {file: self.parquet(f"{name}/{file.path}", file, there) for file in entry.files}
        if sum(file.rows for file in entry.files) != entry.rows:
            self.tell(MANIFEST, f"{name} has {entry.rows} rows, its files have {sum(file.rows for file in entry.files)}")
        if entry.contract_version.partition(".")[0] != CONTRACT_VERSION.partition(".")[0]:
            self.tell(name, f"its contract is {entry.contract_version}, this version knows {CONTRACT_VERSION}", NEWER)
            return
        try:
            spec = tables.get(name)
        except UsageError:
            self.tell(name, "this version knows no such table", NEWER)
            return
        if (entry.key, entry.partition) != (spec.key, spec.partition):
            self.tell(MANIFEST, f"{name} has another key or partition than its contract")
            return
        frames = [None if data is None else self.rows(spec, entry, file, data) for file, data in files.items()]
        if any(frame is None for frame in frames):
            self.unread.add(name)
        keys = [frame.select(spec.key).hash_rows(seed=0) for frame in frames if frame is not None]
        hashes = pl.concat(keys) if keys else pl.Series(dtype=pl.UInt64)
        if hashes.n_unique() < len(hashes):
            self.tell(name, f"{len(hashes) - hashes.n_unique()} rows have a {' and '.join(spec.key)} that others have, too")

    def parquet(self, path: str, file: Written, there: Mapping[str, int]) -> pq.ParquetFile | None:
        """A file that is what it was, to the byte, and can be read; None, with a finding, if it is not."""
        size = there.get(f"{self.folder}/{path}")
        if size is None:
            self.tell(path, "the file is gone")
            return None
        data = self.place.read(f"{self.folder}/{path}") or b""
        self.looked.files += 1
        self.looked.size_bytes += len(data)
        if len(data) != file.size_bytes or size != len(data):
            self.tell(path, f"it has {size} bytes, and should have {file.size_bytes}")
        elif hashlib.sha256(data).hexdigest() != file.sha256:
            self.tell(path, "its bytes are not those that were written")
        else:
            try:
                held = pq.ParquetFile(io.BytesIO(data))
            except (pa.ArrowException, OSError):
                self.tell(path, "it is no Parquet file")
                return None
            if held.metadata.num_rows == file.rows:
                return held
            self.tell(path, f"it has {held.metadata.num_rows} rows, and should have {file.rows}")
        return None

    def rows(self, spec: Table, entry: TableEntry, file: Written, data: pq.ParquetFile) -> pl.DataFrame | None:
        """What is looked at of a file's rows: keys, and what must be found; None, with a finding, if it breaks its contract."""
        path = f"{spec.name}/{file.path}"
        names = [name for name in spec.schema.names() if name != spec.partition]
        wanted = {one.name: one.type for one in arrow_schema(spec, names)}
        held = {one.name: one.type for one in data.schema_arrow}
        lacking = wanted.keys() - held.keys() if entry.contract_version == CONTRACT_VERSION else set[str]()
        if lacking or any(wanted.get(name) != kind for name, kind in held.items()):
            odd = sorted(lacking | {name for name, kind in held.items() if wanted.get(name) != kind})
            self.tell(path, f"its columns are not those of its contract: {', '.join(odd[:5])}")
            return None
        if spec.partition is not None and not is_folder_of(Path(file.path).parent.name, spec.partition, file.value):
            self.tell(path, f"it lies in another folder than {spec.partition}={file.value} should")
        looked_at = dict.fromkeys((*spec.key, *(column.name for column, _, _ in _musts(spec))))
        columns = [name for name in looked_at if name in held]
        try:
            frame = pl.DataFrame(pl.from_arrow(data.read(columns=columns)))
        except (pa.ArrowException, OSError):
            self.tell(path, "its rows cannot be read")
            return None
        if frame.select(pl.any_horizontal(pl.col(spec.key).is_null().any())).item():
            self.tell(path, f"rows without {' and '.join(spec.key)}")
        for column in columns:
            self.told.setdefault(spec.name, {}).setdefault(column, []).append(frame.select(column))
        return frame

    def references(self) -> None:
        """No part is without what it is a part of."""
        for name, told in self.told.items():
            for column, target, key in _musts(tables.get(name)):
                if target not in self.manifest.tables or target in self.unread or column.name not in told:
                    continue
                known = self.told.get(target, {}).get(key)
                known_keys = pl.concat(known).to_series().unique() if known else pl.Series(dtype=column.dtype)
                rows = pl.concat(told[column.name]).to_series().drop_nulls()
                lost = int((~rows.is_in(known_keys.implode())).sum())
                if lost:
                    self.tell(name, f"{lost} rows belong to {target} that are not there ({column.name})")


def _musts(spec: Table) -> Iterator[tuple[Column, str, str]]:
    """Columns whose values must be found, each with the table and the column where."""
    for column in spec.columns:
        target, _, key = (column.refers or "").partition(".")
        if target and spec.must_find(column, tables.get(target)):
            yield column, target, key
