"""What a limit answers when Redis does not."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import CompositeLimit, Fallback, FixedWindow, Quota, TokenBucket
from aioredis_patterns.rate_limits.local_share import LocalShare
from tests.rate_limits.conftest import Kind
from tests.support.waiting import eventually, lag_of_the_loop

HOUR = 3600


async def drain(limiter: Fallback | LocalShare, subject: str | None = None) -> int:
    ask = limiter.decide if isinstance(limiter, LocalShare) else limiter.hit
    count = 0
    while True:
        decision: Any = ask(subject, 1)
        if not (await decision if asyncio.iscoroutine(decision) else decision):
            return count
        count += 1


async def test_a_healthy_redis_decides(pipelined: Redis, kind: Kind, name: str) -> None:
    """As long as Redis answers, the limit is the limit, and says where it comes from."""
    guarded = Fallback(kind(pipelined, name, limit=2, period=HOUR), on_error="open", budget=10)
    decisions = [await guarded.hit("ada") for _ in range(3)]
    assert [(decision.allowed, decision.source) for decision in decisions] == [
        *((True, "redis"), (True, "redis"), (False, "redis"))
    ]
    assert not await guarded.peek("ada")


@pytest.mark.parametrize(("on_error", "allowed"), [("open", True), ("closed", False), ("local", True)])
async def test_a_redis_that_hangs_costs_the_budget_at_most(
    own_server: EmbeddedServer, name: str, on_error: Any, allowed: bool
) -> None:
    """Each check ends within its budget, after a few of them at once, and says who decided."""
    loop = asyncio.get_running_loop()
    async with connect(own_server.url) as redis:
        limiter = TokenBucket(redis, name, limit=100, period=HOUR)
        guarded = Fallback(limiter, on_error=on_error, budget=0.05, share=0.5)
        await Fallback(limiter, on_error="raise", budget=10).hit()
        own_server.pause()
        times = []
        async with lag_of_the_loop() as lag:
            for _ in range(8):
                start = loop.time()
                decision = await guarded.hit()
                times.append(loop.time() - start)
                assert (decision.allowed, decision.source) == (allowed, on_error)
        assert max(times) <= 0.06 + 2 * lag.worst
        assert min(times[5:]) < 0.01
        own_server.resume()

        async def recovered() -> bool:
            return (await guarded.hit()).source == "redis"

        await eventually(recovered, timeout=20)


async def test_it_may_also_raise(own_server: EmbeddedServer, name: str) -> None:
    """With `raise`, a check without an answer raises within the budget, and one that was not sent is no mystery."""
    async with connect(own_server.url) as redis:
        limiter = TokenBucket(redis, name, limit=100, period=HOUR)
        guarded = Fallback(limiter, on_error="raise", budget=0.05)
        await limiter.hit()
        own_server.pause()
        for ask in (guarded.hit, guarded.peek, guarded.hit, guarded.peek, guarded.hit):
            with pytest.raises(OutcomeUnknownError):
                await ask()
        with pytest.raises(RedisError):
            await guarded.hit()
        own_server.resume()


async def test_a_dead_redis_is_answered_for(own_server: EmbeddedServer, name: str) -> None:
    """A server that is gone, and later is back, is no business of the caller's."""
    async with connect(own_server.url) as redis:
        guarded = Fallback(FixedWindow(redis, name, limit=1, period=HOUR), on_error="open", budget=0.05)
        await own_server.kill()
        assert [(await guarded.hit()).source for _ in range(7)] == ["open"] * 7
        assert (await guarded.peek()).source == "open"
        await own_server.restart()

        async def recovered() -> bool:
            return (await guarded.peek()).source == "redis"

        await eventually(recovered, timeout=20)
        guarded = Fallback(guarded.limiter, on_error="open", budget=10)
        assert [(await guarded.hit()).source for _ in range(10)] == ["redis"] * 10


async def test_an_error_of_one_limit_is_no_outage(pipelined: Redis, name: str) -> None:
    """A limit whose key is of another kind falls back, and the others on the client are asked as before."""
    broken, whole = (FixedWindow(pipelined, f"{name}:{word}", limit=50, period=HOUR) for word in ("broken", "whole"))
    await pipelined.rpush(broken._keys.key("window"), "x")
    for limiter, source in ((broken, "closed"), (whole, "redis")):
        guarded = Fallback(limiter, on_error="closed", budget=10)
        assert [(await guarded.hit()).source for _ in range(10)] == [source] * 10


