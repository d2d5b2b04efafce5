"""The service's commands, run in order with the environment its unit gives, and what it makes of exit codes."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import polars as pl
from deployed import DEPLOY, PROGRAM, Machine, service_commands, unit

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World

SERVICE = unit("tallyfy-snapshot.service")


def test_a_start_takes_a_snapshot_and_checks_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with Sandbox(World(1, 40)) as sandbox:
        given = dict(
            line.replace("%d", str(machine.secret(sandbox.token).parent)).split("=", 1) for line in SERVICE["Environment"]
        )
        environment = {**given, "TALLYFY_ORG_ID": sandbox.org_id, "TALLYFY_BASE_URL": sandbox.base_url}
        for words in service_commands(machine):
            done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert tf.read_snapshot(str(machine.lake)).select(pl.len()).collect().item() == 40
    assert machine.metrics.exists()


def test_what_the_service_may_write_to_is_where_its_commands_write() -> None:
    assert SERVICE["ProtectSystem"] == ["strict"]
    (state,), (other,) = SERVICE["StateDirectory"], SERVICE["ReadWritePaths"]
    snapshot = shlex.split(SERVICE["ExecStart"][0])
    assert snapshot[2].startswith(f"%S/{state}/")
    assert snapshot[snapshot.index("--metrics-file") + 1].startswith(other.removeprefix("-") + "/")


def test_the_token_comes_as_a_credential_and_stands_on_no_command_line() -> None:
    assert SERVICE["LoadCredential"] == ["token:/etc/tallyfy/token"]
    assert SERVICE["Environment"] == ["TALLYFY_ACCESS_TOKEN_FILE=%d/token"]
    assert all(shlex.split(command)[0] == PROGRAM and "token" not in command.lower() for command in SERVICE["ExecStart"])


def test_the_timer_starts_the_service() -> None:
    timer = unit("tallyfy-snapshot.timer")
    assert "Unit" not in timer, "so it starts the service of its own name"
    assert (DEPLOY / "tallyfy-snapshot.timer").with_suffix(".service").exists()
    assert timer["Persistent"] == ["true"]
