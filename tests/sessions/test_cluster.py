"""In a cluster everything of one user lies in one slot, and all works as elsewhere."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from aioredis_patterns.sessions import SessionStore


@pytest.fixture
def redis(cluster_client: Redis) -> Redis:
    """A client of each kind that users build, of a cluster."""
    return cluster_client


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
