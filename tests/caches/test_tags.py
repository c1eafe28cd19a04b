"""Tags: one call invalidates whatever was stored with one of them, at no cost per value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading
from aioredis_patterns.events import CacheLoaded
from tests.caches.paused import Paused, leads_and_waits, listening


async def test_invalidate(redis: Redis, name: str) -> None:
    """Values with one of the tags are gone, the others stay."""
    cache = Cache(redis, name, ttl=60)
    await cache.set("both", 1, tags=["red", "big"])
    await cache.get_or_load("red", lambda: 1, tags=["red"])
    await cache.set("big", 1, tags=["big"])
    await cache.set("none", 1)
    await cache.invalidate("red")
    assert [await cache.get(key) for key in ("both", "red", "big", "none")] == [None, None, 1, 1]
    await cache.invalidate("unknown", "big")
    assert [await cache.get(key) for key in ("both", "red", "big", "none")] == [None, None, None, 1]
    await cache.set("both", 2, tags=["red", "big"])
    assert await cache.get("both") == 2
    await cache.invalidate("unknown")
    assert [await cache.get(key) for key in ("both", "red")] == [2, None]


async def test_tags_of_many_bytes(redis: Redis, name: str) -> None:
    """The last of very many tags invalidates like the first, with stale values kept or without."""
    tags = [f"{number}:{'x' * 400}" for number in range(5)]
    for stale_ttl in (None, 600):
        cache = Cache(redis, f"{name}:{stale_ttl}", ttl=60, stale_ttl=stale_ttl)
        for number in range(5):
            await cache.set(number, number, tags=tags)
            assert await cache.get(number) == number
            assert (await cache.explain(number)).tags == tuple(tags)
            await cache.invalidate(tags[number])
            assert await cache.get(number) is None


@pytest.mark.parametrize("stale_ttl", [None, 600])
async def test_clear(redis: Redis, name: str, stale_ttl: float | None) -> None:
    """After clear there is no value, not even a stale one, and the cache goes on."""
    cache = Cache(redis, name, ttl=60, stale_ttl=stale_ttl)
    for number in range(5):
        await cache.set(number, number, tags=["tag"] if number % 2 else [])
    await cache.invalidate("tag")
    assert await redis.pttl(f"arp:{{{name}|0}}:tags") > 0
    await cache.clear()
    assert [await cache.get(number) for number in range(5)] == [None] * 5
    assert not await redis.exists(f"arp:{{{name}|0}}:tags")
    assert await cache.get_or_load(1, lambda: "new", tags=["tag"]) == "new"
    assert await cache.get(1) == "new"


@pytest.mark.parametrize("what", ["one of its tags", "all", "another tag", "nothing"])
async def test_a_value_made_before_an_invalidation_is_refused(redis: Redis, name: str, what: str) -> None:
    """What is set since a stamp is stored unless its tags were invalidated after it."""
    cache = Cache(redis, name, ttl=60)
    stamp = await cache.stamp("key")
    if what == "all":
        await cache.clear()
    elif what != "nothing":
        await cache.invalidate("red" if what == "one of its tags" else "blue")
    stored = await cache.set("key", 1, tags=["red", "big"], since=stamp)
    assert stored is (what in {"another tag", "nothing"})
    assert await cache.get("key") == (1 if stored else None)
    assert await cache.set("key", 2, tags=["red"], since=await cache.stamp("key"))
    assert await cache.get("key") == 2


@pytest.mark.parametrize("since", ["", "none", "9" * 16, "-1", "nan", "inf"])
async def test_a_stamp_that_is_none_stores_nothing(redis: Redis, name: str, since: str) -> None:
    """What `stamp` never gave is of no time that is known."""
    cache = Cache(redis, name, ttl=60)
    await cache.stamp("key")
    assert not await cache.set("key", 1, since=since)
    assert await cache.get("key") is None


async def test_other_caches_stay(redis: Redis, name: str) -> None:
    """Tags and clear reach one cache alone."""
    cache, sibling = Cache(redis, name, ttl=60), Cache(redis, f"{name}:sibling", ttl=60)
    await sibling.set("key", 1, tags=["tag"])
    await cache.set("key", 1, tags=["tag"])
    await cache.invalidate("tag")
    await cache.clear()
    assert await sibling.get("key") == 1


async def test_nothing_to_invalidate(redis: Redis, name: str) -> None:
    """Invalidating in a cache that was never used writes nothing; without a tag it is refused."""
    cache = Cache(redis, name, ttl=60)
    await cache.clear()
    await cache.invalidate("tag")
    assert [key async for key in redis.scan_iter(f"*{name}*")] == []
    with pytest.raises(ValueError, match="clear"):
        await cache.invalidate()


@pytest.mark.parametrize("how", ["tag", "clear"])
async def test_the_fence(redis: Redis, other: Redis, name: str, how: str) -> None:
    """An invalidation by tag or of all that lands during a load is not undone by the load's write."""
    events: list[Any] = []
    cache, elsewhere = Cache(redis, name, ttl=60, on_event=events.append), Cache(other, name, ttl=60)
    loading = Paused()
    caller = asyncio.create_task(cache.get_or_load("key", loading, tags=["tag"]))
    await loading.started.wait()
    await (elsewhere.invalidate("tag") if how == "tag" else elsewhere.clear())
    loading.go.set()
    assert await caller == "loaded"
    assert await cache.get("key") is None
    assert [event.outcome for event in events if isinstance(event, CacheLoaded)] == ["discarded"]


