"""How many questions about flags one process answers: one flag, and all 50 flags of a user.

Run it with `python benchmarks/bench_flags.py [--smoke]`. The targets are 300,000 and 20,000 a second, from the copies
in the process. What the first question about a user costs stands beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

from machine import describe

from aioredis_patterns import FeatureFlags, connect, embedded_server

FLAGS = 50
USERS = 1_000


async def rate(ask: Callable[[str], Awaitable[object]], users: list[str], rounds: int) -> float:
    """Questions a second, one after the other."""
    start = time.perf_counter()
    for _ in range(rounds):
        for user in users:
            await ask(user)
    return rounds * len(users) / (time.perf_counter() - start)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, whose figures mean nothing")
    rounds = 2 if parser.parse_args().smoke else 1_000
    users = [f"user:{number}" for number in range(USERS)]
    async with embedded_server() as server, connect(server.url) as redis:
        print(describe(server))
        flags = FeatureFlags(redis, "bench")
        for number in range(FLAGS):
            await flags.set(f"flag{number}", percentage=number * 2)
        for grants in ("nobody was granted a flag", "each user was granted one"):
            await flags.enabled("flag1")
            print(f"all {FLAGS}, first question ({grants}): {await rate(flags.all, users, 1):11,.0f} users/s")
            print(f"all {FLAGS}, near ({grants}):           {await rate(flags.all, users, rounds):11,.0f} users/s")
            one = await rate(lambda user: flags.enabled("flag25", user), users, rounds)
            print(f"one flag, near ({grants}):         {one:11,.0f} answers/s")
            await flags.grant("flag1", *users)


if __name__ == "__main__":
    asyncio.run(main())
