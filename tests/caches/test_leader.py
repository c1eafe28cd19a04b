"""One load per key across processes, and the fence: what was invalidated during a load is not stored."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading
from aioredis_patterns.client.connect import connect
from aioredis_patterns.events import CacheLoaded
from tests.caches.paused import Paused, listening

ROOT = Path(__file__).parents[2]


async def test_one_load_for_two_clients(redis: Redis, other: Redis, name: str) -> None:
    """A client that misses while another loads waits for its value."""
    loading = Paused()
    first = asyncio.create_task(Cache(redis, name, ttl=60).get_or_load("key", loading))
    await loading.started.wait()
    second = asyncio.create_task(Cache(other, name, ttl=60).get_or_load("key", _must_not_run))
    await listening(redis, f"arp:{{{name}|0}}:loaded:key")
    loading.go.set()
    assert [await first, await second] == ["loaded", "loaded"]


async def test_another_stores_another_type(redis: Redis, other: Redis, name: str) -> None:
    """Who waited and gets a value that does not decode loads one of its own."""
    loading = Paused()
    first = asyncio.create_task(Cache(redis, name, ttl=60).get_or_load("key", loading))
    await loading.started.wait()
    cache = Cache(other, name, ttl=60, type=list[int])
    second = asyncio.create_task(cache.get_or_load("key", lambda: [1]))
    await listening(redis, f"arp:{{{name}|0}}:loaded:key")
    loading.go.set()
    assert [await first, await second] == ["loaded", [1]]
    assert await cache.get("key") == [1]


async def test_taking_over_after_an_error(redis: Redis, other: Redis, name: str) -> None:
    """When the leader's loader raises, a client that waits calls its own at once, long before the lease ends."""
    loading = Paused()
    loading.result = LookupError("broken here")
    first = asyncio.create_task(Cache(redis, name, ttl=60, loading=Loading(lease=600)).get_or_load("key", loading))
    await loading.started.wait()
    second = asyncio.create_task(
        Cache(other, name, ttl=60, loading=Loading(lease=600)).get_or_load("key", lambda: "fine there")
    )
    await listening(redis, f"arp:{{{name}|0}}:loaded:key")
    loading.go.set()
    with pytest.raises(LookupError):
        await first
    assert await second == "fine there"


async def test_taking_over_from_the_cancelled(redis: Redis, other: Redis, name: str) -> None:
    """When the leader's waiters are all cancelled, a client that waits takes over at once."""
    loading = Paused()
    first = asyncio.create_task(Cache(redis, name, ttl=60, loading=Loading(lease=600)).get_or_load("key", loading))
    await loading.started.wait()
    second = asyncio.create_task(
        Cache(other, name, ttl=60, loading=Loading(lease=600)).get_or_load("key", lambda: "taken over")
    )
    await listening(redis, f"arp:{{{name}|0}}:loaded:key")
    first.cancel()
    assert await second == "taken over"


async def test_the_lead_is_renewed(redis: Redis, other: Redis, name: str) -> None:
    """A load that takes longer than the lease stays the only one."""
    loading = Paused()
    first = asyncio.create_task(Cache(redis, name, ttl=60, loading=Loading(lease=0.5)).get_or_load("key", loading))
    await loading.started.wait()
    second = asyncio.create_task(Cache(other, name, ttl=60).get_or_load("key", _must_not_run))
    await asyncio.wait((first, second), timeout=1.6)
    loading.go.set()
    assert [await first, await second] == ["loaded", "loaded"]


async def test_a_lost_lead(redis: Redis, other: Redis, name: str) -> None:
    """A leader whose lease was lost and taken gives its callers what it loaded, and leaves the other's value alone."""
    events: list[Any] = []
    loading = Paused()
    first = asyncio.create_task(Cache(redis, name, ttl=60, on_event=events.append).get_or_load("key", loading))
    await loading.started.wait()
    await redis.delete(f"arp:{{{name}|0}}:lead:key")
    cache = Cache(other, name, ttl=60)
    assert await cache.get_or_load("key", lambda: "newer") == "newer"
    loading.go.set()
    assert await first == "loaded"
    assert await cache.get("key") == "newer"
    assert [event.outcome for event in events if isinstance(event, CacheLoaded)] == ["discarded"]


@pytest.mark.parametrize("invalidate", ["delete", "expire", "set"])
@pytest.mark.parametrize("before", [False, True])
async def test_the_fence(redis: Redis, other: Redis, name: str, invalidate: str, before: bool) -> None:
    """An invalidation that lands during a load is not undone by the load's write, whether there was a value or not."""
    cache, elsewhere = Cache(redis, name, ttl=60, stale_ttl=600), Cache(other, name, ttl=60, stale_ttl=600)
    if before:
        await cache.set("key", "first")
        await cache.expire("key")
    loading = Paused()
    caller = asyncio.create_task(cache.get_or_load("key", loading))
    await loading.started.wait()
    if invalidate == "set":
        await elsewhere.set("key", "newer")
    else:
        await getattr(elsewhere, invalidate)("key")
    loading.go.set()
    assert await caller == "loaded"
    assert await cache.get("key") == ("newer" if invalidate == "set" else None)


