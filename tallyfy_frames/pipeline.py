"""The recipe: filters → query → pages → decode → flatten → validate, as one stream of valid frames.

Here the conversation (`api/`) and the tables meet; neither knows the other.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.api import protocol
from tallyfy_frames.api.flight import fly
from tallyfy_frames.api.ids import Ids
from tallyfy_frames.api.protocol import Stated
from tallyfy_frames.api.steps import PAST_THE_END, Answer, Ask, Plan, identity, moment
from tallyfy_frames.api.transport import Client
from tallyfy_frames.api.walk import Walk
from tallyfy_frames.errors import ContractError, FilterError, IncompleteRead, NotFound, warn
from tallyfy_frames.frames.cells import Cells
from tallyfy_frames.frames.decode import decode, decode_body
from tallyfy_frames.frames.privacy import Privacy
from tallyfy_frames.frames.validate import OnInvalid
from tallyfy_frames.landing import Batch, Landing
from tallyfy_frames.progress import Listener, ProgressOption, listening, silent
from tallyfy_frames.report import LoadReport, ProgressEvent
from tallyfy_frames.settings import Settings
from tallyfy_frames.shaping import Shaping
from tallyfy_frames.tables._filters import Filters, Listing
from tallyfy_frames.tables._table import Table

# Rows shaped and checked together: the first page alone, to fail early, then ever more.
BATCH_ROWS: Final = (1, 1_000, 4_000)
PROOFS: Final = ("still", "counted", "seen")  # from the one that assumes most


class Kept(Protocol):
    """Answers that an earlier attempt at the same job has read, each to be used once; and where this one leaves its own."""

    began_at: datetime  # the first request of the first attempt

    def take(self, key: str) -> bytes | None:
        """The next answer kept under ``key``."""

    def asking(self) -> AbstractContextManager[None]:
        """Enter it to ask for an answer and to keep it; this may have to wait."""

    def put(self, key: str, data: bytes) -> None:
        """Keep an answer. Called from several threads."""


@dataclass
class Job:
    """One list that is read, while it is: its ``report`` is filled in place, for the first of ``makes``."""

    spec: Table  # the list
    wanted: Filters
    settings: Settings
    report: LoadReport
    makes: Sequence[Table] = ()  # the tables made of it: of its rows, or of what stands inside them; none: of its rows
    on_invalid: OnInvalid = "raise"
    limit: int | None = None
    since: datetime | None = None
    allow_incomplete: bool = False
    kept: Kept | None = None
    privacy: Privacy = field(default_factory=Privacy)
    reveal: Collection[str] = ()  # secret columns that are wanted all the same
    walks: list[Walk] = field(default_factory=list)
    walked_before: list[Walk] = field(default_factory=list)  # to learn which lists there are
    ids: Ids = field(default_factory=Ids)
    again: int = 0  # rows that came again
    landed: int = 0  # rows that came for the first time
    began_s: float = 0.0  # by the monotonic clock
    tell: Listener = silent
    picked: list[tuple[Listing, Landing]] = field(default_factory=list)  # with ``limit``: the first rows of each listing
    gone: list[str] = field(default_factory=list)  # of a table with ``each``: what had no list any more
    incomplete: IncompleteRead | None = None

    def __post_init__(self) -> None:
        """How its answers are shaped."""
        self.makes = self.makes or (self.spec,)
        self.shaping = Shaping(self.spec, self.makes, self.settings.org_id, self.on_invalid, self.privacy, self.reveal)

    def run(self, progress: ProgressOption) -> Generator[tuple[str, pl.DataFrame]]:
        """Read every listing in turn: tables by name, in frames. A row that several listings hold comes once."""
        report = self.report
        report.clear()
        report.table = self.makes[0].name
        report.started_at = datetime.now(UTC) if self.kept is None else self.kept.began_at
        self.began_s = time.monotonic()
        with Client(self.settings) as client, listening(progress) as self.tell:
            try:
                for name, frame in self.frames(client):
                    if name == report.table:
                        report.rows += frame.height
                    else:
                        report.parts[name] = report.parts.get(name, 0) + frame.height
                    self.account(client)
                    yield name, frame
                report.complete = self.incomplete is None
                proofs = [walk.proof for walk in (*self.walked_before, *self.walks) if walk.proof is not None]
                report.proof = min(proofs, key=PROOFS.index, default="seen") if report.complete else None
                self.account(client)
                self.tell(self.event(self.shaping.rows, done=True))
            finally:
                self.account(client)
                report.quarantined = self.shaping.quarantined()
                report.finished_at = datetime.now(UTC)
        if report.unknown_keys:
            names = ", ".join(sorted(report.unknown_keys)[:20])
            warn(f"{report.table}: keys that no column knows are kept in 'extra': {names}")
        if report.unknown_words:
            told = sorted(f"{column} {word!r}" for column, words in report.unknown_words.items() for word in words)
            warn(f"{report.table}: words that no table lists are kept as they are: {', '.join(told[:20])}")
        for key, rows in report.rows_cut_off.items():
            what = f"{report.table}: {rows} {self.spec.name} state more {key} than came with them"
            warn(f"{what}; the API may cut off what it includes")
        if self.gone:
            what = f"{report.table}: the API has no list for {len(self.gone)} of the {self.spec.each}"
            warn(f"{what} (archived, or deleted since): {', '.join(self.gone[:3])}")

    def frames(self, client: Client) -> Iterator[tuple[str, pl.DataFrame]]:
        """The same, without what surrounds it."""
        for name, listing, had_rows in self.sequence(client):
            try:
                yield from self.read(client, name, listing, had_rows=had_rows)
            except NotFound as error:
                if listing.each is None:
                    raise
                if not isinstance(self.wanted.parents(), Mapping):
                    error.hint = f"there is no such row in {self.spec.each}, or it is archived: the API lists nothing for those"
                    raise
                self.gone.append(listing.each)
        if self.limit is not None:
            yield from self.shape_first()

    def each(self, client: Client) -> Iterator[str]:
        """The keys of the rows for each of which there is a list."""
        assert self.spec.each is not None  # noqa: S101 - asked for where there are such
        parents, chosen = tables.get(self.spec.each), self.wanted.parents()
        if not isinstance(chosen, Mapping):
            yield from chosen
            return
        job = Job(
            parents, parents.filters.parse(chosen), self.settings, LoadReport(), on_invalid="null", kept=self.kept,
            privacy=self.privacy,
        )  # fmt: skip
        keys = [key for _, frame in job.frames(client) for key in frame[parents.key[0]]]
        if job.shaping.set_aside:
            what = f"{len(job.shaping.set_aside)} {parents.name} cannot be read, so what belongs to them cannot be asked for"
            raise ContractError(what, table=self.makes[0].name, hint=f"load {parents.name} to see which")
        self.walked_before += job.walks
        yield from keys

    def sequence(self, client: Client) -> Iterator[tuple[str, Listing, bool]]:
        """The listings in the order to read them, each under a name of its own; and whether it just had rows.

        A row can move from one list to another while they are read one after the other: out of one that is not read yet into
        one that is. So all but the last are read again. A row that moved once is then in a list that was read after its
        move: had it left its list before that was read, it was in the other from then on, and the other's last reading
        comes after. The longest list comes last, since it is read only once.
        """
        listings = self.wanted.listings()
        if self.spec.each is not None:
            for key in self.each(client):
                yield from ((f"of {key}", replace(listing, each=key), False) for listing in listings)
            return
        if len(listings) == 1 or self.wanted.disjoint:
            yield from ((f"list {n}" if n else "list", listing, False) for n, listing in enumerate(listings))
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

    def read(self, client: Client, name: str, listing: Listing, *, had_rows: bool) -> Iterator[tuple[str, pl.DataFrame]]:
        """The valid frames of one listing."""
        walk = Walk(self.plan(had_rows=had_rows))
        self.walks.append(walk)
        batch, sizes = Batch(), iter(BATCH_ROWS)
        batch_rows = next(sizes)
        found: list[tuple[Landing, Sequence[int], Answer]] = []  # with ``limit``: which rows are the first shows at the end
        landed = fly(
            walk,
            lambda ask: self.fetch(client, name, listing, ask),
            in_flight_max=self.settings.in_flight_max,
            troubles=lambda: client.traffic.retries + client.traffic.throttled,
        )
        try:
            for ask, answer, landing in landed:
                # Rows that another list has shown already tell, too, whether the filter was ignored.
                if ask.number == 1 and len(self.walks) > 1 and listing.contradictions:
                    self.shaping.check_heeded(self.shaping.flat(Batch([landing], landing.cells.height), self.spec)[0], listing)
                fresh = self.fresh(answer, landing)
                self.landed += len(fresh)
                if self.tell is not silent:  # the report's totals grow with the pages: only for who listens
                    self.account(client)
                    self.tell(self.event(self.landed))
                if self.limit is not None:
                    found.append((landing, fresh, answer))
                    continue
                batch.add(landing.taken(fresh))
                if batch.all_rows >= batch_rows:
                    yield from self.shaping.shape(batch, listing)
                    batch, batch_rows = Batch(), next(sizes, batch_rows)
        except IncompleteRead as incomplete:
            if not self.allow_incomplete:
                # A row that breaks the contract says more than the count it upset.
                yield from self.shaping.shape(batch, listing)
                raise
            self.incomplete = incomplete
        finally:
            landed.close()  # an error raised here would keep its threads waiting for as long as somebody looks at it
        if self.limit is not None:
            self.picked += [(listing, landing) for landing in self.first(found, walk)]
        else:
            yield from self.shaping.shape(batch, listing)

    def plan(self, *, had_rows: bool = False) -> Plan:
        """How a listing is read; ``had_rows``: it had some a moment ago."""
        return Plan(
            per_page=self.settings.page_size,
            order=self.spec.order,
            sort=None if self.limit is None else getattr(self.wanted, "sort", None),
            limit=self.limit,
            since=self.since,
            proof=self.settings.proof,
            had_rows=had_rows,
        )

    def fresh(self, answer: Answer, landing: Landing) -> list[int]:
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

    def first(self, found: Sequence[tuple[Landing, Sequence[int], Answer]], walk: Walk) -> Iterator[Landing]:
        """With ``limit``: the rows that are wanted; all that came, where the walk knows no order."""
        plan, chosen = walk.plan, walk.chosen
        places = [(landing, row, answer) for landing, rows, answer in found for row in rows]
        if chosen is not None:
            wanted_keys = set(chosen)
            places = [place for place in places if place[2].keys[place[1]] in wanted_keys]
        elif plan.order is not None:
            places.sort(key=lambda place: place[2].moments[place[1]] or 0.0, reverse=plan.sort != plan.order)
            places = places[: plan.limit]
        wanted: dict[int, tuple[Landing, list[int]]] = {}
        for landing, row, _ in places:
            wanted.setdefault(id(landing), (landing, []))[1].append(row)
        for landing, rows in wanted.values():
            yield landing.taken(sorted(rows))

    def shape_first(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """With ``limit``: of the first rows of each listing those that are the first of all."""
        key, order = self.spec.key[0], self.spec.order
        wanted: list[Sequence[int]] = [range(landing.cells.height) for _, landing in self.picked]
        if order is not None and len({id(listing) for listing, _ in self.picked}) > 1:
            falling = getattr(self.wanted, "sort", None) != order
            places: list[tuple[bool, float, str, int, int]] = []
            for n, (_, landing) in enumerate(self.picked):
                columns = landing.cells.columns
                for row, (made, name) in enumerate(zip(map(moment, columns[order]), columns[key], strict=True)):
                    places.append((made is None, -(made or 0.0) if falling else made or 0.0, str(name), n, row))
            first = {place[3:] for place in sorted(places)[: self.limit]}
            wanted = [[row for row in rows if (n, row) in first] for n, rows in enumerate(wanted)]
        for (listing, landing), rows in zip(self.picked, wanted, strict=True):
            batch = Batch()
            batch.add(landing.taken(rows))
            yield from self.shaping.shape(batch, listing)

    def fetch(self, client: Client, name: str, listing: Listing, ask: Ask) -> tuple[Answer, Landing]:
        """One page of a listing, from an earlier attempt or from the API. Runs in several threads."""
        request = self.request(listing, ask)
        key = f"{name}: {request.target}"
        data = None if self.kept is None else self.kept.take(key)
        if data is not None:
            return Landing.unpacked(data)
        if self.kept is None:
            return self.ask(client, request, ask)
        with self.kept.asking():
            answer, landing = self.ask(client, request, ask)
            self.kept.put(key, landing.packed(answer))
        return answer, landing

    def request(self, listing: Listing, ask: Ask) -> protocol.Request:
        """What asks for one page, and for all that the parts are made of."""
        path = [str(listing.each) if part == "{}" else part for part in self.spec.path.split("/")]
        sort = None if ask.sort is None else self.spec.sort_words.get(ask.sort, ask.sort)
        place = protocol.organization(self.settings.org_id, *path)
        return protocol.list_request(place, self.shaping.asked(listing).params, page=ask.page, per_page=ask.per_page, sort=sort)

    def ask(self, client: Client, request: protocol.Request, ask: Ask) -> tuple[Answer, Landing]:
        """One page from the API."""

        def read(asked: protocol.Request, reply: protocol.Reply) -> tuple[Answer, Landing]:
            now, rows = datetime.now(UTC), None
            known = decode_body(reply.body, self.shaping.wire, protocol.number)
            if known is not None and None not in known[0].columns[self.spec.key[0]]:
                cells, stated = known[0], protocol.read_stated(known[1])
            else:
                page = protocol.read_page(asked, reply, page=ask.page)
                cells, stated, rows = decode(page.rows, self.shaping.wire), page.stated, page.rows
            answer = self.answer(cells, stated, rows)
            protocol.judge(asked, stated, answer.keys, page=ask.page)
            return answer, self.shaping.landing(stated, now, cells)

        if ask.after_pause:
            client.pause()
        try:
            return client.ask(request, read)
        except (NotFound, FilterError):
            if ask.page == 1:
                raise
            nothing = self.shaping.landing(Stated(), datetime.now(UTC), decode((), self.shaping.wire))
            return PAST_THE_END, nothing  # there are not so many pages, and the API says so by refusing

    def answer(self, cells: Cells, stated: Stated, rows: Sequence[protocol.Row] | None) -> Answer:
        """What the walk needs to know. A row whose key cannot be read is known by all that it holds."""
        key, order = self.spec.key[0], self.spec.order
        found = cells.columns[key]
        keys = [identity({key: value} if value is not None or rows is None else rows[row], key)
                for row, value in enumerate(found)]  # fmt: skip
        moments = [None] * len(keys) if order is None else [moment(text) for text in cells.columns[order]]
        return Answer(keys, moments, stated.total, stated.per_page)

    def account(self, client: Client) -> None:
        """Bring the report up to date."""
        report, traffic = self.report, client.traffic
        logs = [walk.log for walk in (*self.walked_before, *self.walks)]
        report.requests, report.retries = traffic.requests, traffic.retries
        report.throttled, report.waited_s = traffic.throttled, traffic.waited_s
        report.received_bytes = traffic.received_bytes
        report.pages = sum(log.requests for log in logs)
        report.passes = sum(log.passes for log in logs)
        report.repairs = sum(log.repairs for log in logs)
        report.duplicates_dropped = self.again
        report.totals_stated = [total for walk in self.walks for total in walk.log.totals]
        report.lists_gone = len(self.gone)
        self.shaping.note(report)

    def event(self, rows: int, *, done: bool = False) -> ProgressEvent:
        """How far this is, with so many rows."""
        totals = [walk.log.totals[-1] for walk in self.walks if walk.log.totals]
        total = sum(totals[: len(self.wanted.listings())]) or None  # the readings after these are of the same lists
        if self.spec.each is not None:
            total = None  # nobody knows before the last list is read
        elif self.limit is not None and total is not None:
            total = min(total, self.limit * len(totals))
            rows = min(rows, total)
        return ProgressEvent(
            table=self.spec.name,
            rows=rows,
            total_rows=total,
            pages=self.report.pages,
            total_pages=None if total is None else -(-total // self.settings.page_size),
            elapsed_s=time.monotonic() - self.began_s,
            done=done,
        )
