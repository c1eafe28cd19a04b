"""Dead letters: what they tell, and how some of them are chosen."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from aioredis_patterns.queues import Queue, Worker


async def test_a_dead_letter_tells_what_happened(pipelined: Redis, name: str) -> None:
    """It has the reason, the end of the traceback, the deliveries, and the times of its put and its death."""
    queue = Queue(pipelined, name, max_deliveries=2)

    async def handle(payload: str) -> None:
        raise LookupError("long " + payload * 100_000)

    await queue.put("x", headers={"traceparent": "00"})
    async with Worker(queue, handle, backoff=0), asyncio.timeout(10):
        while (await queue.stats()).dead == 0:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
    (letter,) = await queue.dead.list()
    assert (letter.payload, letter.headers, letter.attempts) == ("x", {"traceparent": "00"}, 2)
    assert letter.reason == "LookupError: long " + "x" * (4000 - len("LookupError: long "))
    assert len(letter.traceback) == 8000
    assert letter.enqueued < letter.died


async def test_a_traceback_names_the_line(pipelined: Redis, name: str) -> None:
    """The traceback leads to the handler's own line; a letter that was rejected has none."""
    queue = Queue(pipelined, name, max_deliveries=1)
    await queue.put_many(["raised", "rejected"])
    with pytest.raises(LookupError):
        async for delivery in queue.deliveries():
            async with delivery:
                raise LookupError("this line")
    delivery = await queue.claim(timeout=0)
    assert delivery is not None
    assert await delivery.reject("no\0thing")
    raised, rejected = await queue.dead.list()
    assert 'raise LookupError("this line")' in raised.traceback
    assert (rejected.reason, rejected.traceback) == ("no thing", "")


async def test_a_traceback_is_no_reason(pipelined: Redis, name: str) -> None:
    """A letter is chosen by what its reason says, and not by what stands in its traceback."""
    queue = Queue(pipelined, name, max_deliveries=1)
    await queue.put("x")
    with pytest.raises(LookupError):
        async for delivery in queue.deliveries():
            async with delivery:
                raise LookupError("no such address") from KeyError("k")
    (letter,) = await queue.dead.list(error="LookupError: no")
    assert "KeyError" in letter.traceback
    assert await queue.dead.list(error="KeyError") == []


async def test_an_age_is_counted_from_the_death(redis: Redis, name: str) -> None:
    """Older than an hour is what died an hour ago, and not what has a second to go."""
    queue = Queue(redis, name)
    await queue.put_many(["old", "young"])
    for seconds in (3601, 3580):
        delivery = await queue.claim(timeout=0)
        assert delivery is not None
        await delivery.reject("no")
        now, _ = await redis.time()
        await redis.zadd(f"arp:{{{name}}}:dead", {delivery.id: (now - seconds) * 1_000_000})
    assert [letter.payload for letter in await queue.dead.list(older_than=3600)] == ["old"]


async def test_dead_letters_are_chosen_by_error_and_age(redis: Redis, name: str) -> None:
    """Only those whose reason has the words, or that are old enough, are listed, replayed or dropped, however many."""
    queue = Queue(redis, name)
    await queue.put_many(range(250))
    for delivery in await queue.claim_many(250, timeout=0):
        assert await delivery.reject(f"KeyError: {delivery.payload}" if delivery.payload % 2 else "100% [a-z] %d+")
    assert [letter.payload for letter in await queue.dead.list(error="KeyError", count=3)] == [1, 3, 5]
    assert [letter.payload for letter in await queue.dead.list(240, error="KeyError")] == [241, 243, 245, 247, 249]
    assert await queue.dead.list(older_than=60) == []
    assert await queue.dead.drop(older_than=60) == 0
    assert await queue.dead.replay(error="% [a-z] %d") == 125
    assert (await queue.stats()).ready == 125
    assert await queue.dead.drop(error="KeyError: 24") == 5
    async with asyncio.timeout(10):
        while len(await queue.dead.list(older_than=0.01, count=200)) < 120:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
    assert await queue.dead.drop(older_than=0.01) == 120
    assert (await queue.stats()).dead == 0


async def test_ids_and_a_choice_are_not_both_given(pipelined: Redis, name: str) -> None:
    """What could be meant in two ways is refused."""
    with pytest.raises(ValueError, match="both"):
        await Queue(pipelined, name).dead.drop("id", error="KeyError")
    with pytest.raises(ValueError, match="older_than"):
        await Queue(pipelined, name).dead.replay(older_than=-1)
