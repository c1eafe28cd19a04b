"""WriteBehind: what was written reaches the store, in order, whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns._core.keys import Keys
from aioredis_patterns.caches import DELETED, Cache, DeadWrite, WriteBehind
from aioredis_patterns.caches.entry import Shard
from aioredis_patterns.caches.flushing import _CLAIM, _DONE
from aioredis_patterns.client.connect import connect
from aioredis_patterns.codecs import Raw
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from tests.caches.paused import leads_and_waits, renewed
from tests.support.faults import Fault, FaultProxy
from tests.support.processes import worker
from tests.support.waiting import eventually

MISSING = object()


class Store:
    """A table that waits for the test to say go, unless it said so before, and refuses what it is told to."""

    def __init__(self, *, go: bool = True) -> None:
        self.rows: dict[Any, Any] = {}
        self.calls: list[dict[Any, Any]] = []
        self.refuses: set[Any] = set()
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        if go:
            self.go.set()

    async def write_many(self, rows: dict[Any, Any]) -> None:
        self.calls.append(rows)
        self.started.set()
        await self.go.wait()
        if self.refuses & rows.keys():
            raise LookupError(f"no {self.refuses & rows.keys()}")
        self.rows |= rows


def left(name: str) -> str:
    """A pattern of the keys that hold what the store has not been told."""
    return f"arp:{{{name}|0}}:d*"


async def test_a_write_reaches_both(redis: Redis, name: str) -> None:
    """What was set is in the cache at once and in the store when it was flushed, what was deleted is told too."""
    cache, store = Cache(redis, name, ttl=60), Store()
    async with WriteBehind(cache, store.write_many, delay=60) as users:
        await users.set(1, None)
        await users.set("two", [2])
        await users.delete("three")
        assert [await cache.get(key, MISSING) for key in (1, "two", "three")] == [None, [2], MISSING]
        assert store.rows == {}
        assert await users.flush() == 3
        assert store.rows == {1: None, "two": [2], "three": DELETED}
        assert store.calls == [store.rows]
    assert await redis.keys(left(name)) == []


async def test_a_batch_may_be_as_large_as_one_likes(pipelined: Redis, name: str) -> None:
    """Thousands of writes that go to the store in one call are taken in one call too."""
    store = Store()
    async with WriteBehind(Cache(pipelined, name, ttl=60), store.write_many, delay=60, batch=10_000) as users:
        await asyncio.gather(*(users.set(number, number) for number in range(4_001)))
        assert await users.flush() == 4_001
    assert store.calls == [store.rows]
    assert len(store.rows) == 4_001


async def test_what_the_store_has_stays_cached(redis: Redis, name: str) -> None:
    """A value that was written stays in the cache when the store has it, whatever its first byte and its tags are."""
    cache = Cache(redis, name, ttl=60)
    async with WriteBehind(cache, Store().write_many, delay=60) as users:
        for number in range(6):
            await users.set(number, number, tags=["x" * 500] * (number % 2) + ["y" * 500, "z" * 500] * (number % 3))
        assert await users.flush() == 6
        assert [await cache.get(number) for number in range(6)] == [*range(6)]


async def test_it_flushes_by_itself(redis: Redis, name: str) -> None:
    """Nobody has to flush: after the delay what was written is told."""
    store = Store()
    async with WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=0.05) as users:
        await users.set("key", "value")
        await eventually(lambda: store.rows == {"key": "value"})


async def test_closing_flushes(redis: Redis, name: str) -> None:
    """At the end of the block everything is in the store."""
    store = Store()
    async with WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60) as users:
        for number in range(250):
            await users.set(number, number)
    assert store.rows == {number: number for number in range(250)}
    assert [len(call) for call in store.calls] == [100, 100, 50]


async def test_the_last_write_of_a_key_wins(redis: Redis, name: str) -> None:
    """Of many writes of a key the store is told the last one only, a deletion like any other."""
    store = Store()
    async with WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60) as users:
        for number in range(10):
            await users.set("set last", number)
            await users.set("deleted last", number)
        await users.delete("deleted last")
        await users.delete("set last")
        await users.set("set last", "x")
    assert store.calls == [{"set last": "x", "deleted last": DELETED}]


async def test_a_write_is_read_before_the_store_has_it(redis: Redis, other: Redis, name: str) -> None:
    """Whoever reads gets what was written last, in another process and without the cached value too."""
    store = Store()
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60)
    elsewhere = WriteBehind(Cache(other, name, ttl=60), store.write_many, delay=60)
    await users.set("key", "value")
    await redis.delete(f"arp:{{{name}|0}}:value:key")
    assert await users.get("key") == await elsewhere.get("key") == "value"
    await users.set("key", "again")
    await users.delete("key")
    assert await elsewhere.get("key", MISSING) is MISSING
    assert await Cache(other, name, ttl=60).get("key", MISSING) is MISSING
    await users.aclose()
    assert await elsewhere.get("another", MISSING) is MISSING


async def test_a_write_during_a_flush_comes_after_it(redis: Redis, other: Redis, name: str) -> None:
    """A key that is written again while the store is told of it is not told by another meanwhile, but afterwards."""
    store, hasty = Store(go=False), Store()
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60)
    elsewhere = WriteBehind(Cache(other, name, ttl=60), hasty.write_many, delay=60)
    await users.set("key", "first")
    flushing = asyncio.create_task(users.flush())
    await store.started.wait()
    await elsewhere.set("key", "second")
    assert await elsewhere.flush() == 0
    store.go.set()
    await flushing
    await users.aclose()
    await elsewhere.aclose()
    assert store.calls[0] == {"key": "first"}
    assert [*store.calls[1:], *hasty.calls] == [{"key": "second"}]


async def test_a_write_while_its_last_one_fails(redis: Redis, name: str) -> None:
    """A key that is written again while the store refuses its last value is told of anew."""
    store = Store(go=False)

    async def write_many(rows: dict[str, str]) -> None:
        await store.write_many(rows)
        if rows["key"] == "refused":
            raise LookupError

    users = WriteBehind(Cache(redis, name, ttl=60), write_many, delay=0, pause=60)
    await users.set("key", "refused")
    await store.started.wait()
    await users.set("key", "taken")
    store.go.set()
    await eventually(lambda: store.rows == {"key": "taken"})
    await users.aclose()


@pytest.mark.parametrize(
    ("newest", "ours", "leased", "due"),
    [(True, True, False, False), (True, False, False, False), (False, True, False, True), (False, False, True, False)],
)
async def test_a_write_that_ended(
    pipelined: Redis, name: str, newest: bool, ours: bool, leased: bool, due: bool
) -> None:
    """A record that was written is nobody's; a newer one is due, unless another has it by now."""
    place, keys = Shard(Keys(name), 0).place("key"), [f"{{{name}|0}}:{part}" for part in ("dirty", "due", "leased")]
    await pipelined.hset(keys[0], "key", b"2" * 16 + b"0000svbody")  # type: ignore[misc]
    await pipelined.zadd(keys[2], {"key": 8})
    known = ("key", ("2" if newest else "1") * 16, 8 if ours else 7, "", "body")
    assert await _DONE(pipelined, place.value, place.lead, *keys, *known) == newest
    assert await pipelined.hexists(keys[0], "key") is not newest  # type: ignore[misc]
    assert (await pipelined.exists(keys[2]), await pipelined.exists(keys[1])) == (leased, due)
    await pipelined.delete(*keys)


