"""The tour's steps of the locks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from time import monotonic
from typing import Final, NamedTuple

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.locks import Lock

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("Hold", "STEP", "contend", "judge")

_ACQUISITIONS: Final = 2_000
_TASKS: Final = 20
"""In each process."""

_GUARD_TTL: Final = 120


class Hold(NamedTuple):
    """One acquisition, on the monotonic clock that the processes of a machine share."""

    began: float
    ended: float
    process: int
    fence: int
    inside: int  #: how many the server counted inside, this one included


async def _run(stage: Stage) -> Outcome:
    await stage.redis.set(_guard(stage.prefix), 0, ex=_GUARD_TTL)
    rounds = _ACQUISITIONS // PROCESSES // _TASKS
    answers = await stage.crew.do(f"{__name__}:contend", _TASKS, rounds)
    holds = sorted(
        Hold(began, ended, process, *rest) for process, held in enumerate(answers) for began, ended, *rest in held
    )
    turns = sum(one.process != two.process for one, two in pairwise(holds))
    rate = len(holds) / (holds[-1].ended - holds[0].began)
    figures = (
        f"{len(holds):,} holds, {_overlaps(holds)} overlaps, {turns:,} times to another process, {rate:,.0f} a second"
    )
    return Outcome(figures, judge(holds, _ACQUISITIONS))


async def contend(redis: PipelinedRedis, prefix: str, tasks: int, rounds: int) -> list[tuple[float, float, int, int]]:
    """In each process: take the lock again and again; when each hold began and ended, its fence, who was inside."""
    lock = Lock(redis, "invoice", lease=10, prefix=prefix)
    guard = _guard(prefix)
    holds: list[tuple[float, float, int, int]] = []

    async def work() -> None:
        for _ in range(rounds):
            async with lock as lease:
                began = monotonic()
                inside = await redis.incr(guard)
                await redis.decr(guard)
                holds.append((began, monotonic(), lease.fence, inside))

    await asyncio.gather(*(work() for _ in range(tasks)))
    return holds


def judge(holds: Sequence[Hold], acquisitions: int) -> tuple[Check, ...]:
    """Whether nobody was inside with another, by the clock, by the server's count and by the fences."""
    return (
        Check(f"the lock is taken {acquisitions:,} times", len(holds) == acquisitions),
        Check("every process takes it", len({hold.process for hold in holds}) == PROCESSES),
        Check("no two holds overlap in time", _overlaps(holds) == 0),
        Check("the server counts one inside, never two", all(hold.inside == 1 for hold in holds)),
        Check("each fence is larger than the one before", all(one.fence < two.fence for one, two in pairwise(holds))),
    )


def _overlaps(holds: Sequence[Hold]) -> int:
    return sum(two.began < one.ended for one, two in pairwise(holds))


def _guard(prefix: str) -> str:
    return f"{prefix}:{{invoice}}:inside"


STEP: Final = Step(
    "Lock",
    f"{_ACQUISITIONS:,} acquisitions by {_TASKS} tasks in each of {PROCESSES} processes",
    "one holder at a time, over processes; each hold has a larger fence than the one before",
    _run,
)
