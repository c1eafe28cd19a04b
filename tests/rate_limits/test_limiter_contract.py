"""What every kind of rate limit promises."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from math import inf, nan
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import (
    Decision,
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
)
from tests.rate_limits.clock import Clock
from tests.rate_limits.conftest import KINDS, Kind, backlog_of
from tests.support.faults import Fault, FaultProxy
from tests.support.processes import worker
from tests.support.waiting import eventually

HOUR = 3600


def key_of(limiter: Limiter, subject: str | None = None) -> str:
    return limiter._keys.key(limiter._part, subject)


async def state_of(redis: Redis, limiter: Limiter) -> tuple[Any, Any]:
    """All that the server knows of a subject, apart from the time that passes."""
    key = key_of(limiter)
    return await redis.dump(key), await redis.get(f"{key}:expiry")


async def changes(redis: Redis, limiter: Limiter, before: bytes) -> None:
    """Wait until the server knows something else of the subject than it did before."""
    for _ in range(10_000):
        if await redis.dump(key_of(limiter)) != before:
            return
    raise AssertionError("nothing has changed")


async def drain(limiter: Limiter, subject: str | None = None) -> int:
    """Hit until denied; how many were allowed."""
    count = 0
    while await limiter.hit(subject):
        count += 1
    return count


def us(seconds: float) -> int:
    return round(seconds * 1_000_000)


# Deciding ------------------------------------------------------------------------------------------------------------


async def test_it_works_on_every_client(redis: Redis, kind: Kind, name: str) -> None:
    """Whatever client the user has built, a decision says the same."""
    limiter = kind(redis, name, limit=2, period=HOUR)
    first, second, third = [await limiter.hit("user:42") for _ in range(3)]
    assert (first.allowed, first.limit, first.remaining, first.retry_after, first.policy) == (True, 2, 1, 0, name)
    assert (second.allowed, second.remaining) == (True, 0)
    assert (third.allowed, third.remaining) == (False, 0)
    assert 0 < third.retry_after <= third.reset_after <= 2 * HOUR
    assert (bool(first), bool(third)) == (True, False)
    assert (await limiter.refund("user:42")).remaining == 1
    await limiter.reset("user:42")
    assert (await limiter.peek("user:42")).remaining == 2


async def test_a_burst_of_callers_gets_the_limit_and_no_more(pipelined: Redis, kind: Kind, name: str) -> None:
    """Of 500 hits at once exactly as many pass as the limit says, and `remaining` never repeats."""
    limiter = kind(pipelined, name, limit=50, period=HOUR)
    decisions = await asyncio.gather(*(limiter.hit() for _ in range(500)))
    assert sorted(decision.remaining for decision in decisions if decision) == list(range(50))


async def test_each_subject_has_a_limit_of_its_own(pipelined: Redis, kind: Kind, name: str) -> None:
    """What one subject uses, no other lacks, however alike their names are; and reset forgets one of them."""
    limiter = kind(pipelined, name, limit=1, period=HOUR)
    subjects = ["a", "A", "a*", "a}", "a|b", "a%7D", "", None]
    subjects.remove("")
    assert all([await limiter.hit(subject) for subject in subjects])
    assert not any([await limiter.hit(subject) for subject in subjects])
    await limiter.reset("a*")
    assert [bool(await limiter.peek(subject)) for subject in subjects] == [subject == "a*" for subject in subjects]


async def test_a_denied_hit_consumes_nothing(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """What was left before a hit that was too large is left after it."""
    limiter = kind(pipelined, name, limit=10, period=HOUR)
    assert await limiter.hit(cost=8)
    before = await state_of(pipelined, limiter)
    assert not await limiter.hit(cost=3)
    assert await state_of(pipelined, limiter) == before
    assert (await limiter.hit(cost=2)).remaining == 0


@pytest.mark.parametrize("cost", [11, 10**30])
async def test_a_cost_above_the_limit_is_never_admitted(
    pipelined: Redis, clock: Clock, kind: Kind, name: str, cost: int
) -> None:
    """A hit that can never pass says so, and leaves nothing behind; one as large as the limit passes."""
    limiter = kind(pipelined, name, limit=10, period=HOUR)
    for decision in (await limiter.hit(cost=cost), await limiter.peek(cost=cost)):
        assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 10, inf)
    assert not await pipelined.exists(key_of(limiter))
    assert (await limiter.hit(cost=10)).allowed
    assert (await limiter.hit(cost=cost)).retry_after == inf


async def test_a_cost_of_nothing_only_peeks(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """A hit of cost 0 says what is left, is always allowed and writes nothing."""
    limiter = kind(pipelined, name, limit=1, period=HOUR)
    assert (await limiter.hit(cost=0)).remaining == 1
    assert not await pipelined.exists(key_of(limiter))
    await limiter.hit()
    before = await state_of(pipelined, limiter)
    decision = await limiter.hit(cost=0)
    assert (decision.allowed, decision.remaining, decision.retry_after) == (True, 0, 0)
    assert await state_of(pipelined, limiter) == before


@pytest.mark.parametrize(
    ("cost", "error"),
    [(-1, ValueError), (nan, TypeError), (inf, TypeError), (1.5, TypeError), (1.0, TypeError), ("1", TypeError),
     (True, TypeError), (None, TypeError)],
)  # fmt: skip
async def test_a_cost_that_is_no_count_is_refused(
    pipelined: Redis, kind: Kind, name: str, cost: Any, error: type[Exception]
) -> None:
    """Neither hit, peek, refund nor acquire takes a cost that would have to be rounded or turned round."""
    limiter = kind(pipelined, name, limit=10, period=HOUR)
    for ask in (limiter.hit, limiter.peek, limiter.refund, limiter.acquire):
        with pytest.raises(error, match="cost"):
            await ask(cost=cost)
    assert not await pipelined.exists(key_of(limiter))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0, "period": 1}, ValueError),
        ({"limit": -5, "period": 1}, ValueError),
        ({"limit": 1.5, "period": 1}, TypeError),
        ({"limit": True, "period": 1}, TypeError),
        ({"limit": 1, "period": 0}, ValueError),
        ({"limit": 1, "period": nan}, ValueError),
        ({"limit": 1, "period": -1}, ValueError),
        ({"limit": 1, "period": "1"}, TypeError),
        ({"limit": 2**60 + 1, "period": 86_400}, ValueError),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    kind: Kind, name: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """What cannot be a limit, or cannot be counted exactly, is refused before anything is sent."""
    with pytest.raises(error):
        kind(connect("redis://localhost:1"), name, **arguments)


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["hit", "peek"])
@pytest.mark.parametrize(("limit", "period"), [(10, 1), (7, 60), (3, 10), (1000, 1), (1, 86_400), (19, 10.000_001)])
async def test_retry_after_is_exact(
    pipelined: Redis, clock: Clock, kind: Kind, name: str, limit: int, period: float, asked: str
) -> None:
    """After that long the same hit passes, 2 ms earlier it does not, whatever the cost and the use before."""
    rng = random.Random(limit)
    limiter = kind(pipelined, name, limit=limit, period=period)
    denials = 0
    while denials < 25:
        cost = rng.choice([1, 1, limit, rng.randint(1, limit)])
        decision = await getattr(limiter, asked)(cost=cost)
        if decision:
            assert decision.retry_after == 0
            await limiter.hit(cost=cost)
            clock.now_us += us(rng.random() * rng.choice([0, 0.01, 0.3]) * period)
            continue
        denials += 1
        assert decision.retry_after <= decision.reset_after
        retry_us = us(decision.retry_after)
        early = min(2000, retry_us)
        clock.now_us += retry_us - early
        assert not await limiter.peek(cost=cost) or early < 2000
        assert not await limiter.hit(cost=cost) or early < 2000
        clock.now_us += early
        assert await limiter.hit(cost=cost) or early < 2000


async def test_all_is_free_after_reset_after(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """After that long the whole limit may be used again, and its key is gone."""
    limiter = kind(pipelined, name, limit=7, period=1)
    for cost in (1, 3, 7):
        decision = await limiter.hit(cost=cost)
        clock.now_us += us(decision.reset_after)
        assert (await limiter.peek()).remaining == 7
        clock.now_us += 3000
        await limiter.peek()
        assert not await pipelined.exists(key_of(limiter))


@pytest.mark.parametrize(("limit", "period", "admitted"), [(3, 10, 100), (19, 10, 400), (7, 60, 200), (1000, 1, 4000)])
async def test_the_rate_is_kept_in_the_long_run(
    pipelined: Redis, clock: Clock, kind: Kind, name: str, limit: int, period: int, admitted: int
) -> None:
    """A client that hits whenever it may is admitted at the rate, within one percent."""
    limiter = kind(pipelined, name, limit=limit, period=period)
    start = clock.now_us
    while (decision := await limiter.hit()) or clock.now_us < start + us(2 * period):
        clock.now_us += us(decision.retry_after)
    start, count = clock.now_us, 0
    while (decision := await limiter.hit()) or count < admitted:
        count += decision.allowed
        clock.now_us += us(decision.retry_after)
    rate = count / ((clock.now_us - start) / 1_000_000)
    assert rate == pytest.approx(limit / period, rel=0.01)


async def test_a_clock_that_steps_back_grants_nothing(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """After a step back, of a second or a year, no more is admitted than time has really passed for."""
    limiter = kind(pipelined, name, limit=5, period=10, **backlog_of(kind, 5))
    for step in (1, 5, 60, 365 * 86_400):
        await limiter.reset()
        assert await drain(limiter) == 5
        clock.now_us -= us(step)
        assert await drain(limiter) == 0
        clock.now_us += us(min(step, 10) / 2)
        assert await drain(limiter) <= 3
        decision = await limiter.hit(cost=5)
        assert decision.retry_after <= 3 * 10
        clock.now_us += us(decision.retry_after)
        assert await limiter.hit(cost=5)


async def test_a_clock_that_steps_back_takes_nothing(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """What is free stays free, at once and for one who would not wait, and what all is given back of is full."""
    limiter = kind(pipelined, name, limit=3, period=10)
    await limiter.acquire()
    clock.now_us -= us(1)
    if kind not in (LeakyBucket, Gcra):  # of these, what was used is made good later by that second
        assert (await limiter.acquire(timeout=0)).remaining == 1
        assert (await limiter.acquire(timeout=0)).remaining == 0
    decision = await limiter.refund(cost=3)
    assert (decision.allowed, decision.remaining, decision.retry_after, decision.reset_after) == (True, 3, 0, 0)


@pytest.mark.parametrize("step", [1, 5, 365 * 86_400])
async def test_a_clock_that_steps_back_keeps_what_is_reserved(
    pipelined: Redis, clock: Clock, kind: Kind, name: str, step: int
) -> None:
    """Nobody passes before those who wait, nor waits for longer than the step and two periods, whatever the backlog."""
    limiter = kind(pipelined, name, limit=3, period=10, **backlog_of(kind, 9))
    await drain(limiter)
    patience = 0 if kind is LeakyBucket else 2
    waiting = [asyncio.create_task(limiter.acquire(cost=3)) for _ in range(patience)]

    async def all_stand() -> bool:
        return not waiting or (await limiter.peek()).retry_after > 20

    await eventually(all_stand)
    before = await limiter.peek()
    clock.now_us -= us(step)
    for backlog in (9, 0):
        decision = await kind(pipelined, name, limit=3, period=10, **backlog_of(kind, backlog)).peek()
        assert not decision
        assert before.retry_after <= decision.retry_after <= before.retry_after + min(step, 20)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_debt_that_is_known_does_not_grow(pipelined: Redis, clock: Clock, name: str) -> None:
    """Where more is reserved than the burst, a clock that steps back makes nobody owe more."""
    limiter = Gcra(pipelined, name, limit=3, period=10)
    await drain(limiter)
    waiting = asyncio.create_task(limiter.acquire(cost=3))

    async def stands() -> bool:
        return (await limiter.peek()).retry_after > 10

    await eventually(stands)
    before = await limiter.peek()
    clock.now_us -= us(HOUR)
    assert await Gcra(pipelined, name, limit=3, period=10, backlog=0).peek() == before
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_clock_that_wavers_grants_nothing(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """Steps back and forth that come to nothing are no time to gain from."""
    limiter = kind(pipelined, name, limit=5, period=10)
    await drain(limiter)
    for _ in range(50):
        clock.now_us -= us(1)
        assert not await limiter.hit()
        clock.now_us += us(1)
        assert not await limiter.hit()


async def test_the_server_alone_knows_the_time(
    pipelined: Redis, kind: Kind, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose clock is an hour wrong is answered like any other."""
    limiter = kind(pipelined, name, limit=5, period=HOUR)
    assert await drain(limiter) == 5
    time = __import__("time").time
    for wrong in (HOUR, -HOUR):
        monkeypatch.setattr("time.time", lambda wrong=wrong: time() + wrong)
        assert not await limiter.hit()


