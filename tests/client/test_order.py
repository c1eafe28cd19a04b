"""Replies go to their callers, whoever gives up in between."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from redis.exceptions import DataError, NoScriptError, ReadOnlyError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy

STORM = 30_000


async def connections_ever(redis: PipelinedRedis) -> int:
    return int((await redis.info("stats"))["total_connections_received"])


async def test_concurrent_commands_share_one_connection(own_server: EmbeddedServer) -> None:
    """A thousand commands at the same time open one connection."""
    async with connect(own_server.url) as redis:
        answers = await asyncio.gather(*(redis.echo(str(number)) for number in range(1000)))
        assert answers == [str(number).encode() for number in range(1000)]
        assert await redis.client_info() is not None
        shared, private = 1, 2
        names = [client["cmd"] for client in await redis.client_list()]
        assert len(names) <= shared + private


async def echo_and_give_up(redis: PipelinedRedis, number: int, how: random.Random) -> int:
    """Ask for an echo under one of the ways to give up; 1 when the answer was somebody else's."""
    pause = how.choice([0, 0, 0.0001, 0.001, 0.01])
    question = f"{number}".encode()
    try:
        match number % 4:
            case 0:
                async with asyncio.timeout(pause):
                    return int(await redis.echo(question) != question)
            case 1:
                with anyio.move_on_after(pause):
                    return int(await redis.echo(question) != question)
            case 2:
                task = asyncio.create_task(redis.echo(question))
                await asyncio.sleep(pause)
                task.cancel()
                task.cancel()
                return int(await task != question)
            case _:
                return int(await redis.echo(question) != question)
    except (TimeoutError, asyncio.CancelledError):
        pass
    return 0


async def test_cancelled_callers_never_take_another_callers_reply(own_server: EmbeddedServer) -> None:
    """In a storm of cancellations no reply is wrong, no task is left, and the connection is never opened anew."""
    how = random.Random(7)
    async with connect(own_server.url) as redis:
        await redis.ping()
        before = await connections_ever(redis)
        tasks_before = len(asyncio.all_tasks())
        wrong = 0
        for start in range(0, STORM, 1000):
            wrong += sum(
                await asyncio.gather(*(echo_and_give_up(redis, start + number, how) for number in range(1000)))
            )
        assert wrong == 0
        assert len(asyncio.all_tasks()) == tasks_before
        assert await connections_ever(redis) == before
        statistics = link_of(redis).lanes[0].statistics()
        assert (statistics.connections, statistics.in_flight, statistics.waiting) == (1, 0, 0)


async def test_a_task_group_that_fails_leaves_the_connection_good(pipelined: PipelinedRedis) -> None:
    """When a sibling fails, the cancelled commands' replies are dropped and the next command gets its own."""
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(pipelined.echo(str(number)))
            await pipelined.execute_command("EVALSHA", "0" * 40, 0)
    assert await pipelined.echo("mine") == b"mine"


async def test_errors_go_to_their_callers_and_to_nobody_else(pipelined: PipelinedRedis, name: str) -> None:
    """Among commands that fail, each caller gets its own result or its own error."""
    await pipelined.set(name, "text")
    answers = await asyncio.gather(
        *(pipelined.incr(name) if number % 2 else pipelined.echo(str(number)) for number in range(100)),
        return_exceptions=True,
    )
    for number, answer in enumerate(answers):
        if number % 2:
            assert isinstance(answer, Exception)
        else:
            assert answer == str(number).encode()
    await pipelined.delete(name)


async def test_a_big_reply_arrives_whole_and_in_its_place(pipelined: PipelinedRedis, name: str) -> None:
    """A value of many reads comes back byte for byte between two small ones."""
    value = random.Random(1).randbytes(3_000_000)
    await pipelined.set(name, value, ex=60)
    before, big, after = await asyncio.gather(pipelined.echo("a"), pipelined.get(name), pipelined.echo("b"))
    assert (before, big, after) == (b"a", value, b"b")
    await pipelined.delete(name)


async def test_strings_are_decoded_for_those_who_asked_for_it(url: str, name: str) -> None:
    """On one connection a decoding client gets str, and what is not text raises and hurts nobody else."""
    async with connect(url, decode_responses=True) as redis:
        await redis.set(name, b"\xff\xfe", ex=60)
        text, broken, after = await asyncio.gather(
            redis.echo("é"), redis.get(name), redis.echo("after"), return_exceptions=True
        )
        assert (text, after) == ("é", "after")
        assert isinstance(broken, UnicodeDecodeError)
        await redis.delete(name)


