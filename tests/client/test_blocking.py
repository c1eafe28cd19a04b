"""Blocking reads: what they give, how they end, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from aioredis_patterns.client import blocking, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.blocking import BlockingReads
from aioredis_patterns.client.dialing import Dialer
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError, TransportError
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually


async def blocked(redis: Redis) -> int:
    """How many clients wait on the server."""
    return int((await redis.info("clients"))["blocked_clients"])


async def connections(redis: Redis) -> int:
    return len(await redis.client_list())


async def test_a_reply_comes_as_bytes(redis: Redis, name: str) -> None:
    """A blocking read gives what it waited for, or None after its time, whatever the client decodes."""
    reads = link_of(redis).blocking
    reply = asyncio.create_task(reads.call("BLPOP", name, 5, block=5))
    await eventually(lambda: blocked(redis))
    await redis.rpush(name, "item")
    assert await reply == [name.encode(), b"item"]
    assert await reads.call("BLPOP", name, 0.05, block=0.05) is None


async def test_a_read_may_block_longer_than_the_socket_timeout(url: str, name: str) -> None:
    """The client's socket_timeout and deadline do not end a read that may block for longer."""
    async with connect(url, socket_timeout=0.1, deadline=0.1) as redis:
        assert await link_of(redis).blocking.call("BLPOP", name, 0.5, block=0.5) is None


async def test_reads_do_not_hold_other_commands_up(pipelined: Redis, name: str) -> None:
    """While reads block, commands go on, and so do other reads."""
    reads = link_of(pipelined).blocking
    waiting = [asyncio.create_task(reads.call("BLPOP", f"{name}:{n}", 5, block=5)) for n in range(10)]
    await eventually(lambda: blocked(pipelined))
    async with asyncio.timeout(1):
        for number in reversed(range(10)):
            await pipelined.rpush(f"{name}:{number}", "x")
        assert all(await asyncio.gather(*waiting))


async def test_connections_are_used_again(pipelined: Redis, name: str) -> None:
    """Calls one after the other share a connection; many at once leave only a few idle ones."""
    reads = link_of(pipelined).blocking
    before = await connections(pipelined)
    for _ in range(5):
        await reads.call("BLPOP", name, 0.01, block=0.01)
    assert await connections(pipelined) == before + 1
    await asyncio.gather(*[reads.call("BLPOP", name, 0.05, block=0.05) for _ in range(30)])

    async def few() -> bool:
        return await connections(pipelined) <= before + blocking.KEPT

    await eventually(few)


async def test_a_cancelled_read_closes_its_connection(pipelined: Redis, name: str) -> None:
    """A cancelled read is gone from the server at once, and what is pushed afterwards stays in the list."""
    reads = link_of(pipelined).blocking
    before = await connections(pipelined)
    task = asyncio.create_task(reads.call("BLPOP", name, 0, block=None))
    await eventually(lambda: blocked(pipelined))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def closed() -> bool:
        return await connections(pipelined) == before

    await eventually(closed)
    await pipelined.rpush(name, "item")
    assert await pipelined.llen(name) == 1


async def test_a_storm_of_cancellations_leaves_nothing(redis: Redis, name: str) -> None:
    """Reads cancelled at random moments leave no connection beyond the idle ones, no task and no wrong reply."""
    dice, reads = random.Random(5), link_of(redis).blocking
    tasks_before, before = asyncio.all_tasks(), await connections(redis)

    async def read(number: int) -> None:
        block = dice.random() * 0.02
        reply = await reads.call("BLPOP", f"{name}:{number}", block, block=block)
        assert reply is None or reply == [f"{name}:{number}".encode(), str(number).encode()]

    for _ in range(10):
        tasks = [asyncio.create_task(read(number)) for number in range(40)]
        for number, task in enumerate(tasks):
            if dice.random() < 0.5:
                await redis.rpush(f"{name}:{number}", number)
            if dice.random() < 0.5:
                task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() or task.exception() is None for task in tasks)

    async def few() -> bool:
        return await connections(redis) <= before + blocking.KEPT + 1

    await eventually(few)
    assert asyncio.all_tasks() - tasks_before == set()


