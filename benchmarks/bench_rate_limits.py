"""How fast and how large rate limits are: against three other libraries, and against the server itself.

The libraries take turns on one server in one run, each in a virtual environment of its own that is made here; one that
cannot be installed is left out with a line that says so. What counts is the ratio of the medians. Run it with
`python benchmarks/bench_rate_limits.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

import redis.asyncio as redis_py
from machine import describe
from rate_limit_peers import LIMIT, rate

from aioredis_patterns import (
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
    connect,
)
from aioredis_patterns.embedded import EmbeddedServer, embedded_server

PEERS = {
    "limits": {"FixedWindow", "SlidingWindow", "SlidingLog"},
    "throttled-py": {"FixedWindow", "SlidingWindow", "TokenBucket", "LeakyBucket", "Gcra"},
    "pyrate-limiter": {"SlidingLog"},
}
"""Which of our kinds each library has its own of."""

KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (FixedWindow, SlidingWindow, SlidingLog, TokenBucket, LeakyBucket, Gcra)
}
TARGETS = {1: 1.1, 50: 6.0, 500: 12.0}
OF_SERVER = 0.7
BYTES = {"FixedWindow": 0, "SlidingWindow": 96, "SlidingLog": 40, "TokenBucket": 64, "LeakyBucket": 64, "Gcra": 32}
ENVIRONMENTS = Path(tempfile.gettempdir()) / "aioredis-patterns-bench"


# Speed ---------------------------------------------------------------------------------------------------------------


def environment_of(library: str, *others: str) -> str | None:
    """The interpreter that has a library, and others beside it; None where it cannot be installed."""
    home = ENVIRONMENTS / library
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
    install = [python, "-m", "pip", "install", "-q", library, "redis", "hiredis", *others]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        print(f"{library} cannot be installed, and is left out")
        return None
    return str(python)


async def rate_of_peer(python: str, library: str, kind: str, url: str, tasks: int, hits: int) -> float:
    """Hits a second of another library."""
    program = Path(__file__).with_name("rate_limit_peers.py")
    command = [python, str(program), library, kind, url, str(tasks), str(hits)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return float(output) if process.returncode == 0 else 0.0


def rate_of_server(server: EmbeddedServer, limiter: Limiter, calls: int) -> float:
    """What the server's own benchmark tool reaches with the same script, 64 in a pipeline; 0 without the tool."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return 0.0
    target = [program, "-h", server.host, "-p", str(server.port), "-P", "64", "-n", str(calls), "-r", "1000", "-q"]
    script = ["EVALSHA", limiter._hit.source.sha, "1", "{tool:__rand_int__}", *limiter._arguments, "1"]  # noqa: SLF001
    output = subprocess.run([*target, *script], capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", output)[-1])


async def bench_speed(server: EmbeddedServer, hits: int, rounds: int) -> None:
    """The table of hits a second."""
    pythons = {library: python for library in PEERS if (python := environment_of(library))}
    columns = ("kind", "tasks", "ours", *PEERS, "ratio", "target", "of server", "target")
    print("\nhits/s\n" + "".join(f"{column:>15}" for column in columns))
    for make in KINDS.values():
        for tasks in TARGETS:
            print(await row(server, pythons, make, (tasks, hits if tasks > 1 else hits // 10), rounds))
        print(flush=True)


async def row(server: EmbeddedServer, pythons: dict[str, str], make: Any, size: tuple[int, int], rounds: int) -> str:
    """One kind, from one number of tasks."""
    kind, (tasks, hits) = make.__name__, size
    rates: dict[str, list[float]] = {"ours": [], "server": []}
    for _ in range(rounds):
        async with connect(server.url) as redis:
            await redis.flushdb()
            limiter = make(redis, "bench", limit=LIMIT, period=60)
            rates["ours"].append(await rate(limiter.hit, tasks, hits))
            if tasks == max(TARGETS):
                rates["server"].append(rate_of_server(server, limiter, hits * 2))
        for library, python in pythons.items():
            if kind in PEERS[library]:
                share = await rate_of_peer(python, library, kind, server.url, tasks, hits // 5)
                rates.setdefault(library, []).append(share)
    middle = {name: statistics.median(found) for name, found in rates.items() if found}
    best = max((value for name, value in middle.items() if name in PEERS), default=0.0)
    cells = [f"{kind:>15}{tasks:>15}{middle['ours']:>15,.0f}"]
    cells += [f"{middle[name]:>15,.0f}" if name in middle else f"{'-':>15}" for name in PEERS]
    cells.append(f"{middle['ours'] / best:>15.1f}{TARGETS[tasks]:>15.1f}" if best else f"{'-':>15}{'':>15}")
    if middle.get("server"):
        cells.append(f"{middle['ours'] / middle['server']:>15.2f}{OF_SERVER:>15.1f}")
    return "".join(cells)


# Size ----------------------------------------------------------------------------------------------------------------


async def bench_size(redis: redis_py.Redis) -> None:
    """The table of bytes for each subject, as the server counts them, above a plain string that expires."""
    print("\nbytes of a subject above `SET key 1 PX` of the same key, of the log for each of 1,000 hits")
    print("".join(f"{column:>15}" for column in ("kind", "bytes", "target", "")))
    for kind, make in KINDS.items():
        count = 1000 if kind == "SlidingLog" else 1
        limiter = make(redis, "size", limit=1000, period=60)
        key = limiter._keys.key(limiter._part, "user:1")  # noqa: SLF001
        await redis.set(key, 1, px=60_000)
        plain = await redis.memory_usage(key, samples=0)
        await redis.delete(key)
        for _ in range(count):
            await limiter.hit("user:1")
        size = (await redis.memory_usage(key, samples=0) - plain) / count
        print(f"{kind:>15}{size:>15,.0f}{BYTES[kind]:>15}{'' if size <= BYTES[kind] else 'missed':>15}")


async def bench_log(redis: redis_py.Redis, calls: int) -> None:
    """The table of what a log costs the server as it grows."""
    print("\na log with so many hits: us of the server for each call")
    print("".join(f"{column:>15}" for column in ("hits", "admitted", "denied", "denied, half", "peek")))
    for size in (10, 100, 1000, 10_000):
        limiter = SlidingLog(redis, f"log:{size}", limit=size, period=3600)
        await asyncio.gather(*(limiter.hit() for _ in range(size)))
        roomy = SlidingLog(redis, f"log:{size}", limit=10**9, period=3600)
        costs = [await server_us(redis, ask, calls) for ask in (
            limiter.hit, lambda limiter=limiter, size=size: limiter.hit(cost=size // 2), limiter.peek, roomy.hit,
        )]  # fmt: skip
        denied, half, peek, admitted = costs
        print(f"{size:>15,}{admitted:>15.1f}{denied:>15.1f}{half:>15.1f}{peek:>15.1f}")


async def server_us(redis: redis_py.Redis, ask: Any, calls: int) -> float:
    """Microseconds that the server works for one call."""
    await redis.config_resetstat()
    for _ in range(calls):
        await ask()
    stats = (await redis.info("commandstats"))["cmdstat_evalsha"]
    return float(stats["usec"]) / float(stats["calls"])


async def main(smoke: bool) -> None:
    hits, rounds, calls = (2_000, 1, 20) if smoke else (50_000, 5, 500)
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        async with connect(server.url) as redis:
            await bench_size(redis)
            await bench_log(redis, calls)
        await bench_speed(server, hits, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    asyncio.run(main(parser.parse_args().smoke))
