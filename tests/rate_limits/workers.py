"""What the worker processes of the rate limit tests do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aioredis_patterns import rate_limits
from aioredis_patterns.client import connect
from aioredis_patterns.rate_limits import ConcurrencyLimit, Quota, quota
from tests.support.processes import say


async def crowd(url: str, name: str, limit: int) -> None:
    """Go in and out from several tasks; say the most that were inside, as the server counts them."""
    most = 0
    async with connect(url) as redis:
        slots = ConcurrencyLimit(redis, name, limit=limit)

        async def work() -> None:
            nonlocal most
            for _ in range(10):
                async with slots.slot():
                    most = max(most, await redis.incr(f"{name}:inside"))
                    await redis.decr(f"{name}:inside")

        await asyncio.gather(*(work() for _ in range(8)))
        await redis.pexpire(f"{name}:inside", 1000)
    say(most)


async def stay(url: str, name: str, lease: float) -> None:
    """Take the one slot, say so, and hold it until killed."""
    async with connect(url) as redis, ConcurrencyLimit(redis, name, limit=1, lease=lease).slot():
        say("inside")
        await asyncio.sleep(60)


async def hammer(url: str, name: str, kinds: list[str], limit: int, seconds: float) -> None:
    """Hit limits per second without a pause; say the server's times (us) around each hit that was admitted."""
    admitted: dict[str, list[tuple[int, int]]] = {kind: [] for kind in kinds}
    async with connect(url) as redis:
        limiters: list[Any] = [getattr(rate_limits, kind)(redis, name, limit=limit, period=1) for kind in kinds]

        async def now_us() -> int:
            whole, micros = await redis.time()
            return int(whole) * 1_000_000 + int(micros)

        end = await now_us() + seconds * 1_000_000
        before = 0
        while before < end:
            before, *decisions, after = await asyncio.gather(now_us(), *(one.hit() for one in limiters), now_us())
            for kind, decision in zip(kinds, decisions, strict=True):
                if decision:
                    admitted[kind].append((before, after))
    say(admitted)


async def spend(url: str, name: str, kinds: list[str], limit: int, hits: int, wrong_by: int) -> None:
    """Hit limits of an hour and a quota with a clock that is wrong; say how many hits of each were admitted."""
    right = time.time
    time.time = quota.time = lambda: right() + wrong_by  # type: ignore[attr-defined]
    async with connect(url) as redis:
        limiters: dict[str, Any] = {
            kind: getattr(rate_limits, kind)(redis, name, limit=limit, period=3600) for kind in kinds
        }
        limiters["Quota"] = Quota(redis, name, limit=limit, per="month")
        say({kind: [bool(await one.hit()) for _ in range(hits)].count(True) for kind, one in limiters.items()})
