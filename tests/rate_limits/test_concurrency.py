"""So many at a time: slots, those who wait for them, and those who never come back."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import RateLimitExceededError
from aioredis_patterns.events import LimitDecided, ScriptCalled
from aioredis_patterns.rate_limits import ConcurrencyLimit, Slot
from tests.support.faults import Fault, FaultProxy
from tests.support.full import fill
from tests.support.processes import worker
from tests.support.waiting import eventually


async def inside(redis: Redis, limit: ConcurrencyLimit) -> int:
    return int(await redis.zcard(limit.keys(None)[0]))


async def queue(redis: Redis, limit: ConcurrencyLimit, count: int) -> list[asyncio.Task[Slot]]:
    """So many callers that wait, the first one first."""
    line = limit.keys(None)[1]
    tasks: list[asyncio.Task[Slot]] = []
    for number in range(await redis.zcard(line) + 1, await redis.zcard(line) + count + 1):
        tasks.append(asyncio.ensure_future(limit.slot().__aenter__()))

        async def waits(number: int = number) -> bool:
            return await redis.zcard(line) == number

        await eventually(waits)
    return tasks


async def test_no_more_are_inside_than_there_are_slots(redis: Redis, name: str) -> None:
    """Of many callers all get in, at no time more than the limit, each subject by itself."""
    limit = ConcurrencyLimit(redis, name, limit=3)
    now: dict[str, int] = {"a": 0, "b": 0}
    most = dict(now)

    async def work(subject: str) -> None:
        async with limit.slot(subject):
            now[subject] += 1
            most[subject] = max(most[subject], now[subject])
            await asyncio.sleep(0.002)
            now[subject] -= 1

    await asyncio.gather(*(work(subject) for subject in "ab" * 20))
    assert most == {"a": 3, "b": 3}


async def test_processes_share_the_slots(pipelined: Redis, url: str, name: str) -> None:
    """What is counted inside on the server itself never exceeds the limit, whoever comes from where."""
    crowd = "tests.rate_limits.workers:crowd"
    async with worker(crowd, url, name, 3) as one, worker(crowd, url, name, 3) as other:
        assert max(await one.line(), await other.line()) <= 3


async def test_who_waits_is_served_in_order(pipelined: Redis, name: str) -> None:
    """Slots go to those who wait longest, and a newcomer does not overtake them."""
    limit = ConcurrencyLimit(pipelined, name, limit=1)
    held = await limit.slot()
    tasks = await queue(pipelined, limit, 3)
    for task in tasks:
        assert await held.leave()
        with pytest.raises(RateLimitExceededError):
            await limit.slot(timeout=0)
        held = await asyncio.wait_for(task, 5)
        assert sum(other.done() for other in tasks) == tasks.index(task) + 1
    await held.leave()


async def test_a_waiter_is_woken(pipelined: Redis, name: str) -> None:
    """A slot that is left is taken by who waits at once, not when it next looks."""
    limit = ConcurrencyLimit(pipelined, name, limit=1)
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(5):
        held = await limit.slot()
        (task,) = await queue(pipelined, limit, 1)
        start = loop.time()
        await held.leave()
        await (await task).leave()
        waits.append(loop.time() - start)
    assert sorted(waits)[2] < 0.2


async def test_a_waiter_gives_up_after_its_timeout(pipelined: Redis, name: str) -> None:
    """Who has waited long enough is told, and stands in nobody's way."""
    limit = ConcurrencyLimit(pipelined, name, limit=1, lease=20)
    async with limit.slot():
        for timeout in (0, 0.05):
            with pytest.raises(RateLimitExceededError) as caught:
                await limit.slot(timeout=timeout)
            assert (caught.value.policy, 0 < caught.value.retry_after <= 20) == (name, True)
        assert not await pipelined.exists(*limit.keys(None)[1:])
    async with limit.slot(timeout=0):
        pass


