"""Room in a quota, for a cost that is known later."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import RateLimitExceededError
from aioredis_patterns.rate_limits import CompositeLimit, Quota, Reservation, quota, reservation
from tests.rate_limits.clock import Clock, Timed
from tests.support.faults import Fault, FaultProxy
from tests.support.full import fill
from tests.support.waiting import eventually

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that all quotas and reservations of this test go by."""
    clock = Clock()
    for module in (quota, reservation):
        for attribute, script in list(vars(module).items()):
            if isinstance(script, Script):
                monkeypatch.setattr(module, attribute, Timed(script, clock))
    return clock


async def left(limit: Quota) -> int:
    return (await limit.peek(cost=0)).remaining


async def leases(redis: Redis, limit: Quota) -> list[float]:
    """When the leases of what is reserved end, the first first."""
    return [end for _, end in await redis.zrange(limit._keys_of(None)[1], 0, -1, withscores=True)]


@pytest.mark.parametrize(("actual", "remaining"), [(0, 10), (3, 7), (5, 5), (8, 2), (12, 0)])
async def test_what_was_used_counts_instead(redis: Redis, name: str, actual: int, remaining: int) -> None:
    """While it is reserved its room is nobody else's, and then what was used counts, less or more than reserved."""
    limit = Quota(redis, name, limit=10, per="month")
    async with limit.reserve(cost=5) as held:
        assert await left(limit) == 5
        assert not await limit.hit(cost=6)
        assert await held.commit(actual)
        assert await left(limit) == remaining
    assert await left(limit) == remaining


async def test_the_end_of_the_block_commits(pipelined: Redis, name: str) -> None:
    """A block that says nothing used what it reserved, one that fails or is cancelled used nothing."""
    limit = Quota(pipelined, name, limit=10, per="month")
    async with limit.reserve(cost=5):
        pass
    assert await left(limit) == 5
    for error in (KeyError, asyncio.CancelledError):
        with pytest.raises(error):
            async with limit.reserve(cost=5):
                raise error
        assert await left(limit) == 5
    async with limit.reserve(cost=5) as held:
        assert await held.cancel()
    assert await left(limit) == 5


async def test_without_a_block_it_is_awaited(pipelined: Redis, name: str) -> None:
    """A reservation that is awaited is held until it is settled, once; it is not made a second time."""
    limit = Quota(pipelined, name, limit=10, per="month")
    held = await limit.reserve(cost=5)
    assert await left(limit) == 5
    assert [await held.commit(2), await held.commit(2), await held.cancel()] == [True, False, False]
    assert await left(limit) == 8
    with pytest.raises(RuntimeError, match="once"):
        await held


@pytest.mark.parametrize("cost", [5, 11, 10**30])
async def test_without_room_there_is_no_reservation(pipelined: Redis, name: str, cost: int) -> None:
    """What does not fit raises, with the time to wait for it, and reserves nothing."""
    limit = Quota(pipelined, name, limit=10, per="month")
    await limit.hit(cost=6)
    with pytest.raises(RateLimitExceededError) as caught:
        async with limit.reserve(cost=cost):
            raise AssertionError("it was reserved")
    assert caught.value.policy == name
    assert caught.value.retry_after == pytest.approx((await limit.peek(cost=cost)).retry_after, abs=5)
    assert await left(limit) == 4


async def test_a_burst_of_reservations_gets_the_limit_and_no_more(pipelined: Redis, name: str) -> None:
    """Of 300 reservations at once as many are made as fit, and as much as they used is counted."""
    limit = Quota(pipelined, name, limit=50, per="month")

    async def work(number: int) -> int:
        try:
            async with limit.reserve(cost=5) as held:
                await held.commit(number % 5)
                return number % 5
        except RateLimitExceededError:
            return 0

    used = await asyncio.gather(*(work(number) for number in range(300)))
    assert await left(limit) == 50 - sum(used)
    assert sum(used) <= 50


async def test_what_a_dead_process_reserved_comes_back(pipelined: Redis, clock: Clock, name: str) -> None:
    """When its lease is over the room is free, for peeks and hits, and the set of reservations is empty."""
    limit = Quota(pipelined, name, limit=10, per="month", lease=30)
    kept = [await limit.reserve(cost=3) for _ in range(3)]
    clock.now_us += 30 * SECOND - 1
    assert await left(limit) == 1
    clock.now_us += 1
    assert await left(limit) == 10
    assert (await limit.hit(cost=10)).remaining == 0
    assert await leases(pipelined, limit) == []
    assert [await held.commit(1) for held in kept] == [False] * 3
    assert await left(limit) == 0
    assert (await limit.refund(cost=4)).remaining == 1


