"""How Superset draws a chart: the form that its editor would have, and the query that it would make of that."""

from __future__ import annotations

import json
from typing import Any, Final

from tallyfy_frames.dashboards.charts import COUNT, ONE_DECIMAL, Chart

VIZ: Final = {
    "number": "big_number_total",
    "moment": "big_number_total",
    "bars": "echarts_timeseries_bar",
    "lines": "echarts_timeseries_line",
    "areas": "echarts_area",
    "rows": "table",
}
ALWAYS: Final = "No filter"  # Superset's word for all of time
MOMENT: Final = "%Y-%m-%d %H:%M"
DAY: Final = "%Y-%m-%d"
AXIS: Final = ",.1~f"  # of counts: of few, ticks are halves


def form(chart: Chart) -> dict[str, Any]:
    """What is chosen in the editor."""
    facts = {
        "viz_type": VIZ[chart.kind],
        "adhoc_filters": [
            _condition(chart.dataset.time, "TEMPORAL_RANGE", ALWAYS),  # what a dashboard's time range replaces
            *(_condition(name, "IS NOT NULL") for name in chart.known),
            *(_condition(name, "IS TRUE") for name in chart.only),
        ],
        "row_limit": chart.limit,
    }
    if chart.kind in {"number", "moment"}:
        return facts | _number(chart)
    return facts | (_rows(chart) if chart.kind == "rows" else _drawing(chart))


def query(chart: Chart) -> dict[str, Any]:
    """What is asked of Superset: rows in long form, one for each mark."""
    columns: list[Any] = [*chart.columns, *chart.by]
    if chart.x is not None:
        axis = {"label": chart.x, "sqlExpression": chart.x, "expressionType": "SQL", "columnType": "BASE_AXIS"}
        columns.insert(0, axis | {"timeGrain": chart.grain} if chart.grain else chart.x)
    order = chart.largest or (chart.metrics[0] if chart.metrics and columns else None)
    asked = {
        "columns": columns,
        "metrics": [*chart.metrics] or None,
        "filters": [
            {"col": chart.dataset.time, "op": "TEMPORAL_RANGE", "val": ALWAYS},
            *({"col": name, "op": "IS NOT NULL"} for name in chart.known),
            *({"col": name, "op": "IS TRUE"} for name in chart.only),
        ],
        "extras": {"having": "", "where": ""} | ({"time_grain_sqla": chart.grain} if chart.grain else {}),
        "orderby": [[order, False]] if order else [],
        "row_limit": chart.limit,
    }
    return {
        "datasource": {"id": 0, "type": "table"},  # the importer knows which
        "force": False,
        "queries": [asked],
        "form_data": form(chart),
        "result_format": "json",
        "result_type": "full",
    }


def _condition(column: str, operator: str, value: str | None = None) -> dict[str, Any]:
    return {
        "clause": "WHERE",
        "expressionType": "SIMPLE",
        "subject": column,
        "operator": operator,
        "operatorId": operator.replace(" ", "_"),
        "comparator": value,
        "filterOptionName": f"filter_{column}_{operator.replace(' ', '_').lower()}",
    }


def _number(chart: Chart) -> dict[str, Any]:
    (name,) = chart.metrics
    shown = {"metric": name, "header_font_size": 0.4, "y_axis_format": chart.dataset.metric(name).format}
    return shown | ({"force_timestamp_formatting": True, "time_format": MOMENT} if chart.kind == "moment" else {})


def _rows(chart: Chart) -> dict[str, Any]:
    shown: dict[str, Any] = {
        # Names may hold what looks like HTML, and are text.
        "allow_render_html": False,
        "table_timestamp_format": MOMENT,
        "show_cell_bars": False,
        "include_search": True,
        "server_pagination": False,
        "column_config": {
            name: {"d3NumberFormat": ONE_DECIMAL}
            for name in (*chart.columns, *chart.metrics)
            if name.endswith(("_d", "_h"))
        },
    }  # fmt: skip
    if chart.metrics:
        order = {"timeseries_limit_metric": chart.largest, "order_desc": True}
        return shown | order | {"query_mode": "aggregate", "groupby": [*chart.by], "metrics": [*chart.metrics]}
    order_by = [json.dumps([chart.largest, False])] if chart.largest else []
    return shown | {"query_mode": "raw", "all_columns": [*chart.columns], "order_by_cols": order_by}


def _drawing(chart: Chart) -> dict[str, Any]:
    stacked = chart.kind == "areas" or bool(chart.by)
    counts = chart.dataset.metric(chart.metrics[0]).format == COUNT
    shown: dict[str, Any] = {
        "x_axis": chart.x,
        "metrics": [*chart.metrics],
        "groupby": [*chart.by],
        "order_desc": True,
        "timeseries_limit_metric": chart.largest,
        "sort_series_type": "name",
        "sort_series_ascending": True,
        "x_axis_time_format": DAY,
        "y_axis_format": AXIS if counts else ONE_DECIMAL,
        "tooltipTimeFormat": DAY,
        "rich_tooltip": True,
        # Open ones and the overdue among them, or percentiles, have no sum.
        "showTooltipTotal": stacked,
        "showTooltipPercentage": False,
        "show_legend": bool(chart.by) or len(chart.metrics) > 1,
        "truncate_metric": True,
        "truncateYAxis": False,
        "zoomable": False,
    }
    if stacked:
        shown["stack"] = "Stack"
    if chart.kind == "lines":
        shown |= {"markerEnabled": True, "connect_nulls": True}
    if chart.grain:
        shown["time_grain_sqla"] = chart.grain
    elif chart.x != chart.dataset.time:
        # Bars that lie would suit names better, but a click on one filters by its number (apache/superset#41102).
        shown |= {"xAxisForceCategorical": True, "xAxisLabelRotation": 45, "xAxisLabelInterval": "0"}
        if not chart.by:
            shown |= {"x_axis_sort": chart.largest or chart.x, "x_axis_sort_asc": chart.largest is None}
    return shown
