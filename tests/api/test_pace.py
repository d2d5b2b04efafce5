"""How fast to ask, against servers of several kinds, in virtual time.

The simulation is event-driven and exact: workers share one pace, a request takes half a round trip to the server, which judges
it on arrival, and half a round trip back. It checks on every send that no ``Retry-After`` is running.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallyfy_frames.api.pace import Pace, Sent


class Server(Protocol):
    def ask(self, now_s: float) -> tuple[float, int]:
        """(seconds to wait or 0, requests left)."""


@dataclass
class Sliding:
    """At most ``count`` accepted in any ``window_s``; as the sandbox."""

    count: int
    window_s: float
    accepted: deque[float] = field(default_factory=deque)

    def ask(self, now_s: float) -> tuple[float, int]:
        while self.accepted and self.accepted[0] <= now_s - self.window_s:
            self.accepted.popleft()
        if len(self.accepted) >= self.count:
            return self.accepted[-self.count] + self.window_s - now_s, 0
        self.accepted.append(now_s)
        return 0.0, self.count - len(self.accepted)


@dataclass
class Fixed:
    """At most ``count`` in each window of the clock."""

    count: int
    window_s: float
    phase_s: float = 0.0  # of the window that is over when the first request comes
    window: float = -1.0
    used: int = 0

    def ask(self, now_s: float) -> tuple[float, int]:
        window = (now_s + self.phase_s) // self.window_s
        if window != self.window:
            self.window, self.used = window, 0
        if self.used >= self.count:
            return (window + 1) * self.window_s - self.phase_s - now_s, 0
        self.used += 1
        return 0.0, self.count - self.used


@dataclass
class Bucket:
    """Room for ``count`` tokens, of which ``count`` flow in per ``window_s``."""

    count: int
    window_s: float
    tokens: float = math.inf
    at_s: float = 0.0

    def ask(self, now_s: float) -> tuple[float, int]:
        self.tokens = min(self.count, self.tokens + (now_s - self.at_s) * self.count / self.window_s)
        self.at_s = now_s
        if self.tokens < 1 - 1e-9:
            return (1 - self.tokens) * self.window_s / self.count, 0
        self.tokens -= 1
        return 0.0, int(self.tokens)


@dataclass
class Both:
    """Several limits at once, as the sandbox."""

    limits: list[Sliding]

    def ask(self, now_s: float) -> tuple[float, int]:
        waits = []
        for limit in self.limits:
            while limit.accepted and limit.accepted[0] <= now_s - limit.window_s:
                limit.accepted.popleft()
            full = len(limit.accepted) >= limit.count
            waits.append(limit.accepted[-limit.count] + limit.window_s - now_s if full else 0.0)
        if max(waits) > 0:
            return max(waits), 0
        return 0.0, min(limit.ask(now_s)[1] for limit in self.limits)


EPOCH_S = 1_900_000_000.3  # the wall clock at virtual time 0


def stated_s(form: str, wait_s: float, now_s: float) -> float | None:
    """What the client reads in ``Retry-After``."""
    if form == "int+1":  # the sandbox
        return float(max(1, int(wait_s) + 1))
    if form == "ceil":
        return float(math.ceil(wait_s))
    left_s = int(EPOCH_S + now_s + wait_s) - EPOCH_S - now_s
    return left_s if form == "date" and left_s > 0 else None


@dataclass
class Client:
    pace: Pace
    rtt_s: float = 0.05
    workers: int = 8
    wanted: float = math.inf
    start_s: float = 0.0
    stop_s: float = math.inf
    jitter_s: float = 0.0
    sends: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)  # when answers came
    refused: list[float] = field(default_factory=list)
    idle: int = 0
    out: int = 0
    wake_s: float = math.inf
    resume_s: float = -math.inf


def run(  # noqa: C901  # one world: its clock, its network and its workers
    server: Server,
    *clients: Client,
    states: str = "int+1",
    header: bool = True,
    until_s: float = math.inf,
    at: dict[float, Callable[[float], None]] | None = None,
) -> None:
    """Let the clients ask until they have what they want, or until ``until_s``. ``at``: what else happens, and when."""
    rng = random.Random(1)
    order = itertools.count()
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def later(when_s: float, do: Callable[[float], None]) -> None:
        heapq.heappush(events, (when_s, next(order), do))

    def try_to_send(client: Client, now_s: float) -> None:
        while client.idle and len(client.done) + client.out < client.wanted and now_s < client.stop_s:
            wait_s = client.pace.wait_s(now_s)
            assert wait_s >= 0
            if wait_s > 0:
                if now_s + wait_s < client.wake_s or client.wake_s <= now_s:
                    client.wake_s = now_s + wait_s
                    later(client.wake_s, partial(try_to_send, client))
                return
            assert now_s >= client.resume_s - 1e-9, "sent before Retry-After was over"
            client.idle -= 1
            client.out += 1
            client.sends.append(now_s)
            ticket = client.pace.sent(now_s)
            way_s = client.rtt_s / 2 + rng.random() * client.jitter_s
            later(now_s + way_s, partial(arrive, client, ticket))

    def arrive(client: Client, ticket: Sent, now_s: float) -> None:
        wait_s, left = server.ask(now_s)
        stated = stated_s(states, wait_s, now_s) if wait_s > 0 else None
        way_s = client.rtt_s / 2 + rng.random() * client.jitter_s
        later(now_s + way_s, lambda now_s: answer(client, ticket, now_s, wait_s > 0, stated, left if header else None))

    def answer(client: Client, ticket: Sent, now_s: float, refused: bool, stated: float | None, left: int | None) -> None:
        client.idle += 1
        client.out -= 1
        if refused:
            client.refused.append(now_s)
            pause_s = client.pace.refused(ticket, now_s, stated)
            assert pause_s >= (stated or 0) - 1e-6
            client.resume_s = max(client.resume_s, now_s + (stated or 0))
        else:
            client.done.append(now_s)
            client.pace.accepted(ticket, now_s, left)
        try_to_send(client, now_s)

    for client in clients:
        client.idle = client.workers
        later(client.start_s, partial(try_to_send, client))
    for when_s, do in (at or {}).items():
        later(when_s, do)
    while events:
        now_s, _, do = heapq.heappop(events)
        if now_s > until_s:
            return
        do(now_s)


LIMITS = {"600/60": (600, 60), "140/10": (140, 10), "12/5": (12, 5), "100/60": (100, 60), "1000/3600+100/60": (1000, 3600)}


def server_for(kind: str, count: int, window_s: float) -> Server:
    if kind == "fixed":
        return Fixed(count, window_s, phase_s=0.7 * window_s)
    if kind == "bucket":
        return Bucket(count, window_s)
    return Both([Sliding(count, window_s), Sliding(100, 60)]) if window_s == 3600 else Sliding(count, window_s)


def judged(client: Client, count: int, window_s: float, windows: int) -> tuple[float, float]:
    """(time for so many windows' worth over the least time, share of 429s)."""
    end_s = client.done[windows * count - 1]
    return end_s / ((windows - 1) * window_s + client.rtt_s), sum(at_s <= end_s for at_s in client.refused) / (windows * count)


def assert_learned(
    kind: str,
    limit: str,
    states: str,
    header: bool,
    rtt_s: float,
    ten: float,
    thirty: float,
    refused: float,
    jitter_s: float = 0.0,
) -> None:
    count, window_s = LIMITS[limit]
    client = Client(Pace(), rtt_s=rtt_s, wanted=30 * count, jitter_s=jitter_s)
    run(server_for(kind, count, window_s), client, states=states, header=header, until_s=100 * window_s)
    for windows, ratio_max in ((10, ten), (30, thirty)):
        ratio, share = judged(client, count, window_s, windows)
        assert ratio <= ratio_max, (windows, ratio)
        assert share <= refused, (windows, share)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    ("states", "header", "rtt_s"),
    [
        *(("int+1", header, rtt_s) for header in (True, False) for rtt_s in (0.005, 0.05, 0.3)),
        *((states, header, 0.05) for states in ("ceil", "date") for header in (True, False)),
    ],
)
def test_every_documented_limit_is_learned_from_nothing(limit: str, states: str, header: bool, rtt_s: float) -> None:
    assert_learned("sliding", limit, states, header, rtt_s, ten=1.14, thirty=1.08, refused=0.05)


