"""A snapshot in PostgreSQL, in a real server: every value as it is in the snapshot, all of it or nothing, and nobody waits."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import adbc_driver_postgresql.dbapi
import polars as pl
import pytest
from beside import Database
from conftest import settings_for
from documents import ROOT, blocks, run_page
from shell import RUN, run

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.databases import postgres
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sinks.parquet import ParquetSink

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


def test_tables_that_a_snapshot_lacks_stay_as_they_are(database: Database, tmp_path: Path) -> None:
    world = World(6, 20)
    first = write(tmp_path, world, "runs", "users")
    tf.sync_postgres(tmp_path, database.dsn())
    write(tmp_path, world, "runs")
    assert {*tf.sync_postgres(tmp_path, database.dsn()).tables} == {"runs"}
    assert_holds(database, tmp_path, "users", at=first)


def test_a_table_says_what_the_others_hold(database: Database, whole: Path) -> None:
    tf.sync_postgres(whole, database.dsn())
    manifest = read_manifest(whole)
    (row,) = database.read("select * from tallyfy.snapshot").rows(named=True)
    assert (row["snapshot"], row["organization_id"]) == (manifest.snapshot, manifest.organization_id)
    assert (row["created_at"], row["privacy"]) == (datetime.fromisoformat(manifest.created_at), "keep")
    assert row["synced_at"] >= row["created_at"]
    assert row["tallyfy_frames"] == tf.__version__


def test_tables_and_columns_say_what_they_are(database: Database, whole: Path) -> None:
    tf.sync_postgres(whole, database.dsn())
    about = "obj_description('tallyfy.runs'::regclass), col_description('tallyfy.runs'::regclass, attnum)"
    query = f"select attname, {about} from pg_attribute where attrelid = 'tallyfy.runs'::regclass and attnum > 0"
    said = {name: (table, column) for name, table, column in database.read(query).rows()}
    assert [*said] == [*tables.get("runs").schema, "gone_at"], "in the contract's order"
    assert said["progress_total"] == ("One row per run (the app calls it a process).", "Visible tasks; ≥ 0 (tasks)")
    assert all(column for _, column in said.values())


def test_a_key_is_unique_also_where_a_part_of_it_may_be_null(database: Database, whole: Path) -> None:
    tf.sync_postgres(whole, database.dsn())
    for name in ("runs", "run_form_values"):
        nulls = ", task_id = null" if name == "run_form_values" else ""
        for again in (False, True):
            database.run(f"create table once_{again} as select * from tallyfy.{name} limit 1")
            if nulls:
                database.run(f"update once_{again} set {nulls[2:]}")
        if nulls:
            database.run(f"insert into tallyfy.{name} select * from once_False")
        with pytest.raises(adbc_driver_postgresql.dbapi.Error, match="duplicate key"):
            database.run(f"insert into tallyfy.{name} select * from once_True")
        database.run("drop table once_True", "drop table once_False")


def with_texts(root: Path, texts: Sequence[str | None]) -> None:
    """A snapshot whose runs have these names and these groups: rows as no API sends them."""
    write(root, World(6, len(texts)), "runs")
    manifest = read_manifest(root)
    runs = tf.read_snapshot(root).collect().with_columns(
        name=pl.Series(texts, dtype=pl.String),
        groups=pl.Series([[text, "", None] for text in texts], dtype=pl.List(pl.String)),
        due_date=pl.Series([FAR[n % 2] for n in range(len(texts))], dtype=pl.Datetime("us", "UTC")),
        progress_percent=pl.Series([NUMBERS[n % len(NUMBERS)] for n in range(len(texts))], dtype=pl.Float64),
        increment_id=pl.Series([2**63 - 1 - n for n in range(len(texts))], dtype=pl.Int64),
    )  # fmt: skip
    shutil.rmtree(manifest.folder / "runs")
    with ParquetSink(manifest.folder / "runs", tables.get("runs"), "0") as sink:
        sink.write(runs)
        entry = replace(manifest.tables["runs"], files=tuple(sink.finish()))
    (manifest.folder / "manifest.json").write_text(replace(manifest, tables={"runs": entry}).text())


FAR = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
NUMBERS = (0.1, 1e308, 5e-324, None)
TEXTS = (
    "<script>alert(1)</script>", "{{7*7}}", "=1+1", "a\u202eb", "'; drop table runs; --", 'quote " and \' and \\', "\\N", "\\x00", "", "  ",
    "{a,b}", "NULL", None, "line\nbreak\r\ttab", "🚀", "e\u0301 é", "\x1b[31m", "\x7f\x80", "\ufeff", "\ufffe", "$1 %s {}",
)  # fmt: skip


def test_texts_instants_and_numbers_are_the_same_however_hostile(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_texts(tmp_path, TEXTS)
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    database.run(
        "alter role postgres set standard_conforming_strings to off", "alter role postgres set timezone to 'Asia/Tokyo'"
    )
    try:
        tf.sync_postgres(tmp_path, database.dsn(), schema="a\\' \"b; — ü")
    finally:
        database.run("alter role postgres reset all")
    monkeypatch.delenv("PGCLIENTENCODING")
    wanted = tf.read_snapshot(tmp_path).collect().sort("id")
    assert wanted.n_unique("name") == len(TEXTS)
    assert held(database, "runs", schema='a\\\' ""b; — ü').equals(wanted)


def test_u0000_becomes_another_sign_and_is_told_once(database: Database, tmp_path: Path) -> None:
    with_texts(tmp_path, ["a\0b\0", "fine", "\0"])
    with pytest.warns(tf.TallyfyFramesWarning) as told:
        tf.sync_postgres(tmp_path, database.dsn())
    (warning,) = [str(one.message) for one in told if "U+0000" in str(one.message)]
    assert warning.startswith("4 texts held U+0000"), "two names, and the same in lists"
    found = held(database, "runs")
    assert sorted(found["name"]) == ["a\ufffdb\ufffd", "fine", "\ufffd"]
    assert {text for texts in found["groups"] for text in texts} == {"a\ufffdb\ufffd", "fine", "\ufffd", "", None}


def test_what_users_added_stays(database: Database, tmp_path: Path) -> None:
    world = World(6, 20)
    write(tmp_path, world, "runs")
    tf.sync_postgres(tmp_path, database.dsn())
    database.run(
        "create view open_runs as select id, status from tallyfy.runs where completed_at is null",
        "grant usage on schema tallyfy to reader",
        "grant select on tallyfy.runs to reader",
        "create index mine on tallyfy.runs (lower(name))",
        "alter table tallyfy.runs add column note text",
        "comment on column tallyfy.runs.note is 'ours'",
        "update tallyfy.runs set note = 'of ' || id",
        "comment on column tallyfy.runs.status is null",
    )
    world.runs[2].name = "another"
    write(tmp_path, world, "runs")
    assert counts(tf.sync_postgres(tmp_path, database.dsn())) == {"runs": (0, 1, 19, 0)}
    assert database.read("select count(*) from tallyfy.runs where note = 'of ' || id").item() == 20
    assert database.read("select count(*) from tallyfy.runs", user="reader").item() == 20
    assert database.read("select count(*) from open_runs").item() > 0
    assert database.read("select count(*) from pg_indexes where indexname = 'mine'").item() == 1
    said = "select col_description(attrelid, attnum) from pg_attribute where attrelid = 'tallyfy.runs'::regclass and attname"
    assert database.read(f"{said} = 'note'").item() == "ours"
    assert database.read(f"{said} = 'status'").item().startswith("State when this was read")


def test_a_column_that_is_missing_is_added_and_filled(database: Database, whole: Path) -> None:
    tf.sync_postgres(whole, database.dsn())
    database.run("alter table tallyfy.runs drop column checklist_title cascade, drop column owner_id cascade")
    tf.sync_postgres(whole, database.dsn())
    assert_holds(database, whole, "runs")
    indexes = database.read("select indexdef from pg_indexes where tablename = 'runs'")["indexdef"]
    assert any("(owner_id)" in index for index in indexes), "the index for joins, too"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("alter table tallyfy.users alter column email type varchar(300)", r"column email of table users is character varying\(300\), not text"),
        ("drop view tallyfy.run_labels cascade; alter table tallyfy.users alter column id type numeric", "column id of table users is numeric, not bigint"),
        ("alter table tallyfy.users drop column gone_at cascade", "users in this schema is not a table of ours"),
        ("alter table tallyfy.users rename to people; create view tallyfy.users as select * from tallyfy.people", "users in this schema is not"),
        ("alter table tallyfy.snapshot rename column organization_id to whose", "snapshot in this schema is not a table of ours"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_as_ours_would_be_is_refused(database: Database, whole: Path, statement: str, message: str) -> None:
    tf.sync_postgres(whole, database.dsn())
    database.run(*statement.split("; "))
    with pytest.raises(tf.SinkError, match=message) as refused:
        tf.sync_postgres(whole, database.dsn())
    assert "--schema" in str(refused.value)


def test_an_older_snapshot_and_another_organization_are_refused(database: Database, whole: Path, tmp_path: Path) -> None:
    first = write(tmp_path, World(6, 20), "runs")
    second = write(tmp_path, World(6, 30), "runs")
    tf.sync_postgres(tmp_path, database.dsn())
    with pytest.raises(tf.SinkError, match=f"a newer snapshot .*held={second}, given={first}"):
        tf.sync_postgres(tmp_path, database.dsn(), at=first)
    write(tmp_path / "other", World(7, 20), "runs")
    with pytest.raises(tf.SinkError, match=r"holds another organization .*--schema"):
        tf.sync_postgres(tmp_path / "other", database.dsn())
    assert_holds(database, tmp_path)
    tf.sync_postgres(tmp_path / "other", database.dsn(), schema="other")
    assert held(database, "runs", schema="other").height == 20


def test_a_role_that_may_make_no_schema_uses_one_that_is_there(database: Database, whole: Path) -> None:
    database.run(f"revoke temporary on database {database.name} from public")
    with pytest.raises(
        tf.SinkError, match=r"a right is missing: permission denied to create temporary tables .*sqlstate=42501"
    ):
        tf.sync_postgres(whole, database.dsn("reader"))
    database.run(f"grant temporary on database {database.name} to reader")
    with pytest.raises(tf.SinkError, match="a right is missing: permission denied for database"):
        tf.sync_postgres(whole, database.dsn("reader"))
    database.run("create schema tallyfy authorization reader")
    tf.sync_postgres(whole, database.dsn("reader"))
    assert_holds(database, whole, "users")


@pytest.mark.parametrize("schema", ["", "x" * 64, "ü" * 32, "a\0b"])
def test_a_schema_that_cannot_have_its_name_is_refused(schema: str, whole: Path) -> None:
    with pytest.raises(tf.UsageError, match="1 to 63 bytes"):
        tf.sync_postgres(whole, "host=127.0.0.1 port=1", schema=schema)


@pytest.fixture
def two(database: Database, tmp_path: Path) -> tuple[Path, str, str]:
    """A root with two snapshots of six tables, of which the database holds the first; all but the users differ in the second."""
    first = write(tmp_path, World(6, 40), *SIX)
    second = write(tmp_path, World(6, 80), *SIX)
    tf.sync_postgres(tmp_path, database.dsn(), at=first)
    return tmp_path, first, second


SIX = ("users", "runs", "run_tasks", "run_tags", "task_owners", "run_form_values")  # a job's last table: run_form_values
LAST = "run_form_values"


def test_nobody_who_reads_is_in_the_way_nor_has_to_wait(database: Database, two: tuple[Path, str, str]) -> None:
    root, first, second = two
    counted = " union all ".join(f"select '{name}', count(*) from tallyfy.{name} where gone_at is null" for name in SIX)
    allowed = [
        {name: entry.rows for name, entry in read_manifest(root, at=one).tables.items()} for one in (first, second)
    ]  # fmt: skip
    ended, waits, seen = threading.Event(), [], []

    def read() -> None:
        with adbc_driver_postgresql.dbapi.connect(database.dsn(), autocommit=True) as connection, connection.cursor() as cursor:
            while not ended.is_set():
                began = time.monotonic()
                seen.append(dict(cursor.execute(counted).fetchall()))
                waits.append(time.monotonic() - began)

    reader = threading.Thread(target=read)
    with adbc_driver_postgresql.dbapi.connect(database.dsn()) as holding, holding.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read")
        before = cursor.execute(counted).fetchall()  # and the transaction goes on: what locked these tables would wait for it
        reader.start()
        tf.sync_postgres(root, database.dsn())
        ended.set()
        reader.join()
        assert dict(cursor.execute(counted).fetchall()) == dict(before) == allowed[0]
    assert len(seen) > 3
    assert all(one in allowed for one in seen), "all tables of one snapshot, or all of the other"
    assert max(waits) < 1


def test_a_new_column_does_not_wait_for_a_long_reader_for_ever(
    database: Database, two: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first, _ = two
    monkeypatch.setattr(postgres, "LOCK_WAIT_S", 0.1)
    database.run("alter table tallyfy.runs drop column status cascade")
    with adbc_driver_postgresql.dbapi.connect(database.dsn()) as holding, holding.cursor() as cursor:
        cursor.execute("select from tallyfy.runs limit 1").fetchall()
        with pytest.raises(tf.SinkError, match="another session held a table for longer than"):
            tf.sync_postgres(root, database.dsn())
    assert_holds(database, root, *(name for name in SIX if name != "runs"), at=first)
    tf.sync_postgres(root, database.dsn())
    assert_holds(database, root)


def test_of_jobs_at_once_each_finds_what_the_one_before_left(database: Database, whole: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: tf.sync_postgres(whole, database.dsn()), range(4)))
    runs = sorted(counts(one)["runs"] for one in done)
    assert runs == [(0, 0, 200, 0)] * 3 + [(200, 0, 0, 0)]
    assert_holds(database, whole)


def stuck(database: Database) -> None:
    """From now on, whoever writes to the last table waits there."""
    database.run(
        "create function stuck() returns trigger language plpgsql as 'begin perform pg_sleep(60); return new; end'",
        f"create trigger stuck before insert or update on tallyfy.{LAST} for each statement execute function stuck()",
    )


@contextmanager
def job_in_its_last_table(database: Database, root: Path) -> Iterator[subprocess.Popen[str]]:
    stuck(database)
    command = [*RUN, "sync", "postgres", str(root), "--dsn", database.dsn()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        try:
            sleeping = f"select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = '{database.name}'"
            until_s = time.monotonic() + 60
            while not database.read(sleeping).item():
                assert job.poll() is None
                assert time.monotonic() < until_s
            yield job
        finally:
            job.kill()


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "error: interrupted; nothing was written\n"),
        (signal.SIGTERM, 143, "error: terminated; nothing was written\n"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_a_job_that_a_signal_ends_half_way_has_changed_nothing(
    database: Database, two: tuple[Path, str, str], number: int, code: int, said: str
) -> None:
    root, first, _ = two
    with job_in_its_last_table(database, root) as job:
        job.send_signal(number)
        began = time.monotonic()
        assert (job.communicate(timeout=30)[1], job.returncode) == (said, code)
        assert time.monotonic() - began < 10, "it does not wait for the server's sleep"
    assert_holds(database, root, at=first)


def test_a_server_that_stops_half_way_has_changed_nothing(database: Database, two: tuple[Path, str, str]) -> None:
    root, first, _ = two
    with job_in_its_last_table(database, root) as job:
        database.control("stop", "-m", "immediate")
        try:
            assert re.match(
                "error: the connection to the server was lost|error: the server ended", job.communicate(timeout=30)[1]
            )
            assert job.returncode == 1
            done = run("sync", "postgres", root, "--dsn", database.dsn())
            assert (done.returncode, done.stderr) == (1, "error: no server listens there; is it running? check host and port\n")
        finally:
            database.control("start")
    assert_holds(database, root, at=first)


def test_an_error_in_the_last_table_has_changed_nothing_and_repeats_no_value(
    database: Database, two: tuple[Path, str, str]
) -> None:
    root, first, _ = two
    database.run(
        "create function no() returns trigger language plpgsql as 'begin raise exception ''not %'', new.label; end'",
        f"create trigger no before insert or update on tallyfy.{LAST} for each row execute function no()",
    )
    with pytest.raises(tf.SinkError) as refused:
        tf.sync_postgres(root, database.dsn())
    assert str(refused.value) == "the server refused (sqlstate=P0001)"
    assert_holds(database, root, at=first)
    database.run(f"drop trigger no on tallyfy.{LAST}")
    tf.sync_postgres(root, database.dsn())
    assert_holds(database, root)


def test_a_server_that_gives_up_has_changed_nothing(database: Database, two: tuple[Path, str, str]) -> None:
    root, first, _ = two
    stuck(database)
    with pytest.raises(tf.SinkError, match=r"the server cancelled a statement: .*see statement_timeout"):
        tf.sync_postgres(root, database.dsn(options="-c statement_timeout=2s"))
    assert_holds(database, root, at=first)


def test_a_file_that_is_damaged_is_told_and_nothing_is_changed(database: Database, two: tuple[Path, str, str]) -> None:
    root, first, second = two
    (file,) = (root / "snapshots" / second / LAST).iterdir()
    file.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(tf.SinkError, match=r"a file of the snapshot cannot be read .*verify"):
        tf.sync_postgres(root, database.dsn())
    assert_holds(database, root, at=first)
    file.unlink()
    with pytest.raises(tf.SinkError, match="a file of the snapshot is gone"):
        tf.sync_postgres(root, database.dsn())


def test_a_server_whose_disk_is_full_is_told(database: Database, two: tuple[Path, str, str]) -> None:
    root, first, _ = two
    small = Path(tempfile.mkdtemp(prefix="pg-small-"))
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True, check=False
    ).returncode:
        small.rmdir()
        pytest.skip("only root may mount a file system")
    try:
        shutil.chown(small, "postgres", "postgres")
        database.run(f"create tablespace small location '{small}'")
        with pytest.raises(tf.SinkError, match=r"the server's disk is full: .*sqlstate=53100.*make room there"):
            tf.sync_postgres(root, database.dsn(options="-c temp_tablespaces=small"))
        assert_holds(database, root, at=first)
        database.run("drop tablespace small")
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)
        small.rmdir()


SECRET = "nobody-may-see-this"
ODD = "s3cr3t/@ #%:'\\"


def ways(database: Database, password: str) -> dict[str, tuple[str, dict[str, str]]]:
    """A DSN and what must be in the environment, for each way to give a password."""
    base, quoted = database.dsn("guarded"), password.replace("\\", "\\\\").replace("'", "\\'")
    place = f"{database.host}:{database.port}/{database.name}"
    return {
        "a keyword": (f"{base} password='{quoted}'", {}),
        "an address": (f"postgresql://guarded:{quote(password, safe='')}@{place}", {}),
        "a parameter": (f"postgresql://guarded@{place}?password={quote(password, safe='')}", {}),
        "PGPASSWORD": (base, {"PGPASSWORD": password}),
        "PGPASSFILE": (base, {"PGPASSFILE": "passwords"}),
        "a service": ("service=ours", {"PGSERVICEFILE": "services"}),
        "the environment": ("", {"PGHOST": database.host, "PGPORT": str(database.port), "PGDATABASE": database.name, "PGUSER": "guarded", "PGPASSWORD": password}),
    }  # fmt: skip


def put_files(folder: Path, database: Database, password: str) -> None:
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    (folder / "passwords").write_text(f"*:*:*:guarded:{escaped}\n")
    (folder / "passwords").chmod(0o600)
    words = {"host": database.host, "port": database.port, "dbname": database.name, "user": "guarded", "password": password}
    (folder / "services").write_text("\n".join(["[ours]", *(f"{word}={value}" for word, value in words.items())]))


@pytest.fixture
def guarded(database: Database) -> Iterator[Database]:
    """A database whose role ``guarded`` has an odd password."""
    doubled = ODD.replace("'", "''")
    database.run("create schema tallyfy authorization guarded", f"alter role guarded password '{doubled}'")
    yield database
    database.run(f"alter role guarded password '{SECRET}'")


def test_a_password_comes_as_libpq_takes_it_and_is_shown_nowhere(guarded: Database, two_tables: Path, tmp_path: Path) -> None:
    for name, password, code, log_format in (("right", ODD, 0, "text"), ("wrong", f"{ODD}!", 1, "json")):
        put_files(tmp_path, guarded, password)
        for way, (dsn, env) in ways(guarded, password).items():
            done = run("sync", "postgres", two_tables, "--dsn", dsn, "--log-format", log_format, env=env, cwd=tmp_path)
            assert done.returncode == code, (name, way, done.stderr)
            assert "s3cr3t" not in done.stdout + done.stderr, way
            if code:
                assert "the server does not take the password" in done.stderr
    assert not [place for place in two_tables.rglob("*") if place.is_file() and b"s3cr3t" in place.read_bytes()]


@pytest.fixture(scope="module")
def two_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small")
    write(root, World(6, 20), "runs", "users")
    return root


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("host=127.0.0.1 port=1 password=s3cr3t", "no server listens there"),
        ("postgresql://u:s3cr3t@127.0.0.1:1/x", "no server listens there"),
        ("postgresql://u:s3cr3t@no-such-host.invalid/x", "there is no host of that name"),
        ("postgresql://u:p@s3cr3t.invalid/x", "there is no host of that name"),
        ("HERE dbname=s3cr3t", "the server has no such database"),
        ("HERE user=s3cr3t", "the server has no such role"),
        ("HERE sslmode=require password=s3cr3t", "the server and we do not agree on encryption"),
        ("HERE user=guarded", "the server wants a password"),
        ("HERE user=guarded password=s3cr3t", "the server does not take the password"),
        ("host=127.0.0.1 password='s3cr3t fo", "not a DSN that libpq understands"),
        ("postgresql://u:s3c r3t s3cr3t@127.0.0.1/x", "not a DSN that libpq understands"),
        ("postgresql://u:p/s3cr3t@127.0.0.1/x", "not a DSN that libpq understands"),
        ("postgresql://u:p%zzs3cr3t@127.0.0.1/x", "not a DSN that libpq understands"),
        ("postgresql+psycopg://u:s3cr3t@127.0.0.1/x", "not a DSN that libpq understands"),
        ("s3cr3t", "not a DSN that libpq understands"),
    ],
)
def test_whatever_is_wrong_with_a_dsn_is_told_without_it(database: Database, two_tables: Path, dsn: str, message: str) -> None:
    with pytest.raises(tf.TallyfyFramesError, match=message) as refused:
        tf.sync_postgres(two_tables, dsn.replace("HERE", database.dsn()))
    error: BaseException | None = refused.value
    assert isinstance(error, tf.UsageError if "libpq" in message else tf.SinkError)
    told = "".join(line for line in traceback.format_exception(error) if "s3cr3t" not in dsn or "dsn.replace" not in line)
    assert "s3cr3t" not in f"{error} {error!r} {vars(error)} {told}"
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ("alter role reader set default_transaction_read_only to on", "the server, or this role, may only read"),
        ("alter role reader connection limit 0", "the server has no connection left"),
    ],
)
def test_what_the_server_does_not_allow_is_told(database: Database, two_tables: Path, prepare: str, message: str) -> None:
    database.run("create schema tallyfy authorization reader", prepare)
    try:
        with pytest.raises(tf.SinkError, match=message):
            tf.sync_postgres(two_tables, database.dsn("reader"))
    finally:
        database.run("alter role reader reset all", "alter role reader connection limit -1")


def test_a_server_that_is_too_old_is_refused(database: Database, two_tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OLDEST", 99)
    with pytest.raises(tf.SinkError, match=r"the server is PostgreSQL \d\d; 99 or later is needed"):
        tf.sync_postgres(two_tables, database.dsn())


def test_a_database_that_cannot_keep_every_text_is_refused(database: Database, two_tables: Path) -> None:
    latin = f"{database.name}_latin"
    database.run(f"create database {latin} encoding 'LATIN1' locale 'C' template template0")
    try:
        with pytest.raises(tf.SinkError, match="the database keeps texts as LATIN1"):
            tf.sync_postgres(two_tables, database.dsn(dbname=latin))
    finally:
        database.run(f"drop database {latin} with (force)")


def test_the_command_says_what_became_of_each_table(database: Database, two_tables: Path) -> None:
    done = run("sync", "postgres", two_tables, "--dsn", database.dsn(), "--schema", "Our Data")
    assert done.stdout == f"{read_manifest(two_tables).snapshot}\n"
    assert done.stderr.splitlines() == [
        "warning: the snapshot has no run_tasks or tasks: waiting and waiting_per_step have no rows",
        "runs: 20 inserted, 0 changed, 0 unchanged, 0 gone",
        "users: 23 inserted, 0 changed, 0 unchanged, 0 gone",
    ]
    assert held(database, "users", schema="Our Data").height == 23
    synced = tf.sync_postgres(two_tables, database.dsn(), schema="Our Data")
    assert str(synced) == (
        f"{synced.snapshot}\nruns: 0 inserted, 0 changed, 20 unchanged, 0 gone\nusers: 0 inserted, 0 changed, 23 unchanged, 0 gone"
    )


def test_without_the_driver_the_extra_is_named(two_tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    with pytest.raises(tf.MissingExtra, match=r"pip install 'tallyfy-frames\[postgres\]'"):
        tf.sync_postgres(two_tables, "")


def test_the_page_on_postgres_tells_the_truth(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(World(1, 250)) as sandbox:
        code, said = run_page("docs/postgres.md", tmp_path, {**sandbox.environment, "DSN": database.dsn()}, "shell")
    assert code == 0, said
    page = (ROOT / "docs/postgres.md").read_text()
    assert "\nruns: 250 inserted, 0 changed, 0 unchanged, 0 gone\n" in said
    assert "\nruns: 250 inserted, 0 changed, 0 unchanged, 0 gone\n" in page
    assert "\nruns: 0 inserted, 0 changed, 250 unchanged, 0 gone\n" in said
    monkeypatch.chdir(tmp_path / "work")
    for block in blocks("docs/postgres.md", "py"):
        exec(block, {"DSN": database.dsn()})  # noqa: S102 - our own page
    for query in blocks("docs/postgres.md", "sql"):
        assert database.read(query).height > 10, query
    assert database.read("select count(*) from tallyfy.runs where custom_fields::jsonb is not null").item() > 0
    assert f"PostgreSQL {postgres.OLDEST} or later" in page
    assert f"longer than {postgres.LOCK_WAIT_S} s" in page
