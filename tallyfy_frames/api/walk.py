"""Which page to ask for next, and what the answers prove. Pure: no sockets, clocks, threads or frames.

The list is paged by offset and shifts while it is read, so the end of the pages proves nothing. What is promised:

    Every row that was in the list from the first request sent to the last answer received was shown; or `IncompleteRead` is
    raised. What came or went meanwhile may have been shown or not.

It holds if (a) one answer shows one contiguous stretch of one state of the list, (b) ``sort`` by creation is honoured, up to
ties, and (c) the time of creation never changes. (b) is checked on every answer, and where totals say that there are more rows
than were shown: so an order that holds within each page only is noticed unless the list moves, too. Totals, page counts and
links are hints for planning, never proof.

**Why it holds.** An answer whose first row was created at *a* and whose last at *b* shows every row created between them that
is in the list at that moment (`spans.py`). A row that was there throughout was there at that moment, too. So once the open
intervals (*a*, *b*) of all answers cover the whole line of time, no row that was there throughout can be missing, however the
list moved between the answers; movement only decides which requests it takes. Plain pages never overlap, and the joint between
two of them is where rows get lost; so `overlap.py` has windows overlap by two rows, by choosing page sizes
(``per_page=98&page=2`` begins two rows before ``per_page=100&page=2`` does). The newest rows, as they were at the start, end
the line: what comes later needs no place. An interval is believed once rows of two instants have shown that its sort is
honoured. Requests are bounded, so a list that moves against us each time raises in the end.

``proof`` says how it was shown: ``seen`` as above; ``still`` (only if asked for): plain pages, accepted because all were full
and stated a total that never fell and, read last, the newest row of the start stood at the index that the first total gives it:
nothing can have left in front of it unless as many entered there (re-opened, un-archived), which is what this cannot see;
``counted``, where no order is known (`count.py`): two readings on different page sizes, every answer stating the very number of
distinct rows that both found. What it cannot see is one row that hides between two pages in both readings while others, which
came and went meanwhile, stand in for it in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tallyfy_frames.api.count import Counting, First
from tallyfy_frames.api.overlap import OVERLAP_PAGE_MIN, Overlapping
from tallyfy_frames.api.steps import Answer, Ask, NoOrder, Plan, Proof, Stuck, WalkLog, Way
from tallyfy_frames.errors import IncompleteRead

BUDGET_FACTOR: Final = 3  # of the requests that a still list of that length takes
BUDGET_EXTRA: Final = 30


class Walk:
    """One list on its way: ``next`` says what to ask, ``take`` hears the answers, in any order, until ``proof`` is set."""

    def __init__(self, plan: Plan) -> None:
        """Nothing is asked yet."""
        self.plan = plan
        self.log = WalkLog()
        self._out: dict[int, Way] = {}
        self._rows = 0  # that the list seems to have
        self._way = _way(plan, self.log)

    @property
    def proof(self) -> Proof | None:
        """How completeness was shown; None while it is not."""
        return self._way.proof

    @property
    def chosen(self) -> Sequence[bytes] | None:
        """With ``limit`` in an order that only the API knows: the keys of the first rows. None in all other cases."""
        return self._way.chosen if isinstance(self._way, First) else None

    def next(self) -> Ask | None:
        """The next request, which may go out at once; None while only an answer can tell, and at the end.

        Raises ``IncompleteRead`` if the list cannot be shown to be complete.
        """
        if self.proof is not None:
            return None
        try:
            ask = self._next()
        except Stuck as stuck:
            raise self._incomplete(str(stuck)) from None
        if ask is None and not self._out and self.proof is None:
            raise self._incomplete("nothing is left to ask")
        return ask

    def _next(self) -> Ask | None:
        if self._spent:
            if self._out:
                return None
            self._change(NoOrder("it moved faster than it could be read, or comes in no order"))
        try:
            ask = self._way.next(self.log.requests + 1)
        except NoOrder as reason:
            self._change(reason)
            ask = self._way.next(self.log.requests + 1)
        if ask is not None:
            self.log.requests += 1
            self._out[ask.number] = self._way
        return ask

    @property
    def _spent(self) -> bool:
        """Whether overlapping windows have taken far more requests than they should. Counting ends by itself."""
        planned = -(-self._rows // self._way.size)
        return isinstance(self._way, Overlapping) and self.log.requests >= BUDGET_FACTOR * planned + BUDGET_EXTRA

    def take(self, ask: Ask, answer: Answer) -> None:
        """Learn from the answer to ``ask``. Raises ``PaginationError`` if an order that is needed is not honoured."""
        way = self._out.pop(ask.number)
        if answer.total is not None and self.log.totals[-1:] != [answer.total]:
            self.log.totals.append(answer.total)
        self._plan_for(ask, answer)
        if way is not self._way or self.proof is not None:
            return  # it was asked before another way was taken, or before the last answer that was needed
        try:
            way.take(ask, answer)
        except NoOrder as reason:
            self._change(reason)
        except Stuck as stuck:
            raise self._incomplete(str(stuck)) from None

    def _plan_for(self, ask: Ask, answer: Answer) -> None:
        """As many rows as the list had at first, or as are shown to be there if no total says so: not as it grows."""
        if answer.keys:
            end = (ask.page - 1) * ask.per_page + len(answer.keys)
            self._rows = max(self._rows or answer.total or 0, end if answer.total is None or end > answer.total else 0)

    def _change(self, reason: NoOrder) -> None:
        """Take another way: where all rows are wanted, any order will do; where none is known, rows are counted."""
        if isinstance(self._way, First):
            self.plan = replace(self.plan, sort=None, limit=None)
            self._way = _way(self.plan, self.log)
        else:
            self._way = Counting(self.plan, self.log, str(reason), had_rows=self._rows > 0)

    def _incomplete(self, reason: str) -> IncompleteRead:
        hint = (
            "try again when fewer runs change, or narrow the filters"
            if len(self.log.totals) > 1
            else "the API's answers do not fit together: try again, and report it to Tallyfy's support if it stays"
        )
        return IncompleteRead(
            f"the list could not be read completely: {reason}",
            requests=self.log.requests, totals=self.log.totals[-10:], hint=hint,
        )  # fmt: skip


def _way(plan: Plan, log: WalkLog) -> Way:
    if plan.order is None:
        return Counting(plan, log, "the route documents no order")
    if plan.limit is not None and plan.sort is not None and plan.sort.removeprefix("-") != plan.order:
        return First(plan, log)
    if plan.per_page < OVERLAP_PAGE_MIN and not (plan.limit is not None and plan.limit <= plan.per_page):
        return Counting(plan, log, "pages so small cannot overlap")
    return Overlapping(plan, log)