async def test_a_late_commit_counts_what_was_used(pipelined: Redis, clock: Clock, name: str) -> None:
    """Where the lease was over, what was used counts on top of what others have used, and nothing comes back twice."""
    limit = Quota(pipelined, name, limit=10, per="month", lease=30)
    await limit.hit(cost=4)
    held = await limit.reserve(cost=3)
    clock.now_us += 30 * SECOND
    assert await held.commit(2) is False
    assert await left(limit) == 4


async def test_what_is_given_back_leaves_nothing(pipelined: Redis, name: str) -> None:
    """A quota of which only something was reserved, and not used, has no keys."""
    limit = Quota(pipelined, name, limit=10, per="day")
    assert await (await limit.reserve(cost=5)).cancel()
    assert not await pipelined.exists(*limit._keys_of(None))


async def test_a_commit_above_the_limit_uses_up_the_period(pipelined: Redis, clock: Clock, name: str) -> None:
    """However much was used, nothing more passes before the end of the period, and a refund gives back of it."""
    limit = Quota(pipelined, name, limit=10, per="day")
    left = (await limit.hit()).reset_after
    assert await (await limit.reserve(cost=1)).commit(24)
    decision = await limit.refund(cost=10)
    assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 0, left)
    assert (await limit.refund(cost=10)).remaining == 5
    assert await (await limit.reserve(cost=1)).commit(10**18)
    assert not await limit.hit()


async def test_a_handle_that_nobody_keeps_is_not_renewed(pipelined: Redis, name: str) -> None:
    """What was reserved by a handle that is gone is free when its lease is over."""
    limit = Quota(pipelined, name, limit=10, per="month", lease=0.05)
    await limit.reserve(cost=3)
    gc.collect()

    async def free() -> bool:
        return await left(limit) == 10

    await eventually(free)


async def test_a_lease_is_renewed_while_it_is_held(pipelined: Redis, name: str) -> None:
    """Work that takes longer than the lease keeps its room."""
    limit = Quota(pipelined, name, limit=10, per="month", lease=3)
    async with limit.reserve(cost=3) as held:
        (first,) = await leases(pipelined, limit)

        async def extended() -> bool:
            return (await leases(pipelined, limit))[0] > first + 0.8 * SECOND

        await eventually(extended)
        assert not held.lost
        assert await left(limit) == 7
        assert await held.commit(1)


async def test_a_full_server_renews_reservations(own_server: EmbeddedServer, name: str) -> None:
    """When Redis is out of memory work that takes longer than the lease keeps its room."""
    async with connect(own_server.url) as redis:
        limit = Quota(redis, name, limit=10, per="month", lease=1)
        async with limit.reserve(cost=3) as held:
            await fill(redis)
            (first,) = await leases(redis, limit)

            async def extended() -> bool:
                return held.lost or (await leases(redis, limit))[0] > first + SECOND

            await eventually(extended)
            assert not held.lost


async def test_who_lost_its_lease_is_told(pipelined: Redis, name: str) -> None:
    """Where the server knows nothing of a reservation any more its handle says so, and a commit counts all the same."""
    limit = Quota(pipelined, name, limit=10, per="month", lease=0.2)
    held = await limit.reserve(cost=3)
    await limit.reset()
    await eventually(lambda: held.lost)
    assert await held.commit(4) is False
    assert await left(limit) == 6


async def test_a_commit_counts_in_its_period(pipelined: Redis, clock: Clock, name: str) -> None:
    """What was reserved yesterday and is used today counts for yesterday, and takes nothing from today."""
    limit = Quota(pipelined, name, limit=10, per="day", lease=3600)
    early, late = await limit.reserve(cost=3), await limit.reserve(cost=3)
    assert await early.commit(5)
    clock.now_us += DAY
    assert await left(limit) == 10
    await limit.hit(cost=4)
    assert await late.commit(5) is False
    clock.now_us += 3600 * SECOND
    assert await left(limit) == 6


async def test_a_reset_forgets_reservations(pipelined: Redis, name: str) -> None:
    """After a reset all is free, and what is committed then counts."""
    limit = Quota(pipelined, name, limit=10, per="month")
    held = await limit.reserve(cost=5)
    await limit.reset()
    assert await left(limit) == 10
    assert await held.commit(2) is False
    assert await left(limit) == 8


