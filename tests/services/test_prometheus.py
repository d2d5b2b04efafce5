"""The alert of docs/scheduling.md goes off when it should, and the metrics are as Prometheus wants them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from beside import there
from deployed import Machine, page_blocks, run_by

from tallyfy_frames.sandbox import Sandbox, World

METRIC = "tallyfy_frames_snapshot_created_timestamp_seconds"


@pytest.mark.parametrize(
    ("success_at_s", "now", "fires"),
    [
        (0, "25h", False),
        (0, "30h5m", False),
        (0, "30h15m", True),
        (7200, "30h15m", False),
        (None, "5m", False),
        (None, "15m", True),
    ],
    ids=["fresh", "late, not for long", "late", "since renewed", "never, not for long", "never"],
)
def test_it_goes_off_thirty_hours_after_the_last_success(
    success_at_s: int | None, now: str, fires: bool, tmp_path: Path
) -> None:
    (rules,) = page_blocks("yaml")
    (tmp_path / "rules.yml").write_text(rules)
    series = [] if success_at_s is None else [{"series": METRIC, "values": f"{success_at_s}x2000"}]
    alert = {"exp_labels": {"severity": "warning"}, "exp_annotations": {"summary": "No snapshot of Tallyfy for thirty hours"}}
    expected = {"eval_time": now, "alertname": "TallyfySnapshotIsOld", "exp_alerts": [alert] if fires else []}
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [expected]}
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(
        [there("promtool", "prometheus/usr/bin"), "test", "rules", "test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_finds_nothing_to_improve_in_the_metrics(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with Sandbox(World(1, 40)) as sandbox:
        command = f'"{machine.program}" snapshot "{machine.lake}" --metrics-file "{machine.metrics}"'
        assert run_by(["sh", "-c"], command, env=sandbox.environment).returncode == 0
    checked = subprocess.run(
        [there("promtool", "prometheus/usr/bin"), "check", "metrics"],
        input=machine.metrics.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
