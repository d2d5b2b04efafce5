"""The measures as views in PostgreSQL: what polars computes, of what is not gone, left alone while they are as they should be."""

from __future__ import annotations

from pathlib import Path

import adbc_driver_postgresql.dbapi
import polars as pl
import pytest
from beside import Database
from conftest import settings_for
from hypothesis import HealthCheck, given, settings
from measured import KEYS, Measured, as_of, same
from odd_frames import AS_OF, rows_of
from odd_frames import given as sources_of

import tallyfy_frames as tf
from tallyfy_frames.databases.views import VIEWS, statement
from tallyfy_frames.errors import SinkError, TallyfyFramesWarning
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

NEEDED = ("runs", "run_tasks", "users")


def take(root: Path, world: World, names: tuple[str, ...] = NEEDED) -> None:
    with Sandbox(world) as sandbox:
        tf.write_snapshot(root, tables=names, settings=settings_for(sandbox), allow_shrink=True, progress=False)


def measured(root: Path) -> Measured:
    runs, tasks, users = (tf.read_snapshot(root, name).collect() for name in NEEDED)
    return Measured(runs, tasks, users, as_of(runs, read_manifest(root).created_at))


def test_a_measure_is_what_polars_computes_of_what_is_not_gone(database: Database, tmp_path: Path) -> None:
    odd = {"days": 90, "extra_statuses": (None, "on hold", "a/b c", "")}
    database.run(f"alter database {database.name} set timezone to 'Asia/Kolkata'")
    for world in (World(1, 320, **odd), World(1, 240, **odd), World(2, 30, **odd)):
        root = tmp_path / f"{world.seed}"
        take(root, world)
        tf.sync_postgres(root, database.dsn(), schema=f"of {world.seed}")
        for name in KEYS:
            same(database.read(f'select * from "of {world.seed}".{name}'), measured(root).view(name), name)


@given(runs=rows_of("runs"), tasks=rows_of("tasks"), users=rows_of("users"))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_views_of_any_runs_tasks_and_users_are_what_polars_computes(
    database: Database, runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame
) -> None:
    with adbc_driver_postgresql.dbapi.connect(database.dsn()) as connection, connection.cursor() as cursor:
        sources = {}
        for name, frame in sources_of(runs, tasks, users).items():
            arrow = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            cursor.adbc_ingest(f"given_{name}", arrow, mode="create", temporary=True)
            sources[name] = f"select * from given_{name}"
        wanted = Measured(runs, tasks, users, AS_OF)
        for view in VIEWS:
            cursor.execute(f"create temporary view {view.name} as {statement(view, sources)}")
            got = pl.DataFrame(cursor.execute(f"select * from {view.name}").fetch_arrow_table())
            assert got.columns == list(view.columns)
            same(got, wanted.view(view.name), view.name)
        connection.rollback()


def oids(database: Database) -> list[int]:
    query = "select c.oid::bigint from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'v' and nspname = 'tallyfy'"
    return sorted(database.read(query).to_series())


def test_views_stay_and_so_does_what_was_made_of_them_or_granted(database: Database, tmp_path: Path) -> None:
    take(tmp_path, World(1, 20, days=20))
    tf.sync_postgres(tmp_path, database.dsn())
    database.run(
        "create view late as select * from tallyfy.ageing where is_overdue",
        "grant usage on schema tallyfy to reader",
        "grant select on tallyfy.ageing to reader",
    )
    before = oids(database)
    take(tmp_path, World(1, 30, days=20), ("runs",))
    with pytest.warns(TallyfyFramesWarning, match="user ids stand for names"):
        tf.sync_postgres(tmp_path, database.dsn())
    assert database.read("select count(*) from tallyfy.waiting").item() == 0, "its tables are not in the snapshot"
    assert database.read("select count(*) from tallyfy.cycle_time").item() == 30
    take(tmp_path, World(1, 40, days=20))
    tf.sync_postgres(tmp_path, database.dsn())
    assert database.read("select count(*) from tallyfy.waiting").item() > 0
    assert database.read("select count(*) from tallyfy.ageing", user="reader").item() > 0
    assert database.read("select count(*) from late").width == 1
    assert oids(database) == before
    database.run("drop view tallyfy.waiting cascade")
    tf.sync_postgres(tmp_path, database.dsn())
    assert database.read("select count(*) from tallyfy.waiting_per_step").item() > 0, "what is missing is made anew"


def test_views_of_an_older_kind_are_made_anew_unless_somebody_needs_them(database: Database, tmp_path: Path) -> None:
    take(tmp_path, World(1, 20, days=20))
    tf.sync_postgres(tmp_path, database.dsn())
    database.run(
        "drop view tallyfy.throughput",
        "create view tallyfy.throughput as select 1 as completed",
        "comment on view tallyfy.throughput is 'As it once was. Made by tallyfy-frames.'",
        "update tallyfy.snapshot set views = 'another'",
        "create view mine as select * from tallyfy.throughput",
    )
    with pytest.raises(SinkError, match="something else depends on the old views"):
        tf.sync_postgres(tmp_path, database.dsn())
    database.run("drop view mine")
    tf.sync_postgres(tmp_path, database.dsn())
    same(database.read("select * from tallyfy.throughput"), measured(tmp_path).throughput(), "throughput")


@pytest.mark.parametrize("kind", ["view", "table", "materialized view"])
def test_what_only_has_the_name_of_a_view_of_ours_is_refused(database: Database, tmp_path: Path, kind: str) -> None:
    take(tmp_path, World(1, 20), ("runs", "users"))
    database.run("create schema tallyfy", f"create {kind} tallyfy.ageing as select 1 as theirs")
    with pytest.raises(SinkError, match="ageing in this schema is not a view of ours"):
        tf.sync_postgres(tmp_path, database.dsn())
    assert database.read("select * from tallyfy.ageing").columns == ["theirs"]


def test_views_and_their_columns_say_what_they_are(database: Database, tmp_path: Path) -> None:
    take(tmp_path, World(1, 20), NEEDED)
    tf.sync_postgres(tmp_path, database.dsn())
    for view in VIEWS:
        said = f"select obj_description('tallyfy.{view.name}'::regclass), count(*) filter (where col_description(attrelid, attnum) is null)"
        about, silent = database.read(f"{said} from pg_attribute where attrelid = 'tallyfy.{view.name}'::regclass").row(0)
        assert about.startswith(view.about)
        assert silent == 0
