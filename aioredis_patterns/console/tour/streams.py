"""The tour's step of the streams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import chain
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.streams import ConsumerGroup, EventLog
from aioredis_patterns.types import AnyRedis

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "work")

_ENTRIES: Final = 1_000
_CUSTOMERS: Final = 20
_PARTITIONS: Final = 4

_Handled = Sequence[Sequence[tuple[int, int]]]
"""In each process: of each entry its customer and its number, in their order."""


async def _run(stage: Stage) -> Outcome:
    log = _log(stage.redis, stage.prefix)
    for number in range(_ENTRIES):
        await log.append(number, key=number % _CUSTOMERS)
    handled: _Handled = await stage.crew.do(f"{__name__}:work")
    read = [entry.payload async for entry in log.read()]
    stats = await _group(log).stats()
    figures = f"{sum(map(len, handled)):,} entries handled in {PROCESSES} processes, {len(read):,} still to be read"
    return Outcome(figures, judge(handled, read, stats.lag + stats.pending, _ENTRIES))


async def work(redis: PipelinedRedis, prefix: str) -> list[tuple[int, int]]:
    """In each process: handle entries until there are none."""
    log, handled = _log(redis, prefix), list[tuple[int, int]]()
    group = _group(log)

    async def consume(consumer: str) -> None:
        async for delivery in group.deliveries(consumer):
            async with delivery:
                handled.append((int(delivery.entry.key or -1), delivery.payload))

    consumers = [asyncio.create_task(consume(f"consumer-{number}")) for number in range(2)]
    while (stats := await group.stats()).lag or stats.pending:
        if any(consumer.done() for consumer in consumers):
            break  # it failed, and says why below
        await asyncio.sleep(0.02)
    for consumer in consumers:
        consumer.cancel()
    for consumer in consumers:
        with contextlib.suppress(asyncio.CancelledError):
            await consumer
    return handled


def judge(handled: _Handled, read: Sequence[int], left: int, entries: int) -> tuple[Check, ...]:
    """Whether every entry was handled once, in the order of its customer, and is there still."""
    numbers = sorted(number for _, number in chain.from_iterable(handled))
    by_customer = [
        [number for each, number in process if each == who] for process in handled for who in range(_CUSTOMERS)
    ]
    return (
        Check(f"each of {entries:,} entries is handled once", numbers == list(range(entries))),
        Check("each customer's come in their order", all(found == sorted(found) for found in by_customer)),
        Check("the group is done with all of them", left == 0),
        Check("the log still has them for others", sorted(read) == list(range(entries))),
    )


def _log(redis: AnyRedis, prefix: str) -> EventLog[int]:
    return EventLog(redis, "orders", max_age=3600, partitions=_PARTITIONS, prefix=prefix)


def _group(log: EventLog[int]) -> ConsumerGroup[int]:
    return ConsumerGroup(log, "billing")


STEP: Final = Step(
    "EventLog, ConsumerGroup",
    f"{_ENTRIES:,} entries of {_CUSTOMERS} customers in {_PARTITIONS} partitions, a group in {PROCESSES} processes",
    "each entry is handled once, in the order of its customer, and stays for others",
    _run,
)
