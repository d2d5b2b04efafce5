"""The DAG in an Airflow of its own, run against the sandbox: what each exit code makes of its tasks."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from beside import there
from deployed import DEPLOY, Machine

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World

HERE = Path(__file__).parent


class Airflow:
    """A database and a folder of DAGs that holds ours alone."""

    def __init__(self, home: Path) -> None:
        self.home, self.dags, self.python = home, home / "dags", there("python", "airflow/bin")
        self.dags.mkdir(parents=True)
        shutil.copy(DEPLOY / "airflow_dag.py", self.dags)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TALLYFY_", "AIRFLOW", "PYTHON"))},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        self.call("-m", "airflow", "db", "migrate")

    def call(self, *words: str, **environment: str) -> str:
        """What it printed."""
        done = subprocess.run(
            [self.python, *words],
            env={**self.environment, **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(
        self, sandbox: Sandbox, machine: Machine, *, token: str | None = None, seconds: Sequence[str] = ()
    ) -> tuple[dict[str, Any], str]:
        """One run of the DAG: what became of it, and what was logged."""
        account = {"conn_type": "generic", "login": sandbox.org_id, "password": token or sandbox.token}
        told = machine.folder / "told.json"
        logged = self.call(
            str(HERE / "airflow_run.py"), str(self.dags), str(told), "tallyfy_snapshot", *seconds,
            AIRFLOW_CONN_TALLYFY=json.dumps(account), AIRFLOW_VAR_TALLYFY_LAKE=str(machine.lake),
            AIRFLOW_VAR_TALLYFY_FRAMES=str(machine.program), TALLYFY_BASE_URL=sandbox.base_url,
        )  # fmt: skip
        return json.loads(told.read_text()), logged


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    return Airflow(tmp_path_factory.mktemp("airflow"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_airflow_finds_one_dag_and_nothing_wrong_with_it(airflow: Airflow, tmp_path: Path) -> None:
    airflow.call(str(HERE / "airflow_run.py"), str(airflow.dags), str(tmp_path / "told.json"))
    assert json.loads((tmp_path / "told.json").read_text()) == {"errors": {}, "dags": ["tallyfy_snapshot"]}


def test_a_run_takes_a_snapshot_and_checks_it(airflow: Airflow, machine: Machine) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        told, logged = airflow.run(sandbox, machine)
    assert (told["run"], told["tasks"]) == ("success", {"snapshot": ["success", 1], "verify": ["success", 1]}), logged
    assert tf.read_snapshot(str(machine.lake)).select(pl.len()).collect().item() == 40
    assert "runs: 40 rows" in logged, "the program's words are in the task's log"
    assert sandbox.token not in logged


def test_a_server_that_fails_for_a_while_is_asked_again_later(airflow: Airflow, machine: Machine) -> None:
    with Sandbox(World(1, 40), faults=["html-502@1x5"]) as sandbox:
        told, logged = airflow.run(sandbox, machine)
    assert told["tasks"] == {"snapshot": ["success", 2], "verify": ["success", 1]}, logged


def test_a_token_that_is_refused_fails_at_once(airflow: Airflow, machine: Machine) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        told, logged = airflow.run(sandbox, machine, token="no-such-token")
    assert (told["run"], told["tasks"]) == ("failed", {"snapshot": ["failed", 1], "verify": ["upstream_failed", 0]}), logged
    assert "no-such-token" not in logged


def test_where_another_job_is_at_it_the_run_is_skipped(airflow: Airflow, machine: Machine) -> None:
    machine.lake.mkdir()
    with Sandbox(World(1, 40)) as sandbox, (machine.lake / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told, logged = airflow.run(sandbox, machine)
    assert {name: state for name, (state, _) in told["tasks"].items()} == {"snapshot": "skipped", "verify": "skipped"}, logged


def test_what_is_broken_fails_the_check_and_is_not_checked_again(airflow: Airflow, machine: Machine) -> None:
    shebang, real = machine.program.read_text().splitlines()
    machine.program.write_text(f'{shebang}\n[ "$1" = verify ] && exit 10\n{real}\n')
    with Sandbox(World(1, 40)) as sandbox:
        told, logged = airflow.run(sandbox, machine)
    assert told["tasks"] == {"snapshot": ["success", 1], "verify": ["failed", 1]}, logged


def test_a_task_that_takes_too_long_takes_the_program_with_it(airflow: Airflow, machine: Machine) -> None:
    with Sandbox(World(1, 40), latency_ms=20_000) as sandbox:
        told, logged = airflow.run(sandbox, machine, seconds=["5"])
        assert told["tasks"] == {"snapshot": ["failed", 1], "verify": ["upstream_failed", 0]}, logged
        running = subprocess.run(["pgrep", "-f", f"snapshot {machine.lake}"], capture_output=True, check=False)
    assert (running.returncode, running.stdout) == (1, b"")
    assert not (machine.lake / "current").exists()
