"""What the fair lock promises beside what every lock does: the order, and how little the dead cost."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import LockLostError, LockTimeoutError
from aioredis_patterns.events import LockAcquired, LockLost, LockReleased, LockTimedOut
from aioredis_patterns.locks import FairLock, Lease
from tests.locks.ghosts import SECOND, server_us
from tests.support.faults import FaultProxy
from tests.support.processes import Worker, worker
from tests.support.waiting import eventually, lag_of_the_loop


async def in_line(redis: Redis, name: str, count: int) -> None:
    """Wait until so many stand in the line of a lock."""

    async def check() -> bool:
        return int(await redis.zcard(f"arp:{{{name}}}:queue")) == count

    await eventually(check, timeout=20, every=0.002)


def waiter(url: str, name: str, heartbeat: float) -> AbstractAsyncContextManager[Worker]:
    """A process that waits for the lock."""
    return worker("tests.locks.workers:wait", url, name, heartbeat)


async def test_who_came_first_is_served_first(redis: Redis, url: str, name: str) -> None:
    """Waiters of several clients get the lock in the order in which they came."""
    served: list[int] = []

    async def take(client: Redis, number: int) -> None:
        async with FairLock(client, name):
            served.append(number)

    async with connect(url) as other:
        tasks = []
        async with FairLock(redis, name):
            for number in range(12):
                tasks.append(asyncio.create_task(take(redis if number % 2 else other, number)))
                await in_line(redis, name, number + 1)
        async with asyncio.timeout(2):  # each of them is woken, and does not have to look
            await asyncio.gather(*tasks)
    assert served == list(range(12))


async def test_nobody_waits_for_many_more_than_the_others(pipelined: Redis, url: str, name: str) -> None:
    """Among tasks that come again and again none has to let pass twice as many as they do on average."""
    served, passed = 0, []

    async def work(client: Redis) -> None:
        nonlocal served
        lock = FairLock(client, name)
        for _ in range(10):
            before = served
            async with lock:
                passed.append(served - before)
                served += 1
                await asyncio.sleep(0)

    async with connect(url) as other:
        await asyncio.gather(*[work(client) for client in (pipelined, other) for _ in range(15)])
    assert max(passed) < 2 * sum(passed) / len(passed)


async def test_try_acquire_does_not_jump_the_queue(pipelined: Redis, name: str) -> None:
    """While somebody waits a try gets nothing, not even in the moment in which the lock is handed over."""
    lock = FairLock(pipelined, name)
    held = await lock.acquire()
    waiter = asyncio.create_task(lock.acquire())
    await in_line(pipelined, name, 1)
    released = asyncio.create_task(held.release())
    tries = await asyncio.gather(*[lock.try_acquire() for _ in range(20)])
    assert tries == [None] * 20
    assert await released
    assert await (await waiter).release()


async def test_the_release_hands_over(pipelined: Redis, name: str) -> None:
    """When the answer to the release comes the next in the line has the lock already."""
    lock = FairLock(pipelined, name)
    for _ in range(5):
        held = await lock.acquire()
        waiter = asyncio.create_task(lock.acquire())
        await in_line(pipelined, name, 1)
        await held.release()
        assert await pipelined.exists(f"arp:{{{name}}}:queue", f"arp:{{{name}}}:beats") == 0
        assert await lock.locked()
        await (await waiter).release()


async def test_a_hand_over_waits_as_long_as_a_sign_of_life_counts(pipelined: Redis, name: str) -> None:
    """Whoever is given the lock has it until its last sign of life runs out, if it does not confirm."""
    held, queue, beats = await FairLock(pipelined, name).acquire(), f"arp:{{{name}}}:queue", f"arp:{{{name}}}:beats"
    ends = await server_us(pipelined) + 100_000 * SECOND
    await pipelined.zadd(queue, {"w ghost inbox a ghost": 1})
    await pipelined.zadd(beats, {"w ghost inbox a ghost": ends})
    assert await held.release()
    assert (await pipelined.get(f"arp:{{{name}}}:lock") or b"").startswith(b"ghost ")
    left_ms = await pipelined.pttl(f"arp:{{{name}}}:lock")
    assert abs(await server_us(pipelined) + left_ms * 1000 - ends) < 50 * SECOND
    assert await FairLock(pipelined, name).force_release()


async def test_a_clock_that_was_set_back_lets_nobody_ahead(pipelined: Redis, name: str) -> None:
    """Who came when the server's clock was an hour ahead stands before who comes after that was mended."""
    lock, queue = FairLock(pipelined, name), f"arp:{{{name}}}:queue"
    async with lock:
        early = await server_us(pipelined) + 3600 * SECOND
        await pipelined.zadd(queue, {"w early inbox a ghost": early})
        late = asyncio.create_task(lock.acquire())
        await in_line(pipelined, name, 2)
        assert await lock.place(late) == 2
        late.cancel()
        await asyncio.wait([late])
        await pipelined.delete(queue)


