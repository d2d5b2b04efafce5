"""Pages in flight over real connections: they overlap, no more are asked for than are needed, and all of it ends at once."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from shell import RUN

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.handler import Handler

Serve = Callable[..., Sandbox]
WORLD = World(3, 3000)
ROOMY = ["10000/60"]  # the API says how many requests are left: then more of them go at once


class Traffic:
    """How many requests the server has under way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.answered = 0
        self.seen: list[tuple[int, int]] = []  # at each arrival: how many were answered, and how many are under way
        self.connections: set[Any] = set()


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    traffic, answer = Traffic(), Handler.do_GET

    def counted(handler: Handler) -> None:
        with traffic.lock:
            traffic.now += 1
            traffic.most = max(traffic.most, traffic.now)
            traffic.seen.append((traffic.answered, traffic.now))
            traffic.connections.add(handler.client_address)
        try:
            answer(handler)
        finally:
            with traffic.lock:
                traffic.now -= 1
                traffic.answered += 1

    monkeypatch.setattr(Handler, "do_GET", counted)
    return traffic


@pytest.fixture(autouse=True)
def everyone_goes_home() -> Iterator[None]:
    """No load leaves a thread behind."""
    yield
    until = time.monotonic() + 2
    while crew() and time.monotonic() < until:
        time.sleep(0.01)
    assert crew() == 0


def crew() -> int:
    return sum(thread.name == "tallyfy-frames" for thread in threading.enumerate())


def settled(sandbox: Sandbox) -> int:
    """The requests sent, once there are no further ones."""
    last, since = len(sandbox.requests), time.monotonic()
    while time.monotonic() - since < 0.25:
        time.sleep(0.01)
        if len(sandbox.requests) != last:
            last, since = len(sandbox.requests), time.monotonic()
    return last


@pytest.mark.parametrize("most", [1, 2, 5, 8])
def test_pages_overlap_in_time_but_no_more_than_allowed_over_as_many_connections(
    serve: Serve, traffic: Traffic, most: int
) -> None:
    sandbox = serve(world=WORLD, latency_ms=15, limits=ROOMY)
    frame = tf.load_runs(settings=settings_for(sandbox, page_size=50, in_flight_max=most))
    assert frame.height == sum(run.archived_at is None for run in WORLD.runs)
    assert traffic.most == most
    assert len(traffic.connections) == most, "each is kept alive"


def test_an_api_that_says_nothing_of_a_budget_is_approached_with_care(serve: Serve, traffic: Traffic) -> None:
    sandbox = serve(world=WORLD, latency_ms=5)
    tf.load_runs(settings=settings_for(sandbox, page_size=50))
    for answered, under_way in traffic.seen:  # twice as many each time as many as were allowed came back
        assert under_way <= (2 if answered < 2 else 4 if answered < 6 else 8), answered
    assert traffic.most > 2, "care is no reason to stay slow"


def test_flying_is_faster_than_walking(serve: Serve) -> None:
    sandbox = serve(world=World(3, 1000), latency_ms=40, limits=ROOMY)
    took = {}
    for most in (1, 8):
        began = time.monotonic()
        tf.load_runs(settings=settings_for(sandbox, page_size=20, in_flight_max=most))
        took[most] = time.monotonic() - began
    assert took[8] < took[1] / 2


def test_frames_come_in_the_order_of_the_walk_whichever_answer_is_first(serve: Serve) -> None:
    sandbox = serve(world=WORLD, limits=ROOMY, faults=[f"slow@{n}" for n in (3, 7, 12, 20)], slow_s=0.1)
    newest, *others = tf.iter_runs(settings=settings_for(sandbox, page_size=50))
    assert newest["created_at"].is_sorted(descending=True)  # the first answer shows them: the end of the line
    assert pl.concat(others)["created_at"].is_sorted()


def test_a_slow_consumer_holds_one_frame_and_what_is_in_flight(serve: Serve) -> None:
    sandbox = serve(world=WORLD, limits=ROOMY)
    settings, report = settings_for(sandbox, page_size=50), tf.LoadReport()
    frames = tf.iter_runs(settings=settings, report=report)
    shown = 0
    for _ in range(3):
        shown += next(frames).height
        assert settled(sandbox) <= 1.16 * shown / 50 + 2 + settings.in_flight_max  # windows overlap
        assert report.rows == shown
    frames.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("leave", ["close", "break", "error"])
