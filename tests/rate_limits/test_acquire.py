"""Waiting for one's turn: in order, in one round trip, and back out of it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import inf

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import FixedWindow, LeakyBucket, Limiter, SlidingLog, SlidingWindow
from tests.rate_limits.conftest import Kind, backlog_of
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually

HOUR = 3600


async def fill(limiter: Limiter) -> None:
    """Use so much that the next caller has to wait: of a leaky bucket anything, of the others all, one by one."""
    for _ in range(1 if isinstance(limiter, LeakyBucket) else limiter.limit):
        assert await limiter.hit()


async def waiters(limiter: Limiter, count: int, cost: int = 1) -> list[asyncio.Task[object]]:
    """So many callers that wait, the first one first: each has its turn before the next one asks."""
    tasks: list[asyncio.Task[object]] = []
    for _ in range(count):
        before = await state_of(limiter)

        async def counted(before: object = before) -> bool:
            return await state_of(limiter) != before

        tasks.append(asyncio.create_task(limiter.acquire(cost=cost)))
        await eventually(counted)
    return tasks


async def state_of(limiter: Limiter) -> object:
    key = limiter._keys.key(limiter._part)
    if await limiter._redis.type(key) == b"list":
        return await limiter._redis.lrange(key, 0, -1)
    return await limiter._redis.get(key), round(await limiter._redis.pttl(key) / 1_800_000)


async def end(tasks: list[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_callers_are_admitted_in_the_order_of_their_calls(pipelined: Redis, kind: Kind, name: str) -> None:
    """Nobody overtakes, whatever it costs him, but among those whose turn comes within the same milliseconds."""
    limiter = kind(pipelined, name, limit=5, period=0.1, **backlog_of(kind, 50))
    loop = asyncio.get_running_loop()

    async def call(cost: int) -> float:
        decision = await limiter.acquire(cost=cost)
        assert (decision.allowed, decision.retry_after) == (True, 0)
        return loop.time()

    costs = [1] * 5 if kind is LeakyBucket else [1, 3, 1, 5, 2, 1, 4, 1, 1, 1]
    times = await asyncio.gather(*map(call, costs))
    assert all(earlier < later + 0.01 for earlier, later in pairwise(times))
    assert times[-1] > times[0] + 0.05


async def test_admissions_keep_the_rate(pipelined: Redis, kind: Kind, name: str) -> None:
    """Twenty calls under a limit of five per 100 ms take the time that the limit says."""
    limiter = kind(pipelined, name, limit=5, period=0.1, **backlog_of(kind, 50))
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def call() -> None:
        for _ in range(5):
            await limiter.acquire()

    await asyncio.gather(*(call() for _ in range(4)))
    assert loop.time() - start >= 0.28


async def test_a_leaky_bucket_lets_go_at_an_even_pace(pipelined: Redis, name: str) -> None:
    """Callers that come together leave apart, each the same time after the one before."""
    limiter = LeakyBucket(pipelined, name, limit=10, period=0.5)
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def call() -> None:
        await limiter.acquire()
        times.append(loop.time())

    await asyncio.gather(*(call() for _ in range(6)))
    assert all(times[0] + 0.05 * number - 0.001 <= time for number, time in enumerate(times))


async def test_a_wait_above_the_timeout_is_refused_at_once(pipelined: Redis, kind: Kind, name: str) -> None:
    """Who would have to wait longer than he will is told so without waiting, and takes nothing from anybody."""
    limiter = kind(pipelined, name, limit=2, period=HOUR)
    await fill(limiter)
    before = await state_of(limiter)
    for timeout in (0, 0.5, 1000):
        with pytest.raises(RateLimitExceededError) as caught:
            async with asyncio.timeout(2):
                await limiter.acquire(timeout=timeout)
        assert (caught.value.policy, caught.value.retry_after > timeout) == (name, True)
    assert await state_of(limiter) == before


async def test_a_wait_within_the_timeout_is_granted(pipelined: Redis, kind: Kind, name: str) -> None:
    """With a timeout that is long enough the caller is admitted; with none at all, too."""
    limiter = kind(pipelined, name, limit=2, period=0.1)
    await fill(limiter)
    assert await limiter.acquire(timeout=2)
    assert await limiter.acquire()


async def test_what_can_never_be_admitted_is_refused_at_once(pipelined: Redis, kind: Kind, name: str) -> None:
    """A cost above the limit has no turn to wait for."""
    limiter = kind(pipelined, name, limit=2, period=1)
    with pytest.raises(RateLimitExceededError) as caught:
        await limiter.acquire(cost=3)
    assert caught.value.retry_after == inf
    assert await pipelined.keys(f"*{name}*") == []


async def test_hits_do_not_overtake_those_who_wait(pipelined: Redis, name: str, kind: Kind) -> None:
    """While callers wait for their turn, a hit is denied; a leaky bucket measures hits alone."""
    limiter = kind(pipelined, name, limit=3, period=HOUR)
    if kind is LeakyBucket:
        return
    await limiter.hit(cost=2)
    tasks = await waiters(limiter, 1, cost=2)
    decision = await limiter.hit()
    assert (decision.allowed, decision.remaining) == (False, 0)
    await end(tasks)
    assert await limiter.hit()


async def test_the_last_in_line_gives_his_turn_back(pipelined: Redis, kind: Kind, name: str) -> None:
    """Who is cancelled while he waits leaves nothing behind, one after the other from the end of the line."""
    limiter = kind(pipelined, name, limit=3, period=HOUR)
    await fill(limiter)
    before = await limiter.peek()
    tasks = await waiters(limiter, 2)
    while tasks:
        await end([tasks.pop()])
    after = await limiter.peek()
    assert (after.allowed, after.remaining) == (before.allowed, before.remaining)
    assert after.reset_after <= before.reset_after


async def test_an_earlier_turn_goes_unused(pipelined: Redis, kind: Kind, name: str) -> None:
    """Who is cancelled before the end of the line frees nothing, and nobody behind him gets a turn that is not his."""
    limiter = kind(pipelined, name, limit=3, period=HOUR)
    await fill(limiter)
    first, second = await waiters(limiter, 2)
    before = await state_of(limiter)
    await end([first])
    assert await state_of(limiter) == before
    assert not second.done()
    await end([second])


async def test_turns_of_one_moment_are_given_back_in_any_order(pipelined: Redis, name: str) -> None:
    """Where a log gives two callers one moment, either may go: the other passes then, and one more may."""
    limiter = SlidingLog(pipelined, name, limit=3, period=HOUR)
    await limiter.hit(cost=3)
    first, second = await waiters(limiter, 2)
    used = await limiter.peek()
    await end([first])
    assert await pipelined.llen(limiter._keys.key(limiter._part)) == 3
    assert (await limiter.peek()).retry_after <= used.retry_after
    assert not second.done()
    await end([second])


async def test_a_turn_given_back_forgets_nothing_else(pipelined: Redis, kind: Kind, name: str) -> None:
    """Where somebody made the key immortal, who is cancelled gives back his own turn and no more."""
    limiter = kind(pipelined, name, limit=3, period=HOUR)
    await fill(limiter)
    tasks = await waiters(limiter, 1)
    await pipelined.persist(limiter._keys.key(limiter._part))
    await end(tasks)
    assert (await limiter.peek(cost=3)).retry_after > HOUR / 4


async def test_a_caller_cancelled_before_the_answer_gives_his_turn_back(
    server: EmbeddedServer, kind: Kind, name: str
) -> None:
    """A cancellation that comes while the server decides leaves no turn behind."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limiter = kind(redis, name, limit=3, period=HOUR)
        await fill(limiter)
        before = await limiter.peek()
        proxy.delay(0.05, 0.05)
        task = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await end([task])
        after = await limiter.peek()
        assert after.reset_after <= before.reset_after


