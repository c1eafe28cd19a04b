"""What every lock that one holder has at a time promises, whatever its class."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import LockTimeoutError, OutcomeUnknownError, PatternError
from aioredis_patterns.locks import Redlock
from aioredis_patterns.locks._waiting import Waiting
from tests.locks.mutexes import MUTEXES
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.full import fill
from tests.support.processes import worker
from tests.support.waiting import eventually, lag_of_the_loop

CLIENTS: dict[str, Callable[[str], Any]] = {
    "pipelined": connect,
    "plain": lambda url: Redis.from_url(url, retry=Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)),
    "plain-resp2-decoding": lambda url: Redis.from_url(url, protocol=2, decode_responses=True),
    "cluster": connect,
}
"""What users build, the retries of redis-py's own default included."""


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, url: str) -> Any:
    """A client of each kind, of one server or of a cluster, which is started for those alone who ask for it."""
    return CLIENTS[request.param](request.getfixturevalue("cluster").url if "cluster" in request.param else url)


@pytest_asyncio.fixture
async def redis(client: Any) -> AsyncIterator[Any]:
    """The same, open as long as the test runs."""
    async with client:
        yield client


@pytest.fixture(params=MUTEXES)
def kind(request: pytest.FixtureRequest) -> str:
    """The class under test."""
    return str(request.param)


@pytest.fixture
def make(kind: str) -> Callable[..., Any]:
    """Makes a lock of the class under test."""
    return MUTEXES[kind]


async def leftovers(redis: Redis, name: str) -> list[Any]:
    """The keys of a lock on the server, its fence counter apart, and its waiters in the client."""
    server: Any = getattr(redis, "cluster_client", redis)  # which scans all nodes
    keys = [key async for key in server.scan_iter(match=f"arp:{{{name}}}:*")]
    names = [key if isinstance(key, str) else key.decode() for key in keys]
    return [key for key in names if not key.endswith(":fence")] + ["waiter"] * len(link_of(redis).companion(Waiting))


async def is_taken_and_released(lock: Any) -> bool:
    """Whether it works; the first time the connections have to be opened, for which a moment may be too short."""
    try:
        return bool(await (await lock.acquire()).release())
    except (RedisError, PatternError):
        return False


async def nothing_is_left(redis: Redis, name: str) -> None:
    """Wait until neither the server nor the client keeps anything of the lock."""

    async def clean() -> bool:
        return not await leftovers(redis, name)

    await eventually(clean)


async def waiting(redis: Redis, name: str, lock: Any) -> asyncio.Task[Any]:
    """A task that waits for a lock which is held, known to the server unless its class has no line there."""
    before = await leftovers(redis, f"{name}*")
    waiter = asyncio.create_task(lock.acquire())

    async def known() -> bool:
        return isinstance(lock, Redlock) or len(await leftovers(redis, f"{name}*")) > len(before)

    await eventually(known)
    return waiter


def is_evalsha(command: Command) -> bool:
    return command[0].upper() in (b"EVALSHA", b"EVAL")


async def test_one_task_at_a_time(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """Tasks that share a definition are never inside together, and their fences grow in the order of entry."""
    lock, inside, fences = make(redis, name, lease=10), 0, []

    async def work() -> None:
        nonlocal inside
        for _ in range(5):
            async with lock as lease:
                inside += 1
                assert inside == 1
                fences.append(lease.fence)
                await asyncio.sleep(0)
                inside -= 1

    await asyncio.gather(*[work() for _ in range(30)])
    assert len(fences) == 150
    assert fences == sorted(set(fences))
    await nothing_is_left(redis, name)


async def test_one_client_at_a_time(url: str, name: str, make: Callable[..., Any]) -> None:
    """Clients exclude one another, each with definitions of its own."""
    inside = 0

    async def work() -> None:
        nonlocal inside
        async with connect(url) as redis:
            for _ in range(20):
                async with make(redis, name, lease=10):
                    inside += 1
                    assert inside == 1
                    await asyncio.sleep(0)
                    inside -= 1

    await asyncio.gather(*[work() for _ in range(5)])


async def test_one_process_at_a_time(kind: str, url: str, name: str) -> None:
    """Holds of several processes, by the machine's one monotonic clock, never overlap, and their fences only grow."""
    async with contextlib.AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(worker("tests.locks.workers:contend", kind, url, name, 10, 25))
            for _ in range(4)
        ]
        said = await asyncio.gather(*[process.line(timeout=50) for process in processes])
    holds = sorted(tuple(hold) for holds in said for hold in holds)
    assert len(holds) == 1000
    assert all(before[1] <= after[0] for before, after in pairwise(holds))
    assert all(before[2] < after[2] for before, after in pairwise(holds))


