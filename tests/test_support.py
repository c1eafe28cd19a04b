"""The fault proxy hits exactly what it is told to hit, and worker processes never outlive their test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable
from itertools import pairwise
from typing import Any

import hiredis
import pytest
import pytest_asyncio
import redis.asyncio as redis_py
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns.embedded import EmbeddedServer
from tests.support.faults import Fault, FaultProxy
from tests.support.processes import Worker, worker
from tests.support.resp import Framer
from tests.support.waiting import eventually

WORKERS = "tests.support.workers"
MESSAGES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":42\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.25\r\n",
    b"(3492890328409238509324850943850943825024385\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$7\r\na\r\nb$1\r\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"!5\r\nERR x\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*3\r\n:1\r\n*2\r\n$-1\r\n$2\r\nhi\r\n_\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n+c\r\n*1\r\n:1\r\n",
    b"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n",
    b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
    b"*2\r\n$4\r\nECHO\r\n$3\r\n*1\r\r\n",
]


@pytest_asyncio.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the server of all tests."""
    async with FaultProxy(server.host, server.port) as running:
        yield running


@pytest_asyncio.fixture(params=[2, 3])
async def client(request: pytest.FixtureRequest, proxy: FaultProxy) -> AsyncIterator[redis_py.Redis]:
    """A client of the proxy that never sends anything twice."""
    async with redis_py.Redis.from_url(proxy.url, protocol=request.param, retry=Retry(NoBackoff(), 0)) as redis:
        yield redis


@pytest_asyncio.fixture
async def direct(url: str) -> AsyncIterator[redis_py.Redis]:
    """A client that the proxy cannot disturb."""
    async with redis_py.Redis.from_url(url) as redis:
        yield redis


def packed(*commands: tuple[Any, ...]) -> bytes:
    """The commands as one piece of RESP."""
    return b"".join(map(hiredis.pack_command, commands))


async def exchange(proxy: FaultProxy, *commands: tuple[Any, ...]) -> tuple[bytes, bool]:
    """Send all commands at once; give what came back until the end, and whether a reset was the end."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.write(packed(*commands))
    try:
        return await read_to_end(reader)
    finally:
        writer.close()


async def read_to_end(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What comes until the end, and whether a reset is the end."""
    received = bytearray()
    try:
        while data := await reader.read(4096):
            received += data
    except ConnectionResetError:
        return bytes(received), True
    return bytes(received), False


async def still_pending(answer: Awaitable[Any]) -> bool:
    """Whether there is no answer within a time in which a healthy proxy gives a hundred."""
    _, pending = await asyncio.wait([asyncio.ensure_future(answer)], timeout=0.1)
    return bool(pending)


@given(st.lists(st.sampled_from(MESSAGES), max_size=8), st.lists(st.integers(0, 300), max_size=8))
def test_messages_are_found_however_the_stream_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    """Every type of message, nested or null, is found whole and unchanged, wherever the chunks end."""
    stream, framer = b"".join(messages), Framer()
    ends = sorted({0, *(min(cut, len(stream)) for cut in cuts), len(stream)})
    found = [message for start, end in pairwise(ends) for message in framer.feed(stream[start:end])]
    assert found == messages


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_not_whole_before_its_last_byte(message: bytes) -> None:
    """No message is given out early, and one byte at a time is enough."""
    framer = Framer()
    assert [framer.feed(message[index : index + 1]) for index in range(len(message))][:-1] == [[]] * (len(message) - 1)
    assert framer.feed(message) == [message]


async def test_without_faults_the_proxy_changes_nothing(client: redis_py.Redis, name: str) -> None:
    """Values of any size, collections, errors and nulls come through as they are."""
    value = os.urandom(1_000_000)
    await client.set(name, value, ex=60)
    assert await client.get(name) == value
    assert await client.get(name + ":none") is None
    assert await client.eval("return {1, {2, {KEYS[1]}}, false}", 1, name) == [1, [2, [name.encode()]], None]
    with pytest.raises(redis_py.ResponseError, match="wrong kind"):
        await client.rpush(name, 1)


