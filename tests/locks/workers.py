"""What the worker processes of the lock tests do."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from aioredis_patterns.client import connect
from aioredis_patterns.errors import LockError, LockLostError
from aioredis_patterns.locks import Barrier, FairLock, LeaderElection, ReadWriteLock, Semaphore
from tests.locks.mutexes import MUTEXES
from tests.support.processes import say


async def hold(kind: str, url: str, name: str, lease: float) -> None:
    """Take the lock, say its fence, and hold it until killed; say when it was lost."""
    async with connect(url) as redis:
        try:
            async with MUTEXES[kind](redis, name, lease=lease) as held:
                say(held.fence)
                await asyncio.sleep(60)
        except LockLostError as error:
            say(["lost", error.reason, time.monotonic()])


async def contend(kind: str, url: str, name: str, tasks: int, rounds: int) -> None:
    """Take the lock again and again from several tasks; say when each hold began and ended, and its fence."""
    holds: list[tuple[float, float, int]] = []
    async with connect(url) as redis:
        lock: Any = MUTEXES[kind](redis, name, lease=5)

        async def work() -> None:
            for _ in range(rounds):
                async with lock as lease:
                    began = time.monotonic()
                    await asyncio.sleep(0)
                    holds.append((began, time.monotonic(), lease.fence))

        await asyncio.gather(*[work() for _ in range(tasks)])
    say(holds)


async def wait(url: str, name: str, heartbeat: float) -> None:
    """Wait for a fair lock, say its fence, and give it back."""
    async with connect(url) as redis, FairLock(redis, name, heartbeat=heartbeat) as lease:
        say(lease.fence)


async def lead(url: str, name: str, lease: float) -> None:
    """Stand; say each change, and after having been stopped, whether one believes to lead still."""
    async with connect(url) as redis:
        election = LeaderElection(
            redis,
            name,
            lease=lease,
            on_elected=lambda term: say(["elected", term]),
            on_deposed=lambda term: say(["deposed", term]),
        )
        async with election:
            resumed = signal.SIGCONT
            asyncio.get_running_loop().add_signal_handler(resumed, lambda: say(["is_leader", election.is_leader]))
            await asyncio.sleep(60)


async def read(url: str, name: str, lease: float) -> None:
    """Hold the lock to read until killed; say when it was lost."""
    async with connect(url) as redis:
        try:
            async with ReadWriteLock(redis, name, lease=lease).read():
                say("reading")
                await asyncio.sleep(60)
        except LockLostError:
            say("lost")


async def write(url: str, name: str, heartbeat: float) -> None:
    """Wait to write until killed."""
    async with connect(url) as redis, ReadWriteLock(redis, name, heartbeat=heartbeat).write():
        say("writing")


async def hold_permits(url: str, name: str, permits: int, lease: float) -> None:
    """Take all permits of a semaphore, say so, and hold them until killed; say when they were lost."""
    async with connect(url) as redis:
        try:
            async with await Semaphore(redis, name, permits=permits, lease=lease).acquire(count=permits) as held:
                say(held.fence)
                await asyncio.sleep(60)
        except LockLostError as error:
            say(["lost", error.reason])


async def wait_for_permits(url: str, name: str, permits: int) -> None:
    """Wait in order for all permits of a semaphore, until killed."""
    async with connect(url) as redis:
        say("waiting")
        await Semaphore(redis, name, permits=permits, fifo=True).acquire(count=permits)


async def wait_at_barrier(url: str, name: str, parties: int, lease: float, rounds: int) -> None:
    """Pass a barrier again and again; say the index of each time, or what was raised."""
    async with connect(url) as redis:
        barrier = Barrier(redis, name, parties=parties, lease=lease)
        for _ in range(rounds):
            try:
                say(await barrier.wait())
            except LockError as error:
                say(str(error))
