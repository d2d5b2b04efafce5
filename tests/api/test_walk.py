"""The pure walk over a list held in memory: what it accepts, what it refuses, what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

import tallyfy_frames as tf
from tallyfy_frames.api.protocol import Page, Request, Row, Stated
from tallyfy_frames.api.walk import PASSES_MAX, Plan, WalkLog, identity, moment, walk

START = datetime(2031, 1, 1, tzinfo=UTC)


def rows(count: int) -> list[Row]:
    return [{"id": f"{n:032x}", "created_at": (START + timedelta(minutes=n)).isoformat()} for n in range(count)]


@dataclass
class Api:
    """A list served page by page; ``before`` may change it before an answer, ``after`` may change the answer."""

    listed: list[Row]
    asked: list[tuple[int, int, str | None]] = field(default_factory=list)
    states_total: bool = True

    def before(self, number: int) -> None: ...

    def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
        return found, total

    def __call__(self, *, page: int, per_page: int, sort: str | None) -> Page:
        self.asked.append((page, per_page, sort))
        self.before(len(self.asked))
        ordered = sorted(self.listed, key=lambda row: row["created_at"], reverse=bool(sort) and sort.startswith("-"))
        found, total = self.after(len(self.asked), ordered[(page - 1) * per_page : page * per_page], len(ordered))
        stated = Stated(total=total if self.states_total else None, per_page=per_page, current_page=page)
        return Page(tuple(found), stated, page, per_page, START, Request(()))


def no_pause() -> None: ...


def read(api: Api, log: WalkLog | None = None, **plan: object) -> list[str]:
    walked = walk(api, Plan(**{"per_page": 10, "order": "created_at", **plan}), set(), log or WalkLog(), pause=no_pause)
    return [row["id"] for _, fresh in walked for row in fresh]


@pytest.mark.parametrize(("count", "requests"), [(0, 3), (1, 1), (9, 1), (10, 2), (11, 3), (20, 3), (95, 11)])
def test_a_still_list_is_read_once_whole_and_oldest_first(count: int, requests: int) -> None:
    api, log = Api(rows(count)), WalkLog()
    ids = read(api, log)
    assert sorted(ids) == [row["id"] for row in rows(count)]
    assert ids == sorted(ids) or count <= 10
    assert len(api.asked) == requests
    assert (log.passes, log.duplicates) == (1, 0)
    assert log.proof == ("seen" if 0 < count < 10 else "totals")


def test_a_row_already_read_that_leaves_is_noticed_and_the_list_read_again() -> None:
    class Leaving(Api):
        def before(self, number: int) -> None:
            if number == 4:
                del self.listed[0]

    log = WalkLog()
    ids = read(Leaving(rows(95)), log)
    assert {row["id"] for row in rows(95)} == set(ids)
    assert len(ids) == 95
    assert log.passes == 2


def test_a_row_created_meanwhile_doubles_nothing() -> None:
    class Growing(Api):
        def before(self, number: int) -> None:
            if number == 4:
                self.listed.append({"id": "f" * 32, "created_at": (START + timedelta(days=9)).isoformat()})

    ids = read(Growing(rows(95)))
    assert len(ids) == len(set(ids)) >= 95


def test_a_list_that_never_holds_still_raises_and_says_why() -> None:
    class Restless(Api):
        def before(self, number: int) -> None:
            del self.listed[0]

    with pytest.raises(tf.IncompleteRead, match="the stated total changed"):
        read(Restless(rows(95)))


@pytest.mark.parametrize("off", [-3, 3])
def test_a_total_that_is_wrong_throughout_raises(off: int) -> None:
    class Lying(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return found, total + off

    api = Lying(rows(95))
    with pytest.raises(tf.IncompleteRead, match="the stated total and the rows that came differ"):
        read(api)
    assert len(api.asked) <= PASSES_MAX * 12


@pytest.mark.parametrize("count", [3, 9, 10, 12, 13, 20, 22, 23, 95, 103])
@pytest.mark.parametrize("order", ["created_at", None])
def test_a_total_too_low_is_never_the_end_wherever_it_falls(count: int, order: str | None) -> None:
    class Lying(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return found, max(0, total - 3)

    with pytest.raises(tf.IncompleteRead):
        read(Lying(rows(count)), order=order)


@pytest.mark.parametrize("fault", ["half", "double"])
@pytest.mark.parametrize("at", range(1, 13))
@pytest.mark.parametrize("plan", [{}, {"limit": 25}, {"since": START}], ids=["all", "limit", "since"])
def test_without_totals_a_cut_or_doubled_page_is_noticed(fault: str, at: int, plan: dict[str, object]) -> None:
    class Cut(Api):
        before_this: list[Row] = []  # noqa: RUF012 - one list, read once

        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            damaged = found[: len(found) // 2] if fault == "half" else found[:-1] + self.before_this
            self.before_this = found[:1]
            return (damaged if number == at else found), total

    try:
        ids = read(Cut(rows(95), states_total=False), **plan)
    except (tf.IncompleteRead, tf.PaginationError):
        return
    wanted = [row["id"] for row in rows(95)]
    assert set(wanted[-25:] if "limit" in plan else wanted) <= set(ids)


def test_an_empty_list_without_totals_is_an_empty_list() -> None:
    assert read(Api([], states_total=False)) == []


def test_empty_answers_are_asked_again_after_a_pause() -> None:
    pauses: list[None] = []
    list(walk(Api([]), Plan(per_page=10, order="created_at"), set(), WalkLog(), pause=lambda: pauses.append(None)))
    assert len(pauses) == 1


def test_since_reads_newest_first_whatever_the_sort() -> None:
    since = START + timedelta(minutes=80)
    api = Api(rows(95))
    assert len(read(api, since=since)) == 15
    assert {ask[2] for ask in api.asked} == {"-created_at"}


def test_a_sort_by_name_that_is_ignored_cannot_say_which_rows_are_first() -> None:
    def named() -> list[Row]:
        return [{**row, "name": f"n{number % 7}"} for number, row in enumerate(rows(30))]

    class Unsorted(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return self.listed[:10], total

    with pytest.raises(tf.PaginationError, match="did not honour sort=name"):
        read(Unsorted(named()), limit=5, sort="name")


def test_an_empty_answer_that_states_an_empty_list_is_not_believed() -> None:
    class Hiccup(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return ([], 0) if number == hiccup else (found, total)

    for hiccup in range(1, 13):
        assert len(read(Hiccup(rows(95)))) == 95, hiccup


def test_a_list_that_comes_back_empty_for_good_raises() -> None:
    class Gone(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return ([], 0) if number > 4 else (found, total)

    with pytest.raises(tf.IncompleteRead, match="came back empty"):
        read(Gone(rows(95)))


def test_without_totals_the_newest_rows_are_the_end() -> None:
    log = WalkLog()
    assert len(read(Api(rows(95), states_total=False), log)) == 95
    assert log.proof == "seen"


def test_without_totals_and_without_order_nothing_is_proven() -> None:
    with pytest.raises(tf.IncompleteRead, match="state no total"):
        read(Api(rows(95), states_total=False), order=None)


def test_without_totals_an_empty_page_in_the_middle_is_no_end() -> None:
    class Hiccup(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return ([], 0) if number == 5 else (found, total)

    log = WalkLog()
    assert len(read(Hiccup(rows(95), states_total=False), log)) == 95
    assert log.passes == 2


def test_limit_stops_as_soon_as_it_has_enough() -> None:
    api, log = Api(rows(95)), WalkLog()
    ids = read(api, log, limit=25)
    assert ids[:25] == [row["id"] for row in rows(95)[::-1][:25]]
    assert [ask[0] for ask in api.asked] == [1, 2, 3]
    assert log.proof == "limit"


def test_newest_first_is_refused_where_the_order_is_not_honoured() -> None:
    class Unsorted(Api):
        def after(self, number: int, found: list[Row], total: int) -> tuple[list[Row], int]:
            return found[::-1], total

    with pytest.raises(tf.PaginationError, match="did not honour sort=-created_at"):
        read(Unsorted(rows(95)), limit=25)


def test_rows_already_seen_in_another_list_come_once() -> None:
    log = WalkLog()
    seen = {identity(row) for row in rows(5)}
    walked = walk(Api(rows(20)), Plan(per_page=10, order="created_at"), seen, log, pause=no_pause)
    assert sum(len(fresh) for _, fresh in walked) == 15
    assert log.duplicates == 5


def test_an_identity_is_sixteen_bytes_whatever_the_id() -> None:
    many = ["0" * 32, "0" * 31 + "1", "x", 7, "7 ", None, "", {"id": "x"}]
    found = [identity({"id": value, "name": "n"}) for value in many]
    assert all(len(key) == 16 for key in found)
    assert identity({"id": 7}) == identity({"id": "7"})
    assert identity({"id": {"id": "x"}}) == identity({"id": "x"})
    assert identity({"name": "a"}) != identity({"name": "b"})


@pytest.mark.parametrize(
    "text", ["2031-01-01T00:00:00Z", "2031-01-01 00:00:00", "2031-01-01T02:00:00+02:00", "2031-01-01T00:00:00.000Z"]
)
def test_a_moment_is_read_in_utc(text: str) -> None:
    assert moment(text) == START


@pytest.mark.parametrize("value", [None, "", "soon", 7])
def test_what_is_no_moment_is_none(value: object) -> None:
    assert moment(value) is None
