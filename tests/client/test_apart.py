"""A pool's connections are kept apart: by event loop, and by process."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from aioredis_patterns.embedded import EmbeddedCluster, embedded_sentinel
from aioredis_patterns.embedded.process import HOST

LOOPS = """
import asyncio, sys, warnings
from aioredis_patterns.client import connect

warnings.simplefilter("ignore")  # a loop that ends leaves its sockets open
redis, name = connect(sys.argv[1], deadline=5), sys.argv[2]

async def use():
    async with redis.pubsub() as subscriber:
        await subscriber.subscribe(name)
    async with redis.pipeline() as pipeline:
        await pipeline.incr(name).expire(name, 60).execute()
    await redis.blpop(f"{name}:list", timeout=0.01)
    return await redis.incr(name)

assert [asyncio.run(use()) for _ in range(3)] == [2, 4, 6]
asyncio.run(redis.aclose())
assert asyncio.run(use()) == 8
print("good")
"""

PLAIN = """
import asyncio, sys, warnings
from redis.asyncio.sentinel import Sentinel
from aioredis_patterns.counters import Counter

warnings.simplefilter("ignore")  # a loop that ends leaves its sockets open
address, _, service = sys.argv[1].partition("/")
redis = Sentinel([address.split(":")]).master_for(service)
counter = Counter(redis, sys.argv[2], ttl=60)
assert [asyncio.run(counter.increment()) for _ in range(3)] == [1, 2, 3]
print("good")
"""

FORK = """
import asyncio, os, sys, warnings
from aioredis_patterns.client import connect

warnings.simplefilter("ignore")  # a fork leaves the parent's sockets open in the child
redis = connect(sys.argv[1], deadline=5)

async def echo(text):
    async with redis.pipeline(transaction=False) as pipeline:
        return await pipeline.echo(text).execute() == [text.encode()]

async def parent():
    assert all(await asyncio.gather(*(echo("before") for _ in range(4))))
    waiting = asyncio.create_task(redis.blpop(sys.argv[2], timeout=5))  # its connection is in use at the fork
    while len(redis.connection_pool._in_use_connections) == 0:
        await asyncio.sleep(0.01)
    child = os.fork()
    if child == 0:
        asyncio._set_running_loop(None)
        good = all(asyncio.run(echo("child")) for _ in range(4))
        asyncio.run(redis.aclose())
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert all([await echo("after") for _ in range(4)])
    await redis.rpush(sys.argv[2], "x")
    assert (await waiting)[1] == b"x"
    await redis.aclose()

asyncio.run(parent())
print("good")
"""

ALONE = """
import asyncio, sys, warnings
from aioredis_patterns.client import connect
from aioredis_patterns.errors import TransportError

warnings.simplefilter("ignore")  # a loop that ends leaves its sockets open
alone, name = connect(sys.argv[1]).client(), sys.argv[2]
assert asyncio.run(alone.set(name, 1, ex=60))
try:
    asyncio.run(alone.incr(name))
except TransportError as error:
    print("good" if "another event loop" in str(error) else error)

async def use_anew():
    await alone.aclose()
    assert await alone.incr(name) == 2
    await alone.aclose()

asyncio.run(use_anew())
"""


def run(program: str, url: str, name: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", program, url, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_second_event_loop_takes_no_connection_of_the_first(url: str, name: str) -> None:
    """Pipelines, blocking reads and subscriptions work under one asyncio.run after another, and none runs twice."""
    assert run(LOOPS, url, name) == (0, "good\n", "")


async def test_behind_sentinels_a_second_event_loop_asks_anew(name: str) -> None:
    """The connections to the Sentinels are kept apart as well as those to the primary, whoever made the client."""
    async with embedded_sentinel() as watched:
        assert await asyncio.to_thread(run, LOOPS, watched.url, name) == (0, "good\n", "")
        address = f"{HOST}:{watched.sentinels[0].port}/{watched.name}"
        assert await asyncio.to_thread(run, PLAIN, address, f"{name}:plain") == (0, "good\n", "")


async def test_a_second_event_loop_uses_a_cluster(cluster: EmbeddedCluster, name: str) -> None:
    """The connections of redis-py's own cluster client, which pipelines take, are forgotten with their event loop."""
    assert await asyncio.to_thread(run, LOOPS, cluster.url, name) == (0, "good\n", "")


def test_a_forked_child_uses_no_private_connection_of_its_parent(url: str, name: str) -> None:
    """Parent and child have their own replies, and what the child closes stays open in the parent."""
    assert run(FORK, url, name) == (0, "good\n", "")


def test_a_client_of_one_connection_tells_another_event_loop_so(url: str, name: str) -> None:
    """Its command is not sent where its reply could not be read; closed, it opens its connection anew."""
    assert run(ALONE, url, name) == (0, "good\n", "")
