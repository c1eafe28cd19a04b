"""Entries: what a cached value looks like in Redis, and where it lies.

An entry is one string: a header of 68 readable characters (`lua/fragment_state.lua` lists them), the tags, then the
value as its codec wrote it. The server packs it and judges it, with its own clock; this side cuts the value out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aioredis_patterns._core.keys import Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import RECOVERABLE, Request
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import AnyRedis, Codec

__all__ = ("HEADER", "Place", "Reader", "Shard", "body_of", "codec_id", "joined_tags", "shards_of")

_JUDGE: Final = Script(
    __package__, "entry_judge", keys=3, fragments=("fragment_marks", "fragment_state"), repeatable=True
)

HEADER: Final = 68
_MOST_TAGS: Final = 9_999


class Place(NamedTuple):
    """The keys of one cached value, all in one slot, and the channel that wakes those who wait for it."""

    value: str
    lead: str
    marks: str
    tags: str
    channel: str

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

    __slots__ = ("channel", "lead", "marks", "tags", "value")

    def __init__(self, keys: Keys, number: int) -> None:
        self.value = keys.key("value:", number)
        self.lead = keys.key("lead:", number)
        self.channel = keys.key("loaded:", number)
        self.marks = keys.key("marks", number)
        self.tags = keys.key("tags", number)

    def place(self, part: str) -> Place:
        """Where the value of an escaped key lies."""
        return Place(self.value + part, self.lead + part, self.marks, self.tags, self.channel + part)


class Reader:
    """Reads entries.

    Nearly every hit is an MGET of the value and the shard's marks: a plain entry is fresh when it began after the last
    invalidation of everything, one with tags when nothing at all was invalidated since. Only the rest takes a script,
    which costs the server ten times as much.

    Args:
        redis: The client.
        timed: Whether entries may be stale while they exist, so that only the script can judge them.
        deadline: Seconds that one read may take; the client's own when None.
    """

    __slots__ = ("_deadline", "_redis", "_timed")

    def __init__(self, redis: AnyRedis, *, timed: bool, deadline: float | None) -> None:
        self._redis = redis
        self._timed = timed
        self._deadline = deadline

    async def read(self, value: str, shard: Shard) -> Any:
        """A fresh entry; a stale one, alone in a list; 0 where there is none, -1 where there is something else."""
        if self._timed:
            return await self._judge(value, shard)
        entry, marks = await self._glance(value, shard.marks)
        if entry is None:
            return 0
        if marks is not None:
            kind, generation = entry[:2], entry[6:22]
            if kind == b"1p" and marks[:16] <= generation <= marks[16:]:
                return entry
            if kind == b"1t" and generation == marks[16:]:
                return entry
        return await self._judge(value, shard)

    async def _glance(self, value: str, marks: str) -> Any:
        link = link_of(self._redis)
        lane = link.lane(value)
        packed = pack_command(("MGET", value, marks))
        limit = self._deadline or lane.deadline
        future = lane.submit(packed, await lane.room(limit) if lane.full else limit)
        expires = lane.expires
        try:
            return await future
        except RECOVERABLE as error:
            return await link.recover(error, lane, Request("MGET", packed, expires, value, repeatable=True))

    async def _judge(self, value: str, shard: Shard) -> Any:
        return await _JUDGE(self._redis, value, shard.marks, shard.tags, deadline=self._deadline)


def shards_of(keys: Keys, count: int) -> tuple[Shard, ...]:
    """All shards of a cache."""
    return tuple(Shard(keys, number) for number in range(count))


def body_of(entry: bytes) -> bytes:
    """The value's bytes.

    Raises:
        CodecError: The header is damaged.
    """
    length = entry[64:HEADER]
    if length == b"0000":
        return entry[HEADER:]
    if len(length) == 4 and length.isdigit():
        return entry[HEADER + int(length) :]
    raise CodecError("the header of a cached value is damaged")


def codec_id(codec: Codec[Any]) -> bytes:
    """Four characters that tell one codec's entries from another's."""
    return b"%04x" % (zlib.crc32(codec.content_type.encode()) & 0xFFFF)


def joined_tags(tags: Iterable[str]) -> str:
    """The tags as one string, each escaped, in order and once.

    Raises:
        TypeError: One string, where several tags are meant.
        ValueError: More than 9,999 bytes of them.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags must be several names, such as [{tags!r}], not one str")
    joined = "|".join(sorted({check_part(tag, "tag") for tag in tags}))
    if len(joined.encode()) > _MOST_TAGS:
        raise ValueError(f"the tags of one value must not exceed {_MOST_TAGS} bytes")
    return joined
