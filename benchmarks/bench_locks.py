"""How fast locks are: uncontended, handed from task to task, from process to process, and how soon a waiter wakes.

Ours and redis-py's take turns on one server in one run; what counts is the ratio. The yardstick of a hand-over is
`asyncio.Lock`, which asks no server at all. Run it with `python benchmarks/bench_locks.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import redis.asyncio as redis_py
from machine import describe

from aioredis_patterns import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from aioredis_patterns.locks import FairLock, Lock
from aioredis_patterns.locks import lock as lock_module

IN_FLIGHT = (1, 50, 500)
TARGETS = {1: 1.2, 50: 7.0, 500: 12.0}
SECTION = 0.001
"""Seconds in the critical section."""

Hold = tuple[float, float]
"""When a lock was acquired, and when its release began."""

Pair = Callable[[int], Callable[[], Awaitable[object]]]
"""Makes, for the task of this number, a function that acquires and releases its lock once."""


# One lock for each task ----------------------------------------------------------------------------------------------


def our_pair(client: redis_py.Redis) -> Pair:
    def for_task(number: int) -> Callable[[], Awaitable[object]]:
        lock = Lock(client, f"bench:{number}", lease=10)

        async def pair() -> None:
            lease = await lock.acquire()
            await lease.release()

        return pair

    return for_task


def redis_py_pair(client: redis_py.Redis) -> Pair:
    def for_task(number: int) -> Callable[[], Awaitable[object]]:
        lock = client.lock(f"bench:redis-py:{number}", timeout=10)

        async def pair() -> None:
            await lock.acquire()
            await lock.release()

        return pair

    return for_task


async def pairs_a_second(make: Pair, tasks: int, pairs: int) -> float:
    """Acquire and release so often, each task its own lock."""
    each = max(pairs // tasks, 1)

    async def work(pair: Callable[[], Awaitable[object]]) -> None:
        for _ in range(each):
            await pair()

    ready = [make(number) for number in range(tasks)]
    start = time.perf_counter()
    await asyncio.gather(*(work(pair) for pair in ready))
    return each * tasks / (time.perf_counter() - start)


def tool_rate(server: EmbeddedServer, calls: int, sha: str, *args: str) -> float:
    """What the server's own benchmark tool reaches with a script, 100 commands a write, on locks chosen at random."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return 0.0
    target = [program, "-h", server.host, "-p", str(server.port), "-P", "100", "-n", str(calls), "-r", "10000000", "-q"]
    output = subprocess.run([*target, "EVALSHA", sha, *args], capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", output)[-1])


def pair_ceiling(server: EmbeddedServer, calls: int) -> float:
    """How many pairs of our two scripts the server can execute in a second; 0 without its benchmark tool."""
    lock, fence, waiters = "{__rand_int__}:lock", "{__rand_int__}:fence", "{__rand_int__}:waiters"
    token, owner = "0123456789abcdef42", "host 12345 1700000000 Task-42"
    acquire, release = lock_module._ACQUIRE.source.sha, lock_module._RELEASE.source.sha  # noqa: SLF001
    acquires = tool_rate(server, calls, acquire, "3", lock, fence, waiters, token, "2000", owner)
    releases = tool_rate(server, calls, release, "2", lock, waiters, token)
    return 1 / (1 / acquires + 1 / releases) if acquires else 0.0


async def bench_uncontended(server: EmbeddedServer, pairs: int, rounds: int) -> None:
    """The table of acquire and release without contention."""
    ours = connect(server.url)
    theirs = redis_py.Redis(
        connection_pool=redis_py.BlockingConnectionPool.from_url(server.url, max_connections=50, timeout=None)
    )
    print("\nacquire + release of a free lock, pairs/s")
    print(
        "".join(f"{column:>12}" for column in ("tasks", "ours", "redis-py", "ratio", "target", "of ceiling", "target"))
    )
    for tasks in IN_FLIGHT:
        share = pairs if tasks > 1 else pairs // 10
        rates: dict[str, list[float]] = {"ours": [], "redis-py": [], "ceiling": []}
        await pairs_a_second(our_pair(ours), tasks, share // 5)  # the first ones make the fence counters
        for _ in range(rounds):
            rates["ours"].append(await pairs_a_second(our_pair(ours), tasks, share))
            rates["redis-py"].append(await pairs_a_second(redis_py_pair(theirs), tasks, share // 10))
            if tasks == max(IN_FLIGHT):
                rates["ceiling"].append(pair_ceiling(server, pairs * 2))
        mine, other = statistics.median(rates["ours"]), statistics.median(rates["redis-py"])
        ceiling = statistics.median(rates["ceiling"] or [0.0])
        of_ceiling = f"{mine / ceiling:>12.2f}{0.6:>12.1f}" if ceiling else ""
        print(f"{tasks:>12}{mine:>12,.0f}{other:>12,.0f}{mine / other:>12.1f}{TARGETS[tasks]:>12.1f}{of_ceiling}")
    await asyncio.gather(ours.aclose(), theirs.connection_pool.aclose())


# One lock for all ----------------------------------------------------------------------------------------------------


async def contend(lock: Callable[[], AbstractAsyncContextManager[Any]], tasks: int, sections: int) -> list[Hold]:
    """Pass through one lock from so many tasks, each of them so often."""
    holds: list[Hold] = []

    async def work() -> None:
        for _ in range(sections):
            async with lock():
                acquired = time.monotonic()
                await asyncio.sleep(SECTION)
                holds.append((acquired, time.monotonic()))

    await asyncio.gather(*(work() for _ in range(tasks)))
    return holds


@dataclass(frozen=True, slots=True)
class Result:
    """What a contended run came to."""

    rate: float
    commands: float
    p99: float

    def __str__(self) -> str:
        commands = f"{self.commands:>12.1f}" if self.commands else f"{'-':>12}"
        return f"{self.rate:>12,.0f}{commands}{self.p99 * 1000:>12.1f}"


def judge(holds: list[Hold], commands: int) -> Result:
    """Holds a second until all are done, commands for each, and how long the lock stays free between two."""
    holds = sorted(holds)
    waits = [after[0] - before[1] for before, after in pairwise(holds)]
    assert min(waits) >= 0, "two holders at the same time"
    rate = len(holds) / (holds[-1][1] - holds[0][0])
    return Result(rate, commands / len(holds), statistics.quantiles(waits, n=100)[98])


async def scripts_called(client: redis_py.Redis) -> int:
    """What our locks have sent to the server so far."""
    stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "subscribe"))


async def contended_locally(server: EmbeddedServer, kind: str, sections: int) -> Result:
    """100 tasks of one process."""
    async with contender(kind, server.url) as (client, lock):
        before = await scripts_called(client)
        holds = await contend(lock, 100, sections)
        commands = await scripts_called(client) - before
        return judge(holds, commands if kind == "ours" else 0)


class contender:  # noqa: N801  # used like a function
    """A client, and what makes its lock."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind, self.url = kind, url

    async def __aenter__(self) -> tuple[redis_py.Redis, Callable[[], AbstractAsyncContextManager[Any]]]:
        if self.kind == "ours":
            self.client = connect(self.url)
            shared = Lock(self.client, "bench:one", lease=10)
            return self.client, lambda: shared
        pool = redis_py.BlockingConnectionPool.from_url(self.url, max_connections=50, timeout=None)
        client = self.client = redis_py.Redis.from_pool(pool)
        if self.kind == "asyncio.Lock":
            local = asyncio.Lock()
            return client, lambda: local
        pause = 0.1 if self.kind == "redis-py" else 0.001
        return client, lambda: client.lock("bench:redis-py:one", timeout=10, sleep=pause)

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()


async def contended_by_processes(server: EmbeddedServer, kind: str, sections: int) -> Result:
    """25 tasks in each of 4 processes."""
    client = redis_py.Redis.from_url(server.url)
    before = await scripts_called(client)
    command = [sys.executable, __file__, "--worker", kind, server.url, str(sections)]
    workers = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(4)]
    outputs = [(await worker.communicate())[0] for worker in workers]
    commands = await scripts_called(client) - before
    await client.aclose()
    return judge([tuple(hold) for output in outputs for hold in json.loads(output)], commands)


async def bench_contended(server: EmbeddedServer, sections: int, rounds: int) -> None:
    """The table of hand-overs."""
    print(
        f"\none lock, {SECTION * 1000:g} ms inside: holds a second, commands for each, ms from release to next holder"
    )
    print("".join(f"{column:>12}" for column in ("", "", "a second", "commands", "p99 ms")))
    results: dict[str, list[Result]] = {}
    runs = [("asyncio.Lock", contended_locally), ("ours", contended_locally), ("redis-py", contended_locally)]
    runs += [("redis-py 1ms", contended_locally), ("ours", contended_by_processes)]
    for _ in range(rounds):
        for kind, run in runs:
            share = {"redis-py": 1, "redis-py 1ms": 2}.get(kind, sections)  # so that no run takes much longer
            results.setdefault(f"{kind} {run.__name__}", []).append(await run(server, kind, share))
    middle = {label: sorted(found, key=lambda one: one.rate)[rounds // 2] for label, found in results.items()}
    for label, result in middle.items():
        kind, _, where = label.rpartition(" ")
        print(f"{kind:>14}{'100 tasks' if where == 'contended_locally' else '4 x 25 tasks':>14}{result}")
    alone = middle["asyncio.Lock contended_locally"].rate
    mine, processes = middle["ours contended_locally"], middle["ours contended_by_processes"]
    print(f"ours over redis-py's default: {mine.rate / middle['redis-py contended_locally'].rate:.0f} (target 25)")
    print(f"ours over asyncio.Lock: {mine.rate / alone:.2f} (target 0.8)")
    print(f"ours in 4 processes over asyncio.Lock: {processes.rate / alone:.2f} (target 0.6)")
    print(
        f"commands for each hand-over: {mine.commands:.1f}, in 4 processes {processes.commands:.1f} (target 5 at most)"
    )
    print(f"p99 from a release to the next holder, 4 processes: {processes.p99 * 1000:.1f} ms (target under 20)")


# Fairness ------------------------------------------------------------------------------------------------------------


async def fair_waits(url: str, sections: int) -> list[float]:
    """How long each of 100 tasks of two clients waited for a fair lock, each time that it came."""
    waits: list[float] = []

    async def work(client: redis_py.Redis) -> None:
        lock = FairLock(client, "bench:fair", lease=10)
        for number in range(sections + 1):
            began = time.monotonic()
            async with lock:
                if number:  # the first round is that in which the line forms
                    waits.append(time.monotonic() - began)
                await asyncio.sleep(SECTION)

    async with connect(url) as one, connect(url) as other:
        await asyncio.gather(*(work(client) for client in (one, other) for _ in range(50)))
    return waits


async def bench_fair(server: EmbeddedServer, sections: int, rounds: int) -> None:
    """The row of the fair lock."""
    found = [await fair_waits(server.url, sections) for _ in range(rounds)]
    ratio = statistics.median(max(waits) / statistics.mean(waits) for waits in found)
    print(f"\nFairLock, 100 tasks of two clients: longest wait over mean wait: {ratio:.2f} (target under 2)")


async def main(smoke: bool) -> None:
    pairs, sections, rounds = (4_000, 3, 1) if smoke else (40_000, 20, 5)
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        await bench_uncontended(server, pairs, rounds)
        await bench_contended(server, sections, rounds)
        await bench_fair(server, sections, rounds)


async def work_for(kind: str, url: str, sections: int) -> None:
    """What each of the processes does."""
    async with contender(kind, url) as (_, lock):
        print(json.dumps(await contend(lock, 25, sections)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "URL", "SECTIONS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        asyncio.run(work_for(options.worker[0], options.worker[1], int(options.worker[2])))
    else:
        asyncio.run(main(options.smoke))
