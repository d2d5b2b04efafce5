"""Instants in every form, and only those; columns always the contract's."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallyfy_frames import tables
from tallyfy_frames.frames.cells import Cells
from tallyfy_frames.frames.flatten import flatten, instants


def parsed(*texts: str | None) -> list[datetime | None]:
    return instants(pl.Series("at", texts, dtype=pl.String)).to_list()


AT = datetime(2031, 4, 5, 6, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2031-04-05T06:07:08.000Z", AT), ("2031-04-05T06:07:08Z", AT), ("2031-04-05T06:07:08+00:00", AT),
        ("2031-04-05 06:07:08", AT), ("2031-04-05T06:07:08", AT), ("2031-04-05T08:07:08+02:00", AT),
        ("2031-04-05T01:37:08-0430", AT), (" 2031-04-05T06:07:08Z ", AT), ("2031-04-05 06:07:08+00:00", AT),
        ("2031-04-05T06:07:08.250Z", AT + timedelta(milliseconds=250)), ("2031-04-05T06:07:08.123456Z", AT + timedelta(microseconds=123456)),
        ("2031-04-05 06:07:08.5", AT + timedelta(milliseconds=500)), ("2031-04-05", AT.replace(hour=0, minute=0, second=0)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)), ("2032-02-29T00:00:00Z", datetime(2032, 2, 29, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_every_documented_form_is_one_instant_in_utc(text: str, wanted: datetime) -> None:
    assert parsed(text) == [wanted]


@pytest.mark.parametrize(
    "text",
    ["soon", "2031-02-30T00:00:00Z", "05/04/2031", "2031-04-05T25:00:00Z", "20310405", "2031-W14-6", "2031-04-05T06:07Z",
     "1933043228", "2031-04-05T06:07:08 CET", "2031-13-01", "2031-04-05T23:59:60Z", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "2031-04-05T06:07:08Z x", "0000-01-01T00:00:00.000Z",
     "2031-04-05T06:07:08.1+02"],
)  # fmt: skip
def test_anything_else_is_null_here_and_a_fault_to_the_caller(text: str) -> None:
    assert parsed(text, None) == [None, None]


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_any_instant_survives_in_any_zone(moment: datetime, minutes: int) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    assert parsed(there.isoformat()) == [moment.replace(tzinfo=UTC)]
    assert parsed(moment.isoformat(sep=" ")) == [moment.replace(tzinfo=UTC)]


DIGITS = "2031-04-05T06:07:08.123456789Z"  # arrow reads no nanoseconds: beside it, every text is parsed by polars
PLAIN = "2031-04-05T06:07:08.250Z"
near = st.builds(
    lambda text, place, new: text[:place] + new + text[place + 1 :],
    st.sampled_from([PLAIN, "2031-04-05 06:07:08", "2031-04-05T06:07:08-04:30", "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999+00:00"]),
    st.integers(0, 24),
    st.text("0123456789-+:.TZz ,\u00a0", max_size=2),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.none() | near | st.just(PLAIN), max_size=5))
def test_both_parsers_and_both_ways_to_them_say_the_same(texts: list[str | None]) -> None:
    wanted = parsed(*texts, DIGITS)[:-1]
    assert parsed(*texts) == wanted
    assert [parsed(text)[0] for text in texts] == wanted


def test_what_is_no_instant_is_named_by_row_and_column() -> None:
    runs = tables.get("runs")
    cells: dict[str, list[Any]] = {column.name: [None] * 3 for column in runs.columns if column.reads != "stated"}
    cells |= {"created_at": [PLAIN, "soon", None], "due_date": ["later", None, PLAIN]}
    frame, unreadable = flatten(Cells(3, cells), runs.columns, [({}, 3)])
    assert unreadable == [(1, "created_at"), (0, "due_date")]
    assert frame["created_at"].to_list() == parsed(PLAIN, None, None)
    assert frame["due_date"].to_list() == parsed(None, None, PLAIN)


def test_pages_that_arrived_at_different_times_keep_them() -> None:
    runs = tables.get("runs")
    moments = [AT, AT + timedelta(microseconds=1), AT]
    cells: dict[str, list[Any]] = {column.name: [None] * 4 for column in runs.columns if column.reads != "stated"}
    pages = [
        ({"loaded_at": moment, "pagination_total": n}, rows)
        for n, (moment, rows) in enumerate(zip(moments, (2, 1, 1), strict=True))
    ]
    frame, _ = flatten(Cells(4, cells), runs.columns, pages)
    assert frame["loaded_at"].to_list() == [AT, AT, AT + timedelta(microseconds=1), AT]
    assert frame["pagination_total"].to_list() == [0, 0, 1, 2]
    assert frame.schema == runs.schema
