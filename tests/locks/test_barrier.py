"""The barrier: all pass together or nobody does, again and again, whoever is late, dies or gives up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import BarrierBrokenError, LockTimeoutError
from aioredis_patterns.locks import Barrier
from tests.locks.ghosts import SECOND, server_us, times_in
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.processes import worker
from tests.support.waiting import eventually, lag_of_the_loop


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Every test ends with the tasks that it began with."""
    before = asyncio.all_tasks()
    yield
    await eventually(lambda: not [t for t in asyncio.all_tasks() - before - {asyncio.current_task()} if not t.done()])


def is_evalsha(command: Command) -> bool:
    return command[0].upper() in (b"EVALSHA", b"EVAL")


async def waiting(barrier: Barrier, parties: int) -> None:
    """Wait until so many parties wait there."""

    async def enough() -> bool:
        return (await barrier.state()).waiting == parties

    await eventually(enough)


async def test_all_pass_together(redis: Redis, name: str) -> None:
    """Nobody passes before the last has come, and each has an index of its own, by arrival."""
    barrier = Barrier(redis, name, parties=4)
    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(barrier.wait()))
        await waiting(barrier, number + 1)
    assert not any(task.done() for task in tasks)
    assert await barrier.wait() == 3
    assert await asyncio.gather(*tasks) == [0, 1, 2]


async def test_it_is_passed_again_and_again(url: str, name: str) -> None:
    """Clients that go round and round never get a generation ahead of one another, and one of each is the first."""
    rounds, firsts = [0, 0, 0], 0

    async def work(number: int) -> None:
        nonlocal firsts
        async with connect(url) as redis:
            barrier = Barrier(redis, name, parties=3)
            for turn in range(30):
                rounds[number] = turn
                index = await barrier.wait()
                firsts += index == 0
                assert min(rounds) >= turn

    await asyncio.gather(*[work(number) for number in range(3)])
    assert firsts == 30


