"""What a process of the database test does: writes and reads rows through one cache."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import aiosqlite

from aioredis_patterns.caches import Cache, WriteBehind, WriteThrough
from aioredis_patterns.client.connect import connect
from tests.support.processes import say
from tests.support.waiting import eventually

SECONDS = 1.5


async def write_and_read(url: str, name: str, table: str, number: int, keys: int) -> None:
    """Until the time is over, write a row or read one."""
    chance = random.Random(number)
    async with connect(url) as redis, aiosqlite.connect(table, timeout=20) as database:
        cache = Cache(redis, name, ttl=60)

        async def write(key: int, visits: Any) -> None:
            await database.execute("insert or replace into users values (?, ?)", (key, visits))
            await database.commit()

        async def load(key: int) -> int | None:
            rows = await database.execute_fetchall("select visits from users where id = ?", (key,))
            return next((visits for (visits,) in rows), None)

        users = WriteThrough(cache, write, lease=2)
        say("ready")
        await eventually(lambda: redis.exists(f"{name}:go"), timeout=20)
        end, step = time.monotonic() + SECONDS, 0
        while time.monotonic() < end or step < 20:
            key, step = chance.randrange(keys), step + 1
            if chance.random() < 0.3 or step <= 1:
                await users.set(key, number * 1_000_000 + step)
            else:
                await cache.get_or_load(key, load)
            if step == 20:
                say("at work")


async def flush_for_ever(url: str, name: str) -> None:
    """Take a write, say so, and never come to an end with it."""
    async with connect(url) as redis:

        async def write_many(rows: dict[Any, Any]) -> None:
            say(rows)
            await asyncio.Event().wait()

        users = WriteBehind(Cache(redis, name, ttl=60), write_many, delay=0, lease=0.5)
        await users.set("key", "value")
        await asyncio.Event().wait()
