"""The semaphore's own promises: its permits, their leases, its size, its order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns._core.keys import Keys
from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import LockError, LockLostError, LockTimeoutError
from aioredis_patterns.events import LockAcquired, LockReleased, LockTimedOut
from aioredis_patterns.locks import Lease, Semaphore
from aioredis_patterns.locks._waiting import Waiting
from tests.locks.ghosts import SECOND, overheard, server_us, times_in
from tests.support.processes import worker
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Every test ends with the tasks that it began with."""
    before = asyncio.all_tasks()
    yield
    await eventually(lambda: not [t for t in asyncio.all_tasks() - before - {asyncio.current_task()} if not t.done()])


async def parts(redis: Redis, name: str) -> set[str]:
    """The parts of a semaphore that exist on the server, the fence counter apart."""
    found = [key async for key in redis.scan_iter(match=f"arp:{{{name}}}:*")]
    return {(key if isinstance(key, str) else key.decode()).rsplit(":", 1)[1] for key in found} - {"fence"}


async def nothing_is_left(redis: Redis, name: str) -> None:
    """Wait until nothing of a semaphore is left, on the server or in the client."""

    async def clean() -> bool:
        return not await parts(redis, name) and not len(link_of(redis).companion(Waiting))

    await eventually(clean)


async def waiting(redis: Redis, name: str, places: int = 1) -> None:
    """Wait until so many places in the line are known to the server."""

    async def enough() -> bool:
        return int(await redis.zcard(Keys(name).key("line"))) >= places

    await eventually(enough)


async def test_no_more_permits_are_out_than_there_are(redis: Redis, name: str) -> None:
    """Many tasks use all the permits at once, never more, and every task gets its turn."""
    semaphore, inside, most, fences = Semaphore(redis, name, permits=3), 0, 0, []

    async def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            async with semaphore as lease:
                fences.append(lease.fence)
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1

    await asyncio.gather(*[work() for _ in range(20)])
    assert (most, len(set(fences))) == (3, 100)
    await nothing_is_left(redis, name)


async def test_several_permits_are_one_lease(pipelined: Redis, name: str) -> None:
    """Several permits are taken together or not at all, and come back together."""
    semaphore = Semaphore(pipelined, name, permits=5)
    lease = await semaphore.acquire(count=3)
    assert await semaphore.available() == 2
    assert await semaphore.try_acquire(count=3) is None
    assert await semaphore.available() == 2
    assert await lease.release()
    assert await semaphore.available() == 5


async def test_a_release_counts_once(pipelined: Redis, name: str) -> None:
    """A second release is False and brings no permit that another holds."""
    semaphore = Semaphore(pipelined, name, permits=2)
    first, second = await semaphore.acquire(), await semaphore.acquire()
    assert await first.release() is True
    assert await first.release() is False
    assert await semaphore.available() == 1
    assert await second.release()


async def test_permits_are_renewed(pipelined: Redis, name: str) -> None:
    """Permits outlive their lease many times while they are held, and expire together when they are not renewed."""
    semaphore = Semaphore(pipelined, name, permits=5, lease=0.6)
    kept = await semaphore.acquire(count=2)
    dropped = await Semaphore(pipelined, name, permits=5, lease=0.15, renew=False).acquire(count=3)
    await eventually(lambda: dropped.lost and kept.held_for > 2)
    assert await semaphore.available() == 3
    assert not kept.lost
    assert await dropped.release() is False
    assert await kept.release()


async def test_an_expired_permit_is_not_extended(pipelined: Redis, name: str) -> None:
    """A lease whose permit was taken away is lost at its next renewal, and takes no other."""
    semaphore = Semaphore(pipelined, name, permits=1)
    lease = await semaphore.acquire()
    await pipelined.delete(f"arp:{{{name}}}:permits")
    with pytest.raises(LockLostError):
        await lease.extend()
    assert lease.lost
    assert await semaphore.available() == 1


async def test_a_permit_whose_time_is_over_is_not_renewed(pipelined: Redis, name: str) -> None:
    """A holder that comes too late has lost its permits, also when nobody has looked since."""
    lease = await Semaphore(pipelined, name, lease=60).acquire(count=2)
    late = dict.fromkeys([f"{lease.token}:1", f"{lease.token}:2"], await server_us(pipelined))
    await pipelined.zadd(f"arp:{{{name}}}:permits", late)
    with pytest.raises(LockLostError):
        await lease.extend()


