"""Keeps several requests of a walk on their way at once; answers come out in the order in which they were asked for.

Threads, no event loop: a notebook already runs one. They are daemons, so that an interrupted program waits for no server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, TypeAlias, TypeVar

from tallyfy_frames.api.steps import Answer, Ask
from tallyfy_frames.api.walk import Walk

IN_FLIGHT_FIRST: Final = 2
WAKE_S: Final = 0.1

Load = TypeVar("Load")
_Fetch: TypeAlias = Callable[[Ask], tuple[Answer, Load]]
_Job: TypeAlias = "tuple[Ask, Future[tuple[Answer, Load]]]"


class Allowance:
    """How many requests may be on their way: few at first, twice as many each time all of them came back clean."""

    def __init__(self, most: int) -> None:
        """``most`` is what it never exceeds."""
        self.most = most
        self.now = min(IN_FLIGHT_FIRST, most)
        self._clean = 0

    def landed(self, *, trouble: bool = False) -> None:
        """One came back; after ``trouble``, half as many are allowed."""
        self._clean += 1
        if trouble:
            self.now, self._clean = max(1, self.now // 2), 0
        elif self._clean >= self.now:
            self.now, self._clean = min(self.most, 2 * self.now), 0


def fly(
    walk: Walk, fetch: _Fetch[Load], *, in_flight_max: int, troubles: Callable[[], int]
) -> Generator[tuple[Ask, Answer, Load]]:
    """Every answer of ``walk``, until it is done, with what ``fetch`` made of it. ``fetch`` runs in several threads.

    As many at once as an :class:`Allowance` says; a change in ``troubles()`` is trouble. No more are ever held.
    Raises what ``fetch`` or the walk raises; closed early, it sends nothing more.
    """
    jobs: SimpleQueue[_Job[Load] | None] = SimpleQueue()
    waiting: deque[_Job[Load]] = deque()
    crew: list[Thread] = []
    allowance, seen_troubles = Allowance(in_flight_max), troubles()
    try:
        while True:
            while len(waiting) < allowance.now and (ask := walk.next()) is not None:
                if len(crew) <= len(waiting):
                    crew.append(Thread(target=_work, args=(jobs, fetch), name="tallyfy-frames", daemon=True))
                    crew[-1].start()
                future: Future[tuple[Answer, Load]] = Future()
                waiting.append((ask, future))
                jobs.put((ask, future))
            if not waiting or walk.proof is not None:
                return  # what is still on its way was asked in vain: nothing hangs on it
            ask, future = waiting.popleft()
            answer, load = _landed(future)
            walk.take(ask, answer)
            before, seen_troubles = seen_troubles, troubles()
            allowance.landed(trouble=seen_troubles != before)
            yield ask, answer, load
    finally:
        _dismiss(jobs, crew)


def _landed(future: Future[Load]) -> Load:
    """The answer, once it is there. Waking now and then, because Ctrl-C does not wake whoever waits: see ``Clock.wait``."""
    while not future.done():
        with suppress(TimeoutError):
            future.exception(WAKE_S)
    return future.result()


def _work(jobs: SimpleQueue[_Job[Load] | None], fetch: _Fetch[Load]) -> None:
    """Fetch one after the other, until dismissed."""
    while (job := jobs.get()) is not None:
        ask, future = job
        try:
            future.set_result(fetch(ask))
        except BaseException as error:  # noqa: BLE001 - whoever asked for the answer shall see it
            future.set_exception(error)


def _dismiss(jobs: SimpleQueue[_Job[Load] | None], crew: list[Thread]) -> None:
    """Take back what nobody has begun, and let everyone go."""
    try:
        while True:
            jobs.get_nowait()
    except Empty:
        for _ in crew:
            jobs.put(None)