async def test_a_load_of_before_wakes_who_waits(redis: Redis, other: Redis, name: str) -> None:
    """Who waits for a load that is not stored, as it began before an invalidation, takes over at its end."""
    paused, first, second = await leads_and_waits(redis, other, name, tags=["tag"])
    await Cache(redis, name, ttl=60).invalidate("tag")
    async with asyncio.timeout(20):
        paused.go.set()
        assert [await first, await second] == ["loaded", "newer"]


@pytest.mark.parametrize("how", ["tag", "clear"])
async def test_a_later_call_gets_a_later_load(redis: Redis, other: Redis, name: str, how: str) -> None:
    """A call that starts after an invalidation by tag or of all gets no load begun before."""
    cache, elsewhere = Cache(redis, name, ttl=60), Cache(other, name, ttl=60)
    old, new = Paused(), Paused()
    new.result = "newer"
    early = asyncio.create_task(cache.get_or_load("key", old, tags=["tag"]))
    await old.started.wait()
    await (elsewhere.invalidate("tag") if how == "tag" else elsewhere.clear())
    late = [asyncio.create_task(each.get_or_load("key", new, tags=["tag"])) for each in (cache, elsewhere)]
    await new.started.wait()
    old.go.set()
    assert await early == "loaded"
    new.go.set()
    assert await asyncio.gather(*late) == ["newer", "newer"]
    assert (new.calls, await cache.get("key")) == (1, "newer")


async def test_another_tag_does_not_disturb_a_load(redis: Redis, other: Redis, name: str) -> None:
    """Invalidating other tags neither ends a load nor has another begin."""
    cache, elsewhere = Cache(redis, name, ttl=60), Cache(other, name, ttl=60)
    loading = Paused()
    first = asyncio.create_task(cache.get_or_load("key", loading, tags=["tag"]))
    await loading.started.wait()
    await elsewhere.invalidate("another")
    second = asyncio.create_task(elsewhere.get_or_load("key", loading, tags=["tag"]))
    await listening(redis, f"arp:{{{name}|0}}:loaded:key")
    loading.go.set()
    assert [await first, await second] == ["loaded", "loaded"]
    assert (loading.calls, await cache.get("key")) == (1, "loaded")


