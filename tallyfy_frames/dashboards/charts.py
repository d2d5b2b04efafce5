"""The charts: what each shows, of which view, and where it stands. Nothing here knows what draws them.

Two dashboards: *now*, what is open and what of it needs somebody, and *flow*, how things move over time. Both show one
snapshot, and count until what it calls ``as_of``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import polars as pl

from tallyfy_frames.databases.views import DUE_SOON_DAYS

Kind: TypeAlias = Literal["number", "moment", "bars", "lines", "areas", "rows"]
COUNT: Final = ",d"
ONE_DECIMAL: Final = ",.1f"
WEEK: Final = "P1W"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number made of the rows of a view."""

    name: str
    label: str
    about: str
    sql: str
    format: str = COUNT


@dataclass(frozen=True, slots=True)
class Computed:
    """A column made of others of its row."""

    dtype: pl.DataType
    about: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A view as charts see it: the instant that a time range means, metrics, and columns that are computed."""

    view: str
    time: str
    metrics: tuple[Metric, ...] = ()
    computed: Mapping[str, Computed] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """One of its metrics."""
        return next(metric for metric in self.metrics if metric.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart: metrics by dimensions, or rows with columns."""

    name: str
    title: str
    about: str
    kind: Kind
    dataset: Dataset
    metrics: tuple[str, ...] = ()
    x: str | None = None  # what runs along the axis; by ``grain``, if it is time that is cut into pieces
    grain: str | None = None
    by: tuple[str, ...] = ()  # what tells the colours, or, of rows with metrics, the rows apart
    columns: tuple[str, ...] = ()
    only: tuple[str, ...] = ()  # columns that must be true
    known: tuple[str, ...] = ()  # columns that must not be null
    largest: str | None = None  # the column or metric whose largest values come first
    limit: int = 50_000  # Superset's own, unless it is told otherwise
    width: int = 6  # of 12
    height: int = 50  # of a grid whose unit is 8 pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Charts in rows, and what they can be filtered by."""

    name: str
    title: str
    about: str
    rows: tuple[tuple[Chart, ...], ...]
    filters: Dataset  # whose values there are to choose from
    refresh_s: int = 0

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All of them, in reading order."""
        return tuple(chart for row in self.rows for chart in row)


FILTERS: Final = {"template": "Template", "owner": "Owner", "run_status": "Status"}  # columns of every view


def _how_many(name: str, label: str, about: str, where: str = "") -> Metric:
    return Metric(name, label, about, f"count(*) filter (where {where})" if where else "count(*)")


def _share(column: str, share: float, about: str, unit: str) -> Metric:
    """A percentile of hours, in hours or days."""
    word = f"p{share * 100:.0f}"
    sql = f"percentile_cont({share}) within group (order by {column}){' / 24' if unit == 'days' else ''}"
    return Metric(f"{column.removesuffix('_h')}_{word}_{unit[0]}", f"{word}, {unit}", about, sql, ONE_DECIMAL)


AGEING: Final = Dataset(
    view="ageing",
    time="started_at",
    metrics=(
        _how_many("open_runs", "open", "Runs neither completed nor archived"),
        _how_many("overdue_runs", "overdue", "Open runs that should have been completed by now", "is_overdue"),
        _how_many(
            "due_soon_runs",
            f"due within {DUE_SOON_DAYS} days",
            f"Open runs due in the next {DUE_SOON_DAYS} days",
            "is_due_soon",
        ),
        _how_many("problem_runs", "with problems", "Open runs with a problem or an open issue", "has_problem"),
        Metric("data_as_of", "data as of (UTC)", "Until when hours are counted", "max(as_of)", "%Y-%m-%d %H:%M"),
    ),
    computed={
        "age_d": Computed(pl.Float64(), "Days since its start", "age_h / 24"),
        "idle_d": Computed(pl.Float64(), "Days since its last change", "idle_h / 24"),
        "overdue_d": Computed(pl.Float64(), "Days since it was due", "overdue_h / 24"),
    },
)
CYCLE_TIME: Final = Dataset(
    view="cycle_time",
    time="completed_at",
    metrics=(
        Metric("completed_runs", "completed", "Runs that were completed", "count(completed_at)"),
        _share("elapsed_h", 0.5, "Half of the runs took so long, or less", "days"),
        _share("elapsed_h", 0.85, "85 of 100 runs did", "days"),
        _share("elapsed_h", 0.95, "95 of 100 runs did", "days"),
    ),
)
WORK_IN_PROGRESS: Final = Dataset(
    view="work_in_progress",
    time="until",
    metrics=(
        Metric("closed_by_then", "closed", "Runs completed or archived by the end of the day", "sum(closed)"),
        Metric("open_then", "open", "Runs open at the end of the day", 'sum("open")'),
        Metric("opened_by_then", "started", "Runs started by the end of the day", "sum(opened)"),
    ),
)
WAITING: Final = Dataset(
    view="waiting",
    time="completed_at",
    metrics=(
        _how_many("tasks_done", "done", "Tasks that were completed, and not skipped", "is_done"),
        _how_many("tasks_open", "open", "Tasks that are neither completed, skipped nor archived", "is_open"),
        _share("since_previous_h", 0.5, "Half of the tasks took so long, or less, since the one before", "hours"),
        _share("since_previous_h", 0.9, "Nine of ten tasks did", "hours"),
    ),
    computed={
        "step_of": Computed(pl.String(), "The step's title, after that of its template", "template || ': ' || step_title")
    },
)
DATASETS: Final = (AGEING, CYCLE_TIME, WORK_IN_PROGRESS, WAITING)


def _number(  # noqa: PLR0913 - the words of a chart
    name: str, title: str, dataset: Dataset, metric: str, *, kind: Kind = "number", width: int = 2
) -> Chart:
    about = f"{dataset.metric(metric).about}."
    return Chart(
        name=name, title=title, about=about, kind=kind, dataset=dataset, metrics=(metric,), width=width, height=20
    )  # fmt: skip


NOW: Final = Dashboard(
    name="now",
    title="Now",
    about="What is open, and what of it needs somebody.",
    filters=AGEING,
    refresh_s=300,
    rows=(
        (
            _number("open", "Open", AGEING, "open_runs"),
            _number("overdue", "Overdue", AGEING, "overdue_runs"),
            _number("due-soon", f"Due in {DUE_SOON_DAYS} days", AGEING, "due_soon_runs"),
            _number("problems", "With problems", AGEING, "problem_runs"),
            _number("as-of", "Data as of (UTC)", AGEING, "data_as_of", kind="moment", width=4),
        ),
        (
            Chart(
                name="open-by-template",
                title="Open by template",
                about="Open runs of each template, by status.",
                kind="bars",
                dataset=AGEING,
                metrics=("open_runs",),
                x="template",
                by=("run_status",),
            ),
            Chart(
                name="open-by-owner",
                title="Open and overdue by owner",
                about="Open runs of each owner, and how many of them are overdue; the 15 with the most.",
                kind="bars",
                dataset=AGEING,
                metrics=("open_runs", "overdue_runs"),
                x="owner",
                largest="open_runs",
                limit=15,
            ),
        ),
        (
            Chart(
                name="ages",
                title="Open by age, days",
                about="Open runs by days since their start.",
                kind="bars",
                dataset=AGEING,
                metrics=("open_runs", "overdue_runs"),
                x="age_band",
                width=4,
            ),
            Chart(
                name="problem-list",
                title="Problems, the longest untouched first",
                about="Open runs with a problem or an open issue, up to 500; the longest untouched first.",
                kind="rows",
                dataset=AGEING,
                columns=("name", "template", "owner", "run_status", "age_d", "idle_d"),
                only=("has_problem",),
                largest="idle_d",
                limit=500,
                width=8,
            ),
        ),
        (
            Chart(
                name="overdue-list",
                title="Overdue, the longest first",
                about="Open runs that should have been completed by now, up to 500; the longest overdue first.",
                kind="rows",
                dataset=AGEING,
                columns=("name", "template", "owner", "run_status", "due_date", "overdue_d"),
                only=("is_overdue",),
                largest="overdue_d",
                limit=500,
            ),
            Chart(
                name="oldest-list",
                title="Open, the oldest first",
                about="Open runs, up to 500; the oldest first.",
                kind="rows",
                dataset=AGEING,
                columns=("name", "template", "owner", "run_status", "started_at", "age_d"),
                known=("age_d",),
                largest="age_d",
                limit=500,
            ),
        ),
    ),
)

FLOW: Final = Dashboard(
    name="flow",
    title="Flow",
    about="How runs and tasks move over time.",
    filters=CYCLE_TIME,
    rows=(
        (
            _number("completed", "Completed", CYCLE_TIME, "completed_runs", width=3),
            _number("median", "Median cycle time, days", CYCLE_TIME, "elapsed_p50_d", width=3),
            _number("tasks-done", "Tasks done", WAITING, "tasks_done", width=3),
            _number("step-median", "Median time per task, hours", WAITING, "since_previous_p50_h", width=3),
        ),
        (
            Chart(
                name="throughput",
                title="Completed per week",
                about="Runs completed in each week (from Monday, UTC), by template. The last week may not be over.",
                kind="bars",
                dataset=CYCLE_TIME,
                metrics=("completed_runs",),
                x="completed_at",
                grain=WEEK,
                by=("template",),
                known=("completed_at",),
            ),
            Chart(
                name="cycle-times",
                title="Cycle time by week of completion, days",
                about="From start to completion: half, 85 and 95 of 100 of a week's runs took so long, or less.",
                kind="lines",
                dataset=CYCLE_TIME,
                metrics=("elapsed_p50_d", "elapsed_p85_d", "elapsed_p95_d"),
                x="completed_at",
                grain=WEEK,
                known=("completed_at",),
            ),
        ),
        (
            Chart(
                name="cumulative-flow",
                title="Cumulative flow",
                about="Runs closed and runs open at the end of each day; together, those started by then.",
                kind="areas",
                dataset=WORK_IN_PROGRESS,
                metrics=("closed_by_then", "open_then"),
                x="until",
            ),
            Chart(
                name="cycle-times-by-template",
                title="Cycle time by template, days",
                about="Runs completed, and how long half, 85 and 95 of 100 of them took, or less.",
                kind="rows",
                dataset=CYCLE_TIME,
                metrics=("completed_runs", "elapsed_p50_d", "elapsed_p85_d", "elapsed_p95_d"),
                by=("template",),
                known=("completed_at",),
                largest="completed_runs",
            ),
        ),
        (
            Chart(
                name="slowest-steps",
                title="Slowest steps, hours",
                about="Median time of a step's tasks since the one before was completed; the 15 slowest steps.",
                kind="bars",
                dataset=WAITING,
                metrics=("since_previous_p50_h",),
                x="step_of",
                known=("since_previous_h",),
                largest="since_previous_p50_h",
                limit=15,
            ),
            Chart(
                name="steps",
                title="Waiting per step, hours",
                about="Each step of each template: tasks done and open, and the time since the one before was completed.",
                kind="rows",
                dataset=WAITING,
                metrics=("tasks_done", "tasks_open", "since_previous_p50_h", "since_previous_p90_h"),
                by=("template", "step_title"),
                largest="tasks_open",
            ),
        ),
    ),
)
DASHBOARDS: Final = (NOW, FLOW)