@pytest.mark.parametrize("change", ["set", "delete", "flush"])
async def test_who_waits_is_woken(redis: Redis, other: Redis, name: str, change: str) -> None:
    """Who waits for a load that a write has overtaken, in Redis or in the store, goes on at once."""
    store = Store()
    async with WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60) as users:
        if change == "flush":
            await users.set("key", "written")
            await redis.delete(f"arp:{{{name}|0}}:value:key")
        paused, first, second = await leads_and_waits(redis, other, name)
        changes = {"set": lambda: users.set("key", "set"), "delete": lambda: users.delete("key"), "flush": users.flush}
        await changes[change]()
        async with asyncio.timeout(20):
            assert await second == ("set" if change == "set" else "newer")
        paused.go.set()
        assert await first == "loaded"


async def test_what_was_loaded_meanwhile_goes(redis: Redis, name: str) -> None:
    """A value loaded from the store while it did not have the write yet is taken out when it has it."""
    cache, store = Cache(redis, name, ttl=60), Store()
    async with WriteBehind(cache, store.write_many, delay=60) as users:
        await users.set("key", "new")
        await redis.delete(f"arp:{{{name}|0}}:value:key")
        assert await cache.get_or_load("key", lambda: "old") == "old"
        await users.flush()
        assert await cache.get("key", MISSING) is MISSING
        await users.set("key", "newer")
        await users.flush()
        assert await cache.get("key") == "newer"


