"""A signal that comes while a server is at work ends that, and says what became of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from tallyfy_frames.databases import session
from tallyfy_frames.databases.session import apart


class Called(BaseException):
    """What the signal raises."""


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Called

    before = signal.signal(signal.SIGUSR1, stop)
    yield
    signal.signal(signal.SIGUSR1, before)


def at_work(until: threading.Event) -> Callable[[], str]:
    """Work in the midst of which the signal comes."""

    def work() -> str:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        until.wait(5)
        return "done"

    return work


def test_work_gives_what_it_gives_and_raises_what_it_raises() -> None:
    assert apart(lambda: 7, lambda: None, "too late") == 7
    with pytest.raises(ZeroDivisionError):
        apart(lambda: 1 // 0, lambda: None, "too late")


def test_what_is_cancelled_leaves_no_note() -> None:
    cancelled = threading.Event()
    wait = at_work(cancelled)

    def work() -> None:
        wait()
        raise ValueError("cancelled")

    with pytest.raises(Called) as called:
        apart(work, cancelled.set, "too late")
    assert not hasattr(called.value, "__notes__")


def test_a_signal_that_came_too_late_says_so() -> None:
    cancelled = threading.Event()
    with pytest.raises(Called) as called:
        apart(at_work(cancelled), cancelled.set, "too late")
    assert called.value.__notes__ == ["too late"]


def test_a_server_that_does_not_answer_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CANCEL_WAIT_S", 0.2)
    for_ever = threading.Event()
    with pytest.raises(Called) as called:
        apart(at_work(for_ever), lambda: None, "too late")
    assert called.value.__notes__ == ["the server did not answer: what it was doing is undone once it notices"]
    for_ever.set()
