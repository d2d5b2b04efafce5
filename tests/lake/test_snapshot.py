"""Snapshots: published whole or not at all, read back as they were read."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from oracle import actual, expected_run

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake import published
from tallyfy_frames.lake import snapshot as lake
from tallyfy_frames.lake.folder import Folder
from tallyfy_frames.lake.lock import locked
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]
RUNS = tables.get("runs")
ODD_WORDS = ("", None, "a/b", "..", "../../x", "100%", "🚀", "a=b", "null", "Active")


def left(root: Path) -> set[str]:
    """What lies in a root, but for published snapshots."""
    return {entry.name for entry in root.iterdir()} | {entry.name for entry in (root / "snapshots").glob(".*")}


def assert_holds(root: Path, world: World) -> None:
    frame = tf.read_snapshot(root).collect()
    assert frame.schema == RUNS.schema
    wanted = {run.id: expected_run(run) for run in world.runs}
    got = actual(frame.select(RUNS.names("data")).to_dicts())
    assert len(got) == len(wanted)
    for row in got:
        assert row == wanted[row["id"]]


def test_a_snapshot_holds_the_world_archived_runs_included_and_odd_words_as_they_were(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 300, ODD_WORDS))
    manifest = tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox))
    assert manifest.rows == 300
    assert_holds(tmp_path / "lake", sandbox.world)
    assert left(tmp_path / "lake") == {"snapshots", "current", ".lock"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"lake"}


def test_the_manifest_says_what_was_read_and_how(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 150))
    report = tf.LoadReport()
    manifest = tf.write_snapshot(tmp_path, {"type": "form"}, settings=settings_for(sandbox), report=report)
    kept = json.loads((manifest.folder / "manifest.json").read_text())
    assert kept["organization_id"] == sandbox.org_id
    assert kept["token_user"] == sandbox.world.me.id
    assert kept["filters"] == {"type": "form", "archived": "include"}
    assert kept["tables"]["runs"]["rows"] == manifest.rows == sum(run.type == "form" for run in sandbox.world.runs)
    assert kept["tables"]["runs"]["report"]["proof"] == "seen"
    assert kept["tables"]["runs"]["report"]["complete"] is True
    assert report.rows == manifest.rows
    assert sandbox.token not in (manifest.folder / "manifest.json").read_text()
    assert published.read_manifest(tmp_path) == manifest


def test_no_secret_of_the_world_is_in_any_file(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 150))
    tf.write_snapshot(tmp_path, tables=("runs", "users"), settings=settings_for(sandbox))
    secrets = [b"secret-hook", b"secret-guest", sandbox.token.encode(), b"/dl"]
    wire = json.dumps([sandbox.routes.wire.run(run) for run in sandbox.world.runs]).encode()
    assert all(secret in wire for secret in (b"secret-hook", b"secret-guest"))
    for place in tmp_path.rglob("*"):
        if place.is_file():
            data = place.read_bytes()
            data += pl.read_parquet(place).write_ndjson().encode() if place.suffix == ".parquet" else b""
            assert not [secret for secret in secrets if secret in data], place


def test_tables_are_published_together(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 50))
    tf.write_snapshot(tmp_path, tables=("runs", "users"), settings=settings_for(sandbox))
    assert tf.read_snapshot(tmp_path, "users").collect().height == len(sandbox.world.users)
    with pytest.raises(tf.SinkError, match="no table 'users'"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox), allow_shrink=True)
        tf.read_snapshot(tmp_path, "users")


def test_no_rows_are_a_typed_table(serve: Serve, tmp_path: Path) -> None:
    tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 0))))
    frame = tf.read_snapshot(tmp_path).collect()
    assert frame.schema == RUNS.schema
    assert frame.height == 0


def test_a_reader_keeps_the_snapshot_it_resolved(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 60))
    first = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    reader = tf.read_snapshot(tmp_path)
    sandbox.world.runs.pop()
    sandbox.routes.lists.clear()
    second = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert (first.rows, second.rows, second.previous) == (60, 59, first.snapshot)
    assert reader.collect().height == 60
    assert tf.read_snapshot(tmp_path).collect().height == 59


def test_an_older_snapshot_is_found_by_name_or_instant(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 60))
    first = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert tf.read_snapshot(tmp_path, at=first.snapshot).collect().height == 60
    assert tf.read_snapshot(tmp_path, at=datetime.now(UTC)).collect().height == 60
    assert tf.read_snapshot(tmp_path, at=(datetime.now(UTC) + timedelta(days=1)).isoformat()).collect().height == 60
    with pytest.raises(tf.SinkError, match="no snapshot is as old"):
        tf.read_snapshot(tmp_path, at="2020-01-01")
    with pytest.raises(tf.UsageError, match="neither a snapshot here nor an instant"):
        tf.read_snapshot(tmp_path, at="yesterday")


def test_a_failed_read_leaves_the_old_snapshot_and_what_was_read_of_the_next(serve: Serve, tmp_path: Path) -> None:
    good = serve(world=World(3, 300))
    manifest = tf.write_snapshot(tmp_path, settings=settings_for(good))
    for fault, error, kept in (("token-revoked@4", tf.AuthError, {".spool"}), ("half-page@2+", tf.IncompleteRead, set())):
        bad = serve(world=World(3, 300), faults=[fault])
        with pytest.raises(error):
            tf.write_snapshot(tmp_path, settings=settings_for(bad))
        assert published.read_manifest(tmp_path).snapshot == manifest.snapshot
        assert left(tmp_path) == {"snapshots", "current", ".lock"} | kept
        assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_a_shrunken_list_is_refused_unless_allowed(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 100))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    del sandbox.world.runs[89:]
    sandbox.routes.lists.clear()
    with pytest.raises(tf.ShrinkRefused, match="from 100 to 89"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert tf.read_snapshot(tmp_path).collect().height == 100
    assert left(tmp_path) == {"snapshots", "current", ".lock"}
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox), allow_shrink=True)
    assert tf.read_snapshot(tmp_path).collect().height == 89


def test_ten_percent_less_is_not_shrunken(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 100))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    del sandbox.world.runs[90:]
    sandbox.routes.lists.clear()
    assert tf.write_snapshot(tmp_path, settings=settings_for(sandbox)).rows == 90


def test_another_users_token_is_refused_unless_allowed(serve: Serve, tmp_path: Path) -> None:
    """Trap 52: a token with fewer rights returns fewer rows, with no error."""
    sandbox = serve(world=World(3, 100))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    sandbox.world.users.reverse()
    with pytest.raises(tf.ShrinkRefused, match="belongs to user"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox), allow_shrink=True)


def lists(sandbox: Sandbox) -> int:
    """How many requests there were for a table's rows."""
    return sum(entry.path.endswith(("/runs", "/users")) for entry in sandbox.requests)


