"""What the read-write lock promises: who is inside with whom, whose turn it is, and the change of sides."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import LockError, LockLostError, LockTimeoutError
from aioredis_patterns.events import LockAcquired
from aioredis_patterns.locks import Lease, ReadWriteLock
from tests.locks.ghosts import server_us, times_in
from tests.locks.test_mutex_contract import is_evalsha, leftovers, nothing_is_left
from tests.support.faults import Fault, FaultProxy
from tests.support.full import fill
from tests.support.processes import worker
from tests.support.waiting import eventually, lag_of_the_loop


async def in_line(redis: Redis, name: str, count: int) -> None:
    """Wait until so many stand in the line of a lock."""

    async def check() -> bool:
        return int(await redis.zcard(f"arp:{{{name}}}:queue")) == count

    await eventually(check, timeout=20, every=0.002)


async def line_up(redis: Redis, name: str, lock: ReadWriteLock, sides: str) -> list[asyncio.Task[Lease]]:
    """Tasks that wait one behind the other: r to read, w to write."""
    tasks = []
    for place, side in enumerate(sides, await redis.zcard(f"arp:{{{name}}}:queue") + 1):
        tasks.append(asyncio.create_task((lock.read() if side == "r" else lock.write()).acquire()))
        await in_line(redis, name, place)
    return tasks


async def admitted(tasks: list[asyncio.Task[Lease]], expected: str) -> list[Lease]:
    """Wait until exactly these of the waiting tasks hold the lock: x for one that does, . for one that does not."""
    await eventually(lambda: all(task.done() for task, sign in zip(tasks, expected, strict=True) if sign == "x"))
    assert "".join("x" if task.done() else "." for task in tasks) == expected
    return [task.result() for task in tasks if task.done()]


# Who is inside with whom ---------------------------------------------------------------------------------------------


async def test_readers_share_and_writers_do_not(redis: Redis, url: str, name: str) -> None:
    """Readers are inside together, a writer alone, whatever client each of them uses."""
    reading = writing = together = 0

    async def read(lock: ReadWriteLock) -> None:
        nonlocal reading, together
        for _ in range(10):
            async with lock.read():
                reading += 1
                assert not writing
                together = max(together, reading)
                await asyncio.sleep(0.001)
                reading -= 1

    async def write(lock: ReadWriteLock) -> None:
        nonlocal writing
        for _ in range(10):
            async with lock.write():
                writing += 1
                assert (reading, writing) == (0, 1)
                await asyncio.sleep(0)
                writing -= 1

    async with connect(url) as other:
        locks = [ReadWriteLock(client, name) for client in (redis, other)]
        await asyncio.gather(*[read(lock) for lock in locks for _ in range(8)], *[write(lock) for lock in locks])
    assert together > 1
    await nothing_is_left(redis, name)


async def test_every_hold_has_a_greater_fence(pipelined: Redis, name: str) -> None:
    """Fences of readers and writers grow in the order in which they came in."""
    lock, fences = ReadWriteLock(pipelined, name), []
    for side in (lock.read(), lock.write(), lock.read(), lock.read(), lock.write()):
        async with side as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))


async def test_readers_are_renewed(pipelined: Redis, name: str) -> None:
    """Readers keep writers out for many times their leases, while they live."""
    lock = ReadWriteLock(pipelined, name, lease=0.6)
    async with lock.read() as one, await lock.read().acquire() as two:
        await eventually(lambda: two.held_for > 2)
        assert await lock.write().try_acquire() is None
        assert not one.lost
        assert not two.lost
    assert await (await lock.write().acquire(timeout=0)).release()


async def test_times_are_as_was_said(pipelined: Redis, name: str) -> None:
    """A reader counts as one for its lease, a waiter as alive for three quarters of its heartbeat, by the server."""
    lock, keys = ReadWriteLock(pipelined, name, lease=3600, heartbeat=4000), f"arp:{{{name}}}:"
    async with times_in(pipelined, 3600) as times:
        reading = await lock.read().acquire()
        times.append(await pipelined.zscore(f"{keys}readers", reading.token))
    assert 3590_000 < await pipelined.pttl(f"{keys}readers") <= 3600_000
    async with times_in(pipelined, 3000) as times:
        (writer,) = await line_up(pipelined, name, lock, "w")
        times += [ends for _, ends in await pipelined.zrange(f"{keys}beats", 0, -1, withscores=True)]
    assert await reading.release()
    assert await (await writer).release()


async def test_the_first_writer_looks_when_a_readers_lease_ends(pipelined: Redis, name: str) -> None:
    """A writer that waits for readers asks again when the first of their leases ends."""
    await ReadWriteLock(pipelined, name, lease=0.5, renew=False).read().acquire()
    async with ReadWriteLock(pipelined, name).read():
        turn = ReadWriteLock(pipelined, name, heartbeat=4).write()._turn()
        assert 0 < -await turn._ask(5, "place") <= 500
        await turn._undo(turn._inbox, 5)


async def test_a_reader_whose_time_is_over_is_not_renewed(pipelined: Redis, name: str) -> None:
    """A reader that comes too late has lost its lease, also when nobody has looked since."""
    readers = f"arp:{{{name}}}:readers"
    reading = await ReadWriteLock(pipelined, name).read().acquire()
    await pipelined.zadd(readers, {reading.token: await server_us(pipelined)})
    with pytest.raises(LockLostError):
        await reading.extend()
    reading = await ReadWriteLock(pipelined, name).read().acquire()
    assert await pipelined.delete(readers)
    assert await reading.release() is False
    reading = await ReadWriteLock(pipelined, name).read().acquire()
    assert await pipelined.delete(readers)
    with pytest.raises(LockLostError, match="expired"):
        await reading.extend()


async def test_a_full_server_renews_readers(own_server: EmbeddedServer, name: str) -> None:
    """When Redis is out of memory a reader is renewed, goes up and down, and leaves."""
    async with connect(own_server.url) as redis:
        lock = ReadWriteLock(redis, name)
        reading = await lock.read().acquire()
        await fill(redis)
        await reading.extend()
        reading = await lock.downgrade(await lock.upgrade(reading))
        assert await reading.release()


async def test_try_acquire_lets_a_waiting_writer_go_first(pipelined: Redis, name: str) -> None:
    """A try to read gets nothing while a writer waits, though others read."""
    lock = ReadWriteLock(pipelined, name)
    reader = await lock.read().acquire()
    (writer,) = await line_up(pipelined, name, lock, "w")
    assert await lock.read().try_acquire() is None
    await reader.release()
    await (await writer).release()


async def test_a_task_does_not_wait_for_itself(pipelined: Redis, name: str) -> None:
    """Whoever reads and enters to write is told so, since it would wait for ever."""
    lock = ReadWriteLock(pipelined, name)
    async with lock.read():
        with pytest.raises(LockError, match="wait for itself"):
            async with lock.write():
                pass
    async with lock.write():
        pass


# Whose turn it is ----------------------------------------------------------------------------------------------------


async def test_readers_and_writers_take_turns(pipelined: Redis, name: str) -> None:
    """After a writer all waiting readers come in together, after them one writer, and so on."""
    lock = ReadWriteLock(pipelined, name)
    held = await lock.write().acquire()
    tasks = await line_up(pipelined, name, lock, "wrwrr")
    await held.release()
    assert await pipelined.zcard(f"arp:{{{name}}}:queue") == 2  # the readers were let in together
    readers = await admitted(tasks, ".x.xx")
    tasks += await line_up(pipelined, name, lock, "rr")
    for reader in readers:
        await reader.release()
    writer, *_ = await admitted(tasks, "xx.xx..")
    await writer.release()
    *_, one, two = await admitted(tasks, "xx.xxxx")
    await one.release()
    await two.release()
    await (await tasks[2]).release()
    await nothing_is_left(pipelined, name)


async def test_a_stream_of_readers_does_not_starve_a_writer(pipelined: Redis, name: str) -> None:
    """A writer gets in although at every moment somebody reads and others want to."""
    lock, stop = ReadWriteLock(pipelined, name), False

    async def read() -> None:
        while not stop:
            async with lock.read():
                await asyncio.sleep(0.003)

    readers = [asyncio.create_task(read()) for _ in range(10)]
    async with asyncio.timeout(2):
        for _ in range(5):
            async with lock.write():
                pass
    stop = True
    await asyncio.gather(*readers)


async def test_a_stream_of_writers_does_not_starve_a_reader(pipelined: Redis, name: str) -> None:
    """A reader waits for one writer beside the one that writes, however many stand in line before it."""
    lock = ReadWriteLock(pipelined, name)
    reading = await lock.read().acquire()
    *writers, reader = await line_up(pipelined, name, lock, "wwwwr")
    await reading.release()
    (first,) = await admitted([*writers, reader], "x....")
    await first.release()
    await admitted([*writers, reader], "x...x")
    await (await reader).release()
    for writer in writers[1:]:
        await (await writer).release()


async def test_readers_come_in_when_the_writer_before_them_gives_up(pipelined: Redis, name: str) -> None:
    """Readers that waited behind a writer join those who read, for a whole lease, when it does not want any more."""
    lock = ReadWriteLock(pipelined, name)
    reading = await lock.read().acquire()
    writer, reader = await line_up(pipelined, name, lock, "wr")
    writer.cancel()
    async with asyncio.timeout(1):
        lease = await reader
    (ends,) = await pipelined.zmscore(f"arp:{{{name}}}:readers", [lease.token])
    assert ends / 1_000_000 - (await pipelined.time())[0] > 8
    assert await lease.release()
    assert await reading.release()


# Who dies ------------------------------------------------------------------------------------------------------------


async def test_a_killed_reader_blocks_for_its_own_lease(pipelined: Redis, url: str, name: str) -> None:
    """After kill -9 of a reader a writer waits for the rest of that lease, though other readers were renewed since."""
    lock = ReadWriteLock(pipelined, name, lease=10)
    async with worker("tests.locks.workers:read", url, name, 0.6) as process:
        await process.line()
        mine = await lock.read().acquire()
        process.kill()
        await process.wait()
        async with lag_of_the_loop() as lag:
            started = time.monotonic()
            upgraded = await lock.upgrade(mine, timeout=5)
            assert time.monotonic() - started < 0.7 + lag.worst
    await upgraded.release()


async def test_a_frozen_reader_learns_of_its_loss(pipelined: Redis, url: str, name: str) -> None:
    """A reader that was stopped beyond its lease lets a writer in, and is told when it goes on."""
    async with worker("tests.locks.workers:read", url, name, 0.3) as process:
        await process.line()
        process.pause()
        writer = await ReadWriteLock(pipelined, name).write().acquire(timeout=5)
        process.resume()
        assert await process.line() == "lost"
        assert await writer.release()


async def test_a_killed_writer_in_the_line_lets_readers_in(pipelined: Redis, url: str, name: str) -> None:
    """Readers behind a waiting writer that was killed come in when its heartbeat is over."""
    lock = ReadWriteLock(pipelined, name, heartbeat=0.8)
    reading = await lock.read().acquire()
    async with worker("tests.locks.workers:write", url, name, 0.8) as process:
        await in_line(pipelined, name, 1)
        process.kill()
        await process.wait()
        async with lag_of_the_loop() as lag:
            started = time.monotonic()
            reader = await lock.read().acquire()
            assert time.monotonic() - started <= 0.8 + lag.worst
    assert await reader.release()
    assert await reading.release()


# Changing sides ------------------------------------------------------------------------------------------------------


async def test_downgrade_leaves_no_gap(pipelined: Redis, name: str) -> None:
    """The waiting readers come in with who has written, and the writer before them in the line does not."""
    lock = ReadWriteLock(pipelined, name)
    writing = await lock.write().acquire()
    tasks = await line_up(pipelined, name, lock, "wr")
    reading = await lock.downgrade(writing)
    assert await pipelined.zcard(f"arp:{{{name}}}:queue") == 1
    assert reading.fence == writing.fence
    assert writing.valid_for == 0
    (other,) = await admitted(tasks, ".x")
    await other.release()
    await admitted(tasks, ".x")
    await reading.release()
    await (await tasks[0]).release()
    await nothing_is_left(pipelined, name)


async def test_a_waiting_writer_does_not_come_into_a_downgrade(pipelined: Redis, name: str) -> None:
    """With nobody but a writer in the line, the downgrade does not let it in beside the reader."""
    lock = ReadWriteLock(pipelined, name)
    writing = await lock.write().acquire()
    (waiter,) = await line_up(pipelined, name, lock, "w")
    reading = await lock.downgrade(writing)
    assert await lock.owner() is None
    assert not waiter.done()
    assert await reading.release()
    assert await (await waiter).release()


async def test_upgrade_goes_before_who_waits(pipelined: Redis, name: str) -> None:
    """A reader becomes the writer when the other readers have left, before a writer that waited longer."""
    lock = ReadWriteLock(pipelined, name)
    mine, other = await lock.read().acquire(), await lock.read().acquire()
    tasks = await line_up(pipelined, name, lock, "wr")
    tasks.append(asyncio.create_task(lock.upgrade(mine)))
    await in_line(pipelined, name, 3)
    assert mine.valid_for > 0
    await other.release()
    (writing,) = await admitted(tasks, "..x")
    assert mine.valid_for == 0
    assert writing.fence > mine.fence
    await writing.release()
    reader, _ = await admitted(tasks, ".xx")
    await reader.release()
    await (await tasks[0]).release()
    await nothing_is_left(pipelined, name)


async def test_a_second_upgrade_is_refused_at_once(pipelined: Redis, url: str, name: str) -> None:
    """While a reader waits to write another cannot wait for the same; it reads on, and the first one gets its turn."""
    lock = ReadWriteLock(pipelined, name)
    mine = await lock.read().acquire()
    async with connect(url) as redis:
        other = ReadWriteLock(redis, name)
        theirs = await other.read().acquire()
        upgrading = asyncio.create_task(lock.upgrade(mine))
        await in_line(pipelined, name, 1)
        async with asyncio.timeout(1):
            with pytest.raises(LockError, match="another reader"):
                await other.upgrade(theirs)
        assert theirs.valid_for > 0
        assert await theirs.release()
        assert await (await upgrading).release()
    await nothing_is_left(pipelined, name)


async def test_an_upgrade_that_is_given_up_reads_on(redis: Redis, name: str) -> None:
    """After a timeout or a cancellation the lease to read is what it was, and nobody waits."""
    lock = ReadWriteLock(redis, name)
    mine, other = await lock.read().acquire(), await lock.read().acquire()
    for timeout in (0, 0.05):
        with pytest.raises(LockTimeoutError):
            await lock.upgrade(mine, timeout=timeout)
    upgrading = asyncio.create_task(lock.upgrade(mine))
    await in_line(redis, name, 1)
    upgrading.cancel()
    await in_line(redis, name, 0)
    await mine.extend()
    assert await lock.write().try_acquire() is None
    assert await other.release()
    assert await lock.write().try_acquire() is None
    assert await mine.release()
    await nothing_is_left(redis, name)


async def test_an_upgrade_cancelled_when_its_turn_comes_leaves_the_reader(pipelined: Redis, name: str) -> None:
    """Cancelled at any moment of the hand-over, an upgrade leaves a reader or a writer, and never both or nobody."""
    lock = ReadWriteLock(pipelined, name, lease=60)
    for yields in range(12):
        mine, other = await lock.read().acquire(), await lock.read().acquire()
        upgrading = asyncio.create_task(lock.upgrade(mine))
        await in_line(pipelined, name, 1)
        released = asyncio.create_task(other.release())
        for _ in range(yields):
            await asyncio.sleep(0)
        upgrading.cancel()
        await asyncio.wait([upgrading, released])
        held = mine if upgrading.cancelled() else upgrading.result()
        await held.extend()
        assert await held.release()
        await nothing_is_left(pipelined, name)


async def test_sides_are_changed_by_context(pipelined: Redis, name: str) -> None:
    """Nested blocks go up and down, and every exit leaves only what was spent."""
    lock = ReadWriteLock(pipelined, name)
    async with lock.read() as reading, await lock.upgrade(reading) as writing, await lock.downgrade(writing):
        other = await lock.read().try_acquire()
        assert other is not None
        assert await other.release()
    await nothing_is_left(pipelined, name)


async def test_a_lost_lease_changes_no_side(pipelined: Redis, name: str) -> None:
    """What the server has forgotten is lost, and neither upgraded nor downgraded."""
    lock = ReadWriteLock(pipelined, name)
    reading = await lock.read().acquire()
    await pipelined.delete(f"arp:{{{name}}}:readers")
    with pytest.raises(LockLostError):
        await lock.upgrade(reading)
    writing = await lock.write().acquire()
    await pipelined.delete(f"arp:{{{name}}}:lock")
    with pytest.raises(LockLostError):
        await lock.downgrade(writing)
    assert reading.lost
    assert writing.lost


async def test_only_the_right_lease_changes_sides(pipelined: Redis, name: str) -> None:
    """Another lock's lease, one of the other side, or one that was given back is refused before any command."""
    lock = ReadWriteLock(pipelined, name)
    async with lock.read() as reading, ReadWriteLock(pipelined, f"{name}:2").write() as stranger:
        calls: list[Any] = [lock.downgrade(reading), lock.downgrade(stranger), lock.upgrade(stranger)]
        for call in calls:
            with pytest.raises(ValueError, match="lease must be"):
                await call
    with pytest.raises(LockLostError, match="released"):
        await lock.upgrade(reading)


