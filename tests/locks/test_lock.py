"""The lock's own promises: its lease, its fence, its loss, its cancellation, its arguments."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import LockError, LockLostError, LockTimeoutError
from aioredis_patterns.events import LockAcquired, LockLost, LockReleased, LockTimedOut
from aioredis_patterns.locks import Lease, Lock
from aioredis_patterns.locks._waiting import Waiter, Waiting
from aioredis_patterns.locks.lock import _ACQUIRE, _UNDO
from aioredis_patterns.locks.owner import next_token
from tests.locks.ghosts import SECOND, overheard, times_in
from tests.support.faults import FaultProxy
from tests.support.full import fill
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Every test ends with the tasks that it began with."""
    before = asyncio.all_tasks()
    yield
    await eventually(lambda: not [t for t in asyncio.all_tasks() - before - {asyncio.current_task()} if not t.done()])


async def keys_of(redis: Redis, name: str) -> set[str]:
    """The parts of a lock that exist on the server, the fence counter apart."""
    found = [key async for key in redis.scan_iter(match=f"arp:{{{name}}}:*")]
    parts = {(key if isinstance(key, str) else key.decode()).rsplit(":", 1)[1] for key in found}
    return parts - {"fence"}


async def gone(redis: Redis, name: str) -> None:
    """Wait until nothing of a lock is left, on the server or in the client."""
    for _ in range(500):
        if not await keys_of(redis, name):
            break
        await asyncio.sleep(0.01)
    assert await keys_of(redis, name) == set()
    assert len(link_of(redis).companion(Waiting)) == 0


# Holding -------------------------------------------------------------------------------------------------------------


async def test_a_lease_says_how_long_it_is_certain(pipelined: Redis, name: str) -> None:
    """A fresh lease is valid for nearly its length, counted from before the request, and for nothing once released."""
    lease = await Lock(pipelined, name, lease=timedelta(seconds=5)).acquire()
    assert 4.5 < lease.valid_for <= 5
    assert not lease.lost
    assert await lease.release()
    assert lease.valid_for == 0
    assert not lease.lost


async def test_release_answers_once(pipelined: Redis, name: str) -> None:
    """A second release is False and frees nobody else's lock."""
    lock = Lock(pipelined, name)
    first = await lock.acquire()
    assert await first.release() is True
    second = await lock.acquire()
    assert await first.release() is False
    assert await lock.locked()
    assert await second.release()


async def test_a_lease_is_renewed_while_it_is_held(pipelined: Redis, name: str) -> None:
    """A hold outlives its lease many times."""
    async with Lock(pipelined, name, lease=0.6) as lease:
        fence = lease.fence
        await eventually(lambda: lease.held_for > 2)
        assert not lease.lost
        assert await Lock(pipelined, name).try_acquire() is None
        assert (await Lock(pipelined, name).owner()).fence == fence


async def test_a_renewal_leaves_time_for_another(pipelined: Redis, name: str) -> None:
    """A lease is due when a third of it has passed, from its beginning and from each renewal."""
    lease = await Lock(pipelined, name, lease=0.6).acquire()
    for _ in range(2):
        end = lease.valid_until
        assert end - lease.due == pytest.approx(0.4)
        await eventually(lambda: lease.valid_until > end)  # noqa: B023
        assert lease.valid_until - 0.6 >= end - 0.4
    assert await lease.release()


