"""In a cluster each partition of a log lies in a slot of its own, and all works as elsewhere."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedCluster
from aioredis_patterns.queues import Worker
from aioredis_patterns.streams import ConsumerGroup, EventLog
from tests.support.waiting import eventually


@pytest.fixture
def redis(cluster_client: Redis) -> Redis:
    """A client of each kind that users build, of a cluster."""
    return cluster_client


async def test_a_log_over_all_nodes(redis: Redis, cluster: EmbeddedCluster, name: str) -> None:
    """Entries on every node are read, followed, handled, buried and replayed; a consumer that waits is woken."""
    log: EventLog[int] = EventLog(redis, name, partitions=8)
    group, handled = ConsumerGroup(log, "g", max_deliveries=1), list[int]()

    async def handle(number: int) -> None:
        if number == 7:
            raise ValueError("seven")
        handled.append(number)

    async with connect(cluster.url) as other, Worker(group.consumer("w"), handle, concurrency=4):
        await asyncio.gather(*(EventLog(other, name, partitions=8).append(n, key=n) for n in range(50)))
        await eventually(lambda: len(handled) == 49)
    assert sorted(entry.payload for entry in await log.range()) == list(range(50))
    assert sorted([entry.payload async for entry in log.read()]) == list(range(50))
    assert [letter.payload for letter in await group.dead.list()] == [7]
    assert await group.dead.replay() == 1
    again = await group.claim("other", timeout=5)
    assert again is not None
    assert (again.payload, await again.extend(), await again.ack()) == (7, True, True)
    assert await log.trim(acked=True) > 0
    assert (await group.stats()).pending == 0
