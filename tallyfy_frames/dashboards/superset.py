"""A bundle for Apache Superset: a database, datasets, charts and dashboards, in files that it imports.

The shape of the files is that of Superset's own exports (version 1.0.0), as the importers of 6.1 read them. They are JSON,
which is YAML, too. Every thing has an id made of its name: importing a newer bundle updates what an older one has brought.
"""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.atomic import write_bytes
from tallyfy_frames.dashboards.charts import DASHBOARDS, DATASETS, FILTERS, Chart, Computed, Dashboard, Dataset, Metric
from tallyfy_frames.dashboards.drawing import VIZ, form, query
from tallyfy_frames.databases.facts import comment
from tallyfy_frames.databases.views import VIEWS, Told
from tallyfy_frames.errors import UsageError
from tallyfy_frames.tables._table import Column

VERSION: Final = {"version": "1.0.0"}
NAME: Final = "Tallyfy"
EXPLORED: Final = ("runs", "run_tasks", "users")
MASK: Final = "XXXXXXXXXX"  # Superset's own: whoever imports it is asked for the password
SECRET: Final = re.compile("password|secret|scram_.*_key", re.IGNORECASE)  # words of libpq that hold one
CACHED_S: Final = 60  # where Superset keeps answers; a day is its default
IDS: Final = uuid.UUID("6f2b1d0e-54c8-5d0a-9a53-0d3c0e4a7a11")
EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the same bundle has the same bytes
TYPES: Final[Mapping[object, str]] = {
    pl.String: "VARCHAR",
    pl.Int64: "BIGINT",
    pl.Float64: "DOUBLE PRECISION",
    pl.Boolean: "BOOLEAN",
    pl.Datetime: "TIMESTAMP",
    pl.List: "ARRAY",
}
UNITS: Final = {"h": "hours", "d": "days"}


