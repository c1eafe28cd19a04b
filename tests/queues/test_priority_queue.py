"""The order of a queue with priorities."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.queues import PriorityQueue
from tests.support.waiting import eventually


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


@pytest.mark.parametrize("priority", [4096, -4096])
async def test_equals_keep_their_order_at_the_ends(pipelined: Redis, name: str, priority: int) -> None:
    """The highest and the lowest priority are first in, first out, as any other is."""
    queue: PriorityQueue[Any] = PriorityQueue(pipelined, name)
    for number in range(20):
        await queue.put(number, priority=priority)
    assert await claimed(queue, 20) == list(range(20))


async def test_a_group_has_its_turn_from_the_first_message_on(pipelined: Redis, name: str) -> None:
    """Of the next two messages one is of the group that has come just now, at any priority."""
    queue: PriorityQueue[str] = PriorityQueue(pipelined, name)
    for priority in range(10, 0, -1):
        for _ in range(8):
            await queue.put("big", priority=priority, group="big")
        assert await claimed(queue, 4) == ["big"] * 4
        await queue.put("small", priority=priority, group="small")
        assert sorted(await claimed(queue, 2)) == ["big", "small"]
        assert await claimed(queue, 3) == ["big"] * 3


async def test_groups_take_turns(redis: Redis, name: str) -> None:
    """However much a group has put, another gets every second turn, from its first message on."""
    queue: PriorityQueue[str] = PriorityQueue(redis, name)
    for _ in range(20):
        await queue.put("big", group="big")
    assert await claimed(queue, 4) == ["big"] * 4
    for _ in range(4):
        await queue.put("small", group="small")
    assert sorted(await claimed(queue, 8)) == ["big"] * 4 + ["small"] * 4
    assert await claimed(queue, 9) == ["big"] * 9


async def test_a_group_gains_nothing_by_its_absence(redis: Redis, name: str) -> None:
    """A group that comes back begins beside the others, and what its name cost is gone when it is empty."""
    queue: PriorityQueue[str] = PriorityQueue(redis, name)
    await queue.put("b", group="b")
    for _ in range(9):
        await queue.put("a", group="a")
    assert sorted(await claimed(queue, 5)) == ["a"] * 4 + ["b"]
    for _ in range(5):
        await queue.put("b", group="b")
    assert (await claimed(queue, 4)).count("b") == 2
    await queue.put("urgent", priority=1, group="a")
    assert (await claimed(queue, 9))[0] == "urgent"
    fields = await redis.hkeys(f"arp:{{{name}}}:index")
    assert not [field for field in fields if str(field).startswith(("l:", "b'l:"))]


async def test_a_group_whose_messages_all_end_leaves_nothing(redis: Redis, name: str) -> None:
    """What the name of a group cost is gone when its messages have ended unclaimed, as when they were claimed."""
    queue: PriorityQueue[str] = PriorityQueue(redis, name)
    for number in range(20):
        await queue.put("x", group=f"g{number}", ttl=0.001)

    async def ended() -> bool:
        await queue.claim(timeout=0)
        return (await queue.stats()).ready == 0

    await eventually(ended)
    fields = await redis.hkeys(f"arp:{{{name}}}:index")
    assert not [field for field in fields if str(field).startswith(("l:", "b'l:"))]


async def test_a_group_keeps_the_order_of_its_own(redis: Redis, name: str) -> None:
    """Within a group the first put is the first claimed, and a higher priority goes before any turn."""
    queue: PriorityQueue[str] = PriorityQueue(redis, name)
    for number in range(4):
        await queue.put(f"a{number}", group="a")
        await queue.put(f"b{number}", group="b")
    found = await claimed(queue, 8)
    assert [payload for payload in found if payload[0] == "a"] == ["a0", "a1", "a2", "a3"]
    assert [payload for payload in found if payload[0] == "b"] == ["b0", "b1", "b2", "b3"]
    with pytest.raises(ValueError, match="no groups"):
        await PriorityQueue(redis, name, aging=1).put("x", group="a")


@pytest.mark.parametrize("priority", [4097, -4097, 1.5, True])
async def test_priorities_have_a_range(pipelined: Redis, name: str, priority: Any) -> None:
    """A priority that could not be kept exactly is refused."""
    with pytest.raises(ValueError, match="priority must be"):
        await PriorityQueue(pipelined, name).put("x", priority=priority)
    with pytest.raises(ValueError, match="aging must be"):
        PriorityQueue(pipelined, name, aging=100_000)
