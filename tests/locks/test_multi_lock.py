"""Several locks at once: all or none, one lease, and `Lock` as their neighbour."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from aioredis_patterns._core.keys import slot
from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import embedded_cluster
from aioredis_patterns.errors import LockLostError, LockTimeoutError
from aioredis_patterns.events import LockAcquired, LockLost, LockReleased, LockTimedOut
from aioredis_patterns.locks import Lock, MultiLock
from tests.locks.ghosts import SECOND, overheard, times_in
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Every test ends with the tasks that it began with."""
    before = asyncio.all_tasks()
    yield
    await eventually(lambda: not [t for t in asyncio.all_tasks() - before - {asyncio.current_task()} if not t.done()])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster_url() -> AsyncIterator[str]:
    """A cluster that every test of this file may use and none may stop."""
    async with embedded_cluster() as running:
        yield running.url


@pytest_asyncio.fixture(params=["standalone", "cluster"])
async def anywhere(request: pytest.FixtureRequest, url: str, cluster_url: str) -> AsyncIterator[Redis]:
    """A client of one server, where one script takes all names, and one of a cluster, where each has its slot."""
    async with connect(url if request.param == "standalone" else cluster_url) as client:
        yield client


@pytest.fixture
def names(name: str) -> list[str]:
    """Three names that no other test uses, in no order."""
    return [f"{name}:c", f"{name}:a", f"{name}:b"]


async def held(redis: Redis, names: list[str]) -> list[bool]:
    return [await Lock(redis, name).locked() for name in names]


async def nothing_is_left(redis: Redis, names: list[str]) -> None:
    """Wait until neither a lock nor a waiter of these names is on the server."""

    async def clean() -> bool:
        keys = [f"arp:{{{name}}}:{part}" for name in names for part in ("lock", "waiters")]
        return not any([await redis.exists(key) for key in keys])

    await eventually(clean)


async def test_all_names_are_held_or_none(anywhere: Redis, names: list[str]) -> None:
    """While one of the names is another's none is taken; held, they are so for every `Lock`, and free together."""
    other = await Lock(anywhere, names[1]).acquire()
    both = MultiLock(anywhere, names)
    assert await both.try_acquire() is None
    assert await held(anywhere, names) == [False, True, False]
    await other.release()
    async with both as lease:
        assert await held(anywhere, names) == [True, True, True]
        assert [await Lock(anywhere, name).try_acquire() for name in names] == [None, None, None]
        assert (await Lock(anywhere, names[0]).owner()).fence == lease.fence
    await nothing_is_left(anywhere, names)


async def test_its_fence_is_above_those_of_each_name(anywhere: Redis, names: list[str]) -> None:
    """The one fence is larger than every earlier one of each name, and smaller than every later one."""
    before = []
    for times, name in enumerate(names, 1):
        for _ in range(times):
            async with Lock(anywhere, name) as lease:
                before.append(lease.fence)
    async with MultiLock(anywhere, names) as both:
        assert both.fence > max(before)
    for name in names:
        async with Lock(anywhere, name) as lease:
            assert lease.fence > both.fence


async def test_all_names_are_renewed(anywhere: Redis, names: list[str]) -> None:
    """The lease outlives its length many times, with every name."""
    async with MultiLock(anywhere, names, lease=0.9) as lease:
        await eventually(lambda: lease.held_for > 2)
        assert not lease.lost
        assert await held(anywhere, names) == [True, True, True]


async def test_the_loss_of_one_is_the_loss_of_all(anywhere: Redis, names: list[str]) -> None:
    """When one name is taken away the body is cancelled, and the others are free when the lease has run out."""
    with pytest.raises(LockLostError):
        async with MultiLock(anywhere, names, lease=0.3):
            await Lock(anywhere, names[2]).force_release()
            await asyncio.sleep(10)
    await nothing_is_left(anywhere, names)


async def test_extend_extends_all(anywhere: Redis, names: list[str]) -> None:
    """Extend sets the time that is left of every name, and raises when one of them is lost."""
    lease = await MultiLock(anywhere, names, lease=2).acquire()
    await lease.extend(30)
    owners = [await Lock(anywhere, name).owner() for name in names]
    assert all(29 < owner.valid_for <= 30 for owner in owners if owner)
    await Lock(anywhere, names[0]).force_release()
    with pytest.raises(LockLostError):
        await lease.extend(1)
    for name in names:
        await Lock(anywhere, name).force_release()


