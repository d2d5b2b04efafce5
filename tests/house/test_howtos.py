"""The how-tos in docs/ tell the truth: what they show can be run, against the sandbox."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from documents import ROOT, blocks, run_page

from tallyfy_frames.dashboards.charts import DASHBOARDS, Dashboard
from tallyfy_frames.dashboards.superset import CACHED_S
from tallyfy_frames.databases.views import VIEWS
from tallyfy_frames.lake import bucket, retention
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sinks import parquet

PAGES = [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")])
def test_the_commands_run(page: str, tmp_path: Path) -> None:
    with Sandbox(World(1, 60)) as running:
        code, said = run_page(page, tmp_path, running.environment)
    assert code == 0, said


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_blocks_run(page: str) -> None:
    space: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block.replace("…", "0"), page, "exec"), space)  # noqa: S102 - our own page


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_figures_in_pages_are_those_of_the_code() -> None:
    page = (ROOT / "docs/retention.md").read_text()
    assert f"row groups have {parquet.ROW_GROUP_ROWS:,} rows" in page
    assert parquet.FILE_ROWS_MAX == 1_000_000
    assert "from a million rows on" in page
    assert timedelta(hours=1) == retention.GRACE
    assert "an hour later" in page
    assert timedelta(days=1) == bucket.UPLOAD_MAX
    assert "once it is a\nday old" in (ROOT / "docs/buckets.md").read_text()


def test_the_page_on_duckdb_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(World(1, 250, days=120)) as running:
        code, said = run_page("docs/duckdb.md", tmp_path, running.environment, "shell")
    assert code == 0, said
    with duckdb.connect(str(tmp_path / "work" / "lake.duckdb"), read_only=True) as connection:
        for query in blocks("docs/duckdb.md", "sql"):
            assert connection.sql(query).fetchall(), query
    monkeypatch.chdir(tmp_path / "work")
    space: dict[str, object] = {}
    for block in blocks("docs/duckdb.md", "py"):
        exec(block, space)  # noqa: S102 - our own page
    assert space["overdue"].height
    assert space["own"].sql("select * from late").fetchall()
    for name in ("connection", "own"):
        space[name].close()
    page = (ROOT / "docs/duckdb.md").read_text()
    assert all(f"`{view.name}`" in page for view in VIEWS)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_the_page_on_dashboards_tells_of_every_chart_in_its_order(dashboard: Dashboard) -> None:
    page = (ROOT / "docs/dashboards.md").read_text()
    (told,) = re.findall(rf"^### {dashboard.title}\n(.*?)^##", page, flags=re.DOTALL | re.MULTILINE)
    rows = [tuple(line.strip("| ").split(" | ")) for line in told.splitlines() if line.startswith("| ")][1:]
    assert rows == [(chart.title, chart.about) for chart in dashboard.charts]


def test_the_figures_on_dashboards_are_those_of_the_bundle() -> None:
    page = (ROOT / "docs/dashboards.md").read_text()
    assert f"keeps answers of this database for {CACHED_S} seconds" in page
    now, flow = DASHBOARDS
    assert (now.refresh_s, flow.refresh_s) == (5 * 60, 0)
    assert "*Now* asks again every five minutes" in page


def test_a_page_whose_command_fails_is_noticed_and_ends_what_it_started(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("""```sh
(trap 'echo ended; exit' TERM; echo > ready; while true; do sleep 0.05; done) &
until test -e ready; do sleep 0.05; done
false
echo went on
```
""")
    code, _ = run_page(str(page), tmp_path, {})
    assert code == 1
    until_s = time.monotonic() + 10
    while "ended" not in (said := (tmp_path / "said").read_text()) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert "ended" in said
    assert "went on" not in said
