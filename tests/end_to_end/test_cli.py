"""The command line: data on standard output, words on standard error, exit codes, and nothing a terminal would run."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import settings_for
from shell import RUN, run

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake.lock import locked
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sinks import stream
from tallyfy_frames.sinks.formats import Format

Serve = Callable[..., Sandbox]


@pytest.fixture
def sandbox(serve: Serve) -> Sandbox:
    return serve(world=World(1, 120))


def on_a_terminal(*words: str, env: dict[str, str]) -> str:
    """What a person would see, standard output and error together."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*RUN, *words], env={**os.environ, **env, "COLUMNS": "120", "TERM": "xterm"}, stdout=follower, stderr=follower
    ):
        os.close(follower)
        seen = b""
        ends_at = time.monotonic() + 60
        while time.monotonic() < ends_at:
            if select.select([leader], [], [], 0.2)[0]:
                try:
                    chunk = os.read(leader, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                seen += chunk
    os.close(leader)
    return seen.decode(errors="replace")


def test_csv_is_the_frame(sandbox: Sandbox) -> None:
    done = run("load", "runs", "--status", "active", "--format", "csv", env=sandbox.environment)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    frame = tf.load_runs({"status": "active"}, settings=settings_for(sandbox))
    assert [row["id"] for row in rows] == frame["id"].to_list()
    assert list(rows[0]) == list(frame.columns)
    assert not [row for row in rows if row["name"][:1] in tuple("=+-@")]
    assert [row["name"] for row in rows if row["name"].startswith("'")]


@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_ndjson_keeps_the_contract(sandbox: Sandbox) -> None:
    from jsonschema import Draft202012Validator, FormatChecker  # noqa: PLC0415

    for table in tables.TABLES:
        if table in {"runs", "activity", "run_tasks"}:
            printed = run("load", table, "--format", "ndjson", env=sandbox.environment).stdout
        else:  # the same, without a process of its own
            frame = tf.load(table, settings=settings_for(sandbox))
            printed = stream.render(frame, Format.ndjson, table=tables.get(table)).decode()
        contract = json.loads(Path("schemas", f"{table}.json").read_text())
        check = Draft202012Validator(contract, format_checker=FormatChecker())
        rows = [json.loads(line) for line in printed.splitlines()]
        assert rows
        for row in rows:
            check.validate(row)
        broken = {**rows[0], "loaded_at": "yesterday"}
        assert list(check.iter_errors(broken)), "a check that cannot fail checks nothing"


def test_parquet_goes_to_a_pipe_or_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    out = tmp_path / "runs.parquet"
    done = run("load", "runs", "--format", "parquet", "--output", out, env=sandbox.environment)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(out).height == sum(run.archived_at is None for run in sandbox.world.runs)
    piped = subprocess.run(
        [*RUN, "load", "runs", "-f", "parquet"], env={**os.environ, **sandbox.environment}, capture_output=True, check=True
    )
    assert pl.read_parquet(io.BytesIO(piped.stdout)).height == pl.read_parquet(out).height


def test_standard_output_may_be_named(sandbox: Sandbox, tmp_path: Path) -> None:
    done = run("load", "users", "-f", "ndjson", "-o", "-", env=sandbox.environment, cwd=tmp_path)
    assert len(done.stdout.splitlines()) == len(sandbox.world.users)
    assert list(tmp_path.iterdir()) == []
    log = tmp_path / "log.ndjson"
    log.write_text("kept\n")
    with log.open("a") as file:  # as /dev/stdout is
        command = [*RUN, "load", "users", "-o", str(log)]
        subprocess.run(command, env={**os.environ, **sandbox.environment}, stdout=file, check=True)
    assert log.read_text().startswith("kept\n")
    assert len(log.read_text().splitlines()) == 1 + len(sandbox.world.users)


def test_an_output_that_is_no_file_is_refused_before_anything_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.csv").symlink_to("pipe")
    for place in ("pipe", "link.csv", "."):
        done = run("load", "runs", "-o", place, env=sandbox.environment, cwd=tmp_path)
        assert done.returncode == 1
        assert "cannot write" in done.stderr
        assert done.stdout == ""
    assert sandbox.requests == []
    assert {place.name for place in tmp_path.iterdir()} == {"pipe", "link.csv"}


def test_filters_are_options_and_limit_takes_the_newest(sandbox: Sandbox) -> None:
    asked = ["--type", "form", "--starred", "--archived", "include", "--limit", "3", "-f", "ndjson"]
    rows = [json.loads(line) for line in run("load", "runs", *asked, env=sandbox.environment).stdout.splitlines()]
    assert all(row["type"] == "form" and row["starred"] for row in rows)
    assert len(rows) <= 3
    help_text = run("load", "runs", "--help", env={"COLUMNS": "200"}).stdout
    for field in dataclasses.fields(tf.RunFilters):
        assert f"--{field.name.replace('_', '-')}" in help_text


def test_a_list_filter_may_come_twice_or_with_commas(sandbox: Sandbox, tmp_path: Path) -> None:
    wanted = {run.id for run in sandbox.world.runs if run.status in {"active", "complete"} and not run.archived_at}
    for words in (["--status", "active", "--status", "complete"], ["--status", "active,complete"]):
        rows = [
            json.loads(line)
            for line in run("load", "runs", *words, "-f", "ndjson", env=sandbox.environment).stdout.splitlines()
        ]
        assert {row["id"] for row in rows} == wanted
    twice = ["--filter", "status=active", "--filter", "status=complete", "--filter", "starred=false"]
    assert run("snapshot", tmp_path / "lake", *twice, env=sandbox.environment).returncode == 0
    assert set(tf.read_snapshot(tmp_path / "lake").collect()["status"]) == {"active", "complete"}


@pytest.mark.parametrize(
    ("sent", "code", "says"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "hung up")]
)
def test_a_signal_ends_it_at_once_and_leaves_nothing_that_could_be_taken_for_a_result(
    serve: Serve, tmp_path: Path, sent: str, code: int, says: str
) -> None:
    slow = serve(world=World(1, 500), latency_ms=300)
    for words in (["load", "runs", "-o", str(tmp_path / "out.csv")], ["snapshot", str(tmp_path / "lake")]):
        before = len(slow.requests)
        with subprocess.Popen([*RUN, *words], env={**os.environ, **slow.environment}, stderr=subprocess.PIPE, text=True) as job:
            while len(slow.requests) < before + 2:
                time.sleep(0.01)
            job.send_signal(signal.Signals[sent])
            began = time.monotonic()
            assert job.wait(10) == code
            assert time.monotonic() - began < 2
            assert job.stderr is not None
            (line,) = job.stderr.read().splitlines()
            assert re.match(rf"error: {says}; (nothing was written|\d+ answers are kept)", line)
    assert {place.name for place in tmp_path.rglob("*")} <= {"lake", ".lock", ".spool"}


