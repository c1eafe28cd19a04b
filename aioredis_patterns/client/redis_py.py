"""What differs between the versions of redis-py, and which of its defaults this library does without."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ("careful_options", "connection_from", "never_again")


def never_again() -> Retry:
    """The retry policy that sends nothing a second time."""
    return Retry(NoBackoff(), 0)


async def connection_from(pool: ConnectionPool) -> AbstractConnection:
    """A connection of the pool; a cancellation that came during its handshake goes on.

    Before Python 3.12 `asyncio.wait_for`, under which redis-py writes, may lose it.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    cancellations = task.cancelling()
    connection: AbstractConnection = await pool.get_connection()
    if task.cancelling() > cancellations:
        await pool.release(connection)
        raise asyncio.CancelledError
    return connection


def careful_options() -> dict[str, Any]:
    """Options for connections of our own: nothing is sent twice, and a connection with unread data is not reused.

    Since 8.1 maintenance notifications are on by default, and with them the pool's check for unread data is off.
    """
    options: dict[str, Any] = {"retry": never_again()}
    if "maint_notifications_config" in inspect.signature(Redis.__init__).parameters:
        from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options