async def test_nothing_is_not_an_empty_value(redis: Redis, name: str) -> None:
    """That there was nothing yet is taken out too when the store has an empty value."""
    cache, store = Cache(redis, name, ttl=60, codec=Raw()), Store()
    async with WriteBehind(cache, store.write_many, delay=60) as users:
        await users.set("key", b"")
        await redis.delete(f"arp:{{{name}|0}}:value:key")
        assert await cache.get_or_load("key", lambda: None) is None
        await users.flush()
        assert await cache.get("key", MISSING) is MISSING


async def test_an_error_does_not_stop_the_others(redis: Redis, name: str) -> None:
    """A write that the store refuses is tried again alone, the others go through; flush tells of the error."""
    store = Store()
    store.refuses = {"bad"}
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=0.01, pause=0.02)
    for key in ("good", "bad", "fine"):
        await users.set(key, 1)
    with pytest.raises(LookupError):
        await users.flush()
    await eventually(lambda: store.rows == {"good": 1, "fine": 1})
    store.refuses = set()
    await eventually(lambda: store.rows == {"good": 1, "fine": 1, "bad": 1})
    await users.aclose()
    assert await redis.keys(left(name)) == []


@pytest.mark.parametrize("delay", [0, 1, 3600])
async def test_a_flush_tries_once(redis: Redis, name: str, delay: float) -> None:
    """What the store refuses in a flush is not tried again before its time, unless it is written again."""
    store = Store()
    store.refuses = {"key"}
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=delay, pause=60)
    await users.set("key", 1)
    with contextlib.suppress(LookupError):  # where there is no delay the flusher may have been first
        await users.flush()
    assert await users.flush() == 0
    assert (len(store.calls), await users.dead()) == (1, [])
    store.refuses = set()
    await users.set("key", 2)
    await users.aclose()
    assert store.rows == {"key": 2}


async def test_dead_letters(redis: Redis, name: str) -> None:
    """What the store has refused too often is listed, and tried again when it is told to, unless it was rewritten."""
    store = Store()
    store.refuses = {42, "bad", "gone"}
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=0.01, pause=0.01, attempts=2)
    await users.set(42, "x")
    await users.set("bad", None)
    await users.delete("gone")
    await eventually(lambda: count_dead(users, 3))
    assert {each.key: each for each in await users.dead()} == {
        42: DeadWrite(42, "x", 2),
        "bad": DeadWrite("bad", None, 2),
        "gone": DeadWrite("gone", DELETED, 2),
    }
    store.refuses = set()
    await users.set("bad", "rewritten")
    await eventually(lambda: "bad" in store.rows)
    await users.set(42, "newer")
    assert await users.replay() == 2
    await users.aclose()
    assert store.rows == {42: "newer", "bad": None, "gone": DELETED}
    assert await users.dead() == []


async def count_dead(users: WriteBehind[Any], number: int) -> bool:
    return len(await users.dead()) == number


async def test_a_long_flush_keeps_its_lease(pipelined: Redis, other: Redis, name: str) -> None:
    """What one process has been writing for longer than its lease is not written by another."""
    store, hasty = Store(go=False), Store()
    users = WriteBehind(Cache(pipelined, name, ttl=60), store.write_many, delay=0, lease=1)
    await users.set("key", "value")
    await store.started.wait()
    async with WriteBehind(Cache(other, name, ttl=60), hasty.write_many, delay=0) as elsewhere:
        await renewed(lambda: pipelined.zscore(f"arp:{{{name}|0}}:leased", "key"))
        assert await elsewhere.flush() == 0
    store.go.set()
    await users.aclose()
    assert (store.rows, hasty.calls) == ({"key": "value"}, [])