def test_a_second_sigterm_does_not_keep_the_first_from_cleaning_up(serve: Serve, tmp_path: Path) -> None:
    slow = serve(world=World(1, 500), latency_ms=300)
    words = ["snapshot", str(tmp_path / "lake")]
    with subprocess.Popen([*RUN, *words], env={**os.environ, **slow.environment}, stderr=subprocess.PIPE, text=True) as job:
        while len(slow.requests) < 3:
            time.sleep(0.01)
        job.terminate()  # as `timeout` does: to the process, then to its group
        job.terminate()
        assert job.wait(10) == 143
        assert job.stderr is not None
        assert "error: terminated" in job.stderr.read()


SWALLOWERS = {
    "a destructor": """
class Swallows:
    def __del__(self):
        raised()
def swallow():
    Swallows()
""",
    "a bare except": """
def swallow():
    try:
        raised()
    except:
        pass
""",
    "a library that turns it into an error of its own": """
class Panic(BaseException):
    pass
def swallow():
    try:
        raised()
    except KeyboardInterrupt:
        raise Panic from None
""",
    "a callback that C asked": """
class Swallows:
    @property
    def __array_interface__(self):
        raised()
import ctypes
def swallow():
    ctypes.pythonapi.PyObject_HasAttrString(ctypes.py_object(Swallows()), b"__array_interface__")
""",
}


