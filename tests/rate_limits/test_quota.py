"""So much per day, week or month of the calendar."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from aioredis_patterns._core.periods import Period
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import Quota, quota
from tests.rate_limits.clock import Clock, Timed
from tests.support.faults import Fault, FaultProxy

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR


def keys_of(limit: Quota, subject: str | None = None) -> tuple[str, str]:
    return limit._keys_of(subject)


def us(*when: int, tz: str = "UTC") -> int:
    return int(datetime(*when, tzinfo=ZoneInfo(tz)).timestamp()) * SECOND  # type: ignore[misc]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that all quotas of this test go by."""
    clock = Clock()
    for attribute, script in list(vars(quota).items()):
        if isinstance(script, Script):
            monkeypatch.setattr(quota, attribute, Timed(script, clock))
    return clock


async def drain(limit: Quota, subject: str | None = None) -> int:
    count = 0
    while await limit.hit(subject):
        count += 1
    return count


async def test_it_works_on_every_client(redis: Redis, name: str) -> None:
    """Whatever client the user has built, a decision says the same."""
    limit = Quota(redis, name, limit=2, per="month", tz="Europe/Berlin")
    first, second, third = [await limit.hit("user:42") for _ in range(3)]
    assert (first.allowed, first.limit, first.remaining, first.retry_after, first.policy) == (True, 2, 1, 0, name)
    assert (second.allowed, second.remaining) == (True, 0)
    assert (third.allowed, third.remaining) == (False, 0)
    assert 0 < third.retry_after == third.reset_after <= 31 * 86_400 + 3600
    assert (await limit.refund("user:42")).remaining == 1
    await limit.reset("user:42")
    assert (await limit.peek("user:42")).remaining == 2
    assert (await limit.peek("user:43")).reset_after == 0


async def test_a_burst_of_callers_gets_the_limit_and_no_more(pipelined: Redis, name: str) -> None:
    """Of 500 hits at once exactly as many pass as the limit says, and `remaining` never repeats."""
    limit = Quota(pipelined, name, limit=50, per="day")
    decisions = await asyncio.gather(*(limit.hit() for _ in range(500)))
    assert sorted(decision.remaining for decision in decisions if decision) == list(range(50))


@pytest.mark.parametrize(
    ("per", "tz", "now", "hours"),
    [
        ("day", "UTC", (2026, 11, 23), 24),
        ("day", "Europe/Berlin", (2026, 3, 29), 23),
        ("day", "Europe/Berlin", (2026, 10, 25), 25),
        ("week", "America/New_York", (2026, 11, 23), 7 * 24),
        ("month", "Asia/Tokyo", (2028, 2, 1), 29 * 24),
    ],
)
async def test_retry_after_is_the_end_of_the_period(
    pipelined: Redis, clock: Clock, name: str, per: Any, tz: str, now: tuple[int, int, int], hours: int
) -> None:
    """What is used at its beginning is free after exactly the period's length, and not a microsecond before."""
    clock.now_us = us(*now, tz=tz)
    limit = Quota(pipelined, name, limit=3, per=per, tz=tz)
    assert await drain(limit) == 3
    assert (await limit.hit()).retry_after == hours * 3600
    clock.now_us += hours * HOUR - 1
    assert (await limit.hit()).retry_after == 0.000_001
    assert not await limit.peek()
    clock.now_us += 1
    assert await limit.peek()
    assert await drain(limit) == 3


