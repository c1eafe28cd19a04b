"""Nothing is ever sent twice behind the caller's back, and nothing that waits is lost, through every kind of cut."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio as redis_py
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis, connect, lane
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.client.wire import Unanswered
from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import connected, eventually, lag_of_the_loop

ADD_ONCE = Script("tests.client", "add_once", keys=2, repeatable=True)
ADD = Script("tests.client", "add", keys=1)


@pytest_asyncio.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.host, server.port) as running:
        yield running


async def outcomes(calls: list[asyncio.Task[object]]) -> Counter[type]:
    return Counter(type(answer) for answer in await asyncio.gather(*calls, return_exceptions=True))


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "half_reply"])
@pytest.mark.parametrize("reset", [True, False])
async def test_a_write_cut_on_its_way_is_an_unknown_outcome(
    proxy: FaultProxy, pipelined: PipelinedRedis, name: str, kind: str, reset: bool
) -> None:
    """Whether or not the server executed it, the caller of a cut write is told that nobody knows."""
    async with connect(proxy.url) as redis:
        await redis.set(name, 0, ex=60)
        proxy.add(Fault(kind, "INCRBY", reset=reset))
        with pytest.raises(OutcomeUnknownError):
            await redis.incr(name)
        assert int(await redis.get(name)) == (0 if kind == "cut_before" else 1)
        assert await redis.incr(name) == (1 if kind == "cut_before" else 2)


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "half_reply"])
async def test_a_read_cut_on_its_way_is_repeated(proxy: FaultProxy, name: str, kind: str) -> None:
    """The caller of a read never learns of a lost reply."""
    async with connect(proxy.url) as redis:
        await redis.set(name, "value", ex=60)
        proxy.add(Fault(kind, "GET", times=3))
        assert await redis.get(name) == b"value"
        assert proxy.commands["GET"] == 4


async def test_five_percent_lost_replies_never_count_twice(proxy: FaultProxy, name: str) -> None:
    """Of 2,000 increments through lost replies, those acknowledged were counted once and the unknown at most once."""
    async with connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", "INCRBY", times=None, probability=0.05))
        done: Counter[type] = Counter()
        for _ in range(20):
            done += await outcomes([asyncio.create_task(redis.incr(name)) for _ in range(100)])
        proxy.clear()
        counted = int(await redis.get(name))
        assert set(done) == {int, OutcomeUnknownError}
        assert done[int] <= counted <= done[int] + done[OutcomeUnknownError]
        await redis.delete(name)


async def test_a_repeatable_script_survives_lost_replies(proxy: FaultProxy, name: str) -> None:
    """A script that is idempotent for its operation is repeated within the deadline, and counts each one once."""
    async with connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", "EVALSHA", times=None, probability=0.02))
        proxy.add(Fault("cut_after", "EVAL", times=None, probability=0.02))
        keys = (f"{{{name}}}:count", f"{{{name}}}:seen")
        calls = [asyncio.create_task(ADD_ONCE(redis, *keys, uuid.uuid4().hex, 60_000, deadline=30)) for _ in range(300)]
        assert await outcomes(calls) == {int: 300}
        assert int(await redis.get(keys[0])) == 300


async def test_a_script_that_is_not_repeatable_says_so(proxy: FaultProxy, name: str) -> None:
    """A script that would count twice is never repeated."""
    async with connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError, match="add"):
            await ADD(redis, name, 1, 60_000)
        assert await redis.get(name) == b"1"


async def test_a_plain_client_with_retries_is_safe_through_us(proxy: FaultProxy, name: str) -> None:
    """Where redis-py's default client would send a command ten times, a script on it is sent once."""
    async with redis_py.Redis(host=proxy.host, port=proxy.port) as redis:
        proxy.add(Fault("cut_after", "EVALSHA", times=None))
        with pytest.raises(OutcomeUnknownError):
            await ADD(redis, name, 1, 60_000)
        assert proxy.commands["EVALSHA"] + proxy.commands["EVAL"] == 1


async def test_a_pipeline_is_sent_once(proxy: FaultProxy, name: str) -> None:
    """A transaction that lost its reply is an unknown outcome, executed once."""
    async with connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", "EXEC", times=None))
        pipeline = redis.pipeline()
        pipeline.incr(name)
        pipeline.expire(name, 60)
        with pytest.raises(OutcomeUnknownError):
            await pipeline.execute()
        proxy.clear()
        assert await redis.get(name) == b"1"


