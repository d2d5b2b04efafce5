"""Work in progress and throughput, by hand and by a slow count. 6 January 2031 is a Monday."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallyfy_frames import measures
from tallyfy_frames.errors import UsageError
from tallyfy_frames.tables.runs import RUNS


def january(day: int, hour: int = 0) -> datetime:
    return datetime(2031, 1, day, hour, tzinfo=UTC)


def runs(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([{"id": str(n)} | row for n, row in enumerate(rows)], schema=RUNS.schema)


# --- work in progress


def test_each_row_tells_what_happened_before_it() -> None:
    table = runs(
        {"created_at": january(6, 9), "completed_at": january(8, 9)},
        {"created_at": january(6, 10), "started_at": january(7, 10)},  # starts later than it was created
        {"created_at": january(7, 9), "archived_at": january(7, 20)},
        {"created_at": january(7, 9), "completed_at": january(7, 12), "archived_at": january(9)},  # closed once
    )
    found = measures.work_in_progress(table, until=january(9, 12))
    assert found.columns == ["at", "opened", "closed", "open"]
    assert found.rows() == [
        (january(6), 0, 0, 0),
        (january(7), 1, 0, 1),
        (january(8), 4, 2, 2),
        (january(9), 4, 3, 1),
        (january(9, 12), 4, 3, 1),  # the end, though not a whole day
    ]


def test_what_happens_at_an_instant_has_not_happened_before_it() -> None:
    table = runs({"created_at": january(6), "completed_at": january(8)})
    assert measures.work_in_progress(table, until=january(9)).select("at", "open").rows() == [
        (january(6), 0),
        (january(7), 1),
        (january(8), 1),
        (january(9), 0),
    ]


def test_runs_that_start_at_the_end_or_later_or_never_are_left_out() -> None:
    table = runs({"created_at": january(6, 1)}, {"created_at": january(7)}, {"created_at": january(8)}, {})
    assert measures.work_in_progress(table, until=january(7)).rows() == [(january(6), 0, 0, 0), (january(7), 1, 0, 1)]
    assert measures.work_in_progress(table, until=january(6, 1)).height == 0


def test_closings_after_the_end_have_not_happened() -> None:
    table = runs({"created_at": january(6, 1), "completed_at": january(7)})
    assert measures.work_in_progress(table, until=january(7))["open"].to_list() == [0, 1]


def test_a_run_that_was_closed_before_it_started_was_never_open() -> None:
    table = runs({"created_at": january(7, 9), "completed_at": january(6, 9)}, {"created_at": january(6, 8)})
    assert measures.work_in_progress(table, until=january(8)).rows() == [
        (january(6), 0, 0, 0),
        (january(7), 1, 0, 1),
        (january(8), 2, 1, 1),
    ]


def test_every_group_has_every_instant_and_null_is_a_group() -> None:
    table = runs(
        {"created_at": january(6, 9), "checklist_title": "B", "completed_at": january(6, 10)},
        {"created_at": january(7, 9), "checklist_title": "A"},
        {"created_at": january(7, 9)},
    )
    found = measures.work_in_progress(table, until=january(8), by="checklist_title")
    assert found.columns == ["checklist_title", "at", "opened", "closed", "open"]
    assert found.select("checklist_title", "opened", "closed", "open").rows() == [
        (None, 0, 0, 0), (None, 0, 0, 0), (None, 1, 0, 1),
        ("A", 0, 0, 0), ("A", 0, 0, 0), ("A", 1, 0, 1),
        ("B", 0, 0, 0), ("B", 1, 1, 0), ("B", 1, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("every", "instants"),
    [
        ("1h", [january(8, 9), january(8, 10), january(8, 11)]),
        ("1w", [january(6), january(8, 11)]),  # weeks begin on Monday
        ("1mo", [january(1), january(8, 11)]),
    ],
)
def test_steps_are_whole_ones(every: str, instants: list[datetime]) -> None:
    table = runs({"created_at": january(8, 9) + timedelta(minutes=30)})
    assert measures.work_in_progress(table, until=january(8, 11), every=every)["at"].to_list() == instants


# --- throughput


def test_weeks_run_from_monday_to_monday_with_the_empty_ones_between() -> None:
    sunday_late = january(13) - timedelta(microseconds=1)
    table = runs(
        {"completed_at": january(6)},  # the first instant of its week
        {"completed_at": sunday_late},  # the last
        {"completed_at": january(13)},
        {"completed_at": january(29)},
        {"created_at": january(1)},
    )
    found = measures.throughput(table)
    assert found.columns == ["begins_at", "completed"]
    assert found.rows() == [(january(6), 2), (january(13), 1), (january(20), 0), (january(27), 1)]


def test_archived_runs_were_completed_all_the_same() -> None:
    assert measures.throughput(runs({"completed_at": january(6), "archived_at": january(7)})).rows() == [(january(6), 1)]


def test_groups_share_the_weeks_and_those_that_completed_nothing_say_so() -> None:
    table = runs(
        {"completed_at": january(6), "checklist_title": "B"},
        {"completed_at": january(14), "checklist_title": "A"},
        {"checklist_title": "C"},
        {"completed_at": january(14)},
    )
    found = measures.throughput(table, by="checklist_title").group_by("checklist_title").agg("completed")
    assert dict(found.rows()) == {"A": [0, 1], "B": [1, 0], "C": [0, 0], None: [0, 1]}


def test_any_step_will_do() -> None:
    table = runs({"completed_at": january(6, 9)}, {"completed_at": january(8, 9)})
    assert measures.throughput(table, every="1d")["completed"].to_list() == [1, 0, 1]
    assert measures.throughput(table, every="1mo").rows() == [(january(1), 2)]


# --- what is given


def test_zero_rows_have_the_same_columns_and_the_frame_stays_as_it_was() -> None:
    table = runs({"created_at": january(6, 9), "completed_at": january(7)}, {"created_at": january(5)})
    before = table.clone()
    for by in (None, "checklist_title", "owner_id"):
        for measure in (
            lambda frame, by=by: measures.work_in_progress(frame, until=january(8), by=by),
            lambda frame, by=by: measures.throughput(frame, by=by),
        ):
            assert measure(table).height > 0
            assert measure(table.clear()).schema == measure(table).schema
            assert measure(table.clear()).height == 0
    assert table.equals(before)


@pytest.mark.parametrize("every", ["", "day", "0d", "-1d", "1x", None, 7])
def test_a_step_that_is_none_is_refused_even_for_no_rows(every: object) -> None:
    for table in (runs(), runs({"created_at": january(6), "completed_at": january(7)})):
        with pytest.raises(UsageError, match="is no step of time"):
            measures.throughput(table, every=every)
        with pytest.raises(UsageError, match="is no step of time"):
            measures.work_in_progress(table, until=january(8), every=every)


def test_columns_that_are_missing_or_in_the_way_are_named() -> None:
    with pytest.raises(UsageError, match="runs lacks template, created_at"):
        measures.work_in_progress(runs().drop("created_at"), until=january(8), by="template")
    with pytest.raises(UsageError, match="by='completed_at' is a column that is counted"):
        measures.throughput(runs(), by="completed_at")
    with pytest.raises(UsageError, match="by='open' is a column"):
        measures.work_in_progress(runs().with_columns(open=pl.lit(1)), until=january(8), by="open")
    with pytest.raises(UsageError, match="until must be a datetime"):
        measures.work_in_progress(runs(), until=date(2031, 1, 8))


# --- by a slow count

hours = st.integers(0, 24 * 30).map(lambda n: january(1) + timedelta(hours=n))
some_runs = st.lists(
    st.fixed_dictionaries({
        "created_at": st.none() | hours,
        "started_at": st.none() | hours,
        "completed_at": st.none() | hours,
        "archived_at": st.none() | hours,
        "checklist_title": st.sampled_from([None, "A", "B"]),
    }),
    max_size=12,
)  # fmt: skip


@given(some_runs, hours, st.sampled_from([(None, 1), ("checklist_title", 6), ("checklist_title", 24)]))
def test_work_in_progress_agrees_with_a_slow_count(
    rows: list[dict[str, object]], until: datetime, how: tuple[str | None, int]
) -> None:
    by, step = how
    found = measures.work_in_progress(runs(*rows), until=until, every=f"{step}h", by=by)
    spans = []
    for row in rows:
        start = row["started_at"] or row["created_at"]
        if start is not None and start < until:
            ends = [moment for moment in (row["completed_at"], row["archived_at"]) if moment is not None]
            spans.append((row["checklist_title"] if by else None, start, max(start, min(ends)) if ends else None))
    expected = {}
    if spans:
        first, at = min(start for _, start, _ in spans), january(1)
        while at + timedelta(hours=step) <= first:
            at += timedelta(hours=step)
        instants = []
        while at < until:
            instants.append(at)
            at += timedelta(hours=step)
        for group in {group for group, _, _ in spans}:
            for at in [*instants, until]:
                opened = sum(g == group and start < at for g, start, _ in spans)
                closed = sum(g == group and end is not None and end < at for g, _, end in spans)
                still = sum(g == group and start < at and not (end is not None and end < at) for g, start, end in spans)
                expected[group, at] = (opened, closed, still)
    counted = {(row[by] if by else None, row["at"]): (row["opened"], row["closed"], row["open"]) for row in found.to_dicts()}
    assert counted == expected
    assert len(counted) == found.height


@given(some_runs, st.sampled_from([None, "checklist_title"]))
def test_throughput_agrees_with_a_slow_count(rows: list[dict[str, object]], by: str | None) -> None:
    found = measures.throughput(runs(*rows), by=by)
    done = [row["completed_at"] for row in rows if row["completed_at"] is not None]
    expected = {}
    if done:
        monday = min(done).date() - timedelta(days=min(done).weekday())
        while monday <= max(done).date():
            for group in {row["checklist_title"] if by else None for row in rows}:
                days = [monday + timedelta(days=n) for n in range(7)]
                expected[group, monday] = sum(
                    row["completed_at"] is not None and row["completed_at"].date() in days and (not by or row[by] == group)
                    for row in rows
                )
            monday += timedelta(days=7)
    counted = {(row[by] if by else None, row["begins_at"].date()): row["completed"] for row in found.to_dicts()}
    assert counted == expected
    assert sum(counted.values()) == len(done)
