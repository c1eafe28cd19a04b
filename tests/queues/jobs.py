"""Workers that the command line runs in the tests; their queue is named by the environment."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aioredis_patterns.client import connect
from aioredis_patterns.queues import Queue, Worker


def patient() -> Worker[Any]:
    """Its handlers tell that they have begun, and take half a second."""
    return _worker(0.5, grace=30)


def impatient() -> Worker[Any]:
    """Its handlers would take a minute, and have no time at the end."""
    return _worker(60, grace=0.05)


def stubborn() -> Worker[Any]:
    """Its handlers would take a minute, and have it at the end."""
    return _worker(60, grace=60)


async def broken() -> None:
    """Not a worker."""


def _worker(seconds: float, grace: float) -> Worker[Any]:
    name = os.environ["QUEUE"]
    redis = connect(os.environ["QUEUE_URL"])

    async def handle(payload: str) -> None:
        await redis.rpush(f"{name}:begun", payload)
        await asyncio.sleep(seconds)

    return Worker(Queue(redis, name), handle, concurrency=2, grace=grace)
