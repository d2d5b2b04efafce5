"""Reads a list that is sorted by creation through windows that overlap, until no instant is left unproven.

1. The newest page, as it is at the start: the back of a whole list. With ``limit`` or ``since``: the front of what is wanted.
2. Windows that overlap by two rows, from the front until they reach the back, several in flight, answered in any order. Where
   shifts outrun the overlap, it widens.
3. While a gap is left: the window most likely to show both its sides at once, placed by the freshest answer near it; next time
   a little elsewhere; for the gap before the back now and then the back again. Eight tries without any progress are enough.

With ``proof="still"`` step 2 is plain pages with the last one last, until anything moves.

Sort keys are seconds since 1970, negated where the newest rows come first: so a walk always goes upwards, from its front to its
back.
"""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

from tallyfy_frames.api.aim import OVERLAP_ROWS, Aim, Shown
from tallyfy_frames.api.spans import INFINITY, Gap, Place, Span, Spans, Window, window_from
from tallyfy_frames.api.steps import EMPTY_WITNESSES, ORDER_WITNESSES, Answer, Ask, NoOrder, Plan, Proof, Stuck, WalkLog
from tallyfy_frames.errors import PaginationError

# Of smaller pages, too few combinations of size and number begin where they are needed. Of up to 12 rows, none shows both sides
# of row 2,520 or 27,720, their common multiples: longer lists are counted in the end, at four times the requests.
OVERLAP_PAGE_MIN: Final = 10
STILL_PAGES_MIN: Final = 25  # below, plain pages save next to nothing
TRIES_MAX: Final = 8  # for one gap, without any progress


class _Sent(NamedTuple):
    """What is to be remembered of a request until its answer is there."""

    floor: int  # the highest total that was known by then
    gap: tuple[float, float] | None  # that it may close


