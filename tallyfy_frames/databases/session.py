"""A session with a PostgreSQL server, which a signal can end. The only file that imports ADBC's driver.

What the server refuses becomes an error of ours, in our words: its own may hold values of rows, and libpq's parts of a DSN.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa

from tallyfy_frames.errors import MissingExtra, SinkError, UsageError

if TYPE_CHECKING:
    from adbc_driver_manager import Error

Result = TypeVar("Result")
LOCK_WAIT_S: Final = 10  # while a new column waits for its lock, readers wait behind it
CANCEL_WAIT_S: Final = 10.0  # for a server that does not answer
WAKE_S: Final = 0.1


class Session:
    """A connection to a server with a transaction that has begun; what the server refuses is a ``SinkError``."""

    def __init__(self, dsn: str) -> None:
        """Nothing is said to the server yet. The DSN may hold a password: it is shown nowhere, nor is what libpq says of it."""
        try:
            import adbc_driver_postgresql.dbapi as driver  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtra("adbc-driver-postgresql", "postgres") from None
        self._driver: Any = driver
        self._dsn = dsn or "postgresql://"  # all of it from the environment
        self._open = ExitStack()
        self._connection: Any = None
        self._cursor: Any = None
        self._cancelled = False

    def __enter__(self) -> None:
        """Connect."""
        refused: SinkError | UsageError | None = None
        try:
            self._connection = self._open.enter_context(self._driver.connect(self._dsn))
        except self._driver.Error as error:
            refused = _not_connected(str(error))
        if refused:
            raise refused  # outside of `except`: libpq may quote parts of a DSN
        self._cursor = self._open.enter_context(self._connection.cursor())

    def __exit__(self, *_: object) -> None:
        """Close the connection: what was not committed is undone."""
        self._open.close()

    def cancel(self) -> None:
        """End what the server is doing, and begin nothing more; from another thread."""
        self._cancelled = True
        if self._connection is not None:
            try:
                self._connection.adbc_cancel()
            except self._driver.Error:  # it is closed already, or the server is gone
                return

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._refusals():
            found: list[tuple[Any, ...]] = self._cursor.execute(query).fetchall()
            return found

    def run(self, statement: str) -> int:
        """Carry out a statement; how many rows it was about."""
        with self._refusals():
            self._cursor.execute(statement)
            return int(self._cursor.rowcount)

    def ingest(self, table: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> int:
        """Append batches to a temporary table; how many rows these are. An error in them is raised as it is."""
        rows, failed = 0, []

        def counted() -> Iterator[pa.RecordBatch]:
            nonlocal rows
            try:
                for batch in batches:
                    if self._cancelled:
                        return
                    rows += batch.num_rows
                    yield batch
            except Exception as error:
                failed.append(error)  # the driver makes a text of it
                raise

        with self._refusals(failed):
            reader = pa.RecordBatchReader.from_batches(schema, counted())
            self._cursor.adbc_ingest(table, reader, mode="append", temporary=True)
        return rows

    def commit(self) -> None:
        """End the transaction: all of it counts from now on."""
        with self._refusals():
            self._connection.commit()

    @contextmanager
    def _refusals(self, failed: Sequence[Exception] = ()) -> Iterator[None]:
        """What the server says against it, in our words; its details, and COPY's context, may hold values of rows."""
        if self._cancelled:
            raise SinkError("cancelled")
        refused: Exception | None = None
        try:
            yield
        except self._driver.Error as error:
            refused = failed[0] if failed else _refusal(error)
        if refused:
            raise refused


def apart(work: Callable[[], Result], cancel: Callable[[], None], done: str) -> Result:
    """What ``work`` gives, from a thread of its own: a signal finds this one awake, and ``cancel`` ends what the server does.

    The signal's error says ``done`` if that came too late.
    """
    given: list[Result] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            given.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)
        ended.set()

    try:
        threading.Thread(target=run, daemon=True, name="sync").start()
        while not ended.wait(WAKE_S):  # polars has a handler of its own for SIGINT, after which a wait goes on
            pass
    except BaseException as error:
        until_s = time.monotonic() + CANCEL_WAIT_S
        while not ended.wait(WAKE_S) and time.monotonic() < until_s:
            cancel()
        if given:
            error.add_note(done)
        elif not ended.is_set():
            error.add_note("the server did not answer: what it was doing is undone once it notices")
        raise
    if failed:
        raise failed[0]
    return given[0]


