"""Sessions in the laboratory: none outlives its `revoke_all`, and none is lost without one."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import final

from redis.asyncio import Redis

from aioredis_patterns.sessions import SessionStore
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("SESSIONS", "Visiting")

TASKS, USERS = 2, 4
LIFETIME, KNOWN_FOR = 50.0, 20.0
"""Seconds: how long a session lasts, and how long it is looked for."""

_MARKED = 300_000
"""Milliseconds for which the end of a session is remembered, so that no late request brings it back."""


@final
class Visiting:
    """Users who log in, come again, and log out everywhere."""

    name = "SessionStore"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Be some users at a time."""
        store = SessionStore(redis, self.name, idle=LIFETIME, lifetime=LIFETIME)
        await asyncio.gather(*[self._visit(store, diary, rng, until) for _ in range(TASKS)])

    async def _visit(self, store: SessionStore, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            user = f"user {rng.randrange(USERS)}"
            token = ""
            with diary.call(self.name, "create", user) as created:
                token = (await store.create(user, {"n": 1})).token
            for _ in range(rng.randrange(6) if token else 0):
                with diary.call(self.name, "load", user, created.number) as call:
                    call.result = await store.load(token) is not None
                await asyncio.sleep(pause(rng))
            if rng.random() < 0.2:
                with diary.call(self.name, "revoke_all", user):
                    await store.revoke_all(user)

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Sessions that were there after all had been ended, and those that were gone though nobody ended them."""
        created = {(call.worker, call.number): call for call in history if call.operation == "create"}
        ends: dict[str, list[Call]] = defaultdict(list)
        for call in history:
            if call.operation == "revoke_all":
                ends[call.arguments[0]].append(call)
        found = []
        for load in history:
            if load.operation != "load" or load.outcome != "ok":
                continue
            user, number = load.arguments
            born = created[load.worker, number]
            since = [end for end in ends[user] if end.ended > born.begun and end.begun < load.ended]
            if load.result and any(_is_between(born, end, load) for end in since):
                found.append(f"a session of {user} was there after all had been ended: {load}")
            if not load.result and not since and load.begun < born.begun + KNOWN_FOR:
                found.append(f"a session of {user} was gone: {load}")
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive the sessions."""
        return await orphans(redis, self.name, longest=_MARKED)


def _is_between(born: Call, end: Call, load: Call) -> bool:
    return end.outcome == "ok" and born.ended < end.begun and end.ended < load.begun


SESSIONS = (Visiting(),)
