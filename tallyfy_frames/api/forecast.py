"""How many requests a walk takes: found by walking a list of that length that stands still. Nothing is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import cycle, groupby
from typing import NamedTuple

from tallyfy_frames.api.flight import Allowance
from tallyfy_frames.api.steps import Answer, Ask, Plan
from tallyfy_frames.api.walk import Walk
from tallyfy_frames.errors import IncompleteRead


class Forecast(NamedTuple):
    """What a walk takes: requests, and how many answers it must wait for, one after the other."""

    requests: int
    rounds: int


def forecast(plan: Plan, rows: int, *, served: int, sample: Sequence[float | None], in_flight_max: int) -> Forecast:
    """For a list of ``rows``, of which an answer shows ``served`` at most.

    ``sample`` has the times of creation of one of its pages, as they came when the walk's order was asked for: so often do rows
    share an instant in the whole list, and if they came in another order, they will again.
    """
    moments = _moments(rows, sample)
    known = [made for made in sample if made is not None]
    heeded = known == sorted(known)
    walk, waiting = Walk(plan), deque[tuple[Ask, int]]()
    asked, now, allowance = 0, 0, Allowance(in_flight_max)
    try:
        while True:
            while len(waiting) < allowance.now and (ask := walk.next()) is not None:
                waiting.append((ask, now + 1))
                asked += 1
            if not waiting or walk.proof is not None:
                return Forecast(asked, now)
            ask, landed = waiting.popleft()
            now = max(now, landed)
            falling = not heeded or (plan.order is not None and ask.sort == f"-{plan.order}")
            walk.take(ask, _answer(ask, moments, min(ask.per_page, served), falling=falling))
            allowance.landed()
    except IncompleteRead:  # it cannot be shown to be complete even while it stands still: this is what trying takes
        return Forecast(asked, now)


def _moments(rows: int, sample: Sequence[float | None]) -> Sequence[float | None]:
    """When each row of the list was created: as many at the same instant as in the sample, in turn."""
    if None in sample or not sample:
        return [float(place) for place in range(rows)] if None not in sample else [None] * rows
    together = [len([*group]) for _, group in groupby(sample)]
    together = together[1:-1] or together  # the first and the last may have been cut
    moments: list[float | None] = []
    for instant, size in enumerate(cycle(together)):
        if len(moments) >= rows:
            break
        moments += [float(instant)] * size
    return moments[:rows]


def _answer(ask: Ask, moments: Sequence[float | None], size: int, *, falling: bool) -> Answer:
    """A page of that list."""
    rows = len(moments)
    places = range(min((ask.page - 1) * size, rows), min(ask.page * size, rows))
    if falling:
        places = range(rows - 1 - places.start, rows - 1 - places.stop, -1)
    return Answer([place.to_bytes(16) for place in places], [moments[place] for place in places], rows, size)
