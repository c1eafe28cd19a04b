"""What takes a connection of the pool: however it is spelled, it may block, and the server judges its arguments."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from redis.exceptions import RedisError

from aioredis_patterns.client import PipelinedRedis, connect


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
