"""A storm on locks: many processes, and everything that goes wrong in a bad hour, within minutes.

Run it with `python -m tests.storm.locks --acquisitions 100000 --processes 8 --kind Lock`. Each process takes locks
from many tasks: one that all want, some that all share, and some of its own; permits and reading are shared by some
holders, a MultiLock takes two names, a Redlock three servers. Meanwhile replies are lost, connections
and processes killed, processes paused beyond their leases, scripts flushed and callers cancelled. Every entry and exit
is written down. At the end there must be no more valid holds together than may be, no fence out of order and nothing
left over.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from tests.storm.history import Hold, entries, inversions, overlaps, read_diary
from tests.storm.kinds import KINDS, servers_of
from tests.storm.workers import SHARED_LEASE
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.processes import Worker, worker
from tests.support.waiting import eventually

__all__ = ("Report", "Storm", "orphans")

LOST_REPLIES = 0.02


@dataclass(slots=True)
class Report:
    """What a storm came to."""

    kind: str
    seconds: float = 0.0
    holds: list[Hold] = field(default_factory=list)
    mischief: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def acquisitions(self) -> int:
        """How many there were; one may have taken several names."""
        return len({(hold.fence, hold.entered) for hold in self.holds})

    @property
    def findings(self) -> dict[str, int]:
        """What must not be, and how often it was."""
        found = {"overlaps inside validity": overlaps(self.holds), "fence inversions": inversions(self.holds)}
        counts = {what: len(pairs) for what, pairs in found.items()}
        left = {f"orphans: {what}": self.left[what] for what in ("keys", "waiters", "subscriptions", "tasks")}
        return {**counts, **left, "starved callers": self.errors["starved"]}

    def __str__(self) -> str:
        rows = {"kind": self.kind, "acquisitions": self.acquisitions, "seconds": round(self.seconds), **self.mischief}
        seen = {f"told to callers: {what}": count for what, count in sorted(self.errors.items())}
        return "\n".join(f"{what:<44}{value:>12}" for what, value in {**rows, **seen, **self.findings}.items())


class Storm:
    """One run.

    Args:
        kind: Which lock, by its name in `KINDS`.
        acquisitions: How many at least.
        processes: How many at a time.
        folder: Where the processes write what they do.
        pace: Seconds between two deaths of processes; the other disturbances follow from it.
    """

    def __init__(self, kind: str, acquisitions: int, processes: int, folder: Path, pace: float = 3.0) -> None:
        self.report = Report(kind)
        self._acquisitions, self._processes, self._folder, self._pace = acquisitions, processes, folder, pace
        self._topic = f"storm:{uuid.uuid4().hex}"
        self._dice = random.Random(7)
        self._running: dict[str, Worker] = {}
        self._killed: dict[str, float] = {}
        self._born = 0
        self._over = False

    async def run(self, *servers: EmbeddedServer) -> Report:
        """Let it blow, let it calm down, and look at what is left."""
        started = monotonic()
        async with contextlib.AsyncExitStack() as stack:
            clients = [Redis.from_url(server.url, single_connection_client=True) for server in servers]
            proxies = [FaultProxy(server.host, server.port, seed=7) for server in servers]
            for opened in (*clients, *proxies):
                await stack.enter_async_context(opened)
            await stack.enter_async_context(self._workers([proxy.url for proxy in proxies]))
            fault = Fault("cut_after", is_script, times=None, probability=LOST_REPLIES)
            for proxy in proxies:
                proxy.add(fault)
            await self._blow(clients)
            await asyncio.sleep(SHARED_LEASE)  # leases of the dead end, while replies are lost still
            for proxy in proxies:
                proxy.clear()
            await self._calm_down()
            self.report.mischief["lost replies"] = sum(proxy.struck[fault] for proxy in proxies)
            for redis in clients:
                self.report.left.update(await orphans(redis, self._topic, set(self._killed)))
        self.report.seconds = monotonic() - started
        for path in self._folder.iterdir():
            self.report.holds += read_diary(path, self._killed.get(path.name, float("inf")))
        return self.report

    async def _blow(self, servers: Sequence[Redis]) -> None:
        pace = self._pace
        plagues: list[tuple[float, Callable[[], Awaitable[Any]]]] = [
            (pace, self._kill),
            (pace * 0.6, self._pause),
            (pace * 0.5, lambda: self._cut(servers)),
            (pace * 0.2, lambda: self._flush(servers)),
        ]
        plagued = [asyncio.create_task(self._again_and_again(every, plague)) for every, plague in plagues]
        try:
            while self._count() < self._acquisitions:
                await asyncio.wait(plagued, timeout=0.2)
                for task in plagued:
                    if task.done():
                        task.result()
        finally:
            for task in plagued:
                task.cancel()
            await asyncio.gather(*plagued, return_exceptions=True)

    async def _again_and_again(self, every: float, plague: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await asyncio.sleep(every * self._dice.uniform(0.5, 1.5))
            if self._running:  # not while all of them are started again
                await plague()

    def _count(self) -> int:
        """How many acquisitions there were at least."""
        return sum(entries(path) for path in self._folder.iterdir())

    # What goes wrong -------------------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        identity, process = self._dice.choice(list(self._running.items()))
        self._killed[identity] = monotonic()
        process.kill()
        self.report.mischief["processes killed"] += 1

    async def _pause(self) -> None:
        process = self._dice.choice(list(self._running.values()))
        process.pause()
        try:
            await asyncio.sleep(SHARED_LEASE * self._dice.uniform(0.2, 1.5))
        finally:
            process.resume()
        self.report.mischief["processes paused"] += 1

    async def _cut(self, servers: Sequence[Redis]) -> None:
        redis = self._dice.choice(servers)
        for kind in ("normal", "pubsub"):
            self.report.mischief["connections killed"] += int(await redis.client_kill_filter(_type=kind, skipme=True))

    async def _flush(self, servers: Sequence[Redis]) -> None:
        await self._dice.choice(servers).script_flush()
        self.report.mischief["scripts flushed"] += 1

    # The processes ---------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _workers(self, urls: list[str]) -> AsyncIterator[None]:
        self._places = [asyncio.create_task(self._fill_place(urls)) for _ in range(self._processes)]
        try:
            await eventually(lambda: len(self._running) == self._processes, timeout=60)
            yield
        finally:
            for place in self._places:
                place.cancel()
            await asyncio.gather(*self._places, return_exceptions=True)

    async def _fill_place(self, urls: list[str]) -> None:
        """Keep one process running, and start another whenever it was killed."""
        while not self._over:
            self._born += 1
            identity = str(self._born)
            arguments = (self.report.kind, urls, self._topic, identity, str(self._folder / identity))
            async with worker("tests.storm.workers:work", *arguments) as process:
                await process.line(timeout=60)  # it listens to SIGTERM now
                self._running[identity] = process
                if self._over:
                    process.terminate()
                try:
                    errors, left = await process.line(timeout=3600)
                except EOFError:
                    if identity not in self._killed:
                        raise
                else:
                    self.report.errors.update(errors)
                    self.report.left.update(left)
                finally:
                    del self._running[identity]

    async def _calm_down(self) -> None:
        """Ask every process to end, and wait for what it says."""
        self._over = True
        for process in self._running.values():
            process.terminate()
        async with asyncio.timeout(60):
            await asyncio.gather(*self._places)


def is_script(command: Command) -> bool:
    """Whether it decides something about a lock."""
    return command[0].upper() in (b"EVALSHA", b"EVAL")


async def orphans(redis: Redis, topic: str, killed: set[str]) -> dict[str, int]:
    """What processes that ended in order have left on the server: keys of their own locks, and subscriptions."""
    names = [key.decode().split(":") async for key in redis.scan_iter(match=f"arp:{{{topic}:own:*")]
    keys = [name for name in names if name[name.index("own") + 1] not in killed and name[-1] != "fence"]

    async def channels() -> int:
        return len(await redis.pubsub_channels("arp:*"))

    with contextlib.suppress(AssertionError):
        await eventually(lambda: _none(channels()), timeout=2)
    return {"keys": len(keys), "subscriptions": await channels()}


async def _none(count: Awaitable[int]) -> bool:
    return not await count


async def main(options: argparse.Namespace) -> int:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = [embedded_server(args=["--save", ""]) for _ in range(servers_of(options.kind))]
        servers = [await stack.enter_async_context(server) for server in started]
        report = await Storm(options.kind, options.acquisitions, options.processes, folder).run(*servers)
    print(report)  # noqa: T201
    return any(report.findings.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acquisitions", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--kind", choices=KINDS, default="Lock")
    sys.exit(asyncio.run(main(parser.parse_args())))
