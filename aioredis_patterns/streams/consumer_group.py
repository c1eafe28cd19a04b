"""ConsumerGroup: one service that handles a log's entries, each at least once, with any number of processes."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any, Final, Generic, TypeVar, final

from redis.exceptions import RedisError

from aioredis_patterns._core.counts import check_count
from aioredis_patterns._core.durations import lease_ms, timeout_seconds
from aioredis_patterns._core.keys import check_name
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.errors import CodecError, PatternError
from aioredis_patterns.types import Seconds

from .dead_entries import DeadEntries
from .entry import Entry
from .entry_delivery import EntryDelivery, Post, hand_back
from .event_log import EventLog, before

__all__ = ("Consumer", "ConsumerGroup", "GroupStats")

T = TypeVar("T")

_PARTS: Final = ("clock", "entry", "pending", "ring")
_CLAIM: Final = Script(__package__, "group_claim", keys=6, fragments=_PARTS, lease=True)
_STATS: Final = Script(__package__, "group_stats", keys=2, fragments=("clock",), repeatable=True)
_REAP: Final = Script(__package__, "group_reap", repeatable=True)

_RECHECK: Final = 4.0
"""Seconds after which an idle consumer looks for itself: what a dead one held is found no later after its time."""

_REAP_EVERY: Final = 600.0
_MOST_CLAIMED: Final = 1000
_STRIDE: Final = 5
"""Parts of the answer for each entry."""


@final
@dataclass(frozen=True, slots=True)
class GroupStats:
    """How far a group is.

    >>> GroupStats(lag=3, pending=1, dead=0, oldest_age=0.5).lag
    3
    """

    lag: int  #: entries that were not delivered yet; 100,000 stands for any more
    pending: int  #: delivered, and not done with
    dead: int
    oldest_age: float | None  #: seconds since the oldest that is not done with was appended; None when there is none


@final
class ConsumerGroup(Generic[T]):
    """A reader of a log that remembers what it has done, shared by any number of consumers.

    Promise: each entry is delivered until it is acknowledged, at least once. What a consumer held that died is given to
    another when `visibility` has passed, at most 5 s later; what was delivered `max_deliveries` times becomes a dead
    letter. A claim that is cancelled hands back what it got, uncharged. With several partitions the entries of each
    are handled one at a time and in order, so those of one key are. A group that a flush took away begins anew.

    Limit of the promise: an entry may be handled twice, when its time ends before its handler does or a reply is lost.
    One that is trimmed before it was handled is not delivered. Redis replicates after it has answered, so a failover
    may forget that an entry was done.

    Cost: one round trip to claim and one to end a delivery; a script call for each partition where they are many. An
    idle consumer asks some fifteen times a minute. Keys: the group's state and its dead letters, beside the log.

    Args:
        log: What is read.
        name: What the group is called.
        start: Where it begins when it is used for the first time: an id, a time, `0` for all, `$` for what comes then.
        visibility: Seconds that a delivery is held without a renewal; others get the entry after them.
        max_deliveries: Deliveries after which an entry is a dead letter.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> log = EventLog(redis, "orders")
        >>> group = ConsumerGroup(log, "billing", start="0")
        >>> _ = await log.append({"order": 7})
        >>> async for delivery in group.deliveries("worker-1"):
        ...     async with delivery:
        ...         print(delivery.payload, delivery.attempt)
        ...     break
        {'order': 7} 1
    """

    __slots__ = ("_log", "_posts", "_start", "dead", "name")

    def __init__(
        self,
        log: EventLog[T],
        name: str,
        *,
        start: str | datetime = "0",
        visibility: Seconds = 30,
        max_deliveries: int = 5,
    ) -> None:
        most = check_count(max_deliveries, "max_deliveries")
        self.name, self._log = name, log
        self._start = "$" if start == "$" else before(start)
        terms = (check_name(name), "-", lease_ms(visibility, "visibility"), most, int(log.partitions > 1))
        parts = ("log", *(f"{part}:{terms[0]}" for part in ("dead", "later", "state", "claims")), "waiters")
        self._posts = [
            Post(log._redis, *terms, *[log._key(part, number) for part in parts])  # noqa: SLF001  # of the same room
            for number in range(log.partitions)
        ]
        self.dead = DeadEntries(self._posts, log._codec)  # noqa: SLF001  #: what is delivered no more

    def __repr__(self) -> str:
        return f"<ConsumerGroup {self.name!r} of {self._log.name!r}>"

    def consumer(self, name: str) -> Consumer[T]:
        """One of its consumers, for a `Worker`."""
        return Consumer(self, check_name(name, "consumer"))

    async def claim(self, consumer: str, timeout: Seconds | None = None) -> EntryDelivery[T] | None:
        """Take the next entry; None when there was none in time.

        A claim that is cancelled at any moment hands its entry back, and the attempt is not charged.

        Args:
            consumer: Who takes it. A name of its own for each process; what one held is never lost with its name.
            timeout: Seconds to wait; 0 to look once, None to wait for ever.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        found = await self.claim_many(1, consumer, timeout)
        return found[0] if found else None

    async def claim_many(self, count: int, consumer: str, timeout: Seconds | None = None) -> list[EntryDelivery[T]]:
        """Take up to so many entries, as `claim` does; of a log with partitions, one of each at most."""
        check_count(count, "count", most=_MOST_CLAIMED)
        limit, who = None if timeout is None else timeout_seconds(timeout), check_name(consumer, "consumer")
        posts = [replace(post, consumer=who) for post in self._posts]
        found, _ = await self._ask(posts, count, "")
        if found or limit == 0:
            return found
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                return await self._wait(posts, count)
        except TimeoutError:
            if not timer.expired():
                raise
            return []

    async def deliveries(self, consumer: str) -> AsyncIterator[EntryDelivery[T]]:
        """Every entry that comes, one after the other, for ever.

        Consumers of the group that hold nothing and were not heard of for a day are forgotten now and then.
        """
        one = self.consumer(consumer)
        while True:
            for delivery in await one.claim_many(1):
                yield delivery

    async def reap(self, idle: Seconds = 86_400) -> int:
        """Forget the consumers that hold nothing and were not heard of for so many seconds; how many there were."""
        idle_ms = lease_ms(idle, "idle")
        counts = [await _REAP(post.redis, post.log, post.group, idle_ms) for post in self._posts]
        return sum(counts)

    async def stats(self) -> GroupStats:
        """How far the group is, in one round trip for each partition."""
        start = self._start
        replies = [await _STATS(post.redis, post.log, post.dead, post.group, start) for post in self._posts]
        ages = [age for *_, age in replies if age >= 0]
        lag, pending, dead = (sum(reply[at] for reply in replies) for at in range(3))
        return GroupStats(lag, pending, dead, max(ages) / 1_000_000 if ages else None)

    async def _wait(self, posts: list[Post], count: int) -> list[EntryDelivery[T]]:
        subscriptions, bell = link_of(posts[0].redis).subscriptions, Bell()
        async with AsyncExitStack() as listening:
            for post in posts:
                await listening.enter_async_context(subscriptions.listen(subscriptions.inbox, post.log, bell))
            while True:
                found, pause = await self._ask(posts, count, subscriptions.inbox)
                if found:
                    return found
                await bell.wait(pause)

    async def _ask(self, posts: list[Post], count: int, inbox: str) -> tuple[list[EntryDelivery[T]], float]:
        """Entries of the partitions in turn, and the seconds after which to ask again."""
        found, pause = list[EntryDelivery[T]](), _RECHECK * random.uniform(0.5, 1)  # noqa: S311
        first = random.randrange(len(posts))  # noqa: S311
        for number in range(len(posts)):
            part = (first + number) % len(posts)
            try:
                claimed, due_ms = await self._claim(posts[part], part, count - len(found), inbox)
            except BaseException:
                link_of(posts[part].redis).finish(_quietly(_all_back(found)), "claims are handed back")
                raise
            found += claimed
            if due_ms >= 0:
                pause = min(pause, due_ms / 1000 + 0.001)
            if len(found) == count:
                break
        return found, min(pause, posts[0].visibility_ms / 1000)

    async def _claim(self, post: Post, partition: int, count: int, inbox: str) -> tuple[list[EntryDelivery[T]], int]:
        """What one partition has. A call that is cancelled or gets no reply leaves nothing held."""
        wanted = 1 if post.ordered else count
        terms = (wanted, post.visibility_ms, post.max_deliveries, self._start, post.ordered, inbox)
        while True:
            token, sent = secrets.token_hex(8), monotonic()
            keys = (post.log, post.dead, post.later, post.state, f"{post.claims}:{token}", post.waiters)
            try:
                due_ms, *parts = await _CLAIM(post.redis, *keys, post.group, post.consumer, *terms)
                found = await self._read(post, partition, parts, sent)
            except BaseException:
                link_of(post.redis).finish(_quietly(hand_back(post, token, "")), "a claim is handed back")
                raise
            if found or not parts:  # else none of them could be read, and others may be there
                return found, due_ms

    async def _read(self, post: Post, partition: int, parts: list[Any], sent: float) -> list[EntryDelivery[T]]:
        found = []
        for at in range(0, len(parts), _STRIDE):
            attempt, *entry = parts[at : at + _STRIDE]
            try:
                read = Entry.of(self._log._codec, partition, entry)  # noqa: SLF001
            except CodecError as error:
                blank: Entry[Any] = Entry(entry[0].decode(), None, None, {}, partition)
                await EntryDelivery(post, blank, int(attempt), sent).reject(f"undecodable: {error}")
            else:
                found.append(EntryDelivery(post, read, int(attempt), sent))
        return found


