"""What the worker processes of the lock tests do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aioredis_patterns import locks
from aioredis_patterns.client import connect
from aioredis_patterns.errors import LockLostError
from tests.support.processes import say


async def hold(kind: str, url: str, name: str, lease: float) -> None:
    """Take the lock, say its fence, and hold it until killed; say when it was lost."""
    async with connect(url) as redis:
        try:
            async with getattr(locks, kind)(redis, name, lease=lease) as held:
                say(held.fence)
                await asyncio.sleep(60)
        except LockLostError as error:
            say(["lost", error.reason, time.monotonic()])


async def contend(kind: str, url: str, name: str, tasks: int, rounds: int) -> None:
    """Take the lock again and again from several tasks; say when each hold began and ended, and its fence."""
    holds: list[tuple[float, float, int]] = []
    async with connect(url) as redis:
        lock: Any = getattr(locks, kind)(redis, name, lease=5)

        async def work() -> None:
            for _ in range(rounds):
                async with lock as lease:
                    began = time.monotonic()
                    await asyncio.sleep(0)
                    holds.append((began, time.monotonic(), lease.fence))

        await asyncio.gather(*[work() for _ in range(tasks)])
    say(holds)