async def test_the_backlog_is_bounded(pipelined: Redis, kind: Kind, name: str) -> None:
    """Beyond the backlog callers are refused at once, however long they would wait."""
    limiter = kind(pipelined, name, limit=2, period=HOUR, **backlog_of(kind, 4))
    await fill(limiter)
    tasks = await waiters(limiter, 1 if kind is LeakyBucket else 4)
    if kind is SlidingWindow:
        tasks += await waiters(limiter, 1)  # it counts windows, and one may begin before the last waiter's is over
    with pytest.raises(RateLimitExceededError) as caught:
        await limiter.acquire()
    assert 0 < caught.value.retry_after < inf
    await end(tasks)


async def test_a_new_limit_frees_nothing_that_is_reserved(pipelined: Redis, kind: Kind, name: str) -> None:
    """Neither a shorter line nor another period lets a hit pass before those who wait already."""
    limiter = kind(pipelined, name, limit=2, period=HOUR)
    await fill(limiter)
    tasks = await waiters(limiter, 1 if kind is LeakyBucket else 5)
    used = await limiter.peek(cost=2)
    for period in (HOUR, HOUR, 2 * HOUR, HOUR / 60):
        changed = kind(pipelined, name, limit=2, period=period, **backlog_of(kind, 0))
        decision = await changed.hit(cost=2)
        assert (decision.allowed, decision.remaining) == (False, 0)
        assert decision.retry_after > min(period, HOUR) / HOUR * used.retry_after * 0.99
    await end(tasks)


async def test_a_wait_is_one_script_call(server: EmbeddedServer, kind: Kind, name: str) -> None:
    """Waiting sends nothing, however long it takes."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limiter = kind(redis, name, limit=2, period=0.1)
        await fill(limiter)
        before = proxy.commands.copy()
        await limiter.acquire()
        assert proxy.commands - before == {"EVALSHA": 1}


async def test_a_lost_reply_is_not_asked_for_again(server: EmbeddedServer, kind: Kind, name: str) -> None:
    """Nobody gets two turns because the reply to his call was lost."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limiter = kind(redis, name, limit=5, period=HOUR)
        await limiter.peek()
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await limiter.acquire()
        assert (await limiter.peek()).remaining == 4


async def test_a_hook_is_told_how_a_wait_was_decided(pipelined: Redis, name: str) -> None:
    """A caller who may wait counts as allowed, one who is refused as denied."""
    told: list[LimitDecided] = []
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR, on_event=told.append)
    await limiter.acquire()
    with pytest.raises(RateLimitExceededError):
        await limiter.acquire(timeout=0)
    assert [event.outcome for event in told] == ["allowed", "denied"]
