"""A lane at its limits: closed while others wait, given up, refused, or asked for less time than the network takes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.lane import SWEEP, Lane
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.client.wire import Unanswered
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import connected, eventually

VALUE = bytes(1_000_000)
PING = pack_command(("PING",))


def lane_of(redis: PipelinedRedis) -> Lane:
    return link_of(redis).lanes[0]


def connecting() -> bool:
    return any(task.get_name() == "redis lane connecting" for task in asyncio.all_tasks())


async def test_closing_ends_a_read_under_way_and_sends_it_to_nobody(own_server: EmbeddedServer) -> None:
    """A read that would be repeated after a lost connection ends with the client, which stays closed."""
    redis = connect(own_server.url)
    await redis.ping()
    lane = lane_of(redis)
    own_server.pause()
    read = asyncio.create_task(redis.get("k"))
    await eventually(lambda: lane.statistics().in_flight == 1)
    await redis.aclose()
    own_server.resume()
    with pytest.raises(RedisTimeoutError, match="closed"):
        await read
    assert (lane.statistics().connected, lane.statistics().connections) == (False, 1)


@pytest.mark.parametrize("steps", range(6))
async def test_a_client_closed_at_any_step_of_its_first_call_works_again(server: EmbeddedServer, steps: int) -> None:
    """Closing ends the connecting, also where that has not begun; a later call opens a connection."""
    async with connect(server.url) as redis:
        first = asyncio.create_task(redis.ping())
        for _ in range(steps):
            await asyncio.sleep(0)
        await redis.aclose()
        await asyncio.gather(first, return_exceptions=True)
        async with asyncio.timeout(2):
            assert await redis.ping()


async def test_who_joins_a_batch_whose_callers_have_gone_is_sent(server: EmbeddedServer) -> None:
    """Connecting looks again and again who waits: what it drops then is joined by nobody any more."""
    async with connect(server.url) as redis:
        lane = lane_of(redis)
        lane.submit(PING, lane.deadline).cancel()
        assert not lane._waited_for()
        async with asyncio.timeout(2):
            assert await lane.submit(PING, lane.deadline) == b"PONG"
        assert lane.statistics().waiting_bytes == lane._backlog == 0


async def test_a_connection_dropped_while_it_is_opened_carries_nothing(server: EmbeddedServer) -> None:
    """Where a connection is to be dropped that does not stand yet, another is opened for what waits."""
    async with connect(server.url) as redis:
        lane, opened = lane_of(redis), []

        async def drop_the_first(connection: AbstractConnection) -> None:
            opened.append(connection)
            if len(opened) == 1:
                lane.reset("it leads to the wrong server")

        lane._dialer.before = drop_the_first
        assert await redis.ping()
        assert (len(opened), lane.statistics().connections) == (2, 1)


async def test_what_was_not_written_is_sent_on_another_connection(server: EmbeddedServer, name: str) -> None:
    """When a write fails, the commands that were to follow it in the same turn have a known outcome: they are done."""
    async with connect(server.url) as redis:
        await asyncio.gather(*[redis.ping() for _ in range(3)])  # so that the next ones wait for company
        lane = lane_of(redis)
        assert lane._wire is not None
        lane._wire._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        incremented = [lane.submit(pack_command(("INCR", name)), deadline) for deadline in (5, 6, 7, 8)]
        first, *others = await asyncio.gather(*incremented, return_exceptions=True)
        assert isinstance(first, Unanswered)
        assert others == [1, 2, 3]
        await redis.delete(name)


async def test_closing_ends_a_read_between_two_attempts(server: EmbeddedServer, name: str) -> None:
    """A read whose connection is cut again and again does not open another once the client is closed."""
    async with FaultProxy(server.host, server.port) as proxy:
        redis = connect(proxy.url)
        proxy.add(Fault("cut_after", "GET", times=None))
        read = asyncio.create_task(redis.get(name))
        await eventually(lambda: proxy.commands["GET"] >= 3)
        await redis.aclose()
        with pytest.raises((RedisTimeoutError, RedisConnectionError)):
            await asyncio.wait_for(read, 1)
        assert not lane_of(redis).statistics().connected
        await redis.aclose()


async def test_closing_ends_the_wait_of_those_outside(own_server: EmbeddedServer) -> None:
    """Whoever waits for room when the client is closed is told so, and nothing is sent for him."""
    redis = connect(own_server.url, deadline=20)
    await redis.ping()
    lane = lane_of(redis)
    own_server.pause()
    writes = [asyncio.create_task(redis.set("k", VALUE)) for _ in range(100)]
    await eventually(lambda: lane.statistics().outside > 10)
    await redis.aclose()
    own_server.resume()
    ends = Counter(type(answer) for answer in await asyncio.gather(*writes, return_exceptions=True))
    assert set(ends) <= {OutcomeUnknownError, RedisTimeoutError, RedisConnectionError}
    assert (lane.statistics().connected, lane.statistics().connections) == (False, 1)


async def test_those_who_stopped_waiting_outside_are_forgotten(own_server: EmbeddedServer) -> None:
    """However long the server stalls, callers that gave up leave nothing behind."""
    async with connect(own_server.url, deadline=0.1) as redis:
        await connected(redis)
        lane = lane_of(redis)
        own_server.pause()
        backlog = [lane.submit(pack_command(("SET", "k", VALUE)), 20.0) for _ in range(60)]
        await eventually(lambda: lane.full)
        ends = Counter(
            type(answer)
            for answer in await asyncio.gather(*(redis.get("k") for _ in range(300)), return_exceptions=True)
        )
        assert ends == {RedisTimeoutError: 300}
        assert lane.statistics().outside == 0
        own_server.resume()
        assert await asyncio.gather(*backlog) == [b"OK"] * 60


async def test_a_place_given_up_goes_to_the_next(own_server: EmbeddedServer) -> None:
    """When those that were let in are cancelled in that moment, others are let in for them."""
    async with connect(own_server.url, deadline=20) as redis:
        await redis.ping()
        lane = lane_of(redis)
        own_server.pause()
        big = pack_command(("SET", "k", 40 * VALUE))
        backlog = [lane.submit(big, 20.0) for _ in range(2)]  # the second waits for the first: there is one admission
        await eventually(lambda: lane.full)
        outside = [asyncio.create_task(lane.room(20.0)) for _ in range(100)]
        await eventually(lambda: lane.statistics().outside == 100)
        own_server.resume()
        await eventually(lambda: lane.statistics().outside < 100, every=0)
        let_in = 100 - lane.statistics().outside
        for task in outside[:let_in]:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*outside[let_in:]), 5)
        assert await asyncio.gather(*backlog) == [b"OK", b"OK"]


async def test_a_backlog_that_expired_lets_go_of_the_lane(own_server: EmbeddedServer) -> None:
    """When nobody waits for a dead server any more, nobody dials it, and the next call is not kept outside."""
    async with connect(own_server.url, deadline=0.3) as redis:
        await connected(redis)
        lane = lane_of(redis)
        await own_server.kill()
        await eventually(lambda: not lane.statistics().connected)
        writes = [asyncio.create_task(redis.set("k", VALUE)) for _ in range(100)]
        await eventually(lambda: lane.full)
        await asyncio.wait(writes)
        assert all(isinstance(write.exception(), RedisTimeoutError | RedisConnectionError) for write in writes)
        await eventually(lambda: not connecting())
        assert not lane.full
        await own_server.restart()
        assert await redis.ping()


@pytest.mark.parametrize(("deadline", "answered"), [(0.01, False), (0.15, True)])
async def test_a_short_deadline_costs_no_connection(server: EmbeddedServer, deadline: float, answered: bool) -> None:
    """Where a handshake takes longer than a call may, there is one connection, and not one for each call."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url, deadline=deadline) as redis:
        proxy.delay(0.05, 0.05)
        ends: Counter[type] = Counter()
        while ends.total() < 40 and not ends[bytes]:
            ends += Counter(type(answer) for answer in await asyncio.gather(redis.echo("x"), return_exceptions=True))
        assert bool(ends[bytes]) is answered
        assert proxy.connections == 1


