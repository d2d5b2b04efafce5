"""Working hours, worked out by hand for weeks of 2031 and held to a slow reading of the same rule."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallyfy_frames.errors import UsageError
from tallyfy_frames.measures import Calendar

WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS = WEEK[:5]
OFFICE = dict.fromkeys(WEEKDAYS, ("09:00", "17:00"))
BERLIN = Calendar(timezone="Europe/Berlin", hours=OFFICE)


def shown(zone: str, clocks: str, *, second: bool = False) -> datetime:
    """The instant at which clocks in ``zone`` show that; of two such instants, the first."""
    return datetime.fromisoformat(clocks).replace(tzinfo=ZoneInfo(zone), fold=second).astimezone(UTC)


def worked(calendar: Calendar, start: datetime | None, end: datetime | None) -> float | None:
    frame = pl.DataFrame({"start": [start], "end": [end]}, schema=dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC")))
    return frame.select(calendar.working_h(pl.col("start"), pl.col("end"))).item()


# 6 January 2031 is a Monday.
@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2031-01-06 10:00", "2031-01-06 12:30", 2.5),
        ("2031-01-06 16:00", "2031-01-07 10:00", 1 + 1),  # until 17:00, and from 09:00
        ("2031-01-06 07:00", "2031-01-06 20:00", 8),  # before and after work does not count
        ("2031-01-06 17:00", "2031-01-07 09:00", 0),  # nor does the night
        ("2031-01-10 16:00", "2031-01-13 10:00", 1 + 0 + 0 + 1),  # Friday, weekend, Monday
        ("2031-01-11 10:00", "2031-01-12 20:00", 0),  # all on a weekend
        ("2031-01-11 10:00", "2031-01-13 09:00", 0),
        ("2031-01-06 09:00", "2031-01-13 09:00", 5 * 8),
        ("2031-01-06 12:00", "2031-01-20 12:00", 2 * 5 * 8),
        ("2031-01-06 12:00", "2031-01-06 12:00", 0),
        ("2031-01-06 16:59:59.999999", "2031-01-07 09:00", 1e-6 / 3600),
    ],
)
def test_hours_within_working_hours_count(start: str, end: str, hours: float) -> None:
    found = worked(BERLIN, shown("Europe/Berlin", start), shown("Europe/Berlin", end))
    assert found == pytest.approx(hours, abs=1e-12)


def test_days_may_differ_and_holidays_are_free() -> None:
    hours = {"Monday": ("08:00", "12:00"), "Saturday": (time(22), "24:00")}
    calendar = Calendar(timezone="Europe/Berlin", hours=hours, holidays=[date(2031, 1, 13)])
    start, end = shown("Europe/Berlin", "2031-01-06 00:00"), shown("Europe/Berlin", "2031-01-20 00:00")
    assert worked(calendar, start, end) == 4 + 2 + 0 + 2  # Monday 6th, Saturday 11th, the holiday, Saturday 18th


def test_a_holiday_is_a_day_of_the_calendars_zone() -> None:
    calendar = Calendar(timezone="Pacific/Auckland", hours=OFFICE, holidays=[date(2031, 1, 7)])
    # Auckland is 13 hours ahead: its Tuesday the 7th, 09:00-17:00, is Monday 20:00 to Tuesday 04:00 in UTC.
    assert worked(calendar, datetime(2031, 1, 6, 20, tzinfo=UTC), datetime(2031, 1, 7, 4, tzinfo=UTC)) == 0
    assert worked(calendar, datetime(2031, 1, 5, 20, tzinfo=UTC), datetime(2031, 1, 6, 4, tzinfo=UTC)) == 8


# Clocks go forward on 30 March (Berlin) and 9 March (Chicago), and back on 26 October and 2 November, all Sundays.
@pytest.mark.parametrize(
    ("zone", "friday", "monday", "elapsed"),
    [
        ("Europe/Berlin", "2031-03-28 16:00", "2031-03-31 10:00", 66 - 1),
        ("Europe/Berlin", "2031-10-24 16:00", "2031-10-27 10:00", 66 + 1),
        ("America/Chicago", "2031-03-07 16:00", "2031-03-10 10:00", 66 - 1),
        ("America/Chicago", "2031-10-31 16:00", "2031-11-03 10:00", 66 + 1),
    ],
)
def test_office_hours_keep_to_the_clocks_when_those_change(zone: str, friday: str, monday: str, elapsed: float) -> None:
    start, end = shown(zone, friday), shown(zone, monday)
    assert (end - start) / timedelta(hours=1) == elapsed
    assert worked(Calendar(timezone=zone, hours=OFFICE), start, end) == 1 + 1


@pytest.mark.parametrize(
    ("zone", "day", "hours", "count"),
    [
        ("Europe/Berlin", "2031-03-30", ("00:00", "24:00"), 23),
        ("Europe/Berlin", "2031-10-26", ("00:00", "24:00"), 25),
        ("America/Chicago", "2031-03-09", ("00:00", "24:00"), 23),
        ("America/Chicago", "2031-11-02", ("00:00", "24:00"), 25),
        ("Europe/Berlin", "2031-03-30", ("01:00", "04:00"), 1 + 1),  # 01:00-02:00 and 03:00-04:00
        ("Europe/Berlin", "2031-10-26", ("01:00", "04:00"), 1 + 2 + 1),  # 02:00-03:00 passes twice
        ("Europe/Berlin", "2031-10-26", ("02:30", "06:00"), 4.5),  # from the first 02:30
        ("Europe/Berlin", "2031-10-26", ("01:00", "02:30"), 1.5),  # until the first 02:30
        ("Europe/Berlin", "2031-03-30", ("02:30", "06:00"), 2.5),  # 02:30 is skipped: half an hour on, clocks show 03:30
        ("Europe/Berlin", "2031-03-30", ("00:00", "02:30"), 2.5),
        ("Europe/Berlin", "2031-03-30", ("02:30", "03:15"), 0),  # over before it began
    ],
)
def test_work_while_clocks_change_is_what_passed(zone: str, day: str, hours: tuple[str, str], count: float) -> None:
    start = shown(zone, f"{day} 00:00")
    assert worked(Calendar(timezone=zone, hours={"Sunday": hours}), start, start + timedelta(days=2)) == count


def test_without_an_end_or_a_start_there_is_no_duration() -> None:
    now = datetime(2031, 1, 6, tzinfo=UTC)
    assert worked(BERLIN, None, now) is None
    assert worked(BERLIN, now, None) is None
    assert worked(BERLIN, None, None) is None


def test_an_end_before_its_start_is_no_duration() -> None:
    now = datetime(2031, 1, 6, 12, tzinfo=UTC)
    assert worked(BERLIN, now, now - timedelta(microseconds=1)) is None


def test_a_year_of_holidays_has_no_hours() -> None:
    days = [date(2031, 1, 1) + timedelta(days=n) for n in range(365)]
    calendar = Calendar(timezone="Europe/Berlin", hours=OFFICE, holidays=days)
    assert worked(calendar, datetime(2031, 2, 1, tzinfo=UTC), datetime(2031, 11, 1, tzinfo=UTC)) == 0


def test_far_instants_are_no_trouble() -> None:
    always = Calendar(timezone="UTC", hours=dict.fromkeys(WEEK, ("00:00", "24:00")))
    start, end = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert worked(always, start, end) == pytest.approx((end - start) / timedelta(hours=1))


def test_it_is_an_expression_like_any_other() -> None:
    monday = datetime(2031, 1, 6, tzinfo=UTC)
    frame = pl.DataFrame({"start": [monday, None, monday + timedelta(days=1)]}, schema={"start": pl.Datetime("us", "UTC")})
    hours = BERLIN.working_h(pl.col("start"), pl.lit(monday + timedelta(days=2)))
    eager = frame.select("start", hours_h=hours)
    assert eager["hours_h"].to_list() == [16, None, 8]
    assert frame.lazy().select("start", hours_h=hours).collect().equals(eager)
    assert frame.lazy().select(hours).collect_schema().dtypes() == [pl.Float64]
    assert frame.head(0).select(hours).dtypes == [pl.Float64]
    elsewhere = frame.with_columns(pl.col("start").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ms"))
    assert elsewhere.select(hours).to_series().to_list() == [16, None, 8]


def slowly(calendar: Calendar, start: datetime, end: datetime) -> float:
    """The same, day by day, by the standard library's rules for clocks that change: PEP 495, as RFC 5545."""
    zone, passed = ZoneInfo(calendar.timezone), timedelta()
    for n in range((end - start).days + 5):
        day = start.date() + timedelta(days=n - 2)
        if day in calendar.holidays or WEEK[day.weekday()] not in calendar.hours:
            continue
        opening, closing = calendar.hours[WEEK[day.weekday()]]
        last, closing = (day + timedelta(days=1), "00:00") if closing == "24:00" else (day, closing)
        opens = datetime.combine(day, time.fromisoformat(opening), zone).astimezone(UTC)
        closes = datetime.combine(last, time.fromisoformat(closing), zone).astimezone(UTC)
        passed += max(min(closes, end) - max(opens, start), timedelta())
    return passed / timedelta(hours=1)