async def test_only_the_first_looks_when_the_lease_ends(pipelined: Redis, name: str) -> None:
    """The first of the line asks again when the holder's lease ends, the others only to give signs of life."""
    await FairLock(pipelined, name, lease=0.5, renew=False).acquire()
    lock = FairLock(pipelined, name, heartbeat=4)
    first, second = lock._turn(), lock._turn()
    assert 0 < -await first._ask(5, "place") <= 500
    assert -await second._ask(5, "place") == 1000
    await pipelined.persist(f"arp:{{{name}}}:lock")  # a lease that does not end, by somebody's hand
    assert -await first._ask(5, "place") == 1000
    for turn in (first, second):
        await turn._undo(turn._inbox, 5)
    assert await lock.force_release()


async def test_the_last_millisecond_of_a_lease_is_no_heartbeat(pipelined: Redis, name: str) -> None:
    """Whoever asks when less than a millisecond is left of the lease asks again as soon, not by a heartbeat later."""
    for _ in range(3):
        held = await FairLock(pipelined, name, lease=0.03, renew=False).acquire()
        turn = FairLock(pipelined, name)._turn()
        while (answer := await turn._ask(5, "place")) < 0:
            assert answer >= -30
        assert answer > held.fence
        await turn._undo("place", 5)


async def test_place_in_the_line(pipelined: Redis, url: str, name: str) -> None:
    """Each waiting task of the object has its place in the one line of all clients, and none when it holds the lock."""
    lock = FairLock(pipelined, name)
    held = await lock.acquire()
    first = asyncio.create_task(lock.acquire())
    await in_line(pipelined, name, 1)
    async with connect(url) as other:
        second = asyncio.create_task(FairLock(other, name).acquire())
        await in_line(pipelined, name, 2)
        third = asyncio.create_task(lock.acquire())
        await in_line(pipelined, name, 3)
        assert [await lock.place(task) for task in (first, second, third)] == [1, None, 3]
        await pipelined.zrem(f"arp:{{{name}}}:queue", lock._turns[third].waiter())
        assert await lock.place(third) is None
        await in_line(pipelined, name, 3)  # it stands there again with its next sign of life
        await held.release()
        lease = await first
        assert [await lock.place(task) for task in (first, third)] == [None, 2]
        await lease.release()
        await (await second).release()
    await (await third).release()


async def test_waiters_that_were_killed_cost_one_heartbeat_together(pipelined: Redis, url: str, name: str) -> None:
    """After kill -9 of all who stand before it, whoever is next gets the lock within one heartbeat."""
    heartbeat = 1.0
    held = await FairLock(pipelined, name).acquire()
    async with AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(waiter(url, name, heartbeat)) for _ in range(3)]
        await in_line(pipelined, name, 3)
        alive = asyncio.create_task(FairLock(pipelined, name, heartbeat=heartbeat).acquire())
        await in_line(pipelined, name, 4)
        for process in dead:
            process.kill()
        async with lag_of_the_loop() as lag:
            started = time.monotonic()
            await held.release()
            lease = await alive
            assert time.monotonic() - started <= heartbeat + lag.worst
        await lease.release()


async def test_a_waiter_that_was_stopped_goes_to_the_end(pipelined: Redis, url: str, name: str) -> None:
    """A waiter that was frozen beyond its heartbeat is passed over, and gets the lock after those who were not."""
    held = await FairLock(pipelined, name).acquire()
    async with AsyncExitStack() as stack:
        frozen = await stack.enter_async_context(waiter(url, name, 0.4))
        await in_line(pipelined, name, 1)
        frozen.pause()
        next_one = asyncio.create_task(FairLock(pipelined, name, heartbeat=0.4).acquire())
        await in_line(pipelined, name, 1)
        await held.release()
        lease = await next_one
        frozen.resume()
        await in_line(pipelined, name, 1)
        await lease.release()
        assert await frozen.line() > lease.fence


