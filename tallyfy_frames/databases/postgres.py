"""A snapshot in the tables of a PostgreSQL database: all of it, or nothing.

One transaction holds a lock on the schema against other jobs. Rows first go into temporary tables, as they come; then into the
tables. Rows are never deleted: who is not in the snapshot is marked gone. Readers see what was there until the transaction
ends, and wait only where a table of theirs is given a new column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl
import pyarrow as pa

from tallyfy_frames import tables
from tallyfy_frames.databases.facts import ABOUT, Fact, comment, facts
from tallyfy_frames.databases.quoting import identifier, string
from tallyfy_frames.databases.session import LOCK_WAIT_S, Session, apart
from tallyfy_frames.databases.views import INSTANT, SNAPSHOT, SOURCES, VIEWS, Told, serving, statement
from tallyfy_frames.errors import SinkError, UsageError, warn
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.place import locate
from tallyfy_frames.lake.published import read_files, read_manifest
from tallyfy_frames.tables._table import Column, Table

# PostgreSQL's own words, as format_type() has them.
TYPES: Final[Mapping[pl.DataType, str]] = {
    pl.String(): "text",
    pl.Int64(): "bigint",
    pl.Float64(): "double precision",
    pl.Boolean(): "boolean",
    INSTANT: "timestamp with time zone",
    pl.List(pl.Int64()): "bigint[]",
    pl.List(pl.String()): "text[]",
}
GONE: Final = "gone_at"
ABOUT_GONE: Final = Told(INSTANT, "When the first snapshot was made that does not have this row; null while it is there")
SYNCED: Final = "synced_at"
ABOUT_SYNCED: Final = Told(INSTANT, "When it was brought here")
VIEWS_MADE: Final = "views"
ABOUT_VIEWS: Final = Told(pl.String(), "A digest of the views' queries: while it is the same they are left as they are")
OURS: Final = " Made by tallyfy-frames."  # ends what is said of a view: only such a one is replaced
BATCH_ROWS: Final = 20_000  # so many are in memory at once, or a row group if that is more
OLDEST: Final = 13  # of the server; older ones get no fixes any more
NAME_BYTES_MAX: Final = 63  # NAMEDATALEN - 1: longer names would be cut
NUL: Final = "\0"  # which no text of PostgreSQL can hold
INSTEAD: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of the rows of one table. ``unchanged``: those in which nothing changed but when and how they were read."""

    inserted: int
    changed: int
    unchanged: int
    gone: int

    def __str__(self) -> str:
        """One line."""
        return f"{self.inserted} inserted, {self.changed} changed, {self.unchanged} unchanged, {self.gone} gone"


@dataclass(frozen=True, slots=True)
class Synced:
    """The snapshot that a database holds now, and what became of the rows of each table."""

    snapshot: str
    tables: Mapping[str, Rows]

    def __str__(self) -> str:
        """One line a table."""
        return "\n".join([self.snapshot, *(f"{name}: {rows}" for name, rows in self.tables.items())])


def sync_postgres(root: str | Path, dsn: str, *, schema: str = "tallyfy", at: datetime | str | None = None) -> Synced:
    """Bring the tables of a PostgreSQL database to what a snapshot under ``root`` holds, in one transaction.

    ``dsn`` is libpq's, an address or ``keyword=value`` …; what it leaves out comes from ``PGHOST``, ``PGPASSWORD``,
    ``~/.pgpass`` and the like. ``at`` names the snapshot as for ``read_snapshot``. Tables are made in ``schema`` as needed. A
    row that the snapshot does not have any more stays, with ``gone_at``. The measures are views over what is not gone, as in a
    file of :func:`tallyfy_frames.write_duckdb`. Raises ``SinkError`` if the server refuses, or what is
    there already does: a newer snapshot, another organization's, a table of somebody else's. Then all is as it was.
    """
    if not schema or NUL in schema or len(schema.encode()) > NAME_BYTES_MAX:
        raise UsageError(f"schema={schema!r}", hint=f"a schema's name has 1 to {NAME_BYTES_MAX} bytes")
    manifest = read_manifest(root, at=at)
    session = Session(dsn)
    with _readable(manifest):
        sync = _Sync(session, root, manifest, schema, facts(locate(root), manifest), serving(manifest.tables))

    def work() -> Synced:
        with session:
            return sync.run()

    synced = apart(work, session.cancel, f"{manifest.snapshot} is in the database")
    if sync.nuls:
        warn(f"{sync.nuls} texts held U+0000, which PostgreSQL cannot keep: each of these is U+FFFD there")
    return synced


