"""A storm on queues: workers that are killed in the middle of their work, and everything else of a bad hour.

Run it with `python -m tests.storm.queues --messages 20000 --kills 100 --kind Queue`. Four workers handle messages.
Meanwhile busy ones are killed, replies are lost, the server is killed, and event loops are blocked for longer than a
delivery is held. Every begin and end is written down. At the end every message must have been handled, none be left
or dead, and none have been handled again more often than the deaths and the blocked loops account for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import signal
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from aioredis_patterns.errors import PatternError
from aioredis_patterns.queues import QueueStats
from tests.storm.queue_workers import CONCURRENCY, KINDS, handled, is_busy, lines, queue_of, work
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.waiting import eventually

__all__ = ("KEEPING", "Report", "Storm")

LOST_REPLIES = 0.05
PROCESSES = 4
KEEPING = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
"""Options of a server that has on its disk whatever it has answered."""

_EMPTY = QueueStats(0, 0, 0, 0, None)


@dataclass(slots=True)
class Report:
    """What a storm came to."""

    kind: str
    produced: int
    seconds: float = 0.0
    handled: Counter[int] = field(default_factory=Counter)
    left: QueueStats = _EMPTY
    mischief: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)

    @property
    def duplicates(self) -> int:
        """How many times a message was handled that had been handled already."""
        return self.handled.total() - len(self.handled)

    @property
    def allowed(self) -> int:
        """What every death and every blocked event loop may have cost."""
        return (self.mischief["workers killed"] + self.mischief["event loops blocked"]) * CONCURRENCY

    @property
    def findings(self) -> dict[str, int]:
        """What must not be, and how often it was."""
        return {
            "messages lost": self.produced - len(self.handled),
            "messages left": self.left.ready + self.left.delayed + self.left.leased,
            "dead letters": self.left.dead,
            "duplicates beyond what is allowed": max(self.duplicates - self.allowed, 0),
            "workers that did not end in order": self.codes.total() - self.codes[0],
        }

    def __str__(self) -> str:
        rows = {"kind": self.kind, "produced": self.produced, "seconds": round(self.seconds), **self.mischief}
        seen = {"handled": len(self.handled), "duplicates": self.duplicates, "duplicates allowed": self.allowed}
        return "\n".join(f"{what:<44}{value:>12}" for what, value in {**rows, **seen, **self.findings}.items())


class Storm:
    """One run.

    Args:
        kind: Which queue, by its name in `KINDS`.
        messages: How many.
        kills: How many workers are killed, evenly over the messages.
        crashes: How often the server is.
        folder: Where the workers write what they do.
    """

    def __init__(self, kind: str, messages: int, kills: int, crashes: int, folder: Path) -> None:
        self.report = Report(kind, messages)
        self._messages, self._kills, self._crashes, self._folder = messages, kills, crashes, folder
        self._name = f"storm:{uuid.uuid4().hex}"
        self._dice = random.Random(7)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.storm.queue_workers"])
        self._running: dict[Path, ForkServerProcess] = {}
        self._over = False

    async def run(self, server: EmbeddedServer) -> Report:
        """Let it blow, let it calm down, and look at what is left."""
        started = monotonic()
        async with connect(server.url) as redis:
            queue = queue_of(self.report.kind, redis, self._name)
            await queue.put_many(range(self._messages))
            async with FaultProxy(str(server.host), int(server.port or 0), seed=7) as proxy, self._workers(proxy.url):
                fault = proxy.add(Fault("cut_after", is_script, times=None, probability=LOST_REPLIES))
                await self._blow(server)
                await self._drained(queue)
                await eventually(self._all_are_ready, timeout=20)
                self.report.mischief["lost replies"] = proxy.struck[fault]
        self.report.seconds = monotonic() - started
        self.report.handled, self.report.mischief["event loops blocked"] = handled(self._folder.iterdir())
        return self.report

    async def _blow(self, server: EmbeddedServer) -> None:
        """Kill, each time when as many messages more have begun and ended."""
        steps = self._kills + self._crashes
        crashing = {steps * (crash + 1) // (self._crashes + 1) for crash in range(self._crashes)}
        for step in range(steps):
            wanted = 2 * self._messages * step // steps
            await eventually(lambda wanted=wanted: lines(self._folder.iterdir()) >= wanted, timeout=60)
            if step in crashing:
                await server.kill()
                await server.restart()
                self.report.mischief["servers killed"] += 1
            else:
                await self._kill()

    async def _kill(self) -> None:
        await eventually(lambda: any(map(is_busy, self._running)), timeout=60)
        path = self._dice.choice([path for path in self._running if is_busy(path)])
        self._running[path].kill()
        self.report.mischief["workers killed"] += 1
        await eventually(lambda: path not in self._running)

    def _all_are_ready(self) -> bool:
        """Whether every place has a process that listens to SIGTERM."""
        started = [path for path in self._running if path.exists() and path.stat().st_size]
        return len(started) == PROCESSES

    async def _drained(self, queue: Any) -> None:
        """Wait until nothing is left, or nothing happens any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(PatternError, RedisError):
                        self.report.left = await queue.stats()
                        if self.report.left == _EMPTY:
                            return
                    await asyncio.sleep(0.1)

    # The workers -----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _workers(self, url: str) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as places:
            for place in range(PROCESSES):
                places.create_task(self._fill_place(url, place))
            try:
                yield
            finally:
                self._over = True
                for process in self._running.values():
                    process.terminate()

    async def _fill_place(self, url: str, place: int) -> None:
        """Keep one process running, and start another whenever it was killed."""
        born = 0
        while not self._over:
            path = self._folder / f"{place}-{born}"
            # Every fifth one blocks its event loop once, when it has had time to begin.
            block_after = 50 if born % 5 == place else 0
            arguments = (self.report.kind, url, self._name, str(path), block_after)
            process = self._context.Process(target=work, args=arguments, daemon=True)
            process.start()
            self._running[path] = process
            await asyncio.to_thread(process.join)
            del self._running[path]
            born += 1
            if process.exitcode != -signal.SIGKILL:
                self.report.codes[process.exitcode or 0] += 1


def is_script(command: Command) -> bool:
    """Whether it decides something about a queue."""
    return command[0].upper() in (b"EVALSHA", b"EVAL")


async def main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_server(args=KEEPING) as server:
            storm = Storm(options.kind, options.messages, options.kills, options.crashes, Path(folder))
            report = await storm.run(server)
    print(report)  # noqa: T201
    return any(report.findings.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--crashes", type=int, default=5)
    parser.add_argument("--kind", choices=KINDS, default="Queue")
    sys.exit(asyncio.run(main(parser.parse_args())))
