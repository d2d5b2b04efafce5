"""Publishes snapshots.

A snapshot is written into a staging folder, checked against the rows that were read, put in its place, and published by one
step there: `folder.py` and `bucket.py` say which. Until then readers see the one before; a crash leaves it in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from tallyfy_frames import pipeline
from tallyfy_frames._version import __version__
from tallyfy_frames.account import token_user
from tallyfy_frames.atomic import refusals, write_bytes
from tallyfy_frames.contracts import CONTRACT_VERSION
from tallyfy_frames.errors import LockHeld, PaginationError, ShrinkRefused, SinkError
from tallyfy_frames.frames.privacy import MODES, Mode, Privacy
from tallyfy_frames.frames.validate import OnInvalid
from tallyfy_frames.lake.changes import Change, changes
from tallyfy_frames.lake.manifest import Manifest, TableEntry
from tallyfy_frames.lake.place import MANIFEST, PENDING, SNAPSHOTS, Place, Pointer, locate
from tallyfy_frames.lake.published import manifest_in, names, nothing, scan, unmarked
from tallyfy_frames.lake.retention import Keep, clear, retire
from tallyfy_frames.lake.spool import Spool
from tallyfy_frames.progress import ProgressOption
from tallyfy_frames.reading import FILTERED, Reading, check_arguments, privacy_of, readings
from tallyfy_frames.report import LoadReport
from tallyfy_frames.settings import Secret, Settings
from tallyfy_frames.sinks.parquet import ParquetSink, Written, write_quarantine
from tallyfy_frames.tables._filters import Filters
from tallyfy_frames.tables._table import Table

SHRINK_MAX: Final = 0.10  # of the current snapshot's rows: more is a token with fewer rights, until someone says otherwise

logger: Final = logging.getLogger(__name__)


def write_snapshot(  # noqa: PLR0913 - the public face
    root: str | Path,
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    tables: Sequence[str] = ("runs",),
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    allow_shrink: bool = False,
    progress: ProgressOption = None,
    report: LoadReport | None = None,
    privacy: Mode = "keep",
    keep: int | None = None,
    keep_days: int | None = None,
) -> Manifest:
    """Read ``tables`` and publish them together under ``root``, or publish nothing.

    ``root`` is a folder, or a bucket's address (``s3://bucket/lake``; extra ``buckets``, credentials from the environment).
    ``filters`` are those of runs; archived runs are included unless they say otherwise. What stands inside runs (``run_tasks``
    …) is read with them. Rows are streamed: memory grows only by the ids. ``report`` is filled in place for the list read
    last; the manifest holds one for each table.

    ``privacy="hash"`` or ``"drop"``: no personal data is written anywhere under ``root``, not even on the way; see
    :func:`tallyfy_frames.load`. The manifest says which, and by a trace of its key which hashes can be joined.

    If the job dies, or is told to wait longer than it may, what it has read stays under ``root`` for an hour, after that wait
    if there is one: the same call then asks for the rest only. ``report.started_at`` is when the first of them began; the
    manifest's ``answers_resumed`` say how many answers of each table the last one had from those before it.

    ``keep`` and ``keep_days``: of the published snapshots the newest so many stay, and those that are not older than so many
    days; the others can be found no more, and their files are removed by the first job that begins an hour after. Without
    either, all stay.

    Raises what a load raises; ``LockHeld`` while another job writes to ``root``, or if one has published to a bucket meanwhile;
    ``ShrinkRefused`` if rows fall by more than 10 % against the current snapshot, the token belongs to another user than it
    had, or ``privacy`` keeps more than it did or has another key, unless ``allow_shrink``; ``SinkError`` for a root that is
    unwritable, full, another organization's, or that holds something else, and for one whose current snapshot cannot be read.
    """
    check_arguments(settings, on_invalid, progress, report, allow_shrink=allow_shrink)
    settings = settings or Settings.from_env()
    wanted, kept_back = readings(tables, filters, whole=True), privacy_of(privacy, settings)
    kept, place = Keep.of(keep, keep_days), locate(root)
    with place.held():
        return _Publishing(place, settings, wanted, allow_shrink, kept_back, kept).run(on_invalid, progress, report)


def _given(reading: Reading, privacy: Privacy) -> dict[str, Any]:
    """The filters, as they may be written down."""
    personal = {one.name: one.metadata.get("personal", False) for one in fields(reading.filters)}
    return {name: privacy.shown(value, personal=personal[name]) for name, value in reading.filters.given().items()}


@dataclass
class _Publishing:
    """One snapshot on its way, under the lock."""

    place: Place
    settings: Settings
    jobs: Sequence[Reading]
    allow_shrink: bool
    privacy: Privacy
    keep: Keep

    def __post_init__(self) -> None:
        """Its name, and where it grows."""
        self.id = secrets.token_hex(4)
        self.created_at = datetime.now(UTC)
        self.name = f"{self.created_at:%Y%m%dT%H%M%SZ}-{self.id}"
        self.staging = self.place.staging(self.name)

    @property
    def filters(self) -> dict[str, Any]:
        """Those of runs, as the manifest has them."""
        return next((_given(job, self.privacy) for job in self.jobs if job.spec.name == FILTERED), {})

    def run(self, on_invalid: OnInvalid, progress: ProgressOption, report: LoadReport | None) -> Manifest:
        """Stage, check, publish; on any failure the staging folder goes and the current snapshot stays."""
        since = self.place.pointer()
        before = self.before(since)
        self.refuse_other_organization(before)
        clear(self.place)
        with refusals(self.staging):
            self.staging.mkdir(parents=True)
        try:
            reader = token_user(self.settings)
            self.refuse_shrink(before, reader, {table.name: None for job in self.jobs for table in job.makes})
            with Spool(self.place.work, self.binding(since, reader)) as spool:
                report = report or LoadReport()
                entries: dict[str, TableEntry] = {}
                found: list[Change] = []
                for job in self.jobs:
                    entries |= self.stage(job, spool, on_invalid, progress, report)
                    told = None if before is None else before.tables.get(job.makes[0].name)
                    found += [] if told is None else changes(told.report, report.as_dict())
                manifest = self.manifest(entries, reader, since, found)
                self.refuse_shrink(before, reader, {name: entry.rows for name, entry in entries.items()})
                self.publish(manifest, since)
        except BaseException as error:
            self.place.forget(self.name)
            self.told(error)
            raise
        try:
            self.place.delete(f"{SNAPSHOTS}/{self.name}/{PENDING}")
            retire(self.place, self.keep)
        except SinkError as error:
            error.what = f"{self.name} is published, but old snapshots could not be retired: {error.what}"
            raise
        except BaseException as error:
            self.told(error)
            raise
        return manifest

    def told(self, error: BaseException) -> None:
        """A signal may come when all is done."""
        with contextlib.suppress(SinkError):
            pointer = self.place.pointer()
            if pointer is not None and pointer.snapshot == self.name:
                error.add_note(f"{self.name} is published")

    def publish(self, manifest: Manifest, since: Pointer | None) -> None:
        """Put it in its place. Whatever is said against it counts only if it is not found there afterwards."""
        write_bytes(self.staging / PENDING, b"")
        write_bytes(self.staging / MANIFEST, manifest.text().encode())
        try:
            self.place.publish(self.staging, self.name, since)
        except (SinkError, LockHeld):
            if self.name not in names(self.place):
                raise

    def manifest(
        self, entries: Mapping[str, TableEntry], token_user: int | None, since: Pointer | None, found: Sequence[Change]
    ) -> Manifest:
        """What this snapshot holds and how it came."""
        return Manifest(
            snapshot=self.name,
            created_at=self.created_at.isoformat(),
            organization_id=self.settings.org_id,
            base_url=self.settings.base_url,
            token_user=token_user,
            filters=self.filters,
            privacy=self.privacy.facts(),
            tables=entries,
            previous=None if since is None else since.snapshot,
            tallyfy_frames=__version__,
            changes=tuple(change.as_dict() for change in found),
            location=self.place.source(f"{SNAPSHOTS}/{self.name}"),
        )

    def before(self, since: Pointer | None) -> Manifest | None:
        """The snapshot to compare with; a damaged one counts as none only where shrinking is allowed."""
        try:
            if since is None and unmarked(self.place):
                raise nothing(self.place)
            return None if since is None else manifest_in(self.place)
        except SinkError as error:
            if self.allow_shrink:
                return None
            hint = f"{error.hint}; or publish a new one over it: allow_shrink=True (--allow-shrink)"
            what = f"there is nothing to compare with: {error.what}"
            raise SinkError(what, path=error.where.get("path"), hint=hint) from None

    def refuse_other_organization(self, before: Manifest | None) -> None:
        """A root is one organization's: mixing two would look like a great change."""
        if before is not None and before.organization_id != self.settings.org_id:
            what = f"the root holds snapshots of organization {before.organization_id}"
            raise SinkError(what, path=self.place.address, hint="name another root for each organization")

    def refuse_shrink(self, before: Manifest | None, token_user: int | None, rows: Mapping[str, int | None]) -> None:
        """Raise ``ShrinkRefused`` where this looks like less of what ``before`` holds: fewer rights make fewer rows.

        ``rows`` by table; None where they are not read yet: so what is certain without them is refused before they are. Other
        filters are nothing certain: they may be wider.
        """
        if before is None or self.allow_shrink:
            return
        hint = "check the token's rights; allow_shrink=True (--allow-shrink) publishes it"
        if before.filters != self.filters or not before.tables.keys() <= rows.keys():
            hint = "the current snapshot has other filters or tables: use another root, or allow_shrink=True (--allow-shrink)"
        if before.token_user != token_user and None not in (before.token_user, token_user):
            what = f"the token belongs to user {token_user}, the current snapshot was read by {before.token_user}"
            raise ShrinkRefused(what, hint=hint)
        if MODES.index(before.privacy["mode"]) > MODES.index(self.privacy.mode):
            what = f"the current snapshot was made with privacy={before.privacy['mode']!r}, this one keeps more"
            raise ShrinkRefused(what, hint="repeat that, or allow_shrink=True (--allow-shrink) publishes it")
        if before.privacy.get("key") not in {None, self.privacy.facts().get("key")} and self.privacy.mode == "hash":
            what = "the current snapshot was made with another privacy key, so that hashes would not join"
            raise ShrinkRefused(
                what, hint="set TALLYFY_PRIVACY_KEY to that, or allow_shrink=True (--allow-shrink) publishes it"
            )
        for name, entry in before.tables.items():
            now = rows.get(name, 0)
            if now is not None and now < entry.rows * (1 - SHRINK_MAX):
                raise ShrinkRefused(f"{name} would shrink from {entry.rows} to {now} rows", hint=hint)

    def binding(self, since: Pointer | None, token_user: int | None) -> dict[str, Any]:
        """What answers must belong to, to be of use to this job."""
        settings = self.settings
        return {
            "base_url": settings.base_url,
            "organization_id": settings.org_id,
            # Whose rights chose the rows: a user, by any token; where the API does not tell, only this very token will do.
            "reader": _trace(settings) if token_user is None else token_user,
            "lists": {job.spec.name: _given(job, self.privacy) for job in self.jobs},
            "tables": [table.name for job in self.jobs for table in job.makes],
            "privacy": self.privacy.facts(),
            "page_size": settings.page_size,
            "proof": settings.proof,
            "current": None if since is None else since.snapshot,
            "contract_version": CONTRACT_VERSION,
            "tallyfy_frames": __version__,
        }

    def stage(
        self, job: Reading, spool: Spool, on_invalid: OnInvalid, progress: ProgressOption, report: LoadReport
    ) -> dict[str, TableEntry]:
        """Stream one list's tables into the staging folder, and check what arrived there."""
        load = pipeline.Job(
            job.spec, job.filters, self.settings, report, job.makes, on_invalid, kept=spool, privacy=self.privacy
        )
        taken = spool.taken
        staged = {table.name: _Staged(table) for table in job.makes}
        with ExitStack() as stack:
            sinks = {
                name: stack.enter_context(ParquetSink(self.staging / name, one.table, self.id)) for name, one in staged.items()
            }
            # Closed before the spool is: after an error of ours, too, answers that are still on their way end here.
            for name, frame in stack.enter_context(contextlib.closing(load.run(progress))):
                sinks[name].write(frame)
                staged[name].count(frame)
            files = {name: sink.finish() for name, sink in sinks.items()}
        entries = {}
        for name, one in staged.items():
            self.check(one, self.staging / name, files[name])
            entries[name] = TableEntry(
                rows=one.values.total(),
                key=one.table.key,
                partition=one.table.partition,
                contract_version=CONTRACT_VERSION,
                files=tuple(files[name]),
                quarantined=self.quarantined(name, report),
                report=report.as_dict(),
                answers_resumed=spool.taken - taken,
            )
        return entries

    def quarantined(self, name: str, report: LoadReport) -> tuple[Written, ...]:
        """The rows of a table that were set aside, in a file of their own, if there are any."""
        if report.quarantined is None:
            return ()
        rows = report.quarantined.filter(pl.col("table") == name).drop("table")
        place = self.staging / "quarantine" / f"{name}-{self.id}.parquet"
        return (write_quarantine(rows, place, self.staging),) if rows.height else ()

    def check(self, staged: _Staged, folder: Path, files: Sequence[Written]) -> None:
        """The files must hold the very rows that were read: each key once, under its own partition's value."""
        table, rows = staged.table, staged.values.total()
        found = (0, 0, 0)
        if files:
            # By their hashes, file by file: the keys themselves would take more memory than all else.
            keys = (scan(table, [(str(folder / file.path), file.value)]).select(table.key).collect() for file in files)
            hashes = pl.concat(map(_hashes, keys))
            found = (len(hashes), hashes.n_unique(), _digest(hashes))
        if found[1] < rows == found[0] and found[2] == staged.digest:
            raise PaginationError(f"two rows of {table.name} have the same {' and '.join(table.key)}", hint="try again later")
        written = Counter[str | None]()
        for file in files:
            written[file.value] += file.rows
        if found != (rows, rows, staged.digest) or written != staged.values:
            what = f"the files of {table.name} do not hold the rows that were read"
            raise SinkError(what, path=folder, read=rows, written=found[0], distinct=found[1], hint="check the disk")