async def test_whatever_the_credentials_raise_is_told_at_once(server: EmbeddedServer) -> None:
    """An exception of the user's own ends every waiting call, even one that cannot be copied."""

    class OddError(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} {two}")

    class Broken(CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            raise OddError(1, 2)

        async def get_credentials_async(self) -> tuple[str]:
            raise OddError(1, 2)

    async with PipelinedRedis(host=server.host, port=server.port, credential_provider=Broken()) as redis:
        start = time.perf_counter()
        answers = await asyncio.gather(*(redis.ping() for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [OddError] * 3
        assert time.perf_counter() - start < 1


async def test_a_connection_is_opened_under_any_task_factory(own_server: EmbeddedServer) -> None:
    """With eager tasks, where Python has them, a connection nobody waited for does not keep the next from opening."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    try:
        async with connect(own_server.url, deadline=1) as redis:
            lane_of(redis).submit(PING, 1.0).cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert await redis.ping()
        async with connect(own_server.url, deadline=1, username="nobody", password="wrong") as redis:
            for _ in range(2):
                with pytest.raises(AuthenticationError):
                    await redis.ping()
    finally:
        loop.set_task_factory(None)


async def test_a_call_that_joins_others_given_up_keeps_its_deadline(own_server: EmbeddedServer) -> None:
    """A call is watched even if those of the same turn are gone already when the deadlines are looked at."""
    await own_server.kill()
    async with connect(own_server.url, deadline=5) as redis:
        loop, lane = asyncio.get_running_loop(), lane_of(redis)
        calls: list[asyncio.Future[object]] = []
        first = lane.submit(PING, 5.0)  # from now on the deadlines are looked at
        now = loop.time()
        loop.call_at(now + SWEEP * 0.9, lambda: lane.submit(PING, SWEEP).cancel())
        loop.call_at(now + SWEEP * 1.1, lambda: calls.append(lane.submit(PING, SWEEP)))
        time.sleep(SWEEP * 1.5)  # noqa: ASYNC251 - all of that is then due in one turn
        await eventually(lambda: calls)
        with pytest.raises(Unanswered):
            await asyncio.wait_for(calls[0], 1)
        first.cancel()
