"""A disk that is full at any step: a clear error, the old snapshot whole, and the room given back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.lake import retention
from tallyfy_frames.lake.spool import SPOOL_NAME
from tallyfy_frames.lake.verify import verify
from tallyfy_frames.sandbox import Sandbox, World

SIZE_KB = 3_000
ROWS = 2_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail("a file system cannot be mounted here")
        pytest.skip("only root may mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # a test that fails may hold a file


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(4, ROWS)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def old() -> Iterator[Sandbox]:
    with Sandbox(World(4, 40), plain=True) as sandbox:
        yield sandbox


def free_kb(place: Path) -> int:
    return shutil.disk_usage(place).free // 1024


def refusal(root: Path, sandbox: Sandbox) -> tf.SinkError | None:
    """What a job says that found no room; None if it found some."""
    try:
        tf.write_snapshot(root, settings=settings_for(sandbox), progress=False)
    except tf.SinkError as error:
        return error
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("buffered", "steps"), [(400, {SPOOL_NAME, ".heap"}), (60_000, {SPOOL_NAME, ".parquet"})])
@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_full_at_any_step_nothing_is_lost_and_room_is_given_back(
    disk: Path, tmp_path: Path, old: Sandbox, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, buffered: int, steps: set[str]
) -> None:
    monkeypatch.setattr("tallyfy_frames.sinks.parquet.BUFFERED_ROWS_MAX", buffered)
    root, ballast, refused = disk / "lake", disk / "ballast", set()
    first = tf.write_snapshot(root, settings=settings_for(old), progress=False)
    shutil.copytree(root, tmp_path / "before", symlinks=True)
    too_little, enough = -1, SIZE_KB
    rooms = [0, 4, 12, 30, 60, 150, 300]
    while enough - too_little > 4:  # a page; the closer to enough, the later the step that finds no room
        room_kb = rooms.pop() if rooms else (too_little + enough) // 2
        ballast.write_bytes(b"\0" * 1024 * max(0, free_kb(disk) - room_kb))
        before = free_kb(disk)
        error = refusal(root, sandbox)
        if error is None:
            assert tf.read_snapshot(root).collect().height == ROWS
            assert tf.read_snapshot(root, at=first.snapshot).collect().height == 40
            enough = room_kb
            shutil.rmtree(root)
            shutil.copytree(tmp_path / "before", root, symlinks=True)
        else:
            assert "No space left on device" in str(error)
            assert "free some space" in str(error)
            refused.add(Path(str(error.where["path"])).suffix or Path(str(error.where["path"])).name)
            assert tf.read_snapshot(root).collect().height == 40
            assert not verify(root).findings
            assert not list((root / "snapshots").glob(".*"))
            (root / SPOOL_NAME).unlink(missing_ok=True)  # what was read is kept on purpose, as far as it found room
            assert free_kb(disk) >= before - 4, "but for the page that a folder may take"
            too_little = max(too_little, room_kb)
        ballast.unlink()
    assert steps <= refused


def test_retention_gives_room_before_more_is_asked_for(disk: Path, old: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "GRACE", retention.timedelta(0))
    free = []
    for _ in range(6):
        tf.write_snapshot(disk / "lake", settings=settings_for(old), progress=False, keep=1)
        free.append(free_kb(disk))
    assert len(set(free[2:])) == 1, "it takes no more room, however often it is run"
