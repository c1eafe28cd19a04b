"""The tour's step of what several hold or do together: permits, sets of names, latches, barriers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.locks import Barrier, Latch, MultiLock, Semaphore

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("Day", "STEP", "judge", "meet")

_SEATS: Final = 3
_GUESTS: Final = 100
"""In each process; as many sums are moved."""

_ROUNDS: Final = 25
_ACCOUNTS: Final = ("ann", "ben", "cat", "dan")
_MONEY: Final = 1_000
"""In each account."""

_TTL: Final = 120


class Day(NamedTuple):
    """What one process saw."""

    ready: int  #: how many the latch waited for when it let this process go
    inside: int  #: the most guests that the server counted inside
    indexes: list[int]  #: one for each time that the barrier was passed


async def _run(stage: Stage) -> Outcome:
    accounts = [_account(stage.prefix, name) for name in _ACCOUNTS]
    for account in accounts:
        await stage.redis.set(account, _MONEY, ex=_TTL)
    days = [Day(*answer) for answer in await stage.crew.do(f"{__name__}:meet")]
    money = sum([int(await stage.redis.get(account) or 0) for account in accounts])
    guests = _GUESTS * PROCESSES
    return Outcome(
        f"{guests} guests, {max(day.inside for day in days)} at a time; {guests} sums moved, {money:,} left; "
        f"{_ROUNDS} rounds of {PROCESSES} processes",
        judge(days, money),
    )


async def meet(redis: PipelinedRedis, prefix: str) -> Day:
    """In each process: wait until all are ready, take seats, move money, and go round in step with the others."""
    latch = Latch(redis, "ready", count=PROCESSES, ttl=_TTL, prefix=prefix)
    await latch.count_down()
    await latch.wait(timeout=20)
    ready = await latch.missing()
    seats = Semaphore(redis, "seats", permits=_SEATS, prefix=prefix)
    inside = await asyncio.gather(*(_sit(redis, prefix, seats) for _ in range(_GUESTS)))
    await asyncio.gather(*(_move(redis, prefix) for _ in range(_GUESTS)))
    barrier = Barrier(redis, "round", parties=PROCESSES, ttl=_TTL, prefix=prefix)
    return Day(ready, max(inside), [await barrier.wait(timeout=20) for _ in range(_ROUNDS)])


async def _sit(redis: PipelinedRedis, prefix: str, seats: Semaphore) -> int:
    guard = f"{prefix}:{{seats}}:inside"
    async with seats:
        inside = int(await redis.incr(guard))
        await redis.expire(guard, _TTL)
        await redis.decr(guard)
    return inside


async def _move(redis: PipelinedRedis, prefix: str) -> None:
    """Move a sum in four commands, which goes wrong as soon as anybody else touches one of the accounts meanwhile."""
    names = random.sample(_ACCOUNTS, 2)
    async with MultiLock(redis, names, prefix=prefix):
        balances = [int(await redis.get(_account(prefix, name)) or 0) for name in names]
        for name, balance, sign in zip(names, balances, (-1, 1), strict=True):
            await redis.set(_account(prefix, name), balance + sign, ex=_TTL)


def judge(days: Sequence[Day], money: int) -> tuple[Check, ...]:
    """Whether the latch held all, nobody sat without a seat, no sum was lost, and all went round in step."""
    rounds = list(zip(*(day.indexes for day in days), strict=True))
    in_step = len(rounds) == _ROUNDS and all(sorted(indexes) == list(range(PROCESSES)) for indexes in rounds)
    return (
        Check("the latch opens when all processes are ready", all(day.ready == 0 for day in days)),
        Check(f"never more than {_SEATS} guests have a seat", 0 < max(day.inside for day in days) <= _SEATS),
        Check("accounts that are locked in pairs lose nothing", money == _MONEY * len(_ACCOUNTS)),
        Check("every round has one process of each index", in_step),
    )


def _account(prefix: str, name: str) -> str:
    return f"{prefix}:{{{name}}}:balance"


STEP: Final = Step(
    "Semaphore, MultiLock, Latch, Barrier",
    f"{PROCESSES} processes wait for one another, share {_SEATS} seats, and move money between accounts",
    "so many at a time; several names at once; all ready; all in step",
    _run,
)
