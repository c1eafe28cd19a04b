"""Limits of which a process takes blocks."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.rate_limits import Decision, FixedWindow, LocalLease, TokenBucket
from tests.rate_limits.conftest import Kind
from tests.support.waiting import eventually

HOUR = 3600


async def drain(lease: LocalLease, subject: str | None = None) -> int:
    count = 0
    while await lease.hit(subject):
        count += 1
    return count


async def test_the_limit_is_never_exceeded(pipelined: Redis, kind: Kind, name: str) -> None:
    """Of all that several processes admit, everything is counted by the limit, and at most their blocks are unused."""
    leases = [LocalLease(kind(pipelined, name, limit=1000, period=HOUR), block=50, hold=60) for _ in range(5)]

    async def hits(lease: LocalLease) -> int:
        return sum([(await lease.hit("ada")).allowed for _ in range(600)])

    admitted = sum(await asyncio.gather(*map(hits, leases)))
    assert 1000 - 5 * 50 <= admitted <= 1000
    assert (await leases[0].limiter.peek("ada")).remaining == 0


async def test_the_rate_is_kept_over_time(pipelined: Redis, name: str) -> None:
    """While several processes ask without pause, no more is admitted than burst and rate allow in that time."""
    limiter = TokenBucket(pipelined, name, limit=1000, period=1, burst=100)
    leases = [LocalLease(limiter, block=20, hold=0.02) for _ in range(4)]
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def hits(lease: LocalLease) -> int:
        count = 0
        while loop.time() < start + 0.5:
            decision = await lease.hit()
            count += decision.allowed
            await asyncio.sleep(0 if decision else decision.retry_after)
        return count

    admitted = sum(await asyncio.gather(*map(hits, leases)))
    assert admitted <= 100 + 1000 * (loop.time() - start + 0.02)
    assert admitted >= 100


async def test_a_busy_subject_costs_a_trip_per_block(pipelined: Redis, name: str) -> None:
    """Blocks grow to their full size, so a thousand hits take a few calls; the rest is said to be leased."""
    calls: list[Any] = []
    limiter = FixedWindow(pipelined, name, limit=10_000, period=HOUR, on_event=calls.append)
    lease = LocalLease(limiter, block=100, hold=60)
    decisions = [await lease.hit() for _ in range(1000)]
    assert all(decisions)
    assert sum(decision.source == "redis" for decision in decisions) == len(calls) <= 20
    assert [decision.remaining for decision in decisions[:3]] == [9999, 9998, 9997]
    assert {decision.policy for decision in decisions} == {name}


async def test_a_quiet_subject_takes_what_it_costs(pipelined: Redis, name: str) -> None:
    """Who hits once takes nothing in advance from anybody."""
    limiter = FixedWindow(pipelined, name, limit=100, period=HOUR)
    await LocalLease(limiter, block=50).hit("ada", 3)
    assert (await limiter.peek("ada")).remaining == 97


async def test_what_was_not_used_ends(pipelined: Redis, name: str) -> None:
    """A block is used for as long as it may be held, and not a hit later."""
    limiter = FixedWindow(pipelined, name, limit=100, period=HOUR)
    lease = LocalLease(limiter, block=10, hold=0.5)
    await asyncio.gather(*(lease.hit() for _ in range(8)))
    held = lease._held[None]
    assert held.tokens > 0
    await eventually(lambda: asyncio.get_running_loop().time() > held.ends)
    assert (await lease.hit()).source == "redis"


async def test_a_block_ends_with_its_window(pipelined: Redis, name: str) -> None:
    """What was taken from one window is not used in the next one, however long it might be held."""
    lease = LocalLease(FixedWindow(pipelined, name, limit=100, period=0.6), block=50, hold=60)
    await asyncio.gather(*(lease.hit() for _ in range(8)))
    held = lease._held[None]
    assert held.tokens > 0
    assert held.ends <= held.reset_at <= asyncio.get_running_loop().time() + 0.61
    await eventually(lambda: asyncio.get_running_loop().time() > held.ends)
    assert (await lease.hit()).source == "redis"


async def test_a_block_may_outlive_what_the_limit_has_used(pipelined: Redis, name: str) -> None:
    """A hit from a block that is held when the bucket is full again says that nothing is used, not less than that."""
    lease = LocalLease(TokenBucket(pipelined, name, limit=10_000, period=1), block=10, hold=60)
    await asyncio.gather(*(lease.hit() for _ in range(8)))
    held = lease._held[None]
    await eventually(lambda: asyncio.get_running_loop().time() > held.reset_at)
    decision = await lease.hit()
    assert (decision.source, decision.reset_after) == ("lease", 0)


async def test_many_callers_ask_once(pipelined: Redis, name: str) -> None:
    """Callers that come together share what one of them has asked for."""
    calls: list[Any] = []
    limiter = FixedWindow(pipelined, name, limit=10_000, period=HOUR, on_event=calls.append)
    lease = LocalLease(limiter, block=200, hold=60)
    assert all(await asyncio.gather(*(lease.hit() for _ in range(1000))))
    assert len(calls) <= 20
    assert (await limiter.peek()).remaining == 10_000 - 1000 - lease._held[None].tokens


async def test_denials_are_repeated_without_asking(pipelined: Redis, name: str) -> None:
    """Who is denied is told by this process when to come back, and then it passes."""
    calls: list[Any] = []
    limiter = TokenBucket(pipelined, name, limit=10, period=5, burst=10, on_event=calls.append)
    lease = LocalLease(limiter, block=5, hold=0.3)
    assert await drain(lease) == 10
    count = len(calls)
    decisions = [await lease.hit() for _ in range(100)]
    assert {(decision.allowed, decision.source) for decision in decisions} == {(False, "lease")}
    assert len(calls) == count
    assert 0 < decisions[-1].retry_after <= 1.01
    await asyncio.sleep(decisions[-1].retry_after)
    assert await lease.hit()


async def test_a_limit_that_is_used_up_is_asked_for_blocks(pipelined: Redis, name: str) -> None:
    """Whoever asks without pause costs the server calls per block, not per unit, and wastes nothing by that."""
    limiter = Noting(TokenBucket(pipelined, name, limit=1000, period=1, burst=500))
    lease, admitted = LocalLease(limiter, block=50, hold=60), 0
    while admitted < 700:
        admitted += await passes(lease)
        await asyncio.sleep(0)
    assert len(limiter.taken) < 100
    assert sum(limiter.taken) - admitted < 50


class Noting:
    """A limit that notes what was taken by each hit."""

    def __init__(self, limiter: TokenBucket) -> None:
        self.limiter, self.name = limiter, limiter.name
        self.taken: list[int] = []

    async def hit(self, subject: Any = None, cost: Any = 1) -> Decision:
        decision = await self.limiter.hit(subject, cost)
        self.taken.append(cost if decision else 0)
        return decision

    async def peek(self, subject: Any = None, cost: Any = 1) -> Decision:
        return await self.limiter.peek(subject, cost)


async def test_a_denial_says_when_this_process_asks_again(pipelined: Redis, name: str) -> None:
    """The one whose denial made it pause is told the same time as those who are denied in the pause."""
    lease = LocalLease(TokenBucket(pipelined, name, limit=7, period=70), block=4, hold=60)
    assert await drain(lease) == 7
    await lease.limiter.refund(cost=7)  # type: ignore[attr-defined]
    lease = LocalLease(lease.limiter, block=4, hold=60)
    decisions = [await lease.hit() for _ in range(9)]
    assert [(decision.allowed, decision.source) for decision in decisions[7:]] == [(False, "redis"), (False, "lease")]
    assert [decision.retry_after for decision in decisions[7:]] == pytest.approx([40, 40], abs=5)


async def test_who_slows_down_takes_less(pipelined: Redis, name: str) -> None:
    """A subject that was busy and is not any more takes what it costs again, and nothing in advance."""
    lease = LocalLease(FixedWindow(pipelined, name, limit=1000, period=HOUR), block=100, hold=0.03)
    for _ in range(50):
        await lease.hit()
    held = lease._held[None]
    for _ in range(3):
        await eventually(lambda: asyncio.get_running_loop().time() > held.ends, every=0.005)
        await lease.hit()
    assert (held.got, held.tokens) == (1, 0)


@pytest.mark.parametrize("limit", [1, 10])
async def test_a_refund_is_felt_within_the_hold(pipelined: Redis, name: str, limit: int) -> None:
    """What is given back elsewhere is admitted here as soon as a denial may no longer be repeated."""
    limiter = FixedWindow(pipelined, name, limit=limit, period=HOUR)
    lease = LocalLease(limiter, block=5, hold=0.05)
    await drain(lease)
    assert not await lease.hit()
    await limiter.refund(cost=limit)
    await eventually(lambda: asyncio.ensure_future(passes(lease)), timeout=5)


async def passes(lease: LocalLease) -> bool:
    return (await lease.hit()).allowed


async def test_a_cost_above_the_limit_is_never_admitted(pipelined: Redis, name: str) -> None:
    """It says so the first time and each time, and a cost above the block is asked for alone."""
    lease = LocalLease(FixedWindow(pipelined, name, limit=10, period=HOUR), block=20, hold=60)
    assert [(await lease.hit(cost=11)).retry_after for _ in range(2)] == [inf, inf]
    assert (await lease.hit(cost=0)).remaining == 10
    alone = LocalLease(FixedWindow(pipelined, name, limit=10, period=HOUR), block=2)
    assert (await alone.hit(cost=5)).remaining == 5
    assert await drain(lease) == 5
    assert (await lease.hit(cost=11)).retry_after == inf


async def test_a_caller_that_goes_away_takes_nobody_with_it(own_server: EmbeddedServer, name: str) -> None:
    """When the one that asks is cancelled, the next one asks, and nothing is admitted twice."""
    async with connect(own_server.url) as redis:
        limiter = FixedWindow(redis, name, limit=20, period=HOUR)
        lease = LocalLease(limiter, block=5, hold=60)
        await limiter.peek()
        own_server.pause()
        asking = [asyncio.create_task(lease.hit()) for _ in range(10)]
        await eventually(lambda: lease._held and lease._held[None].lock.locked())
        asking[0].cancel()
        own_server.resume()
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(isinstance(answer, Decision) and answer.allowed for answer in answers[1:])


async def test_subjects_cost_bounded_memory(pipelined: Redis, name: str) -> None:
    """However many subjects come, this process remembers ten thousand."""
    lease = LocalLease(TokenBucket(pipelined, name, limit=10, period=0.001), block=5)
    for start in range(0, 12_000, 1000):
        await asyncio.gather(*(lease.hit(number) for number in range(start, start + 1000)))
    assert len(lease._held) == 10_000


@pytest.mark.parametrize(
    ("cost", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("1", TypeError), (None, TypeError)]
)
async def test_a_cost_that_is_no_count_is_refused(
    pipelined: Redis, name: str, cost: Any, error: type[Exception]
) -> None:
    """What the limit refuses is refused here, also where enough is held."""
    lease = LocalLease(FixedWindow(pipelined, name, limit=100, period=HOUR), block=20, hold=60)
    await asyncio.gather(*(lease.hit() for _ in range(8)))
    with pytest.raises(error, match="cost"):
        await lease.hit(cost=cost)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"block": 0}, ValueError), ({"block": 1.5}, TypeError), ({"block": 1, "hold": -1}, ValueError)],
)
def test_what_makes_no_sense_is_refused(name: str, options: dict[str, Any], error: type[Exception]) -> None:
    """What cannot be a lease is refused before anything is sent."""
    with pytest.raises(error):
        LocalLease(FixedWindow(connect("redis://localhost:1"), name, limit=5, period=1), **options)
