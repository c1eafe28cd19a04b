"""What is counted without an answer in the laboratory: a count is between what was there before and what may be."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, final

from redis.asyncio import Redis

from aioredis_patterns.counters import Activity, ShardedCounter, UniqueCounter
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("COUNTS", "Counting")

_FAR = 0.05
"""The part by which an estimate may be off: six times its standard error."""


class Count(Protocol):
    """What the laboratory counts with."""

    async def add(self, item: str) -> object: ...

    async def count(self) -> int: ...


@final
class Sharded:
    """A number in several keys."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._counter = ShardedCounter(redis, name)

    async def add(self, item: str) -> object:
        return await self._counter.increment()

    async def count(self) -> int:
        return await self._counter.get()


@final
class Estimated:
    """An estimate of how many different items there were."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._counter = UniqueCounter(redis, name)

    async def add(self, item: str) -> object:
        return await self._counter.add(item)

    async def count(self) -> int:
        return (await self._counter.count()).estimate


@final
class OnOneDay:
    """Who was active on one day."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._activity, self._day = Activity(redis, name), datetime.now(UTC).date().replace(day=1)

    async def add(self, item: str) -> object:
        return await self._activity.mark(item, day=self._day)

    async def count(self) -> int:
        return await self._activity.count(self._day)


@dataclass(frozen=True, slots=True)
class Counting:
    """A pattern that counts items, each of which is another.

    Args:
        name: Of the pattern.
        make: The count of a name.
        far: The part by which it may be off.
        lasting: Keys that stay, by the end of their names.
    """

    name: str
    make: Callable[[Redis, str], Count]
    far: float = 0
    lasting: tuple[str, ...] = ("",)

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Count, and ask how many there are."""
        count = self.make(redis, self.name)
        while not until.is_set():
            with diary.call(self.name, "add") as call:
                await count.add(f"{diary.worker}:{call.number}")
            if rng.random() < 0.1:
                with diary.call(self.name, "count") as call:
                    call.result = await count.count()
            await asyncio.sleep(pause(rng) / 2)

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Counts that are less than what was counted before, or more than what could be."""
        adds = [call for call in history if call.operation == "add" and call.outcome != "fail"]
        begun = sorted(call.begun for call in adds)
        ended = sorted(call.ended for call in adds if call.outcome == "ok")
        found = []
        for call in history:
            if call.operation == "count" and call.outcome == "ok":
                least, most = bisect_left(ended, call.begun), bisect_right(begun, call.ended)
                if not least * (1 - self.far) <= call.result <= most * (1 + self.far):
                    found.append(f"not {least} to {most}: {call}")
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Keys that nobody needs."""
        return await orphans(redis, self.name, *self.lasting)


COUNTS = (
    Counting("ShardedCounter", Sharded),
    Counting("UniqueCounter", Estimated, far=_FAR),
    Counting("Activity", OnOneDay),
)
