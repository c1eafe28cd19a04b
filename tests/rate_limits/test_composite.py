"""Several limits decided together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster

from aioredis_patterns._core.keys import slot
from aioredis_patterns._core.periods import Period
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import OutcomeUnknownError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import (
    CompositeLimit,
    FixedWindow,
    Gcra,
    Limiter,
    Quota,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
    composite,
)
from aioredis_patterns.rate_limits.lines import Lines
from tests.rate_limits.clock import Clock, Timed
from tests.rate_limits.conftest import KINDS
from tests.support.faults import Fault, FaultProxy

HOUR = 3600


def of_all_kinds(redis: Any, name: str, limit: int, period: float = HOUR) -> list[Limiter]:
    """One part of each kind, each with a larger limit than the one before."""
    kinds = enumerate(KINDS.items())
    return [kind(redis, f"{name}:{title}", limit=limit + more, period=period) for more, (title, kind) in kinds]


def key_of(part: Limiter, subject: str | None = None) -> str:
    return part._keys.key(part._part, subject)


async def states_of(redis: Redis, parts: list[Limiter]) -> list[Any]:
    return [(await redis.dump(key_of(part)), await redis.get(f"{key_of(part)}:expiry")) for part in parts]


@pytest.fixture
def clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the parts, which the composites of this test go by too."""
    for attribute, script in list(vars(composite).items()):
        if isinstance(script, Script):
            monkeypatch.setattr(composite, attribute, Timed(script, clock))
    return clock


async def test_it_works_on_every_client(redis: Redis, name: str) -> None:
    """Whatever client the user has built, a composite of all kinds admits what the smallest part does."""
    limit = CompositeLimit(redis, name, of_all_kinds(redis, name, 2))
    first, second, third = [await limit.hit("user:42") for _ in range(3)]
    assert (first.allowed, first.limit, first.remaining, first.retry_after) == (True, 2, 1, 0)
    assert (second.allowed, second.remaining) == (True, 0)
    assert (third.allowed, third.remaining) == (False, 0)
    assert 0 < third.retry_after <= third.reset_after
    assert (await limit.refund("user:42")).remaining == 1
    await limit.reset("user:42")
    assert (await limit.peek("user:42")).remaining == 2


async def test_a_thousand_hits_at_once_leak_nothing(pipelined: Redis, name: str) -> None:
    """Of 1,000 hits of many users and tenants each part has counted those that were admitted, and not one more."""
    rng = random.Random(3)
    user = TokenBucket(pipelined, f"{name}:user", limit=9, period=HOUR)
    tenant = FixedWindow(pipelined, f"{name}:tenant", limit=120, period=HOUR)
    everybody = SlidingLog(pipelined, f"{name}:everybody", limit=400, period=HOUR)
    limit = CompositeLimit(pipelined, name, [user, tenant, everybody])
    names = {part: part.name for part in (user, tenant)}
    who = [(f"user:{rng.randrange(100)}", f"tenant:{rng.randrange(4)}") for _ in range(1000)]

    async def ask(one: str, other: str) -> bool:
        return bool(await limit.hit({names[user]: one, names[tenant]: other}))

    admitted = [
        pair for pair, allowed in zip(who, await asyncio.gather(*(ask(*p) for p in who)), strict=True) if allowed
    ]
    assert (await everybody.peek()).remaining == 400 - len(admitted)
    for one in {one for one, _ in who}:
        assert (await user.peek(one)).remaining == 9 - sum(pair[0] == one for pair in admitted)
    for other in {other for _, other in who}:
        assert (await tenant.peek(other)).remaining == 120 - sum(pair[1] == other for pair in admitted)
    assert len(admitted) == 400


async def test_a_denied_hit_consumes_nothing_anywhere(pipelined: Redis, clock: Clock, name: str) -> None:
    """Where one part of each kind in turn denies, no part is changed at all."""
    parts = of_all_kinds(pipelined, name, 5)
    for full in parts:
        await CompositeLimit(pipelined, name, parts).reset()
        for part in parts:
            await part.hit(cost=1)
        await full.hit(cost=(await full.peek(cost=0)).remaining)
        before = await states_of(pipelined, parts)
        decision = await CompositeLimit(pipelined, name, parts).hit()
        assert (decision.allowed, decision.policy, decision.limit) == (False, full.name, full.limit)
        assert await states_of(pipelined, parts) == before


