"""What a caller reads with: checks every argument before anything is sent, then lets the pipeline run.

The signature stands in each function by itself so that ``help()`` and editors show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.errors import FilterError, PaginationError, UsageError
from tallyfy_frames.frames.privacy import MODES, Mode, Privacy
from tallyfy_frames.frames.validate import ON_INVALID, OnInvalid
from tallyfy_frames.pipeline import Job
from tallyfy_frames.progress import ProgressOption
from tallyfy_frames.report import LoadReport
from tallyfy_frames.settings import Settings
from tallyfy_frames.tables._filters import Filters
from tallyfy_frames.tables._table import Table

GATHERED_ROWS: Final = 16_000  # a piece: a few of the frames that rows come in
FILTERED: Final = "runs"  # the table that the filters of several tables are about


def load(  # noqa: PLR0913 - the public face
    table: str,
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
    allow_incomplete: bool = False,
    privacy: Mode = "keep",
    reveal: Collection[str] = (),
) -> pl.DataFrame:
    """All rows of ``table`` that match, as one frame with the table's fixed columns; zero rows have them, too.

    Ordered by creation, oldest first (with ``limit``: newest first; tables without a creation order: by key), or by the
    filter ``sort``. ``limit`` takes the first rows of that order. ``created_since`` (a date, an instant, or ISO text; UTC
    where no zone is given) leaves out rows created before, or at no stated time. Missing is null; instants are UTC; texts are
    sorted by their bytes.

    ``on_invalid``: ``"raise"`` fails on a value that breaks the contract (pages are checked in growing batches), ``"null"``
    makes such values null, ``"quarantine"`` sets their rows aside in ``report.quarantined``. ``progress``: None shows a bar on
    a terminal, or in Jupyter where ipywidgets is installed, False is silent, a function gets :class:`ProgressEvent`.
    ``privacy``: ``"hash"`` replaces personal texts by a keyed hash, the same in every table (the key: ``TALLYFY_PRIVACY_KEY``),
    and drops what is personal and no text; ``"drop"`` drops both. Which columns are personal, the data dictionary says.
    ``reveal`` names secret columns (a guest's ``link``) that are wanted all the same; otherwise they are masked.

    What stands inside runs (``run_tasks``, ``run_tags`` …) is ordered by the run's id and its place there; filters, ``limit``
    and ``created_since`` choose the runs, and each comes with all that is inside it.

    ``report`` is filled in place. ``allow_incomplete`` takes what there is where completeness cannot be shown, and leaves
    ``report.complete`` False.

    Raises ``FilterError`` before anything is sent where a filter cannot be right; ``IncompleteRead`` rather than returning
    less than there is; ``ContractError``, ``AuthError``, ``NotFound``, ``RateLimited``, ``ServerError``, ``DecodeError`` as
    their names say.
    """
    job = _job(
        table, filters, limit, created_since, settings, on_invalid, progress, report, privacy, reveal,
        allow_incomplete=allow_incomplete,
    )  # fmt: skip
    return _gathered(job, progress)


def iter_table(  # noqa: PLR0913 - as load
    table: str,
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
    allow_incomplete: bool = False,
    privacy: Mode = "keep",
    reveal: Collection[str] = (),
) -> Iterator[pl.DataFrame]:
    """As :func:`load`, in frames of a page or more, while they arrive; nothing is yielded for zero rows.

    Only an iterator that ended without an error has given everything. Frames come in the order they were read, so ``sort``
    needs ``limit``; with ``limit`` there is one frame. No more is held than what is on its way and one frame (4,000 rows);
    leaving the loop, or closing the iterator, ends the requests.
    """
    job = _job(
        table, filters, limit, created_since, settings, on_invalid, progress, report, privacy, reveal,
        allow_incomplete=allow_incomplete,
    )  # fmt: skip
    if limit is not None:  # which rows are the first is known once all that could be are there
        return (frame for frame in _later(job, progress) if frame.height)
    sort = getattr(job.wanted, "sort", None)
    if sort not in {None, job.spec.order}:
        raise FilterError("a stream comes oldest first", hint=f"without limit, sort={sort!r} needs load_{table}")
    return _streamed(job, progress)


def load_runs(  # noqa: PLR0913 - the public face
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
    allow_incomplete: bool = False,
    privacy: Mode = "keep",
) -> pl.DataFrame:
    """Every run that matches, once, as one frame with the fixed columns of the data dictionary; or an error.

    Missing is null, instants are UTC, user ids are integers that join. Oldest first; with ``limit``, newest first.

    Args:
        filters: the API's own parameters, as a dict or ``RunFilters``: ``status``, ``owners``, ``checklist_id``, ``q`` …
            Archived runs are hidden unless ``archived`` is ``"only"`` or ``"include"``.
        limit: only the first so many: the newest, or by the filter ``sort``.
        created_since: only runs created since then: a date, an instant, or ISO text; UTC where no zone is given.
        settings: token, organization and address; default: the environment.
        on_invalid: a value that breaks the contract: ``"raise"``, ``"null"`` (it becomes null) or ``"quarantine"`` (its row
            is set aside in ``report.quarantined``).
        progress: None shows a bar on a terminal, or in Jupyter where ipywidgets is installed; False is silent; a function
            gets each ``ProgressEvent``.
        report: a ``LoadReport``, filled in place: rows, requests, values read from another shape, how complete it is proven.
        allow_incomplete: take what there is where completeness cannot be shown; ``report.complete`` is then False.
        privacy: ``"keep"``, ``"hash"`` or ``"drop"`` personal data; see :func:`load`.

    Raises:
        FilterError: before anything is sent, where a filter cannot be right; or when the API refused or ignored one.
        IncompleteRead: rather than returning less than there is.
        ContractError, DecodeError, PaginationError: the API sent what it should not.
        AuthError, NotFound, RateLimited, ServerError: the API refused, or did not answer.

    Source: ``GET organizations/{org}/runs``.
    """
    return load(
        "runs", filters, limit=limit, created_since=created_since, settings=settings, on_invalid=on_invalid,
        progress=progress, report=report, allow_incomplete=allow_incomplete, privacy=privacy,
    )  # fmt: skip


def iter_runs(  # noqa: PLR0913 - the public face
    filters: Filters | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    created_since: date | str | None = None,
    settings: Settings | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressOption = None,
    report: LoadReport | None = None,
    allow_incomplete: bool = False,
    privacy: Mode = "keep",
) -> Iterator[pl.DataFrame]:
    """As :func:`load_runs`, in frames of a page or more, while they arrive; see :func:`iter_table`."""
    return iter_table(
        "runs", filters, limit=limit, created_since=created_since, settings=settings, on_invalid=on_invalid,
        progress=progress, report=report, allow_incomplete=allow_incomplete, privacy=privacy,
    )  # fmt: skip


def _job(  # noqa: PLR0913 - as load
    table: str,
    filters: Filters | Mapping[str, Any] | None,
    limit: int | None,
    created_since: date | str | None,
    settings: Settings | None,
    on_invalid: OnInvalid,
    progress: ProgressOption,
    report: LoadReport | None,
    privacy: Mode,
    reveal: Collection[str],
    *,
    allow_incomplete: bool,
) -> Job:
    """Every argument, checked before anything is sent."""
    made = tables.get(table)
    spec = tables.listed(made)
    wanted = spec.filters.parse(filters)
    check_arguments(settings, on_invalid, progress, report, allow_incomplete=allow_incomplete)
    since, sort = first_rows(spec, wanted, limit, created_since), getattr(wanted, "sort", None)
    if made is not spec and limit is None and sort is not None:
        raise FilterError(f"sort={sort!r} is an order of {spec.name}", hint=f"sort {made.name} once they are loaded")
    if privacy != "keep" and sort is not None and spec.personal(sort.removeprefix("-")):
        raise FilterError(f"sort={sort!r} is by personal data, which privacy={privacy!r} takes away")
    if reveal and privacy != "keep":
        raise UsageError("reveal shows what privacy hides", hint="leave out one of them")
    if not isinstance(reveal, Collection) or isinstance(reveal, str):
        raise UsageError("reveal must be a list of columns", hint="reveal=['link']")
    secret = [column.name for column in made.columns if column.reads == "secret"]
    for name in reveal:
        if name not in secret:
            hint = f"its secret columns are {', '.join(secret)}" if secret else "it has no secret columns"
            raise UsageError(f"{name!r} is no secret column of {made.name}", hint=hint)
    settings = settings or Settings.from_env()
    return Job(
        spec, wanted, settings, LoadReport() if report is None else report, (made,), on_invalid, limit, since,
        allow_incomplete=allow_incomplete, privacy=privacy_of(privacy, settings), reveal=frozenset(reveal),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """A list to read, which of its rows, and the tables that are made of them."""

    spec: Table
    filters: Filters
    makes: Sequence[Table]


def readings(names: Collection[str], filters: Filters | Mapping[str, Any] | None, *, whole: bool) -> list[Reading]:
    """The lists that ``names`` are made of, each once. ``filters`` are those of runs.

    ``whole``: where they say nothing, archived runs are wanted, too, as those of every other list are.
    """
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise UsageError("tables must be a list of names", hint="tables=('runs',)")
    if not names or len(set(names)) < len(names):
        raise UsageError("tables must name at least one table, each once", hint=f"there are {', '.join(tables.TABLES)}")
    lists: dict[str, list[Table]] = {}
    for name in names:
        made = tables.get(name)
        lists.setdefault(tables.listed(made).name, []).append(made)
    if (filters.given() if isinstance(filters, Filters) else filters) and FILTERED not in lists:
        raise UsageError(f"filters are those of {FILTERED}, which none of the tables comes from")
    found = []
    for name, makes in lists.items():
        spec = tables.get(name)
        makes.sort(key=lambda table: table.part is not None)  # the list's own rows first, then what stands inside them
        asked = {} if filters is None or name != FILTERED else filters
        if isinstance(asked, spec.filters):
            asked = asked.given()
        if isinstance(asked, Mapping) and (whole or name != FILTERED):
            asked = {**spec.filters.snapshot_defaults, **{key: value for key, value in asked.items() if value is not None}}
        given = spec.filters.parse(asked)
        sort = getattr(given, "sort", None)
        if sort not in {None, spec.order}:
            raise FilterError("tables are read together oldest first", hint=f"leave sort={sort!r} out, and sort what you read")
        found.append(Reading(spec, given, makes))
    return found


def privacy_of(mode: Mode, settings: Settings) -> Privacy:
    """What is to become of personal data; ``SettingsError`` without the key that a hash needs."""
    if mode not in MODES:
        raise UsageError(f"privacy={mode!r}", hint=f"use {' or '.join(map(repr, MODES))}")
    return Privacy(mode, settings.hashing_key() if mode == "hash" else b"")


def first_rows(spec: Table, wanted: Filters, limit: int | None, created_since: date | str | None) -> datetime | None:
    """``created_since`` in UTC; ``UsageError`` where it, or ``limit``, cannot be what is meant."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"limit must be a whole number from 1, not {limit!r}")
    since, sort = _instant(created_since), getattr(wanted, "sort", None)
    if since is not None and spec.order is None:
        raise UsageError(f"{spec.name} cannot be read by time of creation", hint="leave created_since out")
    if since is not None and limit is not None and sort not in {None, f"-{spec.order}"}:
        raise UsageError("created_since reads newest first", hint=f"with limit, leave out sort={sort!r}")
    if limit is not None and sort not in {None, spec.order, f"-{spec.order}"} and len(wanted.listings()) > 1:
        # The first of each list are known, but not which of those come first: the API may collate texts as it likes.
        what = f"the first by sort={sort!r} of several lists cannot be told"
        raise UsageError(what, hint="ask for one list (one status, no archived='include'), or leave limit out")
    return since


def check_arguments(settings: object, on_invalid: object, progress: object, report: object, **flags: object) -> None:
    """``UsageError`` for what would be misread: an empty dict is no settings, and any text would do for True."""
    if on_invalid not in ON_INVALID:
        raise UsageError(f"on_invalid={on_invalid!r}", hint=f"use {' or '.join(map(repr, ON_INVALID))}")
    expected = [
        ("settings", settings, "Settings or None", settings is None or isinstance(settings, Settings)),
        ("progress", progress, "None, False or a function", progress is None or progress is False or callable(progress)),
        ("report", report, "a LoadReport or None", report is None or isinstance(report, LoadReport)),
        *((name, value, "True or False", isinstance(value, bool)) for name, value in flags.items()),
    ]
    for name, value, kinds, fits in expected:
        if not fits:  # its type only: text given as settings may well be the token
            raise UsageError(f"{name} must be {kinds}, not {type(value).__name__}")


def _streamed(job: Job, progress: ProgressOption) -> Iterator[pl.DataFrame]:
    """The frames of a job that makes one table."""
    with closing(job.run(progress)) as frames:
        for _, frame in frames:
            yield frame


def _later(job: Job, progress: ProgressOption) -> Iterator[pl.DataFrame]:
    """The gathered frame, once somebody asks for it."""
    yield _gathered(job, progress)


def _gathered(job: Job, progress: ProgressOption) -> pl.DataFrame:
    """All frames of a job that makes one table as one, in order, cut to the rows wanted."""
    (made,) = job.makes
    frame = in_order(made, [frame for _, frame in job.run(progress)], getattr(job.wanted, "sort", None), job.limit)
    if made is job.spec:
        job.report.rows = frame.height
    return frame


def in_order(made: Table, frames: list[pl.DataFrame], sort: str | None = None, limit: int | None = None) -> pl.DataFrame:
    """``frames``, which are taken, as one frame in its order; ``PaginationError`` if a key comes twice.

    ``limit`` cuts rows of a list; of parts of rows, those rows were cut before.
    """
    frame = pl.concat(frames) if frames else made.schema.to_frame()
    frames.clear()
    if frame.select(made.key).n_unique() < frame.height:
        raise PaginationError(f"two rows of {made.name} have the same {' and '.join(made.key)}", hint="try again later")
    if made.part is None and sort is None and made.order and limit is not None:
        sort = f"-{made.order}"
    by = [*made.order_by]
    descending = [False] * len(by)
    if made.part is None and sort:
        by = [sort.removeprefix("-"), *(made.rank or made.key)]
        descending = [sort.startswith("-"), *[False] * (len(by) - 1)]
    places = frame.select(pl.arg_sort_by(by, descending=descending, nulls_last=True)).to_series()
    if limit is not None and made.part is None:
        places = places.head(limit)
    columns = frame.get_columns()
    del frame
    # One at a time, so that a large table is never in memory twice: and in pieces no larger than what each frees, since freed
    # memory is not given back so soon.
    pieces = [places.slice(start, GATHERED_ROWS) for start in range(0, len(places), GATHERED_ROWS)] or [places]
    return pl.DataFrame([_gather(columns.pop(0), pieces) for _ in range(len(columns))])


def _gather(column: pl.Series, pieces: Sequence[pl.Series]) -> pl.Series:
    """The rows at these places, piece by piece."""
    first, *others = (column.gather(places) for places in pieces)
    for other in others:
        first.append(other)
    return first


def _instant(moment: date | str | None) -> datetime | None:
    """``created_since`` in UTC."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise UsageError(f"created_since={moment!r} is no date", hint="write 2026-03-01 or 2026-03-01T12:00:00Z") from None
    if moment is None or isinstance(moment, datetime):
        return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
    if not isinstance(moment, date):
        raise UsageError(f"created_since must be a date, an instant or text, not {type(moment).__name__}")
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
