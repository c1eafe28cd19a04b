"""How fast, how small and how prompt queues are: against four other libraries, and against their own targets.

The libraries take turns on one server in one run, each in a virtual environment of its own that is made here; one that
cannot be installed is left out with a line that says so. What counts is the ratio of the medians. Run it with
`python benchmarks/bench_queues.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import redis.asyncio as redis_py
from bench_rate_limits import environment_of
from machine import describe
from queue_peers import CONCURRENCY, TASKS, Counter

from aioredis_patterns import PriorityQueue, Queue, Worker, connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server

PEERS = {"arq": True, "saq": True, "streaq": True, "taskiq-redis": True}
"""Whether each library, as it is run here, keeps a job whose worker is killed."""

KINDS: tuple[Any, ...] = (Queue, PriorityQueue)
JOBS_RATIO, PUTS_RATIO, CALLS, LATENCY_MS = 5, 5, 2.0, 2.0
BYTES = {"Queue": 300, "PriorityQueue": 400}


# Speed ---------------------------------------------------------------------------------------------------------------


async def bench_speed(server: EmbeddedServer, jobs: int, rounds: int) -> None:
    """The table of jobs a second: put by 50 tasks, then ended by one worker of 100."""
    found: dict[str, list[tuple[float, ...]]] = {}
    pythons = {library: python for library in PEERS if (python := environment_of(library))}
    for _ in range(rounds):
        for kind in KINDS:
            found.setdefault(kind.__name__, []).append(await speed_of(server, kind, jobs))
        for library, python in pythons.items():
            if rates := await speed_of_peer(server, library, python, max(jobs // 10, 1000)):
                found.setdefault(library, []).append(rates)
    print(f"\nput by {TASKS} tasks, ended by one worker of {CONCURRENCY}; calls: scripts for each job that ends")
    print("".join(f"{column:>15}" for column in ("", "puts/s", "jobs/s", "calls/job")))
    middle = {name: [statistics.median(values) for values in zip(*rates, strict=True)] for name, rates in found.items()}
    for name, (puts, ended, *calls) in middle.items():
        print(f"{name:>15}{puts:>15,.0f}{ended:>15,.0f}" + "".join(f"{share:>15.2f}" for share in calls))
    print(f"{'target':>15}{ratio(middle, 0):>15}{ratio(middle, 1):>15}{CALLS:>15.2f}", flush=True)


def ratio(middle: dict[str, list[float]], column: int) -> str:
    """Ours against the best of the others, and what is wanted."""
    best = max((middle[name][column] for name in PEERS if name in middle), default=0.0)
    wanted = (PUTS_RATIO, JOBS_RATIO)[column]
    return f"{middle['Queue'][column] / best:.1f} of {wanted}" if best else "-"


async def speed_of(server: EmbeddedServer, kind: Any, jobs: int) -> tuple[float, float, float]:
    """Puts and jobs a second, and script calls for each job."""
    async with connect(server.url) as redis:
        await redis.flushdb()
        queue, counter = kind(redis, "bench"), Counter(jobs)

        async def put() -> None:
            for _ in range(jobs // TASKS):
                await queue.put(None)

        async def noop(_: Any) -> None:
            counter.one()

        start = time.perf_counter()
        await asyncio.gather(*(put() for _ in range(TASKS)))
        puts = jobs / (time.perf_counter() - start)
        await redis.config_resetstat()
        start = time.perf_counter()
        async with Worker(queue, noop, concurrency=CONCURRENCY):
            await counter.done.wait()
            ended = jobs / (time.perf_counter() - start)
        return puts, ended, (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] / jobs


async def speed_of_peer(server: EmbeddedServer, library: str, python: str, jobs: int) -> tuple[float, ...]:
    """Puts and jobs a second of another library; nothing when it fails."""
    async with connect(server.url) as redis:
        await redis.flushdb()
    program = Path(__file__).with_name("queue_peers.py")
    command = (python, str(program), library, server.url, str(jobs))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 120)
    except TimeoutError:
        process.kill()
        output = b""
    return tuple(map(float, output.split()))


# Latency -------------------------------------------------------------------------------------------------------------


async def bench_latency(redis: redis_py.Redis, puts: int) -> None:
    """The time from a put to the handler of an idle worker."""
    print(f"\nms from put to the handler of an idle worker, {puts} puts one after the other, target p50 {LATENCY_MS}")
    print("".join(f"{column:>15}" for column in ("", "p50", "p99")))
    for kind in KINDS:
        queue, times, handled = kind(redis, "latency"), [], asyncio.Event()

        async def note(sent: float, times: list[float] = times, handled: asyncio.Event = handled) -> None:
            times.append(1000 * (time.perf_counter() - sent))
            handled.set()

        async with Worker(queue, note, concurrency=CONCURRENCY):
            for _ in range(puts):
                await asyncio.sleep(0.005)
                handled.clear()
                await queue.put(time.perf_counter())
                await handled.wait()
        times.sort()
        print(f"{kind.__name__:>15}{times[len(times) // 2]:>15.2f}{times[len(times) * 99 // 100]:>15.2f}")


# Size and growth -----------------------------------------------------------------------------------------------------


async def bench_growth(redis: redis_py.Redis, sizes: tuple[int, ...]) -> None:
    """The tables of bytes for each message, and of what a claim costs the server, as the queue grows."""
    print("\na queue of messages of 100 bytes: memory for each, us of the server to claim one and to claim 100")
    print("".join(f"{column:>15}" for column in ("", "messages", "bytes", "target", "claim 1", "claim 100")))
    for kind in KINDS:
        for size in sizes:
            await redis.flushdb()
            queue, before = kind(redis, "growth"), (await redis.info("memory"))["used_memory"]
            for at in range(0, size, 10_000):
                await queue.put_many(["x" * 98] * min(10_000, size - at))
            used = ((await redis.info("memory"))["used_memory"] - before) / size
            one, hundred = [await claim_us(redis, queue, count) for count in (1, min(100, size // 4))]
            name = kind.__name__
            print(f"{name:>15}{size:>15,}{used:>15,.0f}{BYTES[name]:>15}{one:>15.1f}{hundred:>15.1f}", flush=True)


async def claim_us(redis: redis_py.Redis, queue: Any, count: int) -> float:
    """Microseconds that the server works for one claim."""
    await redis.config_resetstat()
    for _ in range(20):
        for delivery in await queue.claim_many(count, timeout=0):
            await delivery.hand_back()
    await redis.config_resetstat()
    await queue.claim_many(count, timeout=0)
    stats = (await redis.info("commandstats"))["cmdstat_evalsha"]
    return float(stats["usec"]) / float(stats["calls"])


async def main(smoke: bool) -> None:
    jobs, rounds, puts, sizes = (2_000, 1, 50, (100, 1_000)) if smoke else (50_000, 3, 1_000, (100, 10_000, 1_000_000))
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        async with connect(server.url) as redis:
            await bench_latency(redis, puts)
            await bench_growth(redis, sizes)
        await bench_speed(server, jobs, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    asyncio.run(main(parser.parse_args().smoke))