@contextmanager
def _readable(manifest: Manifest) -> Iterator[None]:
    """What polars says of the files of a snapshot is an error of ours."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        what, hint = "a file of the snapshot cannot be read", "tallyfy-frames verify says more"
        raise SinkError(what, path=manifest.location, hint=hint) from error


@dataclass
class _Sync:
    """One transaction that brings the tables of ``schema`` to what ``manifest`` says."""

    session: Session
    root: str | Path
    manifest: Manifest
    schema: str
    facts: Mapping[str, Fact]
    served: Mapping[str, str | None]  # what measures are made of, and the tables that have it
    nuls: int = 0  # texts that held U+0000
    columns: dict[str, dict[str, str]] = field(default_factory=dict)  # what is there: types, by table and column
    views: dict[str, dict[str, str]] = field(default_factory=dict)  # the same of views
    comments: dict[tuple[str, str | None], str | None] = field(default_factory=dict)  # by table and column; None: of the table

    def run(self) -> Synced:
        """All of it."""
        session = self.session
        session.run("set transaction isolation level read committed")  # so that whoever waited sees what came
        session.run("set local client_encoding to 'UTF8'")  # in which the driver writes, whatever the role or we were told
        session.run("set local standard_conforming_strings to on")
        self._refuse_server()
        lock = _literal(f"tallyfy_frames {self.schema}")
        session.rows(f"select true from pg_advisory_xact_lock(hashtextextended({lock}, 0))")
        session.run(f"set local lock_timeout to '{LOCK_WAIT_S}s'")
        self._look()
        self._refuse_snapshot()
        specs = [tables.get(name) for name in self.manifest.tables]
        for spec in specs:
            self._refuse_table(spec.name, _columns(spec), (*spec.key, GONE))
        self._refuse_views()
        staged = {spec.name: self._stage(spec) for spec in specs}
        if not session.rows(f"select true from pg_namespace where nspname = {_literal(self.schema)}"):
            session.run(f"create schema {identifier(self.schema)}")
        counts = {}
        for spec in specs:
            self._make_table(spec)
            counts[spec.name] = self._merge(spec, staged[spec.name])
        told = {name: fact.told for name, fact in self.facts.items()}
        self._make(SNAPSHOT, {**told, SYNCED: ABOUT_SYNCED, VIEWS_MADE: ABOUT_VIEWS}, ABOUT)
        self._note(self._make_views())
        session.commit()
        return Synced(self.manifest.snapshot, counts)

    def _refuse_server(self) -> None:
        """A server that we do not know how to speak to, or that could not keep every text."""
        ((version, encoding),) = self.session.rows(
            "select current_setting('server_version_num')::int / 10000, current_setting('server_encoding')"
        )
        if version < OLDEST:
            raise SinkError(f"the server is PostgreSQL {version}", hint=f"{OLDEST} or later is needed")
        if encoding != "UTF8":
            raise SinkError(f"the database keeps texts as {encoding}", hint="use a database with the encoding UTF8")

    def _look(self) -> None:
        """What the schema has: asked of the catalog, which locks no table."""
        for table, kind, column, dtype, said, of_column in self.session.rows(
            "select c.relname::text, c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod),"
            " obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum)"
            " from pg_namespace n join pg_class c on c.relnamespace = n.oid"
            " left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            f" where n.nspname = {_literal(self.schema)} and c.relkind in ('r', 'p', 'v', 'm', 'f')"
        ):
            self.comments |= {(table, None): said, (table, column): of_column}
            if kind in {"r", "p"}:
                self.columns.setdefault(table, {})[column] = dtype
            else:
                self.columns[table] = {}
                self.views.setdefault(table, {})[column] = dtype  # or a foreign table, of which nothing is said

    def _refuse_snapshot(self) -> None:
        """A snapshot that must not follow on the one in the schema."""
        if SNAPSHOT not in self.columns:
            return
        needed = ("snapshot", "created_at", "organization_id")
        self._refuse_table(SNAPSHOT, {name: fact.told for name, fact in self.facts.items()}, needed)
        query = f"select {_names(needed)} from {self._table(SNAPSHOT)}"
        for snapshot, created_at, organization in self.session.rows(query):
            if organization != self.manifest.organization_id:
                raise SinkError(
                    "the schema holds another organization",
                    schema=self.schema, held=organization, given=self.manifest.organization_id, hint="give another --schema",
                )  # fmt: skip
            if created_at > datetime.fromisoformat(self.manifest.created_at):
                what = "the schema holds a newer snapshot"
                hint = "sync that one or a later one, or give another --schema"
                raise SinkError(what, schema=self.schema, held=snapshot, given=self.manifest.snapshot, hint=hint)

    def _refuse_table(self, name: str, columns: Columns, needed: Sequence[str]) -> None:
        """A table that is there and is not ours, or in which a column of ours has another type."""
        there = self.columns.get(name)
        if there is None:
            return
        if not {*needed} <= there.keys():
            raise SinkError(f"{name} in this schema is not a table of ours", schema=self.schema, hint="give another --schema")
        for column, dtype in _types(columns).items():
            if there.get(column, dtype) != dtype:
                what = f"column {column} of table {name} is {there[column]}, not {dtype}"
                hint = f"alter it, or rename it: it is made anew as {dtype}; or give another --schema"
                raise SinkError(what, schema=self.schema, hint=hint)

    def _stage(self, spec: Table) -> int:
        """Put the rows of a table into a temporary one, a batch at a time; how many there are."""
        types = _types({column.name: column for column in spec.columns})
        self.session.run(f"create temporary table {identifier(_staged(spec))} ({_defined(types)}) on commit drop")
        schema = _arrow(pl.DataFrame(schema=spec.schema)).schema
        rows = self.session.ingest(_staged(spec), self._batches(spec), schema)
        if rows != self.manifest.tables[spec.name].rows:
            what = f"table {spec.name} has {rows} rows, and its manifest says {self.manifest.tables[spec.name].rows}"
            raise SinkError(what, path=self.manifest.location, hint="tallyfy-frames verify says more")
        self.session.run(f"analyze {identifier(_staged(spec))}")
        return rows

    def _batches(self, spec: Table) -> Iterator[pa.RecordBatch]:
        """The rows of a table, in texts that PostgreSQL can keep."""
        with _readable(self.manifest):
            for frame in read_files(self.root, spec.name, at=self.manifest.snapshot):
                for batch in frame.collect_batches(chunk_size=BATCH_ROWS, lazy=True):
                    yield from _arrow(self._without_nul(batch)).to_batches()

    def _without_nul(self, frame: pl.DataFrame) -> pl.DataFrame:
        """``frame`` with another sign for U+0000, and count the cells that held it."""
        texts, lists = pl.col(pl.String), pl.col(pl.List(pl.String))
        inside = lists.list.eval(pl.element().str.contains(NUL, literal=True)).list.any()
        has = frame.select(texts.str.contains(NUL, literal=True), inside)
        found = sum(has.sum().row(0)) if has.width else 0
        if not found:
            return frame
        self.nuls += found
        clean = pl.element().str.replace_all(NUL, INSTEAD, literal=True)
        return frame.with_columns(texts.str.replace_all(NUL, INSTEAD, literal=True), lists.list.eval(clean))

    def _make_table(self, spec: Table) -> None:
        """A table with its key, and indexes for joins."""
        nullable = [column.name for column in spec.columns if column.name in spec.key and column.nullable]
        keyed = "" if nullable else f", primary key ({_names(spec.key)})"
        missing = self._make(spec.name, _columns(spec), spec.about, keyed)
        if nullable and spec.name not in self.columns:
            self.session.run(f"create unique index on {self._table(spec.name)} ({', '.join(_key(spec, ''))})")
        for column in spec.columns:
            joins = column.refers and not isinstance(column.dtype, pl.List) and column.name != spec.key[0]
            if column.name in missing and joins:
                self.session.run(f"create index on {self._table(spec.name)} ({identifier(column.name)})")

    def _make(self, name: str, columns: Columns, about: str, keyed: str = "") -> set[str]:
        """A table, as far as it is missing, and what it says of itself; the columns that were not there."""
        types, there = _types(columns), self.columns.get(name, {})
        missing = {column: dtype for column, dtype in types.items() if column not in there}
        if not there:
            self.session.run(f"create table {self._table(name)} ({_defined(types)}{keyed})")
        elif missing:
            added = ", ".join(f"add column {identifier(column)} {dtype}" for column, dtype in missing.items())
            self.session.run(f"alter table {self._table(name)} {added}")
        if self.comments.get((name, None)) != about:
            self.session.run(f"comment on table {self._table(name)} is {_literal(about)}")
        for column, told in columns.items():
            if self.comments.get((name, column)) != comment(told):
                self.session.run(f"comment on column {self._table(name)}.{identifier(column)} is {_literal(comment(told))}")
        return {*missing}

    def _merge(self, spec: Table, staged: int) -> Rows:
        """Bring the table to the rows that are staged.

        Not ``on conflict do update``: that would lock, and so write, every row that is as it was. Nobody else inserts while we
        hold the schema. When and how a row was read is always new, so it is written by itself: it changes nothing of the row.
        """
        target, source = self._table(spec.name), f"pg_temp.{identifier(_staged(spec))}"
        same = " and ".join(f"{t} = {s}" for t, s in zip(_key(spec, "t."), _key(spec, "s."), strict=True))
        read = [name for name in spec.names("provenance") if name not in spec.key]
        told = [column.name for column in spec.columns if column.name not in {*spec.key, *read}]

        def update(names: Sequence[str], also: str = "", there: str = "") -> int:
            pairs = ", ".join(f"{identifier(name)} = s.{identifier(name)}" for name in (*told, *read))
            return self.session.run(
                f"update {target} t set {pairs}, {GONE} = null from {source} s where {same}"
                f" and ({_names(names, 't.')}{also}) is distinct from ({_names(names, 's.')}{there})"
            )

        changed = update(told, f", t.{GONE}", ", null::timestamptz")
        update(read)
        columns = _names([column.name for column in spec.columns])
        inserted = self.session.run(
            f"insert into {target} ({columns}) select {columns} from {source} s"
            f" where not exists (select from {target} t where {same})"
        )
        gone = self.session.run(
            f"update {target} t set {GONE} = {_literal(self.manifest.created_at)}"
            f" where {GONE} is null and not exists (select from {source} s where {same})"
        )
        return Rows(inserted, changed, staged - inserted - changed, gone)

    def _refuse_views(self) -> None:
        """What is there under the name of a view of ours, and is none."""
        for view in VIEWS:
            if view.name in self.columns and not (self.comments.get((view.name, None)) or "").endswith(OURS):
                what = f"{view.name} in this schema is not a view of ours"
                raise SinkError(what, schema=self.schema, hint="give another --schema")

    def _make_views(self) -> str:
        """The measures, over the rows that are not gone, made anew only if they are others: that locks them. Their digest."""
        statements = {view.name: statement(view, self._sources()) for view in VIEWS}
        digest = hashlib.sha256("".join(statements.values()).encode()).hexdigest()
        query = f"select {VIEWS_MADE} from {self._table(SNAPSHOT)}"
        if statements.keys() <= self.views.keys() and self.session.rows(query) == [(digest,)]:
            return digest
        made = {view.name: {name: _in_view(told.dtype) for name, told in view.columns.items()} for view in VIEWS}
        if any(self.views.get(name, types) != types for name, types in made.items()):
            for view in reversed(VIEWS):  # one cannot be replaced by one with other columns
                self.session.run(f"drop view if exists {self._table(view.name)}")
        self.session.run(f"set local search_path to {identifier(self.schema)}")  # for views of views
        for view in VIEWS:
            named = self._table(view.name)
            self.session.run(f"create or replace view {named} as {statements[view.name]}")
            self.session.run(f"comment on view {named} is {_literal(view.about + OURS)}")
            for name, told in view.columns.items():
                self.session.run(f"comment on column {named}.{identifier(name)} is {_literal(comment(told))}")
        return digest

    def _sources(self) -> dict[str, str]:
        """What the measures are made of: the rows of the snapshot's tables, or nothing."""
        found = {SNAPSHOT: f"select {_plain(SOURCES[SNAPSHOT])} from {self._table(SNAPSHOT)}"}
        for source, table in self.served.items():
            nothing = ", ".join(f"cast(null as {_in_view(dtype)}) as {name}" for name, dtype in SOURCES[source].items())
            rows = f"select {_plain(SOURCES[source])} from {self._table(str(table))} where {GONE} is null"
            found[source] = rows if table else f"select {nothing} where false"
        return found

    def _note(self, digest: str) -> None:
        """What the tables hold now, in a table of one row."""
        row = {**{name: fact.value for name, fact in self.facts.items()}, SYNCED: datetime.now(UTC), VIEWS_MADE: digest}
        self.session.run(f"delete from {self._table(SNAPSHOT)}")
        values = ", ".join(map(_literal, row.values()))
        self.session.run(f"insert into {self._table(SNAPSHOT)} ({_names([*row])}) values ({values})")

    def _table(self, name: str) -> str:
        return f"{identifier(self.schema)}.{identifier(name)}"


