"""Times: what the scripts write of them is right to the microsecond of the server's clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns._core.keys import Keys
from aioredis_patterns.caches import Cache, Loading, WriteBehind, WriteThrough
from aioredis_patterns.caches.entry import Shard
from aioredis_patterns.caches.flushing import _CLAIM, _FAILED, _RENEW
from aioredis_patterns.caches.leader import _STORE
from aioredis_patterns.caches.write_behind import _PUT
from aioredis_patterns.caches.write_through import _BEGIN
from aioredis_patterns.caches.write_through import _RENEW as _RENEW_WRITER

LONG = 10_000
"""Seconds: long enough for a thousandth of it to be seen."""
LONG_MS, LONG_US = LONG * 1_000, LONG * 1_000_000
CREATED, EXPIRES, LOAD = slice(22, 38), slice(38, 54), slice(54, 64)
VERSION = b"1" * 16


async def now_us(redis: Redis) -> int:
    """The server's time."""
    seconds, microseconds = await redis.time()
    return seconds * 1_000_000 + microseconds


@pytest.fixture
async def shard(pipelined: Redis, name: str) -> Any:
    """The keys of a cache, which are gone after the test."""
    yield Shard(Keys(name), 0)
    await pipelined.delete(*await pipelined.keys(f"*{name}*"), name)


async def store(cache: Cache[Any], way: str) -> None:
    async def load() -> str:
        await asyncio.sleep(0.001)
        return "value"

    if way == "loaded":
        await cache.get_or_load("key", load)
    elif way == "set":
        await cache.set("key", "value")
    elif way == "written through":
        await WriteThrough(cache, lambda key, value: None).set("key", "value")
    else:
        async with WriteBehind(cache, lambda rows: None) as behind:
            await behind.set("key", "value")


@pytest.mark.parametrize("way", ["set", "loaded", "written through", "written behind"])
async def test_an_entry_tells_its_time(pipelined: Redis, name: str, way: str) -> None:
    """An entry says when it was stored, until when it is fresh, and how long it was loaded, if it was."""
    before = await now_us(pipelined)
    await store(Cache(pipelined, name, ttl=LONG, stale_ttl=2 * LONG), way)
    after = await now_us(pipelined)
    entry = await pipelined.get(f"arp:{{{name}|0}}:value:key")
    assert before <= int(entry[CREATED]) <= after
    assert int(entry[EXPIRES]) == int(entry[CREATED]) + LONG_US
    assert 1_000 <= int(entry[LOAD]) <= after - before if way == "loaded" else int(entry[LOAD]) == 0


async def test_a_load_may_take_hours(pipelined: Redis, name: str) -> None:
    """What took longer to load than an entry can tell is stored all the same."""
    cache, place = Cache(pipelined, name, ttl=60), Shard(Keys(name), 0).place("key")
    token = "t" * 16
    await pipelined.set(place.lead, token + await cache.stamp("key"), ex=60)
    content = cache._contents.encode("value")
    known = (token, content[:4], 10**11, 60_000, 60_000, 60_000, "", place.channel, content[4:])
    assert await _STORE(pipelined, *place.keys, place.writers, *known) == 1
    assert await cache.get("key") == "value"
    assert 9_999 < (await cache.explain("key")).load < 10_000


async def test_a_pause_is_exact(pipelined: Redis, name: str) -> None:
    """After a load that failed a stale value counts as fresh for the pause."""
    cache = Cache(pipelined, name, ttl=60, stale_ttl=LONG, loading=Loading(pause=LONG))
    await cache.set("key", "old")
    await cache.expire("key")
    before = await now_us(pipelined)
    assert await cache.get_or_load("key", lambda: 1 / 0) == "old"
    entry = await pipelined.get(f"arp:{{{name}|0}}:value:key")
    assert before + LONG_US <= int(entry[EXPIRES]) <= await now_us(pipelined) + LONG_US


