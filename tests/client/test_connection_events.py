"""A client that was given a hook tells of every script and of every connection that it had to open again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from aioredis_patterns import Lock
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.events import Reconnected, ScriptCalled
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import connected, eventually

ADD = Script("tests.client", "add", keys=1)


class Watched:
    """A client behind a proxy, and what its hook was told."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.proxy, self.events = FaultProxy(server.host, server.port), list[Any]()

    def connect(self, deadline: float = 5) -> PipelinedRedis:
        return connect(self.proxy.url, deadline=deadline, on_event=self.events.append)

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, ScriptCalled)]

    def reconnected(self) -> list[Reconnected]:
        return [event for event in self.events if isinstance(event, Reconnected)]


@pytest_asyncio.fixture
async def watched(server: EmbeddedServer) -> AsyncIterator[Watched]:
    watched = Watched(server)
    async with watched.proxy:
        yield watched


async def test_each_script_is_told_of_once(watched: Watched, name: str) -> None:
    """A pattern's calls are told by the names of their scripts and how long they took, and a command is not."""
    async with watched.connect() as redis:
        watched.proxy.delay(0.02, 0.02, requests=False)
        await redis.get(name)
        async with Lock(redis, name, lease=5):
            pass
    assert [(event.script, event.outcome) for event in watched.events] == [
        ("lock_acquire", "ok"),
        ("lock_release", "ok"),
    ]
    assert all(0.02 <= event.duration < 5 for event in watched.events)


async def test_a_forgotten_script_is_told_as_reloaded(own_server: EmbeddedServer, name: str) -> None:
    """A call that had to bring the text along says so, and the next one does not."""
    events: list[Any] = []
    async with connect(own_server.url, on_event=events.append) as redis:
        await redis.script_flush()
        for _ in range(2):
            await ADD(redis, name, 1, 60_000)
    assert [event.outcome for event in events] == ["reloaded", "ok"]


async def test_a_lost_reply_is_told_as_unknown(watched: Watched, name: str) -> None:
    """A script that may have run or not is told as such, and so is the connection that came after it."""
    async with watched.connect() as redis:
        watched.proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await ADD(redis, name, 1, 60_000)
        await ADD(redis, name, 1, 60_000)
    assert watched.outcomes() == ["unknown", "ok"]
    assert [event.attempts for event in watched.reconnected()] == [1]


async def test_a_refusal_and_a_caller_that_left_are_told(watched: Watched, name: str) -> None:
    """What the server refuses is an error, what nobody waited for is cancelled, and both are raised as ever."""
    async with watched.connect() as redis:
        await redis.hset(name, "field", 1)
        await redis.expire(name, 60)
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await ADD(redis, name, 1, 60_000)
        watched.proxy.black_hole()
        call = asyncio.create_task(ADD(redis, name, 1, 60_000))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
    assert watched.outcomes() == ["error", "cancelled"]


async def test_an_outage_is_told_when_it_is_over(watched: Watched, name: str) -> None:
    """One event tells of a loss: every attempt counts, also those for callers who gave up, and all of the time."""
    async with watched.connect(deadline=0.2) as redis:
        await connected(redis)
        watched.proxy.refuse()
        await watched.proxy.cut_all()
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                await redis.get(name)
        assert not watched.reconnected()
        watched.proxy.heal()
        await ADD(redis, name, 1, 60_000, deadline=5)
        (event,) = watched.reconnected()
        assert event.attempts > 1
        assert 0.3 < event.duration < 5


async def test_an_end_that_was_wished_for_is_no_loss(watched: Watched, name: str) -> None:
    """The first connection, and one after the client was closed, are told to nobody."""
    redis = watched.connect()
    for _ in range(2):
        await redis.get(name)
        await redis.aclose()
    assert watched.proxy.connections == 2
    assert not watched.events


async def test_the_tracked_connection_is_told_of_as_well(watched: Watched, name: str) -> None:
    """What near caches and flags read through is a shared connection like the others."""
    async with watched.connect() as redis:
        tracking = link_of(redis).tracking
        tracking.check(5)
        await eventually(lambda: tracking.lane.statistics().connected)
        await watched.proxy.cut_all()
        tracking.check(5)
        await eventually(lambda: len(watched.reconnected()) == 1)
