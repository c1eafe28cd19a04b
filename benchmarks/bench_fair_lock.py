"""How fair `FairLock` is: the longest wait over the mean, which is to be under 2, with `Lock` beside it.

Tasks of several processes begin together and come again and again. The first and the last turns of each task count
for nothing: then not everybody is there. Run it with `python benchmarks/bench_fair_lock.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time

from machine import describe

from aioredis_patterns import FairLock, Lock, connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server

KINDS = {"FairLock": FairLock, "Lock": Lock}
PROCESSES, TASKS = 4, 25
SECTION = 0.001
"""Seconds in the critical section."""


async def wait_in_turn(kind: str, url: str, start: float, turns: int) -> list[float]:
    """What each process does: how long each turn was waited for."""
    async with connect(url) as redis:
        lock = KINDS[kind](redis, f"bench:{kind}", lease=10)
        waits: list[list[float]] = []

        async def work() -> None:
            mine: list[float] = []
            waits.append(mine)
            await redis.ping()
            await asyncio.sleep(start - time.monotonic())
            for _ in range(turns):
                asked = time.monotonic()
                async with lock:
                    mine.append(time.monotonic() - asked)
                    await asyncio.sleep(SECTION)

        await asyncio.gather(*(work() for _ in range(TASKS)))
    return [wait for mine in waits for wait in mine[2:-2]]


async def measure(server: EmbeddedServer, kind: str, turns: int) -> None:
    """Print what the processes have waited."""
    start = time.monotonic() + 3
    command = (sys.executable, __file__, "--worker", kind, server.url, str(start), str(turns))
    pipe = asyncio.subprocess.PIPE
    processes = [await asyncio.create_subprocess_exec(*command, stdout=pipe) for _ in range(PROCESSES)]
    said = await asyncio.gather(*(process.communicate() for process in processes))
    rate = PROCESSES * TASKS * turns / (time.monotonic() - start)
    waits = [wait for out, _ in said for wait in json.loads(out)]
    mean, longest = statistics.fmean(waits), max(waits)
    print(f"{kind:>10}{rate:>12,.0f}{mean * 1000:>12.0f}{longest * 1000:>12.0f}{longest / mean:>16.2f}")


async def main(smoke: bool) -> None:
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        print(f"{'':>10}{'turns/s':>12}{'mean, ms':>12}{'longest, ms':>12}{'longest/mean':>16}")
        for kind in KINDS:
            await measure(server, kind, 8 if smoke else 40)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    parser.add_argument("--worker", nargs=4, metavar=("KIND", "URL", "START", "TURNS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, url, start, turns = options.worker
        print(json.dumps(asyncio.run(wait_in_turn(kind, url, float(start), int(turns)))))
    else:
        asyncio.run(main(options.smoke))
