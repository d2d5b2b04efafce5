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


@dashboard_app.command()
def superset(  # noqa: PLR0913 - the options of the command
    database_uri: Annotated[
        str,
        typer.Option(
            "--database-uri", help="As Superset is to use it: duckdb:////srv/lake.duckdb or postgresql://user@host/db."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip to write.")],
    schema: Annotated[
        str | None, typer.Option("--schema", help="Where the views are, if not in main or tallyfy.", show_default=False)
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="Of the database and its dashboards; another name, other dashboards.")
    ] = "Tallyfy",
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table", help="A table to explore; repeat for more. Default: runs, run_tasks, users.", show_default=False
        ),
    ] = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """Make a bundle for Apache Superset: the database, its datasets, and two dashboards."""
    with speaking(log_format) as voice:
        from tallyfy_frames.dashboards.superset import EXPLORED, write_bundle  # noqa: PLC0415 - heavy

        path = write_bundle(output, database_uri, schema=schema, name=name, explored=table or EXPLORED)
        voice.say("info", f"wrote {path}; import it in Superset", path=str(path))
        put_out(f"{path}\n".encode())
