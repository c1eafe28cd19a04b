"""Stale values: who gets them, who loads behind them, and how a loader in trouble is spared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading
from aioredis_patterns.events import CacheLoaded, CacheRequested
from tests.caches.paused import Paused
from tests.support.waiting import eventually


async def stale_cache(redis: Redis, name: str, *, on_event: Any = None, **loading: Any) -> Cache[Any]:
    """A cache that holds "old", stale, under "key"."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=Loading(**loading), on_event=on_event)
    await cache.set("key", "old", ttl=0.001)
    async with asyncio.timeout(5):
        while await cache.get("key") is not None:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.001)
    return cache


async def landed(cache: Cache[Any]) -> None:
    await eventually(lambda: not len(cache._flights))


async def test_stale_at_once_fresh_behind(redis: Redis, name: str) -> None:
    """Whoever asks for a stale value gets it at once, while one load runs behind it for all."""
    events: list[Any] = []
    cache = await stale_cache(redis, name, on_event=events.append)
    events.clear()
    loading = Paused()
    assert await asyncio.gather(*(cache.get_or_load("key", loading) for _ in range(20))) == ["old"] * 20
    behind = cache._flights.latest("key")
    assert [await cache.get_or_load("key", loading) for _ in range(5)] == ["old"] * 5
    assert cache._flights.latest("key") is behind
    await loading.started.wait()
    loading.go.set()
    await landed(cache)
    assert await cache.get("key") == "loaded"
    assert loading.calls == 1
    assert {event.outcome for event in events if isinstance(event, CacheRequested)} == {"stale", "hit"}


async def test_one_load_behind_for_two_clients(redis: Redis, other: Redis, name: str) -> None:
    """Of two clients that give the stale value one loads behind it."""
    cache = await stale_cache(redis, name)
    elsewhere = Cache(other, name, ttl=60, stale_ttl=600)
    loading = Paused()
    assert await cache.get_or_load("key", loading) == "old"
    await loading.started.wait()
    assert await elsewhere.get_or_load("key", _must_not_run) == "old"
    loading.go.set()
    await landed(cache)
    await landed(elsewhere)
    assert await elsewhere.get_or_load("key", _must_not_run) == "loaded"


async def test_patience(redis: Redis, name: str) -> None:
    """With patience a caller waits so long for the fresh value, then takes the stale one; the late value is stored."""
    cache = await stale_cache(redis, name, patience=0.03)
    loading = Paused()
    assert await cache.get_or_load("key", loading) == "old"
    await loading.started.wait()
    waiter = asyncio.create_task(cache.get_or_load("key", loading))
    loading.go.set()
    assert await waiter == "loaded"
    assert await cache.get("key") == "loaded"
    assert (loading.calls, loading.cancelled) == (1, 0)


@pytest.mark.parametrize("patience", [0, 5, None])
async def test_a_failed_load_gives_the_stale_value(redis: Redis, name: str, patience: float | None) -> None:
    """When the loader raises, the stale value stands in, and nobody calls the loader again before the pause is over."""
    events: list[Any] = []
    cache = await stale_cache(redis, name, on_event=events.append, patience=patience, pause=60)
    assert await cache.get_or_load("key", _broken) == "old"
    await landed(cache)
    assert await cache.get_or_load("key", _must_not_run) == "old"
    assert [event.outcome for event in events if isinstance(event, CacheLoaded)] == ["failed"]
    assert await redis.pttl(f"arp:{{{name}|0}}:value:key") > 500_000


async def test_after_the_pause(redis: Redis, name: str) -> None:
    """After the pause the loader is called again."""
    cache = await stale_cache(redis, name, patience=None, pause=0.01)
    assert await cache.get_or_load("key", _broken) == "old"
    async with asyncio.timeout(5):
        while await cache.get_or_load("key", lambda: "new") != "new":
            pass


