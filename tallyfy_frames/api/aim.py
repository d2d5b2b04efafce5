"""Where in a list a gap may be by now, and the window that shows both its sides. Guesses, never proof.

The list shifts between any two answers, so an index is only as good as the answer it comes from is fresh.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from tallyfy_frames.api.spans import INFINITY, Gap, Place, Window, window_around, window_from

OVERLAP_ROWS: Final = 2  # rows of two instants, shown by two answers, make their open intervals overlap
RECENT_MAX: Final = 64  # answers kept
ELSEWHERE: Final = (0, 0, 1, -1, 2, -2, 3, -3)  # eighths of a page by which each further try is off


class Shown(NamedTuple):
    """Where an answer's rows stood, and their sort keys."""

    answer: int
    start: int
    end: int
    low: float
    high: float
    ties: int  # last rows that share an instant


class Aim:
    """Remembers where the latest answers stood."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self.recent: deque[Shown] = deque(maxlen=RECENT_MAX)

    def onward(self, asked_to: int, overlap: int, size: int) -> Window:
        """The window that goes on furthest from the one that ended at ``asked_to``, overlapping it."""
        last = next((shown for shown in reversed(self.recent) if shown.end == asked_to), None)
        overlap = max(overlap, 0 if last is None else last.ties + 1)
        # Deep in a list of small pages it may be that no window overlaps and gets on: then the joint is closed later.
        windows = (window_from(asked_to - rows, size) for rows in (overlap, OVERLAP_ROWS, 0))
        return next(window for window in windows if window.end > asked_to)

    def closing(self, gap: Gap, low_at: Place, high_at: Place, *, tries: int, size: int) -> Window:
        """The window most likely to show both sides of a gap; of one wider than a page, the side that is known best."""
        rows = max(0.0, high_at.at - low_at.at - 1)  # in the gap, if nothing moved between the two
        from_low = low_at.answer >= high_at.answer or high_at.at == INFINITY
        edge = self._edge(gap, low_at, size, after=True) if from_low else self._edge(gap, high_at, size, after=False)
        if (
            rows > size - 2 * OVERLAP_ROWS
        ):  # by what two answers of different states say, so only the fresher one is to be trusted
            if from_low:
                return window_from(int(edge) - min(size // 3, OVERLAP_ROWS + tries * size // 8), size)
            return window_around(edge - size / 3 + tries * size / 24, size)
        middle = edge + (rows / 2 if from_low else -rows / 2)
        return window_around(middle + ELSEWHERE[tries % len(ELSEWHERE)] * size / 8, size)

    def _edge(self, gap: Gap, place: Place, size: int, *, after: bool) -> float:
        """Where the gap begins or ends, moved along with what fresher answers show beside it."""
        edge = place.at + 0.5 if after else place.at - 0.5
        for shown in self.recent:
            if shown.answer > place.answer and shown.low > gap.high:
                edge = min(edge, shown.start - size / 2 + OVERLAP_ROWS)
            elif shown.answer > place.answer and shown.high < gap.low:
                edge = max(edge, shown.end + size / 2 - OVERLAP_ROWS)
        return edge
