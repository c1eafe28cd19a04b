"""Whoever runs into a limit again and again is locked out."""

from __future__ import annotations

import asyncio
import sys
from math import inf
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns._core.keys import slot
from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import Bans, CompositeLimit, FixedWindow, TokenBucket, bans
from tests.rate_limits.clock import Clock, Timed
from tests.rate_limits.conftest import Kind
from tests.support.faults import FaultProxy

HOUR = 3600
DAY = 86_400


@pytest.fixture
def clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the limits is the clock of their bans."""
    for script in ("_HIT", "_PEEK", "_PARDON", "_LIST", "_BANNED"):
        monkeypatch.setattr(bans, script, Timed(getattr(bans, script), clock))
    return clock


def us(seconds: float) -> int:
    return round(seconds * 1_000_000)


async def provoke(banning: Bans, subject: str | None = None) -> float:
    """Hit until banned; the seconds that it lasts."""
    while (decision := await banning.hit(subject)).source != "ban":
        pass
    return decision.retry_after


async def test_denials_bring_a_ban(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """After so many denials everything is denied, what would pass as well, for as long as it says and no longer."""
    banning = Bans(kind(pipelined, name, limit=2, period=1), after=3, within=60, first=600)
    sources = [(await banning.hit("ada")).source for _ in range(5)]
    assert sources == ["redis"] * 4 + ["ban"]
    clock.now_us += us(300)
    decision = await banning.hit("ada")
    assert (decision.allowed, decision.source, decision.retry_after) == (False, "ban", 300)
    assert (decision.remaining, decision.reset_after) == (0, 300)
    assert (await banning.peek("ada")).source == "ban"
    clock.now_us += us(decision.retry_after - 0.002)
    assert not await banning.hit("ada")
    clock.now_us += us(0.002)
    assert (await banning.peek("ada")).allowed
    assert (await banning.hit("ada")).source == "redis"


async def test_others_are_not_banned(pipelined: Redis, name: str) -> None:
    """A ban is one subject's."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=HOUR), after=1, within=60)
    await provoke(banning, "ada")
    assert (await banning.hit("bob")).allowed
    assert (await banning.hit()).allowed


async def test_nothing_is_counted_during_a_ban(pipelined: Redis, clock: Clock, name: str) -> None:
    """Hits of a banned subject neither use the limit nor make the ban longer."""
    limiter = TokenBucket(pipelined, name, limit=5, period=50)
    banning = Bans(limiter, after=1, within=60, first=100)
    await provoke(banning)
    for _ in range(20):
        clock.now_us += us(1)
        await banning.hit()
    assert (await banning.peek()).retry_after == 80
    assert (await banning.peek("somebody else")).source == "redis"
    assert (await limiter.peek()).remaining == 2


async def test_each_ban_is_twice_as_long(pipelined: Redis, clock: Clock, name: str) -> None:
    """Bans double up to the longest, and begin anew after a quiet time as long as that."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=1), after=2, within=60, first=60, longest=400)
    lengths = []
    for _ in range(5):
        lengths.append(await provoke(banning))
        clock.now_us += us(lengths[-1])
    assert lengths == [60, 120, 240, 400, 400]
    clock.now_us += us(399)
    assert await provoke(banning) == 400
    clock.now_us += us(400 + 400)
    assert await provoke(banning) == 60


async def test_only_denials_within_the_time_count(pipelined: Redis, clock: Clock, name: str) -> None:
    """Who is denied now and then is never banned."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=HOUR), after=2, within=10)
    await banning.hit()
    for _ in range(20):
        assert (await banning.hit()).source == "redis"
        clock.now_us += us(10)
    await banning.hit()
    assert (await banning.hit()).source == "ban"


async def test_a_burst_of_callers_brings_one_ban(pipelined: Redis, name: str) -> None:
    """Of many hits at once as many pass as may, as many are denied as bring a ban, and the rest meets it."""
    banning = Bans(FixedWindow(pipelined, name, limit=10, period=HOUR), after=5, within=60, first=60)
    decisions = await asyncio.gather(*(banning.hit("ada") for _ in range(300)))
    assert [sum(decision.allowed for decision in decisions), len(await banning.banned())] == [10, 1]
    assert sum(decision.source == "redis" for decision in decisions) == 14
    assert max(decision.retry_after for decision in decisions if decision.source == "ban") <= HOUR + 0.002


