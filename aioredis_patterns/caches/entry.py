"""Entries: what a cached value looks like in Redis, and where it lies.

An entry is one string: a header of 68 readable characters (`lua/fragment_state.lua` lists them), the tags, then the
value as its codec wrote it. The server packs it and judges it, with its own clock; this side cuts the value out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import RECOVERABLE, Request
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import AnyRedis, Seconds

__all__ = (
    "HEADER",
    "Lifetimes",
    "Lives",
    "Place",
    "Reader",
    "Shard",
    "content_of",
    "expired_by_hand",
    "fitting",
    "joined_tags",
    "names_of",
    "shards_of",
)

_JUDGE: Final = Script(
    __package__, "entry_judge", keys=3, fragments=("fragment_time", "fragment_marks", "fragment_state"), repeatable=True
)
_STAMP: Final = Script(
    __package__, "cache_stamp", keys=2, fragments=("fragment_time", "fragment_marks"), repeatable=True
)

HEADER: Final = 68
_MOST_TAGS: Final = 9_999
_CHUNK: Final = 500


class Place(NamedTuple):
    """The keys of one cached value, all in one slot, and the channel that wakes those who wait for it."""

    value: str
    lead: str
    marks: str
    tags: str
    channel: str
    writers: str

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """What the scripts take, in their order."""
        return self[:4]


class Shard:
    """A part of a cache that lies in one slot.

    Args:
        keys: Of the cache.
        number: Of this shard.
    """

    __slots__ = ("channel", "dead", "dirty", "due", "lead", "leased", "marks", "tags", "value", "writers")

    def __init__(self, keys: Keys, number: int) -> None:
        self.value = keys.key("value:", number)
        self.lead = keys.key("lead:", number)
        self.channel = keys.key("loaded:", number)
        self.marks = keys.key("marks", number)
        self.tags = keys.key("tags", number)
        self.writers = keys.key("writers:", number)
        self.dirty = keys.key("dirty", number)
        self.due = keys.key("due", number)
        self.leased = keys.key("leased", number)
        self.dead = keys.key("dead", number)

    def place(self, part: str) -> Place:
        """Where the value of an escaped key lies."""
        channel, writers = self.channel + part, self.writers + part
        return Place(self.value + part, self.lead + part, self.marks, self.tags, channel, writers)


class Lives(NamedTuple):
    """How long an entry lives, in milliseconds."""

    fresh_ms: int
    """Until it is stale."""
    whole_ms: int
    """Until it is dropped."""
    marks_ms: int
    """How long the marks must be kept for it."""


class Lifetimes:
    """How long the entries of one cache live.

    Args:
        ttl: Seconds until an entry is stale.
        stale_ttl: Seconds until it is dropped; as long as `ttl` when None.
        jitter: Part of the ttl by which it is shortened at random.
        chance: Draws a number from 0 up to 1.
        load_ms: Milliseconds that a load may take.
        negative_ttl: Seconds that None lives; like any other value when None.
    """

    __slots__ = ("_chance", "_jitter", "_load_ms", "_negative_ms", "_ttl_ms", "_whole_ms")

    def __init__(
        self,
        ttl: Seconds,
        stale_ttl: Seconds | None,
        jitter: float,
        chance: Callable[[], float],
        load_ms: int,
        negative_ttl: Seconds | None = None,
    ) -> None:
        self._ttl_ms = ttl_ms(ttl)
        self._whole_ms = self._ttl_ms if stale_ttl is None else ttl_ms(stale_ttl, "stale_ttl")
        if self._whole_ms < self._ttl_ms:
            raise ValueError(f"stale_ttl must be at least ttl ({self._ttl_ms / 1000:g} s), not {stale_ttl!r}")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be between 0 and 1, not {jitter!r}")
        self._jitter = jitter
        self._chance = chance
        self._load_ms = load_ms
        self._negative_ms = None if negative_ttl is None else ttl_ms(negative_ttl, "negative_ttl")

    @property
    def stale(self) -> bool:
        """Whether entries are kept when they are stale."""
        return self._whole_ms > self._ttl_ms

    def draw(self, ttl: Seconds | None) -> Lives:
        """The lifetime of one entry, with a ttl of its own unless that is None."""
        fresh_ms = self._ttl_ms if ttl is None else ttl_ms(ttl)
        whole_ms = max(fresh_ms, self._whole_ms) if self.stale else fresh_ms
        if self._jitter:
            fresh_ms = max(round(fresh_ms * (1 - self._jitter * self._chance())), 1)
            whole_ms = whole_ms if self.stale else fresh_ms
        return Lives(fresh_ms, whole_ms, whole_ms + self._load_ms)

    def draw_for(self, value: object, ttl: Seconds | None) -> Lives:
        """The lifetime of this value: None has one of its own, and is not kept beyond that."""
        if value is None and ttl is None and self._negative_ms is not None:
            return self.brief(self._negative_ms)
        return self.draw(ttl)

    def brief(self, ms: int) -> Lives:
        """A lifetime that ends with it."""
        return Lives(ms, ms, ms + self._load_ms)


class Reader:
    """Reads entries.

    Nearly every hit is an MGET of the value and the shard's marks: a plain entry is fresh when it began after the last
    invalidation of everything, one with tags when nothing at all was invalidated since. Only the rest takes a script,
    which costs the server ten times as much.

    Args:
        redis: The client.
        timed: Whether an entry may have to be loaded while it exists, so that only the script can judge it.
        lead: Says how many times the duration of its load an entry counts as expiring early.
        deadline: Seconds that one read may take; the client's own when None.
    """

    __slots__ = ("_deadline", "_lead", "_redis", "_timed")

    def __init__(self, redis: AnyRedis, *, timed: bool, lead: Callable[[], float], deadline: float | None) -> None:
        self._redis = redis
        self._timed = timed
        self._lead = lead
        self._deadline = deadline

    async def read(self, shard: Shard, part: str) -> Any:
        """A fresh entry; a list of an entry to load anew and whether it is stale; 0 for none, -1 for something else."""
        if self._timed:
            return await self._judge(shard, part)
        value = shard.value + part
        link = link_of(self._redis)
        lane = link.lane(value)
        limit = lane.deadline if self._deadline is None else self._deadline
        if lane.full:
            limit = await lane.room(limit)
        packed = pack_command(("MGET", value, shard.marks))
        future = lane.submit(packed, limit)
        expires = lane.expires
        try:
            entry, marks = await future
        except RECOVERABLE as error:
            entry, marks = await link.recover(error, lane, Request("MGET", packed, expires, value, repeatable=True))
        if entry is None:
            return 0
        return entry if _fresh(entry, marks) else await self._judge(shard, part)

    async def read_many(self, shard: Shard, parts: Sequence[str]) -> list[Any]:
        """The same for many keys of one shard: one round trip for every 500, and one more for all that are judged."""
        if self._timed:
            return list(await asyncio.gather(*(self._judge(shard, part) for part in parts)))
        replies: list[Any] = []
        for start in range(0, len(parts), _CHUNK):
            chunk = parts[start : start + _CHUNK]
            *entries, marks = await self._mget(*(shard.value + part for part in chunk), shard.marks)
            replies += [0 if entry is None else entry if _fresh(entry, marks) else None for entry in entries]
        judged = [at for at, reply in enumerate(replies) if reply is None]
        verdicts = await asyncio.gather(*(self._judge(shard, parts[at]) for at in judged))
        for at, verdict in zip(judged, verdicts, strict=True):
            replies[at] = verdict
        return replies

    async def stamp(self, shard: Shard, keep_ms: int) -> str:
        """The mark of this moment in a shard, which is kept for so long at least."""
        stamp: bytes = await _STAMP(self._redis, shard.marks, shard.tags, keep_ms, deadline=self._deadline)
        return stamp.decode()

    async def _mget(self, *keys: str) -> Any:
        link = link_of(self._redis)
        lane = link.lane(keys[0])
        limit = lane.deadline if self._deadline is None else self._deadline
        if lane.full:
            limit = await lane.room(limit)
        packed = pack_command(("MGET", *keys))
        future = lane.submit(packed, limit)
        expires = lane.expires
        try:
            return await future
        except RECOVERABLE as error:
            return await link.recover(error, lane, Request("MGET", packed, expires, keys[0], repeatable=True))

    async def _judge(self, shard: Shard, part: str) -> Any:
        thousandths = round(self._lead() * 1000)
        return await _JUDGE(
            self._redis, shard.value + part, shard.marks, shard.tags, thousandths, deadline=self._deadline
        )


def _fresh(entry: bytes, marks: bytes | None) -> bool:
    """Whether the marks alone tell that the entry is fresh."""
    if marks is None:
        return False
    kind, generation = entry[:2], entry[6:22]
    if kind == b"1p":
        return marks[:16] <= generation <= marks[16:32]
    return kind == b"1t" and generation == marks[16:32]


def shards_of(keys: Keys, count: int) -> tuple[Shard, ...]:
    """All shards of a cache."""
    return tuple(Shard(keys, number) for number in range(count))


def content_of(entry: bytes) -> bytes:
    """The codec's four characters and the value's bytes.

    Raises:
        CodecError: The header is damaged.
    """
    length = entry[64:HEADER]
    if length == b"0000":
        return entry[2:6] + entry[HEADER:]
    if len(length) == 4 and length.isdigit():
        return entry[2:6] + entry[HEADER + int(length) :]
    raise CodecError("the header of a cached value is damaged")


def names_of(entry: bytes) -> str:
    """The names that an entry keeps: its tags, joined, and perhaps an etag."""
    return entry[HEADER : HEADER + int(entry[64:HEADER])].decode()


def expired_by_hand(entry: bytes) -> bool:
    """Whether `expire` made the entry stale, so that it may stand in for a failed load and for nothing else."""
    return entry[38:54] == b"0" * 16


def joined_tags(tags: Iterable[str]) -> str:
    """The tags as one string, each escaped, in order and once.

    Raises:
        TypeError: One string, where several tags are meant.
        ValueError: More than 9,999 bytes of them.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags must be several names, such as [{tags!r}], not one str")
    return fitting("|".join(sorted({check_part(tag, "tag") for tag in tags})))


def fitting(names: str) -> str:
    """The names that an entry is to keep, if its header can tell their length.

    Raises:
        ValueError: More than 9,999 bytes of them.
    """
    if len(names.encode()) > _MOST_TAGS:
        raise ValueError(f"the tags and the etag of one value must not exceed {_MOST_TAGS} bytes")
    return names
