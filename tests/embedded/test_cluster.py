from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import RedisCluster

from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer, embedded_cluster, settling
from aioredis_patterns.errors import ServerUnavailableError
from tests.support.waiting import eventually


async def replicated_by(server: EmbeddedServer) -> int:
    """How many replicas follow the server."""
    role = await server.ask("ROLE")
    return len(role[2]) if role[0] == "master" else 0


async def test_a_cluster_serves_every_slot_on_every_node() -> None:
    """When the block begins, keys of all masters can be written at once, and each master has its replica."""
    async with embedded_cluster() as cluster:
        assert cluster.url == f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}"
        assert len(cluster.nodes) == len({node.port for node in cluster.nodes}) == 6
        async with RedisCluster(host="127.0.0.1", port=cluster.masters[0].port or 0) as redis:
            for number in range(100):
                await redis.set(f"n{number}", number)
        sizes = [await master.ask("DBSIZE") for master in cluster.masters]
        assert sum(sizes) == 100
        assert all(sizes)
        assert [await replicated_by(master) for master in cluster.masters] == [1, 1, 1]
        assert all([await settling.in_step(replica) for replica in cluster.replicas])
        for node in cluster.nodes:
            state = await node.ask("CLUSTER", "INFO")
            assert "cluster_slots_ok:16384" in state
            assert "cluster_known_nodes:6" in state


async def test_a_replica_takes_over_for_a_dead_master() -> None:
    """The replica that was given to a master has its data and becomes master when it dies."""
    async with embedded_cluster(args=("--loglevel", "notice")) as cluster:
        dead, heir = cluster.masters[0], cluster.replicas[0]
        await dead.ask("SET", await own_key(cluster), "kept")
        await eventually(lambda: heir.ask("DBSIZE"))
        await dead.kill()
        await eventually(lambda: is_master(heir), timeout=20)
        assert await heir.ask("GET", await own_key(cluster)) == "kept"


async def own_key(cluster: EmbeddedCluster) -> str:
    """A key of the first master, which has the lowest slots."""
    for number in range(1000):
        if await cluster.masters[1].ask("CLUSTER", "KEYSLOT", f"n{number}") < 16_384 // len(cluster.masters):
            return f"n{number}"
    raise AssertionError("no such key")


async def is_master(server: EmbeddedServer) -> bool:
    """Whether the server is a master of a cluster that works."""
    return (await server.ask("ROLE"))[0] == "master" and "cluster_state:ok" in await server.ask("CLUSTER", "INFO")


async def test_a_cluster_may_have_no_replicas() -> None:
    """The number of masters and replicas is the caller's."""
    async with embedded_cluster(masters=2, replicas=0) as cluster:
        assert (len(cluster.masters), cluster.replicas) == (2, ())
        assert [await master.ask("CLUSTER", "COUNTKEYSINSLOT", 0) for master in cluster.masters] == [0, 0]


async def test_servers_that_do_not_agree_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not come about within the time is an error that names it."""
    monkeypatch.setattr(settling, "_TIMEOUT", 0.05)

    async def never() -> bool:
        return False

    with pytest.raises(ServerUnavailableError, match="the cluster did not settle"):
        await settling.settled("the cluster", [never])


async def test_a_server_that_stalls_is_asked_again(own_server: EmbeddedServer) -> None:
    """A server that does not reply for longer than one question may take settles nothing, and ends nothing either."""
    asked = 0

    async def answers() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            own_server.resume()
        async with asyncio.timeout(0.1 if asked == 1 else None):
            return bool(await own_server.ask("PING") == "PONG")

    own_server.pause()
    await settling.settled("the server", [answers])
    assert asked == 2