async def test_thirty_thousand_pipelined_commands_keep_their_order(client: redis_py.Redis, proxy: FaultProxy) -> None:
    """A pipeline of 30,000 commands passes with every command counted and every reply in its place."""
    pipeline = client.pipeline(transaction=False)
    for number in range(30_000):
        pipeline.echo(str(number))
    assert await pipeline.execute() == [b"%d" % number for number in range(30_000)]
    assert proxy.commands["ECHO"] == 30_000


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(
    ("kind", "executed", "rest"), [("cut_before", 699, b""), ("cut_after", 700, b""), ("half_reply", 700, b":70")]
)
async def test_a_fault_hits_one_command_of_a_pipeline(
    proxy: FaultProxy, direct: redis_py.Redis, name: str, kind: Any, executed: int, rest: bytes, reset: bool
) -> None:
    """All before it are answered, it is executed or not as its kind says, and none behind it is executed."""
    fault = proxy.add(Fault(kind, lambda command: command[-1] == b"700", reset=reset))
    commands = [("EVAL", "return redis.call('INCR', KEYS[1])", 1, name, number) for number in range(1, 1001)]
    received, was_reset = await exchange(proxy, *commands)
    assert received == b"".join(b":%d\r\n" % number for number in range(1, 700)) + rest
    assert await direct.get(name) == b"%d" % executed
    assert was_reset is reset
    assert proxy.struck[fault] == 1
    await direct.delete(name)


async def test_a_reset_does_not_lose_replies_before_it(proxy: FaultProxy) -> None:
    """Replies that a slow client has not read yet arrive before the reset does."""
    fault = proxy.add(Fault("cut_before", "PING"))
    value = b"x" * 100_000
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.transport.pause_reading()
    writer.write(packed(*[("ECHO", value)] * 20, ("PING",)))
    await eventually(lambda: proxy.struck[fault])
    end = asyncio.ensure_future(eventually(lambda: proxy.open == 0))
    assert await still_pending(end)
    writer.transport.resume_reading()
    assert await reader.readexactly(20 * 100_011) == (b"$100000\r\n" + value + b"\r\n") * 20
    assert await read_to_end(reader) == (b"", True)
    await end
    writer.close()


async def test_a_client_sees_a_cut_as_a_connection_error(client: redis_py.Redis, proxy: FaultProxy, name: str) -> None:
    """redis-py reports the cut, and its next command goes over a new connection."""
    proxy.add(Fault("cut_after", "set"))
    with pytest.raises(RedisConnectionError):
        await client.set(name, "value", ex=60)
    assert await client.get(name) == b"value"
    assert proxy.connections == 2


async def test_pushes_are_not_taken_for_replies(proxy: FaultProxy, name: str) -> None:
    """An invalidation between the replies does not shift the reply that a fault hits."""
    proxy.add(Fault("cut_after", "ECHO"))
    tracking = [("HELLO", 3), ("CLIENT", "TRACKING", "ON")]
    reads_and_writes = [("GET", name), ("SET", name, 1, "EX", 60)] * 3
    received, _ = await exchange(proxy, *tracking, *reads_and_writes, ("ECHO", "lost"), ("ECHO", "behind"))
    frames = Framer().feed(received)
    assert sum(frame.startswith(b">") for frame in frames) == 3
    assert sum(not frame.startswith(b">") for frame in frames) == len(tracking + reads_and_writes)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_published_messages_are_not_taken_for_replies(
    proxy: FaultProxy, direct: redis_py.Redis, name: str, protocol: int
) -> None:
    """A message that comes while a command waits for its reply is delivered, and the fault hits the reply."""
    proxy.add(Fault("cut_after", lambda command: command == [b"PING", b"lost"]))
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.write(packed(("HELLO", protocol), ("SUBSCRIBE", name), ("PING", "first")))
    await reader.readuntil(b"first\r\n")
    proxy.black_hole(replies=False)
    writer.write(packed(("PING", "second"), ("PING", "lost")))
    await eventually(lambda: proxy.commands["PING"] == 3)
    assert await direct.publish(name, "hello") == 1
    await reader.readuntil(b"hello\r\n")
    proxy.heal()
    received, was_reset = await read_to_end(reader)
    assert was_reset
    assert received.endswith(b"second\r\n")
    writer.close()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_subscription_is_answered_once_for_each_channel(proxy: FaultProxy, protocol: int) -> None:
    """A fault on a second SUBSCRIBE leaves all confirmations of the first one alone."""
    proxy.add(Fault("cut_after", lambda command: command[-1] == b"c"))
    commands = [("SUBSCRIBE", "a", "b"), ("SUBSCRIBE", "c")]
    received, _ = await exchange(proxy, ("HELLO", protocol), *commands)
    assert received.count(b"subscribe\r\n") == 2


