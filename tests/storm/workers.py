"""The worker of a storm on locks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import PatternError
from aioredis_patterns.locks._waiting import Waiting
from tests.storm.history import Diary
from tests.storm.kinds import KINDS
from tests.support.processes import say
from tests.support.waiting import eventually

TASKS = 16
SHARED_LEASE = 1.0
"""Seconds: shorter than many of the pauses, so that leases are lost."""

OWN_LEASE = 120.0
"""Seconds: of the locks that no other process takes, so that a key that was left behind is seen."""


class Worker:
    """Tasks of one process that take locks until they are told to stop."""

    def __init__(self, kind: str, servers: Sequence[Redis], topic: str, identity: str, diary: Diary) -> None:
        self._make, self._servers, self._diary = KINDS[kind], servers, diary
        self._topic, self._identity = topic, identity
        self._dice = random.Random(identity)
        self.stopped = False
        self.errors: Counter[str] = Counter()

    async def work(self) -> None:
        """Take one lock after the other."""
        while not self.stopped:
            names, lease = self._choose()
            patience = self._dice.random() * 0.02 if self._dice.random() < 0.05 else 20
            try:
                async with asyncio.timeout(patience):
                    await self._take(names, lease)
            except TimeoutError:
                self.errors["cancelled" if patience < 1 else "starved"] += 1
            except (PatternError, RedisError) as error:
                self.errors[type(error).__name__] += 1

    def _choose(self) -> tuple[list[str], float]:
        kind = self._dice.random()
        shared = [f"{self._topic}:shared:{self._dice.randrange(200)}" for _ in range(2)]
        if kind < 0.1:
            return [f"{self._topic}:hot", shared[0]], SHARED_LEASE
        if kind < 0.7:
            return shared, SHARED_LEASE
        return [f"{self._topic}:own:{self._identity}:{self._dice.randrange(8)}" for _ in range(2)], OWN_LEASE

    async def _take(self, names: list[str], seconds: float) -> None:
        attempt = self._make(self._servers, names, seconds, self._dice)
        async with attempt.lock as lease:
            number = self._diary.enter(attempt.names, lease, attempt.beside)
            try:
                long = self._dice.random() < 0.01
                await asyncio.sleep(0.6 if long else self._dice.random() * 0.002)
            finally:
                self._diary.leave(number, lease)


async def work(kind: str, urls: list[str], topic: str, identity: str, path: str) -> None:
    """Take locks until SIGTERM, then say what went wrong and what is left in this process."""
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(connect(url)) for url in urls]
        worker = Worker(kind, servers, topic, identity, Diary(path))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, worker, "stopped", True)
        say("ready")
        links = [link_of(redis) for redis in servers]
        before = asyncio.all_tasks()
        await asyncio.gather(*[worker.work() for _ in range(TASKS)])
        with contextlib.suppress(AssertionError):
            await eventually(lambda: not asyncio.all_tasks() - before)
        left = {
            "tasks": len(asyncio.all_tasks() - before),
            "waiters": sum(len(link.companion(Waiting)) for link in links),
            "subscriptions": sum(link.subscriptions.listened_to for link in links),
        }
    say([worker.errors, left])
