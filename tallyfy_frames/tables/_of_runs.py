"""What the tables share whose rows stand inside runs: they come with runs, chosen by the filters of runs."""

from __future__ import annotations

from typing import Final

import polars as pl

from tallyfy_frames.tables._table import Rows, column

TASKS_STATED: Final = {"tasks": "progress_total"}  # visible ones, as includes have them


class OfRun(Rows):
    """A row inside a run."""

    run_id: pl.String = column(about="The run", reads="parent", nullable=False, refers="runs.id")


class ListedOfRun(OfRun):
    """One of several."""

    position: pl.Int64 = column(about="Its place in the run's list, from 1", reads="place", unit="place", nullable=False, ge=1)
