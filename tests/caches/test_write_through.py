"""WriteThrough: after a write the cache has the new value or none, whatever crossed it or cut it off."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.caches import DELETED, Cache, WriteThrough
from aioredis_patterns.client.connect import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import CodecError
from tests.caches.paused import Paused, leads_and_waits, renewed
from tests.support.faults import Fault, FaultProxy
from tests.support.processes import worker
from tests.support.waiting import connected, eventually

MISSING = object()
KEYS = 5


class Store:
    """A table whose writes wait for the test to say go, unless it said so before."""

    def __init__(self, *, go: bool = True) -> None:
        self.rows: dict[Any, Any] = {}
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.error: Exception | None = None
        if go:
            self.go.set()

    async def write(self, key: Any, value: Any) -> None:
        self.started.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if value is DELETED:
            self.rows.pop(key, None)
        else:
            self.rows[key] = value


async def test_a_write_reaches_both(redis: Redis, name: str) -> None:
    """What was set is in the store and in the cache, what was deleted in neither."""
    cache, store = Cache(redis, name, ttl=60), Store()
    users = WriteThrough(cache, store.write)
    assert await users.set(42, None, tags=["team"]) is True
    assert store.rows == {42: None}
    assert await cache.get(42, MISSING) is None
    await users.delete(42)
    assert store.rows == {}
    assert await cache.get(42, MISSING) is MISSING


async def test_a_write_keeps_its_tags_and_its_ttl(redis: Redis, name: str) -> None:
    """A value that was written is invalidated by its tags, and expires by its own ttl."""
    cache = Cache(redis, name, ttl=60)
    users = WriteThrough(cache, Store().write)
    await users.set("key", 1, ttl=5, tags=["team"])
    assert 0 < await redis.pttl(f"arp:{{{name}|0}}:value:key") <= 5000
    await cache.invalidate("team")
    assert await cache.get("key", MISSING) is MISSING


async def test_nothing_old_is_served_meanwhile(redis: Redis, name: str) -> None:
    """While the store is being written nobody gets the old value from the cache."""
    cache, store = Cache(redis, name, ttl=60), Store(go=False)
    await cache.set("key", "old")
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "new"))
    await store.started.wait()
    assert await cache.get("key", MISSING) is MISSING
    store.go.set()
    await writing
    assert await cache.get("key") == "new"


@pytest.mark.parametrize("began", ["before", "meanwhile"])
async def test_a_load_beside_a_write_is_not_stored(redis: Redis, other: Redis, name: str, began: str) -> None:
    """A load that read the store before the write or during it reaches its caller and is never stored."""
    cache, elsewhere, store, loading = Cache(redis, name, ttl=60), Cache(other, name, ttl=60), Store(go=False), Paused()
    reading = asyncio.create_task(elsewhere.get_or_load("key", loading)) if began == "before" else None
    if reading is not None:
        await loading.started.wait()
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "new"))
    await store.started.wait()
    reading = reading or asyncio.create_task(elsewhere.get_or_load("key", loading))
    await loading.started.wait()
    loading.go.set()
    assert await reading == "loaded"
    assert await cache.get("key", MISSING) is MISSING
    store.go.set()
    assert await writing is True
    assert await cache.get("key") == "new"


async def test_a_load_that_outlasts_a_write_is_not_stored(redis: Redis, other: Redis, name: str) -> None:
    """A load that began during a write and ends after it does not replace what was written."""
    cache, elsewhere, store, loading = Cache(redis, name, ttl=60), Cache(other, name, ttl=60), Store(go=False), Paused()
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "new"))
    await store.started.wait()
    reading = asyncio.create_task(elsewhere.get_or_load("key", loading))
    await loading.started.wait()
    store.go.set()
    await writing
    loading.go.set()
    assert await reading == "loaded"
    assert await cache.get("key") == "new"


@pytest.mark.parametrize("first_to_end", [0, 1])
async def test_writers_that_cross_leave_no_value(redis: Redis, other: Redis, name: str, first_to_end: int) -> None:
    """Of two writes of one key at one time neither is kept in the cache, whichever ends first; the next one is."""
    cache, stores = Cache(redis, name, ttl=60), (Store(go=False), Store(go=False))
    writing = []
    for client, store in zip((redis, other), stores, strict=True):
        writing.append(asyncio.create_task(WriteThrough(Cache(client, name, ttl=60), store.write).set("key", "new")))
        await store.started.wait()
    for number in (first_to_end, 1 - first_to_end):
        await cache.get_or_load("key", lambda: "nobody knows whose")
        stores[number].go.set()
        assert await writing[number] is False
        assert await cache.get("key", MISSING) is MISSING
    assert await cache.get_or_load("key", lambda: "loaded") == "loaded" == await cache.get("key")
    assert await WriteThrough(cache, Store().write).set("key", "last") is True
    assert await cache.get("key") == "last"


async def test_a_dead_writer_is_forgotten(redis: Redis, name: str) -> None:
    """A writer whose lease has ended, and whom others crossed, keeps no later write out of the cache."""
    cache, store, writers = Cache(redis, name, ttl=60), Store(go=False), f"arp:{{{name}|0}}:writers:key"
    await redis.hset(writers, mapping={"dead": "1", "+": "1"})  # type: ignore[misc]  # redis-py's types of both clients
    await redis.expire(writers, 60)
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "new"))
    await store.started.wait()
    assert await redis.hlen(writers) == 1  # type: ignore[misc]
    store.go.set()
    assert await writing is True
    assert await cache.get("key") == "new"


async def test_a_write_that_fails_leaves_no_value(redis: Redis, name: str) -> None:
    """An error of the store's reaches the caller, and the cache has neither the old value nor the new one."""
    cache, store = Cache(redis, name, ttl=60), Store()
    store.error = LookupError("no such table")
    await cache.set("key", "old")
    with pytest.raises(LookupError, match="no such table"):
        await WriteThrough(cache, store.write).set("key", "new")
    assert await cache.get("key", MISSING) is MISSING
    assert await cache.get_or_load("key", lambda: "loaded") == "loaded"
    assert await cache.get("key") == "loaded"


