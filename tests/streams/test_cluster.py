"""In a cluster each partition of a log lies in a slot of its own, and all works as elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedCluster, embedded_cluster
from aioredis_patterns.queues import Worker
from aioredis_patterns.streams import ConsumerGroup, EventLog
from tests.support.waiting import eventually

CLIENTS = {
    "pipelined": lambda cluster: connect(cluster.url),
    "plain-decoding": lambda cluster: RedisCluster.from_url(cluster.masters[0].url, decode_responses=True),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    async with embedded_cluster(replicas=0) as running:
        yield running


@pytest_asyncio.fixture(params=CLIENTS)
async def redis(request: pytest.FixtureRequest, cluster: EmbeddedCluster) -> AsyncIterator[Redis]:
    """A client of each kind that users build."""
    async with CLIENTS[request.param](cluster) as client:
        yield client


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