async def test_a_killed_flusher_loses_nothing(pipelined: Redis, url: str, name: str) -> None:
    """What a process had taken when it was killed is written by another when the lease has ended."""
    store = Store()
    async with worker("tests.caches.writers:flush_for_ever", url, name) as process:
        assert await process.line() == {"key": "value"}
        process.kill()
        await process.wait()
    async with WriteBehind(Cache(pipelined, name, ttl=60), store.write_many):
        await eventually(lambda: store.rows == {"key": "value"})
    assert await pipelined.keys(left(name)) == []


async def test_two_that_flush_write_each_once(redis: Redis, other: Redis, name: str) -> None:
    """Two processes that flush at one time share the work."""
    stores = Store(), Store()
    clients = (redis, other)
    both = [
        WriteBehind(Cache(client, name, ttl=60), store.write_many, delay=60, batch=7)
        for client, store in zip(clients, stores, strict=True)
    ]
    for number in range(100):
        await both[number % 2].set(number, number)
    await asyncio.gather(*(each.flush() for each in both))
    await asyncio.gather(*(each.aclose() for each in both))
    written = [key for store in stores for call in store.calls for key in call]
    assert sorted(written) == list(range(100))


async def test_redis_comes_back(own_server: EmbeddedServer, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A flusher outlives an outage of Redis, and says that there was one."""
    store = Store()
    async with connect(own_server.url, deadline=1) as client:
        users = WriteBehind(Cache(client, name, ttl=60), store.write_many, delay=0.05)
        with caplog.at_level(logging.WARNING, "aioredis_patterns"):
            await users.set("first", 1)
            await eventually(lambda: "first" in store.rows)
            await own_server.kill()
            await eventually(lambda: caplog.text.count("write-behind") > 0)
            await own_server.restart()
            await eventually(lambda: set_again(users))
        await eventually(lambda: "second" in store.rows)
        await users.aclose()


async def set_again(users: WriteBehind[Any]) -> bool:
    try:
        await users.set("second", 2)
    except RedisConnectionError:
        return False  # between two attempts to connect there may be more time than one call may take
    return True


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "half_reply"])
async def test_lost_replies(server: EmbeddedServer, name: str, kind: Any) -> None:
    """Whatever is cut off while it flushes, each write reaches the store, and nothing is left behind."""
    store = Store()
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as client, connect(server.url) as sure:
        writing = WriteBehind(Cache(sure, name, ttl=60), store.write_many, delay=60)
        for number in range(20):
            await writing.set(number, number)
        proxy.add(Fault(kind, lambda command: command[0].upper() in (b"EVALSHA", b"EVAL"), times=None, probability=0.2))
        users = WriteBehind(Cache(client, name, ttl=60), store.write_many, delay=60, batch=3, lease=0.1)
        await eventually(lambda: all_written(users, store), timeout=10)
        proxy.clear()
        await eventually(lambda: nothing_left(users, sure, name))
        await users.aclose()
        await writing.aclose()
    assert store.rows == {number: number for number in range(20)}


async def test_a_renewal_whose_reply_is_lost_is_not_the_last(server: EmbeddedServer, name: str) -> None:
    """What the store is being told stays leased after a renewal was executed twice, as its first reply was lost."""
    store = Store(go=False)
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as client, connect(server.url) as sure:
        users = WriteBehind(Cache(client, name, ttl=60), store.write_many, delay=60, lease=0.6)
        await users.set("key", 1)
        flushing = asyncio.create_task(users.flush())
        await store.started.wait()

        async def leased_until() -> float:
            return float(await sure.zscore(f"arp:{{{name}|0}}:leased", "key") or 0)

        first = await leased_until()
        proxy.add(Fault("cut_after", "EVALSHA"))

        async def is_renewed_on_and_on() -> bool:
            return await leased_until() > first + 1_500_000

        await eventually(is_renewed_on_and_on)
        store.go.set()
        assert await flushing == 1
        await users.aclose()


async def all_written(users: WriteBehind[Any], store: Store) -> bool:
    await users.flush()
    return len(store.rows) == 20


async def nothing_left(users: WriteBehind[Any], redis: Redis, name: str) -> bool:
    await users.flush()
    return await redis.keys(left(name)) == []


async def test_a_flush_ends_though_more_is_written(redis: Redis, name: str) -> None:
    """A flush writes what was put before it began, and leaves what is put meanwhile to the next."""
    store: dict[Any, int] = {}

    async def write_many(rows: dict[Any, int]) -> None:
        store.update(rows)
        await users.set(f"after {len(store)}", 1)

    users = WriteBehind(Cache(redis, name, ttl=60), write_many, delay=0.2, batch=10)
    for number in range(30):
        await users.set(number, 1)
    async with asyncio.timeout(20):
        await users.flush()
    assert set(range(30)) <= store.keys()
    users._flusher.stop()


async def test_closing_ends_though_more_is_written(redis: Redis, name: str) -> None:
    """Who writes while it is being closed neither keeps it open nor loses the write."""
    store = Store(go=False)
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=0)
    await users.set("before", 1)
    await store.started.wait()
    closing = asyncio.create_task(users.aclose(timeout=20))
    await eventually(lambda: users._flusher._stopping)
    await users.set("meanwhile", 2)
    store.go.set()
    await closing
    assert store.rows == {"before": 1, "meanwhile": 2}


async def test_it_flushes_by_itself_after_it_was_closed(redis: Redis, name: str) -> None:
    """What is written after closing, be it twice, reaches the store without a flush."""
    store = Store()
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=0)
    await users.set("before", 1)
    await users.aclose()
    await users.aclose()
    await users.set("after", 2)
    await eventually(lambda: store.rows == {"before": 1, "after": 2})
    await users.aclose()


async def test_it_flushes_by_itself_after_a_closing_that_was_cancelled(redis: Redis, name: str) -> None:
    """A closing that is cancelled before the flusher has begun leaves none that stops at once."""
    store = Store()
    users = WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=0)

    async def enter_and_be_cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with users:
            task.cancel()

    await asyncio.wait([asyncio.create_task(enter_and_be_cancelled())])
    await users.set("key", "value")
    await eventually(lambda: store.rows == {"key": "value"})
    await users.aclose()


async def test_a_write_that_may_have_been_put_is_flushed(server: EmbeddedServer, name: str) -> None:
    """The store is told of a write whose reply was lost, though its writer was told that nobody knows."""
    store = Store()
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as client:
        users = WriteBehind(Cache(client, name, ttl=60), store.write_many, delay=0.01)
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await users.set("key", "value")
        await eventually(lambda: store.rows == {"key": "value"})
        await users.aclose()


async def test_an_error_of_the_block_is_not_masked(redis: Redis, name: str) -> None:
    """What the block raised is what comes out, even when the last flush fails too."""
    store = Store()
    store.refuses = {"bad"}
    with pytest.raises(ZeroDivisionError):
        async with WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60) as users:
            await users.set("bad", 1)
            raise ZeroDivisionError
    with pytest.raises(LookupError):
        async with WriteBehind(Cache(redis, name, ttl=60), store.write_many, delay=60) as users:
            await users.set("bad", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"batch": value} for value in (0, 2.5, True, sys.maxsize)),
        *({"attempts": 0}, {"delay": -1}, {"lease": 0}, {"pause": float("nan")}),
    ],
)
async def test_options_are_checked(redis: Redis, name: str, wrong: dict[str, Any]) -> None:
    """A number that makes no sense is refused before anything is sent."""
    with pytest.raises((ValueError, TypeError), match="must"):
        WriteBehind(Cache(redis, name, ttl=60), Store().write_many, **wrong)


@pytest.mark.parametrize(("due", "leased"), [(1_000, None), (None, 1_000), (1_000, 9_000_000), (9_000_000, 1_000)])
async def test_when_there_is_more_to_do(pipelined: Redis, name: str, due: int | None, leased: int | None) -> None:
    """Who claims is told when the first that waits is due, or the first lease ends, whichever is sooner."""
    now, more = await pipelined.time()
    keys = [f"{{{name}}}:{part}" for part in ("dirty", "due", "leased")]
    for key, seconds in ((keys[1], due), (keys[2], leased)):
        if seconds is not None:
            await pipelined.zadd(key, {"part": (now + seconds) * 1_000_000})
            await pipelined.expire(key, 60)
    _, next_ms, *records = await _CLAIM(pipelined, *keys, 100, 1_000, 0)
    later, most = await pipelined.time()
    assert 1_000_000 - (later - now) * 1_000 - most / 1_000 <= next_ms <= 1_000_001 - more / 1_000
    assert records == []
