"""Working time: which hours of which days count, by the clocks of one time zone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Self, TypeAlias

import polars as pl

from tallyfy_frames.errors import UsageError

INSTANT: Final = pl.Datetime("us", "UTC")
US_PER_HOUR: Final = 3_600_000_000
WEEK: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
Hours: TypeAlias = tuple[time | str, time | str]
NINE_TO_FIVE: Final = ("09:00", "17:00")
WEEKLY: Final[dict[str, Any]] = {"weekday": pl.Int8, "opening": pl.Duration("us"), "closing": pl.Duration("us")}
DAY: Final = timedelta(days=1)
CLOCK: Final = re.compile(r"(?!24:.*[1-9])([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
BY_HAND: Final = "make it by hand: Calendar(timezone='Europe/Berlin', hours={'Monday': ('09:00', '17:00')})"

# The vendor's SDK 3.1.0 has a day of `working_days` as an object or null, and no source says what is in the object. These are
# the usual words for it. The app's settings ask for days only, so an object without hours is a working day.
NO: Final = (False, None, "false", "0")  # and 0
SWITCHES: Final = ("enabled", "is_enabled", "active", "is_active", "working", "is_working")
OPENINGS: Final = ("start", "start_time", "from", "open")
CLOSINGS: Final = ("end", "end_time", "to", "close")


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Working hours by weekday, in the time zone ``timezone`` (a name as in ``Europe/Berlin``), but not on ``holidays``.

    ``hours`` has, for each working day by its English name, from when until when its clocks are looked at: ``("09:00",
    "17:00")``; the second may be ``"24:00"``. Days that are not named are free. Hours past midnight belong to the next day.
    Where clocks change, a time that they show twice is the first, and one that they skip is as far after the hour before as it
    would have been (RFC 5545, section 3.3.5).
    """

    timezone: str
    hours: Mapping[str, Hours]
    holidays: Collection[date] = ()

    def __post_init__(self) -> None:
        """Refuse a zone that does not exist, days that are none, and hours that end before they begin."""
        if not isinstance(self.timezone, str) or not _is_zone(self.timezone):
            raise UsageError(f"timezone={self.timezone!r} is no time zone", hint="write its name, as in 'Europe/Berlin'")
        if not isinstance(self.hours, Mapping) or not self.hours:
            raise UsageError("hours must name at least one working day", hint="hours={'Monday': ('09:00', '17:00')}")
        if strangers := [day for day in self.hours if day not in WEEK]:
            raise UsageError(f"{strangers[0]!r} is no weekday", hint=f"use {', '.join(WEEK)}")
        if isinstance(self.holidays, str) or any(
            isinstance(day, datetime) or not isinstance(day, date) for day in self.holidays
        ):
            raise UsageError("holidays must be dates", hint="holidays=[date(2031, 12, 25)]")
        for day, stated in self.hours.items():
            _hours(day, stated)
        object.__setattr__(self, "hours", {day: self.hours[day] for day in WEEK if day in self.hours})
        object.__setattr__(self, "holidays", frozenset(self.holidays))

    @classmethod
    def of(cls, organization: Mapping[str, Any], *, hours: Hours = NINE_TO_FIVE, holidays: Collection[date] = ()) -> Self:
        """The calendar in the API's organization object: its ``timezone`` and ``working_days``.

        ``hours`` are those of working days for which the object states none, as far as is known all of them. It knows no
        holidays. ``UsageError`` where it has no time zone, or no working day that can be read.
        """
        if not isinstance(organization, Mapping):
            raise UsageError(f"organization must be the API's object, not {type(organization).__name__}", hint=BY_HAND)
        inner = organization.get("data")
        facts = inner if isinstance(inner, Mapping) else organization
        if not isinstance(facts.get("timezone"), str):
            raise UsageError("the organization states no timezone", hint=BY_HAND)
        stated = facts.get("working_days")
        if isinstance(stated, list | tuple):
            stated = dict.fromkeys((name for name in stated if isinstance(name, str)), True)
        if not isinstance(stated, Mapping):
            raise UsageError("the organization states no working_days", hint=BY_HAND)
        days = {name.strip().capitalize(): day for name, day in stated.items() if isinstance(name, str)}
        week = {name: _stated(name, days[name], hours) for name in WEEK if _works(days.get(name))}
        if not week:
            raise UsageError("no working day can be read from the organization's working_days", hint=BY_HAND)
        return cls(timezone=facts["timezone"], hours=week, holidays=holidays)

    def working_h(self, start: pl.Expr, end: pl.Expr) -> pl.Expr:
        """Working hours from ``start`` to ``end``, instants both: the time that passed within working hours.

        Exact to the microsecond; where clocks change within working hours, it is what passed, not what clocks show. Null where
        either is null or ``end`` lies before ``start``. Zone rules are polars' own: clocks no longer change after 2099.
        """
        pair = pl.struct(start.cast(INSTANT).alias("start"), end.cast(INSTANT).alias("end"))
        return pair.map_batches(self._between, return_dtype=pl.Float64, is_elementwise=True)

    def _between(self, pairs: pl.Series) -> pl.Series:
        """The difference of two readings of one clock that runs in working hours only."""
        frame = pairs.struct.unnest()
        ordered = frame.select((pl.col("end") >= pl.col("start")).fill_null(value=False)).to_series()
        spans = frame.filter(ordered)
        worked_h = pl.Series(pairs.name, [None] * len(pairs), dtype=pl.Float64)
        if spans.is_empty():
            return worked_h
        opens, closes = self._spells(spans).cast(pl.Int64)
        before = (closes - opens).cum_sum().shift(1, fill_value=0)

        def clock(moment: pl.Series) -> pl.Series:
            spell = opens.search_sorted(moment, side="right") - 1  # the last that had begun
            return before.gather(spell) + moment.clip(upper_bound=closes.gather(spell)) - opens.gather(spell)

        start, end = spans.cast(pl.Int64)
        return worked_h.scatter(ordered.arg_true(), (clock(end) - clock(start)) / US_PER_HOUR)

    def _spells(self, spans: pl.DataFrame) -> pl.DataFrame:
        """Every spell of work that touches ``spans``, in order, after one of no length that lies before them all."""
        week = [(WEEK.index(day) + 1, *_hours(day, stated)) for day, stated in self.hours.items()]
        # A day more on either side than there is in UTC: zones are up to 14 hours away.
        first, last = pl.col("start").min().dt.offset_by("-1d").dt.date(), pl.col("end").max().dt.offset_by("1d").dt.date()
        spells = (
            spans.select(day=pl.date_range(first, last))
            .filter(~pl.col("day").is_in(pl.Series(list(self.holidays), dtype=pl.Date).implode()))
            .with_columns(weekday=pl.col("day").dt.weekday())
            .join(pl.DataFrame(week, WEEKLY, orient="row"), on="weekday")
            .sort("day")
            .select(opens=self._instant("opening"), closes=self._instant("closing"))
            .with_columns(closes=pl.max_horizontal("opens", "closes"))
        )
        earlier = pl.col("start").min().dt.offset_by("-3d")
        return pl.concat([spans.select(opens=earlier, closes=earlier), spells])

    def _instant(self, since_midnight: str) -> pl.Expr:
        """When clocks show that time of ``day``; see the class for days on which they change."""
        shown = pl.col("day").cast(pl.Datetime("us")) + pl.col(since_midnight)

        def first(clocks: pl.Expr) -> pl.Expr:
            zoned = clocks.dt.replace_time_zone(self.timezone, ambiguous="earliest", non_existent="null")
            return zoned.dt.convert_time_zone("UTC")

        return first(shown).fill_null(first(shown.dt.offset_by("-1d")) + DAY)


