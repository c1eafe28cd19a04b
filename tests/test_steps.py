"""Steps: whatever a call is doing when it is cancelled, or its client is closed, nothing of it is left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns import (
    Cache,
    ConcurrencyLimit,
    ConsumerGroup,
    EventLog,
    FairLock,
    FeatureFlags,
    Lock,
    MultiLock,
    PriorityQueue,
    Queue,
    ReadWriteLock,
    Redlock,
    ReentrantLock,
    Semaphore,
    Stack,
    Worker,
    WriteBehind,
)
from aioredis_patterns.client import connect, link
from tests.lab.fuzz import some_inputs
from tests.lab.round_trips import ROUND_TRIPS
from tests.support.waiting import eventually

STEPS = 12
"""Turns of the event loop, in which a server that is near has answered."""

Taking = Callable[[Any, str], Awaitable[Any]]

TAKING: dict[str, Taking] = {
    "ConcurrencyLimit": lambda redis, name: ConcurrencyLimit(redis, name, limit=1, lease=60).slot(timeout=0)._enter(),
    "ConsumerGroup": lambda redis, name: ConsumerGroup(EventLog(redis, name), "all", visibility=60).claim("one", 0),
    "FairLock": lambda redis, name: FairLock(redis, name, lease=60).try_acquire(),
    "Lock": lambda redis, name: Lock(redis, name, lease=60).try_acquire(),
    "MultiLock": lambda redis, name: MultiLock(redis, [name, f"{name}2nd"], lease=60).try_acquire(),
    "PriorityQueue": lambda redis, name: PriorityQueue(redis, name, visibility=60).claim(0),
    "Queue": lambda redis, name: Queue(redis, name, visibility=60).claim(0),
    "ReadWriteLock": lambda redis, name: ReadWriteLock(redis, name, lease=60).write().try_acquire(),
    "Redlock": lambda redis, name: Redlock([redis], name, lease=60).try_acquire(),
    "ReentrantLock": lambda redis, name: ReentrantLock(redis, name, lease=60).try_acquire(),
    "Semaphore": lambda redis, name: Semaphore(redis, name, permits=1, lease=60).try_acquire(),
    "Stack": lambda redis, name: Stack(redis, name).pop(timeout=5),
}
"""What one at a time may have; the answer is None, or an error, when another has it."""

PUTTING: dict[str, Taking] = {
    "ConsumerGroup": lambda redis, name: EventLog[str](redis, name).append("one"),
    "PriorityQueue": lambda redis, name: PriorityQueue(redis, name).put("one"),
    "Queue": lambda redis, name: Queue(redis, name).put("one"),
    "Stack": lambda redis, name: Stack[str](redis, name).push("one"),
}


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", TAKING)
async def test_who_is_cancelled_and_closes_its_client_leaves_nothing_taken(
    pipelined: Redis, url: str, name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a caller was granted whom a cancellation kept from having it is free before its client is closed."""
    monkeypatch.setattr(link, "_FINISHING", 60.0)  # the machine may be busy
    for count in range(1, STEPS):
        place = f"{name}:{count}"
        async with connect(url) as redis:
            await asyncio.gather(redis.ping(), Lock(redis, f"{place}:warm").try_acquire())
            if what in PUTTING:
                await PUTTING[what](pipelined, place)
            taking = asyncio.create_task(taken_or_closed(redis, place, what))
            await steps(count)
            taking.cancel()
            if not await taking:
                async with asyncio.timeout(10):
                    assert await TAKING[what](pipelined, place) is not None, count


async def taken_or_closed(redis: Redis, name: str, what: str) -> bool:
    """Whether it was taken; else the client is closed."""
    try:
        await TAKING[what](redis, name)
    except asyncio.CancelledError:
        await redis.aclose()
        return False
    return True


