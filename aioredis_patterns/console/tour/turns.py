"""The tour's step of the locks that know who comes next: `FairLock`, `ReadWriteLock` and `ReentrantLock`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.locks import FairLock, ReadWriteLock, ReentrantLock

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "contend", "judge")

_WAITERS: Final = 20

_TASKS: Final = 10
"""In each process: one of them writes, the others read."""

_ROUNDS: Final = 10

_GUARD_TTL: Final = 120


async def _run(stage: Stage) -> Outcome:
    await stage.redis.set(_guard(stage.prefix), 0, ex=_GUARD_TTL)
    answers = await stage.crew.do(f"{__name__}:contend", _TASKS, _ROUNDS)
    reading = list(chain.from_iterable(read for read, _ in answers))
    writing = list(chain.from_iterable(wrote for _, wrote in answers))
    served = await _stand_in_line(FairLock(stage.redis, "printer", lease=10, prefix=stage.prefix))
    again = await _enter_twice(ReentrantLock(stage.redis, "account", lease=10, prefix=stage.prefix))
    figures = (
        f"{len(served)} waiters served in order; {len(reading):,} readers, up to {max(reading)} of them together, "
        f"{len(writing):,} writers, each alone"
    )
    return Outcome(figures, judge(served, reading, writing, again=again))


async def _stand_in_line(lock: FairLock) -> list[int]:
    """Have them wait one behind the other; in which order they were served."""
    served: list[int] = []

    async def wait(number: int) -> None:
        async with lock:
            served.append(number)

    async with asyncio.TaskGroup() as group, lock:
        for number in range(_WAITERS):
            waiter = group.create_task(wait(number))
            await asyncio.sleep(0)
            while not waiter.done() and await lock.place(waiter) != number + 1:
                pass
    return served


async def contend(redis: PipelinedRedis, prefix: str, tasks: int, rounds: int) -> tuple[list[int], list[int]]:
    """In each process: read and write again and again; how many the server counted inside, for each of them."""
    lock, guard = ReadWriteLock(redis, "prices", lease=10, prefix=prefix), _guard(prefix)
    reading: list[int] = []
    writing: list[int] = []

    async def read() -> None:
        for _ in range(rounds):
            async with lock.read():
                reading.append(await redis.incr(guard))
                await redis.decr(guard)

    async def write() -> None:
        for _ in range(rounds):
            async with lock.write():
                writing.append(await redis.incr(guard))
                await redis.decr(guard)

    await asyncio.gather(write(), *(read() for _ in range(tasks - 1)))
    return reading, writing


async def _enter_twice(lock: ReentrantLock) -> bool:
    async with lock as outer, lock as inner:
        return outer.fence == inner.fence and await asyncio.create_task(lock.try_acquire()) is None


def judge(served: Sequence[int], reading: Sequence[int], writing: Sequence[int], *, again: bool) -> tuple[Check, ...]:
    """Whether the line was kept, writers were alone and readers together, and the owner was known."""
    return (
        Check("who came first is served first", list(served) == sorted(served) and len(served) == _WAITERS),
        Check("every writer gets in", len(writing) == PROCESSES * _ROUNDS),
        Check("a writer is alone", all(inside == 1 for inside in writing)),
        Check("readers are inside together", max(reading) > 1),
        Check("the owner of a reentrant lock may enter again, another task may not", again),
    )


def _guard(prefix: str) -> str:
    return f"{prefix}:{{prices}}:inside"


STEP: Final = Step(
    "FairLock, ReadWriteLock, ReentrantLock",
    f"{_WAITERS} tasks stand in line; {_TASKS - 1} tasks read and one writes in each of {PROCESSES} processes",
    "who came first is served first; many read or one writes, and none waits for ever; an owner may enter again",
    _run,
)
