"""Old snapshots go: first nobody finds them any more, then, after a while, their files are removed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.lake import retention
from tallyfy_frames.lake.folder import Folder
from tallyfy_frames.lake.place import PENDING, RETIRED
from tallyfy_frames.lake.published import published, read_manifest
from tallyfy_frames.lake.retention import Keep
from tallyfy_frames.lake.verify import verify
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]


@pytest.fixture
def sandbox(serve: Serve) -> Sandbox:
    return serve(world=World(3, 40))


@pytest.fixture(autouse=True)
def names_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of one second."""
    numbers = itertools.count(1)
    monkeypatch.setattr("tallyfy_frames.lake.snapshot.secrets.token_hex", lambda _: f"{next(numbers):08x}")


def snapshots(root: Path, sandbox: Sandbox, count: int, **options: object) -> list[str]:
    return [tf.write_snapshot(root, settings=settings_for(sandbox), progress=False, **options).snapshot for _ in range(count)]


def found(root: Path) -> list[str]:
    """Those that readers find, oldest first."""
    return [manifest.snapshot for manifest in published(Folder(root))][::-1]


def there(root: Path) -> list[str]:
    return sorted(place.name for place in (root / "snapshots").iterdir())


def test_without_a_rule_all_stay(tmp_path: Path, sandbox: Sandbox) -> None:
    names = snapshots(tmp_path, sandbox, 4)
    assert found(tmp_path) == names
    assert not list(tmp_path.rglob(RETIRED))


def test_those_that_go_are_found_no_more_at_once_and_removed_only_later(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = snapshots(tmp_path, sandbox, 3)
    held = tf.read_snapshot(tmp_path, at=names[0])
    names += snapshots(tmp_path, sandbox, 2, keep=2)
    assert found(tmp_path) == names[-2:]
    assert there(tmp_path) == sorted(names)
    assert held.collect().height == 40, "whoever has found it before can go on"
    for name in names[:3]:
        with pytest.raises(tf.UsageError, match=f"there is no snapshot {name}, or none any more"):
            tf.read_snapshot(tmp_path, at=name)
    with pytest.raises(tf.SinkError, match=f"no snapshot is as old.*the oldest that is kept is {names[3]}"):
        tf.read_snapshot(tmp_path, at=read_manifest(tmp_path, at=names[3]).created_at[:10])
    assert not verify(tmp_path).findings

    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    names += snapshots(tmp_path, sandbox, 1)
    assert there(tmp_path) == sorted(names[3:])
    assert found(tmp_path) == names[3:], "without a rule nothing more goes"
    assert not verify(tmp_path).findings


def test_files_stay_for_an_hour(tmp_path: Path, sandbox: Sandbox) -> None:
    names = snapshots(tmp_path, sandbox, 2, keep=1)
    mark = tmp_path / "snapshots" / names[0] / RETIRED
    for age, stays in ((timedelta(minutes=59), True), (timedelta(minutes=61), False)):
        since_s = (datetime.now(UTC) - age).timestamp()
        os.utime(mark, (since_s, since_s))
        snapshots(tmp_path, sandbox, 1)
        assert mark.parent.exists() is stays


@pytest.mark.parametrize(
    ("keep", "keep_days", "ages_days", "stay"),
    [
        (None, None, [0, 10, 400], 3),
        (1, None, [0, 1, 2], 1),
        (2, None, [0, 1, 2], 2),
        (9, None, [0, 1, 2], 3),
        (None, 7, [0, 6.9, 7.1, 30], 2),
        (None, 7, [30, 31], 1),  # the newest stays, however old
        (3, 7, [0, 1, 2, 3, 8], 4),  # what either rule keeps
        (3, 1, [0, 5, 6, 7], 3),
    ],
)
def test_what_either_rule_keeps_stays(
    keep: int | None, keep_days: int | None, ages_days: list[float], stay: int, tmp_path: Path, sandbox: Sandbox
) -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    (name,) = snapshots(tmp_path, sandbox, 1)
    made = read_manifest(tmp_path, at=name)
    rule = Keep.of(keep, keep_days)
    kept = [
        rule.stays(number, dataclasses.replace(made, created_at=(now - timedelta(days=age)).isoformat()), now)
        for number, age in enumerate(ages_days)
    ]
    assert kept == [True] * stay + [False] * (len(ages_days) - stay)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3"])
def test_a_rule_that_is_none_is_refused_before_anything_happens(tmp_path: Path, sandbox: Sandbox, value: object) -> None:
    for name in ("keep", "keep_days"):
        with pytest.raises(tf.UsageError, match=f"{name} must be a whole number from 1"):
            tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox), **{name: value})
    assert not (tmp_path / "lake").exists()
    assert not sandbox.requests


