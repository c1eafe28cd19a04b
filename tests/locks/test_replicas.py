"""A lock with `min_replicas`: it counts when replicas have it, and not before."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis_py
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster, embedded_server
from aioredis_patterns.errors import LockError, OutcomeUnknownError
from aioredis_patterns.locks import Lock
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import connected, eventually


@pytest_asyncio.fixture
async def replica(own_server: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    """A server that copies `own_server`."""
    await own_server.ask("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    source = ["--replicaof", str(own_server.host), str(own_server.port)]
    async with embedded_server(args=[*source, "--appendonly", "no"]) as running:

        async def synchronized() -> bool:
            role = await running.ask("ROLE")
            return bool(role[3] == "connected")

        await eventually(synchronized)
        yield running


async def leftovers(redis: Redis, name: str) -> list[bytes]:
    keys: list[Any] = [key async for key in redis.scan_iter(match=f"arp:{{{name}}}:*")]
    return [key for key in keys if not key.endswith(b":fence")]


async def nothing_is_left(redis: Redis, name: str) -> None:
    async def clean() -> bool:
        return not await leftovers(redis, name)

    await eventually(clean)


@pytest.mark.parametrize("client", [connect, redis_py.Redis.from_url])
async def test_the_replica_has_what_is_acquired(
    own_server: EmbeddedServer, replica: EmbeddedServer, name: str, client: Any
) -> None:
    """When the lock is acquired the replica has it already, with the holder's token and fence."""
    async with client(own_server.url) as redis, connect(replica.url) as copy:
        lock = Lock(redis, name, min_replicas=1)
        for _ in range(20):
            async with lock as lease:
                value: Any = await copy.get(f"arp:{{{name}}}:lock")
                assert value.decode().startswith(f"{lease.token} {lease.fence} ")
        assert await lock.try_acquire() is not None
        assert await lock.try_acquire() is None


async def test_waiters_take_turns(own_server: EmbeddedServer, replica: EmbeddedServer, name: str) -> None:
    """Tasks that wait for such a lock get it one at a time, in good time."""
    async with connect(own_server.url) as redis:
        lock, inside, fences = Lock(redis, name, min_replicas=1), 0, []

        async def work() -> None:
            nonlocal inside
            async with lock as lease:
                inside += 1
                assert inside == 1
                fences.append(lease.fence)
                await asyncio.sleep(0)
                inside -= 1

        async with asyncio.timeout(10):
            await asyncio.gather(*[work() for _ in range(40)])
        assert len(fences) == 40
        assert fences == sorted(set(fences))
        await nothing_is_left(redis, name)


async def test_what_another_gives_it_is_replicated_too(own_server: EmbeddedServer, name: str) -> None:
    """Who waits for a lock with replicas gets none without them from a task of its client that asks for no replicas."""
    async with connect(own_server.url) as redis:
        held = await Lock(redis, name).acquire()
        waiter = asyncio.create_task(Lock(redis, name, lease=2, min_replicas=1).acquire())
        await eventually(lambda: redis.exists(f"arp:{{{name}}}:waiters"))
        assert await held.release()
        with pytest.raises(LockError, match="reached 0 of 1 replicas"):
            await waiter
        await nothing_is_left(redis, name)


async def refused(redis: Redis, name: str) -> None:
    """Check that there is no lock to be had, and that no try leaves anything."""
    lock, loop = Lock(redis, name, lease=2, min_replicas=1), asyncio.get_running_loop()
    for way in (lock.acquire, lock.try_acquire):
        started = loop.time()
        with pytest.raises(LockError, match="reached 0 of 1 replicas"):
            await way()
        assert 0.2 <= loop.time() - started < 0.6
        await nothing_is_left(redis, name)


async def test_without_a_replica_there_is_no_lock(own_server: EmbeddedServer, name: str) -> None:
    """When no replica is there a tenth of the lease passes, then there is an error, and nothing is left."""
    async with connect(own_server.url) as redis:
        await refused(redis, name)


async def test_a_paused_replica_does_not_count(own_server: EmbeddedServer, replica: EmbeddedServer, name: str) -> None:
    """When the replica does not confirm there is no lock; when it goes on there is."""
    async with connect(own_server.url) as redis:
        replica.pause()
        await refused(redis, name)
        replica.resume()
        async with Lock(redis, name, min_replicas=1):
            pass


