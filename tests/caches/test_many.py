"""Many keys at once: one trip to read them, one call of the loader for what is missing, one load for each key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading
from aioredis_patterns.client.connect import connect
from aioredis_patterns.embedded import EmbeddedServer
from tests.caches.paused import joined, listening
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually


class Squares:
    """A loader of many keys that waits for its test, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, keys: list[int]) -> dict[int, int]:
        self.asked.append(keys)
        self.started.set()
        await self.go.wait()
        return {key: key * key for key in keys}


async def test_missing_keys_are_loaded_together(redis: Redis, name: str) -> None:
    """The loader gets the missing keys once, in order and without repeats; the answer has the order of the input."""
    cache = Cache(redis, name, ttl=60)
    await cache.set(3, "cached")
    squares = Squares()
    squares.go.set()
    values = await cache.get_or_load_many([5, 3, 1, 5, 2], squares)
    assert list(values.items()) == [(5, 25), (3, "cached"), (1, 1), (2, 4)]
    assert squares.asked == [[5, 1, 2]]
    assert await cache.get_or_load_many([1, 2, 3, 5], squares) == {1: 1, 2: 4, 3: "cached", 5: 25}
    assert len(squares.asked) == 1


async def test_hits_call_no_loader(redis: Redis, name: str) -> None:
    """When all are cached, or none are asked for, nothing is loaded."""
    cache = Cache(redis, name, ttl=60)
    await cache.set("a", 1)
    assert await cache.get_or_load_many(["a"], _must_not_run) == {"a": 1}
    assert await cache.get_or_load_many([], _must_not_run) == {}


@pytest.mark.parametrize("kind", [None, int, bytes])
async def test_what_the_loader_leaves_out(redis: Redis, name: str, kind: Any) -> None:
    """A key that the loader leaves out is None, and cached as None, whatever the type of the cache."""
    cache = Cache(redis, name, ttl=60, type=kind)
    assert await cache.get_or_load_many([1, 2], lambda keys: {}) == {1: None, 2: None}
    assert await cache.get_or_load_many([1, 2], _must_not_run) == {1: None, 2: None}
    assert await cache.get(1, "default") is None


async def test_overlapping_batches(redis: Redis, other: Redis, name: str) -> None:
    """Batches that overlap, in one process or two, share each key's load."""
    cache, elsewhere = Cache(redis, name, ttl=60), Cache(other, name, ttl=60)
    first, second, third = Squares(), Squares(), Squares()
    callers = [asyncio.create_task(cache.get_or_load_many([1, 2, 3], first))]
    await first.started.wait()
    callers.append(asyncio.create_task(cache.get_or_load_many([2, 3, 4], second)))
    await second.started.wait()
    callers.append(asyncio.create_task(elsewhere.get_or_load_many([4, 5, 1], third)))
    await third.started.wait()
    single = asyncio.create_task(cache.get_or_load(5, _must_not_load))
    await listening(redis, f"arp:{{{name}|0}}:loaded:5")
    for squares in (third, second, first):
        squares.go.set()
    assert await asyncio.gather(*callers) == [{1: 1, 2: 4, 3: 9}, {2: 4, 3: 9, 4: 16}, {4: 16, 5: 25, 1: 1}]
    assert await single == 25
    assert (first.asked, second.asked, third.asked) == ([[1, 2, 3]], [[4]], [[5]])


async def test_a_loader_that_raises(redis: Redis, name: str) -> None:
    """What the loader raises reaches the caller once; what was cached stays and nothing else is."""
    cache = Cache(redis, name, ttl=60)
    await cache.set(1, "cached")
    calls = 0

    async def load(keys: list[int]) -> dict[int, int]:
        nonlocal calls
        calls += 1
        raise LookupError("the database is away")

    with pytest.raises(LookupError):
        await cache.get_or_load_many(range(20), load)
    assert calls == 1
    assert await cache.get(1) == "cached"
    await eventually(lambda: not len(cache._flights))
    squares = Squares()
    squares.go.set()
    assert await cache.get_or_load_many([2], squares) == {2: 4}


async def test_a_loader_that_brings_no_mapping(redis: Redis, name: str) -> None:
    """A loader that brings anything but a mapping is told so."""
    with pytest.raises(TypeError, match="mapping"):
        await Cache(redis, name, ttl=60).get_or_load_many([1], lambda keys: [1])  # type: ignore[arg-type, return-value]


