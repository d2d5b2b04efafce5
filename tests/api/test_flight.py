"""Several requests at once: how many, in which order their answers come out, and that it all ends when it should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from tallyfy_frames.api.flight import fly
from tallyfy_frames.api.steps import PAST_THE_END, Answer, Ask
from tallyfy_frames.api.walk import Walk
from tallyfy_frames.errors import IncompleteRead, PaginationError, RateLimited


class Plain:
    """A walk of so many pages; ``ready`` says how many may be asked before their answers are there."""

    def __init__(self, pages: int, ready: Callable[[Plain], bool] = lambda _: True) -> None:
        self.pages = pages
        self.ready = ready
        self.asked = 0
        self.taken: list[int] = []
        self.proof: str | None = None

    def next(self) -> Ask | None:
        if self.asked == self.pages or not self.ready(self):
            return None
        self.asked += 1
        return Ask(self.asked, self.asked, 100, None)

    def take(self, ask: Ask, answer: Answer) -> None:
        self.taken.append(ask.number)


class Api:
    """Answers when the test says so, or after a while; counts how many are under way."""

    def __init__(self, answer: Callable[[Ask], None] = lambda _: None) -> None:
        self.answer = answer
        self.began: list[int] = []
        self.out = 0
        self.most_out = 0
        self.lock = threading.Lock()

    def __call__(self, ask: Ask) -> tuple[Answer, int]:
        with self.lock:
            self.began.append(ask.number)
            self.out += 1
            self.most_out = max(self.most_out, self.out)
        try:
            self.answer(ask)
        finally:
            with self.lock:
                self.out -= 1
        return PAST_THE_END, ask.page


def flight(walk: Plain, api: Api, most: int = 8, troubles: Callable[[], int] = lambda: 0) -> Iterator[int]:
    return (ask.number for ask, _, _ in fly(cast("Walk", walk), api, in_flight_max=most, troubles=troubles))


def settled(value: Callable[[], int]) -> int:
    """A count, once it has stopped growing."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.05:
        time.sleep(0.005)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


def crew() -> int:
    return sum(thread.name == "tallyfy-frames" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def everyone_goes_home() -> Iterator[None]:
    """No test leaves a thread behind."""
    assert crew() == 0
    yield
    until = time.monotonic() + 2
    while crew() and time.monotonic() < until:
        time.sleep(0.005)
    assert crew() == 0


def test_answers_come_out_in_the_order_of_their_questions() -> None:
    walk, api = Plain(40), Api(lambda ask: time.sleep(0.002 * (ask.number % 5)))
    assert list(flight(walk, api)) == walk.taken == list(range(1, 41))
    assert api.most_out > 1


def test_no_pages_are_no_requests_and_no_threads() -> None:
    api = Api()
    assert list(flight(Plain(0), api)) == []
    assert api.began == []


def held(walk: Plain, api: Api, steps: int, **options: object) -> list[int]:
    """How many had been asked after each answer that came out, the consumer being slow."""
    counts, answers = [], flight(walk, api, **options)  # type: ignore[arg-type]
    for _ in range(steps):
        next(answers)
        counts.append(settled(lambda: len(api.began)))
    answers.close()  # type: ignore[attr-defined]
    return counts


def test_two_at_first_then_twice_as_many_whenever_all_of_them_were_clean() -> None:
    counts = held(Plain(100), Api(), 20)
    in_flight = [asked - out for out, asked in enumerate(counts)]
    # 2 out; both clean: 4; those four clean: 8; and no more than 8. What came out but was not asked for yet counts as one.
    assert in_flight == [2, 2, 4, 4, 4, 4, *[8] * 14]


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (3, 3), (5, 5)])
def test_never_more_than_allowed(most: int, expected: int) -> None:
    walk, api = Plain(60), Api(lambda _: time.sleep(0.003))
    assert len(list(flight(walk, api, most))) == 60
    assert api.most_out == expected


def test_no_more_is_asked_than_the_walk_can_tell() -> None:
    one_by_one = Plain(10, ready=lambda walk: walk.asked == len(walk.taken))
    api = Api(lambda _: time.sleep(0.001))
    assert list(flight(one_by_one, api)) == list(range(1, 11))
    assert api.most_out == 1


