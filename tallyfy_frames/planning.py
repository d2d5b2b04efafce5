"""What a read will cost, before it is begun: tables, rows, requests, and the time they take at the present pace."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tallyfy_frames.api import forecast
from tallyfy_frames.api.steps import Ask
from tallyfy_frames.api.transport import Client
from tallyfy_frames.errors import NotFound
from tallyfy_frames.pipeline import Job
from tallyfy_frames.reading import Reading, readings
from tallyfy_frames.report import LoadReport
from tallyfy_frames.settings import Settings
from tallyfy_frames.tables._table import Filters, Listing


@dataclass(frozen=True, slots=True)
class PlannedList:
    """One list, and the tables that are made of it."""

    tables: tuple[str, ...]
    rows: int  # of the list, as the API states now
    requests: int


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a read takes while the organization stands still.

    Rows of the same instant at the end of a page, and lists that move, take a few requests more; a report calls them repairs.
    ``asked`` requests were sent to find this out. An answer took ``answer_s`` seconds then.
    """

    lists: tuple[PlannedList, ...]
    asked: int
    answer_s: float
    in_flight_max: int
    max_requests_per_minute: int | None
    throttled: bool  # whether the API refused one of them (429): then the time is a guess

    @property
    def requests(self) -> int:
        """Of all lists."""
        return sum(one.requests for one in self.lists)

    @property
    def seconds(self) -> float:
        """As long as answers take what they took now, with as many under way as are allowed, at the pace that was set."""
        busy_s = self.requests * self.answer_s / self.in_flight_max
        return (
            busy_s if self.max_requests_per_minute is None else max(busy_s, 60 * self.requests / self.max_requests_per_minute)
        )

    def __str__(self) -> str:
        """One line for each list, and one for all."""
        width = max((len(f"{one.rows:,}") for one in self.lists), default=1)
        lines = [f"{one.requests:>7,} requests  {one.rows:>{width},} rows  {', '.join(one.tables)}" for one in self.lists]
        pace = f"{1000 * self.answer_s:.0f} ms an answer, up to {self.in_flight_max} at once"
        pace += f", at most {self.max_requests_per_minute} a minute" if self.max_requests_per_minute else ""
        pace += "; the API throttles, so it may take much longer" if self.throttled else ""
        return "\n".join([*lines, f"{self.requests:>7,} requests in all, about {_duration(self.seconds)} ({pace})"])


@dataclass
class _Asked:
    """What was asked of the API to make a plan."""

    client: Client
    answers_s: list[float] = field(default_factory=list)


def plan(
    tables: Collection[str] = ("runs",),
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    whole: bool = False,
) -> RequestPlan:
    """What reading ``tables`` together would take: as :func:`tallyfy_frames.load_dataset` or, ``whole``, a snapshot reads them.

    Asks each list for one page. ``filters`` are those of runs. Raises what a load raises.
    """
    settings = settings or Settings.from_env()
    wanted = readings(tables, filters, whole=whole)
    with Client(settings) as client:
        asked = _Asked(client)
        lists = tuple(_planned(reading, settings, asked) for reading in wanted)
        return RequestPlan(
            lists=lists,
            asked=client.traffic.requests,
            answer_s=statistics.median(asked.answers_s) if asked.answers_s else 0.0,
            in_flight_max=settings.in_flight_max,
            max_requests_per_minute=settings.max_requests_per_minute,
            throttled=client.traffic.throttled > 0,
        )


def _planned(reading: Reading, settings: Settings, asked: _Asked) -> PlannedList:
    job = Job(reading.spec, reading.filters, settings, LoadReport(), reading.makes)
    names = tuple(table.name for table in reading.makes)
    listings = reading.filters.listings()
    if reading.spec.each is not None:
        sent = asked.client.traffic.requests
        keys = [*job.each(asked.client)]
        found = asked.client.traffic.requests - sent  # as many as it will take again
        each = [_forecast(job, replace(listing, each=key), asked) for key in keys for listing in listings]
        return PlannedList(names, sum(rows for rows, _ in each), found + sum(requests for _, requests in each))
    each = [_forecast(job, listing, asked) for listing in listings]
    rows = sum(rows for rows, _ in each)
    requests = sum(requests for _, requests in each)
    if len(listings) > 1 and not reading.filters.disjoint:  # sizes are asked for, and all but the longest are read again
        requests += len(listings) + sum(sorted(requests for _, requests in each)[:-1])
    return PlannedList(names, rows, requests)


def _forecast(job: Job, listing: Listing, asked: _Asked) -> tuple[int, int]:
    """Rows of a listing, and requests that reading it takes."""
    began_s, size = time.monotonic(), job.settings.page_size
    try:
        answer, _ = job.fetch(asked.client, "plan", listing, Ask(1, 1, size, job.spec.order))
    except NotFound:
        if listing.each is None:
            raise
        return 0, 1
    asked.answers_s.append(time.monotonic() - began_s)
    rows = max(len(answer.keys), answer.total or 0)
    served = answer.per_page or (len(answer.keys) if len(answer.keys) < rows else size)
    moments = [moment for moment in answer.moments if moment is not None]
    heeded = moments == sorted(moments)
    return rows, forecast.requests(
        job.plan(), rows, served=min(size, served), heeded=heeded, in_flight_max=job.settings.in_flight_max
    )


def _duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
