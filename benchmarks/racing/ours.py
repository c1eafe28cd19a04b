"""What our patterns do in the race, and the bare clients beside them: the work of the benchmarks of the rooms."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import bench_boards
import redis.asyncio as redis_py
from bench_caches import must_not_load
from bench_locks import SECTION, contender, our_pair, redis_py_pair
from bench_queues import KINDS as QUEUES
from bench_rate_limits import KINDS as LIMITS
from bench_sessions import calls_by_hand, our_calls
from bench_transport import HIT
from cache_peers import VALUE
from queue_peers import Counter
from rate_limit_peers import LIMIT

from aioredis_patterns import Cache, Leaderboard, Worker, connect
from racing.peers import hits, once, shared
from racing.racer import Call, Calls, Jobs, Ready

OUR_JOBS = 8_000
MEMBERS = 100_000
BOARD = "arp:{bench}:board"


async def drive_of(room: str, who: str, what: str, url: str) -> Calls | Jobs:
    """The calls of one contender."""
    if what == "job":
        return Jobs(partial(jobs, client_of(who, url), who), OUR_JOBS)
    makers: dict[str, Callable[[str, str, redis_py.Redis], Awaitable[Ready]]] = {
        "transport": transport,
        "rate limits": rate_limits,
        "caches": caches,
        "queues": queues,
        "leaderboards": leaderboards,
        "sessions": sessions,
    }
    if room == "locks":
        return Calls(await locks(who, what, url))
    return Calls(await makers[room](who, what, client_of(who, url)))


def client_of(who: str, url: str) -> redis_py.Redis:
    """Ours, or redis-py's with the pool that the benchmarks give it."""
    if who == "default pool":
        return redis_py.Redis.from_url(url)
    if not who.startswith("redis-py"):
        return connect(url)
    pool = redis_py.BlockingConnectionPool.from_url(url, max_connections=50, timeout=None)
    return redis_py.Redis.from_pool(pool)


async def transport(_who: str, _what: str, redis: redis_py.Redis) -> Ready:
    sha = await redis.script_load(HIT)

    async def ready(tasks: int) -> list[Call]:
        return [lambda _: redis.evalsha(sha, 1, "bench:hit", "60000") for _ in range(tasks)]

    return ready


async def locks(who: str, what: str, url: str) -> Ready:
    if what == "one lock for all":
        return await one_lock(who, url)
    redis = client_of(who, url)
    pair = our_pair(redis) if who == "ours" else redis_py_pair(redis)

    async def ready(tasks: int) -> list[Call]:
        return [partial(without_number, pair(task)) for task in range(tasks)]

    return ready


async def without_number(hold: Callable[[], Awaitable[object]], _number: int) -> None:
    await hold()


async def one_lock(who: str, url: str) -> Ready:
    client, lock = await contender(who, url).__aenter__()  # as long as the process lives

    async def hold(number: int) -> None:
        if not number:  # to warm up is no turn: those who poll would take seconds
            await client.ping()
            return
        async with lock():
            await asyncio.sleep(SECTION)

    async def ready(tasks: int) -> list[Call]:
        return [hold] * tasks

    return ready


async def rate_limits(_who: str, kind: str, redis: redis_py.Redis) -> Ready:
    return partial(hits, LIMITS[kind](redis, "bench", limit=LIMIT, period=60).hit)


async def caches(who: str, what: str, redis: redis_py.Redis) -> Ready:
    cache: Cache[Any] = Cache(redis, "bench", ttl=600)

    async def ready(tasks: int) -> list[Call]:
        for key in range(1 if what == "one key for all" else tasks):
            await (cache.set(key, VALUE) if who == "ours" else redis.set(f"bench:get:{key}", json.dumps(VALUE), ex=600))
        ways: dict[str, Any] = {
            "ours": partial(cache.get_or_load, loader=must_not_load),
            "redis-py GET": lambda key: redis.get(f"bench:get:{key}"),
        }
        hit = ways[who]
        return shared(hit, tasks) if what == "one key for all" else [partial(once, hit, task) for task in range(tasks)]

    return ready


async def queues(who: str, _what: str, redis: redis_py.Redis) -> Ready:
    queue = queue_of(who, redis)

    async def ready(tasks: int) -> list[Call]:
        return [lambda _: queue.put(None) for _ in range(tasks)]

    return ready


def queue_of(who: str, redis: redis_py.Redis) -> Any:
    return QUEUES[who == "PriorityQueue"](redis, "bench")


@asynccontextmanager
async def jobs(redis: redis_py.Redis, who: str, counter: Counter, concurrency: int) -> AsyncIterator[Any]:
    queue = queue_of(who, redis)

    async def noop(_: Any) -> None:
        counter.one()

    async def work() -> None:
        async with Worker(queue, noop, concurrency=concurrency):
            await asyncio.Event().wait()

    yield lambda: queue.put(None), work


async def leaderboards(who: str, what: str, redis: redis_py.Redis) -> Ready:
    ask = (bench_boards.ours(Leaderboard(redis, "bench")) if who == "ours" else bench_boards.bare(redis, BOARD))[what]

    async def ready(tasks: int) -> list[Call]:
        if await redis.zcard(BOARD) < MEMBERS:
            await fill(redis)
        return [partial(question, ask, random.Random(task)) for task in range(tasks)]

    return ready


async def question(ask: bench_boards.Ask, rng: random.Random, _number: int) -> None:
    await ask(f"user:{rng.randrange(MEMBERS)}", rng.randrange(1_000_000))


async def fill(redis: redis_py.Redis) -> None:
    """The ZSet that `Leaderboard` keeps, made by bare commands."""
    rng = random.Random(MEMBERS)
    for first in range(0, MEMBERS, 1000):
        await redis.zadd(BOARD, {f"user:{n}": rng.randrange(1_000_000) for n in range(first, first + 1000)})


async def sessions(who: str, what: str, redis: redis_py.Redis) -> Ready:
    async def ready(tasks: int) -> list[Call]:
        load, save = await our_calls(redis, tasks) if who == "ours" else calls_by_hand(redis)
        for task in range(tasks):
            await save(task, 0)
        return [partial(load if what == "load" else save, task) for task in range(tasks)]

    return ready