Columns: TypeAlias = Mapping[str, Column | Told]


def _columns(spec: Table) -> Columns:
    """The columns of a table, in order."""
    return {**{column.name: column for column in spec.columns}, GONE: ABOUT_GONE}


def _types(columns: Columns) -> dict[str, str]:
    return {name: TYPES[column.dtype] for name, column in columns.items()}


def _in_view(dtype: pl.DataType) -> str:
    """A type as views have it: instants are plain, in UTC."""
    return "timestamp without time zone" if dtype == INSTANT else TYPES[dtype]


def _plain(columns: Mapping[str, pl.DataType]) -> str:
    """Columns of a table as views take them."""
    utc = {
        name: f"{identifier(name)} at time zone 'UTC' as {identifier(name)}"
        for name, dtype in columns.items()
        if dtype == INSTANT
    }
    return ", ".join(utc.get(name, identifier(name)) for name in columns)


def _key(spec: Table, of: str) -> list[str]:
    """The key as terms that are never null."""
    nullable = {column.name: column.nullable for column in spec.columns}
    return [f"coalesce({of}{identifier(name)}, '')" if nullable[name] else f"{of}{identifier(name)}" for name in spec.key]


def _staged(spec: Table) -> str:
    return f"staged_{spec.name}"


def _arrow(frame: pl.DataFrame) -> pa.Table:
    """In types that the driver knows."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _names(names: Sequence[str], of: str = "") -> str:
    return ", ".join(f"{of}{identifier(name)}" for name in names)


def _defined(types: Mapping[str, str]) -> str:
    return ", ".join(f"{identifier(name)} {dtype}" for name, dtype in types.items())


def _literal(value: datetime | str | int | None) -> str:
    """A value as SQL takes it, with standard_conforming_strings."""
    if value is None or isinstance(value, int):
        return "null" if value is None else str(value)
    return string(value.isoformat() if isinstance(value, datetime) else value)
