"""Scripts are called by EVALSHA, preloaded, and never fail for want of being known to the server."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from typing import Any

import pytest
import redis.asyncio as redis_py
from redis.exceptions import NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.lua import KNOWN, read_source
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from tests.support.faults import FaultProxy
from tests.support.waiting import connected

ECHO = Script("tests.client", "echo_arg")
ADD = Script("tests.client", "add")
ADD_ONCE = Script("tests.client", "add_once", keys=2, repeatable=True)


async def test_every_imported_script_is_loaded_when_the_connection_opens(own_server: EmbeddedServer) -> None:
    """The first call of any script finds it loaded, at the cost of the round trip that opened the connection."""
    async with connect(own_server.url) as redis:
        await redis.ping()
        assert all(await redis.script_exists(*KNOWN))


async def test_what_the_server_has_is_not_loaded_again(own_server: EmbeddedServer) -> None:
    """A second client only asks which scripts are there, and sends the text of none."""
    async with connect(own_server.url) as first:
        await first.ping()
    async with FaultProxy(own_server.host, own_server.port) as proxy, connect(proxy.url) as second:
        await second.ping()
        assert proxy.commands["SCRIPT"] == 1


async def test_the_first_call_is_an_evalsha(server: EmbeddedServer, name: str) -> None:
    """A pattern's first call on a new client needs no EVAL."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        await ADD(redis, name, 1, 60_000)
        assert (proxy.commands["EVALSHA"], proxy.commands["EVAL"]) == (1, 0)


async def test_an_endless_script_flush_reaches_no_caller(own_server: EmbeddedServer) -> None:
    """While another client flushes the script cache without pause, every call succeeds and counts once."""
    async with connect(own_server.url) as redis, connect(own_server.url) as vandal:
        stop = asyncio.Event()

        async def flush() -> None:
            while not stop.is_set():
                await vandal.script_flush()

        flushing = asyncio.create_task(flush())
        done: Counter[type] = Counter()
        for _ in range(20):
            calls = (ADD(redis, "n", 1, 60_000) for _ in range(100))
            done += Counter(type(answer) for answer in await asyncio.gather(*calls, return_exceptions=True))
        stop.set()
        await flushing
        assert done == {int: 2000}
        assert await redis.get("n") == b"2000"


async def test_a_flush_reaches_no_caller_after_its_deadline(own_server: EmbeddedServer, name: str) -> None:
    """A process that stands still until its deadline is over is told of that, and not of a script that is missing."""
    async with connect(own_server.url, deadline=0.3) as redis:
        await connected(redis)
        await redis.script_flush()
        call = asyncio.create_task(ADD(redis, name, 1, 60_000))
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - the reply and the deadline are then met in one turn of the loop
        with pytest.raises(RedisTimeoutError):
            await call
        assert await redis.get(name) is None


async def test_a_flushed_script_is_loaded_again_behind_the_call(own_server: EmbeddedServer) -> None:
    """After a flush one call goes as EVAL, and those after it find the script again."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
    ):
        await redis.script_flush()
        for expected in range(1, 6):
            assert await ADD(redis, "n", 1, 60_000) == expected
        assert proxy.commands["EVAL"] == 1


async def test_arguments_arrive_byte_for_byte(redis: redis_py.Redis, name: str) -> None:
    """Text, bytes and numbers of every size reach the script as they are."""
    for sent, received in (
        ("", b""),
        ("é\r\n$3", "é\r\n$3".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (-(10**30), str(-(10**30)).encode()),
        ("x" * 100_000, b"x" * 100_000),
    ):
        assert await ECHO(redis, name, sent) == received


async def test_many_arguments_are_packed_right(pipelined: PipelinedRedis, name: str) -> None:
    """A call with ten and more arguments is as whole as one with two."""
    for extra in range(20):
        assert await ECHO(pipelined, name, "first", *range(extra)) == b"first"


async def test_a_script_in_a_users_transaction_goes_as_eval(pipelined: PipelinedRedis, name: str) -> None:
    """In a MULTI the script runs even when the server has forgotten it."""
    async with pipelined.pipeline() as pipeline:
        pipeline.set(name, 5, ex=60)
        ADD.queue(pipeline, name, 2, 60_000)
        assert (await pipeline.execute())[-1] == 7
    await pipelined.delete(name)


async def test_an_error_in_the_script_is_the_callers(pipelined: PipelinedRedis, name: str) -> None:
    """A script that fails raises redis-py's ResponseError and is not repeated."""
    await pipelined.set(name, "no number", ex=60)
    with pytest.raises(ResponseError, match="not an integer"):
        await ADD(pipelined, name, 1, 60_000)
    await pipelined.delete(name)


