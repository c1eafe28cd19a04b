"""How fast and how large leaderboards are, beside the bare commands that make them.

Every question is asked of a board of a million members by 1, 50 and 500 tasks: through `Leaderboard`, by the bare
commands on the same client, and by the same commands on redis-py's own. They take turns in one run; what counts is the
ratio of the medians. Run it with `python benchmarks/bench_boards.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio as redis_py
from machine import describe

from aioredis_patterns import Activity, Leaderboard, UniqueCounter, connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server

BARE, REDIS_PY = 0.9, {50: 8.0}
TASKS = (1, 50, 500)
ROUNDS = 5
BYTES = {"shared": 1.3, "first": 2.0}
Ask = Callable[[str, int], Awaitable[Any]]


def ours(board: Leaderboard) -> dict[str, Ask]:
    return {
        "submit": board.submit,
        "rank": lambda member, _: board.rank(member),
        "top(10)": lambda _, __: board.top(10),
        "around(10)": lambda member, _: board.around(member, 10),
    }


def bare(redis: redis_py.Redis, key: str) -> dict[str, Ask]:
    async def around(member: str, _: int) -> Any:
        before = await redis.zrevrank(key, member)
        first = max((before or 0) - 4, 0)
        return await redis.zrevrange(key, first, first + 9, withscores=True)

    return {
        "submit": lambda member, score: redis.zadd(key, {member: score}, gt=True, ch=True),
        "rank": lambda member, _: redis.zrevrank(key, member),
        "top(10)": lambda _, __: redis.zrevrange(key, 0, 9, withscores=True),
        "around(10)": around,
    }


async def rate(ask: Ask, tasks: int, questions: int, members: int) -> float:
    """Answers a second."""

    async def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(questions // tasks):
            await ask(f"user:{rng.randrange(members)}", rng.randrange(1_000_000))

    start = time.perf_counter()
    await asyncio.gather(*map(work, range(tasks)))
    return questions / (time.perf_counter() - start)


async def fill(board: Leaderboard, members: int) -> None:
    """Give every member a score, by the board itself."""
    rng = random.Random(members)
    for first in range(0, members, 500):
        await asyncio.gather(*(board.set(f"user:{n}", rng.randrange(1_000_000)) for n in range(first, first + 500)))


async def bench_questions(server: EmbeddedServer, members: int, questions: int) -> None:
    """The table of answers a second."""
    pool = redis_py.BlockingConnectionPool.from_url(server.url, max_connections=50, timeout=60)
    async with connect(server.url) as redis, redis_py.Redis(connection_pool=pool) as theirs:
        board = Leaderboard(redis, "bench")
        await fill(board, members)
        key = "arp:{bench}:board"
        ways = {"ours": ours(board), "bare": bare(redis, key), "redis-py": bare(theirs, key)}
        columns = ("", "tasks", "ours", "bare", "redis-py", "of bare", "target", "of redis-py", "target")
        print(f"\nanswers/s on a board of {members:,}\n" + "".join(f"{column:>12}" for column in columns))
        for what in ways["ours"]:
            for tasks in TASKS:
                rates: dict[str, list[float]] = {way: [] for way in ways}
                for _ in range(ROUNDS):
                    for way, asks in ways.items():
                        count = questions // (10 if tasks == 1 or way == "redis-py" else 1)
                        rates[way].append(await rate(asks[what], tasks, count, members))
                middle = {way: statistics.median(found) for way, found in rates.items()}
                of_bare, of_redis_py = middle["ours"] / middle["bare"], middle["ours"] / middle["redis-py"]
                cells = (*(f"{value:,.0f}" for value in middle.values()), f"{of_bare:.2f}", BARE)
                print(
                    "".join(
                        f"{cell:>12}" for cell in (what, tasks, *cells, f"{of_redis_py:.1f}", REDIS_PY.get(tasks, ""))
                    )
                )


async def bench_ties(server: EmbeddedServer, questions: int, members: int) -> None:
    """What it costs that who came first stays ahead."""
    async with connect(server.url) as redis:
        found: dict[str, list[float]] = {"shared": [], "first": []}
        boards = {ties: Leaderboard(redis, f"ties {ties}", ties=ties, rank_mode="competition") for ties in found}  # type: ignore[arg-type]
        for board in boards.values():
            await fill(board, members)
        for _ in range(ROUNDS):
            for ties, board in boards.items():
                found[ties].append(await rate(lambda m, s, board=board: board.increment(m, s), 50, questions, members))
    shared, first = (statistics.median(rates) for rates in found.values())
    times = f"{shared / first:.2f} times the time (target 1.5)"
    print(f"\nincrements/s by 50 tasks: ties shared {shared:,.0f}, first {first:,.0f}: {times}")


async def bench_growth(server: EmbeddedServer, sizes: tuple[int, ...], questions: int) -> None:
    """How the cost grows with the board, and what a member costs in memory."""
    print(
        "\n"
        + "".join(f"{column:>14}" for column in ("members", "submit/s", "rank/s", "top/s", "around/s", "us of server"))
    )
    async with connect(server.url) as redis:
        for members in sizes:
            board = Leaderboard(redis, f"growth {members}")
            await fill(board, members)
            rates = [await rate(ask, 50, questions, members) for ask in ours(board).values()]
            await redis.config_resetstat()
            await rate(lambda member, _, board=board: board.around(member, 10), 50, questions, members)
            stats = (await redis.info("commandstats"))["cmdstat_evalsha"]["usec_per_call"]
            print("".join(f"{cell:>14}" for cell in (f"{members:,}", *(f"{each:,.0f}" for each in rates), stats)))


async def bench_bytes(server: EmbeddedServer, members: int) -> None:
    """Bytes a member, beside the bare ZSet; and those of a day of `Activity`."""
    async with connect(server.url) as redis:
        await redis.delete("bare")
        for first in range(0, members, 1000):
            await redis.zadd("bare", {f"user:{n}": n * 7919 % 1_000_003 for n in range(first, first + 1000)})
        plain = (await redis.memory_usage("bare", samples=0)) / members
        for ties, target in BYTES.items():
            board = Leaderboard(redis, f"bytes {ties}", ties=ties)  # type: ignore[arg-type]
            await fill(board, members)
            sizes = [
                await redis.memory_usage(key, samples=0) async for key in redis.scan_iter(f"arp:{{{board.name}}}:*")
            ]
            each = sum(sizes) / members
            print(
                f"a member with ties={ties!r}: {each:.0f} bytes, {each / plain:.2f} of a bare ZSet's (target {target})"
            )
        activity = Activity(redis, "bench")
        for first in range(0, members, 500):
            await asyncio.gather(*(activity.mark(f"user:{n}") for n in range(first, first + 500)))
        keys = [key async for key in redis.scan_iter("arp:{bench}:*", count=1000) if b":active:" in key]
        sizes = [await redis.memory_usage(key) or 0 for key in keys]
        print(f"a day of {members:,} active members: {max(sizes) / 1000:.0f} kB (target 132 for a million)")
        visits = UniqueCounter(redis, "bench")
        for first in range(0, 100_000, 1000):
            await visits.add(*(f"u{n}" for n in range(first, first + 1000)))
        count = await visits.count()
        print(f"100,000 different visits counted as {count.estimate:,}, with an error of {count.error:,.0f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short run, whose figures mean nothing")
    smoke = parser.parse_args().smoke
    members, questions = (10_000, 2_000) if smoke else (1_000_000, 50_000)
    async with embedded_server() as server:
        print(describe(server))
        await bench_questions(server, members, questions)
        await bench_ties(server, questions, members // 10)
        await bench_growth(server, (1_000, 10_000) if smoke else (1_000, 10_000, 100_000, 1_000_000), questions)
        await bench_bytes(server, members)


if __name__ == "__main__":
    asyncio.run(main())
