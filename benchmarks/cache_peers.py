"""How fast another library hits its cache; runs in that library's own environment: LIBRARY URL TASKS HITS."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

VALUE = {f"field{number}": "v" * 34 for number in range(20)}
"""A record of about 1 kB."""


async def rate(hit: Callable[[], Awaitable[object]], tasks: int, hits: int) -> float:
    """Hits a second from so many tasks."""

    async def work(count: int) -> None:
        for _ in range(count):
            await hit()

    each = max(hits // tasks, 1)
    await hit()
    start = time.perf_counter()
    await asyncio.gather(*(work(each) for _ in range(tasks)))
    return each * tasks / (time.perf_counter() - start)


async def cashews(url: str) -> Callable[[], Awaitable[object]]:
    """Its decorated function, which is its way to get or load."""
    from cashews import cache  # noqa: PLC0415

    cache.setup(url, max_connections=50, wait_for_connection_timeout=60)

    @cache(ttl="10m", key="bench:cashews")
    async def load() -> Any:
        return VALUE

    return load


async def aiocache(url: str) -> Callable[[], Awaitable[object]]:
    """Its get of a JSON value."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    from aiocache import RedisCache  # noqa: PLC0415
    from aiocache.serializers import JsonSerializer  # noqa: PLC0415

    parts = urlsplit(url)
    cache = RedisCache(endpoint=parts.hostname, port=parts.port, serializer=JsonSerializer(), pool_max_size=50)
    await cache.set("bench:aiocache", VALUE, ttl=600)
    return lambda: cache.get("bench:aiocache")


async def main(library: str, url: str, tasks: int, hits: int) -> None:
    """Print the rate."""
    hit = await {"cashews": cashews, "aiocache": aiocache}[library](url)
    print(await rate(hit, tasks, hits))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
