"""EventLog: what happened, in its order, to be read by anybody, from any point, any number of times."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, final
from zlib import crc32

from aioredis_patterns._core.counts import EXACT, check_count
from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.codecs import Json
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from .entry import Entry, pack_headers

__all__ = ("EventLog", "before", "checked_id")

T = TypeVar("T")

_APPEND: Final = Script(__package__, "log_append", keys=3, fragments=("clock", "ring"))
_READ: Final = Script(__package__, "log_read", keys=2, fragments=("clock", "entry", "ring"), repeatable=True)
_TRIM: Final = Script(__package__, "log_trim", fragments=("clock",), repeatable=True)

_PAGE: Final = 500
"""Entries in one call."""

_RECHECK: Final = 15.0
"""Seconds after which a reader looks for itself, should it not have been told."""

_ID: Final = re.compile(r"\d{1,19}(-\d{1,19})?")
_LAST_SEQUENCE: Final = 2**53 - 1
_LAST: Final = 2**64 - 1
"""The last number within a millisecond."""


@final
class EventLog(Generic[T]):
    """Entries in the order in which they were appended, kept until there are too many or they are too old.

    Promise: an entry that `append` has answered for is read by every reader and every `ConsumerGroup`, in its order,
    until it is trimmed. With `producer` and `sequence` it is appended once, however often that is tried.

    Limit of the promise: Redis replicates after it has answered, so a failover may forget the last entries. With
    several partitions the order is that of each partition; entries of one key are in one partition. The log has no
    expiry, unless it has a `max_age`: what nobody trims stays. A group that claims where there is no log makes an empty
    one, which has none until an entry is appended.

    Cost: one round trip for each call, one for each 500 entries that are read or appended. A stream for each
    partition; each partition is in a slot of its own.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the log is called.
        maxlen: Entries that each partition keeps: exactly up to 10,000, beyond that a block of a hundred or so more.
        max_age: Seconds that an entry is kept. A log to which nothing is appended for so long is gone.
        partitions: Into how many parts the log is divided; it must never be changed.
        codec: How payloads become bytes: `codecs.Json` when None.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> log = EventLog(redis, "orders", maxlen=1_000_000)
        >>> ids = [await log.append({"order": number}) for number in range(3)]
        >>> [entry.payload["order"] async for entry in log.read(after=ids[0])]
        [1, 2]
    """

    __slots__ = ("_codec", "_keys", "_max_age_ms", "_maxlen", "_redis", "name", "partitions")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int | None = None,
        max_age: Seconds | None = None,
        partitions: int = 1,
        codec: Codec[Any] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self.partitions = check_count(partitions, "partitions")
        self._redis, self._keys = redis, Keys(name, prefix)
        self._maxlen = 0 if maxlen is None else check_count(maxlen, "maxlen", most=EXACT)
        self._max_age_ms = 0 if max_age is None else ttl_ms(max_age, "max_age")
        self._codec: Codec[T] = Json() if codec is None else codec

    def __repr__(self) -> str:
        return f"<EventLog {self.name!r}>"

    async def append(
        self,
        event: T,
        *,
        key: KeyPart | None = None,
        headers: Mapping[str, str] | None = None,
        producer: KeyPart | None = None,
        sequence: int = 0,
    ) -> str:
        """Append an entry; its id.

        Args:
            event: What the codec takes.
            key: Entries of one key stay in their order; without it any partition gets the entry.
            headers: What travels beside the payload, such as a trace.
            producer: Who appends, if an entry is to be appended once only; remembered for a week.
            sequence: The producer's own number of the entry, greater than that of its entry before, in each partition.
                One that is not greater is not appended, and the id is that of the newest.

        Raises:
            CodecError: The codec refuses the event.
            OutcomeUnknownError: The reply was lost; the entry may be in the log. With a producer, append it again.
        """
        who = "" if producer is None else check_part(producer, "producer")
        number = 0 if producer is None else check_count(sequence, "sequence", 0, _LAST_SEQUENCE)
        args = (who, number, *self._parts(event, key, headers))
        partition = self._partition(key if key is not None or producer is None else producer)
        try:
            (id_,) = await self._append(partition, *args)
        except OutcomeUnknownError:
            if producer is None:
                raise
            (id_,) = await self._append(partition, *args)
        return id_

    async def append_many(self, events: Iterable[T], *, key: KeyPart | None = None) -> list[str]:
        """Append entries in their order, 500 in one round trip; their ids. Each 500 are appended together."""
        parts = [self._parts(event, key, None) for event in events]
        partition, ids = self._partition(key), list[str]()
        for at in range(0, len(parts), _PAGE):
            ids += await self._append(partition, "", 0, *(part for three in parts[at : at + _PAGE] for part in three))
        return ids

    async def read(self, after: str | datetime = "0-0", until: str | datetime = "+") -> AsyncIterator[Entry[T]]:
        """The entries behind an id or since a time, as far as there are any when it begins.

        Args:
            after: The id of the entry before the first, or a time.
            until: The id of the last one, or a time.

        Raises:
            CodecError: An entry does not decode.
        """
        first, last = before(after), _end_of(until)
        parts = [self._pages(partition, first, last) for partition in range(self.partitions)]
        heads = {part: head for part in parts if (head := await anext(part, None)) is not None}
        while heads:
            part = min(heads, key=lambda part: _place(heads[part].id))
            yield heads[part]
            head = await anext(part, None)
            if head is None:
                del heads[part]
            else:
                heads[part] = head

    async def range(
        self, first: str | datetime = "0-0", last: str | datetime = "+", *, count: int = 100
    ) -> list[Entry[T]]:
        """Up to so many entries of each partition from one id or time to another, both included, in one round trip."""
        start, end, most = _start_of(first), _end_of(last), check_count(count, "count")
        pages = await asyncio.gather(*(self._page(part, start, end, most) for part in range(self.partitions)))
        found = [entry for _, entries in pages for entry in entries]
        return sorted(found, key=lambda entry: _place(entry.id))[:most]

    async def tail(self, after: str | datetime = "$") -> AsyncIterator[Entry[T]]:
        """Every entry behind an id or a time, for ever; `$` begins with what is appended from now on.

        A reader that waits shares the client's one subscription connection.

        Raises:
            CodecError: An entry does not decode.
            redis.exceptions.RedisError: Redis failed; go on with the id of the last entry.
        """
        link, bell = link_of(self._redis), Bell()
        places = [await self._newest(part) if after == "$" else before(after) for part in range(self.partitions)]
        async with AsyncExitStack() as listening:
            inbox = link.subscriptions.inbox
            for part in range(self.partitions):
                await listening.enter_async_context(link.subscriptions.listen(inbox, self._key("log", part), bell))
            while True:
                found = 0
                for part in range(self.partitions):
                    _, entries = await self._page(part, f"({places[part]}", "+", _PAGE, inbox)
                    for entry in entries:
                        places[part] = entry.id
                        yield entry
                    found += len(entries)
                if not found:
                    await bell.wait(_RECHECK * random.uniform(0.5, 1))  # noqa: S311

    async def trim(
        self,
        *,
        maxlen: int | None = None,
        max_age: Seconds | None = None,
        acked: bool = False,
        dead_after: Seconds = 86_400,
    ) -> int:
        """Drop the oldest entries; how many there were.

        Args:
            maxlen: Entries that each partition keeps.
            max_age: Seconds that entries are kept.
            acked: Drop what every live group is done with. Without a live group nothing is dropped.
            dead_after: Seconds without a sign of any of its consumers after which a group is not waited for.
        """
        length = "" if maxlen is None else check_count(maxlen, "maxlen", least=0)
        age = "" if max_age is None else ttl_ms(max_age, "max_age")
        args = (length, age, int(acked), ttl_ms(dead_after, "dead_after"))
        keys = (self._key("log", part) for part in range(self.partitions))
        return sum(await asyncio.gather(*(_TRIM(self._redis, key, *args) for key in keys)))

    def _parts(self, event: T, key: KeyPart | None, headers: Mapping[str, str] | None) -> tuple[str | bytes, ...]:
        return "" if key is None else member_text(key, "key"), pack_headers(headers), self._codec.encode(event)

    def _partition(self, key: KeyPart | None) -> int:
        if self.partitions == 1:
            return 0
        return random.randrange(self.partitions) if key is None else crc32(str(key).encode()) % self.partitions  # noqa: S311

    def _key(self, part: str, partition: int) -> str:
        return self._keys.key(part, partition)

    async def _append(self, partition: int, *args: str | bytes | int) -> list[str]:
        keys = (self._key(part, partition) for part in ("log", "producers", "waiters"))
        ids = await _APPEND(self._redis, *keys, self._maxlen, self._max_age_ms, *args)
        return [id_.decode() for id_ in ids]

    async def _pages(self, partition: int, after: str, last: str) -> AsyncIterator[Entry[T]]:
        newest, entries = await self._page(partition, f"({after}", last, _PAGE)
        end = newest if last == "+" else last
        while entries:
            for entry in entries:
                yield entry
            if len(entries) < _PAGE:
                return
            _, entries = await self._page(partition, f"({entries[-1].id}", end, _PAGE)

    async def _page(
        self, partition: int, first: str, last: str, count: int, inbox: str = ""
    ) -> tuple[str, list[Entry[T]]]:
        keys = (self._key("log", partition), self._key("waiters", partition))
        newest, *parts = await _READ(self._redis, *keys, first, last, count, inbox)
        entries = [Entry.of(self._codec, partition, parts[at : at + 4]) for at in range(0, len(parts), 4)]
        return newest.decode(), entries

    async def _newest(self, partition: int) -> str:
        newest, _ = await self._page(partition, "+", "+", 1)
        return newest


def before(place: str | datetime) -> str:
    """The id behind which entries begin: the one given, or the last one before a time.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(place, datetime):
        return f"{ms - 1}-{_LAST}" if (ms := _ms(place)) else "0-0"
    return checked_id(place)


def _end_of(place: str | datetime) -> str:
    """The id that entries reach to: the one given, or the last one of a time."""
    if isinstance(place, datetime):
        return f"{_ms(place)}-{_LAST}"
    return place if place == "+" else checked_id(place)


def _start_of(place: str | datetime) -> str:
    """The id that entries begin with: the one given, or the first one of a time."""
    return f"{_ms(place)}-0" if isinstance(place, datetime) else checked_id(place)


def _ms(time: datetime) -> int:
    return max(int(time.timestamp() * 1000), 0)


def checked_id(id_: str) -> str:
    """The id itself.

    Raises:
        ValueError: It is none.
    """
    if not _ID.fullmatch(id_):
        raise ValueError(f"an id must be like 1700000000000-0, not {id_!r:.80}")
    return id_


def _place(id_: str) -> tuple[int, int]:
    ms, _, number = id_.partition("-")
    return int(ms), int(number)
