"""The five lines of the guides fail on a real server, and the class that stands for each of them holds."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest
import redis.asyncio as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns import (
    Cache,
    Document,
    FixedWindow,
    Lock,
    OutcomeUnknownError,
    Queue,
    SlidingLog,
    TokenBucket,
    UniqueSet,
    connect,
)
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.embedded import EmbeddedServer
from tests.naive import five_lines
from tests.support.faults import Fault, FaultProxy, name_of
from tests.support.waiting import eventually


class Loads:
    """A loader that counts how often it was asked."""

    def __init__(self, value: Any, seconds: float = 0) -> None:
        self.value, self.seconds, self.count = value, seconds, 0

    async def __call__(self) -> Any:
        self.count += 1
        await asyncio.sleep(self.seconds)
        return self.value


async def test_a_cached_zero(pipelined: PipelinedRedis, name: str) -> None:
    """The naive cache loads a 0 again each time; `Cache` knows a 0 that it has from one that it has not."""
    naive, ours = Loads(0), Loads(0)
    cache = Cache(pipelined, name, ttl=60)
    for _ in range(3):
        assert await five_lines.cached(pipelined, name, naive) == 0
        assert await cache.get_or_load("key", ours) == 0
    assert (naive.count, ours.count) == (3, 1)


async def test_twenty_who_ask_at_once(pipelined: PipelinedRedis, name: str) -> None:
    """The naive cache loads once for each of twenty callers; `Cache` once for all."""
    naive, ours = Loads("value", 0.05), Loads("value", 0.05)
    cache = Cache(pipelined, name, ttl=60)
    await asyncio.gather(*(five_lines.cached(pipelined, name, naive) for _ in range(20)))
    await asyncio.gather(*(cache.get_or_load("key", ours) for _ in range(20)))
    assert (naive.count, ours.count) == (20, 1)


async def test_those_who_wait_for_a_load(pipelined: PipelinedRedis, name: str) -> None:
    """Behind the naive lock a caller gets nothing after 0.1 s; `Cache` gives all of them the value when it is there."""
    naive, ours = Loads("value", 0.5), Loads("value", 0.2)
    cache = Cache(pipelined, name, ttl=60)
    answers = await asyncio.gather(*(five_lines.cached_once(pipelined, name, naive) for _ in range(3)))
    assert sorted(answers, key=str) == [None, None, "value"]
    assert await asyncio.gather(*(cache.get_or_load("key", ours) for _ in range(3))) == ["value"] * 3


async def test_names_that_are_patterns(pipelined: PipelinedRedis, name: str) -> None:
    """A user named `*` clears everybody's entries by KEYS; a tag of `Cache` is only itself."""
    await pipelined.set(f"profile:{name}:page", "hers", ex=60)
    await five_lines.forget_all_of(pipelined, name[:-1] + "*")
    assert await pipelined.get(f"profile:{name}:page") is None
    cache = Cache(pipelined, name, ttl=60)
    await cache.set("page", "hers", tags=[name])
    await cache.invalidate(name[:-1] + "*")
    assert await cache.get("page") == "hers"


async def test_a_lock_that_is_deleted_by_a_stranger(pipelined: PipelinedRedis, name: str) -> None:
    """Who is late deletes his successor's naive lock; a late `Lease` frees nothing and is told that it was lost."""
    async with five_lines.locked(pipelined, name, 0.05):
        await eventually(partial(pipelined.set, name, "successor", nx=True, ex=60))
    assert await pipelined.exists(name) == 0
    lock = Lock(pipelined, name, lease=0.05, renew=False)
    late = await lock.acquire()
    successor = await Lock(pipelined, name, lease=60).acquire(timeout=5)
    assert await late.release() is False
    assert late.lost
    assert await lock.try_acquire() is None
    await successor.release()


async def test_a_lock_over_a_long_job(pipelined: PipelinedRedis, name: str) -> None:
    """The naive lock lets a second one in when the job takes longer than expected; `Lock` is renewed meanwhile."""
    async with five_lines.locked(pipelined, name, 0.1):
        await eventually(partial(pipelined.set, name, "second", nx=True, ex=60))
    lock = Lock(pipelined, name, lease=0.6)
    async with lock as lease:
        await eventually(lambda: lease.held_for > 0.8)
        assert await lock.try_acquire() is None
        assert not lease.lost


