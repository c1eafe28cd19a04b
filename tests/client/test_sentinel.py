"""Behind Sentinels the primary is found anew whenever it is replaced, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.embedded import EmbeddedSentinel, EmbeddedServer, embedded_sentinel
from aioredis_patterns.errors import OutcomeUnknownError, PatternError
from tests.support.waiting import eventually

ADD = Script("tests.client", "add")


def pipelined(watched: EmbeddedSentinel, **options: Any) -> PipelinedRedis:
    return connect(url_of(watched), deadline=20, **options)


def plain(watched: EmbeddedSentinel, **options: Any) -> Redis:
    sentinels = [("127.0.0.1", sentinel.port or 0) for sentinel in watched.sentinels]
    client: Redis = Sentinel(sentinels).master_for(watched.name, **options)
    return client


CLIENTS = {"pipelined": pipelined, "plain": plain}


def url_of(watched: EmbeddedSentinel) -> str:
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in watched.sentinels)
    return f"redis+sentinel://{hosts}/{watched.name}/0"


@pytest_asyncio.fixture
async def watched() -> AsyncIterator[EmbeddedSentinel]:
    async with embedded_sentinel() as running:
        yield running


async def is_primary(server: EmbeddedServer) -> bool:
    try:
        return bool((await server.ask("ROLE"))[0] == "master")
    except OSError:  # a server that changes its role drops its clients
        return False


async def take_over(watched: EmbeddedSentinel) -> None:
    """The first replica is the primary, as all Sentinels have it; the old primary does not know."""
    await watched.replicas[0].ask("REPLICAOF", "NO", "ONE")
    for sentinel in watched.sentinels:
        await sentinel.ask("SENTINEL", "REMOVE", watched.name)
        await sentinel.ask("SENTINEL", "MONITOR", watched.name, "127.0.0.1", str(watched.replicas[0].port), 2)


class Load:
    """Twenty workers that count on one key without pause."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.answers: Counter[type] = Counter()
        self.failures: list[str] = []

    async def __aenter__(self) -> Self:
        self._going = True
        self._tasks = [asyncio.create_task(self._work()) for _ in range(20)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._going = False
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        while self._going:
            try:
                await ADD(self.redis, "count", 1, 600_000, deadline=20)
            except OutcomeUnknownError:
                self.answers[OutcomeUnknownError] += 1
            except (RedisError, PatternError) as error:
                self.failures.append(repr(error))
            else:
                self.answers[int] += 1

    async def some(self, more: int = 300) -> None:
        goal = self.answers[int] + more
        await eventually(lambda: self.answers[int] >= goal, timeout=20)


async def close(redis: Redis) -> None:
    """Close a client, and the Sentinel clients that redis-py's pool leaves open."""
    await redis.aclose()
    for sentinel in redis.connection_pool.sentinel_manager.sentinels:
        await sentinel.aclose()


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_failover_asked_for_is_followed(kind: str, watched: EmbeddedSentinel) -> None:
    """SENTINEL FAILOVER under load: calls succeed or are not known, add up, and go to the new primary afterwards."""
    # What the old primary acknowledges between the promotion of its replica and its own demotion is lost, as Redis
    # says, so only the upper bound holds.
    redis = CLIENTS[kind](watched)
    async with Load(redis) as load:
        await load.some()
        await watched.sentinels[0].ask("SENTINEL", "FAILOVER", watched.name)
        await eventually(lambda: is_primary(watched.replicas[0]), timeout=20)
        await eventually(lambda: demoted(watched.primary), timeout=20)
        await load.some()
    assert load.failures == []
    count = int(await ADD(redis, "count", 0, 600_000))
    assert count == int(await watched.replicas[0].ask("GET", "count"))
    assert 0 < count <= load.answers[int] + load.answers[OutcomeUnknownError]
    await close(redis)


async def demoted(server: EmbeddedServer) -> bool:
    return not await is_primary(server)


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_killed_primary_is_found_again_elsewhere(kind: str, watched: EmbeddedSentinel) -> None:
    """After kill -9 calls wait for the new primary within their deadline, and none counts twice."""
    redis = CLIENTS[kind](watched)
    async with Load(redis) as load:
        await load.some()
        await watched.primary.kill()
        await eventually(lambda: is_primary(watched.replicas[0]), timeout=20)
        await load.some()
    assert load.failures == []
    assert load.answers[OutcomeUnknownError] <= 20
    count = int(await ADD(redis, "count", 0, 600_000))
    assert 0 < count <= load.answers[int] + load.answers[OutcomeUnknownError]
    await close(redis)


async def test_a_demoted_primary_that_keeps_its_clients_is_left(watched: EmbeddedSentinel) -> None:
    """READONLY: a connection whose primary has become a replica is given up for one to the new primary."""
    async with connect(url_of(watched), deadline=20) as redis:
        await redis.set("key", 1)
        await eventually(lambda: watched.replicas[0].ask("GET", "key"))
        await take_over(watched)
        await watched.primary.ask("REPLICAOF", "127.0.0.1", str(watched.replicas[0].port))
        assert await redis.incr("key") == 2
        assert await watched.replicas[0].ask("GET", "key") == "2"


async def test_tracked_reads_go_where_the_writes_go(watched: EmbeddedSentinel) -> None:
    """Whoever has written to the new primary is read nothing from the old one, which keeps its clients."""
    told: list[object] = []
    async with connect(url_of(watched), deadline=20) as redis:
        await redis.set("key", 1)
        tracking = link_of(redis).tracking
        tracking.listen(told.append)
        assert await tracking.read(pack_command(("GET", "key")), 5) == b"1"
        await eventually(lambda: watched.replicas[0].ask("GET", "key"))
        await take_over(watched)
        await watched.primary.ask("REPLICAOF", "127.0.0.1", "1")  # it hears of no change any more
        assert await redis.incr("key") == 2
        assert await tracking.read(pack_command(("GET", "key")), 5) == b"2"
    assert None in told


async def test_silent_and_dead_sentinels_are_passed_over(watched: EmbeddedSentinel) -> None:
    """With one Sentinel stopped and one dead the third one names the primary within the deadline."""
    watched.sentinels[0].pause()
    await watched.sentinels[1].kill()
    async with connect(url_of(watched), deadline=4) as redis:
        assert await redis.set("key", 1)
    watched.sentinels[0].resume()


async def test_an_unknown_service_is_told_within_the_deadline(watched: EmbeddedSentinel) -> None:
    """A service that no Sentinel watches is an error that names it."""
    url = url_of(watched).replace(f"/{watched.name}/", "/nobody/")
    async with connect(url, deadline=0.4) as redis:
        began = time.monotonic()
        with pytest.raises((RedisConnectionError, RedisTimeoutError), match="nobody"):
            await redis.get("key")
        assert time.monotonic() - began < 0.5


async def test_closing_the_client_leaves_no_connection_anywhere(watched: EmbeddedSentinel) -> None:
    """After aclose() neither the primary nor a Sentinel has a connection of the client's."""
    async with connect(url_of(watched), client_name="me", sentinel_kwargs={"client_name": "me"}) as redis:
        await redis.set("key", 1)
        await redis.blpop("nothing", timeout=0.01)
        assert await connected_to(watched) == 2
    await eventually(lambda: nobody_left(watched))


async def connected_to(watched: EmbeddedSentinel) -> int:
    """How many servers have a connection of the client's."""
    return ["name=me " in await one.ask("CLIENT", "LIST") for one in (watched.primary, *watched.sentinels)].count(True)


async def nobody_left(watched: EmbeddedSentinel) -> bool:
    return await connected_to(watched) == 0


async def test_database_and_options_are_those_of_the_primary(watched: EmbeddedSentinel) -> None:
    """The number behind the service is the database, and the query holds options of the connections."""
    url = url_of(watched).removesuffix("0") + "3?client_name=web&decode_responses=True"
    async with connect(url) as redis:
        await redis.set("key", "é")
        assert await redis.get("key") == "é"
        assert (await redis.client_info())["db"] == 3
        assert await redis.client_getname() == "web"
    async with connect(url_of(watched)) as redis:
        assert await redis.get("key") is None