async def test_a_blocking_pop_that_lost_its_reply_is_not_repeated(proxy: FaultProxy, name: str) -> None:
    """An item that was popped and lost on the way is told as unknown, and the next item stays."""
    async with connect(proxy.url) as redis:
        await redis.rpush(name, "one", "two")
        proxy.add(Fault("cut_after", "BLPOP"))
        with pytest.raises(OutcomeUnknownError):
            await redis.blpop(name, timeout=1)
        assert await redis.lrange(name, 0, -1) == [b"two"]
        await redis.delete(name)


async def test_a_reconnect_ends_the_connection_before(server: EmbeddedServer, proxy: FaultProxy, name: str) -> None:
    """What a dead connection still buffers cannot be executed after what the new one sends: the server closes it."""
    async with connect(proxy.url, deadline=0.3) as redis, connect(server.url) as direct:
        await connected(redis)
        await redis.set(name, "before", ex=60)
        lane = link_of(redis).lanes[0]
        assert lane.identity is not None
        dead = lane.identity[0]
        proxy.black_hole()  # it hides from the server that the client has gone
        with pytest.raises(OutcomeUnknownError):
            await redis.set(name, "late", ex=60)
        lane.reset("the test said so")
        assert dead in await clients_of(direct)
        redis.connection_pool.connection_kwargs.update(host=server.host, port=server.port)
        assert await redis.set(name, "after", ex=60)
        assert dead not in await clients_of(direct)
        assert await direct.get(name) == b"after"


async def clients_of(redis: PipelinedRedis) -> set[str]:
    return {str(client["id"]) for client in await redis.client_list()}


async def test_a_silent_connection_is_given_up(proxy: FaultProxy, name: str) -> None:
    """A connection that is silent for as long as a call may take is dropped, so that later calls get a new one."""
    async with connect(proxy.url, deadline=0.3) as redis:
        await connected(redis)
        proxy.black_hole()
        with pytest.raises(RedisTimeoutError):
            await redis.get(name)
        await eventually(lambda: not link_of(redis).lanes[0].statistics().connected)


async def test_an_error_of_the_connection_says_that_nothing_was_done(
    proxy: FaultProxy, server: EmbeddedServer, name: str
) -> None:
    """A repeatable call that was executed at its first try never ends with what is told of one that was never sent."""
    keys = name, f"{name}:seen"
    async with connect(proxy.url, deadline=0.5) as redis, connect(server.url) as direct:
        await connected(redis)
        proxy.add(Fault("cut_after", "EVALSHA"))
        proxy.refuse()
        with pytest.raises(RedisTimeoutError):
            await ADD_ONCE(redis, *keys, "first", 60_000)
        assert await direct.get(name) == b"1"
        with pytest.raises(RedisConnectionError):
            await ADD_ONCE(redis, *keys, "second", 60_000)
        assert await direct.get(name) == b"1"


