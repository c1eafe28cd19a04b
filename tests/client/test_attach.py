"""One link per pool and event loop, found from whatever client the user built, gone when it is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from typing import Any

import pytest
import redis as blocking_redis
import redis.asyncio as redis_py

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import is_cluster, link_of
from aioredis_patterns.client.lane import SWEEP
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import TransportError
from tests.support.waiting import eventually

ECHO = Script("tests.client", "echo_arg")


async def names_of_clients(url: str) -> list[str]:
    async with redis_py.Redis.from_url(url) as redis:
        return [client["name"] for client in await redis.client_list()]


async def test_scripts_run_on_whatever_client_the_user_built(redis: redis_py.Redis, name: str) -> None:
    """A script answers with bytes on every kind of client, decoding or not, RESP2 or RESP3."""
    assert await ECHO(redis, name, "é") == "é".encode()


async def test_clients_that_share_a_pool_share_the_link(url: str) -> None:
    """Two clients on one pool give one link."""
    pool = redis_py.ConnectionPool.from_url(url)
    one, two = redis_py.Redis(connection_pool=pool), PipelinedRedis(connection_pool=pool)
    assert link_of(one) is link_of(two)
    await pool.aclose()


async def test_the_link_speaks_for_the_users_own_connection(url: str, name: str) -> None:
    """Database and client name of the user's client are those of the shared connection."""
    async with redis_py.Redis.from_url(url, db=3, client_name=name) as redis:
        await redis.set(name, "in three", ex=60)
        assert await Script("tests.client", "get_key")(redis, name) == b"in three"
        assert (await names_of_clients(url)).count(name) == 2
        await redis.delete(name)


@pytest.mark.parametrize("kind", [redis_py.Redis, PipelinedRedis])
async def test_closing_the_client_closes_what_was_attached(kind: type[redis_py.Redis], url: str, name: str) -> None:
    """After aclose() the server knows no connection of this client any more, and a later call opens a new one."""
    redis = kind.from_url(url, client_name=name)
    await ECHO(redis, name, "x")
    await redis.aclose()
    await eventually_gone(url, name)
    assert await ECHO(redis, name, "again") == b"again"
    await redis.aclose()
    await eventually_gone(url, name)


async def eventually_gone(url: str, name: str) -> None:
    for _ in range(200):
        if name not in await names_of_clients(url):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the connection is still open")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_closing_waits_a_moment_for_what_is_to_be_finished(url: str, name: str) -> None:
    """What a caller left behind has the connection until it is done."""
    async with connect(url) as redis:
        finished = link_of(redis).finish(ECHO(redis, name, "done"), "an echo")
        await redis.aclose()
        assert finished.done()
        assert await finished == b"done"


@pytest.mark.parametrize("impatient", [False, True])
async def test_what_does_not_end_keeps_no_connection(url: str, name: str, impatient: bool) -> None:
    """Closing waits a moment for what is to be finished, or until it is cancelled, and closes then all the same."""
    async with connect(url, client_name=name) as redis:
        await redis.ping()
        stuck = link_of(redis).finish(asyncio.sleep(60), "stuck")
        closing = asyncio.create_task(redis.aclose())
        await asyncio.sleep(0)
        if impatient:
            closing.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([closing])
        assert closing.cancelled() is impatient
        assert not link_of(redis).lanes[0].statistics().connected
        stuck.cancel()
        await asyncio.wait([stuck])


async def test_a_forgotten_client_takes_its_connection_with_it(url: str, name: str) -> None:
    """A client that nobody holds is collected, and its shared connection is closed."""
    redis = connect(url, client_name=name)
    await redis.ping()
    lane = weakref.ref(link_of(redis).lanes[0])
    del redis
    await eventually(lambda: gc.collect() >= 0 and lane() is None)
    await eventually_gone(url, name)


def test_a_second_event_loop_gets_a_connection_of_its_own(url: str) -> None:
    """A client used under one asyncio.run after another works in each."""
    redis = connect(url)

    async def use(text: str) -> bytes:
        answer = await redis.echo(text)
        await redis.aclose()
        return bytes(answer)

    assert asyncio.run(use("one")) == b"one"
    assert asyncio.run(use("two")) == b"two"


