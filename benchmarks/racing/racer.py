"""One contender in a process of its own, which does what it reads: `python -m racing.racer ROOM WHO WHAT URL LOOP`.

It may run in another library's environment, so it imports nothing but what the contender needs. Its orders are
`prepare TASKS`, `count` and `run SECONDS`, one a line; each is answered by a line of JSON. Its loop is idle meanwhile.
"""

# ruff: noqa: PLC0415  # each environment has one of the libraries

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TextIO

Call = Callable[[int], Awaitable[object]]
"""What one task does again and again; of how often it has done it."""

Ready = Callable[[int], Awaitable[list[Call]]]
"""Makes what the calls of so many tasks need, and gives a call for each."""

Backlog = Callable[[Any, int], AbstractAsyncContextManager[tuple[Callable[[], Awaitable[object]], Any]]]
"""Of a counter and a worker's concurrency: what enqueues one job, and what works until it is cancelled."""

COUNTED = 20
"""Calls of each task while its commands are counted."""

SLOWEST_START = 5.0
"""Seconds that a worker may need to end its first job."""

LONGEST_STOP = 0.5
"""Seconds that a worker may need to stop; one that goes on would take the jobs of the next round."""


class Calls:
    """Tasks that each call one thing again and again."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self.calls: list[Call] = []

    async def prepare(self, tasks: int) -> None:
        """Connections are made and scripts loaded before anything is measured."""
        self.calls = await self.ready(tasks)
        async with asyncio.TaskGroup() as group:
            for call in self.calls:
                group.create_task(self.once(call))

    async def once(self, call: Call) -> None:
        await call(0)

    async def count(self) -> dict[str, float]:
        """Call one after the other, so often that an average tells."""
        for call in self.calls:
            for number in range(1, COUNTED + 1):
                await call(number)
        return {"calls": len(self.calls) * COUNTED}

    async def run(self, seconds: float) -> dict[str, float]:
        """Call until the time is over; the last calls of each task count, and the time that they take."""
        times: list[float] = []
        cpu, start = time.process_time(), time.perf_counter()
        end = start + seconds

        async def work(call: Call) -> None:
            number, before = 0, time.perf_counter()
            while True:
                number += 1
                await call(number)
                after = time.perf_counter()
                times.append(after - before)
                if after >= end:
                    return
                before = after

        async with asyncio.TaskGroup() as group:
            for call in self.calls:
                group.create_task(work(call))
        took = time.perf_counter() - start
        cpu = time.process_time() - cpu
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        return figures(len(times), took, cpu) | {"p99_ms": p99 * 1000}


class Jobs:
    """A worker that ends the jobs of a queue; the tasks are its concurrency."""

    def __init__(self, backlog: Backlog, jobs: int) -> None:
        self.backlog, self.jobs = backlog, jobs
        self.stack = AsyncExitStack()

    async def prepare(self, tasks: int) -> None:
        """The jobs are there before a worker is."""
        from queue_peers import Counter

        await self.stack.aclose()
        self.counter = Counter(jobs := self.jobs if tasks > 1 else self.jobs // 10)
        put, self.work = await self.stack.enter_async_context(self.backlog(self.counter, tasks))

        async def enqueue() -> None:
            for _ in range(jobs // 20):
                await put()

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(enqueue())

    async def count(self) -> dict[str, float]:
        return await self.run(60)

    async def run(self, seconds: float) -> dict[str, float]:
        """Work from the worker's start until the time or the jobs are over, and longer where none is ended by then."""
        left = self.counter.left
        cpu, start = time.process_time(), time.perf_counter()
        worker, done = asyncio.ensure_future(self.work()), asyncio.ensure_future(self.counter.done.wait())
        while time.perf_counter() < start + seconds + SLOWEST_START:
            await asyncio.wait((worker, done), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if worker.done() or self.counter.left < left:
                break
        found = figures(left - self.counter.left, time.perf_counter() - start, time.process_time() - cpu)
        done.cancel()
        worker.cancel()
        _, stuck = await asyncio.wait((worker,), timeout=LONGEST_STOP)
        return found | {"stuck": len(stuck)}


def figures(calls: int, took: float, cpu: float) -> dict[str, float]:
    """What is said of every run."""
    if not calls:
        raise RuntimeError("nothing was done")
    return {"calls": calls, "rate": calls / took, "cpu_us": cpu / calls * 1e6}


async def obey(drive: Calls | Jobs, order: str) -> dict[str, float]:
    match order.split():
        case ["prepare", tasks]:
            await drive.prepare(int(tasks))
            return {}
        case ["run", seconds]:
            return await drive.run(float(seconds))
        case _:
            return await drive.count()


async def main(out: TextIO, room: str, who: str, what: str, url: str) -> None:
    """Obey until nobody gives orders any more."""
    if room.endswith("peer"):
        from racing.peers import drive_of
    else:
        from racing.ours import drive_of
    drive: Calls | Jobs | None = None
    while order := await asyncio.to_thread(sys.stdin.readline):
        try:
            drive = drive or await drive_of(room.removesuffix(" peer"), who, what, url)
            answer: dict[str, Any] = await obey(drive, order)
        except Exception as error:  # noqa: BLE001  # whatever a library raises is told
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out, flush=True)
    os._exit(0)  # what a library left behind does not hold it up


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    if sys.argv[-1] == "uvloop":
        import uvloop

        uvloop.run(main(answers, *sys.argv[1:5]))
    else:
        asyncio.run(main(answers, *sys.argv[1:5]))
