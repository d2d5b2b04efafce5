"""The recipe: filters → query → pages → decode → flatten → validate, as one stream of valid frames.

Here the conversation (`api/`) and the tables meet; neither knows the other.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.api import protocol
from tallyfy_frames.api.protocol import Page, Row
from tallyfy_frames.api.transport import Client
from tallyfy_frames.api.walk import Plan, WalkLog, walk
from tallyfy_frames.errors import (
    AuthError,
    FilterError,
    IncompleteRead,
    NotFound,
    PaginationError,
    TallyfyFramesWarning,
    UsageError,
)
from tallyfy_frames.frames.decode import Cells, decode, masked_json
from tallyfy_frames.frames.flatten import flatten
from tallyfy_frames.frames.validate import ON_INVALID, Breach, OnInvalid, validate
from tallyfy_frames.progress import ProgressOption, listening
from tallyfy_frames.report import LoadReport, ProgressEvent
from tallyfy_frames.settings import Settings
from tallyfy_frames.tables._table import Filters, Listing, Table

# Rows shaped and checked together: the first page alone, to fail early, then ever more. Checking a frame costs some 50 ms
# whatever its height, so page by page would cost more than everything else.
BATCH_ROWS: Final = (1, 1_000, 4_000)

QUARANTINE_SCHEMA: Final = pl.Schema([("id", pl.String()), ("reasons", pl.List(pl.String())), ("row", pl.String())])


def load(  # noqa: PLR0913 - the public face
    table: str,
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
) -> pl.DataFrame:
    """All rows of ``table`` that match, as one frame with the table's fixed columns; zero rows have them, too.

    Ordered by creation, oldest first (with ``limit``: newest first; tables without a creation order: by key), or by the
    filter ``sort``. ``limit`` takes the first rows of that order. ``created_since`` (a date, an instant, or ISO text; UTC
    where no zone is given) leaves out rows created before; those without a readable instant are kept. Missing is null;
    instants are UTC.

    ``on_invalid``: ``"raise"`` fails on a value that breaks the contract (pages are checked in growing batches), ``"null"``
    makes such values null, ``"quarantine"`` sets their rows aside in ``report.quarantined``. ``progress``: None shows a bar on
    a terminal or in Jupyter, False is silent, a function gets :class:`ProgressEvent`. ``report`` is filled in place.

    Raises ``FilterError`` before anything is sent where a filter cannot be right; ``IncompleteRead`` rather than returning
    less than there is; ``ContractError``, ``AuthError``, ``NotFound``, ``RateLimited``, ``ServerError``, ``DecodeError`` as
    their names say.
    """
    spec = tables.get(table)
    wanted = spec.filters.parse(filters)
    report = LoadReport() if report is None else report
    sort: str | None = getattr(wanted, "sort", None)
    frames = list(
        _stream(
            spec, wanted, limit=limit, created_since=created_since, settings=settings, on_invalid=on_invalid,
            progress=progress, report=report,
        )
    )  # fmt: skip
    frame = pl.concat(frames) if frames else spec.schema.to_frame()
    if sort is None and spec.order:
        sort = spec.order if limit is None else f"-{spec.order}"
    by, descending = ([sort.removeprefix("-"), spec.key], [sort.startswith("-"), False]) if sort else ([spec.key], [False])
    ordered = frame.sort(by, descending=descending, nulls_last=True)
    if ordered[spec.key].n_unique() < ordered.height:
        raise PaginationError(f"two rows of {table} have the same {spec.key}", hint="try again later")
    report.rows = ordered.height if limit is None else min(limit, ordered.height)
    return ordered.head(report.rows)


def iter_table(  # noqa: PLR0913 - as load
    table: str,
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
) -> Iterator[pl.DataFrame]:
    """As :func:`load`, in frames of a page or more, while they arrive; nothing is yielded for zero rows.

    Only an iterator that ended without an error has given everything. Frames come in the order they were read, so ``sort``
    needs ``limit``.
    """
    spec = tables.get(table)
    wanted = spec.filters.parse(filters)
    sort = getattr(wanted, "sort", None)
    if sort not in {None, spec.order} and limit is None:
        raise FilterError("a stream comes oldest first", hint=f"without limit, sort={sort!r} needs load_{table}")
    if limit is not None and len(wanted.listings()) > 1:
        raise UsageError(
            "limit over several lists needs all their rows", hint=f"use load_{table}, or one status and no 'include'"
        )
    return _stream(
        spec, wanted, limit=limit, created_since=created_since, settings=settings, on_invalid=on_invalid,
        progress=progress, report=report,
    )  # fmt: skip


def load_runs(  # noqa: PLR0913 - the public face
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
) -> pl.DataFrame:
    """Every run that matches, once, as one frame with the fixed columns of the data dictionary; or an error.

    Missing is null, instants are UTC, user ids are integers that join. Oldest first; with ``limit``, newest first.

    Args:
        filters: the API's own parameters, as a dict or ``RunFilters``: ``status``, ``owners``, ``checklist_id``, ``q`` …
            Archived runs are hidden unless ``archived`` is ``"only"`` or ``"include"``.
        limit: only the first so many: the newest, or by the filter ``sort``.
        created_since: only runs created since then: a date, an instant, or ISO text; UTC where no zone is given.
        settings: token, organization and address; default: the environment.
        on_invalid: a value that breaks the contract: ``"raise"``, ``"null"`` (it becomes null) or ``"quarantine"`` (its row
            is set aside in ``report.quarantined``).
        progress: None shows a bar on a terminal or in Jupyter; False is silent; a function gets each ``ProgressEvent``.
        report: a ``LoadReport``, filled in place: rows, requests, values read from another shape, how complete it is proven.

    Raises:
        FilterError: before anything is sent, where a filter cannot be right; or when the API refused or ignored one.
        IncompleteRead: rather than returning less than there is.
        ContractError, DecodeError, PaginationError: the API sent what it should not.
        AuthError, NotFound, RateLimited, ServerError: the API refused, or did not answer.

    Source: ``GET organizations/{org}/runs``.
    """
    return load(
        "runs", filters, limit=limit, created_since=created_since, settings=settings, on_invalid=on_invalid,
        progress=progress, report=report,
    )  # fmt: skip


def iter_runs(  # noqa: PLR0913 - the public face
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
) -> Iterator[pl.DataFrame]:
    """As :func:`load_runs`, in frames of a page or more, while they arrive; see :func:`iter_table`."""
    return iter_table(
        "runs", filters, limit=limit, created_since=created_since, settings=settings, on_invalid=on_invalid,
        progress=progress, report=report,
    )  # fmt: skip


def token_user(settings: Settings) -> int | None:
    """The id of the user whose token this is; None if the API does not tell this token."""
    with Client(settings) as client:
        request = protocol.Request(protocol.organization(settings.org_id, "me"))
        try:
            me = client.ask(request, protocol.read_item)
        except NotFound:
            return None
        except AuthError as error:
            if error.where.get("status") == 403:  # a right that is missing; 401 is a token that is
                return None
            raise
    user = me.get("id") if isinstance(me, dict) else None
    return int(user) if isinstance(user, int | str) and str(user).isdecimal() else None


def _stream(  # noqa: PLR0913 - as load
    spec: Table,
    wanted: Filters,
    *,
    limit: int | None,
    created_since: date | str | None,
    settings: Settings | None,
    on_invalid: OnInvalid,
    progress: ProgressOption,
    report: LoadReport | None,
) -> Iterator[pl.DataFrame]:
    """Check every argument now, then read lazily."""
    if on_invalid not in ON_INVALID:
        raise UsageError(f"on_invalid={on_invalid!r}", hint=f"use {' or '.join(map(repr, ON_INVALID))}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"limit must be a whole number from 1, not {limit!r}")
    since = _instant(created_since)
    sort = getattr(wanted, "sort", None)
    if since is not None and spec.order is None:
        raise UsageError(f"{spec.name} cannot be read by time of creation", hint="leave created_since out")
    if since is not None and limit is not None and sort not in {None, f"-{spec.order}"}:
        raise UsageError("created_since reads newest first", hint=f"with limit, leave out sort={sort!r}")
    job = _Job(
        spec, wanted, limit, since, settings or Settings.from_env(), on_invalid, report if report is not None else LoadReport()
    )
    return job.run(progress)


def _instant(moment: date | str | None) -> datetime | None:
    """``created_since`` in UTC."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise UsageError(f"created_since={moment!r} is no date", hint="write 2026-03-01 or 2026-03-01T12:00:00Z") from None
    if moment is None or isinstance(moment, datetime):
        return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
    if not isinstance(moment, date):
        raise UsageError(f"created_since must be a date, an instant or text, not {type(moment).__name__}")
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)


