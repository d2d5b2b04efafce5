"""How fast to ask. The limits are learned, because the documented ones contradict one another. No threads, sockets or clock.

Assumed is a server that accepts so many requests in so many seconds and answers the next with 429. Until it does, nothing is
held back, except that requests in flight grow with the answers and never pass ``X-RateLimit-Remaining``.

After a 429 everyone waits as long as it asks; then one request goes ahead, and the others wait for its answer. The first 429
shows the limit: the *count* is what was accepted, the *window* is the age of the oldest of these plus ``Retry-After``. They
are kept to as a sliding window of our own, and mended by what comes later:

* ``Retry-After`` is rounded to whole seconds, so the window is wrong by up to one. But windows are whole seconds, too: one
  request goes that much early, alone, and its answer tells. A 429 within the budget that asks for little says: too short.
* Now and then one request goes beyond the count. If it is accepted, others used the budget and stopped: more follow, until the
  next 429. If not, the next try comes later, and we hold back for a second, so that a client that found no gap gets in.
* Any other 429 within the budget: others use it, too. The count is cut to what was accepted.
* A 429 that asks for far more than the window is another, longer limit. It is waited for, and what we know is kept.

A fixed window or a token bucket is no such window; there the count follows what is accepted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Final

HISTORY_MAX: Final = 10_000  # requests remembered; the largest documented limit is 1000 an hour
MINUTE_S: Final = 60.0
BACKOFF_MAX_S: Final = 8.0  # as between retries
CAREFUL: Final = 0.2  # further requests in flight per answer that does not say how many remain: each may cost a 429
WRONG_ZEROS_MAX: Final = 8  # then it is no longer heeded
ASK_AGAIN_S: Final = 0.05  # while an answer decides
TICK_S: Final = 1e-6  # no wait is shorter: a clock may not move by less
MARGIN_S: Final = 0.02  # a request may travel faster than the one before it: go a little late rather than a little early
NEAR_S: Final = 0.1  # windows this close are one
ROUNDING_S: Final = 1.5  # what whole seconds and the way there and back may make of a wait
YIELD_S: Final = 1.1  # long enough for whoever waits a rounded Retry-After
WINDOW_ERROR: Final = 0.05  # a window known this well, relatively, is not worth a 429
WINDOW_MIN_S: Final = 5.0  # the shortest documented; a token bucket asks for a second, whatever its size
LONG_PAUSE_S: Final = 120.0  # after it, what we knew is old; a window as long may hide a shorter one
PROBE_MIN_S: Final = 10.0  # the first probe comes after so many seconds,
PROBE_WINDOWS: Final = 2  # or so many windows; the gap doubles with every failure,
PROBE_MAX_S: Final = 60.0  # to so many seconds,
PROBE_MAX_WINDOWS: Final = 4  # or so many windows


@dataclass(slots=True, eq=False)
class Sent:
    """A request that went out; hand it back with its answer."""

    at_s: float
    turn: int  # only those of the present turn say how many may be in flight
    early_s: float | None = None  # the window it tries out


def _at_s(request: Sent) -> float:
    return request.at_s


class Pace:
    """When the next request may go. Times are monotonic seconds; calls must not overlap (the transport holds a lock)."""

    def __init__(self, *, max_requests_per_minute: int | None = None, backoff_s: float = 0.5) -> None:
        """Know nothing yet. ``max_requests_per_minute`` is never exceeded, whatever is learned."""
        self._pinned: deque[float] | None = None if max_requests_per_minute is None else deque(maxlen=max_requests_per_minute)
        self._backoff_s = backoff_s
        self._counted: deque[Sent] = deque(maxlen=HISTORY_MAX)  # all but the refused: what the server may count
        self._out: set[Sent] = set()
        self._turn = 0
        self._room = 1.0  # requests of this turn that may be in flight
        self._since = 0  # accepted since the last 429
        self._first_s = inf  # when the first of these went out
        self._refusals = 0  # in a row
        self._refused_s = -inf  # the last 429 that taught
        self._resume_s = -inf
        self._remaining: int | None = None  # as last stated
        self._remaining_s = -inf
        self._wrong_zeros = 0  # accepted though none remained, before any 429
        self._count = 0
        self._window_s = inf  # long enough
        self._short_s = 0.0  # too short
        self._growing = True  # the count is being found out: it holds nobody back
        self._grown = False
        self._probe_s = inf  # when to grow next
        self._gap_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """0: a request may go now. Else ask again in so many seconds, or after the next answer."""
        wait_s = self._resume_s - now_s
        if self._pinned is not None and len(self._pinned) == self._pinned.maxlen:
            wait_s = max(wait_s, self._pinned[0] + MINUTE_S + MARGIN_S - now_s)
        if wait_s > 0:
            return max(wait_s, TICK_S)
        if sum(request.turn == self._turn for request in self._out) >= self._may_be_out():
            return ASK_AGAIN_S
        return self._budget_s(now_s)

    def asked_s(self, now_s: float) -> float:
        """The part of it that the API asks for, or is known to: not what was pinned, nor how many are on their way."""
        return max(self._resume_s - now_s, self._budget_s(now_s))

    def _budget_s(self, now_s: float) -> float:
        if self._growing:
            return 0.0
        age_s = self._age_s(now_s)
        wait_s = self._trial_s() + MARGIN_S - age_s
        if age_s < self._window_s / 2:
            wait_s = min(wait_s, self._probe_s - now_s)
        else:  # the budget may be about to free itself: a probe now would prove nothing, unless this never ends
            wait_s = min(wait_s, self._probe_s + self._window_s - now_s)
        return wait_s if wait_s > TICK_S else 0.0

    def sent(self, now_s: float) -> Sent:
        """A request goes out, ``wait_s`` having said 0. Hand what you get to one of the next three."""
        request = Sent(now_s, self._turn)
        age_s = self._age_s(now_s)
        if not self._growing and age_s < self._window_s:  # ahead of the budget: alone, at first
            self._next_turn()
            request.turn = self._turn
            if age_s >= self._trial_s():
                request.early_s = age_s
            else:
                self._growing, self._grown = True, False
        self._counted.append(request)
        self._out.add(request)
        if self._pinned is not None:
            self._pinned.append(now_s)
        return request

    def accepted(self, request: Sent, now_s: float, remaining: int | None) -> None:
        """The answer came and was no 429. ``remaining``: ``X-RateLimit-Remaining``, if stated."""
        self._out.discard(request)
        if request.at_s > self._refused_s:
            self._since += 1
            self._first_s = min(self._first_s, request.at_s)
            self._refusals = 0
        if request.turn == self._turn:
            self._room += CAREFUL if remaining is None else 1
        if request.early_s is not None:
            self._window_s = max(self._short_s, min(self._window_s, request.early_s))
        count = self._count_before(request)
        if count > self._count and (self._growing or request.at_s <= self._refused_s):
            self._count, self._grown = count, True
        if self._remaining == 0 and request.at_s >= self._remaining_s and self._window_s == inf:
            self._wrong_zeros += 1
        self._remaining, self._remaining_s = remaining, now_s

    def failed(self, request: Sent) -> None:
        """No answer came, or a 5xx: it may have been counted, and says nothing else."""
        self._out.discard(request)

    def refused(self, request: Sent, now_s: float, retry_after_s: float | None) -> float:
        """The answer was 429. Returns for how many seconds nobody may send; never less than ``retry_after_s``."""
        self._out.discard(request)
        with suppress(ValueError):  # gone, if very old
            self._counted.remove(request)
        backoff_s = min(BACKOFF_MAX_S, self._backoff_s * 2.0 ** min(self._refusals, 16))
        pause_s = max(backoff_s, retry_after_s or 0.0)
        self._resume_s = max(self._resume_s, now_s + pause_s)
        if request.at_s > self._refused_s:  # else it was under way at the last 429, and says nothing new
            if self._window_s == inf:
                self._meet(request, pause_s, stated=bool(retry_after_s))
            else:
                self._learn(request, pause_s, stated=bool(retry_after_s))
            self._refused_s = now_s
            self._refusals += 1
            self._next_turn()
            self._since, self._first_s = 0, inf
        return max(pause_s, self._resume_s - now_s)

    def _meet(self, request: Sent, pause_s: float, *, stated: bool) -> None:
        """The first limit. Unless the API asks for more, only the last minute counts: the window can hardly be longer."""
        start = self._index(request.at_s - max(MINUTE_S, pause_s))
        count = self._accepted(start, request)
        if count > 0:
            self._adopt(count, request, request.at_s - self._counted[start].at_s, pause_s, stated=stated)

    def _learn(self, request: Sent, pause_s: float, *, stated: bool) -> None:
        """What a later 429 says. ``pause_s`` is a guess of ours unless ``stated``."""
        count, age_s = self._count_before(request), self._age_s(request.at_s)
        span_s = request.at_s - self._first_s
        if stated and pause_s > 2 * self._window_s + WINDOW_MIN_S:  # a longer limit
            self._growing = pause_s > LONG_PAUSE_S
        elif stated and self._window_s > LONG_PAUSE_S and 0 <= span_s < self._window_s / 4 - pause_s:  # a shorter one
            self._adopt(self._since, request, span_s, pause_s, stated=True)
        elif count >= self._count:
            self._learn_ahead(request, age_s, pause_s, stated=stated)
            self._probe_later(request)
        elif self._looks_short(count, age_s, pause_s, stated=stated):
            self._short_s = max(self._short_s, age_s + NEAR_S)
            if self._since:  # it held until now: the network's whim
                self._window_s = max(WINDOW_MIN_S, self._window_s + NEAR_S, self._short_s)
            else:
                self._window_s = max(age_s + pause_s, self._short_s)
            self._probe_later(request)
        else:  # others use the budget
            self._window_s = max(WINDOW_MIN_S, self._window_s)
            self._short_s = max(self._short_s, self._window_s - NEAR_S)
            self._probe_later(request)
            self._growing = self._grown = 8 * count < self._count  # so little says nothing: find out
            self._count = max(1, self._count_before(request))

    def _learn_ahead(self, request: Sent, age_s: float, pause_s: float, *, stated: bool) -> None:
        """We asked for more than the budget, and it was too much."""
        if request.early_s is not None:
            self._short_s = max(self._short_s, min(self._window_s, request.early_s + NEAR_S))
        if stated and age_s < inf:  # what made it too much is not older than the window
            self._short_s = max(self._short_s, age_s + pause_s - 1)
            if self._short_s > self._window_s:
                self._window_s = age_s + pause_s
        if self._growing:
            if age_s < self._window_s:
                self._resume_s = max(self._resume_s, request.at_s + self._window_s - age_s + YIELD_S)
            most_s = max(PROBE_MAX_S, PROBE_MAX_WINDOWS * self._window_s)
            self._gap_s = self._first_gap_s() if self._grown else min(most_s, 2 * self._gap_s)

    def _looks_short(self, count: int, age_s: float, pause_s: float, *, stated: bool) -> bool:
        """Whether the window is longer than we think, rather than shared with others."""
        if age_s + (pause_s if stated else 0.0) > self._window_s + ROUNDING_S:
            return False
        return not self._since or (2 * self._since >= self._count if stated else 2 * count < self._count)

    def _adopt(self, count: int, request: Sent, age_s: float, pause_s: float, *, stated: bool) -> None:
        self._count = count
        self._window_s = max(WINDOW_MIN_S, age_s + pause_s)
        self._short_s = max(0.0, age_s + pause_s - 1) if stated else age_s
        self._gap_s = self._first_gap_s()
        self._probe_later(request)

    def _first_gap_s(self) -> float:
        return max(PROBE_MIN_S, PROBE_WINDOWS * self._window_s)

    def _probe_later(self, request: Sent) -> None:
        self._growing = False
        self._probe_s = request.at_s + self._gap_s

    def _next_turn(self) -> None:
        """One request alone, then more with every answer to those sent from now on."""
        self._turn += 1
        self._room = 1.0

    def _trial_s(self) -> float:
        """The window to try out: whole seconds if there are any between too short and long enough, else the middle."""
        low_s, high_s = self._short_s, self._window_s
        if high_s == inf:
            return inf
        whole_s = float(round((low_s + high_s) / 2))
        if low_s - NEAR_S / 2 < whole_s < high_s - NEAR_S:
            return whole_s
        if high_s % 1 < NEAR_S or high_s - low_s < WINDOW_ERROR * high_s:
            return high_s
        return (low_s + high_s) / 2

    def _may_be_out(self) -> int:
        if self._remaining is not None and self._wrong_zeros < WRONG_ZEROS_MAX:
            return min(int(self._room), max(1, self._remaining))
        return int(self._room)

    def _age_s(self, at_s: float) -> float:
        """Of the request that must leave the window before one may go at ``at_s``; inf if none must."""
        index = self._index(at_s) - self._count
        return at_s - self._counted[index].at_s if self._count and index >= 0 else inf

    def _index(self, at_s: float) -> int:
        return bisect_right(self._counted, at_s, key=_at_s)

    def _count_before(self, request: Sent) -> int:
        """How many were accepted in the window that ends with ``request``, itself included."""
        return self._accepted(self._index(request.at_s - self._window_s), request)

    def _accepted(self, start: int, last: Sent) -> int:
        """How many were accepted of those from ``start`` to ``last``."""
        end = self._index(last.at_s)
        if start >= end:
            return 0
        first_s = self._counted[start].at_s
        return end - start - sum(first_s <= other.at_s <= last.at_s for other in self._out)
