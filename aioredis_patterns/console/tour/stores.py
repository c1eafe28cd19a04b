"""The tour's step of caches that write the store behind them, and of copies in the process."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aioredis_patterns.caches import Cache, NearCache, WriteBehind, WriteThrough
from aioredis_patterns.client import PipelinedRedis

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "write")

_KEYS: Final = 20
_WRITES: Final = 400
_LATER: Final = 1_000
_TABLE_TTL: Final = 120


async def _run(stage: Stage) -> Outcome:
    near: Cache[int] = Cache(stage.redis, "prices", ttl=60, near=NearCache(), prefix=stage.prefix)
    copied = [await near.get(key) for key in range(_KEYS)]
    await stage.crew.do(f"{__name__}:write", _WRITES // PROCESSES)
    cached = [await near.get(key) for key in range(_KEYS)]
    table = await stage.redis.hgetall(_table(stage.prefix))
    rows = [int(table[str(key).encode()]) for key in range(_KEYS)]
    told, calls = await _write_behind(stage)
    figures = f"{_WRITES} writes by {PROCESSES} processes; {_LATER:,} later, {len(calls)} calls of the store"
    return Outcome(figures, (Check("nothing is copied yet", not any(copied)), *judge(cached, rows, told, sum(calls))))


async def write(redis: PipelinedRedis, prefix: str, writes: int) -> int:
    """In each process: writes of rows that other processes write too."""

    async def store(key: Any, value: Any) -> None:
        await redis.hset(_table(prefix), str(key), str(value))
        await redis.expire(_table(prefix), _TABLE_TTL)

    prices = WriteThrough(Cache[int](redis, "prices", ttl=60, prefix=prefix), store)
    await asyncio.gather(*(prices.set(number % _KEYS, number) for number in range(writes)))
    return writes


async def _write_behind(stage: Stage) -> tuple[int, list[int]]:
    """How many rows the store was told in the end, and how many in each call."""
    rows: dict[Any, Any] = {}
    calls: list[int] = []

    async def store(some: dict[Any, Any]) -> None:
        calls.append(len(some))
        rows.update(some)

    visits: Cache[int] = Cache(stage.redis, "visits", ttl=60, prefix=stage.prefix)
    async with WriteBehind(visits, store) as writer:
        await asyncio.gather(*(writer.set(number % _KEYS, number) for number in range(_LATER)))
    return sum(value >= _LATER - _KEYS for value in rows.values()), calls


def judge(cached: list[int | None], rows: list[int], told: int, written: int) -> tuple[Check, ...]:
    """Whether cache, copies and store agree."""
    agrees = all(value in (None, row) for value, row in zip(cached, rows, strict=True))
    return (
        Check("what is cached or copied is what the store has", agrees),
        Check("every row has its last write", told == len(rows)),
        Check("writes of one row are written together", written < _LATER),
    )


def _table(prefix: str) -> str:
    return f"{prefix}:{{prices}}:table"


STEP: Final = Step(
    "WriteThrough, WriteBehind, NearCache",
    f"{PROCESSES} processes write {_KEYS} rows of a store through a cache; then {_LATER:,} writes are written later",
    "the cache never keeps what the store does not have",
    _run,
)
