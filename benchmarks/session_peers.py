"""How fast another library loads and saves sessions; runs in that library's own environment: URL TASKS CALLS."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

DATA = {"cart": ["tea", "milk"], "theme": "dark", "visits": 1}
LIFETIME = 1800

Call = Callable[[int, int], Awaitable[object]]
"""Of a task's number, and of how often it has called."""


async def rate(call: Call, tasks: int, calls: int) -> float:
    """Calls a second from so many tasks, each with a session of its own."""

    async def work(task: int, count: int) -> None:
        for number in range(count):
            await call(task, number)

    await asyncio.gather(*(work(task, 1) for task in range(tasks)))
    each = max(calls // tasks, 1)
    start = time.perf_counter()
    await asyncio.gather(*(work(task, each) for task in range(tasks)))
    return each * tasks / (time.perf_counter() - start)


async def starsessions(url: str, tasks: int) -> tuple[Call, Call, list[Any]]:
    """The load and the save of starsessions' SessionHandler, and the sessions that are saved."""
    from starlette.requests import HTTPConnection  # noqa: PLC0415  # this environment has it
    from starsessions import JsonSerializer  # noqa: PLC0415
    from starsessions.session import SessionHandler  # noqa: PLC0415
    from starsessions.stores.redis import RedisStore  # noqa: PLC0415

    store = RedisStore(connection=Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=50)))
    serializer = JsonSerializer()

    def handler(task: int) -> Any:
        return SessionHandler(HTTPConnection({"type": "http"}), f"{task:032x}", store, serializer, LIFETIME)

    async def load(task: int, _number: int) -> None:
        session = handler(task)
        await session.load()
        assert len(session.connection.session) == len(DATA)

    loaded = [handler(task) for task in range(tasks)]
    for session in loaded:
        await session.load()
        session.connection.session.update(DATA)

    async def save(task: int, number: int) -> None:
        loaded[task].connection.session["visits"] = number
        await loaded[task].save(LIFETIME)

    return load, save, loaded


async def main(url: str, tasks: int, calls: int) -> None:
    """Print the loads and the saves."""
    load, save, loaded = await starsessions(url, tasks)
    saves = await rate(save, tasks, calls)
    for session in loaded:
        del session.connection.session["__metadata__"]
    print(await rate(load, tasks, calls), saves)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
