"""A pool's connections, kept apart: each serves the event loop that opened it, and never a forked child.

redis-py hands an idle connection to whoever comes next. On another event loop a command is written and its reply
cannot be read; in a forked child it leaves on the parent's socket, and the parent takes the reply for its own.
"""

from __future__ import annotations

from asyncio import StreamWriter
from contextlib import suppress
from typing import Any, Final

from redis.asyncio import ConnectionPool, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from .home import Home

__all__ = ("is_here", "keep_apart", "keep_nodes_apart", "keep_sentinels_apart")

_HOME: Final = "_aioredis_patterns_home"


def keep_apart(pool: ConnectionPool) -> None:
    """From now on this pool gives nobody a connection of another event loop or process, and closes none of theirs."""
    if "get_connection" in vars(pool):
        return
    get, disconnect = pool.get_connection, pool.disconnect

    async def get_own(command_name: Any = None, *keys: Any) -> AbstractConnection:  # noqa: ARG001 - of no use any more
        idle = pool._available_connections
        if not idle or not is_here(idle[-1]):  # the last one is given next
            _leave_others(pool)
        connection: AbstractConnection = await get()  # type: ignore[no-untyped-call]
        home = _home_of(connection)
        if home is None or not home.here():
            setattr(connection, _HOME, Home())
        return connection

    async def disconnect_own(inuse_connections: bool = True) -> None:
        _leave_others(pool)
        await disconnect(inuse_connections)

    pool.get_connection = get_own  # type: ignore[method-assign]
    pool.disconnect = disconnect_own  # type: ignore[method-assign]
    keep_sentinels_apart(pool)


def keep_sentinels_apart(pool: ConnectionPool) -> None:
    """The same for the connections on which this pool asks the Sentinels, if there are any, and for no others of it."""
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            keep_apart(sentinel.connection_pool)


def is_here(connection: AbstractConnection) -> bool:
    """Whether a connection that such a pool has given may be used on the event loop that runs now."""
    home = _home_of(connection)
    return home is None or home.here()


def keep_nodes_apart(cluster: RedisCluster) -> None:
    """Have redis-py's own cluster client forget connections whose event loop is over; called before it uses any."""
    home = _home_of(cluster)
    if home is not None and home.over:
        manager = cluster.nodes_manager
        for node in (*manager.nodes_cache.values(), *manager.startup_nodes.values()):
            for connection in node._connections:
                _leave(connection, home)
            node._connections.clear()
            node._free.clear()
    if home is None or home.over:
        setattr(cluster, _HOME, Home())


def _home_of(user: AbstractConnection | RedisCluster) -> Home | None:
    return getattr(user, _HOME, None)


def _leave_others(pool: ConnectionPool) -> None:
    """Forget the idle connections of others, and of those in use the ones whose event loop is over."""
    idle, taken = pool._available_connections, pool._in_use_connections
    for connection in tuple(idle):
        home = _home_of(connection)
        if home is not None and not home.here():
            with suppress(ValueError):  # another thread has just taken it
                idle.remove(connection)
                _leave(connection, home)
    for connection in tuple(taken):
        home = _home_of(connection)
        if home is not None and home.over:
            taken.discard(connection)
            _leave(connection, home)


def _leave(connection: AbstractConnection, home: Home) -> None:
    """Have it closed on its own event loop: its transport is not touched here, as a child shares its selector."""
    writer = connection._writer
    connection._reader = connection._writer = None  # with them, redis-py would close it when it is collected
    if writer is not None:
        with suppress(RuntimeError):  # its event loop is closed, and the socket goes with its transport
            home.loop.call_soon_threadsafe(_abort, writer)


def _abort(writer: StreamWriter) -> None:
    writer.transport.abort()
