"""A deque: items are pushed and popped at both ends."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, final, overload

from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns.types import AnyRedis, Codec

from ._ends import Ends, WhenFull

__all__ = ("Deque",)

T = TypeVar("T")


@final
class Deque(Generic[T]):
    """Items that many processes push and pop, at either end.

    Promise: each item is popped by one caller at most. Limit of the promise: an item whose reply is lost, or whose
    caller is cancelled, is gone; what must be handled belongs into a `Queue`. The items have no expiry.

    Cost: one round trip for each call, one key.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the deque is called.
        maxlen: How many items it may have; None for any number.
        when_full: "drop" from the other end when there are more, or "refuse" the new ones.
        codec: How items become bytes: `codecs.Json` when None, `codec_for(User)` for a type of yours.
        prefix: First part of the key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     recent = Deque(redis, "recent", maxlen=100)
        ...     await recent.push_left("new")
        ...     return await recent.pop_right()
    """

    __slots__ = ("_ends", "name")

    @overload
    def __init__(
        self: Deque[Any],
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int | None = ...,
        when_full: WhenFull = ...,
        codec: None = ...,
        prefix: str = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int | None = ...,
        when_full: WhenFull = ...,
        codec: Codec[T],
        prefix: str = ...,
    ) -> None: ...

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        maxlen: int | None = None,
        when_full: WhenFull = "drop",
        codec: Codec[Any] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._ends: Ends[T] = Ends(redis, Keys(name, prefix), "deque", maxlen, when_full, codec)

    def __repr__(self) -> str:
        return f"<Deque {self.name!r}>"

    async def push_left(self, *items: T) -> bool:
        """Push items one after the other at the left end; False when the deque was full and refused them all.

        Raises:
            CodecError: The codec refuses an item.
            OutcomeUnknownError: The reply was lost; they may have been pushed.
        """
        return await self._ends.push("left", items)

    async def push_right(self, *items: T) -> bool:
        """Push items one after the other at the right end; False when the deque was full and refused them all.

        Raises:
            CodecError: The codec refuses an item.
            OutcomeUnknownError: The reply was lost; they may have been pushed.
        """
        return await self._ends.push("right", items)

    async def pop_left(self) -> T | None:
        """Take the item at the left end; None when there is none.

        Raises:
            OutcomeUnknownError: The reply was lost; an item may be gone.
        """
        items = await self._ends.pop("left", 1)
        return items[0] if items else None

    async def pop_right(self) -> T | None:
        """Take the item at the right end; None when there is none.

        Raises:
            OutcomeUnknownError: The reply was lost; an item may be gone.
        """
        items = await self._ends.pop("right", 1)
        return items[0] if items else None

    async def peek_left(self) -> T | None:
        """The item at the left end, which stays there; None when there is none."""
        return await self._ends.peek("left")

    async def peek_right(self) -> T | None:
        """The item at the right end, which stays there; None when there is none."""
        return await self._ends.peek("right")

    async def count(self) -> int:
        """How many items there are."""
        return await self._ends.count()
