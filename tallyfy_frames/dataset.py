"""Tables of one organization, read together, with their keys checked against one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.errors import ContractError, UsageError
from tallyfy_frames.frames.privacy import Mode
from tallyfy_frames.frames.validate import OnInvalid
from tallyfy_frames.pipeline import Job
from tallyfy_frames.progress import ProgressOption
from tallyfy_frames.reading import FILTERED, check_arguments, first_rows, in_order, privacy_of, readings
from tallyfy_frames.report import LoadReport
from tallyfy_frames.settings import Settings
from tallyfy_frames.showing import grid
from tallyfy_frames.tables._filters import Filters
from tallyfy_frames.tables._table import Table

USUAL: Final = ("run_tasks", "task_owners", "run_tags", "templates", "users", "groups", "tags")
DANGLING_SCHEMA: Final = pl.Schema(
    [("table", pl.String()), ("column", pl.String()), ("refers", pl.String()), ("rows", pl.Int64())]
)


@dataclass(frozen=True, slots=True)
class Dataset(Mapping[str, pl.DataFrame]):
    """Frames by table name, as a mapping and as attributes (``dataset.run_tasks``).

    ``reports`` has what each read list did, by the list's name. ``dangling`` counts rows that refer to something which is not
    in the table it should be in (table, column, refers, rows): deleted since, hidden from the token's user or by a rule, left
    out by the filters, or changed between the reading of one list and of the other. That a part has no run is an error.
    """

    frames: Mapping[str, pl.DataFrame]
    reports: Mapping[str, LoadReport] = field(repr=False)
    dangling: pl.DataFrame = field(repr=False)

    def __getitem__(self, name: str) -> pl.DataFrame:
        """The frame of a table; ``UsageError`` for one that was not read."""
        if name not in self.frames:
            raise UsageError(f"the dataset has no table {name!r}", hint=f"it has {', '.join(self.frames)}")
        return self.frames[name]

    def __getattr__(self, name: str) -> pl.DataFrame:
        """The same, as an attribute."""
        if name.startswith("_") or name not in self.frames:
            raise AttributeError(f"the dataset has no table {name!r}; it has {', '.join(self.frames)}")
        return self.frames[name]

    def __iter__(self) -> Iterator[str]:
        """Names."""
        return iter(self.frames)

    def __len__(self) -> int:
        """How many tables."""
        return len(self.frames)

    def __contains__(self, name: object) -> bool:
        """Whether a table was read."""
        return name in self.frames

    def __dir__(self) -> list[str]:
        """Tables, too."""
        return sorted({*object.__dir__(self), *self.frames})

    def __repr__(self) -> str:
        """The same as :meth:`__str__` in one line."""
        return f"Dataset({', '.join(str(self).splitlines())})"

    def _repr_html_(self) -> str:
        """Tables, rows and columns, for a notebook."""
        lost = self.dangling["rows"].sum()
        told = f"; rows that refer to what is not there: {lost:,}, in its dangling" if lost else ""
        rows = ((name, frame.height, frame.width) for name, frame in self.frames.items())
        return grid(f"{len(self)} tables{told}", ("table", "rows", "columns"), rows)

    def __str__(self) -> str:
        """Tables and rows."""
        return "\n".join(f"{name}: {frame.height} rows" for name, frame in self.frames.items())


def load_dataset(  # noqa: PLR0913 - the public face
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    include: Sequence[str] = USUAL,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    privacy: Mode = "keep",
) -> Dataset:
    """Runs that match, and with them the tables that ``include`` names: every frame complete, or an error.

    What stands inside runs (``run_tasks``, ``task_owners``, ``run_tags`` …) comes in the same answers as the runs, for no more
    requests. All other tables are read from routes of their own, whole, archived rows included: ``filters``, ``limit`` (the
    newest so many) and ``created_since`` choose runs only. :func:`tallyfy_frames.plan` says what that takes. Each frame is
    ordered as :func:`tallyfy_frames.load` orders it, and its keys are unique.

    Raises what :func:`tallyfy_frames.load` raises; ``ContractError`` if a row belongs to a run that is not there.
    """
    check_arguments(settings, on_invalid, progress, None)
    settings = settings or Settings.from_env()
    if isinstance(include, str) or not all(isinstance(name, str) for name in include):
        raise UsageError("include must be a list of tables", hint="include=('run_tasks', 'users')")
    names = [*dict.fromkeys((FILTERED, *include))]
    kept_back, wanted = privacy_of(privacy, settings), readings(names, filters, whole=False)
    since = first_rows(wanted[0].spec, wanted[0].filters, limit, created_since)
    found: dict[str, pl.DataFrame] = {}
    reports: dict[str, LoadReport] = {}
    for reading in wanted:
        report = reports[reading.spec.name] = LoadReport()
        job = Job(reading.spec, reading.filters, settings, report, reading.makes, on_invalid, privacy=kept_back)
        if reading.spec.name == FILTERED:
            job.limit, job.since = limit, since
        frames: dict[str, list[pl.DataFrame]] = {table.name: [] for table in reading.makes}
        for name, frame in job.run(progress):
            frames[name].append(frame)
        for table in reading.makes:
            found[table.name] = in_order(table, frames.pop(table.name), limit=limit if table.name == FILTERED else None)
    return Dataset({name: found[name] for name in names}, reports, _dangling([tables.get(name) for name in names], found))


def _dangling(read: Sequence[Table], frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Rows that refer to what is not there; ``ContractError`` where that would be our fault."""
    found = []
    for table in read:
        for column in table.columns:
            target, _, key = (column.refers or "").partition(".")
            if target not in frames:
                continue
            known = frames[target].select(pl.col(key).alias(column.name)).unique()
            told = frames[table.name].select(column.name).with_row_index("row")
            if isinstance(column.dtype, pl.List):
                told = told.explode(column.name, empty_as_null=True)
            rows = told.drop_nulls().join(known, on=column.name, how="anti")["row"].n_unique()
            if not rows:
                continue
            if table.must_find(column, tables.get(target)):
                what = f"{rows} rows of {table.name} belong to {target} that are not there"
                raise ContractError(what, column=column.name, hint="please report it: it is our mistake")
            found.append((table.name, column.name, column.refers, rows))
    return pl.DataFrame(found, schema=DANGLING_SCHEMA, orient="row")
