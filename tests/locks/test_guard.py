"""FenceGuard: who was overtaken writes no more."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import LockLostError, OutcomeUnknownError
from aioredis_patterns.locks import FenceGuard, Lock
from tests.support.faults import Fault, FaultProxy

SET = "return redis.call('SET', KEYS[1], ARGV[1])"
COUNT = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def key_of(name: str) -> str:
    return f"{{{name}}}:data"


async def text(redis: Redis, key: str) -> str | None:
    value: Any = await redis.get(key)
    return value.decode() if isinstance(value, bytes) else value


async def test_an_older_fence_does_not_write(redis: Redis, name: str) -> None:
    """After a write with one fence an older one is refused and changes nothing, while the same and newer ones write."""
    guard, key = FenceGuard(redis, name), key_of(name)
    assert await guard.run(7, SET, [key], ["seven"]) == b"OK"
    assert await guard.run(7, SET, [key], ["seven again"]) == b"OK"
    with pytest.raises(LockLostError, match="fence 6 is older than 7"):
        await guard.run(6, SET, [key], ["six"])
    assert await text(redis, key) == "seven again"
    assert await guard.run(8, SET, [key], ["eight"]) == b"OK"
    assert await text(redis, key) == "eight"
    await redis.delete(key)


async def test_a_holder_that_was_overtaken_does_not_write(redis: Redis, name: str) -> None:
    """Who writes after its lease was taken by another is refused, as soon as that one has written."""
    lock, guard, key = Lock(redis, name, on_lost="flag"), FenceGuard(redis, name), key_of(name)
    first = await lock.acquire()
    await lock.force_release()
    async with lock as second:
        await guard.run(second.fence, SET, [key], ["second"])
        with pytest.raises(LockLostError):
            await guard.run(first.fence, SET, [key], ["first"])
    assert await text(redis, key) == "second"
    await redis.delete(key)


async def test_the_script_has_its_own_keys_and_arguments(redis: Redis, name: str) -> None:
    """The write sees none of the guard's keys and arguments, and its reply comes back as it is."""
    guard, keys = FenceGuard(redis, name), [f"{{{name}}}:{i}" for i in range(3)]
    script = "return {#KEYS, #ARGV, KEYS[1], ARGV[2]}"
    assert await guard.run(1, script, keys, ["a", b"\xff"]) == [3, 2, keys[0].encode(), b"\xff"]
    assert await guard.run(1, "return {#KEYS, #ARGV}") == [0, 0]


def test_a_database_is_guarded_by_a_condition() -> None:
    """The two statements of the guide change a row for a fence that is not older, and no row for one that is."""
    guide = Path(__file__).parents[2] / "docs" / "guide" / "locks.md"
    accounts, fences = re.findall(r"```sql\n(.*?)```", guide.read_text(), re.DOTALL)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE accounts (id INTEGER, balance INTEGER, fence INTEGER)")
    database.execute("CREATE TABLE fences (name TEXT, fence INTEGER)")
    database.execute("INSERT INTO accounts VALUES (42, 0, 0)")
    database.execute("INSERT INTO fences VALUES ('orders', 0)")
    for fence, changed in ((5, 1), (4, 0), (5, 1), (6, 1)):
        row = {"id": 42, "name": "orders", "balance": fence * 100, "fence": fence}
        assert [database.execute(statement, row).rowcount for statement in (accounts, fences)] == [changed] * 2
    assert database.execute("SELECT balance, fence FROM accounts").fetchall() == [(600, 6)]
    database.close()


async def test_writes_arriving_in_any_order_only_go_forward(pipelined: Redis, name: str) -> None:
    """Of many writes at once each that is executed has a fence no older than those executed before it."""
    guard, key, dice = FenceGuard(pipelined, name), key_of(name), random.Random(4)
    fences = [dice.randrange(1, 50) for _ in range(300)]
    append = "redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('PEXPIRE', KEYS[1], 60000)"
    tries = [guard.run(fence, append, [key], [fence]) for fence in fences]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    written = [int(value) for value in await pipelined.lrange(key, 0, -1)]
    assert written == sorted(written)
    assert written[-1] == max(fences)
    assert sum(isinstance(outcome, LockLostError) for outcome in outcomes) == 300 - len(written) > 0


async def test_the_newest_fence_is_remembered_for_its_ttl(pipelined: Redis, name: str) -> None:
    """The guard's one key has the expiry that was asked for, renewed by each write."""
    guard = FenceGuard(pipelined, name, ttl=100)
    await guard.run(1, "return 1")
    key = f"arp:{{{name}}}:guard"
    await pipelined.pexpire(key, 5)
    await guard.run(1, "return 1")
    assert 99_000 < await pipelined.pttl(key) <= 100_000


async def test_an_error_of_the_script_is_its_own(redis: Redis, name: str) -> None:
    """What the script raises comes through as Redis tells it, and SCRIPT FLUSH is not noticed."""
    guard = FenceGuard(redis, name)
    with pytest.raises(ResponseError, match="on purpose"):
        await guard.run(1, "return redis.error_reply('ERR on purpose')")
    await redis.script_flush()
    assert await guard.run(1, "return 5") == 5


async def test_a_lost_reply_writes_once(own_server: EmbeddedServer, name: str) -> None:
    """A write whose reply was lost is not sent again: its caller is told that the outcome is unknown."""
    async with (
        FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        guard, key = FenceGuard(redis, name), key_of(name)
        await guard.run(1, COUNT, [key], [1])
        proxy.add(Fault("cut_after", lambda command: command[0] == b"EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await guard.run(1, COUNT, [key], [1])
        assert await text(direct, key) == "2"


async def test_in_a_cluster_keys_stand_together(name: str) -> None:
    """A key in another slot than the guard's is refused before anything is sent, one with its hash tag is written."""
    async with embedded_cluster() as cluster, connect(cluster.url) as redis:
        guard = FenceGuard(redis, name)
        with pytest.raises(ValueError, match="hash tag"):
            await guard.run(1, SET, ["elsewhere"], ["x"])
        assert await guard.run(2, SET, [key_of(name)], ["x"]) == b"OK"
        with pytest.raises(LockLostError):
            await guard.run(1, SET, [key_of(name)], ["y"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, SET), ValueError),
        ((-1, SET), ValueError),
        ((2**53, SET), ValueError),
        ((True, SET), TypeError),
        (("1", SET), TypeError),
        ((1.0, SET), TypeError),
        ((1, b"return 1"), TypeError),
        ((1, SET, "key"), TypeError),
        ((1, SET, [7]), TypeError),
        ((1, SET, ["key"], "args"), TypeError),
        ((1, SET, ["key"], b"args"), TypeError),
    ],
)
async def test_nonsense_is_refused(
    pipelined: Redis, name: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    """Fences that no lock gives, and what is no script or no list of keys, are refused before anything is sent."""
    with pytest.raises(error):
        await FenceGuard(pipelined, name).run(*arguments)
    assert not await pipelined.exists(f"arp:{{{name}}}:guard")


async def test_nonsense_definitions_are_refused(pipelined: Redis) -> None:
    """Names and ttl are checked when the guard is made."""
    for name in ("", "x" * 513):
        with pytest.raises(ValueError, match="name"):
            FenceGuard(pipelined, name)
    with pytest.raises(TypeError):
        FenceGuard(pipelined, b"x")  # type: ignore[arg-type]
    for ttl in (0, -1, float("nan"), 10**12):
        with pytest.raises(ValueError, match="ttl"):
            FenceGuard(pipelined, "x", ttl=ttl)
