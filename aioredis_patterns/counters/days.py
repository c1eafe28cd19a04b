"""The days of a time zone, by the server's clock as far as it is known."""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from time import time
from typing import Final, final

from aioredis_patterns._core.periods import Calendar, Period

__all__ = ("Days", "check_day")

_SECOND: Final = 1_000_000
_YEARS: Final = range(1970, 3000)


@final
class Days:
    """Which day it is, and which days came before it.

    Args:
        tz: An IANA name, or a tzinfo.
    """

    __slots__ = ("_ahead_us", "_calendar", "_latest")

    def __init__(self, tz: str | tzinfo) -> None:
        self._calendar = Calendar("day", tz)
        self._ahead_us = 0
        self._latest = Period(0, 0)

    def today(self) -> Period:
        """The present day, by what the server said last."""
        now = int(time() * _SECOND) + self._ahead_us
        if not self._latest.start_us <= now < self._latest.stop_us:
            self._latest = self._calendar.containing(now)
        return self._latest

    def follow(self, now_us: int) -> None:
        """The server said that it is now."""
        self._ahead_us = now_us - int(time() * _SECOND)

    def of(self, day: date) -> Period:
        """The day of a date."""
        return self._calendar.of(check_day(day))

    def back_from(self, day: Period, count: int) -> list[Period]:
        """So many days, of which this is the last."""
        days = [day]
        while len(days) < count:
            days.append(self._calendar.containing(days[-1].start_us - 1))
        return days


def check_day(day: object) -> date:
    """A date, and no moment: which day a moment belongs to depends on the time zone.

    Raises:
        TypeError, ValueError: It is none, or of another age.
    """
    if not isinstance(day, date) or isinstance(day, datetime):
        raise TypeError(f"a day must be a datetime.date, not {day!r:.80}")
    if day.year not in _YEARS:
        raise ValueError(f"a day must be of the years 1970 to 2999, not {day}")
    return day
