"""The tour's step of limits on how much is done at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final, TypeAlias

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.rate_limits import ConcurrencyLimit

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "Stay", "judge", "upload")

_LIMIT: Final = 4
_UPLOADS: Final = 200

Stay: TypeAlias = tuple[float, float]
"""When somebody came in, and when he was about to leave."""


async def _run(stage: Stage) -> Outcome:
    answers = await stage.crew.do(f"{__name__}:upload", _UPLOADS // PROCESSES)
    stays = [stay for answer in answers for stay in answer]
    left = (await ConcurrencyLimit(stage.redis, "uploads", limit=_LIMIT, prefix=stage.prefix).peek("ada")).remaining
    return Outcome(f"{len(stays)} uploads, {_LIMIT} at a time", judge(stays, left))


async def upload(redis: PipelinedRedis, prefix: str, uploads: int) -> list[Stay]:
    """In each process: do something slow in a slot of the same user, from many tasks; when each was inside."""
    limit = ConcurrencyLimit(redis, "uploads", limit=_LIMIT, prefix=prefix)

    async def work() -> Stay:
        async with limit.slot("ada"):
            came = monotonic()
            await asyncio.sleep(0.001)
            return came, monotonic()

    return await asyncio.gather(*(work() for _ in range(uploads)))


def judge(stays: Sequence[Stay], left: int) -> tuple[Check, ...]:
    """Whether all got in, never too many together, and every slot came back."""
    changes = sorted([(came, 1) for came, _ in stays] + [(gone, -1) for _, gone in stays])
    inside = [sum(step for _, step in changes[: number + 1]) for number in range(len(changes))]
    return (
        Check(f"all {_UPLOADS} got in", len(stays) == _UPLOADS),
        Check(f"never more than {_LIMIT} at a time", max(inside, default=0) <= _LIMIT),
        Check("every slot came back", left == _LIMIT),
    )


STEP: Final = Step(
    "ConcurrencyLimit",
    f"{_UPLOADS} uploads of one user at once, {_LIMIT} at a time",
    "no more slots are held than there are, and each comes back",
    _run,
)
