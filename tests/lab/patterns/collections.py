"""Ends and sets in the laboratory: no item is popped twice or lost without a word, and one is told it was first."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol, final

from redis.asyncio import Redis

from aioredis_patterns.collections import UniqueSet
from aioredis_patterns.queues import Deque, Stack
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("COLLECTIONS", "Adding", "Popping")

TASKS = 2
WINDOW, TTL = 10.0, 50.0
"""Seconds that a set is used, and that it lives."""


class Ends(Protocol):
    """What the laboratory pushes to and pops from."""

    async def push(self, item: str) -> bool: ...

    async def pop(self, timeout: float) -> str | None: ...


@final
class BothEnds:
    """A deque, each of whose ends is pushed to and popped from now and then."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._deque: Deque[str] = Deque(redis, name)

    async def push(self, item: str) -> bool:
        return await random.choice((self._deque.push_left, self._deque.push_right))(item)  # no secret

    async def pop(self, timeout: float) -> str | None:
        return await random.choice((self._deque.pop_left, self._deque.pop_right))(timeout)  # the same


@dataclass(frozen=True, slots=True)
class Popping:
    """Items that are pushed and popped by all.

    Args:
        name: Of the pattern.
        make: The thing of a name.
    """

    name: str
    make: Callable[[Redis, str], Ends]

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Push until it is over, and pop until nothing is left."""
        ends = self.make(redis, self.name)
        popping = [self._pop(ends, diary, rng, until) for _ in range(TASKS)]
        await asyncio.gather(self._push(ends, diary, rng, until), *popping)

    async def _push(self, ends: Ends, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            with diary.call(self.name, "push") as call:
                await ends.push(f"{diary.worker}:{call.number}")
            await asyncio.sleep(pause(rng))

    async def _pop(self, ends: Ends, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        done = False
        while not done:
            over = until.is_set()
            with diary.call(self.name, "pop") as call:
                call.result = await ends.pop(timeout=rng.choice((0, 0.3)))
            done = over and call.outcome == "ok" and call.result is None
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Items that were popped twice, that nobody pushed, and more that are gone than there are pops to blame."""
        pushed = {f"{call.worker}:{call.number}": call for call in history if call.operation == "push"}
        popped = Counter(call.result for call in history if call.operation == "pop" and call.outcome == "ok")
        del popped[None]
        found = [f"popped {count} times: {item}" for item, count in popped.items() if count > 1]
        found += [f"not pushed: {item}" for item in popped if item not in pushed or pushed[item].outcome == "fail"]
        gone = [item for item, call in pushed.items() if call.outcome == "ok" and item not in popped]
        blamed = sum(call.operation == "pop" and call.outcome == "unknown" for call in history)
        return found + [f"{len(gone)} are gone, for {blamed} pops of unknown outcome: {gone}"] * (len(gone) > blamed)

    async def left(self, redis: Redis) -> list[str]:
        """Items, and those who wait for some."""
        return await orphans(redis, self.name)


@final
class Adding:
    """Members that are added by several at one time."""

    name = "UniqueSet"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Add what others add too."""
        await asyncio.gather(*[self._add(redis, diary, rng, until) for _ in range(TASKS)])

    async def _add(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            name, member = f"{self.name}:{int(monotonic() / WINDOW)}", f"{int(monotonic() * 20)}"
            seen = UniqueSet(redis, name, ttl=TTL)
            with diary.call(self.name, "add", name, member) as call:
                call.result = await seen.add(member)
            with diary.call(self.name, "contains", name, member) as call:
                call.result = await seen.contains(member)
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Members that were new to several or to nobody, and those that were not there when they had been added."""
        members: dict[Any, list[Call]] = defaultdict(list)
        for call in history:
            members[call.arguments].append(call)
        found = []
        for member, calls in members.items():
            adds = [call for call in calls if call.operation == "add" and call.outcome != "fail"]
            new = sum(call.result == 1 for call in adds if call.outcome == "ok")
            if new > 1 or (adds and not new and all(call.outcome == "ok" for call in adds)):
                found.append(f"new to {new}: {member}")
            there = min((call.ended for call in adds if call.outcome == "ok"), default=float("inf"))
            looks = [call for call in calls if call.operation == "contains" and call.outcome == "ok"]
            found += [f"not there: {call}" for call in looks if not call.result and there < call.begun]
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Sets that outlive their lives."""
        return await orphans(redis, self.name)


COLLECTIONS = (Popping("Stack", Stack), Popping("Deque", BothEnds), Adding())