@pytest.mark.parametrize("limit", list(LIMITS)[:4])
@pytest.mark.parametrize("header", [True, False])
def test_a_limit_that_states_no_wait_is_learned_too(limit: str, header: bool) -> None:
    assert_learned("sliding", limit, "none", header, 0.05, ten=1.15, thirty=1.08, refused=0.06)


@pytest.mark.parametrize("limit", list(LIMITS)[:4])
@pytest.mark.parametrize(("kind", "refused"), [("fixed", 0.07), ("bucket", 0.08)])
@pytest.mark.parametrize("header", [True, False])
def test_other_kinds_of_limits_are_lived_with(kind: str, refused: float, limit: str, header: bool) -> None:
    assert_learned(kind, limit, "int+1", header, 0.05, ten=1.08, thirty=1.08, refused=refused)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("header", [True, False])
def test_a_network_of_uneven_speed_costs_little(limit: str, header: bool) -> None:
    assert_learned("sliding", limit, "int+1", header, 0.05, ten=1.25, thirty=1.15, refused=0.08, jitter_s=0.02)


def test_nothing_is_held_back_without_a_limit() -> None:
    client = Client(Pace(), wanted=4000)
    run(Sliding(10**9, 1), client, header=False)
    assert client.done[-1] < 1.05 * 4000 / 8 * client.rtt_s


