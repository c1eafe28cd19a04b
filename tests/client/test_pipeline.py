"""A pipeline of a pipelined client is sent once and ends within its deadline, WATCH included."""

from __future__ import annotations

import time

import pytest
import redis.asyncio as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.exceptions import WatchError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy

DEADLINE, SLACK = 0.3, 0.1


async def test_a_watched_transaction_that_lost_its_reply_is_an_unknown_outcome(
    server: EmbeddedServer, name: str
) -> None:
    """A lost EXEC is not called a changed key, after which every loop around WATCH would execute it again."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", "EXEC"))
        async with redis.pipeline() as pipeline:
            await pipeline.watch(name)
            pipeline.multi()
            pipeline.incr(name)
            pipeline.expire(name, 60)
            with pytest.raises(OutcomeUnknownError):
                await pipeline.execute()
        assert await redis.get(name) == b"1"


async def test_a_changed_key_is_a_watch_error(pipelined: PipelinedRedis, name: str) -> None:
    """What redis-py says of a changed key reaches the caller, even one that handles a lost connection."""
    async with pipelined.pipeline() as pipeline:
        await pipeline.watch(name)
        await pipelined.set(name, "changed", ex=60)
        pipeline.multi()
        pipeline.incr(name)
        with pytest.raises(WatchError):
            await pipeline.execute()


@pytest.mark.parametrize("last", ["watch", "get", "incr", "execute", "leave"])
async def test_a_pipeline_in_a_black_hole_ends_at_the_deadline(server: EmbeddedServer, name: str, last: str) -> None:
    """Whichever step the network swallows, it ends at the deadline and says what is known of it."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url, deadline=DEADLINE) as redis:
        pipeline = redis.pipeline()
        await pipeline.watch(name)
        if last == "execute":
            pipeline.multi()
            pipeline.incr(name)
        proxy.black_hole()
        start = time.perf_counter()
        match last:
            case "watch":
                with pytest.raises(RedisTimeoutError):
                    await pipeline.watch(name)
            case "get":
                with pytest.raises(RedisTimeoutError):
                    await pipeline.get(name)
            case "incr":
                with pytest.raises(OutcomeUnknownError):
                    await pipeline.incr(name)
            case "execute":
                with pytest.raises(OutcomeUnknownError):
                    await pipeline.execute()
            case _:
                await pipeline.reset()
        assert time.perf_counter() - start < DEADLINE + SLACK
        proxy.heal()


async def test_an_empty_pipeline_asks_nobody(own_server: EmbeddedServer) -> None:
    """Nothing queued is nothing answered, with or without a server."""
    async with connect(own_server.url, deadline=DEADLINE) as redis:
        own_server.pause()
        assert await redis.pipeline().execute() == []
        own_server.resume()


async def test_the_pools_own_retries_are_given_back(url: str, name: str) -> None:
    """A connection of the user's pool leaves a pipeline with the retry policy it came with."""
    retry = Retry(NoBackoff(), 7)
    pool = redis_py.ConnectionPool.from_url(url, retry=retry)
    async with PipelinedRedis(connection_pool=pool) as redis:
        async with redis.pipeline() as pipeline:
            pipeline.set(name, 1, ex=1)
            assert await pipeline.execute() == [True]
        connection = await pool.get_connection()
        assert connection.retry._retries == 7
        await pool.release(connection)
    await pool.aclose()
