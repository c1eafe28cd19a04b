"""Every call ends within its deadline, whatever the server does, and says what is known of it."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections import Counter

import redis.asyncio as redis_py
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.lane import IN_FLIGHT
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.waiting import connected, eventually, lag_of_the_loop

SLACK = 0.1


async def timed(awaitable: object) -> tuple[float, BaseException | None]:
    """How long it took, less what the event loop itself was late, and how it failed."""
    failure: BaseException | None = None
    async with lag_of_the_loop() as lag:
        start = time.perf_counter()
        try:
            await awaitable  # type: ignore[misc]
        except (RedisError, OutcomeUnknownError) as error:
            failure = error
        took = time.perf_counter() - start
    return took - lag.worst, failure


async def test_a_stopped_server_costs_a_caller_its_deadline_and_no_more(own_server: EmbeddedServer) -> None:
    """A write that lost its reply is an unknown outcome, a read is a time-out; both come at the deadline."""
    async with connect(own_server.url, deadline=0.3) as redis:
        await connected(redis)
        await redis.set("n", 0)
        own_server.pause()
        try:
            (took_write, write), (took_read, read) = await asyncio.gather(timed(redis.incr("n")), timed(redis.get("n")))
        finally:
            own_server.resume()
        assert isinstance(write, OutcomeUnknownError)
        assert isinstance(read, RedisTimeoutError)
        assert took_write <= 0.3 + SLACK
        assert took_read <= 0.3 + SLACK


async def test_a_call_that_was_tried_again_names_no_deadline_but_its_own(own_server: EmbeddedServer) -> None:
    """The rest of the time that its last try had is not what its caller gave it."""
    async with connect(own_server.url, deadline=0.8) as redis:
        await redis.ping()
        own_server.pause()
        try:
            _, first = await timed(redis.get("n"))
            _, second = await timed(redis.get("n"))  # meanwhile the connection is dropped, having been silent for 1 s
        finally:
            own_server.resume()
    assert str(first) == "GET: no reply within 0.8 s"
    assert str(second) == "GET: not sent within the time that was left"


async def test_a_short_pause_costs_time_and_nothing_else(own_server: EmbeddedServer) -> None:
    """A server stopped for 3 s answers everything that waited, once."""
    async with connect(own_server.url) as redis:
        await redis.set("n", 0)
        own_server.pause()
        asyncio.get_running_loop().call_later(3, own_server.resume)
        await asyncio.gather(*(redis.incr("n") for _ in range(500)))
        assert await redis.get("n") == b"500"


async def test_no_server_is_a_connection_error_at_the_deadline(own_server: EmbeddedServer) -> None:
    """A command that could never be written says why, when its deadline passes."""
    await own_server.kill()
    async with connect(own_server.url, deadline=0.3) as redis:
        took, error = await timed(redis.incr("n"))
    assert isinstance(error, RedisConnectionError)
    assert took <= 0.3 + SLACK


async def test_a_command_not_yet_written_waits_for_the_server(own_server: EmbeddedServer) -> None:
    """Commands sent while the server is away are executed when it is back, each once."""
    async with connect(own_server.url, deadline=5) as redis:
        await redis.ping()
        await own_server.kill()
        await eventually(lambda: not link_of(redis).lanes[0].statistics().connected)
        waiting = [asyncio.create_task(redis.incr("n")) for _ in range(100)]
        await asyncio.sleep(0)
        await own_server.restart()
        await asyncio.gather(*waiting)
        assert await redis.get("n") == b"100"


async def test_wrong_credentials_are_told_at_once(own_server: EmbeddedServer) -> None:
    """Nobody waits for a deadline to hear that the password is wrong."""
    async with connect(own_server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "ada", "on", ">right", "+@all", "~*")
    async with connect(own_server.url, username="ada", password="wrong") as redis:
        took, error = await timed(redis.get("n"))
        assert isinstance(error, redis_py.AuthenticationError)
        assert took < 1


async def test_client_pause_is_waited_out(own_server: EmbeddedServer) -> None:
    """CLIENT PAUSE delays commands and loses none."""
    async with connect(own_server.url) as redis:
        await redis.client_pause(300)
        took, error = await timed(asyncio.gather(*(redis.incr("n") for _ in range(50))))
        assert error is None
        assert took > 0.1
        assert await redis.get("n") == b"50"


async def test_a_full_pool_ends_within_the_deadline(own_server: EmbeddedServer) -> None:
    """A private command that finds no free connection fails at the deadline, however patient the pool is."""
    pool = redis_py.BlockingConnectionPool.from_url(own_server.url, max_connections=1, timeout=20)
    async with PipelinedRedis(connection_pool=pool, deadline=0.3) as redis:
        blocked = asyncio.create_task(redis.blpop("nothing", timeout=2))
        await asyncio.sleep(0.05)
        took, error = await timed(redis.blpop("nothing", timeout=0.1))
        assert isinstance(error, RedisTimeoutError)
        assert took <= 0.4 + SLACK
        assert await blocked is None
    await pool.aclose()


async def test_a_blocking_read_may_take_longer_than_the_deadline(own_server: EmbeddedServer) -> None:
    """The time a command may block on the server counts on top of its deadline."""
    async with connect(own_server.url, deadline=0.2) as redis:
        took, error = await timed(redis.blpop("nothing", timeout=0.6))
        assert error is None
        assert took > 0.5
        asyncio.get_running_loop().call_later(0.4, lambda: asyncio.ensure_future(redis.lpush("list", "x")))
        assert await redis.blpop("list", timeout=0) == (b"list", b"x")


async def test_a_hundred_thousand_waiting_commands_are_bounded_and_all_end(own_server: EmbeddedServer) -> None:
    """On a stopped server the transport holds under 1 kB a command, writes no more than its window, and all end."""
    waiting = 100_000
    async with connect(own_server.url, deadline=20) as redis:
        await redis.set("n", 0)
        packed = redis._route.pack(("INCR", "n"))
        lane = link_of(redis).lanes[0]
        own_server.pause()
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        futures = [lane.submit(packed, 20.0) for _ in range(waiting)]
        await asyncio.sleep(0.2)
        after = tracemalloc.take_snapshot()
        tracemalloc.stop()
        held = sum(change.size_diff for change in after.compare_to(before, "filename"))
        in_flight = lane.statistics().in_flight
        own_server.resume()
        outcomes = Counter(type(answer) for answer in await asyncio.gather(*futures, return_exceptions=True))
        assert held / waiting < 1000
        assert in_flight <= IN_FLIGHT * 2
        assert outcomes == {int: waiting}
        assert await redis.get("n") == str(waiting).encode()


async def test_big_values_wait_before_they_are_copied(own_server: EmbeddedServer) -> None:
    """While the server is stopped the packed bytes in memory stay bounded: callers wait outside with their values."""
    value = bytes(1_000_000)
    async with connect(own_server.url, deadline=20) as redis:
        await redis.ping()
        own_server.pause()
        tracemalloc.start()
        tasks = [asyncio.create_task(redis.set(f"k{number % 4}", value)) for number in range(1000)]
        await eventually(lambda: link_of(redis).lanes[0].statistics().outside > 900)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        own_server.resume()
        await asyncio.gather(*tasks)
        assert held < 200 * len(value)