async def test_a_fault_strikes_as_often_as_it_says(client: redis_py.Redis, proxy: FaultProxy) -> None:
    """Two times mean the first two commands that match, and no other command."""
    fault = proxy.add(Fault("cut_before", "PING", times=2))
    assert await client.echo("x") == b"x"
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            await client.ping()
    assert await client.ping() is True
    assert proxy.struck[fault] == 2


async def test_chance_repeats_with_its_seed(server: EmbeddedServer) -> None:
    """A probability strikes some commands, the same ones for the same seed."""
    assert await struck_pings(server, seed=1) == await struck_pings(server, seed=1)
    assert await struck_pings(server, seed=1) != await struck_pings(server, seed=2)


async def struck_pings(server: EmbeddedServer, seed: int) -> list[bool]:
    """Which of 40 commands were struck."""
    async with FaultProxy(server.host, server.port, seed=seed) as proxy:
        proxy.add(Fault("cut_after", "PING", times=None, probability=0.3))
        proxy.add(Fault("cut_before", "QUIT", reset=False))
        struck = [await exchange(proxy, ("PING",), ("QUIT",)) == (b"", True) for _ in range(40)]
        assert 0 < sum(struck) < 40
        return struck


async def test_a_predicate_that_fails_fails_the_test(server: EmbeddedServer) -> None:
    """An error in a fault's match is not taken for a cut connection: closing the proxy raises it."""
    proxy = FaultProxy(server.host, server.port)
    proxy.add(Fault("cut_after", lambda command: command[1] == b"x"))
    await proxy.__aenter__()
    assert await exchange(proxy, ("PING",)) == (b"", True)
    with pytest.raises(BaseExceptionGroup) as caught:
        await proxy.aclose()
    assert caught.group_contains(IndexError)


async def test_clear_disarms_everything(client: redis_py.Redis, proxy: FaultProxy) -> None:
    """After `clear` no fault strikes and nothing is delayed or split."""
    proxy.add(Fault("cut_before", "PING", times=None))
    proxy.delay(30, 30)
    proxy.split(1)
    proxy.clear()
    assert await client.ping() is True
    assert {(way.latency, way.max_piece) for way in (proxy.requests, proxy.replies)} == {((0, 0), 0)}


@pytest.mark.parametrize(("ways", "expected"), [({"requests": False}, 0.05), ({"replies": False}, 0.05), ({}, 0.1)])
async def test_latency_holds_back_requests_and_replies(
    client: redis_py.Redis, proxy: FaultProxy, ways: dict[str, bool], expected: float
) -> None:
    """A round trip takes at least the shortest latency of each way that has one."""
    await client.ping()
    proxy.delay(0.05, 0.06, **ways)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await client.ping()
    assert loop.time() - start >= expected


async def test_split_changes_the_packets_and_not_the_bytes(proxy: FaultProxy) -> None:
    """Requests and replies in tiny pieces are whole in the end, and the client does get them in many pieces."""
    proxy.split(3)
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.write(packed(("ECHO", "x" * 300)))
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < 308:
        pieces.append(await reader.read(4096))
    assert b"".join(pieces) == b"$300\r\n" + b"x" * 300 + b"\r\n"
    assert len(pieces) > 10
    writer.close()


async def test_a_black_hole_swallows_until_it_heals(
    client: redis_py.Redis, proxy: FaultProxy, direct: redis_py.Redis, name: str
) -> None:
    """No command reaches the server in a black hole, connections stay open, and healing lets it all through."""
    await client.ping()
    proxy.black_hole()
    answer = asyncio.ensure_future(client.set(name, 1, ex=60))
    assert await still_pending(answer)
    assert await direct.get(name) is None
    assert proxy.open == 1
    proxy.heal()
    assert await answer is True