@pytest.mark.parametrize(("policy", "lines"), [("warn", 1), ("ignore", 0)])
async def test_too_few_replicas_may_be_accepted(
    own_server: EmbeddedServer, name: str, policy: Any, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With "warn" and "ignore" the lock is held without the replica, with a line in the log or without a word."""
    caplog.set_level(logging.WARNING, "aioredis_patterns")
    async with connect(own_server.url) as redis:
        async with Lock(redis, name, lease=1, min_replicas=1, on_missing_replicas=policy) as lease:
            assert 0 < lease.valid_for <= 0.9
        assert len(caplog.messages) == lines
        assert all("0 of 1 replicas" in message for message in caplog.messages)
        await nothing_is_left(redis, name)


async def test_cancelled_at_any_moment_nothing_is_left(
    own_server: EmbeddedServer, replica: EmbeddedServer, name: str
) -> None:
    """Callers that are cancelled while the lock is written, replicated, held or waited for leave nothing."""
    dice, before = random.Random(6), asyncio.all_tasks()
    async with connect(own_server.url) as redis:
        lock = Lock(redis, name, lease=60, min_replicas=1)

        async def use() -> None:
            async with lock:
                await asyncio.sleep(dice.random() * 0.001)

        for _ in range(15):
            tasks = [asyncio.create_task(use()) for _ in range(10)]
            for task in tasks:
                await asyncio.sleep(dice.random() * 0.002)
                task.cancel()
            await asyncio.wait(tasks)
        await nothing_is_left(redis, name)
        await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})


async def test_cancelled_while_a_replica_is_waited_for_nothing_is_left(own_server: EmbeddedServer, name: str) -> None:
    """A caller that is cancelled during the WAIT leaves a lock that is taken back as soon as the WAIT has ended."""
    async with connect(own_server.url) as redis, connect(own_server.url) as direct:
        taking = asyncio.create_task(Lock(redis, name, lease=3, min_replicas=1).acquire())
        await eventually(lambda: leftovers(direct, name))
        taking.cancel()
        await asyncio.wait([taking])
        await nothing_is_left(direct, name)


async def test_lost_replies_do_not_block_their_caller(
    own_server: EmbeddedServer, replica: EmbeddedServer, name: str
) -> None:
    """With a fifth of the replies lost every caller gets the lock, and nothing is left."""
    async with (
        FaultProxy(str(own_server.host), int(own_server.port or 0), seed=3) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        proxy.add(Fault("cut_after", lambda command: command[0] == b"EVAL", times=None, probability=0.2))
        lock, fences = Lock(redis, name, lease=30, min_replicas=1), []
        for _ in range(30):
            async with lock as lease:
                fences.append(lease.fence)
        assert fences == sorted(set(fences))
        assert proxy.struck.total() > 2
        proxy.clear()
        await nothing_is_left(direct, name)


async def test_a_black_hole_ends_in_an_error(own_server: EmbeddedServer, name: str) -> None:
    """When nothing is answered acquiring ends at the client's deadline."""
    async with (
        FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy,
        connect(proxy.url, deadline=0.3) as redis,
    ):
        await connected(redis)
        proxy.black_hole(requests=False)
        started = asyncio.get_running_loop().time()
        with pytest.raises(OutcomeUnknownError):
            await Lock(redis, name, min_replicas=1).acquire()
        assert asyncio.get_running_loop().time() - started < 0.5
        proxy.heal()


async def test_more_callers_than_connections(own_server: EmbeddedServer, replica: EmbeddedServer, name: str) -> None:
    """Hundreds of such locks are acquired at once over some connections, and none fails."""
    async with connect(own_server.url) as redis:
        leases = await asyncio.gather(*[Lock(redis, f"{name}:{i}", min_replicas=1).acquire() for i in range(300)])
        assert int((await redis.info("clients"))["connected_clients"]) < 50
        assert all(await asyncio.gather(*[lease.release() for lease in leases]))


async def test_in_a_cluster_the_replicas_of_its_node_count(name: str) -> None:
    """In a cluster the lock is acquired when the replica of the node that owns it has it."""
    async with embedded_cluster(replicas=1) as cluster, connect(cluster.url) as redis:
        for number in range(5):
            async with await Lock(redis, f"{name}:{number}", lease=20, min_replicas=1).acquire(timeout=10) as lease:
                assert lease.valid_for > 15


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"min_replicas": -1}, ValueError),
        ({"min_replicas": 1.0}, TypeError),
        ({"min_replicas": True}, TypeError),
        ({"min_replicas": 1, "on_missing_replicas": "explode"}, ValueError),
    ],
)
async def test_nonsense_is_refused(pipelined: Redis, arguments: dict[str, Any], error: type[Exception]) -> None:
    """A number of replicas, or a policy, that makes no sense is refused when the lock is made."""
    with pytest.raises(error):
        Lock(pipelined, "x", **arguments)


async def test_a_server_that_is_no_primary_any_more_has_no_replicas(
    own_server: EmbeddedServer, replica: EmbeddedServer, name: str
) -> None:
    """What takes a lock in the moment in which its server becomes a replica is told that no replica has it."""
    await replica.ask("CONFIG", "SET", "replica-read-only", "no")  # the script is executed, and WAIT refused
    async with connect(replica.url) as redis:
        with pytest.raises(LockError, match="reached 0 of 1 replicas"):
            await Lock(redis, name, min_replicas=1).try_acquire()
        await nothing_is_left(redis, name)
