"""Lists that move while they are read, and a reader with several requests in flight: what the walk is tried on.

A history is a seed: it draws the list, what changes between any two requests, what the server gets wrong, how many requests are
in flight, and in which order they are served and answered. Everything is in memory and repeatable: ``history(seed)``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tallyfy_frames.api.steps import PAST_THE_END, Answer, Ask, Plan
from tallyfy_frames.api.walk import Walk
from tallyfy_frames.errors import IncompleteRead, PaginationError

ORDER = "created_at"


@dataclass
class Listed:
    """A sorted list under change. ``rows`` holds (created, key) of what is in it now; ``throughout`` what never left it."""

    rows: list[tuple[float, int]]
    clock: float
    draw: random.Random
    throughout: dict[int, float] = field(default_factory=dict)
    away: list[tuple[float, int]] = field(default_factory=list)  # left, and may come back
    keys: int = 0
    changes: int = 0
    entered: int = 0  # other than as the newest row
    newest: tuple[float, int] = (0.0, 0)  # at the start

    @classmethod
    def of(cls, count: int, draw: random.Random, ties: float = 0.0) -> Listed:
        rows, at = [], 0.0
        for key in range(count):
            at += 0 if draw.random() < ties else draw.randint(1, 5)
            rows.append((at, key))
        return cls(rows, at, draw, keys=count)

    def begin(self) -> None:
        self.throughout = {key: at for at, key in self.rows}
        self.newest = self.rows[-1] if self.rows else (0.0, 0)

    def leave(self, index: int) -> None:
        if 0 <= index < len(self.rows):
            row = self.rows.pop(index)
            self.away.append(row)
            self.throughout.pop(row[1], None)
            self.changes += 1

    def leave_any(self) -> None:
        self.leave(self.draw.randrange(max(1, len(self.rows))))

    def create(self, *, late: float = 0.0) -> None:
        self.clock += self.draw.choice((0, 1, 1, 2))
        self.keys += 1
        self.insert((self.clock - late, self.keys))

    def insert(self, row: tuple[float, int]) -> None:
        self.rows.append(row)
        self.rows.sort()
        self.changes += 1
        self.entered += row < self.newest

    def come_back(self, index: int = -1) -> None:
        if self.away:
            self.insert(self.away.pop(index))

    def enter(self, at: float) -> None:
        """A row of an old time that was never in the list before."""
        self.keys += 1
        self.insert((at, self.keys))

    def enter_any(self) -> None:
        self.enter(float(self.draw.randint(0, int(self.clock) + 1)))

    @property
    def ties_max(self) -> int:
        """Rows of the largest group with one instant."""
        counts: dict[float, int] = {}
        for at, _ in self.rows + self.away:
            counts[at] = counts.get(at, 0) + 1
        return max(counts.values(), default=0)


@dataclass
class Server:
    """Answers requests about the list as it is now, with what a real one may get wrong."""

    listed: Listed
    tie_order: str = "fixed"  # or "shuffled": ties come out differently each time
    sort: str = "honoured"  # or "ignored", "minus ignored", "within the page"
    totals: str = "right"  # or "low", "high", "absent", "absurd"
    clamp: int | None = None  # rows at most per page
    fixed_size: int | None = None  # rows per page, whatever is asked
    states_size: bool = True
    refuses_past_end: bool = False
    hiccups: dict[int, str] = field(default_factory=dict)  # by request: "empty", "half"
    edited: list[int] = field(default_factory=list)  # keys, most lately edited last (the order where sort is ignored)
    served: int = 0

    def answer(self, ask: Ask) -> Answer:
        self.served += 1
        rows = self.ordered(ask.sort)
        size = self.fixed_size or min(ask.per_page, self.clamp or ask.per_page)
        total: int | None = len(rows)
        shown = rows[(ask.page - 1) * size : ask.page * size]
        if self.sort == "within the page":
            shown = sorted(shown, reverse=str(ask.sort).startswith("-"))
        if self.refuses_past_end and ask.page > 1 and not shown:
            return PAST_THE_END
        hiccup = self.hiccups.get(self.served)
        if hiccup == "empty":
            shown, total = [], 0 if self.listed.draw.random() < 0.5 else total
        elif hiccup == "half":
            shown = shown[: len(shown) // 2]
        total = {"right": total, "low": max(0, total - 3), "high": total + 3, "absent": None, "absurd": 10**15}[self.totals]
        return Answer(
            [key.to_bytes(16, "big") for _, key in shown],
            [at for at, _ in shown],
            total,
            size if self.states_size and total is not None else None,
        )

    def ordered(self, sort: str | None) -> list[tuple[float, int]]:
        rows = list(self.listed.rows)
        if self.sort in {"ignored", "within the page"}:
            place = {key: n for n, key in enumerate(self.edited)}
            return sorted(rows, key=lambda row: (-place.get(row[1], -1), -row[0], row[1]))
        if self.tie_order == "shuffled":
            rows.sort(key=lambda row: (row[0], self.listed.draw.random()))
        descending = sort is not None and sort.startswith("-") and self.sort != "minus ignored"
        return rows[::-1] if descending else rows

    @property
    def honest(self) -> bool:
        """Whether it does as it is documented."""
        documented = (self.sort, self.totals, self.clamp, self.fixed_size, self.hiccups)
        return documented == ("honoured", "right", None, None, {})

    @property
    def size_max(self) -> int | None:
        return self.fixed_size or self.clamp


@dataclass
class Reading:
    """How a walk over a history went."""

    plan: Plan
    server: Server
    walk: Walk
    found: dict[int, float]
    error: IncompleteRead | PaginationError | None
    marks: list[int]  # changes by the time each request was served
    rows_max: int

    @property
    def lost(self) -> set[int]:
        """Rows that are wanted, were there throughout, and were not shown."""
        wanted = self.server.listed.throughout
        if self.plan.since is not None:
            wanted = {key: at for key, at in wanted.items() if at >= self.plan.since.timestamp()}
        if self.plan.limit is not None and len(self.found) >= self.plan.limit:
            sign = 1 if self.plan.sort == ORDER else -1
            last = sorted(sign * at for at in self.found.values())[self.plan.limit - 1]
            wanted = {key: at for key, at in wanted.items() if sign * at < last}
        return set(wanted) - set(self.found)

    @property
    def silent(self) -> bool:
        return self.error is None and bool(self.lost)

    @property
    def requests(self) -> int:
        return self.walk.log.requests

    @property
    def pages(self) -> int:
        """How many pages of the size that was served there are."""
        return max(1, -(-self.rows_max // min(self.walk.plan.per_page, self.server.size_max or self.walk.plan.per_page)))

    @property
    def requests_max(self) -> int:
        """Three times what a still list takes, and as much again where it had to be counted. A page cut in half without a
        word looks like a smaller page."""
        cut = 2 if "half" in self.server.hiccups.values() else 1
        spent = 3 * cut * self.pages + 30
        return spent + (3 * (cut * self.pages + 2) + 8 if self.walk.log.passes > 1 or self.walk.proof == "counted" else 0)

    @property
    def unprovable(self) -> bool:
        """Whether what the server gets wrong leaves nothing that could prove the list complete, even if it stood still."""
        server, size = self.server, min(self.plan.per_page, self.server.size_max or self.plan.per_page)
        rows, ties = len(server.listed.rows), server.listed.ties_max
        if not rows:  # an empty list looks like a fault
            return self.rows_max > 0 or server.totals in {"high", "absurd"}
        seen = server.sort == "honoured" and server.fixed_size is None and "half" not in server.hiccups.values()
        seen = seen and size >= 20 and ties + 2 < size // 2 and ties < rows
        counted = (
            server.totals == "right"
            and len(server.hiccups) + bool(server.listed.changes) < 2
            and (server.tie_order == "fixed" or ties < 2)
        )
        return not seen and not counted

    @property
    def justified(self) -> bool:
        """Whether a raise is: the list changed in the last half of the requests (where it was counted in the end: in the last
        three quarters, which are two readings and a bit), or nothing could have proven it complete."""
        if isinstance(self.error, PaginationError):
            return self.server.sort != "honoured"
        before = len(self.marks) // (4 if self.walk.log.passes > 1 else 2)
        return self.marks[-1] > (self.marks[before - 1] if before else 0) or self.unprovable


Mutation = Callable[[Listed, Ask, dict[int, float]], None]  # the list, the request to be served, the rows shown so far


def nothing(listed: Listed, ask: Ask, found: dict[int, float]) -> None: ...


def read(
    server: Server, plan: Plan, mutate: Mutation = nothing, *, in_flight: int = 1, draw: random.Random | None = None
) -> Reading:
    """Walk the list while ``mutate`` changes it before each request is served. With ``draw``, requests are served and answered
    in any order; without, in the order in which they were asked for."""
    listed, walk = server.listed, Walk(plan)
    found: dict[int, float] = {}
    sent: list[Ask] = []
    arrived: list[tuple[Ask, Answer]] = []
    error: IncompleteRead | PaginationError | None = None
    marks: list[int] = []
    listed.begin()
    rows_max = len(listed.rows)
    try:
        while walk.proof is None:
            while len(sent) + len(arrived) < in_flight and (ask := walk.next()) is not None:
                assert 1 <= ask.per_page <= plan.per_page
                assert ask.page >= 1
                sent.append(ask)
            if not sent and not arrived:
                break
            if sent and (not arrived or (draw is not None and draw.random() < 0.5)):
                ask = sent.pop(draw.randrange(len(sent)) if draw else 0)
                mutate(listed, ask, found)
                rows_max = max(rows_max, len(listed.rows))
                arrived.append((ask, server.answer(ask)))
                marks.append(listed.changes)
                assert len(marks) < 20_000, "this walk does not end"
            else:
                ask, answer = arrived.pop(draw.randrange(len(arrived)) if draw else 0)
                found.update((int.from_bytes(key, "big"), at) for key, at in zip(answer.keys, answer.moments, strict=True))
                walk.take(ask, answer)
    except (IncompleteRead, PaginationError) as raised:
        error = raised
    return Reading(plan, server, walk, found, error, marks, rows_max)


# Kinds of movement: each is given the random numbers and a rate (changes per request), and gives what happens before a request.

Kind = Callable[[random.Random, float], Mutation]
KINDS: dict[str, Kind] = {}


def kind(make: Kind) -> Kind:
    KINDS[make.__name__] = make
    return make


def often(draw: random.Random, rate: float, change: Callable[[Listed], object]) -> Mutation:
    """``change`` happens ``rate`` times before each request, on average."""

    def mutate(listed: Listed, ask: Ask, found: dict[int, float]) -> None:
        for _ in range(int(rate) + (draw.random() < rate % 1)):
            change(listed)

    return mutate


def once(at: int, change: Callable[[Listed], object]) -> Mutation:
    """``change`` happens before the ``at``-th request that is served."""
    served = 0

    def mutate(listed: Listed, ask: Ask, found: dict[int, float]) -> None:
        nonlocal served
        served += 1
        if served == at:
            change(listed)

    return mutate


@kind
def stands_still(draw: random.Random, rate: float) -> Mutation:
    return nothing


@kind
def front_leaves(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, lambda listed: listed.leave(0))


@kind
def end_leaves(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, lambda listed: listed.leave(len(listed.rows) - 1))


@kind
def any_leaves(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, Listed.leave_any)


@kind
def created(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, Listed.create)


@kind
def created_late(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, lambda listed: listed.create(late=draw.choice((0, 0, 1, 3, 6))))


@kind
def enters_anywhere(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, Listed.enter_any)


@kind
def front_leaves_one_created(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, lambda listed: (listed.leave(0), listed.create()))


@kind
def front_leaves_one_enters(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, lambda listed: (listed.leave(0), listed.enter_any()))


@kind
def away_and_back(draw: random.Random, rate: float) -> Mutation:
    return often(draw, rate, lambda listed: (listed.leave_any(), listed.come_back(0) if draw.random() < 0.7 else None))


@kind
def anything(draw: random.Random, rate: float) -> Mutation:
    def change(listed: Listed) -> None:
        back = draw.randrange(len(listed.away)) if listed.away else -1
        draw.choice((listed.leave_any, listed.create, listed.enter_any, lambda: listed.come_back(back)))()

    return often(draw, rate, change)


@kind
def many_leave_once(draw: random.Random, rate: float) -> Mutation:
    count = draw.randint(1, 40)
    return once(draw.randint(1, 20), lambda listed: [listed.leave(0) for _ in range(count)])


@kind
def bursts(draw: random.Random, rate: float) -> Mutation:
    def burst(listed: Listed) -> None:
        for _ in range(draw.randint(1, 15)):
            listed.leave(0 if draw.random() < 0.5 else draw.randrange(max(1, len(listed.rows))))

    return often(draw, min(rate, 0.2), burst)


@kind
def half_as_many_return(draw: random.Random, rate: float) -> Mutation:
    return once(
        draw.randint(1, 12), lambda listed: [listed.enter(float(draw.randint(-9, 3))) for _ in range(len(listed.rows) // 2)]
    )


@kind
def all_leave(draw: random.Random, rate: float) -> Mutation:
    return once(draw.randint(1, 12), lambda listed: [listed.leave(0) for _ in range(len(listed.rows))])


def push_before(listed: Listed, unseen: int, count: int, *, swaps: bool) -> None:
    """Rows in front of the unseen one leave; with ``swaps`` the total stands."""
    for left in range(count):
        listed.leave(listed.draw.randrange(unseen - left))
        if swaps:
            listed.create()


def push_behind(listed: Listed, unseen: int, count: int, *, swaps: bool) -> None:
    """Rows enter in front of the unseen one; with ``swaps`` the total stands."""
    for _ in range(count):
        if listed.away and listed.draw.random() < 0.5 and listed.away[-1] < listed.rows[unseen]:
            listed.come_back()
        else:
            listed.enter(listed.rows[0][0] - listed.draw.randint(0, 1))
        if swaps:
            listed.leave(len(listed.rows) - 1)


@kind
def dodging(draw: random.Random, rate: float) -> Mutation:
    """An adversary: it sees each request, and moves the next row that is still to be shown out of its window, before or behind
    it, by letting other rows leave or return; ``rate`` says how many at most."""
    strength, swaps = int(3 * rate) + 1, draw.random() < 0.5

    def mutate(listed: Listed, ask: Ask, found: dict[int, float]) -> None:
        unseen = next((n for n, (_, key) in enumerate(listed.rows) if key in listed.throughout and key not in found), None)
        if unseen is None or str(ask.sort).startswith("-"):
            return
        start = ask.per_page * (ask.page - 1)
        behind, before = start + ask.per_page - unseen, unseen - start + 1  # rows to enter, or to leave, in front of it
        if not 0 < before <= ask.per_page:
            return
        if before <= min(strength, unseen):
            push_before(listed, unseen, before, swaps=swaps)
        elif behind <= strength:
            push_behind(listed, unseen, behind, swaps=swaps)

    return mutate


@dataclass
class History:
    """What a seed draws."""

    kind: str
    rate: float
    server: Server
    plan: Plan
    mutate: Mutation
    in_flight: int
    draw: random.Random

    def read(self) -> Reading:
        return read(self.server, self.plan, self.mutate, in_flight=self.in_flight, draw=self.draw)


def history(seed: int, proof: str = "seen", *, honest: bool = False, light: bool = False) -> History:
    """The history of a seed. ``honest``: the server does as it is documented; ``light``: something changes now and then."""
    draw = random.Random(seed)
    name = draw.choice(list(KINDS))
    rate = 0.1 if light else draw.choice((0.1, 0.3, 1, 2, 4))
    size = draw.choice((20, 25, 30, 100) if light else (10, 10, 12, 15, 20, 30, 100))
    pages = 12 if size < 100 else 6
    count = draw.choice((0, 1, 2, 3, size - 1, size, size + 1, 2 * size, *(draw.randint(0, pages * size) for _ in range(4))))
    listed = Listed.of(count, draw, ties=draw.choice((0, 0, 0.08, 0.3, 0.6)))
    server = Server(listed, tie_order=draw.choice(("fixed", "fixed", "shuffled")))
    if not honest and draw.random() < 0.7:
        server = replace(
            server,
            sort=draw.choice(
                ("honoured",) * 8 + ("ignored", "minus ignored") + ("within the page",) * (name == "stands_still")
            ),
            totals=draw.choice(("right",) * 6 + ("low", "high", "absent")),
            clamp=draw.choice((None,) * 5 + (max(6, size // 2),)),
            fixed_size=draw.choice((None,) * 12 + (5, 10)),
            states_size=draw.random() < 0.85,
            refuses_past_end=draw.random() < 0.2,
            hiccups={draw.randint(1, 25): draw.choice(("empty", "half")) for _ in range(draw.choice((0, 0, 0, 1, 2)))},
        )
    if server.sort == "within the page":  # alone: another fault may hide it
        server = replace(server, totals=draw.choice(("right", "absent")), clamp=None, fixed_size=None, hiccups={})
    if server.sort in {"ignored", "within the page"}:
        server.edited = [key for _, key in listed.rows]
        draw.shuffle(server.edited)
    plan = Plan(per_page=size, order=ORDER, proof=proof)  # type: ignore[arg-type]
    part = draw.random() if server.sort != "within the page" else 1.0  # the first rows of such a list cannot be told
    if part < 0.1:
        plan = replace(plan, limit=draw.randint(1, 3 * size), sort=draw.choice((None, ORDER, f"-{ORDER}")))
    elif part < 0.2:
        plan = replace(plan, since=datetime.fromtimestamp(draw.randint(0, int(listed.clock) + 5), UTC))
    return History(name, rate, server, plan, KINDS[name](draw, rate), draw.choice((1, 2, 4, 8)), draw)
