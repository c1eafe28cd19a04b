"""What SessionMiddleware adds to a request that reads the session: microseconds, one at a time and 50 at once.

Run it with `python benchmarks/bench_session_middleware.py [--smoke]`. The target is less than 150. The same application
without the middleware is measured in turns with it; what is shown is the difference of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from machine import describe

from aioredis_patterns import SessionStore, connect, embedded_server
from aioredis_patterns.integrations.asgi import SessionMiddleware

App = Callable[[Any, Any, Any], Awaitable[None]]


async def hello(scope: Any, _: Any, send: Any) -> None:
    if "session" in scope:
        assert scope["session"]["name"] == "Ada"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def drop(message: Any) -> None:
    """A server that sends nothing."""


async def cost_us(app: App, cookie: bytes, tasks: int, requests: int) -> float:
    """Microseconds per request, by so many tasks."""

    async def ask() -> None:
        for _ in range(requests // tasks):
            await app({"type": "http", "headers": [(b"cookie", cookie)]}, None, drop)

    start = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(tasks)))
    return (time.perf_counter() - start) / requests * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, whose figures mean nothing")
    rounds, requests = (1, 100) if parser.parse_args().smoke else (9, 5_000)
    async with embedded_server() as server, connect(server.url) as redis:
        print(describe(server))
        store = SessionStore(redis)
        session = await store.create("ada", {"name": "Ada", "cart": ["tea"] * 5})
        cookie = b"__Host-session=" + session.token.encode()
        wrapped = SessionMiddleware(hello, store=store)
        for tasks in (1, 50):
            turns = [[await cost_us(app, cookie, tasks, requests) for app in (hello, wrapped)] for _ in range(rounds)]
            without, with_it = (median(times) for times in zip(*turns, strict=True))
            print(f"{tasks:3} at once: {without:6.1f} us without, {with_it:6.1f} with, {with_it - without:6.1f} added")


if __name__ == "__main__":
    asyncio.run(main())
