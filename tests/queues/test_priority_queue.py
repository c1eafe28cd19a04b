"""The order of a queue with priorities."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.queues import PriorityQueue


async def claimed(queue: PriorityQueue[Any], count: int) -> list[Any]:
    """The payloads of the next messages."""
    return [delivery.payload for delivery in await queue.claim_many(count)]


async def test_higher_comes_first_and_equals_in_their_order(redis: Redis, name: str) -> None:
    """The highest priority is claimed first; among equals, what was put first."""
    queue: PriorityQueue[str] = PriorityQueue(redis, name)
    for payload, priority in (("a", 0), ("low", -4096), ("b", 0), ("high", 4096), ("c", 0), ("one", 1)):
        await queue.put(payload, priority=priority)
    assert await claimed(queue, 9) == ["high", "one", "a", "b", "c", "low"]


async def test_waiting_makes_up_for_priority(pipelined: Redis, name: str) -> None:
    """With aging, a message that has waited long enough comes before a more important one, and equals in order."""
    queue: PriorityQueue[Any] = PriorityQueue(pipelined, name, aging=0.01)
    await queue.put("patient")
    async with asyncio.timeout(5):
        while ((await queue.stats()).oldest_age or 0) < 0.03:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.005)
    await queue.put("important", priority=1)
    await queue.put("urgent", priority=1000)
    await queue.put_many(range(50), priority=-1)
    assert await claimed(queue, 60) == ["urgent", "patient", "important", *range(50)]


async def test_what_is_handed_back_keeps_its_place(redis: Redis, name: str) -> None:
    """A message whose lease ended comes before its equals; one that failed comes behind them."""
    queue: PriorityQueue[str] = PriorityQueue(redis, name)
    await queue.put_many(["a", "b", "c"], priority=5)
    await queue.put("low")
    first, second = await queue.claim_many(2)
    assert await first.hand_back()
    assert await second.nack()
    assert await claimed(queue, 9) == ["a", "c", "b", "low"]


@pytest.mark.parametrize("priority", [4097, -4097, 1.5, True])
async def test_priorities_have_a_range(pipelined: Redis, name: str, priority: Any) -> None:
    """A priority that could not be kept exactly is refused."""
    with pytest.raises(ValueError, match="priority must be"):
        await PriorityQueue(pipelined, name).put("x", priority=priority)
    with pytest.raises(ValueError, match="aging must be"):
        PriorityQueue(pipelined, name, aging=100_000)