@final
class Consumer(Generic[T]):
    """One consumer of a group: what a `Worker` may work for as well as for a queue.

    Args:
        group: Of which it is one.
        name: What it is called; its own in each process.

    Example:
        >>> async def main(redis):
        ...     log = EventLog(redis, "orders")
        ...     async def bill(event):
        ...         print(event)
        ...     async with Worker(ConsumerGroup(log, "billing").consumer("worker-1"), bill, concurrency=10):
        ...         await log.append({"order": 7})
    """

    __slots__ = ("_group", "_reaped", "name")

    def __init__(self, group: ConsumerGroup[T], name: str) -> None:
        self._group, self.name = group, name
        self._reaped = -_REAP_EVERY

    def __repr__(self) -> str:
        return f"<Consumer {self.name!r} of {self._group!r}>"

    async def claim(self, timeout: Seconds | None = None) -> EntryDelivery[T] | None:
        """Take the next entry, as `ConsumerGroup.claim` does."""
        found = await self.claim_many(1, timeout)
        return found[0] if found else None

    async def claim_many(self, count: int, timeout: Seconds | None = None) -> list[EntryDelivery[T]]:
        """Take up to so many entries, as `ConsumerGroup.claim_many` does, and forget now and then who is gone."""
        if monotonic() - self._reaped > _REAP_EVERY:
            self._reaped = monotonic()
            background(_quietly(self._group.reap()), "consumers that are gone are forgotten")
        return await self._group.claim_many(count, self.name, timeout)

    def deliveries(self) -> AsyncIterator[EntryDelivery[T]]:
        """Every entry that comes, as `ConsumerGroup.deliveries` gives them."""
        return self._group.deliveries(self.name)


async def _all_back(deliveries: list[EntryDelivery[Any]]) -> None:
    await asyncio.gather(*(delivery.hand_back() for delivery in deliveries))


async def _quietly(work: Any) -> None:
    """For what is tidied up: when Redis fails, time does it."""
    try:
        await work
    except (RedisError, PatternError, OSError, TimeoutError):
        pass
