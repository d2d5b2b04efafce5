"""The measures as SQL: one text for DuckDB and PostgreSQL, and tests hold it to what `measures/` computes.

A view is made of ``runs``, ``tasks``, ``users`` and ``snapshot``. What these are is each database's business: it puts them
before the text as common table expressions (:func:`statement`), with instants as plain timestamps in UTC, so that no session's
time zone moves a day. Every view ends in the same labels, by which dashboards filter all of them alike.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from tallyfy_frames.errors import warn
from tallyfy_frames.measures.waits import DONE, HIDDEN, SKIPPED

INSTANT: Final = pl.Datetime("us", "UTC")
DUE_SOON_DAYS: Final = 7
FLOW_YEARS: Final = 10  # whose days are told one by one: a run that says it began in the year 1 must not make millions
BANDS_D: Final = (1, 3, 7, 14, 30, 90)  # where bands of ages end: under a day, 1 to 3 days, … 90 days and more

SNAPSHOT: Final = "snapshot"  # one row: which snapshot everything beside it shows, and until when hours are counted

# What a view may be made of, and the columns that it needs of it.
SOURCES: Final[Mapping[str, Mapping[str, pl.DataType]]] = {
    "runs": {
        "id": pl.String(), "name": pl.String(), "checklist_id": pl.String(), "checklist_title": pl.String(),
        "status": pl.String(), "owner_id": pl.Int64(), "has_open_issue": pl.Boolean(), "created_at": INSTANT,
        "started_at": INSTANT, "last_updated": INSTANT, "completed_at": INSTANT, "archived_at": INSTANT, "due_date": INSTANT,
    },
    "tasks": {
        "id": pl.String(), "run_id": pl.String(), "checklist_id": pl.String(), "alias": pl.String(),
        "original_title": pl.String(), "title": pl.String(), "position": pl.Int64(), "status": pl.String(),
        "created_at": INSTANT, "started_at": INSTANT, "completed_at": INSTANT, "archived_at": INSTANT,
    },
    "users": {"id": pl.Int64(), "full_name": pl.String(), "username": pl.String()},
    SNAPSHOT: {"as_of": INSTANT},
}  # fmt: skip
TABLES: Final[Mapping[str, tuple[str, ...]]] = {  # the tables that have them: the first that is there counts
    "runs": ("runs",),
    "tasks": ("run_tasks", "tasks"),
    "users": ("users",),
}
WITHOUT: Final = {
    "runs": "no measure has rows",
    "tasks": "waiting and waiting_per_step have no rows",
    "users": "user ids stand for names",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A view's column."""

    dtype: pl.DataType
    about: str
    unit: str | None = None
    title: str | None = None  # above a column of a table, if not its name


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view: its rows, its columns in order, and the query that makes it of its sources, step by step."""

    name: str
    about: str
    sources: tuple[str, ...]
    columns: Mapping[str, Told]
    steps: Mapping[str, str] = field(default_factory=dict)
    sql: str


def statement(view: View, sources: Mapping[str, str]) -> str:
    """The query of ``view``, where ``sources`` has a query for each of those that it may be made of."""
    parts = {**{name: sources[name] for name in view.sources}, **view.steps}
    given = ",\n".join(f"{name} as (\n{query}\n)" for name, query in parts.items())
    return f"with {given}\n{view.sql}" if given else view.sql


def serving(there: Container[str]) -> dict[str, str | None]:
    """The table that each source is made of, of those that are ``there``; None, and a warning, where there is none."""
    found = {}
    for source, candidates in TABLES.items():
        found[source] = next((name for name in candidates if name in there), None)
        if found[source] is None:
            warn(f"the snapshot has no {' or '.join(candidates)}: {WITHOUT[source]}")
    return found


def _text(about: str, title: str | None = None) -> Told:
    return Told(pl.String(), about, title=title)


def _instant(about: str) -> Told:
    return Told(INSTANT, about)


def _hours(about: str) -> Told:
    return Told(pl.Float64(), about, "hours")


def _count(about: str, unit: str) -> Told:
    return Told(pl.Int64(), about, unit)


def _flag(about: str) -> Told:
    return Told(pl.Boolean(), about)


def _between(start: str, end: str) -> str:
    """Hours from ``start`` to ``end``; null where that is less than none."""
    return f"case when {end} >= {start} then cast(extract(epoch from ({end} - {start})) as float8) / 3600 end"


RUN_ID: Final = _text("The run's id")
CHECKLIST_ID: Final = _text("The template's id")
CHECKLIST_TITLE: Final = _text("The template's title when this was read")
STATUS: Final = _text("The run's status when this was read")
OWNER_ID: Final = Told(pl.Int64(), "User id of the run's owner")
START_FROM: Final = _text("Which of the run's columns started_at is: started_at, or else created_at")
TEMPLATE: Final = _text("The template's title; with its id, where several have that title")
LABELS: Final = {
    "template": TEMPLATE,
    "owner": _text("The name of the run's owner; with the user's id, where several have that name, or none is known"),
    "run_status": _text("The run's status, under the same name in every view", "status"),
}
ENDED: Final = ", ".join(f"'{word}'" for word in (*DONE, SKIPPED))
LABELLED: Final = "l.template, l.owner, l.run_status"
STARTED: Final = "coalesce(r.started_at, r.created_at)"
START_OF: Final = """\
case when {0}.started_at is not null then 'started_at' when {0}.created_at is not null then 'created_at' end as start_from"""

RUN_LABELS = View(
    name="run_labels",
    about="What charts call each run's template and owner: one row per run.",
    sources=("runs", "users"),
    columns={"run_id": RUN_ID, **LABELS},
    steps={
        "titles": """\
