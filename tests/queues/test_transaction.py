"""Transactions: what a handler writes to Redis counts once, and only together with the acknowledgement."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.queues import Delivery, PriorityQueue, Queue, QueueStats, Transaction, Worker
from tests.support.faults import Command, Fault, FaultProxy

EMPTY = QueueStats(0, 0, 0, 0, None)


async def test_writes_are_made_with_the_acknowledgement(redis: Redis, name: str) -> None:
    """Nothing is written before the block ends; then all is, and the message is done with."""
    queue, keys = Queue(redis, name), [f"{{{name}}}:a", f"{{{name}}}:b"]
    await queue.put(5)
    delivery = await queue.claim(timeout=0)
    assert delivery is not None
    async with Transaction(delivery) as transaction:
        transaction.write("INCRBYFLOAT", keys[0], 1.5)
        transaction.write("SADD", keys[1], "x", b"y", delivery.payload)
        transaction.write("SMOVE", keys[1], f"{{{name}}}:c", "x", keys=2)
        assert await redis.exists(*keys) == 0
    assert float(await redis.get(keys[0]) or 0) == 1.5
    assert await redis.scard(keys[1]) == 2
    assert await queue.stats() == EMPTY
    await redis.delete(*keys, f"{{{name}}}:c")


async def test_a_delivery_whose_lease_has_moved_on_writes_nothing(pipelined: Redis, name: str) -> None:
    """Of two handlers of one message only the one that holds the lease writes, and the other is told."""
    queue, key = PriorityQueue(pipelined, name, visibility=0.05), f"{{{name}}}:count"
    await queue.put("x")
    deliveries = [await queue.claim(timeout=5), await queue.claim(timeout=5)]
    answers = []
    for delivery in deliveries:
        assert delivery is not None
        transaction = Transaction(delivery)
        transaction.write("INCR", key)
        answers.append(await transaction.commit())
    assert answers == [False, True]
    assert await pipelined.get(key) == b"1"
    await pipelined.delete(key)


@pytest.mark.parametrize("most", [1, 2])
async def test_what_others_buried_is_no_failed_command(pipelined: Redis, name: str, most: int) -> None:
    """Who lost the lease of a message is told so, also when it is a dead letter by now: by its lease, or by another."""
    queue, key = Queue(pipelined, name, visibility=0.05, max_deliveries=most), f"{{{name}}}:count"
    await queue.put("x")
    delivery = await queue.claim(timeout=0)
    assert delivery is not None
    if other := await queue.claim(timeout=1):
        await other.reject("no such address")
    assert (await queue.stats()).dead == 1
    transaction = Transaction(delivery)
    transaction.write("INCR", key)
    assert await transaction.commit() is False
    assert await pipelined.exists(key) == 0


async def test_a_block_that_raises_writes_nothing(pipelined: Redis, name: str) -> None:
    """A handler that fails after it has asked for a write is tried again, and its write counts once."""
    queue, key = Queue(pipelined, name), f"{{{name}}}:count"

    async def handle(_: str, delivery: Delivery[str]) -> None:
        async with Transaction(delivery) as transaction:
            transaction.write("INCR", key)
            if delivery.attempt < 3:
                raise ValueError("not yet")

    await queue.put("x")
    async with Worker(queue, handle, backoff=0), asyncio.timeout(10):
        while await queue.stats() != EMPTY:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
    assert await pipelined.get(key) == b"1"
    await pipelined.delete(key)


async def test_a_command_that_fails_makes_a_dead_letter(pipelined: Redis, name: str) -> None:
    """A message whose commands fail is not tried again, as some of them may have been executed."""
    queue, key = Queue(pipelined, name), f"{{{name}}}:text"
    await pipelined.set(key, "text")
    attempts = []

    async def handle(_: str, delivery: Delivery[str]) -> None:
        attempts.append(delivery.attempt)
        async with Transaction(delivery) as transaction:
            transaction.write("APPEND", key, "!")
            transaction.write("INCR", key)

    await queue.put("x")
    async with Worker(queue, handle, backoff=0), asyncio.timeout(10):
        while (await queue.stats()).dead == 0:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
    (letter,) = await queue.dead.list()
    assert "not an integer" in letter.reason
    assert (attempts, await pipelined.getdel(key)) == ([1], b"text!")


@pytest.mark.parametrize(("command", "count"), [("INCR", b"1"), ("NOSUCHCOMMAND", None)])
async def test_a_lost_reply_is_no_second_write(
    own_server: EmbeddedServer, name: str, command: str, count: bytes | None
) -> None:
    """When the reply of the commit is lost, the caller learns what has happened, and it happened once."""

    def commits(words: Command) -> bool:
        return words[0].startswith(b"EVAL") and f"{{{name}}}:count".encode() in words

    async with FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy, connect(proxy.url) as redis:
        queue, key = Queue(redis, name), f"{{{name}}}:count"
        await queue.put("x")
        delivery = await queue.claim(timeout=5)
        assert delivery is not None
        transaction = Transaction(delivery)
        transaction.write(command, key)
        fault = Fault("cut_after", commits)
        proxy.add(fault)
        if count is None:
            with pytest.raises(ResponseError, match=r"Unknown (Redis )?command"):
                await transaction.commit()
        else:
            assert await transaction.commit()
        assert proxy.struck[fault] == 1
        assert await redis.get(key) == count


async def test_a_command_may_be_long(pipelined: Redis, name: str) -> None:
    """The longest command that is taken is executed, and what would not be is refused before anything is written."""
    queue, key = Queue(pipelined, name), f"{{{name}}}:members"
    await queue.put("x")
    delivery = await queue.claim(timeout=0)
    assert delivery is not None
    transaction = Transaction(delivery)
    with pytest.raises(ValueError, match="5000"):
        transaction.write("SADD", key, *range(5001))
    with pytest.raises(TypeError, match="True"):
        transaction.write("SADD", key, True)
    transaction.write("SADD", key, *range(5000))
    transaction.write("EXPIRE", key, 60)
    assert await transaction.commit()
    assert await pipelined.scard(key) == 5000
    await pipelined.delete(key)


async def test_keys_elsewhere_are_refused(pipelined: Redis, name: str) -> None:
    """A key that may live on another server than the queue is refused before anything is written."""
    queue = Queue(pipelined, name)
    await queue.put("x")
    delivery = await queue.claim(timeout=0)
    assert delivery is not None
    transaction = Transaction(delivery)
    for key in ("count", "{other}:count", f"{name}:count"):
        with pytest.raises(ValueError, match="hash tag"):
            transaction.write("INCR", key)
    with pytest.raises(ValueError, match="hash tag"):
        transaction.write("RENAME", f"{{{name}}}:a", "b", keys=2)
