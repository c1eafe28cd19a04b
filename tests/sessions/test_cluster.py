"""In a cluster everything of one user lies in one slot, and all works as elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedCluster, embedded_cluster
from aioredis_patterns.sessions import SessionStore

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


async def test_a_life_on_every_node(redis: Redis, name: str) -> None:
    """Sessions of users of any shard are made, changed, rotated, bounded, listed and ended."""
    store = SessionStore(redis, name, max_sessions=2)
    for user in range(30):
        anonymous = await store.create(None, {"n": user})
        sessions = [await store.login(anonymous, user)] + [await store.create(user) for _ in range(2)]
        assert [await store.load(session.token) is not None for session in sessions] == [False, True, True]
        last = await store.rotate(sessions[-1])
        last["n"] = -user
        assert await store.save(last)
        loaded = await store.load(last.token)
        assert loaded is not None
        assert (loaded.user_id, loaded["n"]) == (str(user), -user)
        assert await store.revoke_all(user, keep=last.token) == 1
        assert [info.public_id for info in await store.list(user)] == [last.public_id]
        assert await store.revoke(last)
        assert await store.list(user) == ()
