"""Queues in the laboratory: what was put is handled, and what was acknowledged comes no more."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis

from aioredis_patterns.queues import PriorityQueue, Queue, QueueStats
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("DELIVERIES", "QUEUES", "VISIBILITY", "AnyQueue", "Queueing")

VISIBILITY = 2.0
DELIVERIES = 1_000_000
"""Of a message at most: nobody is to blame for deliveries here."""

PRODUCERS, CONSUMERS = 1, 2

_PLACES = (b"l:", b"v:")
"""Of an index: what tells in which order priorities and groups had their turns, and stays."""


class AnyQueue(Protocol):
    """What the laboratory does with a queue."""

    async def put(self, payload: str, *, delay: float = 0) -> str: ...

    async def claim(self, timeout: float) -> Any: ...

    async def stats(self) -> QueueStats: ...


@dataclass(frozen=True, slots=True)
class Queueing:
    """A kind of queue, with some producers and consumers in each process.

    Args:
        name: Of the kind.
        make: The queue of a name.
        lasting: Keys that stay when it is empty, by the end of their names.
    """

    name: str
    make: Callable[[Redis, str], AnyQueue]
    lasting: tuple[str, ...] = ()

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Put until it is over, and handle until nothing is left."""
        queue = self.make(redis, self.name)
        producers = [self._produce(queue, diary, rng, until, number) for number in range(PRODUCERS)]
        await asyncio.gather(*producers, *[self._consume(queue, diary, rng, until) for _ in range(CONSUMERS)])

    async def _produce(
        self, queue: AnyQueue, diary: Diary, rng: random.Random, until: asyncio.Event, number: int
    ) -> None:
        count = 0
        while not until.is_set():
            count += 1
            payload = f"{diary.worker}:{number}:{count}"
            with diary.call(self.name, "put", payload) as call:
                call.result = await queue.put(payload, delay=rng.choice((0, 0, 0.3)))
            await asyncio.sleep(pause(rng))

    async def _consume(self, queue: AnyQueue, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not (until.is_set() and await self._is_done(queue, diary)):
            delivery: Any = None
            with diary.call(self.name, "claim") as call:
                delivery = await queue.claim(timeout=0.5)
                call.result = delivery and delivery.id
            if delivery is not None:
                with diary.call(self.name, "handle", delivery.payload, delivery.id):
                    await asyncio.sleep(pause(rng) / 4)
                with diary.call(self.name, "ack", delivery.id) as call:
                    call.result = await delivery.ack()
            elif call.outcome != "ok":
                await asyncio.sleep(pause(rng))

    async def _is_done(self, queue: AnyQueue, diary: Diary) -> bool:
        """Whether nothing is left."""
        with diary.call(self.name, "stats") as call:
            stats = await queue.stats()
            call.result = [stats.ready, stats.delayed, stats.leased]
        return bool(call.result == [0, 0, 0])

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Messages that were lost, doubled or put against what was said, and those that came again when done."""
        return [*_lost_or_doubled(history), *_again(history)]

    async def left(self, redis: Redis) -> list[str]:
        """Messages, and what is kept of messages that are gone."""
        stats = await self.make(redis, self.name).stats()
        left = stats.ready + stats.delayed + stats.leased + stats.dead
        known = [field for field in await redis.hkeys(f"arp:{{{self.name}}}:index") if field[:2] not in _PLACES]
        keys = await orphans(redis, self.name, *self.lasting)
        return [f"{left} messages: {stats}"] * bool(left) + [f"{field!r} of no message" for field in known] + keys


def _lost_or_doubled(history: Sequence[Call]) -> Iterator[str]:
    handled: dict[str, set[str]] = defaultdict(set)
    for payload, id_ in (call.arguments for call in history if call.operation == "handle" and call.outcome == "ok"):
        handled[payload].add(id_)
    for call in history:
        if call.operation != "put":
            continue
        ids = handled[call.arguments[0]]
        if call.outcome == "ok" and call.result not in ids:
            yield f"lost: {call}"
        if len(ids) > (call.outcome != "fail"):
            yield f"handled as {ids}: {call}"


def _again(history: Sequence[Call]) -> Iterator[str]:
    done = {call.arguments[0]: call for call in history if call.operation == "ack" and call.result is True}
    for call in history:
        ack = done.get(call.result) if call.operation == "claim" else None
        if ack is not None and ack.ended < call.begun:
            yield f"claimed again: {call} after {ack}"


QUEUES = (
    Queueing("Queue", lambda redis, name: Queue(redis, name, visibility=VISIBILITY, max_deliveries=DELIVERIES)),
    Queueing(
        "PriorityQueue",
        lambda redis, name: PriorityQueue(redis, name, visibility=VISIBILITY, max_deliveries=DELIVERIES),
        lasting=(":index",),
    ),
)
