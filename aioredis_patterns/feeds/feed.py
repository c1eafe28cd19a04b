"""A feed: what somebody posted, and what those posted whom he follows, the newest first.

Promise: a page begins where the one before ended, by the place of an item and not by its number, so nothing is shown
twice or left out because more arrives meanwhile. An item with an id is posted once however often it is sent. What a
feed follows is on its pages when `follow` returns, old items included, and gone when `unfollow` does. Items that had
to make room are not passed over in silence: the page is `truncated`.

Limit of the promise: each feed lies in one slot of its own, so an item comes to one follower after the other. A poster
that dies meanwhile has told some of them only; to post the item again with its id tells the rest. What two feeds post
under the same id is shown once on a page, but again where it stands on another page. Items have no expiry unless `ttl`
is given; who follows whom never has one.

Cost: one round trip to post, and one for each follower up to `fanout`, a hundred at one time. One for a page, and a
second for all feeds together that have too many followers to be told: from those a reader fetches for himself.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, final, overload

from aioredis_patterns._core.counts import check_count
from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_name, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored
from aioredis_patterns.codecs import Json
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from .page import TOP, Entry, FeedPage, entries, merged, place_of, without_copies

__all__ = ("Feed",)

T = TypeVar("T")

_POST: Final = Script(__package__, "feed_post", keys=4, fragments=("fragment_list",), repeatable=True)
_BRING: Final = Script(__package__, "feed_bring", keys=4, fragments=("fragment_list",), repeatable=True)
_READ: Final = Script(__package__, "feed_read", keys=3, fragments=("fragment_reading",), repeatable=True)
_PAGE: Final = Script(__package__, "feed_page", keys=6, fragments=("fragment_reading",), repeatable=True)
_FOLLOW: Final = Script(__package__, "feed_follow", keys=2, repeatable=True)
_ENTER: Final = Script(__package__, "feed_enter", repeatable=True)
_SETTLE: Final = Script(__package__, "feed_settle", keys=3, fragments=("fragment_list",), repeatable=True)
_UNFOLLOW: Final = Script(__package__, "feed_unfollow", keys=4, repeatable=True)
_LEAVE: Final = Script(__package__, "feed_leave", repeatable=True)

_LONGEST, _LARGEST_PAGE, _MOST_TOLD = 10_000, 1000, 10_000
_NEW, _BROUGHT = 2, 0
_CHUNK: Final = 100
_LAST_US: Final = 2**53


@final
class Feed(Generic[T]):
    """What was posted, the newest first.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: Whose feed it is.
        maxlen: Own items that are kept, and as many of those that were brought by feeds it follows; up to 10,000.
        fanout: Followers to whom an item is brought; those who follow later fetch it. The same for all feeds.
        ttl: Seconds that own items are kept after the last of them, and brought ones likewise; for ever when None.
        codec: How items become bytes: `codecs.Json` when None, `codec_for(Post)` for a type of yours.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> ada, bob = Feed(redis, "ada"), Feed(redis, "bob")
        >>> for text in ("one", "two", "three"):
        ...     _ = await ada.post(text)
        >>> await bob.follow(ada)
        True
        >>> page = await bob.page(count=2)
        >>> page.items
        ['three', 'two']
        >>> _ = await ada.post("four")
        >>> (await bob.page(page.cursor)).items
        ['one']
    """

    __slots__ = ("_codec", "_fanout", "_keys", "_maxlen", "_prefix", "_redis", "_source", "_ttl_ms", "name")

    @overload
    def __init__(
        self: Feed[Any],
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int = ...,
        fanout: int = ...,
        ttl: Seconds | None = ...,
        codec: None = ...,
        prefix: str = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int = ...,
        fanout: int = ...,
        ttl: Seconds | None = ...,
        codec: Codec[T],
        prefix: str = ...,
    ) -> None: ...

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int = 1000,
        fanout: int = 1000,
        ttl: Seconds | None = None,
        codec: Codec[Any] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._redis, self._keys, self._prefix, self._source = redis, Keys(name, prefix), prefix, check_name(name)
        self._maxlen = check_count(maxlen, "maxlen", 1, _LONGEST)
        self._fanout = check_count(fanout, "fanout", 0, _MOST_TOLD)
        self._ttl_ms = 0 if ttl is None else ttl_ms(ttl)
        self._codec: Codec[T] = Json() if codec is None else codec

    def __repr__(self) -> str:
        return f"<Feed {self.name!r}>"

    async def post(self, item: T, at: datetime | None = None, *, item_id: KeyPart | None = None) -> str:
        """Post an item, and bring it to those who follow; its id.

        Args:
            item: What the codec takes.
            at: When it happened, which decides its place; now, by the server's clock, when None.
            item_id: What it is called: one that the feed has already is not posted again, but brought to followers
                who have it not. A name of its own when None.

        Raises:
            CodecError: The codec refuses the item.
            ValueError: The time has no zone, or is before 1970 or after 2255.
            OutcomeUnknownError, redis.exceptions.RedisError: It may be posted, and brought to some.
        """
        name = secrets.token_hex(8) if item_id is None else check_part(item_id, "item_id")
        body, keys = self._codec.encode(item), self._keys
        places = keys.key("posts"), keys.key("posts:items"), keys.key("state"), keys.key("followers")
        reply = await _POST(self._redis, *places, self._source, name, _us(at), body, self._maxlen, self._ttl_ms)
        member, value, followers = reply
        for start in range(0, len(followers), 2 * _CHUNK):
            part = followers[start : start + 2 * _CHUNK]
            told = (self._tell(part[at], part[at + 1], member, value) for at in range(0, len(part), 2))
            await asyncio.gather(*told)
        return name

    async def page(self, cursor: str | None = None, count: int = 20) -> FeedPage[T]:
        """Some items, the newest first, from where the page before has ended.

        Args:
            cursor: That of the page before; the newest items when None.
            count: How many items at most, up to 1,000.

        Raises:
            CodecError: An item does not decode.
            ValueError: It is no cursor of a feed, or no count.
        """
        place, wanted = place_of(cursor), check_count(count, "count", 1, _LARGEST_PAGE) + 1
        key = self._keys.key
        keys = key("posts"), key("posts:items"), key("inbox"), key("inbox:items"), key("state"), key("fetched")
        lost, own, brought, names = await _PAGE(self._redis, *keys, *place, wanted)
        with Stored("a feed that is followed"):
            others = [self._of(name.decode()) for name in names]
        fetched = await asyncio.gather(*(self._read(other, place, wanted) for other in others))
        found = merged([own, brought, *(part for _, part in fetched)])
        shown, more = found[:count], len(found) > count
        end_us = shown[-1].time_us if more else 0
        truncated = any(int(newest or 0) > end_us for newest in [*lost, *(newest for newest, _ in fetched)])
        items = [self._codec.decode(entry.body) for entry in without_copies(shown)]
        return FeedPage(items, shown[-1].cursor if more else None, truncated)

    async def follow(self, other: Feed[T] | str) -> bool:
        """Have the items of another feed on the pages of this one, old ones included; whether that is new."""
        name, token = self._other(other), secrets.token_hex(8)
        relation = await _FOLLOW(self._redis, self._keys.key("following"), self._keys.key("fetched"), name, token)
        if relation == _BROUGHT:
            return False
        followers = self._of(name).key("followers")
        if await _ENTER(self._redis, followers, self.name, token, self._fanout):
            await self._catch_up(name, token)
        return bool(relation == _NEW)

    async def unfollow(self, other: Feed[T] | str) -> bool:
        """Have the items of another feed no more on the pages of this one; whether they were.

        It ends the following that it finds, and none that begins later, however late it is executed itself.
        """
        name, key = self._other(other), self._keys.key
        what = key("following"), key("fetched"), key("inbox"), key("inbox:items"), name, check_name(name)
        token = await _UNFOLLOW(self._redis, *what, "")
        if not token:
            return False
        if await _UNFOLLOW(self._redis, *what, token) in (token, b""):  # else it was followed anew meanwhile
            await _LEAVE(self._redis, self._of(name).key("followers"), self.name, token)
        return True

    async def _tell(self, follower: bytes, token: bytes, member: bytes, value: bytes) -> None:
        """Bring an item to a follower; one that is none any more, for whatever reason, is told no more."""
        with Stored("a follower"):
            keys = self._of(follower.decode())
        if not await self._bring(keys, self.name, member, value):
            await _LEAVE(self._redis, self._keys.key("followers"), follower, token)

    async def _bring(self, keys: Keys, source: str, *items: bytes) -> int:
        places = keys.key("inbox"), keys.key("inbox:items"), keys.key("state"), keys.key("following")
        held: int = await _BRING(self._redis, *places, source, self._maxlen, self._ttl_ms, *items)
        return held

    async def _catch_up(self, name: str, token: str) -> None:
        """Bring what was posted before; until all of it is here it is fetched, so that it is never missing."""
        place, lost = TOP, b""
        while True:
            lost, found = await self._read(self._of(name), place, _CHUNK)
            if not found:
                break
            await self._bring(self._keys, name, *found)
            place = _last(found).place
        keys = self._keys.key("following"), self._keys.key("fetched"), self._keys.key("state")
        await _SETTLE(self._redis, *keys, name, token, lost or 0, self._ttl_ms)

    async def _read(self, keys: Keys, place: tuple[str, bytes], count: int) -> tuple[bytes, list[bytes]]:
        places = keys.key("posts"), keys.key("posts:items"), keys.key("state")
        lost, found = await _READ(self._redis, *places, *place, count)
        return lost, found

    def _of(self, name: str) -> Keys:
        return Keys(name, self._prefix)

    def _other(self, other: Feed[T] | str) -> str:
        name = other.name if isinstance(other, Feed) else other
        if check_name(name) == self._source:
            raise ValueError(f"{self.name!r} cannot follow itself")
        return name


def _last(found: list[bytes]) -> Entry:
    (entry,) = entries(found[-2:])
    return entry


def _us(at: datetime | None) -> int:
    if at is None:
        return 0
    if at.tzinfo is None:
        raise ValueError(f"a moment needs a time zone, which {at!r} has not")
    moment = round(at.timestamp() * 1_000_000)
    if not 0 < moment < _LAST_US:
        raise ValueError(f"an item must be of the years 1970 to 2255, not of {at}")
    return moment
