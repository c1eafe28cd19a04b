"""A list with two ends, which a `Stack` and a `Deque` push to and take from."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, final

from aioredis_patterns._core.counts import EXACT, check_count
from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns._core.keys import Keys, slot
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.cluster import ClusterLink
from aioredis_patterns.client.link import Link
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.codecs import Json
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import AnyRedis, Codec, Seconds

from ._waiting import Waiting
from .delivery import quietly

__all__ = ("Ends", "Side", "WhenFull")

T = TypeVar("T")

Side: TypeAlias = Literal["left", "right"]
WhenFull: TypeAlias = Literal["drop", "refuse"]

_PUSH: Final = Script(__package__, "ends_push", keys=2, fragments=("announce",))
_POP: Final = Script(__package__, "ends_pop")
_TAKE: Final = Script(__package__, "ends_take", keys=2, fragments=("clock", "announce", "stand"))
_LEAVE: Final = Script(__package__, "ends_leave", keys=2, fragments=("announce",))
_MOVE: Final = Script(__package__, "ends_move", keys=3, fragments=("announce",))
_PEEK: Final = Script(__package__, "ends_peek", repeatable=True)

_MOST_AT_ONCE: Final = 1000

_RECHECK: Final = 5.0
"""Seconds that who waits leaves to those before it, and after which it looks for itself."""


@final
class Ends(Generic[T]):
    """The items of one name.

    Args:
        redis: Any asyncio client of redis-py.
        keys: Of the name.
        part: What the list's key ends with.
        maxlen: How many items there may be; None for any number.
        when_full: Whether one more drops one at the other end, or is refused.
        codec: How items become bytes; `codecs.Json` when None.
    """

    __slots__ = ("_codec", "_full", "_key", "_most", "_redis", "_waiters")

    def __init__(
        self,
        redis: AnyRedis,
        keys: Keys,
        part: str,
        maxlen: int | None,
        when_full: WhenFull,
        codec: Codec[Any] | None,
    ) -> None:
        if when_full not in ("drop", "refuse"):
            raise ValueError(f"when_full must be 'drop' or 'refuse', not {when_full!r}")
        self._redis, self._key, self._waiters = redis, keys.key(part), keys.key(f"{part}-waiters")
        self._most, self._full = 0 if maxlen is None else check_count(maxlen, "maxlen", most=EXACT), when_full
        self._codec: Codec[T] = Json() if codec is None else codec

    async def push(self, side: Side, items: tuple[T, ...]) -> bool:
        """Push items, all or none; whether they were."""
        if not 1 <= len(items) <= _MOST_AT_ONCE:
            raise ValueError(f"1 to {_MOST_AT_ONCE} items may be pushed at once, not {len(items)}")
        data = [self._codec.encode(item) for item in items]
        length: int = await _PUSH(self._redis, self._key, self._waiters, side, self._most, self._full, *data)
        return length > 0

    async def pop(self, side: Side, count: int) -> list[T]:
        """Take items, the outermost first."""
        wanted = check_count(count, "count", most=_MOST_AT_ONCE)
        return await self._read(side, await _POP(self._redis, self._key, side, wanted))

    async def pop_one(self, side: Side, timeout: Seconds | None) -> T | None:
        """Take the outermost item, behind those that wait already; None when there was none in time."""
        limit = None if timeout is None else timeout_seconds(timeout)
        if limit == 0:
            items = await self.pop(side, 1)
            return items[0] if items else None
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                (item,) = await self._read(side, [await self._wait(link_of(self._redis), side)])
                return item
        except TimeoutError:
            if not timer.expired():
                raise
            return None

    async def move(self, side: Side, other: Ends[T], to: Side) -> T | None:
        """Move the outermost item to an end of another list; None when there is none, or no room."""
        if not {side, to} <= {"left", "right"}:
            raise ValueError(f"an end is left or right, not {side!r:.80} or {to!r:.80}")
        if isinstance(link_of(self._redis), ClusterLink) and slot(self._key) != slot(other._key):
            raise ValueError("in a cluster both must be in one slot, that is of one name")
        keys = (self._key, other._key, other._waiters)
        moved = await _MOVE(self._redis, *keys, side, to, other._most, other._full)
        return self._codec.decode(moved[0]) if moved else None

    async def peek(self, side: Side) -> T | None:
        """The outermost item, which stays; None when there is none."""
        _, *items = await _PEEK(self._redis, self._key, 0 if side == "left" else -1)
        return self._codec.decode(items[0]) if items and items[0] is not None else None

    async def count(self) -> int:
        """How many items there are."""
        length: int = (await _PEEK(self._redis, self._key, 0))[0]
        return length

    async def _read(self, side: Side, items: list[bytes]) -> list[T]:
        """What was taken; where one item cannot be read, all are put back where they were."""
        try:
            return [self._codec.decode(item) for item in items]
        except CodecError:
            link = link_of(self._redis)
            await shielded(_LEAVE(link, self._key, self._waiters, side, "", *reversed(items)), link.deadline)
            raise

    async def _wait(self, link: Link, side: Side) -> bytes:
        """Stand in line with the other tasks of this client, and as its first in line with the other clients."""
        inbox, bell, waiting = link.subscriptions.inbox, Bell(), link.companion(Waiting)
        asking: asyncio.Task[list[bytes]] | None = None
        since, late = b"0", False
        async with waiting.turn(self._key), link.subscriptions.listen(inbox, self._key, bell):
            try:
                while True:
                    taking = _TAKE(link, self._key, self._waiters, side, inbox, since, int(late))
                    asking = asyncio.create_task(taking, name="an item is taken")
                    since, *items = await asyncio.shield(asking)
                    if items:
                        return items[0]
                    late = not await bell.wait(_RECHECK)
            except BaseException:
                alone = waiting.length(self._key) == 1
                leaving = self._leave(link, side, inbox if alone else "", asking)
                link.finish(quietly(leaving), "items are waited for no more")
                raise

    async def _leave(self, link: Link, side: Side, inbox: str, asking: asyncio.Task[list[bytes]] | None) -> None:
        """What was taken for a caller that is gone is put back where it was."""
        items = [] if asking is None else (await asking)[1:]
        await _LEAVE(link, self._key, self._waiters, side, inbox, *items)