def test_half_as_many_after_trouble_and_more_again_when_it_is_over() -> None:
    trouble = 0

    def troubles() -> int:
        return trouble

    walk, api = Plain(200), Api()
    answers = flight(walk, api, troubles=troubles)
    for _ in range(30):
        next(answers)
    assert walk.asked - 30 == 7  # 8 with the one in hand
    trouble += 3
    asked = []
    for _ in range(30):
        next(answers)
        asked.append(walk.asked - len(walk.taken) + 1)
    assert min(asked) == 4
    assert asked[-1] == 8
    for _ in range(5):
        trouble += 1
        for _ in range(2):
            next(answers)
    assert walk.asked - len(walk.taken) + 1 <= 2
    answers.close()  # type: ignore[attr-defined]


def test_whoever_stops_early_stops_the_requests() -> None:
    walk, api = Plain(1000), Api(lambda _: time.sleep(0.01))
    for number in flight(walk, api):
        if number == 10:
            break
    began = settled(lambda: len(api.began))
    assert began <= 10 + 8
    time.sleep(0.05)
    assert len(api.began) == began


def test_what_waits_unbegun_is_taken_back_at_the_end() -> None:
    gate = threading.Event()
    walk, api = Plain(1000), Api(lambda ask: None if ask.number <= 6 else cast("None", gate.wait(5)))
    answers = flight(walk, api)
    for _ in range(6):
        next(answers)
    answers.close()  # type: ignore[attr-defined]
    before = len(api.began)
    gate.set()
    assert settled(lambda: len(api.began)) == before


def test_what_is_on_its_way_when_all_is_proven_is_not_waited_for_and_may_fail() -> None:
    class Proven(Plain):
        def take(self, ask: Ask, answer: Answer) -> None:
            super().take(ask, answer)
            self.proof = "seen"

    def fail(ask: Ask) -> None:
        if ask.number > 1:
            raise RateLimited("refused")

    walk, api = Proven(10), Api(fail)
    assert list(flight(walk, api)) == [1]
    assert api.most_out <= 2


def test_an_error_comes_out_in_its_turn_and_ends_it() -> None:
    def fail(ask: Ask) -> None:
        if ask.number == 7:
            raise RateLimited("refused")
        time.sleep(0.005)

    walk, api = Plain(1000), Api(fail)
    with pytest.raises(RateLimited, match="refused"):
        list(flight(walk, api))
    assert walk.taken == [1, 2, 3, 4, 5, 6]
    began = settled(lambda: len(api.began))
    assert began <= 6 + 8
    time.sleep(0.05)
    assert len(api.began) == began


def test_even_what_is_no_exception_of_a_thread_comes_out() -> None:
    def interrupted(ask: Ask) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(flight(Plain(5), Api(interrupted)))


@pytest.mark.parametrize("where", ["next", "take"])
def test_an_error_of_the_walk_comes_out_and_ends_it(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    walk, api = Plain(1000), Api()
    plain_next, plain_take = walk.next, walk.take

    def failing_next() -> Ask | None:
        if walk.asked >= 20:
            raise IncompleteRead("it moved")
        return plain_next()

    def failing_take(ask: Ask, answer: Answer) -> None:
        if ask.number == 20:
            raise PaginationError("no order")
        plain_take(ask, answer)

    monkeypatch.setattr(walk, where, failing_next if where == "next" else failing_take)
    with pytest.raises(IncompleteRead if where == "next" else PaginationError):
        list(flight(walk, api))
    assert len(api.began) <= 20 + 8


def test_threads_are_daemons_and_no_more_than_are_needed() -> None:
    walk, api = Plain(300), Api(lambda _: time.sleep(0.001))
    answers = flight(walk, api, 4)
    for _ in range(100):
        next(answers)
    threads = [thread for thread in threading.enumerate() if thread.name == "tallyfy-frames"]
    assert len(threads) == 4
    assert all(thread.daemon for thread in threads)
    answers.close()  # type: ignore[attr-defined]
