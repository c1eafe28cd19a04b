"""The tour's step of quotas."""

from __future__ import annotations

import asyncio
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.errors import RateLimitExceededError
from aioredis_patterns.rate_limits import Quota

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "spend")

_LIMIT: Final = 1_000
_JOBS: Final = 400
_MOST: Final = 20
_LEASE: Final = 0.2
_LOOKS: Final = 200


async def _run(stage: Stage) -> Outcome:
    answers = await stage.crew.do(f"{__name__}:spend", _JOBS // PROCESSES)
    quota = _quota(stage.redis, stage.prefix)
    used = _LIMIT - (await quota.peek("acme", 0)).remaining
    spent = sum(answers)
    freed = await _freed(quota, await quota.reserve("gone", _LIMIT))
    return Outcome(f"{spent} of {_LIMIT:,} units spent by {_JOBS} jobs", judge(spent, used, freed=freed))


async def spend(redis: PipelinedRedis, prefix: str, jobs: int) -> int:
    """In each process: jobs that reserve the most they may need, and use less; what they used together."""
    quota = _quota(redis, prefix)

    async def job(number: int) -> int:
        try:
            async with quota.reserve("acme", _MOST) as reservation:
                used = number % _MOST
                await reservation.commit(used)
                return used
        except RateLimitExceededError:
            return 0

    return sum(await asyncio.gather(*map(job, range(jobs))))


def judge(spent: int, used: int, *, freed: bool) -> tuple[Check, ...]:
    """Whether the quota has counted what was used, has not been exceeded, and forgot who is gone."""
    return (
        Check("what the jobs used is what the quota has counted", spent == used),
        Check("jobs get in while there is room", spent > 0),
        Check(f"no more than {_LIMIT:,} units are spent", spent <= _LIMIT),
        Check("what a process that died had reserved is free again", freed),
    )


async def _freed(quota: Quota, reservation: object) -> bool:
    """Whether the room of a reservation that nobody renews comes back; dropping the handle is what a crash does."""
    del reservation
    for _ in range(_LOOKS):
        if await quota.peek("gone", _LIMIT):
            return True
        await asyncio.sleep(_LEASE / 10)
    return False


def _quota(redis: PipelinedRedis, prefix: str) -> Quota:
    return Quota(redis, "tokens", limit=_LIMIT, per="month", tz="Europe/Berlin", lease=_LEASE, prefix=prefix)


STEP: Final = Step(
    "Quota",
    f"{_JOBS} jobs in {PROCESSES} processes reserve {_MOST} units of a month's {_LIMIT:,}, and use less",
    "room is held until it is known what was used; who dies gives it back",
    _run,
)
