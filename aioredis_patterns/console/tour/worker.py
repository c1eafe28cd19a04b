"""One process of the tour: it reads what to do, a JSON line each, and answers each with a line.

It ends when its input does, so it does not outlive the tour.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from importlib import import_module
from typing import Any, Final

from redis.exceptions import RedisError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.errors import PatternError

__all__ = ("work",)

_LIMIT: Final = 10
"""Seconds for one thing: what hangs must not hold up what comes after it."""


async def work(url: str, prefix: str) -> None:
    """Do what is asked for, one thing after the other, until this process is ended."""
    tasks: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_listen, args=(loop, tasks), daemon=True).start()
    async with connect(url) as redis:
        await redis.ping()
        _say(0, True, None)
        while True:
            await _do(redis, prefix, *json.loads(await tasks.get()))


def _listen(loop: asyncio.AbstractEventLoop, tasks: asyncio.Queue[str]) -> None:
    """In a thread: the end of the input ends this process, whatever it is in the middle of."""
    for line in sys.stdin:
        loop.call_soon_threadsafe(tasks.put_nowait, line)
    os._exit(0)


async def _do(redis: PipelinedRedis, prefix: str, number: int, target: str, arguments: list[Any]) -> None:
    module, _, function = target.partition(":")
    try:
        async with asyncio.timeout(_LIMIT):
            answer = await getattr(import_module(module), function)(redis, prefix, *arguments)
    except (RedisError, PatternError, OSError) as error:
        _say(number, False, f"{type(error).__name__}: {error}")
    else:
        _say(number, True, answer)


def _say(number: int, done: bool, answer: Any) -> None:
    sys.stdout.write(json.dumps([number, done, answer]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(work(os.environ["TOUR_URL"], sys.argv[1]))
