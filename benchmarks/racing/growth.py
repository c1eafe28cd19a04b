"""What a call costs the server as what it works on grows: a board, a queue, a log of hits."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import redis.asyncio as redis_py
from bench_rate_limits import server_us
from plot_queues import claims_us

from aioredis_patterns import Leaderboard, Queue, SlidingLog, connect
from aioredis_patterns.embedded import EmbeddedServer

CALLS = 200
CHUNK = 1000


async def grow(server: EmbeddedServer, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Microseconds of the server for one call, at each size."""
    found: list[dict[str, Any]] = []
    async with connect(server.url) as redis:
        for measure in (board, queue, log):
            await redis.flushdb()
            what, costs = await measure(redis, sizes)
            found += [
                {"server": server.flavor, "what": what, "size": size, "us": round(us, 2)}
                for size, us in zip(sizes, costs, strict=True)
            ]
    return found


async def board(redis: redis_py.Redis, sizes: tuple[int, ...]) -> tuple[str, list[float]]:
    scores = Leaderboard(redis, "growth")
    rng, costs, filled = random.Random(1), [], 0
    for size in sizes:
        while filled < size:
            more = min(CHUNK, size - filled)
            some = {f"user:{n}": rng.randrange(1_000_000) for n in range(filled, filled + more)}
            await redis.zadd("arp:{growth}:board", some)
            filled += more

        async def around(size: int = size) -> None:
            assert await scores.around(f"user:{rng.randrange(size)}", 10)

        costs.append(await server_us(redis, around, CALLS))
    return "Leaderboard.around(10)", costs


async def queue(redis: redis_py.Redis, sizes: tuple[int, ...]) -> tuple[str, list[float]]:
    messages, costs, filled = Queue[str](redis, "growth"), [], 0
    for size in sizes:
        while filled < size:
            more = min(10 * CHUNK, size - filled)
            await messages.put_many(["x" * 98] * more)
            filled += more
        costs.append(await claims_us(redis, messages))
    return "a claim from Queue", costs


async def log(redis: redis_py.Redis, sizes: tuple[int, ...]) -> tuple[str, list[float]]:
    limiter, costs, filled = SlidingLog(redis, "growth", limit=10**9, period=3600), [], 0
    for size in sizes:
        while filled < size:
            more = min(CHUNK, size - filled)
            await asyncio.gather(*(limiter.hit() for _ in range(more)))
            filled += more
        costs.append(await server_us(redis, limiter.hit, CALLS))
    return "SlidingLog.hit", costs
