"""A loader that waits for its test, and a look at who waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns.caches import Cache
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


async def listening(redis: Redis, channel: str) -> None:
    """Wait until somebody listens to the channel."""
    async with asyncio.timeout(5):
        while (await redis.pubsub_numsub(channel))[0][1] == 0:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.002)


async def joined(cache: Cache[Any], key: str, waiters: int) -> None:
    """Wait until so many wait for the load of a key that runs here."""
    await eventually(
        lambda: [flight._waiters for flight in cache._flights._leading.values() if flight._key == key] == [waiters]
    )
