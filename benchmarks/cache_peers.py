"""How fast another library hits its cache; runs in that library's own environment: LIBRARY URL TASKS HITS KEYS."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

VALUE = {f"field{number}": "v" * 34 for number in range(20)}
"""A record of about 1 kB."""


async def rate(hit: Callable[[int], Awaitable[object]], tasks: int, hits: int, keys: int) -> float:
    """Hits a second from so many tasks, who share so many keys."""

    async def work(key: int, count: int) -> None:
        for _ in range(count):
            await hit(key)

    each = max(hits // tasks, 1)
    for key in range(keys):
        await hit(key)
    start = time.perf_counter()
    await asyncio.gather(*(work(task % keys, each) for task in range(tasks)))
    return each * tasks / (time.perf_counter() - start)


async def cashews(url: str, _keys: int) -> Callable[[int], Awaitable[object]]:
    """Its decorated function, which is its way to get or load."""
    from cashews import cache  # noqa: PLC0415

    cache.setup(url, max_connections=50, wait_for_connection_timeout=60)

    @cache(ttl="10m", key="bench:cashews:{key}")
    async def load(key: int) -> Any:  # noqa: ARG001  # the template takes it
        return VALUE

    return load


async def aiocache(url: str, keys: int) -> Callable[[int], Awaitable[object]]:
    """Its get of a JSON value."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    from aiocache import RedisCache  # noqa: PLC0415
    from aiocache.serializers import JsonSerializer  # noqa: PLC0415

    parts = urlsplit(url)
    cache = RedisCache(endpoint=parts.hostname, port=parts.port, serializer=JsonSerializer(), pool_max_size=50)
    for key in range(keys):
        await cache.set(f"bench:aiocache:{key}", VALUE, ttl=600)
    return lambda key: cache.get(f"bench:aiocache:{key}")


async def main(library: str, url: str, tasks: int, hits: int, keys: int) -> None:
    """Print the rate."""
    hit = await {"cashews": cashews, "aiocache": aiocache}[library](url, keys)
    print(await rate(hit, tasks, hits, keys))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