def test_a_stated_remainder_makes_the_first_limit_cost_one_429() -> None:
    client = Client(Pace())
    run(Sliding(600, 60), client, until_s=30)
    assert (len(client.done), len(client.refused)) == (600, 1)


def share(times: list[float], start_s: float, end_s: float) -> int:
    return sum(start_s <= at_s < end_s for at_s in times)


@pytest.mark.parametrize(("count", "window_s"), list(LIMITS.values())[:4])
@pytest.mark.parametrize("states", ["int+1", "date"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("late", [0.0, 3.3])
def test_two_clients_share_a_budget_and_the_one_left_gets_it_back(
    count: int, window_s: float, states: str, header: bool, late: float
) -> None:
    one, two = Client(Pace()), Client(Pace(), rtt_s=0.07, start_s=late * window_s, stop_s=30 * window_s)
    end_s = 30 * window_s + max(20 * window_s, 180)  # a few windows; of short ones, a few probes
    run(Sliding(count, window_s), one, two, states=states, header=header, until_s=end_s)
    mine, theirs = (share(client.done, 10 * window_s, 30 * window_s) for client in (one, two))
    assert min(mine, theirs) >= 0.04 * 20 * count  # mostly a third; a late comer may be lucky or not
    assert mine + theirs >= 0.85 * 20 * count
    assert share(one.done, end_s - 5 * window_s, end_s) >= 0.85 * 5 * count


def test_a_limit_that_changes_is_followed() -> None:
    server, client = Sliding(600, 60), Client(Pace())

    def change(count: int, now_s: float) -> None:
        server.count = count

    run(server, client, at={600: partial(change, 100), 1800: partial(change, 600)}, until_s=2400)
    per_minute = [share(client.done, 60 * minute, 60 * minute + 60) for minute in range(40)]
    assert min(per_minute[:10]) > 550
    assert min(per_minute[11:30]) >= 95
    assert min(per_minute[34:]) > 550
    assert len(client.refused) < 40


@pytest.mark.parametrize("server", [Sliding(10**9, 1), Sliding(60, 60), Sliding(12, 5), Bucket(300, 60)])
def test_a_pinned_rate_is_never_exceeded(server: Server) -> None:
    client = Client(Pace(max_requests_per_minute=100))
    run(server, client, until_s=1200)
    assert len(client.sends) > 500
    assert all(later - earlier > 60 for earlier, later in zip(client.sends, client.sends[100:], strict=False))


def test_a_pinned_rate_within_the_limit_meets_no_429_and_is_used_up() -> None:
    client = Client(Pace(max_requests_per_minute=100))
    run(Sliding(600, 60), client, until_s=600)
    assert (len(client.done), client.refused) == (1000, [])


def test_a_longer_limit_is_waited_for_and_the_shorter_one_not_forgotten() -> None:
    client = Client(Pace(), wanted=2000)
    run(Both([Sliding(1000, 3600), Sliding(100, 60)]), client)
    assert client.done[-1] < 1.02 * (3600 + 540)
    assert len(client.refused) <= 12


def test_all_workers_wait_for_the_longest_wait_asked_for() -> None:
    pace = Pace()
    for moment in range(8):
        pace.accepted(pace.sent(moment / 10), moment / 10, None)
    volley = [pace.sent(1.0), pace.sent(1.0), pace.sent(1.0)]
    assert pace.refused(volley[0], 1.1, 30.0) == 30.0
    assert pace.refused(volley[1], 1.2, 2.0) == pytest.approx(29.9)
    assert pace.refused(volley[2], 1.3, 40.0) == 40.0
    assert pace.wait_s(41.2) == pytest.approx(0.1)
    assert pace.wait_s(41.31) == 0
    canary = pace.sent(41.31)
    assert pace.wait_s(41.32) > 0, "one goes ahead, the others wait for its answer"
    pace.failed(canary)
    assert pace.wait_s(41.41) == 0, "a failure is no answer: the next goes ahead"


@pytest.mark.parametrize("retry_after_s", [None, 0.0])
def test_without_a_usable_wait_the_pause_doubles_to_eight_seconds(retry_after_s: float | None) -> None:
    pace, now_s, pauses = Pace(backoff_s=0.5), 0.0, []
    for _ in range(7):
        request = pace.sent(now_s)
        pauses.append(pace.refused(request, now_s + 0.1, retry_after_s))
        now_s += 0.1 + pauses[-1]
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]


@given(seed=st.integers(0, 10_000), pinned=st.sampled_from([None, 1, 50]), backoff_s=st.sampled_from([0.0, 0.5]))
@settings(max_examples=100, deadline=None)
def test_whatever_the_server_says_the_pace_keeps_its_word(seed: int, pinned: int | None, backoff_s: float) -> None:
    """Random answers, times at rest, remainders that lie: waits are sane, pauses are kept, and it never stops for good."""

    def play() -> list[float]:
        rng, pace, now_s, resume_s = random.Random(seed), Pace(max_requests_per_minute=pinned, backoff_s=backoff_s), 0.0, -1.0
        out: list[Sent] = []
        sends = []
        for _ in range(400):
            wait_s = pace.wait_s(now_s)
            assert 0 <= wait_s < 10_000
            if wait_s == 0 and len(out) < 8:
                assert now_s >= resume_s
                sends.append(now_s)
                out.append(pace.sent(now_s))
            elif out:
                request = out.pop(rng.randrange(len(out)))
                match rng.choice("aaaaafr"):
                    case "a":
                        pace.accepted(request, now_s, rng.choice([None, 0, 0, 5]))
                    case "f":
                        pace.failed(request)
                    case _:
                        asked_s = rng.choice([None, 0.0, 0.3, 1.0, 59.0, 3000.0])
                        pause_s = pace.refused(request, now_s, asked_s)
                        assert pause_s >= (asked_s or 0)
                        resume_s = max(resume_s, now_s + pause_s - 1e-9)
            else:
                now_s += wait_s
            now_s += rng.choice([0.0, 0.0, 0.01, 1.0])
        return sends

    first = play()
    assert first == play()
    assert len(first) > 5


def test_no_remainder_for_ever_is_not_believed_for_ever() -> None:
    @dataclass
    class Liar:
        def ask(self, now_s: float) -> tuple[float, int]:
            return 0.0, 0

    client = Client(Pace(), wanted=800)
    run(Liar(), client)
    assert client.done[-1] < 1.1 * 800 / 8 * client.rtt_s


def test_memory_is_bounded() -> None:
    pace = Pace()
    for number in range(30_000):
        pace.accepted(pace.sent(number / 100), number / 100, None)
    assert len(pace._counted) <= 10_000  # noqa: SLF001  # no other way to see it
    assert pace.refused(pace.sent(300.0), 300.0, 5.0) == 5.0
