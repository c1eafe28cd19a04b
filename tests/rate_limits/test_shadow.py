"""Limits that are tried out."""

from __future__ import annotations

from dataclasses import replace

from redis.asyncio import Redis

from aioredis_patterns.events import LimitDecided
from aioredis_patterns.rate_limits import Bans, Fallback, FixedWindow, Shadow
from tests.rate_limits.conftest import Kind

HOUR = 3600


async def test_it_decides_and_never_denies(pipelined: Redis, kind: Kind, name: str) -> None:
    """What the limit denies is admitted, and the decision says that and everything that the limit said."""
    events: list[LimitDecided] = []
    limiter = kind(pipelined, name, limit=2, period=HOUR, on_event=events.append)
    trial = Shadow(limiter)
    decisions = [await trial.hit("ada") for _ in range(3)]
    assert [(decision.allowed, decision.source) for decision in decisions] == [
        *((True, "redis"), (True, "redis"), (True, "shadow"))
    ]
    assert [event.outcome for event in events] == ["allowed", "allowed", "denied"]
    assert 0 < decisions[2].retry_after <= decisions[2].reset_after
    peeked, denial = await trial.peek("ada"), await limiter.peek("ada")
    assert replace(peeked, retry_after=0, reset_after=0) == replace(
        denial, allowed=True, source="shadow", retry_after=0, reset_after=0
    )


async def test_it_shadows_whatever_decides(pipelined: Redis, name: str) -> None:
    """Bans and fallbacks can be tried out too."""
    bans = Bans(FixedWindow(pipelined, name, limit=1, period=HOUR), after=1, within=60)
    trial = Shadow(Fallback(bans, on_error="closed", budget=10))
    assert [(await trial.hit()).source for _ in range(3)] == ["redis", "shadow", "shadow"]
    assert [ban.subject for ban in await bans.banned()] == [None]
