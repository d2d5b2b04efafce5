"""The README tells the truth: its code runs, its commands and links exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import datetime, tzinfo
from pathlib import Path

import polars as pl
import pytest
from documents import ROOT, blocks
from shell import run

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.errors import EXIT_CODES
from tallyfy_frames.lake import snapshot as lake
from tallyfy_frames.sandbox import Sandbox, World

README = (ROOT / "README.md").read_text()


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> object:
    with Sandbox(World(1, 60)) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def test_python_blocks_run(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tf.write_snapshot("lake")
    space: dict[str, object] = {}
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), space)  # noqa: S102 - our own README
    assert isinstance(space["runs"], pl.DataFrame)
    assert space["late"].height > 5, "an example that finds nothing shows nothing"
    read_back = eval(compile(blocks("README.md", "python")[-1].strip(), "README.md", "eval"), space)  # noqa: S307
    assert set(read_back["status"]) == set(tf.read_snapshot("lake").collect()["status"])


def test_the_rows_shown_are_those_of_the_sandbox(sandbox: Sandbox) -> None:
    shown = [line for line in README.splitlines() if line.startswith("│")]
    columns = [cell.strip() for cell in shown[0].strip("│").split("┆")]
    with pl.Config(tbl_hide_column_data_types=True, tbl_width_chars=120):
        made = str(tf.load_runs({"status": "active"}).select(columns).head(3)).splitlines()
    assert [line for line in made if line.startswith("│")] == shown


class LateMarch(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime(2026, 3, 28, tzinfo=tz)


def test_the_table_of_calls_runs(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as then:
        then.setattr(lake, "datetime", LateMarch)
        tf.write_snapshot("lake")  # what was there when April began
    table = [line for line in README.splitlines() if line.startswith("| ") and "tf." in line]
    calls = [call for line in table for call in re.findall(r"`([^`]*tf\.[^`]*)`", line)]
    assert len(calls) >= 10
    for call in calls:
        if "sync_postgres" in call:  # needs a server: tests/services/test_postgres.py
            continue
        exec(compile(call.replace(": …", ": pass"), "README.md", "exec"), {"tf": tf})  # noqa: S102
    assert tf.read_snapshot("lake").collect().height == 60


def test_the_commands_are_those_there_are(sandbox: Sandbox, tmp_path: Path) -> None:
    listed = {*re.findall(r"^tallyfy-frames ([a-z ]+?)(?: [A-Z]+| \[[A-Z]+\])?  ", README, flags=re.MULTILINE)}
    assert {"doctor", "dashboard superset"} < listed
    groups = {tuple(command.split()[:-1]) for command in listed}
    helps = {group: run(*group, "--help").stdout for group in groups}
    for command in listed:
        *group, name = command.split()
        assert re.search(rf"│ {name} ", helps[tuple(group)]), command
    lines = [line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("tallyfy-frames ")]
    assert len(lines) >= 5
    for line in lines:
        done = run(*line.split("#")[0].split(">")[0].split()[1:], env=sandbox.environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_headers_shown_are_those_it_takes(sandbox: Sandbox) -> None:
    (shell,) = re.findall(r"```\n(curl .*?)```", README, flags=re.DOTALL)
    command = ["sh", "-c", shell.replace("curl", "curl -s --noproxy '*'", 1)]
    done = subprocess.run(command, env={**os.environ, **sandbox.environment}, capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["data"]) == 1


def test_every_exit_code_is_explained() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)} == {0, *EXIT_CODES.values()}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), target


def test_every_file_of_the_house_is_on_its_plan() -> None:
    plan = (ROOT / "CONTRIBUTING.md").read_text()
    for place in (ROOT / "tallyfy_frames").rglob("*.py"):
        if place.name not in {"__init__.py", "_version.py", "formats.py"} and place.parent.name not in {
            "tables",
            "lake",
            "lists",
        }:
            assert place.name in plan, place


def test_the_plan_shown_is_the_sandboxs(tmp_path: Path) -> None:
    """But for the times."""
    (shown,) = re.findall(r"```\n\$ tallyfy-frames (snapshot lake .*--plan)\n(.*?)```", README, flags=re.DOTALL)
    with Sandbox(World(1, 250)) as running:
        done = run(*shown[0].split(), env=running.environment, cwd=tmp_path)
    assert [line.partition(",")[0] for line in done.stdout.splitlines()] == [
        line.partition(",")[0] for line in shown[1].splitlines()
    ]


def test_every_table_is_named() -> None:
    (listed,) = re.findall(r"## Every table\n(.*?)\n\n[A-Z]", README, flags=re.DOTALL)
    assert {*re.findall(r"`([a-z_]+)`", listed)} == {*tables.TABLES}
    assert f"{len(tables.TABLES)}" == "22", "and the README says how many: twenty-two"
