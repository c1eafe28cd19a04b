"""A loader that waits for its test, and a look at who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading
from tests.support.waiting import eventually


class Paused:
    """Brings `result` once the test says go, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.result: Any = "loaded"

    async def __call__(self) -> Any:
        self.calls += 1
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def leads_and_waits(
    redis: Redis, other: Redis, name: str, *, tags: list[str] | None = None
) -> tuple[Paused, asyncio.Task[Any], asyncio.Task[Any]]:
    """One who loads "key" until told to go, and one of another process who waits for it; the lease has no near end."""
    paused, loading = Paused(), Loading(lease=600)
    leads = Cache(redis, name, ttl=60, loading=loading).get_or_load("key", paused, tags=tags or [])
    first = asyncio.create_task(leads)
    await paused.started.wait()
    second = asyncio.create_task(Cache(other, name, ttl=60, loading=loading).get_or_load("key", lambda: "newer"))
    await listening(redis, f"arp:{{{name}|0}}:loaded:key")
    return paused, first, second


async def listening(redis: Redis, channel: str) -> None:
    """Wait until somebody listens to the channel."""
    async with asyncio.timeout(5):
        while (await redis.pubsub_numsub(channel))[0][1] == 0:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.002)


async def renewed(left: Callable[[], Awaitable[Any]]) -> None:
    """Wait until a lease of which so much is left has been renewed four times: it would have ended by then."""
    renewals, last = 0, await left()
    async with asyncio.timeout(20):
        while renewals < 4:
            await asyncio.sleep(0.01)
            now = await left()
            renewals, last = renewals + (now > last), now


async def joined(cache: Cache[Any], key: str, waiters: int) -> None:
    """Wait until so many wait for the load of a key that runs here."""
    await eventually(
        lambda: [flight._waiters for flight in cache._flights._leading.values() if flight._key == key] == [waiters]
    )
