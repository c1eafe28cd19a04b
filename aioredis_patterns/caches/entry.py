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
from aioredis_patterns.types import Codec

__all__ = ("HEADER", "READ", "Place", "Shard", "body_of", "codec_id", "joined_tags", "shards_of")

READ: Final = Script(
    __package__, "entry_read", keys=2, fragments=("fragment_generations", "fragment_state"), repeatable=True
)

HEADER: Final = 68
_PLAIN: Final = ord("0")
_MOST_TAGS: Final = 9_999


class Place(NamedTuple):
    """The keys of one cached value, all in one slot, and the channel that wakes those who wait for it."""

    value: str
    lead: str
    generations: str
    channel: str


class Shard:
    """A part of a cache that lies in one slot.

    Args:
        keys: Of the cache.
        number: Of this shard.
    """

    __slots__ = ("channel", "generations", "lead", "value")

    def __init__(self, keys: Keys, number: int) -> None:
        self.value = keys.key("value:", number)
        self.lead = keys.key("lead:", number)
        self.channel = keys.key("loaded:", number)
        self.generations = keys.key("generations", number)

    def place(self, part: str) -> Place:
        """Where the value of an escaped key lies."""
        return Place(self.value + part, self.lead + part, self.generations, self.channel + part)


def shards_of(keys: Keys, count: int) -> tuple[Shard, ...]:
    """All shards of a cache."""
    return tuple(Shard(keys, number) for number in range(count))


def body_of(entry: bytes) -> bytes:
    """The value's bytes in an entry that the server found fresh or stale."""
    return entry[HEADER:] if entry[1] == _PLAIN else entry[HEADER + int(entry[64:HEADER]) :]


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
