"""Databases behind caches in the laboratory: what was written is read, and what was taken for writing is written."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, final

from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, WriteBehind, WriteThrough
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.caches import value_of
from tests.lab.patterns.locks import pause

__all__ = ("WRITES", "Later", "Through")

TASKS, KEYS = 2, 3
TTL = 60.0
LEASE = 8.0
"""Seconds: longer than anything here stops a process."""

_KNOWN: Final = 400_000
"""Milliseconds for which a cache remembers what was invalidated."""


@final
class Through:
    """A database of files, one for each key, that is written together with the cache."""

    name = "WriteThrough"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Read much, and write something."""
        table = diary.folder / self.name
        table.mkdir(exist_ok=True)
        cache: Cache[str] = Cache(redis, self.name, ttl=TTL, type=str)
        await asyncio.gather(*[self._use(cache, table, diary, rng, until) for _ in range(TASKS)])

    async def _use(
        self, cache: Cache[str], table: Path, diary: Diary, rng: random.Random, until: asyncio.Event
    ) -> None:
        async def write(key: str, value: Any) -> None:
            with diary.call(self.name, "write", key, value):
                new = table / value
                new.write_text(value)
                await asyncio.sleep(pause(rng))
                new.rename(table / key)

        async def load(key: str) -> str:
            value = ""
            with suppress(FileNotFoundError):
                value = (table / key).read_text()
            await asyncio.sleep(pause(rng))
            return value

        users = WriteThrough(cache, write, lease=LEASE)
        while not until.is_set():
            key = f"key {rng.randrange(KEYS)}"
            if rng.random() < 0.05:
                with diary.call(self.name, "set", key) as call:
                    call.result = await users.set(key, f"{diary.worker}:{call.number}")
            with diary.call(self.name, "get", key) as call:
                call.result = await cache.get_or_load(key, load)
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Values that were read after another had been written over them, and that nobody wrote."""
        written = {call.arguments[1]: call for call in history if call.operation == "write"}
        done = [call for call in history if call.operation == "set" and call.outcome == "ok"]
        over = {value: _over(written[value], done, written) for value in written}
        first: dict[str, float] = {}
        for one in done:
            first[one.arguments[0]] = min(one.ended, first.get(one.arguments[0], math.inf))
        found = []
        for call in history:
            if call.operation == "get" and call.outcome == "ok":
                key, value = call.arguments[0], call.result
                if value and (value not in written or written[value].arguments[0] != key):
                    found.append(f"from nowhere: {call}")
                elif call.begun > (over[value] if value else first.get(key, math.inf)):
                    found.append(f"older than what was written: {call}")
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive values and writers."""
        return await orphans(redis, self.name, longest=_KNOWN)


def _over(write: Call, done: Sequence[Call], written: dict[str, Call]) -> float:
    """From when on a value must not be read: when the first `set` returned whose write came after its own."""
    return min(
        (
            one.ended
            for one in done
            if one.arguments[0] == write.arguments[0] and write.ended < written[value_of(one)].begun
        ),
        default=math.inf,
    )


@final
class Later:
    """A database that is the diaries themselves, and is told of what was written a moment later."""

    name = "WriteBehind"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Write and read, and then wait until the database has everything."""

        def write_many(rows: dict[str, str]) -> None:
            with diary.call(self.name, "write", rows):
                pass

        cache: Cache[str] = Cache(redis, self.name, ttl=TTL, type=str)
        users = WriteBehind(cache, write_many, delay=0.1, lease=LEASE)
        await asyncio.gather(*[self._use(users, diary, rng, until) for _ in range(TASKS)])
        while await orphans(redis, self.name, longest=_KNOWN):
            with diary.call(self.name, "flush"):
                await users.flush()
            await asyncio.sleep(0.5)  # what a flusher took that was killed is free when its lease has ended
        await users.aclose()

    async def _use(self, users: WriteBehind[str], diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            key = f"key {rng.randrange(KEYS)}"
            if rng.random() < 0.2:
                with diary.call(self.name, "set", key) as call:
                    await users.set(key, f"{diary.worker}:{call.number}")
            with diary.call(self.name, "get", key) as call:
                call.result = await users.get(key)
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Writes that never reached the database or reached it in the wrong order, and reads of what is older."""
        sets = {value_of(call): call for call in history if call.operation == "set"}
        rows: dict[str, list[Call]] = defaultdict(list)
        for call in history:
            if call.operation == "write":
                for key, value in call.arguments[0].items():
                    rows[key].append(sets[value])
        found = []
        for key in {call.arguments[0] for call in sets.values()}:
            own = [call for call in sets.values() if call.arguments[0] == key]
            reads = [call for call in history if call.operation == "get" and call.arguments[0] == key]
            found += [*_lost(own, rows[key]), *_turned_back(rows[key]), *_read_too_old(own, reads)]
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Writes that were not made, and keys that outlive the values."""
        return await orphans(redis, self.name, longest=_KNOWN)


def _lost(sets: Sequence[Call], rows: Sequence[Call]) -> Iterator[str]:
    """What was taken for writing, and neither written nor followed by anything that was."""
    last = max((row.ended if row.outcome == "ok" else math.inf for row in rows), default=-math.inf)
    written = set(map(value_of, rows))
    for call in sets:
        if call.outcome == "ok" and value_of(call) not in written and last < call.begun:
            yield f"lost: {call}"


def _turned_back(rows: Sequence[Call]) -> Iterator[str]:
    """Rows that were written after later ones of the same key."""
    for one, other in pairwise(rows):
        if other.outcome == "ok" and other.ended < one.begun:
            yield f"written after a later one: {other} after {one}"


def _read_too_old(sets: Sequence[Call], reads: Sequence[Call]) -> Iterator[str]:
    """Reads of what was there before the last write."""
    done = [call for call in sets if call.outcome == "ok"]
    over: dict[str | None, float] = {None: min((call.ended for call in done), default=math.inf)}
    for call in sets:
        ends = (one.ended for one in done if call.ended < one.begun)
        over[value_of(call)] = min(ends, default=math.inf) if call.outcome == "ok" else math.inf
    for read in reads:
        if read.outcome == "ok" and read.begun > over.get(read.result, -math.inf):
            yield f"older than what was written: {read}"


WRITES = (Through(), Later())
