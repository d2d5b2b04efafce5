"""The command line: words in, words out, exit codes. Data goes to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tallyfy_frames import tables
from tallyfy_frames._version import __version__
from tallyfy_frames.cli._command import (
    InvalidOption,
    LogOption,
    PaceOption,
    PrivacyOption,
    WaitOption,
    put_out,
    quiet_retries,
    settings_with,
    speaking,
    until_interrupted,
)
from tallyfy_frames.cli.dashboard import dashboard_app
from tallyfy_frames.cli.load import load_app
from tallyfy_frames.cli.sync import sync_app
from tallyfy_frames.errors import EXIT_CODES, ContractError, FilterError, SettingsError, TallyfyFramesError, UsageError
from tallyfy_frames.voice import LogFormat

# Typer's own tracebacks would show local variables; ours are errors with a message, or bugs with a plain traceback.
app = typer.Typer(
    name="tallyfy-frames",
    help="Tallyfy's processes as typed tables: load, snapshot, look.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(load_app, name="load")
app.add_typer(dashboard_app, name="dashboard")
app.add_typer(sync_app, name="sync")

CHANGES_SHOWN = 20  # of what the API sends anew


@app.command()
def snapshot(  # noqa: PLR0913 - the options of the command
    root: Annotated[str, typer.Argument(help="A folder, made if it is not there, or s3://bucket/prefix.")],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", help="A table to include; repeat for more. Default: runs.", show_default=False),
    ] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="A filter of runs, NAME=VALUE; repeat for more.", show_default=False)
    ] = None,
    on_invalid: InvalidOption = "raise",
    allow_shrink: Annotated[
        bool,
        typer.Option(
            "--allow-shrink",
            help="Publish although rows fell by more than 10 %, the token's user changed, or --privacy keeps more than it did.",
        ),
    ] = False,
    privacy: PrivacyOption = "keep",
    keep: Annotated[
        int | None, typer.Option("--keep", help="Snapshots to keep: the newest so many.", show_default=False)
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option("--keep-days", help="And those that are not older than so many days.", show_default=False),
    ] = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option(
            "--metrics-file", help="How it went, for Prometheus: written at the end, whatever that is.", show_default=False
        ),
    ] = None,
    duckdb: Annotated[
        Path | None,
        typer.Option(
            "--duckdb",
            help="A DuckDB file to make anew with views of the snapshot, once it is published: see dashboard duckdb.",
            show_default=False,
        ),
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Only say how many requests it would take, and how long; asks each list for a page.")
    ] = False,
    max_wait_s: WaitOption = None,
    max_requests_per_minute: PaceOption = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """Publish a snapshot as Parquet, partitioned by status: all of it, or nothing."""
    with speaking(log_format) as voice:
        from tallyfy_frames import planning  # noqa: PLC0415 - heavy
        from tallyfy_frames.databases.duckdb import target_of, write_duckdb  # noqa: PLC0415
        from tallyfy_frames.lake.changes import Change  # noqa: PLC0415
        from tallyfy_frames.lake.metrics import Metrics  # noqa: PLC0415
        from tallyfy_frames.lake.snapshot import write_snapshot  # noqa: PLC0415
        from tallyfy_frames.reading import FILTERED  # noqa: PLC0415

        quiet_retries()
        with Metrics(metrics_file, root) if metrics_file and not only_plan else contextlib.nullcontext() as metrics:
            given = _named(filters or (), FILTERED)
            names = table or ("runs",)
            settings = settings_with(max_wait_s=max_wait_s, max_requests_per_minute=max_requests_per_minute)
            if only_plan:
                put_out(f"{planning.plan(names, given, settings=settings, whole=True)}\n".encode())
                return
            if duckdb is not None:
                target_of(root, duckdb)  # what cannot be is refused before anything is read
            manifest = write_snapshot(
                root,
                given,
                tables=names,
                settings=settings,
                on_invalid=on_invalid,  # type: ignore[arg-type]  # checked there, with a better message
                allow_shrink=allow_shrink,
                privacy=privacy,  # type: ignore[arg-type]  # likewise
                keep=keep,
                keep_days=keep_days,
                progress=None if log_format is LogFormat.text else False,
            )
            if metrics is not None:
                metrics.manifest = manifest
            if duckdb is not None:
                try:
                    write_duckdb(root, duckdb)
                except TallyfyFramesError as error:
                    error.what = f"{manifest.snapshot} is published, but there are no new views of it: {error.what}"
                    raise
        for name, entry in manifest.tables.items():
            quarantined = f", {sum(file.rows for file in entry.quarantined)} quarantined" if entry.quarantined else ""
            resumed = f", {entry.answers_resumed} answers from an earlier job" if entry.answers_resumed else ""
            message = f"{name}: {entry.rows} rows{quarantined}{resumed}, proof: {entry.report['proof']}"
            voice.say("info", message, report=entry.report, answers_resumed=entry.answers_resumed)
        for change in manifest.changes[:CHANGES_SHOWN]:
            voice.say("warning", f"since the last snapshot: {Change(**change)}", change=change)
        if len(manifest.changes) > CHANGES_SHOWN:
            voice.say("warning", f"and {len(manifest.changes) - CHANGES_SHOWN} more such changes: the manifest has them")
        voice.say("info", f"published {manifest.location}", snapshot=manifest.snapshot, rows=manifest.rows)
        put_out(f"{manifest.location}\n".encode())


@app.command()
def verify(
    root: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
    at: Annotated[
        str | None, typer.Option("--at", help="Only this snapshot: its name, or an instant.", show_default=False)
    ] = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """Check every byte, count and key of the published snapshots: exit code 10 if anything is wrong."""
    with speaking(log_format) as voice:
        from tallyfy_frames.lake.verify import verify as look  # noqa: PLC0415 - heavy

        looked = look(root, at=at)
        for finding in looked.findings:
            voice.say("error", str(finding), place=finding.place, what=finding.what, advice=finding.advice)
        facts = {"findings": len(looked.findings), "snapshots": looked.snapshots, "files": looked.files}
        if looked.findings:
            code = EXIT_CODES[ContractError]
            voice.say("error", str(looked), exit_code=code, **facts)
            raise typer.Exit(code)
        voice.say("info", str(looked), **facts)


def _named(texts: Sequence[str], table: str) -> dict[str, Any]:
    """``NAME=VALUE`` …, each value of its filter's kind; only a filter that takes a list may come twice."""
    kinds = {field.name: str(field.type) for field in dataclasses.fields(tables.get(table).filters)}
    given: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise FilterError(f"a filter is NAME=VALUE, not {text!r}")
        kind = kinds.get(name, "")
        if "Sequence" in kind:
            given.setdefault(name, []).extend(value.split(","))
        elif name in given:
            raise FilterError(f"{name} is given twice", hint="it takes one value")
        else:
            given[name] = {"true": True, "false": False}.get(value, value) if "bool" in kind else value
    return given