def test_another_users_token_is_refused_before_anything_is_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 100))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    sandbox.world.users.reverse()
    before = lists(sandbox)
    with pytest.raises(tf.ShrinkRefused, match="belongs to user"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert lists(sandbox) == before
    assert left(tmp_path) == {"snapshots", "current", ".lock"}


def test_a_table_that_is_left_out_is_refused_before_anything_is_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 100))
    tf.write_snapshot(tmp_path, tables=("runs", "users"), settings=settings_for(sandbox))
    before = lists(sandbox)
    with pytest.raises(tf.ShrinkRefused, match=r"users would shrink from \d+ to 0 rows; .*other filters or tables"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert lists(sandbox) == before
    assert left(tmp_path) == {"snapshots", "current", ".lock"}
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox), allow_shrink=True)


def test_a_table_that_is_left_out_had_no_rows_to_lose(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 0))
    tf.write_snapshot(tmp_path, tables=("users", "runs"), settings=settings_for(sandbox))
    assert list(tf.write_snapshot(tmp_path, tables=("users",), settings=settings_for(sandbox)).tables) == ["users"]


def test_other_filters_are_refused_only_for_the_rows_that_they_cost(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 100))
    narrow = tf.write_snapshot(tmp_path, {"status": "active"}, settings=settings_for(sandbox))
    wide = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert narrow.rows < wide.rows == 100
    with pytest.raises(tf.ShrinkRefused, match=f"from 100 to {narrow.rows} rows; the current snapshot has other filters"):
        tf.write_snapshot(tmp_path, {"status": "active"}, settings=settings_for(sandbox))


def test_another_organization_needs_another_root(serve: Serve, tmp_path: Path) -> None:
    tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 10))))
    with pytest.raises(tf.SinkError, match="holds snapshots of organization"):
        tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(4, 10))), allow_shrink=True)


def test_rows_set_aside_lie_in_a_file_of_their_own(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 150), faults=["bad-cell@3"])
    manifest = tf.write_snapshot(tmp_path, settings=settings_for(sandbox), on_invalid="quarantine")
    (file,) = manifest.tables["runs"].quarantined
    apart = pl.read_parquet(manifest.folder / file.path)
    assert apart.height == 1
    assert apart["reasons"].to_list() == [["increment_id: a number with a fraction, not a whole number"]]
    assert manifest.rows == 149
    assert apart["id"][0] not in tf.read_snapshot(tmp_path).collect()["id"].to_list()
    assert json.loads(apart["row"][0])["increment_id"] == 1.5