async def test_two_loops_at_the_same_time_never_mix_replies(url: str) -> None:
    """A client shared by two threads with a loop each answers each with its own."""
    redis = connect(url)
    wrong: list[object] = []

    async def ask(prefix: str) -> None:
        for number in range(300):
            question = f"{prefix}{number}"
            if await redis.echo(question) != question.encode():
                wrong.append(question)
        await link_of(redis).aclose()

    other = threading.Thread(target=lambda: asyncio.run(ask("b")))
    other.start()
    await ask("a")
    await eventually(lambda: not other.is_alive())
    assert wrong == []
    await redis.aclose()


FORK = """
import asyncio, os, sys, warnings
from aioredis_patterns.client import connect

warnings.simplefilter("ignore")  # a fork leaves the parent's sockets open in the child
redis = connect(sys.argv[1])

async def echo(text):
    answers = await asyncio.gather(*(redis.echo(f"{text}{number}") for number in range(200)))
    return answers == [f"{text}{number}".encode() for number in range(200)]

async def parent():
    assert await echo("before")
    if os.fork() == 0:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass  # the child's copy of the coroutine has no loop
        try:
            asyncio.run(echo("x"))
        except RuntimeError:
            pass
        os._exit(0)
    child = os.fork()
    if child == 0:
        asyncio._set_running_loop(None)
        os._exit(0 if asyncio.run(echo("child")) else 1)
    assert await echo("after")
    assert os.waitpid(child, 0)[1] == 0
    os.wait()
    assert await echo("last")
    await redis.aclose()

asyncio.run(parent())
print("good")
"""


def test_a_forked_child_never_takes_its_parents_reply(url: str) -> None:
    """After a fork the child opens connections of its own, and the parent's stay good."""
    program = [sys.executable, "-c", textwrap.dedent(FORK), url]
    run = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (0, "good\n"), run.stderr


