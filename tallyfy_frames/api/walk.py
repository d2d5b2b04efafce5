"""Which page to ask for next, and whether the pages make the whole list. Pure: ``fetch`` is passed in.

The list is paged by offset and may move while it is read, so the end of the pages proves nothing by itself. A walk is
accepted as complete when

* one answer holds as many rows as the total it states (then it is the list), or
* every answer stated the same total, exactly so many distinct rows came, and, where the list has a known order, the newest
  rows seen at the start are among them, or
* no answer stated a total, rows came in order from the oldest on until the newest seen at the start were reached.

Otherwise the list moved or the answers are wrong: it is read again, a few times, and then ``IncompleteRead`` is raised. What
this cannot see is one row leaving and another entering between two requests, at the same total.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from tallyfy_frames.api.protocol import Page, Row
from tallyfy_frames.errors import IncompleteRead, PaginationError

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


def walk(fetch: Fetch, plan: Plan, seen: set[bytes], log: WalkLog) -> Iterator[tuple[Page, Sequence[Row]]]:
    """Every page with those of its rows that are not in ``seen`` yet; ``seen`` grows. Ends only when complete.

    Raises ``IncompleteRead`` if the list cannot be shown to be complete.
    """
    reason = ""
    while log.passes < PASSES_MAX:
        log.passes += 1
        one = _Pass(plan, had_rows=log.rows > 0)
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
        hint="try again when fewer runs change, or narrow the filters",
    )  # fmt: skip


class _Pass:
    """One reading of the list, from its first page on."""

    def __init__(self, plan: Plan, *, had_rows: bool) -> None:
        self.plan = plan
        self.had_rows = had_rows  # whether an earlier pass saw any
        self.found: set[bytes] = set()
        self.totals: set[int | None] = set()
        self.tail: set[bytes] = set()  # the newest rows, when the pass began
        self.proof: str | None = None
        self.in_order = True
        self.last_moment: datetime | None = None

    def pages(self, fetch: Fetch) -> Iterator[Page]:
        """Ask until something proves the end, or nothing more comes."""
        plan = self.plan
        newest_first = plan.limit is not None or plan.since is not None
        sort = (plan.sort or (plan.order and f"-{plan.order}")) if newest_first else plan.order
        per_page = min(plan.per_page, plan.limit or plan.per_page)
        if plan.order and not newest_first:
            tail = fetch(page=1, per_page=per_page, sort=f"-{plan.order}")
            self.note(tail)
            self.check_order(tail, f"-{plan.order}")
            self.last_moment = None
            self.tail = {identity(row, plan.key) for row in tail.rows}
            if tail.rows and tail.stated.total == len(tail.rows):
                self.found, self.proof = self.tail, "seen"
                yield self.cut(tail)
                return
        number, witnesses = 0, 1 + (plan.order is not None and not newest_first)
        while not self.ended:
            number += 1
            page = fetch(page=number, per_page=per_page, sort=sort)
            while number == 1 and not page.rows and witnesses < EMPTY_WITNESSES:
                page = fetch(page=number, per_page=per_page, sort=sort)
                witnesses += 1
            before = len(self.found)
            self.note(page)
            self.found |= {identity(row, plan.key) for row in page.rows}
            self.check_order(page, sort)
            yield self.cut(page)
            if self.reached(page) or len(self.found) == before:
                return

    @property
    def ended(self) -> bool:
        """Whether the rows found are as many as stated, and reach the newest."""
        total = max((total for total in self.totals if total is not None), default=None)
        return bool(self.found) and total is not None and len(self.found) >= total and self.tail <= self.found

    def note(self, page: Page) -> None:
        """Keep what the page states."""
        self.totals.add(page.stated.total)

    def cut(self, page: Page) -> Page:
        """The page without the rows that are not wanted."""
        since, order = self.plan.since, self.plan.order
        if since is None or order is None:
            return page
        kept = tuple(row for row in page.rows if (made := moment(row.get(order))) is None or made >= since)
        return Page(kept, page.stated, page.number, page.size, page.received_at, page.request)

    def reached(self, page: Page) -> bool:
        """Whether the rows wanted are all there before the list's end."""
        plan = self.plan
        if plan.limit is not None and len(self.found) >= plan.limit:
            self.proof = "limit"
        if plan.since is not None and self.last_moment is not None and self.last_moment < plan.since:
            self.proof = "since"
        return self.proof is not None or (page.stated.total == 0 and not page.rows)

    def check_order(self, page: Page, sort: str | None) -> None:
        """Note whether rows come in the order asked for; where the walk relies on it, insist."""
        order = self.plan.order
        if order is None or sort is None or sort.removeprefix("-") != order:
            return
        moments = [made for row in page.rows if (made := moment(row.get(order))) is not None]
        line = ([self.last_moment] if self.last_moment else []) + moments
        steps = itertools.pairwise(line)
        descending = sort.startswith("-")
        within = itertools.pairwise(moments)
        fits = all(a >= b for a, b in within) if descending else all(a <= b for a, b in steps)
        if not fits and (self.plan.limit is not None or self.plan.since is not None):
            what = f"the API did not honour sort={sort}, so the newest rows cannot be told from the others"
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
        if self.totals == {None}:
            proven = self.tail and reaches_tail and self.in_order
            return "" if proven else "the answers state no total, and nothing else shows where the list ends"
        reasons = {
            "the stated total changed while it was read": len(self.totals) > 1,
            "a list that had rows came back empty": self.had_rows and not self.found,
            "the stated total and the rows that came differ": self.totals != {len(self.found)},
            "the newest rows did not come up again": not reaches_tail,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")


def identity(row: Row, key: str = "id") -> bytes:
    """16 bytes that stand for a row: its id, packed; of a row without one, a digest of all of it."""
    value = row.get(key)
    if isinstance(value, dict):
        value = value.get(key)
    text = str(value) if isinstance(value, str | int) and value != "" else None
    if text is not None and re.fullmatch(r"[0-9a-f]{32}", text):
        return bytes.fromhex(text)
    data = text.encode() if text is not None else b"\0" + msgspec.json.encode(row)
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
