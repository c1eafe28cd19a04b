"""Redlock: a lock on five real servers, some of which are stopped, paused, emptied or slow."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_servers
from aioredis_patterns.errors import LockLostError, LockTimeoutError, OutcomeUnknownError
from aioredis_patterns.locks import Redlock
from aioredis_patterns.locks.redlock import _CONFIRM
from tests.locks.test_mutex_contract import is_evalsha
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually

UNREACHABLE = (RedisConnectionError, OutcomeUnknownError)


@pytest_asyncio.fixture
async def servers() -> AsyncIterator[list[EmbeddedServer]]:
    """Five servers that know nothing of one another, and forget everything when they end."""
    async with embedded_servers(5, args=["--appendonly", "no", "--save", ""]) as running:
        yield running


@contextlib.asynccontextmanager
async def clients(servers: list[EmbeddedServer], deadline: float = 5) -> AsyncIterator[list[Redis]]:
    """A client of each server."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(server.url, deadline=deadline)) for server in servers]


@pytest_asyncio.fixture
async def five(servers: list[EmbeddedServer]) -> AsyncIterator[list[Redis]]:
    """A client of each of the five servers."""
    async with clients(servers) as opened:
        yield opened


def proxy_of(server: EmbeddedServer) -> FaultProxy:
    return FaultProxy(str(server.host), int(server.port or 0), seed=2)


async def holders(five: Sequence[Redis], name: str) -> list[str]:
    """The token that has the lock on each server; empty where it is free."""
    values: list[Any] = [await redis.get(f"arp:{{{name}}}:redlock") for redis in five]
    return [bytes(value).decode() if value else "" for value in values]


async def free_everywhere(five: Sequence[Redis], name: str) -> None:
    """Wait until no server has the lock for anybody."""

    async def free() -> bool:
        return await holders(five, name) == [""] * len(five)

    await eventually(free)


async def known_everywhere(five: Sequence[Redis], name: str) -> None:
    """Use a lock once on every server: only then may each of them vote soon after its start."""
    async with Redlock(five, name, lease=0.6) as lease:

        async def everywhere() -> bool:
            return await holders(five, name) == [lease.token] * len(five)

        await eventually(everywhere)
    await free_everywhere(five, name)


async def test_every_server_has_the_lock(five: list[Redis], name: str) -> None:
    """What is held has the same token on every server, 1 % and 2 ms of the lease are not counted, and nothing stays."""
    async with Redlock(five, name, lease=100) as lease:
        assert 98 < lease.valid_for <= 100 * 0.99 - 0.002

        async def everywhere() -> bool:
            return await holders(five, name) == [lease.token] * 5

        await eventually(everywhere)
    await free_everywhere(five, name)


@pytest.mark.parametrize("fault", ["stopped", "paused", "emptied"])
async def test_two_of_five_may_fail(servers: list[EmbeddedServer], five: list[Redis], name: str, fault: str) -> None:
    """With two servers stopped, paused or emptied one holder at a time goes on, fences growing, and in good time."""
    await known_everywhere(five, name)
    lock, fences, started = Redlock(five, name, lease=2), [], asyncio.get_running_loop().time()
    for victims in ((0, 1), (2, 3), (4, 0)):
        for victim in victims:
            await harm(servers[victim], fault)
        for _ in range(5):
            async with lock as lease:
                fences.append(lease.fence)
                assert await Redlock(five, name, lease=2).try_acquire() is None
        for victim in victims:
            await heal(servers[victim], fault)
        await known_everywhere(five, name)
    assert all(one < two for one, two in pairwise(fences))
    assert asyncio.get_running_loop().time() - started < 6


async def harm(server: EmbeddedServer, fault: str) -> None:
    if fault == "paused":
        server.pause()
    elif fault == "stopped":
        await server.kill()
    else:
        await server.restart()


async def heal(server: EmbeddedServer, fault: str) -> None:
    if fault == "paused":
        server.resume()
    elif fault == "stopped":
        await server.restart()


