"""The server's clock, and whom the server wakes: waiters whose places were written by hand, and who only listen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

SECOND = 1_000_000
"""The server's clock counts in microseconds."""


async def server_us(redis: Redis) -> int:
    """The time by the server's clock."""
    seconds, micros = await redis.time()
    return int(seconds) * SECOND + int(micros)


@asynccontextmanager
async def times_in(redis: Redis, seconds: float) -> AsyncIterator[list[float]]:
    """Check that the times which are put into the list are so many seconds after the server's time in this block."""
    times: list[float] = []
    before = await server_us(redis)
    yield times
    after = await server_us(redis)
    assert times
    assert all(before <= time - seconds * SECOND <= after for time in times), (before, times, after)


@asynccontextmanager
async def overheard(redis: Redis, *inboxes: str) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """Listen to these inboxes; the call tells which of them were written to since the last, in order."""
    async with redis.pubsub() as heard:
        await heard.subscribe(*inboxes)
        for _ in inboxes:  # what is said before the server knows of a listener is lost
            await heard.get_message(timeout=5)

        async def told() -> list[str]:
            await redis.publish(inboxes[0], "that is all")
            said: list[str] = []
            while True:
                message: Any = await heard.get_message(ignore_subscribe_messages=True, timeout=1)
                if message is None:
                    continue
                if message["data"] == b"that is all":
                    return said
                said.append(message["channel"].decode())

        yield told