async def test_it_names_the_part_to_wait_for_longest(pipelined: Redis, clock: Clock, name: str) -> None:
    """Of several parts that deny, the one with the largest wait is named, and after that wait the hit passes."""
    rng = random.Random(5)
    parts = of_all_kinds(pipelined, name, 3, period=7)
    limit = CompositeLimit(pipelined, name, parts)
    denials = 0
    while denials < 30:
        cost = {part.name: rng.randint(1, 3) for part in parts}
        decision = await limit.hit(cost=cost)
        if decision:
            clock.now_us += rng.randrange(3_000_000)
            continue
        denials += 1
        waits = {part.name: (await part.peek(cost=cost[part.name])).retry_after for part in parts}
        assert (decision.retry_after, waits[decision.policy]) == (max(waits.values()), max(waits.values()))
        early = min(2000, round(decision.retry_after * 1_000_000))
        clock.now_us += round(decision.retry_after * 1_000_000) - early
        assert early < 2000 or not await limit.hit(cost=cost)
        clock.now_us += early
        assert early < 2000 or await limit.hit(cost=cost)


async def test_it_names_the_part_with_the_fewest_hits_left(pipelined: Redis, name: str) -> None:
    """While all parts admit, the one named is that which admits the fewest further hits of these costs."""
    requests = Gcra(pipelined, f"{name}:requests", limit=10, period=HOUR)
    tokens = TokenBucket(pipelined, f"{name}:tokens", limit=1000, period=HOUR)
    limit = CompositeLimit(pipelined, name, [requests, tokens])
    assert (await limit.hit(cost={tokens.name: 50})).policy == requests.name
    decision = await limit.hit(cost={tokens.name: 500})
    assert (decision.policy, decision.limit, decision.remaining) == (tokens.name, 1000, 450)


async def test_parts_share_their_state(pipelined: Redis, name: str) -> None:
    """On one server a hit on a part counts in its composites, and a hit on a composite counts in its parts."""
    parts = of_all_kinds(pipelined, name, 3)
    limits = [CompositeLimit(pipelined, f"{name}:{i}", parts) for i in range(2)]
    await asyncio.gather(*(part.hit("a") for part in parts))
    assert (await limits[0].hit("a")).remaining == 1
    assert (await limits[1].hit("a")).remaining == 0
    assert [(await part.peek("a")).remaining for part in parts] == [0, 1, 2, 3, 4, 5]


async def test_each_part_has_a_cost_and_a_subject_of_its_own(pipelined: Redis, name: str) -> None:
    """A part that a mapping does not name has no subject and counts 1, and one with cost 0 is not asked."""
    user = TokenBucket(pipelined, f"{name}:user", limit=5, period=HOUR)
    total = FixedWindow(pipelined, f"{name}:total", limit=10, period=HOUR)
    limit = CompositeLimit(pipelined, name, [user, total])
    assert await limit.hit({user.name: "ada"}, {user.name: 4})
    assert ((await user.peek("ada")).remaining, (await total.peek()).remaining) == (1, 9)
    await user.hit("ada")
    assert not await limit.hit({user.name: "ada"})
    assert await limit.hit({user.name: "ada"}, {user.name: 0, total.name: 9})
    assert ((await user.peek("ada")).remaining, (await total.peek()).remaining) == (0, 0)


async def test_a_cost_of_nothing_only_peeks(pipelined: Redis, name: str) -> None:
    """A hit that costs nothing in any part says what is left, is allowed and writes nothing."""
    parts = of_all_kinds(pipelined, name, 1)
    limit = CompositeLimit(pipelined, name, parts)
    assert (await limit.hit(cost=0)).remaining == 1
    assert not await pipelined.exists(*map(key_of, parts))