def _is_zone(name: str) -> bool:
    """As far as polars knows, whose rules we use."""
    try:
        pl.select(pl.lit(0).cast(INSTANT).dt.convert_time_zone(name))
    except pl.exceptions.PolarsError:
        return False
    return True


def _hours(day: str, stated: object) -> tuple[timedelta, timedelta]:
    """From when until when, since midnight; midnight as an end is that of the next day."""
    if isinstance(stated, str) or not isinstance(stated, Sequence) or len(stated) != 2:
        raise UsageError(f"hours of {day} are not from when until when", hint="write ('09:00', '17:00')")
    opening, closing = (_since_midnight(day, moment) for moment in stated)
    closing = closing or DAY
    if closing <= opening:
        raise UsageError(f"hours of {day} end before they begin", hint="hours past midnight belong to the next day")
    return opening, closing


def _since_midnight(day: str, moment: object) -> timedelta:
    text = f"{moment:%H:%M:%S}" if isinstance(moment, time) else moment
    if isinstance(text, str) and (shown := CLOCK.fullmatch(text.strip())):
        hours, minutes, seconds = (int(part) for part in shown.groups(default="0"))
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    raise UsageError(f"hours of {day}: no time of day can be read", hint="write it as '09:00', up to '24:00'")


def _works(day: object) -> bool:
    """Whether ``day`` is a working day: PHP writes an empty list where there is no object."""
    return bool(day) and not (isinstance(day, Mapping) and any(day.get(name, True) in NO for name in SWITCHES))


def _stated(name: str, day: object, otherwise: Hours) -> Hours:
    """The hours that the API's object for a weekday states, or ``otherwise`` if it says no more than that it is one."""
    if day is True or day == 1:
        return otherwise
    if not isinstance(day, Mapping):
        raise UsageError(f"working_days: {name} is neither an object nor null", hint=BY_HAND)
    opening: Any = next((day[key] for key in OPENINGS if day.get(key)), None)
    closing: Any = next((day[key] for key in CLOSINGS if day.get(key)), None)
    return otherwise if opening is closing is None else (opening, closing)