@pytest.mark.parametrize("call", ["begin", "renew"])
async def test_a_writer_has_its_lease(pipelined: Redis, name: str, call: str) -> None:
    """A writer is at work from now on for as long as its lease."""
    place = Shard(Keys(name), 0).place("key")
    await pipelined.hset(place.writers, "token", "1")  # type: ignore[misc]  # redis-py's types of both clients
    before = await now_us(pipelined)
    if call == "begin":
        await _BEGIN(pipelined, place.value, place.lead, place.writers, "token", LONG_MS, place.channel)
    else:
        await _RENEW_WRITER(pipelined, place.writers, "token", LONG_MS)
    until = int(await pipelined.hget(place.writers, "token"))  # type: ignore[arg-type,misc]
    assert before + LONG_US <= until <= await now_us(pipelined) + LONG_US
    assert LONG_MS - 5_000 < await pipelined.pttl(place.writers) <= LONG_MS


async def test_a_stamp_is_the_server_s_time(pipelined: Redis, name: str) -> None:
    """An invalidation has the time of its call, and is later than the one before even if the clock is not."""
    cache, marks = Cache(pipelined, name, ttl=60), f"arp:{{{name}|0}}:marks"
    await cache.set("key", 1)
    before = await now_us(pipelined)
    await cache.invalidate("tag")
    latest = int((await pipelined.get(marks))[16:32])
    assert before <= latest <= await now_us(pipelined)
    await pipelined.setrange(marks, 16, str(latest + LONG_US))
    await cache.invalidate("tag")
    assert int((await pipelined.get(marks))[16:32]) == latest + LONG_US + 1


async def put(redis: Redis, shard: Shard) -> tuple[int, int]:
    """Put a write behind that may wait long; the version of its record, and when it is due."""
    known = ("part", "sv1234", 0, LONG_MS, "1234", 60_000, 60_000, 60_000, "", "channel", "body")
    await _PUT(redis, *shard.place("part").keys, shard.dirty, shard.due, shard.leased, *known)
    record = await redis.hget(shard.dirty, "part")  # type: ignore[misc]
    assert record is not None
    assert record[16:] == b"0000sv1234body"
    return int(record[:16]), int(await redis.zscore(shard.due, "part") or 0)


async def test_a_write_waits_its_time(pipelined: Redis, shard: Shard) -> None:
    """A write is due after its delay, and later than the one before even if the clock is not."""
    before = await now_us(pipelined)
    version, due = await put(pipelined, shard)
    after = await now_us(pipelined)
    assert before <= version <= after
    assert before + LONG_US <= due <= after + LONG_US
    await pipelined.hset(shard.dirty, "part", b"%016d0000sv1234body" % (version + LONG_US))  # type: ignore[misc]
    assert (await put(pipelined, shard))[0] == version + LONG_US + 1


@pytest.mark.parametrize(("due", "ahead", "claimed"), [(9_995, LONG, True), (10_005, LONG, False), (-5, -10, False)])
async def test_what_is_claimed_is_leased(pipelined: Redis, shard: Shard, due: int, ahead: int, claimed: bool) -> None:
    """What is due within the time looked ahead is taken for the lease, and nothing else is."""
    before = await now_us(pipelined)
    await pipelined.hset(shard.dirty, "part", b"record")  # type: ignore[misc]
    await pipelined.zadd(shard.due, {"part": before + due * 1_000_000})
    keys = (shard.dirty, shard.due, shard.leased)
    until, next_ms, *records = await _CLAIM(pipelined, *keys, 100, LONG_MS, ahead * 1_000)
    assert before + LONG_US <= until <= await now_us(pipelined) + LONG_US
    assert records == ([b"part", b"record"] if claimed else [])
    assert await pipelined.zscore(shard.leased, "part") == (until if claimed else None)
    assert (await pipelined.zscore(shard.due, "part") is None) is claimed
    assert next_ms == 0 if due < 0 else next_ms > 0


