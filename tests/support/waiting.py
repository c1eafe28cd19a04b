"""Waiting for a state instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


@dataclass(slots=True)
class Lag:
    """How late the event loop was at worst: what no code in it can be blamed for."""

    worst: float = 0.0


@asynccontextmanager
async def lag_of_the_loop() -> AsyncIterator[Lag]:
    """Watch how late timers run, as they do on a machine that has more to do than it can."""
    lag = Lag()
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        while True:
            due = loop.time() + 0.005
            await asyncio.sleep(0.005)
            lag.worst = max(lag.worst, loop.time() - due)

    watching = asyncio.create_task(watch())
    try:
        yield lag
    finally:
        watching.cancel()


async def eventually(check: Callable[[], Any], timeout: float = 5, every: float = 0.01) -> Any:
    """Ask until the answer is true, and return it; the check may be a plain function or a coroutine function.

    Raises:
        AssertionError: It was not true within the timeout; the message has the last answer.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = check()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {timeout:g} s; the last answer was {answer!r}")
        await asyncio.sleep(every)


async def connected(redis: Redis) -> None:
    """Wait until a client has its connection, for which its own deadline may be too short on a busy machine."""

    async def answers() -> bool:
        try:
            return bool(await redis.ping())
        except (RedisConnectionError, RedisTimeoutError):
            return False

    await eventually(answers)