async def test_a_cost_above_one_part_is_never_admitted(pipelined: Redis, name: str) -> None:
    """A hit that one part can never admit is denied with an infinite wait, whatever the others say."""
    parts = of_all_kinds(pipelined, name, 2)
    limit = CompositeLimit(pipelined, name, parts)
    await limit.hit(cost=2)
    for cost in (3, 10**30):
        decision = await limit.hit(cost={parts[1].name: cost + 1})
        assert (decision.allowed, decision.retry_after, decision.policy) == (False, inf, parts[1].name)


async def test_a_peek_writes_nothing(pipelined: Redis, name: str) -> None:
    """The script of a peek runs where writing is forbidden, whatever the state."""
    parts = of_all_kinds(pipelined, name, 3)
    limit = CompositeLimit(pipelined, name, parts)
    for cost in (1, 2, 3, 4):
        told = [word for told in limit._told for word in (1, told, cost)]
        source = composite._PEEK.source.text
        assert await pipelined.execute_command("EVAL_RO", source, len(parts), *map(key_of, parts), *told)
        await limit.hit(cost=cost)


async def test_every_key_expires(pipelined: Redis, name: str) -> None:
    """Keys that somebody made immortal are mortal again after the next hit, those of parts that would admit too."""
    parts = of_all_kinds(pipelined, name, 2)
    limit = CompositeLimit(pipelined, name, parts)
    await limit.hit()
    for cost in (1, 2):
        for part in parts:
            await pipelined.persist(key_of(part))
        assert bool(await limit.hit(cost=cost)) == (cost == 1)
        assert all([0 < await pipelined.pttl(key_of(part)) <= 2_000 * HOUR + 100 for part in parts])


async def test_an_expiry_given_back_is_not_too_early(pipelined: Redis, clock: Clock, name: str) -> None:
    """Parts that would admit are kept each until nothing of it is used any more, to the millisecond."""
    parts: list[Limiter] = [TokenBucket(pipelined, f"{name}:{period}", limit=9, period=period) for period in (30, HOUR)]
    limit = CompositeLimit(pipelined, name, [*parts, FixedWindow(pipelined, name, limit=1, period=9)])
    await limit.hit()
    for part in parts:
        await pipelined.delete(f"{key_of(part)}:expiry")
    clock.now_us += 333_333
    assert not await limit.hit()
    for part in parts:
        left = (await part.peek()).reset_after
        assert left <= (await clock.ttl(pipelined, key_of(part)) or 0) < left + 0.0021


@pytest.mark.parametrize("kind", [TokenBucket, Gcra])
async def test_a_slower_part_is_not_refilled(pipelined: Redis, clock: Clock, name: str, kind: Any) -> None:
    """A part that denies when its rate has become slower keeps what was used, past the time of the old rate."""
    fast, slow = [CompositeLimit(pipelined, name, [kind(pipelined, name, limit=5, period=p)]) for p in (1, HOUR)]
    assert await fast.hit(cost=5)
    assert not await slow.hit()
    clock.now_us += 60_000_000
    assert not await slow.hit()


async def test_a_hit_is_counted_at_most_once(server: EmbeddedServer, name: str) -> None:
    """A hit whose reply was lost raises and is not sent again, and is one script call like all questions."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = CompositeLimit(redis, name, of_all_kinds(redis, name, 5))
        await limit.hit()
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await limit.hit()
        assert (await limit.peek(cost=0)).remaining == 3
        before = proxy.commands.copy()
        await asyncio.gather(limit.hit(), limit.peek(), limit.refund(), limit.reset())
        assert proxy.commands - before == {"EVALSHA": 4}


async def test_a_hook_is_told_of_each_decision(pipelined: Redis, name: str) -> None:
    """Hits are told under the composite's name, once each; peeks and the hooks of the parts are not asked."""
    told: list[LimitDecided] = []
    part = TokenBucket(pipelined, f"{name}:part", limit=1, period=HOUR, on_event=told.append)
    limit = CompositeLimit(pipelined, name, [part], on_event=told.append)
    await limit.hit()
    await limit.peek()
    await limit.hit()
    assert [(event.pattern, event.name, event.outcome) for event in told] == [
        ("CompositeLimit", name, "allowed"),
        ("CompositeLimit", name, "denied"),
    ]


