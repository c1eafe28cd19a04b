"""What is added up in the laboratory: every addition counts once, and none is taken back."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from redis.asyncio import Redis

from aioredis_patterns.counters import Counter
from aioredis_patterns.leaderboards import Leaderboard, PeriodicLeaderboard
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("TALLIES", "Tallying")

TASKS, MEMBERS = 2, 3


class Tally(Protocol):
    """What the laboratory adds to."""

    async def increment(self, member: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Tallying:
    """A pattern that adds one to what a member has, and says what that comes to.

    Args:
        name: Of the pattern.
        make: The tally of a name.
        lasting: Keys that stay, by the end of their names.
    """

    name: str
    make: Callable[[Redis, str], Tally]
    lasting: tuple[str, ...]

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Add from some tasks to what all share."""
        tally = self.make(redis, self.name)
        await asyncio.gather(*[self._add(tally, diary, rng, until) for _ in range(TASKS)])

    async def _add(self, tally: Tally, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            member = f"member {rng.randrange(MEMBERS)}"
            with diary.call(self.name, "increment", member) as call:
                call.result = await tally.increment(member)
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Sums that came twice, that fell, and that are more or less than what was added."""
        members: dict[str, list[Call]] = defaultdict(list)
        for call in history:
            members[call.arguments[0]].append(call)
        return [f"{member}: {what}" for member, calls in members.items() for what in _odd(calls)]

    async def left(self, redis: Redis) -> list[str]:
        """Keys that nobody needs."""
        return await orphans(redis, self.name, *self.lasting)


def _odd(calls: Sequence[Call]) -> Iterator[str]:
    known = sorted((call for call in calls if call.outcome == "ok"), key=lambda call: call.result)
    sums = [call.result for call in known]
    if len(set(sums)) < len(sums):
        yield "a sum came twice, so an addition was taken back"
    for one, other in pairwise(known):
        if other.ended < one.begun:
            yield f"it was {other.result} before it was {one.result}"
    certain, possible = len(known), sum(call.outcome != "fail" for call in calls)
    if sums and not certain <= sums[-1] <= possible:
        yield f"{sums[-1]} after {certain} to {possible} additions"


TALLIES = (
    Tallying("Counter", Counter, (":counter",)),
    Tallying("Leaderboard", Leaderboard, ("",)),
    Tallying("PeriodicLeaderboard", lambda redis, name: PeriodicLeaderboard(redis, name, periods=("all",)), ("",)),
)
