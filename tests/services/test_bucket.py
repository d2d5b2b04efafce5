"""Snapshots in a bucket, against a server that speaks S3: published by one conditional put, whatever happens around it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pytest
from beside import Bucket as Served
from conftest import settings_for
from documents import blocks, run_page

import tallyfy_frames as tf
from tallyfy_frames.lake import bucket as buckets
from tallyfy_frames.lake import retention
from tallyfy_frames.lake.bucket import Bucket
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.lake.verify import verify
from tallyfy_frames.sandbox import Sandbox, World

TABLES = ("runs", "run_tasks", "users")
VICTIM = Path(__file__).parents[1] / "lake" / "victim.py"


@pytest.fixture(scope="module")
def old() -> Iterator[Sandbox]:
    with Sandbox(World(6, 40), plain=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def new() -> Iterator[Sandbox]:
    with Sandbox(World(6, 90), plain=True) as sandbox:
        yield sandbox


@pytest.fixture
def root(s3: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address, and an environment in which it can be reached."""
    for name, value in {**s3.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return s3.root


def write(root: str, sandbox: Sandbox, **options: Any) -> str:
    options = {"tables": TABLES, **options}
    return tf.write_snapshot(root, settings=settings_for(sandbox), progress=False, **options).snapshot


def rows(root: str, **options: Any) -> int:
    return tf.read_snapshot(root, **options).collect().height


def test_a_snapshot_lies_in_a_bucket_as_it_would_in_a_folder(root: str, s3: Served, old: Sandbox, tmp_path: Path) -> None:
    first = write(root, old)
    write(str(tmp_path / "lake"), old)
    for table in TABLES:
        one, other = (tf.read_snapshot(place, table).collect() for place in (root, tmp_path / "lake"))
        spec = tf.read_snapshot(root, table).collect_schema()
        assert one.schema == spec == other.schema
        assert one.drop("loaded_at").sort(pl.all()).equals(other.drop("loaded_at").sort(pl.all())) or table == "runs"
        assert sorted(one["id"]) == sorted(other["id"])
    assert rows(root) == 40
    keys = s3.objects()
    assert "lake/current.json" in keys
    assert all(key == "lake/current.json" or key.startswith(f"lake/snapshots/{first}/") for key in keys)
    assert not verify(root).findings
    assert not [place for place in (tmp_path / "cache").rglob("*") if place.is_file() and place.name != ".lock"], (
        "nothing stays here"
    )


def test_older_ones_are_found_by_name_and_instant_and_those_that_go_are_removed_later(
    root: str, s3: Served, old: Sandbox, new: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(root, old)
    write(root, new)
    assert (rows(root), rows(root, at=first)) == (90, 40)
    assert read_manifest(root, at=datetime.now(UTC)).previous == first
    held = tf.read_snapshot(root, at=first)
    third = write(root, new, keep=2)
    assert held.collect().height == 40
    with pytest.raises(tf.UsageError, match=f"there is no snapshot {first}"):
        rows(root, at=first)
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    write(root, new, keep=2)
    assert not [key for key in s3.objects() if first in key]
    assert [key for key in s3.objects() if third in key]
    assert not verify(root).findings


def test_a_byte_that_is_another_one_is_found(root: str, old: Sandbox) -> None:
    write(root, old)
    place = Bucket(root)
    for entry in place.files(""):
        data = place.read(entry.path)
        assert data is not None
        for at in (0, len(data) // 2, len(data) - 1):
            place.put(entry.path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert verify(root).findings, (entry.path, at)
        place.put(entry.path, data)
    assert not verify(root).findings


def test_whoever_is_late_has_lost_and_what_it_uploaded_goes(
    root: str, s3: Served, old: Sandbox, new: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(root, old)
    publish = Bucket.publish
    winner: list[str] = []

    def late(self: Bucket, *given: Any) -> None:
        if not winner:
            with monkeypatch.context() as patch:  # another machine, which began later and is done earlier
                patch.setattr(buckets, "cache_folder", lambda: tmp_path / "another machine")
                winner.append("")
                winner[0] = write(root, new)
        publish(self, *given)

    monkeypatch.setattr(Bucket, "publish", late)
    with pytest.raises(tf.LockHeld, match="another job has published to this root since this one began"):
        write(root, new)
    assert read_manifest(root).snapshot == winner[0]
    assert len({key.split("/")[2] for key in s3.objects() if "/snapshots/" in key}) == 2
    assert not verify(root).findings


@pytest.mark.parametrize("done", [True, False])
def test_an_answer_that_is_lost_decides_nothing(
    root: str, s3: Served, old: Sandbox, new: Sandbox, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """Whether the put of ``current.json`` was carried out is what the store says when it is asked again."""
    first, put = write(root, old), obstore.put

    def lost(store: Any, path: str, *given: Any, **named: Any) -> Any:
        if path != "current.json":
            return put(store, path, *given, **named)
        if done:
            put(store, path, *given, **named)
        raise obstore.exceptions.GenericError("connection reset")  # type: ignore[attr-defined]

    monkeypatch.setattr(obstore, "put", lost)
    if done:
        second = write(root, new)
        assert read_manifest(root).snapshot == second
    else:
        with pytest.raises(tf.SinkError, match="connection reset"):
            write(root, new)
        assert read_manifest(root).snapshot == first
    assert not verify(root).findings


def on_two_machines(
    root: str, sandbox: Sandbox, delay_s: float, monkeypatch: pytest.MonkeyPatch, folders: Callable[[], Path]
) -> list[str]:
    """What came of two jobs at once."""
    monkeypatch.setattr(buckets, "cache_folder", folders)
    begun, outcomes = threading.Barrier(2), []

    def job(number: int) -> None:
        begun.wait()
        if number:
            threading.Event().wait(delay_s)
        try:
            outcomes.append(write(root, sandbox, tables=("runs",)))
        except tf.LockHeld as held:
            outcomes.append("lost" if "since this one began" in str(held) else "held")

    threads = [threading.Thread(target=job, args=(number,), name=f"machine {number}") for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
@pytest.mark.parametrize("where", ["a folder", "a bucket on one machine", "a bucket on two machines"])
def test_of_two_jobs_at_once_one_wins_a_hundred_times(
    s3: Served, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    place = str(tmp_path / "lake") if where == "a folder" else root
    chance, published = random.Random(7), 0
    with Sandbox(World(6, 30), plain=True, latency_ms=15) as sandbox:
        for _ in range(100):
            before = read_manifest(place).snapshot if published else None

            def folders() -> Path:
                return tmp_path / (threading.current_thread().name if where.endswith("two machines") else "machine")

            outcomes = on_two_machines(place, sandbox, chance.random() * 0.02, monkeypatch, folders)
            lost = [one for one in outcomes if one in {"lost", "held"}]
            assert lost == (["lost"] if where.endswith("two machines") else ["held"]), outcomes
            (won,) = set(outcomes) - {*lost}
            manifest = read_manifest(place)
            published += 1
            assert (manifest.snapshot, manifest.previous, manifest.rows) == (won, before, 30)
    looked = verify(place)
    assert not looked.findings
    assert looked.snapshots == published == 100


KILLED = [
    "bucket 1 before", "upload 1 before", "upload 1 after", "upload 2 before", "upload 4 after", "upload 6 before", "upload 6 after",
    "point 1 before", "point 1 after", "retire 1 before", "object 1 before", "object 1 after", "stale 1 before",
    "take 1 before", "take 1 after", "delete 1 before", "delete 1 after", "delete 2 before", "delete 2 after", "delete 3 before",
]  # fmt: skip


@pytest.mark.parametrize("moment", KILLED)
def test_killed_readers_see_one_whole_snapshot_and_the_next_job_clears_what_is_left(
    root: str, old: Sandbox, new: Sandbox, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = write(root, old)
    write(root, old)
    last = write(root, old, keep=2)
    assert Bucket(root).read(f"snapshots/{gone}/retired") is not None
    command = [sys.executable, str(VICTIM), root, *moment.split(), *TABLES]
    job = subprocess.run(command, env={**os.environ, **new.environment, "GRACE_S": "0"}, check=False, capture_output=True)
    assert job.returncode == -9, job.stderr
    done = rows(root) == 90
    assert (read_manifest(root).snapshot == last) == (not done)
    assert rows(root, table="users") == len(new.world.users)
    write(root, new, keep=2)
    assert rows(root) == 90
    looked = verify(root)
    assert not looked.findings
    assert looked.snapshots == 2


def test_what_a_job_of_another_machine_left_goes_after_a_day(root: str, old: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, old)
    place, left = Bucket(root), "snapshots/29990101T000000Z-0123abcd"
    place.put(f"{left}/pending", b"")
    place.put(f"{left}/runs/x.parquet", b"PAR1")
    write(root, old)
    assert place.read(f"{left}/retired") is None, "it may be on its way"
    monkeypatch.setattr(buckets, "UPLOAD_MAX", timedelta(0))
    write(root, old)
    assert place.read(f"{left}/retired") is not None
    assert not verify(root).findings


def test_what_died_on_this_machine_is_gone_from_it_after_a_day_whatever_is_run_next(
    root: str, old: Sandbox, tmp_path: Path
) -> None:
    other = Bucket("s3://another-bucket/lake")
    with other_work(other) as staged:
        for age_s, stays in ((3600, True), (90_000, False)):
            for entry in other.work.iterdir():
                os.utime(entry, (time.time() - age_s,) * 2)
            write(root, old)
            assert staged.exists() is stays


@contextmanager
def other_work(place: Bucket) -> Iterator[Path]:
    """What a job on another root has left that died."""
    staged = place.staging("29990101T000000Z-0123abcd")
    staged.mkdir(parents=True)
    (staged / "x.parquet").write_bytes(b"PAR1")
    (place.work / ".lock").touch()
    yield staged


@pytest.mark.parametrize("late", [True, False])
def test_a_put_that_is_carried_out_after_we_gave_up_finds_its_snapshot(
    root: str, old: Sandbox, new: Sandbox, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    first, put, held = write(root, old), obstore.put, []

    def slow(store: Any, path: str, *given: Any, **named: Any) -> Any:
        if path != "current.json":
            return put(store, path, *given, **named)
        held.append((store, path, given, named))
        raise obstore.exceptions.GenericError("timed out")  # type: ignore[attr-defined]

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", slow)
        with pytest.raises(tf.SinkError, match="timed out"):
            write(root, new)
    assert rows(root) == 40
    if late:
        store, path, given, named = held[0]
        put(store, path, *given, **named)
        assert rows(root) == 90
    write(root, new)
    assert rows(root) == 90
    assert rows(root, at=first) == 40
    looked = verify(root)
    assert not looked.findings
    assert looked.snapshots == 2 + late


def test_one_whose_answer_was_lost_has_published_though_another_has_since(
    root: str, old: Sandbox, new: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, put, after = write(root, old), obstore.put, []

    def overtaken(store: Any, path: str, *given: Any, **named: Any) -> Any:
        done = put(store, path, *given, **named)
        if path == "current.json" and not after:
            after.append("")
            with monkeypatch.context() as patch:
                patch.setattr(buckets, "cache_folder", lambda: tmp_path / "another machine")
                after[0] = write(root, new)
            raise obstore.exceptions.PreconditionError("412")  # type: ignore[attr-defined]  # to the put that was sent again
        return done

    monkeypatch.setattr(obstore, "put", overtaken)
    ours = write(root, new)
    manifest = read_manifest(root)
    assert (manifest.snapshot, manifest.previous) == (after[0], ours)
    assert rows(root, at=first) == 40
    assert not verify(root).findings


@pytest.mark.parametrize(
    "address",
    [
        "s3://b/a#x",
        "s3://b/a?x",
        "s3://b/a%20b",
        "s3://b/../c",
        "s3://b/a/./c",
        "s3://b//c",
        "s3://KEY:SECRET@b/c",
        "s3://b/a b",
        "s3:///c",
    ],
)
def test_an_address_that_readers_would_read_in_different_ways_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(tf.UsageError, match="the address is not SCHEME://BUCKET/PREFIX") as refused:
        tf.read_snapshot(address)
    assert "SECRET" not in str(refused.value)


def test_a_prefix_that_holds_something_else_is_left_alone(root: str, s3: Served, old: Sandbox) -> None:
    Bucket(root).put("notes.txt", b"mine")
    asked = len(old.requests)
    with pytest.raises(tf.SinkError, match=r"holds something else: notes.txt \(path=s3://.*name a new or empty prefix"):
        write(root, old)
    assert s3.objects() == ["lake/notes.txt"]
    assert len(old.requests) == asked


def test_a_bucket_that_is_not_there_or_not_ours_is_a_clear_error_without_the_key(
    root: str, old: Sandbox, s3: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(tf.SinkError, match=r"there is no snapshot here \(path=s3://"):
        tf.read_snapshot(root)
    with pytest.raises(tf.SinkError, match=r"there is no such bucket \(path=s3://nobody-has-this/lake\); make it"):
        write("s3://nobody-has-this/lake", old)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(buckets, "RETRIES", {"max_retries": 0})
    with pytest.raises(tf.SinkError, match=r"the object store refuses: .*check address, credentials") as error:
        tf.read_snapshot(root)
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


def test_the_second_job_on_a_machine_exits_with_12_and_says_who_holds_the_root(root: str) -> None:
    with Sandbox(World(6, 500), latency_ms=100) as slow:
        environment = {**os.environ, **slow.environment}
        command = [sys.executable, "-m", "tallyfy_frames", "snapshot", root]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as first:
            while not slow.requests:
                assert first.poll() is None
            second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert second.returncode == 12
            assert f"another job holds this root (root={root}" in second.stderr
            assert f"pid={first.pid}" in second.stderr
            assert first.wait(60) == 0
    assert read_manifest(root).rows == 500


@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_the_page_on_buckets_tells_the_truth(root: str, old: Sandbox, s3: Served, tmp_path: Path) -> None:
    code, said = run_page("docs/buckets.md", tmp_path, {**s3.environment, **old.environment, "LAKE": root}, "shell")
    assert code == 0, said
    assert "nothing is wrong" in said
    space: dict[str, object] = {"LAKE": root}
    for block in blocks("docs/buckets.md", "py"):
        exec(block, space)  # noqa: S102 - our own page
    assert isinstance(space["runs"], pl.LazyFrame)