async def test_what_makes_no_sense_is_refused(pipelined: Redis, name: str) -> None:
    """No parts, two of one name, parts that are none, and mappings that name no part are refused."""
    part = TokenBucket(pipelined, f"{name}:part", limit=1, period=HOUR)
    for parts, error in (([], ValueError), ([part, part], ValueError), ([part, "b"], TypeError)):
        with pytest.raises(error, match="part"):
            CompositeLimit(pipelined, name, parts)  # type: ignore[arg-type]
    limit = CompositeLimit(pipelined, name, [part])
    for ask in (limit.hit, limit.peek, limit.refund):
        for arguments in (({"b": "c"},), (None, {"b": 1}), (None, -1)):
            with pytest.raises(ValueError, match=r"no part 'b'|cost"):
                await ask(*arguments)
        with pytest.raises(TypeError, match="cost"):
            await ask(cost={part.name: 1.5})


# Quotas --------------------------------------------------------------------------------------------------------------


async def test_a_quota_may_be_a_part(redis: Redis, name: str) -> None:
    """A month's quota and a rate admit together, or deny together without counting, and share their state."""
    month = Quota(redis, f"{name}:month", limit=5, per="month")
    rate = TokenBucket(redis, f"{name}:rate", limit=3, period=HOUR)
    limit = CompositeLimit(redis, name, [month, rate])
    assert [(await limit.hit("ada")).policy for _ in range(4)] == [rate.name] * 4
    assert (await month.peek("ada")).remaining == 2
    await rate.reset("ada")
    async with month.reserve("ada"):
        assert (await limit.hit("ada")).remaining == 0
        decision = await limit.hit("ada")
        assert (decision.allowed, decision.policy, decision.limit) == (False, month.name, 5)
        assert (await rate.peek("ada")).remaining == 2
    assert (await limit.refund("ada")).allowed
    assert ((await month.peek("ada")).remaining, (await rate.peek("ada")).remaining) == (1, 3)
    await limit.reset("ada")
    assert ((await month.peek("ada")).remaining, (await rate.peek("ada")).remaining) == (5, 3)


async def test_a_period_that_is_over_is_learnt_before_anything_is_done(pipelined: Redis, name: str) -> None:
    """Where a quota among the parts is in another period, the question is asked again, and all count it once."""
    days = [Quota(pipelined, f"{name}:{i}", limit=9, per="day") for i in range(2)]
    rate = TokenBucket(pipelined, f"{name}:rate", limit=9, period=HOUR)
    limit = CompositeLimit(pipelined, name, [rate, *days])
    for asked, left in ((limit.hit, 8), (limit.peek, 8), (limit.hit, 7), (limit.refund, 8)):
        for day in days:
            day.present = Period(0, 1)
        assert (await asked()).allowed
        assert [(await part.peek(cost=0)).remaining for part in (rate, *days)] == [left] * 3


# Clusters ------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """A cluster that every test of this file may use and none may stop."""
    async with embedded_cluster() as running:
        yield running


@pytest_asyncio.fixture(params=["pipelined", "plain"])
async def spread(request: pytest.FixtureRequest, cluster: EmbeddedCluster) -> AsyncIterator[Redis | RedisCluster]:
    """A client of the cluster, of each kind that users build."""
    plain = cluster.url.replace("redis+cluster://", "redis://")
    client = connect(cluster.url) if request.param == "pipelined" else RedisCluster.from_url(plain)
    yield client
    await client.aclose()


async def test_a_cluster_keeps_it_in_one_slot(spread: Any, name: str) -> None:
    """In a cluster a composite over subjects of many slots decides, exactly, on a state of its own."""
    parts = [*of_all_kinds(spread, name, 3), Quota(spread, f"{name}:month", limit=5, per="month")]
    limit = CompositeLimit(spread, name, parts)
    subjects = [{part.name: f"{i}:{j}" for j, part in enumerate(parts)} for i in range(5)]
    assert all([await part.hit(subject[part.name], 3) for subject in subjects for part in parts])
    for subject in subjects:
        assert [bool(await limit.hit(subject)) for _ in range(4)] == [True, True, True, False]
        await limit.reset(subject)
        assert (await limit.peek(subject)).remaining == 3