async def test_try_acquire_answers_at_once(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """A held lock is None at once, a free one a lease."""
    lock = make(redis, name, lease=10)
    lease = await lock.try_acquire()
    async with asyncio.timeout(1):
        assert await asyncio.create_task(lock.try_acquire()) is None
    assert await lease.release()
    again = await lock.try_acquire()
    assert again.fence > lease.fence
    assert await again.release()


async def test_acquire_raises_at_its_timeout(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """A waiter gives up at its timeout, not earlier and hardly later."""
    lock = make(redis, name, lease=10)
    async with lock:
        started = asyncio.get_running_loop().time()
        with pytest.raises(LockTimeoutError):
            await asyncio.create_task(lock.acquire(timeout=0.2))
        assert 0.2 <= asyncio.get_running_loop().time() - started < 0.35
    await nothing_is_left(redis, name)


async def test_a_killed_holder_frees_it_with_its_lease(
    kind: str, url: str, pipelined: Redis, name: str, make: Callable[..., Any]
) -> None:
    """After kill -9 of the holder's process the next one has the lock when the lease has run out, and a new fence."""
    async with worker("tests.locks.workers:hold", kind, url, name, 0.6) as process:
        fence = await process.line()
        waiter = asyncio.create_task(make(pipelined, name, lease=10).acquire())
        await asyncio.sleep(0)
        process.kill()
        started = asyncio.get_running_loop().time()
        lease = await waiter
        assert asyncio.get_running_loop().time() - started < 1.5
        assert lease.fence > fence
        await lease.release()
    await nothing_is_left(pipelined, name)


async def test_a_frozen_holder_learns_of_its_loss(
    kind: str, url: str, pipelined: Redis, name: str, make: Callable[..., Any]
) -> None:
    """A holder that was stopped beyond its lease is told when it goes on, and takes nothing from the next holder."""
    async with worker("tests.locks.workers:hold", kind, url, name, 0.3) as process:
        fence = await process.line()
        process.pause()
        lease = await make(pipelined, name, lease=10).acquire(timeout=5)
        process.resume()
        said = await process.line()
        assert said[0] == "lost"
        assert lease.fence > fence
        assert await lease.release()


async def test_a_dropped_handle_ends_with_its_lease(
    pipelined: Redis, url: str, name: str, make: Callable[..., Any]
) -> None:
    """A waiter has what nobody gave back as soon as the lease has run out, though nobody tells it."""
    async with connect(url) as other, lag_of_the_loop() as lag:
        dropped = await make(pipelined, name, lease=0.2).acquire()
        until = dropped.valid_until
        del dropped
        lease = await make(other, name, lease=10).acquire()
        assert time.monotonic() - until < 0.15 + 2 * lag.worst
        assert await lease.release()


async def test_waiting_is_no_polling(own_server: EmbeddedServer, name: str, make: Callable[..., Any]) -> None:
    """A waiter asks a few times in a second, and not all the time."""

    async def calls() -> int:
        stats = await other.info("commandstats")
        return sum(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in ("evalsha", "eval"))

    async with connect(own_server.url) as redis, connect(own_server.url) as other:
        held = await make(redis, name, lease=60).acquire()
        waiter = asyncio.create_task(make(other, name, lease=60).acquire())
        await eventually(lambda: len(link_of(other).companion(Waiting)) == 1)
        before = await calls()
        await eventually(lambda: held.held_for > 1)
        assert await calls() - before < 25
        assert await held.release()
        assert await (await waiter).release()


async def test_every_key_ends_by_itself(pipelined: Redis, url: str, name: str, make: Callable[..., Any]) -> None:
    """While it is held and waited for there is no key that would stay if all who know of it died."""
    async with make(pipelined, name, lease=60), connect(url) as other:
        waiter = await waiting(pipelined, name, make(other, name, lease=60))
        lives = {key: await pipelined.pttl(key) for key in await pipelined.keys(f"arp:{{{name}*")}
        assert all(life > 0 for life in lives.values()), lives
        waiter.cancel()
        await asyncio.wait([waiter])


async def test_who_gives_up_leaves_its_place(pipelined: Redis, url: str, name: str, make: Callable[..., Any]) -> None:
    """The place of a waiter that was cancelled is free at once, and not when it would have run out."""
    async with make(pipelined, name, lease=60), connect(url) as other:
        before = await leftovers(pipelined, f"{name}*")
        waiter = await waiting(pipelined, name, make(other, name, lease=60))
        waiter.cancel()
        await asyncio.wait([waiter])

        async def has_left() -> bool:
            return set(await leftovers(pipelined, f"{name}*")) == set(before)

        await eventually(has_left, timeout=2)


async def test_a_client_that_was_closed_stays_closed(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """What a cancelled waiter takes back opens no connection of a client that is closed in the same moment."""
    async with connect(own_server.url) as direct, make(direct, name, lease=60):
        before = await leftovers(direct, f"{name}*")  # for which it opens a connection
        connections, tasks = len(await direct.client_list()), asyncio.all_tasks()
        for _ in range(5):
            redis = connect(own_server.url)
            waiter = await waiting(direct, name, make(redis, name, lease=60))
            waiter.cancel()
            await asyncio.wait([waiter])
            await redis.aclose()
            await eventually(lambda: not asyncio.all_tasks() - tasks)

        async def gone() -> bool:
            is_closed = len(await direct.client_list()) <= connections
            return is_closed and set(await leftovers(direct, f"{name}*")) == set(before)

        await eventually(gone, timeout=2)


async def test_a_release_of_what_was_taken_away_is_false(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """Who gives back what the server has forgotten is told that it was not held any more."""
    lease = await make(redis, name, lease=60).acquire()
    for key in await leftovers(redis, name):
        await redis.delete(key)
    assert await lease.release() is False
    assert lease.lost
    assert await (await make(redis, name, lease=60).acquire(timeout=5)).release()


async def test_a_full_server_takes_nothing_away(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """When Redis is out of memory what is held is prolonged and given back, though nothing new may be written."""
    async with connect(own_server.url) as redis:
        lease = await make(redis, name, lease=60).acquire()
        await fill(redis)
        await lease.extend()
        assert await lease.release()
        assert await leftovers(redis, name) == []


async def test_a_storm_of_cancellations_leaves_nothing(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """Cancelled at random moments in every way, holders and waiters leave no key, no place in line and no task."""
    dice, lock, before = random.Random(11), make(redis, name, lease=30), asyncio.all_tasks()

    async def use() -> None:
        async with lock:
            await asyncio.sleep(dice.random() * 0.001)

    async def cancelled(times: int) -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(dice.random() * 0.01)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])

    async def timed_out() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(dice.random() * 0.01):
                await use()

    async def out_of_scope() -> None:
        with anyio.move_on_after(dice.random() * 0.01):
            await use()

    ways = [lambda: cancelled(1), lambda: cancelled(3), timed_out, out_of_scope]
    for _ in range(10):
        await asyncio.gather(*[dice.choice(ways)() for _ in range(40)])
    await nothing_is_left(redis, name)
    await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})


async def test_scripts_may_be_flushed(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """SCRIPT FLUSH before, within and after a hold is not noticed."""
    lock = make(redis, name, lease=0.6)
    for _ in range(3):
        await redis.script_flush()
        async with lock as lease:
            await redis.script_flush()
            first_end = lease.valid_until
            await eventually(lambda: lease.valid_until > first_end)  # noqa: B023
            await redis.script_flush()
    await nothing_is_left(redis, name)


@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "half_reply"])
async def test_lost_replies_do_not_block_their_caller(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any], fault: Any
) -> None:
    """With a tenth of the requests or replies lost every caller gets the lock, one at a time, with growing fences."""
    async with (
        FaultProxy(own_server.host, own_server.port, seed=1) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        proxy.add(Fault(fault, is_evalsha, times=None, probability=0.1))
        lock, inside, fences = make(redis, name, lease=30), 0, []

        async def work() -> None:
            nonlocal inside
            for _ in range(10):
                async with lock as lease:
                    inside += 1
                    assert inside == 1
                    fences.append(lease.fence)
                    await asyncio.sleep(0)
                    inside -= 1

        async with asyncio.timeout(30):
            await asyncio.gather(*[work() for _ in range(10)])
        assert len(fences) == 100
        assert fences == sorted(set(fences))
        assert proxy.struck.total() > 3
        proxy.clear()
        await nothing_is_left(direct, name)


async def test_cancellations_among_lost_replies_leave_nothing(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """Callers that are cancelled while their replies are lost leave no key behind, long before any lease ends."""
    dice = random.Random(2)
    async with (
        FaultProxy(own_server.host, own_server.port, seed=2) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        lock = make(redis, name, lease=60)
        proxy.add(Fault("cut_after", is_evalsha, times=None, probability=0.05))
        proxy.delay(0, 0.002)

        async def use() -> None:
            async with lock:
                await asyncio.sleep(dice.random() * 0.001)

        for _ in range(10):
            tasks = [asyncio.create_task(use()) for _ in range(20)]
            for task in tasks:
                await asyncio.sleep(dice.random() * 0.004)
                task.cancel()
            await asyncio.wait(tasks)
        proxy.clear()
        await nothing_is_left(direct, name)
        await nothing_is_left(redis, name)


async def test_a_black_hole_ends_in_an_error(own_server: EmbeddedServer, name: str, make: Callable[..., Any]) -> None:
    """When the network swallows everything acquiring ends at the client's deadline, and what it left is undone."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url, deadline=0.3) as redis,
        connect(own_server.url) as direct,
    ):
        lock = make(redis, name, lease=20)
        await eventually(lambda: is_taken_and_released(lock))
        await nothing_is_left(direct, name)
        proxy.black_hole(requests=False)
        started = asyncio.get_running_loop().time()
        with pytest.raises(OutcomeUnknownError):
            await lock.acquire()
        assert asyncio.get_running_loop().time() - started < 0.5
        proxy.heal()
        await nothing_is_left(direct, name)


async def test_validity_counts_from_the_request(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """A lease whose answer took long is valid for so much less, since the server began to count before."""
    async with FaultProxy(own_server.host, own_server.port) as proxy, connect(proxy.url) as redis:
        lock = make(redis, name, lease=10)
        await (await lock.acquire()).release()
        proxy.delay(0.3, 0.3, requests=False)
        lease = await lock.acquire()
        assert 9 < lease.valid_for <= 9.7
        proxy.clear()
        await lease.release()


async def test_a_release_that_is_cancelled_is_done_all_the_same(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """A release that is cancelled before it could be sent frees the lock as soon as there is a connection again."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        lease = await make(redis, name, lease=60).acquire()
        proxy.refuse()
        await proxy.cut_all()
        releasing = asyncio.create_task(lease.release())
        for _ in range(5):
            await asyncio.sleep(0.01)
            releasing.cancel()
        proxy.heal()
        await asyncio.wait([releasing])
        assert releasing.cancelled()
        assert await leftovers(direct, name) == []


@pytest.mark.parametrize("odd", ["{braces}", "nul\0", "line\r\nbreak", "glob*?[a]", "a}b{c"])
async def test_odd_names_are_names(pipelined: Redis, name: str, make: Callable[..., Any], odd: str) -> None:
    """A name with braces, control characters or globs locks itself and nothing else."""
    lock, plain = make(pipelined, name + odd, lease=10), make(pipelined, name, lease=10)
    async with lock:
        assert await asyncio.create_task(lock.try_acquire()) is None
        free = await plain.try_acquire()
        assert free is not None
        assert await free.release()


async def test_a_release_that_is_cancelled_after_a_lost_reply_is_done_all_the_same(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """A release whose request was lost, and that is cancelled before it could ask again, frees the lock."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        lease = await make(redis, name, lease=60).acquire()
        proxy.refuse()
        proxy.add(Fault("cut_before", is_evalsha))
        releasing = asyncio.create_task(lease.release())
        await eventually(lambda: proxy.struck.total() == 1)
        for _ in range(5):
            await asyncio.sleep(0.01)
            releasing.cancel()
        proxy.heal()
        await asyncio.wait([releasing])
        assert releasing.cancelled()
        await nothing_is_left(direct, name)


async def test_a_release_in_a_black_hole_ends_at_the_deadline(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """A release that nobody answers ends in an error at the client's deadline, not later."""
    async with FaultProxy(own_server.host, own_server.port) as proxy, connect(proxy.url, deadline=0.5) as redis:
        lease = await make(redis, name, lease=20).acquire()
        proxy.black_hole()
        async with lag_of_the_loop() as lag:
            started = asyncio.get_running_loop().time()
            with pytest.raises((OutcomeUnknownError, RedisError)):
                await lease.release()
            assert asyncio.get_running_loop().time() - started < 0.7 + 2 * lag.worst


async def test_the_shortest_timeout_is_one(redis: Redis, name: str, make: Callable[..., Any]) -> None:
    """What is left of somebody's patience may be less than any call takes: then it is over, and that is all."""
    async with make(redis, name, lease=10) as held:
        with pytest.raises((LockTimeoutError, OutcomeUnknownError)):
            await asyncio.create_task(make(redis, name, lease=10).acquire(timeout=1e-9))
        assert held.valid_for
    await nothing_is_left(redis, name)


async def test_a_release_that_is_cancelled_in_a_black_hole_ends(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """When the network swallows everything, a release that is cancelled ends at the client's deadline."""
    async with FaultProxy(own_server.host, own_server.port) as proxy, connect(proxy.url, deadline=0.2) as redis:
        lock = make(redis, name, lease=20)
        await eventually(lambda: is_taken_and_released(lock))
        lease = await lock.acquire()
        proxy.black_hole()
        releasing = asyncio.create_task(lease.release())
        await asyncio.sleep(0)
        releasing.cancel()
        async with asyncio.timeout(2):
            await asyncio.wait([releasing])
        assert releasing.cancelled()


async def test_a_waiter_that_is_cancelled_ends_at_once(
    own_server: EmbeddedServer, name: str, make: Callable[..., Any]
) -> None:
    """Also when the network swallows everything, the undo included, which follows when it does not any more."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        held = await make(direct, name, lease=60).acquire()
        waiter = asyncio.create_task(make(redis, name, lease=60).acquire())
        await eventually(lambda: len(link_of(redis).companion(Waiting)) == 1)
        proxy.black_hole()
        waiter.cancel()
        async with asyncio.timeout(0.3):
            await asyncio.wait([waiter])
        assert waiter.cancelled()
        proxy.heal()
        assert await held.release()
        await nothing_is_left(direct, name)


async def test_asking_again_is_a_whole_lease(own_server: EmbeddedServer, name: str, make: Callable[..., Any]) -> None:
    """A lock whose first reply was lost lives on the server, after it was asked for again, as long as it is valid."""
    async with (
        FaultProxy(own_server.host, own_server.port) as proxy,
        connect(proxy.url) as redis,
        connect(own_server.url) as direct,
    ):
        await (await make(redis, name, lease=10).acquire()).release()
        proxy.black_hole(requests=False)
        asking = asyncio.create_task(make(redis, name, lease=10).acquire())

        async def given() -> bool:
            return bool(await leftovers(direct, name))

        await eventually(given)
        await asyncio.sleep(0.1)  # the lease that was given runs
        await proxy.cut_all()
        proxy.heal()
        lease = await asking
        assert max([await direct.pttl(key) for key in await leftovers(direct, name)]) >= lease.valid_for * 1000 - 10
        assert await lease.release()