async def test_the_server_alone_knows_the_time(
    pipelined: Redis, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients whose clocks are days wrong count in one period, the server's."""
    assert await Quota(pipelined, name, limit=9, per="day").hit(cost=2)
    for wrong in (-3 * DAY, 0, 3 * DAY):
        monkeypatch.setattr(quota, "time", lambda wrong=wrong: (clock.now_us + wrong) / SECOND)
        assert await Quota(pipelined, name, limit=9, per="day").hit(cost=2)
    assert (await Quota(pipelined, name, limit=9, per="day").peek()).remaining == 1


async def test_a_period_that_is_over_is_learnt_in_one_call(server: EmbeddedServer, name: str) -> None:
    """The first question of a period is asked twice where the caller did not know of it, all others once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = Quota(redis, name, limit=50, per="week")
        await limit.hit()
        before = proxy.commands.copy()
        limit.present = Period(0, 1)
        await limit.hit()
        assert proxy.commands - before == {"EVALSHA": 2}
        before = proxy.commands.copy()
        await asyncio.gather(limit.hit(), limit.peek(), limit.refund(), limit.reset())
        assert proxy.commands - before == {"EVALSHA": 4}
        assert (await limit.peek()).remaining in {49, 50}


async def test_a_denied_hit_consumes_nothing(pipelined: Redis, clock: Clock, name: str) -> None:
    """What was left before a hit that was too large is left after it."""
    limit = Quota(pipelined, name, limit=10, per="day")
    assert await limit.hit(cost=8)
    before = await pipelined.get(keys_of(limit)[0])
    assert not await limit.hit(cost=3)
    assert await pipelined.get(keys_of(limit)[0]) == before
    assert (await limit.hit(cost=2)).remaining == 0


@pytest.mark.parametrize("cost", [11, 10**30])
async def test_a_cost_above_the_limit_is_never_admitted(pipelined: Redis, name: str, cost: int) -> None:
    """A hit that can never pass says so, and leaves nothing behind; one as large as the limit passes."""
    limit = Quota(pipelined, name, limit=10, per="day")
    for decision in (await limit.hit(cost=cost), await limit.peek(cost=cost)):
        assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 10, inf)
    assert not await pipelined.exists(*keys_of(limit))
    assert (await limit.hit(cost=10)).allowed


async def test_a_peek_writes_nothing(pipelined: Redis, name: str) -> None:
    """The script of a peek runs where writing is forbidden, whatever the state, and so does a hit of cost 0."""
    limit = Quota(pipelined, name, limit=5, per="day")
    for cost in (0, 1, 4, 5, 6):
        arguments = (limit.limit, *limit.present, cost)
        source = quota._PEEK.source.text
        assert await pipelined.execute_command("EVAL_RO", source, 2, *keys_of(limit), *arguments)
        assert (await limit.peek(cost=cost)).allowed == (await limit.hit(cost=cost)).allowed


async def test_a_refund_gives_back_what_was_used(pipelined: Redis, clock: Clock, name: str) -> None:
    """What was refunded may be used again; more than was used, or of a period that is over, is not to be had."""
    limit = Quota(pipelined, name, limit=10, per="day")
    await limit.hit(cost=10)
    decision = await limit.refund(cost=4)
    assert (decision.allowed, decision.remaining, decision.retry_after) == (True, 4, 0)
    assert (await limit.refund(cost=10**20)).remaining == 10
    assert not await pipelined.exists(*keys_of(limit))
    await limit.hit(cost=10)
    clock.now_us += DAY
    assert (await limit.refund(cost=10)).remaining == 10
    assert await drain(limit) == 10


async def test_a_clock_that_steps_back_grants_nothing(pipelined: Redis, clock: Clock, name: str) -> None:
    """After a step back over midnight the new day goes on, and its count with it."""
    limit = Quota(pipelined, name, limit=5, per="day")
    clock.now_us = us(2027, 1, 2)
    assert await drain(limit) == 5
    for step in (1, HOUR, 20 * HOUR):
        clock.now_us = us(2027, 1, 2) - step
        assert await drain(limit) == 0
        assert (await limit.hit()).retry_after == (DAY + step) / SECOND
    clock.now_us = us(2027, 1, 2, 23)
    assert await drain(limit) == 0
    clock.now_us = us(2027, 1, 3)
    assert await drain(limit) == 5


async def test_a_changed_quota_keeps_what_was_used(pipelined: Redis, clock: Clock, name: str) -> None:
    """Whatever becomes of the limit, what was used is used, until the shorter of the two periods is over."""
    clock.now_us = us(2027, 1, 10, 12)
    month = Quota(pipelined, name, limit=10, per="month")
    day = Quota(pipelined, name, limit=5, per="day")
    assert await drain(month) == 10
    decision = await day.hit()
    assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 0, 12 * 3600)
    assert not await Quota(pipelined, name, limit=10, per="month").hit()
    clock.now_us = us(2027, 1, 11)
    assert await drain(day) == 5
    assert await drain(month) == 5


async def test_every_key_expires_with_its_period(pipelined: Redis, name: str) -> None:
    """After a hit, a denial, a refund and a reservation all keys expire, also where somebody made them immortal."""
    limit = Quota(pipelined, name, limit=4, per="day")
    await limit.hit(cost=2)
    reservation = await limit.reserve(cost=1)
    for ask in (limit.hit, limit.refund, limit.hit):
        for cost in (1, 4):
            await pipelined.persist(keys_of(limit)[0])
            await ask(cost=cost)
            for key in keys_of(limit):
                assert await pipelined.pttl(key) == -2 or 0 < await pipelined.pttl(key) <= DAY / 1000
    await reservation.cancel()


@pytest.mark.parametrize(
    "garbage", ["", "x", "1", "-1 0 {stop}", "1 2", "nan {start} {stop}", "0 0 0", "9" * 40, "9 9 9", "\0\x7f",
                "5 0 99999999999999999999", "99999999999999999999 {start} {stop}",
                "9007199254740994 {start} {stop}", "1.5 {start} {stop}"],
)  # fmt: skip
async def test_garbage_is_survived(pipelined: Redis, name: str, garbage: str) -> None:
    """Bytes that no quota wrote are nothing used, and replaced."""
    limit = Quota(pipelined, name, limit=3, per="day")
    await limit.peek()
    start, stop = limit.present
    await pipelined.set(keys_of(limit)[0], garbage.format(start=start, stop=stop))
    assert (await limit.peek()).remaining == 3
    assert await drain(limit) == 3
    assert 0 < await pipelined.pttl(keys_of(limit)[0]) <= DAY / 1000


async def test_a_hit_is_counted_at_most_once(server: EmbeddedServer, name: str) -> None:
    """A hit whose reply was lost raises and is not sent again; a peek is, and answers."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        limit = Quota(redis, name, limit=5, per="month")
        await limit.hit()
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await limit.hit()
        proxy.add(Fault("cut_after", "EVALSHA"))
        assert (await limit.peek()).remaining == 3


async def test_a_hook_is_told_of_each_decision(pipelined: Redis, name: str) -> None:
    """Hits and reservations are told, by what became of them; peeks are nobody's business."""
    told: list[LimitDecided] = []
    limit = Quota(pipelined, name, limit=2, per="day", on_event=told.append)
    await limit.hit()
    await limit.peek()
    async with limit.reserve():
        await limit.hit()
    assert [(event.pattern, event.outcome) for event in told] == [
        ("Quota", "allowed"), ("Quota", "allowed"), ("Quota", "denied"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0, "per": "day"}, ValueError),
        ({"limit": 1.5, "per": "day"}, TypeError),
        ({"limit": 2**60, "per": "day"}, ValueError),
        ({"limit": 1, "per": "year"}, ValueError),
        ({"limit": 1, "per": "day", "tz": "Europe/Nowhere"}, ValueError),
        ({"limit": 1, "per": "day", "lease": 0}, ValueError),
    ],
)
def test_a_quota_that_makes_no_sense_is_refused(name: str, arguments: dict[str, Any], error: type[Exception]) -> None:
    """What cannot be a quota is refused before anything is sent."""
    with pytest.raises(error):
        Quota(connect("redis://localhost:1"), name, **arguments)


