"""What a read will cost, before it is begun: tables, rows, requests, and the time they take at the present pace."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tallyfy_frames.api.forecast import forecast
from tallyfy_frames.api.steps import Ask
from tallyfy_frames.api.transport import Client
from tallyfy_frames.errors import NotFound
from tallyfy_frames.pipeline import Job
from tallyfy_frames.reading import Reading, check_arguments, readings
from tallyfy_frames.report import LoadReport
from tallyfy_frames.settings import Settings
from tallyfy_frames.showing import duration, grid
from tallyfy_frames.tables._filters import Filters, Listing

BESIDES: Final = "to learn whose token it is"


@dataclass(frozen=True, slots=True)
class PlannedList:
    """One list, or one for each row of another, and the tables that are made of it."""

    tables: tuple[str, ...]
    rows: int | None  # of the list, as the API states now; None if it does not
    requests: int  # where ``rows`` is None, as if its first page were all: at least
    seconds: float  # as long as answers take what they took now


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a read takes while the organization stands still: exactly, where no two rows share an instant, else about.

    Where the API does not state how long a list is (``rows`` None), it is the least that it can be.

    Lists that move take a few requests more; a report calls them repairs. ``asked`` requests were sent to find this out, one
    of them for a page of each list.
    """

    lists: tuple[PlannedList, ...]
    besides: int  # requests for no list: whose token it is
    asked: int
    in_flight_max: int
    max_requests_per_minute: int | None
    throttled: bool  # whether the API refused one of them (429): then the time is a guess

    @property
    def requests(self) -> int:
        """All of them."""
        return self.besides + sum(one.requests for one in self.lists)

    @property
    def seconds(self) -> float:
        """As long as answers take what they took now, at the pace that was set. Lists are read one after the other."""
        busy_s = sum(one.seconds for one in self.lists)
        return (
            busy_s if self.max_requests_per_minute is None else max(busy_s, 60 * self.requests / self.max_requests_per_minute)
        )

    def __str__(self) -> str:
        """One line for each list, and one for all."""
        rows = ["?" if one.rows is None else f"{one.rows:,}" for one in self.lists]
        width = max(map(len, rows), default=1)
        lines = [f"{one.requests:>7,} requests  {count:>{width}} rows  {', '.join(one.tables)}"
                 for one, count in zip(self.lists, rows, strict=True)]  # fmt: skip
        lines += [f"{self.besides:>7,} request   {BESIDES}"] if self.besides else []
        return "\n".join([*lines, f"{self.requests:>7,} {self._told()}"])

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        rows = [(", ".join(one.tables), "?" if one.rows is None else one.rows, one.requests) for one in self.lists]
        besides = [(BESIDES, "", self.besides)] if self.besides else []
        return grid(f"{self.requests:,} {self._told()}", ("tables", "rows", "requests"), [*rows, *besides])

    def _told(self) -> str:
        """What all requests take."""
        known = all(one.rows is not None for one in self.lists)
        pace = f"up to {self.in_flight_max} at once"
        pace += f", at most {self.max_requests_per_minute} a minute" if self.max_requests_per_minute else ""
        pace += "; the API throttles, so it may take much longer" if self.throttled else ""
        about = "about" if known else "more than"
        unknown = "" if known else "; at least, since the API does not state how many rows there are"
        return f"requests in all, {about} {duration(self.seconds)} of waiting ({pace}){unknown}"


def plan(
    tables: Collection[str] = ("runs",),
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    whole: bool = False,
) -> RequestPlan:
    """What reading ``tables`` together would take: as :func:`tallyfy_frames.load_dataset` or, ``whole``, a snapshot reads them.

    Asks each list for one page (for ``template_steps`` each template has a list). ``filters`` are those of runs. Raises what a
    load raises.
    """
    check_arguments(settings, "raise", None, None, whole=whole)
    settings = settings or Settings.from_env()
    wanted = readings(tables, filters, whole=whole)
    with Client(settings) as client:
        lists = tuple(_planned(reading, settings, client) for reading in wanted)
        return RequestPlan(
            lists=lists,
            besides=int(whole),
            asked=client.traffic.requests,
            in_flight_max=settings.in_flight_max,
            max_requests_per_minute=settings.max_requests_per_minute,
            throttled=client.traffic.throttled > 0,
        )


@dataclass(frozen=True, slots=True)
class _Listed:
    """One listing: its rows as stated, what it takes, and how long an answer took."""

    rows: int | None
    requests: int
    rounds: int  # answers to wait for, one after the other
    answer_s: float

    @property
    def seconds(self) -> float:
        """Of waiting."""
        return self.rounds * self.answer_s


def _planned(reading: Reading, settings: Settings, client: Client) -> PlannedList:
    job = Job(reading.spec, reading.filters, settings, LoadReport(), reading.makes)
    listings = reading.filters.listings()
    again: list[_Listed] = []
    if reading.spec.each is not None:
        began_s, before = time.monotonic(), replace(client.traffic)
        keys = [*job.each(client)]
        now = client.traffic  # as many as it will take again, but for what went wrong
        found = now.requests - before.requests - (now.retries - before.retries) - (now.throttled - before.throttled)
        again.append(_Listed(0, found, 1, time.monotonic() - began_s))
        listings = tuple(replace(listing, each=key) for key in keys for listing in listings)
    each = [_forecast(job, listing, client) for listing in listings]
    if reading.spec.each is None and len(listings) > 1 and not reading.filters.disjoint:
        again += sorted(each, key=lambda one: one.rows or 0)[:-1]  # all but the longest are read again
        again += [replace(one, requests=1, rounds=1) for one in each]  # and their sizes are asked for
    rows = None if any(one.rows is None for one in each) else sum(one.rows or 0 for one in each)
    names = tuple(table.name for table in reading.makes)
    return PlannedList(names, rows, sum(one.requests for one in (*each, *again)), sum(one.seconds for one in (*each, *again)))


def _forecast(job: Job, listing: Listing, client: Client) -> _Listed:
    """Rows of a listing, and what reading it takes."""
    began_s, size = time.monotonic(), job.settings.page_size
    try:
        answer, _ = job.fetch(client, "plan", listing, Ask(1, 1, size, job.spec.order))
    except NotFound:
        if listing.each is None:
            raise
        return _Listed(0, 1, 1, time.monotonic() - began_s)
    answer_s = time.monotonic() - began_s
    rows = max(len(answer.keys), answer.total or 0)
    served = min(size, answer.per_page or (len(answer.keys) if len(answer.keys) < rows else size))
    found = forecast(job.plan(), rows, served=served, sample=answer.moments, in_flight_max=job.settings.in_flight_max)
    return _Listed(rows if answer.total is not None or not answer.keys else None, found.requests, found.rounds, answer_s)