async def test_taking_over_one_key(redis: Redis, other: Redis, name: str) -> None:
    """A key whose load failed elsewhere is loaded here after all, by a call of its own."""
    cache, elsewhere = Cache(redis, name, ttl=60), Cache(other, name, ttl=60)
    started, go = asyncio.Event(), asyncio.Event()

    async def broken() -> int:
        started.set()
        await go.wait()
        raise LookupError("broken there")

    there = asyncio.create_task(elsewhere.get_or_load(1, broken))
    await started.wait()
    squares = Squares()
    squares.go.set()
    here = asyncio.create_task(cache.get_or_load_many([1, 2], squares))
    await squares.started.wait()
    await listening(redis, f"arp:{{{name}|0}}:loaded:1")
    go.set()
    assert await here == {1: 1, 2: 4}
    with pytest.raises(LookupError):
        await there
    assert squares.asked == [[2], [1]]


async def test_cancellation_leaves_nothing(redis: Redis, name: str) -> None:
    """A cancelled batch cancels its loader and leaves neither leads nor loads."""
    cache = Cache(redis, name, ttl=60)
    squares = Squares()
    caller = asyncio.create_task(cache.get_or_load_many(range(50), squares))
    await squares.started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await eventually(lambda: not len(cache._flights))
    await eventually(lambda: not [task for task in asyncio.all_tasks() if "load" in task.get_name()])
    assert [key async for key in redis.scan_iter(f"*{name}*:lead:*")] == []


async def test_a_batch_outlives_one_of_its_callers(redis: Redis, name: str) -> None:
    """A batch goes on for the key that another caller waits for when the one who started it is cancelled."""
    cache = Cache(redis, name, ttl=60)
    squares = Squares()
    first = asyncio.create_task(cache.get_or_load_many([1, 2], squares))
    await squares.started.wait()
    second = asyncio.create_task(cache.get_or_load(2, _must_not_load))
    await joined(cache, "2", 2)
    first.cancel()
    await asyncio.wait([first])
    squares.go.set()
    assert await second == 4
    assert squares.asked == [[1, 2]]


async def test_five_thousand(pipelined: Redis, name: str) -> None:
    """Thousands of keys are one call of the loader, and then all hits."""
    cache = Cache(pipelined, name, ttl=60, loading=Loading(lease=30))  # longer than a machine stands still
    squares = Squares()
    squares.go.set()
    expected = {key: key * key for key in range(5000)}
    assert await cache.get_or_load_many(range(5000), squares) == expected
    assert await cache.get_or_load_many(range(5000), _must_not_run) == expected
    assert squares.asked == [list(range(5000))]


async def test_one_trip_for_a_hundred(pipelined: Redis, name: str) -> None:
    """A hundred cached keys are read by one command."""
    cache = Cache(pipelined, name, ttl=60)
    await cache.get_or_load_many(range(100), lambda keys: dict.fromkeys(keys, 1))
    before = (await pipelined.info("stats"))["total_commands_processed"]
    await cache.get_or_load_many(range(100), _must_not_run)
    after = (await pipelined.info("stats"))["total_commands_processed"]
    assert after - before == 2  # the read, and INFO itself


async def test_tagged_values_are_judged_together(server: EmbeddedServer, name: str) -> None:
    """After an invalidation of other tags what has tags costs one more trip, however many there are."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as client, connect(server.url) as sure:
        cache = Cache(client, name, ttl=60)
        await cache.get_or_load_many(range(50), lambda keys: dict.fromkeys(keys, 1), tags=["some"])
        await Cache(sure, name, ttl=60).invalidate("others")
        before = proxy.commands["EVALSHA"]

        def hold_replies(command: list[bytes]) -> bool:
            if command[0] == b"EVALSHA":
                proxy.black_hole(requests=False)
            return False

        proxy.add(Fault("cut_before", hold_replies))
        reading = asyncio.create_task(cache.get_or_load_many(range(50), _must_not_run))
        await eventually(lambda: proxy.commands["EVALSHA"] == before + 50)
        proxy.heal()
        proxy.clear()
        assert await reading == dict.fromkeys(range(50), 1)


async def test_stale_values(redis: Redis, name: str) -> None:
    """Stale values of a batch are given at once and loaded behind, with one call."""
    cache = Cache(redis, name, ttl=60, stale_ttl=600, loading=Loading(patience=0))
    for key in range(3):
        await cache.set(key, "old", ttl=0.001)
    async with asyncio.timeout(5):
        while await cache.get(2) is not None:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.001)
    squares = Squares()
    assert await cache.get_or_load_many(range(3), squares) == dict.fromkeys(range(3), "old")
    squares.go.set()
    await eventually(lambda: not len(cache._flights))
    assert await cache.get_or_load_many(range(3), _must_not_run) == {0: 0, 1: 1, 2: 4}
    assert squares.asked == [[0, 1, 2]]


async def _must_not_run(keys: list[Any]) -> dict[Any, Any]:
    raise AssertionError(f"{keys} are cached")


async def _must_not_load() -> int:
    raise AssertionError("another loads")