async def test_release_answers_once(anywhere: Redis, names: list[str]) -> None:
    """A release is True once, and a second one touches nothing that others hold by then."""
    lease = await MultiLock(anywhere, names).acquire()
    assert await lease.release() is True
    async with Lock(anywhere, names[0]):
        assert await lease.release() is False
        assert await Lock(anywhere, names[0]).locked()


async def test_overlapping_sets_never_wait_for_one_another(anywhere: Redis, names: list[str]) -> None:
    """Sets that overlap, named in any order, and single locks exclude one another, and nobody waits for ever."""
    dice, inside = random.Random(3), dict.fromkeys(names, 0)

    async def work(number: int) -> None:
        for _ in range(5):
            mine = dice.sample(names, dice.randint(1, 3))
            lock = Lock(anywhere, mine[0]) if len(mine) == 1 and number % 2 else MultiLock(anywhere, mine)
            async with lock:
                for name in mine:
                    inside[name] += 1
                    assert inside[name] == 1
                await asyncio.sleep(0)
                for name in mine:
                    inside[name] -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*[work(number) for number in range(12)])
    await nothing_is_left(anywhere, names)


async def test_a_release_wakes_it_at_once(url: str, names: list[str]) -> None:
    """A waiter for several names is woken by the release of the last of them, by another client and by its own."""
    async with connect(url) as one, connect(url) as two:
        for client in (one, two):
            locks = [await Lock(one, name).acquire() for name in names]
            waiter = asyncio.create_task(MultiLock(client, names).acquire())
            await eventually(lambda: one.exists(*[f"arp:{{{name}}}:waiters" for name in names]))
            started = asyncio.get_running_loop().time()
            await asyncio.gather(*[lock.release() for lock in locks])
            lease = await waiter
            assert asyncio.get_running_loop().time() - started < 0.4
            await lease.release()


@pytest.mark.parametrize("others", [0, 1])
async def test_what_it_cannot_use_wakes_who_can(pipelined: Redis, names: list[str], others: int) -> None:
    """One that asks while a name is another's wakes who waits for those that are free, whichever they are."""
    two = sorted(names[:2], key=lambda name: slot(f"{{{name}}}"))
    taken, free = two[others], two[1 - others]
    async with Lock(pipelined, taken), overheard(pipelined, "inbox") as told:
        await pipelined.zadd(f"arp:{{{free}}}:waiters", {"inbox": 1})
        assert await MultiLock(pipelined, two).try_acquire() is None
        assert await told() == ["inbox"]


async def test_who_gives_up_wakes_nobody_for_what_is_held(pipelined: Redis, names: list[str]) -> None:
    """What a claim takes back wakes who waits for its names where they are free, and not where another has them."""
    lock, link = MultiLock(pipelined, names), link_of(pipelined)
    (group,) = lock._groups_on(link)
    async with Lock(pipelined, names[0]), overheard(pipelined, *names) as told:
        for name in names:
            await pipelined.zadd(f"arp:{{{name}}}:waiters", {name: 1, "inbox": 2})
        assert await group.free(link, "token", 5, "inbox") == 0
        assert sorted(await told()) == sorted(names[1:])
        assert [await pipelined.exists(f"arp:{{{name}}}:waiters") for name in names] == [1, 0, 0]


async def test_a_part_of_it_is_given_up_when_another_is_taken(pipelined: Redis, names: list[str]) -> None:
    """A token that asks again, and has lost a name meanwhile, keeps none of the others."""
    lock, link = MultiLock(pipelined, names, lease=60), link_of(pipelined)
    (group,) = lock._groups_on(link)
    for stolen in names:
        assert await group.ask(link, "token", 0, 5) > 0
        await Lock(pipelined, stolen).force_release()
        async with Lock(pipelined, stolen):
            assert await group.ask(link, "token", 0, 5) < 0
            assert await held(pipelined, names) == [name == stolen for name in names]


