"""The periods of a board: which is the present one, when it ends, and what its keys are called."""

from __future__ import annotations

from datetime import datetime, tzinfo
from time import time
from typing import Final, Literal, NamedTuple, TypeAlias, final

from aioredis_patterns._core.periods import Calendar, Per, Period

__all__ = ("PERIODS", "PeriodName", "Span", "Spans", "moment_us")

PeriodName: TypeAlias = Literal["daily", "weekly", "monthly", "all"]

PERIODS: Final[dict[str, Per | None]] = {"daily": "day", "weekly": "week", "monthly": "month", "all": None}
"""What each is made of."""

_SECOND: Final = 1_000_000
_ALWAYS: Final = Period(0, 2**53)


class Span(NamedTuple):
    """One period: its name, from when, and until when, in microseconds since 1970."""

    name: str
    start_us: int
    stop_us: int

    @property
    def version(self) -> str:
        """What its keys end with."""
        return f":{self.name}" if self.name == "all" else f":{self.name}:{self.start_us // _SECOND}"


@final
class Spans:
    """The periods that a moment belongs to, and the server's time as far as it is known.

    Args:
        names: Which periods.
        tz: An IANA name, or a tzinfo.
        week_start: The first day of a week, 0 for Monday to 6 for Sunday.
    """

    __slots__ = ("_ahead_us", "_calendars", "names")

    def __init__(self, names: tuple[PeriodName, ...], tz: str | tzinfo, week_start: int) -> None:
        if not names or len(set(names)) != len(names) or not set(names) <= set(PERIODS):
            raise ValueError(f"periods must be some of {', '.join(PERIODS)}, each once, not {names!r}")
        self._calendars: dict[str, Calendar | None] = {}
        for name in names:
            per = PERIODS[name]
            self._calendars[name] = None if per is None else Calendar(per, tz, week_start)
        self.names = names
        self._ahead_us = 0

    def now_us(self) -> int:
        """The server's time, by what it said last."""
        return int(time() * _SECOND) + self._ahead_us

    def follow(self, now_us: int) -> None:
        """The server said that it is now."""
        self._ahead_us = now_us - int(time() * _SECOND)

    def at(self, moment_us: int) -> list[Span]:
        """Every period that a moment belongs to."""
        return [self.one(name, moment_us) for name in self.names]

    def one(self, name: str, moment_us: int) -> Span:
        """The period of one name that a moment belongs to.

        Raises:
            ValueError: The board has no such periods.
        """
        if name not in self._calendars:
            raise ValueError(f"the periods of this board are {', '.join(self.names)}, not {name!r}")
        calendar = self._calendars[name]
        return Span(name, *(_ALWAYS if calendar is None else calendar.containing(moment_us)))


def moment_us(moment: datetime) -> int:
    """A moment in microseconds since 1970.

    Raises:
        TypeError: It is no datetime.
        ValueError: It has no time zone, or is of another age: its board could not expire.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"a moment must be a datetime.datetime, not {moment!r:.80}")
    if moment.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone, which {moment!r} has not")
    since_1970 = round(moment.timestamp() * _SECOND)
    if not _ALWAYS.start_us <= since_1970 < _ALWAYS.stop_us:
        raise ValueError(f"a moment must be of the years 1970 to 2255, not {moment}")
    return since_1970
