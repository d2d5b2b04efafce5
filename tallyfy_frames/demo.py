"""The whole way once, without a token: sandbox, real HTTP, a snapshot, a table and a picture."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tallyfy_frames.atomic import replacing
from tallyfy_frames.errors import MissingExtra, TallyfyFramesWarning
from tallyfy_frames.lake.published import read_snapshot
from tallyfy_frames.lake.snapshot import write_snapshot
from tallyfy_frames.report import LoadReport
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.settings import Settings
from tallyfy_frames.showing import printable

BAR_WIDTH: Final = 24
FAULTS: Final = ("html-502@3", "empty-page@5")


def run_demo(folder: Path, runs: int) -> None:
    """Write ``folder/lake`` and ``folder/status.png``, and show what was read."""
    console = Console(highlight=False, markup=False)
    with Sandbox(World(1, runs), faults=FAULTS) as sandbox, warnings.catch_warnings():
        warnings.simplefilter("ignore", TallyfyFramesWarning)  # the sandbox sends unknown keys on purpose
        console.print(f"Sandbox with {runs} runs at {sandbox.base_url}: odd shapes, a 502 and an empty page on the way.")
        settings = Settings(token=sandbox.token, org_id=sandbox.org_id, base_url=sandbox.base_url)
        report = LoadReport()
        manifest = write_snapshot(folder / "lake", settings=settings, allow_shrink=True, report=report)
    console.print(f"{report}\nPublished {manifest.location}\n")
    frame = read_snapshot(folder / "lake").collect()
    counts = (
        frame.group_by("status")
        .agg(pl.len().alias("runs"), pl.col("progress_percent").mean(), pl.col("late_tasks").sum())
        .sort("runs", descending=True)
    )
    show(console, counts)
    picture = folder / "status.png"
    beside = Path(sys.executable).with_name("tallyfy-frames")
    program = os.path.relpath(beside) if beside.exists() and shutil.which("tallyfy-frames") is None else "tallyfy-frames"
    draw(counts, picture)
    console.print(
        f"\nPicture: {picture}\nNext: {program} sandbox; or set TALLYFY_ACCESS_TOKEN and TALLYFY_ORG_ID, then {program} doctor"
    )


def show(console: Console, counts: pl.DataFrame) -> None:
    """A table with a bar for each status."""
    grid = Table("status", "runs", "mean progress", "late tasks", "", title="Runs by status")
    most = counts["runs"].max()
    for row in counts.iter_rows(named=True):
        bar = "█" * max(1, round(BAR_WIDTH * row["runs"] / most)) if isinstance(most, int) else ""
        percent = "" if row["progress_percent"] is None else f"{row['progress_percent']:.0f} %"
        status = printable(str(row["status"]))
        grid.add_row(Text(status), str(row["runs"]), percent, str(row["late_tasks"]), bar)
    console.print(grid)


def draw(counts: pl.DataFrame, place: Path) -> None:
    """The same as a PNG."""
    try:
        import altair as alt  # noqa: PLC0415 - an extra
        import vl_convert  # noqa: F401, PLC0415 - what altair draws with
    except ImportError:
        raise MissingExtra("altair", "plot") from None
    rows: list[dict[str, Any]] = counts.select("status", "runs").to_dicts()
    chart = (
        alt.Chart(alt.InlineData(values=rows), title="Runs by status", width=480)
        .mark_bar()
        .encode(x=alt.X("runs:Q", title="runs"), y=alt.Y("status:N", sort="-x", title=None))
    )
    with replacing(place) as file:
        chart.save(file, format="png", scale_factor=2)