async def test_a_cancelled_write_leaves_nothing(redis: Redis, name: str) -> None:
    """A writer that is cancelled leaves no value and no token, so that the next load is stored."""
    cache, store = Cache(redis, name, ttl=60), Store(go=False)
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "new"))
    await store.started.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await redis.keys(f"arp:{{{name}|0}}:writers:*") == []
    await cache.get_or_load("key", lambda: "loaded")
    assert await cache.get("key") == "loaded"


async def test_a_long_write_keeps_its_lease(pipelined: Redis, name: str) -> None:
    """A writer that takes longer than its lease is a writer until it ends."""
    cache, store = Cache(pipelined, name, ttl=60), Store(go=False)
    writing = asyncio.create_task(WriteThrough(cache, store.write, lease=1).set("key", "new"))
    await store.started.wait()
    await renewed(lambda: pipelined.pttl(f"arp:{{{name}|0}}:writers:key"))
    await cache.get_or_load("key", lambda: "old")
    assert await cache.get("key", MISSING) is MISSING
    store.go.set()
    assert await writing is True


async def test_a_writer_that_was_forgotten_stores_nothing(redis: Redis, other: Redis, name: str) -> None:
    """A writer whose lease was lost takes out what was stored meanwhile, and puts nothing in."""
    cache, store = Cache(redis, name, ttl=60), Store(go=False)
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "new"))
    await store.started.wait()
    await redis.delete(f"arp:{{{name}|0}}:writers:key")
    await Cache(other, name, ttl=60).get_or_load("key", lambda: "old")
    store.go.set()
    assert await writing is False
    assert await cache.get("key", MISSING) is MISSING


@pytest.mark.parametrize("woken_by", ["begin", "end"])
async def test_who_waits_is_woken(redis: Redis, other: Redis, name: str, woken_by: str) -> None:
    """Who waits for a load that a write has overtaken goes on as soon as the write begins, or ends."""
    cache, store = Cache(redis, name, ttl=60), Store(go=False)
    if woken_by == "begin":
        paused, first, second = await leads_and_waits(redis, other, name)
    writing = asyncio.create_task(WriteThrough(cache, store.write).set("key", "written"))
    await store.started.wait()
    if woken_by == "end":
        paused, first, second = await leads_and_waits(redis, other, name)
        store.go.set()
    async with asyncio.timeout(20):
        assert await second == ("newer" if woken_by == "begin" else "written")
    store.go.set()
    paused.go.set()
    assert [await first, await writing] == ["loaded", True]


async def test_what_does_not_encode_is_not_written(redis: Redis, name: str) -> None:
    """A value that the cache cannot hold is refused before the store is touched."""
    store = Store()
    with pytest.raises(CodecError):
        await WriteThrough(Cache(redis, name, ttl=60), store.write).set("key", object())
    assert store.rows == {}


