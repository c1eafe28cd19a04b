"""What other libraries do in the race: the work that the benchmarks of the rooms give them."""

# ruff: noqa: PLC0415  # each environment has one of the libraries

from __future__ import annotations

from functools import partial
from typing import Any

from racing.racer import Call, Calls, Jobs, Ready

MOST_TASKS = 500
PEER_JOBS = 400


async def drive_of(room: str, who: str, what: str, url: str) -> Calls | Jobs:
    """The calls of one library."""
    if what == "job":
        import queue_peers

        return Jobs(lambda counter, tasks: queue_peers.MAKERS[who](url, counter, tasks), PEER_JOBS)
    makers = {"rate limits": rate_limits, "caches": caches, "queues": queues, "sessions": sessions}
    return Calls(await makers[room](who, what, url))


async def rate_limits(who: str, kind: str, url: str) -> Ready:
    import rate_limit_peers

    hit = await rate_limit_peers.MAKERS[who](kind, url)
    return partial(hits, hit)


async def hits(hit: Any, tasks: int) -> list[Call]:
    """Each task asks for its own part of the thousand subjects."""

    def of_task(task: int) -> Call:
        return lambda number: hit(f"user:{(task * 20 + number) % 1000}")

    return [of_task(task) for task in range(tasks)]


async def caches(who: str, what: str, url: str) -> Ready:
    import cache_peers

    maker: Any = getattr(cache_peers, who)
    hit = await maker(url, 1)

    async def ready(tasks: int) -> list[Call]:
        nonlocal hit
        keys = 1 if what == "one key for all" else tasks
        if await hit(keys - 1) is None:
            hit = await maker(url, keys)
        return shared(hit, tasks) if what == "one key for all" else [partial(once, hit, task) for task in range(tasks)]

    return ready


def shared(hit: Any, tasks: int) -> list[Call]:
    return [partial(once, hit, 0) for _ in range(tasks)]


async def once(hit: Any, key: int, _number: int) -> None:
    assert await hit(key) is not None


async def queues(who: str, _what: str, url: str) -> Ready:
    import queue_peers

    context = queue_peers.MAKERS[who](url, queue_peers.Counter(0))
    put, _ = await context.__aenter__()  # as long as the process lives

    async def ready(tasks: int) -> list[Call]:
        return [lambda _number, _context=context: put() for _ in range(tasks)]

    return ready


async def sessions(_who: str, what: str, url: str) -> Ready:
    import session_peers

    load, save, _ = await session_peers.starsessions(url, MOST_TASKS)

    async def ready(tasks: int) -> list[Call]:
        for task in range(tasks):
            await save(task, 0)
        return [partial(load if what == "load" else save, task) for task in range(tasks)]

    return ready
