"""The lock: one job at a time per root, also while another one ends and takes the root away with it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.lake import lock
from tallyfy_frames.lake.lock import LOCK_NAME, TRIES, locked
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]
FLOCK = fcntl.flock


def before_the_lock_is_taken(patch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> None:
    """What other jobs do between opening the file and locking it: one act for each attempt."""
    left = iter(acts)

    def flock(handle: int, operation: int) -> None:
        next(left, lambda: None)()
        FLOCK(handle, operation)

    patch.setattr(lock.fcntl, "flock", flock)


def assert_held(root: Path) -> None:
    with pytest.raises(tf.LockHeld, match=f"pid={os.getpid()}"), locked(root):
        pass


def test_who_holds_a_root_holds_it_alone_until_the_end(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert_held(tmp_path)
    with locked(tmp_path):
        assert_held(tmp_path)


def test_only_the_one_who_made_the_root_is_told_so(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "root") as made:
        assert made
    with locked(tmp_path / "new" / "root") as made:
        assert not made


def test_a_lock_on_a_file_that_was_removed_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_the_lock_is_taken(monkeypatch, (tmp_path / LOCK_NAME).unlink)
    with locked(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
        assert_held(tmp_path)


def test_a_lock_on_a_file_that_was_replaced_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "root" / LOCK_NAME
    before_the_lock_is_taken(monkeypatch, lambda: (place.unlink(), place.touch()))
    with locked(tmp_path / "root") as made:
        assert made, "at the first attempt"
        assert_held(tmp_path / "root")


def test_a_root_that_was_removed_meanwhile_is_made_again_by_the_one_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    before_the_lock_is_taken(monkeypatch, lambda: shutil.rmtree(root))
    with locked(root) as made:
        assert made
        assert_held(root)


def test_a_root_that_is_removed_each_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    before_the_lock_is_taken(monkeypatch, *[lambda: shutil.rmtree(root)] * TRIES)
    with pytest.raises(tf.LockHeld, match="other jobs come and go"), locked(root):
        pass


def test_a_root_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to("nowhere")
    with pytest.raises(tf.SinkError, match="cannot write"), locked(tmp_path / "root"):
        pass


def test_a_job_that_fails_removes_its_root_while_it_holds_it(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another one could take the lock just before the file goes, and a third one take another file's."""
    root, seen, unlink = tmp_path / "root", [], Path.unlink

    def watched(place: Path, *, missing_ok: bool = False) -> None:
        if place == root / LOCK_NAME:
            assert_held(root)
            seen.append(place)
        unlink(place, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    with pytest.raises(tf.AuthError):
        tf.write_snapshot(root, settings=settings_for(serve(faults=["token-revoked@1"])))
    assert len(seen) == 1
    assert not root.exists()


def test_a_job_that_fails_leaves_the_root_that_it_found(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(tf.AuthError):
        tf.write_snapshot(tmp_path, settings=settings_for(serve(faults=["token-revoked@1"])))
    assert tmp_path.exists()


def test_a_root_that_another_job_is_just_making_is_held_and_no_strange_folder(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, is_dir = locked(tmp_path), Path.is_dir

    def looked_at(place: Path) -> bool:
        found = is_dir(place)
        if place == tmp_path / "snapshots" and not found:
            other.__enter__()
            place.mkdir()
        return found

    monkeypatch.setattr(Path, "is_dir", looked_at)
    with pytest.raises(tf.LockHeld):
        tf.write_snapshot(tmp_path, settings=settings_for(serve()))
    other.__exit__(None, None, None)


def test_a_job_that_finds_the_root_held_removes_nothing(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It made the root, and another one was the first to lock it."""
    root, sandbox = tmp_path / "root", serve(world=World(3, 10))
    other = locked(root)
    before_the_lock_is_taken(monkeypatch, other.__enter__)
    with pytest.raises(tf.LockHeld):
        tf.write_snapshot(root, settings=settings_for(sandbox))
    assert_held(root)
    other.__exit__(None, None, None)
