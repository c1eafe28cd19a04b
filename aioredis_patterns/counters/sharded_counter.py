"""A counter for what is counted all the time: its additions are spread over several keys, and its sum read from all.

Promise: no addition is lost. Limit of the promise: a sum is read shard by shard, so it is between what there was when
the reading began and what there was when it ended; there are no bounds. The keys have no expiry without `ttl`.

Cost: one round trip to add, to one key; in a cluster the keys lie on all nodes. To read, a call for each shard, all of
them in flight at one time.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final, final

from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns.types import AnyRedis, Seconds

from .counter import add, read, take, whole

__all__ = ("ShardedCounter",)

_MOST: Final = 1024


@final
class ShardedCounter:
    """A number in several parts.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is counted.
        shards: How many keys; as many for everybody who counts the same.
        ttl: Seconds that a shard lives from its first addition; for ever when None.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> hits = ShardedCounter(redis, "hits", shards=16)
        >>> await hits.increment(by=2)
        >>> await hits.decrement()
        >>> await hits.get()
        1
    """

    __slots__ = ("_life_ms", "_redis", "_shards", "name")

    def __init__(
        self, redis: AnyRedis, name: str, *, shards: int = 16, ttl: Seconds | None = None, prefix: str = PREFIX
    ) -> None:
        shards = whole(shards, "shards")
        if not 1 <= shards <= _MOST:
            raise ValueError(f"shards must be from 1 to {_MOST}, not {shards!r}")
        self.name = name
        self._redis = redis
        self._shards = [Keys(name, prefix).key("shard", number) for number in range(shards)]
        self._life_ms = 0 if ttl is None else ttl_ms(ttl)

    def __repr__(self) -> str:
        return f"<ShardedCounter {self.name!r}>"

    async def increment(self, *, by: int = 1) -> None:
        """Add.

        Raises:
            OutcomeUnknownError: The reply was lost; it may have been added.
        """
        await add(self._redis, random.choice(self._shards), by, self._life_ms)  # noqa: S311  # any shard will do

    async def decrement(self, *, by: int = 1) -> None:
        """Take away."""
        await self.increment(by=-whole(by, "by"))

    async def get(self) -> int:
        """The sum."""
        return sum(await asyncio.gather(*(read(self._redis, shard) for shard in self._shards)))

    async def reset(self) -> int:
        """Begin anew; the sum of what was there. No addition is lost between the two.

        Raises:
            OutcomeUnknownError: The reply of a shard was lost; what any of them had may be gone.
        """
        return sum(await asyncio.gather(*(take(self._redis, shard) for shard in self._shards)))