@pytest.mark.parametrize("invalidate", ["delete", "expire"])
async def test_a_later_call_gets_a_later_load(redis: Redis, other: Redis, name: str, invalidate: str) -> None:
    """A call that starts after an invalidation returned gets no load begun before, in this process or another."""
    cache, elsewhere = Cache(redis, name, ttl=60), Cache(other, name, ttl=60)
    old, new = Paused(), Paused()
    new.result = "newer"
    early = asyncio.create_task(cache.get_or_load("key", old))
    await old.started.wait()
    await getattr(elsewhere, invalidate)("key")
    late = [asyncio.create_task(cache.get_or_load("key", new)), asyncio.create_task(elsewhere.get_or_load("key", new))]
    await new.started.wait()
    old.go.set()
    assert await early == "loaded"
    new.go.set()
    assert await asyncio.gather(*late) == ["newer", "newer"]
    assert await cache.get("key") == "newer"
    assert new.calls == 1


async def test_races_of_loads_and_invalidations(redis: Redis, other: Redis, name: str) -> None:
    """Whatever the order of loads and deletes, a call never gets a value older than the last delete before it."""
    caches = [Cache(redis, name, ttl=60), Cache(other, name, ttl=60)]
    database = 0

    async def load() -> int:
        value = database
        await asyncio.sleep(0.001)
        return value

    async def read(cache: Cache[int]) -> None:
        for _ in range(150):
            oldest = database_invalidated
            assert await cache.get_or_load("key", load) >= oldest

    async def write() -> None:
        nonlocal database, database_invalidated
        for number in range(150):
            database += 1
            written = database
            await caches[number % 2].delete("key")
            database_invalidated = written

    database_invalidated = 0
    await asyncio.gather(write(), *(read(cache) for cache in caches for _ in range(5)))
    assert await caches[0].get_or_load("key", load) == database


async def test_no_value_from_another_in_time(redis: Redis, other: Redis, name: str) -> None:
    """Who waits for another's load gives up after load_timeout."""
    loading = Paused()
    first = asyncio.create_task(Cache(redis, name, ttl=60).get_or_load("key", loading))
    await loading.started.wait()
    with pytest.raises(TimeoutError, match="no value within"):
        await Cache(other, name, ttl=60, loading=Loading(timeout=0.1)).get_or_load("key", _must_not_run)
    loading.go.set()
    await first


async def test_redis_dies_during_a_load(own_server: Any, name: str) -> None:
    """A value that was loaded reaches its callers even when it can no longer be stored."""
    async with connect(own_server.url, deadline=0.3) as client:
        loading = Paused()
        caller = asyncio.create_task(Cache(client, name, ttl=60).get_or_load("key", loading))
        await loading.started.wait()
        await own_server.kill()
        loading.go.set()
        assert await caller == "loaded"


WORKER = """
import asyncio, sys
from aioredis_patterns.client.connect import connect
from aioredis_patterns.caches import Cache, Loading

async def main(url, name, waiters, seconds):
    async with connect(url) as redis:
        async def load():
            await redis.incr(name + ":loads")
            await asyncio.sleep(float(seconds))
            return "loaded"
        cache = Cache(redis, name, ttl=60, loading=Loading(lease=0.5))
        await redis.incr(name + ":ready")
        while not await redis.exists(name + ":go"):
            await asyncio.sleep(0.001)
        values = await asyncio.gather(*(cache.get_or_load("key", load) for _ in range(int(waiters))))
        assert values == ["loaded"] * int(waiters)

asyncio.run(main(*sys.argv[1:]))
"""


async def _worker(*args: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, *map(str, args), cwd=ROOT)


async def _reached(redis: Redis, counter: str, number: int) -> None:
    async with asyncio.timeout(20):
        while int(await redis.get(counter) or 0) < number:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.002)


async def test_four_processes_load_once(pipelined: Redis, url: str, name: str) -> None:
    """Of 4 processes with 100 waiters each one calls the loader, and all get the value."""
    workers = [await _worker(url, name, 100, 0.3) for _ in range(4)]
    await _reached(pipelined, f"{name}:ready", 4)
    await pipelined.set(f"{name}:go", 1)
    assert [await worker.wait() for worker in workers] == [0] * 4
    assert await pipelined.get(f"{name}:loads") == b"1"


async def test_taking_over_from_the_dead(pipelined: Redis, url: str, name: str) -> None:
    """When the process that loads is killed, another loads as soon as the lease has ended."""
    await pipelined.set(f"{name}:go", 1)
    worker = await _worker(url, name, 1, 600)
    await _reached(pipelined, f"{name}:loads", 1)
    cache = Cache(pipelined, name, ttl=60)
    waiter = asyncio.create_task(cache.get_or_load("key", lambda: "taken over"))
    await listening(pipelined, f"arp:{{{name}|0}}:loaded:key")
    worker.kill()
    await worker.wait()
    async with asyncio.timeout(1):
        assert await waiter == "taken over"


async def _must_not_run() -> None:
    raise AssertionError("another loads")