def test_one_job_at_a_time(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 10))
    with locked(tmp_path), pytest.raises(tf.LockHeld, match=f"pid={os.getpid()}.*since="):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert not sandbox.requests, "the lock comes before the first request"
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))


def test_two_jobs_at_once_one_wins(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 300), latency_ms=20)
    outcomes: list[Any] = []

    def job() -> None:
        try:
            outcomes.append(tf.write_snapshot(tmp_path, settings=settings_for(sandbox), progress=False).rows)
        except tf.LockHeld:
            outcomes.append("held")

    threads = [threading.Thread(target=job) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(str, outcomes)) == ["300", "held"]


@pytest.mark.parametrize("other", ["notes.txt", "data/x.parquet"])
def test_a_folder_that_holds_something_else_is_left_alone(serve: Serve, tmp_path: Path, other: str) -> None:
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).write_text("mine")
    with pytest.raises(tf.SinkError, match="holds something else"):
        tf.write_snapshot(tmp_path, settings=settings_for(serve()))
    assert (tmp_path / other).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_root_that_cannot_be_written_is_a_clear_error(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    sandbox = serve()
    for root in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/tallyfy-frames")):
        with pytest.raises(tf.SinkError):
            tf.write_snapshot(root, settings=settings_for(sandbox))
    assert not sandbox.requests


def test_files_that_do_not_hold_what_was_read_are_not_published(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lossy(lake.ParquetSink):
        def write(self, frame: pl.DataFrame) -> None:
            super().write(frame.head(frame.height - 1))

    class Swapping(lake.ParquetSink):
        def write(self, frame: pl.DataFrame) -> None:
            super().write(pl.concat([frame.head(1), frame.slice(1).head(frame.height - 2), frame.head(1)]))

    for damaged in (Lossy, Swapping):
        monkeypatch.setattr(lake, "ParquetSink", damaged)
        with pytest.raises(tf.SinkError, match="do not hold the rows that were read"):
            tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 50))))
    assert not (tmp_path / "current").exists()


def test_a_damaged_or_missing_file_is_a_clear_error_to_readers(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(tf.SinkError, match="no snapshot here"):
        tf.read_snapshot(tmp_path)
    sandbox = serve(world=World(3, 50))
    manifest = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    place = manifest.folder / "runs" / manifest.tables["runs"].files[0].path
    place.unlink()
    with pytest.raises(tf.SinkError, match="a file of the snapshot is gone"):
        tf.read_snapshot(tmp_path)
    for damage, says in (('{"format": 1', "manifest is damaged"), ('{"format": 99}', "format 99")):
        (manifest.folder / "manifest.json").write_text(damage)
        with pytest.raises(tf.SinkError, match=says):
            tf.read_snapshot(tmp_path)
    with pytest.raises(tf.SinkError, match=r"nothing to compare with.*--allow-shrink"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox), allow_shrink=True)
    assert tf.read_snapshot(tmp_path).collect().height == 50


@pytest.mark.parametrize("above", ["env=prod", "status=active", "a b=%2F"])
def test_a_root_below_somebody_elses_partitions_is_a_root_like_any_other(serve: Serve, tmp_path: Path, above: str) -> None:
    sandbox = serve(world=World(3, 60))
    tf.write_snapshot(tmp_path / above / "lake", settings=settings_for(sandbox))
    assert_holds(tmp_path / above / "lake", sandbox.world)


def test_a_publish_that_fails_leaves_nothing_that_could_be_read(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = serve(world=World(3, 60))
    first = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("symlink_to", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuse)
            with pytest.raises(tf.SinkError, match="No space left"):
                tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
        assert left(tmp_path) == {"snapshots", "current", ".lock", ".spool"}
        assert [place.name for place in (tmp_path / "snapshots").iterdir()] == [first.snapshot]


def test_a_snapshot_that_was_never_published_is_not_found(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 60))
    first = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    second = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(Path("snapshots") / first.snapshot)
    (tmp_path / "snapshots" / second.snapshot / "pending").touch()
    assert published.read_manifest(tmp_path, at="2999-01-01").snapshot == first.snapshot
    with pytest.raises(tf.UsageError):
        published.read_manifest(tmp_path, at=second.snapshot)
    with pytest.raises(tf.UsageError, match="an instant, or a snapshot's name"):
        tf.read_snapshot(tmp_path, at=5)  # type: ignore[arg-type]


