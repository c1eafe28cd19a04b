"""Commands that need a connection to themselves: blocking reads, WAIT, connection state, anything unknown.

They take a connection of the pool, as in redis-py, with three differences: nothing is sent twice, a blocking read may
be silent as long as it may block, and the call ends within its deadline whatever the pool or the server does.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.errors import OutcomeUnknownError, TransportError

from .apart import is_here
from .redis_py import connection_from
from .routes import READ, blocking_time, find_flags, is_stateful

__all__ = ("execute_private",)


async def execute_private(redis: Redis, args: tuple[Any, ...], options: dict[str, Any], deadline: float) -> Any:
    """Execute one command on a connection of the pool.

    Raises:
        OutcomeUnknownError: The command was written and its reply was lost.
        redis.exceptions.TimeoutError: It was not written within the deadline.
    """
    name = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
    if is_stateful(args):
        warnings.warn(f"{name} reaches one connection of the pool, not those of other commands", stacklevel=4)
    block = blocking_time(args)
    written = False
    try:
        async with (
            asyncio.timeout(None if block is None else deadline + block),
            _borrowed(redis, deadline) as connection,
            _patient(connection),
        ):
            written = True
            return await redis._send_command_parse_response(connection, args[0], *args, **options)
    except (AuthenticationError, BusyLoadingError):
        raise
    except (RedisConnectionError, RedisTimeoutError, TimeoutError) as error:
        limit = f"no reply within {deadline + (block or 0):g} s" if written else f"no connection within {deadline:g} s"
        if written and not (find_flags(name.upper()) or 0) & READ:
            raise OutcomeUnknownError(name, str(error) or limit) from error
        if isinstance(error, RedisConnectionError | RedisTimeoutError):
            raise
        raise RedisTimeoutError(f"{name}: {limit}") from error


@asynccontextmanager
async def _borrowed(redis: Redis, deadline: float) -> AsyncIterator[AbstractConnection]:
    """A connection that stands within the deadline, also for a call that may block for ever."""
    async with asyncio.timeout(deadline):
        await redis.initialize()
        connection: AbstractConnection = redis.connection or await connection_from(redis.connection_pool)
    if redis.connection is None:
        try:
            yield connection
        finally:
            await redis.connection_pool.release(connection)
        return
    if not is_here(connection):
        raise TransportError("this client's one connection belongs to another event loop; make a client here")
    async with redis._single_conn_lock:
        async with asyncio.timeout(deadline):
            await _revive(connection)
        yield connection


async def _revive(connection: AbstractConnection) -> None:
    """Reconnect before anything is written to a connection that the server has closed meanwhile."""
    can_read = getattr(connection, "can_read", None) or connection.can_read_destructive  # as it was called up to 7
    try:
        good = connection.is_connected and not await can_read()
    except RedisConnectionError:
        good = False
    if not good:
        await connection.disconnect(nowait=True)
        await connection.connect()


@asynccontextmanager
async def _patient(connection: AbstractConnection) -> AsyncIterator[None]:
    """Leave it to the deadline how long the call may take: a blocking read is silent for longer than a socket may be.

    And before Python 3.12 `asyncio.wait_for`, under which redis-py writes where there is such a timeout, may lose a
    cancellation.
    """
    timeout, connection.socket_timeout = connection.socket_timeout, None
    try:
        yield
    finally:
        connection.socket_timeout = timeout
