"""Reads a list whose order proves nothing: rows are counted, in passes on different page sizes, until two passes agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from tallyfy_frames.api.steps import EMPTY_WITNESSES, ORDER_WITNESSES, Answer, Ask, NoOrder, Plan, Proof, Stuck, WalkLog
from tallyfy_frames.errors import PaginationError

PASSES_MAX: Final = 3  # as many requests as so many readings take
BEGUN_MAX: Final = 8  # some may be given up early


class Counting:
    """Two passes in which every answer states the very number of distinct rows that each pass found, and the same rows.

    Each goes on until an answer shows the end, whatever is stated. A pass that cannot add up any more is given up at once.
    """

    def __init__(self, plan: Plan, log: WalkLog, reason: str, *, had_rows: bool = False) -> None:
        """``reason`` says why rows must be counted."""
        self.plan = plan
        self.log = log
        self.reason = reason
        self.had_rows = had_rows or plan.had_rows
        self.proof: Proof | None = None
        self.empty = 0  # first pages without rows, one after the other
        self.asked = 0
        self.pages = 0  # of the first pass that told
        self.begun = 1
        self.passes: list[frozenset[bytes] | None] = []  # the rows of each pass that came to its end; None: they do not add up
        self.pass_ = _Pass(self.size)

    @property
    def size(self) -> int:
        """Another page size for each pass, where it can be chosen: what falls between two pages then does not in the next."""
        return max(1, self.plan.per_page - len(self.passes))

    def next(self, number: int) -> Ask | None:
        """The next request, under this number; None if only an answer can tell."""
        if self.pass_.complaint:
            self._anew()
        one = self.pass_
        if one.asked and not one.pages:
            return None  # the first page tells how many there are
        if one.pages and one.asked == one.pages:
            if one.out:
                return None
            self._close()
            if self.proof is not None:
                return None
            one = self.pass_
        one.asked += 1
        self.asked += 1
        one.out.add(number)
        return Ask(number, one.asked, one.size, self.plan.order, after_pause=self.empty > 1)

    def take(self, ask: Ask, answer: Answer) -> None:
        """Learn from an answer."""
        one = self.pass_
        if ask.number not in one.out:
            return  # its pass was given up
        one.out.remove(ask.number)
        if ask.page == 1 and not answer.keys:
            self._take_nothing(answer)
        elif answer.total is None and (ask.page == 1 or answer.keys or ask.page < one.pages):
            one.complaint = "the answers state no total"
        else:
            self.empty, self.had_rows = 0, True
            one.add(ask, answer)
            self.pages = self.pages or one.pages

    def _take_nothing(self, answer: Answer) -> None:
        """A hiccup looks the same as an empty list: ask again."""
        self.empty += 1
        if self.empty < EMPTY_WITNESSES:
            self.pass_ = _Pass(self.size)
        elif self.had_rows:
            raise Stuck("a list that had rows came back empty")
        elif answer.total:
            raise Stuck("the answers hold no rows, and state that there are some")
        else:
            self.proof = "seen"

    def _close(self) -> None:
        """A pass is over: does it add up, and agree with another?"""
        one = self.pass_
        adds_up = len(one.found) == one.total
        found = frozenset(one.found) if adds_up else None
        if found is not None and found in self.passes:
            self.proof = "counted"
            return
        if not adds_up:
            one.complaint = f"the stated total and the rows that came differ ({len(one.found)} came)"
        self.passes.append(found)
        self._anew()

    def _anew(self) -> None:
        """Begin another pass, if there were not too many."""
        pages = max(self.pages, min(self.pass_.pages, 2 * self.pages))  # the list may have grown, but not forever
        if self.begun >= BEGUN_MAX or self.asked + pages > PASSES_MAX * (pages + 1):
            raise Stuck(f"{self.reason}, and {self.pass_.complaint or 'no two readings found the same rows'}")
        self.pass_ = _Pass(self.size)
        self.begun += 1
        self.log.passes += 1


class _Pass:
    """One reading, from its first page on."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.served = size
        self.asked = 0
        self.pages = 0  # once the first answer told
        self.total: int | None = None  # as stated first
        self.out: set[int] = set()
        self.found: set[bytes] = set()
        self.complaint = ""  # why it cannot add up

    def add(self, ask: Ask, answer: Answer) -> None:
        """Count an answer's rows."""
        rows = len(answer.keys)
        if ask.page == 1 and answer.total is not None:
            self.total, self.served = answer.total, answer.per_page or ask.per_page
            if answer.per_page is None and rows < min(self.served, answer.total):
                self.served = rows  # cut to that size without a word
            self.served = max(self.served, rows)  # or never of another size
            self.pages = answer.total // self.served + 1  # the last one is short, or empty: totals may be too low
        total = self.total or 0
        self.found.update(answer.keys)
        if answer.total != total and (rows or ask.page * self.served <= total):
            self.complaint = "the stated total changed while it was read"
        elif rows < min(self.served, total - (ask.page - 1) * self.served):
            self.complaint = "an answer held fewer rows than it should by its own total"