@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("swallower", SWALLOWERS)
def test_a_signal_that_somebody_swallows_is_not_lost(sent: str, code: int, swallower: str) -> None:
    program = f"""
import os, signal, time
import typer
from tallyfy_frames.cli._command import speaking
from tallyfy_frames.voice import LogFormat

times = 0
def raised():
    global times
    times += 1
    if times == 1:
        os.kill(os.getpid(), signal.{sent})
        time.sleep(0.1)
{SWALLOWERS[swallower]}
def main():
    with speaking(LogFormat.text):
        swallow()
        time.sleep(5)
        print("went on to its end")
typer.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert not done.stdout
    assert re.fullmatch(r"error: (interrupted|terminated); nothing was written\n", done.stderr)


def test_a_pipe_is_silent_but_for_one_summary(sandbox: Sandbox) -> None:
    done = run("load", "runs", env=sandbox.environment)
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"\d+ runs, \d+ pages, \d+ requests, .* s, proof: \w+.*", lines[-1])
    assert all(re.match(r"warning: runs: (keys that no column knows|words that no table lists)", line) for line in lines[:-1])
    assert "\x1b" not in done.stderr


def test_log_format_json_is_json_throughout(sandbox: Sandbox, tmp_path: Path) -> None:
    for words in (["load", "runs"], ["snapshot", tmp_path / "lake"], ["doctor"], ["load", "runs", "--status", "completed"]):
        done = run(*words, "--log-format", "json", env=sandbox.environment)
        entries = [json.loads(line) for line in done.stderr.splitlines()]
        assert entries
        assert {"time", "level", "message"} <= set(entries[-1])
    assert entries[-1]["exit_code"] == 7


def test_a_terminal_gets_a_bar_a_table_and_no_control_characters(sandbox: Sandbox) -> None:
    seen = on_a_terminal("load", "runs", env=sandbox.environment)
    assert "rows/s" in seen
    assert "shape: (" in seen
    raw = on_a_terminal("load", "runs", "--format", "csv", env=sandbox.environment)
    for shown in (seen, raw):
        assert "\x1b[31mred" not in shown, "an escape from a process name reached the terminal"
        assert "\u202e" not in shown
    assert "\\x1b[31mred" in raw


def test_a_snapshot_names_its_folder_on_standard_output(sandbox: Sandbox, tmp_path: Path) -> None:
    done = run(
        "snapshot", tmp_path / "lake", "--table", "runs", "--table", "users", "--filter", "type=form", env=sandbox.environment
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).samefile(tmp_path / "lake" / "current")
    wanted = sum(run.type == "form" for run in sandbox.world.runs)
    assert tf.read_snapshot(tmp_path / "lake").collect().height == wanted
    shrunk = run("snapshot", tmp_path / "lake", env={**sandbox.environment})
    assert shrunk.returncode == 11
    assert "--allow-shrink" in shrunk.stderr


@pytest.mark.parametrize("words", [["load", "runs"], ["snapshot", "lake"]])
def test_pace_and_patience_are_options(serve: Serve, tmp_path: Path, words: list[str]) -> None:
    sandbox = serve(world=World(1, 700), limits=["4/1"])

    def run_with(*options: str) -> subprocess.CompletedProcess[str]:
        return run(*words, *options, env=sandbox.environment, cwd=tmp_path)

    impatient = run_with("--max-wait-s", "0.5")
    assert impatient.returncode == 6, impatient.stderr
    patient = run_with("--max-wait-s", "20", "--max-requests-per-minute", "1000")
    assert patient.returncode == 0, patient.stderr
    assert run_with("--max-wait-s", "-1").returncode == 2
    assert "must be whole, from 1" in run_with("--max-requests-per-minute", "0").stderr


def test_a_held_lock_is_exit_code_twelve_and_names_the_holder(sandbox: Sandbox, tmp_path: Path) -> None:
    with locked(tmp_path):
        done = run("snapshot", tmp_path, env=sandbox.environment)
    assert done.returncode == 12
    assert f"pid={os.getpid()}" in done.stderr


def test_tables_lists_every_column_with_its_meaning(sandbox: Sandbox) -> None:
    assert [line.split("\t")[0] for line in run("tables").stdout.splitlines()] == list(tables.TABLES)
    lines = run("tables", "runs").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == tables.get("runs").schema.names()
    assert all(line.split("\t")[-1] for line in lines)
    assert "progress_percent" in on_a_terminal("tables", "runs", env={})


def test_doctor_says_what_it_found_and_what_to_do_next(sandbox: Sandbox, serve: Serve) -> None:
    done = run("doctor", env=sandbox.environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("✓") == 5
    assert "→ tallyfy-frames load runs" in done.stderr
    assert done.stdout == ""
    wrong = run("doctor", env={**sandbox.environment, "TALLYFY_ORG_ID": "0f"})
    assert wrong.returncode == 2
    assert sandbox.org_id in wrong.stderr, "it names the organization that would work"
    assert run("doctor", env={**sandbox.environment, "TALLYFY_ACCESS_TOKEN": "old"}).returncode == 3
    closed = serve(world=World(1, 5), quirks=["me-forbidden"])
    untold = run("doctor", env=closed.environment)
    assert untold.returncode == 0
    assert [line[0] for line in untold.stderr.splitlines() if "→" not in line] == ["✓", "?", "✓", "?", "✓"]
    entries = [json.loads(line) for line in run("doctor", "--log-format", "json", env=closed.environment).stderr.splitlines()]
    assert [entry["ok"] for entry in entries if "ok" in entry] == [True, None, True, None, True]
    light = serve(world=World(2, 5))
    light.world.users.sort(key=lambda user: user.role != "light")
    assert "only administrators see every run" in run("doctor", env=light.environment).stderr


def test_whoever_stops_reading_is_no_error(sandbox: Sandbox) -> None:
    command = f"{sys.executable} -m tallyfy_frames load runs -f csv | head -1"
    done = subprocess.run(
        ["sh", "-c", command], env={**os.environ, **sandbox.environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("id,increment_id")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_sandbox_that_is_told_to_end_says_how_much_it_served() -> None:
    command = [*RUN, "sandbox", "--runs", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        while server.stdout.readline() != "ready\n":
            pass
        server.terminate()
        assert server.wait(10) == 0
        assert server.stderr is not None
        assert server.stderr.read() == "0 requests served\n"


@contextmanager
def serving(*words: str) -> Iterator[dict[str, str]]:
    with subprocess.Popen([*RUN, "sandbox", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(4)]
        try:
            yield dict(line.strip().removeprefix("export ").split("=", 1) for line in lines[:3])
        finally:
            server.terminate()


def test_the_sandbox_command_serves_the_load_command() -> None:
    with serving(
        "--runs", "30", "--fault", "html-502@2", "--quirk", "no-total-pages", "--limit", "100/1", "--latency-ms", "1"
    ) as env:
        done = run("load", "runs", "--archived", "include", "-f", "ndjson", env=env)
    assert len(done.stdout.splitlines()) == 30


def test_a_sandbox_whose_list_moves_says_so_by_name_and_serves() -> None:
    assert {"all", "archive", "swap"} <= {line.split("\t")[0] for line in run("sandbox", "--live", "list").stdout.splitlines()}
    with serving("--runs", "150", "--live", "rename:3", "--live", "archive@500", "--live-seed", "7") as env:
        done = run("load", "runs", "--archived", "include", "-f", "ndjson", env=env)
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    assert len(names) == 150
    assert sorted(names) != sorted(run.name for run in World(1, 150).runs)
    wrong = run("sandbox", "--live", "archive:often")
    assert wrong.returncode == 2
    assert "restore-old" in wrong.stderr


def test_the_sandbox_lists_its_faults_and_quirks() -> None:
    assert "empty-page\t" in run("sandbox", "--fault", "list").stdout
    assert "total-low\t" in run("sandbox", "--quirk", "list").stdout


def test_the_demo_leaves_a_snapshot_and_a_picture(tmp_path: Path) -> None:
    done = run("demo", tmp_path / "demo", "--runs", "200")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "status.png").read_bytes().startswith(b"\x89PNG")
    assert tf.read_snapshot(tmp_path / "demo" / "lake").collect().height == 200
    assert "active" in done.stdout
    assert "█" in done.stdout


def test_a_duckdb_file_follows_the_snapshots(sandbox: Sandbox, tmp_path: Path) -> None:
    done = run("snapshot", "lake", "--duckdb", "views.duckdb", env=sandbox.environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no users: user ids stand for names" in done.stderr
    with duckdb.connect(str(tmp_path / "views.duckdb"), read_only=True) as connection:
        ((name, runs),) = connection.sql("select snapshot, (select count(*) from runs) from snapshot").fetchall()
    assert done.stdout.strip().endswith(name)
    assert runs == len(sandbox.world.runs)
    again = run("dashboard", "duckdb", "lake", cwd=tmp_path)
    assert (again.returncode, again.stdout.strip()) == (0, str(tmp_path / "lake.duckdb"))


def test_a_duckdb_file_that_cannot_be_is_refused_before_anything_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for words, code, says in (
        (["lake", "--duckdb", "notes.txt"], 1, "DuckDB cannot read"),
        (["lake", "--duckdb", "missing/views.duckdb"], 1, "no such folder"),
        (["s3://bucket/lake", "--duckdb", "views.duckdb"], 2, "not in a bucket"),
    ):
        done = run("snapshot", *words, env=sandbox.environment, cwd=tmp_path)
        assert done.returncode == code
        assert says in done.stderr
    assert sandbox.requests == []
    assert [place.name for place in tmp_path.iterdir()] == ["notes.txt"]
