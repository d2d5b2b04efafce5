"""Bad input on the command line: one clear error of the right kind, its exit code, nothing half-written, no token anywhere."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import run

from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]


def assert_refused(done: subprocess.CompletedProcess[str], code: int, says: str, token: str = "tok-0123") -> None:
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert token not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr


HERE = {"TALLYFY_ACCESS_TOKEN": "tok-0123", "TALLYFY_ORG_ID": "0f", "TALLYFY_BASE_URL": "http://127.0.0.1:9/api"}


@pytest.mark.parametrize(
    ("words", "env", "code", "says"),
    [
        (["load", "runs"], {}, 2, "no access token"),
        (["load", "runs"], {"TALLYFY_ACCESS_TOKEN": "tok-0123"}, 2, "no organization id"),
        (["load", "runs"], {**HERE, "TALLYFY_BASE_URL": "http://go.tallyfy.com/api"}, 2, "plain http"),
        (["load", "runs"], {**HERE, "TALLYFY_ACCESS_TOKEN": "Bearer tok-0123"}, 2, "without the word Bearer"),
        (["load", "runs", "--status", "completed"], HERE, 7, "use 'complete'"),
        (["load", "runs", "--created-since", "soon"], HERE, 2, "is no date"),
        (["load", "runs", "--limit", "0"], HERE, 2, "limit must be"),
        (["load", "runs", "--on-invalid", "ignore"], HERE, 2, "'quarantine'"),
        (["snapshot", "lake", "--filter", "statsu=active"], HERE, 7, "did you mean status"),
        (["snapshot", "lake", "--filter", "status"], HERE, 7, "NAME=VALUE"),
        (["snapshot", "lake", "--table", "runz"], HERE, 2, "no table 'runz'"),
        (["snapshot", "/proc/lake"], HERE, 1, "cannot write"),
        (["tables", "runz"], {}, 2, "no table 'runz'"),
        (["snapshot", "lake", "--filter", "type=form", "--filter", "type=document"], HERE, 7, "type is given twice"),
        (["snapshot", "ftp://bucket/lake"], HERE, 2, "is no place for snapshots"),
        (["snapshot", "s3://KEY:SECRET@bucket/lake"], HERE, 2, "the address is not SCHEME://BUCKET/PREFIX"),
        (
            ["snapshot", "s3://bucket/lake"],
            {**HERE, "AWS_ENDPOINT_URL": "127.0.0.1:9"},
            2,
            "AWS_ENDPOINT_URL is no http(s) address",
        ),
        (["snapshot", ""], HERE, 2, "the root is empty"),
        (["snapshot", "lake", "--keep", "0"], HERE, 2, "keep must be a whole number from 1"),
        (["sandbox", "--fault", "nonsense"], {}, 2, "no fault 'nonsense'"),
        (["doctor"], {}, 2, "no access token"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(
    tmp_path: Path, words: list[str], env: dict[str, str], code: int, says: str
) -> None:
    assert_refused(run(*words, env=env, cwd=tmp_path), code, says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["load", "runs", "--statsu", "active"], ["load", "runz"], ["snapshot"], ["nonsense"]])
def test_a_misspelt_word_is_bad_usage(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_nobody_at_the_address_is_said_with_what_to_check() -> None:
    assert_refused(run("load", "runs", "--limit", "1", env=HERE), 1, "check the network and TALLYFY_BASE_URL")


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"TALLYFY_ACCESS_TOKEN": "wrong-token"}, 3, "get a new personal access token"),
        ({"TALLYFY_ORG_ID": "0123456789abcdef0123456789abcdef"}, 3, "check TALLYFY_ORG_ID"),
    ],
)
def test_a_wrong_token_or_organization(serve: Serve, tmp_path: Path, changes: dict[str, str], code: int, says: str) -> None:
    sandbox = serve(world=World(1, 20))
    env = {**sandbox.environment, **changes}
    for words in (["load", "runs"], ["snapshot", tmp_path / "lake"], ["doctor"]):
        done = run(*words, env=env)
        assert done.returncode in ({code, 2} if words == ["doctor"] else {code})
        assert changes.get("TALLYFY_ACCESS_TOKEN", sandbox.token) not in done.stderr + done.stdout
        if words != ["doctor"]:
            assert_refused(done, code, says, token=env["TALLYFY_ACCESS_TOKEN"])
    assert not (tmp_path / "lake" / "current").exists()


FINAL = {"empty-page@3+", "half-page@2+", "bad-cell@2+", "oversized@3"}


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("token-revoked@3", 3, "get a new personal access token"),
        ("html-200@3+", 10, "the body is not JSON"),
        ("half-json@3+", 10, "the body is not JSON"),
        ("cut-body@3+", 1, "the connection failed"),
        ("empty-body@3+", 10, "the body is not JSON"),
        ("data-null@3+", 10, "holds no list of rows"),
        ("error-200@3+", 10, "reports an error with status 200"),
        ("empty-page@3+", 11, "could not be read completely"),
        ("half-page@2+", 11, "could not be read completely"),
        ("duplicate-row@3+", 11, "the same row twice"),
        ("bad-cell@2+", 10, "the contract of runs"),
        ("429-hour@3", 6, "retry_after_s=3000"),
        ("echo-token@3", 1, "***"),
        ("echo-token-200@3+", 10, "***"),
        ("sql-500@3+", 1, "the server failed"),
        ("foreign-redirect@3", 1, "redirects are never followed"),
        ("oversized@3", 10, "larger than"),
    ],
)
@pytest.mark.parametrize("command", ["load", "snapshot"])
def test_an_answer_that_is_none(serve: Serve, tmp_path: Path, command: str, fault: str, code: int, says: str) -> None:
    sandbox = serve(world=World(1, 250), faults=[fault])
    words = ["load", "runs", "--output", tmp_path / "runs.csv"] if command == "load" else ["snapshot", tmp_path / "lake"]
    done = run(*words, env=sandbox.environment, quickly=True)
    assert_refused(done, code, says, token=sandbox.token)
    assert "SQLSTATE" not in done.stderr
    assert not (tmp_path / "runs.csv").exists()
    # What may go better next time leaves what it has read, for the next time; what came of the rows that were read leaves nothing.
    left = {place.name for place in (*tmp_path.iterdir(), *tmp_path.glob("lake/*"))}
    assert left == ({"lake", ".lock", ".spool"} if command == "snapshot" and fault not in FINAL else set())
    assert (".spool" in left) == ("answers_kept=" in done.stderr)


def test_a_full_disk_leaves_the_old_snapshot_and_gives_its_space_back(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(1, 250))
    lake = tmp_path / "lake"
    first = run("snapshot", lake, env=sandbox.environment)
    assert first.returncode == 0, first.stderr
    before = sorted(place for place in lake.rglob("*"))

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = run("snapshot", lake, env=sandbox.environment, preexec_fn=small_files_only)
    assert_refused(done, 1, "cannot write", token=sandbox.token)
    assert sorted(place for place in lake.rglob("*") if place.name != ".spool") == before


def test_a_root_of_something_else_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = run("snapshot", tmp_path, env=serve(world=World(1, 5)).environment)
    assert_refused(done, 1, "holds something else: notes.txt")
    assert [place.name for place in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_a_full_or_closed_standard_output_is_a_clear_error(serve: Serve, form: str) -> None:
    sandbox = serve(world=World(1, 60))
    for shell in (
        f"{sys.executable} -m tallyfy_frames load runs -f {form} > /dev/full",
        f"{sys.executable} -m tallyfy_frames load runs -f {form} >&-",
    ):
        env = {**os.environ, **sandbox.environment}
        done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=False)
        assert_refused(done, 1, "cannot write to standard output", token=sandbox.token)
