"""Queues in a cluster: all of a queue is in one slot, and its consumers are woken on whatever node they listen."""

from __future__ import annotations

from functools import partial

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import embedded_cluster
from aioredis_patterns.queues import Delivery, PriorityQueue, Queue, Stack, Transaction, Worker
from tests.support.waiting import eventually


async def test_queues_work_in_a_cluster(name: str) -> None:
    """Messages of many queues are put, waited for, handled, renewed and replayed wherever their slots are."""
    handled: list[int] = []

    async def handle(payload: int, delivery: Delivery[int]) -> None:
        async with Transaction(delivery) as transaction:
            transaction.write("INCRBY", f"{{{name}:{payload}}}:total", 7)
        handled.append(payload)

    async with embedded_cluster() as cluster, connect(cluster.url) as redis, connect(cluster.url) as other:
        for number in range(6):
            queue = (Queue if number % 2 else PriorityQueue)(redis, f"{name}:{number}", visibility=5)
            async with Worker(queue, handle):
                there = (Queue if number % 2 else PriorityQueue)(other, f"{name}:{number}")
                await there.put(number)
                await eventually(partial(handled.__contains__, number))
            await queue.put("dead")
            for delivery in await queue.claim_many(1):
                assert await delivery.extend()
                assert await delivery.reject("no")
            assert await queue.dead.replay() == 1
            assert (await queue.stats()).ready == 1
            assert await redis.getdel(f"{{{name}:{number}}}:total") == b"7"
            assert await Stack(redis, f"{name}:{number}").push(1)
    assert sorted(handled) == list(range(6))