class Overlapping:
    """The whole list, or the first rows of either order."""

    def __init__(self, plan: Plan, log: WalkLog) -> None:
        """Nothing is asked yet."""
        self.plan = plan
        self.log = log
        self.proof: Proof | None = None
        self.partial = plan.limit is not None or plan.since is not None  # not all of it is wanted
        self.falling = self.partial and plan.sort != plan.order  # newest first
        self.size = plan.per_page  # rows of a page, as far as the API serves so many
        self.out: dict[int, _Sent] = {}
        # What is known.
        self.opened = False
        self.spans = Spans()
        self.witnessed: set[str | None] = set()  # sorts that were seen to be honoured, by rows of two instants
        self.unwitnessed: list[tuple[str | None, Span]] = []  # intervals that hang on one that was not
        self.first_rows: dict[bytes, float] = {}  # with ``limit``: the keys of the rows so far
        self.ends: dict[str, frozenset[bytes]] = {}  # by sort: a first page that seems to be all there is
        self.had_rows = plan.had_rows
        self.empty = 0  # answers without rows, since the last with any
        # The list at the start, as the first page tells it.
        self.newest = b""
        self.total_at_start: int | None = None
        self.back_keys: frozenset[bytes] = frozenset()  # of the rows at its back
        self.back_shown: set[bytes] = set()  # those of them that windows showed, too
        self.back_low = INFINITY
        # Planning.
        self.aim = Aim()
        self.total: int | None = None  # as stated last
        self.total_min = INFINITY
        self.total_max = 0
        self.understated = False  # totals are too low, and who knows by how much
        self.low = INFINITY  # key of the first row
        self.asked_to = 0  # the index that windows were asked up to
        self.shown_to = 0  # and up to which they had rows
        self.shown_high = -INFINITY  # the key of the last of those
        self.short = False  # whether one of them had room for more
        self.ended = False  # whether windows have reached the back, or an answer seems to be the list's end
        self.probe = 0  # the request that looks beyond what was shown
        self.strange = 0  # how many of these in a row showed older rows there
        self.overlap = OVERLAP_ROWS
        self.tries: dict[tuple[float, float], int] = {}
        # Standing still.
        self.still = False  # as far as can be seen: then pages need not overlap
        self.stood_still = False  # to the end

    # What to ask.

    def next(self, number: int) -> Ask | None:
        """The next request, under this number; None if only an answer can tell."""
        gap = None
        closing = {sent.gap for sent in self.out.values() if sent.gap is not None}
        if not self.opened:
            ask = self._open(number)
        elif self.still:
            ask = self._plain(number)
        elif self.spans.whole:
            ask = self._beyond(number)
        elif not self.ended and (self.asked_to == 0 or self.asked_to < self._due()):
            ask = self._onward(number)
        elif len(self.out) > len(closing):
            ask = None  # windows are on their way: they may close what looks open now
        else:
            ask, gap = self._repair(number, closing)
            if ask is None and not self.out and not self.ended:
                ask = self._onward(number)
        if ask is not None:
            self.out[number] = _Sent(self.total_max, gap)
        return ask

    def _open(self, number: int) -> Ask | None:
        """The first request. That there are no rows must be said more than once, asked in either order."""
        if self.out:
            return None
        size = self.size if self.plan.limit is None else min(self.size, max(self.plan.limit, ORDER_WITNESSES))
        front_first = self.partial != (self.empty == 1)
        return Ask(number, 1, size, self._front_sort if front_first else self._back_sort, after_pause=self.empty > 1)

    def _plain(self, number: int) -> Ask | None:
        """Pages that do not overlap; the last one when all others are there."""
        pages = -(-(self.total_at_start or 0) // self.size)
        page = self.asked_to // self.size + 1
        if page > pages or (page == pages and self.out):
            return None
        return self._window(number, Window(self.size, page))

    def _due(self) -> float:
        """The index up to which windows will surely be needed."""
        due = INFINITY
        if self.partial and self.plan.limit is not None:
            due = self.plan.limit
        elif not self.partial and self.total is not None and self.total_at_start is not None:
            total = min(self.total, self.total_at_start)
            return total - len(self.back_keys) + OVERLAP_ROWS if self.back_keys else total
        if self.partial and self.plan.since is None:
            return due
        # Half of the way that is left, by how dense the rows were so far: so next to nothing is asked for in vain.
        span = next(iter(self.spans.all), None)
        if span is None or span.low > -INFINITY or span.high <= self.low:
            return 0
        target = self.back_low if self.plan.since is None or not self.partial else -self.plan.since.timestamp()
        return min(due, span.high_at.at * (1 + (target - span.high) / (span.high - self.low) / 2))

    def _onward(self, number: int) -> Ask:
        return self._window(number, self.aim.onward(self.asked_to, self.overlap, self.size))

    def _window(self, number: int, window: Window) -> Ask:
        self.asked_to = max(self.asked_to, window.end)
        return Ask(number, window.page, window.per_page, self._front_sort)

    def _beyond(self, number: int) -> Ask | None:
        """Every instant is proven, but there may be more rows than were shown: what comes after them?"""
        if self.out:
            return None
        self.probe = number
        return self._window(number, window_from(self.shown_to, self.size))

    def _repair(self, number: int, closing: set[tuple[float, float]]) -> tuple[Ask | None, tuple[float, float] | None]:
        """A request for what is still open, and the gap it may close."""
        gaps = [gap for gap in self.spans.gaps() if gap.low == gap.high or not self.stood_still]
        if not self.ended and (self.partial or self.total is None):
            gaps.pop()  # the windows have not come so far, and need not if what lies there is not wanted
        for gap in gaps:
            tries = self.tries.get(gap.key, 0)
            if gap.key in closing or (tries >= TRIES_MAX // 2 and self.out):
                continue  # what moves while several are in flight moves less while one is
            if tries >= TRIES_MAX:
                raise NoOrder("what lies between two answers could not be seen in one")
            self.tries[gap.key] = tries + 1
            self.log.repairs += 1
            return self._closing(number, gap, tries), gap.key
        return None, None

    def _closing(self, number: int, gap: Gap, tries: int) -> Ask:
        pause = tries > 1
        if gap.low_at is None and (gap.high_at is not None or tries % 2):
            return Ask(number, 1, self.size, self._front_sort, pause)
        if gap.low_at is None or gap.high_at is None or (gap.high == self.back_low and tries % 2):
            return Ask(number, 1, self.size, self._back_sort, pause)
        window = self.aim.closing(gap, gap.low_at, gap.high_at, tries=tries, size=self.size)
        return Ask(number, window.page, window.per_page, self._front_sort, pause)

    @property
    def _front_sort(self) -> str:
        return f"-{self.plan.order}" if self.falling else f"{self.plan.order}"

    @property
    def _back_sort(self) -> str:
        return f"{self.plan.order}" if self.falling else f"-{self.plan.order}"

    # What was answered.

    def take(self, ask: Ask, answer: Answer) -> None:
        """Learn from an answer."""
        self._hear_total(ask, answer, self.out.pop(ask.number).floor)
        if not answer.keys:
            self._take_nothing(ask, answer)
            return
        self.empty, self.had_rows = 0, True
        if not self.opened:
            if ask.sort != (self._front_sort if self.partial else self._back_sort):
                return  # it contradicts an empty answer: begin anew
            self._begin(ask, answer)
        keys = self._sorted(ask, answer)
        shown_to = self.shown_to
        if ask.number == self.probe:
            self._look_beyond(ask, keys[max(0, shown_to - self._start(ask, answer)) :])
        if keys:
            self._prove(ask, answer, keys)
        if self._alone(ask, answer) or self._enough() or (self.spans.whole and not self._longer):
            self.proof = "seen"
        elif self.spans.whole and ask.number == self.probe and self.shown_to == shown_to:
            self.proof = "seen"  # there is nothing beyond, whatever totals say
        elif not self.ends and self._rigid(ask, answer):
            raise NoOrder("the API serves pages of one size, so they cannot overlap")
        elif not self.out and self.asked_to >= (self.total_at_start or 0):
            self._end_still(ask, answer)

    def _hear_total(self, ask: Ask, answer: Answer, floor: int) -> None:
        """A total plans; one that fell shows that something moved, and one below what its own answer shows tells nothing."""
        total = answer.total
        self.understated |= total is not None and total < self._start(ask, answer) + len(answer.keys)
        if total is None or total < floor:
            self.still = self.stood_still = False
        if total is None or not answer.keys:
            return
        if self.total is not None and not self.partial and self.asked_to > self.size:
            # So many rows may have left in front of what was asked for: going back by as many costs no request.
            self.asked_to = max(self.size, self.asked_to - min(self.size, max(0, self.total - total)))
        self.total = total
        self.total_min, self.total_max = min(self.total_min, total), max(self.total_max, total)

    def _take_nothing(self, ask: Ask, answer: Answer) -> None:
        """An answer without rows proves nothing until enough of them agree."""
        self.empty += 1
        self.still = self.stood_still = False
        enough = self.empty >= EMPTY_WITNESSES
        if self.opened:
            self.ended = self.ended or (ask.sort == self._front_sort and (self.total_at_start is None or enough))
            if ask.number == self.probe:
                self.proof = "seen"
            elif self.empty >= 2 * TRIES_MAX:
                raise Stuck("a list that had rows came back empty")
        elif enough and self.had_rows:
            raise Stuck("a list that had rows came back empty")
        elif enough and answer.total:
            raise Stuck("the answers hold no rows, and state that there are some")
        elif enough:
            self.proof = "seen"

    def _begin(self, ask: Ask, answer: Answer) -> None:
        """The first page is there: which way to go from here."""
        self.opened = True
        self.newest, self.total_at_start = answer.keys[0], answer.total
        rows, limit = len(answer.keys), self.plan.limit
        if answer.per_page is None and rows < min(
            ask.per_page, INFINITY if answer.total is None else answer.total
        ):  # cut, perhaps, without a word
            self.size = min(self.size, max(rows, OVERLAP_PAGE_MIN))
        if self.partial:
            self.asked_to = rows
            if limit is None or answer.total is None or answer.total > limit:
                return
            self.partial = False  # all of it is wanted
            if not self.falling:
                return
            self.falling, self.asked_to = False, 0
        self.back_keys = frozenset(answer.keys)
        long = answer.total is not None and answer.total > STILL_PAGES_MIN * self.size
        self.still = self.plan.proof == "still" and long

    def _sorted(self, ask: Ask, answer: Answer) -> list[float]:
        """The rows' sort keys, rising. Insists on the order asked for."""
        moments = [made for made in answer.moments if made is not None]
        if len(moments) < len(answer.moments) and not (self.partial and moments):
            raise NoOrder("a row has no readable time of creation")
        if ask.sort != self.plan.order:
            moments.reverse()
        if moments != sorted(moments):
            if self.partial:
                what = f"the API did not honour sort={ask.sort}, so the first rows cannot be told from the others"
                raise PaginationError(what, hint="read without limit and created_since")
            raise NoOrder(f"the API did not honour sort={ask.sort}")
        return [-made for made in reversed(moments)] if self.falling else moments

    def _look_beyond(self, ask: Ask, keys: list[float]) -> None:
        """Rows after all that were shown are newer than those. Where some entered meanwhile they need not be, once."""
        self.strange = self.strange + 1 if min(keys, default=INFINITY) < self.shown_high else 0
        if self.strange > 1:
            raise NoOrder(f"the API did not honour sort={ask.sort}: older rows came after newer ones")

    def _start(self, ask: Ask, answer: Answer) -> int:
        """The index of the first row."""
        return (ask.page - 1) * (answer.per_page or ask.per_page)

    def _prove(self, ask: Ask, answer: Answer, keys: list[float]) -> None:
        """Add the interval that the answer proves, and learn where it stands."""
        served, start = answer.per_page or ask.per_page, self._start(ask, answer)
        low, high, end = keys[0], keys[-1], start + len(answer.keys)
        if low < high:
            self.witnessed.add(ask.sort)
        elif len(answer.keys) >= self.size and not self.partial:
            raise NoOrder("a page or more of rows share one instant")
        if served < ask.per_page:
            self.size = min(self.size, max(served, OVERLAP_PAGE_MIN))
        if ask.sort == self._back_sort:
            at = Place(INFINITY if self.total is None else self.total - len(answer.keys), ask.number)
            self._add(ask, Span(low, INFINITY, at, at))
            self.back_low = min(self.back_low, low)
            return
        if self.still and len(answer.keys) < min(ask.per_page, (self.total_at_start or 0) - start):
            self.still = False  # part of a page is no page
        self.low = min(self.low, low)
        if end > self.shown_to:
            self.shown_to, self.shown_high = end, high
        self.back_shown.update(self.back_keys.intersection(answer.keys))
        ties = next((n for n, key in enumerate(reversed(keys)) if key != high), len(keys))
        self.aim.recent.append(Shown(ask.number, start, end, low, high, ties))
        first = -INFINITY if ask.page == 1 else low
        self._add(ask, Span(first, high, Place(start, ask.number), Place(end - 1, ask.number)))
        short = len(answer.keys) < min(ask.per_page, self.size)
        self.short = self.short or short
        last = short if self.total is None else end >= self.total and (short or self.partial)
        self.ended = self.ended or last or high > self.back_low
        if self.partial and self.plan.limit is not None:
            sign = -1 if self.falling else 1
            self.first_rows |= {key: sign * at for key, at in zip(answer.keys, answer.moments, strict=True) if at is not None}
        elif not self.still and self.overlap < self.size // 3 and self._torn > len(self.out) + OVERLAP_ROWS:
            self.overlap += 1  # more joints are open than answers are on their way: shifts outrun the overlap

    def _add(self, ask: Ask, span: Span) -> None:
        """Rows of one instant come in order whatever the order: they prove something once others have shown which it is."""
        self.unwitnessed.append((ask.sort, span))
        for sort, witness in self.unwitnessed:
            if sort in self.witnessed:
                self.spans.add(witness)
        self.unwitnessed = [(sort, witness) for sort, witness in self.unwitnessed if sort not in self.witnessed]

    def _rigid(self, ask: Ask, answer: Answer) -> bool:
        """Whether the API serves pages that cannot be made to overlap."""
        served = max(answer.per_page or ask.per_page, len(answer.keys))
        return served > ask.per_page or served < min(ask.per_page, OVERLAP_PAGE_MIN)

    def _alone(self, ask: Ask, answer: Answer) -> bool:
        """Whether both ends of the list have shown the same few rows, and state that there are no more.

        Rows of one instant, a single one above all, make no interval. One answer would not do: totals may be too low.
        """
        rows, served = len(answer.keys), min(ask.per_page, answer.per_page or ask.per_page)
        if ask.page > 1 or rows >= served or answer.total not in {None, rows} or (answer.total is None and rows > 1):
            return False
        self.ends[ask.sort or ""] = frozenset(answer.keys)
        return len(self.ends) > 1 and len(set(self.ends.values())) == 1

    @property
    def _torn(self) -> int:
        """How many joints are open for another reason than that rows of one instant lie there."""
        return sum(a.high < b.low for a, b in itertools.pairwise(self.spans.all))

    @property
    def _longer(self) -> bool:
        """Whether all totals say that there are more rows than were shown, or, if they tell nothing, whether there may be.

        An order that holds within each page only proves every instant with pages that show but some of the rows.
        """
        if self.total_min == INFINITY or self.understated:
            return not self.partial and not self.short
        return not self.partial and self.shown_to + len(self.back_keys) - len(self.back_shown) < self.total_min

    def _enough(self) -> bool:
        """Whether what is wanted of a list is proven, where that is not all of it."""
        if not self.partial:
            return False
        if self.plan.since is not None and self.spans.front > -self.plan.since.timestamp():
            return True
        front = self.spans.front
        return self.plan.limit is not None and sum(key <= front for key in self.first_rows.values()) >= self.plan.limit

    def _end_still(self, ask: Ask, answer: Answer) -> None:
        """All plain pages are there, the last one read last: did the newest row stand still meanwhile?

        A joint within an instant is still to be seen: a database may serve rows of one instant in another order each time.
        """
        if self.still:
            self.still = False
            keys, at = self._sorted(ask, answer), (self.total_at_start or 0) - 1 - (ask.page - 1) * self.size
            # One created at the same instant could stand before it, in the place of one that left.
            alone = 0 < at < len(keys) and keys[at - 1] < keys[at]
            self.stood_still = ask.sort == self._front_sort and alone and answer.keys[at] == self.newest
        if self.stood_still and all(gap.low < gap.high for gap in self.spans.gaps()):
            self.proof = "still"
