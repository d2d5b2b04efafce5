"""How many requests a walk takes: found by walking a list of that length that stands still. Nothing is sent."""

from __future__ import annotations

from tallyfy_frames.api.flight import fly
from tallyfy_frames.api.steps import Answer, Ask, Plan
from tallyfy_frames.api.walk import Walk


def requests(plan: Plan, rows: int, *, served: int, heeded: bool = True, in_flight_max: int = 1) -> int:
    """Requests for a list of ``rows``, no two of one instant, of which an answer shows ``served`` at most.

    ``heeded``: whether the API honours the order that the walk asks for.
    """
    asked = 0

    def fetch(ask: Ask) -> tuple[Answer, None]:
        nonlocal asked
        asked += 1
        size = min(ask.per_page, served)
        first, last = (ask.page - 1) * size, min(ask.page * size, rows)
        places = range(first, max(first, last))
        if not heeded or (plan.order is not None and ask.sort == f"-{plan.order}"):
            places = range(rows - 1 - places.start, rows - 1 - places.stop, -1)
        keys = [place.to_bytes(16) for place in places]
        moments = [None if plan.order is None else float(place) for place in places]
        return Answer(keys, moments, rows, size), None

    for _ in fly(Walk(plan), fetch, in_flight_max=in_flight_max, troubles=lambda: 0):
        pass
    return asked
