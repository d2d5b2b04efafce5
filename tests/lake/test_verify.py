"""``verify``: any byte that is another one is found, any tampering, and nothing is found where nothing is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.lake.verify import verify
from tallyfy_frames.sandbox import Sandbox, World

TABLES = ("runs", "run_tasks", "task_owners", "users", "run_tags")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with three snapshots."""
    root = tmp_path_factory.mktemp("good") / "lake"
    with Sandbox(World(3, 60)) as sandbox:
        for _ in range(3):
            tf.write_snapshot(root, tables=TABLES, settings=settings_for(sandbox), progress=False)
    return root


@pytest.fixture
def root(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "lake", symlinks=True)
    return tmp_path / "lake"


def test_nothing_is_wrong_with_what_was_published(good: Path) -> None:
    looked = verify(good)
    assert not looked.findings
    files = [place for place in good.rglob("*.parquet") if place.is_file()]
    assert (looked.snapshots, looked.files) == (3, len(set(files) - set((good / "current").rglob("*"))))
    assert looked.size_bytes == sum(place.stat().st_size for place in (good / "snapshots").rglob("*.parquet"))


def test_every_one_of_500_flipped_bytes_is_found(tmp_path: Path) -> None:
    with Sandbox(World(3, 12)) as sandbox:
        folder = tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox), progress=False).folder
    places = sorted(place for place in folder.rglob("*") if place.is_file())
    random = Random(5)
    for number in range(500):
        place = random.choice(places) if number % 4 else folder / "manifest.json"
        data = bytearray(place.read_bytes())
        at, mask = random.randrange(len(data)), random.randrange(1, 256)
        data[at] ^= mask
        place.write_bytes(data)
        findings = verify(tmp_path / "lake").findings
        assert findings, (place, at, mask)
        assert place.name in str(findings[0])
        data[at] ^= mask
        place.write_bytes(data)
    assert not verify(tmp_path / "lake").findings


def current(root: Path) -> Path:
    return root / "current"


def file_of(root: Path, table: str, number: int = 0) -> Path:
    manifest = read_manifest(root)
    return manifest.folder / table / manifest.tables[table].files[number].path


def signed_again(root: Path, **changes: Any) -> None:
    """Make the manifest fit what is there now, digests and all, as somebody would who means harm."""
    place = current(root) / "manifest.json"
    facts = json.loads(place.read_text())
    manifest = Manifest.parse(place.read_bytes(), str(place.parent))
    entries = {}
    for name, entry in manifest.tables.items():
        files = []
        for file in entry.files:
            data = (place.parent / name / file.path).read_bytes()
            rows = pq.ParquetFile(place.parent / name / file.path).metadata.num_rows
            digest = hashlib.sha256(data).hexdigest()
            files.append(dataclasses.replace(file, rows=rows, size_bytes=len(data), sha256=digest))
        entries[name] = dataclasses.replace(entry, files=tuple(files), rows=sum(file.rows for file in files))
    assert facts["sha256"]
    place.write_bytes(dataclasses.replace(manifest, **{"tables": entries, **changes}).text().encode())


def rewritten(root: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], number: int = 0) -> None:
    """Other rows in a file, under the same Arrow schema, and the manifest signed again."""
    place = file_of(root, table, number)
    schema = pq.read_schema(place)
    frame = change(pl.read_parquet(place, hive_partitioning=False, glob=False))
    arrow = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    kinds = {one.name: one for one in schema}
    turned = (
        {"id"} if pa.types.is_integer(kinds["id"].type) and not pa.types.is_integer(arrow.schema.field("id").type) else set()
    )
    fields = [one if one.name in turned else kinds[one.name] for one in arrow.schema]
    pq.write_table(arrow.cast(pa.schema(fields)), place)
    signed_again(root)


def gone(root: Path) -> None:
    file_of(root, "runs").unlink()


def cut(root: Path) -> None:
    place = file_of(root, "runs")
    place.write_bytes(place.read_bytes()[:-10])


def longer(root: Path) -> None:
    with file_of(root, "users").open("ab") as file:
        file.write(b"x")


def emptied(root: Path) -> None:
    file_of(root, "run_tasks").write_bytes(b"")


def exchanged(root: Path) -> None:
    one, other = file_of(root, "runs", 0), file_of(root, "runs", 1)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def of_another_snapshot(root: Path) -> None:
    old = read_manifest(root, at=read_manifest(root).previous)
    shutil.copy(old.folder / "users" / old.tables["users"].files[0].path, file_of(root, "users"))


def one_file_more(root: Path) -> None:
    shutil.copy(file_of(root, "runs"), file_of(root, "runs").with_name("more.parquet"))


def a_folder_renamed(root: Path) -> None:
    folder = file_of(root, "runs").parent
    folder.rename(folder.with_name("status=other"))


def a_link_in_place_of_a_file(root: Path) -> None:
    place = file_of(root, "users")
    place.rename(root.parent / "elsewhere.parquet")
    place.symlink_to(root.parent / "elsewhere.parquet")


