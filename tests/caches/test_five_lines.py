"""What the usual five lines get wrong, and that it is right here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache
from aioredis_patterns.client.connect import connect

Load = Callable[[], Awaitable[Any]]
Get = Callable[[Redis, str, Load], Awaitable[Any]]


async def five_lines(redis: Redis, key: str, load: Load) -> Any:
    """The cache of the guides."""
    value = await redis.get(key)
    if not value or not json.loads(value):
        value = json.dumps(await load())
        await redis.set(key, value, ex=60)
    return json.loads(value)


async def ten_lines(redis: Redis, key: str, load: Load) -> Any:
    """The same with the lock of the guides, which expires and is deleted by whoever is done."""
    while not (value := await redis.get(key)):
        if await redis.set(f"{key}:lock", 1, nx=True, px=50):
            value = json.dumps(await load())
            await redis.set(key, value, ex=60)
            await redis.delete(f"{key}:lock")
            break
        await asyncio.sleep(0.01)
    return json.loads(value)


async def ours(redis: Redis, key: str, load: Load) -> Any:
    return await Cache[Any](redis, key, ttl=60).get_or_load("key", load)


class Counted:
    """A loader that counts how often it runs, and how often at one time."""

    def __init__(self, value: Any, seconds: float = 0.0) -> None:
        self.value = value
        self.seconds = seconds
        self.calls = self.now = self.most = 0

    async def __call__(self) -> Any:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds)
        self.now -= 1
        return self.value


@pytest.mark.parametrize(("get", "calls"), [(five_lines, 3), (ours, 1)])
@pytest.mark.parametrize("value", [None, 0, "", []])
async def test_a_hit_that_looks_like_a_miss(pipelined: Redis, name: str, get: Get, calls: int, value: Any) -> None:
    """A falsy value is loaded each time by the five lines, and once here."""
    load = Counted(value)
    for _ in range(3):
        assert await get(pipelined, name, load) == value
    assert load.calls == calls


@pytest.mark.parametrize(("get", "calls"), [(five_lines, 100), (ours, 1)])
async def test_a_thousand_loads(pipelined: Redis, name: str, get: Get, calls: int) -> None:
    """All who miss at one time load in the five lines, and one of them does here."""
    load = Counted("value", 0.02)
    await asyncio.gather(*(get(pipelined, name, load) for _ in range(100)))
    assert load.calls == calls


@pytest.mark.parametrize(("get", "at_one_time"), [(ten_lines, 2), (ours, 1)])
async def test_a_lock_deleted_by_a_stranger(url: str, name: str, get: Get, at_one_time: int) -> None:
    """A load that takes longer than the lock lives has company in the ten lines, and none here."""
    load = Counted("value", 0.4)
    async with connect(url) as one, connect(url) as two:
        await asyncio.gather(*(get(redis, name, load) for redis in (one, two)))
    assert load.most == at_one_time


@pytest.mark.parametrize(("get", "kept"), [(five_lines, "old"), (ours, "new")])
async def test_an_old_value_over_a_new_one(pipelined: Redis, name: str, get: Get, kept: str) -> None:
    """A load that read before a write and ends after it leaves the old value in the five lines, and not here."""
    read, go, database = asyncio.Event(), asyncio.Event(), "old"

    async def load() -> str:
        value = database
        read.set()
        await go.wait()
        return value

    loading = asyncio.create_task(get(pipelined, name, load))
    await read.wait()
    database = "new"
    await pipelined.delete(name)
    await Cache[Any](pipelined, name, ttl=60).delete("key")
    go.set()
    await loading
    assert await get(pipelined, name, load) == kept
