"""How many decisions one process makes for a subject that it leases: admitted ones, and denials of an exhausted limit.

Run it with `python benchmarks/bench_local_lease.py [--smoke]`. The target is 500,000 decisions a second.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from machine import describe

from aioredis_patterns import LocalLease, TokenBucket, connect, embedded_server

TASKS = (1, 50)


async def rate(lease: LocalLease, decisions: int, tasks: int) -> tuple[float, float]:
    """Decisions per second, and the part of them that was admitted."""
    admitted = 0

    async def hits() -> None:
        nonlocal admitted
        for _ in range(decisions // tasks):
            decision = await lease.hit("tenant:7")
            admitted += decision.allowed

    start = time.perf_counter()
    await asyncio.gather(*(hits() for _ in range(tasks)))
    return decisions / (time.perf_counter() - start), admitted / decisions


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, whose figures mean nothing")
    decisions = 20_000 if parser.parse_args().smoke else 2_000_000
    async with embedded_server() as server, connect(server.url) as redis:
        print(describe(server))
        plenty = TokenBucket(redis, "plenty", limit=100_000_000, period=1)
        scarce = TokenBucket(redis, "scarce", limit=10_000, period=1)
        for what, limiter in (("admitted", plenty), ("exhausted", scarce)):
            for tasks in TASKS:
                per_second, part = await rate(LocalLease(limiter, block=1000), decisions, tasks)
                print(f"{what:>9}, {tasks:2} tasks: {per_second:9,.0f} decisions/s, {part:.1%} admitted")


if __name__ == "__main__":
    asyncio.run(main())