async def test_one_read_too_many_is_an_error_at_once(own_server: EmbeddedServer, name: str) -> None:
    """Above the limit a call raises instead of waiting; when a place is free again it works."""
    async with connect(own_server.url) as redis:
        dialer = Dialer(redis.connection_pool.make_connection, timeout=5)
        reads = BlockingReads(dialer, deadline=5, limit=2)
        waiting = [asyncio.create_task(reads.call("BLPOP", name, 5, block=5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="2 blocking reads"):
            await reads.call("BLPOP", name, 5, block=5)
        await redis.rpush(name, "a", "b")
        await asyncio.gather(*waiting)
        assert await reads.call("BLPOP", name, 0.01, block=0.01) is None
        await reads.aclose()


async def test_a_silent_server_ends_the_read(
    own_server: EmbeddedServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read whose answer does not come ends soon after its time, and says that its outcome is unknown."""
    monkeypatch.setattr(blocking, "MARGIN", 0.1)
    async with connect(own_server.url) as redis:
        reads = link_of(redis).blocking
        await reads.call("BLPOP", name, 0.01, block=0.01)
        own_server.pause()
        started = asyncio.get_running_loop().time()
        with pytest.raises(OutcomeUnknownError):
            await reads.call("BLPOP", name, 0.1, block=0.1)
        assert 0.2 <= asyncio.get_running_loop().time() - started < 0.4
        own_server.resume()
        assert await reads.call("BLPOP", name, 0.01, block=0.01) is None


async def test_a_lost_connection_ends_the_read(pipelined: Redis, name: str) -> None:
    """A read whose connection is lost ends at once; idle connections that were lost are not handed out."""
    reads = link_of(pipelined).blocking
    task = asyncio.create_task(reads.call("BLPOP", name, 5, block=5))
    await eventually(lambda: blocked(pipelined))
    for client in await pipelined.client_list():
        if client["cmd"] == "blpop":
            await pipelined.client_kill_filter(_id=client["id"])
    with pytest.raises(OutcomeUnknownError):
        await task
    await reads.call("BLPOP", name, 0.01, block=0.01)
    await pipelined.execute_command("CLIENT", "KILL", "TYPE", "normal")
    await asyncio.sleep(0.01)
    assert await reads.call("BLPOP", name, 0.01, block=0.01) is None


async def test_a_lost_reply_is_told(url: str, own_server: EmbeddedServer, name: str) -> None:
    """A read that was executed and whose reply was lost raises OutcomeUnknownError and is not sent again."""
    async with FaultProxy(own_server.host, own_server.port) as proxy, connect(proxy.url) as redis:
        await redis.rpush(name, "a", "b")
        proxy.add(Fault("cut_after", "BLPOP"))
        with pytest.raises(OutcomeUnknownError):
            await link_of(redis).blocking.call("BLPOP", name, 1, block=1)
        assert await redis.lrange(name, 0, -1) == [b"b"]


async def test_an_error_of_the_server_is_the_callers(pipelined: Redis, name: str) -> None:
    """A refused command raises the server's error and keeps its connection."""
    await pipelined.set(name, "no list")
    reads = link_of(pipelined).blocking
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await reads.call("BLPOP", name, 1, block=1)
    assert await reads.call("BLPOP", f"{name}:x", 0.01, block=0.01) is None


async def test_no_server_is_an_error_within_the_deadline(own_server: EmbeddedServer, name: str) -> None:
    """Without a server a read raises at the client's deadline."""
    async with connect(own_server.url, deadline=0.2) as redis:
        reads = link_of(redis).blocking
        await own_server.kill()
        started = asyncio.get_running_loop().time()
        with pytest.raises(RedisConnectionError):
            await reads.call("BLPOP", name, 1, block=1)
        assert asyncio.get_running_loop().time() - started < 0.4


async def test_idle_connections_are_closed(pipelined: Redis, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody has used for a while is closed."""
    monkeypatch.setattr(blocking, "IDLE", 0.1)
    before = await connections(pipelined)
    await link_of(pipelined).blocking.call("BLPOP", name, 0.01, block=0.01)

    async def closed() -> bool:
        return await connections(pipelined) == before

    await eventually(closed)


async def test_closing_the_client_closes_them(url: str, pipelined: Redis, name: str) -> None:
    """Closing ends the reads under way with an error and leaves no connection."""
    before = await connections(pipelined)
    async with connect(url) as client:
        task = asyncio.create_task(link_of(client).blocking.call("BLPOP", name, 5, block=5))
        await eventually(lambda: blocked(pipelined))
    with pytest.raises(OutcomeUnknownError):
        await task

    async def closed() -> bool:
        return await connections(pipelined) == before

    await eventually(closed)


async def test_a_forgotten_client_takes_its_connections_along(url: str, pipelined: Redis, name: str) -> None:
    """A client that nobody holds any more is collected with its idle connections."""
    before = await connections(pipelined)
    client: Redis | None = Redis.from_url(url)
    assert client is not None
    await link_of(client).blocking.call("BLPOP", name, 0.01, block=0.01)
    client = None

    async def closed() -> bool:
        gc.collect()
        return await connections(pipelined) == before

    await eventually(closed)