async def test_a_lease_has_a_lane_of_its_own(own_server: EmbeddedServer) -> None:
    """A script that guards a hold does not wait behind the replies of the shared lane."""
    lease = Script("tests.client", "echo_arg", lease=True)
    async with connect(own_server.url) as redis:
        await lease(redis, "key", "x")
        await redis.set("big", bytes(20_000_000))
        big = asyncio.create_task(redis.get("big"))
        await asyncio.sleep(0)
        assert await lease(redis, "key", "quick") == b"quick"
        assert await big == bytes(20_000_000)
        link = link_of(redis)
        assert link.lease_lane("key") is not link.lanes[0]


async def test_lanes_keep_the_commands_of_one_key_together(own_server: EmbeddedServer) -> None:
    """With several lanes each hash tag has its own, so that commands of one key stay in order."""
    async with connect(own_server.url, lanes=3) as redis:
        await asyncio.gather(*(redis.append(f"{{{number % 7}}}:list", f"{number},") for number in range(700)))
        for tag in range(7):
            expected = "".join(f"{number}," for number in range(700) if number % 7 == tag)
            assert (await redis.get(f"{{{tag}}}:list")).decode() == expected
        assert len({link_of(redis).lane(f"{{{number}}}") for number in range(50)}) == 3


def test_a_script_is_named_by_the_sha_of_its_text() -> None:
    """Reading the same file twice gives the same script."""
    assert read_source("tests.client", "add") == read_source("tests.client", "add")
    assert ADD.source.sha in KNOWN


@pytest.mark.parametrize(
    ("deadline", "error"), [(0, ValueError), (-1, ValueError), (math.nan, ValueError), ("5", TypeError)]
)
async def test_the_deadline_of_a_call_is_a_duration(
    pipelined: PipelinedRedis, name: str, deadline: Any, error: type[Exception]
) -> None:
    """A deadline that is no time is refused before anything is sent."""
    with pytest.raises(error, match=r"^deadline must be"):
        await ADD(pipelined, name, 1, 60_000, deadline=deadline)
    assert await pipelined.exists(name) == 0


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (["-script"], None),
        (["-client"], None),
        (["-eval"], None),
        (["-evalsha"], "evalsha"),
        (["-script", "-eval"], "eval"),
        (["-@scripting"], "evalsha"),
    ],
)
async def test_a_missing_right_is_named_and_breaks_nothing(
    own_server: EmbeddedServer, rights: list[str], missing: str | None
) -> None:
    """A user that may not preload scripts runs them all the same; one that may not run them is told which right."""
    await own_server.ask("ACL", "SETUSER", "ada", "on", ">secret", "~*", "&*", "+@all", *rights)
    async with connect(f"redis://ada:secret@{own_server.host}:{own_server.port}") as redis:
        for expected in (1, 2, 3):
            if missing is None:
                assert await ADD(redis, "n", 1, 60_000) == expected
            else:
                with pytest.raises(NoPermissionError, match=f"'{missing}' command"):
                    await ADD(redis, "n", 1, 60_000)
            assert await redis.set("k", expected)
        assert link_of(redis).lanes[0].statistics().connections == 1
