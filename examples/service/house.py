"""The teahouse: its database, and all that it has in Redis."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from aioredis_patterns import (
    Cache,
    FeatureFlags,
    FixedWindow,
    Leaderboard,
    PipelinedRedis,
    Queue,
    SessionStore,
    TokenBucket,
    WriteThrough,
)
from aioredis_patterns.codecs import Raw

from .database import Database


class House:
    """What the pages are made of. Nothing here connects before it is used."""

    def __init__(self, redis: PipelinedRedis, database: Database) -> None:
        self.redis = redis
        self.database = database
        self.sessions = SessionStore(redis, idle=1800, lifetime=7 * 86_400, max_sessions=5)
        self.logins = FixedWindow(redis, "logins", limit=5, period=60)
        self.profiles: Cache[Any] = Cache(redis, "profiles", ttl=300)
        self.write_profile = WriteThrough(self.profiles, database.save_profile)
        self.pages = Cache(redis, "pages", ttl=10, codec=Raw(), on_error="open")
        self.fortunes = TokenBucket(redis, "fortunes", limit=10, period=60, burst=3)
        self.board = Leaderboard(redis, "cups")
        self.orders: Queue[int] = Queue(redis, "orders", visibility=30, max_deliveries=5)
        self.flags = FeatureFlags(redis, "teahouse")
        self.bell = Bell(redis, "teahouse:cups")


class Bell:
    """Rings in every process when the board has changed: one subscription, however many watch."""

    def __init__(self, redis: PipelinedRedis, channel: str) -> None:
        self._redis, self._channel = redis, channel
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._task: asyncio.Task[None]
        self.next = asyncio.Event()  #: set when it rings, and then another one

    async def ring(self) -> None:
        """Tell all who watch, in all processes."""
        await self._redis.publish(self._channel, "changed")

    async def __aenter__(self) -> Self:
        await self._pubsub.subscribe(self._channel)
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._pubsub.aclose()

    async def _listen(self) -> None:
        async for _ in self._pubsub.listen():
            self.next.set()
            self.next = asyncio.Event()
