"""Kill -9 at any moment of a snapshot: a reader sees the old one or the new one, whole; the next job asks for what is missing."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from tallyfy_frames.lake.place import RETIRED
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.lake.spool import SPOOL_NAME
from tallyfy_frames.lake.verify import verify
from tallyfy_frames.sandbox import Sandbox, World, handler

logger = logging.getLogger(__name__)
DATA = tables.get("runs").names("data")
VICTIM = Path(__file__).with_name("victim.py")


def moments(*given: str) -> list[str]:
    """``send 1,2 before,after``: a function, which of its calls, and when."""
    return [
        f"{what} {n} {when}"
        for one in given
        for what, nth, whens in [one.split()]
        for n in nth.split(",")
        for when in whens.split(",")
    ]


# Where a job dies: a function, which of its calls, and before, half way through or after it. "clock" is no function but a share
# of the time that a whole run takes, with the signal sent from outside. The job reads some 270 pages, removes a snapshot that
# was retired long ago, and retires another.
MOMENTS = {
    "fetch": moments(
        "send 1,2,3,5,9,30,45,60,100,120,140,180,230 before,after", "read 1,17,90,200 before,after",
        "clock 3,5,10,15,20,25,35,45,50,55,60,65,70,75,80,85,90,95 before",
    ),
    "spool": moments("append 1,2,41,120,180,250 before,half,after", "put 1,3,40,100,200,255 before,after"),
    "stage": moments(
        "stage 1 before", "write 1,2,3,4,5 before,after", "aside 1,2,3 before,after", "sort 1,3,5,8 before,after",
        "finish 1 before,after", "measure 1,2,3,5 before,after",
    ),
    "check": moments("check 1 before,after", "scan 1,2,3,4,5 before,after", "manifest 1 before,after", "shrink 2 before,after"),
    "publish": moments(
        "publish 1 before,after", "text 1 before,after", "replace 1,2 before,after", "sync 1,2,3,4,5,7,9 before,after",
        "rename 2 before,after", "link 1 before,after", "drop 1 before,after",
    ),
    "retire": moments(
        "retire 1 before,after", "mark 1 before,after", "chain 1 before,after", "replace 3 before,after", "unmark 1 before,after", "stays 1,2,3 before,after",
    ),
    "remove": moments(
        "dead 1 before,after", "marked 1 before,after", "remove 1 before,after", "rename 1 before,after", "rmtree 1 before,after",
        "unlink 1,2,3,4,5,6 before,after", "rmdir 1,3 before,after",
    ),
}  # fmt: skip
ALL = [f"{step}: {moment}" for step, of_step in MOMENTS.items() for moment in of_step]
# Every moment where time does not matter; else three of each step.
TRIED = (
    ALL
    if os.environ.get("REQUIRE_ALL")
    else [f"{step}: {moment}" for step, of_step in MOMENTS.items() for moment in of_step[1 :: len(of_step) // 3][:3]]
)


@dataclass
class Scene:
    """A root whose snapshot is of the old world, and an API that has moved on."""

    root: Path
    sandbox: Sandbox
    wanted: dict[int, pl.DataFrame]  # by height
    published: str
    whole: set[tuple[int, int]]  # what a reader may see: rows, and a digest of their ids
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

    @contextmanager
    def reading(self, root: Path) -> Iterator[None]:
        """Somebody reads all the while: the current snapshot, and holds each for a moment before its rows are read."""
        ended, failed, seen = threading.Event(), [], set()

        def read() -> None:
            while not ended.wait(0.02):
                try:
                    held = tf.read_snapshot(root).select(pl.len(), pl.col("id").hash().sum().alias("ids"))
                    ended.wait(0.05)
                    seen.add(held.collect().row(0))
                except Exception as error:  # noqa: BLE001 - told below, by the test
                    failed.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        assert not failed, failed[0]
        assert seen <= self.whole


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
    make, write = sandbox.routes.answer, handler.json.dumps

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
        longest = tf.write_snapshot(place / "root", settings=settings_for(before))
        tf.write_snapshot(place / "root", settings=settings_for(before))
        manifest = tf.write_snapshot(place / "root", settings=settings_for(before))
        (longest.folder / RETIRED).touch()
        os.utime(longest.folder / RETIRED, (0, 0))
        patch.setattr(handler, "json", answered_once(after))
        whole = {(frame.height, frame.select(pl.col("id").hash().sum()).item()) for frame in wanted.values()}
        scene = Scene(place / "root", after, wanted, manifest.snapshot, whole)
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
    assert len(set(ALL)) == len(ALL) >= 200
    assert min(map(len, MOMENTS.values())) >= 10
    assert len(TRIED) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("moment", TRIED)
def test_killed_readers_see_one_whole_snapshot_and_the_next_job_reads_the_rest(
    scene: Scene, tmp_path: Path, moment: str
) -> None:
    what, nth, *when = moment.partition(": ")[2].split()
    root, since = tmp_path / "root", len(scene.sandbox.requests)
    shutil.copytree(scene.root, root, symlinks=True)
    with scene.reading(root):
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
        rows = tf.write_snapshot(root, settings=settings_for(scene.sandbox), keep=2, progress=False, report=report).rows
        assert (rows, report.proof) == (20_000, "seen")
        assert scene.shown(root).height == 20_000
    assert not list((root / "snapshots").glob(".*")), "what the dead one left is cleared"
    assert not (root / SPOOL_NAME).exists()
    looked = verify(root)
    assert not looked.findings
    assert looked.snapshots == 2
    together = scene.pages(since)
    logger.info("%s: clean %d, killed %d, then %d", moment, scene.clean, killed, together - killed)
    # A job that had published before it died was a whole one, and the next is another.
    assert together - done * killed <= 1.1 * scene.clean + 1


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("REQUIRE_ALL"), reason="a minute long: make test-services runs it")
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
