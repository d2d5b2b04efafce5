"""``sync``: a snapshot into a database, one subcommand for each kind of them."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from tallyfy_frames.cli._command import LogOption, put_out, speaking
from tallyfy_frames.voice import LogFormat

sync_app = typer.Typer(no_args_is_help=True, help="Bring the tables of a database to what a snapshot holds.")


@sync_app.callback()
def _group() -> None:
    """Without this, typer would take the one command that there is for the whole of it."""


@sync_app.command()
def postgres(
    root: Annotated[str, typer.Argument(help="Where the snapshots are: a folder, or s3://bucket/prefix.")],
    dsn: Annotated[
        str,
        typer.Option("--dsn", help="The database, as libpq takes it. Better without a password: PGPASSWORD, or ~/.pgpass."),
    ],
    schema: Annotated[str, typer.Option("--schema", help="The schema of the tables, made if it is not there.")] = "tallyfy",
    at: Annotated[
        str | None,
        typer.Option("--at", help="Another snapshot than the current one: its name, or an instant.", show_default=False),
    ] = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """Bring PostgreSQL's tables to what a snapshot holds, in one transaction: all of it, or nothing."""
    with speaking(log_format) as voice:
        from tallyfy_frames.databases.postgres import sync_postgres  # noqa: PLC0415 - heavy

        synced = sync_postgres(root, dsn, schema=schema, at=at)
        for name, rows in synced.tables.items():
            voice.say("info", f"{name}: {rows}", table=name, **dataclasses.asdict(rows))
        put_out(f"{synced.snapshot}\n".encode())
