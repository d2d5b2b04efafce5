"""The recipe: filters → query → pages → decode → flatten → validate, as one stream of valid frames.

Here the conversation (`api/`) and the tables meet; neither knows the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import polars as pl

from tallyfy_frames.api import protocol
from tallyfy_frames.api.flight import fly
from tallyfy_frames.api.ids import Ids
from tallyfy_frames.api.protocol import Stated
from tallyfy_frames.api.steps import PAST_THE_END, Answer, Ask, Plan, identity, moment
from tallyfy_frames.api.transport import Client
from tallyfy_frames.api.walk import Walk
from tallyfy_frames.errors import AuthError, FilterError, IncompleteRead, NotFound, warn
from tallyfy_frames.frames.cells import Cells
from tallyfy_frames.frames.decode import decode, decode_body
from tallyfy_frames.frames.flatten import flatten
from tallyfy_frames.frames.validate import Breach, OnInvalid, validate
from tallyfy_frames.progress import ProgressOption, listening
from tallyfy_frames.report import LoadReport, ProgressEvent
from tallyfy_frames.settings import Settings
from tallyfy_frames.tables._table import Filters, Listing, Table

# Rows shaped and checked together: the first page alone, to fail early, then ever more.
BATCH_ROWS: Final = (1, 1_000, 4_000)
PROOFS: Final = ("still", "counted", "seen")  # from the one that assumes most

QUARANTINE_SCHEMA: Final = pl.Schema([("id", pl.String()), ("reasons", pl.List(pl.String())), ("row", pl.String())])


class Kept(Protocol):
    """Answers that an earlier attempt at the same job has read, each to be used once; and where this one leaves its own."""

    began_at: datetime  # the first request of the first attempt

    def take(self, key: str) -> bytes | None:
        """The next answer kept under ``key``."""

    def asking(self) -> AbstractContextManager[None]:
        """Enter it to ask for an answer and to keep it; this may have to wait."""

    def put(self, key: str, data: bytes) -> None:
        """Keep an answer. Called from several threads."""


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


@dataclass(frozen=True, slots=True)
class _Landing:
    """An answer once it is here: its rows as cells, and what the columns of provenance need."""

    stated: Stated
    received_at: datetime
    cells: Cells

    def taken(self, rows: Sequence[int]) -> _Landing:
        """Only these rows."""
        return self if len(rows) == self.cells.height else replace(self, cells=self.cells.taken(rows))

    def packed(self, answer: Answer) -> bytes:
        """Everything, as bytes. Secrets are masked in cells."""
        facts = (astuple(self.stated), self.received_at, answer.keys, answer.moments, answer.total, answer.per_page)
        return msgspec.msgpack.encode((facts, self.cells.packed()))

    @classmethod
    def unpacked(cls, data: bytes) -> tuple[Answer, _Landing]:
        """What :meth:`packed` packed."""
        (stated, received_at, keys, moments, total, per_page), cells = msgspec.msgpack.decode(data, type=_PACKED)
        return Answer(keys, moments, total, per_page), cls(Stated(*stated), received_at, Cells.unpacked(cells))


_PACKED: Final = tuple[tuple[tuple[int | None, ...], datetime, list[bytes], list[float | None], int | None, int | None], bytes]


@dataclass
class _Batch:
    """Answers that wait to be shaped together."""

    landings: list[_Landing] = field(default_factory=list)
    height: int = 0

    def add(self, landing: _Landing) -> None:
        self.landings.append(landing)
        self.height += landing.cells.height

    def provenance(self, org_id: str) -> list[tuple[dict[str, Any], int]]:
        """The columns that say where rows came from: the same for all rows of an answer, and how many those are."""
        return [
            (
                {f"pagination_{name}": getattr(landing.stated, name) for name in Stated.__slots__}
                | {"organization_id": org_id, "loaded_at": landing.received_at},
                landing.cells.height,
            )
            for landing in self.landings
        ]


@dataclass
class Job:
    """One load, while it runs: its ``report`` is filled in place."""

    spec: Table
    wanted: Filters
    settings: Settings
    report: LoadReport
    on_invalid: OnInvalid = "raise"
    limit: int | None = None
    since: datetime | None = None
    allow_incomplete: bool = False
    kept: Kept | None = None
    walks: list[Walk] = field(default_factory=list)
    ids: Ids = field(default_factory=Ids)
    again: int = 0  # rows that came again
    coerced: Counter[str] = field(default_factory=Counter)
    nulled: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    set_aside: list[tuple[str | None, list[str], str]] = field(default_factory=list)
    incomplete: IncompleteRead | None = None

    def run(self, progress: ProgressOption) -> Generator[pl.DataFrame]:
        """Read every listing in turn; a row that several of them hold comes once."""
        report, spec = self.report, self.spec
        report.clear()
        report.table = spec.name
        report.started_at = datetime.now(UTC) if self.kept is None else self.kept.began_at
        began_s = time.monotonic()
        with Client(self.settings) as client, listening(progress) as tell:
            try:
                for name, listing, had_rows in self.sequence(client):
                    for frame in self.read(client, name, listing, had_rows=had_rows):
                        report.rows += frame.height
                        self.account(client)
                        tell(self.event(began_s))
                        yield frame
                report.complete = self.incomplete is None
                proofs = [walk.proof for walk in self.walks if walk.proof is not None]
                report.proof = min(proofs, key=PROOFS.index) if report.complete else None
                self.account(client)
                tell(self.event(began_s, done=True))
            finally:
                self.account(client)
                report.quarantined = pl.DataFrame(self.set_aside, schema=QUARANTINE_SCHEMA, orient="row")
                report.finished_at = datetime.now(UTC)
        if self.unknown:
            names = ", ".join(sorted(self.unknown)[:20])
            warn(f"{spec.name}: keys that no column knows are kept in 'extra': {names}")

    def sequence(self, client: Client) -> Iterator[tuple[str, Listing, bool]]:
        """The listings in the order to read them, each under a name of its own; and whether it just had rows.

        A row can move from one list to another while they are read one after the other: out of one that is not read yet into
        one that is. So all but the last are read again. A row that moved once is then in a list that was read after its
        move: had it left its list before that was read, it was in the other from then on, and the other's last reading
        comes after. The longest list comes last, since it is read only once.
        """
        listings = self.wanted.listings()
        if len(listings) == 1:
            yield "list", listings[0], False
            return
        sizes = [self.size(client, f"size {n}", listing) for n, listing in enumerate(listings)]
        order = sorted(range(len(listings)), key=lambda n: sizes[n])
        for reading, numbers in enumerate((order, order[:-1]), start=1):
            for n in numbers:
                yield f"list {n} reading {reading}", listings[n], reading == 1 and sizes[n] > 0

    def size(self, client: Client, name: str, listing: Listing) -> int:
        """How many rows a listing seems to have: a hint."""
        answer, _ = self.fetch(client, name, listing, Ask(1, 1, 1, None))
        return max(len(answer.keys), answer.total or 0)

    def read(self, client: Client, name: str, listing: Listing, *, had_rows: bool) -> Iterator[pl.DataFrame]:
        """The valid frames of one listing."""
        plan = Plan(
            per_page=self.settings.page_size,
            order=self.spec.order,
            sort=None if self.limit is None else getattr(self.wanted, "sort", None),
            limit=self.limit,
            since=self.since,
            proof=self.settings.proof,
            had_rows=had_rows,
        )
        walk = Walk(plan)
        self.walks.append(walk)
        batch, sizes = _Batch(), iter(BATCH_ROWS)
        batch_rows = next(sizes)
        found: list[tuple[_Landing, Sequence[int], Answer]] = []  # with ``limit``: which rows are the first shows at the end
        landed = fly(
            walk,
            lambda ask: self.fetch(client, name, listing, ask),
            in_flight_max=self.settings.in_flight_max,
            troubles=lambda: client.traffic.retries + client.traffic.throttled,
        )
        try:
            for ask, answer, landing in landed:
                if ask.number == 1 and len(self.walks) > 1:  # rows of another list show, too, whether the filter was ignored
                    self.check_heeded(self.flat(_Batch([landing], landing.cells.height))[0], listing)
                fresh = self.fresh(answer, landing)
                if self.limit is not None:
                    found.append((landing, fresh, answer))
                    continue
                batch.add(landing.taken(fresh))
                if batch.height >= batch_rows:
                    yield from self.shape(batch, listing)
                    batch, batch_rows = _Batch(), next(sizes, batch_rows)
        except IncompleteRead as incomplete:
            if not self.allow_incomplete:
                yield from self.shape(batch, listing)  # a row that breaks the contract says more than the count it upset
                raise
            self.incomplete = incomplete
        finally:
            landed.close()  # an error raised here would keep its threads waiting for as long as somebody looks at it
        for landing in self.first(found, walk):
            batch.add(landing)
        yield from self.shape(batch, listing)

    def fresh(self, answer: Answer, landing: _Landing) -> list[int]:
        """The rows that are new, and not older than wanted. What should be an instant and is none stays: a contract says so."""
        wanted: Sequence[int] = range(len(answer.keys))
        if self.since is not None and self.spec.order is not None:
            since_s, cells = self.since.timestamp(), landing.cells
            odd = {fault.row for fault in cells.faults}
            odd |= {row for row, text in enumerate(cells.columns[self.spec.order]) if text is not None}
            wanted = [row for row, made in enumerate(answer.moments) if (row in odd if made is None else made >= since_s)]
        add, keys = self.ids.add, answer.keys
        fresh = [row for row in wanted if add(keys[row])]
        self.again += len(wanted) - len(fresh)
        return fresh

    def first(self, found: Sequence[tuple[_Landing, Sequence[int], Answer]], walk: Walk) -> Iterator[_Landing]:
        """With ``limit``: the rows that are wanted; all that came, where the walk knows no order."""
        plan, chosen = walk.plan, walk.chosen
        places = [(landing, row, answer) for landing, rows, answer in found for row in rows]
        if chosen is not None:
            wanted_keys = set(chosen)
            places = [place for place in places if place[2].keys[place[1]] in wanted_keys]
        elif plan.order is not None:
            places.sort(key=lambda place: place[2].moments[place[1]] or 0.0, reverse=plan.sort != plan.order)
            places = places[: plan.limit]
        wanted: dict[int, tuple[_Landing, list[int]]] = {}
        for landing, row, _ in places:
            wanted.setdefault(id(landing), (landing, []))[1].append(row)
        for landing, rows in wanted.values():
            yield landing.taken(sorted(rows))

    def fetch(self, client: Client, name: str, listing: Listing, ask: Ask) -> tuple[Answer, _Landing]:
        """One page of a listing, from an earlier attempt or from the API. Runs in several threads."""
        path = protocol.organization(self.settings.org_id, self.spec.path)
        sort = None if ask.sort is None else self.spec.sort_words.get(ask.sort, ask.sort)
        request = protocol.list_request(path, listing.params, page=ask.page, per_page=ask.per_page, sort=sort)
        key = f"{name}: {request.target}"
        data = None if self.kept is None else self.kept.take(key)
        if data is not None:
            return _Landing.unpacked(data)
        if self.kept is None:
            return self.ask(client, request, ask)
        with self.kept.asking():
            answer, landing = self.ask(client, request, ask)
            self.kept.put(key, landing.packed(answer))
        return answer, landing

    def ask(self, client: Client, request: protocol.Request, ask: Ask) -> tuple[Answer, _Landing]:
        """One page from the API."""

        def read(asked: protocol.Request, reply: protocol.Reply) -> tuple[Answer, _Landing]:
            now, rows = datetime.now(UTC), None
            known = decode_body(reply.body, self.spec.columns, protocol.number)
            if known is not None and None not in known[0].columns[self.spec.key]:
                cells, stated = known[0], protocol.read_stated(known[1])
            else:
                page = protocol.read_page(asked, reply, page=ask.page)
                cells, stated, rows = decode(page.rows, self.spec.columns), page.stated, page.rows
            answer = self.answer(cells, stated, rows)
            protocol.judge(asked, stated, answer.keys, page=ask.page)
            return answer, _Landing(stated, now, cells)

        if ask.after_pause:
            client.pause()
        try:
            return client.ask(request, read)
        except (NotFound, FilterError):
            if ask.page == 1:
                raise
            nothing = _Landing(Stated(), datetime.now(UTC), decode((), self.spec.columns))
            return PAST_THE_END, nothing  # there are not so many pages, and the API says so by refusing

    def answer(self, cells: Cells, stated: Stated, rows: Sequence[protocol.Row] | None) -> Answer:
        """What the walk needs to know. A row whose key cannot be read is known by all that it holds."""
        spec = self.spec
        found = cells.columns[spec.key]
        keys = [identity({spec.key: value} if value is not None or rows is None else rows[row], spec.key)
                for row, value in enumerate(found)]  # fmt: skip
        moments = [None] * len(keys) if spec.order is None else [moment(text) for text in cells.columns[spec.order]]
        return Answer(keys, moments, stated.total, stated.per_page)

    def shape(self, batch: _Batch, listing: Listing) -> Iterator[pl.DataFrame]:
        """Rows as they came → one valid frame, if any are left of them."""
        if not batch.height:
            return
        spec = self.spec
        frame, cells, faults = self.flat(batch)
        self.coerced += cells.coerced
        self.unknown += cells.unknown
        self.check_heeded(frame, listing)
        checked = validate(frame, spec, faults, on_invalid=self.on_invalid)
        self.nulled.update(column for _, column, _ in checked.nulled)
        for row, reasons in checked.set_aside.items():
            key = frame[spec.key][row]
            words = [f"{column}: {reason}" for column, reason in reasons]
            self.set_aside.append((None if key is None else str(key), words, cells.row_text(row)))
        if checked.frame.height:
            yield checked.frame

    def flat(self, batch: _Batch) -> tuple[pl.DataFrame, Cells, list[Breach]]:
        """Rows as they came → a flat frame, how they were read, and the cells that could not be."""
        columns = self.spec.columns
        cells = Cells.joined([landing.cells for landing in batch.landings])
        frame, unreadable = flatten(cells, columns, batch.provenance(self.settings.org_id))
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

    def account(self, client: Client) -> None:
        """Bring the report up to date."""
        report, traffic, logs = self.report, client.traffic, [walk.log for walk in self.walks]
        report.requests, report.retries = traffic.requests, traffic.retries
        report.throttled, report.waited_s = traffic.throttled, traffic.waited_s
        report.received_bytes = traffic.received_bytes
        report.pages = sum(log.requests for log in logs)
        report.passes = sum(log.passes for log in logs)
        report.repairs = sum(log.repairs for log in logs)
        report.duplicates_dropped = self.again
        report.totals_stated = [total for log in logs for total in log.totals]
        report.values_coerced = dict(+self.coerced)
        report.values_nulled = dict(self.nulled)
        report.unknown_keys = dict(self.unknown)
        report.rows_quarantined = len(self.set_aside)

    def event(self, began_s: float, *, done: bool = False) -> ProgressEvent:
        """How far this is."""
        totals = [walk.log.totals[-1] for walk in self.walks if walk.log.totals]
        total = sum(totals[: len(self.wanted.listings())]) or None  # the readings after these are of the same lists
        if self.limit is not None and total is not None:
            total = min(total, self.limit * len(totals))
        return ProgressEvent(
            table=self.spec.name,
            rows=self.report.rows,
            total_rows=total,
            pages=self.report.pages,
            total_pages=None if total is None else -(-total // self.settings.page_size),
            elapsed_s=time.monotonic() - began_s,
            done=done,
        )