select checklist_title, min(checklist_id) is distinct from max(checklist_id) as shared from runs group by checklist_title""",
        "people": """\
select id, coalesce(nullif(trim(full_name), ''), nullif(trim(username), '')) as name from users""",
        "names": """\
select name, count(*) > 1 as shared from people group by name""",
    },
    sql="""\
select
  r.id as run_id,
  case
    when nullif(trim(r.checklist_title), '') is null then coalesce('template ' || r.checklist_id, 'no template')
    when t.shared then r.checklist_title || ' (' || coalesce(r.checklist_id, 'no id') || ')'
    else r.checklist_title
  end as template,
  case
    when r.owner_id is null then 'nobody'
    when p.name is null then 'user ' || cast(r.owner_id as text)
    when n.shared then p.name || ' (' || cast(r.owner_id as text) || ')'
    else p.name
  end as owner,
  r.status as run_status
from runs r
left join titles t on t.checklist_title = r.checklist_title
left join people p on p.id = r.owner_id
left join names n on n.name = p.name""",
)

CYCLE_TIME = View(
    name="cycle_time",
    about="Hours from start to completion: one row per run (measures.cycle_time).",
    sources=("runs",),
    columns={
        "run_id": RUN_ID,
        "checklist_id": CHECKLIST_ID,
        "checklist_title": CHECKLIST_TITLE,
        "status": STATUS,
        "start_from": START_FROM,
        "started_at": _instant("When it started: by its own account, or else when it was made"),
        "completed_at": _instant("When it was completed; null while it is open"),
        "elapsed_h": _hours("From start to completion; null while it is open, or if it was completed before it started"),
        **LABELS,
    },
    sql=f"""\
select
  r.id as run_id, r.checklist_id, r.checklist_title, r.status, {START_OF.format("r")},
  {STARTED} as started_at, r.completed_at, {_between(STARTED, "r.completed_at")} as elapsed_h, {LABELLED}