async def test_fences_grow_over_a_storm_of_faults(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """While servers are paused and restarted empty at random, two at a time, holders never meet and fences grow."""
    await known_everywhere(five, name)
    dice, fences, inside = random.Random(5), [], 0

    async def work() -> None:
        nonlocal inside
        async with clients(servers) as own:
            lock = Redlock(own, name, lease=1.5)
            for _ in range(15):
                async with await lock.acquire(timeout=20) as lease:
                    inside += 1
                    assert inside == 1
                    fences.append(lease.fence)
                    await asyncio.sleep(dice.random() * 0.01)
                    inside -= 1

    async def trouble() -> None:
        while True:
            for victim in (pair := dice.sample(servers, 2)):
                victim.pause() if dice.random() < 0.5 else await victim.restart()
            await asyncio.sleep(0.2)
            for victim in pair:
                victim.resume()
            await asyncio.sleep(0.2)

    troubling = asyncio.create_task(trouble())
    await asyncio.gather(*[work() for _ in range(3)])
    troubling.cancel()
    assert len(fences) == 45
    assert all(one < two for one, two in pairwise(fences))


async def test_fences_grow_though_a_clock_is_ahead(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """A fence that came from a server an hour ahead is known to a majority: without that server they still grow."""
    await known_everywhere(five, name)
    run, ahead = (await five[0].info("server"))["run_id"], int(time.time() + 3600) * 1_000_000
    await five[0].set(f"arp:{{{name}}}:redlock:fence", f"{ahead} {run}", px=60_000)
    for server in servers[1:3]:
        server.pause()
    async with Redlock(five, name, lease=2) as first:
        assert first.fence == ahead + 1
    for server in servers[1:3]:
        server.resume()
    await free_everywhere(five, name)
    await servers[0].kill()
    async with await Redlock(five, name, lease=2).acquire(timeout=5) as second:
        assert second.fence > first.fence


async def test_taken_and_unreachable_are_different(servers: list[EmbeddedServer], name: str) -> None:
    """A lock that another holds is None or a timeout; servers that do not answer are an error of Redis, and soon."""
    async with clients(servers, deadline=0.5) as five:
        lock = Redlock(five, name, lease=2)
        async with lock:
            assert await lock.try_acquire() is None
            with pytest.raises(LockTimeoutError):
                await lock.acquire(timeout=0.1)
        for server in servers[:3]:
            server.pause()
        with pytest.raises(UNREACHABLE, match="2 of 5 servers answered, 3 have to"):
            await lock.try_acquire()
        started = asyncio.get_running_loop().time()
        with pytest.raises(UNREACHABLE):
            await lock.acquire()
        assert asyncio.get_running_loop().time() - started < 1
        with pytest.raises(UNREACHABLE):
            await lock.acquire(timeout=0.1)
        for server in servers[:3]:
            server.resume()
        await free_everywhere(five, name)


async def test_a_late_server_is_freed_when_it_comes_back(
    servers: list[EmbeddedServer], five: list[Redis], name: str
) -> None:
    """A server that executes a vote long after it was given up has it taken back, long before the lease would end."""
    await known_everywhere(five, name)
    for server in servers[:3]:
        server.pause()
    with pytest.raises(UNREACHABLE):
        await Redlock(five, name, lease=3600).acquire(timeout=0.2)
    for server in servers[:3]:
        server.resume()
    await free_everywhere(five, name)
    async with await Redlock(five, name, lease=3600).acquire(timeout=5):
        servers[4].pause()
    servers[4].resume()
    await free_everywhere(five, name)


async def test_an_even_number_needs_more_than_half(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """Of four servers three have to agree: one may fail, two may not."""
    await known_everywhere(five, name)
    lock = Redlock(five[:4], name, lease=2)
    await servers[0].kill()
    async with await lock.acquire(timeout=5):
        pass
    await servers[1].kill()
    with pytest.raises(UNREACHABLE, match="2 of 4"):
        await lock.try_acquire()


async def test_a_server_that_forgot_has_no_vote(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """A lock held on three of five is not given away when one of them restarts without it and the others are free."""
    await known_everywhere(five, name)
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(proxy_of(server)) for server in servers[3:]]
        cut_off = [await stack.enter_async_context(connect(proxy.url)) for proxy in proxies]
        for proxy in proxies:
            proxy.refuse()
        holder = await Redlock([*five[:3], *cut_off], name, lease=30, renew=False).acquire(timeout=5)
        note = await five[2].get(f"arp:{{{name}}}:redlock:fence")
        await servers[2].restart()
        await five[2].set(f"arp:{{{name}}}:redlock:fence", note or "")  # as if it had saved that, and not the lock
        assert await holders(five, name) == [holder.token, holder.token, "", "", ""]
        other = Redlock(five, name, lease=30)
        assert [await other.try_acquire() for _ in range(5)] == [None] * 5
        await servers[0].kill()
        await servers[1].kill()
        with pytest.raises(UNREACHABLE, match="1 started less than a lease ago"):
            await other.try_acquire()


async def test_a_new_lock_waits_for_no_server_that_is_young(five: list[Redis], name: str) -> None:
    """When all servers vote alike nobody can hold the lock, however young they are."""
    lease = await Redlock(five, name, lease=3600).try_acquire()
    assert lease is not None
    assert await lease.release()


async def test_a_renewal_puts_the_lock_back(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """Servers that are emptied one after the other get the lock back, so that its holder never loses it."""
    async with Redlock(five, name, lease=0.9) as lease:

        async def everywhere() -> bool:
            return await holders(five, name) == [lease.token] * 5

        for server in servers:
            await eventually(everywhere)
            await server.restart()
        await eventually(everywhere)
        assert not lease.lost
    await free_everywhere(five, name)


async def test_a_server_that_lost_a_part_gets_it_back(five: list[Redis], name: str) -> None:
    """A renewal puts the lock back where it alone is gone, and the fence where both are."""
    lock, fence = f"arp:{{{name}}}:redlock", f"arp:{{{name}}}:redlock:fence"
    async with Redlock(five, name, lease=0.9) as lease:
        for redis, lost in ((five[0], [lock]), (five[1], [lock, fence])):

            async def is_whole() -> bool:
                note: Any = await redis.get(fence) or b"0"  # noqa: B023
                return await redis.get(lock) == lease.token.encode() and note.startswith(b"%d " % lease.fence)  # noqa: B023

            await eventually(is_whole)
            await redis.delete(*lost)
            await eventually(is_whole)
        assert not lease.lost
    await free_everywhere(five, name)


async def test_a_server_confirms_what_it_has(pipelined: Redis, name: str) -> None:
    """A fence is noted where the token has the lock, and never in the place of a greater one."""
    lock, fence = f"arp:{{{name}}}:redlock", f"arp:{{{name}}}:redlock:fence"
    assert await _CONFIRM(pipelined, lock, fence, "token", 50) == 0
    assert not await pipelined.exists(lock, fence)
    await pipelined.set(lock, "token", px=1000)
    await pipelined.set(fence, "100 run", px=1000)
    assert await _CONFIRM(pipelined, lock, fence, "token", 50) == 1
    assert (await pipelined.get(fence) or b"").startswith(b"100 ")
    assert await pipelined.pttl(fence) > 1000


async def test_a_lock_without_an_end_is_taken(pipelined: Redis, name: str) -> None:
    """What somebody has written there by hand, without an expiry, is another's lock."""
    await pipelined.set(f"arp:{{{name}}}:redlock", "another")
    assert await Redlock([pipelined], name).try_acquire() is None
    await pipelined.delete(f"arp:{{{name}}}:redlock")


async def test_a_server_is_young_for_a_lease(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """A server's vote counts alone when it has run for longer than a lease, whether it knew the lock before or not."""

    async def age() -> int:
        return min([int((await redis.info("server"))["uptime_in_seconds"]) for redis in five[1:]])

    async def is_at(seconds: int) -> bool:
        return await age() >= seconds

    await servers[0].kill()
    lock = Redlock(five, name, lease=4)
    with pytest.raises(UNREACHABLE, match="started less than a lease ago"):
        await lock.try_acquire()
    await eventually(lambda: is_at(4), timeout=10)
    with pytest.raises(UNREACHABLE, match="started less than a lease ago"):
        await lock.try_acquire()
    await eventually(lambda: is_at(6), timeout=10)
    assert await (await lock.acquire(timeout=5)).release()


async def test_a_majority_that_forgot_is_a_loss(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """A holder whose lock is gone from three of five is cancelled at the next renewal and told, and nothing stays."""
    with pytest.raises(LockLostError) as caught:
        async with Redlock(five, name, lease=0.9):
            for redis in five[:3]:
                await redis.delete(f"arp:{{{name}}}:redlock")
            await asyncio.sleep(60)
    assert caught.value.reason == "expired"
    await free_everywhere(five, name)


async def test_a_holder_without_a_majority_is_told_in_time(
    servers: list[EmbeddedServer], five: list[Redis], name: str
) -> None:
    """When three of five do not answer any more the lease is over before the last of them lets it go."""
    loop, paused = asyncio.get_running_loop(), 0.0
    with pytest.raises(LockLostError) as caught:
        async with Redlock(five, name, lease=0.6):
            for server in servers[:3]:
                server.pause()
            paused = loop.time()
            await asyncio.sleep(60)
    assert loop.time() - paused < 0.7
    assert caught.value.reason == "unreachable"
    for server in servers[:3]:
        server.resume()


async def test_extending_needs_a_majority(servers: list[EmbeddedServer], five: list[Redis], name: str) -> None:
    """`extend` is confirmed by a majority, or an error that makes the lease no longer, or tells that it is lost."""
    async with clients(servers, deadline=0.3) as own:
        lease = await Redlock(own, name, lease=10, renew=False).acquire()
        await lease.extend(30)
        assert 29 < lease.valid_for <= 30 * 0.99 - 0.002
        assert sorted([await redis.pttl(f"arp:{{{name}}}:redlock") for redis in five])[2] > 29_000  # on a majority
        for server in servers[:3]:
            server.pause()
        with pytest.raises(UNREACHABLE):
            await lease.extend()
        assert lease.valid_for > 28
        with pytest.raises(UNREACHABLE):
            await lease.extend(5)
        assert 4 < lease.valid_for < 5  # a minority may have heard of it
        for server in servers[:3]:
            server.resume()
        for redis in five[:3]:
            await redis.set(f"arp:{{{name}}}:redlock", "another", px=1000)
        with pytest.raises(LockLostError, match="taken"):
            await lease.extend()
        assert not await lease.release()


@contextlib.asynccontextmanager
async def behind_proxies(servers: list[EmbeddedServer]) -> AsyncIterator[tuple[list[FaultProxy], list[Redis]]]:
    """Proxies of three servers, and clients that reach them through these and are connected."""
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(proxy_of(server)) for server in servers[:3]]
        three = [await stack.enter_async_context(connect(proxy.url)) for proxy in proxies]
        await (await Redlock(three, "warm").acquire()).release()
        yield proxies, three


async def test_a_majority_slower_than_the_lease_grants_nothing(
    servers: list[EmbeddedServer], five: list[Redis], name: str
) -> None:
    """Votes that took as long as the lease are worth nothing, and are taken back."""
    async with behind_proxies(servers) as (proxies, three):
        for proxy in proxies:
            proxy.delay(0.012, 0.012, requests=False)
        with pytest.raises(UNREACHABLE):
            await Redlock(three, name, lease=0.024).try_acquire()
        with pytest.raises(UNREACHABLE):
            await Redlock(three, name, lease=0.024).acquire(timeout=0.3)
        await free_everywhere(five, name)


async def test_a_renewal_slower_than_the_lease_is_none(servers: list[EmbeddedServer], name: str) -> None:
    """A majority that confirmed an extension after its end has extended nothing, and the caller is told."""
    async with behind_proxies(servers) as (proxies, three):
        lease = await Redlock(three, name, lease=10, renew=False).acquire()
        for proxy in proxies:
            proxy.delay(0.06, 0.06, requests=False)
        with pytest.raises(UNREACHABLE):
            await lease.extend(0.05)
        assert lease.lost


async def test_a_server_has_a_small_part_of_the_lease(
    servers: list[EmbeddedServer], five: list[Redis], name: str
) -> None:
    """When a majority is silent, trying ends after 8 % of the lease, in which every server was waited for."""
    await known_everywhere(five, name)
    for server in servers[:3]:
        server.pause()
    started = time.monotonic()
    with pytest.raises(UNREACHABLE):
        await Redlock(five, name, lease=5).try_acquire()
    assert 0.39 <= time.monotonic() - started < 1
    for server in servers[:3]:
        server.resume()


async def test_a_server_that_was_cut_off_is_freed_when_it_is_back(
    servers: list[EmbeddedServer], five: list[Redis], name: str
) -> None:
    """A vote whose answer was lost with the connection is taken back as soon as there is another, within the lease."""
    async with behind_proxies(servers) as (proxies, three):
        for proxy in proxies:
            proxy.add(Fault("cut_after", is_evalsha))
            proxy.refuse()
        with pytest.raises(UNREACHABLE):
            await Redlock(three, name, lease=3600).acquire(timeout=0.3)
        assert any(await holders(five, name))
        for proxy in proxies:
            proxy.heal()
        await free_everywhere(five, name)


async def test_a_handle_that_is_dropped_is_gone(servers: list[EmbeddedServer], name: str) -> None:
    """What failed before it was acquired keeps no handle alive, which would be renewed until a garbage collection."""
    async with behind_proxies(servers) as (proxies, three):
        for proxy in proxies:
            proxy.add(Fault("cut_after", is_evalsha))
        gc.disable()
        try:
            handle = weakref.ref(await Redlock(three, name, lease=5).acquire())
            await eventually(lambda: handle() is None, timeout=2)
        finally:
            gc.enable()
        assert all(proxy.struck.total() for proxy in proxies)


async def test_cancelled_at_any_moment_nothing_is_left(five: list[Redis], servers: list[Any], name: str) -> None:
    """Callers that are cancelled while they ask, confirm, hold, wait or release leave no server taken and no task."""
    await known_everywhere(five, name)
    lock, dice, before = Redlock(five, name, lease=60), random.Random(3), asyncio.all_tasks()

    async def use() -> None:
        async with lock:
            await asyncio.sleep(dice.random() * 0.001)

    for _ in range(12):
        tasks = [asyncio.create_task(use()) for _ in range(10)]
        for task in tasks:
            await asyncio.sleep(dice.random() * 0.002)
            task.cancel()
        await asyncio.wait(tasks)
    await free_everywhere(five, name)
    await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})


async def test_lost_replies_of_a_minority_are_not_noticed(servers: list[EmbeddedServer], name: str) -> None:
    """Cut connections to two of five servers cost nobody the lock, and the holders exclude one another."""
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(proxy_of(server)) for server in servers[:2]]
        urls = [proxy.url for proxy in proxies] + [server.url for server in servers[2:]]
        own = [await stack.enter_async_context(connect(url)) for url in urls]
        direct = [await stack.enter_async_context(connect(server.url)) for server in servers]
        await known_everywhere(own, name)
        for proxy in proxies:
            proxy.add(Fault("cut_after", lambda command: command[0] == b"EVALSHA", times=None, probability=0.2))
        lock, fences = Redlock(own, name, lease=5), []
        for _ in range(40):
            async with lock as lease:
                fences.append(lease.fence)
        assert all(one < two for one, two in pairwise(fences))
        assert sum(proxy.struck.total() for proxy in proxies) > 5
        for proxy in proxies:
            proxy.clear()
        await free_everywhere(direct, name)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"lease": 0}, ValueError),
        ({"lease": -1}, ValueError),
        ({"lease": 0.009}, ValueError),
        ({"lease": float("nan")}, ValueError),
        ({"lease": float("inf")}, ValueError),
        ({"lease": 10**12}, ValueError),
        ({"lease": "10"}, TypeError),
        ({"name": ""}, ValueError),
        ({"name": b"x"}, TypeError),
        ({"name": "x" * 513}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"on_lost": "explode"}, ValueError),
        ({"servers": []}, ValueError),
        ({"servers": ["redis://localhost"]}, TypeError),
        ({"retries": 3}, TypeError),
    ],
)
async def test_nonsense_is_refused(pipelined: Redis, arguments: dict[str, Any], error: type[Exception]) -> None:
    """What makes no sense is refused when the lock is made, with no command sent."""
    with pytest.raises(error):
        Redlock(**({"servers": [pipelined], "name": "x"} | arguments))


async def test_each_server_has_one_vote(pipelined: Redis) -> None:
    """The same client twice, or one instead of a list, is no set of servers."""
    with pytest.raises(ValueError, match="each of another server"):
        Redlock([pipelined, pipelined], "x")
    with pytest.raises(TypeError, match="sequence"):
        Redlock(pipelined, "x")  # type: ignore[arg-type]


async def test_names_touch_nothing_else(five: list[Redis], name: str) -> None:
    """Names with braces, NUL, line ends and globs are locked apart from each other."""
    names = [f"{name}{end}" for end in ("", "{", "}", "*", "\0", "\r\n", "{a}", "|b")]
    leases = [await Redlock(five, one).try_acquire() for one in names]
    assert all(leases)
    assert all([await lease.release() for lease in leases if lease])