# Peek, refund, change ------------------------------------------------------------------------------------------------


async def test_a_peek_writes_nothing(pipelined: Redis, kind: Kind, name: str) -> None:
    """The script of a peek runs where writing is forbidden, whatever the state."""
    limiter = kind(pipelined, name, limit=5, period=HOUR)
    read_only = ("EVAL_RO", limiter._peek.source.text, 1, key_of(limiter), *limiter._arguments)
    for cost in (1, 2, 5, 6):
        assert await pipelined.execute_command(*read_only, cost)
        await limiter.hit(cost=cost)
        assert await pipelined.execute_command(*read_only, cost)


async def test_a_peek_says_what_the_hit_will(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """At the same moment peek and hit agree on admission and waiting, for every cost."""
    rng = random.Random(7)
    limiter = kind(pipelined, name, limit=9, period=5)
    for _ in range(200):
        cost = rng.randint(1, 10)
        peeked, hit = await limiter.peek(cost=cost), await limiter.hit(cost=cost)
        assert (peeked.allowed, peeked.retry_after) == (hit.allowed, hit.retry_after)
        assert peeked.remaining == hit.remaining + (cost if hit else 0)
        clock.now_us += us(rng.random())


async def test_a_refund_gives_back_what_was_used(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """What was refunded may be used again, and more than was used is not to be had."""
    limiter = kind(pipelined, name, limit=10, period=HOUR)
    await limiter.hit(cost=10)
    decision = await limiter.refund(cost=4)
    assert (decision.allowed, decision.remaining, decision.retry_after) == (True, 4, 0)
    assert (await limiter.refund(cost=10**20)).remaining == 10
    assert await drain(limiter) == 10


async def test_a_refund_of_what_is_forgotten_does_nothing(
    pipelined: Redis, clock: Clock, kind: Kind, name: str
) -> None:
    """Neither a subject that never hit nor one whose use is over gets anything by a refund."""
    limiter = kind(pipelined, name, limit=3, period=1)
    await limiter.refund(cost=3)
    assert not await pipelined.exists(key_of(limiter))
    await limiter.hit(cost=3)
    clock.now_us += us(10)
    await limiter.refund(cost=3)
    assert not await pipelined.exists(key_of(limiter))
    assert await drain(limiter) == 3


async def test_a_new_limit_keeps_what_was_used(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """A subject that used everything has nothing free because the limit changed, up or down, rate or period."""
    limiter = kind(pipelined, name, limit=10, period=60)
    await drain(limiter)
    for limit, period in ((5, 60), (1, 3600), (10, 60), (10, 1), (1000, 1000), (10, 60)):
        changed = kind(pipelined, name, limit=limit, period=period)
        for decision in (await changed.peek(), await changed.hit(cost=0)):
            assert 0 <= decision.remaining <= limit
    assert not await limiter.hit()


async def test_a_smaller_limit_holds_at_once(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """With a smaller limit nobody gets more than it, and nothing is ever negative."""
    await kind(pipelined, name, limit=100, period=60).hit(cost=50)
    smaller = kind(pipelined, name, limit=10, period=60)
    assert 0 <= (await smaller.peek()).remaining <= 10
    assert await drain(smaller) <= 10
    assert (await smaller.peek()).remaining == 0


async def test_retry_after_is_exact_under_a_new_limit(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """Who only peeks is told when the hit passes, whatever the limit was under which others have hit."""
    await kind(pipelined, name, limit=1, period=7).hit()
    changed, cost = kind(pipelined, name, limit=3, period=7), 1 if kind is TokenBucket else 3
    decision = await changed.peek(cost=cost)
    clock.now_us += us(decision.retry_after) - 2000
    assert not await changed.peek(cost=cost)
    clock.now_us += 2000
    assert await changed.hit(cost=cost)


@pytest.mark.parametrize(
    ("kind", "old", "new", "left"),
    [
        (TokenBucket, (10, 10, 10), (5, 10, 5), 2),
        (TokenBucket, (1, 7, 2), (3, 7, 6), 1),
        (Gcra, (10, 10, 10), (5, 10, 5), 2),
    ],
)
async def test_a_denied_hit_makes_a_new_rate_hold(
    pipelined: Redis, clock: Clock, kind: Any, name: str, old: Any, new: Any, left: int
) -> None:
    """From the first hit on, denied or not, what comes back does so at the new rate, though all is free as soon."""
    before, after = (
        kind(pipelined, name, limit=limit, period=period, burst=burst, backlog=0) for limit, period, burst in (old, new)
    )
    assert await before.hit(cost=before.burst)
    assert not await after.hit()
    clock.now_us += us(4)
    assert (await after.peek()).remaining == left


# What is stored ------------------------------------------------------------------------------------------------------


async def test_every_key_expires(pipelined: Redis, kind: Kind, name: str) -> None:
    """After a hit, a denial, a refund, a reservation and its return the key has a bounded time to live."""
    limiter = kind(pipelined, name, limit=4, period=10)
    for ask in (limiter.hit, limiter.hit, limiter.refund, limiter.hit):
        await ask(cost=2)
        assert 0 < await pipelined.pttl(key_of(limiter)) <= 20_100
    assert not await limiter.hit(cost=4)
    assert 0 < await pipelined.pttl(key_of(limiter)) <= 20_100
    await limiter.refund(cost=2)
    cost = 1 if kind is LeakyBucket else 4
    before = await pipelined.dump(key_of(limiter))
    waiting = [asyncio.create_task(limiter.acquire(cost=cost)) for _ in range(2)]
    await changes(pipelined, limiter, before)
    assert 0 < await pipelined.pttl(key_of(limiter)) <= 50_100
    for task in reversed(waiting):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert 0 < await pipelined.pttl(key_of(limiter)) <= 50_100


@pytest.mark.parametrize("cost", [1, 4])
async def test_a_lost_expiry_is_repaired(pipelined: Redis, kind: Kind, name: str, cost: int) -> None:
    """A key that somebody made immortal is mortal again after the next hit, allowed or denied."""
    limiter = kind(pipelined, name, limit=4, period=10)
    await limiter.hit(cost=2)
    await pipelined.persist(key_of(limiter))
    assert (await limiter.hit(cost=cost)).allowed == (cost == 1)
    assert 0 < await pipelined.pttl(key_of(limiter)) <= 20_100


@pytest.mark.parametrize("left", [0.003, 0, -3600])
async def test_a_lost_expiry_is_repaired_at_the_end_too(
    pipelined: Redis, clock: Clock, kind: Kind, name: str, left: float
) -> None:
    """A key that is immortal when nothing, or next to nothing, is used any more ends after a denied hit as well."""
    limiter = kind(pipelined, name, limit=4, period=10)
    decision = await limiter.hit()
    await pipelined.delete(f"{key_of(limiter)}:expiry")
    clock.now_us += us(decision.reset_after - left)
    await limiter.hit(cost=5)
    assert await clock.ttl(pipelined, key_of(limiter)) is not None or not await pipelined.exists(key_of(limiter))


async def test_an_idle_subject_leaves_nothing(pipelined: Redis, kind: Kind, name: str) -> None:
    """A subject that hits no more is gone from the server."""
    limiter = kind(pipelined, name, limit=3, period=0.02)
    await drain(limiter)

    async def gone() -> bool:
        return not await pipelined.exists(key_of(limiter))

    await eventually(gone, timeout=2)


async def test_a_key_of_another_type_is_not_touched(pipelined: Redis, kind: Kind, name: str) -> None:
    """Where the key is something else altogether, every call says so and leaves it alone."""
    limiter = kind(pipelined, name, limit=3, period=1)
    await pipelined.hset(key_of(limiter), mapping={"a": "b"})
    await pipelined.pexpire(key_of(limiter), 60_000)
    for ask in (limiter.hit, limiter.peek, limiter.refund, limiter.acquire):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await ask()
    assert await pipelined.hgetall(key_of(limiter)) == {b"a": b"b"}


@pytest.mark.parametrize(
    "garbage",
    [b"", b"x", b"1", b"-1", b"1 2", b"nan nan nan nan", b"0 0 0 0", b"-1 -1 -1 -1", b"9" * 40, b"9 9 9 9", b"\0\xff",
     b"999999999999999999999999 999999999999999999999 1 1", b"-99999999999999999999999 1 1 1", b"1.5", b"1e300",
     b"0x10"],
)  # fmt: skip
async def test_garbage_is_survived(pipelined: Redis, kind: Kind, name: str, garbage: bytes) -> None:
    """Bytes that no limiter wrote are answered within the limit, and replaced or left to expire."""
    limiter = kind(pipelined, name, limit=3, period=10, **backlog_of(kind, 3))
    if not await stores_string(pipelined, limiter):
        return
    await pipelined.set(key_of(limiter), garbage)
    for decision in (await limiter.peek(), await limiter.hit(), await limiter.hit(cost=3), await limiter.refund()):
        assert 0 <= decision.remaining <= 3
        assert 0 <= decision.reset_after < inf
        assert 0 <= decision.retry_after < inf
    if await pipelined.exists(key_of(limiter)):
        assert 0 < await pipelined.pttl(key_of(limiter)) <= 60_000
    await limiter.reset()
    assert await drain(limiter) == 3


@pytest.mark.parametrize(
    ("kind", "garbage"),
    [(FixedWindow, garbage) for garbage in (b"x", b"-1", b"1.5", b"9007199254740994", b"9007199254740994 10000 1",
                                            b"1 9007199254740994 1", b"1 10000 9007199254740994")]
    + [(SlidingWindow, garbage) for garbage in (b"x", b"9007199254740994 1 1 1", b"0 1 1 9007199254740994",
                                                b"0 1 1 10000000 9007199254740994 1",
                                                b"0 1 1 10000000 1 9007199254740994")]
    + [(TokenBucket, b"x"), (TokenBucket, b"-9007199254740994 1 1 1"), (Gcra, b"x"), (LeakyBucket, b"x")],
)  # fmt: skip
async def test_garbage_says_nothing(pipelined: Redis, kind: Kind, name: str, garbage: bytes) -> None:
    """What no limiter can have counted, as it is no number or could not be counted exactly, counts as nothing."""
    limiter = kind(pipelined, name, limit=3, period=10)
    await pipelined.set(key_of(limiter), garbage)
    assert (await limiter.hit()).remaining == 2


@pytest.mark.parametrize("kind", [Gcra, LeakyBucket])
async def test_garbage_that_owes_for_ages_is_survived(pipelined: Redis, kind: Kind, name: str) -> None:
    """A debt of more than can be counted exactly is answered like another, and forgotten by a reset."""
    limiter = kind(pipelined, name, limit=3, period=10)
    await pipelined.set(key_of(limiter), b"ffffffffffffffff 0 1 1 ffffffffffffffff")
    assert HOUR < (await limiter.hit()).retry_after < inf
    await limiter.reset()
    assert await limiter.hit()


@pytest.mark.parametrize("garbage", [(b"",), (b"x",), (b"x", b"y"), (b"", b"", b""), (b"x" * 20, b"0")])
async def test_a_log_of_garbage_says_nothing(pipelined: Redis, name: str, garbage: tuple[bytes, ...]) -> None:
    """Elements that no limiter wrote are of no hit."""
    limiter = SlidingLog(pipelined, name, limit=3, period=10)
    await pipelined.rpush(key_of(limiter), *garbage)
    assert (await limiter.peek()).remaining == 3
    assert (await limiter.hit()).remaining == 2
    assert 0 < await pipelined.pttl(key_of(limiter)) <= 10_100


async def test_a_shorter_window_ends_to_the_millisecond(pipelined: Redis, clock: Clock, name: str) -> None:
    """What is reserved in a window whose period has become shorter holds to its new end, and no longer."""
    limiter = FixedWindow(pipelined, name, limit=1, period=10)
    await limiter.hit()
    waiting = asyncio.create_task(limiter.acquire())

    async def stands() -> bool:
        return (await limiter.peek()).reset_after > 10.1

    await eventually(stands)
    shorter = FixedWindow(pipelined, name, limit=1, period=5)
    clock.now_us += us(14.999)
    assert not await shorter.peek()
    clock.now_us += us(0.002)
    assert await shorter.hit()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_period_that_changes_counts_from_then_on(pipelined: Redis, clock: Clock, name: str) -> None:
    """The windows of another period are taken over by the first hit, also by one that is denied."""
    limiter = SlidingWindow(pipelined, name, limit=10, period=10)
    await limiter.hit(cost=10)
    clock.now_us += us(4)  # what is left of two windows of 10 s is as long as two windows of 8 s
    shorter = SlidingWindow(pipelined, name, limit=10, period=8)
    assert not await shorter.hit()
    clock.now_us += us(8.5)
    assert (await shorter.peek()).remaining == 1


async def stores_string(redis: Redis, limiter: Limiter) -> bool:
    await limiter.hit("probe")
    return await redis.type(key_of(limiter, "probe")) == b"string"


# Who counts too ------------------------------------------------------------------------------------------------------


async def test_who_never_pauses_stays_denied(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """Where denied hits count, one who goes on hitting is not admitted in that window or ever, and one who waits is."""
    limiter = kind(pipelined, name, limit=4, period=10, count_denied=True)
    await drain(limiter)
    for _ in range(20 if kind in (FixedWindow, SlidingWindow) else 60):
        clock.now_us += us(0.45)
        assert not await limiter.hit()
    decision = await limiter.hit()
    clock.now_us += us(decision.retry_after)
    assert await limiter.hit()


async def test_a_denied_hit_that_counts_takes_what_is_left(
    pipelined: Redis, clock: Clock, kind: Kind, name: str
) -> None:
    """It uses no more than the limit, whatever its cost, says exactly when it would pass, and peeks take nothing."""
    limiter = kind(pipelined, name, limit=10, period=10, count_denied=True)
    await limiter.hit(cost=8)
    assert not await limiter.peek(cost=3)
    assert (await limiter.peek()).remaining == 2
    clock.now_us += us(0.01)
    decision = await limiter.hit(cost=3)
    assert (decision.allowed, decision.remaining) == (False, 0)
    assert not await limiter.peek()
    clock.now_us += us(decision.retry_after) - 2000
    assert not await limiter.peek(cost=3)
    clock.now_us += 2000
    assert await limiter.peek(cost=3)
    assert (await limiter.hit(cost=11)).retry_after == inf
    assert 0 < (await limiter.peek(cost=10)).retry_after <= 20


async def test_a_denied_hit_that_counts_takes_no_more_than_all(pipelined: Redis, kind: Kind, name: str) -> None:
    """One that can never pass uses up what there is, once."""
    limiter = kind(pipelined, name, limit=3, period=HOUR, count_denied=True)
    assert not await limiter.hit(cost=4)
    assert (await limiter.peek()).remaining == 0
    assert (await limiter.refund()).remaining == 1


async def test_a_storm_from_many_processes_keeps_the_limit(pipelined: Redis, url: str, name: str) -> None:
    """Sixteen processes that hit without a pause are never admitted more, in any true window, than is promised."""
    limit = 100
    async with AsyncExitStack() as stack:
        target = "tests.rate_limits.workers:hammer"
        start = [stack.enter_async_context(worker(target, url, name, list(KINDS), limit, 2.2)) for _ in range(16)]
        answers = [await process.line(timeout=50) for process in await asyncio.gather(*start)]
    for kind in KINDS:
        hits = sorted(tuple(hit) for answer in answers for hit in answer[kind])
        assert len(hits) >= 2 * limit
        for window in (0.25, 1):
            bucket = limit + round(limit * window)
            bounds = {"SlidingLog": limit, "FixedWindow": 2 * limit, "SlidingWindow": 2 * limit}
            assert most_within(hits, us(window)) <= bounds.get(kind, bucket), kind


async def test_the_clocks_of_clients_are_not_asked(url: str, name: str) -> None:
    """Processes whose clocks are hours apart share every limit as if they were right."""
    answers = []
    for wrong_by in (3600, -3600):
        async with worker("tests.rate_limits.workers:spend", url, name, list(KINDS), 6, 4, wrong_by) as process:
            answers.append(await process.line())
    assert answers == [dict.fromkeys((*KINDS, "Quota"), count) for count in (4, 2)]


def most_within(hits: list[tuple[int, int]], window_us: int) -> int:
    """The most hits that were certainly within one window, as each came at some time between its two."""
    most = 0
    for first, (begin, _) in enumerate(hits):
        most = max(most, sum(end < begin + window_us for _, end in hits[first : first + 400]))
    return most


# Faults --------------------------------------------------------------------------------------------------------------


async def test_a_hit_is_counted_at_most_once(server: EmbeddedServer, kind: Kind, name: str) -> None:
    """A hit whose reply was lost raises and is not sent again; a peek is, and answers."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limiter = kind(redis, name, limit=5, period=HOUR)
        await limiter.hit()
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await limiter.hit()
        proxy.add(Fault("cut_after", "EVALSHA"))
        assert (await limiter.peek()).remaining == 3


async def test_every_question_is_one_script_call(server: EmbeddedServer, kind: Kind, name: str) -> None:
    """Hits, peeks, refunds and resets send one EVALSHA each and nothing besides."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limiter = kind(redis, name, limit=5, period=HOUR)
        await limiter.hit()
        before = proxy.commands.copy()
        await asyncio.gather(limiter.hit(), limiter.peek(), limiter.refund(), limiter.reset(), limiter.acquire())
        assert proxy.commands - before == {"EVALSHA": 5}


async def test_a_server_that_forgot_the_scripts_decides_all_the_same(
    own_server: EmbeddedServer, kind: Kind, name: str
) -> None:
    """SCRIPT FLUSH between any two calls is never noticed, and nothing is counted twice."""
    async with connect(own_server.url) as redis:
        limiter = kind(redis, name, limit=5, period=HOUR)
        for left in (4, 3, 2, 1, 0):
            await redis.script_flush()
            assert (await limiter.hit()).remaining == left
            await redis.script_flush()
            assert (await limiter.peek()).remaining == left


async def test_a_hook_is_told_of_each_decision(pipelined: Redis, kind: Kind, name: str) -> None:
    """Hits that count and hits that do not are told apart; peeks are nobody's business."""
    told: list[LimitDecided] = []
    limiter = kind(pipelined, name, limit=1, period=HOUR, on_event=told.append)
    await limiter.hit()
    await limiter.peek()
    await limiter.hit()
    assert [(event.pattern, event.name, event.outcome) for event in told] == [
        (kind.__name__, name, "allowed"),
        (kind.__name__, name, "denied"),
    ]


def test_a_decision_cannot_be_changed() -> None:
    """A decision is an answer: comparable, hashable, frozen, and true when it is a yes."""
    decision = Decision(allowed=False, limit=5, remaining=0, retry_after=0.2, reset_after=1.0, policy="api")
    assert decision == Decision(False, 5, 0, 0.2, 1.0, "api")
    assert not decision
    with pytest.raises(AttributeError):
        decision.allowed = True  # type: ignore[misc]