async def test_the_last_party_may_lose_its_answer(own_server: EmbeddedServer, name: str) -> None:
    """The party that lets all pass is told so when it asks again, and does not stand in the next generation."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        first = asyncio.create_task(Barrier(direct, name, parties=2).wait())
        await waiting(Barrier(direct, name, parties=2), 1)
        proxy.add(Fault("cut_after", is_evalsha))
        assert await Barrier(redis, name, parties=2).wait(timeout=5) == 1
        assert proxy.struck.total() == 1
        assert await first == 0


async def test_it_is_remembered_as_long_as_was_said(pipelined: Redis, name: str) -> None:
    """Who waits, who has passed and why it is broken are known for the ttl, and an index for a lease."""
    barrier, keys = Barrier(pipelined, name, parties=2, lease=3600, ttl=7200), f"arp:{{{name}}}:"

    async def lives(*parts: str) -> list[int]:
        return [round(await pipelined.pttl(keys + part), -4) for part in parts]

    async with times_in(pipelined, 3600) as times:
        party = asyncio.create_task(barrier.wait())
        await waiting(barrier, 1)
        times += [ends for _, ends in await pipelined.zrange(f"{keys}alive", 0, -1, withscores=True)]
    assert await lives("here", "alive") == [7200_000] * 2
    assert await barrier.wait() == 1
    assert await party == 0
    assert await lives("barrier") == [7200_000]
    assert 3600_000 < await pipelined.pttl(f"{keys}past") <= 3601_000
    await pipelined.pexpire(f"{keys}barrier", 1000)
    party = asyncio.create_task(barrier.wait())
    await waiting(barrier, 1)
    assert await lives("barrier") == [7200_000]
    await pipelined.pexpire(f"{keys}barrier", 1000)
    await barrier.abort()
    assert await lives("barrier") == [7200_000]
    assert (await barrier.state()).waiting == 0
    with pytest.raises(BarrierBrokenError):
        await party
    assert await Barrier(pipelined, f"{name}:short", parties=1, lease=1).wait() == 0
    assert 10_000 < await pipelined.pttl(f"arp:{{{name}:short}}:past") <= 11_000


async def test_who_waits_looks_when_another_may_have_died(pipelined: Redis, name: str) -> None:
    """A party whose sign of life runs out is missed in that moment, not when somebody looks by chance."""
    barrier, keys = Barrier(pipelined, name, parties=3, lease=60), f"arp:{{{name}}}:"
    async with lag_of_the_loop() as lag:
        ends = await server_us(pipelined) + SECOND // 5
        await pipelined.zadd(f"{keys}here", {"ghost": 1})
        await pipelined.zadd(f"{keys}alive", {"ghost": ends})
        with pytest.raises(BarrierBrokenError, match="died"):
            await barrier.wait()
        assert await server_us(pipelined) - ends < (0.2 + 2 * lag.worst) * SECOND


async def test_more_parties_than_pass_at_once(pipelined: Redis, name: str) -> None:
    """Twice as many parties are two generations, each with every index once."""
    barrier = Barrier(pipelined, name, parties=5)
    indexes = await asyncio.gather(*[barrier.wait() for _ in range(10)])
    assert sorted(indexes) == sorted([*range(5)] * 2)
    assert (await barrier.state()).passed == 2


async def test_a_timeout_breaks_it_for_all(pipelined: Redis, url: str, name: str) -> None:
    """Who runs out of time is told so, all others at once that it is broken, and so is who comes, until a reset."""
    barrier = Barrier(pipelined, name, parties=3)
    async with connect(url) as other:
        patient = asyncio.create_task(Barrier(other, name, parties=3).wait())
        await waiting(barrier, 1)
        started = asyncio.get_running_loop().time()
        with pytest.raises(LockTimeoutError, match=r"barrier .* was not passed within 0.2 s"):
            await barrier.wait(timeout=0.2)
        with pytest.raises(BarrierBrokenError, match="timed out"):
            await patient
        assert 0.2 <= asyncio.get_running_loop().time() - started < 0.5
    with pytest.raises(BarrierBrokenError, match="timed out"):
        await barrier.wait()
    assert (await barrier.state()).broken == "a party timed out"
    await barrier.reset()
    assert (await barrier.state()).broken is None
    assert sorted(await asyncio.gather(*[barrier.wait() for _ in range(3)])) == [0, 1, 2]


async def test_no_time_is_enough_for_the_last(pipelined: Redis, name: str) -> None:
    """With a timeout of 0 the last party passes; any other breaks the barrier."""
    barrier = Barrier(pipelined, name, parties=2)
    first = asyncio.create_task(barrier.wait())
    await waiting(barrier, 1)
    assert await barrier.wait(timeout=0) == 1
    assert await first == 0
    with pytest.raises(LockTimeoutError):
        await barrier.wait(timeout=0)


async def test_a_dead_party_breaks_it(url: str, pipelined: Redis, name: str) -> None:
    """After kill -9 of a party that waits the others are told when its lease has run out."""
    barrier = Barrier(pipelined, name, parties=3, lease=0.5)
    async with worker("tests.locks.workers:wait_at_barrier", url, name, 3, 0.5, 1) as process:
        await waiting(barrier, 1)
        alive = asyncio.create_task(barrier.wait())
        await waiting(barrier, 2)
        process.kill()
        started = asyncio.get_running_loop().time()
        with pytest.raises(BarrierBrokenError, match="died"):
            await alive
        assert asyncio.get_running_loop().time() - started < 1


async def test_who_comes_after_a_death_is_told(url: str, pipelined: Redis, name: str) -> None:
    """A party that died alone at the barrier breaks it for who comes long after its lease."""
    barrier = Barrier(pipelined, name, parties=2, lease=0.2)
    async with worker("tests.locks.workers:wait_at_barrier", url, name, 2, 0.2, 1) as process:
        await waiting(barrier, 1)
        process.kill()
        await process.wait()
        ends = (await pipelined.zrange(f"arp:{{{name}}}:alive", 0, 0, withscores=True))[0][1]

        async def over() -> bool:
            seconds, micros = await pipelined.time()
            return seconds * 1_000_000 + micros > ends

        await eventually(over)
        with pytest.raises(BarrierBrokenError, match="died"):
            await barrier.wait(timeout=5)


async def test_a_frozen_party_is_told(url: str, pipelined: Redis, name: str) -> None:
    """A party that was stopped beyond its lease finds, when it goes on, that it has broken the barrier."""
    barrier = Barrier(pipelined, name, parties=3, lease=0.3)
    async with worker("tests.locks.workers:wait_at_barrier", url, name, 3, 0.3, 1) as process:
        await waiting(barrier, 1)
        process.pause()
        with pytest.raises(BarrierBrokenError, match="died"):
            await barrier.wait(timeout=5)
        process.resume()
        assert "a party died" in await process.line()


async def test_processes_pass_together(url: str, name: str) -> None:
    """Processes pass many times, and in every generation each index is there once."""
    async with contextlib.AsyncExitStack() as stack:
        target = "tests.locks.workers:wait_at_barrier"
        processes = [await stack.enter_async_context(worker(target, url, name, 3, 10, 50)) for _ in range(3)]
        said = [[await process.line() for _ in range(50)] for process in processes]
    assert all(sorted(indexes) == [0, 1, 2] for indexes in zip(*said, strict=True))


async def test_a_cancelled_party_was_never_there(pipelined: Redis, name: str) -> None:
    """A party that is cancelled at any step leaves the barrier whole, and no key, subscription or task."""
    barrier = Barrier(pipelined, name, parties=2)
    for turns in range(12):
        party = asyncio.create_task(barrier.wait())
        for _ in range(turns):
            await asyncio.sleep(0)
        party.cancel()
        await asyncio.wait([party])
        assert party.cancelled()
    await waiting(barrier, 0)
    assert await pipelined.keys(f"arp:{{{name}}}:*") == []
    assert not link_of(pipelined).subscriptions.listened_to
    assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]


async def test_who_is_cancelled_when_its_time_is_over_breaks_it(own_server: EmbeddedServer, name: str) -> None:
    """A party that is cancelled while it tells of its timeout is not waited for until its lease has run out."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        barrier = Barrier(redis, name, parties=2, lease=60)
        party = asyncio.create_task(barrier.wait(timeout=0.3))
        await waiting(Barrier(direct, name, parties=2), 1)
        proxy.refuse()
        await proxy.cut_all()
        await asyncio.sleep(0.4)  # its time is over, and nobody can be told
        party.cancel()
        proxy.heal()
        await asyncio.wait([party])
        assert party.cancelled()
        assert (await Barrier(direct, name, parties=2).state()).broken == "a party timed out"