from runs r
join run_labels l on l.run_id = r.id""",
)


def _band(age_h: str) -> str:
    """An age as one of a few words, which sort as they should."""
    bands = zip((0, *BANDS_D), BANDS_D, strict=False)
    cases = " ".join(f"when {age_h} < {last * 24} then '{first:02}-{last:02}'" for first, last in bands)
    return f"case {cases} when {age_h} is not null then '{BANDS_D[-1]:02}+' end"


AGEING = View(
    name="ageing",
    about="The runs that are open, neither completed nor archived: one row per run (measures.ageing).",
    sources=("runs", "snapshot"),
    columns={
        "run_id": RUN_ID,
        "name": _text("The process's name"),
        "checklist_id": CHECKLIST_ID,
        "checklist_title": CHECKLIST_TITLE,
        "status": STATUS,
        "owner_id": OWNER_ID,
        "start_from": START_FROM,
        "started_at": _instant("When it started: by its own account, or else when it was made"),
        "last_updated": _instant("When anything of it last changed"),
        "due_date": _instant("When it is due"),
        "age_h": _hours("Since its start"),
        "idle_h": _hours("Since its last change"),
        "overdue_h": _hours("Since it was due; 0 before, null where it has no due date"),
        "as_of": _instant("Until when hours are counted: see the view snapshot"),
        "age_band": _text("Its age in days: from the first number up to, but not including, the second"),
        "is_overdue": _flag("Whether it should have been completed by now"),
        "is_due_soon": _flag(f"Whether it is due within the next {DUE_SOON_DAYS} days"),
        "has_problem": _flag("Whether its status is problem or issue, or it has an open issue"),
        **LABELS,
    },
    steps={
        "aged": f"""\
select
  r.id as run_id, r.name, r.checklist_id, r.checklist_title, r.status, r.owner_id, {START_OF.format("r")},
  {STARTED} as started_at, r.last_updated, r.due_date,
  {_between(STARTED, "s.as_of")} as age_h,
  {_between("r.last_updated", "s.as_of")} as idle_h,
  {_between("case when r.due_date is not null then least(r.due_date, s.as_of) end", "s.as_of")} as overdue_h,
  s.as_of,
  coalesce(r.due_date < s.as_of, false) as is_overdue,
  coalesce(r.due_date >= s.as_of and r.due_date < s.as_of + interval '{DUE_SOON_DAYS} days', false) as is_due_soon,
  coalesce(r.status in ('problem', 'issue'), false) or coalesce(r.has_open_issue, false) as has_problem
from runs r
cross join snapshot s
where r.completed_at is null and r.archived_at is null""",
    },
    sql=f"""\
select
  a.run_id, a.name, a.checklist_id, a.checklist_title, a.status, a.owner_id, a.start_from, a.started_at, a.last_updated,
  a.due_date, a.age_h, a.idle_h, a.overdue_h, a.as_of, {_band("a.age_h")} as age_band, a.is_overdue, a.is_due_soon,
  a.has_problem, {LABELLED}
from aged a
join run_labels l on l.run_id = a.run_id""",
)

THROUGHPUT = View(
    name="throughput",
    about="Runs completed in each week, of each template, with the weeks in which none was (measures.throughput).",
    sources=("runs",),
    columns={
        "checklist_id": CHECKLIST_ID,
        "begins_at": _instant("When the week began: Monday, 00:00 UTC"),
        "completed": _count("Runs completed in it", "runs"),
        "template": TEMPLATE,
    },
    steps={
        "given": """\
select dense_rank() over (order by r.checklist_id, l.template) as number, r.checklist_id, l.template,
  date_trunc('week', r.completed_at) as begins_at
from runs r
join run_labels l on l.run_id = r.id""",
        "bounds": """\
select min(begins_at) as first_at, max(begins_at) as last_at from given""",
        "weeks": """\
select w.begins_at
from bounds b
cross join lateral generate_series(b.first_at, b.last_at, interval '7 days') as w(begins_at)""",
        "done": """\
select number, begins_at, count(*) as completed from given where begins_at is not null group by number, begins_at""",
        "templates": """\
select distinct number, checklist_id, template from given""",
    },
    sql="""\