async def test_permits_live_as_long_as_was_said(pipelined: Redis, name: str) -> None:
    """Each permit of a hold ends when its lease has passed on the server's clock."""
    async with times_in(pipelined, 3600) as times:
        lease = await Semaphore(pipelined, name, lease=3600).acquire(count=3)
        times += [ends for _, ends in await pipelined.zrange(f"arp:{{{name}}}:permits", 0, -1, withscores=True)]
        assert len(times) == 3
    assert 3590_000 < await pipelined.pttl(f"arp:{{{name}}}:permits") <= 3600_000
    assert await lease.release()


async def test_a_killed_holder_gives_its_permits_back_with_its_lease(url: str, pipelined: Redis, name: str) -> None:
    """After kill -9 of a process that held all permits others have them when its lease has run out."""
    async with worker("tests.locks.workers:hold_permits", url, name, 3, 0.5) as process:
        await process.line()
        semaphore = Semaphore(pipelined, name, permits=3)
        assert await semaphore.available() == 0
        process.kill()
        async with asyncio.timeout(2):
            lease = await semaphore.acquire(count=3)
    assert await lease.release()
    await nothing_is_left(pipelined, name)


async def test_a_frozen_holder_takes_nothing_back(url: str, pipelined: Redis, name: str) -> None:
    """A holder that was stopped beyond its lease is told when it goes on, and its permits stay with the next holder."""
    async with worker("tests.locks.workers:hold_permits", url, name, 3, 0.3) as process:
        await process.line()
        process.pause()
        semaphore = Semaphore(pipelined, name, permits=3)
        lease = await semaphore.acquire(count=3, timeout=5)
        process.resume()
        assert (await process.line())[0] == "lost"
        assert await semaphore.available() == 0
        assert await lease.release()


async def test_a_release_wakes_who_fits(url: str, name: str) -> None:
    """A release wakes a waiter of another client at once, one who wants few though one who wants many waits longer."""
    async with connect(url) as one, connect(url) as two, connect(url) as three:
        held = [await Semaphore(one, name, permits=2).acquire() for _ in range(2)]
        many = asyncio.create_task(Semaphore(two, name, permits=2).acquire(count=2))
        await waiting(one, name)
        few = asyncio.create_task(Semaphore(three, name, permits=2).acquire())
        await waiting(one, name, 2)
        started = asyncio.get_running_loop().time()
        await held[0].release()
        lease = await few
        assert asyncio.get_running_loop().time() - started < 0.4
        assert not many.done()
        await held[1].release()
        await lease.release()
        async with asyncio.timeout(0.4):
            assert await (await many).release()


async def test_one_release_wakes_several_clients(url: str, name: str) -> None:
    """Permits that come back together go to waiters of several clients at once."""
    async with connect(url) as one, connect(url) as two, connect(url) as three:
        held = await Semaphore(one, name, permits=4).acquire(count=4)
        tasks = [asyncio.create_task(Semaphore(c, name, permits=4).acquire()) for c in (two, two, three, three)]
        await waiting(one, name, 2)
        started = asyncio.get_running_loop().time()
        await held.release()
        leases = await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() - started < 0.4
        await asyncio.gather(*[lease.release() for lease in leases])