# What libpq says, and what that means. Its text is not repeated: of a DSN that it misreads it quotes parts.
NOT_CONNECTED: Final = (
    (r"Connection refused|No such file or directory", "no server listens there", "is it running? check host and port"),
    (r"could not translate host name", "there is no host of that name", "check the host"),
    (r"time(d |)out", "the server does not answer", "check host and port, and what lies between"),
    (r"no password supplied", "the server wants a password", "give one by PGPASSWORD or ~/.pgpass"),
    (r"password authentication|no password", "the server does not take the password", "check user and password"),
    (r'database ".*" does not exist', "the server has no such database", "check the name, or create it: createdb NAME"),
    (r'role ".*" does not exist', "the server has no such role", "check the user"),
    (r"no pg_hba.conf entry|authentication failed", "the server does not let this role in from here", "see its pg_hba.conf"),
    (r"permission denied for database", "the role may not connect to this database", "grant connect on database … to …"),
    (r"too many|connection slots", "the server has no connection left", "try again later"),
    (r"starting up|shutting down|recovery", "the server is starting or stopping", "try again in a moment"),
    (r"SSL|certificate", "the server and we do not agree on encryption", "see sslmode and sslrootcert of libpq"),
    (r"connection to server|server closed", "cannot connect to the server", "psql with the same DSN says more"),
)
READS_AS: Final = "postgresql://USER@HOST:PORT/DATABASE, or host=… dbname=… user=…; signs in a password as %XX"


def _not_connected(said: str) -> SinkError | UsageError:
    for pattern, what, hint in NOT_CONNECTED:
        if re.search(pattern, said):
            return SinkError(what, hint=hint)
    return UsageError("this is not a DSN that libpq understands", hint=READS_AS)


# https://www.postgresql.org/docs/current/errcodes-appendix.html; the longest code that fits counts.
REFUSALS: Final = {
    "42501": ("a right is missing", "grant it to this role, or let another one sync"),
    "53100": ("the server's disk is full", "make room there, and sync again"),
    "53": ("the server has no room or memory left", "make room there, and sync again"),
    "55P03": (f"another session held a table for longer than {LOCK_WAIT_S} s", "sync again when it has ended"),
    "57014": ("the server cancelled a statement", "see statement_timeout of this role"),
    "57": ("the server ended the connection", "sync again when it is back"),
    "08": ("the connection to the server was lost", "sync again"),
    "25006": ("the server, or this role, may only read", "connect to the primary server"),
    "2BP01": ("something else depends on the old views of measures, which have other columns", "drop it, sync, make it anew"),
    "40P01": ("another session waits for us, and we for it", "sync again"),
    "23505": ("two rows have the same key", "tallyfy-frames verify says more"),
}
LOST: Final = ("the connection to the server was lost", "sync again when it is back: nothing is done twice")


def _refusal(error: Error) -> SinkError:
    """What the server said, without what may be a value of a row."""
    code = error.sqlstate
    if code is None:
        return SinkError(LOST[0], hint=LOST[1])
    details = {name if isinstance(name, str) else name.decode(): value for name, value in error.details or ()}
    primary = details.get("PG_DIAG_MESSAGE_PRIMARY", b"")
    said = primary.decode(errors="replace") if isinstance(primary, bytes) else str(primary)
    what, hint = REFUSALS.get(code) or REFUSALS.get(code[:2]) or ("the server refused", None)
    if code[:2] in {"22", "P0"}:  # about values, or a trigger's own words
        said = ""
    return SinkError(f"{what}: {said}" if said else what, sqlstate=code, hint=hint)