def a_count_changed(root: Path) -> None:
    place = current(root) / "manifest.json"
    place.write_text(place.read_text().replace('"rows": 60', '"rows": 61', 1))


def a_space_in_the_manifest(root: Path) -> None:
    place = current(root) / "manifest.json"
    place.write_text(place.read_text().replace('"rows": ', '"rows":  ', 1))


def no_manifest(root: Path) -> None:
    (current(root) / "manifest.json").unlink()


def the_manifest_of_another_snapshot(root: Path) -> None:
    shutil.copy(read_manifest(root, at=read_manifest(root).previous).folder / "manifest.json", current(root) / "manifest.json")


def current_leads_nowhere(root: Path) -> None:
    current(root).unlink()
    current(root).symlink_to("snapshots/20200101T000000Z-00000000")


def current_leads_out_of_the_root(root: Path) -> None:
    (root.parent / "20200101T000000Z-00000000").mkdir()
    current(root).unlink()
    current(root).symlink_to("../20200101T000000Z-00000000")


def no_current(root: Path) -> None:
    current(root).unlink()


def a_row_twice_and_signed(root: Path) -> None:
    rewritten(root, "runs", lambda frame: pl.concat([frame, frame.head(1)]))


def a_row_in_two_partitions_and_signed(root: Path) -> None:
    row = pl.read_parquet(file_of(root, "runs", 1), hive_partitioning=False).head(1)
    rewritten(root, "runs", lambda frame: pl.concat([frame, row]))


def a_run_lost_and_signed(root: Path) -> None:
    with_tasks = pl.read_parquet(file_of(root, "run_tasks"))["run_id"]
    number = next(n for n in range(9) if pl.read_parquet(file_of(root, "runs", n))["id"].is_in(with_tasks.implode()).any())
    rewritten(root, "runs", lambda frame: frame.filter(~pl.col("id").is_in(with_tasks.implode())), number)


def a_key_lost_and_signed(root: Path) -> None:
    place = file_of(root, "users")
    frame = pl.read_parquet(place).with_columns(id=pl.when(pl.row_index() > 0).then("id"))
    pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_nullable(pq.read_schema(place))), place)
    signed_again(root)


def _nullable(schema: Any) -> Any:
    for number, one in enumerate(schema):
        schema = schema.set(number, one.with_nullable(True))
    return schema


def a_column_lost_and_signed(root: Path) -> None:
    rewritten(root, "users", lambda frame: frame.drop("email"))


def a_column_of_another_type_and_signed(root: Path) -> None:
    rewritten(root, "users", lambda frame: frame.with_columns(pl.col("id").cast(pl.String)))


def no_parquet_and_signed(root: Path) -> None:
    place, manifest = file_of(root, "users"), read_manifest(root)
    place.write_bytes(b"PAR1 nonsense PAR1")
    (file,) = manifest.tables["users"].files
    file = dataclasses.replace(file, size_bytes=18, sha256=hashlib.sha256(b"PAR1 nonsense PAR1").hexdigest())
    users = dataclasses.replace(manifest.tables["users"], files=(file,))
    (current(root) / "manifest.json").write_text(
        dataclasses.replace(manifest, tables={**manifest.tables, "users": users}).text()
    )


def another_organization_and_signed(root: Path) -> None:
    signed_again(root, organization_id="0" * 32)


def made_at_another_time_and_signed(root: Path) -> None:
    signed_again(root, created_at="2020-01-01T00:00:00+00:00")


def a_stranger_in_the_root(root: Path) -> None:
    (root / "notes.txt").write_text("mine")


def a_stranger_among_the_snapshots(root: Path) -> None:
    (root / "snapshots" / "readme.txt").write_text("mine")


def a_snapshot_copied(root: Path) -> None:
    name = read_manifest(root).snapshot
    shutil.copytree(root / "snapshots" / name, root / "snapshots" / f"20200101T000000Z-{name[-8:]}")


def another_format_in_one_byte(root: Path) -> None:
    place = current(root) / "manifest.json"
    place.write_text(place.read_text().replace('"format": 2', '"format": 1'))


TAMPERING = {
    gone: "the file is gone", cut: "bytes, and should have", longer: "bytes, and should have", emptied: "bytes, and should have",
    exchanged: "bytes", of_another_snapshot: "bytes", one_file_more: "the manifest does not name this file",
    a_folder_renamed: "the file is gone", a_link_in_place_of_a_file: "bytes, and should have",
    a_count_changed: "the manifest is damaged", a_space_in_the_manifest: "the manifest is damaged", no_manifest: "the manifest is gone",
    the_manifest_of_another_snapshot: "the manifest is that of",
    current_leads_nowhere: "current leads to a snapshot that is not there", current_leads_out_of_the_root: "leads to no snapshot of this root",
    no_current: "none of the snapshots here is published", a_row_twice_and_signed: "1 rows have a id that others have",
    a_row_in_two_partitions_and_signed: "1 rows have a id that others have",
    a_run_lost_and_signed: "belong to runs that are not there", a_key_lost_and_signed: "rows without id",
    a_column_lost_and_signed: "its columns are not those of its contract: email",
    a_column_of_another_type_and_signed: "its columns are not those of its contract: id", no_parquet_and_signed: "it is no Parquet file",
    another_organization_and_signed: "of another organization", made_at_another_time_and_signed: "made at another time",
    a_stranger_in_the_root: "belongs to no snapshot", a_stranger_among_the_snapshots: "belongs to no snapshot",
    a_snapshot_copied: "the manifest is that of", another_format_in_one_byte: "the manifest is damaged",
}  # fmt: skip


