"""The tour's steps of the caches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aioredis_patterns.caches import Cache
from aioredis_patterns.client import PipelinedRedis

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "stampede")

_CALLERS: Final = 500
_LOAD_TIME: Final = 0.1
_LOADS_TTL: Final = 120
_USER: Final = 42


async def _run(stage: Stage) -> Outcome:
    await stage.redis.set(_counter(stage.prefix), 0, ex=_LOADS_TTL)
    answers = await stage.crew.do(f"{__name__}:stampede", _CALLERS // PROCESSES)
    versions = [version for answer in answers for version in answer]
    loads = int(await stage.redis.get(_counter(stage.prefix)) or 0)
    return Outcome(f"{len(versions)} callers got the value, {loads} load", judge(versions, loads, _CALLERS))


async def stampede(redis: PipelinedRedis, prefix: str, callers: int) -> list[int]:
    """In each process: many tasks miss the same value; which load each of them got."""
    cache = Cache(redis, "users", ttl=60, prefix=prefix)

    async def load() -> dict[str, int]:
        version = await redis.incr(_counter(prefix))
        await asyncio.sleep(_LOAD_TIME)
        return {"id": _USER, "version": version}

    users = await asyncio.gather(*(cache.get_or_load(_USER, load) for _ in range(callers)))
    return [user["version"] for user in users]


def judge(versions: Sequence[int], loads: int, callers: int) -> tuple[Check, ...]:
    """Whether one load served everybody."""
    return (
        Check(f"{callers} callers get a value", len(versions) == callers),
        Check("the value is loaded once", loads == 1),
        Check("all of them get what was loaded", set(versions) == {1}),
    )


def _counter(prefix: str) -> str:
    return f"{prefix}:{{users}}:loads"


STEP: Final = Step(
    "Cache",
    f"{_CALLERS} callers in {PROCESSES} processes miss the same value, which takes {_LOAD_TIME:g} s to load",
    "one load for each key, over processes; the others wait for it",
    _run,
)