async def test_many_leases_are_renewed_in_few_calls(pipelined: Redis, name: str) -> None:
    """A thousand held locks take a script call per hundred, not a timer and a call for each."""
    leases = await asyncio.gather(*[Lock(pipelined, f"{name}:{n}", lease=1.5).acquire() for n in range(1000)])
    before = (await pipelined.info("commandstats"))["cmdstat_evalsha"]["calls"]
    first_end = min(lease.valid_until for lease in leases)
    await eventually(lambda: min(lease.valid_until for lease in leases) > first_end, every=0.005)
    assert all(not lease.lost for lease in leases)
    after = (await pipelined.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await asyncio.gather(*[lease.release() for lease in leases])
    assert after - before <= 40


async def test_a_dropped_handle_is_not_renewed(pipelined: Redis, name: str) -> None:
    """A lease whose handle was lost by the program ends with its time, though the program lives."""
    lock = Lock(pipelined, name, lease=0.2)
    lease: Lease | None = await lock.acquire()
    assert lease is not None
    del lease
    gc.collect()
    async with asyncio.timeout(2):
        await (await lock.acquire()).release()


async def test_a_lease_without_renewal_ends(pipelined: Redis, name: str) -> None:
    """With renew=False the lease is lost when its time is over."""
    lease = await Lock(pipelined, name, lease=0.15, renew=False).acquire()
    await eventually(lambda: lease.lost)
    assert await lease.release() is False


async def test_max_hold_ends_the_renewal(pipelined: Redis, name: str) -> None:
    """A hold is lost when max_hold is over, neither much earlier nor later, and the lock is free then."""
    lock = Lock(pipelined, name, lease=0.2, max_hold=0.5)
    lease = await lock.acquire()
    await eventually(lambda: lease.lost)
    assert 0.45 < lease.held_for < 0.7
    async with asyncio.timeout(1):
        await (await lock.acquire()).release()


async def test_min_hold_keeps_the_lock_closed(pipelined: Redis, name: str) -> None:
    """A lock released early stays closed until min_hold is over."""
    lock = Lock(pipelined, name, min_hold=0.4)
    lease = await lock.acquire()
    assert await lease.release()
    assert await lock.try_acquire() is None
    again = await lock.acquire(timeout=2)
    assert lease.held_for >= 0.4
    assert again.fence > lease.fence
    assert await Lock(pipelined, name).force_release()


async def test_a_lock_that_is_kept_closed_is_nobodys(pipelined: Redis, name: str) -> None:
    """Until min_hold is over no token adopts a released lock, and it tells who had it."""
    lock = Lock(pipelined, name, min_hold=60)
    lease = await lock.acquire()
    assert await lease.release()
    for token in (lease.token, "-", ""):
        with pytest.raises(LockLostError):
            await lock.adopt(token)
    owner = await lock.owner()
    assert owner is not None
    assert owner.fence == lease.fence
    assert await lock.force_release()


async def test_extend_renews_now_and_from_now_on(pipelined: Redis, name: str) -> None:
    """Extend sets the time that is left, with another length too."""
    lease = await Lock(pipelined, name, lease=2).acquire()
    await lease.extend(30)
    assert 29 < lease.valid_for <= 30
    assert 29 < (await Lock(pipelined, name).owner()).valid_for <= 30
    await lease.release()


async def test_a_shorter_lease_counts_though_its_answer_is_lost(own_server: EmbeddedServer, name: str) -> None:
    """From the moment it is asked for, whatever an earlier renewal answers then, and it is renewed as it is."""
    async with FaultProxy(own_server.host, own_server.port) as proxy, connect(proxy.url, deadline=1) as redis:
        lease, renewal_sent = await Lock(redis, name, lease=60).acquire(), time.monotonic()
        proxy.black_hole(requests=False)
        extending = asyncio.create_task(lease.extend(3))
        await asyncio.sleep(0)
        assert lease.on_renewed(renewal_sent, 60_000)
        assert lease.valid_for <= 3
        with pytest.raises(RedisError):
            await extending
        assert lease.valid_for <= 3
        proxy.heal()
        await eventually(lambda: lease.held_for > 4)
        assert not lease.lost
        assert await lease.release()


async def test_extend_never_takes_a_lost_lock_again(pipelined: Redis, name: str) -> None:
    """Extending after a force release raises, and the lock stays free."""
    lock = Lock(pipelined, name)
    lease = await lock.acquire()
    await lock.force_release()
    with pytest.raises(LockLostError):
        await lease.extend()
    assert lease.lost
    assert not await lock.locked()


async def test_owner_describes_the_holder(pipelined: Redis, name: str) -> None:
    """Owner names process and task of the holder; nobody owns a free lock."""
    lock = Lock(pipelined, name, lease=10)
    assert await lock.owner() is None
    task = asyncio.current_task()
    assert task is not None
    task.set_name("a task with spaces")
    async with lock as lease:
        owner = await lock.owner()
    assert owner is not None
    assert (owner.pid, owner.task, owner.fence) == (os.getpid(), "a task with spaces", lease.fence)
    assert 9 < owner.valid_for <= 10


def test_a_forked_process_has_tokens_of_its_own() -> None:
    """Tokens of a child differ from those of its parent, though it began as its copy."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, next_token().encode())
        os._exit(0)
    mine = next_token()
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 100).decode()[:16] != mine[:16]
    os.close(reader)
    os.close(writer)


async def test_a_token_is_adopted(pipelined: Redis, url: str, name: str) -> None:
    """Another client goes on with a lease by its token, under the same fence; a wrong token gets nothing."""
    lease = await Lock(pipelined, name).acquire()
    async with connect(url) as other:
        adopted = await Lock(other, name).adopt(lease.token)
        assert adopted.fence == lease.fence
        assert await adopted.release()
        with pytest.raises(LockLostError):
            await Lock(other, name).adopt(lease.token)


async def test_force_release_wakes_a_waiter(pipelined: Redis, url: str, name: str) -> None:
    """Whoever waits gets a lock that was freed by force, at once."""
    async with connect(url) as other:
        held = await Lock(pipelined, name, lease=60).acquire()
        waiter = asyncio.create_task(Lock(other, name).acquire())
        await enrolled(pipelined, name)
        started = asyncio.get_running_loop().time()
        assert await Lock(pipelined, name).force_release()
        lease = await waiter
        assert asyncio.get_running_loop().time() - started < 0.4
        assert lease.fence > held.fence
        await lease.release()


async def enrolled(redis: Redis, name: str, clients: int = 1) -> None:
    """Wait until so many clients wait for the lock."""
    for _ in range(500):
        if await redis.zcard(f"arp:{{{name}}}:waiters") >= clients:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


# Fences --------------------------------------------------------------------------------------------------------------


async def test_fences_grow_over_everything(pipelined: Redis, name: str) -> None:
    """Each acquisition has a greater fence: after release, expiry, force release and loss of the counter."""
    lock = Lock(pipelined, name, lease=0.05, renew=False)
    fences = []
    for ending in ("release", "expire", "force", "evict", "release"):
        lease = await lock.acquire(timeout=2)
        fences.append(lease.fence)
        if ending == "release":
            await lease.release()
        elif ending == "force":
            await lock.force_release()
        elif ending == "evict":
            await lease.release()
            await pipelined.delete(f"arp:{{{name}}}:fence")
    assert fences == sorted(set(fences))


async def test_a_new_fence_is_the_servers_time(pipelined: Redis, name: str) -> None:
    """A counter that is not there begins at the server's time, in microseconds."""
    async with times_in(pipelined, 0) as times, Lock(pipelined, name) as lease:
        times.append(lease.fence)


# Waiting -------------------------------------------------------------------------------------------------------------


async def test_the_clock_is_asked_once(pipelined: Redis, name: str) -> None:
    """The server's time is read when the fence counter is made, and never for a free lock after that."""

    async def readings() -> int:
        stats = await pipelined.info("commandstats")
        return int(stats.get("cmdstat_time", {"calls": 0})["calls"])

    lock, before = Lock(pipelined, name), await readings()
    for _ in range(3):
        assert await (await lock.acquire()).release()
    assert await readings() - before == 1


async def test_acquire_gives_up_at_its_timeout(pipelined: Redis, name: str) -> None:
    """A waiter gives up neither early nor late, and leaves nothing."""
    lock = Lock(pipelined, name)
    async with lock:
        started = asyncio.get_running_loop().time()
        with pytest.raises(LockTimeoutError) as caught:
            await lock.acquire(timeout=0.3)
        assert 0.3 <= asyncio.get_running_loop().time() - started < 0.4
        assert caught.value.name == name
    await gone(pipelined, name)


async def test_timeout_zero_tries_once(pipelined: Redis, name: str) -> None:
    """With timeout=0 a free lock is had and a held one raises at once."""
    lock = Lock(pipelined, name)
    lease = await lock.acquire(timeout=0)
    with pytest.raises(LockTimeoutError):
        await lock.acquire(timeout=0)
    await lease.release()


async def test_the_inboxes_of_the_dead_do_not_pile_up(redis: Redis, name: str) -> None:
    """While a lock is held for weeks, clients that die in its line leave no more than a thousand names in it."""
    lock = f"arp:{{{name}}}:lock", f"arp:{{{name}}}:fence", f"arp:{{{name}}}:waiters"
    assert await _ACQUIRE(redis, *lock, "holder", 60_000, "") > 0
    for _ in range(11):
        asking = (_ACQUIRE(redis, *lock, f"t{uuid4()}", 60_000, "", f"arp:inbox:{uuid4()}", 0) for _ in range(100))
        assert max(await asyncio.gather(*asking)) < 0
    assert 990 <= await redis.zcard(lock[2]) <= 1000
    await redis.zadd(lock[2], {f"older:{number}": 1 for number in range(1000)})
    before = await redis.zcard(lock[2])
    assert await _ACQUIRE(redis, *lock, "late", 60_000, "", "arp:inbox:late", 0) < 0
    assert await redis.zcard(lock[2]) == before - 1
    assert await redis.zscore(lock[2], "arp:inbox:late")


async def test_a_waiter_outlives_a_dead_holder(pipelined: Redis, name: str) -> None:
    """A lock whose holder died is had as soon as its lease has run out, though nobody releases it."""
    await pipelined.set(f"arp:{{{name}}}:lock", "deadbeef 1 host 1 0 task", px=300)
    started = asyncio.get_running_loop().time()
    lease = await Lock(pipelined, name).acquire(timeout=5)
    assert 0.25 < asyncio.get_running_loop().time() - started < 0.6
    await lease.release()


async def test_hundreds_of_waiters_take_one_connection(pipelined: Redis, url: str, name: str) -> None:
    """500 waiting tasks cost one subscription connection, and each is served."""
    async with connect(url) as other:
        held = await Lock(other, name).acquire()
        await enrolled(other, name, 0)
        before = len(await other.client_list())
        served: list[int] = []

        async def wait(number: int) -> None:
            async with Lock(pipelined, name):
                served.append(number)

        waiters = [asyncio.create_task(wait(number)) for number in range(500)]
        await enrolled(other, name)
        assert len(await other.client_list()) - before <= 2  # one for leases, one that listens
        await held.release()
        await asyncio.gather(*waiters)
        assert served == sorted(served)
    await gone(pipelined, name)


async def test_release_wakes_the_client_that_waits_longest(url: str, name: str) -> None:
    """Clients get the lock in the order in which they began to wait, and only one of them is woken at a time."""
    clients = [connect(url) for _ in range(4)]
    order: list[int] = []
    holder, *others = clients
    held = await Lock(holder, name).acquire()

    async def wait(number: int, client: Redis) -> None:
        async with Lock(client, name):
            order.append(number)

    waiters = []
    for number, client in enumerate(others):
        waiters.append(asyncio.create_task(wait(number, client)))
        await enrolled(holder, name, number + 1)
    await held.release()
    await asyncio.gather(*waiters)
    assert order == [0, 1, 2]
    for client in clients:
        await client.aclose()


async def test_a_release_wakes_another_client_at_once(pipelined: Redis, url: str, name: str) -> None:
    """A waiter has the lock long before it would look for itself, though one that died stands before it."""
    async with connect(url) as other:
        held = await Lock(other, name).acquire()
        waiter = asyncio.create_task(Lock(pipelined, name).acquire())
        await enrolled(other, name)
        await other.zadd(f"arp:{{{name}}}:waiters", {"arp:inbox:of-the-dead": 0})
        assert await held.release()
        async with asyncio.timeout(0.4):
            lease = await waiter
    assert await lease.release()


async def test_a_waiter_looks_for_itself(pipelined: Redis, url: str, name: str) -> None:
    """A lock that was freed without a word is found within a second, however long its lease would have been."""
    async with connect(url) as other:
        held = await Lock(other, name, lease=60).acquire()
        waiter = asyncio.create_task(Lock(pipelined, name).acquire())
        await enrolled(other, name)
        await other.delete(f"arp:{{{name}}}:lock")
        async with asyncio.timeout(1.5):
            assert await (await waiter).release()
        assert not await held.release()


async def test_a_lock_goes_to_a_client_that_waits_longer(pipelined: Redis, url: str, name: str) -> None:
    """A release gives the lock to the next task of its own client only if no other client has waited longer."""
    async with connect(url) as other:
        order: list[str] = []

        async def wait(who: str, client: Redis) -> None:
            async with Lock(client, name):
                order.append(who)

        held = await Lock(pipelined, name).acquire()
        far = asyncio.create_task(wait("far", other))
        await enrolled(pipelined, name)
        near = asyncio.create_task(wait("near", pipelined))
        await enrolled(pipelined, name, 2)
        await held.release()
        async with asyncio.timeout(0.4):  # both are woken, and do not have to look
            await asyncio.gather(far, near)
        assert order == ["far", "near"]


async def test_a_lock_stays_with_a_client_that_waits_longest(pipelined: Redis, url: str, name: str) -> None:
    """A release gives the lock to the next task of its own client if that waits longer than every other client."""
    async with connect(url) as other:
        held = await Lock(pipelined, name).acquire()
        near = asyncio.create_task(Lock(pipelined, name).acquire())
        await enrolled(pipelined, name)
        far = asyncio.create_task(Lock(other, name).acquire())
        await enrolled(pipelined, name, 2)
        assert await held.release()
        lease = await near
        assert not far.done()
        assert await pipelined.zcard(f"arp:{{{name}}}:waiters") == 1  # who has the lock waits no more
        assert await lease.release()
        assert await (await far).release()


@pytest.mark.parametrize("order", [("near", "far"), ("far", "near")])
async def test_what_was_handed_over_goes_to_who_waits_longest(
    pipelined: Redis, url: str, name: str, order: tuple[str, ...]
) -> None:
    """Who got the lock by hand gives it to the next of its client or to another one, whoever has waited longer."""
    key, line, tasks = f"arp:{{{name}}}:lock", link_of(pipelined).companion(Waiting), []
    async with connect(url) as other:
        held = await Lock(pipelined, name).acquire()
        heir = asyncio.create_task(Lock(pipelined, name).acquire())
        await enrolled(pipelined, name)
        for who in order:
            tasks.append(asyncio.create_task(Lock(pipelined if who == "near" else other, name).acquire()))
            await (eventually(lambda: len(line[key]) == 2) if who == "near" else enrolled(other, name, 2))
        assert await held.release()
        lease = await heir
        await eventually(lambda: line.first(key).listening)
        for task in tasks:
            assert not task.done()
            assert await lease.release()
            async with asyncio.timeout(0.4):  # it is told, and does not have to look
                lease = await task
        assert await lease.release()


async def test_who_gives_up_passes_a_wake_up_on(pipelined: Redis, name: str) -> None:
    """An acquisition that is taken back wakes the next client, unless somebody else has the lock."""
    lock, waiters = f"arp:{{{name}}}:lock", f"arp:{{{name}}}:waiters"
    async with overheard(pipelined, "next") as told:
        for holder, woken in (("", ["next"]), ("token 1 owner", ["next"]), ("another 1 owner", [])):
            await pipelined.zadd(waiters, {"inbox": 1, "next": 2})
            if holder:
                await pipelined.set(lock, holder, px=60_000)
            await _UNDO(pipelined, lock, waiters, "token", "inbox")
            assert await told() == woken
        assert await pipelined.zrange(waiters, 0, -1) == [b"next"]
        await pipelined.delete(lock, waiters)


async def test_one_client_is_woken(pipelined: Redis, name: str) -> None:
    """A release tells the client that has waited longest, and nobody else."""
    waiters = f"arp:{{{name}}}:waiters"
    async with overheard(pipelined, "one", "two") as told:
        for inbox in ("one", "two"):
            lease = await Lock(pipelined, name).acquire()
            await pipelined.zadd(waiters, {"one": 1, "two": 2} if inbox == "one" else {"two": 2})
            assert await lease.release()
            assert await told() == [inbox]


async def test_a_place_counts_what_was_waited(pipelined: Redis, name: str) -> None:
    """A client that asks after it has waited for five seconds stands where it would if it had asked at their start."""
    async with Lock(pipelined, name) as held, times_in(pipelined, -5) as times:
        lock, link = Lock(pipelined, name), link_of(pipelined)
        _, answer = await lock._ask(link, "token", "owner", held.valid_until, "inbox", 5 * SECOND)
        assert answer < 0
        times.append(await pipelined.zscore(f"arp:{{{name}}}:waiters", "inbox"))


async def test_hand_overs_are_cheap(pipelined: Redis, name: str) -> None:
    """Within one client a hand-over takes one command, from the release to the next holder."""
    lock, rounds = Lock(pipelined, name), 20

    async def work() -> None:
        for _ in range(rounds):
            async with lock:
                await asyncio.sleep(0)

    async def calls() -> int:
        stats = await pipelined.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval", "subscribe"))

    before = await calls()
    await asyncio.gather(*[work() for _ in range(25)])
    assert (await calls() - before) / (25 * rounds) < 1.3


async def test_a_waiter_survives_the_loss_of_its_subscription(pipelined: Redis, url: str, name: str) -> None:
    """A waiter whose subscription connection was killed is woken all the same."""
    async with connect(url) as other:
        held = await Lock(other, name).acquire()
        waiter = asyncio.create_task(Lock(pipelined, name).acquire())
        await enrolled(other, name)
        await other.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await held.release()
        async with asyncio.timeout(3):
            await (await waiter).release()


async def test_a_release_needs_no_right_to_publish(own_server: EmbeddedServer, name: str) -> None:
    """A user who may publish nowhere frees the lock all the same, and who waits finds that out."""
    await own_server.ask("ACL", "SETUSER", "low", "on", ">pw", "~*", "resetchannels", "+@all")
    async with connect(own_server.url.replace("://", "://low:pw@")) as low, connect(own_server.url) as redis:
        held = await Lock(low, name).acquire()
        waiter = asyncio.create_task(Lock(redis, name).acquire(timeout=5))
        await enrolled(redis, name)
        assert await held.release()
        assert await (await waiter).release()


async def test_entering_twice_in_one_task_is_an_error(pipelined: Redis, name: str) -> None:
    """A task that would wait for itself for ever is told so, and keeps what it has."""
    lock = Lock(pipelined, name)
    async with lock as lease:
        with pytest.raises(LockError, match="already"):
            await lock.__aenter__()
        assert await lock.locked()
        assert not lease.lost
    assert not await lock.locked()


async def test_a_task_may_leave_what_another_has_entered(pipelined: Redis, name: str) -> None:
    """The exit finds its lease when another task leaves the block, as with async generators."""
    lock = Lock(pipelined, name)
    await asyncio.create_task(lock.__aenter__())
    await asyncio.create_task(lock.__aexit__(None, None, None))
    assert not await lock.locked()


# Loss ----------------------------------------------------------------------------------------------------------------


async def test_the_body_is_cancelled_when_its_lease_is_lost(pipelined: Redis, name: str) -> None:
    """Within a lease after the loss the body is cancelled, and the block raises LockLostError."""
    lock = Lock(pipelined, name, lease=0.3)
    cancelled = False
    with pytest.raises(LockLostError) as caught:
        async with lock:
            await lock.force_release()
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled = True
                raise
    assert cancelled
    assert caught.value.reason == "expired"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_taken_lock_is_not_touched_by_its_late_holder(pipelined: Redis, name: str) -> None:
    """A holder that lost its lock to another learns it, and leaves the other's lock alone."""
    lock = Lock(pipelined, name, lease=0.3)
    with pytest.raises(LockLostError, match="taken"):
        async with lock:
            await lock.force_release()
            other = await Lock(pipelined, name).try_acquire()
            await asyncio.sleep(10)
    assert other is not None
    assert await other.release()


@pytest.mark.parametrize("body", ["task group", "anyio task group", "timeout", "swallow"])
async def test_loss_goes_through_every_kind_of_body(pipelined: Redis, name: str, body: str) -> None:
    """Task groups, timeouts and bodies that swallow the cancellation all end in LockLostError."""
    lock = Lock(pipelined, name, lease=0.3)
    with pytest.raises(LockLostError):
        async with lock:
            await lock.force_release()
            if body == "task group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(10))
            elif body == "anyio task group":
                async with anyio.create_task_group() as scope:
                    scope.start_soon(anyio.sleep, 10)
            elif body == "timeout":
                async with asyncio.timeout(10):
                    await asyncio.sleep(10)
            else:
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    pass
    await asyncio.sleep(0)  # a cancellation that was left over would come now
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_cancellation_from_outside_goes_first(pipelined: Redis, name: str) -> None:
    """A task that somebody else cancels in the moment of the loss ends cancelled, and the loss is a note on that."""

    def cancel_too(event: Any) -> None:
        if isinstance(event, LockLost):
            task.cancel()

    async def hold() -> None:
        async with Lock(pipelined, name, lease=0.3, on_event=cancel_too):
            await Lock(pipelined, name).force_release()
            await asyncio.sleep(10)

    task = asyncio.create_task(hold())
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert any("lost" in note for note in caught.value.__notes__)


async def test_the_bodys_exception_is_not_masked(pipelined: Redis, name: str) -> None:
    """An exception of the body goes first; the loss is a note on it."""
    lock = Lock(pipelined, name)
    with pytest.raises(KeyError) as caught:
        async with lock:
            await lock.force_release()
            raise KeyError("mine")
    assert any("lost" in note for note in caught.value.__notes__)


async def test_flag_only_sets_lost(pipelined: Redis, name: str) -> None:
    """With on_lost="flag" nothing is cancelled and nothing raised."""
    lock = Lock(pipelined, name, lease=0.2, on_lost="flag")
    async with lock as lease:
        await lock.force_release()
        await eventually(lambda: lease.lost)


async def test_a_callback_hears_of_the_loss(pipelined: Redis, name: str) -> None:
    """A function as on_lost is called once with the lease, and the exit raises."""
    lost: list[Lease] = []
    lock = Lock(pipelined, name, lease=0.2, on_lost=lost.append)
    with pytest.raises(LockLostError):
        async with lock as lease:
            await lock.force_release()
            await eventually(lambda: lost)
    assert lost == [lease]


async def test_a_bare_handle_only_knows(pipelined: Redis, name: str) -> None:
    """A lease from acquire() cancels nobody when it is lost."""
    lock = Lock(pipelined, name, lease=0.2)
    lease = await lock.acquire()
    await lock.force_release()
    await eventually(lambda: lease.lost)
    assert await lease.release() is False


async def test_a_dead_server_ends_the_lease_in_time(own_server: EmbeddedServer, name: str) -> None:
    """When the server stops answering, the holder is told no later than its confirmed lease ends."""
    async with connect(own_server.url) as redis:
        lock = Lock(redis, name, lease=0.6)
        valid_until = 0.0
        try:
            with pytest.raises(LockLostError, match="unreachable"):
                async with lock as lease:
                    own_server.pause()
                    valid_until = lease.valid_until
                    await asyncio.sleep(10)
            late = asyncio.get_running_loop().time() - max(valid_until, lease.valid_until)
        finally:
            own_server.resume()
        assert -0.05 < late < 0.1


async def test_a_lease_survives_a_reconnect(pipelined: Redis, name: str) -> None:
    """Connections that are killed while a lock is held do not lose it."""
    async with Lock(pipelined, name, lease=1) as lease:
        for _ in range(5):
            await pipelined.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            await asyncio.sleep(0.1)
        await eventually(lambda: lease.held_for > 2)
        assert not lease.lost
    await gone(pipelined, name)


# Cancellation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_step_nothing_is_left(pipelined: Redis, name: str, turns: int) -> None:
    """A free lock's acquisition cancelled after so many turns of the event loop leaves no lock."""
    lock = Lock(pipelined, name)
    task = asyncio.create_task(lock.acquire())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        lease = await task
    except asyncio.CancelledError:
        await gone(pipelined, name)
    else:
        await lease.release()


async def test_a_storm_of_cancellations_leaves_nothing(redis: Redis, name: str) -> None:
    """Holders and waiters that are cancelled at random moments, in every way, leave no key, no waiter and no task."""
    dice = random.Random(7)
    lock = Lock(redis, name, lease=30)
    inside = 0

    async def use() -> None:
        nonlocal inside
        async with lock:
            inside += 1
            try:
                assert inside == 1
                await asyncio.sleep(dice.random() * 0.002)
            finally:
                inside -= 1

    async def cancelled(times: int) -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(dice.random() * 0.02)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None

    async def timed_out() -> None:
        try:
            async with asyncio.timeout(dice.random() * 0.02):
                await use()
        except TimeoutError:
            pass

    async def out_of_scope() -> None:
        with anyio.move_on_after(dice.random() * 0.02):
            await use()

    for _ in range(15):
        ways: list[Any] = [use, lambda: cancelled(1), lambda: cancelled(2), timed_out, out_of_scope]
        await asyncio.gather(*[dice.choice(ways)() for _ in range(40)])
    await gone(redis, name)
    lease = await lock.acquire(timeout=1)
    await lease.release()


async def test_a_failing_sibling_leaves_nothing(pipelined: Redis, name: str) -> None:
    """A task group that fails cancels its holder and its waiters, and the lock is free."""

    async def fail() -> None:
        await enrolled_or_queued()
        raise RuntimeError("sibling")

    async def enrolled_or_queued() -> None:
        await eventually(lambda: len(link_of(pipelined).companion(Waiting)) == 1)

    async def hold() -> None:
        async with Lock(pipelined, name):
            await asyncio.sleep(10)

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(hold())
            group.create_task(fail())
    await gone(pipelined, name)


async def test_the_next_waits_no_longer_for_one_that_was_cancelled(pipelined: Redis, url: str, name: str) -> None:
    """When the first in line is cancelled at the very moment of the release, the next one is served at once."""
    async with connect(url) as other:
        for _ in range(20):
            held = await Lock(other, name, lease=60).acquire()
            first = asyncio.create_task(Lock(pipelined, name).acquire())
            await enrolled(other, name)
            second = asyncio.create_task(Lock(pipelined, name).acquire())
            await asyncio.sleep(0)
            release = asyncio.create_task(held.release())
            await asyncio.sleep(random.random() * 0.001)
            first.cancel()
            await asyncio.wait([first])
            if not first.cancelled():
                await first.result().release()
            started = asyncio.get_running_loop().time()
            lease = await second
            assert asyncio.get_running_loop().time() - started < 0.3
            await lease.release()
            await release
    await gone(pipelined, name)


async def test_an_heir_that_gave_up_does_not_keep_the_lock(pipelined: Redis, name: str) -> None:
    """A lock that was handed to a task which is not there any more is taken back at once, not with its lease."""
    lock, link = Lock(pipelined, name, lease=60), link_of(pipelined)
    lease = await lock.acquire()
    heir = Waiter("token-of-one-that-gave-up", "owner", 60_000, 0.0)
    heir.gone = True
    assert await lock._hand_over(link, lease.token, heir)
    await gone(pipelined, name)


async def test_a_full_server_hands_over(own_server: EmbeddedServer, name: str) -> None:
    """When Redis is out of memory a lock goes to the next task of its client, and is kept closed for its time."""
    async with connect(own_server.url) as redis:
        lock, link = Lock(redis, name, min_hold=60), link_of(redis)
        lease = await lock.acquire()
        await fill(redis)
        heir = Waiter("heir", "owner", 60_000, 0.0)  # which does not listen yet
        assert await lock._hand_over(link, lease.token, heir)
        assert heir.granted is not None
        adopted = await lock.adopt("heir")
        assert await adopted.release()
        assert 59_000 < await redis.pttl(f"arp:{{{name}}}:lock") <= 60_000
        assert await lock.try_acquire() is None


async def test_scripts_may_be_flushed_at_any_time(redis: Redis, name: str) -> None:
    """Under an endless SCRIPT FLUSH every acquisition, renewal and release works."""
    lock = Lock(redis, name, lease=1)
    counter, ended = 0, False

    async def flush() -> None:
        while not ended:  # redis-py may swallow a cancellation
            await redis.script_flush()
            await asyncio.sleep(0.001)

    async def work() -> None:
        nonlocal counter
        for _ in range(10):
            async with lock:
                before = counter
                await asyncio.sleep(0.001)
                counter = before + 1

    flushing = asyncio.create_task(flush())
    await asyncio.gather(*[work() for _ in range(10)])
    ended = True
    await flushing
    assert counter == 100
    await gone(redis, name)


async def test_a_failing_redis_is_not_a_taken_lock(own_server: EmbeddedServer, name: str) -> None:
    """When Redis is gone, waiters get its error soon and all of them, not a timeout of the lock."""
    async with connect(own_server.url, deadline=0.5) as redis:
        held = await Lock(redis, name, lease=30).acquire()
        waiters = [asyncio.create_task(Lock(redis, name).acquire()) for _ in range(20)]
        await enrolled(redis, name)
        await own_server.kill()
        started = asyncio.get_running_loop().time()
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert asyncio.get_running_loop().time() - started < 3
        assert all(isinstance(result, RedisError) for result in results)
        with pytest.raises(RedisError):
            await held.release()


# Everything else -----------------------------------------------------------------------------------------------------


async def test_events_tell_the_story(pipelined: Redis, name: str) -> None:
    """The hook hears of acquisition, timeout, release and loss, in order."""
    events: list[Any] = []
    lock = Lock(pipelined, name, lease=0.2, on_event=events.append)
    async with lock:
        with pytest.raises(LockTimeoutError):
            await lock.acquire(timeout=0.05)
    lease = await lock.acquire()
    await lock.force_release()
    await eventually(lambda: lease.lost)
    kinds = [type(event) for event in events]
    assert kinds == [LockAcquired, LockTimedOut, LockReleased, LockAcquired, LockLost]


async def test_the_decorator_runs_under_the_lock(pipelined: Redis, name: str) -> None:
    """A decorated function runs one call at a time and gives its result."""
    lock = Lock(pipelined, name)
    running = 0

    @lock
    async def double(number: int) -> int:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        running -= 1
        return number * 2

    assert await asyncio.gather(*[double(n) for n in range(10)]) == [n * 2 for n in range(10)]
    assert await lock.run(double.__wrapped__, 21) == 42  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "odd", ["{braces}", "nul\0", "line\r\nbreak", "glob*?[a]", "space d", "ünïcödé", "a}b{c", "%7B"]
)
async def test_odd_names_work(pipelined: Redis, name: str, odd: str) -> None:
    """Names with braces, control characters, globs and spaces lock themselves and nothing else."""
    lock, plain = Lock(pipelined, name + odd), Lock(pipelined, name)
    async with lock:
        assert await lock.try_acquire() is None
        assert not await plain.locked()
