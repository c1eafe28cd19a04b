"""Outages: a cache that is told to stay open goes on without Redis, within its budget."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from aioredis_patterns.caches import Cache, NearCache
from aioredis_patterns.client.connect import connect
from aioredis_patterns.embedded import EmbeddedServer
from tests.support.waiting import eventually, lag_of_the_loop

BUDGET = 0.05
MISSING = object()


class Loader:
    """Counts its calls, and holds them while its gate is shut."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: Any) -> Any:
        self.calls.append(key)
        await self.gate.wait()
        await asyncio.sleep(0.01)
        return {each: each for each in key} if isinstance(key, list) else key


@pytest.mark.parametrize("outage", ["killed", "paused"])
@pytest.mark.parametrize("near", [None, NearCache(check=0.1)])
async def test_an_open_cache_goes_on(own_server: EmbeddedServer, name: str, outage: str, near: Any) -> None:
    """Without Redis each process loads once for all who ask at one time, and every caller gets a value in time."""
    load = Loader()
    async with connect(own_server.url) as redis:
        cache = Cache(redis, name, ttl=60, on_error="open", budget=BUDGET, near=near)
        await cache.set("there", "value")
        await own_server.kill() if outage == "killed" else own_server.pause()
        async with lag_of_the_loop() as lag:
            start = time.perf_counter()
            load.gate.clear()
            asking = asyncio.gather(*(cache.get_or_load("key", load) for _ in range(50)))
            await asyncio.sleep(2 * BUDGET)  # which ends after the budget of the last of them
            load.gate.set()
            assert await asking == ["key"] * 50
            took = time.perf_counter() - start
        assert load.calls == ["key"]
        assert took < 2 * BUDGET + 0.01 + 0.1 + lag.worst
        assert await cache.get("there", MISSING) is MISSING
        assert await cache.get_or_load_many(["a", "b"], load) == {"a": "a", "b": "b"}
        assert load.calls == ["key", ["a", "b"]]
        if outage == "paused":
            own_server.resume()


@pytest.mark.parametrize("near", [None, NearCache()])
async def test_a_refusal_is_no_outage(redis: Redis, name: str, near: Any) -> None:
    """What the server answers is told, though it be an error: an open cache does without its silence only."""
    cache = Cache(redis, name, ttl=60, on_error="open", budget=10, near=near)
    await cache.set("key", 1, tags=["tag"])
    await cache.invalidate("other")
    await redis.delete(f"arp:{{{name}|0}}:tags")
    await redis.set(f"arp:{{{name}|0}}:tags", "no hash", ex=60)
    with pytest.raises(ResponseError):
        await cache.get("key")


async def test_who_failed_often_is_not_asked(own_server: EmbeddedServer, name: str) -> None:
    """After some calls without an answer nobody waits for Redis, and when it is back it is asked again."""
    load = Loader()
    async with connect(own_server.url) as redis:
        cache = Cache(redis, name, ttl=60, on_error="open", budget=BUDGET)
        await cache.set("there", "value")
        own_server.pause()
        for number in range(5):
            await cache.get_or_load(number, load)
        async with lag_of_the_loop() as lag:
            start = time.perf_counter()
            for number in range(5):
                await cache.get_or_load(number, load)
            took = time.perf_counter() - start
        assert took < 5 * 0.01 + 2 * BUDGET + lag.worst * 5
        own_server.resume()
        await eventually(lambda: is_there(cache))


async def is_there(cache: Cache[Any]) -> bool:
    return bool(await cache.get("there") == "value")


async def test_a_write_says_that_it_failed(own_server: EmbeddedServer, name: str) -> None:
    """A write that did not reach Redis raises, as the old value may still be there."""
    async with connect(own_server.url, deadline=1) as redis:
        cache = Cache(redis, name, ttl=60, on_error="open")
        await redis.ping()
        await own_server.kill()
        for call in (cache.set("key", 1), cache.delete("key"), cache.invalidate("tag")):
            with pytest.raises(RedisError):
                await call


async def test_redis_dies_while_another_loads(own_server: EmbeddedServer, name: str) -> None:
    """Who waits for another's load when Redis dies loads for himself."""
    async with connect(own_server.url) as one, connect(own_server.url) as two:
        started = asyncio.Event()

        async def never() -> None:
            started.set()
            await asyncio.Event().wait()

        first = asyncio.create_task(Cache(one, name, ttl=60).get_or_load("key", never))
        await started.wait()
        cache = Cache(two, name, ttl=60, on_error="open", budget=1)
        waiting = asyncio.create_task(cache.get_or_load("key", lambda: "loaded"))
        await eventually(lambda: listens(one, f"arp:{{{name}|0}}:loaded:key"))
        await own_server.kill()
        assert await waiting == "loaded"
        first.cancel()


async def listens(redis: Redis, channel: str) -> bool:
    return bool((await redis.pubsub_numsub(channel))[0][1])


async def test_what_a_loader_raises_is_no_outage(redis: Redis, name: str) -> None:
    """An error of the loader's own reaches its caller, and the loader is called once."""
    calls = 0

    def load() -> None:
        nonlocal calls
        calls += 1
        raise TimeoutError("the database is slow")

    with pytest.raises(TimeoutError, match="slow"):
        await Cache(redis, name, ttl=60, on_error="open").get_or_load("key", load)
    assert calls == 1


def test_on_error_is_checked(name: str) -> None:
    """There is no other way to go on."""
    with pytest.raises(ValueError, match="on_error"):
        Cache(Redis(), name, ttl=60, on_error="closed")  # type: ignore[call-overload]
