"""A stack: what was pushed last is popped first."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, final, overload

from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns.types import AnyRedis, Codec, Seconds

from ._ends import Ends, WhenFull

__all__ = ("Stack",)

T = TypeVar("T")


@final
class Stack(Generic[T]):
    """Items that many processes push and pop, the newest first.

    Promise: each item is popped by one caller at most. Limit of the promise: an item whose reply is lost, or whose
    caller is cancelled in a pop that does not wait, is gone; what must be handled belongs into a `Queue`. An
    item that the codec cannot read stays, and is a `CodecError` for who pops it. The items have no expiry.

    Cost: one round trip for each call, one key.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the stack is called.
        maxlen: How many items it may have; None for any number.
        when_full: "drop" the oldest when there are more, or "refuse" the new ones.
        codec: How items become bytes: `codecs.Json` when None, `codec_for(User)` for a type of yours.
        prefix: First part of the key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     undo = Stack(redis, "undo:42", maxlen=100)
        ...     await undo.push("bold", "italic")
        ...     return await undo.pop()
    """

    __slots__ = ("_ends", "name")

    @overload
    def __init__(
        self: Stack[Any],
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
        self._ends: Ends[T] = Ends(redis, Keys(name, prefix), "stack", maxlen, when_full, codec)

    def __repr__(self) -> str:
        return f"<Stack {self.name!r}>"

    async def push(self, *items: T) -> bool:
        """Push items, the last of them on top; False when the stack was full and refused them all.

        Raises:
            CodecError: The codec refuses an item.
            OutcomeUnknownError: The reply was lost; they may have been pushed.
        """
        return await self._ends.push("right", items)

    async def pop(self, timeout: Seconds | None = 0) -> T | None:
        """Take the item on top; None when there is none.

        Args:
            timeout: Seconds to wait for an item, in the order in which callers began to wait; 0 to look once, None for
                ever. What was taken for a caller that is cancelled while it waits is put back.

        Raises:
            OutcomeUnknownError: The reply was lost; an item may be gone.
        """
        return await self._ends.pop_one("right", timeout)

    async def pop_many(self, count: int) -> list[T]:
        """Take up to so many items, the one on top first."""
        return await self._ends.pop("right", count)

    async def move_to(self, other: Stack[T]) -> T | None:
        """Move the item on top to the top of another stack in one step; None when there is none, or no room for it.

        In a cluster both must be in one slot, else it is a ValueError.

        Raises:
            OutcomeUnknownError: The reply was lost; the item is in one of the two.
        """
        return await self._ends.move("right", other._ends, "right")

    async def peek(self) -> T | None:
        """The item on top, which stays there; None when there is none."""
        return await self._ends.peek("right")

    async def count(self) -> int:
        """How many items there are."""
        return await self._ends.count()
