"""A DuckDB file: a view per table, the measures as views, comments, UTC, replaced in one step."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import settings_for
from measured import KEYS, Measured, as_of, same
from polars.testing import assert_frame_equal

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.databases.views import VIEWS
from tallyfy_frames.errors import SinkError, TallyfyFramesWarning, UsageError
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

NEEDED = ("runs", "run_tasks", "users")


def take(root: Path, world: World, names: tuple[str, ...] = NEEDED) -> tf.Manifest:
    with Sandbox(world) as sandbox:
        return tf.write_snapshot(root, tables=names, settings=settings_for(sandbox), allow_shrink=True)


def ask(path: Path, sql: str) -> pl.DataFrame:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.sql(sql).pl()


def measured(root: Path) -> Measured:
    runs, tasks, users = (tf.read_snapshot(root, name).collect() for name in NEEDED)
    return Measured(runs, tasks, users, as_of(runs, read_manifest(root).created_at))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared") / "lake"
    take(root, World(1, 300, days=90, extra_statuses=(None, "on hold", "a/b c", "")), tuple(tables.TABLES))
    tf.write_duckdb(root)
    return root


@pytest.fixture(scope="module")
def file(lake: Path) -> Path:
    return lake.with_name("lake.duckdb")


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_view_has_a_tables_rows_columns_and_types(lake: Path, file: Path, name: str) -> None:
    wanted = tf.read_snapshot(lake, name).collect()
    got = ask(file, f"select * from {name}")
    assert got.columns == wanted.columns
    key = list(tables.get(name).key)
    in_utc = got.with_columns(pl.col(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    assert_frame_equal(in_utc.sort(key), wanted.sort(key))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_measure_is_what_polars_computes(lake: Path, file: Path, view: object) -> None:
    got = ask(file, f"select * from {view.name}")
    assert got.columns == list(view.columns)
    assert got.height, "there is something to compare"
    same(got, measured(lake).view(view.name), view.name)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("runs", [0, 1, 40])
def test_measures_of_other_organizations_are_the_same_too(tmp_path: Path, seed: int, runs: int) -> None:
    root = tmp_path / "lake"
    take(root, World(seed, runs, days=20))
    file = tf.write_duckdb(root)
    for name in KEYS:
        same(ask(file, f"select * from {name}"), measured(root).view(name), name)


def test_everything_is_in_utc_wherever_the_reader_is(lake: Path, file: Path) -> None:
    days = "select date_trunc('day', created_at) as day, count(*) as runs from runs group by 1 order by 1"
    wanted = tf.read_snapshot(lake).group_by(pl.col("created_at").dt.truncate("1d").alias("day")).len().sort("day").collect()
    with duckdb.connect(str(file), read_only=True) as connection:
        for zone in ("UTC", "America/New_York", "Asia/Kolkata"):
            connection.execute(f"set TimeZone = '{zone}'")
            got = connection.sql(days).pl()
            assert got["day"].to_list() == wanted["day"].dt.replace_time_zone(None).to_list()
            assert got["runs"].to_list() == wanted["len"].to_list()


def test_comments_say_what_each_view_and_column_is(file: Path) -> None:
    about = dict(ask(file, "select view_name, comment from duckdb_views() where not internal").iter_rows())
    assert about["runs"] == tables.get("runs").about
    assert "measures.cycle_time" in about["cycle_time"]
    columns = ask(file, "select table_name, column_name, comment from duckdb_columns() where not internal")
    assert columns.filter(pl.col("comment").is_null()).is_empty()
    told = {(table, name): comment for table, name, comment in columns.iter_rows()}
    assert told["runs", "created_at"].endswith("(UTC)")
    assert told["runs", "progress_percent"].endswith("(percent)")
    assert told["cycle_time", "elapsed_h"].endswith("(hours)")


def test_the_snapshot_says_where_everything_comes_from(lake: Path, file: Path) -> None:
    row = ask(file, "select * from snapshot").to_dicts()
    manifest = read_manifest(lake)
    assert [one["snapshot"] for one in row] == [manifest.snapshot]
    assert row[0]["as_of"].replace(tzinfo=UTC) == measured(lake).as_of
    assert (row[0]["organization_id"], row[0]["token_user"], row[0]["privacy"]) == (manifest.organization_id, 5120, "keep")


def test_without_a_measures_tables_it_has_no_rows_and_a_warning_says_so(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    take(root, World(1, 20, days=20), ("runs",))
    with pytest.warns(TallyfyFramesWarning) as told:
        file = tf.write_duckdb(root)
    assert any("no run_tasks or tasks: waiting and waiting_per_step have no rows" in str(one.message) for one in told)
    assert ask(file, "select count(*) from waiting").item() == 0
    assert ask(file, "select count(*) from cycle_time").item() == 20
    owners = set(ask(file, "select owner from run_labels")["owner"])
    assert all(owner == "nobody" or owner.startswith("user ") for owner in owners)


def test_tasks_serve_where_there_are_no_run_tasks(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    take(root, World(1, 20, days=20), ("runs", "tasks", "users"))
    got = ask(tf.write_duckdb(root), "select * from waiting")
    wanted = Measured(*(tf.read_snapshot(root, name).collect() for name in ("runs", "tasks", "users")), datetime.now(UTC))
    same(got, wanted.waiting(), "waiting")


def test_views_stay_with_their_snapshot_and_a_file_can_follow(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    first = take(root, World(1, 30, days=20))
    file = tf.write_duckdb(root)
    take(root, World(1, 50, days=20))
    assert ask(file, "select count(*) from runs").item() == 30
    with duckdb.connect(str(file), read_only=True) as connection:
        tf.write_duckdb(root)
        assert connection.sql("select count(*) from runs").fetchall() == [(30,)], "who has it open goes on with the old one"
    assert ask(file, "select count(*) from runs").item() == 50
    tf.write_duckdb(root, at=first.snapshot)
    assert ask(file, "select count(*) from runs").item() == 30


def test_readers_never_meet_half_a_file(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    take(root, World(1, 20, days=20))
    file = tf.write_duckdb(root)
    ended, broken, seen = threading.Event(), [], 0

    def read() -> None:
        nonlocal seen
        while not ended.is_set():
            try:
                assert ask(file, "select count(*) from cycle_time").item() == 20
                seen += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, is the finding
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(15):
        tf.write_duckdb(root)
    ended.set()
    reader.join()
    assert not broken
    assert seen > 5


def test_a_path_means_itself_whatever_signs_are_in_it(tmp_path: Path) -> None:
    root = tmp_path / "status=old" / "it's [a] lake* 100% ?"
    root.parent.mkdir()
    take(root, World(1, 30))
    (tmp_path / "status=old" / "it's a lake").mkdir()
    got = ask(tf.write_duckdb(root), "select id, status from runs order by id")
    assert_frame_equal(got, tf.read_snapshot(root).select("id", "status").sort("id").collect())


def test_the_file_can_be_attached_under_another_name(file: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as other (read_only)")
        assert connection.sql("select count(*) from other.work_in_progress").fetchall()[0][0] > 0


def test_what_is_not_ours_is_not_replaced(lake: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(SinkError, match="a file is there that DuckDB cannot read"):
        tf.write_duckdb(lake, other)
    assert other.read_text() == "mine"
    for statement in ("create table t (x int)", "create view v as select 1", "create macro m(x) as x + 1", "create schema s"):
        file = tmp_path / "theirs.duckdb"
        tf.write_duckdb(lake, file)
        with duckdb.connect(str(file)) as connection:
            connection.execute(statement)
        before = file.read_bytes()
        with pytest.raises(SinkError, match="the file holds something else"):
            tf.write_duckdb(lake, file)
        assert file.read_bytes() == before
        file.unlink()


def test_a_file_that_is_open_for_writing_is_not_replaced(lake: Path, tmp_path: Path) -> None:
    file = tf.write_duckdb(lake, tmp_path / "x.duckdb")
    with duckdb.connect(str(file)), pytest.raises(SinkError, match="open for writing"):
        tf.write_duckdb(lake, file)
    tf.write_duckdb(lake, file)
    held = f"import duckdb, sys; c = duckdb.connect({str(file)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(SinkError, match="open for writing"):
            tf.write_duckdb(lake, file)
        other.stdin.close()
    tf.write_duckdb(lake, file)


def test_what_a_writer_left_who_died_does_not_end_up_beside_the_new_file(lake: Path, tmp_path: Path) -> None:
    file = tf.write_duckdb(lake, tmp_path / "x.duckdb")
    dies = f"import duckdb, os; c = duckdb.connect({str(file)!r}); c.execute('drop view waiting_per_step'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", dies], check=False).returncode == 9
    with pytest.raises(SinkError, match=r"did not close it \(path=.*x\.duckdb\.wal\)"):
        tf.write_duckdb(lake, file)
    duckdb.connect(str(file)).close()
    tf.write_duckdb(lake, file)
    assert ask(file, "select count(*) from waiting_per_step").item() > 0


def test_wherever_it_cannot_be_it_says_so(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="it is a folder"):
        tf.write_duckdb(lake, tmp_path)
    with pytest.raises(SinkError, match="there is no such folder"):
        tf.write_duckdb(lake, tmp_path / "missing" / "x.duckdb")
    with pytest.raises(UsageError, match="not in a bucket"):
        tf.write_duckdb("s3://bucket/lake")
    for root, message in (("ftp://host/lake", "begins with ftp:// is no place"), ("", "the root is empty")):
        with pytest.raises(UsageError, match=message):
            tf.write_duckdb(root)
    with pytest.raises(SinkError, match="there is no snapshot here"):
        tf.write_duckdb(tmp_path / "nowhere")
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_snapshot_makes_no_file_and_leaves_the_old(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    take(root, World(1, 20))
    file = tf.write_duckdb(root)
    before = file.read_bytes()
    victim = next((root / "current" / "users").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(SinkError, match="DuckDB cannot read the snapshot"):
        tf.write_duckdb(root)
    assert file.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["lake", "lake.duckdb"]


@pytest.mark.parametrize(("odd", "moved"), [(1, False), (15, False), (25, True)])
def test_one_odd_date_does_not_move_now_but_another_clock_does(tmp_path: Path, odd: int, moved: bool) -> None:
    now, far = datetime.now(UTC), datetime(9999, 1, 1, tzinfo=UTC)
    world = World(1, 30)
    for number, run in enumerate(world.runs):
        run.last_updated = far if number < odd else now.replace(microsecond=0)
    root = tmp_path / "lake"
    take(root, world)
    as_of_then = ask(tf.write_duckdb(root), "select as_of from snapshot").item().replace(tzinfo=UTC)
    assert as_of_then == measured(root).as_of
    assert (as_of_then == far) is moved