minutes = st.integers(0, 24 * 60).map(lambda n: f"{n // 60:02}:{n % 60:02}")
hours_of_a_day = st.tuples(minutes, minutes).filter(lambda pair: pair[0] < pair[1])
calendars = st.builds(
    Calendar,
    timezone=st.sampled_from(
        (
            "Europe/Berlin",
            "America/Chicago",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "America/Havana",
            "UTC",
        )
    ),
    hours=st.dictionaries(st.sampled_from(WEEK), hours_of_a_day, min_size=1),
    holidays=st.sets(st.dates(date(2031, 3, 1), date(2031, 4, 10)), max_size=4),
)
microseconds = st.integers(0, 260 * 86_400_000_000) | st.integers(12 * 86_400_000_000, 14 * 86_400_000_000)
instants = microseconds.map(lambda n: datetime(2031, 2, 25, tzinfo=UTC) + timedelta(microseconds=n))


@given(calendars, st.lists(st.tuples(instants, instants), max_size=8))
def test_it_agrees_with_a_slow_reading_of_the_rule(calendar: Calendar, pairs: list[tuple[datetime, datetime]]) -> None:
    frame = pl.DataFrame(pairs, schema=dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC")), orient="row")
    found = frame.select(calendar.working_h(pl.col("start"), pl.col("end"))).to_series().to_list()
    expected = [slowly(calendar, start, end) if start <= end else None for start, end in pairs]
    assert found == pytest.approx(expected, abs=1e-9)


@given(calendars, st.lists(instants, min_size=3, max_size=3).map(sorted))
def test_what_was_worked_adds_up(calendar: Calendar, three: list[datetime]) -> None:
    first, middle, last = three
    assert worked(calendar, first, middle) + worked(calendar, middle, last) == pytest.approx(worked(calendar, first, last))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Chicago"])
@pytest.mark.parametrize("start", [datetime(2031, 3, 1, tzinfo=UTC), datetime(2031, 10, 20, tzinfo=UTC)])
def test_it_counts_the_quarters_at_which_clocks_show_working_hours(zone: str, start: datetime) -> None:
    calendar = Calendar(timezone=zone, hours=dict.fromkeys(WEEK[1:], ("07:15", "18:30")))
    quarters = [start + timedelta(minutes=15 * n) for n in range(35 * 96)]
    clocks = [quarter.astimezone(ZoneInfo(zone)) for quarter in quarters]
    at_work = [moment.weekday() != 0 and time(7, 15) <= moment.time() < time(18, 30) for moment in clocks]
    assert worked(calendar, start, quarters[-1] + timedelta(minutes=15)) == sum(at_work) / 4


MONDAY_TO_FRIDAY = Calendar(timezone="America/Chicago", hours=OFFICE)


@pytest.mark.parametrize(
    "days",
    [
        {**{day: {"id": 1} for day in WEEKDAYS}, "Saturday": None, "Sunday": None},  # an object or null, as the SDK has it
        {**{day: {"enabled": True} for day in WEEKDAYS}, "Saturday": {"enabled": False}, "Sunday": {"is_working": 0}},
        {**{day: {"start": "09:00", "end": "17:00"} for day in WEEKDAYS}, "Saturday": []},  # PHP's empty object
        dict.fromkeys((day.lower() for day in WEEKDAYS), True),
        list(WEEKDAYS),
    ],
)
def test_the_organizations_calendar_is_read_in_every_likely_shape(days: object) -> None:
    organization = {"id": "5a", "timezone": "America/Chicago", "working_days": days}
    assert Calendar.of(organization) == MONDAY_TO_FRIDAY
    assert Calendar.of({"data": organization}) == MONDAY_TO_FRIDAY


def test_hours_that_the_organization_states_are_kept_and_others_are_the_callers() -> None:
    organization = {
        "timezone": "UTC",
        "working_days": {"Monday": {"start_time": "7:30", "end_time": "12:00:00"}, "Tuesday": {"id": 2}},
    }
    calendar = Calendar.of(organization, hours=("10:00", "11:00"), holidays=[date(2031, 1, 13)])
    start = datetime(2031, 1, 6, tzinfo=UTC)
    assert worked(calendar, start, start + timedelta(days=1)) == 4.5
    assert worked(calendar, start, start + timedelta(days=2)) == 4.5 + 1
    assert worked(calendar, start, start + timedelta(days=9)) == 4.5 + 1 + 0 + 1


@pytest.mark.parametrize(
    ("organization", "says"),
    [
        (None, "must be the API's object"),
        ({}, "states no timezone"),
        ({"timezone": None, "working_days": {"Monday": {"id": 1}}}, "states no timezone"),
        ({"timezone": "Berlin time", "working_days": {"Monday": {"id": 1}}}, "is no time zone"),
        ({"timezone": "UTC"}, "states no working_days"),
        ({"timezone": "UTC", "working_days": "Mon-Fri"}, "states no working_days"),
        ({"timezone": "UTC", "working_days": {}}, "no working day can be read"),
        ({"timezone": "UTC", "working_days": []}, "no working day can be read"),
        ({"timezone": "UTC", "working_days": {"1": {"id": 1}}}, "no working day can be read"),
        ({"timezone": "UTC", "working_days": {"Monday": "yes"}}, "Monday is neither an object nor null"),
        ({"timezone": "UTC", "working_days": {"Monday": {"start": "nine", "end": "17:00"}}}, "hours of Monday"),
        ({"timezone": "UTC", "working_days": {"Monday": {"start": "09:00"}}}, "hours of Monday"),
        ({"timezone": "UTC", "working_days": {"Monday": {"start": "22:00", "end": "06:00"}}}, "hours of Monday"),
    ],
)
def test_where_no_calendar_can_be_read_one_error_says_why(organization: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Calendar.of(organization)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"timezone": "Nowhere/Else"}, "no time zone"),
        ({"timezone": None}, "no time zone"),
        ({"hours": {}}, "at least one working day"),
        ({"hours": [("09:00", "17:00")]}, "at least one working day"),
        ({"hours": {"Mon": ("09:00", "17:00")}}, "'Mon' is no weekday"),
        ({"hours": {"Monday": "09:00-17:00"}}, "not from when until when"),
        ({"hours": {"Monday": ("09:00", "17:00", "18:00")}}, "not from when until when"),
        ({"hours": {"Monday": ("09:00", "24:01")}}, "no time of day"),
        ({"hours": {"Monday": ("09:00", 17)}}, "no time of day"),
        ({"hours": {"Monday": ("17:00", "09:00")}}, "belong to the next day"),
        ({"hours": {"Monday": ("09:00", "09:00")}}, "end before they begin"),
        ({"holidays": ["2031-12-25"]}, "must be dates"),
        ({"holidays": "2031-12-25"}, "must be dates"),
        ({"holidays": [datetime(2031, 12, 25, tzinfo=UTC)]}, "must be dates"),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(facts: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Calendar(**{"timezone": "UTC", "hours": OFFICE} | facts)
