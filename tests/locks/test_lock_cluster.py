"""The lock on a cluster: its keys share a slot, its renewals go to many, its wake-ups reach every node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedCluster
from aioredis_patterns.locks import Lock
from tests.support.waiting import eventually


@pytest_asyncio.fixture(params=["pipelined", "plain"])
async def clients(
    request: pytest.FixtureRequest, cluster: EmbeddedCluster
) -> AsyncIterator[list[Redis | RedisCluster]]:
    """Three clients of the cluster, of each kind that users build."""
    url = cluster.url
    plain = url.replace("redis+cluster://", "redis://")
    made = [connect(url) if request.param == "pipelined" else RedisCluster.from_url(plain) for _ in range(3)]
    yield made
    for client in made:
        await client.aclose()


async def test_one_holder_at_a_time(clients: list[Redis | RedisCluster], name: str) -> None:
    """Tasks of several clients exclude one another, and every one of them gets its turn."""
    inside, fences = 0, []

    async def work(client: Redis | RedisCluster) -> None:
        nonlocal inside
        for _ in range(10):
            async with Lock(client, name, lease=10) as lease:
                inside += 1
                assert inside == 1
                fences.append(lease.fence)
                await asyncio.sleep(0)
                inside -= 1

    await asyncio.gather(*[work(client) for client in clients for _ in range(5)])
    assert len(fences) == 150
    assert fences == sorted(set(fences))


async def test_a_release_wakes_a_waiter_on_any_node(clients: list[Redis | RedisCluster], name: str) -> None:
    """A waiter whose subscription is on another node than the lock is woken all the same, for locks of many slots."""
    loop = asyncio.get_running_loop()
    for number in range(12):
        held = await Lock(clients[0], f"{name}:{number}", lease=60).acquire()
        waiter = asyncio.create_task(Lock(clients[1], f"{name}:{number}", lease=60).acquire())
        key = f"arp:{{{name}:{number}}}:waiters"

        async def waits(key: str = key) -> bool:
            return bool(await clients[2].zcard(key))

        await eventually(waits)
        started = loop.time()
        await held.release()
        lease = await waiter
        assert loop.time() - started < 0.4
        await lease.release()


async def test_leases_of_all_slots_are_renewed(clients: list[Redis | RedisCluster], name: str) -> None:
    """Many leases in many slots are renewed together, and none is lost."""
    leases = await asyncio.gather(*[Lock(clients[0], f"{name}:{n}", lease=1.5).acquire() for n in range(100)])
    await eventually(lambda: min(lease.held_for for lease in leases) > 2)
    assert not any(lease.lost for lease in leases)
    assert all(await asyncio.gather(*[lease.release() for lease in leases]))