@pytest.mark.parametrize("patience", [0, None])
async def test_expired_by_hand(redis: Redis, name: str, patience: float | None) -> None:
    """An expired value is waited for, whatever the patience; it stands in only when the load fails."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=Loading(patience=patience, pause=60))
    for number, (loader, expected) in enumerate([(lambda: "new", "new"), (_broken, "old")]):
        await cache.set(number, "old")
        await cache.expire(number)
        assert await cache.get(number) is None
        assert await cache.get_or_load(number, loader) == expected


async def test_expired_by_hand_and_still_so(redis: Redis, name: str) -> None:
    """An expired value whose load failed is waited for again, where there is no pause."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=Loading(pause=0))
    await cache.set("key", "old")
    await cache.expire("key")
    assert await cache.get_or_load("key", _broken) == "old"
    assert await cache.get_or_load("key", lambda: "new") == "new"


async def test_an_early_load_that_fails(redis: Redis, name: str) -> None:
    """A load before its time that fails takes nothing from the time of the value."""
    drawn = 0.0
    loading = Loading(early=100, pause=0.1, chance=lambda: drawn)
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=loading)
    key = f"arp:{{{name}|0}}:value:key"

    async def load() -> str:
        await asyncio.sleep(0.05)
        return "old"

    await cache.get_or_load("key", load)
    entry = await redis.getrange(key, 0, 67)
    drawn = 1 - 2**-53
    assert await cache.get_or_load("key", _broken) == "old"
    await landed(cache)
    assert await redis.getrange(key, 0, 67) == entry


async def test_deleted_is_not_stale(redis: Redis, name: str) -> None:
    """A deleted value stands in for nothing."""
    cache = await stale_cache(redis, name)
    await cache.delete("key")
    with pytest.raises(LookupError):
        await cache.get_or_load("key", _broken)


async def test_a_stale_value_that_does_not_decode(redis: Redis, name: str) -> None:
    """A stale value of another type stands in for nothing either."""
    await stale_cache(redis, name)
    cache = Cache(redis, name, ttl=60, stale_ttl=600, type=list[int])
    assert await cache.get_or_load("key", lambda: [1]) == [1]
    assert await cache.get("key") == [1]


async def test_a_cancelled_caller_does_not_end_the_load_behind(redis: Redis, name: str) -> None:
    """A load behind a stale value goes on when the callers that waited for it are cancelled."""
    cache = await stale_cache(redis, name, patience=None)
    loading = Paused()
    waiter = asyncio.create_task(cache.get_or_load("key", loading))
    await loading.started.wait()
    waiter.cancel()
    await asyncio.wait([waiter])
    loading.go.set()
    await landed(cache)
    assert await cache.get("key") == "loaded"


async def test_early(redis: Redis, name: str) -> None:
    """A value about to expire is loaded anew behind a hit, when the number drawn says so, and by one hit."""
    drawn = 0.0
    cache = Cache(redis, name, ttl=60, loading=Loading(early=1, chance=lambda: drawn))

    async def load() -> str:
        await asyncio.sleep(0.005)
        return "old"

    await cache.get_or_load("key", load)
    assert await cache.get_or_load("key", _must_not_run) == "old"
    drawn = 1 - 2**-53  # the largest there is
    key = f"arp:{{{name}|0}}:value:key"
    assert await cache.get_or_load("key", _must_not_run) == "old"  # 37 times 5 ms are far from 60 s
    await redis.setrange(key, 38, await redis.getrange(key, 22, 37))  # as if it expired as soon as it was created
    drawn = 0.0
    assert await cache.get_or_load("key", _must_not_run) == "old"
    drawn = 0.5
    loading = Paused()
    assert await asyncio.gather(*(cache.get_or_load("key", loading) for _ in range(20))) == ["old"] * 20
    await loading.started.wait()
    loading.go.set()
    await landed(cache)
    assert await cache.get("key") == "loaded"
    assert loading.calls == 1


async def test_jitter(redis: Redis, name: str) -> None:
    """With jitter a ttl is shortened by a part drawn at random."""
    for drawn, expected in ((0.0, 60_000), (0.5, 45_000), (0.999, 30_030)):
        cache = Cache(redis, name, ttl=60, jitter=0.5, loading=Loading(chance=lambda drawn=drawn: drawn))
        await cache.set("key", 1)
        assert expected - 2_000 < await redis.pttl(f"arp:{{{name}|0}}:value:key") <= expected


async def _broken() -> None:
    raise LookupError("the database is away")


async def _must_not_run() -> None:
    raise AssertionError("this must not be loaded")
