"""A group of a log in the laboratory: every entry is handled, and what was acknowledged comes no more."""

from __future__ import annotations

import os
from typing import Any, final

from redis.asyncio import Redis

from aioredis_patterns.queues import QueueStats
from aioredis_patterns.streams import ConsumerGroup, EventLog
from tests.lab.patterns.queues import DELIVERIES, VISIBILITY, Queueing

__all__ = ("STREAMS", "GroupOfALog")


@final
class GroupOfALog:
    """A group of a log, as far as the laboratory takes it for a queue."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._log = EventLog[str](redis, name)
        self._group = ConsumerGroup(self._log, "g", visibility=VISIBILITY, max_deliveries=DELIVERIES)

    async def put(self, payload: str, *, delay: float = 0) -> str:
        return await self._log.append(payload)

    async def claim(self, timeout: float) -> Any:
        return await self._group.claim(f"worker-{os.getpid()}", timeout)

    async def stats(self) -> QueueStats:
        found = await self._group.stats()
        return QueueStats(found.lag, 0, found.pending, found.dead, found.oldest_age)


STREAMS = (Queueing("ConsumerGroup", GroupOfALog, lasting=(":log",)),)
