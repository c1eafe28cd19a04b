"""A deque: items are pushed and popped at both ends."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, final, overload

from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns.types import AnyRedis, Codec, Seconds

from ._ends import Ends, Side, WhenFull

__all__ = ("Deque",)

T = TypeVar("T")


@final
class Deque(Generic[T]):
    """Items that many processes push and pop, at either end.

    Promise: each item is popped by one caller at most. Limit of the promise: an item whose reply is lost, or whose
    caller is cancelled in a pop that does not wait, is gone; what must be handled belongs into a `Queue`. An
    item that the codec cannot read stays, and is a `CodecError` for who pops it. The items have no expiry.

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

    async def pop_left(self, timeout: Seconds | None = 0) -> T | None:
        """Take the item at the left end; None when there is none.

        Args:
            timeout: Seconds to wait for an item, in the order in which callers began to wait; 0 to look once, None for
                ever. What was taken for a caller that is cancelled while it waits is put back.

        Raises:
            OutcomeUnknownError: The reply was lost; an item may be gone.
        """
        return await self._ends.pop_one("left", timeout)

    async def pop_right(self, timeout: Seconds | None = 0) -> T | None:
        """Take the item at the right end; None when there is none.

        Args:
            timeout: Seconds to wait for an item, in the order in which callers began to wait; 0 to look once, None for
                ever. What was taken for a caller that is cancelled while it waits is put back.

        Raises:
            OutcomeUnknownError: The reply was lost; an item may be gone.
        """
        return await self._ends.pop_one("right", timeout)

    async def pop_many_left(self, count: int) -> list[T]:
        """Take up to so many items from the left end, the outermost first."""
        return await self._ends.pop("left", count)

    async def pop_many_right(self, count: int) -> list[T]:
        """Take up to so many items from the right end, the outermost first."""
        return await self._ends.pop("right", count)

    async def move_to(self, other: Deque[T], take: Side = "left", push: Side = "right") -> T | None:
        """Move an item from one end to an end of another deque, or of this one, in one step.

        In a cluster both must be in one slot, else it is a ValueError.

        Args:
            other: Where it goes to.
            take: The end at which it is taken.
            push: The end at which it is pushed.

        Returns:
            The item; None when there is none, or no room for it.

        Raises:
            OutcomeUnknownError: The reply was lost; the item is in one of the two.
        """
        return await self._ends.move(take, other._ends, push)

    async def peek_left(self) -> T | None:
        """The item at the left end, which stays there; None when there is none."""
        return await self._ends.peek("left")

    async def peek_right(self) -> T | None:
        """The item at the right end, which stays there; None when there is none."""
        return await self._ends.peek("right")

    async def count(self) -> int:
        """How many items there are."""
        return await self._ends.count()
