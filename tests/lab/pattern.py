"""What a pattern brings into the laboratory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

from redis.asyncio import Redis

from aioredis_patterns.client.pipelined_cluster import PipelinedCluster
from tests.lab.diary import Diary
from tests.lab.history import Call

__all__ = ("Pattern", "orphans")

_NEVER, _LONGEST = -1, 60_000
"""Milliseconds."""


class Pattern(Protocol):
    """One pattern under storm.

    Whatever it keeps on the server has a name that is its own name, or begins with it and a colon: `Lock:hot`.
    """

    @property
    def name(self) -> str:
        """How it is called in diaries, in the report, and on the command line."""
        ...

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Use it from several tasks, in a worker process, until the event is set; then end what is under way.

        The event is set when the storm is over, so that a queue may still be emptied here. The process may be killed
        or stopped at any moment, and the calls may fail; `Diary.call` lets no failure through.
        """
        ...

    def findings(self, history: Sequence[Call]) -> list[str]:
        """What must not be among its calls, which are all from all processes, in the order in which they began."""
        ...

    async def left(self, redis: Redis) -> list[str]:
        """What must not be left on the server, when all workers have ended in order."""
        ...


async def orphans(redis: Redis, name: str, *lasting: str, longest: int = _LONGEST) -> list[str]:
    """The keys of a pattern that never expire, or not soon, when nobody uses it any more.

    Args:
        redis: Where they are.
        name: Of the pattern.
        lasting: How the names of those end that are to stay.
        longest: Milliseconds that a key may stay.
    """
    everywhere = redis.cluster_client if isinstance(redis, PipelinedCluster) else redis
    keys = [key.decode() async for key in everywhere.scan_iter(match=f"arp:{{{name}[:|}}]*", count=1000)]
    kept = {key: await redis.pttl(key) for key in keys if not key.endswith(lasting)}
    return [f"{key} expires in {ttl} ms" for key, ttl in kept.items() if ttl == _NEVER or ttl > longest]
