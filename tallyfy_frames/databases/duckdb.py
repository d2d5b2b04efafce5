"""A file for DuckDB: a view for each table of one snapshot, over its Parquet files, and the measures as views over these."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.atomic import place_of, write_bytes
from tallyfy_frames.databases.facts import ABOUT, comment, facts
from tallyfy_frames.databases.quoting import identifier, string
from tallyfy_frames.databases.views import SNAPSHOT, SOURCES, VIEWS, serving, statement
from tallyfy_frames.errors import MissingExtra, SinkError, UsageError
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.place import SCHEMES, SNAPSHOTS, Place, locate
from tallyfy_frames.lake.published import manifest_in
from tallyfy_frames.tables._table import Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SUFFIX: Final = ".duckdb"
# DuckDB 2 would write what 1.x cannot read, and Superset 6.1 has 1.5. This is read by 1.4 and everything since.
STORAGE: Final = "v1.4.0"
TYPES: Final[Mapping[object, str]] = {
    pl.String: "varchar",
    pl.Int64: "bigint",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Datetime: "timestamp",
}


def write_duckdb(root: str | Path, path: str | Path | None = None, *, at: datetime | str | None = None) -> Path:
    """Write a DuckDB file with a view for each table of the current snapshot under ``root``; where it lies.

    ``path`` defaults to the root's own with ``.duckdb`` behind it. ``at`` chooses another snapshot, as for
    :func:`tallyfy_frames.read_snapshot`. The views read that snapshot's Parquet files, where they are now, and no other's:
    tables always belong together. Besides them there are the measures (``cycle_time``, ``ageing``, ``throughput``,
    ``work_in_progress``, ``waiting``, ``waiting_per_step``) and ``snapshot``: one row on where all this comes from. A measure
    whose tables are not in the snapshot has no rows, and a warning says which. Instants are plain timestamps in UTC; comments
    tell of each view and column.

    The file is replaced in one step: who has it open goes on with the old one, who opens it next finds the new one. So open it
    read-only (``duckdb.connect(path, read_only=True)``). Raises ``SinkError`` while it is open for writing and for a file that
    holds something else, ``UsageError`` for a bucket, and what :func:`tallyfy_frames.read_snapshot` raises.
    """
    target, place = target_of(root, path), locate(root)
    import duckdb  # noqa: PLC0415 - an extra, which is there

    while True:
        manifest = manifest_in(place, at=at)
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made.duckdb"
            try:
                with duckdb.connect(str(made), config={"storage_compatibility_version": STORAGE}) as connection:
                    _fill(connection, place, manifest)
            except duckdb.Error as error:
                what = f"DuckDB cannot read the snapshot: {str(error).splitlines()[0]}"
                raise SinkError(what, path=manifest.location, hint=f"tallyfy-frames verify {place.address}") from error
            write_bytes(target, made.read_bytes())
        if at is not None or manifest_in(place).snapshot == manifest.snapshot:  # else another job has published meanwhile
            return target


def target_of(root: str | Path, path: str | Path | None) -> Path:
    """Where the file for ``root`` will lie. Raises what :func:`write_duckdb` does for a place where it cannot."""
    try:
        import duckdb  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise MissingExtra("duckdb", "duckdb") from None
    if str(root).partition("://")[0] in SCHEMES:
        what = "a DuckDB file shows snapshots in a folder, not in a bucket"
        raise UsageError(what, hint="copy the bucket to a folder, or use sync postgres")
    target = Path(f"{locate(root).work}{SUFFIX}" if path is None else path).expanduser()
    if not target.parent.is_dir():
        raise SinkError("cannot write: there is no such folder", path=target.parent, hint="make it, or name another")
    _refuse_foreign(place_of(target))
    _refuse_log(place_of(target))
    return target


def _refuse_foreign(path: Path) -> None:
    """A file may be replaced if all that is in it are views that we make."""
    import duckdb  # noqa: PLC0415 - as above

    if not path.exists():
        return
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            found = connection.execute("""\
select view_name from duckdb_views() where not internal
union all select table_name from duckdb_tables() where not internal
union all select function_name from duckdb_functions() where not internal
union all select schema_name from duckdb_schemas() where not internal and schema_name <> 'main'""").fetchall()
    except duckdb.Error as error:
        # Another process holds it; or this one, where DuckDB allows one way of opening at a time.
        if isinstance(error, duckdb.ConnectionException) or "set lock" in str(error):
            hint = "close it there, and open it read-only from now on"
            raise SinkError("cannot write: somebody has the file open for writing", path=path, hint=hint) from None
        raise SinkError("cannot write: a file is there that DuckDB cannot read", path=path, hint="name another") from None
    ours = {SNAPSHOT, *tables.TABLES, *(view.name for view in VIEWS)}
    if others := {name for (name,) in found} - ours:
        what = f"cannot write: the file holds something else: {', '.join(sorted(others)[:3])}"
        raise SinkError(what, path=path, hint="name another; views of your own belong into a file that attaches this one")


def _refuse_log(path: Path) -> None:
    """What somebody wrote who then died: DuckDB would look for it in the new file, and not open that."""
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        hint = "open the file for writing once, and close it; or remove this"
        raise SinkError("cannot write: somebody wrote into the file, and did not close it", path=log, hint=hint)


def _fill(connection: DuckDBPyConnection, place: Place, manifest: Manifest) -> None:
    """Make every view, with what is to be said of it."""
    for name in manifest.tables:
        table = tables.get(name)
        told = {column.name: comment(column) for column in table.columns}
        _view(connection, name, _table(connection, table, place, manifest), table.about, told)
    row = facts(place, manifest)
    cells = ", ".join(f"{_literal(fact.value)} as {name}" for name, fact in row.items())
    _view(connection, SNAPSHOT, f"select {cells}", ABOUT, {name: comment(fact.told) for name, fact in row.items()})
    sources = _sources(manifest)
    for view in VIEWS:
        told = {name: comment(column) for name, column in view.columns.items()}
        _view(connection, view.name, statement(view, sources), view.about, told)


def _view(connection: DuckDBPyConnection, name: str, query: str, about: str, told: Mapping[str, str]) -> None:
    connection.execute(f"create view {identifier(name)} as {query}")
    connection.execute(f"comment on view {identifier(name)} is {string(about)}")
    for column, words in told.items():
        connection.execute(f"comment on column {identifier(name)}.{identifier(column)} is {string(words)}")


def _table(connection: DuckDBPyConnection, table: Table, place: Place, manifest: Manifest) -> str:
    """The query for a table's rows in its own columns; those that are newer than its files are null.

    The partition's value comes from the manifest, as in ``published.scan``: a root below ``status=old/`` means nothing.
    """
    files = sorted(manifest.tables[table.name].files, key=lambda file: (file.value is not None, file.value or "", file.path))
    if not files:
        columns = ", ".join(f"cast(null as {_type(dtype)}) as {identifier(name)}" for name, dtype in table.schema.items())
        return f"select {columns} where false"
    queries = []
    for value, group in groupby(files, key=attrgetter("value")):
        paths = [place.source(f"{SNAPSHOTS}/{manifest.snapshot}/{table.name}/{file.path}") for file in group]
        source = f"read_parquet([{', '.join(string(_pattern(path)) for path in paths)}], hive_partitioning = false)"
        there = {name for name, *_ in connection.execute(f"describe select * from {source}").fetchall()}
        cells = [
            _literal(value) if name == table.partition else _cell(name, dtype, there) for name, dtype in table.schema.items()
        ]
        columns = ", ".join(f"{cell} as {identifier(name)}" for cell, name in zip(cells, table.schema, strict=True))
        queries.append(f"select {columns} from {source}")
    return "\nunion all\n".join(queries)


def _cell(name: str, dtype: pl.DataType, there: set[str]) -> str:
    if name not in there:
        return f"cast(null as {_type(dtype)})"
    return f"{identifier(name)} at time zone 'UTC'" if isinstance(dtype, pl.Datetime) else identifier(name)


def _sources(manifest: Manifest) -> dict[str, str]:
    """What the measures are made of: of the tables that are there, or of nothing."""
    found = {SNAPSHOT: f"select * from main.{SNAPSHOT}"}
    for source, table in serving(manifest.tables).items():
        columns = SOURCES[source]
        nothing = ", ".join(f"cast(null as {_type(dtype)}) as {name}" for name, dtype in columns.items())
        found[source] = f"select {', '.join(columns)} from main.{table}" if table else f"select {nothing} where false"
    return found


def _type(dtype: pl.DataType) -> str:
    return f"{TYPES[dtype.inner.base_type()]}[]" if isinstance(dtype, pl.List) else TYPES[dtype.base_type()]


def _pattern(path: str) -> str:
    """A path that means itself: DuckDB takes it for a pattern."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)


def _literal(value: datetime | str | int | None) -> str:
    if isinstance(value, datetime):
        return f"timestamp '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, int):
        return f"cast({value} as bigint)"
    return f"cast({'null' if value is None else string(value)} as varchar)"