async def test_a_place_counts_what_was_waited(pipelined: Redis, names: list[str]) -> None:
    """One that asks after it has waited for five seconds stands where it would if it had asked at their start."""
    lock, link = MultiLock(pipelined, names), link_of(pipelined)
    (group,) = lock._groups_on(link)
    async with Lock(pipelined, names[0]), times_in(pipelined, -5) as times:
        assert await group.ask(link, "token", 0, 5, "inbox", 5 * SECOND) < 0
        times.append(await pipelined.zscore(f"arp:{{{names[0]}}}:waiters", "inbox"))


async def test_a_wake_up_that_is_of_no_use_goes_on(url: str, names: list[str]) -> None:
    """One that is woken for a name while it lacks another passes the wake-up on to who waits for that name alone."""
    async with connect(url) as one, connect(url) as two, connect(url) as three:
        first, second = sorted(names[:2], key=lambda name: slot(f"{{{name}}}"))  # it waits for this one first
        holds = [await Lock(one, name).acquire() for name in (first, second)]
        several = asyncio.create_task(MultiLock(two, [first, second]).acquire())
        await eventually(lambda: one.zcard(f"arp:{{{first}}}:waiters"))
        single = asyncio.create_task(Lock(three, first).acquire())

        async def both_wait() -> bool:
            return int(await one.zcard(f"arp:{{{first}}}:waiters")) == 2

        await eventually(both_wait)
        started = asyncio.get_running_loop().time()
        await holds[0].release()
        lease = await single
        assert asyncio.get_running_loop().time() - started < 0.4
        await holds[1].release()
        await lease.release()
        assert await (await several).release()


async def test_acquire_gives_up_at_its_timeout(anywhere: Redis, names: list[str]) -> None:
    """A waiter that cannot have all names gives up at its timeout, and keeps none."""
    async with Lock(anywhere, names[0]):
        started = asyncio.get_running_loop().time()
        with pytest.raises(LockTimeoutError):
            await MultiLock(anywhere, names).acquire(timeout=0.2)
        assert 0.19 <= asyncio.get_running_loop().time() - started < 0.5
    await nothing_is_left(anywhere, names)


async def test_cancelled_at_any_moment_nothing_is_left(anywhere: Redis, names: list[str]) -> None:
    """Waiters that are cancelled anywhere leave no name taken, no place and no task, long before any lease ends."""
    dice = random.Random(7)

    async def use() -> None:
        async with MultiLock(anywhere, dice.sample(names, 2), lease=60):
            await asyncio.sleep(dice.random() * 0.002)

    for _ in range(10):
        tasks = [asyncio.create_task(use()) for _ in range(20)]
        for task in tasks:
            await asyncio.sleep(dice.random() * 0.0005)
            task.cancel()
        await asyncio.wait(tasks)
    await nothing_is_left(anywhere, names)


async def test_events_tell_the_story(anywhere: Redis, names: list[str]) -> None:
    """A hook hears once of each acquisition, release, timeout and loss, whatever the number of names."""
    told: list[Any] = []
    lock = MultiLock(anywhere, names, on_event=told.append, on_lost="flag")
    async with lock:
        assert await lock.try_acquire() is None
        with pytest.raises(LockTimeoutError):
            await asyncio.create_task(lock.acquire(timeout=0))
    lease = await lock.acquire()
    await Lock(anywhere, names[0]).force_release()
    with pytest.raises(LockLostError):
        await lease.extend()
    kinds = [LockAcquired, LockTimedOut, LockReleased, LockAcquired, LockLost]
    assert [type(event) for event in told] == kinds
    assert {event.pattern for event in told} == {"MultiLock"}
    for name in names:
        await Lock(anywhere, name).force_release()


@pytest.mark.parametrize(
    "names", ["one", b"one", [], ["a", "a"], ["a", ""], ["a", 1], [None], ["x" * 513], [f"{n}" for n in range(101)]]
)
def test_names_that_make_no_sense_are_refused(names: Any) -> None:
    """Names that are none, too many or one twice are refused when the lock is made, before there is a connection."""
    with pytest.raises((ValueError, TypeError)):
        MultiLock(Redis(port=1), names)


async def test_odd_names_work(anywhere: Redis, name: str) -> None:
    """Names of any characters are the same as those of a `Lock`."""
    odd = [name + part for part in ("a{b}c", "}", "nul\0", "line\r\nfeed", "*", "a b", "\u00e9")]
    async with MultiLock(anywhere, odd):
        assert await held(anywhere, odd) == [True] * len(odd)
        assert not await Lock(anywhere, name).locked()