async def test_a_black_hole_of_replies_executes(
    client: redis_py.Redis, proxy: FaultProxy, direct: redis_py.Redis, name: str
) -> None:
    """With requests let through, the server executes, and the reply waits for the healing."""
    await client.ping()
    proxy.black_hole(requests=False)
    answer = asyncio.ensure_future(client.set(name, 1, ex=60))
    assert await still_pending(answer)
    assert await direct.get(name) == b"1"
    proxy.heal()
    assert await answer is True


async def test_a_black_hole_accepts_connections_and_is_silent(client: redis_py.Redis, proxy: FaultProxy) -> None:
    """A connection that is opened in a black hole gets its answers when it heals."""
    proxy.black_hole()
    answer = asyncio.ensure_future(client.echo("hello"))
    assert await still_pending(answer)
    assert (proxy.connections, proxy.open) == (1, 1)
    proxy.heal()
    assert await answer == b"hello"


async def test_a_black_hole_hides_the_end_of_a_connection(proxy: FaultProxy, direct: redis_py.Redis) -> None:
    """That the server closed is as invisible as its replies, until it heals."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.write(packed(("CLIENT", "ID")))
    client_id = (await reader.readline())[1:].strip().decode()
    proxy.black_hole()
    await direct.client_kill_filter(_id=client_id)
    end = asyncio.ensure_future(reader.read())
    assert await still_pending(end)
    proxy.heal()
    assert await end == b""
    writer.close()


async def test_refusal_is_for_new_connections_only(client: redis_py.Redis, proxy: FaultProxy) -> None:
    """New connections are reset, those that are open work on, and healing ends it."""
    await client.ping()
    proxy.refuse()
    assert await exchange(proxy, ("PING",)) == (b"", True)
    assert await client.ping() is True
    proxy.heal()
    proxy.add(Fault("cut_before", "QUIT"))
    assert await exchange(proxy, ("PING",), ("QUIT",)) == (b"+PONG\r\n", True)


async def test_cut_all_resets_every_connection(proxy: FaultProxy) -> None:
    """Afterwards none is open, each client has seen a reset, and new ones are served."""
    streams = [await asyncio.open_connection(proxy.host, proxy.port) for _ in range(5)]
    await eventually(lambda: proxy.open == 5)
    await proxy.cut_all()
    assert proxy.open == 0
    for reader, writer in streams:
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    proxy.add(Fault("cut_before", "QUIT"))
    assert await exchange(proxy, ("PING",), ("QUIT",)) == (b"+PONG\r\n", True)
    assert (proxy.connections, proxy.commands["PING"]) == (6, 1)


async def test_the_end_of_either_side_ends_the_other(proxy: FaultProxy, direct: redis_py.Redis, name: str) -> None:
    """A client that closes is gone from the server's list too, and a server that closes ends the client's stream."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.write(packed(("CLIENT", "SETNAME", name)))
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await eventually(lambda: proxy.open == 0)
    assert name not in [other["name"] for other in await direct.client_list()]
    assert await exchange(proxy, ("QUIT",)) == (b"+OK\r\n", False)


async def test_a_server_that_is_gone_is_a_closed_connection(own_server: EmbeddedServer) -> None:
    """The proxy resets its client when it cannot reach the server, which a black hole hides."""
    async with FaultProxy(own_server.host, own_server.port) as proxy:
        await own_server.kill()
        assert await exchange(proxy, ("PING",)) == (b"", True)
        proxy.black_hole()
        answer = asyncio.ensure_future(exchange(proxy, ("PING",)))
        assert await still_pending(answer)
        proxy.heal()
        assert await answer == (b"", True)


@pytest.mark.parametrize("state", ["idle", "black hole", "delayed", "half closed"])
async def test_closing_leaves_nothing_behind(server: EmbeddedServer, state: str) -> None:
    """Whatever its connections are doing, a closed proxy has no task and no open connection left."""
    before = asyncio.all_tasks()
    async with FaultProxy(server.host, server.port) as proxy:
        prepare(proxy, state)
        streams = [await asyncio.open_connection(proxy.host, proxy.port) for _ in range(3)]
        for reader, writer in streams:
            writer.write(packed(("PING",)))
            if state == "idle":
                assert await reader.readline() == b"+PONG\r\n"
        await eventually(lambda: proxy.commands["PING"] == 3 or (state == "black hole" and proxy.open == 3))
    assert proxy.open == 0
    assert asyncio.all_tasks() == before
    for reader, writer in streams:
        assert (await read_to_end(reader))[0] == b""
        writer.close()


