"""Which page to ask for next, and whether the pages make the whole list. Pure: ``fetch`` and ``pause`` are passed in.

The list is paged by offset and may move while it is read, so the end of the pages proves nothing by itself. A walk is
accepted as complete when

* one answer, shorter than asked, holds as many rows as the total it states (then it is the list), or
* every answer stated the same total, exactly so many distinct rows came, and they reach the end: the newest rows seen at the
  start are among them or, where the list has no known order, nothing comes after a full last page, or
* no answer stated a total, and full pages in order, no row twice, led from the oldest row to the newest seen at the start.

Otherwise the list moved or the answers are wrong: it is read again, a few times, and then ``IncompleteRead`` is raised. What
this cannot see is one row leaving and another entering between two requests, at the same total.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from tallyfy_frames.api.protocol import Page, Row
from tallyfy_frames.errors import FilterError, IncompleteRead, NotFound, PaginationError

PASSES_MAX: Final = 3
EMPTY_WITNESSES: Final = 3  # answers that must agree before a list is taken to be empty: a hiccup looks the same


class Fetch(Protocol):
    """Asks for one page."""

    def __call__(self, *, page: int, per_page: int, sort: str | None) -> Page:
        """The page, or the error that all attempts ended in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to read of a list."""

    per_page: int
    key: str = "id"
    order: str | None = None  # the parameter (and key) that lists oldest first; None if the route has none
    sort: str | None = None  # with ``limit``: the order that says which rows are the first
    limit: int | None = None
    since: datetime | None = None  # rows created before are not wanted; needs ``order``


@dataclass(slots=True)
class WalkLog:
    """What a walk did so far; ``proof`` is set once it is accepted."""

    passes: int = 0
    pages: int = 0
    rows: int = 0  # before duplicates are dropped
    duplicates: int = 0
    totals: list[int] = field(default_factory=list)  # each total stated that differs from the one before
    proof: str | None = None

    def note(self, page: Page) -> None:
        """Count a page."""
        self.pages += 1
        total = page.stated.total
        if total is not None and self.totals[-1:] != [total]:
            self.totals.append(total)


def walk(
    fetch: Fetch, plan: Plan, seen: set[bytes], log: WalkLog, *, pause: Callable[[], None]
) -> Iterator[tuple[Page, Sequence[Row]]]:
    """Every page with those of its rows that are not in ``seen`` yet; ``seen`` grows. Ends only when complete.

    ``pause`` waits a moment, where asking again at once would meet the same hiccup. Raises ``IncompleteRead`` if the list
    cannot be shown to be complete.
    """
    reason = ""
    while log.passes < PASSES_MAX:
        log.passes += 1
        one = _Pass(plan, pause, had_rows=log.rows > 0)
        for page in one.pages(fetch):
            log.note(page)
            keys = [identity(row, plan.key) for row in page.rows]
            fresh = []
            for key, row in zip(keys, page.rows, strict=True):
                if key in seen:
                    log.duplicates += 1
                else:
                    seen.add(key)
                    fresh.append(row)
            log.rows += len(page.rows)
            yield page, fresh
        log.proof, reason = one.verdict()
        if log.proof:
            return
    raise IncompleteRead(
        f"the list could not be read completely: {reason}", passes=log.passes, totals=log.totals, rows=len(seen),
        hint="try again when fewer runs change, or narrow the filters"
        if len(log.totals) > 1
        else "the total that the API states does not fit its rows: report it to Tallyfy's support",
    )  # fmt: skip


class _Pass:
    """One reading of the list, from its first page on."""

    def __init__(self, plan: Plan, pause: Callable[[], None], *, had_rows: bool) -> None:
        self.plan = plan
        self.pause = pause
        self.had_rows = had_rows  # whether an earlier pass saw any
        self.found: set[bytes] = set()
        self.totals: set[int | None] = set()
        self.tail: set[bytes] = set()  # the newest rows, when the pass began
        self.proof: str | None = None
        self.in_order = True
        self.smooth = True  # full pages up to the last, and no row twice
        self.last_moment: datetime | None = None
        self.short = False  # whether a page was not full

    @property
    def newest_first(self) -> bool:
        """Whether only the first rows of an order are wanted, so that the walk may stop before the list's end."""
        return self.plan.limit is not None or self.plan.since is not None

    def pages(self, fetch: Fetch) -> Iterator[Page]:
        """Ask until something proves the end, or nothing more comes."""
        plan = self.plan
        sort = (plan.sort or (plan.order and f"-{plan.order}")) if self.newest_first else plan.order
        per_page = min(plan.per_page, plan.limit or plan.per_page)
        witnesses = 1
        if plan.order and not self.newest_first:
            tail = fetch(page=1, per_page=per_page, sort=f"-{plan.order}")
            witnesses += 1
            self.note(tail)
            self.check_order(tail, f"-{plan.order}")
            self.last_moment = None
            self.tail = {identity(row, plan.key) for row in tail.rows}
            if 0 < len(tail.rows) < min(per_page, tail.stated.per_page or per_page) and tail.stated.total == len(tail.rows):
                self.found, self.proof = self.tail, "seen"
                yield tail
                return
        if plan.sort and plan.sort.removeprefix("-") != plan.order:
            self.check_sort_is_heeded(fetch, plan.sort, per_page)
        number = 0
        while not self.ended:
            number += 1
            page = fetch(page=number, per_page=per_page, sort=sort)
            while number == 1 and not page.rows and witnesses < EMPTY_WITNESSES:
                self.pause()
                page = fetch(page=number, per_page=per_page, sort=sort)
                witnesses += 1
            before = len(self.found)
            self.take(page, per_page)
            self.check_order(page, sort)
            yield self.cut(page)
            if self.reached(page) or len(self.found) == before:
                return
        if not self.tail and not self.short:
            self.look_behind(fetch, number + 1, per_page, sort)

    @property
    def ended(self) -> bool:
        """Whether the rows found are as many as stated, and reach the newest."""
        total = max((total for total in self.totals if total is not None), default=None)
        return bool(self.found) and total is not None and len(self.found) >= total and self.tail <= self.found

    def note(self, page: Page) -> None:
        """Keep what the page states."""
        self.totals.add(page.stated.total)

    def take(self, page: Page, per_page: int) -> None:
        """Add a page's rows."""
        keys = {identity(row, self.plan.key) for row in page.rows}
        self.smooth = self.smooth and not (keys & self.found) and not (self.short and keys)
        self.short = len(page.rows) < min(per_page, page.stated.per_page or per_page)
        self.note(page)
        self.found |= keys

    def look_behind(self, fetch: Fetch, number: int, per_page: int, sort: str | None) -> None:
        """A full last page at the stated total: nothing may come after it, or the total is wrong."""
        try:
            self.found |= {identity(row, self.plan.key) for row in fetch(page=number, per_page=per_page, sort=sort).rows}
        except (NotFound, FilterError):  # a server may refuse a page past the end
            return

    def cut(self, page: Page) -> Page:
        """The page without the rows that are not wanted; a row without an instant of creation is kept."""
        since, order = self.plan.since, self.plan.order
        if since is None or order is None:
            return page
        kept = tuple(row for row in page.rows if (made := moment(row.get(order))) is None or made >= since)
        return replace(page, rows=kept)

    def reached(self, page: Page) -> bool:
        """Whether the rows wanted are all there before the list's end."""
        plan = self.plan
        sound = self.smooth or None not in self.totals  # with a total, each answer was held to it
        if plan.limit is not None and len(self.found) >= plan.limit and sound:
            self.proof = "limit"
        if plan.since is not None and self.last_moment is not None and self.last_moment < plan.since and sound:
            self.proof = "since"
        return self.proof is not None or (page.stated.total == 0 and not page.rows)

    def check_sort_is_heeded(self, fetch: Fetch, sort: str, per_page: int) -> None:
        """Fail if ascending and descending come out the same: the first rows would be any rows.

        How the API collates text is not documented, so the order itself cannot be checked.
        """
        other, key = (sort[1:] if sort.startswith("-") else f"-{sort}"), sort.removeprefix("-")
        first, last = (fetch(page=1, per_page=max(2, per_page), sort=either).rows for either in (sort, other))
        values = {str(row.get(key)) for row in first}
        if len(values) > 1 and [identity(row) for row in first] == [identity(row) for row in last]:
            what = f"the API did not honour sort={sort}, so the first rows cannot be told from the others"
            raise PaginationError(what, hint="read without limit")

    def check_order(self, page: Page, sort: str | None) -> None:
        """Note whether rows come in the order asked for; where the walk relies on it, insist."""
        order = self.plan.order
        if order is None or sort is None or sort.removeprefix("-") != order:
            return
        moments = [made for row in page.rows if (made := moment(row.get(order))) is not None]
        line = ([self.last_moment] if self.last_moment else []) + moments
        descending = sort.startswith("-")
        # Descending, a new row pushes the others down a page: only within one answer must the order hold.
        steps = itertools.pairwise(moments if descending else line)
        fits = all(a >= b if descending else a <= b for a, b in steps)
        if not fits and self.newest_first:
            what = f"the API did not honour sort={sort}, so the first rows cannot be told from the others"
            raise PaginationError(what, url=page.request.shown, hint="read without limit and created_since")
        self.in_order = self.in_order and fits
        self.last_moment = moments[-1] if moments else self.last_moment

    def verdict(self) -> tuple[str | None, str]:
        """What is proven; or None, and what is missing."""
        missing = "" if self.proof else self.missing()
        return (None, missing) if missing else (self.proof or ("seen" if self.totals == {None} else "totals"), "")

    def missing(self) -> str:
        """What speaks against this being the whole list; "" if nothing does."""
        reaches_tail = self.tail <= self.found
        if self.had_rows and not self.found:
            return "a list that had rows came back empty"
        if self.totals == {None}:
            proven = not self.found or (self.tail and reaches_tail and self.in_order and self.smooth)
            return "" if proven else "the answers state no total, and nothing else shows where the list ends"
        reasons = {
            "the stated total changed while it was read": len(self.totals) > 1,
            "the stated total and the rows that came differ": self.totals != {len(self.found)},
            "the newest rows did not come up again": not reaches_tail,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")


def identity(row: Row, key: str = "id") -> bytes:
    """16 bytes that stand for a row: its id, packed; of a row without one, a digest of all of it."""
    value = row.get(key)
    if isinstance(value, dict):
        value = value.get(key)
    text = str(value).strip() if isinstance(value, str | int) and value != "" else None
    if text is not None and re.fullmatch(r"[0-9a-f]{32}", text):
        return bytes.fromhex(text)
    try:
        data = text.encode() if text is not None else b"\0" + msgspec.json.encode(row)
    except RecursionError:
        data = b"\0" + repr(sorted(row)).encode()  # nested too deeply to be read; decode refuses it, too
    return hashlib.blake2b(data, digest_size=16).digest()


def moment(value: object) -> datetime | None:
    """An instant as the API writes it; without a zone it is UTC. None if it cannot be read."""
    if not isinstance(value, str):
        return None
    try:
        made = datetime.fromisoformat(value)
    except ValueError:
        return None
    return made if made.tzinfo else made.replace(tzinfo=UTC)
