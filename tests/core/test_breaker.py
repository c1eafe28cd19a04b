"""The circuit breaker."""

from __future__ import annotations

import asyncio

import redis.asyncio as redis_py

from aioredis_patterns._core.breaker import Breaker, breaker_of
from aioredis_patterns.client import connect
from tests.support.waiting import eventually


def opened(failures: int = 3, rest: float = 60) -> Breaker:
    breaker = Breaker(failures, rest)
    for _ in range(failures):
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """As many failures as it says leave nothing through, and one fewer everything."""
    breaker = Breaker(failures=3, rest=60)
    breaker.failed()
    breaker.failed()
    assert breaker.admits()
    breaker.failed()
    assert not breaker.admits()


def test_a_success_in_between_keeps_it_closed() -> None:
    """Only failures in a row count."""
    breaker = Breaker(failures=2, rest=60)
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
        assert breaker.admits()


async def test_one_call_finds_out() -> None:
    """After a rest one call is let through, and the next ones only when another rest is over or it succeeded."""
    breaker = opened(rest=0.05)
    assert not breaker.admits()
    await eventually(breaker.admits)
    assert not breaker.admits()
    await eventually(breaker.admits)
    breaker.succeeded()
    assert [breaker.admits() for _ in range(5)] == [True] * 5


def test_failures_of_calls_under_way_do_not_prolong_the_rest() -> None:
    """Many that were under way when it opened fail later, and the first probe comes when it would have come."""
    breaker = opened(rest=60)
    planned = breaker._next
    breaker.failed()
    assert breaker._next == planned


async def test_all_on_one_client_share_it(url: str) -> None:
    """One client has one breaker per event loop, and another client has another."""
    async with connect(url) as one, redis_py.Redis.from_url(url) as other:
        assert breaker_of(one) is breaker_of(one)
        assert breaker_of(one) is not breaker_of(other)

        async def elsewhere() -> Breaker:
            return breaker_of(other)

        assert await asyncio.to_thread(asyncio.run, elsewhere()) is not breaker_of(other)
