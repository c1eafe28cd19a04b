"""Long use under small faults: `python -m tests.lab.soak --minutes 20`: what is held must not grow.

Every pattern is made, used and cleared away again and again, while connections are killed, scripts are forgotten and
callers are cancelled. Memory, descriptors, tasks and connections of this process, and memory and keys of the server,
are looked at every few seconds. The run fails when one of them grows in its second half by more than its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns import PatternError, connect, embedded_server

from .hostile import DOCUMENTED
from .hostile_calls import CALLS

__all__ = ("BOUNDS", "soak")

_EVERY: Final = 5.0
"""Seconds between two looks."""

_PAUSE: Final = 0.02
"""Seconds between two rounds of a pattern."""

_CANCELLED: Final = 0.05
"""The share of calls whose caller leaves."""

_END: Final = 10.0
"""Seconds that whoever is cancelled may take to end."""

_SELF: Final = Path("/proc/self")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

BOUNDS: Final = {
    "memory of the process, MB": 0.5,
    "descriptors": 0.5,
    "tasks": 1.0,
    "memory of the server, MB": 0.2,
    "keys": 5.0,
    "connections": 0.5,
}
"""What may be held, by how much it may grow in a minute."""

Look = tuple[float, ...]


class Soak:
    """A run, and what was seen of it.

    Args:
        redis: What the patterns are used through.
        watcher: Another client, that looks and makes trouble.
        dice: Decides.
    """

    def __init__(self, redis: Redis, watcher: Redis, dice: random.Random) -> None:
        self.looks: list[Look] = []
        self.ends = Counter[str]()
        self._redis, self._watcher, self._dice = redis, watcher, dice
        self._began = time.monotonic()

    async def run(self, seconds: float, every: float = _EVERY) -> None:
        """Use every pattern for so long."""
        users = [asyncio.create_task(self._use(pattern)) for pattern in CALLS]
        users.append(asyncio.create_task(self._trouble()))
        while time.monotonic() < self._began + seconds:
            await asyncio.sleep(every)
            self.looks.append(await self._look())
            for task in users:
                if task.done():
                    task.result()
        for task in users:
            task.cancel()
        _, left = await asyncio.wait(users, timeout=_END)
        assert not left, f"{len(left)} users did not end when they were cancelled: {left}"

    def growth(self) -> dict[str, float]:
        """By how much each grew in a minute, over the second half."""
        half = self.looks[len(self.looks) // 2 :]
        minutes = [look[0] / 60 for look in half]
        columns = list(zip(*(look[1:] for look in half), strict=True))
        return {what: linear_regression(minutes, column).slope for what, column in zip(BOUNDS, columns, strict=True)}

    async def _use(self, pattern: str) -> None:
        while True:
            try:
                calls = await CALLS[pattern](self._redis, pattern)
            except (PatternError, RedisError, AssertionError, ValueError) as error:
                self.ends[type(error).__name__] += 1  # a connection was killed while the state was made
            else:
                ending = calls.pop("aclose", None)
                await self._round(pattern, self._dice.sample(sorted(calls.items()), len(calls)))
                with suppress(PatternError, RedisError):  # the connection may be killed now as well
                    await ending() if ending is not None else None
            await self._clear(pattern)
            await asyncio.sleep(_PAUSE)

    async def _round(self, pattern: str, calls: Iterable[tuple[str, Callable[[], Awaitable[Any]]]]) -> None:
        for name, call in calls:
            leaves = self._dice.random() < _CANCELLED
            try:
                async with asyncio.timeout(self._dice.random() * 0.005 if leaves else 60):
                    await call()
            except TimeoutError:
                assert leaves, f"{pattern}.{name} hung"
                self.ends["its caller left"] += 1
            except (PatternError, RedisError, *DOCUMENTED.get(f"{pattern}.{name}", ())) as error:
                self.ends[type(error).__name__] += 1
            else:
                self.ends["well"] += 1

    async def _clear(self, pattern: str) -> None:
        """Remove what a pattern left, so that what stays is what is not its own."""
        with suppress(PatternError, RedisError):
            keys = [key async for key in self._watcher.scan_iter(match=f"arp:{{{pattern}*", count=1000)]
            if keys:
                await self._watcher.unlink(*keys)

    async def _trouble(self) -> None:
        while True:
            await asyncio.sleep(self._dice.random() * 2)
            with suppress(PatternError, RedisError):
                match self._dice.randrange(3):
                    case 0:
                        await self._watcher.client_kill_filter(_type="normal", skipme=True)
                    case 1:
                        await self._watcher.client_kill_filter(_type="pubsub", skipme=True)
                    case _:
                        await self._watcher.script_flush()

    async def _look(self) -> Look:
        gc.collect()
        info, keys = await self._told()
        return (
            time.monotonic() - self._began,
            int((_SELF / "statm").read_text().split()[1]) * _PAGE / 2**20,
            len(list((_SELF / "fd").iterdir())),
            len(asyncio.all_tasks()),
            info["used_memory"] / 2**20,
            keys,
            info["connected_clients"],
        )

    async def _told(self) -> tuple[dict[str, Any], int]:
        """What the server says of itself; asked again where the answer was lost to the trouble that is made here."""
        while True:
            with suppress(PatternError, RedisError):
                return await self._watcher.info(), await self._watcher.dbsize()


async def soak(seconds: float, seed: int, every: float = _EVERY) -> Soak:
    """Use every pattern for so many seconds on a server of its own."""
    async with embedded_server() as server, connect(server.url) as redis, connect(server.url) as watcher:
        run = Soak(redis, watcher, random.Random(seed))
        await run.run(seconds, every)
        return run


def main() -> int:
    """Soak for so many minutes; 1 when something grew by more than its bound."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201
    run = asyncio.run(soak(options.minutes * 60, options.seed))
    growth, last = run.growth(), run.looks[-1][1:]
    for (what, bound), now in zip(BOUNDS.items(), last, strict=True):
        print(f"{what:26} {now:10.1f}, grows by {growth[what]:8.3f} a minute, {bound:g} at most")  # noqa: T201
    print(", ".join(f"{count} {end}" for end, count in run.ends.most_common()))  # noqa: T201
    return int(any(growth[what] > bound for what, bound in BOUNDS.items()))


if __name__ == "__main__":
    raise SystemExit(main())
