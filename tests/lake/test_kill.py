"""Kill -9 at any moment of a snapshot: a reader sees the old one or the new one, whole; the next job asks for what is missing."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from oracle import actual, expected_run

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.lake.spool import SPOOL_NAME
from tallyfy_frames.sandbox import Sandbox, World, server

logger = logging.getLogger(__name__)
DATA = tables.get("runs").names("data")
VICTIM = Path(__file__).with_name("victim.py")

# Where a job of some 270 requests dies: a function, which of its calls, and before, half way through or after it. "clock" is no
# function but a share of the time that a whole run takes, with the signal sent from outside.
MOMENTS = {
    "fetch": [
        "send 1 before", "send 2 before", "send 3 after", "send 9 after", "send 60 before", "send 140 after", "send 230 after",
        "read 17 after", "read 200 before", "clock 5", "clock 15", "clock 25", "clock 35", "clock 45", "clock 55",
    ],
    "spool": [
        "append 1 before", "append 1 half", "append 1 after", "append 2 half", "put 3 before", "put 40 after", "append 41 half",
        "append 120 half", "put 200 before", "put 255 after",
    ],
    "stage": [
        "stage 1 before", "write 1 before", "write 1 after", "write 3 after", "write 5 before", "flush 1 before", "flush 3 after",
        "finish 1 before", "measure 2 after", "finish 1 after",
    ],
    "check": ["check 1 before", "scan 1 before", "scan 1 after", "check 1 after", "manifest 1 before", "shrink 2 before", "shrink 2 after"],
    "publish": [
        "publish 1 before", "text 1 before", "replace 1 before", "replace 1 after", "sync 2 before", "rename 1 before",
        "rename 1 after", "link 1 before", "link 1 after", "replace 2 before", "replace 2 after", "publish 1 after", "drop 1 after",
    ],
}  # fmt: skip


@dataclass
class Scene:
    """A root whose snapshot is of the old world, and an API that has moved on."""

    root: Path
    sandbox: Sandbox
    wanted: dict[int, pl.DataFrame]  # by height
    published: str
    clean: int = 0  # requests for pages that a run takes which nobody kills
    clean_s: float = 0.0  # from its first to its last

    def pages(self, since: int) -> int:
        return sum(entry.list_request > 0 for entry in self.sandbox.requests[since:])

    def start(self, root: Path, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(VICTIM), str(root), *(words or ("nothing", "0", "before"))],
            env={**os.environ, **self.sandbox.environment},
        )

    def first_request(self, since: int, job: subprocess.Popen[bytes]) -> float:
        while len(self.sandbox.requests) == since:
            assert job.poll() is None
            time.sleep(0.001)
        return time.monotonic()

    def shown(self, root: Path) -> pl.DataFrame:
        """What a reader sees: one of the two, whole."""
        frame = tf.read_snapshot(root).select(DATA).collect().sort("id")
        assert frame.height in self.wanted, "a mixture"
        assert frame.equals(self.wanted[frame.height])
        return frame


def facts(world: World, sandbox: Sandbox) -> pl.DataFrame:
    """A frame that equals the world's facts, which is compared with others faster than these are."""
    frame = tf.load_runs({"archived": "include"}, settings=settings_for(sandbox)).select(DATA).sort("id")
    rows = {run.id: expected_run(run) for run in world.runs}
    assert frame.height == len(rows)
    assert all(row == rows[row["id"]] for row in actual(frame.to_dicts()))
    return frame


def answered_once(sandbox: Sandbox) -> SimpleNamespace:
    """An API whose world stands still makes each answer, and its text, once: the test is about the client."""
    answers: dict[str, Any] = {}
    texts: dict[int, str] = {}
    make, write = sandbox.routes.answer, server.json.dumps

    def answer(path: Any, query: Any) -> Any:
        key = f"{path} {sorted(query.items())}"
        if key not in answers:
            answers[key] = make(path, query)
        return answers[key]

    def dumps(body: Any, **options: Any) -> str:
        if id(body) not in texts:
            texts[id(body)] = write(body, **options)
        return texts[id(body)]

    sandbox.routes.answer = answer  # type: ignore[method-assign]
    return SimpleNamespace(dumps=dumps)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    old, new = World(5, 900, ("old",)), World(5, 20_000)
    place = tmp_path_factory.mktemp("kill")
    with pytest.MonkeyPatch.context() as patch, Sandbox(old) as before, Sandbox(new, plain=True) as after:
        wanted = {900: facts(old, before), 20_000: facts(new, after)}
        manifest = tf.write_snapshot(place / "root", settings=settings_for(before))
        patch.setattr(server, "json", answered_once(after))
        scene = Scene(place / "root", after, wanted, manifest.snapshot)
        for name in ("warm", "clean"):
            since = len(after.requests)
            shutil.copytree(scene.root, place / name, symlinks=True)
            job = scene.start(place / name)
            began = scene.first_request(since, job)
            assert job.wait() == 0
            scene.clean, scene.clean_s = scene.pages(since), time.monotonic() - began
        assert 200 < scene.clean < 300
        yield scene


def test_there_are_enough_moments_at_every_step() -> None:
    assert sum(map(len, MOMENTS.values())) >= 50
    assert min(map(len, MOMENTS.values())) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("moment", [f"{step}: {moment}" for step, moments in MOMENTS.items() for moment in moments])
def test_killed_the_reader_sees_one_whole_snapshot_and_the_next_job_reads_the_rest(
    scene: Scene, tmp_path: Path, moment: str
) -> None:
    what, nth, *when = moment.partition(": ")[2].split()
    root, since = tmp_path / "root", len(scene.sandbox.requests)
    shutil.copytree(scene.root, root, symlinks=True)
    if what == "clock":
        job = scene.start(root)
        began = scene.first_request(since, job)
        time.sleep(max(0.0, began + scene.clean_s * int(nth) / 100 - time.monotonic()))
        job.send_signal(signal.SIGKILL)
    else:
        job = scene.start(root, what, nth, *when)
    assert job.wait() in ({0, -signal.SIGKILL} if what == "clock" else {-signal.SIGKILL})
    killed = scene.pages(since)
    frame = scene.shown(root)
    done = frame.height == 20_000
    assert (read_manifest(root).snapshot == scene.published) == (not done)

    report = tf.LoadReport()
    assert tf.write_snapshot(root, settings=settings_for(scene.sandbox), progress=False, report=report).rows == 20_000
    assert report.proof == "seen"
    assert scene.shown(root).height == 20_000
    assert not list((root / "snapshots").glob(".*")), "what the dead one left is cleared"
    assert not (root / SPOOL_NAME).exists()
    together = scene.pages(since)
    logger.info("%s: clean %d, killed %d, then %d", moment, scene.clean, killed, together - killed)
    # A job that had published before it died was a whole one, and the next is another.
    assert together - done * killed <= 1.1 * scene.clean + 1


@pytest.mark.slow
def test_killed_again_and_again_it_gets_there_with_few_pages_asked_twice(scene: Scene, tmp_path: Path) -> None:
    root, since, kills = tmp_path / "root", len(scene.sandbox.requests), 0
    shutil.copytree(scene.root, root, symlinks=True)
    moments = itertools.cycle(["put 6 before", "append 4 half", "send 5 after", "put 9 after", "read 12 before"])
    while scene.start(root, *next(moments).split()).wait():
        kills += 1
        assert scene.shown(root).height == 900
    assert scene.shown(root).height == 20_000
    logger.info("clean %d, with %d kills %d", scene.clean, kills, scene.pages(since))
    assert kills >= 30
    assert scene.pages(since) <= 1.1 * scene.clean + kills
