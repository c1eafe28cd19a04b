"""The tour's step of the connection: many commands at once, on one, against a pool of redis-py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio as redis_py

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.types import AnyRedis

from .nodes import connections_of, redis_pys
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge")

_HIT: Final = Script(__package__, "transport_hit")
_CALLS: Final = 20_000
_CALLS_OF_POOL: Final = 4_000
_TASKS: Final = 500
_POOL: Final = 50
_TTL_MS: Final = 60_000


async def _run(stage: Stage) -> Outcome:
    client_name = f"{stage.prefix}-shared"
    async with connect(stage.url, client_name=client_name) as ours, _redis_pys(stage) as (theirs, tasks):
        await ours.script_load(_HIT.source.text)
        replies, rate = await _hits(ours, f"{stage.prefix}:{{hits}}:shared", _CALLS, _TASKS)
        _, rate_of_pool = await _hits(theirs, f"{stage.prefix}:{{hits}}:pool", _CALLS_OF_POOL, tasks)
        connections = await connections_of(stage.redis, client_name)
    figures = (
        f"{rate:,.0f} a second; redis-py with {_POOL} connections {rate_of_pool:,.0f}: {rate / rate_of_pool:.1f} x"
    )
    return Outcome(figures, judge(replies, _CALLS, connections))


@asynccontextmanager
async def _redis_pys(stage: Stage) -> AsyncIterator[tuple[AnyRedis, int]]:
    """A client of redis-py with so many connections, and how many tasks it can serve."""
    cluster = redis_pys(stage.redis)
    if cluster is not None:
        yield cluster, _POOL  # more would be an error, since it has no pool that waits
        return
    pool = redis_py.BlockingConnectionPool.from_url(stage.url, max_connections=_POOL, timeout=None)
    async with redis_py.Redis(connection_pool=pool) as redis:
        yield redis, _TASKS
    await pool.disconnect()


async def _hits(redis: AnyRedis, key: str, calls: int, tasks: int) -> tuple[list[int], float]:
    """The replies, and how many came in a second."""
    replies: list[int] = []

    async def work(count: int) -> None:
        replies.extend([await redis.evalsha(_HIT.source.sha, 1, key, str(_TTL_MS)) for _ in range(count)])

    started = time.perf_counter()
    await asyncio.gather(*(work(calls // tasks) for _ in range(tasks)))
    return replies, calls / (time.perf_counter() - started)


def judge(replies: Iterable[int], calls: int, connections: int) -> tuple[Check, ...]:
    """Whether each call was executed once and got its own reply, all on one connection."""
    return (
        Check("every call is executed once and gets its own reply", sorted(replies) == [*range(1, calls + 1)]),
        Check("all calls share one connection", connections == 1),
    )


STEP: Final = Step(
    "connect()",
    f"{_CALLS:,} EVALSHA from {_TASKS} tasks over one connection",
    "concurrent commands leave in one write and come back in one read",
    _run,
)