def test_there_are_enough_kinds_of_tampering() -> None:
    assert len(TAMPERING) >= 20


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
def test_tampering_is_found_and_said(root: Path, tamper: Callable[[Path], None]) -> None:
    tamper(root)
    findings = verify(root).findings
    assert any(TAMPERING[tamper] in finding.what for finding in findings), findings
    assert all(finding.place and finding.advice for finding in findings)


def test_one_snapshot_alone_can_be_looked_at(root: Path) -> None:
    names = sorted(place.name for place in (root / "snapshots").iterdir())
    place = next((root / "snapshots" / names[0] / "users").glob("*.parquet"))
    place.write_bytes(b"")
    assert not verify(root, at=names[1]).findings
    assert [finding.place for finding in verify(root, at=names[0]).findings] == [str(place)]


def test_a_root_without_snapshots_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(tf.SinkError, match="there is no snapshot here"):
        verify(tmp_path)


def test_what_is_on_its_way_is_left_out(root: Path) -> None:
    for name in (".staging-20310601T120000Z-0123abcd", ".removed-20310601T120000Z-0123abcd"):
        (root / "snapshots" / name).mkdir()
        (root / "snapshots" / name / "half.parquet").write_bytes(b"PAR1")
    (root / ".spool").write_bytes(b"x")
    assert not verify(root).findings


SAMPLES = Path(__file__).parents[1] / "samples" / "lakes"


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda place: place.name)
def test_a_snapshot_of_every_format_there_was_stays_readable_and_is_found_whole(sample: Path) -> None:
    manifest = read_manifest(sample)
    assert f"format-{manifest.format}" == sample.name
    for name, entry in manifest.tables.items():
        frame = tf.read_snapshot(sample, name).collect()
        assert frame.height == entry.rows
        assert frame.schema == tables.get(name).schema
    assert not verify(sample).findings


def test_a_table_that_has_grown_since_reads_the_new_column_as_null(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten(root, "users", lambda frame: frame.drop("phone"))
    place = current(root) / "manifest.json"
    manifest = Manifest.parse(place.read_bytes(), str(place.parent))
    users = dataclasses.replace(manifest.tables["users"], contract_version="1.0")
    place.write_text(dataclasses.replace(manifest, tables={**manifest.tables, "users": users}).text())
    monkeypatch.setattr("tallyfy_frames.lake.verify.CONTRACT_VERSION", "1.1")
    assert tf.read_snapshot(root, "users").collect()["phone"].null_count() == users.rows
    assert not [finding for finding in verify(root).findings if manifest.snapshot in finding.place and "users" in finding.place]


def test_it_exits_with_10_and_says_what_where_and_what_to_do(root: Path) -> None:
    program = [sys.executable, "-m", "tallyfy_frames", "verify", str(root)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].endswith("nothing is wrong")
    place = file_of(root, "runs")
    place.unlink()
    done = subprocess.run([*program, "--log-format", "json"], capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 10
    said, summary = [json.loads(line) for line in done.stderr.splitlines()]
    assert (said["place"], said["what"]) == (str(place.resolve()), "the file is gone")
    assert summary["findings"] == 1


def test_it_finds_nothing_while_jobs_publish_and_retire(tmp_path: Path) -> None:
    """A reader of everything, which holds no lock, beside a job that comes again and again."""
    ended = threading.Event()
    with Sandbox(World(3, 40)) as sandbox:
        root = tmp_path / "lake"
        tf.write_snapshot(root, settings=settings_for(sandbox), progress=False)

        def jobs() -> None:
            try:
                for _ in range(12):
                    tf.write_snapshot(root, settings=settings_for(sandbox), progress=False, keep=2)
            finally:
                ended.set()

        job, looks, findings = threading.Thread(target=jobs), 0, []
        job.start()
        while not ended.is_set():
            findings += verify(root).findings
            looks += 1
        job.join()
    assert looks > 12
    assert not findings


def test_snapshots_may_lie_on_another_disk(root: Path, tmp_path: Path) -> None:
    (root / "snapshots").rename(tmp_path / "elsewhere")
    (root / "snapshots").symlink_to(tmp_path / "elsewhere")
    assert not verify(root).findings
    assert tf.read_snapshot(root).collect().height == 60