@pytest.mark.parametrize(("cost", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("1", TypeError)])
async def test_a_cost_that_is_no_count_is_refused(
    pipelined: Redis, name: str, cost: Any, error: type[Exception]
) -> None:
    """Nothing takes a cost that would have to be rounded or turned round, and no reservation is made of nothing."""
    limit = Quota(pipelined, name, limit=10, per="day")
    for ask in (limit.hit, limit.peek, limit.refund, limit.reserve):
        with pytest.raises(error, match="cost"):
            await ask(cost=cost)
    with pytest.raises(ValueError, match="cost"):
        limit.reserve(cost=0)


async def test_days_follow_each_other_for_years(pipelined: Redis, clock: Clock, name: str) -> None:
    """Through two years of hits at any time each day of New York admits its limit, and not one more."""
    rng = random.Random(9)
    limit = Quota(pipelined, name, limit=2, per="day", tz="America/New_York")
    admitted: dict[Any, int] = {}
    for _ in range(1500):
        clock.now_us += rng.randrange(24 * HOUR)
        day = datetime.fromtimestamp(clock.now_us // SECOND, UTC).astimezone(ZoneInfo("America/New_York")).date()
        for _ in range(3):
            admitted[day] = admitted.get(day, 0) + bool(await limit.hit())
    assert set(admitted.values()) == {2}


async def test_what_was_settled_is_remembered_where_nothing_is_used(pipelined: Redis, name: str) -> None:
    """A hit after a settlement that left nothing used does not forget it, or asked again it would count once more."""
    shared = Quota(pipelined, name, limit=9, per="day")
    async with shared.reserve(cost=2) as reservation:
        await shared.refund(cost=1)
        await reservation.commit(1)
    assert (await shared.hit()).remaining == 8
    assert [member[:2] for member in await pipelined.zrange(f"arp:{{{name}}}:reserved", 0, -1)] == [b"0 "]
