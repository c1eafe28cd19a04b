"""Counters: nothing is counted twice or lost, bounds hold, lives are as long as they were told to be."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns.client import connect
from aioredis_patterns.counters import Counter, ShardedCounter, UniqueCounter
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import CodecError, OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually


async def test_a_counter_counts(redis: Redis, name: str) -> None:
    """What is added is there, for each subject apart, and a reset tells what there was."""
    counter = Counter(redis, name)
    assert [await counter.get(), await counter.increment(), await counter.increment(by=5)] == [0, 1, 6]
    assert [await counter.decrement(by=7), await counter.increment("other")] == [-1, 1]
    assert [await counter.reset(), await counter.get(), await counter.get("other")] == [-1, 0, 1]


class Step(int, Enum):
    """A number with a name, by which it prints."""

    LARGE = 3


async def test_a_number_of_another_class_is_its_value(redis: Redis, name: str) -> None:
    """What is added, a bound and the number of shards are what they are worth, whatever their class prints them as."""
    counter = Counter(redis, name, maximum=Step.LARGE)
    assert [await counter.increment(by=Step.LARGE), await counter.increment()] == [3, None]
    hits = ShardedCounter(redis, name, shards=Step.LARGE)
    await hits.increment(by=Step.LARGE)
    assert await hits.get() == 3


async def test_bounds_hold_in_a_crowd(redis: Redis, name: str) -> None:
    """However many take at one time, nothing falls below the minimum or rises above the maximum."""
    stock = Counter(redis, name, minimum=0, maximum=30)
    assert await stock.increment(by=31) is None
    assert await stock.increment(by=30) == 30
    taken = await asyncio.gather(*(stock.decrement() for _ in range(50)))
    assert sorted(left for left in taken if left is not None) == list(range(30))
    assert await stock.get() == 0


async def test_a_counter_lives_as_long_as_it_was_told(redis: Redis, name: str) -> None:
    """The first addition sets the expiry, later ones leave it, and the next life begins at nothing."""
    counter = Counter(redis, name, ttl=0.3)
    await counter.increment()
    first = await redis.pttl(f"arp:{{{name}}}:counter")
    await eventually(lambda: shorter(redis, f"arp:{{{name}}}:counter", first))
    await counter.increment()
    assert 0 < await redis.pttl(f"arp:{{{name}}}:counter") < first
    await eventually(lambda: empty(counter))
    assert await counter.increment() == 1


async def shorter(redis: Redis, key: str, than: int) -> bool:
    return bool(await redis.pttl(key) < than)


async def empty(counter: Counter) -> bool:
    return await counter.get() == 0


async def test_beyond_what_is_exact_nothing_is_added(redis: Redis, name: str) -> None:
    """An addition beyond 2**53 is refused as by a bound."""
    counter = Counter(redis, name)
    assert await counter.increment(by=2**53) == 2**53
    assert await counter.increment() is None
    assert await counter.increment(by=2) is None
    assert await counter.get() == 2**53


@pytest.mark.parametrize("foreign", [b"many", b"nan", b"inf", b"1.5", b"\xff", b""])
async def test_what_is_no_number_is_not_added_to(redis: Redis, name: str, foreign: bytes) -> None:
    """Where another's bytes are in the place of a counter that is an error, and no bound, and they stay."""
    await redis.set(f"arp:{{{name}}}:counter", foreign)
    with pytest.raises(ResponseError, match=r"no number|not an integer"):
        await Counter(redis, name).increment()
    with pytest.raises(CodecError):
        await Counter(redis, name).get()
    assert await redis.strlen(f"arp:{{{name}}}:counter") == len(foreign)


async def test_a_bound_that_was_moved_holds_nobody_fast(redis: Redis, name: str) -> None:
    """A counter beyond a bound that came later can be moved back towards it, and not further away."""
    await Counter(redis, name).increment(by=50)
    capped = Counter(redis, name, maximum=30)
    assert [await capped.increment(), await capped.decrement(by=5), await capped.increment()] == [None, 45, None]
    floored = Counter(redis, name, minimum=60)
    assert [await floored.decrement(), await floored.increment()] == [None, 46]


async def test_a_counter_and_its_shards_are_apart(redis: Redis, name: str) -> None:
    """A plain counter of the same name, whatever its subjects, counts for itself."""
    plain, hits = Counter(redis, name), ShardedCounter(redis, name, shards=2)
    for subject in range(4):
        await plain.increment(subject)
    assert await hits.get() == 0