async def test_nothing_to_claim(pipelined: Redis, shard: Shard) -> None:
    """Where nothing waits there is no time until more."""
    assert (await _CLAIM(pipelined, shard.dirty, shard.due, shard.leased, 100, LONG_MS, 0))[1:] == [-1]


async def test_what_the_dead_had_is_due(pipelined: Redis, shard: Shard) -> None:
    """A record is leased or due, and not both: what a claim finds abandoned and does not take is due."""
    for part in "ab":
        await pipelined.hset(shard.dirty, part, b"record")  # type: ignore[misc]
        await pipelined.zadd(shard.leased, {part: 1})
    _, _, taken, _ = await _CLAIM(pipelined, shard.dirty, shard.due, shard.leased, 1, LONG_MS, 0)
    assert await pipelined.zrange(shard.leased, 0, -1) == [taken]
    assert await pipelined.zrange(shard.due, 0, -1) == [b"b" if taken == b"a" else b"a"]


async def test_a_lease_is_renewed(pipelined: Redis, shard: Shard) -> None:
    """The records that are still leased to whoever asks are so for another lease, and no others, however often."""
    await pipelined.zadd(shard.leased, {"ours": 7, "too": 7, "theirs": 8})
    for _ in range(2):
        assert await _RENEW(pipelined, shard.leased, 7, LONG_US, "ours", "too", "theirs", "nobody's") == 2
        assert dict(await pipelined.zrange(shard.leased, 0, -1, withscores=True)) == {
            b"ours": LONG_US,
            b"too": LONG_US,
            b"theirs": 8,
        }


async def fail(redis: Redis, shard: Shard, record: bytes, *, until: int = 7, attempts: int = 20_000) -> int:
    """A write of `VERSION` that failed, of a record leased until 7; the answer."""
    await redis.hset(shard.dirty, "part", record)  # type: ignore[misc]
    await redis.zadd(shard.leased, {"part": 7})
    keys = (shard.dirty, shard.due, shard.leased, shard.dead)
    answer: int = await _FAILED(redis, *keys, "part", VERSION, until, LONG_MS, attempts)
    return answer


@pytest.mark.parametrize(("tried", "then"), [(b"0000", b"0001"), (b"1500", b"1501"), (b"9999", b"9999")])
async def test_a_failed_write_pauses(pipelined: Redis, shard: Shard, tried: bytes, then: bytes) -> None:
    """A write that failed is counted and due after its pause, and leased to nobody."""
    before = await now_us(pipelined)
    await fail(pipelined, shard, VERSION + tried + b"sv1234body")
    after = await now_us(pipelined)
    assert await pipelined.hget(shard.dirty, "part") == VERSION + then + b"sv1234body"  # type: ignore[misc]
    assert before + LONG_US <= (await pipelined.zscore(shard.due, "part") or 0) <= after + LONG_US
    assert await pipelined.zscore(shard.leased, "part") is None


async def test_a_failed_write_that_was_overtaken(pipelined: Redis, shard: Shard) -> None:
    """What was put while its last version failed is due at once, and has not been tried."""
    newer = b"2" * 16 + b"0000sv1234newer"
    before = await now_us(pipelined)
    await fail(pipelined, shard, newer, attempts=1)
    assert await pipelined.hget(shard.dirty, "part") == newer  # type: ignore[misc]
    assert before <= (await pipelined.zscore(shard.due, "part") or 0) <= await now_us(pipelined)
    assert await pipelined.zscore(shard.leased, "part") is None


async def test_a_failed_write_of_a_lost_lease(pipelined: Redis, shard: Shard) -> None:
    """Who lost the lease of a write changes nothing by failing with it."""
    record = VERSION + b"0000sv1234body"
    assert await fail(pipelined, shard, record, until=6, attempts=1) == 0
    assert await pipelined.hget(shard.dirty, "part") == record  # type: ignore[misc]
    assert (await pipelined.zscore(shard.leased, "part"), await pipelined.zscore(shard.due, "part")) == (7, None)