async def test_a_cancelled_waiter_leaves_the_line(pipelined: Redis, name: str) -> None:
    """The place of a waiter that was cancelled goes to the next one, and no slot is lost."""
    limit = ConcurrencyLimit(pipelined, name, limit=1)
    held = await limit.slot()
    first, second = await queue(pipelined, limit, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await held.leave()
    assert await (await asyncio.wait_for(second, 5)).leave()
    assert await inside(pipelined, limit) == 0


async def test_a_slot_granted_to_who_is_gone_comes_back(server: EmbeddedServer, name: str) -> None:
    """A caller cancelled while the server gives it a slot leaves none behind."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = ConcurrencyLimit(redis, name, limit=1)
        await limit.peek()
        proxy.delay(0.05, 0.05)
        task = asyncio.ensure_future(limit.slot().__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.delay(0, 0)
        await asyncio.wait_for(limit.slot(), 5)


async def test_the_line_is_bounded(pipelined: Redis, name: str) -> None:
    """Beyond the backlog callers are refused at once."""
    limit = ConcurrencyLimit(pipelined, name, limit=1, backlog=2)
    held = await limit.slot()
    tasks = await queue(pipelined, limit, 2)
    with pytest.raises(RateLimitExceededError):
        await asyncio.wait_for(limit.slot(), 5)
    await held.leave()
    for task in tasks:
        await (await task).leave()


async def test_a_slot_is_renewed(pipelined: Redis, name: str) -> None:
    """Who stays inside for longer than a lease keeps the slot, and a handle that was dropped does not."""
    limit = ConcurrencyLimit(pipelined, name, limit=1, lease=0.3)
    slot = await limit.slot()
    slots, token = limit.keys(None)[0], slot.token
    ends = await pipelined.zscore(slots, token)

    async def renewed_twice() -> bool:
        return await pipelined.zscore(slots, token) > ends + 300_000

    await eventually(renewed_twice)
    assert not slot.lost
    del slot
    gc.collect()
    await asyncio.wait_for(limit.slot(), 5)


async def test_the_slot_of_a_dead_process_is_free_after_its_lease(pipelined: Redis, url: str, name: str) -> None:
    """A process that was killed inside holds its slot no longer than its lease."""
    limit = ConcurrencyLimit(pipelined, name, limit=1, lease=0.5)
    async with worker("tests.rate_limits.workers:stay", url, name, 0.5) as process:
        await process.line()
        assert not await limit.peek()
        process.kill()
        async with limit.slot(timeout=5):
            assert await inside(pipelined, limit) == 1


async def test_a_slot_that_was_taken_away_is_lost(pipelined: Redis, name: str) -> None:
    """After a reset the holder is told by `lost`, and gives back nothing that is not its own."""
    limit = ConcurrencyLimit(pipelined, name, limit=1, lease=0.1)
    slot = await limit.slot()
    await limit.reset()
    async with limit.slot():
        await eventually(lambda: slot.lost)
        assert not await slot.leave()
        assert await inside(pipelined, limit) == 1


async def test_peek_says_what_a_slot_would_cost(pipelined: Redis, name: str) -> None:
    """It tells how many are free and how long the leases last, takes nothing and writes nothing."""
    limit = ConcurrencyLimit(pipelined, name, limit=2, lease=10)
    free = await limit.peek()
    assert (free.allowed, free.limit, free.remaining, free.retry_after, free.policy) == (True, 2, 2, 0, name)
    assert not await pipelined.exists(*limit.keys(None))
    async with limit.slot(), limit.slot():
        full = await limit.peek()
        assert (full.allowed, full.remaining) == (False, 0)
        assert 0 < full.retry_after <= full.reset_after <= 10


async def test_behind_a_dead_waiter_nobody_asks_in_haste(url: str, name: str) -> None:
    """While a free slot is kept for a waiter that died, the others are told when it falls silent, and ask then."""
    calls: list[Any] = []
    async with connect(url, on_event=calls.append) as redis:
        limit = ConcurrencyLimit(redis, name, limit=1)
        _, line, heard = limit.keys(None)
        seconds, us = await redis.time()
        now = seconds * 1_000_000 + us
        await redis.zadd(line, {"dead inbox": now})
        await redis.zadd(heard, {"dead inbox": now + 600_000})
        assert 0 < (await limit.peek()).retry_after <= 0.6
        with pytest.raises(RateLimitExceededError) as caught:
            await limit.slot(timeout=0)
        assert 0 < caught.value.retry_after <= 0.6
        calls.clear()
        async with limit.slot():
            assert sum(isinstance(call, ScriptCalled) and call.script == "concurrency_enter" for call in calls) <= 8


async def test_a_new_limit_leaves_who_is_inside(pipelined: Redis, name: str) -> None:
    """A smaller limit lets nobody in until enough have left, and nothing is ever negative."""
    larger, smaller = ConcurrencyLimit(pipelined, name, limit=3), ConcurrencyLimit(pipelined, name, limit=1)
    slots = [await larger.slot() for _ in range(3)]
    for slot in slots:
        assert (await smaller.peek()).remaining == 0
        with pytest.raises(RateLimitExceededError):
            await smaller.slot(timeout=0)
        await slot.leave()
    assert (await smaller.peek()).remaining == 1


async def test_all_are_free_when_the_last_lease_ends(pipelined: Redis, name: str) -> None:
    """Also where more are inside than a smaller limit allows, `reset_after` is the end of the last of their leases."""
    for lease in (10, 20, 30):
        await ConcurrencyLimit(pipelined, name, limit=3, lease=lease).slot()
    assert 29 < (await ConcurrencyLimit(pipelined, name, limit=1).peek()).reset_after <= 30


async def test_every_key_expires(pipelined: Redis, name: str) -> None:
    """Slots live as long as their leases, the line while somebody in it is alive."""
    limit = ConcurrencyLimit(pipelined, name, limit=1, lease=10)
    held = await limit.slot()
    (task,) = await queue(pipelined, limit, 1)
    for key, most in zip(limit.keys(None), (10_000, 5000, 5000), strict=True):
        assert 0 < await pipelined.pttl(key) <= most
    await held.leave()
    await (await task).leave()
    assert not await pipelined.exists(*limit.keys(None))


@pytest.mark.parametrize("cut", ["cut_before", "cut_after"])
async def test_a_lost_reply_costs_no_slot(server: EmbeddedServer, name: str, cut: Any) -> None:
    """The same question is asked again for the same slot, so one is taken, and given back once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = ConcurrencyLimit(redis, name, limit=2)
        await limit.peek()
        proxy.add(Fault(cut, "EVALSHA"))
        slot = await limit.slot()
        assert (await limit.peek()).remaining == 1
        proxy.add(Fault(cut, "EVALSHA"))
        await slot.leave()
        assert (await limit.peek()).remaining == 2


async def test_an_error_inside_goes_out(pipelined: Redis, name: str) -> None:
    """The exception of the block is what its caller sees, and the slot is free."""
    limit = ConcurrencyLimit(pipelined, name, limit=1)
    with pytest.raises(KeyError):
        async with limit.slot():
            raise KeyError
    assert (await limit.peek()).remaining == 1


async def test_a_slot_is_entered_once(pipelined: Redis, name: str) -> None:
    """A handle stands for one stay inside."""
    slot = ConcurrencyLimit(pipelined, name, limit=1).slot()
    async with slot:
        with pytest.raises(RuntimeError, match="once"):
            await slot


async def test_a_hook_is_told(pipelined: Redis, name: str) -> None:
    """Who gets in counts as allowed, who does not as denied."""
    told: list[LimitDecided] = []
    limit = ConcurrencyLimit(pipelined, name, limit=1, on_event=told.append)
    async with limit.slot():
        for timeout in (0, 0.02):
            with pytest.raises(RateLimitExceededError):
                await limit.slot(timeout=timeout)
    assert [event.outcome for event in told] == ["allowed", "denied", "denied"]


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": 2**53 + 1}, {"limit": 1, "lease": 0}, {"limit": 1, "backlog": -1}]
)
def test_what_makes_no_sense_is_refused(name: str, options: dict[str, Any]) -> None:
    """A limit of none or beyond 2**53, a lease of no time and a line of less than none are refused when it is made."""
    with pytest.raises(ValueError, match="must be"):
        ConcurrencyLimit(connect("redis://localhost:1"), name, **options)


async def test_a_full_server_renews_slots(own_server: EmbeddedServer, name: str) -> None:
    """When Redis is out of memory whoever is inside stays inside, for many times the lease."""
    async with connect(own_server.url) as redis:
        limit = ConcurrencyLimit(redis, name, limit=1, lease=0.5)
        async with limit.slot() as slot:
            await fill(redis)
            begun = asyncio.get_running_loop().time()
            await eventually(lambda: asyncio.get_running_loop().time() - begun > 1.6)
            assert not slot.lost
            assert (await limit.peek()).remaining == 0
