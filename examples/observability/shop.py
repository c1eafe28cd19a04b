"""A shop whose visitors come again and again, and all that can be told of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from aioredis_patterns import Cache, Lock, PipelinedRedis, Queue, SessionStore, TokenBucket, Worker
from aioredis_patterns.integrations.opentelemetry import Metrics

GUESTS = ("ada", "bob", "cyd")


class Shop:
    """Patterns that tell what they do. Nothing here connects before it is used."""

    def __init__(self, redis: PipelinedRedis, metrics: Metrics) -> None:
        self.metrics = metrics
        self.profiles: Cache[Any] = Cache(redis, "profiles", ttl=5, on_event=metrics)
        self.api = TokenBucket(redis, "api", limit=120, period=60, burst=10, on_event=metrics)
        self.till = Lock(redis, "till", lease=5, on_event=metrics)
        self.sessions = SessionStore(redis, "shop", max_sessions=5, on_event=metrics)
        self.emails: Queue[str] = Queue(redis, "emails")
        self.worker = Worker(self.emails, send, concurrency=2, around=metrics.handling("emails"))

    async def visit(self) -> None:
        """A guest comes, and pays if there are not too many."""
        guest = random.choice(GUESTS)  # noqa: S311
        if not await self.api.hit(guest):
            return
        await self.sessions.create(guest)
        await self.profiles.get_or_load(guest, profile)
        async with self.till:
            await self.emails.put(guest)

    async def measure(self) -> None:
        """How much there is to do: one process asks for all."""
        await self.metrics.measure(self.emails)


async def profile(guest: str) -> dict[str, str]:
    """What a database knows of him."""
    await asyncio.sleep(0.01)
    return {"name": guest}


async def send(_guest: str) -> None:
    """A letter of thanks; now and then the post is closed, and it is sent later."""
    await asyncio.sleep(0.05)
    if random.random() < 0.05:  # noqa: S311
        raise ConnectionRefusedError("the post is closed")
