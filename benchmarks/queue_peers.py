"""Jobs a second of another library's queue; `bench_queues.py` runs it in a virtual environment of that library.

`python queue_peers.py LIBRARY URL JOBS` prints the jobs that 50 tasks enqueue a second, and those that a worker of 100
ends a second, from its start.
"""

# ruff: noqa: PLC0415  # each environment has one of the libraries

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

TASKS, CONCURRENCY = 50, 100

Pair = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]
"""Enqueues one job; runs a worker until it is cancelled."""


class Counter:
    """Counts the jobs that have ended."""

    def __init__(self, wanted: int) -> None:
        self.left, self.done = wanted, asyncio.Event()

    def one(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


@contextlib.asynccontextmanager
async def arq(url: str, counter: Counter, concurrency: int = CONCURRENCY) -> AsyncIterator[Pair]:
    from arq import Worker, create_pool
    from arq.connections import RedisSettings

    async def noop(_: Any) -> None:
        counter.one()

    noop.__qualname__ = "noop"
    settings = RedisSettings.from_dsn(url)
    settings.max_connections = 200
    pool = await create_pool(settings)
    worker = Worker([noop], redis_pool=pool, max_jobs=concurrency, poll_delay=0.01, keep_result=0, handle_signals=False)
    yield lambda: pool.enqueue_job("noop"), worker.async_run


@contextlib.asynccontextmanager
async def saq(url: str, counter: Counter, concurrency: int = CONCURRENCY) -> AsyncIterator[Pair]:
    from saq import Queue, Worker

    async def noop(_: Any) -> None:
        counter.one()

    noop.__qualname__ = "noop"
    queue = Queue.from_url(url)
    await queue.connect()
    yield lambda: queue.enqueue("noop"), Worker(queue, [noop], concurrency=concurrency).start


@contextlib.asynccontextmanager
async def streaq(url: str, counter: Counter, concurrency: int = CONCURRENCY) -> AsyncIterator[Pair]:
    from streaq import Worker

    async def noop() -> None:
        counter.one()

    # Two, as one that is entered to enqueue cannot be run.
    producer, worker = (Worker(redis_url=url, concurrency=concurrency, handle_signals=False) for _ in range(2))
    worker.task(noop)
    job = producer.task(noop)

    async def enqueue() -> None:
        await job.enqueue()

    async with producer:
        yield enqueue, worker.run_async


@contextlib.asynccontextmanager
async def taskiq_redis(url: str, counter: Counter, concurrency: int = CONCURRENCY) -> AsyncIterator[Pair]:
    from taskiq.api import run_receiver_task
    from taskiq_redis import RedisStreamBroker

    broker = RedisStreamBroker(url)

    @broker.task
    async def noop() -> None:
        counter.one()

    await broker.startup()
    yield noop.kiq, lambda: run_receiver_task(broker, max_async_tasks=concurrency)


MAKERS = {"arq": arq, "saq": saq, "streaq": streaq, "taskiq-redis": taskiq_redis}


async def main(library: str, url: str, jobs: int) -> None:
    counter = Counter(jobs)
    async with MAKERS[library](url, counter) as (enqueue, work):

        async def put() -> None:
            for _ in range(jobs // TASKS):
                await enqueue()

        start = time.perf_counter()
        await asyncio.gather(*(put() for _ in range(TASKS)))
        enqueued = jobs / (time.perf_counter() - start)
        start = time.perf_counter()
        worker = asyncio.ensure_future(work())
        await counter.done.wait()
        print(enqueued, jobs / (time.perf_counter() - start), flush=True)
        worker.cancel()
        await asyncio.wait((worker,), timeout=5)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3])))