def test_leaving_the_loop_ends_the_requests_at_once(serve: Serve, leave: str) -> None:
    sandbox = serve(world=WORLD, limits=ROOMY, latency_ms=20)
    began = 0.0

    def read() -> None:
        nonlocal began
        frames = tf.iter_runs(settings=settings_for(sandbox, page_size=50))
        for n, _ in enumerate(frames):
            if n < 1:
                continue
            sandbox.latency_ms = 3000
            time.sleep(0.1)
            began = time.monotonic()
            if leave == "error":
                raise ZeroDivisionError
            if leave == "close":
                frames.close()  # type: ignore[attr-defined]
            break

    try:
        read()
    except ZeroDivisionError as error:
        del error
    gc.collect()
    assert time.monotonic() - began < 1  # the answers on their way take three seconds
    until = time.monotonic() + 0.5
    while crew() and time.monotonic() < until:
        time.sleep(0.01)
    assert crew() == 0, "nobody waits for the answers that were on their way"
    before = settled(sandbox)
    time.sleep(0.2)
    assert len(sandbox.requests) == before


def test_an_error_that_somebody_looks_at_keeps_no_thread(serve: Serve) -> None:
    sandbox = serve(world=WORLD, limits=ROOMY, faults=["bad-cell@30"])
    with pytest.raises(tf.ContractError) as caught:
        tf.load_runs(settings=settings_for(sandbox, page_size=50))
    assert caught.value.__traceback__ is not None
    time.sleep(0.3)
    assert crew() == 0


def test_two_loads_at_once_in_one_process_do_not_meet(serve: Serve) -> None:
    sandboxes = [serve(world=World(seed, 400), limits=ROOMY, latency_ms=2) for seed in (3, 4)]
    found: dict[int, set[str]] = {}

    def load(n: int) -> None:
        found[n] = set(
            tf.load_runs({"archived": "include"}, settings=settings_for(sandboxes[n], page_size=20), progress=False)["id"]
        )

    threads = [threading.Thread(target=load, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: {run.id for run in sandbox.world.runs} for n, sandbox in enumerate(sandboxes)}


@pytest.mark.parametrize("words", [("load", "runs"), ("load", "runs", "-o", "runs.csv"), ("snapshot", "lake"), ("doctor",)])
@pytest.mark.parametrize("requests", [1, 4, 12])
def test_ctrl_c_leaves_within_a_second_however_slow_the_answer(
    serve: Serve, tmp_path: Path, words: tuple[str, ...], requests: int
) -> None:
    sandbox = serve(world=WORLD, limits=ROOMY)
    if requests == 1 or words == ("doctor",):
        sandbox.latency_ms, requests = 30_000, 0
    job = subprocess.Popen(
        [*RUN, *words], env={**os.environ, **sandbox.environment}, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    while len(sandbox.requests) < requests:
        assert job.poll() is None
        time.sleep(0.001)
    sandbox.latency_ms = 30_000
    time.sleep(1.5 if requests == 0 else 0.2)
    if job.poll() is not None:
        pytest.skip("it was done before it could be interrupted")
    job.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, said = job.communicate(timeout=20)
    assert time.monotonic() - began < 1
    assert job.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("error: interrupted; ")
    assert words == ("doctor",) or out == ""
    assert not (tmp_path / "runs.csv").exists()
    assert (tmp_path / "lake" / ".spool").exists() == (words[0] == "snapshot" and "answers are kept" in said)
    assert not (tmp_path / "lake" / "current").exists()


def test_ctrl_c_is_heard_while_the_api_makes_us_wait(serve: Serve) -> None:
    sandbox = serve(world=WORLD, limits=["1/60"])
    job = subprocess.Popen([*RUN, "load", "runs"], env={**os.environ, **sandbox.environment}, stderr=subprocess.PIPE, text=True)
    while not any(entry.status == 429 for entry in sandbox.requests):
        assert job.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    job.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = job.communicate(timeout=20)
    assert time.monotonic() - began < 1
    assert job.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted; nothing was written"
