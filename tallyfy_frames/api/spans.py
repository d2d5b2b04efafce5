"""What answers prove of a list that is sorted, as intervals of the sort key; and which windows show which rows. Arithmetic.

An answer is one contiguous stretch of one state of the list. If its first row has the key *a* and its last *b*, every row with
a key between them that was in the list at that moment is in the answer: the open interval (a, b) is proven. It is open because
a page may cut a group of rows with the same key. A first page proves from minus infinity on.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

INFINITY: Final = math.inf


class Place(NamedTuple):
    """Where a row was seen: at which index of the list, and in which answer (later ones are fresher)."""

    at: float
    answer: int


@dataclass(frozen=True, slots=True)
class Span:
    """A proven open interval, and where its two ends were seen last."""

    low: float
    high: float
    low_at: Place
    high_at: Place

    def joined(self, other: Span) -> Span:
        """Both as one; they overlap."""
        first, last = min(self, other, key=_low), max(self, other, key=_high)
        low_at, high_at = first.low_at, last.high_at
        if self.low == other.low:
            low_at = max(self.low_at, other.low_at, key=_answer)
        if self.high == other.high:
            high_at = max(self.high_at, other.high_at, key=_answer)
        return Span(first.low, last.high, low_at, high_at)


def _low(span: Span) -> float:
    return span.low


def _high(span: Span) -> float:
    return span.high


def _answer(place: Place) -> int:
    return place.answer


@dataclass(frozen=True, slots=True)
class Gap:
    """Keys from ``low`` to ``high``, both included, of which nothing is proven; None at an open end of the line."""

    low: float
    high: float
    low_at: Place | None
    high_at: Place | None

    @property
    def key(self) -> tuple[float, float]:
        """Names the gap: it changes with any progress."""
        return self.low, self.high


class Spans:
    """The proven intervals of one list, disjoint and sorted."""

    def __init__(self) -> None:
        """Nothing is proven yet."""
        self.all: list[Span] = []

    def add(self, span: Span) -> None:
        """Prove one more interval; those that overlap become one. An empty one proves nothing."""
        if not span.low < span.high:
            return
        first = bisect_left(self.all, span.low, key=_high)
        while first < len(self.all) and self.all[first].high <= span.low:
            first += 1  # touching is not overlapping: the key itself is not proven
        last = first
        while last < len(self.all) and self.all[last].low < span.high:
            span = span.joined(self.all[last])
            last += 1
        self.all[first:last] = [span]

    @property
    def whole(self) -> bool:
        """Whether every key is proven."""
        return len(self.all) == 1 and self.all[0].low == -INFINITY and self.all[0].high == INFINITY

    @property
    def front(self) -> float:
        """Up to which key everything is proven, from minus infinity on."""
        return self.all[0].high if self.all and self.all[0].low == -INFINITY else -INFINITY

    def gaps(self) -> Iterator[Gap]:
        """What is not proven, in order."""
        low, low_at = -INFINITY, None
        for span in self.all:
            if span.low > -INFINITY:
                yield Gap(low, span.low, low_at, span.low_at)
            low, low_at = span.high, span.high_at
        if low < INFINITY:
            yield Gap(low, INFINITY, low_at, None)


class Window(NamedTuple):
    """``per_page`` and ``page``: rows from ``start`` to before ``end``. Pages start at multiples of their size."""

    per_page: int
    page: int

    @property
    def start(self) -> int:
        """The index of its first row."""
        return self.per_page * (self.page - 1)

    @property
    def end(self) -> int:
        """One more than the index of its last row."""
        return self.per_page * self.page


def window_from(start: int, size: int) -> Window:
    """Of the windows with up to ``size`` rows that begin at ``start`` or before, the one that reaches furthest."""
    start = max(0, start)
    sizes = range(size, size // 2, -1)  # half as many rows and fewer never reach further
    per_page = max(sizes, key=lambda rows: rows * (start // rows + 1))
    return Window(per_page, start // per_page + 1)


def window_around(centre: float, size: int) -> Window:
    """Of the windows with up to ``size`` rows, the one that shows most on both sides of ``centre``."""
    centre = max(0.0, centre)
    sizes = range(size, max(size // 2, 2), -1)
    windows = [Window(per_page, int(centre // per_page) + 1) for per_page in sizes] or [Window(size, int(centre // size) + 1)]
    return max(windows, key=lambda window: (min(centre - window.start, window.end - centre), window.per_page))
