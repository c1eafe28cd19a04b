"""redis-py's pipeline, sent once and within a deadline."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.errors import OutcomeUnknownError

from .redis_py import never_again

__all__ = ("OncePipeline",)


class OncePipeline(Pipeline):
    """What `PipelinedRedis.pipeline()` gives: `execute` never sends its commands a second time.

    Set by the client that makes it: `deadline`, the seconds that `execute` may take.
    """

    deadline: float

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute what was queued, on one connection of the pool.

        Raises:
            OutcomeUnknownError: The commands were written and the reply was lost.
            redis.exceptions.TimeoutError: No connection was free within the deadline.
        """
        if not self.command_stack and not self.watching:
            return []
        connected = False
        try:
            async with asyncio.timeout(self.deadline):
                connection = self.connection or await self.connection_pool.get_connection()
                connection.retry = never_again()
                self.connection = connection  # pyright: ignore[reportAttributeAccessIssue]
                connected = True
                return await super().execute(raise_on_error)
        except (RedisConnectionError, RedisTimeoutError, TimeoutError) as error:
            if connected:
                reason = str(error) or f"no reply within {self.deadline:g} s"
                raise OutcomeUnknownError("pipeline", reason) from error
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(f"pipeline: no connection within {self.deadline:g} s") from error
            raise
