"""How fast caches are: hits against two other libraries and redis-py's GET, copies in the process, a stampede.

The libraries take turns on one server in one run, each in a virtual environment of its own that is made here; one that
cannot be installed is left out with a line that says so. What counts is the ratio of the medians. Run it with
`python benchmarks/bench_caches.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import redis.asyncio as redis_py
from bench_rate_limits import environment_of
from cache_peers import VALUE, rate
from machine import describe

from aioredis_patterns import Cache, NearCache, connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server

PEERS = ("cashews", "aiocache")
TARGETS = {1: 1.1, 50: 8.0, 500: 20.0}
NEAR_TARGETS = {"an immutable value": 800_000, "a decoded record": 150_000}
PROCESSES, WAITERS, LOAD = 16, 250, 0.3


async def must_not_load(_key: int) -> Any:
    """Every call is a hit."""
    raise AssertionError("it is there")


async def rate_of_peer(python: str, library: str, url: str, *numbers: int) -> float:
    """Hits a second of another library; 0 when it fails, as one does with many tasks."""
    program = Path(__file__).with_name("cache_peers.py")
    command = [python, str(program), library, url, *map(str, numbers)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output, _ = await process.communicate()
    return float(output) if process.returncode == 0 else 0.0


async def bench_hits(server: EmbeddedServer, hits: int, rounds: int, *, shared: bool) -> None:
    """The table of hits a second of records of about 1 kB: one for all tasks, or one for each."""
    pythons = {library: python for library in PEERS if (python := environment_of(library))}
    columns = ("tasks", "ours", *PEERS, "redis-py GET", "ratio", "target")
    whose = "one key for all, which cashews reads once for those who ask together" if shared else "a key for each task"
    print(f"\nhits/s of a record of 1 kB, {whose}; the ratio is to the faster of the two libraries")
    print("".join(f"{column:>14}" for column in columns))
    for tasks, target in TARGETS.items():
        count, keys = hits if tasks > 1 else hits // 10, 1 if shared else tasks
        rates: dict[str, list[float]] = {name: [] for name in ("ours", *PEERS, "redis-py GET")}
        for _ in range(rounds):
            rates["ours"].append(await rate_of_ours(server.url, tasks, count, keys))
            rates["redis-py GET"].append(await rate_of_get(server.url, tasks, count // 5, keys))
            for library, python in pythons.items():
                rates[library].append(await rate_of_peer(python, library, server.url, tasks, count // 5, keys))
        middle = {name: statistics.median(found) if found else 0.0 for name, found in rates.items()}
        best = max(middle[name] for name in PEERS)
        cells = [f"{middle[name]:>14,.0f}" for name in rates]
        print(f"{tasks:>14}{''.join(cells)}{middle['ours'] / best if best else 0:>14.1f}{target:>14.1f}", flush=True)


async def rate_of_ours(url: str, tasks: int, hits: int, keys: int) -> float:
    """Hits a second of `Cache`."""
    async with connect(url) as redis:
        cache = Cache(redis, "bench", ttl=600)
        for key in range(keys):
            await cache.set(key, VALUE)
        return await rate(partial(cache.get_or_load, loader=must_not_load), tasks, hits, keys)


async def rate_of_get(url: str, tasks: int, hits: int, keys: int) -> float:
    """What redis-py's GET makes of it, with nothing decoded."""
    pool = redis_py.BlockingConnectionPool.from_url(url, max_connections=50, timeout=None)
    async with redis_py.Redis(connection_pool=pool) as plain:
        for key in range(keys):
            await plain.set(f"bench:get:{key}", json.dumps(VALUE), ex=600)
        found = await rate(lambda key: plain.get(f"bench:get:{key}"), tasks, hits, keys)
    await pool.aclose()
    return found


async def bench_near(server: EmbeddedServer, hits: int, rounds: int) -> None:
    """The table of copies in the process."""
    print(f"\n{'copies':>20}{'hits/s':>14}{'target':>14}")
    async with connect(server.url) as redis:
        cache = Cache(redis, "near", ttl=600, near=NearCache())
        for (label, target), value in zip(NEAR_TARGETS.items(), ("x" * 1000, VALUE), strict=True):
            await cache.set(0, value)
            await cache.get(0)
            hit = partial(cache.get_or_load, loader=must_not_load)
            found = [await rate(hit, 1, hits, 1) for _ in range(rounds)]
            print(f"{label:>20}{statistics.median(found):>14,.0f}{target:>14,}")


async def stampede(url: str, loads: Any) -> None:
    """One of the processes: its waiters miss at one time; says how long the slowest waited."""
    async with connect(url) as redis:
        cache = Cache(redis, "stampede", ttl=60)

        async def load() -> str:
            await redis.incr(loads)
            await asyncio.sleep(LOAD)
            return "loaded"

        await redis.incr(f"{loads}:ready")
        while not await redis.exists(f"{loads}:go"):  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.001)
        start = time.perf_counter()
        await asyncio.gather(*(cache.get_or_load("key", load) for _ in range(WAITERS)))
        print(time.perf_counter() - start)


async def bench_stampede(server: EmbeddedServer) -> None:
    """Many processes miss one key at one time."""
    command = [sys.executable, __file__, "--stampede", server.url]
    async with connect(server.url) as redis:
        processes = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
        while int(await redis.get("loads:ready") or 0) < PROCESSES:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
        await redis.set("loads:go", 1, ex=60)
        outputs = [(await process.communicate())[0] for process in processes]
        loads = int(await redis.get("loads"))
    slowest = max(float(output) for output in outputs)
    print(
        f"\n{PROCESSES} processes with {WAITERS} waiters each, a loader of {LOAD * 1000:.0f} ms: {loads} load "
        f"(target 1), the last waiter done after {slowest * 1000:.0f} ms (target 450)"
    )


async def main(smoke: bool) -> None:
    """Print every table."""
    hits, rounds = (5_000, 3) if smoke else (50_000, 5)
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        await bench_hits(server, hits, rounds, shared=False)
        await bench_hits(server, hits, rounds, shared=True)
        await bench_near(server, hits * 4, rounds)
        await bench_stampede(server)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    parser.add_argument("--stampede", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stampede:
        asyncio.run(stampede(options.stampede, "loads"))
    else:
        asyncio.run(main(options.smoke))