def test_a_copy_without_links_is_refused_before_anything_is_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 20))
    tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox))
    shutil.copytree(tmp_path / "lake", tmp_path / "copy")
    before = len(sandbox.requests)
    with pytest.raises(tf.SinkError, match="current is no link"):
        tf.write_snapshot(tmp_path / "copy", settings=settings_for(sandbox))
    assert len(sandbox.requests) == before


def test_a_folder_that_only_looks_like_a_root_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "snapshots" / ".staging-precious").mkdir(parents=True)
    with pytest.raises(tf.SinkError, match="holds something else"):
        tf.write_snapshot(tmp_path, settings=settings_for(serve()))
    assert [place.name for place in (tmp_path / "snapshots").iterdir()] == [".staging-precious"]


def test_a_fresh_mount_is_an_empty_folder(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".DS_Store").touch()
    tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 5))))


@pytest.mark.parametrize("root", ["ftp://host/lake", "http://127.0.0.1/lake", "file:///tmp/lake", Path("s3://bucket/lake")])
def test_an_address_that_is_no_place_for_snapshots_is_refused_before_anything_is_read(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str | Path
) -> None:
    monkeypatch.chdir(tmp_path)
    sandbox = serve()
    for attempt in (lambda: tf.write_snapshot(root, settings=settings_for(sandbox)), lambda: tf.read_snapshot(root)):
        with pytest.raises(tf.TallyfyFramesError, match=r"use a folder, or s3://|a Path loses one"):
            attempt()
    assert not sandbox.requests
    assert not list(tmp_path.iterdir())


def test_a_root_made_for_a_job_that_failed_is_gone_again(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(tf.AuthError):
        tf.write_snapshot(tmp_path / "lake", settings=settings_for(serve(faults=["token-revoked@1"])))
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_behind_is_cleared_by_the_next_job(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 20))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    dead = tmp_path / "snapshots" / ".staging-20310601T120000Z-0123abcd"
    (dead / "runs").mkdir(parents=True)
    (dead / "runs" / "half.parquet").write_bytes(b"PAR1")
    (tmp_path / ".current-0123abcd").symlink_to("snapshots/none")
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    assert left(tmp_path) == {"snapshots", "current", ".lock"}


@pytest.mark.parametrize(
    ("filters", "names", "says"),
    [
        (None, (), "at least one"),
        (None, ("runs", "runs"), "each once"),
        (None, ("tasks2",), "no table"),
        ({"q": "x"}, ("users",), "none of the tables"),
    ],
)
def test_bad_arguments_are_refused_before_anything_happens(tmp_path: Path, filters: Any, names: Any, says: str) -> None:
    settings = tf.Settings(token="x", org_id="0f", base_url="http://127.0.0.1:9/api")
    with pytest.raises(tf.UsageError, match=says):
        tf.write_snapshot(tmp_path / "lake", filters, tables=names, settings=settings)
    assert not (tmp_path / "lake").exists()


def test_a_snapshot_of_a_sorted_stream_is_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(tf.FilterError, match="read together oldest first"):
        tf.write_snapshot(tmp_path, {"sort": "name"}, settings=settings_for(serve()))


@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_what_the_api_sends_anew_is_told_by_each_job_once(serve: Serve, tmp_path: Path) -> None:
    plain = {"plain": True}
    first = tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 150), **plain)))
    second = tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 150, ("brand_new",)), **plain)))
    third = tf.write_snapshot(tmp_path, settings=settings_for(serve(world=World(3, 150, ("brand_new",)), **plain)))
    told = {"table": "runs", "kind": "word", "name": "status", "detail": "brand_new"}
    assert told not in first.changes
    assert told in second.changes
    assert not third.changes
    assert published.read_manifest(tmp_path, at=second.snapshot).changes == second.changes


def test_without_the_library_for_buckets_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(tf.MissingExtra, match=r"pip install 'tallyfy-frames\[buckets\]'"):
        tf.read_snapshot("s3://bucket/lake")


def test_a_signal_that_comes_when_all_is_published_does_not_say_that_nothing_was(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    sandbox = serve(world=World(3, 20))
    for owner, name in ((lake, "retire"), (Folder, "delete")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            with pytest.raises(KeyboardInterrupt) as raised:
                tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
        assert raised.value.__notes__ == [f"{published.read_manifest(tmp_path).snapshot} is published"]