def prepare(proxy: FaultProxy, state: str) -> None:
    """Bring the connections to come into a state."""
    if state == "black hole":
        proxy.black_hole()
    elif state == "delayed":
        proxy.delay(30, 30)
    elif state == "half closed":
        proxy.add(Fault("cut_before", "PING", times=None, reset=False))


@pytest.mark.parametrize("turns", range(6))
async def test_closing_ends_who_has_just_come(server: EmbeddedServer, turns: int) -> None:
    """However far a new connection has come when the proxy closes, it is closed when that returns."""
    proxy = FaultProxy(server.host, server.port)
    await proxy.__aenter__()
    with socket.socket() as client:
        client.connect((proxy.host, proxy.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.aclose()
        client.settimeout(5)
        with pytest.raises(ConnectionError):
            client.recv(1)


async def test_a_worker_is_called_and_heard() -> None:
    """A worker gets its arguments and the test gets what it says, then its end and its exit code."""
    async with worker(f"{WORKERS}:echo", "text", 1.5, {"nested": [None]}) as process:
        assert [await process.line() for _ in range(3)] == ["text", 1.5, {"nested": [None]}]
        with pytest.raises(EOFError, match="echo has no more to say"):
            await process.line()
        assert await process.wait() == 0


async def test_a_worker_may_say_much() -> None:
    """What a worker says in one line may be longer than a stream's own limit of 64 KiB."""
    async with worker(f"{WORKERS}:echo", "x" * 100_000) as process:
        assert len(await process.line()) == 100_000


async def test_a_worker_that_fails_says_so() -> None:
    """An error in a worker is its exit code, and no line."""
    async with worker(f"{WORKERS}:fail") as process:
        with pytest.raises(EOFError):
            await process.line()
        assert await process.wait() == 1


async def test_a_worker_can_be_killed() -> None:
    """After `kill` it is dead by SIGKILL, and a second one does no harm."""
    async with worker(f"{WORKERS}:count") as process:
        assert await process.line() == 0
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        process.kill()


async def test_a_worker_can_be_asked_to_end() -> None:
    """`terminate` is SIGTERM, which a worker may handle."""
    async with worker(f"{WORKERS}:count") as process:
        assert await process.line() == 0
        process.terminate()
        assert await process.wait() == -signal.SIGTERM


async def test_a_paused_worker_goes_on_where_it_was() -> None:
    """Between `pause` and `resume` a worker is silent, and loses nothing."""
    async with worker(f"{WORKERS}:count") as process:
        assert await process.line() == 0
        process.pause()
        last = await last_line(process)
        process.resume()
        assert await process.line() == last + 1


async def last_line(process: Worker) -> int:
    """The last thing that a worker says before it is silent for 0.2 seconds."""
    last = 0
    with contextlib.suppress(TimeoutError):
        while True:
            last = await process.line(timeout=0.2)
    return last


async def test_no_worker_outlives_its_block() -> None:
    """A worker that ignores SIGTERM is dead and reaped at the end of its block, even if the test fails there."""
    with pytest.raises(ZeroDivisionError) as caught:
        await fail_with_a_worker()
    with pytest.raises(ProcessLookupError):
        os.kill(caught.value.args[0], 0)


async def fail_with_a_worker() -> None:
    """Raise an error, which names the process, while a worker runs that does not want to end."""
    async with worker(f"{WORKERS}:ignore_sigterm") as process:
        assert await process.line() == "ignoring"
        process.terminate()
        raise ZeroDivisionError(process.pid)


async def test_no_worker_outlives_a_killed_parent(proxy: FaultProxy) -> None:
    """A worker whose parent is killed, so that nobody can end it, ends by itself."""
    async with worker(f"{WORKERS}:start_another", proxy.host, proxy.port) as process:
        await eventually(lambda: proxy.open == 1, timeout=20)
        process.kill()
        await eventually(lambda: proxy.open == 0)