def _trace(settings: Settings) -> str:
    """What tells one token, or application, from another and gives none away; another one in each organization."""
    key = hashlib.blake2b(settings.org_id.encode()).digest()  # of the length that a key may have
    trace = hashlib.blake2b(key=key, digest_size=16)
    for part in settings.credentials:
        trace.update(hashlib.blake2b((part.reveal() if isinstance(part, Secret) else part or "").encode()).digest())
    return trace.hexdigest()


@dataclass(slots=True)
class _Staged:
    """What was read of a table so far: how many rows of each partition, and a digest of their keys."""

    table: Table
    values: Counter[str | None] = field(default_factory=Counter)
    digest: int = 0

    def count(self, frame: pl.DataFrame) -> None:
        """One more frame."""
        partition = self.table.partition
        self.digest = (self.digest + _digest(_hashes(frame.select(self.table.key)))) % 2**64
        self.values.update(frame[partition] if partition else [None] * frame.height)


def _hashes(keys: pl.DataFrame) -> pl.Series:
    """64 bits for each key."""
    return keys.hash_rows(seed=0)


def _digest(hashes: pl.Series) -> int:
    """A sum: the same for the same keys in any order, and another if one is doubled."""
    return int(hashes.cast(pl.Int128).sum() or 0) % 2**64
