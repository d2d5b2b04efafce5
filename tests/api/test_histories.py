"""The walk over lists that move: random histories, every history of tiny lists, the named ones, an adversary, several lists."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest
from api import histories
from api.histories import ORDER, Listed, Mutation, Server, history, once, read
from api.soak import faults

from tallyfy_frames.api import overlap, walk
from tallyfy_frames.api.steps import Ask, Plan

# Random histories. `make soak` reads a hundred thousand of them.


def test_no_random_history_loses_rows_silently_and_every_raise_is_justified():
    found = {seed: wrong for seed in range(2000) if (wrong := faults(history(seed).read()))}
    assert not found


@pytest.fixture
def thrift(monkeypatch):
    """Plain pages also for lists that are not long."""
    monkeypatch.setattr(overlap, "STILL_PAGES_MIN", 2)


def test_plain_pages_lose_rows_only_where_one_entered_in_the_middle(thrift):
    found = {seed: wrong for seed in range(1000) if (wrong := faults(history(seed, "still").read()))}
    assert not found


def test_plain_pages_do_lose_a_row_where_another_enters_in_the_middle_at_the_same_time(thrift):
    """What `still` says that it cannot see. Once this fails, its description may promise more."""

    def swap(listed: Listed) -> None:
        listed.leave(0)
        listed.enter(listed.rows[60][0])

    reading = read(Server(Listed.of(100, random.Random(1))), Plan(per_page=10, order=ORDER, proof="still"), once(5, swap))
    assert reading.walk.proof == "still"
    assert len(reading.lost) == 1


def test_plain_pages_notice_a_row_that_is_away_while_the_middle_is_read(thrift):
    for in_flight in (1, 4):
        mutate = both(once(3, leaves(1)), once(9, Listed.come_back))
        server = Server(Listed.of(240, random.Random(1)))
        reading = read(server, Plan(per_page=20, order=ORDER, proof="still"), mutate, in_flight=in_flight)
        assert (reading.walk.proof, reading.lost) == ("seen", set())


def test_plain_pages_are_not_fooled_by_a_new_row_that_stands_before_the_newest_one(thrift):
    """Of one instant, it comes before it by chance, and so in the place of the row that left."""

    def swap(listed: Listed) -> None:
        listed.leave(0)
        listed.insert((listed.newest[0], 1))

    for rows in (95, 91):  # the newest row amidst the last page, and alone on it
        listed = Listed.of(rows, random.Random(1))
        listed.rows = [(at, key + 100) for at, key in listed.rows]
        reading = read(Server(listed), Plan(per_page=10, order=ORDER, proof="still"), once(6, swap))
        assert (reading.walk.proof, reading.lost) == ("seen", set())


def test_the_first_rows_are_the_first_whatever_is_created_or_leaves_meanwhile():
    movements = [kind for kind in histories.KINDS if kind not in {"stands_still", "all_leave", "half_as_many_return"}]
    raised = 0
    for seed in range(1200):
        draw = random.Random(seed)
        size = draw.choice((10, 20))
        plan = Plan(per_page=size, order=ORDER, limit=draw.randint(size, 6 * size), sort=draw.choice((None, ORDER)))
        mutate = histories.KINDS[draw.choice(movements)](draw, draw.choice((0.3, 1, 3)))
        reading = read(Server(Listed.of(10 * size, draw, ties=0.1)), plan, mutate, in_flight=draw.choice((1, 4, 8)), draw=draw)
        assert not faults(reading), seed
        raised += reading.error is not None
    assert raised < 120


def test_an_honest_server_whose_list_stands_still_is_always_read():
    for seed in range(1500):
        drawn = history(seed, honest=True, light=True)
        reading = read(drawn.server, drawn.plan, in_flight=drawn.in_flight, draw=drawn.draw)
        assert reading.error is None, seed
        assert not reading.lost, seed
        if drawn.server.listed.ties_max + 2 < drawn.plan.per_page // 2:
            assert reading.walk.proof == "seen", seed


def test_light_movement_seldom_keeps_a_walk_from_its_end():
    read_, raised = Counter(), Counter()
    for seed in range(4000):
        drawn = history(seed, honest=True, light=True)
        if drawn.kind not in {"dodging", "all_leave"} and drawn.server.listed.ties_max < 10:
            read_[drawn.kind] += 1
            raised[drawn.kind] += drawn.read().error is not None
    assert len(read_) == len(histories.KINDS) - 2
    assert max(raised[kind] / read_[kind] for kind in read_) <= 0.03, raised


# The histories by name. Each is a list of a dozen pages, and what happens to it; all but a few are survived.


def leaves(index: int = 0) -> Callable[[Listed], None]:
    return lambda listed: listed.leave(index)


def all_of(*changes: Callable[[Listed], object]) -> Callable[[Listed], None]:
    return lambda listed: [change(listed) for change in changes] and None


def each(change: Callable[[Listed], object]) -> Mutation:
    return lambda listed, ask, found: change(listed) and None


def both(*mutations: Mutation) -> Mutation:
    return lambda listed, ask, found: [mutate(listed, ask, found) for mutate in mutations] and None


def uncreate(listed: Listed) -> None:
    listed.leave(len(listed.rows) - 1)


def into_the_middle(listed: Listed) -> None:
    listed.enter(listed.rows[len(listed.rows) * 2 // 3][0])


def edit_unread(listed: Listed, ask: Ask, found: dict[int, float]) -> list[int]:
    return [key for _, key in listed.rows if key not in found][:1]


MOVEMENTS: dict[str, Callable[[int], Mutation]] = {
    "a run already read leaves": lambda size: once(5, leaves()),
    "one leaves and one is created": lambda size: once(5, all_of(leaves(), Listed.create)),
    "one is away while the middle is read": lambda size: both(once(3, leaves(1)), once(9, Listed.come_back)),
    "one is away, another keeps the total": lambda size: both(
        once(3, all_of(leaves(1), Listed.create)), once(9, all_of(uncreate, Listed.come_back))
    ),
    "one out of the front and one into the middle": lambda size: once(5, all_of(leaves(), into_the_middle)),
    "one is created and removed, another leaves": lambda size: both(
        once(3, Listed.create), once(5, leaves()), once(7, uncreate)
    ),
    "the last page empties": lambda size: once(
        5, lambda listed: [uncreate(listed) for _ in range(len(listed.rows) % size or size)]
    ),
    "more than a page leaves at once": lambda size: once(5, lambda listed: [listed.leave(0) for _ in range(size + 3)]),
    "one is created after each request": lambda size: each(Listed.create),
    "one leaves after each request": lambda size: each(leaves()),
    "half as many return at the front": lambda size: once(
        6, lambda listed: [listed.enter(-float(n)) for n in range(len(listed.rows) // 2)]
    ),
    "commits that arrive late": lambda size: each(lambda listed: listed.create(late=3)),
}
SIZES = [10, 20, 100]


@pytest.mark.parametrize("rows", ["a full last page", "a short last page"])
@pytest.mark.parametrize("in_flight", [1, 2, 8])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MOVEMENTS)
def test_named_movements_are_survived_in_any_order_of_answers(name: str, size: int, in_flight: int, rows: str):
    for seed in range(6):
        draw = random.Random(seed)
        listed = Listed.of(12 * size - (0 if rows == "a full last page" else size // 3), draw)
        mutate = MOVEMENTS[name](size)
        reading = read(
            Server(listed), Plan(per_page=size, order=ORDER), mutate, in_flight=in_flight, draw=draw if seed else None
        )
        assert not faults(reading), seed
        assert reading.error is None, seed
        assert reading.walk.proof == "seen", seed


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize("size", SIZES)
def test_when_all_leave_the_walk_raises_or_nothing_is_lost(size: int, in_flight: int):
    for at in range(1, 14):
        change = once(at, lambda listed: [listed.leave(0) for _ in range(len(listed.rows))])
        reading = read(
            Server(Listed.of(12 * size, random.Random(at))), Plan(per_page=size, order=ORDER), change, in_flight=in_flight
        )
        assert not faults(reading)


# What a server gets wrong, by name: how many rows are listed, the server, and the proof that is reached (None: it raises).

WRONGS: dict[str, tuple[int, dict[str, object], str | None]] = {
    "ties in a fixed order": (130, {"ties": 0.6}, "seen"),
    "ties in any order": (130, {"ties": 0.4, "tie_order": "shuffled"}, "seen"),
    "all in one instant": (95, {"ties": 1.0}, "counted"),
    "all in one instant, in any order": (95, {"ties": 1.0, "tie_order": "shuffled"}, None),
    "sort ignored": (95, {"sort": "ignored"}, "counted"),
    "minus ignored": (95, {"sort": "minus ignored"}, "counted"),
    "sorted within the page only": (250, {"sort": "within the page"}, "counted"),
    "total too low": (95, {"totals": "low"}, "seen"),
    "total too high": (95, {"totals": "high"}, "seen"),
    "total absurd": (95, {"totals": "absurd"}, "seen"),
    "total absent": (95, {"totals": "absent"}, "seen"),
    "no meta and refused past the end": (95, {"totals": "absent", "refuses_past_end": True}, "seen"),
    "total too low, sort ignored": (95, {"totals": "low", "sort": "ignored"}, None),
    "total absent, sort ignored": (95, {"totals": "absent", "sort": "ignored"}, None),
    "clamped": (95, {"clamp": 10}, "seen"),
    "clamped without a word": (95, {"clamp": 10, "states_size": False}, "seen"),
    "clamped to very few": (95, {"clamp": 7}, "counted"),
    "one size only": (95, {"fixed_size": 10}, "counted"),
    "one size only, without a word": (95, {"fixed_size": 10, "states_size": False}, "counted"),
    "larger pages than asked for": (95, {"fixed_size": 40}, "counted"),
    "empty": (0, {}, "seen"),
    "one run": (1, {}, "seen"),
    "one run, total absent": (1, {"totals": "absent"}, "seen"),
    "exactly one page": (20, {}, "seen"),
    "a full last page": (100, {}, "seen"),
}


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize("name", WRONGS)
def test_a_still_list_is_read_whatever_the_server_gets_wrong_or_the_walk_raises(name: str, in_flight: int):
    rows, wrong, proof = WRONGS[name]
    for seed in range(6):
        draw = random.Random(seed)
        listed = Listed.of(rows, draw, ties=wrong.get("ties", 0.0))
        server = Server(listed, **{key: value for key, value in wrong.items() if key != "ties"})
        server.edited = draw.sample(range(rows), rows)
        reading = read(server, Plan(per_page=20, order=ORDER), in_flight=in_flight, draw=draw if seed else None)
        assert not faults(reading)
        assert reading.walk.proof == proof, reading.error


@pytest.mark.parametrize("totals", ["right", "absent", "high", "absurd"])
@pytest.mark.parametrize("size", [10, 20, 100])
def test_an_order_that_holds_within_each_page_only_is_not_taken_for_one(size: int, totals: str):
    for seed in range(40):
        draw = random.Random(seed)
        listed = Listed.of(draw.randint(2, 12 * size), draw)
        server = Server(listed, sort="within the page", totals=totals)
        server.edited = draw.sample(range(listed.keys), listed.keys)
        reading = read(server, Plan(per_page=size, order=ORDER), in_flight=draw.choice((1, 4)), draw=draw)
        assert not reading.silent, seed


@pytest.mark.parametrize("hiccup", ["empty", "half"])
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("totals", ["right", "absent"])
@pytest.mark.parametrize("proof", ["seen", "still"])
@pytest.mark.parametrize("rows", [0, 1, 20, 39, 95, 230])
def test_one_bad_answer_wherever_it_falls_is_survived(rows: int, proof: str, totals: str, in_flight: int, hiccup: str, thrift):
    for at in range(1, 18):
        server = Server(Listed.of(rows, random.Random(at)), totals=totals, hiccups={at: hiccup})
        reading = read(server, Plan(per_page=20, order=ORDER, proof=proof), in_flight=in_flight)
        assert not faults(reading), at
        assert reading.error is None, at


def test_an_edited_unread_run_that_jumps_to_the_front_of_an_unsorted_list_is_not_lost():
    for seed in range(200):
        draw = random.Random(seed)
        server = Server(Listed.of(95, draw), sort="ignored")

        def edit(
            listed: Listed, ask: Ask, found: dict[int, float], server: Server = server, draw: random.Random = draw
        ) -> None:
            server.edited += [key for _, key in listed.rows if key not in found][-1:] if draw.random() < 0.1 else []

        reading = read(server, Plan(per_page=20, order=ORDER), edit, in_flight=draw.choice((1, 4)), draw=draw)
        assert not reading.silent


# Every history of tiny lists.

SMALL = 4


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(overlap, "OVERLAP_PAGE_MIN", 3)
    monkeypatch.setattr(walk, "OVERLAP_PAGE_MIN", 3)


def tiny(rows: int, *, ties: bool) -> Listed:
    listed = Listed.of(0, random.Random(1))
    listed.rows = [(float(2 * (n // 2 if ties else n)), n) for n in range(rows)]
    listed.clock, listed.keys = 2.0 * rows, 100
    return listed


CHANGES: list[Callable[[Listed], None]] = [
    *(leaves(index) for index in range(7)),
    *((lambda listed, at=at: listed.enter(at)) for at in (-1.0, 1.0, 3.0, 5.0, 7.0, 9.0)),
    Listed.create,
    Listed.come_back,
]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize(
    ("changes", "rows", "offered"), [(1, 7, 15), (2, 7, 15), (2, 10, 15), (3, 7, (0, 3, 6, 7, 10, 13, 14))]
)
def test_no_history_of_a_tiny_list_loses_a_row(small_pages, changes: int, rows: int, offered, in_flight: int, ties: bool):
    choices = [CHANGES[n] for n in (range(offered) if isinstance(offered, int) else offered)]
    requests = range(2, 8) if changes < 3 else (2, 3, 4, 6)
    events = list(itertools.product(requests, choices))
    raised = 0
    for picked in itertools.combinations_with_replacement(events, changes):
        listed = tiny(rows, ties=ties)
        served = itertools.count(1)

        def mutate(listed: Listed, ask: Ask, found: dict[int, float], picked=picked, served=served) -> None:
            number = next(served)
            for at, change in picked:
                if at == number:
                    change(listed)

        reading = read(Server(listed), Plan(per_page=SMALL, order=ORDER), mutate, in_flight=in_flight)
        assert not reading.silent, picked
        raised += reading.error is not None
    assert raised == 0


# An adversary.


@pytest.mark.parametrize("size", [10, 20, 100])
@pytest.mark.parametrize("strength", [0, 0.4, 1, 2, 5, 100])
def test_an_adversary_who_sees_each_request_can_make_the_walk_raise_but_not_lose_a_row(size: int, strength: float):
    raised = 0
    for seed in range(60):
        draw = random.Random(seed)
        listed = Listed.of(draw.randint(2 * size, 12 * size), draw, ties=draw.choice((0, 0.2)))
        mutate = histories.KINDS["dodging"](draw, strength)
        reading = read(Server(listed), Plan(per_page=size, order=ORDER), mutate, in_flight=draw.choice((1, 2, 8)), draw=draw)
        assert not faults(reading), seed
        raised += reading.error is not None
    assert strength or raised < 10


# Several lists, one after the other: the smaller ones are read again (`pipeline.Job.sequence`).


def read_lists(seed: int, lists: int, moves: int) -> tuple[set[int], bool]:
    """Read as the pipeline does, while rows move between lists, each at most ``moves`` times. Which rows that were in one of
    the lists throughout were lost; and whether the reading raised."""
    draw = random.Random(seed)
    size = draw.choice((10, 20))
    count = [draw.randint(0, 3 * size) for _ in range(lists)]
    worlds, moved = [Listed.of(rows, draw) for rows in count], Counter()
    for n, world in enumerate(worlds):
        world.rows = [(at, 1000 * n + key) for at, key in world.rows]
        world.keys = 100_000 * (n + 1)
    throughout = {key for world in worlds for _, key in world.rows}
    rate = draw.choice((0.3, 1, 2))

    def mutate(listed: Listed, ask: Ask, found: dict[int, float]) -> None:
        for _ in range(int(rate) + (draw.random() < rate % 1)):
            source, target = draw.sample(worlds, 2)
            if source.rows:
                index = draw.choice((0, draw.randrange(len(source.rows))))
                row = source.rows[index]
                if moved[row[1]] < moves:
                    moved[row[1]] += 1
                    source.leave(index)
                    target.insert(row)
            if draw.random() < 0.1:
                draw.choice(worlds).create()
            if draw.random() < 0.1 and source.rows:
                throughout.discard(source.rows[-1][1])
                source.leave(len(source.rows) - 1)

    found: set[int] = set()
    order = sorted(range(lists), key=lambda n: count[n])
    for n in (*order, *order[:-1]):
        reading = read(Server(worlds[n]), Plan(per_page=size, order=ORDER), mutate, in_flight=draw.choice((1, 4)), draw=draw)
        found |= set(reading.found)
        if reading.error is not None:
            return set(), True
    return throughout - found, False


@pytest.mark.parametrize("lists", [2, 3])
def test_a_row_that_moves_once_between_lists_is_in_one_of_the_readings(lists: int):
    raised = 0
    for seed in range(500):
        lost, incomplete = read_lists(seed, lists, moves=1)
        assert not lost, seed
        raised += incomplete
    assert raised < 100


def test_a_row_that_moves_twice_between_lists_is_outside_the_promise():
    """Documented in ``Job.sequence``: once this fails, more can be promised."""
    assert any(read_lists(seed, 2, moves=2)[0] for seed in range(500))
