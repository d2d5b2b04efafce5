"""``load``: one subcommand a table, made from its filters when it is asked for."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from tallyfy_frames import atomic, tables
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
)
from tallyfy_frames.errors import EXIT_CODES, IncompleteRead, SinkError, UsageError
from tallyfy_frames.showing import printable
from tallyfy_frames.sinks.formats import Format
from tallyfy_frames.voice import LogFormat

if TYPE_CHECKING:
    import polars as pl

SHOWN_MAX: Final = 10  # rows listed in a warning


class TableGroup(TyperGroup):
    """``load``: one subcommand a table, made from its filters when it is asked for."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - typer's signature
        """The tables there are."""
        return list(tables.TABLES)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002 - typer's signature
        """The command that loads one table."""
        return _load_command(cmd_name) if cmd_name in tables.TABLES else None


load_app = typer.Typer(cls=TableGroup, no_args_is_help=True, help="Load a table and write it to standard output or a file.")


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
    beside = {name: parameter for name, parameter in inspect.signature(_load, eval_str=True).parameters.items()
              if name not in {"name", "filters"}}  # fmt: skip
    listed = tables.listed(spec)
    if listed.order is None:
        del beside["created_since"]
        beside["limit"] = _helped(beside["limit"], "Only the first rows, by key.")
    elif listed is not spec:
        what = f"Only what is inside the first {listed.name}, newest first, or by --sort."
        beside["limit"] = _helped(beside["limit"], what)
        what = f"Only what is inside {listed.name} created since: a date or an instant, UTC."
        beside["created_since"] = _helped(beside["created_since"], what)
    if not any(column.reads == "secret" for column in spec.columns):
        del beside["reveal"]
    parameters += beside.values()
    load.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    load.__doc__ = f"{spec.about} All that match, or an error."
    one = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    one.command(name=name)(load)
    command = typer.main.get_command(one)
    assert isinstance(command, TyperCommand)  # noqa: S101 - one function makes one command
    return command


def _helped(parameter: inspect.Parameter, words: str) -> inspect.Parameter:
    """The same option with other words of help."""
    kind, option = get_args(parameter.annotation)
    option = copy.copy(option)
    option.help = words
    return parameter.replace(annotation=Annotated[kind, option])


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
        voice.say("info", str(report), report=report.as_dict())
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
