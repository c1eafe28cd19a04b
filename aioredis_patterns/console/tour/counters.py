"""The tour's step of the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.counters import Activity, Counter, Estimate, UniqueCounter

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "count", "judge")

_STOCK: Final = 500
_TRIES: Final = 200
"""In each process."""

_MEMBERS: Final = 1_000
_TTL: Final = 60
_DAY: Final = timedelta(1)


async def _run(stage: Stage) -> Outcome:
    day = datetime.now(UTC).date()
    sold = await stage.crew.do(f"{__name__}:count", _TRIES, day.isoformat())
    visits, activity = _visits(stage.redis, stage.prefix), _activity(stage.redis, stage.prefix)
    seen = await visits.count()
    (cohort, _) = await activity.retention(day, 2)
    figures = f"{sum(sold)} sold, {seen.estimate:,} of {_MEMBERS:,} seen, {cohort.counts[0]:,} active"
    return Outcome(figures, judge(sold, seen, cohort.counts))


async def count(redis: PipelinedRedis, prefix: str, tries: int, today: str) -> int:
    """In each process: sell from one stock, and mark members whom the others mark as well; how much was sold."""
    stock = Counter(redis, "sold", maximum=_STOCK, ttl=_TTL, prefix=prefix)
    visits, activity, day = _visits(redis, prefix), _activity(redis, prefix), date.fromisoformat(today)
    members = [f"user:{number}" for number in range(_MEMBERS)]
    sold = await asyncio.gather(*(stock.increment() for _ in range(tries)))
    await asyncio.gather(*(visits.add(member) for member in members))
    await asyncio.gather(*(activity.mark(member, day=day) for member in members))
    await activity.mark(*members[: _MEMBERS // 2], day=day + _DAY)
    return sum(number is not None for number in sold)


def judge(sold: Sequence[int], seen: Estimate, came_back: Sequence[int]) -> tuple[Check, ...]:
    """Whether bounds hold, and everybody counts once however many count them."""
    return (
        Check("no more is sold than there is", sum(sold) == _STOCK),
        Check("the estimate is as near as it says", abs(seen.estimate - _MEMBERS) < 4 * seen.error),
        Check("whoever is active counts once a day", list(came_back) == [_MEMBERS, _MEMBERS // 2]),
    )


def _visits(redis: PipelinedRedis, prefix: str) -> UniqueCounter:
    return UniqueCounter(redis, "visits", ttl=_TTL, prefix=prefix)


def _activity(redis: PipelinedRedis, prefix: str) -> Activity:
    return Activity(redis, "app", keep=_DAY, prefix=prefix)


STEP: Final = Step(
    "Counter, Activity",
    f"{PROCESSES} processes sell {_STOCK} of one stock, and count the same {_MEMBERS:,} members",
    "bounds hold in a crowd, and whoever is counted by many counts once",
    _run,
)
