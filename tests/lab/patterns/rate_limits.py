"""Rate limits in the laboratory: no more is admitted than any stretch of time has room for."""

from __future__ import annotations

import asyncio
import random
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from redis.asyncio import Redis

from aioredis_patterns.rate_limits import (
    ConcurrencyLimit,
    FixedWindow,
    Gcra,
    LeakyBucket,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
)
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import LEASE, PATIENCE, holds, pause
from tests.storm.history import overlaps

__all__ = ("BURST", "LIMIT", "LIMITS", "PERIOD", "Limiting", "Slots")

LIMIT, PERIOD, BURST, SLOTS = 10, 1.0, 5, 2
TASKS, SUBJECTS = 3, 2

_LONGEST: Final = 10 * PERIOD
"""Seconds of the longest stretch of time that is looked at."""

_CLOCKS: Final = 0.001
"""The part by which the server's clock may run faster than that of the diaries."""


@dataclass(frozen=True, slots=True)
class Limiting:
    """A kind of limiter, hit by some tasks for some subjects.

    Args:
        name: Of the kind.
        make: The limiter of a name.
        bound: How much may be admitted in a stretch of so many seconds.
    """

    name: str
    make: Callable[[Redis, str], Any]
    bound: Callable[[float], float]

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Hit, more often than is admitted."""
        limiter = self.make(redis, self.name)
        await asyncio.gather(*[self._hit(limiter, diary, rng, until) for _ in range(TASKS)])

    async def _hit(self, limiter: Any, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            subject = f"user:{rng.randrange(SUBJECTS)}"
            with diary.call(self.name, "hit", subject) as call:
                call.result = (await limiter.hit(subject)).allowed
            await asyncio.sleep(rng.random() * PERIOD * TASKS / LIMIT)

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Stretches of time in which more was admitted than there was room for."""
        admitted = defaultdict(list)
        for call in history:
            if call.outcome == "ok" and call.result:
                admitted[call.arguments[0]].append(call)
        return [
            f"{count} admitted for {subject} between {begun:.4f} and {ended:.4f}"
            for subject, calls in admitted.items()
            for count, begun, ended in _excesses(calls, self.bound)
        ]

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive their periods and leases."""
        return await orphans(redis, self.name)


def _excesses(calls: Sequence[Call], bound: Callable[[float], float]) -> Iterator[tuple[int, float, float]]:
    """The first stretch from the begin of each call that holds more whole calls than it may."""
    for index, first in enumerate(calls):
        ends: list[float] = []
        for call in calls[index:]:
            if call.begun > first.begun + _LONGEST:
                break
            insort(ends, call.ended)
        for count, ended in enumerate(ends, 1):
            if count > bound((ended - first.begun) * (1 + _CLOCKS)):
                yield count, first.begun, ended
                break


def _in_periods(seconds: float) -> float:
    """Of a log: as many as the limit in each period that the stretch touches."""
    return LIMIT * (seconds // PERIOD + 1)


def _in_windows(seconds: float) -> float:
    """Of windows that begin anywhere: as many as the limit in each that the stretch touches."""
    return LIMIT * (seconds // PERIOD + 2)


def _in_a_bucket(seconds: float) -> float:
    """Of a bucket: what was in it, and what has flown in."""
    return BURST + seconds * LIMIT / PERIOD


@final
class Slots:
    """A limit of how many at a time."""

    name = "ConcurrencyLimit"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Take one slot after the other."""
        limit = ConcurrencyLimit(redis, self.name, limit=SLOTS, lease=LEASE)
        await asyncio.gather(*[self._take_turns(limit, diary, rng, until) for _ in range(TASKS)])

    async def _take_turns(
        self, limit: ConcurrencyLimit, diary: Diary, rng: random.Random, until: asyncio.Event
    ) -> None:
        while not until.is_set():
            subject = f"user:{rng.randrange(SUBJECTS)}"
            slot = limit.slot(subject, timeout=PATIENCE)
            with diary.call(self.name, "acquire", [subject], SLOTS - 1) as call:
                await slot
                call.result = [0, slot.valid_until]
            await asyncio.sleep(pause(rng))
            if call.outcome == "ok":
                with diary.call(self.name, "release", call.number, slot.valid_until):
                    await slot.leave()

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Those who were inside together."""
        return [f"inside together: {one} and {other}" for one, other in overlaps(holds(history))]

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive their periods and leases."""
        return await orphans(redis, self.name)


LIMITS = (
    Limiting("FixedWindow", lambda redis, name: FixedWindow(redis, name, limit=LIMIT, period=PERIOD), _in_windows),
    Limiting("SlidingWindow", lambda redis, name: SlidingWindow(redis, name, limit=LIMIT, period=PERIOD), _in_windows),
    Limiting("SlidingLog", lambda redis, name: SlidingLog(redis, name, limit=LIMIT, period=PERIOD), _in_periods),
    Limiting(
        "TokenBucket",
        lambda redis, name: TokenBucket(redis, name, limit=LIMIT, period=PERIOD, burst=BURST),
        _in_a_bucket,
    ),
    Limiting(
        "LeakyBucket",
        lambda redis, name: LeakyBucket(redis, name, limit=LIMIT, period=PERIOD, burst=BURST),
        _in_a_bucket,
    ),
    Limiting("Gcra", lambda redis, name: Gcra(redis, name, limit=LIMIT, period=PERIOD, burst=BURST), _in_a_bucket),
    Slots(),
)
