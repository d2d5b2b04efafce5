"""Kill -9 at any moment of a snapshot: a reader sees the old one or the new one, whole; the next job publishes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake.snapshot import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

MOMENTS = 30
JOB = "import sys, tallyfy_frames as tf; tf.write_snapshot(sys.argv[1], progress=False, allow_shrink=True)"


def start(root: Path, sandbox: Sandbox) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", JOB, str(root)],
        env={**os.environ, **sandbox.environment},
        stderr=subprocess.DEVNULL,
    )


def first_request(sandbox: Sandbox, before: int, job: subprocess.Popen[bytes]) -> float:
    while len(sandbox.requests) == before:
        assert job.poll() is None
        time.sleep(0.001)
    return time.monotonic()


def clean_run_s(root: Path, sandbox: Sandbox) -> float:
    job = start(root, sandbox)
    began = first_request(sandbox, len(sandbox.requests), job)
    assert job.wait() == 0
    return time.monotonic() - began


@pytest.mark.slow
def test_killed_at_thirty_moments_the_reader_sees_one_whole_snapshot(tmp_path: Path) -> None:
    old, new = World(5, 900, ("old",)), World(5, 901, ("new",))
    data = tables.get("runs").names("data")
    with Sandbox(old) as before, Sandbox(new) as after:
        wanted = {
            world.run_count: tf.load_runs({"archived": "include"}, settings=settings_for(server)).select(data).sort("id")
            for world, server in ((old, before), (new, after))
        }
        clean = tmp_path / "clean"
        published = tf.write_snapshot(clean, settings=settings_for(before)).snapshot
        shutil.copytree(clean, tmp_path / "timed", symlinks=True)
        length_s = max(clean_run_s(tmp_path / "timed", after) for _ in range(2))
        seen: set[int] = set()
        for moment in range(MOMENTS):
            root = tmp_path / f"lake-{moment}"
            shutil.copytree(clean, root, symlinks=True)
            job = start(root, after)
            began = first_request(after, len(after.requests), job)
            # From the first request to a little after the usual end: the last moments meet the publishing.
            time.sleep(max(0.0, began + 1.05 * length_s * (moment + 0.5) / MOMENTS - time.monotonic()))
            job.send_signal(signal.SIGKILL)
            job.wait()
            frame = tf.read_snapshot(root).select(data).collect().sort("id")
            assert frame.height in wanted, f"a mixture after {moment}"
            assert frame.equals(wanted[frame.height])
            assert (read_manifest(root).snapshot == published) == (frame.height == old.run_count)
            seen.add(frame.height)
            if moment % 5 == 0:
                assert tf.write_snapshot(root, settings=settings_for(after)).rows == new.run_count
                assert not list((root / "snapshots").glob(".*")), "the next job clears what the dead one left"
        assert old.run_count in seen