async def test_a_limit_that_counts_denied_hits_does_so(pipelined: Redis, clock: Clock, kind: Kind, name: str) -> None:
    """What the limit does with a denied hit it does as well where denials bring bans."""
    limiter = kind(pipelined, name, limit=10, period=60, count_denied=True)
    banning = Bans(limiter, after=5, within=60)
    await banning.hit(cost=8)
    assert not await banning.hit(cost=5)
    assert (await limiter.peek()).remaining == 0


async def test_a_ban_can_be_lifted(pipelined: Redis, clock: Clock, name: str) -> None:
    """Who is pardoned may go on where the limit allows, and is banned no longer the next time than a first time."""
    banning = Bans(FixedWindow(pipelined, name, limit=2, period=1), after=1, within=60, first=600)
    await provoke(banning, "ada")
    assert await banning.pardon("ada")
    assert not await banning.pardon("ada")
    assert await banning.banned() == []
    clock.now_us += us(1.1)
    assert (await banning.hit("ada")).allowed
    assert await provoke(banning, "ada") == 600


async def test_the_banned_are_listed(pipelined: Redis, clock: Clock, name: str) -> None:
    """The list has those who are banned, the first to be free first, and nobody else."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=1), after=1, within=60, first=100)
    for subject in ("ada", "bob", "a|b", None):
        await provoke(banning, subject)
        clock.now_us += us(10)
    await banning.hit("eve")
    assert [(ban.subject, ban.ends_in) for ban in await banning.banned()] == [
        *(("ada", 60), ("bob", 70), ("a|b", 80), (None, 90))
    ]
    assert [ban.subject for ban in await banning.banned(most=1)] == ["ada"]
    with pytest.raises(ValueError, match="most must be"):
        await banning.banned(most=sys.maxsize)
    assert 90 <= (await clock.ttl(pipelined, banning._keys.key("banned")) or 0) < 90.0015
    clock.now_us += us(75)
    assert [ban.subject for ban in await banning.banned()] == ["a|b", None]
    await banning.pardon("a|b")
    assert await pipelined.zrange(banning._keys.key("banned"), 0, -1) == [b""]


async def test_a_cost_that_never_passes_is_still_that(pipelined: Redis, name: str) -> None:
    """During a ban a hit above the limit is not told to come back, and one of cost 0 brings no ban."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=HOUR), after=2, within=60)
    assert [(await banning.hit(cost=2)).source for _ in range(2)] == ["redis", "ban"]
    assert (await banning.hit(cost=2)).retry_after == inf
    assert await banning.limiter.hit()
    assert HOUR - 60 < (await banning.peek()).reset_after <= HOUR + 0.002
    decision = await banning.hit(cost=0)
    assert (decision.allowed, decision.source) == (False, "ban")


async def test_a_clock_that_steps_back_bans_nobody_for_longer(pipelined: Redis, clock: Clock, name: str) -> None:
    """Even after a step of a year a ban lasts no longer than the longest, and its key is bounded likewise."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=1), after=1, within=60, first=50, longest=100)
    await provoke(banning)
    clock.now_us -= us(365 * DAY)
    assert (await banning.hit()).retry_after <= 100


async def test_a_clock_that_steps_back_counts_no_denial_for_longer(pipelined: Redis, clock: Clock, name: str) -> None:
    """Denials that are further apart than the time in which they count bring no ban after a step back either."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=HOUR), after=3, within=60)
    await banning.hit()
    await banning.hit()
    clock.now_us -= us(DAY)
    for _ in range(5):
        assert (await banning.hit()).source == "redis"
        clock.now_us += us(60.001)