async def test_the_local_share_is_warm(own_server: EmbeddedServer, name: str) -> None:
    """A process goes on with its share of what Redis said was left, and a new subject with its share of the limit."""
    async with connect(own_server.url) as redis:
        limiter = TokenBucket(redis, name, limit=100, period=HOUR)
        guarded = Fallback(limiter, on_error="local", budget=0.05, share=0.5)
        await Fallback(limiter, on_error="raise", budget=10).hit("ada", 60)
        guarded._guard.local.learn("ada", await limiter.peek("ada"))  # type: ignore[union-attr]
        await own_server.kill()
        assert await drain(guarded, "ada") == 20
        assert await drain(guarded, "bob") == 50
        decision = await guarded.peek("ada")
        assert (decision.allowed, decision.source, decision.remaining) == (False, "local", 0)
        assert 0 < decision.retry_after <= 72


async def test_hits_through_it_keep_it_warm(pipelined: Redis, name: str) -> None:
    """Every decision of Redis is remembered for the time when there is none."""
    guarded = Fallback(FixedWindow(pipelined, name, limit=10, period=HOUR), on_error="local", budget=10, share=1)
    for _ in range(4):
        await guarded.hit("ada")
    assert guarded._guard.local is not None
    assert await drain(guarded._guard.local, "ada") == 6


def test_a_share_keeps_its_part_of_the_rate(name: str) -> None:
    """In the long run a share admits its part, whatever a hit costs, and never what the limit never would."""
    local = LocalShare(name, 10, 10, 0.25)
    assert local.decide(None, 11).retry_after == inf
    assert local.decide(None, 5).allowed
    decision = local.decide(None, 1)
    assert not decision
    assert decision.retry_after == pytest.approx((1 + 5 - 2.5) / 2.5, abs=0.05)
    assert local.decide(None, 1, takes=False).remaining == 0
    assert local.decide(None, 0).allowed


def test_a_share_of_less_than_one_still_admits(name: str) -> None:
    """However small the share, a hit passes at some time."""
    local = LocalShare(name, 2, 2 / HOUR, 0.1)
    assert local.decide(None, 1).allowed
    assert local.decide(None, 1).retry_after == pytest.approx(5 * HOUR, abs=1)


def test_a_share_remembers_so_many_subjects_only(name: str) -> None:
    """A flood of subjects costs bounded memory, and those asked for last are the ones remembered."""
    local = LocalShare(name, 10, 0.01 / HOUR, 1)
    for number in range(20_000):
        local.decide(number, 10)
        assert bool(local.decide("busy", 1)) == (number < 10)
    assert len(local._states) == 10_000
    assert not local.decide(19_999, 1)


async def test_the_hook_hears_what_was_decided_without_redis(own_server: EmbeddedServer, name: str) -> None:
    """Open and closed answers have outcomes of their own, local ones those of a limit, and a peek is no hit."""
    events: list[LimitDecided] = []
    async with connect(own_server.url) as redis:
        await own_server.kill()
        for on_error in ("open", "closed", "local"):
            limiter = FixedWindow(redis, name, limit=1, period=HOUR)
            guarded = Fallback(limiter, on_error=on_error, budget=0.02, on_event=events.append)
            for ask in (guarded.hit, guarded.peek, guarded.hit):
                await ask()
    outcomes = ["error_open"] * 2 + ["error_closed"] * 2 + ["allowed", "denied"]
    assert [event.outcome for event in events] == outcomes
    assert {(event.pattern, event.name) for event in events} == {("FixedWindow", name)}


async def test_every_kind_of_limit_can_be_guarded(pipelined: Redis, name: str) -> None:
    """Composites and quotas have a fallback like others, but no share of their own."""
    window = FixedWindow(pipelined, name, limit=5, period=HOUR)
    for limiter in (CompositeLimit(pipelined, name, [window]), Quota(pipelined, name, limit=5, per="day")):
        assert (await Fallback(limiter, on_error="open", budget=10).hit()).source == "redis"
        with pytest.raises(TypeError, match="one rate"):
            Fallback(limiter, on_error="local", share=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"on_error": "ignore"},
        {"on_error": "local", "share": 0},
        {"on_error": "local", "share": 1.5},
        {"on_error": "open", "budget": -1},
    ],
)
def test_what_makes_no_sense_is_refused(name: str, options: dict[str, Any]) -> None:
    """A mistake shows when the limit is made, not when Redis fails."""
    with pytest.raises(ValueError, match=r"on_error|share|budget"):
        Fallback(FixedWindow(connect("redis://localhost:1"), name, limit=5, period=1), **options)


@pytest.mark.parametrize("on_error", ["open", "closed", "local"])
async def test_a_bad_cost_is_refused_also_without_redis(name: str, on_error: Any) -> None:
    """What the limit would refuse is refused while the breaker keeps Redis from being asked, too."""
    async with connect("redis://localhost:1") as redis:
        limiter = FixedWindow(redis, name, limit=50, period=1)
        guarded = Fallback(limiter, on_error=on_error, budget=0.02)
        for _ in range(6):
            assert (await guarded.hit()).source == on_error
        for ask in (guarded.hit, guarded.peek):
            with pytest.raises(ValueError, match="cost"):
                await ask(cost=-1)