async def test_abort_breaks_it(pipelined: Redis, name: str) -> None:
    """Whoever aborts it, all who wait and who come are told, until a reset."""
    barrier = Barrier(pipelined, name, parties=2)
    party = asyncio.create_task(barrier.wait())
    await waiting(barrier, 1)
    await barrier.abort()
    for late in (party, barrier.wait()):
        with pytest.raises(BarrierBrokenError, match="aborted"):
            await late


async def test_reset_sends_away_who_waits(pipelined: Redis, name: str) -> None:
    """A reset breaks it for those who wait, and leaves it whole for who comes."""
    barrier = Barrier(pipelined, name, parties=2)
    party = asyncio.create_task(barrier.wait())
    await waiting(barrier, 1)
    await barrier.reset()
    with pytest.raises(BarrierBrokenError, match="reset"):
        await party
    assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]


@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "half_reply"])
async def test_lost_replies_do_not_count_twice(own_server: EmbeddedServer, name: str, fault: Any) -> None:
    """With a tenth of the requests or replies lost nobody counts twice, and all pass every generation together."""
    rounds = [0, 0, 0]
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(own_server.host, own_server.port, seed=4))
        proxy.add(Fault(fault, is_evalsha, times=None, probability=0.05))

        async def work(number: int) -> None:
            async with connect(proxy.url) as redis:
                barrier = Barrier(redis, name, parties=3)
                for turn in range(20):
                    rounds[number] = turn
                    await barrier.wait()
                    assert min(rounds) >= turn

        async with asyncio.timeout(30):
            await asyncio.gather(*[work(number) for number in range(3)])
        assert proxy.struck.total() > 3


async def test_parties_that_come_and_go_leave_it_whole(pipelined: Redis, name: str) -> None:
    """Among parties that are cancelled at random all others pass, three at a time."""
    dice, barrier = random.Random(9), Barrier(pipelined, name, parties=3)
    passed: list[int] = []

    async def use() -> None:
        passed.append(await barrier.wait())

    for _ in range(20):
        fickle = [asyncio.create_task(use()) for _ in range(2)]
        await asyncio.sleep(dice.random() * 0.003)
        for task in fickle:
            task.cancel()
        await asyncio.wait(fickle)
    await waiting(barrier, 0)
    assert passed == []
    assert (await barrier.state()).broken is None
    assert sorted(await asyncio.gather(*[barrier.wait() for _ in range(3)])) == [0, 1, 2]


@pytest.mark.parametrize("parties", [0, -1, True, 1.0, 10_001, "2", None])
def test_parties_that_make_no_sense_are_refused(parties: Any) -> None:
    """A number of parties that is none is refused when the barrier is made, before there is a connection."""
    with pytest.raises((ValueError, TypeError), match="parties must be"):
        Barrier(Redis(port=1), "name", parties=parties)


@pytest.mark.parametrize(
    "option", [{"lease": 0}, {"lease": float("nan")}, {"lease": 10**12}, {"ttl": 0}, {"timeout": -1}, {"prefix": ""}]
)
def test_an_option_that_makes_no_sense_is_refused(option: dict[str, Any]) -> None:
    """An option that makes no sense is refused when the barrier is made."""
    with pytest.raises((ValueError, TypeError)):
        Barrier(Redis(port=1), "name", parties=2, **option)


@pytest.mark.parametrize("odd", ["a{b}c", "}", "nul\0", "line\r\nfeed", "*", "\u00e9"])
async def test_odd_names_work(pipelined: Redis, name: str, odd: str) -> None:
    """A name of any characters is a barrier of its own."""
    barrier = Barrier(pipelined, name + odd, parties=2)
    assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]
    assert (await Barrier(pipelined, name, parties=2).state()).passed == 0
