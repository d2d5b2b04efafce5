"""The workflow: as GitHub's schema and a security linter see it, and its steps run one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from beside import Bucket, there, yaml
from deployed import DEPLOY, ROOT, run_by

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World

FILE = DEPLOY / "github-actions.yml"


def checked(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_a_workflow_by_githubs_schema() -> None:
    checked(there("check-jsonschema", "lint/bin"), "--builtin-schema", "vendor.github-workflows", FILE)


def test_a_security_linter_finds_nothing_however_strict() -> None:
    checked(there("zizmor", "lint/bin"), "--offline", "--no-config", "--persona", "auditor", FILE)


def test_the_linter_would_say_so_if_something_were_wrong(tmp_path: Path) -> None:
    careless = tmp_path / "careless.yml"
    careless.write_text(re.sub(r"@[0-9a-f]{40} # (v\S+)", r"@\1", FILE.read_text()))
    with pytest.raises(AssertionError, match="unpinned"):
        checked(there("zizmor", "lint/bin"), "--offline", "--no-config", careless)


@pytest.fixture
def steps() -> list[dict[str, Any]]:
    return yaml(FILE.read_text())["jobs"]["snapshot"]["steps"]


def filled(env: dict[str, str], facts: dict[str, str]) -> dict[str, str]:
    """What GitHub puts in for ``${{ secrets.NAME }}`` and ``${{ vars.NAME }}``."""
    return {
        name: re.sub(r"\$\{\{ (?:secrets|vars)\.(\w+) \}\}", lambda known: facts[known[1]], text) for name, text in env.items()
    }


def test_its_steps_install_take_a_snapshot_into_a_bucket_and_check_it(
    steps: list[dict[str, Any]], s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        facts = {**s3.environment, **sandbox.environment, "TALLYFY_LAKE": s3.root}
        runner = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TALLYFY_", "AWS_", "PYTHON"))},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(tmp_path),
            # Where the sandbox and the bucket are; those that are real need no telling.
            **{name: facts[name] for name in ("TALLYFY_BASE_URL", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP")},
        }
        for step in steps:
            if "run" not in step:
                assert step["uses"].startswith("actions/checkout@"), "this checkout stands for it"
                continue
            env = {**runner, **filled(step.get("env", {}), facts)}
            done = run_by(["bash", "-e", "-c"], step["run"], env=env, cwd=ROOT)
            assert done.returncode == 0, done.stdout + done.stderr
    assert s3.objects()
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    assert tf.read_snapshot(s3.root).collect().height == 40


def test_secrets_reach_the_steps_that_need_them_and_no_other(steps: list[dict[str, Any]]) -> None:
    given = {step.get("name"): set(re.findall(r"secrets\.(\w+)", str(step))) for step in steps}
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert given == {None: set(), "Install": set(), "Snapshot": {"TALLYFY_ACCESS_TOKEN", *keys}, "Verify": keys}
    assert not any("${{" in step.get("run", "") for step in steps), "no text from outside becomes a script"