def write_bundle(
    path: str | Path,
    database_uri: str,
    *,
    schema: str | None = None,
    name: str = NAME,
    explored: Sequence[str] = EXPLORED,
) -> Path:
    """Write a zip that Superset imports: a database, datasets, charts, and the dashboards *now* and *flow*; where it lies.

    ``database_uri`` is SQLAlchemy's, as Superset is to use it: of a file of :func:`tallyfy_frames.write_duckdb`, which it will
    open read-only, or of a PostgreSQL that ``sync postgres`` fills. A password in it is left out: Superset asks for it.
    ``schema`` defaults to what these two use. ``name`` tells this database and its dashboards from others: a bundle replaces
    what was imported under its name. ``explored`` are tables to have as datasets, beside the views that charts are made of.

    Raises ``UsageError`` for an address that Superset could not use, ``SinkError`` for what the disk refuses.
    """
    if not name.strip():
        raise UsageError("the name is empty")
    uri = _usable(database_uri)
    bundle = _Bundle(name.strip(), uri, schema or ("main" if uri.startswith("duckdb") else "tallyfy"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for place, facts in bundle.files(explored):
            text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
            archive.writestr(zipfile.ZipInfo(f"tallyfy_frames/{place}", EPOCH), text, zipfile.ZIP_DEFLATED)
    target = Path(path).expanduser()
    write_bytes(target, made.getvalue())
    return target


def _usable(uri: str) -> str:
    """The address without its password; of a DuckDB file one that opens it read-only."""
    try:
        parts = urlsplit(uri)
        host, password = parts.hostname, parts.password
    except ValueError:
        parts, host, password = urlsplit(""), None, None
    kind = parts.scheme.partition("+")[0]
    if kind == "duckdb":
        path, _, rest = uri.partition(":")[2].removeprefix("//").partition("?")  # as SQLAlchemy has it: # is a sign like others
        if not path.startswith("//"):
            hint = "four slashes, then the path as Superset sees it: duckdb:////srv/lake.duckdb"
            raise UsageError("the database URI does not name a file by its whole path", hint=hint)
        return f"duckdb://{path}?{urlencode({**dict(parse_qsl(rest)), 'access_mode': 'READ_ONLY'})}"
    if kind != "postgresql":  # it is not repeated: it may hold a password
        what = "the database URI is neither DuckDB's nor PostgreSQL's"
        raise UsageError(what, hint="duckdb:////srv/lake.duckdb, or postgresql://user@host/database")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # it began in a password
        raise UsageError("the database URI has a sign in its password that ends it", hint="write / as %2F, ? as %3F, # as %23")
    if host is None or not parts.path.strip("/"):
        raise UsageError("the database URI names no host or no database", hint="postgresql://user@host/database")
    if any(SECRET.search(key) for key, _ in parse_qsl(parts.query)):
        raise UsageError("the database URI has a password behind its ?", hint="postgresql://user:password@host/database")
    user, at, where = parts.netloc.rpartition("@")
    masked = user if password is None else f"{user.partition(':')[0]}:{MASK}"
    return urlunsplit((parts.scheme, f"{masked}{at}{where}", parts.path, parts.query, ""))


class _Bundle:
    """All files of a bundle."""

    def __init__(self, name: str, uri: str, schema: str) -> None:
        self.name = name
        self.uri = uri
        self.schema = schema
        self.slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or quote(name, safe="")

    def files(self, explored: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each file's path in it, and what it says."""
        # Without a type: with one, either the importer of dashboards or that of everything would refuse it.
        yield "metadata.yaml", VERSION | {"timestamp": "1980-01-01T00:00:00+00:00"}
        yield self.file_of_database, self.database()
        for dataset in DATASETS:
            view = next(view for view in VIEWS if view.name == dataset.view)
            yield self.file_of(dataset), self.dataset(dataset, view.about, view.columns)
        for table in map(tables.get, dict.fromkeys(explored)):
            columns = {column.name: column for column in table.columns}
            time = table.order or next(name for name, column in columns.items() if isinstance(column.dtype, pl.Datetime))
            rows = Metric("rows", "rows", table.about, "count(*)")
            dataset = Dataset(view=table.name, time=time, metrics=(rows,))
            yield self.file_of(dataset), self.dataset(dataset, table.about, columns)
        for dashboard in DASHBOARDS:
            for chart in dashboard.charts:
                yield f"charts/{dashboard.name}-{chart.name}.yaml", self.chart(dashboard, chart)
            yield f"dashboards/{dashboard.name}.yaml", self.dashboard(dashboard)

    @property
    def file_of_database(self) -> str:
        """Also what Superset's importer calls the database whose password it asks for."""
        return f"databases/{self.slug}.yaml"

    def file_of(self, dataset: Dataset) -> str:
        return f"datasets/{self.slug}/{dataset.view}.yaml"

    def id_of(self, *words: str) -> str:
        """The id of a thing, the same in every bundle of this name."""
        return str(uuid.uuid5(IDS, json.dumps([self.name, *words])))

    def database(self) -> dict[str, Any]:
        """Where the views are."""
        driver = self.uri.partition("://")[0]
        arguments = {"options": "-c timezone=UTC"} if driver in {"postgresql", "postgresql+psycopg2"} else {}
        return VERSION | {
            "database_name": self.name,
            "sqlalchemy_uri": self.uri,
            "cache_timeout": CACHED_S,
            "expose_in_sqllab": True,
            "allow_ctas": False,
            "allow_cvas": False,
            "allow_dml": False,
            "allow_csv_upload": False,
            "extra": {"allows_virtual_table_explore": True, "engine_params": {"connect_args": arguments} if arguments else {}},
            "uuid": self.id_of("database"),
        }

    def dataset(self, dataset: Dataset, about: str, columns: Mapping[str, Column | Told]) -> dict[str, Any]:
        """A table or view, what its columns mean, and its metrics."""
        return VERSION | {
            "table_name": dataset.view,
            "schema": self.schema,
            "description": about,
            "main_dttm_col": dataset.time,
            "sql": None,
            "filter_select_enabled": True,
            "columns": [
                *(_column(name, told, comment(told)) for name, told in columns.items()),
                *(_column(name, told, told.about) | {"expression": told.sql} for name, told in dataset.computed.items()),
            ],
            "metrics": [
                {
                    "metric_name": metric.name,
                    "verbose_name": metric.label,
                    "description": metric.about,
                    "expression": metric.sql,
                    "d3format": metric.format,
                }
                for metric in dataset.metrics
            ],
            "uuid": self.id_of("dataset", dataset.view),
            "database_uuid": self.id_of("database"),
        }

    def chart(self, dashboard: Dashboard, chart: Chart) -> dict[str, Any]:
        """A chart, and the query that makes it."""
        return VERSION | {
            "slice_name": chart.title,
            "description": chart.about,
            "viz_type": VIZ[chart.kind],
            "params": form(chart),
            "query_context": json.dumps(query(chart)),
            "uuid": self.id_of("chart", dashboard.name, chart.name),
            "dataset_uuid": self.id_of("dataset", chart.dataset.view),
        }

    def dashboard(self, dashboard: Dashboard) -> dict[str, Any]:
        """Charts in rows, and filters."""
        return VERSION | {
            "dashboard_title": f"{self.name}: {dashboard.title}",
            "description": dashboard.about,
            "slug": f"{self.slug}-{dashboard.name}",
            "published": True,
            "position": self.position(dashboard),
            "metadata": {
                "color_scheme": "",
                "cross_filters_enabled": True,
                "refresh_frequency": dashboard.refresh_s,
                "native_filter_configuration": [
                    *(self.choice(dashboard, column, title) for column, title in FILTERS.items()),
                    _filter("time", "Time", "filter_time", {}),
                ],
            },
            "uuid": self.id_of("dashboard", dashboard.name),
        }

    def position(self, dashboard: Dashboard) -> dict[str, Any]:
        """Where each chart stands: rows of a grid twelve columns wide."""
        rows = {f"ROW-{number}": charts for number, charts in enumerate(dashboard.rows, 1)}
        made: dict[str, Any] = {
            "DASHBOARD_VERSION_KEY": "v2",
            "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
            "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": [*rows], "parents": ["ROOT_ID"]},
            "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": f"{self.name}: {dashboard.title}"}},
        }
        for row, charts in rows.items():
            made[row] = {
                "id": row,
                "type": "ROW",
                "children": [f"CHART-{chart.name}" for chart in charts],
                "parents": ["ROOT_ID", "GRID_ID"],
                "meta": {"background": "BACKGROUND_TRANSPARENT"},
            }
            for chart in charts:
                made[f"CHART-{chart.name}"] = {
                    "id": f"CHART-{chart.name}",
                    "type": "CHART",
                    "children": [],
                    "parents": ["ROOT_ID", "GRID_ID", row],
                    "meta": {
                        "chartId": dashboard.charts.index(chart) + 1,  # the importer puts the real one here
                        "uuid": self.id_of("chart", dashboard.name, chart.name),
                        "sliceName": chart.title,
                        "width": chart.width,
                        "height": chart.height,
                    },
                }
        return made

    def choice(self, dashboard: Dashboard, column: str, title: str) -> dict[str, Any]:
        """A filter by the values of a column that every view has."""
        target = {"datasetUuid": self.id_of("dataset", dashboard.filters.view), "column": {"name": column}}
        chosen = {"multiSelect": True, "enableEmptyFilter": False, "defaultToFirstItem": False, "inverseSelection": False}
        return _filter(column, title, "filter_select", target) | {"controlValues": chosen | {"searchAllOptions": True}}


def _filter(name: str, title: str, kind: str, target: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"NATIVE_FILTER-{name}",
        "name": title,
        "filterType": kind,
        "type": "NATIVE_FILTER",
        "description": "",
        "targets": [target],
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
        "controlValues": {},
        "cascadeParentIds": [],
        "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
        "chartsInScope": [],
        "tabsInScope": [],
    }


def _column(name: str, told: Column | Told | Computed, about: str) -> dict[str, Any]:
    words, _, unit = name.rpartition("_")
    # Of text, the name itself: what a click on it filters by is called as the axis is.
    title = name if told.dtype == pl.String else (f"{words}, {UNITS[unit]}" if unit in UNITS else name).replace("_", " ")
    return {
        "column_name": name,
        "verbose_name": getattr(told, "title", None) or title,
        "description": about,
        "type": TYPES[told.dtype.base_type()],
        "is_dttm": isinstance(told.dtype, pl.Datetime),
        "groupby": True,
        "filterable": True,
    }