CALLS: dict[str, Taking] = TAKING | {
    "FeatureFlags": lambda redis, name: FeatureFlags(redis, "flags of all").enabled("new-ui", name),
    "Lock.acquire": lambda redis, name: Lock(redis, name, lease=60).acquire(timeout=5),
    "PING": lambda redis, name: redis.ping(),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # so Python says of what was not to begin
@pytest.mark.parametrize("what", CALLS)
async def test_a_client_whose_every_task_was_cancelled_works(pipelined: Redis, url: str, name: str, what: str) -> None:
    """At the end of a program its event loop cancels every task, and who tidies up then still has a connection."""
    for count in range(STEPS):
        place = f"{name}:{count}"
        if what in PUTTING:
            await PUTTING[what](pipelined, place)
        async with connect(url) as redis:
            before = asyncio.all_tasks()
            asyncio.create_task(CALLS[what](redis, f"{place}:first"))  # noqa: RUF006
            await steps(count)
            for task in asyncio.all_tasks() - before:
                task.cancel()
            async with asyncio.timeout(10):
                assert await CALLS[what](redis, place) is not None
                while left := asyncio.all_tasks() - before:
                    await asyncio.wait(left)


@pytest.mark.parametrize("count", range(4))
async def test_an_acknowledgement_that_is_cancelled_holds_up_no_other(pipelined: Redis, name: str, count: int) -> None:
    """Whatever became of the task that sends acknowledgements together, the next one is sent."""
    queue = Queue[str](pipelined, name)
    await asyncio.gather(queue.put("one"), queue.put("two"))
    one, two = await queue.claim_many(2, 5)
    before = asyncio.all_tasks()
    acknowledging = asyncio.create_task(one.ack())
    await steps(count)
    for task in asyncio.all_tasks() - before - {acknowledging}:
        task.cancel()
    async with asyncio.timeout(10):
        assert await two.ack()
        await asyncio.gather(acknowledging, return_exceptions=True)


@pytest.fixture
async def eager() -> AsyncIterator[None]:
    """Tasks begin at once, where Python can do that."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    yield
    loop.set_task_factory(None)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("what", ROUND_TRIPS)
async def test_every_pattern_works_where_tasks_begin_at_once(pipelined: Redis, name: str, what: str) -> None:
    """With eager tasks no pattern begins something before it has noted what that needs."""
    async with asyncio.timeout(20):
        await round_trip(pipelined, name, what)


@pytest.mark.usefixtures("eager")
async def test_acknowledgements_are_sent_where_tasks_begin_at_once(pipelined: Redis, name: str) -> None:
    """With eager tasks too, those of one turn are sent together, each with its token."""
    queue = Queue[str](pipelined, name)
    await asyncio.gather(queue.put("one"), queue.put("two"))
    deliveries = await queue.claim_many(2, 5)
    assert await asyncio.gather(*(delivery.ack() for delivery in deliveries)) == [True, True]


def test_what_is_made_once_works_on_one_event_loop_after_the_other(url: str, name: str) -> None:
    """A worker, and what writes later, belong to no event loop: each `asyncio.run` of a program may use them."""
    redis, done = connect(url), list[int]()
    queue, store = Queue[int](redis, name), dict[str, int]()
    worker = Worker(queue, lambda number: note(done, number), concurrency=1)
    users = WriteBehind(Cache(redis, name, ttl=60), store.update, delay=0)

    async def work(turn: int) -> None:
        async with worker:
            await asyncio.gather(queue.put(turn), queue.put(turn), users.set(f"{turn}", turn))
            await eventually(lambda: done.count(turn) == 2 and f"{turn}" in store)
        await users.set(f"{turn}", -turn)
        await users.aclose()
        await redis.aclose()

    for turn in (1, 2, 3):
        asyncio.run(work(turn))
    assert store == {"1": -1, "2": -2, "3": -3}


async def note(done: list[int], number: int) -> None:
    await asyncio.sleep(0.01)
    done.append(number)


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("what", ROUND_TRIPS)
async def test_a_pattern_that_is_broken_off_works_again(url: str, name: str, what: str, close: bool) -> None:
    """At whatever step a call is cancelled, or its client closed, the next one is served, and no task is left."""
    before = asyncio.all_tasks()
    for count in range(0, 2 * STEPS, 4):
        async with connect(url) as redis, asyncio.timeout(10):
            broken = asyncio.create_task(round_trip(redis, f"{name}:{count}", what))
            await steps(count)
            if close:
                await redis.aclose()
            else:
                broken.cancel()
            await asyncio.gather(broken, return_exceptions=True)
            await round_trip(redis, f"{name}:{count}:again", what)
    if what != "WriteBehind":  # it works on until it is closed
        await eventually(lambda: not asyncio.all_tasks() - before)


async def round_trip(redis: Redis, name: str, what: str) -> None:
    probe = ROUND_TRIPS[what]
    (given,) = some_inputs(probe, 1, random.Random(1))
    async for _ in probe(redis, **given | {"name": name}):
        await asyncio.sleep(0)