async def test_every_key_expires(redis: Redis, name: str) -> None:
    """What a writer puts beside a value lives as long as its lease, and is gone when it has ended."""
    store = Store(go=False)
    writing = asyncio.create_task(WriteThrough(Cache(redis, name, ttl=60), store.write, lease=3).set("key", "new"))
    await store.started.wait()
    assert 0 < await redis.pttl(f"arp:{{{name}|0}}:writers:key") <= 3000
    store.go.set()
    await writing
    assert not await redis.exists(f"arp:{{{name}|0}}:writers:key")


async def test_a_short_lease_ends_no_longer_one(redis: Redis, other: Redis, name: str) -> None:
    """A writer is remembered for its own lease, whatever the leases of those who cross it."""
    stores, writers = (Store(go=False), Store(go=False)), f"arp:{{{name}|0}}:writers:key"
    writing = []
    for client, store, lease in zip((redis, other), stores, (60, 0.15), strict=True):
        through = WriteThrough(Cache(client, name, ttl=60), store.write, lease=lease)
        writing.append(asyncio.create_task(through.set("key", "new")))
        await store.started.wait()
    assert await redis.pttl(writers) > 50_000
    leases = await redis.hvals(writers)
    await eventually(lambda: others_than(leases, redis, writers))
    assert await redis.pttl(writers) > 50_000
    for store in stores:
        store.go.set()
    await asyncio.gather(*writing)


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "half_reply"])
@pytest.mark.parametrize("strike", [1, 2])
async def test_a_lost_reply_does_no_harm(server: EmbeddedServer, name: str, kind: Any, strike: int) -> None:
    """Whichever of the two calls is cut off, before or after it was executed, the write ends as if it had not been."""
    store = Store()
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as client:
        cache = Cache(client, name, ttl=60)
        users = WriteThrough(cache, store.write)
        await users.set("key", "first")
        seen = 0

        def nth(command: list[bytes]) -> bool:
            nonlocal seen
            seen += command[0].upper() in (b"EVALSHA", b"EVAL") and b"key" in b"".join(command)
            return seen == strike

        proxy.add(Fault(kind, nth))
        await users.set("key", "new")
        assert store.rows == {"key": "new"}
        assert await cache.get("key", "new") == "new"


async def test_no_redis_no_write(own_server: EmbeddedServer, name: str) -> None:
    """When the old value cannot be taken out of the cache the store is not written."""
    store = Store()
    async with connect(own_server.url, deadline=1) as client:
        await connected(client)
        await own_server.kill()
        with pytest.raises(RedisError):
            await WriteThrough(Cache(client, name, ttl=60), store.write).set("key", "new")
    assert store.rows == {}


async def test_redis_dies_during_a_write(own_server: EmbeddedServer, name: str) -> None:
    """A write whose value can no longer be put into the cache has happened all the same."""
    store = Store(go=False)
    async with connect(own_server.url, deadline=1) as client:
        writing = asyncio.create_task(WriteThrough(Cache(client, name, ttl=60), store.write).set("key", "new"))
        await store.started.wait()
        await own_server.kill()
        store.go.set()
        assert await writing is False
    assert store.rows == {"key": "new"}


async def test_eight_processes_and_a_database(pipelined: Redis, url: str, name: str, tmp_path: Path) -> None:
    """Eight processes write and read the same rows, two are killed in it, and the cache agrees with the table."""
    table = str(tmp_path / "users.db")
    async with aiosqlite.connect(table) as database:
        await database.execute("pragma journal_mode=wal")
        await database.execute("create table users (id integer primary key, visits integer)")
        await database.commit()
        async with AsyncExitStack() as processes:
            target = "tests.caches.writers:write_and_read"
            several = [worker(target, url, name, table, number, KEYS) for number in range(8)]
            running = [await processes.enter_async_context(each) for each in several]
            await asyncio.gather(*(each.line() for each in running))
            await pipelined.set(f"{name}:go", 1, ex=60)
            await asyncio.gather(*(each.line() for each in running[:2]))
            for each in running[:2]:
                each.kill()
            assert [await each.wait() for each in running[2:]] == [0] * 6
        cache = Cache(pipelined, name, ttl=60)
        rows = dict(await (await database.execute("select id, visits from users")).fetchall())
        assert len(rows) == KEYS
        for key, value in rows.items():
            assert await cache.get(key, value) == value
        await eventually(lambda: nobody_writes(pipelined, name))


async def others_than(leases: list[Any], redis: Redis, writers: str) -> bool:
    """Whether one of the leases was renewed."""
    return await redis.hvals(writers) != leases


async def nobody_writes(redis: Redis, name: str) -> bool:
    """Whether the leases of the killed have ended."""
    return not await redis.keys(f"arp:{{{name}|0}}:writers:*")