@pytest.mark.parametrize("fault", ["cut_before", "cut_after"])
async def test_sides_change_once_though_replies_are_lost(own_server: EmbeddedServer, name: str, fault: Any) -> None:
    """With a fifth of the requests or replies lost a reader still goes up and down, and nothing is left."""
    async with (
        FaultProxy(own_server.host, own_server.port, seed=3) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        proxy.add(Fault(fault, is_evalsha, times=None, probability=0.2))
        lock = ReadWriteLock(redis, name, lease=30)
        for _ in range(10):
            reading = await lock.read().acquire()
            writing = await lock.upgrade(reading)
            assert await lock.read().try_acquire() is None
            await (await lock.downgrade(writing)).release()
        proxy.clear()
        await nothing_is_left(direct, name)


# Leaving nothing -----------------------------------------------------------------------------------------------------


async def test_readers_that_are_cancelled_leave_nothing(redis: Redis, name: str) -> None:
    """Readers and writers cancelled at any moment leave no key and no place in the line."""
    lock = ReadWriteLock(redis, name, lease=30)

    async def use(number: int) -> None:
        async with lock.read() if number % 3 else lock.write():
            await asyncio.sleep(0.001)

    for _ in range(5):
        tasks = [asyncio.create_task(use(number)) for number in range(30)]
        for task in tasks:
            await asyncio.sleep(0.0003)
            task.cancel()
        await asyncio.wait(tasks)
    await nothing_is_left(redis, name)


@pytest.mark.parametrize("strange", ["{a}b", "nul\0", "line\r\nfeed", "gl*b?[x]"])
async def test_names_may_hold_anything(pipelined: Redis, name: str, strange: str) -> None:
    """Braces, NUL, line ends and globs are a name like any other, and touch no other lock."""
    other = await ReadWriteLock(pipelined, name).write().acquire()
    lock = ReadWriteLock(pipelined, f"{name}{strange}")
    async with lock.read() as reading, await lock.upgrade(reading):
        assert await lock.read().try_acquire() is None
    assert await leftovers(pipelined, name) != []
    assert await other.release()


async def test_each_side_tells_of_itself(pipelined: Redis, name: str) -> None:
    """The hook hears which side was acquired."""
    events: list[Any] = []
    lock = ReadWriteLock(pipelined, name, on_event=events.append)
    async with lock.read():
        pass
    async with lock.write():
        pass
    assert [event.pattern for event in events if isinstance(event, LockAcquired)] == ["ReadLock", "WriteLock"]


# Whoever holds it ----------------------------------------------------------------------------------------------------


async def test_who_holds_it_is_known(redis: Redis, name: str) -> None:
    """It is locked while anybody reads or writes; whoever writes is named, and readers are not."""
    lock = ReadWriteLock(redis, name, lease=5)
    assert not await lock.locked()
    async with lock.read():
        assert await lock.locked()
        assert await lock.owner() is None
    async with lock.write() as lease:
        assert await lock.locked()
        owner = await lock.owner()
        assert owner is not None
        assert (owner.fence, owner.pid) == (lease.fence, os.getpid())
        assert 4 < owner.valid_for <= 5
    assert not await lock.locked()


async def test_a_reader_that_died_is_no_holder(pipelined: Redis, name: str) -> None:
    """A reader whose lease is over is not counted, though what the server keeps of it lives on."""
    dying, lock = ReadWriteLock(pipelined, name, lease=0.2, renew=False), ReadWriteLock(pipelined, name)
    await dying.read().acquire()
    assert await (await lock.read().acquire()).release()
    assert await lock.locked()

    async def free() -> bool:
        return not await lock.locked()

    await eventually(free)
    assert await pipelined.zcard(f"arp:{{{name}}}:readers") == 1


@pytest.mark.parametrize("side", ["r", "w"])
async def test_a_forced_release_takes_it_from_all(redis: Redis, name: str, side: str) -> None:
    """Readers or the writer lose it at once, who waits comes in, for a whole lease, and the holders are told."""
    lock = ReadWriteLock(redis, name, lease=20)
    assert not await lock.force_release()
    held = [await (lock.read() if side == "r" else lock.write()).acquire() for _ in range(2 if side == "r" else 1)]
    (waiter,) = await line_up(redis, name, lock, "w")
    assert await lock.force_release()
    written = await waiter
    assert written.fence > max(lease.fence for lease in held)
    owner = await lock.owner()
    assert owner is not None
    assert owner.valid_for > 19
    for lease in held:
        with pytest.raises(LockLostError):
            await lease.extend()
    assert await written.release()
    assert not await lock.locked()
