"""What the worker processes of the queue tests do."""

from __future__ import annotations

import asyncio

from aioredis_patterns.client import connect
from aioredis_patterns.queues import Queue, Worker
from tests.support.processes import say


async def hold(url: str, name: str) -> None:
    """Claim a message, say it, and hold it until killed."""
    async with connect(url) as redis:
        async for delivery in Queue(redis, name, visibility=0.5).deliveries():
            async with delivery:
                say([delivery.payload, delivery.attempt])
                await asyncio.sleep(60)


async def work(url: str, name: str, done: str, concurrency: int) -> None:
    """Note each payload in a set, slowly enough to be killed in the middle; say that it has begun."""
    async with connect(url) as redis:

        async def handle(payload: int) -> None:
            await asyncio.sleep(0.005)
            await redis.sadd(done, payload)

        async with Worker(Queue(redis, name, visibility=0.5, max_deliveries=100), handle, concurrency=concurrency):
            say("working")
            await asyncio.sleep(60)
