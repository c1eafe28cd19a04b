"""The stack and the deque: their order, their cap, and that no item is popped twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.queues import Deque, Stack


async def test_the_newest_is_popped_first(redis: Redis, name: str) -> None:
    """What was pushed last is on top, one by one or many at once."""
    stack = Stack(redis, name)
    assert await stack.pop() is None
    assert await stack.peek() is None
    assert await stack.push(1, 2)
    assert await stack.push(3, 4, 5)
    assert (await stack.peek(), await stack.count()) == (5, 5)
    assert await stack.pop() == 5
    assert await stack.pop_many(3) == [4, 3, 2]
    assert await stack.pop_many(3) == [1]
    assert not await redis.exists(f"arp:{{{name}}}:stack")


async def test_a_full_stack_drops_its_oldest(redis: Redis, name: str) -> None:
    """With a cap the oldest items are dropped, never the new ones."""
    stack = Stack(redis, name, maxlen=3)
    assert await stack.push(1, 2)
    assert await stack.push(3, 4, 5)
    assert await stack.pop_many(9) == [5, 4, 3]


async def test_a_full_stack_may_refuse(redis: Redis, name: str) -> None:
    """A stack that refuses takes all items of a push or none, and keeps what it has."""
    stack = Stack(redis, name, maxlen=3, when_full="refuse")
    assert await stack.push(1, 2)
    assert not await stack.push(3, 4)
    assert await stack.push(5)
    assert await stack.pop_many(9) == [5, 2, 1]


async def test_a_deque_has_two_ends(redis: Redis, name: str) -> None:
    """Items come out at either end, and a cap drops from the one that was not pushed to."""
    deque = Deque(redis, name, maxlen=4)
    await deque.push_right(1, 2, 3)
    await deque.push_left(0, -1)
    assert (await deque.peek_left(), await deque.peek_right(), await deque.count()) == (-1, 2, 4)
    await deque.push_right(9)
    assert [await deque.pop_left(), await deque.pop_right(), await deque.pop_right()] == [0, 9, 2]
    assert [await deque.pop_left(), await deque.pop_left()] == [1, None]


async def test_no_item_is_popped_twice(redis: Redis, name: str) -> None:
    """Of many callers at the same time, each gets another item."""
    stack = Stack(redis, name)
    await stack.push(*range(200))
    popped = await asyncio.gather(*(stack.pop() for _ in range(210)))
    assert sorted(item for item in popped if item is not None) == list(range(200))


@pytest.mark.parametrize("nonsense", [{"maxlen": 0}, {"when_full": "burst"}])
async def test_nonsense_is_refused(pipelined: Redis, name: str, nonsense: Any) -> None:
    """What makes no sense is refused before anything is sent."""
    with pytest.raises(ValueError, match="must be"):
        Stack(pipelined, name, **nonsense)
    with pytest.raises(ValueError, match="items may be pushed"):
        await Stack(pipelined, name).push()
    with pytest.raises(ValueError, match="count must be"):
        await Deque(pipelined, name)._ends.pop("left", 0)