@pytest.mark.parametrize("stale_ttl", [None, 600])
async def test_lost_stamps_mean_invalidated(redis: Redis, name: str, stale_ttl: float | None) -> None:
    """When the server lost the stamps of the tags, what depended on them counts as invalidated."""
    cache = Cache(redis, name, ttl=60, stale_ttl=stale_ttl)
    await cache.set("first", 1, tags=["a"])
    await cache.set("plain", 1)
    await cache.invalidate("b")
    await cache.set("second", 1, tags=["b"])
    assert await cache.get("first") == 1
    await redis.delete(f"arp:{{{name}|0}}:tags")
    assert [await cache.get(key) for key in ("first", "second", "plain")] == [None, 1, 1]
    await cache.invalidate("c")
    assert [await cache.get(key) for key in ("first", "second", "plain")] == [None, None, None]


@pytest.mark.parametrize("marks", ["", "x", "1" * 47, "1" * 100, "-" * 48, "nan" * 16, "0" * 16 + "x" * 32, "9" * 48])
async def test_marks_that_are_none(redis: Redis, name: str, marks: str) -> None:
    """What stands in the place of the marks and is none counts as lost: all is invalidated, and all goes on."""
    cache = Cache(redis, name, ttl=60)
    for change in (cache.clear, lambda: cache.invalidate("tag"), lambda: cache.set("other", 1)):
        await cache.set("key", "old", tags=["tag"])
        await redis.set(f"arp:{{{name}|0}}:marks", marks, ex=60)
        await change()
        assert await cache.get("key") is None
        assert await cache.get_or_load("key", lambda: "new", tags=["tag"]) == "new"
        assert await cache.get("key") == "new"
        await cache.invalidate("tag")
        assert await cache.get("key") is None


async def test_stamps_do_not_pile_up(redis: Redis, name: str) -> None:
    """Tags that no value can have any more are forgotten, however many were invalidated."""
    cache = Cache(redis, name, ttl=0.001, loading=Loading(timeout=0.001))
    await cache.set("key", 1)
    key = f"arp:{{{name}|0}}:marks"
    await redis.pexpire(key, 60_000)
    for number in range(500):
        await cache.invalidate(f"tag:{number}")
    assert await redis.hlen(f"arp:{{{name}|0}}:tags") < 250


async def test_stamps_outlive_the_values(redis: Redis, name: str) -> None:
    """What was invalidated is remembered for as long as the longest-lived value lives."""
    cache = Cache(redis, name, ttl=10)
    await cache.set("key", 1, tags=["a"])
    await cache.invalidate("a")
    await cache.set("long", 1, ttl=100_000, tags=["a"])
    await cache.set("short", 1)
    assert [await cache.get(each) for each in ("key", "long", "short")] == [None, 1, 1]
    for part in ("marks", "tags"):
        assert await redis.pttl(f"arp:{{{name}|0}}:{part}") > 100_000_000


async def test_races_of_loads_and_tags(redis: Redis, other: Redis, name: str) -> None:
    """Whatever the order of loads and invalidations, a call never gets a value older than the last one before it."""
    caches = [Cache(redis, name, ttl=60), Cache(other, name, ttl=60)]
    database = invalidated = 0

    async def load() -> int:
        value = database
        await asyncio.sleep(0.001)
        return value

    async def read(cache: Cache[int]) -> None:
        for number in range(100):
            oldest = invalidated
            assert await cache.get_or_load(number % 3, load, tags=["tag"]) >= oldest

    async def write() -> None:
        nonlocal database, invalidated
        for number in range(100):
            database += 1
            written = database
            await (caches[number % 2].invalidate("x", "tag") if number % 5 else caches[0].clear())
            invalidated = written

    await asyncio.gather(write(), *(read(cache) for cache in caches for _ in range(5)))
    assert [await caches[0].get_or_load(number, load, tags=["tag"]) for number in range(3)] == [database] * 3