def test_one_that_a_clock_dated_wrong_takes_nothing_along(tmp_path: Path, sandbox: Sandbox) -> None:
    names = snapshots(tmp_path, sandbox, 2)
    place = tmp_path / "current" / "manifest.json"
    wrong = dataclasses.replace(read_manifest(tmp_path), created_at="2000-01-01T00:00:00+00:00")
    place.write_text(wrong.text())
    names += snapshots(tmp_path, sandbox, 1, keep_days=90)
    assert found(tmp_path) == names


def unpublished(root: Path, name: str, instead: str | None) -> None:
    """As if a job had died just before ``current`` named what it wrote."""
    (root / "snapshots" / name / PENDING).touch()
    (root / "current").unlink()
    if instead is not None:
        (root / "current").symlink_to(Path("snapshots") / instead)


def test_what_a_job_left_that_died_before_it_could_publish_goes_whatever_is_kept(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = snapshots(tmp_path, sandbox, 2)
    unpublished(tmp_path, second, first)
    assert not verify(tmp_path).findings, "it may be on its way"
    with pytest.raises(tf.UsageError, match="there is no snapshot"):
        tf.read_snapshot(tmp_path, at=second)
    third = snapshots(tmp_path, sandbox, 1)[0]
    assert found(tmp_path) == [first, third]
    assert (tmp_path / "snapshots" / second / RETIRED).exists()
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    fourth = snapshots(tmp_path, sandbox, 1)[0]
    assert there(tmp_path) == sorted([first, third, fourth])


def test_what_the_very_first_job_left_goes_too(tmp_path: Path, sandbox: Sandbox) -> None:
    (first,) = snapshots(tmp_path, sandbox, 1)
    unpublished(tmp_path, first, None)
    (second,) = snapshots(tmp_path, sandbox, 1)
    assert found(tmp_path) == [second]
    assert (tmp_path / "snapshots" / first / RETIRED).exists()


def test_a_job_that_died_just_after_it_had_published_has_published(tmp_path: Path, sandbox: Sandbox) -> None:
    names = snapshots(tmp_path, sandbox, 2)
    for name in names:
        (tmp_path / "snapshots" / name / PENDING).touch()
    assert not verify(tmp_path).findings
    assert tf.read_snapshot(tmp_path, at=names[0]).collect().height == 40
    names += snapshots(tmp_path, sandbox, 1)
    assert found(tmp_path) == names
    assert not list(tmp_path.rglob(PENDING))


def test_current_that_is_led_back_by_hand_loses_nothing(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    names = snapshots(tmp_path, sandbox, 4)
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(Path("snapshots") / names[1])
    assert {finding.what.partition(":")[0] for finding in verify(tmp_path).findings} == {"a snapshot that only its name finds"}
    names += snapshots(tmp_path, sandbox, 2)
    assert there(tmp_path) == sorted(names)
    assert tf.read_snapshot(tmp_path, at=names[3]).collect().height == 40, "by its name it is found"


def test_current_that_is_led_back_to_a_retired_one_keeps_it(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    names = snapshots(tmp_path, sandbox, 3, keep=1)
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(Path("snapshots") / names[0])
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    with pytest.raises(tf.AuthError):
        snapshots(tmp_path, serve(world=sandbox.world, faults=["token-revoked@1+"]), 1)
    assert tf.read_snapshot(tmp_path).collect().height == 40
    names += snapshots(tmp_path, sandbox, 1)
    assert found(tmp_path) == [names[0], names[3]], "it is retired no more"


def test_what_cannot_be_removed_is_told_and_stops_nothing(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = snapshots(tmp_path, sandbox, 2, keep=1)
    monkeypatch.setattr(retention, "GRACE", timedelta(0))

    def refuse(*_: object) -> None:
        raise tf.SinkError("cannot remove: Permission denied")

    monkeypatch.setattr(Folder, "remove", refuse)
    with pytest.warns(tf.TallyfyFramesWarning, match=f"{names[0]} should go: cannot remove: Permission denied"):
        names += snapshots(tmp_path, sandbox, 1)
    assert read_manifest(tmp_path).snapshot == names[-1]


def test_behind_a_damaged_snapshot_nothing_is_touched_and_somebody_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    names = snapshots(tmp_path, sandbox, 4)
    (tmp_path / "snapshots" / names[1] / "manifest.json").write_text("{}")
    with pytest.warns(tf.TallyfyFramesWarning, match="retention stops at a snapshot that cannot be read"):
        names += snapshots(tmp_path, sandbox, 1, keep=1)
    retired = {place.parent.name for place in tmp_path.rglob(RETIRED)}
    assert retired == {names[2], names[3]}
    assert tf.read_snapshot(tmp_path).collect().height == 40


def test_a_snapshot_that_was_taken_away_by_hand_is_passed_over(tmp_path: Path, sandbox: Sandbox) -> None:
    names = snapshots(tmp_path, sandbox, 4)
    shutil.rmtree(tmp_path / "snapshots" / names[1])
    assert found(tmp_path) == [names[0], *names[2:]]
    assert not verify(tmp_path).findings
    names += snapshots(tmp_path, sandbox, 1, keep=2)
    assert found(tmp_path) == names[-2:]
    assert {place.parent.name for place in tmp_path.rglob(RETIRED)} == {names[0], names[2]}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_that_is_damaged_keeps_nobody_from_the_others(tmp_path: Path, sandbox: Sandbox, number: int) -> None:
    names = snapshots(tmp_path, sandbox, 3)
    (tmp_path / "snapshots" / names[number] / "manifest.json").write_text("{}")
    for other in set(range(3)) - {number}:
        made = datetime.strptime(names[other][:16], "%Y%m%dT%H%M%S%z") + timedelta(seconds=1)
        assert tf.read_snapshot(tmp_path, at=names[other]).collect().height == 40
        assert tf.read_snapshot(tmp_path, at=made).collect().height == 40
    (finding,) = verify(tmp_path).findings
    assert (finding.what, names[number] in finding.place) == ("the manifest is damaged", True)
    assert verify(tmp_path).snapshots == 2


def test_without_current_nothing_is_published_over_what_is_there_unless_somebody_says_so(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    names = snapshots(tmp_path, sandbox, 2)
    (tmp_path / "current").unlink()
    says = rf"current is gone.*lead it to the newest that is good: ln -sfn snapshots/{names[1]} {tmp_path}/current"
    with pytest.raises(tf.SinkError, match=says):
        tf.read_snapshot(tmp_path)
    with pytest.raises(tf.SinkError, match=rf"nothing to compare with: .*{says}.*--allow-shrink"):
        snapshots(tmp_path, sandbox, 1)
    names += snapshots(tmp_path, sandbox, 1, allow_shrink=True)
    assert found(tmp_path) == names[2:]
    assert tf.read_snapshot(tmp_path, at=names[0]).collect().height == 40


def test_a_rule_that_cannot_be_carried_out_fails_aloud_and_says_that_the_snapshot_stands(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots(tmp_path, sandbox, 2)

    def refuse(*_: object) -> None:
        raise tf.SinkError("cannot write: Input/output error")

    monkeypatch.setattr(Folder, "put", refuse)
    with pytest.raises(tf.SinkError, match="is published, but old snapshots could not be retired: cannot write"):
        snapshots(tmp_path, sandbox, 1, keep=1)
    assert len(found(tmp_path)) == 3


def test_a_table_without_rows_has_a_file_that_every_reader_can_read(tmp_path: Path, serve: Serve) -> None:
    empty = serve(world=World(3, 0))
    manifest = tf.write_snapshot(tmp_path, tables=("runs", "run_tasks"), settings=settings_for(empty), progress=False)
    for name, entry in manifest.tables.items():
        (file,) = entry.files
        assert (file.rows, entry.rows) == (0, 0)
        frame = pl.read_parquet(tmp_path / "current" / name, hive_partitioning=True)
        assert frame.height == 0
        assert set(frame.columns) == set(tf.read_snapshot(tmp_path, name).collect_schema())
    assert json.loads((manifest.folder / "manifest.json").read_text())["tables"]["runs"]["files"][0]["value"] == "active"
