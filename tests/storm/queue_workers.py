"""The worker of a storm on queues, and what it writes down."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from aioredis_patterns.client import connect
from aioredis_patterns.queues import PriorityQueue, Queue, QueueStats, Worker
from aioredis_patterns.streams import ConsumerGroup, EventLog
from aioredis_patterns.types import AnyRedis

__all__ = ("CONCURRENCY", "VISIBILITY", "handled", "is_busy", "lines", "queue_of", "work")

CONCURRENCY: Final = 10
VISIBILITY: Final = 1.0
"""Seconds: shorter than an event loop is blocked for."""


class GroupOfALog:
    """A group of a log, as far as a storm takes it for a queue."""

    def __init__(self, redis: AnyRedis, name: str, **options: Any) -> None:
        self.name, self._log = name, EventLog[int](redis, name)
        self._group = ConsumerGroup(self._log, "g", **options)
        self._consumer = self._group.consumer(f"worker-{os.getpid()}")
        self.put_many, self.claim_many = self._log.append_many, self._consumer.claim_many

    async def stats(self) -> QueueStats:
        found = await self._group.stats()
        return QueueStats(found.lag, 0, found.pending, found.dead, found.oldest_age)


KINDS: Final = {"Queue": Queue, "PriorityQueue": PriorityQueue, "ConsumerGroup": GroupOfALog}

_LINE: Final = 9
"""Bytes of a line: a letter, seven digits, the end."""


def queue_of(kind: str, redis: AnyRedis, name: str) -> Any:
    """The queue of a storm; nobody is to blame for deliveries here, so a message has many."""
    return KINDS[kind](redis, name, visibility=VISIBILITY, max_deliveries=1000)


def work(kind: str, url: str, name: str, path: str, block_after: int) -> None:
    """Handle messages until SIGTERM, and write each begin and each end into a file that survives the process.

    Args:
        kind: Of the queue.
        url: Of the server, or of the proxy before it.
        name: Of the queue.
        path: Of the file.
        block_after: Messages after which the event loop is blocked for longer than a delivery is held.
    """
    logging.getLogger("aioredis_patterns").setLevel(logging.CRITICAL)  # what fails here, fails on purpose
    asyncio.run(_work(kind, url, name, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), block_after))


async def _work(kind: str, url: str, name: str, file: int, block_after: int) -> None:
    count = 0

    async def handle(payload: int) -> None:
        nonlocal count
        count += 1
        os.write(file, b"b%07d\n" % payload)
        await asyncio.sleep(random.uniform(0.002, 0.02))
        if count == block_after:
            os.write(file, b"x%07d\n" % payload)
            time.sleep(VISIBILITY * 1.5)  # noqa: ASYNC251  # this is the mischief
        os.write(file, b"d%07d\n" % payload)

    async with connect(url) as redis:
        # In the next turn of the event loop the worker listens to signals.
        asyncio.get_running_loop().call_soon(os.write, file, b"r0000000\n")
        await Worker(queue_of(kind, redis, name), handle, concurrency=CONCURRENCY, grace=10).run()


def lines(files: Iterable[Path]) -> int:
    """How many lines there are."""
    return sum(path.stat().st_size for path in files) // _LINE


def is_busy(path: Path) -> bool:
    """Whether a worker has begun what it has not ended."""
    letters = Counter(line[:1] for line in path.read_bytes().splitlines()) if path.exists() else Counter()
    return letters[b"b"] > letters[b"d"]


def handled(files: Iterable[Path]) -> tuple[Counter[int], int]:
    """How often each message was handled to its end, and how often an event loop was blocked."""
    found = [line for path in files for line in path.read_bytes().splitlines()]
    return Counter(int(line[1:]) for line in found if line[:1] == b"d"), sum(line[:1] == b"x" for line in found)
