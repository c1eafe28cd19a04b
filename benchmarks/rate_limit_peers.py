"""Hits a second of another library's limits; `bench_rate_limits.py` runs it in a virtual environment of that library.

`python rate_limit_peers.py LIBRARY KIND URL TASKS HITS` prints one number.
"""

# ruff: noqa: PLC0415  # each environment has one of the libraries

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Hit = Callable[[str], Awaitable[object]]

LIMIT, SUBJECTS = 100_000, 1000
CONNECTIONS = "max_connections=1000"


async def limits_hit(kind: str, url: str) -> Hit:
    from limits import RateLimitItemPerMinute
    from limits.aio import strategies
    from limits.aio.storage import RedisStorage

    storage = RedisStorage(f"async+{url}?{CONNECTIONS}", implementation="redispy")
    kinds: dict[str, Any] = {
        "FixedWindow": strategies.FixedWindowRateLimiter,
        "SlidingWindow": strategies.SlidingWindowCounterRateLimiter,
        "SlidingLog": strategies.MovingWindowRateLimiter,
    }
    limiter, rate = kinds[kind](storage), RateLimitItemPerMinute(LIMIT)
    return lambda subject: limiter.hit(rate, "bench", subject)


async def throttled_hit(kind: str, url: str) -> Hit:
    from throttled.asyncio import RateLimiterType, RedisStore, Throttled, per_min

    kinds = {
        "FixedWindow": RateLimiterType.FIXED_WINDOW,
        "SlidingWindow": RateLimiterType.SLIDING_WINDOW,
        "TokenBucket": RateLimiterType.TOKEN_BUCKET,
        "LeakyBucket": RateLimiterType.LEAKING_BUCKET,
        "Gcra": RateLimiterType.GCRA,
    }
    store = RedisStore(server=f"{url}?{CONNECTIONS}")
    limiter = Throttled(using=kinds[kind].value, quota=per_min(LIMIT, burst=LIMIT), store=store)
    return lambda subject: limiter.limit(f"bench:{subject}")


async def pyrate_hit(_kind: str, url: str) -> Hit:
    from pyrate_limiter import Duration, Rate, RateItem, RedisBucket
    from redis.asyncio import Redis

    client, rates = Redis.from_url(f"{url}?{CONNECTIONS}"), [Rate(LIMIT, Duration.MINUTE)]
    buckets: dict[str, Any] = {}
    for number in range(SUBJECTS):
        buckets[f"user:{number}"] = await RedisBucket.init(rates, client, f"bench:{number}")

    async def hit(subject: str) -> None:
        bucket = buckets[subject]
        if not await bucket.put(RateItem(subject, bucket.now())):
            raise RuntimeError("denied")

    return hit


async def rate(hit: Hit, tasks: int, hits: int) -> float:
    """Hits a second from so many tasks."""
    each = max(hits // tasks, 1)

    async def work(first: int) -> None:
        for number in range(first, first + each):
            await hit(f"user:{number % SUBJECTS}")

    await asyncio.gather(*(work(number) for number in range(tasks)))  # connections are made, scripts loaded
    start = time.perf_counter()
    await asyncio.gather(*(work(number * each) for number in range(tasks)))
    return each * tasks / (time.perf_counter() - start)


MAKERS = {"limits": limits_hit, "throttled-py": throttled_hit, "pyrate-limiter": pyrate_hit}


async def main(library: str, kind: str, url: str, tasks: int, hits: int) -> None:
    print(await rate(await MAKERS[library](kind, url), tasks, hits))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:])))
