"""docs/scheduling.md tells the truth: its commands run, and what it says of exit codes is what the files of deploy/ do."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path

from deployed import DEPLOY, ROOT, Machine, page_blocks, run_by, unit

from tallyfy_frames.errors import EXIT_CODES
from tallyfy_frames.sandbox import Sandbox, World

PAGE = (ROOT / "docs/scheduling.md").read_text()


def codes_where(words: str) -> set[int]:
    """The exit codes of the table's one row that holds the words."""
    (row,) = [line for line in PAGE.splitlines() if re.match(r"\| \d", line) and words in line]
    return {int(code) for code in re.findall(r"\d+", row.split("|")[1])}


def constant(name: str) -> object:
    """What the DAG's file gives a name; Airflow is not needed to know."""
    tree = ast.parse((DEPLOY / "airflow_dag.py").read_text())
    (value,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name]
    return ast.literal_eval(value)


def test_every_exit_code_is_in_its_table_once() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    codes = [int(code) for row in rows for code in re.findall(r"\d+", row)]
    assert sorted(codes) == sorted({0, *EXIT_CODES.values()})


def test_schedulers_fail_at_once_skip_and_retry_as_it_says() -> None:
    service = unit("tallyfy-snapshot.service")
    at_once = codes_where("failed at once")
    assert at_once == constant("FAIL_AT_ONCE") == {int(code) for code in service["RestartPreventExitStatus"][0].split()}
    (busy,) = codes_where("another job")
    assert busy == constant("BUSY") == int(service["SuccessExitStatus"][0])
    assert f"[ $? -eq {busy} ]" in (DEPLOY / "crontab").read_text()
    assert f"[ $? -eq {busy} ]" in (DEPLOY / "github-actions.yml").read_text()
    assert service["RestartSec"] == ["5min"]
    assert service["StartLimitBurst"] == ["4"], "three more tries"


def test_the_block_on_logs_runs(tmp_path: Path) -> None:
    (block,) = page_blocks("sh")
    machine = Machine(tmp_path)
    with Sandbox(World(1, 40)) as sandbox:
        env = {**sandbox.environment, "PATH": f"{machine.program.parent}:{os.environ['PATH']}"}
        done = run_by(["sh", "-e", "-c"], block, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder, last = done.stdout.splitlines()
    assert json.loads(last)["message"] == f"published {folder}"


def test_the_alert_is_about_a_metric_that_there_is(tmp_path: Path) -> None:
    (rules,) = page_blocks("yaml")
    machine = Machine(tmp_path)
    with Sandbox(World(1, 40)) as sandbox:
        command = f'"{machine.program}" snapshot "{machine.lake}" --metrics-file "{machine.metrics}"'
        done = run_by(["sh", "-c"], command, env=sandbox.environment)
    assert done.returncode == 0, done.stderr
    (metric,) = set(re.findall(r"tallyfy_frames_\w+", rules))
    assert re.search(rf"^{metric}(?:\{{.*\}})? [0-9.e+]+$", machine.metrics.read_text(), re.MULTILINE)
