"""A progress bar on a terminal or in Jupyter; silence everywhere else. It goes away when the load ends, however it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from tallyfy_frames.report import ProgressEvent
from tallyfy_frames.showing import Html, duration, tag

Listener: TypeAlias = Callable[[ProgressEvent], None]
ProgressOption: TypeAlias = Listener | Literal[False] | None

REDRAWN_S: Final = 0.1  # a notebook draws no oftener: each drawing is a message to the browser
# In the colour of the notebook's own text, whichever theme it has.
FRAME: Final = "display:inline-block;width:16em;height:.7em;border:1px solid;border-radius:.35em;overflow:hidden;opacity:.7"
FILLED: Final = "width:{percent:.1f}%;height:100%;background:currentColor"
UNKNOWN: Final = "height:100%;background:repeating-linear-gradient(-45deg,currentColor 0 .3em,transparent .3em .7em);opacity:.4"


@contextmanager
def listening(progress: ProgressOption) -> Iterator[Listener]:
    """Where a load's events go: to the caller's function, to a bar, or nowhere."""
    if callable(progress):
        yield progress
    elif progress is None and sys.stderr.isatty():
        with _terminal_bar() as listener:
            yield listener
    elif progress is None and _in_jupyter():
        with _notebook_bar() as listener:
            yield listener
    else:
        yield silent


def silent(event: ProgressEvent) -> None:
    """Silence."""


def _in_jupyter() -> bool:
    """Whether this is a notebook; some (Google's) have a shell of their own below Jupyter's."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return "ZMQInteractiveShell" in (kind.__name__ for kind in type(shell).__mro__)


def _told(event: ProgressEvent) -> str:
    """Pages, rows and rate. Some pages are read again, so that a total of pages would say little."""
    rows = f"{event.rows:,}/{event.total_rows:,}" if event.total_rows else f"{event.rows:,}"
    rate = event.rows / event.elapsed_s if event.elapsed_s else 0.0
    return f"{event.pages:,} pages · {rows} rows · {rate:,.0f} rows/s"


@contextmanager
def _terminal_bar() -> Iterator[Listener]:
    """On standard error."""
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("connecting", total=None, told="")

        def show(event: ProgressEvent) -> None:
            bar.update(task, description=event.table, completed=event.rows, total=event.total_rows, told=_told(event))

        yield show


@contextmanager
def _notebook_bar() -> Iterator[Listener]:
    """In the output of the cell: HTML without scripts, which every notebook shows, and no packages besides."""
    from IPython.display import DisplayHandle  # noqa: PLC0415 - only where there is a notebook

    bar, drawn_s = DisplayHandle(), time.monotonic()
    bar.display(_drawn("connecting", "", None), raw=True)

    def show(event: ProgressEvent) -> None:
        nonlocal drawn_s
        now_s = time.monotonic()
        if now_s - drawn_s < REDRAWN_S:
            return
        drawn_s = now_s
        share = min(1.0, event.rows / event.total_rows) if event.total_rows else None
        left = f" · {duration(event.elapsed_s / share - event.elapsed_s)} left" if share else ""
        bar.update(_drawn(event.table, _told(event) + left, share), raw=True)

    try:
        yield show
    finally:
        bar.update({"text/html": "", "text/plain": ""}, raw=True)  # takes no room in JupyterLab; nbconvert warns of {}


def _drawn(table: str, told: str, share: float | None) -> dict[str, Html | str]:
    """The bar, by kind of output; ``share`` is None where no total is known."""
    filled = tag("div", style=UNKNOWN if share is None else FILLED.format(percent=100 * share))
    known = {} if share is None else {"aria_valuenow": f"{100 * share:.0f}"}
    frame = tag("div", filled, role="progressbar", aria_label=table, style=FRAME, **known)
    return {"text/html": tag("div", tag("b", table), " ", frame, " ", told), "text/plain": f"{table} {told}"}