async def test_a_blocking_client_is_refused_with_the_way_out(url: str) -> None:
    """The client of the blocking redis-py is told apart at the first call."""
    with blocking_redis.Redis.from_url(url) as redis, pytest.raises(TransportError, match=r"redis\.asyncio"):
        await ECHO(redis, "key", "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("redis", [None, "redis://localhost", blocking_redis.Redis()])
def test_whether_it_is_a_cluster_is_asked_of_clients_alone(redis: Any) -> None:
    """A pattern that asks this first refuses a wrong client in the same words."""
    with pytest.raises(TransportError, match=r"redis\.asyncio"):
        is_cluster(redis)


async def test_no_connection_is_left_by_a_hundred_clients(url: str, name: str) -> None:
    """Clients that are closed leave nothing on the server."""
    for _ in range(100):
        async with connect(url, client_name=name) as redis:
            await redis.ping()
    await eventually_gone(url, name)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("debug", [False, True])
async def test_a_client_forgotten_by_another_thread_closes_at_once(url: str, name: str, debug: bool) -> None:
    """Where the garbage collector runs does not matter: the connection of an idle loop elsewhere is closed too."""
    clients: list[PipelinedRedis] = []
    used, done = threading.Event(), threading.Event()

    async def use() -> None:
        clients.append(connect(url, client_name=name))
        await clients[0].ping()
        lane = weakref.ref(link_of(clients[0]).lanes[0])
        await asyncio.sleep(2 * SWEEP)  # the lane's own timer holds it for so long
        assert lane() is not None
        used.set()
        await asyncio.to_thread(done.wait)

    other = threading.Thread(target=lambda: asyncio.run(use(), debug=debug))
    other.start()
    await asyncio.to_thread(used.wait)
    try:
        clients.clear()
        gc.collect()
        await eventually_gone(url, name)
    finally:
        done.set()
        await asyncio.to_thread(other.join)


FORGETFUL_FORK = """
import asyncio, gc, os, sys, warnings
from aioredis_patterns.client import connect
from aioredis_patterns.client.lane import SWEEP

warnings.simplefilter("ignore")  # a fork leaves the parent's sockets open in the child
clients = [connect(sys.argv[1], deadline=1)]

async def parent():
    await clients[0].ping()
    await asyncio.sleep(3 * SWEEP)  # the lane's own timer holds it for so long
    child = os.fork()
    if child == 0:
        clients.clear()
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert await clients[0].ping()
    await clients[0].aclose()

asyncio.run(parent())
print("good")
"""


def test_a_forked_child_that_forgets_a_client_leaves_the_parents_good(url: str) -> None:
    """The child's copy of a connection is collected without a trace in the selector that parent and child share."""
    program = [sys.executable, "-c", textwrap.dedent(FORGETFUL_FORK), url]
    run = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (0, "good\n"), run.stderr


STRAY_FORK = """
import asyncio, os, sys, warnings
from aioredis_patterns.client import connect

warnings.simplefilter("ignore")  # a fork leaves the parent's sockets open in the child
redis = connect(sys.argv[1])

async def parent():
    await redis.set(sys.argv[2], 1, px=60_000)
    child = os.fork()
    if child == 0:
        try:
            redis.incr(sys.argv[2]).send(None)  # as a coroutine of the parent's that runs on would
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert await redis.get(sys.argv[2]) == b"1"
    await redis.aclose()

asyncio.run(parent())
print("good")
"""


def test_a_coroutine_that_runs_on_in_a_forked_child_sends_nothing(url: str, name: str) -> None:
    """The child has no event loop, is told so, and writes nothing to the parent's socket."""
    program = [sys.executable, "-c", textwrap.dedent(STRAY_FORK), url, name]
    run = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (0, "good\n"), run.stderr


async def test_a_reconnect_ends_the_connection_before_on_a_unix_socket(own_server: EmbeddedServer) -> None:
    """Where all clients have the same address, the server still closes what was open before, and nobody else."""
    async with connect(f"unix://{own_server.unix_path}") as redis, connect(own_server.url) as direct:
        lane = link_of(redis).lanes[0]
        for _ in range(3):
            dead = await lane.submit(pack_command(("CLIENT", "ID")), 5.0)
            held = lane._wire  # the server does not learn that it is used no more
            lane._forget_wire()
            assert dead in await ids_of(direct)
            before = await ids_of(direct)
            assert await redis.ping()
            assert before - await ids_of(direct) == {dead}
            assert held is not None


async def ids_of(redis: PipelinedRedis) -> set[int]:
    return {int(client["id"]) for client in await redis.client_list()}


async def test_a_user_that_may_not_ask_which_server_it_is_connects_all_the_same(own_server: EmbeddedServer) -> None:
    """Without the right to INFO a client on a Unix socket works, before and after a reconnect."""
    await own_server.ask("ACL", "SETUSER", "ada", "on", ">secret", "~*", "+@all", "-info")
    async with connect(f"unix://ada:secret@{own_server.unix_path}") as redis:
        for _ in range(2):
            assert await redis.ping()
            link_of(redis).lanes[0].reset("the test said so")


async def test_a_restarted_server_loses_no_stranger_on_its_unix_socket(own_server: EmbeddedServer) -> None:
    """A client that got the id of our connection after the restart is not killed for it."""
    path = str(own_server.unix_path)
    async with connect(f"unix://{path}") as redis, contextlib.AsyncExitStack() as strangers:
        for _ in range(50):  # after its start the server counts from the beginning
            async with redis_py.Redis(unix_socket_path=path) as other:
                await other.ping()
        ours = await link_of(redis).lanes[0].submit(pack_command(("CLIENT", "ID")), 5.0)
        await own_server.kill()
        await own_server.restart()
        theirs = 0
        while theirs < ours:
            stranger = redis_py.Redis(unix_socket_path=path, single_connection_client=True)
            theirs = await (await strangers.enter_async_context(stranger)).client_id()
        assert theirs == ours
        assert await redis.ping()
        assert str(ours) in {str(client["id"]) for client in await redis.client_list()}
