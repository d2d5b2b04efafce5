"""What the pure walk asks for, believes and refuses; `test_histories.py` has it read lists that move."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from api.histories import ORDER, Listed, Mutation, Reading, Server, nothing, often, once, read

import tallyfy_frames as tf
from tallyfy_frames.api.overlap import STILL_PAGES_MIN
from tallyfy_frames.api.spans import INFINITY, Place, Span, Spans, window_around, window_from
from tallyfy_frames.api.steps import Answer, Ask, Plan, identity, moment
from tallyfy_frames.api.walk import Walk

START = datetime(2031, 1, 1, tzinfo=UTC)
WHOLE = Plan(per_page=100, order=ORDER)


def still(count: int, **server: object) -> Server:
    """A list that does not move; row *n* was created *n* seconds after 1970."""
    listed = Listed([(float(n), n) for n in range(count)], float(count), random.Random(1))
    return Server(listed, **server)


def asked(server: Server, plan: Plan, in_flight: int = 1) -> tuple[Reading, list[tuple[int, int, str | None]]]:
    """A reading, and what was asked for: page, size, sort."""
    asks: list[tuple[int, int, str | None]] = []
    reading = read(
        server, plan, lambda listed, ask, found: asks.append((ask.page, ask.per_page, ask.sort)), in_flight=in_flight
    )
    return reading, asks


# What a whole list takes.


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize(
    ("rows", "requests"), [(0, 3), (1, 2), (2, 2), (60, 2), (99, 2), (100, 2), (101, 3), (250, 4), (1000, 13), (2498, 30)]
)
def test_a_still_list_takes_few_requests_whatever_is_in_flight(rows: int, requests: int, in_flight: int):
    reading, _ = asked(still(rows), WHOLE, in_flight)
    assert (reading.walk.proof, reading.error, reading.lost) == ("seen", None, set())
    assert reading.requests <= requests
    assert reading.walk.log.repairs == 0


@pytest.mark.parametrize("rows", [250, 1000, 2498, 5000, 20_000, 100_000])
@pytest.mark.parametrize("proof", ["seen", "still"])
def test_a_still_list_takes_little_more_than_its_pages(rows: int, proof: str):
    reading, _ = asked(still(rows), replace(WHOLE, proof=proof), in_flight=4)
    pages = -(-rows // 100)
    long = pages > STILL_PAGES_MIN
    assert reading.walk.proof == ("still" if proof == "still" and long else "seen")
    assert reading.requests <= (pages + 3 if proof == "still" and long else 1.16 * pages + 3)
    assert not reading.lost


@pytest.mark.parametrize("in_flight", [1, 2, 8])
def test_rows_of_one_instant_here_and_there_cost_next_to_nothing(in_flight: int):
    listed = Listed.of(50_000, random.Random(1), ties=0.08)
    reading, _ = asked(Server(listed), WHOLE, in_flight)
    assert reading.walk.proof == "seen"
    assert reading.requests <= 1.16 * 500 + 3
    assert not reading.lost


def test_the_newest_page_is_asked_first_and_then_windows_that_overlap_up_to_it():
    _, asks = asked(still(250), WHOLE)
    assert asks[0] == (1, 100, "-created_at")
    assert [sort for _, _, sort in asks[1:]] == [ORDER] * (len(asks) - 1)
    ends = [0]
    for page, per_page, _ in asks[1:]:
        assert per_page * (page - 1) <= max(0, ends[-1] - 2) < per_page * page
        ends.append(per_page * page)
    assert ends[-2] < 152 <= ends[-1]


def test_an_empty_list_is_believed_after_three_answers_in_both_orders_and_a_pause():
    walk = Walk(WHOLE)
    asks = []
    while (ask := walk.next()) is not None:
        assert walk.next() is None
        asks.append((ask.page, ask.sort, ask.after_pause))
        walk.take(ask, Answer((), (), 0, 100))
    assert walk.proof == "seen"
    assert asks == [(1, "-created_at", False), (1, ORDER, False), (1, "-created_at", True)]


@pytest.mark.parametrize("plan", [WHOLE, replace(WHOLE, order=None), replace(WHOLE, limit=5)])
def test_answers_without_rows_that_state_that_there_are_some_are_no_empty_list(plan: Plan):
    walk = Walk(plan)
    with pytest.raises(tf.IncompleteRead, match="hold no rows"):
        while (ask := walk.next()) is not None:
            walk.take(ask, Answer((), (), 95))
    assert walk.log.requests == 3


def test_one_answer_alone_is_never_believed_however_few_rows_it_has():
    walk = Walk(WHOLE)
    ask = walk.next()
    walk.take(ask, Answer([b"a"], [1.0], 1, 100))
    assert walk.proof is None
    second = walk.next()
    assert (second.page, second.sort) == (1, ORDER)
    walk.take(second, Answer([b"a"], [1.0], 1, 100))
    assert walk.proof == "seen"


def test_without_totals_no_windows_are_asked_for_far_beyond_the_end():
    for in_flight in (1, 8):
        reading, asks = asked(still(1000, totals="absent"), WHOLE, in_flight)
        assert reading.walk.proof == "seen"
        assert max(per_page * (page - 1) for page, per_page, _ in asks) < 1000
        assert len(asks) <= 14
        assert reading.walk.log.repairs == 0


def test_an_absurd_total_does_not_keep_the_walk_from_its_end():
    for in_flight in (1, 8):
        reading, asks = asked(still(250, totals="absurd"), WHOLE, in_flight)
        assert reading.walk.proof == "seen"
        assert len(asks) <= 20
        newest_leave = lambda listed, ask, found: listed.rows.__delitem__(slice(100, None)) if ask.number == 2 else None  # noqa: E731
        reading = read(still(250, totals="absurd"), WHOLE, newest_leave, in_flight=in_flight)
        assert reading.requests < 60


def test_what_is_asked_for_after_the_proof_cannot_take_it_back():
    walk = Walk(replace(WHOLE, limit=100))
    first = walk.next()
    walk.take(first, Answer([bytes([n]) for n in range(60)], [100.0 - n for n in range(60)], 5000, 60))
    second, third = walk.next(), walk.next()
    assert third is None
    walk.take(second, Answer([bytes([58 + n]) for n in range(60)], [42.0 - n for n in range(60)], 5000, 60))
    assert walk.proof == "seen"
    assert walk.next() is None


def test_rows_of_one_instant_do_not_show_that_a_sort_was_honoured():
    """The oldest rows came although the newest were asked for; they share an instant, so their order does not tell."""

    class Cut(Server):
        def answer(self, ask: Ask) -> Answer:
            whole = super().answer(ask)
            return replace(whole, keys=whole.keys[:2], moments=whole.moments[:2]) if self.served == cut else whole

    for plan in (WHOLE, replace(WHOLE, since=datetime.fromtimestamp(5, UTC)), replace(WHOLE, limit=30)):
        for cut in (1, 2, 3):
            listed = Listed([(float(n // 2), n) for n in range(40)], 20.0, random.Random(1))
            reading = read(Cut(listed, sort="minus ignored"), replace(plan, per_page=20))
            assert not reading.silent, (plan, cut)


@pytest.mark.parametrize(
    "plan", [WHOLE, replace(WHOLE, order=None), replace(WHOLE, limit=5), replace(WHOLE, limit=5, sort="name")]
)
def test_a_list_that_just_had_rows_is_not_believed_to_be_empty(plan: Plan):
    assert asked(still(0), plan)[0].walk.proof == "seen"
    error = asked(still(0), replace(plan, had_rows=True))[0].error
    assert isinstance(error, tf.IncompleteRead)
    assert "came back empty" in str(error)


# Counting, where the order proves nothing.


def test_without_an_order_two_readings_on_different_page_sizes_must_agree():
    reading, asks = asked(still(95), replace(WHOLE, per_page=20, order=None))
    assert reading.walk.proof == "counted"
    assert asks == [(page, size, None) for size in (20, 19) for page in range(1, 6 + (size == 19))]


@pytest.mark.parametrize("rows", range(1, 110))
def test_a_total_too_low_is_never_the_end_wherever_it_falls(rows: int):
    """93 rows, 90 stated: ten pages of nine and nine of ten hold just as many. A page beyond them shows that they are not all."""
    for plan in (replace(WHOLE, per_page=10, order=None), replace(WHOLE, per_page=10)):
        reading, _ = asked(still(rows, totals="low"), plan)
        assert not reading.silent
        assert reading.error is not None or plan.order is not None


def test_without_order_and_totals_nothing_can_be_proven():
    with pytest.raises(tf.IncompleteRead, match="state no total"):
        raise asked(still(95, totals="absent"), replace(WHOLE, order=None))[0].error


def test_a_reading_that_cannot_add_up_is_given_up_at_once():
    server = still(1000)
    server.hiccups = {2: "half"}
    reading, asks = asked(server, replace(WHOLE, order=None))
    assert reading.walk.proof == "counted"
    assert len(asks) <= 2 + 11 + 11


def test_a_list_that_grows_with_every_request_is_not_counted_for_ever():
    for order in (None, ORDER):
        for growth in (1, 9, 40):
            change = lambda listed, ask, found, growth=growth: [listed.create() for _ in range(growth)]  # noqa: E731
            reading = read(still(95), Plan(per_page=10, order=order), change, in_flight=4)
            assert reading.error is not None or (order and not reading.lost)
            assert reading.requests < 150


def test_what_cannot_be_read_says_why_and_what_to_try():
    def restless(listed: Listed, ask: Ask, found: dict[int, float]) -> None:
        listed.leave(0)
        listed.create()
        listed.leave(5)

    error = read(still(95), Plan(per_page=10), restless).error
    assert isinstance(error, tf.IncompleteRead)
    assert "the stated total changed" in str(error)
    assert "try again when fewer runs change" in str(error)
    error = asked(still(95, totals="high"), Plan(per_page=10))[0].error
    assert "report it to Tallyfy's support" in str(error)


def test_a_list_that_comes_back_empty_for_good_raises_soon():
    gone = lambda listed, ask, found: listed.rows.clear() if ask.number == 5 else None  # noqa: E731
    for plan in (WHOLE, replace(WHOLE, proof="still"), replace(WHOLE, order=None)):
        reading = read(still(3000), plan, gone, in_flight=4)
        assert "came back empty" in str(reading.error)
        assert reading.requests < 40


# The first rows only.


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize(
    ("limit", "sort", "requests"),
    [(1, None, 1), (5, None, 1), (100, None, 1), (250, None, 3), (250, "-created_at", 3), (250, ORDER, 3), (5, ORDER, 1)],
)
def test_limit_asks_for_no_more_pages_than_hold_it(limit: int, sort: str | None, requests: int, in_flight: int):
    reading, asks = asked(still(2498), replace(WHOLE, limit=limit, sort=sort), in_flight)
    assert reading.walk.proof == "seen"
    assert len(asks) == requests
    assert {asked_sort for _, _, asked_sort in asks} == {sort or "-created_at"}
    wanted = range(limit) if sort == ORDER else range(2498 - limit, 2498)
    assert set(wanted) <= set(reading.found)
    assert len(reading.found) <= max(10, limit + 100)


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize(("newest", "requests"), [(0, 1), (1, 1), (99, 1), (150, 2), (450, 6), (2498, 33)])
def test_since_asks_for_few_pages_beyond_the_instant(newest: int, requests: int, in_flight: int):
    reading, asks = asked(still(2498), replace(WHOLE, since=datetime.fromtimestamp(2498 - newest, UTC)), in_flight)
    assert reading.walk.proof == "seen"
    assert not reading.lost
    assert len(asks) <= requests + 1
    assert {sort for _, _, sort in asks} <= ({"-created_at"} if newest < 2498 else {"-created_at", ORDER})


@pytest.mark.parametrize("fixed", [7, 40])
def test_the_first_rows_need_no_overlap_where_one_page_holds_them(fixed: int):
    reading, asks = asked(still(2498, fixed_size=fixed), replace(WHOLE, limit=5))
    assert reading.walk.proof == "seen"
    assert len(asks) == 1


@pytest.mark.parametrize("rows", [1, 2, 30])
@pytest.mark.parametrize("sort", [None, ORDER])
def test_all_of_a_short_list_is_read_as_cheaply_with_a_limit(rows: int, sort: str | None):
    reading, asks = asked(still(rows), replace(WHOLE, limit=50, sort=sort))
    assert reading.walk.proof == "seen"
    assert len(asks) == 2
    assert len(reading.found) == rows


@pytest.mark.parametrize("plan", [replace(WHOLE, limit=25), replace(WHOLE, since=datetime.fromtimestamp(50, UTC))])
def test_newest_first_is_refused_where_the_order_is_not_honoured(plan: Plan):
    with pytest.raises(tf.PaginationError, match="did not honour sort=-created_at"):
        raise asked(still(95, sort="minus ignored"), plan)[0].error


@pytest.mark.parametrize("bad", [{"order": None}, {"sort": ORDER}, {"sort": "name", "limit": 5}])
def test_since_reads_newest_first_or_not_at_all(bad: dict[str, object]):
    with pytest.raises(ValueError, match="newest first"):
        replace(WHOLE, since=START, **bad)


class Named(Server):
    """Also sorts by a name, which is not the order of creation."""

    heeds = True

    def ordered(self, sort: str | None) -> list[tuple[float, int]]:
        if sort not in {"name", "-name"}:
            return super().ordered(sort)
        rows = sorted(self.listed.rows, key=lambda row: (row[1] * 7919) % 1009)
        return rows[::-1] if sort == "-name" and self.heeds else rows


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize(
    ("limit", "requests", "proof"), [(1, 2, "seen"), (40, 2, "seen"), (100, 2, "seen"), (250, 7, "counted")]
)
def test_a_named_sort_shows_the_first_rows_once_its_opposite_comes_out_otherwise(
    limit: int, requests: int, proof: str, in_flight: int
):
    server = Named(still(900).listed)
    reading, asks = asked(server, replace(WHOLE, limit=limit, sort="name"), in_flight)
    assert reading.walk.proof == proof
    assert len(asks) == requests
    assert {key for _, key in server.ordered("name")[:limit]} <= set(reading.found)


@pytest.mark.parametrize(
    "change", [nothing, once(2, Listed.create), once(2, Listed.leave_any), once(2, lambda listed: listed.leave(0))]
)
@pytest.mark.parametrize("rows", [6, 11, 30, 101, 150, 900])
@pytest.mark.parametrize("limit", [1, 5, 30, 150])
def test_a_named_sort_that_is_ignored_cannot_say_which_rows_are_first(limit: int, rows: int, change: Mutation):
    server = Named(still(rows).listed)
    server.heeds = False
    reading = read(server, replace(WHOLE, limit=limit, sort="name"), change)
    if rows > limit + 1:
        assert isinstance(reading.error, tf.PaginationError)
        assert "did not honour sort=name" in str(reading.error)
    else:
        assert not reading.silent  # all of them are wanted


@pytest.mark.parametrize(
    "change", [once(2, Listed.create), once(2, Listed.leave_any), often(random.Random(1), 0.5, Listed.create)]
)
@pytest.mark.parametrize("rows", [6, 11, 30, 101, 150, 900])
@pytest.mark.parametrize("limit", [1, 5, 30, 90])
def test_a_named_sort_that_is_honoured_is_believed_while_the_list_moves(limit: int, rows: int, change: Mutation):
    reading = read(Named(still(rows).listed), replace(WHOLE, limit=limit, sort="name"), change)
    assert reading.error is None


def test_more_first_rows_than_a_page_holds_are_read_twice_on_different_page_sizes():
    _, asks = asked(Named(still(900).listed), replace(WHOLE, limit=150, sort="name"))
    assert asks == [(1, 100, "name"), (1, 100, "-name"), (2, 100, "name"), (1, 99, "name"), (2, 99, "name")]


@pytest.mark.parametrize("totals", ["right", "absent"])
def test_where_all_rows_are_wanted_nothing_hangs_on_a_named_sort(totals: str):
    server = Named(still(30).listed, totals=totals)
    reading, asks = asked(server, replace(WHOLE, limit=50, sort="name"))
    assert reading.walk.proof == "seen"
    assert len(reading.found) == 30
    assert len(asks) <= (3 if totals == "right" else 5)


# Rows as the walk sees them.


def test_an_identity_is_sixteen_bytes_whatever_the_id():
    many = ["0" * 32, "0" * 31 + "1", "A" * 32, "0 " * 16, "x", 7, "7 ", None, "", True, {"id": "x"}, ["x"]]
    found = [identity({"id": value, "name": "n"}) for value in many]
    assert all(len(key) == 16 for key in found)
    assert identity({"id": 7}) == identity({"id": "7"})
    assert identity({"id": {"id": "x"}}) == identity({"id": "x"})
    assert identity({"name": "a"}) != identity({"name": "b"})
    assert identity({"id": "0" * 32}) == bytes(16) == identity({"id": " " + "0" * 32})
    assert identity({"id": "0 " * 16}) != bytes(16)
    assert identity({"id": "a" * 32}) != identity({"id": "A" * 32})


def test_a_row_nested_too_deeply_to_be_read_still_has_an_identity():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(identity({"name": deep})) == 16


@pytest.mark.parametrize(
    "text",
    ["2031-01-01T00:00:00Z", "2031-01-01 00:00:00", "2031-01-01T02:00:00+02:00", "2031-01-01T00:00:00.000Z", "2031-01-01"],
)
def test_a_moment_is_read_in_utc(text: str):
    assert moment(text) == START.timestamp()


def test_moments_a_microsecond_apart_are_apart():
    assert moment("2031-01-01T00:00:00.000001Z") < moment("2031-01-01T00:00:00.000002Z")


@pytest.mark.parametrize("value", [None, "", "soon", 7, "0001-01-01T00:00:00+14:00", "9999-99-99"])
def test_what_is_no_moment_is_none(value: object):
    assert moment(value) is None or value == "0001-01-01T00:00:00+14:00"


def test_rows_without_a_moment_are_counted():
    answers = [Answer([bytes([n]) for n in range(3)], [1.0, None, 3.0], 3, 100)] * 4
    walk = Walk(WHOLE)
    for answer in answers:
        ask = walk.next()
        if ask is None:
            break
        walk.take(ask, answer)
    assert walk.next() is None
    assert walk.proof == "counted"


def test_the_walk_costs_next_to_nothing_per_row():
    rows = [
        {"id": f"{n:032x}", "created_at": (START + timedelta(minutes=n)).isoformat(timespec="milliseconds")}
        for n in range(5000)
    ]
    began_s = time.perf_counter()
    walk, taken = Walk(WHOLE), 0
    while (ask := walk.next()) is not None:
        listed = rows if ask.sort == ORDER else rows[::-1]
        shown = listed[(ask.page - 1) * ask.per_page : ask.page * ask.per_page]
        keys, moments = [identity(row) for row in shown], [moment(row["created_at"]) for row in shown]
        walk.take(ask, Answer(keys, moments, 5000, ask.per_page))
        taken += len(shown)
    assert walk.proof == "seen"
    assert (time.perf_counter() - began_s) / taken < 20e-6  # about 1.5 microseconds; machines that test are slow and shared


# Intervals and windows.


def at(index: float, answer: int = 1) -> Place:
    return Place(index, answer)


def test_intervals_merge_where_they_overlap_and_not_where_they_touch():
    spans = Spans()
    for low, high in ((5.0, 9.0), (-INFINITY, 2.0), (2.0, 5.0)):
        spans.add(Span(low, high, at(low), at(high)))
    assert [gap.key for gap in spans.gaps()] == [(2.0, 2.0), (5.0, 5.0), (9.0, INFINITY)]
    assert spans.front == 2.0
    spans.add(Span(1.0, 6.0, at(1), at(6)))
    assert [gap.key for gap in spans.gaps()] == [(9.0, INFINITY)]
    spans.add(Span(9.0, 9.0, at(9), at(9)))
    spans.add(Span(8.0, INFINITY, at(8), at(8)))
    assert spans.whole


def test_random_intervals_cover_what_they_cover():
    for seed in range(200):
        draw = random.Random(seed)
        spans, drawn = Spans(), []
        for _ in range(draw.randint(1, 12)):
            low, high = sorted(draw.sample(range(20), 2))
            drawn.append((low, high))
            spans.add(Span(float(low), float(high), at(0), at(0)))
        points = [half / 2 for half in range(-1, 41)]
        gaps = list(spans.gaps())
        for point in points:
            covered = any(low < point < high for low, high in drawn)
            assert covered != any(gap.low <= point <= gap.high for gap in gaps), (seed, point)


@pytest.mark.parametrize("size", [2, 3, 10, 99, 100])
def test_windows_begin_where_they_must_and_no_other_reaches_further(size: int):
    for start in range(0, 700, 7):
        window = window_from(start, size)
        assert window.start <= start
        assert window.per_page <= size
        best = max(per_page * (start // per_page + 1) for per_page in range(1, size + 1))
        assert window.end == best
        around = window_around(start, size)
        assert around.start <= start < around.end or around.start == 0
