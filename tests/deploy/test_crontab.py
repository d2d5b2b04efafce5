"""The crontab's lines, run as cron runs them: /bin/sh, and next to no environment."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
from pathlib import Path

import polars as pl
import pytest
from deployed import Machine, crontab, run_by

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World

SNAPSHOT, VERIFY = crontab()[1]


def by_cron(command: str, machine: Machine, sandbox: Sandbox) -> subprocess.CompletedProcess[str]:
    """As cron(8) says: HOME, LOGNAME, SHELL, a short PATH, and what the crontab sets."""
    given = {name: machine.moved(value) for name, value in crontab()[0].items()}
    poor = {"HOME": str(machine.state), "LOGNAME": "tallyfy", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    ours = {"TALLYFY_ORG_ID": sandbox.org_id, "TALLYFY_BASE_URL": sandbox.base_url}
    return run_by(["/bin/sh", "-c"], command, env={**poor, **given, **ours}, cwd=machine.state)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_snapshot_and_its_check_say_nothing_that_cron_would_mail(machine: Machine) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        machine.secret(sandbox.token)
        for command in (SNAPSHOT, VERIFY):
            done = by_cron(command, machine, sandbox)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert tf.read_snapshot(str(machine.lake)).select(pl.len()).collect().item() == 40
    log = [json.loads(line) for line in (machine.state / "log.ndjson").read_text().splitlines()]
    assert [said["rows"] for said in log if "rows" in said] == [40]
    assert "tallyfy_frames" in machine.metrics.read_text()


def test_cron_mails_the_one_line_that_says_what_went_wrong(machine: Machine) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        machine.secret("no-such-token")
        done = by_cron(SNAPSHOT, machine, sandbox)
    said = json.loads(done.stdout)
    assert (said["level"], said["exit_code"]) == ("error", 3)
    assert "no-such-token" not in done.stdout


def test_another_job_that_is_still_at_it_is_not_worth_a_mail(machine: Machine) -> None:
    machine.lake.mkdir()
    with Sandbox(World(1, 40)) as sandbox, (machine.lake / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        machine.secret(sandbox.token)
        done = by_cron(SNAPSHOT, machine, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((machine.state / "log.ndjson").read_text().splitlines()[-1])["exit_code"] == 12


def test_what_is_broken_is_mailed(machine: Machine) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        machine.secret(sandbox.token)
        by_cron(SNAPSHOT, machine, sandbox)
        next((machine.lake / "current").resolve().rglob("*.parquet")).write_bytes(b"no parquet")
        done = by_cron(VERIFY, machine, sandbox)
    assert done.stdout


def test_the_token_is_in_a_file_not_in_the_crontab() -> None:
    variables, commands = crontab()
    assert "TALLYFY_ACCESS_TOKEN" not in variables
    assert Path(variables["TALLYFY_ACCESS_TOKEN_FILE"]).is_absolute()
    assert not [command for command in commands if re.search("token", command, re.IGNORECASE)]
