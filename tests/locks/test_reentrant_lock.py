"""What the reentrant lock promises: who is the owner, when it is free, and what a loss does to all who are inside."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.errors import LockLostError, LockTimeoutError
from aioredis_patterns.events import LockAcquired, LockLost, LockReleased, LockTimedOut
from aioredis_patterns.locks import Lock, ReentrantLease, ReentrantLock
from tests.locks.test_mutex_contract import nothing_is_left
from tests.support.waiting import eventually


async def test_its_task_takes_it_again(redis: Redis, name: str) -> None:
    """The task that is inside enters again, under the same fence, and through another object of the same name."""
    async with (
        ReentrantLock(redis, name) as outer,
        ReentrantLock(redis, name) as inner,
        await ReentrantLock(redis, name).acquire(timeout=0) as third,
    ):
        assert outer.fence == inner.fence == third.fence
        assert inner.valid_for > 9
    await nothing_is_left(redis, name)


async def test_taking_it_again_costs_no_command(pipelined: Redis, name: str) -> None:
    """The server hears of the first and the last only."""
    lock = ReentrantLock(pipelined, name)
    async with lock:
        before = (await pipelined.info("stats"))["total_commands_processed"]
        for _ in range(50):
            async with lock:
                assert await (await lock.acquire()).release()
        after = (await pipelined.info("stats"))["total_commands_processed"]
    assert after - before < 10


async def test_it_is_free_when_all_is_given_back(pipelined: Redis, name: str) -> None:
    """Whatever the order, the last release frees the lock and none before; each handle is given back once."""
    lock, plain = ReentrantLock(pipelined, name), Lock(pipelined, name)
    handles = [await lock.acquire() for _ in range(3)]
    for handle in (handles[0], handles[2]):
        assert await handle.release()
        assert not await handle.release()
        assert handle.valid_for == 0
        assert await plain.locked()
    assert handles[1].valid_for > 0
    assert await handles[1].release()
    assert not await plain.locked()


async def test_another_task_is_another_owner(redis: Redis, name: str) -> None:
    """A task that the owner starts, with the owner's context, does not inherit the lock."""
    lock = ReentrantLock(redis, name)
    async with lock as held:
        assert await asyncio.create_task(lock.try_acquire()) is None
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(lock.acquire(timeout=0.05))
        assert caught.group_contains(LockTimeoutError)
        waiter = asyncio.create_task(lock.acquire())
    lease = await waiter
    assert lease.fence > held.fence
    assert await lease.release()
    await nothing_is_left(redis, name)


async def test_the_owner_waits_for_another_task(pipelined: Redis, name: str) -> None:
    """A task that has given everything back is no owner any more."""
    lock = ReentrantLock(pipelined, name)
    async with lock, lock:
        pass
    other = await asyncio.create_task(lock.acquire())
    assert await lock.try_acquire() is None
    assert await other.release()


async def test_a_cancelled_inner_acquire_counts_for_nothing(pipelined: Redis, name: str) -> None:
    """Whatever is cancelled or fails within, the outer hold is what it was."""
    lock = ReentrantLock(pipelined, name)
    async with lock as outer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), lock:
                await asyncio.sleep(1)
        with pytest.raises(KeyError):
            async with lock:
                raise KeyError
        assert outer.valid_for > 0
        assert await Lock(pipelined, name).locked()
    await nothing_is_left(pipelined, name)


async def test_a_loss_cancels_whoever_is_inside(pipelined: Redis, name: str) -> None:
    """The task is cancelled wherever it is inside, and told by the block that it entered first."""
    lock, reached = ReentrantLock(pipelined, name, lease=0.6), []
    with pytest.raises(LockLostError):
        async with lock:
            async with lock:
                await Lock(pipelined, name).force_release()
                await asyncio.sleep(10)
            reached.append("the outer block")
    assert not reached
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_loss_is_told_in_a_block_within_a_bare_hold(pipelined: Redis, name: str) -> None:
    """A block entered by a task that holds a handle already is cancelled and told all the same."""
    lock = ReentrantLock(pipelined, name, lease=0.6)
    handle = await lock.acquire()
    with pytest.raises(LockLostError):
        async with lock:
            await Lock(pipelined, name).force_release()
            await asyncio.sleep(10)
    assert handle.lost
    assert not await handle.release()


