"""How fast commands travel: the shared connection against redis-py's pools and the server's own benchmark tool.

Every figure is a median over rounds in which the contenders take turns, on one server and in one run; what counts is
the ratio. Run it with `nox -s bench`, or `python benchmarks/bench_transport.py [--smoke] [--uvloop]`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import redis.asyncio as redis_py
from machine import describe

from aioredis_patterns import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server

HIT = """
local hits = redis.call('INCR', KEYS[1])
if hits == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return hits
"""
"""What a fixed-window limiter does: a small script of a real kind."""

IN_FLIGHT = (1, 50, 500)
TARGETS = {1: 1.3, 50: 6.0, 500: 15.0}
BIG = b"x" * 100_000

Operation = Callable[[redis_py.Redis], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Contender:
    """A client, and how much of the work it gets so that rounds take about the same time."""

    label: str
    client: redis_py.Redis
    share: float


async def rate(client: redis_py.Redis, operation: Operation, tasks: int, calls: int) -> float:
    """Operations a second with so many tasks in flight."""

    async def work(count: int) -> None:
        for _ in range(count):
            await operation(client)

    each = max(calls // tasks, 1)
    start = time.perf_counter()
    await asyncio.gather(*(work(each) for _ in range(tasks)))
    return each * tasks / (time.perf_counter() - start)


async def compare(
    contenders: list[Contender],
    operation: Operation,
    tasks: int,
    calls: int,
    rounds: int,
    tool: Callable[[], float] = lambda: 0.0,
) -> dict[str, float]:
    """The median rate of each contender and of the server's own tool; they take turns, in changing order."""
    rates: dict[str, list[float]] = {contender.label: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders[number % 2 :] + contenders[: number % 2]:
            share = int(calls * contender.share)
            rates[contender.label].append(await rate(contender.client, operation, tasks, share))
        rates.setdefault("tool", []).append(tool())
    return {label: statistics.median(values) for label, values in rates.items()}


def ceiling(server: EmbeddedServer, sha: str, calls: int) -> float:
    """What the server's own benchmark tool reaches with the same script, 100 commands a write; 0 without it."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return 0.0
    command = [program, "-h", server.host, "-p", str(server.port), "-P", "100", "-n", str(calls), "-q"]
    script = ["EVALSHA", sha, "1", "bench:hit", "60000"]
    output = subprocess.run([*command, *script], capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", output)[-1])


async def bench_scripts(server: EmbeddedServer, calls: int, rounds: int) -> None:
    """The table of the transport: EVALSHA by commands in flight."""
    ours = connect(server.url)
    pool = redis_py.BlockingConnectionPool.from_url(server.url, max_connections=50, timeout=None)
    blocking, default = redis_py.Redis(connection_pool=pool), redis_py.Redis.from_url(server.url)
    sha = await ours.script_load(HIT)
    tool = partial(ceiling, server, sha, calls * 4)
    print("\nEVALSHA/s; the tool is the server's own benchmark with -P 100\n")
    columns = ("in flight", "ours", "pool(50)", "default", "ratio", "target", "tool", "of the tool")
    print("".join(f"{column:>12}" for column in columns))
    for tasks in IN_FLIGHT:
        contenders = [Contender("ours", ours, 1 if tasks > 1 else 0.1), Contender("pool", blocking, 0.1)]
        if tasks <= 50:  # the default pool raises above its 100 connections
            contenders.append(Contender("default", default, 0.1))
        rates = await compare(contenders, lambda r: r.evalsha(sha, 1, "bench:hit", "60000"), tasks, calls, rounds, tool)
        top = rates.pop("tool")
        best = max(rate for label, rate in rates.items() if label != "ours")
        share = f"{top:>12,.0f}{rates['ours'] / top:>12.2f}" if top else f"{'-':>12}{'-':>12}"
        default_rate = f"{rates['default']:,.0f}" if "default" in rates else "-"
        print(
            f"{tasks:>12}{rates['ours']:>12,.0f}{rates['pool']:>12,.0f}{default_rate:>12}"
            f"{rates['ours'] / best:>12.1f}{TARGETS[tasks]:>12.1f}{share}"
        )
    await asyncio.gather(ours.aclose(), default.aclose(), pool.aclose())


async def bench_commands(server: EmbeddedServer, calls: int, rounds: int) -> None:
    """GET, SET and a big value, with 50 in flight."""
    pool = redis_py.BlockingConnectionPool.from_url(server.url, max_connections=50, timeout=None)
    contenders = [
        Contender("ours", connect(server.url), 1),
        Contender("pool", redis_py.Redis(connection_pool=pool), 0.1),
    ]
    await contenders[0].client.set("bench:big", BIG)
    operations: dict[str, tuple[Operation, int]] = {
        "GET": (lambda r: r.get("bench:small"), 1),
        "SET": (lambda r: r.set("bench:small", "value", px=60_000), 1),
        "GET 100 kB": (lambda r: r.get("bench:big"), 20),
        "SET 100 kB": (lambda r: r.set("bench:big", BIG, px=60_000), 20),
    }
    print(f"\n{'50 in flight':>12} {'ours':>10} {'pool(50)':>10} {'ratio':>7}")
    for label, (operation, weight) in operations.items():
        rates = await compare(contenders, operation, 50, calls // weight, rounds)
        print(f"{label:>12} {rates['ours']:>10,.0f} {rates['pool']:>10,.0f} {rates['ours'] / rates['pool']:>7.1f}")
    await asyncio.gather(contenders[0].client.aclose(), pool.aclose())


async def main(smoke: bool) -> None:
    calls, rounds = (5_000, 3) if smoke else (50_000, 7)
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        await bench_scripts(server, calls, rounds)
        await bench_commands(server, calls, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop instead of asyncio's own loop")
    options = parser.parse_args()
    if options.uvloop:
        import uvloop

        uvloop.run(main(options.smoke))
    else:
        asyncio.run(main(options.smoke))
