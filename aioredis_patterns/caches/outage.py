"""Outages: a cache that is told so goes on without Redis, and every caller loads for himself and his process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Literal, final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.breaker import breaker_of
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.types import AnyRedis

from .entry import Reader, Shard

__all__ = ("OpenReader", "SILENCE", "guarded")

SILENCE: Final = (RedisConnectionError, RedisTimeoutError, OutcomeUnknownError)
"""How a call ends that Redis did not answer."""


@final
class OpenReader:
    """Reads for which a Redis that does not answer has nothing.

    After five calls in a row without an answer nobody waits any more: one call a second finds out whether it is back.

    Args:
        redis: The client.
        reader: Reads where all is well.
        budget: Seconds that one call may take.
    """

    __slots__ = ("_budget", "_reader", "_redis")

    def __init__(self, redis: AnyRedis, reader: Reader, budget: float) -> None:
        self._redis = redis
        self._reader = reader
        self._budget = budget

    async def read(self, shard: Shard, part: str) -> Any:
        """What `Reader.read` answers; 0 in an outage."""
        try:
            return await self.within_budget(self._reader.read(shard, part))
        except SILENCE:
            return 0

    async def read_many(self, shard: Shard, parts: Sequence[str]) -> list[Any]:
        """What `Reader.read_many` answers; nothing but 0 in an outage."""
        try:
            return list(await self.within_budget(self._reader.read_many(shard, parts)))
        except SILENCE:
            return [0] * len(parts)

    async def stamp(self, shard: Shard, keep_ms: int) -> str:
        """What `Reader.stamp` answers.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OutcomeUnknownError: It is an outage.
        """
        stamp: str = await self.within_budget(self._reader.stamp(shard, keep_ms))
        return stamp

    async def within_budget(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Make a call to Redis.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OutcomeUnknownError: It is an outage.
        """
        breaker = breaker_of(self._redis)
        if not breaker.admits():
            call.close()
            raise RedisConnectionError("Redis did not answer of late, so it was not asked")
        scope = asyncio.timeout(self._budget)
        try:
            async with scope:
                answer = await call
        except TimeoutError:
            if not scope.expired():
                raise
            breaker.failed()
            raise RedisTimeoutError(f"no reply within {self._budget:g} s") from None
        except SILENCE:
            breaker.failed()
            raise
        breaker.succeeded()
        return answer


def guarded(reader: Reader, on_error: Literal["raise", "open"], redis: AnyRedis, budget: float) -> Reader | OpenReader:
    """The reader, or one that does without Redis when it has to."""
    if on_error not in ("raise", "open"):
        raise ValueError(f"on_error must be 'raise' or 'open', not {on_error!r}")
    return reader if on_error == "raise" else OpenReader(redis, reader, budget)
