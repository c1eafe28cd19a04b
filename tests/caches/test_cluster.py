"""In a cluster a cache is spread over 64 shards, and does all that it does elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import DELETED, Cache, NearCache, WriteBehind, WriteThrough
from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedCluster, embedded_cluster
from tests.caches.paused import Paused
from tests.support.slots import Migration, another_than, owner_of
from tests.support.waiting import eventually


@pytest.fixture
def redis(cluster_client: Redis) -> Redis:
    """A client of each kind that users build, of a cluster."""
    return cluster_client


async def test_values_in_many_slots(redis: Redis, name: str) -> None:
    """Values spread over the nodes are set, got, loaded, removed and invalidated as anywhere."""
    cache = Cache(redis, name, ttl=60)
    values = {str(number): number for number in range(200)}
    for key, value in values.items():
        await cache.set(key, value, tags=["even"] if value % 2 == 0 else [])
    assert {key: await cache.get(key) for key in values} == values
    assert await cache.delete("1") is True
    await cache.invalidate("even")
    assert {value for key, value in values.items() if await cache.get(key) is not None} == set(range(3, 200, 2))
    await cache.clear()
    assert await cache.get("3") is None


async def test_many_keys(redis: Redis, name: str) -> None:
    """A batch over all shards is loaded once and then hits."""
    cache = Cache(redis, name, ttl=60)
    asked = []

    async def load(keys: list[int]) -> dict[int, int]:
        asked.append(keys)
        return {key: -key for key in keys}

    expected = {key: -key for key in range(300)}
    assert await cache.get_or_load_many(range(300), load) == expected
    assert await cache.get_or_load_many(range(300), load) == expected
    assert asked == [list(range(300))]


async def test_a_stampede(redis: Redis, cluster: EmbeddedCluster, name: str) -> None:
    """Two clients with many waiters each load once."""
    loading = Paused()
    async with connect(cluster.url) as other:
        caches = [Cache(redis, name, ttl=60), Cache(other, name, ttl=60)]
        waiters = [asyncio.create_task(cache.get_or_load("key", loading)) for cache in caches for _ in range(100)]
        await loading.started.wait()
        loading.go.set()
        assert await asyncio.gather(*waiters) == ["loaded"] * 200
    assert loading.calls == 1


async def test_writing_through(redis: Redis, name: str) -> None:
    """What was written is in the store and in the cache, on whichever node; what was deleted is in neither."""
    cache, rows = Cache(redis, name, ttl=60), dict[int, Any]()

    def write(key: int, value: Any) -> None:
        rows[key] = value

    users = WriteThrough(cache, write)
    for key in range(20):
        await users.set(key, -key)
    for key in range(0, 20, 2):
        await users.delete(key)
    assert rows == {key: -key if key % 2 else DELETED for key in range(20)}
    assert [await cache.get(key) for key in range(20)] == [-key if key % 2 else None for key in range(20)]


async def test_writing_behind(redis: Redis, name: str) -> None:
    """What was written is read at once, and the store is told of all of it, whichever nodes hold it."""
    rows = dict[int, Any]()
    async with WriteBehind(Cache(redis, name, ttl=60), rows.update, delay=60) as visits:
        for key in range(100):
            await visits.set(key, -key)
        await visits.delete(7)
        assert [await visits.get(key) for key in (3, 7)] == [-3, None]
        assert rows == {}
        assert await visits.flush() == 100
    assert rows == {key: DELETED if key == 7 else -key for key in range(100)}


async def test_near_copies(redis: Redis, cluster: EmbeddedCluster, name: str) -> None:
    """A copy of a value of any node is dropped soon after another client has changed the value."""
    near = Cache(redis, name, ttl=60, near=NearCache())
    async with connect(cluster.url) as client:
        other = Cache(client, name, ttl=60)
        for key in range(20):
            await other.set(key, "old")
            assert [await near.get(key) for _ in range(2)] == ["old", "old"]
        for key in range(20):
            await other.set(key, "new")

        async def all_new() -> bool:
            return [await near.get(key) for key in range(20)] == ["new"] * 20

        await eventually(all_new)


async def test_a_value_on_its_way_to_another_node_is_read(name: str) -> None:
    """A value whose slot moves is read as without copies, and no copy is kept that nobody would take away."""
    async with embedded_cluster(replicas=0) as moving, connect(moving.url) as client:
        near, other = Cache(client, name, ttl=60, near=NearCache()), Cache(client, name, ttl=60)
        await other.set("key", "old")
        [stored] = [key.decode() async for key in client.cluster_client.scan_iter(match=f"*{name}*:key")]
        migration = Migration(await owner_of(moving, stored), await another_than(moving, stored), stored)
        await migration.begin()
        await migration.move_keys()
        assert await near.get("key") == "old"
        await migration.end(moving)
        await other.set("key", "new")
        await eventually(lambda: has(near, "new"))


async def has(cache: Cache[str], value: str) -> bool:
    """Whether the cache gives this value."""
    return await cache.get("key") == value
