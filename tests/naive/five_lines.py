"""What is found in guides and in code everywhere, word for word; the page `docs/naive.md` shows it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis


async def cached(redis: Redis, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
    if value := json.loads(await redis.get(key) or "null"):
        return value
    value = await load()
    await redis.set(key, json.dumps(value), ex=60)
    return value


async def cached_once(redis: Redis, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
    if (raw := await redis.get(key)) is not None:
        return json.loads(raw)
    if not await redis.set(f"{key}:lock", 1, nx=True, ex=10):
        await asyncio.sleep(0.1)
        return json.loads(await redis.get(key) or "null")
    value = await load()
    await redis.set(key, json.dumps(value), ex=60)
    await redis.delete(f"{key}:lock")
    return value


async def forget_all_of(redis: Redis, user: str) -> None:
    for key in await redis.keys(f"profile:{user}:*"):
        await redis.delete(key)


@asynccontextmanager
async def locked(redis: Redis, name: str, seconds: float) -> AsyncIterator[None]:
    while not await redis.set(name, 1, nx=True, px=int(seconds * 1000)):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        await redis.delete(name)


async def hit(redis: Redis, user: str, limit: int, period: int) -> bool:
    count = await redis.incr(user)
    if count == 1:
        await redis.expire(user, period)
    return bool(count <= limit)


async def hit_in_window(redis: Redis, user: str, limit: int, period: int) -> bool:
    key = f"{user}:{int(time.time()) // period}"
    count = await redis.incr(key)
    await redis.expire(key, period)
    return bool(count <= limit)


async def work(redis: Redis, name: str, handle: Callable[[Any], Awaitable[None]]) -> None:
    if raw := await redis.lpop(name):
        await handle(json.loads(raw))


async def change(redis: Redis, key: str, field: str, value: Any) -> None:
    settings = json.loads(await redis.get(key) or "{}")
    settings[field] = value
    await redis.set(key, json.dumps(settings))


async def is_friend(redis: Redis, user: str, other: str) -> bool:
    return other.encode() in await redis.smembers(f"friends:{user}")