select t.checklist_id, w.begins_at, coalesce(d.completed, 0) as completed, t.template
from templates t
cross join weeks w
left join done d on d.number = t.number and d.begins_at = w.begins_at""",
)


def _days(start: str, end: str) -> str:
    """Days from ``start`` to ``end``, counted up."""
    return f"cast(ceil(extract(epoch from ({end} - {start})) / 86400) as bigint)"


def _day(instant: str) -> str:
    """The number of the day by whose end ``instant`` is past; 0 is where the first day begins, and what was before that."""
    days = _days("b.first_at", f"date_trunc('day', {instant})")
    return f"greatest({days} + 1, 0)"


WORK_IN_PROGRESS = View(
    name="work_in_progress",
    about=f"Runs open day by day, of each template, owner and status of today; {FLOW_YEARS} years (measures.work_in_progress).",
    sources=("runs", "snapshot"),
    columns={
        "checklist_id": CHECKLIST_ID,
        "owner_id": OWNER_ID,
        "until": _instant("The end of a day (00:00 UTC of the next), and in the end what the view snapshot calls as_of"),
        "opened": _count("Runs that had been started before", "runs"),
        "closed": _count("Those of them that had been completed or archived before", "runs"),
        "open": _count("The difference", "runs"),
        **LABELS,
    },
    steps={
        "begun": """\
select
  r.checklist_id, r.owner_id, l.template, l.owner, l.run_status,
  coalesce(r.started_at, r.created_at) as opened_at, least(r.completed_at, r.archived_at) as ended_at, s.as_of
from runs r
join run_labels l on l.run_id = r.id
cross join snapshot s
where coalesce(r.started_at, r.created_at) < s.as_of""",
        "spans": """\
select *,
  dense_rank() over (order by checklist_id, owner_id, template, owner, run_status) as number,
  case when ended_at is not null then greatest(ended_at, opened_at) end as closed_at
from begun""",
        "bounds": f"""\
select
  greatest(date_trunc('day', min(opened_at)), date_trunc('day', max(as_of)) - interval '{FLOW_YEARS} years') as first_at,
  max(as_of) as last_at
from spans""",
        # Days are numbered from the first one; what was before it is told there.
        "events": f"""\
select number, {_day("opened_at")} as day, 1 as opened, 0 as closed from spans cross join bounds b
union all
select number, {_day("closed_at")}, 0, 1 from spans cross join bounds b where closed_at < b.last_at
union all
select distinct number, 0, 0, 0 from spans""",
        "counts": """\
select number, day, sum(opened) as opened, sum(closed) as closed from events group by number, day""",
        # A row for each time that something changed, and until when that holds: the days between are made last.
        "flow": """\
select
  number, day, lead(day) over (partition by number order by day) as next_day,
  sum(opened) over (partition by number order by day) as opened, sum(closed) over (partition by number order by day) as closed
from counts""",
        "lots": """\
select distinct number, checklist_id, owner_id, template, owner, run_status from spans""",
    },
    sql=f"""\
select
  l.checklist_id, l.owner_id, least(b.first_at + d.day * interval '1 day', b.last_at) as until,
  cast(f.opened as bigint) as opened, cast(f.closed as bigint) as closed, cast(f.opened - f.closed as bigint) as open,
  {LABELLED}
from flow f
join lots l on l.number = f.number
cross join bounds b
cross join lateral generate_series(
  f.day, coalesce(f.next_day - 1, {_days("b.first_at", "b.last_at")})
) as d(day)""",
)

WAITING = View(
    name="waiting",
    about="How long each task waited, without those that a rule hid: one row per task (measures.waiting).",
    sources=("tasks",),
    columns={
        "task_id": _text("The task's id"),
        "run_id": RUN_ID,
        "checklist_id": CHECKLIST_ID,
        "step": _text("What the task is called in all runs of its template: its alias, or else its title"),
        "title": _text("The task's title"),
        "position": _count("Its place in the run, from 1", "place"),
        "status": _text("The task's status when this was read"),
        "start_from": _text("Which of the task's columns could_begin_at is: started_at, or else created_at"),
        "could_begin_at": _instant("When it could begin"),
        "completed_at": _instant("When it was completed"),
        "archived_at": _instant("When it was archived"),
        "waited_h": _hours("From when it could begin to its completion; null where it was not completed, or before that"),
        "since_previous_h": _hours("The same, but not before the last completion in its run before its own"),
        "step_title": _text("The task's title before variables were filled in", "step"),
        "is_done": _flag("Whether it was completed, and not skipped"),
        "is_open": _flag("Whether it is neither completed, skipped nor archived"),
        **LABELS,
    },
    steps={
        "seen": f"""\
