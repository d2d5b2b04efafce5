"""Our dashboards in a real Superset: every number is the one that polars computes, whatever the database and the filters."""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from beside import OTHERS, Database, created, there
from charted import CHARTS, expected, numbers, same_numbers
from conftest import settings_for
from documents import ROOT, blocks
from measured import Measured, as_of

import tallyfy_frames as tf
from tallyfy_frames.dashboards.charts import DASHBOARDS, Chart
from tallyfy_frames.dashboards.superset import write_bundle
from tallyfy_frames.errors import TallyfyFramesWarning
from tallyfy_frames.lake.published import read_manifest
from tallyfy_frames.sandbox import Sandbox, World

from superset import TABLES, USER, Superset

HERE = Path(__file__).parent
PICTURES = OTHERS / "pictures"
HOSTILE = ("<script>alert(1)</script>", "{{7*7}}", "=1+1", "right\u202eto-left", "Invoice <b>4711</b>", "[bold]markup[/bold]")
SOAK_S = 120
PASSWORD = "nobody-may-see-this"  # of guarded, as the fixture of the server has it
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
    """A database that Superset shows: what it holds, and the ids of charts there."""

    name: str
    superset: Superset
    data: Measured
    bundle: Path

    def __post_init__(self) -> None:
        self.ids = {
            (dashboard.name, chart["slice_name"]): chart["id"]
            for dashboard in DASHBOARDS
            for chart in self.get(f"dashboard/{self.slug(dashboard.name)}/charts")
        }

    def slug(self, dashboard: str) -> str:
        return f"{self.name.lower()}-{dashboard}"

    def get(self, path: str) -> Any:
        answer = self.superset.client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def rows(self, dashboard: str, chart: Chart) -> list[dict[str, Any]]:
        """What a chart is answered, by the query that it was saved with."""
        return self.get(f"chart/{self.ids[dashboard, chart.title]}/data/?force=true")[0]["data"]

    def query(self, dashboard: str, chart: Chart) -> dict[str, Any]:
        """That query."""
        return json.loads(self.get(f"chart/{self.ids[dashboard, chart.title]}")["query_context"])

    def ask(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """What another query is answered."""
        answer = self.superset.client.post("/api/v1/chart/data", json=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"][0]["data"]


@pytest.fixture(scope="module")
def superset(tmp_path_factory: pytest.TempPathFactory, cluster: Database) -> Iterator[Superset]:
    there("gunicorn", "superset/bin")
    with created(cluster) as memory, Superset(tmp_path_factory.mktemp("superset"), memory=memory.uri()) as running:
        yield running


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake") / "lake"


@pytest.fixture(scope="module")
def data(lake: Path) -> Measured:
    return take(lake, hostile(900))


@pytest.fixture(scope="module", params=["DuckDB", "PostgreSQL"])
def shown(request: pytest.FixtureRequest, superset: Superset, lake: Path, data: Measured) -> Shown:
    """The same snapshot in each kind of database, with our dashboards over it."""
    bundle = lake.with_name(f"{request.param}.zip")
    if request.param == "DuckDB":
        write_bundle(bundle, f"duckdb:///{tf.write_duckdb(lake)}", name=request.param)
        superset.bring(bundle)
    else:
        database = request.getfixturevalue("lasting_database")
        tf.sync_postgres(lake, database.dsn())
        write_bundle(bundle, database.uri("guarded", PASSWORD), name=request.param)
        database.run("grant usage on schema tallyfy to guarded", "grant select on all tables in schema tallyfy to guarded")
        superset.bring(bundle, {"databases/postgresql.yaml": PASSWORD})
    return Shown(request.param, superset, data, bundle)


BOTH = pytest.mark.parametrize(("dashboard", "chart"), CHARTS, ids=[f"{name}-{chart.name}" for name, chart in CHARTS])


@BOTH
def test_a_charts_numbers_are_what_polars_computes(shown: Shown, dashboard: str, chart: Chart) -> None:
    wanted = expected(chart, shown.data)
    assert wanted.height, "there is something to show"
    same_numbers(shown.rows(dashboard, chart), wanted, chart)


@BOTH
def test_filters_choose_the_same_rows_in_every_chart(shown: Shown, dashboard: str, chart: Chart) -> None:
    """As the filters of a dashboard send them: values of a column, and a range of time in place of all of it."""
    labels = shown.data.labels
    template, person, word = labels.row(7)[1:]
    time = chart.dataset.time
    moments = shown.data.view(chart.dataset.view)[time].drop_nulls()
    middle = moments.sort()[len(moments) // 3].replace(hour=0, minute=0, second=0, microsecond=0)
    until = middle + timedelta(days=30)
    for conditions, wheres in (
        ([("template", "IN", [template])], [pl.col("template") == template]),
        ([("owner", "IN", [person, "nobody"])], [pl.col("owner").is_in([person, "nobody"])]),
        ([("run_status", "IN", [word])], [pl.col("run_status") == word]),
        (
            [(time, "TEMPORAL_RANGE", f"{middle:%Y-%m-%dT%H:%M:%S} : {until:%Y-%m-%dT%H:%M:%S}")],
            [pl.col(time).is_between(middle, until, closed="left")],
        ),
        ([("template", "IN", [template]), ("run_status", "IN", ["nothing like that"])], [pl.lit(value=False)]),
    ):
        query = shown.query(dashboard, chart)
        (asked,) = query["queries"]
        names = {column for column, operator, _ in conditions if operator == "TEMPORAL_RANGE"}
        asked["filters"] = [one for one in asked["filters"] if one["col"] not in names or one["op"] != "TEMPORAL_RANGE"]
        asked["filters"] += [{"col": column, "op": operator, "val": value} for column, operator, value in conditions]
        same_numbers(shown.ask(query), expected(chart, shown.data, *wheres), chart)


def test_a_bundle_updates_what_an_older_one_has_brought(shown: Shown) -> None:
    client = shown.superset.client
    before = dict(shown.ids)
    chart_id, dashboard = next(iter(before.values())), shown.get(f"dashboard/{shown.slug('now')}")["id"]
    client.put(f"/api/v1/chart/{chart_id}", json={"slice_name": "Changed by hand"}).raise_for_status()
    client.put(f"/api/v1/dashboard/{dashboard}", json={"dashboard_title": "Changed by hand"}).raise_for_status()
    shown.superset.bring(shown.bundle)  # a password that is known is not asked for again
    again = Shown(shown.name, shown.superset, shown.data, shown.bundle)
    assert again.ids == before
    assert again.get(f"dashboard/{dashboard}")["dashboard_title"] == f"{shown.name}: Now"


def test_datasets_say_what_their_columns_and_metrics_mean(shown: Shown) -> None:
    found = shown.get("dataset/?q=(page_size:100)")
    ours = {one["table_name"]: one["id"] for one in found if one["database"]["database_name"] == shown.name}
    assert {"ageing", "cycle_time", "waiting", "work_in_progress", *TABLES} <= ours.keys()
    for chosen in ours.values():
        dataset = shown.get(f"dataset/{chosen}")
        assert dataset["description"]
        assert all(one["description"] for one in (*dataset["columns"], *dataset["metrics"]))
    runs = {one["column_name"]: one for one in shown.get(f"dataset/{ours['runs']}")["columns"]}
    assert runs["progress_percent"]["description"].endswith("(percent)")
    assert runs["created_at"]["is_dttm"]


def test_whoever_looks_cannot_write(shown: Shown) -> None:
    database = next(one for one in shown.get("database/") if one["database_name"] == shown.name)
    for statement in ("create table mine (x int)", "drop view cycle_time cascade"):
        asked = {"database_id": database["id"], "sql": statement, "schema": "main" if shown.name == "DuckDB" else "tallyfy"}
        answer = shown.superset.client.post("/api/v1/sqllab/execute/", json=asked)
        assert answer.status_code != 200, answer.text


def test_spreadsheets_run_no_name(shown: Shown) -> None:
    chart = next(chart for _, chart in CHARTS if chart.name == "oldest-list")
    query = shown.query("now", chart) | {"result_format": "csv"}
    text = shown.superset.client.post("/api/v1/chart/data", json=query).text
    assert "'=1+1" in text
    assert ",=1+1" not in text
    assert "\n=1+1" not in text


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


MARCH = (datetime(2031, 3, 1, tzinfo=UTC), datetime(2031, 4, 1, tzinfo=UTC))
# What is chosen in a dashboard's filters, as an address says it, and which rows that leaves of a chart's view.
CHOSEN: dict[str, tuple[str, Callable[[Chart], list[pl.Expr]]]] = {
    "": ("", lambda chart: []),
    " of one": (
        (
            "NATIVE_FILTER-template:(extraFormData:(filters:!((col:template,op:IN,val:!(Incident)))),"
            "filterState:(label:Incident,value:!(Incident)),id:NATIVE_FILTER-template,ownState:())"
        ),
        lambda chart: [pl.col("template") == "Incident"],
    ),
    " in March": (
        (
            "NATIVE_FILTER-time:(extraFormData:(time_range:'2031-03-01 : 2031-04-01'),"
            "filterState:(value:'2031-03-01 : 2031-04-01'),id:NATIVE_FILTER-time,ownState:())"
        ),
        lambda chart: [pl.col(chart.dataset.time).is_between(*MARCH, closed="left")],
    ),
}


@pytest.fixture(scope="module")
def seen(shown: Shown) -> dict[str, Any]:
    """Both dashboards in a browser: as they open, and with something chosen."""
    pictures = PICTURES / shown.name
    pictures.mkdir(parents=True, exist_ok=True)
    pages = {
        f"{dashboard.name}{chosen}": f"/superset/dashboard/{shown.slug(dashboard.name)}/?standalone=1&native_filters={quote(f'({said})')}"
        for dashboard in DASHBOARDS
        for chosen, (said, _) in CHOSEN.items()
    }
    there("python", "browser/bin")
    return shown.superset.looked_at(pages, there("chromium"), pictures)


@pytest.mark.parametrize("chosen", CHOSEN)
@pytest.mark.parametrize("name", [dashboard.name for dashboard in DASHBOARDS])
def test_a_browser_draws_every_chart_of_the_same_numbers(shown: Shown, seen: dict[str, Any], name: str, chosen: str) -> None:
    page = f"{name}{chosen}"
    charts = {shown.ids[dashboard, chart.title]: chart for dashboard, chart in CHARTS if dashboard == name}
    drawn = {}
    for answer in seen[page]["answers"]:
        assert answer["status"] == 200, answer["told"]
        drawn[answer["asked"]["form_data"].get("slice_id")] = answer
    assert charts.keys() <= drawn.keys()
    for chart_id, chart in charts.items():
        wanted = expected(chart, shown.data, *CHOSEN[chosen][1](chart))
        asked = copy.deepcopy(drawn[chart_id]["asked"])
        for query in asked["queries"]:
            query["post_processing"] = []  # what makes a column of each colour
        same_numbers(shown.ask(asked), wanted, chart)
        rows, first = drawn[chart_id]["told"]["result"][0]["data"], wanted
        if wanted.height > chart.limit:  # of those that are equally large, any may be the last: so only how large they are
            rows, first = (
                [{chart.largest: row[chart.largest]} for row in rows],
                wanted.select(pl.col(chart.largest).top_k(chart.limit)),
            )
        assert numbers(rows, chart) == pytest.approx(numbers(first.to_dicts(), chart)), chart.name
    holders = seen[page]["charts"]
    assert len(holders) == len(charts)
    assert not [holder for holder in holders if holder["error"]]
    for holder in holders:
        assert holder["canvas"] or re.search(r"\d", holder["text"]), f"nothing is drawn in {holder['text'][:40]}"


def test_a_chart_that_cannot_be_drawn_is_seen(superset: Superset, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    take(root, World(1, 60, days=60))
    superset.bring(write_bundle(tmp_path / "bundle.zip", f"duckdb:///{tf.write_duckdb(root)}", name="Broken"))
    for file in root.glob("snapshots/*/run_tasks/*.parquet"):
        file.unlink()
    there("python", "browser/bin")
    page = superset.looked_at({"flow": "/superset/dashboard/broken-flow/?standalone=1"}, there("chromium"), tmp_path)["flow"]
    broken = {holder["text"].partition("\n")[0] for holder in page["charts"] if holder["error"]}
    assert broken == {chart.title for _, chart in CHARTS if chart.dataset.view == "waiting"}


def test_names_are_text_whatever_is_in_them(shown: Shown, seen: dict[str, Any]) -> None:
    text = " ".join(holder["text"] for page in seen.values() for holder in page["charts"])
    for name in HOSTILE:
        assert name in text
    assert "window.ran=1" in text, "of what looks like a tag, Superset leaves out what could run, and shows the rest"
    for page in seen.values():
        assert page["alerts"] == []
        assert page["ran"] is None


@pytest.mark.parametrize("kind", ["DuckDB", "PostgreSQL"])
def test_charts_follow_snapshots_and_none_of_their_queries_fails(
    kind: str, superset: Superset, tmp_path: Path, database: Database
) -> None:
    """A snapshot every ten seconds for two minutes, while four readers ask for every chart, one after the other."""
    root, bundle = tmp_path / "lake", tmp_path / "bundle.zip"

    def publish(runs: int) -> Measured:
        made = take(root, World(1, runs, days=60))
        tf.write_duckdb(root) if kind == "DuckDB" else tf.sync_postgres(root, database.dsn())
        return made

    made = [publish(200)]
    name = f"Moving {kind}"
    uri = f"duckdb:///{root}.duckdb" if kind == "DuckDB" else database.uri()
    superset.bring(write_bundle(bundle, uri, name=name))
    shown = Shown(name.replace(" ", "-"), superset, made[0], bundle)
    chart = next(chart for _, chart in CHARTS if chart.name == "open")
    ended, asked, failed, counted = threading.Event(), 0, [], []

    def read(first: int) -> None:
        nonlocal asked
        for dashboard, one in itertools.cycle([*CHARTS[first:], *CHARTS[:first]]):
            if ended.is_set():
                return
            try:
                rows = shown.rows(dashboard, one)
                asked += 1
                if one is chart:
                    counted.append(rows[0]["open_runs"])
            except Exception as error:  # noqa: BLE001 - each is a finding
                failed.append(error)

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, 5 * number) for number in range(4)]
        began = time.monotonic()
        while (passed := time.monotonic() - began) < SOAK_S:
            made.append(publish(200 + 20 * len(made)))
            time.sleep(max(0.0, 10 * (len(made) - 1) - (time.monotonic() - began)))
        late = time.monotonic()
        wanted = expected(chart, made[-1]).item()
        while counted[-1] != wanted and time.monotonic() < late + 15:
            time.sleep(0.1)
        ended.set()
        for reader in readers:
            reader.result()
    assert passed >= SOAK_S - 10
    assert failed == []
    assert asked > 100
    assert counted[-1] == wanted, "the last number is that of the last snapshot"
    known = [expected(chart, one).item() for one in made]
    assert set(counted) <= set(known)
    assert len(set(counted)) > len(made) / 2, "numbers moved all the time"
