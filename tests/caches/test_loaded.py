"""What a loader may say besides a value, and what is kept when there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import NOT_MODIFIED, Cache, Loaded, Loading, NearCache, Stale
from aioredis_patterns.errors import LoadFailedError
from tests.support.waiting import eventually

MISSING = object()


async def test_a_loader_gives_a_ttl_and_tags(redis: Redis, name: str) -> None:
    """A value lives as long as its loader said, and goes with the tags that it named and those of the call."""
    cache = Cache(redis, name, ttl=60)
    loaded = Loaded(value=1, ttl=5, tags=["named"])
    assert await cache.get_or_load("key", lambda: loaded, tags=["called"]) == 1
    assert 0 < await redis.pttl(f"arp:{{{name}|0}}:value:key") <= 5000
    assert (await cache.explain("key")).tags == ("called", "named")
    await cache.invalidate("named")
    assert await cache.get("key", MISSING) is MISSING
    await cache.get_or_load("key", lambda: loaded, tags=["called"])
    await cache.invalidate("called")
    assert await cache.get("key", MISSING) is MISSING


async def test_a_loader_says_not_to_store(redis: Redis, name: str) -> None:
    """A value that is not to be stored reaches all who wait for it, and nobody after them."""
    cache = Cache(redis, name, ttl=60)
    calls = 0

    async def load() -> Loaded[int]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.05)
        return Loaded(value=calls, store=False)

    assert await asyncio.gather(*(cache.get_or_load("key", load) for _ in range(10))) == [1] * 10
    assert await cache.get("key", MISSING) is MISSING
    assert await cache.get_or_load("key", load) == 2


async def test_none_has_a_ttl_of_its_own(redis: Redis, name: str) -> None:
    """That there is nothing is kept as long as negative_ttl says, other values as long as ttl does."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, negative_ttl=2)
    await cache.get_or_load("none", lambda: None)
    await cache.get_or_load("loaded none", lambda: Loaded(value=None))
    await cache.get_or_load("some", lambda: 1)
    await cache.get_or_load_many(["a", "b"], lambda keys: {"a": 1})
    left = {key: await redis.pttl(f"arp:{{{name}|0}}:value:{key}") for key in ("none", "loaded none", "some", "a", "b")}
    assert all(0 < left[key] <= 2000 for key in ("none", "loaded none", "b"))
    assert all(left[key] > 500_000 for key in ("some", "a"))
    assert await cache.get("none", MISSING) is None


async def test_a_conditional_load(redis: Redis, name: str) -> None:
    """A loader sees the stale value and its etag, and NOT_MODIFIED makes the value fresh again as it was."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=Loading(patience=None))
    seen: list[Any] = []

    async def load(key: str, stale: Stale[Any] | None) -> Any:
        seen.append(stale)
        return NOT_MODIFIED if stale and stale.etag == '"v|1}%"' else Loaded(value=[key], etag='"v|1}%"', tags=["t"])

    assert await cache.get_or_load("key", load) == ["key"]
    for _ in range(2):
        await cache.expire("key")
        assert await cache.get_or_load("key", load) == ["key"]
        assert await cache.get("key") == ["key"]
    assert seen == [None, Stale(["key"], '"v|1}%"'), Stale(["key"], '"v|1}%"')]
    assert (await cache.explain("key")).etag == '"v|1}%"'
    await cache.invalidate("t")
    assert await cache.get("key", MISSING) is MISSING


async def test_not_modified_needs_a_value(redis: Redis, name: str) -> None:
    """A loader that was given no value cannot say that it has not changed."""
    with pytest.raises(TypeError, match="NOT_MODIFIED"):
        await Cache(redis, name, ttl=60).get_or_load("key", lambda: NOT_MODIFIED)


@pytest.mark.parametrize("near", [None, NearCache()])
async def test_failures_are_kept_when_told_to(redis: Redis, other: Redis, name: str, near: NearCache | None) -> None:
    """With error_ttl a failure is told to all who ask in that time, in other processes too, without a load."""
    loading = Loading(error_ttl=60)
    cache, elsewhere = Cache(redis, name, ttl=60, loading=loading, near=near), Cache(other, name, ttl=60)
    with pytest.raises(ZeroDivisionError):
        await cache.get_or_load("key", lambda: 1 / 0)
    for each in (cache, elsewhere):
        with pytest.raises(LoadFailedError, match="ZeroDivisionError: division by zero"):
            await each.get_or_load("key", _must_not_run)
        assert await each.get("key", MISSING) is MISSING
    assert (await elsewhere.explain("key")).state == "failed"
    assert 0 < await redis.pttl(f"arp:{{{name}|0}}:value:key") <= 60_000
    await redis.pexpire(f"arp:{{{name}|0}}:value:key", 1)
    await eventually(lambda: loads_again(elsewhere))


async def loads_again(cache: Cache[Any]) -> bool:
    try:
        return bool(await cache.get_or_load("key", lambda: "loaded") == "loaded")
    except LoadFailedError:
        return False


async def test_a_failure_replaces_no_stale_value(redis: Redis, name: str) -> None:
    """Where there is a stale value it stands in for a failure, and is not replaced by it."""
    loading = Loading(error_ttl=60, patience=None, pause=0)
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=loading)
    await cache.set("key", "old")
    await cache.expire("key")
    assert await cache.get_or_load("key", lambda: 1 / 0) == "old"
    assert await cache.get_or_load("key", lambda: "new") == "new"


async def test_explaining(redis: Redis, name: str) -> None:
    """It is told whether a value is fresh, stale, invalidated, broken or not there, and who is at work on it."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, near=NearCache())
    redis_key = f"arp:{{{name}|0}}:value:key"
    told = await cache.explain("key")
    assert (told.state, told.age, told.fresh_for, told.kept_for, told.bytes) == ("none", 0, 0, 0, 0)
    await cache.get_or_load("key", lambda: "value", tags=["team:7"])
    told = await cache.explain("key")
    assert (told.state, told.redis_key, told.tags, told.etag) == ("fresh", redis_key, ("team:7",), None)
    assert told.near is False
    assert 0 <= told.age < 5
    assert 55 < told.fresh_for <= 60
    assert 595 < told.kept_for <= 600
    assert told.bytes == await redis.strlen(redis_key)
    await cache.get("key")
    assert (await cache.explain("key")).near is True
    await cache.expire("key")
    told = await cache.explain("key")
    assert (told.state, told.fresh_for) == ("stale", 0)
    await cache.set("key", "value")
    await cache.clear()
    assert (await cache.explain("key")).state == "invalidated"
    await redis.set(redis_key, "x", ex=60)
    told = await cache.explain("key")
    assert (told.state, told.age, told.fresh_for) == ("broken", 0, 0)


async def test_explaining_who_is_at_work(redis: Redis, name: str) -> None:
    """While a value is loaded it is told that it is."""
    cache = Cache(redis, name, ttl=60)

    async def load() -> bool:
        return (await cache.explain("key")).loading

    assert await cache.get_or_load("key", load) is True
    assert (await cache.explain("key")).loading is False


def _must_not_run() -> None:
    raise AssertionError("the failure is kept")