async def test_bans_of_long_ago_are_forgotten_among_new_denials(pipelined: Redis, clock: Clock, name: str) -> None:
    """A ban after the quiet time is a first one, even if the denials that bring it began before its end."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=1), after=2, within=60, first=60, longest=400)
    clock.now_us += us(await provoke(banning) + 395)
    await banning.hit()
    await banning.hit()
    clock.now_us += us(10)
    assert await provoke(banning) == 60


async def test_nothing_is_left_behind(pipelined: Redis, clock: Clock, name: str) -> None:
    """Every key ends, a subject that was never denied has none, and a list without anybody ends as well."""
    banning = Bans(FixedWindow(pipelined, name, limit=2, period=1), after=2, within=60, first=50, longest=100)
    key, listed = banning._keys.key("bans"), banning._keys.key("banned")
    await banning.hit()
    assert not await pipelined.exists(key)
    await banning.hit()
    await banning.hit()
    assert 60 <= (await clock.ttl(pipelined, key) or 0) < 60.0015
    await banning.hit()
    assert 150 <= (await clock.ttl(pipelined, key) or 0) < 150.0015
    assert 50 <= (await clock.ttl(pipelined, listed) or 0) < 50.0015


async def test_a_hit_is_one_call(server: EmbeddedServer, name: str) -> None:
    """Only the hit that brings a ban costs one more, for the list; what is denied afterwards does not."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        banning = Bans(FixedWindow(redis, name, limit=1, period=HOUR), after=2, within=60)
        await banning.peek()
        for calls in (1, 1, 2, 1, 1):
            before = proxy.commands.copy()
            await banning.hit()
            assert proxy.commands - before == {"EVALSHA": calls}


async def test_a_ban_takes_its_denials_with_it(pipelined: Redis, clock: Clock, name: str) -> None:
    """After a ban it takes as many denials as before to bring the next one."""
    banning = Bans(FixedWindow(pipelined, name, limit=1, period=HOUR), after=3, within=60, first=10)
    await provoke(banning)
    clock.now_us += us(10)
    assert [(await banning.hit()).source for _ in range(3)] == ["redis", "redis", "ban"]


async def test_the_hook_of_the_limit_hears_of_it(pipelined: Redis, name: str) -> None:
    """A ban's denial is a denial."""
    events: list[LimitDecided] = []
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR, on_event=events.append)
    banning = Bans(limiter, after=1, within=60)
    for _ in range(3):
        await banning.hit()
    assert [(event.pattern, event.outcome) for event in events] == [
        *(("FixedWindow", "allowed"), ("FixedWindow", "denied"), ("FixedWindow", "denied"))
    ]


async def test_it_works_on_every_client(redis: Redis, name: str) -> None:
    """Whatever client the user has built, a ban and the list of it say the same."""
    banning = Bans(FixedWindow(redis, name, limit=1, period=HOUR), after=1, within=60)
    assert await provoke(banning, "größe") > 60
    assert [ban.subject for ban in await banning.banned()] == ["größe"]
    assert await banning.pardon("größe")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"after": 0, "within": 1}, ValueError),
        ({"after": 1.5, "within": 1}, TypeError),
        ({"after": 1, "within": 0}, ValueError),
        ({"after": 1, "within": 1, "first": 0}, ValueError),
        ({"after": 1, "within": 1, "first": 10, "longest": 9}, ValueError),
    ],
)
def test_terms_that_make_no_sense_are_refused(name: str, options: dict[str, Any], error: type[Exception]) -> None:
    """What cannot be a ban is refused before anything is sent."""
    with pytest.raises(error):
        Bans(FixedWindow(connect("redis://localhost:1"), name, limit=5, period=1), **options)


def test_only_limits_of_a_rate_have_bans(name: str) -> None:
    """What is not decided by one script of a rate's cannot be banned from in one."""
    redis = connect("redis://localhost:1")
    parts = [FixedWindow(redis, name, limit=5, period=1)]
    with pytest.raises(TypeError, match="one rate"):
        Bans(CompositeLimit(redis, name, parts), after=1, within=1)  # type: ignore[arg-type]


def test_a_subject_and_its_bans_share_a_slot(name: str) -> None:
    """In a cluster one script reaches both, whatever the subject is called."""
    banning = Bans(FixedWindow(connect("redis://localhost:1"), name, limit=5, period=1), after=1, within=1)
    for subject in ("ada", "a}b{c", 42, None):
        state, record = banning._both(subject)
        assert (slot(state), state) == (slot(record), banning.limiter._keys.key(banning.limiter._part, subject))
