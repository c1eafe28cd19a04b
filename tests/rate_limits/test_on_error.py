"""What a limit answers by itself when Redis does not, for every kind of it."""

from __future__ import annotations

import asyncio
from math import nan
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import CompositeLimit, FixedWindow, TokenBucket
from tests.rate_limits.conftest import KINDS, Kind
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually, lag_of_the_loop

HOUR = 3600
ALLOWED = {"open": True, "closed": False, "local": True}


async def test_while_redis_answers_nothing_changes(pipelined: Redis, kind: Kind, name: str) -> None:
    """As long as Redis answers, the decisions are its own, whatever would be done if it did not."""
    limiter = kind(pipelined, name, limit=2, period=HOUR, on_error="open", budget=10)
    decisions = [await limiter.hit("ada") for _ in range(3)]
    assert [(decision.allowed, decision.source) for decision in decisions] == [
        *((True, "redis"), (True, "redis"), (False, "redis"))
    ]
    assert not await limiter.peek("ada")
    await limiter.refund("ada")
    assert (await limiter.acquire("grace")).source == "redis"


@pytest.mark.parametrize("on_error", ALLOWED)
async def test_silence_costs_the_budget_at_most(own_server: EmbeddedServer, name: str, on_error: Any) -> None:
    """Whatever is asked of a limit of whatever kind, a Redis that hangs is answered for within the budget."""
    loop = asyncio.get_running_loop()
    async with connect(own_server.url) as redis:
        limiters = [kind(redis, name, limit=9, period=1, on_error=on_error) for kind in KINDS.values()]
        await redis.ping()
        own_server.pause()
        for limiter in limiters:
            async with lag_of_the_loop() as lag:
                start = loop.time()
                decisions = [await limiter.hit("ada"), await limiter.peek("ada")]
                assert loop.time() - start <= 2 * 0.06 + 2 * lag.worst
            answers = [(decision.allowed, decision.source) for decision in decisions]
            assert answers == [(ALLOWED[on_error], on_error)] * 2
        own_server.resume()

        async def recovered() -> bool:
            return (await limiters[0].hit()).source == "redis"

        await eventually(recovered, timeout=20)


async def test_who_waits_is_answered_for(own_server: EmbeddedServer, name: str) -> None:
    """Without Redis, `acquire` admits or waits as what stands in for it says, and ends with its timeout."""
    async with connect(own_server.url) as redis:
        await own_server.kill()
        opened = TokenBucket(redis, name, limit=1, period=HOUR, on_error="open")
        assert [(await opened.acquire()).source for _ in range(3)] == ["open"] * 3
        closed = TokenBucket(redis, name, limit=1, period=HOUR, on_error="closed")
        with pytest.raises(RateLimitExceededError):
            await closed.acquire(timeout=0.5)
        local = TokenBucket(redis, name, limit=100, period=1, burst=1, on_error="local")
        assert [(await local.acquire("ada", timeout=5)).source for _ in range(3)] == ["local"] * 3
        with pytest.raises(RateLimitExceededError):
            await local.acquire("ada", 2)


async def test_a_turn_nobody_waits_for_is_given_back(server: EmbeddedServer, name: str) -> None:
    """A turn that Redis gives after the budget is over, when the caller has its answer, is given back."""
    async with FaultProxy(str(server.host), int(server.port or 0)) as proxy, connect(proxy.url) as redis:
        limiter = TokenBucket(redis, name, limit=1, period=HOUR, on_error="open", budget=0.05)
        assert await TokenBucket(redis, name, limit=1, period=HOUR).hit()
        async with connect(server.url) as other:
            bucket = TokenBucket(other, name, limit=1, period=HOUR)

            async def is_free_again() -> bool:
                return (await bucket.peek()).retry_after <= HOUR

            proxy.delay(0.5, 0.5, requests=False)
            assert (await limiter.acquire()).source == "open"
            assert not await is_free_again()
            proxy.delay(0, 0)
            await eventually(is_free_again)


async def test_a_lost_reply_is_answered_for(server: EmbeddedServer, name: str) -> None:
    """A hit whose reply was lost is not asked again: what stands in for Redis answers, and Redis counted it once."""
    async with FaultProxy(str(server.host), int(server.port or 0)) as proxy, connect(proxy.url) as redis:
        limiter = FixedWindow(redis, name, limit=9, period=HOUR, on_error="open", budget=10)
        await limiter.hit()
        proxy.add(Fault("cut_after", "EVALSHA"))
        assert (await limiter.hit()).source == "open"
        assert (await limiter.hit()).remaining == 6


async def test_raising_may_have_a_budget_too(own_server: EmbeddedServer, name: str) -> None:
    """With `raise` and a budget a check without an answer raises in time, and after some of them at once."""
    async with connect(own_server.url) as redis:
        limiter = FixedWindow(redis, name, limit=100, period=HOUR, budget=0.05)
        assert (await FixedWindow(redis, name, limit=100, period=HOUR, budget=10).hit()).source == "redis"
        own_server.pause()
        for ask in (limiter.hit, limiter.peek, limiter.acquire, limiter.peek, limiter.hit):
            with pytest.raises(OutcomeUnknownError):
                await ask()
        with pytest.raises(RedisError):
            await limiter.hit()
        own_server.resume()


async def test_the_hook_hears_every_answer_once(own_server: EmbeddedServer, name: str) -> None:
    """Hits and turns decided without Redis are told like others, with outcomes of their own; a peek is no hit."""
    events: list[LimitDecided] = []
    async with connect(own_server.url) as redis:
        await own_server.kill()
        for on_error in ("open", "closed", "local"):
            limiter = FixedWindow(redis, name, limit=1, period=HOUR, on_error=on_error, on_event=events.append)
            for ask in (limiter.hit, limiter.peek, limiter.hit):
                await ask()
    outcomes = ["error_open"] * 2 + ["error_closed"] * 2 + ["allowed", "denied"]
    assert [event.outcome for event in events] == outcomes


async def test_a_composite_asks_the_state_of_its_parts(pipelined: Redis, name: str) -> None:
    """What a part does when Redis fails is no matter of the composite, which raises, or has a `Fallback`."""
    part = FixedWindow(pipelined, name, limit=1, period=HOUR, on_error="open", budget=10)
    composite = CompositeLimit(pipelined, f"{name}:all", [part])
    assert [bool(await composite.hit()) for _ in range(2)] == [True, False]
    assert not await part.hit()


@pytest.mark.parametrize(
    "options",
    [
        {"on_error": "ignore"},
        {"on_error": "local", "share": 0},
        {"on_error": "local", "share": 1.5},
        {"on_error": "local", "share": True},
        {"on_error": "open", "share": nan},
        {"on_error": "open", "budget": -1},
        {"on_error": "open", "budget": 0},
    ],
)
def test_what_makes_no_sense_is_refused(kind: Kind, name: str, options: dict[str, Any]) -> None:
    """A mistake shows when the limit is made, not when Redis fails."""
    with pytest.raises(ValueError, match=r"on_error|share|budget"):
        kind(connect("redis://localhost:1"), name, limit=5, period=1, **options)
