"""How long tasks wait, by hand. 6 January 2031 is a Monday."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from tallyfy_frames import measures
from tallyfy_frames.errors import UsageError
from tallyfy_frames.tables.tasks import TASKS

OFFICE = measures.Calendar(
    timezone="UTC", hours=dict.fromkeys(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"), ("09:00", "17:00"))
)


def january(day: int, hour: int = 0) -> datetime:
    return datetime(2031, 1, day, hour, tzinfo=UTC)


MONDAY = january(6)


def tasks(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TASKS.schema)


def task(
    name: str, done: datetime | None = None, *, run: str | None = "r", made: datetime = MONDAY, **more: object
) -> dict[str, object]:
    """A task of template ``t``, made at the launch of its run, and completed at ``done``."""
    facts = {"id": f"{run}/{name}", "run_id": run, "checklist_id": "t", "alias": name, "title": name.title()}
    return facts | {"status": "completed" if done else "active", "created_at": made, "completed_at": done} | more


def hours(table: pl.DataFrame, column: str = "waited_h") -> list[float | None]:
    return measures.waiting(table)[column].to_list()


# --- task by task


def test_a_task_waits_from_when_it_could_begin_until_it_is_completed() -> None:
    table = tasks(task("made", january(6, 5)), task("seen", january(6, 5), started_at=january(6, 3)))
    found = measures.waiting(table).select("step", "start_from", "could_begin_at", "waited_h")
    assert found.rows() == [("made", "created_at", january(6), 5), ("seen", "started_at", january(6, 3), 2)]


def test_open_and_skipped_tasks_have_not_waited_until_anything() -> None:
    table = tasks(task("open"), task("skipped", january(7), status="skipped"), task("unsaid", january(7), status=None))
    assert hours(table) == [None, None, 24]


def test_a_task_that_was_completed_before_it_could_begin_has_no_wait() -> None:
    table = tasks(task("a", january(6, 1), started_at=january(6, 2)))
    found = measures.waiting(table, calendar=OFFICE)
    assert found.select("completed_at", "waited_h", "waited_working_h", "since_previous_h").row(0) == (
        january(6, 1), None, None, None,
    )  # fmt: skip


def test_tasks_hidden_by_a_rule_do_not_count() -> None:
    table = tasks(task("a", january(6, 1)), task("hidden", january(6, 2), status="auto-skipped"), task("c", january(6, 4)))
    assert measures.waiting(table)["step"].to_list() == ["a", "c"]
    assert hours(table, "since_previous_h") == [1, 3], "nor does their completion"


def test_what_came_before_is_told_apart() -> None:
    # All visible at midnight; done at 1, 4 and 9. The third could not have begun at midnight if it needed the second.
    table = tasks(task("a", january(6, 1)), task("b", january(6, 4)), task("c", january(6, 9)))
    assert hours(table) == [1, 4, 9]
    assert hours(table, "since_previous_h") == [1, 4 - 1, 9 - 4]


def test_the_previous_completion_is_the_last_one_in_time_whatever_the_position() -> None:
    table = tasks(task("first", january(6, 9), position=1), task("second", january(6, 4), position=2))
    assert hours(table, "since_previous_h") == [9 - 4, 4]


def test_a_task_seen_after_the_previous_completion_waits_from_then() -> None:
    table = tasks(task("a", january(6, 1)), task("b", january(6, 9), started_at=january(6, 7)))
    assert hours(table, "since_previous_h") == [1, 9 - 7]


def test_open_tasks_come_before_none_and_other_runs_are_other_runs() -> None:
    table = tasks(task("a", january(6, 2)), task("open"), task("b", january(6, 5)), task("a", january(6, 4), run="other"))
    assert hours(table, "since_previous_h") == [2, None, 3, 4]


def test_tasks_done_at_once_follow_by_position() -> None:
    table = tasks(task("a", january(6, 3), position=2), task("b", january(6, 3), position=1))
    assert hours(table, "since_previous_h") == [0, 3]


def test_a_task_of_which_no_beginning_is_known_has_no_wait() -> None:
    table = tasks(task("a", january(6, 1)), task("b", january(6, 3), created_at=None))
    assert measures.waiting(table).select("start_from", "waited_h", "since_previous_h").row(1) == (None, None, None)


def test_one_off_tasks_wait_each_for_themselves() -> None:
    table = tasks(task("a", january(6, 2), run=None, id="x"), task("b", january(6, 5), run=None, id="y"))
    assert hours(table) == hours(table, "since_previous_h") == [2, 5]


def test_a_step_is_named_by_its_alias_else_by_its_title_before_variables_were_filled_in() -> None:
    table = tasks(
        task("a"), task("b", alias=None, original_title="Call {{name}}", title="Call Acorn"), task("c", alias=None, title="Pay")
    )
    assert measures.waiting(table)["step"].to_list() == ["a", "Call {{name}}", "Pay"]


def test_working_hours_stand_beside_the_elapsed_ones() -> None:
    # Friday 16:00, Monday 10:00, Tuesday 10:00
    table = tasks(task("a", january(13, 10), made=january(10, 16)), task("b", january(14, 10), made=january(10, 16)))
    found = measures.waiting(table, calendar=OFFICE)
    assert found.select("waited_h", "waited_working_h").rows() == [(66, 1 + 1), (90, 1 + 8 + 1)]
    assert found.select("since_previous_h", "since_previous_working_h").rows() == [(66, 1 + 1), (24, 7 + 1)]


# --- step by step


def test_each_step_is_summed_up_over_all_runs() -> None:
    done = [task("a", january(6, n), run=f"r{n}", position=1) for n in (1, 2, 3, 10)]
    table = tasks(*done, task("a", run="r5", position=1), task("b", january(6, 12), run="r10", position=2))
    found = measures.waiting_per_step(table)
    assert found.columns == [
        "checklist_id", "step", "title", "position", "done", "open",
        "waited_median_h", "waited_p90_h", "since_previous_median_h", "since_previous_p90_h",
    ]  # fmt: skip
    # Of 1, 2, 3, 10: the median lies half-way from 2 to 3, and 90 % of the way from the first to the last, three steps on, is
    # 2.7 steps: seven tenths of the way from 3 to 10.
    assert found.row(0) == ("t", "a", "A", 1, 4, 1, 2.5, pytest.approx(3 + 0.7 * 7), 2.5, pytest.approx(3 + 0.7 * 7))
    assert found.row(1) == ("t", "b", "B", 2, 1, 0, 12, 12, 2, 2)


def test_what_is_archived_skipped_or_called_completed_without_a_time_is_not_open() -> None:
    table = tasks(
        task("a", run="1"),
        task("a", run="2", status=None),
        task("a", run="3", archived_at=january(8)),
        task("a", run="4", status="skipped"),
        task("a", january(7), run="5", status="skipped"),
        task("a", run="6", status="completed"),
        task("a", run="7", status="auto-skipped"),
        task("a", january(7), run="8", archived_at=january(8)),
    )
    assert measures.waiting_per_step(table).select("done", "open").rows() == [(1, 2)]


def test_a_step_is_shown_as_its_newest_task_has_it() -> None:
    table = tasks(
        task("a", run="new", made=january(9), title="New title", position=3),
        task("a", run="old", title="Old title", position=1),
    )
    assert measures.waiting_per_step(table).select("title", "position").rows() == [("New title", 3)]


def test_the_same_alias_in_two_templates_is_two_steps_and_tasks_of_none_are_left_out() -> None:
    table = tasks(task("a", run="1"), task("a", run="2", checklist_id="s"), task("a", run=None, checklist_id=None))
    assert measures.waiting_per_step(table).select("checklist_id", "step", "open").rows() == [("s", "a", 1), ("t", "a", 1)]


def test_steps_are_told_in_working_hours_too() -> None:
    table = tasks(task("a", january(13, 10), made=january(10, 16)))
    (row,) = measures.waiting_per_step(table, calendar=OFFICE).to_dicts()
    assert (row["waited_median_h"], row["waited_working_median_h"], row["since_previous_working_p90_h"]) == (66, 2, 2)


# --- what is given


@pytest.mark.parametrize("calendar", [None, OFFICE])
@pytest.mark.parametrize("measure", [measures.waiting, measures.waiting_per_step])
def test_zero_rows_have_the_same_columns_and_the_frame_stays_as_it_was(measure: object, calendar: object) -> None:
    table = tasks(task("b", january(6, 2)), task("a", january(6, 1)), task("c"))
    before = table.clone()
    found = measure(table, calendar=calendar)
    assert found.height == 3
    assert measure(table.clear(), calendar=calendar).schema == found.schema
    assert table.equals(before)


def test_missing_columns_are_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"tasks lacks alias, started_at; give it what load\('tasks'\) or load\('run_tasks'\)"):
        measures.waiting_per_step(tasks(task("a")).drop("started_at", "alias"))


def test_a_skipped_task_is_no_completion_that_others_wait_from() -> None:
    """Done at 10 o'clock, skipped at 12, done at 15: the last one waited 5 hours since the one before it, not 3."""
    table = tasks(task("a", january(6, 10)), task("b", january(6, 12), status="skipped"), task("c", january(6, 15)))
    assert hours(table, "since_previous_h") == [10, None, 5]