@app.command(name="tables")
def show_tables(
    name: Annotated[str | None, typer.Argument(help="A table; without one, the tables there are.", show_default=False)] = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """The tables there are, or one table's columns: type, meaning, unit, class and source."""
    with speaking(log_format):
        from rich.console import Console  # noqa: PLC0415 - heavy
        from rich.table import Table  # noqa: PLC0415

        console = Console()
        if name is None:
            for known in tables.TABLES:
                typer.echo(f"{known}\t{tables.get(known).about}")
            return
        spec = tables.get(name)
        terminal = sys.stdout.isatty()
        null, never = ("", "never") if terminal else ("null", "never null")
        cells = [
            (
                column.name, str(column.dtype), null if column.nullable else never, column.kind, column.unit or "",
                (", " if terminal else ",").join(column.sources), column.notes,
            )
            for column in spec.columns
        ]  # fmt: skip
        if not terminal:
            for told in cells:
                typer.echo("\t".join(told))
            return
        grid = Table("column", "type", "null", "class", "unit", "source", "meaning", title=spec.about)
        for told in cells:
            grid.add_row(*told)
        console.print(grid)


@app.command()
def doctor(log_format: LogOption = LogFormat.text) -> None:
    """Check address, token, organization and rights, and say what to do next."""
    with speaking(log_format) as voice:
        from tallyfy_frames.doctor import examine  # noqa: PLC0415 - heavy
        from tallyfy_frames.settings import Settings  # noqa: PLC0415

        quiet_retries()
        try:
            settings = Settings.from_env()
        except SettingsError as error:
            voice.say("info", "✗ settings")
            raise error from None
        for finding in examine(settings):
            mark = {True: "✓", False: "✗", None: "?"}[finding.ok]
            voice.say("info", f"{mark} {finding.what}: {finding.found}", check=finding.what, ok=finding.ok)
            if finding.error is not None:
                raise finding.error
            if finding.advice:
                voice.say("info", f"  → {finding.advice}")


@app.command()
def sandbox(  # noqa: PLR0913 - the options of the command
    seed: Annotated[int, typer.Option(help="Another seed is another organization.")] = 1,
    runs: Annotated[int, typer.Option(min=0, help="How many runs it has.")] = 250,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="Runs of the last so many days, up to its today, 2031-06-01.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="NAME[@FIRST[xTIMES|+]]; repeat for more. 'list' names them.", show_default=False)
    ] = None,
    quirk: Annotated[
        list[str] | None,
        typer.Option(help="Another reading of the sources; repeat for more. 'list' names them.", show_default=False),
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="COUNT/SECONDS, a sliding window; repeat for more.", show_default=False)
    ] = None,
    live: Annotated[
        list[str] | None,
        typer.Option(
            help="KIND[:PER_REQUEST] or KIND@REQUEST: the list moves while it is read; repeat for more. 'list' names them.",
            show_default=False,
        ),
    ] = None,
    live_seed: Annotated[int, typer.Option(help="Another seed is another history.")] = 1,
    latency_ms: Annotated[float, typer.Option(min=0, help="Added to every answer.")] = 0,
    sign_in: Annotated[
        str, typer.Option(help="Whose variables to print: token, application, or refresh (a user's token for an application).")
    ] = "token",
    token_uses: Annotated[
        int | None,
        typer.Option(min=1, help="An application's access token ends after so many requests.", show_default=False),
    ] = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    """Serve a stand-in for the API on loopback, as unkind as the real one, until interrupted."""
    from tallyfy_frames.sandbox import FAULTS, LIVE, QUIRKS, SIGN_INS, Sandbox, World  # noqa: PLC0415

    for given, known in ((fault, FAULTS), (quirk, QUIRKS), (live, LIVE)):
        if given == ["list"]:
            for name, meaning in known.items():
                typer.echo(f"{name}\t{meaning}")
            return
    with speaking(log_format) as voice:
        if sign_in not in SIGN_INS:
            raise UsageError(f"--sign-in={sign_in}", hint=f"there are {', '.join(SIGN_INS)}")
        try:
            server = Sandbox(
                World(seed, runs, days=days),
                faults=fault or (),
                quirks=quirk or (),
                limits=limit or (),
                live=live or (),
                live_seed=live_seed,
                latency_ms=latency_ms,
                token_uses=token_uses,
                port=port,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"cannot listen on port {port}: {error.strerror}", hint="choose another --port") from None
        with until_interrupted():  # whoever reads "ready" may end it at once
            for name, value in server.environment_of(sign_in).items():
                typer.echo(f"export {name}={value}")
            typer.echo("ready")
            sys.stdout.flush()
            server.serve()
        voice.say("info", f"{len(server.requests)} requests served")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put the snapshot and the picture.")] = Path("demo"),
    runs: Annotated[int, typer.Option(min=1, help="How many runs the sandbox has.")] = 1000,
    log_format: LogOption = LogFormat.text,
) -> None:
    """See it work without a token: sandbox, real HTTP, a snapshot, a table and a picture."""
    with speaking(log_format):
        from tallyfy_frames.demo import run_demo  # noqa: PLC0415 - heavy

        quiet_retries()
        run_demo(folder, runs)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False) -> None:
    if version:
        typer.echo(f"tallyfy-frames {__version__}")
        raise typer.Exit
