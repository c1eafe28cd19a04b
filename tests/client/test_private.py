"""What takes a connection of the pool: however it is spelled, it may block, and the server judges its arguments."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import redis.asyncio as redis_py
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.faults import FaultProxy
from tests.support.waiting import eventually


@pytest.mark.parametrize("spelling", ["BLPOP", "blpop", b"BLPOP"])
async def test_a_blocking_read_may_block_however_it_is_spelled(url: str, name: str, spelling: str | bytes) -> None:
    """The deadline counts on top of the time to block, whether the command is given as text or as bytes."""
    async with connect(url, deadline=0.2) as redis:
        popped = asyncio.create_task(redis.execute_command(spelling, name, 0))
        asyncio.get_running_loop().call_later(0.4, lambda: asyncio.ensure_future(redis.rpush(name, "x")))
        assert list(await popped) == [name.encode(), b"x"]


@pytest.mark.parametrize(
    "command",
    [
        "BLPOP k soon",
        "BLPOP k",
        "BLPOP k nan",
        "WAIT",
        "WAIT 0 soon",
        "XREAD",
        "XREAD BLOCK",
        "XREAD BLOCK x STREAMS k 0",
    ],
)
async def test_bad_arguments_are_the_servers_to_refuse(pipelined: PipelinedRedis, command: str) -> None:
    """A command that names no time to block gets the server's own error."""
    with pytest.raises(RedisError):
        await asyncio.wait_for(pipelined.execute_command(*command.split()), 2)


@pytest.mark.parametrize(
    "command", [("SELECT", 0), (b"select", 0), ("CLIENT TRACKING", "OFF"), ("CLIENT", "TRACKING", "OFF")]
)
async def test_what_changes_a_connection_is_warned_of(pipelined: PipelinedRedis, command: tuple[Any, ...]) -> None:
    """Whoever changes the state of one connection of the pool is told that the others do not follow."""
    with pytest.warns(UserWarning, match="one connection of the pool"):
        await pipelined.execute_command(*command)


async def test_what_changes_nothing_is_not_warned_of(pipelined: PipelinedRedis) -> None:
    """A private command without such an effect is silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await pipelined.execute_command("CLIENT", "GETNAME")


async def test_a_client_of_its_own_keeps_the_deadline(url: str, name: str) -> None:
    """`client()` gives a client that is as patient as the one it came from, in order and on one connection."""
    async with connect(url, deadline=0.7) as redis, redis.client() as own:
        assert isinstance(own, PipelinedRedis)
        assert own.deadline == 0.7
        assert await asyncio.gather(*(own.client_id() for _ in range(5))) == [await own.client_id()] * 5


CALLS: dict[str, Callable[[PipelinedRedis], Coroutine[Any, Any, Any]]] = {
    "command": lambda redis: redis.execute_command("CLIENT", "GETNAME"),
    "pipeline": lambda redis: redis.pipeline().echo("x").execute(),
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("connected", [True, False])
async def test_a_cancellation_is_never_lost(url: str, kind: str, connected: bool) -> None:
    """Whenever it comes, a cancellation ends what runs on a private connection, also under a socket_timeout."""
    async with connect(url, socket_timeout=3) as redis:
        for turns in range(60):
            if not connected:
                await redis.connection_pool.disconnect()
            call = asyncio.create_task(CALLS[kind](redis))
            for _ in range(turns):
                await asyncio.sleep(0)
            if call.cancel():
                await asyncio.wait([call])
                assert call.cancelled()


async def test_the_sockets_own_timeout_is_left_as_it_was(own_server: EmbeddedServer) -> None:
    """The deadline bounds a private command, and afterwards the connection of the pool is the user's again."""
    async with connect(own_server.url, socket_timeout=0.1, deadline=5) as redis:
        await redis.execute_command("CLIENT", "GETNAME")
        own_server.pause()
        asyncio.get_running_loop().call_later(0.3, own_server.resume)
        await redis.execute_command("CLIENT", "GETNAME")
        connection = await redis.connection_pool.get_connection()
        assert connection.socket_timeout == 0.1
        await redis.connection_pool.release(connection)


@pytest.mark.parametrize("kind", CALLS)
async def test_a_pool_with_no_connection_left_is_no_unknown_outcome(url: str, kind: str) -> None:
    """Where the pool has none to give, or none in time, nothing was written and the caller is told just that."""
    for pool, error, why in (
        (redis_py.ConnectionPool.from_url(url, max_connections=1), RedisConnectionError, "onnection"),
        (redis_py.BlockingConnectionPool.from_url(url, max_connections=1), RedisTimeoutError, r"no connection within"),
    ):
        redis = PipelinedRedis(connection_pool=pool, deadline=0.2)
        taken = await pool.get_connection()
        with pytest.raises(error, match=why):
            await CALLS[kind](redis)
        await pool.release(taken)
        assert await CALLS[kind](redis) in (None, [b"x"])
        await pool.disconnect()


@pytest.mark.parametrize("kind", CALLS)
async def test_a_wrong_password_is_no_unknown_outcome(own_server: EmbeddedServer, kind: str) -> None:
    """A connection that the server refuses raises the server's reason."""
    async with connect(f"redis://nobody:wrong@{own_server.host}:{own_server.port}") as redis:
        with pytest.raises(AuthenticationError, match="invalid username-password"):
            await CALLS[kind](redis)


async def test_a_client_of_its_own_opens_its_connection_again(own_server: EmbeddedServer) -> None:
    """A single connection that the server has closed meanwhile is replaced before anything is written to it."""
    async with connect(own_server.url) as redis, redis.client() as own:
        closed = await own.client_id()
        await redis.client_kill_filter(_id=closed)
        await eventually(own.connection._reader.at_eof)
        assert await own.client_id() != closed


ON_ITS_OWN: dict[str, tuple[Callable[[PipelinedRedis, str], Awaitable[Any]], type[Exception], str]] = {
    "a read": (lambda own, key: own.get(key), RedisTimeoutError, "GET: no reply within 0.2 s"),
    "a write": (lambda own, key: own.incr(key), OutcomeUnknownError, "INCRBY: no reply within 0.2 s"),
    "a blocking read": (lambda own, key: own.blpop(key, 0.3), OutcomeUnknownError, "BLPOP: no reply within 0.5 s"),
}


@pytest.mark.parametrize("kind", ON_ITS_OWN)
async def test_a_client_of_its_own_times_out(own_server: EmbeddedServer, name: str, kind: str) -> None:
    """A read that is not answered only read, a write may have been executed; without a connection neither was sent."""
    call, error, said = ON_ITS_OWN[kind]
    async with connect(own_server.url, deadline=0.2) as redis, redis.client() as own:
        own_server.pause()
        try:
            with pytest.raises(error, match=said):
                await call(own, name)
            with pytest.raises(RedisTimeoutError, match=r"no connection within 0.2 s"):
                await call(own, name)
        finally:
            own_server.resume()


async def test_a_read_that_may_block_for_ever_waits_for_its_connection_no_longer_than_others(
    server: EmbeddedServer,
) -> None:
    """The deadline bounds what comes before the read, whatever the timeouts of the socket are."""
    async with FaultProxy(server.host or "", server.port or 0) as proxy, asyncio.timeout(5):
        proxy.black_hole()
        async with connect(proxy.url, deadline=0.3, socket_timeout=None, socket_connect_timeout=None) as redis:
            with pytest.raises(RedisTimeoutError, match=r"BLPOP: no connection within 0.3 s"):
                await redis.blpop("key", timeout=0)
        proxy.heal()
