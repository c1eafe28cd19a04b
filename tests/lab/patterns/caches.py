"""Caches in the laboratory: one load at a time, nothing older than what was invalidated, copies that do not linger."""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Final

from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading, NearCache
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("CACHES", "CHECK", "Caching", "LEASE", "SLACK", "TICK", "is_awake", "tick", "value_of")

TASKS, KEYS = 2, 3
LEASE = 2.0
"""Seconds: longer than much of what happens, shorter than what stops a process."""

TTL, CHECK, TICK = 60.0, 0.5, 0.1
SLACK = 0.5
"""Seconds that a busy machine may take for what is to happen at once."""

_KNOWN: Final = 400_000
"""Milliseconds for which it is remembered what was invalidated: a value's life, and that of a load, with some more."""

_QUICK, _ON_ITS_WAY = 0.02, 2.0
"""Seconds that a call takes when nothing goes wrong, and that what was sent may need to arrive."""

_CLOCKS: Final = 0.99
"""The part of a lease that is surely over for the server when it is over for the diaries."""


@dataclass(frozen=True, slots=True)
class Caching:
    """Values that are loaded, set, deleted and invalidated by their tag.

    Keys are in use for some seconds only, and then others: so a change of which nobody knows whether it was made, or
    will be, excuses little.

    Args:
        name: Of the pattern.
        make: The cache of a name.
        window: Seconds that a key is in use.
        late: Seconds by which a change may come late to a process that runs.
    """

    name: str
    make: Callable[[Redis, str], Cache[str]]
    window: float
    late: float = 0

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Ask, and change what others ask for."""
        cache = self.make(redis, self.name)
        asking = [self._ask(cache, diary, rng, until) for _ in range(TASKS)]
        await asyncio.gather(tick(diary, self.name, until), *asking)

    async def _ask(self, cache: Cache[str], diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            tag = f"{int(monotonic() / self.window)}"
            key = f"{tag}-{rng.randrange(KEYS)}"
            with diary.call(self.name, "get", key) as call:
                call.result = await cache.get_or_load(key, self._loader(diary, rng, key, call.number), tags=[tag])
            await asyncio.sleep(pause(rng))
            if rng.random() < 0.1:
                await self._change(cache, diary, rng, key, tag)

    def _loader(self, diary: Diary, rng: random.Random, key: str, asked: int) -> Callable[[], object]:
        async def load() -> str:
            with diary.call(self.name, "load", key, asked) as call:
                await asyncio.sleep(pause(rng))
            return f"{diary.worker}:{call.number}"

        return load

    async def _change(self, cache: Cache[str], diary: Diary, rng: random.Random, key: str, tag: str) -> None:
        match rng.randrange(3):
            case 0:
                with diary.call(self.name, "set", key) as call:
                    await cache.set(key, f"{diary.worker}:{call.number}", tags=[tag])
            case 1:
                with diary.call(self.name, "delete", key):
                    await cache.delete(key)
            case _:
                with diary.call(self.name, "invalidate", tag):
                    await cache.invalidate(tag)

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Values that were too old or came from nowhere, loads at one time, and loads of what was there."""
        ticks: dict[str, list[float]] = defaultdict(list)
        changes: dict[str, list[Call]] = defaultdict(list)
        keys: dict[str, list[Call]] = defaultdict(list)
        for call in history:
            if call.operation == "tick":
                ticks[call.worker].append(call.begun)
            elif call.operation in ("delete", "invalidate"):
                changes[call.arguments[0]].append(call)
            else:
                keys[call.arguments[0]].append(call)
        found = []
        for key, calls in keys.items():
            sets = [call for call in calls if call.operation == "set"]
            changed = [one for one in [*changes[key], *changes[key.partition("-")[0]], *sets] if one.outcome != "fail"]
            found += [*_old(calls, changed, ticks, self.late), *_loaded_twice(calls, changed)]
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive the values."""
        return await orphans(redis, self.name, longest=_KNOWN)


async def tick(diary: Diary, name: str, until: asyncio.Event) -> None:
    """Write down again and again that the process runs."""
    while not until.is_set():
        with diary.call(name, "tick"):
            await asyncio.sleep(TICK)


def is_awake(ticks: Sequence[float], begun: float, ended: float) -> bool:
    """Whether a process ran from one moment to another, as far as its ticks tell."""
    times = [begun, *ticks[bisect_left(ticks, begun) : bisect_left(ticks, ended)], ended]
    return all(after - before < SLACK for before, after in pairwise(times))


def value_of(call: Call) -> str:
    """What a load or a write has brought."""
    return f"{call.worker}:{call.number}"


def _old(calls: Sequence[Call], changed: Sequence[Call], ticks: dict[str, list[float]], late: float) -> Iterator[str]:
    """Answers that nobody has brought, and those that were changed before they were asked for."""
    sources = {value_of(call): call for call in calls if call.operation in ("load", "set") and call.outcome != "fail"}
    over = {value: _over(source, changed) + late for value, source in sources.items()}
    for call in calls:
        if call.operation != "get" or call.outcome != "ok":
            continue
        source = sources.get(call.result)
        if source is None or source.begun > call.ended:
            yield f"from nowhere: {call}"
        elif call.begun > over[call.result] and (
            not late or is_awake(ticks[call.worker], call.begun - late, call.begun)
        ):
            yield f"changed before it was asked for: {call} of {source}"


def _over(source: Call, changed: Sequence[Call]) -> float:
    """From when on a value must not be seen: the end of the first change that certainly came after it."""
    if source.operation == "set" and source.outcome != "ok":
        return math.inf  # it may come late
    since = source.begun if source.operation == "load" else source.ended
    return min((one.ended for one in changed if one.outcome == "ok" and since < one.begun), default=math.inf)


def _loaded_twice(calls: Sequence[Call], changed: Sequence[Call]) -> Iterator[str]:
    """Loads that began while another was under way and its lease held, and those of what was known to be there."""
    asked = {(call.worker, call.number): call.begun for call in calls if call.operation == "get"}
    loads = [call for call in calls if call.operation == "load"]
    there = _seen(calls)
    for index, one in enumerate(loads):
        since = asked[one.worker, one.arguments[1]]
        for other in loads[index + 1 :]:
            begun = asked[other.worker, other.arguments[1]]
            at_once = other.begun < min(one.ended, since + LEASE * _CLOCKS)
            again = there.get(value_of(one), math.inf) < begun
            if (at_once or again) and not _is_excused(since, other.begun, changed):
                yield f"{'at one time' if at_once else 'loaded again'}: {one} and {other}"


def _seen(calls: Sequence[Call]) -> dict[str, float]:
    """When each value was seen by a process that has not brought it, and has it from the server thus."""
    seen: dict[str, float] = {}
    for call in calls:
        if call.operation == "get" and call.outcome == "ok" and not call.result.startswith(f"{call.worker}:"):
            seen[call.result] = min(call.ended, seen.get(call.result, math.inf))
    return seen


def _is_excused(since: float, begun: float, changed: Sequence[Call]) -> bool:
    """Whether there was reason to load anew."""
    return any(one.begun < begun and _acts_until(one) > since for one in changed)


def _acts_until(change: Call) -> float:
    """When a change is over: one that took long was sent twice, and the first of the two may come after the second."""
    if change.outcome == "unknown":
        return math.inf
    return change.ended + (_ON_ITS_WAY if change.ended - change.begun > _QUICK else 0)


def _near(redis: Redis, name: str) -> Cache[str]:
    near = NearCache(check=CHECK)
    return Cache(redis, name, ttl=TTL, type=str, loading=Loading(lease=LEASE), near=near)


CACHES = (
    Caching("Cache", lambda redis, name: Cache(redis, name, ttl=TTL, type=str, loading=Loading(lease=LEASE)), window=3),
    Caching("NearCache", _near, window=15, late=2 * CHECK + SLACK),
)