async def test_a_counter_that_lives_for_ever(pipelined: PipelinedRedis, server: EmbeddedServer, name: str) -> None:
    """A process that ends between INCR and EXPIRE locks the user out for ever; a limit's key expires on every path."""
    async with FaultProxy(server.host, server.port) as proxy, redis_py.Redis.from_url(proxy.url) as broken:
        await broken.ping()
        proxy.black_hole(requests=False)
        ending = asyncio.create_task(five_lines.hit(broken, name, 1, 60))
        await eventually(partial(pipelined.exists, name))
        ending.cancel()
        proxy.heal()
    assert await pipelined.ttl(name) == -1
    assert not await five_lines.hit(pipelined, name, 1, 60)
    limiter = FixedWindow(pipelined, name, limit=1, period=60)
    await limiter.hit("user")
    keys = await pipelined.keys(f"arp:{{{name}|user}}*")
    assert [0 < await pipelined.pttl(key) <= 60_000 for key in keys] == [True]


async def test_a_hit_that_is_counted_twice(server: EmbeddedServer, pipelined: PipelinedRedis, name: str) -> None:
    """A client that retries sends an INCR again whose reply was lost; here it counts once, and its loss is told."""
    # What redis-py 6 and later do without being told.
    retries: dict[str, Any] = {"retry": Retry(ExponentialBackoff(), 10), "retry_on_error": [RedisConnectionError]}
    async with FaultProxy(server.host, server.port) as proxy:
        proxy.add(Fault("cut_after", lambda command: name_of(command) in {"INCR", "INCRBY"}))
        async with redis_py.Redis(host=proxy.host, port=proxy.port, **retries) as redis:
            assert not await five_lines.hit(redis, name, 1, 60)
        async with connect(proxy.url) as redis:
            bucket = TokenBucket(redis, name, limit=2, period=60)
            await bucket.peek()
            proxy.add(Fault("cut_after", "EVALSHA"))
            with pytest.raises(OutcomeUnknownError):
                await bucket.hit()
    assert (await TokenBucket(pipelined, name, limit=2, period=60).peek()).remaining == 1


async def test_the_edge_of_a_window(pipelined: PipelinedRedis, name: str) -> None:
    """Around the edge of a naive window twice the limit gets through; a `SlidingLog` admits the limit and no more."""
    log = SlidingLog(pipelined, name, limit=5, period=1)
    await eventually(lambda: time.time() % 1 > 0.9)
    naive = await asyncio.gather(*(five_lines.hit_in_window(pipelined, name, 5, 1) for _ in range(5)))
    ours = [bool(await log.hit()) for _ in range(5)]
    await eventually(lambda: time.time() % 1 < 0.9)
    naive += await asyncio.gather(*(five_lines.hit_in_window(pipelined, name, 5, 1) for _ in range(5)))
    ours += [bool(await log.hit()) for _ in range(5)]
    assert (sum(naive), sum(ours)) == (10, 5)


async def test_a_job_that_is_lost_with_its_worker(pipelined: PipelinedRedis, name: str) -> None:
    """A popped job is gone when its handler fails; a message comes again, also when nobody says that it failed."""

    async def fail(job: Any) -> None:
        raise ConnectionError

    await pipelined.rpush(name, '"job"')
    with pytest.raises(ConnectionError):
        await five_lines.work(pipelined, name, fail)
    assert await pipelined.llen(name) == 0
    queue = Queue(pipelined, name, visibility=0.2)
    await queue.put("job")
    assert await queue.claim(timeout=1) is not None
    again = await queue.claim(timeout=5)
    assert again is not None
    assert (again.payload, again.attempt) == ("job", 2)
    await again.ack()


async def test_two_who_change_one_document(pipelined: PipelinedRedis, name: str) -> None:
    """Of twenty changes that are read, edited and written back some are lost; `Document.update` keeps all."""
    fields = [f"field{number}" for number in range(20)]
    await asyncio.gather(*(five_lines.change(pipelined, name, field, 1) for field in fields))
    naive = await pipelined.get(name)
    assert sum(field.encode() in naive for field in fields) < 20
    document = Document(pipelined, name, ttl=60)
    await document.set("settings", {})
    await asyncio.gather(*(document.update("settings", f"$.{field}", 1) for field in fields))
    assert len(await document.get("settings")) == 20


async def sent_by(redis: PipelinedRedis) -> int:
    """Bytes that the server has sent to all."""
    return int((await redis.info("stats"))["total_net_output_bytes"])


async def test_a_question_that_reads_everything(pipelined: PipelinedRedis, name: str) -> None:
    """SMEMBERS sends all friends to learn of one; `UniqueSet` is told yes or no."""
    friends = UniqueSet(pipelined, name, ttl=60)
    names = [f"friend{number:06}" for number in range(1000)]
    await friends.add(*names)
    await pipelined.sadd(f"friends:{name}", *names)
    sent = await sent_by(pipelined)
    assert await five_lines.is_friend(pipelined, name, names[0])
    between = await sent_by(pipelined)
    assert await friends.contains(names[0])
    assert between - sent > 1000 * len(names[0])
    assert await sent_by(pipelined) - between < 9000
