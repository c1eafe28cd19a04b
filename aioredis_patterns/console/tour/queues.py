"""The tour's step of the queues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import chain
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.queues import DeadLetter, Delivery, Queue, Transaction, Worker
from aioredis_patterns.types import AnyRedis

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "work")

_MESSAGES: Final = 2_000
_POISON: Final = -1
_DELIVERIES: Final = 3
_TASKS: Final = 25
"""In each process."""


async def _run(stage: Stage) -> Outcome:
    handled = await stage.crew.do(f"{__name__}:work", _MESSAGES // PROCESSES)
    queue = _queue(stage.redis, stage.prefix)
    dead = await queue.dead.list()
    await queue.dead.drop()
    written = int(await stage.redis.getdel(_counter(stage.prefix)) or 0)
    stats = await queue.stats()
    left = stats.ready + stats.delayed + stats.leased
    figures = f"{sum(map(len, handled)):,} messages handled in {PROCESSES} processes, {len(dead)} dead letters"
    return Outcome(figures, judge(handled, dead, left, written, _MESSAGES))


async def work(redis: PipelinedRedis, prefix: str, messages: int) -> list[int]:
    """In each process: put some messages, one of which nobody can handle, and work until all are done."""
    logging.getLogger("aioredis_patterns").setLevel(logging.ERROR)  # what fails here, fails on purpose
    queue = _queue(redis, prefix)
    handled: list[int] = []

    async def handle(payload: int, delivery: Delivery[int]) -> None:
        if payload == _POISON:
            raise ValueError("nobody can handle this")
        async with Transaction(delivery) as transaction:
            transaction.write("INCR", _counter(prefix))
        handled.append(payload)

    await queue.put_many([*range(messages), _POISON])
    async with Worker(queue, handle, concurrency=_TASKS, backoff=0):
        while (stats := await queue.stats()).ready or stats.delayed or stats.leased:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return handled


def judge(
    handled: Sequence[Sequence[int]], dead: Sequence[DeadLetter[int]], left: int, written: int, messages: int
) -> tuple[Check, ...]:
    """Whether every message was handled once, and what could not be is among the dead letters."""
    wanted = sorted([*range(messages // PROCESSES)] * PROCESSES)
    tried = [(letter.payload, letter.attempts) for letter in dead]
    return (
        Check(f"each of {messages:,} messages is handled once", sorted(chain.from_iterable(handled)) == wanted),
        Check("what its handler writes is written once", written == messages),
        Check("what fails again and again is a dead letter", tried == [(_POISON, _DELIVERIES)] * PROCESSES),
        Check("nothing is left behind", left == 0),
    )


def _counter(prefix: str) -> str:
    return f"{prefix}:{{jobs}}:handled"


def _queue(redis: AnyRedis, prefix: str) -> Queue[int]:
    return Queue(redis, "jobs", max_deliveries=_DELIVERIES, prefix=prefix)


STEP: Final = Step(
    "Queue",
    f"{_MESSAGES:,} messages put and handled by {PROCESSES} processes, and {PROCESSES} that nobody can handle",
    "each message is handled, and what fails again and again ends in the dead letters",
    _run,
)
