"""What every queue does, in whatever order it delivers: claims, dead letters, counts."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

from aioredis_patterns._core.counts import check_count
from aioredis_patterns._core.durations import delay_ms, lease_ms, timeout_seconds, ttl_ms
from aioredis_patterns._core.keys import Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import stored_texts
from aioredis_patterns.codecs import Json
from aioredis_patterns.errors import QueueFullError
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from ._claiming import Claiming
from .dead_letters import DeadLetters
from .delivery import Delivery, Place
from .message import pack

__all__ = ("MessageQueue", "QueueStats", "Terms")

T = TypeVar("T")

_PUT: Final = Script(__package__, "queue_put", keys=6, fragments=("clock", "ready", "message", "wake"))
_STATS: Final = Script(
    __package__, "queue_stats", keys=6, fragments=("clock", "ready", "message", "hold"), repeatable=True
)

_BATCH: Final = 500
"""Messages in one script call."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25
"""Seconds between two looks whether a full queue has room."""

_MOST_CLAIMED: Final = 1000
"""Messages in one claim."""


@final
@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many messages a queue has in each state.

    >>> QueueStats(ready=2, delayed=0, leased=1, dead=0, oldest_age=0.5).ready
    2
    """

    ready: int
    delayed: int
    leased: int
    dead: int
    oldest_age: float | None  #: seconds since the one that is next was put; None when none is ready


class Terms(NamedTuple):
    """How a message is put, as the script takes it."""

    priority: int
    delay_ms: int
    ttl_ms: int
    mark: str
    window_ms: int
    tenant: str
    again: int

    @classmethod
    def of(
        cls,
        delay: Seconds,
        ttl: Seconds | None,
        *,
        priority: int = 0,
        dedup: KeyPart | None = None,
        dedup_for: Seconds | None = None,
        dedup_again: bool = False,
        group: KeyPart | None = None,
    ) -> Terms:
        """The terms of `put`.

        Raises:
            ValueError, TypeError: They make no sense.
        """
        if dedup is None and (dedup_for is not None or dedup_again):
            raise ValueError("dedup_for and dedup_again are of use only with dedup")
        if dedup_for is not None and dedup_again:
            raise ValueError("dedup_again waits for the message before to end, dedup_for does not: take one of them")
        mark = "" if dedup is None else check_part(dedup, "dedup")
        window = 0 if dedup_for is None else ttl_ms(dedup_for, "dedup_for")
        tenant = "" if group is None else check_part(group, "group")
        return cls(priority, delay_ms(delay), 0 if ttl is None else ttl_ms(ttl), mark, window, tenant, int(dedup_again))


class MessageQueue(Generic[T]):
    """Base of `Queue` and `PriorityQueue`, which say how messages are put and in what order they are claimed.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the queue is called.
        order: How `ready` is kept, as the scripts take it.
        visibility: Seconds that a delivery is held without a renewal.
        max_deliveries: Deliveries after which a message is a dead letter.
        maxlen: How many messages may wait to be claimed; None for any number.
        codec: How payloads become bytes; `codecs.Json` when None.
        prefix: First part of the keys.
    """

    __slots__ = ("_claiming", "_codec", "_maxlen", "_place", "dead", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        order: str,
        visibility: Seconds,
        max_deliveries: int,
        maxlen: int | None,
        codec: Codec[Any] | None,
        prefix: str,
    ) -> None:
        self.name, self._maxlen = name, 0 if maxlen is None else check_count(maxlen, "maxlen")
        most = check_count(max_deliveries, "max_deliveries")
        self._place = Place.of(redis, Keys(name, prefix), order, lease_ms(visibility, "visibility"), most)
        self._codec: Codec[T] = Json() if codec is None else codec
        self._claiming = Claiming(self._place, self._codec)
        self.dead = DeadLetters(self._place, self._codec)  #: what is delivered no more

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def claim(self, timeout: Seconds | None = None) -> Delivery[T] | None:
        """Take the next message under a lease; None when there was none in time.

        A claim that is cancelled at any moment hands its message back, and the attempt is not charged.

        Args:
            timeout: Seconds to wait; 0 to look once, None to wait for ever.

        Raises:
            redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        found = await self.claim_many(1, timeout)
        return found[0] if found else None

    async def claim_many(self, count: int, timeout: Seconds | None = None) -> list[Delivery[T]]:
        """Take up to so many messages in one round trip, each under a lease of its own, as `claim` does."""
        wanted = check_count(count, "count", most=_MOST_CLAIMED)
        return await self._claiming.claim(wanted, None if timeout is None else timeout_seconds(timeout))

    async def deliveries(self) -> AsyncIterator[Delivery[T]]:
        """Every message that comes, one after the other, for ever.

        Example:
            >>> async def consume(queue):
            ...     async for delivery in queue.deliveries():
            ...         async with delivery:
            ...             print(delivery.payload)
        """
        while True:
            for delivery in await self.claim_many(1):
                yield delivery

    async def stats(self) -> QueueStats:
        """How many messages there are, by state, in one round trip."""
        place = self._place
        keys = (place.ready, place.delayed, place.leased, place.dead, place.messages, place.index)
        ready, delayed, leased, dead, age_us = await _STATS(place.redis, *keys, place.order)
        return QueueStats(ready, delayed, leased, dead, None if age_us < 0 else age_us / 1_000_000)

    async def _put(
        self, payloads: Iterable[T], terms: Terms, headers: Mapping[str, str] | None, timeout: Seconds | None
    ) -> list[str]:
        place, limit = self._place, None if timeout is None else timeout_seconds(timeout)
        keys = (place.ready, place.delayed, place.messages, place.index, place.waiters, f"{place.recent}:{terms.mark}")
        bodies = [pack(self._codec, payload, headers) for payload in payloads]
        ids: list[str] = []
        size = min(_BATCH, self._maxlen or _BATCH)
        for at in range(0, len(bodies), size):
            messages = [part for body in bodies[at : at + size] for part in (secrets.token_hex(8), body)]
            ids += await self._send(limit, *keys, place.order, self._maxlen, *terms, *messages)
        return ids

    async def _send(self, limit: float | None, *keys_and_args: str | bytes | int) -> list[str]:
        """Put messages, all or none, as soon as there is room for them."""
        began, pause = monotonic(), _FIRST_PAUSE
        while not (ids := await _PUT(self._place.redis, *keys_and_args)):
            left = inf if limit is None else began + limit - monotonic()
            if left <= 0:
                raise QueueFullError(self.name, self._maxlen)
            await asyncio.sleep(min(pause * random.uniform(0.5, 1), left))  # noqa: S311
            pause = min(pause * 2, _LONGEST_PAUSE)
        return stored_texts(ids, "a message")
