"""Words that a column does not list: what the report tells of them, and what it keeps to itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.api.protocol import Stated
from tallyfy_frames.frames.decode import decode
from tallyfy_frames.frames.privacy import Mode, Privacy
from tallyfy_frames.frames.validate import OnInvalid
from tallyfy_frames.landing import Batch
from tallyfy_frames.report import MORE, WORDS_MAX
from tallyfy_frames.shaping import Shaping
from tallyfy_frames.tables._filters import Filters, Listing
from tallyfy_frames.tables._table import Rows, Table, column


class Things(Rows):
    """One row per thing."""

    id: pl.String = column("id", about="Its id", reads="id", nullable=False, unique=True)
    size: pl.Int64 = column("size", about="How large it is")
    state: pl.String = column("state", about="Its state", words=("new", "old"))
    colours: pl.List = column("colours", about="Its colours", reads="texts", inner=pl.String(), words=("red", "blue"))
    mood: pl.String = column("mood", about="Its owner's mood", words=("good", "bad"), personal=True)


THINGS = Table(name="things", path="things", model=Things, filters=Filters)


def reported(*pages: list[dict[str, Any]], mode: Mode = "keep", on_invalid: OnInvalid = "raise") -> tf.LoadReport:
    """What a report says of these pages, each shaped by itself."""
    shaping = Shaping(THINGS, (THINGS,), "0f", on_invalid, Privacy(mode, b"k" * 32), ())
    for rows in pages:
        batch = Batch()
        batch.add(shaping.landing(Stated(), datetime.now(UTC), decode(rows, shaping.wire)))
        for _ in shaping.shape(batch, Listing({})):
            pass
    report = tf.LoadReport()
    shaping.note(report)
    return report


def things(name: str, *values: object, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": str(first + n), name: value} for n, value in enumerate(values)]


def test_words_that_a_column_lists_and_no_words_are_not_told() -> None:
    assert reported(things("state", "new", "old", None, "")).unknown_words == {}


def test_each_new_word_is_counted_by_rows_over_all_pages() -> None:
    pages = things("state", "new", "parked", "New"), things("state", "parked", "old", first=3)
    assert reported(*pages).unknown_words == {"state": {"parked": 2, "New": 1}}


def test_a_row_whose_list_holds_a_new_word_twice_counts_once() -> None:
    rows = things("colours", ["red", "green", "green"], ["green", "grey"], [], None)
    assert reported(rows).unknown_words == {"colours": {"green": 2, "grey": 1}}


def test_each_table_made_of_one_list_tells_its_own() -> None:
    runs, run_tasks = tables.get("runs"), tables.get("run_tasks")
    shaping = Shaping(runs, (runs, run_tasks), "0f", "raise", Privacy(), ())
    run_tasks_found = [{"id": "t", "status": "parked", "title": 7}]
    rows = [{"id": "r", "status": "on-hold", "name": 7, "tasks": {"data": run_tasks_found}}]
    batch = Batch()
    batch.add(shaping.landing(Stated(), datetime.now(UTC), decode(rows, shaping.wire)))
    assert [name for name, _ in shaping.shape(batch, Listing({}))] == ["runs", "run_tasks"]
    report = tf.LoadReport()
    shaping.note(report)
    assert report.unknown_words == {"status": {"on-hold": 1}, "run_tasks.status": {"parked": 1}}
    assert report.shapes_seen == {"name": {"a whole number": 1}, "run_tasks.title": {"a whole number": 1}}


def test_rows_that_are_set_aside_tell_their_words_too() -> None:
    rows = [{"id": "a", "state": "parked", "size": 1.5}]
    assert reported(rows, on_invalid="quarantine").unknown_words == {"state": {"parked": 1}}


@pytest.mark.parametrize("value", ["pat@example.net", "https://go.example.net/x", "x" * 31, "a\x1bb"])
def test_what_is_no_word_is_counted_and_not_told(value: str) -> None:
    assert reported(things("state", value, "parked")).unknown_words == {"state": {MORE: 1, "parked": 1}}


def test_an_api_gone_mad_fills_no_memory() -> None:
    pages = [things("state", *(f"state {n}" for n in range(start, start + 100)), first=start) for start in range(0, 1000, 100)]
    told = reported(*pages).unknown_words["state"]
    assert len(told) == WORDS_MAX + 1
    assert (sum(told.values()), told[MORE]) == (1000, 1000 - WORDS_MAX)


def test_personal_words_are_counted_and_not_told() -> None:
    assert reported(things("mood", "good", "sulking")).unknown_words == {"mood": {MORE: 1}}


@pytest.mark.parametrize("mode", ["hash", "drop"])
def test_privacy_leaves_no_personal_words_to_count_and_all_others(mode: Mode) -> None:
    rows = [{"id": "a", "state": "parked", "mood": "good"}, {"id": "b", "mood": "sulking"}]
    assert reported(rows, mode=mode).unknown_words == {"state": {"parked": 1}}


def test_shapes_are_told_by_column_whether_they_could_be_read_or_not() -> None:
    rows = things("size", 1, "2", "3", 4.0, "", "large", {"n": 1}) + things("colours", ["red"], [7], {"0": "red"}, first=7)
    report = reported(rows, on_invalid="null")
    assert report.shapes_seen == {
        "size": {
            "text": 2, "a number with a fraction": 1, "text for nothing": 1, "text that is no whole number": 1,
            "an object, not a whole number": 1,
        },
        "colours": {"a list with a whole number": 1, "an object": 1},
    }  # fmt: skip
    assert report.values_coerced == {"size": 4, "colours": 2}