async def test_a_waiter_that_lives_keeps_its_place(pipelined: Redis, name: str) -> None:
    """Waiting for several heartbeats costs nobody its place."""
    lock = FairLock(pipelined, name, heartbeat=0.5)
    held = await lock.acquire()
    first = asyncio.create_task(lock.acquire())
    await in_line(pipelined, name, 1)
    second = asyncio.create_task(lock.acquire())
    await in_line(pipelined, name, 2)
    await eventually(lambda: held.held_for > 1.6)
    assert [await lock.place(task) for task in (first, second)] == [1, 2]
    await held.release()
    lease = await first
    assert not second.done()
    await lease.release()
    await (await second).release()


async def test_a_waiter_whose_wakeup_was_lost_finds_out(own_server: EmbeddedServer, name: str) -> None:
    """A lock that was handed over to a client without a subscription is confirmed in time all the same."""
    async with connect(own_server.url) as redis, FaultProxy(own_server.host, own_server.port) as proxy:
        held = await FairLock(redis, name).acquire()
        async with connect(proxy.url) as cut_off:
            waiter = asyncio.create_task(FairLock(cut_off, name, heartbeat=1).acquire())
            await in_line(redis, name, 1)
            await eventually(lambda: link_of(cut_off).subscriptions.connected)
            await redis.client_kill_filter(_type="pubsub")
            await held.release()
            async with asyncio.timeout(1.5):
                lease = await waiter
            assert await lease.release()


async def test_giving_up_leaves_the_line(redis: Redis, name: str) -> None:
    """A waiter that times out or is cancelled stands in the line no more, and whoever is behind it moves up."""
    lock = FairLock(redis, name)
    held = await lock.acquire()
    first = asyncio.create_task(lock.acquire())
    await in_line(redis, name, 1)
    second = asyncio.create_task(lock.acquire(timeout=0.1))
    await in_line(redis, name, 2)
    first.cancel()
    await in_line(redis, name, 1)
    with pytest.raises(LockTimeoutError):
        await second
    await in_line(redis, name, 0)
    assert await held.release()


async def test_who_is_cancelled_when_its_turn_comes_passes_the_lock_on(pipelined: Redis, name: str) -> None:
    """A cancellation in the moment of the hand-over never leaves a lock that nobody holds."""
    lock = FairLock(pipelined, name, lease=60)
    for yields in range(12):
        held = await lock.acquire()
        first = asyncio.create_task(lock.acquire())
        await in_line(pipelined, name, 1)
        second = asyncio.create_task(lock.acquire())
        await in_line(pipelined, name, 2)
        released = asyncio.create_task(held.release())
        for _ in range(yields):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        if not first.cancelled():
            await (await first).release()
        async with asyncio.timeout(2):
            await (await second).release()
        assert await released


async def test_a_lease_that_is_broken_goes_to_the_next(pipelined: Redis, name: str) -> None:
    """After a force release the next waiter has the lock at once, for a whole lease, and the holder learns of it."""
    lock = FairLock(pipelined, name, lease=20)
    held = await lock.acquire()
    waiter = asyncio.create_task(lock.acquire())
    await in_line(pipelined, name, 1)
    assert await lock.force_release()
    assert await pipelined.zcard(f"arp:{{{name}}}:queue") == 0
    lease = await waiter
    owner = await lock.owner()
    assert owner is not None
    assert owner.fence == lease.fence
    assert owner.valid_for > 19
    with pytest.raises(LockLostError):
        await held.extend()
    await lease.release()
    assert not await lock.locked()
    assert await lock.owner() is None
    assert not await lock.force_release()


async def test_what_happens_is_told(pipelined: Redis, name: str) -> None:
    """The hook hears of the acquisition, the release, a timeout and a loss, as of this class."""
    events: list[Any] = []
    lock = FairLock(pipelined, name, on_event=events.append)
    async with lock:
        with pytest.raises(LockTimeoutError):
            await lock.acquire(timeout=0)
    lost: Lease = await lock.acquire()
    await lock.force_release()
    with pytest.raises(LockLostError):
        await lost.extend()
    assert [type(event) for event in events] == [LockAcquired, LockTimedOut, LockReleased, LockAcquired, LockLost]
    assert {event.pattern for event in events} == {"FairLock"}
