"""Tracked reads in a cluster: every node tells of its keys, and nothing is believed of a slot that has moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.exceptions import ClusterError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.embedded import EmbeddedCluster, embedded_cluster
from tests.support.slots import Migration, another_than, owner_of
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """A cluster whose slots any test may move, and whose servers none may stop."""
    async with embedded_cluster() as running:
        yield running


@pytest_asyncio.fixture
async def pipelined(cluster: EmbeddedCluster) -> AsyncIterator[PipelinedRedis]:
    async with connect(cluster.url) as client:
        yield client


def heard_by(redis: PipelinedRedis) -> list[list[bytes] | None]:
    heard: list[list[bytes] | None] = []
    link_of(redis).tracking.listen(heard.append)
    return heard


async def read(redis: PipelinedRedis, key: str, deadline: float = 5.0) -> bytes | None:
    value: bytes | None = await link_of(redis).tracking.read(pack_command(("GET", key)), deadline, key)
    return value


async def test_every_node_tells_of_its_keys(pipelined: PipelinedRedis, name: str) -> None:
    """Keys of all nodes can be read from the first call on, and each change is told, also one of this client's own."""
    keys = [f"{name}:{number}" for number in range(30)]
    await asyncio.gather(*(pipelined.set(key, "old", ex=60) for key in keys))
    heard = heard_by(pipelined)
    assert await asyncio.gather(*(read(pipelined, key) for key in keys)) == [b"old"] * 30
    heard.clear()
    await asyncio.gather(*(pipelined.set(key, "new", ex=60) for key in keys))
    await eventually(lambda: {told[0] for told in heard if told} == {key.encode() for key in keys})


async def test_a_slot_that_moves_means_everything(
    pipelined: PipelinedRedis, cluster: EmbeddedCluster, name: str
) -> None:
    """Whoever keeps copies hears None when the client learns of a move, and reads at the new owner are told of."""
    assert await read(pipelined, name) is None
    heard = heard_by(pipelined)
    await Migration(await owner_of(cluster, name), await another_than(cluster, name), name).run(cluster)
    assert await read(pipelined, name) is None
    assert None in heard
    heard.clear()
    await pipelined.set(name, "new", ex=60)
    await eventually(lambda: [name.encode()] in heard)


async def test_a_key_on_its_way_is_not_to_be_kept(
    pipelined: PipelinedRedis, cluster: EmbeddedCluster, name: str
) -> None:
    """A read that only ASKING would allow is refused at once, since nobody would tell of changes."""
    migration = Migration(await owner_of(cluster, name), await another_than(cluster, name), name)
    await read(pipelined, name)
    await migration.begin()
    with pytest.raises(ClusterError, match="on its way"):
        await read(pipelined, name)
    await migration.move_keys()
    await migration.end(cluster)
    assert await read(pipelined, name) is None


async def test_an_error_of_the_server_is_the_callers(pipelined: PipelinedRedis, name: str) -> None:
    """A read of the wrong type raises what the server says."""
    await pipelined.rpush(name, "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await read(pipelined, name)
    await pipelined.delete(name)


async def test_a_dead_nodes_copies_are_forgotten_and_its_replica_is_read(name: str) -> None:
    """When a primary dies everything may have changed, reads end within their deadline, and later ones work again."""
    async with embedded_cluster() as cluster, connect(cluster.url) as redis:
        await read(redis, name)
        heard = heard_by(redis)
        victim = await owner_of(cluster, name)
        await victim.kill()
        await eventually(lambda: None in heard)
        link_of(redis).tracking.check(0.2)
        with pytest.raises((RedisConnectionError, RedisTimeoutError)):
            await asyncio.wait_for(read(redis, name, 0.3), 1)
        assert await read(redis, name, 20.0) is None
        heard.clear()
        await redis.set(name, "new", ex=60)
        await eventually(lambda: [name.encode()] in heard)


async def test_a_listener_that_left_hears_nothing(pipelined: PipelinedRedis, name: str) -> None:
    """After leave() no invalidation is told any more, and a check of a living node tells nothing."""
    tracking = link_of(pipelined).tracking
    await pipelined.dbsize()  # from now on it knows the cluster
    await read(pipelined, name)
    gone, stays = heard_by(pipelined), heard_by(pipelined)
    tracking.leave(gone.append)
    tracking.check(5.0)
    await pipelined.set(name, 1, ex=60)
    await eventually(lambda: stays)
    assert gone == []
    assert stays == [[name.encode()]]


async def test_closing_ends_what_is_tracked(cluster: EmbeddedCluster, name: str) -> None:
    """A client that is closed tells its listeners to forget everything, and can be used again."""
    redis = connect(cluster.url)
    await redis.dbsize()  # from now on it knows the cluster
    await read(redis, name)
    heard = heard_by(redis)
    await redis.aclose()
    assert heard == [None]
    assert await read(redis, name) is None
    await redis.aclose()
