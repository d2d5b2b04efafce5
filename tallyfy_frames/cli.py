"""The command line: words in, words out, exit codes. Data goes to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from tallyfy_frames import tables
from tallyfy_frames._version import __version__
from tallyfy_frames.errors import (
    EXIT_CODES,
    FilterError,
    IncompleteRead,
    SettingsError,
    SinkError,
    TallyfyFramesError,
    UsageError,
)
from tallyfy_frames.settings import Settings
from tallyfy_frames.sinks import atomic
from tallyfy_frames.sinks.formats import Format
from tallyfy_frames.voice import LogFormat, Voice, printable

if TYPE_CHECKING:
    import polars as pl

    from tallyfy_frames.report import LoadReport

SHOWN_MAX: Final = 10  # rows listed in a warning

# Typer's own tracebacks would show local variables; ours are errors with a message, or bugs with a plain traceback.
app = typer.Typer(
    name="tallyfy-frames",
    help="Tallyfy's processes as typed tables: load, snapshot, look.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

PrivacyOption = Annotated[
    str,
    typer.Option(
        "--privacy",
        help="Personal data: keep, drop, or hash: texts become keyed hashes, which still join (the key: TALLYFY_PRIVACY_KEY).",
    ),
]
LogOption = Annotated[LogFormat, typer.Option("--log-format", help="Words on standard error: text, or JSON lines.")]
InvalidOption = Annotated[
    str, typer.Option("--on-invalid", help="A value that breaks the contract: raise, null or quarantine.")
]

WaitOption = Annotated[
    float | None,
    typer.Option(
        "--max-wait-s",
        help=f"Seconds to wait, at most, when the API says to (429). Default: {Settings.max_wait_s:g}.",
        show_default=False,
    ),
]
PaceOption = Annotated[
    int | None,
    typer.Option(
        "--max-requests-per-minute",
        help="Requests in any minute, at most; they may come in a burst. Default: learned from what the API accepts.",
        show_default=False,
    ),
]


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers and service managers send it: whatever cleans up after Ctrl-C cleans up after this."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends two: the second would end the cleaning up
    raise Terminated


@contextlib.contextmanager
def speaking(log_format: LogFormat) -> Iterator[Voice]:
    """A voice for a command; an error of ours, or a signal, ends the program with its exit code and one line."""
    voice = Voice(log_format)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield voice
    except TallyfyFramesError as error:
        raise typer.Exit(voice.fail(error)) from None
    except KeyboardInterrupt as error:
        what, code = ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)  # 128 and the signal
        voice.say("error", "; ".join([what, *getattr(error, "__notes__", ["nothing was written"])]))
        raise typer.Exit(code) from None


def put_out(data: bytes) -> None:
    """Write to standard output, in one piece. Whoever stopped reading has seen enough; anything else is an error."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, AttributeError, ValueError) as error:  # the latter two: standard output is closed
        with contextlib.suppress(OSError, AttributeError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = error.strerror if isinstance(error, OSError) else "it is closed"
        raise SinkError(f"cannot write to standard output: {reason}") from None


def settings_with(**given: float | None) -> Settings:
    """Those of the environment, but for what the command line gives."""
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(Settings.from_env(), **changes)


def quiet_retries() -> None:
    """Stamina would report retries by itself, on standard output where structlog is installed."""
    from stamina.instrumentation import set_on_retry_hooks  # noqa: PLC0415 - heavy

    set_on_retry_hooks([])


def summary(voice: Voice, report: LoadReport) -> None:
    """What a load did, in one line."""
    voice.say("info", str(report), report=report.as_dict())


class TableGroup(TyperGroup):
    """``load``: one subcommand a table, made from its filters when it is asked for."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - typer's signature
        """The tables there are."""
        return list(tables.TABLES)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002 - typer's signature
        """The command that loads one table."""
        return _load_command(cmd_name) if cmd_name in tables.TABLES else None


load_app = typer.Typer(cls=TableGroup, no_args_is_help=True, help="Load a table and write it to standard output or a file.")
app.add_typer(load_app, name="load")


@load_app.callback()
def _load_group() -> None:
    """Load a table and write it to standard output or a file."""


def _load_command(name: str) -> TyperCommand:
    """The command for one table: its filters as options, then what every load takes."""
    spec = tables.get(name)
    filters = [field for field in dataclasses.fields(spec.filters) if field.metadata]

    def load(**options: Any) -> None:
        given = {field.name: options.pop(field.name) for field in filters}
        given = {key: ",".join(value) if isinstance(value, list) else value for key, value in given.items() if value != []}
        _load(name, {key: value for key, value in given.items() if value is not None}, **options)

    parameters = []
    for field in filters:
        flag = "bool" in str(field.type)
        kind = bool | None if flag else list[str] | None if "Sequence" in str(field.type) else str | None
        note = " (known to official clients only)" if field.metadata["experimental"] else ""
        flags = f"--{field.name.replace('_', '-')}"
        switch = field.metadata["switch"]
        option = typer.Option(
            f"{flags}/--no-{flags[2:]}" if flag and not switch else flags,
            help=field.metadata["about"] + note,
            show_default=False,
            rich_help_panel="Filters",
        )
        parameters.append(_parameter(field.name, Annotated[kind, option], None))
    common = inspect.signature(_load, eval_str=True).parameters.values()
    parameters += [parameter for parameter in common if parameter.name not in {"name", "filters"}]
    load.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    load.__doc__ = f"{spec.about} All that match, or an error."
    one = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    one.command(name=name)(load)
    command = typer.main.get_command(one)
    assert isinstance(command, TyperCommand)  # noqa: S101 - one function makes one command
    return command


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _load(  # noqa: PLR0913 - the options of the command
    name: str,
    filters: dict[str, Any],
    *,
    limit: Annotated[
        int | None, typer.Option(help="Only the first rows (newest first, or by --sort).", show_default=False)
    ] = None,
    created_since: Annotated[
        str | None, typer.Option(help="Only rows created since: a date or an instant, UTC.", show_default=False)
    ] = None,
    on_invalid: InvalidOption = "raise",
    form: Annotated[
        Format | None, typer.Option("--format", "-f", help="Default: a table on a terminal, else csv.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write to this file instead, all or nothing; - is standard output.", show_default=False
        ),
    ] = None,
    raw_csv: Annotated[
        bool, typer.Option("--raw-csv", help="For databases: no ' before cells that a spreadsheet would run.")
    ] = False,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Write what there is where completeness cannot be shown; still exit 11.")
    ] = False,
    privacy: PrivacyOption = "keep",
    reveal: Annotated[
        list[str] | None,
        typer.Option(
            help="A secret column, such as a guest's link, to load all the same; repeat for more.", show_default=False
        ),
    ] = None,
    max_wait_s: WaitOption = None,
    max_requests_per_minute: PaceOption = None,
    log_format: LogOption = LogFormat.text,
) -> None:
    with speaking(log_format) as voice:
        from tallyfy_frames import reading  # noqa: PLC0415 - heavy: only when something is loaded
        from tallyfy_frames.report import LoadReport  # noqa: PLC0415

        quiet_retries()
        form, output = _destination(form, output)
        report = LoadReport()
        progress: Literal[False] | None = None if log_format is LogFormat.text else False
        settings = settings_with(max_wait_s=max_wait_s, max_requests_per_minute=max_requests_per_minute)
        frame = reading.load(
            name, filters, limit=limit, created_since=created_since, settings=settings, progress=progress, report=report,
            on_invalid=on_invalid, allow_incomplete=allow_incomplete, privacy=privacy,  # type: ignore[arg-type]  # checked there
            reveal=reveal or (),
        )  # fmt: skip
        if report.rows_quarantined:
            voice.say("warning", f"{report.rows_quarantined} rows broke the contract and were left out")
            for _, key, reasons, _ in report.quarantined.head(SHOWN_MAX).iter_rows() if report.quarantined is not None else ():
                voice.say("warning", f"  left out: {key}: {', '.join(reasons)}")
        _put(frame, name, form, output, raw_csv=raw_csv)
        summary(voice, report)
        if not report.complete:
            voice.say("warning", "rows may be missing: completeness could not be shown")
            raise typer.Exit(EXIT_CODES[IncompleteRead])


def _is_standard_output(output: Path) -> bool:
    """Whether this is ``-``, or names what standard output leads to: a file put in its place would lose what is there."""
    try:
        return output == Path("-") or os.path.samestat(output.stat(), os.fstat(1))
    except OSError:  # no such file, or standard output is closed
        return False


def _destination(form: Format | None, output: Path | None) -> tuple[Format | None, Path | None]:
    """The format asked for, or that of the file's name; and the file, or None for standard output.

    What cannot be written is refused before anything is read.
    """
    if output is not None:
        suffixes = {".csv": Format.csv, ".ndjson": Format.ndjson, ".jsonl": Format.ndjson, ".parquet": Format.parquet}
        named = suffixes.get(output.suffix)
        if form is not None and named not in {None, form}:
            raise UsageError(f"{output.name} is no name for {form.value}", hint="leave out --format, or change the name")
        form = form or named
    if output is None or _is_standard_output(output):
        if form is Format.parquet and sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("Parquet is not for a terminal", hint="use --output FILE, or a pipe")
        return form, None
    if not atomic.place_of(output).parent.is_dir():
        raise SinkError("cannot write", path=output, hint="name a file in a folder that is there")
    return form, output


def _put(frame: pl.DataFrame, name: str, form: Format | None, output: Path | None, *, raw_csv: bool) -> None:
    """Write the whole frame, once it is there."""
    from tallyfy_frames.sinks import stream  # noqa: PLC0415 - heavy

    terminal = output is None and sys.stdout is not None and sys.stdout.isatty()
    if form is None and terminal:
        put_out(printable(_glance(frame, tables.get(name).glance)).encode())
        return
    data = stream.render(frame, form or Format.csv, table=tables.get(name), raw_csv=raw_csv)
    if output is not None:
        with atomic.replacing(output) as file:
            file.write(data)
    elif terminal and form is not Format.parquet:
        put_out(printable(data.decode()).encode())
    else:
        put_out(data)


def _glance(frame: pl.DataFrame, columns: Sequence[str]) -> str:
    """The columns that a terminal has room for, and where the others are."""
    import polars as pl  # noqa: PLC0415 - heavy

    with pl.Config(tbl_hide_column_data_types=True, tbl_width_chars=shutil.get_terminal_size().columns, fmt_str_lengths=40):
        shown = str(frame.select(columns))
    return f"{shown}\n{frame.width - len(columns)} more columns: --format csv, or tallyfy-frames tables\n"


@app.command()
def snapshot(  # noqa: PLR0913 - the options of the command
    root: Annotated[str, typer.Argument(help="The folder that holds the snapshots; made if it is not there.")],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", help="A table to include; repeat for more. Default: runs.", show_default=False),
    ] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="A filter of runs, NAME=VALUE; repeat for more.", show_default=False)
    ] = None,
    on_invalid: InvalidOption = "raise",
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Publish although rows fell by more than 10 %, or the token's user changed.")
    ] = False,
    privacy: PrivacyOption = "keep",
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
        from tallyfy_frames.lake.snapshot import write_snapshot  # noqa: PLC0415
        from tallyfy_frames.reading import FILTERED  # noqa: PLC0415

        quiet_retries()
        given = _named(filters or (), FILTERED)
        names = table or ("runs",)
        settings = settings_with(max_wait_s=max_wait_s, max_requests_per_minute=max_requests_per_minute)
        if only_plan:
            put_out(f"{planning.plan(names, given, settings=settings, whole=True)}\n".encode())
            return
        manifest = write_snapshot(
            root,
            given,
            tables=names,
            settings=settings,
            on_invalid=on_invalid,  # type: ignore[arg-type]  # checked there, with a better message
            allow_shrink=allow_shrink,
            privacy=privacy,  # type: ignore[arg-type]  # likewise
            progress=None if log_format is LogFormat.text else False,
        )
        for name, entry in manifest.tables.items():
            quarantined = f", {sum(file.rows for file in entry.quarantined)} quarantined" if entry.quarantined else ""
            resumed = f", {entry.answers_resumed} answers from an earlier job" if entry.answers_resumed else ""
            message = f"{name}: {entry.rows} rows{quarantined}{resumed}, proof: {entry.report['proof']}"
            voice.say("info", message, report=entry.report, answers_resumed=entry.answers_resumed)
        voice.say("info", f"published {manifest.folder}", snapshot=manifest.snapshot, rows=manifest.rows)
        put_out(f"{manifest.folder}\n".encode())


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
        if not sys.stdout.isatty():
            for column in spec.columns:
                null = "null" if column.nullable else "never null"
                cells = (
                    column.name,
                    str(column.dtype),
                    null,
                    column.kind,
                    column.unit or "",
                    ",".join(column.sources),
                    column.about,
                )
                typer.echo("\t".join(cells))
            return
        grid = Table("column", "type", "null", "class", "unit", "source", "meaning", title=spec.about)
        for column in spec.columns:
            grid.add_row(
                column.name, str(column.dtype), "" if column.nullable else "never", column.kind, column.unit or "",
                ", ".join(column.sources), column.about,
            )  # fmt: skip
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
    log_format: LogOption = LogFormat.text,
) -> None:
    """Serve a stand-in for the API on loopback, as unkind as the real one, until interrupted."""
    from tallyfy_frames.sandbox import FAULTS, LIVE, QUIRKS, Sandbox, World  # noqa: PLC0415

    for given, known in ((fault, FAULTS), (quirk, QUIRKS), (live, LIVE)):
        if given == ["list"]:
            for name, meaning in known.items():
                typer.echo(f"{name}\t{meaning}")
            return
    with speaking(log_format) as voice:
        try:
            server = Sandbox(
                World(seed, runs),
                faults=fault or (),
                quirks=quirk or (),
                limits=limit or (),
                live=live or (),
                live_seed=live_seed,
                latency_ms=latency_ms,
                port=port,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"cannot listen on port {port}: {error.strerror}", hint="choose another --port") from None
        with contextlib.suppress(KeyboardInterrupt):  # whoever reads "ready" may end it at once
            for name, value in server.environment.items():
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