select
  t.id as task_id, t.run_id, t.checklist_id, coalesce(t.alias, t.original_title, t.title) as step, t.title,
  coalesce(t.original_title, t.title) as step_title, t.position, t.status,
  {START_OF.format("t")}, coalesce(t.started_at, t.created_at) as could_begin_at, t.completed_at, t.archived_at,
  case when t.status is distinct from '{SKIPPED}' then t.completed_at end as done_at
from tasks t
where t.status is distinct from '{HIDDEN}'""",
        "ordered": """\
select *,
  case
    when run_id is not null then lag(done_at) over (
      partition by run_id order by done_at nulls first, position nulls first, task_id collate "C"
    )
  end as previous_at
from seen""",
        "begun": """\
select *, case when could_begin_at is not null then greatest(could_begin_at, previous_at) end as next_at from ordered""",
    },
    sql=f"""\
select
  b.task_id, b.run_id, b.checklist_id, b.step, b.title, b.position, b.status, b.start_from, b.could_begin_at, b.completed_at,
  b.archived_at, {_between("b.could_begin_at", "b.done_at")} as waited_h,
  {_between("b.next_at", "b.done_at")} as since_previous_h,
  b.step_title, b.done_at is not null as is_done,
  b.completed_at is null and b.archived_at is null
    and not coalesce(b.status in ({ENDED}), false) as is_open,
  {LABELLED}
from begun b
left join run_labels l on l.run_id = b.run_id""",
)


def _share(column: str, share: float) -> str:
    return f"percentile_cont({share}) within group (order by {column})"


_QUANTILES: Final = {
    f"{measured}_{word}_h": (f"{measured}_h", share)
    for measured in ("waited", "since_previous")
    for word, share in (("median", 0.5), ("p90", 0.9))
}

WAITING_PER_STEP = View(
    name="waiting_per_step",
    about="How long each step of each template waits, over all its runs: one row per step (measures.waiting_per_step).",
    sources=(),
    columns={
        "checklist_id": CHECKLIST_ID,
        "step": _text("What its tasks are called in all runs of the template"),
        "title": _text("The title of its newest task"),
        "position": _count("The place of that in its run", "place"),
        "done": _count("Tasks that were completed, and not skipped", "tasks"),
        "open": _count("Tasks that are neither completed, skipped nor archived: no quantile has them", "tasks"),
        "waited_median_h": _hours("Half of the tasks waited so long, or less: see waiting"),
        "waited_p90_h": _hours("Nine of ten tasks did"),
        "since_previous_median_h": _hours("Half of the tasks took so long, or less, since the one before: see waiting"),
        "since_previous_p90_h": _hours("Nine of ten tasks did"),
    },
    sql=f"""\
select
  checklist_id, step,
  max(case when newest = 1 then title end) as title, max(case when newest = 1 then position end) as position,
  count(*) filter (where is_done) as done, count(*) filter (where is_open) as open,
  {", ".join(f"{_share(*told)} as {name}" for name, told in _QUANTILES.items())}
from (
  select *,
    row_number() over (
      partition by checklist_id, step order by could_begin_at desc nulls last, task_id collate "C" desc
    ) as newest
  from waiting
  where checklist_id is not null
) numbered
group by checklist_id, step""",
)

VIEWS: Final = (
    RUN_LABELS,
    CYCLE_TIME,
    AGEING,
    THROUGHPUT,
    WORK_IN_PROGRESS,
    WAITING,
    WAITING_PER_STEP,
)  # each after what it is made of
