"""redis-py's pipeline, sent once and within a deadline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast

from redis.asyncio.client import Pipeline
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.exceptions import WatchError

from aioredis_patterns.errors import OutcomeUnknownError

from .redis_py import connection_from, never_again
from .routes import READ, find_flags

__all__ = ("OncePipeline",)


class OncePipeline(Pipeline):
    """What `PipelinedRedis.pipeline()` gives: `execute` never sends its commands a second time.

    Set by the client that makes it: `deadline`, the seconds that `execute` may take, and each command before MULTI.
    """

    deadline: float
    _users_options: tuple[Retry, float | None] | None = None

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute what was queued, on one connection of the pool.

        Raises:
            OutcomeUnknownError: The commands were written and the reply was lost.
            redis.exceptions.TimeoutError: No connection was free within the deadline.
            redis.exceptions.WatchError: A watched key changed, and nothing was executed.
        """
        if not self.command_stack and not self.watching:
            return []
        connected = False
        try:
            async with asyncio.timeout(self.deadline):
                await self._take_connection()
                connected = True
                return await super().execute(raise_on_error)
        except WatchError as error:
            if not isinstance(error.__context__, RedisConnectionError | RedisTimeoutError):
                raise
            # redis-py calls a lost reply of EXEC a changed key, and whoever tries again then would count twice.
            raise OutcomeUnknownError("pipeline", str(error.__context__)) from error
        except (RedisConnectionError, RedisTimeoutError, TimeoutError) as error:
            if connected:
                reason = str(error) or f"no reply within {self.deadline:g} s"
                raise OutcomeUnknownError("pipeline", reason) from error
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(f"pipeline: no connection within {self.deadline:g} s") from error
            raise

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute WATCH, or what is asked between it and MULTI, within the deadline."""
        try:
            async with asyncio.timeout(self.deadline):
                await self._take_connection()
                return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            await self.reset()
            reason = f"no reply within {self.deadline:g} s"
            if args[0] == "WATCH" or (find_flags(args[0]) or 0) & READ:
                raise RedisTimeoutError(f"{args[0]}: {reason}") from error
            raise OutcomeUnknownError(args[0], reason) from error

    async def reset(self) -> None:  # type: ignore[override]  # redis-py's own pipeline does so too
        """Give the connection back as it was taken, or drop it when the server does not answer within the deadline."""
        if self.connection is not None:
            if self._users_options is not None:
                self.connection.retry, self.connection.socket_timeout = self._users_options
                self._users_options = None
            self.watching = self.watching and self.connection.is_connected  # a lost connection watches nothing
        try:
            with suppress(TimeoutError, RedisTimeoutError):
                async with asyncio.timeout(self.deadline):
                    await super().reset()  # type: ignore[no-untyped-call]
        finally:
            await self._drop_connection()

    async def _drop_connection(self) -> None:
        """Before 8.1, redis-py keeps a connection on which UNWATCH has failed, and its unread reply."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self.watching = self.explicit_transaction = False
            await connection.disconnect(nowait=True)
            await self.connection_pool.release(connection)

    async def _take_connection(self) -> None:
        if self.connection is None:
            connection = await connection_from(self.connection_pool)
            self._users_options = connection.retry, connection.socket_timeout
            # The deadline counts; before Python 3.12 redis-py may lose a cancellation where there is a socket_timeout.
            connection.retry, connection.socket_timeout = never_again(), None
            self.connection = cast(Connection, connection)