class First:
    """The first rows in an order that the API may collate as it likes, so that only counting tells whether any are missing.

    One page is one stretch of one state of the list. More than one must come out the same twice, on different page sizes.
    """

    def __init__(self, plan: Plan, log: WalkLog) -> None:
        """Nothing is asked yet."""
        self.plan = plan
        self.log = log
        self.proof: Proof | None = None
        self.limit = plan.limit or 0
        self.sort = plan.sort or ""
        self.opposite = self.sort[1:] if self.sort.startswith("-") else f"-{self.sort}"
        self.first: Answer | None = None
        self.heeded = False
        self.passes: list[list[bytes]] = []
        self.chosen: Sequence[bytes] | None = None  # the first rows, once that is shown
        self.pages: dict[int, Answer] = {}
        self.totals: set[int | None] = set()
        self.asked = 0
        self.size = min(plan.per_page, max(ORDER_WITNESSES, self.limit))
        self.out = 0

    def next(self, number: int) -> Ask | None:
        """The next request, under this number; None if only an answer can tell."""
        if self.out and (self.first is None or not self.heeded):
            return None
        if self.first is not None and not self.heeded:
            self.out += 1
            return Ask(number, 1, self.size, self.opposite)
        if self.asked * self.size >= self.limit:
            if self.out:
                return None
            self._close()
            if self.proof is not None:
                return None
        self.asked += 1
        self.out += 1
        return Ask(number, self.asked, self.size, self.sort)

    def take(self, ask: Ask, answer: Answer) -> None:
        """Learn from an answer."""
        self.out -= 1
        if ask.sort == self.opposite:
            self._compare(answer)
            return
        self.pages[ask.page] = answer
        self.totals.add(answer.total)
        if self.first is None:
            self.first = answer
            few = len(answer.keys) < self.size if answer.total is None else answer.total <= self.limit
            if few:
                raise NoOrder("all rows are wanted")  # so nothing hangs on this order

    def _compare(self, answer: Answer) -> None:
        """Ascending and descending must come out as opposites: otherwise the first rows would be any rows.

        The two ends of a list share the rows that its length makes them share, the other way round; a few more where it moves.
        """
        assert self.first is not None  # noqa: S101 - asked for after it
        self.heeded = True
        places = {key: place for place, key in enumerate(answer.keys)}
        shared = [places[key] for key in self.first.keys if key in places]
        pairs = len(shared) * (len(shared) - 1) // 2
        due = 0 if answer.total is None else max(0, len(self.first.keys) + len(answer.keys) - answer.total)
        alike = 2 * sum(one < other for one, other in combinations(shared, 2)) >= pairs > 0
        if alike or (answer.total is not None and len(shared) > due + len(answer.keys) // 2):
            what = f"the API did not honour sort={self.sort}, so the first rows cannot be told from the others"
            raise PaginationError(what, hint="read without limit")
        if self.limit <= len(self.first.keys):
            self.proof, self.chosen = "seen", self.first.keys[: self.limit]

    def _close(self) -> None:
        """A pass is over."""
        keys = [key for page in sorted(self.pages) for key in self.pages[page].keys][: self.limit]
        steady = len(self.totals) == 1 and len(set(keys)) == len(keys)
        if steady and len(keys) == self.limit and keys in self.passes:
            self.proof, self.chosen = "counted", keys
            return
        self.passes.append(keys)
        if len(self.passes) >= PASSES_MAX:
            raise Stuck("the first rows came out differently each time")
        self.pages, self.totals, self.asked = {}, set(), 0
        self.size = max(1, self.plan.per_page - len(self.passes))
        self.log.passes += 1
