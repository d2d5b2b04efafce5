"""``tallyfy-frames dashboard``: what dashboards look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tallyfy_frames.cli._command import LogOption, put_out, speaking
from tallyfy_frames.voice import LogFormat

dashboard_app = typer.Typer(help="Make what dashboards look at.", no_args_is_help=True)


@dashboard_app.command()
def duckdb(
    root: Annotated[str, typer.Argument(help="A folder with snapshots.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: ROOT with .duckdb behind it.", show_default=False)
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="Another snapshot: its name, or an instant.", show_default=False)
    ] = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """Make a DuckDB file: a view for each table of the current snapshot, and the measures as views."""
    with speaking(log_format) as voice:
        from tallyfy_frames.databases.duckdb import write_duckdb  # noqa: PLC0415 - heavy

        path = write_duckdb(root, output, at=at)
        voice.say("info", f"wrote {path}; open it read-only", path=str(path))
        put_out(f"{path}\n".encode())
