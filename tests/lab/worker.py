"""The worker process of a storm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from tests.lab.diary import Diary
from tests.lab.patterns import PATTERNS
from tests.support.processes import say
from tests.support.waiting import eventually

DEADLINE = 1.0
"""Seconds that a call may take: less than a server is away sometimes."""


async def work(url: str, names: list[str], seed: int, path: str) -> None:
    """Use all patterns until SIGTERM, then say what is left of them in this process."""
    logging.getLogger("aioredis_patterns").setLevel(logging.CRITICAL)  # what fails here, fails on purpose
    diary, until = Diary(path), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, until.set)
    say("ready")
    async with connect(url, deadline=DEADLINE) as redis:
        link = link_of(redis)
        before = asyncio.all_tasks()
        rng = random.Random(f"{seed} {diary.worker}")
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(PATTERNS[name].work(redis, diary, rng, until))
        with contextlib.suppress(AssertionError):
            await eventually(lambda: not _tasks(before), timeout=10)
        left = [*_tasks(before), *["subscriptions"] * link.subscriptions.listened_to]
    say({what: left.count(what) for what in left})


def _tasks(before: set[asyncio.Task[object]]) -> list[str]:
    """The names of the tasks that were not there before."""
    return [f"task {task.get_name()!r}" for task in asyncio.all_tasks() - before]
