"""The benchmarks' server speaks as the sandbox does, and their arithmetic is right: figures are worth nothing otherwise."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import tallyfy_frames as tf

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@contextmanager
def serving(*options: str) -> Iterator[tf.Settings]:
    command = [sys.executable, str(BENCHMARKS / "server.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        environ = {}
        for line in process.stdout or ():
            if line == "ready\n":
                break
            name, _, value = line.removeprefix("export ").strip().partition("=")
            environ[name] = value
        try:
            yield tf.Settings.from_env(environ)
        finally:
            process.kill()


def client(settings: tf.Settings) -> httpx.Client:
    headers = {
        "Accept": "application/json",
        "X-Tallyfy-Client": "APIClient",
        "Authorization": f"Bearer {settings.token.reveal()}",
    }
    return httpx.Client(base_url=f"{settings.base_url}/organizations/{settings.org_id}/", headers=headers)


@pytest.mark.parametrize("options", [(), ("--render", "paged"), ("--hostile",)])
def test_it_serves_every_run_once(options: tuple[str, ...]) -> None:
    with serving("--runs", "1234", "--archived-share", "0.15", *options) as settings:
        frame = tf.load_runs({"archived": "include"}, settings=settings, progress=False)
        shown = tf.load_runs(settings=settings, progress=False)
    assert frame.height == frame["id"].n_unique() == 1234
    assert shown.height == 1234 - 185
    assert frame["increment_id"].sort().to_list() == list(range(1, 1235))
    ties = frame["created_at"].len() - frame["created_at"].n_unique()
    assert ties == 1234 // 33
    assert frame["status"].n_unique() > 4


def test_each_run_brings_tasks_of_its_own_where_they_are_asked_for() -> None:
    with serving("--runs", "250", "--tasks", "12", "--archived-share", "0.2") as settings, client(settings) as http:
        asked = {"per_page": 100, "sort": "created_at", "with": "tags,tasks"}
        pages = [http.get("runs", params={**asked, "page": page}).json() for page in (1, 2)]
        again = http.get("runs", params={**asked, "page": 2, "per_page": 50}).json()["data"]
        archived = http.get("runs", params={**asked, "archived": "only"}).json()["data"]
        bare = http.get("runs", params={"per_page": 100, "sort": "created_at", "with": "tags"}).json()["data"]
    runs = [*pages[0]["data"], *pages[1]["data"], *archived]
    tasks = [task for run in runs for task in run["tasks"]["data"]]
    assert len(runs) == 250
    assert {len(run["tasks"]["data"]) for run in runs} == {12}
    assert len({task["id"] for task in tasks} | {run["id"] for run in runs}) == 13 * 250
    assert len({task["increment_id"] for task in tasks}) == 12 * 250
    for run in runs:
        assert {task["run_id"] for task in run["tasks"]["data"]} == {run["id"]}
        assert {task["checklist_id"] for task in run["tasks"]["data"]} == {run["checklist_id"]}
        assert [task["position"] for task in run["tasks"]["data"]] == [*range(1, 13)]
    assert again == pages[0]["data"][50:]
    assert [{**run, "tasks": None} for run in pages[0]["data"]] == [{**run, "tasks": None} for run in bare]
    assert not any("tasks" in run for run in bare)
    assert "with=tags,tasks&" in pages[0]["meta"]["pagination"]["links"]["next"]


def test_without_the_option_there_are_no_tasks() -> None:
    with serving("--runs", "10") as settings, client(settings) as http:
        assert http.get("runs", params={"with": "tasks"}).json()["data"] == http.get("runs").json()["data"]


def test_it_asks_for_the_headers_and_pages_both_ways() -> None:
    with serving("--runs", "250") as settings, client(settings) as http:
        first = http.get("runs", params={"per_page": 100, "sort": "created_at"}).json()
        last = http.get("runs", params={"per_page": 100, "sort": "-created_at", "page": 3}).json()
        assert httpx.get(f"{http.base_url}runs").status_code == 404
        assert http.get("runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert len(http.get("runs").json()["data"]) == 10
        assert http.get("runs", params={"page": 99}).json()["data"] == []
    assert [row["id"] for row in last["data"]] == [row["id"] for row in first["data"][:50]][::-1]
    meta: dict[str, Any] = first["meta"]["pagination"]
    assert (meta["total"], meta["count"], meta["per_page"], meta["current_page"], meta["total_pages"]) == (250, 100, 100, 1, 3)
    assert set(meta["links"]) == {"next"}


def test_its_limits_slide_on_a_clock_of_their_own() -> None:
    with serving("--runs", "10", "--limit", "2/60", "--clock-speed", "100") as settings, client(settings) as http:
        statuses = [http.get("runs").status_code for _ in range(3)]
        sent_s = time.monotonic()
        refused = http.get("runs")
        came_s, waits = time.monotonic(), int(refused.headers["Retry-After"])
        stats = httpx.get(settings.base_url.removesuffix("/api") + "/stats").json()
    assert statuses == [200, 200, 429]
    # A minute after the first request, by a clock that runs a hundred times as fast.
    least, most = (max(1, math.ceil(60 - 100 * (at_s - stats["first_s"]))) for at_s in (came_s, sent_s))
    assert least <= waits <= most
    assert (stats["requests"], stats["accepted"], stats["refused"]) == (4, 2, 2)


@pytest.mark.parametrize(
    ("requests", "limits", "seconds"),
    [
        (12, ["12/5"], 0),
        (13, ["12/5"], 5),
        (24, ["12/5"], 5),
        (25, ["12/5"], 10),
        (1001, ["1000/3600", "100/60"], 3600),
        (201, ["1000/3600", "100/60"], 120),
    ],
)
def test_the_least_time_that_limits_allow(
    monkeypatch: pytest.MonkeyPatch, requests: int, limits: list[str], seconds: float
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert importlib.import_module("sections").least_s(requests, limits) == seconds
