"""How fast sessions are: loads and saves against starsessions and redis-py's GET and SET.

They take turns on one server in one run, starsessions in a virtual environment of its own that is made here; where it
cannot be installed it is left out with a line that says so. What counts is the ratio of the medians. The last of them
is the server's own benchmark tool with our scripts: more often than that no client can call them. Run it with
`python benchmarks/bench_sessions.py [--smoke]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

import redis.asyncio as redis_py
from bench_locks import tool_rate
from bench_rate_limits import environment_of
from machine import describe
from session_peers import DATA, LIFETIME, Call, rate

from aioredis_patterns import SessionStore, connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from aioredis_patterns.sessions import store as store_module

TARGETS = {1: 1.1, 50: 7.0, 500: 15.0}
WHO = ("ours", "starsessions", "redis-py", "server's tool")


async def bench_calls(server: EmbeddedServer, calls: int, rounds: int) -> None:
    """The tables of loads and of saves a second; each task has a session, and changes one field of three."""
    python = environment_of("starsessions")
    found: dict[int, dict[str, list[tuple[float, ...]]]] = {tasks: {who: [] for who in WHO} for tasks in TARGETS}
    for tasks, rates in found.items():
        count = calls if tasks > 1 else calls // 10
        for _ in range(rounds):
            rates["ours"].append(await rates_of_ours(server.url, tasks, count))
            rates["redis-py"].append(await rates_of_redis_py(server.url, tasks, count // 5))
            rates["server's tool"].append(await rates_of_server(server, count))
            if python:
                rates["starsessions"].append(await rates_of_peer(python, server.url, tasks, count // 5))
    for column, verb in enumerate(("loads/s", "saves/s")):
        print(f"\n{verb}; the ratio is to starsessions")
        print("".join(f"{title:>14}" for title in ("tasks", *WHO, "ratio", "target")))
        for tasks, rates in found.items():
            middle = [statistics.median(each[column] for each in rates[who] or [(0.0, 0.0)]) for who in WHO]
            ratio = middle[0] / middle[1] if middle[1] else 0.0
            cells = "".join(f"{value:>14,.0f}" for value in middle)
            print(f"{tasks:>14}{cells}{ratio:>14.1f}{TARGETS[tasks]:>14.1f}", flush=True)


async def our_calls(redis: redis_py.Redis, tasks: int) -> tuple[Call, Call]:
    """Load and save of `SessionStore`."""
    store = SessionStore(redis, idle=LIFETIME)
    sessions = [await store.create(task, DATA) for task in range(tasks)]

    async def load(task: int, _number: int) -> None:
        assert await store.load(sessions[task].token) is not None

    async def save(task: int, number: int) -> None:
        sessions[task]["visits"] = number
        await store.save(sessions[task])

    return load, save


async def rates_of_ours(url: str, tasks: int, calls: int) -> tuple[float, float]:
    """Loads and saves of `SessionStore`."""
    async with connect(url) as redis:
        load, save = await our_calls(redis, tasks)
        return await rate(load, tasks, calls), await rate(save, tasks, calls)


def calls_by_hand(redis: redis_py.Redis) -> tuple[Call, Call]:
    """A GET of JSON that is read, and a SET of JSON that is written, with its expiry."""

    async def load(task: int, _number: int) -> None:
        assert json.loads(await redis.get(f"bench:{task}"))

    async def save(task: int, number: int) -> None:
        await redis.set(f"bench:{task}", json.dumps({**DATA, "visits": number}), ex=LIFETIME)

    return load, save


async def rates_of_redis_py(url: str, tasks: int, calls: int) -> tuple[float, float]:
    """The same by hand."""
    pool = redis_py.BlockingConnectionPool.from_url(url, max_connections=50)
    async with redis_py.Redis(connection_pool=pool) as redis:
        load, save = calls_by_hand(redis)
        saves = await rate(save, tasks, calls)
        return await rate(load, tasks, calls), saves


async def rates_of_server(server: EmbeddedServer, calls: int) -> tuple[float, float]:
    """What the server's own benchmark tool reaches with the scripts of a load and of a save; 0 without the tool."""
    async with connect(server.url) as redis:
        store = SessionStore(redis, idle=LIFETIME)
        session = await store.create("tool", DATA)
    keys = ("2", *store._places(session.token, session._digest))  # noqa: SLF001  # as the store calls them
    load, save = store_module._LOAD.source.sha, store_module._SAVE.source.sha  # noqa: SLF001
    loads = await asyncio.to_thread(tool_rate, server, calls, load, *keys, str(LIFETIME * 1000))
    change = ("", "0000__rand_int__", "0", ":visits", "__rand_int__")
    return loads, await asyncio.to_thread(tool_rate, server, calls, save, *keys, *change)


async def rates_of_peer(python: str, *numbers: Any) -> tuple[float, ...]:
    """Loads and saves of starsessions' SessionHandler."""
    program = Path(__file__).with_name("session_peers.py")
    process = await asyncio.create_subprocess_exec(python, str(program), *map(str, numbers), stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return tuple(map(float, output.split())) if process.returncode == 0 else (0.0, 0.0)


async def main(smoke: bool) -> None:
    async with embedded_server(args=["--save", ""]) as server:
        print(describe(server))
        await bench_calls(server, *((5_000, 1) if smoke else (100_000, 5)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it runs")
    asyncio.run(main(parser.parse_args().smoke))
