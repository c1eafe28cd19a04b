"""Who was active on which day: a bit for each member, a bitmap for each day.

Promise: a member counts once a day however often it is marked, and has the same bit on all days, which it is given in
the script that marks it first; days are those of the server's clock in one time zone, so that processes whose clocks
differ mark the same one; a question about several days leaves no key behind.

Limit of the promise: everything lies in one slot. A bit is never given to another, so members are not forgotten one by
one: the map of members expires with the last day that is kept. A retention row is counted at one moment, the triangle
row by row.

Cost: one round trip, a second one for the first call after midnight; a retention triangle one for each row, all at one
time. A day takes an eighth of a byte for each member ever seen: 131 kB for a million. Their map takes about 60 bytes
for each, or nothing where members are small numbers (`direct=True`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import Final, TypeAlias, final

from aioredis_patterns._core.durations import delay_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.periods import Period
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

from .days import Days, check_day

__all__ = ("Activity", "Cohort")

_MARK: Final = Script(__package__, "activity_mark", keys=2, repeatable=True)
_ACTIVE: Final = Script(__package__, "activity_active", keys=2, repeatable=True)
_COUNT: Final = Script(__package__, "activity_count", keys=2, repeatable=True)
_RETENTION: Final = Script(__package__, "activity_retention", keys=2, repeatable=True)

_OVER, _MOVED, _GONE = -1, -2, -3
_KEEP: Final = 400 * 86_400
_CAPACITY: Final = 2**24
_LARGEST: Final = 2**27
_MOST: Final = 1000
_MOST_DAYS: Final = 400

_Arguments: TypeAlias = "tuple[str | int, ...]"


@dataclass(frozen=True, slots=True)
class Cohort:
    """A row of a retention triangle: those who were active in one period, and how many of them came back.

    Args:
        first: The first day of the period.
        counts: How many there were in it, and how many of them in each later period.

    >>> Cohort(date(2026, 11, 2), [200, 50]).rates
    [1.0, 0.25]
    """

    first: date
    counts: list[int]

    @property
    def rates(self) -> list[float]:
        """The share that was there in each period; 0 of nobody."""
        return [count / max(self.counts[0], 1) for count in self.counts]


@final
class Activity:
    """Members, and the days on which they were active.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What they were active in.
        tz: The time zone in which days begin: an IANA name, or a tzinfo.
        keep: Seconds that a day is kept after its end.
        capacity: How many members there may be, so that no mistake can take more than an eighth of it in bytes a day.
        direct: Members are numbers from 0 to below `capacity`, and each is its own bit: there is no map.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> activity = Activity(redis, "app", tz="Europe/Berlin")
        >>> await activity.mark("user:42"), await activity.mark("user:42", "user:7")
        (1, 1)
        >>> await activity.count(), await activity.wau(), await activity.active("user:9")
        (2, 2, False)
        >>> monday, tuesday = date(2026, 11, 2), date(2026, 11, 3)
        >>> await activity.mark("user:42", day=monday), await activity.mark("user:42", day=tuesday)
        (1, 1)
        >>> await activity.active_all([monday, tuesday])
        1
    """

    __slots__ = ("_capacity", "_days", "_direct", "_keep_ms", "_keys", "_redis", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        tz: str | tzinfo = "UTC",
        keep: Seconds = _KEEP,
        capacity: int = _CAPACITY,
        direct: bool = False,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._redis, self._keys, self._days = redis, Keys(name, prefix), Days(tz)
        self._keep_ms = delay_ms(keep, "keep")
        self._capacity = _within(capacity, "capacity", _LARGEST)
        self._direct = direct

    def __repr__(self) -> str:
        return f"<Activity {self.name!r}>"

    async def mark(self, *members: KeyPart, day: date | None = None) -> int:
        """Mark members as active; how many of them were not yet on that day.

        A call whose reply is lost is repeated, which marks nobody twice, and then says that nobody was new.

        Args:
            members: 1 to 1,000.
            day: Which one; the present one when None.

        Raises:
            OverflowError: There would be more members than `capacity`; nobody was marked.
            ValueError: The day is not kept any more; a number is no bit; there are too many members.
        """
        if not 1 <= len(members) <= _MOST:
            raise ValueError(f"1 to {_MOST} members may be marked at once, not {len(members)}")
        texts = [self._text(member) for member in members]

        def of(last: Period, start: int, stop: int) -> _Arguments:
            ends = last.stop_us // 1000 + self._keep_ms
            return (self._bits(last), self._ids, start, stop, ends, self._capacity, int(self._direct), *texts)

        fresh = await self._ask(_MARK, day, of)
        if fresh == _OVER:
            raise OverflowError(f"{self.name!r} has room for {self._capacity} members")
        if fresh == _GONE:
            raise ValueError(f"{day} is not kept any more")
        return fresh

    async def active(self, member: KeyPart, day: date | None = None) -> bool:
        """Whether a member was active on a day, the present one when None."""
        text = self._text(member)

        def of(last: Period, start: int, stop: int) -> _Arguments:
            return self._bits(last), self._ids, start, stop, int(self._direct), text

        return bool(await self._ask(_ACTIVE, day, of))

    async def count(self, day: date | None = None) -> int:
        """How many were active on a day, the present one when None: the daily active users."""
        return await self._ending(day, 1)

    async def wau(self, day: date | None = None) -> int:
        """How many were active in the 7 days of which this is the last: the weekly active users."""
        return await self._ending(day, 7)

    async def mau(self, day: date | None = None) -> int:
        """How many were active in the 30 days of which this is the last: the monthly active users."""
        return await self._ending(day, 30)

    async def active_any(self, days: Iterable[date]) -> int:
        """How many were active on at least one of up to 400 days."""
        return await self._count("OR", self._named(days))

    async def active_all(self, days: Iterable[date]) -> int:
        """How many were active on each of up to 400 days."""
        return await self._count("AND", self._named(days))

    async def retention(self, first: date, periods: int = 7, *, days: int = 1) -> list[Cohort]:
        """The retention triangle: of those who were active in a period, how many came back in each later one.

        Args:
            first: The first day of the first period.
            periods: How many there are; the last row has only its own.
            days: How long a period is; 7 for weekly cohorts. Up to 400 days may be asked for.
        """
        _within(periods, "periods", _MOST_DAYS)
        _within(days, "days", _MOST_DAYS // periods)
        starts = [check_day(first) + timedelta(days * at) for at in range(periods)]
        keys = [self._bits(self._days.of(first + timedelta(at))) for at in range(days * periods)]
        rows = await asyncio.gather(*(self._row(keys[days * at :], days) for at in range(periods)))
        return [Cohort(start, row) for start, row in zip(starts, rows, strict=True)]

    async def _row(self, keys: Sequence[str], days: int) -> list[int]:
        scratch = self._keys.key("scratch"), self._keys.key("cohort")
        counts: list[int] = await _RETENTION.taking(len(keys) + 2)(self._redis, *scratch, *keys, days)
        return counts

    async def _ending(self, day: date | None, length: int) -> int:
        def of(last: Period, start: int, stop: int) -> _Arguments:
            bits = map(self._bits, self._days.back_from(last, length))
            return (self._keys.key("scratch"), *bits, start, stop, "OR")

        return await self._ask(_COUNT.taking(length + 1), day, of)

    async def _count(self, how: str, bits: Sequence[str]) -> int:
        count, _ = await _COUNT.taking(len(bits) + 1)(self._redis, self._keys.key("scratch"), *bits, 0, 0, how)
        return int(count)

    async def _ask(self, script: Script, day: date | None, of: Callable[[Period, int, int], _Arguments]) -> int:
        """Ask about a named day; or about the present one, and again when the server says that it is another."""
        if day is not None:
            return int((await script(self._redis, *of(self._days.of(day), 0, 0)))[0])
        while True:
            today = self._days.today()
            answer, now_us = await script(self._redis, *of(today, *today))
            if answer != _MOVED:
                return int(answer)
            self._days.follow(now_us)

    def _named(self, days: Iterable[date]) -> list[str]:
        bits = [self._bits(self._days.of(day)) for day in days]
        _within(len(bits), "the number of days", _MOST_DAYS)
        return bits

    def _bits(self, day: Period) -> str:
        return self._keys.key(f"active:{day.start_us // 1_000_000}")

    @property
    def _ids(self) -> str:
        return self._keys.key("ids")

    def _text(self, member: KeyPart) -> str:
        if not self._direct:
            return member_text(member)
        if type(member) is not int:
            raise TypeError(f"a member that is its own bit must be an int, not {member!r:.80}")
        if not 0 <= member < self._capacity:
            raise ValueError(f"a member that is its own bit must be 0 to {self._capacity - 1}, not {member}")
        return str(member)


def _within(number: int, what: str, most: int) -> int:
    if type(number) is not int:
        raise TypeError(f"{what} must be an int, not {number!r:.80}")
    if not 1 <= number <= most:
        raise ValueError(f"{what} must be 1 to {most}, not {number}")
    return number
