"""A snapshot in PostgreSQL, in a real server: every value as it is in the snapshot, all of it or nothing, and nobody waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from beside import Database
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

ALL = tuple(tables.TABLES)


def write(root: Path, world: World, *names: str, plain: bool = True, **options: Any) -> str:
    """Publish a snapshot of a world, as it is now."""
    with Sandbox(world, plain=plain) as sandbox:
        settings = settings_for(sandbox)
        manifest = tf.write_snapshot(root, tables=names or ALL, settings=settings, progress=False, allow_shrink=True, **options)
    return manifest.snapshot


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of every table, with all that is odd in the sandbox's world."""
    root = tmp_path_factory.mktemp("lake")
    write(root, World(6, 200), plain=False)
    return root


def held(database: Database, table: str, schema: str = "tallyfy", where: str = "gone_at is null") -> pl.DataFrame:
    """The rows of a table that are there, in our columns."""
    columns = ", ".join(f'"{name}"' for name in tables.get(table).schema)
    return ordered(table, database.read(f'select {columns} from "{schema}"."{table}" where {where}'))


def ordered(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(tables.get(table).key, maintain_order=True)


def assert_holds(database: Database, root: Path, *names: str, **options: Any) -> None:
    """The tables hold what the snapshot holds: types, values, nulls."""
    for name in names or read_manifest(root, **options).tables:
        wanted, found = ordered(name, tf.read_snapshot(root, name, **options).collect()), held(database, name)
        assert found.schema == wanted.schema
        assert found.equals(wanted), name


def counts(synced: tf.Synced) -> dict[str, tuple[int, int, int, int]]:
    return {name: (rows.inserted, rows.changed, rows.unchanged, rows.gone) for name, rows in synced.tables.items()}


def test_every_column_of_every_table_is_what_the_snapshot_has(database: Database, whole: Path) -> None:
    synced = tf.sync_postgres(whole, database.dsn())
    assert synced.snapshot == read_manifest(whole).snapshot
    assert {*synced.tables} == {*ALL}
    assert_holds(database, whole)
    assert all(rows == (tf.read_snapshot(whole, name).collect().height, 0, 0, 0) for name, rows in counts(synced).items())


def test_the_same_snapshot_again_changes_nothing(database: Database, whole: Path) -> None:
    first = tf.sync_postgres(whole, database.dsn())
    places = database.read("select ctid::text, xmin::text, id from tallyfy.runs order by id")
    again = tf.sync_postgres(whole, database.dsn())
    assert counts(again) == {name: (0, 0, rows.inserted, 0) for name, rows in first.tables.items()}
    assert database.read("select ctid::text, xmin::text, id from tallyfy.runs order by id").equals(places), "no row is written"


def test_what_changes_is_written_what_leaves_is_marked_and_comes_back(database: Database, tmp_path: Path) -> None:
    world = World(6, 60)
    write(tmp_path, world, "runs")
    tf.sync_postgres(tmp_path, database.dsn())
    moved, gone = world.runs[3], world.runs.pop(7)
    moved.status = "complete" if moved.status != "complete" else "active"
    second = write(tmp_path, world, "runs")
    assert counts(tf.sync_postgres(tmp_path, database.dsn())) == {"runs": (0, 1, 58, 1)}
    assert_holds(database, tmp_path)
    ((named, since),) = database.read("select id, gone_at from tallyfy.runs where gone_at is not null").rows()
    assert (named, since.isoformat()) == (gone.id, read_manifest(tmp_path, at=second).created_at)

    write(tmp_path, world, "runs")
    assert counts(tf.sync_postgres(tmp_path, database.dsn())) == {"runs": (0, 0, 59, 0)}
    assert database.read("select gone_at from tallyfy.runs where gone_at is not null").item() == since, "gone since then"

    world.runs.insert(7, gone)
    write(tmp_path, world, "runs")
    assert counts(tf.sync_postgres(tmp_path, database.dsn())) == {"runs": (0, 1, 59, 0)}
    assert held(database, "runs").height == 60
    assert_holds(database, tmp_path)