async def test_a_cluster_spreads_what_is_within_something(spread: Any, name: str) -> None:
    """Each tenant's state is in the tenant's slot, and counts for it alone."""
    limit = CompositeLimit(spread, name, [SlidingWindow(spread, "user", limit=1, period=HOUR)])
    tenants = [f"tenant:{i}" for i in range(20)]
    assert all([await limit.hit("ada", within=tenant) for tenant in tenants])
    assert not any([await limit.hit("ada", within=tenant) for tenant in tenants])
    keys = [key for tenant in tenants for key in limit._states("ada", tenant)]
    assert len(set(map(slot, keys))) > 10


async def test_acquire_waits_in_line(redis: Redis, name: str) -> None:
    """Who acquires is admitted when all parts do so, in the order of the calls, and each part has counted all."""
    parts = [
        FixedWindow(redis, f"{name}:a", limit=100, period=HOUR),
        TokenBucket(redis, f"{name}:b", limit=50, period=1, burst=2),
    ]
    limit, order = CompositeLimit(redis, name, parts), list[int]()

    async def take(number: int) -> None:
        assert await limit.acquire("ada", timeout=20)
        order.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(12):
            tasks.create_task(take(number))
    assert order == list(range(12))
    assert (await parts[0].peek("ada")).remaining == 88


async def test_acquire_gives_up(redis: Redis, name: str) -> None:
    """Who would wait for too long is told so at once, who waits in vain when his time is over; nothing was counted."""
    parts = [
        TokenBucket(redis, f"{name}:a", limit=2, period=HOUR),
        FixedWindow(redis, f"{name}:b", limit=9, period=HOUR),
    ]
    limit = CompositeLimit(redis, name, parts)
    assert await limit.acquire()
    for cost, timeout, wait in ((2, 5, HOUR / 2), (10, 5, inf), (10, None, inf)):
        with pytest.raises(RateLimitExceededError) as raised:
            await asyncio.wait_for(limit.acquire(cost=cost, timeout=timeout), 10)
        assert raised.value.retry_after == pytest.approx(wait, abs=60)
    first = asyncio.create_task(limit.acquire(cost=2))
    await asyncio.sleep(0)
    with pytest.raises(RateLimitExceededError):
        await limit.acquire(timeout=0.1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await parts[1].peek()).remaining == 8
    assert len(link_of(redis).companion(Lines)) == 0


async def test_acquire_with_no_time_asks_once(redis: Redis, name: str) -> None:
    """Who will not wait at all is admitted where there is room, and told so at once where there is none."""
    limit = CompositeLimit(redis, name, [FixedWindow(redis, f"{name}:a", limit=1, period=HOUR)])
    assert await limit.acquire(timeout=0)
    with pytest.raises(RateLimitExceededError) as raised:
        await limit.acquire(timeout=0)
    assert (raised.value.policy, raised.value.retry_after) == (f"{name}:a", pytest.approx(HOUR, abs=60))


async def test_a_cancelled_acquire_gives_back(pipelined: Redis, name: str) -> None:
    """However soon those who acquire are cancelled, what stays counted is what was admitted."""
    limit = CompositeLimit(pipelined, name, [FixedWindow(pipelined, name, limit=1000, period=HOUR)])
    rng, admitted = random.Random(2), 0
    for _ in range(100):
        task = asyncio.create_task(limit.acquire())
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        (answer,) = await asyncio.gather(task, return_exceptions=True)
        admitted += not isinstance(answer, BaseException)
    assert (await limit.peek()).remaining == 1000 - admitted


async def test_an_acquire_is_counted_at_most_once(server: EmbeddedServer, name: str) -> None:
    """Who acquires and loses the reply is told so, is not counted again, and leaves the line to the next."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = CompositeLimit(redis, name, of_all_kinds(redis, name, 5))
        await limit.acquire()
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await limit.acquire()
        assert (await limit.acquire(timeout=5)).remaining == 2