async def test_a_fair_semaphore_serves_in_order(url: str, name: str) -> None:
    """With fifo whoever waits is served in order over clients, and one who wants many is not overtaken."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(url)) for _ in range(6)]
        semaphores = [Semaphore(client, name, permits=3, fifo=True) for client in clients]
        held = [await semaphores[0].acquire() for _ in range(3)]
        served: list[int] = []

        async def stand(number: int, count: int) -> None:
            async with await semaphores[number].acquire(count=count):
                served.append(number)
                await asyncio.sleep(0.005)

        tasks = []
        for number, count in enumerate([3, 1, 1, 3, 2, 2]):
            tasks.append(asyncio.create_task(stand(number, count)))
            await waiting(clients[0], name, number + 1)
        await held[0].release()
        assert await semaphores[0].try_acquire() is None
        await held[1].release()
        await held[2].release()
        await asyncio.gather(*tasks)
        assert served in ([0, 1, 2, 3, 4, 5], [0, 2, 1, 3, 4, 5])  # the second and the third fit in together
        await nothing_is_left(clients[0], name)


async def test_a_dead_waiter_costs_a_heartbeat(url: str, pipelined: Redis, name: str) -> None:
    """A waiter whose process is killed at the head of a fair line holds up the others for its heartbeat, not longer."""
    semaphore = Semaphore(pipelined, name, permits=2, fifo=True)
    held = await semaphore.acquire()
    async with worker("tests.locks.workers:wait_for_permits", url, name, 2) as process:
        await process.line()
        await waiting(pipelined, name)
        process.kill()
        started = asyncio.get_running_loop().time()
        lease = await semaphore.acquire(timeout=10)
        assert asyncio.get_running_loop().time() - started < 4
    await held.release()
    await lease.release()
    await nothing_is_left(pipelined, name)


async def test_one_that_waits_is_not_overtaken(pipelined: Redis, name: str) -> None:
    """In a fair semaphore a free permit is kept for who wants two, however long the second one takes."""
    semaphore = Semaphore(pipelined, name, permits=2, fifo=True)
    held = await semaphore.acquire()
    waiter = asyncio.create_task(semaphore.acquire(count=2))
    await waiting(pipelined, name)
    for _ in range(3):
        assert await semaphore.try_acquire() is None
    assert await held.release()
    assert await (await waiter).release()
    await nothing_is_left(pipelined, name)


async def test_a_place_counts_what_was_waited(pipelined: Redis, name: str) -> None:
    """Who asks after it has waited for five seconds stands where it would had it asked then, and stays there."""
    semaphore, link = Semaphore(pipelined, name, permits=1), link_of(pipelined)
    async with semaphore, times_in(pipelined, -5) as times:
        claim = semaphore._claim(link, 1)
        for waited in (5 * SECOND, 0):
            assert await claim._ask(5, "inbox", waited) < 0
            times.append(await pipelined.zscore(f"arp:{{{name}}}:line", "1 inbox"))
        await claim._undo("inbox", 5)


@asynccontextmanager
async def ghosts(redis: Redis, name: str, *wanted: int) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """Waiters that want so many permits and take none; the call tells which of them were woken, by their number."""
    inboxes = [f"{number}" for number in range(len(wanted))]
    places = [f"{count} {inbox}" for count, inbox in zip(wanted, inboxes, strict=True)]
    alive = await server_us(redis) + 60 * SECOND
    await redis.zadd(f"arp:{{{name}}}:line", {place: number for number, place in enumerate(places, 1)})
    await redis.zadd(f"arp:{{{name}}}:heard", dict.fromkeys(places, alive))
    async with overheard(redis, *inboxes) as told:
        yield told
    await redis.delete(f"arp:{{{name}}}:line", f"arp:{{{name}}}:heard")


async def test_as_many_are_woken_as_fit(pipelined: Redis, name: str) -> None:
    """A release wakes those for whom there are permits now, in their order, and nobody else."""
    semaphore = Semaphore(pipelined, name, permits=4)
    held = [await semaphore.acquire(count=count) for count in (3, 1)]
    async with ghosts(pipelined, name, 1, 4, 2, 1, 1) as woken:
        assert await held[0].release()
        assert await woken() == ["0", "2"]
        assert await held[1].release()
        assert await woken() == ["0", "2", "3"]
        assert await (await semaphore.acquire(count=3)).release()
        assert await woken() == ["0", "0", "2", "3"]  # one is free beside the three, then all are


async def test_in_a_fair_one_nobody_is_woken_before_the_first(pipelined: Redis, name: str) -> None:
    """While there is too little for who is first nobody else is told of it."""
    semaphore = Semaphore(pipelined, name, permits=3, fifo=True)
    held = [await semaphore.acquire() for _ in range(3)]
    async with ghosts(pipelined, name, 2, 1, 1) as woken:
        assert await held[0].release()
        assert await woken() == []
        assert await held[1].release()
        assert await woken() == ["0"]
        assert await held[2].release()
        assert await woken() == ["0", "1"]


async def test_nobody_is_woken_for_nothing(pipelined: Redis, name: str) -> None:
    """Where no permit is free nobody is told of one: after an acquisition, a release of too many, or a new size."""
    semaphore = Semaphore(pipelined, name, permits=2)
    held = await semaphore.acquire()
    async with ghosts(pipelined, name, 1, 2) as woken:
        other = await semaphore.acquire()
        assert await woken() == []
        await semaphore.resize(1)
        assert await woken() == []
        assert await held.release()
        assert await woken() == []
        assert await other.release()
        assert await woken() == ["0"]
    await pipelined.delete(f"arp:{{{name}}}:size")


async def test_hundreds_of_waiters_are_one_place(pipelined: Redis, name: str) -> None:
    """Tasks of one client that wait for the same stand in one place on the server, and each release is one attempt."""
    semaphore = Semaphore(pipelined, name, permits=1)
    held = await semaphore.acquire()
    tasks = [asyncio.create_task(semaphore.acquire()) for _ in range(300)]
    await waiting(pipelined, name)
    await asyncio.sleep(0)
    assert await pipelined.zcard(f"arp:{{{name}}}:line") == 1
    await held.release()
    for task in asyncio.as_completed(tasks):
        await (await task).release()
    await nothing_is_left(pipelined, name)


async def test_it_grows_and_shrinks_while_it_is_used(pipelined: Redis, url: str, name: str) -> None:
    """A larger semaphore wakes who waits at once; a smaller one lets holders be, and gives out less from then on."""
    semaphore = Semaphore(pipelined, name, permits=1)
    first = await semaphore.acquire()
    async with connect(url) as other:
        waiter = asyncio.create_task(Semaphore(other, name, permits=1).acquire())
        await waiting(pipelined, name)
        await semaphore.resize(3)
        async with asyncio.timeout(0.4):
            second = await waiter
        third = await semaphore.acquire()
        await semaphore.resize(2)
        assert await semaphore.available() == 0
        assert await first.release()
        assert await semaphore.try_acquire() is None
        assert await second.release()
        assert await third.release()
        assert await semaphore.available() == 2
    assert await pipelined.pttl(f"arp:{{{name}}}:size") == -1
    await pipelined.delete(f"arp:{{{name}}}:size")


async def test_more_than_there_are_is_an_error(pipelined: Redis, name: str) -> None:
    """Waiting for more permits than there are ends at once, whether tried or waited for."""
    semaphore = Semaphore(pipelined, name, permits=2)
    for wanted in (semaphore.acquire(count=3), semaphore.try_acquire(count=3)):
        with pytest.raises(LockError, match="not as many as 3"):
            await wanted
    await nothing_is_left(pipelined, name)


async def test_a_waiter_learns_that_there_are_too_few(pipelined: Redis, name: str) -> None:
    """Whoever waits for more permits than there are after a resize is told, and holds nobody up."""
    semaphore = Semaphore(pipelined, name, permits=3, fifo=True)
    held = await semaphore.acquire()
    waiter = asyncio.create_task(semaphore.acquire(count=3))
    await waiting(pipelined, name)
    await semaphore.resize(2)
    with pytest.raises(LockError):
        await waiter
    assert await (await semaphore.acquire(timeout=1)).release()
    await held.release()
    await pipelined.delete(f"arp:{{{name}}}:size")


async def test_a_task_may_be_inside_as_often_as_there_are_permits(pipelined: Redis, name: str) -> None:
    """A task that enters as often as there are permits is inside; once more would be for ever, and is an error."""
    semaphore = Semaphore(pipelined, name, permits=2)
    async with semaphore, semaphore:
        with pytest.raises(LockError):
            await semaphore.__aenter__()
    await nothing_is_left(pipelined, name)


@pytest.mark.parametrize("fifo", [False, True])
async def test_cancelled_at_any_moment_nothing_is_left(pipelined: Redis, name: str, *, fifo: bool) -> None:
    """Waiters for one permit or several that are cancelled anywhere leave no permit, no place and no task."""
    dice, semaphore = random.Random(5), Semaphore(pipelined, name, permits=3, fifo=fifo, lease=30)

    async def use() -> None:
        async with await semaphore.acquire(count=dice.randint(1, 3)):
            await asyncio.sleep(dice.random() * 0.002)

    for _ in range(10):
        tasks = [asyncio.create_task(use()) for _ in range(30)]
        for task in tasks:
            await asyncio.sleep(dice.random() * 0.0005)
            task.cancel()
        await asyncio.wait(tasks)
    await nothing_is_left(pipelined, name)


async def test_events_tell_the_story(pipelined: Redis, name: str) -> None:
    """A hook hears of an acquisition, a release and a timeout, by the name of the class."""
    told: list[Any] = []
    semaphore = Semaphore(pipelined, name, permits=1, on_event=told.append)
    async with semaphore:
        with pytest.raises(LockTimeoutError):
            await semaphore.acquire(timeout=0)
    assert [type(event) for event in told] == [LockAcquired, LockTimedOut, LockReleased]
    assert {event.pattern for event in told} == {"Semaphore"}


@pytest.mark.parametrize("odd", ["a{b}c", "{", "}", "nul\0", "line\r\nfeed", "*", "a b", "%", "\u00e9"])
async def test_odd_names_work(pipelined: Redis, name: str, odd: str) -> None:
    """A name of any characters is a semaphore of its own, woken like any other."""
    semaphore = Semaphore(pipelined, name + odd, permits=1)
    lease: Lease = await semaphore.acquire()
    waiter = asyncio.create_task(semaphore.acquire(timeout=5))
    await waiting(pipelined, name + odd)
    assert await Semaphore(pipelined, name, permits=1).available() == 1
    await lease.release()
    async with asyncio.timeout(0.4):
        assert await (await waiter).release()
