"""``--metrics-file``: how a job went, whatever its end, in words that Prometheus reads."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from shell import run

import tallyfy_frames as tf
from tallyfy_frames.lake.lock import locked
from tallyfy_frames.lake.metrics import Metrics
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]


def told(place: Path) -> dict[str, float]:
    """Every series, by its name and labels but for the root's."""
    found = {}
    for family in text_string_to_metric_families(place.read_text()):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("root")
            found[" ".join([sample.name.removeprefix("tallyfy_frames_"), *labels.values()])] = sample.value
    return found


def test_a_job_that_is_done_tells_what_it_read_and_wrote(serve: Serve, tmp_path: Path) -> None:
    sandbox, place = serve(world=World(3, 120), faults=["429-seconds@3"]), tmp_path / "tallyfy.prom"
    began_s = time.time()
    words = [
        "snapshot",
        tmp_path / "lake",
        "--table",
        "runs",
        "--table",
        "run_tasks",
        "--table",
        "users",
        "--metrics-file",
        place,
    ]
    assert run(*words, env=sandbox.environment).returncode == 0
    series, manifest = told(place), read_manifest(tmp_path / "lake")
    assert series["last_run_exit_code"] == 0
    assert began_s < series["snapshot_created_timestamp_seconds"] < series["last_run_timestamp_seconds"] <= time.time()
    assert 0 < series["last_run_duration_seconds"] < time.time() - began_s
    for name in ("runs", "run_tasks", "users"):
        assert series[f"snapshot_rows {name}"] == manifest.tables[name].rows
        assert series[f"snapshot_rows_quarantined {name}"] == 0
    assert series["snapshot_bytes"] == manifest.size_bytes > 0
    assert series["snapshot_changes"] == len(manifest.changes)
    report = manifest.tables["runs"].report
    for name, key in (
        ("requests", "requests"),
        ("retries", "retries"),
        ("throttled", "throttled"),
        ("waited_seconds", "waited_s"),
        ("received_bytes", "received_bytes"),
    ):
        assert series[f"snapshot_{name} runs"] == pytest.approx(report[key])
    assert series["snapshot_throttled runs"] >= 1
    assert "snapshot_requests run_tasks" not in series, "what came with the runs took no requests of its own"
    assert sandbox.token not in place.read_text()


@pytest.mark.parametrize(
    ("fault", "code"),
    [("token-revoked@4", 3), ("half-page@2+", 11), ("html-502@3+", 1)],
    ids=["no right", "incomplete", "server"],
)
def test_a_job_that_fails_says_so_and_what_is_published_stays_told(serve: Serve, tmp_path: Path, fault: str, code: int) -> None:
    place, words = tmp_path / "tallyfy.prom", ["snapshot", tmp_path / "lake", "--metrics-file", tmp_path / "tallyfy.prom"]
    assert run(*words, env=serve(world=World(3, 300)).environment).returncode == 0
    before = told(place)
    assert run(*words, env=serve(world=World(3, 300), faults=[fault]).environment).returncode == code
    after = told(place)
    assert after["last_run_exit_code"] == code
    assert after["last_run_timestamp_seconds"] > before["last_run_timestamp_seconds"]
    for name in ("snapshot_created_timestamp_seconds", "snapshot_rows runs", "snapshot_bytes"):
        assert after[name] == before[name]


def test_a_job_that_finds_the_root_held_says_12(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "tallyfy.prom"
    with locked(tmp_path / "lake"):
        words = ["snapshot", tmp_path / "lake", "--metrics-file", place]
        assert run(*words, env=serve().environment).returncode == 12
    assert told(place)["last_run_exit_code"] == 12
    assert set(told(place)) == {"last_run_exit_code", "last_run_timestamp_seconds", "last_run_duration_seconds"}, (
        "nothing is published"
    )


def test_a_file_that_cannot_be_written_is_told_before_anything_is_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve()
    words = ["snapshot", tmp_path / "lake", "--metrics-file", tmp_path / "none" / "tallyfy.prom"]
    done = run(*words, env=sandbox.environment)
    assert done.returncode == 1
    assert "name a file in a folder that is there" in done.stderr
    assert not sandbox.requests


def test_without_the_library_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(tf.MissingExtra, match=r"pip install 'tallyfy-frames\[metrics\]'"):
        Metrics(tmp_path / "tallyfy.prom", "lake")
