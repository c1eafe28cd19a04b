"""Locks in the laboratory: no two hold one while both are valid, and fences grow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns.locks import Lock
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.storm.history import Hold, inversions, overlaps
from tests.storm.kinds import KINDS, Attempt, Make

__all__ = ("LEASE", "LOCKS", "PATIENCE", "Locking", "holds", "pause")

LEASE = 1.0
"""Seconds: shorter than much of what happens, so that leases are lost."""

PATIENCE = 5.0
TASKS, NAMES = 3, 2


@dataclass(frozen=True, slots=True)
class Locking:
    """A kind of lock, taken by some tasks under some names.

    Args:
        name: Of the kind.
        make: Makes an attempt.
    """

    name: str
    make: Make

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Take one lock after the other."""
        await asyncio.gather(*[self._take_turns(redis, diary, rng, until) for _ in range(TASKS)])

    async def _take_turns(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            names = [f"{self.name}:{rng.randrange(NAMES)}" for _ in range(2)]
            attempt = self.make([redis], names, LEASE, rng)
            impatient = rng.random() < 0.05
            lease: Any = None
            with diary.call(self.name, "acquire", attempt.names, attempt.beside) as call:
                async with asyncio.timeout(rng.random() * 0.02 if impatient else None):
                    lease = await attempt.lock.acquire(timeout=PATIENCE)
                call.result = [lease.fence, lease.valid_until]
            await asyncio.sleep(pause(rng))
            if call.outcome == "ok":
                with diary.call(self.name, "release", call.number, lease.valid_until):
                    await lease.release()

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Those who held it together, and fences that did not grow."""
        held = list(holds(history))
        together = [f"held together: {one} and {other}" for one, other in overlaps(held)]
        return together + [f"fences do not grow: {one}, then {other}" for one, other in inversions(held)]

    async def left(self, redis: Redis) -> list[str]:
        """Keys of holders and waiters who are gone."""
        return await orphans(redis, self.name, ":fence")


def holds(history: Sequence[Call]) -> Iterator[Hold]:
    """What was held from the end of each `acquire` to the beginning of its `release`, or the end of its validity.

    The arguments of an `acquire` are the names, and how many others may hold them too; its result is the fence and the
    end of its validity. Those of a `release` are the number of the `acquire`, and the end of the validity by then.
    """
    released = {(one.worker, one.arguments[0]): one for one in history if one.operation == "release"}
    for call in history:
        if call.operation == "acquire" and call.outcome == "ok":
            names, beside = call.arguments
            fence, valid_until = call.result
            release = released.get((call.worker, call.number))
            ended = valid_until if release is None else min(release.begun, release.arguments[1])
            yield from (Hold(name, fence, call.ended, ended, beside) for name in names)


def pause(rng: random.Random) -> float:
    """Seconds between two calls: mostly some milliseconds, sometimes long."""
    return 0.4 if rng.random() < 0.02 else rng.random() * 0.03


def _on_replicas(servers: Sequence[Redis], names: Sequence[str], lease: float, dice: random.Random) -> Attempt:
    return Attempt(Lock(servers[0], names[0], lease=lease, min_replicas=2), names[:1])


_ALONE = ("Lock", "FairLock", "ReentrantLock", "ReadWriteLock", "Semaphore", "MultiLock")

LOCKS = (*[Locking(name, KINDS[name]) for name in _ALONE], Locking("LockOnReplicas", _on_replicas))