async def test_a_call_with_much_time_keeps_no_dead_connection(
    proxy: FaultProxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that may take ten minutes is no reason to believe in a silent connection for ten minutes."""
    monkeypatch.setattr(lane, "LONGEST_PATIENCE", 1.0)
    async with connect(proxy.url, deadline=0.3) as redis:
        await connected(redis)
        proxy.black_hole()
        with pytest.raises(OutcomeUnknownError):
            await ADD(redis, name, 1, 60_000, deadline=600)
        proxy.heal()
        assert await ADD(redis, name, 1, 60_000) >= 1


async def test_a_read_that_kills_its_connection_is_given_up(own_server: EmbeddedServer) -> None:
    """A reply that the server would rather close the connection than hold is not asked for until the deadline."""
    async with connect(own_server.url, deadline=10) as redis:
        for _ in range(20):  # a list: a server may send a single value without holding it
            await redis.rpush("big", *[bytes(1000)] * 1000)
        await redis.set("small", 1)
        await redis.config_set("client-output-buffer-limit", "normal 1000000 0 0")
        before = link_of(redis).lanes[0].statistics().connections
        with pytest.raises(RedisTimeoutError, match="lost 4 times"):
            await redis.lrange("big", 0, -1)
        assert await redis.get("small") == b"1"
        assert link_of(redis).lanes[0].statistics().connections == before + 4


async def test_latency_and_split_packets_change_nothing(proxy: FaultProxy, name: str) -> None:
    """Replies that arrive late and in single bytes are whole."""
    async with connect(proxy.url, deadline=30) as redis:
        proxy.delay(0, 0.005)
        proxy.split(7)
        questions = [f"{number}-{'x' * (number % 50)}" for number in range(300)]
        answers = await asyncio.gather(*(redis.echo(question) for question in questions))
        assert answers == [question.encode() for question in questions]


async def test_a_black_hole_costs_the_deadline_and_heals(proxy: FaultProxy, name: str) -> None:
    """Behind a network that swallows everything each call ends at its deadline; afterwards calls work again."""
    async with connect(proxy.url, deadline=0.4) as redis:
        await connected(redis)
        await redis.set(name, 0, ex=60)
        proxy.black_hole()
        async with lag_of_the_loop() as lag:
            start = time.perf_counter()
            done = await outcomes([asyncio.create_task(redis.incr(name)) for _ in range(100)])
            assert time.perf_counter() - start < 0.5 + lag.worst
            assert done == {OutcomeUnknownError: 100}
            start = time.perf_counter()
            done = await outcomes([asyncio.create_task(redis.get(name)) for _ in range(100)])
            assert time.perf_counter() - start < 0.5 + lag.worst
        assert set(done) <= {RedisTimeoutError, RedisConnectionError}
        proxy.heal()
        async with asyncio.timeout(5):
            while True:
                try:
                    await redis.get(name)
                    break
                except (RedisTimeoutError, RedisConnectionError):
                    continue


async def test_a_storm_of_client_kill_loses_nothing_that_was_acknowledged(server: EmbeddedServer, name: str) -> None:
    """While the server kills the shared connection again and again, counts are exact and every call ends."""
    async with connect(server.url) as redis, connect(server.url) as killer:
        done: Counter[type] = Counter()
        for _ in range(30):
            calls = [asyncio.create_task(redis.incr(name)) for _ in range(100)]
            await asyncio.sleep(0)
            identity = link_of(redis).lanes[0].identity
            if identity is not None:
                await killer.client_kill_filter(_id=identity[0])
            done += await outcomes(calls)
        counted = int(await redis.get(name) or 0)
        assert done.total() == 3000
        assert set(done) <= {int, OutcomeUnknownError}
        assert done[int] <= counted <= done[int] + done[OutcomeUnknownError]
        await redis.delete(name)


async def test_kill_and_restart_with_an_append_only_file_keeps_what_was_acknowledged() -> None:
    """Every increment that was acknowledged is there after kill -9, and none is there twice."""
    durable = ["--appendonly", "yes", "--appendfsync", "always"]
    async with embedded_server(args=durable) as server, connect(server.url, deadline=10) as redis:
        done: Counter[type] = Counter()
        for _ in range(3):
            calls = [asyncio.create_task(redis.incr("n")) for _ in range(500)]
            await asyncio.sleep(0.005)
            await server.kill()
            await server.restart()
            done += await outcomes(calls)
        counted = int(await redis.get("n") or 0)
        assert done[int] <= counted <= done[int] + done[OutcomeUnknownError]
        assert set(done) <= {int, OutcomeUnknownError}


async def test_a_server_that_is_loading_is_waited_for() -> None:
    """LOADING is not an answer: the command was not executed and is sent again until its deadline."""
    slow_load = ["--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024"]
    async with embedded_server(args=slow_load) as server, connect(server.url, deadline=20) as redis:
        pipeline = redis.pipeline(transaction=False)
        for number in range(200):
            pipeline.set(f"k{number}", "x" * 1000)
        await pipeline.execute()
        await redis.save()
        await server.kill()
        await eventually(lambda: not link_of(redis).lanes[0].statistics().connected)
        restarting = asyncio.create_task(server.restart())
        answers = await asyncio.gather(*(redis.incr("n") for _ in range(20)))
        await restarting
        assert sorted(answers) == list(range(1, 21))


async def test_what_was_given_up_before_it_was_sent_never_happens(own_server: EmbeddedServer) -> None:
    """Of the commands that wait for the server, those cancelled or expired meanwhile are not executed."""
    async with connect(own_server.url, deadline=20) as redis:
        await redis.ping()
        await own_server.kill()
        await eventually(lambda: not link_of(redis).lanes[0].statistics().connected)
        calls = [asyncio.create_task(redis.incr("n")) for _ in range(10)]
        lane = link_of(redis).lanes[0]
        expired = [lane.submit(pack_command(("INCR", "n")), 0.1) for _ in range(10)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.wait(expired)
        await own_server.restart()
        assert await outcomes(calls) == {int: 5, asyncio.CancelledError: 5}
        assert all(isinstance(future.exception(), Unanswered) for future in expired)
        assert await redis.get("n") == b"5"


async def test_out_of_memory_is_the_servers_own_word(own_server: EmbeddedServer) -> None:
    """A refused write raises redis-py's own error, and reads and deletes go on."""
    async with connect(own_server.url) as redis:
        await redis.set("n", 1)
        await redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            await redis.set("big", "x")
        assert await redis.get("n") == b"1"
        assert await redis.delete("n") == 1
