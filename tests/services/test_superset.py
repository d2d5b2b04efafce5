"""Our dashboards in a real Superset: every number is the one that polars computes, whatever the database and the filters."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from beside import OTHERS, there
from charted import CHARTS, expected, same_numbers
from conftest import settings_for
from documents import ROOT, blocks
from measured import Measured, as_of

import tallyfy_frames as tf
from superset import TABLES, USER, Superset
from tallyfy_frames.dashboards.charts import DASHBOARDS, Chart
from tallyfy_frames.dashboards.superset import write_bundle
from tallyfy_frames.errors import TallyfyFramesWarning
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

HERE = Path(__file__).parent
PICTURES = OTHERS / "pictures"
HOSTILE = ("<script>alert(1)</script>", "{{7*7}}", "=1+1", "right\u202eto-left", "Invoice <b>4711</b>", "[bold]markup[/bold]")
SCRIPT = "<img src=x onerror=window.ran=1><script>window.ran=1</script>"


def hostile(runs: int) -> World:
    """An organization at work, in which a template and a user are called what a browser would run."""
    world = World(1, runs, days=150)
    first, second, *others = world.templates
    world.__dict__["templates"] = [replace(first, title=SCRIPT), replace(second, title="{{7*7}}"), *others]
    person, *people = world.users
    world.__dict__["users"] = [replace(person, first_name="=1+1", last_name=SCRIPT), *people]
    return world


def take(root: Path, world: World) -> Measured:
    with Sandbox(world) as sandbox, warnings.catch_warnings():
        warnings.simplefilter("ignore", TallyfyFramesWarning)
        tf.write_snapshot(root, tables=TABLES, settings=settings_for(sandbox), allow_shrink=True)
    runs, tasks, users = (tf.read_snapshot(root, name).collect() for name in TABLES)
    return Measured(runs, tasks, users, as_of(runs, read_manifest(root).created_at))


@dataclass
class Shown:
    """A database that Superset shows: what it holds, and which chart has which id there."""

    name: str
    superset: Superset
    data: Measured
    ids: dict[tuple[str, str], int]

    def get(self, chart_id: int) -> list[dict[str, Any]]:
        """The rows of a chart, as its own query asks."""
        answer = self.superset.client.get(f"/api/v1/chart/{chart_id}/data/", params={"force": "true"})
        assert answer.status_code == 200, answer.text
        return answer.json()["result"][0]["data"]

    def ask(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of any query."""
        answer = self.superset.client.post("/api/v1/chart/data", json=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"][0]["data"]

    def query(self, chart_id: int) -> dict[str, Any]:
        """A chart's own query."""
        return json.loads(self.superset.client.get(f"/api/v1/chart/{chart_id}").json()["result"]["query_context"])


@pytest.fixture(scope="module")
def superset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Superset]:
    there("gunicorn", "superset/bin")
    with Superset(tmp_path_factory.mktemp("superset")) as running:
        yield running


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake") / "lake"


@pytest.fixture(scope="module")
def data(lake: Path) -> Measured:
    return take(lake, hostile(900))


def ids_of(superset: Superset, dashboard: str, name: str) -> dict[tuple[str, str], int]:
    """Of a dashboard's charts, by the places of their titles in it."""
    charts = superset.client.get(f"/api/v1/dashboard/{name.lower()}-{dashboard}/charts").raise_for_status().json()["result"]
    return {chart["slice_name"]: chart["id"] for chart in charts}


def test_the_page_on_dashboards_brings_them_in_and_says_no_password(
    superset: Superset, lake: Path, data: Measured, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "tallyfy.zip", f"duckdb:///{tf.write_duckdb(lake)}")
    known = {"SUPERSET": superset.address, "ADMIN": USER, "PASSWORD": superset.password, "no_proxy": "*"}
    (block,) = blocks("docs/dashboards.md", "shell")
    for _ in ("at first", "over what is there"):
        done = subprocess.run(
            ["sh", "-euxc", block], cwd=tmp_path, env={**os.environ, **known}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"message": "OK"}
        asked = [line for line in done.stderr.splitlines() if line.startswith("+ curl")]
        assert len(asked) == 3, "what whoever lists processes sees of them:"
        assert not [line for line in asked if superset.password in line or "Bearer" in line]
    assert [*tmp_path.iterdir()] == [tmp_path / "tallyfy.zip"]
    for dashboard in DASHBOARDS:
        answer = superset.client.get(f"/api/v1/dashboard/tallyfy-{dashboard.name}/charts").raise_for_status().json()
        assert len(answer["result"]) == len(dashboard.charts)
    page = (ROOT / "docs/dashboards.md").read_text()
    assert "Tests use Superset 6.1" in page
    assert "apache-superset[duckdb]==6.1." in (ROOT / "services/superset.in").read_text()
