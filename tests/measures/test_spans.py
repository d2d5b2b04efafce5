"""Cycle time and ageing, by hand. 6 January 2031 is a Monday."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

import tallyfy_frames as tf
from tallyfy_frames import measures
from tallyfy_frames.errors import UsageError
from tallyfy_frames.tables.runs import RUNS

OFFICE = measures.Calendar(
    timezone="UTC", hours=dict.fromkeys(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"), ("09:00", "17:00"))
)


def january(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2031, 1, day, hour, minute, tzinfo=UTC)


def runs(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=RUNS.schema)


def test_it_is_part_of_the_front_door() -> None:
    assert tf.measures is measures
    assert tf.measures.cycle_time is measures.cycle_time
    for name in measures.__all__:
        assert (getattr(measures, name).__doc__ or "").strip(), name


# --- cycle time


def test_a_run_takes_from_its_start_to_its_completion() -> None:
    table = runs(
        {"id": "a", "checklist_id": "c", "checklist_title": "Leave", "status": "complete",
         "created_at": january(6, 8), "started_at": january(6, 9), "completed_at": january(7, 10, 30)},
    )  # fmt: skip
    assert measures.cycle_time(table).to_dicts() == [
        {"run_id": "a", "checklist_id": "c", "checklist_title": "Leave", "status": "complete", "start_from": "started_at",
         "started_at": january(6, 9), "completed_at": january(7, 10, 30), "elapsed_h": 24 + 1.5}
    ]  # fmt: skip


def test_a_run_without_a_start_of_its_own_starts_when_it_was_created() -> None:
    table = runs(
        {"id": "created", "created_at": january(6), "completed_at": january(7)},
        {"id": "neither", "completed_at": january(7)},
    )
    times = measures.cycle_time(table)
    assert times.select("start_from", "started_at", "elapsed_h").rows() == [("created_at", january(6), 24), (None, None, None)]


def test_open_runs_have_no_cycle_time_yet() -> None:
    table = runs({"id": "a", "created_at": january(6)}, {"id": "b", "created_at": january(6), "archived_at": january(8)})
    assert measures.cycle_time(table, calendar=OFFICE).select("elapsed_h", "working_h").rows() == [(None, None)] * 2


def test_a_run_that_was_completed_before_it_started_keeps_both_instants_and_has_no_duration() -> None:
    table = runs({"id": "a", "started_at": january(7), "created_at": january(6), "completed_at": january(6, 12)})
    (row,) = measures.cycle_time(table, calendar=OFFICE).to_dicts()
    assert (row["started_at"], row["completed_at"]) == (january(7), january(6, 12))
    assert (row["elapsed_h"], row["working_h"]) == (None, None)


def test_with_a_calendar_working_hours_stand_beside_the_elapsed_ones() -> None:
    table = runs({"id": "a", "created_at": january(10, 16), "completed_at": january(13, 10)})
    times = measures.cycle_time(table, calendar=OFFICE)  # from Friday 16:00 to Monday 10:00
    assert times.columns[-2:] == ["elapsed_h", "working_h"]
    assert times.row(0)[-2:] == (8 + 24 + 24 + 10, 1 + 1)


def test_rows_stay_in_their_order_and_the_frame_as_it_was() -> None:
    table = runs(*({"id": name, "created_at": january(6), "completed_at": january(7)} for name in "bac"))
    before = table.clone()
    assert measures.cycle_time(table)["run_id"].to_list() == ["b", "a", "c"]
    assert table.equals(before)


# --- ageing


def test_open_runs_age_oldest_first() -> None:
    now = january(9, 12)
    table = runs(
        {"id": "young", "created_at": january(9, 6), "last_updated": january(9, 11)},
        {"id": "done", "created_at": january(1), "completed_at": january(2), "last_updated": january(2)},
        {"id": "archived", "created_at": january(1), "archived_at": january(2), "last_updated": january(2)},
        {"id": "late", "name": "L", "owner_id": 5120, "created_at": january(6), "started_at": january(6, 12),
         "last_updated": january(8, 12), "due_date": january(9, 10)},
        {"id": "in time", "created_at": january(7, 12), "last_updated": january(7, 12), "due_date": january(9, 13)},
    )  # fmt: skip
    found = measures.ageing(table, now=now).select("run_id", "start_from", "age_h", "idle_h", "overdue_h")
    assert found.rows() == [
        ("late", "started_at", 72, 24, 2),
        ("in time", "created_at", 48, 48, 0),
        ("young", "created_at", 6, 1, None),  # no deadline, so not 0
    ]


def test_ages_are_told_in_working_hours_too() -> None:
    table = runs({"id": "a", "created_at": january(10, 16), "last_updated": january(13, 9), "due_date": january(11)})
    (row,) = measures.ageing(table, now=january(13, 10), calendar=OFFICE).to_dicts()  # Friday 16:00 to Monday 10:00
    assert (row["age_h"], row["idle_h"], row["overdue_h"]) == (66, 1, 24 + 24 + 10)
    assert (row["age_working_h"], row["idle_working_h"], row["overdue_working_h"]) == (1 + 1, 1, 1)


def test_now_has_a_zone_or_is_utc() -> None:
    table = runs({"id": "a", "created_at": january(6)})
    for now in (january(6, 3), datetime(2031, 1, 6, 3), datetime(2031, 1, 6, 5, tzinfo=timezone(timedelta(hours=2)))):  # noqa: DTZ001
        assert measures.ageing(table, now=now)["age_h"].to_list() == [3]
    for wrong in (date(2031, 1, 6), "2031-01-06", None):
        with pytest.raises(UsageError, match="now must be a datetime"):
            measures.ageing(table, now=wrong)


def test_runs_that_start_after_now_have_no_age_and_those_without_a_start_come_last() -> None:
    table = runs({"id": "unknown"}, {"id": "later", "created_at": january(7)})
    assert measures.ageing(table, now=january(6)).select("run_id", "age_h").rows() == [("later", None), ("unknown", None)]


# --- what is given


@pytest.mark.parametrize("calendar", [None, OFFICE])
def test_zero_rows_have_the_same_columns(calendar: measures.Calendar | None) -> None:
    table = runs({"id": "a", "created_at": january(6), "completed_at": january(7)}, {"id": "b", "created_at": january(6)})
    for measure in (
        lambda frame: measures.cycle_time(frame, calendar=calendar),
        lambda frame: measures.ageing(frame, now=january(8), calendar=calendar),
    ):
        assert measure(table).height > 0
        assert measure(table.clear()).schema == measure(table).schema
    assert all(dtype == pl.Float64 for name, dtype in measures.cycle_time(table).schema.items() if name.endswith("_h"))


def test_missing_columns_are_named_at_once() -> None:
    table = runs({"id": "a"}).drop("created_at", "status")
    with pytest.raises(UsageError, match=r"runs lacks status, created_at; give it what load\('runs'\) returns"):
        measures.cycle_time(table)


def test_texts_are_no_instants_nor_are_times_without_a_zone() -> None:
    table = runs({"id": "a", "created_at": january(6)})
    with pytest.raises(UsageError, match="created_at holds String, not instants"):
        measures.cycle_time(table.with_columns(pl.col("created_at").cast(pl.String)))
    with pytest.raises(UsageError, match=r"created_at holds Datetime.* not instants"):
        measures.cycle_time(table.with_columns(pl.col("created_at").dt.replace_time_zone(None)))


def test_instants_of_another_zone_or_precision_are_read() -> None:
    table = runs({"id": "a", "created_at": january(6), "completed_at": january(7)})
    moved = table.with_columns(
        pl.col("created_at").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ms"), started_at=pl.lit(None)
    )
    assert measures.cycle_time(moved).equals(measures.cycle_time(table))


def test_a_lazy_frame_is_to_be_collected_first() -> None:
    with pytest.raises(UsageError, match=r"runs is a LazyFrame; collect\(\) it first"):
        measures.cycle_time(runs().lazy())
    with pytest.raises(UsageError, match="must be a polars DataFrame, not dict"):
        measures.cycle_time({})