async def test_a_lost_reply_counts_once(server: EmbeddedServer, name: str) -> None:
    """Reserving and committing through a connection that is cut after the server did it counts once each."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = Quota(redis, name, limit=100, per="month")
        await limit.hit()
        for _ in range(3):
            proxy.add(Fault("cut_after", "EVALSHA"))
            held = await limit.reserve(cost=10)
            assert await left(limit) == 89
            proxy.add(Fault("cut_after", "EVALSHA"))
            assert await held.commit(7)
            assert (await limit.refund(cost=7)).remaining == 99
        assert proxy.connections > 6


async def test_who_is_cancelled_while_reserving_leaves_nothing(pipelined: Redis, name: str) -> None:
    """However late a caller is cancelled, what it would have reserved is free when it has ended."""
    limit = Quota(pipelined, name, limit=10, per="month", lease=3600)
    await left(limit)
    for turns in range(6):
        task = asyncio.create_task(make(limit))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left(limit) == 10


async def make(limit: Quota) -> Reservation:
    held = await limit.reserve(cost=3)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await held.cancel()
        raise
    return held


async def test_who_is_cancelled_while_committing_has_committed(
    server: EmbeddedServer, pipelined: Redis, name: str
) -> None:
    """When the cancellation goes on, the server has counted what was used."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        held = await Quota(redis, name, limit=10, per="month").reserve(cost=3)
        proxy.delay(0.05, 0.05)
        task = asyncio.create_task(held.commit(5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left(Quota(pipelined, name, limit=10, per="month")) == 5


async def test_an_error_of_the_body_goes_first(own_server: EmbeddedServer, name: str) -> None:
    """Where Redis is gone when the block fails, its own exception is raised, with a note of the rest."""
    async with connect(own_server.url, deadline=1) as redis:
        limit = Quota(redis, name, limit=10, per="month")
        with pytest.raises(KeyError) as caught:
            async with limit.reserve(cost=3):
                await own_server.kill()
                raise KeyError
    assert any(name in note for note in caught.value.__notes__)


async def test_a_commit_that_fails_is_not_hidden(own_server: EmbeddedServer, name: str) -> None:
    """Where Redis is gone at the end of a block that went well, its failure is raised."""
    async with connect(own_server.url, deadline=1) as redis:
        limit = Quota(redis, name, limit=10, per="month")
        with pytest.raises(RedisError):
            async with limit.reserve(cost=3):
                await own_server.kill()


async def test_who_is_cancelled_while_redis_is_gone_is_cancelled(own_server: EmbeddedServer, name: str) -> None:
    """A caller that cannot give back what it asked for ends all the same, and by its cancellation."""
    async with connect(own_server.url, deadline=1) as redis:
        limit = Quota(redis, name, limit=10, per="month")
        await left(limit)
        own_server.pause()
        task = asyncio.create_task(make(limit))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        own_server.resume()


async def test_a_reservation_says_how_it_stands(pipelined: Redis, name: str) -> None:
    """Its repr tells whether it is made, held or settled."""
    limit = Quota(pipelined, name, limit=10, per="month")
    reservation = limit.reserve(cost=3)
    assert repr(reservation) == f"<Reservation of 3 of {name!r}, not reserved yet>"
    assert repr(await reservation) == f"<Reservation of 3 of {name!r}, reserved>"
    await reservation.cancel()
    assert repr(reservation) == f"<Reservation of 3 of {name!r}, settled>"
    assert repr(limit) == f"<Quota {name!r}: 10 per month>"
    assert repr(CompositeLimit(pipelined, "both", [limit])) == f"<CompositeLimit 'both': {limit!r}>"


@pytest.mark.parametrize(("actual", "error"), [(-1, ValueError), (1.5, TypeError), (None, TypeError)])
async def test_what_was_used_is_a_count(pipelined: Redis, name: str, actual: Any, error: type[Exception]) -> None:
    """A commit of what is no count is refused, and the room stays reserved."""
    limit = Quota(pipelined, name, limit=10, per="month")
    held = await limit.reserve(cost=3)
    with pytest.raises(error, match="actual"):
        await held.commit(actual)
    assert await left(limit) == 7
    assert await held.commit(10**30)
    assert await left(limit) == 0
    assert not await limit.hit()
