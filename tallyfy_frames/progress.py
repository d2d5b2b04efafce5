"""A progress bar on a terminal, or in Jupyter where ipywidgets is installed; silence everywhere else."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from tallyfy_frames.report import ProgressEvent

Listener: TypeAlias = Callable[[ProgressEvent], None]
ProgressOption: TypeAlias = Listener | Literal[False] | None


@contextmanager
def listening(progress: ProgressOption) -> Iterator[Listener]:
    """Where a load's events go: to the caller's function, to a bar, or nowhere."""
    if callable(progress):
        yield progress
    elif progress is None and (sys.stderr.isatty() or _in_jupyter()):
        with _bar() as listener:
            yield listener
    else:
        yield _ignore


def _ignore(event: ProgressEvent) -> None:
    """Silence."""


def _in_jupyter() -> bool:
    """Whether this is a notebook that can show a bar: rich draws it with ipywidgets, and complains without."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell" and importlib.util.find_spec("ipywidgets") is not None


@contextmanager
def _bar() -> Iterator[Listener]:
    """A bar with pages, rows, rate and time left, on standard error."""
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[pages]} pages"),
        TextColumn("{task.fields[rows]} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("connecting", total=None, pages=0, rows=0, rate=0.0)

        def show(event: ProgressEvent) -> None:
            pages = f"{event.pages}/{event.total_pages}" if event.total_pages else str(event.pages)
            bar.update(
                task,
                description=event.table,
                completed=event.rows,
                total=event.total_rows,
                pages=pages,
                rows=f"{event.rows:,}",
                rate=event.rows / event.elapsed_s if event.elapsed_s else 0.0,
            )

        yield show
