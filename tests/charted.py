"""What a chart must show: its numbers, made with polars of what `measured.py` says its view holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from measured import Measured

from tallyfy_frames.dashboards.charts import DASHBOARDS, Chart


def _p(column: str, share: float, per: float = 1) -> pl.Expr:
    return pl.col(column).quantile(share, "linear") / per


METRICS = {
    "open_runs": pl.len(),
    "overdue_runs": pl.col("is_overdue").sum(),
    "due_soon_runs": pl.col("is_due_soon").sum(),
    "problem_runs": pl.col("has_problem").sum(),
    "data_as_of": pl.col("as_of").max(),
    "completed_runs": pl.col("completed_at").count(),
    "elapsed_p50_d": _p("elapsed_h", 0.5, 24),
    "elapsed_p85_d": _p("elapsed_h", 0.85, 24),
    "elapsed_p95_d": _p("elapsed_h", 0.95, 24),
    "closed_by_then": pl.col("closed").sum(),
    "open_then": pl.col("open").sum(),
    "tasks_done": pl.col("is_done").sum(),
    "tasks_open": pl.col("is_open").sum(),
    "since_previous_p50_h": _p("since_previous_h", 0.5),
    "since_previous_p90_h": _p("since_previous_h", 0.9),
}
COMPUTED = {
    "age_d": pl.col("age_h") / 24,
    "idle_d": pl.col("idle_h") / 24,
    "overdue_d": pl.col("overdue_h") / 24,
    "step_of": pl.col("template") + ": " + pl.col("step_title"),
}
CHARTS = [(dashboard.name, chart) for dashboard in DASHBOARDS for chart in dashboard.charts]


def expected(chart: Chart, data: Measured, *wheres: pl.Expr) -> pl.DataFrame:
    """All rows of a chart, beyond its limit, too; ``wheres`` are what filters have chosen."""
    rows = data.view(chart.dataset.view).filter(pl.lit(value=True), *wheres)
    rows = rows.with_columns(COMPUTED[name].alias(name) for name in chart.dataset.computed)
    rows = rows.filter(pl.lit(value=True), *map(pl.col, chart.only), *(pl.col(name).is_not_null() for name in chart.known))
    if chart.grain == "P1W":
        rows = rows.with_columns(pl.col(str(chart.x)).dt.truncate("1w"))
    dimensions = [*([chart.x] if chart.x else []), *chart.by]
    numbers = [METRICS[name].alias(name) for name in chart.metrics]
    if chart.columns:
        return rows.select(chart.columns)
    return rows.group_by(dimensions).agg(numbers) if dimensions else rows.select(numbers)


def same_numbers(got: Sequence[dict[str, Any]], wanted: pl.DataFrame, chart: Chart) -> None:
    """What was answered is all of it, or, where that is more than the chart's limit, what comes first."""
    answered = [_plain(row, wanted.columns) for row in got]
    whole = [_plain(row, wanted.columns) for row in wanted.to_dicts()]
    if chart.largest is not None:
        place = wanted.columns.index(chart.largest)
        ranks = [row[place] for row in answered]
        known = [rank for rank in ranks if rank is not None]
        assert all(first >= then - 1e-9 for first, then in pairwise(known)), "the largest comes first"
        if len(whole) > chart.limit:
            assert len(answered) == chart.limit
            least = min(known)
            # Of rows that are equally large, any may be the last.
            sure = [row for row in whole if row[place] is not None and row[place] > least + 1e-9]
            assert len(sure) <= chart.limit
            assert sum(row[place] is not None and row[place] >= least - 1e-9 for row in whole) >= chart.limit
            answered, whole = [row for row in answered if row[place] > least + 1e-9], sure
    assert len(answered) == len(whole)
    for mine, theirs in zip(sorted(whole, key=_order), sorted(answered, key=_order), strict=True):
        assert theirs == [pytest.approx(cell, rel=1e-9, abs=1e-9) if isinstance(cell, float) else cell for cell in mine]


def _order(row: Sequence[Any]) -> str:
    """By what is no fraction first, so that rounding moves nothing."""
    whole = [None if isinstance(cell, float) and cell % 1 else cell for cell in row]
    return repr(
        [
            [float(cell) if isinstance(cell, int) else cell for cell in whole],
            [f"{cell:.6g}" for cell in row if isinstance(cell, float)],
        ]
    )


def numbers(rows: Sequence[dict[str, Any]], chart: Chart) -> list[float]:
    """All that a chart draws, whatever columns its metrics have become; zero is drawn where a colour has nothing."""
    dimensions = {*chart.by, *chart.columns, chart.x}
    cells = [cell for row in rows for cell in _plain({name: cell for name, cell in row.items() if name not in dimensions})]
    return sorted(float(cell) for cell in cells if cell)


def _plain(row: dict[str, Any], names: Sequence[str] | None = None) -> list[Any]:
    """Cells as Superset's JSON has them: instants are milliseconds."""
    cells = row.values() if names is None else (row[name] for name in names)
    return [round(cell.timestamp() * 1000) if isinstance(cell, datetime) else cell for cell in cells]