async def test_another_encoding_is_the_users_and_not_the_commands(url: str, name: str) -> None:
    """A client that speaks UTF-16 stores its text in it, and its commands are still commands."""
    async with connect(url, encoding="utf-16") as redis:
        assert await redis.set(name.encode(), "é")
        assert await redis.get(name.encode()) == "é".encode("utf-16")
        await redis.delete(name.encode())


@pytest.mark.parametrize("rubbish", [b"?rubbish\r\n", b"+OK\r\n"])
async def test_bytes_that_no_server_sends_end_the_connection(pipelined: PipelinedRedis, rubbish: bytes) -> None:
    """What breaks the protocol, or answers nothing that was asked, is given to nobody, and the connection replaced."""
    assert await pipelined.ping()
    lane = link_of(pipelined).lanes[0]
    wire = lane._wire
    assert wire is not None
    wire.get_buffer(-1)[: len(rubbish)] = rubbish
    wire.buffer_updated(len(rubbish))
    assert not lane.statistics().connected
    assert await pipelined.echo("x") == b"x"
    assert lane.statistics().connections == 2


async def test_a_script_called_by_its_name_that_lost_its_reply(server: EmbeddedServer, name: str) -> None:
    """A raw EVALSHA whose reply was lost is an unknown outcome, and an unknown script the server's own error."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        sha = await redis.script_load("return redis.call('INCR', KEYS[1])")
        assert await redis.evalsha(sha, 1, name) == 1
        with pytest.raises(NoScriptError):
            await redis.evalsha("0" * 40, 0)
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError, match="EVALSHA"):
            await redis.evalsha(sha, 1, name)
        assert await redis.evalsha(sha, 1, name) == 3
        await redis.delete(name)


async def test_nothing_asked_for_is_nothing_found(pipelined: PipelinedRedis) -> None:
    """Where redis-py has an answer for what the server refuses, it is given."""
    assert await pipelined.mget([]) == []


async def test_what_is_no_string_is_packed_as_redis_py_does(pipelined: PipelinedRedis, name: str) -> None:
    """A memoryview is its bytes, and what has no one meaning as a string is refused before anything is sent."""
    await pipelined.set(name, memoryview(b"viewed"), ex=60)
    assert await pipelined.get(name) == b"viewed"
    for value in (None, True, [1]):
        with pytest.raises(DataError):
            await pipelined.set(name, value)
    assert await pipelined.get(name) == b"viewed"


async def test_a_replica_says_at_once_that_it_takes_no_writes(own_server: EmbeddedServer) -> None:
    """Without a Sentinel there is no other server to be found, so READONLY is the last word."""
    async with connect(own_server.url, deadline=20) as redis, asyncio.timeout(2):
        await redis.replicaof("127.0.0.1", 1)
        with pytest.raises(ReadOnlyError):
            await redis.incr("n")
        assert await redis.get("n") is None


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:loop is closed:ResourceWarning")
def test_a_client_forgotten_after_its_loop_disturbs_nobody(url: str) -> None:
    """A client that was never closed may be collected when its event loop is closed already."""
    gone = weakref.ref(used_and_left(url))
    for _ in range(3):  # the client goes first, then what it let go of
        gc.collect()
    assert gone() is None


def used_and_left(url: str) -> PipelinedRedis:
    redis = connect(url)

    async def use() -> None:
        await redis.ping()

    asyncio.run(use())
    return redis


async def test_whom_the_first_replies_wake_need_not_wait_for_the_rest(pipelined: PipelinedRedis) -> None:
    """Of many callers who are answered at once the first write again before the last have run."""
    await pipelined.ping()
    wire = link_of(pipelined).lanes[0]._wire
    assert wire is not None
    sizes: list[int] = []
    send = wire.send

    def noted(data: bytes, futures: Sequence[asyncio.Future[Any]], decode: bool) -> None:
        sizes.append(len(futures))
        send(data, futures, decode)

    wire.send = noted  # type: ignore[method-assign]

    async def call() -> None:
        for _ in range(2):
            await pipelined.ping()

    await asyncio.gather(*(call() for _ in range(100)))
    assert sum(sizes) == 200
    assert any(10 <= size < 90 for size in sizes)