async def test_a_block_within_a_bare_hold_leaves_it(pipelined: Redis, name: str) -> None:
    """After a block the handle that was there before holds on, and its loss cancels nobody."""
    lock = ReentrantLock(pipelined, name, lease=0.6)
    handle = await lock.acquire()
    async with lock:
        pass
    assert handle.valid_for > 0
    await Lock(pipelined, name).force_release()
    await eventually(lambda: handle.lost)


async def test_a_lost_lock_is_not_taken_again_unnoticed(pipelined: Redis, name: str) -> None:
    """A task that has not given back what it lost is told so when it acquires, and may acquire when it has."""
    lock = ReentrantLock(pipelined, name, lease=0.2, on_lost="flag")
    handle = await lock.acquire()
    await Lock(pipelined, name).force_release()
    await eventually(lambda: handle.lost)
    with pytest.raises(LockLostError):
        await lock.acquire()
    with pytest.raises(LockLostError):
        await handle.extend()
    assert not await handle.release()
    assert await (await lock.acquire(timeout=0)).release()


async def test_dropped_handles_are_not_renewed(pipelined: Redis, name: str) -> None:
    """When every handle was dropped by the program the lock ends with its lease, though the task lives."""
    lock = ReentrantLock(pipelined, name, lease=0.6)
    handles: list[ReentrantLease] | None = [await lock.acquire(), await lock.acquire()]
    assert handles
    handles = None
    gc.collect()
    async with asyncio.timeout(2):
        await (await asyncio.create_task(lock.acquire())).release()


async def test_extend_is_for_all(pipelined: Redis, name: str) -> None:
    """Another length, set by one handle, is kept when the inner one is given back."""
    lock = ReentrantLock(pipelined, name, lease=5)
    async with lock as outer:
        async with lock as inner:
            await inner.extend(30)
        assert outer.valid_for > 29
        assert await pipelined.pttl(f"arp:{{{name}}}:lock") > 29_000
        with pytest.raises(LockLostError, match="released"):
            await inner.extend()


async def test_other_clients_are_kept_out(pipelined: Redis, url: str, name: str) -> None:
    """The same task is another owner on another client, as its connection may fail alone."""
    async with connect(url) as other, ReentrantLock(pipelined, name), ReentrantLock(pipelined, name):
        assert await ReentrantLock(other, name).try_acquire() is None


async def test_events_are_its_own(pipelined: Redis, name: str) -> None:
    """The hook hears of the first taking and the last giving back, as of this class, and of a loss."""
    events: list[Any] = []
    lock = ReentrantLock(pipelined, name, on_event=events.append)
    async with lock, lock:
        pass
    lost = await lock.acquire()
    with pytest.raises(LockTimeoutError):
        await asyncio.create_task(lock.acquire(timeout=0))
    assert await lock.force_release()
    with pytest.raises(LockLostError):
        await lost.extend()
    assert [type(event) for event in events] == [LockAcquired, LockReleased, LockAcquired, LockTimedOut, LockLost]
    assert {event.pattern for event in events} == {"ReentrantLock"}


async def test_its_owner_is_known_and_may_be_overruled(pipelined: Redis, name: str) -> None:
    """While its task is inside, however often, it has one owner; a force release ends all of it."""
    lock = ReentrantLock(pipelined, name)
    assert not await lock.locked()
    assert await lock.owner() is None
    outer, inner = await lock.acquire(), await lock.acquire()
    owner = await lock.owner()
    assert owner is not None
    assert owner.fence == outer.fence
    assert await lock.locked()
    assert await lock.force_release()
    assert not await lock.locked()
    with pytest.raises(LockLostError):
        await inner.extend()
    assert not await outer.release()
