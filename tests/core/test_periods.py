"""Days, weeks and months of the calendar, in time zones that make it hard."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioredis_patterns._core.periods import Calendar, Period

SECOND = 1_000_000
HOUR = 3600 * SECOND
ZONES = [
    *("Europe/Berlin", "America/New_York", "America/Havana", "America/St_Johns", "America/Asuncion", "Asia/Beirut"),
    *("Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "UTC"),
]


def us(*when: int, tz: Any = UTC) -> int:
    return int(datetime(*when, tzinfo=tz).timestamp()) * SECOND  # type: ignore[misc]


@pytest.mark.parametrize(
    ("per", "start", "stop"),
    [("day", (2026, 11, 23), (2026, 11, 24)), ("week", (2026, 11, 23), (2026, 11, 30)),
     ("month", (2026, 11, 1), (2026, 12, 1))],
)  # fmt: skip
def test_a_period_begins_at_midnight(per: Any, start: tuple[int, ...], stop: tuple[int, ...]) -> None:
    """A day, a week from Monday on and a month begin at midnight of the time zone, and end where the next begins."""
    berlin = ZoneInfo("Europe/Berlin")
    whole = Period(us(*start, tz=berlin), us(*stop, tz=berlin))
    for moment in (whole.start_us, us(2026, 11, 23, 12), whole.stop_us - 1):
        assert Calendar(per, "Europe/Berlin").containing(moment) == whole
    assert Calendar(per, "Europe/Berlin").containing(whole.stop_us).start_us == whole.stop_us


@pytest.mark.parametrize(
    ("tz", "day", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("Australia/Lord_Howe", (2026, 10, 4), 23.5),
        ("America/Havana", (2026, 11, 1), 25),  # 0:00 comes twice
        ("Asia/Beirut", (2026, 3, 29), 23),  # 0:00 does not come at all
        ("Asia/Kathmandu", (2026, 5, 5), 24),
    ],
)
def test_a_day_is_as_long_as_it_is_there(tz: str, day: tuple[int, int, int], hours: float) -> None:
    """Where the clocks are put forward or back, the day is that much shorter or longer."""
    start, stop = Calendar("day", tz).containing(us(*day, 12, tz=ZoneInfo(tz)))
    assert stop - start == hours * HOUR
    assert Calendar("day", tz).of(date(*day)) == (start, stop)


def test_a_date_that_comes_twice_is_over_once() -> None:
    """Where the clocks go back over midnight, the new day has begun and does not end again."""
    calendar = Calendar("day", "America/St_Johns")  # at 0:01 of 2010-11-07 the clocks went back to 23:01
    first = us(2010, 11, 7, tz=ZoneInfo("America/St_Johns"))
    assert calendar.containing(first - 1).stop_us == first
    assert {calendar.containing(first + minutes * 60 * SECOND) for minutes in range(25 * 60)} == {
        Period(first, first + 25 * HOUR)
    }


def test_a_date_that_is_left_out_is_no_period() -> None:
    """Samoa went from the 29th of December 2011 to the 31st: the days follow each other all the same."""
    calendar = Calendar("day", "Pacific/Apia")
    leap = us(2011, 12, 30, 10)
    assert calendar.containing(leap - 1) == Period(leap - 24 * HOUR, leap)
    assert calendar.containing(leap) == Period(leap, leap + 24 * HOUR)


@given(
    st.sampled_from(["day", "week", "month"]), st.sampled_from(ZONES), st.integers(us(1990, 1, 1), us(2060, 1, 1))
)  # fmt: skip
def test_periods_leave_no_gap(per: Any, tz: str, now: int) -> None:
    """Each moment is in one period, which is that of its first and its last microsecond, and the next one follows."""
    calendar = Calendar(per, tz)
    start, stop = period = calendar.containing(now)
    assert start <= now < stop
    assert calendar.containing(start) == calendar.containing(stop - 1) == period
    assert calendar.containing(stop).start_us == stop
    assert calendar.containing(start - 1).stop_us == start


def test_a_zone_may_be_an_offset() -> None:
    """Any tzinfo is a time zone."""
    zone = timezone(timedelta(hours=-3))
    assert Calendar("day", zone).containing(us(2026, 5, 5)).start_us == us(2026, 5, 4, 3)


@pytest.mark.parametrize(("per", "tz"), [("year", "UTC"), (None, "UTC"), ("day", "Europe/Nowhere"), ("day", "../x")])
def test_what_is_no_period_is_refused(per: Any, tz: str) -> None:
    """Other periods, and zones that nobody knows, are refused with a word on what is wrong."""
    with pytest.raises(ValueError, match=r"period|time zone"):
        Calendar(per, tz)


@pytest.mark.parametrize("tz", [None, 1, b"UTC"])
def test_what_is_no_time_zone_is_not_the_machines_own(tz: Any) -> None:
    """Without a zone, days would begin elsewhere on each machine: it must be a name or a tzinfo."""
    with pytest.raises(TypeError, match="time zone"):
        Calendar("day", tz)