@dataclass
class _Batch:
    """Rows that wait to be shaped, with the page each came from."""

    pages: list[tuple[Page, Sequence[Row]]] = field(default_factory=list)
    height: int = 0

    def add(self, page: Page, rows: Sequence[Row]) -> None:
        self.pages.append((page, rows))
        self.height += len(rows)

    @property
    def rows(self) -> list[Row]:
        return [row for _, rows in self.pages for row in rows]

    def provenance(self, org_id: str) -> dict[str, list[Any]]:
        """The columns that say where each row came from."""
        columns: dict[str, list[Any]] = {
            f"pagination_{name}": [getattr(page.stated, name) for page, rows in self.pages for _ in rows]
            for name in protocol.Stated.__slots__
        }
        columns["organization_id"] = [org_id] * self.height
        columns["loaded_at"] = [page.received_at for page, rows in self.pages for _ in rows]
        return columns


@dataclass
class _Job:
    """One load, while it runs."""

    spec: Table
    wanted: Filters
    limit: int | None
    since: datetime | None
    settings: Settings
    on_invalid: OnInvalid
    report: LoadReport
    coerced: Counter[str] = field(default_factory=Counter)
    nulled: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    set_aside: list[tuple[str | None, list[str], str]] = field(default_factory=list)

    def run(self, progress: ProgressOption) -> Iterator[pl.DataFrame]:
        """Read every listing in turn; a row that several of them hold comes once."""
        report, spec = self.report, self.spec
        report.clear()
        report.table, report.started_at = spec.name, datetime.now(UTC)
        seen: set[bytes] = set()
        logs: list[WalkLog] = []
        began_s = time.monotonic()
        with Client(self.settings) as client, listening(progress) as tell:
            try:
                for listing in self.wanted.listings():
                    logs.append(WalkLog())
                    for frame in self.read(client, listing, seen, logs[-1]):
                        self.account(client, logs)
                        report.rows += frame.height
                        tell(self.event(logs, began_s))
                        yield frame
                self.account(client, logs)
                report.proof = min((log.proof or "" for log in logs), key=("", "totals", "since", "limit", "seen").index)
                report.complete = True
                tell(self.event(logs, began_s, done=True))
            finally:
                self.account(client, logs)
                report.finished_at = datetime.now(UTC)
        if self.unknown:
            names = ", ".join(sorted(self.unknown)[:20])
            message = f"{spec.name}: keys that no column knows are kept in 'extra': {names}"
            warnings.warn(message, TallyfyFramesWarning, stacklevel=4)

    def read(self, client: Client, listing: Listing, seen: set[bytes], log: WalkLog) -> Iterator[pl.DataFrame]:
        """The valid frames of one listing."""
        plan = Plan(
            per_page=self.settings.page_size,
            key=self.spec.key,
            order=self.spec.order,
            sort=None if self.limit is None else getattr(self.wanted, "sort", None),
            limit=self.limit,
            since=self.since,
        )
        batch, sizes = _Batch(), iter(BATCH_ROWS)
        batch_rows = next(sizes)
        left = self.limit
        try:
            for page, rows in walk(partial(self.fetch, client, listing), plan, seen, log, pause=client.pause):
                if len(rows) < len(page.rows):  # rows of another list: they can show, too, that the API ignored a filter
                    self.check_heeded(self.flat(_Batch([(page, page.rows)], len(page.rows)))[0], listing)
                kept = rows if left is None else rows[:left]
                left = None if left is None else left - len(kept)
                batch.add(page, kept)
                if batch.height >= batch_rows:
                    yield from self.shape(batch, listing)
                    batch, batch_rows = _Batch(), next(sizes, batch_rows)
        except IncompleteRead:
            yield from self.shape(batch, listing)  # a row that breaks the contract says more than the count it upset
            raise
        yield from self.shape(batch, listing)

    def fetch(self, client: Client, listing: Listing, *, page: int, per_page: int, sort: str | None) -> Page:
        """One page of a listing, from the API."""
        path = protocol.organization(self.settings.org_id, self.spec.path)
        request = protocol.list_request(path, listing.params, page=page, per_page=per_page, sort=sort)

        def read(asked: protocol.Request, reply: protocol.Reply) -> Page:
            return protocol.read_page(asked, reply, page=page, per_page=per_page, now=datetime.now(UTC))

        return client.ask(request, read)

    def shape(self, batch: _Batch, listing: Listing) -> Iterator[pl.DataFrame]:
        """Rows as they came → one valid frame, if any are left of them."""
        if not batch.height:
            return
        spec = self.spec
        frame, cells, faults = self.flat(batch)
        self.coerced += cells.coerced
        self.unknown += cells.unknown
        self.check_heeded(frame, listing)
        checked = validate(frame, spec.contract, faults, on_invalid=self.on_invalid, key=spec.key, table=spec.name)
        self.nulled.update(column for _, column, _ in checked.nulled)
        for row, reasons in checked.set_aside.items():
            key = frame[spec.key][row]
            words = [f"{column}: {reason}" for column, reason in reasons]
            self.set_aside.append((None if key is None else str(key), words, masked_json(batch.rows[row])))
        if checked.frame.height:
            yield checked.frame

    def flat(self, batch: _Batch) -> tuple[pl.DataFrame, Cells, list[Breach]]:
        """Rows as they came → a flat frame, how they were read, and the cells that could not be."""
        columns = self.spec.columns
        cells = decode(batch.rows, columns)
        frame, unreadable = flatten(cells.columns, columns, batch.provenance(self.settings.org_id))
        faults = [(fault.row, fault.column, fault.reason) for fault in cells.faults]
        return frame, cells, faults + [(row, column, "text that is no instant") for row, column in unreadable]

    def check_heeded(self, frame: pl.DataFrame, listing: Listing) -> None:
        """Fail where rows show that the API ignored a filter: it would be a bigger table, silently."""
        for name, contradicts in listing.contradictions.items():
            found = frame.filter(contradicts)
            if found.height:
                raise FilterError(
                    f"the API ignored {name}={listing.params[name]!r}: rows came that cannot match it",
                    table=self.spec.name, row=str(found[self.spec.key][0])[:64],
                    hint=f"{found.height} of the first {frame.height} rows; leave the filter out and filter the frame",
                )  # fmt: skip

    def account(self, client: Client, logs: Sequence[WalkLog]) -> None:
        """Bring the report up to date."""
        report, traffic = self.report, client.traffic
        report.requests, report.retries = traffic.requests, traffic.retries
        report.throttled, report.waited_s = traffic.throttled, traffic.waited_s
        report.received_bytes = traffic.received_bytes
        report.pages = sum(log.pages for log in logs)
        report.passes = sum(log.passes for log in logs)
        report.duplicates_dropped = sum(log.duplicates for log in logs)
        report.totals_stated = [total for log in logs for total in log.totals]
        report.values_coerced = dict(+self.coerced)
        report.values_nulled = dict(self.nulled)
        report.unknown_keys = dict(self.unknown)
        report.rows_quarantined = len(self.set_aside)
        report.quarantined = pl.DataFrame(self.set_aside, schema=QUARANTINE_SCHEMA, orient="row")

    def event(self, logs: Sequence[WalkLog], began_s: float, *, done: bool = False) -> ProgressEvent:
        """How far this is."""
        total = sum(log.totals[-1] for log in logs if log.totals) or None
        if self.limit is not None and total is not None:
            total = min(total, self.limit * len(logs))
        return ProgressEvent(
            table=self.spec.name,
            rows=self.report.rows,
            total_rows=total,
            pages=self.report.pages,
            total_pages=None if total is None else -(-total // self.settings.page_size),
            elapsed_s=time.monotonic() - began_s,
            done=done,
        )
