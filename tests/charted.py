"""What a chart must show: its numbers, made with polars of what `measured.py` says its view holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from measured import Measured

from tallyfy_frames.dashboards.charts import DASHBOARDS, Chart

Wheres = Sequence[pl.Expr]


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
    rows = data.view(chart.dataset.view).filter(*wheres) if wheres else data.view(chart.dataset.view)
    rows = rows.with_columns(COMPUTED[name].alias(name) for name in chart.dataset.computed)
    rows = rows.filter([pl.col(name) for name in chart.only] + [pl.col(name).is_not_null() for name in chart.known])
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
    if len(whole) > chart.limit:
        assert chart.largest is not None
        assert len(answered) == chart.limit
        place = wanted.columns.index(chart.largest)
        assert _rounded([row[place] for row in answered]) == _rounded(
            sorted((row[place] for row in whole), key=lambda cell: (cell is not None, cell or 0), reverse=True)[: chart.limit]
        )
        kinds = {_key(row) for row in whole}
        assert {_key(row) for row in answered} <= kinds
    else:
        assert sorted(map(_key, answered)) == sorted(map(_key, whole))
    if chart.largest is not None:
        ranks = [row[wanted.columns.index(chart.largest)] for row in answered]
        known = [rank for rank in ranks if rank is not None]
        assert all(first >= then - 1e-9 for first, then in zip(known, known[1:], strict=False)), "the largest comes first"


def _plain(row: dict[str, Any], names: Sequence[str]) -> list[Any]:
    """Cells as Superset's JSON has them: instants are milliseconds."""
    return [round(cell.timestamp() * 1000) if isinstance(cell, datetime) else cell for cell in (row[name] for name in names)]


def _key(row: Sequence[Any]) -> str:
    """The same for rows that differ by rounding only."""
    return repr(_rounded(row))


def _rounded(cells: Sequence[Any]) -> list[Any]:
    return [float(f"{cell:.9g}") if isinstance(cell, int | float) and not isinstance(cell, bool) else cell for cell in cells]


def later(moment: datetime, days: int) -> datetime:
    return moment + timedelta(days=days)


Asks = Callable[[Chart], list[dict[str, Any]]]