async def test_a_read_is_repeated(server: EmbeddedServer, name: str) -> None:
    """A read whose reply is lost is asked again; it changes nothing."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        counter = Counter(redis, name)
        await counter.increment()
        proxy.add(Fault("cut_after", "EVALSHA"))
        assert await counter.get() == 1


@pytest.mark.parametrize("shards", [0, 1025, True, 2.5, "2"])
def test_what_is_no_number_of_shards_is_refused(name: str, shards: Any) -> None:
    """Shards are counted in whole numbers from 1 to 1,024."""
    with pytest.raises((ValueError, TypeError)):
        ShardedCounter(Redis(), name, shards=shards)


async def test_windows_are_read_up_to_a_number(pipelined: Redis, name: str) -> None:
    """More windows than one call can take are refused before it is sent."""
    with pytest.raises(ValueError, match="windows"):
        await UniqueCounter(pipelined, name).count(*range(1001))


async def test_a_lost_reply_never_counts_twice(server: EmbeddedServer, name: str) -> None:
    """An addition whose reply is lost raises, and counted once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        counter = Counter(redis, name)
        await counter.increment()
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await counter.increment()
        assert await counter.get() == 2


async def test_shards_add_up(redis: Redis, name: str) -> None:
    """Additions are spread over the shards, and none is lost, also while others reset."""
    hits = ShardedCounter(redis, name, shards=4, ttl=60)
    adding = asyncio.gather(*(hits.increment() for _ in range(200)))
    early = await hits.reset()
    await adding
    assert early + await hits.reset() == 200
    await asyncio.gather(*(hits.increment() for _ in range(200)))
    assert len([key async for key in redis.scan_iter(f"arp:{{{name}*")]) == 4
    await hits.decrement(by=3)
    assert await hits.reset() == 197
    assert await hits.get() == 0


async def test_estimates_are_as_near_as_they_say(redis: Redis, name: str) -> None:
    """Of 20,000 items the estimate is within four standard errors, and windows are merged without a key more."""
    visits = UniqueCounter(redis, name, ttl=60)
    for window, start in (("monday", 0), ("tuesday", 5_000)):
        for at in range(start, start + 15_000, 1000):
            await visits.add(*range(at, at + 1000), window=window)
    for windows, truth in ((("monday",), 15_000), (("monday", "tuesday"), 20_000)):
        found = await visits.count(*windows)
        assert abs(found.estimate - truth) < 4 * found.error < truth * 0.04
    shared = await visits.intersection("monday", "tuesday")
    assert abs(shared.estimate - 10_000) < 4 * shared.error
    keys = [key async for key in redis.scan_iter(f"arp:{{{name}}}:*")]
    assert len(keys) == 2
    assert all([0 < await redis.ttl(key) <= 60 for key in keys])


async def test_a_window_ends_with_the_time_of_its_first_item(redis: Redis, name: str) -> None:
    """A window expires from its first item on, and no further one lets it live longer."""
    visits = UniqueCounter(redis, name, ttl=60)
    await visits.add("ada", window="today")
    [window] = await redis.keys(f"arp:{{{name}}}:*")
    assert 0 < await redis.pttl(window) <= 60_000
    await redis.pexpire(window, 30_000)
    await visits.add("grace", window="today")
    assert 0 < await redis.pttl(window) <= 30_000


async def test_what_was_added_changes_nothing(redis: Redis, name: str) -> None:
    """An item counts once in a window, an int as its digits, and nothing is in a window that nobody named."""
    visits = UniqueCounter(redis, name)
    assert [await visits.add(1, "b"), await visits.add("1"), await visits.add("c")] == [True, False, True]
    assert [(await visits.count()).estimate, (await visits.count("other")).estimate] == [3, 0]


@pytest.mark.parametrize("by", [1.5, True, "1", None, 2**53 + 1])
async def test_what_is_no_number_is_refused(pipelined: Redis, name: str, by: Any) -> None:
    """What cannot be counted exactly is refused before anything is sent."""
    with pytest.raises((TypeError, ValueError)):
        await Counter(pipelined, name).increment(by=by)
    assert not await pipelined.exists(f"arp:{{{name}}}:counter")


def test_nonsense_is_refused(name: str) -> None:
    """Definitions that make no sense are refused when they are made."""
    for make in (
        lambda: Counter(Redis(), name, minimum=2, maximum=1),
        lambda: Counter(Redis(), name, ttl=0),
        lambda: ShardedCounter(Redis(), name, shards=0),
        lambda: UniqueCounter(Redis(), name, ttl=-1),
    ):
        with pytest.raises(ValueError, match="must"):
            make()


async def test_counters_work_in_a_cluster() -> None:
    """Shards lie on several nodes, windows in one slot."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        hits = ShardedCounter(redis, "hits", shards=16)
        await asyncio.gather(*(hits.increment() for _ in range(200)))
        assert await hits.get() == 200
        visits = UniqueCounter(redis, "visits")
        await visits.add("a", window="one")
        await visits.add("b", window="two")
        assert (await visits.count("one", "two")).estimate == 2
