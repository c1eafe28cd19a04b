"""Periods of the calendar: the day, the week or the month that a moment belongs to, in a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple, TypeAlias, final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ("Calendar", "Per", "Period")

Per: TypeAlias = Literal["day", "week", "month"]
"""How long a period is."""

_SECOND: Final = 1_000_000


class Period(NamedTuple):
    """From the one moment up to, but without, the other, in microseconds since 1970."""

    start_us: int
    stop_us: int


@final
class Calendar:
    """The periods of a time zone: as long as they are there, a day of 23 or 25 hours included.

    Args:
        per: How long a period is.
        tz: An IANA name such as "Europe/Berlin", or a tzinfo.
        week_start: The first day of a week, 0 for Monday to 6 for Sunday.

    Raises:
        TypeError: A time zone that is neither a name nor a tzinfo.
        ValueError: No such period; no such day; no such time zone, or no data of it on this machine.
    """

    __slots__ = ("_per", "_week_start", "_zone")

    def __init__(self, per: Per, tz: str | tzinfo, week_start: int = 0) -> None:
        if per not in ("day", "week", "month"):
            raise ValueError(f"a period must be 'day', 'week' or 'month', not {per!r:.80}")
        if week_start not in range(7):
            raise ValueError(f"week_start must be from 0 for Monday to 6 for Sunday, not {week_start!r:.80}")
        self._per = per
        self._week_start = week_start
        self._zone = _zone(tz)

    def containing(self, now_us: int) -> Period:
        """The period that a moment belongs to."""
        first = self._first(datetime.fromtimestamp(now_us // _SECOND, self._zone).date())
        start = self._begin(first)
        while (stop := self._begin(first := self._next(first))) <= now_us:
            # Clocks that were put back over midnight show a date again that is over.
            start = stop
        return Period(start, stop)

    def of(self, day: date) -> Period:
        """The period that a date of this time zone belongs to."""
        first = self._first(day)
        return Period(self._begin(first), self._begin(self._next(first)))

    def _first(self, day: date) -> date:
        if self._per == "month":
            return day.replace(day=1)
        return day - timedelta((day.weekday() - self._week_start) % 7) if self._per == "week" else day

    def _next(self, first: date) -> date:
        if self._per == "month":
            return (first + timedelta(31)).replace(day=1)
        return first + timedelta(7 if self._per == "week" else 1)

    def _begin(self, day: date) -> int:
        """Midnight: of two the first, and of none the moment when the clocks leapt over it."""
        return round(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()) * _SECOND


def _zone(tz: str | tzinfo) -> tzinfo:
    if isinstance(tz, tzinfo):
        return tz
    if not isinstance(tz, str):
        raise TypeError(f"a time zone must be a name such as 'Europe/Berlin' or a tzinfo, not {tz!r:.80}")
    if tz == "UTC":  # it needs no data
        return UTC
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone {tz!r:.80}; the package tzdata has them all") from None
